/* SVG elements as text. For canvas.c alone. Coordinates print with two decimals. */
#ifndef SONDE_ANALYSIS_FIGURE_SVG_H
#define SONDE_ANALYSIS_FIGURE_SVG_H

#include <stdbool.h>
#include <stdint.h>

#include "analysis/figure/canvas.h"
#include "core/base/buf.h"

void sonde_svg_begin(struct sonde_buf *out, double width, double height);
void sonde_svg_metadata(struct sonde_buf *out, const struct sonde_figure_provenance *p);
void sonde_svg_describe(struct sonde_buf *out, const char *title, const char *text);
void sonde_svg_end(struct sonde_buf *out);

void sonde_svg_rectangle(struct sonde_buf *out, double x, double y, double width, double height,
                         const struct sonde_color *fill, const struct sonde_stroke *stroke);
void sonde_svg_path(struct sonde_buf *out, const struct sonde_point *point, int64_t n,
                    const struct sonde_stroke *stroke, const struct sonde_color *fill,
                    double alpha);
void sonde_svg_circle(struct sonde_buf *out, double x, double y, double radius,
                      struct sonde_color color, double alpha);
/* clean: already safe to show; (x, y) is the left end of the base line, `length` its width. */
void sonde_svg_text(struct sonde_buf *out, double x, double y, const char *clean, double length,
                    const struct sonde_text_style *style);
/* Few cells become rectangles (runs of a colour are one), many become an embedded PNG. */
SONDE_MUST_USE enum sonde_status sonde_svg_cells(struct sonde_buf *out, double x, double y,
                                                 double cell_width, double cell_height,
                                                 int64_t rows, int64_t columns,
                                                 const struct sonde_color *color,
                                                 struct sonde_error *error);

/* Text for XML content and attributes: & < > " ' escaped. Also what XML 1.0 forbids must not be in
 * it (see sonde_display_clean). */
void sonde_xml_escape(struct sonde_buf *out, const char *text);

#endif
