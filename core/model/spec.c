#include "core/model/spec.h"

#include <math.h>
#include <string.h>

int64_t sonde_spec_outputs(const struct sonde_spec *spec)
{
    return spec->d_out ? spec->d_out : spec->d_vocab;
}

enum sonde_status sonde_spec_check_vocabulary(const struct sonde_spec *spec,
                                              struct sonde_error *error)
{
    if (sonde_spec_outputs(spec) != spec->d_vocab) {
        return sonde_error_set(error, SONDE_STATUS_UNSUPPORTED,
                               "this model has %lld outputs, which are not its vocabulary",
                               (long long)sonde_spec_outputs(spec));
    }
    if (spec->head == SONDE_HEAD_SIGMOID) {
        return sonde_error_set(
            error, SONDE_STATUS_UNSUPPORTED,
            "this model's outputs are sigmoids, any of which may hold: they rank "
            "no next token");
    }
    return SONDE_STATUS_OK;
}

int64_t sonde_spec_relative_rows(const struct sonde_spec *spec)
{
    return spec->causal ? spec->max_distance + 1 : 2 * spec->max_distance + 1;
}

bool sonde_spec_has_fixed_positions(const struct sonde_spec *spec)
{
    return spec->position == SONDE_POSITION_SINUSOIDAL || spec->position == SONDE_POSITION_COSINE;
}

int64_t sonde_spec_bias_columns(const struct sonde_spec *spec, int64_t n)
{
    bool biased = spec->position == SONDE_POSITION_T5 || spec->position == SONDE_POSITION_ALIBI;
    return !biased ? 0 : spec->causal ? n : 2 * n - 1;
}

bool sonde_site_is_map(enum sonde_site_kind kind)
{
    return sonde_site_describe(kind)->axes == SONDE_AXES_HTT;
}

int sonde_spec_site_shape(const struct sonde_spec *spec, enum sonde_site_kind kind, int64_t dim[2])
{
    dim[0] = spec->d_model;
    dim[1] = 1;
    switch (sonde_site_describe(kind)->axes) {
    case SONDE_AXES_D:
        return 1;
    case SONDE_AXES_ONE:
        dim[0] = 1;
        return 1;
    case SONDE_AXES_HE:
        dim[0] = spec->n_heads;
        dim[1] = spec->d_head;
        return 2;
    case SONDE_AXES_GE:
        dim[0] = spec->n_kv_heads;
        dim[1] = spec->d_head;
        return 2;
    case SONDE_AXES_HD:
        dim[0] = spec->n_heads;
        dim[1] = spec->d_model;
        return 2;
    case SONDE_AXES_F:
        dim[0] = spec->d_mlp;
        return 1;
    case SONDE_AXES_V:
        dim[0] = sonde_spec_outputs(spec);
        return 1;
    case SONDE_AXES_HTT:
        dim[0] = spec->n_heads;
        return 1;
    }
    return 1;
}

int64_t sonde_spec_site_width(const struct sonde_spec *spec, enum sonde_site_kind kind)
{
    int64_t dim[2];
    sonde_spec_site_shape(spec, kind, dim);
    return dim[0] * dim[1];
}

static bool has_global(const struct sonde_spec *spec, enum sonde_site_kind kind)
{
    switch (kind) {
    case SONDE_SITE_EMBED:
        return true;
    case SONDE_SITE_POS_EMBED:
        return spec->position == SONDE_POSITION_LEARNED || sonde_spec_has_fixed_positions(spec);
    case SONDE_SITE_TOKEN_TYPE_EMBED:
        return spec->token_types;
    case SONDE_SITE_EMBED_LN_SCALE:
    case SONDE_SITE_EMBED_LN_NORMALIZED:
    case SONDE_SITE_EMBED_LN_OUT:
    case SONDE_SITE_FULL_EMBED:
        return spec->norm_embedding;
    case SONDE_SITE_LN_FINAL_SCALE:
    case SONDE_SITE_LN_FINAL_NORMALIZED:
    case SONDE_SITE_LN_FINAL_OUT:
        return spec->norm_final;
    case SONDE_SITE_HEAD_LN_SCALE:
    case SONDE_SITE_HEAD_LN_NORMALIZED:
    case SONDE_SITE_HEAD_LN_OUT:
        return spec->mlm_head;
    case SONDE_SITE_LOGITS:
        return !spec->headless;
    default:
        return false;
    }
}

static bool has_in_block(const struct sonde_spec *spec, enum sonde_site_kind kind)
{
    bool post = spec->norm_place == SONDE_NORM_POST;
    switch (kind) {
    case SONDE_SITE_ROT_Q:
    case SONDE_SITE_ROT_K:
        return spec->position == SONDE_POSITION_ROTARY;
    case SONDE_SITE_RESID_MID:
        return !spec->parallel;
    case SONDE_SITE_NORMALIZED_RESID_MID:
    case SONDE_SITE_RESID_POST_BEFORE_LN2:
    case SONDE_SITE_NORMALIZED_RESID_POST:
        return post;
    case SONDE_SITE_LN2_SCALE:
    case SONDE_SITE_LN2_NORMALIZED:
    case SONDE_SITE_LN2_OUT:
        return !spec->shared_norm;
    case SONDE_SITE_MLP_PRE_LINEAR:
        return spec->gated;
    default:
        return true;
    }
}

void sonde_spec_sites(const struct sonde_spec *spec, struct sonde_site_set *out)
{
    memset(out, 0, sizeof *out);
    for (int k = 0; k < SONDE_SITE_KINDS; k++) {
        struct sonde_site site = { (enum sonde_site_kind)k, -1 };
        if (!sonde_site_describe(site.kind)->per_layer) {
            if (has_global(spec, site.kind)) {
                sonde_site_set_add(out, site);
            }
            continue;
        }
        for (int l = 0; l < spec->n_layers && has_in_block(spec, site.kind); l++) {
            site.layer = l;
            sonde_site_set_add(out, site);
        }
    }
}

/* What positions need: dimensions and base of rotary ones, tables of distances. */
static enum sonde_status validate_position(const struct sonde_spec *spec, const char *name,
                                           struct sonde_error *error)
{
    enum sonde_position_kind kind = spec->position;
    if (kind == SONDE_POSITION_ROTARY &&
        (spec->rotary_dims < 2 || spec->rotary_dims % 2 || spec->rotary_dims > spec->d_head)) {
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "%s: %lld rotary dimensions, expected an even number from 2 to "
                               "the head's %lld",
                               name, (long long)spec->rotary_dims, (long long)spec->d_head);
    }
    if ((kind == SONDE_POSITION_ROTARY || kind == SONDE_POSITION_SINUSOIDAL) &&
        (!(spec->rotary_base > 0) || !isfinite(spec->rotary_base))) {
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "%s: rotary base is %g, expected a number above 0", name,
                               spec->rotary_base);
    }
    if ((kind == SONDE_POSITION_RELATIVE || kind == SONDE_POSITION_T5) &&
        (spec->max_distance < 1 || spec->max_distance > SONDE_SPEC_DISTANCE_MAX)) {
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "%s: a largest distance of %lld, expected 1 to %d", name,
                               (long long)spec->max_distance, SONDE_SPEC_DISTANCE_MAX);
    }
    if (kind == SONDE_POSITION_T5 &&
        (spec->n_buckets < 1 || spec->n_buckets > SONDE_SPEC_DISTANCE_MAX ||
         (!spec->causal && spec->n_buckets % 2))) {
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "%s: %lld buckets of distances, expected 1 to %d, an even number "
                               "where keys may come after the query",
                               name, (long long)spec->n_buckets, SONDE_SPEC_DISTANCE_MAX);
    }
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_spec_validate(const struct sonde_spec *spec, const char *name,
                                      struct sonde_error *error)
{
    const struct {
        const char *what;
        int64_t value, max;
    } sizes[] = {
        { "layers", spec->n_layers, SONDE_LAYERS_MAX },
        { "d_model", spec->d_model, SONDE_SPEC_SIZE_MAX },
        { "heads", spec->n_heads, SONDE_SPEC_HEADS_MAX },
        { "key/value heads", spec->n_kv_heads, SONDE_SPEC_HEADS_MAX },
        { "d_head", spec->d_head, SONDE_SPEC_SIZE_MAX },
        { "d_mlp", spec->d_mlp, SONDE_SPEC_SIZE_MAX },
        { "vocabulary", spec->d_vocab, SONDE_SPEC_SIZE_MAX },
        { "outputs", sonde_spec_outputs(spec), SONDE_SPEC_SIZE_MAX },
        { "context", spec->n_ctx, SONDE_SPEC_SIZE_MAX },
    };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        if (sizes[i].value < 1 || sizes[i].value > sizes[i].max) {
            return sonde_error_set(error, SONDE_STATUS_FORMAT, "%s: %s is %lld, expected 1 to %lld",
                                   name, sizes[i].what, (long long)sizes[i].value,
                                   (long long)sizes[i].max);
        }
    }
    if (spec->n_heads % spec->n_kv_heads != 0) {
        return sonde_error_set(
            error, SONDE_STATUS_FORMAT,
            "%s: %lld attention heads are not a multiple of %lld key/value heads", name,
            (long long)spec->n_heads, (long long)spec->n_kv_heads);
    }
    if (!(spec->norm_eps > 0) || !(spec->norm_eps < 1)) {
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "%s: norm eps is %g, expected above 0 and below 1", name,
                               spec->norm_eps);
    }
    return validate_position(spec, name, error);
}
