#include "core/corpus/corpus.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/json.h"
#include "core/corpus/corpus_internal.h"

struct sonde_corpus {
    enum sonde_corpus_format format;
    struct sonde_corpus_item item;
    int64_t n_items; /* given so far */
    struct sonde_line_reader lines;
    char *field; /* JSONL */
    struct sonde_buf text;
    struct sonde_conllu conllu;
    struct sonde_ids_file ids;
    struct sonde_formal_corpus formal;
    const char *const *texts; /* from_texts */
    int64_t n_texts;
};

enum sonde_status sonde_corpus_open(struct sonde_corpus **out, const char *path,
                                    enum sonde_corpus_format format, const char *field,
                                    struct sonde_error *error)
{
    enum sonde_status status;

    struct sonde_corpus *corpus = calloc(1, sizeof(*corpus));
    if (!corpus)
        return sonde_error_memory(error, "a corpus");
    corpus->format = format;
    corpus->text.max = (size_t)SONDE_CORPUS_MAX_ITEM_BYTES;
    if (format == SONDE_CORPUS_IDS)
        status = sonde_ids_open(&corpus->ids, path, error);
    else if (format == SONDE_CORPUS_FORMAL)
        status = sonde_formal_corpus_open(&corpus->formal, path, error);
    else
        status = sonde_lines_open(&corpus->lines, path, error);
    if (status == SONDE_STATUS_OK && format == SONDE_CORPUS_JSONL) {
        corpus->field = sonde_strdup(field ? field : "text");
        if (!corpus->field)
            status = sonde_error_memory(error, "a corpus");
    }
    if (status == SONDE_STATUS_OK)
        *out = corpus;
    else
        sonde_corpus_close(&corpus);
    return status;
}

enum sonde_status sonde_corpus_from_texts(struct sonde_corpus **out, const char *const *texts,
                                          int64_t n, struct sonde_error *error)
{
    struct sonde_corpus *corpus = calloc(1, sizeof(*corpus));

    if (!corpus)
        return sonde_error_memory(error, "a corpus");
    corpus->texts = texts;
    corpus->n_texts = n;
    *out = corpus;
    return SONDE_STATUS_OK;
}

void sonde_corpus_close(struct sonde_corpus **corpus)
{
    struct sonde_corpus *c = *corpus;

    if (!c)
        return;
    sonde_lines_close(&c->lines);
    free(c->field);
    sonde_buf_finish(&c->text);
    sonde_conllu_finish(&c->conllu);
    sonde_ids_close(&c->ids);
    sonde_formal_corpus_close(&c->formal);
    free(c);
    *corpus = NULL;
}

static void set_text(struct sonde_corpus *corpus, const char *text, size_t n)
{
    corpus->item.text = text ? text : "";
    corpus->item.text_bytes = (int64_t)n;
}

static enum sonde_status next_line(struct sonde_corpus *corpus, bool *more,
                                   struct sonde_error *error)
{
    do {
        enum sonde_status status = sonde_lines_next(&corpus->lines, more, error);
        if (status != SONDE_STATUS_OK || !*more)
            return status;
    } while (corpus->lines.line.size == 0);
    set_text(corpus, corpus->lines.line.data, corpus->lines.line.size);
    return SONDE_STATUS_OK;
}

static enum sonde_status next_whole(struct sonde_corpus *corpus, bool *more,
                                    struct sonde_error *error)
{
    *more = false;
    if (corpus->n_items > 0)
        return SONDE_STATUS_OK;
    enum sonde_status status =
        sonde_file_load(corpus->lines.path, SONDE_CORPUS_MAX_ITEM_BYTES, &corpus->text, error);
    if (status != SONDE_STATUS_OK || corpus->text.size == 0)
        return status;
    bool marked = corpus->text.size >= 3 && memcmp(corpus->text.data, "\xEF\xBB\xBF", 3) == 0;
    set_text(corpus, corpus->text.data + (marked ? 3 : 0), corpus->text.size - (marked ? 3 : 0));
    corpus->lines.done = (int64_t)corpus->text.size;
    *more = true;
    return SONDE_STATUS_OK;
}

/* The member called `field`, else the way along its dots. */
static const struct sonde_json *find_field(const struct sonde_json *object, const char *field)
{
    const struct sonde_json *value = sonde_json_get(object, field);
    const char *dot;

    while (!value && (dot = strchr(field, '.'))) {
        char key[256];
        size_t n = (size_t)(dot - field);
        if (n >= sizeof(key))
            return NULL;
        memcpy(key, field, n);
        key[n] = '\0';
        object = sonde_json_get(object, key);
        field = dot + 1;
        value = sonde_json_get(object, field);
    }
    return value;
}

static enum sonde_status take_field(struct sonde_corpus *corpus, struct sonde_error *error)
{
    const struct sonde_buf *line = &corpus->lines.line;
    struct sonde_json *root = NULL;

    enum sonde_status status = sonde_json_parse(&root, line->data, line->size, error);
    if (status != SONDE_STATUS_OK)
        return status;
    const struct sonde_json *value = find_field(root, corpus->field);
    if (sonde_json_type(root) != SONDE_JSON_OBJECT) {
        status = sonde_error_set(error, SONDE_STATUS_FORMAT, "%s, expected an object",
                                 sonde_json_type_name(sonde_json_type(root)));
    } else if (!value) {
        status = sonde_error_set(error, SONDE_STATUS_FORMAT, "no field \"%s\"", corpus->field);
    } else if (sonde_json_type(value) != SONDE_JSON_STRING) {
        status =
            sonde_error_set(error, SONDE_STATUS_FORMAT, "field \"%s\" is %s, expected a string",
                            corpus->field, sonde_json_type_name(sonde_json_type(value)));
    } else {
        sonde_buf_clear(&corpus->text);
        sonde_buf_append(&corpus->text, sonde_json_string(value, ""),
                         sonde_json_string_size(value));
        status = sonde_buf_status(&corpus->text, error);
        set_text(corpus, corpus->text.data, corpus->text.size);
    }
    sonde_json_destroy(&root);
    return status;
}

static enum sonde_status next_json(struct sonde_corpus *corpus, bool *more,
                                   struct sonde_error *error)
{
    const struct sonde_buf *line = &corpus->lines.line;

    do {
        enum sonde_status status = sonde_lines_next(&corpus->lines, more, error);
        if (status != SONDE_STATUS_OK || !*more)
            return status;
    } while (line->size == 0 || strspn(line->data, " \t\r") == line->size);
    enum sonde_status status = take_field(corpus, error);
    return status == SONDE_STATUS_OK ? status : sonde_lines_blame(&corpus->lines, status, error);
}

enum sonde_status sonde_corpus_next(struct sonde_corpus *corpus,
                                    const struct sonde_corpus_item **out, struct sonde_error *error)
{
    enum sonde_status status = SONDE_STATUS_OK;
    bool more = false;

    corpus->item = (struct sonde_corpus_item){ .ordinal = corpus->n_items };
    if (corpus->texts) {
        more = corpus->n_items < corpus->n_texts;
        if (more)
            set_text(corpus, corpus->texts[corpus->n_items],
                     strlen(corpus->texts[corpus->n_items]));
    } else if (corpus->lines.file || corpus->ids.file || corpus->formal.generator) {
        switch (corpus->format) {
        case SONDE_CORPUS_LINES:
            status = next_line(corpus, &more, error);
            break;
        case SONDE_CORPUS_WHOLE:
            status = next_whole(corpus, &more, error);
            break;
        case SONDE_CORPUS_JSONL:
            status = next_json(corpus, &more, error);
            break;
        case SONDE_CORPUS_CONLLU:
            status =
                sonde_conllu_next(&corpus->conllu, &corpus->lines, &corpus->item, &more, error);
            break;
        case SONDE_CORPUS_IDS:
            status = sonde_ids_next(&corpus->ids, &corpus->item, &more, error);
            break;
        case SONDE_CORPUS_FORMAL:
            status = sonde_formal_corpus_next(&corpus->formal, &corpus->item, &more, error);
            break;
        }
    }
    if (status != SONDE_STATUS_OK)
        return status;
    if (more)
        corpus->n_items++;
    *out = more ? &corpus->item : NULL;
    return SONDE_STATUS_OK;
}

void sonde_corpus_position(const struct sonde_corpus *corpus, int64_t *done, int64_t *total)
{
    *done = *total = 0;
    if (corpus->ids.file) {
        *total = sonde_file_size(corpus->ids.file);
        *done =
            corpus->ids.data_at + corpus->ids.row * corpus->ids.n_columns * corpus->ids.item_bytes;
    } else if (corpus->lines.total > 0) {
        *done = corpus->lines.done;
        *total = corpus->lines.total;
    }
}
