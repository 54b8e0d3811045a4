/* Emergent stack: whole strings right, by bin of length; and what the published data hide. */
#include <math.h>
#include <stdio.h>

#include "tools/studies/lab_score.h"
#include "tools/studies/stack_subjects.h"

static void add_row(struct sonde_table *t, const struct sonde_stack_subject *s, int64_t b,
                    const struct sonde_lab_score *score)
{
    char lengths[32];
    snprintf(lengths, sizeof(lengths), "%lld-%lld", (long long)s->bin[b].shortest,
             (long long)s->bin[b].longest);
    sonde_table_add_row(t);
    sonde_table_text(t, 0, s->name);
    sonde_table_text(t, 1, s->bin[b].name);
    sonde_table_text(t, 2, lengths);
    sonde_table_i64(t, 3, score->n_right);
    sonde_table_i64(t, 4, score->n);
    sonde_table_i64(t, 5, score->scored_right);
    sonde_table_i64(t, 6, score->scored);
    sonde_table_f64(t, 7, score->batch_mean);
    sonde_table_f64(t, 8, (double)score->symbols_right / (double)score->symbols);
}

/* The count, and the published batch mean to its six decimals. */
static void check_published(struct sonde_stack *stack, struct sonde_result *section,
                            const struct sonde_stack_subject *s, int64_t b,
                            const struct sonde_lab_score *score)
{
    const struct sonde_stack_language *l = s->language;
    char limit[48];
    if (!s->published || !s->published_data || s->epoch != l->epoch || l->published_right[b] < 0)
        return;
    snprintf(limit, sizeof(limit), "= %lld of 1999", (long long)l->published_right[b]);
    sonde_lab_check_named(
        stack->lab, section, score->scored == 1999 && score->scored_right == l->published_right[b],
        (double)score->scored_right, limit, "%s, %s: strings right", s->slug, s->bin[b].name);
    snprintf(limit, sizeof(limit), "= %.6f", l->published_mean[b]);
    sonde_lab_check_named(stack->lab, section,
                          fabs(score->batch_mean - l->published_mean[b]) <= 5e-7, score->batch_mean,
                          limit, "%s, %s: batch mean", s->slug, s->bin[b].name);
}

static enum sonde_status score_bins(struct sonde_stack *stack, struct sonde_result *section,
                                    struct sonde_table *t, const struct sonde_stack_subject *s,
                                    struct sonde_figure *figure, struct sonde_error *error)
{
    double x[SONDE_STACK_BINS_MAX], y[SONDE_STACK_BINS_MAX], worst_rise = -1;
    enum sonde_status status = SONDE_STATUS_OK;
    for (int64_t b = 0; !status && b < s->n_bins; b++) {
        struct sonde_lab_score score;
        status = sonde_lab_score(stack->lab, s->model, &s->bin[b], 0, SONDE_LAB_TARGET_NEXT, NULL,
                                 &score, error);
        if (status)
            return status;
        add_row(t, s, b, &score);
        check_published(stack, section, s, b, &score);
        x[b] = (double)s->bin[b].longest;
        y[b] = score.batch_mean;
        if (b > 0 && y[b] - y[b - 1] > worst_rise)
            worst_rise = y[b] - y[b - 1];
    }
    sonde_figure_add_series(figure, s->name, s->n_bins, x, y, NULL, NULL);
    if (s->n_bins > 1)
        sonde_lab_check_named(stack->lab, section, worst_rise <= 0, worst_rise, "<= 0",
                              "%s: accuracy rises with length by", s->slug);
    return status;
}

enum sonde_status sonde_stack_accuracy(struct sonde_stack *stack, struct sonde_error *error)
{
    static const char *const columns[] = { "model",  "bin",        "lengths",
                                           "right",  "strings",    "scored right",
                                           "scored", "batch mean", "symbols",
                                           NULL };
    struct sonde_result *section = sonde_lab_section(
        stack->lab, "Accuracy by length",
        "A string is right where every output at every position is. The published evaluation never "
        "scores the last string and takes means over batches of 32: its counts are the columns "
        "scored right and scored. Models were trained on the lengths of bin 0.");
    struct sonde_table *t = sonde_result_add_table(section, "accuracy", columns);
    struct sonde_figure *figure =
        sonde_figure_create(SONDE_FIGURE_LINE, "accuracy", "Whole strings right, by length");
    sonde_figure_set_axes(figure, "longest string of the bin (symbols)", "share of strings right");
    enum sonde_status status = SONDE_STATUS_OK;
    for (int64_t i = 0; !status && i < stack->n; i++)
        status = score_bins(stack, section, t, &stack->subject[i], figure, error);
    sonde_result_add_figure(section, figure);
    return status;
}

static void check_share(struct sonde_stack *stack, struct sonde_result *section,
                        const struct sonde_stack_subject *s, const char *what, double value,
                        double published)
{
    char limit[32];
    if (!s->published_data || stack->lab->quick)
        return;
    snprintf(limit, sizeof(limit), "= %.3f", published);
    sonde_lab_check_named(stack->lab, section, fabs(value - published) <= 5.5e-4, value, limit,
                          "%s: %s", s->slug, what);
}

enum sonde_status sonde_stack_protocol(struct sonde_stack *stack, struct sonde_error *error)
{
    static const char *const columns[] = { "language", "strings",     "padded to", "pads",
                                           "nested",   "in training", NULL };
    struct sonde_result *section = sonde_lab_section(
        stack->lab, "What the published protocol hides",
        "pads: share of the probe's samples that are padding, depth 0 and easy to tell. nested: "
        "share of the strings that are well nested, so that a Shuffle-k without a shuffle is a "
        "Dyck-k. in training: share of bin 0 that the model was trained on.");
    struct sonde_table *t = sonde_result_add_table(section, "protocol", columns);
    for (int64_t i = 0; i < stack->n; i++) {
        const struct sonde_stack_subject *s = &stack->subject[i];
        int64_t padded = s->train.longest * s->train.n;
        int64_t nested = sonde_lab_strings_nested(&s->train);
        int64_t known = sonde_lab_strings_overlap(&s->bin[0], &s->train);
        if (nested < 0 || known < 0)
            return sonde_error_memory(error, "strings");
        double pads = 1 - (double)s->train.n_symbols / (double)padded;
        double overlap = (double)known / (double)s->bin[0].n;
        sonde_table_add_row(t);
        sonde_table_text(t, 0, s->language->name);
        sonde_table_i64(t, 1, s->train.n);
        sonde_table_i64(t, 2, s->train.longest);
        sonde_table_f64(t, 3, pads);
        sonde_table_f64(t, 4, (double)nested / (double)s->train.n);
        sonde_table_f64(t, 5, overlap);
        check_share(stack, section, s, "share of pads", pads, s->language->pad_share);
        check_share(stack, section, s, "share of bin 0 in training", overlap, s->language->overlap);
        check_share(stack, section, s, "share of nested strings",
                    (double)nested / (double)s->train.n, 1);
    }
    return SONDE_STATUS_OK;
}
