/*
 * Models that are made here: one vocabulary of block traits. Keys as in Hugging Face configs where
 * these have a name; the README of this folder lists them all. Tensors are named as in llama.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/model/family.h"

/* One of the words; the index of fallback is taken where the key is absent, an error where it is
 * below 0. */
static enum sonde_status read_word(const struct sonde_config *config, const char *key,
                                   const char *const *words, int fallback, int *out,
                                   struct sonde_error *error)
{
    char known[160] = "";
    const char *word = NULL;
    enum sonde_status status = sonde_json_read_string(config->root, key, NULL, &word, error);
    if (status != SONDE_STATUS_OK) {
        sonde_error_prepend(error, "%s", config->name);
        return status;
    }
    if (!word && fallback >= 0) {
        *out = fallback;
        return SONDE_STATUS_OK;
    }
    for (int i = 0; words[i]; i++) {
        if (word && strcmp(word, words[i]) == 0) {
            *out = i;
            return SONDE_STATUS_OK;
        }
        size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", words[i]);
    }
    if (!word) {
        return sonde_error_set(error, SONDE_STATUS_FORMAT, "%s: %s is missing: one of %s",
                               config->name, key, known);
    }
    return sonde_error_set(error, SONDE_STATUS_FORMAT, "%s: %s is \"%.60s\", expected one of %s",
                           config->name, key, word, known);
}

static enum sonde_status read_norm(const struct sonde_config *config, struct sonde_spec *spec,
                                   struct sonde_error *error)
{
    static const char *const norms[] = { "layernorm", "rmsnorm", NULL };
    static const char *const places[] = { "pre", "post", NULL };
    int norm = 0, place = 0;
    enum sonde_status status = read_word(config, "norm", norms, 0, &norm, error);
    if (status == SONDE_STATUS_OK) {
        status = read_word(config, "norm_place", places, 0, &place, error);
    }
    spec->norm = norm == 0 ? SONDE_NORM_LAYER : SONDE_NORM_RMS;
    spec->norm_place = place == 0 ? SONDE_NORM_PRE : SONDE_NORM_POST;
    if (status == SONDE_STATUS_OK) {
        status = sonde_config_positive(config, "norm_eps", NULL, 1e-5, 1.0, &spec->norm_eps, error);
    }
    if (status == SONDE_STATUS_OK) {
        status = sonde_config_bool(config, "final_norm", place == 0, &spec->norm_final, error);
    }
    return status;
}

static enum sonde_status read_position(const struct sonde_config *config, struct sonde_spec *spec,
                                       struct sonde_error *error)
{
    /* In the order of enum sonde_position_kind. */
    static const char *const words[] = { "none",     "learned", "rotary", "sinusoidal", "cosine",
                                         "relative", "t5",      "alibi",  NULL };
    int kind = 0;
    enum sonde_status status = read_word(config, "position", words, -1, &kind, error);
    if (status != SONDE_STATUS_OK) {
        return status;
    }
    spec->position = (enum sonde_position_kind)kind;
    if (spec->position == SONDE_POSITION_RELATIVE || spec->position == SONDE_POSITION_T5) {
        status = sonde_config_size(config, "relative_attention_max_distance", NULL,
                                   spec->position == SONDE_POSITION_T5 ? 128 : 16,
                                   SONDE_SPEC_DISTANCE_MAX, &spec->max_distance, error);
    }
    if (status == SONDE_STATUS_OK && spec->position == SONDE_POSITION_T5) {
        status = sonde_config_size(config, "relative_attention_num_buckets", NULL, 32,
                                   SONDE_SPEC_DISTANCE_MAX, &spec->n_buckets, error);
    }
    if (status != SONDE_STATUS_OK) {
        return status;
    }
    spec->rotary_style = SONDE_ROTARY_HALF;
    spec->rotary_dims = spec->d_head;
    return sonde_config_positive(config, "rope_theta", NULL, 10000.0, 1e15, &spec->rotary_base,
                                 error);
}

/* A number, or "sqrt": the root of the width. */
static enum sonde_status read_embedding_scale(const struct sonde_config *config,
                                              struct sonde_spec *spec, struct sonde_error *error)
{
    const struct sonde_json *value = sonde_json_get(config->root, "embedding_scale");
    if (strcmp(sonde_json_string(value, ""), "sqrt") == 0) {
        spec->embed_scale = (float)sqrt((double)spec->d_model);
        return SONDE_STATUS_OK;
    }
    double scale = 1.0;
    enum sonde_status status =
        sonde_config_positive(config, "embedding_scale", NULL, 1.0, 1e6, &scale, error);
    spec->embed_scale = (float)scale;
    return status;
}

static enum sonde_status read_head(const struct sonde_config *config, struct sonde_spec *spec,
                                   struct sonde_error *error)
{
    static const char *const heads[] = { "softmax", "sigmoid", NULL };
    int head = 0;
    enum sonde_status status = read_word(config, "head", heads, 0, &head, error);
    spec->head = head == 0 ? SONDE_HEAD_SOFTMAX : SONDE_HEAD_SIGMOID;
    if (status == SONDE_STATUS_OK) {
        status = sonde_config_size(config, "n_outputs", NULL, spec->d_vocab, SONDE_SPEC_SIZE_MAX,
                                   &spec->d_out, error);
    }
    if (status == SONDE_STATUS_OK) {
        status = sonde_config_bool(config, "tie_word_embeddings", false, &spec->tied, error);
    }
    if (status == SONDE_STATUS_OK && spec->tied && spec->d_out != spec->d_vocab) {
        status = sonde_error_set(error, SONDE_STATUS_FORMAT,
                                 "%s: tie_word_embeddings with %lld outputs of %lld tokens",
                                 config->name, (long long)spec->d_out, (long long)spec->d_vocab);
    }
    return status;
}

static enum sonde_status read_block(const struct sonde_config *config, struct sonde_spec *spec,
                                    struct sonde_error *error)
{
    enum sonde_status status = sonde_config_activation(config, "hidden_act", SONDE_ACTIVATION_GELU,
                                                       &spec->activation, error);
    if (status == SONDE_STATUS_OK) {
        status = sonde_config_bool(config, "gated", false, &spec->gated, error);
    }
    if (status == SONDE_STATUS_OK) {
        status = sonde_config_bool(config, "causal", true, &spec->causal, error);
    }
    spec->attention_scale = spec->d_head > 0 ? (float)(1.0 / sqrt((double)spec->d_head)) : 0.0f;
    return status;
}

static enum sonde_status read_config(const struct sonde_config *config, struct sonde_spec *spec,
                                     struct sonde_error *error)
{
    static const struct sonde_config_sizes sizes = {
        .d_mlp = "intermediate_size", /* 4 hidden_size where absent */
        .n_kv_heads = "num_key_value_heads",
        .d_head = "head_dim",
        .n_ctx_default = 2048,
    };
    static const char *const read[] = {
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "num_key_value_heads",
        "intermediate_size",
        "vocab_size",
        "n_outputs",
        "head_dim",
        "max_position_embeddings",
        "norm",
        "norm_place",
        "norm_eps",
        "final_norm",
        "position",
        "rope_theta",
        "hidden_act",
        "gated",
        "bias",
        "head_bias",
        "causal",
        "tie_word_embeddings",
        "embedding_scale",
        "head",
        "relative_attention_max_distance",
        "relative_attention_num_buckets",
        NULL,
    };
    enum sonde_status (*const steps[])(const struct sonde_config *, struct sonde_spec *,
                                       struct sonde_error *) = {
        read_norm, read_position, read_block, read_embedding_scale, read_head,
    };
    enum sonde_status status = sonde_config_read_sizes(config, &sizes, spec, error);
    for (size_t i = 0; i < sizeof steps / sizeof *steps && status == SONDE_STATUS_OK; i++) {
        status = steps[i](config, spec, error);
    }
    if (status == SONDE_STATUS_OK) {
        status = sonde_config_check_keys(config, read, error);
    }
    return status;
}

static void bind_norm(struct sonde_binder *b, struct sonde_weight *gain, struct sonde_weight *bias,
                      int64_t n, bool has_bias, const char *name)
{
    sonde_bind_vector(b, gain, n, SONDE_BIND_GAIN, "%s.weight", name);
    if (has_bias) {
        sonde_bind_vector(b, bias, n, SONDE_BIND_BIAS, "%s.bias", name);
    }
}

static void bind_layer(struct sonde_binder *b, const struct sonde_spec *spec,
                       struct sonde_layer_weights *w, int i, bool bias)
{
    int64_t D = spec->d_model, F = spec->d_mlp;
    int64_t n_q = spec->n_heads * spec->d_head, n_kv = spec->n_kv_heads * spec->d_head;
    char name[64];
    const struct {
        struct sonde_weight *weight, *bias;
        int64_t rows, columns;
        const char *name;
        bool absent;
    } maps[] = {
        { &w->w_q, &w->b_q, n_q, D, "self_attn.q_proj", false },
        { &w->w_k, &w->b_k, n_kv, D, "self_attn.k_proj", false },
        { &w->w_v, &w->b_v, n_kv, D, "self_attn.v_proj", false },
        { &w->w_o, &w->b_o, D, n_q, "self_attn.o_proj", false },
        { &w->w_gate, &w->b_gate, F, D, "mlp.gate_proj", !spec->gated },
        { &w->w_up, &w->b_up, F, D, "mlp.up_proj", false },
        { &w->w_down, &w->b_down, D, F, "mlp.down_proj", false },
    };
    bool norm_bias = bias && spec->norm == SONDE_NORM_LAYER;
    if (spec->position == SONDE_POSITION_RELATIVE) {
        sonde_bind_matrix(b, &w->relative, sonde_spec_relative_rows(spec), spec->d_head, false,
                          "layers.%d.self_attn.relative_keys.weight", i);
    }
    snprintf(name, sizeof name, "layers.%d.attn_norm", i);
    bind_norm(b, &w->ln1_gain, &w->ln1_bias, D, norm_bias, name);
    snprintf(name, sizeof name, "layers.%d.mlp_norm", i);
    bind_norm(b, &w->ln2_gain, &w->ln2_bias, D, norm_bias, name);
    for (size_t j = 0; j < sizeof maps / sizeof *maps; j++) {
        if (maps[j].absent) {
            continue;
        }
        sonde_bind_matrix(b, maps[j].weight, maps[j].rows, maps[j].columns, false,
                          "layers.%d.%s.weight", i, maps[j].name);
        if (bias) {
            sonde_bind_vector(b, maps[j].bias, maps[j].rows, SONDE_BIND_BIAS, "layers.%d.%s.bias",
                              i, maps[j].name);
        }
    }
}

static void bind(struct sonde_binder *b, const struct sonde_config *config, struct sonde_spec *spec,
                 struct sonde_weights *weights)
{
    bool bias = true, head_bias = false;
    b->status = sonde_config_bool(config, "bias", true, &bias, b->error);
    if (b->status == SONDE_STATUS_OK) {
        b->status = sonde_config_bool(config, "head_bias", false, &head_bias, b->error);
    }
    sonde_bind_embedding(b, config, spec, weights, "embed_tokens.weight", "lm_head.weight");
    if (spec->position == SONDE_POSITION_LEARNED) {
        sonde_bind_matrix(b, &weights->pos_embed, spec->n_ctx, spec->d_model, false,
                          "embed_positions.weight");
    }
    if (spec->position == SONDE_POSITION_T5) {
        sonde_bind_matrix(b, &weights->relative_bias, spec->n_buckets, spec->n_heads, false,
                          "relative_attention_bias.weight");
    }
    for (int i = 0; i < spec->n_layers && b->status == SONDE_STATUS_OK; i++) {
        bind_layer(b, spec, &weights->layer[i], i, bias);
    }
    if (spec->norm_final) {
        bind_norm(b, &weights->ln_final_gain, &weights->ln_final_bias, spec->d_model,
                  bias && spec->norm == SONDE_NORM_LAYER, "norm");
    }
    if (head_bias) {
        sonde_bind_vector(b, &weights->unembed_bias, sonde_spec_outputs(spec), SONDE_BIND_BIAS,
                          "lm_head.bias");
    }
}

const struct sonde_family sonde_family_sonde = { "sonde", read_config, bind };
