/*
 * Site: a named place of the forward pass. Names are TransformerLens's; both spellings and
 * llama.cpp's graph names are accepted on input, the first is printed.
 *
 * One table (site.c) holds kind, names, axes and meaning; parsing, printing, help, docs, the store
 * and the forward pass all read it.
 */
#ifndef SONDE_CORE_TRACE_SITE_H
#define SONDE_CORE_TRACE_SITE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/base/status.h"

enum sonde_site_kind {
    /* Model-wide sites. */
    SONDE_SITE_EMBED,               /* hook_embed [T, D] */
    SONDE_SITE_POS_EMBED,           /* hook_pos_embed [T, D] */
    SONDE_SITE_TOKEN_TYPE_EMBED,    /* hook_token_type_embed [T, D] encoders */
    SONDE_SITE_EMBED_LN_SCALE,      /* embed.ln.hook_scale [T, 1] encoders */
    SONDE_SITE_EMBED_LN_NORMALIZED, /* embed.ln.hook_normalized [T, D] */
    SONDE_SITE_EMBED_LN_OUT,        /* embed.ln.hook_out [T, D] */
    SONDE_SITE_FULL_EMBED,          /* hook_full_embed [T, D] encoders: input of block 0 */
    SONDE_SITE_LN_FINAL_SCALE,      /* ln_final.hook_scale [T, 1] */
    SONDE_SITE_LN_FINAL_NORMALIZED, /* ln_final.hook_normalized [T, D] before gain and bias */
    SONDE_SITE_LN_FINAL_OUT,        /* ln_final.hook_out [T, D] after gain and bias */
    SONDE_SITE_HEAD_LN_SCALE,       /* mlm_head.ln.hook_scale [T, 1] masked-LM head */
    SONDE_SITE_HEAD_LN_NORMALIZED,  /* mlm_head.ln.hook_normalized [T, D] */
    SONDE_SITE_HEAD_LN_OUT,         /* mlm_head.ln.hook_out [T, D] */
    SONDE_SITE_LOGITS,              /* logits (unembed.hook_out) [T, V] */
    /* Sites of every block; names are blocks.{i}.<name>. */
    SONDE_SITE_RESID_PRE,             /* hook_resid_pre [T, D] */
    SONDE_SITE_LN1_SCALE,             /* ln1.hook_scale [T, 1] */
    SONDE_SITE_LN1_NORMALIZED,        /* ln1.hook_normalized [T, D] */
    SONDE_SITE_LN1_OUT,               /* ln1.hook_out [T, D] after gain and bias */
    SONDE_SITE_Q,                     /* attn.hook_q [T, H, E] before rotary */
    SONDE_SITE_K,                     /* attn.hook_k [T, G, E] */
    SONDE_SITE_V,                     /* attn.hook_v [T, G, E] */
    SONDE_SITE_ROT_Q,                 /* attn.hook_rot_q [T, H, E] */
    SONDE_SITE_ROT_K,                 /* attn.hook_rot_k [T, G, E] */
    SONDE_SITE_ATTN_SCORES,           /* attn.hook_attn_scores [H, T, T] -inf where masked */
    SONDE_SITE_PATTERN,               /* attn.hook_pattern [H, T, T] rows sum to 1 */
    SONDE_SITE_Z,                     /* attn.hook_z [T, H, E] */
    SONDE_SITE_RESULT,                /* attn.hook_result [T, H, D] z W_O, a head's share */
    SONDE_SITE_ATTN_OUT,              /* hook_attn_out [T, D] what is added to the stream */
    SONDE_SITE_RESID_MID,             /* hook_resid_mid [T, D] serial blocks only */
    SONDE_SITE_NORMALIZED_RESID_MID,  /* hook_normalized_resid_mid [T, D] post-LN: after ln1 */
    SONDE_SITE_LN2_SCALE,             /* ln2.hook_scale [T, 1] */
    SONDE_SITE_LN2_NORMALIZED,        /* ln2.hook_normalized [T, D] */
    SONDE_SITE_LN2_OUT,               /* ln2.hook_out [T, D] */
    SONDE_SITE_MLP_PRE,               /* mlp.hook_pre [T, F] before the activation */
    SONDE_SITE_MLP_PRE_LINEAR,        /* mlp.hook_pre_linear [T, F] the up projection (gated) */
    SONDE_SITE_MLP_POST,              /* mlp.hook_post [T, F] */
    SONDE_SITE_MLP_OUT,               /* hook_mlp_out [T, D] */
    SONDE_SITE_RESID_POST_BEFORE_LN2, /* hook_resid_post_before_ln2 [T, D] post-LN: the sum */
    SONDE_SITE_NORMALIZED_RESID_POST, /* hook_normalized_resid_post [T, D] post-LN: = resid_post */
    SONDE_SITE_RESID_POST,            /* hook_resid_post [T, D] */
    SONDE_SITE_KINDS,                 /* the number of kinds; <= 64 */
};

#define SONDE_LAYERS_MAX 512
#define SONDE_SITE_NAME_MAX 96

struct sonde_site {
    enum sonde_site_kind kind;
    int layer; /* -1 for a model-wide site */
};

enum sonde_axes {
    SONDE_AXES_D,   /* [T, D] */
    SONDE_AXES_ONE, /* [T, 1] */
    SONDE_AXES_HE,  /* [T, H, E] */
    SONDE_AXES_GE,  /* [T, G, E] */
    SONDE_AXES_HD,  /* [T, H, D] */
    SONDE_AXES_F,   /* [T, F] */
    SONDE_AXES_V,   /* [T, V] */
    SONDE_AXES_HTT, /* [H, T, T] */
};

struct sonde_site_description {
    enum sonde_site_kind kind;
    const char *name;      /* legacy TransformerLens, without "blocks.{i}." */
    const char *canonical; /* TransformerLens 3.x, same prefix rule; NULL where it has no other */
    const char *llamacpp;  /* llama.cpp graph name, "-{i}" appended in blocks; NULL where none */
    enum sonde_axes axes;
    bool per_layer;
    const char *meaning; /* one line */
};
const struct sonde_site_description *sonde_site_describe(enum sonde_site_kind kind);

/* "blocks.2.hook_resid_post". Returns out. */
char *sonde_site_format(struct sonde_site site, char out[SONDE_SITE_NAME_MAX]);
/* Any accepted spelling of one site; false where there is no such name. */
bool sonde_site_parse(const char *name, struct sonde_site *out);

/* A set of sites as bits. Zero-initialised = empty. By value, but large: pass pointers. */
struct sonde_site_set {
    uint64_t global;                  /* bit kind, for model-wide kinds */
    uint64_t layer[SONDE_LAYERS_MAX]; /* bit kind, for per-layer kinds */
};
bool sonde_site_set_has(const struct sonde_site_set *set, struct sonde_site site);
void sonde_site_set_add(struct sonde_site_set *set, struct sonde_site site);
bool sonde_site_set_is_empty(const struct sonde_site_set *set);
int64_t sonde_site_set_count(const struct sonde_site_set *set);
void sonde_site_set_union(struct sonde_site_set *set, const struct sonde_site_set *other);
/* Iterates in the order of the forward pass: i starts at 0; false at the end. */
bool sonde_site_set_next(const struct sonde_site_set *set, int64_t *i, struct sonde_site *out);

/*
 * Compiles "PATTERN,PATTERN,.." against the sites a model has. A pattern is a site name in any
 * spelling where `*` stands for any run of characters, layers may be ranges and lists
 * ("blocks.2-5.hook_out", "blocks.0|3.attn.hook_q", "l_out-0|3"; negative layers count from the
 * end: "blocks.-1.."), or a shorthand: resid (hook_embed and every hook_resid_post), attn
 * (patterns), mlp (hook_mlp_out), ffn (mlp.hook_post), qkv, all (everything the model has). A
 * leading "-" takes sites away ("all,-logits"); a list that begins with one takes them away from
 * `all`. Unknown: NOT_FOUND naming the nearest names. A site that this family does not have, or a
 * layer that the model does not have: NOT_FOUND saying so. A list that leaves nothing: NOT_FOUND.
 */
SONDE_MUST_USE enum sonde_status sonde_site_set_parse(struct sonde_site_set *out,
                                                      const char *patterns,
                                                      const struct sonde_site_set *available,
                                                      int n_layers, struct sonde_error *error);

/*
 * Names of gradients: "grad:" and a site's name, "grad:blocks.0.hook_resid_post". Patterns too:
 * "grad:resid"; a pattern without it never means a gradient.
 */
#define SONDE_SITE_GRADIENT "grad:"
/* What stands behind "grad:"; NULL where the name or pattern has none. */
const char *sonde_site_gradient_of(const char *name);
/* As sonde_site_format, of the gradient. Returns out. */
char *sonde_site_format_gradient(struct sonde_site site, char out[SONDE_SITE_NAME_MAX]);
/* As sonde_site_set_parse, of a list where patterns with "grad:" ("-grad:" takes away) name
 * gradients and the others values: each kind is a list of its own. One of the sets may be empty. */
SONDE_MUST_USE enum sonde_status sonde_site_set_parse_both(struct sonde_site_set *values,
                                                           struct sonde_site_set *gradients,
                                                           const char *patterns,
                                                           const struct sonde_site_set *available,
                                                           int n_layers, struct sonde_error *error);

/* Whether a stream or site name (any spelling) matches one pattern of the grammar above; used to
 * select stored streams by name. n_layers resolves negative layers. A name that is no site matches
 * as plain text with `*`. */
bool sonde_site_pattern_matches(const char *pattern, const char *name, int n_layers);

#endif
