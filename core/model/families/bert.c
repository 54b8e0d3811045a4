/* BERT (Devlin et al. 2019) as transformers' BertForMaskedLM (or BertModel: no head) stores it. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/model/family.h"

static enum sonde_status read_config(const struct sonde_config *config, struct sonde_spec *spec,
                                     struct sonde_error *error)
{
    static const struct sonde_config_sizes sizes = { .n_ctx_default = 512 };
    static const char *const read[] = {
        "hidden_size",     "num_hidden_layers",       "num_attention_heads", "intermediate_size",
        "vocab_size",      "max_position_embeddings", "layer_norm_eps",      "hidden_act",
        "type_vocab_size", "position_embedding_type", "tie_word_embeddings", NULL,
    };
    const char *position = NULL;
    enum sonde_status status = sonde_config_read_sizes(config, &sizes, spec, error);
    if (status == SONDE_STATUS_OK) {
        status = sonde_json_read_string(config->root, "position_embedding_type", "absolute",
                                        &position, error);
        if (status == SONDE_STATUS_OK && strcmp(position, "absolute") != 0) {
            status = sonde_error_set(error, SONDE_STATUS_UNSUPPORTED,
                                     "%s: position_embedding_type \"%.60s\" is not supported, only "
                                     "\"absolute\" is",
                                     config->name, position);
        }
    }
    if (status == SONDE_STATUS_OK) {
        status = sonde_config_positive(config, "layer_norm_eps", NULL, 1e-12, 1.0, &spec->norm_eps,
                                       error);
    }
    if (status == SONDE_STATUS_OK) {
        status = sonde_config_activation(config, "hidden_act", SONDE_ACTIVATION_GELU,
                                         &spec->activation, error);
    }
    if (status == SONDE_STATUS_OK) {
        status = sonde_config_bool(config, "tie_word_embeddings", true, &spec->tied, error);
    }
    if (status == SONDE_STATUS_OK) {
        status = sonde_config_check_keys(config, read, error);
    }
    spec->norm = SONDE_NORM_LAYER;
    spec->norm_place = SONDE_NORM_POST;
    spec->norm_embedding = true;
    spec->position = SONDE_POSITION_LEARNED;
    spec->attention_scale = spec->d_head > 0 ? (float)(1.0 / sqrt((double)spec->d_head)) : 0.0f;
    spec->token_types = true;
    return status;
}

/* Old checkpoints call a norm's gain and bias gamma and beta. */
static void bind_norm(struct sonde_binder *b, struct sonde_weight *gain, struct sonde_weight *bias,
                      int64_t n, const char *name)
{
    bool old = sonde_bind_has(b, "%s.gamma", name);
    sonde_bind_vector(b, gain, n, SONDE_BIND_GAIN, "%s.%s", name, old ? "gamma" : "weight");
    sonde_bind_vector(b, bias, n, SONDE_BIND_BIAS, "%s.%s", name, old ? "beta" : "bias");
}

static void bind_layer(struct sonde_binder *b, const struct sonde_spec *spec,
                       struct sonde_layer_weights *w, int i)
{
    int64_t D = spec->d_model, F = spec->d_mlp;
    char name[64];
    const struct {
        struct sonde_weight *weight, *bias;
        int64_t rows, columns;
        const char *name;
    } maps[] = {
        { &w->w_q, &w->b_q, D, D, "attention.self.query" },
        { &w->w_k, &w->b_k, D, D, "attention.self.key" },
        { &w->w_v, &w->b_v, D, D, "attention.self.value" },
        { &w->w_o, &w->b_o, D, D, "attention.output.dense" },
        { &w->w_up, &w->b_up, F, D, "intermediate.dense" },
        { &w->w_down, &w->b_down, D, F, "output.dense" },
    };
    for (size_t j = 0; j < sizeof maps / sizeof *maps; j++) {
        sonde_bind_matrix(b, maps[j].weight, maps[j].rows, maps[j].columns, false,
                          "encoder.layer.%d.%s.weight", i, maps[j].name);
        sonde_bind_vector(b, maps[j].bias, maps[j].rows, SONDE_BIND_BIAS,
                          "encoder.layer.%d.%s.bias", i, maps[j].name);
    }
    snprintf(name, sizeof name, "encoder.layer.%d.attention.output.LayerNorm", i);
    bind_norm(b, &w->ln1_gain, &w->ln1_bias, D, name);
    snprintf(name, sizeof name, "encoder.layer.%d.output.LayerNorm", i);
    bind_norm(b, &w->ln2_gain, &w->ln2_bias, D, name);
}

static void bind_head(struct sonde_binder *b, struct sonde_spec *spec,
                      struct sonde_weights *weights)
{
    int64_t D = spec->d_model;
    b->prefix = "";
    if (!b->creation && !sonde_bind_has(b, "cls.predictions.transform.dense.weight")) {
        spec->headless = true;
        return;
    }
    spec->mlm_head = true;
    sonde_bind_matrix(b, &weights->head_dense, D, D, false,
                      "cls.predictions.transform.dense.weight");
    sonde_bind_vector(b, &weights->head_dense_bias, D, SONDE_BIND_BIAS,
                      "cls.predictions.transform.dense.bias");
    bind_norm(b, &weights->head_ln_gain, &weights->head_ln_bias, D,
              "cls.predictions.transform.LayerNorm");
    bool old = sonde_bind_has(b, "cls.predictions.decoder.bias") &&
               !sonde_bind_has(b, "cls.predictions.bias");
    sonde_bind_vector(b, &weights->unembed_bias, spec->d_vocab, SONDE_BIND_BIAS,
                      old ? "cls.predictions.decoder.bias" : "cls.predictions.bias");
    sonde_bind_ignore(b, "cls.predictions.decoder.bias");
    sonde_bind_ignore(b, "cls.seq_relationship.weight");
    sonde_bind_ignore(b, "cls.seq_relationship.bias");
}

static void bind(struct sonde_binder *b, const struct sonde_config *config, struct sonde_spec *spec,
                 struct sonde_weights *weights)
{
    int64_t D = spec->d_model, n_types = 2;
    const char *prefix = sonde_bind_prefix(b, "bert.");
    b->status = sonde_config_size(config, "type_vocab_size", NULL, 2, SONDE_SPEC_SIZE_MAX, &n_types,
                                  b->error);
    for (int i = 0; i < spec->n_layers && b->status == SONDE_STATUS_OK; i++) {
        bind_layer(b, spec, &weights->layer[i], i);
    }
    sonde_bind_matrix(b, &weights->pos_embed, spec->n_ctx, D, false,
                      "embeddings.position_embeddings.weight");
    sonde_bind_matrix(b, &weights->token_type, n_types, D, false,
                      "embeddings.token_type_embeddings.weight");
    bind_norm(b, &weights->embed_ln_gain, &weights->embed_ln_bias, D, "embeddings.LayerNorm");
    sonde_bind_ignore(b, "embeddings.position_ids");
    sonde_bind_ignore(b, "pooler.dense.weight");
    sonde_bind_ignore(b, "pooler.dense.bias");
    bind_head(b, spec, weights);
    b->prefix = prefix;
    if (spec->headless) {
        sonde_bind_matrix(b, &weights->embed, spec->d_vocab, D, false,
                          "embeddings.word_embeddings.weight");
        return;
    }
    sonde_bind_embedding(b, config, spec, weights, "embeddings.word_embeddings.weight",
                         "cls.predictions.decoder.weight");
}

const struct sonde_family sonde_family_bert = { "bert", read_config, bind };
