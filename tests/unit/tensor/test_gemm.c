#include "core/tensor/gemm.h"

#include <string.h>

#include "core/base/rng.h"
#include "tests/support/check.h"

enum { MAX = 40 * 60 };

struct gemm_case {
    int64_t m, n, k;
    double alpha, beta;
};

static const struct gemm_case cases[] = {
    { 0, 3, 4, 1.0, 0.0 },   { 3, 0, 4, 1.0, 0.0 },    { 3, 4, 0, 1.0, 0.0 },
    { 3, 4, 0, 1.0, 0.5 },   { 1, 1, 1, 2.0, 0.0 },    { 1, 19, 33, 0.5, 0.0 },
    { 1, 19, 33, 1.0, 1.0 }, { 1, 7, 0, 1.0, 0.0 },    { 17, 1, 9, 1.0, 0.25 },
    { 5, 6, 7, -1.5, 0.0 },  { 33, 31, 40, 1.0, 1.0 }, { 16, 48, 30, 0.125, 0.0 },
};

static int64_t at(bool transpose, int64_t row, int64_t column, int64_t stride)
{
    return transpose ? column * stride + row : row * stride + column;
}

/* One case in one layout, in f32 and f64: C, and nothing beside C; beta = 0 does not read C. */
static void check_gemm(const struct gemm_case *c, bool ta, bool tb, uint64_t stream)
{
    static const int64_t extra = 3;
    struct sonde_rng rng = sonde_rng_make(SONDE_SEED_DEFAULT, stream);
    const int64_t lda = (ta ? c->m : c->k) + extra, ldb = (tb ? c->k : c->n) + extra;
    const int64_t ldc = c->n + extra;
    float a[MAX], b[MAX], s[MAX], s0[MAX];
    double ad[MAX], bd[MAX], d[MAX];
    for (int i = 0; i < MAX; i++) {
        a[i] = (float)sonde_rng_normal(&rng);
        b[i] = (float)sonde_rng_normal(&rng);
        s[i] = s0[i] = c->beta == 0.0 ? NAN : (float)sonde_rng_normal(&rng);
        ad[i] = (double)a[i];
        bd[i] = (double)b[i];
        d[i] = (double)s[i];
    }
    sonde_sgemm(ta, tb, c->m, c->n, c->k, (float)c->alpha, a, lda, b, ldb, (float)c->beta, s, ldc);
    sonde_dgemm(ta, tb, c->m, c->n, c->k, c->alpha, ad, lda, bd, ldb, c->beta, d, ldc);
    for (int64_t i = 0; i < c->m; i++) {
        for (int64_t j = 0; j < c->n; j++) {
            long double sum = 0.0L;
            double size = 0.0;
            for (int64_t k = 0; k < c->k; k++) {
                const double product = ad[at(ta, i, k, lda)] * bd[at(tb, k, j, ldb)];
                sum += (long double)product;
                size += fabs(product);
            }
            const double old = c->beta == 0.0 ? 0.0 : c->beta * (double)s0[i * ldc + j];
            const double want = (double)(sum * (long double)c->alpha) + old;
            /* k products and sums, times alpha, beta C, their sum. */
            const double n_roundings = (double)c->k + 3.0;
            const double bound = n_roundings * (fabs(c->alpha) * size + fabs(old)) * 1.001;
            check_close(s[i * ldc + j], want, bound * 0x1p-24);
            check_close(d[i * ldc + j], want, bound * 0x1p-53);
        }
    }
    for (int64_t i = 0; i < MAX; i++) {
        if (i / ldc >= c->m || i % ldc >= c->n) {
            assert_memory_equal(&s[i], &s0[i], sizeof(float));
        }
    }
}

static void test_gemm(void **state)
{
    (void)state;
    for (size_t i = 0; i < 4 * sizeof(cases) / sizeof(cases[0]); i++) {
        check_gemm(&cases[i / 4], i % 2, i / 2 % 2, i);
    }
}

struct rows_case {
    int64_t n, k;
    bool transpose_b, add;
};

enum { MAX_ROWS = 72 };

static float *random_values(struct sonde_rng *rng, int64_t n)
{
    float *values = malloc((size_t)n * sizeof(*values));
    for (int64_t i = 0; i < n; i++) {
        values[i] = (float)sonde_rng_normal(rng);
    }
    return values;
}

/* C[m, n] = a few rows of A from `first` on by B, added to the bias where the case says so. */
static void multiply_rows(const struct rows_case *s, const float *a, const float *b,
                          const float *bias, int64_t first, int64_t m, float *c)
{
    for (int64_t i = 0; i < m; i++) {
        memcpy(c + i * s->n, bias, (size_t)s->n * sizeof(float));
    }
    sonde_sgemm(false, s->transpose_b, m, s->n, s->k, 1.0f, a + first * s->k, s->k, b,
                s->transpose_b ? s->k : s->n, s->add ? 1.0f : 0.0f, c, s->n);
}

/* Every count of rows and every place of the first 16 that the answer allows, with rows that all
 * differ: the bits of each are those it has in a product of MAX_ROWS. */
static int64_t check_free_rows(const struct rows_case *s, uint64_t stream)
{
    struct sonde_rng rng = sonde_rng_make(SONDE_SEED_DEFAULT, stream);
    const int64_t least = sonde_gemm_free_rows(s->transpose_b, s->n, s->k, s->add, MAX_ROWS);
    assert_int_equal(least, sonde_gemm_free_rows(s->transpose_b, s->n, s->k, s->add, MAX_ROWS));
    assert_true(least == 0 || (least >= 2 && least <= MAX_ROWS));
    float *a = random_values(&rng, (MAX_ROWS + 16) * s->k), *b = random_values(&rng, s->n * s->k);
    float *bias = random_values(&rng, s->n), *c = random_values(&rng, MAX_ROWS * s->n);
    float *want = random_values(&rng, (MAX_ROWS + 16) * s->n);
    multiply_rows(s, a, b, bias, 16, MAX_ROWS, want + 16 * s->n);
    multiply_rows(s, a, b, bias, 0, MAX_ROWS, c);
    memcpy(want, c, (size_t)(16 * s->n) * sizeof(float));
    for (int64_t m = least; m > 0 && m <= MAX_ROWS; m++) {
        const int64_t first = m * 7 % 17;
        multiply_rows(s, a, b, bias, first, m, c);
        assert_memory_equal(c, want + first * s->n, (size_t)(m * s->n) * sizeof(float));
    }
    free(a);
    free(b);
    free(bias);
    free(c);
    free(want);
    return least;
}

static void test_free_rows(void **state)
{
    (void)state;
    static const int64_t shapes[][2] = { { 24, 1 },   { 50, 32 },   { 100, 65 },  { 7, 300 },
                                         { 128, 64 }, { 512, 128 }, { 256, 768 }, { 300, 1000 } };
    bool all_free = true;
    for (size_t i = 0; i < 4 * sizeof(shapes) / sizeof(shapes[0]); i++) {
        const struct rows_case s = { .n = shapes[i / 4][0],
                                     .k = shapes[i / 4][1],
                                     .transpose_b = i % 2 == 1,
                                     .add = i / 2 % 2 == 1 };
        const int64_t least = check_free_rows(&s, 100 + i);
        all_free = all_free && (s.n < 256 || (least > 0 && least <= 16));
    }
    /* What was measured of the kernels of 0.3.21; of other versions nothing is asked. */
    const char *library = sonde_gemm_library();
    if (strstr(library, "OpenBLAS 0.3.21") &&
        (strstr(library, "Cooperlake") || strstr(library, "SkylakeX") ||
         strstr(library, "Sandybridge"))) {
        assert_true(all_free);
    }
    assert_int_equal(sonde_gemm_free_rows(false, 8, 8, false, 1), 0);
    assert_int_equal(sonde_gemm_free_rows(false, 0, 8, false, 16), 0);
    assert_int_equal(sonde_gemm_free_rows(false, 8, 0, false, 16), 0);
    assert_int_equal(sonde_gemm_free_rows(false, INT64_MAX, 8, false, 16), 0);
    assert_int_equal(sonde_gemm_free_rows(false, 8, 8, false, INT64_MAX), 0);
}

static void test_prepare(void **state)
{
    (void)state;
    sonde_gemm_prepare();
    sonde_gemm_prepare();
    assert_non_null(strstr(sonde_gemm_library(), "BLAS"));
    assert_non_null(strstr(sonde_gemm_library(), sonde_gemm_kernels()));
}

/* A kernel of OpenBLAS that OPENBLAS_CORETYPE asks for and this machine cannot run ends the program
 * at the first product. */
static bool kernel_runs(void)
{
    const char *core = getenv("OPENBLAS_CORETYPE");
#if defined(__x86_64__)
    if (core && (strcmp(core, "Haswell") == 0 || strcmp(core, "Zen") == 0)) {
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    }
    if (core && (strcmp(core, "SkylakeX") == 0 || strcmp(core, "Cooperlake") == 0)) {
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
               (strcmp(core, "SkylakeX") == 0 || __builtin_cpu_supports("avx512bf16"));
    }
    return !core || __builtin_cpu_supports("avx");
#else
    return !core;
#endif
}

static void test_no_such_kernel(void **state)
{
    (void)state;
    fprintf(stderr, "# SKIP this machine cannot run %s\n", getenv("OPENBLAS_CORETYPE"));
    skip();
}

int main(void)
{
    if (!kernel_runs()) {
        const struct CMUnitTest tests[] = { cmocka_unit_test(test_no_such_kernel) };
        return cmocka_run_group_tests(tests, NULL, NULL);
    }
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_prepare), cmocka_unit_test(test_gemm),
                                        cmocka_unit_test(test_free_rows) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
