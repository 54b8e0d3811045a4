/* What a supervised probe shows: tables layers, metrics, classes and l2, the curve over the
 * streams, the confusion of the best, and the warnings. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "probes/supervised.h"

enum { CONFUSION_CLASSES_MAX = 40 };

static const struct sonde_stream *stream_of(const struct sonde_supervised *s, int64_t i)
{
    return &s->run->args->source->streams[s->report[i].stream];
}

/* Numbers that do not apply stay null. */
static void put_real(struct sonde_table *t, int64_t column, double value)
{
    if (!isnan(value))
        sonde_table_f64(t, column, value);
}

static void put_layers(const struct sonde_supervised *s)
{
    static const char *const columns[] = { "stream",  "layer",       "task",           "metric",
                                           "value",   "ci_low",      "ci_high",        "majority",
                                           "control", "selectivity", "n_train",        "n_test",
                                           "l2",      "iterations",  "random_weights", NULL };
    struct sonde_table *t = sonde_result_add_table(s->run->result, "layers", columns);
    for (int64_t i = 0; i < s->n_streams; i++) {
        const struct sonde_stream_report *r = &s->report[i];
        sonde_table_add_row(t);
        sonde_table_text(t, 0, stream_of(s, i)->name);
        sonde_table_i64(t, 1, stream_of(s, i)->layer);
        sonde_table_text(t, 2, s->options.labels);
        sonde_table_text(t, 3, sonde_probe_metric_name(s->metric));
        put_real(t, 4, r->value);
        put_real(t, 5, r->low);
        put_real(t, 6, r->high);
        put_real(t, 7, r->majority);
        put_real(t, 8, r->control);
        put_real(t, 9, r->value - r->control);
        sonde_table_i64(t, 10, s->dataset->n_train);
        sonde_table_i64(t, 11, s->dataset->n_test);
        put_real(t, 12, r->l2);
        if (!s->loaded)
            sonde_table_i64(t, 13, r->iterations);
        put_real(t, 14, r->random_weights);
    }
}

static void put_metrics(const struct sonde_supervised *s)
{
    static const char *const columns[] = { "stream", "accuracy", "macro_f1",   "auroc",
                                           "r2",     "spearman", "train_loss", NULL };
    struct sonde_table *t = sonde_result_add_table(s->run->result, "metrics", columns);
    for (int64_t i = 0; i < s->n_streams; i++) {
        const struct sonde_stream_report *r = &s->report[i];
        sonde_table_add_row(t);
        sonde_table_text(t, 0, stream_of(s, i)->name);
        put_real(t, 1, r->accuracy);
        put_real(t, 2, r->macro_f1);
        put_real(t, 3, r->auroc);
        put_real(t, 4, r->r2);
        put_real(t, 5, r->spearman);
        put_real(t, 6, r->loss);
    }
}

static void put_l2(const struct sonde_supervised *s)
{
    static const char *const columns[] = { "stream", "l2", "validation_loss", "chosen", NULL };
    struct sonde_table *t = NULL;
    for (int64_t i = 0; i < s->n_streams; i++) {
        const struct sonde_stream_report *r = &s->report[i];
        if (!r->has_path)
            continue;
        if (!t)
            t = sonde_result_add_table(s->run->result, "l2", columns);
        for (int k = 0; k < r->path.n_shares; k++) {
            if (isnan(r->path.loss[k]))
                continue;
            sonde_table_add_row(t);
            sonde_table_text(t, 0, stream_of(s, i)->name);
            sonde_table_f64(t, 1, r->path.share[k] * (double)s->dataset->n_train);
            sonde_table_f64(t, 2, r->path.loss[k]);
            sonde_table_bool(t, 3, k == r->path.best);
        }
    }
}

static int64_t best_stream(const struct sonde_supervised *s)
{
    int64_t best = 0;
    for (int64_t i = 1; i < s->n_streams; i++)
        if (s->report[i].value > s->report[best].value || isnan(s->report[best].value))
            best = i;
    return best;
}

static enum sonde_status put_classes(const struct sonde_supervised *s, int64_t best,
                                     struct sonde_error *error)
{
    static const char *const columns[] = { "stream", "class",   "precision", "recall",
                                           "f1",     "support", NULL };
    const struct sonde_dataset *d = s->dataset;
    struct sonde_class_score *score = calloc((size_t)d->n_classes + 1, sizeof(*score));
    int32_t *truth = malloc((size_t)(d->n_test + 1) * sizeof(*truth));
    if (!score || !truth) {
        free(score);
        free(truth);
        return sonde_error_memory(error, "the table of classes");
    }
    for (int64_t i = 0; i < d->n_test; i++)
        truth[i] = d->class_of[d->test[i]];
    struct sonde_table *t = sonde_result_add_table(s->run->result, "classes", columns);
    for (int64_t i = 0; i < s->n_streams; i++) {
        if (i != best && !s->options.per_class)
            continue;
        struct sonde_probe_answers answers = { .n = d->n_test,
                                               .n_classes = d->n_classes,
                                               .truth = truth,
                                               .predicted = s->report[i].predicted };
        sonde_probe_class_scores(&answers, NULL, d->n_test, score);
        for (int64_t c = 0; c < d->n_classes; c++) {
            if (score[c].support == 0 && score[c].predicted == 0)
                continue;
            sonde_table_add_row(t);
            sonde_table_text(t, 0, stream_of(s, i)->name);
            sonde_table_text(t, 1, d->class_name[c]);
            put_real(t, 2, score[c].precision);
            put_real(t, 3, score[c].recall);
            put_real(t, 4, score[c].f1);
            sonde_table_i64(t, 5, score[c].support);
        }
    }
    free(score);
    free(truth);
    return SONDE_STATUS_OK;
}

struct class_count {
    int64_t count;
    int32_t number;
};

static int more_frequent(const void *a, const void *b)
{
    const struct class_count *x = a, *y = b;
    if (x->count != y->count)
        return x->count < y->count ? 1 : -1;
    return (x->number > y->number) - (x->number < y->number);
}

/* place [n_classes]: row of the class in the confusion, -1 = not drawn; order [n]: the classes. */
static int64_t place_classes(const struct sonde_dataset *d, const int32_t *predicted,
                             int32_t *place, struct class_count *count)
{
    for (int32_t c = 0; c < d->n_classes; c++) {
        count[c] = (struct class_count){ .number = c };
        place[c] = -1;
    }
    for (int64_t i = 0; i < d->n_test; i++) {
        count[d->class_of[d->test[i]]].count++;
        count[predicted[i]].count++;
    }
    qsort(count, (size_t)d->n_classes, sizeof(*count), more_frequent);
    int64_t n = 0;
    while (n < d->n_classes && n < CONFUSION_CLASSES_MAX && count[n].count > 0) {
        place[count[n].number] = (int32_t)n;
        n++;
    }
    return n;
}

/* Rows: true class; a row's cells are shares of its rows, so that rare classes show too. */
static void draw_confusion(const struct sonde_supervised *s, int64_t best, int64_t n,
                           const int32_t *place, const struct class_count *order, float *value,
                           const char **tick)
{
    const struct sonde_dataset *d = s->dataset;
    const int32_t *predicted = s->report[best].predicted;
    double total[CONFUSION_CLASSES_MAX] = { 0 };
    int64_t n_left_out = 0;
    for (int64_t i = 0; i < d->n_test; i++) {
        int32_t row = place[d->class_of[d->test[i]]], column = place[predicted[i]];
        if (row >= 0)
            total[row] += 1.0;
        if (row >= 0 && column >= 0)
            value[row * n + column] += 1.0f;
        else
            n_left_out++;
    }
    for (int64_t r = 0; r < n; r++)
        for (int64_t c = 0; c < n; c++)
            value[r * n + c] = total[r] > 0 ? (float)((double)value[r * n + c] / total[r]) : NAN;
    for (int64_t c = 0; c < n; c++)
        tick[c] = d->class_name[order[c].number];
    char title[256], caption[256];
    snprintf(title, sizeof(title), "%s at %s: what is taken for what", s->options.labels,
             stream_of(s, best)->name);
    snprintf(caption, sizeof(caption),
             "Test rows; each row of cells sums to 1 over the predicted classes.%s",
             n_left_out > 0 ? " Only the most frequent classes are drawn." : "");
    struct sonde_figure *f = sonde_figure_create(SONDE_FIGURE_HEATMAP, "confusion", title);
    if (f) {
        f->y_from_top = true;
        sonde_figure_set_axes(f, "predicted class", "true class");
        sonde_figure_set_matrix(f, n, n, value);
        sonde_figure_set_ticks(f, &f->x, tick, n);
        sonde_figure_set_ticks(f, &f->y, tick, n);
        sonde_figure_set_scale(f, SONDE_COLORMAP_SEQUENTIAL, "share of the true class", true, 0, 1);
        sonde_figure_set_caption(f, caption);
    }
    sonde_result_add_figure(s->run->result, f);
}

static enum sonde_status put_confusion(const struct sonde_supervised *s, int64_t best,
                                       struct sonde_error *error)
{
    const struct sonde_dataset *d = s->dataset;
    const int64_t cells = (int64_t)CONFUSION_CLASSES_MAX * CONFUSION_CLASSES_MAX;
    int32_t *place = malloc((size_t)(d->n_classes + 1) * sizeof(*place));
    struct class_count *count = malloc((size_t)(d->n_classes + 1) * sizeof(*count));
    float *value = calloc((size_t)cells, sizeof(*value));
    const char **tick = calloc(CONFUSION_CLASSES_MAX, sizeof(*tick));
    enum sonde_status status = SONDE_STATUS_OK;
    if (place && count && value && tick) {
        int64_t n = place_classes(d, s->report[best].predicted, place, count);
        draw_confusion(s, best, n, place, count, value, tick);
    } else {
        status = sonde_error_memory(error, "the confusion");
    }
    free(place);
    free(count);
    free(value);
    free(tick);
    return status;
}

struct curve {
    double *x, *value, *low, *high, *control, *random; /* [n_streams] each */
    const char **tick;
};

static void draw_curve(const struct sonde_supervised *s, struct curve *c)
{
    bool has_control = false, has_random = false, has_band = false;
    for (int64_t i = 0; i < s->n_streams; i++) {
        const struct sonde_stream_report *r = &s->report[i];
        c->x[i] = (double)i;
        c->value[i] = r->value;
        c->low[i] = r->low;
        c->high[i] = r->high;
        c->control[i] = r->control;
        c->random[i] = r->random_weights;
        c->tick[i] = stream_of(s, i)->name;
        has_control = has_control || !isnan(r->control);
        has_random = has_random || !isnan(r->random_weights);
        has_band = has_band || !isnan(r->low);
    }
    const char *metric = sonde_probe_metric_name(s->metric);
    char title[256];
    snprintf(title, sizeof(title), "%s: %s of the probe, stream by stream", s->options.labels,
             metric);
    struct sonde_figure *f = sonde_figure_create(SONDE_FIGURE_LINE, "curve", title);
    if (f) {
        sonde_figure_set_axes(f, "stream", metric);
        sonde_figure_set_ticks(f, &f->x, c->tick, s->n_streams);
        sonde_figure_add_series(f, "probe", s->n_streams, c->x, c->value, has_band ? c->low : NULL,
                                has_band ? c->high : NULL);
        if (has_control)
            sonde_figure_add_series(f, "control task", s->n_streams, c->x, c->control, NULL, NULL);
        if (has_random)
            sonde_figure_add_series(f, "random weights", s->n_streams, c->x, c->random, NULL, NULL);
        if (!isnan(s->report[0].majority))
            sonde_figure_set_reference(f, s->report[0].majority,
                                       s->dataset->task == SONDE_TASK_REAL ? "training mean"
                                                                           : "majority class");
        sonde_figure_set_caption(f, has_band ? "Band: 95 % bootstrap interval over test sequences."
                                             : NULL);
    }
    sonde_result_add_figure(s->run->result, f);
}

static enum sonde_status put_curve(const struct sonde_supervised *s, struct sonde_error *error)
{
    size_t n = (size_t)s->n_streams;
    double *values = calloc(n * 6, sizeof(double));
    struct curve curve = { .x = values, .tick = calloc(n, sizeof(char *)) };
    enum sonde_status status = SONDE_STATUS_OK;
    if (values && curve.tick) {
        curve.value = values + n;
        curve.low = values + 2 * n;
        curve.high = values + 3 * n;
        curve.control = values + 4 * n;
        curve.random = values + 5 * n;
        draw_curve(s, &curve);
    } else {
        status = sonde_error_memory(error, "the curve");
    }
    free(values);
    free(curve.tick);
    return status;
}

static void put_scalars(const struct sonde_supervised *s, double best)
{
    const struct sonde_dataset *d = s->dataset;
    struct sonde_result *r = s->run->result;
    sonde_result_scalar_i64(r, "samples", d->n);
    sonde_result_scalar_i64(r, "n_train", d->n_train);
    sonde_result_scalar_i64(r, "n_test", d->n_test);
    sonde_result_scalar_i64(r, "groups", d->n_groups);
    sonde_result_scalar_i64(r, "test_groups", d->n_test_groups);
    sonde_result_scalar_i64(r, "duplicate_test_groups", d->n_duplicates);
    if (d->task == SONDE_TASK_CLASS) {
        sonde_result_scalar_i64(r, "classes", d->n_targets);
        sonde_result_scalar_i64(r, "samples_of_unseen_classes", d->n_only_test);
    }
    if (s->overlap.n_test > 0 && d->n_train > 0) {
        double n_test = (double)s->overlap.n_test;
        sonde_result_scalar_i64(r, "overlap_rows", s->overlap.n_sequence);
        sonde_result_scalar_f64(r, "overlap_share", (double)s->overlap.n_sequence / n_test);
        if (s->overlap.n_prefix >= 0) {
            sonde_result_scalar_i64(r, "prefix_overlap_rows", s->overlap.n_prefix);
            sonde_result_scalar_f64(r, "prefix_overlap_share",
                                    (double)s->overlap.n_prefix / n_test);
        }
    }
    if (s->options.mask)
        sonde_result_scalar_i64(r, "masked_out", d->n_masked_out);
    if (!isnan(best))
        sonde_result_scalar_f64(r, "best_value", best);
}

static double percent(int64_t part, int64_t whole)
{
    return whole > 0 ? 100.0 * (double)part / (double)whole : 0.0;
}

static void warn_of_data(const struct sonde_supervised *s)
{
    const struct sonde_dataset *d = s->dataset;
    struct sonde_result *r = s->run->result;
    if (d->n_duplicates > 0)
        sonde_result_warn(r,
                          "%lld of the %lld test groups have a sequence that is in training too, "
                          "word for word (%.1f %% of the test rows): the value may be too high",
                          (long long)d->n_duplicates, (long long)d->n_test_groups,
                          percent(s->overlap.n_sequence, s->overlap.n_test));
    if (s->overlap.n_prefix > s->overlap.n_test / 10 && d->n_train > 0)
        sonde_result_warn(r,
                          "%lld of the %lld test rows (%.1f %%) have the same tokens from the "
                          "beginning as a training row: a causal model gives both the same state",
                          (long long)s->overlap.n_prefix, (long long)s->overlap.n_test,
                          percent(s->overlap.n_prefix, s->overlap.n_test));
    if (d->n_only_test > 0 && !s->loaded)
        sonde_result_warn(r,
                          "%lld test samples have a class that is in no training sample: they "
                          "count as wrong",
                          (long long)d->n_only_test);
    if (s->n_types > 0 && s->n_types <= d->n_targets)
        sonde_result_warn(r,
                          "the control task has %lld word types for %lld classes: who knows the "
                          "token solves it; --control-labels uniform labels every sample by itself",
                          (long long)s->n_types, (long long)d->n_targets);
    if (s->options.by_position)
        sonde_result_warn(r, "split by position: rows of one sequence are on both sides, so the "
                             "value may be too high");
    if (d->n_test_groups < 2)
        sonde_result_warn(r, "one group of test sequences: no interval can be given");
}

void sonde_supervised_report_data(const struct sonde_supervised *s, double best)
{
    put_scalars(s, best);
    warn_of_data(s);
}

static void warn_of_fits(const struct sonde_supervised *s)
{
    struct sonde_result *r = s->run->result;
    int64_t n_wide = 0, n_early = 0;
    for (int64_t i = 0; i < s->n_streams; i++) {
        n_wide += stream_of(s, i)->width >= s->dataset->n_train;
        n_early += s->report[i].stopped_early;
    }
    if (n_wide > 0 && !s->loaded)
        sonde_result_warn(r,
                          "%lld of %lld streams have as many features as there are training "
                          "samples (%lld) or more: without a penalty anything can be separated",
                          (long long)n_wide, (long long)s->n_streams,
                          (long long)s->dataset->n_train);
    if (n_early > 0)
        sonde_result_warn(r, "%lld of %lld fits stopped after %d iterations before the tolerance%s",
                          (long long)n_early, (long long)s->n_streams, s->options.max_iterations,
                          s->options.l2 == 0.0 ? ": with --l2 0 separable classes have no end"
                                               : "");
}

enum sonde_status sonde_supervised_report_best(const struct sonde_supervised *s,
                                               struct sonde_error *error)
{
    int64_t best = best_stream(s);
    bool classes = s->dataset->task == SONDE_TASK_CLASS;
    put_metrics(s);
    enum sonde_status status = classes ? put_classes(s, best, error) : SONDE_STATUS_OK;
    if (!status && s->n_streams > 1)
        status = put_curve(s, error);
    if (!status && classes)
        status = put_confusion(s, best, error);
    return status;
}

enum sonde_status sonde_supervised_report(const struct sonde_supervised *s,
                                          struct sonde_error *error)
{
    int64_t best = best_stream(s);
    bool classes = s->dataset->task == SONDE_TASK_CLASS;
    put_layers(s);
    put_metrics(s);
    enum sonde_status status = classes ? put_classes(s, best, error) : SONDE_STATUS_OK;
    put_l2(s);
    if (!status)
        status = put_curve(s, error);
    if (!status && classes)
        status = put_confusion(s, best, error);
    sonde_supervised_report_data(s, s->report[best].value);
    warn_of_fits(s);
    return status;
}
