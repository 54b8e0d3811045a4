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

/* C[m, n] = alpha * op(A)[m, k] * op(B)[k, n] + beta * C, row-major, leading dimensions in
 * elements. m, n or k of 0 is allowed (k = 0 scales C by beta). beta = 0 never reads C. A single
 * row (m = 1) is a matrix-vector product. Sizes and leading dimensions must fit int32. */
void sonde_sgemm(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, float alpha,
                 const float *a, int64_t lda, const float *b, int64_t ldb, float beta, float *c,
                 int64_t ldc);
void sonde_dgemm(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, double alpha,
                 const double *a, int64_t lda, const double *b, int64_t ldb, double beta, double *c,
                 int64_t ldc);

#endif
