/*
 * Update rules of gradient descent, elementwise, with PyTorch's semantics (torch.optim 1.13: SGD,
 * RMSprop, Adam, AdamW, their single-tensor form) and defaults. State and weights are f32; scalars
 * that depend on the step (bias corrections) are formed in double, as PyTorch forms them. With
 * gradient g (SGD, RMSprop, Adam: g + weight_decay w), products and divisions elementwise:
 *   SGD      m = momentum m + (1 - dampening) g, at step 1 m = g; w -= lr m, without momentum lr g,
 *            with nesterov lr (g + momentum m)
 *   RMSprop  s = alpha s + (1 - alpha) g^2; centered: a = alpha a + (1 - alpha) g and s - a^2 (0
 *            where rounding makes it negative, PyTorch: NaN) for s; u = g / (sqrt(s) + eps);
 *            w -= lr u, with momentum m = momentum m + u and w -= lr m
 *   Adam     m = beta1 m + (1 - beta1) g; s = beta2 s + (1 - beta2) g^2;
 *            w -= lr m / (1 - beta1^step) / (sqrt(s / (1 - beta2^step)) + eps)
 *   AdamW    w *= 1 - lr weight_decay, then as Adam
 */
#ifndef SONDE_CORE_TENSOR_UPDATE_H
#define SONDE_CORE_TENSOR_UPDATE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/tensor/target.h"

enum sonde_update_kind {
    SONDE_UPDATE_SGD,
    SONDE_UPDATE_RMSPROP, /* Hinton 2012, as in torch.optim.RMSprop */
    SONDE_UPDATE_ADAM,    /* Kingma and Ba 2015; weight decay is added to the gradient */
    SONDE_UPDATE_ADAMW,   /* Loshchilov and Hutter 2019; weight decay shrinks the weight */
};
struct sonde_update_rule {
    enum sonde_update_kind kind;
    double lr;
    double weight_decay;
    double momentum, dampening; /* SGD; RMSprop: momentum alone */
    bool nesterov;              /* SGD */
    double alpha;               /* RMSprop: smoothing */
    bool centered;              /* RMSprop */
    double beta1, beta2;        /* Adam, AdamW */
    double eps;                 /* not SGD */
};

#define SONDE_UPDATE_STATES_MAX 3

/* The rule with PyTorch's defaults (lr: SGD has none there, 0.1 here; RMSprop 1e-2, alpha .99, eps
 * 1e-8; Adam 1e-3, betas .9 and .999, eps 1e-8; AdamW weight decay 1e-2). */
struct sonde_update_rule sonde_update_defaults(enum sonde_update_kind kind);
/* Arrays of n floats that the rule keeps between steps, 0 to SONDE_UPDATE_STATES_MAX; in this
 * order: SGD m; RMSprop s, a, m; Adam m, s; those that its options use. */
int sonde_update_states(const struct sonde_update_rule *rule);
/* One step, 1 the first: w[n] from g[n] and state[i][n], which are zero before the first step. g is
 * not changed; the arrays do not overlap. Each element depends on itself alone: the bits do not
 * depend on how a caller cuts the arrays. */
void sonde_update_apply(const struct sonde_update_rule *rule, int64_t step, int64_t n, float *w,
                        const float *g, float *const state[SONDE_UPDATE_STATES_MAX]);
/* The same compiled for one target, for tests; false and nothing done where this machine lacks it.
 */
bool sonde_update_apply_on(enum sonde_target target, const struct sonde_update_rule *rule,
                           int64_t step, int64_t n, float *w, const float *g,
                           float *const state[SONDE_UPDATE_STATES_MAX]);

#endif
