#include "analysis/figure/draw.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define CELL_HEIGHT 24.0
#define CELL_WIDTH_MIN 40.0
#define CELL_WIDTH_MAX 104.0
#define STRIP_WIDTH 1360.0 /* points; longer texts go on in a strip below */
#define CELLS_MAX 8000     /* drawn; more is more than anyone reads */
#define HEIGHT_MAX 7000.0
#define STRIP_GAP 14
#define TITLE_LINE 20
#define BAR_GAP 22

struct plan {
    struct sonde_scale scale;
    struct sonde_bar_plan bar;
    double cell, left, labels; /* cell width; room left of the map; room of the column labels */
    int64_t rows, columns;     /* that are drawn */
    int64_t strip, n_strips;   /* columns a strip */
    char note[160];
};

static const struct sonde_text_style cell_style = { .size = SONDE_DRAW_TICK };

static int compare_width(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* usual: wide enough for nine texts of ten, as one long token must not make every column wide;
 * widest: for all. Both grow. */
static void measure_texts(struct sonde_canvas *c, char *const *text, int64_t n, double *usual,
                          double *widest)
{
    double *width = n > 0 && text ? malloc((size_t)n * sizeof(*width)) : NULL;
    int64_t seen = 0;
    for (int64_t i = 0; width && i < n; i++)
        if (text[i])
            sonde_canvas_measure(c, text[i], &cell_style, &width[seen++], NULL);
    if (seen > 0) {
        qsort(width, (size_t)seen, sizeof(*width), compare_width);
        *usual = fmax(*usual, width[(seen * 9 - 1) / 10]);
        *widest = fmax(*widest, width[seen - 1]);
    }
    free(width);
}

static void choose_columns(const struct sonde_figure *f, struct plan *p)
{
    p->rows = f->rows < CELLS_MAX ? f->rows : CELLS_MAX;
    p->columns = f->columns;
    if (p->columns > CELLS_MAX / p->rows)
        p->columns = CELLS_MAX / p->rows;
    p->strip = (int64_t)(STRIP_WIDTH / p->cell);
    p->strip = p->strip < p->columns ? p->strip : p->columns;
    double height = (double)p->rows * CELL_HEIGHT + p->labels + STRIP_GAP;
    int64_t most = (int64_t)(HEIGHT_MAX / height);
    most = most < 1 ? 1 : most;
    p->n_strips = (p->columns + p->strip - 1) / p->strip;
    if (p->n_strips > most) {
        p->n_strips = most;
        p->columns = most * p->strip;
    }
    /* strips of about the same length look better than a last one of two columns */
    p->strip = (p->columns + p->n_strips - 1) / p->n_strips;
    if (p->columns < f->columns || p->rows < f->rows)
        snprintf(p->note, sizeof(p->note), "The first %lld of %lld columns, %lld of %lld rows.",
                 (long long)p->columns, (long long)f->columns, (long long)p->rows,
                 (long long)f->rows);
}

static void make_plan(struct sonde_canvas *c, const struct sonde_figure *f, struct plan *p)
{
    int64_t sample = f->rows * f->columns < CELLS_MAX ? f->rows * f->columns : CELLS_MAX;
    int64_t ticks = f->x.tick && f->x.n_ticks < CELLS_MAX ? f->x.n_ticks
                    : f->x.tick                           ? CELLS_MAX
                                                          : 0;
    double usual = 0, widest = 0;
    measure_texts(c, f->cell_text, sample, &usual, &widest);
    measure_texts(c, f->x.tick, ticks, &usual, &widest);
    /* room that is left in one strip goes to the long ones */
    double cell = fmin(fmax(floor(STRIP_WIDTH / (double)f->columns), usual + 10), widest + 10);
    p->cell = fmax(CELL_WIDTH_MIN, fmin(CELL_WIDTH_MAX, ceil(cell)));
    p->labels = SONDE_DRAW_TICK + SONDE_DRAW_GAP + 6;
    sonde_scale_init(&p->scale, f);
    choose_columns(f, p);
    struct sonde_tick_plan y = sonde_tick_plan_make(c, &f->y, p->rows, CELL_HEIGHT, false);
    p->left = y.extent + SONDE_DRAW_GAP + 2 + (f->y.title ? TITLE_LINE : 0);
    p->bar = sonde_bar_plan_make(c, &p->scale, f->scale_title, (double)p->rows * CELL_HEIGHT);
}

/* Columns [first, last) with the map's top left corner at (x, y). */
static enum sonde_status draw_strip(struct sonde_canvas *c, const struct sonde_figure *f,
                                    const struct plan *p, int64_t first, int64_t last, double x,
                                    double y, struct sonde_error *error)
{
    int64_t columns = last - first;
    struct sonde_color *color = malloc((size_t)(p->rows * columns) * sizeof(*color));
    if (!color)
        return sonde_error_memory(error, "the cells of a figure");
    for (int64_t r = 0; r < p->rows; r++) {
        int64_t place = f->y_from_top ? r : p->rows - 1 - r;
        for (int64_t k = 0; k < columns; k++)
            color[place * columns + k] =
                sonde_scale_color(&p->scale, f->value[r * f->columns + first + k]);
    }
    sonde_canvas_cells(c, x, y, p->cell, CELL_HEIGHT, p->rows, columns, color);
    struct sonde_text_style style = cell_style;
    style.max_width = p->cell - 6;
    for (int64_t r = 0; f->cell_text && r < p->rows; r++) {
        int64_t place = f->y_from_top ? r : p->rows - 1 - r;
        for (int64_t k = 0; k < columns; k++) {
            style.color = sonde_color_ink_on(color[place * columns + k]);
            sonde_canvas_text(c, x + ((double)k + 0.5) * p->cell,
                              y + ((double)place + 0.5) * CELL_HEIGHT,
                              f->cell_text[r * f->columns + first + k], &style);
        }
    }
    free(color);
    struct sonde_stroke line = { .color = { 255, 255, 255 }, .width = 1 };
    for (int64_t k = 1; k < columns; k++) {
        double at = x + (double)k * p->cell;
        struct sonde_point grid[2] = { { at, y }, { at, y + (double)p->rows * CELL_HEIGHT } };
        sonde_canvas_line(c, grid, 2, &line);
    }
    for (int64_t r = 1; r < p->rows; r++) {
        double at = y + (double)r * CELL_HEIGHT;
        struct sonde_point grid[2] = { { x, at }, { x + (double)columns * p->cell, at } };
        sonde_canvas_line(c, grid, 2, &line);
    }
    style.color = SONDE_DRAW_INK;
    style.bold = true;
    for (int64_t k = 0; k < columns; k++) {
        char number[32];
        snprintf(number, sizeof(number), "%lld", (long long)(first + k));
        const char *label =
            f->x.tick ? first + k < f->x.n_ticks ? f->x.tick[first + k] : "" : number;
        sonde_canvas_text(c, x + ((double)k + 0.5) * p->cell,
                          y + (double)p->rows * CELL_HEIGHT + SONDE_DRAW_GAP + 6, label, &style);
    }
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_draw_text_map(struct sonde_canvas *c, const struct sonde_figure *f,
                                      struct sonde_error *error)
{
    if (f->rows < 1 || f->columns < 1 || !f->value)
        return sonde_draw_nothing(c, f, "no values", error);
    struct plan p = { 0 };
    make_plan(c, f, &p);
    double map_width = (double)p.strip * p.cell, map_height = (double)p.rows * CELL_HEIGHT;
    double step = map_height + p.labels + STRIP_GAP;
    double height = (double)p.n_strips * step - STRIP_GAP + (f->x.title ? TITLE_LINE : 0);
    struct sonde_point at;
    enum sonde_status status =
        sonde_draw_page(c, f, p.left + map_width + BAR_GAP + p.bar.width,
                        fmax(height, p.bar.height), 2, p.note[0] ? p.note : NULL, &at, error);
    if (status != SONDE_STATUS_OK)
        return status;
    double x = at.x + p.left;
    struct sonde_tick_plan labels = sonde_tick_plan_make(c, &f->y, p.rows, CELL_HEIGHT, false);
    struct sonde_text_style style = { .size = SONDE_DRAW_AXIS, .color = SONDE_DRAW_INK };
    for (int64_t s = 0; s < p.n_strips && status == SONDE_STATUS_OK; s++) {
        int64_t first = s * p.strip,
                last = first + p.strip < p.columns ? first + p.strip : p.columns;
        double y = at.y + (double)s * step;
        status = draw_strip(c, f, &p, first, last, x, y, error);
        sonde_tick_plan_draw(c, &labels, x, f->y_from_top ? y : y + map_height, !f->y_from_top);
        style.vertical = true;
        style.max_width = map_height;
        if (f->y.title)
            sonde_canvas_text(c, at.x + TITLE_LINE / 2.0 - 2, y + map_height / 2, f->y.title,
                              &style);
    }
    style.vertical = false;
    style.max_width = map_width;
    if (f->x.title)
        sonde_canvas_text(c, x + map_width / 2, at.y + height - TITLE_LINE / 2.0 + 2, f->x.title,
                          &style);
    sonde_bar_plan_draw(c, &p.bar, x + map_width + BAR_GAP, at.y);
    return status;
}
