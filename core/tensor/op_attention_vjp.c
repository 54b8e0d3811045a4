/* Attention backwards, and what the tape keeps for it. */
#include <assert.h>
#include <string.h>

#include "core/tensor/gemm.h"
#include "core/tensor/op_attention.h"
#include "core/tensor/tape.h"
#include "core/tensor/vector.h"

/*
 * Backwards a task is one key/value head: its query heads and their blocks in order, each made
 * again from q and k. With P the pattern and dP = dz v^T: dS = P (dP - sum(dP P)), then through the
 * softcap, dq = scale dS k, dk = scale dS^T q, dv = P^T dz. A relative table's gradients are summed
 * apart for each key/value head, and these in order.
 */
struct attention_record {
    struct sonde_attention_args args; /* nothing wanted, bias in the tape's memory */
    struct sonde_weight relative;     /* what args.relative points to, or absent */
    struct sonde_tensor q, k, v;      /* copies */
    int64_t q_value, k_value, v_value, z_value, scores, pattern, bias;
};

struct attention_gradient {
    struct sonde_attention a;
    const float *dz;     /* [T, H, E] */
    float *dq, *dk, *dv; /* [T, H, E], [S, G, E], [S, G, E] */
    float *d_scores;     /* [H, T, S] or NULL: nobody watches them */
    float *d_pattern;
    float *d_bias;     /* [H, W] or NULL */
    float *d_relative; /* [G, R, E] or NULL */
    float *d_products; /* [threads, n_rows, R] or NULL */
    float *scratch;    /* [threads, 3, n_rows, scratch_stride]: scores, pattern, gradient */
};

static void score_gradient(const struct attention_gradient *g,
                           const struct sonde_attention_block *b, float *d)
{
    const struct sonde_attention *a = &g->a;
    const int64_t n_keys = a->k.dim[0], n_queries = a->q.dim[0], stride = a->scratch_stride;
    const struct sonde_vector_kernels *vector = sonde_vector_kernels();
    const float cap = a->args->softcap;
    for (int64_t t = b->first; t < b->last; t++) {
        const int64_t row = (t - b->first) * stride, all = (b->head * n_queries + t) * n_keys;
        const int64_t low = sonde_attention_begin(a, t), high = sonde_attention_end(a, t);
        const float *p = b->pattern + row;
        const double sum = vector->dot(d + row + low, p + low, high - low);
        for (int64_t s = low; s < high && g->d_pattern; s++) {
            g->d_pattern[all + s] += d[row + s];
        }
        sonde_attention_fill(d + row, b->low, low, 0.0f);
        sonde_attention_fill(d + row, high, b->high, 0.0f);
        vector->softmax_slope(d + row + low, p + low, sum, high - low);
        for (int64_t s = low; s < high && g->d_scores; s++) {
            g->d_scores[all + s] += d[row + s];
        }
        const int64_t bias = a->args->bias.data ? sonde_attention_bias(a, b->head, t) : 0;
        for (int64_t s = low; s < high && g->d_bias; s++) {
            g->d_bias[bias + s] += d[row + s];
        }
        for (int64_t s = low; s < high && cap > 0.0f; s++) {
            const float shift = a->args->bias.data ? a->args->bias.data[bias + s] : 0.0f;
            const float u = (b->scores[row + s] - shift) / cap;
            d[row + s] *= (1.0f - u) * (1.0f + u);
        }
    }
}

static double sum_floats(const float *x, int64_t first, int64_t last)
{
    double sum = 0.0;
    for (int64_t i = first; i < last; i++) {
        sum += (double)x[i];
    }
    return sum;
}

/* Keys that share a row of the relative table add up: d_products[n_rows, R], and from it the
 * shares of q and of the table. */
static void relative_gradient(const struct attention_gradient *g,
                              const struct sonde_attention_block *b, const float *d,
                              float *d_products)
{
    const struct sonde_attention *a = &g->a;
    const int64_t n_rows = b->last - b->first, R = a->n_relative;
    const int64_t H = a->q.dim[1], E = a->q.dim[2], kv = b->head / a->group;
    const int64_t q_at = (b->first * H + b->head) * E;
    memset(d_products, 0, (size_t)(n_rows * R) * sizeof(*d_products));
    for (int64_t t = b->first; t < b->last; t++) {
        const int64_t low = sonde_attention_begin(a, t), high = sonde_attention_end(a, t);
        const int64_t first_key = a->args->first + t - a->reach;
        const float *row = d + (t - b->first) * a->scratch_stride;
        float *into = d_products + (t - b->first) * R;
        int64_t middle, end;
        sonde_attention_relative_range(a, t, low, high, &middle, &end);
        for (int64_t s = middle; s < end; s++) {
            into[s - first_key] = row[s];
        }
        into[0] = (float)((double)into[0] + sum_floats(row, low, middle));
        into[R - 1] = (float)((double)into[R - 1] + sum_floats(row, end, high));
    }
    sonde_sgemm(false, false, n_rows, E, R, a->args->scale, d_products, R, a->relative, E, 1.0f,
                g->dq + q_at, H * E);
    if (g->d_relative) {
        sonde_sgemm(true, false, R, E, n_rows, a->args->scale, d_products, R, a->q.data + q_at,
                    H * E, 1.0f, g->d_relative + kv * R * E, E);
    }
}

static void attention_vjp_block(const struct attention_gradient *g,
                                const struct sonde_attention_block *b, float *d, float *d_products)
{
    const struct sonde_attention *a = &g->a;
    const int64_t n_rows = b->last - b->first, n = b->high - b->low, stride = a->scratch_stride;
    const int64_t H = a->q.dim[1], G = a->k.dim[1], E = a->q.dim[2], E_v = a->v.dim[2];
    const int64_t kv = b->head / a->group;
    const float *dz = g->dz + (b->first * H + b->head) * E_v;
    const int64_t q_at = (b->first * H + b->head) * E, k_at = (b->low * G + kv) * E;
    const int64_t v_at = (b->low * G + kv) * E_v;
    sonde_attention_score(a, b);
    sonde_attention_softmax(a, b);
    sonde_sgemm(false, true, n_rows, n, E_v, 1.0f, dz, H * E_v, a->v.data + v_at, G * E_v, 0.0f,
                d + b->low, stride);
    sonde_sgemm(true, false, n, E_v, n_rows, 1.0f, b->pattern + b->low, stride, dz, H * E_v, 1.0f,
                g->dv + v_at, G * E_v);
    score_gradient(g, b, d);
    sonde_sgemm(false, false, n_rows, E, n, a->args->scale, d + b->low, stride, a->k.data + k_at,
                G * E, 1.0f, g->dq + q_at, H * E);
    sonde_sgemm(true, false, n, E, n_rows, a->args->scale, d + b->low, stride, a->q.data + q_at,
                H * E, 1.0f, g->dk + k_at, G * E);
    if (a->relative) {
        relative_gradient(g, b, d, d_products);
    }
}

static void attention_vjp_task(void *arg, int64_t i, int worker)
{
    const struct attention_gradient *g = arg;
    const int64_t size = g->a.n_rows * g->a.scratch_stride;
    float *scratch = g->scratch + 3 * size * worker;
    const int64_t first = i * g->a.group * g->a.n_blocks, n = g->a.group * g->a.n_blocks;
    for (int64_t j = first; j < first + n; j++) {
        struct sonde_attention_block b =
            sonde_attention_block(&g->a, j / g->a.n_blocks, j % g->a.n_blocks, worker);
        b.scores = scratch;
        b.pattern = scratch + size;
        attention_vjp_block(g, &b, scratch + 2 * size,
                            g->d_products + worker * g->a.n_rows * g->a.n_relative);
    }
}

static void attention_vjp(struct sonde_op_context *ctx, const void *record)
{
    const struct attention_record *r = record;
    struct attention_gradient g = { .dz = sonde_tape_incoming(ctx, r->z_value) };
    struct sonde_attention_args args = r->args;
    args.relative = &r->relative;
    g.a = (struct sonde_attention){ .args = &args, .q = r->q, .k = r->k, .v = r->v };
    g.dq = sonde_tape_into(ctx, r->q_value);
    g.dk = sonde_tape_into(ctx, r->k_value);
    g.dv = sonde_tape_into(ctx, r->v_value);
    g.d_scores = sonde_tape_into_watched(ctx, r->scores);
    g.d_pattern = sonde_tape_into_watched(ctx, r->pattern);
    g.d_bias = r->bias >= 0 ? sonde_tape_into(ctx, r->bias) : NULL;
    float *d_weight = sonde_tape_into_weight(ctx, &r->relative);
    const struct sonde_arena_mark mark = sonde_arena_mark(ctx->arena);
    sonde_attention_prepare(ctx, &g.a, ctx->pool, false);
    const int64_t n_rows = sonde_pool_threads(ctx->pool) * g.a.n_rows;
    g.scratch = sonde_op_scratch(ctx, 3 * n_rows * g.a.scratch_stride);
    g.a.scratch = g.scratch; /* where a block points before the task sets its own */
    const int64_t n_table = g.a.n_relative * r->q.dim[2];
    g.d_products = sonde_op_scratch(ctx, n_rows * g.a.n_relative);
    g.d_relative =
        d_weight ? sonde_arena_zalloc(ctx->arena, r->k.dim[1] * n_table, sizeof(float)) : NULL;
    ctx->failed = ctx->failed || (d_weight && !g.d_relative);
    if (!ctx->failed) {
        sonde_pool_run(ctx->pool, r->k.dim[1], attention_vjp_task, &g);
    }
    for (int64_t i = 0; i < r->k.dim[1] * n_table && d_weight && !ctx->failed; i++) {
        d_weight[i % n_table] += g.d_relative[i];
    }
    sonde_arena_rewind(ctx->arena, mark);
}

/* The copy of a value, as a tensor. */
static struct sonde_tensor keep_heads(struct sonde_op_context *ctx, int64_t value,
                                      const struct sonde_tensor *t)
{
    float *copy = sonde_tape_keep(ctx, value, t);
    return sonde_tensor_3d(copy, t->dim[0], t->dim[1], t->dim[2]);
}

void sonde_attention_record(struct sonde_op_context *ctx, const struct sonde_attention *a)
{
    const struct sonde_attention_args *args = a->args;
    struct attention_record *r = sonde_tape_alloc(ctx, 1, sizeof(*r));
    assert(!args->edit_scores && !args->edit_pattern); /* an edit has no derivative here */
    if (!r) {
        return;
    }
    *r = (struct attention_record){ .args = *args, .scores = -1, .pattern = -1, .bias = -1 };
    if (args->relative) {
        r->relative = *args->relative;
    }
    if (args->bias.data) {
        r->bias = sonde_tape_use(ctx, &args->bias);
        r->args.bias = sonde_tensor_2d(sonde_tape_keep(ctx, r->bias, &args->bias),
                                       args->bias.dim[0], args->bias.dim[1]);
    }
    r->args.scores.data = r->args.pattern.data = NULL;
    r->q_value = sonde_tape_use(ctx, &a->q);
    r->k_value = sonde_tape_use(ctx, &a->k);
    r->v_value = sonde_tape_use(ctx, &a->v);
    r->q = keep_heads(ctx, r->q_value, &a->q);
    r->k = keep_heads(ctx, r->k_value, &a->k);
    r->v = keep_heads(ctx, r->v_value, &a->v);
    if (args->scores.data) {
        r->scores = sonde_tape_define(ctx, args->scores.data, sonde_tensor_elements(&args->scores));
    }
    if (args->pattern.data) {
        r->pattern =
            sonde_tape_define(ctx, args->pattern.data, sonde_tensor_elements(&args->pattern));
    }
    r->z_value = sonde_tape_define(ctx, a->z.data, sonde_tensor_elements(&a->z));
    sonde_tape_push(ctx, r->z_value, attention_vjp, r);
}
