/* A figure as a picture: the canvas, the one function of its kind, and the bytes or the file. */
#include <stdio.h>

#include "analysis/figure/draw.h"
#include "analysis/figure/png_encode.h"
#include "core/base/file.h"

static enum sonde_status draw_figure(struct sonde_canvas *c, const struct sonde_figure *f,
                                     struct sonde_error *error)
{
    if (f->failed)
        return sonde_error_memory(error, f->name);
    switch (f->kind) {
    case SONDE_FIGURE_HEATMAP:
        return sonde_draw_heatmap(c, f, error);
    case SONDE_FIGURE_TEXT:
        return sonde_draw_text_map(c, f, error);
    case SONDE_FIGURE_GRID:
        return sonde_draw_grid(c, f, error);
    case SONDE_FIGURE_LINE:
    case SONDE_FIGURE_BAR:
    case SONDE_FIGURE_SCATTER:
        return sonde_draw_chart(c, f, error);
    }
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_figure_svg(const struct sonde_figure *f,
                                   const struct sonde_figure_provenance *p, struct sonde_buf *out,
                                   struct sonde_error *error)
{
    struct sonde_canvas *c = NULL;
    enum sonde_status status = sonde_canvas_create(&c, SONDE_CANVAS_SVG, error);
    if (status == SONDE_STATUS_OK)
        status = draw_figure(c, f, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_canvas_svg(c, p, out, error);
    sonde_canvas_destroy(&c);
    return status;
}

enum sonde_status sonde_figure_png(const struct sonde_figure *f,
                                   const struct sonde_figure_provenance *p, struct sonde_buf *out,
                                   struct sonde_error *error)
{
    struct sonde_canvas *c = NULL;
    char software[64] = "";
    if (p && p->version)
        snprintf(software, sizeof(software), "sonde %s", p->version);
    const struct sonde_png_text text[] = {
        { "Title", f->title ? f->title : f->name },
        { "Command", p ? p->command : NULL },
        { "Model-SHA256", p ? p->model_hash : NULL },
        { "Software", software[0] ? software : "sonde" },
    };
    struct sonde_png_image image = { .text = text, .n_texts = 4 };
    enum sonde_status status = sonde_canvas_create(&c, SONDE_CANVAS_IMAGE, error);
    if (status == SONDE_STATUS_OK)
        status = draw_figure(c, f, error);
    if (status == SONDE_STATUS_OK)
        status =
            sonde_canvas_pixels(c, &image.pixel, &image.width, &image.height, &image.stride, error);
    if (status == SONDE_STATUS_OK) {
        image.scale = sonde_canvas_scale(c);
        status = sonde_png_encode(&image, out, error);
    }
    sonde_canvas_destroy(&c);
    return status;
}

static enum sonde_status save(const struct sonde_buf *buf, const char *path,
                              struct sonde_error *error)
{
    return sonde_file_save(path, buf->data, buf->size, error);
}

enum sonde_status sonde_figure_write_png(const struct sonde_figure *f, const char *path,
                                         const struct sonde_figure_provenance *p,
                                         struct sonde_error *error)
{
    struct sonde_buf buf = { 0 };
    enum sonde_status status = sonde_figure_png(f, p, &buf, error);
    if (status == SONDE_STATUS_OK)
        status = save(&buf, path, error);
    sonde_buf_finish(&buf);
    return status;
}

enum sonde_status sonde_figure_write_svg(const struct sonde_figure *f, const char *path,
                                         const struct sonde_figure_provenance *p,
                                         struct sonde_error *error)
{
    struct sonde_buf buf = { 0 };
    sonde_buf_puts(&buf, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    enum sonde_status status = sonde_figure_svg(f, p, &buf, error);
    if (status == SONDE_STATUS_OK)
        status = save(&buf, path, error);
    sonde_buf_finish(&buf);
    return status;
}
