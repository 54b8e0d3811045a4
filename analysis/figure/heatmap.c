#include "analysis/figure/draw.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "analysis/display.h"

#define SIDE_MAX 2048     /* cells drawn a side */
#define SIDE_WANTED 560.0 /* points */
#define CELL_MAX 52.0
#define LABELLED_MAX 80 /* up to here every label has its line */
#define LABELLED_CELL 14.0
#define NUMBERS_MAX 400 /* cells that may carry their numbers */
#define NUMBERS_SIZE 9.5
#define TITLE_LINE 20
#define BAR_GAP 22

/* The larger in magnitude; NaN loses against everything. */
static float larger(float a, float b)
{
    if (isnan(a))
        return b;
    return isnan(b) || fabsf(a) >= fabsf(b) ? a : b;
}

/* best [columns of out]: the block maxima of one row of blocks. */
static void reduce_rows(const float *value, int64_t columns, int64_t first, int64_t last,
                        int64_t block, float *best, int64_t n)
{
    for (int64_t k = 0; k < n; k++)
        best[k] = (float)NAN;
    for (int64_t r = first; r < last; r++)
        for (int64_t c = 0; c < columns; c++)
            best[c / block] = larger(best[c / block], value[r * columns + c]);
}

enum sonde_status sonde_cells_make(struct sonde_cells *out, const float *value, int64_t rows,
                                   int64_t columns, int64_t max_side, bool from_top,
                                   const struct sonde_scale *scale, struct sonde_error *error)
{
    struct sonde_cells cells = { .block_rows = (rows + max_side - 1) / max_side,
                                 .block_columns = (columns + max_side - 1) / max_side };
    cells.rows = (rows + cells.block_rows - 1) / cells.block_rows;
    cells.columns = (columns + cells.block_columns - 1) / cells.block_columns;
    float *best = malloc((size_t)cells.columns * sizeof(*best));
    cells.color = malloc((size_t)cells.rows * (size_t)cells.columns * sizeof(*cells.color));
    if (!best || !cells.color) {
        free(best);
        free(cells.color);
        return sonde_error_memory(error, "the cells of a figure");
    }
    for (int64_t r = 0; r < cells.rows; r++) {
        int64_t first = r * cells.block_rows, last = first + cells.block_rows;
        const float *line = value + first * columns;
        if (cells.block_rows > 1 || cells.block_columns > 1) {
            reduce_rows(value, columns, first, last < rows ? last : rows, cells.block_columns, best,
                        cells.columns);
            line = best;
        }
        int64_t place = from_top ? r : cells.rows - 1 - r;
        for (int64_t c = 0; c < cells.columns; c++)
            cells.color[place * cells.columns + c] = sonde_scale_color(scale, line[c]);
    }
    free(best);
    *out = cells;
    return SONDE_STATUS_OK;
}

/* Points a drawn cell, a whole number. */
static double choose_cell(int64_t cells, int64_t n, bool labelled)
{
    double cell = floor(SIDE_WANTED / (double)cells);
    if (labelled && n <= LABELLED_MAX && cell < LABELLED_CELL)
        cell = LABELLED_CELL;
    return cell > CELL_MAX ? CELL_MAX : cell < 1 ? 1 : cell;
}

/* Room for long column labels without turning them, where there are few columns. */
static double widen_for_labels(struct sonde_canvas *c, const struct sonde_figure *f, double cell)
{
    if (!f->x.tick || f->columns > 8)
        return cell;
    struct sonde_text_style style = { .size = SONDE_DRAW_TICK };
    for (int64_t i = 0; i < f->columns && i < f->x.n_ticks; i++) {
        double width;
        sonde_canvas_measure(c, f->x.tick[i], &style, &width, NULL);
        if (width <= 90)
            cell = fmax(cell, ceil(width) + 8);
    }
    return cell;
}

struct plan {
    struct sonde_scale scale;
    struct sonde_cells cells;
    double cell_width, cell_height, map_width, map_height;
    struct sonde_tick_plan x, y;
    struct sonde_bar_plan bar;
    double left, below; /* room beside and under the map */
    char note[200];
};

static void plan_room(struct sonde_canvas *c, const struct sonde_figure *f, struct plan *p)
{
    p->map_width = p->cell_width * (double)p->cells.columns;
    p->map_height = p->cell_height * (double)p->cells.rows;
    p->x = sonde_tick_plan_make(c, &f->x, f->columns,
                                p->cell_width / (double)p->cells.block_columns, true);
    p->y = sonde_tick_plan_make(c, &f->y, f->rows, p->cell_height / (double)p->cells.block_rows,
                                false);
    p->bar = sonde_bar_plan_make(c, &p->scale, f->scale_title, p->map_height);
    p->left = p->y.extent + SONDE_DRAW_GAP + 2 + (f->y.title ? TITLE_LINE : 0);
    p->below = p->x.extent + SONDE_DRAW_GAP + 2 + (f->x.title ? TITLE_LINE : 0);
    if (p->cells.block_rows > 1 || p->cells.block_columns > 1)
        snprintf(p->note, sizeof(p->note),
                 "%lld \xc3\x97 %lld values are drawn as %lld \xc3\x97 %lld cells: each shows the "
                 "value of largest magnitude of its block.",
                 (long long)f->rows, (long long)f->columns, (long long)p->cells.rows,
                 (long long)p->cells.columns);
}

/* Decimals at which the numbers of a map can be compared at a glance. */
static int choose_decimals(const struct plan *p, const struct sonde_figure *f)
{
    double most = 0;
    bool whole = true;
    for (int64_t i = 0; i < f->rows * f->columns; i++) {
        double v = (double)f->value[i];
        if (!isfinite(v))
            continue;
        most = fmax(most, fabs(v));
        whole = whole && v == floor(v);
    }
    if (whole || most >= 100)
        return 0;
    most = fmax(most, fmin(fabs(p->scale.high), 1));
    int decimals = most >= 10 ? 1 : most >= 1 ? 2 : 1 - (int)floor(log10(most * 0.9999));
    return decimals > 5 ? 5 : decimals;
}

/* The number of a cell; "" where its colour says it better or nothing is to say. */
static void cell_number(char text[SONDE_TICK_TEXT_MAX], float value, int decimals)
{
    double v = (double)value, step = pow(10, -decimals);
    text[0] = '\0';
    if (isfinite(v) && v != 0)
        sonde_tick_text(text, fabs(v) < step / 2 ? 0 : v, step);
}

/* The most decimals, up to those wanted, at which every number fits its cell; -1 where none does.
 */
static int fit_decimals(struct sonde_canvas *c, const struct sonde_figure *f, const struct plan *p,
                        const struct sonde_text_style *style)
{
    if (f->rows * f->columns > NUMBERS_MAX || p->cells.block_rows > 1 ||
        p->cells.block_columns > 1 || p->cell_height < NUMBERS_SIZE + 3)
        return -1;
    int decimals = choose_decimals(p, f);
    for (int64_t i = 0; i < f->rows * f->columns && decimals >= 0; i++) {
        char text[SONDE_TICK_TEXT_MAX];
        double width;
        cell_number(text, f->value[i], decimals);
        sonde_canvas_measure(c, text, style, &width, NULL);
        if (width <= p->cell_width - 3)
            continue;
        /* a number before the point must stay readable: none at all rather than "0" for 0.4 */
        decimals = decimals > 1 ? decimals - 1 : -1;
        i = -1;
    }
    return decimals;
}

/* Small maps carry their numbers, where all of them fit. */
static void draw_numbers(struct sonde_canvas *c, const struct sonde_figure *f, const struct plan *p,
                         double x, double y)
{
    struct sonde_text_style style = { .size = NUMBERS_SIZE };
    int decimals = fit_decimals(c, f, p, &style);
    for (int64_t i = 0; i < f->rows * f->columns && decimals >= 0; i++) {
        char text[SONDE_TICK_TEXT_MAX];
        cell_number(text, f->value[i], decimals);
        int64_t row = i / f->columns, column = i % f->columns;
        row = f->y_from_top ? row : f->rows - 1 - row;
        style.color = sonde_color_ink_on(sonde_scale_color(&p->scale, f->value[i]));
        sonde_canvas_text(c, x + ((double)column + 0.5) * p->cell_width,
                          y + ((double)row + 0.5) * p->cell_height, text, &style);
    }
}

static void draw_axis_titles(struct sonde_canvas *c, const struct sonde_figure *f,
                             const struct plan *p, struct sonde_point at, double x, double y)
{
    struct sonde_text_style style = { .size = SONDE_DRAW_AXIS,
                                      .color = SONDE_DRAW_INK,
                                      .max_width = fmax(p->map_width, 300) };
    if (f->x.title) {
        double middle = x + p->map_width / 2;
        double below = y + p->map_height + p->below - TITLE_LINE / 2.0 + 2;
        sonde_canvas_text(c, middle, below, f->x.title, &style);
    }
    if (f->y.title) {
        style.vertical = true;
        style.max_width = fmax(p->map_height, p->bar.height);
        sonde_canvas_text(c, at.x + TITLE_LINE / 2.0 - 2, y + p->map_height / 2, f->y.title,
                          &style);
    }
}

static enum sonde_status draw(struct sonde_canvas *c, const struct sonde_figure *f, struct plan *p,
                              struct sonde_error *error)
{
    double width = p->left + p->map_width + BAR_GAP + p->bar.width;
    double height = fmax(p->map_height + p->below, p->bar.height);
    int scale = p->cells.rows > 1000 || p->cells.columns > 1000 ? 1 : 2;
    struct sonde_point at;
    enum sonde_status status =
        sonde_draw_page(c, f, width, height, scale, p->note[0] ? p->note : NULL, &at, error);
    if (status != SONDE_STATUS_OK)
        return status;
    double x = at.x + p->left, y = at.y;
    struct sonde_stroke frame = { .color = SONDE_DRAW_SOFT, .width = 1 };
    sonde_canvas_cells(c, x, y, p->cell_width, p->cell_height, p->cells.rows, p->cells.columns,
                       p->cells.color);
    sonde_canvas_frame(c, x - 0.5, y - 0.5, p->map_width + 1, p->map_height + 1, &frame);
    draw_numbers(c, f, p, x, y);
    sonde_tick_plan_draw(c, &p->x, x, y + p->map_height, false);
    sonde_tick_plan_draw(c, &p->y, x, f->y_from_top ? y : y + p->map_height, !f->y_from_top);
    draw_axis_titles(c, f, p, at, x, y);
    sonde_bar_plan_draw(c, &p->bar, x + p->map_width + BAR_GAP, y);
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_draw_heatmap(struct sonde_canvas *c, const struct sonde_figure *f,
                                     struct sonde_error *error)
{
    if (f->rows < 1 || f->columns < 1 || !f->value)
        return sonde_draw_nothing(c, f, "no values", error);
    struct plan p = { 0 };
    sonde_scale_init(&p.scale, f);
    enum sonde_status status = sonde_cells_make(&p.cells, f->value, f->rows, f->columns, SIDE_MAX,
                                                f->y_from_top, &p.scale, error);
    if (status != SONDE_STATUS_OK)
        return status;
    p.cell_width = choose_cell(p.cells.columns, f->columns, f->x.tick != NULL);
    p.cell_height = choose_cell(p.cells.rows, f->rows, f->y.tick != NULL);
    p.cell_width = widen_for_labels(c, f, p.cell_width);
    plan_room(c, f, &p);
    status = draw(c, f, &p, error);
    free(p.cells.color);
    return status;
}
