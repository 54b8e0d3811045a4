#include "probes/probe_metrics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/stats.h"

static const char *const metric_names[] = { "auto",  "accuracy", "macro-f1",
                                            "auroc", "r2",       "spearman" };
enum { N_METRICS = sizeof(metric_names) / sizeof(metric_names[0]) };

const char *sonde_probe_metric_name(enum sonde_probe_metric metric)
{
    return (int)metric >= 0 && (int)metric < N_METRICS ? metric_names[metric] : "?";
}

enum sonde_probe_metric sonde_probe_metric_from_name(const char *name)
{
    for (int i = 1; name && i < N_METRICS; i++)
        if (strcmp(metric_names[i], name) == 0)
            return (enum sonde_probe_metric)i;
    return SONDE_PROBE_METRIC_AUTO;
}

void sonde_probe_class_scores(const struct sonde_probe_answers *a, const int64_t *row, int64_t n,
                              struct sonde_class_score *out)
{
    memset(out, 0, (size_t)a->n_classes * sizeof(*out));
    for (int64_t i = 0; i < n; i++) {
        int64_t k = row ? row[i] : i;
        out[a->truth[k]].support++;
        out[a->predicted[k]].predicted++;
        out[a->truth[k]].hits += a->truth[k] == a->predicted[k];
    }
    for (int64_t c = 0; c < a->n_classes; c++) {
        struct sonde_class_score *s = &out[c];
        double hits = (double)s->hits;
        s->precision = hits / (double)s->predicted;
        s->recall = hits / (double)s->support;
        s->f1 = 2.0 * hits / (double)(s->support + s->predicted);
    }
}

static double macro_f1(const struct sonde_probe_answers *a, const int64_t *row, int64_t n)
{
    struct sonde_class_score *score = malloc((size_t)(a->n_classes + 1) * sizeof(*score));
    if (!score)
        return (double)NAN;
    sonde_probe_class_scores(a, row, n, score);
    double sum = 0.0, count = 0.0;
    for (int64_t c = 0; c < a->n_classes; c++) {
        if (isnan(score[c].f1))
            continue;
        sum += score[c].f1;
        count += 1.0;
    }
    free(score);
    return sum / count;
}

static double accuracy(const struct sonde_probe_answers *a, const int64_t *row, int64_t n)
{
    int64_t hits = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t k = row ? row[i] : i;
        hits += a->truth[k] == a->predicted[k];
    }
    return (double)hits / (double)n;
}

/* The metrics that need the values side by side. */
static double paired(enum sonde_probe_metric metric, const struct sonde_probe_answers *a,
                     const int64_t *row, int64_t n)
{
    double *score = malloc((size_t)(n + 1) * 2 * sizeof(double));
    int32_t *binary = malloc((size_t)(n + 1) * sizeof(*binary));
    double *real = score + n + 1, value = (double)NAN;
    for (int64_t i = 0; score && binary && i < n; i++) {
        int64_t k = row ? row[i] : i;
        score[i] = a->score[k];
        real[i] = a->real ? a->real[k] : 0.0;
        binary[i] = a->binary ? a->binary[k] : -1;
    }
    if (score && binary && metric == SONDE_PROBE_METRIC_R2)
        value = sonde_stats_r2(real, score, n);
    else if (score && binary && metric == SONDE_PROBE_METRIC_SPEARMAN)
        (void)!sonde_stats_spearman(real, score, n, &value, NULL);
    else if (score && binary)
        (void)!sonde_stats_auroc(binary, score, n, &value, NULL);
    free(score);
    free(binary);
    return value;
}

double sonde_probe_metric_value(enum sonde_probe_metric metric, const struct sonde_probe_answers *a,
                                const int64_t *row, int64_t n)
{
    if (n < 1)
        return (double)NAN;
    switch (metric) {
    case SONDE_PROBE_METRIC_ACCURACY:
        return a->truth ? accuracy(a, row, n) : (double)NAN;
    case SONDE_PROBE_METRIC_MACRO_F1:
        return a->truth ? macro_f1(a, row, n) : (double)NAN;
    case SONDE_PROBE_METRIC_AUROC:
        return a->binary ? paired(metric, a, row, n) : (double)NAN;
    case SONDE_PROBE_METRIC_R2:
    case SONDE_PROBE_METRIC_SPEARMAN:
        return a->real ? paired(metric, a, row, n) : (double)NAN;
    default:
        return (double)NAN;
    }
}

struct resampled {
    enum sonde_probe_metric metric;
    const struct sonde_probe_answers *answers;
};

static double resampled_metric(void *ctx, const int64_t *row, int64_t n)
{
    const struct resampled *r = ctx;
    return sonde_probe_metric_value(r->metric, r->answers, row, n);
}

enum sonde_status sonde_probe_metric_interval(enum sonde_probe_metric metric,
                                              const struct sonde_probe_answers *a,
                                              int64_t n_samples, uint64_t seed, double *low,
                                              double *high, struct sonde_error *error)
{
    struct sonde_bootstrap_options options = { .n_samples = n_samples, .seed = seed };
    if (metric != SONDE_PROBE_METRIC_ACCURACY) {
        struct resampled resampled = { .metric = metric, .answers = a };
        return sonde_stats_bootstrap(resampled_metric, &resampled, a->group, a->n, &options, low,
                                     high, error);
    }
    double *hit = malloc((size_t)(a->n + 1) * sizeof(double));
    if (!hit)
        return sonde_error_memory(error, "the interval");
    for (int64_t i = 0; i < a->n; i++)
        hit[i] = a->truth[i] == a->predicted[i];
    enum sonde_status status =
        sonde_stats_bootstrap_mean(hit, a->group, a->n, &options, low, high, error);
    free(hit);
    return status;
}
