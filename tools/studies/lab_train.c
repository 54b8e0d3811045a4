#include "tools/studies/lab_train.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/file.h"
#include "core/train/trainer.h"

/* The published sizes: 8.6 thousand parameters. */
#define D_MODEL 32
#define D_FFN 64
#define LEARNING_RATE 0.005

struct job {
    struct sonde_lab *lab;
    const struct sonde_lab_training *what;
    const struct sonde_lab_strings *train;
    int64_t n_outputs;
    struct sonde_model *model;
    struct sonde_examples *examples;
    struct sonde_pool *pool;
    struct sonde_trainer *trainer;
    double began;
    char *folder; /* holds the weights of the best epoch so far */
    int64_t best; /* that epoch, of all attempts; -1 = none yet */
};

enum sonde_status sonde_lab_make_validation(const struct sonde_lab *lab,
                                            const struct sonde_lab_strings *test,
                                            const char *generator, int64_t shortest,
                                            int64_t longest, struct sonde_lab_strings *out,
                                            bool *own, struct sonde_error *error)
{
    char spec[128];
    snprintf(spec, sizeof(spec), "%s:n=%d,len=%lld..%lld,seed=%lld%s%s",
             sonde_formal_name(test->formal), 4 * SONDE_LAB_VALIDATION, (long long)shortest,
             (long long)longest, (long long)lab->cli->common.seed + 2000,
             generator ? ",generator=" : "", generator ? generator : "");
    *own = false;
    enum sonde_status status = sonde_lab_strings_generate(out, "validation", spec, error);
    if (status)
        return status;
    int64_t left = sonde_lab_strings_remove(out, test, SONDE_LAB_VALIDATION);
    if (left < 0)
        return sonde_error_memory(error, "the validation strings");
    *own = left >= 100;
    if (!*own)
        sonde_lab_strings_finish(out);
    return SONDE_STATUS_OK;
}

static enum sonde_status create_model(struct job *j, uint64_t seed, struct sonde_error *error)
{
    struct sonde_buf text = { 0 };
    struct sonde_json_writer w = { .out = &text };
    struct sonde_json *config = NULL;
    const struct sonde_init init = { .kind = SONDE_INIT_TORCH, .seed = seed };
    sonde_json_begin_object(&w, NULL);
    sonde_json_put_string(&w, "model_type", "sonde");
    sonde_json_put_i64(&w, "vocab_size", (int64_t)strlen(sonde_formal_ids(j->train->formal)));
    sonde_json_put_i64(&w, "n_outputs", j->n_outputs);
    sonde_json_put_i64(&w, "hidden_size", D_MODEL);
    sonde_json_put_i64(&w, "intermediate_size", D_FFN);
    sonde_json_put_i64(&w, "num_hidden_layers", 1);
    sonde_json_put_i64(&w, "num_attention_heads", 1);
    sonde_json_put_i64(&w, "max_position_embeddings", j->what->n_positions);
    sonde_json_put_string(&w, "norm_place", "post");
    sonde_json_put_string(&w, "position", j->what->position);
    sonde_json_put_string(&w, "hidden_act", "relu");
    sonde_json_put_bool(&w, "head_bias", true);
    sonde_json_put_string(&w, "embedding_scale", "sqrt");
    sonde_json_put_string(&w, "head", "sigmoid");
    sonde_json_end_object(&w);
    enum sonde_status status = sonde_buf_status(&text, error);
    if (!status)
        status = sonde_json_parse(&config, text.data, text.size, error);
    if (!status)
        status = sonde_model_create(&j->model, config, j->what->name, &init, error);
    sonde_json_destroy(&config);
    sonde_buf_finish(&text);
    return status;
}

/* ids [T] and hot [T, K] of one string; both are copied by the set of examples. */
static enum sonde_status add_example(struct job *j, struct sonde_formal_walk *walk,
                                     const char *text, int64_t n, int32_t *ids, uint8_t *hot,
                                     struct sonde_error *error)
{
    const char *order = sonde_formal_ids(j->train->formal);
    enum sonde_status status = SONDE_STATUS_OK;
    sonde_formal_walk_start(walk, j->train->formal);
    for (int64_t t = 0; !status && t < n; t++) {
        bool bits[SONDE_FORMAL_MAX_SYMBOLS] = { false };
        status = sonde_formal_walk_step(walk, text[t], error);
        if (status)
            return status;
        ids[t] = (int32_t)(strchr(order, text[t]) - order);
        sonde_lab_target_bits(walk, j->what->target, bits);
        for (int64_t k = 0; k < j->n_outputs; k++)
            hot[t * j->n_outputs + k] = bits[k];
    }
    const struct sonde_example example = { .ids = ids, .n_tokens = n, .hot = hot };
    return sonde_examples_add(j->examples, &example, error);
}

static enum sonde_status make_examples(struct job *j, struct sonde_error *error)
{
    struct sonde_formal_walk walk = { 0 };
    int32_t *ids = calloc((size_t)j->train->longest + 1, sizeof(*ids));
    uint8_t *hot = calloc((size_t)j->train->longest + 1, (size_t)j->n_outputs);
    enum sonde_status status = ids && hot ? sonde_examples_create(&j->examples, j->n_outputs, error)
                                          : sonde_error_memory(error, "the examples");
    for (int64_t i = 0; !status && i < j->train->n; i++) {
        int64_t n;
        const char *text = sonde_lab_string(j->train, i, &n);
        status = add_example(j, &walk, text, n, ids, hot, error);
    }
    sonde_formal_walk_finish(&walk);
    free(ids);
    free(hot);
    return status;
}

/* One epoch into *epoch, whose attempt, seed and number are set. */
static enum sonde_status train_epoch(struct job *j, const struct sonde_lab_strings *validation,
                                     struct sonde_lab_epoch *epoch, struct sonde_error *error)
{
    struct sonde_lab_score score;
    enum sonde_status status =
        sonde_trainer_epoch(j->trainer, &j->lab->cli->progress, &epoch->loss, error);
    if (!status)
        status =
            sonde_lab_score(j->lab, j->model, validation, 0, j->what->target, NULL, &score, error);
    if (status)
        return status;
    epoch->accuracy = (double)score.n_right / (double)score.n;
    epoch->seconds = sonde_cli_seconds() - j->began;
    return SONDE_STATUS_OK;
}

/* The weights go into the folder as soon as they are the best so far. */
static enum sonde_status keep_better(struct job *j, const struct sonde_lab_epoch *epoch, int64_t at,
                                     struct sonde_error *error)
{
    const struct sonde_lab_epoch *now = &epoch[at];
    if (j->best >= 0) {
        const struct sonde_lab_epoch *best = &epoch[j->best];
        if (now->accuracy < best->accuracy ||
            (now->accuracy == best->accuracy && now->loss >= best->loss))
            return SONDE_STATUS_OK;
    }
    j->best = at;
    return sonde_model_save(j->model, j->folder, SONDE_DTYPE_F32, error);
}

static enum sonde_status train_attempt(struct job *j, int64_t attempt,
                                       const struct sonde_lab_strings *validation,
                                       struct sonde_lab_epoch *epoch, int64_t *n_epochs,
                                       struct sonde_error *error)
{
    uint64_t seed = (uint64_t)(j->lab->cli->common.seed + attempt);
    struct sonde_example_source source = sonde_examples_source(j->examples);
    struct sonde_trainer_options options = {
        .objective = SONDE_OBJECTIVE_K_HOT_MSE,
        .rule = sonde_update_defaults(SONDE_UPDATE_RMSPROP),
        .batch_sequences = SONDE_LAB_BATCH,
        .seed = seed,
        .pool = j->pool,
    };
    options.rule.lr = LEARNING_RATE;
    enum sonde_status status = create_model(j, seed, error);
    if (!status)
        status = sonde_trainer_create(&j->trainer, j->model, &source, &options, error);
    for (int64_t e = 1; !status && e <= j->what->max_epochs && *n_epochs < SONDE_LAB_EPOCHS_MAX;
         e++) {
        struct sonde_lab_epoch *now = &epoch[*n_epochs];
        *now = (struct sonde_lab_epoch){ .attempt = attempt, .seed = seed, .epoch = e };
        status = train_epoch(j, validation, now, error);
        if (!status)
            status = keep_better(j, epoch, *n_epochs, error);
        *n_epochs += status == SONDE_STATUS_OK;
        if (now->accuracy >= j->what->enough)
            break;
    }
    sonde_trainer_destroy(&j->trainer);
    sonde_model_close(&j->model);
    return status;
}

enum sonde_status sonde_lab_train(struct sonde_lab *lab, const struct sonde_lab_training *what,
                                  const struct sonde_lab_strings *train,
                                  const struct sonde_lab_strings *validation,
                                  struct sonde_model **out, struct sonde_lab_epoch *epoch,
                                  int64_t *n_epochs, struct sonde_error *error)
{
    struct job j = { .lab = lab,
                     .what = what,
                     .train = train,
                     .folder = sonde_lab_path(lab, "models/%s", what->name),
                     .best = -1,
                     .n_outputs = sonde_lab_target_size(train->formal, what->target) };
    const struct sonde_model_options as_saved = { .allow_missing_tokenizer = true };
    int64_t attempts = what->max_attempts > 0 ? what->max_attempts : 1;
    j.began = sonde_cli_seconds();
    *n_epochs = 0;
    enum sonde_status status =
        j.folder ? sonde_path_make_directory(j.folder, error) : sonde_error_memory(error, "a path");
    if (!status)
        status = sonde_cli_pool(lab->cli, &j.pool, error);
    if (!status)
        status = make_examples(&j, error);
    for (int64_t a = 0; !status && a < attempts && *n_epochs < SONDE_LAB_EPOCHS_MAX; a++) {
        status = train_attempt(&j, a, validation, epoch, n_epochs, error);
        if (!status && epoch[j.best].accuracy >= what->good)
            break;
    }
    for (int64_t e = 0; !status && e < *n_epochs; e++) {
        epoch[e].chosen = epoch[e].attempt == epoch[j.best].attempt;
        epoch[e].kept = e == j.best;
    }
    /* A model of a file has a hash, which the store wants. */
    if (!status)
        status = sonde_model_open(out, j.folder, &as_saved, error);
    if (status)
        sonde_error_prepend(error, "training %s", what->name);
    sonde_examples_destroy(&j.examples);
    sonde_model_close(&j.model);
    sonde_pool_destroy(&j.pool);
    free(j.folder);
    return status;
}
