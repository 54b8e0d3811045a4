/* Base64 of RFC 4648 with padding. */
#ifndef SONDE_CORE_BASE_BASE64_H
#define SONDE_CORE_BASE_BASE64_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/buf.h"

/* Appends data[0..n) as text, 4 characters for each 3 bytes begun. */
void sonde_base64_encode(struct sonde_buf *out, const void *data, size_t n);
/* Appends the bytes of text[0..n). False where it is anything else (no blanks, no missing padding,
 * no second spelling of a value), or where the buffer failed: see out->failed. */
bool sonde_base64_decode(struct sonde_buf *out, const char *text, size_t n);

#endif
