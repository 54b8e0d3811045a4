/*
 * Canvas: where figures draw. Two backends with one set of calls: an image in memory (cairo) and an
 * SVG document (real text, rectangles). Text is measured with Pango in both, so a layout is the
 * same. The one wrapper of cairo and Pango.
 *
 * Units are points of the drawing: one pixel of an image at scale 1. Drawing never fails at the
 * call; sonde_canvas_pixels and sonde_canvas_svg report. A canvas belongs to one thread at a time.
 */
#ifndef SONDE_ANALYSIS_FIGURE_CANVAS_H
#define SONDE_ANALYSIS_FIGURE_CANVAS_H

#include <stdbool.h>
#include <stdint.h>

#include "analysis/figure/colormap.h"
#include "core/base/buf.h"
#include "core/base/status.h"

struct sonde_canvas; /* opaque */

enum sonde_canvas_kind {
    SONDE_CANVAS_IMAGE,
    SONDE_CANVAS_SVG,
};

#define SONDE_CANVAS_SIDE_MAX 8192       /* points a side */
#define SONDE_CANVAS_PIXELS_MAX 20000000 /* pixels of an image: 80 MB */

enum sonde_text_align {
    SONDE_TEXT_ALIGN_CENTER = 0,
    SONDE_TEXT_ALIGN_LEFT,
    SONDE_TEXT_ALIGN_RIGHT,
};

struct sonde_text_style {
    double size; /* of the font */
    bool bold;
    struct sonde_color color;
    enum sonde_text_align align; /* of the text about x; y is the middle of the line */
    /* Reads upwards; x is the middle of the line, LEFT: begins at y, RIGHT: ends there. */
    bool vertical;
    double max_width; /* longer text is cut with an ellipsis; 0 = never */
};

struct sonde_stroke {
    struct sonde_color color;
    double width;
    double alpha;     /* 0 = 1 */
    double dash, gap; /* 0 = unbroken */
};

struct sonde_point {
    double x, y;
};

SONDE_MUST_USE enum sonde_status sonde_canvas_create(struct sonde_canvas **out,
                                                     enum sonde_canvas_kind kind,
                                                     struct sonde_error *error);
void sonde_canvas_destroy(struct sonde_canvas **canvas);
enum sonde_canvas_kind sonde_canvas_kind(const struct sonde_canvas *canvas);

/* Size of the text on one line, with the style's max_width applied; vertical text is not turned
 * here. Text is shown as sonde_display_token does. */
void sonde_canvas_measure(struct sonde_canvas *canvas, const char *text,
                          const struct sonde_text_style *style, double *width, double *height);

/* After measuring, once, before drawing: white paper of this size. scale: pixels a point (images
 * only); it is lowered to 1 where the image would be too large. LIMIT beyond the maxima. */
SONDE_MUST_USE enum sonde_status sonde_canvas_begin(struct sonde_canvas *canvas, double width,
                                                    double height, int scale,
                                                    struct sonde_error *error);
int sonde_canvas_scale(const struct sonde_canvas *canvas);

void sonde_canvas_fill(struct sonde_canvas *canvas, double x, double y, double width, double height,
                       struct sonde_color color);
void sonde_canvas_frame(struct sonde_canvas *canvas, double x, double y, double width,
                        double height, const struct sonde_stroke *stroke);
/* A line through n points. */
void sonde_canvas_line(struct sonde_canvas *canvas, const struct sonde_point *point, int64_t n,
                       const struct sonde_stroke *stroke);
void sonde_canvas_polygon(struct sonde_canvas *canvas, const struct sonde_point *point, int64_t n,
                          struct sonde_color color, double alpha);
void sonde_canvas_circle(struct sonde_canvas *canvas, double x, double y, double radius,
                         struct sonde_color color, double alpha);
void sonde_canvas_text(struct sonde_canvas *canvas, double x, double y, const char *text,
                       const struct sonde_text_style *style);
/* Text on several lines of at most `width`, from (x, y) down; returns the height it takes. Without
 * draw it only measures. */
double sonde_canvas_paragraph(struct sonde_canvas *canvas, double x, double y, double width,
                              const char *text, const struct sonde_text_style *style, bool draw);
/* A map of cells, color [rows, columns], row 0 on top, each cell_width x cell_height. Cells are
 * pixel-exact where x, y and the cell's sides are whole numbers. */
void sonde_canvas_cells(struct sonde_canvas *canvas, double x, double y, double cell_width,
                        double cell_height, int64_t rows, int64_t columns,
                        const struct sonde_color *color);
/* Names what comes next for people who can't see the picture (SVG <title>, <desc>). */
void sonde_canvas_describe(struct sonde_canvas *canvas, const char *title, const char *text);

/* Pixels of an image: 0xffRRGGBB words, `stride` words a row; valid until destroy. */
SONDE_MUST_USE enum sonde_status sonde_canvas_pixels(struct sonde_canvas *canvas,
                                                     const uint32_t **pixel, int64_t *width,
                                                     int64_t *height, int64_t *stride,
                                                     struct sonde_error *error);
/* Ends the SVG document and appends it to out. */
SONDE_MUST_USE enum sonde_status sonde_canvas_svg(struct sonde_canvas *canvas,
                                                  const struct sonde_figure_provenance *p,
                                                  struct sonde_buf *out, struct sonde_error *error);

#endif
