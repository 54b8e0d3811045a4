/*
 * Statistics in double precision on plain arrays. Where a number is not defined (too few values, no
 * variance, only one class) the answer is NaN, never a guess. A NaN among the values gives NaN.
 */
#ifndef SONDE_ANALYSIS_STATS_H
#define SONDE_ANALYSIS_STATS_H

#include <stdint.h>

#include "core/base/status.h"

double sonde_stats_mean(const double *x, int64_t n);     /* NaN where n = 0 */
double sonde_stats_variance(const double *x, int64_t n); /* n - 1 below; NaN where n < 2 */
/* Product-moment correlation; NaN where n < 2 or one side is constant. */
double sonde_stats_pearson(const double *x, const double *y, int64_t n);
/* 1 - SS_res / SS_tot; negative where worse than the mean; NaN where truth is constant. */
double sonde_stats_r2(const double *truth, const double *predicted, int64_t n);

/* Ranks 1..n of x [n] into rank [n]; ties share the mean of their ranks. */
SONDE_MUST_USE enum sonde_status sonde_stats_ranks(const double *x, int64_t n, double *rank,
                                                   struct sonde_error *error);
/* Pearson of the ranks. */
SONDE_MUST_USE enum sonde_status sonde_stats_spearman(const double *x, const double *y, int64_t n,
                                                      double *out, struct sonde_error *error);
/* q in [0, 1] of sorted (ascending) values, linear between neighbours (Hyndman and Fan, type 7). */
double sonde_stats_quantile_sorted(const double *sorted, int64_t n, double q);
SONDE_MUST_USE enum sonde_status sonde_stats_quantile(const double *x, int64_t n, double q,
                                                      double *out, struct sonde_error *error);
/* Ascending, in place; NaN last. */
void sonde_stats_sort(double *x, int64_t n);

/* Area under the ROC curve = P(score of a positive > score of a negative) + half the ties
 * (Mann and Whitney). truth: 1 positive, 0 negative, others left out. */
SONDE_MUST_USE enum sonde_status sonde_stats_auroc(const int32_t *truth, const double *score,
                                                   int64_t n, double *out,
                                                   struct sonde_error *error);

/*
 * Percentile bootstrap over groups (sequences): each of n_samples times, as many groups as there
 * are are drawn with replacement, and the metric is computed on all their rows. Rows of a group
 * belong together, so that intervals are not too narrow.
 */
struct sonde_bootstrap_options {
    int64_t n_samples; /* 0 = 1000 */
    double level;      /* 0 = 0.95 */
    uint64_t seed;     /* as it is: 0 is the seed 0 */
};
/* The metric over the rows row [n] (indices, repeats allowed). NaN = not defined on this sample;
 * such samples are left out. */
typedef double sonde_metric(void *ctx, const int64_t *row, int64_t n);
/* group [n]: any numbers. low and high are NaN where fewer than 2 groups or 10 defined samples are
 * there. */
SONDE_MUST_USE enum sonde_status
sonde_stats_bootstrap(sonde_metric *metric, void *ctx, const int64_t *group, int64_t n,
                      const struct sonde_bootstrap_options *options, double *low, double *high,
                      struct sonde_error *error);
/* The quick case, a mean of per-row values (such as 0/1 for accuracy): group sums are resampled, so
 * a sample costs the number of groups. NaN values are left out. */
SONDE_MUST_USE enum sonde_status
sonde_stats_bootstrap_mean(const double *value, const int64_t *group, int64_t n,
                           const struct sonde_bootstrap_options *options, double *low, double *high,
                           struct sonde_error *error);

#endif
