/* The forward pass against the matrix products, and what recording costs. */
#include <math.h>
#include <stdlib.h>

#include "core/base/rng.h"
#include "core/model/recorder.h"
#include "tools/bench/bench.h"

/* Random ids in sequences of one length. */
struct feed {
    int64_t n_sequences, n_tokens, next;
    struct sonde_token *token; /* [n_tokens] */
    struct sonde_sequence sequence;
};

static enum sonde_status feed_next(void *self, const struct sonde_sequence **out,
                                   struct sonde_error *error)
{
    struct feed *f = self;
    (void)error;
    *out = NULL;
    if (f->next == f->n_sequences)
        return SONDE_STATUS_OK;
    f->sequence =
        (struct sonde_sequence){ .source = f->next++, .n_tokens = f->n_tokens, .tokens = f->token };
    *out = &f->sequence;
    return SONDE_STATUS_OK;
}

static enum sonde_status time_record(struct sonde_bench *bench, struct feed *feed,
                                     const char *patterns, double *seconds,
                                     struct sonde_error *error)
{
    struct sonde_site_set *sites = calloc(1, sizeof(*sites));
    struct sonde_sink *sink = NULL;
    const struct sonde_spec *spec = sonde_model_spec(bench->model);
    enum sonde_status status = sites ? SONDE_STATUS_OK : sonde_error_memory(error, "the sites");
    if (!status)
        status = sonde_site_set_parse(sites, patterns, sonde_model_sites(bench->model),
                                      spec->n_layers, error);
    if (!status)
        status = sonde_sink_null_create(&sink, error);
    struct sonde_sequence_reader reader = { .self = feed, .next = feed_next };
    struct sonde_recorder_options options = { .sites = sites,
                                              .n_threads = (int)bench->cli->common.threads,
                                              .progress = &bench->cli->progress };
    struct sonde_recorder_stats stats = { 0 };
    feed->next = 0;
    if (!status) {
        status = sonde_recorder_run(bench->model, &reader, sink, &options, &stats, error);
        if (status)
            sink->abandon(sink);
        else
            status = sink->finish(sink, error);
    }
    if (!status)
        *seconds = stats.seconds_forward;
    free(sites);
    return status;
}

/* Multiply-adds of the matrix products per token: projections, MLP, and on average half of the
 * keys. */
static double flops_per_token(const struct sonde_spec *s, int64_t n_tokens)
{
    double d = (double)s->d_model, e = (double)s->d_head;
    double attention = d * e * (double)(2 * s->n_heads + 2 * s->n_kv_heads);
    double mlp = d * (double)s->d_mlp * (s->gated ? 3 : 2);
    double mixing = 2 * e * (double)s->n_heads * (double)(n_tokens + 1) / 2;
    return 2 * s->n_layers * (attention + mlp + mixing);
}

enum sonde_status sonde_bench_forward(struct sonde_bench *bench, struct sonde_error *error)
{
    const struct sonde_spec *spec = sonde_model_spec(bench->model);
    int64_t threads = sonde_pool_threads(bench->pool);
    int64_t n = spec->n_ctx < 256 ? spec->n_ctx : 256;
    struct feed feed = { .n_sequences = 4 * threads, .n_tokens = n };
    struct sonde_rng rng = sonde_rng_make((uint64_t)bench->cli->common.seed, 2);
    enum sonde_status status = SONDE_STATUS_OK;
    struct sonde_bench_samples limit = { { 0 } }, achieved = limit, bare = limit, resid = limit;
    double seconds = 0;
    feed.token = calloc((size_t)n, sizeof(*feed.token));
    if (!feed.token)
        return sonde_error_memory(error, "the tokens");
    for (int64_t t = 0; t < n; t++)
        feed.token[t] = (struct sonde_token){ .id = (int32_t)sonde_rng_below(&rng, spec->d_vocab),
                                              .position = (int32_t)t,
                                              .begin = -1,
                                              .end = -1,
                                              .text = "" };
    double tokens = (double)(feed.n_sequences * n);
    for (int r = 0; !status && r < SONDE_BENCH_ROUNDS; r++) {
        status = sonde_bench_limit(bench, &limit.value[r], error);
        limit.value[r] /= 1e9;
        if (!status)
            status = time_record(bench, &feed, "ln_final.hook_scale", &seconds, error);
        bare.value[r] = tokens / seconds;
        achieved.value[r] = bare.value[r] * flops_per_token(spec, n) / 1e9;
        if (!status)
            status = time_record(bench, &feed, "resid,ln_final.hook_scale", &seconds, error);
        resid.value[r] = tokens / seconds;
        if (!status)
            status = sonde_bench_progress(bench, "forward", r + 1, error);
    }
    free(feed.token);
    if (status)
        return status;
    sonde_bench_add(bench, "forward", "of the products", "GFLOP/s", &limit, &achieved);
    sonde_bench_add(bench, "forward", "resid over nothing", "tokens/s", &bare, &resid);
    return SONDE_STATUS_OK;
}
