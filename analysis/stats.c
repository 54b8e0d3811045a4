#include "analysis/stats.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/num.h"

static double not_defined(void)
{
    return (double)NAN;
}

double sonde_stats_mean(const double *x, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += x[i];
    return n > 0 ? sum / (double)n : not_defined();
}

/* Two passes, with the correction of the mean's own rounding (Chan, Golub and LeVeque 1983). */
double sonde_stats_variance(const double *x, int64_t n)
{
    if (n < 2)
        return not_defined();
    double mean = sonde_stats_mean(x, n), squares = 0, rest = 0;
    for (int64_t i = 0; i < n; i++) {
        double d = x[i] - mean;
        squares += d * d;
        rest += d;
    }
    return (squares - rest * rest / (double)n) / (double)(n - 1);
}

static bool is_constant(const double *x, int64_t n)
{
    for (int64_t i = 1; i < n; i++)
        if (x[i] != x[0])
            return false;
    return true;
}

double sonde_stats_pearson(const double *x, const double *y, int64_t n)
{
    /* exact test: rounding of the mean would make a constant's variance a tiny positive number */
    if (n < 2 || is_constant(x, n) || is_constant(y, n))
        return not_defined();
    double mean_x = sonde_stats_mean(x, n), mean_y = sonde_stats_mean(y, n);
    double xx = 0, yy = 0, xy = 0;
    for (int64_t i = 0; i < n; i++) {
        double dx = x[i] - mean_x, dy = y[i] - mean_y;
        xx += dx * dx;
        yy += dy * dy;
        xy += dx * dy;
    }
    if (xx == 0 || yy == 0)
        return not_defined();
    double r = xy / sqrt(xx) / sqrt(yy);
    return r > 1 ? 1 : r < -1 ? -1 : r;
}

double sonde_stats_r2(const double *truth, const double *predicted, int64_t n)
{
    if (n < 2 || is_constant(truth, n))
        return not_defined();
    double mean = sonde_stats_mean(truth, n), total = 0, residual = 0;
    for (int64_t i = 0; i < n; i++) {
        double d = truth[i] - mean, e = truth[i] - predicted[i];
        total += d * d;
        residual += e * e;
    }
    return total > 0 ? 1 - residual / total : not_defined();
}

static int compare_double(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    if (isnan(x) || isnan(y))
        return isnan(x) - isnan(y);
    return (x > y) - (x < y);
}

void sonde_stats_sort(double *x, int64_t n)
{
    if (n > 1)
        qsort(x, (size_t)n, sizeof(*x), compare_double);
}

struct ranked {
    double value;
    int64_t index;
};

static int compare_ranked(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    int order = compare_double(&x->value, &y->value);
    return order ? order : (x->index > y->index) - (x->index < y->index);
}

static void *allocate(int64_t n, size_t size)
{
    size_t bytes;
    if (n < 0 || !sonde_mul_size((size_t)n, size, &bytes))
        return NULL;
    return malloc(bytes ? bytes : 1);
}

enum sonde_status sonde_stats_ranks(const double *x, int64_t n, double *rank,
                                    struct sonde_error *error)
{
    struct ranked *item = allocate(n, sizeof(*item));
    if (!item)
        return sonde_error_memory(error, "ranks");
    for (int64_t i = 0; i < n; i++)
        item[i] = (struct ranked){ .value = x[i], .index = i };
    if (n > 1)
        qsort(item, (size_t)n, sizeof(*item), compare_ranked);
    for (int64_t begin = 0; begin < n;) {
        int64_t end = begin + 1;
        while (end < n && item[end].value == item[begin].value)
            end++;
        double shared = isnan(item[begin].value) ? not_defined() : 0.5 * (double)(begin + end + 1);
        for (int64_t i = begin; i < end; i++)
            rank[item[i].index] = shared;
        begin = end;
    }
    free(item);
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_stats_spearman(const double *x, const double *y, int64_t n, double *out,
                                       struct sonde_error *error)
{
    double *rank = n > INT64_MAX / 2 ? NULL : allocate(2 * n, sizeof(*rank));
    if (!rank)
        return sonde_error_memory(error, "ranks");
    enum sonde_status status = sonde_stats_ranks(x, n, rank, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_stats_ranks(y, n, rank + n, error);
    if (status == SONDE_STATUS_OK)
        *out = sonde_stats_pearson(rank, rank + n, n);
    free(rank);
    return status;
}

double sonde_stats_quantile_sorted(const double *sorted, int64_t n, double q)
{
    if (n < 1 || !(q >= 0 && q <= 1) || isnan(sorted[n - 1]))
        return not_defined();
    double place = q * (double)(n - 1);
    int64_t below = (int64_t)floor(place);
    if (below >= n - 1)
        return sorted[n - 1];
    double share = place - (double)below;
    /* no interpolation with an infinite neighbour that carries no weight */
    return share > 0 ? sorted[below] + share * (sorted[below + 1] - sorted[below]) : sorted[below];
}

enum sonde_status sonde_stats_quantile(const double *x, int64_t n, double q, double *out,
                                       struct sonde_error *error)
{
    double *copy = allocate(n, sizeof(*copy));
    if (!copy)
        return sonde_error_memory(error, "a quantile");
    if (n > 0)
        memcpy(copy, x, (size_t)n * sizeof(*copy));
    sonde_stats_sort(copy, n);
    *out = sonde_stats_quantile_sorted(copy, n, q);
    free(copy);
    return SONDE_STATUS_OK;
}
