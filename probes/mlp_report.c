/* What the mlp probe shows: tables layers and epochs, the curve over the shapes, and what it shares
 * with the linear probes. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "probes/mlp_probe.h"

enum { SWEEP_STREAMS_MAX = 6 };

static void put_real(struct sonde_table *t, int64_t column, double value)
{
    if (!isnan(value))
        sonde_table_f64(t, column, value);
}

static const struct sonde_stream *stream_of(const struct sonde_mlp_probe *p, int64_t i)
{
    return &p->s.run->args->source->streams[p->s.stream[i]];
}

void sonde_mlp_probe_tables(struct sonde_mlp_probe *p)
{
    static const char *const layers[] = { "stream",     "layer",       "task",           "metric",
                                          "value",      "ci_low",      "ci_high",        "majority",
                                          "control",    "selectivity", "n_train",        "n_test",
                                          "l2",         "iterations",  "random_weights", "hidden",
                                          "parameters", "epoch",       "validation",     NULL };
    static const char *const epochs[] = { "stream", "hidden",     "labels",          "epoch",
                                          "lr",     "train_loss", "validation_loss", "validation",
                                          "chosen", NULL };
    static const char *const sweep[] = { "stream",  "hidden",  "value", "ci_low",
                                         "ci_high", "control", "epoch", NULL };
    p->sweep =
        p->settings.n_shapes > 1 ? sonde_result_add_table(p->s.run->result, "sweep", sweep) : NULL;
    p->layers = sonde_result_add_table(p->s.run->result, "layers", layers);
    p->epochs = sonde_result_add_table(p->s.run->result, "epochs", epochs);
}

void sonde_mlp_probe_put_row(struct sonde_mlp_probe *p, const struct sonde_mlp_row *row)
{
    struct sonde_table *t = p->layers;
    sonde_table_add_row(t);
    sonde_table_text(t, 0, stream_of(p, row->stream)->name);
    sonde_table_i64(t, 1, stream_of(p, row->stream)->layer);
    sonde_table_text(t, 2, p->s.options.labels);
    sonde_table_text(t, 3, sonde_probe_metric_name(p->s.metric));
    put_real(t, 4, row->value);
    put_real(t, 5, row->low);
    put_real(t, 6, row->high);
    put_real(t, 7, p->majority);
    put_real(t, 8, row->control);
    put_real(t, 9, row->value - row->control);
    sonde_table_i64(t, 10, p->n_train);
    sonde_table_i64(t, 11, p->s.dataset->n_test);
    sonde_table_i64(t, 13, row->n_steps);
    sonde_table_text(t, 15, p->settings.text[row->shape]);
    sonde_table_i64(t, 16, row->n_parameters);
    sonde_table_i64(t, 17, row->epoch);
    put_real(t, 18, row->validation);
    t = p->sweep;
    sonde_table_add_row(t);
    sonde_table_text(t, 0, stream_of(p, row->stream)->name);
    sonde_table_text(t, 1, p->settings.text[row->shape]);
    put_real(t, 2, row->value);
    put_real(t, 3, row->low);
    put_real(t, 4, row->high);
    put_real(t, 5, row->control);
    sonde_table_i64(t, 6, row->epoch);
}

/* The epochs are many rows that are rarely read: behind all else. */
static void move_epochs_last(const struct sonde_mlp_probe *p)
{
    struct sonde_result *r = p->s.run->result;
    int64_t at = 0;
    while (at < r->n_tables && r->table[at] != p->epochs)
        at++;
    for (; at + 1 < r->n_tables; at++) {
        r->table[at] = r->table[at + 1];
        r->table[at + 1] = p->epochs;
    }
}

void sonde_mlp_probe_put_epochs(struct sonde_mlp_probe *p, int64_t stream, int shape, bool control,
                                const struct sonde_mlp_fit *fit)
{
    struct sonde_table *t = p->epochs;
    for (int64_t e = 0; e < fit->n_epochs; e++) {
        sonde_table_add_row(t);
        sonde_table_text(t, 0, stream_of(p, stream)->name);
        sonde_table_text(t, 1, p->settings.text[shape]);
        sonde_table_text(t, 2, control ? "control" : "own");
        sonde_table_i64(t, 3, e + 1);
        sonde_table_f64(t, 4, fit->epoch[e].lr);
        sonde_table_f64(t, 5, fit->epoch[e].train_loss);
        sonde_table_f64(t, 6, fit->epoch[e].validation_loss);
        sonde_table_f64(t, 7, fit->epoch[e].validation_value);
        sonde_table_bool(t, 8, e == fit->chosen);
    }
}

/* Value and control by shape, one line each a stream. */
static void draw_sweep(const struct sonde_mlp_probe *p, double *x, double *value, double *control,
                       double *low, double *high)
{
    int n = p->settings.n_shapes;
    const char *tick[SONDE_MLP_SHAPES_MAX];
    char title[256], name[192];
    for (int k = 0; k < n; k++) {
        x[k] = k;
        tick[k] = p->settings.text[k];
    }
    snprintf(title, sizeof(title), "%s: %s of the probe, shape by shape", p->s.options.labels,
             sonde_probe_metric_name(p->s.metric));
    struct sonde_figure *f = sonde_figure_create(SONDE_FIGURE_LINE, "sweep", title);
    if (f) {
        bool one = p->s.n_streams == 1;
        sonde_figure_set_axes(f, "hidden layers", sonde_probe_metric_name(p->s.metric));
        sonde_figure_set_ticks(f, &f->x, tick, n);
        for (int64_t i = 0; i < p->s.n_streams && i < SWEEP_STREAMS_MAX; i++) {
            const struct sonde_mlp_row *row = p->row + i * n;
            bool band = true;
            for (int k = 0; k < n; k++) {
                value[k] = row[k].value;
                control[k] = row[k].control;
                low[k] = row[k].low;
                high[k] = row[k].high;
                band = band && !isnan(low[k]);
            }
            const char *stream = stream_of(p, i)->name;
            sonde_figure_add_series(f, one ? "probe" : stream, n, x, value,
                                    one && band ? low : NULL, one && band ? high : NULL);
            snprintf(name, sizeof(name), "%s control", one ? "" : stream);
            if (p->s.options.control)
                sonde_figure_add_series(f, one ? "control task" : name, n, x, control, NULL, NULL);
        }
        if (!isnan(p->majority))
            sonde_figure_set_reference(f, p->majority,
                                       p->s.dataset->task == SONDE_TASK_REAL ? "training mean"
                                                                             : "majority class");
    }
    sonde_result_add_figure(p->s.run->result, f);
}

static enum sonde_status put_sweep(const struct sonde_mlp_probe *p, struct sonde_error *error)
{
    size_t n = (size_t)p->settings.n_shapes;
    if (n < 2)
        return SONDE_STATUS_OK;
    double *values = calloc(n * 5, sizeof(*values));
    if (!values)
        return sonde_error_memory(error, "the curve");
    draw_sweep(p, values, values + n, values + 2 * n, values + 3 * n, values + 4 * n);
    free(values);
    return SONDE_STATUS_OK;
}

static void warn_of_protocol(const struct sonde_mlp_probe *p)
{
    struct sonde_result *r = p->s.run->result;
    if (p->settings.select == SONDE_MLP_SELECT_TEST)
        sonde_result_warn(r,
                          "the epoch is chosen on the test rows: the value is the best of %lld "
                          "looks at them",
                          (long long)p->settings.epochs);
    if (p->settings.scale == SONDE_MLP_SCALE_ALL)
        sonde_result_warn(r, "the features are standardised on training and test rows together");
    int64_t n_last = 0, n_rows = p->s.n_streams * p->settings.n_shapes;
    for (int64_t i = 0; i < n_rows; i++)
        n_last += p->row[i].epoch == p->settings.epochs;
    if (n_last > 0 && p->settings.select == SONDE_MLP_SELECT_VALIDATION)
        sonde_result_warn(r,
                          "%lld of %lld fits were best in their last epoch: more --epochs may give "
                          "more",
                          (long long)n_last, (long long)n_rows);
}

enum sonde_status sonde_mlp_probe_report(struct sonde_mlp_probe *p, struct sonde_error *error)
{
    /* Of each stream the shape that did best on the rows that choose, not the best on test. */
    double best = (double)NAN;
    for (int64_t i = 0; i < p->s.n_streams; i++)
        if (isnan(best) || p->s.report[i].value > best)
            best = p->s.report[i].value;
    enum sonde_status status = put_sweep(p, error);
    if (!status)
        status = sonde_supervised_report_best(&p->s, error);
    if (status)
        return status;
    move_epochs_last(p);
    sonde_supervised_report_data(&p->s, best);
    sonde_result_scalar_i64(p->s.run->result, "n_validation", p->n_validation);
    warn_of_protocol(p);
    return SONDE_STATUS_OK;
}
