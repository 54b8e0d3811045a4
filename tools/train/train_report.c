/* What came out of a training: numbers, tables, pictures. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "tools/train/train_run.h"

enum {
    CURVE_ROWS = 20,   /* of the table */
    PLOT_COLUMNS = 64, /* of the curve in characters */
    PLOT_ROWS = 14,
};

static bool is_k_hot(const struct sonde_train_run *run)
{
    const enum sonde_objective o = run->recipe->options.objective;
    return o == SONDE_OBJECTIVE_K_HOT_MSE || o == SONDE_OBJECTIVE_K_HOT_BCE;
}

/* The share that counts as the accuracy: of whole strings with k-hot targets, else of rows. */
static double accuracy(const struct sonde_train_run *run, const struct sonde_evaluation *e)
{
    return is_k_hot(run) ? (double)e->sequences_right / (double)e->n_sequences
                         : (double)e->right / (double)e->rows;
}

/* The step whose weights were written. */
static int64_t reported_step(const struct sonde_train_run *run)
{
    double loss;
    const int64_t best = run->recipe->select_best ? sonde_train_best_step(run, &loss) : -1;
    return best >= 0 ? best : sonde_trainer_position(run->trainer)->step;
}

static void add_validation(const struct sonde_train_run *run, struct sonde_result *result)
{
    static const char *const columns[] = { "name",     "step",       "loss",
                                           "accuracy", "sequences",  "sequences_right",
                                           "rows",     "rows_right", "tokens",
                                           NULL };
    static const char *const text_columns[] = {
        "name",   "step",           "loss",  "accuracy",      "rows", "rows_right",
        "tokens", "bits_per_token", "bytes", "bits_per_byte", NULL
    };
    const struct sonde_train_history *h = &run->history;
    const int64_t last = reported_step(run);
    const bool next_token = run->recipe->options.objective == SONDE_OBJECTIVE_NEXT_TOKEN;
    bool any = false;
    for (int64_t i = 0; i < h->n_validated; i++)
        any = any || h->validated[i].step == last;
    if (!any)
        return;
    struct sonde_table *t =
        sonde_result_add_table(result, "validation", next_token ? text_columns : columns);
    for (int64_t i = 0; i < h->n_validated; i++) {
        const struct sonde_train_validated *v = &h->validated[i];
        const struct sonde_evaluation *e = &v->found;
        const int64_t bytes = run->input->validation_bytes[v->which];
        const double bits = e->loss / log(2.0);
        int64_t column = 4;
        if (v->step != last)
            continue;
        sonde_table_add_row(t);
        sonde_table_text(t, 0, run->recipe->validation[v->which].name);
        sonde_table_i64(t, 1, v->step);
        sonde_table_f64(t, 2, e->loss);
        sonde_table_f64(t, 3, accuracy(run, e));
        if (!next_token) {
            sonde_table_i64(t, column++, e->n_sequences);
            sonde_table_i64(t, column++, e->sequences_right);
        }
        sonde_table_i64(t, column++, e->rows);
        sonde_table_i64(t, column++, e->right);
        sonde_table_i64(t, column++, e->n_tokens);
        if (next_token)
            sonde_table_f64(t, column++, bits);
        if (next_token && bytes > 0) {
            /* The first token of a sequence, which nothing tells, is charged like the others. */
            sonde_table_i64(t, column++, bytes);
            sonde_table_f64(t, column, bits * (double)e->n_tokens / (double)bytes);
        }
    }
}

static void add_curve(const struct sonde_train_run *run, struct sonde_result *result)
{
    static const char *const columns[] = {
        "step", "epoch", "lr", "loss", "tokens_per_second", NULL
    };
    const struct sonde_train_history *h = &run->history;
    const int64_t stride = (h->n_points + CURVE_ROWS - 1) / CURVE_ROWS;
    struct sonde_table *t = sonde_result_add_table(result, "curve", columns);
    for (int64_t i = h->n_points - 1 - (stride ? (h->n_points - 1) / stride * stride : 0);
         i >= 0 && i < h->n_points; i += stride) {
        const struct sonde_train_point *p = &h->point[i];
        sonde_table_add_row(t);
        sonde_table_i64(t, 0, p->step);
        sonde_table_i64(t, 1, p->epoch);
        sonde_table_f64(t, 2, p->lr);
        sonde_table_f64(t, 3, p->loss);
        sonde_table_f64(t, 4, p->tokens_per_second);
    }
}

/* Series of one validation over steps: its loss or its accuracy. */
static void add_series(const struct sonde_train_run *run, struct sonde_figure *f, int64_t which,
                       bool of_loss, double *x, double *y)
{
    const struct sonde_train_history *h = &run->history;
    int64_t n = 0;
    for (int64_t i = 0; i < h->n_validated; i++) {
        const struct sonde_train_validated *v = &h->validated[i];
        if (v->which != which)
            continue;
        x[n] = (double)v->step;
        y[n++] = of_loss ? v->found.loss : accuracy(run, &v->found);
    }
    if (f && n > 0)
        sonde_figure_add_series(f, run->recipe->validation[which].name, n, x, y, NULL, NULL);
}

static void add_figures(const struct sonde_train_run *run, struct sonde_result *result)
{
    const struct sonde_train_history *h = &run->history;
    const int64_t n = h->n_points > h->n_validated ? h->n_points : h->n_validated;
    double *x = calloc((size_t)n + 1, sizeof(*x)), *y = calloc((size_t)n + 1, sizeof(*y));
    struct sonde_figure *loss = sonde_figure_create(SONDE_FIGURE_LINE, "loss", "Loss");
    struct sonde_figure *share =
        sonde_figure_create(SONDE_FIGURE_LINE, "accuracy", "Accuracy on validation");
    if (x && y && loss && share) {
        for (int64_t i = 0; i < h->n_points; i++) {
            x[i] = (double)h->point[i].step;
            y[i] = h->point[i].loss;
        }
        sonde_figure_set_axes(loss, "step", "loss");
        sonde_figure_add_series(loss, "train", h->n_points, x, y, NULL, NULL);
        sonde_figure_set_axes(share, "step", is_k_hot(run) ? "whole strings right" : "rows right");
        for (int64_t i = 0; i < run->recipe->n_validations; i++) {
            add_series(run, loss, i, true, x, y);
            add_series(run, share, i, false, x, y);
        }
        sonde_result_add_figure(result, loss);
        loss = NULL;
        if (h->n_validated > 0) {
            sonde_result_add_figure(result, share);
            share = NULL;
        }
    } else {
        result->failed = true;
    }
    sonde_figure_destroy(&loss);
    sonde_figure_destroy(&share);
    free(x);
    free(y);
}

void sonde_train_run_report(const struct sonde_train_run *run, struct sonde_result *result)
{
    const struct sonde_train_position *p = sonde_trainer_position(run->trainer);
    const struct sonde_train_history *h = &run->history;
    struct rusage usage;
    sonde_result_scalar_i64(result, "steps", p->step);
    sonde_result_scalar_i64(result, "steps_planned", run->n_steps);
    sonde_result_scalar_i64(result, "step_written", reported_step(run));
    sonde_result_scalar_f64(result, "epochs",
                            (double)p->epoch +
                                (double)p->taken / (double)sonde_examples_count(run->input->train));
    sonde_result_scalar_f64(result, "loss",
                            h->n_points ? h->point[h->n_points - 1].loss : (double)NAN);
    sonde_result_scalar_i64(result, "parameters", sonde_model_parameters(run->model));
    sonde_result_scalar_i64(result, "train_sequences", sonde_examples_count(run->input->train));
    sonde_result_scalar_i64(result, "train_tokens", sonde_examples_tokens(run->input->train));
    sonde_result_scalar_i64(result, "tokens", p->tokens);
    sonde_result_scalar_f64(result, "seconds_train", run->seconds);
    sonde_result_scalar_f64(result, "tokens_per_second",
                            run->seconds > 0 ? (double)run->n_tokens_now / run->seconds
                                             : (double)NAN);
    sonde_result_scalar_i64(result, "plan_bytes", sonde_trainer_plan_bytes(run->trainer));
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        sonde_result_scalar_i64(result, "peak_rss_bytes", (int64_t)usage.ru_maxrss * 1024);
    add_validation(run, result);
    add_curve(run, result);
    add_figures(run, result);
}

/* Where the losses lie, and how a loss becomes a height: by its logarithm where it falls far. */
struct scale {
    double low, high;
    bool logarithmic;
};

static double height(const struct scale *s, double loss)
{
    if (s->logarithmic)
        return (log(loss) - log(s->low)) / (log(s->high) - log(s->low));
    return (loss - s->low) / (s->high - s->low);
}

static double loss_at(const struct scale *s, double height)
{
    return s->logarithmic ? exp(log(s->low) + height * (log(s->high) - log(s->low)))
                          : s->low + height * (s->high - s->low);
}

static void draw(char cells[PLOT_ROWS][PLOT_COLUMNS], const struct scale *s, double loss,
                 double step, double n_steps, char mark)
{
    const double h = height(s, loss);
    int64_t column = (int64_t)(step / n_steps * PLOT_COLUMNS);
    if (!(h >= 0.0 && h <= 1.0))
        return;
    int64_t row = (int64_t)((1.0 - h) * (PLOT_ROWS - 1) + 0.5);
    column = column < PLOT_COLUMNS ? column : PLOT_COLUMNS - 1;
    cells[row][column] = mark;
}

static void widen(struct scale *s, double loss)
{
    if (!isfinite(loss))
        return;
    s->low = fmin(s->low, loss);
    s->high = fmax(s->high, loss);
}

static struct scale find_scale(const struct sonde_train_history *h)
{
    struct scale s = { .low = INFINITY, .high = -INFINITY };
    for (int64_t i = 0; i < h->n_points; i++)
        widen(&s, h->point[i].loss);
    for (int64_t i = 0; i < h->n_validated; i++)
        widen(&s, h->validated[i].found.loss);
    s.logarithmic = s.low > 0.0 && s.high > 20.0 * s.low;
    if (!(s.high > s.low)) { /* one loss only: it lies in the middle */
        s.low -= 1.0;
        s.high += 1.0;
        s.logarithmic = false;
    }
    return s;
}

void sonde_train_run_curve(const struct sonde_train_run *run, struct sonde_buf *out)
{
    const struct sonde_train_history *h = &run->history;
    const double n_steps = (double)sonde_trainer_position(run->trainer)->step;
    char cells[PLOT_ROWS][PLOT_COLUMNS];
    if (h->n_points == 0)
        return;
    const struct scale s = find_scale(h);
    memset(cells, ' ', sizeof(cells));
    for (int64_t i = 0; i < h->n_points; i++)
        draw(cells, &s, h->point[i].loss, (double)h->point[i].step - 1.0, n_steps, '.');
    for (int64_t i = 0; i < h->n_validated; i++) {
        const struct sonde_train_validated *v = &h->validated[i];
        draw(cells, &s, v->found.loss, (double)v->step - 1.0, n_steps,
             v->which < 10 ? (char)('0' + v->which) : '+');
    }
    sonde_buf_puts(out, "\n  loss");
    sonde_buf_puts(out, s.logarithmic ? " (logarithmic)\n" : "\n");
    for (int row = 0; row < PLOT_ROWS; row++) {
        const bool labelled = row % 4 == 0 || row == PLOT_ROWS - 1;
        int64_t n = PLOT_COLUMNS;
        while (n > 0 && cells[row][n - 1] == ' ')
            n--;
        if (labelled)
            sonde_buf_printf(out, "%10.4g |", loss_at(&s, 1.0 - row / (PLOT_ROWS - 1.0)));
        else
            sonde_buf_puts(out, "           |");
        sonde_buf_append(out, cells[row], (size_t)n);
        sonde_buf_putc(out, '\n');
    }
    sonde_buf_puts(out, "           +");
    for (int i = 0; i < PLOT_COLUMNS; i++)
        sonde_buf_putc(out, '-');
    sonde_buf_printf(out, "\n            step 1%*s%lld\n", PLOT_COLUMNS - 12, "",
                     (long long)n_steps);
    sonde_buf_puts(out, "            . train");
    for (int64_t i = 0; i < run->recipe->n_validations && i < 10; i++)
        sonde_buf_printf(out, "   %lld %.20s", (long long)i, run->recipe->validation[i].name);
    sonde_buf_putc(out, '\n');
}
