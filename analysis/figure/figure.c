#include "analysis/figure/figure.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/num.h"

const char *sonde_figure_kind_name(enum sonde_figure_kind kind)
{
    switch (kind) {
    case SONDE_FIGURE_HEATMAP:
    case SONDE_FIGURE_GRID:
        return "heatmap";
    case SONDE_FIGURE_LINE:
        return "line";
    case SONDE_FIGURE_BAR:
        return "bar";
    case SONDE_FIGURE_SCATTER:
        return "scatter";
    case SONDE_FIGURE_TEXT:
        return "text";
    }
    return "heatmap";
}

/* Replaces *slot by a copy of text (NULL clears it). */
static void set_text(struct sonde_figure *f, char **slot, const char *text)
{
    char *copy = sonde_strdup(text);
    if (text && !copy) {
        f->failed = true;
        return;
    }
    free(*slot);
    *slot = copy;
}

static void free_strings(char ***strings, int64_t n)
{
    if (*strings)
        for (int64_t i = 0; i < n; i++)
            free((*strings)[i]);
    free(*strings);
    *strings = NULL;
}

/* Bytes of rows * columns elements; false where negative or too large. */
static bool area_bytes(int64_t rows, int64_t columns, size_t element, size_t *bytes)
{
    int64_t n;
    return rows >= 0 && columns >= 0 && sonde_mul_i64(rows, columns, &n) &&
           sonde_mul_size((size_t)n, element, bytes);
}

static float *copy_matrix(struct sonde_figure *f, int64_t rows, int64_t columns, const float *value)
{
    size_t bytes;
    float *copy = NULL;
    if (area_bytes(rows, columns, sizeof(*copy), &bytes))
        copy = malloc(bytes ? bytes : 1);
    if (!copy) {
        f->failed = true;
        return NULL;
    }
    if (bytes)
        memcpy(copy, value, bytes);
    return copy;
}

static double *copy_reals(struct sonde_figure *f, const double *value, int64_t n)
{
    size_t bytes;
    double *copy = NULL;
    if (area_bytes(n, 1, sizeof(*copy), &bytes))
        copy = malloc(bytes ? bytes : 1);
    if (!copy) {
        f->failed = true;
        return NULL;
    }
    if (bytes)
        memcpy(copy, value, bytes);
    return copy;
}

struct sonde_figure *sonde_figure_create(enum sonde_figure_kind kind, const char *name,
                                         const char *title)
{
    struct sonde_figure *f = calloc(1, sizeof(*f));
    if (!f)
        return NULL;
    f->kind = kind;
    f->reference = (double)NAN;
    set_text(f, &f->name, name ? name : "figure");
    set_text(f, &f->title, title);
    return f;
}

static void finish_series(struct sonde_series *s)
{
    free(s->name);
    free(s->x);
    free(s->y);
    free(s->low);
    free(s->high);
}

void sonde_figure_destroy(struct sonde_figure **figure)
{
    if (!figure || !*figure)
        return;
    struct sonde_figure *f = *figure;
    free(f->name);
    free(f->title);
    free(f->caption);
    free(f->x.title);
    free(f->y.title);
    free_strings(&f->x.tick, f->x.n_ticks);
    free_strings(&f->y.tick, f->y.n_ticks);
    free(f->scale_title);
    free(f->value);
    free_strings(&f->cell_text, f->rows * f->columns);
    for (int64_t i = 0; i < f->n_series; i++)
        finish_series(&f->series[i]);
    free(f->series);
    free(f->reference_name);
    for (int64_t i = 0; i < f->n_panels; i++) {
        free(f->panel[i].title);
        free(f->panel[i].value);
    }
    free(f->panel);
    free(f);
    *figure = NULL;
}

void sonde_figure_set_axes(struct sonde_figure *f, const char *x_title, const char *y_title)
{
    if (!f)
        return;
    set_text(f, &f->x.title, x_title);
    set_text(f, &f->y.title, y_title);
}

void sonde_figure_set_ticks(struct sonde_figure *f, struct sonde_axis *axis,
                            const char *const *label, int64_t n)
{
    if (!f)
        return;
    char **copy = calloc(n > 0 ? (size_t)n : 1, sizeof(*copy));
    if (!copy) {
        f->failed = true;
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        copy[i] = sonde_strdup(label[i] ? label[i] : "");
        if (!copy[i]) {
            f->failed = true;
            free_strings(&copy, i);
            return;
        }
    }
    free_strings(&axis->tick, axis->n_ticks);
    axis->tick = copy;
    axis->n_ticks = n > 0 ? n : 0;
}

void sonde_figure_set_caption(struct sonde_figure *f, const char *caption)
{
    if (f)
        set_text(f, &f->caption, caption);
}

void sonde_figure_set_scale(struct sonde_figure *f, enum sonde_colormap colormap, const char *title,
                            bool has_limits, double low, double high)
{
    if (!f)
        return;
    f->colormap = colormap;
    set_text(f, &f->scale_title, title);
    f->has_limits = has_limits;
    f->low = low;
    f->high = high;
}

void sonde_figure_set_matrix(struct sonde_figure *f, int64_t rows, int64_t columns,
                             const float *value)
{
    if (!f)
        return;
    float *copy = copy_matrix(f, rows, columns, value);
    if (!copy)
        return;
    free_strings(&f->cell_text, f->rows * f->columns);
    free(f->value);
    f->value = copy;
    f->rows = rows;
    f->columns = columns;
}

void sonde_figure_set_cell_text(struct sonde_figure *f, int64_t row, int64_t column,
                                const char *text)
{
    if (!f || f->failed)
        return;
    assert(row >= 0 && row < f->rows && column >= 0 && column < f->columns);
    if (!f->cell_text)
        f->cell_text = calloc((size_t)f->rows * (size_t)f->columns, sizeof(*f->cell_text));
    if (!f->cell_text) {
        f->failed = true;
        return;
    }
    set_text(f, &f->cell_text[row * f->columns + column], text);
}

/* The array with room for one more after n; it doubles at powers of two. NULL, and the array as it
 * was, on failure. */
static void *grow_by_one(struct sonde_figure *f, void *items, int64_t n, size_t size)
{
    if (n > 0 && (n & (n - 1)) != 0)
        return items;
    size_t bytes;
    void *grown = NULL;
    if (area_bytes(n ? 2 * n : 1, 1, size, &bytes))
        grown = realloc(items, bytes);
    if (!grown)
        f->failed = true;
    return grown;
}

void sonde_figure_add_series(struct sonde_figure *f, const char *name, int64_t n, const double *x,
                             const double *y, const double *low, const double *high)
{
    if (!f || f->failed)
        return;
    struct sonde_series *grown = grow_by_one(f, f->series, f->n_series, sizeof(*f->series));
    if (!grown)
        return;
    f->series = grown;
    struct sonde_series s = { .n = n };
    set_text(f, &s.name, name);
    s.x = copy_reals(f, x, n);
    s.y = copy_reals(f, y, n);
    if (low && high) {
        s.low = copy_reals(f, low, n);
        s.high = copy_reals(f, high, n);
    }
    if (f->failed)
        finish_series(&s);
    else
        f->series[f->n_series++] = s;
}

void sonde_figure_set_reference(struct sonde_figure *f, double value, const char *name)
{
    if (!f)
        return;
    f->reference = value;
    set_text(f, &f->reference_name, name);
}

void sonde_figure_add_panel(struct sonde_figure *f, const char *title, int64_t rows,
                            int64_t columns, const float *value)
{
    if (!f || f->failed)
        return;
    struct sonde_panel *grown = grow_by_one(f, f->panel, f->n_panels, sizeof(*f->panel));
    if (!grown)
        return;
    f->panel = grown;
    struct sonde_panel panel = { .rows = rows, .columns = columns };
    set_text(f, &panel.title, title);
    panel.value = copy_matrix(f, rows, columns, value);
    if (f->failed) {
        free(panel.title);
        free(panel.value);
    } else {
        f->panel[f->n_panels++] = panel;
    }
}
