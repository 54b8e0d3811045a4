#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "core/tensor/op_common.h"
#include "core/tensor/vector.h"

struct norm {
    const struct sonde_norm_args *args;
    struct sonde_tensor x, y;
    const float *gain, *bias; /* [D] or NULL; the gain holds its offset */
};

static void norm_row(const struct norm *n, int64_t t)
{
    const struct sonde_vector_kernels *vector = sonde_vector_kernels();
    const struct sonde_norm_args *args = n->args;
    const int64_t d_model = n->x.dim[1];
    const float *x = n->x.data + t * n->x.stride[0];
    float *y = n->y.data + t * n->y.stride[0];
    const double mean = args->kind == SONDE_NORM_LAYER && d_model > 0
                            ? vector->sum(x, d_model) / (double)d_model
                            : 0.0;
    const double variance =
        d_model > 0 ? vector->sum_squares(x, mean, d_model) / (double)d_model : 0.0;
    const double scale = sqrt(variance + args->eps);
    /* The normalized values are what the gain sees, whether anybody asked for them or not. */
    float *normalized =
        args->normalized.data ? args->normalized.data + t * args->normalized.stride[0] : y;
    vector->normalize(normalized, x, mean, 1.0 / scale, d_model);
    if (args->scale.data) {
        args->scale.data[t * args->scale.stride[0]] = (float)scale;
    }
    for (int64_t d = 0; d < d_model; d++) {
        const float scaled = n->gain ? normalized[d] * n->gain[d] : normalized[d];
        y[d] = n->bias ? scaled + n->bias[d] : scaled;
    }
}

static void norm_rows(void *arg, int64_t first, int64_t last)
{
    for (int64_t t = first; t < last; t++) {
        norm_row(arg, t);
    }
}

/* The gain with its offset added, so that rows only multiply. */
static const float *offset_gain(struct sonde_op_context *ctx, const struct sonde_norm_args *args,
                                int64_t n)
{
    const float *gain = sonde_op_vector(ctx, args->gain, n);
    if (!gain || args->gain_offset == 0.0f) {
        return gain;
    }
    float *sum = sonde_op_scratch(ctx, n);
    for (int64_t d = 0; d < n && sum; d++) {
        sum[d] = gain[d] + args->gain_offset;
    }
    return sum;
}

void sonde_op_norm(struct sonde_op_context *ctx, struct sonde_tensor y, struct sonde_tensor x,
                   const struct sonde_norm_args *args)
{
    if (!sonde_op_ready(ctx)) {
        return;
    }
    assert(x.rank == 2 && y.rank == 2 && x.dim[0] == y.dim[0] && x.dim[1] == y.dim[1]);
    assert(x.stride[1] == 1 && y.stride[1] == 1);
    const struct sonde_arena_mark mark = sonde_arena_mark(ctx->arena);
    struct norm norm = { .args = args, .x = x, .y = y };
    norm.gain = offset_gain(ctx, args, x.dim[1]);
    norm.bias = sonde_op_vector(ctx, args->bias, x.dim[1]);
    if (!ctx->failed) {
        sonde_op_split_rows(ctx, x.dim[0], x.dim[1], norm_rows, &norm);
    }
    sonde_arena_rewind(ctx->arena, mark);
}
