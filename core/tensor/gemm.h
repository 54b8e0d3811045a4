/*
 * Matrix products: the one wrapper of cblas. Every call is single-threaded (BLAS threads are set to
 * one by sonde_gemm_prepare), so its bits depend on the shapes and the values only; parallelism is
 * ours, over sequences or over row blocks at fixed offsets.
 */
#ifndef SONDE_CORE_TENSOR_GEMM_H
#define SONDE_CORE_TENSOR_GEMM_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/status.h"

/* Sets BLAS to one thread, where it is not. Every product does so itself; the program calls it once
 * at its start, before it has threads of its own. */
void sonde_gemm_prepare(void);
/* OpenBLAS maps 128 MiB for every thread that multiplies, and where it cannot it tries again for
 * ever. So with a limit of the address space (ulimit -v) the room is asked for first: for
 * *n_threads (0: a thread a core) and once more for everything else. Where it is not there, 0
 * becomes as many as fit, any other number is refused: MEMORY. Without a limit nothing is asked, 0
 * stays. */
SONDE_MUST_USE enum sonde_status sonde_gemm_check_room(int *n_threads, struct sonde_error *error);
/* Name, version, options and kernel of the BLAS in use, e.g. "OpenBLAS 0.3.21 NO_LAPACKE
 * DYNAMIC_ARCH NO_AFFINITY SkylakeX MAX_THREADS=64". The text belongs to the library. */
const char *sonde_gemm_library(void);
/* The kernels that it chose for this machine, e.g. "SkylakeX". */
const char *sonde_gemm_kernels(void);

/* C[m, n] = alpha * op(A)[m, k] * op(B)[k, n] + beta * C, row-major, leading dimensions in
 * elements. m, n or k of 0 is allowed (k = 0 scales C by beta). beta = 0 never reads C. A single
 * row (m = 1) is a matrix-vector product. Sizes and leading dimensions must fit int32. */
void sonde_sgemm(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, float alpha,
                 const float *a, int64_t lda, const float *b, int64_t ldb, float beta, float *c,
                 int64_t ldc);
void sonde_dgemm(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, double alpha,
                 const double *a, int64_t lda, const double *b, int64_t ldb, double beta, double *c,
                 int64_t ldc);

/* The upper triangle of C[n, n] = A^T A of A[k, n], row-major; what is under the diagonal stays. */
void sonde_ssyrk(int64_t n, int64_t k, const float *a, int64_t lda, float *c, int64_t ldc);

/* What a row of a product depends on. On some kernels of OpenBLAS (0.3.21: Cooperlake, SkylakeX,
 * SandyBridge) a row of C has the same bits wherever it stands among the rows, whatever the others
 * are; on others (Haswell, Zen) it has not. Where it has, the number of rows may matter still: one
 * row is a matrix-vector product, and the kernels for small products (m n k <= 10^6 and less)
 * add in another order.
 *
 * Returns the least number of rows m >= 2 from which on neither the place nor the number matters:
 * in products of m to max_rows rows by a B[k, n] (stored as transpose_b says), added to C (beta =
 * 1) or not (beta = 0), a row depends on its own values, B and C alone. max_rows itself: in
 * products of exactly so many rows the place does not matter. 0: it does, or memory is short, or
 * the sizes are absurd.
 *
 * Found by multiplying: random values, the same on each call, the counts 2..17 and those around
 * every power of two and 3/2 of it, up to max_rows; milliseconds for the products of a model of 768
 * (k n max_rows of 10^8), so ask once a shape. Thread: any. */
int64_t sonde_gemm_free_rows(bool transpose_b, int64_t n, int64_t k, bool add, int64_t max_rows);

#endif
