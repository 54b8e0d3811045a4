/* Llama (Touvron et al. 2023) as transformers' LlamaForCausalLM stores it. */
#include <math.h>

#include "core/model/family.h"

static enum sonde_status read_config(const struct sonde_config *config, struct sonde_spec *spec,
                                     struct sonde_error *error)
{
    static const struct sonde_config_sizes sizes = {
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
        "max_position_embeddings",
        "head_dim",
        "rms_norm_eps",
        "rope_theta",
        "rope_scaling",
        "rope_parameters",
        "hidden_act",
        "attention_bias",
        "mlp_bias",
        "tie_word_embeddings",
        NULL,
    };
    enum sonde_status status = sonde_config_read_sizes(config, &sizes, spec, error);
    if (status == SONDE_STATUS_OK) {
        status =
            sonde_config_positive(config, "rms_norm_eps", NULL, 1e-6, 1.0, &spec->norm_eps, error);
    }
    if (status == SONDE_STATUS_OK) {
        status = sonde_config_rope(config, NULL, &spec->rotary_base, NULL, error);
    }
    if (status == SONDE_STATUS_OK) {
        status = sonde_config_activation(config, "hidden_act", SONDE_ACTIVATION_SILU,
                                         &spec->activation, error);
    }
    if (status == SONDE_STATUS_OK) {
        status = sonde_config_bool(config, "tie_word_embeddings", false, &spec->tied, error);
    }
    if (status == SONDE_STATUS_OK) {
        status = sonde_config_check_keys(config, read, error);
    }
    spec->norm = SONDE_NORM_RMS;
    spec->norm_final = true;
    spec->position = SONDE_POSITION_ROTARY;
    spec->rotary_style = SONDE_ROTARY_HALF;
    spec->rotary_dims = spec->d_head;
    spec->causal = true;
    spec->attention_scale = spec->d_head > 0 ? (float)(1.0 / sqrt((double)spec->d_head)) : 0.0f;
    spec->gated = true;
    return status;
}

static void bind_layer(struct sonde_binder *b, const struct sonde_spec *spec,
                       struct sonde_layer_weights *w, int i, bool attention_bias, bool mlp_bias)
{
    int64_t D = spec->d_model, F = spec->d_mlp;
    int64_t n_q = spec->n_heads * spec->d_head, n_kv = spec->n_kv_heads * spec->d_head;
    const struct {
        struct sonde_weight *weight, *bias;
        int64_t rows, columns;
        const char *name;
        bool has_bias;
    } maps[] = {
        { &w->w_q, &w->b_q, n_q, D, "self_attn.q_proj", attention_bias },
        { &w->w_k, &w->b_k, n_kv, D, "self_attn.k_proj", attention_bias },
        { &w->w_v, &w->b_v, n_kv, D, "self_attn.v_proj", attention_bias },
        { &w->w_o, &w->b_o, D, n_q, "self_attn.o_proj", attention_bias },
        { &w->w_gate, &w->b_gate, F, D, "mlp.gate_proj", mlp_bias },
        { &w->w_up, &w->b_up, F, D, "mlp.up_proj", mlp_bias },
        { &w->w_down, &w->b_down, D, F, "mlp.down_proj", mlp_bias },
    };
    sonde_bind_vector(b, &w->ln1_gain, D, SONDE_BIND_GAIN, "layers.%d.input_layernorm.weight", i);
    sonde_bind_vector(b, &w->ln2_gain, D, SONDE_BIND_GAIN,
                      "layers.%d.post_attention_layernorm.weight", i);
    for (size_t j = 0; j < sizeof maps / sizeof *maps; j++) {
        sonde_bind_matrix(b, maps[j].weight, maps[j].rows, maps[j].columns, false,
                          "layers.%d.%s.weight", i, maps[j].name);
        if (maps[j].has_bias) {
            sonde_bind_vector(b, maps[j].bias, maps[j].rows, SONDE_BIND_BIAS, "layers.%d.%s.bias",
                              i, maps[j].name);
        }
    }
    sonde_bind_ignore(b, "layers.%d.self_attn.rotary_emb.inv_freq", i);
}

static void bind(struct sonde_binder *b, const struct sonde_config *config, struct sonde_spec *spec,
                 struct sonde_weights *weights)
{
    bool attention_bias = false, mlp_bias = false;
    b->status = sonde_config_bool(config, "attention_bias", false, &attention_bias, b->error);
    if (b->status == SONDE_STATUS_OK) {
        b->status = sonde_config_bool(config, "mlp_bias", false, &mlp_bias, b->error);
    }
    (void)sonde_bind_prefix(b, "model.");
    for (int i = 0; i < spec->n_layers && b->status == SONDE_STATUS_OK; i++) {
        bind_layer(b, spec, &weights->layer[i], i, attention_bias, mlp_bias);
    }
    sonde_bind_vector(b, &weights->ln_final_gain, spec->d_model, SONDE_BIND_GAIN, "norm.weight");
    sonde_bind_embedding(b, config, spec, weights, "embed_tokens.weight", "lm_head.weight");
}

const struct sonde_family sonde_family_llama = { "llama", read_config, bind };
