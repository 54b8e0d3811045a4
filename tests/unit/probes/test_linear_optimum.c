/* Large linear fits, whose products are in f32: their optimum against double precision, the same
 * bits whatever the threads and the memory, and data that is hard or broken. */
#include <string.h>

#include "core/base/rng.h"
#include "probes/linear_fit.h"
#include "tests/support/check.h"

struct samples {
    struct sonde_source source;
    struct sonde_stream stream;
    struct sonde_features features;
    int64_t n, width;
    float *x; /* [n, D] */
    int64_t *first, *count;
    int32_t *target;
    double *real;
};

static enum sonde_status read_rows(struct sonde_source *source, int64_t stream, int64_t first,
                                   int64_t n, float *out, struct sonde_error *error)
{
    (void)stream;
    (void)error;
    const struct samples *s = source->self;
    memcpy(out, s->x + first * s->width, (size_t)(n * s->width) * sizeof(float));
    return SONDE_STATUS_OK;
}

static struct samples *new_samples(int64_t n, int64_t width)
{
    struct samples *s = calloc(1, sizeof(*s));
    assert_non_null(s);
    s->n = n;
    s->width = width;
    s->stream = (struct sonde_stream){ .name = "x", .width = width, .n_rows = n };
    s->source = (struct sonde_source){
        .self = s, .n_streams = 1, .streams = &s->stream, .read_rows = read_rows
    };
    s->x = calloc((size_t)(n * width), sizeof(float));
    s->first = calloc((size_t)n, sizeof(int64_t));
    s->count = calloc((size_t)n, sizeof(int64_t));
    s->target = calloc((size_t)n, sizeof(int32_t));
    s->real = calloc((size_t)n, sizeof(double));
    assert_true(s->x && s->first && s->count && s->target && s->real);
    for (int64_t i = 0; i < n; i++) {
        s->first[i] = i;
        s->count[i] = 1;
    }
    return s;
}

static void free_samples(struct samples *s)
{
    free(s->x);
    free(s->first);
    free(s->count);
    free(s->target);
    free(s->real);
    free(s);
}

static enum sonde_status open_rows(struct samples *s, int64_t mem_bytes, struct sonde_pool *pool,
                                   struct sonde_error *error)
{
    struct sonde_feature_rows rows = { .n = s->n, .first = s->first, .count = s->count };
    return sonde_features_open_lazy(&s->features, &s->source, 0, &rows, mem_bytes, 64, pool, error);
}

static struct sonde_fit_problem problem_of(struct samples *s, int64_t n_targets)
{
    return (struct sonde_fit_problem){ .features = &s->features,
                                       .sample = s->first,
                                       .n = s->n,
                                       .target = n_targets ? s->target : NULL,
                                       .real = n_targets ? NULL : s->real,
                                       .n_targets = n_targets };
}

/* K classes in 8 directions, of which all features are mixtures, so that these depend on each
 * other but for a thousandth part; the target is random where noise wins. */
static struct samples *collinear_samples(int64_t n, int64_t width, int64_t K, double offset)
{
    enum { DIRECTIONS = 8 };
    struct samples *s = new_samples(n, width);
    struct sonde_rng rng = sonde_rng_make(11, 1);
    double *mix = malloc((size_t)(DIRECTIONS * width) * sizeof(double));
    double *centre = malloc((size_t)(K * DIRECTIONS) * sizeof(double));
    assert_true(mix && centre);
    for (int64_t i = 0; i < DIRECTIONS * width; i++)
        mix[i] = sonde_rng_normal(&rng);
    for (int64_t i = 0; i < K * DIRECTIONS; i++)
        centre[i] = sonde_rng_normal(&rng);
    for (int64_t i = 0; i < n; i++) {
        double at[DIRECTIONS];
        s->target[i] = (int32_t)sonde_rng_below(&rng, (uint64_t)K);
        for (int64_t k = 0; k < DIRECTIONS; k++)
            at[k] = centre[s->target[i] * DIRECTIONS + k] + 2.0 * sonde_rng_normal(&rng);
        s->real[i] = at[0] - 2 * at[1] + 0.1 * sonde_rng_normal(&rng);
        for (int64_t d = 0; d < width; d++) {
            double sum = 1e-3 * sonde_rng_normal(&rng);
            for (int64_t k = 0; k < DIRECTIONS; k++)
                sum += mix[k * width + d] * at[k] / 3.0;
            s->x[i * width + d] = (float)(sum + offset * (double)(d % 5));
        }
    }
    free(mix);
    free(centre);
    return s;
}

/* The mean objective of features as they are and its largest slope, in plain loops. */
static double objective(const struct samples *s, const struct sonde_linear_model *m, double l2,
                        double *slope)
{
    int64_t K = m->rows, D = m->width;
    double loss = 0, *g = calloc((size_t)(K * (D + 1)), sizeof(double)), score[64];
    assert_non_null(g);
    for (int64_t i = 0; i < s->n; i++) {
        double top = -INFINITY, sum = 0;
        for (int64_t k = 0; k < K; k++) {
            score[k] = m->bias[k];
            for (int64_t d = 0; d < D; d++)
                score[k] += m->weight[k * D + d] * (double)s->x[i * D + d];
            top = fmax(top, score[k]);
        }
        for (int64_t k = 0; k < K; k++)
            sum += exp(score[k] - top);
        loss += log(sum) - (score[s->target[i]] - top);
        for (int64_t k = 0; k < K; k++) {
            double p = exp(score[k] - top) / sum - (k == s->target[i]);
            g[K * D + k] += p;
            for (int64_t d = 0; d < D; d++)
                g[k * D + d] += p * (double)s->x[i * D + d];
        }
    }
    *slope = 0;
    for (int64_t i = 0; i < K * D; i++) {
        loss += 0.5 * l2 * m->weight[i] * m->weight[i];
        g[i] += l2 * m->weight[i];
    }
    for (int64_t i = 0; i < K * (D + 1); i++)
        *slope = fmax(*slope, fabs(g[i]) / (double)s->n);
    free(g);
    return loss / (double)s->n;
}

/* In double the fit ends where the slope says; in f32 it comes as near as 1e-6 of the loss, though
 * the features are all but dependent, and both need few iterations. */
static void optimum_is_that_of_double_precision(void **state)
{
    (void)state;
    enum { n = 1500, D = 48, K = 9 };
    struct samples *s = collinear_samples(n, D, K, 0.0);
    struct sonde_error error = { 0 };
    check_ok(open_rows(s, 1 << 24, NULL, &error), &error);
    struct sonde_fit_problem problem = problem_of(s, K);
    double value[2], slope[2];
    for (int coarse = 0; coarse < 2; coarse++) {
        struct sonde_fit_options options = {
            .as_is = true, .l2 = 1e-2, .coarse = coarse == 1, .tolerance = coarse ? 0 : 1e-8
        };
        struct sonde_linear_model model = { 0 };
        struct sonde_fit_report report;
        check_ok(sonde_linear_fit(&problem, &options, NULL, &model, &report, &error), &error);
        value[coarse] = objective(s, &model, options.l2, &slope[coarse]);
        check_close(report.loss, value[coarse], coarse ? 1e-6 : 1e-12);
        assert_true(report.iterations < 100 && report.evaluations < 120);
        sonde_linear_model_finish(&model);
    }
    assert_true(slope[0] <= 1e-8 * fmin(1.0, value[0]) * (1 + 1e-6));
    assert_true(value[1] >= value[0] - 1e-12);
    check_close(value[1], value[0], 1e-6 * value[0]);
    sonde_features_close(&s->features);
    free_samples(s);
}

/* Classes that all but part, and next to no penalty: most answers are certain soon, and what is
 * left to gain is in the few that are not. */
static void classes_that_all_but_part_converge(void **state)
{
    (void)state;
    enum { n = 1500, D = 40, K = 5 };
    struct samples *s = new_samples(n, D);
    struct sonde_rng rng = sonde_rng_make(5, 1);
    struct sonde_error error = { 0 };
    double centre[K * D], slope;
    for (int i = 0; i < K * D; i++)
        centre[i] = 0.5 * sonde_rng_normal(&rng);
    for (int64_t i = 0; i < n; i++) {
        s->target[i] = (int32_t)sonde_rng_below(&rng, K);
        for (int d = 0; d < D; d++)
            s->x[i * D + d] = (float)(centre[s->target[i] * D + d] + sonde_rng_normal(&rng));
    }
    check_ok(open_rows(s, 1 << 24, NULL, &error), &error);
    struct sonde_fit_problem problem = problem_of(s, K);
    struct sonde_fit_options options = { .as_is = true, .l2 = 1e-5 * n };
    struct sonde_linear_model model = { 0 };
    struct sonde_fit_report report;
    check_ok(sonde_linear_fit(&problem, &options, NULL, &model, &report, &error), &error);
    assert_int_equal(report.end, SONDE_MINIMISE_CONVERGED);
    assert_true(report.iterations < 500);
    check_close(report.loss, objective(s, &model, options.l2, &slope), 1e-12);
    assert_true(slope <= 1e-5 * report.loss * (1 + 1e-6));
    sonde_linear_model_finish(&model);
    sonde_features_close(&s->features);
    free_samples(s);
}

/* Ridge with its gram in f32: what is left of the normal equations of the standardised rows, all
 * computed again in double. The gram's entries are off by 257 * 2^-24 sum |z z| at most
 * (feature_gram.h), and each z by 2^-23 of its features' offset over its deviation. */
static void large_ridge_solves_the_normal_equations(void **state)
{
    (void)state;
    enum { n = 2100, D = 200 };
    struct samples *s = collinear_samples(n, D, 3, 2.0);
    for (int64_t i = 0; i < n; i++)
        s->x[i * D + 7] = 4.0f; /* one is constant */
    struct sonde_error error = { 0 };
    check_ok(open_rows(s, 1 << 24, NULL, &error), &error);
    struct sonde_fit_problem problem = problem_of(s, 0);
    struct sonde_fit_options options = { .method = SONDE_LINEAR_RIDGE, .l2 = 3.0 };
    struct sonde_linear_model model = { 0 };
    struct sonde_fit_report report;
    check_ok(sonde_linear_fit(&problem, &options, NULL, &model, &report, &error), &error);
    double *z = malloc((size_t)n * D * sizeof(double)), w[D], y_mean = 0, y_size = 0;
    assert_non_null(z);
    for (int64_t i = 0; i < n; i++)
        y_mean += s->real[i] / n;
    for (int64_t d = 0; d < D; d++) {
        double mean = 0, square = 0;
        for (int64_t i = 0; i < n; i++)
            mean += (double)s->x[i * D + d] / n;
        for (int64_t i = 0; i < n; i++)
            square += ((double)s->x[i * D + d] - mean) * ((double)s->x[i * D + d] - mean);
        double deviation = d == 7 ? 1.0 : sqrt(square / n);
        for (int64_t i = 0; i < n; i++)
            z[i * D + d] = ((double)s->x[i * D + d] - mean) / deviation;
        w[d] = model.weight[d] * deviation;
    }
    assert_true(model.weight[7] == 0.0);
    for (int64_t i = 0; i < n; i++)
        y_size += fabs(s->real[i] - y_mean);
    for (int64_t d = 0; d < D; d++) {
        double left = options.l2 * w[d], size = 0;
        for (int64_t e = 0; e < D; e++) {
            double g = 0, a = 0;
            for (int64_t i = 0; i < n; i++) {
                g += z[i * D + d] * z[i * D + e];
                a += fabs(z[i * D + d] * z[i * D + e]);
            }
            left += g * w[e];
            size += a * fabs(w[e]);
        }
        for (int64_t i = 0; i < n; i++)
            left -= z[i * D + d] * (s->real[i] - y_mean);
        check_close(left, 0.0, (257 + 4 * 8) * 0x1p-24 * size + 8 * 0x1p-23 * y_size);
    }
    free(z);
    sonde_linear_model_finish(&model);
    sonde_features_close(&s->features);
    free_samples(s);
}

/* Features that depend on each other but for a thousandth part, and next to no penalty: the errors
 * of f32 would be larger than the least eigenvalue. Values are such that rows are centred exactly,
 * so the normal equations must hold as they do in double. */
static void collinear_ridge_is_solved_in_double(void **state)
{
    (void)state;
    enum { n = 21000, D = 40 };
    struct samples *s = new_samples(n, D);
    struct sonde_rng rng = sonde_rng_make(3, 1);
    for (int64_t i = 0; i < n; i += 2) {
        for (int64_t d = 0; d < D; d++) {
            const int64_t small = (int64_t)sonde_rng_below(&rng, 65) - 32;
            s->x[i * D + d] = (float)(1 + d % 3) + (float)small * 0x1p-15f;
            s->x[(i + 1) * D + d] = -s->x[i * D + d];
        }
        s->real[i] = (double)s->x[i * D] - 3.0 * (double)s->x[i * D + 5];
        s->real[i + 1] = -s->real[i];
    }
    struct sonde_error error = { 0 };
    check_ok(open_rows(s, 1 << 24, NULL, &error), &error);
    struct sonde_fit_problem problem = problem_of(s, 0);
    struct sonde_fit_options options = { .method = SONDE_LINEAR_RIDGE, .as_is = true, .l2 = 1e-4 };
    struct sonde_linear_model model = { 0 };
    struct sonde_fit_report report;
    check_ok(sonde_linear_fit(&problem, &options, NULL, &model, &report, &error), &error);
    for (int64_t d = 0; d < D; d++) {
        double left = options.l2 * model.weight[d], size = 0;
        for (int64_t i = 0; i < n; i++) {
            const float *x = s->x + i * D;
            double off = -s->real[i], much = fabs(s->real[i]);
            for (int64_t e = 0; e < D; e++) {
                off += (double)x[e] * model.weight[e];
                much += fabs((double)x[e] * model.weight[e]);
            }
            left += (double)x[d] * off;
            size += fabs((double)x[d]) * much;
        }
        /* Sums of n products, here and there, and Cholesky's backward error. */
        check_close(left, 0.0, (2 * n + 8 * D) * 0x1p-53 * size);
    }
    sonde_linear_model_finish(&model);
    sonde_features_close(&s->features);
    free_samples(s);
}

/* Everything in memory and standardised once; in memory; read again in every pass, with several
 * places or one. */
static void bits_do_not_depend_on_threads_or_memory(void **state)
{
    (void)state;
    enum { n = 1100, D = 210, K = 7 };
    static const enum sonde_linear_method methods[] = { SONDE_LINEAR_LOGISTIC, SONDE_LINEAR_RIDGE,
                                                        SONDE_LINEAR_LDA, SONDE_LINEAR_COVARIANCE };
    const int64_t rows = n * D * 4, block = SONDE_FEATURES_BLOCK * D * 4;
    struct samples *s = collinear_samples(n, D, K, 1.0);
    for (int m = 0; m < 4; m++) {
        struct sonde_linear_model first = { 0 };
        for (int threads = 1; threads <= 4; threads++) {
            const int64_t mem[4] = { 8 * rows + (1 << 24), 2 * rows + 20 * block, 4 * block,
                                     3 * block / 2 };
            for (int k = 0; k < 4; k++) {
                struct sonde_pool *pool = NULL;
                struct sonde_error error = { 0 };
                check_ok(sonde_pool_create(&pool, threads, &error), &error);
                check_ok(open_rows(s, mem[k], pool, &error), &error);
                assert_true((s->features.cached != NULL) == (k < 2));
                bool classes = m == 0 || m == 2;
                struct sonde_fit_problem problem = problem_of(s, classes ? K : 0);
                struct sonde_fit_options options = {
                    .method = methods[m], .l2 = 1.0, .coarse = true, .max_iterations = 12
                };
                struct sonde_linear_model model = { 0 };
                struct sonde_fit_report report;
                check_ok(sonde_linear_fit(&problem, &options, NULL, &model, &report, &error),
                         &error);
                if (first.weight)
                    assert_memory_equal(first.weight, model.weight,
                                        (size_t)(model.rows * (D + 1)) * sizeof(double));
                if (first.weight)
                    sonde_linear_model_finish(&model);
                else
                    first = model;
                sonde_features_close(&s->features);
                sonde_pool_destroy(&pool);
            }
        }
        sonde_linear_model_finish(&first);
    }
    free_samples(s);
}

/* Features twice over, a feature of nothing, a class without a sample, no penalty: numbers all the
 * same. */
static void dependent_features_and_empty_classes_fit(void **state)
{
    (void)state;
    enum { n = 600, D = 20, K = 5 };
    struct samples *s = collinear_samples(n, D, K - 1, 1.0);
    for (int64_t i = 0; i < n; i++) {
        s->x[i * D + 1] = s->x[i * D];
        s->x[i * D + 2] = 0.0f;
    }
    struct sonde_error error = { 0 };
    check_ok(open_rows(s, 1 << 22, NULL, &error), &error);
    struct sonde_fit_problem problem = problem_of(s, K);
    for (int k = 0; k < 4; k++) {
        struct sonde_fit_options options = { .l2 = k < 2 ? 0.0 : 1.0,
                                             .coarse = k % 2 == 1,
                                             .max_iterations = 40 };
        struct sonde_linear_model model = { 0 };
        struct sonde_fit_report report;
        check_ok(sonde_linear_fit(&problem, &options, NULL, &model, &report, &error), &error);
        for (int64_t i = 0; i < K * (D + 1); i++)
            assert_true(isfinite(model.weight[i]));
        for (int64_t c = 0; c < K; c++) {
            assert_true(model.weight[c * D + 2] == 0.0);
            /* Without a penalty nothing says which of the two it is. */
            if (options.l2 > 0)
                check_close(model.weight[c * D], model.weight[c * D + 1],
                            1e-3 * (1 + fabs(model.weight[c * D])));
        }
        assert_true(report.loss < log(K));
        sonde_linear_model_finish(&model);
    }
    sonde_features_close(&s->features);
    free_samples(s);
}

/* Rows that are read again are looked at in the pass that reads them. */
static void values_that_are_not_finite_end_a_pass(void **state)
{
    (void)state;
    enum { n = 900, D = 10 };
    struct samples *s = collinear_samples(n, D, 2, 1.0);
    s->x[700 * D + 3] = NAN;
    s->x[701 * D + 3] = -INFINITY;
    for (int k = 0; k < 2; k++) {
        struct sonde_error error = { 0 };
        check_ok(open_rows(s, 2 * SONDE_FEATURES_BLOCK * D * 4, NULL, &error), &error);
        assert_null(s->features.cached);
        struct sonde_fit_problem problem = problem_of(s, k ? 2 : 0);
        struct sonde_fit_options options = { .method =
                                                 k ? SONDE_LINEAR_LOGISTIC : SONDE_LINEAR_RIDGE };
        struct sonde_linear_model model = { 0 };
        struct sonde_fit_report report;
        assert_int_equal(sonde_linear_fit(&problem, &options, NULL, &model, &report, &error),
                         SONDE_STATUS_NUMERIC);
        assert_string_equal(error.text, "x: 2 values are not finite (first in row 700)");
        assert_null(model.weight);
        sonde_features_close(&s->features);
    }
    struct sonde_error error = { 0 };
    assert_int_equal(open_rows(s, 1 << 20, NULL, &error), SONDE_STATUS_NUMERIC);
    free_samples(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(optimum_is_that_of_double_precision),
        cmocka_unit_test(classes_that_all_but_part_converge),
        cmocka_unit_test(large_ridge_solves_the_normal_equations),
        cmocka_unit_test(collinear_ridge_is_solved_in_double),
        cmocka_unit_test(bits_do_not_depend_on_threads_or_memory),
        cmocka_unit_test(dependent_features_and_empty_classes_fit),
        cmocka_unit_test(values_that_are_not_finite_end_a_pass),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
