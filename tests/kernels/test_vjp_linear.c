/* Vector-Jacobian products of the ops that multiply by a weight. */
#include <string.h>

#include "tests/kernels/vjp_check.h"
#include "tests/support/check.h"

struct shape {
    int64_t T, in, out, heads;
    enum sonde_dtype dtype;
    bool transposed, bias;
    float cap;
    const int32_t *ids;
};

static double element(const struct sonde_weight *w, const double *value, int64_t o, int64_t i)
{
    return value[w->transposed ? i * w->columns + o : o * w->columns + i];
}

static float *run_linear(const struct vjp_case *c, struct sonde_op_context *ctx, float *const *x,
                         float *y)
{
    const struct shape *s = c->arg;
    sonde_op_unembed(ctx, sonde_tensor_2d(y, s->T, s->out), sonde_tensor_2d(x[0], s->T, s->in),
                     &c->weight[1], s->bias ? &c->weight[2] : NULL, s->cap);
    return y;
}

static void linear_reference(const struct vjp_case *c, double *const *x, double *y)
{
    const struct shape *s = c->arg;
    for (int64_t t = 0; t < s->T; t++) {
        for (int64_t o = 0; o < s->out; o++) {
            double sum = s->bias ? x[2][o] : 0.0;
            for (int64_t i = 0; i < s->in; i++) {
                sum += x[0][t * s->in + i] * element(&c->weight[1], x[1], o, i);
            }
            y[t * s->out + o] = s->cap > 0.0f ? (double)s->cap * tanh(sum / (double)s->cap) : sum;
        }
    }
}

static float *run_heads(const struct vjp_case *c, struct sonde_op_context *ctx, float *const *x,
                        float *y)
{
    const struct shape *s = c->arg;
    sonde_op_head_result(ctx, sonde_tensor_3d(y, s->T, s->heads, s->out),
                         sonde_tensor_3d(x[0], s->T, s->heads, s->in / s->heads), &c->weight[1]);
    return y;
}

static void heads_reference(const struct vjp_case *c, double *const *x, double *y)
{
    const struct shape *s = c->arg;
    for (int64_t t = 0; t < s->T; t++) {
        for (int64_t i = 0; i < s->in; i++) {
            for (int64_t o = 0; o < s->out; o++) {
                y[(t * s->heads + i / (s->in / s->heads)) * s->out + o] +=
                    x[0][t * s->in + i] * element(&c->weight[1], x[1], o, i);
            }
        }
    }
}

/* A gradient is a sum of T, in or out products: gamma(n) of at most 5 standard deviations of
 * unit normals each; the softcap's inner value carries the forward sum's roundings. */
static void check_shape(struct contexts *contexts, const struct shape *s, uint64_t stream)
{
    struct sonde_rng rng = sonde_rng_make(SONDE_SEED_DEFAULT, stream);
    struct guarded x = guarded_normal(&rng, s->T * s->in, 1.0);
    float *w_wide, *b_wide;
    struct vjp_case c = { .name = s->heads ? "head_result" : "linear", .arg = s };
    c.weight[1] = random_weight(&rng, s->dtype, s->transposed ? s->in : s->out,
                                s->transposed ? s->out : s->in, s->transposed, 1.0, &w_wide);
    c.weight[2] = random_weight(&rng, s->dtype, 1, s->out, false, 1.0, &b_wide);
    c.n_inputs = s->bias ? 3 : 2;
    c.value[0] = x.data;
    c.value[1] = w_wide;
    c.value[2] = b_wide;
    c.n[0] = s->T * s->in;
    c.n[1] = s->in * s->out;
    c.n[2] = s->out;
    c.n_out = s->T * s->out * (s->heads ? s->heads : 1);
    c.op = s->heads ? run_heads : run_linear;
    c.reference = s->heads ? heads_reference : linear_reference;
    c.roundings = 5.0 * (double)(s->T + s->in + s->out * (s->heads ? s->heads : 1));
    vjp_check(contexts, &c, stream);
    guarded_free(&x);
    free(w_wide);
    free(b_wide);
}

static void test_linear(void **state)
{
    static const struct shape shapes[] = {
        { 1, 1, 1, 0, SONDE_DTYPE_F32, false, true, 0.0f, NULL },
        { 5, 7, 9, 0, SONDE_DTYPE_F32, false, true, 0.0f, NULL },
        { 5, 7, 9, 0, SONDE_DTYPE_F32, true, true, 0.0f, NULL },
        { 6, 11, 4, 0, SONDE_DTYPE_BF16, false, true, 0.0f, NULL },
        { 6, 11, 4, 0, SONDE_DTYPE_F16, true, false, 0.0f, NULL },
        { 3, 8, 13, 0, SONDE_DTYPE_F32, false, true, 4.0f, NULL },
        { 70, 9, 66, 0, SONDE_DTYPE_F32, false, false, 0.0f, NULL },
        { 65, 70, 6, 0, SONDE_DTYPE_F16, true, true, 0.0f, NULL },
        { 2, 260, 515, 0, SONDE_DTYPE_F32, false, true, 0.0f, NULL },
        { 2, 260, 515, 0, SONDE_DTYPE_BF16, true, true, 0.0f, NULL },
    };
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        check_shape(*state, &shapes[i], i);
    }
}

static void test_head_result(void **state)
{
    static const struct shape shapes[] = {
        { 4, 6, 5, 3, SONDE_DTYPE_F32, false, false, 0.0f, NULL },
        { 4, 6, 5, 2, SONDE_DTYPE_F32, true, false, 0.0f, NULL },
        { 3, 300, 7, 4, SONDE_DTYPE_F16, false, false, 0.0f, NULL },
        { 3, 300, 7, 4, SONDE_DTYPE_BF16, true, false, 0.0f, NULL },
    };
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        check_shape(*state, &shapes[i], 20 + i);
    }
}

static float *run_embedding(const struct vjp_case *c, struct sonde_op_context *ctx, float *const *x,
                            float *y)
{
    const struct shape *s = c->arg;
    (void)x;
    sonde_op_embedding(ctx, sonde_tensor_2d(y, s->T, s->out), &c->weight[0], s->ids);
    return y;
}

static void embedding_reference(const struct vjp_case *c, double *const *x, double *y)
{
    const struct shape *s = c->arg;
    for (int64_t t = 0; t < s->T; t++) {
        memcpy(y + t * s->out, x[0] + s->ids[t] * s->out, (size_t)s->out * sizeof(*y));
    }
}

static void test_embedding(void **state)
{
    static const int32_t ids[] = { 3, 0, 3, 3, 4, 1 };
    static const struct shape s = { 6, 5, 7, 0, SONDE_DTYPE_BF16, false, false, 0.0f, ids };
    struct sonde_rng rng = sonde_rng_make(SONDE_SEED_DEFAULT, 40);
    struct vjp_case c = { .name = "embedding", .n_inputs = 1, .arg = &s, .n_out = 42 };
    c.weight[0] = random_weight(&rng, s.dtype, 5, 7, false, 1.0, &c.value[0]);
    c.n[0] = 35;
    c.op = run_embedding;
    c.reference = embedding_reference;
    c.roundings = 3.0;
    vjp_check(*state, &c, 40);
    free(c.value[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_linear),
        cmocka_unit_test(test_head_result),
        cmocka_unit_test(test_embedding),
    };
    return cmocka_run_group_tests(tests, contexts_setup, contexts_teardown);
}
