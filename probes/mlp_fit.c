#include "probes/mlp_fit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/rng.h"
#include "core/tensor/plateau.h"

enum {
    ASK_ROWS = 256,     /* rows of a forward pass without gradient */
    GATHER_LEAST = 16,  /* rows of a part of the team's work */
    UPDATE_LEAST = 8192 /* weights of one */
};

struct trainer {
    const struct sonde_mlp_data *data;
    const struct sonde_mlp_options *options;
    struct sonde_mlp_fit *fit;
    struct sonde_mlp_space space;
    int64_t *order;                        /* [n_train] */
    float *gradient;                       /* [n_parameters], then the states */
    float *state[SONDE_UPDATE_STATES_MAX]; /* [n_parameters] each */
    float *best;                           /* [n_parameters] */
    int32_t *target;                       /* [batch] */
    float *value;                          /* [batch] */
    struct sonde_update_rule rule;
};

/* A thread's share of n things: a multiple of a number, and not less than is worth a thread. */
static int64_t share_of(const struct trainer *t, int64_t n, int64_t multiple, int64_t least)
{
    const int64_t each = n / sonde_mlp_team_threads(t->options->team);
    const int64_t share = (each / multiple + 1) * multiple;
    return share > least ? share : least;
}

static int64_t rows_at_once(const struct sonde_mlp_options *options)
{
    return options->batch > ASK_ROWS ? options->batch : ASK_ROWS;
}

void sonde_mlp_fit_bytes(int64_t width, int64_t n_targets, const struct sonde_mlp_options *options,
                         int64_t n_train, int64_t n_test, int64_t *running, int64_t *left)
{
    int64_t n_out = n_targets > 0 ? n_targets : 1, rows = rows_at_once(options);
    double n = (double)sonde_mlp_count(width, &options->hidden, n_out);
    double space = (double)sonde_mlp_space_count(width, &options->hidden, n_out, rows);
    double arrays = 2 + sonde_update_states(&options->rule); /* gradient, best */
    double during = 4 * (arrays * n + space) + 8 * (double)(n_train + rows);
    double after = 4 * n + 12 * (double)n_test + 40 * (double)options->epochs;
    *running = during < 9e18 ? (int64_t)during : INT64_MAX;
    *left = after < 9e18 ? (int64_t)after : INT64_MAX;
}

void sonde_mlp_fit_finish(struct sonde_mlp_fit *fit)
{
    sonde_mlp_finish(&fit->net);
    free(fit->epoch);
    free(fit->predicted);
    free(fit->score);
    *fit = (struct sonde_mlp_fit){ 0 };
}

static void free_trainer(struct trainer *t)
{
    sonde_mlp_space_finish(&t->space);
    free(t->order);
    free(t->gradient);
    free(t->target);
    free(t->value);
}

static enum sonde_status allocate(struct trainer *t, struct sonde_error *error)
{
    const struct sonde_mlp_data *data = t->data;
    struct sonde_mlp_fit *fit = t->fit;
    int64_t rows = rows_at_once(t->options), n = fit->net.n_parameters;
    int n_states = sonde_update_states(&t->rule);
    enum sonde_status status = sonde_mlp_space_init(&t->space, &fit->net, rows, error);
    if (status)
        return status;
    t->space.team = t->options->team;
    t->order = malloc((size_t)(data->n_train + 1) * sizeof(int64_t));
    t->gradient = calloc((size_t)n * (size_t)(2 + n_states), sizeof(float));
    t->target = malloc((size_t)rows * sizeof(int32_t));
    t->value = malloc((size_t)rows * sizeof(float));
    fit->epoch = calloc((size_t)t->options->epochs, sizeof(*fit->epoch));
    fit->predicted = malloc((size_t)(data->n_test + 1) * sizeof(int32_t));
    fit->score = malloc((size_t)(data->n_test + 1) * sizeof(double));
    if (!t->order || !t->gradient || !t->target || !t->value || !fit->epoch || !fit->predicted ||
        !fit->score)
        return sonde_error_memory(error, "the fit");
    t->best = t->gradient + n;
    for (int i = 0; i < n_states; i++)
        t->state[i] = t->gradient + n * (2 + i);
    memcpy(t->order, data->train, (size_t)data->n_train * sizeof(int64_t));
    return SONDE_STATUS_OK;
}

/* Samples whose rows and labels are wanted in the space. */
struct gathering {
    struct trainer *t;
    const int64_t *sample;
    int64_t n, share; /* of a part */
};

static void gather_part(void *ctx, int64_t part)
{
    const struct gathering *g = ctx;
    struct trainer *t = g->t;
    const struct sonde_mlp_data *data = t->data;
    const struct sonde_mlp_fit *fit = t->fit;
    const size_t bytes = (size_t)data->width * sizeof(float);
    const int64_t first = part * g->share, left = g->n - first;
    const int64_t end = first + (left < g->share ? left : g->share);
    for (int64_t i = first; i < end; i++) {
        const int64_t sample = g->sample[i];
        memcpy(t->space.activation[0] + i * data->width, data->x + sample * data->width, bytes);
        if (data->target)
            t->target[i] = data->target[sample];
        else
            t->value[i] = (float)((data->real[sample] - fit->real_mean) / fit->real_scale);
    }
}

/* Rows and labels of n samples into the space. */
static void gather(struct trainer *t, const int64_t *sample, int64_t n)
{
    struct gathering g = { .t = t, .sample = sample, .n = n };
    g.share = share_of(t, n, 1, GATHER_LEAST);
    sonde_mlp_team_run(t->options->team, (n + g.share - 1) / g.share, gather_part, &g);
}

static void update_part(void *ctx, int64_t part)
{
    struct trainer *t = ctx;
    struct sonde_mlp *net = &t->fit->net;
    const int64_t share = share_of(t, net->n_parameters, 16, UPDATE_LEAST), at = part * share;
    const int64_t left = net->n_parameters - at, n = left < share ? left : share;
    float *state[SONDE_UPDATE_STATES_MAX] = { NULL };
    for (int i = 0; i < SONDE_UPDATE_STATES_MAX; i++)
        state[i] = t->state[i] ? t->state[i] + at : NULL;
    sonde_update_apply(&t->rule, t->fit->n_steps, n, net->parameter + at, t->gradient + at, state);
}

static double run_epoch(struct trainer *t, int64_t epoch)
{
    const struct sonde_mlp_data *data = t->data;
    struct sonde_mlp_fit *fit = t->fit;
    struct sonde_rng rng =
        sonde_rng_make(t->options->seed, sonde_rng_stream("mlp order") + (uint64_t)epoch);
    double loss = 0.0;
    sonde_rng_shuffle(&rng, t->order, data->n_train);
    for (int64_t at = 0; at < data->n_train; at += t->options->batch) {
        int64_t left = data->n_train - at;
        int64_t n = left < t->options->batch ? left : t->options->batch;
        gather(t, t->order + at, n);
        float *score = sonde_mlp_forward(&fit->net, &t->space, n);
        loss += data->target ? sonde_mlp_class_loss(score, t->target, n, data->n_targets)
                             : sonde_mlp_real_loss(score, t->value, n);
        sonde_mlp_backward(&fit->net, &t->space, n, t->gradient);
        fit->n_steps++;
        const int64_t share = share_of(t, fit->net.n_parameters, 16, UPDATE_LEAST);
        sonde_mlp_team_run(t->options->team, (fit->net.n_parameters + share - 1) / share,
                           update_part, t);
    }
    return loss / (double)data->n_train;
}

static int32_t best_class(const float *score, int64_t n)
{
    int32_t best = 0;
    for (int32_t k = 1; k < n; k++)
        if (score[k] > score[best])
            best = k;
    return best;
}

/* Loss and accuracy of n classes' scores. Rows of classes that training does not know are wrong,
 * and have no loss. */
static void judge_classes(struct trainer *t, float *score, int64_t n, double *loss, int64_t *hits)
{
    int64_t K = t->data->n_targets, n_known = 0;
    for (int64_t i = 0; i < n; i++) {
        if (t->target[i] < 0)
            continue;
        *hits += best_class(score + i * K, K) == t->target[i];
        memmove(score + n_known * K, score + i * K, (size_t)K * sizeof(float));
        t->target[n_known++] = t->target[i];
    }
    *loss += sonde_mlp_class_loss(score, t->target, n_known, K);
}

static void validate(struct trainer *t, struct sonde_mlp_epoch *out)
{
    const struct sonde_mlp_data *data = t->data;
    double loss = 0.0, sum = 0.0, square = 0.0, n_all = (double)data->n_validation;
    int64_t hits = 0;
    for (int64_t at = 0; at < data->n_validation; at += ASK_ROWS) {
        int64_t left = data->n_validation - at, n = left < ASK_ROWS ? left : ASK_ROWS;
        gather(t, data->validation + at, n);
        float *score = sonde_mlp_forward(&t->fit->net, &t->space, n);
        if (data->target) {
            judge_classes(t, score, n, &loss, &hits);
            continue;
        }
        for (int64_t i = 0; i < n; i++) {
            sum += (double)t->value[i];
            square += (double)t->value[i] * (double)t->value[i];
        }
        loss += sonde_mlp_real_loss(score, t->value, n);
    }
    double spread = square - sum * sum / n_all;
    out->validation_loss = loss / n_all;
    out->validation_value = data->target ? (double)hits / n_all
                            : spread > 0 ? 1.0 - loss / spread
                                         : -loss;
}

static void answer_test(struct trainer *t)
{
    const struct sonde_mlp_data *data = t->data;
    struct sonde_mlp_fit *fit = t->fit;
    for (int64_t at = 0; at < data->n_test; at += ASK_ROWS) {
        int64_t left = data->n_test - at, n = left < ASK_ROWS ? left : ASK_ROWS;
        gather(t, data->test + at, n);
        const float *score = sonde_mlp_forward(&fit->net, &t->space, n);
        int64_t K = data->n_targets;
        for (int64_t i = 0; i < n; i++) {
            fit->predicted[at + i] = data->target ? best_class(score + i * K, K) : 0;
            fit->score[at + i] = !data->target ? fit->real_mean + fit->real_scale * (double)score[i]
                                 : K == 2      ? (double)score[2 * i + 1] - (double)score[2 * i]
                                               : 0.0;
        }
    }
}

/* Mean and deviation of the training values: the net learns values of variance 1. */
static void scale_values(const struct sonde_mlp_data *data, struct sonde_mlp_fit *fit)
{
    double mean = 0.0, square = 0.0, n = (double)data->n_train;
    fit->real_scale = 1.0;
    if (data->target)
        return;
    for (int64_t i = 0; i < data->n_train; i++)
        mean += data->real[data->train[i]] / n;
    for (int64_t i = 0; i < data->n_train; i++) {
        double off = data->real[data->train[i]] - mean;
        square += off * off / n;
    }
    fit->real_mean = mean;
    fit->real_scale = square > 0 ? sqrt(square) : 1.0;
}

static enum sonde_status run(struct trainer *t, struct sonde_error *error)
{
    const struct sonde_mlp_options *options = t->options;
    struct sonde_mlp_fit *fit = t->fit;
    struct sonde_plateau plateau = sonde_plateau_defaults();
    int64_t n_reductions = 0;
    plateau.patience = options->patience;
    plateau.eps = 0.0; /* every fall counts, however small the rate is */
    size_t bytes = (size_t)fit->net.n_parameters * sizeof(float);
    for (int64_t e = 0; e < options->epochs; e++) {
        struct sonde_mlp_epoch *epoch = &fit->epoch[e];
        epoch->lr = t->rule.lr;
        epoch->train_loss = run_epoch(t, e);
        validate(t, epoch);
        fit->n_epochs = e + 1;
        if (!isfinite(epoch->train_loss) || !isfinite(epoch->validation_loss))
            return sonde_error_set(error, SONDE_STATUS_NUMERIC,
                                   "the loss is not finite in epoch %lld: give a smaller --lr",
                                   (long long)e + 1);
        bool best = e == 0 || epoch->validation_value > fit->epoch[fit->chosen].validation_value;
        if (options->last || best) {
            fit->chosen = e;
            memcpy(t->best, fit->net.parameter, bytes);
        }
        if (options->patience >= 0)
            t->rule.lr = sonde_plateau_step(&plateau, t->rule.lr, epoch->validation_loss);
        n_reductions += t->rule.lr < epoch->lr;
        if (options->epoch_done && !options->epoch_done(options->ctx))
            return sonde_error_set(error, SONDE_STATUS_CANCELLED, "stopped");
        if (options->stop_after > 0 && n_reductions >= options->stop_after)
            break;
    }
    memcpy(fit->net.parameter, t->best, bytes);
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_mlp_train(const struct sonde_mlp_data *data,
                                  const struct sonde_mlp_options *options,
                                  struct sonde_mlp_fit *out, struct sonde_error *error)
{
    struct sonde_mlp_fit fit = { 0 };
    struct trainer t = { .data = data, .options = options, .fit = &fit, .rule = options->rule };
    scale_values(data, &fit);
    enum sonde_status status =
        sonde_mlp_init(&fit.net, data->width, &options->hidden, data->target ? data->n_targets : 1,
                       options->seed, error);
    if (!status)
        status = allocate(&t, error);
    if (!status)
        status = run(&t, error);
    if (!status)
        answer_test(&t);
    free_trainer(&t);
    if (status) {
        sonde_mlp_fit_finish(&fit);
        return status;
    }
    *out = fit;
    return SONDE_STATUS_OK;
}
