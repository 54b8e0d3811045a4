#include "tools/edit_input.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/num.h"
#include "storage/store.h"

#define CACHE_BYTES ((int64_t)16 << 20)
#define BLOCK_FLOATS ((int64_t)1 << 16)

/* The run that was read last stays open: one edit often reads many sites of it. */
struct values {
    const char *path;
    struct sonde_store *store;
    struct sonde_source *source;
    char *run; /* as asked for; NULL = the only one */
};

static void close_source(struct values *v)
{
    if (v->source)
        v->source->destroy(&v->source);
    free(v->run);
    v->run = NULL;
}

static enum sonde_status open_run(struct values *v, const char *run, struct sonde_error *error)
{
    enum sonde_status status = SONDE_STATUS_OK;
    if (v->source && sonde_str_equal(v->run, run))
        return SONDE_STATUS_OK;
    close_source(v);
    if (!v->path)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "which store holds the run? --edit-store STORE");
    if (!v->store)
        status = sonde_store_open(&v->store, v->path, SONDE_STORE_READ, error);
    if (!status)
        status = sonde_store_open_source(v->store, run, CACHE_BYTES, &v->source, error);
    if (!status && run) {
        v->run = sonde_strdup(run);
        if (!v->run)
            status = sonde_error_memory(error, "the name of a run");
    }
    return status;
}

static enum sonde_status find_stream(struct values *v, const char *run, struct sonde_site site,
                                     int64_t width, int64_t *out, struct sonde_error *error)
{
    char name[SONDE_SITE_NAME_MAX];
    enum sonde_status status = open_run(v, run, error);
    if (status)
        return status;
    sonde_site_format(site, name);
    int64_t stream = sonde_source_find_stream(v->source, name);
    if (stream < 0)
        return sonde_error_set(error, SONDE_STATUS_NOT_FOUND, "%s: run '%s' does not hold %s",
                               v->path, v->source->run_name, name);
    const struct sonde_stream *s = &v->source->streams[stream];
    if (s->width != width || (s->space != SONDE_ROWS_TOKEN && s->space != SONDE_ROWS_MAP))
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "%s: %s of run '%s' has rows of %lld values, this model's have %lld",
                               v->path, name, v->source->run_name, (long long)s->width,
                               (long long)width);
    *out = stream;
    return SONDE_STATUS_OK;
}

static enum sonde_status add_rows(struct sonde_source *source, int64_t stream, int64_t width,
                                  float *block, double *sum, struct sonde_error *error)
{
    int64_t step = BLOCK_FLOATS / width > 0 ? BLOCK_FLOATS / width : 1;
    for (int64_t row = 0; row < source->n_tokens; row += step) {
        int64_t n = source->n_tokens - row < step ? source->n_tokens - row : step;
        enum sonde_status status = source->read_rows(source, stream, row, n, block, error);
        if (status)
            return status;
        for (int64_t i = 0; i < n * width; i++)
            sum[i % width] += (double)block[i];
    }
    return SONDE_STATUS_OK;
}

static enum sonde_status read_mean(void *ctx, const char *run, struct sonde_site site,
                                   int64_t width, float *out, struct sonde_error *error)
{
    struct values *v = ctx;
    int64_t stream = 0;
    enum sonde_status status = find_stream(v, run, site, width, &stream, error);
    if (status)
        return status;
    if (v->source->n_tokens == 0)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT, "%s: run '%s' has no tokens", v->path,
                               v->source->run_name);
    int64_t block_floats = width > BLOCK_FLOATS ? width : BLOCK_FLOATS;
    double *sum = calloc((size_t)width, sizeof(*sum));
    float *block = malloc((size_t)block_floats * sizeof(*block));
    status = sum && block ? add_rows(v->source, stream, width, block, sum, error)
                          : sonde_error_memory(error, "a mean");
    for (int64_t i = 0; !status && i < width; i++)
        out[i] = (float)(sum[i] / (double)v->source->n_tokens);
    free(sum);
    free(block);
    return status;
}

static enum sonde_status read_sequence(void *ctx, const char *run, int64_t sequence,
                                       struct sonde_site site, int64_t width, int64_t *n_tokens,
                                       float **out, struct sonde_error *error)
{
    struct values *v = ctx;
    int64_t stream = 0, n = 0;
    enum sonde_status status = find_stream(v, run, site, width, &stream, error);
    if (status)
        return status;
    struct sonde_source *source = v->source;
    if (sequence >= source->n_sequences)
        return sonde_error_set(
            error, SONDE_STATUS_ARGUMENT, "%s: run '%s' holds sequences 0 to %lld, not %lld",
            v->path, source->run_name, (long long)source->n_sequences - 1, (long long)sequence);
    const struct sonde_source_sequence *s = &source->sequences[sequence];
    bool map = source->streams[stream].space == SONDE_ROWS_MAP;
    if (!sonde_mul_i64(width, s->n_tokens, &n) || (map && !sonde_mul_i64(n, s->n_tokens, &n)) ||
        n > INT64_MAX / 8)
        return sonde_error_set(error, SONDE_STATUS_LIMIT, "the values of a sequence are too many");
    float *value = malloc(((size_t)n + 1) * sizeof(*value));
    if (!value)
        return sonde_error_memory(error, "the values of a sequence");
    status = map ? source->read_map(source, stream, sequence, value, error)
                 : source->read_rows(source, stream, s->first_row, s->n_tokens, value, error);
    if (status) {
        free(value);
        return status;
    }
    *out = value;
    *n_tokens = s->n_tokens;
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_edit_input_open(struct sonde_edits **out,
                                        const struct sonde_edit_options *options,
                                        const struct sonde_model *model, const char *default_store,
                                        int64_t control, uint64_t seed, struct sonde_error *error)
{
    struct values values = { .path = options->store ? options->store : default_store };
    const struct sonde_edit_values from = { &values, read_mean, read_sequence };
    const struct sonde_edits_options made = { .values = &from, .control = control, .seed = seed };
    *out = NULL;
    if (options->edit.n == 0)
        return options->store
                   ? sonde_error_set(error, SONDE_STATUS_ARGUMENT, "--edit-store goes with --edit")
                   : SONDE_STATUS_OK;
    enum sonde_status status =
        sonde_edits_create(out, options->edit.item, options->edit.n, model, &made, error);
    close_source(&values);
    sonde_store_close(&values.store);
    return status;
}

enum sonde_status sonde_edit_input_check_control(const struct sonde_edits *edits,
                                                 struct sonde_error *error)
{
    if (edits && sonde_edits_have_control(edits))
        return SONDE_STATUS_OK;
    return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                           "--edit-control needs an edit with a direction (add, project-out, keep, "
                           "flip), neurons or heads");
}

void sonde_edit_input_parameter(const struct sonde_edit_options *options,
                                struct sonde_result *result)
{
    struct sonde_buf text = { 0 };
    for (int64_t i = 0; i < options->edit.n; i++)
        sonde_buf_printf(&text, "%s%s", i ? "; then " : "", options->edit.item[i]);
    if (text.data && !text.failed)
        sonde_result_parameter_text(result, "edits", text.data);
    sonde_buf_finish(&text);
}
