/* The correlation probe: the single coordinate of each stream that goes most with a real label. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/groups.h"
#include "analysis/stats.h"
#include "core/base/num.h"
#include "core/base/rng.h"
#include "probes/correlation_sums.h"
#include "probes/supervised.h"

/* What a sample takes in the data set, the column of the best coordinate and its ranks. */
enum { SAMPLE_BYTES = 260, PICTURE_COORDINATES_MAX = 512 };

static const struct sonde_probe_option options[] = {
    { "streams", SONDE_PROBE_TEXT, "resid", NULL, "pattern of the streams to look at" },
    { "labels", SONDE_PROBE_TEXT, NULL, NULL,
      "label set of the store: real, or classes whose names are numbers (required)" },
    { "top", SONDE_PROBE_INTEGER, "5", NULL, "coordinates of a stream in table coordinates" },
    { "all", SONDE_PROBE_FLAG, NULL, NULL, "table coordinates has every coordinate" },
    { "controls", SONDE_PROBE_INTEGER, "20", NULL,
      "control labels: the label moved along the samples by a random number; 0 = none" },
    { "split", SONDE_PROBE_CHOICE, "sequence", "sequence|position",
      "what goes to one side of the split as a whole" },
    { "test-share", SONDE_PROBE_REAL, "0.2", NULL,
      "share of the sequences for the held-out correlation" },
    { "mask", SONDE_PROBE_TEXT, NULL, NULL,
      "label set: only rows that have a label of it too are samples" },
    { "pool", SONDE_PROBE_CHOICE, "last", "last|mean|first",
      "row of a sequence, for labels of sequences" },
    { "keep-special", SONDE_PROBE_FLAG, NULL, NULL, "special and BOS tokens are samples too" },
    { "bootstrap", SONDE_PROBE_INTEGER, "1000", NULL,
      "resamples of the sequences for the interval; 0 = none" },
};

/* What is known of one stream. Numbers that do not apply are NaN. */
struct finding {
    int64_t best;       /* coordinate; -1 = none varies */
    int64_t best_train; /* chosen on the training side */
    double pearson, low, high, spearman, held_out, control, control_max;
    double *all; /* [D] */
};

struct correlation_probe {
    struct sonde_supervised s;
    int64_t n_top, n_controls;
    bool every;
    int64_t *shift;        /* [n_controls] */
    struct finding *found; /* [n_streams] */
    struct sonde_table *layers, *coordinates;
};

static const struct sonde_stream *stream_of(const struct correlation_probe *p, int64_t i)
{
    return &p->s.run->args->source->streams[p->s.stream[i]];
}

static enum sonde_status prepare(struct correlation_probe *p, struct sonde_error *error)
{
    const struct sonde_builtin *run = p->s.run;
    enum sonde_status status = sonde_supervised_open(&p->s, error);
    if (!status)
        status = sonde_builtin_integer(run, "top", 1, 1000000, &p->n_top, error);
    if (!status)
        status = sonde_builtin_integer(run, "controls", 0, 10000, &p->n_controls, error);
    if (status)
        return status;
    const struct sonde_dataset *d = p->s.dataset;
    p->every = sonde_builtin_flag(run, "all");
    int64_t n_different = 0;
    for (int64_t i = 1; i < d->n && n_different == 0; i++)
        n_different += d->real[i] != d->real[0];
    if (n_different == 0) {
        char value[SONDE_FORMAT_F64_MAX];
        sonde_format_f64(value, d->real[0]);
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "label set %s: all %lld samples have the value %s: nothing can go "
                               "with it",
                               p->s.options.labels, (long long)d->n, value);
    }
    p->shift = malloc((size_t)(p->n_controls + 1) * sizeof(*p->shift));
    p->found = calloc((size_t)p->s.n_streams, sizeof(*p->found));
    if (!p->shift || !p->found)
        return sonde_error_memory(error, "the correlations");
    struct sonde_rng rng = sonde_rng_make(run->args->seed, sonde_rng_stream("correlation control"));
    for (int64_t k = 0; k < p->n_controls; k++)
        p->shift[k] = 1 + sonde_rng_below(&rng, d->n - 1);
    return SONDE_STATUS_OK;
}

static enum sonde_status open_features(const struct correlation_probe *p, int64_t i,
                                       struct sonde_features *out, struct sonde_error *error)
{
    const struct sonde_probe_run_args *args = p->s.run->args;
    const struct sonde_dataset *d = p->s.dataset;
    const struct sonde_stream *stream = stream_of(p, i);
    int64_t mem = p->s.mem_bytes - d->n * SAMPLE_BYTES, fixed, per_slot;
    sonde_correlation_bytes(stream->width, p->n_controls, &fixed, &per_slot);
    if (mem <= 0 || fixed > mem / 4 || per_slot > mem / 4) {
        double need = 4 * fmax((double)fixed, (double)per_slot) + (double)d->n * SAMPLE_BYTES;
        char text[2][SONDE_FORMAT_F64_MAX];
        sonde_format_bytes(text[0], need < 9e18 ? (int64_t)need : INT64_MAX);
        sonde_format_bytes(text[1], p->s.mem_bytes);
        return sonde_error_set(error, SONDE_STATUS_LIMIT,
                               "%s: the correlations of %lld coordinates over %lld samples need a "
                               "memory budget of %s, it has %s",
                               stream->name, (long long)stream->width, (long long)d->n, text[0],
                               text[1]);
    }
    int64_t n_slots = (mem / 2 - fixed) / per_slot;
    int64_t wanted = (int64_t)4 * sonde_pool_threads(args->pool);
    n_slots = n_slots < 1 ? 1 : n_slots > wanted ? wanted : n_slots;
    struct sonde_feature_rows rows = sonde_dataset_rows(d);
    return sonde_features_open(out, args->source, p->s.stream[i], &rows,
                               mem - fixed - n_slots * per_slot, n_slots, args->pool, error);
}

struct column_pass {
    int64_t width, coordinate;
    double *value; /* [n] */
};

static void column_block(void *ctx, int64_t first, int64_t n, float *x, int64_t slot)
{
    (void)slot;
    const struct column_pass *pass = ctx;
    for (int64_t i = 0; i < n; i++)
        pass->value[first + i] = (double)x[i * pass->width + pass->coordinate];
}

/* Sums of one group, of x and y less their means. */
struct group_sums {
    double n, x, y, xx, yy, xy;
};

static double pearson_of(const struct group_sums *s)
{
    double xx = s->xx - s->x * s->x / s->n, yy = s->yy - s->y * s->y / s->n;
    double xy = s->xy - s->x * s->y / s->n;
    return xx > 0 && yy > 0 ? fmax(-1.0, fmin(1.0, xy / sqrt(xx * yy))) : (double)NAN;
}

/* Bootstrap over groups (Field and Welsh, JRSS B 69, 2007): their sums are drawn, not their rows.
 */
static enum sonde_status find_interval(const struct correlation_probe *p, const double *x,
                                       struct finding *f, struct sonde_error *error)
{
    const struct sonde_dataset *d = p->s.dataset;
    int64_t n_draws = p->s.options.n_bootstrap, n_defined = 0;
    struct sonde_groups groups = { 0 };
    enum sonde_status status = sonde_groups_init(&groups, d->group, d->n, error);
    if (status)
        return status;
    struct group_sums *sums = calloc((size_t)groups.n, sizeof(*sums));
    double *draw = malloc((size_t)(n_draws + 1) * sizeof(*draw));
    if (!sums || !draw)
        status = sonde_error_memory(error, "the interval");
    double x_mean = sonde_stats_mean(x, d->n), y_mean = sonde_stats_mean(d->real, d->n);
    for (int64_t g = 0; g < groups.n && !status; g++) {
        for (int64_t k = groups.begin[g]; k < groups.begin[g + 1]; k++) {
            double u = x[groups.row[k]] - x_mean, v = d->real[groups.row[k]] - y_mean;
            struct group_sums *s = &sums[g];
            *s = (struct group_sums){ s->n + 1,      s->x + u,      s->y + v,
                                      s->xx + u * u, s->yy + v * v, s->xy + u * v };
        }
    }
    struct sonde_rng rng =
        sonde_rng_make(p->s.run->args->seed, sonde_rng_stream("correlation interval"));
    for (int64_t b = 0; b < n_draws && groups.n > 1 && !status; b++) {
        struct group_sums sum = { 0 };
        for (int64_t g = 0; g < groups.n; g++) {
            const struct group_sums *s = &sums[sonde_rng_below(&rng, groups.n)];
            sum = (struct group_sums){ sum.n + s->n,   sum.x + s->x,   sum.y + s->y,
                                       sum.xx + s->xx, sum.yy + s->yy, sum.xy + s->xy };
        }
        draw[n_defined] = pearson_of(&sum);
        n_defined += !isnan(draw[n_defined]);
    }
    if (!status && n_defined >= 10) {
        sonde_stats_sort(draw, n_defined);
        f->low = sonde_stats_quantile_sorted(draw, n_defined, 0.025);
        f->high = sonde_stats_quantile_sorted(draw, n_defined, 0.975);
    }
    free(sums);
    free(draw);
    sonde_groups_finish(&groups);
    return status;
}

/* What needs the best coordinate's values one by one: ranks, and the interval. */
static enum sonde_status look_closer(const struct correlation_probe *p,
                                     struct sonde_features *features, struct finding *f,
                                     struct sonde_error *error)
{
    const struct sonde_dataset *d = p->s.dataset;
    struct column_pass column = { .width = features->width, .coordinate = f->best };
    int64_t *sample = malloc((size_t)(d->n + 1) * sizeof(*sample));
    column.value = malloc((size_t)(d->n + 1) * sizeof(double));
    enum sonde_status status =
        sample && column.value ? SONDE_STATUS_OK : sonde_error_memory(error, "a coordinate");
    for (int64_t i = 0; i < d->n && !status; i++)
        sample[i] = i;
    struct sonde_feature_pass pass = {
        .sample = sample, .n = d->n, .block = column_block, .ctx = &column
    };
    if (!status)
        status = sonde_features_pass(features, &pass, error);
    free(sample);
    if (!status)
        status = sonde_stats_spearman(column.value, d->real, d->n, &f->spearman, error);
    if (!status && p->s.options.n_bootstrap > 0)
        status = find_interval(p, column.value, f, error);
    free(column.value);
    return status;
}

static void put_real(struct sonde_table *t, int64_t column, double value)
{
    if (!isnan(value))
        sonde_table_f64(t, column, value);
}

static void put_rows(const struct correlation_probe *p, int64_t i,
                     const struct sonde_correlation *c)
{
    const struct finding *f = &p->found[i];
    struct sonde_table *t = p->layers;
    sonde_table_add_row(t);
    sonde_table_text(t, 0, stream_of(p, i)->name);
    sonde_table_i64(t, 1, stream_of(p, i)->layer);
    sonde_table_text(t, 2, p->s.options.labels);
    if (f->best >= 0)
        sonde_table_i64(t, 3, f->best);
    put_real(t, 4, f->pearson);
    put_real(t, 5, f->low);
    put_real(t, 6, f->high);
    put_real(t, 7, f->spearman);
    put_real(t, 8, f->control);
    put_real(t, 9, f->control_max);
    put_real(t, 10, f->held_out);
    if (f->best_train >= 0)
        sonde_table_i64(t, 11, f->best_train);
    sonde_table_i64(t, 12, p->s.dataset->n);
    sonde_table_i64(t, 13, c->n_constant);
}

/* The largest first; a value that is taken out of r becomes NaN. r [D] is used up. */
static void put_coordinates(const struct correlation_probe *p, int64_t i, double *r, int64_t width)
{
    struct sonde_table *t = p->coordinates;
    for (int64_t k = 0; k < (p->every ? width : p->n_top); k++) {
        int64_t d = p->every ? k : sonde_correlation_best(r, width);
        if (d < 0)
            return;
        sonde_table_add_row(t);
        sonde_table_text(t, 0, stream_of(p, i)->name);
        sonde_table_i64(t, 1, d);
        put_real(t, 2, r[d]);
        if (!p->every)
            r[d] = (double)NAN;
    }
}

static enum sonde_status look_at(struct correlation_probe *p, int64_t i, struct sonde_error *error)
{
    const struct sonde_dataset *d = p->s.dataset;
    const double none = (double)NAN;
    struct finding *f = &p->found[i];
    struct sonde_features features = { 0 };
    struct sonde_correlation c = { 0 };
    *f = (struct finding){ -1, -1, none, none, none, none, none, none, none, NULL };
    enum sonde_status status = open_features(p, i, &features, error);
    if (status)
        return status;
    struct sonde_correlation_input input = {
        .features = &features,
        .n = d->n,
        .y = d->real,
        .side = d->side,
        .shift = p->shift,
        .n_controls = p->n_controls,
    };
    status = sonde_correlation_fit(&input, &c, error);
    if (!status && !(f->all = malloc((size_t)c.width * sizeof(double))))
        status = sonde_error_memory(error, "the correlations");
    if (!status) {
        memcpy(f->all, c.all, (size_t)c.width * sizeof(double));
        f->best = sonde_correlation_best(c.all, c.width);
        f->best_train = sonde_correlation_best(c.train, c.width);
        f->pearson = f->best >= 0 ? c.all[f->best] : none;
        f->held_out = f->best_train >= 0 ? c.test[f->best_train] : none;
        if (p->n_controls > 0 && f->best >= 0) {
            f->control = sonde_stats_mean(c.control, p->n_controls);
            f->control_max = fabs(c.control[sonde_correlation_best(c.control, p->n_controls)]);
        }
        if (f->best >= 0)
            status = look_closer(p, &features, f, error);
    }
    if (!status) {
        put_rows(p, i, &c);
        put_coordinates(p, i, c.all, c.width);
    }
    sonde_correlation_finish(&c);
    sonde_features_close(&features);
    return status;
}

/* |r| stream by stream. */
static enum sonde_status draw_curve(const struct correlation_probe *p, struct sonde_error *error)
{
    size_t n = (size_t)p->s.n_streams;
    double *value = calloc(n * 5, sizeof(double));
    const char **tick = calloc(n, sizeof(char *));
    if (!value || !tick) {
        free(value);
        free(tick);
        return sonde_error_memory(error, "the curve");
    }
    double *x = value + 4 * n;
    for (size_t i = 0; i < n; i++) {
        const struct finding *f = &p->found[i];
        x[i] = (double)i;
        tick[i] = stream_of(p, (int64_t)i)->name;
        value[i] = fabs(f->pearson);
        value[n + i] = fabs(f->spearman);
        value[2 * n + i] = fabs(f->held_out);
        value[3 * n + i] = f->control;
    }
    char title[256];
    snprintf(title, sizeof(title), "%s: the best single coordinate, stream by stream",
             p->s.options.labels);
    struct sonde_figure *figure = sonde_figure_create(SONDE_FIGURE_LINE, "curve", title);
    if (figure) {
        sonde_figure_set_axes(figure, "stream", "|correlation|");
        sonde_figure_set_ticks(figure, &figure->x, tick, (int64_t)n);
        sonde_figure_add_series(figure, "Pearson", (int64_t)n, x, value, NULL, NULL);
        sonde_figure_add_series(figure, "Spearman", (int64_t)n, x, value + n, NULL, NULL);
        sonde_figure_add_series(figure, "held out", (int64_t)n, x, value + 2 * n, NULL, NULL);
        if (p->n_controls > 0)
            sonde_figure_add_series(figure, "control labels", (int64_t)n, x, value + 3 * n, NULL,
                                    NULL);
    }
    sonde_result_add_figure(p->s.run->result, figure);
    free(value);
    free(tick);
    return SONDE_STATUS_OK;
}

/* r of every coordinate, a stream a row, where all streams have the same few. */
static enum sonde_status draw_coordinates(const struct correlation_probe *p,
                                          struct sonde_error *error)
{
    int64_t n = p->s.n_streams, width = stream_of(p, 0)->width;
    bool same = n > 0 && width > 0 && width <= PICTURE_COORDINATES_MAX;
    for (int64_t i = 0; i < n; i++)
        same = same && stream_of(p, i)->width == width;
    if (!same)
        return SONDE_STATUS_OK;
    float *value = calloc((size_t)n * (size_t)width, sizeof(float));
    const char **tick = calloc((size_t)n, sizeof(char *));
    if (!value || !tick) {
        free(value);
        free(tick);
        return sonde_error_memory(error, "the picture of the coordinates");
    }
    for (int64_t i = 0; i < n; i++) {
        tick[i] = stream_of(p, i)->name;
        for (int64_t d = 0; d < width; d++)
            value[i * width + d] = (float)p->found[i].all[d];
    }
    char title[256];
    snprintf(title, sizeof(title), "%s: correlation of every coordinate", p->s.options.labels);
    struct sonde_figure *figure = sonde_figure_create(SONDE_FIGURE_HEATMAP, "coordinates", title);
    if (figure) {
        sonde_figure_set_axes(figure, "coordinate", "stream");
        sonde_figure_set_matrix(figure, n, width, value);
        sonde_figure_set_ticks(figure, &figure->y, tick, n);
        sonde_figure_set_scale(figure, SONDE_COLORMAP_DIVERGING, "Pearson", true, -1.0, 1.0);
    }
    sonde_result_add_figure(p->s.run->result, figure);
    free(value);
    free(tick);
    return SONDE_STATUS_OK;
}

static enum sonde_status report(const struct correlation_probe *p, struct sonde_error *error)
{
    double best = (double)NAN;
    int64_t n_none = 0;
    for (int64_t i = 0; i < p->s.n_streams; i++) {
        double r = fabs(p->found[i].pearson);
        n_none += p->found[i].best < 0;
        best = isnan(best) || r > best ? r : best;
    }
    enum sonde_status status = p->s.n_streams > 1 ? draw_curve(p, error) : SONDE_STATUS_OK;
    if (!status)
        status = draw_coordinates(p, error);
    if (status)
        return status;
    sonde_supervised_report_data(&p->s, best);
    if (n_none > 0)
        sonde_result_warn(p->s.run->result,
                          "%lld of %lld streams have no coordinate that varies over the samples",
                          (long long)n_none, (long long)p->s.n_streams);
    return SONDE_STATUS_OK;
}

static enum sonde_status run_streams(struct correlation_probe *p, struct sonde_error *error)
{
    static const char *const layers[] = { "stream",      "layer",    "task",
                                          "coordinate",  "pearson",  "ci_low",
                                          "ci_high",     "spearman", "control",
                                          "control_max", "held_out", "held_out_coordinate",
                                          "n",           "constant", NULL };
    static const char *const coordinates[] = { "stream", "coordinate", "pearson", NULL };
    p->layers = sonde_result_add_table(p->s.run->result, "layers", layers);
    p->coordinates = sonde_result_add_table(p->s.run->result, "coordinates", coordinates);
    for (int64_t i = 0; i < p->s.n_streams; i++) {
        enum sonde_status status;
        if (!sonde_progress_update(p->s.run->args->progress, "streams", i, p->s.n_streams,
                                   "streams"))
            status = sonde_error_set(error, SONDE_STATUS_CANCELLED, "stopped");
        else
            status = look_at(p, i, error);
        if (status)
            return status;
    }
    return report(p, error);
}

static enum sonde_status correlation_body(const struct sonde_builtin *run,
                                          struct sonde_error *error)
{
    struct correlation_probe p = { .s = { .run = run,
                                          .options.method = SONDE_LINEAR_NONE,
                                          .options.task = SONDE_TASK_REAL,
                                          .mem_bytes = sonde_builtin_mem_bytes(run) } };
    enum sonde_status status = prepare(&p, error);
    if (!status)
        status = run_streams(&p, error);
    for (int64_t i = 0; p.found && i < p.s.n_streams; i++)
        free(p.found[i].all);
    sonde_supervised_close(&p.s);
    free(p.found);
    free(p.shift);
    return status;
}

static int32_t correlation_run(const struct sonde_probe_host *host, struct sonde_probe_error *error)
{
    (void)error;
    return sonde_builtin_run(host, correlation_body);
}

const struct sonde_probe sonde_probe_correlation = {
    .abi = SONDE_PROBE_ABI,
    .struct_size = sizeof(struct sonde_probe),
    .name = "correlation",
    .version = "1",
    .summary = "the single coordinate of each stream that goes most with a real label",
    .description =
        "Pearson's r of every coordinate of a stream [D] with the label over all samples, sums in "
        "double in one pass; the coordinate of the largest |r| with Spearman's r and an interval "
        "from a bootstrap over sequences. Bhattamishra, Ahuja and Goyal (EMNLP 2020) find depth / "
        "length in one coordinate of the attention output this way. Classes whose names are "
        "numbers are taken as values.\n"
        "The best of D is large by chance alone. So beside it stand: held_out, r on the test "
        "sequences of the coordinate that the others chose; control and control_max, mean and "
        "largest of the best |r| with labels that were moved along the samples by a random number, "
        "around the end: what the label's own runs and the choice among D give. Coordinates that "
        "do not vary beyond f32 rounding have no r and are counted (column constant).",
    .options = options,
    .n_options = sizeof(options) / sizeof(options[0]),
    .needs = SONDE_PROBE_NEEDS_STREAMS | SONDE_PROBE_NEEDS_LABELS,
    .run = correlation_run,
};
