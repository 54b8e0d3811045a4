#include "core/tensor/op_softmax.h"

#include <assert.h>
#include <math.h>

#include "core/tensor/op_common.h"
#include "core/tensor/tape.h"
#include "core/tensor/vector.h"

/* The largest value as the shift of exp; 0 where there is none, so that -inf - shift is not NaN. */
static float row_shift(const float *x, int64_t n)
{
    const float max = sonde_vector_kernels()->max(x, n);
    return max == -INFINITY ? 0.0f : max;
}

void sonde_softmax_row(float *y, const float *x, int64_t n)
{
    const struct sonde_vector_kernels *vector = sonde_vector_kernels();
    vector->exp(y, x, row_shift(x, n), n);
    const double sum = vector->sum(y, n);
    vector->normalize(y, y, 0.0, sum == 0.0 ? 0.0 : 1.0 / sum, n);
}

struct rows {
    struct sonde_tensor x, y; /* [T, V] */
};

static void softmax_rows(void *arg, int64_t first, int64_t last)
{
    const struct rows *r = arg;
    for (int64_t t = first; t < last; t++) {
        sonde_softmax_row(r->y.data + t * r->y.stride[0], r->x.data + t * r->x.stride[0],
                          r->x.dim[1]);
    }
}

/* log sum exp needs the exponentials only to sum them: they pass through a small buffer whose size
 * fixes the order of the sum. */
static void log_softmax_row(float *y, const float *x, int64_t n)
{
    const struct sonde_vector_kernels *vector = sonde_vector_kernels();
    float buffer[1024];
    const int64_t size = (int64_t)(sizeof(buffer) / sizeof(buffer[0]));
    const float shift = row_shift(x, n);
    double sum = 0.0;
    for (int64_t i = 0; i < n; i += size) {
        const int64_t part = sonde_min_i64(size, n - i);
        vector->exp(buffer, x + i, shift, part);
        sum += vector->sum(buffer, part);
    }
    const double log_sum = log(sum);
    for (int64_t i = 0; i < n; i++) {
        y[i] = (float)(((double)x[i] - (double)shift) - log_sum);
    }
}

static void log_softmax_rows(void *arg, int64_t first, int64_t last)
{
    const struct rows *r = arg;
    for (int64_t t = first; t < last; t++) {
        log_softmax_row(r->y.data + t * r->y.stride[0], r->x.data + t * r->x.stride[0],
                        r->x.dim[1]);
    }
}

struct softmax_record {
    int64_t x, y, n_rows, n_columns;
    bool is_log;
    const float *x_copy; /* [T, V] */
};

/* With p = softmax(x): dx = p (dy - sum(dy p)), and for the logarithm dx = dy - p sum(dy). */
static void softmax_vjp(struct sonde_op_context *ctx, const void *record)
{
    const struct softmax_record *r = record;
    const float *all = sonde_tape_incoming(ctx, r->y);
    float *into = sonde_tape_into(ctx, r->x);
    const struct sonde_arena_mark mark = sonde_arena_mark(ctx->arena);
    float *p = sonde_op_scratch(ctx, r->n_columns);
    for (int64_t t = 0; t < r->n_rows && into && p; t++) {
        const float *dy = all + t * r->n_columns;
        float *dx = into + t * r->n_columns;
        double sum = 0.0;
        sonde_softmax_row(p, r->x_copy + t * r->n_columns, r->n_columns);
        for (int64_t i = 0; i < r->n_columns; i++) {
            sum += r->is_log ? (double)dy[i] : (double)dy[i] * (double)p[i];
        }
        for (int64_t i = 0; i < r->n_columns; i++) {
            dx[i] += r->is_log ? (float)((double)dy[i] - (double)p[i] * sum)
                               : (float)((double)p[i] * ((double)dy[i] - sum));
        }
    }
    sonde_arena_rewind(ctx->arena, mark);
}

static void record_softmax(struct sonde_op_context *ctx, const struct sonde_tensor *y,
                           const struct sonde_tensor *x, bool is_log)
{
    struct softmax_record *r = sonde_tape_alloc(ctx, 1, sizeof(*r));
    if (!r) {
        return;
    }
    *r = (struct softmax_record){ .n_rows = x->dim[0], .n_columns = x->dim[1], .is_log = is_log };
    r->x = sonde_tape_use(ctx, x);
    r->x_copy = sonde_tape_keep(ctx, r->x, x);
    r->y = sonde_tape_define(ctx, y->data, sonde_tensor_elements(y));
    sonde_tape_push(ctx, r->y, softmax_vjp, r);
}

static void run_rows(struct sonde_op_context *ctx, struct sonde_tensor y, struct sonde_tensor x,
                     void (*run)(void *arg, int64_t first, int64_t last))
{
    if (!sonde_op_ready(ctx)) {
        return;
    }
    assert(x.rank == 2 && y.rank == 2 && x.dim[0] == y.dim[0] && x.dim[1] == y.dim[1]);
    assert(x.stride[1] == 1 && y.stride[1] == 1);
    if (ctx->tape) {
        record_softmax(ctx, &y, &x, run == log_softmax_rows);
    }
    struct rows rows = { .x = x, .y = y };
    sonde_op_split_rows(ctx, x.dim[0], x.dim[1], run, &rows);
}

void sonde_op_softmax(struct sonde_op_context *ctx, struct sonde_tensor y, struct sonde_tensor x)
{
    run_rows(ctx, y, x, softmax_rows);
}

void sonde_op_log_softmax(struct sonde_op_context *ctx, struct sonde_tensor y,
                          struct sonde_tensor x)
{
    run_rows(ctx, y, x, log_softmax_rows);
}
