/*
 * Loops over a row of logits, for readers that look at a vocabulary tile by tile. As in vector.h,
 * the bits of a result depend on the values and n alone.
 */
#ifndef SONDE_CORE_TENSOR_VECTOR_READOUT_H
#define SONDE_CORE_TENSOR_VECTOR_READOUT_H

#include <stdint.h>

#include "core/tensor/target.h"

struct sonde_readout_kernels {
    /* Values above the threshold: how many, and their indices in ascending order into index [n].
     * NaN is above nothing. */
    int64_t (*count_above)(const float *x, float threshold, int64_t n);
    int64_t (*find_above)(int32_t *index, const float *x, float threshold, int64_t n);
    /* Sums in double: of weight, and of weight x. */
    void (*sum_weighted)(const float *weight, const float *x, int64_t n, double sums[2]);
    /* Sums in double over weights p at the places first, first + 1, ..: of p, of p times the place,
     * and of -p log p where p > 0, the logarithm within 2^-38 of itself. NaN or infinite where a
     * weight is; then the third says nothing. */
    void (*sum_places)(const float *p, int64_t first, int64_t n, double sums[3]);
    /* The largest |a - b|, and the largest |b|; NaN is passed over, 0 where there is none. */
    void (*max_difference)(const float *a, const float *b, int64_t n, float largest[2]);
};

/* The widest that this machine has. */
const struct sonde_readout_kernels *sonde_readout_kernels(void);
/* Those of one target, for tests; NULL where this machine lacks it. */
const struct sonde_readout_kernels *sonde_readout_kernels_of(enum sonde_target target);

#endif
