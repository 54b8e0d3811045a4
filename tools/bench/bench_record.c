/* What recording costs beside the forward pass, into a sink that keeps nothing. */
#include "tools/bench/bench_feed.h"

enum { NOTHING, RESID, ALL, N_SITES };

enum sonde_status sonde_bench_record(struct sonde_bench *bench, struct sonde_error *error)
{
    static const char *const sites[N_SITES] = { "ln_final.hook_scale", "resid,ln_final.hook_scale",
                                                "all" };
    const struct sonde_spec *spec = sonde_model_spec(bench->model);
    const int64_t n = spec->n_ctx < 256 ? spec->n_ctx : 256;
    const struct sonde_bench_feed feed = { 2 * sonde_pool_threads(bench->pool), n, n };
    const double tokens = (double)sonde_bench_feed_tokens(&feed);
    struct sonde_bench_samples rate[N_SITES] = { { { 0 } } };
    enum sonde_status status = SONDE_STATUS_OK;
    for (int r = 0; !status && r < SONDE_BENCH_ROUNDS; r++) {
        for (int i = 0; !status && i < N_SITES; i++) {
            double seconds = 1;
            status = sonde_bench_feed_run(bench, bench->model, &feed, sites[i], &seconds, error);
            rate[i].value[r] = tokens / seconds;
        }
        if (!status)
            status = sonde_bench_progress(bench, "record", r + 1, error);
    }
    if (status)
        return status;
    sonde_bench_add(bench, "record", "resid over nothing", "tokens/s", &rate[NOTHING],
                    &rate[RESID]);
    sonde_bench_add(bench, "record", "all over nothing", "tokens/s", &rate[NOTHING], &rate[ALL]);
    return SONDE_STATUS_OK;
}
