/* One stream of a supervised probe: fit it, ask it about the test rows, and do the same for the
 * baselines. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/num.h"
#include "probes/direction.h"
#include "probes/supervised.h"

/* What a sample takes in the data set, the folds and the answers. */
enum { SAMPLE_BYTES = 200 };

/* The labels that a fit is made with: the task's own, or the control's. */
struct labelling {
    const int32_t *target; /* [n] */
    const double *real;    /* [n] */
};

struct answer_arrays {
    int32_t *truth, *predicted, *binary; /* [n_test] */
    double *real, *score;
    int64_t *group;
};

static void free_answers(struct answer_arrays *a)
{
    free(a->truth);
    free(a->predicted);
    free(a->binary);
    free(a->real);
    free(a->score);
    free(a->group);
    *a = (struct answer_arrays){ 0 };
}

static enum sonde_status new_answers(struct answer_arrays *a, const struct sonde_dataset *d,
                                     struct sonde_error *error)
{
    size_t n = (size_t)d->n_test + 1;
    *a = (struct answer_arrays){
        .truth = malloc(n * sizeof(int32_t)),
        .predicted = malloc(n * sizeof(int32_t)),
        .binary = malloc(n * sizeof(int32_t)),
        .real = malloc(n * sizeof(double)),
        .score = malloc(n * sizeof(double)),
        .group = malloc(n * sizeof(int64_t)),
    };
    if (!a->truth || !a->predicted || !a->binary || !a->real || !a->score || !a->group) {
        free_answers(a);
        return sonde_error_memory(error, "the answers");
    }
    return SONDE_STATUS_OK;
}

static struct sonde_probe_answers view_answers(const struct answer_arrays *a,
                                               const struct sonde_dataset *d, bool binary)
{
    bool real = d->task == SONDE_TASK_REAL;
    return (struct sonde_probe_answers){
        .n = d->n_test,
        .n_classes = d->n_classes,
        .truth = real ? NULL : a->truth,
        .predicted = real ? NULL : a->predicted,
        .binary = binary && !real ? a->binary : NULL,
        .real = real ? a->real : NULL,
        .score = a->score,
        .group = a->group,
    };
}

/* Class of the label set that the model's class number `target` stands for; -1 = none. */
static int32_t class_of_target(const struct sonde_supervised *s, int32_t target)
{
    return s->loaded ? s->loaded_class[target] : s->dataset->target_class[target];
}

/* The answer to test row i. With a control labelling the truth is the control's. */
static void take_answer(const struct sonde_supervised *s, const struct labelling *labelling,
                        const double *scores, int64_t rows, int64_t i, struct answer_arrays *a)
{
    const struct sonde_dataset *d = s->dataset;
    int64_t sample = d->test[i];
    bool control = labelling->target != d->target;
    a->group[i] = d->group[sample];
    a->score[i] = scores[0];
    a->real[i] = labelling->real[sample];
    if (d->task == SONDE_TASK_REAL)
        return;
    int32_t predicted = class_of_target(s, sonde_linear_model_class(scores, rows));
    a->truth[i] = control ? d->target_class[labelling->target[sample]] : d->class_of[sample];
    /* A loaded class that this label set does not have is a wrong answer of any truth. */
    a->predicted[i] = predicted >= 0 ? predicted : (a->truth[i] + 1) % (int32_t)d->n_classes;
    a->binary[i] = -1;
    for (int32_t t = 0; t < 2 && rows == 1; t++)
        if (class_of_target(s, t) == a->truth[i])
            a->binary[i] = t;
}

static enum sonde_status answer(const struct sonde_supervised *s,
                                const struct sonde_linear_model *model,
                                struct sonde_features *features, const struct labelling *labelling,
                                struct answer_arrays *a, struct sonde_error *error)
{
    const struct sonde_dataset *d = s->dataset;
    int64_t rows = model->rows, chunk = sonde_linear_model_chunk(rows);
    double *scores = malloc((size_t)(chunk * rows) * sizeof(double));
    if (!scores)
        return sonde_error_memory(error, "the answers");
    enum sonde_status status = SONDE_STATUS_OK;
    for (int64_t first = 0; first < d->n_test && !status; first += chunk) {
        int64_t n = d->n_test - first < chunk ? d->n_test - first : chunk;
        status = sonde_linear_model_scores(model, features, d->test + first, n, scores, error);
        for (int64_t i = 0; i < n && !status; i++)
            take_answer(s, labelling, scores + i * rows, rows, first + i, a);
    }
    free(scores);
    return status;
}

static struct sonde_fit_problem training(const struct sonde_supervised *s,
                                         struct sonde_features *features,
                                         const struct labelling *labelling)
{
    const struct sonde_dataset *d = s->dataset;
    bool real = d->task == SONDE_TASK_REAL;
    return (struct sonde_fit_problem){
        .features = features,
        .sample = d->train,
        .n = d->n_train,
        .target = real ? NULL : labelling->target,
        .real = real ? labelling->real : NULL,
        .n_targets = real ? 0 : d->n_targets,
    };
}

static struct sonde_fit_options fit_options(const struct sonde_supervised *s, double l2,
                                            const char *what)
{
    return (struct sonde_fit_options){
        .method = s->options.method,
        .as_is = s->options.as_is,
        .l2 = l2,
        .l1 = s->options.l1,
        .max_iterations = s->options.max_iterations,
        .tolerance = s->options.tolerance,
        .progress = s->run->args->progress,
        .what = what,
    };
}

/* The penalty: given, or chosen on the training part. LDA and the mean difference have none by
 * default. */
static enum sonde_status find_l2(const struct sonde_supervised *s,
                                 const struct sonde_fit_problem *problem,
                                 struct sonde_stream_report *report, double *l2,
                                 struct sonde_error *error)
{
    *l2 = s->options.l2;
    if (s->options.l2 >= 0)
        return SONDE_STATUS_OK;
    struct sonde_fit_options fit = fit_options(s, 0.0, "cross-validation");
    struct sonde_l2_options l2_options = {
        .n_folds = s->options.n_folds,
        .group = s->dataset->group,
        .seed = s->run->args->seed,
    };
    struct sonde_l2_path path;
    enum sonde_status status = sonde_linear_choose_l2(problem, &fit, &l2_options, &path, error);
    if (status)
        return status;
    *l2 = path.l2;
    if (report) {
        report->path = path;
        report->has_path = true;
    }
    return SONDE_STATUS_OK;
}

static void fill_metrics(struct sonde_stream_report *r, const struct sonde_probe_answers *a)
{
    r->accuracy = sonde_probe_metric_value(SONDE_PROBE_METRIC_ACCURACY, a, NULL, a->n);
    r->macro_f1 = sonde_probe_metric_value(SONDE_PROBE_METRIC_MACRO_F1, a, NULL, a->n);
    r->auroc = sonde_probe_metric_value(SONDE_PROBE_METRIC_AUROC, a, NULL, a->n);
    r->r2 = sonde_probe_metric_value(SONDE_PROBE_METRIC_R2, a, NULL, a->n);
    r->spearman = sonde_probe_metric_value(SONDE_PROBE_METRIC_SPEARMAN, a, NULL, a->n);
}

static enum sonde_status judge_task(const struct sonde_supervised *s,
                                    struct sonde_stream_report *report,
                                    struct sonde_features *features, struct answer_arrays *arrays,
                                    struct sonde_error *error)
{
    const struct sonde_dataset *d = s->dataset;
    struct labelling own = { .target = d->target, .real = d->real };
    enum sonde_status status = answer(s, &report->model, features, &own, arrays, error);
    if (status)
        return status;
    struct sonde_probe_answers answers = view_answers(arrays, d, report->model.rows == 1);
    fill_metrics(report, &answers);
    report->value = sonde_probe_metric_value(s->metric, &answers, NULL, answers.n);
    if (d->task == SONDE_TASK_CLASS) {
        report->predicted = malloc((size_t)(d->n_test + 1) * sizeof(int32_t));
        if (!report->predicted)
            return sonde_error_memory(error, "the answers");
        memcpy(report->predicted, arrays->predicted, (size_t)d->n_test * sizeof(int32_t));
    }
    if (s->options.n_bootstrap < 1)
        return SONDE_STATUS_OK;
    return sonde_probe_metric_interval(s->metric, &answers, s->options.n_bootstrap,
                                       s->run->args->seed, &report->low, &report->high, error);
}

/* The control task is learnt with the penalty that the task got, so that the two differ in their
 * labels alone. */
static enum sonde_status judge_control(const struct sonde_supervised *s,
                                       struct sonde_stream_report *report,
                                       struct sonde_features *features,
                                       struct answer_arrays *arrays, struct sonde_error *error)
{
    const struct sonde_dataset *d = s->dataset;
    int32_t *target = calloc((size_t)d->n + 1, sizeof(*target));
    double *real = calloc((size_t)d->n + 1, sizeof(*real));
    struct sonde_linear_model model = { 0 };
    struct sonde_fit_report fit_report;
    enum sonde_status status =
        target && real ? SONDE_STATUS_OK : sonde_error_memory(error, "the control task");
    if (!status) {
        sonde_supervised_control(s, target, real);
        struct labelling labelling = { .target = target, .real = real };
        struct sonde_fit_problem problem = training(s, features, &labelling);
        struct sonde_fit_options fit = fit_options(s, report->l2, "control task");
        status = sonde_linear_fit(&problem, &fit, NULL, &model, &fit_report, error);
        if (!status)
            status = answer(s, &model, features, &labelling, arrays, error);
    }
    if (!status) {
        struct sonde_probe_answers answers = view_answers(arrays, d, model.rows == 1);
        report->control = sonde_probe_metric_value(s->metric, &answers, NULL, answers.n);
    }
    sonde_linear_model_finish(&model);
    free(target);
    free(real);
    return status;
}

static enum sonde_status over_budget(const struct sonde_supervised *s,
                                     const struct sonde_stream *stream, double fixed,
                                     double per_slot, struct sonde_error *error)
{
    double need = fmax(2 * fmax(fixed, per_slot), 4 * (fixed + per_slot) / 3) +
                  (double)s->dataset->n * SAMPLE_BYTES;
    char text[2][SONDE_FORMAT_F64_MAX];
    sonde_format_bytes(text[0], need < 9e18 ? (int64_t)need : INT64_MAX);
    sonde_format_bytes(text[1], s->mem_bytes);
    return sonde_error_set(error, SONDE_STATUS_LIMIT,
                           "%s: a fit of %lld features and %lld classes to %lld samples needs a "
                           "memory budget of %s, it has %s",
                           stream->name, (long long)stream->width, (long long)s->dataset->n_targets,
                           (long long)s->dataset->n, text[0], text[1]);
}

/* Half of the budget at most is for the fit; what it leaves holds the rows. */
static enum sonde_status open_features(const struct sonde_supervised *s,
                                       struct sonde_source *source, int64_t stream,
                                       struct sonde_features *out, struct sonde_error *error)
{
    const struct sonde_dataset *d = s->dataset;
    int64_t mem = s->mem_bytes - d->n * SAMPLE_BYTES, fixed, per_slot;
    int64_t n_targets = d->task == SONDE_TASK_CLASS ? d->n_targets : 0;
    sonde_linear_fit_bytes(s->options.method, n_targets, source->streams[stream].width,
                           sonde_pool_threads(s->run->args->pool), &fixed, &per_slot);
    if (fixed > mem / 2 || per_slot > mem / 2 || fixed + per_slot > mem / 2 + mem / 4)
        return over_budget(s, &source->streams[stream], (double)fixed, (double)per_slot, error);
    int64_t n_slots = (mem / 2 - fixed) / per_slot;
    int64_t wanted = (int64_t)16 * sonde_pool_threads(s->run->args->pool);
    n_slots = n_slots < 1 ? 1 : n_slots > wanted ? wanted : n_slots;
    struct sonde_feature_rows rows = sonde_dataset_rows(d);
    /* A closed form for a given penalty is one pass; all else comes back to the rows. */
    rows.once = s->options.method != SONDE_LINEAR_LOGISTIC && s->options.l2 >= 0 &&
                !s->options.control && !s->options.save_direction;
    return sonde_features_open_lazy(out, source, stream, &rows, mem - fixed - n_slots * per_slot,
                                    n_slots, s->run->args->pool, error);
}

/* The same probe on the same rows of a model that has learnt nothing. */
static enum sonde_status judge_baseline(const struct sonde_supervised *s,
                                        struct sonde_stream_report *report,
                                        struct answer_arrays *arrays, struct sonde_error *error)
{
    const char *name = s->run->args->source->streams[report->stream].name;
    int64_t stream = sonde_source_find_stream(s->baseline, name);
    if (stream < 0)
        return sonde_error_set(error, SONDE_STATUS_NOT_FOUND,
                               "the random-weights baseline has no stream %s", name);
    struct sonde_features features = { 0 };
    enum sonde_status status = open_features(s, s->baseline, stream, &features, error);
    if (status)
        return status;
    struct labelling own = { .target = s->dataset->target, .real = s->dataset->real };
    struct sonde_fit_problem problem = training(s, &features, &own);
    struct sonde_linear_model model = { 0 };
    struct sonde_fit_report fit_report;
    double l2;
    status = find_l2(s, &problem, NULL, &l2, error);
    if (!status) {
        struct sonde_fit_options fit = fit_options(s, l2, "random weights");
        status = sonde_linear_fit(&problem, &fit, NULL, &model, &fit_report, error);
    }
    if (!status)
        status = answer(s, &model, &features, &own, arrays, error);
    if (!status) {
        struct sonde_probe_answers answers = view_answers(arrays, s->dataset, model.rows == 1);
        report->random_weights = sonde_probe_metric_value(s->metric, &answers, NULL, answers.n);
    }
    sonde_linear_model_finish(&model);
    sonde_features_close(&features);
    return status;
}

/* What the covariance and the mean difference found in the stream's own units; the weights of a
 * probe that was fitted. */
static enum sonde_status find_direction(const struct sonde_supervised *s,
                                        struct sonde_features *features,
                                        struct sonde_stream_report *report,
                                        struct sonde_error *error)
{
    const struct sonde_dataset *d = s->dataset;
    bool moves = s->options.method == SONDE_LINEAR_COVARIANCE ||
                 s->options.method == SONDE_LINEAR_MEAN_DIFFERENCE;
    size_t width = (size_t)features->width;
    double *y = malloc((size_t)(d->n + 1) * sizeof(*y));
    report->direction = malloc(width * sizeof(double));
    enum sonde_status status =
        y && report->direction ? SONDE_STATUS_OK : sonde_error_memory(error, "the direction");
    for (int64_t i = 0; i < d->n && !status; i++)
        y[i] = d->task == SONDE_TASK_REAL ? d->real[i] : (double)d->target[i];
    if (!status && moves)
        status = sonde_direction_fit(features, d->train, d->n_train, y, report->direction, error);
    else if (!status)
        memcpy(report->direction, report->model.weight, width * sizeof(double));
    free(y);
    return status;
}

static enum sonde_status train(const struct sonde_supervised *s, struct sonde_features *features,
                               struct sonde_stream_report *report, struct sonde_error *error)
{
    struct labelling own = { .target = s->dataset->target, .real = s->dataset->real };
    struct sonde_fit_problem problem = training(s, features, &own);
    struct sonde_fit_report fit_report;
    enum sonde_status status = find_l2(s, &problem, report, &report->l2, error);
    if (status)
        return status;
    struct sonde_fit_options fit = fit_options(s, report->l2, "fit");
    status = sonde_linear_fit(&problem, &fit, NULL, &report->model, &fit_report, error);
    if (status)
        return status;
    report->iterations = fit_report.iterations;
    report->loss = fit_report.loss;
    report->stopped_early = fit_report.end == SONDE_MINIMISE_MAX_ITERATIONS;
    return s->options.save_direction ? find_direction(s, features, report, error) : SONDE_STATUS_OK;
}

enum sonde_status sonde_supervised_stream(struct sonde_supervised *s, int64_t i,
                                          struct sonde_error *error)
{
    struct sonde_stream_report *report = &s->report[i];
    struct sonde_source *source = s->run->args->source;
    const struct sonde_stream *stream = &source->streams[report->stream];
    struct sonde_features features = { 0 };
    struct answer_arrays arrays = { 0 };
    enum sonde_status status = open_features(s, source, report->stream, &features, error);
    if (status)
        return status;
    status = new_answers(&arrays, s->dataset, error);
    if (!status && s->loaded)
        status =
            sonde_loaded_probe_model(s->loaded, stream->name, stream->width, &report->model, error);
    else if (!status)
        status = train(s, &features, report, error);
    if (!status)
        status = judge_task(s, report, &features, &arrays, error);
    if (!status && s->options.control && !s->loaded)
        status = judge_control(s, report, &features, &arrays, error);
    sonde_features_close(&features);
    if (!status && s->baseline)
        status = judge_baseline(s, report, &arrays, error);
    free_answers(&arrays);
    if (status)
        sonde_error_prepend(error, "%s", stream->name);
    return status;
}

enum sonde_status sonde_supervised_majority(const struct sonde_supervised *s, double *out,
                                            struct sonde_error *error)
{
    const struct sonde_dataset *d = s->dataset;
    const int64_t *known = d->n_train > 0 ? d->train : d->test;
    int64_t n_known = d->n_train > 0 ? d->n_train : d->n_test;
    struct answer_arrays arrays;
    int64_t *count = calloc((size_t)d->n_classes + 1, sizeof(*count));
    enum sonde_status status = new_answers(&arrays, d, error);
    if (status || !count) {
        if (!status)
            free_answers(&arrays);
        free(count);
        return status ? status : sonde_error_memory(error, "the majority");
    }
    double mean = 0.0;
    int32_t most = 0;
    for (int64_t i = 0; i < n_known; i++) {
        mean += d->real[known[i]] / (double)n_known;
        if (d->task == SONDE_TASK_CLASS)
            count[d->class_of[known[i]]]++;
    }
    for (int32_t c = 1; c < d->n_classes; c++)
        most = count[c] > count[most] ? c : most;
    for (int64_t i = 0; i < d->n_test; i++) {
        arrays.truth[i] = d->class_of[d->test[i]];
        arrays.predicted[i] = most;
        arrays.binary[i] = d->target[d->test[i]];
        arrays.real[i] = d->real[d->test[i]];
        arrays.score[i] = mean;
    }
    struct sonde_probe_answers answers = view_answers(&arrays, d, d->n_targets == 2);
    *out = sonde_probe_metric_value(s->metric, &answers, NULL, answers.n);
    free_answers(&arrays);
    free(count);
    return SONDE_STATUS_OK;
}
