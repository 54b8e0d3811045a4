#include "core/tensor/dtype.h"

#include <assert.h>
#include <string.h>
#include <strings.h>

#include "core/tensor/bits.h"
#include "core/tensor/vector.h"

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

float sonde_f16_to_f32(uint16_t half)
{
    return sonde_widen_f16(half);
}

uint16_t sonde_f32_to_f16(float value)
{
    return sonde_narrow_f16(value);
}

float sonde_bf16_to_f32(uint16_t half)
{
    return sonde_widen_bf16(half);
}

uint16_t sonde_f32_to_bf16(float value)
{
    return sonde_narrow_bf16(value);
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
        sonde_vector_kernels()->widen_f16(dst, src, n);
        break;
    case SONDE_DTYPE_BF16:
        sonde_vector_kernels()->widen_bf16(dst, src, n);
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
    if (dtype == SONDE_DTYPE_F32) {
        memcpy(dst, src, (size_t)n * sizeof(float));
    } else if (dtype == SONDE_DTYPE_F16) {
        sonde_vector_kernels()->narrow_f16(dst, src, n);
    } else {
        sonde_vector_kernels()->narrow_bf16(dst, src, n);
    }
}
