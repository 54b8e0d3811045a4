#include "core/tensor/vector_readout.h"

#include <string.h>

#include "core/tensor/bits.h"

enum { LANES = 16, HALF_LANES = 8, GROUP = 64 };

typedef float float8 __attribute__((vector_size(32)));
typedef double double8 __attribute__((vector_size(64)));
typedef uint32_t uint8x __attribute__((vector_size(32)));
typedef int32_t int8x __attribute__((vector_size(32)));
typedef int64_t mask8 __attribute__((vector_size(64)));

SONDE_TARGET_BODY int64_t count_above_body(const float *x, float threshold, int64_t n)
{
    int64_t count = 0;
    /* Blocks that a 32-bit counter a lane cannot overflow in. */
    for (int64_t first = 0; first < n; first += (int64_t)1 << 30) {
        const int64_t last = n - first < (int64_t)1 << 30 ? n : first + ((int64_t)1 << 30);
        int32_t part = 0;
        for (int64_t i = first; i < last; i++) {
            part += x[i] > threshold;
        }
        count += part;
    }
    return count;
}

/* Most groups hold none: whole groups are counted before their values are looked at one by one. */
SONDE_TARGET_BODY int64_t find_above_body(int32_t *index, const float *x, float threshold,
                                          int64_t n)
{
    int64_t found = 0;
    for (int64_t first = 0; first < n; first += GROUP) {
        const int64_t last = n - first < GROUP ? n : first + GROUP;
        int32_t any = 0;
        if (last - first == GROUP) {
            for (int j = 0; j < GROUP; j++) {
                any += x[first + j] > threshold;
            }
            if (any == 0) {
                continue;
            }
        }
        for (int64_t i = first; i < last; i++) {
            index[found] = (int32_t)i;
            found += x[i] > threshold;
        }
    }
    return found;
}

SONDE_TARGET_BODY void widen8(double8 *y, const float *x)
{
    float8 a;
    memcpy(&a, x, sizeof(a));
    *y = __builtin_convertvector(a, double8);
}

SONDE_TARGET_BODY void sum_weighted_body(const float *weight, const float *x, int64_t n,
                                         double sums[2])
{
    double8 low = { 0 }, high = { 0 }, product_low = { 0 }, product_high = { 0 };
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        double8 a, b, value;
        widen8(&a, weight + i);
        widen8(&b, weight + i + HALF_LANES);
        low += a;
        high += b;
        widen8(&value, x + i);
        product_low += a * value;
        widen8(&value, x + i + HALF_LANES);
        product_high += b * value;
    }
    sums[0] = 0.0;
    sums[1] = 0.0;
    for (int j = 0; j < HALF_LANES; j++) {
        sums[0] += low[j] + high[j];
        sums[1] += product_low[j] + product_high[j];
    }
    for (; i < n; i++) {
        sums[0] += (double)weight[i];
        sums[1] += (double)weight[i] * (double)x[i];
    }
}

/*
 * log x = e ln 2 + log m with m in [sqrt(1/2), sqrt(2)), and log m = 2 (s + s^3/3 + s^5/5 + ..)
 * with s = (m - 1) / (m + 1), |s| <= 0.1716: what is left out after s^13 is below 2^-39 of the sum.
 * Any bits give a finite number: 0, negative and subnormal x something of no meaning.
 */
SONDE_TARGET_BODY void log8(double8 *y, const float *x)
{
    const uint32_t root_half = 0x3f3504f3u;
    uint8x bits;
    memcpy(&bits, x, sizeof(bits));
    const int8x exponent = (int8x)(bits - root_half) >> 23;
    const uint8x mantissa = bits - ((uint8x)exponent << 23);
    float8 m_float;
    memcpy(&m_float, &mantissa, sizeof(m_float));
    const double8 m = __builtin_convertvector(m_float, double8);
    const double8 s = (m - 1.0) / (m + 1.0), z = s * s;
    double8 p = z * (1.0 / 13.0) + 1.0 / 11.0;
    p = p * z + 1.0 / 9.0;
    p = p * z + 1.0 / 7.0;
    p = p * z + 1.0 / 5.0;
    p = p * z + 1.0 / 3.0;
    p = p * z + 1.0;
    *y = __builtin_convertvector(exponent, double8) * 0x1.62e42fefa39efp-1 + 2.0 * s * p;
}

SONDE_TARGET_BODY void sum_places_body(const float *p, int64_t first, int64_t n, double sums[3])
{
    double8 sum = { 0 }, placed = { 0 }, entropy = { 0 };
    double8 place = { 0, 1, 2, 3, 4, 5, 6, 7 };
    place += (double)first;
    for (int64_t i = 0; i < n; i += HALF_LANES) {
        float last[HALF_LANES] = { 0 };
        const float *at = p + i;
        if (n - i < HALF_LANES) {
            memcpy(last, at, (size_t)(n - i) * sizeof(*last));
            at = last;
        }
        double8 weight, logarithm;
        widen8(&weight, at);
        log8(&logarithm, at);
        sum += weight;
        placed += weight * place;
        place += (double)HALF_LANES;
        const mask8 positive = weight > 0.0;
        entropy -= (double8)((mask8)weight & positive) * logarithm;
    }
    sums[0] = 0.0;
    sums[1] = 0.0;
    sums[2] = 0.0;
    for (int j = 0; j < HALF_LANES; j++) {
        sums[0] += sum[j];
        sums[1] += placed[j];
        sums[2] += entropy[j];
    }
}

SONDE_TARGET_BODY void max_difference_body(const float *a, const float *b, int64_t n,
                                           float largest[2])
{
    float off = 0.0f, size = 0.0f;
    for (int64_t i = 0; i < n; i++) {
        const float d = sonde_float_of(sonde_bits_of(a[i] - b[i]) & 0x7fffffffu);
        const float m = sonde_float_of(sonde_bits_of(b[i]) & 0x7fffffffu);
        off = d > off ? d : off;
        size = m > size ? m : size;
    }
    largest[0] = off;
    largest[1] = size;
}

/* The functions of one target and the table that lists them. */
#define DEFINE_KERNELS(suffix, attribute)                                                          \
    attribute static int64_t count_above_##suffix(const float *x, float threshold, int64_t n)      \
    {                                                                                              \
        return count_above_body(x, threshold, n);                                                  \
    }                                                                                              \
    attribute static int64_t find_above_##suffix(int32_t *index, const float *x, float threshold,  \
                                                 int64_t n)                                        \
    {                                                                                              \
        return find_above_body(index, x, threshold, n);                                            \
    }                                                                                              \
    attribute static void sum_weighted_##suffix(const float *weight, const float *x, int64_t n,    \
                                                double sums[2])                                    \
    {                                                                                              \
        sum_weighted_body(weight, x, n, sums);                                                     \
    }                                                                                              \
    attribute static void sum_places_##suffix(const float *p, int64_t first, int64_t n,            \
                                              double sums[3])                                      \
    {                                                                                              \
        sum_places_body(p, first, n, sums);                                                        \
    }                                                                                              \
    attribute static void max_difference_##suffix(const float *a, const float *b, int64_t n,       \
                                                  float largest[2])                                \
    {                                                                                              \
        max_difference_body(a, b, n, largest);                                                     \
    }                                                                                              \
    static const struct sonde_readout_kernels kernels_##suffix = {                                 \
        .count_above = count_above_##suffix,                                                       \
        .find_above = find_above_##suffix,                                                         \
        .sum_weighted = sum_weighted_##suffix,                                                     \
        .sum_places = sum_places_##suffix,                                                         \
        .max_difference = max_difference_##suffix,                                                 \
    };

DEFINE_KERNELS(base, )
DEFINE_KERNELS(avx2, SONDE_TARGET_FOR_AVX2)
DEFINE_KERNELS(avx512, SONDE_TARGET_FOR_AVX512)

const struct sonde_readout_kernels *sonde_readout_kernels_of(enum sonde_target target)
{
    static const struct sonde_readout_kernels *const tables[SONDE_TARGET_COUNT] = {
        [SONDE_TARGET_BASE] = &kernels_base,
        [SONDE_TARGET_AVX2] = &kernels_avx2,
        [SONDE_TARGET_AVX512] = &kernels_avx512,
    };
    return target <= sonde_target_here() ? tables[target] : NULL;
}

const struct sonde_readout_kernels *sonde_readout_kernels(void)
{
    return sonde_readout_kernels_of(sonde_target_here());
}
