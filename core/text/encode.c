/* tokenizer.json's way of encoding: added tokens, normalisation, pre-tokenization, merging. */
#include <stdlib.h>
#include <string.h>

#include "core/text/tokenizer_internal.h"

/* All that one call needs besides the immutable tokenizer. */
struct encoder {
    const struct sonde_tokenizer *t;
    struct sonde_encoding *out;
    struct sonde_pattern_scratch *pattern;
    struct sonde_bpe_word word;
    struct sonde_mapped original; /* invalid bytes replaced */
    struct sonde_mapped normalized[2];
    struct sonde_split_state splits[SONDE_TOKENIZER_MAX_STEPS];
    struct sonde_error *error;
};

static enum sonde_status push_span(struct encoder *e, int32_t id, const struct sonde_view *word,
                                   size_t begin, size_t end)
{
    struct sonde_origin first = sonde_view_origin(word, begin);
    struct sonde_origin last = sonde_view_origin(word, end - 1);

    return sonde_encoding_push(e->t, e->out, id, first.begin, last.end, e->error);
}

static enum sonde_status unknown(const struct encoder *e, const struct sonde_view *word, size_t at,
                                 size_t n)
{
    char show[SONDE_SHOW_BYTES];

    return sonde_error_set(e->error, SONDE_STATUS_FORMAT,
                           "\"%s\" at byte %u is not in the vocabulary, and the tokenizer has no "
                           "unknown token",
                           sonde_text_show(show, word->data + at, n),
                           sonde_view_origin(word, at).begin);
}

/* The symbols of a word before merging. Characters that are not in the vocabulary become bytes
 * where the vocabulary has them all, else the unknown token, one for each or (fuse_unk) one for a
 * run. */
static enum sonde_status push_characters(struct encoder *e, const struct sonde_view *word)
{
    const struct sonde_tokenizer *t = e->t;
    enum sonde_status status = SONDE_STATUS_OK;
    bool in_unknown = false;
    size_t i = 0;

    while (i < word->n && status == SONDE_STATUS_OK) {
        int32_t code;
        size_t n = t->byte_level ? 1 : sonde_utf8_next(word->data + i, word->n - i, &code);
        int32_t id = t->byte_level ? t->byte_ids[(unsigned char)word->data[i]]
                                   : sonde_vocab_find(&t->vocab, word->data + i, n);
        if (id >= 0 && (t->vocab.pieces[id].flags & SONDE_PIECE_MODEL)) {
            in_unknown = false;
            status = sonde_bpe_push(&e->word, id, (uint32_t)i, e->error);
            i += n;
            continue;
        }
        bool bytes = t->byte_fallback && !t->byte_level;
        for (size_t k = 0; bytes && k < n; k++)
            bytes = t->byte_ids[(unsigned char)word->data[i + k]] >= 0;
        for (size_t k = 0; bytes && k < n && status == SONDE_STATUS_OK; k++)
            status = sonde_bpe_push(&e->word, t->byte_ids[(unsigned char)word->data[i + k]],
                                    (uint32_t)(i + k), e->error);
        if (!bytes && !t->has_unk)
            return unknown(e, word, i, n);
        if (!bytes && !(in_unknown && t->fuse_unk))
            status = sonde_bpe_push(&e->word, t->unk, (uint32_t)i, e->error);
        in_unknown = !bytes;
        i += n;
    }
    return status;
}

static enum sonde_status encode_word(struct encoder *e, const struct sonde_view *word)
{
    const struct sonde_tokenizer *t = e->t;

    int32_t whole = sonde_bytes_map_get(&t->words, word->data, word->n);
    if (whole >= 0)
        return push_span(e, whole, word, 0, word->n);
    if (word->n > UINT32_MAX - 1)
        return sonde_error_set(e->error, SONDE_STATUS_LIMIT, "a word of %zu bytes", word->n);
    e->word.n = 0;
    enum sonde_status status = push_characters(e, word);
    if (status != SONDE_STATUS_OK)
        return status;
    struct sonde_bpe_rule rule = { .merges = &t->merges };
    status = sonde_bpe_merge(&e->word, &rule, e->error);
    for (int64_t i = 0; i < e->word.n && status == SONDE_STATUS_OK; i++) {
        size_t end = i + 1 < e->word.n ? e->word.symbols[i + 1].begin : word->n;
        status = push_span(e, e->word.symbols[i].id, word, e->word.symbols[i].begin, end);
    }
    return status;
}

/* Pre-tokenizes depth first: level k's pieces are level k + 1's input. */
static enum sonde_status encode_piece(struct encoder *e, struct sonde_view view)
{
    const struct sonde_tokenizer *t = e->t;
    int level = 0;

    if (view.n == 0)
        return SONDE_STATUS_OK;
    if (t->n_splitters == 0)
        return encode_word(e, &view);
    enum sonde_status status = sonde_split_init(&t->splitters[0], &e->splits[0], view, e->error);
    while (status == SONDE_STATUS_OK && level >= 0) {
        struct sonde_view piece;
        bool more;
        status = sonde_split_next(&t->splitters[level], &e->splits[level], e->pattern, &piece,
                                  &more, e->error);
        if (status != SONDE_STATUS_OK)
            return status;
        if (!more) {
            level--;
        } else if (level + 1 == t->n_splitters) {
            status = encode_word(e, &piece);
        } else {
            level++;
            status = sonde_split_init(&t->splitters[level], &e->splits[level], piece, e->error);
        }
    }
    return status;
}

/* Text between added tokens that are searched for in the original. */
static enum sonde_status encode_segment(struct encoder *e, struct sonde_view segment)
{
    const struct sonde_tokenizer *t = e->t;
    struct sonde_added_match match = { 0 };
    struct sonde_view view;
    size_t at = 0;

    enum sonde_status status = sonde_normalize_view(t, segment, e->normalized, &view, e->error);
    while (status == SONDE_STATUS_OK && (at < view.n || match.resume < view.n)) {
        match = sonde_added_find(t, &t->normal_added, view.data, view.n, match.resume, at);
        if (match.begin > at)
            status = encode_piece(e, sonde_view_slice(view, at, match.begin));
        if (status == SONDE_STATUS_OK && match.index >= 0)
            status = push_span(e, t->added[match.index].id, &view, match.begin, match.end);
        at = match.end > at ? match.end : at;
    }
    return status;
}

static enum sonde_status encode_original(struct encoder *e, const char *text, size_t n)
{
    const struct sonde_tokenizer *t = e->t;
    struct sonde_added_match match = { 0 };
    struct sonde_view view;
    size_t at = 0;

    enum sonde_status status = sonde_sanitize_view(text, n, &e->original, &view, e->error);
    while (status == SONDE_STATUS_OK && (at < view.n || match.resume < view.n)) {
        match = sonde_added_find(t, &t->raw_added, view.data, view.n, match.resume, at);
        if (match.begin > at)
            status = encode_segment(e, sonde_view_slice(view, at, match.begin));
        if (status == SONDE_STATUS_OK && match.index >= 0)
            status = push_span(e, t->added[match.index].id, &view, match.begin, match.end);
        at = match.end > at ? match.end : at;
    }
    return status;
}

static bool needs_pattern(const struct sonde_tokenizer *t)
{
    for (int i = 0; i < t->n_splitters; i++) {
        if (t->splitters[i].kind == SONDE_SPLITTER_PATTERN)
            return true;
    }
    return false;
}

enum sonde_status sonde_encode_bpe(const struct sonde_tokenizer *t, const char *text, size_t n,
                                   struct sonde_encoding *out, struct sonde_error *error)
{
    struct encoder e = { .t = t, .out = out, .error = error };
    enum sonde_status status = SONDE_STATUS_OK;

    if (needs_pattern(t))
        status = sonde_pattern_scratch_create(&e.pattern, error);
    if (status == SONDE_STATUS_OK)
        status = encode_original(&e, text, n);
    sonde_pattern_scratch_destroy(&e.pattern);
    sonde_bpe_word_finish(&e.word);
    sonde_mapped_finish(&e.original);
    sonde_mapped_finish(&e.normalized[0]);
    sonde_mapped_finish(&e.normalized[1]);
    for (int i = 0; i < SONDE_TOKENIZER_MAX_STEPS; i++)
        sonde_mapped_finish(&e.splits[i].work);
    return status;
}
