/* Directions: covariance, mean difference and weights as vectors, against their definitions. */
#include <string.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/rng.h"
#include "core/tensor/npy.h"
#include "probes/dataset.h"
#include "probes/direction.h"
#include "tests/unit/probes/probe_support.h"

enum { SEQUENCES = 60, T = 10, ROWS = SEQUENCES * T, D = 6 };

static int64_t length(void *ctx, int64_t s)
{
    (void)ctx, (void)s;
    return T;
}

static int32_t id(void *ctx, int64_t s, int64_t t)
{
    (void)ctx;
    return (int32_t)(1 + s * T + t);
}

static int32_t depth_at(int64_t row)
{
    struct sonde_rng rng = sonde_rng_make(5, (uint64_t)row);
    return (int32_t)sonde_rng_below(&rng, 4);
}

/* Coordinate 0 moves with the depth, 1 against it, 2 is wide noise, 3 a copy of noise and depth, 4
 * constant. */
static void fill(void *ctx, int64_t stream, int64_t s, int64_t n, float *out)
{
    (void)ctx;
    for (int64_t t = 0; t < n; t++) {
        struct sonde_rng rng = sonde_rng_make(6 + (uint64_t)stream, (uint64_t)(s * T + t));
        double y = depth_at(s * T + t), wide = 9.0 * sonde_rng_normal(&rng);
        float *x = out + t * D;
        x[0] = (float)(2.0 * y + sonde_rng_normal(&rng));
        x[1] = (float)(-0.5 * y + sonde_rng_normal(&rng));
        x[2] = (float)wide;
        x[3] = (float)(wide + 0.3 * y);
        x[4] = 3.0f;
        x[5] = (float)sonde_rng_normal(&rng);
    }
}

static struct sonde_source *open_source(void)
{
    static const char *const names[] = { "0", "1", "2", "3" };
    static const char *const sides[] = { "low", "high" };
    struct toy_run run = { .stream = { toy_stream("blocks.0.hook_resid_post", 0, D),
                                       toy_stream("blocks.1.hook_resid_post", 1, D) },
                           .n_streams = 2,
                           .n_sequences = SEQUENCES,
                           .length = length,
                           .id = id,
                           .fill = fill };
    struct sonde_source *source = toy_source(&run);
    int32_t depth[ROWS], side[ROWS];
    for (int64_t r = 0; r < ROWS; r++) {
        depth[r] = depth_at(r);
        side[r] = depth[r] > 1;
    }
    toy_labels(source, "depth", SONDE_ROWS_TOKEN, depth, names, 4);
    toy_labels(source, "side", SONDE_ROWS_TOKEN, side, sides, 2);
    return source;
}

static void read_vector(const char *path, double *out)
{
    struct sonde_npy *npy = NULL;
    struct sonde_error error = { 0 };
    check_ok(sonde_npy_open(&npy, path, &error), &error);
    const struct sonde_npy_shape *shape = sonde_npy_get_shape(npy);
    assert_int_equal(shape->rank, 1);
    assert_int_equal(shape->dim[0], D);
    assert_int_equal(shape->dtype, SONDE_DTYPE_F64);
    check_ok(sonde_npy_read(npy, 0, D, out, &error), &error);
    sonde_npy_close(&npy);
}

static void run_saving(struct sonde_source *source, const char *probe, const char *labels,
                       const char *streams, const char *place)
{
    const char *option[] = { "labels",         labels, "streams",   streams, "l2", "1",
                             "save-direction", place,  "bootstrap", "0",     NULL };
    struct toy_args args = { .source = source, .option = option };
    struct sonde_result *r = toy_probe(toy_builtin(probe), &args, NULL);
    assert_non_null(r);
    sonde_result_destroy(&r);
}

/* The direction's definition over the rows that trained it: a data set of the same options and seed
 * has the same split. */
static void reference(struct sonde_source *source, const char *labels, bool real, double *out)
{
    struct sonde_dataset_options options = { .labels = labels,
                                             .task = real ? SONDE_TASK_REAL : SONDE_TASK_AUTO,
                                             .seed = SONDE_SEED_DEFAULT };
    struct sonde_dataset *d = NULL;
    struct sonde_error error = { 0 };
    check_ok(sonde_dataset_create(&d, source, SONDE_ROWS_TOKEN, &options, &error), &error);
    double mean = 0, variance = 0, centre[D] = { 0 };
    double n = (double)d->n_train;
    float x[D];
    for (int64_t i = 0; i < d->n_train; i++) {
        int64_t row = d->first[d->train[i]];
        check_ok(source->read_rows(source, 0, row, 1, x, &error), &error);
        mean += (real ? d->real[d->train[i]] : d->target[d->train[i]]) / n;
        for (int k = 0; k < D; k++)
            centre[k] += (double)x[k] / n;
    }
    memset(out, 0, D * sizeof(*out));
    for (int64_t i = 0; i < d->n_train; i++) {
        double off = (real ? d->real[d->train[i]] : d->target[d->train[i]]) - mean;
        check_ok(source->read_rows(source, 0, d->first[d->train[i]], 1, x, &error), &error);
        variance += off * off;
        for (int k = 0; k < D; k++)
            out[k] += off * ((double)x[k] - centre[k]);
    }
    for (int k = 0; k < D; k++)
        out[k] /= variance;
    sonde_dataset_destroy(&d);
}

static void covariance_is_saved(void **state)
{
    (void)state;
    struct sonde_source *source = open_source();
    char *path = toy_path("direction.npy");
    double v[D], expected[D];
    run_saving(source, "covariance", "depth", "blocks.0.*", path);
    read_vector(path, v);
    reference(source, "depth", true, expected);
    for (int k = 0; k < D; k++)
        check_close(v[k], expected[k], 1e-12);
    check_close(v[0], 2.0, 5 / sqrt(480 * 1.25)); /* noise 1 over 480 rows of variance 1.25 */
    check_close(v[4], 0.0, 1e-13);

    /* With v taken out of every training row, no coordinate covaries with the label. */
    double norm = 0, left[D] = { 0 }, along = 0;
    for (int k = 0; k < D; k++)
        norm += v[k] * v[k];
    for (int k = 0; k < D; k++)
        along += v[k] * expected[k] / norm;
    for (int k = 0; k < D; k++)
        left[k] = expected[k] - along * v[k];
    for (int k = 0; k < D; k++)
        check_close(left[k], 0.0, 1e-12);
    assert_int_equal(unlink(path), 0);
    free(path);
    source->destroy(&source);
}

static void two_classes_give_the_difference_of_their_means(void **state)
{
    (void)state;
    struct sonde_source *source = open_source();
    char *path = toy_path("direction.npy");
    double v[D], expected[D];
    run_saving(source, "mean-difference", "side", "blocks.0.*", path);
    read_vector(path, v);
    reference(source, "side", false, expected); /* Cov / Var of 0 and 1 */
    for (int k = 0; k < D; k++)
        check_close(v[k], expected[k], 1e-12);
    /* Low depths are 0, 1, high ones 2, 3: two units apart, so 4 in coordinate 0. */
    check_close(v[0], 4.0, 5 * sqrt((1.0 + 4 * 0.25) * 4 / 480));
    unlink(path);

    /* A fitted probe's direction is its weights: here those that --save writes too. */
    run_saving(source, "ridge", "depth", "blocks.0.*", path);
    read_vector(path, v);
    assert_true(v[0] > 0 && v[1] < 0);
    check_close(v[2], -v[3], 0.3 * fabs(v[3])); /* the copy's noise is taken off by its original */
    unlink(path);
    free(path);
    source->destroy(&source);
}

static void several_streams_need_a_folder(void **state)
{
    (void)state;
    struct sonde_source *source = open_source();
    char *folder = toy_path("directions/"), *path[2];
    double v[D];
    run_saving(source, "covariance", "depth", "resid", folder);
    path[0] = sonde_path_join(folder, "blocks.0.hook_resid_post.npy");
    path[1] = sonde_path_join(folder, "blocks.1.hook_resid_post.npy");
    for (int i = 0; i < 2; i++) {
        read_vector(path[i], v);
        assert_int_equal(unlink(path[i]), 0);
        free(path[i]);
    }
    rmdir(folder);
    const struct {
        const char *probe, *labels, *place, *text;
    } cases[] = {
        { "covariance", "depth", "x.npy",
          "probe covariance: --save-direction x.npy: one file for 2 streams; a name that ends in / "
          "is a folder with a file for each" },
        { "linear", "depth", "x/",
          "probe linear: --save-direction: label set depth has 4 classes, expected two or real "
          "labels (class names that are numbers: ridge or covariance)" },
        { "covariance", "side", "x/",
          NULL }, /* names that are no numbers; which is met first is the rows' affair */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *option[] = { "labels",         cases[i].labels, "streams", "resid",
                                 "save-direction", cases[i].place,  NULL };
        struct toy_args args = { .source = source, .option = option };
        struct sonde_error error = { 0 };
        assert_null(toy_probe(toy_builtin(cases[i].probe), &args, &error));
        assert_int_equal(error.status, SONDE_STATUS_ARGUMENT);
        if (cases[i].text)
            assert_string_equal(error.text, cases[i].text);
        else
            assert_non_null(strstr(error.text, "is no number: it cannot be fitted as a real"));
    }
    free(folder);
    source->destroy(&source);
}

/* One number a row: its projection on v, with the label. */
static double projected(struct sonde_source *source, const struct sonde_dataset *d, int64_t sample,
                        const double *v)
{
    struct sonde_error error = { 0 };
    float x[D];
    double sum = 0;
    check_ok(source->read_rows(source, 0, d->first[sample], 1, x, &error), &error);
    for (int k = 0; k < D; k++)
        sum += v[k] * (double)x[k];
    return sum;
}

/* R2 on the test rows of the least squares line through the projections of the training rows. */
static double line_r2(struct sonde_source *source, const double *v)
{
    struct sonde_dataset_options options = { .labels = "depth",
                                             .task = SONDE_TASK_REAL,
                                             .seed = SONDE_SEED_DEFAULT };
    struct sonde_dataset *d = NULL;
    struct sonde_error error = { 0 };
    check_ok(sonde_dataset_create(&d, source, SONDE_ROWS_TOKEN, &options, &error), &error);
    double t = 0, y = 0, tt = 0, ty = 0, n = (double)d->n_train;
    for (int64_t i = 0; i < d->n_train; i++) {
        t += projected(source, d, d->train[i], v) / n;
        y += d->real[d->train[i]] / n;
    }
    for (int64_t i = 0; i < d->n_train; i++) {
        double off = projected(source, d, d->train[i], v) - t;
        tt += off * off;
        ty += off * (d->real[d->train[i]] - y);
    }
    double left = 0, all = 0, mean = 0;
    for (int64_t i = 0; i < d->n_test; i++)
        mean += d->real[d->test[i]] / (double)d->n_test;
    for (int64_t i = 0; i < d->n_test; i++) {
        double real = d->real[d->test[i]];
        double off = real - y - ty / tt * (projected(source, d, d->test[i], v) - t);
        left += off * off;
        all += (real - mean) * (real - mean);
    }
    sonde_dataset_destroy(&d);
    return 1.0 - left / all;
}

static void covariance_answers_as_a_probe(void **state)
{
    (void)state;
    struct sonde_source *source = open_source();
    const char *option[] = { "labels",  "depth",     "control", "1", "control-labels",
                             "uniform", "bootstrap", "50",      NULL };
    struct toy_args args = { .source = source, .option = option };
    struct sonde_result *r = toy_probe(toy_builtin("covariance"), &args, NULL);
    assert_non_null(r);
    const struct sonde_table *t = toy_table(r, "layers");
    assert_string_equal(toy_text(t, 0, "metric"), "r2");
    double v[D];
    reference(source, "depth", true, v);
    /* The probe centres its rows in f32: each value is off by at most 2^-24 of itself. */
    check_close(toy_real(t, 0, "value"), line_r2(source, v), 0x1p-23);
    assert_true(toy_real(t, 0, "control") < 0.1);
    assert_true(toy_real(t, 0, "ci_low") < toy_real(t, 0, "value"));
    /* Every token is its own type: nothing overlaps. */
    check_close(toy_scalar(r, "overlap_rows"), 0, 0);
    check_close(toy_scalar(r, "prefix_overlap_share"), 0, 0);
    sonde_result_destroy(&r);
    source->destroy(&source);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(covariance_is_saved),
        cmocka_unit_test(two_classes_give_the_difference_of_their_means),
        cmocka_unit_test(several_streams_need_a_folder),
        cmocka_unit_test(covariance_answers_as_a_probe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
