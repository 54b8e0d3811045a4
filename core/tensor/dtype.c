#include "core/tensor/dtype.h"

#include <assert.h>
#include <string.h>
#include <strings.h>

#define DTYPE_COUNT (SONDE_DTYPE_BOOL + 1)

static const struct {
    const char *name;
    size_t bytes;
} dtypes[DTYPE_COUNT] = {
    [SONDE_DTYPE_NONE] = { "none", 0 }, [SONDE_DTYPE_F32] = { "f32", 4 },
    [SONDE_DTYPE_F16] = { "f16", 2 },   [SONDE_DTYPE_BF16] = { "bf16", 2 },
    [SONDE_DTYPE_F64] = { "f64", 8 },   [SONDE_DTYPE_I64] = { "i64", 8 },
    [SONDE_DTYPE_I32] = { "i32", 4 },   [SONDE_DTYPE_I16] = { "i16", 2 },
    [SONDE_DTYPE_I8] = { "i8", 1 },     [SONDE_DTYPE_U8] = { "u8", 1 },
    [SONDE_DTYPE_BOOL] = { "bool", 1 },
};

size_t sonde_dtype_size(enum sonde_dtype dtype)
{
    return (unsigned)dtype < DTYPE_COUNT ? dtypes[dtype].bytes : 0;
}

const char *sonde_dtype_name(enum sonde_dtype dtype)
{
    return dtypes[(unsigned)dtype < DTYPE_COUNT ? dtype : SONDE_DTYPE_NONE].name;
}

enum sonde_dtype sonde_dtype_from_name(const char *name)
{
    for (int i = SONDE_DTYPE_NONE + 1; i < DTYPE_COUNT; i++) {
        if (strcasecmp(name, dtypes[i].name) == 0) {
            return (enum sonde_dtype)i;
        }
    }
    return SONDE_DTYPE_NONE;
}

bool sonde_dtype_is_weight(enum sonde_dtype dtype)
{
    return dtype == SONDE_DTYPE_F32 || dtype == SONDE_DTYPE_F16 || dtype == SONDE_DTYPE_BF16;
}

static inline uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

static inline float float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

/* The converters below choose with masks and ?: only, so that the loops over them vectorise. */

static inline float f16_widen(uint16_t half)
{
    const uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    const uint32_t magnitude = (uint32_t)(half & 0x7fffu) << 13;
    /* Read as f32, exponent and mantissa of the half stand for value * 2^-112; the product is exact
     * for subnormals too. */
    const uint32_t finite = bits_of(float_of(magnitude) * 0x1p112f);
    const uint32_t special = magnitude | 0x7f800000u;
    return float_of(sign | (magnitude >= 0x0f800000u ? special : finite));
}

static inline uint16_t f16_narrow(float value)
{
    const uint32_t bits = bits_of(value);
    const uint32_t sign = (bits >> 16) & 0x8000u;
    const uint32_t magnitude = bits & 0x7fffffffu;
    /* Below 2^-14 the result is subnormal, a multiple of 2^-24: the unit in the last place of
     * [0.5, 1), so that adding 0.5 rounds there, to nearest even. */
    const uint32_t subnormal = bits_of(float_of(magnitude) + 0.5f) - 0x3f000000u;
    const uint32_t normal = (magnitude + 0xfffu + ((magnitude >> 13) & 1u) - 0x38000000u) >> 13;
    const uint32_t not_a_number = 0x7e00u | ((magnitude >> 13) & 0x3ffu);
    uint32_t half = magnitude < 0x38800000u ? subnormal : normal;
    half = magnitude >= 0x477ff000u ? 0x7c00u : half; /* 65520 and more round to infinity */
    half = magnitude > 0x7f800000u ? not_a_number : half;
    return (uint16_t)(sign | half);
}

static inline float bf16_widen(uint16_t half)
{
    return float_of((uint32_t)half << 16);
}

static inline uint16_t bf16_narrow(float value)
{
    const uint32_t bits = bits_of(value);
    const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    const uint32_t not_a_number = (bits >> 16) | 0x40u;
    return (uint16_t)((bits & 0x7fffffffu) > 0x7f800000u ? not_a_number : rounded);
}

float sonde_f16_to_f32(uint16_t half)
{
    return f16_widen(half);
}

uint16_t sonde_f32_to_f16(float value)
{
    return f16_narrow(value);
}

float sonde_bf16_to_f32(uint16_t half)
{
    return bf16_widen(half);
}

uint16_t sonde_f32_to_bf16(float value)
{
    return bf16_narrow(value);
}

static void widen_f16(const unsigned char *src, float *dst, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        uint16_t half;
        memcpy(&half, src + 2 * i, sizeof(half));
        dst[i] = f16_widen(half);
    }
}

static void widen_bf16(const unsigned char *src, float *dst, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        uint16_t half;
        memcpy(&half, src + 2 * i, sizeof(half));
        dst[i] = bf16_widen(half);
    }
}

static void widen_f64(const unsigned char *src, float *dst, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        double value;
        memcpy(&value, src + 8 * i, sizeof(value));
        dst[i] = (float)value;
    }
}

static void widen_integer(enum sonde_dtype dtype, const unsigned char *src, float *dst, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        int64_t i64 = 0;
        int32_t i32 = 0;
        int16_t i16 = 0;
        switch (dtype) {
        case SONDE_DTYPE_I64:
            memcpy(&i64, src + 8 * i, sizeof(i64));
            break;
        case SONDE_DTYPE_I32:
            memcpy(&i32, src + 4 * i, sizeof(i32));
            i64 = i32;
            break;
        case SONDE_DTYPE_I16:
            memcpy(&i16, src + 2 * i, sizeof(i16));
            i64 = i16;
            break;
        case SONDE_DTYPE_I8:
            i64 = (int8_t)src[i];
            break;
        case SONDE_DTYPE_BOOL:
            i64 = src[i] != 0;
            break;
        default:
            i64 = src[i];
            break;
        }
        dst[i] = (float)i64;
    }
}

void sonde_dtype_widen(enum sonde_dtype dtype, const void *src, float *dst, int64_t n)
{
    assert(n >= 0 && sonde_dtype_size(dtype) > 0);
    if (n <= 0) {
        return;
    }
    switch (dtype) {
    case SONDE_DTYPE_F32:
        memcpy(dst, src, (size_t)n * sizeof(float));
        break;
    case SONDE_DTYPE_F16:
        widen_f16(src, dst, n);
        break;
    case SONDE_DTYPE_BF16:
        widen_bf16(src, dst, n);
        break;
    case SONDE_DTYPE_F64:
        widen_f64(src, dst, n);
        break;
    default:
        widen_integer(dtype, src, dst, n);
        break;
    }
}

void sonde_dtype_narrow(enum sonde_dtype dtype, const float *src, void *dst, int64_t n)
{
    assert(n >= 0 && sonde_dtype_is_weight(dtype));
    if (n <= 0) {
        return;
    }
    unsigned char *out = dst;
    if (dtype == SONDE_DTYPE_F32) {
        memcpy(out, src, (size_t)n * sizeof(float));
        return;
    }
    for (int64_t i = 0; i < n && dtype == SONDE_DTYPE_F16; i++) {
        const uint16_t half = f16_narrow(src[i]);
        memcpy(out + 2 * i, &half, sizeof(half));
    }
    for (int64_t i = 0; i < n && dtype == SONDE_DTYPE_BF16; i++) {
        const uint16_t half = bf16_narrow(src[i]);
        memcpy(out + 2 * i, &half, sizeof(half));
    }
}
