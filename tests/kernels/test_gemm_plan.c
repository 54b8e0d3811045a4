/* Linear products by a plan (oneDNN, bfloat16) against sums in double. */
#include "core/tensor/gemm_plan.h"

#include <string.h>

#include "tests/kernels/kernel_check.h"
#include "tests/support/check.h"

/* Skips where the build or the machine has no oneDNN. */
static struct sonde_gemm_plan *new_plan(enum sonde_compute compute)
{
    struct sonde_gemm_plan *plan = NULL;
    struct sonde_error error = { 0 };
    enum sonde_status status = sonde_gemm_plan_create(&plan, compute, &error);
    if (status == SONDE_STATUS_UNSUPPORTED) {
        fprintf(stderr, "# SKIP %s\n", error.text);
        skip();
    }
    check_ok(status, &error);
    return plan;
}

static float rounded(float value)
{
    return sonde_bf16_to_f32(sonde_f32_to_bf16(value));
}

/* Element (output o, input i) of the widened weight. */
static float weight_at(const struct sonde_weight *w, const float *wide, int64_t o, int64_t i)
{
    return w->transposed ? wide[i * w->columns + o] : wide[o * w->columns + i];
}

/* want[T, out] of the factors that are multiplied, rounded where the plan rounds. Products of two
 * bfloat16s are exact in f32; then come the sums and the bias, in any order. away: that and what
 * the rounding of both factors adds, 2^-8 each and 2^-16 both, against the factors as they are. */
static void reference(const struct sonde_weight *w, const float *wide, const float *bias,
                      const float *x, int64_t n_rows, bool round, double *want, double *bound,
                      double *exact, double *away)
{
    const int64_t n_in = sonde_weight_in(w), n_out = sonde_weight_out(w);
    for (int64_t at = 0; at < n_rows * n_out; at++) {
        const int64_t t = at / n_out, o = at % n_out;
        double sum = bias ? (double)bias[o] : 0.0, size = fabs(sum), whole = sum, factors = 0.0;
        for (int64_t i = 0; i < n_in; i++) {
            const float a = x[t * n_in + i], b = weight_at(w, wide, o, i);
            const double product =
                round ? (double)rounded(a) * (double)rounded(b) : (double)a * (double)b;
            sum += product;
            size += fabs(product);
            whole += (double)a * (double)b;
            factors += fabs((double)a * (double)b);
        }
        want[at] = sum;
        bound[at] = gamma_bound((double)n_in + 1.0) * size;
        exact[at] = whole;
        away[at] = bound[at] + (round ? (0x1p-7 + 0x1p-16) * factors : 0.0);
    }
}

struct plan_case {
    int64_t n_rows, n_in, n_out;
    enum sonde_dtype dtype;
    bool transposed, has_bias;
};

static void check_plan(struct contexts *contexts, enum sonde_compute compute,
                       const struct plan_case *c, uint64_t stream)
{
    struct sonde_rng rng = sonde_rng_make(SONDE_SEED_DEFAULT, stream);
    struct sonde_error error = { 0 };
    struct sonde_gemm_plan *plan = new_plan(compute);
    float *wide, *wide_bias;
    struct sonde_weight w =
        random_weight(&rng, c->dtype, c->transposed ? c->n_in : c->n_out,
                      c->transposed ? c->n_out : c->n_in, c->transposed, 0.5, &wide);
    struct sonde_weight b =
        random_weight(&rng, SONDE_DTYPE_F32, 1, c->n_out, false, 1.0, &wide_bias);
    struct guarded x = guarded_normal(&rng, c->n_rows * c->n_in, 1.0);
    const int64_t n = c->n_rows * c->n_out;
    double *want = zeros(n), *bound = zeros(n), *exact = zeros(n), *away = zeros(n);
    float *first = NULL;
    check_ok(sonde_gemm_plan_add(plan, &w, &error), &error);
    check_ok(sonde_gemm_plan_add(plan, &w, &error), &error);
    reference(&w, wide, c->has_bias ? wide_bias : NULL, x.data, c->n_rows,
              compute == SONDE_COMPUTE_BF16, want, bound, exact, away);
    for (int i = 0; i < N_CONTEXTS; i++) {
        struct guarded y = guarded_new(n);
        struct sonde_op_context ctx = contexts->each[i];
        ctx.plan = plan;
        sonde_op_linear(&ctx, sonde_tensor_2d(y.data, c->n_rows, c->n_out),
                        sonde_tensor_2d(x.data, c->n_rows, c->n_in), &w, c->has_bias ? &b : NULL);
        assert_false(ctx.failed);
        check_bounds("planned product", y.data, want, bound, n);
        check_bounds("planned product, unrounded", y.data, exact, away, n);
        first = first ? first : copy_floats(y.data, n);
        check_bits("planned product with a pool", y.data, first, n);
        guarded_free(&y);
        assert_int_equal(sonde_arena_used(ctx.arena), 0);
    }
    sonde_gemm_plan_destroy(&plan);
    assert_null(plan);
    guarded_free(&x);
    free(wide);
    free(wide_bias);
    free(want);
    free(bound);
    free(exact);
    free(away);
    free(first);
}

static void test_products(void **state)
{
    static const struct plan_case cases[] = {
        { 1, 1, 1, SONDE_DTYPE_F32, false, false },
        { 1, 130, 1100, SONDE_DTYPE_F32, false, true },
        { 3, 17, 29, SONDE_DTYPE_F16, true, true },
        { 31, 64, 65, SONDE_DTYPE_BF16, false, true },
        { 32, 96, 64, SONDE_DTYPE_F32, true, false },
        { 33, 33, 31, SONDE_DTYPE_F32, true, true },
        { 70, 200, 130, SONDE_DTYPE_F16, false, false },
        { 129, 48, 50, SONDE_DTYPE_BF16, true, true },
    };
    for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
        check_plan(*state, i % 2 ? SONDE_COMPUTE_F32 : SONDE_COMPUTE_BF16, &cases[i / 2], i);
    }
}

/* A weight that was not laid out, and the heads' shares: BLAS, of rounded factors. */
static void test_not_laid_out(void **state)
{
    enum { ROWS = 21, HEADS = 3, WIDTH = 20, IN = HEADS * WIDTH, OUT = 24 };
    struct contexts *contexts = *state;
    struct sonde_rng rng = sonde_rng_make(SONDE_SEED_DEFAULT, 50);
    struct sonde_gemm_plan *plan = new_plan(SONDE_COMPUTE_BF16);
    float *wide, x[ROWS * IN], share[ROWS * HEADS * OUT], y[ROWS * OUT];
    double want[ROWS * OUT], bound[ROWS * OUT], exact[ROWS * OUT], away[ROWS * OUT];
    struct sonde_weight w = random_weight(&rng, SONDE_DTYPE_F32, OUT, IN, false, 0.5, &wide);
    for (int i = 0; i < ROWS * IN; i++) {
        x[i] = (float)sonde_rng_normal(&rng);
    }
    reference(&w, wide, NULL, x, ROWS, true, want, bound, exact, away);
    struct sonde_op_context ctx = contexts->each[2];
    ctx.plan = plan;
    sonde_op_linear(&ctx, sonde_tensor_2d(y, ROWS, OUT), sonde_tensor_2d(x, ROWS, IN), &w, NULL);
    check_bounds("rounded product", y, want, bound, ROWS * OUT);
    sonde_op_head_result(&ctx, sonde_tensor_3d(share, ROWS, HEADS, OUT),
                         sonde_tensor_3d(x, ROWS, HEADS, WIDTH), &w);
    assert_false(ctx.failed);
    for (int i = 0; i < ROWS * OUT; i++) {
        y[i] = 0.0f;
        for (int h = 0; h < HEADS; h++) {
            y[i] += share[(i / OUT * HEADS + h) * OUT + i % OUT];
        }
    }
    check_bounds("sum of rounded shares", y, want, bound, ROWS * OUT);
    assert_int_equal(sonde_arena_used(ctx.arena), 0);
    sonde_gemm_plan_destroy(&plan);
    free(wide);
}

/* A row's bits are its own: any number of rows, any place. */
static void test_rows(void **state)
{
    enum { ROWS = 70, IN = 192, OUT = 112 };
    struct contexts *contexts = *state;
    struct sonde_error error = { 0 };
    for (int k = 0; k < 2; k++) {
        struct sonde_rng rng = sonde_rng_make(SONDE_SEED_DEFAULT, 60);
        struct sonde_gemm_plan *plan = new_plan(k ? SONDE_COMPUTE_F32 : SONDE_COMPUTE_BF16);
        float *wide, *x = malloc(sizeof(float) * ROWS * IN);
        struct sonde_weight w = random_weight(&rng, SONDE_DTYPE_F32, IN, OUT, true, 0.5, &wide);
        check_ok(sonde_gemm_plan_add(plan, &w, &error), &error);
        for (int i = 0; i < ROWS * IN; i++) {
            x[i] = (float)sonde_rng_normal(&rng);
        }
        struct guarded all = guarded_new(ROWS * OUT);
        struct sonde_op_context ctx = contexts->each[0];
        ctx.plan = plan;
        sonde_op_linear(&ctx, sonde_tensor_2d(all.data, ROWS, OUT), sonde_tensor_2d(x, ROWS, IN),
                        &w, NULL);
        for (int n = 1; n <= ROWS && sonde_gemm_plan_rows_are_free(plan); n++) {
            const int first = n * 7 % (ROWS - n + 1);
            struct guarded y = guarded_new(n * OUT);
            sonde_op_linear(&ctx, sonde_tensor_2d(y.data, n, OUT),
                            sonde_tensor_2d(x + first * IN, n, IN), &w, NULL);
            check_bits("some of the rows", y.data, all.data + first * OUT, n * OUT);
            guarded_free(&y);
        }
        if (strstr(sonde_gemm_plan_name(plan), "brg:avx512")) {
            assert_true(sonde_gemm_plan_rows_are_free(plan));
        }
        guarded_free(&all);
        sonde_gemm_plan_destroy(&plan);
        free(wide);
        free(x);
    }
}

/* One row by the product for one row: near the same values, a row of y between others. */
static void test_single_row(void **state)
{
    enum { IN = 300, OUT = 77 };
    struct contexts *contexts = *state;
    struct sonde_error error = { 0 };
    struct sonde_rng rng = sonde_rng_make(SONDE_SEED_DEFAULT, 70);
    struct sonde_gemm_plan *plan = new_plan(SONDE_COMPUTE_BF16);
    float *wide, *wide_bias;
    struct sonde_weight w = random_weight(&rng, SONDE_DTYPE_F32, OUT, IN, false, 0.5, &wide);
    struct sonde_weight b = random_weight(&rng, SONDE_DTYPE_F32, 1, OUT, false, 0.5, &wide_bias);
    struct guarded x = guarded_normal(&rng, IN, 1.0), y = guarded_new(OUT);
    double want[OUT], bound[OUT], exact[OUT], away[OUT];
    check_ok(sonde_gemm_plan_add(plan, &w, &error), &error);
    reference(&w, wide, wide_bias, x.data, 1, true, want, bound, exact, away);
    struct sonde_op_context ctx = contexts->each[3];
    ctx.plan = plan;
    ctx.single_row = true;
    sonde_op_linear(&ctx, sonde_tensor_2d(y.data, 1, OUT), sonde_tensor_2d(x.data, 1, IN), &w, &b);
    assert_false(ctx.failed);
    check_bounds("one row", y.data, want, bound, OUT);
    guarded_free(&x);
    guarded_free(&y);
    free(wide);
    free(wide_bias);
    sonde_gemm_plan_destroy(&plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_products),
        cmocka_unit_test(test_not_laid_out),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_single_row),
    };
    return cmocka_run_group_tests(tests, contexts_setup, contexts_teardown);
}
