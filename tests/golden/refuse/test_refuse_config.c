/*
 * Models that must be refused for what their config.json, index or tensors say, each made here,
 * with the exact message. Run with a folder's name as argument it writes the configs there instead
 * (seeds for the fuzzer).
 */
#include <string.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/file.h"
#include "core/model/model.h"
#include "tests/support/check.h"
#include "tests/unit/model/model_maker.h"

struct refusal {
    const char *family; /* whose good config is changed */
    const char *key;    /* the member that is replaced or added; NULL: value is the whole file */
    const char *value;  /* NULL: the member is left out */
    enum sonde_status status;
    const char *message; /* after "FOLDER/"; ends with * = only the beginning counts */
};

#define BAD SONDE_STATUS_FORMAT
#define NOT SONDE_STATUS_UNSUPPORTED

static const struct refusal cases[] = {
    { "llama", NULL, "", BAD, "config.json: *" },
    { "llama", NULL, "{", BAD, "config.json: *" },
    { "llama", NULL, "[]", BAD, "config.json: is an array, expected an object" },
    { "llama", NULL, "{\"a\":1,\"a\":2}", BAD, "config.json: *" },
    { "llama", NULL, "{}", BAD, "config.json: model_type is missing" },
    { "llama", "model_type", "3", BAD, "config.json: *" },
    { "llama", "model_type", "\"\"", NOT,
      "config.json: model_type \"\" is not supported; supported are llama, gpt2, gpt_neox, bert, "
      "sonde" },
    { "llama", "model_type", "\"mistral\"", NOT,
      "config.json: model_type \"mistral\" is not supported; supported are llama, gpt2, gpt_neox, "
      "bert, sonde" },
    { "llama", "model_type", "\"llam\"", NOT,
      "config.json: model_type \"llam\" is not supported; supported are llama, gpt2, gpt_neox, "
      "bert, sonde" },
    { "llama", "hidden_size", NULL, BAD, "config.json: hidden_size is missing" },
    { "llama", "hidden_size", "null", BAD, "config.json: hidden_size is missing" },
    { "llama", "hidden_size", "\"20\"", BAD,
      "config.json: hidden_size is \"20\", expected a whole number from 1 to 16777216" },
    { "llama", "hidden_size", "20.5", BAD,
      "config.json: hidden_size is 20.5, expected a whole number from 1 to 16777216" },
    { "llama", "hidden_size", "1e308", BAD,
      "config.json: hidden_size is 1e308, expected a whole number from 1 to 16777216" },
    { "llama", "hidden_size", "0", BAD,
      "config.json: hidden_size is 0, expected a whole number from 1 to 16777216" },
    { "llama", "hidden_size", "-20", BAD,
      "config.json: hidden_size is -20, expected a whole number from 1 to 16777216" },
    { "llama", "hidden_size", "4294967316", BAD,
      "config.json: hidden_size is 4294967316, expected a whole number from 1 to 16777216" },
    { "llama", "hidden_size", "[20]", BAD,
      "config.json: hidden_size is [20], expected a whole number from 1 to 16777216" },
    { "llama", "hidden_size", "true", BAD,
      "config.json: hidden_size is true, expected a whole number from 1 to 16777216" },
    { "llama", "hidden_size", "22", BAD,
      "config.json: a width of 22 does not divide into 4 heads" },
    { "llama", "hidden_size", "24", BAD,
      "model.safetensors: model.layers.0.input_layernorm.weight: "
      "shape [20], expected [24]" },
    { "llama", "num_hidden_layers", "0", BAD,
      "config.json: num_hidden_layers is 0, expected a whole number from 1 to 512" },
    { "llama", "num_hidden_layers", "513", BAD,
      "config.json: num_hidden_layers is 513, expected a whole number from 1 to 512" },
    { "llama", "num_hidden_layers", "2", BAD,
      "model.safetensors: no tensor model.layers.1.input_layernorm.weight" },
    { "llama", "num_attention_heads", "0", BAD,
      "config.json: num_attention_heads is 0, expected a whole number from 1 to 16384" },
    { "llama", "num_attention_heads", "3", BAD,
      "config.json: a width of 20 does not divide into 3 heads" },
    { "llama", "num_key_value_heads", "3", BAD,
      "config.json: 4 attention heads are not a multiple of 3 key/value heads" },
    { "llama", "num_key_value_heads", "0", BAD,
      "config.json: num_key_value_heads is 0, expected a whole number from 1 to 16384" },
    { "llama", "head_dim", "7", BAD,
      "config.json: 7 rotary dimensions, expected an even number from 2 to the head's 7" },
    { "llama", "vocab_size", "1e9", BAD, "config.json: vocab_size is *" },
    { "llama", "vocab_size", "40", BAD,
      "model.safetensors: model.embed_tokens.weight: shape [41, 20], expected [40, 20]" },
    { "llama", "max_position_embeddings", "0", BAD,
      "config.json: max_position_embeddings is 0, expected a whole number from 1 to 16777216" },
    { "llama", "rms_norm_eps", "0", BAD,
      "config.json: rms_norm_eps is 0, expected a number above 0 and at most 1" },
    { "llama", "rms_norm_eps", "-1e-5", BAD, "config.json: rms_norm_eps is *" },
    { "llama", "rms_norm_eps", "\"1e-5\"", BAD,
      "config.json: rms_norm_eps is \"1e-5\", expected a number above 0 and at most 1" },
    { "llama", "rms_norm_eps", "1e308", BAD,
      "config.json: rms_norm_eps is 1e308, expected a number "
      "above 0 and at most 1" },
    { "llama", "rms_norm_eps", "NaN", BAD, "config.json: *" },
    { "llama", "rope_theta", "0", BAD,
      "config.json: rope_theta is 0, expected a number above 0 and at most 1e+15" },
    { "llama", "rope_theta", "1e308", BAD,
      "config.json: rope_theta is 1e308, expected a number above 0 and at most 1e+15" },
    { "llama", "rope_scaling", "{\"rope_type\": \"llama3\", \"factor\": 8.0}", NOT,
      "config.json: rope_scaling type \"llama3\" is not supported, only \"default\" is" },
    { "llama", "rope_scaling", "{\"type\": \"linear\", \"factor\": 2.0}", NOT,
      "config.json: rope_scaling type \"linear\" is not supported, only \"default\" is" },
    { "llama", "rope_scaling", "{\"factor\": 2}", NOT,
      "config.json: rope_scaling.factor = 2 is not supported" },
    { "llama", "rope_scaling", "\"linear\"", BAD,
      "config.json: rope_scaling is \"linear\", expected an object" },
    { "llama", "rope_parameters", "{\"rope_type\": \"yarn\", \"rope_theta\": 1.0}", NOT,
      "config.json: rope_parameters type \"yarn\" is not supported, only \"default\" is" },
    { "llama", "rope_parameters", "{\"rope_theta\": -1}", BAD,
      "config.json: rope_theta is -1, expected a number above 0 and at most 1e+15" },
    { "llama", "rope_parameters", "{\"partial_rotary_factor\": 0.5}", NOT,
      "config.json: rope_parameters.partial_rotary_factor = 0.5 is not supported" },
    { "llama", "partial_rotary_factor", "0.5", NOT,
      "config.json: partial_rotary_factor = 0.5 is not supported for this model_type" },
    { "llama", "hidden_act", "\"geglu\"", NOT,
      "config.json: hidden_act \"geglu\" is not an activation that Sonde knows" },
    { "llama", "hidden_act", "7", NOT,
      "config.json: hidden_act 7 is not an activation that Sonde knows" },
    { "llama", "tie_word_embeddings", "\"false\"", BAD,
      "config.json: tie_word_embeddings is \"false\", expected true or false" },
    { "llama", "tie_word_embeddings", "false", BAD, "model.safetensors: no tensor lm_head.weight" },
    { "llama", "attention_bias", "true", BAD,
      "model.safetensors: no tensor model.layers.0.self_attn.q_proj.bias" },
    { "llama", "mlp_bias", "1", BAD, "config.json: mlp_bias is 1, expected true or false" },
    { "llama", "sliding_window", "128", NOT,
      "config.json: sliding_window = 128 is not supported for this model_type" },
    { "llama", "quantization_config", "{\"bits\": 4}", NOT,
      "config.json: quantization_config = {\"bits\":4} is not supported for this model_type" },
    { "llama", "final_logit_softcapping", "30.0", NOT,
      "config.json: final_logit_softcapping = 30.0 is not supported for this model_type" },
    { "llama", "rope_interleaved", "true", NOT,
      "config.json: rope_interleaved = true is not supported for this model_type" },
    { "llama", "layer_types", "[\"sliding_attention\"]", NOT,
      "config.json: layer_types = [\"sliding_attention\"] is not supported for this model_type" },
    { "llama", "layer_types", "[\"full_attention\", \"full_attention\"]", BAD,
      "config.json: layer_types has 2 entries, expected 1" },
    { "gpt2", "n_inner", "0", BAD,
      "config.json: n_inner is 0, expected a whole number from 1 to 16777216" },
    { "gpt2", "n_inner", "33", BAD,
      "model.safetensors: transformer.h.0.mlp.c_fc.weight: shape [21, 34], expected [21, 33]" },
    { "gpt2", "n_positions", "18", BAD,
      "model.safetensors: transformer.wpe.weight: shape [19, 21], expected [18, 21]" },
    { "gpt2", "n_head", "2", BAD, "config.json: a width of 21 does not divide into 2 heads" },
    { "gpt2", "layer_norm_epsilon", "0.0", BAD,
      "config.json: layer_norm_epsilon is 0.0, expected a number above 0 and at most 1" },
    { "gpt2", "add_cross_attention", "true", NOT,
      "config.json: add_cross_attention = true is not supported for this model_type" },
    { "gpt2", "scale_attn_weights", "0", BAD,
      "config.json: scale_attn_weights is 0, expected true or false" },
    { "gpt_neox", "rotary_pct", "0", BAD,
      "config.json: rotary_pct is 0, expected a number above 0 and at most 1" },
    { "gpt_neox", "rotary_pct", "0.9", BAD,
      "config.json: 7 rotary dimensions, expected an even number from 2 to the head's 8" },
    { "gpt_neox", "rotary_pct", "0.1", BAD,
      "config.json: 0 rotary dimensions, expected an even number from 2 to the head's 8" },
    { "bert", "position_embedding_type", "\"relative_key\"", NOT,
      "config.json: position_embedding_type \"relative_key\" is not supported, only \"absolute\" "
      "is" },
    { "bert", "is_decoder", "true", NOT,
      "config.json: is_decoder = true is not supported for this model_type" },
    { "bert", "type_vocab_size", "3", BAD,
      "model.safetensors: bert.embeddings.token_type_embeddings.weight: shape [2, 18], expected "
      "[3, 18]" },
};
enum { N_CASES = sizeof cases / sizeof *cases };

static const struct model_recipe recipes[] = {
    { .family = "llama",
      .D = 20,
      .H = 4,
      .G = 2,
      .E = 5,
      .F = 23,
      .L = 1,
      .V = 41,
      .n_ctx = 32,
      .more_config = "" },
    { .family = "gpt2", .D = 21, .H = 3, .F = 34, .L = 1, .V = 37, .n_ctx = 19 },
    { .family = "gpt_neox", .D = 40, .H = 5, .F = 27, .L = 1, .V = 33, .n_ctx = 24 },
    { .family = "bert", .D = 18, .H = 3, .F = 29, .L = 1, .V = 31, .n_ctx = 16 },
};
static const char *const good[] = {
    "\"model_type\": \"llama\"|\"hidden_size\": 20|\"num_attention_heads\": 4|"
    "\"num_key_value_heads\": 2|\"num_hidden_layers\": 1|\"intermediate_size\": 23|"
    "\"vocab_size\": 41|\"max_position_embeddings\": 32|\"head_dim\": 6|"
    "\"tie_word_embeddings\": true|",
    "\"model_type\": \"gpt2\"|\"n_embd\": 21|\"n_head\": 3|\"n_layer\": 1|\"n_inner\": 34|"
    "\"vocab_size\": 37|\"n_positions\": 19|",
    "\"model_type\": \"gpt_neox\"|\"hidden_size\": 40|\"num_attention_heads\": 5|"
    "\"num_hidden_layers\": 1|\"intermediate_size\": 27|\"vocab_size\": 33|"
    "\"max_position_embeddings\": 24|\"tie_word_embeddings\": true|",
    "\"model_type\": \"bert\"|\"hidden_size\": 18|\"num_attention_heads\": 3|"
    "\"num_hidden_layers\": 1|\"intermediate_size\": 29|\"vocab_size\": 31|"
    "\"max_position_embeddings\": 16|",
};

static int family_index(const char *family)
{
    for (int i = 0; i < 4; i++) {
        if (strcmp(recipes[i].family, family) == 0) {
            return i;
        }
    }
    fail();
    return 0;
}

/* The good members without the one of the case, then the case's. */
static void config_text(const struct refusal *c, struct sonde_buf *out)
{
    char quoted[64];
    bool first = true;
    sonde_buf_clear(out);
    if (!c->key) {
        sonde_buf_puts(out, c->value);
        return;
    }
    snprintf(quoted, sizeof quoted, "\"%s\":", c->key);
    sonde_buf_puts(out, "{");
    for (const char *at = good[family_index(c->family)]; *at; at = strchr(at, '|') + 1) {
        bool by_heads =
            strstr(at, "\"head_dim\"") == at &&
            (strcmp(c->key, "num_attention_heads") == 0 || strcmp(c->key, "hidden_size") == 0);
        if (strncmp(at, quoted, strlen(quoted)) != 0 && !by_heads) {
            sonde_buf_printf(out, "%s%.*s", first ? "" : ", ", (int)strcspn(at, "|"), at);
            first = false;
        }
    }
    if (c->value) {
        sonde_buf_printf(out, ", \"%s\": %s", c->key, c->value);
    }
    sonde_buf_puts(out, "}");
}

/* False where the model was not refused as expected; what was seen is printed. */
static bool is_refused(const char *folder, enum sonde_status expected, const char *message,
                       const char *what)
{
    struct sonde_error error = { 0 };
    struct sonde_model *model = NULL;
    const struct sonde_model_options options = { .allow_missing_tokenizer = true };
    enum sonde_status status = sonde_model_open(&model, folder, &options, &error);
    size_t n = strlen(message), skip = strlen(folder) + 1;
    const char *text = sonde_str_starts(error.text, folder) ? error.text + skip : error.text;
    bool same = n && message[n - 1] == '*' ? strncmp(text, message, n - 1) == 0
                                           : strcmp(text, message) == 0;
    if (status != expected || !same || model) {
        fprintf(stderr, "# %s: %s \"%s\", expected \"%s\"\n", what, sonde_status_name(status),
                error.text, message);
        sonde_model_close(&model);
        return false;
    }
    return true;
}

static void test_configs(void **state)
{
    char *folder[4];
    struct sonde_buf text = { 0 };
    bool all = true;
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct model_recipe r = recipes[i];
        r.E = i == 0 ? 6 : 0;
        folder[i] = model_make(&r);
        /* the config that the cases change is good as it stands */
        const struct refusal whole = { r.family, "transformers_version", "\"4\"", SONDE_STATUS_OK,
                                       "" };
        struct sonde_model *model = NULL;
        struct sonde_error error = { 0 };
        config_text(&whole, &text);
        model_write_text(folder[i], "config.json", text.data);
        check_ok(sonde_model_open(&model, folder[i],
                                  &(struct sonde_model_options){ .allow_missing_tokenizer = true },
                                  &error),
                 &error);
        assert_int_equal(sonde_model_n_warnings(model), 0);
        sonde_model_close(&model);
    }
    for (int i = 0; i < N_CASES; i++) {
        const struct refusal *c = &cases[i];
        const char *where = folder[family_index(c->family)];
        config_text(c, &text);
        model_write_text(where, "config.json", text.data ? text.data : "");
        all = is_refused(where, c->status, c->message, text.data ? text.data : "") && all;
    }
    assert_true(all);
    for (int i = 0; i < 4; i++) {
        model_remove(folder[i]);
    }
    sonde_buf_finish(&text);
}

static void test_index(void **state)
{
    static const struct {
        const char *index, *message;
    } indices[] = {
        { "[]", "model.safetensors.index.json: weight_map is *" },
        { "{\"weight_map\": {}}", "model.safetensors.index.json: weight_map names no shard" },
        { "{\"weight_map\": {\"a\": \"../model-00001.safetensors\"}}",
          "model.safetensors.index.json: tensor a is in '../model-00001.safetensors', which is not "
          "a plain name of a .safetensors file" },
        { "{\"weight_map\": {\"a\": \"/etc/passwd\"}}",
          "model.safetensors.index.json: tensor a is in '/etc/passwd', which is not a plain name "
          "of a .safetensors file" },
        { "{\"weight_map\": {\"a\": \"model.safetensors.index.json\"}}",
          "model.safetensors.index.json: tensor a is in 'model.safetensors.index.json', which is "
          "not a plain name of a .safetensors file" },
        { "{\"weight_map\": {\"a\": 3}}",
          "model.safetensors.index.json: tensor a is in '', which is not a plain name of a "
          ".safetensors file" },
        { "{\"weight_map\": {\"a\": \"model-00009.safetensors\"}}",
          "model-00009.safetensors: cannot open: No such file or directory" },
        { "{\"weight_map\": {\"a\": \"model-00001.safetensors\"}}",
          "model.safetensors.index.json: tensor a is not in model-00001.safetensors" },
        { "{\"weight_map\": {\"model.norm.weight\": \"model-00001.safetensors\", "
          "\"lm_head.weight\": \"model-00003.safetensors\"}}",
          "model.safetensors.index.json: tensor model.norm.weight is not in "
          "model-00001.safetensors" },
    };
    struct model_recipe r = recipes[0];
    (void)state;
    r.E = 6;
    r.shards = r.untied = true;
    char *folder = model_make(&r);
    for (size_t i = 0; i < sizeof indices / sizeof *indices; i++) {
        model_write_text(folder, "model.safetensors.index.json", indices[i].index);
        enum sonde_status status = strstr(indices[i].message, "cannot open")
                                       ? SONDE_STATUS_NOT_FOUND
                                       : SONDE_STATUS_FORMAT;
        bool refused = is_refused(folder, status, indices[i].message, indices[i].index);
        assert_true(refused);
    }
    model_remove(folder);
}

/* Folders and files that hold no model that can be read. */
static void test_places(void **state)
{
    struct sonde_error error = { 0 };
    struct sonde_model *model = NULL;
    char *folder = model_make(&recipes[1]);
    char path[600];
    (void)state;
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    assert_int_equal(sonde_model_open(&model, path, NULL, &error), SONDE_STATUS_ARGUMENT);
    assert_int_equal(sonde_model_open(&model, folder, NULL, &error), SONDE_STATUS_NOT_FOUND);
    assert_non_null(strstr(error.text, "no tokenizer beside the weights (tokenizer.json)"));
    unlink(path);
    assert_true(is_refused(folder, SONDE_STATUS_NOT_FOUND, "*", "no weights"));
    model_write_text(folder, "pytorch_model.bin", "x");
    assert_int_equal(sonde_model_open(&model, folder, NULL, &error), SONDE_STATUS_UNSUPPORTED);
    assert_non_null(strstr(error.text, "pytorch_model.bin is a pickle, which can run code"));
    snprintf(path, sizeof path, "%s/config.json", folder);
    unlink(path);
    assert_true(is_refused(folder, SONDE_STATUS_NOT_FOUND,
                           "config.json: cannot open: No such file or directory", "no config"));
    model_remove(folder);
    assert_int_equal(sonde_model_open(&model, "/nonexistent", NULL, &error),
                     SONDE_STATUS_NOT_FOUND);
    assert_string_equal(error.text, "/nonexistent: no such file or folder");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_configs),
        cmocka_unit_test(test_index),
        cmocka_unit_test(test_places),
    };
    struct sonde_buf text = { 0 };
    for (int i = 0; argc == 2 && i < N_CASES; i++) {
        char name[32];
        config_text(&cases[i], &text);
        snprintf(name, sizeof name, "refused_%02d", i);
        model_write_text(argv[1], name, text.data ? text.data : "");
    }
    sonde_buf_finish(&text);
    return argc == 2 ? 0 : cmocka_run_group_tests(tests, NULL, NULL);
}
