/*
 * A training from a recipe to a folder: what `sonde train` does, for it and for studies.
 *
 * The folder: config.json, model.safetensors and the tokenizer's files, as every command loads
 * them; recipe.json (a copy); log.jsonl (a line a logged step, a line a validation); and below
 * checkpoints/ a folder of the same kind for every checkpoint, step-N, with state.safetensors. A
 * checkpoint gets its name once it is whole. With "select": "best" the best model so far is in
 * best/.
 */
#ifndef SONDE_TOOLS_TRAIN_TRAIN_RUN_H
#define SONDE_TOOLS_TRAIN_TRAIN_RUN_H

#include "analysis/report/result.h"
#include "core/base/hash.h"
#include "tools/train/train_input.h"

struct sonde_train_run_options {
    const char *recipe; /* path */
    const char *folder;
    bool resume;
    int64_t last_step; /* 0 = the recipe's; else stop there, as if interrupted */
    int64_t max_bytes; /* of examples, gradients, states and passes; 0 = no limit */
    struct sonde_pool *pool;
    const struct sonde_progress *progress;
};

/* A point of the curve: the mean over the steps since the one before it. */
struct sonde_train_point {
    int64_t step, epoch;
    double lr, loss, tokens_per_second;
};
struct sonde_train_validated {
    int64_t step;
    int64_t which; /* of the recipe's validations */
    struct sonde_evaluation found;
};
struct sonde_train_history {
    struct sonde_train_point *point; /* [n_points] */
    int64_t n_points, point_capacity;
    struct sonde_train_validated *validated; /* [n_validated] */
    int64_t n_validated, validated_capacity;
};

struct sonde_train_run {
    struct sonde_train_run_options options;
    struct sonde_recipe *recipe;
    struct sonde_buf recipe_bytes;
    char recipe_hash[SONDE_SHA256_HEX];
    char note[2 * SONDE_SHA256_HEX]; /* of checkpoints: recipe_hash, and a hash of the data */
    struct sonde_train_input *input;
    struct sonde_model *model;
    struct sonde_trainer *trainer;
    int64_t n_steps, last_step;
    int64_t resumed_at; /* step; -1 where the training began anew */
    int64_t log_every;
    int lock; /* descriptor of the folder; -1 where it is not held yet */
    FILE *log;
    struct sonde_train_history history;
    /* Since the last point of the curve. */
    double loss_sum, rows;
    int64_t tokens;
    double since;
    /* Of this process. */
    double seconds;
    int64_t n_tokens_now;
};

/* Reads, opens and makes everything, and goes back to the last checkpoint with resume. Without it a
 * folder that holds a training is refused: ARGUMENT. The run keeps pointers of the options. */
SONDE_MUST_USE enum sonde_status sonde_train_run_open(struct sonde_train_run **out,
                                                      const struct sonde_train_run_options *options,
                                                      struct sonde_error *error);
/* Trains to the last step and writes the folder. CANCELLED where the progress asked for it, NUMERIC
 * where a loss is not finite: the last state is then kept as a checkpoint, respectively the last
 * checkpoint stays. */
SONDE_MUST_USE enum sonde_status sonde_train_run_go(struct sonde_train_run *run,
                                                    struct sonde_error *error);
void sonde_train_run_close(struct sonde_train_run **run);

/* What was found, as scalars, tables `validation` and `curve`, and the figures. */
void sonde_train_run_report(const struct sonde_train_run *run, struct sonde_result *result);
/* The curve in characters: at most 80 columns, loss over steps. */
void sonde_train_run_curve(const struct sonde_train_run *run, struct sonde_buf *out);

/* For train_run.c: the log, its lines kept in the history too. */
SONDE_MUST_USE enum sonde_status sonde_train_log_open(struct sonde_train_run *run,
                                                      struct sonde_error *error);
SONDE_MUST_USE enum sonde_status sonde_train_log_point(struct sonde_train_run *run,
                                                       const struct sonde_train_point *point,
                                                       struct sonde_error *error);
SONDE_MUST_USE enum sonde_status sonde_train_log_validated(struct sonde_train_run *run,
                                                           const struct sonde_train_validated *v,
                                                           struct sonde_error *error);
SONDE_MUST_USE enum sonde_status sonde_train_log_close(struct sonde_train_run *run,
                                                       struct sonde_error *error);
/* The step of the validation whose first loss is least so far, *loss with it; -1 and infinity where
 * there is none. */
int64_t sonde_train_best_step(const struct sonde_train_run *run, double *loss);
/* For train_run.c: hashes the tokenizer's files and all examples, their targets and their order,
 * into run->note. CANCELLED where the progress asked for it. */
SONDE_MUST_USE enum sonde_status sonde_train_note_make(struct sonde_train_run *run,
                                                       struct sonde_error *error);
/* ARGUMENT where the checkpoint is of this recipe with other data. Of other recipes it says
 * nothing: the trainer refuses them. */
SONDE_MUST_USE enum sonde_status sonde_train_note_check(const struct sonde_train_run *run,
                                                        const char *state,
                                                        struct sonde_error *error);
/* For train_run.c: checkpoints below DIR/checkpoints. */
SONDE_MUST_USE enum sonde_status sonde_train_checkpoint_write(const struct sonde_train_run *run,
                                                              struct sonde_error *error);
/* The path of the newest one's state, *out NULL where there is none; the caller's to free. */
SONDE_MUST_USE enum sonde_status sonde_train_checkpoint_find(const char *folder, char **out,
                                                             struct sonde_error *error);
/* The model and the tokenizer's files into a folder. */
SONDE_MUST_USE enum sonde_status sonde_train_write_model(const struct sonde_train_run *run,
                                                         const char *folder,
                                                         struct sonde_error *error);

#endif
