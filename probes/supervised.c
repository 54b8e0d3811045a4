#include "probes/supervised.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/split.h"
#include "core/base/num.h"
#include "probes/direction.h"
#include "probes/select.h"

static enum sonde_status read_l2(const struct sonde_builtin *run,
                                 struct sonde_supervised_options *o, struct sonde_error *error)
{
    const char *penalty = sonde_builtin_text(run, "penalty");
    const char *l2 = sonde_builtin_text(run, "l2");
    if (!l2)
        return SONDE_STATUS_OK;
    bool is_auto = strcmp(l2, "auto") == 0;
    o->l1 = penalty && strcmp(penalty, "l1") == 0;
    o->l2 = is_auto ? -1.0 : 0.0;
    if (!is_auto && (!sonde_parse_f64(l2, strlen(l2), &o->l2) || !(o->l2 >= 0)))
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "--l2 \"%s\": expected auto or a number from 0", l2);
    if ((penalty && strcmp(penalty, "none") == 0) || o->method == SONDE_LINEAR_MEAN_DIFFERENCE ||
        o->method == SONDE_LINEAR_COVARIANCE)
        o->l2 = 0.0;
    return SONDE_STATUS_OK;
}

static enum sonde_pooling pooling_of(const char *text)
{
    return strcmp(text, "mean") == 0    ? SONDE_POOLING_MEAN
           : strcmp(text, "first") == 0 ? SONDE_POOLING_FIRST
                                        : SONDE_POOLING_LAST;
}

static enum sonde_status read_numbers(const struct sonde_builtin *run,
                                      struct sonde_supervised_options *o, struct sonde_error *error)
{
    int64_t folds = 0, iterations = 0;
    enum sonde_status status = sonde_builtin_integer(run, "folds", 2, 100, &folds, error);
    if (!status)
        status = sonde_builtin_real(run, "test-share", 0.01, 0.99, &o->test_share, error);
    if (!status)
        status = sonde_builtin_integer(run, "bootstrap", 0, 1000000, &o->n_bootstrap, error);
    if (!status && o->method == SONDE_LINEAR_LOGISTIC) {
        status = sonde_builtin_integer(run, "max-iterations", 1, 1000000, &iterations, error);
        if (!status)
            status = sonde_builtin_real(run, "tolerance", 1e-14, 1, &o->tolerance, error);
    }
    o->n_folds = (int)folds;
    o->max_iterations = (int)iterations;
    return status;
}

static enum sonde_status read_options(const struct sonde_builtin *run,
                                      struct sonde_supervised_options *o, struct sonde_error *error)
{
    const char *task = sonde_builtin_text(run, "task");
    o->streams = sonde_builtin_text(run, "streams");
    o->labels = sonde_builtin_text(run, "labels");
    o->save = sonde_builtin_text(run, "save");
    o->load = sonde_builtin_text(run, "load");
    o->mask = sonde_builtin_text(run, "mask");
    o->save_direction = sonde_builtin_text(run, "save-direction");
    o->as_is = sonde_builtin_flag(run, "no-standardise");
    o->control = sonde_builtin_flag(run, "control");
    o->random_weights = sonde_builtin_flag(run, "baseline");
    o->per_class = sonde_builtin_flag(run, "per-class");
    o->keep_special = sonde_builtin_flag(run, "keep-special");
    const char *split = sonde_builtin_text(run, "split");
    const char *kind = sonde_builtin_text(run, "control-labels");
    const char *protocol = sonde_builtin_text(run, "protocol");
    bool paper = protocol && strcmp(protocol, "emergent-stack") == 0;
    o->by_position = split ? strcmp(split, "position") == 0 : paper;
    bool uniform = kind ? strcmp(kind, "uniform") == 0 : paper;
    o->control_kind = uniform ? SONDE_CONTROL_UNIFORM : SONDE_CONTROL_WORD_TYPE;
    const char *metric = sonde_builtin_text(run, "metric");
    o->pooling = pooling_of(sonde_builtin_text(run, "pool"));
    o->metric = metric ? sonde_probe_metric_from_name(metric) : SONDE_PROBE_METRIC_AUTO;
    if (task)
        o->task = strcmp(task, "class") == 0  ? SONDE_TASK_CLASS
                  : strcmp(task, "real") == 0 ? SONDE_TASK_REAL
                                              : SONDE_TASK_AUTO;
    if (o->method == SONDE_LINEAR_RIDGE || o->method == SONDE_LINEAR_COVARIANCE)
        o->task = SONDE_TASK_REAL;
    if (!o->labels)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT, "--labels is missing");
    if (o->save && o->load)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "--save and --load do not go together: nothing is fitted");
    if (o->save_direction && o->load)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "--save-direction and --load do not go together: nothing is fitted");
    if (o->random_weights && o->load)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "--baseline and --load do not go together: nothing is fitted");
    enum sonde_status status = read_l2(run, o, error);
    return status ? status : read_numbers(run, o, error);
}

/* All streams of one probe have a row for the same things. */
static enum sonde_status choose_streams(struct sonde_supervised *s, enum sonde_row_space *space,
                                        struct sonde_error *error)
{
    const struct sonde_source *source = s->run->args->source;
    enum sonde_status status =
        sonde_select_streams(source, s->options.streams, &s->stream, &s->n_streams, error);
    if (status)
        return status;
    *space = source->streams[s->stream[0]].space;
    for (int64_t i = 0; i < s->n_streams; i++) {
        const struct sonde_stream *stream = &source->streams[s->stream[i]];
        bool token = stream->space == SONDE_ROWS_TOKEN;
        if (!token && stream->space != SONDE_ROWS_SEQUENCE)
            return sonde_error_set(error, SONDE_STATUS_UNSUPPORTED,
                                   "%s: a row a %s, expected a token or a sequence", stream->name,
                                   sonde_row_space_name(stream->space));
        if (stream->space != *space)
            return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                                   "%s: a row a %s, but %s has a row a %s: probe them apart",
                                   stream->name, sonde_row_space_name(stream->space),
                                   source->streams[s->stream[0]].name,
                                   sonde_row_space_name(*space));
        if (stream->n_rows != (token ? source->n_tokens : source->n_sequences))
            return sonde_error_set(error, SONDE_STATUS_FORMAT, "%s: %lld rows, expected %lld",
                                   stream->name, (long long)stream->n_rows,
                                   (long long)(token ? source->n_tokens : source->n_sequences));
    }
    return SONDE_STATUS_OK;
}

static enum sonde_status choose_metric(struct sonde_supervised *s, struct sonde_error *error)
{
    const struct sonde_dataset *d = s->dataset;
    bool real = d->task == SONDE_TASK_REAL;
    s->metric = s->options.metric;
    if (s->metric == SONDE_PROBE_METRIC_AUTO)
        s->metric = real ? SONDE_PROBE_METRIC_R2 : SONDE_PROBE_METRIC_ACCURACY;
    bool of_real = s->metric == SONDE_PROBE_METRIC_R2 || s->metric == SONDE_PROBE_METRIC_SPEARMAN;
    if (of_real != real)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT, "--metric %s is not for %s labels",
                               sonde_probe_metric_name(s->metric), real ? "real" : "class");
    if (s->metric == SONDE_PROBE_METRIC_AUROC && d->n_targets != 2)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "--metric auroc needs two classes, there are %lld",
                               (long long)d->n_targets);
    if (real && s->options.method == SONDE_LINEAR_LOGISTIC)
        s->options.method = SONDE_LINEAR_RIDGE;
    if (real && s->options.method != SONDE_LINEAR_RIDGE &&
        s->options.method != SONDE_LINEAR_COVARIANCE && s->options.method != SONDE_LINEAR_NONE)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "label set %s: real labels, expected classes (or --task class)",
                               s->options.labels);
    return SONDE_STATUS_OK;
}

static enum sonde_status open_loaded(struct sonde_supervised *s, struct sonde_error *error)
{
    if (!s->options.load)
        return SONDE_STATUS_OK;
    enum sonde_status status = sonde_loaded_probe_open(&s->loaded, s->options.load, error);
    if (status)
        return status;
    const struct sonde_dataset *d = s->dataset;
    const char *task = d->task == SONDE_TASK_REAL ? "real" : "class";
    if (strcmp(sonde_loaded_probe_task(s->loaded), task) != 0)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "%s: a probe of %s labels, but %s has %s labels", s->options.load,
                               sonde_loaded_probe_task(s->loaded), s->options.labels, task);
    int64_t n = sonde_loaded_probe_n_classes(s->loaded), n_known = 0;
    s->loaded_class = malloc((size_t)(n + 1) * sizeof(*s->loaded_class));
    if (!s->loaded_class)
        return sonde_error_memory(error, "the classes");
    for (int64_t i = 0; i < n; i++) {
        s->loaded_class[i] = -1;
        for (int64_t c = 0; c < d->n_classes; c++)
            if (strcmp(d->class_name[c], sonde_loaded_probe_class(s->loaded, i)) == 0)
                s->loaded_class[i] = (int32_t)c;
        n_known += s->loaded_class[i] >= 0;
    }
    if (d->task == SONDE_TASK_CLASS && n_known == 0)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "%s: none of its %lld classes is in label set %s", s->options.load,
                               (long long)n, s->options.labels);
    return SONDE_STATUS_OK;
}

/* The baseline holds the same tokens in the same rows, or its labels would be others. */
static enum sonde_status open_baseline(struct sonde_supervised *s, struct sonde_error *error)
{
    const struct sonde_probe_run_args *args = s->run->args;
    if (!s->options.random_weights)
        return SONDE_STATUS_OK;
    if (!args->open_baseline)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "--baseline random-weights needs the model: give --model");
    struct sonde_buf patterns = { 0 };
    for (int64_t i = 0; i < s->n_streams; i++)
        sonde_buf_printf(&patterns, "%s%s", i ? "," : "", args->source->streams[s->stream[i]].name);
    enum sonde_status status = sonde_buf_status(&patterns, error);
    if (!status)
        status = args->open_baseline(args->baseline_ctx, "random-weights", patterns.data,
                                     &s->baseline, &s->mem_bytes, error);
    sonde_buf_finish(&patterns);
    if (status)
        return status;
    size_t bytes = (size_t)args->source->n_tokens * sizeof(int32_t);
    if (s->baseline->n_tokens != args->source->n_tokens ||
        s->baseline->n_sequences != args->source->n_sequences ||
        memcmp(s->baseline->token_id, args->source->token_id, bytes) != 0)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "the random-weights baseline has other tokens than the store");
    return SONDE_STATUS_OK;
}

/* One vector is to stand for the label: a real one, or the step from one class to the other. */
static enum sonde_status check_direction(const struct sonde_supervised *s,
                                         struct sonde_error *error)
{
    const struct sonde_dataset *d = s->dataset;
    if (!s->options.save_direction)
        return SONDE_STATUS_OK;
    if (d->task == SONDE_TASK_CLASS && d->n_targets != 2)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "--save-direction: label set %s has %lld classes, expected two or "
                               "real labels (class names that are numbers: ridge or covariance)",
                               s->options.labels, (long long)d->n_targets);
    return sonde_direction_check_place(s->options.save_direction, s->n_streams, error);
}

void sonde_supervised_control(const struct sonde_supervised *s, int32_t *target, double *real)
{
    uint64_t seed = s->run->args->seed;
    if (s->options.control_kind == SONDE_CONTROL_UNIFORM)
        sonde_dataset_control_uniform(s->dataset, seed, target, real);
    else
        sonde_dataset_control(s->dataset, seed, target, real);
}

enum sonde_status sonde_supervised_open(struct sonde_supervised *s, struct sonde_error *error)
{
    enum sonde_row_space space;
    enum sonde_status status = read_options(s->run, &s->options, error);
    if (!status)
        status = choose_streams(s, &space, error);
    if (status)
        return status;
    struct sonde_dataset_options options = {
        .labels = s->options.labels,
        .mask = s->options.mask,
        .task = s->options.task,
        .pooling = s->options.pooling,
        .by_position = s->options.by_position,
        .test_share = s->options.load ? 1.0 : s->options.test_share,
        .keep_special = s->options.keep_special,
        .seed = s->run->args->seed,
    };
    status = sonde_dataset_create(&s->dataset, s->run->args->source, space, &options, error);
    if (!status)
        status = sonde_overlap_count(s->dataset, s->run->args->source, &s->overlap, error);
    if (!status && s->options.control && s->options.control_kind == SONDE_CONTROL_WORD_TYPE)
        status = sonde_split_count_groups(s->dataset->type, s->dataset->n, &s->n_types, error);
    if (!status)
        status = choose_metric(s, error);
    if (!status)
        status = check_direction(s, error);
    if (!status)
        status = open_loaded(s, error);
    if (!status)
        status = open_baseline(s, error);
    if (!status && !(s->report = calloc((size_t)s->n_streams, sizeof(*s->report))))
        status = sonde_error_memory(error, "the report");
    return status;
}

static enum sonde_status save(const struct sonde_supervised *s, struct sonde_error *error);

static enum sonde_status fit_all(struct sonde_supervised *s, struct sonde_error *error)
{
    double majority;
    const double none = (double)NAN;
    enum sonde_status status = sonde_supervised_majority(s, &majority, error);
    for (int64_t i = 0; i < s->n_streams && !status; i++) {
        s->report[i] = (struct sonde_stream_report){
            .stream = s->stream[i],
            .value = none,
            .low = none,
            .high = none,
            .majority = majority,
            .control = none,
            .random_weights = none,
            .l2 = none,
            .loss = none,
        };
        if (!sonde_progress_update(s->run->args->progress, "streams", i, s->n_streams, "streams"))
            status = sonde_error_set(error, SONDE_STATUS_CANCELLED, "stopped");
        else
            status = sonde_supervised_stream(s, i, error);
    }
    if (!status && s->options.save)
        status = save(s, error);
    for (int64_t i = 0; i < s->n_streams && s->options.save_direction && !status; i++)
        status = sonde_direction_save(s->options.save_direction,
                                      &s->run->args->source->streams[s->stream[i]],
                                      s->report[i].direction, error);
    return status ? status : sonde_supervised_report(s, error);
}

/* After writing, the file is read again: what it holds is what answered. */
static enum sonde_status check_saved(const struct sonde_supervised *s, struct sonde_error *error)
{
    struct sonde_loaded_probe *loaded = NULL;
    int64_t n_different = 0;
    enum sonde_status status = sonde_loaded_probe_open(&loaded, s->options.save, error);
    for (int64_t i = 0; i < s->n_streams && !status; i++) {
        const struct sonde_linear_model *model = &s->report[i].model;
        struct sonde_linear_model back = { 0 };
        const char *name = s->run->args->source->streams[s->stream[i]].name;
        status = sonde_loaded_probe_model(loaded, name, model->width, &back, error);
        for (int64_t w = 0; w < model->rows * (model->width + 1) && !status; w++)
            n_different += back.weight[w] != model->weight[w];
        sonde_linear_model_finish(&back);
    }
    sonde_loaded_probe_close(&loaded);
    if (!status)
        sonde_result_check(s->run->result, "saved weights read back bit for bit", n_different == 0,
                           (double)n_different, "0");
    return status;
}

static enum sonde_status save(const struct sonde_supervised *s, struct sonde_error *error)
{
    const struct sonde_dataset *d = s->dataset;
    const char **stream = calloc((size_t)s->n_streams, sizeof(*stream));
    const char **class_name = calloc((size_t)d->n_targets + 1, sizeof(*class_name));
    struct sonde_linear_model *model = calloc((size_t)s->n_streams, sizeof(*model));
    enum sonde_status status = SONDE_STATUS_OK;
    if (!stream || !class_name || !model)
        status = sonde_error_memory(error, "the saved probe");
    for (int64_t i = 0; i < s->n_streams && !status; i++) {
        stream[i] = s->run->args->source->streams[s->stream[i]].name;
        model[i] = s->report[i].model;
    }
    for (int64_t i = 0; i < d->n_targets && !status; i++)
        class_name[i] = d->class_name[d->target_class[i]];
    struct sonde_saved_probe saved = {
        .probe = s->run->result->command,
        .labels = s->options.labels,
        .task = d->task == SONDE_TASK_REAL ? "real" : "class",
        .class_name = class_name,
        .n_classes = d->n_targets,
        .stream = stream,
        .model = model,
        .n_models = s->n_streams,
    };
    if (!status)
        status = sonde_saved_probe_write(&saved, s->options.save, error);
    if (!status)
        status = check_saved(s, error);
    free(stream);
    free(class_name);
    free(model);
    return status;
}

void sonde_supervised_close(struct sonde_supervised *s)
{
    for (int64_t i = 0; s->report && i < s->n_streams; i++) {
        sonde_linear_model_finish(&s->report[i].model);
        free(s->report[i].predicted);
        free(s->report[i].direction);
    }
    free(s->report);
    free(s->stream);
    free(s->loaded_class);
    sonde_loaded_probe_close(&s->loaded);
    if (s->baseline)
        s->baseline->destroy(&s->baseline);
    sonde_dataset_destroy(&s->dataset);
}

enum sonde_status sonde_supervised_run(const struct sonde_builtin *run,
                                       enum sonde_linear_method method, struct sonde_error *error)
{
    struct sonde_supervised s = { .run = run,
                                  .options.method = method,
                                  .mem_bytes = sonde_builtin_mem_bytes(run) };
    enum sonde_status status = sonde_supervised_open(&s, error);
    if (!status)
        status = fit_all(&s, error);
    sonde_supervised_close(&s);
    return status;
}
