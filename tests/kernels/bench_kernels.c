/*
 * Rates of the ops at the shapes of a 124M-parameter GPT-2 on one thread, each next to the matrix
 * product rate of the same process: the ratio holds on a noisy machine. The best of several runs
 * counts. `--bench` is taken and ignored, so that the call says what it is.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/rng.h"
#include "core/tensor/gemm.h"
#include "core/tensor/ops.h"

enum { D = 768, MLP = 3072, VOCAB = 50257, HEADS = 12, E = 64, REPEATS = 7 };

struct bench {
    struct sonde_op_context ctx;
    double gemm_rate; /* flop per second */
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Best seconds of a run, each long enough for the clock. */
static double best_time(void (*run)(void *arg), void *arg)
{
    double best = 1e30;
    for (int i = 0; i < REPEATS; i++) {
        int n = 0;
        const double start = now();
        double seconds = 0.0;
        do {
            run(arg);
            n++;
            seconds = now() - start;
        } while (seconds < 0.02);
        best = seconds / n < best ? seconds / n : best;
    }
    return best;
}

static float *normal_values(int64_t n, double spread, uint64_t stream)
{
    struct sonde_rng rng = sonde_rng_make(SONDE_SEED_DEFAULT, stream);
    float *values = malloc((size_t)n * sizeof(float));
    if (!values) {
        fprintf(stderr, "out of memory\n");
        exit(1);
    }
    for (int64_t i = 0; i < n; i++) {
        values[i] = (float)(sonde_rng_normal(&rng) * spread);
    }
    return values;
}

struct gemm_run {
    int64_t size;
    float *a, *b, *c;
};

static void run_gemm(void *arg)
{
    const struct gemm_run *g = arg;
    sonde_sgemm(false, true, g->size, g->size, g->size, 1.0f, g->a, g->size, g->b, g->size, 0.0f,
                g->c, g->size);
}

static double gemm_rate(void)
{
    struct gemm_run g = { .size = 1024 };
    g.a = normal_values(g.size * g.size, 1.0, 1);
    g.b = normal_values(g.size * g.size, 1.0, 2);
    g.c = normal_values(g.size * g.size, 1.0, 3);
    const double seconds = best_time(run_gemm, &g);
    free(g.a);
    free(g.b);
    free(g.c);
    return 2.0 * (double)(g.size * g.size * g.size) / seconds;
}

static void print_line(const struct bench *bench, const char *what, double flop, double seconds)
{
    printf("%-44s %9.3f ms %8.1f GFLOP/s  ratio %.3f\n", what, seconds * 1e3, flop / seconds * 1e-9,
           flop / seconds / bench->gemm_rate);
}

struct linear_run {
    struct sonde_op_context *ctx;
    struct sonde_tensor x, y;
    struct sonde_weight w, b;
};

static void run_linear(void *arg)
{
    struct linear_run *r = arg;
    sonde_op_linear(r->ctx, r->y, r->x, &r->w, &r->b);
}

static void bench_linear(struct bench *bench, int64_t n_rows, int64_t n_in, int64_t n_out,
                         bool transposed, enum sonde_dtype dtype)
{
    float *x = normal_values(n_rows * n_in, 1.0, 4), *y = normal_values(n_rows * n_out, 1.0, 5);
    float *values = normal_values(n_in * n_out, 0.02, 6), *bias = normal_values(n_out, 0.02, 7);
    void *stored = normal_values(n_in * n_out, 0.0, 8);
    sonde_dtype_narrow(dtype, values, stored, n_in * n_out);
    struct linear_run r = { .ctx = &bench->ctx };
    r.x = sonde_tensor_2d(x, n_rows, n_in);
    r.y = sonde_tensor_2d(y, n_rows, n_out);
    r.w = (struct sonde_weight){ stored, dtype, transposed ? n_in : n_out,
                                 transposed ? n_out : n_in, transposed };
    r.b = (struct sonde_weight){ bias, SONDE_DTYPE_F32, 1, n_out, false };
    const double seconds = best_time(run_linear, &r);
    char what[128];
    snprintf(what, sizeof(what), "linear %s %s T=%d %d -> %d", sonde_dtype_name(dtype),
             transposed ? "[in, out]" : "[out, in]", (int)n_rows, (int)n_in, (int)n_out);
    print_line(bench, what, 2.0 * (double)(n_rows * n_in * n_out), seconds);
    if (n_rows == 1) {
        printf("%-44s %9.1f GB/s of weights\n", "",
               (double)(n_in * n_out) * (double)sonde_dtype_size(dtype) / seconds * 1e-9);
    }
    free(x);
    free(y);
    free(values);
    free(bias);
    free(stored);
}

struct attention_run {
    struct sonde_op_context *ctx;
    struct sonde_tensor q, k, v, z;
    struct sonde_attention_args args;
};

static void run_attention(void *arg)
{
    struct attention_run *r = arg;
    sonde_op_attention(r->ctx, r->z, r->q, r->k, r->v, &r->args);
}

/* Only the visible half of a causal map counts as work. */
static void bench_attention(struct bench *bench, int64_t n_queries, int64_t n_keys, bool observed)
{
    struct attention_run r = { .ctx = &bench->ctx };
    float *q = normal_values(n_queries * D, 1.0, 10), *k = normal_values(n_keys * D, 1.0, 11);
    float *v = normal_values(n_keys * D, 1.0, 12), *z = normal_values(n_queries * D, 1.0, 13);
    float *pattern = normal_values(observed ? HEADS * n_queries * n_keys : 1, 1.0, 14);
    r.q = sonde_tensor_3d(q, n_queries, HEADS, E);
    r.k = sonde_tensor_3d(k, n_keys, HEADS, E);
    r.v = sonde_tensor_3d(v, n_keys, HEADS, E);
    r.z = sonde_tensor_3d(z, n_queries, HEADS, E);
    r.args = (struct sonde_attention_args){ .scale = 0.125f,
                                            .causal = true,
                                            .first = n_keys - n_queries };
    if (observed) {
        r.args.pattern = sonde_tensor_3d(pattern, HEADS, n_queries, n_keys);
    }
    const double seconds = best_time(run_attention, &r);
    const double pairs = (double)n_queries * (double)(n_keys - n_queries) +
                         0.5 * (double)n_queries * (double)(n_queries + 1);
    char what[128];
    snprintf(what, sizeof(what), "attention T=%d S=%d%s", (int)n_queries, (int)n_keys,
             observed ? " pattern wanted" : "");
    print_line(bench, what, 4.0 * pairs * D, seconds);
    free(q);
    free(k);
    free(v);
    free(z);
    free(pattern);
}

struct element_run {
    struct sonde_op_context *ctx;
    struct sonde_tensor x, y;
    int which; /* below N_ACTIVATIONS an activation, then norm, softmax, log softmax, add */
};
enum { N_ACTIVATIONS = SONDE_ACTIVATION_RELU_SQUARED + 1 };

static void run_elements(void *arg)
{
    struct element_run *r = arg;
    const struct sonde_norm_args layer = { .kind = SONDE_NORM_LAYER, .eps = 1e-5 };
    switch (r->which - N_ACTIVATIONS) {
    case 0:
        sonde_op_norm(r->ctx, r->y, r->x, &layer);
        break;
    case 1:
        sonde_op_softmax(r->ctx, r->y, r->x);
        break;
    case 2:
        sonde_op_log_softmax(r->ctx, r->y, r->x);
        break;
    case 3:
        sonde_op_add(r->ctx, r->y, r->x, r->x);
        break;
    default:
        sonde_op_activation(r->ctx, r->y, r->x, (enum sonde_activation)r->which);
        break;
    }
}

static void bench_elements(struct bench *bench)
{
    static const char *const names[] = { "gelu", "gelu_tanh", "silu",        "relu",
                                         "tanh", "sigmoid",   "quick_gelu",  "relu_squared",
                                         "norm", "softmax",   "log_softmax", "add" };
    const int64_t n_rows = 256;
    float *x = normal_values(n_rows * MLP, 1.0, 20), *y = normal_values(n_rows * MLP, 1.0, 21);
    struct element_run r = { .ctx = &bench->ctx };
    r.x = sonde_tensor_2d(x, n_rows, MLP);
    r.y = sonde_tensor_2d(y, n_rows, MLP);
    for (int i = 0; i < (int)(sizeof(names) / sizeof(names[0])); i++) {
        r.which = i;
        const double seconds = best_time(run_elements, &r);
        printf("%-44s %9.3f ms %8.3f ns an element\n", names[i], seconds * 1e3,
               seconds * 1e9 / (double)(n_rows * MLP));
    }
    free(x);
    free(y);
}

int main(int argc, char **argv)
{
    if (argc > 2 || (argc == 2 && strcmp(argv[1], "--bench") != 0)) {
        fprintf(stderr, "usage: bench_kernels [--bench]\n");
        return 2;
    }
    sonde_gemm_prepare();
    struct bench bench = { .ctx = { .arena = sonde_arena_create(0) } };
    if (!bench.ctx.arena) {
        return 1;
    }
    bench.gemm_rate = gemm_rate();
    printf("%s\nsgemm 1024 x 1024 x 1024: %.1f GFLOP/s\n", sonde_gemm_library(),
           bench.gemm_rate * 1e-9);
    static const int64_t shapes[][3] = { { 256, D, 3 * D }, { 256, D, D },    { 256, D, MLP },
                                         { 256, MLP, D },   { 1024, D, MLP }, { 1024, MLP, D },
                                         { 256, D, VOCAB }, { 1, D, MLP },    { 1, MLP, D },
                                         { 1, D, VOCAB } };
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        const bool is_unembedding = shapes[i][2] == VOCAB;
        bench_linear(&bench, shapes[i][0], shapes[i][1], shapes[i][2], false, SONDE_DTYPE_F32);
        if (!is_unembedding) {
            bench_linear(&bench, shapes[i][0], shapes[i][1], shapes[i][2], true, SONDE_DTYPE_F32);
        }
        bench_linear(&bench, shapes[i][0], shapes[i][1], shapes[i][2], false, SONDE_DTYPE_F16);
        bench_linear(&bench, shapes[i][0], shapes[i][1], shapes[i][2], false, SONDE_DTYPE_BF16);
    }
    bench_attention(&bench, 256, 256, false);
    bench_attention(&bench, 256, 256, true);
    bench_attention(&bench, 1024, 1024, false);
    bench_attention(&bench, 1024, 1024, true);
    bench_attention(&bench, 1, 1024, false);
    bench_elements(&bench);
    printf("sgemm again: %.1f GFLOP/s\n", gemm_rate() * 1e-9);
    sonde_arena_destroy(&bench.ctx.arena);
    return 0;
}
