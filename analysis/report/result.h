/*
 * Result: what every probe and command gives back, as data: parameters, scalars, typed tables,
 * figures, checks, warnings. One renderer each for terminal, JSON, CSV, Markdown and HTML.
 *
 * Building never fails at the call: an allocation failure sets `failed`, checked once at the end
 * (sonde_result_status). Strings are copied. Names are stable: scripts rely on them.
 */
#ifndef SONDE_ANALYSIS_REPORT_RESULT_H
#define SONDE_ANALYSIS_REPORT_RESULT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "analysis/figure/figure.h"
#include "core/base/buf.h"
#include "core/base/json.h"
#include "core/base/status.h"

enum sonde_cell_kind {
    SONDE_CELL_NULL = 0,
    SONDE_CELL_TEXT,
    SONDE_CELL_INTEGER,
    SONDE_CELL_REAL, /* not finite prints as null in JSON, "-" on the terminal */
    SONDE_CELL_BOOL,
};
struct sonde_cell {
    enum sonde_cell_kind kind;
    char *text;
    int64_t integer;
    double real;
};
struct sonde_table {
    char *name;
    char **column;
    int64_t n_columns, n_rows, capacity;
    struct sonde_cell *cell; /* [n_rows, n_columns] */
    bool *failed;
};
struct sonde_result_parameter {
    char *name;
    struct sonde_cell value;
};
struct sonde_result_check {
    char *name, *limit;
    bool ok;
    double value;
};

struct sonde_result {
    char *command; /* "probe linear" */
    struct sonde_result_parameter *parameter;
    int64_t n_parameters, parameter_capacity;
    struct sonde_result_parameter *scalar; /* integer or real cells */
    int64_t n_scalars, scalar_capacity;
    struct sonde_table **table;
    int64_t n_tables, table_capacity;
    struct sonde_figure **figure;
    char **figure_files; /* per figure: comma-free list joined by '\n' of written files, or NULL */
    int64_t n_figures, figure_capacity;
    struct sonde_result_check *check;
    int64_t n_checks, check_capacity;
    char **warning;
    int64_t n_warnings, warning_capacity;
    bool failed;
};

struct sonde_result *sonde_result_create(const char *command);
void sonde_result_destroy(struct sonde_result **result);
enum sonde_status sonde_result_status(const struct sonde_result *result, struct sonde_error *error);

void sonde_result_parameter_text(struct sonde_result *r, const char *name, const char *value);
void sonde_result_parameter_i64(struct sonde_result *r, const char *name, int64_t value);
void sonde_result_parameter_f64(struct sonde_result *r, const char *name, double value);
void sonde_result_parameter_bool(struct sonde_result *r, const char *name, bool value);
void sonde_result_scalar_i64(struct sonde_result *r, const char *name, int64_t value);
void sonde_result_scalar_f64(struct sonde_result *r, const char *name, double value);
void sonde_result_check(struct sonde_result *r, const char *name, bool ok, double value,
                        const char *limit);
void sonde_result_warn(struct sonde_result *r, const char *format, ...) SONDE_PRINTF(2, 3);

/* columns: NULL-terminated. The table belongs to the result; NULL on out of memory (and the add
 * functions below accept NULL). */
struct sonde_table *sonde_result_add_table(struct sonde_result *r, const char *name,
                                           const char *const *columns);
/* Starts a row (all cells null); then set cells by column index. */
void sonde_table_add_row(struct sonde_table *t);
void sonde_table_text(struct sonde_table *t, int64_t column, const char *value);
void sonde_table_i64(struct sonde_table *t, int64_t column, int64_t value);
void sonde_table_f64(struct sonde_table *t, int64_t column, double value);
void sonde_table_bool(struct sonde_table *t, int64_t column, bool value);

/* The result takes the figure over (also when it fails). NULL figure = out of memory. */
void sonde_result_add_figure(struct sonde_result *r, struct sonde_figure *figure);

/* Draws every figure into directory as NAME.png and NAME.svg and notes the file names. */
SONDE_MUST_USE enum sonde_status
sonde_result_write_figures(struct sonde_result *r, const char *directory,
                           const struct sonde_figure_provenance *provenance,
                           struct sonde_error *error);

/* Renderers: text is appended to out. */
struct sonde_terminal_options {
    int width;        /* columns; 0 = 80 */
    bool color;       /* ANSI */
    int64_t max_rows; /* of a table; 0 = 40; the rest is counted in a line */
};
SONDE_MUST_USE enum sonde_status sonde_render_terminal(const struct sonde_result *r,
                                                       const struct sonde_terminal_options *options,
                                                       struct sonde_buf *out,
                                                       struct sonde_error *error);
/* One object ("sonde", "command", "parameters", ...), 2-space indent; a table's row is a line. */
SONDE_MUST_USE enum sonde_status
sonde_render_json(const struct sonde_result *r, struct sonde_buf *out, struct sonde_error *error);
SONDE_MUST_USE enum sonde_status sonde_render_csv(const struct sonde_table *table,
                                                  struct sonde_buf *out, struct sonde_error *error);
SONDE_MUST_USE enum sonde_status sonde_render_markdown(const struct sonde_result *r,
                                                       struct sonde_buf *out,
                                                       struct sonde_error *error);
/* One self-contained page: table of contents, then every result with parameters, tables, checks and
 * pictures inline. No script or style from elsewhere; everything escaped. */
struct sonde_html_page {
    const char *title, *subtitle;
    const struct sonde_result *const *result;
    const char *const *result_time; /* per result, "2026-01-01 12:00:00 UTC", or NULL */
    int64_t n_results;
    struct sonde_figure_provenance provenance;
};
SONDE_MUST_USE enum sonde_status sonde_render_html(const struct sonde_html_page *page,
                                                   struct sonde_buf *out,
                                                   struct sonde_error *error);

/* The whole result with the figures' data as compact JSON, appended to out, for storing; and back,
 * with the same bits. FORMAT where the text is no such archive. */
SONDE_MUST_USE enum sonde_status sonde_result_archive(const struct sonde_result *r,
                                                      struct sonde_buf *out,
                                                      struct sonde_error *error);
SONDE_MUST_USE enum sonde_status sonde_result_restore(struct sonde_result **out,
                                                      const char *archive, size_t n,
                                                      struct sonde_error *error);

#define SONDE_VERSION "0.1.0"

#endif
