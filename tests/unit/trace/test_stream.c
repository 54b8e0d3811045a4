#include <string.h>

#include "core/trace/stream.h"
#include "tests/support/check.h"

static const struct sonde_stream streams[] = {
    { .name = "blocks.0.hook_resid_post",
      .layer = 0,
      .space = SONDE_ROWS_TOKEN,
      .dtype = SONDE_DTYPE_F32,
      .rank = 1,
      .dim = { 2, 1 },
      .width = 2 },
    { .name = "blocks.0.attn.hook_pattern",
      .layer = 0,
      .space = SONDE_ROWS_MAP,
      .dtype = SONDE_DTYPE_F32,
      .rank = 1,
      .dim = { 3, 1 },
      .width = 3 },
};

/* Sequence s has s + 1 tokens; value i of its records is 100 s + i (maps: + 0.5). */
static enum sonde_status put(struct sonde_sink *sink, int s, const char *group,
                             struct sonde_error *error)
{
    struct sonde_token tokens[8];
    float rows[16], map[3 * 64];
    int n = s + 1;
    for (int t = 0; t < n; t++) {
        tokens[t] = (struct sonde_token){
            .id = 10 * s + t, .position = t, .flags = t == 0, .text = "word"
        };
    }
    for (int i = 0; i < 2 * n; i++) {
        rows[i] = (float)(100 * s + i);
    }
    for (int i = 0; i < 3 * n * n; i++) {
        map[i] = (float)(100 * s + i) + 0.5f;
    }
    const struct sonde_sequence sequence = {
        .source = s, .name = "name", .group = group, .n_tokens = n, .tokens = tokens
    };
    const struct sonde_record records[] = { { rows, 2 * n }, { map, 3 * n * n } };
    return sink->put(sink, &sequence, records, error);
}

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(sonde_row_space_name(SONDE_ROWS_TOKEN), "token");
    assert_string_equal(sonde_row_space_name(SONDE_ROWS_WEIGHT), "weight");
    assert_string_equal(sonde_row_space_name((enum sonde_row_space)99), "unknown");
    assert_string_equal(sonde_label_kind_name(SONDE_LABEL_CLASS), "class");
    assert_string_equal(sonde_label_kind_name(SONDE_LABEL_PAIR), "pair");
}

static void test_memory(void **state)
{
    struct sonde_error error = { 0 };
    struct sonde_sink *sink = NULL;
    struct sonde_source *source = NULL;
    float out[3 * 64];
    (void)state;
    check_ok(sonde_memory_create(&sink, &source, streams, 2, &error), &error);
    for (int s = 0; s < 4; s++) {
        check_ok(put(sink, s, s == 1 || s == 3 ? "pair" : NULL, &error), &error);
        check_ok(sink->commit(sink, &error), &error);
    }
    check_ok(sink->finish(sink, &error), &error);
    assert_int_equal(source->n_sequences, 4);
    assert_int_equal(source->n_tokens, 1 + 2 + 3 + 4);
    assert_int_equal(source->streams[0].n_rows, 10);
    assert_int_equal(source->streams[1].n_rows, 4);
    assert_int_equal(source->sequences[2].first_row, 3);
    assert_int_equal(source->sequences[1].group, source->sequences[3].group);
    assert_int_not_equal(source->sequences[0].group, source->sequences[2].group);
    assert_int_equal(source->token_id[4], 21);
    assert_int_equal(source->token_sequence[4], 2);
    assert_int_equal(source->token_position[4], 1);
    assert_int_equal(source->token_flags[3], SONDE_TOKEN_BOS);
    assert_string_equal(source->token_text(source, 9), "word");
    assert_int_equal(sonde_source_find_stream(source, "l_out-0"), 0);
    assert_int_equal(sonde_source_find_stream(source, "blocks.0.attn.hook_pattern"), 1);
    assert_int_equal(sonde_source_find_stream(source, "nothing"), -1);

    check_ok(source->read_rows(source, 0, 2, 3, out, &error), &error);
    assert_true(out[0] == 102.0f && out[1] == 103.0f && out[2] == 200.0f && out[5] == 203.0f);
    check_ok(source->read_map(source, 1, 2, out, &error), &error);
    assert_true(out[0] == 200.5f && out[26] == 226.5f);
    check_ok(source->read_map_rows(source, 1, 2, 1, 2, 1, out, &error), &error);
    assert_true(out[0] == 200.5f + 9 + 6 && out[2] == 200.5f + 9 + 8);

    assert_int_equal(source->read_rows(source, 0, 8, 3, out, &error), SONDE_STATUS_ARGUMENT);
    assert_int_equal(source->read_rows(source, 1, 0, 1, out, &error), SONDE_STATUS_ARGUMENT);
    assert_int_equal(source->read_map(source, 1, 4, out, &error), SONDE_STATUS_ARGUMENT);
    assert_int_equal(source->read_map_rows(source, 1, 2, 3, 0, 1, out, &error),
                     SONDE_STATUS_ARGUMENT);
    source->destroy(&source);
    assert_null(source);
}

static void test_memory_refuses_wrong_sizes(void **state)
{
    struct sonde_error error = { 0 };
    struct sonde_sink *sink = NULL;
    struct sonde_source *source = NULL;
    const struct sonde_token token = { .id = 1 };
    const struct sonde_sequence sequence = { .n_tokens = 1, .tokens = &token };
    float values[4] = { 0 };
    const struct sonde_record records[] = { { values, 2 }, { values, 4 } };
    (void)state;
    check_ok(sonde_memory_create(&sink, &source, streams, 2, &error), &error);
    assert_int_equal(sink->put(sink, &sequence, records, &error), SONDE_STATUS_ARGUMENT);
    assert_string_equal(error.text,
                        "stream blocks.0.attn.hook_pattern: a record of 4 values, expected 3");
    assert_int_equal(source->n_tokens, 0);
    sink->abandon(sink);
    source->destroy(&source);
}

static void test_labels(void **state)
{
    struct sonde_error error = { 0 };
    struct sonde_sink *sink = NULL;
    struct sonde_source *source = NULL;
    const struct sonde_labels *got = NULL;
    int32_t classes[3] = { 0, 1, -1 };
    double real[2] = { 1.5, -2.0 };
    const char *names[] = { "NOUN", "VERB" };
    (void)state;
    check_ok(sonde_memory_create(&sink, &source, streams, 2, &error), &error);
    check_ok(put(sink, 0, NULL, &error), &error);
    check_ok(put(sink, 1, NULL, &error), &error);
    check_ok(sink->finish(sink, &error), &error);
    struct sonde_labels labels = { .name = "upos",
                                   .kind = SONDE_LABEL_CLASS,
                                   .space = SONDE_ROWS_TOKEN,
                                   .n_rows = 3,
                                   .class_of = classes,
                                   .n_classes = 2,
                                   .class_name = names };
    check_ok(sonde_memory_add_labels(source, &labels, &error), &error);
    classes[0] = 7; /* copied */
    names[0] = "X";
    check_ok(source->labels(source, "upos", &got, &error), &error);
    assert_int_equal(got->class_of[0], 0);
    assert_int_equal(got->class_of[2], -1);
    assert_string_equal(got->class_name[0], "NOUN");
    labels = (struct sonde_labels){ .name = "length",
                                    .kind = SONDE_LABEL_REAL,
                                    .space = SONDE_ROWS_SEQUENCE,
                                    .n_rows = 2,
                                    .real = real };
    check_ok(sonde_memory_add_labels(source, &labels, &error), &error);
    assert_int_equal(source->labels(source, "nope", &got, &error), SONDE_STATUS_NOT_FOUND);
    assert_string_equal(error.text, "no label set 'nope'; there are: upos, length");
    labels.n_rows = 3;
    assert_int_equal(sonde_memory_add_labels(source, &labels, &error), SONDE_STATUS_ARGUMENT);
    source->destroy(&source);
}

/* The digest depends on values, ids and their order, and not on where commits fall. */
static void test_digest(void **state)
{
    char hex[4][65];
    struct sonde_error error = { 0 };
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct sonde_sink *sink = NULL;
        check_ok(sonde_sink_digest_create(&sink, i == 3 ? 1 : 2, hex[i], &error), &error);
        check_ok(put(sink, i == 2 ? 2 : 1, NULL, &error), &error);
        if (i == 1) {
            check_ok(sink->commit(sink, &error), &error);
        }
        check_ok(put(sink, i == 2 ? 1 : 2, NULL, &error), &error);
        check_ok(sink->finish(sink, &error), &error);
        assert_int_equal(strlen(hex[i]), 64);
    }
    assert_string_equal(hex[0], hex[1]);
    assert_string_not_equal(hex[0], hex[2]);
    assert_string_not_equal(hex[0], hex[3]);
}

static void test_tee_and_null(void **state)
{
    char a[65], b[65];
    struct sonde_error error = { 0 };
    struct sonde_sink *first = NULL, *second = NULL, *tee = NULL;
    (void)state;
    check_ok(sonde_sink_digest_create(&first, 2, a, &error), &error);
    check_ok(sonde_sink_digest_create(&second, 2, b, &error), &error);
    check_ok(sonde_sink_tee_create(&tee, first, second, &error), &error);
    check_ok(put(tee, 3, NULL, &error), &error);
    check_ok(tee->commit(tee, &error), &error);
    check_ok(tee->finish(tee, &error), &error);
    assert_string_equal(a, b);
    check_ok(sonde_sink_null_create(&first, &error), &error);
    check_ok(sonde_sink_digest_create(&second, 2, b, &error), &error);
    check_ok(sonde_sink_tee_create(&tee, first, second, &error), &error);
    check_ok(put(tee, 3, NULL, &error), &error);
    tee->abandon(tee);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_memory_refuses_wrong_sizes),
        cmocka_unit_test(test_labels),
        cmocka_unit_test(test_digest),
        cmocka_unit_test(test_tee_and_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
