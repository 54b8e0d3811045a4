/* What a supervised probe's answers on test rows are worth. */
#ifndef SONDE_PROBES_PROBE_METRICS_H
#define SONDE_PROBES_PROBE_METRICS_H

#include <stdint.h>

#include "core/base/status.h"

enum sonde_probe_metric {
    SONDE_PROBE_METRIC_AUTO, /* accuracy, or r2 for real labels */
    SONDE_PROBE_METRIC_ACCURACY,
    SONDE_PROBE_METRIC_MACRO_F1, /* mean F1 over the classes of truth or predictions */
    SONDE_PROBE_METRIC_AUROC,    /* two classes */
    SONDE_PROBE_METRIC_R2,
    SONDE_PROBE_METRIC_SPEARMAN,
};
/* "accuracy", "macro-f1", ...; and back, AUTO where the name is unknown. */
const char *sonde_probe_metric_name(enum sonde_probe_metric metric);
enum sonde_probe_metric sonde_probe_metric_from_name(const char *name);

/* Answers on n rows. Classes: truth, predicted [n] in [0, n_classes). Two classes: score [n] and
 * binary [n] (1, 0, or -1 for a row of neither). Real: real, score [n]. */
struct sonde_probe_answers {
    int64_t n, n_classes;
    const int32_t *truth, *predicted, *binary;
    const double *real, *score;
    const int64_t *group; /* sequences, for the bootstrap */
};
/* On the rows row [n], NULL = all. NaN where it is not defined. */
double sonde_probe_metric_value(enum sonde_probe_metric metric,
                                const struct sonde_probe_answers *answers, const int64_t *row,
                                int64_t n);
/* 95 % percentile interval over groups. */
SONDE_MUST_USE enum sonde_status
sonde_probe_metric_interval(enum sonde_probe_metric metric,
                            const struct sonde_probe_answers *answers, int64_t n_samples,
                            uint64_t seed, double *low, double *high, struct sonde_error *error);

struct sonde_class_score {
    int64_t support, predicted, hits;
    double precision, recall, f1; /* NaN where not defined */
};
/* out [n_classes]. */
void sonde_probe_class_scores(const struct sonde_probe_answers *answers, const int64_t *row,
                              int64_t n, struct sonde_class_score *out);

#endif
