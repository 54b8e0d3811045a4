/* Fits against scikit-learn's numbers, closed forms and identities. */
#include <string.h>

#include "core/base/json.h"
#include "core/base/rng.h"
#include "probes/linear_fit.h"
#include "tests/unit/probes/probe_support.h"

enum { N = 1000, D = 12, LENGTH = 10 };

struct rows {
    int64_t n, width, length;
    float *x; /* [n, width] */
};

static int64_t row_length(void *ctx, int64_t s)
{
    const struct rows *r = ctx;
    int64_t left = r->n - s * r->length;
    return left < r->length ? left : r->length;
}

static int32_t row_id(void *ctx, int64_t s, int64_t t)
{
    (void)ctx;
    return (int32_t)(1 + s + t);
}

static void fill_rows(void *ctx, int64_t stream, int64_t s, int64_t T, float *out)
{
    (void)stream;
    const struct rows *r = ctx;
    memcpy(out, r->x + s * r->length * r->width, (size_t)(T * r->width) * sizeof(float));
}

/* Features over a memory source, with everything that they borrow. */
struct bench {
    struct rows rows;
    struct sonde_source *source;
    struct sonde_features features;
    int64_t *first, *count, *sample, *group;
    int32_t *target;
    double *real;
};

static void bench_open(struct bench *b, int64_t n, int64_t width, float *x, int64_t mem_bytes,
                       struct sonde_pool *pool)
{
    *b = (struct bench){ .rows = { .n = n, .width = width, .length = LENGTH, .x = x } };
    struct toy_run run = { .stream = { toy_stream("x", 0, width) },
                           .n_streams = 1,
                           .n_sequences = (n + LENGTH - 1) / LENGTH,
                           .length = row_length,
                           .id = row_id,
                           .fill = fill_rows,
                           .ctx = &b->rows };
    b->source = toy_source(&run);
    b->first = calloc((size_t)n, sizeof(int64_t));
    b->count = calloc((size_t)n, sizeof(int64_t));
    b->sample = calloc((size_t)n, sizeof(int64_t));
    b->group = calloc((size_t)n, sizeof(int64_t));
    b->target = calloc((size_t)n, sizeof(int32_t));
    b->real = calloc((size_t)n, sizeof(double));
    for (int64_t i = 0; i < n; i++) {
        b->first[i] = b->sample[i] = i;
        b->count[i] = 1;
        b->group[i] = i / LENGTH;
    }
    struct sonde_feature_rows rows = { .n = n, .first = b->first, .count = b->count };
    struct sonde_error error = { 0 };
    check_ok(sonde_features_open(&b->features, b->source, 0, &rows, mem_bytes, 64, pool, &error),
             &error);
}

static void bench_close(struct bench *b)
{
    sonde_features_close(&b->features);
    b->source->destroy(&b->source);
    free(b->first);
    free(b->count);
    free(b->sample);
    free(b->group);
    free(b->target);
    free(b->real);
    free(b->rows.x);
}

static struct sonde_fit_problem problem_of(struct bench *b, int64_t n_targets)
{
    return (struct sonde_fit_problem){ .features = &b->features,
                                       .sample = b->sample,
                                       .n = b->rows.n,
                                       .target = n_targets ? b->target : NULL,
                                       .real = n_targets ? NULL : b->real,
                                       .n_targets = n_targets };
}

/* Rows about K centres; target i % K. */
static float *random_rows(int64_t n, int64_t width, int64_t K, double apart, double offset)
{
    float *x = malloc((size_t)(n * width) * sizeof(float));
    struct sonde_rng rng = sonde_rng_make(7, 1), centres = sonde_rng_make(7, 2);
    double *centre = malloc((size_t)(K * width) * sizeof(double));
    assert_non_null(x);
    assert_non_null(centre);
    for (int64_t i = 0; i < K * width; i++)
        centre[i] = apart * sonde_rng_normal(&centres);
    for (int64_t i = 0; i < n; i++)
        for (int64_t d = 0; d < width; d++)
            x[i * width + d] = (float)(offset + centre[i % K * width + d] + sonde_rng_normal(&rng));
    free(centre);
    return x;
}

static void set_targets(struct bench *b, int64_t K)
{
    for (int64_t i = 0; i < b->rows.n; i++)
        b->target[i] = (int32_t)(i % K);
}

static void agree_with(const struct sonde_json *fit, struct bench *b,
                       const struct sonde_json *label)
{
    const char *kind = sonde_json_string(sonde_json_get(fit, "kind"), "");
    bool ridge = strcmp(kind, "ridge") == 0, binary = strcmp(kind, "binary") == 0;
    for (int64_t i = 0; i < b->rows.n; i++) {
        int64_t c = sonde_json_integer(sonde_json_at(label, i), -1);
        b->target[i] = (int32_t)(binary ? c == 1 : c);
    }
    struct sonde_fit_problem problem = problem_of(b, ridge ? 0 : binary ? 2 : 3);
    struct sonde_fit_options options = {
        .method = ridge ? SONDE_LINEAR_RIDGE : SONDE_LINEAR_LOGISTIC,
        .as_is = true,
        .l2 = sonde_json_real(sonde_json_get(fit, "l2"), -1),
        .tolerance = 1e-9,
    };
    struct sonde_linear_model model = { 0 };
    struct sonde_fit_report report;
    struct sonde_error error = { 0 };
    check_ok(sonde_linear_fit(&problem, &options, NULL, &model, &report, &error), &error);
    const struct sonde_json *coef = sonde_json_get(fit, "coef");
    assert_int_equal(model.rows, sonde_json_size(coef));
    for (int64_t r = 0; r < model.rows; r++) {
        for (int64_t d = 0; d < model.width; d++)
            check_close(model.weight[r * model.width + d],
                        sonde_json_real(sonde_json_at(sonde_json_at(coef, r), d), NAN), 1e-5);
        check_close(model.bias[r],
                    sonde_json_real(sonde_json_at(sonde_json_get(fit, "intercept"), r), NAN), 1e-5);
    }
    sonde_linear_model_finish(&model);
}

static void agrees_with_scikit_learn(void **state)
{
    (void)state;
    struct sonde_json *root = NULL;
    struct sonde_error error = { 0 };
    check_ok(sonde_json_load(&root, SONDE_GOLDEN "/linear.json", 1 << 20, &error), &error);
    const struct sonde_json *x = sonde_json_get(root, "x");
    int64_t n = sonde_json_size(x), width = sonde_json_size(sonde_json_at(x, 0));
    float *rows = malloc((size_t)(n * width) * sizeof(float));
    for (int64_t i = 0; i < n * width; i++)
        rows[i] =
            (float)sonde_json_real(sonde_json_at(sonde_json_at(x, i / width), i % width), NAN);
    struct bench b;
    bench_open(&b, n, width, rows, 1 << 24, NULL);
    for (int64_t i = 0; i < n; i++)
        b.real[i] = sonde_json_real(sonde_json_at(sonde_json_get(root, "real"), i), NAN);
    const struct sonde_json *fits = sonde_json_get(root, "fits");
    assert_int_equal(sonde_json_size(fits), 9);
    for (int64_t i = 0; i < sonde_json_size(fits); i++)
        agree_with(sonde_json_at(fits, i), &b, sonde_json_get(root, "class"));
    bench_close(&b);
    sonde_json_destroy(&root);
}

/* The same bits with 1 to 4 threads, with everything in memory and with next to nothing. */
static void bits_do_not_depend_on_threads_or_memory(void **state)
{
    (void)state;
    /* The second is logistic regression with products in f32. */
    const enum sonde_linear_method methods[] = { SONDE_LINEAR_LOGISTIC, SONDE_LINEAR_LOGISTIC,
                                                 SONDE_LINEAR_RIDGE, SONDE_LINEAR_LDA,
                                                 SONDE_LINEAR_MEAN_DIFFERENCE };
    const int64_t rows_bytes = N * D * (int64_t)sizeof(float);
    const int64_t block_bytes = SONDE_FEATURES_BLOCK * D * (int64_t)sizeof(float);
    for (int m = 0; m < 5; m++) {
        struct sonde_linear_model first = { 0 };
        for (int threads = 1; threads <= 4; threads++) {
            /* All cached; no cache and two slots; no cache and one slot. */
            const int64_t mem[3] = { 4 * rows_bytes + (1 << 20), rows_bytes, 2 * block_bytes };
            for (int k = 0; k < 3; k++) {
                struct sonde_pool *pool = NULL;
                struct sonde_error error = { 0 };
                check_ok(sonde_pool_create(&pool, threads, &error), &error);
                struct bench b;
                bench_open(&b, N, D, random_rows(N, D, 5, 0.6, 3.0), mem[k], pool);
                assert_true((b.features.cached != NULL) == (k == 0));
                set_targets(&b, 5);
                for (int64_t i = 0; i < N; i++)
                    b.real[i] = (double)b.rows.x[i * D] + 0.1 * (double)(i % 7);
                bool ridge = methods[m] == SONDE_LINEAR_RIDGE;
                struct sonde_fit_problem problem = problem_of(&b, ridge ? 0 : 5);
                struct sonde_fit_options options = { .method = methods[m],
                                                     .l2 = 1.0,
                                                     .coarse = m == 1 };
                struct sonde_linear_model model = { 0 };
                struct sonde_fit_report report;
                check_ok(sonde_linear_fit(&problem, &options, NULL, &model, &report, &error),
                         &error);
                size_t bytes = (size_t)(model.rows * (D + 1)) * sizeof(double);
                if (first.weight) {
                    assert_memory_equal(first.weight, model.weight, bytes);
                    sonde_linear_model_finish(&model);
                } else {
                    first = model;
                }
                bench_close(&b);
                sonde_pool_destroy(&pool);
            }
        }
        sonde_linear_model_finish(&first);
    }
}

/* y = 3 x0 - 2 x1 + 5 without noise: found exactly without a penalty. With one, the normal
 * equations (Z'Z + l2 I) w = Z'y of the centred rows hold. */
static void ridge_solves_the_normal_equations(void **state)
{
    (void)state;
    struct bench b;
    bench_open(&b, 300, 4, random_rows(300, 4, 1, 0.0, 2.0), 1 << 20, NULL);
    double mean[4] = { 0 }, y_mean = 0.0;
    for (int64_t i = 0; i < 300; i++) {
        const float *x = b.rows.x + i * 4;
        b.real[i] = 3.0 * (double)x[0] - 2.0 * (double)x[1] + 5.0;
        y_mean += b.real[i] / 300;
        for (int d = 0; d < 4; d++)
            mean[d] += (double)x[d] / 300;
    }
    struct sonde_fit_problem problem = problem_of(&b, 0);
    for (int k = 0; k < 2; k++) {
        struct sonde_fit_options options = { .method = SONDE_LINEAR_RIDGE,
                                             .as_is = true,
                                             .l2 = k ? 50.0 : 0.0 };
        struct sonde_linear_model model = { 0 };
        struct sonde_fit_report report;
        struct sonde_error error = { 0 };
        check_ok(sonde_linear_fit(&problem, &options, NULL, &model, &report, &error), &error);
        const double exact[4] = { 3, -2, 0, 0 };
        for (int d = 0; d < 4 && k == 0; d++)
            check_close(model.weight[d], exact[d], 1e-5);
        if (k == 0)
            check_close(model.bias[0], 5.0, 1e-5);
        for (int d = 0; d < 4; d++) {
            double left = options.l2 * model.weight[d], right = 0.0;
            for (int64_t i = 0; i < 300; i++) {
                const float *x = b.rows.x + i * 4;
                double z = (double)x[d] - mean[d];
                right += z * (b.real[i] - y_mean);
                for (int e = 0; e < 4; e++)
                    left += z * ((double)x[e] - mean[e]) * model.weight[e];
            }
            /* Rows are centred in f32: 2^-24 of the mean 2 on each of 300 values of about 3. */
            check_close(left, right, 300 * 3 * 2 * 0x1p-22);
        }
        sonde_linear_model_finish(&model);
    }
    bench_close(&b);
}

/* Two spherical classes: the discriminant's direction is S^-1 (m1 - m0), the mean difference's m1 -
 * m0, both computed here again from the rows. */
static void discriminants_are_their_formulas(void **state)
{
    (void)state;
    enum { n = 400 };
    struct bench b;
    float *x = random_rows(n, 2, 2, 1.0, 0.0);
    for (int64_t i = 0; i < n; i++)
        x[2 * i + 1] += 0.8f * x[2 * i]; /* correlated features */
    bench_open(&b, n, 2, x, 1 << 20, NULL);
    set_targets(&b, 2);
    double m[2][2] = { { 0 } }, s[3] = { 0 };
    for (int64_t i = 0; i < n; i++)
        for (int d = 0; d < 2; d++)
            m[i % 2][d] += (double)x[2 * i + d] / (n / 2);
    for (int64_t i = 0; i < n; i++) {
        double a = (double)x[2 * i] - m[i % 2][0], c = (double)x[2 * i + 1] - m[i % 2][1];
        s[0] += a * a / (n - 2), s[1] += a * c / (n - 2), s[2] += c * c / (n - 2);
    }
    double d0 = m[1][0] - m[0][0], d1 = m[1][1] - m[0][1], det = s[0] * s[2] - s[1] * s[1];
    const double lda[2] = { (s[2] * d0 - s[1] * d1) / det, (s[0] * d1 - s[1] * d0) / det };
    const double means[2] = { d0, d1 };
    struct sonde_fit_problem problem = problem_of(&b, 2);
    for (int k = 0; k < 2; k++) {
        struct sonde_fit_options options = { .method = k ? SONDE_LINEAR_MEAN_DIFFERENCE
                                                         : SONDE_LINEAR_LDA,
                                             .as_is = true };
        struct sonde_linear_model model = { 0 };
        struct sonde_fit_report report;
        struct sonde_error error = { 0 };
        check_ok(sonde_linear_fit(&problem, &options, NULL, &model, &report, &error), &error);
        assert_int_equal(model.rows, 1);
        const double *w = k ? means : lda;
        double middle = 0.0;
        for (int d = 0; d < 2; d++) {
            check_close(model.weight[d], w[d], 1e-4);
            middle += w[d] * (m[0][d] + m[1][d]) / 2;
        }
        check_close(model.bias[0], -middle, 1e-4);
        sonde_linear_model_finish(&model);
    }
    bench_close(&b);
}

/* Weights of raw features answer as those of standardised ones do, also for features that are
 * large, far from zero or constant. */
static void standardisation_is_folded_back(void **state)
{
    (void)state;
    struct bench plain, scaled;
    float *x = random_rows(N, D, 3, 1.0, 0.0), *y = malloc((size_t)(N * D) * sizeof(float));
    assert_non_null(y);
    for (int64_t i = 0; i < N * D; i++) {
        int64_t d = i % D;
        x[i] = d == 5 ? 0.0f : x[i];
        /* Powers of two keep the f32 values exact up to the offset's rounding. */
        y[i] = d == 5 ? 77.0f : x[i] * (d % 2 ? 1024.0f : 0.125f) + (d % 3 ? 0.0f : 16.0f);
    }
    bench_open(&plain, N, D, x, 1 << 22, NULL);
    bench_open(&scaled, N, D, y, 1 << 22, NULL);
    double *score[2];
    struct bench *both[2] = { &plain, &scaled };
    for (int k = 0; k < 2; k++) {
        set_targets(both[k], 3);
        struct sonde_fit_problem problem = problem_of(both[k], 3);
        struct sonde_fit_options options = { .method = SONDE_LINEAR_LOGISTIC,
                                             .l2 = 10.0,
                                             .tolerance = 1e-6 };
        struct sonde_linear_model model = { 0 };
        struct sonde_fit_report report;
        struct sonde_error error = { 0 };
        check_ok(sonde_linear_fit(&problem, &options, NULL, &model, &report, &error), &error);
        score[k] = malloc((size_t)(N * 3) * sizeof(double));
        check_ok(sonde_linear_model_scores(&model, &both[k]->features, both[k]->sample, N, score[k],
                                           &error),
                 &error);
        check_close(model.weight[5] * 0.0, 0.0, 0.0); /* finite for the constant feature */
        sonde_linear_model_finish(&model);
    }
    for (int64_t i = 0; i < N * 3; i++)
        check_close(score[0][i], score[1][i], 1e-3);
    free(score[0]);
    free(score[1]);
    bench_close(&plain);
    bench_close(&scaled);
}

/* A fold's loss is that of a fit which never saw the fold: made again here, by hand. */
static void folds_do_not_leak(void **state)
{
    (void)state;
    struct bench b;
    bench_open(&b, 200, 3, random_rows(200, 3, 1, 0.0, 1.0), 1 << 20, NULL);
    for (int64_t i = 0; i < 200; i++) {
        b.group[i] =
            i < 130; /* two groups: the folds are known without asking how they are drawn */
        b.real[i] = (double)b.rows.x[3 * i] + 0.3 * (double)(i % 5);
    }
    struct sonde_fit_problem problem = problem_of(&b, 0);
    struct sonde_fit_options options = { .method = SONDE_LINEAR_RIDGE };
    struct sonde_l2_options l2 = { .n_folds = 5, .group = b.group, .seed = 1 };
    struct sonde_l2_path path;
    struct sonde_error error = { 0 };
    check_ok(sonde_linear_choose_l2(&problem, &options, &l2, &path, &error), &error);
    assert_int_equal(path.n_folds, 2);
    for (int s = 0; s < path.n_shares; s++) {
        double mean = 0.0;
        for (int k = 0; k < 2 && !isnan(path.loss[s]); k++) {
            struct sonde_fit_problem train = problem, validation = problem;
            train.sample = b.sample + (k ? 130 : 0);
            train.n = k ? 70 : 130;
            validation.sample = b.sample + (k ? 0 : 130);
            validation.n = k ? 130 : 70;
            struct sonde_linear_model model = { 0 };
            struct sonde_fit_report report;
            double loss;
            options.l2 = path.share[s] * (double)train.n;
            check_ok(sonde_linear_fit(&train, &options, NULL, &model, &report, &error), &error);
            check_ok(sonde_linear_loss(&model, &validation, &loss, &error), &error);
            mean += loss / 2;
            sonde_linear_model_finish(&model);
        }
        if (!isnan(path.loss[s]))
            check_close(path.loss[s], mean, 1e-12 * mean);
        assert_false(path.loss[s] < path.loss[path.best]);
    }
    assert_false(isnan(path.loss[0]));
    bench_close(&b);
}

/* Separable classes without a penalty have no minimum: the fit ends at its limit and says so. */
static void separable_classes_stop(void **state)
{
    (void)state;
    struct bench b;
    float *x = malloc(100 * sizeof(float));
    for (int i = 0; i < 100; i++)
        x[i] = (float)(i % 2 ? 1 : -1) * (1.0f + (float)i * 0.01f);
    bench_open(&b, 100, 1, x, 1 << 20, NULL);
    set_targets(&b, 2);
    struct sonde_fit_problem problem = problem_of(&b, 2);
    struct sonde_fit_options options = { .max_iterations = 5, .tolerance = 1e-12 };
    struct sonde_linear_model model = { 0 };
    struct sonde_fit_report report;
    struct sonde_error error = { 0 };
    check_ok(sonde_linear_fit(&problem, &options, NULL, &model, &report, &error), &error);
    assert_int_equal(report.end, SONDE_MINIMISE_MAX_ITERATIONS);
    assert_int_equal(report.iterations, 5);
    assert_true(model.weight[0] > 0);
    sonde_linear_model_finish(&model);
    bench_close(&b);
}

static void values_that_are_not_finite_are_refused(void **state)
{
    (void)state;
    struct bench b;
    float *x = random_rows(40, 2, 1, 0.0, 0.0);
    bench_open(&b, 40, 2, x, 1 << 20, NULL);
    sonde_features_close(&b.features);
    b.source->destroy(&b.source);
    x[2 * 17] = NAN;
    x[2 * 30] = INFINITY;
    struct toy_run run = { .stream = { toy_stream("x", 0, 2) },
                           .n_streams = 1,
                           .n_sequences = 4,
                           .length = row_length,
                           .id = row_id,
                           .fill = fill_rows,
                           .ctx = &b.rows };
    b.source = toy_source(&run);
    struct sonde_feature_rows rows = { .n = 40, .first = b.first, .count = b.count };
    struct sonde_error error = { 0 };
    assert_int_equal(sonde_features_open(&b.features, b.source, 0, &rows, 1 << 20, 4, NULL, &error),
                     SONDE_STATUS_NUMERIC);
    assert_string_equal(error.text, "x: 2 values are not finite (first in row 17)");
    assert_int_equal(sonde_features_open(&b.features, b.source, 0, &rows, 100, 4, NULL, &error),
                     SONDE_STATUS_LIMIT);
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_scikit_learn),
        cmocka_unit_test(bits_do_not_depend_on_threads_or_memory),
        cmocka_unit_test(ridge_solves_the_normal_equations),
        cmocka_unit_test(discriminants_are_their_formulas),
        cmocka_unit_test(standardisation_is_folded_back),
        cmocka_unit_test(folds_do_not_leak),
        cmocka_unit_test(separable_classes_stop),
        cmocka_unit_test(values_that_are_not_finite_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
