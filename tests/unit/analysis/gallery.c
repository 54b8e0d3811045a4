#include "tests/unit/analysis/gallery.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/rng.h"

#define COUNT(array) ((int64_t)(sizeof(array) / sizeof((array)[0])))

static const char *const word[] = {
    "<s>",
    " Once",
    " upon",
    " a",
    " time",
    ",",
    " there",
    " was",
    " a",
    " little",
    " girl",
    " named",
    " Lily",
    ".",
    " She",
    " loved",
    " to",
    " play",
    " outside",
    " in",
    " the",
    " sun",
    "shine",
    ".",
    " One",
    " day",
    ",",
    " she",
    " saw",
    " a",
    " big",
    ",",
    " shiny",
    " unbelievably",
    " long",
    " thing",
    "\n",
    "\xf0\x9f\x98\x80",
    " \xd7\xa9\xd7\x9c\xd7\x95\xd7\x9d",
    "\xe6\xbc\xa2",
};
static const char *const tag[] = { "ADJ",   "ADP",   "ADV", "AUX",  "CCONJ", "DET",
                                   "INTJ",  "NOUN",  "NUM", "PART", "PRON",  "PROPN",
                                   "PUNCT", "SCONJ", "SYM", "VERB", "X" };

/* A causal pattern: most weight on the first and the previous token. NaN above the diagonal. */
static void fill_attention(float *value, int64_t n, uint64_t seed)
{
    struct sonde_rng rng = sonde_rng_make(seed, 1);
    for (int64_t q = 0; q < n; q++) {
        double sum = 0;
        for (int64_t k = 0; k < n; k++) {
            double score = 1.6 * sonde_rng_normal(&rng) + (k == 0 ? 3 : 0) + (k == q - 1 ? 2.5 : 0);
            value[q * n + k] = k <= q ? (float)exp(score) : (float)NAN;
            sum += k <= q ? (double)value[q * n + k] : 0;
        }
        for (int64_t k = 0; k <= q; k++)
            value[q * n + k] = (float)((double)value[q * n + k] / sum);
    }
}

static struct sonde_figure *make_attention(int64_t n)
{
    float *value = malloc((size_t)(n * n) * sizeof(*value));
    if (!value)
        return NULL;
    fill_attention(value, n, 7);
    struct sonde_figure *f = sonde_figure_create(SONDE_FIGURE_HEATMAP, "layer-1-head-3",
                                                 "Attention of blocks.1, head 3");
    sonde_figure_set_axes(f, "key (attended to)", "query (attending)");
    sonde_figure_set_scale(f, SONDE_COLORMAP_SEQUENTIAL, "attention weight", true, 0, 1);
    sonde_figure_set_matrix(f, n, n, value);
    if (f && n <= COUNT(word)) {
        sonde_figure_set_ticks(f, &f->x, word, n);
        sonde_figure_set_ticks(f, &f->y, word, n);
    }
    if (f)
        f->y_from_top = true;
    sonde_figure_set_caption(f,
                             "Each row is a query and sums to 1; keys after the query are masked.");
    if (f && !value)
        f->failed = true;
    free(value);
    return f;
}

static struct sonde_figure *make_confusion(void)
{
    float value[17 * 17];
    struct sonde_rng rng = sonde_rng_make(3, 1);
    for (int64_t r = 0; r < 17; r++)
        for (int64_t c = 0; c < 17; c++)
            value[r * 17 + c] = (float)(r == c ? 40 + sonde_rng_below(&rng, 900)
                                        : sonde_rng_below(&rng, 5) == 0 ? sonde_rng_below(&rng, 60)
                                                                        : 0);
    struct sonde_figure *f = sonde_figure_create(SONDE_FIGURE_HEATMAP, "confusion",
                                                 "Confusion of upos at blocks.1.hook_resid_post");
    sonde_figure_set_axes(f, "predicted", "true");
    sonde_figure_set_scale(f, SONDE_COLORMAP_SEQUENTIAL, "tokens", false, 0, 0);
    sonde_figure_set_matrix(f, 17, 17, value);
    if (f) {
        sonde_figure_set_ticks(f, &f->x, tag, 17);
        sonde_figure_set_ticks(f, &f->y, tag, 17);
        f->y_from_top = true;
    }
    return f;
}

static struct sonde_figure *make_grid(int64_t heads, int64_t n, int64_t columns)
{
    float *value = malloc((size_t)(n * n) * sizeof(*value));
    if (!value)
        return NULL;
    struct sonde_figure *f =
        sonde_figure_create(SONDE_FIGURE_GRID, "layer-0-heads", "Attention of blocks.0, all heads");
    sonde_figure_set_axes(f, "key", "query");
    sonde_figure_set_scale(f, SONDE_COLORMAP_SEQUENTIAL, "attention weight", true, 0, 1);
    for (int64_t h = 0; h < heads; h++) {
        char title[32];
        snprintf(title, sizeof(title), "head %lld", (long long)h);
        fill_attention(value, n, (uint64_t)h);
        sonde_figure_add_panel(f, title, n, n, value);
    }
    if (f) {
        f->panel_columns = columns;
        f->y_from_top = true;
    }
    if (f && !value)
        f->failed = true;
    free(value);
    return f;
}

static struct sonde_figure *make_lens(int64_t layers, int64_t n)
{
    float *value = malloc((size_t)(layers * n) * sizeof(*value));
    char(*name)[40] = malloc((size_t)layers * sizeof(*name));
    const char **label = malloc((size_t)(layers + n) * sizeof(*label));
    struct sonde_figure *f = sonde_figure_create(SONDE_FIGURE_TEXT, "lens", "Logit lens");
    if (value && name && label) {
        struct sonde_rng rng = sonde_rng_make(5, 1);
        for (int64_t r = 0; r < layers; r++) {
            snprintf(name[r], sizeof(name[r]), "%lld.resid_%s", (long long)(r / 2),
                     r % 2 ? "post" : "mid");
            label[r] = name[r];
            for (int64_t c = 0; c < n; c++)
                value[r * n + c] = (float)pow(sonde_rng_uniform(&rng),
                                              3.0 * (double)(layers - r) / (double)layers);
        }
        sonde_figure_set_axes(f, "input token", "layer");
        sonde_figure_set_scale(f, SONDE_COLORMAP_SEQUENTIAL, "probability of the top token", true,
                               0, 1);
        sonde_figure_set_matrix(f, layers, n, value);
        for (int64_t c = 0; c < n; c++)
            label[layers + c] = word[c % COUNT(word)];
        if (f) {
            sonde_figure_set_ticks(f, &f->y, label, layers);
            sonde_figure_set_ticks(f, &f->x, label + layers, n);
        }
        for (int64_t i = 0; i < layers * n; i++)
            sonde_figure_set_cell_text(f, i / n, i % n, word[sonde_rng_below(&rng, COUNT(word))]);
        sonde_figure_set_caption(
            f, "Each cell: the token that the residual stream there predicts next.");
    } else if (f) {
        f->failed = true;
    }
    free(value);
    free(name);
    free(label);
    return f;
}

static struct sonde_figure *make_curve(bool named)
{
    struct sonde_figure *f =
        sonde_figure_create(SONDE_FIGURE_LINE, "curve", "Accuracy of the linear probe by layer");
    static const char *const site[] = { "embed",  "0.mid", "0.post", "1.mid",
                                        "1.post", "2.mid", "2.post" };
    double x[7], y[7], low[7], high[7], control[7];
    for (int k = 0; k < 7; k++) {
        x[k] = k;
        y[k] = 0.62 + 0.28 * (1 - exp(-0.7 * k)) - 0.004 * k * k;
        low[k] = y[k] - 0.018;
        high[k] = y[k] + 0.015;
        control[k] = 0.41 + 0.01 * k;
    }
    control[3] = (double)NAN;
    sonde_figure_set_axes(f, "site", "accuracy");
    sonde_figure_add_series(f, "upos", 7, x, y, low, high);
    sonde_figure_add_series(f, "control task", 7, x, control, NULL, NULL);
    if (f && named)
        sonde_figure_set_ticks(f, &f->x, site, 7);
    sonde_figure_set_reference(f, 0.187, "majority class");
    sonde_figure_set_caption(f, "Bands are 95 % bootstrap intervals over sequences.");
    return f;
}

static struct sonde_figure *make_bars(int64_t n, int64_t n_series)
{
    struct sonde_figure *f = sonde_figure_create(SONDE_FIGURE_BAR, "share",
                                                 "Share of tokens on which a neuron is active");
    struct sonde_rng rng = sonde_rng_make(9, 1);
    double *y = malloc((size_t)n * 4 * sizeof(*y));
    if (y) {
        for (int64_t s = 0; s < n_series; s++) {
            for (int64_t k = 0; k < n; k++) {
                y[k] = sonde_rng_uniform(&rng) - (n_series > 1 ? 0.3 : 0);
                y[n + k] = (double)k;
                y[2 * n + k] = y[k] - 0.04;
                y[3 * n + k] = y[k] + 0.04;
            }
            sonde_figure_add_series(f, s ? "random weights" : "trained", n, y + n, y, y + 2 * n,
                                    y + 3 * n);
        }
        sonde_figure_set_axes(f, "part of speech", "difference");
        if (f)
            sonde_figure_set_ticks(f, &f->x, tag, n < 17 ? n : 17);
    }
    if (f && !y)
        f->failed = true;
    free(y);
    return f;
}

static struct sonde_figure *make_scatter(int64_t n)
{
    struct sonde_figure *f =
        sonde_figure_create(SONDE_FIGURE_SCATTER, "scatter", "Predicted against true depth");
    struct sonde_rng rng = sonde_rng_make(9, 1);
    double *x = malloc((size_t)n * 2 * sizeof(*x));
    for (int s = 0; x && s < 2; s++) {
        for (int64_t k = 0; k < n; k++) {
            x[k] = 6 * sonde_rng_uniform(&rng) + s;
            x[n + k] = x[k] + 0.8 * sonde_rng_normal(&rng);
        }
        sonde_figure_add_series(f, s ? "validation" : "train", n, x, x + n, NULL, NULL);
    }
    sonde_figure_set_axes(f, "true depth", "predicted depth");
    if (f && !x)
        f->failed = true;
    free(x);
    return f;
}

/* Both signs, and everything that is no number. */
static struct sonde_figure *make_diverging(int64_t rows, int64_t columns)
{
    struct sonde_figure *f =
        sonde_figure_create(SONDE_FIGURE_HEATMAP, "direct", "Direct logit attribution");
    struct sonde_rng rng = sonde_rng_make(11, 1);
    float *value = malloc((size_t)(rows * columns) * sizeof(*value));
    if (value) {
        for (int64_t i = 0; i < rows * columns; i++)
            value[i] = (float)(2.5 * sonde_rng_normal(&rng));
        value[0] = (float)NAN;
        value[rows * columns / 2] = (float)INFINITY;
        value[rows * columns - 1] = -(float)INFINITY;
        sonde_figure_set_axes(f, "head", "layer");
        sonde_figure_set_scale(f, SONDE_COLORMAP_DIVERGING, "logit difference", false, 0, 0);
        sonde_figure_set_matrix(f, rows, columns, value);
    }
    if (f && !value)
        f->failed = true;
    free(value);
    return f;
}

static struct sonde_figure *make_constant(int64_t rows, int64_t columns)
{
    struct sonde_figure *f =
        sonde_figure_create(SONDE_FIGURE_HEATMAP, "constant", "Nothing varies here");
    float *value = malloc((size_t)(rows * columns) * sizeof(*value));
    for (int64_t i = 0; value && i < rows * columns; i++)
        value[i] = 0.25f;
    if (value)
        sonde_figure_set_matrix(f, rows, columns, value);
    if (f && !value)
        f->failed = true;
    free(value);
    return f;
}

struct sonde_figure *gallery_make(int k)
{
    switch (k) {
    case 0:
        return make_attention(40);
    case 1:
        return make_attention(2048);
    case 2:
        return make_confusion();
    case 3:
        return make_grid(8, 32, 4);
    case 4:
        return make_grid(144, 64, 12);
    case 5:
        return make_lens(5, 20);
    case 6:
        return make_lens(12, 60);
    case 7:
        return make_curve(false);
    case 8:
        return make_curve(true);
    case 9:
        return make_bars(17, 1);
    case 10:
        return make_bars(17, 2);
    case 11:
        return make_scatter(300);
    case 12:
        return make_scatter(20000);
    case 13:
        return make_diverging(12, 12);
    case 14:
        return make_diverging(5000, 30);
    default:
        return make_constant(1, 1);
    }
}
