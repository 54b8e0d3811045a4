/* What the HTML pages share: escaped text, a table's rows, a picture inside the page. Internal to
 * analysis/report. */
#ifndef SONDE_ANALYSIS_REPORT_HTML_PARTS_H
#define SONDE_ANALYSIS_REPORT_HTML_PARTS_H

#include "analysis/report/cell_format.h"
#include "analysis/report/result.h"

/* Clean and escaped. */
void sonde_html_text(struct sonde_buf *out, const char *text);
void sonde_html_cell(struct sonde_buf *out, const struct sonde_cell *cell,
                     const struct sonde_column_format *format);
/* <table> with the first n_rows rows. */
void sonde_html_table(struct sonde_buf *out, const struct sonde_table *t, int64_t n_rows);
/* <svg> or, where that would be large, <img>. */
SONDE_MUST_USE enum sonde_status sonde_html_picture(struct sonde_buf *out,
                                                    const struct sonde_figure *f,
                                                    const struct sonde_figure_provenance *p,
                                                    struct sonde_error *error);
/* The list of a result's checks, "" where it has none. */
void sonde_html_checks(struct sonde_buf *out, const struct sonde_result *r);
void sonde_html_footer(struct sonde_buf *out, const struct sonde_figure_provenance *p);
/* From <!DOCTYPE to <body>: nothing is loaded from elsewhere, and the page says so to the browser.
 * style: texts, NULL ends; schemes: "light dark" or "light". */
void sonde_html_head(struct sonde_buf *out, const char *title, const char *const *style,
                     const char *schemes);

#endif
