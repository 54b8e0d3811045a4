/* Ops that multiply by a weight: linear, embedding, unembedding, the heads' shares of attn_out. */
#include <assert.h>
#include <string.h>

#include "core/tensor/gemm.h"
#include "core/tensor/gemm_plan.h"
#include "core/tensor/op_common.h"
#include "core/tensor/row_product.h"
#include "core/tensor/tape.h"
#include "core/tensor/vector.h"

/* The product is cut into tasks of ROW_BLOCK rows and one panel of outputs. Both depend on the
 * weight's shape and the row's place alone, so the bits do not depend on the pool, and an F32
 * weight gives the same bits as an F16 one of the same values. The sum over the inputs is never cut
 * here.
 *
 * A panel has at least PANEL_STEP outputs, because each product lays out the rows of x anew, and
 * about PANEL_ELEMENTS of the weight, so that a widened one stays in the cache.
 *
 * No product has so few rows that their number decides about bits (row_product.h): the last rows
 * are joined by some of the block before, and where there are no more, by zeros. */
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
    int64_t n_blocks, least; /* of rows; the fewest of a block */
    float *scratch;          /* [threads, panel * n_in], NULL for F32 as it is */
    bool round;              /* widened weights to bf16 */
};

/* The first row of a block; n_rows behind the last. */
static int64_t block_begin(const struct product *p, int64_t block)
{
    const int64_t row = block * ROW_BLOCK;
    return block > 0 && block == p->n_blocks - 1 && p->n_rows - row < p->least
               ? p->n_rows - p->least
               : sonde_min_i64(row, p->n_rows);
}

static void product_task(void *arg, int64_t i, int worker)
{
    const struct product *p = arg;
    const struct sonde_weight *w = p->w;
    const int64_t row = block_begin(p, i / p->n_panels);
    const int64_t n_rows = block_begin(p, i / p->n_panels + 1) - row;
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
        if (p->round && w->dtype != SONDE_DTYPE_BF16) {
            sonde_gemm_round_bf16(wide, n_out * p->n_in);
        }
        block = wide;
    } else {
        block_stride = w->columns;
        block = (const float *)w->data + stored_row * block_stride + stored_column;
    }
    float *y = p->y + row * p->y_stride + out;
    if (sonde_row_product_fits(p->n_in, n_out)) {
        sonde_row_product(n_rows, n_out, p->n_in, p->x + row * p->x_stride, p->x_stride, block,
                          block_stride, !w->transposed, p->bias ? p->bias + out : NULL, y,
                          p->y_stride);
        return;
    }
    for (int64_t t = 0; t < n_rows && p->bias; t++) {
        memcpy(y + t * p->y_stride, p->bias + out, (size_t)n_out * sizeof(float));
    }
    sonde_sgemm(false, !w->transposed, n_rows, n_out, p->n_in, 1.0f, p->x + row * p->x_stride,
                p->x_stride, block, block_stride, p->bias ? 1.0f : 0.0f, y, p->y_stride);
}

static int64_t least_rows(const struct product *p, int64_t n_out)
{
    return sonde_row_product_fits(p->n_in, n_out) ? 1 : sonde_row_product_least(p->n_in, n_out);
}

/* Lays the few rows out with zeros behind them; give_rows brings what comes out to y. */
static void pad_rows(struct sonde_op_context *ctx, struct product *p, const struct product *asked)
{
    float *x = sonde_op_scratch(ctx, p->least * p->n_in);
    float *y = sonde_op_scratch(ctx, p->least * p->n_out);
    if (!x || !y) {
        return;
    }
    memset(x, 0, (size_t)(p->least * p->n_in) * sizeof(float));
    for (int64_t t = 0; t < asked->n_rows; t++) {
        memcpy(x + t * p->n_in, asked->x + t * asked->x_stride, (size_t)p->n_in * sizeof(float));
    }
    p->x = x;
    p->x_stride = p->n_in;
    p->y = y;
    p->y_stride = p->n_out;
    p->n_rows = p->least;
}

/* x as the nearest bfloat16s, for a plan that rounds. */
static void round_rows(struct sonde_op_context *ctx, struct product *p)
{
    float *x = sonde_op_scratch(ctx, p->n_rows * p->n_in);
    for (int64_t t = 0; t < p->n_rows && x; t++) {
        memcpy(x + t * p->n_in, p->x + t * p->x_stride, (size_t)p->n_in * sizeof(float));
        sonde_gemm_round_bf16(x + t * p->n_in, p->n_in);
    }
    p->x = x;
    p->x_stride = p->n_in;
}

static void give_rows(const struct product *p, const struct product *asked)
{
    for (int64_t t = 0; t < asked->n_rows; t++) {
        memcpy(asked->y + t * asked->y_stride, p->y + t * p->y_stride,
               (size_t)p->n_out * sizeof(float));
    }
}

/* Fills in blocks, panels and scratch and runs the tasks. */
static void run_product(struct sonde_op_context *ctx, struct product *p)
{
    assert(sonde_dtype_is_weight(p->w->dtype));
    const struct sonde_arena_mark mark = sonde_arena_mark(ctx->arena);
    const struct product asked = *p;
    p->panel = panel_outputs(p->n_in);
    p->n_panels = (p->n_out + p->panel - 1) / p->panel;
    p->least = sonde_max_i64(least_rows(p, sonde_min_i64(p->panel, p->n_out)),
                             least_rows(p, p->n_out - (p->n_panels - 1) * p->panel));
    const bool padded =
        p->n_rows > 0 && p->n_rows < p->least && !(ctx->single_row && p->n_rows == 1);
    if (padded) {
        pad_rows(ctx, p, &asked);
    }
    p->round = sonde_gemm_plan_rounds(ctx->plan);
    if (p->round && !ctx->failed) {
        round_rows(ctx, p);
    }
    p->scratch = NULL;
    if (p->w->dtype != SONDE_DTYPE_F32 || p->round) {
        p->panel = sonde_min_i64(p->panel, p->n_out);
        p->scratch = sonde_op_scratch(ctx, sonde_pool_threads(ctx->pool) * p->panel * p->n_in);
    }
    if (!ctx->failed) {
        p->n_blocks = (p->n_rows + ROW_BLOCK - 1) / ROW_BLOCK;
        sonde_pool_run(ctx->pool, p->n_blocks * p->n_panels, product_task, p);
    }
    if (padded && !ctx->failed) {
        give_rows(p, &asked);
    }
    sonde_arena_rewind(ctx->arena, mark);
}

/* The product's vector-Jacobian product, of a part of the inputs where it is a head's share. */
struct linear_record {
    int64_t x, y; /* values of [T, n_x] and [T, n_y] */
    const float *x_copy;
    struct sonde_weight w, b;
    int64_t n_rows;        /* T */
    int64_t n_parts, n_in; /* heads and inputs of each; one part = the whole weight */
    int64_t n_out;
};

enum { BACK_ROWS = 64, BACK_COLUMNS = 256, BACK_PANEL = 512 };

/* dx[T, n_in] += dy[T, outputs] W[outputs, inputs], a tile of rows and inputs a task. */
struct input_task {
    const struct linear_record *r;
    const float *dy;
    float *dx;
    int64_t out, n_panel; /* the outputs of this panel */
    const float *block;   /* [n_panel, stride], or [in, stride] where stored transposed */
    int64_t stride, n_tiles;
};

static void input_tile(void *arg, int64_t i, int worker)
{
    const struct input_task *a = arg;
    const struct linear_record *r = a->r;
    const int64_t n_x = r->n_parts * r->n_in,
                  n_y = r->n_parts > 1 ? r->n_parts * r->n_out : r->n_out;
    const int64_t row = i / a->n_tiles * BACK_ROWS, tile = i % a->n_tiles * BACK_COLUMNS;
    const int64_t n_rows = sonde_min_i64(BACK_ROWS, r->n_rows - row);
    (void)worker;
    for (int64_t part = 0; part < r->n_parts; part++) {
        const int64_t first = sonde_max_i64(tile, part * r->n_in);
        const int64_t last = sonde_min_i64(tile + BACK_COLUMNS, (part + 1) * r->n_in);
        if (first >= last) {
            continue;
        }
        const float *dy = a->dy + row * n_y + (r->n_parts > 1 ? part * r->n_out : 0) + a->out;
        sonde_sgemm(false, r->w.transposed, n_rows, last - first, a->n_panel, 1.0f, dy, n_y,
                    a->block + first * (r->w.transposed ? a->stride : 1), a->stride, 1.0f,
                    a->dx + row * n_x + first, n_x);
    }
}

static void add_input_gradient(struct sonde_op_context *ctx, const struct linear_record *r,
                               const float *dy, float *dx)
{
    const struct sonde_weight *w = &r->w;
    const struct sonde_arena_mark mark = sonde_arena_mark(ctx->arena);
    const int64_t n_x = r->n_parts * r->n_in, panel = sonde_min_i64(BACK_PANEL, r->n_out);
    float *wide = w->dtype == SONDE_DTYPE_F32 ? NULL : sonde_op_scratch(ctx, panel * n_x);
    for (int64_t out = 0; out < r->n_out && !ctx->failed; out += BACK_PANEL) {
        struct input_task task = { .r = r, .dy = dy, .dx = dx, .out = out };
        task.n_panel = sonde_min_i64(BACK_PANEL, r->n_out - out);
        task.n_tiles = (n_x + BACK_COLUMNS - 1) / BACK_COLUMNS;
        if (wide) {
            task.stride = w->transposed ? task.n_panel : n_x;
            sonde_weight_block(w, w->transposed ? 0 : out, w->transposed ? n_x : task.n_panel,
                               w->transposed ? out : 0, task.stride, wide);
            task.block = wide;
        } else {
            task.stride = w->columns;
            task.block = (const float *)w->data + (w->transposed ? out : out * w->columns);
        }
        const int64_t n_row_blocks = (r->n_rows + BACK_ROWS - 1) / BACK_ROWS;
        sonde_pool_run(ctx->pool, n_row_blocks * task.n_tiles, input_tile, &task);
    }
    sonde_arena_rewind(ctx->arena, mark);
}

/* dW += dy^T x as it is stored, BACK_ROWS stored rows a task; db += the sum of dy, in double. */
struct weight_task {
    const struct linear_record *r;
    const float *dy;
    float *dw; /* [rows, columns] or [out] */
};

static void weight_rows(void *arg, int64_t i, int worker)
{
    const struct weight_task *a = arg;
    const struct linear_record *r = a->r;
    const int64_t n_x = r->n_parts * r->n_in,
                  n_y = r->n_parts > 1 ? r->n_parts * r->n_out : r->n_out;
    const int64_t row = i * BACK_ROWS;
    const int64_t n = sonde_min_i64(BACK_ROWS, r->w.rows - row);
    (void)worker;
    for (int64_t part = 0; part < r->n_parts; part++) {
        const float *dy = a->dy + (r->n_parts > 1 ? part * r->n_out : 0);
        if (r->w.transposed) {
            const int64_t first = sonde_max_i64(row, part * r->n_in);
            const int64_t last = sonde_min_i64(row + n, (part + 1) * r->n_in);
            if (first < last) {
                sonde_sgemm(true, false, last - first, r->n_out, r->n_rows, 1.0f, r->x_copy + first,
                            n_x, dy, n_y, 1.0f, a->dw + first * r->n_out, r->n_out);
            }
        } else {
            sonde_sgemm(true, false, n, r->n_in, r->n_rows, 1.0f, dy + row, n_y,
                        r->x_copy + part * r->n_in, n_x, 1.0f, a->dw + row * n_x + part * r->n_in,
                        n_x);
        }
    }
}

static void bias_columns(void *arg, int64_t first, int64_t last)
{
    const struct weight_task *a = arg;
    double sum[BACK_COLUMNS];
    for (int64_t at = first; at < last; at += BACK_COLUMNS) {
        const int64_t n = sonde_min_i64(BACK_COLUMNS, last - at);
        memset(sum, 0, (size_t)n * sizeof(*sum));
        for (int64_t t = 0; t < a->r->n_rows; t++) {
            sonde_vector_kernels()->accumulate(sum, a->dy + t * a->r->n_out + at, n);
        }
        for (int64_t o = 0; o < n; o++) {
            a->dw[at + o] += (float)sum[o];
        }
    }
}

static void linear_vjp(struct sonde_op_context *ctx, const void *record)
{
    const struct linear_record *r = record;
    const float *dy = sonde_tape_incoming(ctx, r->y);
    float *dx = sonde_tape_into(ctx, r->x);
    if (!dx || r->n_rows == 0) {
        return;
    }
    add_input_gradient(ctx, r, dy, dx);
    struct weight_task task = { .r = r, .dy = dy, .dw = sonde_tape_into_weight(ctx, &r->w) };
    if (task.dw) {
        sonde_pool_run(ctx->pool, (r->w.rows + BACK_ROWS - 1) / BACK_ROWS, weight_rows, &task);
    }
    task.dw = sonde_tape_into_weight(ctx, &r->b);
    if (task.dw) {
        sonde_op_split_rows(ctx, r->n_out, r->n_rows, bias_columns, &task);
    }
}

static void record_linear(struct sonde_op_context *ctx, const struct sonde_tensor *y,
                          const struct sonde_tensor *x, const struct sonde_weight *w,
                          const struct sonde_weight *b, int64_t n_parts)
{
    struct linear_record *r = sonde_tape_alloc(ctx, 1, sizeof(*r));
    if (!r) {
        return;
    }
    *r = (struct linear_record){ .w = *w, .n_rows = x->dim[0], .n_parts = n_parts };
    r->b = b ? *b : (struct sonde_weight){ 0 };
    r->n_in = sonde_weight_in(w) / n_parts;
    r->n_out = sonde_weight_out(w);
    r->x = sonde_tape_use(ctx, x);
    if (sonde_tape_into_weight(ctx, w)) {
        r->x_copy = sonde_tape_keep(ctx, r->x, x);
    }
    r->y = sonde_tape_define(ctx, y->data, sonde_tensor_elements(y));
    sonde_tape_push(ctx, r->y, linear_vjp, r);
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
    if (ctx->tape) {
        record_linear(ctx, &y, &x, w, b, 1);
    }
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
    if (!ctx->failed && !sonde_gemm_plan_multiply(ctx, w, product.bias, y, x)) {
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
    if (ctx->tape && sonde_op_ready(ctx)) {
        record_linear(ctx, &result, &z, w_o, NULL, n_heads);
    }
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

struct shares_record {
    int64_t whole, shares, n_rows, n_heads, width;
};

static void shares_vjp(struct sonde_op_context *ctx, const void *record)
{
    const struct shares_record *r = record;
    const float *from = sonde_tape_incoming(ctx, r->whole);
    float *into = sonde_tape_into_watched(ctx, r->shares);
    for (int64_t row = 0; row < r->n_rows * r->n_heads && into; row++) {
        for (int64_t d = 0; d < r->width; d++) {
            into[row * r->width + d] += from[row / r->n_heads * r->width + d];
        }
    }
}

void sonde_op_note_shares(struct sonde_op_context *ctx, const struct sonde_tensor *whole,
                          const struct sonde_tensor *shares)
{
    struct shares_record *r = sonde_op_ready(ctx) ? sonde_tape_alloc(ctx, 1, sizeof(*r)) : NULL;
    if (!r) {
        return;
    }
    assert(shares->rank == 3 && whole->dim[0] == shares->dim[0] && whole->dim[1] == shares->dim[2]);
    *r = (struct shares_record){ .n_rows = shares->dim[0],
                                 .n_heads = shares->dim[1],
                                 .width = shares->dim[2] };
    r->whole = sonde_tape_use(ctx, whole);
    r->shares = sonde_tape_define(ctx, shares->data, sonde_tensor_elements(shares));
    sonde_tape_push(ctx, r->whole, shares_vjp, r);
}

struct embedding_record {
    int64_t y, n_rows;
    struct sonde_weight table;
    const int32_t *ids; /* [T] */
};

/* Rows are added in the order of the positions. */
static void embedding_vjp(struct sonde_op_context *ctx, const void *record)
{
    const struct embedding_record *r = record;
    const float *dy = sonde_tape_incoming(ctx, r->y);
    float *table = sonde_tape_into_weight(ctx, &r->table);
    const int64_t n = r->table.columns;
    for (int64_t t = 0; t < r->n_rows && table; t++) {
        float *row = table + (int64_t)r->ids[t] * n;
        for (int64_t d = 0; d < n; d++) {
            row[d] += dy[t * n + d];
        }
    }
}

static void record_embedding(struct sonde_op_context *ctx, const struct sonde_tensor *y,
                             const struct sonde_weight *table, const int32_t *ids)
{
    struct embedding_record *r = sonde_tape_alloc(ctx, 1, sizeof(*r));
    int32_t *copy = sonde_tape_alloc(ctx, y->dim[0], sizeof(*copy));
    if (!r || !copy) {
        return;
    }
    memcpy(copy, ids, (size_t)y->dim[0] * sizeof(*copy));
    *r = (struct embedding_record){ .n_rows = y->dim[0], .table = *table, .ids = copy };
    r->y = sonde_tape_define(ctx, y->data, sonde_tensor_elements(y));
    sonde_tape_push(ctx, r->y, embedding_vjp, r);
}

void sonde_op_embedding(struct sonde_op_context *ctx, struct sonde_tensor y,
                        const struct sonde_weight *table, const int32_t *ids)
{
    if (!sonde_op_ready(ctx)) {
        return;
    }
    assert(y.rank == 2 && y.dim[1] == table->columns && y.stride[1] == 1);
    if (ctx->tape) {
        record_embedding(ctx, &y, table, ids);
    }
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

struct softcap_record {
    int64_t x, y, n_rows, n_columns;
    float cap;
    const float *x_copy; /* [T, V] */
};

/* d/dx cap tanh(x / cap) = 1 - tanh(x / cap)^2 */
static void softcap_vjp(struct sonde_op_context *ctx, const void *record)
{
    const struct softcap_record *r = record;
    const float *dy = sonde_tape_incoming(ctx, r->y);
    float *dx = sonde_tape_into(ctx, r->x);
    const struct sonde_arena_mark mark = sonde_arena_mark(ctx->arena);
    float *row = sonde_op_scratch(ctx, r->n_columns);
    for (int64_t t = 0; t < r->n_rows && dx && row; t++) {
        const int64_t at = t * r->n_columns;
        sonde_vector_kernels()->tanh(row, r->x_copy + at, r->cap, r->n_columns);
        for (int64_t i = 0; i < r->n_columns; i++) {
            const float u = row[i] / r->cap;
            dx[at + i] += dy[at + i] * ((1.0f - u) * (1.0f + u));
        }
    }
    sonde_arena_rewind(ctx->arena, mark);
}

static void record_softcap(struct sonde_op_context *ctx, const struct sonde_tensor *x, float cap)
{
    struct softcap_record *r = sonde_tape_alloc(ctx, 1, sizeof(*r));
    if (!r) {
        return;
    }
    *r = (struct softcap_record){ .n_rows = x->dim[0], .n_columns = x->dim[1], .cap = cap };
    r->x = sonde_tape_use(ctx, x);
    r->x_copy = sonde_tape_keep(ctx, r->x, x);
    r->y = sonde_tape_define(ctx, x->data, sonde_tensor_elements(x));
    sonde_tape_push(ctx, r->y, softcap_vjp, r);
}

void sonde_op_unembed(struct sonde_op_context *ctx, struct sonde_tensor logits,
                      struct sonde_tensor x, const struct sonde_weight *w_u,
                      const struct sonde_weight *b_u, float softcap)
{
    sonde_op_linear(ctx, logits, x, w_u, b_u);
    if (softcap > 0.0f && sonde_op_ready(ctx)) {
        if (ctx->tape) {
            record_softcap(ctx, &logits, softcap);
        }
        struct softcap s = { .logits = logits, .cap = softcap };
        sonde_op_split_rows(ctx, logits.dim[0], logits.dim[1], softcap_rows, &s);
    }
}
