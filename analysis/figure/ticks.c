#include "analysis/figure/draw.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "analysis/display.h"
#include "core/base/num.h"

#define LINE 13.0          /* the closest that two lines of labels may come */
#define EXTENT_X_MAX 120.0 /* of a label that reads upwards */
#define EXTENT_Y_MAX 170.0
#define MEASURED_MAX 4096

/* The smallest of 1, 2, 5, 10, 20, ... that is no less than x. */
static double round_up(double x)
{
    double power = pow(10, floor(log10(x)));
    static const double step[] = { 1, 2, 5, 10 };
    for (int i = 0; i < 4; i++)
        if (step[i] * power >= x * (1 - 1e-9))
            return step[i] * power;
    return 10 * power;
}

int sonde_round_ticks(double low, double high, int wanted, double tick[SONDE_TICKS_MAX])
{
    double range = high - low;
    if (!(range > 0) || !isfinite(range) || wanted < 1)
        return 0;
    double step = round_up(range / wanted);
    int n = 0;
    double first = ceil(low / step - 1e-9);
    for (; n < SONDE_TICKS_MAX; n++) {
        double k = first + n;
        if (k * step > high + 1e-9 * step)
            break;
        tick[n] = k == 0 ? 0 : k * step; /* no minus zero */
    }
    return n;
}

static void format_text(char out[SONDE_TICK_TEXT_MAX], const char *format, ...) SONDE_PRINTF(2, 3);
static void format_text(char out[SONDE_TICK_TEXT_MAX], const char *format, ...)
{
    va_list args;
    va_start(args, format);
    sonde_format_text(out, SONDE_TICK_TEXT_MAX, format, args);
    va_end(args);
}

void sonde_tick_text(char out[SONDE_TICK_TEXT_MAX], double value, double step)
{
    char number[SONDE_TICK_TEXT_MAX];
    double size = fmax(fabs(value), step);
    if (step > 0 && size < 1e6 && step >= 1e-4) {
        int decimals = (int)ceil(-log10(step) - 1e-9);
        format_text(number, "%.*f", decimals > 0 ? decimals : 0, value);
    } else {
        sonde_display_number(number, value, 4);
    }
    /* a real minus sign is as wide as a digit and easier to see */
    if (number[0] == '-' && number[1] >= '0' && number[1] <= '9')
        format_text(out, "\xe2\x88\x92%s", number + 1);
    else
        format_text(out, "%s", number);
}

static const char *tick_label(const struct sonde_axis *axis, int64_t i,
                              char number[SONDE_TICK_TEXT_MAX])
{
    if (axis->tick)
        return i < axis->n_ticks ? axis->tick[i] : "";
    snprintf(number, SONDE_TICK_TEXT_MAX, "%lld", (long long)i);
    return number;
}

/* The widest of the labels that are shown, up to max_width. */
static double widest_label(struct sonde_canvas *c, const struct sonde_tick_plan *plan)
{
    struct sonde_text_style style = { .size = SONDE_DRAW_TICK };
    double widest = 0;
    int64_t measured = 0;
    for (int64_t i = 0; i < plan->n && measured < MEASURED_MAX; i += plan->step, measured++) {
        char number[SONDE_TICK_TEXT_MAX];
        double width;
        sonde_canvas_measure(c, tick_label(plan->axis, i, number), &style, &width, NULL);
        widest = fmax(widest, width);
    }
    return widest;
}

struct sonde_tick_plan sonde_tick_plan_make(struct sonde_canvas *c, const struct sonde_axis *axis,
                                            int64_t n, double pitch, bool along_x)
{
    struct sonde_tick_plan p = { .axis = axis, .n = n, .pitch = pitch, .along_x = along_x };
    bool numbers = axis->tick == NULL;
    double lines = ceil(LINE / pitch - 1e-9);
    p.step = lines < 1 ? 1 : (int64_t)lines;
    if (numbers && p.step > 1) /* where not all can stand, fewer are easier to read */
        p.step = (int64_t)round_up(2.5 * (double)p.step);
    double widest = widest_label(c, &p);
    if (!along_x) {
        p.max_width = EXTENT_Y_MAX;
        p.extent = ceil(fmin(widest, EXTENT_Y_MAX));
        return p;
    }
    if (numbers && widest + 8 > pitch * (double)p.step)
        p.step = (int64_t)round_up(ceil((widest + 8) / pitch));
    if (numbers || widest + 6 <= pitch * (double)p.step) {
        p.extent = SONDE_DRAW_TICK + 4;
        return p;
    }
    p.vertical = true;
    p.max_width = EXTENT_X_MAX;
    p.extent = ceil(fmin(widest, EXTENT_X_MAX));
    return p;
}

void sonde_tick_plan_draw(struct sonde_canvas *c, const struct sonde_tick_plan *plan, double x,
                          double y, bool upwards)
{
    struct sonde_text_style style = { .size = SONDE_DRAW_TICK,
                                      .color = SONDE_DRAW_INK,
                                      .align = SONDE_TEXT_ALIGN_RIGHT,
                                      .vertical = plan->vertical,
                                      .max_width = plan->max_width };
    struct sonde_stroke mark = { .color = SONDE_DRAW_SOFT, .width = 1 };
    for (int64_t i = 0; i < plan->n; i += plan->step) {
        char number[SONDE_TICK_TEXT_MAX];
        const char *label = tick_label(plan->axis, i, number);
        double place = ((double)i + 0.5) * plan->pitch;
        if (plan->along_x) {
            style.align = plan->vertical ? SONDE_TEXT_ALIGN_RIGHT : SONDE_TEXT_ALIGN_CENTER;
            double below = plan->vertical ? y + SONDE_DRAW_GAP
                                          : y + SONDE_DRAW_GAP + SONDE_DRAW_TICK / 2.0 + 1;
            sonde_canvas_text(c, x + place, below, label, &style);
            struct sonde_point line[2] = { { x + place, y }, { x + place, y + 3 } };
            sonde_canvas_line(c, line, 2, &mark);
        } else {
            double middle = upwards ? y - place : y + place;
            sonde_canvas_text(c, x - SONDE_DRAW_GAP, middle, label, &style);
            struct sonde_point line[2] = { { x - 3, middle }, { x, middle } };
            sonde_canvas_line(c, line, 2, &mark);
        }
    }
}
