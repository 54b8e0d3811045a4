/*
 * Attention on one thread against the products of the same process: GFLOP/s of the visible half of
 * a causal map, for sequence lengths and head sizes, forwards and backwards; the bytes of a wanted
 * pattern against memcpy of as many; and the conversions to and from halves likewise. Limit and
 * work are measured in turn in each of five rounds, in processor time of the thread: what others
 * run beside does not count. The line shows the median of each and of their ratios.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/rng.h"
#include "core/tensor/gemm.h"
#include "core/tensor/tape.h"
#include "core/tensor/target.h"

enum { ROUNDS = 5, PRODUCT_M = 256, PRODUCT_K = 768, PRODUCT_N = 3072 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void need(bool holds)
{
    if (!holds) {
        fprintf(stderr, "out of memory\n");
        exit(1);
    }
}

/* Seconds of one run, over as many as take `least`. */
static double seconds_of(void (*run)(void *arg), void *arg, double least)
{
    int n = 0;
    double seconds = 0.0;
    const double start = now();
    do {
        run(arg);
        n++;
        seconds = now() - start;
    } while (seconds < least);
    return seconds / n;
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Prints work_i / limit_i, each in `work` a second over the seconds of its run. */
static void measure(const char *name, const char *unit, double limit_work, void (*limit)(void *),
                    void *limit_arg, double work, void (*run)(void *), void *arg)
{
    double limits[ROUNDS], rates[ROUNDS], ratios[ROUNDS];
    run(arg);
    for (int i = 0; i < ROUNDS; i++) {
        limits[i] = limit_work / seconds_of(limit, limit_arg, 0.03) * 1e-9;
        rates[i] = work / seconds_of(run, arg, 0.03) * 1e-9;
        ratios[i] = rates[i] / limits[i];
    }
    qsort(limits, ROUNDS, sizeof(*limits), ascending);
    qsort(rates, ROUNDS, sizeof(*rates), ascending);
    qsort(ratios, ROUNDS, sizeof(*ratios), ascending);
    printf("%-46s limit %7.1f  achieved %7.1f %-8s ratio %.3f (%.3f to %.3f)\n", name,
           limits[ROUNDS / 2], rates[ROUNDS / 2], unit, ratios[ROUNDS / 2], ratios[0],
           ratios[ROUNDS - 1]);
}

static float *normal_values(int64_t n, uint64_t stream)
{
    struct sonde_rng rng = sonde_rng_make(SONDE_SEED_DEFAULT, stream);
    float *values = malloc((size_t)n * sizeof(float));
    need(values);
    for (int64_t i = 0; i < n; i++) {
        values[i] = (float)sonde_rng_normal(&rng);
    }
    return values;
}

struct product {
    float *a, *b, *c;
};

static void run_product(void *arg)
{
    const struct product *p = arg;
    sonde_sgemm(false, true, PRODUCT_M, PRODUCT_N, PRODUCT_K, 1.0f, p->a, PRODUCT_K, p->b,
                PRODUCT_K, 0.0f, p->c, PRODUCT_N);
}

struct attention {
    struct sonde_op_context ctx;
    struct sonde_attention_args args;
    struct sonde_tensor q, k, v, z;
    struct sonde_tape *tape;
    const float *dz;
};

static void run_forward(void *arg)
{
    struct attention *a = arg;
    sonde_op_attention(&a->ctx, a->z, a->q, a->k, a->v, &a->args);
    need(!a->ctx.failed);
}

/* Forwards and backwards; the difference to forwards is the backward pass and the tape. */
static void run_both(void *arg)
{
    struct attention *a = arg;
    struct sonde_error error;
    sonde_tape_clear(a->tape);
    a->ctx.tape = a->tape;
    run_forward(a);
    const int64_t z = sonde_tape_watch(a->tape, a->z.data, sonde_tensor_elements(&a->z));
    need(sonde_tape_seed(a->tape, z, a->dz, &error) == SONDE_STATUS_OK &&
         sonde_tape_backward(a->tape, NULL, &error) == SONDE_STATUS_OK);
    a->ctx.tape = NULL;
}

struct shape {
    int64_t n_queries, n_keys, n_heads, n_kv, d_head;
};

static struct attention attention_new(const struct shape *s)
{
    struct attention a = { .ctx = { .arena = sonde_arena_create(0) } };
    const int64_t n_q = s->n_queries * s->n_heads * s->d_head;
    const int64_t n_kv = s->n_keys * s->n_kv * s->d_head;
    struct sonde_error error;
    need(a.ctx.arena && sonde_tape_create(&a.tape, 0, &error) == SONDE_STATUS_OK);
    a.q = sonde_tensor_3d(normal_values(n_q, 1), s->n_queries, s->n_heads, s->d_head);
    a.k = sonde_tensor_3d(normal_values(n_kv, 2), s->n_keys, s->n_kv, s->d_head);
    a.v = sonde_tensor_3d(normal_values(n_kv, 3), s->n_keys, s->n_kv, s->d_head);
    a.z = sonde_tensor_3d(normal_values(n_q, 4), s->n_queries, s->n_heads, s->d_head);
    a.dz = normal_values(n_q, 5);
    a.args = (struct sonde_attention_args){ .scale = 0.125f,
                                            .causal = true,
                                            .first = s->n_keys - s->n_queries };
    return a;
}

static void attention_free(struct attention *a)
{
    free(a->q.data);
    free(a->k.data);
    free(a->v.data);
    free(a->z.data);
    free((void *)(uintptr_t)a->dz);
    sonde_tape_destroy(&a->tape);
    sonde_arena_destroy(&a->ctx.arena);
}

struct copy {
    float *to, *from;
    void *halves;
    int64_t n;
    enum sonde_dtype dtype;
};

static void run_copy(void *arg)
{
    const struct copy *c = arg;
    memcpy(c->to, c->from, (size_t)c->n * sizeof(float));
}

static void run_narrow(void *arg)
{
    const struct copy *c = arg;
    sonde_dtype_narrow(c->dtype, c->from, c->halves, c->n);
}

static void run_widen(void *arg)
{
    const struct copy *c = arg;
    sonde_dtype_widen(c->dtype, c->halves, c->to, c->n);
}

static void copy_new(struct copy *c, int64_t n, uint64_t stream)
{
    *c = (struct copy){ .n = n, .from = normal_values(n, stream) };
    c->to = calloc((size_t)n, sizeof(float));
    c->halves = calloc((size_t)n, 2);
    need(c->to && c->halves);
}

static void copy_free(struct copy *c)
{
    free(c->to);
    free(c->from);
    free(c->halves);
}

static void bench_shape(const struct shape *s, struct product *product)
{
    struct attention a = attention_new(s);
    const double before = (double)(s->n_keys - s->n_queries), T = (double)s->n_queries;
    const double pairs = T * before + 0.5 * T * (T + 1.0);
    const double flop = 4.0 * pairs * (double)(s->n_heads * s->d_head);
    const double product_flop = 2.0 * PRODUCT_M * PRODUCT_K * (double)PRODUCT_N;
    char name[128];
    const int end = snprintf(name, sizeof(name), "T %d S %d H %d G %d E %d", (int)s->n_queries,
                             (int)s->n_keys, (int)s->n_heads, (int)s->n_kv, (int)s->d_head);
    measure(name, "GFLOP/s", product_flop, run_product, product, flop, run_forward, &a);
    if (s->n_queries == s->n_keys) {
        snprintf(name + end, sizeof(name) - (size_t)end, ", and backwards");
        measure(name, "GFLOP/s", product_flop, run_product, product, 3.0 * flop, run_both, &a);
        struct copy copy;
        copy_new(&copy, s->n_heads * s->n_queries * s->n_keys, 6);
        a.args.pattern = sonde_tensor_3d(copy.to, s->n_heads, s->n_queries, s->n_keys);
        snprintf(name + end, sizeof(name) - (size_t)end, ", pattern wanted");
        measure(name, "GFLOP/s", product_flop, run_product, product, flop, run_forward, &a);
        copy_free(&copy);
    }
    attention_free(&a);
}

/* The bytes of a pattern, through what attention adds to write them. */
static void bench_pattern(const struct shape *s)
{
    struct attention a = attention_new(s);
    struct copy copy;
    double extra[ROUNDS], ratio[ROUNDS];
    copy_new(&copy, s->n_heads * s->n_queries * s->n_keys, 7);
    const struct sonde_tensor pattern =
        sonde_tensor_3d(copy.to, s->n_heads, s->n_queries, s->n_keys);
    for (int i = 0; i < ROUNDS; i++) {
        a.args.pattern.data = NULL;
        const double without = seconds_of(run_forward, &a, 0.1);
        a.args.pattern = pattern;
        extra[i] = seconds_of(run_forward, &a, 0.1) - without;
        ratio[i] = seconds_of(run_copy, &copy, 0.05) / extra[i];
    }
    qsort(extra, ROUNDS, sizeof(*extra), ascending);
    qsort(ratio, ROUNDS, sizeof(*ratio), ascending);
    printf("pattern of T %d H %d: %.2f GB/s more, %.2f (%.2f to %.2f) times memcpy\n",
           (int)s->n_queries, (int)s->n_heads,
           (double)copy.n * sizeof(float) / extra[ROUNDS / 2] * 1e-9, ratio[ROUNDS / 2], ratio[0],
           ratio[ROUNDS - 1]);
    copy_free(&copy);
    attention_free(&a);
}

/* Bytes of the floats, in the second-level cache and beyond all caches. */
static void bench_halves(void)
{
    static const int64_t sizes[] = { 1 << 16, 1 << 24 };
    static const enum sonde_dtype dtypes[] = { SONDE_DTYPE_F16, SONDE_DTYPE_BF16 };
    for (int i = 0; i < 4; i++) {
        struct copy copy;
        char name[64];
        copy_new(&copy, sizes[i / 2], 8);
        copy.dtype = dtypes[i % 2];
        const double bytes = 4.0 * (double)copy.n;
        const char *type = sonde_dtype_name(copy.dtype);
        snprintf(name, sizeof(name), "narrow to %s, %d KiB, of memcpy", type, (int)(copy.n >> 8));
        measure(name, "GB/s", bytes, run_copy, &copy, bytes, run_narrow, &copy);
        snprintf(name, sizeof(name), "widen from %s, %d KiB, of memcpy", type, (int)(copy.n >> 8));
        measure(name, "GB/s", bytes, run_copy, &copy, bytes, run_widen, &copy);
        copy_free(&copy);
    }
}

int main(void)
{
    static const struct shape shapes[] = {
        { 1024, 1024, 12, 12, 64 }, { 1024, 1024, 12, 4, 64 }, { 256, 256, 12, 12, 64 },
        { 256, 256, 12, 4, 64 },    { 128, 128, 4, 4, 32 },    { 50, 50, 4, 4, 8 },
        { 20, 20, 2, 2, 32 },       { 8, 8, 4, 4, 8 },         { 256, 256, 8, 8, 128 },
        { 4096, 4096, 1, 1, 64 },   { 1, 1024, 12, 12, 64 },   { 1, 1024, 12, 4, 64 },
        { 4, 1024, 12, 12, 64 },    { 4, 256, 8, 8, 128 },
    };
    sonde_gemm_prepare();
    printf("%s, vectors %s\n", sonde_gemm_library(), sonde_target_name(sonde_target_here()));
    struct product product = { normal_values(PRODUCT_M * PRODUCT_K, 20),
                               normal_values(PRODUCT_K * PRODUCT_N, 21),
                               normal_values(PRODUCT_M * PRODUCT_N, 22) };
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        bench_shape(&shapes[i], &product);
    }
    bench_pattern(&shapes[0]);
    bench_pattern(&shapes[2]);
    bench_halves();
    free(product.a);
    free(product.b);
    free(product.c);
    return 0;
}
