/* What a pass shows to its hooks, and norms, whose insides can be edited. */
#include <string.h>

#include "core/model/edit_tape.h"
#include "core/model/forward_internal.h"
#include "core/tensor/tape.h"

bool sonde_pass_ok(const struct sonde_pass *p)
{
    return p->status == SONDE_STATUS_OK && !p->ops.failed;
}

bool sonde_pass_is_edited(const struct sonde_pass *p, enum sonde_site_kind kind, int layer)
{
    return sonde_site_set_has(&p->edited, (struct sonde_site){ kind, layer });
}

bool sonde_pass_is_wanted(const struct sonde_pass *p, enum sonde_site_kind kind, int layer)
{
    return sonde_site_set_has(&p->observed, (struct sonde_site){ kind, layer }) ||
           sonde_pass_is_edited(p, kind, layer);
}

float *sonde_pass_take(struct sonde_pass *p, int64_t n)
{
    float *data = sonde_pass_ok(p) ? sonde_arena_alloc(p->ops.arena, n, sizeof *data) : NULL;
    if (!data) {
        p->ops.failed = true;
    }
    return data;
}

struct sonde_tensor sonde_pass_stream(const struct sonde_pass *p, float *data)
{
    return sonde_tensor_2d(data, p->T, p->spec->d_model);
}

struct sonde_tensor sonde_pass_rows(const struct sonde_pass *p, int segment,
                                    struct sonde_tensor value)
{
    value.data += p->row[segment] * value.stride[0];
    value.dim[0] = p->row[segment + 1] - p->row[segment];
    return value;
}

/* Edits first, so that all see what the pass goes on with. */
void sonde_pass_visit_segment(struct sonde_pass *p, int segment, enum sonde_site_kind kind,
                              int layer, struct sonde_tensor value)
{
    const struct sonde_forward_segment *s = &p->segments[segment];
    struct sonde_site site = { kind, layer };
    for (int i = 0; i < s->n_hooks && sonde_pass_ok(p); i++) {
        const struct sonde_hook *hook = &s->hooks[i];
        if (hook->on_edit && sonde_site_set_has(hook->edit, site)) {
            int64_t before = p->ops.tape ? sonde_tape_use(&p->ops, &value) : -1;
            p->status = hook->on_edit(hook->ctx, site, &value, p->error);
            sonde_edit_tape_record(&p->ops, hook, site, &value, before);
        }
    }
    for (int i = 0; i < s->n_hooks && sonde_pass_ok(p); i++) {
        const struct sonde_hook *hook = &s->hooks[i];
        if (hook->on_value && sonde_site_set_has(hook->observe, site)) {
            p->status = hook->on_value(hook->ctx, site, &value, p->error);
        }
    }
}

void sonde_pass_visit(struct sonde_pass *p, enum sonde_site_kind kind, int layer,
                      struct sonde_tensor value)
{
    if (!sonde_pass_ok(p) || !sonde_pass_is_wanted(p, kind, layer)) {
        return;
    }
    for (int s = 0; s < p->n_segments; s++) {
        sonde_pass_visit_segment(p, s, kind, layer, sonde_pass_rows(p, s, value));
    }
}

void sonde_pass_visit_rows(struct sonde_pass *p, enum sonde_site_kind kind, int layer, float *data,
                           int64_t width, struct sonde_tensor value,
                           void (*changed)(void *arg, int64_t row, const float *before), void *arg)
{
    if (!sonde_pass_ok(p) || !sonde_pass_is_wanted(p, kind, layer)) {
        return;
    }
    if (!sonde_pass_is_edited(p, kind, layer)) {
        sonde_pass_visit(p, kind, layer, value);
        return;
    }
    struct sonde_arena_mark mark = sonde_arena_mark(p->ops.arena);
    size_t bytes = (size_t)width * sizeof *data;
    float *before = sonde_pass_take(p, p->T * width);
    if (before) {
        memcpy(before, data, (size_t)p->T * bytes);
        sonde_pass_visit(p, kind, layer, value);
    }
    for (int64_t t = 0; t < p->T && before && sonde_pass_ok(p); t++) {
        if (memcmp(before + t * width, data + t * width, bytes) != 0) {
            changed(arg, t, before + t * width);
        }
    }
    sonde_arena_rewind(p->ops.arena, mark);
}

/* y = normalized * gain + bias for one row, in the op's order of operations. */
static void renew_row(struct sonde_norm_step *n, int64_t t)
{
    int64_t D = n->pass->spec->d_model;
    const float *from = n->pass->normalized + t * D;
    for (int64_t d = 0; d < D; d++) {
        float value = n->wide_gain ? from[d] * n->wide_gain[d] : from[d];
        n->y[t * D + d] = n->wide_bias ? value + n->wide_bias[d] : value;
    }
}

static void normalized_changed(void *arg, int64_t row, const float *before)
{
    (void)before;
    renew_row(arg, row);
}

static void scale_changed(void *arg, int64_t row, const float *before)
{
    struct sonde_norm_step *n = arg;
    int64_t D = n->pass->spec->d_model;
    double factor = (double)before[0] / (double)n->pass->scale[row];
    for (int64_t d = 0; d < D; d++) {
        float *value = &n->pass->normalized[row * D + d];
        *value = (float)((double)*value * factor);
    }
    renew_row(n, row);
}

float *sonde_pass_widened(struct sonde_pass *p, const struct sonde_weight *w)
{
    float *wide = w && sonde_weight_present(w) ? sonde_pass_take(p, w->columns) : NULL;
    if (wide) {
        sonde_weight_row(w, 0, wide);
    }
    return wide;
}

void sonde_pass_norm(struct sonde_norm_step n)
{
    struct sonde_pass *p = n.pass;
    bool edits =
        sonde_pass_is_edited(p, n.scale, n.layer) || sonde_pass_is_edited(p, n.normalized, n.layer);
    struct sonde_tensor none = { 0 };
    struct sonde_norm_args args = { .kind = p->spec->norm,
                                    .eps = p->spec->norm_eps,
                                    .gain = n.gain,
                                    .bias = n.bias,
                                    .scale = none,
                                    .normalized = none };
    struct sonde_tensor x = sonde_pass_stream(p, n.x), y = sonde_pass_stream(p, n.y);
    struct sonde_arena_mark mark = sonde_arena_mark(p->ops.arena);
    if (sonde_pass_is_wanted(p, n.scale, n.layer) || edits) {
        args.scale = sonde_tensor_2d(p->scale, p->T, 1);
    }
    if (sonde_pass_is_wanted(p, n.normalized, n.layer) || edits) {
        args.normalized = sonde_pass_stream(p, p->normalized);
    }
    sonde_op_norm(&p->ops, y, x, &args);
    if (edits) {
        n.wide_gain = sonde_pass_widened(p, n.gain);
        n.wide_bias = sonde_pass_widened(p, n.bias);
    }
    sonde_pass_visit_rows(p, n.scale, n.layer, p->scale, 1, args.scale, scale_changed, &n);
    sonde_pass_visit_rows(p, n.normalized, n.layer, p->normalized, p->spec->d_model,
                          args.normalized, normalized_changed, &n);
    sonde_pass_visit(p, n.out, n.layer, y);
    sonde_arena_rewind(p->ops.arena, mark);
}
