/*
 * Bind: fills a weight table from named tensors, checking every shape. Weights stay where they lie
 * in the mapped file; only unaligned, split or (on request) random ones are made anew in the
 * model's arena. The first failure is kept; calls after it do nothing.
 */
#ifndef SONDE_CORE_MODEL_BIND_H
#define SONDE_CORE_MODEL_BIND_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/arena.h"
#include "core/model/config.h"
#include "core/model/spec.h"
#include "core/model/tensor_table.h"

struct sonde_creation; /* create_internal.h */

struct sonde_binder {
    struct sonde_tensor_table *table;
    struct sonde_creation *creation; /* NULL, or tensors are made in place of being found; no table.
                                        sonde_bind_has is then always false */
    struct sonde_arena *arena;
    struct sonde_notes *notes;
    const char *prefix; /* put before every name */
    bool random;        /* draw the values anew */
    uint64_t seed;
    int64_t n_parameters, n_nonfinite;
    uint32_t dtypes; /* bit enum sonde_dtype, of the matrices */
    enum sonde_status status;
    struct sonde_error *error;
};

enum sonde_bind_kind {
    SONDE_BIND_MATRIX, /* random: N(0, 0.02^2) */
    SONDE_BIND_GAIN,   /* random: 1 */
    SONDE_BIND_BIAS,   /* random: 0 */
};

/* A required tensor of shape [rows, columns]; vectors: rows 1, shape [columns]. transposed as in
 * struct sonde_weight. */
void sonde_bind_matrix(struct sonde_binder *b, struct sonde_weight *out, int64_t rows,
                       int64_t columns, bool transposed, const char *name, ...) SONDE_PRINTF(6, 7);
void sonde_bind_vector(struct sonde_binder *b, struct sonde_weight *out, int64_t n,
                       enum sonde_bind_kind kind, const char *name, ...) SONDE_PRINTF(5, 6);
/* Whether the file has the tensor (prefix added). */
bool sonde_bind_has(const struct sonde_binder *b, const char *name, ...) SONDE_PRINTF(2, 3);
/* Marks tensors that are known to be without use (mask buffers, inverse frequencies). */
void sonde_bind_ignore(struct sonde_binder *b, const char *name, ...) SONDE_PRINTF(2, 3);
/* Sets the binder's prefix where any tensor's name begins with it (or tensors are made), else to
 * nothing; returns it. */
const char *sonde_bind_prefix(struct sonde_binder *b, const char *prefix);

/* n floats that lie in memory outside a tensor table: counts them, or draws them anew (`at`, their
 * place in the file, names the random numbers). */
const float *sonde_bind_raw(struct sonde_binder *b, const float *data, enum sonde_bind_kind kind,
                            int64_t n, int64_t at);

/* Splits a fused linear map into its query, key and value parts, each copied as it was stored. The
 * outputs are runs: with run = 0 all of q, then all of k, then all of v; otherwise q, k and v take
 * turns of `run` outputs (GPT-NeoX: a head at a time). */
struct sonde_bind_split {
    int64_t n_out[3];
    int64_t n_in;
    int64_t run;
    bool transposed;
};
/* Copies the outputs of one part [n_out, n_in] (or transposed) out of the fused map, or back into
 * it. size: bytes of an element. A bias is a map with n_in 1, transposed. */
void sonde_bind_split_copy(const struct sonde_bind_split *split, int part, int64_t size,
                           uint8_t *fused, uint8_t *of_part, bool back);
void sonde_bind_fused(struct sonde_binder *b, struct sonde_weight *const out[3],
                      const struct sonde_bind_split *split, const char *name, ...)
    SONDE_PRINTF(4, 5);
void sonde_bind_fused_bias(struct sonde_binder *b, struct sonde_weight *const out[3],
                           const struct sonde_bind_split *split, const char *name, ...)
    SONDE_PRINTF(4, 5);

/* The embedding [V, D] and the unembedding. embed has the prefix, unembed stands alone. Tied models
 * take the embedding for both, whichever of the two is stored. Untied ones need both; where
 * tie_word_embeddings is not given and the unembedding is not stored, the model is taken as tied
 * and a note says so. */
void sonde_bind_embedding(struct sonde_binder *b, const struct sonde_config *config,
                          struct sonde_spec *spec, struct sonde_weights *weights, const char *embed,
                          const char *unembed);

#endif
