#include "analysis/figure/colormap.h"

#include <math.h>

#define PI 3.14159265358979323846
/* Where black and white would do alike the formula of WCAG prefers black sooner than people do. */
#define INK_CONTRAST 3.6
#define FINE 2048 /* points of the path from which the evenly spaced ones are taken */

const struct sonde_color sonde_color_nan = { 0xd0, 0xd0, 0xd0 };
const struct sonde_color sonde_color_plus_inf = { 0xff, 0x2b, 0xd6 };
const struct sonde_color sonde_color_minus_inf = { 0x2b, 0xe0, 0xff };

struct lab {
    double l, a, b;
};

/* Matrices of Ottosson's definition: linear sRGB to cone responses, their cube roots to Lab. */
static struct lab lab_from_linear(const double rgb[3])
{
    double l = cbrt(0.4122214708 * rgb[0] + 0.5363325363 * rgb[1] + 0.0514459929 * rgb[2]);
    double m = cbrt(0.2119034982 * rgb[0] + 0.6806995451 * rgb[1] + 0.1073969566 * rgb[2]);
    double s = cbrt(0.0883024619 * rgb[0] + 0.2817188376 * rgb[1] + 0.6299787005 * rgb[2]);
    return (struct lab){ 0.2104542553 * l + 0.7936177850 * m - 0.0040720468 * s,
                         1.9779984951 * l - 2.4285922050 * m + 0.4505937099 * s,
                         0.0259040371 * l + 0.7827717662 * m - 0.8086757660 * s };
}

static void linear_from_lab(struct lab c, double rgb[3])
{
    double l = c.l + 0.3963377774 * c.a + 0.2158037573 * c.b;
    double m = c.l - 0.1055613458 * c.a - 0.0638541728 * c.b;
    double s = c.l - 0.0894841775 * c.a - 1.2914855480 * c.b;
    l = l * l * l;
    m = m * m * m;
    s = s * s * s;
    rgb[0] = 4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s;
    rgb[1] = -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s;
    rgb[2] = -0.0041960863 * l - 0.7034186147 * m + 1.7076147010 * s;
}

static double linear_from_byte(uint8_t byte)
{
    double v = byte / 255.0;
    return v <= 0.04045 ? v / 12.92 : pow((v + 0.055) / 1.055, 2.4);
}

static uint8_t byte_from_linear(double v)
{
    v = v < 0 ? 0 : v > 1 ? 1 : v;
    double s = v <= 0.0031308 ? 12.92 * v : 1.055 * pow(v, 1 / 2.4) - 0.055;
    return (uint8_t)lround(255 * s);
}

static struct lab lab_of(struct sonde_color c)
{
    double rgb[3] = { linear_from_byte(c.r), linear_from_byte(c.g), linear_from_byte(c.b) };
    return lab_from_linear(rgb);
}

static struct sonde_color color_of(struct lab c)
{
    double rgb[3];
    linear_from_lab(c, rgb);
    return (struct sonde_color){ byte_from_linear(rgb[0]), byte_from_linear(rgb[1]),
                                 byte_from_linear(rgb[2]) };
}

static struct lab lab_from_polar(double lightness, double chroma, double degrees)
{
    double h = degrees * PI / 180;
    return (struct lab){ lightness, chroma * cos(h), chroma * sin(h) };
}

static bool in_gamut(struct lab c)
{
    double rgb[3];
    linear_from_lab(c, rgb);
    for (int i = 0; i < 3; i++)
        if (rgb[i] < 0 || rgb[i] > 1)
            return false;
    return true;
}

/* The most colourful of this lightness and hue that a screen can show, up to `chroma`. */
static double fit_chroma(double lightness, double chroma, double degrees)
{
    double low = 0, high = chroma;
    if (in_gamut(lab_from_polar(lightness, high, degrees)))
        return high;
    for (int i = 0; i < 40; i++) {
        double middle = 0.5 * (low + high);
        if (in_gamut(lab_from_polar(lightness, middle, degrees)))
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* Dark violet-blue through teal and green to light yellow. */
static struct lab sequential_at(double t)
{
    double lightness = 0.25 + 0.70 * t;
    double hue = 295 - 188 * pow(t, 1.15);
    double chroma = 0.085 + 0.075 * t;
    return lab_from_polar(lightness, 0.97 * fit_chroma(lightness, chroma, hue), hue);
}

/* t in [-1, 1]; both arms have the chroma that the narrower one can show, so that neither sign
 * looks stronger. */
static struct lab diverging_at(double t)
{
    double size = fabs(t), lightness = 0.965 - 0.555 * size;
    double wanted = 0.145 * (1 - pow(1 - size, 2));
    double chroma = fmin(fit_chroma(lightness, wanted, 255), fit_chroma(lightness, wanted, 28));
    return lab_from_polar(lightness, 0.98 * chroma, t < 0 ? 255 : 28);
}

static double distance(struct lab x, struct lab y)
{
    return sqrt((x.l - y.l) * (x.l - y.l) + (x.a - y.a) * (x.a - y.a) + (x.b - y.b) * (x.b - y.b));
}

/* out[0..n] at even distances along the path at(from) .. at(to). */
static void sample_evenly(struct lab (*at)(double), double from, double to, int n,
                          struct sonde_color *out)
{
    double length[FINE + 1];
    struct lab before = at(from);
    length[0] = 0;
    for (int i = 1; i <= FINE; i++) {
        struct lab here = at(from + (to - from) * i / FINE);
        length[i] = length[i - 1] + distance(before, here);
        before = here;
    }
    int k = 0;
    for (int i = 0; i <= n; i++) {
        double wanted = length[FINE] * i / n;
        while (k < FINE - 1 && length[k + 1] < wanted)
            k++;
        double share = (wanted - length[k]) / (length[k + 1] - length[k]);
        out[i] = color_of(at(from + (to - from) * (k + share) / FINE));
    }
}

void sonde_colormap_init(struct sonde_colormap_table *table, enum sonde_colormap map)
{
    if (map == SONDE_COLORMAP_SEQUENTIAL) {
        sample_evenly(sequential_at, 0, 1, SONDE_COLORMAP_STEPS, table->color);
        return;
    }
    struct sonde_color arm[SONDE_COLORMAP_STEPS / 2 + 1];
    sample_evenly(diverging_at, 0, -1, SONDE_COLORMAP_STEPS / 2, arm);
    for (int i = 0; i <= SONDE_COLORMAP_STEPS / 2; i++)
        table->color[SONDE_COLORMAP_STEPS / 2 - i] = arm[i];
    sample_evenly(diverging_at, 0, 1, SONDE_COLORMAP_STEPS / 2,
                  table->color + SONDE_COLORMAP_STEPS / 2);
}

double sonde_color_lightness(struct sonde_color color)
{
    return lab_of(color).l;
}

double sonde_color_distance(struct sonde_color a, struct sonde_color b)
{
    return distance(lab_of(a), lab_of(b));
}

static double luminance(struct sonde_color c)
{
    return 0.2126 * linear_from_byte(c.r) + 0.7152 * linear_from_byte(c.g) +
           0.0722 * linear_from_byte(c.b);
}

double sonde_color_contrast(struct sonde_color a, struct sonde_color b)
{
    double x = luminance(a), y = luminance(b);
    return x > y ? (x + 0.05) / (y + 0.05) : (y + 0.05) / (x + 0.05);
}

struct sonde_color sonde_color_ink_on(struct sonde_color background)
{
    struct sonde_color black = { 0, 0, 0 }, white = { 255, 255, 255 };
    return sonde_color_contrast(background, white) >= INK_CONTRAST ? white : black;
}

struct extent {
    double low, high;
};

static void count_values(struct sonde_scale *s, struct extent *e, const float *value, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        double v = (double)value[i];
        if (isnan(v)) {
            s->n_nan++;
        } else if (isinf(v)) {
            s->n_plus_inf += v > 0;
            s->n_minus_inf += v < 0;
        } else {
            s->n_finite++;
            e->low = v < e->low ? v : e->low;
            e->high = v > e->high ? v : e->high;
        }
    }
}

void sonde_scale_init(struct sonde_scale *scale, const struct sonde_figure *f)
{
    struct sonde_scale s = { .map = f->colormap };
    struct extent e = { INFINITY, -INFINITY };
    if (f->value)
        count_values(&s, &e, f->value, f->rows * f->columns);
    for (int64_t i = 0; i < f->n_panels; i++)
        count_values(&s, &e, f->panel[i].value, f->panel[i].rows * f->panel[i].columns);
    if (s.n_finite == 0)
        e = (struct extent){ 0, 0 };
    bool given = f->has_limits && isfinite(f->low) && isfinite(f->high);
    s.low = given ? fmin(f->low, f->high) : e.low;
    s.high = given ? fmax(f->low, f->high) : e.high;
    if (s.map == SONDE_COLORMAP_DIVERGING) {
        s.high = fmax(fabs(s.low), fabs(s.high));
        s.low = -s.high;
    }
    s.constant = s.low == s.high;
    s.below = s.n_finite > 0 && e.low < s.low;
    s.above = s.n_finite > 0 && e.high > s.high;
    sonde_colormap_init(&s.table, s.map);
    *scale = s;
}

struct sonde_color sonde_scale_color(const struct sonde_scale *scale, float value)
{
    if (isnan(value))
        return sonde_color_nan;
    if (isinf(value))
        return value > 0 ? sonde_color_plus_inf : sonde_color_minus_inf;
    double t = 0.5;
    if (scale->low < scale->high) {
        /* halves, so that the width of the range can't overflow */
        t = (0.5 * (double)value - 0.5 * scale->low) / (0.5 * scale->high - 0.5 * scale->low);
        t = t < 0 ? 0 : t > 1 ? 1 : t;
    } else if ((double)value != scale->low) {
        t = (double)value < scale->low ? 0 : 1;
    }
    return scale->table.color[(int)(t * SONDE_COLORMAP_STEPS + 0.5)];
}
