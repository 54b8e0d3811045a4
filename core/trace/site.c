#include "core/trace/site.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define PREFIX "blocks."

#define GLOBAL(kind_, name_, canonical_, llamacpp_, axes_, meaning_)                               \
    [SONDE_SITE_##kind_] = { SONDE_SITE_##kind_, name_, canonical_, llamacpp_,                     \
                             SONDE_AXES_##axes_, false, meaning_ }
#define LAYER(kind_, name_, canonical_, llamacpp_, axes_, meaning_)                                \
    [SONDE_SITE_##kind_] = { SONDE_SITE_##kind_, name_, canonical_, llamacpp_,                     \
                             SONDE_AXES_##axes_, true,  meaning_ }

/* clang-format off */
static const struct sonde_site_description table[SONDE_SITE_KINDS] = {
    GLOBAL(EMBED, "hook_embed", "embed.hook_out", "inp_embd", D,
           "token embedding, after any scale factor"),
    GLOBAL(POS_EMBED, "hook_pos_embed", "pos_embed.hook_out", NULL, D,
           "rows of the position table that were added"),
    GLOBAL(TOKEN_TYPE_EMBED, "hook_token_type_embed", "embed.hook_token_type_embed", NULL, D,
           "segment embedding (encoders)"),
    GLOBAL(EMBED_LN_SCALE, "embed.ln.hook_scale", NULL, NULL, ONE,
           "denominator of the norm after the embedding (encoders)"),
    GLOBAL(EMBED_LN_NORMALIZED, "embed.ln.hook_normalized", NULL, NULL, D,
           "normalised embedding sum, before gain and bias (encoders)"),
    GLOBAL(EMBED_LN_OUT, "embed.ln.hook_out", NULL, NULL, D,
           "normalised embedding sum, after gain and bias (encoders)"),
    GLOBAL(FULL_EMBED, "hook_full_embed", NULL, NULL, D,
           "input of block 0, after the embedding norm (encoders)"),
    GLOBAL(LN_FINAL_SCALE, "ln_final.hook_scale", NULL, NULL, ONE,
           "denominator of the final norm"),
    GLOBAL(LN_FINAL_NORMALIZED, "ln_final.hook_normalized", NULL, NULL, D,
           "final norm before gain and bias"),
    GLOBAL(LN_FINAL_OUT, "ln_final.hook_out", NULL, "result_norm", D,
           "final norm after gain and bias"),
    GLOBAL(HEAD_LN_SCALE, "mlm_head.ln.hook_scale", NULL, NULL, ONE,
           "denominator of the masked-LM head's norm"),
    GLOBAL(HEAD_LN_NORMALIZED, "mlm_head.ln.hook_normalized", NULL, NULL, D,
           "masked-LM head's norm before gain and bias"),
    GLOBAL(HEAD_LN_OUT, "mlm_head.ln.hook_out", NULL, NULL, D,
           "masked-LM head's norm after gain and bias"),
    GLOBAL(LOGITS, "logits", "unembed.hook_out", "result_output", V,
           "unembedding of every position"),
    LAYER(RESID_PRE, "hook_resid_pre", "hook_in", NULL, D,
          "residual stream that enters the block"),
    LAYER(LN1_SCALE, "ln1.hook_scale", NULL, NULL, ONE,
          "denominator of the norm before (post-LN: after) attention"),
    LAYER(LN1_NORMALIZED, "ln1.hook_normalized", NULL, NULL, D,
          "first norm before gain and bias"),
    LAYER(LN1_OUT, "ln1.hook_out", NULL, "attn_norm", D, "first norm after gain and bias"),
    LAYER(Q, "attn.hook_q", "attn.q.hook_out", "Qcur", HE, "queries, with bias, before rotary"),
    LAYER(K, "attn.hook_k", "attn.k.hook_out", "Kcur", GE, "keys, with bias, before rotary"),
    LAYER(V, "attn.hook_v", "attn.v.hook_out", "Vcur", GE, "values, with bias"),
    LAYER(ROT_Q, "attn.hook_rot_q", NULL, NULL, HE, "queries after rotary"),
    LAYER(ROT_K, "attn.hook_rot_k", NULL, NULL, GE, "keys after rotary"),
    LAYER(ATTN_SCORES, "attn.hook_attn_scores", NULL, "kq", HTT,
          "scaled scores before the softmax, -inf where masked"),
    LAYER(PATTERN, "attn.hook_pattern", NULL, "kq_soft_max", HTT,
          "attention pattern [head, query, key], rows sum to 1"),
    LAYER(Z, "attn.hook_z", "attn.o.hook_in", "kqv_out", HE, "values mixed by the pattern"),
    LAYER(RESULT, "attn.hook_result", "attn.hook_hidden_states", NULL, HD,
          "each head's share of the attention output, without the bias"),
    LAYER(ATTN_OUT, "hook_attn_out", "attn.hook_out", NULL, D,
          "what attention adds to the residual stream"),
    LAYER(RESID_MID, "hook_resid_mid", NULL, "ffn_inp", D,
          "residual stream between attention and MLP (serial blocks)"),
    LAYER(NORMALIZED_RESID_MID, "hook_normalized_resid_mid", NULL, NULL, D,
          "residual stream after ln1 (post-LN blocks)"),
    LAYER(LN2_SCALE, "ln2.hook_scale", NULL, NULL, ONE,
          "denominator of the norm before (post-LN: after) the MLP"),
    LAYER(LN2_NORMALIZED, "ln2.hook_normalized", NULL, NULL, D,
          "second norm before gain and bias"),
    LAYER(LN2_OUT, "ln2.hook_out", NULL, "ffn_norm", D, "second norm after gain and bias"),
    LAYER(MLP_PRE, "mlp.hook_pre", "mlp.in.hook_out", "ffn_gate", F,
          "input of the activation function (gated: the gate projection)"),
    LAYER(MLP_PRE_LINEAR, "mlp.hook_pre_linear", NULL, "ffn_up", F,
          "the up projection (gated MLPs)"),
    LAYER(MLP_POST, "mlp.hook_post", "mlp.out.hook_in", "ffn_gate_par", F,
          "neuron activations that enter the down projection"),
    LAYER(MLP_OUT, "hook_mlp_out", "mlp.hook_out", "ffn_out", D,
          "what the MLP adds to the residual stream"),
    LAYER(RESID_POST_BEFORE_LN2, "hook_resid_post_before_ln2", NULL, NULL, D,
          "residual sum that enters ln2 (post-LN blocks)"),
    LAYER(NORMALIZED_RESID_POST, "hook_normalized_resid_post", NULL, NULL, D,
          "the same as hook_resid_post (post-LN blocks)"),
    LAYER(RESID_POST, "hook_resid_post", "hook_out", "l_out", D,
          "residual stream that leaves the block"),
};
/* clang-format on */

_Static_assert(SONDE_SITE_KINDS <= 64, "a set keeps one bit a kind");

const struct sonde_site_description *sonde_site_describe(enum sonde_site_kind kind)
{
    return (unsigned)kind < SONDE_SITE_KINDS ? &table[kind] : NULL;
}

char *sonde_site_format(struct sonde_site site, char out[SONDE_SITE_NAME_MAX])
{
    const struct sonde_site_description *d = sonde_site_describe(site.kind);
    if (!d) {
        snprintf(out, SONDE_SITE_NAME_MAX, "?");
    } else if (d->per_layer) {
        snprintf(out, SONDE_SITE_NAME_MAX, PREFIX "%d.%s", site.layer, d->name);
    } else {
        snprintf(out, SONDE_SITE_NAME_MAX, "%s", d->name);
    }
    return out;
}

/* A layer number of at most 4 digits, the whole of text[0..n), no sign, no leading zeros. */
static bool parse_layer(const char *text, size_t n, int *out)
{
    if (n < 1 || n > 4 || (n > 1 && text[0] == '0')) {
        return false;
    }
    int value = 0;
    for (size_t i = 0; i < n; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
        value = value * 10 + (text[i] - '0');
    }
    if (value >= SONDE_LAYERS_MAX) {
        return false;
    }
    *out = value;
    return true;
}

static bool spelled(const char *candidate, const char *name)
{
    return candidate && strcmp(candidate, name) == 0;
}

static bool parse_llamacpp(const char *name, struct sonde_site *out)
{
    const char *dash = strrchr(name, '-');
    int layer;
    if (!dash || !parse_layer(dash + 1, strlen(dash + 1), &layer)) {
        return false;
    }
    size_t n = (size_t)(dash - name);
    for (int k = 0; k < SONDE_SITE_KINDS; k++) {
        const char *alias = table[k].llamacpp;
        if (table[k].per_layer && alias && strlen(alias) == n && memcmp(alias, name, n) == 0) {
            *out = (struct sonde_site){ (enum sonde_site_kind)k, layer };
            return true;
        }
    }
    return false;
}

bool sonde_site_parse(const char *name, struct sonde_site *out)
{
    if (strncmp(name, PREFIX, sizeof PREFIX - 1) == 0) {
        const char *digits = name + sizeof PREFIX - 1;
        const char *dot = strchr(digits, '.');
        int layer;
        if (!dot || !parse_layer(digits, (size_t)(dot - digits), &layer)) {
            return false;
        }
        for (int k = 0; k < SONDE_SITE_KINDS; k++) {
            if (table[k].per_layer &&
                (spelled(table[k].name, dot + 1) || spelled(table[k].canonical, dot + 1))) {
                *out = (struct sonde_site){ (enum sonde_site_kind)k, layer };
                return true;
            }
        }
        return false;
    }
    for (int k = 0; k < SONDE_SITE_KINDS; k++) {
        if (!table[k].per_layer &&
            (spelled(table[k].name, name) || spelled(table[k].canonical, name) ||
             spelled(table[k].llamacpp, name))) {
            *out = (struct sonde_site){ (enum sonde_site_kind)k, -1 };
            return true;
        }
    }
    return parse_llamacpp(name, out);
}
