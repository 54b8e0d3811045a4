/*
 * Logistic regression, full batch, by L-BFGS. Losses, bias gradients and the sums over blocks are
 * in double, in the order of the blocks. Products are in f32; small problems are computed in double
 * throughout, since their minimum can be flat enough for the rounding of f32 to show.
 */
#include "probes/logistic.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/tensor/gemm.h"
#include "core/tensor/vector.h"

/* Products of a pass up to which it is computed in double. */
static const double small_products = 1 << 24;

struct logistic {
    const struct sonde_fit_problem *problem;
    const struct sonde_scaler *scaler;
    int64_t rows, width; /* R, D */
    double l2;
    bool wide;          /* in double */
    const double *x;    /* parameters of this evaluation: W [R, D], then b [R] */
    float *weight;      /* [R, D], of x */
    float *score;       /* [n_slots, BLOCK, R]: scores, then d loss / d score */
    float *share;       /* [n_slots, R, D]: a block's part of the gradient */
    double *wide_z;     /* [n_slots, BLOCK, D] */
    double *wide_score; /* as score and share, in double */
    double *wide_share;
    double *bias_share; /* [n_slots, R + 1]: of the bias, and the loss */
    double *gradient;   /* [R * (D + 1)] */
    double loss;
};

/* Turns the scores of one sample into d loss / d score; returns the loss. */
static double softmax_loss(float *score, const double *bias, int64_t rows, int32_t target)
{
    const struct sonde_vector_kernels *kernels = sonde_vector_kernels();
    for (int64_t r = 0; r < rows; r++)
        score[r] += (float)bias[r];
    float top = kernels->max(score, rows);
    double of_target = (double)(score[target] - top);
    kernels->exp(score, score, top, rows);
    double sum = kernels->sum(score, rows);
    float inverse = (float)(1.0 / sum);
    for (int64_t r = 0; r < rows; r++)
        score[r] *= inverse;
    score[target] -= 1.0f;
    return log(sum) - of_target;
}

static double sigmoid_loss(float *score, double bias, int32_t target)
{
    double s = (double)*score + bias;
    double tail = exp(-fabs(s));
    double positive = s >= 0 ? 1.0 / (1.0 + tail) : tail / (1.0 + tail);
    *score = (float)(positive - (double)target);
    return log1p(tail) + (target ? fmax(-s, 0.0) : fmax(s, 0.0));
}

static void logistic_block(void *ctx, int64_t first, int64_t n, float *x, int64_t slot)
{
    const struct logistic *l = ctx;
    int64_t rows = l->rows, width = l->width;
    float *score = l->score + slot * SONDE_FEATURES_BLOCK * rows;
    double *bias_share = l->bias_share + slot * (rows + 1);
    const double *bias = l->x + rows * width;
    memset(bias_share, 0, (size_t)(rows + 1) * sizeof(double));
    sonde_sgemm(false, true, n, rows, width, 1.0f, x, width, l->weight, width, 0.0f, score, rows);
    for (int64_t i = 0; i < n; i++) {
        int32_t target = l->problem->target[l->problem->sample[first + i]];
        bias_share[rows] += rows == 1 ? sigmoid_loss(score + i, bias[0], target)
                                      : softmax_loss(score + i * rows, bias, rows, target);
        for (int64_t r = 0; r < rows; r++)
            bias_share[r] += (double)score[i * rows + r];
    }
    sonde_sgemm(true, false, rows, width, n, 1.0f, score, rows, x, width, 0.0f,
                l->share + slot * rows * width, width);
}

static double wide_loss(double *score, const double *bias, int64_t rows, int32_t target)
{
    if (rows == 1) {
        double s = score[0] + bias[0], tail = exp(-fabs(s));
        score[0] = (s >= 0 ? 1.0 / (1.0 + tail) : tail / (1.0 + tail)) - (double)target;
        return log1p(tail) + (target ? fmax(-s, 0.0) : fmax(s, 0.0));
    }
    double top = -INFINITY, sum = 0.0;
    for (int64_t r = 0; r < rows; r++) {
        score[r] += bias[r];
        top = fmax(top, score[r]);
    }
    double of_target = score[target] - top;
    for (int64_t r = 0; r < rows; r++) {
        score[r] = exp(score[r] - top);
        sum += score[r];
    }
    for (int64_t r = 0; r < rows; r++)
        score[r] /= sum;
    score[target] -= 1.0;
    return log(sum) - of_target;
}

static void wide_block(void *ctx, int64_t first, int64_t n, float *x, int64_t slot)
{
    const struct logistic *l = ctx;
    int64_t rows = l->rows, width = l->width;
    double *z = l->wide_z + slot * SONDE_FEATURES_BLOCK * width;
    double *score = l->wide_score + slot * SONDE_FEATURES_BLOCK * rows;
    double *bias_share = l->bias_share + slot * (rows + 1);
    memset(bias_share, 0, (size_t)(rows + 1) * sizeof(double));
    for (int64_t i = 0; i < n * width; i++)
        z[i] = (double)x[i];
    sonde_dgemm(false, true, n, rows, width, 1.0, z, width, l->x, width, 0.0, score, rows);
    for (int64_t i = 0; i < n; i++) {
        int32_t target = l->problem->target[l->problem->sample[first + i]];
        bias_share[rows] += wide_loss(score + i * rows, l->x + rows * width, rows, target);
        for (int64_t r = 0; r < rows; r++)
            bias_share[r] += score[i * rows + r];
    }
    sonde_dgemm(true, false, rows, width, n, 1.0, score, rows, z, width, 0.0,
                l->wide_share + slot * rows * width, width);
}

static void logistic_fold(void *ctx, int64_t first, int64_t n, int64_t slot)
{
    (void)first, (void)n;
    struct logistic *l = ctx;
    int64_t n_weights = l->rows * l->width;
    const double *bias_share = l->bias_share + slot * (l->rows + 1);
    for (int64_t i = 0; i < n_weights; i++)
        l->gradient[i] +=
            l->wide ? l->wide_share[slot * n_weights + i] : (double)l->share[slot * n_weights + i];
    for (int64_t r = 0; r < l->rows; r++)
        l->gradient[n_weights + r] += bias_share[r];
    l->loss += bias_share[l->rows];
}

/* Adding the same to all classes changes no softmax, so the loss has no slope in that direction;
 * what rounding leaves there would be held by nothing but the penalty. */
static void remove_common_slope(const struct logistic *l)
{
    for (int64_t d = 0; d <= l->width && l->rows > 1; d++) {
        bool bias = d == l->width;
        double *g = l->gradient + (bias ? l->rows * l->width : d), mean = 0.0;
        int64_t stride = bias ? 1 : l->width;
        for (int64_t r = 0; r < l->rows; r++)
            mean += g[r * stride] / (double)l->rows;
        for (int64_t r = 0; r < l->rows; r++)
            g[r * stride] -= mean;
    }
}

/* The objective over n: the same minimum as the sum, but on a scale that does not grow with n. */
static enum sonde_status evaluate(void *ctx, const double *x, int64_t n, double *value,
                                  double *gradient, struct sonde_error *error)
{
    struct logistic *l = ctx;
    int64_t n_weights = l->rows * l->width;
    l->x = x;
    l->gradient = gradient;
    l->loss = 0.0;
    memset(gradient, 0, (size_t)n * sizeof(double));
    for (int64_t i = 0; i < n_weights && !l->wide; i++)
        l->weight[i] = (float)x[i];
    struct sonde_feature_pass pass = { .sample = l->problem->sample,
                                       .n = l->problem->n,
                                       .scaler = l->scaler,
                                       .block = l->wide ? wide_block : logistic_block,
                                       .fold = logistic_fold,
                                       .ctx = l };
    enum sonde_status status = sonde_features_pass(l->problem->features, &pass, error);
    if (status)
        return status;
    remove_common_slope(l);
    double scale = 1.0 / (double)l->problem->n, square = 0.0;
    for (int64_t i = 0; i < n_weights; i++) {
        gradient[i] = (gradient[i] + l->l2 * x[i]) * scale;
        square += x[i] * x[i];
    }
    for (int64_t r = 0; r < l->rows; r++)
        gradient[n_weights + r] *= scale;
    *value = (l->loss + 0.5 * l->l2 * square) * scale;
    return SONDE_STATUS_OK;
}

static enum sonde_status allocate(struct logistic *l, size_t n_slots, struct sonde_error *error)
{
    size_t n_weights = (size_t)(l->rows * l->width);
    size_t n_scores = n_slots * SONDE_FEATURES_BLOCK * (size_t)l->rows;
    bool ok = (l->bias_share = malloc(n_slots * (size_t)(l->rows + 1) * sizeof(double))) != NULL;
    if (l->wide) {
        l->wide_z = malloc(n_slots * SONDE_FEATURES_BLOCK * (size_t)l->width * sizeof(double));
        l->wide_score = malloc(n_scores * sizeof(double));
        l->wide_share = malloc(n_slots * n_weights * sizeof(double));
        ok = ok && l->wide_z && l->wide_score && l->wide_share;
    } else {
        l->weight = malloc(n_weights * sizeof(float));
        l->score = malloc(n_scores * sizeof(float));
        l->share = malloc(n_slots * n_weights * sizeof(float));
        ok = ok && l->weight && l->score && l->share;
    }
    return ok ? SONDE_STATUS_OK : sonde_error_memory(error, "the fit");
}

enum sonde_status sonde_logistic_fit(const struct sonde_fit_problem *problem,
                                     const struct sonde_fit_options *options,
                                     const struct sonde_scaler *scaler, double *parameters,
                                     struct sonde_fit_report *report, struct sonde_error *error)
{
    struct logistic l = {
        .problem = problem,
        .scaler = scaler,
        .rows = sonde_linear_fit_rows(SONDE_LINEAR_LOGISTIC, problem->n_targets),
        .width = problem->features->width,
        .l2 = options->l1 ? 0.0 : options->l2,
    };
    int64_t n_weights = l.rows * l.width;
    l.wide = !options->coarse &&
             (double)(problem->n + SONDE_FEATURES_BLOCK) * (double)n_weights <= small_products;
    enum sonde_status status = allocate(&l, (size_t)problem->features->n_slots, error);
    struct sonde_minimise_options minimise = {
        .max_iterations = options->max_iterations,
        .gradient_tolerance = options->tolerance,
        .l1 = options->l1 ? options->l2 / (double)problem->n : 0.0,
        .l1_end = n_weights,
        .progress = options->progress,
        .what = options->what,
    };
    struct sonde_minimise_result result = { 0 };
    if (!status)
        status =
            sonde_minimise(evaluate, &l, n_weights + l.rows, parameters, &minimise, &result, error);
    if (!status)
        *report = (struct sonde_fit_report){ .iterations = result.iterations,
                                             .end = result.end,
                                             .loss = result.value };
    free(l.weight);
    free(l.score);
    free(l.share);
    free(l.wide_z);
    free(l.wide_score);
    free(l.wide_share);
    free(l.bias_share);
    return status;
}
