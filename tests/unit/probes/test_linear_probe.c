/* The linear probes as a user runs them: options in, result out. */
#include <string.h>
#include <unistd.h>

#include "core/base/rng.h"
#include "tests/unit/probes/probe_support.h"

enum { SEQUENCES = 120, T = 8, ROWS = SEQUENCES * T, D = 5, TYPES = 40 };

static const char *const names[] = { "a", "b", "c", "d" };

struct task {
    int64_t n_classes;
    double apart; /* distance of the class centres; 0 = nothing to learn */
    uint64_t seed;
};

static int64_t length(void *ctx, int64_t s)
{
    (void)ctx, (void)s;
    return T;
}

static int32_t id(void *ctx, int64_t s, int64_t t)
{
    (void)ctx;
    struct sonde_rng rng = sonde_rng_make(11, (uint64_t)(s * T + t));
    return (int32_t)(1 + sonde_rng_below(&rng, TYPES));
}

static int32_t class_at(const struct task *task, int64_t s, int64_t t)
{
    struct sonde_rng rng = sonde_rng_make(task->seed, (uint64_t)(s * T + t));
    return (int32_t)sonde_rng_below(&rng, task->n_classes);
}

/* Stream 0: the class's centre and noise of deviation 1; stream 1: noise alone. */
static void fill(void *ctx, int64_t stream, int64_t s, int64_t n, float *out)
{
    const struct task *task = ctx;
    struct sonde_rng rng = sonde_rng_make(17 + (uint64_t)stream, (uint64_t)s);
    for (int64_t t = 0; t < n; t++)
        for (int64_t d = 0; d < D; d++) {
            bool on = stream == 0 && class_at(task, s, t) == d;
            out[t * D + d] = (float)(sonde_rng_normal(&rng) + (on ? task->apart : 0.0));
        }
}

static struct sonde_source *open_source(struct task *task)
{
    struct toy_run run = { .stream = { toy_stream("blocks.0.hook_resid_post", 0, D),
                                       toy_stream("blocks.1.hook_resid_post", 1, D) },
                           .n_streams = 2,
                           .n_sequences = SEQUENCES,
                           .length = length,
                           .id = id,
                           .fill = fill,
                           .ctx = task };
    struct sonde_source *source = toy_source(&run);
    int32_t class_of[ROWS];
    double real[ROWS];
    for (int64_t r = 0; r < ROWS; r++) {
        class_of[r] = class_at(task, r / T, r % T);
        float x[D * T];
        fill(task, 0, r / T, T, x);
        real[r] = 2.0 * (double)x[r % T * D] - (double)x[r % T * D + 3] + 1.0;
    }
    toy_labels(source, "kind", SONDE_ROWS_TOKEN, class_of, names, task->n_classes);
    toy_real_labels(source, "size", SONDE_ROWS_TOKEN, real);
    return source;
}

static struct sonde_result *run_on(struct sonde_source *source, const char *probe,
                                   const char *const *option)
{
    struct toy_args args = { .source = source, .option = option };
    struct sonde_result *result = toy_probe(toy_builtin(probe), &args, NULL);
    assert_non_null(result);
    return result;
}

static void check_error(struct sonde_source *source, const char *probe, const char *const *option,
                        const char *text)
{
    struct toy_args args = { .source = source, .option = option };
    struct sonde_error error;
    assert_null(toy_probe(toy_builtin(probe), &args, &error));
    if (text)
        assert_string_equal(error.text, text);
    else
        assert_int_equal(error.status, SONDE_STATUS_ARGUMENT);
}

static void separable_classes_are_found(void **state)
{
    (void)state;
    static const char *const probes[] = { "linear", "lda", "mean-difference" };
    struct task task = { .n_classes = 4, .apart = 30.0, .seed = 3 };
    struct sonde_source *source = open_source(&task);
    for (int p = 0; p < 3; p++) {
        const char *option[] = { "labels", "kind", "bootstrap", "100", "control", "1", NULL };
        struct sonde_result *r = run_on(source, probes[p], option);
        const struct sonde_table *t = toy_table(r, "layers");
        static const char *const columns[] = { "stream",      "layer",      "task",
                                               "metric",      "value",      "ci_low",
                                               "ci_high",     "majority",   "control",
                                               "selectivity", "n_train",    "n_test",
                                               "l2",          "iterations", "random_weights" };
        assert_int_equal(t->n_columns, 15);
        for (int c = 0; c < 15; c++)
            assert_string_equal(t->column[c], columns[c]);
        assert_int_equal(t->n_rows, 2);
        check_close(toy_real(t, 0, "value"), 1.0, 0);
        check_close(toy_real(t, 0, "ci_low"), 1.0, 0);
        assert_string_equal(toy_text(t, 0, "task"), "kind");
        assert_string_equal(toy_text(t, 0, "metric"), "accuracy");
        check_close(toy_real(t, 0, "selectivity"),
                    toy_real(t, 0, "value") - toy_real(t, 0, "control"), 1e-15);
        /* Ids are independent of the features: the control task cannot be learnt here. */
        assert_true(toy_real(t, 0, "control") < 0.6);
        assert_true(isnan(toy_real(t, 0, "random_weights")));
        check_close(toy_real(t, 0, "n_test"), 24 * T, 0);
        const struct sonde_table *classes = toy_table(r, "classes");
        assert_int_equal(classes->n_rows, 4);
        assert_string_equal(toy_text(classes, 0, "stream"), "blocks.0.hook_resid_post");
        for (int c = 0; c < 4; c++)
            check_close(toy_real(classes, c, "f1"), 1.0, 0);
        assert_int_equal(r->n_figures, 2);
        assert_string_equal(r->figure[0]->name, "curve");
        assert_string_equal(r->figure[1]->name, "confusion");
        sonde_result_destroy(&r);
    }
    source->destroy(&source);
}

static void fill_ids(void *ctx, int64_t stream, int64_t s, int64_t n, float *out)
{
    (void)ctx, (void)stream;
    for (int64_t t = 0; t < n; t++)
        out[t * (TYPES + 1) + id(ctx, s, t)] = 1.0f; /* zeroed before */
}

/* Features that hold the token and nothing else: the control task is learnt, a task that has
 * nothing to do with the token is not, so selectivity is far below zero. */
static void control_task_is_learnt_from_types(void **state)
{
    (void)state;
    struct task task = { .n_classes = 4, .seed = 9 };
    struct toy_run run = { .stream = { toy_stream("hook_embed", -1, TYPES + 1) },
                           .n_streams = 1,
                           .n_sequences = SEQUENCES,
                           .length = length,
                           .id = id,
                           .fill = fill_ids };
    struct sonde_source *source = toy_source(&run);
    int32_t class_of[ROWS];
    for (int64_t r = 0; r < ROWS; r++)
        class_of[r] = class_at(&task, r / T, r % T);
    toy_labels(source, "kind", SONDE_ROWS_TOKEN, class_of, names, 4);
    const char *option[] = {
        "labels", "kind", "control", "1", "l2", "0.1", "bootstrap", "0", NULL
    };
    struct sonde_result *r = run_on(source, "linear", option);
    const struct sonde_table *t = toy_table(r, "layers");
    check_close(toy_real(t, 0, "control"), 1.0, 0);
    assert_true(toy_real(t, 0, "selectivity") < -0.5);
    sonde_result_destroy(&r);
    source->destroy(&source);
}

/* Labels that have nothing to do with the features: the number of hits on n test rows is binomial,
 * so 5 standard deviations about chance hold all but one in a million. */
static void shuffled_labels_give_chance(void **state)
{
    (void)state;
    struct task task = { .n_classes = 4, .apart = 0.0, .seed = 5 };
    struct sonde_source *source = open_source(&task);
    const char *option[] = { "labels", "kind", "bootstrap", "200", NULL };
    struct sonde_result *r = run_on(source, "linear", option);
    const struct sonde_table *t = toy_table(r, "layers");
    for (int i = 0; i < 2; i++) {
        double n = toy_real(t, i, "n_test"), value = toy_real(t, i, "value");
        check_close(value, 0.25, 5 * sqrt(0.25 * 0.75 / n));
        assert_true(toy_real(t, i, "ci_low") <= value && value <= toy_real(t, i, "ci_high"));
        assert_true(isnan(toy_real(t, i, "control")));
        assert_true(isnan(toy_real(t, i, "selectivity")));
    }
    sonde_result_destroy(&r);
    source->destroy(&source);
}

/* size is a linear function of stream 0 and of nothing else. */
static void real_labels_are_fitted(void **state)
{
    (void)state;
    struct task task = { .n_classes = 2, .apart = 1.0, .seed = 6 };
    struct sonde_source *source = open_source(&task);
    const char *option[] = { "labels", "size", "bootstrap", "50", NULL };
    static const char *const probes[] = { "linear", "ridge" };
    for (int p = 0; p < 2; p++) {
        struct sonde_result *r = run_on(source, probes[p], option);
        const struct sonde_table *t = toy_table(r, "layers");
        assert_string_equal(toy_text(t, 0, "metric"), "r2");
        check_close(toy_real(t, 0, "value"), 1.0, 1e-6);
        assert_true(toy_real(t, 1, "value") < 0.2);
        assert_true(toy_real(t, 0, "majority") <= 0.0); /* the training mean explains nothing */
        check_close(toy_real(toy_table(r, "metrics"), 0, "spearman"), 1.0, 1e-6);
        sonde_result_destroy(&r);
    }
    source->destroy(&source);
}

static void two_classes_have_an_auroc(void **state)
{
    (void)state;
    struct task task = { .n_classes = 2, .apart = 2.0, .seed = 7 };
    struct sonde_source *source = open_source(&task);
    const char *option[] = { "labels", "kind", "metric", "auroc", "bootstrap", "50", NULL };
    struct sonde_result *r = run_on(source, "linear", option);
    const struct sonde_table *t = toy_table(r, "layers");
    /* Two unit normals whose means are 2 sqrt 2 apart: Phi(2) = 0.977. */
    check_close(toy_real(t, 0, "value"), 0.977, 0.04);
    check_close(toy_real(t, 0, "majority"), 0.5, 0);
    check_close(toy_real(toy_table(r, "metrics"), 0, "auroc"), toy_real(t, 0, "value"), 0);
    sonde_result_destroy(&r);
    source->destroy(&source);
}

/* A saved probe answers every row as the fitted one did: on the test rows of its own split the two
 * must be right on the same rows, and the loaded one is asked about all of them. */
static void saved_weights_reproduce_the_predictions(void **state)
{
    (void)state;
    static const char *const labels[] = { "kind", "size" };
    struct task task = { .n_classes = 3, .apart = 1.5, .seed = 8 };
    struct sonde_source *source = open_source(&task);
    char *path = toy_path("saved.safetensors");
    for (int k = 0; k < 2; k++) {
        const char *save[] = { "labels",    labels[k], "save",       path,   "l2", "1",
                               "bootstrap", "0",       "test-share", "0.99", NULL };
        const char *load[] = { "labels", labels[k], "load", path, "bootstrap", "0", NULL };
        struct sonde_result *saved = run_on(source, "linear", save);
        assert_int_equal(saved->n_checks, 1);
        assert_true(saved->check[0].ok);
        struct sonde_result *loaded = run_on(source, "linear", load);
        const struct sonde_table *a = toy_table(saved, "layers"), *b = toy_table(loaded, "layers");
        assert_int_equal((int)toy_real(b, 0, "n_train"), 0);
        assert_int_equal((int)toy_real(b, 0, "n_test"), ROWS);
        for (int i = 0; i < 2 && k == 0; i++) {
            double test_hits = toy_real(a, i, "value") * toy_real(a, i, "n_test");
            double all_hits = toy_real(b, i, "value") * ROWS;
            double n_train = toy_real(a, i, "n_train");
            assert_true(all_hits - test_hits > -1e-6 && all_hits - test_hits < n_train + 1e-6);
        }
        if (k == 1)
            check_close(toy_real(a, 0, "value"), toy_real(b, 0, "value"), 0.01);
        sonde_result_destroy(&saved);
        sonde_result_destroy(&loaded);
        check_error(source, "linear",
                    (const char *const[]){ "labels", labels[1 - k], "load", path, NULL }, NULL);
    }
    unlink(path);
    free(path);
    source->destroy(&source);
}

static enum sonde_status give_baseline(void *ctx, const char *kind, const char *patterns,
                                       struct sonde_source **out, int64_t *mem_bytes,
                                       struct sonde_error *error)
{
    (void)error;
    assert_int_equal(*mem_bytes, (int64_t)1 << 30);
    assert_string_equal(kind, "random-weights");
    assert_string_equal(patterns, "blocks.0.hook_resid_post");
    *out = open_source(ctx);
    return SONDE_STATUS_OK;
}

static void baseline_fills_its_column(void **state)
{
    (void)state;
    struct task task = { .n_classes = 4, .apart = 30.0, .seed = 3 };
    struct task nothing = { .n_classes = 4, .apart = 0.0, .seed = 3 };
    struct sonde_source *source = open_source(&task);
    const char *option[] = { "labels",         "kind",      "streams", "blocks.0.*", "baseline",
                             "random-weights", "bootstrap", "0",       NULL };
    struct toy_args args = {
        .source = source, .option = option, .open_baseline = give_baseline, .baseline_ctx = &nothing
    };
    struct sonde_result *r = toy_probe(toy_builtin("linear"), &args, NULL);
    assert_non_null(r);
    const struct sonde_table *t = toy_table(r, "layers");
    check_close(toy_real(t, 0, "value"), 1.0, 0);
    check_close(toy_real(t, 0, "random_weights"), 0.25, 0.17); /* 5 deviations on 192 rows */
    assert_true(isnan(toy_real(t, 0, "ci_low")));
    sonde_result_destroy(&r);
    check_error(source, "linear", option,
                "probe linear: --baseline random-weights needs the model: give --model");
    source->destroy(&source);
}

static void warnings_say_what_is_wrong(void **state)
{
    (void)state;
    struct task task = { .n_classes = 2, .apart = 30.0, .seed = 3 };
    struct sonde_source *source = open_source(&task);
    const char *early[] = { "labels", "kind",      "l2",    "0", "max-iterations",
                            "3",      "tolerance", "1e-12", NULL };
    struct sonde_result *r = run_on(source, "linear", early);
    assert_true(toy_warned(r, "2 of 2 fits stopped after 3 iterations before the tolerance: with "
                              "--l2 0 separable classes have no end"));
    sonde_result_destroy(&r);
    const char *wide[] = { "labels", "kind",  "l2",       "1", "test-share",
                           "0.99",   "split", "position", NULL };
    r = run_on(source, "linear", wide);
    assert_true(toy_warned(r, "split by position"));
    assert_false(toy_warned(r, "stopped after"));
    sonde_result_destroy(&r);
    source->destroy(&source);
}

static void options_are_checked(void **state)
{
    (void)state;
    struct task task = { .n_classes = 3, .apart = 1.0, .seed = 3 };
    struct sonde_source *source = open_source(&task);
    const struct {
        const char *option[7];
        const char *text;
    } cases[] = {
        { { NULL }, "probe linear: --labels is missing" },
        { { "label", "kind", NULL }, "probe linear: no option --label (nearest: --labels)" },
        { { "labels", "kind", "folds", "x", NULL },
          "probe linear: --folds \"x\": expected a whole number" },
        { { "labels", "kind", "folds", "1", NULL }, "probe linear: --folds 1: expected 2 to 100" },
        { { "labels", "kind", "l2", "-1", NULL },
          "probe linear: --l2 \"-1\": expected auto or a number from 0" },
        { { "labels", "kind", "metric", "f1", NULL },
          "probe linear: --metric \"f1\": expected auto|accuracy|macro-f1|auroc|r2|spearman" },
        { { "labels", "kind", "metric", "auroc", NULL },
          "probe linear: --metric auroc needs two classes, there are 3" },
        { { "labels", "kind", "metric", "r2", NULL },
          "probe linear: --metric r2 is not for class labels" },
        { { "labels", "kind", "streams", "blocks.7.*", NULL },
          "probe linear: no stream matches \"blocks.7.*\" (recorded: blocks.0.hook_resid_post, "
          "blocks.1.hook_resid_post)" },
        { { "labels", "kind", "labels", "kind", NULL }, "probe linear: --labels is given twice" },
        { { "labels", "kind", "save", "a", "load", "b", NULL },
          "probe linear: --save and --load do not go together: nothing is fitted" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        check_error(source, "linear", cases[i].option, cases[i].text);
    check_error(source, "lda", (const char *const[]){ "labels", "size", NULL },
                "probe lda: label set size: real labels, expected classes (or --task class)");
    struct toy_args none = { .option = (const char *const[]){ "labels", "kind", NULL } };
    struct sonde_error error;
    assert_null(toy_probe(toy_builtin("linear"), &none, &error));
    assert_string_equal(error.text, "probe linear: needs recorded activations: give a store");
    struct toy_args tight = { .source = source,
                              .option = (const char *const[]){ "labels", "kind", NULL },
                              .mem_bytes = 20000 };
    assert_null(toy_probe(toy_builtin("linear"), &tight, &error));
    assert_int_equal(error.status, SONDE_STATUS_LIMIT);
    source->destroy(&source);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(separable_classes_are_found),
        cmocka_unit_test(control_task_is_learnt_from_types),
        cmocka_unit_test(shuffled_labels_give_chance),
        cmocka_unit_test(real_labels_are_fitted),
        cmocka_unit_test(two_classes_have_an_auroc),
        cmocka_unit_test(saved_weights_reproduce_the_predictions),
        cmocka_unit_test(baseline_fills_its_column),
        cmocka_unit_test(warnings_say_what_is_wrong),
        cmocka_unit_test(options_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
