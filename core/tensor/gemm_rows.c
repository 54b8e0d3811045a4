/* Finds out, by trying, what a row of a product depends on. */
#include <stdlib.h>
#include <string.h>

#include "core/base/rng.h"
#include "core/tensor/gemm.h"

/* So many values of each product are compared: two different orders of summation agree in one value
 * by chance, not in all of these. */
enum { MIN_VALUES = 256, MAX_REPEATS = 64 };

struct trial {
    bool transpose_b, add;
    int64_t n, k, max_rows;
    float *a;    /* [max_rows, k], every row the same */
    float *b;    /* [k, n] or [n, k] */
    float *bias; /* [n], what C holds before where add */
    float *want; /* [n], the row of a product of max_rows rows */
    float *c;    /* [max_rows, n] */
};

/* Calls fn for the counts that are tried, from the largest down, until it says no: all up to 17,
 * and around the powers of two and their middles, where kernels change their step. Returns the
 * least count that it said yes to. */
static int64_t descend_counts(int64_t max_rows, bool (*fn)(struct trial *, int64_t),
                              struct trial *t)
{
    int64_t least = 0;
    for (int64_t m = max_rows; m >= 2; m--) {
        bool tried = m <= 17 || m >= max_rows - 3;
        for (int64_t at = 16; at <= m + 1 && !tried; at *= 2) {
            tried = (m >= at - 1 && m <= at + 1) || m == at / 2 * 3;
        }
        if (tried) {
            if (!fn(t, m)) {
                break;
            }
            least = m;
        }
    }
    return least;
}

static void multiply(struct trial *t, int64_t m)
{
    for (int64_t i = 0; i < m && t->add; i++) {
        memcpy(t->c + i * t->n, t->bias, (size_t)t->n * sizeof(float));
    }
    sonde_sgemm(false, t->transpose_b, m, t->n, t->k, 1.0f, t->a, t->k, t->b,
                t->transpose_b ? t->k : t->n, t->add ? 1.0f : 0.0f, t->c, t->n);
}

/* The rows of A are equal, so those of C are where nothing but a row's values decides. */
static bool rows_agree(struct trial *t, int64_t m)
{
    multiply(t, m);
    for (int64_t i = 0; i < m; i++) {
        if (memcmp(t->c + i * t->n, t->want, (size_t)t->n * sizeof(float)) != 0) {
            return false;
        }
    }
    return true;
}

static void fill(struct sonde_rng *rng, float *values, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        values[i] = (float)((double)sonde_rng_u32(rng) * 0x1p-31 - 1.0);
    }
}

int64_t sonde_gemm_free_rows(bool transpose_b, int64_t n, int64_t k, bool add, int64_t max_rows)
{
    const int64_t largest = (int64_t)1 << 24;
    if (max_rows < 2 || n < 1 || k < 1 || n > largest || k > largest || max_rows > largest ||
        n * k > (int64_t)1 << 32 || n * max_rows > (int64_t)1 << 32 ||
        k * max_rows > (int64_t)1 << 32) {
        return 0;
    }
    struct trial t = {
        .transpose_b = transpose_b, .add = add, .n = n, .k = k, .max_rows = max_rows
    };
    const int64_t n_floats = max_rows * k + k * n + n + n + max_rows * n;
    t.a = malloc((size_t)n_floats * sizeof(float));
    if (!t.a) {
        return 0;
    }
    t.b = t.a + max_rows * k;
    t.bias = t.b + k * n;
    t.want = t.bias + n;
    t.c = t.want + n;

    struct sonde_rng rng = sonde_rng_make(SONDE_SEED_DEFAULT, sonde_rng_stream("gemm rows"));
    int64_t repeats = MIN_VALUES / n + 1, least = 2;
    repeats = repeats > MAX_REPEATS ? MAX_REPEATS : repeats;
    for (int64_t r = 0; r < repeats && least > 0; r++) {
        fill(&rng, t.a, k);
        fill(&rng, t.b, k * n);
        fill(&rng, t.bias, n);
        for (int64_t i = 1; i < max_rows; i++) {
            memcpy(t.a + i * k, t.a, (size_t)k * sizeof(float));
        }
        multiply(&t, max_rows);
        memcpy(t.want, t.c, (size_t)n * sizeof(float));
        const int64_t found = descend_counts(max_rows, rows_agree, &t);
        least = found == 0 || found > least ? found : least;
    }
    free(t.a);
    return least;
}
