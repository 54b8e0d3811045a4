#include "core/tensor/op_loss.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "core/tensor/op_common.h"
#include "core/tensor/op_softmax.h"
#include "core/tensor/tape.h"
#include "core/tensor/vector.h"

struct loss_record {
    int64_t loss, logits, n_rows, n_columns;
    const float *copy;      /* [T, V] */
    const int32_t *targets; /* [T] */
    int64_t n_counted;
    int64_t row, id;
    const float *hot;   /* [T, K] the caller's */
    const bool *counts; /* [T] the caller's, or NULL */
    bool squared;
};

struct loss_gradient {
    const struct loss_record *r;
    float *into, *scratch; /* [T, V] */
    double factor;
};

/* (softmax(x) - one at the target) / rows that count */
static void cross_entropy_vjp_rows(void *arg, int64_t first, int64_t last)
{
    const struct loss_gradient *g = arg;
    const int64_t n = g->r->n_columns;
    for (int64_t t = first; t < last; t++) {
        const int32_t target = g->r->targets[t];
        float *p = g->scratch + t * n, *into = g->into + t * n;
        if (target < 0) {
            continue;
        }
        sonde_softmax_row(p, g->r->copy + t * n, n);
        for (int64_t i = 0; i < n; i++) {
            into[i] += (float)(((double)p[i] - (i == target ? 1.0 : 0.0)) * g->factor);
        }
    }
}

static void cross_entropy_vjp(struct sonde_op_context *ctx, const void *record)
{
    const struct loss_record *r = record;
    struct loss_gradient g = { .r = r, .into = sonde_tape_into(ctx, r->logits) };
    const struct sonde_arena_mark mark = sonde_arena_mark(ctx->arena);
    if (r->n_counted > 0) {
        g.factor = (double)*sonde_tape_incoming(ctx, r->loss) / (double)r->n_counted;
        g.scratch = sonde_op_scratch(ctx, r->n_rows * r->n_columns);
    }
    if (g.scratch && g.into) {
        sonde_op_split_rows(ctx, r->n_rows, r->n_columns, cross_entropy_vjp_rows, &g);
    }
    sonde_arena_rewind(ctx->arena, mark);
}

static void pick_logit_vjp(struct sonde_op_context *ctx, const void *record)
{
    const struct loss_record *r = record;
    float *into = sonde_tape_into(ctx, r->logits);
    if (into) {
        into[r->row * r->n_columns + r->id] += *sonde_tape_incoming(ctx, r->loss);
    }
}

static struct loss_record *
record_loss(struct sonde_op_context *ctx, const double *loss, const struct sonde_tensor *logits,
            void (*vjp)(struct sonde_op_context *ctx, const void *record))
{
    struct loss_record *r = sonde_tape_alloc(ctx, 1, sizeof(*r));
    if (r) {
        *r = (struct loss_record){ .n_rows = logits->dim[0], .n_columns = logits->dim[1] };
        r->logits = sonde_tape_use(ctx, logits);
        r->loss = sonde_tape_define(ctx, loss, 1);
        sonde_tape_push(ctx, r->loss, vjp, r);
    }
    return ctx->failed ? NULL : r;
}

static void record_cross_entropy(struct sonde_op_context *ctx, const double *loss,
                                 const struct sonde_tensor *logits, const int32_t *targets,
                                 int64_t n_counted)
{
    struct loss_record *r = record_loss(ctx, loss, logits, cross_entropy_vjp);
    int32_t *copy = r ? sonde_tape_alloc(ctx, logits->dim[0], sizeof(*copy)) : NULL;
    if (copy) {
        memcpy(copy, targets, (size_t)logits->dim[0] * sizeof(*copy));
        r->targets = copy;
        r->n_counted = n_counted;
        r->copy = sonde_tape_keep(ctx, r->logits, logits);
    }
}

/* log sum exp(x) - x[target]; the exponentials pass through a small buffer whose size fixes the
 * order of the sum. */
static double surprise(const float *x, int64_t n, int64_t target)
{
    const struct sonde_vector_kernels *vector = sonde_vector_kernels();
    float buffer[1024];
    const int64_t size = (int64_t)(sizeof(buffer) / sizeof(buffer[0]));
    const float shift = vector->max(x, n);
    double sum = 0.0;
    for (int64_t i = 0; i < n; i += size) {
        const int64_t part = sonde_min_i64(size, n - i);
        vector->exp(buffer, x + i, shift, part);
        sum += vector->sum(buffer, part);
    }
    return log(sum) - ((double)x[target] - (double)shift);
}

void sonde_op_cross_entropy(struct sonde_op_context *ctx, double *loss, struct sonde_tensor logits,
                            const int32_t *targets)
{
    if (!sonde_op_ready(ctx)) {
        return;
    }
    assert(logits.rank == 2 && logits.stride[1] == 1);
    double sum = 0.0;
    int64_t n_counted = 0;
    for (int64_t t = 0; t < logits.dim[0]; t++) {
        assert(targets[t] < logits.dim[1]);
        if (targets[t] >= 0) {
            sum += surprise(logits.data + t * logits.stride[0], logits.dim[1], targets[t]);
            n_counted++;
        }
    }
    if (ctx->tape) {
        record_cross_entropy(ctx, loss, &logits, targets, n_counted);
    }
    *loss = n_counted ? sum / (double)n_counted : 0.0;
}

void sonde_op_pick_logit(struct sonde_op_context *ctx, double *loss, struct sonde_tensor logits,
                         int64_t row, int64_t id)
{
    if (!sonde_op_ready(ctx)) {
        return;
    }
    assert(logits.rank == 2 && row >= 0 && row < logits.dim[0] && id >= 0 && id < logits.dim[1]);
    if (ctx->tape) {
        struct loss_record *r = record_loss(ctx, loss, &logits, pick_logit_vjp);
        if (r) {
            r->row = row;
            r->id = id;
        }
    }
    *loss = (double)logits.data[row * logits.stride[0] + id];
}

/* The most logits whose exponentials are formed at once. */
enum { PART = 1024 };

/*
 * e = exp(-|z|) gives everything without cancellation: of s and 1 - s the larger is 1 / (1 + e),
 * the smaller e / (1 + e).
 */
static void tail(float *e, const float *z, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        e[i] = -fabsf(z[i]);
    }
    sonde_vector_kernels()->exp(e, e, 0.0f, n);
}

static double sigmoid_of(double z, double e)
{
    return (z < 0.0 ? e : 1.0) / (1.0 + e);
}

static double square_error(double z, double e, double y)
{
    const double off = sigmoid_of(z, e) - y;
    return off * off;
}

static double binary_surprise(double z, double e, double y)
{
    const double wrong = z < 0.0 ? y : 1.0 - y;
    return log1p(e) + (wrong > 0.0 ? wrong * fabs(z) : 0.0);
}

static void sigmoid_vjp_rows(void *arg, int64_t first, int64_t last)
{
    const struct loss_gradient *g = arg;
    const struct loss_record *r = g->r;
    for (int64_t i = first * r->n_columns; i < last * r->n_columns; i += PART) {
        tail(g->scratch + i, r->copy + i, sonde_min_i64(PART, last * r->n_columns - i));
    }
    for (int64_t t = first; t < last; t++) {
        for (int64_t i = t * r->n_columns;
             (!r->counts || r->counts[t]) && i < (t + 1) * r->n_columns; i++) {
            const double e = (double)g->scratch[i], off = 1.0 + e;
            const double d = sigmoid_of((double)r->copy[i], e) - (double)r->hot[i];
            g->into[i] += (float)(g->factor * (r->squared ? 2.0 * d * (e / (off * off)) : d));
        }
    }
}

static void sigmoid_vjp(struct sonde_op_context *ctx, const void *record)
{
    const struct loss_record *r = record;
    struct loss_gradient g = { .r = r, .into = sonde_tape_into(ctx, r->logits) };
    const struct sonde_arena_mark mark = sonde_arena_mark(ctx->arena);
    if (r->n_counted > 0) {
        g.factor = (double)*sonde_tape_incoming(ctx, r->loss) /
                   ((double)r->n_counted * (double)r->n_columns);
        g.scratch = sonde_op_scratch(ctx, r->n_rows * r->n_columns);
    }
    if (g.scratch && g.into) {
        sonde_op_split_rows(ctx, r->n_rows, r->n_columns, sigmoid_vjp_rows, &g);
    }
    sonde_arena_rewind(ctx->arena, mark);
}

static double sigmoid_row(const float *z, const float *y, int64_t n, bool squared)
{
    float e[PART];
    double sum = 0.0;
    for (int64_t i = 0; i < n; i += PART) {
        const int64_t part = sonde_min_i64(PART, n - i);
        tail(e, z + i, part);
        for (int64_t j = 0; j < part; j++) {
            const double logit = (double)z[i + j], target = (double)y[i + j];
            sum += squared ? square_error(logit, (double)e[j], target)
                           : binary_surprise(logit, (double)e[j], target);
        }
    }
    return sum / (double)n;
}

static void sigmoid_loss(struct sonde_op_context *ctx, double *loss, struct sonde_tensor logits,
                         const float *targets, const bool *counts, bool squared)
{
    if (!sonde_op_ready(ctx)) {
        return;
    }
    assert(logits.rank == 2 && logits.stride[1] == 1);
    const int64_t n = logits.dim[1];
    double sum = 0.0;
    int64_t n_counted = 0;
    for (int64_t t = 0; t < logits.dim[0]; t++) {
        if (!counts || counts[t]) {
            sum += sigmoid_row(logits.data + t * logits.stride[0], targets + t * n, n, squared);
            n_counted++;
        }
    }
    struct loss_record *r = ctx->tape ? record_loss(ctx, loss, &logits, sigmoid_vjp) : NULL;
    if (r) {
        r->hot = targets;
        r->counts = counts;
        r->squared = squared;
        r->n_counted = n_counted;
        r->copy = sonde_tape_keep(ctx, r->logits, &logits);
    }
    *loss = n_counted ? sum / (double)n_counted : 0.0;
}

void sonde_op_sigmoid_mse(struct sonde_op_context *ctx, double *loss, struct sonde_tensor logits,
                          const float *targets, const bool *counts)
{
    sigmoid_loss(ctx, loss, logits, targets, counts, true);
}

void sonde_op_sigmoid_bce(struct sonde_op_context *ctx, double *loss, struct sonde_tensor logits,
                          const float *targets, const bool *counts)
{
    sigmoid_loss(ctx, loss, logits, targets, counts, false);
}
