/* The memory of a backward pass, before it is taken. */
#include "core/model/gradient.h"
#include "core/model/model_internal.h"

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/*
 * In floats. Copies: each value that a product needs, once. Gradients: of a width, as many as may
 * be live at once in one block (memory is given back to its own width only). Scratch: the widest
 * product. Each allocation is rounded up to 16 floats; `records` is a bound for the arguments of
 * the at most 20 records of a block.
 */
struct plan {
    int64_t block, ends;           /* copies of one block; of the embedding and the end */
    int64_t live_block, live_ends; /* gradients */
    int64_t scratch_block, scratch_ends;
};

/* False where the sizes are more than any machine holds; where true no product overflows. */
static bool make_plan(const struct sonde_spec *spec, int64_t T, int n_threads, struct plan *out)
{
    const int64_t D = spec->d_model, F = spec->d_mlp, V = sonde_spec_outputs(spec);
    const int64_t HE = spec->n_heads * spec->d_head, GE = spec->n_kv_heads * spec->d_head;
    if (T > SONDE_SPEC_SIZE_MAX ||
        (double)spec->n_layers * (double)T *
                (double)(9 * D + 4 * HE + 4 * F + V + 4 * spec->n_heads) >
            0x1p50 ||
        (double)spec->n_heads * (double)T * (double)T > 0x1p50) {
        return false;
    }
    const int64_t records = 20 * 256, widest = larger(larger(D, F), HE);
    struct plan p = { .ends = 5 * T * D + (spec->logit_softcap > 0.0f ? 2 : 1) * T * V + records };
    p.block = 4 * T * D + 2 * T * HE + 2 * T * GE + (spec->gated ? 3 : 2) * T * F + records;
    p.block += spec->position == SONDE_POSITION_ROTARY ? 2 * T * spec->rotary_dims : 0;
    p.live_block = 6 * T * D + 2 * T * HE + 4 * T * GE + 3 * T * F;
    p.live_ends = 6 * T * D + 2 * T * V;
    p.scratch_block =
        larger(larger(512 * widest, 4 * T + 2 * widest),
               sonde_op_attention_scratch(T, T, spec->n_kv_heads, spec->d_head, n_threads, true)) +
        256;
    p.scratch_ends = larger(larger(512 * D, T * V), 4 * T + 2 * D) + 256;
    if (spec->position == SONDE_POSITION_RELATIVE) {
        const int64_t R = sonde_spec_relative_rows(spec);
        p.scratch_block += 2 * 64 * R * (int64_t)n_threads + (GE + spec->d_head) * R + 64;
    }
    p.block += 2 * spec->n_heads * sonde_spec_bias_columns(spec, T) + 64;
    p.ends += sonde_spec_has_fixed_positions(spec) ? T * D + 16 : 0;
    *out = p;
    return true;
}

static int64_t site_floats(const struct sonde_spec *spec, struct sonde_site site, int64_t T)
{
    return (sonde_site_is_map(site.kind) ? T * T : T) * sonde_spec_site_width(spec, site.kind) + 16;
}

int64_t sonde_gradient_plan_bytes(const struct sonde_model *model, int64_t n_tokens, int n_threads,
                                  const struct sonde_site_set *sites)
{
    const struct sonde_spec *spec = &model->spec;
    struct sonde_site site;
    struct plan p;
    if (!make_plan(spec, n_tokens, n_threads, &p)) {
        return INT64_C(1) << 60;
    }
    int64_t floats = spec->n_layers * p.block + p.ends;
    floats += p.live_block + 2 * n_tokens * sonde_spec_outputs(spec) +
              larger(p.scratch_block, p.scratch_ends);
    for (int64_t at = 0; sites && sonde_site_set_next(sites, &at, &site);) {
        floats += site_floats(spec, site, n_tokens);
    }
    return floats * (int64_t)sizeof(float);
}

int64_t sonde_gradient_plan_checkpoint_bytes(const struct sonde_model *model, int64_t n_tokens,
                                             int n_threads, const struct sonde_site_set *sites)
{
    const struct sonde_spec *spec = &model->spec;
    const int64_t T = n_tokens, D = spec->d_model;
    struct sonde_site site;
    struct plan p;
    if (!make_plan(spec, T, n_threads, &p)) {
        return INT64_C(1) << 60;
    }
    /* The sites of one block at a time; those outside the blocks together. */
    int64_t in_block = 0, outside = 0, now = 0;
    int layer = -1;
    for (int64_t at = 0; sites && sonde_site_set_next(sites, &at, &site);) {
        if (site.layer < 0) {
            outside += site_floats(spec, site, T);
            continue;
        }
        now = site.layer == layer ? now : 0;
        layer = site.layer;
        now += site_floats(spec, site, T);
        in_block = larger(in_block, now);
    }
    /* The streams that enter and leave a stage are watched, so their gradients stay. */
    int64_t stage = larger(p.block + p.live_block + p.scratch_block + in_block,
                           p.ends + p.live_ends + p.scratch_ends + outside) +
                    2 * T * D + 32;
    return (stage + (spec->n_layers + 1) * T * D) * (int64_t)sizeof(float);
}

int64_t sonde_gradient_plan_edit_bytes(const struct sonde_model *model, int64_t n_tokens,
                                       const struct sonde_site_set *edited)
{
    const int64_t record = 256;
    struct sonde_site site;
    double floats = 0.0;
    for (int64_t at = 0; edited && sonde_site_set_next(edited, &at, &site);) {
        const bool map = sonde_site_is_map(site.kind);
        const double width = (double)sonde_spec_site_width(&model->spec, site.kind);
        const double rows = (double)n_tokens * (map ? (double)n_tokens : 1.0);
        /* An edited map brings both maps of its layer: two copies, four gradients, scratch. */
        floats += (map ? 8.0 : 4.0) * (rows * width + 16.0) + 4.0 * (double)record;
    }
    return floats < 0x1p50 ? (int64_t)floats * (int64_t)sizeof(float) : INT64_C(1) << 60;
}
