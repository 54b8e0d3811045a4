/*
 * Results as compact JSON, for the store. Texts are strings, or {"bytes": base64} where they are no
 * UTF-8 (tokens may be halves of a character). Reals always have a point or an exponent, so that
 * they come back as reals; those that are not finite are {"real": "nan"}. Matrices and series are
 * base64 of little-endian floats and doubles: exact, and a tenth of the memory of parsed numbers.
 */
#include "analysis/report/archive.h"

#include <math.h>
#include <string.h>

#include "analysis/report/result.h"
#include "core/base/base64.h"
#include "core/base/num.h"

const char *sonde_archive_kind_name(enum sonde_figure_kind kind)
{
    return kind == SONDE_FIGURE_GRID ? "grid" : sonde_figure_kind_name(kind);
}

static bool is_utf8(const char *text, size_t n)
{
    for (size_t i = 0; i < n;) {
        size_t length = sonde_str_sequence(text + i, n - i);
        if (length == 0)
            return false;
        i += length;
    }
    return true;
}

static void put_text(struct sonde_json_writer *w, const char *key, const char *text)
{
    if (!text) {
        sonde_json_put_null(w, key);
        return;
    }
    size_t n = strlen(text);
    if (is_utf8(text, n)) {
        sonde_json_put_string_n(w, key, text, n);
        return;
    }
    sonde_json_begin_object(w, key);
    struct sonde_buf base64 = { 0 };
    sonde_base64_encode(&base64, text, n);
    w->out->failed = w->out->failed || base64.failed;
    sonde_json_put_string(w, "bytes", base64.data ? base64.data : "");
    sonde_buf_finish(&base64);
    sonde_json_end_object(w);
}

static void put_real(struct sonde_json_writer *w, const char *key, double value)
{
    char text[SONDE_FORMAT_F64_MAX + 2];
    int n = sonde_format_f64_exact(text, value);
    if (!isfinite(value)) {
        sonde_json_begin_object(w, key);
        sonde_json_put_string(w, "real", text);
        sonde_json_end_object(w);
        return;
    }
    if (!strpbrk(text, ".e"))
        memcpy(text + n, ".0", 3);
    sonde_json_put_raw(w, key, text);
}

static void put_cell(struct sonde_json_writer *w, const char *key, const struct sonde_cell *cell)
{
    switch (cell->kind) {
    case SONDE_CELL_NULL:
        sonde_json_put_null(w, key);
        break;
    case SONDE_CELL_TEXT:
        put_text(w, key, cell->text);
        break;
    case SONDE_CELL_INTEGER:
        sonde_json_put_i64(w, key, cell->integer);
        break;
    case SONDE_CELL_REAL:
        put_real(w, key, cell->real);
        break;
    case SONDE_CELL_BOOL:
        sonde_json_put_bool(w, key, cell->integer != 0);
        break;
    }
}

static void put_parameters(struct sonde_json_writer *w, const char *key,
                           const struct sonde_result_parameter *parameter, int64_t n)
{
    sonde_json_begin_array(w, key);
    for (int64_t i = 0; i < n; i++) {
        sonde_json_begin_array(w, NULL);
        put_text(w, NULL, parameter[i].name);
        put_cell(w, NULL, &parameter[i].value);
        sonde_json_end_array(w);
    }
    sonde_json_end_array(w);
}

static void put_texts(struct sonde_json_writer *w, const char *key, char *const *text, int64_t n)
{
    if (!text) {
        sonde_json_put_null(w, key);
        return;
    }
    sonde_json_begin_array(w, key);
    for (int64_t i = 0; i < n; i++)
        put_text(w, NULL, text[i]);
    sonde_json_end_array(w);
}

static void put_table(struct sonde_json_writer *w, const struct sonde_table *t)
{
    sonde_json_begin_object(w, NULL);
    put_text(w, "name", t->name);
    put_texts(w, "columns", t->column, t->n_columns);
    sonde_json_put_i64(w, "n_rows", t->n_rows);
    sonde_json_begin_array(w, "cells");
    for (int64_t i = 0; i < t->n_rows * t->n_columns; i++)
        put_cell(w, NULL, &t->cell[i]);
    sonde_json_end_array(w);
    sonde_json_end_object(w);
}

static void put_base64(struct sonde_json_writer *w, const char *key, const struct sonde_buf *bytes)
{
    struct sonde_buf base64 = { 0 };
    sonde_base64_encode(&base64, bytes->data, bytes->size);
    w->out->failed = w->out->failed || base64.failed || bytes->failed;
    sonde_json_put_string(w, key, base64.data ? base64.data : "");
    sonde_buf_finish(&base64);
}

static void put_bytes(struct sonde_buf *out, uint64_t word, int n)
{
    char byte[8];
    for (int i = 0; i < n; i++)
        byte[i] = (char)(word >> (8 * i) & 0xff);
    sonde_buf_append(out, byte, (size_t)n);
}

static void put_matrix(struct sonde_json_writer *w, int64_t rows, int64_t columns,
                       const float *value)
{
    struct sonde_buf bytes = { 0 };
    for (int64_t i = 0; i < rows * columns; i++) {
        uint32_t word;
        memcpy(&word, &value[i], sizeof(word));
        put_bytes(&bytes, word, 4);
    }
    sonde_json_put_i64(w, "rows", rows);
    sonde_json_put_i64(w, "columns", columns);
    put_base64(w, "f32", &bytes);
    sonde_buf_finish(&bytes);
}

static void put_doubles(struct sonde_json_writer *w, const char *key, const double *value,
                        int64_t n)
{
    if (!value) {
        sonde_json_put_null(w, key);
        return;
    }
    struct sonde_buf bytes = { 0 };
    for (int64_t i = 0; i < n; i++) {
        uint64_t word;
        memcpy(&word, &value[i], sizeof(word));
        put_bytes(&bytes, word, 8);
    }
    put_base64(w, key, &bytes);
    sonde_buf_finish(&bytes);
}

static void put_axis(struct sonde_json_writer *w, const char *key, const struct sonde_axis *axis)
{
    sonde_json_begin_object(w, key);
    put_text(w, "title", axis->title);
    put_texts(w, "ticks", axis->tick, axis->n_ticks);
    sonde_json_end_object(w);
}

static void put_series(struct sonde_json_writer *w, const struct sonde_figure *f)
{
    sonde_json_begin_array(w, "series");
    for (int64_t i = 0; i < f->n_series; i++) {
        const struct sonde_series *s = &f->series[i];
        sonde_json_begin_object(w, NULL);
        put_text(w, "name", s->name);
        sonde_json_put_i64(w, "n", s->n);
        put_doubles(w, "x", s->x, s->n);
        put_doubles(w, "y", s->y, s->n);
        put_doubles(w, "low", s->low, s->n);
        put_doubles(w, "high", s->high, s->n);
        sonde_json_end_object(w);
    }
    sonde_json_end_array(w);
}

static void put_panels(struct sonde_json_writer *w, const struct sonde_figure *f)
{
    sonde_json_put_i64(w, "panel_columns", f->panel_columns);
    sonde_json_begin_array(w, "panels");
    for (int64_t i = 0; i < f->n_panels; i++) {
        sonde_json_begin_object(w, NULL);
        put_text(w, "title", f->panel[i].title);
        put_matrix(w, f->panel[i].rows, f->panel[i].columns, f->panel[i].value);
        sonde_json_end_object(w);
    }
    sonde_json_end_array(w);
}

static void put_figure(struct sonde_json_writer *w, const struct sonde_figure *f, const char *files)
{
    sonde_json_begin_object(w, NULL);
    sonde_json_put_string(w, "kind", sonde_archive_kind_name(f->kind));
    put_text(w, "name", f->name);
    put_text(w, "title", f->title);
    put_text(w, "caption", f->caption);
    put_text(w, "files", files);
    put_axis(w, "x", &f->x);
    put_axis(w, "y", &f->y);
    sonde_json_put_bool(w, "diverging", f->colormap == SONDE_COLORMAP_DIVERGING);
    sonde_json_put_bool(w, "has_limits", f->has_limits);
    put_real(w, "low", f->low);
    put_real(w, "high", f->high);
    put_text(w, "scale_title", f->scale_title);
    sonde_json_put_bool(w, "y_from_top", f->y_from_top);
    if (f->value) {
        sonde_json_begin_object(w, "matrix");
        put_matrix(w, f->rows, f->columns, f->value);
        sonde_json_end_object(w);
    }
    if (f->cell_text)
        put_texts(w, "cell_text", f->cell_text, f->rows * f->columns);
    put_series(w, f);
    put_real(w, "reference", f->reference);
    put_text(w, "reference_name", f->reference_name);
    put_panels(w, f);
    sonde_json_end_object(w);
}

enum sonde_status sonde_result_archive(const struct sonde_result *r, struct sonde_buf *out,
                                       struct sonde_error *error)
{
    struct sonde_json_writer w = { .out = out };
    sonde_json_begin_object(&w, NULL);
    sonde_json_put_i64(&w, "sonde_result", SONDE_ARCHIVE_VERSION);
    put_text(&w, "command", r->command);
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
        put_text(&w, "name", r->check[i].name);
        sonde_json_put_bool(&w, "ok", r->check[i].ok);
        put_real(&w, "value", r->check[i].value);
        put_text(&w, "limit", r->check[i].limit);
        sonde_json_end_object(&w);
    }
    sonde_json_end_array(&w);
    put_texts(&w, "warnings", r->warning ? r->warning : (char *const[]){ NULL }, r->n_warnings);
    sonde_json_end_object(&w);
    return sonde_buf_status(out, error);
}
