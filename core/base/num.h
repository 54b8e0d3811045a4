/* Checked arithmetic, and numbers to and from text independent of the locale. */
#ifndef SONDE_CORE_BASE_NUM_H
#define SONDE_CORE_BASE_NUM_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"

/* Each returns false (and leaves *out untouched) where the exact result does not fit. */
bool sonde_add_i64(int64_t a, int64_t b, int64_t *out);
bool sonde_mul_i64(int64_t a, int64_t b, int64_t *out);
bool sonde_add_size(size_t a, size_t b, size_t *out);
bool sonde_mul_size(size_t a, size_t b, size_t *out);

/* The whole of text[0..n) must be the number (no blanks, no sign '+', no "inf"/"nan"/hex), and it
 * must fit: a real that would round to infinity is refused. parse_bytes takes no negative number
 * and also K, M, G, T suffixes (powers of 1024): "1G", "512M", "1.5G" (rounded down to whole
 * bytes). */
bool sonde_parse_i64(const char *text, size_t n, int64_t *out);
bool sonde_parse_f64(const char *text, size_t n, double *out);
bool sonde_parse_bytes(const char *text, size_t n, int64_t *out);

#define SONDE_FORMAT_F64_MAX 32
/* "%.9g" with '.' as the decimal point whatever the locale; "nan", "inf", "-inf" otherwise.
 * Returns the length; out is NUL-terminated. */
int sonde_format_f64(char out[SONDE_FORMAT_F64_MAX], double value);
/* The same with "%.17g": parses back to the same bits. */
int sonde_format_f64_exact(char out[SONDE_FORMAT_F64_MAX], double value);
/* "1.5 GiB", "12 KiB", "512 B": for people. */
int sonde_format_bytes(char out[SONDE_FORMAT_F64_MAX], int64_t bytes);

/* vsnprintf with the "C" locale's decimal point, whatever the locale. */
int sonde_format_text(char *out, size_t n, const char *format, va_list args) SONDE_PRINTF(3, 0);

#endif
