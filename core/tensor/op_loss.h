/*
 * Losses: one number in double from logits, and where a backward pass begins: on a tape the loss
 * is a value of one element at its address, to be seeded with 1.
 */
#ifndef SONDE_CORE_TENSOR_OP_LOSS_H
#define SONDE_CORE_TENSOR_OP_LOSS_H

#include "core/tensor/ops.h"

/* *loss = the mean over the rows with a target of -log softmax(logits[t, :])[targets[t]], natural
 * logarithm; logits[T, V], targets[T] in [0, V), or below 0: the row does not count. No row counts:
 * 0. A failed context leaves *loss as it was. */
void sonde_op_cross_entropy(struct sonde_op_context *ctx, double *loss, struct sonde_tensor logits,
                            const int32_t *targets);
/* *loss = logits[row, id]. */
void sonde_op_pick_logit(struct sonde_op_context *ctx, double *loss, struct sonde_tensor logits,
                         int64_t row, int64_t id);

#endif
