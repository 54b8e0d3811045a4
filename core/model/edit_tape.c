#include "core/model/edit_tape.h"

#include <string.h>

struct edit_record {
    int64_t before, after;
    struct sonde_tensor shape; /* its data is void */
    struct sonde_site site;
    void (*gradient)(void *ctx, struct sonde_site site, struct sonde_tensor *gradient);
    void *ctx;
};

static void edit_vjp(struct sonde_op_context *ops, const void *record)
{
    const struct edit_record *r = record;
    struct sonde_tensor view = r->shape;
    const int64_t n = sonde_tensor_elements(&view);
    float *into = sonde_tape_into(ops, r->before);
    const struct sonde_arena_mark mark = sonde_arena_mark(ops->arena);
    view.data = into ? sonde_arena_alloc(ops->arena, n, sizeof *view.data) : NULL;
    if (!view.data) {
        ops->failed = true;
        return;
    }
    memcpy(view.data, sonde_tape_incoming(ops, r->after), (size_t)n * sizeof *view.data);
    r->gradient(r->ctx, r->site, &view);
    for (int64_t i = 0; i < n; i++) {
        into[i] += view.data[i];
    }
    sonde_arena_rewind(ops->arena, mark);
}

int64_t sonde_edit_tape_watch(struct sonde_op_context *ops, const float *data, int64_t n)
{
    int64_t value = -1;
    if (ops->tape && !ops->failed) {
        value = sonde_tape_watch(ops->tape, data, n);
        ops->failed = value < 0;
    }
    return value;
}

void sonde_edit_tape_record(struct sonde_op_context *ops, const struct sonde_hook *hook,
                            struct sonde_site site, const struct sonde_tensor *value,
                            int64_t before)
{
    struct edit_record *r = ops->tape ? sonde_tape_alloc(ops, 1, sizeof(*r)) : NULL;
    if (!r) {
        return;
    }
    *r = (struct edit_record){ .before = before,
                               .shape = *value,
                               .site = site,
                               .gradient = hook->on_edit_gradient,
                               .ctx = hook->ctx };
    r->after = sonde_tape_define(ops, value->data, sonde_tensor_elements(value));
    sonde_tape_push(ops, r->after, edit_vjp, r);
}

struct sum_record {
    int64_t whole, shares, n_rows, n_heads, width;
    struct sonde_weight bias;
};

static void sum_vjp(struct sonde_op_context *ops, const void *record)
{
    const struct sum_record *r = record;
    const float *from = sonde_tape_incoming(ops, r->whole);
    float *into = sonde_tape_into(ops, r->shares);
    float *bias = sonde_tape_into_weight(ops, &r->bias);
    for (int64_t row = 0; row < r->n_rows * r->n_heads && into; row++) {
        for (int64_t d = 0; d < r->width; d++) {
            into[row * r->width + d] += from[row / r->n_heads * r->width + d];
        }
    }
    for (int64_t d = 0; d < r->width && bias; d++) {
        double sum = 0.0;
        for (int64_t row = 0; row < r->n_rows; row++) {
            sum += (double)from[row * r->width + d];
        }
        bias[d] += (float)sum;
    }
}

void sonde_edit_tape_sum_shares(struct sonde_op_context *ops, const struct sonde_tensor *whole,
                                const struct sonde_tensor *shares, const struct sonde_weight *bias)
{
    struct sum_record *r = sonde_tape_alloc(ops, 1, sizeof(*r));
    if (!r) {
        return;
    }
    *r = (struct sum_record){
        .n_rows = shares->dim[0], .n_heads = shares->dim[1], .width = shares->dim[2], .bias = *bias
    };
    r->shares = sonde_tape_use(ops, shares);
    r->whole = sonde_tape_define(ops, whole->data, sonde_tensor_elements(whole));
    sonde_tape_push(ops, r->whole, sum_vjp, r);
}

/* Where not, an op has read the value before it could be edited. */
static bool passes_gradients(enum sonde_site_kind kind)
{
    switch (kind) {
    case SONDE_SITE_EMBED_LN_SCALE:
    case SONDE_SITE_EMBED_LN_NORMALIZED:
    case SONDE_SITE_LN_FINAL_SCALE:
    case SONDE_SITE_LN_FINAL_NORMALIZED:
    case SONDE_SITE_HEAD_LN_SCALE:
    case SONDE_SITE_HEAD_LN_NORMALIZED:
    case SONDE_SITE_LN1_SCALE:
    case SONDE_SITE_LN1_NORMALIZED:
    case SONDE_SITE_LN2_SCALE:
    case SONDE_SITE_LN2_NORMALIZED:
        return false;
    default:
        return true;
    }
}

enum sonde_status sonde_edit_tape_check(const struct sonde_hook *hooks, int n_hooks,
                                        struct sonde_error *error)
{
    char name[SONDE_SITE_NAME_MAX];
    struct sonde_site site;
    for (int h = 0; h < n_hooks; h++) {
        for (int64_t i = 0; hooks[h].edit && sonde_site_set_next(hooks[h].edit, &i, &site);) {
            if (!hooks[h].on_edit_gradient || !passes_gradients(site.kind)) {
                return sonde_error_set(error, SONDE_STATUS_UNSUPPORTED,
                                       "gradients do not pass through an edit of %s",
                                       sonde_site_format(site, name));
            }
        }
    }
    return SONDE_STATUS_OK;
}
