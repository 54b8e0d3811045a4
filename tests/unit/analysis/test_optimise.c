#include <math.h>
#include <string.h>

#include "analysis/optimise.h"
#include "tests/support/check.h"

/* Rosenbrock's valley in pairs; the minimum 0 is at all ones. */
static enum sonde_status valley(void *ctx, const double *x, int64_t n, double *value,
                                double *gradient, struct sonde_error *error)
{
    (void)ctx;
    (void)error;
    *value = 0;
    for (int64_t i = 0; i + 1 < n; i += 2) {
        double a = 1 - x[i], b = x[i + 1] - x[i] * x[i];
        *value += a * a + 100 * b * b;
        gradient[i] = -2 * a - 400 * x[i] * b;
        gradient[i + 1] = 200 * b;
    }
    return SONDE_STATUS_OK;
}

static void test_valley(void **state)
{
    (void)state;
    /* lengths around the padding of 16 */
    const int64_t length[] = { 2, 14, 16, 18, 100 };
    for (size_t k = 0; k < sizeof(length) / sizeof(length[0]); k++) {
        struct sonde_error error = { 0 };
        double x[100];
        for (int i = 0; i < 100; i++)
            x[i] = i % 2 ? 1 : -1.2;
        struct sonde_minimise_options options = { .gradient_tolerance = 1e-9 };
        struct sonde_minimise_result result;
        check_ok(sonde_minimise(valley, NULL, length[k], x, &options, &result, &error), &error);
        assert_int_equal(result.end, SONDE_MINIMISE_CONVERGED);
        assert_true(result.gradient_max <= 1e-9);
        for (int64_t i = 0; i < length[k]; i++)
            check_close(x[i], 1, 1e-8);
        if (length[k] < 100)
            check_close(x[length[k]], length[k] % 2 ? 1 : -1.2, 0);
    }
}

/* sum_i (x_i - c_i)^2 / 2; with l1 * |x| the minimum is c shrunk by l1 towards 0. */
static enum sonde_status bowl(void *ctx, const double *x, int64_t n, double *value,
                              double *gradient, struct sonde_error *error)
{
    const double *c = ctx;
    (void)error;
    *value = 0;
    for (int64_t i = 0; i < n; i++) {
        gradient[i] = x[i] - c[i];
        *value += 0.5 * gradient[i] * gradient[i];
    }
    return SONDE_STATUS_OK;
}

static void test_l1(void **state)
{
    (void)state;
    struct sonde_error error = { 0 };
    double c[] = { 3, -2, 0.4, -0.4, 1, 5 }, x[6] = { 0 };
    struct sonde_minimise_options options = {
        .l1 = 0.5, .l1_begin = 0, .l1_end = 5, .gradient_tolerance = 1e-10
    };
    struct sonde_minimise_result result;
    check_ok(sonde_minimise(bowl, c, 6, x, &options, &result, &error), &error);
    double expected[] = { 2.5, -1.5, 0, 0, 0.5, 5 };
    for (int i = 0; i < 6; i++)
        check_close(x[i], expected[i], 1e-9);
    assert_true(x[2] == 0 && x[3] == 0);
    /* 3 * 0.5^2 / 2 + 2 * 0.4^2 / 2 + 0.5 * 4.5 */
    check_close(result.value, 0.375 + 0.16 + 2.25, 1e-9);
    options.l1_end = 7;
    assert_int_equal(sonde_minimise(bowl, c, 6, x, &options, &result, &error),
                     SONDE_STATUS_ARGUMENT);
}

/* sum_i exp(x_i) - c_i x_i, c_i = 2.1 + 0.3 i */
static enum sonde_status curved(void *ctx, const double *x, int64_t n, double *value,
                                double *gradient, struct sonde_error *error)
{
    (void)ctx;
    (void)error;
    *value = 0;
    for (int64_t i = 0; i < n; i++) {
        double c = 2.1 + 0.3 * (double)i;
        *value += exp(x[i]) - c * x[i];
        gradient[i] = exp(x[i]) - c;
    }
    return SONDE_STATUS_OK;
}

static void test_end_at_the_start_and_at_the_limit(void **state)
{
    (void)state;
    struct sonde_error error = { 0 };
    double c[] = { 1, 2 }, x[] = { 1, 2 };
    struct sonde_minimise_result result;
    check_ok(sonde_minimise(bowl, c, 2, x, NULL, &result, &error), &error);
    assert_int_equal(result.end, SONDE_MINIMISE_CONVERGED);
    assert_int_equal(result.iterations, 0);
    assert_int_equal(result.evaluations, 1);
    double far[] = { -1.2, 1 };
    struct sonde_minimise_options options = { .max_iterations = 3 };
    check_ok(sonde_minimise(valley, NULL, 2, far, &options, &result, &error), &error);
    assert_int_equal(result.end, SONDE_MINIMISE_MAX_ITERATIONS);
    assert_int_equal(result.iterations, 3);
    assert_true(result.value < 24.2 && result.value > 0);
    assert_true(far[0] != -1.2);
    /* a tolerance that doubles cannot meet ends with what they can: twelve gradients do not all
     * round to 0 */
    options = (struct sonde_minimise_options){ .gradient_tolerance = -1 };
    double root[12] = { 0 };
    check_ok(sonde_minimise(curved, NULL, 12, root, &options, &result, &error), &error);
    assert_int_equal(result.end, SONDE_MINIMISE_PRECISION);
    for (int i = 0; i < 12; i++)
        check_close(root[i], log(2.1 + 0.3 * i), 1e-6);
    options = (struct sonde_minimise_options){ .gradient_tolerance = -1, .value_tolerance = 1e-3 };
    far[0] = -1.2;
    far[1] = 1;
    check_ok(sonde_minimise(valley, NULL, 2, far, &options, &result, &error), &error);
    assert_true(result.end != SONDE_MINIMISE_MAX_ITERATIONS);
}

/* -log(1 - |x|^2) + |x - c|^2: infinite outside the unit ball, which a long first step leaves. */
static enum sonde_status walled(void *ctx, const double *x, int64_t n, double *value,
                                double *gradient, struct sonde_error *error)
{
    const double *c = ctx;
    (void)error;
    double inside = 1;
    for (int64_t i = 0; i < n; i++)
        inside -= x[i] * x[i];
    *value = inside > 0 ? -log(inside) : (double)NAN;
    for (int64_t i = 0; i < n; i++) {
        *value += (x[i] - c[i]) * (x[i] - c[i]);
        gradient[i] = 2 * x[i] / inside + 2 * (x[i] - c[i]);
    }
    return SONDE_STATUS_OK;
}

static void test_infinite_steps(void **state)
{
    (void)state;
    struct sonde_error error = { 0 };
    double c[] = { 50, 0 }, x[] = { 0, 0.1 };
    struct sonde_minimise_result result;
    struct sonde_minimise_options options = { .gradient_tolerance = 1e-7 };
    check_ok(sonde_minimise(walled, c, 2, x, &options, &result, &error), &error);
    /* on the axis: x / (1 - x^2) = 50 - x */
    assert_true(x[0] < 1 && x[0] > 0.9);
    check_close(x[0] / (1 - x[0] * x[0]), 50 - x[0], 1e-5);
    check_close(x[1], 0, 1e-6);
    double outside[] = { 2, 0 };
    assert_int_equal(sonde_minimise(walled, c, 2, outside, &options, &result, &error),
                     SONDE_STATUS_NUMERIC);
    assert_string_equal(error.text, "fit: the function is not finite at the start");
    check_close(outside[0], 2, 0);
}

struct counted {
    int calls, fail_at;
};

static enum sonde_status failing(void *ctx, const double *x, int64_t n, double *value,
                                 double *gradient, struct sonde_error *error)
{
    struct counted *counted = ctx;
    if (++counted->calls == counted->fail_at)
        return sonde_error_set(error, SONDE_STATUS_IO, "the disk is gone");
    return valley(NULL, x, n, value, gradient, error);
}

static bool stop_at_two(void *ctx, const char *what, int64_t done, int64_t total, const char *unit)
{
    (void)ctx;
    assert_string_equal(what, "probe");
    assert_string_equal(unit, "iterations");
    assert_int_equal(total, 1000);
    return done < 2;
}

static void test_failure_and_cancel(void **state)
{
    (void)state;
    for (int at = 1; at < 12; at++) {
        struct sonde_error error = { 0 };
        struct counted counted = { .fail_at = at };
        double x[] = { -1.2, 1 };
        struct sonde_minimise_result result = { .iterations = -7 };
        assert_int_equal(sonde_minimise(failing, &counted, 2, x, NULL, &result, &error),
                         SONDE_STATUS_IO);
        assert_string_equal(error.text, "the disk is gone");
        assert_int_equal(counted.calls, at); /* nobody asks again */
        assert_true(x[0] == -1.2 && x[1] == 1 && result.iterations == -7);
    }
    struct sonde_error error = { 0 };
    const struct sonde_progress progress = { .update = stop_at_two };
    struct sonde_minimise_options options = { .progress = &progress, .what = "probe" };
    double x[] = { -1.2, 1 };
    assert_int_equal(sonde_minimise(valley, NULL, 2, x, &options, NULL, &error),
                     SONDE_STATUS_CANCELLED);
    assert_true(x[0] == -1.2);
    assert_int_equal(sonde_minimise(valley, NULL, 0, x, NULL, NULL, &error), SONDE_STATUS_ARGUMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_valley),
        cmocka_unit_test(test_l1),
        cmocka_unit_test(test_end_at_the_start_and_at_the_limit),
        cmocka_unit_test(test_infinite_steps),
        cmocka_unit_test(test_failure_and_cancel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
