/* The kinds of loss at a model whose outputs are not its vocabulary: values and dL/dlogits in
 * closed form from the logits of the same pass, weights of a loss, rows that count, and what is
 * refused. */
#include <string.h>

#include "core/model/create.h"
#include "core/model/gradient.h"
#include "tests/support/check.h"

enum { T = 6, K = 3, V = 7 };

struct setup {
    struct sonde_model *model;
    struct sonde_session *session;
    struct sonde_gradient *gradient;
    const struct sonde_parameter *head; /* the unembedding */
    float *head_gradient;
    float logits[T * K], slope[T * K];
};

static const int32_t ids[T] = { 1, 6, 0, 2, 2, 5 };
static const int32_t targets[T] = { -1, 2, 0, -7, 1, 2 };
static const bool counts[T] = { false, true, true, false, true, true };
static const float hot[T * K] = { NAN, 2, 0, 1, 0, 1, 0, 0, 0, -1, 0, 0, 1, 1, 1, 0.25f, 1, 0.5f };

static int setup(void **state)
{
    static const char text[] =
        "{\"model_type\":\"sonde\",\"vocab_size\":7,\"n_outputs\":3,\"hidden_size\":8,"
        "\"num_hidden_layers\":1,\"num_attention_heads\":2,\"position\":\"learned\","
        "\"head\":\"sigmoid\",\"max_position_embeddings\":8}";
    struct setup *s = calloc(1, sizeof *s);
    struct sonde_json *config = NULL;
    struct sonde_error error = { 0 };
    const struct sonde_init init = { .std = 0.5, .seed = 9 };
    int64_t n = 0;
    assert_non_null(s);
    check_ok(sonde_json_parse(&config, text, strlen(text), &error), &error);
    check_ok(sonde_model_create(&s->model, config, "made", &init, &error), &error);
    sonde_json_destroy(&config);
    check_ok(sonde_session_create(&s->session, s->model, NULL, &error), &error);
    check_ok(sonde_gradient_create(&s->gradient, s->session, 0, &error), &error);
    const struct sonde_parameter *p = sonde_model_parameter_list(s->model, &n);
    for (int64_t i = 0; i < n; i++) {
        s->head = strcmp(p[i].name, "lm_head.weight") == 0 ? &p[i] : s->head;
    }
    assert_non_null(s->head);
    s->head_gradient = calloc((size_t)(s->head->rows * s->head->columns), sizeof(float));
    check_ok(sonde_gradient_want(s->gradient, s->head->weight, s->head_gradient, &error), &error);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct setup *s = *state;
    sonde_gradient_destroy(&s->gradient);
    sonde_session_destroy(&s->session);
    sonde_model_close(&s->model);
    free(s->head_gradient);
    free(s);
    return 0;
}

static enum sonde_status take(void *ctx, struct sonde_site site, const struct sonde_tensor *value,
                              struct sonde_error *error)
{
    (void)site;
    (void)error;
    assert_int_equal(sonde_tensor_elements(value), T * K);
    memcpy(ctx, value->data, T * K * sizeof(float));
    return SONDE_STATUS_OK;
}

static enum sonde_status run(struct setup *s, const struct sonde_loss *loss, double *value,
                             struct sonde_error *error)
{
    struct sonde_site_set logits = { 0 };
    sonde_site_set_add(&logits, (struct sonde_site){ SONDE_SITE_LOGITS, -1 });
    const struct sonde_hook hook = { .observe = &logits, .on_value = take, .ctx = s->logits };
    const struct sonde_gradient_args args = { .ids = ids,
                                              .n_tokens = T,
                                              .loss = *loss,
                                              .hooks = &hook,
                                              .n_hooks = 1,
                                              .sites = &logits,
                                              .on_gradient = take,
                                              .ctx = s->slope };
    memset(s->head_gradient, 0, (size_t)(s->head->rows * s->head->columns) * sizeof(float));
    return sonde_gradient_run(s->gradient, &args, value, error);
}

static double sigmoid(double z)
{
    return 1.0 / (1.0 + exp(-z));
}

/* Adds one row's share of the loss to *value and gives dL/dlogits of it, in double. */
static void one_row(enum sonde_loss_kind kind, const float *z, int t, double *value, double *slope)
{
    double total = 0.0;
    for (int k = 0; k < K; k++) {
        total += exp((double)z[k]);
    }
    for (int k = 0; k < K; k++) {
        const double s = sigmoid((double)z[k]), y = (double)hot[t * K + k];
        if (kind == SONDE_LOSS_TARGETS) {
            slope[k] = exp((double)z[k]) / total - (k == targets[t]);
            *value += k == targets[t] ? log(total) - (double)z[k] : 0.0;
        } else if (kind == SONDE_LOSS_SIGMOID_MSE) {
            slope[k] = 2.0 * (s - y) * s * (1.0 - s) / K;
            *value += (s - y) * (s - y) / K;
        } else {
            slope[k] = (s - y) / K;
            *value -= (y * log(s) + (1.0 - y) * log(1.0 - s)) / K;
        }
    }
}

/* Tolerance: exponentials within 4 units of 2^-24, sums of three, two roundings of f32: 16 units of
 * numbers below 1. A weight of 1/4 scales every bit of the gradients by 1/4 and leaves the loss. */
static void test_closed_forms(void **state)
{
    static const enum sonde_loss_kind kinds[] = { SONDE_LOSS_TARGETS, SONDE_LOSS_SIGMOID_MSE,
                                                  SONDE_LOSS_SIGMOID_BCE };
    struct setup *s = *state;
    struct sonde_error error = { 0 };
    const double tolerance = 16 * 0x1p-24;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct sonde_loss loss = { .kind = kinds[i], .targets = targets, .hot = hot };
        loss.counts = counts;
        double value = 0.0, want = 0.0, again = 0.0;
        check_ok(run(s, &loss, &value, &error), &error);
        assert_int_equal(sonde_loss_rows(&loss, T), 4);
        for (int t = 0; t < T; t++) {
            double slope[K] = { 0.0 };
            if (counts[t]) {
                one_row(kinds[i], s->logits + t * K, t, &want, slope);
            }
            for (int k = 0; k < K; k++) {
                check_close(s->slope[t * K + k], slope[k] / 4.0, tolerance);
            }
        }
        check_close(value, want / 4.0, tolerance);
        const int64_t n = s->head->rows * s->head->columns;
        float *whole = malloc((size_t)n * sizeof *whole), slope[T * K];
        assert_non_null(whole);
        memcpy(whole, s->head_gradient, (size_t)n * sizeof *whole);
        memcpy(slope, s->slope, sizeof slope);
        loss.weight = 0.25;
        check_ok(run(s, &loss, &again, &error), &error);
        assert_true(again == value);
        for (int64_t j = 0; j < n; j++) {
            assert_true(s->head_gradient[j] == 0.25f * whole[j]);
        }
        for (int j = 0; j < T * K; j++) {
            assert_true(s->slope[j] == 0.25f * slope[j]);
        }
        free(whole);
    }
}

static void test_rows(void **state)
{
    struct sonde_loss loss = { .kind = SONDE_LOSS_NEXT_TOKEN };
    (void)state;
    assert_int_equal(sonde_loss_rows(&loss, T), T - 1);
    assert_int_equal(sonde_loss_rows(&loss, 1), 0);
    loss.kind = SONDE_LOSS_LOGIT;
    assert_int_equal(sonde_loss_rows(&loss, T), 1);
    loss.kind = SONDE_LOSS_SIGMOID_BCE;
    assert_int_equal(sonde_loss_rows(&loss, T), T);
}

static void expect_refused(struct setup *s, const struct sonde_loss *loss, enum sonde_status status,
                           const char *message)
{
    struct sonde_error error = { 0 };
    double value = -1.0;
    assert_int_equal(run(s, loss, &value, &error), status);
    assert_string_equal(error.text, message);
    assert_true(value == -1.0);
}

static void test_refused(void **state)
{
    struct setup *s = *state;
    int32_t far[T] = { 0, 1, 2, 3, -1, -1 };
    float one[T * K] = { 0 };
    struct sonde_loss loss = { .kind = SONDE_LOSS_NEXT_TOKEN };
    expect_refused(s, &loss, SONDE_STATUS_UNSUPPORTED,
                   "this model has 3 outputs, which are not its vocabulary");
    loss = (struct sonde_loss){ .kind = SONDE_LOSS_TARGETS, .targets = far };
    expect_refused(s, &loss, SONDE_STATUS_ARGUMENT, "target 3 has id 3, the model has 3 outputs");
    loss = (struct sonde_loss){ .kind = SONDE_LOSS_SIGMOID_MSE, .hot = hot };
    expect_refused(s, &loss, SONDE_STATUS_ARGUMENT, "target 0 of output 0 is nan, not in [0, 1]");
    one[7] = 1.5f;
    loss = (struct sonde_loss){ .kind = SONDE_LOSS_SIGMOID_BCE, .hot = one };
    expect_refused(s, &loss, SONDE_STATUS_ARGUMENT, "target 2 of output 1 is 1.5, not in [0, 1]");
    loss = (struct sonde_loss){ .kind = SONDE_LOSS_LOGIT, .weight = 1e300 };
    expect_refused(s, &loss, SONDE_STATUS_ARGUMENT, "a loss of weight 1e+300");
    loss.weight = NAN;
    expect_refused(s, &loss, SONDE_STATUS_ARGUMENT, "a loss of weight nan");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_closed_forms, setup, teardown),
        cmocka_unit_test(test_rows),
        cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
