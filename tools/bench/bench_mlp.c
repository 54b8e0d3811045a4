/* The mlp probe's fit against the machine's matrix products. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/rng.h"
#include "probes/registry.h"
#include "tools/bench/bench.h"

enum { MLP_CLASSES = 17, MLP_HIDDEN = 128, MLP_EPOCHS = 6 };
static const int64_t WIDTH = 768, SEQUENCES = 80, TOKENS = 100;

static enum sonde_status put_rows(struct sonde_sink *sink, int32_t *class_of,
                                  struct sonde_error *error)
{
    struct sonde_rng rng = sonde_rng_make(42, 5);
    float *value = malloc((size_t)(TOKENS * WIDTH) * sizeof(*value));
    struct sonde_token *token = calloc((size_t)TOKENS, sizeof(*token));
    enum sonde_status status =
        value && token ? SONDE_STATUS_OK : sonde_error_memory(error, "the samples");
    for (int64_t s = 0; s < SEQUENCES && !status; s++) {
        for (int64_t t = 0; t < TOKENS; t++) {
            const int32_t class = (int32_t)sonde_rng_below(&rng, MLP_CLASSES);
            class_of[s * TOKENS + t] = class;
            token[t] = (struct sonde_token){
                .id = class, .position = (int32_t)t, .begin = -1, .end = -1, .text = ""
            };
            for (int64_t c = 0; c < WIDTH; c++)
                value[t * WIDTH + c] = (float)(sonde_rng_uniform(&rng) + (c == class));
        }
        const struct sonde_sequence sequence = { .source = s, .n_tokens = TOKENS, .tokens = token };
        const struct sonde_record record = { value, TOKENS * WIDTH };
        status = sink->put(sink, &sequence, &record, error);
    }
    free(value);
    free(token);
    return status;
}

static enum sonde_status make_rows(struct sonde_source **out, struct sonde_error *error)
{
    static const char *const names[MLP_CLASSES] = { "a", "b", "c", "d", "e", "f", "g", "h", "i",
                                                    "j", "k", "l", "m", "n", "o", "p", "q" };
    struct sonde_stream stream = { .layer = 0,
                                   .space = SONDE_ROWS_TOKEN,
                                   .dtype = SONDE_DTYPE_F32,
                                   .rank = 1,
                                   .dim = { WIDTH, 1 },
                                   .width = WIDTH };
    struct sonde_sink *sink = NULL;
    int32_t *class_of = malloc((size_t)(SEQUENCES * TOKENS) * sizeof(*class_of));
    if (!class_of)
        return sonde_error_memory(error, "the samples");
    sonde_site_format((struct sonde_site){ SONDE_SITE_RESID_POST, 0 }, stream.name);
    enum sonde_status status = sonde_memory_create(&sink, out, &stream, 1, error);
    if (!status) {
        status = put_rows(sink, class_of, error);
        if (status)
            sink->abandon(sink);
        else
            status = sink->finish(sink, error);
    }
    const struct sonde_labels labels = { .name = "class",
                                         .kind = SONDE_LABEL_CLASS,
                                         .space = SONDE_ROWS_TOKEN,
                                         .n_rows = SEQUENCES * TOKENS,
                                         .class_of = class_of,
                                         .n_classes = MLP_CLASSES,
                                         .class_name = names };
    if (!status)
        status = sonde_memory_add_labels(*out, &labels, error);
    free(class_of);
    return status;
}

static double n_train_of(const struct sonde_result *r)
{
    for (int64_t t = 0; t < r->n_tables; t++)
        for (int64_t c = 0; strcmp(r->table[t]->name, "layers") == 0 && r->table[t]->n_rows &&
                            c < r->table[t]->n_columns;
             c++)
            if (strcmp(r->table[t]->column[c], "n_train") == 0)
                return (double)r->table[t]->cell[c].integer;
    return (double)NAN;
}

/* One fit: FLOP/s of its matrix products. */
static enum sonde_status fit_net(struct sonde_bench *bench, const struct sonde_probe *probe,
                                 struct sonde_source *source, double *rate,
                                 struct sonde_error *error)
{
    static const char *const name[] = { "labels", "hidden", "batch", "epochs", "bootstrap" };
    static const char *const value[] = { "class", "128", "128", "6", "0" };
    struct sonde_result *result = NULL;
    const struct sonde_probe_run_args args = { .values = { name, value, 5 },
                                               .source = source,
                                               .pool = bench->pool,
                                               .seed = (uint64_t)bench->cli->common.seed,
                                               .progress = &bench->cli->progress };
    const double begin = sonde_cli_seconds();
    enum sonde_status status = sonde_probe_run(probe, &args, &result, error);
    const double seconds = sonde_cli_seconds() - begin;
    /* Forwards and the gradients of W of both layers, that of the hidden values. */
    const double row =
        4.0 * MLP_HIDDEN * ((double)WIDTH + MLP_CLASSES) + 2.0 * MLP_HIDDEN * MLP_CLASSES;
    if (!status)
        *rate = row * n_train_of(result) * MLP_EPOCHS / seconds;
    sonde_result_destroy(&result);
    return status;
}

enum sonde_status sonde_bench_mlp(struct sonde_bench *bench, struct sonde_error *error)
{
    struct sonde_bench_samples limit = { { 0 } }, achieved = { { 0 } };
    struct sonde_source *source = NULL;
    const struct sonde_probe *probe = NULL;
    for (int64_t i = 0; (probe = sonde_probe_builtin(i)) && strcmp(probe->name, "mlp") != 0;)
        i++;
    if (!probe)
        return sonde_error_set(error, SONDE_STATUS_NOT_FOUND, "the probe mlp is not built in");
    enum sonde_status status = make_rows(&source, error);
    for (int r = 0; !status && r < SONDE_BENCH_ROUNDS; r++) {
        status = sonde_bench_limit(bench, &limit.value[r], error);
        limit.value[r] /= 1e9;
        if (!status)
            status = fit_net(bench, probe, source, &achieved.value[r], error);
        achieved.value[r] /= 1e9;
        if (!status)
            status = sonde_bench_progress(bench, "probe", r + 1, error);
    }
    if (!status)
        sonde_bench_add(bench, "probe", "mlp, 768-128-17", "GFLOP/s", &limit, &achieved);
    if (source)
        source->destroy(&source);
    return status;
}
