/*
 * Training a multi-layer perceptron on rows in memory: minibatches in a random order, an update
 * rule, a learning rate that falls where the validation loss stands still, and the best epoch's
 * weights. One fit is the work of one thread, with or without helpers; its bits do not depend on
 * how many there are.
 */
#ifndef SONDE_PROBES_MLP_FIT_H
#define SONDE_PROBES_MLP_FIT_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/status.h"
#include "core/tensor/update.h"
#include "probes/mlp_net.h"

/* Nothing is owned. Samples are numbers of rows of x; the lists are of samples. */
struct sonde_mlp_data {
    const float *x; /* [n, width], standardised if it is to be */
    int64_t width;
    const int64_t *train, *validation, *test;
    int64_t n_train, n_validation, n_test;
    const int32_t *target; /* [n] in [0, n_targets), -1 = unknown (not in train); NULL for real */
    const double *real;    /* [n]; classes: NULL */
    int64_t n_targets;     /* 0 for real labels */
};

struct sonde_mlp_options {
    struct sonde_mlp_hidden hidden;
    struct sonde_update_rule rule; /* its lr is the first one */
    int64_t batch, epochs;
    /* The learning rate is a tenth after `patience` + 1 epochs in a row without a validation loss
     * below 0.9999 of the best (core/tensor/plateau.h); < 0 = never. */
    int64_t patience;
    int64_t stop_after; /* end at this many reductions; 0 = never */
    bool last;          /* the last epoch's weights, not those of the best on validation */
    uint64_t seed;
    /* Called after every epoch, on the fit's thread; false = stop (CANCELLED). May be NULL. */
    bool (*epoch_done)(void *ctx);
    void *ctx;
    struct sonde_mlp_team *team; /* helpers; NULL = the calling thread alone */
};

/* What an epoch came to. value: accuracy, or R2 for real labels, on the validation rows; losses are
 * means (cross-entropy in nats, squared error in units of the training variance), training's over
 * the epoch as it went. */
struct sonde_mlp_epoch {
    double lr, train_loss, validation_loss, validation_value;
};

struct sonde_mlp_fit {
    struct sonde_mlp net;         /* of the chosen epoch */
    double real_mean, real_scale; /* real labels: answer = real_mean + real_scale * score */
    int64_t n_steps, n_epochs;
    int64_t chosen;                /* epoch */
    struct sonde_mlp_epoch *epoch; /* [n_epochs] */
    int32_t *predicted;            /* [n_test] target numbers; classes */
    double *score; /* [n_test] the answer; two classes: score 1 - score 0; else NULL */
};

/* Bytes that a fit takes while it runs, and what is left of it in `out`. */
void sonde_mlp_fit_bytes(int64_t width, int64_t n_targets, const struct sonde_mlp_options *options,
                         int64_t n_train, int64_t n_test, int64_t *running, int64_t *left);

/* The best epoch is that of the highest validation value, the first of equals; its answers to the
 * test rows are in out. NUMERIC where the loss is no longer finite. */
SONDE_MUST_USE enum sonde_status sonde_mlp_train(const struct sonde_mlp_data *data,
                                                 const struct sonde_mlp_options *options,
                                                 struct sonde_mlp_fit *out,
                                                 struct sonde_error *error);
void sonde_mlp_fit_finish(struct sonde_mlp_fit *fit);

#endif
