#include "analysis/report/result.h"

#include <stdlib.h>
#include <string.h>

#include "analysis/display.h"
#include "analysis/figure/svg.h"
#include "analysis/report/cell_format.h"
#include "analysis/report/html_style.h"
#include "core/base/base64.h"

#define ROWS_MAX 2000 /* of a table; more makes a page that browsers choke on */
/* A drawing of more bytes than this is a picture of many cells: as PNG it is smaller and quicker.
 */
#define SVG_BYTES_MAX 300000

static void put_text(struct sonde_buf *out, const char *text)
{
    struct sonde_buf clean = { 0 };
    sonde_display_clean(&clean, text, strlen(text));
    sonde_xml_escape(out, clean.data ? clean.data : "");
    out->failed = out->failed || clean.failed;
    sonde_buf_finish(&clean);
}

static void put_cell(struct sonde_buf *out, const struct sonde_cell *cell,
                     const struct sonde_column_format *format)
{
    struct sonde_buf text = { 0 };
    sonde_cell_print(&text, cell, format);
    sonde_xml_escape(out, text.data ? text.data : "");
    out->failed = out->failed || text.failed;
    sonde_buf_finish(&text);
}

static void put_parameters(struct sonde_buf *out, const char *title,
                           const struct sonde_result_parameter *parameter, int64_t n)
{
    if (n == 0)
        return;
    sonde_buf_printf(out, "<h3>%s</h3>\n<dl>\n", title);
    for (int64_t i = 0; i < n; i++) {
        char number[SONDE_DISPLAY_NUMBER_MAX];
        sonde_buf_puts(out, "<div><dt>");
        put_text(out, parameter[i].name);
        sonde_buf_puts(out, "</dt><dd>");
        if (parameter[i].value.kind == SONDE_CELL_REAL) {
            sonde_display_number(number, parameter[i].value.real, 6);
            sonde_buf_puts(out, number);
        } else {
            put_cell(out, &parameter[i].value, NULL);
        }
        sonde_buf_puts(out, "</dd></div>\n");
    }
    sonde_buf_puts(out, "</dl>\n");
}

static void put_rows(struct sonde_buf *out, const struct sonde_table *t, int64_t n_rows)
{
    struct sonde_column_format *format =
        calloc(t->n_columns ? (size_t)t->n_columns : 1, sizeof(*format));
    if (!format) {
        out->failed = true;
        return;
    }
    sonde_buf_puts(out, "<div class=\"scroll\" tabindex=\"0\"><table>\n<thead><tr>");
    for (int64_t c = 0; c < t->n_columns; c++) {
        format[c] = sonde_column_format_of(t, c, n_rows);
        sonde_buf_puts(out,
                       format[c].numeric ? "<th scope=\"col\" class=\"n\">" : "<th scope=\"col\">");
        put_text(out, t->column[c]);
        sonde_buf_puts(out, "</th>");
    }
    sonde_buf_puts(out, "</tr></thead>\n<tbody>\n");
    for (int64_t r = 0; r < n_rows; r++) {
        sonde_buf_puts(out, "<tr>");
        for (int64_t c = 0; c < t->n_columns; c++) {
            const struct sonde_cell *cell = &t->cell[r * t->n_columns + c];
            sonde_buf_puts(out, format[c].numeric ? "<td class=\"n\">" : "<td>");
            put_cell(out, cell, &format[c]);
            sonde_buf_puts(out, "</td>");
        }
        sonde_buf_puts(out, "</tr>\n");
    }
    sonde_buf_puts(out, "</tbody></table></div>\n");
    free(format);
}

static void put_table(struct sonde_buf *out, const struct sonde_table *t, int64_t result,
                      int64_t index)
{
    int64_t shown = t->n_rows < ROWS_MAX ? t->n_rows : ROWS_MAX;
    sonde_buf_printf(out, "<h3 id=\"result-%lld-table-%lld\">", (long long)result,
                     (long long)index);
    put_text(out, t->name);
    sonde_buf_printf(out, " <small>%lld %s</small></h3>\n", (long long)t->n_rows,
                     t->n_rows == 1 ? "row" : "rows");
    if (t->n_rows > 0)
        put_rows(out, t, shown);
    if (shown < t->n_rows)
        sonde_buf_printf(out, "<p class=\"note\">The first %lld of %lld rows.</p>\n",
                         (long long)shown, (long long)t->n_rows);
}

static enum sonde_status put_png(struct sonde_buf *out, const struct sonde_figure *f,
                                 const struct sonde_figure_provenance *p, struct sonde_error *error)
{
    struct sonde_buf png = { 0 };
    enum sonde_status status = sonde_figure_png(f, p, &png, error);
    if (status == SONDE_STATUS_OK) {
        sonde_buf_puts(out, "<img alt=\"");
        put_text(out, f->title ? f->title : f->name);
        sonde_buf_puts(out, "\" src=\"data:image/png;base64,");
        sonde_base64_encode(out, png.data, png.size);
        sonde_buf_puts(out, "\">\n");
    }
    sonde_buf_finish(&png);
    return status;
}

static enum sonde_status put_figure(struct sonde_buf *out, const struct sonde_figure *f,
                                    const struct sonde_figure_provenance *p, int64_t result,
                                    int64_t index, struct sonde_error *error)
{
    struct sonde_buf svg = { 0 };
    enum sonde_status status = sonde_figure_svg(f, NULL, &svg, error);
    /* a table of tokens must be read: it scrolls sideways where others shrink */
    const char *style = f->kind == SONDE_FIGURE_TEXT ? " class=\"whole\"" : "";
    sonde_buf_printf(out, "<figure id=\"result-%lld-figure-%lld\"%s>\n", (long long)result,
                     (long long)index, style);
    if (status == SONDE_STATUS_OK && svg.size <= SVG_BYTES_MAX)
        sonde_buf_append(out, svg.data, svg.size);
    else if (status == SONDE_STATUS_OK)
        status = put_png(out, f, p, error);
    sonde_buf_puts(out, "</figure>\n");
    sonde_buf_finish(&svg);
    return status;
}

static void put_checks(struct sonde_buf *out, const struct sonde_result *r)
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
        put_text(out, check->name);
        sonde_buf_printf(out, ": %s", number);
        if (check->limit) {
            sonde_buf_puts(out, " <small>(");
            put_text(out, check->limit);
            sonde_buf_puts(out, ")</small>");
        }
        sonde_buf_puts(out, "</li>\n");
    }
    sonde_buf_puts(out, "</ul>\n");
}

static void put_warnings(struct sonde_buf *out, const struct sonde_result *r)
{
    for (int64_t i = 0; i < r->n_warnings; i++) {
        sonde_buf_puts(out, "<p class=\"warning\"><b>Warning:</b> ");
        put_text(out, r->warning[i]);
        sonde_buf_puts(out, "</p>\n");
    }
}

static enum sonde_status put_result(struct sonde_buf *out, const struct sonde_html_page *page,
                                    int64_t index, struct sonde_error *error)
{
    const struct sonde_result *r = page->result[index];
    int64_t number = index + 1;
    sonde_buf_printf(out, "<section id=\"result-%lld\">\n<h2>", (long long)number);
    put_text(out, r->command);
    if (page->result_time && page->result_time[index]) {
        sonde_buf_puts(out, " <small>");
        put_text(out, page->result_time[index]);
        sonde_buf_puts(out, "</small>");
    }
    sonde_buf_puts(out, "</h2>\n");
    put_warnings(out, r);
    put_parameters(out, "Parameters", r->parameter, r->n_parameters);
    put_parameters(out, "Numbers", r->scalar, r->n_scalars);
    put_checks(out, r);
    enum sonde_status status = SONDE_STATUS_OK;
    for (int64_t i = 0; i < r->n_figures && status == SONDE_STATUS_OK; i++)
        status = put_figure(out, r->figure[i], &page->provenance, number, i + 1, error);
    for (int64_t i = 0; i < r->n_tables; i++)
        put_table(out, r->table[i], number, i + 1);
    sonde_buf_puts(out, "</section>\n");
    return status;
}

static void put_contents(struct sonde_buf *out, const struct sonde_html_page *page)
{
    sonde_buf_puts(out, "<nav aria-label=\"Contents\">\n<h2>Contents</h2>\n<ol>\n");
    for (int64_t k = 0; k < page->n_results; k++) {
        const struct sonde_result *r = page->result[k];
        sonde_buf_printf(out, "<li><a href=\"#result-%lld\">", (long long)k + 1);
        put_text(out, r->command);
        sonde_buf_puts(out, "</a>");
        bool inner = r->n_figures + r->n_tables > 0;
        sonde_buf_puts(out, inner ? "\n<ul>\n" : "");
        for (int64_t i = 0; i < r->n_figures; i++) {
            sonde_buf_printf(out, "<li><a href=\"#result-%lld-figure-%lld\">", (long long)k + 1,
                             (long long)i + 1);
            put_text(out, r->figure[i]->title ? r->figure[i]->title : r->figure[i]->name);
            sonde_buf_puts(out, "</a></li>\n");
        }
        for (int64_t i = 0; i < r->n_tables; i++) {
            sonde_buf_printf(out, "<li><a href=\"#result-%lld-table-%lld\">", (long long)k + 1,
                             (long long)i + 1);
            put_text(out, r->table[i]->name);
            sonde_buf_puts(out, "</a></li>\n");
        }
        sonde_buf_puts(out, inner ? "</ul></li>\n" : "</li>\n");
    }
    sonde_buf_puts(out, "</ol>\n</nav>\n");
}

static void put_provenance(struct sonde_buf *out, const struct sonde_figure_provenance *p)
{
    sonde_buf_puts(out, "<footer>\n");
    if (p->command) {
        sonde_buf_puts(out, "<p>Made by <code>");
        put_text(out, p->command);
        sonde_buf_puts(out, "</code></p>\n");
    }
    if (p->model_hash && *p->model_hash) {
        sonde_buf_puts(out, "<p>SHA-256 of the weights: <code>");
        put_text(out, p->model_hash);
        sonde_buf_puts(out, "</code></p>\n");
    }
    sonde_buf_puts(out, "<p>Sonde ");
    put_text(out, p->version ? p->version : SONDE_VERSION);
    sonde_buf_puts(out, "</p>\n</footer>\n");
}

enum sonde_status sonde_render_html(const struct sonde_html_page *page, struct sonde_buf *out,
                                    struct sonde_error *error)
{
    const char *title = page->title ? page->title : "Sonde";
    /* nothing is loaded from elsewhere, and the page says so to the browser */
    sonde_buf_puts(out,
                   "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                   "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                   "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
                   "style-src 'unsafe-inline'; img-src data:\">\n"
                   "<meta name=\"color-scheme\" content=\"light dark\">\n"
                   "<link rel=\"icon\" href=\"data:,\">\n<title>");
    put_text(out, title);
    sonde_buf_puts(out, "</title>\n<style>\n");
    sonde_buf_puts(out, sonde_html_style);
    sonde_buf_puts(out, "</style>\n</head>\n<body>\n<header>\n<h1>");
    put_text(out, title);
    sonde_buf_puts(out, "</h1>\n");
    if (page->subtitle) {
        sonde_buf_puts(out, "<p>");
        put_text(out, page->subtitle);
        sonde_buf_puts(out, "</p>\n");
    }
    sonde_buf_puts(out, "</header>\n");
    put_contents(out, page);
    sonde_buf_puts(out, "<main>\n");
    enum sonde_status status = SONDE_STATUS_OK;
    for (int64_t i = 0; i < page->n_results && status == SONDE_STATUS_OK; i++)
        status = put_result(out, page, i, error);
    if (page->n_results == 0)
        sonde_buf_puts(out, "<p>There are no results yet.</p>\n");
    sonde_buf_puts(out, "</main>\n");
    put_provenance(out, &page->provenance);
    sonde_buf_puts(out, "</body>\n</html>\n");
    return status == SONDE_STATUS_OK ? sonde_buf_status(out, error) : status;
}
