/* Ops that multiply by a weight: linear, embedding, unembedding, the heads' shares of attn_out. */
#include <assert.h>
#include <string.h>

#include "core/tensor/gemm.h"
#include "core/tensor/op_common.h"
#include "core/tensor/vector.h"

/* The product is cut into tasks of ROW_BLOCK rows and one panel of outputs. Both depend on the
 * weight's shape and the row's place alone, so the bits do not depend on the pool, and an F32
 * weight gives the same bits as an F16 one of the same values. The sum over the inputs is never cut
 * here.
 *
 * A panel has at least PANEL_STEP outputs, because each product lays out the rows of x anew, and
 * about PANEL_ELEMENTS of the weight, so that a widened one stays in the cache. */
enum { ROW_BLOCK = 256, PANEL_ELEMENTS = 1 << 19, PANEL_STEP = 256, PANEL_MAX = 1024 };

static int64_t panel_outputs(int64_t n_in)
{
    const int64_t fitting = PANEL_ELEMENTS / sonde_max_i64(n_in, 1) / PANEL_STEP * PANEL_STEP;
    return sonde_min_i64(sonde_max_i64(fitting, PANEL_STEP), PANEL_MAX);
}

/* One product y[T, n_out] = x[T, n_in] W[outputs, inputs]^T with a part of the weight. */
struct product {
    const struct sonde_weight *w;
    const float *bias;          /* [out] or NULL */
    int64_t first_in, n_in;     /* the inputs used */
    int64_t n_out;              /* all outputs */
    int64_t n_rows;             /* T */
    const float *x;             /* row t at x + t * x_stride */
    float *y;                   /* row t at y + t * y_stride */
    int64_t x_stride, y_stride; /* in elements */
    int64_t panel, n_panels;
    float *scratch; /* [threads, panel * n_in], NULL for F32 */
};

static void product_task(void *arg, int64_t i, int worker)
{
    const struct product *p = arg;
    const struct sonde_weight *w = p->w;
    const int64_t row = i / p->n_panels * ROW_BLOCK;
    const int64_t n_rows = sonde_min_i64(ROW_BLOCK, p->n_rows - row);
    const int64_t out = i % p->n_panels * p->panel;
    const int64_t n_out = sonde_min_i64(p->panel, p->n_out - out);

    const int64_t stored_row = w->transposed ? p->first_in : out;
    const int64_t stored_column = w->transposed ? out : p->first_in;
    const float *block;
    int64_t block_stride;
    if (p->scratch) {
        float *wide = p->scratch + worker * p->panel * p->n_in;
        block_stride = w->transposed ? n_out : p->n_in;
        sonde_weight_block(w, stored_row, w->transposed ? p->n_in : n_out, stored_column,
                           block_stride, wide);
        block = wide;
    } else {
        block_stride = w->columns;
        block = (const float *)w->data + stored_row * block_stride + stored_column;
    }
    float *y = p->y + row * p->y_stride + out;
    for (int64_t t = 0; t < n_rows && p->bias; t++) {
        memcpy(y + t * p->y_stride, p->bias + out, (size_t)n_out * sizeof(float));
    }
    sonde_sgemm(false, !w->transposed, n_rows, n_out, p->n_in, 1.0f, p->x + row * p->x_stride,
                p->x_stride, block, block_stride, p->bias ? 1.0f : 0.0f, y, p->y_stride);
}

/* Fills in panels and scratch and runs the tasks. */
static void run_product(struct sonde_op_context *ctx, struct product *p)
{
    assert(sonde_dtype_is_weight(p->w->dtype));
    const struct sonde_arena_mark mark = sonde_arena_mark(ctx->arena);
    p->panel = panel_outputs(p->n_in);
    p->n_panels = (p->n_out + p->panel - 1) / p->panel;
    p->scratch = NULL;
    if (p->w->dtype != SONDE_DTYPE_F32) {
        p->panel = sonde_min_i64(p->panel, p->n_out);
        p->scratch = sonde_op_scratch(ctx, sonde_pool_threads(ctx->pool) * p->panel * p->n_in);
    }
    if (!ctx->failed) {
        const int64_t n_row_blocks = (p->n_rows + ROW_BLOCK - 1) / ROW_BLOCK;
        sonde_pool_run(ctx->pool, n_row_blocks * p->n_panels, product_task, p);
    }
    sonde_arena_rewind(ctx->arena, mark);
}

void sonde_op_linear(struct sonde_op_context *ctx, struct sonde_tensor y, struct sonde_tensor x,
                     const struct sonde_weight *w, const struct sonde_weight *b)
{
    if (!sonde_op_ready(ctx)) {
        return;
    }
    assert(x.rank == 2 && y.rank == 2 && x.dim[0] == y.dim[0]);
    assert(x.dim[1] == sonde_weight_in(w) && y.dim[1] == sonde_weight_out(w));
    assert(x.stride[1] == 1 && y.stride[1] == 1);
    const struct sonde_arena_mark mark = sonde_arena_mark(ctx->arena);
    struct product product = {
        .w = w,
        .bias = sonde_op_vector(ctx, b, y.dim[1]),
        .n_in = x.dim[1],
        .n_out = y.dim[1],
        .n_rows = x.dim[0],
        .x = x.data,
        .y = y.data,
        .x_stride = x.stride[0],
        .y_stride = y.stride[0],
    };
    if (!ctx->failed) {
        run_product(ctx, &product);
    }
    sonde_arena_rewind(ctx->arena, mark);
}

void sonde_op_head_result(struct sonde_op_context *ctx, struct sonde_tensor result,
                          struct sonde_tensor z, const struct sonde_weight *w_o)
{
    const int64_t n_heads = z.dim[1], d_head = z.dim[2];
    assert(z.rank == 3 && result.rank == 3 && result.dim[0] == z.dim[0]);
    assert(result.dim[1] == n_heads && result.dim[2] == sonde_weight_out(w_o));
    assert(n_heads * d_head == sonde_weight_in(w_o));
    assert(z.stride[2] == 1 && result.stride[2] == 1);
    for (int64_t h = 0; h < n_heads && sonde_op_ready(ctx); h++) {
        struct product product = {
            .w = w_o,
            .first_in = h * d_head,
            .n_in = d_head,
            .n_out = result.dim[2],
            .n_rows = z.dim[0],
            .x = z.data + h * z.stride[1],
            .y = result.data + h * result.stride[1],
            .x_stride = z.stride[0],
            .y_stride = result.stride[0],
        };
        run_product(ctx, &product);
    }
}

void sonde_op_embedding(struct sonde_op_context *ctx, struct sonde_tensor y,
                        const struct sonde_weight *table, const int32_t *ids)
{
    if (!sonde_op_ready(ctx)) {
        return;
    }
    assert(y.rank == 2 && y.dim[1] == table->columns && y.stride[1] == 1);
    for (int64_t t = 0; t < y.dim[0]; t++) {
        sonde_weight_row(table, ids[t], y.data + t * y.stride[0]);
    }
}

struct softcap {
    struct sonde_tensor logits; /* [T, V] */
    float cap;
};

static void softcap_rows(void *arg, int64_t first, int64_t last)
{
    const struct softcap *s = arg;
    for (int64_t t = first; t < last; t++) {
        float *row = s->logits.data + t * s->logits.stride[0];
        sonde_vector_kernels()->tanh(row, row, s->cap, s->logits.dim[1]);
    }
}

void sonde_op_unembed(struct sonde_op_context *ctx, struct sonde_tensor logits,
                      struct sonde_tensor x, const struct sonde_weight *w_u,
                      const struct sonde_weight *b_u, float softcap)
{
    sonde_op_linear(ctx, logits, x, w_u, b_u);
    if (softcap > 0.0f && sonde_op_ready(ctx)) {
        struct softcap s = { .logits = logits, .cap = softcap };
        sonde_op_split_rows(ctx, logits.dim[0], logits.dim[1], softcap_rows, &s);
    }
}
