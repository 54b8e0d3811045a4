/*
 * Products of the sizes that attention has: few rows, E or a panel of keys wide, too small for the
 * set-up that a BLAS product pays. An element of C is one chain of multiply-adds in the order of
 * the inner dimension, fused where the target has it: its bits depend on its row of A and its
 * column of B alone, not on the sizes and not on where it stands. AVX2 and AVX-512 give the same
 * bits; the base target rounds each product, and differs from them within the bound of both,
 * 2 n_inner 2^-24 sum |a b|.
 */
#ifndef SONDE_CORE_TENSOR_VECTOR_PRODUCT_H
#define SONDE_CORE_TENSOR_VECTOR_PRODUCT_H

#include <stdbool.h>
#include <stdint.h>

#include "core/tensor/target.h"

enum {
    SONDE_PRODUCT_LANES = 16, /* B is read in steps of so many columns */
    SONDE_PRODUCT_ROWS = 6,   /* rows go best in multiples of this */
};

/* C[n_rows, n_columns] = scale A[n_rows, n_inner] B[n_inner, n_columns], or C += A B where `add` is
 * set (scale is then 1). Element (i, k) of A stands at a + i a_stride + k a_step, rows of B and C
 * are contiguous. B's rows can be read up to the next multiple of SONDE_PRODUCT_LANES columns: what
 * stands there reaches nothing. C must not overlap the others. n_inner = 0 gives zeros. */
struct sonde_product {
    int64_t n_rows, n_columns, n_inner;
    const float *a, *b;
    float *c;
    int64_t a_stride, a_step, b_stride, c_stride;
    float scale;
    bool add;
};

/* The columns of B for which `n` are stored: the next multiple of SONDE_PRODUCT_LANES. */
static inline int64_t sonde_product_columns(int64_t n)
{
    return (n + SONDE_PRODUCT_LANES - 1) / SONDE_PRODUCT_LANES * SONDE_PRODUCT_LANES;
}

typedef void sonde_product_function(const struct sonde_product *product);

void sonde_product_base(const struct sonde_product *product);
void sonde_product_avx2(const struct sonde_product *product);
void sonde_product_avx512(const struct sonde_product *product);

/* The same with B transposed, B[n_columns, n_inner]: its rows are contiguous, b_stride apart, and
 * read as they stand, nothing behind them. The bits are those of a product with B laid out. For few
 * rows of A; `add` must not be set. */
void sonde_dots_base(const struct sonde_product *product);
void sonde_dots_avx2(const struct sonde_product *product);
void sonde_dots_avx512(const struct sonde_product *product);

/* The widest that this machine has, and that of one target; NULL where this machine lacks it. */
sonde_product_function *sonde_product_here(void);
sonde_product_function *sonde_product_of(enum sonde_target target);
sonde_product_function *sonde_dots_here(void);
sonde_product_function *sonde_dots_of(enum sonde_target target);

#endif
