/* Correlations of single coordinates: against statistics of each column alone, and on labels whose
 * answer is known. */
#include <string.h>

#include "analysis/stats.h"
#include "core/base/rng.h"
#include "probes/correlation_sums.h"
#include "tests/unit/probes/probe_support.h"

enum { SEQUENCES = 80, T = 7, N = SEQUENCES * T, D = 6 };

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

static double label_at(int64_t row)
{
    struct sonde_rng rng = sonde_rng_make(7, (uint64_t)row);
    return 0.5 * (double)(sonde_rng_below(&rng, 9) - 3);
}

/* Stream 0: 0 noise, 1 far from zero and against the label, 2 constant, 3 the label's cube, 4 noise
 * and label, 5 noise. Stream 1: noise. Stream 2: constant. */
static void fill(void *ctx, int64_t stream, int64_t s, int64_t n, float *out)
{
    const bool *spoilt = ctx;
    for (int64_t t = 0; t < n; t++) {
        struct sonde_rng rng = sonde_rng_make(8 + (uint64_t)stream, (uint64_t)(s * T + t));
        float *x = out + t * D;
        double y = label_at(s * T + t);
        for (int d = 0; d < D; d++)
            x[d] = stream == 2 ? 5.0f : (float)sonde_rng_normal(&rng);
        if (stream != 0)
            continue;
        x[1] = (float)(3000.0 + 0.5 * (double)x[1] - y);
        x[2] = 0.1f;
        x[3] = (float)(y * y * y);
        x[4] = (float)((double)x[4] + 0.4 * y);
    }
    if (*spoilt && s == 2)
        out[0] = INFINITY;
}

static struct sonde_source *open_source(bool *spoilt)
{
    static const char *const names[] = { "-1", "0", "2.5" }, *const words[] = { "a", "b", "c" };
    struct toy_run run = { .stream = { toy_stream("blocks.0.hook_resid_post", 0, D),
                                       toy_stream("blocks.1.hook_resid_post", 1, D),
                                       toy_stream("blocks.2.hook_resid_post", 2, D) },
                           .n_streams = 3,
                           .n_sequences = SEQUENCES,
                           .length = length,
                           .id = id,
                           .fill = fill,
                           .ctx = spoilt };
    struct sonde_source *source = toy_source(&run);
    double real[N], flat[N];
    int32_t class_of[N];
    for (int64_t r = 0; r < N; r++) {
        real[r] = label_at(r);
        flat[r] = -1.5;
        class_of[r] = label_at(r) < 0 ? 0 : label_at(r) > 1 ? 2 : 1;
    }
    toy_real_labels(source, "depth", SONDE_ROWS_TOKEN, real);
    toy_real_labels(source, "flat", SONDE_ROWS_TOKEN, flat);
    toy_labels(source, "number", SONDE_ROWS_TOKEN, class_of, names, 3);
    toy_labels(source, "word", SONDE_ROWS_TOKEN, class_of, words, 3);
    return source;
}

static void read_column(struct sonde_source *source, int64_t stream, int d, double *out)
{
    struct sonde_error error = { 0 };
    float x[D];
    for (int64_t r = 0; r < N; r++) {
        check_ok(source->read_rows(source, stream, r, 1, x, &error), &error);
        out[r] = (double)x[d];
    }
}

static struct sonde_result *run_with(struct sonde_source *source, struct sonde_pool *pool,
                                     int64_t mem_bytes, const char *const *option)
{
    struct toy_args args = {
        .source = source, .pool = pool, .mem_bytes = mem_bytes, .option = option
    };
    struct sonde_result *result = toy_probe(toy_builtin("correlation"), &args, NULL);
    assert_non_null(result);
    return result;
}

static void every_coordinate_is_the_statistic_of_its_column(void **state)
{
    (void)state;
    bool spoilt = false;
    struct sonde_source *source = open_source(&spoilt);
    const char *option[] = { "labels", "depth", "all", "1", "bootstrap", "0", NULL };
    struct sonde_result *r = run_with(source, NULL, 0, option);
    const struct sonde_table *t = toy_table(r, "coordinates"), *layers = toy_table(r, "layers");
    assert_int_equal(t->n_rows, 3 * D);
    double y[N], x[N], spearman;
    for (int64_t i = 0; i < N; i++)
        y[i] = label_at(i);
    for (int s = 0; s < 3; s++) {
        double best = -1;
        for (int d = 0; d < D; d++) {
            read_column(source, s, d, x);
            double expected = sonde_stats_pearson(x, y, N), got = toy_real(t, s * D + d, "pearson");
            check_close(toy_real(t, s * D + d, "coordinate"), d, 0);
            if (s == 2 || (s == 0 && d == 2)) {
                assert_true(isnan(got));
                continue;
            }
            check_close(got, expected, 1e-12);
            best = fmax(best, fabs(got));
        }
        if (s == 2) {
            assert_true(isnan(toy_real(layers, s, "pearson")));
            assert_true(isnan(toy_real(layers, s, "control")));
            check_close(toy_real(layers, s, "constant"), D, 0);
            continue;
        }
        check_close(fabs(toy_real(layers, s, "pearson")), best, 0);
        check_close(toy_real(layers, s, "n"), N, 0);
        read_column(source, s, (int)toy_real(layers, s, "coordinate"), x);
        struct sonde_error error = { 0 };
        check_ok(sonde_stats_spearman(x, y, N, &spearman, &error), &error);
        check_close(toy_real(layers, s, "spearman"), spearman, 0);
    }
    /* -y + noise of a half against a label of variance 5/3: r = -sqrt(5/3 / (5/3 + 1/4)). */
    check_close(toy_real(layers, 0, "coordinate"), 1, 0);
    check_close(toy_real(layers, 0, "pearson"), -0.9325, 0.02);
    check_close(toy_real(layers, 0, "held_out"), -0.9325, 0.04);
    check_close(toy_real(layers, 0, "held_out_coordinate"), 1, 0);
    assert_true(toy_warned(r, "1 of 3 streams have no coordinate that varies"));
    check_close(toy_scalar(r, "best_value"), -toy_real(layers, 0, "pearson"), 0);
    sonde_result_destroy(&r);
    source->destroy(&source);
}

/* In noise the best of six is no better than with labels moved elsewhere; in the other stream it is
 * far better. The largest of 6 |r| of noise over 560 rows: below 5 / sqrt(560) all but surely. */
static void controls_say_what_chance_gives(void **state)
{
    (void)state;
    bool spoilt = false;
    struct sonde_source *source = open_source(&spoilt);
    const char *option[] = { "labels", "depth", "bootstrap", "0", "controls", "50", NULL };
    struct sonde_result *r = run_with(source, NULL, 0, option);
    const struct sonde_table *t = toy_table(r, "layers");
    for (int s = 0; s < 2; s++) {
        double control = toy_real(t, s, "control"), most = toy_real(t, s, "control_max");
        assert_true(control > 0 && control < most && most < 5 / sqrt(N));
        if (s == 1)
            assert_true(fabs(toy_real(t, s, "pearson")) < 1.5 * most);
        else
            assert_true(fabs(toy_real(t, s, "pearson")) > 4 * most);
    }
    assert_int_equal(toy_table(r, "coordinates")->n_rows, 5 + 5); /* five of those that vary */
    check_close(toy_real(toy_table(r, "coordinates"), 0, "coordinate"), 1, 0);
    sonde_result_destroy(&r);
    source->destroy(&source);
}

/* A control is the label some samples further on: computed here one by one. */
static void a_control_is_the_label_moved(void **state)
{
    (void)state;
    bool spoilt = false;
    struct sonde_source *source = open_source(&spoilt);
    struct sonde_error error = { 0 };
    int64_t first[N], count[N], shift[] = { 1, 100, N - 1 };
    double y[N], moved[N], x[N];
    uint8_t side[N];
    for (int64_t i = 0; i < N; i++) {
        first[i] = i;
        count[i] = 1;
        y[i] = label_at(i);
        side[i] = i % 3 == 0;
    }
    struct sonde_feature_rows rows = { .n = N, .first = first, .count = count };
    struct sonde_features features = { 0 };
    check_ok(sonde_features_open(&features, source, 0, &rows, 1 << 20, 4, NULL, &error), &error);
    struct sonde_correlation_input input = {
        .features = &features, .n = N, .y = y, .side = side, .shift = shift, .n_controls = 3
    };
    struct sonde_correlation c;
    check_ok(sonde_correlation_fit(&input, &c, &error), &error);
    for (int k = 0; k < 3; k++) {
        double most = 0;
        for (int64_t i = 0; i < N; i++)
            moved[i] = y[(i + shift[k]) % N];
        for (int d = 0; d < D; d++) {
            read_column(source, 0, d, x);
            double r = sonde_stats_pearson(x, moved, N);
            most = d == 2 ? most : fmax(most, fabs(r));
        }
        check_close(c.control[k], most, 1e-12);
    }
    for (int test = 0; test < 2; test++) {
        int64_t n = 0;
        read_column(source, 0, 4, x);
        for (int64_t i = 0; i < N; i++) {
            if (side[i] != test)
                continue;
            x[n] = x[i];
            moved[n++] = y[i];
        }
        check_close(test ? c.test[4] : c.train[4], sonde_stats_pearson(x, moved, n), 1e-12);
    }
    sonde_correlation_finish(&c);
    sonde_features_close(&features);
    source->destroy(&source);
}

static void ranks_and_intervals(void **state)
{
    (void)state;
    bool spoilt = false;
    struct sonde_source *source = open_source(&spoilt);
    /* A label in three steps goes with coordinate 1 or 3; its numbers are the classes' names. */
    const char *number[] = { "labels", "number", "bootstrap", "0", "streams", "blocks.0.*", NULL };
    struct sonde_result *r = run_with(source, NULL, 0, number);
    assert_true(fabs(toy_real(toy_table(r, "layers"), 0, "pearson")) > 0.8);
    sonde_result_destroy(&r);
    const char *option[] = { "labels", "depth", "streams", "blocks.0.*", NULL };
    r = run_with(source, NULL, 0, option);
    const struct sonde_table *t = toy_table(r, "layers");
    double value = toy_real(t, 0, "pearson");
    double low = toy_real(t, 0, "ci_low"), high = toy_real(t, 0, "ci_high");
    assert_true(low < value && value < high);
    /* Rows are independent here, so the interval is about that of Fisher's z over all rows. */
    double width = 2 * 1.96 * (1 - value * value) / sqrt(N - 3.0);
    check_close(high - low, width, 0.35 * width);
    sonde_result_destroy(&r);
    source->destroy(&source);
}

static void neither_threads_nor_memory_change_a_bit(void **state)
{
    (void)state;
    bool spoilt = false;
    struct sonde_source *source = open_source(&spoilt);
    const char *option[] = { "labels", "depth", "bootstrap", "50", "all", "1", NULL };
    struct sonde_result *r[3];
    for (int i = 0; i < 3; i++) {
        struct sonde_pool *pool = NULL;
        struct sonde_error error = { 0 };
        if (i == 1)
            check_ok(sonde_pool_create(&pool, 3, &error), &error);
        r[i] = run_with(source, pool, i == 2 ? 380000 : 0, option);
        sonde_pool_destroy(&pool);
    }
    static const char *const tables[] = { "layers", "coordinates" };
    for (int i = 1; i < 3; i++) {
        for (int k = 0; k < 2; k++) {
            const struct sonde_table *a = toy_table(r[0], tables[k]),
                                     *b = toy_table(r[i], tables[k]);
            assert_int_equal(a->n_rows, b->n_rows);
            for (int64_t c = 0; c < a->n_rows * a->n_columns; c++) {
                assert_int_equal(a->cell[c].kind, b->cell[c].kind);
                if (a->cell[c].kind == SONDE_CELL_REAL)
                    assert_true(a->cell[c].real == b->cell[c].real);
            }
        }
    }
    for (int i = 0; i < 3; i++)
        sonde_result_destroy(&r[i]);
    source->destroy(&source);
}

static void what_has_no_answer_is_refused(void **state)
{
    (void)state;
    bool spoilt = false;
    struct sonde_source *source = open_source(&spoilt);
    const struct {
        const char *option[5];
        enum sonde_status status;
        int64_t mem_bytes;
        const char *part;
    } cases[] = {
        { { NULL }, SONDE_STATUS_ARGUMENT, 0, "probe correlation: --labels is missing" },
        { { "labels", "flat", NULL },
          SONDE_STATUS_ARGUMENT,
          0,
          "probe correlation: label set flat: all 560 samples have the value -1.5: nothing can go "
          "with it" },
        { { "labels", "word", NULL }, SONDE_STATUS_ARGUMENT, 0, "is no number" },
        { { "labels", "none", NULL }, SONDE_STATUS_NOT_FOUND, 0, "depth" },
        { { "labels", "depth", "top", "0", NULL },
          SONDE_STATUS_ARGUMENT,
          0,
          "probe correlation: --top 0: expected 1 to 1000000" },
        { { "labels", "depth", NULL }, SONDE_STATUS_LIMIT, 150000, "need a memory budget of" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct toy_args args = { .source = source,
                                 .option = cases[i].option,
                                 .mem_bytes = cases[i].mem_bytes };
        struct sonde_error error = { 0 };
        assert_null(toy_probe(toy_builtin("correlation"), &args, &error));
        assert_int_equal(error.status, cases[i].status);
        assert_non_null(strstr(error.text, cases[i].part));
    }
    source->destroy(&source);
    spoilt = true;
    source = open_source(&spoilt);
    struct toy_args args = { .source = source,
                             .option = (const char *const[]){ "labels", "depth", NULL } };
    struct sonde_error error = { 0 };
    assert_null(toy_probe(toy_builtin("correlation"), &args, &error));
    assert_int_equal(error.status, SONDE_STATUS_NUMERIC);
    source->destroy(&source);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_coordinate_is_the_statistic_of_its_column),
        cmocka_unit_test(controls_say_what_chance_gives),
        cmocka_unit_test(a_control_is_the_label_moved),
        cmocka_unit_test(ranks_and_intervals),
        cmocka_unit_test(neither_threads_nor_memory_change_a_bit),
        cmocka_unit_test(what_has_no_answer_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
