/* From examples to ids and a loss. */
#include <stdlib.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/rng.h"
#include "core/train/train_internal.h"

static const double MASK_RATE = 0.15;

const char *sonde_objective_name(enum sonde_objective objective)
{
    switch (objective) {
    case SONDE_OBJECTIVE_NEXT_TOKEN:
        return "next-token";
    case SONDE_OBJECTIVE_K_HOT_MSE:
        return "k-hot-mse";
    case SONDE_OBJECTIVE_K_HOT_BCE:
        return "k-hot-bce";
    case SONDE_OBJECTIVE_MASKED_TOKEN:
        return "masked-token";
    case SONDE_OBJECTIVE_CLASSIFICATION:
        return "classification";
    }
    return "?";
}

static bool is_k_hot(enum sonde_objective objective)
{
    return objective == SONDE_OBJECTIVE_K_HOT_MSE || objective == SONDE_OBJECTIVE_K_HOT_BCE;
}

enum sonde_status sonde_task_check(const struct sonde_task *task, const struct sonde_spec *spec,
                                   struct sonde_error *error)
{
    const char *name = sonde_objective_name(task->objective);
    const bool tokens = task->objective == SONDE_OBJECTIVE_NEXT_TOKEN ||
                        task->objective == SONDE_OBJECTIVE_MASKED_TOKEN;
    if (spec->headless) {
        return sonde_error_set(error, SONDE_STATUS_UNSUPPORTED,
                               "objective %s: this model has no outputs", name);
    }
    if (tokens && task->n_outputs != task->d_vocab) {
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "objective %s: the model has %lld outputs, expected one for each of "
                               "its %lld tokens",
                               name, (long long)task->n_outputs, (long long)task->d_vocab);
    }
    if (task->objective == SONDE_OBJECTIVE_NEXT_TOKEN && !spec->causal) {
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "objective next-token: the model sees the tokens that it has to "
                               "tell: it is not causal");
    }
    if (task->objective == SONDE_OBJECTIVE_MASKED_TOKEN &&
        (task->mask_id < 0 || task->mask_id >= task->d_vocab)) {
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "objective masked-token: mask id %d, expected 0 to %lld",
                               (int)task->mask_id, (long long)task->d_vocab - 1);
    }
    if (!(task->mask_rate >= 0.0 && task->mask_rate <= 1.0)) {
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "objective masked-token: mask rate %.9g, expected 0 to 1",
                               task->mask_rate);
    }
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_task_check_example(const struct sonde_task *task,
                                           const struct sonde_example *example, int64_t index,
                                           struct sonde_error *error)
{
    if (example->n_tokens < 1) {
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT, "example %lld has no tokens",
                               (long long)index);
    }
    if (is_k_hot(task->objective) && !example->hot) {
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "objective %s: example %lld has no k-hot targets",
                               sonde_objective_name(task->objective), (long long)index);
    }
    if (is_k_hot(task->objective) && example->n_hot && example->n_hot != task->n_outputs) {
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "objective %s: example %lld has %lld targets a row, the model has "
                               "%lld outputs",
                               sonde_objective_name(task->objective), (long long)index,
                               (long long)example->n_hot, (long long)task->n_outputs);
    }
    if (task->objective == SONDE_OBJECTIVE_CLASSIFICATION && !example->targets) {
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "objective classification: example %lld has no targets",
                               (long long)index);
    }
    return SONDE_STATUS_OK;
}

/* Draws what is masked at every row, always the same numbers: (chosen, what becomes of it, the
 * random id). */
struct mask_draw {
    struct sonde_rng rng;
    double rate;
};

static struct mask_draw draw_begin(const struct sonde_task *task, int64_t index, int64_t epoch)
{
    const uint64_t stream = sonde_rng_stream("mask") + ((uint64_t)epoch << 40) + (uint64_t)index;
    return (struct mask_draw){ sonde_rng_make(task->seed, stream),
                               task->mask_rate > 0.0 ? task->mask_rate : MASK_RATE };
}

/* Whether the row is chosen, and the id that stands there then. */
static bool draw_next(struct mask_draw *draw, const struct sonde_task *task, int32_t id,
                      int32_t *becomes)
{
    const bool chosen = sonde_rng_uniform(&draw->rng) < draw->rate;
    const double kind = sonde_rng_uniform(&draw->rng);
    /* Without rejection, so that every row takes as many numbers: the bias is below 2^-40. */
    const double random = sonde_rng_uniform(&draw->rng) * (double)task->d_vocab;
    *becomes = kind < 0.8 ? task->mask_id : kind < 0.9 ? (int32_t)random : id;
    return chosen;
}

static bool row_counts(const struct sonde_example *example, int64_t t)
{
    return !example->targets || example->targets[t] >= 0;
}

int64_t sonde_task_rows(const struct sonde_task *task, const struct sonde_example *example,
                        int64_t index, int64_t epoch)
{
    const int64_t T = example->n_tokens;
    int64_t n = 0;
    switch (task->objective) {
    case SONDE_OBJECTIVE_NEXT_TOKEN:
        for (int64_t t = 0; t + 1 < T; t++) {
            n += row_counts(example, t);
        }
        break;
    case SONDE_OBJECTIVE_CLASSIFICATION:
        for (int64_t t = 0; t < T; t++) {
            n += row_counts(example, t);
        }
        break;
    case SONDE_OBJECTIVE_MASKED_TOKEN: {
        struct mask_draw draw = draw_begin(task, index, epoch);
        for (int64_t t = 0; t < T; t++) {
            int32_t becomes;
            n += draw_next(&draw, task, 0, &becomes) && row_counts(example, t);
        }
        break;
    }
    case SONDE_OBJECTIVE_K_HOT_MSE:
    case SONDE_OBJECTIVE_K_HOT_BCE:
        for (int64_t t = 0; t < T; t++) {
            n += !example->counts || example->counts[t];
        }
        break;
    }
    return n;
}

void sonde_prepared_finish(struct sonde_prepared *prepared)
{
    free(prepared->own_ids);
    free(prepared->targets);
    free(prepared->hot);
    *prepared = (struct sonde_prepared){ 0 };
}

static void fill_next(const struct sonde_example *example, int32_t *targets)
{
    const int64_t last = example->n_tokens - 1;
    for (int64_t t = 0; t < last; t++) {
        targets[t] = row_counts(example, t) ? example->ids[t + 1] : -1;
    }
    targets[last] = -1;
}

static void fill_masked(const struct sonde_task *task, const struct sonde_example *example,
                        struct mask_draw draw, int32_t *ids, int32_t *targets)
{
    for (int64_t t = 0; t < example->n_tokens; t++) {
        const int32_t id = example->ids[t];
        int32_t becomes;
        const bool chosen = draw_next(&draw, task, id, &becomes) && row_counts(example, t);
        ids[t] = chosen ? becomes : id;
        targets[t] = chosen ? id : -1;
    }
}

enum sonde_status sonde_task_prepare(const struct sonde_task *task,
                                     const struct sonde_example *example, int64_t index,
                                     int64_t epoch, struct sonde_prepared *p,
                                     struct sonde_error *error)
{
    const int64_t T = example->n_tokens, most = SONDE_EXAMPLES_MAX_TOKENS;
    const bool k_hot = is_k_hot(task->objective);
    const int64_t n_hot = k_hot ? T * task->n_outputs : 0;
    if (!sonde_grow((void **)&p->own_ids, &p->ids_capacity, T, sizeof *p->own_ids, most) ||
        !sonde_grow((void **)&p->targets, &p->targets_capacity, T, sizeof *p->targets, most) ||
        !sonde_grow((void **)&p->hot, &p->hot_capacity, n_hot, sizeof *p->hot, most << 8)) {
        return sonde_error_memory(error, "a prepared example");
    }
    p->ids = example->ids;
    p->loss = (struct sonde_loss){ .kind = SONDE_LOSS_TARGETS, .targets = p->targets };
    if (k_hot) {
        for (int64_t i = 0; i < n_hot; i++) {
            p->hot[i] = (float)example->hot[i];
        }
        p->loss = (struct sonde_loss){ .kind = task->objective == SONDE_OBJECTIVE_K_HOT_MSE
                                                   ? SONDE_LOSS_SIGMOID_MSE
                                                   : SONDE_LOSS_SIGMOID_BCE,
                                       .hot = p->hot,
                                       .counts = example->counts };
    } else if (task->objective == SONDE_OBJECTIVE_NEXT_TOKEN) {
        fill_next(example, p->targets);
    } else if (task->objective == SONDE_OBJECTIVE_MASKED_TOKEN) {
        fill_masked(task, example, draw_begin(task, index, epoch), p->own_ids, p->targets);
        p->ids = p->own_ids;
    } else {
        memcpy(p->targets, example->targets, (size_t)T * sizeof *p->targets);
    }
    return SONDE_STATUS_OK;
}
