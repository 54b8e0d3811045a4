/* Allocations, reads and writes fail while a model is trained, its state kept and taken back, and
 * while a recipe is read. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/train/recipe.h"
#include "tests/fault/fault_inject.h"
#include "tests/support/check.h"
#include "tests/unit/train/train_support.h"

enum { N_TRIED = 400 };

struct run {
    char path[64];
    const struct sonde_json *config;
    uint64_t hash; /* of the weights of the undisturbed run; 0 before it */
};

/* A step that fails changes no weight. */
static enum sonde_status step(struct sonde_trainer *trainer, const struct sonde_model *model,
                              struct sonde_error *error)
{
    const uint64_t before = train_weights_hash(model);
    const enum sonde_status status = sonde_trainer_step(trainer, NULL, error);
    if (status != SONDE_STATUS_OK) {
        assert_true(train_weights_hash(model) == before);
    }
    return status;
}

static enum sonde_status fill(struct sonde_examples *examples, struct sonde_error *error)
{
    enum sonde_status status = SONDE_STATUS_OK;
    for (int32_t i = 0; i < 5 && status == SONDE_STATUS_OK; i++) {
        const int32_t ids[] = { i, 1, 2, i };
        const struct sonde_example example = { .ids = ids, .n_tokens = 2 + i % 3 };
        status = sonde_examples_add(examples, &example, error);
    }
    return status;
}

static enum sonde_status train(struct run *run, struct sonde_model *model,
                               struct sonde_examples *examples, struct sonde_error *error)
{
    const struct sonde_trainer_options options = {
        .objective = SONDE_OBJECTIVE_MASKED_TOKEN,
        .rule = sonde_update_defaults(SONDE_UPDATE_ADAM),
        .batch_sequences = 2,
        .shuffle = true,
        .mask_rate = 0.9,
        .n_lanes = 2,
        .schedule_epochs = 2,
    };
    const struct sonde_evaluate_options how = { .objective = options.objective };
    const struct sonde_example_source source = sonde_examples_source(examples);
    struct sonde_trainer *trainer = NULL;
    struct sonde_evaluation found;
    enum sonde_status status = sonde_trainer_create(&trainer, model, &source, &options, error);
    assert_true((status == SONDE_STATUS_OK) == (trainer != NULL));
    if (status == SONDE_STATUS_OK) {
        status = step(trainer, model, error);
    }
    if (status == SONDE_STATUS_OK) {
        status = sonde_trainer_save(trainer, run->path, "note", error);
    }
    if (status == SONDE_STATUS_OK) {
        status = step(trainer, model, error);
    }
    if (status == SONDE_STATUS_OK) {
        const uint64_t before = train_weights_hash(model);
        status = sonde_trainer_load(trainer, run->path, "note", error);
        assert_true((train_weights_hash(model) == before) == (status != SONDE_STATUS_OK));
    }
    if (status == SONDE_STATUS_OK) {
        status = step(trainer, model, error);
    }
    if (status == SONDE_STATUS_OK) {
        status = sonde_evaluate(model, &source, &how, &found, error);
    }
    sonde_trainer_destroy(&trainer);
    return status;
}

static enum sonde_status make_and_train(void *ctx, struct sonde_error *error)
{
    struct run *run = ctx;
    struct sonde_model *model = NULL;
    struct sonde_examples *examples = NULL;
    const struct sonde_init init = { .seed = 1 };
    enum sonde_status status = sonde_model_create(&model, run->config, "config", &init, error);
    if (status == SONDE_STATUS_OK) {
        status = sonde_examples_create(&examples, 0, error);
    }
    if (status == SONDE_STATUS_OK) {
        status = fill(examples, error);
    }
    if (status == SONDE_STATUS_OK) {
        status = train(run, model, examples, error);
    }
    /* What is tolerated must not change a bit. */
    if (status == SONDE_STATUS_OK) {
        const uint64_t hash = train_weights_hash(model);
        assert_true(run->hash == 0 || run->hash == hash);
        run->hash = hash;
    }
    sonde_examples_destroy(&examples);
    sonde_model_close(&model);
    return status;
}

static void test_training(void **state)
{
    static const char config[] =
        "{\"model_type\": \"sonde\", \"hidden_size\": 8, \"num_hidden_layers\": 1, "
        "\"num_attention_heads\": 2, \"intermediate_size\": 8, \"vocab_size\": 5, \"position\": "
        "\"learned\", \"max_position_embeddings\": 8, \"causal\": false}";
    struct run run = { .path = "fault-train-XXXXXX" };
    struct sonde_json *json = NULL;
    (void)state;
    const int file = mkstemp(run.path);
    assert_true(file >= 0);
    close(file);
    assert_int_equal(sonde_json_parse(&json, config, strlen(config), NULL), SONDE_STATUS_OK);
    run.config = json;
    struct fault_report report = fault_some(FAULT_MEMORY, N_TRIED, make_and_train, NULL, &run);
    assert_true(report.n_calls > 50);
    assert_true(report.n_tolerated < report.n_calls / 2);
    report = fault_each(FAULT_READ | FAULT_WRITE, make_and_train, NULL, &run);
    assert_true(report.n_calls > 5);
    sonde_json_destroy(&json);
    unlink(run.path);
}

static enum sonde_status read_recipe(void *ctx, struct sonde_error *error)
{
    struct sonde_recipe *recipe = NULL;
    const enum sonde_status status = sonde_recipe_load(&recipe, ctx, error);
    assert_true((status == SONDE_STATUS_OK) == (recipe != NULL));
    sonde_recipe_destroy(&recipe);
    return status;
}

static void test_recipe(void **state)
{
    static const char text[] =
        "{\"model\": {\"model_type\": \"sonde\"}, \"tokenizer\": \"t\", \"corpus\": {\"file\": "
        "\"x\"}, \"validation\": [{\"name\": \"v\", \"file\": \"y\"}], \"objective\": "
        "\"next-token\", \"optimizer\": {\"name\": \"adam\"}, \"batch\": {\"tokens\": 9}, "
        "\"steps\": 3}";
    char path[] = "fault-recipe-XXXXXX";
    (void)state;
    const int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    assert_int_equal(sonde_file_save(path, text, strlen(text), NULL), SONDE_STATUS_OK);
    struct fault_report report = fault_each(FAULT_MEMORY | FAULT_READ, read_recipe, NULL, path);
    assert_true(report.n_calls > 5);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_training),
        cmocka_unit_test(test_recipe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
