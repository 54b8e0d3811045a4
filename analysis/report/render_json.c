#include "analysis/report/result.h"

#include <string.h>

static void put_cell(struct sonde_json_writer *w, const char *key, const struct sonde_cell *cell)
{
    switch (cell->kind) {
    case SONDE_CELL_NULL:
        sonde_json_put_null(w, key);
        break;
    case SONDE_CELL_TEXT:
        sonde_json_put_string(w, key, cell->text);
        break;
    case SONDE_CELL_INTEGER:
        sonde_json_put_i64(w, key, cell->integer);
        break;
    case SONDE_CELL_REAL:
        sonde_json_put_f64(w, key, cell->real);
        break;
    case SONDE_CELL_BOOL:
        sonde_json_put_bool(w, key, cell->integer != 0);
        break;
    }
}

static void put_parameters(struct sonde_json_writer *w, const char *key,
                           const struct sonde_result_parameter *parameter, int64_t n)
{
    sonde_json_begin_object(w, key);
    for (int64_t i = 0; i < n; i++)
        put_cell(w, parameter[i].name, &parameter[i].value);
    sonde_json_end_object(w);
}

static void put_table(struct sonde_json_writer *w, const struct sonde_table *t)
{
    sonde_json_begin_object(w, NULL);
    sonde_json_put_string(w, "name", t->name);
    int indent = w->indent;
    sonde_json_begin_array(w, "columns");
    w->indent = 0;
    for (int64_t c = 0; c < t->n_columns; c++)
        sonde_json_put_string(w, NULL, t->column[c]);
    sonde_json_end_array(w);
    w->indent = indent;
    sonde_json_begin_array(w, "rows");
    for (int64_t r = 0; r < t->n_rows; r++) {
        /* a row stays on one line, so that a document can be read and compared by line */
        sonde_json_begin_array(w, NULL);
        w->indent = 0;
        for (int64_t c = 0; c < t->n_columns; c++)
            put_cell(w, NULL, &t->cell[r * t->n_columns + c]);
        sonde_json_end_array(w);
        w->indent = indent;
    }
    sonde_json_end_array(w);
    sonde_json_end_object(w);
}

static void put_figure(struct sonde_json_writer *w, const struct sonde_figure *f, const char *files)
{
    sonde_json_begin_object(w, NULL);
    sonde_json_put_string(w, "name", f->name);
    sonde_json_put_string(w, "kind", sonde_figure_kind_name(f->kind));
    sonde_json_begin_array(w, "files");
    while (files && *files) {
        size_t n = strcspn(files, "\n");
        sonde_json_put_string_n(w, NULL, files, n);
        files += files[n] ? n + 1 : n;
    }
    sonde_json_end_array(w);
    sonde_json_end_object(w);
}

enum sonde_status sonde_render_json(const struct sonde_result *r, struct sonde_buf *out,
                                    struct sonde_error *error)
{
    struct sonde_json_writer w = { .out = out, .indent = 2 };
    sonde_json_begin_object(&w, NULL);
    sonde_json_put_string(&w, "sonde", SONDE_VERSION);
    sonde_json_put_string(&w, "command", r->command);
    put_parameters(&w, "parameters", r->parameter, r->n_parameters);
    put_parameters(&w, "scalars", r->scalar, r->n_scalars);
    sonde_json_begin_array(&w, "tables");
    for (int64_t i = 0; i < r->n_tables; i++)
        put_table(&w, r->table[i]);
    sonde_json_end_array(&w);
    sonde_json_begin_array(&w, "figures");
    for (int64_t i = 0; i < r->n_figures; i++)
        put_figure(&w, r->figure[i], r->figure_files[i]);
    sonde_json_end_array(&w);
    sonde_json_begin_array(&w, "checks");
    for (int64_t i = 0; i < r->n_checks; i++) {
        sonde_json_begin_object(&w, NULL);
        sonde_json_put_string(&w, "name", r->check[i].name);
        sonde_json_put_bool(&w, "ok", r->check[i].ok);
        sonde_json_put_f64(&w, "value", r->check[i].value);
        sonde_json_put_string(&w, "limit", r->check[i].limit);
        sonde_json_end_object(&w);
    }
    sonde_json_end_array(&w);
    sonde_json_begin_array(&w, "warnings");
    for (int64_t i = 0; i < r->n_warnings; i++)
        sonde_json_put_string(&w, NULL, r->warning[i]);
    sonde_json_end_array(&w);
    sonde_json_end_object(&w);
    sonde_buf_putc(out, '\n');
    return sonde_buf_status(out, error);
}
