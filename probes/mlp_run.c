/* The fits of the mlp probe: streams are loaded as many at a time as threads can use and memory
 * allows; their fits are jobs that the threads take one after the other, the longest first. Where
 * there are fewer jobs than threads, all threads work on one job after the other. */
#include <assert.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/num.h"
#include "probes/mlp_probe.h"

/* What a sample takes in the data set, the lists and the answers. */
enum { SAMPLE_BYTES = 260 };

struct job {
    struct sonde_mlp_data data;
    struct sonde_mlp_options options;
    int64_t stream; /* of the probe's list */
    int shape;
    bool control;
    int64_t cost;
    struct sonde_mlp_fit fit;
    enum sonde_status status;
    struct sonde_error error;
};

struct crew {
    struct sonde_mlp_probe *p;
    struct job **job; /* [n], by falling cost */
    int64_t n;
    atomic_llong next, n_done, n_epochs;
    atomic_bool stop;
    int64_t total_epochs;
    int64_t first_stream;
    struct sonde_mlp_team team; /* where there are fewer jobs than threads */
};
struct hand {
    struct crew *crew;
    bool may_report; /* runs on the caller's thread */
};

static bool report_progress(struct crew *crew)
{
    const struct sonde_progress *progress = crew->p->s.run->args->progress;
    if (!sonde_progress_update(progress, "epochs", atomic_load(&crew->n_epochs), crew->total_epochs,
                               "epochs"))
        atomic_store(&crew->stop, true);
    return !atomic_load(&crew->stop);
}

static bool epoch_done(void *ctx)
{
    const struct hand *hand = ctx;
    atomic_fetch_add(&hand->crew->n_epochs, 1);
    return hand->may_report ? report_progress(hand->crew) : !atomic_load(&hand->crew->stop);
}

static void run_job(struct crew *crew, struct job *job, struct hand *hand,
                    struct sonde_mlp_team *team)
{
    job->options.epoch_done = epoch_done;
    job->options.ctx = hand;
    job->options.team = team;
    job->status = sonde_mlp_train(&job->data, &job->options, &job->fit, &job->error);
    if (job->status)
        atomic_store(&crew->stop, true);
    atomic_fetch_add(&crew->n_done, 1);
}

/* One thread's share: job after job. The caller's thread stays until all are done, so that a wish
 * to stop is heard. */
static void work(void *ctx, int64_t i, int worker)
{
    (void)i;
    struct crew *crew = ctx;
    struct hand hand = { .crew = crew, .may_report = worker == 0 };
    for (;;) {
        long long at = atomic_fetch_add(&crew->next, 1);
        if (at >= crew->n)
            break;
        run_job(crew, crew->job[at], &hand, NULL);
    }
    while (worker == 0 && atomic_load(&crew->n_done) < crew->n) {
        const struct timespec pause = { .tv_nsec = 20000000 };
        nanosleep(&pause, NULL);
        report_progress(crew);
    }
}

/* The caller's thread leads every job, the others help. */
static void work_together(void *ctx, int64_t i, int worker)
{
    (void)i;
    struct crew *crew = ctx;
    struct hand hand = { .crew = crew, .may_report = true };
    if (worker > 0) {
        sonde_mlp_team_help(&crew->team);
        return;
    }
    for (int64_t at = 0; at < crew->n; at++)
        run_job(crew, crew->job[at], &hand, &crew->team);
    sonde_mlp_team_end(&crew->team);
}

static int longest_first(const void *a, const void *b)
{
    const struct job *x = *(struct job *const *)a, *y = *(struct job *const *)b;
    if (x->cost != y->cost)
        return x->cost < y->cost ? 1 : -1;
    return (x > y) - (x < y);
}

/* The first failure in the order of the jobs; a stop that it caused in others is not one. */
static enum sonde_status first_failure(const struct job *job, int64_t n, struct sonde_error *error)
{
    const struct job *failed = NULL;
    for (int64_t i = 0; i < n; i++)
        if (job[i].status && (!failed || failed->status == SONDE_STATUS_CANCELLED))
            failed = &job[i];
    if (!failed)
        return SONDE_STATUS_OK;
    *error = failed->error;
    return failed->status;
}

static enum sonde_status run_jobs(struct sonde_mlp_probe *p, struct job *job, int64_t n,
                                  int64_t first_stream, struct sonde_error *error)
{
    struct crew crew = { .p = p, .n = n, .first_stream = first_stream };
    crew.job = malloc((size_t)n * sizeof(*crew.job));
    if (!crew.job)
        return sonde_error_memory(error, "the fits");
    for (int64_t i = 0; i < n; i++)
        crew.job[i] = &job[i];
    qsort(crew.job, (size_t)n, sizeof(*crew.job), longest_first);
    int64_t per_stream = p->settings.n_shapes * (p->s.options.control ? 2 : 1);
    crew.total_epochs = p->settings.epochs * per_stream * p->s.n_streams;
    atomic_init(&crew.n_epochs, p->settings.epochs * per_stream * first_stream);
    const int threads = sonde_pool_threads(p->s.run->args->pool);
    sonde_mlp_team_init(&crew.team, threads);
    sonde_pool_run(p->s.run->args->pool, threads, n < threads ? work_together : work, &crew);
    free(crew.job);
    return first_failure(job, n, error);
}

/* Standardises the cached rows where they are. */
static enum sonde_status standardise(const struct sonde_mlp_probe *p, struct sonde_features *f,
                                     struct sonde_error *error)
{
    const struct sonde_dataset *d = p->s.dataset;
    struct sonde_scaler scaler = { 0 };
    if (p->settings.scale == SONDE_MLP_SCALE_NONE)
        return SONDE_STATUS_OK;
    int64_t *all = malloc((size_t)(d->n + 1) * sizeof(*all));
    if (!all)
        return sonde_error_memory(error, "the standardisation");
    for (int64_t i = 0; i < d->n; i++)
        all[i] = i;
    bool train = p->settings.scale == SONDE_MLP_SCALE_TRAIN;
    enum sonde_status status =
        sonde_scaler_fit(&scaler, f, train ? d->train : all, train ? d->n_train : d->n, error);
    free(all);
    if (!status)
        sonde_scaler_apply(&scaler, f->cached, f->cached, d->n, f->width);
    sonde_scaler_finish(&scaler);
    return status;
}

/* Bytes of a stream whose rows are all in memory, with the read buffer and one block a thread. */
static double stream_bytes(const struct sonde_mlp_probe *p, int64_t i)
{
    const struct sonde_stream *stream = &p->s.run->args->source->streams[p->s.stream[i]];
    double blocks = 1024 + SONDE_FEATURES_BLOCK * sonde_pool_threads(p->s.run->args->pool);
    return 4.0 * (double)stream->width * ((double)p->s.dataset->n + blocks);
}

static enum sonde_status load(const struct sonde_mlp_probe *p, int64_t i,
                              struct sonde_features *out, struct sonde_error *error)
{
    struct sonde_feature_rows rows = sonde_dataset_rows(p->s.dataset);
    const struct sonde_probe_run_args *args = p->s.run->args;
    enum sonde_status status =
        sonde_features_open(out, args->source, p->s.stream[i], &rows, (int64_t)stream_bytes(p, i),
                            sonde_pool_threads(args->pool), args->pool, error);
    if (status)
        return status;
    assert(out->cached);
    return standardise(p, out, error);
}

static struct sonde_mlp_options options_of(const struct sonde_mlp_probe *p, int shape)
{
    const struct sonde_mlp_settings *o = &p->settings;
    return (struct sonde_mlp_options){
        .hidden = o->shape[shape],
        .rule = o->rule,
        .batch = o->batch,
        .epochs = o->epochs,
        .patience = o->patience,
        .stop_after = o->stop_after,
        .last = o->select == SONDE_MLP_SELECT_LAST,
        .seed = p->s.run->args->seed,
    };
}

static struct sonde_mlp_data data_of(const struct sonde_mlp_probe *p,
                                     const struct sonde_features *f, bool control)
{
    const struct sonde_dataset *d = p->s.dataset;
    bool real = d->task == SONDE_TASK_REAL;
    return (struct sonde_mlp_data){
        .x = f->cached,
        .width = f->width,
        .train = p->train,
        .n_train = p->n_train,
        .validation = p->validation,
        .n_validation = p->n_validation,
        .test = d->test,
        .n_test = d->n_test,
        .target = real      ? NULL
                  : control ? p->control_target
                            : d->target,
        .real = real ? (control ? p->control_real : d->real) : NULL,
        .n_targets = real ? 0 : d->n_targets,
    };
}

struct answer_arrays {
    int32_t *truth, *predicted, *binary; /* [n_test] each */
    double *real;
    int64_t *group;
};

static void free_answers(struct answer_arrays *a)
{
    free(a->truth);
    free(a->predicted);
    free(a->binary);
    free(a->real);
    free(a->group);
}

static enum sonde_status fill_answers(const struct sonde_mlp_probe *p, const struct job *job,
                                      struct answer_arrays *a, struct sonde_probe_answers *out,
                                      struct sonde_error *error)
{
    const struct sonde_dataset *d = p->s.dataset;
    bool real = d->task == SONDE_TASK_REAL;
    size_t n = (size_t)d->n_test + 1;
    *a = (struct answer_arrays){
        .truth = malloc(n * sizeof(int32_t)),
        .predicted = malloc(n * sizeof(int32_t)),
        .binary = malloc(n * sizeof(int32_t)),
        .real = malloc(n * sizeof(double)),
        .group = malloc(n * sizeof(int64_t)),
    };
    if (!a->truth || !a->predicted || !a->binary || !a->real || !a->group)
        return sonde_error_memory(error, "the answers");
    for (int64_t i = 0; i < d->n_test; i++) {
        int64_t sample = d->test[i];
        a->group[i] = d->group[sample];
        if (real) {
            a->real[i] = job->data.real[sample];
            continue;
        }
        int32_t target = job->data.target[sample];
        a->truth[i] = job->control ? d->target_class[target] : d->class_of[sample];
        a->predicted[i] = d->target_class[job->fit.predicted[i]];
        a->binary[i] = target;
    }
    *out = (struct sonde_probe_answers){
        .n = d->n_test,
        .n_classes = d->n_classes,
        .truth = real ? NULL : a->truth,
        .predicted = real ? NULL : a->predicted,
        .binary = !real && d->n_targets == 2 ? a->binary : NULL,
        .real = real ? a->real : NULL,
        .score = job->fit.score,
        .group = a->group,
    };
    return SONDE_STATUS_OK;
}

/* The shape that did best on the rows that choose stands for the stream in the figures. */
static enum sonde_status keep_best(struct sonde_mlp_probe *p, const struct sonde_mlp_row *row,
                                   const struct sonde_probe_answers *a, struct sonde_error *error)
{
    struct sonde_stream_report *r = &p->s.report[row->stream];
    size_t bytes = (size_t)a->n * sizeof(int32_t);
    free(r->predicted);
    r->predicted = NULL;
    *r = (struct sonde_stream_report){
        .stream = p->s.stream[row->stream],
        .value = row->value,
        .low = row->low,
        .high = row->high,
        .majority = p->majority,
        .control = row->control,
        .random_weights = (double)NAN,
        .l2 = (double)NAN,
        .loss = row->train_loss,
        .iterations = (int)row->n_steps,
        .accuracy = sonde_probe_metric_value(SONDE_PROBE_METRIC_ACCURACY, a, NULL, a->n),
        .macro_f1 = sonde_probe_metric_value(SONDE_PROBE_METRIC_MACRO_F1, a, NULL, a->n),
        .auroc = sonde_probe_metric_value(SONDE_PROBE_METRIC_AUROC, a, NULL, a->n),
        .r2 = sonde_probe_metric_value(SONDE_PROBE_METRIC_R2, a, NULL, a->n),
        .spearman = sonde_probe_metric_value(SONDE_PROBE_METRIC_SPEARMAN, a, NULL, a->n),
    };
    if (!a->predicted)
        return SONDE_STATUS_OK;
    r->predicted = malloc(bytes + 1);
    if (!r->predicted)
        return sonde_error_memory(error, "the answers");
    memcpy(r->predicted, a->predicted, bytes);
    return SONDE_STATUS_OK;
}

/* The row of one stream and shape, from the task's job and the control's (or NULL). */
static enum sonde_status judge(struct sonde_mlp_probe *p, const struct job *job,
                               const struct job *control, struct sonde_error *error)
{
    const struct sonde_mlp_fit *fit = &job->fit;
    struct answer_arrays arrays = { 0 };
    struct sonde_probe_answers answers;
    struct sonde_mlp_row *row = &p->row[job->stream * p->settings.n_shapes + job->shape];
    *row = (struct sonde_mlp_row){
        .stream = job->stream,
        .shape = job->shape,
        .n_parameters = fit->net.n_parameters,
        .n_steps = fit->n_steps,
        .epoch = fit->chosen + 1,
        .low = (double)NAN,
        .high = (double)NAN,
        .control = (double)NAN,
        .validation = fit->epoch[fit->chosen].validation_value,
        .train_loss = fit->epoch[fit->chosen].train_loss,
    };
    enum sonde_status status = SONDE_STATUS_OK;
    if (control) {
        status = fill_answers(p, control, &arrays, &answers, error);
        if (!status)
            row->control = sonde_probe_metric_value(p->s.metric, &answers, NULL, answers.n);
        free_answers(&arrays);
    }
    if (status)
        return status;
    status = fill_answers(p, job, &arrays, &answers, error);
    if (!status)
        row->value = sonde_probe_metric_value(p->s.metric, &answers, NULL, answers.n);
    if (!status && p->s.options.n_bootstrap > 0)
        status = sonde_probe_metric_interval(p->s.metric, &answers, p->s.options.n_bootstrap,
                                             p->s.run->args->seed, &row->low, &row->high, error);
    bool best = true;
    for (int k = 0; k < job->shape && best; k++)
        best = row->validation > p->row[job->stream * p->settings.n_shapes + k].validation;
    if (!status && best)
        status = keep_best(p, row, &answers, error);
    free_answers(&arrays);
    if (status)
        return status;
    sonde_mlp_probe_put_row(p, row);
    sonde_mlp_probe_put_epochs(p, job->stream, job->shape, false, fit);
    if (control)
        sonde_mlp_probe_put_epochs(p, job->stream, job->shape, true, &control->fit);
    return SONDE_STATUS_OK;
}

/* Streams [first, first + n): load, fit, judge. */
static enum sonde_status fit_streams(struct sonde_mlp_probe *p, int64_t first, int64_t n,
                                     struct sonde_error *error)
{
    int n_kinds = p->s.options.control ? 2 : 1, n_shapes = p->settings.n_shapes;
    int64_t n_jobs = n * n_shapes * n_kinds;
    struct sonde_features *features = calloc((size_t)n, sizeof(*features));
    struct job *job = calloc((size_t)n_jobs, sizeof(*job));
    enum sonde_status status =
        features && job ? SONDE_STATUS_OK : sonde_error_memory(error, "the fits");
    for (int64_t i = 0; i < n && !status; i++) {
        status = load(p, first + i, &features[i], error);
        for (int k = 0; k < n_shapes * n_kinds && !status; k++) {
            struct job *j = &job[i * n_shapes * n_kinds + k];
            j->stream = first + i;
            j->shape = k / n_kinds;
            j->control = k % n_kinds != 0;
            j->data = data_of(p, &features[i], j->control);
            j->options = options_of(p, j->shape);
            int64_t n_out = j->data.n_targets ? j->data.n_targets : 1;
            j->cost = sonde_mlp_count(j->data.width, &j->options.hidden, n_out);
        }
    }
    if (!status)
        status = run_jobs(p, job, n_jobs, first, error);
    for (int64_t k = 0; k < n_jobs && !status; k += n_kinds)
        status = judge(p, &job[k], n_kinds == 2 ? &job[k + 1] : NULL, error);
    for (int64_t k = 0; job && k < n_jobs; k++)
        sonde_mlp_fit_finish(&job[k].fit);
    for (int64_t i = 0; features && i < n; i++)
        sonde_features_close(&features[i]);
    free(features);
    free(job);
    return status;
}

static enum sonde_status over_budget(const struct sonde_mlp_probe *p, int64_t i, double need,
                                     struct sonde_error *error)
{
    const struct sonde_stream *stream = &p->s.run->args->source->streams[p->s.stream[i]];
    char text[2][SONDE_FORMAT_F64_MAX];
    sonde_format_bytes(text[0], need < 9e18 ? (int64_t)need : INT64_MAX);
    sonde_format_bytes(text[1], p->s.mem_bytes);
    return sonde_error_set(error, SONDE_STATUS_LIMIT,
                           "%s: minibatches in a random order of %lld samples of %lld features "
                           "need a memory budget of %s, it has %s",
                           stream->name, (long long)p->s.dataset->n, (long long)stream->width,
                           text[0], text[1]);
}

/* Bytes of a stream's fits: what runs at once, and what is left of all. */
static double fit_bytes(const struct sonde_mlp_probe *p, int64_t i)
{
    const struct sonde_dataset *d = p->s.dataset;
    int64_t width = p->s.run->args->source->streams[p->s.stream[i]].width;
    int64_t n_targets = d->task == SONDE_TASK_REAL ? 0 : d->n_targets;
    int kinds = p->s.options.control ? 2 : 1;
    int64_t n_jobs = (int64_t)p->settings.n_shapes * kinds, running, left;
    int64_t threads = sonde_pool_threads(p->s.run->args->pool);
    double most = 0.0, all = 0.0;
    for (int k = 0; k < p->settings.n_shapes; k++) {
        struct sonde_mlp_options options = options_of(p, k);
        sonde_mlp_fit_bytes(width, n_targets, &options, p->n_train, d->n_test, &running, &left);
        most = fmax(most, (double)running);
        all += (double)left * kinds;
    }
    return most * (double)(threads < n_jobs ? threads : n_jobs) + all;
}

enum sonde_status sonde_mlp_probe_fit(struct sonde_mlp_probe *p, struct sonde_error *error)
{
    int64_t threads = sonde_pool_threads(p->s.run->args->pool);
    double samples = (double)p->s.dataset->n * SAMPLE_BYTES, mem = (double)p->s.mem_bytes;
    for (int64_t first = 0; first < p->s.n_streams;) {
        double need = samples;
        int64_t n = 0;
        for (; first + n < p->s.n_streams && n < threads; n++) {
            double more = stream_bytes(p, first + n) + fit_bytes(p, first + n);
            if (need + more > mem)
                break;
            need += more;
        }
        if (n == 0)
            return over_budget(p, first, samples + stream_bytes(p, first) + fit_bytes(p, first),
                               error);
        enum sonde_status status = fit_streams(p, first, n, error);
        if (status)
            return status;
        first += n;
    }
    return SONDE_STATUS_OK;
}
