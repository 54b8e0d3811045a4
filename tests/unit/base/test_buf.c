#include "core/base/buf.h"

#include <string.h>

#include "tests/support/check.h"

static void text_grows(void **state)
{
    (void)state;
    struct sonde_buf buf = { 0 };
    for (int i = 0; i < 1000; i++) {
        assert_true(sonde_buf_puts(&buf, "ab"));
        assert_true(sonde_buf_putc(&buf, 'c'));
        assert_true(sonde_buf_append(&buf, "d\0e", 3));
        assert_int_equal(buf.size, 6 * (size_t)(i + 1));
        assert_int_equal(buf.data[buf.size], '\0');
    }
    assert_memory_equal(buf.data + 5994, "abcd\0e", 7);
    struct sonde_error error = { 0 };
    check_ok(sonde_buf_status(&buf, &error), &error);
    char *data = buf.data;
    sonde_buf_clear(&buf);
    assert_int_equal(buf.size, 0);
    assert_ptr_equal(buf.data, data);
    assert_string_equal(buf.data, "");
    sonde_buf_finish(&buf);
    assert_null(buf.data);
    sonde_buf_finish(&buf);
}

static void the_maximum_holds(void **state)
{
    (void)state;
    for (size_t max = 1; max < 300; max += 7) {
        struct sonde_buf buf = { .max = max };
        for (size_t i = 0; i < max; i++)
            assert_true(sonde_buf_putc(&buf, 'x'));
        assert_true(buf.capacity <= 2 * max + 64);
        assert_false(sonde_buf_putc(&buf, 'y'));
        assert_true(buf.failed);
        assert_int_equal(buf.size, max);
        assert_int_equal(strspn(buf.data, "x"), max);
        assert_false(sonde_buf_append(&buf, "", 0)); /* failed buffers stay failed */
        struct sonde_error error = { 0 };
        assert_int_equal(sonde_buf_status(&buf, &error), SONDE_STATUS_LIMIT);
        assert_non_null(strstr(error.text, "maximum"));
        sonde_buf_clear(&buf);
        assert_true(sonde_buf_putc(&buf, 'z'));
        sonde_buf_finish(&buf);
    }
}

static void impossible_sizes_are_refused(void **state)
{
    (void)state;
    struct sonde_buf buf = { 0 };
    assert_true(sonde_buf_puts(&buf, "a"));
    assert_false(sonde_buf_reserve(&buf, SIZE_MAX));
    assert_string_equal(buf.data, "a");
    sonde_buf_finish(&buf);
    struct sonde_buf large = { .max = SIZE_MAX };
    assert_true(sonde_buf_puts(&large, "a"));
    assert_false(sonde_buf_reserve(&large, SIZE_MAX - 2));
    struct sonde_error error = { 0 };
    assert_int_equal(sonde_buf_status(&large, &error), SONDE_STATUS_MEMORY);
    sonde_buf_finish(&large);
}

static void printf_of_every_length(void **state)
{
    (void)state;
    char text[1000];
    for (int n = 0; n < 1000; n++) {
        memset(text, 'p', (size_t)n);
        text[n] = '\0';
        struct sonde_buf buf = { 0 };
        assert_true(sonde_buf_puts(&buf, "<"));
        assert_true(sonde_buf_printf(&buf, "%s>%d", text, n));
        assert_int_equal(buf.data[0], '<');
        assert_memory_equal(buf.data + 1, text, (size_t)n);
        assert_int_equal(strtol(buf.data + n + 2, NULL, 10), n);
        assert_int_equal(strlen(buf.data), buf.size);
        sonde_buf_finish(&buf);
    }
}

static void numbers(void **state)
{
    (void)state;
    struct sonde_buf buf = { 0 };
    sonde_buf_put_f64(&buf, 0.1);
    sonde_buf_putc(&buf, ' ');
    sonde_buf_put_f64(&buf, (double)NAN);
    assert_string_equal(buf.data, "0.1 nan");
    sonde_buf_finish(&buf);
}

static void arrays_grow(void **state)
{
    (void)state;
    void *items = NULL;
    int64_t capacity = 0;
    assert_true(sonde_grow(&items, &capacity, 0, 8, 100));
    assert_true(sonde_grow(&items, &capacity, 1, 8, 100));
    assert_true(capacity >= 1 && capacity <= 100);
    memset(items, 7, 8);
    assert_true(sonde_grow(&items, &capacity, 100, 8, 100));
    assert_int_equal(capacity, 100);
    assert_int_equal(((unsigned char *)items)[7], 7);
    void *before = items;
    assert_false(sonde_grow(&items, &capacity, 101, 8, 100));
    assert_false(sonde_grow(&items, &capacity, INT64_MAX, 8, INT64_MAX));
    assert_false(sonde_grow(&items, &capacity, (int64_t)1 << 61, 16, INT64_MAX));
    assert_ptr_equal(items, before);
    assert_int_equal(capacity, 100);
    free(items);
    items = NULL;
    capacity = 0;
    assert_true(sonde_grow(&items, &capacity, 3, 8, 3));
    assert_int_equal(capacity, 3);
    free(items);
}

static void strings(void **state)
{
    (void)state;
    assert_true(sonde_str_equal("a", "a"));
    assert_false(sonde_str_equal("a", "b"));
    assert_false(sonde_str_equal(NULL, "a"));
    assert_false(sonde_str_equal("a", NULL));
    assert_true(sonde_str_equal(NULL, NULL));
    assert_true(sonde_str_starts("abc", "ab") && sonde_str_starts("abc", ""));
    assert_false(sonde_str_starts("ab", "abc"));
    assert_true(sonde_str_ends("abc", "bc") && sonde_str_ends("abc", ""));
    assert_false(sonde_str_ends("bc", "abc"));
    assert_null(sonde_strdup(NULL));
    char *copy = sonde_strdup("copy");
    assert_string_equal(copy, "copy");
    free(copy);
}

static void utf8_sequences(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t n, length;
    } cases[] = {
        { "", 0, 0 },
        { "a", 1, 1 },
        { "\0", 1, 1 },
        { "\x7f", 1, 1 },
        { "\x80", 1, 0 },
        { "\xc1\xbf", 2, 0 },
        { "\xc2\x80", 2, 2 },
        { "\xc2", 1, 0 },
        { "\xc2\x80", 1, 0 },
        { "\xdf\xc0", 2, 0 },
        { "\xe0\x9f\xbf", 3, 0 },
        { "\xe0\xa0\x80", 3, 3 },
        { "\xed\x9f\xbf", 3, 3 },
        { "\xed\xa0\x80", 3, 0 },
        { "\xef\xbf\xbf", 3, 3 },
        { "\xef\xbf\xbf", 2, 0 },
        { "\xf0\x8f\xbf\xbf", 4, 0 },
        { "\xf0\x90\x80\x80", 4, 4 },
        { "\xf4\x8f\xbf\xbf", 4, 4 },
        { "\xf4\x90\x80\x80", 4, 0 },
        { "\xf5\x80\x80\x80", 4, 0 },
        { "\xff", 1, 0 },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(sonde_str_sequence(cases[i].text, cases[i].n), cases[i].length);
}

static void edit_distance(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        int cap, distance;
    } cases[] = {
        { "", "", 9, 0 },
        { "abc", "abc", 9, 0 },
        { "abc", "", 9, 3 },
        { "", "abcd", 9, 4 },
        { "kitten", "sitting", 9, 3 },
        { "sitting", "kitten", 9, 3 },
        { "flaw", "lawn", 9, 2 },
        { "kitten", "sitting", 2, 2 },
        { "recrod", "record", 9, 2 },
        { "intention", "execution", 9, 5 },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(sonde_str_distance(cases[i].a, cases[i].b, cases[i].cap),
                         cases[i].distance);
    char longest[1000];
    memset(longest, 'a', sizeof(longest));
    longest[999] = '\0';
    assert_int_equal(sonde_str_distance(longest, "a", 5), 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_grows),
        cmocka_unit_test(the_maximum_holds),
        cmocka_unit_test(impossible_sizes_are_refused),
        cmocka_unit_test(printf_of_every_length),
        cmocka_unit_test(numbers),
        cmocka_unit_test(arrays_grow),
        cmocka_unit_test(strings),
        cmocka_unit_test(utf8_sequences),
        cmocka_unit_test(edit_distance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
