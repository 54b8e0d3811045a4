#include "core/tensor/linalg.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include <lapacke.h>

#include "core/tensor/gemm.h"

/* LAPACK may loop or answer nonsense on NaN and Inf, so these are refused first. LAPACK calls the
 * BLAS: its threads are set as for our own products. */
static enum sonde_status check_matrix(const char *what, const double *a, int64_t rows,
                                      int64_t columns, struct sonde_error *error)
{
    sonde_gemm_prepare();
    if (rows < 0 || columns < 0 || rows > INT32_MAX || columns > INT32_MAX) {
        return sonde_error_set(error, SONDE_STATUS_LIMIT,
                               "%s: a %" PRId64 " x %" PRId64
                               " matrix; each side must be in [0, %d]",
                               what, rows, columns, INT32_MAX);
    }
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t j = 0; j < columns; j++) {
            if (!isfinite(a[i * columns + j])) {
                return sonde_error_set(error, SONDE_STATUS_NUMERIC,
                                       "%s: element (%" PRId64 ", %" PRId64 ") is %g", what, i, j,
                                       a[i * columns + j]);
            }
        }
    }
    return SONDE_STATUS_OK;
}

/* info < 0: LAPACKE's own work memory (-1010, -1011); anything else negative would be our bug. */
static enum sonde_status report(const char *what, lapack_int info, const char *meaning,
                                struct sonde_error *error)
{
    if (info == 0) {
        return SONDE_STATUS_OK;
    }
    if (info < 0) {
        return sonde_error_memory(error, what);
    }
    return sonde_error_set(error, SONDE_STATUS_NUMERIC, "%s: %s (at %d)", what, meaning, (int)info);
}

enum sonde_status sonde_cholesky_solve(double *a, int64_t n, double *b, int64_t m,
                                       struct sonde_error *error)
{
    const char *what = "Cholesky solve";
    enum sonde_status status = check_matrix(what, a, n, n, error);
    if (status == SONDE_STATUS_OK) {
        status = check_matrix(what, b, n, m, error);
    }
    if (status != SONDE_STATUS_OK || n == 0) {
        return status;
    }
    /* Column-major and upper: our row-major lower triangle, without LAPACKE's transposed copy. */
    lapack_int info = LAPACKE_dpotrf(LAPACK_COL_MAJOR, 'U', (lapack_int)n, a, (lapack_int)n);
    if (info == 0 && m > 0) {
        info = LAPACKE_dpotrs(LAPACK_ROW_MAJOR, 'L', (lapack_int)n, (lapack_int)m, a, (lapack_int)n,
                              b, (lapack_int)m);
    }
    return report(what, info, "the matrix is not positive definite", error);
}

enum sonde_status sonde_cholesky_inverse_factor(double *a, int64_t n, struct sonde_error *error)
{
    const char *what = "inverse of a Cholesky factor";
    const enum sonde_status status = check_matrix(what, a, n, n, error);
    if (status != SONDE_STATUS_OK || n == 0) {
        return status;
    }
    lapack_int info = LAPACKE_dpotrf(LAPACK_COL_MAJOR, 'U', (lapack_int)n, a, (lapack_int)n);
    if (info == 0) {
        info = LAPACKE_dtrtri(LAPACK_COL_MAJOR, 'U', 'N', (lapack_int)n, a, (lapack_int)n);
    }
    for (int64_t i = 0; i < n; i++) {
        for (int64_t j = i + 1; j < n; j++) {
            a[i * n + j] = 0.0;
        }
    }
    return report(what, info, "the matrix is not positive definite", error);
}

enum sonde_status sonde_eigen_symmetric(double *a, int64_t n, double *w, struct sonde_error *error)
{
    const char *what = "symmetric eigenvalues";
    const enum sonde_status status = check_matrix(what, a, n, n, error);
    if (status != SONDE_STATUS_OK || n == 0) {
        return status;
    }
    /* The eigenvectors are the columns of the column-major result: our rows. */
    const lapack_int info =
        LAPACKE_dsyevd(LAPACK_COL_MAJOR, 'V', 'U', (lapack_int)n, a, (lapack_int)n, w);
    return report(what, info, "no convergence", error);
}

enum sonde_status sonde_svd(double *a, int64_t m, int64_t n, double *u, double *s, double *vt,
                            struct sonde_error *error)
{
    const char *what = "singular values";
    const enum sonde_status status = check_matrix(what, a, m, n, error);
    if (status != SONDE_STATUS_OK || m == 0 || n == 0) {
        return status;
    }
    /* Row-major A is column-major A^T = V diag(s) U^T; its two factors, read row-major, are Vt and
     * U, so nothing is transposed. */
    const lapack_int k = (lapack_int)(m < n ? m : n);
    const lapack_int info = LAPACKE_dgesdd(LAPACK_COL_MAJOR, 'S', (lapack_int)n, (lapack_int)m, a,
                                           (lapack_int)n, s, vt, (lapack_int)n, u, k);
    return report(what, info, "no convergence", error);
}
