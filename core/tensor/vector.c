#include "core/tensor/vector.h"

#include <math.h>
#include <string.h>

#include "core/tensor/target.h"

/* Sums run in 16 lanes that are joined in order at the end. */
enum { LANES = 16, HALF_LANES = 8 };

/* Vector types of the compiler, lowered to what the target has. */
typedef float float8 __attribute__((vector_size(32)));
typedef double double8 __attribute__((vector_size(64)));

SONDE_TARGET_BODY uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

SONDE_TARGET_BODY float float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

/*
 * exp(x) = 2^n exp(r), n = round(x / ln 2), |r| <= 0.3466. ln 2 is split so that n * LN2_HIGH is
 * exact (15 + 8 bits) and r carries an error below 2^-26. The Taylor polynomial of degree 7 leaves
 * r^8 / 8! < 5.2e-9, a tenth of half a unit; the last additions round within 1 unit. 2^n is
 * multiplied in two halves, both normal numbers, so that only the last product rounds into the
 * subnormals.
 */
SONDE_TARGET_BODY float exp_one(float x)
{
    const float round_magic = 0x1.8p23f; /* adding it leaves the nearest integer in the low bits */
    const float ln2_high = 0x1.62e4p-1f, ln2_low = 0x1.7f7d1cp-20f, log2_e = 0x1.715476p0f;
    x = x < -104.0f ? -104.0f : x;
    x = x > 89.0f ? 89.0f : x;
    const float shifted = x * log2_e + round_magic;
    const float n = shifted - round_magic;
    const float r = (x - n * ln2_high) - n * ln2_low;
    float p = 1.0f / 5040.0f;
    p = p * r + 1.0f / 720.0f;
    p = p * r + 1.0f / 120.0f;
    p = p * r + 1.0f / 24.0f;
    p = p * r + 1.0f / 6.0f;
    p = p * r + 0.5f;
    p = 1.0f + (r + r * r * p);
    /* Unsigned throughout: for NaN the bits are arbitrary and the product is NaN all the same. */
    const uint32_t biased = bits_of(shifted) - bits_of(round_magic) + 256u; /* n + 256 */
    const uint32_t half = biased >> 1;
    return p * float_of((half - 1u) << 23) * float_of((biased - half - 1u) << 23);
}

SONDE_TARGET_BODY void exp_body(float *y, const float *x, float shift, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        y[i] = exp_one(x[i] - shift);
    }
}

SONDE_TARGET_BODY float max_body(const float *x, int64_t n)
{
    float lane[LANES];
    for (int j = 0; j < LANES; j++) {
        lane[j] = -INFINITY;
    }
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (int j = 0; j < LANES; j++) {
            lane[j] = x[i + j] > lane[j] ? x[i + j] : lane[j];
        }
    }
    float max = -INFINITY;
    for (; i < n; i++) {
        max = x[i] > max ? x[i] : max;
    }
    for (int j = 0; j < LANES; j++) {
        max = lane[j] > max ? lane[j] : max;
    }
    return max;
}

SONDE_TARGET_BODY double join_lanes(const double8 *low, const double8 *high)
{
    double sum = 0.0;
    for (int j = 0; j < HALF_LANES; j++) {
        sum += (*low)[j] + (*high)[j];
    }
    return sum;
}

SONDE_TARGET_BODY double sum_body(const float *x, int64_t n)
{
    double8 low = { 0 }, high = { 0 };
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        float8 a, b;
        memcpy(&a, x + i, sizeof(a));
        memcpy(&b, x + i + HALF_LANES, sizeof(b));
        low += __builtin_convertvector(a, double8);
        high += __builtin_convertvector(b, double8);
    }
    double sum = join_lanes(&low, &high);
    for (; i < n; i++) {
        sum += (double)x[i];
    }
    return sum;
}

SONDE_TARGET_BODY double sum_squares_body(const float *x, double mean, int64_t n)
{
    double8 low = { 0 }, high = { 0 };
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        float8 a, b;
        memcpy(&a, x + i, sizeof(a));
        memcpy(&b, x + i + HALF_LANES, sizeof(b));
        const double8 da = __builtin_convertvector(a, double8) - mean;
        const double8 db = __builtin_convertvector(b, double8) - mean;
        low += da * da;
        high += db * db;
    }
    double sum = join_lanes(&low, &high);
    for (; i < n; i++) {
        const double d = (double)x[i] - mean;
        sum += d * d;
    }
    return sum;
}

SONDE_TARGET_BODY void normalize_body(float *y, const float *x, double mean, double factor,
                                      int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        y[i] = (float)(((double)x[i] - mean) * factor);
    }
}

SONDE_TARGET_BODY void sigmoid_gate_body(float *y, const float *x, float a, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        y[i] = x[i] / (1.0f + exp_one(-a * x[i]));
    }
}

SONDE_TARGET_BODY void cubic_gate_body(float *y, const float *x, float a, float c, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        y[i] = x[i] / (1.0f + exp_one(-x[i] * (a + c * x[i] * x[i])));
    }
}

SONDE_TARGET_BODY bool is_finite_body(const float *x, int64_t n)
{
    uint32_t largest = 0;
    for (int64_t i = 0; i < n; i++) {
        const uint32_t magnitude = bits_of(x[i]) & 0x7fffffffu;
        largest = magnitude > largest ? magnitude : largest;
    }
    return largest < 0x7f800000u;
}

/* The functions of one target and the table that lists them. */
#define DEFINE_KERNELS(suffix, attribute)                                                          \
    attribute static void exp_##suffix(float *y, const float *x, float shift, int64_t n)           \
    {                                                                                              \
        exp_body(y, x, shift, n);                                                                  \
    }                                                                                              \
    attribute static float max_##suffix(const float *x, int64_t n)                                 \
    {                                                                                              \
        return max_body(x, n);                                                                     \
    }                                                                                              \
    attribute static double sum_##suffix(const float *x, int64_t n)                                \
    {                                                                                              \
        return sum_body(x, n);                                                                     \
    }                                                                                              \
    attribute static double sum_squares_##suffix(const float *x, double mean, int64_t n)           \
    {                                                                                              \
        return sum_squares_body(x, mean, n);                                                       \
    }                                                                                              \
    attribute static void normalize_##suffix(float *y, const float *x, double mean, double factor, \
                                             int64_t n)                                            \
    {                                                                                              \
        normalize_body(y, x, mean, factor, n);                                                     \
    }                                                                                              \
    attribute static void sigmoid_gate_##suffix(float *y, const float *x, float a, int64_t n)      \
    {                                                                                              \
        sigmoid_gate_body(y, x, a, n);                                                             \
    }                                                                                              \
    attribute static void cubic_gate_##suffix(float *y, const float *x, float a, float c,          \
                                              int64_t n)                                           \
    {                                                                                              \
        cubic_gate_body(y, x, a, c, n);                                                            \
    }                                                                                              \
    attribute static bool is_finite_##suffix(const float *x, int64_t n)                            \
    {                                                                                              \
        return is_finite_body(x, n);                                                               \
    }                                                                                              \
    static const struct sonde_vector_kernels kernels_##suffix = {                                  \
        exp_##suffix,       max_##suffix,          sum_##suffix,        sum_squares_##suffix,      \
        normalize_##suffix, sigmoid_gate_##suffix, cubic_gate_##suffix, is_finite_##suffix,        \
    };

DEFINE_KERNELS(base, )
DEFINE_KERNELS(avx2, SONDE_TARGET_FOR_AVX2)
DEFINE_KERNELS(avx512, SONDE_TARGET_FOR_AVX512)

const struct sonde_vector_kernels *sonde_vector_kernels_of(enum sonde_target target)
{
    static const struct sonde_vector_kernels *const tables[SONDE_TARGET_COUNT] = {
        [SONDE_TARGET_BASE] = &kernels_base,
        [SONDE_TARGET_AVX2] = &kernels_avx2,
        [SONDE_TARGET_AVX512] = &kernels_avx512,
    };
    return target <= sonde_target_here() ? tables[target] : NULL;
}

const struct sonde_vector_kernels *sonde_vector_kernels(void)
{
    return sonde_vector_kernels_of(sonde_target_here());
}
