/* The limit of the machine's matrix products, and what all threads reach of it together. */
#include <math.h>
#include <stdlib.h>

#include "core/base/rng.h"
#include "core/tensor/gemm.h"
#include "tools/bench/bench.h"

enum { ROWS = 256, INNER = 768, COLUMNS = 3072, PRODUCTS = 8, REPEATS = 3 };

struct sonde_bench_products {
    float *a, *b; /* [ROWS, INNER], [INNER, COLUMNS]; all threads read them */
    float *c;     /* [threads, ROWS, COLUMNS] */
};

static float *random_floats(int64_t n)
{
    float *x = malloc((size_t)n * sizeof(*x));
    struct sonde_rng rng = sonde_rng_make(42, 1);
    for (int64_t i = 0; x && i < n; i++)
        x[i] = (float)(sonde_rng_u32(&rng) >> 8) / 8388608.0f - 1.0f;
    return x;
}

static void multiply(void *ctx, int64_t i, int worker)
{
    struct sonde_bench_products *p = ctx;
    (void)worker;
    for (int k = 0; k < PRODUCTS; k++)
        sonde_sgemm(false, false, ROWS, COLUMNS, INNER, 1, p->a, INNER, p->b, COLUMNS, 0,
                    p->c + i * ROWS * COLUMNS, COLUMNS);
}

/* FLOP/s of n threads of the pool, each with products of its own: the best of a few. */
static double rate_of(const struct sonde_bench *bench, struct sonde_pool *pool, int n)
{
    double best = INFINITY;
    for (int r = 0; r < REPEATS; r++) {
        double begin = sonde_cli_seconds();
        sonde_pool_run(pool, n, multiply, bench->products);
        best = fmin(best, sonde_cli_seconds() - begin);
    }
    return 2.0 * ROWS * INNER * COLUMNS * PRODUCTS * n / best;
}

static enum sonde_status make_products(struct sonde_bench *bench, struct sonde_error *error)
{
    size_t threads = (size_t)sonde_pool_threads(bench->pool);
    if (bench->products)
        return SONDE_STATUS_OK;
    struct sonde_bench_products *p = calloc(1, sizeof(*p));
    if (!p)
        return sonde_error_memory(error, "the matrices");
    bench->products = p;
    p->a = random_floats((int64_t)ROWS * INNER);
    p->b = random_floats((int64_t)INNER * COLUMNS);
    p->c = calloc(threads, (size_t)ROWS * COLUMNS * sizeof(*p->c));
    if (!p->a || !p->b || !p->c) {
        sonde_bench_destroy_products(&bench->products);
        return sonde_error_memory(error, "the matrices");
    }
    sonde_pool_run(bench->pool, (int64_t)threads, multiply, p); /* memory and clocks get ready */
    return SONDE_STATUS_OK;
}

void sonde_bench_destroy_products(struct sonde_bench_products **products)
{
    if (!*products)
        return;
    free((*products)->a);
    free((*products)->b);
    free((*products)->c);
    free(*products);
    *products = NULL;
}

enum sonde_status sonde_bench_limit(struct sonde_bench *bench, double *rate,
                                    struct sonde_error *error)
{
    enum sonde_status status = make_products(bench, error);
    if (!status)
        *rate = rate_of(bench, NULL, 1) * sonde_pool_threads(bench->pool);
    return status;
}

enum sonde_status sonde_bench_gemm(struct sonde_bench *bench, struct sonde_error *error)
{
    struct sonde_bench_samples limit = { { 0 } }, achieved = { { 0 } };
    enum sonde_status status = SONDE_STATUS_OK;
    for (int r = 0; !status && r < SONDE_BENCH_ROUNDS; r++) {
        status = sonde_bench_limit(bench, &limit.value[r], error);
        if (status)
            break;
        achieved.value[r] = rate_of(bench, bench->pool, sonde_pool_threads(bench->pool)) / 1e9;
        limit.value[r] /= 1e9;
        status = sonde_bench_progress(bench, "gemm", r + 1, error);
    }
    if (!status)
        sonde_bench_add(bench, "gemm", "all threads", "GFLOP/s", &limit, &achieved);
    return status ? status : sonde_bench_linear(bench, error);
}
