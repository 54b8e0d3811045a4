/* The part of stats.h about bootstrap intervals (Efron and Tibshirani 1993, chapter 13), with whole
 * groups as the units that are drawn (Field and Welsh, JRSS B 69, 2007). */
#include "analysis/stats.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "analysis/groups.h"
#include "core/base/num.h"
#include "core/base/rng.h"

#define SAMPLES_MIN 10
#define SAMPLES_MAX 10000000

static enum sonde_status read_options(const struct sonde_bootstrap_options *options,
                                      struct sonde_bootstrap_options *out,
                                      struct sonde_error *error)
{
    *out = options ? *options : (struct sonde_bootstrap_options){ .seed = SONDE_SEED_DEFAULT };
    if (out->n_samples == 0)
        out->n_samples = 1000;
    if (out->level == 0)
        out->level = 0.95;
    if (out->n_samples < 1 || out->n_samples > SAMPLES_MAX)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "bootstrap: %lld samples, expected 1 to %d",
                               (long long)out->n_samples, SAMPLES_MAX);
    if (!(out->level > 0 && out->level < 1))
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "bootstrap: level %g, expected between 0 and 1", out->level);
    return SONDE_STATUS_OK;
}

/* The percentiles of the defined values among sample [n]. */
static void find_interval(double *sample, int64_t n, double level, double *low, double *high)
{
    int64_t defined = 0;
    for (int64_t i = 0; i < n; i++)
        if (!isnan(sample[i]))
            sample[defined++] = sample[i];
    *low = *high = (double)NAN;
    if (defined < SAMPLES_MIN)
        return;
    sonde_stats_sort(sample, defined);
    *low = sonde_stats_quantile_sorted(sample, defined, 0.5 - level / 2);
    *high = sonde_stats_quantile_sorted(sample, defined, 0.5 + level / 2);
}

/* Draws one sample of groups and appends their rows; the number of rows, at most `capacity`, or -1
 * where they do not fit. */
static int64_t draw_rows(const struct sonde_groups *g, struct sonde_rng *rng, int64_t **row,
                         int64_t *capacity)
{
    int64_t n = 0;
    for (int64_t k = 0; k < g->n; k++) {
        int64_t pick = sonde_rng_below(rng, g->n);
        int64_t size = g->begin[pick + 1] - g->begin[pick], need;
        if (!sonde_add_i64(n, size, &need))
            return -1;
        if (need > *capacity) {
            int64_t more = need > INT64_MAX / 2 ? need : 2 * need;
            size_t bytes;
            int64_t *grown = NULL;
            if (sonde_mul_size((size_t)more, sizeof(**row), &bytes))
                grown = realloc(*row, bytes);
            if (!grown)
                return -1;
            *row = grown;
            *capacity = more;
        }
        for (int64_t i = 0; i < size; i++)
            (*row)[n++] = g->row[g->begin[pick] + i];
    }
    return n;
}

enum sonde_status sonde_stats_bootstrap(sonde_metric *metric, void *ctx, const int64_t *group,
                                        int64_t n, const struct sonde_bootstrap_options *options,
                                        double *low, double *high, struct sonde_error *error)
{
    struct sonde_bootstrap_options o;
    struct sonde_groups g = { 0 };
    enum sonde_status status = read_options(options, &o, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_groups_init(&g, group, n, error);
    if (status != SONDE_STATUS_OK)
        return status;
    int64_t *row = NULL, capacity = 0;
    double *sample = malloc((size_t)o.n_samples * sizeof(*sample));
    bool ok = sample != NULL;
    struct sonde_rng rng = sonde_rng_make(o.seed, sonde_rng_stream("bootstrap"));
    int64_t done = 0;
    for (; ok && g.n >= 2 && done < o.n_samples; done++) {
        int64_t rows = draw_rows(&g, &rng, &row, &capacity);
        ok = rows >= 0;
        if (ok)
            sample[done] = metric(ctx, row, rows);
    }
    if (ok)
        find_interval(sample, done, o.level, low, high);
    free(sample);
    free(row);
    sonde_groups_finish(&g);
    return ok ? SONDE_STATUS_OK : sonde_error_memory(error, "the bootstrap");
}

enum sonde_status sonde_stats_bootstrap_mean(const double *value, const int64_t *group, int64_t n,
                                             const struct sonde_bootstrap_options *options,
                                             double *low, double *high, struct sonde_error *error)
{
    struct sonde_bootstrap_options o;
    struct sonde_groups g = { 0 };
    enum sonde_status status = read_options(options, &o, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_groups_init(&g, group, n, error);
    if (status != SONDE_STATUS_OK)
        return status;
    double *sum = malloc(((size_t)g.n + 1) * sizeof(*sum));
    double *count = malloc(((size_t)g.n + 1) * sizeof(*count));
    double *sample = malloc((size_t)o.n_samples * sizeof(*sample));
    bool ok = sum && count && sample;
    for (int64_t k = 0; ok && k < g.n; k++) {
        sum[k] = count[k] = 0;
        for (int64_t i = g.begin[k]; i < g.begin[k + 1]; i++)
            if (!isnan(value[g.row[i]])) {
                sum[k] += value[g.row[i]];
                count[k] += 1;
            }
    }
    struct sonde_rng rng = sonde_rng_make(o.seed, sonde_rng_stream("bootstrap"));
    int64_t done = 0;
    for (; ok && g.n >= 2 && done < o.n_samples; done++) {
        double total = 0, rows = 0;
        for (int64_t k = 0; k < g.n; k++) {
            int64_t pick = sonde_rng_below(&rng, g.n);
            total += sum[pick];
            rows += count[pick];
        }
        sample[done] = rows > 0 ? total / rows : (double)NAN;
    }
    if (ok)
        find_interval(sample, done, o.level, low, high);
    free(sum);
    free(count);
    free(sample);
    sonde_groups_finish(&g);
    return ok ? SONDE_STATUS_OK : sonde_error_memory(error, "the bootstrap");
}
