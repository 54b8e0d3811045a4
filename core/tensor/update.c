#include "core/tensor/update.h"

#include <math.h>
#include <stddef.h>

/* The numbers of one step, rounded to float as PyTorch rounds a Python number that meets a tensor
 * of floats. Products stand in the order in which PyTorch forms them. */
struct factors {
    float minus_rate; /* -lr; Adam: -lr / (1 - beta1^step) */
    float decay;      /* of the weight, added to the gradient; 0 = none */
    float keep;       /* AdamW: what decay leaves of the weight */
    float old, fresh; /* first average: old * average + fresh * gradient */
    float old_square, fresh_square;
    float momentum;
    float root; /* Adam: sqrt(1 - beta2^step) */
    float eps;
    bool adamw, centered, nesterov;
};

struct arrays {
    float *w;
    const float *g;
    float *state[SONDE_UPDATE_STATES_MAX];
};

SONDE_TARGET_BODY float decayed(const struct factors *f, float g, float w)
{
    return f->decay != 0.0f ? g + f->decay * w : g;
}

/* Without momentum there is no state: old and fresh play no part. */
SONDE_TARGET_BODY void sgd_body(const struct factors *f, const struct arrays *a, int64_t n)
{
    float *restrict w = a->w, *restrict average = a->state[0];
    const float *restrict g = a->g;
    if (!average) {
        for (int64_t i = 0; i < n; i++) {
            w[i] = w[i] + f->minus_rate * decayed(f, g[i], w[i]);
        }
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        const float d = decayed(f, g[i], w[i]);
        const float m = f->old * average[i] + f->fresh * d;
        average[i] = m;
        w[i] = w[i] + f->minus_rate * (f->nesterov ? d + f->momentum * m : m);
    }
}

/* In floats the mean square less the square of the mean may come out below zero, where PyTorch gets
 * NaN: it is zero here. A NaN stays one. */
SONDE_TARGET_BODY float centre(float square, float mean)
{
    const float variance = square - mean * mean;
    return variance < 0.0f ? 0.0f : variance;
}

SONDE_TARGET_BODY void rmsprop_loop(const struct factors *f, const struct arrays *a, int64_t n,
                                    bool centered, bool with_momentum)
{
    float *restrict w = a->w, *restrict square = a->state[0], *restrict mean = a->state[1];
    float *restrict momentum = a->state[centered ? 2 : 1];
    const float *restrict g = a->g;
    for (int64_t i = 0; i < n; i++) {
        const float d = decayed(f, g[i], w[i]);
        float s = f->old_square * square[i] + f->fresh_square * d * d;
        square[i] = s;
        if (centered) {
            const float m = f->old * mean[i] + f->fresh * d;
            mean[i] = m;
            s = centre(s, m);
        }
        const float root = sqrtf(s) + f->eps;
        if (with_momentum) {
            const float m = f->momentum * momentum[i] + d / root;
            momentum[i] = m;
            w[i] = w[i] + f->minus_rate * m;
        } else {
            w[i] = w[i] + f->minus_rate * d / root;
        }
    }
}

/* A loop for each case: one that asks inside is not vectorised. */
SONDE_TARGET_BODY void rmsprop_body(const struct factors *f, const struct arrays *a, int64_t n)
{
    const bool with_momentum = f->momentum > 0.0f;
    if (f->centered && with_momentum) {
        rmsprop_loop(f, a, n, true, true);
    } else if (f->centered) {
        rmsprop_loop(f, a, n, true, false);
    } else if (with_momentum) {
        rmsprop_loop(f, a, n, false, true);
    } else {
        rmsprop_loop(f, a, n, false, false);
    }
}

SONDE_TARGET_BODY void adam_body(const struct factors *f, const struct arrays *a, int64_t n)
{
    float *restrict w = a->w, *restrict mean = a->state[0], *restrict square = a->state[1];
    const float *restrict g = a->g;
    for (int64_t i = 0; i < n; i++) {
        const float kept = f->adamw ? w[i] * f->keep : w[i];
        const float d = decayed(f, g[i], w[i]);
        const float m = f->old * mean[i] + f->fresh * d;
        const float s = f->old_square * square[i] + f->fresh_square * d * d;
        mean[i] = m;
        square[i] = s;
        w[i] = kept + f->minus_rate * m / (sqrtf(s) / f->root + f->eps);
    }
}

SONDE_TARGET_BODY void apply_body(enum sonde_update_kind kind, const struct factors *f,
                                  const struct arrays *a, int64_t n)
{
    const struct factors local = *f; /* no array can be it */
    switch (kind) {
    case SONDE_UPDATE_SGD:
        sgd_body(&local, a, n);
        break;
    case SONDE_UPDATE_RMSPROP:
        rmsprop_body(&local, a, n);
        break;
    case SONDE_UPDATE_ADAM:
    case SONDE_UPDATE_ADAMW:
        adam_body(&local, a, n);
        break;
    }
}

static void apply_base(enum sonde_update_kind kind, const struct factors *f, const struct arrays *a,
                       int64_t n)
{
    apply_body(kind, f, a, n);
}

SONDE_TARGET_FOR_AVX2 static void apply_avx2(enum sonde_update_kind kind, const struct factors *f,
                                             const struct arrays *a, int64_t n)
{
    apply_body(kind, f, a, n);
}

SONDE_TARGET_FOR_AVX512 static void apply_avx512(enum sonde_update_kind kind,
                                                 const struct factors *f, const struct arrays *a,
                                                 int64_t n)
{
    apply_body(kind, f, a, n);
}

struct sonde_update_rule sonde_update_defaults(enum sonde_update_kind kind)
{
    struct sonde_update_rule rule = { .kind = kind };
    switch (kind) {
    case SONDE_UPDATE_SGD:
        rule.lr = 0.1;
        break;
    case SONDE_UPDATE_RMSPROP:
        rule.lr = 1e-2;
        rule.alpha = 0.99;
        rule.eps = 1e-8;
        break;
    case SONDE_UPDATE_ADAM:
    case SONDE_UPDATE_ADAMW:
        rule.lr = 1e-3;
        rule.beta1 = 0.9;
        rule.beta2 = 0.999;
        rule.eps = 1e-8;
        rule.weight_decay = kind == SONDE_UPDATE_ADAMW ? 1e-2 : 0.0;
        break;
    }
    return rule;
}

int sonde_update_states(const struct sonde_update_rule *rule)
{
    switch (rule->kind) {
    case SONDE_UPDATE_SGD:
        return rule->momentum != 0.0;
    case SONDE_UPDATE_RMSPROP:
        return 1 + rule->centered + (rule->momentum > 0.0);
    case SONDE_UPDATE_ADAM:
    case SONDE_UPDATE_ADAMW:
        break;
    }
    return 2;
}

static struct factors factors_of(const struct sonde_update_rule *rule, int64_t step)
{
    struct factors f = {
        .minus_rate = (float)-rule->lr,
        .decay = (float)rule->weight_decay,
        .momentum = (float)rule->momentum,
        .eps = (float)rule->eps,
        .centered = rule->centered,
        .nesterov = rule->nesterov,
    };
    switch (rule->kind) {
    case SONDE_UPDATE_SGD: /* the first gradient is the first average, whatever the dampening */
        f.old = step == 1 ? 0.0f : f.momentum;
        f.fresh = step == 1 ? 1.0f : (float)(1.0 - rule->dampening);
        break;
    case SONDE_UPDATE_RMSPROP:
        f.old = f.old_square = (float)rule->alpha;
        f.fresh = f.fresh_square = (float)(1.0 - rule->alpha);
        break;
    case SONDE_UPDATE_ADAM:
    case SONDE_UPDATE_ADAMW:
        f.adamw = rule->kind == SONDE_UPDATE_ADAMW;
        f.keep = (float)(1.0 - rule->lr * rule->weight_decay);
        f.decay = f.adamw ? 0.0f : f.decay;
        f.old = (float)rule->beta1;
        f.fresh = (float)(1.0 - rule->beta1);
        f.old_square = (float)rule->beta2;
        f.fresh_square = (float)(1.0 - rule->beta2);
        f.minus_rate = (float)(-rule->lr / (1.0 - pow(rule->beta1, (double)step)));
        f.root = (float)sqrt(1.0 - pow(rule->beta2, (double)step));
        break;
    }
    return f;
}

bool sonde_update_apply_on(enum sonde_target target, const struct sonde_update_rule *rule,
                           int64_t step, int64_t n, float *w, const float *g,
                           float *const state[SONDE_UPDATE_STATES_MAX])
{
    static void (*const apply[SONDE_TARGET_COUNT])(enum sonde_update_kind, const struct factors *,
                                                   const struct arrays *, int64_t) = {
        [SONDE_TARGET_BASE] = apply_base,
        [SONDE_TARGET_AVX2] = apply_avx2,
        [SONDE_TARGET_AVX512] = apply_avx512,
    };
    const struct factors f = factors_of(rule, step);
    struct arrays a = { .w = w, .g = g };
    if (target > sonde_target_here()) {
        return false;
    }
    for (int i = 0; i < sonde_update_states(rule); i++) {
        a.state[i] = state[i];
    }
    apply[target](rule->kind, &f, &a, n);
    return true;
}

void sonde_update_apply(const struct sonde_update_rule *rule, int64_t step, int64_t n, float *w,
                        const float *g, float *const state[SONDE_UPDATE_STATES_MAX])
{
    (void)sonde_update_apply_on(sonde_target_here(), rule, step, n, w, g, state);
}
