/* Ridge, linear discriminant, mean difference and covariance: closed forms of the training rows'
 * moments, in double precision. */
#include "probes/closed_form.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/tensor/gemm.h"
#include "core/tensor/linalg.h"
#include "core/tensor/vector.h"
#include "probes/feature_gram.h"

/* n D^2 up to which the gram is computed in double. */
static const double small_products = 1 << 24;
/* The least eigenvalue that may be solved with, in units of what products in f32 may be off by. */
static const double least_eigenvalue = 64;
enum { SCALE_ROWS = 4 * SONDE_FEATURES_BLOCK, STRIPE = 128 };

struct moment_pass {
    const struct sonde_fit_problem *problem;
    struct sonde_moments *moments;
    struct sonde_gram gram; /* total NULL for the mean difference */
    int64_t first, n;       /* the wave's samples, */
    const float *z;         /* [n, D] */
};

/* Sums of a stripe of columns, row by row; the mean of classes follows from theirs. */
static void add_sums(void *ctx, int64_t stripe)
{
    const struct moment_pass *pass = ctx;
    const struct sonde_fit_problem *problem = pass->problem;
    const struct sonde_moments *m = pass->moments;
    int64_t begin = stripe * STRIPE, left = m->width - begin;
    int64_t n_columns = left < STRIPE ? left : STRIPE;
    const struct sonde_vector_kernels *kernels = sonde_vector_kernels();
    for (int64_t i = 0; i < pass->n; i++) {
        int64_t sample = problem->sample[pass->first + i];
        const float *z = pass->z + i * m->width + begin;
        if (!problem->real) {
            kernels->accumulate(m->sum + problem->target[sample] * m->width + begin, z, n_columns);
            continue;
        }
        double weight = problem->real[sample] - m->y_mean, *sum = m->sum + begin;
        kernels->accumulate(m->mean + begin, z, n_columns);
        for (int64_t d = 0; d < n_columns; d++)
            sum[d] += weight * (double)z[d];
    }
}

static void add_sums_task(void *ctx, int64_t stripe, int worker)
{
    (void)worker;
    add_sums(ctx, stripe);
}

static void moment_wave(void *ctx, int64_t first, int64_t n, const float *z)
{
    struct moment_pass *pass = ctx;
    const struct sonde_fit_problem *problem = pass->problem;
    int64_t n_stripes = (pass->moments->width + STRIPE - 1) / STRIPE;
    for (int64_t i = 0; i < n; i++)
        pass->moments->count[problem->real ? 0 : problem->target[problem->sample[first + i]]] +=
            1.0;
    pass->first = first;
    pass->n = n;
    pass->z = z;
    if (pass->gram.total)
        sonde_gram_add(&pass->gram, z, n, n_stripes, add_sums, pass);
    else
        sonde_pool_run(problem->features->pool, n_stripes, add_sums_task, pass);
}

/* Sums become means, and the gram one about the mean (for classes: about each class's own). */
static enum sonde_status centre(struct sonde_moments *m, bool classes, struct sonde_error *error)
{
    int64_t width = m->width, n_centres = classes ? m->n_sums : 1;
    double n = (double)m->n;
    for (int64_t d = 0; d < width; d++)
        m->mean[d] /= n;
    for (int64_t c = 0; c < m->n_sums && classes; c++)
        for (int64_t d = 0; d < width && m->count[c] > 0; d++)
            m->sum[c * width + d] /= m->count[c];
    if (!m->gram)
        return SONDE_STATUS_OK;
    double *weighted = malloc((size_t)(n_centres * width) * sizeof(double));
    if (!weighted)
        return sonde_error_memory(error, "the moments");
    const double *centres = classes ? m->sum : m->mean;
    for (int64_t c = 0; c < n_centres; c++)
        for (int64_t d = 0; d < width; d++)
            weighted[c * width + d] = centres[c * width + d] * (classes ? m->count[c] : n);
    sonde_dgemm(true, false, width, width, n_centres, -1.0, weighted, width, centres, width, 1.0,
                m->gram, width);
    free(weighted);
    return SONDE_STATUS_OK;
}

/* Scales by what the gram says of the deviations: `square` holds the sums of squares about the
 * mean, in the units of the pass. */
static void rescale(struct sonde_moments *m, struct sonde_scaler *scaler, const double *square)
{
    int64_t width = m->width;
    double *by = m->scale;
    for (int64_t d = 0; d < width; d++) {
        double inverse = (double)scaler->inverse[d];
        double deviation = sqrt(fmax(square[d] / (double)m->n, 0.0)) / inverse;
        double mean = (double)scaler->mean[d] + m->mean[d] / inverse;
        scaler->inverse[d] = sonde_scaler_varies(mean, deviation) ? (float)(1.0 / deviation) : 1.0f;
        by[d] = (double)scaler->inverse[d] / inverse;
        m->mean[d] *= by[d];
    }
    for (int64_t c = 0; c < m->n_sums; c++)
        for (int64_t d = 0; d < width; d++)
            m->sum[c * width + d] *= by[d];
    for (int64_t i = 0; i < width; i++)
        for (int64_t j = 0; j < width; j++)
            m->gram[i * width + j] *= by[i] * by[j];
}

void sonde_moments_finish(struct sonde_moments *moments)
{
    free(moments->gram);
    free(moments->sum);
    *moments = (struct sonde_moments){ 0 };
}

static enum sonde_status fill_moments(struct sonde_moments *m,
                                      const struct sonde_fit_problem *problem,
                                      const struct sonde_scaler *scaler, bool wants_gram, bool wide,
                                      struct sonde_error *error)
{
    struct sonde_features *f = problem->features;
    struct moment_pass moment = { .problem = problem, .moments = m };
    enum sonde_status status = SONDE_STATUS_OK;
    if (wants_gram)
        status = sonde_gram_init(&moment.gram, m->width, wide, f->pool, error);
    struct sonde_feature_pass pass = { .sample = problem->sample,
                                       .n = problem->n,
                                       .scaler = scaler,
                                       .wave = moment_wave,
                                       .ctx = &moment };
    if (!status)
        status = sonde_features_pass(f, &pass, error);
    if (!status && wants_gram) {
        sonde_gram_mirror(&moment.gram);
        m->gram = moment.gram.total;
        moment.gram.total = NULL;
    }
    sonde_gram_finish(&moment.gram);
    return status;
}

/* The pass's own scale: of the first rows, or with the mean alone where features stay as they are;
 * exact where nothing is to come out of the gram. */
static enum sonde_status first_scale(const struct sonde_fit_problem *problem,
                                     const struct sonde_fit_options *options, bool wants_gram,
                                     struct sonde_scaler *scaler, struct sonde_error *error)
{
    int64_t n = wants_gram && problem->n > SCALE_ROWS ? SCALE_ROWS : problem->n;
    enum sonde_status status =
        sonde_scaler_fit(scaler, problem->features, problem->sample, n, error);
    bool as_is = options->as_is || options->method == SONDE_LINEAR_COVARIANCE;
    for (int64_t d = 0; d < problem->features->width && !status && as_is; d++)
        scaler->inverse[d] = 1.0f;
    return status;
}

/* The moments of one pass, its products in f32 or double. */
static enum sonde_status fit_pass(struct sonde_moments *out,
                                  const struct sonde_fit_problem *problem,
                                  const struct sonde_fit_options *options, bool wide,
                                  struct sonde_scaler *scaler, struct sonde_error *error)
{
    size_t width = (size_t)problem->features->width;
    bool wants_gram = options->method != SONDE_LINEAR_MEAN_DIFFERENCE;
    bool as_is = options->as_is || options->method == SONDE_LINEAR_COVARIANCE;
    struct sonde_moments m = { .width = (int64_t)width,
                               .n_sums = problem->real ? 1 : problem->n_targets,
                               .n = problem->n };
    struct sonde_scaler scale = { 0 };
    m.sum = calloc((size_t)m.n_sums * (width + 1) + 3 * width, sizeof(double));
    if (!m.sum)
        return sonde_error_memory(error, "the moments");
    m.count = m.sum + m.n_sums * m.width;
    m.mean = m.count + m.n_sums;
    m.scale = m.mean + width;
    double *square = m.scale + width;
    for (int64_t i = 0; problem->real && i < problem->n; i++)
        m.y_mean += problem->real[problem->sample[i]] / (double)problem->n;
    enum sonde_status status = first_scale(problem, options, wants_gram, &scale, error);
    if (!status)
        status = fill_moments(&m, problem, &scale, wants_gram, wide, error);
    for (int64_t c = 0; c < m.n_sums && !problem->real && !status; c++)
        for (size_t d = 0; d < width; d++)
            m.mean[d] += m.sum[(size_t)c * width + d];
    for (size_t d = 0; d < width && !status && wants_gram; d++)
        square[d] = m.gram[d * width + d] - m.mean[d] * (m.mean[d] / (double)m.n);
    if (!status)
        status = centre(&m, !problem->real, error);
    if (status) {
        sonde_scaler_finish(&scale);
        sonde_moments_finish(&m);
        return status;
    }
    if (wants_gram && !as_is)
        rescale(&m, &scale, square);
    *out = m;
    *scaler = scale;
    return SONDE_STATUS_OK;
}

/*
 * Whether gram + l2 I can be solved with although its products are in f32. Their errors, e on an
 * entry (2^-24 of the largest diagonal value), are a matrix of norm e sqrt(D) or so; a direction
 * whose eigenvalue is 64 times that comes out within a sixty-fourth. Cholesky finds out: less that
 * much on the diagonal, the matrix must still be positive definite.
 */
static enum sonde_status can_be_solved(const struct sonde_moments *m, double l2, bool *out,
                                       struct sonde_error *error)
{
    int64_t width = m->width;
    double *a = malloc((size_t)(width * width) * sizeof(double)), largest = 0.0, none = 0.0;
    if (!a)
        return sonde_error_memory(error, "the closed form");
    memcpy(a, m->gram, (size_t)(width * width) * sizeof(double));
    for (int64_t i = 0; i < width; i++)
        largest = fmax(largest, a[i * width + i]);
    double less = least_eigenvalue * 0x1p-24 * largest * sqrt((double)width);
    for (int64_t i = 0; i < width; i++)
        a[i * width + i] += l2 - less;
    enum sonde_status status = sonde_cholesky_solve(a, width, &none, 0, NULL);
    *out = status == SONDE_STATUS_OK;
    free(a);
    return status == SONDE_STATUS_NUMERIC ? SONDE_STATUS_OK : status;
}

enum sonde_status sonde_moments_fit(struct sonde_moments *out,
                                    const struct sonde_fit_problem *problem,
                                    const struct sonde_fit_options *options,
                                    struct sonde_scaler *scaler, struct sonde_error *error)
{
    const double width = (double)problem->features->width;
    bool wide = (double)problem->n * width * width <= small_products;
    bool solves = options->method == SONDE_LINEAR_RIDGE || options->method == SONDE_LINEAR_LDA;
    enum sonde_status status = fit_pass(out, problem, options, wide, scaler, error);
    if (status || wide || !solves)
        return status;
    bool enough = false;
    status = can_be_solved(out, options->l2, &enough, error);
    if (!status && enough)
        return SONDE_STATUS_OK;
    sonde_moments_finish(out);
    sonde_scaler_finish(scaler);
    return status ? status : fit_pass(out, problem, options, true, scaler, error);
}

static double dot(const double *a, const double *b, int64_t n)
{
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

/* Solves (gram * scale + penalty I) X = B for the n_b columns; B is given and left as rows. */
static enum sonde_status solve_penalised(const struct sonde_moments *m, double scale,
                                         double penalty, double *rows, int64_t n_rows,
                                         struct sonde_error *error)
{
    int64_t width = m->width;
    double *a = calloc((size_t)(width * width), sizeof(double));
    double *b = malloc((size_t)(width * n_rows) * sizeof(double));
    enum sonde_status status = SONDE_STATUS_OK;
    if (!a || !b)
        status = sonde_error_memory(error, "the closed form");
    for (int64_t i = 0; i < width * width && !status; i++)
        a[i] = m->gram[i] * scale;
    for (int64_t i = 0; i < width && !status; i++)
        a[i * width + i] += penalty;
    for (int64_t r = 0; r < n_rows && !status; r++)
        for (int64_t d = 0; d < width; d++)
            b[d * n_rows + r] = rows[r * width + d];
    if (!status) {
        status = sonde_cholesky_solve(a, width, b, n_rows, error);
        if (status)
            sonde_error_prepend(error, "the features depend on each other, give --l2 above 0");
    }
    for (int64_t r = 0; r < n_rows && !status; r++)
        for (int64_t d = 0; d < width; d++)
            rows[r * width + d] = b[d * n_rows + r];
    free(a);
    free(b);
    return status;
}

/* Linear scores from class means: w = P m, b = -(m P m)/2 + log prior, with P m in `solved`. */
static void fill_classes(const struct sonde_moments *m, const double *solved, bool with_prior,
                         struct sonde_linear_model *out)
{
    int64_t width = m->width;
    for (int64_t c = 0; c < m->n_sums; c++) {
        const double *w = solved + c * width;
        double b = -0.5 * dot(w, m->sum + c * width, width);
        if (with_prior)
            b += log(m->count[c] / (double)m->n);
        if (out->rows > 1) {
            memcpy(out->weight + c * width, w, (size_t)width * sizeof(double));
            out->bias[c] = b;
            continue;
        }
        double sign = c ? 1.0 : -1.0;
        for (int64_t d = 0; d < width; d++)
            out->weight[d] += sign * w[d];
        out->bias[0] += sign * b;
    }
}

/* The least squares line along the covariance u: a = |u|^2 / (u G u) with the gram G about the
 * mean, and 0 where nothing varies along u. */
static void fill_covariance(const struct sonde_moments *m, struct sonde_linear_model *out)
{
    const double *u = m->sum;
    double spread = 0.0;
    for (int64_t d = 0; d < m->width; d++)
        spread += u[d] * dot(m->gram + d * m->width, u, m->width);
    double a = spread > 0 ? dot(u, u, m->width) / spread : 0.0;
    for (int64_t d = 0; d < m->width; d++)
        out->weight[d] = a * u[d];
    out->bias[0] = m->y_mean - a * dot(u, m->mean, m->width);
}

enum sonde_status sonde_moments_solve(const struct sonde_moments *m,
                                      enum sonde_linear_method method, double l2,
                                      struct sonde_linear_model *out, struct sonde_error *error)
{
    struct sonde_linear_model model = { 0 };
    enum sonde_status status = sonde_linear_model_init(
        &model, sonde_linear_fit_rows(method, method == SONDE_LINEAR_RIDGE ? 0 : m->n_sums),
        m->width, error);
    if (!status && method == SONDE_LINEAR_COVARIANCE) {
        fill_covariance(m, &model);
        *out = model;
        return SONDE_STATUS_OK;
    }
    size_t n_values = (size_t)(m->n_sums * m->width);
    double *rows = status ? NULL : malloc(n_values * sizeof(double));
    if (!status && !rows)
        status = sonde_error_memory(error, "the closed form");
    if (!status)
        memcpy(rows, m->sum, n_values * sizeof(double));
    if (!status && method == SONDE_LINEAR_RIDGE) {
        status = solve_penalised(m, 1.0, l2, rows, 1, error);
        if (!status) {
            memcpy(model.weight, rows, n_values * sizeof(double));
            model.bias[0] = m->y_mean - dot(rows, m->mean, m->width);
        }
    } else if (!status) {
        if (method == SONDE_LINEAR_LDA) {
            double freedom = (double)(m->n - m->n_sums);
            status = solve_penalised(m, 1.0 / (freedom > 1 ? freedom : 1.0), l2 / (double)m->n,
                                     rows, m->n_sums, error);
        }
        if (!status)
            fill_classes(m, rows, method == SONDE_LINEAR_LDA, &model);
    }
    free(rows);
    if (status) {
        sonde_linear_model_finish(&model);
        return status;
    }
    *out = model;
    return SONDE_STATUS_OK;
}
