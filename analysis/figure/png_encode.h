/* PNG (ISO/IEC 15948) out: 8-bit RGB, written row by row. The one wrapper of libpng is png.c. */
#ifndef SONDE_ANALYSIS_FIGURE_PNG_ENCODE_H
#define SONDE_ANALYSIS_FIGURE_PNG_ENCODE_H

#include <stdint.h>

#include "analysis/figure/colormap.h"
#include "core/base/buf.h"
#include "core/base/status.h"

struct sonde_png_text {
    const char *key;   /* 1 to 79 characters of Latin-1 */
    const char *value; /* UTF-8; tEXt where it is ASCII, iTXt otherwise; NULL is left out */
};

struct sonde_png_image {
    int64_t width, height;
    const struct sonde_color *cell; /* [height, width], or */
    const uint32_t *pixel;          /* 0x??RRGGBB words, `stride` words a row */
    int64_t stride;
    int scale; /* pixels a point, for pHYs (72 points an inch times 4/3); 0 = no pHYs */
    const struct sonde_png_text *text;
    int n_texts;
};

SONDE_MUST_USE enum sonde_status sonde_png_encode(const struct sonde_png_image *image,
                                                  struct sonde_buf *out, struct sonde_error *error);

#endif
