/* log.jsonl of a training: one JSON object a line, and the same in memory for the curve. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/num.h"
#include "tools/train/train_run.h"

#define LOG_MAX_BYTES ((int64_t)1 << 30)
#define LINES_MAX ((int64_t)1 << 24)

static enum sonde_status keep_point(struct sonde_train_history *h,
                                    const struct sonde_train_point *point,
                                    struct sonde_error *error)
{
    if (!sonde_grow((void **)&h->point, &h->point_capacity, h->n_points + 1, sizeof(*h->point),
                    LINES_MAX))
        return sonde_error_memory(error, "the curve");
    h->point[h->n_points++] = *point;
    return SONDE_STATUS_OK;
}

static enum sonde_status keep_validated(struct sonde_train_history *h,
                                        const struct sonde_train_validated *v,
                                        struct sonde_error *error)
{
    if (!sonde_grow((void **)&h->validated, &h->validated_capacity, h->n_validated + 1,
                    sizeof(*h->validated), LINES_MAX))
        return sonde_error_memory(error, "the curve");
    h->validated[h->n_validated++] = *v;
    return SONDE_STATUS_OK;
}

static enum sonde_status read_validated(struct sonde_train_run *run, const struct sonde_json *line,
                                        struct sonde_error *error)
{
    const char *name = sonde_json_string(sonde_json_get(line, "validation"), "");
    struct sonde_train_validated v = {
        .step = sonde_json_integer(sonde_json_get(line, "step"), 0),
        .which = -1,
        .found = { .loss = sonde_json_real(sonde_json_get(line, "loss"), (double)NAN),
                   .rows = sonde_json_integer(sonde_json_get(line, "rows"), 0),
                   .right = sonde_json_integer(sonde_json_get(line, "right"), 0),
                   .n_sequences = sonde_json_integer(sonde_json_get(line, "sequences"), 0),
                   .sequences_right =
                       sonde_json_integer(sonde_json_get(line, "sequences_right"), 0),
                   .n_tokens = sonde_json_integer(sonde_json_get(line, "tokens"), 0) },
    };
    for (int64_t i = 0; i < run->recipe->n_validations; i++)
        if (strcmp(run->recipe->validation[i].name, name) == 0)
            v.which = i;
    return v.which < 0 ? SONDE_STATUS_OK : keep_validated(&run->history, &v, error);
}

/* Takes a line over into the history; *keep tells whether it belongs to what was done. */
static enum sonde_status read_line(struct sonde_train_run *run, const char *text, size_t n,
                                   bool *keep, struct sonde_error *error)
{
    struct sonde_json *line = NULL;
    enum sonde_status status = SONDE_STATUS_OK;
    *keep = false;
    if (sonde_json_parse(&line, text, n, NULL) != SONDE_STATUS_OK)
        return SONDE_STATUS_OK; /* cut off by a kill */
    int64_t step = sonde_json_integer(sonde_json_get(line, "step"), INT64_MAX);
    if (step <= run->resumed_at) {
        *keep = true;
        struct sonde_train_point point = {
            .step = step,
            .epoch = sonde_json_integer(sonde_json_get(line, "epoch"), 0),
            .lr = sonde_json_real(sonde_json_get(line, "lr"), 0.0),
            .loss = sonde_json_real(sonde_json_get(line, "loss"), 0.0),
            .tokens_per_second =
                sonde_json_real(sonde_json_get(line, "tokens_per_second"), (double)NAN),
        };
        status = sonde_json_get(line, "validation") ? read_validated(run, line, error)
                                                    : keep_point(&run->history, &point, error);
    }
    sonde_json_destroy(&line);
    return status;
}

/* The lines up to the step that training goes on from; those behind it are made again. */
static enum sonde_status read_log(struct sonde_train_run *run, const char *path,
                                  struct sonde_error *error)
{
    struct sonde_buf old = { .max = (size_t)LOG_MAX_BYTES },
                     kept = { .max = (size_t)LOG_MAX_BYTES };
    enum sonde_status status = sonde_file_load(path, LOG_MAX_BYTES, &old, error);
    for (size_t at = 0; !status && at < old.size;) {
        const char *newline = memchr(old.data + at, '\n', old.size - at);
        size_t n = newline ? (size_t)(newline - (old.data + at)) : old.size - at;
        bool keep = false;
        status = read_line(run, old.data + at, n, &keep, error);
        if (keep && sonde_buf_append(&kept, old.data + at, n))
            sonde_buf_putc(&kept, '\n');
        at += n + 1;
    }
    if (!status)
        status = sonde_buf_status(&kept, error);
    if (!status)
        status = sonde_file_save(path, kept.data ? kept.data : "", kept.size, error);
    sonde_buf_finish(&old);
    sonde_buf_finish(&kept);
    return status;
}

enum sonde_status sonde_train_log_open(struct sonde_train_run *run, struct sonde_error *error)
{
    char *path = sonde_path_join(run->options.folder, "log.jsonl");
    if (!path)
        return sonde_error_memory(error, "a path");
    enum sonde_status status = SONDE_STATUS_OK;
    if (run->resumed_at > 0 && sonde_path_exists(path))
        status = read_log(run, path, error);
    if (!status) {
        run->log = fopen(path, run->resumed_at > 0 ? "ae" : "we");
        if (!run->log)
            status = sonde_error_set(error, SONDE_STATUS_IO, "%s: %s", path, strerror(errno));
    }
    free(path);
    return status;
}

static enum sonde_status put_line(struct sonde_train_run *run, const struct sonde_buf *line,
                                  struct sonde_error *error)
{
    enum sonde_status status = sonde_buf_status(line, error);
    if (!status &&
        (fwrite(line->data, 1, line->size, run->log) != line->size || fputc('\n', run->log) == EOF))
        status = sonde_error_set(error, SONDE_STATUS_IO, "log.jsonl: %s", strerror(errno));
    return status;
}

enum sonde_status sonde_train_log_point(struct sonde_train_run *run,
                                        const struct sonde_train_point *point,
                                        struct sonde_error *error)
{
    struct sonde_buf line = { 0 };
    struct sonde_json_writer w = { .out = &line };
    sonde_json_begin_object(&w, NULL);
    sonde_json_put_i64(&w, "step", point->step);
    sonde_json_put_i64(&w, "epoch", point->epoch);
    sonde_json_put_f64(&w, "lr", point->lr);
    sonde_json_put_f64(&w, "loss", point->loss);
    sonde_json_put_f64(&w, "tokens_per_second", round(point->tokens_per_second));
    sonde_json_end_object(&w);
    enum sonde_status status = put_line(run, &line, error);
    sonde_buf_finish(&line);
    return status ? status : keep_point(&run->history, point, error);
}

enum sonde_status sonde_train_log_validated(struct sonde_train_run *run,
                                            const struct sonde_train_validated *v,
                                            struct sonde_error *error)
{
    struct sonde_buf line = { 0 };
    struct sonde_json_writer w = { .out = &line };
    sonde_json_begin_object(&w, NULL);
    sonde_json_put_i64(&w, "step", v->step);
    sonde_json_put_string(&w, "validation", run->recipe->validation[v->which].name);
    sonde_json_put_f64(&w, "loss", v->found.loss);
    sonde_json_put_i64(&w, "rows", v->found.rows);
    sonde_json_put_i64(&w, "right", v->found.right);
    sonde_json_put_i64(&w, "sequences", v->found.n_sequences);
    sonde_json_put_i64(&w, "sequences_right", v->found.sequences_right);
    sonde_json_put_i64(&w, "tokens", v->found.n_tokens);
    sonde_json_end_object(&w);
    enum sonde_status status = put_line(run, &line, error);
    sonde_buf_finish(&line);
    return status ? status : keep_validated(&run->history, v, error);
}

enum sonde_status sonde_train_log_close(struct sonde_train_run *run, struct sonde_error *error)
{
    FILE *log = run->log;
    run->log = NULL;
    if (log && fclose(log) != 0)
        return sonde_error_set(error, SONDE_STATUS_IO, "log.jsonl: %s", strerror(errno));
    return SONDE_STATUS_OK;
}

int64_t sonde_train_best_step(const struct sonde_train_run *run, double *loss)
{
    const struct sonde_train_history *h = &run->history;
    int64_t step = -1;
    *loss = INFINITY;
    for (int64_t i = 0; i < h->n_validated; i++) {
        const struct sonde_train_validated *v = &h->validated[i];
        if (v->which == 0 && v->found.loss < *loss) {
            *loss = v->found.loss;
            step = v->step;
        }
    }
    return step;
}
