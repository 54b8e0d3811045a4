#include "core/base/status.h"

#include <string.h>

#include "tests/support/check.h"

static void names_are_distinct(void **state)
{
    (void)state;
    for (int i = SONDE_STATUS_OK; i <= SONDE_STATUS_CANCELLED; i++) {
        const char *name = sonde_status_name((enum sonde_status)i);
        assert_non_null(name);
        assert_string_not_equal(name, "unknown");
        for (int j = SONDE_STATUS_OK; j < i; j++)
            assert_string_not_equal(name, sonde_status_name((enum sonde_status)j));
    }
    assert_string_equal(sonde_status_name((enum sonde_status)99), "unknown");
}

static void message_is_one_clean_line(void **state)
{
    (void)state;
    static const struct {
        const char *given, *expected;
    } cases[] = {
        { "plain", "plain" },
        { "", "" },
        { "a\nb\tc\r\x1b[31m\x7f", "a?b?c??[31m?" },
        { "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80",
          "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80" },
        { "\xff\xc3.", "??." },
        { "end\xe2\x82", "end??" },
        { "\xc0\x80\xed\xa0\x80\xf4\x90\x80\x80",
          "?????????" }, /* overlong, surrogate, too large */
        { "\xc2\x9b"
          "31m",
          "?31m" }, /* the one-character CSI */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sonde_error error = { 0 };
        assert_int_equal(sonde_error_set(&error, SONDE_STATUS_FORMAT, "%s", cases[i].given),
                         SONDE_STATUS_FORMAT);
        assert_int_equal(error.status, SONDE_STATUS_FORMAT);
        assert_string_equal(error.text, cases[i].expected);
    }
}

/* Characters of 1 to 4 bytes, shifted by 0 to 3: the cut must fall between characters. */
static void long_text_is_cut_between_characters(void **state)
{
    (void)state;
    static const char *const characters[] = { "a", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80" };
    for (size_t c = 0; c < 4; c++) {
        for (size_t shift = 0; shift < 4; shift++) {
            char text[3000] = "";
            memset(text, '.', shift);
            size_t width = strlen(characters[c]);
            for (size_t n = shift; n + width < sizeof(text); n += width)
                memcpy(text + n, characters[c], width);
            struct sonde_error error = { 0 };
            sonde_error_set(&error, SONDE_STATUS_IO, "%s", text);
            size_t length = strlen(error.text);
            assert_true(length > SONDE_ERROR_TEXT_MAX - 1 - width);
            assert_true(length < SONDE_ERROR_TEXT_MAX);
            assert_int_equal((length - shift) % width, 0);
            assert_memory_equal(error.text, text, length);
        }
    }
}

static void context_goes_before(void **state)
{
    (void)state;
    struct sonde_error error = { 0 };
    sonde_error_set(&error, SONDE_STATUS_LIMIT, "too large");
    sonde_error_prepend(&error, "%s", "tensor w");
    sonde_error_prepend(&error, "a.safetensors");
    assert_string_equal(error.text, "a.safetensors: tensor w: too large");
    assert_int_equal(error.status, SONDE_STATUS_LIMIT);

    char context[SONDE_ERROR_TEXT_MAX + 100];
    memset(context, 'c', sizeof(context));
    context[sizeof(context) - 1] = '\0';
    sonde_error_prepend(&error, "%s", context);
    assert_int_equal(strlen(error.text), SONDE_ERROR_TEXT_MAX - 1);
    assert_int_equal(error.status, SONDE_STATUS_LIMIT);
}

static void own_text_may_be_an_argument(void **state)
{
    (void)state;
    struct sonde_error error = { 0 };
    sonde_error_set(&error, SONDE_STATUS_IO, "inner");
    sonde_error_set(&error, SONDE_STATUS_FORMAT, "outer (%s)", error.text);
    assert_string_equal(error.text, "outer (inner)");
    sonde_error_prepend(&error, "again %s", error.text);
    assert_string_equal(error.text, "again outer (inner): outer (inner)");
}

static void error_may_be_null(void **state)
{
    (void)state;
    assert_int_equal(sonde_error_set(NULL, SONDE_STATUS_IO, "%d", 1), SONDE_STATUS_IO);
    assert_int_equal(sonde_error_memory(NULL, "x"), SONDE_STATUS_MEMORY);
    sonde_error_prepend(NULL, "context");
}

static void memory_names_what(void **state)
{
    (void)state;
    struct sonde_error error = { 0 };
    assert_int_equal(sonde_error_memory(&error, "the index"), SONDE_STATUS_MEMORY);
    assert_string_equal(error.text, "out of memory for the index");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_distinct),
        cmocka_unit_test(message_is_one_clean_line),
        cmocka_unit_test(long_text_is_cut_between_characters),
        cmocka_unit_test(context_goes_before),
        cmocka_unit_test(own_text_may_be_an_argument),
        cmocka_unit_test(error_may_be_null),
        cmocka_unit_test(memory_names_what),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
