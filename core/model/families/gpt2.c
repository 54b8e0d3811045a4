/* GPT-2 (Radford et al. 2019) as transformers' GPT2LMHeadModel stores it. Its linear layers are
 * Conv1D: stored [in, out]. */
#include <math.h>

#include "core/model/family.h"

static enum sonde_status read_config(const struct sonde_config *config, struct sonde_spec *spec,
                                     struct sonde_error *error)
{
    static const struct sonde_config_sizes sizes = {
        .d_model = "n_embd",
        .n_layers = "n_layer",
        .n_heads = "n_head",
        .n_ctx = "n_positions",
        .d_mlp = "n_inner",
        .n_ctx_default = 1024,
    };
    static const char *const read[] = {
        "n_embd",
        "hidden_size",
        "n_layer",
        "num_hidden_layers",
        "n_head",
        "num_attention_heads",
        "n_inner",
        "vocab_size",
        "n_positions",
        "max_position_embeddings",
        "layer_norm_epsilon",
        "activation_function",
        "scale_attn_weights",
        "scale_attn_by_inverse_layer_idx",
        "tie_word_embeddings",
        NULL,
    };
    bool scaled = true;
    enum sonde_status status = sonde_config_read_sizes(config, &sizes, spec, error);
    if (status == SONDE_STATUS_OK) {
        status = sonde_config_positive(config, "layer_norm_epsilon", NULL, 1e-5, 1.0,
                                       &spec->norm_eps, error);
    }
    if (status == SONDE_STATUS_OK) {
        status = sonde_config_activation(config, "activation_function", SONDE_ACTIVATION_GELU_TANH,
                                         &spec->activation, error);
    }
    if (status == SONDE_STATUS_OK) {
        status = sonde_config_bool(config, "scale_attn_weights", true, &scaled, error);
    }
    if (status == SONDE_STATUS_OK) {
        status = sonde_config_bool(config, "scale_attn_by_inverse_layer_idx", false,
                                   &spec->attention_scale_by_layer, error);
    }
    if (status == SONDE_STATUS_OK) {
        status = sonde_config_bool(config, "tie_word_embeddings", true, &spec->tied, error);
    }
    if (status == SONDE_STATUS_OK) {
        status = sonde_config_check_keys(config, read, error);
    }
    spec->norm = SONDE_NORM_LAYER;
    spec->norm_final = true;
    spec->position = SONDE_POSITION_LEARNED;
    spec->causal = true;
    spec->attention_scale =
        scaled && spec->d_head > 0 ? (float)(1.0 / sqrt((double)spec->d_head)) : 1.0f;
    return status;
}

static void bind_layer(struct sonde_binder *b, const struct sonde_spec *spec,
                       struct sonde_layer_weights *w, int i)
{
    int64_t D = spec->d_model, F = spec->d_mlp;
    struct sonde_weight *const weights[] = { &w->w_q, &w->w_k, &w->w_v };
    struct sonde_weight *const biases[] = { &w->b_q, &w->b_k, &w->b_v };
    const struct sonde_bind_split split = { .n_out = { D, D, D }, .n_in = D, .transposed = true };
    sonde_bind_vector(b, &w->ln1_gain, D, SONDE_BIND_GAIN, "h.%d.ln_1.weight", i);
    sonde_bind_vector(b, &w->ln1_bias, D, SONDE_BIND_BIAS, "h.%d.ln_1.bias", i);
    sonde_bind_vector(b, &w->ln2_gain, D, SONDE_BIND_GAIN, "h.%d.ln_2.weight", i);
    sonde_bind_vector(b, &w->ln2_bias, D, SONDE_BIND_BIAS, "h.%d.ln_2.bias", i);
    sonde_bind_fused(b, weights, &split, "h.%d.attn.c_attn.weight", i);
    sonde_bind_fused_bias(b, biases, &split, "h.%d.attn.c_attn.bias", i);
    sonde_bind_matrix(b, &w->w_o, D, D, true, "h.%d.attn.c_proj.weight", i);
    sonde_bind_vector(b, &w->b_o, D, SONDE_BIND_BIAS, "h.%d.attn.c_proj.bias", i);
    sonde_bind_matrix(b, &w->w_up, D, F, true, "h.%d.mlp.c_fc.weight", i);
    sonde_bind_vector(b, &w->b_up, F, SONDE_BIND_BIAS, "h.%d.mlp.c_fc.bias", i);
    sonde_bind_matrix(b, &w->w_down, F, D, true, "h.%d.mlp.c_proj.weight", i);
    sonde_bind_vector(b, &w->b_down, D, SONDE_BIND_BIAS, "h.%d.mlp.c_proj.bias", i);
    /* Mask buffers that older versions saved. */
    sonde_bind_ignore(b, "h.%d.attn.bias", i);
    sonde_bind_ignore(b, "h.%d.attn.masked_bias", i);
}

static void bind(struct sonde_binder *b, const struct sonde_config *config, struct sonde_spec *spec,
                 struct sonde_weights *weights)
{
    (void)sonde_bind_prefix(b, "transformer.");
    for (int i = 0; i < spec->n_layers && b->status == SONDE_STATUS_OK; i++) {
        bind_layer(b, spec, &weights->layer[i], i);
    }
    sonde_bind_matrix(b, &weights->pos_embed, spec->n_ctx, spec->d_model, false, "wpe.weight");
    sonde_bind_vector(b, &weights->ln_final_gain, spec->d_model, SONDE_BIND_GAIN, "ln_f.weight");
    sonde_bind_vector(b, &weights->ln_final_bias, spec->d_model, SONDE_BIND_BIAS, "ln_f.bias");
    sonde_bind_embedding(b, config, spec, weights, "wte.weight", "lm_head.weight");
}

const struct sonde_family sonde_family_gpt2 = { "gpt2", read_config, bind };
