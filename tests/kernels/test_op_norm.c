/* Norms and rotary positions. */
#include <string.h>

#include "tests/kernels/kernel_check.h"
#include "tests/support/check.h"

struct norm_case {
    int64_t n_rows, width;
    enum sonde_norm_kind kind;
    enum sonde_dtype dtype;
    bool has_gain, has_bias;
    float gain_offset;
    double offset; /* added to every input: cancellation in the variance */
};

struct norm_expected {
    double *y, *y_bound, *normalized, *normalized_bound, *scale, *scale_bound;
};

/* The moments carry a relative error of about n 2^-53 of the sums of absolute values, which is what
 * `moment` bounds; everything else is a count of roundings to f32. */
static void reference_row(const struct norm_case *c, const float *x, const float *gain,
                          const float *bias, double eps, int64_t t, struct norm_expected *e)
{
    long double mean = 0.0L, squares = 0.0L, largest = 0.0L;
    for (int64_t i = 0; i < c->width; i++) {
        mean += (long double)x[i];
        largest = fmaxl(largest, fabsl((long double)x[i]));
    }
    mean = c->kind == SONDE_NORM_LAYER ? mean / c->width : 0.0L;
    for (int64_t i = 0; i < c->width; i++) {
        squares += ((long double)x[i] - mean) * ((long double)x[i] - mean);
    }
    const double scale = (double)sqrtl(squares / c->width + (long double)eps);
    const double moment = (double)(c->width + 8) * 0x1p-52 * (double)largest / scale;
    e->scale[t] = scale;
    e->scale_bound[t] = scale * (UNIT + 4.0 * moment);
    for (int64_t i = 0; i < c->width; i++) {
        const int64_t at = t * c->width + i;
        const double n = (double)(((long double)x[i] - mean) / (long double)scale);
        const double n_bound = UNIT * fabs(n) + moment * (4.0 + fabs(n)) + 0x1p-149;
        /* Adding the gain's offset, the product and the bias round once each. */
        const double g = gain ? (double)gain[i] + (double)c->gain_offset : 1.0;
        const double b = bias ? (double)bias[i] : 0.0;
        e->normalized[at] = n;
        e->normalized_bound[at] = n_bound;
        e->y[at] = n * g + b;
        e->y_bound[at] = fabs(g) * n_bound + gamma_bound(3.0) * (fabs(n * g) + fabs(b));
    }
}

static void check_norm(struct contexts *contexts, const struct norm_case *c, uint64_t stream)
{
    struct sonde_rng rng = sonde_rng_make(SONDE_SEED_DEFAULT, stream);
    const double eps = 1e-5;
    const int64_t n = c->n_rows * c->width;
    float *gain_wide, *bias_wide;
    struct sonde_weight gain = random_weight(&rng, c->dtype, 1, c->width, false, 1.0, &gain_wide);
    struct sonde_weight bias = random_weight(&rng, c->dtype, 1, c->width, false, 1.0, &bias_wide);
    struct guarded x = guarded_normal(&rng, n, 1.0);
    for (int64_t i = 0; i < n; i++) {
        x.data[i] += (float)c->offset;
    }
    struct norm_expected e = { zeros(n), zeros(n),         zeros(n),
                               zeros(n), zeros(c->n_rows), zeros(c->n_rows) };
    for (int64_t t = 0; t < c->n_rows; t++) {
        reference_row(c, x.data + t * c->width, c->has_gain ? gain_wide : NULL,
                      c->has_bias ? bias_wide : NULL, eps, t, &e);
    }
    const struct sonde_norm_args plain = { .kind = c->kind,
                                           .eps = eps,
                                           .gain = c->has_gain ? &gain : NULL,
                                           .bias = c->has_bias ? &bias : NULL,
                                           .gain_offset = c->gain_offset };
    float *first = NULL;
    for (int i = 0; i < 2 * N_CONTEXTS; i++) {
        struct guarded y = guarded_new(n), normalized = guarded_new(n);
        struct guarded scale = guarded_new(c->n_rows);
        struct sonde_norm_args args = plain;
        if (i % 2) {
            args.scale = sonde_tensor_2d(scale.data, c->n_rows, 1);
            args.normalized = sonde_tensor_2d(normalized.data, c->n_rows, c->width);
        }
        sonde_op_norm(&contexts->each[i / 2], sonde_tensor_2d(y.data, c->n_rows, c->width),
                      sonde_tensor_2d(x.data, c->n_rows, c->width), &args);
        check_bounds("norm", y.data, e.y, e.y_bound, n);
        if (i % 2) {
            check_bounds("normalized", normalized.data, e.normalized, e.normalized_bound, n);
            check_bounds("scale", scale.data, e.scale, e.scale_bound, c->n_rows);
        }
        first = first ? first : copy_floats(y.data, n);
        check_bits("norm, pool or observed", y.data, first, n);
        guarded_free(&y);
        guarded_free(&normalized);
        guarded_free(&scale);
    }
    /* In place. */
    const struct sonde_tensor xt = sonde_tensor_2d(x.data, c->n_rows, c->width);
    sonde_op_norm(&contexts->each[0], xt, xt, &plain);
    check_bits("norm in place", x.data, first, n);
    guarded_free(&x);
    double *const arrays[] = { e.y,     e.y_bound,    e.normalized, e.normalized_bound,
                               e.scale, e.scale_bound };
    for (int i = 0; i < 6; i++) {
        free(arrays[i]);
    }
    free(first);
    free(gain_wide);
    free(bias_wide);
}

static void test_norm(void **state)
{
    static const struct norm_case cases[] = {
        { 0, 8, SONDE_NORM_LAYER, SONDE_DTYPE_F32, true, true, 0.0f, 0.0 },
        { 1, 1, SONDE_NORM_LAYER, SONDE_DTYPE_F32, true, true, 0.0f, 0.0 },
        { 1, 1, SONDE_NORM_RMS, SONDE_DTYPE_F32, false, false, 0.0f, 0.0 },
        { 5, 17, SONDE_NORM_LAYER, SONDE_DTYPE_F32, true, true, 0.0f, 0.0 },
        { 5, 31, SONDE_NORM_LAYER, SONDE_DTYPE_F16, true, false, 0.0f, 1000.0 },
        { 3, 64, SONDE_NORM_RMS, SONDE_DTYPE_BF16, true, false, 1.0f, 0.0 },
        { 40, 49, SONDE_NORM_RMS, SONDE_DTYPE_F32, true, true, 0.0f, 3.0 },
        { 300, 333, SONDE_NORM_LAYER, SONDE_DTYPE_F16, true, true, 0.0f, -20.0 },
        { 2, 48, SONDE_NORM_LAYER, SONDE_DTYPE_F32, false, true, 0.0f, 0.0 },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        check_norm(*state, &cases[i], i);
    }
}

struct rotary_case {
    int64_t n_rows, n_heads, d_head, dims, first;
    enum sonde_rotary_style style;
};

static void check_rotary(struct contexts *contexts, const struct rotary_case *c, uint64_t stream)
{
    struct sonde_rng rng = sonde_rng_make(SONDE_SEED_DEFAULT, stream);
    const int64_t n = c->n_rows * c->n_heads * c->d_head, n_pairs = c->dims / 2;
    const int64_t n_positions = c->first + c->n_rows;
    struct guarded x = guarded_normal(&rng, n, 1.0);
    struct guarded cosines = guarded_new(n_positions * n_pairs);
    struct guarded sines = guarded_new(n_positions * n_pairs);
    double inv_freq[64];
    for (int64_t i = 0; i < n_pairs; i++) {
        inv_freq[i] = pow(10000.0, -2.0 * (double)i / (double)c->dims);
    }
    sonde_rotary_fill(cosines.data, sines.data, n_positions, c->dims, inv_freq, 1.0);
    double *want = zeros(n), *bound = zeros(n);
    for (int64_t i = 0; i < n; i++) {
        const int64_t e = i % c->d_head, t = i / c->d_head / c->n_heads;
        want[i] = (double)x.data[i];
        if (e >= c->dims) {
            continue;
        }
        const bool half = c->style == SONDE_ROTARY_HALF;
        const int64_t pair = half ? e % n_pairs : e / 2;
        const bool is_second = half ? e >= n_pairs : e % 2 == 1;
        const int64_t other = is_second ? i - (half ? n_pairs : 1) : i + (half ? n_pairs : 1);
        /* Independent of the table: the rotation by position * inv_freq. The table rounds its
         * entries, the product and the sum round once each; the angle's own rounding is a double's.
         */
        const double angle = (double)(c->first + t) * inv_freq[pair];
        const double a = (double)x.data[i] * cos(angle);
        const double b = (double)x.data[other] * sin(angle) * (is_second ? 1.0 : -1.0);
        want[i] = a + b;
        bound[i] = gamma_bound(3.0) * (fabs(a) + fabs(b));
    }
    const struct sonde_rotary_table table = { .style = c->style,
                                              .n_positions = n_positions,
                                              .dims = c->dims,
                                              .cos = cosines.data,
                                              .sin = sines.data };
    float *first = NULL;
    for (int i = 0; i < N_CONTEXTS; i++) {
        struct guarded y = guarded_new(n);
        sonde_op_rotary(
            &contexts->each[i], sonde_tensor_3d(y.data, c->n_rows, c->n_heads, c->d_head),
            sonde_tensor_3d(x.data, c->n_rows, c->n_heads, c->d_head), &table, c->first);
        check_bounds("rotary", y.data, want, bound, n);
        first = first ? first : copy_floats(y.data, n);
        check_bits("rotary with a pool", y.data, first, n);
        guarded_free(&y);
    }
    const struct sonde_tensor xt = sonde_tensor_3d(x.data, c->n_rows, c->n_heads, c->d_head);
    sonde_op_rotary(&contexts->each[0], xt, xt, &table, c->first);
    check_bits("rotary in place", x.data, first, n);
    guarded_free(&x);
    guarded_free(&cosines);
    guarded_free(&sines);
    free(want);
    free(bound);
    free(first);
}

static void test_rotary(void **state)
{
    static const struct rotary_case cases[] = {
        { 0, 2, 8, 8, 0, SONDE_ROTARY_HALF },
        { 1, 1, 2, 2, 0, SONDE_ROTARY_HALF },
        { 5, 3, 8, 8, 0, SONDE_ROTARY_HALF },
        { 5, 3, 8, 8, 2, SONDE_ROTARY_INTERLEAVED },
        { 7, 2, 20, 6, 1000, SONDE_ROTARY_HALF },
        { 7, 2, 20, 6, 3, SONDE_ROTARY_INTERLEAVED },
        { 9, 1, 5, 0, 0, SONDE_ROTARY_HALF },
        { 130, 12, 64, 64, 9, SONDE_ROTARY_HALF },
        { 130, 9, 65, 64, 0, SONDE_ROTARY_INTERLEAVED },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        check_rotary(*state, &cases[i], 50 + i);
    }
}

static void test_rotary_fill_factor(void **state)
{
    (void)state;
    const double inv_freq[2] = { 1.0, 0.25 };
    float cosines[6], sines[6];
    sonde_rotary_fill(cosines, sines, 3, 4, inv_freq, 1.5);
    for (int p = 0; p < 3; p++) {
        for (int i = 0; i < 2; i++) {
            const double angle = p * inv_freq[i];
            assert_true(cosines[p * 2 + i] == (float)(1.5 * cos(angle)));
            assert_true(sines[p * 2 + i] == (float)(1.5 * sin(angle)));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_norm),
        cmocka_unit_test(test_rotary),
        cmocka_unit_test(test_rotary_fill_factor),
    };
    return cmocka_run_group_tests(tests, contexts_setup, contexts_teardown);
}
