/* Linear, embedding, unembedding and head results against sums in double. */
#include <string.h>

#include "tests/kernels/kernel_check.h"
#include "tests/support/check.h"

/* Element (output o, input i) of the widened weight. */
static double weight_at(const struct sonde_weight *w, const float *wide, int64_t o, int64_t i)
{
    return (double)(w->transposed ? wide[i * w->columns + o] : wide[o * w->columns + i]);
}

/* want[T, out] and bound: K products, K additions and the bias, in any order. */
static void reference_linear(const struct sonde_weight *w, const float *wide, const float *bias,
                             const float *x, int64_t n_rows, double *want, double *bound)
{
    const int64_t n_in = sonde_weight_in(w), n_out = sonde_weight_out(w);
    for (int64_t t = 0; t < n_rows; t++) {
        for (int64_t o = 0; o < n_out; o++) {
            double sum = bias ? (double)bias[o] : 0.0, size = fabs(sum);
            for (int64_t i = 0; i < n_in; i++) {
                const double product = (double)x[t * n_in + i] * weight_at(w, wide, o, i);
                sum += product;
                size += fabs(product);
            }
            want[t * n_out + o] = sum;
            bound[t * n_out + o] = gamma_bound((double)n_in + 1.0) * size;
        }
    }
}

struct linear_case {
    int64_t n_rows, n_in, n_out;
    enum sonde_dtype dtype;
    bool transposed, has_bias;
};

static void check_linear(struct contexts *contexts, const struct linear_case *c, uint64_t stream)
{
    struct sonde_rng rng = sonde_rng_make(SONDE_SEED_DEFAULT, stream);
    float *wide, *wide_bias;
    struct sonde_weight w =
        random_weight(&rng, c->dtype, c->transposed ? c->n_in : c->n_out,
                      c->transposed ? c->n_out : c->n_in, c->transposed, 0.5, &wide);
    struct sonde_weight b = random_weight(&rng, c->dtype, 1, c->n_out, false, 1.0, &wide_bias);
    struct guarded x = guarded_normal(&rng, c->n_rows * c->n_in, 1.0);
    const int64_t n = c->n_rows * c->n_out;
    double *want = zeros(n), *bound = zeros(n);
    reference_linear(&w, wide, c->has_bias ? wide_bias : NULL, x.data, c->n_rows, want, bound);
    float *first = NULL;
    for (int i = 0; i < N_CONTEXTS; i++) {
        struct guarded y = guarded_new(n);
        sonde_op_linear(&contexts->each[i], sonde_tensor_2d(y.data, c->n_rows, c->n_out),
                        sonde_tensor_2d(x.data, c->n_rows, c->n_in), &w, c->has_bias ? &b : NULL);
        assert_false(contexts->each[i].failed);
        check_bounds("linear", y.data, want, bound, n);
        first = first ? first : copy_floats(y.data, n);
        check_bits("linear with a pool", y.data, first, n);
        guarded_free(&y);
        assert_int_equal(sonde_arena_used(contexts->each[i].arena), 0);
    }
    if (c->dtype != SONDE_DTYPE_F32) {
        /* The same values as F32 weights give the same bits. */
        struct sonde_weight w32 = w, b32 = b;
        w32.dtype = b32.dtype = SONDE_DTYPE_F32;
        w32.data = wide;
        b32.data = wide_bias;
        struct guarded y = guarded_new(n);
        sonde_op_linear(&contexts->each[0], sonde_tensor_2d(y.data, c->n_rows, c->n_out),
                        sonde_tensor_2d(x.data, c->n_rows, c->n_in), &w32,
                        c->has_bias ? &b32 : NULL);
        check_bits("linear of the widened weight", y.data, first, n);
        guarded_free(&y);
    }
    guarded_free(&x);
    free(wide);
    free(wide_bias);
    free(want);
    free(bound);
    free(first);
}

static void test_linear(void **state)
{
    static const struct linear_case cases[] = {
        { 0, 5, 7, SONDE_DTYPE_F32, false, true },
        { 1, 1, 1, SONDE_DTYPE_F32, false, false },
        { 1, 7, 3, SONDE_DTYPE_F32, true, true },
        { 1, 130, 1100, SONDE_DTYPE_F32, false, true },
        { 1, 96, 1100, SONDE_DTYPE_BF16, true, false },
        { 3, 17, 29, SONDE_DTYPE_F32, false, true },
        { 3, 17, 29, SONDE_DTYPE_F16, true, true },
        { 17, 64, 65, SONDE_DTYPE_BF16, false, true },
        { 257, 33, 31, SONDE_DTYPE_F32, true, false },
        { 300, 20, 1030, SONDE_DTYPE_F16, false, true },
        { 513, 48, 50, SONDE_DTYPE_F32, false, true },
        { 2, 5000, 70, SONDE_DTYPE_BF16, true, true },
        { 4, 0, 3, SONDE_DTYPE_F32, false, true },
        { 4, 0, 3, SONDE_DTYPE_F32, false, false },
        { 520, 40, 2600, SONDE_DTYPE_F16, true, true }, /* every worker widens panels of its own */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        check_linear(*state, &cases[i], i);
    }
}

/* Rows of x and y may stand apart (a fused projection): only the columns of the view are touched.
 */
static void test_linear_strided_rows(void **state)
{
    enum { ROWS = 6, IN = 5, OUT = 4, X_STRIDE = 9, Y_STRIDE = 11 };
    struct contexts *contexts = *state;
    struct sonde_rng rng = sonde_rng_make(SONDE_SEED_DEFAULT, 100);
    float *wide;
    struct sonde_weight w = random_weight(&rng, SONDE_DTYPE_F32, OUT, IN, false, 1.0, &wide);
    struct guarded x = guarded_normal(&rng, ROWS * X_STRIDE, 1.0);
    struct guarded y = guarded_normal(&rng, ROWS * Y_STRIDE, 1.0);
    float *before = copy_floats(y.data, y.n);
    float packed[ROWS * IN];
    for (int t = 0; t < ROWS; t++) {
        memcpy(packed + t * IN, x.data + t * X_STRIDE + 2, IN * sizeof(float));
    }
    double want[ROWS * OUT], bound[ROWS * OUT];
    reference_linear(&w, wide, NULL, packed, ROWS, want, bound);
    struct sonde_tensor xs = sonde_tensor_2d(x.data + 2, ROWS, IN);
    struct sonde_tensor ys = sonde_tensor_2d(y.data + 3, ROWS, OUT);
    xs.stride[0] = X_STRIDE;
    ys.stride[0] = Y_STRIDE;
    sonde_op_linear(&contexts->each[2], ys, xs, &w, NULL);
    for (int t = 0; t < ROWS; t++) {
        const float *row = y.data + t * Y_STRIDE;
        check_bounds("strided linear", row + 3, want + t * OUT, bound + t * OUT, OUT);
        check_bits("left of the view", row, before + t * Y_STRIDE, 3);
        check_bits("right of the view", row + 3 + OUT, before + t * Y_STRIDE + 3 + OUT,
                   Y_STRIDE - 3 - OUT);
    }
    guarded_free(&x);
    guarded_free(&y);
    free(before);
    free(wide);
}

/* Whatever stands in row t, NaN included, the other rows keep their bits. */
static void test_linear_rows_apart(void **state)
{
    enum { ROWS = 270, IN = 40, OUT = 70 };
    struct contexts *contexts = *state;
    struct sonde_rng rng = sonde_rng_make(SONDE_SEED_DEFAULT, 101);
    float *wide;
    struct sonde_weight w = random_weight(&rng, SONDE_DTYPE_F32, IN, OUT, true, 1.0, &wide);
    struct guarded x = guarded_normal(&rng, ROWS * IN, 1.0);
    struct guarded y = guarded_new(ROWS * OUT);
    const struct sonde_tensor xt = sonde_tensor_2d(x.data, ROWS, IN);
    const struct sonde_tensor yt = sonde_tensor_2d(y.data, ROWS, OUT);
    sonde_op_linear(&contexts->each[0], yt, xt, &w, NULL);
    float *before = copy_floats(y.data, y.n);
    for (int64_t i = 0; i < y.n; i++) {
        assert_true(isfinite(before[i]));
    }
    for (int64_t t = 0; t < ROWS; t += 67) {
        float *saved = copy_floats(x.data + t * IN, IN);
        for (int i = 0; i < IN; i++) {
            x.data[t * IN + i] = i % 3 == 0 ? NAN : INFINITY;
        }
        sonde_op_linear(&contexts->each[3], yt, xt, &w, NULL);
        check_bits("rows before", y.data, before, t * OUT);
        check_bits("rows after", y.data + (t + 1) * OUT, before + (t + 1) * OUT,
                   (ROWS - t - 1) * OUT);
        assert_true(isnan(y.data[t * OUT]));
        memcpy(x.data + t * IN, saved, IN * sizeof(float));
        free(saved);
    }
    guarded_free(&x);
    guarded_free(&y);
    free(before);
    free(wide);
}

static void test_embedding(void **state)
{
    enum { VOCAB = 11, WIDTH = 7, ROWS = 4 };
    static const int32_t ids[ROWS] = { 10, 0, 3, 3 };
    static const enum sonde_dtype dtypes[] = { SONDE_DTYPE_F32, SONDE_DTYPE_F16, SONDE_DTYPE_BF16 };
    struct contexts *contexts = *state;
    struct sonde_rng rng = sonde_rng_make(SONDE_SEED_DEFAULT, 102);
    for (int d = 0; d < 3; d++) {
        float *wide;
        struct sonde_weight table = random_weight(&rng, dtypes[d], VOCAB, WIDTH, false, 1.0, &wide);
        struct guarded y = guarded_new(ROWS * WIDTH);
        sonde_op_embedding(&contexts->each[0], sonde_tensor_2d(y.data, ROWS, WIDTH), &table, ids);
        for (int t = 0; t < ROWS; t++) {
            check_bits("embedding", y.data + t * WIDTH, wide + ids[t] * WIDTH, WIDTH);
        }
        guarded_free(&y);
        free(wide);
    }
}

static void test_unembed_softcap(void **state)
{
    enum { ROWS = 5, WIDTH = 24, VOCAB = 301 };
    struct contexts *contexts = *state;
    struct sonde_rng rng = sonde_rng_make(SONDE_SEED_DEFAULT, 103);
    float *wide;
    struct sonde_weight w = random_weight(&rng, SONDE_DTYPE_F16, VOCAB, WIDTH, false, 1.0, &wide);
    struct guarded x = guarded_normal(&rng, ROWS * WIDTH, 3.0);
    const double cap = 30.0;
    double *want = zeros(ROWS * VOCAB), *bound = zeros(ROWS * VOCAB);
    reference_linear(&w, wide, NULL, x.data, ROWS, want, bound);
    for (int i = 0; i < ROWS * VOCAB; i++) {
        /* |tanh'| <= 1 carries the sum's error over; dividing rounds once; tanhf is taken to be
         * within 2 units; multiplying rounds once. */
        bound[i] += UNIT * fabs(want[i]);
        want[i] = cap * tanh(want[i] / cap);
        bound[i] += 6.0 * UNIT * fabs(want[i]);
    }
    struct guarded y = guarded_new(ROWS * VOCAB);
    sonde_op_unembed(&contexts->each[2], sonde_tensor_2d(y.data, ROWS, VOCAB),
                     sonde_tensor_2d(x.data, ROWS, WIDTH), &w, NULL, (float)cap);
    check_bounds("softcap", y.data, want, bound, ROWS * VOCAB);
    guarded_free(&x);
    guarded_free(&y);
    free(want);
    free(bound);
    free(wide);
}

static void check_head_result(struct contexts *contexts, enum sonde_dtype dtype, bool transposed,
                              int64_t n_rows)
{
    enum { HEADS = 3, E = 10, D = 26 };
    struct sonde_rng rng = sonde_rng_make(SONDE_SEED_DEFAULT, 104);
    float *wide;
    struct sonde_weight w = random_weight(&rng, dtype, transposed ? HEADS * E : D,
                                          transposed ? D : HEADS * E, transposed, 1.0, &wide);
    struct guarded z = guarded_normal(&rng, n_rows * HEADS * E, 1.0);
    const int64_t n = n_rows * HEADS * D;
    double *want = zeros(n), *bound = zeros(n);
    for (int64_t i = 0; i < n; i++) {
        const int64_t d = i % D, h = i / D % HEADS, t = i / D / HEADS;
        for (int64_t e = 0; e < E; e++) {
            const double product =
                (double)z.data[(t * HEADS + h) * E + e] * weight_at(&w, wide, d, h * E + e);
            want[i] += product;
            bound[i] += gamma_bound(E) * fabs(product);
        }
    }
    for (int i = 0; i < N_CONTEXTS; i++) {
        struct guarded y = guarded_new(n);
        sonde_op_head_result(&contexts->each[i], sonde_tensor_3d(y.data, n_rows, HEADS, D),
                             sonde_tensor_3d(z.data, n_rows, HEADS, E), &w);
        check_bounds("head result", y.data, want, bound, n);
        assert_int_equal(sonde_arena_used(contexts->each[i].arena), 0);
        guarded_free(&y);
    }
    guarded_free(&z);
    free(want);
    free(bound);
    free(wide);
}

static void test_head_result(void **state)
{
    check_head_result(*state, SONDE_DTYPE_F32, false, 9);
    check_head_result(*state, SONDE_DTYPE_F32, true, 1);
    check_head_result(*state, SONDE_DTYPE_F16, true, 260);
    check_head_result(*state, SONDE_DTYPE_BF16, false, 2);
}

/* An arena that is too small: the op says so, gives back what it took and writes beyond nothing. */
static void test_scratch_out(void **state)
{
    (void)state;
    enum { ROWS = 2, IN = 64, OUT = 512 };
    struct sonde_rng rng = sonde_rng_make(SONDE_SEED_DEFAULT, 105);
    float *wide;
    struct sonde_weight w = random_weight(&rng, SONDE_DTYPE_F16, OUT, IN, false, 1.0, &wide);
    struct guarded x = guarded_normal(&rng, ROWS * IN, 1.0);
    struct guarded y = guarded_new(ROWS * OUT);
    struct sonde_op_context ctx = { .arena = sonde_arena_create(1024) };
    assert_non_null(ctx.arena);
    sonde_op_linear(&ctx, sonde_tensor_2d(y.data, ROWS, OUT), sonde_tensor_2d(x.data, ROWS, IN), &w,
                    NULL);
    assert_true(ctx.failed);
    assert_int_equal(sonde_arena_used(ctx.arena), 0);
    /* Later ops of the failed pass do nothing. */
    float *before = copy_floats(x.data, x.n);
    sonde_op_scale(&ctx, sonde_tensor_1d(x.data, x.n), sonde_tensor_1d(x.data, x.n), 2.0f);
    check_bits("after a failure", x.data, before, x.n);
    sonde_arena_destroy(&ctx.arena);
    guarded_free(&x);
    guarded_free(&y);
    free(before);
    free(wide);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_linear),
        cmocka_unit_test(test_linear_strided_rows),
        cmocka_unit_test(test_linear_rows_apart),
        cmocka_unit_test(test_embedding),
        cmocka_unit_test(test_unembed_softcap),
        cmocka_unit_test(test_head_result),
        cmocka_unit_test(test_scratch_out),
    };
    return cmocka_run_group_tests(tests, contexts_setup, contexts_teardown);
}
