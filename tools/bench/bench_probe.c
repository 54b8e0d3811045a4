/* A multinomial probe's fit against the machine's matrix products. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/rng.h"
#include "probes/registry.h"
#include "tools/bench/bench.h"

enum { CLASSES = 12 };
static const int64_t WIDTH = 256, SEQUENCES = 200, TOKENS = 100;

struct probe_work {
    struct sonde_sink *sink;
    struct sonde_source *source;
    float *centre;     /* [CLASSES, WIDTH] */
    float *value;      /* [TOKENS, WIDTH] */
    int32_t *class_of; /* [SEQUENCES * TOKENS] */
    struct sonde_token *token;
};

/* Classes that overlap: a centre each, and noise that is larger than the distance between them. */
static enum sonde_status put_sequences(struct probe_work *w, struct sonde_error *error)
{
    struct sonde_rng rng = sonde_rng_make(42, 4);
    for (int64_t i = 0; i < CLASSES * WIDTH; i++)
        w->centre[i] = (float)(0.15 * sonde_rng_normal(&rng));
    for (int64_t s = 0; s < SEQUENCES; s++) {
        for (int64_t t = 0; t < TOKENS; t++) {
            int32_t class = (int32_t)sonde_rng_below(&rng, CLASSES);
            w->class_of[s * TOKENS + t] = class;
            w->token[t] = (struct sonde_token){
                .id = class, .position = (int32_t)t, .begin = -1, .end = -1, .text = ""
            };
            for (int64_t c = 0; c < WIDTH; c++)
                w->value[t * WIDTH + c] =
                    w->centre[class * WIDTH + c] + (float)sonde_rng_normal(&rng);
        }
        struct sonde_sequence sequence = { .source = s, .n_tokens = TOKENS, .tokens = w->token };
        struct sonde_record record = { w->value, TOKENS * WIDTH };
        enum sonde_status status = w->sink->put(w->sink, &sequence, &record, error);
        if (status)
            return status;
    }
    return SONDE_STATUS_OK;
}

static enum sonde_status make_source(struct probe_work *w, struct sonde_error *error)
{
    static const char *const names[CLASSES] = { "a", "b", "c", "d", "e", "f",
                                                "g", "h", "i", "j", "k", "l" };
    struct sonde_stream stream = { .layer = 0,
                                   .space = SONDE_ROWS_TOKEN,
                                   .dtype = SONDE_DTYPE_F32,
                                   .rank = 1,
                                   .dim = { WIDTH, 1 },
                                   .width = WIDTH };
    sonde_site_format((struct sonde_site){ SONDE_SITE_RESID_POST, 0 }, stream.name);
    w->centre = malloc((size_t)(CLASSES * WIDTH) * sizeof(*w->centre));
    w->value = malloc((size_t)(TOKENS * WIDTH) * sizeof(*w->value));
    w->class_of = malloc((size_t)(SEQUENCES * TOKENS) * sizeof(*w->class_of));
    w->token = malloc((size_t)TOKENS * sizeof(*w->token));
    if (!w->centre || !w->value || !w->class_of || !w->token)
        return sonde_error_memory(error, "the samples");
    enum sonde_status status = sonde_memory_create(&w->sink, &w->source, &stream, 1, error);
    if (status)
        return status;
    status = put_sequences(w, error);
    if (status)
        w->sink->abandon(w->sink);
    else
        status = w->sink->finish(w->sink, error);
    struct sonde_labels labels = { .name = "class",
                                   .kind = SONDE_LABEL_CLASS,
                                   .space = SONDE_ROWS_TOKEN,
                                   .n_rows = SEQUENCES * TOKENS,
                                   .class_of = w->class_of,
                                   .n_classes = CLASSES,
                                   .class_name = names };
    return status ? status : sonde_memory_add_labels(w->source, &labels, error);
}

static double column(const struct sonde_result *r, const char *name)
{
    for (int64_t t = 0; t < r->n_tables; t++)
        for (int64_t c = 0; strcmp(r->table[t]->name, "layers") == 0 && r->table[t]->n_rows &&
                            c < r->table[t]->n_columns;
             c++)
            if (strcmp(r->table[t]->column[c], name) == 0) {
                const struct sonde_cell *cell = &r->table[t]->cell[c];
                return cell->kind == SONDE_CELL_INTEGER ? (double)cell->integer : cell->real;
            }
    return (double)NAN;
}

/* One fit: FLOP/s of its matrix products. */
static enum sonde_status fit(struct sonde_bench *bench, const struct sonde_probe *probe,
                             struct probe_work *w, double *rate, struct sonde_error *error)
{
    static const char *const name[] = { "labels", "l2", "bootstrap" };
    static const char *const value[] = { "class", "1", "0" };
    struct sonde_result *result = NULL;
    struct sonde_probe_run_args args = { .values = { name, value, 3 },
                                         .source = w->source,
                                         .pool = bench->pool,
                                         .seed = (uint64_t)bench->cli->common.seed,
                                         .progress = &bench->cli->progress };
    double begin = sonde_cli_seconds();
    enum sonde_status status = sonde_probe_run(probe, &args, &result, error);
    double seconds = sonde_cli_seconds() - begin;
    if (!status)
        *rate = 4.0 * column(result, "n_train") * (double)WIDTH * CLASSES *
                column(result, "iterations") / seconds;
    sonde_result_destroy(&result);
    return status;
}

enum sonde_status sonde_bench_probe(struct sonde_bench *bench, struct sonde_error *error)
{
    struct sonde_bench_samples limit = { { 0 } }, achieved = { { 0 } };
    const struct sonde_probe *probe = NULL;
    for (int64_t i = 0; (probe = sonde_probe_builtin(i)) && strcmp(probe->name, "linear") != 0;)
        i++;
    if (!probe)
        return sonde_error_set(error, SONDE_STATUS_NOT_FOUND, "the probe linear is not built in");
    struct probe_work w = { 0 };
    enum sonde_status status = make_source(&w, error);
    for (int r = 0; !status && r < SONDE_BENCH_ROUNDS; r++) {
        status = sonde_bench_limit(bench, &limit.value[r], error);
        limit.value[r] /= 1e9;
        if (!status)
            status = fit(bench, probe, &w, &achieved.value[r], error);
        achieved.value[r] /= 1e9;
        if (!status)
            status = sonde_bench_progress(bench, "probe", r + 1, error);
    }
    if (!status)
        sonde_bench_add(bench, "probe", "fit, 20,000 x 256", "GFLOP/s", &limit, &achieved);
    if (w.source)
        w.source->destroy(&w.source);
    free(w.centre);
    free(w.value);
    free(w.class_of);
    free(w.token);
    return status;
}
