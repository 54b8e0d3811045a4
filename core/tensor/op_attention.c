/*
 * Attention. A task is one head and some query rows: scores by products with panels of keys,
 * softmax of each row over the keys that it sees, and the mix of the values by products with panels
 * of these. A panel that lies before or behind all that a few rows see is left out, so little is
 * computed that a mask throws away. Keys (transposed) and values are laid out for the products once
 * for all query heads and blocks that share them. A few queries read keys and values once, as they
 * stand: to lay them out would cost more than the work.
 *
 * A score and a mixed value are each one chain of multiply-adds (vector_product.h) in the order of
 * the keys, and a masked key's weight, exactly 0, adds nothing: so a row's bits depend on what it
 * sees alone. Whether the [H, T, S] arrays are wanted decides only where a block's rows lie.
 *
 * Without edits a task runs through all three stages. With edits each stage runs for all heads, so
 * that the edit sees the whole array.
 */
#include "core/tensor/op_attention.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "core/tensor/gemm.h"
#include "core/tensor/op_softmax.h"
#include "core/tensor/vector.h"

enum {
    ROWS = SONDE_ATTENTION_ROWS,
    GROUP = SONDE_ATTENTION_GROUP,
    PANEL = SONDE_ATTENTION_PANEL,
    AHEAD = 12,                /* rows */
    FEW = 4,                   /* queries for which it does not pay to lay out keys and values */
    SPREAD_PRODUCTS = 1 << 18, /* fewer multiply-adds are not worth waking the other threads */
};

struct sonde_attention_block sonde_attention_block(const struct sonde_attention *a, int64_t head,
                                                   int64_t i, int worker)
{
    const int64_t n_queries = a->q.dim[0], n_keys = a->k.dim[0];
    struct sonde_attention_block b = { .head = head, .first = i * ROWS };
    b.last = sonde_min_i64(b.first + ROWS, n_queries);
    b.low = sonde_attention_begin(a, b.first);
    b.high = sonde_attention_end(a, b.last - 1);
    const int64_t offset = (head * n_queries + b.first) * n_keys;
    const bool whole = a->args->pattern.data != NULL;
    b.pattern = whole ? a->args->pattern.data + offset
                      : a->scratch + worker * a->n_rows * a->scratch_stride;
    b.pattern_stride = whole ? n_keys : a->scratch_stride;
    b.scores = a->args->scores.data ? a->args->scores.data + offset : b.pattern;
    b.scores_stride = a->args->scores.data ? n_keys : b.pattern_stride;
    b.products = a->relative ? a->products + worker * a->n_rows * a->n_relative : NULL;
    b.panel =
        a->panel ? a->panel + worker * PANEL * sonde_max_i64(a->k.dim[2], a->value_stride) : NULL;
    return b;
}

/* Rows of one head lie far apart, where the processor does not look ahead by itself. */
static void fetch_row(const float *row, int64_t n)
{
    for (int64_t i = 0; i < n; i += SONDE_PRODUCT_LANES) {
        __builtin_prefetch(row + i);
    }
}

/* to[E, PANEL] = the transposed rows of the panel's keys, 0 where there is no key. */
static void lay_out_keys(const struct sonde_attention *a, int64_t kv_head, int64_t panel, float *to)
{
    typedef float four __attribute__((vector_size(16)));
    const int64_t first = panel * PANEL, d_head = a->k.dim[2], stride = a->k.stride[0];
    const int64_t n = sonde_min_i64(PANEL, a->k.dim[0] - first);
    const float *from = a->k.data + first * stride + kv_head * a->k.stride[1];
    int64_t j = 0;
    for (; j + 4 <= n; j += 4, from += 4 * stride) {
        int64_t e = 0;
        for (int64_t i = 0; i < 4 && j + AHEAD + i < n; i++) {
            fetch_row(from + (AHEAD + i) * stride, d_head);
        }
        for (; e + 4 <= d_head; e += 4) {
            four r0, r1, r2, r3;
            memcpy(&r0, from + e, sizeof(four));
            memcpy(&r1, from + stride + e, sizeof(four));
            memcpy(&r2, from + 2 * stride + e, sizeof(four));
            memcpy(&r3, from + 3 * stride + e, sizeof(four));
            const four a0 = __builtin_shufflevector(r0, r1, 0, 4, 1, 5);
            const four a1 = __builtin_shufflevector(r0, r1, 2, 6, 3, 7);
            const four b0 = __builtin_shufflevector(r2, r3, 0, 4, 1, 5);
            const four b1 = __builtin_shufflevector(r2, r3, 2, 6, 3, 7);
            const four c0 = __builtin_shufflevector(a0, b0, 0, 1, 4, 5);
            const four c1 = __builtin_shufflevector(a0, b0, 2, 3, 6, 7);
            const four c2 = __builtin_shufflevector(a1, b1, 0, 1, 4, 5);
            const four c3 = __builtin_shufflevector(a1, b1, 2, 3, 6, 7);
            memcpy(to + e * PANEL + j, &c0, sizeof(four));
            memcpy(to + (e + 1) * PANEL + j, &c1, sizeof(four));
            memcpy(to + (e + 2) * PANEL + j, &c2, sizeof(four));
            memcpy(to + (e + 3) * PANEL + j, &c3, sizeof(four));
        }
        for (; e < d_head; e++) {
            for (int i = 0; i < 4; i++) {
                to[e * PANEL + j + i] = from[i * stride + e];
            }
        }
    }
    for (; j < n; j++, from += stride) {
        for (int64_t e = 0; e < d_head; e++) {
            to[e * PANEL + j] = from[e];
        }
    }
    for (int64_t e = 0; e < d_head && n < PANEL; e++) {
        memset(to + e * PANEL + n, 0, (size_t)(PANEL - n) * sizeof(float));
    }
}

/*
 * The panel's rows of v, with the columns that a product reads behind them. A masked weight is
 * exactly 0, but 0 * NaN is NaN: a broken row would reach queries that do not see it. Such rows are
 * zeroed here (0 * 0 and 0 * v are the same bits) and added afterwards where they are seen.
 */
static void lay_out_values(const struct sonde_attention *a, int64_t kv_head, int64_t panel,
                           float *to, bool *broken)
{
    const struct sonde_vector_kernels *vector = sonde_vector_kernels();
    const int64_t first = panel * PANEL, d_head = a->v.dim[2], stride = a->value_stride;
    const int64_t n = sonde_min_i64(PANEL, a->v.dim[0] - first);
    const float *from = a->v.data + first * a->v.stride[0] + kv_head * a->v.stride[1];
    for (int64_t j = 0; j < n; j++) {
        if (j + AHEAD < n) {
            fetch_row(from + (j + AHEAD) * a->v.stride[0], d_head);
        }
        memcpy(to + j * stride, from + j * a->v.stride[0], (size_t)d_head * sizeof(float));
        for (int64_t e = d_head; e < stride; e++) {
            to[j * stride + e] = 0.0f;
        }
    }
    memset(broken, 0, PANEL * sizeof(*broken));
    const bool any = !vector->is_finite(to, n * stride);
    for (int64_t j = 0; j < n && any; j++) {
        broken[j] = !vector->is_finite(to + j * stride, d_head);
        if (broken[j]) {
            memset(to + j * stride, 0, (size_t)d_head * sizeof(float));
        }
    }
}

static void lay_out_task(void *arg, int64_t i, int worker)
{
    const struct sonde_attention *a = arg;
    (void)worker;
    lay_out_keys(a, i / a->n_panels, i % a->n_panels, a->keys + i * PANEL * a->k.dim[2]);
    if (a->values) {
        lay_out_values(a, i / a->n_panels, i % a->n_panels, a->values + i * PANEL * a->value_stride,
                       a->broken + i * PANEL);
    }
}

static const float *panel_of_keys(const struct sonde_attention *a,
                                  const struct sonde_attention_block *b, int64_t panel)
{
    const int64_t kv_head = b->head / a->group;
    if (a->keys) {
        return a->keys + (kv_head * a->n_panels + panel) * PANEL * a->k.dim[2];
    }
    lay_out_keys(a, kv_head, panel, b->panel);
    return b->panel;
}

void sonde_attention_relative_range(const struct sonde_attention *a, int64_t t, int64_t low,
                                    int64_t high, int64_t *middle, int64_t *end)
{
    const int64_t first_key = a->args->first + t - a->reach; /* of row 0 */
    *middle = sonde_min_i64(sonde_max_i64(first_key, low), high);
    *end = sonde_min_i64(sonde_max_i64(first_key + a->n_relative, *middle), high);
}

static void add_relative(const struct sonde_attention *a, int64_t t, const float *products,
                         float *row, int64_t low, int64_t high)
{
    const int64_t first_key = a->args->first + t - a->reach;
    int64_t middle, end;
    sonde_attention_relative_range(a, t, low, high, &middle, &end);
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

/* Relative positions, softcap and bias of the keys that query t sees. */
static void adjust_scores(const struct sonde_attention *a, const struct sonde_attention_block *b,
                          int64_t t, float *row)
{
    const int64_t low = sonde_attention_begin(a, t), high = sonde_attention_end(a, t);
    const float cap = a->args->softcap;
    if (a->relative) {
        add_relative(a, t, b->products + (t - b->first) * a->n_relative, row, low, high);
    }
    if (cap > 0.0f) {
        sonde_vector_kernels()->tanh(row + low, row + low, cap, high - low);
    }
    if (a->args->bias.data) {
        const float *bias = a->args->bias.data + sonde_attention_bias(a, b->head, t);
        for (int64_t s = low; s < high; s++) {
            row[s] += bias[s];
        }
    }
}

static bool is_few(const struct sonde_attention *a)
{
    return a->q.dim[0] <= FEW;
}

/* q k^T with keys as they stand. */
static void multiply_few_keys(const struct sonde_attention *a,
                              const struct sonde_attention_block *b)
{
    sonde_dots_here()(&(struct sonde_product){
        .n_rows = b->last - b->first,
        .n_columns = b->high - b->low,
        .n_inner = a->q.dim[2],
        .a = a->q.data + b->first * a->q.stride[0] + b->head * a->q.stride[1],
        .a_stride = a->q.stride[0],
        .a_step = 1,
        .b = a->k.data + b->low * a->k.stride[0] + b->head / a->group * a->k.stride[1],
        .b_stride = a->k.stride[0],
        .c = b->scores + b->low,
        .c_stride = b->scores_stride,
        .scale = a->args->scale,
    });
}

/* q k^T by panels. */
static void multiply_keys(const struct sonde_attention *a, const struct sonde_attention_block *b)
{
    sonde_product_function *multiply = sonde_product_here();
    const float *q = a->q.data + b->head * a->q.stride[1];
    struct sonde_product p = { .n_inner = a->q.dim[2],
                               .a_stride = a->q.stride[0],
                               .a_step = 1,
                               .b_stride = PANEL,
                               .c_stride = b->scores_stride,
                               .scale = a->args->scale };
    for (int64_t first = b->low / PANEL * PANEL; first < b->high; first += PANEL) {
        p.b = panel_of_keys(a, b, first / PANEL);
        for (int64_t t = b->first; t < b->last; t += GROUP) {
            p.n_rows = sonde_min_i64(GROUP, b->last - t);
            p.n_columns = sonde_min_i64(PANEL, sonde_attention_end(a, t + p.n_rows - 1) - first);
            if (p.n_columns > 0 && sonde_attention_begin(a, t) < first + PANEL) {
                p.a = q + t * p.a_stride;
                p.c = b->scores + (t - b->first) * p.c_stride + first;
                multiply(&p);
            }
        }
    }
}

void sonde_attention_score(const struct sonde_attention *a, const struct sonde_attention_block *b)
{
    const int64_t n_keys = a->k.dim[0];
    const float *q = a->q.data + b->head * a->q.stride[1];
    if (is_few(a)) {
        multiply_few_keys(a, b);
    } else {
        multiply_keys(a, b);
    }
    if (a->relative) {
        sonde_sgemm(false, true, b->last - b->first, a->n_relative, a->q.dim[2], a->args->scale,
                    q + b->first * a->q.stride[0], a->q.stride[0], a->relative, a->q.dim[2], 0.0f,
                    b->products, a->n_relative);
    }
    for (int64_t t = b->first; t < b->last; t++) {
        float *row = b->scores + (t - b->first) * b->scores_stride;
        adjust_scores(a, b, t, row);
        if (a->args->scores.data) {
            sonde_attention_fill(row, 0, sonde_attention_begin(a, t), -INFINITY);
            sonde_attention_fill(row, sonde_attention_end(a, t), n_keys, -INFINITY);
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

void sonde_attention_softmax(const struct sonde_attention *a, const struct sonde_attention_block *b)
{
    const int64_t n_keys = a->k.dim[0];
    const bool whole = a->args->pattern.data != NULL;
    for (int64_t t = b->first; t < b->last; t++) {
        const float *scores = b->scores + (t - b->first) * b->scores_stride;
        float *pattern = b->pattern + (t - b->first) * b->pattern_stride;
        int64_t low = sonde_attention_begin(a, t), high = sonde_attention_end(a, t);
        if (a->args->edit_scores) {
            widen_to_unmasked(scores, n_keys, &low, &high);
        }
        sonde_softmax_row(pattern + low, scores + low, high - low);
        sonde_attention_fill(pattern, whole ? 0 : b->low, low, 0.0f);
        sonde_attention_fill(pattern, high, whole ? n_keys : b->high, 0.0f);
    }
}

static bool is_edited(const struct sonde_attention *a)
{
    return a->args->edit_scores || a->args->edit_pattern;
}

/* Rows [t, t + n) of a block and a panel of values from key `first` on. */
struct mix {
    const struct sonde_attention *a;
    const struct sonde_attention_block *b;
    int64_t t, n_rows, first;
    const float *values; /* [PANEL, value_stride] */
    const bool *broken;  /* [PANEL] */
};

static bool any_weight(const struct mix *m, int64_t low, int64_t high)
{
    for (int64_t i = 0; i < m->n_rows; i++) {
        const float *row = m->b->pattern + (m->t + i - m->b->first) * m->b->pattern_stride;
        for (int64_t s = low; s < high; s++) {
            if (row[s] != 0.0f) {
                return true;
            }
        }
    }
    return false;
}

/* Adds the rows of v that hold NaN or infinity to those queries that see them. */
static void mix_broken(const struct mix *m, int64_t low, int64_t high)
{
    const struct sonde_attention *a = m->a;
    const struct sonde_attention_block *b = m->b;
    for (int64_t s = low; s < high; s++) {
        const float *v = a->v.data + s * a->v.stride[0] + b->head / a->group * a->v.stride[1];
        for (int64_t t = m->t; t < m->t + m->n_rows && m->broken[s - m->first]; t++) {
            const bool visible = s >= sonde_attention_begin(a, t) && s < sonde_attention_end(a, t);
            const float weight =
                visible || is_edited(a) ? b->pattern[(t - b->first) * b->pattern_stride + s] : 0.0f;
            float *z = a->z.data + t * a->z.stride[0] + b->head * a->z.stride[1];
            for (int64_t e = 0; e < a->z.dim[2] && (visible || weight != 0.0f); e++) {
                z[e] += weight * v[e];
            }
        }
    }
}

/* z of the rows += pattern v, over the keys of the panel that they see; and over all of them where
 * an edit may have given weight to others. */
static void mix_panel(const struct mix *m, sonde_product_function *multiply)
{
    const struct sonde_attention *a = m->a;
    const struct sonde_attention_block *b = m->b;
    int64_t low = m->first, high = sonde_min_i64(m->first + PANEL, a->k.dim[0]);
    bool weighs = true;
    if (is_edited(a)) {
        weighs = any_weight(m, low, high);
    } else {
        low = sonde_max_i64(low, sonde_attention_begin(a, m->t));
        high = sonde_min_i64(high, sonde_attention_end(a, m->t + m->n_rows - 1));
    }
    if (weighs && low < high) {
        multiply(&(struct sonde_product){
            .n_rows = m->n_rows,
            .n_columns = a->z.dim[2],
            .n_inner = high - low,
            .a = b->pattern + (m->t - b->first) * b->pattern_stride + low,
            .a_stride = b->pattern_stride,
            .a_step = 1,
            .b = m->values + (low - m->first) * a->value_stride,
            .b_stride = a->value_stride,
            .c = a->z.data + m->t * a->z.stride[0] + b->head * a->z.stride[1],
            .c_stride = a->z.stride[0],
            .scale = 1.0f,
            .add = true,
        });
    }
    mix_broken(m, low, high);
}

/* pattern v with the values as they stand. False where that gives a NaN or infinity: a broken row
 * of v, also a masked one, shows in z, so that nobody need look for one. */
static bool mix_few(const struct sonde_attention *a, const struct sonde_attention_block *b)
{
    const int64_t d_head = a->z.dim[2];
    float *z = a->z.data + b->first * a->z.stride[0] + b->head * a->z.stride[1];
    bool finite = true;
    sonde_product_here()(&(struct sonde_product){
        .n_rows = b->last - b->first,
        .n_columns = d_head,
        .n_inner = b->high - b->low,
        .a = b->pattern + b->low,
        .a_stride = b->pattern_stride,
        .a_step = 1,
        .b = a->v.data + b->low * a->v.stride[0] + b->head / a->group * a->v.stride[1],
        .b_stride = a->v.stride[0],
        .c = z,
        .c_stride = a->z.stride[0],
        .scale = 1.0f,
    });
    for (int64_t t = 0; t < b->last - b->first; t++) {
        finite = finite && sonde_vector_kernels()->is_finite(z + t * a->z.stride[0], d_head);
    }
    return finite;
}

static void mix_block(const struct sonde_attention *a, const struct sonde_attention_block *b)
{
    sonde_product_function *multiply = sonde_product_here();
    const int64_t kv_head = b->head / a->group, first_key = is_edited(a) ? 0 : b->low;
    const int64_t end = is_edited(a) ? a->k.dim[0] : b->high;
    bool broken[PANEL];
    /* A product reads whole vectors: such as are no longer than the row. */
    if (is_few(a) && !is_edited(a) && a->z.dim[2] == a->value_stride && mix_few(a, b)) {
        return;
    }
    for (int64_t t = b->first; t < b->last; t++) {
        float *z = a->z.data + t * a->z.stride[0] + b->head * a->z.stride[1];
        memset(z, 0, (size_t)a->z.dim[2] * sizeof(float));
    }
    for (int64_t first = first_key / PANEL * PANEL; first < end; first += PANEL) {
        const int64_t at = (kv_head * a->n_panels + first / PANEL) * PANEL;
        struct mix m = { .a = a, .b = b, .first = first };
        if (a->values) {
            m.values = a->values + at * a->value_stride;
            m.broken = a->broken + at;
        } else {
            lay_out_values(a, kv_head, first / PANEL, b->panel, broken);
            m.values = b->panel;
            m.broken = broken;
        }
        for (m.t = b->first; m.t < b->last; m.t += GROUP) {
            m.n_rows = sonde_min_i64(GROUP, b->last - m.t);
            mix_panel(&m, multiply);
        }
    }
}

/* Every second head goes through its blocks from behind: threads take every n-th task, and causal
 * blocks grow. */
static void attention_task(void *arg, int64_t i, int worker)
{
    const struct sonde_attention *a = arg;
    const int64_t head = i / a->n_blocks, place = i % a->n_blocks;
    const struct sonde_attention_block b =
        sonde_attention_block(a, head, head % 2 ? a->n_blocks - 1 - place : place, worker);
    if (a->score_stage) {
        sonde_attention_score(a, &b);
    }
    if (a->softmax_stage) {
        sonde_attention_softmax(a, &b);
    }
    if (a->mix_stage) {
        mix_block(a, &b);
    }
}

static void run_stages(struct sonde_attention *a, struct sonde_pool *pool, bool score, bool softmax,
                       bool mix)
{
    a->score_stage = score;
    a->softmax_stage = softmax;
    a->mix_stage = mix;
    sonde_pool_run(pool, a->q.dim[1] * a->n_blocks, attention_task, a);
}

static void assert_shapes(const struct sonde_attention *a)
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
static void prepare_relative(struct sonde_op_context *ctx, struct sonde_attention *a, int n_threads)
{
    const struct sonde_weight *w = a->args->relative;
    if (w && sonde_weight_present(w)) {
        a->n_relative = w->rows;
        a->reach = a->args->causal ? w->rows - 1 : w->rows / 2;
        a->relative = sonde_op_vector(ctx, w, w->rows * w->columns);
        a->products = sonde_op_scratch(ctx, n_threads * a->n_rows * w->rows);
    }
}

/* Off powers of two, so that rows do not meet in one place of the cache. */
static int64_t row_stride(int64_t n_keys)
{
    return sonde_product_columns(n_keys) + SONDE_PRODUCT_LANES;
}

int64_t sonde_op_attention_scratch(int64_t n_queries, int64_t n_keys, int64_t n_kv_heads,
                                   int64_t d_head, int n_threads, bool backward)
{
    const int64_t n_panels = (n_keys + PANEL - 1) / PANEL, width = sonde_product_columns(d_head);
    const int64_t rows = sonde_min_i64(n_queries, ROWS) * row_stride(n_keys);
    const int64_t room = 64; /* allocations are rounded up */
    int64_t layout = n_threads * PANEL * width;
    if (n_queries > ROWS) { /* keys; values and a byte for each of their rows */
        layout = n_kv_heads * n_panels * PANEL * (backward ? d_head : d_head + width + 1);
    }
    return layout + n_threads * rows * (backward ? 3 : 1) + room;
}

void sonde_attention_prepare(struct sonde_op_context *ctx, struct sonde_attention *a,
                             struct sonde_pool *pool, bool with_values)
{
    const int64_t n_keys = a->k.dim[0], n_kv = a->k.dim[1];
    const int n_threads = sonde_pool_threads(pool);
    a->n_blocks = (a->q.dim[0] + ROWS - 1) / ROWS;
    a->n_rows = sonde_min_i64(a->q.dim[0], ROWS);
    a->group = a->q.dim[1] / n_kv;
    a->n_panels = (n_keys + PANEL - 1) / PANEL;
    a->value_stride = sonde_product_columns(a->v.dim[2]);
    a->scratch_stride = row_stride(n_keys);
    prepare_relative(ctx, a, n_threads);
    if (a->n_blocks == 1) {
        a->panel = sonde_op_scratch(ctx, n_threads * (int64_t)PANEL *
                                             sonde_max_i64(a->k.dim[2], a->value_stride));
        return;
    }
    a->keys = sonde_op_scratch(ctx, n_kv * a->n_panels * PANEL * a->k.dim[2]);
    if (with_values) {
        a->values = sonde_op_scratch(ctx, n_kv * a->n_panels * PANEL * a->value_stride);
        a->broken = sonde_arena_alloc(ctx->arena, n_kv * a->n_panels * PANEL, sizeof(bool));
        ctx->failed = ctx->failed || !a->broken;
    }
    if (!ctx->failed) {
        sonde_pool_run(pool, n_kv * a->n_panels, lay_out_task, a);
    }
}

void sonde_op_attention(struct sonde_op_context *ctx, struct sonde_tensor z, struct sonde_tensor q,
                        struct sonde_tensor k, struct sonde_tensor v,
                        const struct sonde_attention_args *args)
{
    struct sonde_attention a = { .args = args, .q = q, .k = k, .v = v, .z = z };
    assert_shapes(&a);
    if (!sonde_op_ready(ctx) || q.dim[0] == 0 || q.dim[1] == 0) {
        return;
    }
    if (ctx->tape) {
        sonde_attention_record(ctx, &a);
    }
    const struct sonde_arena_mark mark = sonde_arena_mark(ctx->arena);
    const int64_t n_products = q.dim[0] * q.dim[1] * k.dim[0] * (q.dim[2] + v.dim[2]);
    struct sonde_pool *pool = n_products >= SPREAD_PRODUCTS ? ctx->pool : NULL;
    sonde_attention_prepare(ctx, &a, pool, true);
    /* The edited stages hand a head's pattern from one pool run to the next. */
    struct sonde_attention_args staged = *args;
    const bool edited = is_edited(&a);
    if (edited && !args->pattern.data) {
        float *pattern = sonde_op_scratch(ctx, q.dim[1] * q.dim[0] * k.dim[0]);
        staged.pattern = sonde_tensor_3d(pattern, q.dim[1], q.dim[0], k.dim[0]);
        a.args = &staged;
    } else if (!args->pattern.data) {
        a.scratch = sonde_op_scratch(ctx, sonde_pool_threads(pool) * a.n_rows * a.scratch_stride);
    }
    if (!ctx->failed && edited) {
        run_stages(&a, pool, true, false, false);
        if (args->edit_scores) {
            args->edit_scores(args->edit_ctx, args->scores);
        }
        run_stages(&a, pool, false, true, false);
        if (args->edit_pattern) {
            args->edit_pattern(args->edit_ctx, args->pattern);
        }
        run_stages(&a, pool, false, false, true);
    } else if (!ctx->failed) {
        run_stages(&a, pool, true, true, true);
    }
    sonde_arena_rewind(ctx->arena, mark);
}
