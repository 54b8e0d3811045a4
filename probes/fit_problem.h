/* What every fit of a linear probe is given and reports; linear_fit.h says what is minimised. */
#ifndef SONDE_PROBES_FIT_PROBLEM_H
#define SONDE_PROBES_FIT_PROBLEM_H

#include <stdbool.h>
#include <stdint.h>

#include "analysis/optimise.h"
#include "core/base/progress.h"
#include "probes/feature_rows.h"

enum sonde_linear_method {
    SONDE_LINEAR_LOGISTIC,
    SONDE_LINEAR_RIDGE,
    SONDE_LINEAR_LDA,
    SONDE_LINEAR_MEAN_DIFFERENCE,
    SONDE_LINEAR_COVARIANCE,
    SONDE_LINEAR_NONE, /* not a linear probe: it shares the data options alone */
};

/* What is fitted: target and real are indexed by sample number, sample[n] lists the training
 * samples (target >= 0). Nothing is owned. */
struct sonde_fit_problem {
    struct sonde_features *features;
    const int64_t *sample;
    int64_t n;
    const int32_t *target; /* classes; NULL for real labels */
    const double *real;    /* ridge and covariance */
    int64_t n_targets;     /* 0 for real labels */
};

struct sonde_fit_options {
    enum sonde_linear_method method;
    bool as_is; /* no standardisation */
    double l2;
    bool l1;            /* the penalty is l2 |W|_1 in place of l2/2 |W|^2; logistic */
    bool coarse;        /* products in f32 also where the problem is small; logistic */
    int max_iterations; /* 0 = 1000; logistic */
    /* 0 = 1e-5. Ends where no gradient entry of the mean loss is larger than this share of
     * min(1, the mean loss), the loss counted as 0.001 at least; with products in f32 also where
     * ten iterations lower the loss by no more than 1e-8 of it. logistic */
    double tolerance;
    const struct sonde_progress *progress;
    const char *what;
};

struct sonde_fit_report {
    int iterations, evaluations;
    enum sonde_minimise_end end;
    double loss; /* the objective over n at the end; NaN for closed forms */
};

/* Rows of the model: 1 for real labels and two classes, else one a class. */
static inline int64_t sonde_linear_fit_rows(enum sonde_linear_method method, int64_t n_targets)
{
    bool real = method == SONDE_LINEAR_RIDGE || method == SONDE_LINEAR_COVARIANCE;
    return real || n_targets <= 2 ? 1 : n_targets;
}

#endif
