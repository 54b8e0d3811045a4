/* Losses of sigmoids: against differences, closed forms over the whole range of logits, rows that
 * do not count, and numbers that are none. */
#include <string.h>

#include "core/tensor/op_loss.h"
#include "tests/kernels/vjp_check.h"
#include "tests/support/check.h"

struct shape {
    int64_t T, K;
    bool squared, soft;
    const bool *counts;
};
struct sigmoid_case {
    const struct shape *shape;
    const float *targets;
};

/* -log s, from which 1 - s is one sign away; absolute error 2^-52. */
static double minus_log_sigmoid(double z)
{
    return -log(1.0 / (1.0 + exp(-z)));
}

static double one_loss(bool squared, double z, double y)
{
    const double off = 1.0 / (1.0 + exp(-z)) - y;
    const double surprise = (y > 0.0 ? y * minus_log_sigmoid(z) : 0.0) +
                            (y < 1.0 ? (1.0 - y) * minus_log_sigmoid(-z) : 0.0);
    return squared ? off * off : surprise;
}

static void loss_reference(const struct vjp_case *c, double *const *x, double *y)
{
    const struct sigmoid_case *k = c->arg;
    const struct shape *s = k->shape;
    int64_t n = 0;
    for (int64_t t = 0; t < s->T; t++) {
        const bool counts = !s->counts || s->counts[t];
        for (int64_t i = t * s->K; counts && i < (t + 1) * s->K; i++) {
            y[0] += one_loss(s->squared, x[0][i], (double)k->targets[i]) / (double)s->K;
        }
        n += counts;
    }
    y[0] /= n ? (double)n : 1.0;
}

static void form(struct sonde_op_context *ctx, double *loss, float *logits, const float *targets,
                 const struct shape *s)
{
    (s->squared ? sonde_op_sigmoid_mse : sonde_op_sigmoid_bce)(
        ctx, loss, sonde_tensor_2d(logits, s->T, s->K), targets, s->counts);
}

static float *run_loss(const struct vjp_case *c, struct sonde_op_context *ctx, float *const *x,
                       float *y)
{
    const struct sigmoid_case *k = c->arg;
    double loss = 0.0, want = 0.0, *row = zeros(c->n[0]);
    for (int64_t i = 0; i < c->n[0]; i++) {
        row[i] = (double)x[0][i];
    }
    form(ctx, &loss, x[0], k->targets, k->shape);
    loss_reference(c, &row, &want);
    /* The exponential is off by 4 units at most, its share of either loss is below 1; the rest is
     * in double. */
    check_close(loss, want, 4.0 * UNIT);
    free(row);
    if (ctx->tape) { /* the loss is a double: a value of one element, seen as a float here */
        const struct sonde_tensor seen = sonde_tensor_1d((float *)(void *)&loss, 1);
        sonde_tape_alias(ctx, y, &seen);
    }
    y[0] = (float)loss;
    return y;
}

static float *targets_of(const struct shape *s, struct sonde_rng *rng)
{
    float *y = malloc((size_t)(s->T * s->K) * sizeof *y);
    assert_non_null(y);
    for (int64_t i = 0; i < s->T * s->K; i++) {
        const double u = sonde_rng_uniform(rng);
        y[i] = s->soft ? (float)u : (float)(u < 0.4);
    }
    return y;
}

static const bool some[] = { true, false, true, true, false, false, true },
                  none[] = { false, false, false };

static void test_differences(void **state)
{
    static const struct shape shapes[] = {
        { .T = 1, .K = 1 },
        { .T = 5, .K = 12 },
        { .T = 7, .K = 9, .counts = some },
        { .T = 7, .K = 4, .counts = some, .soft = true },
        { .T = 3, .K = 6, .counts = none },
        { .T = 70, .K = 90, .soft = true }, /* rows are spread over threads */
    };
    for (size_t i = 0; i < 2 * (sizeof shapes / sizeof *shapes); i++) {
        struct shape s = shapes[i / 2];
        s.squared = i % 2 == 0;
        struct sonde_rng rng = sonde_rng_make(SONDE_SEED_DEFAULT, 60 + i);
        float *targets = targets_of(&s, &rng);
        const struct sigmoid_case k = { &s, targets };
        struct vjp_case c = { .name = s.squared ? "sigmoid mse" : "sigmoid bce",
                              .n_inputs = 1,
                              .n_out = 1,
                              .arg = &k,
                              .op = run_loss,
                              .reference = loss_reference,
                              .roundings = 6.0 }; /* the exponential, the seed, the result */
        c.n[0] = s.T * s.K;
        struct guarded x = guarded_normal(&rng, c.n[0], 2.0);
        c.value[0] = x.data;
        vjp_check(*state, &c, 60 + i);
        guarded_free(&x);
        free(targets);
    }
}

/* The gradient of one row's loss with respect to its logits, from a tape. */
static void gradient_of(struct sonde_op_context *ctx, const struct shape *s, float *logits,
                        const float *targets, float *out)
{
    struct sonde_tape *tape = NULL;
    struct sonde_error error = { 0 };
    struct sonde_op_context taped = *ctx;
    const float one = 1.0f;
    double loss = 0.0;
    check_ok(sonde_tape_create(&tape, 0, &error), &error);
    taped.tape = tape;
    const int64_t value = sonde_tape_watch(tape, logits, s->T * s->K);
    form(&taped, &loss, logits, targets, s);
    check_ok(sonde_tape_seed(tape, sonde_tape_watch(tape, &loss, 1), &one, &error), &error);
    check_ok(sonde_tape_backward(tape, ctx->pool, &error), &error);
    memcpy(out, sonde_tape_gradient(tape, value), (size_t)(s->T * s->K) * sizeof *out);
    sonde_tape_destroy(&tape);
}

/*
 * Logits from -86 to 86, rows longer than what is formed at once. d bce / dz = s - y and d mse / dz
 * = 2 (s - y) s (1 - s), each a product of factors that are off by 4 units (the exponential) and
 * rounded once; s - 1 is off by 2^-52 more.
 */
static void test_whole_range(void **state)
{
    struct contexts *contexts = *state;
    enum { K = 2 * 1024 + 300 };
    float *z = malloc(2 * K * sizeof *z), *y = malloc(2 * K * sizeof *y);
    float *got = malloc(2 * K * sizeof *got);
    assert_true(z && y && got);
    for (int i = 0; i < 2 * K; i++) {
        z[i] = (float)(-86.0 + 172.0 * (i % K) / (K - 1));
        y[i] = (float)((i + i / K) % 2);
    }
    for (int squared = 0; squared < 2; squared++) {
        const struct shape s = { .T = 2, .K = K, .squared = squared };
        double loss = 0.0, want = 0.0;
        form(&contexts->each[0], &loss, z, y, &s);
        gradient_of(&contexts->each[2], &s, z, y, got);
        for (int i = 0; i < 2 * K; i++) {
            const double x = (double)z[i], a = 1.0 / (1.0 + exp(-x)), b = 1.0 / (1.0 + exp(x));
            const double off = y[i] > 0.0f ? -b : a;
            const double slope = (squared ? 2.0 * off * a * b : off) / (2.0 * K);
            check_close(got[i], slope, 10.0 * UNIT * fabs(slope) + 0x1p-52 / K + 0x1p-149);
            want += one_loss(squared, x, (double)y[i]) / (2.0 * K);
        }
        check_close(loss, want, 4.0 * UNIT + 2.0 * K * 0x1p-52);
    }
    free(got);
    free(y);
    free(z);
}

/* Limits at infinity, NaN where it counts, nothing where it does not; without rows the loss is 0.
 */
static void test_not_finite(void **state)
{
    static const bool first[] = { true, false };
    struct contexts *contexts = *state;
    float z[4] = { INFINITY, -INFINITY, NAN, NAN }, gradient[4];
    const float right[4] = { 1.0f, 0.0f, NAN, NAN }, wrong[4] = { 0.0f, 0.0f, 1.0f, 1.0f };
    struct sonde_op_context *ctx = &contexts->each[0];
    double loss = -1.0;
    for (int squared = 0; squared < 2; squared++) {
        struct shape s = { .T = 2, .K = 2, .squared = squared, .counts = first };
        form(ctx, &loss, z, right, &s);
        assert_true(loss == 0.0);
        gradient_of(ctx, &s, z, right, gradient);
        for (int i = 0; i < 4; i++) {
            assert_true(gradient[i] == 0.0f);
        }
        form(ctx, &loss, z, wrong, &s);
        assert_true(squared ? loss == 0.5 : isinf(loss) && loss > 0.0);
        s.counts = NULL;
        form(ctx, &loss, z, wrong, &s);
        assert_true(isnan(loss));
        gradient_of(ctx, &s, z, wrong, gradient);
        assert_true(isnan(gradient[2]) && isnan(gradient[3]) && gradient[1] == 0.0f);
        s.counts = none;
        form(ctx, &loss, z, wrong, &s);
        assert_true(loss == 0.0);
    }
}

/* Rows of a wider matrix give what they give alone; a tape without room says so. */
static void test_strides_and_limits(void **state)
{
    struct contexts *contexts = *state;
    struct sonde_rng rng = sonde_rng_make(SONDE_SEED_DEFAULT, 99);
    struct shape s = { .T = 6, .K = 5, .counts = some };
    struct guarded wide = guarded_normal(&rng, 6 * 8, 1.0);
    float *targets = targets_of(&s, &rng), alone[30];
    for (int t = 0; t < 6; t++) {
        memcpy(alone + 5 * t, wide.data + 8 * t, 5 * sizeof(float));
    }
    double one = 0.0, other = 0.0, kept = 7.0;
    struct sonde_tensor rows = sonde_tensor_2d(wide.data, 6, 5);
    rows.stride[0] = 8;
    form(&contexts->each[0], &one, alone, targets, &s);
    sonde_op_sigmoid_bce(&contexts->each[0], &other, rows, targets, some);
    assert_true(one == other);
    struct sonde_tape *tape = NULL;
    struct sonde_error error = { 0 };
    struct sonde_op_context tight = contexts->each[0];
    check_ok(sonde_tape_create(&tape, 64, &error), &error);
    tight.tape = tape;
    form(&tight, &kept, alone, targets, &s);
    assert_true(tight.failed);
    assert_int_equal(sonde_tape_backward(tape, NULL, &error), SONDE_STATUS_LIMIT);
    sonde_tape_destroy(&tape);
    kept = 7.0;
    form(&tight, &kept, alone, targets, &s);
    assert_true(kept == 7.0);
    guarded_free(&wide);
    free(targets);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_differences),
        cmocka_unit_test(test_whole_range),
        cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_strides_and_limits),
    };
    return cmocka_run_group_tests(tests, contexts_setup, contexts_teardown);
}
