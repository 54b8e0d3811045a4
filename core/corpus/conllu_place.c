/* Where the words of a CoNLL-U sentence stand in its text, and what a word's columns say. */
#include <string.h>

#include "core/corpus/corpus_internal.h"

enum { COLUMN_FORM = 1, COLUMN_FEATS = 5, COLUMN_MISC = 9, N_COLUMNS = 10 };

static bool blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Bytes of text[at..n) that spell `form`, blanks in either ignored; 0 where they do not. */
static size_t spelled(const char *text, size_t n, const char *form)
{
    size_t i = 0;

    for (; *form; form++) {
        if (blank(*form))
            continue;
        while (i < n && blank(text[i]))
            i++;
        if (i == n || text[i] != *form)
            return 0;
        i++;
    }
    return i;
}

static bool space_after(const char *misc)
{
    size_t n;
    const char *value = sonde_conllu_feature(misc, "SpaceAfter", 10, &n);

    return !value || n != 2 || memcmp(value, "No", 2) != 0;
}

/* Without "# text": the forms, a space behind each but the last and those with SpaceAfter=No. */
static void join_forms(struct sonde_conllu *conllu)
{
    int64_t covered = 0, id = 0;
    bool space = false;

    for (int64_t i = 0; i < conllu->n_lines; i++) {
        const struct sonde_sentence_word *line = &conllu->lines[i];
        if (line->range_end == 0 && ++id <= covered)
            continue;
        if (line->range_end > 0)
            covered = line->range_end;
        if (space)
            sonde_buf_putc(&conllu->text, ' ');
        sonde_buf_puts(&conllu->text, conllu->block.data + line->field[COLUMN_FORM]);
        space = space_after(conllu->block.data + line->field[COLUMN_MISC]);
    }
}

/* The words lines[from..to) of a multi-word token at [begin, end): parts of it, or all of it each.
 */
static void place_parts(struct sonde_conllu *conllu, int64_t from, int64_t to, int64_t begin,
                        int64_t end)
{
    int64_t at = begin;

    for (int64_t i = from; i < to; i++) {
        struct sonde_sentence_word *line = &conllu->lines[i];
        const char *form = conllu->block.data + line->field[COLUMN_FORM];
        size_t n = strlen(form);
        if ((int64_t)n > end - at || memcmp(conllu->text.data + at, form, n) != 0)
            break;
        line->begin = at;
        at += (int64_t)n;
        line->end = at;
    }
    for (int64_t i = from; i < to && at != end; i++) {
        conllu->lines[i].begin = begin;
        conllu->lines[i].end = end;
    }
}

enum sonde_status sonde_conllu_place(struct sonde_conllu *conllu, struct sonde_line_reader *reader,
                                     struct sonde_error *error)
{
    size_t at = 0;

    if (!conllu->has_text)
        join_forms(conllu);
    enum sonde_status status = sonde_buf_status(&conllu->text, error);
    if (status != SONDE_STATUS_OK)
        return status;
    for (int64_t i = 0; i < conllu->n_lines; i++) {
        struct sonde_sentence_word *line = &conllu->lines[i];
        const char *form = conllu->block.data + line->field[COLUMN_FORM];
        while (at < conllu->text.size && blank(conllu->text.data[at]))
            at++;
        size_t n = at < conllu->text.size
                       ? spelled(conllu->text.data + at, conllu->text.size - at, form)
                       : 0;
        if (n == 0) {
            reader->number = line->line;
            return sonde_lines_blame(
                reader,
                sonde_error_set(error, SONDE_STATUS_FORMAT,
                                "FORM \"%.40s\" is not what \"# text\" has at byte %zu", form, at),
                error);
        }
        line->begin = (int64_t)at;
        line->end = (int64_t)(at + n);
        at += n;
        if (line->range_end > 0) {
            place_parts(conllu, i + 1, i + 1 + line->n_parts, line->begin, line->end);
            i += line->n_parts;
        }
    }
    return SONDE_STATUS_OK;
}

const char *sonde_conllu_feature(const char *list, const char *name, size_t n_name, size_t *n)
{
    while (*list) {
        size_t length = strcspn(list, "|");
        if (length > n_name && list[n_name] == '=' && memcmp(list, name, n_name) == 0) {
            *n = length - n_name - 1;
            return list + n_name + 1;
        }
        list += length;
        if (*list == '|')
            list++;
    }
    return NULL;
}

/* The column and, behind a dot, the feature. */
static enum sonde_status find_column(const char *column, int *index, const char **feature,
                                     struct sonde_error *error)
{
    static const char *const names[N_COLUMNS] = { "id",    "form", "lemma",  "upos", "xpos",
                                                  "feats", "head", "deprel", "deps", "misc" };
    const char *dot = strchr(column, '.');
    size_t n = dot ? (size_t)(dot - column) : strlen(column);

    for (int i = 0; i < N_COLUMNS; i++) {
        if (strlen(names[i]) != n || memcmp(names[i], column, n) != 0)
            continue;
        if (dot && (dot[1] == '\0' || (i != COLUMN_FEATS && i != COLUMN_MISC)))
            break;
        *index = i;
        *feature = dot ? dot + 1 : NULL;
        return SONDE_STATUS_OK;
    }
    return sonde_error_set(
        error, SONDE_STATUS_ARGUMENT,
        "no CoNLL-U column \"%.60s\", expected id, form, lemma, upos, xpos, feats, "
        "head, deprel, deps, misc, feats.NAME or misc.NAME",
        column);
}

enum sonde_status sonde_corpus_word_column(const struct sonde_corpus_word *word, const char *column,
                                           char *out, size_t n, bool *present,
                                           struct sonde_error *error)
{
    const char *feature = NULL;
    int index = 0;

    enum sonde_status status = find_column(column, &index, &feature, error);
    if (status != SONDE_STATUS_OK)
        return status;
    const char *value = word->field[index];
    size_t length = strlen(value);
    /* "_" stands for nothing, but a word may be an underscore */
    bool nothing = strcmp(value, "_") == 0 && index != COLUMN_FORM &&
                   !(index == COLUMN_FORM + 1 && strcmp(word->field[COLUMN_FORM], "_") == 0);
    if (feature && !nothing)
        value = sonde_conllu_feature(value, feature, strlen(feature), &length);
    if (nothing || !value) {
        value = "";
        length = 0;
    }
    if (length + 1 > n)
        return sonde_error_set(error, SONDE_STATUS_LIMIT,
                               "column %s of \"%.40s\" has %zu bytes, at most %zu", column,
                               word->field[COLUMN_FORM], length, n - 1);
    *present = length > 0;
    memcpy(out, value, length);
    out[length] = '\0';
    return SONDE_STATUS_OK;
}
