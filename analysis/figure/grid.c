#include "analysis/figure/draw.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define PANEL_MAX 190.0 /* points a side */
#define PANEL_MIN 48.0
#define WIDTH_WANTED 900.0
#define PANELS_MAX 1024
#define HEAD 17
#define GAP 14
#define TITLE_LINE 20
#define BAR_GAP 22

struct plan {
    struct sonde_scale scale;
    struct sonde_bar_plan bar;
    int64_t columns, rows, shown;
    int64_t longest, most; /* values of the largest map a side; cells that are drawn at most */
    double side, cell, step_x, step_y, left, below;
    char note[240];
};

/* Makes the panels' side a whole number of cells of half points: a picture has two pixels a point.
 */
static void fit_side(const struct sonde_figure *f, struct plan *p)
{
    for (int64_t i = 0; i < p->shown; i++) {
        const struct sonde_panel *panel = &f->panel[i];
        p->longest = panel->rows > p->longest ? panel->rows : p->longest;
        p->longest = panel->columns > p->longest ? panel->columns : p->longest;
    }
    p->most = (int64_t)(2 * p->side);
    if (p->longest < 1)
        return;
    int64_t block = (p->longest + p->most - 1) / p->most;
    int64_t cells = (p->longest + block - 1) / block;
    p->cell = fmax(0.5, round(2 * p->side / (double)cells) / 2);
    p->side = fmax(p->cell * (double)cells, PANEL_MIN);
}

/* About a square, with a full last row where a slightly wider one gives it. */
static int64_t choose_columns(int64_t n)
{
    int64_t square = (int64_t)ceil(sqrt((double)n));
    for (int64_t columns = square; columns <= 2 * square; columns++)
        if (n % columns == 0)
            return columns;
    return square;
}

static void make_plan(struct sonde_canvas *c, const struct sonde_figure *f, struct plan *p)
{
    sonde_scale_init(&p->scale, f);
    p->shown = f->n_panels < PANELS_MAX ? f->n_panels : PANELS_MAX;
    p->columns = f->panel_columns;
    if (p->columns < 1)
        p->columns = choose_columns(p->shown);
    if (p->columns > p->shown)
        p->columns = p->shown;
    if (p->columns > 32)
        p->columns = 32;
    p->rows = (p->shown + p->columns - 1) / p->columns;
    p->side = floor((WIDTH_WANTED - (double)(p->columns - 1) * GAP) / (double)p->columns);
    p->side = fmax(PANEL_MIN, fmin(PANEL_MAX, p->side));
    fit_side(f, p);
    p->step_x = p->side + GAP;
    p->step_y = p->side + HEAD + GAP;
    p->left = f->y.title ? TITLE_LINE + 4 : 0;
    p->below = f->x.title ? TITLE_LINE : 0;
    double height = (double)p->rows * p->step_y - GAP - HEAD;
    p->bar = sonde_bar_plan_make(c, &p->scale, f->scale_title, height);
}

/* Draws a panel into its square; small matrices get whole points a cell, the rest of the square
 * stays empty. */
static enum sonde_status draw_panel(struct sonde_canvas *c, const struct sonde_figure *f,
                                    const struct sonde_panel *panel, const struct plan *p, double x,
                                    double y, struct sonde_error *error)
{
    struct sonde_text_style title = { .size = SONDE_DRAW_TICK,
                                      .color = SONDE_DRAW_INK,
                                      .align = SONDE_TEXT_ALIGN_LEFT,
                                      .max_width = p->side };
    struct sonde_stroke frame = { .color = SONDE_DRAW_SOFT, .width = 1 };
    if (panel->title)
        sonde_canvas_text(c, x, y + HEAD / 2.0 - 1, panel->title, &title);
    y += HEAD;
    if (panel->rows < 1 || panel->columns < 1) {
        sonde_canvas_frame(c, x - 0.5, y - 0.5, p->side + 1, p->side + 1, &frame);
        return SONDE_STATUS_OK;
    }
    struct sonde_cells cells;
    enum sonde_status status = sonde_cells_make(&cells, panel->value, panel->rows, panel->columns,
                                                p->most, f->y_from_top, &p->scale, error);
    if (status != SONDE_STATUS_OK)
        return status;
    double longest = (double)(cells.rows > cells.columns ? cells.rows : cells.columns);
    double cell = fmax(p->cell, floor(2 * p->side / longest) / 2);
    double width = cell * (double)cells.columns, height = cell * (double)cells.rows;
    sonde_canvas_cells(c, x, y, cell, cell, cells.rows, cells.columns, cells.color);
    sonde_canvas_frame(c, x - 0.5, y - 0.5, width + 1, height + 1, &frame);
    free(cells.color);
    return SONDE_STATUS_OK;
}

/* What the reader must know about what was left out or reduced. */
static void write_note(const struct sonde_figure *f, struct plan *p)
{
    int n = 0;
    if (p->shown < f->n_panels)
        n = snprintf(p->note, sizeof(p->note), "The first %lld of %lld maps. ", (long long)p->shown,
                     (long long)f->n_panels);
    if (p->longest > p->most && n >= 0 && (size_t)n < sizeof(p->note))
        snprintf(p->note + n, sizeof(p->note) - (size_t)n,
                 "Maps have up to %lld values a side: each cell shows the value of largest "
                 "magnitude of its block.",
                 (long long)p->longest);
}

enum sonde_status sonde_draw_grid(struct sonde_canvas *c, const struct sonde_figure *f,
                                  struct sonde_error *error)
{
    if (f->n_panels < 1)
        return sonde_draw_nothing(c, f, "no maps", error);
    struct plan p = { 0 };
    make_plan(c, f, &p);
    write_note(f, &p);
    double width = (double)p.columns * p.step_x - GAP, height = (double)p.rows * p.step_y - GAP;
    struct sonde_point at;
    enum sonde_status status = sonde_draw_page(c, f, p.left + width + BAR_GAP + p.bar.width,
                                               fmax(height + p.below, p.bar.height + HEAD), 2,
                                               p.note[0] ? p.note : NULL, &at, error);
    if (status != SONDE_STATUS_OK)
        return status;
    double x = at.x + p.left;
    for (int64_t i = 0; i < p.shown && status == SONDE_STATUS_OK; i++)
        status = draw_panel(c, f, &f->panel[i], &p, x + (double)(i % p.columns) * p.step_x,
                            at.y + (double)(i / p.columns) * p.step_y, error);
    struct sonde_text_style style = { .size = SONDE_DRAW_AXIS, .color = SONDE_DRAW_INK };
    if (f->x.title)
        sonde_canvas_text(c, x + width / 2, at.y + height + TITLE_LINE / 2.0 + 2, f->x.title,
                          &style);
    style.vertical = true;
    if (f->y.title)
        sonde_canvas_text(c, at.x + TITLE_LINE / 2.0 - 2, at.y + height / 2, f->y.title, &style);
    sonde_bar_plan_draw(c, &p.bar, x + width + BAR_GAP, at.y + HEAD);
    return status;
}
