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

static void test_prepare(void **state)
{
    (void)state;
    sonde_gemm_prepare();
    sonde_gemm_prepare();
    assert_non_null(strstr(sonde_gemm_library(), "BLAS"));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_prepare),
                                        cmocka_unit_test(test_gemm) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
