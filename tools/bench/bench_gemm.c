/* Linear layers as the forward pass computes them, by every way that this build has. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/rng.h"
#include "core/tensor/gemm_plan.h"
#include "tools/bench/bench.h"

enum { ROWS = 256, IN = 768, OUT = 3072, REPEATS = 3 };

struct layer {
    const char *name;
    int64_t n_rows;               /* of one product */
    struct sonde_gemm_plan *plan; /* NULL: OpenBLAS */
    struct sonde_weight w;        /* [IN, OUT] */
    float *x, *y;                 /* [threads, ROWS, IN], [threads, ROWS, OUT] */
    struct sonde_arena **arena;   /* [threads] */
    bool *failed;                 /* [threads] */
};

/* ROWS * 8 rows by one thread, n_rows at a time. */
static void multiply(void *ctx, int64_t i, int worker)
{
    const struct layer *l = ctx;
    struct sonde_op_context ops = { .arena = l->arena[i], .plan = l->plan };
    (void)worker;
    for (int64_t k = 0; k < 8 * ROWS / l->n_rows; k++)
        sonde_op_linear(&ops, sonde_tensor_2d(l->y + i * ROWS * OUT, l->n_rows, OUT),
                        sonde_tensor_2d(l->x + i * ROWS * IN, l->n_rows, IN), &l->w, NULL);
    l->failed[i] = ops.failed;
}

static enum sonde_status measure(struct sonde_bench *bench, struct layer *l,
                                 struct sonde_error *error)
{
    struct sonde_bench_samples limit = { { 0 } }, achieved = { { 0 } };
    const int n = sonde_pool_threads(bench->pool);
    enum sonde_status status = SONDE_STATUS_OK;
    for (int r = 0; !status && r < SONDE_BENCH_ROUNDS; r++) {
        double best = INFINITY;
        status = sonde_bench_limit(bench, &limit.value[r], error);
        for (int k = 0; k < REPEATS && !status; k++) {
            double begin = sonde_cli_seconds();
            sonde_pool_run(bench->pool, n, multiply, l);
            best = fmin(best, sonde_cli_seconds() - begin);
        }
        limit.value[r] /= 1e9;
        achieved.value[r] = 2.0 * ROWS * IN * OUT * 8 * n / best / 1e9;
        for (int i = 0; i < n && !status; i++)
            if (l->failed[i])
                status = sonde_error_memory(error, "a product");
        if (!status)
            status = sonde_bench_progress(bench, "gemm", r + 1, error);
    }
    if (!status)
        sonde_bench_add(bench, "gemm", l->name, "GFLOP/s", &limit, &achieved);
    return status;
}

static enum sonde_status measure_plan(struct sonde_bench *bench, struct layer *l,
                                      enum sonde_compute compute, struct sonde_error *error)
{
    static const char *const names[][2] = { { "oneDNN f32 256 rows", "oneDNN f32 32 rows" },
                                            { "oneDNN bf16 256 rows", "oneDNN bf16 32 rows" } };
    enum sonde_status status = sonde_gemm_plan_create(&l->plan, compute, error);
    if (status == SONDE_STATUS_UNSUPPORTED) { /* not in this build */
        *error = (struct sonde_error){ 0 };
        return SONDE_STATUS_OK;
    }
    if (!status)
        status = sonde_gemm_plan_add(l->plan, &l->w, error);
    for (int i = 0; i < 2 && !status; i++) {
        l->n_rows = i ? 32 : ROWS;
        l->name = names[compute][i];
        status = measure(bench, l, error);
    }
    sonde_gemm_plan_destroy(&l->plan);
    return status;
}

static bool make_layer(struct layer *l, float *weights, int n)
{
    struct sonde_rng rng = sonde_rng_make(SONDE_SEED_DEFAULT, 2);
    for (int64_t i = 0; weights && i < (int64_t)IN * OUT; i++)
        weights[i] = (float)(sonde_rng_u32(&rng) >> 8) / 8388608.0f - 1.0f;
    l->w = (struct sonde_weight){
        .data = weights, .dtype = SONDE_DTYPE_F32, .rows = IN, .columns = OUT, .transposed = true
    };
    bool ok = weights && l->x && l->y && l->arena && l->failed;
    for (int64_t i = 0; ok && i < (int64_t)n * ROWS * IN; i++)
        l->x[i] = weights[i % ((int64_t)IN * OUT)];
    for (int i = 0; ok && i < n; i++) {
        l->arena[i] = sonde_arena_create(0);
        ok = l->arena[i] != NULL;
    }
    return ok;
}

enum sonde_status sonde_bench_linear(struct sonde_bench *bench, struct sonde_error *error)
{
    const int n = sonde_pool_threads(bench->pool);
    float *weights = malloc(sizeof(*weights) * IN * OUT);
    struct layer l = { .x = malloc((size_t)n * ROWS * IN * sizeof(*l.x)),
                       .y = malloc((size_t)n * ROWS * OUT * sizeof(*l.y)),
                       .arena = calloc((size_t)n, sizeof(struct sonde_arena *)),
                       .failed = calloc((size_t)n, sizeof(*l.failed)) };
    enum sonde_status status =
        make_layer(&l, weights, n) ? SONDE_STATUS_OK : sonde_error_memory(error, "a layer");
    for (int i = 0; i < 2 && !status; i++) {
        l.n_rows = i ? 32 : ROWS;
        l.name = i ? "OpenBLAS 32 rows" : "OpenBLAS 256 rows";
        status = measure(bench, &l, error);
    }
    if (!status)
        status = measure_plan(bench, &l, SONDE_COMPUTE_F32, error);
    if (!status)
        status = measure_plan(bench, &l, SONDE_COMPUTE_BF16, error);
    for (int i = 0; l.arena && i < n; i++)
        sonde_arena_destroy(&l.arena[i]);
    free(l.arena);
    free(l.failed);
    free(l.x);
    free(l.y);
    free(weights);
    return status;
}
