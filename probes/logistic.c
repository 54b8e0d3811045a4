/*
 * Logistic regression, full batch, by L-BFGS in the basis of logistic_basis.h. Losses, bias
 * gradients and the sums over blocks are in double, in the order of the blocks. Products are in
 * f32; small problems are computed in double throughout, since their minimum can be flat enough for
 * the rounding of f32 to show.
 */
#include "probes/logistic.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/tensor/gemm.h"
#include "core/tensor/tall.h"
#include "core/tensor/vector.h"
#include "probes/linear_model.h"
#include "probes/logistic_basis.h"

/* Products of a pass up to which it is computed in double. */
static const double small_products = 1 << 24;
/* Values of the rows that are taken at once: a part stays in the second cache. */
enum { PART_VALUES = 1 << 16, PART_ROWS_MIN = 16 };
enum { NARROW_LINE_SEARCH = 12 };
/* A change of the value that f32 cannot tell from none, over ten iterations. */
static const double narrow_change = 1e-8;

struct logistic {
    const struct sonde_fit_problem *problem;
    const struct sonde_scaler *scaler;
    struct sonde_logistic_basis basis;
    int64_t rows, width; /* R, D */
    double l2;
    bool wide;           /* in double */
    const double *start; /* [R * (D + 1)]: W0, then b0; with a basis */
    double *parameters;  /* [R * (D + 1)]: W, then b, of this evaluation */
    double *slope;       /* [R * (D + 1)]: the mean loss' */
    float *weight;       /* [R, D]: W */
    float *basis_in;     /* [R, D]: what goes into the change of basis */
    float *score;        /* [n_slots, R, BLOCK]: scores, then d loss / d score */
    float *share;        /* [n_slots, R, D]: a block's part of the gradient */
    double *wide_z;      /* [n_slots, PART, D] */
    double *wide_score;  /* [n_slots, BLOCK, R] */
    double *wide_share;  /* [n_slots, R, D] */
    double *bias_share;  /* [n_slots, R + 1]: of the bias, and the loss */
    double loss, value;
};

/* Turns the scores [R, n] of some samples, biases not added, into d loss / d score. */
static void softmax_part(const struct logistic *l, float *score, int64_t first, int64_t n,
                         double *bias_share)
{
    const double *bias = l->parameters + l->rows * l->width;
    float top[SONDE_FEATURES_BLOCK], of_target[SONDE_FEATURES_BLOCK];
    double sum[SONDE_FEATURES_BLOCK];
    for (int64_t i = 0; i < n; i++) {
        top[i] = -INFINITY;
        sum[i] = 0.0;
    }
    for (int64_t r = 0; r < l->rows; r++) {
        float *s = score + r * n, b = (float)bias[r];
        for (int64_t i = 0; i < n; i++) {
            s[i] += b;
            top[i] = s[i] > top[i] ? s[i] : top[i];
        }
    }
    for (int64_t i = 0; i < n; i++)
        of_target[i] = score[l->problem->target[l->problem->sample[first + i]] * n + i] - top[i];
    for (int64_t r = 0; r < l->rows; r++)
        for (int64_t i = 0; i < n; i++)
            score[r * n + i] -= top[i];
    sonde_vector_kernels()->exp(score, score, 0.0f, l->rows * n);
    for (int64_t r = 0; r < l->rows; r++)
        for (int64_t i = 0; i < n; i++)
            sum[i] += (double)score[r * n + i];
    for (int64_t i = 0; i < n; i++) {
        bias_share[l->rows] += log(sum[i]) - (double)of_target[i];
        top[i] = (float)(1.0 / sum[i]);
    }
    for (int64_t r = 0; r < l->rows; r++)
        for (int64_t i = 0; i < n; i++)
            score[r * n + i] *= top[i];
    for (int64_t i = 0; i < n; i++)
        score[l->problem->target[l->problem->sample[first + i]] * n + i] -= 1.0f;
    for (int64_t r = 0; r < l->rows; r++)
        bias_share[r] += sonde_vector_kernels()->sum(score + r * n, n);
}

static double sigmoid_loss(float *score, double bias, int32_t target)
{
    double s = (double)*score + bias;
    double tail = exp(-fabs(s));
    double positive = s >= 0 ? 1.0 / (1.0 + tail) : tail / (1.0 + tail);
    *score = (float)(positive - (double)target);
    return log1p(tail) + (target ? fmax(-s, 0.0) : fmax(s, 0.0));
}

static void sigmoid_part(const struct logistic *l, float *score, int64_t first, int64_t n,
                         double *bias_share)
{
    double bias = l->parameters[l->width];
    for (int64_t i = 0; i < n; i++) {
        int32_t target = l->problem->target[l->problem->sample[first + i]];
        bias_share[1] += sigmoid_loss(score + i, bias, target);
        bias_share[0] += (double)score[i];
    }
}

static void logistic_part(void *ctx, int64_t first, int64_t n, float *x, int64_t slot)
{
    const struct logistic *l = ctx;
    int64_t rows = l->rows, width = l->width;
    float *score = l->score + slot * SONDE_FEATURES_BLOCK * rows;
    float *share = l->share + slot * rows * width;
    double *bias_share = l->bias_share + slot * (rows + 1);
    if (first % SONDE_FEATURES_BLOCK == 0) {
        memset(bias_share, 0, (size_t)(rows + 1) * sizeof(*bias_share));
        memset(share, 0, (size_t)(rows * width) * sizeof(*share));
    }
    sonde_tall_kernels()->scores(score, n, x, n, width, l->weight, rows);
    if (rows == 1)
        sigmoid_part(l, score, first, n, bias_share);
    else
        softmax_part(l, score, first, n, bias_share);
    /* Rows that were prepared lie one after the other. */
    const float *soon = l->problem->features->prepared ? x + n * width : NULL;
    sonde_tall_kernels()->gradient(share, score, n, x, n, width, rows, soon);
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
    double *z = l->wide_z + slot * SONDE_LINEAR_MODEL_PART * width;
    double *score = l->wide_score + slot * SONDE_FEATURES_BLOCK * rows;
    double *bias_share = l->bias_share + slot * (rows + 1);
    bool begins = first % SONDE_FEATURES_BLOCK == 0;
    if (begins)
        memset(bias_share, 0, (size_t)(rows + 1) * sizeof(double));
    for (int64_t i = 0; i < n * width; i++)
        z[i] = (double)x[i];
    sonde_dgemm(false, true, n, rows, width, 1.0, z, width, l->parameters, width, 0.0, score, rows);
    for (int64_t i = 0; i < n; i++) {
        int32_t target = l->problem->target[l->problem->sample[first + i]];
        bias_share[rows] += wide_loss(score + i * rows, l->parameters + rows * width, rows, target);
        for (int64_t r = 0; r < rows; r++)
            bias_share[r] += score[i * rows + r];
    }
    sonde_dgemm(true, false, rows, width, n, 1.0, score, rows, z, width, begins ? 0.0 : 1.0,
                l->wide_share + slot * rows * width, width);
}

static void logistic_fold(void *ctx, int64_t first, int64_t n, int64_t slot)
{
    (void)first, (void)n;
    struct logistic *l = ctx;
    int64_t n_weights = l->rows * l->width;
    const double *bias_share = l->bias_share + slot * (l->rows + 1);
    for (int64_t i = 0; i < n_weights && l->wide; i++)
        l->slope[i] += l->wide_share[slot * n_weights + i];
    if (!l->wide)
        sonde_vector_kernels()->accumulate(l->slope, l->share + slot * n_weights, n_weights);
    for (int64_t r = 0; r < l->rows; r++)
        l->slope[n_weights + r] += bias_share[r];
    l->loss += bias_share[l->rows];
}

/* Adding the same to all classes changes no softmax, so the loss has no slope in that direction;
 * what rounding leaves there would be held by nothing but the penalty. */
static void remove_common_slope(const struct logistic *l)
{
    for (int64_t d = 0; d <= l->width && l->rows > 1; d++) {
        bool bias = d == l->width;
        double *g = l->slope + (bias ? l->rows * l->width : d), mean = 0.0;
        int64_t stride = bias ? 1 : l->width;
        for (int64_t r = 0; r < l->rows; r++)
            mean += g[r * stride] / (double)l->rows;
        for (int64_t r = 0; r < l->rows; r++)
            g[r * stride] -= mean;
    }
}

/* W and b of the variables. */
static void set_parameters(struct logistic *l, const double *x)
{
    int64_t n_weights = l->rows * l->width;
    const struct sonde_logistic_basis *basis = &l->basis;
    for (int64_t r = 0; r < l->rows; r++)
        l->parameters[n_weights + r] =
            basis->width ? l->start[n_weights + r] + x[n_weights + r] * basis->bias_unit
                         : x[n_weights + r];
    if (l->wide) {
        for (int64_t i = 0; i < n_weights; i++)
            l->parameters[i] = basis->width ? l->start[i] : x[i];
        if (basis->width)
            sonde_logistic_basis_forward_wide(basis, x, l->rows, l->parameters);
        return;
    }
    for (int64_t i = 0; i < n_weights; i++) {
        l->weight[i] = (float)(basis->width ? l->start[i] : x[i]);
        l->basis_in[i] = (float)x[i];
    }
    if (basis->width)
        sonde_logistic_basis_forward(basis, l->basis_in, l->rows, l->weight);
    /* The weights of the loss are those in f32, so the penalty and the answer are of them too. */
    for (int64_t i = 0; i < n_weights; i++)
        l->parameters[i] = (double)l->weight[i];
}

/* The slope by the variables. */
static void set_gradient(struct logistic *l, double *gradient)
{
    int64_t n_weights = l->rows * l->width;
    const struct sonde_logistic_basis *basis = &l->basis;
    for (int64_t r = 0; r < l->rows; r++)
        gradient[n_weights + r] = l->slope[n_weights + r] * (basis->width ? basis->bias_unit : 1.0);
    if (!basis->width) {
        memcpy(gradient, l->slope, (size_t)n_weights * sizeof(double));
    } else if (l->wide) {
        sonde_logistic_basis_backward_wide(basis, l->slope, l->rows, gradient);
    } else {
        for (int64_t i = 0; i < n_weights; i++)
            l->basis_in[i] = (float)l->slope[i];
        sonde_logistic_basis_backward(basis, l->basis_in, l->rows, l->weight);
        for (int64_t i = 0; i < n_weights; i++)
            gradient[i] = (double)l->weight[i];
    }
}

/* Every pass over the samples goes through here. */
static enum sonde_status pass_over(struct logistic *l, struct sonde_error *error)
{
    int64_t part = PART_VALUES / l->width;
    part = part < PART_ROWS_MIN          ? PART_ROWS_MIN
           : part > SONDE_FEATURES_BLOCK ? SONDE_FEATURES_BLOCK
                                         : part - part % PART_ROWS_MIN;
    struct sonde_feature_pass pass = { .sample = l->problem->sample,
                                       .n = l->problem->n,
                                       .scaler = l->scaler,
                                       .part_rows = l->wide ? SONDE_LINEAR_MODEL_PART : part,
                                       .only_reads = true,
                                       .block = l->wide ? wide_block : logistic_part,
                                       .fold = logistic_fold,
                                       .ctx = l };
    l->loss = 0.0;
    memset(l->slope, 0, (size_t)(l->rows * (l->width + 1)) * sizeof(double));
    return sonde_features_pass(l->problem->features, &pass, error);
}

/* The objective over n: the same minimum as the sum, but on a scale that does not grow with n. */
static enum sonde_status evaluate(void *ctx, const double *x, int64_t n, double *value,
                                  double *gradient, struct sonde_error *error)
{
    (void)n;
    struct logistic *l = ctx;
    int64_t n_weights = l->rows * l->width;
    set_parameters(l, x);
    enum sonde_status status = pass_over(l, error);
    if (status)
        return status;
    remove_common_slope(l);
    double scale = 1.0 / (double)l->problem->n, square = 0.0;
    for (int64_t i = 0; i < n_weights; i++) {
        l->slope[i] = (l->slope[i] + l->l2 * l->parameters[i]) * scale;
        square += l->parameters[i] * l->parameters[i];
    }
    for (int64_t r = 0; r < l->rows; r++)
        l->slope[n_weights + r] *= scale;
    l->value = (l->loss + 0.5 * l->l2 * square) * scale;
    set_gradient(l, gradient);
    *value = l->value;
    return SONDE_STATUS_OK;
}

/* Of the weights' own slope, over the loss where that is small: near a loss of 0 all slopes are
 * small, long before the end. */
static double slope_size(void *ctx)
{
    const struct logistic *l = ctx;
    double largest = 0.0;
    for (int64_t i = 0; i < l->rows * (l->width + 1); i++)
        largest = fmax(largest, fabs(l->slope[i]));
    return largest / fmin(1.0, fmax(l->value, 1e-3));
}

static float *new_floats(size_t n)
{
    return aligned_alloc(64, (n * sizeof(float) + 64) / 64 * 64);
}

static enum sonde_status allocate(struct logistic *l, size_t n_slots, struct sonde_error *error)
{
    size_t n_weights = (size_t)(l->rows * l->width), n_all = n_weights + (size_t)l->rows;
    size_t n_scores = n_slots * SONDE_FEATURES_BLOCK * (size_t)l->rows;
    l->bias_share = malloc(n_slots * (size_t)(l->rows + 1) * sizeof(double));
    l->parameters = malloc(2 * n_all * sizeof(double));
    bool ok = l->bias_share && l->parameters;
    l->slope = ok ? l->parameters + n_all : NULL;
    if (l->wide) {
        l->wide_z = malloc(n_slots * SONDE_LINEAR_MODEL_PART * (size_t)l->width * sizeof(double));
        l->wide_score = malloc(n_scores * sizeof(double));
        l->wide_share = malloc(n_slots * n_weights * sizeof(double));
        ok = ok && l->wide_z && l->wide_score && l->wide_share;
    } else {
        l->weight = new_floats(n_weights);
        l->basis_in = new_floats(n_weights);
        l->score = new_floats(n_scores);
        l->share = new_floats(n_slots * n_weights);
        ok = ok && l->weight && l->basis_in && l->score && l->share;
    }
    return ok ? SONDE_STATUS_OK : sonde_error_memory(error, "the fit");
}

static void finish(struct logistic *l)
{
    sonde_logistic_basis_finish(&l->basis);
    free(l->parameters);
    free(l->weight);
    free(l->basis_in);
    free(l->score);
    free(l->share);
    free(l->wide_z);
    free(l->wide_score);
    free(l->wide_share);
    free(l->bias_share);
}

/* L-BFGS from the parameters, in the basis of the start where it pays. The basis is not made anew
 * on the way: where the answers are certain of most samples the mean curvature is far from that of
 * the few that matter, and in its basis the fit crawls. */
static enum sonde_status minimise(struct logistic *l, const struct sonde_fit_options *options,
                                  double *parameters, struct sonde_fit_report *report,
                                  struct sonde_error *error)
{
    int64_t n_weights = l->rows * l->width, n = n_weights + l->rows;
    struct sonde_minimise_result result = { 0 };
    enum sonde_status status = SONDE_STATUS_OK;
    /* |W|_1 is of the coordinates themselves. With more features than samples the basis would cost
     * more than the iterations that it saves. */
    if (!options->l1 && l->width <= l->problem->n)
        status = sonde_logistic_basis_fit(&l->basis, l->problem, l->scaler, parameters, l->l2,
                                          l->wide, error);
    double *variables = calloc((size_t)n, sizeof(*variables));
    if (!status && !variables)
        status = sonde_error_memory(error, "the fit");
    /* In a basis the variables are the way from the start, else the parameters. */
    if (!status && !l->basis.width)
        memcpy(variables, parameters, (size_t)n * sizeof(*variables));
    l->start = parameters;
    struct sonde_minimise_options how = {
        .max_iterations = options->max_iterations,
        .gradient_tolerance = options->tolerance,
        .gradient_size = options->l1 ? NULL : slope_size,
        .value_tolerance = l->wide ? 0.0 : narrow_change,
        .line_search = l->wide ? 0 : NARROW_LINE_SEARCH,
        .l1 = options->l1 ? options->l2 / (double)l->problem->n : 0.0,
        .l1_end = n_weights,
        .progress = options->progress,
        .what = options->what,
    };
    if (!status)
        status = sonde_minimise(evaluate, l, n, variables, &how, &result, error);
    if (!status) {
        set_parameters(l, variables);
        memcpy(parameters, l->parameters, (size_t)n * sizeof(*parameters));
        *report = (struct sonde_fit_report){ .iterations = result.iterations,
                                             .evaluations = result.evaluations,
                                             .end = result.end,
                                             .loss = result.value };
    }
    free(variables);
    return status;
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
    if (!status) {
        sonde_features_prepare(problem->features, problem->sample, problem->n, scaler);
        status = minimise(&l, options, parameters, report, error);
        sonde_features_unprepare(problem->features);
    }
    finish(&l);
    return status;
}
