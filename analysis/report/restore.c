#include "analysis/report/result.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/report/archive.h"
#include "core/base/base64.h"
#include "core/base/num.h"

#define ITEMS_MAX 65536
#define CELLS_MAX ((int64_t)1 << 32)
#define SIDE_MAX ((int64_t)1 << 31)

/* The archive at hand: where the reader is, for messages. */
struct reader {
    struct sonde_result *result;
    struct sonde_error *error;
    struct sonde_buf text; /* bytes of a text that is no UTF-8 */
};

static enum sonde_status wrong(struct reader *r, const char *what, const struct sonde_json *found,
                               const char *expected)
{
    return sonde_error_set(r->error, SONDE_STATUS_FORMAT, "%s: found %s, expected %s", what,
                           sonde_json_type_name(sonde_json_type(found)), expected);
}

/* A text or NULL for null. *text is valid until the next call. */
static enum sonde_status read_text(struct reader *r, const struct sonde_json *value,
                                   const char *what, bool required, const char **text)
{
    *text = NULL;
    enum sonde_json_type type = sonde_json_type(value);
    if (!required && (type == SONDE_JSON_NULL || type == SONDE_JSON_ABSENT))
        return SONDE_STATUS_OK;
    if (type == SONDE_JSON_STRING) {
        *text = sonde_json_string(value, "");
        if (strlen(*text) != sonde_json_string_size(value))
            return sonde_error_set(r->error, SONDE_STATUS_FORMAT, "%s: has a NUL character inside",
                                   what);
        return SONDE_STATUS_OK;
    }
    const struct sonde_json *bytes = sonde_json_get(value, "bytes");
    if (sonde_json_type(bytes) != SONDE_JSON_STRING)
        return wrong(r, what, value, "a text");
    sonde_buf_clear(&r->text);
    if (!sonde_base64_decode(&r->text, sonde_json_string(bytes, ""), sonde_json_string_size(bytes)))
        return r->text.failed
                   ? sonde_error_memory(r->error, what)
                   : sonde_error_set(r->error, SONDE_STATUS_FORMAT, "%s: is no base64", what);
    *text = r->text.data ? r->text.data : "";
    if (strlen(*text) != r->text.size)
        return sonde_error_set(r->error, SONDE_STATUS_FORMAT, "%s: has a NUL character inside",
                               what);
    return SONDE_STATUS_OK;
}

static enum sonde_status read_real(struct reader *r, const struct sonde_json *value,
                                   const char *what, double *out)
{
    enum sonde_json_type type = sonde_json_type(value);
    if (type == SONDE_JSON_REAL || type == SONDE_JSON_INTEGER) {
        *out = sonde_json_real(value, 0);
        return SONDE_STATUS_OK;
    }
    const char *text = sonde_json_string(sonde_json_get(value, "real"), "");
    if (strcmp(text, "nan") == 0 || strcmp(text, "-nan") == 0)
        *out = (double)NAN;
    else if (strcmp(text, "inf") == 0)
        *out = (double)INFINITY;
    else if (strcmp(text, "-inf") == 0)
        *out = -(double)INFINITY;
    else
        return wrong(r, what, value, "a real number");
    return SONDE_STATUS_OK;
}

/* The array with this key; its size is checked against `max`. */
static enum sonde_status read_array(struct reader *r, const struct sonde_json *object,
                                    const char *key, int64_t max, const struct sonde_json **out)
{
    const struct sonde_json *array = sonde_json_get(object, key);
    if (sonde_json_type(array) != SONDE_JSON_ARRAY)
        return wrong(r, key, array, "an array");
    if (sonde_json_size(array) > max)
        return sonde_error_set(r->error, SONDE_STATUS_LIMIT,
                               "%s: %lld items, expected at most %lld", key,
                               (long long)sonde_json_size(array), (long long)max);
    *out = array;
    return SONDE_STATUS_OK;
}

/* Makes a cell from JSON; its text is a copy. */
static enum sonde_status read_cell(struct reader *r, const struct sonde_json *value,
                                   const char *what, struct sonde_cell *out)
{
    struct sonde_cell cell = { .kind = SONDE_CELL_NULL };
    enum sonde_status status = SONDE_STATUS_OK;
    const char *text;
    switch (sonde_json_type(value)) {
    case SONDE_JSON_NULL:
        break;
    case SONDE_JSON_INTEGER:
        cell.kind = SONDE_CELL_INTEGER;
        cell.integer = sonde_json_integer(value, 0);
        break;
    case SONDE_JSON_BOOL:
        cell.kind = SONDE_CELL_BOOL;
        cell.integer = sonde_json_bool(value, false);
        break;
    case SONDE_JSON_REAL:
        cell.kind = SONDE_CELL_REAL;
        cell.real = sonde_json_real(value, 0);
        break;
    case SONDE_JSON_OBJECT:
    case SONDE_JSON_STRING:
        if (sonde_json_get(value, "real")) {
            cell.kind = SONDE_CELL_REAL;
            status = read_real(r, value, what, &cell.real);
            break;
        }
        cell.kind = SONDE_CELL_TEXT;
        status = read_text(r, value, what, true, &text);
        if (status != SONDE_STATUS_OK)
            break;
        cell.text = sonde_strdup(text);
        if (!cell.text)
            status = sonde_error_memory(r->error, what);
        break;
    case SONDE_JSON_ABSENT:
    case SONDE_JSON_ARRAY:
        status = wrong(r, what, value, "a cell");
        break;
    }
    if (status == SONDE_STATUS_OK)
        *out = cell;
    return status;
}

static void add_parameter(struct sonde_result *result, bool scalar, const char *name,
                          const struct sonde_cell *cell)
{
    switch (cell->kind) {
    case SONDE_CELL_NULL:
        sonde_result_parameter_text(result, name, NULL);
        break;
    case SONDE_CELL_TEXT:
        sonde_result_parameter_text(result, name, cell->text);
        break;
    case SONDE_CELL_INTEGER:
        if (scalar)
            sonde_result_scalar_i64(result, name, cell->integer);
        else
            sonde_result_parameter_i64(result, name, cell->integer);
        break;
    case SONDE_CELL_REAL:
        if (scalar)
            sonde_result_scalar_f64(result, name, cell->real);
        else
            sonde_result_parameter_f64(result, name, cell->real);
        break;
    case SONDE_CELL_BOOL:
        sonde_result_parameter_bool(result, name, cell->integer != 0);
        break;
    }
}

static enum sonde_status read_parameters(struct reader *r, const struct sonde_json *root,
                                         const char *key, bool scalar)
{
    const struct sonde_json *array;
    enum sonde_status status = read_array(r, root, key, ITEMS_MAX, &array);
    for (int64_t i = 0; status == SONDE_STATUS_OK && i < sonde_json_size(array); i++) {
        const struct sonde_json *pair = sonde_json_at(array, i);
        struct sonde_cell cell = { .kind = SONDE_CELL_NULL };
        const char *text;
        status = read_text(r, sonde_json_at(pair, 0), key, true, &text);
        char *name = status == SONDE_STATUS_OK ? sonde_strdup(text) : NULL;
        if (status == SONDE_STATUS_OK && !name)
            status = sonde_error_memory(r->error, key);
        if (status == SONDE_STATUS_OK)
            status = read_cell(r, sonde_json_at(pair, 1), key, &cell);
        if (status == SONDE_STATUS_OK && scalar && cell.kind != SONDE_CELL_INTEGER &&
            cell.kind != SONDE_CELL_REAL)
            status = wrong(r, key, sonde_json_at(pair, 1), "a number");
        if (status == SONDE_STATUS_OK)
            add_parameter(r->result, scalar, name, &cell);
        free(cell.text);
        free(name);
    }
    return status;
}

static void free_texts(char **text, int64_t n)
{
    for (int64_t i = 0; text && i < n; i++)
        free(text[i]);
    free(text);
}

/* An array of texts as a NULL-terminated heap array. Entries may be NULL where `holes`. */
static enum sonde_status read_texts(struct reader *r, const struct sonde_json *array,
                                    const char *what, bool holes, char ***out)
{
    int64_t n = sonde_json_size(array);
    char **text = calloc((size_t)n + 1, sizeof(*text));
    enum sonde_status status = text ? SONDE_STATUS_OK : sonde_error_memory(r->error, what);
    for (int64_t i = 0; status == SONDE_STATUS_OK && i < n; i++) {
        const char *one;
        status = read_text(r, sonde_json_at(array, i), what, !holes, &one);
        if (status == SONDE_STATUS_OK && one) {
            text[i] = sonde_strdup(one);
            if (!text[i])
                status = sonde_error_memory(r->error, what);
        }
    }
    if (status == SONDE_STATUS_OK)
        *out = text;
    else
        free_texts(text, n);
    return status;
}

static enum sonde_status fill_table(struct reader *r, struct sonde_table *t, int64_t n_rows,
                                    const struct sonde_json *cells)
{
    int64_t expected;
    if (!sonde_mul_i64(n_rows, t->n_columns, &expected) || expected != sonde_json_size(cells))
        return sonde_error_set(
            r->error, SONDE_STATUS_FORMAT, "%lld cells, expected %lld rows of %lld columns",
            (long long)sonde_json_size(cells), (long long)n_rows, (long long)t->n_columns);
    /* rows of no columns hold nothing that bounds their number */
    if (t->n_columns == 0 && n_rows > 0)
        return sonde_error_set(r->error, SONDE_STATUS_FORMAT, "%lld rows without columns",
                               (long long)n_rows);
    if (t->n_columns == 0)
        return SONDE_STATUS_OK;
    enum sonde_status status = SONDE_STATUS_OK;
    for (int64_t i = 0; i < expected && status == SONDE_STATUS_OK; i++) {
        if (i % t->n_columns == 0)
            sonde_table_add_row(t);
        if (r->result->failed)
            return sonde_error_memory(r->error, "a table");
        status = read_cell(r, sonde_json_at(cells, i), "cells", &t->cell[i]);
    }
    return status;
}

static enum sonde_status read_table(struct reader *r, const struct sonde_json *value)
{
    const struct sonde_json *columns, *cells;
    int64_t n_rows = 0;
    const char *name;
    char **column = NULL;
    enum sonde_status status = read_array(r, value, "columns", ITEMS_MAX, &columns);
    if (status == SONDE_STATUS_OK)
        status = read_array(r, value, "cells", CELLS_MAX, &cells);
    if (status == SONDE_STATUS_OK)
        status = sonde_json_read_i64(value, "n_rows", 0, 0, CELLS_MAX, &n_rows, r->error);
    if (status == SONDE_STATUS_OK)
        status = read_texts(r, columns, "columns", false, &column);
    if (status == SONDE_STATUS_OK)
        status = read_text(r, sonde_json_get(value, "name"), "name", true, &name);
    if (status == SONDE_STATUS_OK) {
        struct sonde_table *t =
            sonde_result_add_table(r->result, name, (const char *const *)column);
        status = t ? fill_table(r, t, n_rows, cells) : sonde_error_memory(r->error, "a table");
    }
    free_texts(column, column ? sonde_json_size(columns) : 0);
    return status;
}

/* Numbers of `size` bytes from base64 into a heap array of n; the count must be exact. */
static enum sonde_status read_numbers(struct reader *r, const struct sonde_json *value,
                                      const char *what, int64_t n, size_t size, void **out)
{
    struct sonde_buf bytes = { 0 };
    enum sonde_status status = SONDE_STATUS_OK;
    if (sonde_json_type(value) != SONDE_JSON_STRING)
        return wrong(r, what, value, "numbers as base64");
    if (!sonde_base64_decode(&bytes, sonde_json_string(value, ""), sonde_json_string_size(value)))
        status = bytes.failed
                     ? sonde_error_memory(r->error, what)
                     : sonde_error_set(r->error, SONDE_STATUS_FORMAT, "%s: is no base64", what);
    if (status == SONDE_STATUS_OK && (bytes.size % size != 0 || bytes.size / size != (size_t)n))
        status = sonde_error_set(r->error, SONDE_STATUS_FORMAT,
                                 "%s: %zu bytes, expected %lld values of %zu", what, bytes.size,
                                 (long long)n, size);
    unsigned char *made = status == SONDE_STATUS_OK ? malloc(bytes.size + 1) : NULL;
    if (status == SONDE_STATUS_OK && !made)
        status = sonde_error_memory(r->error, what);
    for (size_t i = 0; status == SONDE_STATUS_OK && i < (size_t)n; i++) {
        const unsigned char *b = (const unsigned char *)bytes.data + i * size;
        uint64_t word = 0;
        for (size_t k = 0; k < size; k++)
            word |= (uint64_t)b[k] << (8 * k);
        uint32_t half = (uint32_t)word;
        memcpy(made + i * size, size == 4 ? (const void *)&half : (const void *)&word, size);
    }
    sonde_buf_finish(&bytes);
    if (status == SONDE_STATUS_OK)
        *out = made;
    return status;
}

static enum sonde_status read_matrix(struct reader *r, const struct sonde_json *value,
                                     int64_t *rows, int64_t *columns, float **out)
{
    int64_t n;
    enum sonde_status status = sonde_json_read_i64(value, "rows", 0, 0, SIDE_MAX, rows, r->error);
    if (status == SONDE_STATUS_OK)
        status = sonde_json_read_i64(value, "columns", 0, 0, SIDE_MAX, columns, r->error);
    if (status != SONDE_STATUS_OK)
        return status;
    if (!sonde_mul_i64(*rows, *columns, &n))
        return sonde_error_set(r->error, SONDE_STATUS_LIMIT, "%lld x %lld values do not fit",
                               (long long)*rows, (long long)*columns);
    void *made = NULL;
    status = read_numbers(r, sonde_json_get(value, "f32"), "f32", n, 4, &made);
    *out = made;
    return status;
}

static enum sonde_status read_axis(struct reader *r, struct sonde_figure *f,
                                   struct sonde_axis *axis, const struct sonde_json *value,
                                   char **title)
{
    const struct sonde_json *ticks = sonde_json_get(value, "ticks");
    const char *text;
    char **label = NULL;
    enum sonde_status status = read_text(r, sonde_json_get(value, "title"), "title", false, &text);
    if (status == SONDE_STATUS_OK && text) {
        *title = sonde_strdup(text);
        f->failed = f->failed || !*title;
    }
    if (status != SONDE_STATUS_OK || sonde_json_type(ticks) != SONDE_JSON_ARRAY)
        return status;
    status = read_texts(r, ticks, "ticks", false, &label);
    if (status == SONDE_STATUS_OK)
        sonde_figure_set_ticks(f, axis, (const char *const *)label, sonde_json_size(ticks));
    free_texts(label, label ? sonde_json_size(ticks) : 0);
    return status;
}

static enum sonde_status read_cell_texts(struct reader *r, struct sonde_figure *f,
                                         const struct sonde_json *array)
{
    if (!array)
        return SONDE_STATUS_OK;
    if (sonde_json_size(array) != f->rows * f->columns)
        return sonde_error_set(
            r->error, SONDE_STATUS_FORMAT, "cell_text: %lld texts, expected %lld x %lld",
            (long long)sonde_json_size(array), (long long)f->rows, (long long)f->columns);
    for (int64_t i = 0; i < sonde_json_size(array); i++) {
        const char *text;
        enum sonde_status status = read_text(r, sonde_json_at(array, i), "cell_text", false, &text);
        if (status != SONDE_STATUS_OK)
            return status;
        sonde_figure_set_cell_text(f, i / f->columns, i % f->columns, text);
    }
    return SONDE_STATUS_OK;
}

static enum sonde_status read_series(struct reader *r, struct sonde_figure *f,
                                     const struct sonde_json *value)
{
    static const char *const key[4] = { "x", "y", "low", "high" };
    void *part[4] = { NULL, NULL, NULL, NULL };
    int64_t n = 0;
    const char *name = NULL;
    enum sonde_status status = sonde_json_read_i64(value, "n", 0, 0, SIDE_MAX, &n, r->error);
    for (int k = 0; k < 4 && status == SONDE_STATUS_OK; k++) {
        const struct sonde_json *numbers = sonde_json_get(value, key[k]);
        if (k < 2 || sonde_json_type(numbers) != SONDE_JSON_NULL)
            status = read_numbers(r, numbers, key[k], n, 8, &part[k]);
    }
    if (status == SONDE_STATUS_OK)
        status = read_text(r, sonde_json_get(value, "name"), "name", false, &name);
    if (status == SONDE_STATUS_OK)
        sonde_figure_add_series(f, name, n, part[0], part[1], part[2], part[3]);
    for (int k = 0; k < 4; k++)
        free(part[k]);
    return status;
}

static enum sonde_status read_panels(struct reader *r, struct sonde_figure *f,
                                     const struct sonde_json *value)
{
    const struct sonde_json *panels;
    enum sonde_status status = read_array(r, value, "panels", ITEMS_MAX, &panels);
    for (int64_t i = 0; status == SONDE_STATUS_OK && i < sonde_json_size(panels); i++) {
        const struct sonde_json *panel = sonde_json_at(panels, i);
        int64_t rows = 0, columns = 0;
        float *made = NULL;
        const char *title = NULL;
        status = read_matrix(r, panel, &rows, &columns, &made);
        if (status == SONDE_STATUS_OK)
            status = read_text(r, sonde_json_get(panel, "title"), "title", false, &title);
        if (status == SONDE_STATUS_OK)
            sonde_figure_add_panel(f, title, rows, columns, made);
        free(made);
    }
    return status;
}

/* What is drawn: matrix, texts in cells, series, panels. */
static enum sonde_status read_figure_data(struct reader *r, struct sonde_figure *f,
                                          const struct sonde_json *value)
{
    const struct sonde_json *matrix = sonde_json_get(value, "matrix"), *series;
    enum sonde_status status = SONDE_STATUS_OK;
    if (matrix) {
        int64_t rows = 0, columns = 0;
        float *made = NULL;
        status = read_matrix(r, matrix, &rows, &columns, &made);
        if (status == SONDE_STATUS_OK)
            sonde_figure_set_matrix(f, rows, columns, made);
        free(made);
        if (f->failed && status == SONDE_STATUS_OK)
            status = sonde_error_memory(r->error, "a figure");
    }
    if (status == SONDE_STATUS_OK)
        status = read_cell_texts(r, f, sonde_json_get(value, "cell_text"));
    if (status == SONDE_STATUS_OK)
        status = read_array(r, value, "series", ITEMS_MAX, &series);
    for (int64_t i = 0; status == SONDE_STATUS_OK && i < sonde_json_size(series); i++)
        status = read_series(r, f, sonde_json_at(series, i));
    return status == SONDE_STATUS_OK ? read_panels(r, f, value) : status;
}

/* A text member into *slot (a heap copy). */
static enum sonde_status read_slot(struct reader *r, struct sonde_figure *f,
                                   const struct sonde_json *value, const char *key, char **slot)
{
    const char *text;
    enum sonde_status status = read_text(r, sonde_json_get(value, key), key, false, &text);
    if (status == SONDE_STATUS_OK && text) {
        free(*slot);
        *slot = sonde_strdup(text);
        f->failed = f->failed || !*slot;
    }
    return status;
}

static enum sonde_status read_figure_head(struct reader *r, struct sonde_figure *f,
                                          const struct sonde_json *value)
{
    bool diverging = false;
    enum sonde_status status = read_slot(r, f, value, "title", &f->title);
    if (status == SONDE_STATUS_OK)
        status = read_slot(r, f, value, "caption", &f->caption);
    if (status == SONDE_STATUS_OK)
        status = read_slot(r, f, value, "scale_title", &f->scale_title);
    if (status == SONDE_STATUS_OK)
        status = read_slot(r, f, value, "reference_name", &f->reference_name);
    if (status == SONDE_STATUS_OK)
        status = sonde_json_read_bool(value, "diverging", false, &diverging, r->error);
    if (status == SONDE_STATUS_OK)
        status = sonde_json_read_bool(value, "has_limits", false, &f->has_limits, r->error);
    if (status == SONDE_STATUS_OK)
        status = sonde_json_read_bool(value, "y_from_top", false, &f->y_from_top, r->error);
    if (status == SONDE_STATUS_OK)
        status = read_real(r, sonde_json_get(value, "low"), "low", &f->low);
    if (status == SONDE_STATUS_OK)
        status = read_real(r, sonde_json_get(value, "high"), "high", &f->high);
    if (status == SONDE_STATUS_OK)
        status = read_real(r, sonde_json_get(value, "reference"), "reference", &f->reference);
    if (status == SONDE_STATUS_OK)
        status = sonde_json_read_i64(value, "panel_columns", 0, 0, SIDE_MAX, &f->panel_columns,
                                     r->error);
    if (status == SONDE_STATUS_OK)
        status = read_axis(r, f, &f->x, sonde_json_get(value, "x"), &f->x.title);
    if (status == SONDE_STATUS_OK)
        status = read_axis(r, f, &f->y, sonde_json_get(value, "y"), &f->y.title);
    f->colormap = diverging ? SONDE_COLORMAP_DIVERGING : SONDE_COLORMAP_SEQUENTIAL;
    return status;
}

static enum sonde_status read_figure(struct reader *r, const struct sonde_json *value)
{
    const char *kind = sonde_json_string(sonde_json_get(value, "kind"), ""), *text;
    int found = -1;
    for (int k = 0; k < SONDE_FIGURE_KINDS; k++)
        if (strcmp(kind, sonde_archive_kind_name((enum sonde_figure_kind)k)) == 0)
            found = k;
    if (found < 0)
        return sonde_error_set(r->error, SONDE_STATUS_FORMAT, "kind: unknown: \"%s\"", kind);
    enum sonde_status status = read_text(r, sonde_json_get(value, "name"), "name", true, &text);
    if (status != SONDE_STATUS_OK)
        return status;
    struct sonde_figure *f = sonde_figure_create((enum sonde_figure_kind)found, text, NULL);
    if (!f)
        return sonde_error_memory(r->error, "a figure");
    status = read_figure_head(r, f, value);
    if (status == SONDE_STATUS_OK)
        status = read_figure_data(r, f, value);
    if (status == SONDE_STATUS_OK)
        status = read_text(r, sonde_json_get(value, "files"), "files", false, &text);
    if (status != SONDE_STATUS_OK) {
        sonde_error_prepend(r->error, "\"%s\"", f->name);
        sonde_figure_destroy(&f);
        return status;
    }
    sonde_result_add_figure(r->result, f);
    if (r->result->failed)
        return sonde_error_memory(r->error, "a figure");
    if (text) {
        char **files = &r->result->figure_files[r->result->n_figures - 1];
        *files = sonde_strdup(text);
        r->result->failed = r->result->failed || !*files;
    }
    return SONDE_STATUS_OK;
}

static enum sonde_status read_check(struct reader *r, const struct sonde_json *value)
{
    bool ok = false;
    double number = 0;
    const char *text;
    enum sonde_status status = sonde_json_read_bool(value, "ok", false, &ok, r->error);
    if (status == SONDE_STATUS_OK)
        status = read_real(r, sonde_json_get(value, "value"), "value", &number);
    if (status == SONDE_STATUS_OK)
        status = read_text(r, sonde_json_get(value, "name"), "name", true, &text);
    char *name = status == SONDE_STATUS_OK ? sonde_strdup(text) : NULL;
    if (status == SONDE_STATUS_OK && !name)
        status = sonde_error_memory(r->error, "a check");
    if (status == SONDE_STATUS_OK)
        status = read_text(r, sonde_json_get(value, "limit"), "limit", false, &text);
    if (status == SONDE_STATUS_OK)
        sonde_result_check(r->result, name, ok, number, text);
    free(name);
    return status;
}

static enum sonde_status read_warning(struct reader *r, const struct sonde_json *value)
{
    const char *text;
    enum sonde_status status = read_text(r, value, "warnings", true, &text);
    if (status == SONDE_STATUS_OK)
        sonde_result_warn(r->result, "%s", text);
    return status;
}

/* Runs one reader over an array of the root, with the item's number in its messages. */
static enum sonde_status read_each(struct reader *r, const struct sonde_json *root, const char *key,
                                   enum sonde_status (*one)(struct reader *,
                                                            const struct sonde_json *))
{
    const struct sonde_json *array;
    enum sonde_status status = read_array(r, root, key, ITEMS_MAX, &array);
    for (int64_t i = 0; status == SONDE_STATUS_OK && i < sonde_json_size(array); i++) {
        status = one(r, sonde_json_at(array, i));
        if (status != SONDE_STATUS_OK)
            sonde_error_prepend(r->error, "%s %lld", key, (long long)i + 1);
    }
    return status;
}

static enum sonde_status read_root(struct reader *r, const struct sonde_json *root)
{
    int64_t version = 0;
    const char *command;
    enum sonde_status status = SONDE_STATUS_OK;
    if (sonde_json_type(root) != SONDE_JSON_OBJECT)
        status = wrong(r, "the archive", root, "an object");
    if (status == SONDE_STATUS_OK)
        status = sonde_json_read_i64(root, "sonde_result", 0, 0, INT32_MAX, &version, r->error);
    if (status == SONDE_STATUS_OK && version != SONDE_ARCHIVE_VERSION)
        status = sonde_error_set(r->error, SONDE_STATUS_UNSUPPORTED, "version %lld, expected %d",
                                 (long long)version, SONDE_ARCHIVE_VERSION);
    if (status == SONDE_STATUS_OK)
        status = read_text(r, sonde_json_get(root, "command"), "command", true, &command);
    if (status != SONDE_STATUS_OK)
        return status;
    r->result = sonde_result_create(command);
    if (!r->result)
        return sonde_error_memory(r->error, "a result");
    status = read_parameters(r, root, "parameters", false);
    if (status == SONDE_STATUS_OK)
        status = read_parameters(r, root, "scalars", true);
    if (status == SONDE_STATUS_OK)
        status = read_each(r, root, "tables", read_table);
    if (status == SONDE_STATUS_OK)
        status = read_each(r, root, "figures", read_figure);
    if (status == SONDE_STATUS_OK)
        status = read_each(r, root, "checks", read_check);
    if (status == SONDE_STATUS_OK)
        status = read_each(r, root, "warnings", read_warning);
    return status == SONDE_STATUS_OK ? sonde_result_status(r->result, r->error) : status;
}

enum sonde_status sonde_result_restore(struct sonde_result **out, const char *archive, size_t n,
                                       struct sonde_error *error)
{
    struct reader r = { .error = error };
    struct sonde_json *root = NULL;
    enum sonde_status status = sonde_json_parse(&root, archive, n, error);
    if (status == SONDE_STATUS_OK)
        status = read_root(&r, root);
    sonde_json_destroy(&root);
    sonde_buf_finish(&r.text);
    if (status != SONDE_STATUS_OK) {
        sonde_error_prepend(error, "stored result");
        sonde_result_destroy(&r.result);
        return status;
    }
    *out = r.result;
    return SONDE_STATUS_OK;
}
