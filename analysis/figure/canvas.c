#include "analysis/figure/canvas.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cairo.h>
#include <pango/pangocairo.h>

#include "analysis/display.h"
#include "analysis/figure/svg.h"

/* More of one label is never seen, and shaping a megabyte takes long. */
#define LABEL_BYTES_MAX 2000
#define PI 3.14159265358979323846

struct sonde_canvas {
    enum sonde_canvas_kind kind;
    PangoContext *context;
    PangoLayout *layout;
    struct sonde_buf text; /* the label at hand, clean and cut to its width */
    double width, height;
    int scale;
    cairo_surface_t *surface; /* image */
    cairo_t *cairo;
    struct sonde_buf svg;
    enum sonde_status status; /* the first failure while drawing */
};

enum sonde_status sonde_canvas_create(struct sonde_canvas **out, enum sonde_canvas_kind kind,
                                      struct sonde_error *error)
{
    struct sonde_canvas *c = calloc(1, sizeof(*c));
    if (!c)
        return sonde_error_memory(error, "a canvas");
    c->kind = kind;
    c->svg.max = (size_t)1 << 28;
    /* the default map belongs to this thread and keeps its fonts between figures */
    c->context = pango_font_map_create_context(pango_cairo_font_map_get_default());
    c->layout = c->context ? pango_layout_new(c->context) : NULL;
    if (!c->layout) {
        sonde_canvas_destroy(&c);
        return sonde_error_memory(error, "a canvas");
    }
    /* glyph places do not depend on the resolution, so a layout is the same at every scale */
    cairo_font_options_t *options = cairo_font_options_create();
    cairo_font_options_set_hint_metrics(options, CAIRO_HINT_METRICS_OFF);
    cairo_font_options_set_hint_style(options, CAIRO_HINT_STYLE_NONE);
    cairo_font_options_set_antialias(options, CAIRO_ANTIALIAS_GRAY);
    pango_cairo_context_set_font_options(c->context, options);
    cairo_font_options_destroy(options);
    pango_cairo_context_set_resolution(c->context, 72);
    pango_context_set_round_glyph_positions(c->context, FALSE);
    *out = c;
    return SONDE_STATUS_OK;
}

void sonde_canvas_destroy(struct sonde_canvas **canvas)
{
    if (!canvas || !*canvas)
        return;
    struct sonde_canvas *c = *canvas;
    if (c->cairo)
        cairo_destroy(c->cairo);
    if (c->surface)
        cairo_surface_destroy(c->surface);
    if (c->layout)
        g_object_unref(c->layout);
    if (c->context)
        g_object_unref(c->context);
    sonde_buf_finish(&c->text);
    sonde_buf_finish(&c->svg);
    free(c);
    *canvas = NULL;
}

enum sonde_canvas_kind sonde_canvas_kind(const struct sonde_canvas *canvas)
{
    return canvas->kind;
}

int sonde_canvas_scale(const struct sonde_canvas *canvas)
{
    return canvas->scale;
}

/* Remembers that a buffer ran out of memory, for the end. */
static void note_failure(struct sonde_canvas *c, const struct sonde_buf *buf)
{
    if (buf->failed && c->status == SONDE_STATUS_OK)
        c->status = SONDE_STATUS_MEMORY;
}

static void set_font(struct sonde_canvas *c, const struct sonde_text_style *style)
{
    PangoFontDescription *font = pango_font_description_new();
    pango_font_description_set_family_static(font, "DejaVu Sans, sans-serif");
    pango_font_description_set_absolute_size(font, style->size * PANGO_SCALE);
    pango_font_description_set_weight(font, style->bold ? PANGO_WEIGHT_BOLD : PANGO_WEIGHT_NORMAL);
    pango_layout_set_font_description(c->layout, font);
    pango_font_description_free(font);
}

static double layout_width(struct sonde_canvas *c, const char *text, size_t n)
{
    int width, height;
    pango_layout_set_text(c->layout, text, (int)n);
    pango_layout_get_size(c->layout, &width, &height);
    return (double)width / PANGO_SCALE;
}

/* The longest beginning of text[0..n) that stays within the width together with an ellipsis. Cuts
 * between code points that take a column, so a mark stays with its letter. */
static size_t find_cut(struct sonde_canvas *c, struct sonde_buf *trial, const char *text, size_t n,
                       double width)
{
    int64_t low = 0, high = sonde_display_width(text, n);
    size_t kept = 0;
    while (low < high) {
        int64_t middle = low + (high - low + 1) / 2;
        sonde_buf_clear(trial);
        /* one column more, for the ellipsis that the cut adds */
        sonde_display_fit(trial, text, n, middle);
        if (trial->failed)
            return kept;
        if (layout_width(c, trial->data, trial->size) <= width) {
            low = middle;
            kept = trial->size;
        } else {
            high = middle - 1;
        }
    }
    sonde_buf_clear(trial);
    sonde_display_fit(trial, text, n, low > 0 ? low : 1);
    return trial->size;
}

/* Makes the text clean, cuts it, and sets it into the layout. Its size in points. */
static void prepare(struct sonde_canvas *c, const char *text, const struct sonde_text_style *style,
                    double *width, double *height)
{
    sonde_buf_clear(&c->text);
    size_t n = text ? strlen(text) : 0;
    if (n > LABEL_BYTES_MAX) {
        n = LABEL_BYTES_MAX;
        while (n > LABEL_BYTES_MAX - 4 && ((unsigned char)text[n] & 0xc0) == 0x80)
            n--;
    }
    sonde_display_token(&c->text, text ? text : "", n);
    set_font(c, style);
    pango_layout_set_width(c->layout, -1);
    const char *clean = c->text.data ? c->text.data : "";
    *width = layout_width(c, clean, c->text.size);
    if (style->max_width > 0 && *width > style->max_width) {
        struct sonde_buf cut = { 0 };
        find_cut(c, &cut, clean, c->text.size, style->max_width);
        if (!cut.failed && cut.data) {
            sonde_buf_clear(&c->text);
            sonde_buf_append(&c->text, cut.data, cut.size);
        }
        note_failure(c, &cut);
        sonde_buf_finish(&cut);
        *width = layout_width(c, c->text.data ? c->text.data : "", c->text.size);
    }
    int w, h;
    pango_layout_get_size(c->layout, &w, &h);
    *height = (double)h / PANGO_SCALE;
    note_failure(c, &c->text);
}

void sonde_canvas_measure(struct sonde_canvas *canvas, const char *text,
                          const struct sonde_text_style *style, double *width, double *height)
{
    double w, h;
    prepare(canvas, text, style, &w, &h);
    if (width)
        *width = w;
    if (height)
        *height = h;
}

static enum sonde_status begin_image(struct sonde_canvas *c, struct sonde_error *error)
{
    int width = (int)c->width * c->scale, height = (int)c->height * c->scale;
    c->surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, width, height);
    c->cairo = cairo_create(c->surface);
    if (cairo_status(c->cairo) != CAIRO_STATUS_SUCCESS)
        return sonde_error_memory(error, "the picture");
    cairo_scale(c->cairo, c->scale, c->scale);
    cairo_set_source_rgb(c->cairo, 1, 1, 1);
    cairo_paint(c->cairo);
    cairo_set_line_join(c->cairo, CAIRO_LINE_JOIN_ROUND);
    pango_cairo_update_layout(c->cairo, c->layout);
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_canvas_begin(struct sonde_canvas *canvas, double width, double height,
                                     int scale, struct sonde_error *error)
{
    struct sonde_canvas *c = canvas;
    c->width = ceil(width);
    c->height = ceil(height);
    if (!(c->width >= 1 && c->height >= 1 && c->width <= SONDE_CANVAS_SIDE_MAX &&
          c->height <= SONDE_CANVAS_SIDE_MAX && c->width * c->height <= SONDE_CANVAS_PIXELS_MAX))
        return sonde_error_set(
            error, SONDE_STATUS_LIMIT,
            "figure: %.0f x %.0f points, expected at most %d a side and %d in all", c->width,
            c->height, SONDE_CANVAS_SIDE_MAX, SONDE_CANVAS_PIXELS_MAX);
    c->scale = scale < 1 ? 1 : scale > 4 ? 4 : scale;
    if (c->width * c->height * c->scale * c->scale > SONDE_CANVAS_PIXELS_MAX)
        c->scale = 1;
    if (c->kind == SONDE_CANVAS_IMAGE)
        return begin_image(c, error);
    sonde_svg_begin(&c->svg, c->width, c->height);
    return SONDE_STATUS_OK;
}

static void set_source(struct sonde_canvas *c, struct sonde_color color, double alpha)
{
    cairo_set_source_rgba(c->cairo, color.r / 255.0, color.g / 255.0, color.b / 255.0, alpha);
}

static void set_stroke(struct sonde_canvas *c, const struct sonde_stroke *s)
{
    set_source(c, s->color, s->alpha > 0 ? s->alpha : 1);
    cairo_set_line_width(c->cairo, s->width);
    double dash[2] = { s->dash, s->gap };
    cairo_set_dash(c->cairo, dash, s->dash > 0 ? 2 : 0, 0);
}

void sonde_canvas_fill(struct sonde_canvas *canvas, double x, double y, double width, double height,
                       struct sonde_color color)
{
    struct sonde_canvas *c = canvas;
    const struct sonde_color *fill = &color;
    if (c->kind == SONDE_CANVAS_SVG) {
        sonde_svg_rectangle(&c->svg, x, y, width, height, fill, NULL);
        return;
    }
    cairo_rectangle(c->cairo, x, y, width, height);
    set_source(c, color, 1);
    cairo_fill(c->cairo);
}

void sonde_canvas_frame(struct sonde_canvas *canvas, double x, double y, double width,
                        double height, const struct sonde_stroke *stroke)
{
    struct sonde_canvas *c = canvas;
    if (c->kind == SONDE_CANVAS_SVG) {
        sonde_svg_rectangle(&c->svg, x, y, width, height, NULL, stroke);
        return;
    }
    cairo_rectangle(c->cairo, x, y, width, height);
    set_stroke(c, stroke);
    cairo_stroke(c->cairo);
}

static void trace_path(struct sonde_canvas *c, const struct sonde_point *point, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        cairo_line_to(c->cairo, point[i].x, point[i].y);
}

void sonde_canvas_line(struct sonde_canvas *canvas, const struct sonde_point *point, int64_t n,
                       const struct sonde_stroke *stroke)
{
    struct sonde_canvas *c = canvas;
    if (c->kind == SONDE_CANVAS_SVG) {
        sonde_svg_path(&c->svg, point, n, stroke, NULL, 1);
        return;
    }
    trace_path(c, point, n);
    set_stroke(c, stroke);
    cairo_stroke(c->cairo);
}

void sonde_canvas_polygon(struct sonde_canvas *canvas, const struct sonde_point *point, int64_t n,
                          struct sonde_color color, double alpha)
{
    struct sonde_canvas *c = canvas;
    if (c->kind == SONDE_CANVAS_SVG) {
        const struct sonde_color *fill = &color;
        sonde_svg_path(&c->svg, point, n, NULL, fill, alpha);
        return;
    }
    trace_path(c, point, n);
    cairo_close_path(c->cairo);
    set_source(c, color, alpha);
    cairo_fill(c->cairo);
}

void sonde_canvas_circle(struct sonde_canvas *canvas, double x, double y, double radius,
                         struct sonde_color color, double alpha)
{
    struct sonde_canvas *c = canvas;
    if (c->kind == SONDE_CANVAS_SVG) {
        sonde_svg_circle(&c->svg, x, y, radius, color, alpha);
        return;
    }
    cairo_new_sub_path(c->cairo);
    cairo_arc(c->cairo, x, y, radius, 0, 2 * PI);
    set_source(c, color, alpha);
    cairo_fill(c->cairo);
}

static double aligned(enum sonde_text_align align, double place, double length)
{
    switch (align) {
    case SONDE_TEXT_ALIGN_LEFT:
        return place;
    case SONDE_TEXT_ALIGN_RIGHT:
        return place - length;
    case SONDE_TEXT_ALIGN_CENTER:
        break;
    }
    return place - length / 2;
}

void sonde_canvas_text(struct sonde_canvas *canvas, double x, double y, const char *text,
                       const struct sonde_text_style *style)
{
    struct sonde_canvas *c = canvas;
    double width, height;
    prepare(c, text, style, &width, &height);
    if (c->text.size == 0)
        return;
    double base = (double)pango_layout_get_baseline(c->layout) / PANGO_SCALE;
    /* vertical text runs along -y: its beginning is below */
    double left = style->vertical ? x - height / 2 : aligned(style->align, x, width);
    double top = style->vertical ? 2 * y - aligned(style->align, y, width) : y - height / 2;
    if (c->kind == SONDE_CANVAS_SVG) {
        double base_x = style->vertical ? left + base : left;
        double base_y = style->vertical ? top : top + base;
        sonde_svg_text(&c->svg, base_x, base_y, c->text.data, width, style);
        return;
    }
    cairo_save(c->cairo);
    cairo_move_to(c->cairo, left, top);
    if (style->vertical)
        cairo_rotate(c->cairo, -PI / 2);
    set_source(c, style->color, 1);
    pango_cairo_show_layout(c->cairo, c->layout);
    cairo_restore(c->cairo);
    cairo_new_path(c->cairo);
}

double sonde_canvas_paragraph(struct sonde_canvas *canvas, double x, double y, double width,
                              const char *text, const struct sonde_text_style *style, bool draw)
{
    struct sonde_canvas *c = canvas;
    struct sonde_text_style whole = *style;
    whole.max_width = 0;
    double w, h;
    prepare(c, text, &whole, &w, &h);
    if (c->text.size == 0)
        return 0;
    pango_layout_set_width(c->layout, (int)(width * PANGO_SCALE));
    pango_layout_set_wrap(c->layout, PANGO_WRAP_WORD_CHAR);
    int lines = pango_layout_get_line_count(c->layout);
    if (!draw)
        return lines * h;
    /* lines are drawn one by one, as the SVG needs them; the text moves, so places come first */
    struct sonde_buf copy = { 0 };
    sonde_buf_append(&copy, c->text.data, c->text.size);
    struct sonde_text_style one = whole;
    one.align = SONDE_TEXT_ALIGN_LEFT;
    for (int i = 0; i < lines && !copy.failed; i++) {
        pango_layout_set_text(c->layout, copy.data, (int)copy.size);
        pango_layout_set_width(c->layout, (int)(width * PANGO_SCALE));
        const PangoLayoutLine *line = pango_layout_get_line_readonly(c->layout, i);
        size_t begin = (size_t)line->start_index, n = (size_t)line->length;
        while (n > 0 && copy.data[begin + n - 1] == ' ')
            n--;
        struct sonde_buf part = { 0 };
        sonde_buf_append(&part, copy.data + begin, n);
        sonde_canvas_text(c, x, y + (i + 0.5) * h, part.data, &one);
        note_failure(c, &part);
        sonde_buf_finish(&part);
    }
    note_failure(c, &copy);
    sonde_buf_finish(&copy);
    return lines * h;
}

/* Writes cells as pixels, which is exact and quick; false where they are no whole pixels. */
static bool put_pixels(struct sonde_canvas *c, double x, double y, double cell_width,
                       double cell_height, int64_t rows, int64_t columns,
                       const struct sonde_color *color)
{
    double s = c->scale;
    int64_t left = (int64_t)(x * s), top = (int64_t)(y * s);
    int64_t w = (int64_t)(cell_width * s), h = (int64_t)(cell_height * s);
    if (x * s != (double)left || y * s != (double)top || cell_width * s != (double)w ||
        cell_height * s != (double)h || left < 0 || top < 0 ||
        left + w * columns > cairo_image_surface_get_width(c->surface) ||
        top + h * rows > cairo_image_surface_get_height(c->surface))
        return false;
    cairo_surface_flush(c->surface);
    unsigned char *data = cairo_image_surface_get_data(c->surface);
    int64_t stride = cairo_image_surface_get_stride(c->surface);
    for (int64_t r = 0; r < rows; r++) {
        uint32_t *first = (uint32_t *)(void *)(data + (top + r * h) * stride) + left;
        for (int64_t k = 0; k < columns; k++) {
            struct sonde_color q = color[r * columns + k];
            uint32_t pixel = 0xff000000u | (uint32_t)q.r << 16 | (uint32_t)q.g << 8 | q.b;
            for (int64_t i = 0; i < w; i++)
                first[k * w + i] = pixel;
        }
        for (int64_t i = 1; i < h; i++)
            memcpy(data + (top + r * h + i) * stride + left * 4, first, (size_t)(columns * w * 4));
    }
    cairo_surface_mark_dirty(c->surface);
    return true;
}

void sonde_canvas_cells(struct sonde_canvas *canvas, double x, double y, double cell_width,
                        double cell_height, int64_t rows, int64_t columns,
                        const struct sonde_color *color)
{
    struct sonde_canvas *c = canvas;
    if (c->kind == SONDE_CANVAS_SVG) {
        enum sonde_status status =
            sonde_svg_cells(&c->svg, x, y, cell_width, cell_height, rows, columns, color, NULL);
        c->status = c->status == SONDE_STATUS_OK ? status : c->status;
        return;
    }
    if (put_pixels(c, x, y, cell_width, cell_height, rows, columns, color))
        return;
    cairo_set_antialias(c->cairo, CAIRO_ANTIALIAS_NONE);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t k = 0; k < columns; k++)
            sonde_canvas_fill(c, x + (double)k * cell_width, y + (double)r * cell_height,
                              cell_width, cell_height, color[r * columns + k]);
    cairo_set_antialias(c->cairo, CAIRO_ANTIALIAS_DEFAULT);
}

void sonde_canvas_describe(struct sonde_canvas *canvas, const char *title, const char *text)
{
    if (canvas->kind == SONDE_CANVAS_SVG)
        sonde_svg_describe(&canvas->svg, title, text);
}

static enum sonde_status drawing_status(const struct sonde_canvas *c, struct sonde_error *error)
{
    if (c->status != SONDE_STATUS_OK ||
        (c->cairo && cairo_status(c->cairo) != CAIRO_STATUS_SUCCESS))
        return sonde_error_memory(error, "the picture");
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_canvas_pixels(struct sonde_canvas *canvas, const uint32_t **pixel,
                                      int64_t *width, int64_t *height, int64_t *stride,
                                      struct sonde_error *error)
{
    struct sonde_canvas *c = canvas;
    enum sonde_status status = drawing_status(c, error);
    if (status != SONDE_STATUS_OK)
        return status;
    cairo_surface_flush(c->surface);
    *pixel = (const uint32_t *)(const void *)cairo_image_surface_get_data(c->surface);
    *width = cairo_image_surface_get_width(c->surface);
    *height = cairo_image_surface_get_height(c->surface);
    *stride = cairo_image_surface_get_stride(c->surface) / 4;
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_canvas_svg(struct sonde_canvas *canvas,
                                   const struct sonde_figure_provenance *p, struct sonde_buf *out,
                                   struct sonde_error *error)
{
    struct sonde_canvas *c = canvas;
    enum sonde_status status = drawing_status(c, error);
    if (status != SONDE_STATUS_OK)
        return status;
    sonde_svg_metadata(&c->svg, p);
    sonde_svg_end(&c->svg);
    status = sonde_buf_status(&c->svg, error);
    if (status != SONDE_STATUS_OK)
        return status;
    sonde_buf_append(out, c->svg.data, c->svg.size);
    return sonde_buf_status(out, error);
}
