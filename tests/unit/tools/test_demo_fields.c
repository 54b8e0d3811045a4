/* The demo's sentences, and the rule that picks neurons, on tables whose answer can be counted. */
#include <string.h>
#include <unistd.h>

#include "core/base/file.h"
#include "tests/support/check.h"
#include "tools/demo/demo_fields.h"

/* Lines 0-9 animals, 10-19 plants, 20 and 21 verbs, 22 an adjective, 23-25 other nouns. */
static void make_lines(struct sonde_demo_lines *lines, const char *path)
{
    struct sonde_buf text = { 0 };
    struct sonde_error error = { 0 };
    for (int i = 0; i < 20; i++)
        sonde_buf_printf(&text, "{\"text\": \"%s\", \"pos\": \"noun\", \"field\": \"%s\"}\n",
                         i < 10 ? "a thing, dog" : "leaf of a thing", i < 10 ? "animal" : "plant");
    sonde_buf_puts(&text, "{\"pos\": \"verb\", \"field\": \"motion\", \"text\": \"to run\"}\n"
                          "{\"pos\": \"verb\", \"field\": \"body\", \"text\": \"y\"}\n"
                          "{\"pos\": \"adjective\", \"field\": \"all\", \"text\": \"z\"}\n"
                          "{\"pos\": \"noun\", \"field\": \"act\", \"text\": \"z\"}\n"
                          "{\"pos\": \"noun\", \"field\": \"food\", \"text\": \"z\"}\n"
                          "{\"pos\": \"noun\", \"field\": \"time\", \"text\": \"z\"}\n");
    check_ok(sonde_file_save(path, text.data, text.size, &error), &error);
    check_ok(sonde_demo_lines_read(lines, path, &error), &error);
    sonde_buf_finish(&text);
}

static char *temporary(char path[128])
{
    const char *base = getenv("TMPDIR");
    snprintf(path, 128, "%.80s/sonde-fields-XXXXXX", base && *base ? base : "/tmp");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    return path;
}

static void test_lines(void **state)
{
    (void)state;
    char path[128], saved[128];
    struct sonde_demo_lines lines = { 0 };
    struct sonde_error error = { 0 };
    struct sonde_buf text = { 0 };
    make_lines(&lines, temporary(path));
    assert_int_equal(lines.n, 26);
    assert_int_equal(lines.n_fields, 8);
    assert_string_equal(lines.name[lines.field[0]], "animal");
    assert_int_equal(lines.count[lines.field[0]], 10);
    assert_string_equal(lines.name[lines.field[20]], "verbs of motion");
    assert_string_equal(lines.name[lines.field[22]], "adjective");
    check_ok(sonde_demo_lines_save(&lines, temporary(saved), &error), &error);
    check_ok(sonde_file_load(saved, 10000, &text, &error), &error);
    assert_int_equal(strncmp(text.data, "0\tanimal\n1\tanimal\n", 18), 0);
    assert_null(strstr(text.data, "motion"));
    sonde_buf_finish(&text);
    sonde_demo_lines_finish(&lines);
    const char *const bad[] = { "{\"pos\": \"noun\"}\n", "{\"pos\": \"noun\", \"field\": \"x\"",
                                "[]\n" };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        check_ok(sonde_file_save(path, bad[i], strlen(bad[i]), &error), &error);
        assert_int_not_equal(sonde_demo_lines_read(&lines, path, &error), SONDE_STATUS_OK);
        assert_non_null(strstr(error.text, "line 1"));
        sonde_demo_lines_finish(&lines);
    }
    unlink(path);
    unlink(saved);
}

static void add_neuron(struct sonde_result *r, int64_t layer, int64_t neuron, const int64_t *line,
                       int64_t n, double activation, const char *token)
{
    for (int64_t i = 0; i < n; i++) {
        sonde_table_add_row(r->table[0]);
        sonde_table_i64(r->table[0], 0, layer);
        sonde_table_i64(r->table[0], 1, neuron);
        sonde_table_f64(r->table[0], 2, activation);
        sonde_table_i64(r->table[0], 3, line[i]);
    }
    for (int64_t i = 0; i < 4; i++) {
        sonde_table_add_row(r->table[1]);
        sonde_table_i64(r->table[1], 0, layer);
        sonde_table_i64(r->table[1], 1, neuron);
        sonde_table_text(r->table[1], 2, i < 2 ? token : "ing");
    }
}

static struct sonde_result *make_tables(void)
{
    static const char *const key_columns[] = { "layer", "neuron", "activation", "sequence", NULL };
    static const char *const value_columns[] = { "layer", "neuron", "token", NULL };
    struct sonde_result *r = sonde_result_create("t");
    sonde_result_add_table(r, "keys", key_columns);
    sonde_result_add_table(r, "values", value_columns);
    return r;
}

static const int64_t animals[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 };
static const int64_t eight_plants[] = { 10, 11, 12, 13, 14, 15, 16, 17, 0, 1 };
static const int64_t seven_plants[] = { 10, 11, 12, 13, 14, 15, 16, 0, 1, 2 };
static const int64_t one_line[] = { 3, 3, 3, 3, 3, 3, 3, 3, 3, 3 };
static const int64_t mixed[] = { 0, 1, 10, 11, 20, 21, 22, 23, 24, 25 };

static void test_typical(void **state)
{
    (void)state;
    char path[128];
    struct sonde_demo_lines lines = { 0 };
    make_lines(&lines, temporary(path));
    int32_t animal = lines.field[0], plant = lines.field[10], motion = lines.field[20];
    /* every animal's line has "dog", every plant's "leaf", all of both "thing" */
    assert_true(sonde_demo_is_typical(&lines, animal, " dog"));
    assert_false(sonde_demo_is_typical(&lines, plant, " dog"));
    assert_true(sonde_demo_is_typical(&lines, plant, " leaf"));
    assert_false(sonde_demo_is_typical(&lines, animal, " thing"));
    assert_false(sonde_demo_is_typical(&lines, animal, "dog"));   /* goes on with a word */
    assert_false(sonde_demo_is_typical(&lines, animal, " do"));   /* too short */
    assert_false(sonde_demo_is_typical(&lines, animal, " dog;")); /* more than letters */
    assert_false(sonde_demo_is_typical(&lines, plant, " lea"));   /* part of a word */
    assert_true(sonde_demo_is_typical(&lines, motion, " run"));
    assert_false(sonde_demo_is_typical(&lines, motion, " jump")); /* in no line */
    sonde_demo_lines_finish(&lines);
    unlink(path);
}

static void test_pick(void **state)
{
    (void)state;
    char path[128];
    struct sonde_demo_lines lines = { 0 };
    struct sonde_demo_neuron picked[4];
    struct sonde_result *r = make_tables();
    make_lines(&lines, temporary(path));
    add_neuron(r, 0, 0, one_line, 10, 9.0, " dog");      /* too few lines */
    add_neuron(r, 0, 1, seven_plants, 10, 9.0, " leaf"); /* 7 of 10 */
    add_neuron(r, 0, 2, eight_plants, 10, 1.0, " leaf"); /* 8 of 10 */
    add_neuron(r, 0, 3, mixed, 10, 99.0, " dog");        /* 2 of 10: no field */
    add_neuron(r, 0, 4, animals, 10, 99.0, "dog");       /* promotes no whole words */
    add_neuron(r, 1, 0, animals, 10, 9.0, " leaf");      /* promotes nothing of its field */
    add_neuron(r, 1, 1, animals, 10, 2.0, " dog");
    add_neuron(r, 1, 2, animals, 10, 3.0, " dog"); /* as good, fires more */
    check_ok(sonde_result_status(r, NULL), &(struct sonde_error){ 0 });
    assert_int_equal(sonde_demo_pick_neurons(&lines, r->table[0], r->table[1], picked, 4), 2);
    assert_string_equal(lines.name[picked[0].field], "animal");
    assert_int_equal(picked[0].layer, 1);
    assert_int_equal(picked[0].neuron, 2);
    assert_int_equal(picked[0].same, 10);
    assert_int_equal(picked[0].typical, 2);
    assert_int_equal(picked[0].first, 70);
    assert_int_equal(picked[0].n_rows, 10);
    assert_int_equal(picked[0].first_value, 28);
    assert_int_equal(picked[0].n_values, 4);
    assert_string_equal(lines.name[picked[1].field], "plant");
    assert_int_equal(picked[1].neuron, 2);
    assert_int_equal(picked[1].lines, 10);
    assert_int_equal(picked[1].same, 8);
    assert_int_equal(sonde_demo_pick_neurons(&lines, r->table[0], r->table[1], picked, 1), 1);
    /* tables of other columns give nothing */
    assert_int_equal(sonde_demo_pick_neurons(&lines, r->table[1], r->table[1], picked, 4), 0);
    sonde_demo_lines_finish(&lines);
    sonde_result_destroy(&r);
    unlink(path);
}

static void test_shares(void **state)
{
    (void)state;
    char path[128];
    double control = -1, again = -1;
    struct sonde_error error = { 0 };
    struct sonde_demo_lines lines = { 0 };
    struct sonde_result *r = make_tables();
    make_lines(&lines, temporary(path));
    check_close(sonde_demo_best_share(&lines, r->table[0]), 0.0, 0.0);
    add_neuron(r, 0, 0, one_line, 10, 9.0, " dog");
    add_neuron(r, 0, 1, eight_plants, 10, 9.0, " leaf");
    check_close(sonde_demo_best_share(&lines, r->table[0]), 0.8, 1e-15);
    add_neuron(r, 0, 2, animals, 10, 9.0, " dog");
    check_close(sonde_demo_best_share(&lines, r->table[0]), 1.0, 0.0);
    check_ok(sonde_demo_best_share_control(&lines, r->table[0], 20, 42, &control, &error), &error);
    check_ok(sonde_demo_best_share_control(&lines, r->table[0], 20, 42, &again, &error), &error);
    check_close(control, again, 0.0);
    /* ten lines of 26 with fields at random: all ten of one field has a chance of 2e-6 a draw */
    assert_true(control > 0.4 && control < 1.0);
    assert_string_equal(lines.name[lines.field[9]], "animal"); /* the lines themselves stay */
    sonde_demo_lines_finish(&lines);
    sonde_result_destroy(&r);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_typical),
        cmocka_unit_test(test_pick),
        cmocka_unit_test(test_shares),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
