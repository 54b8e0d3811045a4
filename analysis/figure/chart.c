/* Lines with bands, bars and scattered points over one pair of axes. */
#include "analysis/figure/draw.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PLOT_WIDTH 600.0
#define PLOT_WIDTH_MAX 1400.0
#define PLOT_HEIGHT 320.0
#define TITLE_LINE 20
#define LEGEND_GAP 18
#define LEGEND_LINE 19
#define LEGEND_MARK 26
#define LEGEND_TEXT_MAX 300.0
#define LEGEND_LINES_MAX 24
#define DRAWABLE_MAX 1e150
#define MARKED_MAX 60 /* points of a line that all get a mark */

/* Okabe and Ito's colours, told apart with any common kind of colour blindness; marks differ too.
 */
static const struct sonde_color palette[] = {
    { 0x00, 0x72, 0xb2 }, { 0xd5, 0x5e, 0x00 }, { 0x00, 0x9e, 0x73 }, { 0xcc, 0x79, 0xa7 },
    { 0xe6, 0x9f, 0x00 }, { 0x56, 0xb4, 0xe9 }, { 0x8c, 0x56, 0x4b }, { 0x60, 0x60, 0x60 },
};
#define PALETTE_SIZE ((int64_t)(sizeof(palette) / sizeof(palette[0])))
#define REFERENCE_COLOR ((struct sonde_color){ 0x6a, 0x6a, 0x6a })

struct plan {
    const struct sonde_figure *f;
    double x_low, x_high, y_low, y_high; /* the axes' ends */
    double width, height;                /* of the plot */
    bool places;                         /* x is a row of named (or counted) places */
    int64_t n_places;
    struct sonde_tick_plan ticks;
    double x_tick[SONDE_TICKS_MAX], y_tick[SONDE_TICKS_MAX];
    int n_x, n_y;
    double left, below, legend_width;
    int64_t n_lines; /* of the legend */
    int64_t left_out;
    char note[160];
};

/* Differences of larger numbers would not be finite. */
static bool is_drawable(double value)
{
    return fabs(value) <= DRAWABLE_MAX;
}

static void widen(double *low, double *high, double value)
{
    if (!is_drawable(value))
        return;
    *low = value < *low ? value : *low;
    *high = value > *high ? value : *high;
}

static bool has_reference(const struct sonde_figure *f)
{
    return is_drawable(f->reference);
}

static void find_range(struct plan *p)
{
    const struct sonde_figure *f = p->f;
    double x_low = INFINITY, x_high = -INFINITY, low = INFINITY, high = -INFINITY;
    for (int64_t i = 0; i < f->n_series; i++) {
        const struct sonde_series *s = &f->series[i];
        p->n_places = s->n > p->n_places ? s->n : p->n_places;
        for (int64_t k = 0; k < s->n; k++) {
            p->left_out += fabs(s->y[k]) > DRAWABLE_MAX || fabs(s->x[k]) > DRAWABLE_MAX;
            if (!is_drawable(s->y[k]) || !is_drawable(s->x[k]))
                continue;
            widen(&x_low, &x_high, s->x[k]);
            widen(&low, &high, s->y[k]);
            if (s->low && s->high) {
                widen(&low, &high, s->low[k]);
                widen(&low, &high, s->high[k]);
            }
        }
    }
    if (has_reference(f))
        widen(&low, &high, f->reference);
    if (f->kind == SONDE_FIGURE_BAR && isfinite(low))
        widen(&low, &high, 0);
    bool given = f->has_limits && is_drawable(f->low) && is_drawable(f->high) && f->low < f->high;
    p->x_low = x_low;
    p->x_high = x_high;
    p->y_low = given ? f->low : low;
    p->y_high = given ? f->high : high;
}

/* Ends of an axis that are no range yet, and some room at the ends of one that is. */
static void pad_range(double *low, double *high, double share)
{
    double range = *high - *low;
    if (range > 0 && isfinite(range)) {
        *low -= share * range;
        *high += share * range;
    } else if (range == 0) {
        double size = *low == 0 ? 1 : 0.1 * fabs(*low);
        *low -= size;
        *high += size;
    }
}

/* A place a label: bars always; lines where the x axis has labels. */
static void plan_x(struct sonde_canvas *c, struct plan *p)
{
    const struct sonde_figure *f = p->f;
    p->places = f->kind == SONDE_FIGURE_BAR || (f->kind == SONDE_FIGURE_LINE && f->x.tick);
    if (p->places) {
        if (f->kind == SONDE_FIGURE_LINE || f->x.n_ticks > p->n_places)
            p->n_places = f->x.n_ticks;
        double wanted = (double)p->n_places *
                        (f->kind == SONDE_FIGURE_BAR ? 9.0 * (double)f->n_series + 6 : 14.0);
        p->width = fmin(fmax(PLOT_WIDTH, wanted), PLOT_WIDTH_MAX);
        p->x_low = -0.5;
        p->x_high = (double)p->n_places - 0.5;
        p->ticks =
            sonde_tick_plan_make(c, &f->x, p->n_places, p->width / (double)p->n_places, true);
        p->below = p->ticks.extent;
        return;
    }
    double before = p->x_low, after = p->x_high;
    pad_range(&p->x_low, &p->x_high, f->kind == SONDE_FIGURE_SCATTER ? 0.04 : 0.02);
    /* a step of less than one layer or position means nothing */
    p->n_x = sonde_round_ticks(p->x_low, p->x_high, 8, p->x_tick);
    bool whole = before == floor(before) && after == floor(after) && after - before <= 8;
    if (whole && after > before) {
        p->n_x = (int)(after - before) + 1;
        for (int i = 0; i < p->n_x; i++)
            p->x_tick[i] = before + i;
    }
    p->below = SONDE_DRAW_TICK + 4;
}

static void plan_y(struct sonde_canvas *c, struct plan *p)
{
    const struct sonde_figure *f = p->f;
    if (!f->has_limits) {
        bool from_zero = f->kind == SONDE_FIGURE_BAR && p->y_low == 0;
        pad_range(&p->y_low, &p->y_high, 0.05);
        if (from_zero)
            p->y_low = 0;
    }
    p->n_y = sonde_round_ticks(p->y_low, p->y_high, 8, p->y_tick);
    struct sonde_text_style style = { .size = SONDE_DRAW_TICK };
    double widest = 0, step = p->n_y > 1 ? p->y_tick[1] - p->y_tick[0] : 0;
    for (int i = 0; i < p->n_y; i++) {
        char text[SONDE_TICK_TEXT_MAX];
        double width;
        sonde_tick_text(text, p->y_tick[i], step);
        sonde_canvas_measure(c, text, &style, &width, NULL);
        widest = fmax(widest, width);
    }
    p->left = ceil(widest) + SONDE_DRAW_GAP + 4 + (f->y.title ? TITLE_LINE : 0);
}

static void plan_legend(struct sonde_canvas *c, struct plan *p)
{
    const struct sonde_figure *f = p->f;
    if (f->n_series < 2 && !has_reference(f))
        return;
    struct sonde_text_style style = { .size = SONDE_DRAW_TICK, .max_width = LEGEND_TEXT_MAX };
    double widest = 0, width = 0;
    int64_t n = f->n_series < LEGEND_LINES_MAX ? f->n_series : LEGEND_LINES_MAX;
    for (int64_t i = 0; i < n; i++) {
        sonde_canvas_measure(c, f->series[i].name, &style, &width, NULL);
        widest = fmax(widest, width);
    }
    if (has_reference(f)) {
        sonde_canvas_measure(c, f->reference_name ? f->reference_name : "reference", &style, &width,
                             NULL);
        widest = fmax(widest, width);
    }
    p->n_lines = n + has_reference(f);
    p->legend_width = LEGEND_GAP + LEGEND_MARK + SONDE_DRAW_GAP + ceil(widest);
}

static double place_x(const struct plan *p, double x0, double x)
{
    return x0 + (x - p->x_low) / (p->x_high - p->x_low) * p->width;
}

/* Values beyond given limits stay at the edge of the plot. */
static double place_y(const struct plan *p, double y0, double y)
{
    double t = (y - p->y_low) / (p->y_high - p->y_low);
    t = t < 0 ? 0 : t > 1 ? 1 : t;
    return y0 + (1 - t) * p->height;
}

static double x_of(const struct plan *p, const struct sonde_series *s, int64_t k)
{
    return p->f->kind == SONDE_FIGURE_BAR ? (double)k : s->x[k];
}

static void draw_mark(struct sonde_canvas *c, int64_t series, double x, double y, double size,
                      double alpha)
{
    struct sonde_color color = palette[series % PALETTE_SIZE];
    double s = size, d = 1.3 * size;
    const struct sonde_point square[4] = {
        { x - s, y - s }, { x + s, y - s }, { x + s, y + s }, { x - s, y + s }
    };
    const struct sonde_point up[3] = { { x, y - d }, { x + d, y + s }, { x - d, y + s } };
    const struct sonde_point diamond[4] = {
        { x, y - d }, { x + d, y }, { x, y + d }, { x - d, y }
    };
    const struct sonde_point down[3] = { { x, y + d }, { x + d, y - s }, { x - d, y - s } };
    switch (series % 5) {
    case 0:
        sonde_canvas_circle(c, x, y, 1.1 * size, color, alpha);
        break;
    case 1:
        sonde_canvas_polygon(c, square, 4, color, alpha);
        break;
    case 2:
        sonde_canvas_polygon(c, up, 3, color, alpha);
        break;
    case 3:
        sonde_canvas_polygon(c, diamond, 4, color, alpha);
        break;
    default:
        sonde_canvas_polygon(c, down, 3, color, alpha);
        break;
    }
}

/* Runs of finite points; a gap in the data is a gap in the line. */
static bool is_drawn(const struct plan *p, const struct sonde_series *s, int64_t k)
{
    return is_drawable(s->y[k]) && is_drawable(x_of(p, s, k));
}

static void draw_band(struct sonde_canvas *c, const struct plan *p, const struct sonde_series *s,
                      struct sonde_color color, struct sonde_point *point, double x0, double y0)
{
    for (int64_t begin = 0; begin < s->n;) {
        int64_t end = begin;
        while (end < s->n && is_drawn(p, s, end) && is_drawable(s->low[end]) &&
               is_drawable(s->high[end]))
            end++;
        int64_t n = end - begin;
        for (int64_t k = 0; k < n; k++) {
            double x = place_x(p, x0, s->x[begin + k]);
            point[k] = (struct sonde_point){ x, place_y(p, y0, s->high[begin + k]) };
            point[2 * n - 1 - k] = (struct sonde_point){ x, place_y(p, y0, s->low[begin + k]) };
        }
        if (n > 1)
            sonde_canvas_polygon(c, point, 2 * n, color, 0.18);
        begin = end > begin ? end : begin + 1;
    }
}

static void draw_line(struct sonde_canvas *c, const struct plan *p, int64_t i,
                      struct sonde_point *point, double x0, double y0)
{
    const struct sonde_series *s = &p->f->series[i];
    struct sonde_stroke stroke = { .color = palette[i % PALETTE_SIZE], .width = 2 };
    if (i >= PALETTE_SIZE)
        stroke.dash = stroke.gap = 4;
    /* a long line has a mark now and then, to be told apart without colours */
    int64_t apart = s->n <= MARKED_MAX ? 1 : s->n / 12;
    for (int64_t begin = 0; begin < s->n;) {
        int64_t end = begin;
        for (; end < s->n && is_drawn(p, s, end); end++)
            point[end - begin] =
                (struct sonde_point){ place_x(p, x0, s->x[end]), place_y(p, y0, s->y[end]) };
        if (end - begin > 1)
            sonde_canvas_line(c, point, end - begin, &stroke);
        for (int64_t k = 0; k < end - begin; k++)
            if ((begin + k) % apart == 0 || end - begin == 1)
                draw_mark(c, i, point[k].x, point[k].y, 3.2, 1);
        begin = end > begin ? end : begin + 1;
    }
}

static void draw_bars(struct sonde_canvas *c, const struct plan *p, int64_t i, double x0, double y0)
{
    const struct sonde_series *s = &p->f->series[i];
    double pitch = p->width / (double)p->n_places;
    double width = 0.8 * pitch / (double)p->f->n_series;
    struct sonde_stroke whisker = { .color = SONDE_DRAW_INK, .width = 1.2 };
    for (int64_t k = 0; k < s->n; k++) {
        if (!is_drawable(s->y[k]))
            continue;
        double left = place_x(p, x0, (double)k) - 0.4 * pitch + (double)i * width;
        double zero = place_y(p, y0, 0), top = place_y(p, y0, s->y[k]);
        sonde_canvas_fill(c, left, fmin(zero, top), fmax(width, 0.5), fabs(zero - top),
                          palette[i % PALETTE_SIZE]);
        if (!s->low || !s->high || !is_drawable(s->low[k]) || !is_drawable(s->high[k]))
            continue;
        double middle = left + width / 2, half = fmin(4, width / 3);
        double low = place_y(p, y0, s->low[k]), high = place_y(p, y0, s->high[k]);
        const struct sonde_point stem[2] = { { middle, low }, { middle, high } };
        const struct sonde_point foot[2] = { { middle - half, low }, { middle + half, low } };
        const struct sonde_point head[2] = { { middle - half, high }, { middle + half, high } };
        sonde_canvas_line(c, stem, 2, &whisker);
        sonde_canvas_line(c, foot, 2, &whisker);
        sonde_canvas_line(c, head, 2, &whisker);
    }
}

/* Of many points of a series that fall on the same place one is drawn, so that a picture of a
 * million points stays small. */
static bool draw_points(struct sonde_canvas *c, const struct plan *p, int64_t i, double x0,
                        double y0)
{
    const struct sonde_series *s = &p->f->series[i];
    double fine = s->n > 5000 ? 1 : 2; /* places a point of the drawing */
    int64_t columns = (int64_t)(fine * p->width) + 1, rows = (int64_t)(fine * p->height) + 1;
    uint8_t *seen = calloc((size_t)(columns * rows), 1);
    if (!seen)
        return false;
    double size = s->n > 5000 ? 1.3 : s->n > 500 ? 2 : 3;
    for (int64_t k = 0; k < s->n; k++) {
        if (!is_drawn(p, s, k))
            continue;
        double x = place_x(p, x0, s->x[k]), y = place_y(p, y0, s->y[k]);
        int64_t column = (int64_t)(fine * (x - x0)), row = (int64_t)(fine * (y - y0));
        uint8_t *place = &seen[row * columns + column];
        if (s->n > 500 && *place)
            continue;
        *place = 1;
        draw_mark(c, i, x, y, size, 0.6);
    }
    free(seen);
    return true;
}

static void draw_axes(struct sonde_canvas *c, const struct plan *p, double x0, double y0)
{
    struct sonde_stroke grid = { .color = SONDE_DRAW_FAINT, .width = 1 };
    struct sonde_stroke line = { .color = SONDE_DRAW_SOFT, .width = 1 };
    struct sonde_text_style style = { .size = SONDE_DRAW_TICK,
                                      .color = SONDE_DRAW_INK,
                                      .align = SONDE_TEXT_ALIGN_RIGHT };
    char text[SONDE_TICK_TEXT_MAX];
    double bottom = y0 + p->height, right = x0 + p->width;
    for (int i = 0; i < p->n_y; i++) {
        double y = floor(place_y(p, y0, p->y_tick[i])) + 0.5;
        const struct sonde_point rule[2] = { { x0, y }, { right, y } };
        sonde_canvas_line(c, rule, 2, &grid);
        sonde_tick_text(text, p->y_tick[i], p->n_y > 1 ? p->y_tick[1] - p->y_tick[0] : 0);
        sonde_canvas_text(c, x0 - SONDE_DRAW_GAP, y, text, &style);
    }
    style.align = SONDE_TEXT_ALIGN_CENTER;
    for (int i = 0; i < p->n_x; i++) {
        double x = floor(place_x(p, x0, p->x_tick[i])) + 0.5;
        const struct sonde_point mark[2] = { { x, bottom }, { x, bottom + 4 } };
        sonde_canvas_line(c, mark, 2, &line);
        sonde_tick_text(text, p->x_tick[i], p->n_x > 1 ? p->x_tick[1] - p->x_tick[0] : 0);
        sonde_canvas_text(c, x, bottom + SONDE_DRAW_GAP + SONDE_DRAW_TICK / 2.0 + 1, text, &style);
    }
    if (p->places)
        sonde_tick_plan_draw(c, &p->ticks, x0, bottom, false);
    const struct sonde_point axes[3] = { { x0 - 0.5, y0 },
                                         { x0 - 0.5, bottom + 0.5 },
                                         { right, bottom + 0.5 } };
    sonde_canvas_line(c, axes, 3, &line);
    if (p->f->kind == SONDE_FIGURE_BAR && p->y_low < 0) {
        double zero = floor(place_y(p, y0, 0)) + 0.5;
        const struct sonde_point rule[2] = { { x0, zero }, { right, zero } };
        sonde_canvas_line(c, rule, 2, &line);
    }
}

static void draw_titles(struct sonde_canvas *c, const struct plan *p, double left, double x0,
                        double y0)
{
    struct sonde_text_style style = { .size = SONDE_DRAW_AXIS,
                                      .color = SONDE_DRAW_INK,
                                      .max_width = p->width };
    if (p->f->x.title)
        sonde_canvas_text(c, x0 + p->width / 2,
                          y0 + p->height + SONDE_DRAW_GAP + p->below + TITLE_LINE / 2.0,
                          p->f->x.title, &style);
    style.vertical = true;
    style.max_width = p->height + 60;
    if (p->f->y.title)
        sonde_canvas_text(c, left + TITLE_LINE / 2.0 - 2, y0 + p->height / 2, p->f->y.title,
                          &style);
}

static void draw_legend(struct sonde_canvas *c, const struct plan *p, double x, double y)
{
    struct sonde_text_style style = { .size = SONDE_DRAW_TICK,
                                      .color = SONDE_DRAW_INK,
                                      .align = SONDE_TEXT_ALIGN_LEFT,
                                      .max_width = LEGEND_TEXT_MAX };
    const struct sonde_figure *f = p->f;
    double text = x + LEGEND_MARK + SONDE_DRAW_GAP;
    for (int64_t i = 0; i < p->n_lines; i++) {
        double middle = y + ((double)i + 0.5) * LEGEND_LINE;
        const struct sonde_point line[2] = { { x, middle }, { x + LEGEND_MARK, middle } };
        bool reference = i == p->n_lines - 1 && has_reference(f);
        struct sonde_stroke stroke = { .color = palette[i % PALETTE_SIZE], .width = 2 };
        if (reference)
            stroke = (struct sonde_stroke){
                .color = REFERENCE_COLOR, .width = 1.6, .dash = 6, .gap = 4
            };
        else if (i >= PALETTE_SIZE)
            stroke.dash = stroke.gap = 4;
        if (reference || f->kind == SONDE_FIGURE_LINE)
            sonde_canvas_line(c, line, 2, &stroke);
        if (!reference && f->kind == SONDE_FIGURE_BAR)
            sonde_canvas_fill(c, x + 7, middle - 6, 12, 12, palette[i % PALETTE_SIZE]);
        else if (!reference)
            draw_mark(c, i, x + LEGEND_MARK / 2.0, middle, 3.2, 1);
        const char *name = f->reference_name ? f->reference_name : "reference";
        sonde_canvas_text(c, text, middle, reference ? name : f->series[i].name, &style);
    }
}

static bool draw_series(struct sonde_canvas *c, const struct plan *p, double x0, double y0)
{
    const struct sonde_figure *f = p->f;
    int64_t most = 1;
    for (int64_t i = 0; i < f->n_series; i++)
        most = f->series[i].n > most ? f->series[i].n : most;
    struct sonde_point *point = calloc((size_t)most * 2, sizeof(*point));
    bool ok = point != NULL;
    for (int64_t i = 0; ok && f->kind == SONDE_FIGURE_LINE && i < f->n_series; i++)
        if (f->series[i].low && f->series[i].high)
            draw_band(c, p, &f->series[i], palette[i % PALETTE_SIZE], point, x0, y0);
    if (ok && has_reference(f)) {
        struct sonde_stroke dashed = {
            .color = REFERENCE_COLOR, .width = 1.6, .dash = 6, .gap = 4
        };
        double y = place_y(p, y0, f->reference);
        const struct sonde_point rule[2] = { { x0, y }, { x0 + p->width, y } };
        sonde_canvas_line(c, rule, 2, &dashed);
    }
    for (int64_t i = 0; ok && i < f->n_series; i++) {
        if (f->kind == SONDE_FIGURE_LINE)
            draw_line(c, p, i, point, x0, y0);
        else if (f->kind == SONDE_FIGURE_BAR)
            draw_bars(c, p, i, x0, y0);
        else
            ok = draw_points(c, p, i, x0, y0);
    }
    free(point);
    return ok;
}

enum sonde_status sonde_draw_chart(struct sonde_canvas *c, const struct sonde_figure *f,
                                   struct sonde_error *error)
{
    struct plan p = { .f = f, .width = PLOT_WIDTH, .height = PLOT_HEIGHT };
    find_range(&p);
    if (f->n_series < 1 || !(p.x_low <= p.x_high) || !(p.y_low <= p.y_high))
        return sonde_draw_nothing(c, f, "no finite values", error);
    plan_x(c, &p);
    plan_y(c, &p);
    plan_legend(c, &p);
    if (p.left_out)
        snprintf(p.note, sizeof(p.note), "%lld values are infinite or too large and not drawn.",
                 (long long)p.left_out);
    double width = p.left + p.width + fmax(p.legend_width, 8);
    double height = p.height + SONDE_DRAW_GAP + p.below + (f->x.title ? TITLE_LINE : 0) + 4;
    struct sonde_point at;
    enum sonde_status status =
        sonde_draw_page(c, f, width, fmax(height, (double)p.n_lines * LEGEND_LINE), 2,
                        p.note[0] ? p.note : NULL, &at, error);
    if (status != SONDE_STATUS_OK)
        return status;
    double x0 = at.x + p.left, y0 = at.y + 4;
    draw_axes(c, &p, x0, y0);
    draw_titles(c, &p, at.x, x0, y0);
    draw_legend(c, &p, x0 + p.width + LEGEND_GAP, y0);
    return draw_series(c, &p, x0, y0) ? SONDE_STATUS_OK : sonde_error_memory(error, f->name);
}
