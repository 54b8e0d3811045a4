/* Growable byte buffer with a stated maximum; the string helpers of str.h come along. */
#ifndef SONDE_CORE_BASE_BUF_H
#define SONDE_CORE_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"
#include "core/base/str.h"

/* Zero-initialise (max 0 = 1 GiB). `data` is NUL-terminated whenever it is not NULL, so it can be
 * read as a string. Once an append fails (`failed`), later appends do nothing: check once at
 * the end. Finish frees. */
struct sonde_buf {
    char *data;
    size_t size;     /* bytes in use, without the NUL */
    size_t capacity; /* bytes allocated */
    size_t max;      /* maximum of `size`; 0 = 1 GiB */
    bool failed;     /* memory ran out or max was reached */
    bool over_max;   /* it was max */
};

void sonde_buf_finish(struct sonde_buf *buf);
void sonde_buf_clear(struct sonde_buf *buf); /* size 0, failed false, memory kept */
bool sonde_buf_reserve(struct sonde_buf *buf, size_t extra);
bool sonde_buf_append(struct sonde_buf *buf, const void *data, size_t n);
bool sonde_buf_puts(struct sonde_buf *buf, const char *text);
bool sonde_buf_putc(struct sonde_buf *buf, char c);
/* Numbers print with '.' whatever the locale. */
bool sonde_buf_printf(struct sonde_buf *buf, const char *format, ...) SONDE_PRINTF(2, 3);
bool sonde_buf_put_f64(struct sonde_buf *buf, double value); /* sonde_format_f64 */
/* OK, or the one error for a failed buffer. */
enum sonde_status sonde_buf_status(const struct sonde_buf *buf, struct sonde_error *error);

/* Grows the array *items (element size `size`, *capacity elements) to hold `need` elements, at
 * most `max` (> 0). Returns false, all untouched, when that cannot be. Free with free(). */
bool sonde_grow(void **items, int64_t *capacity, int64_t need, size_t size, int64_t max);

#endif
