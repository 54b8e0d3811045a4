/*
 * Text as people see it: foreign bytes made harmless and visible, and its width on a terminal.
 * Tokens are any bytes: control characters, halves of UTF-8 sequences, right-to-left marks.
 */
#ifndef SONDE_ANALYSIS_DISPLAY_H
#define SONDE_ANALYSIS_DISPLAY_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/buf.h"

/*
 * Appends text [n bytes] so that it can be printed on one line anywhere: newline and tab become
 * arrows (U+21B5, U+21E5), other controls <0x07>, C1 controls, bidirectional marks, line
 * separators, noncharacters and tags become <U+202E>, bytes that are no UTF-8 become <0xE2>. All
 * else stays as it is.
 */
void sonde_display_clean(struct sonde_buf *out, const char *text, size_t n);

/* The same for a token or a cell: blanks at either end, which nobody would see, become U+2423. */
void sonde_display_token(struct sonde_buf *out, const char *text, size_t n);

/* Terminal columns of clean text: 0 for combining marks, 2 for wide and full-width. */
int64_t sonde_display_width(const char *text, size_t n);

/* Appends clean text cut to `width` columns, the last of them '…' where something is missing.
 * Returns the columns used (<= width). Combining marks stay with their letter. */
int64_t sonde_display_fit(struct sonde_buf *out, const char *text, size_t n, int64_t width);

/* The code point at text[0..n) (n >= 1) and its length in bytes, 0 where it is no UTF-8. */
size_t sonde_display_decode(const char *text, size_t n, uint32_t *point);

/*
 * A number for people: `digits` significant places (0 = 4), trailing zeros dropped, no exponent
 * between 1e-4 and 1e6; "-" where it is not finite (infinities keep their name).
 */
#define SONDE_DISPLAY_NUMBER_MAX 40
void sonde_display_number(char out[SONDE_DISPLAY_NUMBER_MAX], double value, int digits);

#endif
