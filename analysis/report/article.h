/*
 * Article: results as a page that is read from top to bottom: a few numbers, then sections with
 * prose, pictures side by side, tables, cards, and the commands that made them. Where
 * sonde_render_html shows all that a store holds, an article shows what somebody chose.
 *
 * Texts are plain; `words` between backticks are set as code, and "words" between guillemets («»)
 * in the lines of cards are marked. Everything is escaped and borrowed; nothing is loaded from
 * elsewhere.
 */
#ifndef SONDE_ANALYSIS_REPORT_ARTICLE_H
#define SONDE_ANALYSIS_REPORT_ARTICLE_H

#include "analysis/report/result.h"

struct sonde_article_number { /* one of the large ones at the top */
    const char *value, *what;
};
struct sonde_article_card {
    const char *title, *note; /* note may be NULL */
    const char *const *line;  /* [n_lines] */
    int64_t n_lines;
    const char *chips_title; /* may be NULL */
    const char *const *chip; /* [n_chips] single words */
    const bool *chip_marked; /* [n_chips] those that matter most; NULL = none */
    int64_t n_chips;
};
struct sonde_article_table {
    const struct sonde_table *table;
    const char *caption; /* may be NULL */
};
struct sonde_article_section {
    const char *id; /* anchor: letters and '-' */
    const char *title;
    const char *const *text;     /* paragraphs, NULL ends; may be NULL */
    const char *seen, *opposite; /* what is seen, what would show the opposite; may be NULL */
    const struct sonde_figure *const *figure; /* [n_figures] */
    int64_t n_figures;
    const struct sonde_article_card *card; /* [n_cards] */
    int64_t n_cards;
    const struct sonde_article_table *table; /* [n_tables] */
    int64_t n_tables;
    const char *command_title;  /* NULL = "Make this part yourself" */
    const char *const *command; /* lines, NULL ends; may be NULL */
};
struct sonde_article {
    const char *title, *subtitle;
    const char *const *lead;                   /* paragraphs, NULL ends; may be NULL */
    const struct sonde_article_number *number; /* [n_numbers] */
    int64_t n_numbers;
    const struct sonde_article_section *section; /* [n_sections] */
    int64_t n_sections;
    const struct sonde_result *checks; /* whose checks end the page; may be NULL */
    struct sonde_figure_provenance provenance;
};
SONDE_MUST_USE enum sonde_status sonde_render_article(const struct sonde_article *article,
                                                      struct sonde_buf *out,
                                                      struct sonde_error *error);

#endif
