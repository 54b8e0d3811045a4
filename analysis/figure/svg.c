#include "analysis/figure/svg.h"

#include <string.h>

#include "analysis/display.h"
#include "analysis/figure/png_encode.h"
#include "core/base/base64.h"

#define CELLS_AS_RECTANGLES_MAX 2500

void sonde_xml_escape(struct sonde_buf *out, const char *text)
{
    for (const char *c = text; *c; c++) {
        switch (*c) {
        case '&':
            sonde_buf_puts(out, "&amp;");
            break;
        case '<':
            sonde_buf_puts(out, "&lt;");
            break;
        case '>':
            sonde_buf_puts(out, "&gt;");
            break;
        case '"':
            sonde_buf_puts(out, "&quot;");
            break;
        case '\'':
            sonde_buf_puts(out, "&#39;");
            break;
        default:
            sonde_buf_putc(out, *c);
            break;
        }
    }
}

static void escape_clean(struct sonde_buf *out, const char *text)
{
    struct sonde_buf clean = { 0 };
    sonde_display_clean(&clean, text, strlen(text));
    sonde_xml_escape(out, clean.data ? clean.data : "");
    out->failed = out->failed || clean.failed;
    sonde_buf_finish(&clean);
}

/* A coordinate: at most two decimals, no zeros at the end. */
static void put_number(struct sonde_buf *out, double value)
{
    char text[SONDE_DISPLAY_NUMBER_MAX];
    double rounded = (double)(int64_t)(value * 100 + (value < 0 ? -0.5 : 0.5)) / 100;
    sonde_display_number(text, rounded, 7);
    sonde_buf_puts(out, text);
}

static void put_attribute(struct sonde_buf *out, const char *name, double value)
{
    sonde_buf_printf(out, " %s=\"", name);
    put_number(out, value);
    sonde_buf_putc(out, '"');
}

static void put_color(struct sonde_buf *out, const char *name, const struct sonde_color *c)
{
    if (c)
        sonde_buf_printf(out, " %s=\"#%02x%02x%02x\"", name, c->r, c->g, c->b);
    else
        sonde_buf_printf(out, " %s=\"none\"", name);
}

static void put_stroke(struct sonde_buf *out, const struct sonde_stroke *s)
{
    put_color(out, "stroke", &s->color);
    put_attribute(out, "stroke-width", s->width);
    if (s->alpha > 0 && s->alpha < 1)
        put_attribute(out, "stroke-opacity", s->alpha);
    if (s->dash > 0) {
        sonde_buf_puts(out, " stroke-dasharray=\"");
        put_number(out, s->dash);
        sonde_buf_putc(out, ' ');
        put_number(out, s->gap);
        sonde_buf_putc(out, '"');
    }
}

void sonde_svg_begin(struct sonde_buf *out, double width, double height)
{
    sonde_buf_puts(out, "<svg xmlns=\"http://www.w3.org/2000/svg\"");
    put_attribute(out, "width", width);
    put_attribute(out, "height", height);
    sonde_buf_puts(out, " viewBox=\"0 0 ");
    put_number(out, width);
    sonde_buf_putc(out, ' ');
    put_number(out, height);
    sonde_buf_puts(out, "\" role=\"img\" font-family=\"'DejaVu Sans', Verdana, 'Noto Sans', "
                        "sans-serif\">\n");
}

void sonde_svg_describe(struct sonde_buf *out, const char *title, const char *text)
{
    if (title) {
        sonde_buf_puts(out, "<title>");
        escape_clean(out, title);
        sonde_buf_puts(out, "</title>\n");
    }
    if (text) {
        sonde_buf_puts(out, "<desc>");
        escape_clean(out, text);
        sonde_buf_puts(out, "</desc>\n");
    }
}

static void put_property(struct sonde_buf *out, const char *name, const char *value)
{
    if (!value)
        return;
    sonde_buf_printf(out, "<sonde:%s>", name);
    escape_clean(out, value);
    sonde_buf_printf(out, "</sonde:%s>", name);
}

void sonde_svg_metadata(struct sonde_buf *out, const struct sonde_figure_provenance *p)
{
    if (!p || (!p->command && !p->model_hash && !p->version))
        return;
    sonde_buf_puts(out, "<metadata xmlns:sonde=\"urn:sonde:provenance\">");
    put_property(out, "command", p->command);
    put_property(out, "model-sha256", p->model_hash);
    put_property(out, "version", p->version);
    sonde_buf_puts(out, "</metadata>\n");
}

void sonde_svg_end(struct sonde_buf *out)
{
    sonde_buf_puts(out, "</svg>\n");
}

void sonde_svg_rectangle(struct sonde_buf *out, double x, double y, double width, double height,
                         const struct sonde_color *fill, const struct sonde_stroke *stroke)
{
    sonde_buf_puts(out, "<rect");
    put_attribute(out, "x", x);
    put_attribute(out, "y", y);
    put_attribute(out, "width", width);
    put_attribute(out, "height", height);
    put_color(out, "fill", fill);
    if (stroke)
        put_stroke(out, stroke);
    sonde_buf_puts(out, "/>\n");
}

void sonde_svg_path(struct sonde_buf *out, const struct sonde_point *point, int64_t n,
                    const struct sonde_stroke *stroke, const struct sonde_color *fill, double alpha)
{
    if (n < 1)
        return;
    sonde_buf_puts(out, "<path d=\"");
    for (int64_t i = 0; i < n; i++) {
        sonde_buf_putc(out, i == 0 ? 'M' : 'L');
        put_number(out, point[i].x);
        sonde_buf_putc(out, ' ');
        put_number(out, point[i].y);
    }
    sonde_buf_puts(out, fill ? "Z\"" : "\"");
    put_color(out, "fill", fill);
    if (fill && alpha < 1)
        put_attribute(out, "fill-opacity", alpha);
    if (stroke) {
        put_stroke(out, stroke);
        sonde_buf_puts(out, " stroke-linejoin=\"round\"");
    }
    sonde_buf_puts(out, "/>\n");
}

void sonde_svg_circle(struct sonde_buf *out, double x, double y, double radius,
                      struct sonde_color color, double alpha)
{
    sonde_buf_puts(out, "<circle");
    put_attribute(out, "cx", x);
    put_attribute(out, "cy", y);
    put_attribute(out, "r", radius);
    put_color(out, "fill", &color);
    if (alpha < 1)
        put_attribute(out, "fill-opacity", alpha);
    sonde_buf_puts(out, "/>\n");
}

void sonde_svg_text(struct sonde_buf *out, double x, double y, const char *clean, double length,
                    const struct sonde_text_style *style)
{
    sonde_buf_puts(out, "<text");
    if (style->vertical) {
        sonde_buf_puts(out, " transform=\"translate(");
        put_number(out, x);
        sonde_buf_putc(out, ' ');
        put_number(out, y);
        sonde_buf_puts(out, ") rotate(-90)\"");
    } else {
        put_attribute(out, "x", x);
        put_attribute(out, "y", y);
    }
    put_attribute(out, "font-size", style->size);
    if (style->bold)
        sonde_buf_puts(out, " font-weight=\"bold\"");
    put_color(out, "fill", &style->color);
    /* the viewer's font may be wider than ours: the text must still fit its place */
    if (length > 0)
        put_attribute(out, "textLength", length);
    sonde_buf_puts(out, " lengthAdjust=\"spacingAndGlyphs\" xml:space=\"preserve\">");
    sonde_xml_escape(out, clean);
    sonde_buf_puts(out, "</text>\n");
}

static bool same(struct sonde_color a, struct sonde_color b)
{
    return a.r == b.r && a.g == b.g && a.b == b.b;
}

static void put_rectangles(struct sonde_buf *out, double x, double y, double cell_width,
                           double cell_height, int64_t rows, int64_t columns,
                           const struct sonde_color *color)
{
    sonde_buf_puts(out, "<g shape-rendering=\"crispEdges\">\n");
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t c = 0; c < columns;) {
            int64_t end = c + 1;
            while (end < columns && same(color[r * columns + c], color[r * columns + end]))
                end++;
            sonde_svg_rectangle(out, x + (double)c * cell_width, y + (double)r * cell_height,
                                (double)(end - c) * cell_width, cell_height,
                                &color[r * columns + c], NULL);
            c = end;
        }
    }
    sonde_buf_puts(out, "</g>\n");
}

enum sonde_status sonde_svg_cells(struct sonde_buf *out, double x, double y, double cell_width,
                                  double cell_height, int64_t rows, int64_t columns,
                                  const struct sonde_color *color, struct sonde_error *error)
{
    if (rows * columns <= CELLS_AS_RECTANGLES_MAX) {
        put_rectangles(out, x, y, cell_width, cell_height, rows, columns, color);
        return SONDE_STATUS_OK;
    }
    struct sonde_buf png = { 0 };
    struct sonde_png_image image = { .width = columns, .height = rows, .cell = color };
    enum sonde_status status = sonde_png_encode(&image, &png, error);
    if (status == SONDE_STATUS_OK) {
        sonde_buf_puts(out, "<image");
        put_attribute(out, "x", x);
        put_attribute(out, "y", y);
        put_attribute(out, "width", (double)columns * cell_width);
        put_attribute(out, "height", (double)rows * cell_height);
        sonde_buf_puts(out, " preserveAspectRatio=\"none\" style=\"image-rendering:pixelated\" "
                            "href=\"data:image/png;base64,");
        sonde_base64_encode(out, png.data, png.size);
        sonde_buf_puts(out, "\"/>\n");
    }
    sonde_buf_finish(&png);
    return status;
}
