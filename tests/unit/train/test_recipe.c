/* Recipes: what is read, and what is refused with which words. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/train/recipe.h"
#include "tests/support/check.h"

/* Members of a good recipe; a case takes the place of one of them, or stands beside. */
static const char *const good[][2] = {
    { "model", "{'model_type': 'sonde', 'hidden_size': 8}" },
    { "tokenizer", "'tok'" },
    { "corpus", "{'jsonl': 'a/b.jsonl', 'field': 'text'}" },
    { "objective", "'next-token'" },
    { "optimizer", "{'name': 'adamw', 'lr': 0.001}" },
    { "batch", "{'tokens': 4096}" },
    { "epochs", "3" },
};

/* The good recipe with `key` set to `value` (NULL: left out), ' for ". */
static char *recipe_text(const char *key, const char *value)
{
    struct sonde_buf text = { 0 };
    bool found = false, any = false;
    sonde_buf_putc(&text, '{');
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        const bool this_one = key && strcmp(key, good[i][0]) == 0;
        const char *with = this_one ? value : good[i][1];
        found = found || this_one;
        if (with) {
            sonde_buf_printf(&text, "%s'%s': %s", any ? ", " : "", good[i][0], with);
            any = true;
        }
    }
    if (key && !found) {
        sonde_buf_printf(&text, ", '%s': %s", key, value);
    }
    sonde_buf_putc(&text, '}');
    assert_false(text.failed);
    for (size_t i = 0; i < text.size; i++) {
        text.data[i] = text.data[i] == '\'' ? '"' : text.data[i];
    }
    return text.data;
}

static struct sonde_recipe *parse_good(const char *key, const char *value)
{
    struct sonde_error error = { 0 };
    struct sonde_recipe *recipe = NULL;
    char *text = recipe_text(key, value);
    if (sonde_recipe_parse(&recipe, text, strlen(text), "r.json", "dir", &error)) {
        fail_msg("%s: %s", text, error.text);
    }
    free(text);
    return recipe;
}

static void test_defaults(void **state)
{
    struct sonde_recipe *r = parse_good(NULL, NULL);
    (void)state;
    assert_string_equal(r->corpus.source, "dir/a/b.jsonl");
    assert_string_equal(r->tokenizer, "dir/tok");
    assert_string_equal(r->corpus.field, "text");
    assert_int_equal(r->corpus.kind, SONDE_RECIPE_CORPUS_JSONL);
    assert_int_equal(r->options.objective, SONDE_OBJECTIVE_NEXT_TOKEN);
    assert_int_equal(r->options.rule.kind, SONDE_UPDATE_ADAMW);
    check_close(r->options.rule.weight_decay, 1e-2, 0);
    check_close(r->options.rule.beta2, 0.999, 0);
    assert_int_equal(r->options.batch_tokens, 4096);
    assert_int_equal(r->options.batch_sequences, 0);
    assert_true(r->options.shuffle);
    assert_int_equal(r->options.seed, 42);
    assert_int_equal(r->options.n_lanes, SONDE_TRAINER_LANES);
    assert_int_equal(r->options.schedule.kind, SONDE_SCHEDULE_CONSTANT);
    assert_int_equal(r->options.schedule_epochs, 3);
    assert_int_equal(r->init.seed, 42);
    assert_int_equal(r->n_epochs, 3);
    assert_int_equal(r->n_steps, 0);
    assert_int_equal(r->dtype, SONDE_DTYPE_F32);
    assert_false(r->corpus.eos);
    sonde_recipe_destroy(&r);
    assert_null(r);
}

static void test_values(void **state)
{
    struct sonde_recipe *r =
        parse_good("optimizer", "{'name': 'adam', 'lr': 0.5, 'betas': [0.5, 0.75], 'eps': 1e-3, "
                                "'weight_decay': 0.25, 'decay': 'matrices'}");
    (void)state;
    check_close(r->options.rule.lr, 0.5, 0);
    check_close(r->options.rule.beta1, 0.5, 0);
    check_close(r->options.rule.beta2, 0.75, 0);
    check_close(r->options.rule.eps, 1e-3, 0);
    check_close(r->options.rule.weight_decay, 0.25, 0);
    assert_true(r->options.decay_matrices_only);
    sonde_recipe_destroy(&r);
    r = parse_good("schedule", "{'kind': 'cosine', 'warmup': 10, 'final': 0.5}");
    assert_int_equal(r->options.schedule.kind, SONDE_SCHEDULE_COSINE);
    assert_int_equal(r->options.schedule.warmup, 10);
    check_close(r->options.schedule.final, 0.5, 0);
    sonde_recipe_destroy(&r);
    r = parse_good("validation", "[{'name': 'a', 'file': '/x', 'only-every': 9}, {'name': 'b', "
                                 "'corpus': {'conllu': 'c', 'pack': 64, 'eos': false}}]");
    assert_int_equal(r->n_validations, 2);
    assert_string_equal(r->validation[0].source, "/x");
    assert_int_equal(r->validation[0].only_every, 9);
    assert_string_equal(r->validation[1].source, "dir/c");
    assert_int_equal(r->validation[1].pack, 64);
    assert_false(r->validation[1].eos);
    sonde_recipe_destroy(&r);
    r = parse_good("corpus", "{'whole': 'w', 'pack': 8}");
    assert_true(r->corpus.eos);
    sonde_recipe_destroy(&r);
    r = parse_good("seed", "9");
    assert_int_equal(r->init.seed, 9);
    assert_int_equal(r->options.seed, 9);
    sonde_recipe_destroy(&r);
}

struct refusal {
    const char *key, *value, *message;
};
static const struct refusal refusals[] = {
    { "epoch", "3", "r.json: unknown key \"epoch\"; did you mean \"epochs\"?" },
    { "weather", "3", "r.json: unknown key \"weather\"" },
    { "model", NULL, "r.json: model is missing, expected an object" },
    { "model", "'gpt2'", "r.json: model is a string, expected an object" },
    { "model", "{'hidden_size': 8}",
      "r.json: model: model_type is missing: the family, such as \"sonde\"" },
    { "init", "{'kind': 'xavier'}",
      "r.json: init: kind is \"xavier\", expected one of normal, torch" },
    { "init", "{'kind': 'torch', 'std': 0.1}",
      "r.json: init: \"std\" goes with the kind \"normal\"" },
    { "init", "{'std': -1}", "r.json: init: \"std\": found -1, expected 1e-09 to 100" },
    { "tokenizer", NULL, "r.json: tokenizer is missing: the path of a tokenizer.json" },
    { "tokenizer", "'formal'", "r.json: tokenizer \"formal\" needs a corpus of a formal language" },
    { "tokenizer", "''", "r.json: tokenizer is empty" },
    { "corpus", NULL, "r.json: corpus is missing" },
    { "corpus", "{'field': 'x'}",
      "r.json: corpus: no source: one of formal, file, whole, jsonl, conllu, ids" },
    { "corpus", "{'file': 'x', 'jsonl': 'y'}",
      "r.json: corpus: \"file\" and \"jsonl\": a corpus is one of them" },
    { "corpus", "{'file': 'x', 'fielb': 'y'}",
      "r.json: corpus: unknown key \"fielb\"; did you mean \"field\"?" },
    { "corpus", "{'file': 'x', 'field': 'y'}", "r.json: corpus: \"field\" goes with \"jsonl\"" },
    { "corpus", "{'file': 'x', 'pack': 1}",
      "r.json: corpus: \"pack\": found 1, expected 2 to 16777216" },
    { "corpus", "{'file': 'x', 'skip-every': 3, 'only-every': 3}",
      "r.json: corpus: \"skip-every\" and \"only-every\": one of them" },
    { "corpus", "{'jsonl': 'x', 'label': 'y'}",
      "r.json: corpus: \"label\" goes with the objective classification" },
    { "validation", "{'name': 'a'}",
      "r.json: validation is an object of 1, expected an array of at most 64" },
    { "validation", "[3]", "r.json: validation 0 is a whole number, expected an object" },
    { "validation", "[{'file': 'x'}]", "r.json: validation 0: name is missing" },
    { "validation", "[{'name': 'a', 'file': 'x'}, {'name': 'a', 'file': 'y'}]",
      "r.json: validation 1: the name \"a\" is taken" },
    { "validation", "[{'name': 'a', 'corpus': {'file': 'x'}, 'pack': 9}]",
      "r.json: validation 0: other keys beside \"corpus\"" },
    { "objective", "'next-word'",
      "r.json: objective is \"next-word\", expected one of next-token, k-hot-mse, k-hot-bce, "
      "masked-token, classification" },
    { "objective", NULL,
      "r.json: objective is missing: one of next-token, k-hot-mse, k-hot-bce, masked-token, "
      "classification" },
    { "objective", "'k-hot-mse'",
      "r.json: objective k-hot-mse needs a corpus of a formal language" },
    { "objective", "'classification'",
      "r.json: objective classification needs a corpus with a \"label\"" },
    { "objective", "'masked-token'",
      "r.json: mask: token is missing: what stands for a masked token" },
    { "mask", "{'token': 3}", "r.json: \"mask\" goes with the objective masked-token" },
    { "optimizer", NULL, "r.json: optimizer is missing, expected an object" },
    { "optimizer", "{'name': 'lion'}",
      "r.json: optimizer: name is \"lion\", expected one of sgd, rmsprop, adam, adamw" },
    { "optimizer", "{'name': 'sgd'}", "r.json: optimizer: lr is missing: sgd has no default" },
    { "optimizer", "{'name': 'adam', 'lr': 0}", "r.json: optimizer: lr is 0, expected more" },
    { "optimizer", "{'name': 'adam', 'lr': 1e-320}",
      "r.json: optimizer: lr is 9.99988867e-321, "
      "below the least normal float" },
    { "optimizer", "{'name': 'adam', 'lr': -1}",
      "r.json: optimizer: \"lr\": found -1, expected 0 to 1e+30" },
    { "optimizer", "{'name': 'adam', 'alpha': 0.9}", "r.json: optimizer: unknown key \"alpha\"" },
    { "optimizer", "{'name': 'adam', 'betas': [0.9]}",
      "r.json: optimizer: betas: expected an array of two numbers" },
    { "optimizer", "{'name': 'adam', 'betas': [0.9, 1]}",
      "r.json: optimizer: betas [0.9, 1], expected numbers from 0 to below 1" },
    { "optimizer", "{'name': 'sgd', 'lr': 1, 'nesterov': true}",
      "r.json: optimizer: nesterov needs a momentum and no dampening" },
    { "schedule", "{'kind': 'step'}",
      "r.json: schedule: period is missing: steps between two falls" },
    { "schedule", "{'kind': 'linear', 'gamma': 0.5}",
      "r.json: schedule: \"gamma\" goes with step" },
    { "schedule", "{'final': 0.5}", "r.json: schedule: \"final\" goes with linear and cosine" },
    { "schedule", "{'kind': 'cosine', 'final': 2}",
      "r.json: schedule: \"final\": found 2, expected 0 to 1" },
    { "clip", "{'norm': -1}", "r.json: clip: \"norm\": found -1, expected 0 to 1e+30" },
    { "clip", "1.0", "r.json: clip is a real number, expected an object" },
    { "batch", NULL,
      "r.json: batch: \"sequences\" and \"tokens\": neither is given, expected one of them" },
    { "batch", "{'tokens': 1, 'sequences': 1}",
      "r.json: batch: \"sequences\" and \"tokens\": both are given, expected one of them" },
    { "batch", "{'tokens': 0}", "r.json: batch: \"tokens\": found 0, expected 1 to 1099511627776" },
    { "steps", "5", "r.json: \"epochs\" and \"steps\": both are given, expected one of them" },
    { "epochs", "9999999", "r.json: epochs is 9999999, expected at most 1048576" },
    { "order", "'random'", "r.json: order is \"random\", expected one of file, shuffle" },
    { "seed", "-1", "r.json: \"seed\": found -1, expected 0 to 9223372036854775807" },
    { "seed", "'one'", "r.json: \"seed\": found a string, expected a whole number" },
    { "lanes", "0", "r.json: \"lanes\": found 0, expected 1 to 256" },
    { "checkpoint", "{'evry': 3}",
      "r.json: checkpoint: unknown key \"evry\"; did you mean \"every\"?" },
    { "select", "'best'", "r.json: select \"best\" needs a validation" },
    { "dtype", "'f64'", "r.json: dtype is \"f64\", expected one of f32, f16, bf16" },
    { "dropout", "0.1", "r.json: dropout is not 0: training has no dropout" },
};

static void expect_refused(const char *text, size_t n, const char *message)
{
    struct sonde_error error = { 0 };
    struct sonde_recipe *recipe = NULL;
    const enum sonde_status status = sonde_recipe_parse(&recipe, text, n, "r.json", "dir", &error);
    assert_null(recipe);
    if (status == SONDE_STATUS_OK || strcmp(error.text, message) != 0) {
        fail_msg("%s\nfound    %s\nexpected %s", text, error.text, message);
    }
}

static void test_refusals(void **state)
{
    int n_wrong = 0;
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        const struct refusal *refusal = &refusals[i];
        char *text = recipe_text(refusal->key, refusal->value);
        struct sonde_error error = { 0 };
        struct sonde_recipe *recipe = NULL;
        const enum sonde_status status =
            sonde_recipe_parse(&recipe, text, strlen(text), "r.json", "dir", &error);
        if (status == SONDE_STATUS_OK || strcmp(error.text, refusal->message) != 0) {
            print_message("# %s %s\n#   found    %s\n#   expected %s\n", refusal->key,
                          refusal->value, error.text, refusal->message);
            n_wrong++;
        }
        sonde_recipe_destroy(&recipe);
        free(text);
    }
    assert_int_equal(n_wrong, 0);
}

static void test_formal_refusals(void **state)
{
    static const char *const cases[][2] = {
        { "'corpus': {'formal': 'dyck-1', 'limit': 3}, 'objective': 'k-hot-mse'",
          "r.json: train: with objective k-hot-mse a formal language is taken as it is" },
        { "'corpus': {'formal': 'dyck-1'}, 'tokenizer': 'x', 'objective': 'k-hot-mse'",
          "r.json: tokenizer: a corpus of a formal language has the tokenizer \"formal\"" },
        { "'corpus': {'formal': 'dyck-1'}, 'objective': 'k-hot-bce', 'validation': [{'name': 'v', "
          "'file': 'x'}]",
          "r.json: validation 0 is not of the kind of the corpus" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[512];
        (void)snprintf(text, sizeof text,
                       "{'model': {'model_type': 'sonde'}, 'optimizer': {'name': 'adam'}, "
                       "'batch': {'sequences': 1}, 'steps': 1, %s}",
                       cases[i][0]);
        for (char *c = text; *c; c++) {
            *c = *c == '\'' ? '"' : *c;
        }
        expect_refused(text, strlen(text), cases[i][1]);
    }
}

static void test_broken_text(void **state)
{
    char *text = recipe_text(NULL, NULL);
    const size_t n = strlen(text);
    (void)state;
    expect_refused("[]", 2, "r.json: an array, expected an object");
    for (size_t i = 0; i < n; i++) {
        struct sonde_error error = { 0 };
        struct sonde_recipe *recipe = NULL;
        assert_int_equal(sonde_recipe_parse(&recipe, text, i, "r.json", "", &error),
                         SONDE_STATUS_FORMAT);
        assert_non_null(strstr(error.text, "r.json: "));
    }
    free(text);
    struct sonde_recipe *recipe = NULL;
    assert_int_equal(sonde_recipe_load(&recipe, "no-such-recipe.json", NULL),
                     SONDE_STATUS_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),    cmocka_unit_test(test_values),
        cmocka_unit_test(test_refusals),    cmocka_unit_test(test_formal_refusals),
        cmocka_unit_test(test_broken_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
