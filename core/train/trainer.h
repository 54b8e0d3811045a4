/*
 * Trainer: gradient descent on a created model (core/model/create.h).
 *
 * A step takes the next batch of examples, forms the mean of the loss over all rows of the batch
 * that count, and updates the weights. Data parallel over sequences: a batch is dealt out to a
 * fixed number of lanes (sequence i of the batch to lane i mod lanes), each with a session, a tape
 * and gradients of its own; a thread takes whole lanes, and lanes are summed in order. So the same
 * seed gives the same bits for any number of threads; another number of lanes gives other bits.
 * There is no dropout.
 *
 * A trainer belongs to one thread; the model must not be used by others while it steps.
 */
#ifndef SONDE_CORE_TRAIN_TRAINER_H
#define SONDE_CORE_TRAIN_TRAINER_H

#include "core/base/pool.h"
#include "core/base/progress.h"
#include "core/model/create.h"
#include "core/tensor/update.h"
#include "core/train/examples.h"
#include "core/train/schedule.h"

enum sonde_objective {
    SONDE_OBJECTIVE_NEXT_TOKEN,     /* cross entropy of ids[t + 1] at row t < T - 1 */
    SONDE_OBJECTIVE_K_HOT_MSE,      /* (sigmoid - hot)^2, mean over the outputs of a row */
    SONDE_OBJECTIVE_K_HOT_BCE,      /* binary cross entropy, mean over the outputs of a row */
    SONDE_OBJECTIVE_MASKED_TOKEN,   /* BERT (Devlin et al. 2019): a row is chosen with probability
                                       mask_rate; of those 80 % become mask_id, 10 % a random id,
                                       10 % stay; cross entropy of the true id there. Drawn from
                                       (seed, epoch, index of the example) */
    SONDE_OBJECTIVE_CLASSIFICATION, /* cross entropy of targets[t] */
};
const char *sonde_objective_name(enum sonde_objective objective); /* "k-hot-mse", .. */

#define SONDE_TRAINER_LANES 8
#define SONDE_TRAINER_LANES_MAX 256

struct sonde_trainer_options {
    enum sonde_objective objective;
    struct sonde_update_rule rule;
    bool decay_matrices_only; /* weight decay spares gains and biases; false = as PyTorch */
    struct sonde_schedule schedule;
    int64_t schedule_epochs; /* > 0: schedule.n_steps is the number of steps of so many epochs */
    double clip_norm;  /* gradients whose norm over all weights is larger are scaled down to it:
                          torch.nn.utils.clip_grad_norm_; 0 = off */
    double clip_value; /* then each element is held to +- this; 0 = off */
    /* A batch: this many sequences, or as many as have at most this many tokens together (at least
     * one). One of the two; the last batch of an epoch takes what is left. */
    int64_t batch_sequences, batch_tokens;
    bool shuffle; /* a new order every epoch, drawn from (seed, epoch); false = in order */
    uint64_t seed;
    int n_lanes;                           /* 0 = SONDE_TRAINER_LANES */
    size_t max_bytes;                      /* gradients, states and lanes together; 0 = no limit */
    struct sonde_pool *pool;               /* NULL = the calling thread alone */
    const struct sonde_progress *progress; /* of counting steps; may be NULL */
    double mask_rate;                      /* of masked tokens; 0 = 0.15 */
    int32_t mask_id;
};

/* What one step did. */
struct sonde_train_step {
    int64_t step;  /* 1 the first */
    int64_t epoch; /* 0 the first */
    double lr;
    double loss;                           /* before the update */
    double gradient_norm;                  /* before clipping */
    int64_t n_sequences, n_tokens, n_rows; /* rows that count */
};

/* Where training stands: enough, with the seed, to go on with the same bits. */
struct sonde_train_position {
    int64_t step;   /* steps done */
    int64_t epoch;  /* the one that the next step belongs to */
    int64_t taken;  /* examples of this epoch that are done */
    int64_t tokens; /* since the beginning */
    /* Of this epoch so far; the mean loss is loss_sum / rows. */
    double loss_sum;
    int64_t rows;
};

struct sonde_trainer; /* opaque */

/* The model must have been made with sonde_model_create and outlive the trainer, as must the
 * source and the pool. Looks through the source once. LIMIT where max_bytes is not enough: the
 * message says what is needed. */
SONDE_MUST_USE enum sonde_status sonde_trainer_create(struct sonde_trainer **out,
                                                      struct sonde_model *model,
                                                      const struct sonde_example_source *source,
                                                      const struct sonde_trainer_options *options,
                                                      struct sonde_error *error);
void sonde_trainer_destroy(struct sonde_trainer **trainer);
/* One batch. *step may be NULL. NUMERIC where the loss or the gradient is not finite: weights,
 * states and position are then those before the step. An epoch without a row that counts is
 * ARGUMENT. */
SONDE_MUST_USE enum sonde_status sonde_trainer_step(struct sonde_trainer *trainer,
                                                    struct sonde_train_step *step,
                                                    struct sonde_error *error);
/* Steps until the present epoch is done. *mean_loss over its rows, also those of steps before the
 * call; may be NULL. Progress is called after every step: CANCELLED between two steps. */
SONDE_MUST_USE enum sonde_status sonde_trainer_epoch(struct sonde_trainer *trainer,
                                                     const struct sonde_progress *progress,
                                                     double *mean_loss, struct sonde_error *error);
/* Steps of the first n epochs: exact, though batches by tokens differ from epoch to epoch.
 * CANCELLED where the options' progress asked for it; sonde_trainer_create may count too. */
SONDE_MUST_USE enum sonde_status sonde_trainer_count_steps(struct sonde_trainer *trainer,
                                                           int64_t n_epochs, int64_t *n_steps,
                                                           struct sonde_error *error);
const struct sonde_train_position *sonde_trainer_position(const struct sonde_trainer *trainer);
/* Bytes that the trainer takes at most: gradients, states, and the plan of the lanes. */
int64_t sonde_trainer_plan_bytes(const struct sonde_trainer *trainer);

/* Weights, the states of the update rule and the position as one safetensors file, whole or not at
 * all; and back into a trainer of the same model, source and options. `note` (may be NULL) is kept
 * beside them; a file with another note, other shapes or another rule is refused: ARGUMENT. So is
 * one whose values are not those that were written (SHA-256): FORMAT. */
SONDE_MUST_USE enum sonde_status sonde_trainer_save(const struct sonde_trainer *trainer,
                                                    const char *path, const char *note,
                                                    struct sonde_error *error);
SONDE_MUST_USE enum sonde_status sonde_trainer_load(struct sonde_trainer *trainer, const char *path,
                                                    const char *note, struct sonde_error *error);

/* How good a model is on examples. */
struct sonde_evaluated {
    double loss;    /* sum over the rows that count; k-hot: of the mean over a row's outputs */
    int64_t rows;   /* that count */
    int64_t right;  /* rows where the likeliest output is the target; k-hot: where every output is
                       on its side of 0.5 (a sigmoid above 0.5 stands for 1) */
    bool all_right; /* every row that counts */
};
struct sonde_evaluation {
    double loss; /* mean over all rows; NaN where there is none */
    int64_t rows, right, n_sequences, sequences_right, n_tokens;
};
struct sonde_evaluate_options {
    enum sonde_objective objective;
    struct sonde_pool *pool;
    size_t max_bytes; /* of a thread's session; 0 = no limit */
    const struct sonde_progress *progress;
    struct sonde_evaluated *each; /* [n of the source] out, or NULL */
    uint64_t seed;                /* of masked tokens, which are drawn as in epoch 0 */
    double mask_rate;
    int32_t mask_id;
};
/* Without a trainer: any model. The numbers do not depend on the pool. */
SONDE_MUST_USE enum sonde_status sonde_evaluate(const struct sonde_model *model,
                                                const struct sonde_example_source *source,
                                                const struct sonde_evaluate_options *options,
                                                struct sonde_evaluation *out,
                                                struct sonde_error *error);

#endif
