/* Samples, splits, pooling and the control task. */
#include <string.h>

#include "probes/dataset.h"
#include "probes/overlap.h"
#include "tests/unit/probes/probe_support.h"

/* Six sequences: BOS and 4 tokens each; ids 10 s + t. Sequences 4 and 5 are the same text. */
enum { SEQUENCES = 6, T = 5, ROWS = SEQUENCES * T };

static int64_t length(void *ctx, int64_t s)
{
    (void)ctx, (void)s;
    return T;
}

static int32_t id(void *ctx, int64_t s, int64_t t)
{
    (void)ctx;
    return t == 0 ? 0 : (int32_t)(10 * (s == 5 ? 4 : s) + t);
}

static void fill(void *ctx, int64_t stream, int64_t s, int64_t n, float *out)
{
    (void)ctx, (void)stream;
    for (int64_t t = 0; t < n; t++)
        out[t] = (float)(100 * s + t);
}

static struct sonde_source *open_source(void)
{
    struct toy_run run = { .stream = { toy_stream("x", 0, 1) },
                           .n_streams = 1,
                           .n_sequences = SEQUENCES,
                           .length = length,
                           .id = id,
                           .fill = fill };
    return toy_source(&run);
}

static const char *const names[] = { "even", "odd", "rare" };

/* Every row is labelled by its parity, the BOS rows too; row 3 of each sequence is masked. */
static void label_rows(struct sonde_source *source)
{
    int32_t class_of[ROWS];
    for (int r = 0; r < ROWS; r++)
        class_of[r] = r % T == 3 ? -1 : r % 2;
    toy_labels(source, "parity", SONDE_ROWS_TOKEN, class_of, names, 3);
}

static struct sonde_dataset *make(struct sonde_source *source,
                                  const struct sonde_dataset_options *options)
{
    struct sonde_dataset *d = NULL;
    struct sonde_error error = { 0 };
    check_ok(sonde_dataset_create(&d, source, SONDE_ROWS_TOKEN, options, &error), &error);
    return d;
}

static void masked_and_special_rows_are_no_samples(void **state)
{
    (void)state;
    struct sonde_source *source = open_source();
    label_rows(source);
    struct sonde_dataset_options options = { .labels = "parity", .test_share = 0.34, .seed = 1 };
    struct sonde_dataset *d = make(source, &options);
    assert_int_equal(d->n, SEQUENCES * 3);
    assert_int_equal(d->n_special_left_out, SEQUENCES);
    assert_int_equal(d->n_train + d->n_test, d->n);
    assert_int_equal(d->n_targets, 2); /* "rare" occurs nowhere */
    for (int64_t i = 0; i < d->n; i++) {
        assert_int_not_equal(d->first[i] % T, 0);
        assert_int_not_equal(d->first[i] % T, 3);
        assert_int_equal(d->count[i], 1);
        assert_int_equal(d->class_of[i], d->first[i] % 2);
    }
    sonde_dataset_destroy(&d);
    options.keep_special = true;
    d = make(source, &options);
    assert_int_equal(d->n, SEQUENCES * 4);
    sonde_dataset_destroy(&d);
    source->destroy(&source);
}

static void splits_keep_sequences_whole(void **state)
{
    (void)state;
    struct sonde_source *source = open_source();
    label_rows(source);
    int64_t n_duplicates = 0;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct sonde_dataset_options options = { .labels = "parity",
                                                 .test_share = 0.34,
                                                 .seed = seed };
        struct sonde_dataset *d = make(source, &options);
        assert_int_equal(d->n_test, 2 * 3);
        assert_int_equal(d->n_test_groups, 2);
        bool test[SEQUENCES] = { 0 };
        for (int64_t i = 0; i < d->n_test; i++)
            test[d->sequence[d->test[i]]] = true;
        for (int64_t i = 0; i < d->n_train; i++)
            assert_false(test[d->sequence[d->train[i]]]);
        /* The twins are a duplicate exactly where the split parts them. */
        assert_int_equal(d->n_duplicates, test[4] != test[5]);
        n_duplicates += d->n_duplicates;
        sonde_dataset_destroy(&d);
    }
    assert_in_range(n_duplicates, 1, 19);
    struct sonde_dataset_options options = { .labels = "parity",
                                             .test_share = 0.5,
                                             .by_position = true };
    struct sonde_dataset *d = make(source, &options);
    assert_int_equal(d->n_test, 9);
    sonde_dataset_destroy(&d);
    source->destroy(&source);
}

static float pooled(struct sonde_source *source, enum sonde_pooling pooling, bool keep_special)
{
    struct sonde_dataset_options options = {
        .labels = "mood", .pooling = pooling, .keep_special = keep_special, .test_share = 0.34
    };
    struct sonde_dataset *d = make(source, &options);
    assert_int_equal(d->n, 5);
    struct sonde_feature_rows rows = sonde_dataset_rows(d);
    struct sonde_features features = { 0 };
    struct sonde_error error = { 0 };
    check_ok(sonde_features_open(&features, source, 0, &rows, 1 << 20, 4, NULL, &error), &error);
    float value;
    int64_t sample = 2;
    check_ok(sonde_features_read(&features, &sample, 1, &value, &error), &error);
    sonde_features_close(&features);
    sonde_dataset_destroy(&d);
    return value;
}

static void sequences_are_pooled(void **state)
{
    (void)state;
    struct sonde_source *source = open_source();
    const int32_t mood[SEQUENCES] = { 0, 1, 0, 1, -1, 1 };
    toy_labels(source, "mood", SONDE_ROWS_SEQUENCE, mood, names, 2);
    check_close(pooled(source, SONDE_POOLING_LAST, false), 204, 0);
    check_close(pooled(source, SONDE_POOLING_FIRST, false), 201, 0);
    check_close(pooled(source, SONDE_POOLING_FIRST, true), 200, 0);
    check_close(pooled(source, SONDE_POOLING_MEAN, false), 202.5, 0);
    check_close(pooled(source, SONDE_POOLING_MEAN, true), 202, 0);
    source->destroy(&source);
}

static void labels_change_their_kind(void **state)
{
    (void)state;
    struct sonde_source *source = open_source();
    static const char *const numbers[] = { "-1.5", "4" };
    int32_t class_of[ROWS];
    double real[ROWS];
    for (int r = 0; r < ROWS; r++) {
        class_of[r] = r % 2;
        real[r] = r % T == 1 ? (double)NAN : (double)(r % 3);
    }
    toy_labels(source, "number", SONDE_ROWS_TOKEN, class_of, numbers, 2);
    toy_real_labels(source, "third", SONDE_ROWS_TOKEN, real);
    struct sonde_dataset_options options = { .labels = "number", .task = SONDE_TASK_REAL };
    struct sonde_dataset *d = make(source, &options);
    for (int64_t i = 0; i < d->n; i++)
        check_close(d->real[i], d->first[i] % 2 ? 4 : -1.5, 0);
    sonde_dataset_destroy(&d);
    options = (struct sonde_dataset_options){ .labels = "third", .task = SONDE_TASK_CLASS };
    d = make(source, &options);
    assert_int_equal(d->n_classes, 3);
    assert_string_equal(d->class_name[2], "2");
    assert_int_equal(d->n, SEQUENCES * 3);
    for (int64_t i = 0; i < d->n; i++)
        assert_int_equal(d->class_of[i], d->first[i] % 3);
    sonde_dataset_destroy(&d);
    source->destroy(&source);
}

static void check_refused(struct sonde_source *source, const struct sonde_dataset_options *options,
                          enum sonde_row_space space, enum sonde_status status, const char *text)
{
    struct sonde_dataset *d = NULL;
    struct sonde_error error = { 0 };
    assert_int_equal(sonde_dataset_create(&d, source, space, options, &error), status);
    assert_null(d);
    assert_string_equal(error.text, text);
}

static void what_cannot_be_learnt_is_refused(void **state)
{
    (void)state;
    struct sonde_source *source = open_source();
    int32_t same[ROWS] = { 0 }, none[ROWS];
    memset(none, 0xff, sizeof(none));
    label_rows(source);
    toy_labels(source, "same", SONDE_ROWS_TOKEN, same, names, 3);
    toy_labels(source, "none", SONDE_ROWS_TOKEN, none, names, 3);
    struct sonde_dataset_options options = { .labels = "same" };
    check_refused(source, &options, SONDE_ROWS_TOKEN, SONDE_STATUS_ARGUMENT,
                  "label set same: the 20 training samples are all \"even\": there is nothing to "
                  "tell apart");
    options.labels = "none";
    check_refused(source, &options, SONDE_ROWS_TOKEN, SONDE_STATUS_ARGUMENT,
                  "label set none: no row has a label");
    options = (struct sonde_dataset_options){ .labels = "parity", .task = SONDE_TASK_REAL };
    check_refused(source, &options, SONDE_ROWS_TOKEN, SONDE_STATUS_ARGUMENT,
                  "label set parity: class \"odd\" is no number: it cannot be fitted as a real "
                  "label");
    options.task = SONDE_TASK_AUTO;
    check_refused(source, &options, SONDE_ROWS_SEQUENCE, SONDE_STATUS_ARGUMENT,
                  "label set parity: labels of tokens, but the streams have a row a sequence");
    source->destroy(&source);
}

/* Sequence 2 alone has the class "rare": where it is test, training does not know it. */
static void classes_of_test_rows_alone_are_counted(void **state)
{
    (void)state;
    struct sonde_source *source = open_source();
    int32_t class_of[ROWS];
    for (int r = 0; r < ROWS; r++)
        class_of[r] = r / T == 2 ? 2 : r % 2;
    toy_labels(source, "some", SONDE_ROWS_TOKEN, class_of, names, 3);
    int n_seen = 0;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct sonde_dataset_options options = { .labels = "some",
                                                 .test_share = 0.2,
                                                 .seed = seed };
        struct sonde_dataset *d = make(source, &options);
        bool test = d->side[2 * 4] == 1; /* four samples a sequence */
        assert_int_equal(d->n_only_test, test ? 4 : 0);
        assert_int_equal(d->n_targets, test ? 2 : 3);
        for (int64_t i = 0; i < d->n; i++)
            assert_int_equal(d->target[i] < 0, test && d->sequence[i] == 2);
        n_seen += test;
        sonde_dataset_destroy(&d);
    }
    assert_in_range(n_seen, 1, 19);
    source->destroy(&source);
}

static void control_labels_are_a_function_of_the_type(void **state)
{
    (void)state;
    struct sonde_source *source = open_source();
    label_rows(source);
    struct sonde_dataset_options options = { .labels = "parity", .test_share = 0.34, .seed = 1 };
    struct sonde_dataset *d = make(source, &options);
    int32_t target[2][ROWS];
    double real[ROWS];
    int n_differ = 0;
    sonde_dataset_control(d, 1, target[0], real);
    for (uint64_t seed = 1; seed < 6; seed++) {
        sonde_dataset_control(d, seed, target[1], real);
        for (int64_t i = 0; i < d->n; i++) {
            assert_in_range(target[1][i], 0, d->n_targets - 1);
            for (int64_t j = 0; j < i; j++)
                if (d->type[i] == d->type[j])
                    assert_int_equal(target[1][i], target[1][j]);
            n_differ += target[0][i] != target[1][i];
        }
    }
    assert_true(n_differ > 0);
    /* The twins' rows are the same words. */
    assert_int_equal(d->type[4 * 3], d->type[5 * 3]);
    assert_int_not_equal(d->type[0], d->type[3]);
    sonde_dataset_destroy(&d);
    source->destroy(&source);
}

static void uniform_labels_are_drawn_a_sample(void **state)
{
    (void)state;
    struct sonde_source *source = open_source();
    label_rows(source);
    struct sonde_dataset_options options = { .labels = "parity", .test_share = 0.34, .seed = 1 };
    struct sonde_dataset *d = make(source, &options);
    int32_t target[2][ROWS];
    int n_differ = 0, count[2] = { 0 };
    for (uint64_t seed = 0; seed < 50; seed++) {
        sonde_dataset_control_uniform(d, seed, target[0], NULL);
        sonde_dataset_control_uniform(d, seed, target[1], NULL);
        assert_memory_equal(target[0], target[1], (size_t)d->n * sizeof(int32_t));
        for (int64_t i = 0; i < d->n; i++) {
            assert_in_range(target[0][i], 0, d->n_targets - 1);
            count[target[0][i]]++;
            for (int64_t j = 0; j < i; j++)
                n_differ += d->type[i] == d->type[j] && target[0][i] != target[0][j];
        }
    }
    assert_true(n_differ > 0); /* equal words do not share a label here */
    double n = count[0] + count[1];
    check_close(count[0] / n, 0.5, 5 * 0.5 / sqrt(n));
    sonde_dataset_destroy(&d);
    options.task = SONDE_TASK_REAL;
    double number[ROWS], real[ROWS];
    for (int r = 0; r < ROWS; r++)
        number[r] = r;
    toy_real_labels(source, "number", SONDE_ROWS_TOKEN, number);
    options.labels = "number";
    d = make(source, &options);
    sonde_dataset_control_uniform(d, 3, NULL, real);
    for (int64_t i = 0; i < d->n; i++) {
        bool known = false;
        for (int64_t k = 0; k < d->n_train; k++)
            known = known || d->real[d->train[k]] == real[i];
        assert_true(known);
    }
    sonde_dataset_destroy(&d);
    source->destroy(&source);
}

static void a_mask_leaves_rows_out(void **state)
{
    (void)state;
    struct sonde_source *source = open_source();
    label_rows(source);
    double number[ROWS];
    int32_t of_sequence[SEQUENCES] = { 0, 1, 0, 1, 0, 1 };
    for (int r = 0; r < ROWS; r++)
        number[r] = r % T == 1 ? (double)NAN : r;
    toy_real_labels(source, "number", SONDE_ROWS_TOKEN, number);
    toy_labels(source, "whole", SONDE_ROWS_SEQUENCE, of_sequence, names, 2);
    struct sonde_dataset_options options = { .labels = "parity", .mask = "number" };
    struct sonde_dataset *d = make(source, &options);
    assert_int_equal(d->n, SEQUENCES * 2); /* rows 2 and 4: 0 is special, 1 and 3 are masked */
    assert_int_equal(d->n_masked_out, SEQUENCES);
    for (int64_t i = 0; i < d->n; i++)
        assert_true(d->first[i] % T == 2 || d->first[i] % T == 4);
    sonde_dataset_destroy(&d);
    options.mask = "whole";
    check_refused(source, &options, SONDE_ROWS_TOKEN, SONDE_STATUS_ARGUMENT,
                  "label set whole: a label a sequence, but parity has a label a token: it is no "
                  "mask for it");
    options.mask = "nothing";
    struct sonde_error error = { 0 };
    assert_int_equal(sonde_dataset_create(&d, source, SONDE_ROWS_TOKEN, &options, &error),
                     SONDE_STATUS_NOT_FOUND);
    source->destroy(&source);
}

/* Sequences 4 and 5 are the same text; a split by position has every sequence on both sides. */
static void overlap_is_counted_in_rows(void **state)
{
    (void)state;
    struct sonde_source *source = open_source();
    label_rows(source);
    for (uint64_t seed = 0; seed < 8; seed++) {
        for (int by_position = 0; by_position < 2; by_position++) {
            struct sonde_dataset_options options = { .labels = "parity",
                                                     .by_position = by_position != 0,
                                                     .test_share = 0.34,
                                                     .seed = seed };
            struct sonde_dataset *d = make(source, &options);
            struct sonde_overlap overlap;
            struct sonde_error error = { 0 };
            check_ok(sonde_overlap_count(d, source, &overlap, &error), &error);
            /* The slow way: every test row against every training row, token by token. */
            int64_t n_sequence = 0, n_prefix = 0;
            for (int64_t i = 0; i < d->n_test; i++) {
                bool sequence = false, prefix = false;
                for (int64_t k = 0; k < d->n_train; k++) {
                    int64_t a = d->test[i], b = d->train[k];
                    int32_t s = (int32_t)d->sequence[a], r = (int32_t)d->sequence[b];
                    bool same = s == r || (s >= 4 && r >= 4);
                    sequence = sequence || same;
                    prefix = prefix || (same && d->first[a] % T == d->first[b] % T);
                }
                n_sequence += sequence;
                n_prefix += prefix;
            }
            assert_int_equal(overlap.n_sequence, n_sequence);
            assert_int_equal(overlap.n_prefix, n_prefix);
            assert_int_equal(overlap.n_test, d->n_test);
            sonde_dataset_destroy(&d);
        }
    }
    source->destroy(&source);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(masked_and_special_rows_are_no_samples),
        cmocka_unit_test(splits_keep_sequences_whole),
        cmocka_unit_test(sequences_are_pooled),
        cmocka_unit_test(labels_change_their_kind),
        cmocka_unit_test(what_cannot_be_learnt_is_refused),
        cmocka_unit_test(classes_of_test_rows_alone_are_counted),
        cmocka_unit_test(control_labels_are_a_function_of_the_type),
        cmocka_unit_test(uniform_labels_are_drawn_a_sample),
        cmocka_unit_test(a_mask_leaves_rows_out),
        cmocka_unit_test(overlap_is_counted_in_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
