/*
 * Tokenizer files of llama2.c (Karpathy 2023), and its way of encoding. File: int32 length of the
 * longest piece; then for each id float32 score, int32 length, the bytes. Ids 0, 1, 2 are unknown,
 * beginning and end; byte b is id b + 3.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/file.h"
#include "core/text/tokenizer_internal.h"

#define BYTE_BASE 3

/* A cursor over the mapped file. */
struct reader {
    const uint8_t *data;
    int64_t size, at;
};

static bool take(struct reader *r, void *out, int64_t n)
{
    if (r->size - r->at < n)
        return false;
    memcpy(out, r->data + r->at, (size_t)n);
    r->at += n;
    return true;
}

static enum sonde_status ends_early(const struct reader *r, int64_t id, struct sonde_error *error)
{
    return sonde_error_set(error, SONDE_STATUS_FORMAT, "id %lld: the file ends at byte %lld",
                           (long long)id, (long long)r->size);
}

static enum sonde_status read_piece(struct sonde_tokenizer *t, struct reader *r, int64_t id,
                                    float *score, struct sonde_error *error)
{
    int32_t length = 0;

    if (!take(r, score, 4) || !take(r, &length, 4))
        return ends_early(r, id, error);
    if (!isfinite(*score))
        return sonde_error_set(error, SONDE_STATUS_FORMAT, "id %lld: the score is not finite",
                               (long long)id);
    if (length < 0 || (uint32_t)length > t->max_piece_bytes)
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "id %lld: a piece of %d bytes, expected 0 to %u", (long long)id,
                               length, t->max_piece_bytes);
    if (r->size - r->at < length)
        return ends_early(r, id, error);
    const char *text = (const char *)r->data + r->at;
    r->at += length;
    uint32_t flags = SONDE_PIECE_MODEL | (id < BYTE_BASE ? SONDE_PIECE_SPECIAL : 0);
    return sonde_vocab_add(&t->vocab, text, (size_t)length, id, flags, true, error);
}

struct scored {
    float score;
    int32_t id;
};

static int best_first(const void *a, const void *b)
{
    const struct scored *x = a, *y = b;

    return (x->score < y->score) - (x->score > y->score);
}

/* Equal scores share a rank, so that the leftmost pair of equals is merged first, as llama2.c does.
 */
static enum sonde_status rank_scores(struct sonde_tokenizer *t, struct scored *scored, int64_t n,
                                     struct sonde_error *error)
{
    t->score_rank = calloc((size_t)n, sizeof(*t->score_rank));
    if (!t->score_rank)
        return sonde_error_memory(error, "scores");
    qsort(scored, (size_t)n, sizeof(*scored), best_first);
    uint32_t rank = 0;
    for (int64_t i = 0; i < n; i++) {
        if (i > 0 && scored[i].score < scored[i - 1].score)
            rank++;
        /* llama2.c starts its search for the best pair at -1e10 */
        t->score_rank[scored[i].id] = scored[i].score > -1e10F ? rank : SONDE_BPE_NO_RANK;
    }
    return SONDE_STATUS_OK;
}

static enum sonde_status read_pieces(struct sonde_tokenizer *t, struct reader *r, int64_t n,
                                     struct sonde_error *error)
{
    struct scored *scored = calloc((size_t)n, sizeof(*scored));
    enum sonde_status status = SONDE_STATUS_OK;

    if (!scored)
        return sonde_error_memory(error, "scores");
    for (int64_t i = 0; i < n && status == SONDE_STATUS_OK; i++) {
        scored[i].id = (int32_t)i;
        status = read_piece(t, r, i, &scored[i].score, error);
    }
    if (status == SONDE_STATUS_OK)
        status = rank_scores(t, scored, n, error);
    free(scored);
    return status;
}

static enum sonde_status read_file(struct sonde_tokenizer *t, const struct sonde_buf *file,
                                   int64_t vocab_size, struct sonde_error *error)
{
    struct reader r = { .data = (const uint8_t *)file->data, .size = (int64_t)file->size };
    int32_t longest = 0;

    if (!take(&r, &longest, 4))
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "%lld bytes are too few for a llama2.c tokenizer",
                               (long long)r.size);
    if (longest < 1 || longest > SONDE_VOCAB_MAX_PIECE_BYTES)
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "longest piece of %d bytes, expected 1 to %d", longest,
                               SONDE_VOCAB_MAX_PIECE_BYTES);
    if (vocab_size > (r.size - 4) / 8)
        return sonde_error_set(error, SONDE_STATUS_FORMAT, "%lld bytes are too few for %lld pieces",
                               (long long)r.size, (long long)vocab_size);
    t->max_piece_bytes = (uint32_t)longest;
    enum sonde_status status = read_pieces(t, &r, vocab_size, error);
    if (status != SONDE_STATUS_OK)
        return status;
    if (r.at != r.size)
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "%lld bytes after the last of %lld pieces",
                               (long long)(r.size - r.at), (long long)vocab_size);
    t->unk = 0;
    t->bos = t->prefix[0] = 1;
    t->n_prefix = 1;
    t->eos = 2;
    t->space_id = sonde_vocab_find(&t->vocab, " ", 1);
    if (t->space_id < 0)
        return sonde_error_set(error, SONDE_STATUS_FORMAT, "no piece is a single space");
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_tokenizer_open_llama2c(struct sonde_tokenizer **out, const char *path,
                                               int64_t vocab_size, struct sonde_error *error)
{
    struct sonde_buf file = { 0 };

    if (vocab_size < BYTE_BASE + 256 || vocab_size > SONDE_VOCAB_MAX_IDS)
        return sonde_error_set(
            error, SONDE_STATUS_ARGUMENT,
            "%s: a vocabulary of %lld, expected %d to %d for a llama2.c tokenizer", path,
            (long long)vocab_size, BYTE_BASE + 256, SONDE_VOCAB_MAX_IDS);
    struct sonde_tokenizer *t = sonde_tokenizer_new(SONDE_TOKENIZER_LLAMA2C);
    if (!t)
        return sonde_error_memory(error, "a tokenizer");
    (void)snprintf(t->kind, sizeof(t->kind), "BPE by scores, llama2.c");
    enum sonde_status status = sonde_file_load(path, SONDE_TOKENIZER_MAX_FILE_BYTES, &file, error);
    if (status == SONDE_STATUS_OK) {
        status = read_file(t, &file, vocab_size, error);
        if (status != SONDE_STATUS_OK)
            sonde_error_prepend(error, "%s", path);
    }
    sonde_buf_finish(&file);
    if (status == SONDE_STATUS_OK)
        *out = t;
    else
        sonde_tokenizer_close(&t);
    return status;
}

/* llama2.c collects a character's bytes without checking it: a first byte and up to three
 * continuation bytes. */
static size_t loose_character(const char *text, size_t n)
{
    size_t length = 1;

    while (length < 4 && length < n && ((unsigned char)text[length] & 0xC0) == 0x80)
        length++;
    return length;
}

static enum sonde_status push_text(const struct sonde_tokenizer *t, const char *text, size_t n,
                                   struct sonde_bpe_word *word, struct sonde_error *error)
{
    enum sonde_status status = SONDE_STATUS_OK;
    size_t i = 0;

    if (n > 0)
        status = sonde_bpe_push(word, t->space_id, 0, error);
    while (i < n && status == SONDE_STATUS_OK) {
        size_t length = loose_character(text + i, n - i);
        int32_t id = sonde_vocab_find(&t->vocab, text + i, length);
        if (id >= 0)
            status = sonde_bpe_push(word, id, (uint32_t)i, error);
        for (size_t k = 0; id < 0 && k < length && status == SONDE_STATUS_OK; k++)
            status = sonde_bpe_push(word, (unsigned char)text[i + k] + BYTE_BASE, (uint32_t)(i + k),
                                    error);
        i += length;
    }
    return status;
}

/* Walks over the text's characters in step with the tokens. */
struct character {
    size_t begin, end;
};

static void move_to(struct character *c, const char *text, size_t n, size_t at)
{
    while (c->end <= at) {
        c->begin = c->end;
        c->end += loose_character(text + c->begin, n - c->begin);
    }
}

enum sonde_status sonde_encode_llama2c(const struct sonde_tokenizer *t, const char *text, size_t n,
                                       struct sonde_encoding *out, struct sonde_error *error)
{
    struct sonde_bpe_word word = { 0 };
    struct character at = { 0 };
    struct sonde_bpe_rule rule = {
        .vocab = &t->vocab,
        .score_rank = t->score_rank,
        .max_piece_bytes = t->max_piece_bytes,
    };

    enum sonde_status status = push_text(t, text, n, &word, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_bpe_merge(&word, &rule, error);
    for (int64_t i = 0; i < word.n && status == SONDE_STATUS_OK; i++) {
        size_t begin = word.symbols[i].begin;
        size_t end = i + 1 < word.n ? word.symbols[i + 1].begin : n;
        if (end > begin) { /* a byte token has its whole character's span */
            move_to(&at, text, n, begin);
            begin = at.begin;
            move_to(&at, text, n, end - 1);
            end = at.end;
        }
        status =
            sonde_encoding_push(t, out, word.symbols[i].id, (int64_t)begin, (int64_t)end, error);
    }
    sonde_bpe_word_finish(&word);
    return status;
}
