/* What the files of core/train share. Not for other layers. */
#ifndef SONDE_CORE_TRAIN_TRAIN_INTERNAL_H
#define SONDE_CORE_TRAIN_TRAIN_INTERNAL_H

#include "core/model/gradient.h"
#include "core/train/trainer.h"

/* How examples become ids and a loss. */
struct sonde_task {
    enum sonde_objective objective;
    int64_t n_outputs, d_vocab;
    uint64_t seed; /* of what is masked */
    double mask_rate;
    int32_t mask_id;
};
/* ARGUMENT or UNSUPPORTED where the model cannot have the objective. */
SONDE_MUST_USE enum sonde_status sonde_task_check(const struct sonde_task *task,
                                                  const struct sonde_spec *spec,
                                                  struct sonde_error *error);

/* Memory of one prepared example at a time; zero-initialise, finish frees. */
struct sonde_prepared {
    const int32_t *ids;
    struct sonde_loss loss;
    int32_t *own_ids, *targets; /* [capacity] */
    float *hot;                 /* [hot_capacity] */
    int64_t ids_capacity, targets_capacity, hot_capacity;
};
void sonde_prepared_finish(struct sonde_prepared *prepared);
/* Checks that the example has what the objective needs. */
SONDE_MUST_USE enum sonde_status sonde_task_check_example(const struct sonde_task *task,
                                                          const struct sonde_example *example,
                                                          int64_t index, struct sonde_error *error);
/* Rows of the example that count in this epoch. */
int64_t sonde_task_rows(const struct sonde_task *task, const struct sonde_example *example,
                        int64_t index, int64_t epoch);
/* Fills ids and the loss; borrows from the example. */
SONDE_MUST_USE enum sonde_status sonde_task_prepare(const struct sonde_task *task,
                                                    const struct sonde_example *example,
                                                    int64_t index, int64_t epoch,
                                                    struct sonde_prepared *prepared,
                                                    struct sonde_error *error);

/* A part of one parameter: what one task of a reduction and of an update handles. */
struct sonde_trainer_piece {
    int32_t parameter;
    int64_t first, n; /* elements of the parameter */
    int64_t at;       /* in the flat arrays */
};

struct sonde_trainer_lane {
    struct sonde_session *session;
    struct sonde_gradient *gradient;
    float *sum; /* [n_flat] of this step */
    struct sonde_prepared prepared;
    enum sonde_status status;
    struct sonde_error error;
};

struct sonde_trainer_item {
    int64_t index, n_rows;
    struct sonde_example example;
    double loss;
};

struct sonde_trainer {
    struct sonde_model *model;
    struct sonde_example_source source;
    struct sonde_trainer_options options;
    struct sonde_task task;
    const struct sonde_parameter *parameter; /* [n_parameters] */
    int64_t n_parameters;
    int64_t *offset; /* [n_parameters] of each in the flat arrays */
    int64_t n_flat;  /* floats of all parameters, each begins at a multiple of 16 */
    int n_states;
    float *state[SONDE_UPDATE_STATES_MAX]; /* [n_flat] */
    struct sonde_trainer_lane *lane;       /* [n_lanes] */
    int n_lanes;
    struct sonde_trainer_piece *piece; /* [n_pieces] */
    double *piece_square;              /* [n_pieces] sums of squares of the gradient */
    int64_t n_pieces;
    int64_t *order;                  /* [source.n] of this epoch when shuffled, else NULL */
    int64_t order_epoch;             /* the epoch that it is for; -1 none */
    struct sonde_trainer_item *item; /* [capacity] of the batch in hand */
    int64_t item_capacity;
    int64_t longest;   /* example */
    bool epochs_alike; /* every epoch has as many steps */
    int64_t plan_bytes;
    struct sonde_train_position position;
};

#endif
