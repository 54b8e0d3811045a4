/* What the files of core/model share about an open model. Not for other layers. */
#ifndef SONDE_CORE_MODEL_MODEL_INTERNAL_H
#define SONDE_CORE_MODEL_MODEL_INTERNAL_H

#include <pthread.h>

#include "core/base/arena.h"
#include "core/base/file.h"
#include "core/base/hash.h"
#include "core/model/bind.h"
#include "core/model/config.h"
#include "core/model/model.h"
#include "core/model/tensor_table.h"

struct sonde_model {
    struct sonde_spec spec;
    struct sonde_weights weights;
    struct sonde_site_set sites;
    struct sonde_arena *arena;        /* the layer table, copied and random weights, texts */
    struct sonde_tensor_table *table; /* a folder */
    struct sonde_file *bin;           /* or a llama2.c file */
    struct sonde_creation *creation;  /* or what was made here */
    struct sonde_gemm_plan *plan;     /* NULL: OpenBLAS in f32 */
    struct sonde_tokenizer *tokenizer;
    char *path;
    char *config_text;
    struct sonde_notes notes;
    double *inv_freq; /* [rotary_dims / 2] */
    int64_t n_parameters, file_bytes;
    uint32_t dtypes; /* bit enum sonde_dtype */
    pthread_mutex_t hash_mutex;
    char hash[SONDE_SHA256_HEX]; /* "" = not yet computed; under the mutex */
};

/* A model with nothing in it but its path. */
SONDE_MUST_USE enum sonde_status sonde_model_begin(struct sonde_model **out, const char *path,
                                                   struct sonde_error *error);
/* Finds the family and fills the spec. */
struct sonde_family;
SONDE_MUST_USE enum sonde_status sonde_model_read_spec(struct sonde_model *model,
                                                       const struct sonde_config *config,
                                                       const struct sonde_family **family,
                                                       struct sonde_error *error);
/* Runs the family's bind and takes its counts. */
SONDE_MUST_USE enum sonde_status sonde_model_bind(struct sonde_model *model,
                                                  const struct sonde_family *family,
                                                  const struct sonde_config *config,
                                                  struct sonde_binder *binder);
/* What follows from the spec: tables and sites. */
SONDE_MUST_USE enum sonde_status sonde_model_complete(struct sonde_model *model,
                                                      struct sonde_error *error);
/* SHA-256 over the weights of a created model as they are now. */
SONDE_MUST_USE enum sonde_status sonde_creation_hash(const struct sonde_creation *creation,
                                                     char hex[SONDE_SHA256_HEX],
                                                     struct sonde_error *error);

/* Lays the weights out where the options ask for it (compute.c). */
SONDE_MUST_USE enum sonde_status sonde_model_make_plan(struct sonde_model *model,
                                                       const struct sonde_model_options *options,
                                                       struct sonde_error *error);
/* The weight's pages of a mapped file are not needed for a while. */
void sonde_model_forget(struct sonde_model *model, const struct sonde_weight *w);

/* Fills spec and weights from a llama2.c checkpoint. */
SONDE_MUST_USE enum sonde_status sonde_llama2c_open(struct sonde_model *model,
                                                    const struct sonde_model_options *options,
                                                    struct sonde_error *error);

/* The same from a PyTorch checkpoint. */
SONDE_MUST_USE enum sonde_status sonde_torch_model_open(struct sonde_model *model,
                                                        const struct sonde_model_options *options,
                                                        struct sonde_error *error);
/* A note on the tensors of the table that nobody asked for. */
void sonde_model_note_unused(struct sonde_model *model);

#endif
