/* What the ops share: the check at the start, scratch memory, and cutting flat work. */
#ifndef SONDE_CORE_TENSOR_OP_COMMON_H
#define SONDE_CORE_TENSOR_OP_COMMON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/tensor/ops.h"

static inline int64_t sonde_min_i64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline int64_t sonde_max_i64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* False where an earlier op failed: there is nothing to compute with. */
bool sonde_op_ready(const struct sonde_op_context *ctx);

/* Scratch that the op gives back by rewinding the arena; NULL sets ctx->failed. Taken before the
 * work is spread: an arena belongs to one thread. */
float *sonde_op_scratch(struct sonde_op_context *ctx, int64_t n_floats);

/* Calls run(arg, first, last) for [0, n_rows) cut at fixed offsets, spread over the pool where the
 * n_rows * n_columns elements are worth it. run must treat each row alone. */
void sonde_op_split_rows(struct sonde_op_context *ctx, int64_t n_rows, int64_t n_columns,
                         void (*run)(void *arg, int64_t first, int64_t last), void *arg);

/* Widens a vector weight into scratch[n], or gives the mapped f32 itself. NULL where w is NULL or
 * absent, and (with ctx->failed set) where scratch is out. */
const float *sonde_op_vector(struct sonde_op_context *ctx, const struct sonde_weight *w, int64_t n);

#endif
