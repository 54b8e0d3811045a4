/* The style sheets of the HTML pages, as text. */
#ifndef SONDE_ANALYSIS_REPORT_HTML_STYLE_H
#define SONDE_ANALYSIS_REPORT_HTML_STYLE_H

extern const char sonde_html_style[];                /* of what a store holds */
extern const char *const sonde_html_article_style[]; /* of an article: lines, NULL ends */

#endif
