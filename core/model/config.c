#include "core/model/config.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void sonde_notes_add(struct sonde_notes *notes, const char *format, ...)
{
    struct sonde_error clean; /* names from files must not steer a terminal */
    char text[SONDE_ERROR_TEXT_MAX];
    va_list args;
    if (notes->n == SONDE_NOTES_MAX) {
        return;
    }
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    (void)sonde_error_set(&clean, SONDE_STATUS_OK, "%s", text);
    char *line = sonde_arena_strndup(notes->arena, clean.text, strlen(clean.text));
    if (line) {
        notes->line[notes->n++] = line;
    }
}

/* The member that is there and not null; *key becomes the name it was found under. */
static const struct sonde_json *member(const struct sonde_config *config, const char **key,
                                       const char *other)
{
    const struct sonde_json *value = sonde_json_get(config->root, *key);
    enum sonde_json_type type = sonde_json_type(value);
    if (type != SONDE_JSON_ABSENT && type != SONDE_JSON_NULL) {
        return value;
    }
    value = other ? sonde_json_get(config->root, other) : NULL;
    type = sonde_json_type(value);
    if (type == SONDE_JSON_ABSENT || type == SONDE_JSON_NULL) {
        return NULL;
    }
    *key = other;
    return value;
}

/* The value as one line of text for messages. */
static const char *shown(const struct sonde_json *value, char out[80])
{
    struct sonde_buf text = { 0 };
    bool ok = sonde_json_dump(&text, value);
    snprintf(out, 80, "%.70s", ok && text.data ? text.data : "?");
    sonde_buf_finish(&text);
    return out;
}

enum sonde_status sonde_config_size(const struct sonde_config *config, const char *key,
                                    const char *other, int64_t fallback, int64_t max, int64_t *out,
                                    struct sonde_error *error)
{
    char text[80];
    const struct sonde_json *value = member(config, &key, other);
    if (!value) {
        if (fallback == 0) {
            return sonde_error_set(error, SONDE_STATUS_FORMAT, "%s: %s is missing", config->name,
                                   key);
        }
        *out = fallback;
        return SONDE_STATUS_OK;
    }
    int64_t number = sonde_json_integer(value, 0);
    if (!sonde_json_is_number(value) || number < 1 || number > max) {
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "%s: %s is %s, expected a whole number from 1 to %lld", config->name,
                               key, shown(value, text), (long long)max);
    }
    *out = number;
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_config_head_size(const struct sonde_config *config, const char *key,
                                         int64_t d_model, int64_t n_heads, int64_t *out,
                                         struct sonde_error *error)
{
    bool given = key && member(config, &key, NULL);
    if (!given && d_model % n_heads != 0) {
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "%s: a width of %lld does not divide into %lld heads", config->name,
                               (long long)d_model, (long long)n_heads);
    }
    if (given) {
        return sonde_config_size(config, key, NULL, 0, SONDE_SPEC_SIZE_MAX, out, error);
    }
    *out = d_model / n_heads;
    return SONDE_STATUS_OK;
}

static enum sonde_status positive(const struct sonde_config *config, const char *key,
                                  const struct sonde_json *value, double max, double *out,
                                  struct sonde_error *error)
{
    char text[80];
    double number = sonde_json_real(value, NAN);
    if (!sonde_json_is_number(value) || !(number > 0) || !(number <= max)) {
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "%s: %s is %s, expected a number above 0 and at most %g",
                               config->name, key, shown(value, text), max);
    }
    *out = number;
    return SONDE_STATUS_OK;
}

/* The size under `own` (NULL = none), else under the name that most families use. */
static enum sonde_status named_size(const struct sonde_config *config, const char *own,
                                    const char *common, int64_t fallback, int64_t max, int64_t *out,
                                    struct sonde_error *error)
{
    return sonde_config_size(config, own ? own : common, own ? common : NULL, fallback, max, out,
                             error);
}

enum sonde_status sonde_config_read_sizes(const struct sonde_config *config,
                                          const struct sonde_config_sizes *keys,
                                          struct sonde_spec *spec, struct sonde_error *error)
{
    int64_t n_layers = 0;
    enum sonde_status status = named_size(config, keys->d_model, "hidden_size", 0,
                                          SONDE_SPEC_SIZE_MAX, &spec->d_model, error);
    if (status == SONDE_STATUS_OK) {
        status = named_size(config, keys->n_layers, "num_hidden_layers", 0, SONDE_LAYERS_MAX,
                            &n_layers, error);
    }
    if (status == SONDE_STATUS_OK) {
        status = named_size(config, keys->n_heads, "num_attention_heads", 0, SONDE_SPEC_HEADS_MAX,
                            &spec->n_heads, error);
    }
    spec->n_kv_heads = spec->n_heads;
    if (status == SONDE_STATUS_OK && keys->n_kv_heads) {
        status = sonde_config_size(config, keys->n_kv_heads, NULL, spec->n_heads,
                                   SONDE_SPEC_HEADS_MAX, &spec->n_kv_heads, error);
    }
    if (status == SONDE_STATUS_OK) {
        status = sonde_config_size(config, keys->d_mlp ? keys->d_mlp : "intermediate_size", NULL,
                                   keys->d_mlp ? 4 * spec->d_model : 0, SONDE_SPEC_SIZE_MAX,
                                   &spec->d_mlp, error);
    }
    if (status == SONDE_STATUS_OK) {
        status = sonde_config_size(config, "vocab_size", NULL, 0, SONDE_SPEC_SIZE_MAX,
                                   &spec->d_vocab, error);
    }
    if (status == SONDE_STATUS_OK) {
        status = named_size(config, keys->n_ctx, "max_position_embeddings", keys->n_ctx_default,
                            SONDE_SPEC_SIZE_MAX, &spec->n_ctx, error);
    }
    if (status == SONDE_STATUS_OK) {
        status = sonde_config_head_size(config, keys->d_head, spec->d_model, spec->n_heads,
                                        &spec->d_head, error);
    }
    spec->n_layers = (int)n_layers;
    return status;
}

enum sonde_status sonde_config_positive(const struct sonde_config *config, const char *key,
                                        const char *other, double fallback, double max, double *out,
                                        struct sonde_error *error)
{
    const struct sonde_json *value = member(config, &key, other);
    if (!value) {
        *out = fallback;
        return SONDE_STATUS_OK;
    }
    return positive(config, key, value, max, out, error);
}

enum sonde_status sonde_config_bool(const struct sonde_config *config, const char *key,
                                    bool fallback, bool *out, struct sonde_error *error)
{
    char text[80];
    const struct sonde_json *value = member(config, &key, NULL);
    if (value && sonde_json_type(value) != SONDE_JSON_BOOL) {
        return sonde_error_set(error, SONDE_STATUS_FORMAT, "%s: %s is %s, expected true or false",
                               config->name, key, shown(value, text));
    }
    *out = sonde_json_bool(value, fallback);
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_config_activation(const struct sonde_config *config, const char *key,
                                          enum sonde_activation fallback,
                                          enum sonde_activation *out, struct sonde_error *error)
{
    static const struct {
        const char *name;
        enum sonde_activation kind;
    } names[] = {
        { "gelu", SONDE_ACTIVATION_GELU },
        { "gelu_python", SONDE_ACTIVATION_GELU },
        { "gelu_new", SONDE_ACTIVATION_GELU_TANH },
        { "gelu_fast", SONDE_ACTIVATION_GELU_TANH },
        { "gelu_pytorch_tanh", SONDE_ACTIVATION_GELU_TANH },
        { "silu", SONDE_ACTIVATION_SILU },
        { "swish", SONDE_ACTIVATION_SILU },
        { "relu", SONDE_ACTIVATION_RELU },
        { "relu2", SONDE_ACTIVATION_RELU_SQUARED },
        { "tanh", SONDE_ACTIVATION_TANH },
        { "sigmoid", SONDE_ACTIVATION_SIGMOID },
        { "quick_gelu", SONDE_ACTIVATION_QUICK_GELU },
    };
    char text[80];
    const struct sonde_json *value = member(config, &key, NULL);
    if (!value) {
        *out = fallback;
        return SONDE_STATUS_OK;
    }
    const char *name = sonde_json_string(value, "");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(names[i].name, name) == 0) {
            *out = names[i].kind;
            return SONDE_STATUS_OK;
        }
    }
    return sonde_error_set(error, SONDE_STATUS_UNSUPPORTED,
                           "%s: %s %s is not an activation that Sonde knows", config->name, key,
                           shown(value, text));
}

/* rope_scaling and rope_parameters may name a type; all but the plain one change the angles. */
static enum sonde_status check_rope_type(const struct sonde_config *config, const char *key,
                                         const struct sonde_json *object, struct sonde_error *error)
{
    char text[80];
    const struct sonde_json *type = sonde_json_get(object, "rope_type");
    if (!type) {
        type = sonde_json_get(object, "type");
    }
    if (type && strcmp(sonde_json_string(type, ""), "default") != 0) {
        return sonde_error_set(error, SONDE_STATUS_UNSUPPORTED,
                               "%s: %s type %s is not supported, only \"default\" is", config->name,
                               key, shown(type, text));
    }
    return SONDE_STATUS_OK;
}

static enum sonde_status check_rope_keys(const struct sonde_config *config, const char *key,
                                         const struct sonde_json *object, bool takes_fraction,
                                         struct sonde_error *error)
{
    char text[80];
    for (struct sonde_json_iter i = { 0 }; sonde_json_next(object, &i);) {
        bool fraction = strcmp(i.key, "partial_rotary_factor") == 0;
        bool known = strcmp(i.key, "rope_type") == 0 || strcmp(i.key, "type") == 0 ||
                     strcmp(i.key, "rope_theta") == 0;
        if (!known && !(fraction && (takes_fraction || sonde_json_real(i.value, 0) == 1.0))) {
            return sonde_error_set(error, SONDE_STATUS_UNSUPPORTED,
                                   "%s: %s.%.60s = %s is not supported", config->name, key, i.key,
                                   shown(i.value, text));
        }
    }
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_config_rope(const struct sonde_config *config, const char *other,
                                    double *base, double *fraction, struct sonde_error *error)
{
    static const char *const keys[] = { "rope_scaling", "rope_parameters" };
    const double base_max = 1e15;
    char text[80];
    enum sonde_status status =
        sonde_config_positive(config, "rope_theta", other, 10000.0, base_max, base, error);
    for (int i = 0; i < 2 && status == SONDE_STATUS_OK; i++) {
        const struct sonde_json *object = sonde_json_get(config->root, keys[i]);
        enum sonde_json_type type = sonde_json_type(object);
        if (type == SONDE_JSON_ABSENT || type == SONDE_JSON_NULL) {
            continue;
        }
        if (type != SONDE_JSON_OBJECT) {
            return sonde_error_set(error, SONDE_STATUS_FORMAT, "%s: %s is %s, expected an object",
                                   config->name, keys[i], shown(object, text));
        }
        status = check_rope_type(config, keys[i], object, error);
        if (status == SONDE_STATUS_OK) {
            status = check_rope_keys(config, keys[i], object, i == 1 && fraction, error);
        }
        const struct sonde_json *theta = sonde_json_get(object, "rope_theta");
        if (status == SONDE_STATUS_OK && theta) {
            status = positive(config, "rope_theta", theta, base_max, base, error);
        }
        const struct sonde_json *part = sonde_json_get(object, "partial_rotary_factor");
        if (status == SONDE_STATUS_OK && fraction && part) {
            status = positive(config, "partial_rotary_factor", part, 1.0, fraction, error);
        }
    }
    return status;
}

/* Keys without effect on the values of a forward pass of a frozen model. */
static const char *const ignored_keys[] = {
    "_name_or_path",
    "_commit_hash",
    "architectures",
    "auto_map",
    "attention_dropout",
    "attention_probs_dropout_prob",
    "attn_implementation",
    "_attn_implementation",
    "attn_pdrop",
    "bad_words_ids",
    "begin_suppress_tokens",
    "bos_token_id",
    "cache_implementation",
    "chunk_size_feed_forward",
    "classifier_dropout",
    "cross_attention_hidden_size",
    "dtype",
    "decoder_start_token_id",
    "diversity_penalty",
    "do_sample",
    "early_stopping",
    "embd_pdrop",
    "encoder_no_repeat_ngram_size",
    "eos_token_id",
    "exponential_decay_length_penalty",
    "finetuning_task",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "gradient_checkpointing",
    "hidden_dropout",
    "hidden_dropout_prob",
    "id2label",
    "initializer_range",
    "is_llama_config",
    "keys_to_ignore_at_inference",
    "label2id",
    "length_penalty",
    "max_length",
    "min_length",
    "model_type",
    "n_ctx",
    "no_repeat_ngram_size",
    "num_beam_groups",
    "num_beams",
    "num_labels",
    "num_return_sequences",
    "output_attentions",
    "output_hidden_states",
    "output_past",
    "output_scores",
    "pad_token_id",
    "prefix",
    "pretraining_tp",
    "problem_type",
    "remove_invalid_values",
    "reorder_and_upcast_attn",
    "repetition_penalty",
    "resid_pdrop",
    "return_dict",
    "return_dict_in_generate",
    "sep_token_id",
    "suppress_tokens",
    "summary_activation",
    "summary_first_dropout",
    "summary_proj_to_labels",
    "summary_type",
    "summary_use_proj",
    "task_specific_params",
    "temperature",
    "tf_legacy_loss",
    "tokenizer_class",
    "top_k",
    "top_p",
    "torch_dtype",
    "torchscript",
    "transformers_version",
    "typical_p",
    "unk_index",
    "use_bfloat16",
    "use_cache",
    "directionality",
    "pooler_fc_size",
    "pooler_num_attention_heads",
    "pooler_num_fc_layers",
    "pooler_size_per_head",
    "pooler_type",
};

/* Keys that change the computation unless they have the value that means "off". */
static const struct {
    const char *key;
    const char *off; /* as compact JSON; null, false and absent always mean off */
} refused_keys[] = {
    { "add_cross_attention", "false" },
    { "alibi", "false" },
    { "attention_multiplier", "null" },
    { "attn_logit_softcapping", "null" },
    { "clip_qkv", "null" },
    { "embedding_multiplier", "1.0" },
    { "final_logit_softcapping", "null" },
    { "is_decoder", "false" },
    { "is_encoder_decoder", "false" },
    { "layer_types", "null" },
    { "logit_scale", "1.0" },
    { "logits_scaling", "1.0" },
    { "no_rope_layers", "null" },
    { "num_experts", "0" },
    { "num_local_experts", "0" },
    { "partial_rotary_factor", "1.0" },
    { "pruned_heads", "{}" },
    { "qk_layernorm", "false" },
    { "qk_norm", "false" },
    { "quantization_config", "null" },
    { "residual_multiplier", "1.0" },
    { "rope_interleaved", "false" },
    { "sliding_window", "null" },
    { "use_qk_norm", "false" },
    { "use_sliding_window", "false" },
};

static bool is_listed(const char *const *list, size_t n, const char *key)
{
    for (size_t i = 0; i < n && list[i]; i++) {
        if (strcmp(list[i], key) == 0) {
            return true;
        }
    }
    return false;
}

/* layer_types that are all "full_attention" say what is the case anyhow. */
static bool is_harmless(const struct sonde_json *value, const char *off)
{
    char text[80];
    enum sonde_json_type type = sonde_json_type(value);
    if (type == SONDE_JSON_NULL || (type == SONDE_JSON_BOOL && !sonde_json_bool(value, true)) ||
        strcmp(shown(value, text), off) == 0) {
        return true;
    }
    if (sonde_json_is_number(value) && strcmp(off, "1.0") == 0) {
        return sonde_json_real(value, 0) == 1.0;
    }
    bool full = type == SONDE_JSON_ARRAY && sonde_json_size(value) > 0;
    for (int64_t i = 0; full && i < sonde_json_size(value); i++) {
        full = strcmp(sonde_json_string(sonde_json_at(value, i), ""), "full_attention") == 0;
    }
    return full;
}

static enum sonde_status check_layer_types(const struct sonde_config *config,
                                           struct sonde_error *error)
{
    const char *key = "num_hidden_layers";
    const struct sonde_json *types = sonde_json_get(config->root, "layer_types");
    int64_t n = sonde_json_integer(member(config, &key, "n_layer"), 0);
    if (sonde_json_type(types) == SONDE_JSON_ARRAY && sonde_json_size(types) != n) {
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "%s: layer_types has %lld entries, expected %lld", config->name,
                               (long long)sonde_json_size(types), (long long)n);
    }
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_config_check_keys(const struct sonde_config *config,
                                          const char *const *read, struct sonde_error *error)
{
    char text[80];
    for (struct sonde_json_iter i = { 0 }; sonde_json_next(config->root, &i);) {
        if (is_listed(read, SIZE_MAX, i.key) ||
            is_listed(ignored_keys, sizeof ignored_keys / sizeof *ignored_keys, i.key)) {
            continue;
        }
        bool known = false;
        for (size_t j = 0; j < sizeof refused_keys / sizeof *refused_keys; j++) {
            if (strcmp(refused_keys[j].key, i.key) != 0) {
                continue;
            }
            known = true;
            if (!is_harmless(i.value, refused_keys[j].off)) {
                return sonde_error_set(error, SONDE_STATUS_UNSUPPORTED,
                                       "%s: %s = %s is not supported for this model_type",
                                       config->name, i.key, shown(i.value, text));
            }
        }
        if (!known) {
            sonde_notes_add(config->notes, "%s: key %.60s is not known and was not used",
                            config->name, i.key);
        }
    }
    return check_layer_types(config, error);
}
