/* How a table's column is printed for people: one precision a column, so that its numbers line up.
 * Shared by the terminal, Markdown and HTML renderers. */
#ifndef SONDE_ANALYSIS_REPORT_CELL_FORMAT_H
#define SONDE_ANALYSIS_REPORT_CELL_FORMAT_H

#include <stdbool.h>
#include <stdint.h>

#include "analysis/report/result.h"
#include "core/base/buf.h"

struct sonde_column_format {
    bool numeric; /* integers and reals only: aligned to the right */
    int decimals; /* of reals; -1 = four significant places each, with exponents where needed */
};

/* Decimals from the first n_rows rows, which are shown. Four significant places for the largest
 * magnitude, at least two for the smallest. */
struct sonde_column_format sonde_column_format_of(const struct sonde_table *t, int64_t column,
                                                  int64_t n_rows);

/* Appends the cell as clean text (sonde_display_token); "-" for null and NaN. */
void sonde_cell_print(struct sonde_buf *out, const struct sonde_cell *cell,
                      const struct sonde_column_format *format);

#endif
