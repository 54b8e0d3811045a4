/*
 * Fitting linear probes: multinomial logistic regression, ridge, linear discriminant, mean
 * difference; and choosing the penalty by cross-validation over groups.
 *
 * Objectives, with n training samples, l2 = 1 / C of scikit-learn, the intercept never penalised:
 *
 * - logistic, K > 2 classes: sum_i -log softmax(W x_i + b)[y_i] + l2/2 |W|^2, one row a class;
 * - logistic, 2 classes: sum_i log(1 + exp(-s_i (w x_i + b))) + l2/2 |w|^2, one row, s = -1, 1
 *   (as scikit-learn's LogisticRegression with lbfgs does both);
 * - ridge: sum_i (w x_i + b - y_i)^2 + l2 |w|^2 (scikit-learn's Ridge with alpha = l2);
 * - lda: W = S^-1 M with the pooled covariance S of the classes, plus l2/n on its diagonal, priors
 *   from the training shares;
 * - mean difference: the nearest class mean; for two classes the direction is the difference of
 *   the means and the threshold half way;
 * - covariance: y = a (v x) + b with v = Cov(x, y) of the features as they are and a, b by least
 *   squares: what one direction, chosen without looking at the features' own spread, tells of y.
 */
#ifndef SONDE_PROBES_LINEAR_FIT_H
#define SONDE_PROBES_LINEAR_FIT_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/status.h"
#include "probes/fit_problem.h"
#include "probes/linear_model.h"

/* Bytes that a fit takes beside the features: fixed, and for each block in flight. */
void sonde_linear_fit_bytes(enum sonde_linear_method method, int64_t n_targets, int64_t width,
                            int n_threads, int64_t *fixed, int64_t *per_slot);

/* start: parameters [R * (D + 1)] in standardised features to start from and to leave the end in;
 * NULL = zeros. The model is of raw features. */
SONDE_MUST_USE enum sonde_status sonde_linear_fit(const struct sonde_fit_problem *problem,
                                                  const struct sonde_fit_options *options,
                                                  double *start, struct sonde_linear_model *out,
                                                  struct sonde_fit_report *report,
                                                  struct sonde_error *error);

/* Cross-validation over groups within the training samples. Every fold standardises, fits and
 * warm-starts on its own training part alone. Candidates are l2 = share * n for a fixed list of
 * shares; the one with the least mean validation loss (share of wrong classes; squared error for
 * ridge) wins, the larger of equals. Going from strong to weak penalties a fold stops after two
 * rises in a row. */
enum { SONDE_L2_SHARES = 8 };
struct sonde_l2_path {
    int n_shares, n_folds;
    double share[SONDE_L2_SHARES]; /* descending */
    double loss[SONDE_L2_SHARES];  /* mean over the folds; NaN where not every fold got there */
    int best;
    double l2;
};
struct sonde_l2_options {
    int n_folds;          /* fewer where there are fewer groups; ARGUMENT below 2 groups */
    const int64_t *group; /* by sample number */
    uint64_t seed;
};
SONDE_MUST_USE enum sonde_status sonde_linear_choose_l2(const struct sonde_fit_problem *problem,
                                                        const struct sonde_fit_options *options,
                                                        const struct sonde_l2_options *l2_options,
                                                        struct sonde_l2_path *out,
                                                        struct sonde_error *error);
/* Mean validation loss of a model on samples: share of wrong classes, or squared error; NaN where n
 * is 0. */
SONDE_MUST_USE enum sonde_status sonde_linear_loss(const struct sonde_linear_model *model,
                                                   const struct sonde_fit_problem *problem,
                                                   double *out, struct sonde_error *error);

#endif
