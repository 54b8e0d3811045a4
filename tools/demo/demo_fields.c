#include "tools/demo/demo_fields.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/rng.h"

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
    const char *text = sonde_json_string(sonde_json_get(line, "text"), "");
    if (!sonde_grow((void **)&lines->text, &lines->text_capacity, lines->n + 1,
                    sizeof(*lines->text), INT32_MAX) ||
        !(lines->text[lines->n] = sonde_strdup(text)))
        return sonde_error_memory(error, "the sentences");
    if (!sonde_grow((void **)&lines->field, &lines->capacity, lines->n + 1, sizeof(*lines->field),
                    INT32_MAX) ||
        !sonde_grow((void **)&lines->is_noun, &lines->noun_capacity, lines->n + 1,
                    sizeof(*lines->is_noun), INT32_MAX)) {
        free(lines->text[lines->n]);
        return sonde_error_memory(error, "the sentences");
    }
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
    for (int64_t i = 0; i < lines->n; i++)
        free(lines->text[i]);
    free(lines->text);
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

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool has_word(const char *text, const char *word, size_t n)
{
    for (const char *at = text; (at = strstr(at, word)) != NULL; at += n) {
        if ((at == text || !is_letter(at[-1])) && !is_letter(at[n]))
            return true;
    }
    return false;
}

/* Letters of " word" where the token is a blank and three or more letters; else 0. */
static size_t word_size(const char *token)
{
    size_t n = 0;
    if (token[0] != ' ')
        return 0;
    while (is_letter(token[1 + n]))
        n++;
    return n >= 3 && !token[1 + n] ? n : 0;
}

bool sonde_demo_is_typical(const struct sonde_demo_lines *lines, int32_t field, const char *token)
{
    size_t n = word_size(token);
    int64_t in = 0, out = 0, n_in = lines->count[field], n_out = lines->n - n_in;
    for (int64_t i = 0; n > 0 && i < lines->n; i++) {
        if (has_word(lines->text[i], token + 1, n))
            *(lines->field[i] == field ? &in : &out) += 1;
    }
    return in >= 1 && in * n_out >= 3 * out * n_in;
}

/* Table values has its neurons in the order of table keys: *at moves on to the neuron's rows. */
static void count_typical(const struct sonde_demo_lines *lines, const struct sonde_table *values,
                          int64_t *at, struct sonde_demo_neuron *neuron)
{
    int64_t layer = find_column(values, "layer"), number = find_column(values, "neuron");
    int64_t token = find_column(values, "token");
    if (layer < 0 || number < 0 || token < 0)
        return;
    while (*at < values->n_rows && (integer_at(values, *at, layer) != neuron->layer ||
                                    integer_at(values, *at, number) != neuron->neuron))
        ++*at;
    neuron->first_value = *at;
    for (; *at < values->n_rows && integer_at(values, *at, layer) == neuron->layer &&
           integer_at(values, *at, number) == neuron->neuron;
         ++*at) {
        const char *text = values->cell[*at * values->n_columns + token].text;
        neuron->typical += text && sonde_demo_is_typical(lines, neuron->field, text);
        neuron->words += text && word_size(text) > 0;
        neuron->n_values++;
    }
}

static bool is_better(const struct sonde_demo_neuron *a, const struct sonde_demo_neuron *b)
{
    int64_t left = (1 + a->typical) * a->same * b->lines;
    int64_t right = (1 + b->typical) * b->same * a->lines;
    return left != right ? left > right : a->activation > b->activation;
}

/* Columns of table keys. */
struct key_columns {
    int64_t layer, neuron, sequence, activation;
};

static bool find_key_columns(const struct sonde_table *keys, struct key_columns *c)
{
    *c = (struct key_columns){ find_column(keys, "layer"), find_column(keys, "neuron"),
                               find_column(keys, "sequence"), find_column(keys, "activation") };
    return c->layer >= 0 && c->neuron >= 0 && c->sequence >= 0 && c->activation >= 0;
}

/* The neuron whose rows begin at `row`. */
static struct sonde_demo_neuron read_neuron(const struct sonde_demo_lines *lines,
                                            const struct sonde_table *keys,
                                            const struct key_columns *c, int64_t row)
{
    struct sonde_demo_neuron neuron = {
        .layer = integer_at(keys, row, c->layer),
        .neuron = integer_at(keys, row, c->neuron),
        .first = row,
        .n_rows = 1,
        .activation = keys->cell[row * keys->n_columns + c->activation].real,
    };
    while (row + neuron.n_rows < keys->n_rows &&
           integer_at(keys, row + neuron.n_rows, c->layer) == neuron.layer &&
           integer_at(keys, row + neuron.n_rows, c->neuron) == neuron.neuron)
        neuron.n_rows++;
    count_lines(lines, keys, c->sequence, &neuron);
    return neuron;
}

int64_t sonde_demo_pick_neurons(const struct sonde_demo_lines *lines,
                                const struct sonde_table *keys, const struct sonde_table *values,
                                struct sonde_demo_neuron *out, int64_t n)
{
    struct sonde_demo_neuron best[SONDE_DEMO_FIELDS_MAX] = { 0 }, now;
    struct key_columns columns;
    int64_t n_picked = 0, at = 0;
    if (!find_key_columns(keys, &columns))
        return 0;
    for (int64_t row = 0; row < keys->n_rows; row += now.n_rows) {
        now = read_neuron(lines, keys, &columns, row);
        count_typical(lines, values, &at, &now);
        if (now.lines >= LINES_MIN && 4 * now.same >= now.lines && 2 * now.words >= now.n_values &&
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

double sonde_demo_best_share(const struct sonde_demo_lines *lines, const struct sonde_table *keys)
{
    struct sonde_demo_neuron now;
    struct key_columns columns;
    double best = 0.0;
    if (!find_key_columns(keys, &columns))
        return best;
    for (int64_t row = 0; row < keys->n_rows; row += now.n_rows) {
        now = read_neuron(lines, keys, &columns, row);
        double share = now.lines >= LINES_MIN ? (double)now.same / (double)now.lines : 0.0;
        best = share > best ? share : best;
    }
    return best;
}

enum sonde_status sonde_demo_best_share_control(const struct sonde_demo_lines *lines,
                                                const struct sonde_table *keys, int64_t draws,
                                                uint64_t seed, double *out,
                                                struct sonde_error *error)
{
    struct sonde_demo_lines dealt = *lines;
    struct sonde_rng rng = sonde_rng_make(seed, 0);
    dealt.field = calloc(lines->n ? (size_t)lines->n : 1, sizeof(*dealt.field));
    if (!dealt.field)
        return sonde_error_memory(error, "a control");
    memcpy(dealt.field, lines->field, (size_t)lines->n * sizeof(*dealt.field));
    *out = 0.0;
    for (int64_t k = 0; k < draws; k++) {
        for (int64_t i = lines->n - 1; i > 0; i--) {
            int64_t j = sonde_rng_below(&rng, i + 1);
            int32_t field = dealt.field[i];
            dealt.field[i] = dealt.field[j];
            dealt.field[j] = field;
        }
        double share = sonde_demo_best_share(&dealt, keys);
        *out = share > *out ? share : *out;
    }
    free(dealt.field);
    return SONDE_STATUS_OK;
}
