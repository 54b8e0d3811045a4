/* Formal languages as something to learn: k-hot targets, and a tokenizer of single characters. */
#include <stdlib.h>
#include <string.h>

#include "core/base/json.h"
#include "tools/train/train_input.h"

/* One string at a time; the arrays grow with the longest. */
struct formal_reader {
    const struct sonde_formal *formal;
    const char *ids;
    int64_t n_symbols;
    struct sonde_formal_walk walk;
    int32_t *id;
    uint8_t *hot; /* [n, n_symbols] */
    int64_t id_capacity, hot_capacity;
};

static enum sonde_status add_string(struct formal_reader *r, const char *text, int64_t n,
                                    struct sonde_examples *to, struct sonde_error *error)
{
    const int64_t K = r->n_symbols, most = SONDE_FORMAL_MAX_LENGTH;
    if (!sonde_grow((void **)&r->id, &r->id_capacity, n, sizeof(*r->id), most) ||
        !sonde_grow((void **)&r->hot, &r->hot_capacity, n * K, 1, most * K))
        return sonde_error_memory(error, "a formal string");
    sonde_formal_walk_start(&r->walk, r->formal);
    for (int64_t t = 0; t < n; t++) {
        bool next[SONDE_FORMAL_MAX_SYMBOLS];
        const char *at = strchr(r->ids, text[t]);
        if (!at)
            return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                                   "the symbol '%c' has no id in \"%s\"", text[t], r->ids);
        enum sonde_status status = sonde_formal_walk_step(&r->walk, text[t], error);
        if (status)
            return status;
        (void)sonde_formal_next(&r->walk, next);
        r->id[t] = (int32_t)(at - r->ids);
        for (int64_t k = 0; k < K; k++)
            r->hot[t * K + k] = next[k];
    }
    const struct sonde_example example = { .ids = r->id, .n_tokens = n, .hot = r->hot };
    return n > 0 ? sonde_examples_add(to, &example, error) : SONDE_STATUS_OK;
}

enum sonde_status sonde_train_formal(struct sonde_examples **out, const char *spec, const char *ids,
                                     int64_t max_bytes, const struct sonde_progress *progress,
                                     struct sonde_error *error)
{
    struct sonde_formal_spec parsed;
    struct sonde_formal_generator *generator = NULL;
    struct sonde_examples *examples = NULL;
    struct formal_reader r = { 0 };
    enum sonde_status status = sonde_formal_parse_spec(spec, &parsed, error);
    if (!status)
        status = sonde_formal_generator_create(&generator, &parsed, error);
    if (status)
        return status;
    r.formal = sonde_formal_generator_language(generator);
    r.ids = ids ? ids : sonde_formal_generator_spec(generator)->ids;
    r.n_symbols = (int64_t)strlen(sonde_formal_symbols(r.formal));
    status = sonde_examples_create(&examples, r.n_symbols, error);
    while (!status) {
        const char *text = NULL;
        int64_t n = 0;
        status = sonde_formal_generator_next(generator, &text, &n, error);
        if (status || !text)
            break;
        status = add_string(&r, text, n, examples, error);
        if (!status)
            status = sonde_train_check_bytes(examples, max_bytes, error);
        if (!status && !sonde_progress_update(progress, "read", sonde_examples_count(examples),
                                              parsed.n, "strings"))
            status = sonde_error_set(error, SONDE_STATUS_CANCELLED, "stopped");
    }
    sonde_formal_walk_finish(&r.walk);
    free(r.id);
    free(r.hot);
    sonde_formal_generator_destroy(&generator);
    if (status)
        sonde_examples_destroy(&examples);
    else
        *out = examples;
    return status;
}

enum sonde_status sonde_train_formal_tokenizer(struct sonde_buf *out, const char *ids,
                                               struct sonde_error *error)
{
    struct sonde_json_writer w = { .out = out, .indent = 2 };
    sonde_json_begin_object(&w, NULL);
    sonde_json_put_string(&w, "version", "1.0");
    sonde_json_put_null(&w, "truncation");
    sonde_json_put_null(&w, "padding");
    sonde_json_begin_array(&w, "added_tokens");
    sonde_json_end_array(&w);
    sonde_json_put_null(&w, "normalizer");
    sonde_json_put_null(&w, "pre_tokenizer");
    sonde_json_put_null(&w, "post_processor");
    sonde_json_begin_object(&w, "decoder");
    sonde_json_put_string(&w, "type", "Fuse");
    sonde_json_end_object(&w);
    sonde_json_begin_object(&w, "model");
    sonde_json_put_string(&w, "type", "BPE");
    sonde_json_begin_object(&w, "vocab");
    for (int64_t i = 0; ids[i]; i++)
        sonde_json_put_i64(&w, (char[2]){ ids[i], '\0' }, i);
    sonde_json_end_object(&w);
    sonde_json_begin_array(&w, "merges");
    sonde_json_end_array(&w);
    sonde_json_end_object(&w);
    sonde_json_end_object(&w);
    sonde_buf_putc(out, '\n');
    return sonde_buf_status(out, error);
}
