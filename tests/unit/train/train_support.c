#include "tests/unit/train/train_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/corpus/formal.h"
#include "tests/support/check.h"

struct sonde_model *train_model(const char *config, enum sonde_init_kind kind, uint64_t seed)
{
    struct sonde_error error = { 0 };
    struct sonde_json *json = NULL;
    struct sonde_model *model = NULL;
    const struct sonde_init init = { .kind = kind, .seed = seed };
    char *text = strdup(config);
    assert_non_null(text);
    for (char *c = text; *c; c++) {
        *c = *c == '\'' ? '"' : *c;
    }
    if (sonde_json_parse(&json, text, strlen(text), &error) ||
        sonde_model_create(&model, json, "config", &init, &error)) {
        fail_msg("%s", error.text);
    }
    sonde_json_destroy(&json);
    free(text);
    return model;
}

struct sonde_model *train_counter_model(const char *language, uint64_t seed)
{
    struct sonde_formal *formal = NULL;
    char config[640];
    assert_int_equal(sonde_formal_create(&formal, language, NULL), SONDE_STATUS_OK);
    (void)snprintf(config, sizeof config,
                   "{'model_type': 'sonde', 'hidden_size': 32, 'num_hidden_layers': 1, "
                   "'num_attention_heads': 1, 'intermediate_size': 64, 'vocab_size': %d, "
                   "'n_outputs': %d, 'max_position_embeddings': 512, 'norm': 'layernorm', "
                   "'norm_place': 'post', 'position': 'none', 'hidden_act': 'relu', "
                   "'embedding_scale': 'sqrt', 'head': 'sigmoid', 'head_bias': true}",
                   (int)strlen(sonde_formal_ids(formal)),
                   (int)strlen(sonde_formal_symbols(formal)));
    sonde_formal_destroy(&formal);
    return train_model(config, SONDE_INIT_TORCH, seed);
}

static void add_string(struct sonde_examples *examples, const struct sonde_formal *formal,
                       const char *text, int64_t n)
{
    const char *order = sonde_formal_ids(formal);
    const size_t n_symbols = strlen(sonde_formal_symbols(formal));
    struct sonde_formal_walk walk = { 0 };
    int32_t ids[512];
    uint8_t hot[512 * SONDE_FORMAL_MAX_SYMBOLS];
    assert_in_range(n, 1, 512);
    sonde_formal_walk_start(&walk, formal);
    for (int64_t t = 0; t < n; t++) {
        bool next[SONDE_FORMAL_MAX_SYMBOLS];
        assert_int_equal(sonde_formal_walk_step(&walk, text[t], NULL), SONDE_STATUS_OK);
        (void)sonde_formal_next(&walk, next);
        ids[t] = (int32_t)(strchr(order, text[t]) - order);
        for (size_t k = 0; k < n_symbols; k++) {
            hot[(size_t)t * n_symbols + k] = next[k];
        }
    }
    sonde_formal_walk_finish(&walk);
    const struct sonde_example example = { .ids = ids, .n_tokens = n, .hot = hot };
    assert_int_equal(sonde_examples_add(examples, &example, NULL), SONDE_STATUS_OK);
}

struct sonde_examples *train_formal(const char *spec)
{
    struct sonde_error error = { 0 };
    struct sonde_formal_spec parsed;
    struct sonde_formal_generator *generator = NULL;
    struct sonde_examples *examples = NULL;
    if (sonde_formal_parse_spec(spec, &parsed, &error) ||
        sonde_formal_generator_create(&generator, &parsed, &error)) {
        fail_msg("%s", error.text);
    }
    const struct sonde_formal *formal = sonde_formal_generator_language(generator);
    const int64_t n_outputs = (int64_t)strlen(sonde_formal_symbols(formal));
    assert_int_equal(sonde_examples_create(&examples, n_outputs, NULL), SONDE_STATUS_OK);
    for (;;) {
        const char *text = NULL;
        int64_t n = 0;
        assert_int_equal(sonde_formal_generator_next(generator, &text, &n, NULL), SONDE_STATUS_OK);
        if (!text) {
            break;
        }
        add_string(examples, formal, text, n);
    }
    sonde_formal_generator_destroy(&generator);
    return examples;
}

struct sonde_trainer_options train_counter_options(void)
{
    struct sonde_trainer_options options = { .objective = SONDE_OBJECTIVE_K_HOT_MSE,
                                             .rule = sonde_update_defaults(SONDE_UPDATE_RMSPROP),
                                             .batch_sequences = 32,
                                             .seed = 1729 };
    options.rule.lr = 0.005;
    return options;
}

uint64_t train_weights_hash(const struct sonde_model *model)
{
    int64_t n = 0;
    const struct sonde_parameter *p = sonde_model_parameter_list(model, &n);
    uint64_t hash = 14695981039346656037u;
    for (int64_t i = 0; i < n; i++) {
        const unsigned char *bytes = (const unsigned char *)p[i].data;
        for (size_t k = 0; k < (size_t)(p[i].rows * p[i].columns) * sizeof(float); k++) {
            hash = (hash ^ bytes[k]) * 1099511628211u;
        }
    }
    return hash;
}
