/*
 * Products of a tall matrix with few columns of weights, as in a classifier's scores and the
 * gradient of its weights. OpenBLAS packs both sides first, which costs as much as the product when
 * there are 17 classes; with AVX-512 the rows are read where they lie, and a value's bits depend on
 * its own row and weights alone, not on n, on its place or on its neighbours. Elsewhere this is
 * OpenBLAS, and bits depend on the shapes too. In single precision; an error is at most
 * k 2^-24 sum |a b| over the k products.
 */
#ifndef SONDE_CORE_TENSOR_TALL_H
#define SONDE_CORE_TENSOR_TALL_H

#include <stdint.h>

#include "core/tensor/target.h"

struct sonde_tall_kernels {
    /* out[k * ld + i] = sum_d x[i, d] w[k, d]: x [n, D], w [K, D], out [K, ld], ld >= n. */
    void (*scores)(float *out, int64_t ld, const float *x, int64_t n, int64_t width, const float *w,
                   int64_t n_classes);
    /* sum[k, d] += sum_i slope[k * ld + i] x[i, d], added up over i in order: sum [K, D]. soon
     * [n, D]: rows to be fetched from memory meanwhile, since they are next; NULL = none. It is
     * never read, and may lie beyond the end of its array. */
    void (*gradient)(float *sum, const float *slope, int64_t ld, const float *x, int64_t n,
                     int64_t width, int64_t n_classes, const float *soon);
};

/* The widest that this machine has. */
const struct sonde_tall_kernels *sonde_tall_kernels(void);
/* Those of one target, for tests; NULL where this machine lacks it, and for AVX2. */
const struct sonde_tall_kernels *sonde_tall_kernels_of(enum sonde_target target);

#endif
