/* What a model that is made here remembers of its files. Shared by bind.c and create.c. */
#ifndef SONDE_CORE_MODEL_CREATE_INTERNAL_H
#define SONDE_CORE_MODEL_CREATE_INTERNAL_H

#include "core/model/bind.h"
#include "core/model/create.h"

/* A tensor as the file will hold it: one parameter, or the three parts of a fused one. */
struct sonde_made_tensor {
    const char *name;
    int rank;
    int64_t rows, columns; /* in the file; a vector: rows 1 */
    int64_t first;         /* its first parameter */
    int n_parts;           /* 1 or 3 */
    struct sonde_bind_split split;
};
struct sonde_creation {
    struct sonde_parameter *parameter; /* [n_parameters] in the order of binding */
    int64_t n_parameters, parameter_capacity;
    struct sonde_made_tensor *tensor; /* [n_tensors] in the order of binding */
    int64_t n_tensors, tensor_capacity;
    int64_t max_bytes; /* of all weights; 0 = no limit */
};

/* Makes the tensor's parameters: memory from the binder's arena, gains 1, all else 0. parts
 * [n_parts] become their weights; name is copied. */
void sonde_creation_add(struct sonde_binder *b, const struct sonde_made_tensor *made,
                        struct sonde_weight *const *parts, enum sonde_bind_kind kind,
                        bool transposed);
void sonde_creation_destroy(struct sonde_creation **creation);

#endif
