/* The demo's sentences, and the rule that picks neurons, on tables whose answer can be counted. */
#include <string.h>
#include <unistd.h>

#include "core/base/file.h"
#include "tests/support/check.h"
#include "tools/demo_fields.h"

/* Lines 0-9 animals, 10-19 plants, 20 and 21 verbs, 22 an adjective. */
static void make_lines(struct sonde_demo_lines *lines, const char *path)
{
    struct sonde_buf text = { 0 };
    struct sonde_error error = { 0 };
    for (int i = 0; i < 20; i++)
        sonde_buf_printf(&text, "{\"text\": \"x\", \"pos\": \"noun\", \"field\": \"%s\"}\n",
                         i < 10 ? "animal" : "plant");
    sonde_buf_puts(&text, "{\"pos\": \"verb\", \"field\": \"motion\", \"text\": \"y\"}\n"
                          "{\"pos\": \"verb\", \"field\": \"body\", \"text\": \"y\"}\n"
                          "{\"pos\": \"adjective\", \"field\": \"all\", \"text\": \"z\"}\n");
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
    assert_int_equal(lines.n, 23);
    assert_int_equal(lines.n_fields, 5);
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

static void test_pick(void **state)
{
    (void)state;
    static const char *const key_columns[] = { "layer", "neuron", "activation", "sequence", NULL };
    static const char *const value_columns[] = { "layer", "neuron", "token", NULL };
    static const int64_t animals[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 };
    static const int64_t seven[] = { 10, 11, 12, 13, 14, 15, 16, 0, 1, 2 };
    static const int64_t eight[] = { 10, 11, 12, 13, 14, 15, 16, 17, 0, 1 };
    static const int64_t same[] = { 3, 3, 3, 3, 3, 3, 3, 3, 3, 3 };
    char path[128];
    struct sonde_demo_lines lines = { 0 };
    struct sonde_demo_neuron picked[4];
    struct sonde_result *r = sonde_result_create("t");
    sonde_result_add_table(r, "keys", key_columns);
    sonde_result_add_table(r, "values", value_columns);
    make_lines(&lines, temporary(path));
    add_neuron(r, 0, 0, same, 10, 9.0, " house");   /* one line only */
    add_neuron(r, 0, 1, seven, 10, 9.0, " house");  /* 7 of 10 plants */
    add_neuron(r, 0, 2, eight, 10, 1.0, " house");  /* 8 of 10 plants */
    add_neuron(r, 1, 0, animals, 10, 9.0, "house"); /* promotes no words */
    add_neuron(r, 1, 1, animals, 10, 2.0, " dog");
    add_neuron(r, 1, 2, animals, 10, 3.0, " dog"); /* the same share, fires more */
    check_ok(sonde_result_status(r, NULL), &(struct sonde_error){ 0 });
    int64_t n = sonde_demo_pick_neurons(&lines, r->table[0], r->table[1], picked, 4);
    assert_int_equal(n, 2);
    assert_string_equal(lines.name[picked[0].field], "animal");
    assert_int_equal(picked[0].layer, 1);
    assert_int_equal(picked[0].neuron, 2);
    assert_int_equal(picked[0].same, 10);
    assert_int_equal(picked[0].words, 2);
    assert_int_equal(picked[0].first, 50);
    assert_int_equal(picked[0].n_rows, 10);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_pick),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
