#include "analysis/report/result.h"

#include "analysis/display.h"
#include "analysis/report/html_parts.h"
#include "analysis/report/html_style.h"

#define ROWS_MAX 2000 /* of a table; more makes a page that browsers choke on */

static void put_parameters(struct sonde_buf *out, const char *title,
                           const struct sonde_result_parameter *parameter, int64_t n)
{
    if (n == 0)
        return;
    sonde_buf_printf(out, "<h3>%s</h3>\n<dl>\n", title);
    for (int64_t i = 0; i < n; i++) {
        char number[SONDE_DISPLAY_NUMBER_MAX];
        sonde_buf_puts(out, "<div><dt>");
        sonde_html_text(out, parameter[i].name);
        sonde_buf_puts(out, "</dt><dd>");
        if (parameter[i].value.kind == SONDE_CELL_REAL) {
            sonde_display_number(number, parameter[i].value.real, 6);
            sonde_buf_puts(out, number);
        } else {
            sonde_html_cell(out, &parameter[i].value, NULL);
        }
        sonde_buf_puts(out, "</dd></div>\n");
    }
    sonde_buf_puts(out, "</dl>\n");
}

static void put_table(struct sonde_buf *out, const struct sonde_table *t, int64_t result,
                      int64_t index)
{
    int64_t shown = t->n_rows < ROWS_MAX ? t->n_rows : ROWS_MAX;
    sonde_buf_printf(out, "<h3 id=\"result-%lld-table-%lld\">", (long long)result,
                     (long long)index);
    sonde_html_text(out, t->name);
    sonde_buf_printf(out, " <small>%lld %s</small></h3>\n", (long long)t->n_rows,
                     t->n_rows == 1 ? "row" : "rows");
    if (t->n_rows > 0) {
        sonde_buf_puts(out, "<div class=\"scroll\" tabindex=\"0\">");
        sonde_html_table(out, t, shown);
        sonde_buf_puts(out, "</div>\n");
    }
    if (shown < t->n_rows)
        sonde_buf_printf(out, "<p class=\"note\">The first %lld of %lld rows.</p>\n",
                         (long long)shown, (long long)t->n_rows);
}

static enum sonde_status put_figure(struct sonde_buf *out, const struct sonde_figure *f,
                                    const struct sonde_figure_provenance *p, int64_t result,
                                    int64_t index, struct sonde_error *error)
{
    /* a table of tokens must be read: it scrolls sideways where others shrink */
    const char *style = f->kind == SONDE_FIGURE_TEXT ? " class=\"whole\"" : "";
    sonde_buf_printf(out, "<figure id=\"result-%lld-figure-%lld\"%s>\n", (long long)result,
                     (long long)index, style);
    enum sonde_status status = sonde_html_picture(out, f, p, error);
    sonde_buf_puts(out, "</figure>\n");
    return status;
}

static void put_warnings(struct sonde_buf *out, const struct sonde_result *r)
{
    for (int64_t i = 0; i < r->n_warnings; i++) {
        sonde_buf_puts(out, "<p class=\"warning\"><b>Warning:</b> ");
        sonde_html_text(out, r->warning[i]);
        sonde_buf_puts(out, "</p>\n");
    }
}

static enum sonde_status put_result(struct sonde_buf *out, const struct sonde_html_page *page,
                                    int64_t index, struct sonde_error *error)
{
    const struct sonde_result *r = page->result[index];
    int64_t number = index + 1;
    sonde_buf_printf(out, "<section id=\"result-%lld\">\n<h2>", (long long)number);
    sonde_html_text(out, r->command);
    if (page->result_time && page->result_time[index]) {
        sonde_buf_puts(out, " <small>");
        sonde_html_text(out, page->result_time[index]);
        sonde_buf_puts(out, "</small>");
    }
    sonde_buf_puts(out, "</h2>\n");
    put_warnings(out, r);
    put_parameters(out, "Parameters", r->parameter, r->n_parameters);
    put_parameters(out, "Numbers", r->scalar, r->n_scalars);
    sonde_html_checks(out, r);
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
        sonde_html_text(out, r->command);
        sonde_buf_puts(out, "</a>");
        bool inner = r->n_figures + r->n_tables > 0;
        sonde_buf_puts(out, inner ? "\n<ul>\n" : "");
        for (int64_t i = 0; i < r->n_figures; i++) {
            sonde_buf_printf(out, "<li><a href=\"#result-%lld-figure-%lld\">", (long long)k + 1,
                             (long long)i + 1);
            sonde_html_text(out, r->figure[i]->title ? r->figure[i]->title : r->figure[i]->name);
            sonde_buf_puts(out, "</a></li>\n");
        }
        for (int64_t i = 0; i < r->n_tables; i++) {
            sonde_buf_printf(out, "<li><a href=\"#result-%lld-table-%lld\">", (long long)k + 1,
                             (long long)i + 1);
            sonde_html_text(out, r->table[i]->name);
            sonde_buf_puts(out, "</a></li>\n");
        }
        sonde_buf_puts(out, inner ? "</ul></li>\n" : "</li>\n");
    }
    sonde_buf_puts(out, "</ol>\n</nav>\n");
}

enum sonde_status sonde_render_html(const struct sonde_html_page *page, struct sonde_buf *out,
                                    struct sonde_error *error)
{
    const char *title = page->title ? page->title : "Sonde";
    const char *const style[] = { sonde_html_style, NULL };
    sonde_html_head(out, title, style, "light dark");
    sonde_buf_puts(out, "<header>\n<h1>");
    sonde_html_text(out, title);
    sonde_buf_puts(out, "</h1>\n");
    if (page->subtitle) {
        sonde_buf_puts(out, "<p>");
        sonde_html_text(out, page->subtitle);
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
    sonde_html_footer(out, &page->provenance);
    sonde_buf_puts(out, "</body>\n</html>\n");
    return status == SONDE_STATUS_OK ? sonde_buf_status(out, error) : status;
}
