/*
 * Models that are made here: drawn from a config and a seed, changed by whoever trains them, and
 * written as a folder in Hugging Face layout that sonde_model_open reads.
 */
#ifndef SONDE_CORE_MODEL_CREATE_H
#define SONDE_CORE_MODEL_CREATE_H

#include "core/base/json.h"
#include "core/model/model.h"

enum sonde_init_kind {
    /* Matrices and embeddings ~ N(0, std^2), those that write into the residual stream (w_o,
     * w_down) ~ N(0, std^2 / (2 L)) as GPT-2 does; gains 1, biases 0. */
    SONDE_INIT_NORMAL,
    /* As PyTorch's nn.TransformerEncoder language model: nn.Linear and its bias uniform in +-1 /
     * sqrt(in); q, k, v Xavier uniform as one matrix [3 D, D], their biases and w_o's 0; embedding
     * and unembedding uniform in +-0.1, the unembedding's bias 0; gains 1, biases 0. */
    SONDE_INIT_TORCH,
};
struct sonde_init {
    enum sonde_init_kind kind;
    double std; /* of SONDE_INIT_NORMAL; 0 = 0.02 */
    uint64_t seed;
    int64_t max_bytes; /* of all weights as F32; 0 = no limit */
};

/* A tensor that the model's files hold. */
struct sonde_parameter {
    const char *name; /* in the file */
    float *data;      /* [rows, columns] as stored; a vector: rows 1 */
    int64_t rows, columns;
    int rank;                          /* in the file: 1 or 2 */
    bool decays;                       /* a matrix: weight decay is usual; gains and biases not */
    const struct sonde_weight *weight; /* the same, for sonde_gradient_want */
};

/* config: the object of a config.json ("model_type" says the family), `name` begins messages. The
 * model is a model like every other; its weights are F32, lie in its own memory and may be changed
 * through its parameters between passes. UNSUPPORTED for families that cannot be made here, LIMIT
 * where the weights take more than init says, before the memory is asked for. */
SONDE_MUST_USE enum sonde_status sonde_model_create(struct sonde_model **out,
                                                    const struct sonde_json *config,
                                                    const char *name, const struct sonde_init *init,
                                                    struct sonde_error *error);
/* The parameters of a created model, in a fixed order; a tied weight stands there once. n = 0 for a
 * model that was opened. */
const struct sonde_parameter *sonde_model_parameter_list(const struct sonde_model *model,
                                                         int64_t *n);
/* Writes config.json and model.safetensors into the folder, which is made where it is not there;
 * each file appears whole or not at all. dtype F32, F16 or BF16 (rounded to nearest even). */
SONDE_MUST_USE enum sonde_status sonde_model_save(const struct sonde_model *model,
                                                  const char *folder, enum sonde_dtype dtype,
                                                  struct sonde_error *error);

#endif
