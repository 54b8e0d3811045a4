/*
 * Model spec: the traits in which transformer families differ. A family file maps config.json and
 * tensor names to a spec and a weight table; one forward pass reads the spec.
 */
#ifndef SONDE_CORE_MODEL_SPEC_H
#define SONDE_CORE_MODEL_SPEC_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/status.h"
#include "core/tensor/ops.h"
#include "core/trace/site.h"

enum sonde_norm_place {
    SONDE_NORM_PRE,  /* x + f(norm(x)) */
    SONDE_NORM_POST, /* norm(x + f(x)): BERT */
};
enum sonde_head_kind {
    SONDE_HEAD_SOFTMAX, /* one of the outputs: a distribution over them */
    SONDE_HEAD_SIGMOID, /* any of the outputs: a number in 0..1 each (k-hot) */
};
enum sonde_position_kind {
    SONDE_POSITION_NONE,
    SONDE_POSITION_LEARNED, /* a table of absolute positions added to the embedding */
    SONDE_POSITION_ROTARY,
    SONDE_POSITION_SINUSOIDAL, /* a fixed table added to the embedding; see core/tensor/ops.h */
    SONDE_POSITION_COSINE,     /* the same: cos(t pi) */
    SONDE_POSITION_RELATIVE,   /* learned keys by distance, a table a layer, shared by its heads */
    SONDE_POSITION_T5,         /* learned biases by bucket of distance and head, one table */
    SONDE_POSITION_ALIBI,      /* fixed biases by distance and head */
};

struct sonde_spec {
    const char *family; /* "llama", "gpt2", ... */
    int n_layers;
    int64_t d_model, n_heads, n_kv_heads, d_head, d_mlp, d_vocab, n_ctx;
    int64_t d_out; /* outputs of the unembedding where they are not the vocabulary; 0 = d_vocab */

    enum sonde_norm_kind norm;
    enum sonde_norm_place norm_place;
    double norm_eps;
    bool norm_embedding; /* LayerNorm right after the embedding sum (encoders) */
    bool norm_final;

    enum sonde_position_kind position;
    int64_t position_offset; /* row of the table that position 0 uses */
    enum sonde_rotary_style rotary_style;
    int64_t rotary_dims;
    double rotary_base;              /* also of sinusoidal positions */
    int64_t n_buckets, max_distance; /* of T5; max_distance also of relative keys */

    bool causal;
    float attention_scale; /* multiplies q.k: 1 / sqrt(d_head), or 1 */
    /* Further divided by (layer + 1): GPT-2's scale_attn_by_inverse_layer_idx. */
    bool attention_scale_by_layer;
    int64_t window;   /* keys that a query sees at most; 0 = all */
    bool parallel;    /* attention and MLP read the same stream and are added together */
    bool shared_norm; /* parallel with one norm (GPT-J, Phi) */

    enum sonde_activation activation;
    bool gated;
    bool token_types;    /* BERT's segment embedding */
    float embed_scale;   /* multiplies the embedding; 1 where the family has none */
    float logit_softcap; /* logits become cap tanh(logits / cap); 0 = none */
    bool tied;           /* the unembedding is the embedding */
    bool mlm_head;       /* dense, activation, norm before the unembedding: masked-LM encoders */
    enum sonde_head_kind head; /* how logits are meant; they themselves are the same */
    bool headless;             /* no unembedding in the files: the model has no logits */
};

/* Width of the logits: d_out or d_vocab. */
int64_t sonde_spec_outputs(const struct sonde_spec *spec);
/* Refuses a model whose outputs are no distribution over its vocabulary: others in number, or
 * sigmoids, any of which may hold. What picks or ranks tokens asks this. */
SONDE_MUST_USE enum sonde_status sonde_spec_check_vocabulary(const struct sonde_spec *spec,
                                                             struct sonde_error *error);
/* Rows of a table of relative keys: distances -max..0 where causal, else -max..max. */
int64_t sonde_spec_relative_rows(const struct sonde_spec *spec);
/* A fixed table is added to the embedding. */
bool sonde_spec_has_fixed_positions(const struct sonde_spec *spec);
/* Columns of the biases of attention by distance for n positions; 0 where there are none. */
int64_t sonde_spec_bias_columns(const struct sonde_spec *spec, int64_t n);
/* The sites that a model with this spec has. */
void sonde_spec_sites(const struct sonde_spec *spec, struct sonde_site_set *out);
/* Values of one row of the site (map sites: heads). */
int64_t sonde_spec_site_width(const struct sonde_spec *spec, enum sonde_site_kind kind);
/* The shape of one row into dim; returns its rank, 1 or 2 (map sites: {heads}). */
int sonde_spec_site_shape(const struct sonde_spec *spec, enum sonde_site_kind kind, int64_t dim[2]);
/* The row space is the map of attention, [H, T, T], and not a row per token. */
bool sonde_site_is_map(enum sonde_site_kind kind);

/* Largest sizes that a spec may name; products of any two stay far inside int64. */
enum {
    SONDE_SPEC_SIZE_MAX = 1 << 24,
    SONDE_SPEC_HEADS_MAX = 1 << 14,
    SONDE_SPEC_DISTANCE_MAX = 1 << 16,
};
/* Refuses a spec that no forward pass could follow: sizes outside 1..maximum, heads that the
 * key/value heads do not divide, odd or too many rotary dimensions, eps or base not above 0, and
 * what is not a number. `name` (the config file) begins the message. */
SONDE_MUST_USE enum sonde_status sonde_spec_validate(const struct sonde_spec *spec,
                                                     const char *name, struct sonde_error *error);

/* Weights as linear maps [out, in], whatever their storage (struct sonde_weight); vectors are
 * [out]. What a family does not have is absent (sonde_weight_present). */
struct sonde_layer_weights {
    struct sonde_weight ln1_gain, ln1_bias, ln2_gain, ln2_bias;
    struct sonde_weight w_q; /* [H E, D]; like the next three a copy where the file fuses them */
    struct sonde_weight w_k; /* [G E, D] */
    struct sonde_weight w_v; /* [G E, D] */
    struct sonde_weight w_o; /* [D, H E] */
    struct sonde_weight b_q, b_k, b_v, b_o;
    struct sonde_weight relative; /* [R, E] keys by distance; R: sonde_spec_relative_rows */
    struct sonde_weight w_gate;   /* [F, D]; gated MLPs only */
    struct sonde_weight w_up;     /* [F, D]; of a plain MLP the input projection */
    struct sonde_weight w_down;   /* [D, F] */
    struct sonde_weight b_gate, b_up, b_down;
};
struct sonde_weights {
    struct sonde_weight embed;         /* [V, D] */
    struct sonde_weight pos_embed;     /* [n_ctx, D] */
    struct sonde_weight relative_bias; /* [n_buckets, H] */
    struct sonde_weight token_type;    /* [types, D] */
    struct sonde_weight embed_ln_gain, embed_ln_bias;
    struct sonde_weight ln_final_gain, ln_final_bias;
    struct sonde_weight unembed, unembed_bias; /* [V, D], [V] */
    /* Masked-LM head: [D, D], the others [D]. */
    struct sonde_weight head_dense, head_dense_bias, head_ln_gain, head_ln_bias;
    struct sonde_layer_weights *layer; /* [n_layers] */
};

#endif
