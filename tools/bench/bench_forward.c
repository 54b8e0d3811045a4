/* The limit of the machine's matrix products, and the forward pass against it. */
#include <math.h>
#include <stdlib.h>

#include "core/base/rng.h"
#include "core/model/recorder.h"
#include "core/tensor/gemm.h"
#include "tools/bench/bench.h"

enum { ROWS = 256, INNER = 768, COLUMNS = 3072, REPEATS = 3 };

struct gemm_work {
    float *a, *b; /* [ROWS, INNER], [INNER, COLUMNS] shared */
    float *c;     /* [threads, ROWS, COLUMNS] */
    int64_t n_products;
};

static void multiply(void *ctx, int64_t i, int worker)
{
    struct gemm_work *w = ctx;
    (void)worker;
    float *c = w->c + i * ROWS * COLUMNS;
    for (int64_t k = 0; k < w->n_products; k++)
        sonde_sgemm(false, false, ROWS, COLUMNS, INNER, 1, w->a, INNER, w->b, COLUMNS, 0, c,
                    COLUMNS);
}

static float *random_floats(int64_t n)
{
    float *x = malloc((size_t)n * sizeof(*x));
    struct sonde_rng rng = sonde_rng_make(42, 1);
    for (int64_t i = 0; x && i < n; i++)
        x[i] = (float)(sonde_rng_u32(&rng) >> 8) / 8388608.0f - 1.0f;
    return x;
}

/* The best of a few: the limit is what the machine can do, not what its other users leave. Called
 * again between the rounds of what is held against it, so that both see the same machine. */
enum sonde_status sonde_bench_limit(struct sonde_bench *bench, struct sonde_error *error)
{
    int64_t threads = sonde_pool_threads(bench->pool);
    struct gemm_work w = { .a = random_floats((int64_t)ROWS * INNER),
                           .b = random_floats((int64_t)INNER * COLUMNS),
                           .c = calloc((size_t)threads, (size_t)ROWS * COLUMNS * sizeof(float)),
                           .n_products = 1 };
    enum sonde_status status = SONDE_STATUS_OK;
    if (w.a && w.b && w.c) {
        sonde_pool_run(bench->pool, threads, multiply, &w);
        w.n_products = 40;
        double flops = 2.0 * ROWS * INNER * COLUMNS * (double)(w.n_products * threads);
        for (int r = 0; r < REPEATS; r++) {
            double begin = sonde_cli_seconds();
            sonde_pool_run(bench->pool, threads, multiply, &w);
            bench->gemm_flops = fmax(bench->gemm_flops, flops / (sonde_cli_seconds() - begin));
        }
    } else {
        status = sonde_error_memory(error, "the matrices");
    }
    free(w.a);
    free(w.b);
    free(w.c);
    return status;
}

enum sonde_status sonde_bench_gemm(struct sonde_bench *bench, struct sonde_error *error)
{
    enum sonde_status status = sonde_bench_limit(bench, error);
    if (status)
        return status;
    sonde_bench_add(bench, "gemm", "256 x 768 x 3072, all threads", bench->gemm_flops / 1e9,
                    "GFLOP/s", (double)NAN);
    return SONDE_STATUS_OK;
}

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
    double bare = INFINITY, resid = INFINITY, seconds = 0;
    feed.token = calloc((size_t)n, sizeof(*feed.token));
    if (!feed.token)
        return sonde_error_memory(error, "the tokens");
    for (int64_t t = 0; t < n; t++)
        feed.token[t] = (struct sonde_token){ .id = (int32_t)sonde_rng_below(&rng, spec->d_vocab),
                                              .position = (int32_t)t,
                                              .begin = -1,
                                              .end = -1,
                                              .text = "" };
    /* In turn, so that a slow moment of the machine hits both. */
    for (int r = 0; !status && r < REPEATS; r++) {
        status = time_record(bench, &feed, "ln_final.hook_scale", &seconds, error);
        bare = fmin(bare, seconds);
        if (!status)
            status = time_record(bench, &feed, "resid,ln_final.hook_scale", &seconds, error);
        resid = fmin(resid, seconds);
        if (!status)
            status = sonde_bench_limit(bench, error);
    }
    free(feed.token);
    if (status)
        return status;
    double tokens = (double)(feed.n_sequences * n);
    double flops = flops_per_token(spec, n) * tokens / bare;
    sonde_bench_add(bench, "forward", "nothing recorded", tokens / bare, "tokens/s", (double)NAN);
    sonde_bench_add(bench, "forward", "matrix products, of the limit", flops / 1e9, "GFLOP/s",
                    flops / bench->gemm_flops);
    sonde_bench_add(bench, "forward", "every residual recorded", tokens / resid, "tokens/s",
                    bare / resid);
    sonde_result_scalar_f64(bench->result, "forward_of_gemm", flops / bench->gemm_flops);
    sonde_result_scalar_f64(bench->result, "recording_cost", resid / bare - 1);
    return SONDE_STATUS_OK;
}
