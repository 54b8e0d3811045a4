/*
 * Figure: a picture as data. A probe describes what is to be seen; the renderers (PNG, SVG) draw it
 * with the same code on a pangocairo canvas, now or later from the store.
 *
 * A figure owns its strings and arrays.
 */
#ifndef SONDE_ANALYSIS_FIGURE_FIGURE_H
#define SONDE_ANALYSIS_FIGURE_FIGURE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/base/status.h"

enum sonde_figure_kind {
    SONDE_FIGURE_HEATMAP, /* matrix -> colours */
    SONDE_FIGURE_LINE,    /* series over x, optional bands */
    SONDE_FIGURE_BAR,
    SONDE_FIGURE_SCATTER,
    SONDE_FIGURE_TEXT, /* a heatmap whose cells carry text (the lens table) */
    SONDE_FIGURE_GRID, /* small heatmaps in rows and columns (a layer's heads) */
};
#define SONDE_FIGURE_KINDS 6
/* "heatmap", "line", ...; a grid is a "heatmap" too */
const char *sonde_figure_kind_name(enum sonde_figure_kind kind);

enum sonde_colormap {
    SONDE_COLORMAP_SEQUENTIAL, /* perceptually uniform, dark = low */
    SONDE_COLORMAP_DIVERGING,  /* perceptually uniform about zero; limits are made symmetric */
};

struct sonde_axis {
    char *title; /* with its unit; may be NULL */
    char **tick; /* labels, one a row / column / bar, any script; NULL = numbers */
    int64_t n_ticks;
};

struct sonde_series {
    char *name;
    int64_t n;
    double *x, *y;      /* [n] each; NaN = gap */
    double *low, *high; /* [n] band, or NULL */
};

struct sonde_panel { /* of a grid */
    char *title;
    int64_t rows, columns;
    float *value; /* [rows, columns] */
};

struct sonde_figure {
    enum sonde_figure_kind kind;
    char *name; /* stable, file name stem: "curve", "confusion", "layer-0-heads" */
    char *title;
    char *caption; /* one or two sentences; may be NULL */
    struct sonde_axis x, y;
    enum sonde_colormap colormap;
    bool has_limits; /* low and high are given; else from the finite data */
    double low, high;
    char *scale_title; /* at the colour bar: what the colour means, with unit */
    bool y_from_top;   /* row 0 on top (attention maps, confusion); false: row 0 at the bottom
                          (layers) */

    int64_t rows, columns; /* heatmap, text: value [rows, columns], NaN has a colour of its own */
    float *value;
    char **cell_text; /* text: [rows * columns], entries may be NULL */

    struct sonde_series *series; /* line, scatter, bar (bar: y over the ticks of x) */
    int64_t n_series;
    double reference; /* a dashed horizontal line (a baseline); NaN = none */
    char *reference_name;

    struct sonde_panel *panel; /* grid: row-major */
    int64_t n_panels, panel_columns;

    bool failed; /* an allocation failed while building */
};

/* Building. All strings and arrays are copied; NULL on out of memory / `failed` later. */
struct sonde_figure *sonde_figure_create(enum sonde_figure_kind kind, const char *name,
                                         const char *title);
void sonde_figure_destroy(struct sonde_figure **figure);
void sonde_figure_set_axes(struct sonde_figure *f, const char *x_title, const char *y_title);
void sonde_figure_set_ticks(struct sonde_figure *f, struct sonde_axis *axis,
                            const char *const *label, int64_t n);
void sonde_figure_set_caption(struct sonde_figure *f, const char *caption);
void sonde_figure_set_scale(struct sonde_figure *f, enum sonde_colormap colormap, const char *title,
                            bool has_limits, double low, double high);
void sonde_figure_set_matrix(struct sonde_figure *f, int64_t rows, int64_t columns,
                             const float *value);
void sonde_figure_set_cell_text(struct sonde_figure *f, int64_t row, int64_t column,
                                const char *text);
void sonde_figure_add_series(struct sonde_figure *f, const char *name, int64_t n, const double *x,
                             const double *y, const double *low, const double *high);
void sonde_figure_set_reference(struct sonde_figure *f, double value, const char *name);
void sonde_figure_add_panel(struct sonde_figure *f, const char *title, int64_t rows,
                            int64_t columns, const float *value);

/* Provenance that goes into PNG text chunks and SVG metadata. May be NULL. */
struct sonde_figure_provenance {
    const char *command; /* the command line */
    const char *model_hash;
    const char *version;
};
/* Draws to a file, atomically. A map of more cells than the canvas has pixels is reduced by block
 * maxima of |value| on the way (stated in the picture), so memory stays bounded. */
SONDE_MUST_USE enum sonde_status sonde_figure_write_png(const struct sonde_figure *f,
                                                        const char *path,
                                                        const struct sonde_figure_provenance *p,
                                                        struct sonde_error *error);
SONDE_MUST_USE enum sonde_status sonde_figure_write_svg(const struct sonde_figure *f,
                                                        const char *path,
                                                        const struct sonde_figure_provenance *p,
                                                        struct sonde_error *error);
/* The SVG as text, for the HTML page. */
SONDE_MUST_USE enum sonde_status sonde_figure_svg(const struct sonde_figure *f,
                                                  const struct sonde_figure_provenance *p,
                                                  struct sonde_buf *out, struct sonde_error *error);
/* PNG bytes, for the HTML page's large maps. */
SONDE_MUST_USE enum sonde_status sonde_figure_png(const struct sonde_figure *f,
                                                  const struct sonde_figure_provenance *p,
                                                  struct sonde_buf *out, struct sonde_error *error);

#endif
