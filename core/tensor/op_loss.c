#include "core/tensor/op_loss.h"

#include <assert.h>
#include <math.h>
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
