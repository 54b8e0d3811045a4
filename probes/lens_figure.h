/* The lens table as pictures: layers by positions, the best token in each cell, colour = its
 * probability. */
#ifndef SONDE_PROBES_LENS_FIGURE_H
#define SONDE_PROBES_LENS_FIGURE_H

#include <stdint.h>

#include "analysis/report/result.h"
#include "core/base/status.h"
#include "core/trace/stream.h"

enum {
    SONDE_LENS_FIGURE_COLUMNS = 24, /* positions of one picture */
    SONDE_LENS_FIGURES_MAX = 8,
};

/* Zero-initialise; finish frees. Cells of the first positions of one sequence, as far as they are
 * drawn. */
struct sonde_lens_figure {
    int64_t n_sites, first_row, n_rows, n_wanted; /* token rows [first_row, first_row + n_rows) */
    float *probability;                           /* [n_sites, n_rows] */
    char **text;                                  /* [n_sites, n_rows] */
    bool failed;
};
SONDE_MUST_USE enum sonde_status sonde_lens_figure_begin(struct sonde_lens_figure *f,
                                                         int64_t n_sites, int64_t first_row,
                                                         int64_t end_row,
                                                         struct sonde_error *error);
/* Rows that will not be drawn are ignored. */
void sonde_lens_figure_cell(struct sonde_lens_figure *f, int64_t site, int64_t row,
                            double probability, const char *token);
/* "lens", and "lens-2", ... for long texts; site_name [n_sites]. */
SONDE_MUST_USE enum sonde_status sonde_lens_figure_draw(const struct sonde_lens_figure *f,
                                                        struct sonde_source *source,
                                                        const char *const *site_name,
                                                        struct sonde_result *result,
                                                        struct sonde_error *error);
void sonde_lens_figure_finish(struct sonde_lens_figure *f);

#endif
