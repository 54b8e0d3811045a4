/* Schedules, masks and evaluations against closed forms. */
#include <math.h>
#include <string.h>

#include "core/train/train_internal.h"
#include "tests/support/check.h"
#include "tests/unit/train/train_support.h"

static void test_schedules(void **state)
{
    (void)state;
    struct sonde_schedule s = { .kind = SONDE_SCHEDULE_CONSTANT };
    check_close(sonde_schedule_factor(&s, 1), 1, 0);
    check_close(sonde_schedule_factor(&s, 1000000), 1, 0);
    s = (struct sonde_schedule){ .kind = SONDE_SCHEDULE_LINEAR, .warmup = 4, .n_steps = 14 };
    check_close(sonde_schedule_factor(&s, 1), 0.25, 0);
    check_close(sonde_schedule_factor(&s, 4), 1, 0);
    check_close(sonde_schedule_factor(&s, 9), 0.5, 1e-15);
    check_close(sonde_schedule_factor(&s, 14), 0, 0);
    check_close(sonde_schedule_factor(&s, 99), 0, 0);
    s.kind = SONDE_SCHEDULE_COSINE;
    s.final = 0.2;
    /* Half of the way cos is 0, a third of it 1/2. */
    check_close(sonde_schedule_factor(&s, 9), 0.6, 1e-15);
    check_close(sonde_schedule_factor(&s, 14), 0.2, 0);
    s.warmup = 0;
    s.n_steps = 9;
    check_close(sonde_schedule_factor(&s, 3), 0.2 + 0.8 * 0.75, 1e-15);
    /* torch.optim.lr_scheduler.StepLR(step_size=3, gamma=.5): three steps at each rate. */
    s = (struct sonde_schedule){ .kind = SONDE_SCHEDULE_STEP, .gamma = 0.5, .period = 3 };
    static const double expected[] = { 1, 1, 1, 0.5, 0.5, 0.5, 0.25 };
    for (int i = 0; i < 7; i++) {
        check_close(sonde_schedule_factor(&s, i + 1), expected[i], 0);
    }
    /* A schedule that is all warmup divides nothing by 0. */
    s = (struct sonde_schedule){ .kind = SONDE_SCHEDULE_COSINE, .warmup = 5, .n_steps = 5 };
    check_close(sonde_schedule_factor(&s, 5), 1, 0);
    check_close(sonde_schedule_factor(&s, 6), 0, 0);
}

/* Devlin et al.: 15 % of the rows; of those 80 % the mask, 10 % any id, 10 % as they were. */
static void test_masks(void **state)
{
    enum { T = 4000, N = 40, V = 50, MASK = 49 };
    const struct sonde_task task = { .objective = SONDE_OBJECTIVE_MASKED_TOKEN,
                                     .n_outputs = V,
                                     .d_vocab = V,
                                     .seed = 3,
                                     .mask_id = MASK };
    struct sonde_prepared p = { 0 };
    int32_t ids[T];
    int64_t chosen = 0, masked = 0, same = 0, rows = 0;
    (void)state;
    for (int t = 0; t < T; t++) {
        ids[t] = t % 10;
    }
    const struct sonde_example example = { .ids = ids, .n_tokens = T };
    for (int64_t i = 0; i < N; i++) {
        assert_int_equal(sonde_task_prepare(&task, &example, i, 2, &p, NULL), SONDE_STATUS_OK);
        rows += sonde_task_rows(&task, &example, i, 2);
        for (int t = 0; t < T; t++) {
            const bool is_chosen = p.loss.targets[t] >= 0;
            assert_int_equal(p.loss.targets[t], is_chosen ? ids[t] : -1);
            assert_true(is_chosen || p.ids[t] == ids[t]);
            chosen += is_chosen;
            masked += is_chosen && p.ids[t] == MASK;
            same += is_chosen && p.ids[t] == ids[t];
        }
    }
    assert_int_equal(rows, chosen);
    /* Five standard deviations of the binomial. */
    const double n = (double)T * N, c = (double)chosen;
    check_close(c / n, 0.15, 5 * sqrt(0.15 * 0.85 / n));
    const double p_mask = 0.8 + 0.1 / V, p_same = 0.1 + 0.1 / V;
    check_close((double)masked / c, p_mask, 5 * sqrt(p_mask * (1 - p_mask) / c));
    check_close((double)same / c, p_same, 5 * sqrt(p_same * (1 - p_same) / c));
    /* Another epoch and another example are other draws, the same is the same. */
    int32_t first[T], again[T];
    assert_int_equal(sonde_task_prepare(&task, &example, 7, 0, &p, NULL), SONDE_STATUS_OK);
    memcpy(first, p.ids, sizeof first);
    assert_int_equal(sonde_task_prepare(&task, &example, 7, 1, &p, NULL), SONDE_STATUS_OK);
    assert_true(memcmp(first, p.ids, sizeof first) != 0);
    assert_int_equal(sonde_task_prepare(&task, &example, 8, 0, &p, NULL), SONDE_STATUS_OK);
    assert_true(memcmp(first, p.ids, sizeof first) != 0);
    assert_int_equal(sonde_task_prepare(&task, &example, 7, 0, &p, NULL), SONDE_STATUS_OK);
    memcpy(again, p.ids, sizeof again);
    assert_memory_equal(first, again, sizeof first);
    sonde_prepared_finish(&p);
}

/* With every weight 0 all outputs are alike: losses are known numbers. */
static struct sonde_model *blank_model(struct sonde_model *model)
{
    int64_t n = 0;
    const struct sonde_parameter *p = sonde_model_parameter_list(model, &n);
    for (int64_t i = 0; i < n; i++) {
        memset(p[i].data, 0, (size_t)(p[i].rows * p[i].columns) * sizeof(float));
    }
    return model;
}

static void test_losses_of_nothing(void **state)
{
    struct sonde_model *counter = blank_model(train_counter_model("shuffle-2", 1));
    struct sonde_examples *strings = train_formal("shuffle-2:n=30,len=2..20");
    const struct sonde_example_source source = sonde_examples_source(strings);
    struct sonde_evaluate_options how = { .objective = SONDE_OBJECTIVE_K_HOT_BCE };
    struct sonde_evaluation e = { 0 };
    int64_t none_open = 0;
    (void)state;
    assert_int_equal(sonde_evaluate(counter, &source, &how, &e, NULL), SONDE_STATUS_OK);
    check_close(e.loss, log(2), 1e-7);
    how.objective = SONDE_OBJECTIVE_K_HOT_MSE;
    assert_int_equal(sonde_evaluate(counter, &source, &how, &e, NULL), SONDE_STATUS_OK);
    check_close(e.loss, 0.25, 1e-7);
    assert_int_equal(e.rows, sonde_examples_tokens(strings));
    /* A sigmoid of exactly .5 stands for 0; an open bracket may always follow. */
    assert_int_equal(e.right, 0);
    /* Outputs ( and [ pushed above .5: right where no bracket is open. */
    int64_t n = 0;
    const struct sonde_parameter *p = sonde_model_parameter_list(counter, &n);
    for (int64_t i = 0; i < n; i++) {
        if (strcmp(p[i].name, "lm_head.bias") == 0) {
            const float bias[4] = { 9, -9, 9, -9 };
            assert_int_equal(p[i].rows * p[i].columns, 4);
            memcpy(p[i].data, bias, sizeof bias);
        }
    }
    for (int64_t i = 0; i < source.n; i++) {
        struct sonde_example example;
        assert_int_equal(source.get(source.ctx, i, &example, NULL), SONDE_STATUS_OK);
        for (int64_t t = 0; t < example.n_tokens; t++) {
            const uint8_t *hot = example.hot + 4 * t;
            none_open += hot[0] && hot[2] && !hot[1] && !hot[3];
        }
    }
    assert_int_equal(sonde_evaluate(counter, &source, &how, &e, NULL), SONDE_STATUS_OK);
    assert_int_equal(e.right, none_open);
    assert_int_equal(e.sequences_right, 0);
    sonde_examples_destroy(&strings);
    sonde_model_close(&counter);
}

static void test_classes_and_rows(void **state)
{
    struct sonde_model *model = blank_model(
        train_model("{'model_type': 'sonde', 'hidden_size': 8, 'num_hidden_layers': 1, "
                    "'num_attention_heads': 1, 'intermediate_size': 8, 'vocab_size': 5, "
                    "'n_outputs': 3, 'position': 'none', 'causal': false}",
                    SONDE_INIT_NORMAL, 1));
    struct sonde_examples *set = NULL;
    struct sonde_evaluated each[2];
    struct sonde_evaluation e = { 0 };
    struct sonde_error error = { 0 };
    const int32_t ids[3] = { 4, 1, 2 }, one[3] = { 0, -1, 2 }, two[3] = { -1, -1, -1 };
    (void)state;
    assert_int_equal(sonde_examples_create(&set, 0, NULL), SONDE_STATUS_OK);
    struct sonde_example example = { .ids = ids, .n_tokens = 3, .targets = one };
    assert_int_equal(sonde_examples_add(set, &example, NULL), SONDE_STATUS_OK);
    example.targets = two;
    assert_int_equal(sonde_examples_add(set, &example, NULL), SONDE_STATUS_OK);
    struct sonde_example_source source = sonde_examples_source(set);
    struct sonde_evaluate_options how = { .objective = SONDE_OBJECTIVE_CLASSIFICATION,
                                          .each = each };
    assert_int_equal(sonde_evaluate(model, &source, &how, &e, NULL), SONDE_STATUS_OK);
    check_close(e.loss, log(3), 1e-7);
    assert_int_equal(e.rows, 2);
    assert_int_equal(e.right, 1); /* the first of equal outputs counts as the likeliest */
    assert_int_equal(each[0].rows, 2);
    assert_int_equal(each[1].rows, 0);
    assert_true(each[1].all_right);
    /* A class that the model has not, and an objective that it cannot have. */
    example.targets = (int32_t[]){ 0, 3, 0 };
    assert_int_equal(sonde_examples_add(set, &example, NULL), SONDE_STATUS_OK);
    source = sonde_examples_source(set);
    how.each = NULL;
    assert_int_equal(sonde_evaluate(model, &source, &how, &e, &error), SONDE_STATUS_ARGUMENT);
    assert_string_equal(error.text, "example 2: target 1 has id 3, the model has 3 outputs");
    how.objective = SONDE_OBJECTIVE_NEXT_TOKEN;
    assert_int_equal(sonde_evaluate(model, &source, &how, &e, &error), SONDE_STATUS_ARGUMENT);
    assert_non_null(strstr(error.text, "3 outputs, expected one for each of its 5 tokens"));
    sonde_examples_destroy(&set);
    sonde_model_close(&model);
}

/* Batches by tokens differ from epoch to epoch; the count says exactly how many there will be, and
 * sequences without a row that counts make no steps. */
static bool stop_at_second_epoch(void *ctx, const char *what, int64_t done, int64_t total,
                                 const char *unit)
{
    (void)what;
    (void)total;
    (void)unit;
    ++*(int *)ctx;
    return done < 1;
}

static void test_counted_steps(void **state)
{
    struct sonde_model *model = train_counter_model("dyck-1", 5);
    struct sonde_examples *set = train_formal("dyck-1:n=60,len=2..40"), *idle = NULL;
    struct sonde_trainer_options options = train_counter_options();
    struct sonde_trainer *trainer = NULL;
    int64_t n_steps = 0, n = 0;
    (void)state;
    options.batch_sequences = 0;
    options.batch_tokens = 97;
    options.shuffle = true;
    struct sonde_example_source source = sonde_examples_source(set);
    assert_int_equal(sonde_trainer_create(&trainer, model, &source, &options, NULL),
                     SONDE_STATUS_OK);
    assert_int_equal(sonde_trainer_count_steps(trainer, 3, &n_steps, NULL), SONDE_STATUS_OK);
    for (int epoch = 0; epoch < 3; epoch++) {
        assert_int_equal(sonde_trainer_epoch(trainer, NULL, NULL, NULL), SONDE_STATUS_OK);
        assert_int_equal(sonde_trainer_position(trainer)->epoch, epoch);
    }
    assert_int_equal(sonde_trainer_position(trainer)->step, n_steps);
    assert_int_equal(sonde_trainer_position(trainer)->tokens, 3 * sonde_examples_tokens(set));
    sonde_trainer_destroy(&trainer);
    /* Counting can be stopped, also where the trainer is made. */
    int n_calls = 0;
    const struct sonde_progress progress = { .ctx = &n_calls, .update = stop_at_second_epoch };
    options.progress = &progress;
    assert_int_equal(sonde_trainer_create(&trainer, model, &source, &options, NULL),
                     SONDE_STATUS_OK);
    assert_int_equal(n_calls, 0);
    assert_int_equal(sonde_trainer_count_steps(trainer, 1 << 20, &n_steps, NULL),
                     SONDE_STATUS_CANCELLED);
    assert_in_range(n_calls, 2, n_steps);
    assert_int_equal(sonde_trainer_position(trainer)->step, 0);
    sonde_trainer_destroy(&trainer);
    options.schedule_epochs = 1 << 20;
    assert_int_equal(sonde_trainer_create(&trainer, model, &source, &options, NULL),
                     SONDE_STATUS_CANCELLED);
    assert_null(trainer);
    /* Only the second and the fourth of nine examples have something to learn. */
    assert_int_equal(sonde_examples_create(&idle, 2, NULL), SONDE_STATUS_OK);
    for (int i = 0; i < 9; i++) {
        const bool counts[2] = { i == 1 || i == 3, false };
        const struct sonde_example example = {
            .ids = (int32_t[]){ 1, 2 }, .n_tokens = 2, .hot = (uint8_t[4]){ 0 }, .counts = counts
        };
        assert_int_equal(sonde_examples_add(idle, &example, NULL), SONDE_STATUS_OK);
    }
    options = train_counter_options();
    options.batch_sequences = 1;
    source = sonde_examples_source(idle);
    assert_int_equal(sonde_trainer_create(&trainer, model, &source, &options, NULL),
                     SONDE_STATUS_OK);
    assert_int_equal(sonde_trainer_count_steps(trainer, 5, &n, NULL), SONDE_STATUS_OK);
    assert_int_equal(n, 10);
    for (int epoch = 0; epoch < 2; epoch++) {
        assert_int_equal(sonde_trainer_epoch(trainer, NULL, NULL, NULL), SONDE_STATUS_OK);
    }
    assert_int_equal(sonde_trainer_position(trainer)->step, 4);
    assert_int_equal(sonde_trainer_position(trainer)->epoch, 1);
    sonde_trainer_destroy(&trainer);
    sonde_examples_destroy(&idle);
    sonde_examples_destroy(&set);
    sonde_model_close(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_schedules),         cmocka_unit_test(test_masks),
        cmocka_unit_test(test_losses_of_nothing), cmocka_unit_test(test_classes_and_rows),
        cmocka_unit_test(test_counted_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
