#include "probes/linear_fit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/split.h"
#include "probes/closed_form.h"
#include "probes/feature_gram.h"
#include "probes/logistic.h"
#include "probes/logistic_basis.h"

static const double fold_tolerance = 1e-4;

void sonde_linear_fit_bytes(enum sonde_linear_method method, int64_t n_targets, int64_t width,
                            int n_threads, int64_t *fixed, int64_t *per_slot)
{
    double rows = (double)sonde_linear_fit_rows(method, n_targets);
    bool real = method == SONDE_LINEAR_RIDGE || method == SONDE_LINEAR_COVARIANCE;
    double sums = real ? 1.0 : (double)n_targets;
    double d = (double)width, block = SONDE_FEATURES_BLOCK;
    double scores = 8 * (double)sonde_linear_model_chunk((int64_t)rows) * rows;
    double always = scores + 8 * (3 * rows * (d + 1) + 4 * d),
           each = 8 * SONDE_LINEAR_MODEL_PART * d + 16 * d;
    if (method == SONDE_LINEAR_LOGISTIC) {
        /* 10 correction pairs and six vectors of the minimiser, two of ours. */
        always += 8 * 31 * rows * (d + 1) + 8 * rows * d;
        always += sonde_logistic_basis_bytes(width, n_threads);
        each += 8 * (block * rows + rows * d + rows);
    } else {
        always += 8 * 4 * sums * d;
        if (method != SONDE_LINEAR_MEAN_DIFFERENCE)
            always += 8 * d * d + sonde_gram_bytes(width, n_threads);
    }
    *fixed = always < 9e18 ? (int64_t)always : INT64_MAX;
    *per_slot = each < 9e18 ? (int64_t)each : INT64_MAX;
}

/* Of logistic regression; the closed forms make their own. */
static enum sonde_status fit_scaler(const struct sonde_fit_problem *problem,
                                    const struct sonde_fit_options *options,
                                    struct sonde_scaler *scaler, struct sonde_error *error)
{
    if (options->as_is)
        return SONDE_STATUS_OK;
    return sonde_scaler_fit(scaler, problem->features, problem->sample, problem->n, error);
}

static enum sonde_status fit_logistic(const struct sonde_fit_problem *problem,
                                      const struct sonde_fit_options *options,
                                      const struct sonde_scaler *scaler, double *start,
                                      struct sonde_linear_model *out,
                                      struct sonde_fit_report *report, struct sonde_error *error)
{
    int64_t width = problem->features->width;
    int64_t rows = sonde_linear_fit_rows(options->method, problem->n_targets);
    struct sonde_linear_model model = { 0 };
    enum sonde_status status = sonde_linear_model_init(&model, rows, width, error);
    if (status)
        return status;
    /* Weights and biases lie one after the other, as the parameters do. */
    size_t bytes = (size_t)(rows * (width + 1)) * sizeof(double);
    if (start)
        memcpy(model.weight, start, bytes);
    status = sonde_logistic_fit(problem, options, scaler, model.weight, report, error);
    if (status) {
        sonde_linear_model_finish(&model);
        return status;
    }
    if (start)
        memcpy(start, model.weight, bytes);
    *out = model;
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_linear_fit(const struct sonde_fit_problem *problem,
                                   const struct sonde_fit_options *options, double *start,
                                   struct sonde_linear_model *out, struct sonde_fit_report *report,
                                   struct sonde_error *error)
{
    struct sonde_scaler scaler = { 0 };
    struct sonde_linear_model model = { 0 };
    enum sonde_status status;
    if (options->method == SONDE_LINEAR_LOGISTIC) {
        status = fit_scaler(problem, options, &scaler, error);
        if (!status)
            status = fit_logistic(problem, options, &scaler, start, &model, report, error);
    } else {
        struct sonde_moments moments = { 0 };
        status = sonde_moments_fit(&moments, problem, options, &scaler, error);
        if (!status)
            status = sonde_moments_solve(&moments, options->method, options->l2, &model, error);
        sonde_moments_finish(&moments);
        *report = (struct sonde_fit_report){ .loss = NAN };
    }
    if (!status) {
        sonde_linear_model_unscale(&model, &scaler);
        *out = model;
    }
    sonde_scaler_finish(&scaler);
    return status;
}

enum sonde_status sonde_linear_loss(const struct sonde_linear_model *model,
                                    const struct sonde_fit_problem *problem, double *out,
                                    struct sonde_error *error)
{
    int64_t chunk = sonde_linear_model_chunk(model->rows), rows = model->rows;
    double *scores = malloc((size_t)(chunk * rows) * sizeof(double));
    if (!scores)
        return sonde_error_memory(error, "scores");
    enum sonde_status status = SONDE_STATUS_OK;
    double sum = 0.0;
    for (int64_t first = 0; first < problem->n && !status; first += chunk) {
        int64_t n = problem->n - first < chunk ? problem->n - first : chunk;
        const int64_t *sample = problem->sample + first;
        status = sonde_linear_model_scores(model, problem->features, sample, n, scores, error);
        for (int64_t i = 0; i < n && !status; i++) {
            double off = problem->real ? scores[i] - problem->real[sample[i]] : 0.0;
            sum += problem->real ? off * off
                                 : sonde_linear_model_class(scores + i * rows, rows) !=
                                       problem->target[sample[i]];
        }
    }
    free(scores);
    if (!status)
        *out = sum / (double)problem->n;
    return status;
}

static void set_shares(struct sonde_l2_path *path, enum sonde_linear_method method)
{
    static const double logistic[] = { 1, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5 };
    static const double closed[SONDE_L2_SHARES] = { 10, 1, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6 };
    bool is_logistic = method == SONDE_LINEAR_LOGISTIC;
    path->n_shares = is_logistic ? 6 : SONDE_L2_SHARES;
    for (int i = 0; i < path->n_shares; i++) {
        path->share[i] = is_logistic ? logistic[i] : closed[i];
        path->loss[i] = 0.0;
    }
}

struct fold_fit {
    const struct sonde_fit_options *options;
    struct sonde_fit_problem train, validation;
    struct sonde_scaler scaler;
    struct sonde_moments moments;
    double *start; /* logistic */
};

static enum sonde_status fold_loss(struct fold_fit *fold, double l2, double *loss,
                                   struct sonde_error *error)
{
    struct sonde_fit_options options = *fold->options;
    struct sonde_linear_model model = { 0 };
    struct sonde_fit_report report;
    enum sonde_status status;
    options.l2 = l2;
    /* To rank penalties a coarser end is enough. */
    options.tolerance = fmax(options.tolerance, fold_tolerance);
    options.coarse = true;
    if (options.method == SONDE_LINEAR_LOGISTIC)
        status = fit_logistic(&fold->train, &options, &fold->scaler, fold->start, &model, &report,
                              error);
    else
        status = sonde_moments_solve(&fold->moments, options.method, l2, &model, error);
    if (!status) {
        sonde_linear_model_unscale(&model, &fold->scaler);
        status = sonde_linear_loss(&model, &fold->validation, loss, error);
    }
    sonde_linear_model_finish(&model);
    return status;
}

/* One fold down the path, from strong to weak; what it does not reach becomes NaN. */
static enum sonde_status fold_path(struct fold_fit *fold, struct sonde_l2_path *path,
                                   struct sonde_error *error)
{
    const struct sonde_fit_options *options = fold->options;
    int64_t width = fold->train.features->width;
    int64_t rows = sonde_linear_fit_rows(options->method, fold->train.n_targets);
    enum sonde_status status;
    if (options->method == SONDE_LINEAR_LOGISTIC) {
        status = fit_scaler(&fold->train, options, &fold->scaler, error);
        fold->start = calloc((size_t)(rows * (width + 1)), sizeof(double));
        if (!status && !fold->start)
            status = sonde_error_memory(error, "a fold");
    } else {
        struct sonde_fit_options weakest = *options;
        weakest.l2 = path->share[path->n_shares - 1] * (double)fold->train.n;
        status = sonde_moments_fit(&fold->moments, &fold->train, &weakest, &fold->scaler, error);
    }
    double last = INFINITY;
    int rises = 0;
    for (int s = 0; s < path->n_shares && !status; s++) {
        double loss = NAN;
        if (rises < 2)
            status = fold_loss(fold, path->share[s] * (double)fold->train.n, &loss, error);
        path->loss[s] += loss / path->n_folds;
        rises = loss > last ? rises + 1 : rises < 2 ? 0 : rises;
        last = loss;
    }
    sonde_scaler_finish(&fold->scaler);
    sonde_moments_finish(&fold->moments);
    free(fold->start);
    return status;
}

static enum sonde_status fold_count(const struct sonde_fit_problem *problem, const int64_t *group,
                                    int wanted, int *n_folds, struct sonde_error *error)
{
    int64_t n_groups = 0;
    enum sonde_status status = sonde_split_count_groups(group, problem->n, &n_groups, error);
    if (status)
        return status;
    if (n_groups < 2)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "cross-validation needs two groups of training sequences, there is "
                               "%lld: give --l2",
                               (long long)n_groups);
    *n_folds = n_groups < wanted ? (int)n_groups : wanted;
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_linear_choose_l2(const struct sonde_fit_problem *problem,
                                         const struct sonde_fit_options *options,
                                         const struct sonde_l2_options *l2_options,
                                         struct sonde_l2_path *out, struct sonde_error *error)
{
    struct sonde_l2_path path = { .n_folds = l2_options->n_folds };
    size_t n = (size_t)problem->n;
    int64_t *group = malloc((n + 1) * 3 * sizeof(*group));
    int32_t *fold_of = malloc((n + 1) * sizeof(*fold_of));
    enum sonde_status status =
        group && fold_of ? SONDE_STATUS_OK : sonde_error_memory(error, "the folds");
    for (size_t i = 0; i < n && !status; i++)
        group[i] = l2_options->group[problem->sample[i]];
    if (!status)
        status = fold_count(problem, group, l2_options->n_folds, &path.n_folds, error);
    if (!status)
        status =
            sonde_split_folds(group, problem->n, path.n_folds, l2_options->seed, fold_of, error);
    set_shares(&path, options->method);
    for (int k = 0; k < path.n_folds && !status; k++) {
        int64_t *train = group + n + 1, *validation = train + n + 1, n_train = 0, n_validation = 0;
        for (size_t i = 0; i < n; i++) {
            if (fold_of[i] == k)
                validation[n_validation++] = problem->sample[i];
            else
                train[n_train++] = problem->sample[i];
        }
        struct fold_fit fold = { .options = options, .train = *problem, .validation = *problem };
        fold.train.sample = train;
        fold.train.n = n_train;
        fold.validation.sample = validation;
        fold.validation.n = n_validation;
        status = fold_path(&fold, &path, error);
        if (!status && !sonde_progress_update(options->progress, "cross-validation", k + 1,
                                              path.n_folds, "folds"))
            status = sonde_error_set(error, SONDE_STATUS_CANCELLED, "stopped");
    }
    free(group);
    free(fold_of);
    if (status)
        return status;
    for (int s = 1; s < path.n_shares; s++)
        if (path.loss[s] < path.loss[path.best])
            path.best = s;
    path.l2 = path.share[path.best] * (double)problem->n;
    *out = path;
    return SONDE_STATUS_OK;
}
