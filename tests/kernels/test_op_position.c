/* Positions: the published slopes and buckets, the tables against long double, and the gradient of
 * a bucketed bias. */
#include <string.h>

#include "tests/kernels/vjp_check.h"
#include "tests/support/check.h"

/* Press et al. 2022: 1/2, 1/4, .. for 8 heads, 2^-0.5, 2^-1, .. for 16; for others what their code
 * gives, here by hand for 6 (those of 4, then the first and third of 8) and 12. */
static void test_alibi(void **state)
{
    struct contexts *contexts = *state;
    struct sonde_op_context ctx = contexts->each[0];
    static const struct {
        int64_t n;
        double power[16]; /* the slope is 2^-power */
    } cases[] = {
        { 1, { 8 } },
        { 6, { 2, 4, 6, 8, 1, 3 } },
        { 8, { 1, 2, 3, 4, 5, 6, 7, 8 } },
        { 12, { 1, 2, 3, 4, 5, 6, 7, 8, 0.5, 1.5, 2.5, 3.5 } },
        { 16, { 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5, 5.5, 6, 6.5, 7, 7.5, 8 } },
    };
    enum { Q = 5, S = 7, W = Q + S - 1 };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct guarded bias = guarded_new(cases[i].n * W);
        sonde_op_alibi(&ctx, sonde_tensor_2d(bias.data, cases[i].n, W), Q);
        for (int64_t h = 0; h < cases[i].n; h++) {
            for (int64_t q = 0; q < Q; q++) {
                for (int64_t s = 0; s < S; s++) {
                    const double want = -exp2(-cases[i].power[h]) * fabs((double)(s - q));
                    const double got = (double)bias.data[h * W + s - q + Q - 1];
                    check_close(got, want, 2 * UNIT * fabs(want));
                }
            }
        }
        guarded_free(&bias);
    }
}

/* Buckets of distances 0, 1, 2, .. as transformers' T5 gives them: run lengths. */
static void test_buckets(void **state)
{
    struct contexts *contexts = *state;
    struct sonde_op_context ctx = contexts->each[0];
    enum { N = 200 };
    /* 32 buckets, 128: causal, first distances of buckets 16..31; both ways, of 8..15. */
    static const int causal_first[] = { 16, 19, 21, 24, 27, 31, 35, 40,
                                        46, 52, 59, 67, 77, 87, 99, 113 };
    static const int both_first[] = { 8, 12, 16, 23, 32, 46, 64, 91 };
    float table[32];
    for (int b = 0; b < 32; b++) {
        table[b] = (float)b;
    }
    const struct sonde_weight weight = { table, SONDE_DTYPE_F32, 32, 1, false };
    struct guarded one = guarded_new(N), two = guarded_new(2 * N - 1);
    sonde_op_bucket_bias(&ctx, sonde_tensor_2d(one.data, 1, N), &weight, N, true, 128);
    sonde_op_bucket_bias(&ctx, sonde_tensor_2d(two.data, 1, 2 * N - 1), &weight, N, false, 128);
    for (int d = 0; d < N; d++) {
        int causal = d < 16 ? d : 15, both = d < 8 ? d : 7;
        for (int i = 0; i < 16; i++) {
            causal += d >= causal_first[i];
        }
        for (int i = 0; i < 8; i++) {
            both += d >= both_first[i];
        }
        assert_int_equal((int)one.data[N - 1 - d], causal);
        assert_int_equal((int)two.data[N - 1 - d], both);
        if (d > 0) {
            assert_int_equal((int)two.data[N - 1 + d], both + 16);
        }
    }
    guarded_free(&one);
    guarded_free(&two);
}

struct bucket_shape {
    int64_t n_buckets, n_heads, n_queries, n_columns, max_distance;
    bool causal;
};

static float *run_buckets(const struct vjp_case *c, struct sonde_op_context *ctx, float *const *x,
                          float *y)
{
    const struct bucket_shape *s = c->arg;
    (void)x;
    sonde_op_bucket_bias(ctx, sonde_tensor_2d(y, s->n_heads, s->n_columns), &c->weight[0],
                         s->n_queries, s->causal, s->max_distance);
    return y;
}

/* The rule of T5 in the words of its paper's code: nothing in common with the op but the formula.
 */
static void bucket_reference(const struct vjp_case *c, double *const *x, double *y)
{
    const struct bucket_shape *s = c->arg;
    for (int64_t i = 0; i < s->n_columns; i++) {
        int64_t relative = i - (s->n_queries - 1), n = s->n_buckets, bucket = 0;
        if (!s->causal) {
            n /= 2;
            bucket += relative > 0 ? n : 0;
            relative = relative < 0 ? -relative : relative;
        } else {
            relative = relative < 0 ? -relative : 0;
        }
        const int64_t exact = n / 2;
        int64_t large = n - 1;
        if (relative >= exact && exact > 0) {
            const double part = log((double)relative / (double)exact) /
                                log((double)s->max_distance / (double)exact);
            large = exact + (int64_t)(part * (double)(n - exact) + 1e-7);
            large = large < n - 1 ? large : n - 1;
        }
        bucket += relative < exact ? relative : exact > 0 ? large : 0;
        for (int64_t h = 0; h < s->n_heads; h++) {
            y[h * s->n_columns + i] = x[0][bucket * s->n_heads + h];
        }
    }
}

static void test_bucket_gradient(void **state)
{
    static const struct bucket_shape shapes[] = {
        { 32, 3, 40, 40, 128, true },  { 32, 2, 30, 59, 60, false }, { 6, 1, 50, 50, 20, true },
        { 10, 2, 25, 49, 12, false },  { 2, 2, 9, 17, 8, false },    { 1, 1, 5, 5, 8, true },
        { 8, 2, 150, 160, 128, true },
    };
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        const struct bucket_shape *s = &shapes[i];
        struct sonde_rng rng = sonde_rng_make(SONDE_SEED_DEFAULT, 500 + i);
        struct guarded table = guarded_normal(&rng, s->n_buckets * s->n_heads, 1.0);
        struct vjp_case c = { .name = "bucket bias",
                              .n_inputs = 1,
                              .value = { table.data },
                              .n = { table.n },
                              .n_out = s->n_heads * s->n_columns,
                              .op = run_buckets,
                              .reference = bucket_reference,
                              .arg = s,
                              .roundings = (double)s->n_columns };
        c.weight[0] =
            (struct sonde_weight){ table.data, SONDE_DTYPE_F32, s->n_buckets, s->n_heads, false };
        vjp_check(*state, &c, 600 + i);
        guarded_free(&table);
    }
}

/* Against long double: the angle is rounded once in double (its error times the position), the sine
 * and the store once each. And a later start gives the same rows. */
static void test_tables(void **state)
{
    (void)state;
    static const int64_t widths[] = { 1, 2, 7, 64 };
    enum { N = 3000, FIRST = 700 };
    for (size_t i = 0; i < sizeof(widths) / sizeof(widths[0]); i++) {
        const int64_t D = widths[i];
        struct guarded table = guarded_new(N * D), later = guarded_new((N - FIRST) * D);
        sonde_sinusoidal_fill(table.data, 0, N, D, 10000.0);
        sonde_sinusoidal_fill(later.data, FIRST, N - FIRST, D, 10000.0);
        check_bits("later rows", later.data, table.data + FIRST * D, later.n);
        for (int64_t t = 0; t < N; t++) {
            for (int64_t c = 0; c < D; c++) {
                const long double angle =
                    (long double)t * powl(10000.0L, -(long double)(c - c % 2) / (long double)D);
                const double want = (double)(c % 2 ? cosl(angle) : sinl(angle));
                check_close(table.data[t * D + c], want,
                            UNIT * fabs(want) + 4 * 0x1p-53 * (double)angle + 0x1p-52);
            }
        }
        sonde_cosine_fill(table.data, 3, N, D);
        for (int64_t t = 0; t < N * D; t++) {
            check_close(table.data[t], cos(3.14159265358979323846 * (double)(3 + t / D)), 1e-11);
        }
        guarded_free(&table);
        guarded_free(&later);
    }
}

int main(void)
{
    const struct CMUnitTest position_tests[] = {
        cmocka_unit_test(test_alibi),
        cmocka_unit_test(test_buckets),
        cmocka_unit_test(test_bucket_gradient),
        cmocka_unit_test(test_tables),
    };
    return cmocka_run_group_tests(position_tests, contexts_setup, contexts_teardown);
}
