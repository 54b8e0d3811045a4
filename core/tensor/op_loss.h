/*
 * Losses: one number in double from logits, and where a backward pass begins: on a tape the loss
 * is a value of one element at its address, to be seeded with 1.
 */
#ifndef SONDE_CORE_TENSOR_OP_LOSS_H
#define SONDE_CORE_TENSOR_OP_LOSS_H

#include <stdbool.h>

#include "core/tensor/ops.h"

/* *loss = the mean over the rows with a target of -log softmax(logits[t, :])[targets[t]], natural
 * logarithm; logits[T, V], targets[T] in [0, V), or below 0: the row does not count. No row counts:
 * 0. A failed context leaves *loss as it was. */
void sonde_op_cross_entropy(struct sonde_op_context *ctx, double *loss, struct sonde_tensor logits,
                            const int32_t *targets);
/*
 * Losses of sigmoids, s = 1 / (1 + exp(-z)) for each logit z: the mean over the rows that count of
 * the mean over a row's K outputs of
 *   mse: (s - y)^2            bce: -y log s - (1 - y) log(1 - s), formed without cancellation.
 * logits[T, K]; targets y[T, K] contiguous, in [0, 1]; counts[T], NULL = every row counts. No row
 * counts: 0. Rows that do not count are not read. An infinite logit gives the limit (0 where it
 * agrees with y; otherwise 1 for mse and infinity for bce), NaN gives NaN. With a tape, targets and
 * counts are read again by the backward pass, and outlive the tape's use as weights do.
 */
void sonde_op_sigmoid_mse(struct sonde_op_context *ctx, double *loss, struct sonde_tensor logits,
                          const float *targets, const bool *counts);
void sonde_op_sigmoid_bce(struct sonde_op_context *ctx, double *loss, struct sonde_tensor logits,
                          const float *targets, const bool *counts);
/* *loss = logits[row, id]. */
void sonde_op_pick_logit(struct sonde_op_context *ctx, double *loss, struct sonde_tensor logits,
                         int64_t row, int64_t id);

#endif
