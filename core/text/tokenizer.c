/* The tokenizer as others see it: life, questions, and what stands around the encoded text. */
#include "core/text/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/file.h"
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

/* What the policy puts around the text. */
struct surround {
    int32_t before[SONDE_TOKENIZER_MAX_TEMPLATE + 1];
    int n_before;
    const int32_t *after;
    int n_after;
};

static enum sonde_status plan(const struct sonde_tokenizer *t, enum sonde_bos_policy bos,
                              struct surround *plan, struct sonde_error *error)
{
    *plan = (struct surround){ 0 };
    if (bos == SONDE_BOS_NEVER)
        return SONDE_STATUS_OK;
    if (bos == SONDE_BOS_ALWAYS && t->bos < 0)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "the tokenizer has no beginning-of-sequence token");
    if (bos == SONDE_BOS_ALWAYS && (t->n_prefix == 0 || t->prefix[0] != t->bos))
        plan->before[plan->n_before++] = t->bos;
    for (int i = 0; i < t->n_prefix; i++)
        plan->before[plan->n_before++] = t->prefix[i];
    plan->after = t->suffix;
    plan->n_after = t->n_suffix;
    return SONDE_STATUS_OK;
}

static enum sonde_status encode_text(const struct sonde_tokenizer *t, const char *text, size_t n,
                                     struct sonde_encoding *out, struct sonde_error *error)
{
    switch (t->type) {
    case SONDE_TOKENIZER_BPE:
        return sonde_encode_bpe(t, text, n, out, error);
    case SONDE_TOKENIZER_LLAMA2C:
        return sonde_encode_llama2c(t, text, n, out, error);
    case SONDE_TOKENIZER_CHARACTERS:
        return sonde_encode_characters(t, text, n, out, error);
    }
    return SONDE_STATUS_ARGUMENT;
}

enum sonde_status sonde_tokenizer_encode(const struct sonde_tokenizer *t, const char *text,
                                         size_t n, enum sonde_bos_policy bos,
                                         struct sonde_encoding *out, struct sonde_error *error)
{
    struct surround around;
    int64_t start = out->n;

    if (n > SONDE_TOKENIZER_MAX_TEXT_BYTES)
        return sonde_error_set(error, SONDE_STATUS_LIMIT,
                               "a text of %zu bytes, at most %lld in one sequence", n,
                               (long long)SONDE_TOKENIZER_MAX_TEXT_BYTES);
    enum sonde_status status = plan(t, bos, &around, error);
    for (int i = 0; i < around.n_before && status == SONDE_STATUS_OK; i++)
        status = sonde_encoding_push(t, out, around.before[i], 0, 0, error);
    int64_t first = out->n;
    if (status == SONDE_STATUS_OK)
        status = encode_text(t, text ? text : "", n, out, error);
    if (status == SONDE_STATUS_OK && around.n_before > 0 && t->bos >= 0 &&
        around.before[around.n_before - 1] == t->bos && out->n > first &&
        out->tokens[first].id == t->bos) {
        /* The text brings its own: keep that one, it has a span. */
        memmove(&out->tokens[first - 1], &out->tokens[first],
                (size_t)(out->n - first) * sizeof(*out->tokens));
        out->n--;
    }
    for (int i = 0; i < around.n_after && status == SONDE_STATUS_OK; i++)
        status = sonde_encoding_push(t, out, around.after[i], (int64_t)n, (int64_t)n, error);
    if (status != SONDE_STATUS_OK) {
        out->n = start;
        return status;
    }
    /* One id for beginning and end (GPT-2): the first of a sequence begins it. */
    if (out->n > start && t->bos >= 0 && out->tokens[start].id == t->bos) {
        out->tokens[start].flags |= SONDE_TEXT_FLAG_BOS;
        out->tokens[start].flags &= ~(uint32_t)SONDE_TEXT_FLAG_EOS;
    }
    return SONDE_STATUS_OK;
}

static enum sonde_status find_beside(bool *there, const char *folder, const char *name,
                                     struct sonde_error *error)
{
    char *path = sonde_path_join(folder, name);

    if (!path)
        return sonde_error_memory(error, "a path");
    *there = sonde_path_exists(path);
    free(path);
    return SONDE_STATUS_OK;
}

static enum sonde_status open_json(struct sonde_tokenizer **out, const char *path,
                                   struct sonde_error *error)
{
    struct sonde_buf text = { 0 };

    enum sonde_status status = sonde_file_load(path, SONDE_TOKENIZER_MAX_FILE_BYTES, &text, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_tokenizer_parse(out, text.data ? text.data : "", text.size, path, error);
    sonde_buf_finish(&text);
    return status;
}

/* tokenizer.json, else vocab.json and merges.txt; names of special tokens from the files beside. */
static enum sonde_status open_folder(struct sonde_tokenizer **out, const char *folder,
                                     struct sonde_error *error)
{
    bool json = false, vocab = false, merges = false;
    struct sonde_tokenizer *t = NULL;

    enum sonde_status status = find_beside(&json, folder, "tokenizer.json", error);
    if (status == SONDE_STATUS_OK)
        status = find_beside(&vocab, folder, "vocab.json", error);
    if (status == SONDE_STATUS_OK)
        status = find_beside(&merges, folder, "merges.txt", error);
    if (status != SONDE_STATUS_OK)
        return status;
    if (json) {
        char *path = sonde_path_join(folder, "tokenizer.json");
        status = path ? open_json(&t, path, error) : sonde_error_memory(error, "a path");
        free(path);
    } else if (vocab && merges) {
        status = sonde_tokenizer_open_gpt2(&t, folder, error);
    } else {
        status = sonde_error_set(error, SONDE_STATUS_NOT_FOUND,
                                 "%s: no tokenizer.json, nor vocab.json with merges.txt", folder);
    }
    if (status == SONDE_STATUS_OK)
        status = sonde_tokenizer_read_config(t, folder, error);
    if (status == SONDE_STATUS_OK)
        *out = t;
    else
        sonde_tokenizer_close(&t);
    return status;
}

enum sonde_status sonde_tokenizer_open(struct sonde_tokenizer **out, const char *path,
                                       int64_t vocab_size, struct sonde_error *error)
{
    if (!path || !sonde_path_exists(path))
        return sonde_error_set(error, SONDE_STATUS_NOT_FOUND, "%s: no such file",
                               path ? path : "(no path)");
    if (sonde_path_is_directory(path))
        return open_folder(out, path, error);
    if (sonde_str_ends(path, ".bin"))
        return sonde_tokenizer_open_llama2c(out, path, vocab_size, error);
    if (sonde_str_ends(path, ".model"))
        return sonde_error_set(error, SONDE_STATUS_UNSUPPORTED,
                               "%s: a SentencePiece model; a tokenizer.json of it is needed", path);
    return open_json(out, path, error);
}
