/* UTF-8: validation, decoding with Unicode's replacement rule, normal forms, classes of characters.
 * All functions are pure. Wraps utf8proc. */
#ifndef SONDE_CORE_TEXT_UTF8_H
#define SONDE_CORE_TEXT_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/base/status.h"

#define SONDE_UTF8_REPLACEMENT 0xFFFD

bool sonde_utf8_valid(const char *text, size_t n);

/* The character at text[0..n), n >= 1. Returns its length in bytes. Where the bytes are no
 * character, *code is -1 and the length is that of the maximal subpart (Unicode 15, 3.9, U+FFFD
 * substitution), so that one replacement stands for exactly these bytes. */
size_t sonde_utf8_next(const char *text, size_t n, int32_t *code);

/* Writes 1 to 4 bytes for a scalar value; U+FFFD for anything else. Returns how many. */
size_t sonde_utf8_put(char out[4], int32_t code);

/* Appends the text with each maximal invalid subpart replaced by U+FFFD. */
bool sonde_utf8_append_lossy(struct sonde_buf *out, const char *text, size_t n);

enum sonde_utf8_form {
    SONDE_UTF8_NFC,
    SONDE_UTF8_NFD,
    SONDE_UTF8_NFKC,
    SONDE_UTF8_NFKD,
};

/* The length of the next piece of valid text that normalises by itself: the normal form of the
 * whole is the concatenation of the pieces' forms. *changes is false where the piece is its own
 * form (by a quick test; true may still give the same bytes). n >= 1. */
size_t sonde_utf8_normal_piece(const char *text, size_t n, enum sonde_utf8_form form,
                               bool *changes);
/* Appends the normal form of valid text. */
SONDE_MUST_USE enum sonde_status sonde_utf8_normalize(struct sonde_buf *out, const char *text,
                                                      size_t n, enum sonde_utf8_form form,
                                                      struct sonde_error *error);

/* Full lowercase mapping of one character without context. Returns 1 or 2 codes. */
int sonde_utf8_lower(int32_t code, int32_t out[2]);

bool sonde_utf8_is_space(int32_t code);   /* White_Space */
bool sonde_utf8_is_numeric(int32_t code); /* general categories Nd, Nl, No */
bool sonde_utf8_is_word(int32_t code); /* a regex's \w: letters, marks, Nd, Nl, Pc, join controls */

#endif
