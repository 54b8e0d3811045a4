/* The forward pass against the matrix products. */
#include "tools/bench/bench_feed.h"

/* What a row runs; `needs` positions, or it is left out. */
struct row {
    const char *measure, *sites;
    bool logits;
    int64_t needs;
    struct sonde_bench_feed feed;
};

static enum sonde_status measure(struct sonde_bench *bench, const struct sonde_model *model,
                                 const struct row *row, double *rate, struct sonde_error *error)
{
    double seconds = 0;
    enum sonde_status status =
        sonde_bench_feed_run(bench, model, &row->feed, row->sites, &seconds, error);
    if (!status)
        *rate = sonde_bench_feed_flops(&row->feed, sonde_model_spec(model), row->logits) / seconds;
    return status;
}

enum { N_ROWS = 4 };

/* A model organism has no products worth naming: tokens a second. */
static enum sonde_status measure_tiny(struct sonde_bench *bench, struct sonde_error *error)
{
    const struct sonde_bench_feed feed = { .n_sequences = 20000, .shortest = 8, .longest = 32 };
    struct sonde_bench_samples tokens = { { 0 } };
    struct sonde_model *tiny = NULL;
    enum sonde_status status =
        sonde_bench_open_model(&tiny, SONDE_BENCH_TINY, (uint64_t)bench->cli->common.seed, error);
    for (int r = 0; !status && r < SONDE_BENCH_ROUNDS; r++) {
        double seconds = 0;
        status =
            sonde_bench_feed_run(bench, tiny, &feed, "resid,ln_final.hook_scale", &seconds, error);
        tokens.value[r] = 1e-3 * (double)sonde_bench_feed_tokens(&feed) / seconds;
    }
    sonde_model_close(&tiny);
    if (!status)
        sonde_bench_add(bench, "forward", "tiny, 8 to 32 tokens", "ktok/s", NULL, &tokens);
    return status;
}

enum sonde_status sonde_bench_forward(struct sonde_bench *bench, struct sonde_error *error)
{
    const struct sonde_spec *spec = sonde_model_spec(bench->model);
    const int64_t threads = sonde_pool_threads(bench->pool);
    const int64_t n = spec->n_ctx < 256 ? spec->n_ctx : 256;
    const struct row rows[N_ROWS] = {
        { "256 tokens", "ln_final.hook_scale", false, 0, { 2 * threads, n, n } },
        { "256, with logits", "logits", true, 0, { 2 * threads, n, n } },
        { "8 to 32 tokens", "ln_final.hook_scale", false, 32, { 40 * threads, 8, 32 } },
        { "one of 1,024 tokens", "ln_final.hook_scale", false, 1024, { 1, 1024, 1024 } },
    };
    struct sonde_bench_samples limit = { { 0 } }, achieved[N_ROWS] = { { { 0 } } };
    enum sonde_status status = SONDE_STATUS_OK;
    for (int r = 0; !status && r < SONDE_BENCH_ROUNDS; r++) {
        status = sonde_bench_limit(bench, &limit.value[r], error);
        limit.value[r] /= 1e9;
        for (int i = 0; !status && i < N_ROWS; i++) {
            if (rows[i].needs <= spec->n_ctx)
                status = measure(bench, bench->model, &rows[i], &achieved[i].value[r], error);
            achieved[i].value[r] /= 1e9;
        }
        if (!status)
            status = sonde_bench_progress(bench, "forward", r + 1, error);
    }
    for (int i = 0; !status && i < N_ROWS; i++) {
        if (rows[i].needs <= spec->n_ctx)
            sonde_bench_add(bench, "forward", rows[i].measure, "GFLOP/s", &limit, &achieved[i]);
    }
    return status ? status : measure_tiny(bench, error);
}
