#include "tests/kernels/kernel_check.h"

#include <string.h>

#include "core/tensor/gemm.h"
#include "tests/support/check.h"

enum { GUARD = 64 };
static const uint32_t guard_word = 0x7fc0beefu; /* a quiet NaN that no computation makes */

double gamma_bound(double n)
{
    return n * UNIT / (1.0 - n * UNIT);
}

int contexts_setup(void **state)
{
    sonde_gemm_prepare();
    struct contexts *contexts = calloc(1, sizeof(*contexts));
    struct sonde_error error = { 0 };
    for (int i = 0; contexts && i < N_CONTEXTS; i++) {
        contexts->each[i].arena = sonde_arena_create(0);
        if (!contexts->each[i].arena ||
            (i > 0 && sonde_pool_create(&contexts->each[i].pool, i, &error) != SONDE_STATUS_OK)) {
            fprintf(stderr, "# contexts: %s\n", error.text);
            *state = contexts;
            contexts_teardown(state);
            return 1;
        }
    }
    *state = contexts;
    return contexts ? 0 : 1;
}

int contexts_teardown(void **state)
{
    struct contexts *contexts = *state;
    for (int i = 0; i < N_CONTEXTS; i++) {
        sonde_pool_destroy(&contexts->each[i].pool);
        sonde_arena_destroy(&contexts->each[i].arena);
    }
    free(contexts);
    return 0;
}

struct guarded guarded_new(int64_t n)
{
    struct guarded g = { .n = n };
    g.base = malloc((size_t)(n + 2 * GUARD) * sizeof(float));
    assert_non_null(g.base);
    for (int64_t i = 0; i < n + 2 * GUARD; i++) {
        memcpy(g.base + i, &guard_word, sizeof(guard_word));
    }
    g.data = g.base + GUARD;
    return g;
}

void guarded_check(const struct guarded *g)
{
    for (int64_t i = 0; i < GUARD; i++) {
        assert_memory_equal(g->base + i, &guard_word, sizeof(guard_word));
        assert_memory_equal(g->data + g->n + i, &guard_word, sizeof(guard_word));
    }
}

void guarded_free(struct guarded *g)
{
    guarded_check(g);
    free(g->base);
    *g = (struct guarded){ 0 };
}

struct guarded guarded_normal(struct sonde_rng *rng, int64_t n, double spread)
{
    struct guarded g = guarded_new(n);
    for (int64_t i = 0; i < n; i++) {
        g.data[i] = (float)(sonde_rng_normal(rng) * spread);
    }
    return g;
}

struct sonde_weight random_weight(struct sonde_rng *rng, enum sonde_dtype dtype, int64_t rows,
                                  int64_t columns, bool transposed, double spread, float **wide)
{
    const int64_t n = rows * columns;
    float *values = malloc((size_t)n * (sizeof(float) + sonde_dtype_size(dtype)) + 1);
    assert_non_null(values);
    void *stored = values + n;
    for (int64_t i = 0; i < n; i++) {
        values[i] = (float)(sonde_rng_normal(rng) * spread);
    }
    sonde_dtype_narrow(dtype, values, stored, n);
    sonde_dtype_widen(dtype, stored, values, n);
    *wide = values;
    return (struct sonde_weight){
        .data = stored, .dtype = dtype, .rows = rows, .columns = columns, .transposed = transposed
    };
}

double check_bounds(const char *what, const float *got, const double *want, const double *bound,
                    int64_t n)
{
    double used = 0.0;
    for (int64_t i = 0; i < n; i++) {
        const double difference = fabs((double)got[i] - want[i]);
        const bool same = isinf(want[i]) ? (double)got[i] == want[i] : difference <= bound[i];
        if (!same) {
            fprintf(stderr, "# %s: element %lld: %.9g, expected %.17g within %.3g\n", what,
                    (long long)i, (double)got[i], want[i], bound[i]);
            fail();
        }
        if (bound[i] > 0.0 && isfinite(want[i]) && difference / bound[i] > used) {
            used = difference / bound[i];
        }
    }
    return used;
}

void check_bits(const char *what, const float *got, const float *want, int64_t n)
{
    if (n > 0 && memcmp(got, want, (size_t)n * sizeof(float)) != 0) {
        for (int64_t i = 0; i < n; i++) {
            if (memcmp(got + i, want + i, sizeof(float)) != 0) {
                fprintf(stderr, "# %s: element %lld: %.9g is not %.9g\n", what, (long long)i,
                        (double)got[i], (double)want[i]);
                break;
            }
        }
        fail();
    }
}

float *copy_floats(const float *src, int64_t n)
{
    float *copy = malloc((size_t)n * sizeof(float) + 1);
    assert_non_null(copy);
    memcpy(copy, src, (size_t)n * sizeof(float));
    return copy;
}

double *zeros(int64_t n)
{
    double *z = calloc((size_t)n + 1, sizeof(double));
    assert_non_null(z);
    return z;
}
