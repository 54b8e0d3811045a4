#include "analysis/report/html_parts.h"

#include <stdlib.h>
#include <string.h>

#include "analysis/display.h"
#include "analysis/figure/svg.h"
#include "core/base/base64.h"

/* A drawing of more bytes than this is a picture of many cells: as PNG it is smaller and quicker.
 */
#define SVG_BYTES_MAX 300000

void sonde_html_text(struct sonde_buf *out, const char *text)
{
    struct sonde_buf clean = { 0 };
    sonde_display_clean(&clean, text, strlen(text));
    sonde_xml_escape(out, clean.data ? clean.data : "");
    out->failed = out->failed || clean.failed;
    sonde_buf_finish(&clean);
}

void sonde_html_cell(struct sonde_buf *out, const struct sonde_cell *cell,
                     const struct sonde_column_format *format)
{
    struct sonde_buf text = { 0 };
    sonde_cell_print(&text, cell, format);
    sonde_xml_escape(out, text.data ? text.data : "");
    out->failed = out->failed || text.failed;
    sonde_buf_finish(&text);
}

void sonde_html_table(struct sonde_buf *out, const struct sonde_table *t, int64_t n_rows)
{
    struct sonde_column_format *format =
        calloc(t->n_columns ? (size_t)t->n_columns : 1, sizeof(*format));
    if (!format) {
        out->failed = true;
        return;
    }
    sonde_buf_puts(out, "<table>\n<thead><tr>");
    for (int64_t c = 0; c < t->n_columns; c++) {
        format[c] = sonde_column_format_of(t, c, n_rows);
        sonde_buf_puts(out,
                       format[c].numeric ? "<th scope=\"col\" class=\"n\">" : "<th scope=\"col\">");
        sonde_html_text(out, t->column[c]);
        sonde_buf_puts(out, "</th>");
    }
    sonde_buf_puts(out, "</tr></thead>\n<tbody>\n");
    for (int64_t r = 0; r < n_rows; r++) {
        sonde_buf_puts(out, "<tr>");
        for (int64_t c = 0; c < t->n_columns; c++) {
            const struct sonde_cell *cell = &t->cell[r * t->n_columns + c];
            sonde_buf_puts(out, format[c].numeric ? "<td class=\"n\">" : "<td>");
            sonde_html_cell(out, cell, &format[c]);
            sonde_buf_puts(out, "</td>");
        }
        sonde_buf_puts(out, "</tr>\n");
    }
    sonde_buf_puts(out, "</tbody></table>");
    free(format);
}

static enum sonde_status put_png(struct sonde_buf *out, const struct sonde_figure *f,
                                 const struct sonde_figure_provenance *p, struct sonde_error *error)
{
    struct sonde_buf png = { 0 };
    enum sonde_status status = sonde_figure_png(f, p, &png, error);
    if (status == SONDE_STATUS_OK) {
        sonde_buf_puts(out, "<img alt=\"");
        sonde_html_text(out, f->title ? f->title : f->name);
        sonde_buf_puts(out, "\" src=\"data:image/png;base64,");
        sonde_base64_encode(out, png.data, png.size);
        sonde_buf_puts(out, "\">\n");
    }
    sonde_buf_finish(&png);
    return status;
}

enum sonde_status sonde_html_picture(struct sonde_buf *out, const struct sonde_figure *f,
                                     const struct sonde_figure_provenance *p,
                                     struct sonde_error *error)
{
    struct sonde_buf svg = { 0 };
    enum sonde_status status = sonde_figure_svg(f, NULL, &svg, error);
    if (status == SONDE_STATUS_OK && svg.size <= SVG_BYTES_MAX)
        sonde_buf_append(out, svg.data, svg.size);
    else if (status == SONDE_STATUS_OK)
        status = put_png(out, f, p, error);
    sonde_buf_finish(&svg);
    return status;
}

void sonde_html_checks(struct sonde_buf *out, const struct sonde_result *r)
{
    if (r->n_checks == 0)
        return;
    sonde_buf_puts(out, "<h3>Checks</h3>\n<ul class=\"checks\">\n");
    for (int64_t i = 0; i < r->n_checks; i++) {
        const struct sonde_result_check *check = &r->check[i];
        char number[SONDE_DISPLAY_NUMBER_MAX];
        sonde_display_number(number, check->value, 4);
        sonde_buf_puts(out, check->ok ? "<li><b class=\"ok\">ok</b> "
                                      : "<li><b class=\"bad\">"
                                        "failed</b> ");
        sonde_html_text(out, check->name);
        sonde_buf_printf(out, ": %s", number);
        if (check->limit) {
            sonde_buf_puts(out, " <small>(");
            sonde_html_text(out, check->limit);
            sonde_buf_puts(out, ")</small>");
        }
        sonde_buf_puts(out, "</li>\n");
    }
    sonde_buf_puts(out, "</ul>\n");
}

void sonde_html_footer(struct sonde_buf *out, const struct sonde_figure_provenance *p)
{
    sonde_buf_puts(out, "<footer>\n");
    if (p->command) {
        sonde_buf_puts(out, "<p>Made by <code>");
        sonde_html_text(out, p->command);
        sonde_buf_puts(out, "</code></p>\n");
    }
    if (p->model_hash && *p->model_hash) {
        sonde_buf_puts(out, "<p>SHA-256 of the weights: <code>");
        sonde_html_text(out, p->model_hash);
        sonde_buf_puts(out, "</code></p>\n");
    }
    sonde_buf_puts(out, "<p>Sonde ");
    sonde_html_text(out, p->version ? p->version : SONDE_VERSION);
    sonde_buf_puts(out, "</p>\n</footer>\n");
}

void sonde_html_head(struct sonde_buf *out, const char *title, const char *const *style,
                     const char *schemes)
{
    sonde_buf_printf(out,
                     "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                     "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                     "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
                     "style-src 'unsafe-inline'; img-src data:\">\n"
                     "<meta name=\"color-scheme\" content=\"%s\">\n"
                     "<link rel=\"icon\" href=\"data:,\">\n<title>",
                     schemes);
    sonde_html_text(out, title);
    sonde_buf_puts(out, "</title>\n<style>\n");
    for (; *style; style++)
        sonde_buf_printf(out, "%s\n", *style);
    sonde_buf_puts(out, "</style>\n</head>\n<body>\n");
}
