/* The trainer: that it descends, and that threads, interruptions and faults change no bit. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/rng.h"
#include "core/model/gradient.h"
#include "tests/support/check.h"
#include "tests/unit/train/train_support.h"

static const char small_config[] =
    "{'model_type': 'sonde', 'hidden_size': 16, 'num_hidden_layers': 1, 'num_attention_heads': 2, "
    "'intermediate_size': 24, 'vocab_size': 7, 'max_position_embeddings': 16, 'position': "
    "'learned', 'hidden_act': 'gelu'}";

static struct sonde_examples *random_examples(int64_t n, uint64_t seed)
{
    struct sonde_examples *examples = NULL;
    struct sonde_rng rng = sonde_rng_make(seed, 3);
    assert_int_equal(sonde_examples_create(&examples, 0, NULL), SONDE_STATUS_OK);
    for (int64_t i = 0; i < n; i++) {
        int32_t ids[16];
        const int64_t T = 2 + sonde_rng_below(&rng, 14);
        for (int64_t t = 0; t < T; t++) {
            ids[t] = (int32_t)sonde_rng_below(&rng, 7);
        }
        const struct sonde_example example = { .ids = ids, .n_tokens = T };
        assert_int_equal(sonde_examples_add(examples, &example, NULL), SONDE_STATUS_OK);
    }
    return examples;
}

static struct sonde_trainer_options adam_options(void)
{
    struct sonde_trainer_options options = { .objective = SONDE_OBJECTIVE_NEXT_TOKEN,
                                             .rule = sonde_update_defaults(SONDE_UPDATE_ADAMW),
                                             .batch_sequences = 5,
                                             .shuffle = true,
                                             .clip_norm = 1.0,
                                             .seed = 7 };
    options.schedule =
        (struct sonde_schedule){ .kind = SONDE_SCHEDULE_COSINE, .warmup = 3, .n_steps = 40 };
    return options;
}

static struct sonde_trainer *make_trainer(struct sonde_model *model,
                                          struct sonde_examples *examples,
                                          const struct sonde_trainer_options *options)
{
    struct sonde_error error = { 0 };
    struct sonde_trainer *trainer = NULL;
    const struct sonde_example_source source = sonde_examples_source(examples);
    if (sonde_trainer_create(&trainer, model, &source, options, &error)) {
        fail_msg("%s", error.text);
    }
    return trainer;
}

static void run_steps(struct sonde_trainer *trainer, int n)
{
    struct sonde_error error = { 0 };
    for (int i = 0; i < n; i++) {
        if (sonde_trainer_step(trainer, NULL, &error)) {
            fail_msg("%s", error.text);
        }
    }
}

/* Two tokens a string: the least loss is the entropy of the second given the first, whatever the
 * model can do, and this one can tell all pairs apart. */
static void test_reaches_entropy(void **state)
{
    static const int counts[3][4] = { { 8, 4, 2, 2 }, { 1, 1, 7, 7 }, { 16, 0, 0, 0 } };
    struct sonde_examples *examples = NULL;
    double entropy = 0.0;
    (void)state;
    assert_int_equal(sonde_examples_create(&examples, 0, NULL), SONDE_STATUS_OK);
    for (int32_t a = 0; a < 3; a++) {
        for (int32_t b = 0; b < 4; b++) {
            const double p = counts[a][b] / 16.0;
            entropy -= p > 0.0 ? p * log(p) / 3.0 : 0.0;
            for (int i = 0; i < counts[a][b]; i++) {
                const struct sonde_example example = { .ids = (int32_t[]){ a, 3 + b },
                                                       .n_tokens = 2 };
                assert_int_equal(sonde_examples_add(examples, &example, NULL), SONDE_STATUS_OK);
            }
        }
    }
    struct sonde_model *model = train_model(small_config, SONDE_INIT_NORMAL, 1);
    struct sonde_trainer_options options = adam_options();
    options.rule.lr = 0.02;
    options.rule.weight_decay = 0.0;
    options.batch_sequences = 48;
    options.clip_norm = 0.0;
    options.schedule.n_steps = 600;
    struct sonde_trainer *trainer = make_trainer(model, examples, &options);
    run_steps(trainer, 600);
    const struct sonde_example_source source = sonde_examples_source(examples);
    const struct sonde_evaluate_options how = { .objective = SONDE_OBJECTIVE_NEXT_TOKEN };
    struct sonde_evaluation found = { 0 };
    assert_int_equal(sonde_evaluate(model, &source, &how, &found, NULL), SONDE_STATUS_OK);
    assert_int_equal(found.rows, 48);
    /* Below the entropy no model can be; f32 logits round within 1e-6. */
    assert_true(found.loss > entropy - 1e-6);
    assert_true(found.loss < entropy + 1e-3);
    assert_int_equal(found.right, 8 + 7 + 16);
    sonde_trainer_destroy(&trainer);
    sonde_examples_destroy(&examples);
    sonde_model_close(&model);
}

/* The mean over the rows of a batch, from the gradients of single sequences, in double. */
static void batch_gradient(struct sonde_model *model, struct sonde_examples *examples, double **out,
                           double *square)
{
    int64_t n_parameters = 0, rows = 0;
    const struct sonde_parameter *p = sonde_model_parameter_list(model, &n_parameters);
    const struct sonde_example_source source = sonde_examples_source(examples);
    struct sonde_session *session = NULL;
    for (int64_t i = 0; i < source.n; i++) {
        struct sonde_example e;
        assert_int_equal(source.get(source.ctx, i, &e, NULL), SONDE_STATUS_OK);
        rows += e.n_tokens - 1;
    }
    assert_int_equal(sonde_session_create(&session, model, NULL, NULL), SONDE_STATUS_OK);
    for (int64_t i = 0; i < source.n; i++) {
        struct sonde_gradient *gradient = NULL;
        float **into = calloc((size_t)n_parameters, sizeof *into);
        assert_int_equal(sonde_gradient_create(&gradient, session, 0, NULL), SONDE_STATUS_OK);
        for (int64_t k = 0; k < n_parameters; k++) {
            into[k] = calloc((size_t)(p[k].rows * p[k].columns), sizeof **into);
            assert_int_equal(sonde_gradient_want(gradient, p[k].weight, into[k], NULL),
                             SONDE_STATUS_OK);
        }
        struct sonde_example e;
        assert_int_equal(source.get(source.ctx, i, &e, NULL), SONDE_STATUS_OK);
        const struct sonde_gradient_args args = { .ids = e.ids,
                                                  .n_tokens = e.n_tokens,
                                                  .loss = { .kind = SONDE_LOSS_NEXT_TOKEN } };
        assert_int_equal(sonde_gradient_run(gradient, &args, NULL, NULL), SONDE_STATUS_OK);
        for (int64_t k = 0; k < n_parameters; k++) {
            for (int64_t j = 0; j < p[k].rows * p[k].columns; j++) {
                out[k][j] += (double)into[k][j] * (double)(e.n_tokens - 1) / (double)rows;
            }
            free(into[k]);
        }
        free(into);
        sonde_gradient_destroy(&gradient);
    }
    sonde_session_destroy(&session);
    *square = 0.0;
    for (int64_t k = 0; k < n_parameters; k++) {
        for (int64_t j = 0; j < p[k].rows * p[k].columns; j++) {
            *square += out[k][j] * out[k][j];
        }
    }
}

static void test_step_is_mean_gradient(void **state)
{
    struct sonde_model *model = train_model(small_config, SONDE_INIT_NORMAL, 2);
    struct sonde_examples *examples = random_examples(11, 4);
    int64_t n = 0;
    const struct sonde_parameter *p = sonde_model_parameter_list(model, &n);
    double **gradient = calloc((size_t)n, sizeof *gradient), square = 0.0;
    float **before = calloc((size_t)n, sizeof *before);
    (void)state;
    for (int64_t k = 0; k < n; k++) {
        const size_t size = (size_t)(p[k].rows * p[k].columns);
        gradient[k] = calloc(size, sizeof **gradient);
        before[k] = calloc(size, sizeof **before);
        memcpy(before[k], p[k].data, size * sizeof **before);
    }
    batch_gradient(model, examples, gradient, &square);
    /* Clipped to half of its norm. */
    struct sonde_trainer_options options = { .rule = sonde_update_defaults(SONDE_UPDATE_SGD),
                                             .batch_sequences = 11,
                                             .clip_norm = 0.5 * sqrt(square) };
    options.rule.lr = 0.5;
    struct sonde_trainer *trainer = make_trainer(model, examples, &options);
    struct sonde_train_step step;
    assert_int_equal(sonde_trainer_step(trainer, &step, NULL), SONDE_STATUS_OK);
    assert_true(fabs(step.gradient_norm - sqrt(square)) < 1e-5 * sqrt(square));
    assert_int_equal(step.n_sequences, 11);
    assert_int_equal(step.n_rows, step.n_tokens - 11);
    const double factor = 0.5 * sqrt(square) / (sqrt(square) + 1e-6);
    for (int64_t k = 0; k < n; k++) {
        for (int64_t j = 0; j < p[k].rows * p[k].columns; j++) {
            const double expected = (double)before[k][j] - 0.5 * factor * gradient[k][j];
            /* The weight is rounded once; a gradient of 11 sums in f32 to 2^-20 of the norm. */
            assert_true(fabs((double)p[k].data[j] - expected) <
                        0x1p-23 * fabs(expected) + 0x1p-20 * sqrt(square));
        }
        free(gradient[k]);
        free(before[k]);
    }
    free(gradient);
    free(before);
    sonde_trainer_destroy(&trainer);
    sonde_examples_destroy(&examples);
    sonde_model_close(&model);
}

/* Weights after some steps, for a number of threads. */
static uint64_t hash_after(int threads, const struct sonde_trainer_options *options, int n_steps)
{
    struct sonde_model *model = train_model(small_config, SONDE_INIT_NORMAL, 5);
    struct sonde_examples *examples = random_examples(33, 6);
    struct sonde_trainer_options chosen = *options;
    assert_int_equal(sonde_pool_create(&chosen.pool, threads, NULL), SONDE_STATUS_OK);
    struct sonde_trainer *trainer = make_trainer(model, examples, &chosen);
    run_steps(trainer, n_steps);
    const uint64_t hash = train_weights_hash(model);
    sonde_trainer_destroy(&trainer);
    sonde_pool_destroy(&chosen.pool);
    sonde_examples_destroy(&examples);
    sonde_model_close(&model);
    return hash;
}

static void test_threads_same_bits(void **state)
{
    struct sonde_trainer_options options = adam_options();
    (void)state;
    for (int by_tokens = 0; by_tokens < 2; by_tokens++) {
        options.batch_sequences = by_tokens ? 0 : 13;
        options.batch_tokens = by_tokens ? 100 : 0;
        const uint64_t first = hash_after(1, &options, 20);
        for (int threads = 2; threads <= 4; threads++) {
            assert_true(hash_after(threads, &options, 20) == first);
        }
        options.seed++;
        assert_false(hash_after(1, &options, 20) == first);
    }
}

static void test_resume_same_bits(void **state)
{
    char path[] = "train-state-XXXXXX";
    struct sonde_trainer_options options = adam_options();
    struct sonde_examples *examples = random_examples(33, 6);
    struct sonde_model *model = train_model(small_config, SONDE_INIT_NORMAL, 5);
    struct sonde_trainer *trainer = make_trainer(model, examples, &options);
    (void)state;
    const int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    /* In the middle of an epoch (7 batches), at its end, and before the first step. */
    static const int stops[] = { 0, 3, 7, 18 };
    run_steps(trainer, 25);
    const uint64_t whole = train_weights_hash(model);
    const struct sonde_train_position end = *sonde_trainer_position(trainer);
    sonde_trainer_destroy(&trainer);
    sonde_model_close(&model);
    for (size_t i = 0; i < sizeof stops / sizeof *stops; i++) {
        model = train_model(small_config, SONDE_INIT_NORMAL, 5);
        trainer = make_trainer(model, examples, &options);
        run_steps(trainer, stops[i]);
        assert_int_equal(sonde_trainer_save(trainer, path, "recipe 1", NULL), SONDE_STATUS_OK);
        sonde_trainer_destroy(&trainer);
        sonde_model_close(&model);
        model = train_model(small_config, SONDE_INIT_NORMAL, 99);
        trainer = make_trainer(model, examples, &options);
        assert_int_equal(sonde_trainer_load(trainer, path, "recipe 1", NULL), SONDE_STATUS_OK);
        run_steps(trainer, 25 - stops[i]);
        assert_true(train_weights_hash(model) == whole);
        assert_memory_equal(sonde_trainer_position(trainer), &end, sizeof end);
        sonde_trainer_destroy(&trainer);
        sonde_model_close(&model);
    }
    sonde_examples_destroy(&examples);
    unlink(path);
}

static void expect_refused(struct sonde_trainer *trainer, const char *path, const char *note,
                           const char *message)
{
    struct sonde_error error = { 0 };
    assert_int_not_equal(sonde_trainer_load(trainer, path, note, &error), SONDE_STATUS_OK);
    if (!strstr(error.text, message)) {
        fail_msg("\"%s\" is not in \"%s\"", message, error.text);
    }
}

static void test_foreign_state_is_refused(void **state)
{
    char path[] = "train-state-XXXXXX";
    struct sonde_trainer_options options = adam_options();
    struct sonde_examples *examples = random_examples(9, 6);
    struct sonde_model *model = train_model(small_config, SONDE_INIT_NORMAL, 5);
    struct sonde_trainer *trainer = make_trainer(model, examples, &options);
    struct sonde_buf bytes = { 0 };
    (void)state;
    const int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    run_steps(trainer, 3);
    assert_int_equal(sonde_trainer_save(trainer, path, "one", NULL), SONDE_STATUS_OK);
    const uint64_t before = train_weights_hash(model);
    expect_refused(trainer, path, "two", "note is \"one\", expected \"two\"");
    expect_refused(trainer, path, NULL, "note is \"one\", expected \"\"");
    sonde_trainer_destroy(&trainer);
    options.rule = sonde_update_defaults(SONDE_UPDATE_RMSPROP);
    trainer = make_trainer(model, examples, &options);
    expect_refused(trainer, path, "one", "rule is \"adamw\", expected \"rmsprop\"");
    sonde_trainer_destroy(&trainer);
    options.rule = sonde_update_defaults(SONDE_UPDATE_ADAMW);
    struct sonde_model *wide = train_counter_model("dyck-1", 1);
    struct sonde_examples *strings = train_formal("dyck-1:n=40,len=2..12");
    options.objective = SONDE_OBJECTIVE_K_HOT_MSE;
    trainer = make_trainer(wide, strings, &options);
    expect_refused(trainer, path, "one", "not a state of this training");
    sonde_trainer_destroy(&trainer);
    sonde_examples_destroy(&strings);
    sonde_model_close(&wide);
    options.objective = SONDE_OBJECTIVE_NEXT_TOKEN;
    trainer = make_trainer(model, examples, &options);
    assert_int_equal(sonde_file_load(path, 1 << 24, &bytes, NULL), SONDE_STATUS_OK);
    assert_int_equal(sonde_file_save(path, bytes.data, bytes.size - 1, NULL), SONDE_STATUS_OK);
    expect_refused(trainer, path, "one", path);
    char *taken = strstr(bytes.data + 8, "taken");
    assert_non_null(taken);
    /* The blank behind the colon becomes a digit: more examples than there are. */
    taken = strchr(taken, ':');
    taken[1] = '9';
    assert_int_equal(sonde_file_save(path, bytes.data, bytes.size, NULL), SONDE_STATUS_OK);
    expect_refused(trainer, path, "one", "taken");
    expect_refused(trainer, "no-such-file", "one", "no-such-file");
    assert_true(train_weights_hash(model) == before);
    sonde_buf_finish(&bytes);
    sonde_trainer_destroy(&trainer);
    sonde_examples_destroy(&examples);
    sonde_model_close(&model);
    unlink(path);
}

static void test_not_finite_stops(void **state)
{
    static const float bad[] = { NAN, INFINITY };
    struct sonde_trainer_options options = adam_options();
    struct sonde_examples *examples = random_examples(33, 6);
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct sonde_model *model = train_model(small_config, SONDE_INIT_NORMAL, 5);
        struct sonde_trainer *trainer = make_trainer(model, examples, &options);
        struct sonde_error error = { 0 };
        int64_t n = 0;
        run_steps(trainer, 2);
        const struct sonde_train_position position = *sonde_trainer_position(trainer);
        const struct sonde_parameter *p = sonde_model_parameter_list(model, &n);
        for (int64_t k = 0; k < p[0].rows * p[0].columns; k++) {
            p[0].data[k] = bad[i];
        }
        const uint64_t before = train_weights_hash(model);
        assert_int_equal(sonde_trainer_step(trainer, NULL, &error), SONDE_STATUS_NUMERIC);
        assert_non_null(strstr(error.text, "step 3: the loss is "));
        assert_true(train_weights_hash(model) == before);
        assert_memory_equal(sonde_trainer_position(trainer), &position, sizeof position);
        sonde_trainer_destroy(&trainer);
        sonde_model_close(&model);
    }
    sonde_examples_destroy(&examples);
}

static void expect_no_trainer(struct sonde_model *model, struct sonde_examples *examples,
                              const struct sonde_trainer_options *options, enum sonde_status status,
                              const char *message)
{
    const struct sonde_example_source source = sonde_examples_source(examples);
    struct sonde_trainer *trainer = NULL;
    struct sonde_error error = { 0 };
    assert_int_equal(sonde_trainer_create(&trainer, model, &source, options, &error), status);
    assert_null(trainer);
    if (!strstr(error.text, message)) {
        fail_msg("\"%s\" is not in \"%s\"", message, error.text);
    }
}

static void test_options_are_checked(void **state)
{
    struct sonde_model *model = train_model(small_config, SONDE_INIT_NORMAL, 5);
    struct sonde_model *counter = train_counter_model("dyck-1", 5);
    struct sonde_examples *examples = random_examples(3, 6), *none = NULL, *strings = NULL;
    const struct sonde_trainer_options good = adam_options();
    struct sonde_trainer_options o = good;
    (void)state;
    assert_int_equal(sonde_examples_create(&none, 0, NULL), SONDE_STATUS_OK);
    strings = train_formal("dyck-1:n=20,len=18..20");
    expect_no_trainer(model, none, &o, SONDE_STATUS_ARGUMENT, "no example to learn from");
    o.batch_tokens = 10;
    expect_no_trainer(model, examples, &o, SONDE_STATUS_ARGUMENT, "one of the two");
    o = good, o.batch_sequences = 0;
    expect_no_trainer(model, examples, &o, SONDE_STATUS_ARGUMENT, "one of the two");
    o = good, o.n_lanes = 1000;
    expect_no_trainer(model, examples, &o, SONDE_STATUS_ARGUMENT, "1000 lanes");
    o = good, o.rule.lr = 0.0;
    expect_no_trainer(model, examples, &o, SONDE_STATUS_ARGUMENT, "lr 0");
    o = good, o.max_bytes = 10000;
    expect_no_trainer(model, examples, &o, SONDE_STATUS_LIMIT, "9.8 KiB may be used");
    o = good, o.objective = SONDE_OBJECTIVE_K_HOT_BCE;
    expect_no_trainer(model, examples, &o, SONDE_STATUS_ARGUMENT, "has no k-hot targets");
    o = good, o.objective = SONDE_OBJECTIVE_CLASSIFICATION;
    expect_no_trainer(model, examples, &o, SONDE_STATUS_ARGUMENT, "has no targets");
    o = good, o.objective = SONDE_OBJECTIVE_MASKED_TOKEN, o.mask_id = 7;
    expect_no_trainer(model, examples, &o, SONDE_STATUS_ARGUMENT, "mask id 7, expected 0 to 6");
    expect_no_trainer(counter, strings, &good, SONDE_STATUS_ARGUMENT, "2 outputs");
    struct sonde_examples *wide = train_formal("dyck-2:n=20,len=18..20");
    o = train_counter_options();
    expect_no_trainer(counter, wide, &o, SONDE_STATUS_ARGUMENT,
                      "example 0 has 4 targets a row, the model has 2 outputs");
    const struct sonde_example_source source = sonde_examples_source(wide);
    const struct sonde_evaluate_options how = { .objective = SONDE_OBJECTIVE_K_HOT_MSE };
    struct sonde_evaluation found;
    assert_int_equal(sonde_evaluate(counter, &source, &how, &found, NULL), SONDE_STATUS_ARGUMENT);
    sonde_examples_destroy(&wide);
    expect_no_trainer(model, strings, &good, SONDE_STATUS_ARGUMENT, "takes at most 16");
    sonde_examples_destroy(&none);
    sonde_examples_destroy(&strings);
    sonde_examples_destroy(&examples);
    sonde_model_close(&counter);
    sonde_model_close(&model);
}

static void test_bad_examples(void **state)
{
    struct sonde_model *model = train_model(small_config, SONDE_INIT_NORMAL, 5);
    struct sonde_examples *examples = random_examples(12, 6), *lone = NULL;
    struct sonde_trainer_options options = adam_options();
    struct sonde_error error = { 0 };
    const int32_t ids[3] = { 1, 7, 2 }, targets[3] = { 0, 0, 0 };
    (void)state;
    struct sonde_example example = { .ids = ids, .n_tokens = 3, .targets = targets };
    assert_int_equal(sonde_examples_add(examples, &example, &error), SONDE_STATUS_ARGUMENT);
    assert_string_equal(error.text, "example 12 has targets, those before it have not");
    example.targets = NULL;
    assert_int_equal(sonde_examples_add(examples, &example, &error), SONDE_STATUS_OK);
    /* An id outside the vocabulary ends the step that meets it, by its number. */
    options.shuffle = false;
    options.batch_sequences = 100;
    struct sonde_trainer *trainer = make_trainer(model, examples, &options);
    const uint64_t before = train_weights_hash(model);
    assert_int_not_equal(sonde_trainer_step(trainer, NULL, &error), SONDE_STATUS_OK);
    assert_non_null(strstr(error.text, "example 12: "));
    assert_true(train_weights_hash(model) == before);
    assert_int_equal(sonde_trainer_position(trainer)->taken, 0);
    sonde_trainer_destroy(&trainer);
    /* Strings of one token have no next one. */
    assert_int_equal(sonde_examples_create(&lone, 0, NULL), SONDE_STATUS_OK);
    example.n_tokens = 1;
    assert_int_equal(sonde_examples_add(lone, &example, NULL), SONDE_STATUS_OK);
    expect_no_trainer(model, lone, &options, SONDE_STATUS_ARGUMENT, "something to learn");
    sonde_examples_destroy(&lone);
    sonde_examples_destroy(&examples);
    sonde_model_close(&model);
}

/* AC-0.6 in small: strings that it has not met, every symbol of every prefix right. */
static void test_learns_dyck(void **state)
{
    struct sonde_model *model = train_counter_model("dyck-1", 1729);
    struct sonde_examples *train = train_formal("dyck-1:n=4000,len=2..30,seed=1");
    struct sonde_examples *other = train_formal("dyck-1:n=300,len=2..30,seed=2");
    struct sonde_trainer_options options = train_counter_options();
    struct sonde_trainer *trainer = make_trainer(model, train, &options);
    const struct sonde_example_source source = sonde_examples_source(other);
    struct sonde_evaluate_options how = { .objective = options.objective };
    struct sonde_evaluation found = { 0 }, again = { 0 };
    struct sonde_evaluated *each = calloc(300, sizeof *each);
    double first = 0.0, last = 0.0;
    (void)state;
    assert_int_equal(sonde_evaluate(model, &source, &how, &found, NULL), SONDE_STATUS_OK);
    assert_true(found.sequences_right < 100);
    for (int epoch = 0; epoch < 6; epoch++) {
        assert_int_equal(sonde_trainer_epoch(trainer, NULL, &last, NULL), SONDE_STATUS_OK);
        first = epoch == 0 ? last : first;
    }
    assert_int_equal(sonde_trainer_position(trainer)->step, 6 * 125);
    assert_true(last < 0.2 * first);
    how.each = each;
    assert_int_equal(sonde_evaluate(model, &source, &how, &found, NULL), SONDE_STATUS_OK);
    print_message("# %d of 300 strings, loss %.3g\n", (int)found.sequences_right, found.loss);
    assert_true(found.sequences_right >= 297);
    assert_int_equal(found.rows, sonde_examples_tokens(other));
    int64_t right = 0;
    for (int i = 0; i < 300; i++) {
        right += each[i].all_right;
    }
    assert_int_equal(right, found.sequences_right);
    how.each = NULL;
    assert_int_equal(sonde_pool_create(&how.pool, 3, NULL), SONDE_STATUS_OK);
    assert_int_equal(sonde_evaluate(model, &source, &how, &again, NULL), SONDE_STATUS_OK);
    assert_memory_equal(&again, &found, sizeof found);
    sonde_pool_destroy(&how.pool);
    free(each);
    sonde_trainer_destroy(&trainer);
    sonde_examples_destroy(&train);
    sonde_examples_destroy(&other);
    sonde_model_close(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reaches_entropy),
        cmocka_unit_test(test_step_is_mean_gradient),
        cmocka_unit_test(test_threads_same_bits),
        cmocka_unit_test(test_resume_same_bits),
        cmocka_unit_test(test_foreign_state_is_refused),
        cmocka_unit_test(test_not_finite_stops),
        cmocka_unit_test(test_options_are_checked),
        cmocka_unit_test(test_bad_examples),
        cmocka_unit_test(test_learns_dyck),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
