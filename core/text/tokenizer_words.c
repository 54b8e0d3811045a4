/* What is worked out once after reading: ids of bytes, words that are one token, the name of the
 * kind. */
#include <stdio.h>
#include <string.h>

#include "core/text/tokenizer_internal.h"

#define MAX_WHOLE_BYTES 64

static void find_byte_ids(struct sonde_tokenizer *t)
{
    for (int b = 0; b < 256; b++) {
        char piece[16];
        size_t n = t->byte_level ? sonde_utf8_put(piece, sonde_byte_level_code((unsigned char)b))
                                 : (size_t)snprintf(piece, sizeof(piece), "<0x%02X>", (unsigned)b);
        int32_t id = sonde_vocab_find(&t->vocab, piece, n);
        if (id >= 0 && (t->vocab.pieces[id].flags & SONDE_PIECE_MODEL))
            t->byte_ids[b] = id;
    }
}

/* Does merging the word's characters end in exactly this id? */
static enum sonde_status merges_to(const struct sonde_tokenizer *t, struct sonde_bpe_word *word,
                                   const char *text, size_t n, int32_t id, bool *yes,
                                   struct sonde_error *error)
{
    struct sonde_bpe_rule rule = { .merges = &t->merges };
    enum sonde_status status = SONDE_STATUS_OK;
    size_t i = 0;

    *yes = false;
    word->n = 0;
    while (i < n && status == SONDE_STATUS_OK) {
        int32_t code;
        size_t length = t->byte_level ? 1 : sonde_utf8_next(text + i, n - i, &code);
        int32_t symbol = t->byte_level ? t->byte_ids[(unsigned char)text[i]]
                                       : sonde_vocab_find(&t->vocab, text + i, length);
        if (symbol < 0 || !(t->vocab.pieces[symbol].flags & SONDE_PIECE_MODEL))
            return SONDE_STATUS_OK;
        status = sonde_bpe_push(word, symbol, (uint32_t)i, error);
        i += length;
    }
    if (status == SONDE_STATUS_OK)
        status = sonde_bpe_merge(word, &rule, error);
    *yes = status == SONDE_STATUS_OK && word->n == 1 && word->symbols[0].id == id;
    return status;
}

static enum sonde_status add_word(struct sonde_tokenizer *t, struct sonde_bpe_word *word,
                                  struct sonde_buf *bytes, int32_t id, struct sonde_error *error)
{
    const struct sonde_piece *piece = &t->vocab.pieces[id];
    enum sonde_status status = SONDE_STATUS_OK;
    const char *text = piece->text;
    size_t n = piece->n;
    bool whole = t->ignore_merges;

    if (!text || n == 0 || !(piece->flags & SONDE_PIECE_MODEL))
        return status;
    if (t->byte_level) {
        sonde_buf_clear(bytes);
        if (!sonde_byte_level_bytes(bytes, text, n))
            return sonde_buf_status(bytes, error);
        text = bytes->data;
        n = bytes->size;
    }
    if (!whole && n > MAX_WHOLE_BYTES)
        return status;
    if (!whole)
        status = merges_to(t, word, text, n, id, &whole, error);
    if (status != SONDE_STATUS_OK || !whole)
        return status;
    const char *key = piece->text;
    if (t->byte_level)
        key = sonde_arena_strndup(t->vocab.arena, text, n);
    if (!key || !sonde_bytes_map_put(&t->words, key, n, id))
        return sonde_error_memory(error, "words");
    return status;
}

enum sonde_status sonde_tokenizer_prepare_words(struct sonde_tokenizer *t,
                                                struct sonde_error *error)
{
    enum sonde_status status = SONDE_STATUS_OK;
    struct sonde_bpe_word word = { 0 };
    struct sonde_buf bytes = { 0 };

    if (t->n_splitters == 0 && !t->ignore_merges)
        return status; /* a text is one word: hardly ever a single token */
    for (int64_t id = 0; id < t->vocab.n && status == SONDE_STATUS_OK; id++)
        status = add_word(t, &word, &bytes, (int32_t)id, error);
    sonde_bpe_word_finish(&word);
    sonde_buf_finish(&bytes);
    return status;
}

static void name_kind(struct sonde_tokenizer *t)
{
    const char *kind = "BPE";
    bool bytes = true;

    for (int b = 0; b < 256; b++)
        bytes = bytes && t->byte_ids[b] >= 0;
    if (t->byte_level)
        kind = "BPE, byte-level";
    else if (t->byte_fallback)
        kind = bytes ? "BPE, byte fallback" : "BPE, byte fallback without byte pieces";
    snprintf(t->kind, sizeof(t->kind), "%s", kind);
}

enum sonde_status sonde_tokenizer_complete(struct sonde_tokenizer *t, struct sonde_error *error)
{
    if (t->byte_level || t->byte_fallback)
        find_byte_ids(t);
    name_kind(t);
    enum sonde_status status = sonde_added_build(t, error);
    return status == SONDE_STATUS_OK ? sonde_tokenizer_prepare_words(t, error) : status;
}
