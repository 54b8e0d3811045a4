/* Attention against a softmax in double, and what must hold to the bit: pools, observation, edits
 * that change nothing, causality. */
#include <string.h>

#include "tests/kernels/kernel_check.h"
#include "tests/support/check.h"

struct attention_case {
    int64_t n_queries, n_keys, n_heads, n_kv_heads, d_head;
    int64_t window, first;
    double softcap;
    bool causal, bias;
    int64_t n_relative; /* rows of the table of relative positions; 0 = none */
};

/* Inputs and reference of one case. */
struct attention_data {
    struct attention_case c;
    struct guarded q, k, v;        /* [T, H, E], [S, G, E], [S, G, E] */
    struct guarded bias;           /* [H, W] */
    struct guarded relative;       /* [R, E] */
    struct sonde_weight table;     /* the same */
    double *scores, *scores_bound; /* [H, T, S] */
    double *pattern, *pattern_bound;
    double *z, *z_bound; /* [T, H, E] */
};

static bool sees(const struct attention_case *c, int64_t t, int64_t s)
{
    const int64_t position = c->first + t;
    return !c->causal || (s <= position && (c->window == 0 || s > position - c->window));
}

static int64_t bias_width(const struct attention_case *c)
{
    return c->first + c->n_queries + (c->causal ? 0 : c->n_keys - 1);
}

/* The table's row for a key at s and a query at position, or NULL. */
static const float *relative_row(const struct attention_data *d, int64_t position, int64_t s)
{
    const int64_t R = d->c.n_relative, bound = d->c.causal ? R - 1 : R / 2;
    int64_t distance = s - position;
    if (R == 0) {
        return NULL;
    }
    distance = distance < -bound ? -bound : distance;
    distance = distance > (d->c.causal ? 0 : bound) ? (d->c.causal ? 0 : bound) : distance;
    return d->relative.data + (distance + bound) * d->c.d_head;
}

/* One score and its bound: E products and sums, the scale, the cap, the position bias. */
static void reference_score(struct attention_data *d, int64_t h, int64_t t, int64_t s, double scale)
{
    const struct attention_case *c = &d->c;
    const int64_t at = (h * c->n_queries + t) * c->n_keys + s;
    if (!sees(c, t, s)) {
        d->scores[at] = -INFINITY;
        return;
    }
    const float *q = d->q.data + (t * c->n_heads + h) * c->d_head;
    const float *k = d->k.data + (s * c->n_kv_heads + h / (c->n_heads / c->n_kv_heads)) * c->d_head;
    const float *shift = relative_row(d, c->first + t, s);
    double sum = 0.0, size = 0.0;
    for (int64_t e = 0; e < c->d_head; e++) {
        const double more = shift ? (double)q[e] * (double)shift[e] : 0.0;
        sum += (double)q[e] * (double)k[e] + more;
        size += fabs((double)q[e] * (double)k[e]) + fabs(more);
    }
    double score = scale * sum;
    double bound = gamma_bound((double)c->d_head + 2.0) * fabs(scale) * size;
    if (c->softcap > 0.0) {
        /* One division, tanhf within 2 units, one product; |tanh'| <= 1. */
        bound += UNIT * fabs(score);
        score = c->softcap * tanh(score / c->softcap);
        bound += 6.0 * UNIT * fabs(score);
    }
    if (c->bias) {
        const int64_t n_queries = c->first + c->n_queries;
        const double bias =
            (double)d->bias.data[h * bias_width(c) + s - c->first - t + n_queries - 1];
        score += bias;
        bound += UNIT * (fabs(bias) + fabs(score));
    }
    d->scores[at] = score;
    d->scores_bound[at] = bound * 1.01;
}

/* The row's softmax. With every score within `error`, each weight is within the factor exp(2
 * error); exp rounds its argument (relative to the distance from the largest), is within 2 units,
 * and the weight rounds once more. */
static void reference_row(struct attention_data *d, int64_t h, int64_t t)
{
    const struct attention_case *c = &d->c;
    const int64_t at = (h * c->n_queries + t) * c->n_keys;
    double max = -INFINITY, sum = 0.0, error = 0.0;
    for (int64_t s = 0; s < c->n_keys; s++) {
        max = fmax(max, d->scores[at + s]);
    }
    for (int64_t s = 0; s < c->n_keys && isfinite(max); s++) {
        sum += exp(d->scores[at + s] - max);
        if (isfinite(d->scores[at + s])) {
            error = fmax(error, d->scores_bound[at + s] + UNIT * (max - d->scores[at + s]));
        }
    }
    const double relative = expm1(2.0 * error) + 10.0 * UNIT;
    for (int64_t s = 0; s < c->n_keys; s++) {
        const double p = sees(c, t, s) ? exp(d->scores[at + s] - max) / sum : 0.0;
        d->pattern[at + s] = p;
        d->pattern_bound[at + s] = p * relative + (p > 0.0 ? 0x1p-140 : 0.0);
    }
    const int64_t kv_head = h / (c->n_heads / c->n_kv_heads);
    for (int64_t e = 0; e < c->d_head; e++) {
        const int64_t out = (t * c->n_heads + h) * c->d_head + e;
        for (int64_t s = 0; s < c->n_keys; s++) {
            const double p = d->pattern[at + s];
            const double value = (double)d->v.data[(s * c->n_kv_heads + kv_head) * c->d_head + e];
            d->z[out] += p * value;
            d->z_bound[out] += fabs(value) * (p * gamma_bound((double)c->n_keys) +
                                              d->pattern_bound[at + s] * 1.01);
        }
    }
}

static double scale_of(const struct attention_case *c)
{
    return (double)(float)(1.0 / sqrt((double)c->d_head));
}

static struct attention_data make_data(const struct attention_case *c, uint64_t stream)
{
    struct sonde_rng rng = sonde_rng_make(SONDE_SEED_DEFAULT, stream);
    const int64_t n_scores = c->n_heads * c->n_queries * c->n_keys;
    struct attention_data d = { .c = *c };
    d.q = guarded_normal(&rng, c->n_queries * c->n_heads * c->d_head, 2.0);
    d.k = guarded_normal(&rng, c->n_keys * c->n_kv_heads * c->d_head, 1.0);
    d.v = guarded_normal(&rng, c->n_keys * c->n_kv_heads * c->d_head, 1.0);
    d.bias = guarded_normal(&rng, c->n_heads * bias_width(c), 1.0);
    d.relative = guarded_normal(&rng, c->n_relative * c->d_head, 0.5);
    d.table =
        (struct sonde_weight){ d.relative.data, SONDE_DTYPE_F32, c->n_relative, c->d_head, false };
    d.scores = zeros(n_scores);
    d.scores_bound = zeros(n_scores);
    d.pattern = zeros(n_scores);
    d.pattern_bound = zeros(n_scores);
    d.z = zeros(d.q.n);
    d.z_bound = zeros(d.q.n);
    for (int64_t h = 0; h < c->n_heads; h++) {
        for (int64_t t = 0; t < c->n_queries; t++) {
            for (int64_t s = 0; s < c->n_keys; s++) {
                reference_score(&d, h, t, s, scale_of(c));
            }
            reference_row(&d, h, t);
        }
    }
    return d;
}

static void free_data(struct attention_data *d)
{
    guarded_free(&d->q);
    guarded_free(&d->k);
    guarded_free(&d->v);
    guarded_free(&d->bias);
    guarded_free(&d->relative);
    free(d->scores);
    free(d->scores_bound);
    free(d->pattern);
    free(d->pattern_bound);
    free(d->z);
    free(d->z_bound);
}

static struct sonde_attention_args args_of(const struct attention_data *d)
{
    return (struct sonde_attention_args){
        .scale = (float)scale_of(&d->c),
        .causal = d->c.causal,
        .window = d->c.window,
        .first = d->c.first,
        .softcap = (float)d->c.softcap,
        .bias = sonde_tensor_2d(d->c.bias ? d->bias.data : NULL, d->c.n_heads, bias_width(&d->c)),
        .relative = d->c.n_relative ? &d->table : NULL,
    };
}

static void run(struct sonde_op_context *ctx, const struct attention_data *d, float *z,
                const struct sonde_attention_args *args)
{
    const struct attention_case *c = &d->c;
    sonde_op_attention(ctx, sonde_tensor_3d(z, c->n_queries, c->n_heads, c->d_head),
                       sonde_tensor_3d(d->q.data, c->n_queries, c->n_heads, c->d_head),
                       sonde_tensor_3d(d->k.data, c->n_keys, c->n_kv_heads, c->d_head),
                       sonde_tensor_3d(d->v.data, c->n_keys, c->n_kv_heads, c->d_head), args);
    assert_false(ctx->failed);
    assert_int_equal(sonde_arena_used(ctx->arena), 0);
}

static void edit_nothing(void *ctx, struct sonde_tensor t)
{
    int64_t *calls = ctx;
    *calls += sonde_tensor_elements(&t);
}

/* What is wanted, as bits: the scores, the pattern, and edits (that change nothing) of each. */
enum { WANT_SCORES = 1, WANT_PATTERN = 2, EDIT_SCORES = 4, EDIT_PATTERN = 8, WANT_END = 16 };

static void check_observed(struct sonde_op_context *ctx, const struct attention_data *d, int want,
                           const float *z_bits)
{
    const struct attention_case *c = &d->c;
    const int64_t n_scores = c->n_heads * c->n_queries * c->n_keys;
    int64_t calls = 0;
    struct sonde_attention_args args = args_of(d);
    struct guarded z = guarded_new(d->q.n);
    struct guarded scores = guarded_new(n_scores), pattern = guarded_new(n_scores);
    if (want & (WANT_SCORES | EDIT_SCORES)) {
        args.scores = sonde_tensor_3d(scores.data, c->n_heads, c->n_queries, c->n_keys);
    }
    if (want & (WANT_PATTERN | EDIT_PATTERN)) {
        args.pattern = sonde_tensor_3d(pattern.data, c->n_heads, c->n_queries, c->n_keys);
    }
    args.edit_scores = want & EDIT_SCORES ? edit_nothing : NULL;
    args.edit_pattern = want & EDIT_PATTERN ? edit_nothing : NULL;
    args.edit_ctx = &calls;
    run(ctx, d, z.data, &args);
    check_bits("attention, observed", z.data, z_bits, z.n);
    if (args.scores.data) {
        check_bounds("scores", scores.data, d->scores, d->scores_bound, n_scores);
    }
    if (args.pattern.data) {
        check_bounds("pattern", pattern.data, d->pattern, d->pattern_bound, n_scores);
    }
    assert_int_equal(calls,
                     n_scores * (!!args.edit_scores + !!args.edit_pattern) * (c->n_queries > 0));
    guarded_free(&z);
    guarded_free(&scores);
    guarded_free(&pattern);
}

static const struct attention_case cases[] = {
    { 0, 4, 2, 2, 8, 0, 0, 0.0, false, false, 0 },
    { 1, 1, 1, 1, 1, 0, 0, 0.0, true, false, 0 },
    { 1, 9, 4, 2, 16, 0, 8, 0.0, true, false, 0 },
    { 1, 150, 3, 1, 20, 40, 149, 0.0, true, false, 0 },
    { 5, 5, 3, 3, 7, 0, 0, 0.0, true, false, 0 },
    { 7, 7, 2, 1, 8, 0, 0, 0.0, false, false, 0 },
    { 70, 70, 4, 2, 12, 0, 0, 0.0, true, false, 0 },
    { 131, 131, 2, 2, 16, 20, 0, 0.0, true, false, 0 },
    { 66, 66, 2, 2, 8, 1, 0, 0.0, true, false, 0 },
    { 9, 30, 4, 4, 10, 0, 21, 5.0, true, false, 0 },
    { 65, 80, 2, 1, 6, 100, 15, 0.0, true, true, 0 },
    { 129, 140, 8, 2, 4, 70, 11, 20.0, true, true, 0 },
    { 200, 190, 1, 1, 33, 0, 0, 2.0, false, true, 0 },
    { 70, 70, 3, 1, 6, 0, 0, 0.0, true, false, 9 },
    { 150, 150, 2, 1, 72, 0, 0, 0.0, true, false, 0 },
    { 50, 140, 1, 1, 128, 33, 90, 0.0, true, false, 0 },
    { 48, 48, 2, 1, 16, 0, 0, 0.0, true, false, 0 },
    { 49, 64, 2, 2, 15, 0, 0, 0.0, false, false, 0 },
    { 9, 30, 2, 2, 8, 5, 21, 0.0, true, true, 40 },
    { 66, 71, 4, 2, 5, 0, 0, 3.0, false, true, 7 },
    { 1, 20, 2, 1, 4, 0, 19, 0.0, true, true, 1 },
    { 12, 5, 2, 2, 3, 0, 0, 0.0, false, false, 33 },
    { 5, 40, 4, 2, 16, 6, 35, 0.0, true, false, 0 },
    { 8, 70, 2, 2, 32, 0, 62, 4.0, true, true, 0 },
    { 3, 20, 2, 1, 48, 0, 0, 2.0, false, true, 0 },
    { 7, 90, 2, 1, 16, 9, 83, 0.0, true, true, 5 },
    { 60, 200, 4, 2, 64, 30, 140, 0.0, true, true, 0 },
};
enum { N_CASES = sizeof(cases) / sizeof(cases[0]) };

static void test_attention(void **state)
{
    struct contexts *contexts = *state;
    for (int i = 0; i < N_CASES; i++) {
        struct attention_data d = make_data(&cases[i], (uint64_t)i);
        const struct sonde_attention_args args = args_of(&d);
        float *first = NULL;
        for (int j = 0; j < N_CONTEXTS; j++) {
            struct guarded z = guarded_new(d.q.n);
            run(&contexts->each[j], &d, z.data, &args);
            check_bounds("attention", z.data, d.z, d.z_bound, z.n);
            first = first ? first : copy_floats(z.data, z.n);
            check_bits("attention with a pool", z.data, first, z.n);
            guarded_free(&z);
        }
        for (int want = 1; want < WANT_END; want++) {
            check_observed(&contexts->each[want % N_CONTEXTS], &d, want, first);
        }
        free(first);
        free_data(&d);
    }
}

/* Some queries of a case alone. */
static void run_queries(struct sonde_op_context *ctx, const struct attention_data *d, int64_t t,
                        int64_t n, float *z)
{
    const struct attention_case *c = &d->c;
    const int64_t behind = c->n_queries - t - n;
    struct sonde_attention_args args = args_of(d);
    args.first += t;
    if (args.bias.data) {
        args.bias.data += behind;
        args.bias.dim[1] -= behind;
    }
    sonde_op_attention(
        ctx, sonde_tensor_3d(z, n, c->n_heads, c->d_head),
        sonde_tensor_3d(d->q.data + t * c->n_heads * c->d_head, n, c->n_heads, c->d_head),
        sonde_tensor_3d(d->k.data, c->n_keys, c->n_kv_heads, c->d_head),
        sonde_tensor_3d(d->v.data, c->n_keys, c->n_kv_heads, c->d_head), &args);
    assert_false(ctx->failed);
}

/* However many queries stand beside it, a query's row is the same to the bit: keys and values that
 * are read in place and laid out ones. Also where a value is broken that only some of them see. Not
 * with relative positions: their products are a BLAS's, whose order follows the shape. */
static void test_attention_of_few_queries(void **state)
{
    static const int64_t numbers[] = { 1, 2, 3, 4, 5, 8, 9, 13 };
    struct contexts *contexts = *state;
    for (int i = 0; i < 2 * N_CASES; i++) {
        const struct attention_case *c = &cases[i / 2];
        struct attention_data d = make_data(c, (uint64_t)i);
        const int64_t row = c->n_heads * c->d_head;
        const struct sonde_attention_args args = args_of(&d);
        struct guarded all = guarded_new(d.q.n);
        if (i % 2) {
            d.v.data[c->n_keys / 2 * c->n_kv_heads * c->d_head] = c->softcap > 0 ? NAN : INFINITY;
        }
        run(&contexts->each[0], &d, all.data, &args);
        for (int64_t t = 0, j = 0; t < c->n_queries && c->n_relative == 0; t++, j++) {
            const int64_t n = numbers[j % 8] < c->n_queries - t ? numbers[j % 8] : c->n_queries - t;
            struct guarded z = guarded_new(n * row);
            run_queries(&contexts->each[j % N_CONTEXTS], &d, t, n, z.data);
            check_bits("some queries alone", z.data, all.data + t * row, z.n);
            guarded_free(&z);
        }
        guarded_free(&all);
        free_data(&d);
    }
}

/* NaN or infinity in the queries, keys and values of one row changes no bit of a row that does not
 * see it, and reaches those that do. */
static void test_attention_sees_only_its_keys(void **state)
{
    struct contexts *contexts = *state;
    for (int i = 0; i < N_CASES; i++) {
        const struct attention_case *c = &cases[i];
        struct attention_data d = make_data(c, (uint64_t)i);
        const struct sonde_attention_args args = args_of(&d);
        struct guarded z = guarded_new(d.q.n);
        run(&contexts->each[0], &d, z.data, &args);
        float *before = copy_floats(z.data, z.n);
        const int64_t row = c->n_heads * c->d_head, kv_row = c->n_kv_heads * c->d_head;
        for (int64_t s = 0; s < c->n_keys && c->n_queries > 1; s += 1 + c->n_keys / 7) {
            float *k = copy_floats(d.k.data + s * kv_row, kv_row);
            float *v = copy_floats(d.v.data + s * kv_row, kv_row);
            for (int64_t e = 0; e < kv_row; e++) {
                d.k.data[s * kv_row + e] = e % 2 ? NAN : INFINITY;
                d.v.data[s * kv_row + e] = e % 2 ? INFINITY : NAN;
            }
            run(&contexts->each[s % N_CONTEXTS], &d, z.data, &args);
            for (int64_t t = 0; t < c->n_queries; t++) {
                if (!sees(c, t, s)) {
                    check_bits("a row that does not see it", z.data + t * row, before + t * row,
                               row);
                } else {
                    assert_false(isfinite(z.data[t * row]));
                }
            }
            memcpy(d.k.data + s * kv_row, k, (size_t)kv_row * sizeof(float));
            memcpy(d.v.data + s * kv_row, v, (size_t)kv_row * sizeof(float));
            free(k);
            free(v);
        }
        guarded_free(&z);
        free(before);
        free_data(&d);
    }
}

/* Values alone broken: a finite key lets the mask's exact zeros meet the NaN. */
static void test_attention_broken_value(void **state)
{
    struct contexts *contexts = *state;
    static const struct attention_case c = { 70, 70, 4, 2, 12, 0, 0, 0.0, true, false, 0 };
    enum { BROKEN = 20 };
    struct attention_data d = make_data(&c, 200);
    const struct sonde_attention_args args = args_of(&d);
    struct guarded z = guarded_new(d.q.n);
    run(&contexts->each[0], &d, z.data, &args);
    float *before = copy_floats(z.data, z.n);
    d.v.data[BROKEN * 24 + 3] = NAN; /* key/value head 0, dimension 3 */
    run(&contexts->each[2], &d, z.data, &args);
    check_bits("rows before", z.data, before, BROKEN * 48);
    for (int t = BROKEN; t < 70; t++) {
        for (int i = 0; i < 48; i++) {
            const bool hit = i / 12 < 2 && i % 12 == 3; /* heads 0 and 1 read key/value head 0 */
            assert_int_equal(isnan(z.data[t * 48 + i]), hit);
            if (!hit) {
                check_close(z.data[t * 48 + i], before[t * 48 + i], 1e-5);
            }
        }
    }
    guarded_free(&z);
    free(before);
    free_data(&d);
}

/* Edits of the pattern: every row looks at key *ctx only, also where the mask hides it. */
static void look_at_key(void *ctx, struct sonde_tensor pattern)
{
    const int64_t *key = ctx;
    for (int64_t i = 0; i < sonde_tensor_elements(&pattern); i++) {
        pattern.data[i] = i % pattern.dim[2] == *key ? 1.0f : 0.0f;
    }
}

/* The same by the scores. */
static void unmask_key(void *ctx, struct sonde_tensor scores)
{
    const int64_t *key = ctx;
    for (int64_t i = 0; i < sonde_tensor_elements(&scores); i++) {
        scores.data[i] = i % scores.dim[2] == *key ? 0.0f : -INFINITY;
    }
}

static void mask_all(void *ctx, struct sonde_tensor scores)
{
    (void)ctx;
    for (int64_t i = 0; i < sonde_tensor_elements(&scores); i++) {
        scores.data[i] = -INFINITY;
    }
}

/* kind 0 edits the pattern, 1 the scores, 2 masks all. Keys before and behind what a block sees. */
static void check_edit(struct contexts *contexts, const struct attention_case *c, int kind,
                       int64_t key)
{
    struct attention_data d = make_data(c, 300);
    struct sonde_attention_args args = args_of(&d);
    const int64_t n_scores = c->n_heads * c->n_queries * c->n_keys;
    struct guarded z = guarded_new(d.q.n), array = guarded_new(n_scores);
    const struct sonde_tensor wanted =
        sonde_tensor_3d(array.data, c->n_heads, c->n_queries, c->n_keys);
    args.edit_ctx = &key;
    if (kind == 0) {
        args.pattern = wanted;
        args.edit_pattern = look_at_key;
    } else {
        args.scores = wanted;
        args.edit_scores = kind == 1 ? unmask_key : mask_all;
    }
    run(&contexts->each[3], &d, z.data, &args);
    for (int64_t j = 0; j < z.n; j++) {
        const int64_t e = j % c->d_head, h = j / c->d_head % c->n_heads;
        const int64_t g = h / (c->n_heads / c->n_kv_heads);
        const float value = d.v.data[(key * c->n_kv_heads + g) * c->d_head + e];
        assert_true(z.data[j] == (kind == 2 ? 0.0f : value));
    }
    guarded_free(&z);
    guarded_free(&array);
    free_data(&d);
}

static void test_attention_edits(void **state)
{
    static const struct attention_case edited[] = {
        { 130, 130, 2, 1, 6, 3, 0, 0.0, true, false, 0 },
        { 1, 9, 2, 2, 5, 4, 8, 0.0, true, false, 0 },
    };
    static const int64_t keys[2][3] = { { 2, 70, 129 }, { 0, 2, 8 } };
    for (int i = 0; i < 18; i++) {
        check_edit(*state, &edited[i % 2], i / 6, keys[i % 2][i / 2 % 3]);
    }
}

/* An edit gives weight to key 2, outside the window of the only query; key 1 beside it is broken.
 */
static void test_attention_edit_beside_broken_value(void **state)
{
    struct contexts *contexts = *state;
    static const struct attention_case c = { 1, 9, 2, 2, 5, 4, 8, 0.0, true, false, 0 };
    struct attention_data d = make_data(&c, 301);
    struct sonde_attention_args args = args_of(&d);
    struct guarded z = guarded_new(d.q.n), pattern = guarded_new(2 * 9);
    int64_t key = 2;
    d.v.data[1 * 2 * 5] = NAN;
    args.pattern = sonde_tensor_3d(pattern.data, 2, 1, 9);
    args.edit_pattern = look_at_key;
    args.edit_ctx = &key;
    run(&contexts->each[0], &d, z.data, &args);
    check_bits("the value of key 2", z.data, d.v.data + 2 * 2 * 5, 2 * 5);
    guarded_free(&z);
    guarded_free(&pattern);
    free_data(&d);
}

/* What a plan of memory may rely on, for one thread and three; O(T), whatever H is. */
static void test_attention_scratch(void **state)
{
    (void)state;
    struct sonde_error error = { 0 };
    for (int i = 0; i < 2 * N_CASES; i++) {
        const struct attention_case *c = &cases[i / 2];
        struct attention_data d = make_data(c, 500);
        struct sonde_attention_args args = args_of(&d);
        struct guarded z = guarded_new(d.q.n);
        struct sonde_op_context ctx = { .arena = sonde_arena_create(0) };
        args.relative = NULL;
        assert_non_null(ctx.arena);
        check_ok(sonde_pool_create(&ctx.pool, i % 2 ? 3 : 1, &error), &error);
        run(&ctx, &d, z.data, &args);
        assert_true(sonde_arena_peak(ctx.arena) <=
                    sizeof(float) * (size_t)sonde_op_attention_scratch(c->n_queries, c->n_keys,
                                                                       c->n_kv_heads, c->d_head,
                                                                       i % 2 ? 3 : 1, false));
        assert_true(c->n_queries == 0 || sonde_arena_peak(ctx.arena) > 0);
        sonde_pool_destroy(&ctx.pool);
        sonde_arena_destroy(&ctx.arena);
        guarded_free(&z);
        free_data(&d);
    }
}

/* q, k and v as views of one fused [T, 3, H, E] projection, z into a wider array. */
static void test_attention_strided(void **state)
{
    enum { T = 67, H = 3, E = 8, ROW = H * E, FUSED = 3 * ROW, Z_STRIDE = ROW + 5 };
    struct contexts *contexts = *state;
    static const struct attention_case c = { T, T, H, H, E, 0, 0, 0.0, true, false, 0 };
    struct attention_data d = make_data(&c, 400);
    struct guarded fused = guarded_new(T * FUSED), z = guarded_new(T * Z_STRIDE);
    for (int t = 0; t < T; t++) {
        memcpy(fused.data + t * FUSED, d.q.data + t * ROW, ROW * sizeof(float));
        memcpy(fused.data + t * FUSED + ROW, d.k.data + t * ROW, ROW * sizeof(float));
        memcpy(fused.data + t * FUSED + 2 * ROW, d.v.data + t * ROW, ROW * sizeof(float));
    }
    struct sonde_tensor view[4];
    for (int i = 0; i < 3; i++) {
        view[i] = sonde_tensor_3d(fused.data + i * ROW, T, H, E);
        view[i].stride[0] = FUSED;
    }
    view[3] = sonde_tensor_3d(z.data, T, H, E);
    view[3].stride[0] = Z_STRIDE;
    const struct sonde_attention_args args = args_of(&d);
    sonde_op_attention(&contexts->each[2], view[3], view[0], view[1], view[2], &args);
    struct guarded packed = guarded_new(T * ROW);
    run(&contexts->each[0], &d, packed.data, &args);
    for (int t = 0; t < T; t++) {
        check_bits("strided views", z.data + t * Z_STRIDE, packed.data + t * ROW, ROW);
        assert_true(isnan(z.data[t * Z_STRIDE + ROW]));
    }
    guarded_free(&fused);
    guarded_free(&z);
    guarded_free(&packed);
    free_data(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attention),
        cmocka_unit_test(test_attention_of_few_queries),
        cmocka_unit_test(test_attention_sees_only_its_keys),
        cmocka_unit_test(test_attention_broken_value),
        cmocka_unit_test(test_attention_edits),
        cmocka_unit_test(test_attention_edit_beside_broken_value),
        cmocka_unit_test(test_attention_scratch),
        cmocka_unit_test(test_attention_strided),
    };
    return cmocka_run_group_tests(tests, contexts_setup, contexts_teardown);
}
