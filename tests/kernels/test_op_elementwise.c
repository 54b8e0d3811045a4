/* Activations, gates, sums, softmax: element by element against double precision. */
#include <string.h>

#include "tests/kernels/kernel_check.h"
#include "tests/support/check.h"

enum { N_ACTIVATIONS = SONDE_ACTIVATION_RELU_SQUARED + 1 };

static double sigmoid(double x)
{
    return 1.0 / (1.0 + exp(-x));
}

/*
 * f(x), and the largest error that f32 may make.
 *
 * A gate x / (1 + exp(-u)) with u rounded k times: the exponential's relative error is
 * k UNIT |u| (the argument) + 4 UNIT (2 units in the last place), of which the denominator sees the
 * share 1 - sigmoid(u); adding 1 and dividing round once each.
 */
static double activation_reference(enum sonde_activation kind, double x, double *bound)
{
    double f = 0.0, u = 0.0, roundings = 0.0;
    switch (kind) {
    case SONDE_ACTIVATION_GELU: {
        /* The tail exp(-x^2 / 2) Q(s) / (1 + 2|x|): x^2 rounds once, which the exponential turns
         * into x^2 / 2 units; the exponential itself 4, Q with its argument and fit 6, the
         * denominator, product, quotient, the difference from 1 and the product with x 6. */
        f = 0.5 * x * erfc(-x * sqrt(0.5));
        *bound = fabs(f) * UNIT * (x * x / 2.0 + 16.0);
        break;
    }
    case SONDE_ACTIVATION_GELU_TANH:
        u = 2.0 * sqrt(2.0 / acos(-1.0)) * (x + 0.044715 * x * x * x);
        f = x * sigmoid(u);
        roundings = 6.0; /* two constants, x x, the products, the sum */
        break;
    case SONDE_ACTIVATION_SILU:
        u = x;
        f = x * sigmoid(u);
        break;
    case SONDE_ACTIVATION_QUICK_GELU:
        u = 1.702 * x;
        f = x * sigmoid(u);
        roundings = 2.0;
        break;
    case SONDE_ACTIVATION_RELU:
        f = x < 0.0 ? 0.0 : x;
        *bound = 0.0;
        break;
    case SONDE_ACTIVATION_RELU_SQUARED:
        f = x < 0.0 ? 0.0 : x * x;
        *bound = UNIT * f;
        break;
    case SONDE_ACTIVATION_TANH:
        f = tanh(x);
        *bound = 4.0 * UNIT * fabs(f);
        break;
    case SONDE_ACTIVATION_SIGMOID:
        u = x;
        f = sigmoid(u);
        break;
    }
    if (kind == SONDE_ACTIVATION_GELU_TANH || kind == SONDE_ACTIVATION_SILU ||
        kind == SONDE_ACTIVATION_QUICK_GELU || kind == SONDE_ACTIVATION_SIGMOID) {
        const double exponential = expm1((roundings * fabs(u) + 4.0) * UNIT);
        *bound = fabs(f) * (exponential * sigmoid(-u) + 2.0 * UNIT);
    }
    /* Results below the normal range are exact to one subnormal step; a denominator that overflows
     * gives 0 for what is less than |x| 2^-127. */
    *bound = *bound * 1.001 + 0x1p-149 + fabs(x) * 0x1p-127;
    return f;
}

/* Values of every size: normal ones, large, tiny, both zeros. */
static void fill_activations(struct sonde_rng *rng, float *x, int64_t n)
{
    static const double spread[] = { 1.0, 0.01, 8.0, 60.0, 1e-30, 1e-42 };
    for (int64_t i = 0; i < n; i++) {
        x[i] = (float)(sonde_rng_normal(rng) * spread[i % 6]);
    }
    for (int64_t i = 0; i < n && i < 2; i++) {
        x[i] = i ? -0.0f : 0.0f;
    }
}

static void test_activation(void **state)
{
    static const int64_t sizes[] = { 0, 1, 17, 5003, 70001 };
    struct contexts *contexts = *state;
    struct sonde_rng rng = sonde_rng_make(SONDE_SEED_DEFAULT, 1);
    for (int i = 0; i < 5 * N_ACTIVATIONS; i++) {
        const enum sonde_activation kind = (enum sonde_activation)(i % N_ACTIVATIONS);
        const int64_t n = sizes[i / N_ACTIVATIONS];
        struct guarded x = guarded_new(n), up = guarded_normal(&rng, n, 1.0);
        fill_activations(&rng, x.data, n);
        double *want = zeros(n), *bound = zeros(n);
        double *gated = zeros(n), *gated_bound = zeros(n);
        for (int64_t j = 0; j < n; j++) {
            want[j] = activation_reference(kind, (double)x.data[j], &bound[j]);
            gated[j] = want[j] * (double)up.data[j];
            gated_bound[j] = fabs((double)up.data[j]) * bound[j] * (1.0 + UNIT) +
                             UNIT * fabs(gated[j]) + 0x1p-149;
        }
        struct guarded y = guarded_new(n), g = guarded_new(n);
        const struct sonde_tensor xt = sonde_tensor_1d(x.data, n), yt = sonde_tensor_1d(y.data, n);
        const struct sonde_tensor ut = sonde_tensor_1d(up.data, n), gt = sonde_tensor_1d(g.data, n);
        sonde_op_activation(&contexts->each[0], yt, xt, kind);
        sonde_op_gate(&contexts->each[0], gt, xt, ut, kind);
        check_bounds("activation", y.data, want, bound, n);
        check_bounds("gate", g.data, gated, gated_bound, n);
        float *first = copy_floats(y.data, n), *first_gated = copy_floats(g.data, n);
        for (int c = 1; c < N_CONTEXTS; c++) {
            sonde_op_activation(&contexts->each[c], yt, xt, kind);
            sonde_op_gate(&contexts->each[c], gt, xt, ut, kind);
            check_bits("activation with a pool", y.data, first, n);
            check_bits("gate with a pool", g.data, first_gated, n);
        }
        /* Onto an input. */
        sonde_op_gate(&contexts->each[3], ut, xt, ut, kind);
        check_bits("gate onto up", up.data, first_gated, n);
        sonde_op_activation(&contexts->each[3], xt, xt, kind);
        check_bits("activation in place", x.data, first, n);
        guarded_free(&x);
        guarded_free(&up);
        guarded_free(&y);
        guarded_free(&g);
        void *const arrays[] = { want, bound, gated, gated_bound, first, first_gated };
        for (int j = 0; j < 6; j++) {
            free(arrays[j]);
        }
    }
}

static void test_activation_keeps_nan(void **state)
{
    struct contexts *contexts = *state;
    for (int kind = 0; kind < N_ACTIVATIONS; kind++) {
        float x[40];
        for (int i = 0; i < 40; i++) {
            x[i] = i == 7 || i == 39 ? NAN : 1.0f;
        }
        const struct sonde_tensor xt = sonde_tensor_1d(x, 40);
        sonde_op_activation(&contexts->each[0], xt, xt, (enum sonde_activation)kind);
        for (int i = 0; i < 40; i++) {
            assert_int_equal(isnan(x[i]), i == 7 || i == 39);
        }
    }
}

static void test_add_and_scale(void **state)
{
    static const int64_t sizes[] = { 0, 1, 15, 100003 };
    struct contexts *contexts = *state;
    struct sonde_rng rng = sonde_rng_make(SONDE_SEED_DEFAULT, 2);
    for (int i = 0; i < 4 * N_CONTEXTS; i++) {
        const int64_t n = sizes[i / N_CONTEXTS];
        struct guarded a = guarded_normal(&rng, n, 1.0), b = guarded_normal(&rng, n, 1.0);
        struct guarded y = guarded_new(n), z = guarded_new(n);
        sonde_op_add(&contexts->each[i % N_CONTEXTS], sonde_tensor_1d(y.data, n),
                     sonde_tensor_1d(a.data, n), sonde_tensor_1d(b.data, n));
        sonde_op_scale(&contexts->each[i % N_CONTEXTS], sonde_tensor_1d(z.data, n),
                       sonde_tensor_1d(a.data, n), 0.3f);
        for (int64_t j = 0; j < n; j++) {
            assert_true(y.data[j] == (float)((double)a.data[j] + (double)b.data[j]));
            assert_true(z.data[j] == (float)((double)a.data[j] * (double)0.3f));
        }
        sonde_op_add(&contexts->each[i % N_CONTEXTS], sonde_tensor_1d(a.data, n),
                     sonde_tensor_1d(a.data, n), sonde_tensor_1d(b.data, n));
        check_bits("add in place", a.data, y.data, n);
        guarded_free(&a);
        guarded_free(&b);
        guarded_free(&y);
        guarded_free(&z);
    }
}

/* want and bounds of softmax and log softmax of one row. The exponential's argument rounds once
 * (relative to its size), the exponential is within 2 units, the quotient rounds once; the
 * logarithm's sum is a double's, of such exponentials: its relative error is their largest. */
static void softmax_reference(const float *x, int64_t n, double *p, double *p_bound, double *log_p,
                              double *log_bound)
{
    double max = -INFINITY, sum = 0.0, sum_error = 0.0;
    for (int64_t i = 0; i < n; i++) {
        max = fmax(max, (double)x[i]);
    }
    for (int64_t i = 0; i < n; i++) {
        const double distance = max - (double)x[i], e = exp(-distance);
        sum += e;
        sum_error += isinf(distance) ? 0.0 : e * UNIT * (distance + 4.0);
    }
    const double relative_sum = 1.01 * sum_error / sum;
    for (int64_t i = 0; i < n; i++) {
        const double distance = max - (double)x[i];
        p[i] = exp(-distance) / sum;
        p_bound[i] = isinf(distance)
                         ? 0.0
                         : p[i] * (1.01 * UNIT * (distance + 5.0) + relative_sum) + 0x1p-148;
        log_p[i] = -distance - log(sum);
        log_bound[i] = UNIT * fabs(log_p[i]) + relative_sum + 1e-14;
    }
}

static void test_softmax(void **state)
{
    static const int64_t shapes[][2] = { { 0, 4 },    { 1, 1 },    { 3, 17 },
                                         { 5, 1000 }, { 2, 1025 }, { 40, 5003 } };
    struct contexts *contexts = *state;
    struct sonde_rng rng = sonde_rng_make(SONDE_SEED_DEFAULT, 3);
    for (int i = 0; i < 6; i++) {
        const int64_t n_rows = shapes[i][0], width = shapes[i][1], n = n_rows * width;
        struct guarded x = guarded_normal(&rng, n, i % 2 ? 30.0 : 2.0);
        for (int64_t j = 0; j < n; j += 7) {
            x.data[j] = width > 1 ? -INFINITY : x.data[j];
        }
        double *p = zeros(n), *p_bound = zeros(n), *log_p = zeros(n), *log_bound = zeros(n);
        for (int64_t t = 0; t < n_rows; t++) {
            const int64_t at = t * width;
            softmax_reference(x.data + at, width, p + at, p_bound + at, log_p + at, log_bound + at);
        }
        float *first = NULL, *first_log = NULL;
        const struct sonde_tensor xt = sonde_tensor_2d(x.data, n_rows, width);
        for (int c = 0; c < N_CONTEXTS; c++) {
            struct guarded y = guarded_new(n), z = guarded_new(n);
            sonde_op_softmax(&contexts->each[c], sonde_tensor_2d(y.data, n_rows, width), xt);
            sonde_op_log_softmax(&contexts->each[c], sonde_tensor_2d(z.data, n_rows, width), xt);
            check_bounds("softmax", y.data, p, p_bound, n);
            check_bounds("log softmax", z.data, log_p, log_bound, n);
            first = first ? first : copy_floats(y.data, n);
            first_log = first_log ? first_log : copy_floats(z.data, n);
            check_bits("softmax with a pool", y.data, first, n);
            check_bits("log softmax with a pool", z.data, first_log, n);
            guarded_free(&y);
            guarded_free(&z);
        }
        float *input = copy_floats(x.data, n);
        sonde_op_softmax(&contexts->each[0], xt, xt);
        check_bits("softmax in place", x.data, first, n);
        memcpy(x.data, input, (size_t)n * sizeof(float));
        sonde_op_log_softmax(&contexts->each[0], xt, xt);
        check_bits("log softmax in place", x.data, first_log, n);
        guarded_free(&x);
        void *const arrays[] = { p, p_bound, log_p, log_bound, first, first_log, input };
        for (int j = 0; j < 7; j++) {
            free(arrays[j]);
        }
    }
}

static void test_softmax_special_rows(void **state)
{
    struct contexts *contexts = *state;
    float x[4][3] = { { -INFINITY, -INFINITY, -INFINITY },
                      { NAN, 0.0f, 1.0f },
                      { INFINITY, 0.0f, 1.0f },
                      { 3e38f, -3e38f, 3e38f } };
    float y[4][3];
    sonde_op_softmax(&contexts->each[0], sonde_tensor_2d(&y[0][0], 4, 3),
                     sonde_tensor_2d(&x[0][0], 4, 3));
    for (int j = 0; j < 3; j++) {
        assert_true(y[0][j] == 0.0f);
        assert_true(isnan(y[1][j]));
        assert_true(y[3][j] == (j == 1 ? 0.0f : 0.5f));
    }
    assert_true(isnan(y[2][0]));
    sonde_op_log_softmax(&contexts->each[0], sonde_tensor_2d(&y[0][0], 4, 3),
                         sonde_tensor_2d(&x[0][0], 4, 3));
    for (int j = 0; j < 3; j++) {
        assert_true(isnan(y[0][j]) && isnan(y[1][j]));
        assert_true(y[3][j] == (j == 1 ? -INFINITY : (float)-log(2.0)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_activation),           cmocka_unit_test(test_activation_keeps_nan),
        cmocka_unit_test(test_add_and_scale),        cmocka_unit_test(test_softmax),
        cmocka_unit_test(test_softmax_special_rows),
    };
    return cmocka_run_group_tests(tests, contexts_setup, contexts_teardown);
}
