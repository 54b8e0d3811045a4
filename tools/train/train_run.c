#include "tools/train/train_run.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/num.h"
#include "tools/cli.h"

enum {
    LOGGED_STEPS = 1000, /* lines of the log for a whole training, about */
};

void sonde_train_run_close(struct sonde_train_run **run)
{
    if (!run || !*run)
        return;
    struct sonde_train_run *r = *run;
    if (r->log)
        fclose(r->log);
    if (r->lock >= 0)
        close(r->lock);
    sonde_trainer_destroy(&r->trainer);
    sonde_model_close(&r->model);
    sonde_train_input_close(&r->input);
    sonde_recipe_destroy(&r->recipe);
    sonde_buf_finish(&r->recipe_bytes);
    free(r->history.point);
    free(r->history.validated);
    free(r);
    *run = NULL;
}

static enum sonde_status load_recipe(struct sonde_train_run *r, struct sonde_error *error)
{
    enum sonde_status status =
        sonde_file_load(r->options.recipe, SONDE_RECIPE_MAX_BYTES, &r->recipe_bytes, error);
    if (!status)
        status = sonde_recipe_load(&r->recipe, r->options.recipe, error);
    if (status)
        return status;
    uint8_t digest[SONDE_SHA256_BYTES];
    struct sonde_sha256 *hash = sonde_sha256_create();
    if (!hash)
        return sonde_error_memory(error, "hashing");
    sonde_sha256_update(hash, r->recipe_bytes.data, r->recipe_bytes.size);
    sonde_sha256_digest(hash, digest);
    sonde_sha256_hex(digest, r->recipe_hash);
    sonde_sha256_destroy(&hash);
    return SONDE_STATUS_OK;
}

static enum sonde_status is_there(const char *folder, const char *name, bool *there,
                                  struct sonde_error *error)
{
    char *path = sonde_path_join(folder, name);
    if (!path)
        return sonde_error_memory(error, "a path");
    *there = sonde_path_exists(path);
    free(path);
    return SONDE_STATUS_OK;
}

/* A training or a model is not written over. --resume may begin anew where a training left no
 * checkpoint, but not where there is a model: it may have come from elsewhere. */
static enum sonde_status check_folder(const struct sonde_train_run *r, struct sonde_error *error)
{
    static const char *const names[] = { "checkpoints", "model.safetensors", "config.json",
                                         "log.jsonl" };
    const char *folder = r->options.folder, *found = NULL;
    enum sonde_status status = SONDE_STATUS_OK;
    for (size_t i = 0; i < sizeof(names) / sizeof(*names) && !found && !status; i++) {
        bool there = false;
        status = is_there(folder, names[i], &there, error);
        found = there ? names[i] : NULL;
    }
    if (status || !found || (r->options.resume && strcmp(found, "checkpoints") == 0) ||
        (r->options.resume && strcmp(found, "log.jsonl") == 0))
        return status;
    if (r->options.resume)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "%s holds a model (%s) and no checkpoint to go on from: name "
                               "another folder",
                               folder, found);
    return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                           "%s holds a training or a model already (%s): --resume goes on with a "
                           "training, or name another folder",
                           folder, found);
}

/* A file that the folder has under this name and that holds something else stays. */
static enum sonde_status check_file(const struct sonde_train_run *r, const char *name,
                                    const struct sonde_buf *bytes, struct sonde_error *error)
{
    struct sonde_buf old = { .max = bytes->size + 1 };
    bool there = false, same = false;
    if (r->options.resume)
        return SONDE_STATUS_OK;
    enum sonde_status status = is_there(r->options.folder, name, &there, error);
    if (status || !there)
        return status;
    char *path = sonde_path_join(r->options.folder, name);
    if (!path)
        return sonde_error_memory(error, "a path");
    if (!sonde_file_load(path, (int64_t)bytes->size, &old, NULL))
        same = old.size == bytes->size && (!old.size || !memcmp(old.data, bytes->data, old.size));
    free(path);
    sonde_buf_finish(&old);
    return same ? SONDE_STATUS_OK
                : sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                                  "%s/%s is another file than this training would write there: "
                                  "name another folder",
                                  r->options.folder, name);
}

static enum sonde_status check_files(const struct sonde_train_run *r, struct sonde_error *error)
{
    enum sonde_status status = check_file(r, "recipe.json", &r->recipe_bytes, error);
    for (int i = 0; i < r->input->n_files && !status; i++)
        status = check_file(r, r->input->file[i].name, &r->input->file[i].bytes, error);
    return status;
}

/* The folder is this process's until it ends. What another one has written in the meantime was not
 * there when the folder was looked at. */
static enum sonde_status lock_folder(struct sonde_train_run *r, struct sonde_error *error)
{
    r->lock = open(r->options.folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (r->lock < 0)
        return sonde_error_set(error, SONDE_STATUS_IO, "%s: %s", r->options.folder,
                               strerror(errno));
    if (flock(r->lock, LOCK_EX | LOCK_NB) != 0)
        return errno == EWOULDBLOCK
                   ? sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                                     "another training is at work in %s", r->options.folder)
                   : sonde_error_set(error, SONDE_STATUS_IO, "%s: %s", r->options.folder,
                                     strerror(errno));
    return r->options.resume ? SONDE_STATUS_OK : check_folder(r, error);
}

/* What the examples take, and the passes of a validation. */
static int64_t examples_bytes(const struct sonde_train_run *r)
{
    struct sonde_site_set logits = { 0 };
    int64_t bytes = sonde_examples_bytes(r->input->train) + r->input->classes.bytes, longest = 0;
    sonde_site_set_add(&logits, (struct sonde_site){ SONDE_SITE_LOGITS, -1 });
    for (int64_t i = 0; i < r->recipe->n_validations; i++) {
        const int64_t tokens = sonde_examples_longest(r->input->validation[i]);
        bytes += sonde_examples_bytes(r->input->validation[i]);
        longest = tokens > longest ? tokens : longest;
    }
    const int64_t pass = longest ? sonde_session_plan_bytes(r->model, longest, &logits) : 0;
    return bytes + pass * sonde_pool_threads(r->options.pool);
}

/* What a model's outputs mean is said in its config, and read by every other command. */
static enum sonde_status check_head(const struct sonde_train_run *r, struct sonde_error *error)
{
    const enum sonde_objective objective = r->recipe->options.objective;
    const bool k_hot =
        objective == SONDE_OBJECTIVE_K_HOT_MSE || objective == SONDE_OBJECTIVE_K_HOT_BCE;
    if (k_hot == (sonde_model_spec(r->model)->head == SONDE_HEAD_SIGMOID))
        return SONDE_STATUS_OK;
    return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                           "model: objective %s needs \"head\": \"%s\"",
                           sonde_objective_name(objective), k_hot ? "sigmoid" : "softmax");
}

/* The examples, validations and the trainer share the budget. */
static enum sonde_status make_trainer(struct sonde_train_run *r, struct sonde_error *error)
{
    enum sonde_status status = sonde_train_input_open(&r->input, r->recipe, r->options.max_bytes,
                                                      r->options.progress, error);
    struct sonde_init init = r->recipe->init;
    init.max_bytes = r->options.max_bytes; /* the gradients of a lane take as much */
    if (!status)
        status = sonde_model_create(&r->model, r->input->config, "model", &init, error);
    /* What is only worth a warning in a file from elsewhere is a slip of the pen in a recipe. */
    if (!status && sonde_model_n_warnings(r->model) > 0)
        status = sonde_error_set(error, SONDE_STATUS_ARGUMENT, "model: %s",
                                 sonde_model_warning(r->model, 0));
    if (!status)
        status = check_head(r, error);
    if (!status)
        status = sonde_train_input_read(r->input, sonde_model_spec(r->model), r->options.max_bytes,
                                        r->options.progress, error);
    if (status)
        return status;
    status = sonde_train_note_make(r, error);
    if (status)
        return status;
    struct sonde_trainer_options options = r->recipe->options;
    options.pool = r->options.pool;
    options.progress = r->options.progress;
    options.mask_id = r->input->mask_id;
    if (r->options.max_bytes) {
        const int64_t left = r->options.max_bytes - examples_bytes(r);
        options.max_bytes = left > 1 ? (size_t)left : 1;
    }
    const struct sonde_example_source source = sonde_examples_source(r->input->train);
    status = sonde_trainer_create(&r->trainer, r->model, &source, &options, error);
    r->n_steps = r->recipe->n_steps;
    if (!status && r->recipe->n_epochs)
        status = sonde_trainer_count_steps(r->trainer, r->recipe->n_epochs, &r->n_steps, error);
    return status;
}

static enum sonde_status resume(struct sonde_train_run *r, struct sonde_error *error)
{
    char *state = NULL;
    r->resumed_at = -1;
    if (!r->options.resume)
        return SONDE_STATUS_OK;
    enum sonde_status status = sonde_train_checkpoint_find(r->options.folder, &state, error);
    r->resumed_at = 0;
    if (!status && state) {
        status = sonde_train_note_check(r, state, error);
        const bool same_data = !status;
        if (!status)
            status = sonde_trainer_load(r->trainer, state, r->note, error);
        if (status == SONDE_STATUS_ARGUMENT && same_data)
            sonde_error_prepend(error, "another recipe (or another seed) made %s",
                                r->options.folder);
        if (status == SONDE_STATUS_FORMAT || status == SONDE_STATUS_IO ||
            status == SONDE_STATUS_NOT_FOUND)
            sonde_error_prepend(error, "the last checkpoint cannot be read; without its folder "
                                       "--resume takes the one before");
        r->resumed_at = sonde_trainer_position(r->trainer)->step;
    }
    free(state);
    return status;
}

enum sonde_status sonde_train_run_open(struct sonde_train_run **out,
                                       const struct sonde_train_run_options *options,
                                       struct sonde_error *error)
{
    struct sonde_train_run *r = calloc(1, sizeof(*r));
    if (!r)
        return sonde_error_memory(error, "a training");
    r->options = *options;
    r->lock = -1;
    enum sonde_status status = load_recipe(r, error);
    if (!status)
        status = check_folder(r, error);
    if (!status)
        status = make_trainer(r, error);
    if (!status)
        status = check_files(r, error);
    if (!status)
        status = resume(r, error);
    if (status) {
        sonde_train_run_close(&r);
        return status;
    }
    r->last_step = r->n_steps;
    if (options->last_step && options->last_step < r->last_step)
        r->last_step = options->last_step;
    r->log_every = (r->n_steps + LOGGED_STEPS - 1) / LOGGED_STEPS;
    *out = r;
    return SONDE_STATUS_OK;
}

static enum sonde_status write_best(const struct sonde_train_run *r, struct sonde_error *error)
{
    char *folder = sonde_path_join(r->options.folder, "best");
    enum sonde_status status =
        folder ? sonde_train_write_model(r, folder, error) : sonde_error_memory(error, "a path");
    free(folder);
    return status;
}

/* The best model's weights in the place of those of the last step. */
static enum sonde_status take_best(const struct sonde_train_run *r, struct sonde_error *error)
{
    struct sonde_buf from = { 0 }, to = { 0 }, bytes = { .max = SIZE_MAX / 2 };
    sonde_buf_printf(&from, "%s/best/model.safetensors", r->options.folder);
    sonde_buf_printf(&to, "%s/model.safetensors", r->options.folder);
    enum sonde_status status = sonde_buf_status(from.failed ? &from : &to, error);
    if (!status)
        status = sonde_file_load(from.data, INT64_MAX / 2, &bytes, error);
    if (!status)
        status = sonde_file_save(to.data, bytes.data, bytes.size, error);
    sonde_buf_finish(&from);
    sonde_buf_finish(&to);
    sonde_buf_finish(&bytes);
    return status;
}

static enum sonde_status validate(struct sonde_train_run *r, struct sonde_error *error)
{
    const struct sonde_trainer_options *o = &r->recipe->options;
    const struct sonde_evaluate_options how = { .objective = o->objective,
                                                .pool = r->options.pool,
                                                .progress = r->options.progress,
                                                .seed = o->seed,
                                                .mask_rate = o->mask_rate,
                                                .mask_id = r->input->mask_id };
    const int64_t step = sonde_trainer_position(r->trainer)->step;
    const struct sonde_train_history *h = &r->history;
    if (h->n_validated > 0 && h->validated[h->n_validated - 1].step == step)
        return SONDE_STATUS_OK;
    struct sonde_train_validated all[SONDE_RECIPE_MAX_VALIDATIONS];
    enum sonde_status status = SONDE_STATUS_OK;
    double best;
    (void)sonde_train_best_step(r, &best);
    for (int64_t i = 0; i < r->recipe->n_validations && !status; i++) {
        const struct sonde_example_source source = sonde_examples_source(r->input->validation[i]);
        all[i] = (struct sonde_train_validated){ .step = step, .which = i };
        status = sonde_evaluate(r->model, &source, &how, &all[i].found, error);
    }
    if (!status && r->recipe->select_best && all[0].found.loss < best)
        status = write_best(r, error);
    /* All or none: one that was stopped half-way is made again. */
    for (int64_t i = 0; i < r->recipe->n_validations && !status; i++)
        status = sonde_train_log_validated(r, &all[i], error);
    return status;
}

/* Whether the recipe asks for a validation behind the step that was done last. */
static bool is_due(const struct sonde_train_run *r)
{
    const struct sonde_train_position *p = sonde_trainer_position(r->trainer);
    const int64_t every = r->recipe->validate_every;
    return p->step > 0 &&
           (every ? p->step % every == 0 : p->taken == sonde_examples_count(r->input->train));
}

static enum sonde_status write_checkpoint(struct sonde_train_run *r, struct sonde_error *error)
{
    if (fflush(r->log) != 0)
        return sonde_error_set(error, SONDE_STATUS_IO, "log.jsonl: %s", strerror(errno));
    return sonde_train_checkpoint_write(r, error);
}

static enum sonde_status note_step(struct sonde_train_run *r, const struct sonde_train_step *step,
                                   struct sonde_error *error)
{
    r->loss_sum += step->loss * (double)step->n_rows;
    r->rows += (double)step->n_rows;
    r->tokens += step->n_tokens;
    r->n_tokens_now += step->n_tokens;
    if (step->step % r->log_every != 0 && step->step != r->last_step)
        return SONDE_STATUS_OK;
    const double now = sonde_cli_seconds();
    const struct sonde_train_point point = { .step = step->step,
                                             .epoch = step->epoch,
                                             .lr = step->lr,
                                             .loss = r->loss_sum / r->rows,
                                             .tokens_per_second =
                                                 (double)r->tokens / fmax(now - r->since, 1e-9) };
    r->loss_sum = r->rows = 0.0;
    r->tokens = 0;
    r->since = now;
    return sonde_train_log_point(r, &point, error);
}

/* A checkpoint is kept where the work is stopped. */
static enum sonde_status stopped(struct sonde_train_run *r, struct sonde_error *error)
{
    const int64_t step = sonde_trainer_position(r->trainer)->step;
    enum sonde_status status = write_checkpoint(r, error);
    return status ? status
                  : sonde_error_set(error, SONDE_STATUS_CANCELLED,
                                    "stopped at step %lld of %lld: --resume goes on from there",
                                    (long long)step, (long long)r->n_steps);
}

static enum sonde_status train(struct sonde_train_run *r, struct sonde_error *error)
{
    const struct sonde_recipe *recipe = r->recipe;
    const struct sonde_train_position *position = sonde_trainer_position(r->trainer);
    enum sonde_status status = SONDE_STATUS_OK;
    if (is_due(r)) /* what was stopped in a validation */
        status = validate(r, error);
    if (status == SONDE_STATUS_CANCELLED)
        return stopped(r, error);
    r->since = sonde_cli_seconds();
    while (!status && position->step < r->last_step) {
        struct sonde_train_step step;
        const double begin = sonde_cli_seconds();
        status = sonde_trainer_step(r->trainer, &step, error);
        r->seconds += sonde_cli_seconds() - begin;
        if (!status)
            status = note_step(r, &step, error);
        if (!status && is_due(r)) {
            status = validate(r, error);
            r->since = sonde_cli_seconds();
            if (status == SONDE_STATUS_CANCELLED)
                return stopped(r, error);
        }
        if (!status && recipe->checkpoint_every && step.step % recipe->checkpoint_every == 0)
            status = write_checkpoint(r, error);
        if (!status && !sonde_progress_update(r->options.progress, "train", position->step,
                                              r->last_step, "steps"))
            return stopped(r, error);
    }
    return status;
}

static enum sonde_status copy_recipe(const struct sonde_train_run *r, struct sonde_error *error)
{
    char *path = sonde_path_join(r->options.folder, "recipe.json");
    enum sonde_status status =
        path ? sonde_file_save(path, r->recipe_bytes.data, r->recipe_bytes.size, error)
             : sonde_error_memory(error, "a path");
    free(path);
    return status;
}

enum sonde_status sonde_train_run_go(struct sonde_train_run *r, struct sonde_error *error)
{
    enum sonde_status status = sonde_path_make_directory(r->options.folder, error);
    if (!status)
        status = lock_folder(r, error);
    if (!status)
        status = copy_recipe(r, error);
    if (!status)
        status = sonde_train_log_open(r, error);
    if (!status)
        status = train(r, error);
    /* Where the best is asked for, a training that is cut short must not have one candidate more.
     */
    if (!status && (!r->recipe->select_best || r->last_step == r->n_steps)) {
        status = validate(r, error);
        if (status == SONDE_STATUS_CANCELLED)
            status = stopped(r, error);
    }
    /* A training that is cut short goes on from here. */
    if (!status && (r->recipe->checkpoint_every || r->last_step < r->n_steps))
        status = write_checkpoint(r, error);
    enum sonde_status closed = sonde_train_log_close(r, status ? NULL : error);
    status = status ? status : closed;
    if (!status)
        status = sonde_train_write_model(r, r->options.folder, error);
    double loss;
    const bool has_best = r->recipe->select_best && sonde_train_best_step(r, &loss) >= 0;
    return !status && has_best ? take_best(r, error) : status;
}
