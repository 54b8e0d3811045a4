/* The net against central differences in double, its training against the convex optimum and
 * against tasks with a known answer, and the probe as a user runs it. */
#include <string.h>

#include "core/base/json.h"
#include "core/base/rng.h"
#include "probes/linear_fit.h"
#include "probes/mlp_fit.h"
#include "probes/mlp_probe.h"
#include "tests/unit/probes/probe_support.h"

static const struct sonde_mlp_hidden none = { 0 };

/* The loss in double, from the definition: its own code. parameter as the net lays them out. */
static double reference_loss(const struct sonde_mlp *net, const double *parameter, const float *x,
                             int64_t n, const int32_t *target, const float *value)
{
    double loss = 0.0;
    for (int64_t i = 0; i < n; i++) {
        double at[2][64];
        for (int64_t d = 0; d < net->width[0]; d++)
            at[0][d] = (double)x[i * net->width[0] + d];
        const double *w = parameter;
        for (int l = 0; l < net->n_layers; l++) {
            int64_t in = net->width[l], out = net->width[l + 1];
            for (int64_t o = 0; o < out; o++) {
                double sum = w[in * out + o];
                for (int64_t d = 0; d < in; d++)
                    sum += w[o * in + d] * at[l % 2][d];
                at[(l + 1) % 2][o] = l + 1 < net->n_layers && sum < 0 ? 0.0 : sum;
            }
            w += (in + 1) * out;
        }
        const double *score = at[net->n_layers % 2];
        if (!target) {
            loss += (score[0] - (double)value[i]) * (score[0] - (double)value[i]) / (double)n;
            continue;
        }
        double sum = 0.0;
        for (int64_t k = 0; k < net->width[net->n_layers]; k++)
            sum += exp(score[k]);
        loss += (log(sum) - score[target[i]]) / (double)n;
    }
    return loss;
}

static void gradients_are_the_differences(void **state)
{
    (void)state;
    enum { N = 9, IN = 6, K = 4 };
    const struct {
        struct sonde_mlp_hidden hidden;
        bool real;
    } cases[] = {
        { { 0, { 0 } }, false },      { { 1, { 5 } }, false }, { { 2, { 7, 3 } }, false },
        { { 3, { 4, 9, 2 } }, true }, { { 0, { 0 } }, true },  { { 1, { 1 } }, false },
    };
    for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
        struct sonde_rng rng = sonde_rng_make(2, c);
        struct sonde_error error = { 0 };
        struct sonde_mlp net;
        struct sonde_mlp_space space;
        int64_t n_out = cases[c].real ? 1 : K;
        check_ok(sonde_mlp_init(&net, IN, &cases[c].hidden, n_out, 3, &error), &error);
        assert_int_equal(net.n_parameters, sonde_mlp_count(IN, &cases[c].hidden, n_out));
        check_ok(sonde_mlp_space_init(&space, &net, N + 3, &error), &error);
        float x[N * IN], value[N], gradient[512];
        double wide[512];
        int32_t target[N];
        assert_in_range(net.n_parameters, 1, 512);
        for (int i = 0; i < N * IN; i++)
            x[i] = (float)sonde_rng_normal(&rng);
        for (int i = 0; i < N; i++) {
            target[i] = (int32_t)sonde_rng_below(&rng, K);
            value[i] = (float)sonde_rng_normal(&rng);
        }
        for (int64_t i = 0; i < net.n_parameters; i++)
            wide[i] = (double)net.parameter[i];
        memcpy(space.activation[0], x, sizeof(x));
        float *score = sonde_mlp_forward(&net, &space, N);
        double loss = cases[c].real ? sonde_mlp_real_loss(score, value, N)
                                    : sonde_mlp_class_loss(score, target, N, K);
        sonde_mlp_backward(&net, &space, N, gradient);
        const int32_t *classes = cases[c].real ? NULL : target;
        check_close(loss / N, reference_loss(&net, wide, x, N, classes, value), 2e-6);
        /* An entry is a sum of 9 products of at most 4 factors that went through sums of at most 9
         * terms: at most 64 roundings of terms that are of the order of 1. */
        const double step = 1e-6, tolerance = 64 * 0x1p-24 + 1e-8;
        double largest = 0.0;
        for (int64_t i = 0; i < net.n_parameters; i++) {
            double here = wide[i], up, down;
            wide[i] = here + step;
            up = reference_loss(&net, wide, x, N, classes, value);
            wide[i] = here - step;
            down = reference_loss(&net, wide, x, N, classes, value);
            wide[i] = here;
            check_close(gradient[i], (up - down) / (2 * step), tolerance);
            largest = fmax(largest, fabs((double)gradient[i]));
        }
        assert_true(largest > 1e-2); /* else the tolerance would say nothing */
        sonde_mlp_space_finish(&space);
        sonde_mlp_finish(&net);
    }
}

static int64_t read_floats(const struct sonde_json *array, float *out, int64_t most)
{
    int64_t n = sonde_json_size(array);
    assert_in_range(n, 1, most);
    for (int64_t i = 0; i < n; i++)
        out[i] = (float)sonde_json_real(sonde_json_at(array, i), (double)NAN);
    return n;
}

/* Ten steps of PyTorch on the same net, rows and labels: tests/golden/mlp/make_trace.py. */
static void training_follows_pytorch(void **state)
{
    (void)state;
    enum { N = 8, IN = 5, K = 3, STEPS = 10 };
    struct sonde_error error = { 0 };
    struct sonde_json *json = NULL;
    check_ok(sonde_json_load(&json, SONDE_GOLDEN "/../mlp/trace.json", 1 << 20, &error), &error);
    const struct sonde_mlp_hidden hidden = { 2, { 7, 4 } };
    float x[N * IN], value[N], after[128], loss[STEPS], gradient[128], states[2][128];
    int32_t target[N];
    assert_int_equal(read_floats(sonde_json_get(json, "x"), x, N * IN), N * IN);
    assert_int_equal(read_floats(sonde_json_get(json, "value"), value, N), N);
    for (int i = 0; i < N; i++)
        target[i] =
            (int32_t)sonde_json_integer(sonde_json_at(sonde_json_get(json, "target"), i), -1);
    for (int real = 0; real < 2; real++) {
        const struct sonde_json *trace = sonde_json_get(json, real ? "real" : "class");
        const struct sonde_update_rule rule = sonde_update_defaults(SONDE_UPDATE_ADAM);
        float *const state_of[SONDE_UPDATE_STATES_MAX] = { states[0], states[1] };
        struct sonde_mlp net;
        struct sonde_mlp_space space;
        check_ok(sonde_mlp_init(&net, IN, &hidden, real ? 1 : K, 1, &error), &error);
        check_ok(sonde_mlp_space_init(&space, &net, N, &error), &error);
        int64_t n = net.n_parameters;
        assert_int_equal(read_floats(sonde_json_get(trace, "before"), net.parameter, 128), n);
        assert_int_equal(read_floats(sonde_json_get(trace, "after"), after, 128), n);
        assert_int_equal(read_floats(sonde_json_get(trace, "loss"), loss, STEPS), STEPS);
        memset(states, 0, sizeof(states));
        for (int step = 1; step <= STEPS; step++) {
            memcpy(space.activation[0], x, sizeof(x));
            float *score = sonde_mlp_forward(&net, &space, N);
            double sum = real ? sonde_mlp_real_loss(score, value, N)
                              : sonde_mlp_class_loss(score, target, N, K);
            /* Both sides round sums of at most 8 terms of the order of 1, three layers deep. */
            check_close(sum / N, loss[step - 1], 32 * 0x1p-24);
            sonde_mlp_backward(&net, &space, N, gradient);
            sonde_update_apply(&rule, step, n, net.parameter, gradient, state_of);
        }
        /* A step is at most about 1e-3 and keeps the gradient's relative error of some roundings.
         */
        for (int64_t i = 0; i < n; i++)
            check_close(net.parameter[i], after[i], STEPS * 1e-3 * 64 * 0x1p-24 + 0x1p-23);
        sonde_mlp_space_finish(&space);
        sonde_mlp_finish(&net);
    }
    sonde_json_destroy(&json);
}

/* Rows in memory with three classes that overlap. */
enum { ROWS = 600, WIDTH = 4, CLASSES = 3 };
struct blobs {
    float x[ROWS * WIDTH];
    int32_t target[ROWS];
    int64_t all[ROWS];
};

static void make_blobs(struct blobs *b)
{
    struct sonde_rng rng = sonde_rng_make(4, 0);
    for (int64_t i = 0; i < ROWS; i++) {
        b->all[i] = i;
        b->target[i] = (int32_t)sonde_rng_below(&rng, CLASSES);
        for (int d = 0; d < WIDTH; d++)
            b->x[i * WIDTH + d] = (float)(sonde_rng_normal(&rng) + (d == b->target[i] ? 1.2 : 0.0));
    }
}

static struct sonde_mlp_data data_of(const struct blobs *b)
{
    return (struct sonde_mlp_data){ .x = b->x,
                                    .width = WIDTH,
                                    .train = b->all,
                                    .validation = b->all,
                                    .test = b->all,
                                    .n_train = ROWS,
                                    .n_validation = ROWS,
                                    .n_test = ROWS,
                                    .target = b->target,
                                    .n_targets = CLASSES };
}

static int64_t one(void *ctx, int64_t s)
{
    (void)ctx, (void)s;
    return 1;
}
static int32_t blob_id(void *ctx, int64_t s, int64_t t)
{
    (void)ctx;
    return (int32_t)(1 + s + t);
}
static void blob_fill(void *ctx, int64_t stream, int64_t s, int64_t n, float *out)
{
    (void)stream, (void)n;
    const struct blobs *b = ctx;
    memcpy(out, b->x + s * WIDTH, WIDTH * sizeof(float));
}

/* Without hidden layers the loss is convex: its least value is what L-BFGS finds in double. */
static void a_linear_net_reaches_the_convex_optimum(void **state)
{
    (void)state;
    struct blobs *b = calloc(1, sizeof(*b));
    assert_non_null(b);
    make_blobs(b);
    struct toy_run run = { .stream = { toy_stream("x", 0, WIDTH) },
                           .n_streams = 1,
                           .n_sequences = ROWS,
                           .length = one,
                           .id = blob_id,
                           .fill = blob_fill,
                           .ctx = b };
    struct sonde_source *source = toy_source(&run);
    struct sonde_error error = { 0 };
    int64_t count[ROWS];
    for (int i = 0; i < ROWS; i++)
        count[i] = 1;
    struct sonde_feature_rows rows = { .n = ROWS, .first = b->all, .count = count };
    struct sonde_features features = { 0 };
    check_ok(sonde_features_open(&features, source, 0, &rows, 1 << 22, 4, NULL, &error), &error);
    struct sonde_fit_problem problem = { .features = &features,
                                         .sample = b->all,
                                         .n = ROWS,
                                         .target = b->target,
                                         .n_targets = CLASSES };
    struct sonde_fit_options fit_options = { .as_is = true, .tolerance = 1e-10 };
    struct sonde_linear_model model = { 0 };
    struct sonde_fit_report report;
    check_ok(sonde_linear_fit(&problem, &fit_options, NULL, &model, &report, &error), &error);

    struct sonde_mlp_data data = data_of(b);
    struct sonde_mlp_options options = { .hidden = none,
                                         .rule = sonde_update_defaults(SONDE_UPDATE_ADAM),
                                         .batch = 50,
                                         .epochs = 120,
                                         .patience = 2,
                                         .last = true,
                                         .seed = 1 };
    options.rule.lr = 0.02;
    struct sonde_mlp_fit fit;
    check_ok(sonde_mlp_train(&data, &options, &fit, &error), &error);
    assert_int_equal(fit.n_epochs, 120);
    assert_int_equal(fit.n_steps, 120 * 12);
    double loss = fit.epoch[fit.chosen].validation_loss;
    /* Never below (the losses are sums in double of f32 scores), and near: with the rate going down
     * the distance to the minimum goes to the noise of the last rate, which is none. */
    assert_true(loss > report.loss - 1e-7);
    check_close(loss, report.loss, 1e-4);
    assert_true(fit.epoch[119].lr < 1e-6 * fit.epoch[0].lr);
    sonde_mlp_fit_finish(&fit);
    sonde_linear_model_finish(&model);
    sonde_features_close(&features);
    source->destroy(&source);
    free(b);
}

/* The best epoch's weights answer, and the answers are theirs. */
static void the_best_epoch_answers(void **state)
{
    (void)state;
    struct blobs *b = calloc(1, sizeof(*b));
    assert_non_null(b);
    make_blobs(b);
    struct sonde_error error = { 0 };
    struct sonde_mlp_data data = data_of(b);
    data.n_train = 300;
    data.validation = data.test = b->all + 300;
    data.n_validation = data.n_test = 300;
    struct sonde_mlp_options options = { .hidden = { 1, { 64 } },
                                         .rule = sonde_update_defaults(SONDE_UPDATE_ADAM),
                                         .batch = 20,
                                         .epochs = 40,
                                         .patience = -1,
                                         .seed = 1 };
    options.rule.lr = 0.02; /* learns 300 rows by heart: the best epoch is an early one */
    struct sonde_mlp_fit fit;
    check_ok(sonde_mlp_train(&data, &options, &fit, &error), &error);
    assert_in_range(fit.chosen, 0, 38);
    int64_t hits = 0;
    for (int i = 0; i < 300; i++)
        hits += fit.predicted[i] == b->target[300 + i];
    check_close((double)hits / 300, fit.epoch[fit.chosen].validation_value, 1e-15);
    for (int64_t e = 0; e < fit.n_epochs; e++) {
        assert_true(fit.epoch[e].validation_value <= fit.epoch[fit.chosen].validation_value);
        check_close(fit.epoch[e].lr, 0.02, 0); /* never cut */
    }
    sonde_mlp_fit_finish(&fit);
    /* A rate that throws the weights out of f32 is said, not passed on. */
    options.rule = sonde_update_defaults(SONDE_UPDATE_SGD);
    options.rule.lr = 1e30;
    assert_int_equal(sonde_mlp_train(&data, &options, &fit, &error), SONDE_STATUS_NUMERIC);
    assert_non_null(strstr(error.text, "give a smaller --lr"));
    free(b);
}

/* For the probe: 100 sequences of 10 tokens; the class is whether x0 and x1 have one sign. */
enum { SEQUENCES = 100, T = 10, D = 4, N = SEQUENCES * T };

static int64_t ten(void *ctx, int64_t s)
{
    (void)ctx, (void)s;
    return T;
}
static int32_t any_id(void *ctx, int64_t s, int64_t t)
{
    (void)ctx;
    struct sonde_rng rng = sonde_rng_make(31, (uint64_t)(s * T + t));
    return (int32_t)(1 + sonde_rng_below(&rng, 30));
}
static void fill(void *ctx, int64_t stream, int64_t s, int64_t n, float *out)
{
    const bool *spoilt = ctx;
    for (int64_t t = 0; t < n; t++) {
        struct sonde_rng rng = sonde_rng_make(33 + (uint64_t)stream, (uint64_t)(s * T + t));
        for (int d = 0; d < D; d++)
            out[t * D + d] = (float)sonde_rng_normal(&rng);
    }
    if (*spoilt && s == 3)
        out[D + 2] = NAN;
}

static struct sonde_source *open_source(bool *spoilt)
{
    static const char *const names[] = { "differ", "same", "third" };
    struct toy_run run = { .stream = { toy_stream("blocks.0.hook_resid_post", 0, D),
                                       toy_stream("blocks.1.hook_resid_post", 1, D) },
                           .n_streams = 2,
                           .n_sequences = SEQUENCES,
                           .length = ten,
                           .id = any_id,
                           .fill = fill,
                           .ctx = spoilt };
    struct sonde_source *source = toy_source(&run);
    int32_t sign[N], same[N] = { 0 };
    double size[N], flat[N];
    bool clean = false;
    for (int64_t r = 0; r < N; r++) {
        float x[D * T];
        fill(&clean, 0, r / T, T, x);
        const float *at = x + r % T * D;
        sign[r] = at[0] * at[1] > 0.0f;
        size[r] = 5.0 + 40.0 * fabs((double)at[0]);
        flat[r] = 2.5;
    }
    toy_labels(source, "sign", SONDE_ROWS_TOKEN, sign, names, 2);
    toy_labels(source, "same", SONDE_ROWS_TOKEN, same, names, 3);
    toy_real_labels(source, "size", SONDE_ROWS_TOKEN, size);
    toy_real_labels(source, "flat", SONDE_ROWS_TOKEN, flat);
    return source;
}

static struct sonde_result *run_with(struct sonde_source *source, struct sonde_pool *pool,
                                     const char *const *option)
{
    struct toy_args args = { .source = source, .pool = pool, .option = option };
    struct sonde_result *result = toy_probe(toy_builtin("mlp"), &args, NULL);
    assert_non_null(result);
    return result;
}

/* Where nothing can be read the shapes differ by chance: the best on the rows that choose is what
 * best_value tells, also where another one was luckier on test. */
static void best_value_is_not_chosen_on_test(void **state)
{
    (void)state;
    static const char *const epochs[] = { "2", "3", "4", "5" };
    bool spoilt = false;
    int n_luckier = 0;
    struct sonde_source *source = open_source(&spoilt);
    for (int k = 0; k < 4; k++) {
        const char *option[] = { "labels", "sign",    "streams",   "blocks.1.hook_resid_post",
                                 "hidden", "-;4;8",   "bootstrap", "0",
                                 "epochs", epochs[k], NULL };
        struct sonde_result *r = run_with(source, NULL, option);
        const struct sonde_table *t = toy_table(r, "layers");
        int chosen = 0;
        double luckiest = 0;
        for (int i = 0; i < 3; i++) {
            chosen = toy_real(t, i, "validation") > toy_real(t, chosen, "validation") ? i : chosen;
            luckiest = fmax(luckiest, toy_real(t, i, "value"));
        }
        check_close(toy_scalar(r, "best_value"), toy_real(t, chosen, "value"), 0);
        n_luckier += luckiest > toy_real(t, chosen, "value");
        sonde_result_destroy(&r);
    }
    assert_true(n_luckier > 0);
    source->destroy(&source);
}

static void hidden_layers_see_what_a_line_does_not(void **state)
{
    (void)state;
    bool spoilt = false;
    struct sonde_source *source = open_source(&spoilt);
    const char *option[] = { "labels",    "sign",    "hidden", "-;32",           "epochs",
                             "60",        "control", "1",      "control-labels", "uniform",
                             "bootstrap", "100",     "lr",     "1e-2",           NULL };
    struct sonde_result *r = run_with(source, NULL, option);
    const struct sonde_table *t = toy_table(r, "layers");
    assert_int_equal(t->n_rows, 4);
    const double chance = 5 * 0.5 / sqrt(200);
    for (int i = 0; i < 4; i++) {
        bool net = i % 2 == 1, first = i < 2;
        assert_string_equal(toy_text(t, i, "hidden"), net ? "32" : "-");
        assert_string_equal(toy_text(t, i, "stream"),
                            first ? "blocks.0.hook_resid_post" : "blocks.1.hook_resid_post");
        check_close(toy_real(t, i, "parameters"), net ? 5 * 32 + 33 * 2 : 5 * 2, 0);
        check_close(toy_real(t, i, "n_test"), 200, 0);
        check_close(toy_real(t, i, "n_train"), 720, 0);
        if (net && first)
            assert_true(toy_real(t, i, "value") > 0.93);
        else
            check_close(toy_real(t, i, "value"), 0.5, chance + 0.02);
        check_close(toy_real(t, i, "control"), 0.5, chance);
        assert_true(toy_real(t, i, "ci_low") <= toy_real(t, i, "value"));
        assert_true(isnan(toy_real(t, i, "l2")));
    }
    check_close(toy_scalar(r, "n_validation"), 80, 0);
    check_close(toy_scalar(r, "best_value"), toy_real(t, 1, "value"), 0);
    const struct sonde_table *sweep = toy_table(r, "sweep");
    assert_int_equal(sweep->n_rows, 4);
    assert_string_equal(toy_text(sweep, 3, "hidden"), "32");
    check_close(toy_real(sweep, 1, "control"), toy_real(t, 1, "control"), 0);
    assert_string_equal(r->table[r->n_tables - 1]->name, "epochs");
    /* One epochs row an epoch, for own labels and the control's, one of each chosen. */
    const struct sonde_table *e = toy_table(r, "epochs");
    int n_chosen = 0;
    for (int64_t i = 0; i < e->n_rows; i++)
        n_chosen += e->cell[i * e->n_columns + 8].integer != 0;
    assert_int_equal(n_chosen, 8);
    assert_string_equal(r->figure[0]->name, "sweep");
    sonde_result_destroy(&r);
    source->destroy(&source);
}

static void real_labels_are_fitted(void **state)
{
    (void)state;
    bool spoilt = false;
    struct sonde_source *source = open_source(&spoilt);
    const char *option[] = { "labels", "size",      "hidden", "-;32",    "epochs",     "60", "lr",
                             "1e-2",   "bootstrap", "50",     "streams", "blocks.0.*", NULL };
    struct sonde_result *r = run_with(source, NULL, option);
    const struct sonde_table *t = toy_table(r, "layers");
    assert_string_equal(toy_text(t, 0, "metric"), "r2");
    assert_true(toy_real(t, 0, "value") < 0.1);
    assert_true(toy_real(t, 1, "value") > 0.97);
    assert_true(toy_real(t, 1, "validation") > 0.97);
    sonde_result_destroy(&r);
    source->destroy(&source);
}

/* A fit depends on the seed, the rows and its shape: not on the threads, nor on what else is fitted
 * in the same run. */
static void threads_and_company_change_no_bit(void **state)
{
    (void)state;
    bool spoilt = false;
    struct sonde_source *source = open_source(&spoilt);
    const char *many[] = { "labels",  "sign", "hidden",    "-;16;16,8", "epochs", "5",
                           "control", "1",    "bootstrap", "20",        NULL };
    const char *single[] = { "labels",    "sign", "hidden",  "16,8",       "epochs", "5",
                             "bootstrap", "20",   "streams", "blocks.1.*", NULL };
    struct sonde_result *r[4];
    for (int i = 0; i < 3; i++) {
        struct sonde_pool *pool = NULL;
        struct sonde_error error = { 0 };
        if (i > 0)
            check_ok(sonde_pool_create(&pool, i == 1 ? 2 : 5, &error), &error);
        r[i] = run_with(source, pool, many);
        sonde_pool_destroy(&pool);
    }
    r[3] = run_with(source, NULL, single);
    static const char *const columns[] = { "value",   "ci_low", "ci_high",   "majority",
                                           "control", "epoch",  "validation" };
    const struct sonde_table *t = toy_table(r[0], "layers");
    assert_int_equal(t->n_rows, 6);
    for (int i = 1; i < 3; i++)
        for (int row = 0; row < 6; row++)
            for (int c = 0; c < 7; c++)
                assert_true(toy_real(toy_table(r[i], "layers"), row, columns[c]) ==
                            toy_real(t, row, columns[c]));
    for (int e = 0; e < 5; e++)
        assert_true(toy_real(toy_table(r[3], "epochs"), e, "train_loss") ==
                    toy_real(toy_table(r[0], "epochs"), 5 * 10 + e, "train_loss"));
    for (int i = 0; i < 4; i++)
        sonde_result_destroy(&r[i]);
    source->destroy(&source);
}

static void the_papers_protocol_is_one_word(void **state)
{
    (void)state;
    bool spoilt = false;
    struct sonde_source *source = open_source(&spoilt);
    const char *option[] = { "labels",    "sign", "protocol", "emergent-stack", "control", "1",
                             "bootstrap", "0",    "streams",  "blocks.0.*",     NULL };
    struct sonde_result *r = run_with(source, NULL, option);
    const struct sonde_table *t = toy_table(r, "layers");
    check_close(toy_real(t, 0, "n_train"), 800, 0);
    check_close(toy_scalar(r, "n_validation"), 200, 0); /* the test rows themselves */
    check_close(toy_real(t, 0, "value"), toy_real(t, 0, "validation"), 1e-15);
    check_close(toy_real(t, 0, "iterations"), 10 * 25, 0); /* 800 rows by 32 */
    check_close(toy_scalar(r, "overlap_share"), 1.0, 0);   /* rows of the same sequences */
    assert_true(toy_warned(r, "split by position"));
    assert_true(toy_warned(r, "the epoch is chosen on the test rows"));
    assert_true(toy_warned(r, "standardised on training and test rows together"));
    const struct sonde_table *e = toy_table(r, "epochs");
    assert_int_equal(e->n_rows, 20);
    sonde_result_destroy(&r);
    source->destroy(&source);
}

static void what_cannot_be_done_is_refused(void **state)
{
    (void)state;
    bool spoilt = false;
    struct sonde_source *source = open_source(&spoilt);
    static const char shapes[] = ": expected widths from 1 to 65536 such as 128,128 (at most 16), "
                                 "- for no hidden layer, at most 32 shapes apart by ';'";
    static const char *const bad[] = { "",
                                       "0",
                                       "128,",
                                       ",128",
                                       "-5",
                                       "128 64",
                                       "x",
                                       "-,128",
                                       ";",
                                       "128;",
                                       "65537",
                                       "--",
                                       "1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7,8" };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct toy_args args = { .source = source,
                                 .option = (const char *const[]){ "labels", "sign", "hidden",
                                                                  bad[i], NULL } };
        struct sonde_error error = { 0 };
        assert_null(toy_probe(toy_builtin("mlp"), &args, &error));
        assert_int_equal(error.status, SONDE_STATUS_ARGUMENT);
        assert_non_null(strstr(error.text, shapes));
    }
    const struct {
        const char *option[5];
        enum sonde_status status;
        const char *text;
        int64_t mem_bytes;
    } cases[] = {
        { { NULL }, SONDE_STATUS_ARGUMENT, "probe mlp: --labels is missing", 0 },
        { { "labels", "flat", NULL },
          SONDE_STATUS_ARGUMENT,
          "probe mlp: label set flat: the 720 training samples all have the value 2.5: there is "
          "nothing to tell apart",
          0 },
        { { "labels", "same", NULL },
          SONDE_STATUS_ARGUMENT,
          "probe mlp: label set same: the 800 training samples are all \"differ\": there is "
          "nothing to tell apart",
          0 },
        { { "labels", "sign", "lr", "-1", NULL },
          SONDE_STATUS_ARGUMENT,
          "probe mlp: --lr -1: expected 1e-12 to 1000000",
          0 },
        { { "labels", "sign", "batch", "0", NULL },
          SONDE_STATUS_ARGUMENT,
          "probe mlp: --batch 0: expected 1 to 1048576",
          0 },
        { { "labels", "sign", NULL }, SONDE_STATUS_LIMIT, NULL, 1 << 17 },
        { { "labels", "sign", "hidden", "65536,65536", NULL }, SONDE_STATUS_LIMIT, NULL, 0 },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct toy_args args = { .source = source,
                                 .option = cases[i].option,
                                 .mem_bytes = cases[i].mem_bytes };
        struct sonde_error error = { 0 };
        assert_null(toy_probe(toy_builtin("mlp"), &args, &error));
        if (cases[i].text)
            assert_string_equal(error.text, cases[i].text);
        else
            assert_non_null(strstr(error.text, "need a memory budget of"));
        assert_int_equal(error.status, cases[i].status);
    }
    source->destroy(&source);
    spoilt = true;
    source = open_source(&spoilt);
    struct toy_args args = { .source = source,
                             .option = (const char *const[]){ "labels", "sign", NULL } };
    struct sonde_error error = { 0 };
    assert_null(toy_probe(toy_builtin("mlp"), &args, &error));
    assert_int_equal(error.status, SONDE_STATUS_NUMERIC);
    assert_non_null(strstr(error.text, "values are not finite (first in row 31)"));
    source->destroy(&source);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_are_the_differences),
        cmocka_unit_test(training_follows_pytorch),
        cmocka_unit_test(a_linear_net_reaches_the_convex_optimum),
        cmocka_unit_test(the_best_epoch_answers),
        cmocka_unit_test(best_value_is_not_chosen_on_test),
        cmocka_unit_test(hidden_layers_see_what_a_line_does_not),
        cmocka_unit_test(real_labels_are_fitted),
        cmocka_unit_test(threads_and_company_change_no_bit),
        cmocka_unit_test(the_papers_protocol_is_one_word),
        cmocka_unit_test(what_cannot_be_done_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
