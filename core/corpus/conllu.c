/* CoNLL-U (Nivre et al., "Universal Dependencies v2", LREC 2020; format page of
 * universaldependencies.org): ten tab-separated columns, blank lines between sentences. */
#include <stdlib.h>
#include <string.h>

#include "core/base/num.h"
#include "core/corpus/corpus_internal.h"

enum { COLUMN_ID, COLUMN_FORM, N_COLUMNS = 10 };

void sonde_conllu_finish(struct sonde_conllu *conllu)
{
    sonde_buf_finish(&conllu->block);
    sonde_buf_finish(&conllu->text);
    sonde_buf_finish(&conllu->name);
    free(conllu->lines);
    free(conllu->words);
    *conllu = (struct sonde_conllu){ 0 };
}

static void start_sentence(struct sonde_conllu *conllu)
{
    sonde_buf_clear(&conllu->block);
    sonde_buf_clear(&conllu->text);
    sonde_buf_clear(&conllu->name);
    conllu->block.max = conllu->text.max = (size_t)SONDE_CORPUS_MAX_ITEM_BYTES;
    conllu->has_text = conllu->has_name = false;
    conllu->n_lines = conllu->n_words = 0;
    conllu->range_end = 0;
}

/* "# key = value". */
static void read_comment(struct sonde_conllu *conllu, const char *line, size_t n)
{
    size_t key = 1;
    const char *equals = memchr(line, '=', n);

    if (!equals)
        return;
    while (line[key] == ' ')
        key++;
    size_t end = (size_t)(equals - line), value = end + 1;
    while (end > key && line[end - 1] == ' ')
        end--;
    if (value < n && line[value] == ' ')
        value++;
    if (end - key == 4 && memcmp(line + key, "text", 4) == 0 && !conllu->has_text) {
        conllu->has_text = true;
        sonde_buf_append(&conllu->text, line + value, n - value);
    } else if (end - key == 7 && memcmp(line + key, "sent_id", 7) == 0 && !conllu->has_name) {
        conllu->has_name = true;
        sonde_buf_append(&conllu->name, line + value, n - value);
    }
}

/* ID is 7, 7-8 (a multi-word token) or 7.1 (an empty node). */
static enum sonde_status read_id(struct sonde_conllu *conllu, const char *id,
                                 struct sonde_sentence_word *word, bool *empty_node,
                                 struct sonde_error *error)
{
    int64_t expected = conllu->n_words + 1, first = 0, last = 0;
    size_t n = strlen(id), digits = strspn(id, "0123456789");

    *empty_node = false;
    bool ok = sonde_parse_i64(id, digits, &first);
    if (ok && id[digits] == '.') {
        *empty_node = sonde_parse_i64(id + digits + 1, n - digits - 1, &last) && last > 0;
        ok = *empty_node;
    } else if (ok && id[digits] == '-') {
        ok = sonde_parse_i64(id + digits + 1, n - digits - 1, &last) && last > first;
    } else {
        ok = ok && digits == n;
    }
    if (!ok)
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "ID \"%.40s\", expected a number, a range or an empty node's number",
                               id);
    if (*empty_node)
        return SONDE_STATUS_OK;
    if (first != expected || (last > 0 && conllu->range_end >= first))
        return sonde_error_set(error, SONDE_STATUS_FORMAT, "ID %.40s, expected %lld", id,
                               (long long)expected);
    word->range_end = last;
    word->n_parts = last > 0 ? last - first + 1 : 0;
    return SONDE_STATUS_OK;
}

static enum sonde_status split_columns(struct sonde_conllu *conllu, const char *line, size_t n,
                                       struct sonde_sentence_word *word, struct sonde_error *error)
{
    size_t start = conllu->block.size;
    int columns = 1;

    if (memchr(line, 0, n))
        return sonde_error_set(error, SONDE_STATUS_FORMAT, "a NUL in the line");
    sonde_buf_append(&conllu->block, line, n);
    sonde_buf_putc(&conllu->block, '\0');
    enum sonde_status status = sonde_buf_status(&conllu->block, error);
    if (status != SONDE_STATUS_OK)
        return status;
    word->field[0] = start;
    for (size_t i = 0; i < n; i++) {
        if (line[i] != '\t')
            continue;
        conllu->block.data[start + i] = '\0';
        if (columns < N_COLUMNS)
            word->field[columns] = start + i + 1;
        columns++;
    }
    if (columns != N_COLUMNS)
        return sonde_error_set(error, SONDE_STATUS_FORMAT, "%d columns, expected %d", columns,
                               N_COLUMNS);
    return SONDE_STATUS_OK;
}

static enum sonde_status read_word(struct sonde_conllu *conllu,
                                   const struct sonde_line_reader *reader,
                                   struct sonde_error *error)
{
    struct sonde_sentence_word word = { .line = reader->number };
    bool empty_node;

    enum sonde_status status =
        split_columns(conllu, reader->line.data, reader->line.size, &word, error);
    if (status == SONDE_STATUS_OK)
        status =
            read_id(conllu, conllu->block.data + word.field[COLUMN_ID], &word, &empty_node, error);
    if (status != SONDE_STATUS_OK || empty_node)
        return status;
    if (conllu->block.data[word.field[COLUMN_FORM]] == '\0')
        return sonde_error_set(error, SONDE_STATUS_FORMAT, "an empty FORM");
    if (conllu->n_lines >= SONDE_CORPUS_MAX_WORDS)
        return sonde_error_set(error, SONDE_STATUS_LIMIT, "a sentence of more than %lld words",
                               (long long)SONDE_CORPUS_MAX_WORDS);
    void *items = conllu->lines;
    if (!sonde_grow(&items, &conllu->lines_capacity, conllu->n_lines + 1, sizeof(*conllu->lines),
                    SONDE_CORPUS_MAX_WORDS))
        return sonde_error_memory(error, "a sentence");
    conllu->lines = items;
    conllu->lines[conllu->n_lines++] = word;
    if (word.range_end > 0)
        conllu->range_end = word.range_end;
    else
        conllu->n_words++;
    return SONDE_STATUS_OK;
}

/* The words with their columns, once nothing moves any more. */
static enum sonde_status fill_words(struct sonde_conllu *conllu, struct sonde_error *error)
{
    void *items = conllu->words;
    int64_t n = 0;

    if (!sonde_grow(&items, &conllu->words_capacity, conllu->n_words, sizeof(*conllu->words),
                    SONDE_CORPUS_MAX_WORDS))
        return sonde_error_memory(error, "a sentence");
    conllu->words = items;
    for (int64_t i = 0; i < conllu->n_lines; i++) {
        const struct sonde_sentence_word *line = &conllu->lines[i];
        if (line->range_end > 0)
            continue;
        struct sonde_corpus_word *word = &conllu->words[n++];
        word->begin = line->begin;
        word->end = line->end;
        for (int k = 0; k < N_COLUMNS; k++)
            word->field[k] = conllu->block.data + line->field[k];
    }
    return SONDE_STATUS_OK;
}

static enum sonde_status finish_sentence(struct sonde_conllu *conllu,
                                         struct sonde_line_reader *reader,
                                         struct sonde_corpus_item *item, struct sonde_error *error)
{
    if (conllu->range_end > conllu->n_words)
        return sonde_lines_blame(
            reader,
            sonde_error_set(error, SONDE_STATUS_FORMAT,
                            "the sentence ends at ID %lld inside a multi-word token to %lld",
                            (long long)conllu->n_words, (long long)conllu->range_end),
            error);
    enum sonde_status status = sonde_conllu_place(conllu, reader, error);
    if (status == SONDE_STATUS_OK)
        status = fill_words(conllu, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_buf_status(&conllu->text, error);
    if (status != SONDE_STATUS_OK)
        return status;
    item->text = conllu->text.data ? conllu->text.data : "";
    item->text_bytes = (int64_t)conllu->text.size;
    item->name = conllu->has_name ? (conllu->name.data ? conllu->name.data : "") : NULL;
    item->words = conllu->words;
    item->n_words = conllu->n_words;
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_conllu_next(struct sonde_conllu *conllu, struct sonde_line_reader *reader,
                                    struct sonde_corpus_item *item, bool *more,
                                    struct sonde_error *error)
{
    start_sentence(conllu);
    for (;;) {
        enum sonde_status status = sonde_lines_next(reader, more, error);
        if (status != SONDE_STATUS_OK)
            return status;
        if (!*more || reader->line.size == 0) {
            bool any = conllu->n_words > 0 || conllu->range_end > 0;
            if (any) {
                *more = true;
                return finish_sentence(conllu, reader, item, error);
            }
            if (!*more)
                return SONDE_STATUS_OK;
            start_sentence(conllu); /* comments without words */
            continue;
        }
        if (reader->line.data[0] == '#')
            read_comment(conllu, reader->line.data, reader->line.size);
        else
            status = read_word(conllu, reader, error);
        if (status != SONDE_STATUS_OK)
            return sonde_lines_blame(reader, status, error);
    }
}
