#include "tools/edit_control.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/buf.h"

/* The same table of the edited result (first) and of every control. */
struct comparison {
    const struct sonde_table **table; /* [n] */
    int64_t n;
    bool *varies; /* [n_columns] */
};

static const struct sonde_table *find_table(const struct sonde_result *r, const char *name)
{
    for (int64_t i = 0; i < r->n_tables; i++) {
        if (r->table[i] && strcmp(r->table[i]->name, name) == 0)
            return r->table[i];
    }
    return NULL;
}

static const struct sonde_cell *cell_of(const struct sonde_table *t, int64_t row, int64_t column)
{
    return &t->cell[row * t->n_columns + column];
}

static double number_of(const struct sonde_cell *cell)
{
    return cell->kind == SONDE_CELL_REAL      ? cell->real
           : cell->kind == SONDE_CELL_INTEGER ? (double)cell->integer
                                              : (double)NAN;
}

static bool same_cell(const struct sonde_cell *a, const struct sonde_cell *b)
{
    if (a->kind != b->kind)
        return false;
    double x = number_of(a), y = number_of(b);
    return a->kind == SONDE_CELL_TEXT ? strcmp(a->text, b->text) == 0
           : a->kind == SONDE_CELL_REAL || a->kind == SONDE_CELL_INTEGER
               ? x == y || (isnan(x) && isnan(y))
               : a->integer == b->integer;
}

/* False where the rows are not the same things: other shapes or other texts. */
static bool find_changes(struct comparison *c)
{
    const struct sonde_table *first = c->table[0];
    for (int64_t i = 1; i < c->n; i++) {
        const struct sonde_table *t = c->table[i];
        if (!t || t->n_columns != first->n_columns || t->n_rows != first->n_rows)
            return false;
        for (int64_t j = 0; j < t->n_rows * t->n_columns; j++) {
            bool same = same_cell(&first->cell[j], &t->cell[j]);
            bool text =
                first->cell[j].kind == SONDE_CELL_TEXT || t->cell[j].kind == SONDE_CELL_TEXT;
            if (text && !same)
                return false;
            c->varies[j % t->n_columns] = c->varies[j % t->n_columns] || !same;
        }
    }
    return true;
}

/* Edited, mean, low, high at columns column.. of the row that was begun. */
static void put_numbers(struct sonde_table *to, int64_t column, double edited, const double *value,
                        int64_t n)
{
    double sum = 0.0, low = NAN, high = NAN;
    int64_t n_finite = 0;
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(value[i]))
            continue;
        sum += value[i];
        low = fmin(low, value[i]);
        high = fmax(high, value[i]);
        n_finite++;
    }
    sonde_table_f64(to, column, edited);
    sonde_table_f64(to, column + 1, n_finite ? sum / (double)n_finite : (double)NAN);
    sonde_table_f64(to, column + 2, low);
    sonde_table_f64(to, column + 3, high);
}

static void put_key(struct sonde_table *to, int64_t column, const struct sonde_cell *cell)
{
    switch (cell->kind) {
    case SONDE_CELL_NULL:
        break;
    case SONDE_CELL_TEXT:
        sonde_table_text(to, column, cell->text);
        break;
    case SONDE_CELL_INTEGER:
        sonde_table_i64(to, column, cell->integer);
        break;
    case SONDE_CELL_REAL:
        sonde_table_f64(to, column, cell->real);
        break;
    case SONDE_CELL_BOOL:
        sonde_table_bool(to, column, cell->integer != 0);
        break;
    }
}

static void put_rows(struct sonde_table *to, const struct comparison *c, double *value)
{
    const struct sonde_table *first = c->table[0];
    for (int64_t row = 0; row < first->n_rows; row++) {
        int64_t at = 0;
        sonde_table_add_row(to);
        for (int64_t j = 0; j < first->n_columns; j++) {
            if (!c->varies[j]) {
                put_key(to, at++, cell_of(first, row, j));
                continue;
            }
            for (int64_t i = 1; i < c->n; i++)
                value[i - 1] = number_of(cell_of(c->table[i], row, j));
            put_numbers(to, at, number_of(cell_of(first, row, j)), value, c->n - 1);
            at += 4;
        }
    }
}

/* Names of the columns, NULL-terminated; the texts are in *names. NULL where memory is out. */
static const char **name_columns(const struct comparison *c, struct sonde_buf *names)
{
    static const char *const suffix[] = { "", ".control.mean", ".control.low", ".control.high" };
    const struct sonde_table *first = c->table[0];
    const char **column = calloc((size_t)first->n_columns * 4 + 1, sizeof(*column));
    int64_t n = 0;
    for (int64_t j = 0; j < first->n_columns; j++) {
        for (int k = 0; k < (c->varies[j] ? 4 : 1); k++, n++) {
            sonde_buf_printf(names, "%s%s", first->column[j], suffix[k]);
            sonde_buf_append(names, "", 1);
        }
    }
    if (!column || names->failed) {
        free(column);
        return NULL;
    }
    const char *at = names->data;
    for (int64_t i = 0; i < n; i++, at += strlen(at) + 1)
        column[i] = at;
    return column;
}

/* False where there is nothing to compare row by row. */
static bool compare_table(struct sonde_result *edited, struct comparison *c, double *value)
{
    const struct sonde_table *first = c->table[0];
    bool any = false;
    memset(c->varies, 0, (size_t)first->n_columns * sizeof(*c->varies));
    if (!find_changes(c))
        return false;
    for (int64_t j = 0; j < first->n_columns; j++)
        any = any || c->varies[j];
    if (!any)
        return true;
    struct sonde_buf names = { 0 }, title = { 0 };
    const char **column = name_columns(c, &names);
    sonde_buf_printf(&title, "%s.edit_control", first->name);
    if (column && !title.failed)
        put_rows(sonde_result_add_table(edited, title.data, column), c, value);
    else
        edited->failed = true;
    free(column);
    sonde_buf_finish(&names);
    sonde_buf_finish(&title);
    return true;
}

static void compare_scalars(struct sonde_result *edited, struct sonde_result *const *control,
                            int64_t n, double *value)
{
    static const char *const columns[] = { "scalar",      "edited",       "control.mean",
                                           "control.low", "control.high", NULL };
    struct sonde_table *to = NULL;
    for (int64_t s = 0; s < edited->n_scalars; s++) {
        double own = number_of(&edited->scalar[s].value);
        bool same = true;
        for (int64_t i = 0; i < n; i++) {
            value[i] = NAN;
            for (int64_t j = 0; j < control[i]->n_scalars; j++) {
                if (strcmp(control[i]->scalar[j].name, edited->scalar[s].name) == 0)
                    value[i] = number_of(&control[i]->scalar[j].value);
            }
            same = same && (value[i] == own || (isnan(value[i]) && isnan(own)));
        }
        if (same)
            continue;
        to = to ? to : sonde_result_add_table(edited, "scalars.edit_control", columns);
        sonde_table_add_row(to);
        sonde_table_text(to, 0, edited->scalar[s].name);
        put_numbers(to, 1, own, value, n);
    }
}

void sonde_edit_control_compare(struct sonde_result *edited, struct sonde_result *const *control,
                                int64_t n)
{
    int64_t n_tables = edited->n_tables, widest = 1;
    for (int64_t t = 0; t < n_tables; t++) {
        if (edited->table[t] && edited->table[t]->n_columns > widest)
            widest = edited->table[t]->n_columns;
    }
    struct comparison c = { .n = n + 1 };
    struct sonde_buf left_out = { 0 };
    double *value = calloc((size_t)n + 1, sizeof(*value));
    c.table = calloc((size_t)n + 1, sizeof(*c.table));
    c.varies = calloc((size_t)widest, sizeof(*c.varies));
    edited->failed = edited->failed || !value || !c.table || !c.varies;
    for (int64_t t = 0; t < n_tables && !edited->failed; t++) {
        c.table[0] = edited->table[t];
        for (int64_t i = 0; i < n; i++)
            c.table[i + 1] = find_table(control[i], edited->table[t]->name);
        if (!compare_table(edited, &c, value))
            sonde_buf_printf(&left_out, "%s%s", left_out.size > 0 ? ", " : "",
                             edited->table[t]->name);
    }
    if (left_out.size > 0)
        sonde_result_warn(edited,
                          "no mean and range over the controls for %s: its rows are not the same "
                          "things under them",
                          left_out.data);
    edited->failed = edited->failed || left_out.failed;
    if (!edited->failed)
        compare_scalars(edited, control, n, value);
    sonde_buf_finish(&left_out);
    free(value);
    free(c.table);
    free(c.varies);
}
