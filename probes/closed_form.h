/* Ridge, linear discriminant, mean difference, covariance. Internal to the linear probes: others
 * call sonde_linear_fit. */
#ifndef SONDE_PROBES_CLOSED_FORM_H
#define SONDE_PROBES_CLOSED_FORM_H

#include <stdint.h>

#include "core/base/status.h"
#include "probes/fit_problem.h"
#include "probes/linear_model.h"

/* First and second moments of the standardised training rows, from which the closed forms follow
 * for any l2 that is not below the options'. One pass over the rows; products in f32 and sums in
 * double where the problem is large (n D^2 > 2^24), else all in double. Where the errors of f32
 * would show in the solution (features that nearly depend on each other, and little l2) a second
 * pass makes all products in double. */
struct sonde_moments {
    int64_t width, n_sums, n;
    double *gram;  /* [D, D] centred; NULL for the mean difference */
    double *sum;   /* [n_sums, D] class means, or for ridge the covariance with y */
    double *count; /* [n_sums] samples of a class */
    double *mean;  /* [D] of the rows as scaled */
    double *scale; /* [D] what the pass's own scale was multiplied by */
    double y_mean;
};

/* scaler: made here, for the caller to finish. Deviations come out of the gram itself: what is
 * subtracted and divided by in the pass is only near the mean and the deviation. */
SONDE_MUST_USE enum sonde_status sonde_moments_fit(struct sonde_moments *out,
                                                   const struct sonde_fit_problem *problem,
                                                   const struct sonde_fit_options *options,
                                                   struct sonde_scaler *scaler,
                                                   struct sonde_error *error);
void sonde_moments_finish(struct sonde_moments *moments);
SONDE_MUST_USE enum sonde_status sonde_moments_solve(const struct sonde_moments *moments,
                                                     enum sonde_linear_method method, double l2,
                                                     struct sonde_linear_model *out,
                                                     struct sonde_error *error);

#endif
