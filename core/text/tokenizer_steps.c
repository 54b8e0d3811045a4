/* tokenizer.json's normalizer, pre_tokenizer and decoder sections. What is not in these tables is
 * refused by name. */
#include <string.h>

#include "core/text/tokenizer_internal.h"

#define MAX_NESTING 8

/* The list of steps in a Sequence, or the step itself as a list of one. */
static int64_t n_steps(const struct sonde_json *list)
{
    return sonde_json_type(list) == SONDE_JSON_ARRAY ? sonde_json_size(list) : 0;
}

static enum sonde_status refuse(struct sonde_error *error, const char *section, const char *type)
{
    char show[SONDE_SHOW_BYTES];

    return sonde_error_set(error, SONDE_STATUS_UNSUPPORTED, "%s \"%s\" is not supported", section,
                           sonde_text_show(show, type, strlen(type)));
}

static enum sonde_status type_of(const struct sonde_json *step, const char *section,
                                 const char **type, struct sonde_error *error)
{
    if (sonde_json_type(step) != SONDE_JSON_OBJECT)
        return sonde_error_set(error, SONDE_STATUS_FORMAT, "%s: %s, expected an object", section,
                               sonde_json_type_name(sonde_json_type(step)));
    *type = sonde_json_string(sonde_json_get(step, "type"), NULL);
    if (!*type)
        return sonde_error_set(error, SONDE_STATUS_FORMAT, "%s without a type", section);
    return SONDE_STATUS_OK;
}

/* A heap copy of a string member; required, and (min_bytes) not too short. */
static enum sonde_status copy_string(char **out, const struct sonde_json *step, const char *section,
                                     const char *key, size_t min_bytes, struct sonde_error *error)
{
    const struct sonde_json *value = sonde_json_get(step, key);
    const char *text = sonde_json_string(value, NULL);

    if (!text || strlen(text) < min_bytes || strlen(text) > SONDE_VOCAB_MAX_PIECE_BYTES)
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "%s: %s is %s, expected a string of %zu to %d bytes", section, key,
                               sonde_json_type_name(sonde_json_type(value)), min_bytes,
                               SONDE_VOCAB_MAX_PIECE_BYTES);
    if (strlen(text) != sonde_json_string_size(value))
        return sonde_error_set(error, SONDE_STATUS_FORMAT, "%s: a NUL in %s", section, key);
    *out = sonde_strdup(text);
    return *out ? SONDE_STATUS_OK : sonde_error_memory(error, section);
}

static enum sonde_status too_many(struct sonde_error *error, const char *section)
{
    return sonde_error_set(error, SONDE_STATUS_LIMIT, "%s: more than %d steps", section,
                           SONDE_TOKENIZER_MAX_STEPS);
}

/* pattern: {"String": text}. */
static enum sonde_status copy_pattern(char **out, const struct sonde_json *step,
                                      const char *section, struct sonde_error *error)
{
    const struct sonde_json *pattern = sonde_json_get(step, "pattern");
    const char *regex = sonde_json_string(sonde_json_get(pattern, "Regex"), NULL);

    if (regex) {
        char show[SONDE_SHOW_BYTES];
        return sonde_error_set(error, SONDE_STATUS_UNSUPPORTED,
                               "%s with the regular expression \"%s\" is not supported", section,
                               sonde_text_show(show, regex, strlen(regex)));
    }
    return copy_string(out, pattern, section, "String", 1, error);
}

static bool form_of(const char *type, enum sonde_utf8_form *form)
{
    static const struct {
        const char *name;
        enum sonde_utf8_form form;
    } forms[] = {
        { "NFC", SONDE_UTF8_NFC },
        { "NFD", SONDE_UTF8_NFD },
        { "NFKC", SONDE_UTF8_NFKC },
        { "NFKD", SONDE_UTF8_NFKD },
    };

    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        if (strcmp(type, forms[i].name) == 0) {
            *form = forms[i].form;
            return true;
        }
    }
    return false;
}

static enum sonde_status read_normalizer(struct sonde_tokenizer *t, const struct sonde_json *step,
                                         int depth, struct sonde_error *error)
{
    const char *section = "normalizer";
    const char *type;

    if (sonde_json_type(step) == SONDE_JSON_ABSENT || sonde_json_type(step) == SONDE_JSON_NULL)
        return SONDE_STATUS_OK;
    enum sonde_status status = type_of(step, section, &type, error);
    if (status != SONDE_STATUS_OK)
        return status;
    if (strcmp(type, "Sequence") == 0 && depth < MAX_NESTING) {
        const struct sonde_json *list = sonde_json_get(step, "normalizers");
        for (int64_t i = 0; i < n_steps(list) && status == SONDE_STATUS_OK; i++)
            status = read_normalizer(t, sonde_json_at(list, i), depth + 1, error);
        return status;
    }
    if (t->n_normalizers == SONDE_TOKENIZER_MAX_STEPS)
        return too_many(error, section);
    struct sonde_normalizer *normalizer = &t->normalizers[t->n_normalizers++];
    if (form_of(type, &normalizer->form)) {
        normalizer->kind = SONDE_NORMALIZER_FORM;
        return SONDE_STATUS_OK;
    }
    if (strcmp(type, "Lowercase") == 0) {
        normalizer->kind = SONDE_NORMALIZER_LOWERCASE;
        return SONDE_STATUS_OK;
    }
    if (strcmp(type, "Prepend") == 0) {
        normalizer->kind = SONDE_NORMALIZER_PREPEND;
        return copy_string(&normalizer->content, step, "normalizer Prepend", "prepend", 0, error);
    }
    if (strcmp(type, "Replace") == 0) {
        normalizer->kind = SONDE_NORMALIZER_REPLACE;
        status = copy_pattern(&normalizer->pattern, step, "normalizer Replace", error);
        if (status == SONDE_STATUS_OK)
            status =
                copy_string(&normalizer->content, step, "normalizer Replace", "content", 0, error);
        return status;
    }
    return refuse(error, section, type);
}

static enum sonde_status new_splitter(struct sonde_tokenizer *t, enum sonde_splitter_kind kind,
                                      struct sonde_splitter **out, struct sonde_error *error)
{
    if (t->n_splitters == SONDE_TOKENIZER_MAX_STEPS)
        return too_many(error, "pre_tokenizer");
    *out = &t->splitters[t->n_splitters++];
    (*out)->kind = kind;
    return SONDE_STATUS_OK;
}

static enum sonde_status read_byte_level(struct sonde_tokenizer *t, const struct sonde_json *step,
                                         struct sonde_error *error)
{
    bool prefix, regex;
    struct sonde_splitter *splitter = NULL;

    t->byte_level = true;
    enum sonde_status status = sonde_json_read_bool(step, "add_prefix_space", true, &prefix, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_json_read_bool(step, "use_regex", true, &regex, error);
    if (status == SONDE_STATUS_OK && prefix)
        status = new_splitter(t, SONDE_SPLITTER_PREFIX, &splitter, error);
    if (status == SONDE_STATUS_OK && regex) {
        status = new_splitter(t, SONDE_SPLITTER_PATTERN, &splitter, error);
        if (status == SONDE_STATUS_OK)
            status = sonde_pattern_create(&splitter->pattern, "gpt2", error);
    }
    return status;
}

/* prepend_scheme, or the older add_prefix_space. */
static enum sonde_status read_scheme(const struct sonde_json *step, const char *section,
                                     enum sonde_prepend_scheme *scheme, struct sonde_error *error)
{
    bool prefix;
    const char *name;

    enum sonde_status status = sonde_json_read_bool(step, "add_prefix_space", true, &prefix, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_json_read_string(step, "prepend_scheme", prefix ? "always" : "never", &name,
                                        error);
    if (status != SONDE_STATUS_OK)
        return status;
    if (strcmp(name, "always") == 0) {
        *scheme = SONDE_PREPEND_ALWAYS;
    } else if (strcmp(name, "first") == 0) {
        *scheme = SONDE_PREPEND_FIRST;
    } else if (strcmp(name, "never") == 0) {
        *scheme = SONDE_PREPEND_NEVER;
    } else {
        char show[SONDE_SHOW_BYTES];
        return sonde_error_set(error, SONDE_STATUS_UNSUPPORTED,
                               "%s: prepend_scheme \"%s\" is not supported", section,
                               sonde_text_show(show, name, strlen(name)));
    }
    return SONDE_STATUS_OK;
}

static enum sonde_status read_metaspace(struct sonde_tokenizer *t, const struct sonde_json *step,
                                        struct sonde_error *error)
{
    struct sonde_splitter *splitter = NULL;

    enum sonde_status status = new_splitter(t, SONDE_SPLITTER_METASPACE, &splitter, error);
    if (status == SONDE_STATUS_OK)
        status = copy_string(&splitter->content, step, "pre_tokenizer Metaspace", "replacement", 1,
                             error);
    if (status == SONDE_STATUS_OK)
        status = read_scheme(step, "pre_tokenizer Metaspace", &splitter->scheme, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_json_read_bool(step, "split", true, &splitter->split, error);
    return status;
}

static enum sonde_status read_split_text(struct sonde_tokenizer *t, const struct sonde_json *step,
                                         const char *behavior, bool invert,
                                         struct sonde_error *error)
{
    struct sonde_splitter *splitter = NULL;

    enum sonde_status status = new_splitter(t, SONDE_SPLITTER_STRING, &splitter, error);
    if (status == SONDE_STATUS_OK)
        status = copy_pattern(&splitter->content, step, "pre_tokenizer Split", error);
    if (status != SONDE_STATUS_OK)
        return status;
    if (strcmp(behavior, "Isolated") == 0)
        splitter->behavior = SONDE_SPLIT_ISOLATED;
    else if (strcmp(behavior, "MergedWithPrevious") == 0)
        splitter->behavior = SONDE_SPLIT_WITH_PREVIOUS;
    else if (strcmp(behavior, "MergedWithNext") == 0)
        splitter->behavior = SONDE_SPLIT_WITH_NEXT;
    else
        return refuse(error, "pre_tokenizer Split behavior", behavior);
    if (invert)
        return refuse(error, "pre_tokenizer Split", "invert");
    return SONDE_STATUS_OK;
}

/* A known pattern matches all of a text, so that isolating the matches and removing what is not
 * matched are the same. */
static enum sonde_status read_split(struct sonde_tokenizer *t, const struct sonde_json *step,
                                    struct sonde_error *error)
{
    const struct sonde_json *source = sonde_json_get(sonde_json_get(step, "pattern"), "Regex");
    const char *regex = sonde_json_string(source, NULL);
    const char *behavior;
    bool invert;
    struct sonde_splitter *splitter = NULL;

    enum sonde_status status = sonde_json_read_string(step, "behavior", "", &behavior, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_json_read_bool(step, "invert", false, &invert, error);
    if (status != SONDE_STATUS_OK)
        return status;
    if (!regex)
        return read_split_text(t, step, behavior, invert, error);
    const char *name =
        strlen(regex) == sonde_json_string_size(source) ? sonde_pattern_name(regex) : NULL;
    if (!name) {
        char show[SONDE_SHOW_BYTES];
        return sonde_error_set(
            error, SONDE_STATUS_UNSUPPORTED,
            "pre_tokenizer Split with the unknown pattern \"%s\" is not supported",
            sonde_text_show(show, regex, strlen(regex)));
    }
    if (strcmp(behavior, invert ? "Removed" : "Isolated") != 0)
        return refuse(error, "pre_tokenizer Split behavior", behavior);
    status = new_splitter(t, SONDE_SPLITTER_PATTERN, &splitter, error);
    return status == SONDE_STATUS_OK ? sonde_pattern_create(&splitter->pattern, name, error)
                                     : status;
}

static enum sonde_status read_pre_tokenizer(struct sonde_tokenizer *t,
                                            const struct sonde_json *step, int depth,
                                            struct sonde_error *error)
{
    const char *section = "pre_tokenizer";
    const char *type;

    if (sonde_json_type(step) == SONDE_JSON_ABSENT || sonde_json_type(step) == SONDE_JSON_NULL)
        return SONDE_STATUS_OK;
    enum sonde_status status = type_of(step, section, &type, error);
    if (status != SONDE_STATUS_OK)
        return status;
    if (strcmp(type, "Sequence") == 0 && depth < MAX_NESTING) {
        const struct sonde_json *list = sonde_json_get(step, "pretokenizers");
        for (int64_t i = 0; i < n_steps(list) && status == SONDE_STATUS_OK; i++)
            status = read_pre_tokenizer(t, sonde_json_at(list, i), depth + 1, error);
        return status;
    }
    if (t->byte_level) /* it would see the byte alphabet, not the text */
        return refuse(error, "pre_tokenizer after ByteLevel", type);
    if (strcmp(type, "ByteLevel") == 0)
        return read_byte_level(t, step, error);
    if (strcmp(type, "Metaspace") == 0)
        return read_metaspace(t, step, error);
    if (strcmp(type, "Split") == 0)
        return read_split(t, step, error);
    if (strcmp(type, "Digits") == 0) {
        struct sonde_splitter *splitter = NULL;
        status = new_splitter(t, SONDE_SPLITTER_DIGITS, &splitter, error);
        return status == SONDE_STATUS_OK
                   ? sonde_json_read_bool(step, "individual_digits", false, &splitter->split, error)
                   : status;
    }
    return refuse(error, section, type);
}

static enum sonde_status fill_decoder(struct sonde_decoder *decoder, const char *type,
                                      const struct sonde_json *step, struct sonde_error *error)
{
    enum sonde_status status = SONDE_STATUS_OK;

    if (strcmp(type, "ByteLevel") == 0) {
        decoder->kind = SONDE_DECODER_BYTE_LEVEL;
    } else if (strcmp(type, "ByteFallback") == 0) {
        decoder->kind = SONDE_DECODER_BYTE_FALLBACK;
    } else if (strcmp(type, "Fuse") == 0) {
        decoder->kind = SONDE_DECODER_FUSE;
    } else if (strcmp(type, "Strip") == 0) {
        decoder->kind = SONDE_DECODER_STRIP;
        status = copy_string(&decoder->content, step, "decoder Strip", "content", 1, error);
        if (status == SONDE_STATUS_OK)
            status = sonde_json_read_i64(step, "start", 0, 0, INT32_MAX, &decoder->start, error);
        if (status == SONDE_STATUS_OK)
            status = sonde_json_read_i64(step, "stop", 0, 0, INT32_MAX, &decoder->stop, error);
    } else if (strcmp(type, "Replace") == 0) {
        decoder->kind = SONDE_DECODER_REPLACE;
        status = copy_pattern(&decoder->pattern, step, "decoder Replace", error);
        if (status == SONDE_STATUS_OK)
            status = copy_string(&decoder->content, step, "decoder Replace", "content", 0, error);
    } else if (strcmp(type, "Metaspace") == 0) {
        decoder->kind = SONDE_DECODER_METASPACE;
        status = copy_string(&decoder->content, step, "decoder Metaspace", "replacement", 1, error);
        if (status == SONDE_STATUS_OK)
            status = read_scheme(step, "decoder Metaspace", &decoder->scheme, error);
    } else {
        status = refuse(error, "decoder", type);
    }
    return status;
}

static enum sonde_status read_decoder(struct sonde_tokenizer *t, const struct sonde_json *step,
                                      int depth, struct sonde_error *error)
{
    const char *type;

    if (sonde_json_type(step) == SONDE_JSON_ABSENT || sonde_json_type(step) == SONDE_JSON_NULL)
        return SONDE_STATUS_OK;
    enum sonde_status status = type_of(step, "decoder", &type, error);
    if (status != SONDE_STATUS_OK)
        return status;
    if (strcmp(type, "Sequence") == 0 && depth < MAX_NESTING) {
        const struct sonde_json *list = sonde_json_get(step, "decoders");
        for (int64_t i = 0; i < n_steps(list) && status == SONDE_STATUS_OK; i++)
            status = read_decoder(t, sonde_json_at(list, i), depth + 1, error);
        return status;
    }
    if (t->n_decoders == SONDE_TOKENIZER_MAX_STEPS)
        return too_many(error, "decoder");
    return fill_decoder(&t->decoders[t->n_decoders++], type, step, error);
}

enum sonde_status sonde_tokenizer_read_steps(struct sonde_tokenizer *t,
                                             const struct sonde_json *root,
                                             struct sonde_error *error)
{
    enum sonde_status status = read_normalizer(t, sonde_json_get(root, "normalizer"), 0, error);

    if (status == SONDE_STATUS_OK)
        status = read_pre_tokenizer(t, sonde_json_get(root, "pre_tokenizer"), 0, error);
    if (status == SONDE_STATUS_OK)
        status = read_decoder(t, sonde_json_get(root, "decoder"), 0, error);
    return status;
}
