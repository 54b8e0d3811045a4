#include "core/tensor/vector.h"

#include <math.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "core/tensor/bits.h"
#include "core/tensor/target.h"

/* Sums run in 16 lanes that are joined in order at the end. */
enum { LANES = 16, HALF_LANES = 8 };

/* Vector types of the compiler, lowered to what the target has. */
typedef float float8 __attribute__((vector_size(32)));
typedef double double8 __attribute__((vector_size(64)));

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
    const uint32_t biased =
        sonde_bits_of(shifted) - sonde_bits_of(round_magic) + 256u; /* n + 256 */
    const uint32_t half = biased >> 1;
    return p * sonde_float_of((half - 1u) << 23) * sonde_float_of((biased - half - 1u) << 23);
}

/* Two blocks of `size` that cover n values, size <= n <= 2 size, and may overlap: both are read
 * before either is written. */
SONDE_TARGET_BODY void exp_ends(float *y, const float *x, float shift, int64_t n, int size)
{
    float first[LANES], last[LANES];
    memcpy(first, x, (size_t)size * sizeof(*x));
    memcpy(last, x + n - size, (size_t)size * sizeof(*x));
    for (int j = 0; j < size; j++) {
        first[j] = exp_one(first[j] - shift);
    }
    for (int j = 0; j < size; j++) {
        last[j] = exp_one(last[j] - shift);
    }
    memcpy(y, first, (size_t)size * sizeof(*x));
    memcpy(y + n - size, last, (size_t)size * sizeof(*x));
}

/* Rows of attention are often short: no value is left to a loop of one. */
SONDE_TARGET_BODY void exp_body(float *y, const float *x, float shift, int64_t n)
{
    for (; n > 2 * LANES; n -= LANES, x += LANES, y += LANES) {
        for (int j = 0; j < LANES; j++) {
            y[j] = exp_one(x[j] - shift);
        }
    }
    if (n >= LANES) {
        exp_ends(y, x, shift, n, LANES);
    } else if (n >= LANES / 2) {
        exp_ends(y, x, shift, n, LANES / 2);
    } else if (n >= LANES / 4) {
        exp_ends(y, x, shift, n, LANES / 4);
    } else {
        for (int64_t i = 0; i < n; i++) {
            y[i] = exp_one(x[i] - shift);
        }
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

SONDE_TARGET_BODY void sigmoid_body(float *y, const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        y[i] = 1.0f / (1.0f + exp_one(-x[i]));
    }
}

/* Both polynomials are minimax fits; tests/kernels/fit_polynomials.py prints them. */

/* |x| <= 0.625: x + x^3 P(x^2), off by 4.2e-9; beyond, 1 - 2 / (1 + exp(2 |x|)), where the
 * subtrahend is below 0.45 and its errors shrink with it. */
SONDE_TARGET_BODY float tanh_one(float x)
{
    const float z = x * x;
    float p = -0.005717045478f;
    p = p * z + 0.0206505877f;
    p = p * z - 0.05374349821f;
    p = p * z + 0.1333149129f;
    p = p * z - 0.3333328393f;
    const float near = x + x * z * p;
    const float size = sonde_float_of(sonde_bits_of(x) & 0x7fffffffu);
    const float far = 1.0f - 2.0f / (1.0f + exp_one(2.0f * size));
    const uint32_t sign = sonde_bits_of(x) & 0x80000000u;
    return sonde_select(size <= 0.625f, near, sonde_float_of(sonde_bits_of(far) | sign));
}

SONDE_TARGET_BODY void tanh_body(float *y, const float *x, float cap, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        y[i] = cap * tanh_one(x[i] / cap);
    }
}

/* Phi(x), a = |x|. For a <= 1, Phi(x) = 1/2 + x P(x^2), off by 7.2e-10. Beyond, the tail is
 * Phi(-a) = exp(-a^2 / 2) Q(s) / (1 + 2a) with s = (a - 3) / (a + 3), Q off by 7.9e-9 for a <= 14;
 * the exponential is 0 beyond 14.43. The negative side keeps its digits, which 1 + erf would
 * cancel. */
SONDE_TARGET_BODY float normal_cdf_one(float x)
{
    float a = sonde_float_of(sonde_bits_of(x) & 0x7fffffffu);
    a = a > 14.5f ? 14.5f : a;
    const float s = (a - 3.0f) / (a + 3.0f);
    float q = 8.078446782e-5f;
    q = q * s - 5.0255408e-5f;
    q = q * s - 0.001050342064f;
    q = q * s - 0.0003210867878f;
    q = q * s + 0.006967899656f;
    q = q * s - 0.0006010795223f;
    q = q * s - 0.05158626259f;
    q = q * s + 0.1365434438f;
    q = q * s - 0.1560896747f;
    q = q * s + 0.01334902103f;
    q = q * s + 0.8505976423f;
    const float tail = exp_one(-0.5f * (a * a)) * q / (1.0f + 2.0f * a);
    const float far = sonde_select(x < 0.0f, tail, 1.0f - tail);
    const float z = a * a;
    float p = -7.654208808e-6f;
    p = p * z + 0.0001134863731f;
    p = p * z - 0.001186329943f;
    p = p * z + 0.00997332341f;
    p = p * z - 0.06649035992f;
    p = p * z + 0.3989422801f;
    return sonde_select(a <= 1.0f, 0.5f + x * p, far);
}

SONDE_TARGET_BODY void gelu_body(float *y, const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        y[i] = x[i] * normal_cdf_one(x[i]);
    }
}

SONDE_TARGET_BODY void gelu_slope_body(float *y, const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        const float density = 0.39894228040143268f * exp_one(-0.5f * (x[i] * x[i]));
        y[i] = normal_cdf_one(x[i]) + x[i] * density;
    }
}

/* Through a pointer: returned, so wide a vector would be passed otherwise on each target. */
SONDE_TARGET_BODY void load8(double8 *y, const float *x)
{
    float8 a;
    memcpy(&a, x, sizeof(a));
    *y = __builtin_convertvector(a, double8);
}

SONDE_TARGET_BODY double dot_body(const float *a, const float *b, int64_t n)
{
    double8 low = { 0 }, high = { 0 };
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        double8 a_low, a_high, b_low, b_high;
        load8(&a_low, a + i);
        load8(&a_high, a + i + HALF_LANES);
        load8(&b_low, b + i);
        load8(&b_high, b + i + HALF_LANES);
        low += a_low * b_low;
        high += a_high * b_high;
    }
    double sum = join_lanes(&low, &high);
    for (; i < n; i++) {
        sum += (double)a[i] * (double)b[i];
    }
    return sum;
}

SONDE_TARGET_BODY void accumulate_body(double *sum, const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        sum[i] += (double)x[i];
    }
}

SONDE_TARGET_BODY void softmax_slope_body(float *d, const float *p, double sum, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        d[i] = (float)((double)p[i] * ((double)d[i] - sum));
    }
}

SONDE_TARGET_BODY void norm_sums_body(const float *x, const float *dy, const float *gain,
                                      double mean, double factor, int64_t n, double sums[2])
{
    double8 low = { 0 }, high = { 0 };
    int64_t i = 0;
    for (; i + HALF_LANES <= n; i += HALF_LANES) {
        double8 value, g, u;
        load8(&value, dy + i);
        load8(&g, gain + i);
        load8(&u, x + i);
        g *= value;
        low += g;
        high += g * ((u - mean) * factor);
    }
    const double8 none = { 0 };
    sums[0] = join_lanes(&low, &none);
    sums[1] = join_lanes(&high, &none);
    for (; i < n; i++) {
        const double g = (double)dy[i] * (double)gain[i];
        sums[0] += g;
        sums[1] += g * (((double)x[i] - mean) * factor);
    }
}

SONDE_TARGET_BODY void norm_slope_body(float *dx, const float *x, const float *dy,
                                       const float *gain, const struct sonde_norm_slope *by,
                                       int64_t n)
{
    const struct sonde_norm_slope s = *by;
    for (int64_t i = 0; i < n; i++) {
        const double g = (double)dy[i] * (double)gain[i];
        const double u = ((double)x[i] - s.mean) * s.factor;
        dx[i] += (float)((g - s.shift - u * s.slope) * s.factor);
    }
}

SONDE_TARGET_BODY void norm_columns_body(double *d_gain, double *d_bias, const float *x,
                                         const float *dy, double mean, double factor, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        d_bias[i] += (double)dy[i];
        d_gain[i] += (double)dy[i] * (((double)x[i] - mean) * factor);
    }
}

SONDE_TARGET_BODY void widen_f16_body(float *y, const unsigned char *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        uint16_t half;
        memcpy(&half, x + 2 * i, sizeof(half));
        y[i] = sonde_widen_f16(half);
    }
}

SONDE_TARGET_BODY void widen_bf16_body(float *y, const unsigned char *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        uint16_t half;
        memcpy(&half, x + 2 * i, sizeof(half));
        y[i] = sonde_widen_bf16(half);
    }
}

SONDE_TARGET_BODY void narrow_f16_body(unsigned char *y, const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        const uint16_t half = sonde_narrow_f16(x[i]);
        memcpy(y + 2 * i, &half, sizeof(half));
    }
}

SONDE_TARGET_BODY void narrow_bf16_body(unsigned char *y, const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        const uint16_t half = sonde_narrow_bf16(x[i]);
        memcpy(y + 2 * i, &half, sizeof(half));
    }
}

#if defined(__x86_64__)
/* The conversions of F16C round to nearest even whatever the processor's mode and make NaN quiet,
 * as the portable ones do. */
SONDE_TARGET_FOR_AVX2 static void widen_f16_f16c(float *y, const void *x, int64_t n)
{
    const unsigned char *from = x;
    int64_t i = 0;
    for (; i + HALF_LANES <= n; i += HALF_LANES) {
        __m128i half;
        memcpy(&half, from + 2 * i, sizeof(half));
        _mm256_storeu_ps(y + i, _mm256_cvtph_ps(half));
    }
    widen_f16_body(y + i, from + 2 * i, n - i);
}

SONDE_TARGET_FOR_AVX2 static void narrow_f16_f16c(void *y, const float *x, int64_t n)
{
    unsigned char *to = y;
    int64_t i = 0;
    for (; i + HALF_LANES <= n; i += HALF_LANES) {
        const __m128i half = _mm256_cvtps_ph(_mm256_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT);
        memcpy(to + 2 * i, &half, sizeof(half));
    }
    narrow_f16_body(to + 2 * i, x + i, n - i);
}
#else
static void widen_f16_f16c(float *y, const void *x, int64_t n)
{
    widen_f16_body(y, x, n);
}

static void narrow_f16_f16c(void *y, const float *x, int64_t n)
{
    narrow_f16_body(y, x, n);
}
#endif

SONDE_TARGET_BODY bool is_finite_body(const float *x, int64_t n)
{
    uint32_t largest = 0;
    for (int64_t i = 0; i < n; i++) {
        const uint32_t magnitude = sonde_bits_of(x[i]) & 0x7fffffffu;
        largest = magnitude > largest ? magnitude : largest;
    }
    return largest < 0x7f800000u;
}

static void widen_f16_base(float *y, const void *x, int64_t n)
{
    widen_f16_body(y, x, n);
}

static void narrow_f16_base(void *y, const float *x, int64_t n)
{
    narrow_f16_body(y, x, n);
}

/* The functions of one target and the table that lists them; `halves` names those for f16. */
#define DEFINE_KERNELS(suffix, attribute, halves)                                                  \
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
    attribute static void sigmoid_##suffix(float *y, const float *x, int64_t n)                    \
    {                                                                                              \
        sigmoid_body(y, x, n);                                                                     \
    }                                                                                              \
    attribute static void tanh_##suffix(float *y, const float *x, float cap, int64_t n)            \
    {                                                                                              \
        tanh_body(y, x, cap, n);                                                                   \
    }                                                                                              \
    attribute static void gelu_##suffix(float *y, const float *x, int64_t n)                       \
    {                                                                                              \
        gelu_body(y, x, n);                                                                        \
    }                                                                                              \
    attribute static void gelu_slope_##suffix(float *y, const float *x, int64_t n)                 \
    {                                                                                              \
        gelu_slope_body(y, x, n);                                                                  \
    }                                                                                              \
    attribute static double dot_##suffix(const float *a, const float *b, int64_t n)                \
    {                                                                                              \
        return dot_body(a, b, n);                                                                  \
    }                                                                                              \
    attribute static void accumulate_##suffix(double *sum, const float *x, int64_t n)              \
    {                                                                                              \
        accumulate_body(sum, x, n);                                                                \
    }                                                                                              \
    attribute static void softmax_slope_##suffix(float *d, const float *p, double sum, int64_t n)  \
    {                                                                                              \
        softmax_slope_body(d, p, sum, n);                                                          \
    }                                                                                              \
    attribute static void norm_sums_##suffix(const float *x, const float *dy, const float *gain,   \
                                             double mean, double factor, int64_t n,                \
                                             double sums[2])                                       \
    {                                                                                              \
        norm_sums_body(x, dy, gain, mean, factor, n, sums);                                        \
    }                                                                                              \
    attribute static void norm_slope_##suffix(float *dx, const float *x, const float *dy,          \
                                              const float *gain,                                   \
                                              const struct sonde_norm_slope *by, int64_t n)        \
    {                                                                                              \
        norm_slope_body(dx, x, dy, gain, by, n);                                                   \
    }                                                                                              \
    attribute static void norm_columns_##suffix(double *d_gain, double *d_bias, const float *x,    \
                                                const float *dy, double mean, double factor,       \
                                                int64_t n)                                         \
    {                                                                                              \
        norm_columns_body(d_gain, d_bias, x, dy, mean, factor, n);                                 \
    }                                                                                              \
    attribute static bool is_finite_##suffix(const float *x, int64_t n)                            \
    {                                                                                              \
        return is_finite_body(x, n);                                                               \
    }                                                                                              \
    attribute static void widen_bf16_##suffix(float *y, const void *x, int64_t n)                  \
    {                                                                                              \
        widen_bf16_body(y, x, n);                                                                  \
    }                                                                                              \
    attribute static void narrow_bf16_##suffix(void *y, const float *x, int64_t n)                 \
    {                                                                                              \
        narrow_bf16_body(y, x, n);                                                                 \
    }                                                                                              \
    static const struct sonde_vector_kernels kernels_##suffix = {                                  \
        .exp = exp_##suffix,                                                                       \
        .max = max_##suffix,                                                                       \
        .sum = sum_##suffix,                                                                       \
        .sum_squares = sum_squares_##suffix,                                                       \
        .normalize = normalize_##suffix,                                                           \
        .sigmoid_gate = sigmoid_gate_##suffix,                                                     \
        .cubic_gate = cubic_gate_##suffix,                                                         \
        .sigmoid = sigmoid_##suffix,                                                               \
        .tanh = tanh_##suffix,                                                                     \
        .gelu = gelu_##suffix,                                                                     \
        .gelu_slope = gelu_slope_##suffix,                                                         \
        .dot = dot_##suffix,                                                                       \
        .accumulate = accumulate_##suffix,                                                         \
        .softmax_slope = softmax_slope_##suffix,                                                   \
        .norm_sums = norm_sums_##suffix,                                                           \
        .norm_slope = norm_slope_##suffix,                                                         \
        .norm_columns = norm_columns_##suffix,                                                     \
        .is_finite = is_finite_##suffix,                                                           \
        .widen_f16 = widen_f16_##halves,                                                           \
        .widen_bf16 = widen_bf16_##suffix,                                                         \
        .narrow_f16 = narrow_f16_##halves,                                                         \
        .narrow_bf16 = narrow_bf16_##suffix,                                                       \
    };

DEFINE_KERNELS(base, , base)
DEFINE_KERNELS(avx2, SONDE_TARGET_FOR_AVX2, f16c)
DEFINE_KERNELS(avx512, SONDE_TARGET_FOR_AVX512, f16c)

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
