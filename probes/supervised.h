/*
 * A supervised linear probe over many streams: the run behind linear, ridge, lda, mean-difference
 * and covariance. Parts: options, one stream's fit, the report. Other supervised probes share the
 * data options, the samples and what is said of them (sonde_supervised_open, _report_data).
 */
#ifndef SONDE_PROBES_SUPERVISED_H
#define SONDE_PROBES_SUPERVISED_H

#include <stdbool.h>
#include <stdint.h>

#include "analysis/report/result.h"
#include "probes/builtin.h"
#include "probes/dataset.h"
#include "probes/linear_fit.h"
#include "probes/linear_model.h"
#include "probes/overlap.h"
#include "probes/probe_metrics.h"

struct sonde_supervised_options {
    enum sonde_linear_method method;
    const char *streams, *labels, *mask, *save, *load, *save_direction;
    double l2; /* < 0: chosen by cross-validation */
    int n_folds;
    bool as_is, l1, control, random_weights, per_class;
    int max_iterations;
    double tolerance, test_share;
    int64_t n_bootstrap;
    enum sonde_probe_metric metric;
    enum sonde_task task;
    enum sonde_pooling pooling;
    enum sonde_control_kind control_kind;
    bool by_position, keep_special;
};

/* What is known of one stream in the end. Numbers that do not apply are NaN. */
struct sonde_stream_report {
    int64_t stream;
    double value, low, high, majority, control, random_weights, l2;
    int iterations;
    bool stopped_early;
    double accuracy, macro_f1, auroc, r2, spearman, loss;
    struct sonde_l2_path path;
    bool has_path;
    struct sonde_linear_model model;
    double *direction;  /* [D] for --save-direction; else NULL */
    int32_t *predicted; /* [n_test] classes of the label set; NULL for real labels */
};

struct sonde_supervised {
    const struct sonde_builtin *run;
    struct sonde_supervised_options options;
    struct sonde_dataset *dataset;
    struct sonde_overlap overlap;
    int64_t n_types;                /* word types of the control task; 0 where there is none */
    enum sonde_probe_metric metric; /* never AUTO */
    int64_t *stream;                /* [n_streams] of the source */
    int64_t n_streams;
    struct sonde_stream_report *report; /* [n_streams] */
    struct sonde_source *baseline;      /* random weights; NULL where not asked for */
    int64_t mem_bytes;                  /* for the arrays of a fit, whatever is open beside it */
    struct sonde_loaded_probe *loaded;  /* --load */
    int32_t *loaded_class;              /* class of the label set of each loaded class, -1 = none */
};

SONDE_MUST_USE enum sonde_status sonde_supervised_run(const struct sonde_builtin *run,
                                                      enum sonde_linear_method method,
                                                      struct sonde_error *error);

/* Options (those that the probe's descriptor has), streams, samples, metric, a loaded probe and the
 * baseline. s: run, options.method and mem_bytes are set (options.task too where the probe has no
 * option for it), all else is zero. Closed by the caller,
 * also where this fails. */
SONDE_MUST_USE enum sonde_status sonde_supervised_open(struct sonde_supervised *s,
                                                       struct sonde_error *error);
void sonde_supervised_close(struct sonde_supervised *s);
/* The control task's labels, of the kind that the options name. */
void sonde_supervised_control(const struct sonde_supervised *s, int32_t *target, double *real);

/* One stream: fit, answers on the test rows, control and baseline. */
SONDE_MUST_USE enum sonde_status sonde_supervised_stream(struct sonde_supervised *s, int64_t i,
                                                         struct sonde_error *error);
/* Answers of always the most frequent training class, or the training mean. */
SONDE_MUST_USE enum sonde_status sonde_supervised_majority(const struct sonde_supervised *s,
                                                           double *out, struct sonde_error *error);

/* Tables, figures and warnings. */
SONDE_MUST_USE enum sonde_status sonde_supervised_report(const struct sonde_supervised *s,
                                                         struct sonde_error *error);
/* Of these, what stands for each stream in report [n_streams]: tables metrics and classes, the
 * curve over the streams where there are several, the confusion of the best. */
SONDE_MUST_USE enum sonde_status sonde_supervised_report_best(const struct sonde_supervised *s,
                                                              struct sonde_error *error);
/* And what is said of the samples: scalars and warnings. best: the best value; NaN = none. */
void sonde_supervised_report_data(const struct sonde_supervised *s, double best);

#endif
