/* Losses and right answers, without gradients. */
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "core/tensor/op_loss.h"
#include "core/train/train_internal.h"

enum { BLOCK = 64 }; /* examples a thread between two reports of progress */

struct judge {
    struct sonde_session *session;
    struct sonde_arena *arena;
    struct sonde_prepared prepared;
    enum sonde_status status;
    struct sonde_error error;
    int64_t failed_at;
    const struct sonde_task *task;
    struct sonde_evaluated *out; /* of the example in hand */
};

struct judging {
    const struct sonde_task *task;
    const struct sonde_example_source *source;
    struct judge *judge; /* [n_judges] */
    int n_judges;
    struct sonde_evaluated *each; /* [source n] */
    _Atomic int64_t next;
    int64_t end; /* of the block in hand */
};

static bool is_right(const struct judge *j, const float *logits, int64_t t)
{
    const int64_t K = j->task->n_outputs;
    const struct sonde_loss *loss = &j->prepared.loss;
    if (loss->kind == SONDE_LOSS_TARGETS) {
        int64_t best = 0;
        for (int64_t k = 1; k < K; k++) {
            best = logits[k] > logits[best] ? k : best;
        }
        return best == loss->targets[t];
    }
    for (int64_t k = 0; k < K; k++) {
        if ((logits[k] > 0.0f) != (loss->hot[t * K + k] > 0.5f)) {
            return false;
        }
    }
    return true;
}

static enum sonde_status look(void *ctx, struct sonde_site site, const struct sonde_tensor *logits,
                              struct sonde_error *error)
{
    struct judge *j = ctx;
    const struct sonde_loss *loss = &j->prepared.loss;
    struct sonde_op_context ops = { .arena = j->arena };
    double mean = 0.0;
    (void)site;
    if (loss->kind == SONDE_LOSS_SIGMOID_MSE) {
        sonde_op_sigmoid_mse(&ops, &mean, *logits, loss->hot, loss->counts);
    } else if (loss->kind == SONDE_LOSS_SIGMOID_BCE) {
        sonde_op_sigmoid_bce(&ops, &mean, *logits, loss->hot, loss->counts);
    } else {
        sonde_op_cross_entropy(&ops, &mean, *logits, loss->targets);
    }
    if (ops.failed) {
        return sonde_error_memory(error, "a loss");
    }
    for (int64_t t = 0; t < logits->dim[0]; t++) {
        const bool counts = loss->kind == SONDE_LOSS_TARGETS ? loss->targets[t] >= 0
                                                             : !loss->counts || loss->counts[t];
        if (counts) {
            j->out->rows++;
            j->out->right += is_right(j, logits->data + t * j->task->n_outputs, t);
        }
    }
    j->out->all_right = j->out->right == j->out->rows;
    j->out->loss = mean * (double)j->out->rows;
    return SONDE_STATUS_OK;
}

/* Targets from others may be out of range; a loss must not read beyond its row. */
static enum sonde_status check_targets(const struct judge *j, int64_t n_tokens,
                                       struct sonde_error *error)
{
    const struct sonde_loss *loss = &j->prepared.loss;
    for (int64_t t = 0; loss->kind == SONDE_LOSS_TARGETS && t < n_tokens; t++) {
        if (loss->targets[t] >= j->task->n_outputs) {
            return sonde_error_set(
                error, SONDE_STATUS_ARGUMENT, "target %lld has id %d, the model has %lld outputs",
                (long long)t, (int)loss->targets[t], (long long)j->task->n_outputs);
        }
    }
    return SONDE_STATUS_OK;
}

static enum sonde_status judge_example(struct judging *all, struct judge *j, int64_t index)
{
    struct sonde_example example;
    struct sonde_error *error = &j->error;
    enum sonde_status status = all->source->get(all->source->ctx, index, &example, error);
    if (status == SONDE_STATUS_OK) {
        status = sonde_task_check_example(all->task, &example, index, error);
    }
    if (status == SONDE_STATUS_OK) {
        status = sonde_task_prepare(all->task, &example, index, 0, &j->prepared, error);
    }
    if (status == SONDE_STATUS_OK) {
        status = check_targets(j, example.n_tokens, error);
    }
    if (status != SONDE_STATUS_OK) {
        return status;
    }
    struct sonde_site_set logits = { 0 };
    sonde_site_set_add(&logits, (struct sonde_site){ SONDE_SITE_LOGITS, -1 });
    const struct sonde_hook hook = { .observe = &logits, .on_value = look, .ctx = j };
    const struct sonde_forward_args args = { .ids = j->prepared.ids,
                                             .n_tokens = example.n_tokens,
                                             .token_types = example.token_types,
                                             .hooks = &hook,
                                             .n_hooks = 1 };
    j->out = &all->each[index];
    *j->out = (struct sonde_evaluated){ 0 };
    sonde_arena_reset(j->arena);
    return sonde_forward(j->session, &args, error);
}

static void run_judge(void *ctx, int64_t i, int worker)
{
    struct judging *all = ctx;
    struct judge *j = &all->judge[i];
    (void)worker;
    while (j->status == SONDE_STATUS_OK) {
        const int64_t index = atomic_fetch_add(&all->next, 1);
        if (index >= all->end) {
            return;
        }
        j->status = judge_example(all, j, index);
        j->failed_at = index;
    }
}

static enum sonde_status run_blocks(struct judging *all, const struct sonde_evaluate_options *o,
                                    struct sonde_error *error)
{
    const int64_t n = all->source->n, step = (int64_t)BLOCK * all->n_judges;
    for (int64_t begin = 0; begin < n; begin += step) {
        all->end = begin + step < n ? begin + step : n;
        atomic_store(&all->next, begin);
        sonde_pool_run(o->pool, all->n_judges, run_judge, all);
        const struct judge *first = NULL;
        for (int i = 0; i < all->n_judges; i++) {
            const struct judge *j = &all->judge[i];
            if (j->status != SONDE_STATUS_OK && (!first || j->failed_at < first->failed_at)) {
                first = j;
            }
        }
        if (first) {
            return sonde_error_set(error, first->status, "example %lld: %s",
                                   (long long)first->failed_at, first->error.text);
        }
        if (!sonde_progress_update(o->progress, "evaluate", all->end, n, "sequences")) {
            return sonde_error_set(error, SONDE_STATUS_CANCELLED, "stopped");
        }
    }
    return SONDE_STATUS_OK;
}

static enum sonde_status longest_of(const struct sonde_example_source *source, int64_t *longest,
                                    int64_t *n_tokens, struct sonde_error *error)
{
    *longest = 1;
    *n_tokens = 0;
    for (int64_t i = 0; i < source->n; i++) {
        struct sonde_example example;
        enum sonde_status status = source->get(source->ctx, i, &example, error);
        if (status != SONDE_STATUS_OK) {
            return status;
        }
        *longest = example.n_tokens > *longest ? example.n_tokens : *longest;
        *n_tokens += example.n_tokens;
    }
    return SONDE_STATUS_OK;
}

static void add_up(const struct judging *all, int64_t n_tokens, struct sonde_evaluation *out)
{
    double sum = 0.0;
    *out = (struct sonde_evaluation){ .n_sequences = all->source->n, .n_tokens = n_tokens };
    for (int64_t i = 0; i < all->source->n; i++) {
        sum += all->each[i].loss;
        out->rows += all->each[i].rows;
        out->right += all->each[i].right;
        out->sequences_right += all->each[i].all_right;
    }
    out->loss = out->rows > 0 ? sum / (double)out->rows : (double)NAN;
}

static enum sonde_status make_judges(struct judging *all, const struct sonde_model *model,
                                     const struct sonde_evaluate_options *o, int64_t longest,
                                     struct sonde_error *error)
{
    const struct sonde_session_options options = { .max_tokens = longest,
                                                   .max_bytes = o->max_bytes };
    for (int i = 0; i < all->n_judges; i++) {
        struct judge *j = &all->judge[i];
        j->task = all->task;
        enum sonde_status status = sonde_session_create(&j->session, model, &options, error);
        if (status != SONDE_STATUS_OK) {
            return status;
        }
        j->arena = sonde_arena_create(o->max_bytes);
        if (!j->arena) {
            return sonde_error_memory(error, "an evaluation");
        }
    }
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_evaluate(const struct sonde_model *model,
                                 const struct sonde_example_source *source,
                                 const struct sonde_evaluate_options *o,
                                 struct sonde_evaluation *out, struct sonde_error *error)
{
    const struct sonde_spec *spec = sonde_model_spec(model);
    const struct sonde_task task = { .objective = o->objective,
                                     .n_outputs = sonde_spec_outputs(spec),
                                     .d_vocab = spec->d_vocab,
                                     .seed = o->seed,
                                     .mask_rate = o->mask_rate,
                                     .mask_id = o->mask_id };
    struct judging all = { .task = &task, .source = source, .each = o->each };
    int64_t longest = 0, n_tokens = 0;
    enum sonde_status status = sonde_task_check(&task, spec, error);
    if (status == SONDE_STATUS_OK) {
        status = longest_of(source, &longest, &n_tokens, error);
    }
    if (status != SONDE_STATUS_OK) {
        return status;
    }
    all.n_judges = sonde_pool_threads(o->pool);
    all.judge = calloc((size_t)all.n_judges, sizeof *all.judge);
    if (!all.each) {
        all.each = calloc((size_t)source->n + 1, sizeof *all.each);
    }
    status = all.judge && all.each ? make_judges(&all, model, o, longest, error)
                                   : sonde_error_memory(error, "an evaluation");
    if (status == SONDE_STATUS_OK) {
        status = run_blocks(&all, o, error);
    }
    if (status == SONDE_STATUS_OK) {
        add_up(&all, n_tokens, out);
    }
    for (int i = 0; all.judge && i < all.n_judges; i++) {
        sonde_session_destroy(&all.judge[i].session);
        sonde_arena_destroy(&all.judge[i].arena);
        sonde_prepared_finish(&all.judge[i].prepared);
    }
    free(all.judge);
    if (!o->each) {
        free(all.each);
    }
    return status;
}
