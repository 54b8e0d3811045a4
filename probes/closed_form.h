/* Ridge, linear discriminant, mean difference, covariance. Internal to the linear probes: others
 * call sonde_linear_fit. */
#ifndef SONDE_PROBES_CLOSED_FORM_H
#define SONDE_PROBES_CLOSED_FORM_H

#include <stdint.h>

#include "core/base/status.h"
#include "probes/fit_problem.h"
#include "probes/linear_model.h"

/* First and second moments of the standardised training rows, from which the closed forms follow
 * for any l2. */
struct sonde_moments {
    int64_t width, n_sums, n;
    double *gram;  /* [D, D] centred; NULL for the mean difference */
    double *sum;   /* [n_sums, D] class means, or for ridge the covariance with y */
    double *count; /* [n_sums] samples of a class */
    double *mean;  /* [D] of the standardised rows: about 0 */
    double y_mean;
};

SONDE_MUST_USE enum sonde_status sonde_moments_fit(struct sonde_moments *out,
                                                   const struct sonde_fit_problem *problem,
                                                   enum sonde_linear_method method,
                                                   const struct sonde_scaler *scaler,
                                                   struct sonde_error *error);
void sonde_moments_finish(struct sonde_moments *moments);
SONDE_MUST_USE enum sonde_status sonde_moments_solve(const struct sonde_moments *moments,
                                                     enum sonde_linear_method method, double l2,
                                                     struct sonde_linear_model *out,
                                                     struct sonde_error *error);

#endif
