/*
 * Colour maps, built in OKLab (B. Ottosson, "A perceptual color space for image processing", 2020)
 * so that equal steps of the value are equal steps for the eye. Both are readable with the common
 * kinds of colour blindness, because lightness alone carries the order.
 */
#ifndef SONDE_ANALYSIS_FIGURE_COLORMAP_H
#define SONDE_ANALYSIS_FIGURE_COLORMAP_H

#include <stdbool.h>
#include <stdint.h>

#include "analysis/figure/figure.h"

struct sonde_color {
    uint8_t r, g, b;
};

#define SONDE_COLORMAP_STEPS 256
struct sonde_colormap_table {
    /* [0] = low, [STEPS] = high, [STEPS / 2] = the middle, exactly */
    struct sonde_color color[SONDE_COLORMAP_STEPS + 1];
};
/* Sequential: dark blue to light yellow, lightness rises evenly. Diverging: blue, near white, red;
 * lightness falls evenly from the middle and is symmetric. */
void sonde_colormap_init(struct sonde_colormap_table *table, enum sonde_colormap map);

/* OKLab lightness in [0, 1] of an sRGB colour, and the colours' distance. */
double sonde_color_lightness(struct sonde_color color);
double sonde_color_distance(struct sonde_color a, struct sonde_color b);
/* White where its contrast on this background is at least 3.6, else black (then over 5.8). */
struct sonde_color sonde_color_ink_on(struct sonde_color background);
/* WCAG 2.1 contrast ratio, 1 to 21. */
double sonde_color_contrast(struct sonde_color a, struct sonde_color b);

/* Colours outside every map, for what is no number. */
extern const struct sonde_color sonde_color_nan, sonde_color_plus_inf, sonde_color_minus_inf;

/* The scale of a figure: limits and what the data holds beside finite numbers. */
struct sonde_scale {
    enum sonde_colormap map;
    struct sonde_colormap_table table;
    double low, high;  /* low <= high, finite; symmetric for a diverging map */
    bool constant;     /* every finite value is the same (and no limits were given) */
    bool below, above; /* values outside given limits are there */
    int64_t n_finite, n_nan, n_plus_inf, n_minus_inf;
};
/* Limits as the figure asks: counts all values of the figure (matrix or panels). */
void sonde_scale_init(struct sonde_scale *scale, const struct sonde_figure *f);
struct sonde_color sonde_scale_color(const struct sonde_scale *scale, float value);

#endif
