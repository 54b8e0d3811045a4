/* tokenizer.json: the model, its vocabulary and merges, added tokens, the post-processor. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/text/tokenizer_internal.h"

enum sonde_status sonde_tokenizer_read_vocab(struct sonde_tokenizer *t,
                                             const struct sonde_json *vocab,
                                             struct sonde_error *error)
{
    if (sonde_json_type(vocab) != SONDE_JSON_OBJECT)
        return sonde_error_set(error, SONDE_STATUS_FORMAT, "vocab is %s, expected an object",
                               sonde_json_type_name(sonde_json_type(vocab)));
    for (struct sonde_json_iter i = { 0 }; sonde_json_next(vocab, &i);) {
        char show[SONDE_SHOW_BYTES];
        if (sonde_json_type(i.value) != SONDE_JSON_INTEGER)
            return sonde_error_set(error, SONDE_STATUS_FORMAT,
                                   "vocab: the id of \"%s\" is %s, expected an integer",
                                   sonde_text_show(show, i.key, i.key_size),
                                   sonde_json_type_name(sonde_json_type(i.value)));
        enum sonde_status status =
            sonde_vocab_add(&t->vocab, i.key, i.key_size, sonde_json_integer(i.value, -1),
                            SONDE_PIECE_MODEL, false, error);
        if (status != SONDE_STATUS_OK) {
            sonde_error_prepend(error, "vocab");
            return status;
        }
    }
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_tokenizer_add_merge(struct sonde_tokenizer *t, int64_t rank,
                                            const char *left, size_t n_left, const char *right,
                                            size_t n_right, struct sonde_error *error)
{
    char show[SONDE_SHOW_BYTES];
    struct sonde_buf both = { 0 };
    int32_t a = sonde_vocab_find(&t->vocab, left, n_left);
    int32_t b = sonde_vocab_find(&t->vocab, right, n_right);

    if (a < 0 || b < 0)
        return sonde_error_set(
            error, SONDE_STATUS_FORMAT, "merge %lld names \"%s\", which is not in the vocabulary",
            (long long)rank,
            a < 0 ? sonde_text_show(show, left, n_left) : sonde_text_show(show, right, n_right));
    sonde_buf_append(&both, left, n_left);
    sonde_buf_append(&both, right, n_right);
    enum sonde_status status = sonde_buf_status(&both, error);
    if (status == SONDE_STATUS_OK) {
        int32_t id = sonde_vocab_find(&t->vocab, both.data ? both.data : "", both.size);
        if (id < 0)
            status = sonde_error_set(error, SONDE_STATUS_FORMAT,
                                     "merge %lld gives \"%s\", which is not in the vocabulary",
                                     (long long)rank, sonde_text_show(show, both.data, both.size));
        else if (n_left == 0 || n_right == 0)
            status = sonde_error_set(error, SONDE_STATUS_FORMAT, "merge %lld of an empty piece",
                                     (long long)rank);
        else if (!sonde_merges_put(&t->merges, a, b, (uint32_t)rank, id))
            status = sonde_error_memory(error, "merges");
    }
    sonde_buf_finish(&both);
    return status;
}

/* "a b", or ["a", "b"] where pieces may hold spaces. */
static enum sonde_status read_merge(struct sonde_tokenizer *t, const struct sonde_json *merge,
                                    int64_t rank, struct sonde_error *error)
{
    const char *text = sonde_json_string(merge, NULL);

    if (text) {
        size_t n = sonde_json_string_size(merge);
        const char *space = memchr(text, ' ', n);
        size_t n_left = space ? (size_t)(space - text) : 0;
        if (!space || memchr(space + 1, ' ', n - n_left - 1)) {
            char show[SONDE_SHOW_BYTES];
            return sonde_error_set(error, SONDE_STATUS_FORMAT,
                                   "merge %lld: \"%s\", expected two pieces and a space between",
                                   (long long)rank, sonde_text_show(show, text, n));
        }
        return sonde_tokenizer_add_merge(t, rank, text, n_left, space + 1, n - n_left - 1, error);
    }
    const struct sonde_json *left = sonde_json_at(merge, 0), *right = sonde_json_at(merge, 1);
    if (sonde_json_type(merge) != SONDE_JSON_ARRAY || sonde_json_size(merge) != 2 ||
        sonde_json_type(left) != SONDE_JSON_STRING || sonde_json_type(right) != SONDE_JSON_STRING)
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "merge %lld is %s, expected a string or two strings",
                               (long long)rank, sonde_json_type_name(sonde_json_type(merge)));
    return sonde_tokenizer_add_merge(t, rank, sonde_json_string(left, ""),
                                     sonde_json_string_size(left), sonde_json_string(right, ""),
                                     sonde_json_string_size(right), error);
}

static enum sonde_status read_merges(struct sonde_tokenizer *t, const struct sonde_json *merges,
                                     struct sonde_error *error)
{
    if (sonde_json_type(merges) != SONDE_JSON_ARRAY)
        return sonde_error_set(error, SONDE_STATUS_FORMAT, "merges is %s, expected an array",
                               sonde_json_type_name(sonde_json_type(merges)));
    for (int64_t i = 0; i < sonde_json_size(merges); i++) {
        enum sonde_status status = read_merge(t, sonde_json_at(merges, i), i, error);
        if (status != SONDE_STATUS_OK)
            return status;
    }
    return SONDE_STATUS_OK;
}

/* What changes how text is cut and is not done here must be absent. */
static enum sonde_status refuse_variants(const struct sonde_json *model, struct sonde_error *error)
{
    static const char *const affixes[] = { "continuing_subword_prefix", "end_of_word_suffix" };
    const char *type = sonde_json_string(sonde_json_get(model, "type"), NULL);
    char show[SONDE_SHOW_BYTES];

    if (sonde_json_type(model) != SONDE_JSON_OBJECT)
        return sonde_error_set(error, SONDE_STATUS_FORMAT, "model is %s, expected an object",
                               sonde_json_type_name(sonde_json_type(model)));
    if (!type && !sonde_json_get(model, "merges")) /* older files name no type */
        return sonde_error_set(error, SONDE_STATUS_FORMAT, "model without type and merges");
    if (type && strcmp(type, "BPE") != 0)
        return sonde_error_set(error, SONDE_STATUS_UNSUPPORTED,
                               "model type \"%s\" is not supported, expected \"BPE\"",
                               sonde_text_show(show, type, strlen(type)));
    for (int i = 0; i < 2; i++) {
        const char *affix;
        enum sonde_status status = sonde_json_read_string(model, affixes[i], "", &affix, error);
        if (status != SONDE_STATUS_OK)
            return status;
        if (affix[0])
            return sonde_error_set(error, SONDE_STATUS_UNSUPPORTED,
                                   "model: %s \"%s\" is not supported", affixes[i],
                                   sonde_text_show(show, affix, strlen(affix)));
    }
    double dropout;
    enum sonde_status status = sonde_json_read_f64(model, "dropout", 0, 0, 1, &dropout, error);
    if (status == SONDE_STATUS_OK && dropout > 0)
        status = sonde_error_set(error, SONDE_STATUS_UNSUPPORTED,
                                 "model: dropout %g is not supported", dropout);
    return status;
}

enum sonde_status sonde_tokenizer_read_model(struct sonde_tokenizer *t,
                                             const struct sonde_json *root,
                                             struct sonde_error *error)
{
    const struct sonde_json *model = sonde_json_get(root, "model");

    enum sonde_status status = refuse_variants(model, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_json_read_bool(model, "byte_fallback", false, &t->byte_fallback, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_json_read_bool(model, "fuse_unk", false, &t->fuse_unk, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_json_read_bool(model, "ignore_merges", false, &t->ignore_merges, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_tokenizer_read_vocab(t, sonde_json_get(model, "vocab"), error);
    if (status == SONDE_STATUS_OK)
        status = read_merges(t, sonde_json_get(model, "merges"), error);
    return status;
}

/* The unknown token is named by the model, found when all pieces are there. */
static enum sonde_status read_unknown(struct sonde_tokenizer *t, const struct sonde_json *root,
                                      struct sonde_error *error)
{
    const char *name;

    enum sonde_status status =
        sonde_json_read_string(sonde_json_get(root, "model"), "unk_token", NULL, &name, error);
    if (status != SONDE_STATUS_OK || !name)
        return status;
    t->unk = sonde_vocab_find(&t->vocab, name, strlen(name));
    t->has_unk = t->unk >= 0;
    if (!t->has_unk) {
        char show[SONDE_SHOW_BYTES];
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "unk_token \"%s\" is not in the vocabulary",
                               sonde_text_show(show, name, strlen(name)));
    }
    return SONDE_STATUS_OK;
}

static enum sonde_status put_added(struct sonde_tokenizer *t, const char *text, size_t n,
                                   int64_t id, bool special, struct sonde_error *error)
{
    char show[SONDE_SHOW_BYTES];
    uint32_t flags = SONDE_PIECE_ADDED | (special ? SONDE_PIECE_SPECIAL : 0);

    if (n > SONDE_TOKENIZER_MAX_ADDED_BYTES)
        return sonde_error_set(error, SONDE_STATUS_LIMIT,
                               "id %lld: an added token of %zu bytes, at most %d", (long long)id, n,
                               SONDE_TOKENIZER_MAX_ADDED_BYTES);
    int32_t there = sonde_vocab_find(&t->vocab, text, n);
    if (there < 0 || there != id)
        return sonde_vocab_add(&t->vocab, text, n, id, flags, false, error);
    if (t->vocab.pieces[id].flags & SONDE_PIECE_ADDED)
        return sonde_error_set(error, SONDE_STATUS_FORMAT, "\"%s\" is given twice",
                               sonde_text_show(show, text, n));
    t->vocab.pieces[id].flags |= flags;
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_tokenizer_add_added(struct sonde_tokenizer *t,
                                            const struct sonde_json *token, int64_t id,
                                            struct sonde_error *error)
{
    const struct sonde_json *content = sonde_json_get(token, "content");
    const char *text = sonde_json_string(content, NULL);
    struct sonde_added added = { 0 };
    bool special;

    if (!text)
        return sonde_error_set(error, SONDE_STATUS_FORMAT, "content is %s, expected a string",
                               sonde_json_type_name(sonde_json_type(content)));
    enum sonde_status status = sonde_json_read_bool(token, "special", false, &special, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_json_read_bool(token, "lstrip", false, &added.lstrip, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_json_read_bool(token, "rstrip", false, &added.rstrip, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_json_read_bool(token, "single_word", false, &added.single_word, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_json_read_bool(token, "normalized", !special, &added.normalized, error);
    if (status == SONDE_STATUS_OK)
        status = put_added(t, text, sonde_json_string_size(content), id, special, error);
    if (status != SONDE_STATUS_OK)
        return status;
    void *items = t->added;
    if (!sonde_grow(&items, &t->added_capacity, t->n_added + 1, sizeof(*t->added),
                    SONDE_VOCAB_MAX_IDS))
        return sonde_error_memory(error, "added tokens");
    t->added = items;
    added.id = (int32_t)id;
    added.text = t->vocab.pieces[id].text;
    added.n = t->vocab.pieces[id].n;
    t->added[t->n_added++] = added;
    return SONDE_STATUS_OK;
}

static enum sonde_status read_added(struct sonde_tokenizer *t, const struct sonde_json *list,
                                    struct sonde_error *error)
{
    if (sonde_json_type(list) == SONDE_JSON_ABSENT || sonde_json_type(list) == SONDE_JSON_NULL)
        return SONDE_STATUS_OK;
    if (sonde_json_type(list) != SONDE_JSON_ARRAY)
        return sonde_error_set(error, SONDE_STATUS_FORMAT, "added_tokens is %s, expected an array",
                               sonde_json_type_name(sonde_json_type(list)));
    for (int64_t i = 0; i < sonde_json_size(list); i++) {
        const struct sonde_json *token = sonde_json_at(list, i);
        const struct sonde_json *id = sonde_json_get(token, "id");
        enum sonde_status status;
        if (sonde_json_type(id) != SONDE_JSON_INTEGER)
            status = sonde_error_set(error, SONDE_STATUS_FORMAT, "id is %s, expected an integer",
                                     sonde_json_type_name(sonde_json_type(id)));
        else
            status = sonde_tokenizer_add_added(t, token, sonde_json_integer(id, -1), error);
        if (status != SONDE_STATUS_OK) {
            sonde_error_prepend(error, "added token %lld", (long long)i);
            return status;
        }
    }
    return SONDE_STATUS_OK;
}

/* The ids of one special token of the template. */
static enum sonde_status read_template_ids(struct sonde_tokenizer *t,
                                           const struct sonde_json *specials, const char *name,
                                           int32_t *ids, int *n, struct sonde_error *error)
{
    const struct sonde_json *list = sonde_json_get(sonde_json_get(specials, name), "ids");
    char show[SONDE_SHOW_BYTES];

    if (sonde_json_type(list) != SONDE_JSON_ARRAY || sonde_json_size(list) == 0)
        return sonde_error_set(error, SONDE_STATUS_FORMAT, "post_processor: no ids for \"%s\"",
                               sonde_text_show(show, name, strlen(name)));
    for (int64_t i = 0; i < sonde_json_size(list); i++) {
        int64_t id = sonde_json_integer(sonde_json_at(list, i), -1);
        if (id < 0 || id >= t->vocab.n || !t->vocab.pieces[id].text)
            return sonde_error_set(error, SONDE_STATUS_FORMAT,
                                   "post_processor: id %lld of \"%s\" is not in the vocabulary",
                                   (long long)id, sonde_text_show(show, name, strlen(name)));
        if (*n == SONDE_TOKENIZER_MAX_TEMPLATE)
            return sonde_error_set(error, SONDE_STATUS_LIMIT,
                                   "post_processor: more than %d special tokens",
                                   SONDE_TOKENIZER_MAX_TEMPLATE);
        ids[(*n)++] = (int32_t)id;
    }
    return SONDE_STATUS_OK;
}

static enum sonde_status read_template(struct sonde_tokenizer *t,
                                       const struct sonde_json *processor,
                                       struct sonde_error *error)
{
    const struct sonde_json *single = sonde_json_get(processor, "single");
    const struct sonde_json *specials = sonde_json_get(processor, "special_tokens");
    bool behind = false;

    if (sonde_json_type(single) != SONDE_JSON_ARRAY)
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "post_processor: single is %s, expected an array",
                               sonde_json_type_name(sonde_json_type(single)));
    for (int64_t i = 0; i < sonde_json_size(single); i++) {
        const struct sonde_json *item = sonde_json_at(single, i);
        const char *name =
            sonde_json_string(sonde_json_get(sonde_json_get(item, "SpecialToken"), "id"), NULL);
        if (!name && (behind || !sonde_json_get(item, "Sequence")))
            return sonde_error_set(
                error, SONDE_STATUS_FORMAT,
                "post_processor: item %lld of single is no special token and not "
                "the one sequence",
                (long long)i);
        behind = behind || !name;
        enum sonde_status status = SONDE_STATUS_OK;
        if (name)
            status = read_template_ids(t, specials, name, behind ? t->suffix : t->prefix,
                                       behind ? &t->n_suffix : &t->n_prefix, error);
        if (status != SONDE_STATUS_OK)
            return status;
    }
    return SONDE_STATUS_OK;
}

static enum sonde_status read_processor(struct sonde_tokenizer *t,
                                        const struct sonde_json *processor, int depth,
                                        struct sonde_error *error)
{
    const char *type = sonde_json_string(sonde_json_get(processor, "type"), "");
    char show[SONDE_SHOW_BYTES];

    if (sonde_json_type(processor) == SONDE_JSON_ABSENT ||
        sonde_json_type(processor) == SONDE_JSON_NULL || strcmp(type, "ByteLevel") == 0)
        return SONDE_STATUS_OK;
    if (strcmp(type, "TemplateProcessing") == 0)
        return read_template(t, processor, error);
    if (strcmp(type, "Sequence") == 0 && depth == 0) {
        const struct sonde_json *list = sonde_json_get(processor, "processors");
        for (int64_t i = 0; i < sonde_json_size(list); i++) {
            enum sonde_status status = read_processor(t, sonde_json_at(list, i), 1, error);
            if (status != SONDE_STATUS_OK)
                return status;
        }
        return SONDE_STATUS_OK;
    }
    return sonde_error_set(error, SONDE_STATUS_UNSUPPORTED,
                           "post_processor \"%s\" is not supported",
                           sonde_text_show(show, type, strlen(type)));
}

enum sonde_status sonde_tokenizer_read_template(struct sonde_tokenizer *t,
                                                const struct sonde_json *root,
                                                struct sonde_error *error)
{
    enum sonde_status status = read_processor(t, sonde_json_get(root, "post_processor"), 0, error);

    if (status != SONDE_STATUS_OK)
        return status;
    if (t->n_prefix > 0)
        t->bos = t->prefix[0];
    if (t->n_suffix > 0)
        t->eos = t->suffix[t->n_suffix - 1];
    return SONDE_STATUS_OK;
}

static enum sonde_status parse_root(struct sonde_tokenizer *t, const struct sonde_json *root,
                                    struct sonde_error *error)
{
    if (sonde_json_type(root) != SONDE_JSON_OBJECT)
        return sonde_error_set(error, SONDE_STATUS_FORMAT, "%s, expected an object",
                               sonde_json_type_name(sonde_json_type(root)));
    enum sonde_status status = sonde_tokenizer_read_steps(t, root, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_tokenizer_read_model(t, root, error);
    if (status == SONDE_STATUS_OK)
        status = read_added(t, sonde_json_get(root, "added_tokens"), error);
    if (status == SONDE_STATUS_OK)
        status = read_unknown(t, root, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_tokenizer_read_template(t, root, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_tokenizer_complete(t, error);
    return status;
}

enum sonde_status sonde_tokenizer_parse(struct sonde_tokenizer **out, const char *json, size_t n,
                                        const char *name, struct sonde_error *error)
{
    struct sonde_json *root = NULL;

    struct sonde_tokenizer *t = sonde_tokenizer_new(SONDE_TOKENIZER_BPE);
    if (!t)
        return sonde_error_memory(error, "a tokenizer");
    enum sonde_status status = sonde_json_parse(&root, json, n, error);
    if (status == SONDE_STATUS_OK)
        status = parse_root(t, root, error);
    sonde_json_destroy(&root);
    if (status == SONDE_STATUS_OK) {
        *out = t;
        return status;
    }
    sonde_error_prepend(error, "%s", name);
    sonde_tokenizer_close(&t);
    return status;
}
