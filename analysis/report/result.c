#include "analysis/report/result.h"

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/num.h"

#define RESULT_ITEMS_MAX 65536
#define TABLE_CELLS_MAX ((int64_t)1 << 32)

struct sonde_result *sonde_result_create(const char *command)
{
    struct sonde_result *r = calloc(1, sizeof(*r));
    if (!r)
        return NULL;
    r->command = sonde_strdup(command ? command : "");
    r->failed = !r->command;
    return r;
}

static void destroy_table(struct sonde_table *t)
{
    if (!t)
        return;
    free(t->name);
    if (t->column)
        for (int64_t c = 0; c < t->n_columns; c++)
            free(t->column[c]);
    free(t->column);
    for (int64_t i = 0; i < t->n_rows * t->n_columns; i++)
        free(t->cell[i].text);
    free(t->cell);
    free(t);
}

static void free_parameters(struct sonde_result_parameter *parameter, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        free(parameter[i].name);
        free(parameter[i].value.text);
    }
    free(parameter);
}

void sonde_result_destroy(struct sonde_result **result)
{
    if (!result || !*result)
        return;
    struct sonde_result *r = *result;
    free(r->command);
    free_parameters(r->parameter, r->n_parameters);
    free_parameters(r->scalar, r->n_scalars);
    for (int64_t i = 0; i < r->n_tables; i++)
        destroy_table(r->table[i]);
    free(r->table);
    for (int64_t i = 0; i < r->n_figures; i++) {
        sonde_figure_destroy(&r->figure[i]);
        free(r->figure_files[i]);
    }
    free(r->figure);
    free(r->figure_files);
    for (int64_t i = 0; i < r->n_checks; i++) {
        free(r->check[i].name);
        free(r->check[i].limit);
    }
    free(r->check);
    for (int64_t i = 0; i < r->n_warnings; i++)
        free(r->warning[i]);
    free(r->warning);
    free(r);
    *result = NULL;
}

enum sonde_status sonde_result_status(const struct sonde_result *result, struct sonde_error *error)
{
    if (!result)
        return sonde_error_memory(error, "the result");
    bool failed = result->failed;
    for (int64_t i = 0; i < result->n_figures; i++)
        failed = failed || result->figure[i]->failed;
    return failed ? sonde_error_memory(error, "the result") : SONDE_STATUS_OK;
}

/* The slot of this name, emptied where it was set before, else a new one; NULL after a failure. */
static struct sonde_result_parameter *add_parameter(struct sonde_result *r,
                                                    struct sonde_result_parameter **items,
                                                    int64_t *n, int64_t *capacity, const char *name)
{
    if (!r || r->failed)
        return NULL;
    for (int64_t i = 0; i < *n; i++)
        if (strcmp((*items)[i].name, name) == 0) {
            free((*items)[i].value.text);
            (*items)[i].value = (struct sonde_cell){ .kind = SONDE_CELL_NULL };
            return &(*items)[i];
        }
    char *copy = sonde_strdup(name);
    if (!copy || !sonde_grow((void **)items, capacity, *n + 1, sizeof(**items), RESULT_ITEMS_MAX)) {
        free(copy);
        r->failed = true;
        return NULL;
    }
    struct sonde_result_parameter *slot = &(*items)[(*n)++];
    *slot = (struct sonde_result_parameter){ .name = copy };
    return slot;
}

static void put_text(struct sonde_cell *cell, const char *value, bool *failed)
{
    free(cell->text);
    *cell = (struct sonde_cell){ .kind = SONDE_CELL_NULL };
    if (!value)
        return;
    cell->text = sonde_strdup(value);
    if (cell->text)
        cell->kind = SONDE_CELL_TEXT;
    else
        *failed = true;
}

void sonde_result_parameter_text(struct sonde_result *r, const char *name, const char *value)
{
    struct sonde_result_parameter *slot =
        r ? add_parameter(r, &r->parameter, &r->n_parameters, &r->parameter_capacity, name) : NULL;
    if (slot)
        put_text(&slot->value, value, &r->failed);
}

void sonde_result_parameter_i64(struct sonde_result *r, const char *name, int64_t value)
{
    struct sonde_result_parameter *slot =
        r ? add_parameter(r, &r->parameter, &r->n_parameters, &r->parameter_capacity, name) : NULL;
    if (slot)
        slot->value = (struct sonde_cell){ .kind = SONDE_CELL_INTEGER, .integer = value };
}

void sonde_result_parameter_f64(struct sonde_result *r, const char *name, double value)
{
    struct sonde_result_parameter *slot =
        r ? add_parameter(r, &r->parameter, &r->n_parameters, &r->parameter_capacity, name) : NULL;
    if (slot)
        slot->value = (struct sonde_cell){ .kind = SONDE_CELL_REAL, .real = value };
}

void sonde_result_parameter_bool(struct sonde_result *r, const char *name, bool value)
{
    struct sonde_result_parameter *slot =
        r ? add_parameter(r, &r->parameter, &r->n_parameters, &r->parameter_capacity, name) : NULL;
    if (slot)
        slot->value = (struct sonde_cell){ .kind = SONDE_CELL_BOOL, .integer = value };
}

void sonde_result_scalar_i64(struct sonde_result *r, const char *name, int64_t value)
{
    struct sonde_result_parameter *slot =
        r ? add_parameter(r, &r->scalar, &r->n_scalars, &r->scalar_capacity, name) : NULL;
    if (slot)
        slot->value = (struct sonde_cell){ .kind = SONDE_CELL_INTEGER, .integer = value };
}

void sonde_result_scalar_f64(struct sonde_result *r, const char *name, double value)
{
    struct sonde_result_parameter *slot =
        r ? add_parameter(r, &r->scalar, &r->n_scalars, &r->scalar_capacity, name) : NULL;
    if (slot)
        slot->value = (struct sonde_cell){ .kind = SONDE_CELL_REAL, .real = value };
}

void sonde_result_check(struct sonde_result *r, const char *name, bool ok, double value,
                        const char *limit)
{
    if (!r || r->failed)
        return;
    struct sonde_result_check check = {
        .name = sonde_strdup(name), .limit = sonde_strdup(limit), .ok = ok, .value = value
    };
    if (!check.name || (limit && !check.limit) ||
        !sonde_grow((void **)&r->check, &r->check_capacity, r->n_checks + 1, sizeof(*r->check),
                    RESULT_ITEMS_MAX)) {
        free(check.name);
        free(check.limit);
        r->failed = true;
        return;
    }
    r->check[r->n_checks++] = check;
}

void sonde_result_warn(struct sonde_result *r, const char *format, ...)
{
    if (!r || r->failed)
        return;
    char text[4096];
    va_list args;
    va_start(args, format);
    sonde_format_text(text, sizeof(text), format, args);
    va_end(args);
    char *copy = sonde_strdup(text);
    if (!copy || !sonde_grow((void **)&r->warning, &r->warning_capacity, r->n_warnings + 1,
                             sizeof(*r->warning), RESULT_ITEMS_MAX)) {
        free(copy);
        r->failed = true;
        return;
    }
    r->warning[r->n_warnings++] = copy;
}

static struct sonde_table *create_table(const char *name, const char *const *columns)
{
    struct sonde_table *t = calloc(1, sizeof(*t));
    if (!t)
        return NULL;
    int64_t n = 0;
    while (columns[n])
        n++;
    t->name = sonde_strdup(name);
    t->column = calloc(n ? (size_t)n : 1, sizeof(*t->column));
    bool ok = t->name && t->column;
    for (; ok && t->n_columns < n; t->n_columns++) {
        t->column[t->n_columns] = sonde_strdup(columns[t->n_columns]);
        ok = t->column[t->n_columns] != NULL;
    }
    if (!ok) {
        destroy_table(t);
        return NULL;
    }
    return t;
}

struct sonde_table *sonde_result_add_table(struct sonde_result *r, const char *name,
                                           const char *const *columns)
{
    if (!r || r->failed)
        return NULL;
    struct sonde_table *t = create_table(name, columns);
    if (!t || !sonde_grow((void **)&r->table, &r->table_capacity, r->n_tables + 1,
                          sizeof(struct sonde_table *), RESULT_ITEMS_MAX)) {
        destroy_table(t);
        r->failed = true;
        return NULL;
    }
    t->failed = &r->failed;
    r->table[r->n_tables++] = t;
    return t;
}

void sonde_table_add_row(struct sonde_table *t)
{
    if (!t || *t->failed)
        return;
    /* capacity counts cells; the next row starts right behind the last one */
    if (!sonde_grow((void **)&t->cell, &t->capacity, (t->n_rows + 1) * t->n_columns,
                    sizeof(*t->cell), TABLE_CELLS_MAX)) {
        *t->failed = true;
        return;
    }
    if (t->n_columns)
        memset(&t->cell[t->n_rows * t->n_columns], 0, (size_t)t->n_columns * sizeof(*t->cell));
    t->n_rows++;
}

/* The cell of the row that was started last; NULL after a failure. */
static struct sonde_cell *current_cell(struct sonde_table *t, int64_t column)
{
    if (!t || *t->failed)
        return NULL;
    assert(t->n_rows > 0 && column >= 0 && column < t->n_columns);
    return &t->cell[(t->n_rows - 1) * t->n_columns + column];
}

static void put_cell(struct sonde_table *t, int64_t column, struct sonde_cell value)
{
    struct sonde_cell *cell = current_cell(t, column);
    if (!cell)
        return;
    free(cell->text);
    *cell = value;
}

void sonde_table_text(struct sonde_table *t, int64_t column, const char *value)
{
    struct sonde_cell *cell = current_cell(t, column);
    if (cell)
        put_text(cell, value, t->failed);
}

void sonde_table_i64(struct sonde_table *t, int64_t column, int64_t value)
{
    put_cell(t, column, (struct sonde_cell){ .kind = SONDE_CELL_INTEGER, .integer = value });
}

void sonde_table_f64(struct sonde_table *t, int64_t column, double value)
{
    put_cell(t, column, (struct sonde_cell){ .kind = SONDE_CELL_REAL, .real = value });
}

void sonde_table_bool(struct sonde_table *t, int64_t column, bool value)
{
    put_cell(t, column, (struct sonde_cell){ .kind = SONDE_CELL_BOOL, .integer = value });
}

void sonde_result_add_figure(struct sonde_result *r, struct sonde_figure *figure)
{
    if (!r) {
        sonde_figure_destroy(&figure);
        return;
    }
    int64_t capacity = r->figure_capacity;
    if (r->failed || !figure ||
        !sonde_grow((void **)&r->figure_files, &capacity, r->n_figures + 1, sizeof(char *),
                    RESULT_ITEMS_MAX) ||
        !sonde_grow((void **)&r->figure, &r->figure_capacity, r->n_figures + 1,
                    sizeof(struct sonde_figure *), RESULT_ITEMS_MAX)) {
        r->failed = true;
        sonde_figure_destroy(&figure);
        return;
    }
    r->figure_files[r->n_figures] = NULL;
    r->figure[r->n_figures++] = figure;
}
