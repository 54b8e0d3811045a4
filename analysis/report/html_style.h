/* The style sheet of the HTML page, as text. */
#ifndef SONDE_ANALYSIS_REPORT_HTML_STYLE_H
#define SONDE_ANALYSIS_REPORT_HTML_STYLE_H

extern const char sonde_html_style[];

#endif
