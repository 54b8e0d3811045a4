/* Vector-Jacobian products of elementwise ops, and the tape itself. */
#include <string.h>

#include "tests/kernels/vjp_check.h"
#include "tests/support/check.h"

enum what { ACTIVATION, GATE, ADD, ADD_SAME, SCALE };
struct rule {
    enum what what;
    enum sonde_activation kind;
    int place; /* 0: y apart, 1: y is the first input, 2: the second */
};

static float *run_rule(const struct vjp_case *c, struct sonde_op_context *ctx, float *const *x,
                       float *y)
{
    const struct rule *r = c->arg;
    y = r->place == 1 ? x[0] : r->place == 2 ? x[1] : y;
    const struct sonde_tensor out = sonde_tensor_1d(y, c->n_out);
    const struct sonde_tensor a = sonde_tensor_1d(x[0], c->n_out);
    const struct sonde_tensor b = sonde_tensor_1d(x[1], c->n_out);
    if (r->what == ACTIVATION) {
        sonde_op_activation(ctx, out, a, r->kind);
    } else if (r->what == GATE) {
        sonde_op_gate(ctx, out, a, b, r->kind);
    } else if (r->what == SCALE) {
        sonde_op_scale(ctx, out, a, -1.75f);
    } else {
        sonde_op_add(ctx, out, a, r->what == ADD ? b : a);
    }
    return y;
}

static double activated(enum sonde_activation kind, double x)
{
    switch (kind) {
    case SONDE_ACTIVATION_GELU:
        return 0.5 * x * (1.0 + erf(x / sqrt(2.0)));
    case SONDE_ACTIVATION_GELU_TANH:
        return 0.5 * x * (1.0 + tanh(sqrt(2.0 / acos(-1.0)) * (x + 0.044715 * x * x * x)));
    case SONDE_ACTIVATION_SILU:
        return x / (1.0 + exp(-x));
    case SONDE_ACTIVATION_RELU:
        return fmax(x, 0.0);
    case SONDE_ACTIVATION_TANH:
        return tanh(x);
    case SONDE_ACTIVATION_SIGMOID:
        return 1.0 / (1.0 + exp(-x));
    case SONDE_ACTIVATION_QUICK_GELU:
        return x / (1.0 + exp(-1.702 * x));
    case SONDE_ACTIVATION_RELU_SQUARED:
        return fmax(x, 0.0) * fmax(x, 0.0);
    }
    return 0.0;
}

static void rule_reference(const struct vjp_case *c, double *const *x, double *y)
{
    const struct rule *r = c->arg;
    for (int64_t i = 0; i < c->n_out; i++) {
        const double a = x[0][i], b = c->n_inputs > 1 ? x[1][i] : 0.0;
        y[i] = r->what == ACTIVATION ? activated(r->kind, a)
               : r->what == GATE     ? activated(r->kind, a) * b
               : r->what == SCALE    ? -1.75 * a
                                     : a + (r->what == ADD ? b : a);
    }
}

static void check_rule(struct contexts *contexts, const struct rule *r, int64_t n, uint64_t stream)
{
    struct sonde_rng rng = sonde_rng_make(SONDE_SEED_DEFAULT, stream);
    struct guarded a = guarded_normal(&rng, n, 2.0), b = guarded_normal(&rng, n, 1.0);
    for (int64_t i = 0; i < n; i++) { /* no difference quotient across the kink at 0 */
        a.data[i] += fabsf(a.data[i]) < 1e-3f ? 0.1f : 0.0f;
    }
    struct vjp_case c = { .name = "elementwise", .arg = r, .n_out = n, .n = { n, n } };
    c.n_inputs = r->what == GATE || r->what == ADD ? 2 : 1;
    c.value[0] = a.data;
    c.value[1] = b.data;
    c.op = run_rule;
    c.reference = rule_reference;
    /* The sigmoid's argument u loses a relative 3 UNIT, that is |u| <= 40 units where the slope has
     * not yet vanished; the largest values of |dy b| <= 25 are what the scale of 1 leaves out. */
    c.roundings = 150.0;
    vjp_check(contexts, &c, stream);
    guarded_free(&a);
    guarded_free(&b);
}

static void test_elementwise(void **state)
{
    uint64_t stream = 100;
    for (int kind = SONDE_ACTIVATION_GELU; kind <= SONDE_ACTIVATION_RELU_SQUARED; kind++) {
        for (int place = 0; place < 3; place++) {
            const struct rule gate = { GATE, (enum sonde_activation)kind, place };
            const struct rule plain = { ACTIVATION, (enum sonde_activation)kind, place % 2 };
            check_rule(*state, &gate, place ? 37 : 1100, stream++);
            check_rule(*state, &plain, 61, stream++);
        }
    }
    for (int place = 0; place < 3; place++) {
        const struct rule add = { ADD, SONDE_ACTIVATION_RELU, place };
        const struct rule same = { ADD_SAME, SONDE_ACTIVATION_RELU, place % 2 };
        const struct rule scale = { SCALE, SONDE_ACTIVATION_RELU, place % 2 };
        check_rule(*state, &add, 23, stream++);
        check_rule(*state, &same, 23, stream++);
        check_rule(*state, &scale, 23, stream++);
    }
}

/* One buffer for all: y = (2 x) (2 x)' ... every op in place, and a value read by two ops. The
 * derivative of 3 (2 x) + relu(2 x)^2 is 6 + 8 x above 0 and 6 below. */
static void test_reused_memory(void **state)
{
    struct contexts *contexts = *state;
    struct sonde_op_context ctx = contexts->each[0];
    struct sonde_error error = { 0 };
    const float x0[4] = { -1.5f, -0.25f, 0.5f, 2.0f }, one[4] = { 1.0f, 1.0f, 1.0f, 1.0f };
    float a[4], b[4];
    check_ok(sonde_tape_create(&ctx.tape, 0, &error), &error);
    for (int round = 0; round < 2; round++) { /* a cleared tape begins anew */
        const struct sonde_tensor ta = sonde_tensor_1d(a, 4), tb = sonde_tensor_1d(b, 4);
        memcpy(a, x0, sizeof(a));
        const int64_t x = sonde_tape_watch(ctx.tape, a, 4);
        sonde_op_scale(&ctx, ta, ta, 2.0f);
        sonde_op_activation(&ctx, tb, ta, SONDE_ACTIVATION_RELU_SQUARED);
        sonde_op_scale(&ctx, ta, ta, 3.0f);
        sonde_op_add(&ctx, tb, ta, tb);
        const int64_t y = sonde_tape_watch(ctx.tape, b, 4);
        assert_int_equal(sonde_tape_n_records(ctx.tape), 4);
        check_ok(sonde_tape_seed(ctx.tape, y, one, &error), &error);
        check_ok(sonde_tape_backward(ctx.tape, NULL, &error), &error);
        const float *g = sonde_tape_gradient(ctx.tape, x);
        assert_non_null(g);
        for (int i = 0; i < 4; i++) {
            assert_true(g[i] == 6.0f + (x0[i] > 0.0f ? 8.0f * x0[i] : 0.0f));
        }
        sonde_tape_clear(ctx.tape);
        assert_int_equal(sonde_tape_bytes(ctx.tape), 0);
    }
    sonde_tape_destroy(&ctx.tape);
}

/* At every budget the answer is whole or an error, and a tape with a hole never gives gradients. */
static void test_budget(void **state)
{
    struct contexts *contexts = *state;
    struct sonde_rng rng = sonde_rng_make(SONDE_SEED_DEFAULT, 5);
    struct guarded x = guarded_normal(&rng, 300, 1.0), one = guarded_normal(&rng, 300, 1.0);
    float *wide;
    struct sonde_weight w = random_weight(&rng, SONDE_DTYPE_F16, 30, 30, false, 1.0, &wide);
    bool whole = false;
    for (size_t budget = 64; budget < 65536 && !whole; budget += 512) {
        struct sonde_op_context ctx = contexts->each[0];
        struct sonde_error error = { 0 };
        float y[300], z[300];
        float *dw = calloc(900, sizeof(*dw));
        check_ok(sonde_tape_create(&ctx.tape, budget, &error), &error);
        struct sonde_tape *tape = ctx.tape;
        check_ok(sonde_tape_want_weight(tape, &w, dw, &error), &error);
        assert_int_equal(sonde_tape_want_weight(tape, &w, dw, &error), SONDE_STATUS_ARGUMENT);
        sonde_op_linear(&ctx, sonde_tensor_2d(y, 10, 30), sonde_tensor_2d(x.data, 10, 30), &w,
                        NULL);
        sonde_op_softmax(&ctx, sonde_tensor_2d(z, 10, 30), sonde_tensor_2d(y, 10, 30));
        const int64_t out = sonde_tape_watch(tape, z, 300);
        enum sonde_status status = sonde_tape_seed(tape, out, one.data, &error);
        if (status == SONDE_STATUS_OK) {
            status = sonde_tape_backward(tape, NULL, &error);
        }
        assert_true(status == SONDE_STATUS_OK || status == SONDE_STATUS_LIMIT);
        assert_true(!ctx.failed || status == SONDE_STATUS_LIMIT);
        assert_true(sonde_tape_peak_bytes(tape) <= budget);
        whole = status == SONDE_STATUS_OK;
        sonde_tape_destroy(&tape);
        free(dw);
    }
    assert_true(whole);
    guarded_free(&x);
    guarded_free(&one);
    free(wide);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_elementwise),
        cmocka_unit_test(test_reused_memory),
        cmocka_unit_test(test_budget),
    };
    return cmocka_run_group_tests(tests, contexts_setup, contexts_teardown);
}
