/* Dense algebra by its identities: A X = B, A v = w v, A = U S Vt, orthonormal factors. */
#include "core/tensor/linalg.h"

#include <string.h>

#include "core/base/rng.h"
#include "tests/support/check.h"

enum { MAX = 40 };

static void fill_normal(struct sonde_rng *rng, double *a, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        a[i] = sonde_rng_normal(rng);
    }
}

/* rows [n, k] are orthonormal. LAPACK's bound is a modest multiple of k * 2^-53. */
static void check_orthonormal(const double *rows, int64_t n, int64_t k)
{
    for (int64_t i = 0; i < n; i++) {
        for (int64_t j = 0; j < n; j++) {
            double dot = 0.0;
            for (int64_t l = 0; l < k; l++) {
                dot += rows[i * k + l] * rows[j * k + l];
            }
            check_close(dot, i == j ? 1.0 : 0.0, 20.0 * (double)k * 0x1p-53);
        }
    }
}

static void test_cholesky_solve(void **state)
{
    (void)state;
    static const int64_t sizes[][2] = { { 0, 0 },  { 1, 1 },   { 5, 1 },
                                        { 17, 4 }, { 40, 40 }, { 3, 0 } };
    for (int i = 0; i < 6; i++) {
        const int64_t n = sizes[i][0], m = sizes[i][1];
        struct sonde_rng rng = sonde_rng_make(SONDE_SEED_DEFAULT, (uint64_t)i);
        struct sonde_error error = { 0 };
        double g[MAX * MAX], a[MAX * MAX], saved[MAX * MAX], x[MAX * MAX], b[MAX * MAX];
        fill_normal(&rng, g, n * n);
        fill_normal(&rng, b, n * m);
        memcpy(x, b, sizeof(x));
        for (int64_t r = 0; r < n; r++) {
            for (int64_t c = 0; c < n; c++) { /* G G^T + n I: condition number of a few */
                double sum = r == c ? (double)n : 0.0;
                for (int64_t k = 0; k < n; k++) {
                    sum += g[r * n + k] * g[c * n + k];
                }
                a[r * n + c] = saved[r * n + c] = sum;
            }
        }
        check_ok(sonde_cholesky_solve(a, n, x, m, &error), &error);
        for (int64_t r = 0; r < n; r++) {
            for (int64_t c = 0; c < m; c++) {
                double sum = 0.0, size = 0.0;
                for (int64_t k = 0; k < n; k++) {
                    sum += saved[r * n + k] * x[k * m + c];
                    size += fabs(saved[r * n + k] * x[k * m + c]);
                }
                /* The residual of a Cholesky solution: Higham, theorem 10.4, 3 n + 1 and our sum.
                 */
                check_close(sum, b[r * m + c],
                            (4.0 * (double)n + 2.0) * (double)n * 0x1p-53 * (size + 1.0));
            }
        }
    }
}

/* L^-1 A L^-T = I, and nothing over the diagonal. */
static void test_cholesky_inverse_factor(void **state)
{
    (void)state;
    enum { N = 23 };
    struct sonde_rng rng = sonde_rng_make(SONDE_SEED_DEFAULT, 9);
    struct sonde_error error = { 0 };
    double g[N * N], a[N * N], f[N * N];
    fill_normal(&rng, g, (int64_t)N * N);
    for (int r = 0; r < N; r++) {
        for (int c = 0; c < N; c++) {
            double sum = r == c ? (double)N : 0.0;
            for (int k = 0; k < N; k++) {
                sum += g[r * N + k] * g[c * N + k];
            }
            a[r * N + c] = f[r * N + c] = sum;
        }
    }
    check_ok(sonde_cholesky_inverse_factor(f, N, &error), &error);
    for (int r = 0; r < N; r++) {
        for (int c = 0; c < N; c++) {
            double sum = 0.0, size = 0.0;
            for (int i = 0; i < N; i++) {
                for (int j = 0; j < N; j++) {
                    sum += f[r * N + i] * a[i * N + j] * f[c * N + j];
                    size += fabs(f[r * N + i] * a[i * N + j] * f[c * N + j]);
                }
            }
            assert_true(c <= r || f[r * N + c] == 0.0);
            check_close(sum, r == c ? 1.0 : 0.0, 10.0 * N * 0x1p-53 * size);
        }
    }
    double bad[4] = { 1, 2, 2, 1 }, nan[1] = { NAN };
    assert_int_equal(sonde_cholesky_inverse_factor(bad, 2, &error), SONDE_STATUS_NUMERIC);
    assert_int_equal(sonde_cholesky_inverse_factor(nan, 1, &error), SONDE_STATUS_NUMERIC);
}

static void test_eigen_symmetric(void **state)
{
    (void)state;
    static const int64_t sizes[] = { 0, 1, 2, 9, 40 };
    for (int i = 0; i < 5; i++) {
        const int64_t n = sizes[i];
        struct sonde_rng rng = sonde_rng_make(SONDE_SEED_DEFAULT, 10 + (uint64_t)i);
        struct sonde_error error = { 0 };
        double a[MAX * MAX] = { 0 }, v[MAX * MAX], w[MAX], norm = 0.0;
        fill_normal(&rng, a, n * n);
        for (int64_t r = 0; r < n; r++) {
            for (int64_t c = 0; c < n; c++) {
                a[r * n + c] = r < c ? a[r * n + c] : a[c * n + r];
            }
        }
        for (int64_t j = 0; j < n * n; j++) {
            norm += a[j] * a[j];
        }
        memcpy(v, a, sizeof(v));
        check_ok(sonde_eigen_symmetric(v, n, w, &error), &error);
        check_orthonormal(v, n, n);
        for (int64_t e = 0; e < n; e++) {
            assert_true(e == 0 || w[e - 1] <= w[e]);
            for (int64_t r = 0; r < n; r++) {
                double sum = 0.0;
                for (int64_t c = 0; c < n; c++) {
                    sum += a[r * n + c] * v[e * n + c];
                }
                check_close(sum, w[e] * v[e * n + r], 20.0 * (double)n * 0x1p-53 * sqrt(norm));
            }
        }
    }
}

static void test_svd(void **state)
{
    (void)state;
    static const int64_t sizes[][2] = { { 0, 3 }, { 1, 1 },   { 7, 3 },
                                        { 3, 7 }, { 40, 33 }, { 16, 16 } };
    for (int i = 0; i < 6; i++) {
        const int64_t m = sizes[i][0], n = sizes[i][1], k = m < n ? m : n;
        struct sonde_rng rng = sonde_rng_make(SONDE_SEED_DEFAULT, 20 + (uint64_t)i);
        struct sonde_error error = { 0 };
        double a[MAX * MAX] = { 0 }, work[MAX * MAX], u[MAX * MAX], ut[MAX * MAX], s[MAX],
                       vt[MAX * MAX];
        fill_normal(&rng, a, m * n);
        memcpy(work, a, sizeof(work));
        check_ok(sonde_svd(work, m, n, u, s, vt, &error), &error);
        for (int64_t r = 0; r < m; r++) {
            for (int64_t c = 0; c < n; c++) {
                double sum = 0.0;
                for (int64_t j = 0; j < k; j++) {
                    sum += u[r * k + j] * s[j] * vt[j * n + c];
                }
                check_close(sum, a[r * n + c], 20.0 * (double)(m + n) * 0x1p-53 * s[0]);
            }
            for (int64_t j = 0; j < k; j++) {
                ut[j * m + r] = u[r * k + j];
            }
        }
        for (int64_t j = 0; j < k; j++) {
            assert_true(s[j] >= 0.0 && (j == 0 || s[j - 1] >= s[j]));
        }
        check_orthonormal(vt, k, n);
        check_orthonormal(ut, k, m);
    }
}

static void test_refusals(void **state)
{
    (void)state;
    struct sonde_error error = { 0 };
    double a[4] = { 1.0, 2.0, 2.0, 1.0 }, b[2] = { 1.0, 1.0 }, u[4], s[2], vt[4];
    assert_int_equal(sonde_cholesky_solve(a, 2, b, 1, &error), SONDE_STATUS_NUMERIC);
    assert_string_equal(error.text, "Cholesky solve: the matrix is not positive definite (at 2)");
    double bad[4] = { 1.0, 0.0, NAN, 1.0 };
    assert_int_equal(sonde_cholesky_solve(bad, 2, b, 1, &error), SONDE_STATUS_NUMERIC);
    assert_string_equal(error.text, "Cholesky solve: element (1, 0) is nan");
    bad[2] = INFINITY;
    assert_int_equal(sonde_eigen_symmetric(bad, 2, s, &error), SONDE_STATUS_NUMERIC);
    assert_string_equal(error.text, "symmetric eigenvalues: element (1, 0) is inf");
    assert_int_equal(sonde_svd(bad, 2, 2, u, s, vt, &error), SONDE_STATUS_NUMERIC);
    assert_string_equal(error.text, "singular values: element (1, 0) is inf");
    assert_int_equal(sonde_svd(bad, INT64_MAX, 2, u, s, vt, NULL), SONDE_STATUS_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cholesky_solve),  cmocka_unit_test(test_cholesky_inverse_factor),
        cmocka_unit_test(test_eigen_symmetric), cmocka_unit_test(test_svd),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
