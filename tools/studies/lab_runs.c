/* What a lab does with models and its store: recording, labels, probes. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/json.h"
#include "tools/probing.h"
#include "tools/recording.h"
#include "tools/studies/lab.h"

static enum sonde_status describe(const struct sonde_lab_strings *strings, int64_t n,
                                  int64_t pad_to, struct sonde_buf *out, struct sonde_error *error)
{
    struct sonde_json_writer w = { .out = out };
    sonde_json_begin_object(&w, NULL);
    sonde_json_put_string(&w, "kind", "strings");
    sonde_json_put_string(&w, "language", sonde_formal_name(strings->formal));
    sonde_json_put_string(&w, "origin", strings->origin);
    sonde_json_put_i64(&w, "strings", n);
    sonde_json_put_i64(&w, "pad_to", pad_to);
    sonde_json_end_object(&w);
    return sonde_buf_status(out, error);
}

enum sonde_status sonde_lab_record(struct sonde_lab *lab, const struct sonde_model *model,
                                   const struct sonde_lab_strings *strings,
                                   const struct sonde_lab_recording *what,
                                   struct sonde_error *error)
{
    struct sonde_lab_reader reader = { 0 };
    struct sonde_recording recording = { 0 };
    struct sonde_buf input = { 0 };
    struct sonde_recording_options options = {
        .store = lab->store,
        .sites = what->sites,
        .bos = "never",
        .dtype = SONDE_DTYPE_F32,
        .codec = SONDE_CODEC_NONE,
    };
    enum sonde_status status =
        sonde_lab_reader_open(&reader, strings, what->n, what->pad_to, error);
    if (!status)
        status = describe(strings, reader.n, what->pad_to, &input, error);
    if (!status)
        status = sonde_recording_open(&recording, lab->cli, model, &options, error);
    if (!status)
        status = sonde_recording_run(&recording, what->name, input.data, what->edits,
                                     &reader.reader, error);
    if (status == SONDE_STATUS_CANCELLED)
        sonde_error_set(error, status, "stopped");
    sonde_recording_close(&recording);
    sonde_buf_finish(&input);
    sonde_lab_reader_finish(&reader);
    return status;
}

/* The labels of one string whose first token has row `row`; n_tokens may be more than its symbols.
 */
struct labels {
    struct sonde_label_writer *writer;
    struct sonde_formal_walk walk;
    struct sonde_formal_label label;
    struct sonde_buf value;
    bool real, per_length; /* per_length: the number over the length so far */
    enum sonde_lab_pads pads;
};

static enum sonde_status put_label(struct labels *l, int64_t row, bool pad,
                                   struct sonde_error *error)
{
    if (l->real) {
        double value = pad ? 0 : sonde_formal_number(&l->walk, &l->label);
        if (l->per_length && !pad)
            value /= (double)l->walk.at.length;
        return sonde_store_label_real(l->writer, row, value, error);
    }
    sonde_buf_clear(&l->value);
    if (pad)
        sonde_buf_puts(&l->value, "0");
    else
        sonde_formal_text(&l->walk, &l->label, &l->value);
    enum sonde_status status = sonde_buf_status(&l->value, error);
    return status ? status : sonde_store_label_class(l->writer, row, l->value.data, error);
}

static enum sonde_status label_string(struct labels *l, const struct sonde_formal *formal,
                                      const char *text, int64_t n, int64_t row, int64_t n_tokens,
                                      struct sonde_error *error)
{
    enum sonde_status status = SONDE_STATUS_OK;
    sonde_formal_walk_start(&l->walk, formal);
    for (int64_t t = 0; !status && t < n_tokens; t++) {
        if (t < n)
            status = sonde_formal_walk_step(&l->walk, text[t], error);
        else if (l->pads == SONDE_LAB_PADS_MASKED)
            return SONDE_STATUS_OK;
        if (!status)
            status = put_label(l, row + t, t >= n, error);
    }
    return status;
}

static enum sonde_status label_all(struct labels *l, const struct sonde_source *source,
                                   const struct sonde_lab_strings *strings,
                                   struct sonde_error *error)
{
    enum sonde_status status = SONDE_STATUS_OK;
    for (int64_t i = 0; !status && i < source->n_sequences && i < strings->n; i++) {
        int64_t n;
        const char *text = sonde_lab_string(strings, i, &n);
        status = label_string(l, strings->formal, text, n, source->sequences[i].first_row,
                              source->sequences[i].n_tokens, error);
    }
    return status;
}

enum sonde_status sonde_lab_label(struct sonde_lab *lab, const char *run,
                                  const struct sonde_lab_strings *strings, const char *variable,
                                  bool real, enum sonde_lab_pads pads, const char *set,
                                  struct sonde_error *error)
{
    struct sonde_store *store = NULL;
    struct sonde_source *source = NULL;
    struct labels l = { .real = real, .pads = pads };
    char origin[128];
    int64_t n_labelled = 0;
    snprintf(origin, sizeof(origin), "%s of %s%s", variable, sonde_formal_name(strings->formal),
             pads == SONDE_LAB_PADS_ZERO ? ", 0 at pads" : "");
    char name[32];
    snprintf(name, sizeof(name), "%s", variable);
    char *slash = strchr(name, '/');
    l.per_length = slash && strcmp(slash, "/length") == 0;
    if (l.per_length)
        *slash = '\0';
    enum sonde_status status = sonde_formal_find_label(strings->formal, name, &l.label, error);
    if (!status)
        status = sonde_store_open(&store, lab->store, SONDE_STORE_WRITE, error);
    if (!status)
        status = sonde_store_open_source(store, run, 0, &source, error);
    if (!status)
        status =
            sonde_store_label_begin(store, run, set, real ? SONDE_LABEL_REAL : SONDE_LABEL_CLASS,
                                    SONDE_ROWS_TOKEN, origin, false, &l.writer, error);
    if (!status)
        status = label_all(&l, source, strings, error);
    if (!status)
        status = sonde_store_label_commit(&l.writer, &n_labelled, error);
    else if (l.writer)
        sonde_store_label_abandon(&l.writer);
    sonde_formal_walk_finish(&l.walk);
    sonde_buf_finish(&l.value);
    if (source)
        source->destroy(&source);
    sonde_store_close(&store);
    return status;
}

#define OPTIONS_MAX 32

enum sonde_status sonde_lab_probe(struct sonde_lab *lab, const char *run, const char *probe,
                                  const char *const *options, struct sonde_result **out,
                                  struct sonde_error *error)
{
    const char *name[OPTIONS_MAX], *value[OPTIONS_MAX];
    int64_t n = 0;
    for (; options[2 * n] && n < OPTIONS_MAX; n++) {
        name[n] = options[2 * n];
        value[n] = options[2 * n + 1];
    }
    const struct sonde_probing what = {
        .store = lab->store,
        .run = run,
        .probe = probe,
        .values = { name, value, n },
        .keep = true,
    };
    enum sonde_status status = sonde_probing_store(lab->cli, &what, out, error);
    lab->n_probes += status == SONDE_STATUS_OK;
    return status;
}

static const struct sonde_table *find_table(const struct sonde_result *result, const char *name)
{
    for (int64_t i = 0; i < result->n_tables; i++)
        if (strcmp(result->table[i]->name, name) == 0)
            return result->table[i];
    return NULL;
}

static const struct sonde_cell *find_cell(const struct sonde_result *result, const char *table,
                                          int64_t row, const char *column)
{
    const struct sonde_table *t = find_table(result, table);
    for (int64_t c = 0; t && row < t->n_rows && c < t->n_columns; c++)
        if (strcmp(t->column[c], column) == 0)
            return &t->cell[row * t->n_columns + c];
    return NULL;
}

static double number(const struct sonde_cell *cell)
{
    if (cell && cell->kind == SONDE_CELL_REAL)
        return cell->real;
    return cell && cell->kind == SONDE_CELL_INTEGER ? (double)cell->integer : (double)NAN;
}

double sonde_lab_cell(const struct sonde_result *result, const char *table, int64_t row,
                      const char *column)
{
    return number(find_cell(result, table, row, column));
}

const char *sonde_lab_cell_text(const struct sonde_result *result, const char *table, int64_t row,
                                const char *column)
{
    const struct sonde_cell *cell = find_cell(result, table, row, column);
    return cell && cell->kind == SONDE_CELL_TEXT && cell->text ? cell->text : "";
}

int64_t sonde_lab_rows(const struct sonde_result *result, const char *table)
{
    const struct sonde_table *t = find_table(result, table);
    return t ? t->n_rows : 0;
}

double sonde_lab_scalar(const struct sonde_result *result, const char *name)
{
    for (int64_t i = 0; i < result->n_scalars; i++)
        if (strcmp(result->scalar[i].name, name) == 0)
            return number(&result->scalar[i].value);
    return (double)NAN;
}
