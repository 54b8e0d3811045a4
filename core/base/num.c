#include "core/base/num.h"

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An exact binary64 value needs at most 767 significant digits; with sign, point, exponent and some
 * leading zeros everything that a program writes fits. */
#define NUMBER_TEXT_MAX 1100

bool sonde_add_i64(int64_t a, int64_t b, int64_t *out)
{
    int64_t sum;
    if (__builtin_add_overflow(a, b, &sum))
        return false;
    *out = sum;
    return true;
}

bool sonde_mul_i64(int64_t a, int64_t b, int64_t *out)
{
    int64_t product;
    if (__builtin_mul_overflow(a, b, &product))
        return false;
    *out = product;
    return true;
}

bool sonde_add_size(size_t a, size_t b, size_t *out)
{
    size_t sum;
    if (__builtin_add_overflow(a, b, &sum))
        return false;
    *out = sum;
    return true;
}

bool sonde_mul_size(size_t a, size_t b, size_t *out)
{
    size_t product;
    if (__builtin_mul_overflow(a, b, &product))
        return false;
    *out = product;
    return true;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool sonde_parse_i64(const char *text, size_t n, int64_t *out)
{
    size_t i = 0;
    bool negative = n > 0 && text[0] == '-';
    if (negative)
        i = 1;
    if (i == n)
        return false;
    int64_t value = 0;
    for (; i < n; i++) {
        if (!is_digit(text[i]) || !sonde_mul_i64(value, 10, &value))
            return false;
        int64_t digit = text[i] - '0';
        if (!sonde_add_i64(value, negative ? -digit : digit, &value))
            return false;
    }
    *out = value;
    return true;
}

/* -?(digits[.digits*]|.digits)([eE][+-]?digits)? and nothing else. */
static bool is_decimal(const char *text, size_t n)
{
    size_t i = n > 0 && text[0] == '-' ? 1 : 0;
    size_t digits = 0;
    for (; i < n && is_digit(text[i]); i++)
        digits++;
    if (i < n && text[i] == '.') {
        for (i++; i < n && is_digit(text[i]); i++)
            digits++;
    }
    if (digits == 0)
        return false;
    if (i < n && (text[i] == 'e' || text[i] == 'E')) {
        i++;
        if (i < n && (text[i] == '+' || text[i] == '-'))
            i++;
        if (i == n)
            return false;
        while (i < n && is_digit(text[i]))
            i++;
    }
    return i == n;
}

/* The calling thread's locale becomes "C" until leave_c_locale. glibc and musl answer newlocale for
 * "C" with a constant object, so this neither allocates nor fails there; where it does fail the
 * thread keeps its locale. */
static locale_t enter_c_locale(locale_t *before)
{
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    *before = c ? uselocale(c) : (locale_t)0;
    return c;
}

static void leave_c_locale(locale_t c, locale_t before)
{
    if (c) {
        uselocale(before);
        freelocale(c);
    }
}

bool sonde_parse_f64(const char *text, size_t n, double *out)
{
    char copy[NUMBER_TEXT_MAX];
    if (n >= sizeof(copy) || !is_decimal(text, n))
        return false;
    memcpy(copy, text, n);
    copy[n] = '\0';
    int errno_before = errno;
    locale_t before;
    locale_t c = enter_c_locale(&before);
    char *end = NULL;
    double value = strtod(copy, &end);
    leave_c_locale(c, before);
    errno = errno_before;
    if (end != copy + n || !isfinite(value))
        return false;
    *out = value;
    return true;
}

bool sonde_parse_bytes(const char *text, size_t n, int64_t *out)
{
    const char *suffixes = "KMGT";
    const char *suffix = n > 0 && text[n - 1] ? strchr(suffixes, text[n - 1]) : NULL;
    if (!suffix)
        return n > 0 && text[0] != '-' && sonde_parse_i64(text, n, out);
    int64_t unit = (int64_t)1 << (10 * (suffix - suffixes + 1));
    int64_t whole;
    if (n > 1 && text[0] != '-' && sonde_parse_i64(text, n - 1, &whole))
        return sonde_mul_i64(whole, unit, out);
    double value;
    if (!sonde_parse_f64(text, n - 1, &value) || !(value >= 0) || signbit(value))
        return false;
    value = floor(value * (double)unit);
    if (value >= 0x1p63)
        return false;
    *out = (int64_t)value;
    return true;
}

int sonde_format_text(char *out, size_t n, const char *format, va_list args)
{
    locale_t before;
    locale_t c = enter_c_locale(&before);
    int length = vsnprintf(out, n, format, args);
    leave_c_locale(c, before);
    return length;
}

SONDE_PRINTF(2, 3)
static int format_here(char out[SONDE_FORMAT_F64_MAX], const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int length = sonde_format_text(out, SONDE_FORMAT_F64_MAX, format, args);
    va_end(args);
    return length;
}

static int format_special(char out[SONDE_FORMAT_F64_MAX], double value)
{
    return format_here(out, "%s", isnan(value) ? "nan" : value > 0 ? "inf" : "-inf");
}

int sonde_format_f64(char out[SONDE_FORMAT_F64_MAX], double value)
{
    return isfinite(value) ? format_here(out, "%.9g", value) : format_special(out, value);
}

int sonde_format_f64_exact(char out[SONDE_FORMAT_F64_MAX], double value)
{
    return isfinite(value) ? format_here(out, "%.17g", value) : format_special(out, value);
}

int sonde_format_bytes(char out[SONDE_FORMAT_F64_MAX], int64_t bytes)
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
    const char *sign = bytes < 0 ? "-" : "";
    uint64_t n = bytes < 0 ? 0 - (uint64_t)bytes : (uint64_t)bytes;
    if (n < 1024)
        return format_here(out, "%s%d B", sign, (int)n);
    size_t unit = 1;
    double value = (double)n / 1024;
    /* 1023.95 would print as 1024.0 of its unit. */
    while (value >= 1023.95 && unit + 1 < sizeof(units) / sizeof(units[0])) {
        value /= 1024;
        unit++;
    }
    double tenths = round(value * 10);
    if (fmod(tenths, 10) == 0)
        return format_here(out, "%s%.0f %s", sign, tenths / 10, units[unit]);
    return format_here(out, "%s%.1f %s", sign, tenths / 10, units[unit]);
}
