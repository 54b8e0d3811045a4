/*
 * Attention with edited maps, as three steps of a backward pass instead of the one of
 * sonde_op_attention, so that the edits stand between them: S = scale q k^T, P = softmax(S),
 * z = P v. Plain: whole [T, T] maps are there anyway.
 */
#include <string.h>

#include "core/model/edit_tape.h"
#include "core/tensor/gemm.h"

struct scores_record {
    int64_t scores, q_value, k_value;
    const float *q, *k; /* [T, H, E], [T, G, E] */
    int64_t T, H, G, E;
    float scale;
};

/* Rows of head h of a contiguous [T, n_heads, E]. */
static const float *head_of(const float *x, int64_t h, int64_t E)
{
    return x + h * E;
}

static void scores_vjp(struct sonde_op_context *ops, const void *record)
{
    const struct scores_record *r = record;
    const float *d = sonde_tape_incoming(ops, r->scores);
    float *dq = sonde_tape_into(ops, r->q_value), *dk = sonde_tape_into(ops, r->k_value);
    for (int64_t h = 0; h < r->H && dq && dk; h++) {
        const int64_t g = h / (r->H / r->G), T = r->T, E = r->E;
        sonde_sgemm(false, false, T, E, T, r->scale, d + h * T * T, T, head_of(r->k, g, E),
                    r->G * E, 1.0f, dq + h * E, r->H * E);
        sonde_sgemm(true, false, T, E, T, r->scale, d + h * T * T, T, head_of(r->q, h, E), r->H * E,
                    1.0f, dk + g * E, r->G * E);
    }
}

enum sonde_status sonde_edit_tape_scores(struct sonde_op_context *ops,
                                         const struct sonde_attention_args *args,
                                         const struct sonde_tensor *q, const struct sonde_tensor *k,
                                         struct sonde_error *error)
{
    if (args->bias.data || args->relative || args->softcap > 0.0f) {
        return sonde_error_set(error, SONDE_STATUS_UNSUPPORTED,
                               "gradients do not pass through edits of attention maps where "
                               "positions are part of the scores");
    }
    struct scores_record *r = sonde_tape_alloc(ops, 1, sizeof(*r));
    if (!r) {
        return SONDE_STATUS_OK; /* ops->failed says it */
    }
    *r = (struct scores_record){ .T = q->dim[0], .H = q->dim[1], .G = k->dim[1], .E = q->dim[2] };
    r->scale = args->scale;
    r->q_value = sonde_tape_use(ops, q);
    r->k_value = sonde_tape_use(ops, k);
    r->q = sonde_tape_keep(ops, r->q_value, q);
    r->k = sonde_tape_keep(ops, r->k_value, k);
    r->scores = sonde_tape_define(ops, args->scores.data, sonde_tensor_elements(&args->scores));
    sonde_tape_push(ops, r->scores, scores_vjp, r);
    return SONDE_STATUS_OK;
}

struct softmax_record {
    int64_t pattern, scores, n_rows, n;
    const float *p; /* [rows, n] */
};

/* P (dP - P.dP), which is 0 where the mask left no weight. */
static void softmax_vjp(struct sonde_op_context *ops, const void *record)
{
    const struct softmax_record *r = record;
    const float *d = sonde_tape_incoming(ops, r->pattern);
    float *into = sonde_tape_into(ops, r->scores);
    for (int64_t t = 0; t < r->n_rows && into; t++) {
        double dot = 0.0;
        for (int64_t i = t * r->n; i < (t + 1) * r->n; i++) {
            dot += (double)r->p[i] * (double)d[i];
        }
        for (int64_t i = t * r->n; i < (t + 1) * r->n; i++) {
            into[i] += (float)((double)r->p[i] * ((double)d[i] - dot));
        }
    }
}

void sonde_edit_tape_softmax(struct sonde_op_context *ops, const struct sonde_tensor *pattern,
                             const struct sonde_tensor *scores)
{
    struct softmax_record *r = sonde_tape_alloc(ops, 1, sizeof(*r));
    if (!r) {
        return;
    }
    *r = (struct softmax_record){ .n = pattern->dim[2] };
    r->n_rows = pattern->dim[0] * pattern->dim[1];
    r->scores = sonde_tape_use(ops, scores);
    r->pattern = sonde_tape_define(ops, pattern->data, sonde_tensor_elements(pattern));
    r->p = ops->failed ? NULL : sonde_tape_keep(ops, r->pattern, pattern);
    sonde_tape_push(ops, r->pattern, softmax_vjp, r);
}

struct mix_record {
    int64_t z, pattern, v_value;
    const float *p, *v; /* [H, T, T], [T, G, E] */
    int64_t T, H, G, E;
    bool causal;
    int64_t window;
};

/* What the mask hides has no gradient, whatever stands there. */
static void hide(const struct mix_record *r, float *dp)
{
    for (int64_t t = 0; t < r->T && r->causal; t++) {
        for (int64_t k = 0; k < r->T; k++) {
            if (k > t || (r->window > 0 && k <= t - r->window)) {
                dp[t * r->T + k] = 0.0f;
            }
        }
    }
}

static void mix_vjp(struct sonde_op_context *ops, const void *record)
{
    const struct mix_record *r = record;
    const float *d = sonde_tape_incoming(ops, r->z);
    float *dp = sonde_tape_into(ops, r->pattern), *dv = sonde_tape_into(ops, r->v_value);
    for (int64_t h = 0; h < r->H && dp && dv; h++) {
        const int64_t g = h / (r->H / r->G), T = r->T, E = r->E;
        sonde_sgemm(false, true, T, T, E, 1.0f, head_of(d, h, E), r->H * E, head_of(r->v, g, E),
                    r->G * E, 1.0f, dp + h * T * T, T);
        hide(r, dp + h * T * T);
        sonde_sgemm(true, false, T, E, T, 1.0f, r->p + h * T * T, T, head_of(d, h, E), r->H * E,
                    1.0f, dv + g * E, r->G * E);
    }
}

void sonde_edit_tape_mix(struct sonde_op_context *ops, const struct sonde_tensor *z,
                         const struct sonde_tensor *pattern, const struct sonde_tensor *v,
                         const struct sonde_attention_args *args)
{
    struct mix_record *r = sonde_tape_alloc(ops, 1, sizeof(*r));
    if (!r) {
        return;
    }
    *r = (struct mix_record){ .T = z->dim[0], .H = z->dim[1], .G = v->dim[1], .E = z->dim[2] };
    r->causal = args->causal;
    r->window = args->window;
    r->pattern = sonde_tape_use(ops, pattern);
    r->v_value = sonde_tape_use(ops, v);
    r->p = sonde_tape_keep(ops, r->pattern, pattern);
    r->v = sonde_tape_keep(ops, r->v_value, v);
    r->z = sonde_tape_define(ops, z->data, sonde_tensor_elements(z));
    sonde_tape_push(ops, r->z, mix_vjp, r);
}
