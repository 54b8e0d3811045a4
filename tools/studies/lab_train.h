/*
 * Training in a study: a small transformer that gives the k-hot target of every position, with the
 * published recipe: one post-LN layer, ReLU, sigmoid outputs and squared error, RMSprop.
 */
#ifndef SONDE_TOOLS_STUDIES_LAB_TRAIN_H
#define SONDE_TOOLS_STUDIES_LAB_TRAIN_H

#include "tools/studies/lab_score.h"

#define SONDE_LAB_EPOCHS_MAX 256 /* of all attempts */

struct sonde_lab_training {
    const char *name;     /* the model's folder is DIR/models/NAME */
    const char *position; /* of the family sonde: "none", "sinusoidal", "cosine", "learned", .. */
    int64_t n_positions;  /* longest string that the model must ever read */
    enum sonde_lab_target target;
    int64_t max_epochs; /* of an attempt */
    /* An attempt ends after an epoch with this share of the validation strings right; > 1 = never.
     */
    double enough;
    /* With the published rate many seeds collapse in the first epoch: the attention dies and
     * nothing is learned any more. An attempt that ends below `good` is followed by one with the
     * next seed, up to so many attempts. Kept are the weights of the best epoch of all: most
     * validation strings right, then least loss. */
    int64_t max_attempts; /* 0 = 1 */
    double good;
};

/* What an epoch came to. */
struct sonde_lab_epoch {
    int64_t attempt; /* 0 the first */
    uint64_t seed;   /* of the initial weights */
    int64_t epoch;   /* 1 the first of the attempt */
    bool chosen;     /* of the attempt whose model was kept */
    bool kept;       /* the epoch whose weights are the model; one of all */
    double loss;     /* mean over the positions of the epoch */
    double accuracy; /* whole validation strings right */
    double seconds;  /* since the beginning of the first attempt */
};

/* Validation strings: SONDE_LAB_VALIDATION ones of the language, of a seed of their own, none of
 * them in `test`. *own is false, and *out a set without strings, where the language has not got a
 * hundred more of these lengths. generator: "grammar", or NULL = the language's own. */
#define SONDE_LAB_VALIDATION 500
SONDE_MUST_USE enum sonde_status
sonde_lab_make_validation(const struct sonde_lab *lab, const struct sonde_lab_strings *test,
                          const char *generator, int64_t shortest, int64_t longest,
                          struct sonde_lab_strings *out, bool *own, struct sonde_error *error);

/* Trains on `train`, in its order, and opens what was written. epoch: [SONDE_LAB_EPOCHS_MAX] out,
 * *n_epochs of them. The same seed gives the same weights for any number of threads. */
SONDE_MUST_USE enum sonde_status
sonde_lab_train(struct sonde_lab *lab, const struct sonde_lab_training *what,
                const struct sonde_lab_strings *train, const struct sonde_lab_strings *validation,
                struct sonde_model **out, struct sonde_lab_epoch *epoch, int64_t *n_epochs,
                struct sonde_error *error);

#endif
