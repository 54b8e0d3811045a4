/* What the recorder's passes take. */
#include "core/model/recorder_internal.h"

/* Also the values that are formed because they are edited, and the copies by which the pass sees
 * which rows an edit changed. */
struct sonde_recorder_plan sonde_recorder_plan_pass(const struct sonde_recorder *r, int64_t n_rows,
                                                    int64_t longest)
{
    const struct sonde_spec *spec = r->spec;
    struct sonde_site_set wanted = *r->options->sites, edited = { 0 };
    int64_t copies = 0;
    for (int i = 0; i < r->options->n_hooks; i++) {
        sonde_site_set_union(&edited, r->options->hooks[i].edit);
    }
    for (int l = 0; l < spec->n_layers; l++) {
        if (sonde_site_set_has(&edited, (struct sonde_site){ SONDE_SITE_ATTN_SCORES, l })) {
            sonde_site_set_add(&wanted, (struct sonde_site){ SONDE_SITE_PATTERN, l });
        }
        if (r->gradients &&
            sonde_site_set_has(&edited, (struct sonde_site){ SONDE_SITE_PATTERN, l })) {
            sonde_site_set_add(&wanted, (struct sonde_site){ SONDE_SITE_ATTN_SCORES, l });
        }
        if (sonde_site_set_has(&edited, (struct sonde_site){ SONDE_SITE_RESULT, l })) {
            copies = spec->n_heads;
        }
    }
    if (!sonde_site_set_is_empty(&edited)) {
        copies += 3; /* a row's own, and gain and bias made wide */
    }
    sonde_site_set_union(&wanted, &edited);
    if (r->gradients) {
        sonde_site_set_union(&wanted, r->options->gradients);
        sonde_site_set_add(&wanted, (struct sonde_site){ SONDE_SITE_LOGITS, -1 });
    }
    const int64_t most = INT64_C(1) << 60;
    int64_t plan = sonde_session_plan_pack_bytes(r->model, n_rows, longest, &wanted);
    double more = (double)copies * (double)(n_rows + 64) * (double)spec->d_model * sizeof(float);
    plan = more < 0x1p50 && plan < most ? plan + (int64_t)more : most;
    struct sonde_recorder_plan out = { plan, plan,
                                       sonde_session_plan_thread_bytes(r->model, longest) };
    if (r->gradients) {
        const struct sonde_site_set *sites = r->options->gradients;
        const int64_t edits = sonde_gradient_plan_edit_bytes(r->model, longest, &edited);
        const int64_t whole = sonde_gradient_plan_bytes(r->model, longest, 1, sites);
        out.whole += edits + whole;
        out.by_layer += edits + sonde_gradient_plan_checkpoint_bytes(r->model, longest, 1, sites);
        out.thread += sonde_gradient_plan_bytes(r->model, longest, 2, sites) - whole;
    }
    return out;
}
