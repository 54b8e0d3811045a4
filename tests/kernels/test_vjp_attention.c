/* Vector-Jacobian product of attention: causal or not, grouped, windowed, capped, biased. */
#include "tests/kernels/vjp_check.h"
#include "tests/support/check.h"

struct shape {
    int64_t T, S, H, G, E, E_v;
    bool causal;
    int64_t window, first;
    float softcap;
    bool bias, wanted;
    int64_t n_relative;
};

static int64_t bias_width(const struct shape *s)
{
    return s->first + s->T + (s->causal ? 0 : s->S - 1);
}

static float *run_attention(const struct vjp_case *c, struct sonde_op_context *ctx, float *const *x,
                            float *y)
{
    const struct shape *s = c->arg;
    struct sonde_attention_args args = { .scale = 0.4f,
                                         .causal = s->causal,
                                         .window = s->window,
                                         .first = s->first,
                                         .softcap = s->softcap,
                                         .relative = s->n_relative ? &c->weight[4] : NULL };
    if (s->bias) {
        args.bias = sonde_tensor_2d(x[3], s->H, bias_width(s));
    }
    float *maps = calloc((size_t)(2 * s->H * s->T * s->S) + 1, sizeof(*maps));
    if (s->wanted) {
        args.scores = sonde_tensor_3d(maps, s->H, s->T, s->S);
        args.pattern = sonde_tensor_3d(maps + s->H * s->T * s->S, s->H, s->T, s->S);
    }
    sonde_op_attention(
        ctx, sonde_tensor_3d(y, s->T, s->H, s->E_v), sonde_tensor_3d(x[0], s->T, s->H, s->E),
        sonde_tensor_3d(x[1], s->S, s->G, s->E), sonde_tensor_3d(x[2], s->S, s->G, s->E_v), &args);
    free(maps);
    return y;
}

/* What the relative table adds to element e of a key at this distance. */
static double shift(const struct shape *s, double *const *x, int64_t distance, int64_t e)
{
    const int64_t low = s->causal ? 1 - s->n_relative : -(s->n_relative / 2);
    const int64_t high = s->causal ? 0 : s->n_relative / 2;
    const int64_t held = distance < low ? low : distance > high ? high : distance;
    return s->n_relative ? x[4][(held - low) * s->E + e] : 0.0;
}

static double score(const struct shape *s, double *const *x, int64_t h, int64_t t, int64_t key)
{
    const int64_t at = s->first + t, g = h / (s->H / s->G);
    double dot = 0.0;
    if (s->causal && (key > at || (s->window > 0 && key <= at - s->window))) {
        return -(double)INFINITY;
    }
    for (int64_t e = 0; e < s->E; e++) {
        dot += x[0][(t * s->H + h) * s->E + e] *
               (x[1][(key * s->G + g) * s->E + e] + shift(s, x, key - at, e));
    }
    dot *= (double)0.4f;
    dot = s->softcap > 0.0f ? (double)s->softcap * tanh(dot / (double)s->softcap) : dot;
    return dot + (s->bias ? x[3][h * bias_width(s) + key - at + s->first + s->T - 1] : 0.0);
}

static void attention_reference(const struct vjp_case *c, double *const *x, double *y)
{
    const struct shape *s = c->arg;
    for (int64_t h = 0; h < s->H; h++) {
        for (int64_t t = 0; t < s->T; t++) {
            double *z = y + (t * s->H + h) * s->E_v, sum = 0.0;
            for (int64_t key = 0; key < s->S; key++) {
                const double weight = exp(score(s, x, h, t, key));
                const double *v = x[2] + (key * s->G + h / (s->H / s->G)) * s->E_v;
                sum += weight;
                for (int64_t e = 0; e < s->E_v; e++) {
                    z[e] += weight * v[e];
                }
            }
            for (int64_t e = 0; e < s->E_v; e++) {
                z[e] /= sum;
            }
        }
    }
}

static void test_attention(void **state)
{
    static const struct shape shapes[] = {
        { 1, 1, 1, 1, 1, 1, true, 0, 0, 0.0f, false, false, 0 },
        { 5, 5, 2, 2, 4, 4, true, 0, 0, 0.0f, false, false, 0 },
        { 5, 5, 4, 2, 3, 5, true, 0, 0, 0.0f, false, true, 0 },
        { 4, 7, 6, 1, 3, 3, true, 0, 3, 0.0f, false, false, 0 },
        { 6, 6, 3, 3, 4, 4, false, 0, 0, 0.0f, false, false, 0 },
        { 9, 9, 2, 1, 4, 2, true, 3, 0, 0.0f, true, true, 0 },
        { 6, 6, 2, 2, 4, 4, true, 0, 0, 2.0f, false, false, 0 },
        { 6, 6, 4, 2, 4, 4, false, 0, 0, 1.5f, true, true, 0 },
        { 70, 70, 2, 1, 3, 3, true, 0, 0, 0.0f, false, false, 0 },
        { 67, 67, 2, 2, 2, 2, true, 5, 0, 3.0f, true, false, 0 },
        { 6, 6, 2, 1, 3, 3, true, 0, 0, 0.0f, false, false, 3 },
        { 6, 6, 4, 2, 3, 2, false, 0, 0, 0.0f, true, true, 5 },
        { 67, 67, 2, 2, 2, 2, true, 0, 0, 2.0f, true, false, 9 },
        { 5, 8, 2, 2, 3, 3, true, 4, 3, 0.0f, false, false, 40 },
        { 4, 4, 2, 2, 3, 3, false, 0, 0, 0.0f, false, false, 1 },
    };
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        const struct shape *s = &shapes[i];
        struct sonde_rng rng = sonde_rng_make(SONDE_SEED_DEFAULT, i);
        struct vjp_case c = { .name = "attention",
                              .n_inputs = s->n_relative ? 5
                                          : s->bias     ? 4
                                                        : 3,
                              .arg = s };
        c.n[0] = s->T * s->H * s->E;
        c.n[1] = s->S * s->G * s->E;
        c.n[2] = s->S * s->G * s->E_v;
        c.n[3] = s->bias ? s->H * bias_width(s) : 1;
        c.n[4] = s->n_relative * s->E;
        c.n_out = s->T * s->H * s->E_v;
        struct guarded x[VJP_INPUTS];
        for (int j = 0; j < VJP_INPUTS; j++) {
            x[j] = guarded_normal(&rng, c.n[j], 1.0);
            c.value[j] = x[j].data;
        }
        if (s->n_relative) {
            c.weight[4] =
                (struct sonde_weight){ x[4].data, SONDE_DTYPE_F32, s->n_relative, s->E, false };
        }
        c.op = run_attention;
        c.reference = attention_reference;
        /* A key's gradient sums T queries of H / G heads; before it the scores (E products, a tanh
         * and an exponential of some units), the pattern and dP (E_v products). */
        c.roundings = 4.0 * (double)(s->T * s->H / s->G + s->E + s->E_v + 12);
        if (s->n_relative || s->bias) { /* an entry of a table sums all pairs of its distance */
            c.roundings += 4.0 * (double)(s->T * (s->n_relative ? s->H : 1));
        }
        vjp_check(*state, &c, i);
        for (int j = 0; j < VJP_INPUTS; j++) {
            guarded_free(&x[j]);
        }
    }
}

/* The gradient of a map: z = P v, so dL/dP = dz v^T where the key is seen; and with one row
 * dL/dS = P (dP - sum dP P). Closed forms in double from the forward's own pattern. */
static void test_map_gradients(void **state)
{
    struct contexts *contexts = *state;
    enum { T = 5, H = 4, G = 2, E = 3 };
    struct sonde_rng rng = sonde_rng_make(SONDE_SEED_DEFAULT, 77);
    struct sonde_error error = { 0 };
    struct sonde_op_context ctx = contexts->each[0];
    struct guarded q = guarded_normal(&rng, T * H * E, 1.0),
                   k = guarded_normal(&rng, T * G * E, 1.0);
    struct guarded v = guarded_normal(&rng, T * G * E, 1.0),
                   dz = guarded_normal(&rng, T * H * E, 1.0);
    struct guarded z = guarded_new(T * H * E), p = guarded_new(H * T * T);
    struct guarded scores = guarded_new(H * T * T);
    check_ok(sonde_tape_create(&ctx.tape, 0, &error), &error);
    const struct sonde_attention_args args = { .scale = 0.5f,
                                               .causal = true,
                                               .scores = sonde_tensor_3d(scores.data, H, T, T),
                                               .pattern = sonde_tensor_3d(p.data, H, T, T) };
    sonde_op_attention(&ctx, sonde_tensor_3d(z.data, T, H, E), sonde_tensor_3d(q.data, T, H, E),
                       sonde_tensor_3d(k.data, T, G, E), sonde_tensor_3d(v.data, T, G, E), &args);
    const int64_t p_value = sonde_tape_watch(ctx.tape, p.data, H * T * T);
    const int64_t s_value = sonde_tape_watch(ctx.tape, scores.data, H * T * T);
    const int64_t z_value = sonde_tape_watch(ctx.tape, z.data, T * H * E);
    check_ok(sonde_tape_seed(ctx.tape, z_value, dz.data, &error), &error);
    check_ok(sonde_tape_backward(ctx.tape, NULL, &error), &error);
    const float *dp = sonde_tape_gradient(ctx.tape, p_value);
    const float *ds = sonde_tape_gradient(ctx.tape, s_value);
    assert_non_null(dp);
    assert_non_null(ds);
    for (int row = 0; row < H * T; row++) {
        const int h = row / T, t = row % T;
        double want[T] = { 0 }, along = 0.0;
        for (int s = 0; s <= t; s++) {
            for (int e = 0; e < E; e++) {
                want[s] += (double)dz.data[(t * H + h) * E + e] *
                           (double)v.data[(s * G + h / (H / G)) * E + e];
            }
            along += want[s] * (double)p.data[row * T + s];
        }
        for (int s = 0; s < T; s++) {
            const double weight = (double)p.data[row * T + s];
            check_close(dp[row * T + s], want[s], 40.0 * UNIT);
            check_close(ds[row * T + s], weight * (want[s] - along), 80.0 * UNIT);
        }
    }
    sonde_tape_destroy(&ctx.tape);
    struct guarded *const all[] = { &q, &k, &v, &dz, &z, &p, &scores };
    for (int i = 0; i < 7; i++) {
        guarded_free(all[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attention),
        cmocka_unit_test(test_map_gradients),
    };
    return cmocka_run_group_tests(tests, contexts_setup, contexts_teardown);
}
