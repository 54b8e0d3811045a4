#include "probes/correlation_sums.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/tensor/gemm.h"

/* Sums of a block or of all: for either side of the split [D] of x, x^2 and x y, then [n_controls,
 * D] of x times the controls' labels. x is less the provisional mean, y less its mean. */
enum { SUM_X, SUM_XX, SUM_XY, SUMS };

struct pass_state {
    const struct sonde_correlation_input *input;
    int64_t width, n_values; /* values of one set of sums */
    double y_mean;
    double *centre;  /* [D] the provisional mean: the first sample */
    double *total;   /* [n_values] */
    double *partial; /* [n_slots, n_values] */
    double *wide;    /* [n_slots, BLOCK, D] */
    double *label;   /* [n_slots, BLOCK, n_controls] */
};

static double *sums_of(double *values, int64_t width, int side, int kind)
{
    return values + (side * SUMS + kind) * width;
}

static double control_label(const struct pass_state *s, int64_t sample, int64_t k)
{
    int64_t at = sample + s->input->shift[k];
    return s->input->y[at < s->input->n ? at : at - s->input->n] - s->y_mean;
}

static void sum_block(void *ctx, int64_t first, int64_t n, float *x, int64_t slot)
{
    const struct pass_state *s = ctx;
    int64_t width = s->width, n_controls = s->input->n_controls;
    double *values = s->partial + slot * s->n_values;
    double *wide = s->wide + slot * SONDE_FEATURES_BLOCK * width;
    double *label = s->label + slot * SONDE_FEATURES_BLOCK * n_controls;
    memset(values, 0, (size_t)s->n_values * sizeof(*values));
    for (int64_t i = 0; i < n; i++) {
        int side = s->input->side[first + i] != 0;
        double y = s->input->y[first + i] - s->y_mean, *row = wide + i * width;
        double *of_x = sums_of(values, width, side, SUM_X);
        double *of_xx = sums_of(values, width, side, SUM_XX);
        double *of_xy = sums_of(values, width, side, SUM_XY);
        for (int64_t d = 0; d < width; d++) {
            row[d] = (double)x[i * width + d] - s->centre[d];
            of_x[d] += row[d];
            of_xx[d] += row[d] * row[d];
            of_xy[d] += row[d] * y;
        }
        for (int64_t k = 0; k < n_controls; k++)
            label[i * n_controls + k] = control_label(s, first + i, k);
    }
    if (n_controls == 0)
        return;
    sonde_dgemm(true, false, n_controls, width, n, 1.0, label, n_controls, wide, width, 0.0,
                values + 2 * SUMS * width, width);
}

static void sum_fold(void *ctx, int64_t first, int64_t n, int64_t slot)
{
    (void)first, (void)n;
    const struct pass_state *s = ctx;
    for (int64_t i = 0; i < s->n_values; i++)
        s->total[i] += s->partial[slot * s->n_values + i];
}

/* What is known of the labels of one choice of samples. */
struct label_sums {
    double n, y, yy;
};

static struct label_sums sum_labels(const struct pass_state *s, int side)
{
    struct label_sums sums = { 0 };
    for (int64_t i = 0; i < s->input->n; i++) {
        if (side >= 0 && s->input->side[i] != side)
            continue;
        double y = s->input->y[i] - s->y_mean;
        sums.n += 1.0;
        sums.y += y;
        sums.yy += y * y;
    }
    return sums;
}

/* r from sums; NaN where x or y does not vary. centre: what was taken off x. */
static double pearson(const struct label_sums *label, double x, double xx, double xy, double centre)
{
    if (label->n < 2)
        return (double)NAN;
    double of_x = xx - x * x / label->n, of_y = label->yy - label->y * label->y / label->n;
    double both = xy - x * label->y / label->n, mean = centre + x / label->n;
    /* One step of f32 at the mean is no variation. */
    if (!(of_x / label->n > mean * mean * 0x1p-46) || !(of_x > 0) || !(of_y > 0))
        return (double)NAN;
    return fmax(-1.0, fmin(1.0, both / sqrt(of_x * of_y)));
}

static void fill(const struct pass_state *s, struct sonde_correlation *out)
{
    int64_t width = s->width;
    const struct label_sums all = sum_labels(s, -1);
    for (int side = 0; side < 2; side++) {
        const struct label_sums part = sum_labels(s, side);
        double *r = side ? out->test : out->train;
        for (int64_t d = 0; d < width; d++)
            r[d] = pearson(&part, sums_of(s->total, width, side, SUM_X)[d],
                           sums_of(s->total, width, side, SUM_XX)[d],
                           sums_of(s->total, width, side, SUM_XY)[d], s->centre[d]);
    }
    for (int64_t d = 0; d < width; d++) {
        double sum[SUMS];
        for (int kind = 0; kind < SUMS; kind++)
            sum[kind] = sums_of(s->total, width, 0, kind)[d] + sums_of(s->total, width, 1, kind)[d];
        out->all[d] = pearson(&all, sum[SUM_X], sum[SUM_XX], sum[SUM_XY], s->centre[d]);
        /* A label that varies and an r that is none: the coordinate does not. */
        out->n_constant += isnan(out->all[d]) && all.yy > 0;
        for (int64_t k = 0; k < s->input->n_controls; k++) {
            double xy = s->total[(2 * SUMS + k) * width + d];
            double r = pearson(&all, sum[SUM_X], sum[SUM_XX], xy, s->centre[d]);
            out->control[k] = fmax(out->control[k], fabs(r)); /* fmax passes NaN by */
        }
    }
}

void sonde_correlation_bytes(int64_t width, int64_t n_controls, int64_t *fixed, int64_t *per_slot)
{
    double sums = (2 * SUMS + (double)n_controls) * (double)width;
    double always = 8 * (sums + 4 * (double)width + (double)n_controls);
    double each = 8 * (sums + SONDE_FEATURES_BLOCK * (double)(width + n_controls));
    *fixed = always < 9e18 ? (int64_t)always : INT64_MAX;
    *per_slot = each < 9e18 ? (int64_t)each : INT64_MAX;
}

void sonde_correlation_finish(struct sonde_correlation *correlation)
{
    free(correlation->all);
    *correlation = (struct sonde_correlation){ 0 };
}

static enum sonde_status allocate(struct pass_state *s, struct sonde_correlation *out,
                                  struct sonde_error *error)
{
    size_t width = (size_t)s->width, n_controls = (size_t)s->input->n_controls;
    size_t n_slots = (size_t)s->input->features->n_slots;
    s->n_values = (2 * SUMS + s->input->n_controls) * s->width;
    out->width = s->width;
    out->all = calloc(3 * width + n_controls + 1, sizeof(double));
    s->centre = calloc(width + (size_t)s->n_values, sizeof(double));
    s->partial = malloc(n_slots * (size_t)s->n_values * sizeof(double));
    s->wide = malloc(n_slots * SONDE_FEATURES_BLOCK * width * sizeof(double));
    s->label = malloc(n_slots * SONDE_FEATURES_BLOCK * (n_controls + 1) * sizeof(double));
    if (!out->all || !s->centre || !s->partial || !s->wide || !s->label)
        return sonde_error_memory(error, "the correlations");
    s->total = s->centre + s->width;
    out->train = out->all + s->width;
    out->test = out->train + s->width;
    out->control = out->test + s->width;
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_correlation_fit(const struct sonde_correlation_input *input,
                                        struct sonde_correlation *out, struct sonde_error *error)
{
    struct pass_state s = { .input = input, .width = input->features->width };
    struct sonde_correlation found = { 0 };
    int64_t *sample = malloc((size_t)(input->n + 1) * sizeof(*sample));
    float *first = malloc((size_t)s.width * sizeof(*first));
    enum sonde_status status = sample && first ? allocate(&s, &found, error)
                                               : sonde_error_memory(error, "the correlations");
    for (int64_t i = 0; i < input->n && !status; i++) {
        sample[i] = i;
        s.y_mean += input->y[i] / (double)input->n;
    }
    if (!status)
        status = sonde_features_read(input->features, sample, 1, first, error);
    for (int64_t d = 0; d < s.width && !status; d++)
        s.centre[d] = (double)first[d];
    struct sonde_feature_pass pass = {
        .sample = sample, .n = input->n, .block = sum_block, .fold = sum_fold, .ctx = &s
    };
    if (!status)
        status = sonde_features_pass(input->features, &pass, error);
    if (!status)
        fill(&s, &found);
    free(sample);
    free(first);
    free(s.centre);
    free(s.partial);
    free(s.wide);
    free(s.label);
    if (status) {
        sonde_correlation_finish(&found);
        return status;
    }
    *out = found;
    return SONDE_STATUS_OK;
}

int64_t sonde_correlation_best(const double *r, int64_t n)
{
    int64_t best = -1;
    for (int64_t d = 0; d < n; d++)
        if (!isnan(r[d]) && (best < 0 || fabs(r[d]) > fabs(r[best])))
            best = d;
    return best;
}
