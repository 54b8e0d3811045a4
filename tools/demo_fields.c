#include "tools/demo_fields.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/json.h"

#define FILE_BYTES_MAX ((int64_t)1 << 24)
#define TRIGGERS_MAX 64
#define LINES_MIN 8

static int32_t find_field(struct sonde_demo_lines *lines, const char *name)
{
    for (int64_t i = 0; i < lines->n_fields; i++) {
        if (strcmp(lines->name[i], name) == 0)
            return (int32_t)i;
    }
    if (lines->n_fields == SONDE_DEMO_FIELDS_MAX)
        return -1;
    char *copy = sonde_strdup(name);
    if (!copy)
        return -1;
    lines->name[lines->n_fields] = copy;
    return (int32_t)lines->n_fields++;
}

static enum sonde_status add_line(struct sonde_demo_lines *lines, const struct sonde_json *line,
                                  struct sonde_error *error)
{
    const char *pos = sonde_json_string(sonde_json_get(line, "pos"), "");
    const char *field = sonde_json_string(sonde_json_get(line, "field"), "");
    if (!*pos || !*field)
        return sonde_error_set(error, SONDE_STATUS_FORMAT, "pos or field is missing");
    bool noun = strcmp(pos, "noun") == 0;
    char verb[64];
    snprintf(verb, sizeof(verb), "verbs of %.50s", field);
    int32_t number = find_field(lines, noun ? field : strcmp(pos, "verb") == 0 ? verb : pos);
    if (number < 0)
        return sonde_error_set(error, SONDE_STATUS_LIMIT, "more than %d fields",
                               SONDE_DEMO_FIELDS_MAX);
    if (!sonde_grow((void **)&lines->field, &lines->capacity, lines->n + 1, sizeof(*lines->field),
                    INT32_MAX) ||
        !sonde_grow((void **)&lines->is_noun, &lines->noun_capacity, lines->n + 1,
                    sizeof(*lines->is_noun), INT32_MAX))
        return sonde_error_memory(error, "the sentences");
    lines->is_noun[lines->n] = noun;
    lines->field[lines->n++] = number;
    lines->count[number]++;
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_demo_lines_read(struct sonde_demo_lines *lines, const char *path,
                                        struct sonde_error *error)
{
    struct sonde_buf text = { 0 };
    enum sonde_status status = sonde_file_load(path, FILE_BYTES_MAX, &text, error);
    for (char *at = text.data; status == SONDE_STATUS_OK && at && *at;) {
        size_t n = strcspn(at, "\n");
        struct sonde_json *line = NULL;
        if (n > 0)
            status = sonde_json_parse(&line, at, n, error);
        if (status == SONDE_STATUS_OK && line)
            status = add_line(lines, line, error);
        if (status)
            sonde_error_prepend(error, "%s: line %lld", path, (long long)lines->n + 1);
        sonde_json_destroy(&line);
        at += n + (at[n] == '\n');
    }
    sonde_buf_finish(&text);
    return status;
}

void sonde_demo_lines_finish(struct sonde_demo_lines *lines)
{
    for (int64_t i = 0; i < lines->n_fields; i++)
        free(lines->name[i]);
    free(lines->field);
    free(lines->is_noun);
    *lines = (struct sonde_demo_lines){ 0 };
}

enum sonde_status sonde_demo_lines_save(const struct sonde_demo_lines *lines, const char *path,
                                        struct sonde_error *error)
{
    struct sonde_buf text = { 0 };
    for (int64_t i = 0; i < lines->n; i++) {
        if (lines->is_noun[i])
            sonde_buf_printf(&text, "%lld\t%s\n", (long long)i, lines->name[lines->field[i]]);
    }
    enum sonde_status status = sonde_buf_status(&text, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_file_save(path, text.data ? text.data : "", text.size, error);
    sonde_buf_finish(&text);
    return status;
}

static int64_t find_column(const struct sonde_table *t, const char *name)
{
    for (int64_t c = 0; c < t->n_columns; c++) {
        if (strcmp(t->column[c], name) == 0)
            return c;
    }
    return -1;
}

static int64_t integer_at(const struct sonde_table *t, int64_t row, int64_t column)
{
    return t->cell[row * t->n_columns + column].integer;
}

/* The lines that a neuron's triggers lie in, each once, and the field of most of them. */
static void count_lines(const struct sonde_demo_lines *lines, const struct sonde_table *keys,
                        int64_t column, struct sonde_demo_neuron *neuron)
{
    int64_t seen[TRIGGERS_MAX], count[SONDE_DEMO_FIELDS_MAX] = { 0 };
    neuron->lines = neuron->same = 0;
    for (int64_t i = 0; i < neuron->n_rows && neuron->lines < TRIGGERS_MAX; i++) {
        int64_t line = integer_at(keys, neuron->first + i, column);
        bool known = line < 0 || line >= lines->n;
        for (int64_t k = 0; !known && k < neuron->lines; k++)
            known = seen[k] == line;
        if (known)
            continue;
        seen[neuron->lines++] = line;
        int32_t field = lines->field[line];
        if (++count[field] > neuron->same) {
            neuron->same = count[field];
            neuron->field = field;
        }
    }
}

/* " word": begins with a blank, letters alone, three or more. */
static bool is_word(const char *token)
{
    size_t n = 0;
    if (token[0] != ' ')
        return false;
    for (token++; *token; token++, n++) {
        bool letter = (*token >= 'a' && *token <= 'z') || (*token >= 'A' && *token <= 'Z');
        if (!letter)
            return false;
    }
    return n >= 3;
}

/* Table values has its neurons in the order of table keys: *at moves on to the neuron's rows. */
static bool promotes_words(const struct sonde_table *values, int64_t *at, int64_t layer,
                           int64_t neuron, int64_t *words)
{
    int64_t l = find_column(values, "layer"), u = find_column(values, "neuron");
    int64_t token = find_column(values, "token"), n = 0;
    if (l < 0 || u < 0 || token < 0)
        return false;
    while (*at < values->n_rows &&
           (integer_at(values, *at, l) != layer || integer_at(values, *at, u) != neuron))
        ++*at;
    *words = 0;
    for (; *at < values->n_rows && integer_at(values, *at, l) == layer &&
           integer_at(values, *at, u) == neuron;
         ++*at, n++) {
        const char *text = values->cell[*at * values->n_columns + token].text;
        *words += text && is_word(text);
    }
    return n > 0 && 2 * *words >= n;
}

static bool is_better(const struct sonde_demo_neuron *a, const struct sonde_demo_neuron *b)
{
    int64_t left = a->same * b->lines, right = b->same * a->lines;
    if (left != right)
        return left > right;
    if (a->same != b->same)
        return a->same > b->same;
    return a->activation > b->activation;
}

int64_t sonde_demo_pick_neurons(const struct sonde_demo_lines *lines,
                                const struct sonde_table *keys, const struct sonde_table *values,
                                struct sonde_demo_neuron *out, int64_t n)
{
    struct sonde_demo_neuron best[SONDE_DEMO_FIELDS_MAX] = { 0 };
    int64_t layer = find_column(keys, "layer"), neuron = find_column(keys, "neuron");
    int64_t sequence = find_column(keys, "sequence"), value = find_column(keys, "activation");
    int64_t n_picked = 0, at = 0;
    if (layer < 0 || neuron < 0 || sequence < 0 || value < 0)
        return 0;
    for (int64_t row = 0, next; row < keys->n_rows; row = next) {
        struct sonde_demo_neuron now = { .layer = integer_at(keys, row, layer),
                                         .neuron = integer_at(keys, row, neuron),
                                         .first = row,
                                         .activation =
                                             keys->cell[row * keys->n_columns + value].real };
        for (next = row + 1; next < keys->n_rows && integer_at(keys, next, layer) == now.layer &&
                             integer_at(keys, next, neuron) == now.neuron;)
            next++;
        now.n_rows = next - row;
        count_lines(lines, keys, sequence, &now);
        if (promotes_words(values, &at, now.layer, now.neuron, &now.words) &&
            now.lines >= LINES_MIN &&
            (best[now.field].lines == 0 || is_better(&now, &best[now.field])))
            best[now.field] = now;
    }
    while (n_picked < n) {
        struct sonde_demo_neuron *top = NULL;
        for (int64_t f = 0; f < lines->n_fields; f++) {
            if (best[f].lines > 0 && (!top || is_better(&best[f], top)))
                top = &best[f];
        }
        if (!top)
            break;
        out[n_picked++] = *top;
        top->lines = 0;
    }
    return n_picked;
}
