/*
 * Update rules of gradient descent, elementwise, with PyTorch's semantics (torch.optim 1.13: SGD,
 * RMSprop, Adam, AdamW, their single-tensor form) and defaults. State and weights are f32; scalars
 * that depend on the step (bias corrections) are formed in double, as PyTorch forms them.
 */
#ifndef SONDE_CORE_TENSOR_UPDATE_H
#define SONDE_CORE_TENSOR_UPDATE_H

#include <stdbool.h>
#include <stdint.h>

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
/* Arrays of n floats that the rule keeps between steps, 0 to SONDE_UPDATE_STATES_MAX. */
int sonde_update_states(const struct sonde_update_rule *rule);
/* One step, 1 the first: w[n] from g[n] and state[i][n], which are zero before the first step. g is
 * not changed. Each element depends on itself alone: the bits do not depend on how a caller cuts
 * the arrays. */
void sonde_update_apply(const struct sonde_update_rule *rule, int64_t step, int64_t n, float *w,
                        const float *g, float *const state[SONDE_UPDATE_STATES_MAX]);

#endif
