/* Emergent stack: where depth, and depth/length, stand in a single coordinate. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tools/studies/stack_subjects.h"

#define SITES_MAX 32

static const char *const labels[] = { "depth", "depth/length" };

struct found {
    const char *site[SITES_MAX];
    double r[2][SITES_MAX], held_out[2][SITES_MAX], control[2][SITES_MAX];
    int64_t n;
};

static double find(const struct found *f, int label, const char *site)
{
    for (int64_t i = 0; i < f->n; i++)
        if (strcmp(f->site[i], site) == 0)
            return fabs(f->r[label][i]);
    return (double)NAN;
}

static enum sonde_status record(struct sonde_stack *stack, const struct sonde_stack_subject *s,
                                const char *run, struct sonde_error *error)
{
    const struct sonde_lab_recording what = {
        .name = run,
        .sites = "hook_embed,qkv,blocks.*.attn.hook_z,blocks.*.hook_attn_out,"
                 "blocks.*.hook_resid_mid,blocks.*.ln1.hook_scale,"
                 "blocks.*.hook_normalized_resid_mid,blocks.*.mlp.hook_post,"
                 "blocks.*.hook_mlp_out,blocks.*.hook_resid_post_before_ln2,"
                 "blocks.*.hook_resid_post",
        .n = stack->lab->quick ? 200 : 1000,
    };
    char ratio[32];
    snprintf(ratio, sizeof(ratio), "%s/length", s->language->depth);
    enum sonde_status status = sonde_lab_record(stack->lab, s->model, &s->bin[0], &what, error);
    if (!status)
        status = sonde_lab_label(stack->lab, run, &s->bin[0], s->language->depth, true,
                                 SONDE_LAB_PADS_MASKED, labels[0], error);
    if (!status)
        status = sonde_lab_label(stack->lab, run, &s->bin[0], ratio, true, SONDE_LAB_PADS_MASKED,
                                 labels[1], error);
    return status;
}

static enum sonde_status correlate(struct sonde_stack *stack, const char *run, int label,
                                   struct sonde_result **out, struct found *f,
                                   struct sonde_error *error)
{
    const char *const options[] = { "streams", "*",         "labels", labels[label], "controls",
                                    "5",       "bootstrap", "0",      NULL };
    enum sonde_status status = sonde_lab_probe(stack->lab, run, "correlation", options, out, error);
    if (status)
        return status;
    f->n = sonde_lab_rows(*out, "layers");
    f->n = f->n < SITES_MAX ? f->n : SITES_MAX;
    for (int64_t i = 0; i < f->n; i++) {
        f->site[i] = sonde_lab_cell_text(*out, "layers", i, "stream");
        f->r[label][i] = sonde_lab_cell(*out, "layers", i, "pearson");
        f->held_out[label][i] = sonde_lab_cell(*out, "layers", i, "held_out");
        f->control[label][i] = sonde_lab_cell(*out, "layers", i, "control");
    }
    return SONDE_STATUS_OK;
}

static const char *short_name(const char *site)
{
    return strncmp(site, "blocks.0.", 9) == 0 ? site + 9 : site;
}

static void show(struct sonde_result *section, struct sonde_table *t,
                 const struct sonde_stack_subject *s, const struct found *f)
{
    char name[64], title[96];
    double x[SITES_MAX], y[3][SITES_MAX];
    const char *tick[SITES_MAX];
    for (int64_t i = 0; i < f->n; i++) {
        x[i] = (double)i;
        tick[i] = short_name(f->site[i]);
        y[0][i] = fabs(f->r[0][i]);
        y[1][i] = fabs(f->r[1][i]);
        y[2][i] = fabs(f->control[1][i]);
        sonde_table_add_row(t);
        sonde_table_text(t, 0, s->slug);
        sonde_table_text(t, 1, tick[i]);
        for (int64_t column = 2, label = 1; label >= 0; label--) {
            sonde_table_f64(t, column++, f->r[label][i]);
            sonde_table_f64(t, column++, f->held_out[label][i]);
            sonde_table_f64(t, column++, f->control[label][i]);
        }
    }
    snprintf(name, sizeof(name), "localisation-%s", s->slug);
    snprintf(title, sizeof(title), "%s: best single coordinate by site", s->name);
    struct sonde_figure *figure = sonde_figure_create(SONDE_FIGURE_BAR, name, title);
    sonde_figure_set_axes(figure, "site, in the order of the pass", "|Pearson's r|");
    if (figure)
        sonde_figure_set_ticks(figure, &figure->x, tick, f->n);
    sonde_figure_add_series(figure, labels[1], f->n, x, y[1], NULL, NULL);
    sonde_figure_add_series(figure, labels[0], f->n, x, y[0], NULL, NULL);
    sonde_figure_add_series(figure, "control, depth/length", f->n, x, y[2], NULL, NULL);
    sonde_result_add_figure(section, figure);
}

static enum sonde_status localise(struct sonde_stack *stack, struct sonde_result *section,
                                  struct sonde_table *t, const struct sonde_stack_subject *s,
                                  struct sonde_error *error)
{
    struct sonde_result *result[2] = { NULL, NULL };
    struct found f = { 0 };
    char run[64];
    snprintf(run, sizeof(run), "%s-bin0", s->slug);
    enum sonde_status status = record(stack, s, run, error);
    for (int label = 0; !status && label < 2; label++)
        status = correlate(stack, run, label, &result[label], &f, error);
    if (!status) {
        double limit = s->published ? 0.99 : 0.98;
        double attention = find(&f, 1, SONDE_STACK_ATTN_OUT), last = find(&f, 1, SONDE_STACK_FINAL);
        sonde_lab_check_named(stack->lab, section, attention >= limit, attention,
                              s->published ? ">= 0.99" : ">= 0.98",
                              "%s: depth/length at the attention output", s->slug);
        sonde_lab_check_named(stack->lab, section, last <= 0.75, last, "<= 0.75",
                              "%s: depth/length at the final state", s->slug);
        show(section, t, s, &f);
    }
    sonde_result_destroy(&result[0]);
    sonde_result_destroy(&result[1]);
    return status;
}

enum sonde_status sonde_stack_localise(struct sonde_stack *stack, struct sonde_error *error)
{
    static const char *const columns[] = { "model",           "site",           "r, depth/length",
                                           "held out",        "control",        "r, depth",
                                           "held out, depth", "control, depth", NULL };
    struct sonde_result *section = sonde_lab_section(
        stack->lab, "Localisation",
        "Pearson's r of the best single coordinate of every site. Uniform causal attention "
        "averages +1 and -1, which is depth/length: the attention's output has it in one "
        "coordinate, the stream behind it no longer. The best of many is large by chance too. So "
        "held out: r on a fifth of the strings of the coordinate that the others chose; control: "
        "mean |r| of the best coordinate with the label moved along the samples, five times. "
        "Shuffle: the counter of type 1.");
    struct sonde_table *t = sonde_result_add_table(section, "localisation", columns);
    enum sonde_status status = SONDE_STATUS_OK;
    for (int64_t i = 0; !status && i < stack->n; i++)
        status = localise(stack, section, t, &stack->subject[i], error);
    return status;
}
