/* Logistic regression by L-BFGS. Internal to the linear probes: others call sonde_linear_fit. */
#ifndef SONDE_PROBES_LOGISTIC_H
#define SONDE_PROBES_LOGISTIC_H

#include "core/base/status.h"
#include "probes/fit_problem.h"

/* parameters [R * (D + 1)]: W [R, D], then b [R], of features that went through `scaler` (which may
 * be empty: as they are); where to start, and afterwards the end. */
SONDE_MUST_USE enum sonde_status
sonde_logistic_fit(const struct sonde_fit_problem *problem, const struct sonde_fit_options *options,
                   const struct sonde_scaler *scaler, double *parameters,
                   struct sonde_fit_report *report, struct sonde_error *error);

#endif
