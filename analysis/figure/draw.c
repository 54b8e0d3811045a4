#include "analysis/figure/draw.h"

#include <math.h>
#include <stdio.h>

#define PAGE_WIDTH_MIN 420.0
#define BAR_WIDTH 14
#define BAR_HEIGHT_MIN 110.0
#define BAR_HEIGHT_MAX 280.0
#define SWATCH 12
#define SWATCH_LINE 18

enum sonde_status sonde_draw_page(struct sonde_canvas *c, const struct sonde_figure *f,
                                  double width, double height, int scale, const char *note,
                                  struct sonde_point *origin, struct sonde_error *error)
{
    struct sonde_text_style title = { .size = SONDE_DRAW_TITLE,
                                      .bold = true,
                                      .color = SONDE_DRAW_INK,
                                      .align = SONDE_TEXT_ALIGN_LEFT };
    struct sonde_text_style small = { .size = SONDE_DRAW_NOTE,
                                      .color = SONDE_DRAW_SOFT,
                                      .align = SONDE_TEXT_ALIGN_LEFT };
    double inner = fmax(ceil(width), PAGE_WIDTH_MIN), margin = SONDE_DRAW_MARGIN;
    double title_height = ceil(sonde_canvas_paragraph(c, 0, 0, inner, f->title, &title, false));
    double caption_height = ceil(sonde_canvas_paragraph(c, 0, 0, inner, f->caption, &small, false));
    double note_height = ceil(sonde_canvas_paragraph(c, 0, 0, inner, note, &small, false));
    double top = margin + title_height + (title_height > 0 ? 12 : 0);
    double below = top + ceil(height);
    double total = below + (caption_height > 0 ? caption_height + 10 : 0) +
                   (note_height > 0 ? note_height + 10 : 0) + margin;
    enum sonde_status status = sonde_canvas_begin(c, inner + 2 * margin, total, scale, error);
    if (status != SONDE_STATUS_OK) {
        sonde_error_prepend(error, "%s", f->name);
        return status;
    }
    sonde_canvas_describe(c, f->title ? f->title : f->name, f->caption);
    if (sonde_canvas_kind(c) == SONDE_CANVAS_SVG)
        sonde_canvas_fill(c, 0, 0, inner + 2 * margin, ceil(total),
                          (struct sonde_color){ 255, 255, 255 });
    sonde_canvas_paragraph(c, margin, margin, inner, f->title, &title, true);
    if (note_height > 0) {
        below += 10;
        sonde_canvas_paragraph(c, margin, below, inner, note, &small, true);
        below += note_height;
    }
    if (caption_height > 0)
        sonde_canvas_paragraph(c, margin, below + 10, inner, f->caption, &small, true);
    *origin = (struct sonde_point){ margin, top };
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_draw_nothing(struct sonde_canvas *c, const struct sonde_figure *f,
                                     const char *why, struct sonde_error *error)
{
    struct sonde_text_style style = { .size = SONDE_DRAW_AXIS, .color = SONDE_DRAW_SOFT };
    struct sonde_point at;
    enum sonde_status status = sonde_draw_page(c, f, PAGE_WIDTH_MIN, 80, 2, NULL, &at, error);
    if (status != SONDE_STATUS_OK)
        return status;
    sonde_canvas_text(c, at.x + PAGE_WIDTH_MIN / 2, at.y + 40, why, &style);
    return SONDE_STATUS_OK;
}

/* The lines of the legend of colours that stand for no number. */
struct legend {
    struct sonde_color color;
    char text[80];
};

static int fill_legend(const struct sonde_scale *s, struct legend legend[3])
{
    int n = 0;
    const struct {
        int64_t count;
        struct sonde_color color;
        const char *name;
    } item[] = { { s->n_nan, sonde_color_nan, "no value" },
                 { s->n_plus_inf, sonde_color_plus_inf, "+infinity" },
                 { s->n_minus_inf, sonde_color_minus_inf, "\xe2\x88\x92infinity" } };
    for (int i = 0; i < 3; i++) {
        if (item[i].count == 0)
            continue;
        legend[n].color = item[i].color;
        snprintf(legend[n].text, sizeof(legend[n].text), "%s (%lld)", item[i].name,
                 (long long)item[i].count);
        n++;
    }
    return n;
}

/* Labels of the bar: both limits, and round numbers that keep a distance from them. */
struct bar_label {
    double place; /* 0 low .. 1 high */
    char text[SONDE_TICK_TEXT_MAX + 8];
};

static int fill_bar_labels(const struct sonde_scale *s, double height,
                           struct bar_label label[SONDE_TICKS_MAX + 2])
{
    char number[SONDE_TICK_TEXT_MAX];
    if (s->n_finite == 0 && s->constant)
        return 0;
    sonde_tick_text(number, s->low, 0);
    snprintf(label[0].text, sizeof(label[0].text), "%s%s", s->below ? "\xe2\x89\xa4 " : "", number);
    label[0].place = s->constant ? 0.5 : 0;
    if (s->constant) {
        snprintf(label[0].text, sizeof(label[0].text), "all %s", number);
        return 1;
    }
    sonde_tick_text(number, s->high, 0);
    snprintf(label[1].text, sizeof(label[1].text), "%s%s", s->above ? "\xe2\x89\xa5 " : "", number);
    label[1].place = 1;
    double tick[SONDE_TICKS_MAX];
    int ticks = sonde_round_ticks(s->low, s->high, (int)(height / 45), tick), n = 2;
    for (int i = 0; i < ticks; i++) {
        double place = (tick[i] - s->low) / (s->high - s->low);
        if (place * height < 16 || (1 - place) * height < 16)
            continue;
        label[n].place = place;
        sonde_tick_text(label[n].text, tick[i], ticks > 1 ? tick[1] - tick[0] : 0);
        n++;
    }
    return n;
}

struct sonde_bar_plan sonde_bar_plan_make(struct sonde_canvas *c, const struct sonde_scale *scale,
                                          const char *title, double wanted_height)
{
    struct sonde_bar_plan p = { .scale = scale, .title = title };
    struct sonde_text_style style = { .size = SONDE_DRAW_TICK };
    struct sonde_text_style axis = { .size = SONDE_DRAW_AXIS };
    double width = 0, title_width = 0, legend_width = 0;
    p.bar_height = floor(fmax(BAR_HEIGHT_MIN, fmin(wanted_height, BAR_HEIGHT_MAX)));
    if (title) {
        sonde_canvas_measure(c, title, &axis, &title_width, NULL);
        p.bar_height = fmax(p.bar_height, fmin(ceil(title_width), BAR_HEIGHT_MAX));
    }
    struct bar_label label[SONDE_TICKS_MAX + 2];
    int n = fill_bar_labels(scale, p.bar_height, label);
    for (int i = 0; i < n; i++) {
        sonde_canvas_measure(c, label[i].text, &style, &width, NULL);
        p.label_width = fmax(p.label_width, ceil(width));
    }
    struct legend legend[3];
    int lines = fill_legend(scale, legend);
    for (int i = 0; i < lines; i++) {
        sonde_canvas_measure(c, legend[i].text, &style, &width, NULL);
        legend_width = fmax(legend_width, ceil(width) + SWATCH + SONDE_DRAW_GAP);
    }
    double bar_width = BAR_WIDTH + SONDE_DRAW_GAP + p.label_width + (title ? 24 : 0);
    p.width = fmax(bar_width, legend_width);
    p.height = p.bar_height + 8 + (lines ? 10 + lines * SWATCH_LINE : 0);
    return p;
}

void sonde_bar_plan_draw(struct sonde_canvas *c, const struct sonde_bar_plan *p, double x, double y)
{
    struct sonde_text_style style = { .size = SONDE_DRAW_TICK,
                                      .color = SONDE_DRAW_INK,
                                      .align = SONDE_TEXT_ALIGN_LEFT };
    struct sonde_stroke line = { .color = SONDE_DRAW_SOFT, .width = 1 };
    const struct sonde_scale *s = p->scale;
    double height = p->bar_height;
    for (int i = 0; i < (int)height; i++) {
        int step = (int)lround((height - 1 - i) / (height - 1) * SONDE_COLORMAP_STEPS);
        step = s->constant ? SONDE_COLORMAP_STEPS / 2 : step;
        sonde_canvas_fill(c, x, y + i, BAR_WIDTH, 1, s->table.color[step]);
    }
    sonde_canvas_frame(c, x + 0.5, y + 0.5, BAR_WIDTH - 1, height - 1, &line);
    struct bar_label label[SONDE_TICKS_MAX + 2];
    int n = fill_bar_labels(s, height, label);
    for (int i = 0; i < n; i++) {
        double place = y + height * (1 - label[i].place);
        struct sonde_point mark[2] = { { x + BAR_WIDTH, place }, { x + BAR_WIDTH + 3, place } };
        sonde_canvas_line(c, mark, 2, &line);
        sonde_canvas_text(c, x + BAR_WIDTH + SONDE_DRAW_GAP, place, label[i].text, &style);
    }
    if (p->title) {
        struct sonde_text_style axis = {
            .size = SONDE_DRAW_AXIS, .color = SONDE_DRAW_INK, .vertical = true, .max_width = height
        };
        double right = x + BAR_WIDTH + SONDE_DRAW_GAP + p->label_width + 14;
        sonde_canvas_text(c, right, y + height / 2, p->title, &axis);
    }
    struct legend legend[3];
    int lines = fill_legend(s, legend);
    for (int i = 0; i < lines; i++) {
        double top = y + height + 16 + i * SWATCH_LINE;
        sonde_canvas_fill(c, x, top, SWATCH, SWATCH, legend[i].color);
        sonde_canvas_frame(c, x + 0.5, top + 0.5, SWATCH - 1, SWATCH - 1, &line);
        sonde_canvas_text(c, x + SWATCH + SONDE_DRAW_GAP, top + SWATCH / 2.0, legend[i].text,
                          &style);
    }
}
