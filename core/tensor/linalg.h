/* Dense linear algebra in double precision: the one wrapper of LAPACKE. Row-major, in place. */
#ifndef SONDE_CORE_TENSOR_LINALG_H
#define SONDE_CORE_TENSOR_LINALG_H

#include <stdint.h>

#include "core/base/status.h"

/* Solves A X = B for symmetric positive definite A [n, n]; A is overwritten by its factor, B [n, m]
 * by X. NUMERIC where A is not positive definite. */
SONDE_MUST_USE enum sonde_status sonde_cholesky_solve(double *a, int64_t n, double *b, int64_t m,
                                                      struct sonde_error *error);
/* A [n, n] symmetric positive definite becomes L^-1 of A = L L^T, zeros over the diagonal. NUMERIC
 * where A is not positive definite. */
SONDE_MUST_USE enum sonde_status sonde_cholesky_inverse_factor(double *a, int64_t n,
                                                               struct sonde_error *error);
/* Eigenvalues ascending in w [n]; A [n, n] symmetric becomes the eigenvectors, one a row. */
SONDE_MUST_USE enum sonde_status sonde_eigen_symmetric(double *a, int64_t n, double *w,
                                                       struct sonde_error *error);
/* Thin SVD of A [m, n] (overwritten), k = min(m, n): A = U diag(s) Vt, s descending. */
SONDE_MUST_USE enum sonde_status sonde_svd(double *a, int64_t m, int64_t n, double *u, double *s,
                                           double *vt, struct sonde_error *error);

#endif
