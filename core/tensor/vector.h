/*
 * Loops over contiguous floats that ops are made of. The bits of a result depend on the values and
 * n alone, not on the machine's vector width (see target.h) nor on the address. An output of
 * floats may be the input itself.
 */
#ifndef SONDE_CORE_TENSOR_VECTOR_H
#define SONDE_CORE_TENSOR_VECTOR_H

#include <stdbool.h>
#include <stdint.h>

#include "core/tensor/target.h"

struct sonde_norm_slope {
    double mean, factor, shift, slope;
};

struct sonde_vector_kernels {
    /* y = exp(x - shift), the difference rounded to float. The exponential is within 2 units in the
     * last place, exactly 0 below -104, infinite above 88.73; NaN stays NaN. */
    void (*exp)(float *y, const float *x, float shift, int64_t n);
    /* The largest value, NaN skipped; -infinity where there is none. */
    float (*max)(const float *x, int64_t n);
    /* Sum, and sum of (x - mean)^2, in double. */
    double (*sum)(const float *x, int64_t n);
    double (*sum_squares)(const float *x, double mean, int64_t n);
    /* y = (x - mean) * factor, computed in double and rounded once. */
    void (*normalize)(float *y, const float *x, double mean, double factor, int64_t n);
    /* y = x / (1 + exp(-a x)), and y = x / (1 + exp(-x (a + c x^2))). */
    void (*sigmoid_gate)(float *y, const float *x, float a, int64_t n);
    void (*cubic_gate)(float *y, const float *x, float a, float c, int64_t n);
    /* y = 1 / (1 + exp(-x)). */
    void (*sigmoid)(float *y, const float *x, int64_t n);
    /* y = cap tanh(x / cap); tanh within 2 units in the last place. */
    void (*tanh)(float *y, const float *x, float cap, int64_t n);
    /* y = x Phi(x), the GELU with erf; within 8 + x^2 / 4 units in the last place, also in the
     * negative tail, where 1 + erf would have no digits left. */
    void (*gelu)(float *y, const float *x, int64_t n);
    /* y = Phi(x) + x phi(x), the GELU's derivative: within 2^-21. */
    void (*gelu_slope)(float *y, const float *x, int64_t n);
    /* Sum of a b, in double. */
    double (*dot)(const float *a, const float *b, int64_t n);
    /* sum += x, each in double. */
    void (*accumulate)(double *sum, const float *x, int64_t n);
    /* d = p (d - sum), computed in double and rounded once. */
    void (*softmax_slope)(float *d, const float *p, double sum, int64_t n);
    /* A norm's backward row, u = (x - mean) factor and g = dy gain, all in double. norm_sums: sums
     * of g and of g u. norm_slope: dx += (g - shift - u slope) factor, rounded once. norm_columns:
     * d_bias += dy, d_gain += dy u. */
    void (*norm_sums)(const float *x, const float *dy, const float *gain, double mean,
                      double factor, int64_t n, double sums[2]);
    void (*norm_slope)(float *dx, const float *x, const float *dy, const float *gain,
                       const struct sonde_norm_slope *by, int64_t n);
    void (*norm_columns)(double *d_gain, double *d_bias, const float *x, const float *dy,
                         double mean, double factor, int64_t n);
    /* No value is NaN or infinite. */
    bool (*is_finite)(const float *x, int64_t n);
    /* To and from n halves, which need not be aligned (see dtype.h). */
    void (*widen_f16)(float *y, const void *x, int64_t n);
    void (*widen_bf16)(float *y, const void *x, int64_t n);
    void (*narrow_f16)(void *y, const float *x, int64_t n);
    void (*narrow_bf16)(void *y, const float *x, int64_t n);
};

/* The widest that this machine has. */
const struct sonde_vector_kernels *sonde_vector_kernels(void);
/* Those of one target, for tests; NULL where this machine lacks it. */
const struct sonde_vector_kernels *sonde_vector_kernels_of(enum sonde_target target);

#endif
