#include "core/base/json.h"

#include <locale.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/rng.h"
#include "tests/support/check.h"

static struct sonde_json *parse(const char *text)
{
    struct sonde_error error = { 0 };
    struct sonde_json *root = NULL;
    check_ok(sonde_json_parse(&root, text, strlen(text), &error), &error);
    return root;
}

static void values_of_every_type(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum sonde_json_type type;
    } cases[] = {
        { "null", SONDE_JSON_NULL },
        { "true", SONDE_JSON_BOOL },
        { "false", SONDE_JSON_BOOL },
        { "12", SONDE_JSON_INTEGER },
        { "1.0", SONDE_JSON_REAL },
        { "1e2", SONDE_JSON_REAL },
        { "\"s\"", SONDE_JSON_STRING },
        { "[1,2]", SONDE_JSON_ARRAY },
        { " {\"a\":1}\n", SONDE_JSON_OBJECT },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sonde_json *root = parse(cases[i].text);
        assert_int_equal(sonde_json_type(root), cases[i].type);
        sonde_json_destroy(&root);
        assert_null(root);
    }
    struct sonde_json *none = NULL;
    sonde_json_destroy(&none);
    for (int i = SONDE_JSON_ABSENT; i <= SONDE_JSON_OBJECT; i++)
        assert_true(strlen(sonde_json_type_name((enum sonde_json_type)i)) > 0);
}

static void bad_text_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t n;
        const char *says;
    } cases[] = {
        { "", 0, "line 1" },
        { "   ", 3, "line 1" },
        { "{", 1, "line 1" },
        { "{\n\"a\": 1,\n}", 11, "line 3, column 1" },
        { "[1,]", 4, "line 1, column 4" },
        { "{\"a\":1,\"a\":2}", 13, "duplicate" },
        { "{\"a\":1,\"\\u0061\":2}", 18, "duplicate" },
        { "[1] x", 5, "end of file" },
        { "[1]\0", 4, "line 1" },
        { "\"\xff\"", 3, "decode" },
        { "\"\xc0\x80\"", 4, "decode" },
        { "\"\xed\xa0\x80\"", 5, "decode" },
        { "\"\\ud800\"", 8, "" },
        { "\"\\udc00\"", 8, "" },
        { "{\"a\\u0000b\":1}", 14, "NUL" },
        { "9223372036854775808", 19, "integer" },
        { "1e999", 5, "real" },
        { "01", 2, "" },
        { "+1", 2, "" },
        { "1.", 2, "" },
        { ".5", 2, "" },
        { "NaN", 3, "" },
        { "Infinity", 8, "" },
        { "'a'", 3, "" },
        { "{a:1}", 5, "" },
        { "\"\t\"", 3, "control" },
        { "tru", 3, "" },
        { "\xef\xbb\xbf{}", 5, "" },
        { "// x\n1", 6, "" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sonde_error error = { 0 };
        struct sonde_json *root = NULL;
        if (sonde_json_parse(&root, cases[i].text, cases[i].n, &error) != SONDE_STATUS_FORMAT)
            fail_msg("case %zu is not refused", i);
        assert_null(root);
        if (!strstr(error.text, cases[i].says) || strncmp(error.text, "line ", 5) != 0)
            fail_msg("case %zu says: %s", i, error.text);
    }
}

static char *nested(int depth, bool objects, bool closed)
{
    struct sonde_buf buf = { 0 };
    for (int i = 0; i < depth; i++)
        sonde_buf_puts(&buf, objects ? "{\"a\":" : "[");
    if (objects)
        sonde_buf_putc(&buf, '1');
    for (int i = 0; i < depth && closed; i++)
        sonde_buf_putc(&buf, objects ? '}' : ']');
    assert_false(buf.failed);
    return buf.data;
}

static void depth_is_limited(void **state)
{
    (void)state;
    for (int closed = 0; closed < 2; closed++) {
        for (int objects = 0; objects < 2; objects++) {
            char *text = nested(10000, objects, closed);
            struct sonde_error error = { 0 };
            struct sonde_json *root = NULL;
            assert_int_equal(sonde_json_parse(&root, text, strlen(text), &error),
                             SONDE_STATUS_FORMAT);
            assert_non_null(strstr(error.text, "depth"));
            free(text);
        }
    }
    char *text = nested(1000, true, true);
    struct sonde_json *root = parse(text);
    sonde_json_destroy(&root);
    free(text);
}

static void members_keep_their_order(void **state)
{
    (void)state;
    struct sonde_buf buf = { 0 };
    struct sonde_rng rng = sonde_rng_make(1, 1);
    enum { N = 5000 };
    uint32_t names[N];
    sonde_buf_putc(&buf, '{');
    for (int i = 0; i < N; i++) {
        names[i] = (sonde_rng_u32(&rng) & 0xffff0000u) | (uint32_t)i;
        sonde_buf_printf(&buf, "%s\"k%u\":%d", i ? "," : "", names[i], i);
    }
    sonde_buf_putc(&buf, '}');
    struct sonde_json *root = parse(buf.data);
    assert_int_equal(sonde_json_size(root), N);
    int n = 0;
    for (struct sonde_json_iter i = { 0 }; sonde_json_next(root, &i); n++) {
        char name[20];
        int length = snprintf(name, sizeof(name), "k%u", names[n]);
        assert_string_equal(i.key, name);
        assert_int_equal(i.key_size, length);
        assert_int_equal(sonde_json_integer(i.value, -1), n);
        assert_ptr_equal(sonde_json_get(root, name), i.value);
    }
    assert_int_equal(n, N);
    sonde_json_destroy(&root);
    sonde_buf_finish(&buf);
}

static void absent_values_are_harmless(void **state)
{
    (void)state;
    struct sonde_json *root = parse("{\"a\":[1,\"x\"],\"s\":\"\\u0000z\"}");
    const struct sonde_json *a = sonde_json_get(root, "a");
    assert_null(sonde_json_get(sonde_json_get(root, "none"), "deeper"));
    assert_null(sonde_json_get(a, "key of an array"));
    assert_null(sonde_json_at(root, 0));
    assert_null(sonde_json_at(a, -1));
    assert_null(sonde_json_at(a, 2));
    assert_null(sonde_json_at(NULL, 0));
    assert_int_equal(sonde_json_type(NULL), SONDE_JSON_ABSENT);
    assert_int_equal(sonde_json_size(NULL), 0);
    assert_int_equal(sonde_json_size(sonde_json_at(a, 0)), 0);
    assert_int_equal(sonde_json_size(a), 2);
    struct sonde_json_iter i = { 0 };
    assert_false(sonde_json_next(NULL, &i));
    struct sonde_json_iter j = { 0 };
    assert_false(sonde_json_next(a, &j));
    assert_string_equal(sonde_json_string(NULL, "f"), "f");
    assert_string_equal(sonde_json_string(sonde_json_at(a, 0), "f"), "f");
    assert_string_equal(sonde_json_string(sonde_json_at(a, 1), "f"), "x");
    assert_int_equal(sonde_json_string_size(sonde_json_get(root, "s")), 2);
    assert_int_equal(sonde_json_string_size(NULL), 0);
    assert_int_equal(sonde_json_integer(sonde_json_at(a, 1), 7), 7);
    assert_true(sonde_json_real(NULL, 2.5) == 2.5);
    assert_true(sonde_json_bool(NULL, true));
    assert_false(sonde_json_is_number(NULL));
    assert_true(sonde_json_is_number(sonde_json_at(a, 0)));
    sonde_json_destroy(&root);
}

static void integers_from_reals(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t value;
    } cases[] = {
        { "9223372036854775807", INT64_MAX },
        { "-9223372036854775808", INT64_MIN },
        { "3.0", 3 },
        { "1e3", 1000 },
        { "9007199254740992.0", 9007199254740992 },
        { "9007199254740994.0", 77 },
        { "1e300", 77 },
        { "0.5", 77 },
        { "\"3\"", 77 },
        { "true", 77 },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sonde_json *root = parse(cases[i].text);
        assert_true(sonde_json_integer(root, 77) == cases[i].value);
        sonde_json_destroy(&root);
    }
}

static void checked_members(void **state)
{
    (void)state;
    struct sonde_json *root = parse("{\"i\":12,\"r\":0.5,\"b\":true,\"s\":\"text\",\"n\":null,"
                                    "\"nul\":\"a\\u0000b\",\"big\":1e300,\"o\":{}}");
    struct sonde_error error = { 0 };
    int64_t i = 0;
    double r = 0;
    bool b = false;
    const char *s = NULL;
    check_ok(sonde_json_read_i64(root, "i", 1, 12, 12, &i, &error), &error);
    assert_int_equal(i, 12);
    check_ok(sonde_json_read_i64(root, "none", 5, 100, 200, &i, &error), &error);
    assert_int_equal(i, 5); /* the fallback is the caller's, not the file's */
    check_ok(sonde_json_read_i64(root, "n", 6, 100, 200, &i, &error), &error);
    assert_int_equal(i, 6);
    check_ok(sonde_json_read_f64(root, "i", 0, 0, 100, &r, &error), &error);
    assert_true(r == 12);
    check_ok(sonde_json_read_f64(root, "r", 0, 0.5, 0.5, &r, &error), &error);
    check_ok(sonde_json_read_bool(root, "b", false, &b, &error), &error);
    assert_true(b);
    check_ok(sonde_json_read_bool(root, "none", false, &b, &error), &error);
    assert_false(b);
    check_ok(sonde_json_read_string(root, "s", NULL, &s, &error), &error);
    assert_string_equal(s, "text");
    check_ok(sonde_json_read_string(root, "none", NULL, &s, &error), &error);
    assert_null(s);

    i = 77;
    assert_int_equal(sonde_json_read_i64(root, "i", 1, 13, 20, &i, &error), SONDE_STATUS_FORMAT);
    assert_string_equal(error.text, "\"i\": found 12, expected 13 to 20");
    assert_int_equal(sonde_json_read_i64(root, "r", 1, 0, 20, &i, &error), SONDE_STATUS_FORMAT);
    assert_string_equal(error.text, "\"r\": found a real number, expected a whole number");
    assert_int_equal(sonde_json_read_i64(root, "s", 1, 0, 20, &i, &error), SONDE_STATUS_FORMAT);
    assert_string_equal(error.text, "\"s\": found a string, expected a whole number");
    assert_int_equal(sonde_json_read_i64(root, "big", 1, 0, 20, &i, &error), SONDE_STATUS_FORMAT);
    assert_int_equal(i, 77);
    r = 77;
    assert_int_equal(sonde_json_read_f64(root, "r", 0, 1, 2, &r, &error), SONDE_STATUS_FORMAT);
    assert_string_equal(error.text, "\"r\": found 0.5, expected 1 to 2");
    assert_int_equal(sonde_json_read_f64(root, "b", 0, 1, 2, &r, &error), SONDE_STATUS_FORMAT);
    assert_true(r == 77);
    b = true;
    assert_int_equal(sonde_json_read_bool(root, "i", false, &b, &error), SONDE_STATUS_FORMAT);
    assert_true(b);
    s = "kept";
    assert_int_equal(sonde_json_read_string(root, "o", "f", &s, &error), SONDE_STATUS_FORMAT);
    assert_string_equal(error.text, "\"o\": found an object, expected a string");
    assert_int_equal(sonde_json_read_string(root, "nul", "f", &s, &error), SONDE_STATUS_FORMAT);
    assert_string_equal(s, "kept");
    sonde_json_destroy(&root);
}

static void write_sample(struct sonde_json_writer *w)
{
    sonde_json_begin_object(w, NULL);
    sonde_json_put_string(w, "s", "a\"b\\c\n\t\x01/\x7f\xc3\xa9");
    sonde_json_put_string(w, "bad", "x\xff\xe2\x82y");
    sonde_json_put_string_n(w, "n", "a\0b", 3);
    sonde_json_put_string(w, "none", NULL);
    sonde_json_put_i64(w, "i", INT64_MIN);
    sonde_json_begin_array(w, "a");
    sonde_json_put_f64(w, NULL, 0.1);
    sonde_json_put_f64(w, NULL, (double)NAN);
    sonde_json_put_f64(w, NULL, -(double)INFINITY);
    sonde_json_begin_array(w, NULL);
    sonde_json_end_array(w);
    sonde_json_begin_object(w, NULL);
    sonde_json_end_object(w);
    sonde_json_put_bool(w, NULL, true);
    sonde_json_put_null(w, NULL);
    sonde_json_put_raw(w, NULL, "{\"raw\":1}");
    for (int i = 0; i < 2; i++) {
        sonde_json_begin_array(w, NULL);
        sonde_json_put_i64(w, NULL, i);
        sonde_json_end_array(w);
    }
    sonde_json_begin_object(w, NULL);
    sonde_json_end_object(w);
    sonde_json_end_array(w);
    sonde_json_put_bool(w, "last", false);
    sonde_json_end_object(w);
}

static void writer_nests_and_escapes(void **state)
{
    (void)state;
    struct sonde_buf buf = { 0 };
    struct sonde_json_writer w = { .out = &buf };
    write_sample(&w);
    assert_string_equal(buf.data, "{\"s\":\"a\\\"b\\\\c\\n\\t\\u0001/\\u007f\xc3\xa9\","
                                  "\"bad\":\"x\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdy\","
                                  "\"n\":\"a\\u0000b\",\"none\":null,\"i\":-9223372036854775808,"
                                  "\"a\":[0.1,null,null,[],{},true,null,{\"raw\":1},[0],[1],{}],"
                                  "\"last\":false}");
    /* What is written reads back, and prints the same from there, indented or not. */
    struct sonde_json *root = parse(buf.data);
    assert_int_equal(sonde_json_string_size(sonde_json_get(root, "n")), 3);
    struct sonde_buf wide = { 0 }, dumped = { 0 }, dumped_wide = { 0 };
    struct sonde_json_writer indented = { .out = &wide, .indent = 2 };
    write_sample(&indented);
    struct sonde_json *root_wide = parse(wide.data);
    assert_true(sonde_json_dump(&dumped, root));
    assert_true(sonde_json_dump(&dumped_wide, root_wide));
    assert_string_equal(dumped.data, dumped_wide.data);
    assert_non_null(strstr(wide.data, "{\n  \"s\": \"a"));
    assert_non_null(strstr(wide.data, "[\n    0.1,\n    null,"));
    assert_non_null(strstr(wide.data, "\n    [],\n    {},\n"));
    sonde_json_destroy(&root);
    sonde_json_destroy(&root_wide);
    sonde_buf_finish(&buf);
    sonde_buf_finish(&wide);
    sonde_buf_finish(&dumped);
    sonde_buf_finish(&dumped_wide);
}

static void writer_depth(void **state)
{
    (void)state;
    for (int depth = 62; depth <= 64; depth++) {
        struct sonde_buf buf = { 0 };
        struct sonde_json_writer w = { .out = &buf };
        for (int i = 0; i < depth; i++)
            sonde_json_begin_array(&w, NULL);
        for (int i = 0; i < depth; i++)
            sonde_json_end_array(&w);
        assert_int_equal(buf.failed, depth > 63);
        if (depth <= 63)
            assert_int_equal(buf.size, 2 * depth);
        sonde_buf_finish(&buf);
    }
}

static void dump_round_trips(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "null",
        "true",
        "-5",
        "\"a\\\"b\"",
        "[1,[2,{}],\"x\"]",
        "{\"b\":1,\"a\":{\"c\":[]}}",
        "\"\xe2\x82\xac\"",
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sonde_json *root = parse(cases[i]);
        struct sonde_buf buf = { 0 };
        assert_true(sonde_json_dump(&buf, root));
        assert_string_equal(buf.data, cases[i]);
        sonde_buf_finish(&buf);
        sonde_json_destroy(&root);
    }
    struct sonde_json *root = parse("0.1");
    struct sonde_buf buf = { 0 };
    assert_true(sonde_json_dump(&buf, root));
    struct sonde_json *again = parse(buf.data);
    assert_true(sonde_json_real(again, 0) == 0.1);
    assert_false(sonde_json_dump(&buf, NULL));
    sonde_json_destroy(&root);
    sonde_json_destroy(&again);
    sonde_buf_finish(&buf);
}

static void load_names_the_file(void **state)
{
    (void)state;
    struct sonde_error error = { 0 };
    struct sonde_json *root = NULL;
    char path[] = "sonde-test-json-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    FILE *file = fdopen(fd, "w");
    fputs("{\"a\": }", file);
    fclose(file);
    assert_int_equal(sonde_json_load(&root, path, 100, &error), SONDE_STATUS_FORMAT);
    assert_true(strncmp(error.text, path, strlen(path)) == 0);
    assert_non_null(strstr(error.text, "line 1, column 7"));
    assert_int_equal(sonde_json_load(&root, path, 6, &error), SONDE_STATUS_LIMIT);
    check_ok(sonde_file_save(path, "{\"a\": 3}", 8, &error), &error);
    check_ok(sonde_json_load(&root, path, 100, &error), &error);
    assert_int_equal(sonde_json_integer(sonde_json_get(root, "a"), 0), 3);
    sonde_json_destroy(&root);
    remove(path);
    assert_int_equal(sonde_json_load(&root, path, 100, &error), SONDE_STATUS_NOT_FOUND);
    assert_null(root);
}

static void a_comma_locale_changes_nothing(void **state)
{
    (void)state;
    if (!setlocale(LC_ALL, "de_DE.UTF-8")) {
        fprintf(stderr, "# SKIP no locale with a decimal comma is here\n");
        skip();
    }
    struct sonde_json *root = parse("[0.5,1.25e3]");
    assert_true(sonde_json_real(sonde_json_at(root, 0), 0) == 0.5);
    assert_true(sonde_json_real(sonde_json_at(root, 1), 0) == 1250);
    struct sonde_buf buf = { 0 };
    assert_true(sonde_json_dump(&buf, root));
    assert_string_equal(buf.data, "[0.5,1250.0]");
    sonde_buf_clear(&buf);
    struct sonde_json_writer w = { .out = &buf };
    sonde_json_put_f64(&w, NULL, 2.5);
    assert_string_equal(buf.data, "2.5");
    sonde_buf_finish(&buf);
    sonde_json_destroy(&root);
    setlocale(LC_ALL, "C");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_of_every_type),
        cmocka_unit_test(bad_text_is_refused),
        cmocka_unit_test(depth_is_limited),
        cmocka_unit_test(members_keep_their_order),
        cmocka_unit_test(absent_values_are_harmless),
        cmocka_unit_test(integers_from_reals),
        cmocka_unit_test(checked_members),
        cmocka_unit_test(writer_nests_and_escapes),
        cmocka_unit_test(writer_depth),
        cmocka_unit_test(dump_round_trips),
        cmocka_unit_test(load_names_the_file),
        cmocka_unit_test(a_comma_locale_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
