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
