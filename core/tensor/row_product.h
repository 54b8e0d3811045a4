/*
 * Products of rows that stand alone: the rows of several sequences may share one product only if a
 * row's bits depend neither on its place nor on how many rows there are. BLAS promises neither (see
 * sonde_gemm_free_rows), so small weights are multiplied here, by a kernel of our own that is as
 * fast as BLAS's at hundreds of rows and faster at a few.
 */
#ifndef SONDE_CORE_TENSOR_ROW_PRODUCT_H
#define SONDE_CORE_TENSOR_ROW_PRODUCT_H

#include <stdbool.h>
#include <stdint.h>

/* Whether a weight of n_in x n_out values is small: those that are not go to BLAS. */
bool sonde_row_product_fits(int64_t n_in, int64_t n_out);
/* The fewest rows of a product of BLAS with a weight that is not small. OpenBLAS 0.3.21 has kernels
 * for products of at most 10^6 multiply-adds that sum in another order, and one row is a product of
 * a matrix and a vector in every BLAS: below this number the count of rows decides about bits. 2 to
 * 16. */
int64_t sonde_row_product_least(int64_t n_in, int64_t n_out);

/* y[m, n] = x[m, k] W[k, n] + bias[n] (NULL = 0); W with ldw between its rows, or stored as [n, k]
 * where `transposed`. Each value is one sum in the order of k, from 0 on, with a fused multiply-add
 * where the machine has FMA and two roundings a step where not; the bias is added last. Any m, n, k
 * >= 0. Thread: any; takes no memory. */
void sonde_row_product(int64_t m, int64_t n, int64_t k, const float *x, int64_t ldx, const float *w,
                       int64_t ldw, bool transposed, const float *bias, float *y, int64_t ldy);

/* The same on a target of choice, for tests: one that this machine has. AVX512 and FMA give the
 * same bits. */
enum sonde_row_target {
    SONDE_ROW_TARGET_BASE,
    SONDE_ROW_TARGET_FMA, /* with AVX2 */
    SONDE_ROW_TARGET_AVX512,
};
enum sonde_row_target sonde_row_product_target(void); /* the widest that this machine has */
void sonde_row_product_on(enum sonde_row_target target, int64_t m, int64_t n, int64_t k,
                          const float *x, int64_t ldx, const float *w, int64_t ldw, bool transposed,
                          const float *bias, float *y, int64_t ldy);

#endif
