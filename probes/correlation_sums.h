/*
 * Correlation of every coordinate of a stream with a real label, in one pass: sums in double about
 * a provisional mean, folded in the order of the blocks.
 */
#ifndef SONDE_PROBES_CORRELATION_SUMS_H
#define SONDE_PROBES_CORRELATION_SUMS_H

#include <stdint.h>

#include "core/base/status.h"
#include "probes/feature_rows.h"

/* What is correlated: y [n] of the samples 0 .. n - 1 and their side of the split (1 = test).
 * Nothing is owned. Control k is the label of the sample shift[k] further on, around the end: runs
 * of labels inside a sequence stay together, what ties them to the rows goes. */
struct sonde_correlation_input {
    struct sonde_features *features;
    int64_t n;
    const double *y;
    const uint8_t *side;
    const int64_t *shift; /* [n_controls] in 1 .. n - 1 */
    int64_t n_controls;
};

struct sonde_correlation {
    int64_t width;      /* D */
    double *all;        /* [D] Pearson over all samples; NaN where a side does not vary */
    double *train;      /* [D] over the training side */
    double *test;       /* [D] over the test side */
    double *control;    /* [n_controls] the largest |r| of any coordinate with each control */
    int64_t n_constant; /* coordinates that do not vary beyond the rounding of f32 */
};

/* Bytes beside the features: fixed, and for each block in flight. */
void sonde_correlation_bytes(int64_t width, int64_t n_controls, int64_t *fixed, int64_t *per_slot);
SONDE_MUST_USE enum sonde_status sonde_correlation_fit(const struct sonde_correlation_input *input,
                                                       struct sonde_correlation *out,
                                                       struct sonde_error *error);
void sonde_correlation_finish(struct sonde_correlation *correlation);
/* Index of the largest |r| [n], the first of equals; -1 where all are NaN. */
int64_t sonde_correlation_best(const double *r, int64_t n);

#endif
