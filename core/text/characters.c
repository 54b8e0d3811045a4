/* One-character vocabularies: an id is a character. */
#include <stdio.h>
#include <string.h>

#include "core/text/tokenizer_internal.h"

static enum sonde_status add_characters(struct sonde_tokenizer *t, const char *const *pieces,
                                        int64_t n_pieces, struct sonde_error *error)
{
    for (int64_t i = 0; i < n_pieces; i++) {
        char show[SONDE_SHOW_BYTES];
        int32_t code;
        if (!pieces[i])
            continue;
        size_t n = strlen(pieces[i]);
        if (n == 0 || sonde_utf8_next(pieces[i], n, &code) != n || code < 0)
            return sonde_error_set(error, SONDE_STATUS_FORMAT,
                                   "id %lld: \"%s\" is not one character", (long long)i,
                                   sonde_text_show(show, pieces[i], n));
        enum sonde_status status =
            sonde_vocab_add(&t->vocab, pieces[i], n, i, SONDE_PIECE_MODEL, false, error);
        if (status != SONDE_STATUS_OK)
            return status;
    }
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_tokenizer_characters(struct sonde_tokenizer **out,
                                             const char *const *pieces, int64_t n_pieces,
                                             int32_t unk_id, struct sonde_error *error)
{
    if (unk_id < -1 || unk_id >= n_pieces || (unk_id >= 0 && !pieces[unk_id]))
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "unknown id %d of a vocabulary of %lld characters", unk_id,
                               (long long)n_pieces);
    struct sonde_tokenizer *t = sonde_tokenizer_new(SONDE_TOKENIZER_CHARACTERS);
    if (!t)
        return sonde_error_memory(error, "a tokenizer");
    (void)snprintf(t->kind, sizeof(t->kind), "characters");
    enum sonde_status status = add_characters(t, pieces, n_pieces, error);
    if (status != SONDE_STATUS_OK) {
        sonde_tokenizer_close(&t);
        return status;
    }
    t->unk = unk_id;
    t->has_unk = unk_id >= 0;
    *out = t;
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_encode_characters(const struct sonde_tokenizer *t, const char *text,
                                          size_t n, struct sonde_encoding *out,
                                          struct sonde_error *error)
{
    size_t i = 0;

    while (i < n) {
        int32_t code;
        size_t length = sonde_utf8_next(text + i, n - i, &code);
        int32_t id = code < 0 ? sonde_vocab_find(&t->vocab, "\xEF\xBF\xBD", 3)
                              : sonde_vocab_find(&t->vocab, text + i, length);
        if (id < 0)
            id = t->unk;
        if (id < 0) {
            char show[SONDE_SHOW_BYTES];
            return sonde_error_set(error, SONDE_STATUS_FORMAT,
                                   "\"%s\" at byte %zu is not in the vocabulary, and the tokenizer "
                                   "has no unknown token",
                                   sonde_text_show(show, text + i, length), i);
        }
        enum sonde_status status =
            sonde_encoding_push(t, out, id, (int64_t)i, (int64_t)(i + length), error);
        if (status != SONDE_STATUS_OK)
            return status;
        i += length;
    }
    return SONDE_STATUS_OK;
}
