/* What the kinds of figures share: the page with title and caption, tick labels, the colour bar.
 * Internal to analysis/figure. */
#ifndef SONDE_ANALYSIS_FIGURE_DRAW_H
#define SONDE_ANALYSIS_FIGURE_DRAW_H

#include <stdbool.h>
#include <stdint.h>

#include "analysis/figure/canvas.h"
#include "analysis/figure/colormap.h"
#include "analysis/figure/figure.h"

/* Font sizes and distances, in points. */
#define SONDE_DRAW_TITLE 15
#define SONDE_DRAW_AXIS 12
#define SONDE_DRAW_TICK 11
#define SONDE_DRAW_NOTE 11
#define SONDE_DRAW_MARGIN 16
#define SONDE_DRAW_GAP 6

#define SONDE_DRAW_INK ((struct sonde_color){ 0x1c, 0x1c, 0x1c })
#define SONDE_DRAW_SOFT ((struct sonde_color){ 0x5a, 0x5a, 0x5a })
#define SONDE_DRAW_FAINT ((struct sonde_color){ 0xdd, 0xdd, 0xdd })

/* One function a kind: plans, begins the canvas, draws. */
SONDE_MUST_USE enum sonde_status
sonde_draw_heatmap(struct sonde_canvas *c, const struct sonde_figure *f, struct sonde_error *error);
SONDE_MUST_USE enum sonde_status sonde_draw_text_map(struct sonde_canvas *c,
                                                     const struct sonde_figure *f,
                                                     struct sonde_error *error);
SONDE_MUST_USE enum sonde_status
sonde_draw_grid(struct sonde_canvas *c, const struct sonde_figure *f, struct sonde_error *error);
SONDE_MUST_USE enum sonde_status
sonde_draw_chart(struct sonde_canvas *c, const struct sonde_figure *f, struct sonde_error *error);
/* A picture that only says why there is nothing to see. */
SONDE_MUST_USE enum sonde_status sonde_draw_nothing(struct sonde_canvas *c,
                                                    const struct sonde_figure *f, const char *why,
                                                    struct sonde_error *error);

/* Begins the canvas for a body of this size, draws title, caption and note (NULL = none) around it.
 * origin: where the body's top left corner is, in whole points. */
SONDE_MUST_USE enum sonde_status
sonde_draw_page(struct sonde_canvas *c, const struct sonde_figure *f, double width, double height,
                int scale, const char *note, struct sonde_point *origin, struct sonde_error *error);

/* Tick labels of n equal places of `pitch` points along an axis. */
struct sonde_tick_plan {
    const struct sonde_axis *axis;
    int64_t n, step; /* every step-th place has a label */
    double pitch;
    bool along_x, vertical;
    double extent;    /* room across the axis, without gap */
    double max_width; /* of one label */
};
struct sonde_tick_plan sonde_tick_plan_make(struct sonde_canvas *c, const struct sonde_axis *axis,
                                            int64_t n, double pitch, bool along_x);
/* x axis: labels below y, places from x to the right. y axis: labels left of x, places from y down
 * (up where `upwards`, then y is the lower end). */
void sonde_tick_plan_draw(struct sonde_canvas *c, const struct sonde_tick_plan *plan, double x,
                          double y, bool upwards);

/* Round numbers within [low, high], about `wanted` of them, at most SONDE_TICKS_MAX; returns how
 * many. */
#define SONDE_TICKS_MAX 16
int sonde_round_ticks(double low, double high, int wanted, double tick[SONDE_TICKS_MAX]);
/* The number as a label of ticks that are `step` apart (0 = four places). */
#define SONDE_TICK_TEXT_MAX 48
void sonde_tick_text(char out[SONDE_TICK_TEXT_MAX], double value, double step);

/* The colour bar with limits and title, and below it what the colours of no number mean. */
struct sonde_bar_plan {
    const struct sonde_scale *scale;
    const char *title;
    double width, height; /* of all */
    double bar_height, label_width;
};
struct sonde_bar_plan sonde_bar_plan_make(struct sonde_canvas *c, const struct sonde_scale *scale,
                                          const char *title, double wanted_height);
void sonde_bar_plan_draw(struct sonde_canvas *c, const struct sonde_bar_plan *plan, double x,
                         double y);

/*
 * A matrix made ready for the canvas: at most max_side cells a side, each the value of largest
 * magnitude of its block (infinities are largest, NaN only where nothing else is). color is
 * [rows, columns], row 0 on top of the picture, free() it.
 */
struct sonde_cells {
    int64_t rows, columns;             /* drawn */
    int64_t block_rows, block_columns; /* values a cell; 1 = as they are */
    struct sonde_color *color;
};
SONDE_MUST_USE enum sonde_status sonde_cells_make(struct sonde_cells *out, const float *value,
                                                  int64_t rows, int64_t columns, int64_t max_side,
                                                  bool from_top, const struct sonde_scale *scale,
                                                  struct sonde_error *error);

#endif
