#include "probes/logistic_basis.h"

#include <math.h>
#include <stdlib.h>

#include "core/tensor/gemm.h"
#include "core/tensor/linalg.h"
#include "core/tensor/tall.h"
#include "probes/feature_gram.h"

enum { ROWS_PER_FEATURE = 6, CLASS_GROUP = 6, ROW_GROUP = 128 };

/* Of the mean diagonal of the matrix: what is added to it at least, since a factor in f32 has no
 * more digits and a problem without a penalty may have no slope in some direction. */
static const double least_share = 1e-7;

struct curvature {
    struct sonde_gram gram;
    int64_t rows, width;
    const float *weight; /* [R, D] */
    const double *bias;  /* [R] */
    float *score;        /* [n_slots, R, BLOCK] */
    double *h;           /* [n_slots] of a block's samples */
    double sum;
};

/* The answers' p (1 - p) for the scores [R, n] of sample i. */
static double uncertainty(const struct curvature *c, const float *score, int64_t n, int64_t i)
{
    if (c->rows == 1) {
        double p = 1.0 / (1.0 + exp(-((double)score[i] + c->bias[0])));
        return p * (1.0 - p);
    }
    double top = -INFINITY, sum = 0.0, square = 0.0;
    for (int64_t r = 0; r < c->rows; r++)
        top = fmax(top, (double)score[r * n + i] + c->bias[r]);
    for (int64_t r = 0; r < c->rows; r++) {
        double p = exp((double)score[r * n + i] + c->bias[r] - top);
        sum += p;
        square += p * p;
    }
    return fmax(1.0 - square / (sum * sum), 0.0) / (double)c->rows;
}

/* Rows times the root of their h. */
static void weigh_block(void *ctx, int64_t first, int64_t n, float *x, int64_t slot)
{
    (void)first;
    const struct curvature *c = ctx;
    float *score = c->score + slot * SONDE_FEATURES_BLOCK * c->rows;
    sonde_tall_kernels()->scores(score, n, x, n, c->width, c->weight, c->rows);
    c->h[slot] = 0.0;
    for (int64_t i = 0; i < n; i++) {
        double h = uncertainty(c, score, n, i);
        float root = (float)sqrt(h);
        c->h[slot] += h;
        for (int64_t d = 0; d < c->width; d++)
            x[i * c->width + d] *= root;
    }
}

static void gram_wave(void *ctx, int64_t first, int64_t n, const float *x)
{
    (void)first;
    struct curvature *c = ctx;
    sonde_gram_add(&c->gram, x, n, 0, NULL, NULL);
}

static void add_uncertainty(void *ctx, int64_t first, int64_t n, int64_t slot)
{
    (void)first, (void)n;
    struct curvature *c = ctx;
    c->sum += c->h[slot];
}

/* Of every k-th row; their number in n_rows. */
static enum sonde_status sample_curvature(const struct sonde_fit_problem *problem,
                                          const struct sonde_scaler *scaler, struct curvature *c,
                                          int64_t *n_rows, struct sonde_error *error)
{
    int64_t step = problem->n / (ROWS_PER_FEATURE * c->width), n = 0;
    step = step > 1 ? step : 1;
    int64_t *sample = malloc((size_t)(problem->n / step + 1) * sizeof(*sample));
    size_t n_slots = (size_t)problem->features->n_slots;
    c->score = malloc(n_slots * SONDE_FEATURES_BLOCK * (size_t)c->rows * sizeof(float));
    c->h = calloc(n_slots, sizeof(double));
    enum sonde_status status = SONDE_STATUS_OK;
    if (!sample || !c->score || !c->h)
        status = sonde_error_memory(error, "the basis of the weights");
    for (int64_t i = 0; i < problem->n && !status; i += step)
        sample[n++] = problem->sample[i];
    struct sonde_feature_pass pass = { .sample = sample,
                                       .n = n,
                                       .scaler = scaler,
                                       .block = weigh_block,
                                       .wave = gram_wave,
                                       .fold = add_uncertainty,
                                       .ctx = c };
    if (!status)
        status = sonde_features_pass(problem->features, &pass, error);
    free(sample);
    free(c->score);
    free(c->h);
    *n_rows = n;
    return status;
}

/* total becomes total * scale + penalty I, and then the inverse of its factor. */
static enum sonde_status factor(double *total, int64_t width, double scale, double penalty,
                                struct sonde_error *error)
{
    double mean = 0.0;
    for (int64_t i = 0; i < width * width; i++)
        total[i] *= scale;
    for (int64_t d = 0; d < width; d++)
        mean += total[d * width + d] / (double)width;
    double least = mean > 0 ? least_share * mean : 1.0;
    for (int64_t d = 0; d < width; d++)
        total[d * width + d] += fmax(penalty, least);
    return sonde_cholesky_inverse_factor(total, width, error);
}

enum sonde_status sonde_logistic_basis_fit(struct sonde_logistic_basis *out,
                                           const struct sonde_fit_problem *problem,
                                           const struct sonde_scaler *scaler,
                                           const double *parameters, double l2, bool wide,
                                           struct sonde_error *error)
{
    int64_t width = problem->features->width, n_rows = 1;
    int64_t rows = sonde_linear_fit_rows(SONDE_LINEAR_LOGISTIC, problem->n_targets);
    struct sonde_logistic_basis basis = { .width = width, .pool = problem->features->pool };
    float *weight = malloc((size_t)(rows * width) * sizeof(*weight));
    if (!weight)
        return sonde_error_memory(error, "the basis of the weights");
    for (int64_t i = 0; i < rows * width; i++)
        weight[i] = (float)parameters[i];
    struct curvature c = {
        .rows = rows, .width = width, .weight = weight, .bias = parameters + rows * width
    };
    enum sonde_status status = sonde_gram_init(&c.gram, width, wide, basis.pool, error);
    if (!status)
        status = sample_curvature(problem, scaler, &c, &n_rows, error);
    if (!status) {
        basis.bias_unit = 1.0 / sqrt(fmax(c.sum / (double)n_rows, least_share));
        sonde_gram_mirror(&c.gram);
        status = factor(c.gram.total, width, 1.0 / (double)n_rows, l2 / (double)problem->n, error);
    }
    if (!status && wide) {
        basis.wide = c.gram.total;
        c.gram.total = NULL;
    } else if (!status && !(basis.narrow = malloc((size_t)(width * width) * sizeof(float)))) {
        status = sonde_error_memory(error, "the basis of the weights");
    }
    for (int64_t i = 0; i < width * width && basis.narrow; i++)
        basis.narrow[i] = (float)c.gram.total[i];
    sonde_gram_finish(&c.gram);
    free(weight);
    if (!status)
        *out = basis;
    return status;
}

void sonde_logistic_basis_finish(struct sonde_logistic_basis *basis)
{
    free(basis->narrow);
    free(basis->wide);
    *basis = (struct sonde_logistic_basis){ 0 };
}

double sonde_logistic_basis_bytes(int64_t width, int n_threads)
{
    return sonde_gram_bytes(width, n_threads) + 4.0 * (double)width * (double)width;
}

struct product {
    const struct sonde_logistic_basis *basis;
    const float *from;
    int64_t rows;
    float *to;
};

/* A group of classes. */
static void forward_task(void *ctx, int64_t i, int worker)
{
    (void)worker;
    const struct product *p = ctx;
    int64_t width = p->basis->width, at = i * CLASS_GROUP, left = p->rows - at;
    sonde_tall_kernels()->gradient(p->to + at * width, p->from + at * width, width,
                                   p->basis->narrow, width, width,
                                   left < CLASS_GROUP ? left : CLASS_GROUP, NULL);
}

void sonde_logistic_basis_forward(const struct sonde_logistic_basis *basis, const float *u,
                                  int64_t rows, float *w)
{
    struct product product = { basis, u, rows, w };
    sonde_pool_run(basis->pool, (rows + CLASS_GROUP - 1) / CLASS_GROUP, forward_task, &product);
}

/* A group of variables. */
static void backward_task(void *ctx, int64_t i, int worker)
{
    (void)worker;
    const struct product *p = ctx;
    int64_t width = p->basis->width, at = i * ROW_GROUP, left = width - at;
    sonde_tall_kernels()->scores(p->to + at, width, p->basis->narrow + at * width,
                                 left < ROW_GROUP ? left : ROW_GROUP, width, p->from, p->rows);
}

void sonde_logistic_basis_backward(const struct sonde_logistic_basis *basis, const float *dw,
                                   int64_t rows, float *du)
{
    struct product product = { basis, dw, rows, du };
    sonde_pool_run(basis->pool, (basis->width + ROW_GROUP - 1) / ROW_GROUP, backward_task,
                   &product);
}

void sonde_logistic_basis_forward_wide(const struct sonde_logistic_basis *basis, const double *u,
                                       int64_t rows, double *w)
{
    int64_t width = basis->width;
    sonde_dgemm(false, false, rows, width, width, 1.0, u, width, basis->wide, width, 1.0, w, width);
}

void sonde_logistic_basis_backward_wide(const struct sonde_logistic_basis *basis, const double *dw,
                                        int64_t rows, double *du)
{
    int64_t width = basis->width;
    sonde_dgemm(false, true, rows, width, width, 1.0, dw, width, basis->wide, width, 0.0, du,
                width);
}
