/* A change of basis for logistic regression's weights. Internal to the linear probes. */
#ifndef SONDE_PROBES_LOGISTIC_BASIS_H
#define SONDE_PROBES_LOGISTIC_BASIS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/status.h"
#include "probes/fit_problem.h"

/*
 * W = W0 + U L^-1, with L L^T = X^T diag(h) X / n + (l2 / n) I and h = sum_k p_k (1 - p_k) / K of
 * the answers p that W0 gives (for two classes p (1 - p)). That is the mean over the classes of the
 * mean loss' Hessian, so in U it is near to I however the features depend on each other, and
 * L-BFGS needs tens of iterations in place of hundreds; hundreds still where classes all but part
 * and the penalty is weak, since the end's curvature is another then. The minimum is the same: the
 * loss and the penalty are of W. X is every k-th row, with 6 D rows at least where there are so
 * many.
 */
struct sonde_logistic_basis {
    int64_t width;    /* D; 0 = there is no basis: W = W0 + U */
    double bias_unit; /* what one unit of the bias' variable is */
    float *narrow;    /* L^-1 [D, D], lower triangle; or */
    double *wide;     /* in double */
    struct sonde_pool *pool;
};

SONDE_MUST_USE enum sonde_status sonde_logistic_basis_fit(struct sonde_logistic_basis *out,
                                                          const struct sonde_fit_problem *problem,
                                                          const struct sonde_scaler *scaler,
                                                          const double *parameters, double l2,
                                                          bool wide, struct sonde_error *error);
void sonde_logistic_basis_finish(struct sonde_logistic_basis *basis);
/* Bytes at most, while it is made. */
double sonde_logistic_basis_bytes(int64_t width, int n_threads);

/* W [R, D] += U L^-1, and U-gradient [R, D] = W-gradient (L^-1)^T. */
void sonde_logistic_basis_forward(const struct sonde_logistic_basis *basis, const float *u,
                                  int64_t rows, float *w);
void sonde_logistic_basis_backward(const struct sonde_logistic_basis *basis, const float *dw,
                                   int64_t rows, float *du);
void sonde_logistic_basis_forward_wide(const struct sonde_logistic_basis *basis, const double *u,
                                       int64_t rows, double *w);
void sonde_logistic_basis_backward_wide(const struct sonde_logistic_basis *basis, const double *dw,
                                        int64_t rows, double *du);

#endif
