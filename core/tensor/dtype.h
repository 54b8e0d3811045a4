/* Element types of files and stores, and conversion to and from f32. Little-endian. */
#ifndef SONDE_CORE_TENSOR_DTYPE_H
#define SONDE_CORE_TENSOR_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sonde_dtype {
    SONDE_DTYPE_NONE = 0,
    SONDE_DTYPE_F32,
    SONDE_DTYPE_F16,
    SONDE_DTYPE_BF16,
    SONDE_DTYPE_F64,
    SONDE_DTYPE_I64,
    SONDE_DTYPE_I32,
    SONDE_DTYPE_I16,
    SONDE_DTYPE_I8,
    SONDE_DTYPE_U8,
    SONDE_DTYPE_BOOL,
};

size_t sonde_dtype_size(enum sonde_dtype dtype);          /* bytes an element; 0 for NONE */
const char *sonde_dtype_name(enum sonde_dtype dtype);     /* "f32", "bf16", ... */
enum sonde_dtype sonde_dtype_from_name(const char *name); /* NONE where unknown; case ignored */
bool sonde_dtype_is_weight(enum sonde_dtype dtype);       /* F32, F16, BF16 */

/* IEEE 754 binary16 and bfloat16. Narrowing rounds to nearest even; overflow gives infinity;
 * subnormals are exact. NaN stays NaN with its sign and what fits of its payload, and becomes quiet
 * (but bf16 widens as it is). Single values, arrays and all targets give the same bits. */
float sonde_f16_to_f32(uint16_t half);
uint16_t sonde_f32_to_f16(float value);
float sonde_bf16_to_f32(uint16_t half);
uint16_t sonde_f32_to_bf16(float value);

/* n elements; src need not be aligned. widen takes every dtype but NONE (integers are rounded to
 * the nearest float); narrow takes F32, F16, BF16. */
void sonde_dtype_widen(enum sonde_dtype dtype, const void *src, float *dst, int64_t n);
void sonde_dtype_narrow(enum sonde_dtype dtype, const float *src, void *dst, int64_t n);

#endif
