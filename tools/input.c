#include "tools/input.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/hash.h"
#include "core/base/json.h"
#include "core/corpus/formal.h"

#define TOKENS_MAX ((int64_t)1 << 31)

const char *const sonde_input_bos_names[] = { "auto", "always", "never", NULL };

struct sonde_input {
    const struct sonde_input_options *options;
    const struct sonde_model *model;
    struct sonde_corpus *corpus;
    int64_t context; /* tokens of a window at most */
    struct sonde_sequence_reader reader;
    struct sonde_input_counts counts;
    char **token_text; /* [V], made when first seen */
    int64_t n_token_text;
    int32_t symbol_id[256]; /* --formal: by symbol */

    /* The item in hand and how it is cut. */
    struct sonde_encoding encoding;
    const struct sonde_corpus_item *item;
    int64_t n_prefix, n_suffix; /* tokens that every window has in front and behind */
    int64_t step;               /* tokens of the item that one window covers */
    int64_t window;             /* the next one */

    struct sonde_token *tokens; /* [capacity] of the sequence that was given last */
    int64_t capacity;
    struct sonde_buf text; /* of a window */
    struct sonde_sequence sequence;
};

static int count_kinds(const struct sonde_input_options *o)
{
    return (o->text.n > 0) + (o->file != NULL) + (o->jsonl != NULL) + (o->conllu != NULL) +
           (o->formal != NULL) + (o->ids != NULL);
}

bool sonde_input_is_given(const struct sonde_input_options *options)
{
    return count_kinds(options) > 0;
}

enum sonde_status sonde_input_check(const struct sonde_input_options *o, struct sonde_error *error)
{
    int n = count_kinds(o);
    if (n == 0)
        return sonde_error_set(
            error, SONDE_STATUS_ARGUMENT,
            "no input: give --text, --file, --jsonl, --conllu, --formal or --ids");
    if (n > 1)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "more than one kind of input: give one of --text, --file, --jsonl, "
                               "--conllu, --formal and --ids");
    if (o->whole && !o->file)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT, "--whole goes with --file");
    if (o->field && !o->jsonl)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT, "--field goes with --jsonl");
    return SONDE_STATUS_OK;
}

static enum sonde_status open_corpus(struct sonde_input *input, struct sonde_error *error)
{
    const struct sonde_input_options *o = input->options;
    if (o->text.n)
        return sonde_corpus_from_texts(&input->corpus, o->text.item, o->text.n, error);
    if (o->file)
        return sonde_corpus_open(&input->corpus, o->file,
                                 o->whole ? SONDE_CORPUS_WHOLE : SONDE_CORPUS_LINES, NULL, error);
    if (o->jsonl)
        return sonde_corpus_open(&input->corpus, o->jsonl, SONDE_CORPUS_JSONL,
                                 o->field ? o->field : "text", error);
    if (o->conllu)
        return sonde_corpus_open(&input->corpus, o->conllu, SONDE_CORPUS_CONLLU, NULL, error);
    if (o->formal)
        return sonde_corpus_open(&input->corpus, o->formal, SONDE_CORPUS_FORMAL, NULL, error);
    return sonde_corpus_open(&input->corpus, o->ids, SONDE_CORPUS_IDS, NULL, error);
}

/* The token decoded alone; its number where there is no tokenizer. Kept for the whole input. */
static const char *token_text(struct sonde_input *input, int32_t id, struct sonde_error *error)
{
    if (input->token_text[id])
        return input->token_text[id];
    const struct sonde_tokenizer *tokenizer = sonde_model_tokenizer(input->model);
    struct sonde_buf text = { 0 };
    if (tokenizer && id < sonde_tokenizer_size(tokenizer)) {
        if (sonde_tokenizer_token_text(tokenizer, id, &text, error) != SONDE_STATUS_OK) {
            sonde_buf_finish(&text);
            return NULL;
        }
    } else {
        sonde_buf_printf(&text, "%d", (int)id);
    }
    sonde_buf_puts(&text, ""); /* an empty text is a text */
    input->token_text[id] = sonde_strdup(text.data ? text.data : "");
    sonde_buf_finish(&text);
    if (!input->token_text[id])
        sonde_error_memory(error, "a token's text");
    return input->token_text[id];
}

static enum sonde_status take_ids(struct sonde_input *input, const struct sonde_corpus_item *item,
                                  struct sonde_error *error)
{
    struct sonde_encoding *e = &input->encoding;
    const struct sonde_tokenizer *tokenizer = sonde_model_tokenizer(input->model);
    int64_t d_vocab = sonde_model_spec(input->model)->d_vocab;
    if (!sonde_grow((void **)&e->tokens, &e->capacity, item->n_ids, sizeof(*e->tokens), TOKENS_MAX))
        return sonde_error_memory(error, "the ids of a sequence");
    for (int64_t i = 0; i < item->n_ids; i++) {
        int32_t id = item->ids[i];
        if (id < 0 || id >= d_vocab)
            return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                                   "%s: sequence %lld, position %lld: id %d, expected 0 to %lld",
                                   input->options->ids, (long long)item->ordinal, (long long)i,
                                   (int)id, (long long)d_vocab - 1);
        uint32_t flags = 0;
        if (tokenizer && id < sonde_tokenizer_size(tokenizer)) {
            flags |= id == sonde_tokenizer_bos(tokenizer) ? SONDE_TOKEN_BOS : 0;
            flags |= id == sonde_tokenizer_eos(tokenizer) ? SONDE_TOKEN_EOS : 0;
            flags |= id == sonde_tokenizer_unk(tokenizer) ? SONDE_TOKEN_UNKNOWN : 0;
            flags |= sonde_tokenizer_is_special(tokenizer, id) ? SONDE_TOKEN_SPECIAL : 0;
        }
        e->tokens[i] = (struct sonde_encoded_token){ .id = id, .flags = flags };
    }
    e->n = item->n_ids;
    return SONDE_STATUS_OK;
}

static enum sonde_status take_text(struct sonde_input *input, const struct sonde_corpus_item *item,
                                   struct sonde_error *error)
{
    int64_t d_vocab = sonde_model_spec(input->model)->d_vocab;
    enum sonde_status status = sonde_tokenizer_encode(
        sonde_model_tokenizer(input->model), item->text, (size_t)item->text_bytes,
        (enum sonde_bos_policy)input->options->bos, &input->encoding, error);
    for (int64_t i = 0; !status && i < input->encoding.n; i++)
        if (input->encoding.tokens[i].id < 0 || input->encoding.tokens[i].id >= d_vocab)
            status = sonde_error_set(error, SONDE_STATUS_FORMAT,
                                     "%s: the tokenizer gives id %d, but the model's vocabulary "
                                     "has %lld",
                                     sonde_model_path(input->model),
                                     (int)input->encoding.tokens[i].id, (long long)d_vocab);
    if (status)
        sonde_error_prepend(error, "item %lld", (long long)item->ordinal + 1);
    return status;
}

static bool is_frame(const struct sonde_encoded_token *token)
{
    return token->begin == token->end &&
           (token->flags & (SONDE_TOKEN_BOS | SONDE_TOKEN_EOS | SONDE_TOKEN_SPECIAL)) != 0;
}

/* A token a symbol, between the tokens that the BOS policy puts around any text. */
static enum sonde_status take_symbols(struct sonde_input *input,
                                      const struct sonde_corpus_item *item,
                                      struct sonde_error *error)
{
    struct sonde_encoding *e = &input->encoding;
    int64_t n = item->n_ids, prefix = 0, suffix = 0;
    enum sonde_status status = SONDE_STATUS_OK;
    if (sonde_model_tokenizer(input->model))
        status = sonde_tokenizer_encode(sonde_model_tokenizer(input->model), item->text, 1,
                                        (enum sonde_bos_policy)input->options->bos, e, error);
    if (status)
        return status;
    while (prefix < e->n && is_frame(&e->tokens[prefix]))
        prefix++;
    while (prefix + suffix < e->n && is_frame(&e->tokens[e->n - 1 - suffix]))
        suffix++;
    if (!sonde_grow((void **)&e->tokens, &e->capacity, e->n + n, sizeof(*e->tokens), TOKENS_MAX))
        return sonde_error_memory(error, "the symbols of a sequence");
    memmove(e->tokens + prefix + n, e->tokens + e->n - suffix, (size_t)suffix * sizeof(*e->tokens));
    for (int64_t i = 0; i < n; i++) {
        struct sonde_encoded_token *t = &e->tokens[prefix + i];
        *t = (struct sonde_encoded_token){ .id = input->symbol_id[(unsigned char)item->text[i]],
                                           .begin = i,
                                           .end = i + 1 };
    }
    for (int64_t i = 0; i < suffix; i++)
        e->tokens[prefix + n + i].begin = e->tokens[prefix + n + i].end = n;
    e->n = prefix + n + suffix;
    return SONDE_STATUS_OK;
}

/* Fetches, tokenizes and plans the windows of the next item; item NULL at the end. */
static enum sonde_status next_item(struct sonde_input *input, struct sonde_error *error)
{
    struct sonde_encoding *e = &input->encoding;
    enum sonde_status status = sonde_corpus_next(input->corpus, &input->item, error);
    if (status || !input->item)
        return status;
    input->counts.items++;
    input->window = 0;
    input->n_prefix = input->n_suffix = 0;
    e->n = 0;
    if (input->item->ids && input->item->text)
        status = take_symbols(input, input->item, error);
    else if (input->item->ids)
        status = take_ids(input, input->item, error);
    else
        status = take_text(input, input->item, error);
    if (status)
        return status;
    if (input->item->text) {
        while (input->n_prefix < e->n && is_frame(&e->tokens[input->n_prefix]))
            input->n_prefix++;
        while (input->n_prefix + input->n_suffix < e->n &&
               is_frame(&e->tokens[e->n - 1 - input->n_suffix]))
            input->n_suffix++;
    }
    input->step = input->context - input->n_prefix - input->n_suffix;
    if (input->step < 1)
        return sonde_error_set(error, SONDE_STATUS_LIMIT,
                               "a context of %lld tokens has no room beside the special tokens",
                               (long long)input->context);
    if (e->n == 0)
        input->counts.empty++;
    if (e->n > input->context)
        input->counts.cut_items++;
    return SONDE_STATUS_OK;
}

/* Whether the item has a window left; an item of special tokens only has one. */
static bool has_window(const struct sonde_input *input)
{
    if (!input->item || input->encoding.n == 0)
        return false;
    int64_t content = input->encoding.n - input->n_prefix - input->n_suffix;
    return input->window == 0 || input->window * input->step < content;
}

/* The part of the item's text that the window's tokens cover, and their spans within it. */
static enum sonde_status set_text(struct sonde_input *input, bool whole, struct sonde_error *error)
{
    struct sonde_sequence *s = &input->sequence;
    int64_t begin = 0, end = input->item->text_bytes;
    if (!whole) {
        begin = INT64_MAX, end = 0;
        for (int64_t i = 0; i < s->n_tokens; i++) {
            if (input->tokens[i].begin < 0)
                continue;
            begin = input->tokens[i].begin < begin ? input->tokens[i].begin : begin;
            end = input->tokens[i].end > end ? input->tokens[i].end : end;
        }
        begin = begin > end ? end : begin;
    }
    sonde_buf_clear(&input->text);
    sonde_buf_append(&input->text, input->item->text + begin, (size_t)(end - begin));
    sonde_buf_puts(&input->text, "");
    enum sonde_status status = sonde_buf_status(&input->text, error);
    if (status)
        return status;
    for (int64_t i = 0; i < s->n_tokens; i++)
        if (input->tokens[i].begin >= 0) {
            input->tokens[i].begin -= begin;
            input->tokens[i].end -= begin;
        }
    s->text = input->text.data ? input->text.data : "";
    s->text_begin = begin;
    input->counts.text_bytes += end - begin;
    return SONDE_STATUS_OK;
}

static enum sonde_status put_token(struct sonde_input *input, int64_t from, int64_t *n,
                                   struct sonde_error *error)
{
    const struct sonde_encoded_token *t = &input->encoding.tokens[from];
    bool has_text = input->item->text && t->end > t->begin;
    const char *text = token_text(input, t->id, error);
    if (!text)
        return error ? error->status : SONDE_STATUS_MEMORY;
    input->tokens[*n] = (struct sonde_token){ .id = t->id,
                                              .position = (int32_t)*n,
                                              .begin = has_text ? t->begin : -1,
                                              .end = has_text ? t->end : -1,
                                              .flags = t->flags,
                                              .text = text };
    ++*n;
    input->counts.unknown += (t->flags & SONDE_TOKEN_UNKNOWN) != 0;
    return SONDE_STATUS_OK;
}

static enum sonde_status cut_window(struct sonde_input *input, struct sonde_error *error)
{
    const struct sonde_encoding *e = &input->encoding;
    int64_t content = e->n - input->n_prefix - input->n_suffix;
    int64_t first = input->window * input->step;
    int64_t count = content - first < input->step ? content - first : input->step;
    int64_t total = input->n_prefix + count + input->n_suffix;
    int64_t limit = total;
    if (input->options->max_tokens) {
        int64_t left = input->options->max_tokens - input->counts.tokens;
        if (left <= total) {
            limit = left;
            input->counts.stopped = true;
        }
    }
    if (!sonde_grow((void **)&input->tokens, &input->capacity, total, sizeof(*input->tokens),
                    TOKENS_MAX))
        return sonde_error_memory(error, "a sequence");
    int64_t n = 0;
    enum sonde_status status = SONDE_STATUS_OK;
    for (int64_t i = 0; !status && i < input->n_prefix && n < limit; i++)
        status = put_token(input, i, &n, error);
    for (int64_t i = 0; !status && i < count && n < limit; i++)
        status = put_token(input, input->n_prefix + first + i, &n, error);
    for (int64_t i = 0; !status && i < input->n_suffix && n < limit; i++)
        status = put_token(input, e->n - input->n_suffix + i, &n, error);
    if (status)
        return status;
    input->sequence = (struct sonde_sequence){ .source = input->item->ordinal,
                                               .window = input->window,
                                               .name = input->item->name,
                                               .n_tokens = n,
                                               .tokens = input->tokens };
    if (input->item->text)
        status = set_text(input, count == content && n == total, error);
    if (status)
        return status;
    input->counts.sequences++;
    input->counts.tokens += n;
    input->counts.windows += input->window > 0;
    input->window++;
    return SONDE_STATUS_OK;
}

static enum sonde_status next(void *self, const struct sonde_sequence **out,
                              struct sonde_error *error)
{
    struct sonde_input *input = self;
    if (input->counts.stopped) {
        *out = NULL;
        return SONDE_STATUS_OK;
    }
    while (!has_window(input)) {
        enum sonde_status status = next_item(input, error);
        if (status)
            return status;
        if (!input->item) {
            *out = NULL;
            return SONDE_STATUS_OK;
        }
    }
    enum sonde_status status = cut_window(input, error);
    if (!status)
        *out = &input->sequence;
    return status;
}

/* Every symbol of --formal gets its id: the tokenizer's, else the specification's, and then the
 * symbol is the token's text. */
static enum sonde_status find_symbol(struct sonde_input *input, char symbol, int32_t id,
                                     struct sonde_error *error)
{
    const struct sonde_tokenizer *tokenizer = sonde_model_tokenizer(input->model);
    const char *path = sonde_model_path(input->model), *formal = input->options->formal;
    char piece[2] = { symbol, '\0' };
    if (tokenizer)
        id = sonde_tokenizer_id(tokenizer, piece);
    if (id < 0)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "%s: the tokenizer has no token for the symbol '%c' of --formal %s",
                               path, symbol, formal);
    if (id >= input->n_token_text)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "%s: id %d of the symbol '%c' of --formal %s, expected 0 to %lld",
                               path, (int)id, symbol, formal, (long long)input->n_token_text - 1);
    input->symbol_id[(unsigned char)symbol] = id;
    if (!tokenizer && !(input->token_text[id] = sonde_strdup(piece)))
        return sonde_error_memory(error, "the input");
    return SONDE_STATUS_OK;
}

static enum sonde_status find_symbols(struct sonde_input *input, struct sonde_error *error)
{
    struct sonde_formal_spec spec;
    struct sonde_formal *formal = NULL;
    enum sonde_status status = sonde_formal_parse_spec(input->options->formal, &spec, error);
    if (!status && spec.ids[0] && sonde_model_tokenizer(input->model))
        status = sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                                 "ids=%s: %s has a tokenizer, which gives the symbols their ids",
                                 spec.ids, sonde_model_path(input->model));
    if (!status)
        status = sonde_formal_create(&formal, spec.name, error);
    const char *ids = spec.ids[0] || !formal ? spec.ids : sonde_formal_ids(formal);
    for (int32_t id = 1; !status && ids[id]; id++)
        status = find_symbol(input, ids[id], id, error);
    sonde_formal_destroy(&formal);
    return status;
}

enum sonde_status sonde_input_open(struct sonde_input **out,
                                   const struct sonde_input_options *options,
                                   const struct sonde_model *model, struct sonde_error *error)
{
    enum sonde_status status = sonde_input_check(options, error);
    if (status)
        return status;
    if (!options->ids && !options->formal && !sonde_model_tokenizer(model))
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "%s: the model has no tokenizer; give token ids with --ids",
                               sonde_model_path(model));
    struct sonde_input *input = calloc(1, sizeof(*input));
    if (!input)
        return sonde_error_memory(error, "the input");
    const struct sonde_spec *spec = sonde_model_spec(model);
    input->options = options;
    input->model = model;
    input->context = spec->n_ctx > 0 ? spec->n_ctx : INT32_MAX;
    input->reader = (struct sonde_sequence_reader){ .self = input, .next = next };
    input->n_token_text = spec->d_vocab;
    input->token_text = calloc((size_t)spec->d_vocab, sizeof(*input->token_text));
    status = input->token_text ? open_corpus(input, error) : sonde_error_memory(error, "the input");
    if (!status && options->formal)
        status = find_symbols(input, error);
    if (status)
        sonde_input_close(&input);
    else
        *out = input;
    return status;
}

void sonde_input_close(struct sonde_input **input)
{
    struct sonde_input *i = *input;
    *input = NULL;
    if (!i)
        return;
    sonde_corpus_close(&i->corpus);
    for (int64_t id = 0; i->token_text && id < i->n_token_text; id++)
        free(i->token_text[id]);
    free(i->token_text);
    sonde_encoding_finish(&i->encoding);
    sonde_buf_finish(&i->text);
    free(i->tokens);
    free(i);
}

const struct sonde_sequence_reader *sonde_input_reader(struct sonde_input *input)
{
    return &input->reader;
}

const struct sonde_input_counts *sonde_input_get_counts(const struct sonde_input *input)
{
    return &input->counts;
}

void sonde_input_position(const struct sonde_input *input, int64_t *done, int64_t *total)
{
    sonde_corpus_position(input->corpus, done, total);
}

void sonde_input_warn(const struct sonde_input *input, struct sonde_result *result)
{
    const struct sonde_input_counts *c = &input->counts;
    if (c->cut_items)
        sonde_result_warn(result,
                          "%lld of %lld items are longer than the context of %lld tokens and were "
                          "cut into windows (%lld more sequences)",
                          (long long)c->cut_items, (long long)c->items, (long long)input->context,
                          (long long)c->windows);
    if (c->empty)
        sonde_result_warn(result, "%lld of %lld items gave no token and were left out",
                          (long long)c->empty, (long long)c->items);
    if (c->unknown)
        sonde_result_warn(result, "%lld of %lld tokens are the tokenizer's unknown token",
                          (long long)c->unknown, (long long)c->tokens);
}

enum sonde_status sonde_input_hash_file(const char *path, char *hex, struct sonde_error *error)
{
    enum { STEP = 1 << 20 };
    struct sonde_file *file = NULL;
    enum sonde_status status = sonde_file_open(&file, path, error);
    if (status)
        return status;
    struct sonde_sha256 *hash = sonde_sha256_create();
    uint8_t *block = malloc(STEP);
    if (!hash || !block)
        status = sonde_error_memory(error, path);
    int64_t size = sonde_file_size(file);
    for (int64_t at = 0; !status && at < size; at += STEP) {
        int64_t n = size - at < STEP ? size - at : STEP;
        status = sonde_file_read(file, at, block, n, error);
        if (!status)
            sonde_sha256_update(hash, block, (size_t)n);
    }
    if (!status) {
        uint8_t digest[SONDE_SHA256_BYTES];
        sonde_sha256_digest(hash, digest);
        sonde_sha256_hex(digest, hex);
    }
    free(block);
    sonde_sha256_destroy(&hash);
    sonde_file_close(&file);
    return status;
}

static enum sonde_status hash_texts(const struct sonde_cli_texts *texts, char *hex,
                                    struct sonde_error *error)
{
    struct sonde_sha256 *hash = sonde_sha256_create();
    if (!hash)
        return sonde_error_memory(error, "the input");
    for (int64_t i = 0; i < texts->n; i++)
        sonde_sha256_update(hash, texts->item[i], strlen(texts->item[i]) + 1);
    uint8_t digest[SONDE_SHA256_BYTES];
    sonde_sha256_digest(hash, digest);
    sonde_sha256_hex(digest, hex);
    sonde_sha256_destroy(&hash);
    return SONDE_STATUS_OK;
}

static enum sonde_status hash_formal(const char *spec, char *hex, struct sonde_error *error)
{
    struct sonde_corpus *corpus = NULL;
    const struct sonde_corpus_item *item = NULL;
    enum sonde_status status = sonde_corpus_open(&corpus, spec, SONDE_CORPUS_FORMAL, NULL, error);
    if (status)
        return status;
    struct sonde_sha256 *hash = sonde_sha256_create();
    if (!hash)
        status = sonde_error_memory(error, "the input");
    while (!status && !(status = sonde_corpus_next(corpus, &item, error)) && item)
        sonde_sha256_update(hash, item->text, (size_t)item->text_bytes + 1);
    uint8_t digest[SONDE_SHA256_BYTES];
    if (!status) {
        sonde_sha256_digest(hash, digest);
        sonde_sha256_hex(digest, hex);
    }
    sonde_sha256_destroy(&hash);
    sonde_corpus_close(&corpus);
    return status;
}

enum sonde_status sonde_input_describe(const struct sonde_input_options *o, struct sonde_buf *out,
                                       struct sonde_error *error)
{
    char hex[SONDE_SHA256_HEX] = "";
    const char *kind = o->text.n   ? "text"
                       : o->file   ? (o->whole ? "whole" : "file")
                       : o->jsonl  ? "jsonl"
                       : o->conllu ? "conllu"
                       : o->formal ? "formal"
                                   : "ids";
    const char *path = o->file ? o->file : o->jsonl ? o->jsonl : o->conllu ? o->conllu : o->ids;
    enum sonde_status status = sonde_input_check(o, error);
    if (!status && o->text.n)
        status = hash_texts(&o->text, hex, error);
    else if (!status && o->formal)
        status = hash_formal(o->formal, hex, error);
    else if (!status)
        status = sonde_input_hash_file(path, hex, error);
    if (status)
        return status;
    struct sonde_json_writer w = { .out = out };
    sonde_json_begin_object(&w, NULL);
    sonde_json_put_string(&w, "kind", kind);
    if (o->formal)
        sonde_json_put_string(&w, "spec", o->formal);
    else if (!o->text.n)
        sonde_json_put_string(&w, "path", path);
    if (o->jsonl)
        sonde_json_put_string(&w, "field", o->field ? o->field : "text");
    sonde_json_put_string(&w, "sha256", hex);
    sonde_json_end_object(&w);
    return sonde_buf_status(out, error);
}
