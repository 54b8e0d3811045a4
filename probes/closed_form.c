/* Ridge, linear discriminant, mean difference and covariance: closed forms of the training rows'
 * moments, in double precision. */
#include "probes/closed_form.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/tensor/gemm.h"
#include "core/tensor/linalg.h"

struct moment_pass {
    const struct sonde_fit_problem *problem;
    struct sonde_moments *moments;
    bool wants_gram;
    double *wide; /* [n_slots, BLOCK, D] */
    double *gram; /* [n_slots, D, D] */
};

static void moment_block(void *ctx, int64_t first, int64_t n, float *x, int64_t slot)
{
    (void)first;
    const struct moment_pass *pass = ctx;
    int64_t width = pass->moments->width;
    double *wide = pass->wide + slot * SONDE_FEATURES_BLOCK * width;
    for (int64_t i = 0; i < n * width; i++)
        wide[i] = (double)x[i];
    if (pass->wants_gram)
        sonde_dgemm(true, false, width, width, n, 1.0, wide, width, wide, width, 0.0,
                    pass->gram + slot * width * width, width);
}

static void moment_fold(void *ctx, int64_t first, int64_t n, int64_t slot)
{
    struct moment_pass *pass = ctx;
    struct sonde_moments *m = pass->moments;
    const struct sonde_fit_problem *problem = pass->problem;
    const double *wide = pass->wide + slot * SONDE_FEATURES_BLOCK * m->width;
    for (int64_t i = 0; i < n; i++) {
        int64_t sample = problem->sample[first + i];
        int64_t row = problem->real ? 0 : problem->target[sample];
        double weight = problem->real ? problem->real[sample] - m->y_mean : 1.0;
        const double *z = wide + i * m->width;
        double *sum = m->sum + row * m->width;
        m->count[row] += 1.0;
        for (int64_t d = 0; d < m->width; d++) {
            sum[d] += weight * z[d];
            m->mean[d] += z[d];
        }
    }
    if (pass->wants_gram) {
        const double *gram = pass->gram + slot * m->width * m->width;
        for (int64_t i = 0; i < m->width * m->width; i++)
            m->gram[i] += gram[i];
    }
}

/* Sums become means, and the gram one about the mean (for classes: about each class's own). */
static void centre(struct sonde_moments *m, bool classes)
{
    int64_t width = m->width;
    double n = (double)m->n;
    for (int64_t d = 0; d < width; d++)
        m->mean[d] /= n;
    for (int64_t c = 0; c < m->n_sums && classes; c++)
        for (int64_t d = 0; d < width && m->count[c] > 0; d++)
            m->sum[c * width + d] /= m->count[c];
    for (int64_t c = 0; c < (classes ? m->n_sums : 1) && m->gram; c++) {
        const double *centre = classes ? m->sum + c * width : m->mean;
        double weight = classes ? m->count[c] : n;
        for (int64_t i = 0; i < width; i++)
            for (int64_t j = 0; j < width; j++)
                m->gram[i * width + j] -= weight * centre[i] * centre[j];
    }
}

void sonde_moments_finish(struct sonde_moments *moments)
{
    free(moments->gram);
    free(moments->sum);
    *moments = (struct sonde_moments){ 0 };
}

enum sonde_status sonde_moments_fit(struct sonde_moments *out,
                                    const struct sonde_fit_problem *problem,
                                    enum sonde_linear_method method,
                                    const struct sonde_scaler *scaler, struct sonde_error *error)
{
    struct sonde_features *f = problem->features;
    size_t width = (size_t)f->width, n_slots = (size_t)f->n_slots;
    bool wants_gram = method != SONDE_LINEAR_MEAN_DIFFERENCE;
    struct sonde_moments m = { .width = f->width,
                               .n_sums = problem->real ? 1 : problem->n_targets,
                               .n = problem->n };
    m.sum = calloc((size_t)m.n_sums * (width + 1) + width, sizeof(double));
    m.gram = wants_gram ? calloc(width * width, sizeof(double)) : NULL;
    struct moment_pass moment = {
        .problem = problem,
        .moments = &m,
        .wants_gram = wants_gram,
        .wide = malloc(n_slots * SONDE_FEATURES_BLOCK * width * sizeof(double)),
        .gram = wants_gram ? malloc(n_slots * width * width * sizeof(double)) : NULL,
    };
    enum sonde_status status = SONDE_STATUS_OK;
    if (!m.sum || !moment.wide || (wants_gram && (!m.gram || !moment.gram)))
        status = sonde_error_memory(error, "the moments");
    if (!status) {
        m.count = m.sum + m.n_sums * m.width;
        m.mean = m.count + m.n_sums;
        for (int64_t i = 0; problem->real && i < problem->n; i++)
            m.y_mean += problem->real[problem->sample[i]] / (double)problem->n;
        struct sonde_feature_pass pass = { .sample = problem->sample,
                                           .n = problem->n,
                                           .scaler = scaler,
                                           .block = moment_block,
                                           .fold = moment_fold,
                                           .ctx = &moment };
        status = sonde_features_pass(f, &pass, error);
    }
    free(moment.wide);
    free(moment.gram);
    if (status) {
        sonde_moments_finish(&m);
        return status;
    }
    centre(&m, !problem->real);
    *out = m;
    return SONDE_STATUS_OK;
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
