/* The tokenizer as an object: its life, its questions, one more token. */
#include "core/text/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "core/text/tokenizer_internal.h"

struct sonde_tokenizer *sonde_tokenizer_new(enum sonde_tokenizer_type type)
{
    struct sonde_tokenizer *t = calloc(1, sizeof(*t));

    if (!t)
        return NULL;
    t->type = type;
    t->bos = t->eos = t->unk = t->space_id = -1;
    memset(t->byte_ids, 0xFF, sizeof(t->byte_ids));
    if (sonde_vocab_init(&t->vocab, NULL) != SONDE_STATUS_OK) {
        free(t);
        return NULL;
    }
    return t;
}

static void finish_set(struct sonde_added_set *set)
{
    sonde_merges_finish(&set->edges);
    free(set->found);
}

void sonde_tokenizer_close(struct sonde_tokenizer **tokenizer)
{
    struct sonde_tokenizer *t = *tokenizer;

    if (!t)
        return;
    for (int i = 0; i < SONDE_TOKENIZER_MAX_STEPS; i++) {
        free(t->normalizers[i].pattern);
        free(t->normalizers[i].content);
        sonde_pattern_destroy(&t->splitters[i].pattern);
        free(t->splitters[i].content);
        free(t->decoders[i].pattern);
        free(t->decoders[i].content);
    }
    for (int64_t i = 0; i < t->n_added; i++)
        free(t->added[i].owned);
    free(t->added);
    finish_set(&t->raw_added);
    finish_set(&t->normal_added);
    sonde_merges_finish(&t->merges);
    sonde_bytes_map_finish(&t->words);
    sonde_vocab_finish(&t->vocab);
    free(t->score_rank);
    free(t);
    *tokenizer = NULL;
}

const char *sonde_tokenizer_kind(const struct sonde_tokenizer *t)
{
    return t->kind;
}

int64_t sonde_tokenizer_size(const struct sonde_tokenizer *t)
{
    return t->vocab.n;
}

int32_t sonde_tokenizer_bos(const struct sonde_tokenizer *t)
{
    return t->bos;
}

int32_t sonde_tokenizer_eos(const struct sonde_tokenizer *t)
{
    return t->eos;
}

int32_t sonde_tokenizer_unk(const struct sonde_tokenizer *t)
{
    return t->unk;
}

void sonde_tokenizer_set_special(struct sonde_tokenizer *t, int32_t bos, int32_t eos)
{
    if (bos >= 0 && bos < t->vocab.n)
        t->bos = bos;
    if (eos >= 0 && eos < t->vocab.n)
        t->eos = eos;
}

bool sonde_tokenizer_is_special(const struct sonde_tokenizer *t, int32_t id)
{
    return id >= 0 && id < t->vocab.n && (t->vocab.pieces[id].flags & SONDE_PIECE_SPECIAL);
}

int32_t sonde_tokenizer_id(const struct sonde_tokenizer *t, const char *piece)
{
    return piece ? sonde_vocab_find(&t->vocab, piece, strlen(piece)) : -1;
}

const char *sonde_tokenizer_piece(const struct sonde_tokenizer *t, int32_t id)
{
    return id >= 0 && id < t->vocab.n ? t->vocab.pieces[id].text : NULL;
}

void sonde_encoding_finish(struct sonde_encoding *encoding)
{
    free(encoding->tokens);
    *encoding = (struct sonde_encoding){ 0 };
}

enum sonde_status sonde_encoding_push(const struct sonde_tokenizer *t, struct sonde_encoding *out,
                                      int32_t id, int64_t begin, int64_t end,
                                      struct sonde_error *error)
{
    uint32_t flags = 0;

    if (out->n == out->capacity) {
        void *items = out->tokens;
        if (!sonde_grow(&items, &out->capacity, out->n + 1, sizeof(*out->tokens), INT64_C(1) << 32))
            return sonde_error_memory(error, "tokens");
        out->tokens = items;
    }
    if (id == t->bos && t->bos != t->eos)
        flags |= SONDE_TEXT_FLAG_BOS;
    if (id == t->eos)
        flags |= SONDE_TEXT_FLAG_EOS;
    if (t->vocab.pieces[id].flags & SONDE_PIECE_SPECIAL)
        flags |= SONDE_TEXT_FLAG_SPECIAL;
    if (id == t->unk)
        flags |= SONDE_TEXT_FLAG_UNKNOWN;
    out->tokens[out->n++] =
        (struct sonde_encoded_token){ .id = id, .begin = begin, .end = end, .flags = flags };
    return SONDE_STATUS_OK;
}
