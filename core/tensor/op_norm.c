#include <assert.h>
#include <math.h>
#include <string.h>
#include <stdlib.h>

#include "core/tensor/op_common.h"
#include "core/tensor/tape.h"
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

struct norm_record {
    struct sonde_norm_args args;
    struct sonde_weight gain, bias;
    int64_t x, y, scale, normalized; /* values; -1 = not wanted */
    const float *x_copy;             /* [T, D] */
    int64_t n_rows, width;
};

struct norm_gradient {
    const struct norm_record *r;
    const float *dy, *gain;
    float *dx;
    float *d_scale, *d_normalized; /* watched side values or NULL */
    double *mean, *factor;         /* [T] of x, and 1 / scale */
    float *d_gain, *d_bias;
};

/*
 * With n = (x - mean) / s and g = dL/dn: dL/dx = (g - avg(g) - n avg(g n)) / s; without the middle
 * term for the norm that takes no mean (Ba et al. 2016; Zhang and Sennrich 2019).
 */
static void norm_vjp_row(const struct norm_gradient *a, int64_t t)
{
    const struct sonde_vector_kernels *vector = sonde_vector_kernels();
    const int64_t n = a->r->width, at = t * n;
    const float *x = a->r->x_copy + at, *dy = a->dy + at;
    const bool centred = a->r->args.kind == SONDE_NORM_LAYER;
    const double mean = centred ? vector->sum(x, n) / (double)n : 0.0;
    const double variance = vector->sum_squares(x, mean, n) / (double)n;
    const double factor = 1.0 / sqrt(variance + a->r->args.eps);
    double sums[2]; /* of g, and of g times the normalized value */
    a->mean[t] = mean;
    a->factor[t] = factor;
    vector->norm_sums(x, dy, a->gain, mean, factor, n, sums);
    for (int64_t d = 0; d < n && a->d_normalized; d++) {
        a->d_normalized[at + d] += (float)((double)dy[d] * (double)a->gain[d]);
    }
    if (a->d_scale) {
        a->d_scale[t] -= (float)(sums[1] * factor);
    }
    const struct sonde_norm_slope by = { mean, factor, centred ? sums[0] / (double)n : 0.0,
                                         sums[1] / (double)n };
    vector->norm_slope(a->dx + at, x, dy, a->gain, &by, n);
}

static void norm_vjp_rows(void *arg, int64_t first, int64_t last)
{
    for (int64_t t = first; t < last; t++) {
        norm_vjp_row(arg, t);
    }
}

static void norm_vjp_columns(void *arg, int64_t first, int64_t last)
{
    const struct norm_gradient *a = arg;
    enum { COLUMNS = 256 };
    double gain[COLUMNS], bias[COLUMNS];
    for (int64_t at = first; at < last; at += COLUMNS) {
        const int64_t n = sonde_min_i64(COLUMNS, last - at);
        memset(gain, 0, (size_t)n * sizeof(*gain));
        memset(bias, 0, (size_t)n * sizeof(*bias));
        for (int64_t t = 0; t < a->r->n_rows; t++) {
            const int64_t row = t * a->r->width + at;
            sonde_vector_kernels()->norm_columns(gain, bias, a->r->x_copy + row, a->dy + row,
                                                 a->mean[t], a->factor[t], n);
        }
        for (int64_t d = 0; d < n && a->d_gain; d++) {
            a->d_gain[at + d] += (float)gain[d];
        }
        for (int64_t d = 0; d < n && a->d_bias; d++) {
            a->d_bias[at + d] += (float)bias[d];
        }
    }
}

/* The gain, or ones where there is none. */
static const float *gain_or_ones(struct sonde_op_context *ctx, const struct sonde_norm_args *args,
                                 int64_t n)
{
    const float *gain = offset_gain(ctx, args, n);
    float *ones = gain || ctx->failed ? NULL : sonde_op_scratch(ctx, n);
    for (int64_t d = 0; d < n && ones; d++) {
        ones[d] = 1.0f;
    }
    return gain ? gain : ones;
}

static void norm_vjp(struct sonde_op_context *ctx, const void *record)
{
    const struct norm_record *r = record;
    struct norm_gradient a = { .r = r, .dy = sonde_tape_incoming(ctx, r->y) };
    a.dx = sonde_tape_into(ctx, r->x);
    a.d_scale = sonde_tape_into_watched(ctx, r->scale);
    a.d_normalized = sonde_tape_into_watched(ctx, r->normalized);
    a.d_gain = sonde_tape_into_weight(ctx, &r->gain);
    a.d_bias = sonde_tape_into_weight(ctx, &r->bias);
    const struct sonde_arena_mark mark = sonde_arena_mark(ctx->arena);
    struct sonde_norm_args args = r->args;
    args.gain = &r->gain;
    a.gain = gain_or_ones(ctx, &args, r->width);
    a.mean = sonde_arena_alloc(ctx->arena, r->n_rows, sizeof(*a.mean));
    a.factor = sonde_arena_alloc(ctx->arena, r->n_rows, sizeof(*a.factor));
    ctx->failed = ctx->failed || !a.mean || !a.factor;
    if (!ctx->failed) {
        sonde_op_split_rows(ctx, r->n_rows, r->width, norm_vjp_rows, &a);
    }
    if (!ctx->failed && (a.d_gain || a.d_bias)) {
        sonde_op_split_rows(ctx, r->width, r->n_rows, norm_vjp_columns, &a);
    }
    sonde_arena_rewind(ctx->arena, mark);
}

static int64_t define_side(struct sonde_op_context *ctx, const struct sonde_tensor *t)
{
    return t->data ? sonde_tape_define(ctx, t->data, sonde_tensor_elements(t)) : -1;
}

static void record_norm(struct sonde_op_context *ctx, const struct sonde_tensor *y,
                        const struct sonde_tensor *x, const struct sonde_norm_args *args)
{
    struct norm_record *r = sonde_tape_alloc(ctx, 1, sizeof(*r));
    if (!r) {
        return;
    }
    *r = (struct norm_record){ .args = *args, .n_rows = x->dim[0], .width = x->dim[1] };
    r->gain = args->gain ? *args->gain : (struct sonde_weight){ 0 };
    r->bias = args->bias ? *args->bias : (struct sonde_weight){ 0 };
    r->x = sonde_tape_use(ctx, x);
    r->x_copy = sonde_tape_keep(ctx, r->x, x);
    r->scale = define_side(ctx, &args->scale);
    r->normalized = define_side(ctx, &args->normalized);
    r->y = sonde_tape_define(ctx, y->data, sonde_tensor_elements(y));
    sonde_tape_push(ctx, r->y, norm_vjp, r);
}

void sonde_op_norm(struct sonde_op_context *ctx, struct sonde_tensor y, struct sonde_tensor x,
                   const struct sonde_norm_args *args)
{
    if (!sonde_op_ready(ctx)) {
        return;
    }
    assert(x.rank == 2 && y.rank == 2 && x.dim[0] == y.dim[0] && x.dim[1] == y.dim[1]);
    assert(x.stride[1] == 1 && y.stride[1] == 1);
    if (ctx->tape) {
        record_norm(ctx, &y, &x, args);
    }
    const struct sonde_arena_mark mark = sonde_arena_mark(ctx->arena);
    struct norm norm = { .args = args, .x = x, .y = y };
    norm.gain = offset_gain(ctx, args, x.dim[1]);
    norm.bias = sonde_op_vector(ctx, args->bias, x.dim[1]);
    if (!ctx->failed) {
        sonde_op_split_rows(ctx, x.dim[0], x.dim[1], norm_rows, &norm);
    }
    sonde_arena_rewind(ctx->arena, mark);
}
