/*
 * Attention. A task is one head and QUERY_BLOCK query rows: scores by one product with the keys
 * that any of its rows sees, softmax of each row over the keys that it sees, and the mix of the
 * values by one product more. Blocks and products are the same whether the [H, T, S] arrays are
 * wanted or not; only the place of the block differs (the array, or scratch).
 *
 * Without edits a task runs through all three stages. With edits each stage runs for all heads, so
 * that the edit sees the whole array.
 */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "core/tensor/gemm.h"
#include "core/tensor/op_common.h"
#include "core/tensor/op_softmax.h"
#include "core/tensor/tape.h"
#include "core/tensor/vector.h"

enum { QUERY_BLOCK = 64 };

struct attention {
    const struct sonde_attention_args *args;
    struct sonde_tensor q, k, v, z; /* [T, H, E], [S, G, E], [S, G, E], [T, H, E] */
    int64_t n_blocks;               /* query blocks of a head */
    int64_t group;                  /* query heads that share a key/value head */
    float *scratch;                 /* [threads, QUERY_BLOCK, S] or NULL: the pattern is wanted */
    const float *relative;          /* [R, E] or NULL */
    int64_t n_relative, reach;      /* R, and the row of distance 0 */
    float *products;                /* [threads, QUERY_BLOCK, R]: q . relative, times the scale */
    float *clean;                   /* [S, G, E]: v with the broken rows zeroed, or NULL: none is */
    bool *broken;                   /* [S, G]: the row of v holds a NaN or infinity */
    bool score_stage, softmax_stage, mix_stage; /* what a task does */
};

/* Query rows [first, last) of one head, and the keys [low, high) that any of them sees. */
struct block {
    int64_t head, first, last, low, high;
    float *pattern;  /* [QUERY_BLOCK, S], row stride S */
    float *scores;   /* the same block of the wanted scores, or where the pattern will be */
    float *products; /* [QUERY_BLOCK, R] */
};

static int64_t visible_end(const struct attention *a, int64_t t)
{
    return a->args->causal ? a->args->first + t + 1 : a->k.dim[0];
}

static int64_t visible_begin(const struct attention *a, int64_t t)
{
    const int64_t window = a->args->window;
    return window > 0 ? sonde_max_i64(0, visible_end(a, t) - window) : 0;
}

static struct block block_of(const struct attention *a, int64_t i, int worker)
{
    const int64_t n_queries = a->q.dim[0], n_keys = a->k.dim[0];
    struct block b = { .head = i / a->n_blocks, .first = i % a->n_blocks * QUERY_BLOCK };
    b.last = sonde_min_i64(b.first + QUERY_BLOCK, n_queries);
    b.low = visible_begin(a, b.first);
    b.high = visible_end(a, b.last - 1);
    const int64_t offset = (b.head * n_queries + b.first) * n_keys;
    b.pattern = a->args->pattern.data ? a->args->pattern.data + offset
                                      : a->scratch + (int64_t)worker * QUERY_BLOCK * n_keys;
    b.scores = a->args->scores.data ? a->args->scores.data + offset : b.pattern;
    b.products = a->relative ? a->products + worker * QUERY_BLOCK * a->n_relative : NULL;
    return b;
}

static void fill(float *row, int64_t first, int64_t last, float value)
{
    for (int64_t s = first; s < last; s++) {
        row[s] = value;
    }
}

/* The row of the relative table for the first key of [low, high) of query t whose row is not the
 * first, and the first key whose row is the last: in between the rows follow each other. */
static void relative_range(const struct attention *a, int64_t t, int64_t low, int64_t high,
                           int64_t *middle, int64_t *end)
{
    const int64_t first_key = a->args->first + t - a->reach; /* of row 0 */
    *middle = sonde_min_i64(sonde_max_i64(first_key, low), high);
    *end = sonde_min_i64(sonde_max_i64(first_key + a->n_relative, *middle), high);
}

static void add_relative(const struct attention *a, int64_t t, const float *products, float *row,
                         int64_t low, int64_t high)
{
    const int64_t first_key = a->args->first + t - a->reach;
    int64_t middle, end;
    relative_range(a, t, low, high, &middle, &end);
    for (int64_t s = low; s < middle; s++) {
        row[s] += products[0];
    }
    for (int64_t s = middle; s < end; s++) {
        row[s] += products[s - first_key];
    }
    for (int64_t s = end; s < high; s++) {
        row[s] += products[a->n_relative - 1];
    }
}

/* The bias of key 0 for query t. */
static int64_t bias_at(const struct attention *a, int64_t head, int64_t t)
{
    return head * a->args->bias.stride[0] + a->q.dim[0] - 1 - t;
}

/* Relative positions, softcap and bias of the keys that query t sees. */
static void adjust_scores(const struct attention *a, const struct block *b, int64_t t, float *row)
{
    const int64_t low = visible_begin(a, t), high = visible_end(a, t);
    const float cap = a->args->softcap;
    if (a->relative) {
        add_relative(a, t, b->products + (t - b->first) * a->n_relative, row, low, high);
    }
    if (cap > 0.0f) {
        sonde_vector_kernels()->tanh(row + low, row + low, cap, high - low);
    }
    if (a->args->bias.data) {
        const float *bias = a->args->bias.data + bias_at(a, b->head, t);
        for (int64_t s = low; s < high; s++) {
            row[s] += bias[s];
        }
    }
}

static void score_block(const struct attention *a, const struct block *b)
{
    const int64_t n_keys = a->k.dim[0];
    const float *q = a->q.data + b->first * a->q.stride[0] + b->head * a->q.stride[1];
    const float *k = a->k.data + b->low * a->k.stride[0] + b->head / a->group * a->k.stride[1];
    sonde_sgemm(false, true, b->last - b->first, b->high - b->low, a->q.dim[2], a->args->scale, q,
                a->q.stride[0], k, a->k.stride[0], 0.0f, b->scores + b->low, n_keys);
    if (a->relative) {
        sonde_sgemm(false, true, b->last - b->first, a->n_relative, a->q.dim[2], a->args->scale, q,
                    a->q.stride[0], a->relative, a->q.dim[2], 0.0f, b->products, a->n_relative);
    }
    for (int64_t t = b->first; t < b->last; t++) {
        float *row = b->scores + (t - b->first) * n_keys;
        adjust_scores(a, b, t, row);
        if (a->args->scores.data) {
            fill(row, 0, visible_begin(a, t), -INFINITY);
            fill(row, visible_end(a, t), n_keys, -INFINITY);
        }
    }
}

/* An edit may have unmasked keys: these count too. */
static void widen_to_unmasked(const float *row, int64_t n_keys, int64_t *low, int64_t *high)
{
    for (int64_t s = 0; s < *low; s++) {
        if (row[s] != -INFINITY) {
            *low = s;
        }
    }
    for (int64_t s = n_keys; s > *high; s--) {
        if (row[s - 1] != -INFINITY) {
            *high = s;
        }
    }
}

static void softmax_block(const struct attention *a, const struct block *b)
{
    const int64_t n_keys = a->k.dim[0];
    for (int64_t t = b->first; t < b->last; t++) {
        const float *scores = b->scores + (t - b->first) * n_keys;
        float *pattern = b->pattern + (t - b->first) * n_keys;
        int64_t low = visible_begin(a, t), high = visible_end(a, t);
        if (a->args->edit_scores) {
            widen_to_unmasked(scores, n_keys, &low, &high);
        }
        sonde_softmax_row(pattern + low, scores + low, high - low);
        const bool whole_row = a->args->pattern.data != NULL;
        fill(pattern, whole_row ? 0 : b->low, low, 0.0f);
        fill(pattern, high, whole_row ? n_keys : b->high, 0.0f);
    }
}

static bool is_visible(const struct attention *a, int64_t t, int64_t s)
{
    return s >= visible_begin(a, t) && s < visible_end(a, t);
}

/* Adds the rows of v that hold NaN or infinity to those queries that see them. */
static void mix_broken(const struct attention *a, const struct block *b)
{
    const int64_t n_keys = a->k.dim[0], kv_head = b->head / a->group;
    for (int64_t s = 0; s < n_keys; s++) {
        if (!a->broken[s * a->v.dim[1] + kv_head]) {
            continue;
        }
        const float *v = a->v.data + s * a->v.stride[0] + kv_head * a->v.stride[1];
        for (int64_t t = b->first; t < b->last; t++) {
            const bool visible = is_visible(a, t, s);
            const float weight = visible || a->args->edit_pattern || a->args->edit_scores
                                     ? b->pattern[(t - b->first) * n_keys + s]
                                     : 0.0f;
            float *z = a->z.data + t * a->z.stride[0] + b->head * a->z.stride[1];
            for (int64_t e = 0; e < a->z.dim[2] && (visible || weight != 0.0f); e++) {
                z[e] += weight * v[e];
            }
        }
    }
}

/* z += pattern[:, low..high) v[low..high), or z = where `first` is set. */
static void mix_keys(const struct attention *a, const struct block *b, int64_t low, int64_t high,
                     bool first)
{
    const int64_t kv_head = b->head / a->group, d_head = a->z.dim[2];
    const int64_t v_stride = a->clean ? a->v.dim[1] * d_head : a->v.stride[0];
    const float *v = a->clean ? a->clean + kv_head * d_head : a->v.data + kv_head * a->v.stride[1];
    float *z = a->z.data + b->first * a->z.stride[0] + b->head * a->z.stride[1];
    sonde_sgemm(false, false, b->last - b->first, d_head, high - low, 1.0f, b->pattern + low,
                a->k.dim[0], v + low * v_stride, v_stride, first ? 0.0f : 1.0f, z, a->z.stride[0]);
}

static bool any_weight(const struct block *b, int64_t n_keys, int64_t low, int64_t high)
{
    for (int64_t t = 0; t < b->last - b->first; t++) {
        for (int64_t s = low; s < high; s++) {
            if (b->pattern[t * n_keys + s] != 0.0f) {
                return true;
            }
        }
    }
    return false;
}

static void mix_block(const struct attention *a, const struct block *b)
{
    const int64_t n_keys = a->k.dim[0];
    mix_keys(a, b, b->low, b->high, true);
    if (a->args->edit_scores || a->args->edit_pattern) {
        /* Apart, so that an edit that changes nothing changes no bit. */
        if (any_weight(b, n_keys, 0, b->low)) {
            mix_keys(a, b, 0, b->low, false);
        }
        if (any_weight(b, n_keys, b->high, n_keys)) {
            mix_keys(a, b, b->high, n_keys, false);
        }
    }
    if (a->clean) {
        mix_broken(a, b);
    }
}

static void attention_task(void *arg, int64_t i, int worker)
{
    const struct attention *a = arg;
    const struct block b = block_of(a, i, worker);
    if (a->score_stage) {
        score_block(a, &b);
    }
    if (a->softmax_stage) {
        softmax_block(a, &b);
    }
    if (a->mix_stage) {
        mix_block(a, &b);
    }
}

static void run_stages(struct sonde_op_context *ctx, struct attention *a, bool score, bool softmax,
                       bool mix)
{
    a->score_stage = score;
    a->softmax_stage = softmax;
    a->mix_stage = mix;
    sonde_pool_run(ctx->pool, a->q.dim[1] * a->n_blocks, attention_task, a);
}

/*
 * A masked weight is exactly 0, but 0 * NaN is NaN: a broken row of v would reach queries of its
 * block that do not see it. Such rows are zeroed in a copy (0 * 0 and 0 * v are the same bits) and
 * added afterwards where they are seen. A single unedited query sees every key that its product
 * reads.
 */
static void set_broken_values_apart(struct sonde_op_context *ctx, struct attention *a)
{
    const int64_t n_keys = a->v.dim[0], n_heads = a->v.dim[1], d_head = a->v.dim[2];
    const bool edited = a->args->edit_scores || a->args->edit_pattern;
    bool any = false;
    for (int64_t s = 0; s < n_keys && !any && (a->q.dim[0] > 1 || edited); s++) {
        for (int64_t g = 0; g < n_heads && !any; g++) {
            any = !sonde_vector_kernels()->is_finite(
                a->v.data + s * a->v.stride[0] + g * a->v.stride[1], d_head);
        }
    }
    if (!any) {
        return;
    }
    a->clean = sonde_op_scratch(ctx, n_keys * n_heads * d_head);
    a->broken = sonde_arena_alloc(ctx->arena, n_keys * n_heads, sizeof(bool));
    if (!a->clean || !a->broken) {
        ctx->failed = true;
        return;
    }
    for (int64_t s = 0; s < n_keys; s++) {
        for (int64_t g = 0; g < n_heads; g++) {
            const float *v = a->v.data + s * a->v.stride[0] + g * a->v.stride[1];
            float *clean = a->clean + (s * n_heads + g) * d_head;
            a->broken[s * n_heads + g] = !sonde_vector_kernels()->is_finite(v, d_head);
            if (a->broken[s * n_heads + g]) {
                memset(clean, 0, (size_t)d_head * sizeof(float));
            } else {
                memcpy(clean, v, (size_t)d_head * sizeof(float));
            }
        }
    }
}

static void assert_shapes(const struct attention *a)
{
    assert(a->q.rank == 3 && a->k.rank == 3 && a->v.rank == 3 && a->z.rank == 3);
    assert(a->q.stride[2] == 1 && a->k.stride[2] == 1 && a->v.stride[2] == 1 &&
           a->z.stride[2] == 1);
    assert(a->q.dim[0] == a->z.dim[0] && a->q.dim[1] == a->z.dim[1]);
    assert(a->q.dim[2] == a->k.dim[2] && a->v.dim[2] == a->z.dim[2]);
    assert(a->k.dim[0] == a->v.dim[0] && a->k.dim[1] == a->v.dim[1]);
    assert(a->k.dim[1] > 0 && a->q.dim[1] % a->k.dim[1] == 0);
    assert(!a->args->causal || a->args->first + a->q.dim[0] <= a->k.dim[0]);
    assert(a->args->causal || a->args->window <= 0);
    assert(!a->args->scores.data || sonde_tensor_is_contiguous(&a->args->scores));
    assert(!a->args->pattern.data || sonde_tensor_is_contiguous(&a->args->pattern));
    assert(!a->args->edit_scores || a->args->scores.data);
    assert(!a->args->edit_pattern || a->args->pattern.data);
    assert(!a->args->bias.data || a->args->bias.stride[1] == 1);
    assert(!a->args->bias.data || a->args->bias.dim[0] == a->q.dim[1]);
    assert(!a->args->bias.data ||
           a->args->bias.dim[1] >=
               a->args->first + a->q.dim[0] + (a->args->causal ? 0 : a->k.dim[0] - 1));
    assert(!a->args->relative || a->args->relative->columns == a->q.dim[2]);
    assert(!a->args->relative || a->args->causal || a->args->relative->rows % 2 == 1);
    (void)a;
}

/* Takes what relative positions need: the table in f32, products of n_threads tasks. */
static void prepare_relative(struct sonde_op_context *ctx, struct attention *a, int n_threads)
{
    const struct sonde_weight *w = a->args->relative;
    if (w && sonde_weight_present(w)) {
        a->n_relative = w->rows;
        a->reach = a->args->causal ? w->rows - 1 : w->rows / 2;
        a->relative = sonde_op_vector(ctx, w, w->rows * w->columns);
        a->products = sonde_op_scratch(ctx, n_threads * (int64_t)QUERY_BLOCK * w->rows);
    }
}

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
    struct attention a;
    const float *dz;     /* [T, H, E] */
    float *dq, *dk, *dv; /* [T, H, E], [S, G, E], [S, G, E] */
    float *d_scores;     /* [H, T, S] or NULL: nobody watches them */
    float *d_pattern;
    float *d_bias;     /* [H, W] or NULL */
    float *d_relative; /* [G, R, E] or NULL */
    float *d_products; /* [threads, QUERY_BLOCK, R] or NULL */
    float *scratch;    /* [threads, 3, QUERY_BLOCK, S]: scores, pattern, gradient */
};

static void score_gradient(const struct attention_gradient *g, const struct block *b, float *d)
{
    const struct attention *a = &g->a;
    const int64_t n_keys = a->k.dim[0], n_queries = a->q.dim[0];
    const struct sonde_vector_kernels *vector = sonde_vector_kernels();
    const float cap = a->args->softcap;
    for (int64_t t = b->first; t < b->last; t++) {
        const int64_t row = (t - b->first) * n_keys, all = (b->head * n_queries + t) * n_keys;
        const int64_t low = visible_begin(a, t), high = visible_end(a, t);
        const float *p = b->pattern + row;
        const double sum = vector->dot(d + row + low, p + low, high - low);
        for (int64_t s = low; s < high && g->d_pattern; s++) {
            g->d_pattern[all + s] += d[row + s];
        }
        fill(d + row, b->low, low, 0.0f);
        fill(d + row, high, b->high, 0.0f);
        vector->softmax_slope(d + row + low, p + low, sum, high - low);
        for (int64_t s = low; s < high && g->d_scores; s++) {
            g->d_scores[all + s] += d[row + s];
        }
        const int64_t bias = a->args->bias.data ? bias_at(a, b->head, t) : 0;
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

/* Keys that share a row of the relative table add up: d_products[QUERY_BLOCK, R], and from it the
 * shares of q and of the table. */
static void relative_gradient(const struct attention_gradient *g, const struct block *b,
                              const float *d, float *d_products)
{
    const struct attention *a = &g->a;
    const int64_t n_keys = a->k.dim[0], n_rows = b->last - b->first, R = a->n_relative;
    const int64_t H = a->q.dim[1], E = a->q.dim[2], kv = b->head / a->group;
    const int64_t q_at = (b->first * H + b->head) * E;
    memset(d_products, 0, (size_t)(n_rows * R) * sizeof(*d_products));
    for (int64_t t = b->first; t < b->last; t++) {
        const int64_t low = visible_begin(a, t), high = visible_end(a, t);
        const int64_t first_key = a->args->first + t - a->reach;
        const float *row = d + (t - b->first) * n_keys;
        float *into = d_products + (t - b->first) * R;
        int64_t middle, end;
        relative_range(a, t, low, high, &middle, &end);
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

static void attention_vjp_block(const struct attention_gradient *g, const struct block *b, float *d,
                                float *d_products)
{
    const struct attention *a = &g->a;
    const int64_t n_keys = a->k.dim[0], n_rows = b->last - b->first, n = b->high - b->low;
    const int64_t H = a->q.dim[1], G = a->k.dim[1], E = a->q.dim[2], E_v = a->v.dim[2];
    const int64_t kv = b->head / a->group;
    const float *dz = g->dz + (b->first * H + b->head) * E_v;
    const int64_t q_at = (b->first * H + b->head) * E, k_at = (b->low * G + kv) * E;
    const int64_t v_at = (b->low * G + kv) * E_v;
    score_block(a, b);
    softmax_block(a, b);
    sonde_sgemm(false, true, n_rows, n, E_v, 1.0f, dz, H * E_v, a->v.data + v_at, G * E_v, 0.0f,
                d + b->low, n_keys);
    sonde_sgemm(true, false, n, E_v, n_rows, 1.0f, b->pattern + b->low, n_keys, dz, H * E_v, 1.0f,
                g->dv + v_at, G * E_v);
    score_gradient(g, b, d);
    sonde_sgemm(false, false, n_rows, E, n, a->args->scale, d + b->low, n_keys, a->k.data + k_at,
                G * E, 1.0f, g->dq + q_at, H * E);
    sonde_sgemm(true, false, n, E, n_rows, a->args->scale, d + b->low, n_keys, a->q.data + q_at,
                H * E, 1.0f, g->dk + k_at, G * E);
    if (a->relative) {
        relative_gradient(g, b, d, d_products);
    }
}

static void attention_vjp_task(void *arg, int64_t i, int worker)
{
    const struct attention_gradient *g = arg;
    const int64_t size = (int64_t)QUERY_BLOCK * g->a.k.dim[0];
    float *scratch = g->scratch + 3 * size * worker;
    const int64_t first = i * g->a.group * g->a.n_blocks, n = g->a.group * g->a.n_blocks;
    for (int64_t j = first; j < first + n; j++) {
        struct block b = block_of(&g->a, j, worker);
        b.scores = scratch;
        b.pattern = scratch + size;
        attention_vjp_block(g, &b, scratch + 2 * size,
                            g->d_products + worker * QUERY_BLOCK * g->a.n_relative);
    }
}

static void attention_vjp(struct sonde_op_context *ctx, const void *record)
{
    const struct attention_record *r = record;
    struct attention_gradient g = { .dz = sonde_tape_incoming(ctx, r->z_value) };
    struct sonde_attention_args args = r->args;
    args.relative = &r->relative;
    g.a = (struct attention){ .args = &args, .q = r->q, .k = r->k, .v = r->v };
    g.a.n_blocks = (r->q.dim[0] + QUERY_BLOCK - 1) / QUERY_BLOCK;
    g.a.group = r->q.dim[1] / r->k.dim[1];
    g.dq = sonde_tape_into(ctx, r->q_value);
    g.dk = sonde_tape_into(ctx, r->k_value);
    g.dv = sonde_tape_into(ctx, r->v_value);
    g.d_scores = sonde_tape_into_watched(ctx, r->scores);
    g.d_pattern = sonde_tape_into_watched(ctx, r->pattern);
    g.d_bias = r->bias >= 0 ? sonde_tape_into(ctx, r->bias) : NULL;
    float *d_weight = sonde_tape_into_weight(ctx, &r->relative);
    const struct sonde_arena_mark mark = sonde_arena_mark(ctx->arena);
    const int n_threads = sonde_pool_threads(ctx->pool);
    const int64_t n_rows = (int64_t)QUERY_BLOCK * n_threads;
    g.scratch = sonde_op_scratch(ctx, 3 * n_rows * r->k.dim[0]);
    g.a.scratch = g.scratch; /* where block_of points before the task sets its own */
    prepare_relative(ctx, &g.a, n_threads);
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

static void record_attention(struct sonde_op_context *ctx, const struct attention *a)
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

void sonde_op_attention(struct sonde_op_context *ctx, struct sonde_tensor z, struct sonde_tensor q,
                        struct sonde_tensor k, struct sonde_tensor v,
                        const struct sonde_attention_args *args)
{
    struct attention a = { .args = args, .q = q, .k = k, .v = v, .z = z };
    assert_shapes(&a);
    if (!sonde_op_ready(ctx) || q.dim[0] == 0 || q.dim[1] == 0) {
        return;
    }
    if (ctx->tape) {
        record_attention(ctx, &a);
    }
    const struct sonde_arena_mark mark = sonde_arena_mark(ctx->arena);
    a.n_blocks = (q.dim[0] + QUERY_BLOCK - 1) / QUERY_BLOCK;
    a.group = q.dim[1] / k.dim[1];
    /* The edited stages hand a head's pattern from one pool run to the next. */
    struct sonde_attention_args staged = *args;
    const bool edited = args->edit_scores || args->edit_pattern;
    if (edited && !args->pattern.data) {
        float *pattern = sonde_op_scratch(ctx, q.dim[1] * q.dim[0] * k.dim[0]);
        staged.pattern = sonde_tensor_3d(pattern, q.dim[1], q.dim[0], k.dim[0]);
        a.args = &staged;
    } else if (!args->pattern.data) {
        const int64_t n_rows = sonde_pool_threads(ctx->pool) * (int64_t)QUERY_BLOCK;
        a.scratch = sonde_op_scratch(ctx, n_rows * k.dim[0]);
    }
    prepare_relative(ctx, &a, sonde_pool_threads(ctx->pool));
    set_broken_values_apart(ctx, &a);
    if (!ctx->failed && edited) {
        run_stages(ctx, &a, true, false, false);
        if (args->edit_scores) {
            args->edit_scores(args->edit_ctx, args->scores);
        }
        run_stages(ctx, &a, false, true, false);
        if (args->edit_pattern) {
            args->edit_pattern(args->edit_ctx, args->pattern);
        }
        run_stages(ctx, &a, false, false, true);
    } else if (!ctx->failed) {
        run_stages(ctx, &a, true, true, true);
    }
    sonde_arena_rewind(ctx->arena, mark);
}
