/*
 * Emergent stack: what is left of the model when one direction is taken out of a site: that of the
 * covariance with depth, that of a least-squares probe, and random ones. Two ways: the projection
 * takes the mean's part along the direction too, the other takes only what varies.
 */
#include <stdio.h>
#include <stdlib.h>

#include "core/base/file.h"
#include "tools/studies/lab_score.h"
#include "tools/studies/stack_subjects.h"

#define RANDOM_DRAWS 20
#define RANDOM_STRINGS 300

static const char *const sites[] = { SONDE_STACK_FINAL, SONDE_STACK_ATTN_OUT };
static const char *const site_names[] = { "final state", "attention output" };
#define N_SITES 2

enum direction { NONE, RANDOM, LEAST_SQUARES, COVARIANCE, DIRECTIONS };
static const char *const direction_names[DIRECTIONS] = { "none", "random", "least squares",
                                                         "covariance" };
enum way { PROJECTED, VARIATION, WAYS };

/* Of one model at one site. */
struct ablation {
    struct sonde_stack *stack;
    const struct sonde_stack_subject *subject;
    int site;
    float *mean, *found[DIRECTIONS]; /* [width] each; NULL for none and random */
    int64_t width;
    double share[WAYS][DIRECTIONS]; /* of strings right; random: the mean of the draws */
    double least[WAYS];             /* of the draws */
    int64_t n, n_random, draws;
};

static enum sonde_status score_without(struct ablation *a, const float *v, enum way way, int64_t n,
                                       double *share, struct sonde_error *error)
{
    const struct sonde_stack_subject *s = a->subject;
    struct sonde_lab *lab = a->stack->lab;
    struct sonde_edits *edits = NULL;
    struct sonde_lab_score score = { 0 };
    enum sonde_status status = SONDE_STATUS_OK;
    if (v)
        status = sonde_lab_take_out(lab, s->model, sites[a->site], v,
                                    way == VARIATION ? a->mean : NULL, a->width, &edits, error);
    if (!status)
        status = sonde_lab_score(lab, s->model, &s->bin[0], n, SONDE_LAB_TARGET_NEXT, edits, &score,
                                 error);
    sonde_edits_destroy(&edits);
    *share = score.n > 0 ? (double)score.n_right / (double)score.n : 0;
    return status;
}

/* The direction that a probe finds; its file stays in DIR/directions. */
static enum sonde_status find_direction(struct ablation *a, const char *probe, float **out,
                                        struct sonde_error *error)
{
    const char *slug = a->subject->slug, *site = sites[a->site];
    struct sonde_lab *lab = a->stack->lab;
    struct sonde_result *result = NULL;
    char run[64];
    snprintf(run, sizeof(run), "%s-bin0", slug);
    char *folder = sonde_lab_path(lab, "directions");
    char *file = sonde_lab_path(lab, "directions/%s-%s-%s.npy", slug, probe, site);
    enum sonde_status status = folder && file ? sonde_path_make_directory(folder, error)
                                              : sonde_error_memory(error, "a path");
    /* The penalty is next to nothing; without it the attention's output, whose columns depend on
     * each other, has no least-squares solution. */
    const char *const options[] = {
        "streams",        site, "labels",    "depth", "l2", "1e-3",
        "save-direction", file, "bootstrap", "0",     NULL,
    };
    if (!status)
        status = sonde_lab_probe(lab, run, probe, options, &result, error);
    if (!status)
        status = sonde_lab_read_direction(file, out, &a->width, error);
    sonde_result_destroy(&result);
    free(folder);
    free(file);
    return status;
}

static enum sonde_status draw(struct ablation *a, enum way way, struct sonde_error *error)
{
    enum sonde_status status = SONDE_STATUS_OK;
    float *v = calloc((size_t)a->width + 1, sizeof(*v));
    a->least[way] = 1;
    if (!v)
        return sonde_error_memory(error, "a direction");
    for (int64_t k = 1; !status && k <= a->draws; k++) {
        double share = 0;
        sonde_lab_random_direction(a->stack->lab, k, a->width, v);
        status = score_without(a, v, way, a->n_random, &share, error);
        a->share[way][RANDOM] += share / (double)a->draws;
        a->least[way] = share < a->least[way] ? share : a->least[way];
    }
    free(v);
    return status;
}

static enum sonde_status ablate(struct ablation *a, struct sonde_error *error)
{
    bool quick = a->stack->lab->quick;
    char run[64];
    int64_t all = a->subject->bin[0].n, width;
    a->n = quick ? 200 : 1000;
    a->n = a->n < all ? a->n : all;
    a->n_random = quick ? 100 : RANDOM_STRINGS;
    a->draws = quick ? 5 : RANDOM_DRAWS;
    snprintf(run, sizeof(run), "%s-bin0", a->subject->slug);
    enum sonde_status status = find_direction(a, "covariance", &a->found[COVARIANCE], error);
    if (!status)
        status = find_direction(a, "ridge", &a->found[LEAST_SQUARES], error);
    if (!status)
        status = sonde_lab_mean(a->stack->lab, run, sites[a->site], &a->mean, &width, error);
    for (int way = 0; !status && way < WAYS; way++) {
        for (int d = 0; !status && d < DIRECTIONS; d++)
            if (d != RANDOM)
                status =
                    score_without(a, a->found[d], (enum way)way, a->n, &a->share[way][d], error);
        if (!status)
            status = draw(a, (enum way)way, error);
    }
    return status;
}

static void finish(struct ablation *a)
{
    free(a->mean);
    for (int d = 0; d < DIRECTIONS; d++)
        free(a->found[d]);
}

static void add_rows(struct sonde_table *t, const struct ablation *a)
{
    for (int d = 0; d < DIRECTIONS; d++) {
        sonde_table_add_row(t);
        sonde_table_text(t, 0, a->subject->slug);
        sonde_table_text(t, 1, site_names[a->site]);
        sonde_table_text(t, 2, direction_names[d]);
        sonde_table_f64(t, 3, a->share[VARIATION][d]);
        sonde_table_f64(t, 4, a->share[PROJECTED][d]);
        if (d == RANDOM) {
            sonde_table_f64(t, 5, a->least[VARIATION]);
            sonde_table_i64(t, 6, a->draws);
        }
        sonde_table_i64(t, 7, d == RANDOM ? a->n_random : a->n);
    }
}

static void check(struct ablation *a, struct sonde_result *section)
{
    struct sonde_lab *lab = a->stack->lab;
    const char *slug = a->subject->slug, *site = site_names[a->site];
    const double *share = a->share[VARIATION];
    sonde_lab_check_named(lab, section, share[COVARIANCE] <= 0.01, share[COVARIANCE], "<= 0.01",
                          "%s, %s: without the covariance direction", slug, site);
    /* At the attention's output the states lie along one or two dimensions, so that a random
     * direction is no control there. */
    if (a->site != 0)
        return;
    sonde_lab_check_named(lab, section, share[RANDOM] >= 0.95, share[RANDOM], ">= 0.95",
                          "%s, %s: random directions, mean", slug, site);
    sonde_lab_check_named(lab, section, a->least[VARIATION] >= 0.1, a->least[VARIATION], ">= 0.1",
                          "%s, %s: random directions, least", slug, site);
}

static enum sonde_status ablate_site(struct sonde_stack *stack, struct sonde_result *section,
                                     struct sonde_table *t, int site, struct sonde_error *error)
{
    const double x[DIRECTIONS] = { 0, 1, 2, 3 };
    enum sonde_status status = SONDE_STATUS_OK;
    char name[32], title[64];
    snprintf(name, sizeof(name), "ablations-%s", site ? "attention" : "final");
    snprintf(title, sizeof(title), "Strings right without a direction: %s", site_names[site]);
    struct sonde_figure *figure = sonde_figure_create(SONDE_FIGURE_BAR, name, title);
    sonde_figure_set_axes(figure, "direction whose variation is taken out",
                          "share of strings right");
    if (figure)
        sonde_figure_set_ticks(figure, &figure->x, direction_names, DIRECTIONS);
    for (int64_t i = 0; !status && i < stack->n; i++) {
        struct ablation a = { .stack = stack, .subject = &stack->subject[i], .site = site };
        status = ablate(&a, error);
        if (!status) {
            add_rows(t, &a);
            check(&a, section);
            sonde_figure_add_series(figure, a.subject->slug, DIRECTIONS, x, a.share[VARIATION],
                                    NULL, NULL);
        }
        finish(&a);
    }
    sonde_result_add_figure(section, figure);
    return status;
}

enum sonde_status sonde_stack_ablate(struct sonde_stack *stack, struct sonde_error *error)
{
    static const char *const columns[] = { "model", "site",  "direction", "right", "projected",
                                           "least", "draws", "strings",   NULL };
    struct sonde_result *section = sonde_lab_section(
        stack->lab, "Ablations",
        "Share of the strings of bin 0 that stay right when what varies along a direction is taken "
        "out of every state of a site (projected: the mean's part along it too; least: of the "
        "random draws). The least-squares weights read depth best and do nothing: they lie where "
        "the states hardly vary. Random directions are a control at the final state only: the "
        "attention's output has one or two dimensions.");
    struct sonde_table *t = sonde_result_add_table(section, "ablations", columns);
    enum sonde_status status = SONDE_STATUS_OK;
    for (int site = 0; !status && site < N_SITES; site++)
        status = ablate_site(stack, section, t, site, error);
    return status;
}
