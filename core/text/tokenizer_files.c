/* The files that stand beside or instead of tokenizer.json in a model's folder: vocab.json with
 * merges.txt, tokenizer_config.json, special_tokens_map.json. */
#include <stdlib.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/num.h"
#include "core/text/tokenizer_internal.h"

#define MAX_CONFIG_BYTES (INT64_C(1) << 26)

/* Hugging Face writes model_max_length as an integer of 31 digits where there is none. Integers
 * that do not fit 64 bits are written as reals, so that they read as such. */
static void put_readable_numbers(struct sonde_buf *out, const char *text, size_t n)
{
    bool in_string = false;
    size_t i = 0;

    while (i < n) {
        size_t digits = 0;
        while (!in_string && i + digits < n && text[i + digits] >= '0' && text[i + digits] <= '9')
            digits++;
        if (digits > 0) {
            char next = i + digits < n ? text[i + digits] : ' ';
            sonde_buf_append(out, text + i, digits);
            i += digits;
            if (digits > 18 && next != '.' && next != 'e' && next != 'E')
                sonde_buf_puts(out, "e0");
            continue;
        }
        if (in_string && text[i] == '\\' && i + 1 < n)
            sonde_buf_putc(out, text[i++]);
        else if (text[i] == '"')
            in_string = !in_string;
        sonde_buf_putc(out, text[i++]);
    }
}

static enum sonde_status load_config(struct sonde_json **out, const char *path,
                                     struct sonde_error *error)
{
    struct sonde_buf text = { 0 }, readable = { 0 };

    enum sonde_status status = sonde_file_load(path, MAX_CONFIG_BYTES, &text, error);
    if (status == SONDE_STATUS_OK) {
        put_readable_numbers(&readable, text.data ? text.data : "", text.size);
        status = sonde_buf_status(&readable, error);
    }
    if (status == SONDE_STATUS_OK) {
        status = sonde_json_parse(out, readable.data ? readable.data : "", readable.size, error);
        if (status != SONDE_STATUS_OK)
            sonde_error_prepend(error, "%s", path);
    }
    sonde_buf_finish(&text);
    sonde_buf_finish(&readable);
    return status;
}

/* *out stays NULL where the file is not there. */
static enum sonde_status load_beside(struct sonde_json **out, const char *folder, const char *name,
                                     struct sonde_error *error)
{
    enum sonde_status status = SONDE_STATUS_OK;

    char *path = sonde_path_join(folder, name);
    if (!path)
        return sonde_error_memory(error, "a path");
    if (sonde_path_exists(path))
        status = load_config(out, path, error);
    free(path);
    return status;
}

/* A token's name: "text" or {"content": "text"}. */
static const char *token_name(const struct sonde_json *config, const char *key)
{
    const struct sonde_json *value = sonde_json_get(config, key);
    const char *name = sonde_json_string(value, NULL);

    return name ? name : sonde_json_string(sonde_json_get(value, "content"), NULL);
}

static int32_t named_id(const struct sonde_tokenizer *t, const struct sonde_json *config,
                        const struct sonde_json *map, const char *key)
{
    const char *name = token_name(config, key);

    if (!name)
        name = token_name(map, key);
    return name ? sonde_vocab_find(&t->vocab, name, strlen(name)) : -1;
}

/* Classes whose tokenizer rebuilds what stands around the text from add_bos_token and
 * add_eos_token, whatever tokenizer.json's post_processor says. */
static bool config_decides(const struct sonde_json *config)
{
    static const char *const classes[] = { "LlamaTokenizer", "CodeLlamaTokenizer", "GemmaTokenizer",
                                           "CohereTokenizer" };
    const char *name = sonde_json_string(sonde_json_get(config, "tokenizer_class"), "");

    for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
        if (sonde_str_starts(name, classes[i]))
            return true;
    }
    return false;
}

static void apply_switches(struct sonde_tokenizer *t, const struct sonde_json *config)
{
    const struct sonde_json *bos = sonde_json_get(config, "add_bos_token");
    const struct sonde_json *eos = sonde_json_get(config, "add_eos_token");
    bool decides = config_decides(config);

    if (sonde_json_type(bos) == SONDE_JSON_BOOL && (decides || t->n_prefix == 0) && t->bos >= 0) {
        t->n_prefix = sonde_json_bool(bos, false) ? 1 : 0;
        t->prefix[0] = t->bos;
    }
    if (sonde_json_type(eos) == SONDE_JSON_BOOL && (decides || t->n_suffix == 0) && t->eos >= 0) {
        t->n_suffix = sonde_json_bool(eos, false) ? 1 : 0;
        t->suffix[0] = t->eos;
    }
}

enum sonde_status sonde_tokenizer_read_config(struct sonde_tokenizer *t, const char *folder,
                                              struct sonde_error *error)
{
    struct sonde_json *config = NULL, *map = NULL;

    enum sonde_status status = load_beside(&config, folder, "tokenizer_config.json", error);
    if (status == SONDE_STATUS_OK)
        status = load_beside(&map, folder, "special_tokens_map.json", error);
    if (status == SONDE_STATUS_OK) {
        int32_t bos = named_id(t, config, map, "bos_token");
        int32_t eos = named_id(t, config, map, "eos_token");
        sonde_tokenizer_set_special(t, bos, eos);
        apply_switches(t, config);
    }
    sonde_json_destroy(&config);
    sonde_json_destroy(&map);
    return status;
}

/* One line of merges.txt: two pieces and a space between. */
static enum sonde_status read_merge_line(struct sonde_tokenizer *t, const char *line, size_t n,
                                         int64_t number, int64_t rank, struct sonde_error *error)
{
    const char *space = memchr(line, ' ', n);
    size_t n_left = space ? (size_t)(space - line) : 0;
    enum sonde_status status;

    if (!space || memchr(space + 1, ' ', n - n_left - 1)) {
        char show[SONDE_SHOW_BYTES];
        status = sonde_error_set(error, SONDE_STATUS_FORMAT,
                                 "\"%s\", expected two pieces and a space between",
                                 sonde_text_show(show, line, n));
    } else {
        status = sonde_tokenizer_add_merge(t, rank, line, n_left, space + 1, n - n_left - 1, error);
    }
    if (status != SONDE_STATUS_OK)
        sonde_error_prepend(error, "line %lld", (long long)number);
    return status;
}

static enum sonde_status read_merges_text(struct sonde_tokenizer *t, const struct sonde_buf *text,
                                          struct sonde_error *error)
{
    enum sonde_status status = SONDE_STATUS_OK;
    int64_t number = 0, rank = 0;
    size_t i = 0;

    while (i < text->size && status == SONDE_STATUS_OK) {
        const char *line = text->data + i;
        const char *newline = memchr(line, '\n', text->size - i);
        size_t n = newline ? (size_t)(newline - line) : text->size - i;
        i += n + 1;
        number++;
        if (n > 0 && line[n - 1] == '\r')
            n--;
        if (n == 0 || (n >= 8 && memcmp(line, "#version", 8) == 0))
            continue;
        status = read_merge_line(t, line, n, number, rank++, error);
    }
    return status;
}

static enum sonde_status read_merges_file(struct sonde_tokenizer *t, const char *folder,
                                          struct sonde_error *error)
{
    struct sonde_buf text = { 0 };
    enum sonde_status status;

    char *path = sonde_path_join(folder, "merges.txt");
    if (!path)
        return sonde_error_memory(error, "a path");
    status = sonde_file_load(path, SONDE_TOKENIZER_MAX_FILE_BYTES, &text, error);
    if (status == SONDE_STATUS_OK) {
        status = read_merges_text(t, &text, error);
        if (status != SONDE_STATUS_OK)
            sonde_error_prepend(error, "%s", path);
    }
    sonde_buf_finish(&text);
    free(path);
    return status;
}

/* GPT2Tokenizer's defaults: every special token is <|endoftext|>. */
static enum sonde_status add_default_special(struct sonde_tokenizer *t, struct sonde_error *error)
{
    const char *name = "<|endoftext|>";
    struct sonde_json *token = NULL;
    const char *json = "{\"content\": \"<|endoftext|>\", \"special\": true}";

    int32_t id = sonde_vocab_find(&t->vocab, name, strlen(name));
    if (id < 0)
        return SONDE_STATUS_OK;
    t->bos = t->eos = id;
    if (t->vocab.pieces[id].flags & SONDE_PIECE_ADDED)
        return SONDE_STATUS_OK;
    enum sonde_status status = sonde_json_parse(&token, json, strlen(json), error);
    if (status == SONDE_STATUS_OK)
        status = sonde_tokenizer_add_added(t, token, id, error);
    sonde_json_destroy(&token);
    return status;
}

/* The same two files also stand for tokenizers that cut or mark words differently (CLIP, Qwen2). */
static enum sonde_status check_class(const struct sonde_json *config, const char *folder,
                                     struct sonde_error *error)
{
    const char *name = sonde_json_string(sonde_json_get(config, "tokenizer_class"), NULL);
    char show[SONDE_SHOW_BYTES];

    if (!name || sonde_str_starts(name, "GPT2Tokenizer") ||
        sonde_str_starts(name, "CodeGenTokenizer"))
        return SONDE_STATUS_OK;
    return sonde_error_set(error, SONDE_STATUS_UNSUPPORTED,
                           "%s: tokenizer_class \"%s\" without tokenizer.json is not supported",
                           folder, sonde_text_show(show, name, strlen(name)));
}

/* added_tokens_decoder: {"50256": {"content": .., ..}}. */
static enum sonde_status read_added_decoder(struct sonde_tokenizer *t, const char *folder,
                                            bool *prefix, struct sonde_error *error)
{
    struct sonde_json *config = NULL;

    enum sonde_status status = load_beside(&config, folder, "tokenizer_config.json", error);
    if (status == SONDE_STATUS_OK)
        status = check_class(config, folder, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_json_read_bool(config, "add_prefix_space", false, prefix, error);
    const struct sonde_json *added = sonde_json_get(config, "added_tokens_decoder");
    for (struct sonde_json_iter i = { 0 };
         status == SONDE_STATUS_OK && sonde_json_next(added, &i);) {
        int64_t id = -1;
        char show[SONDE_SHOW_BYTES];
        if (!sonde_parse_i64(i.key, i.key_size, &id))
            status = sonde_error_set(error, SONDE_STATUS_FORMAT,
                                     "\"%s\" is not a number, expected an id",
                                     sonde_text_show(show, i.key, i.key_size));
        else
            status = sonde_tokenizer_add_added(t, i.value, id, error);
        if (status != SONDE_STATUS_OK)
            sonde_error_prepend(error, "%s/tokenizer_config.json: added_tokens_decoder", folder);
    }
    sonde_json_destroy(&config);
    return status;
}

static enum sonde_status read_gpt2(struct sonde_tokenizer *t, const char *folder,
                                   struct sonde_error *error)
{
    struct sonde_json *vocab = NULL;
    bool prefix = false;

    char *path = sonde_path_join(folder, "vocab.json");
    if (!path)
        return sonde_error_memory(error, "a path");
    enum sonde_status status = sonde_json_load(&vocab, path, SONDE_TOKENIZER_MAX_FILE_BYTES, error);
    if (status == SONDE_STATUS_OK) {
        status = sonde_tokenizer_read_vocab(t, vocab, error);
        if (status != SONDE_STATUS_OK)
            sonde_error_prepend(error, "%s", path);
    }
    sonde_json_destroy(&vocab);
    free(path);
    if (status == SONDE_STATUS_OK)
        status = read_merges_file(t, folder, error);
    if (status == SONDE_STATUS_OK)
        status = read_added_decoder(t, folder, &prefix, error);
    if (status == SONDE_STATUS_OK)
        status = add_default_special(t, error);
    if (status != SONDE_STATUS_OK)
        return status;
    t->byte_level = true;
    if (prefix)
        t->splitters[t->n_splitters++].kind = SONDE_SPLITTER_PREFIX;
    struct sonde_splitter *splitter = &t->splitters[t->n_splitters++];
    splitter->kind = SONDE_SPLITTER_PATTERN;
    t->decoders[t->n_decoders++].kind = SONDE_DECODER_BYTE_LEVEL;
    status = sonde_pattern_create(&splitter->pattern, "gpt2", error);
    return status == SONDE_STATUS_OK ? sonde_tokenizer_complete(t, error) : status;
}

enum sonde_status sonde_tokenizer_open_gpt2(struct sonde_tokenizer **out, const char *folder,
                                            struct sonde_error *error)
{
    struct sonde_tokenizer *t = sonde_tokenizer_new(SONDE_TOKENIZER_BPE);

    if (!t)
        return sonde_error_memory(error, "a tokenizer");
    enum sonde_status status = read_gpt2(t, folder, error);
    if (status == SONDE_STATUS_OK)
        *out = t;
    else
        sonde_tokenizer_close(&t);
    return status;
}
