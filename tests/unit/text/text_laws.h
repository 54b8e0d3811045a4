/* Laws that every encoding keeps, for any bytes. */
#ifndef SONDE_TESTS_UNIT_TEXT_TEXT_LAWS_H
#define SONDE_TESTS_UNIT_TEXT_TEXT_LAWS_H

#include "tests/support/check.h"

#include <string.h>

#include "core/base/rng.h"
#include "core/text/tokenizer.h"
#include "core/text/utf8.h"

/* Spans lie in the text, begin in order, leave no byte out, and cut no character in two. */
static inline void check_spans(const struct sonde_encoding *encoding, const char *text, size_t n)
{
    char *starts = calloc(n + 1, 1);
    int64_t covered = 0, last = 0;

    for (size_t i = 0; i < n;) {
        int32_t code;
        starts[i] = 1;
        i += sonde_utf8_next(text + i, n - i, &code);
    }
    starts[n] = 1;
    for (int64_t k = 0; k < encoding->n; k++) {
        const struct sonde_encoded_token *token = &encoding->tokens[k];
        assert_true(token->begin >= last && token->begin <= token->end);
        assert_true(token->end <= (int64_t)n);
        assert_true(token->begin <= covered); /* nothing between is left out */
        assert_true(starts[token->begin] && starts[token->end]);
        last = token->begin;
        covered = token->end > covered ? token->end : covered;
    }
    assert_int_equal(covered, n);
    free(starts);
}

static inline void decode_all(const struct sonde_tokenizer *t,
                              const struct sonde_encoding *encoding, bool skip_special,
                              struct sonde_buf *out)
{
    struct sonde_error error = { 0 };
    int32_t *ids = calloc((size_t)encoding->n + 1, sizeof(*ids));

    for (int64_t k = 0; k < encoding->n; k++)
        ids[k] = encoding->tokens[k].id;
    check_ok(sonde_tokenizer_decode(t, ids, encoding->n, skip_special, out, &error), &error);
    free(ids);
}

/* Bytes and characters that have broken tokenizers. Returns the length; room for 40 a piece. */
static inline size_t hostile_text(struct sonde_rng *rng, char *out, int64_t max_pieces)
{
    static const char *const pieces[] = { "a",
                                          "b",
                                          "the",
                                          " ",
                                          "  ",
                                          "\n",
                                          "\r\n",
                                          "\t",
                                          "'s",
                                          "'LL",
                                          "1",
                                          "234",
                                          "\xC3\xA9",
                                          "e\xCC\x81",
                                          "\xC2\xA0",
                                          "\xE3\x80\x80",
                                          "\xE6\x97\xA5",
                                          "\xED\x95\x9C",
                                          "\xF0\x9F\x99\x82",
                                          "\xF0\x9F\x91\xA9\xE2\x80\x8D\xF0\x9F\x91\xA7",
                                          "\xE2\x96\x81x",
                                          "\xC4\xA0",
                                          "\xE2\x80\x8B",
                                          "\xCC\x81",
                                          "\xEF\xAC\x81",
                                          "\xEF\xBF\xBD",
                                          "<0x41>",
                                          "<",
                                          ">",
                                          "|",
                                          ".",
                                          "...",
                                          "\"",
                                          "\xE2\x80\xA8",
                                          "\xE1\xA0\x8E",
                                          "\xC2\x85",
                                          "\xFF",
                                          "\xC3",
                                          "\x80",
                                          "\xED\xA0\x80",
                                          "\xF4\x90\x80\x80",
                                          "\xE2\x82",
                                          "Once upon a time" };
    int64_t count = sonde_rng_below(rng, max_pieces + 1);
    size_t n = 0;

    for (int64_t k = 0; k < count; k++) {
        int64_t which = sonde_rng_below(rng, 46);
        if (which < 43) {
            size_t length = strlen(pieces[which]);
            memcpy(out + n, pieces[which], length);
            n += length;
        } else { /* any byte, NUL included */
            out[n++] = (char)sonde_rng_below(rng, 256);
        }
    }
    return n;
}

#endif
