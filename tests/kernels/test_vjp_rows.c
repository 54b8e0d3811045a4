/* Vector-Jacobian products of norms, rotary positions, softmax and losses. */
#include <string.h>

#include "core/tensor/op_loss.h"
#include "tests/kernels/vjp_check.h"
#include "tests/support/check.h"

struct shape {
    int64_t T, D;
    enum sonde_norm_kind norm;
    bool gain, bias, in_place;
    float gain_offset;
    enum sonde_dtype dtype;
    bool log; /* softmax */
    int64_t heads, dims, first;
    enum sonde_rotary_style style;
    const int32_t *targets;
};

static const double eps = 1e-2;

static float *run_norm(const struct vjp_case *c, struct sonde_op_context *ctx, float *const *x,
                       float *y)
{
    const struct shape *s = c->arg;
    const struct sonde_norm_args args = { .kind = s->norm,
                                          .eps = eps,
                                          .gain = s->gain ? &c->weight[1] : NULL,
                                          .bias = s->bias ? &c->weight[2] : NULL,
                                          .gain_offset = s->gain_offset };
    y = s->in_place ? x[0] : y;
    sonde_op_norm(ctx, sonde_tensor_2d(y, s->T, s->D), sonde_tensor_2d(x[0], s->T, s->D), &args);
    return y;
}

static void norm_reference(const struct vjp_case *c, double *const *x, double *y)
{
    const struct shape *s = c->arg;
    for (int64_t t = 0; t < s->T; t++) {
        const double *row = x[0] + t * s->D;
        double mean = 0.0, square = 0.0;
        for (int64_t d = 0; d < s->D && s->norm == SONDE_NORM_LAYER; d++) {
            mean += row[d] / (double)s->D;
        }
        for (int64_t d = 0; d < s->D; d++) {
            square += (row[d] - mean) * (row[d] - mean) / (double)s->D;
        }
        for (int64_t d = 0; d < s->D; d++) {
            const double gain = s->gain ? x[1][d] + (double)s->gain_offset : 1.0;
            y[t * s->D + d] =
                (row[d] - mean) / sqrt(square + eps) * gain + (s->bias ? x[2][d] : 0.0);
        }
    }
}

static void test_norm(void **state)
{
    static const struct shape shapes[] = {
        { .T = 1,
          .D = 2,
          .norm = SONDE_NORM_LAYER,
          .dtype = SONDE_DTYPE_F32,
          .gain = true,
          .bias = true },
        { .T = 5,
          .D = 17,
          .norm = SONDE_NORM_LAYER,
          .dtype = SONDE_DTYPE_F32,
          .gain = true,
          .bias = true },
        { .T = 5,
          .D = 17,
          .norm = SONDE_NORM_LAYER,
          .dtype = SONDE_DTYPE_F16,
          .gain = true,
          .bias = true,
          .in_place = true },
        { .T = 4,
          .D = 9,
          .norm = SONDE_NORM_RMS,
          .dtype = SONDE_DTYPE_BF16,
          .gain = true,
          .in_place = true,
          .gain_offset = 1.0f },
        { .T = 7,
          .D = 12,
          .norm = SONDE_NORM_RMS,
          .dtype = SONDE_DTYPE_F32,
          .gain = true,
          .bias = true },
        { .T = 3, .D = 8, .norm = SONDE_NORM_LAYER, .dtype = SONDE_DTYPE_F32 },
    };
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        const struct shape *s = &shapes[i];
        struct sonde_rng rng = sonde_rng_make(SONDE_SEED_DEFAULT, i);
        struct guarded x = guarded_normal(&rng, s->T * s->D, 1.0);
        struct vjp_case c = { .name = "norm", .arg = s, .n_out = s->T * s->D };
        c.n_inputs = s->bias ? 3 : s->gain ? 2 : 1;
        c.value[0] = x.data;
        c.weight[1] = random_weight(&rng, s->dtype, 1, s->D, false, 1.0, &c.value[1]);
        c.weight[2] = random_weight(&rng, s->dtype, 1, s->D, false, 1.0, &c.value[2]);
        c.n[0] = s->T * s->D;
        c.n[1] = c.n[2] = s->D;
        c.op = run_norm;
        c.reference = norm_reference;
        c.roundings = 4.0; /* all but the result is in double; the gain with its offset rounds */
        vjp_check(*state, &c, i);
        guarded_free(&x);
        free(c.value[1]);
        free(c.value[2]);
    }
}

static float *run_rotary(const struct vjp_case *c, struct sonde_op_context *ctx, float *const *x,
                         float *y)
{
    const struct shape *s = c->arg;
    float cosines[256], sines[256];
    double inv_freq[8];
    for (int i = 0; i < s->dims / 2; i++) {
        inv_freq[i] = pow(100.0, -2.0 * i / (double)s->dims);
    }
    sonde_rotary_fill(cosines, sines, s->first + s->T, s->dims, inv_freq, 1.25);
    const struct sonde_rotary_table table = { s->style, s->first + s->T, s->dims, cosines, sines };
    y = s->in_place ? x[0] : y;
    sonde_op_rotary(ctx, sonde_tensor_3d(y, s->T, s->heads, s->D),
                    sonde_tensor_3d(x[0], s->T, s->heads, s->D), &table, s->first);
    return y;
}

static void rotary_reference(const struct vjp_case *c, double *const *x, double *y)
{
    const struct shape *s = c->arg;
    const bool half = s->style == SONDE_ROTARY_HALF;
    memcpy(y, x[0], (size_t)c->n_out * sizeof(*y));
    for (int64_t row = 0; row < s->T * s->heads; row++) {
        for (int64_t i = 0; i < s->dims / 2; i++) {
            const double angle = (double)(s->first + row / s->heads) *
                                 pow(100.0, -2.0 * (double)i / (double)s->dims);
            const int64_t a = row * s->D + (half ? i : 2 * i);
            const int64_t b = row * s->D + (half ? i + s->dims / 2 : 2 * i + 1);
            y[a] = 1.25 * (x[0][a] * cos(angle) - x[0][b] * sin(angle));
            y[b] = 1.25 * (x[0][b] * cos(angle) + x[0][a] * sin(angle));
        }
    }
}

static void test_rotary(void **state)
{
    static const struct shape shapes[] = {
        { .T = 5, .D = 6, .heads = 2, .dims = 6, .style = SONDE_ROTARY_HALF, .in_place = true },
        { .T = 4, .D = 7, .heads = 3, .dims = 4, .first = 3, .style = SONDE_ROTARY_INTERLEAVED },
        { .T = 3, .D = 5, .heads = 1, .dims = 0, .style = SONDE_ROTARY_HALF },
    };
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        const struct shape *s = &shapes[i];
        struct sonde_rng rng = sonde_rng_make(SONDE_SEED_DEFAULT, 20 + i);
        struct vjp_case c = { .name = "rotary", .arg = s, .n_inputs = 1 };
        c.n[0] = c.n_out = s->T * s->heads * s->D;
        struct guarded x = guarded_normal(&rng, c.n_out, 1.0);
        c.value[0] = x.data;
        c.op = run_rotary;
        c.reference = rotary_reference;
        c.roundings = 8.0; /* the table, two products, two sums: of two terms each */
        vjp_check(*state, &c, 20 + i);
        guarded_free(&x);
    }
}

static float *run_softmax(const struct vjp_case *c, struct sonde_op_context *ctx, float *const *x,
                          float *y)
{
    const struct shape *s = c->arg;
    y = s->in_place ? x[0] : y;
    (s->log ? sonde_op_log_softmax : sonde_op_softmax)(ctx, sonde_tensor_2d(y, s->T, s->D),
                                                       sonde_tensor_2d(x[0], s->T, s->D));
    return y;
}

static double log_sum(const double *x, int64_t n)
{
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++) {
        sum += exp(x[i]);
    }
    return log(sum);
}

static void softmax_reference(const struct vjp_case *c, double *const *x, double *y)
{
    const struct shape *s = c->arg;
    for (int64_t i = 0; i < s->T * s->D; i++) {
        const double value = x[0][i] - log_sum(x[0] + i / s->D * s->D, s->D);
        y[i] = s->log ? value : exp(value);
    }
}

static void loss_reference(const struct vjp_case *c, double *const *x, double *y)
{
    const struct shape *s = c->arg;
    int64_t n = 0;
    for (int64_t t = 0; t < s->T; t++) {
        if (s->targets[t] >= 0) {
            y[0] += log_sum(x[0] + t * s->D, s->D) - x[0][t * s->D + s->targets[t]];
            n++;
        }
    }
    y[0] /= n ? (double)n : 1.0;
}

static float *run_loss(const struct vjp_case *c, struct sonde_op_context *ctx, float *const *x,
                       float *y)
{
    const struct shape *s = c->arg;
    double loss = 0.0, want = 0.0, *row = zeros(c->n[0]);
    for (int64_t i = 0; i < c->n[0]; i++) {
        row[i] = (double)x[0][i];
    }
    sonde_op_cross_entropy(ctx, &loss, sonde_tensor_2d(x[0], s->T, s->D), s->targets);
    c->reference(c, &row, &want);
    check_close(loss, want, 8.0 * UNIT); /* the exponentials' two units, averaged */
    free(row);
    if (ctx->tape) { /* the loss is a double: a value of one element, seen as a float here */
        const struct sonde_tensor seen = sonde_tensor_1d((float *)(void *)&loss, 1);
        sonde_tape_alias(ctx, y, &seen);
    }
    y[0] = (float)loss;
    return y;
}

static float *run_pick(const struct vjp_case *c, struct sonde_op_context *ctx, float *const *x,
                       float *y)
{
    const struct shape *s = c->arg;
    double loss = 0.0;
    sonde_op_pick_logit(ctx, &loss, sonde_tensor_2d(x[0], s->T, s->D), 1, 2);
    assert_true(loss == (double)x[0][s->D + 2]);
    if (ctx->tape) {
        const struct sonde_tensor seen = sonde_tensor_1d((float *)(void *)&loss, 1);
        sonde_tape_alias(ctx, y, &seen);
    }
    y[0] = (float)loss;
    return y;
}

static void pick_reference(const struct vjp_case *c, double *const *x, double *y)
{
    const struct shape *s = c->arg;
    y[0] = x[0][s->D + 2];
}

static void test_softmax_and_losses(void **state)
{
    static const int32_t targets[] = { 3, -1, 0, 8 }, none[] = { -1, -1, -1, -1 };
    static const struct shape shapes[] = {
        { .T = 4, .D = 9 },
        { .T = 4, .D = 9, .in_place = true },
        { .T = 4, .D = 9, .log = true },
        { .T = 3, .D = 1, .log = true, .in_place = true },
        { .T = 4, .D = 9, .targets = targets },
        { .T = 4, .D = 9, .targets = none },
    };
    for (size_t i = 0; i <= sizeof(shapes) / sizeof(shapes[0]); i++) {
        const bool pick = i == sizeof(shapes) / sizeof(shapes[0]);
        const struct shape *s = pick ? &shapes[0] : &shapes[i];
        struct sonde_rng rng = sonde_rng_make(SONDE_SEED_DEFAULT, 30 + i);
        struct vjp_case c = { .name = pick ? "logit" : "softmax or loss", .arg = s, .n_inputs = 1 };
        c.n[0] = s->T * s->D;
        c.n_out = s->targets || pick ? 1 : c.n[0];
        struct guarded x = guarded_normal(&rng, c.n[0], 2.0);
        c.value[0] = x.data;
        c.op = pick ? run_pick : s->targets ? run_loss : run_softmax;
        c.reference = pick ? pick_reference : s->targets ? loss_reference : softmax_reference;
        c.roundings = 20.0; /* the exponential's 2 units times the sum of |dy| <= 9 values */
        vjp_check(*state, &c, 30 + i);
        guarded_free(&x);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_norm),
        cmocka_unit_test(test_rotary),
        cmocka_unit_test(test_softmax_and_losses),
    };
    return cmocka_run_group_tests(tests, contexts_setup, contexts_teardown);
}
