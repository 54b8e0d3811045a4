/* GPT-NeoX (Black et al. 2022) and Pythia as transformers' GPTNeoXForCausalLM stores them. The
 * fused projection holds query, key and value of one head after the other: [H, 3, E]. */
#include <math.h>

#include "core/model/family.h"

static enum sonde_status read_rotary(const struct sonde_config *config, struct sonde_spec *spec,
                                     struct sonde_error *error)
{
    double fraction = 0.25;
    enum sonde_status status = sonde_config_positive(config, "rotary_pct", "partial_rotary_factor",
                                                     0.25, 1.0, &fraction, error);
    if (status == SONDE_STATUS_OK) {
        status = sonde_config_rope(config, "rotary_emb_base", &spec->rotary_base, &fraction, error);
    }
    if (status == SONDE_STATUS_OK) {
        spec->rotary_dims = (int64_t)((double)spec->d_head * fraction);
    }
    return status;
}

static enum sonde_status read_config(const struct sonde_config *config, struct sonde_spec *spec,
                                     struct sonde_error *error)
{
    static const struct sonde_config_sizes sizes = { .n_ctx_default = 2048 };
    static const char *const read[] = {
        "hidden_size",           "num_hidden_layers",   "num_attention_heads",
        "intermediate_size",     "vocab_size",          "max_position_embeddings",
        "layer_norm_eps",        "hidden_act",          "rotary_pct",
        "partial_rotary_factor", "rotary_emb_base",     "rope_theta",
        "rope_scaling",          "rope_parameters",     "use_parallel_residual",
        "attention_bias",        "tie_word_embeddings", NULL,
    };
    enum sonde_status status = sonde_config_read_sizes(config, &sizes, spec, error);
    if (status == SONDE_STATUS_OK) {
        status = read_rotary(config, spec, error);
    }
    if (status == SONDE_STATUS_OK) {
        status = sonde_config_positive(config, "layer_norm_eps", NULL, 1e-5, 1.0, &spec->norm_eps,
                                       error);
    }
    if (status == SONDE_STATUS_OK) {
        status = sonde_config_activation(config, "hidden_act", SONDE_ACTIVATION_GELU,
                                         &spec->activation, error);
    }
    if (status == SONDE_STATUS_OK) {
        status = sonde_config_bool(config, "use_parallel_residual", true, &spec->parallel, error);
    }
    if (status == SONDE_STATUS_OK) {
        status = sonde_config_bool(config, "tie_word_embeddings", false, &spec->tied, error);
    }
    if (status == SONDE_STATUS_OK) {
        status = sonde_config_check_keys(config, read, error);
    }
    spec->norm = SONDE_NORM_LAYER;
    spec->norm_final = true;
    spec->position = SONDE_POSITION_ROTARY;
    spec->rotary_style = SONDE_ROTARY_HALF;
    spec->causal = true;
    spec->attention_scale = spec->d_head > 0 ? (float)(1.0 / sqrt((double)spec->d_head)) : 0.0f;
    return status;
}

static void bind_layer(struct sonde_binder *b, const struct sonde_spec *spec,
                       struct sonde_layer_weights *w, int i, bool attention_bias)
{
    int64_t D = spec->d_model, F = spec->d_mlp;
    struct sonde_weight *const weights[] = { &w->w_q, &w->w_k, &w->w_v };
    struct sonde_weight *const biases[] = { &w->b_q, &w->b_k, &w->b_v };
    const struct sonde_bind_split split = { .n_out = { D, D, D }, .n_in = D, .run = spec->d_head };
    sonde_bind_vector(b, &w->ln1_gain, D, SONDE_BIND_GAIN, "layers.%d.input_layernorm.weight", i);
    sonde_bind_vector(b, &w->ln1_bias, D, SONDE_BIND_BIAS, "layers.%d.input_layernorm.bias", i);
    sonde_bind_vector(b, &w->ln2_gain, D, SONDE_BIND_GAIN,
                      "layers.%d.post_attention_layernorm.weight", i);
    sonde_bind_vector(b, &w->ln2_bias, D, SONDE_BIND_BIAS,
                      "layers.%d.post_attention_layernorm.bias", i);
    sonde_bind_fused(b, weights, &split, "layers.%d.attention.query_key_value.weight", i);
    sonde_bind_matrix(b, &w->w_o, D, D, false, "layers.%d.attention.dense.weight", i);
    if (attention_bias) {
        sonde_bind_fused_bias(b, biases, &split, "layers.%d.attention.query_key_value.bias", i);
        sonde_bind_vector(b, &w->b_o, D, SONDE_BIND_BIAS, "layers.%d.attention.dense.bias", i);
    }
    sonde_bind_matrix(b, &w->w_up, F, D, false, "layers.%d.mlp.dense_h_to_4h.weight", i);
    sonde_bind_vector(b, &w->b_up, F, SONDE_BIND_BIAS, "layers.%d.mlp.dense_h_to_4h.bias", i);
    sonde_bind_matrix(b, &w->w_down, D, F, false, "layers.%d.mlp.dense_4h_to_h.weight", i);
    sonde_bind_vector(b, &w->b_down, D, SONDE_BIND_BIAS, "layers.%d.mlp.dense_4h_to_h.bias", i);
    /* Buffers that older versions saved. */
    sonde_bind_ignore(b, "layers.%d.attention.bias", i);
    sonde_bind_ignore(b, "layers.%d.attention.masked_bias", i);
    sonde_bind_ignore(b, "layers.%d.attention.rotary_emb.inv_freq", i);
}

static void bind(struct sonde_binder *b, const struct sonde_config *config, struct sonde_spec *spec,
                 struct sonde_weights *weights)
{
    bool attention_bias = true;
    b->status = sonde_config_bool(config, "attention_bias", true, &attention_bias, b->error);
    (void)sonde_bind_prefix(b, "gpt_neox.");
    for (int i = 0; i < spec->n_layers && b->status == SONDE_STATUS_OK; i++) {
        bind_layer(b, spec, &weights->layer[i], i, attention_bias);
    }
    sonde_bind_vector(b, &weights->ln_final_gain, spec->d_model, SONDE_BIND_GAIN,
                      "final_layer_norm.weight");
    sonde_bind_vector(b, &weights->ln_final_bias, spec->d_model, SONDE_BIND_BIAS,
                      "final_layer_norm.bias");
    sonde_bind_embedding(b, config, spec, weights, "embed_in.weight", "embed_out.weight");
}

const struct sonde_family sonde_family_gpt_neox = { "gpt_neox", read_config, bind };
