/* The counter language: what the model knows of depth, where, and whether it uses it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/demo/demo.h"

#define LANGUAGE "shuffle-2:n=300,len=2..30,generator=walk,seed=7"
#define TEST_LANGUAGE "shuffle-2:n=500,len=2..50,generator=walk,seed=8"
#define SITES                                                                                      \
    "hook_embed,blocks.*.hook_attn_out,blocks.*.hook_resid_mid,blocks.*.mlp.hook_post,"            \
    "blocks.*.hook_mlp_out,blocks.*.hook_resid_post"
#define STREAMS_MAX 16
#define RANDOM_DIRECTIONS "20"

/* A site as people call it. */
static const char *short_name(const char *stream)
{
    static const char *const names[][2] = {
        { "hook_embed", "embedding" },           { "hook_attn_out", "attention" },
        { "hook_resid_mid", "after attention" }, { "hook_post", "neurons" },
        { "hook_mlp_out", "feed-forward" },      { "hook_resid_post", "end of block" },
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (sonde_str_ends(stream, names[i][0]))
            return names[i][1];
    }
    return stream;
}

/* Column `column` of table layers, at most STREAMS_MAX rows; returns how many. */
static int64_t read_column(const struct sonde_result *result, const char *column, double *x,
                           double *out)
{
    int64_t n = sonde_demo_rows(result, "layers");
    n = n < STREAMS_MAX ? n : STREAMS_MAX;
    for (int64_t i = 0; i < n; i++) {
        x[i] = (double)i;
        out[i] = sonde_demo_cell(result, "layers", i, column);
    }
    return n;
}

static void set_site_ticks(struct sonde_figure *f, const struct sonde_result *result)
{
    const char *tick[STREAMS_MAX];
    int64_t n = sonde_demo_rows(result, "layers");
    n = n < STREAMS_MAX ? n : STREAMS_MAX;
    for (int64_t i = 0; i < n; i++)
        tick[i] = short_name(sonde_demo_text(result, "layers", i, "stream"));
    sonde_figure_set_ticks(f, &f->x, tick, n);
}

/* The row of the stream that ends so, or -1. */
static int64_t find_site(const struct sonde_result *result, const char *end)
{
    for (int64_t i = 0; i < sonde_demo_rows(result, "layers"); i++) {
        if (sonde_str_ends(sonde_demo_text(result, "layers", i, "stream"), end))
            return i;
    }
    return -1;
}

static struct sonde_figure *draw_curve(const struct sonde_result *r)
{
    double x[STREAMS_MAX], value[STREAMS_MAX], low[STREAMS_MAX], high[STREAMS_MAX];
    double control[STREAMS_MAX], random[STREAMS_MAX];
    struct sonde_figure *f = sonde_figure_create(SONDE_FIGURE_LINE, "depth-curve",
                                                 "How well a linear probe reads the first counter");
    if (!f)
        return NULL;
    int64_t n = read_column(r, "value", x, value);
    read_column(r, "ci_low", x, low);
    read_column(r, "ci_high", x, high);
    read_column(r, "control", x, control);
    read_column(r, "random_weights", x, random);
    sonde_figure_set_axes(f, "place in the model, from the input to the output",
                          "accuracy on strings not seen");
    set_site_ticks(f, r);
    sonde_figure_add_series(f, "counter", n, x, value, low, high);
    sonde_figure_add_series(f, "counter, random weights", n, x, random, NULL, NULL);
    sonde_figure_add_series(f, "control: random labels", n, x, control, NULL, NULL);
    sonde_figure_set_reference(f, sonde_demo_cell(r, "layers", 0, "majority"),
                               "always the commonest");
    f->has_limits = true;
    f->low = 0.0;
    f->high = 1.0;
    return f;
}

static enum sonde_status record(struct sonde_demo *demo, struct sonde_demo_section *s,
                                struct sonde_error *error)
{
    const char *store = sonde_demo_path(demo, "counter.db");
    enum sonde_status status =
        sonde_demo_run(demo, s, NULL, error, "record", "counter", "--formal", LANGUAGE, "--sites",
                       SITES, "--run", "strings", "--resume", "-o", store, NULL);
    if (!status)
        status = sonde_demo_run(demo, s, NULL, error, "label", store, "--set", "first-counter",
                                "--builtin", "depth:1", "--replace", NULL);
    if (!status)
        status = sonde_demo_run(demo, s, NULL, error, "label", store, "--set", "share-open",
                                "--builtin", "depth/length", "--replace", NULL);
    if (!status)
        status = sonde_demo_run(demo, s, NULL, error, "label", store, "--set", "open", "--builtin",
                                "depth", "--kind", "real", "--replace", NULL);
    return status;
}

static enum sonde_status depth(struct sonde_demo *demo, struct sonde_error *error)
{
    struct sonde_demo_section *s =
        sonde_demo_begin(demo, "depth", "The count of open brackets can be read off its states");
    struct sonde_result *r = NULL;
    const char *store = sonde_demo_path(demo, "counter.db");
    enum sonde_status status = record(demo, s, error);
    if (!status)
        status = sonde_demo_run(demo, s, &r, error, "probe", "linear", store, "--streams", "*",
                                "--labels", "first-counter", "--l2", "10", "--control",
                                "--control-labels", "uniform", "--baseline", "random-weights",
                                "--max-iterations", "300", "--bootstrap", "200", NULL);
    if (!status) {
        int64_t end = find_site(r, "hook_resid_post");
        double value = sonde_demo_cell(r, "layers", end, "value");
        double control = sonde_demo_cell(r, "layers", end, "control");
        double random = sonde_demo_cell(r, "layers", end, "random_weights");
        double embed = sonde_demo_cell(r, "layers", 0, "value");
        sonde_demo_add_figure(demo, s, draw_curve(r));
        s->text[0] = "The strings mix round and square brackets freely, as in `([)]`. To know "
                     "whether `)` may come, a reader must count the round ones that are open. "
                     "Nobody told the model to count. A probe, a linear classifier on the states "
                     "at one place of the frozen model, is trained to name that count, and "
                     "scored on strings that it has not met.";
        s->seen = sonde_demo_print(
            demo,
            "The count is named rightly %.0f times in 100 from the symbol alone, and %.0f times "
            "at the end of the block. The same probe on random labels reaches %.0f, and on the "
            "same model with random weights %.0f.",
            100 * embed, 100 * value, 100 * control, 100 * random);
        s->opposite = "A control as high as the probe: then the probe memorises and says nothing "
                      "of the model. Random weights as high: then training added nothing.";
        sonde_result_scalar_f64(demo->result, "depth_accuracy", value);
        sonde_result_scalar_f64(demo->result, "depth_control", control);
        sonde_result_check(demo->result, "the counter is read better than random labels",
                           value - control >= 0.3, value - control, ">= 0.3");
        sonde_result_check(demo->result, "and better than from random weights",
                           value - random >= 0.05, value - random, ">= 0.05");
        sonde_demo_number(demo, sonde_demo_print(demo, "%.2f", value),
                          sonde_demo_print(demo,
                                           "accuracy of a linear probe for the first counter; "
                                           "%.2f with random labels",
                                           control));
    }
    sonde_result_destroy(&r);
    return status;
}

static struct sonde_figure *draw_correlation(const struct sonde_result *share,
                                             const struct sonde_result *open)
{
    double x[STREAMS_MAX], a[STREAMS_MAX], b[STREAMS_MAX], control[STREAMS_MAX];
    struct sonde_figure *f = sonde_figure_create(SONDE_FIGURE_BAR, "localisation",
                                                 "The best single coordinate of each place");
    if (!f)
        return NULL;
    int64_t n = read_column(share, "pearson", x, a);
    read_column(open, "pearson", x, b);
    read_column(share, "control_max", x, control);
    for (int64_t i = 0; i < n; i++) {
        a[i] = fabs(a[i]);
        b[i] = fabs(b[i]);
        control[i] = fabs(control[i]);
    }
    sonde_figure_set_axes(f, NULL, "|Pearson's r|");
    set_site_ticks(f, share);
    sonde_figure_add_series(f, "open brackets / length", n, x, a, NULL, NULL);
    sonde_figure_add_series(f, "open brackets", n, x, b, NULL, NULL);
    sonde_figure_add_series(f, "control: shifted labels, largest", n, x, control, NULL, NULL);
    return f;
}

static enum sonde_status localisation(struct sonde_demo *demo, struct sonde_error *error)
{
    struct sonde_demo_section *s =
        sonde_demo_begin(demo, "where", "One coordinate after attention holds it almost exactly");
    struct sonde_result *share = NULL, *open = NULL;
    const char *store = sonde_demo_path(demo, "counter.db");
    enum sonde_status status =
        sonde_demo_run(demo, s, &share, error, "probe", "correlation", store, "--streams", "*",
                       "--labels", "share-open", "--bootstrap", "200", NULL);
    if (!status)
        status = sonde_demo_run(demo, s, &open, error, "probe", "correlation", store, "--streams",
                                "*", "--labels", "open", "--bootstrap", "200", NULL);
    if (!status) {
        int64_t attention = find_site(share, "hook_attn_out");
        int64_t end = find_site(share, "hook_resid_post");
        double r = fabs(sonde_demo_cell(share, "layers", attention, "pearson"));
        double raw = fabs(sonde_demo_cell(open, "layers", attention, "pearson"));
        double last = fabs(sonde_demo_cell(share, "layers", end, "pearson"));
        double coordinate = sonde_demo_cell(share, "layers", attention, "coordinate");
        sonde_demo_add_figure(demo, s, draw_correlation(share, open));
        s->text[0] = "Attention without positions can average what it has read: +1 for an opening "
                     "bracket, -1 for a closing one. That average is not the count but the count "
                     "divided by the length. Is it there? The correlation of every single "
                     "coordinate at every place with both numbers tells.";
        s->seen = sonde_demo_print(
            demo,
            "Coordinate %.0f of the attention's output follows open brackets / length with "
            "|r| = %.4f; with the plain count it is %.2f. At the end of the block no coordinate "
            "does better than %.2f: the feed-forward part has turned the number into a decision.",
            coordinate, r, raw, last);
        s->opposite =
            "A plain count that correlates more than the average; or labels shifted along "
            "the strings that correlate as well, which would make any best-of-32 look "
            "good.";
        sonde_result_scalar_f64(demo->result, "localisation_attention", r);
        sonde_result_scalar_f64(demo->result, "localisation_end", last);
        sonde_result_check(demo->result, "one coordinate of the attention's output is depth/length",
                           r >= 0.95, r, ">= 0.95");
        sonde_result_check(demo->result, "at the end of the block none is", last <= 0.9, last,
                           "<= 0.9");
        sonde_demo_number(demo, sonde_demo_print(demo, "r = %.3f", r),
                          "between one coordinate of the attention's output and open brackets "
                          "/ length");
    }
    sonde_result_destroy(&share);
    sonde_result_destroy(&open);
    return status;
}

/* Shares of strings right: as the model is, and without a direction. */
struct ablated {
    double before, covariance, weights, random;
    double random_low, random_high;
};

static struct sonde_figure *draw_ablation(const struct ablated *a)
{
    const double x[] = { 0, 1, 2, 3 };
    const double y[] = { a->before, a->covariance, a->weights, a->random };
    const double low[] = { a->before, a->covariance, a->weights, a->random_low };
    const double high[] = { a->before, a->covariance, a->weights, a->random_high };
    static const char *const tick[] = { "nothing", "covariance", "probe's weights", "random" };
    struct sonde_figure *f = sonde_figure_create(SONDE_FIGURE_BAR, "ablation",
                                                 "Strings right when a direction is taken away");
    if (!f)
        return NULL;
    sonde_figure_set_axes(f, "what is taken out of every state at the end of the block",
                          "share of 500 strings");
    sonde_figure_set_ticks(f, &f->x, tick, 4);
    sonde_figure_add_series(f, "strings right", 4, x, y, low, high);
    sonde_figure_set_caption(f, "Random: the mean of 20 directions, and the least to the most.");
    return f;
}

/* The direction that a probe saves, taken away; with random ones beside it where controls is given.
 */
static enum sonde_status ablate(struct sonde_demo *demo, struct sonde_demo_section *s,
                                const char *probe, const char *file, const char *controls,
                                struct sonde_result **out, struct sonde_error *error)
{
    const char *store = sonde_demo_path(demo, "counter.db");
    const char *path = sonde_demo_path(demo, file);
    /* a word of the edit's grammar, quoted where it must be */
    const char *quote = !strpbrk(path, " '\"") ? "" : strchr(path, '\'') ? "\"" : "'";
    const char *edit =
        sonde_demo_print(demo, "project-out blocks.0.hook_resid_post %s%s%s", quote, path, quote);
    enum sonde_status status = sonde_demo_run(
        demo, s, NULL, error, "probe", probe, store, "--streams", "blocks.0.hook_resid_post",
        "--labels", "first-counter", "--task", "real", "--save-direction", path, NULL);
    if (!status)
        status = sonde_demo_run(demo, s, out, error, "score", "counter", "--formal", TEST_LANGUAGE,
                                "--edit", edit, controls ? "--edit-control" : NULL, controls, NULL);
    return status;
}

static struct ablated read_ablated(const struct sonde_result *covariance,
                                   const struct sonde_result *weights)
{
    struct ablated a = {
        .before = sonde_demo_scalar(covariance, "sequences_right"),
        .covariance = sonde_demo_scalar(covariance, "sequences_right_edited"),
        .weights = sonde_demo_scalar(weights, "sequences_right_edited"),
        .random = sonde_demo_scalar(covariance, "sequences_right_control"),
        .random_low = 1.0,
    };
    for (int64_t i = 2; i < sonde_demo_rows(covariance, "scores"); i++) {
        double share = sonde_demo_cell(covariance, "scores", i, "sequences_right");
        a.random_low = fmin(a.random_low, share);
        a.random_high = fmax(a.random_high, share);
    }
    return a;
}

static void tell_ablation(struct sonde_demo *demo, struct sonde_demo_section *s,
                          const struct ablated *a)
{
    s->text[0] =
        "That something can be read does not mean that the model uses it. So the direction "
        "along which the states move with the count, their covariance with it, is taken "
        "out of every state while the model runs, and nothing else. A string counts as "
        "right only if the model says rightly what may follow, at every symbol. Beside it "
        "the weights of a regression that reads the count, and random directions.";
    s->seen = sonde_demo_print(
        demo,
        "%.1f %% of 500 new strings are right as the model is, %.1f %% without the covariance "
        "direction, %.1f %% on average without a random one. Without the regression's weights "
        "%.1f %% are: what reads a number best need not be where the model keeps it.",
        100 * a->before, 100 * a->covariance, 100 * a->random, 100 * a->weights);
    s->opposite = "The same accuracy without the covariance direction: then the count is written "
                  "there, and read by no one. Or random directions that hurt as much: then any cut "
                  "breaks the model, and nothing is learnt from this one.";
    sonde_result_scalar_f64(demo->result, "strings_right", a->before);
    sonde_result_scalar_f64(demo->result, "strings_right_ablated", a->covariance);
    sonde_result_scalar_f64(demo->result, "strings_right_weights", a->weights);
    sonde_result_scalar_f64(demo->result, "strings_right_random", a->random);
    sonde_result_check(demo->result, "the counter model is right on whole strings",
                       a->before >= 0.95, a->before, ">= 0.95");
    sonde_result_check(demo->result, "without the covariance direction it is not",
                       a->covariance <= 0.05, a->covariance, "<= 0.05");
    sonde_result_check(demo->result, "without random directions it is", a->random >= 0.9, a->random,
                       ">= 0.9");
    sonde_demo_number(
        demo,
        sonde_demo_print(demo, "%.0f %% \u2192 %.0f %%", 100 * a->before, 100 * a->covariance),
        sonde_demo_print(
            demo,
            "strings right before and after one direction of 32 is taken away; %.0f %% "
            "for random directions",
            100 * a->random));
}

static enum sonde_status ablation(struct sonde_demo *demo, struct sonde_error *error)
{
    struct sonde_demo_section *s =
        sonde_demo_begin(demo, "use", "Without that one direction it is lost");
    struct sonde_result *covariance = NULL, *weights = NULL;
    enum sonde_status status =
        ablate(demo, s, "covariance", "first-counter.npy", RANDOM_DIRECTIONS, &covariance, error);
    if (!status)
        status = ablate(demo, s, "ridge", "first-counter-weights.npy", NULL, &weights, error);
    if (!status) {
        struct ablated a = read_ablated(covariance, weights);
        sonde_demo_add_figure(demo, s, draw_ablation(&a));
        tell_ablation(demo, s, &a);
    }
    sonde_result_destroy(&covariance);
    sonde_result_destroy(&weights);
    return status;
}

enum sonde_status sonde_demo_counter(struct sonde_demo *demo, struct sonde_error *error)
{
    enum sonde_status status = depth(demo, error);
    if (!status)
        status = localisation(demo, error);
    if (!status)
        status = ablation(demo, error);
    return status;
}
