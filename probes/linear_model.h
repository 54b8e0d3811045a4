/* Linear model over raw features: scores = W x + b. What every linear probe ends in, saves and
 * loads. */
#ifndef SONDE_PROBES_LINEAR_MODEL_H
#define SONDE_PROBES_LINEAR_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/status.h"
#include "probes/feature_rows.h"

enum { SONDE_LINEAR_MODEL_PART = 64 }; /* rows that are widened at once */

/* R = 1 for real labels (the value) and for two classes (> 0 is class 1); else one row a class. */
struct sonde_linear_model {
    int64_t rows, width;   /* R, D */
    double *weight, *bias; /* [R, D], [R], in the units of the raw features; one allocation */
};
SONDE_MUST_USE enum sonde_status sonde_linear_model_init(struct sonde_linear_model *out,
                                                         int64_t rows, int64_t width,
                                                         struct sonde_error *error);
void sonde_linear_model_finish(struct sonde_linear_model *model);
/* Takes weights of standardised features z = (x - mean) * inverse to weights of x. */
void sonde_linear_model_unscale(struct sonde_linear_model *model,
                                const struct sonde_scaler *scaler);
/* scores[n, R] of the samples sample[n], in double precision. */
SONDE_MUST_USE enum sonde_status sonde_linear_model_scores(const struct sonde_linear_model *model,
                                                           struct sonde_features *features,
                                                           const int64_t *sample, int64_t n,
                                                           double *scores,
                                                           struct sonde_error *error);
/* Samples to score at once, so that the scores stay within some MiB: a multiple of the block. */
int64_t sonde_linear_model_chunk(int64_t n_rows);
/* Index of the class with the largest score (the lowest of equals); n_rows 1: score > 0. */
int32_t sonde_linear_model_class(const double *scores, int64_t n_rows);

/* Several models in one safetensors file: "<stream>.weight" F64 [R, D] and "<stream>.bias" F64 [R],
 * and in __metadata__ the classes (a JSON array; absent for real labels) and what made them. */
struct sonde_saved_probe {
    const char *probe, *labels, *task; /* metadata */
    const char *const *class_name;     /* [n_classes] */
    int64_t n_classes;
    const char *const *stream; /* [n_models] */
    const struct sonde_linear_model *model;
    int64_t n_models;
};
SONDE_MUST_USE enum sonde_status sonde_saved_probe_write(const struct sonde_saved_probe *probe,
                                                         const char *path,
                                                         struct sonde_error *error);

/* A file read back. Everything is owned by the object. */
struct sonde_loaded_probe;
SONDE_MUST_USE enum sonde_status sonde_loaded_probe_open(struct sonde_loaded_probe **out,
                                                         const char *path,
                                                         struct sonde_error *error);
void sonde_loaded_probe_close(struct sonde_loaded_probe **probe);
const char *sonde_loaded_probe_task(const struct sonde_loaded_probe *probe); /* "class", "real" */
int64_t sonde_loaded_probe_n_classes(const struct sonde_loaded_probe *probe);
const char *sonde_loaded_probe_class(const struct sonde_loaded_probe *probe, int64_t i);
/* The model of a stream; NOT_FOUND names the stream, FORMAT where its width is another. */
SONDE_MUST_USE enum sonde_status sonde_loaded_probe_model(const struct sonde_loaded_probe *probe,
                                                          const char *stream, int64_t width,
                                                          struct sonde_linear_model *out,
                                                          struct sonde_error *error);

#endif
