/* The vector loops: accuracy of the exponential over its range, and the same bits on every target.
 */
#include "core/tensor/vector.h"

#include <string.h>

#include "core/base/rng.h"
#include "tests/support/check.h"

enum { CHUNK = 1024 };

static float float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

/* The distance of two neighbours at the size of value (subnormals share one). */
static double unit_in_last_place(double value)
{
    int exponent;
    frexp(value, &exponent);
    return ldexp(1.0, (exponent < -125 ? -125 : exponent) - 24);
}

/* Every 211th float of the range in which the result is neither 0 nor infinite. */
static void test_exp_within_two_units(void **state)
{
    (void)state;
    const struct sonde_vector_kernels *vector = sonde_vector_kernels();
    float x[CHUNK], y[CHUNK];
    double worst = 0.0;
    uint32_t bits = 0;
    while (bits < 0x7f800000u) {
        int n = 0;
        for (; n < CHUNK && bits < 0x7f800000u; n++, bits += 211) {
            x[n] = float_of(bits ^ (n % 2 ? 0x80000000u : 0u));
        }
        vector->exp(y, x, 0.0f, n);
        for (int i = 0; i < n; i++) {
            const double want = exp((double)x[i]);
            if (want >= 0x1.ffffffp127) {
                assert_true(y[i] == INFINITY);
            } else if (x[i] < -104.0f) {
                assert_true(y[i] == 0.0f);
            } else {
                worst = fmax(worst, fabs((double)y[i] - want) / unit_in_last_place(want));
            }
        }
    }
    fprintf(stderr, "# largest error of exp: %.3f units in the last place\n", worst);
    assert_true(worst > 0.5 && worst <= 2.0);
}

/* tanh and the GELU over every 4001st float; the GELU's unit grows with x^2 (see vector.h). */
static void test_tanh_and_gelu_accuracy(void **state)
{
    (void)state;
    const struct sonde_vector_kernels *vector = sonde_vector_kernels();
    double worst_tanh = 0.0, worst_gelu = 0.0, worst_slope = 0.0;
    for (uint32_t bits = 0; bits < 0x7f800000u; bits += 4001) {
        for (int sign = 0; sign < 2; sign++) {
            const float x = float_of(bits | (sign ? 0x80000000u : 0u));
            float y;
            vector->tanh(&y, &x, 1.0f, 1);
            const double t = tanh((double)x);
            worst_tanh = fmax(worst_tanh, fabs((double)y - t) / unit_in_last_place(t));
            vector->gelu(&y, &x, 1);
            const double g = 0.5 * (double)x * erfc(-(double)x * sqrt(0.5));
            const double units = fabs((double)y - g) / unit_in_last_place(g);
            const double size = fmin((double)x * (double)x, 240.0);
            worst_gelu = fmax(worst_gelu, units / (16.0 + size / 2.0));
            vector->gelu_slope(&y, &x, 1);
            const double slope =
                0.5 * erfc(-(double)x * sqrt(0.5)) +
                (double)x * exp(-0.5 * (double)x * (double)x) / sqrt(2 * acos(-1.0));
            worst_slope = fmax(worst_slope, fabs((double)y - slope));
        }
    }
    fprintf(stderr, "# largest error of tanh: %.3f units; gelu: %.3f of its bound\n", worst_tanh,
            worst_gelu);
    assert_true(worst_tanh <= 2.0);
    assert_true(worst_gelu <= 1.0);
    assert_true(worst_slope <= 0x1p-21);
}

static void test_exp_special(void **state)
{
    (void)state;
    const float x[5] = { -INFINITY, INFINITY, NAN, 0.0f, -104.0f };
    float y[5];
    sonde_vector_kernels()->exp(y, x, 0.0f, 5);
    assert_true(y[0] == 0.0f && y[1] == INFINITY && isnan(y[2]) && y[3] == 1.0f && y[4] == 0.0f);
}

static void test_reductions(void **state)
{
    (void)state;
    const struct sonde_vector_kernels *vector = sonde_vector_kernels();
    struct sonde_rng rng = sonde_rng_make(SONDE_SEED_DEFAULT, 1);
    float x[100];
    for (int n = 0; n <= 100; n++) {
        double sum = 0.0, squares = 0.0, largest = -INFINITY;
        for (int i = 0; i < n; i++) {
            x[i] = (float)(sonde_rng_below(&rng, 2001) - 1000); /* integers: every sum is exact */
            sum += (double)x[i];
            squares += ((double)x[i] - 0.5) * ((double)x[i] - 0.5);
            largest = fmax(largest, (double)x[i]);
        }
        assert_true(vector->sum(x, n) == sum);
        assert_true(vector->sum_squares(x, 0.5, n) == squares);
        assert_true((double)vector->max(x, n) == largest);
        for (int i = 0; i < n; i++) {
            const float saved = x[i];
            assert_true(vector->is_finite(x, n));
            x[i] = i % 2 ? NAN : -INFINITY;
            assert_false(vector->is_finite(x, n));
            x[i] = i % 2 ? NAN : 5000.0f; /* the largest stands anywhere; NaN is skipped */
            assert_true(i % 2 || vector->max(x, n) == 5000.0f);
            assert_false(isnan(vector->max(x, n)));
            x[i] = saved;
        }
    }
}

/* All targets that this machine has against the first. */
static void check_target(enum sonde_target target, const float *x, int64_t n)
{
    const struct sonde_vector_kernels *base = sonde_vector_kernels_of(SONDE_TARGET_BASE);
    const struct sonde_vector_kernels *wide = sonde_vector_kernels_of(target);
    float a[CHUNK], b[CHUNK];
    const size_t bytes = (size_t)n * sizeof(float);
    base->exp(a, x, 0.7f, n);
    wide->exp(b, x, 0.7f, n);
    assert_memory_equal(a, b, bytes);
    base->normalize(a, x, 0.1, 1.7, n);
    wide->normalize(b, x, 0.1, 1.7, n);
    assert_memory_equal(a, b, bytes);
    base->sigmoid_gate(a, x, 1.702f, n);
    wide->sigmoid_gate(b, x, 1.702f, n);
    assert_memory_equal(a, b, bytes);
    base->cubic_gate(a, x, 1.5f, 0.07f, n);
    wide->cubic_gate(b, x, 1.5f, 0.07f, n);
    assert_memory_equal(a, b, bytes);
    base->sigmoid(a, x, n);
    wide->sigmoid(b, x, n);
    assert_memory_equal(a, b, bytes);
    base->tanh(a, x, 3.0f, n);
    wide->tanh(b, x, 3.0f, n);
    assert_memory_equal(a, b, bytes);
    base->gelu(a, x, n);
    wide->gelu(b, x, n);
    assert_memory_equal(a, b, bytes);
    base->narrow_f16(a, x, n);
    wide->narrow_f16(b, x, n);
    assert_memory_equal(a, b, bytes / 2);
    base->narrow_bf16(a, x, n);
    wide->narrow_bf16(b, x, n);
    assert_memory_equal(a, b, bytes / 2);
    base->widen_f16(a, x, n);
    wide->widen_f16(b, x, n);
    assert_memory_equal(a, b, bytes);
    base->widen_bf16(a, x, n);
    wide->widen_bf16(b, x, n);
    assert_memory_equal(a, b, bytes);
    assert_true(base->sum(x, n) == wide->sum(x, n));
    assert_true(base->sum_squares(x, 0.3, n) == wide->sum_squares(x, 0.3, n));
    assert_true(base->max(x, n) == wide->max(x, n));
    assert_true(base->is_finite(x, n) == wide->is_finite(x, n));
    base->gelu_slope(a, x, n);
    wide->gelu_slope(b, x, n);
    assert_memory_equal(a, b, bytes);
}

/* The loops of backward passes: the same bits on the target, and the plain sums in double within
 * the rounding of n additions. */
static void check_backward(enum sonde_target target, const float *x, int64_t n)
{
    const struct sonde_vector_kernels *base = sonde_vector_kernels_of(SONDE_TARGET_BASE);
    const struct sonde_vector_kernels *wide = sonde_vector_kernels_of(target);
    const struct sonde_norm_slope by = { 0.3, 1.7, -0.2, 0.05 };
    const size_t bytes = (size_t)n * sizeof(float);
    float a[CHUNK], b[CHUNK];
    double sums[2], other[2], plain[2] = { 0 }, size[2] = { 0 }, dot = 0, dot_size = 0;
    for (int64_t i = 0; i < n; i++) {
        const double g = (double)x[i] * (double)x[n - 1 - i];
        const double u = ((double)x[i] - by.mean) * by.factor;
        plain[0] += g;
        plain[1] += g * u;
        size[0] += fabs(g);
        size[1] += fabs(g * u);
        dot += g;
        dot_size += fabs(g);
        a[i] = x[n - 1 - i]; /* the gain */
    }
    const double rounding = 0x1p-52 * (double)(n + 4);
    base->norm_sums(x, x, a, by.mean, by.factor, n, sums);
    wide->norm_sums(x, x, a, by.mean, by.factor, n, other);
    assert_memory_equal(sums, other, sizeof sums);
    check_close(sums[0], plain[0], rounding * size[0]);
    check_close(sums[1], plain[1], rounding * size[1]);
    assert_true(base->dot(x, a, n) == wide->dot(x, a, n));
    check_close(base->dot(x, a, n), dot, rounding * dot_size);
    memcpy(b, a, bytes);
    base->norm_slope(a, x, x, x, &by, n);
    wide->norm_slope(b, x, x, x, &by, n);
    assert_memory_equal(a, b, bytes);
    base->softmax_slope(a, x, 0.4, n);
    wide->softmax_slope(b, x, 0.4, n);
    assert_memory_equal(a, b, bytes);
}

static void check_columns(enum sonde_target target, const float *x, int64_t n)
{
    const struct sonde_vector_kernels *base = sonde_vector_kernels_of(SONDE_TARGET_BASE);
    const struct sonde_vector_kernels *wide = sonde_vector_kernels_of(target);
    double a[2][CHUNK] = { { 0 } }, b[2][CHUNK] = { { 0 } };
    for (int row = 0; row < 3; row++) {
        base->norm_columns(a[0], a[1], x, x + row, 0.3, 1.1, n - row);
        wide->norm_columns(b[0], b[1], x, x + row, 0.3, 1.1, n - row);
        base->accumulate(a[1], x, n);
        wide->accumulate(b[1], x, n);
    }
    assert_memory_equal(a, b, sizeof a);
    check_close(a[1][0],
                4.0 * (double)x[0] + (double)(n > 1 ? x[1] : 0) + (double)(n > 2 ? x[2] : 0),
                1e-12);
}

static void test_targets_give_the_same_bits(void **state)
{
    (void)state;
    struct sonde_rng rng = sonde_rng_make(SONDE_SEED_DEFAULT, 2);
    float x[CHUNK];
    for (int i = 0; i < CHUNK; i++) {
        x[i] = (float)(sonde_rng_normal(&rng) * (i % 3 ? 1.0 : 40.0));
    }
    assert_non_null(sonde_vector_kernels_of(SONDE_TARGET_BASE));
    for (int t = SONDE_TARGET_BASE; t < SONDE_TARGET_COUNT; t++) {
        if (!sonde_vector_kernels_of((enum sonde_target)t)) {
            fprintf(stderr, "# SKIP target %d: this machine lacks it\n", t);
            continue;
        }
        for (int n = 1; n < 70; n++) {
            check_target((enum sonde_target)t, x + n % 5, n);
            check_backward((enum sonde_target)t, x + n % 5, n);
        }
        check_target((enum sonde_target)t, x, CHUNK);
        check_backward((enum sonde_target)t, x, CHUNK);
        check_columns((enum sonde_target)t, x, CHUNK);
    }
}

/* Every half, and every upper 19 bits of a float (all that f16 keeps, and more for subnormals) with
 * the rests around which rounding turns. The same over all 2^32 floats was run once. */
static void test_halves_on_every_target(void **state)
{
    static const uint32_t rests[] = { 0, 1, 0xfff, 0x1000, 0x1001, 0x1fff, 0xaaa, 0x1555 };
    enum { N = 4096, N_RESTS = 8 };
    uint16_t halves[2][N];
    (void)state;
    float x[N], wide[N];
    const struct sonde_vector_kernels *base = sonde_vector_kernels_of(SONDE_TARGET_BASE);
    for (int t = SONDE_TARGET_AVX2; t < SONDE_TARGET_COUNT; t++) {
        const struct sonde_vector_kernels *other = sonde_vector_kernels_of((enum sonde_target)t);
        for (uint32_t first = 0; first < 65536 && other; first += N) {
            for (int i = 0; i < N; i++) {
                halves[0][i] = (uint16_t)(first + (uint32_t)i);
            }
            base->widen_f16(x, halves[0], N);
            other->widen_f16(wide, halves[0], N);
            assert_memory_equal(x, wide, sizeof(x));
        }
        for (uint32_t high = 0; high < 1u << 19 && other; high += N / N_RESTS) {
            for (uint32_t i = 0; i < N; i++) {
                x[i] = float_of((high + i / N_RESTS) << 13 | rests[i % N_RESTS]);
            }
            base->narrow_f16(halves[0], x, N);
            other->narrow_f16(halves[1], x, N);
            assert_memory_equal(halves[0], halves[1], sizeof(halves[0]));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exp_within_two_units),
        cmocka_unit_test(test_tanh_and_gelu_accuracy),
        cmocka_unit_test(test_exp_special),
        cmocka_unit_test(test_reductions),
        cmocka_unit_test(test_targets_give_the_same_bits),
        cmocka_unit_test(test_halves_on_every_target),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
