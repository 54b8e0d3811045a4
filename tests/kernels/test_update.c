/* Update rules and rates on a plateau against PyTorch, closed forms, and what one element may not
 * do to another. */
#include <string.h>

#include "core/tensor/plateau.h"
#include "core/tensor/update.h"
#include "tests/golden/torch/torch_trace.h"
#include "tests/kernels/kernel_check.h"
#include "tests/support/check.h"

struct named_rule {
    const char *name;
    struct sonde_update_rule rule;
};

/* What make_traces.py gave to PyTorch; what it left out is PyTorch's default, as here. */
static const struct named_rule rules[] = {
    { "sgd", { .kind = SONDE_UPDATE_SGD, .lr = 0.1 } },
    { "sgd-momentum", { .kind = SONDE_UPDATE_SGD, .lr = 0.1, .momentum = 0.9 } },
    { "sgd-dampening",
      { .kind = SONDE_UPDATE_SGD, .lr = 0.1, .momentum = 0.9, .dampening = 0.25 } },
    { "sgd-nesterov", { .kind = SONDE_UPDATE_SGD, .lr = 0.1, .momentum = 0.9, .nesterov = true } },
    { "sgd-decay", { .kind = SONDE_UPDATE_SGD, .lr = 0.1, .momentum = 0.8, .weight_decay = 0.05 } },
    { "rmsprop", { .kind = SONDE_UPDATE_RMSPROP, .lr = 0.01, .alpha = 0.99, .eps = 1e-8 } },
    { "rmsprop-momentum",
      { .kind = SONDE_UPDATE_RMSPROP, .lr = 0.01, .alpha = 0.99, .eps = 1e-8, .momentum = 0.9 } },
    { "rmsprop-centered",
      { .kind = SONDE_UPDATE_RMSPROP, .lr = 0.01, .alpha = 0.9, .eps = 1e-8, .centered = true } },
    { "rmsprop-all",
      { .kind = SONDE_UPDATE_RMSPROP,
        .lr = 0.01,
        .alpha = 0.95,
        .eps = 1e-6,
        .centered = true,
        .momentum = 0.5,
        .weight_decay = 0.05 } },
    { "adam",
      { .kind = SONDE_UPDATE_ADAM, .lr = 0.01, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8 } },
    { "adam-decay",
      { .kind = SONDE_UPDATE_ADAM,
        .lr = 0.01,
        .beta1 = 0.8,
        .beta2 = 0.95,
        .eps = 1e-6,
        .weight_decay = 0.05 } },
    { "adamw",
      { .kind = SONDE_UPDATE_ADAMW,
        .lr = 0.01,
        .beta1 = 0.9,
        .beta2 = 0.999,
        .eps = 1e-8,
        .weight_decay = 0.01 } },
    { "adamw-all",
      { .kind = SONDE_UPDATE_ADAMW,
        .lr = 0.02,
        .beta1 = 0.9,
        .beta2 = 0.95,
        .eps = 1e-6,
        .weight_decay = 0.1 } },
};
enum { N_RULES = sizeof rules / sizeof *rules };

struct states {
    float *each[SONDE_UPDATE_STATES_MAX];
};

static struct states states_new(const struct sonde_update_rule *rule, int64_t n)
{
    struct states s = { { NULL } };
    assert_in_range(sonde_update_states(rule), 0, SONDE_UPDATE_STATES_MAX);
    for (int i = 0; i < sonde_update_states(rule); i++) {
        s.each[i] = calloc((size_t)n, sizeof(float));
        assert_non_null(s.each[i]);
    }
    return s;
}

static void states_free(struct states *s)
{
    for (int i = 0; i < SONDE_UPDATE_STATES_MAX; i++) {
        free(s->each[i]);
    }
}

/*
 * The same gradients give PyTorch's weights of f64, as nearly as PyTorch's own of f32 do: both
 * round in the same places but for products that PyTorch may fuse with sums (at most a third of the
 * roundings more), so that either is within the same bound, and the largest of 57 weights is met by
 * both: 2 times its distance, and 2 roundings of the weight itself.
 */
static void test_torch(void **state)
{
    struct sonde_safetensors *file = torch_trace_open("rules.safetensors");
    int64_t n = 0;
    float *initial = torch_trace_floats(file, "initial", &n);
    float *gradient = torch_trace_floats(file, "gradient", NULL);
    (void)state;
    for (int r = 0; r < N_RULES; r++) {
        double *want = torch_trace_doubles(file, rules[r].name, NULL), most = 0.0;
        float *distance = torch_trace_distance(file, rules[r].name);
        float *w = copy_floats(initial, n);
        struct states s = states_new(&rules[r].rule, n);
        for (int step = 0; step < TORCH_STEPS; step++) {
            sonde_update_apply(&rules[r].rule, step + 1, n, w, gradient + step * n, s.each);
            for (int64_t i = 0; i < n; i++) {
                const double x = want[step * n + i];
                const double bound = 2.0 * (double)distance[step] + 2.0 * UNIT * fabs(x);
                most = fmax(most, fabs((double)w[i] - x) / bound);
                if (!(fabs((double)w[i] - x) <= bound)) {
                    fprintf(stderr, "# %s, step %d, weight %lld: %.9g, PyTorch %.9g (+- %.3g)\n",
                            rules[r].name, step + 1, (long long)i, (double)w[i], x, bound);
                    fail();
                }
            }
        }
        fprintf(stderr, "# %s: %.2f of the bound\n", rules[r].name, most);
        states_free(&s);
        free(w);
        free(distance);
        free(want);
    }
    free(gradient);
    free(initial);
    sonde_safetensors_close(&file);
}

static void test_defaults(void **state)
{
    (void)state;
    const struct sonde_update_rule sgd = sonde_update_defaults(SONDE_UPDATE_SGD);
    assert_true(sgd.lr == 0.1 && sgd.momentum == 0.0 && sgd.weight_decay == 0.0 && !sgd.nesterov);
    const struct sonde_update_rule rmsprop = sonde_update_defaults(SONDE_UPDATE_RMSPROP);
    assert_true(rmsprop.lr == 1e-2 && rmsprop.alpha == 0.99 && rmsprop.eps == 1e-8);
    assert_true(rmsprop.momentum == 0.0 && !rmsprop.centered && rmsprop.weight_decay == 0.0);
    const struct sonde_update_rule adam = sonde_update_defaults(SONDE_UPDATE_ADAM);
    assert_true(adam.lr == 1e-3 && adam.beta1 == 0.9 && adam.beta2 == 0.999 && adam.eps == 1e-8);
    assert_true(adam.weight_decay == 0.0);
    const struct sonde_update_rule adamw = sonde_update_defaults(SONDE_UPDATE_ADAMW);
    assert_true(adamw.lr == 1e-3 && adamw.beta1 == 0.9 && adamw.beta2 == 0.999);
    assert_true(adamw.eps == 1e-8 && adamw.weight_decay == 1e-2);
}

/* However the arrays are cut, wherever they begin, with neighbours or without: the same bits; and
 * nothing is written beside them. */
static void test_cuts(void **state)
{
    static const int64_t cuts[] = { 0, 1, 3, 20, 21, 64, 127, 200 };
    const int64_t n = 200;
    (void)state;
    for (int r = 0; r < N_RULES; r++) {
        struct sonde_rng rng = sonde_rng_make(SONDE_SEED_DEFAULT, (uint64_t)r);
        struct guarded w = guarded_normal(&rng, n, 1.0), g = guarded_normal(&rng, n, 1.0);
        float *given = copy_floats(g.data, n), *alone = copy_floats(w.data, n);
        struct states s = states_new(&rules[r].rule, n), t = states_new(&rules[r].rule, n);
        for (int64_t step = 1; step <= 3; step++) {
            sonde_update_apply(&rules[r].rule, step, n, alone, g.data, s.each);
            for (size_t c = 0; c + 1 < sizeof cuts / sizeof *cuts; c++) {
                const int64_t at = cuts[c];
                float *part[SONDE_UPDATE_STATES_MAX] = { NULL };
                for (int i = 0; i < sonde_update_states(&rules[r].rule); i++) {
                    part[i] = t.each[i] + at;
                }
                sonde_update_apply(&rules[r].rule, step, cuts[c + 1] - at, w.data + at, g.data + at,
                                   part);
            }
        }
        check_bits(rules[r].name, w.data, alone, n);
        check_bits("the gradient", g.data, given, n);
        guarded_check(&w);
        states_free(&s);
        states_free(&t);
        free(given);
        free(alone);
        guarded_free(&w);
        guarded_free(&g);
    }
}

/* Every vector width gives the bits of the narrowest. */
static void test_targets(void **state)
{
    const int64_t n = 301;
    (void)state;
    for (int r = 0; r < N_RULES; r++) {
        for (int target = SONDE_TARGET_AVX2; target < SONDE_TARGET_COUNT; target++) {
            struct sonde_rng rng = sonde_rng_make(SONDE_SEED_DEFAULT, 40 + (uint64_t)r);
            struct guarded w = guarded_normal(&rng, n, 1.0), g = guarded_normal(&rng, n, 1.0);
            float *base = copy_floats(w.data, n);
            struct states s = states_new(&rules[r].rule, n), t = states_new(&rules[r].rule, n);
            bool here = true;
            for (int64_t step = 1; step <= 3 && here; step++) {
                here = sonde_update_apply_on((enum sonde_target)target, &rules[r].rule, step, n,
                                             w.data, g.data, s.each);
                if (here) {
                    assert_true(sonde_update_apply_on(SONDE_TARGET_BASE, &rules[r].rule, step, n,
                                                      base, g.data, t.each));
                }
            }
            check_bits(rules[r].name, w.data, base, n);
            for (int i = 0; i < sonde_update_states(&rules[r].rule); i++) {
                check_bits(rules[r].name, s.each[i], t.each[i], n);
            }
            states_free(&s);
            states_free(&t);
            free(base);
            guarded_free(&w);
            guarded_free(&g);
        }
    }
}

/* NaN and infinity in a gradient stay with their weight. */
static void test_not_finite(void **state)
{
    enum { N = 35 };
    (void)state;
    for (int r = 0; r < N_RULES; r++) {
        float w[N], g[N], clean[N];
        struct states s = states_new(&rules[r].rule, N), t = states_new(&rules[r].rule, N);
        for (int i = 0; i < N; i++) {
            w[i] = clean[i] = 0.5f;
            g[i] = 0.01f * (float)i;
        }
        sonde_update_apply(&rules[r].rule, 1, N, clean, g, s.each);
        g[7] = NAN;
        g[20] = INFINITY;
        sonde_update_apply(&rules[r].rule, 1, N, w, g, t.each);
        for (int i = 0; i < N; i++) {
            assert_true(i == 7 ? isnan(w[i]) : i == 20 ? !isfinite(w[i]) : w[i] == clean[i]);
        }
        states_free(&s);
        states_free(&t);
    }
}

/* A constant gradient g: Adam moves by lr at every step, as m / (1 - b1^t) = g and s / (1 - b2^t) =
 * g^2 exactly. A centred mean square decays to zero there and its rounded form below it, where a
 * root would be NaN. */
static void test_constant_gradient(void **state)
{
    const struct sonde_update_rule adam = sonde_update_defaults(SONDE_UPDATE_ADAM);
    const float g[] = { 0.1f, -3.0f, 0.0f };
    float w[] = { 0.0f, 0.0f, 0.0f };
    struct states s = states_new(&adam, 3);
    (void)state;
    for (int64_t step = 1; step <= 500; step++) {
        sonde_update_apply(&adam, step, 3, w, g, s.each);
    }
    /* Each step rounds m, s, their factors and the quotient, the errors of m and s being averages:
     * 8 units a step; adding rounds to half a unit of w, 2^-26 at 0.5. */
    check_close(w[0], -0.5, 500 * (8 * UNIT * 1e-3 + 0x1p-26) + 0.5 * 1e-7);
    check_close(w[1], 0.5, 500 * (8 * UNIT * 1e-3 + 0x1p-26) + 0.5 * 1e-7);
    assert_true(w[2] == 0.0f);
    states_free(&s);
    struct sonde_update_rule centered = sonde_update_defaults(SONDE_UPDATE_RMSPROP);
    centered.centered = true;
    centered.alpha = 0.5;
    float x[64], y[64];
    struct states c = states_new(&centered, 64);
    for (int i = 0; i < 64; i++) {
        x[i] = 0.0f;
        y[i] = 0.1f + 0.01f * (float)i;
    }
    for (int64_t step = 1; step <= 200; step++) {
        sonde_update_apply(&centered, step, 64, x, y, c.each);
    }
    for (int i = 0; i < 64; i++) {
        assert_true(isfinite(x[i]) && x[i] < 0.0f);
    }
    states_free(&c);
}

/* Rates from the same losses, two of them NaN. Each fall is one product, rounded to double here and
 * there; the sum of two f32 in the trace holds 2^-48 of it. */
static void test_plateau(void **state)
{
    struct sonde_plateau rules_of[4];
    static const char *const names[] = { "plateau", "plateau-cooldown", "plateau-floor",
                                         "plateau-eps" };
    struct sonde_safetensors *file = torch_trace_open("schedules.safetensors");
    int64_t n = 0;
    double *losses = torch_trace_doubles(file, "losses", &n);
    (void)state;
    for (int i = 0; i < 4; i++) {
        rules_of[i] = sonde_plateau_defaults();
        rules_of[i].patience = 0;
    }
    rules_of[0].patience = 2;
    rules_of[1].patience = 1;
    rules_of[1].factor = 0.5;
    rules_of[1].cooldown = 3;
    rules_of[1].threshold = 0.05;
    rules_of[2].factor = 0.3;
    rules_of[2].min_lr = 0.01;
    rules_of[3].factor = 0.5;
    rules_of[3].eps = 0.02;
    for (int i = 0; i < 4; i++) {
        double *want = torch_trace_doubles(file, names[i], NULL), lr = 1.0;
        for (int64_t k = 0; k < n; k++) {
            check_close(lr, want[k], 0x1p-48 * want[k]);
            lr = sonde_plateau_step(&rules_of[i], lr, losses[k]);
        }
        assert_true(lr < 0.1);
        free(want);
    }
    free(losses);
    sonde_safetensors_close(&file);
    const struct sonde_plateau defaults = sonde_plateau_defaults();
    assert_true(defaults.factor == 0.1 && defaults.patience == 10 && defaults.threshold == 1e-4);
    assert_true(defaults.cooldown == 0 && defaults.min_lr == 0.0 && defaults.eps == 1e-8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_torch),      cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_cuts),       cmocka_unit_test(test_targets),
        cmocka_unit_test(test_not_finite), cmocka_unit_test(test_constant_gradient),
        cmocka_unit_test(test_plateau),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
