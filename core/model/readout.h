/*
 * The readout of the lens in parts, for readers of many rows that never hold an [n, V] array:
 * first the rows as the unembedding takes them, then tile after tile of the vocabulary.
 * sonde_model_readout (model.h) is both in one.
 *
 * Products are single-threaded and of exactly the rows and entries asked for: their bits depend on
 * n, first and count, so callers cut at fixed places. A half-precision unembedding is widened once
 * a call, [count, D], in scratch; an F32 one is read where it is mapped.
 */
#ifndef SONDE_CORE_MODEL_READOUT_H
#define SONDE_CORE_MODEL_READOUT_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/arena.h"
#include "core/model/model.h"

/* y[n, D] = the final norm of x[n, D], and a masked-LM encoder's head. y may be x. UNSUPPORTED
 * where the model has no unembedding. */
SONDE_MUST_USE enum sonde_status sonde_model_readout_rows(const struct sonde_model *model,
                                                          struct sonde_arena *scratch,
                                                          const float *x, int64_t n, float *y,
                                                          struct sonde_error *error);
/* y[n, D] *= the final norm's gain, where it has one: how a direction of the residual stream
 * writes on the vocabulary, without centring and scale. */
SONDE_MUST_USE enum sonde_status sonde_model_fold_gain(const struct sonde_model *model,
                                                       struct sonde_arena *scratch, float *y,
                                                       int64_t n, struct sonde_error *error);

/* Entries [first, first + count) of the vocabulary. plain: the products alone, without the
 * unembedding's bias and the softcap. */
struct sonde_vocabulary_tile {
    int64_t first, count;
    bool plain;
};
/* scores[n, count] of y[n, D]. ARGUMENT for entries that the vocabulary has not. */
SONDE_MUST_USE enum sonde_status sonde_model_unembed(const struct sonde_model *model,
                                                     struct sonde_arena *scratch, const float *y,
                                                     int64_t n, struct sonde_vocabulary_tile tile,
                                                     float *scores, struct sonde_error *error);
/* The same for n_ids entries in any order: scores[n, n_ids]; [n_ids, D] of scratch. */
SONDE_MUST_USE enum sonde_status sonde_model_unembed_ids(const struct sonde_model *model,
                                                         struct sonde_arena *scratch,
                                                         const float *y, int64_t n,
                                                         const int32_t *id, int64_t n_ids,
                                                         float *scores, struct sonde_error *error);

#endif
