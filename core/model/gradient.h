/*
 * Gradients of a loss with respect to weights and to the values at sites: one forward pass on a
 * tape (core/tensor/tape.h), and the tape run back. One gradient belongs to one session and thread.
 */
#ifndef SONDE_CORE_MODEL_GRADIENT_H
#define SONDE_CORE_MODEL_GRADIENT_H

#include "core/model/model.h"

enum sonde_loss_kind {
    SONDE_LOSS_NEXT_TOKEN, /* mean over t < T - 1 of -log p(ids[t + 1]); natural logarithm */
    SONDE_LOSS_TARGETS,    /* mean over rows with targets[t] >= 0 of -log p(targets[t]) */
    SONDE_LOSS_LOGIT,      /* logits[row, id] itself */
    /* Mean over the rows that count of the mean over a row's outputs: see op_loss.h */
    SONDE_LOSS_SIGMOID_MSE, /* (sigmoid(logit) - hot)^2 */
    SONDE_LOSS_SIGMOID_BCE, /* binary cross entropy of sigmoid(logit) and hot */
};
struct sonde_loss {
    enum sonde_loss_kind kind;
    const int32_t *targets; /* [T] outputs; below 0 = the row does not count */
    int64_t row, id;        /* of SONDE_LOSS_LOGIT; row -1 = the last */
    const float *hot;       /* [T, outputs] in [0, 1], of the sigmoid losses */
    const bool *counts;     /* [T] of the sigmoid losses; NULL = every row counts */
    /* Scales all gradients, not the loss that is reported; 0 = 1. With a sequence's share of the
     * rows of a batch (sonde_loss_rows), the gradients of the batch's sequences add up to that of
     * the mean over all its rows. */
    double weight;
};

/* Rows of n_tokens that count in the loss's mean; 1 for SONDE_LOSS_LOGIT. */
int64_t sonde_loss_rows(const struct sonde_loss *loss, int64_t n_tokens);

struct sonde_gradient_args {
    const int32_t *ids; /* [n_tokens] */
    int64_t n_tokens;
    const int32_t *token_types; /* NULL = zeros; encoders */
    struct sonde_loss loss;
    /* Edits, and observers of the values. An edit must say how gradients pass (on_edit_gradient);
     * observers see every value once. */
    const struct sonde_hook *hooks;
    int n_hooks;
    bool checkpoints;                   /* by layer, even where the whole pass would fit */
    const struct sonde_site_set *sites; /* NULL = none */
    /* dL/d(value at the site), contiguous in the site's axes, in the order of the pass; with
     * checkpoints in that order within a stage, and stages from the end to the embedding. Valid
     * during the call. What is masked has gradient 0. A head's share (hook_result) counts as a
     * summand of hook_attn_out; a norm's scale as what the centred values are divided by. */
    enum sonde_status (*on_gradient)(void *ctx, struct sonde_site site,
                                     const struct sonde_tensor *gradient,
                                     struct sonde_error *error);
    void *ctx;
};

struct sonde_gradient; /* opaque */

/*
 * The session must be without a cache and outlive the gradient. max_bytes: the most that the tape
 * may take; 0 = no limit. Where a whole pass does not fit by the plan below, only the stream
 * between the blocks is kept and each block runs forwards again (checkpoints: Griewank and Walther
 * 2000, "Algorithm 799: revolve"; Chen et al. 2016, "Training deep nets with sublinear memory
 * cost"). That gives the same bits and costs one more pass forwards. LIMIT, naming the least
 * budget, where even that does not fit.
 */
SONDE_MUST_USE enum sonde_status sonde_gradient_create(struct sonde_gradient **out,
                                                       struct sonde_session *session,
                                                       size_t max_bytes, struct sonde_error *error);
void sonde_gradient_destroy(struct sonde_gradient **gradient);
/* From now on every run adds dL/dw to into[rows * columns], f32 in the order in which the weight is
 * stored. The caller owns into and sets it to zero. w is one of the model's weights; absent ones
 * are ignored, a weight that is already wanted (a tied one too) is ARGUMENT. */
SONDE_MUST_USE enum sonde_status sonde_gradient_want(struct sonde_gradient *gradient,
                                                     const struct sonde_weight *w, float *into,
                                                     struct sonde_error *error);
/* Runs forwards and backwards. The logits are those that sonde_forward makes, bit by bit. A model
 * without logits is UNSUPPORTED, and one whose outputs are not its vocabulary for
 * SONDE_LOSS_NEXT_TOKEN; ids, targets and weight are checked. *loss may be NULL. After a failure
 * the wanted gradients may hold a part of what was to be added. */
SONDE_MUST_USE enum sonde_status sonde_gradient_run(struct sonde_gradient *gradient,
                                                    const struct sonde_gradient_args *args,
                                                    double *loss, struct sonde_error *error);
/* Most bytes that the tape and, if any were kept, the checkpoints took. The session's own are
 * sonde_session_peak_bytes. */
int64_t sonde_gradient_peak_bytes(const struct sonde_gradient *gradient);
/* Bytes that the tape of a run over n_tokens takes at most, for this number of threads, with the
 * gradients of these sites (NULL = none) and of any weights. */
int64_t sonde_gradient_plan_bytes(const struct sonde_model *model, int64_t n_tokens, int n_threads,
                                  const struct sonde_site_set *sites);
/* The same of a run with checkpoints. */
int64_t sonde_gradient_plan_checkpoint_bytes(const struct sonde_model *model, int64_t n_tokens,
                                             int n_threads, const struct sonde_site_set *sites);
/* What edits of these sites add to either: the value before, its gradient, and scratch. */
int64_t sonde_gradient_plan_edit_bytes(const struct sonde_model *model, int64_t n_tokens,
                                       const struct sonde_site_set *edited);
/* Whether the last run kept checkpoints only. */
bool sonde_gradient_used_checkpoints(const struct sonde_gradient *gradient);

#endif
