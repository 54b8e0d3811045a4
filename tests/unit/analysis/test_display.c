#include <string.h>

#include "analysis/display.h"
#include "tests/support/check.h"

static void check_clean(const char *text, size_t n, const char *expected)
{
    struct sonde_buf out = { 0 };
    sonde_display_clean(&out, text, n);
    assert_string_equal(out.data ? out.data : "", expected);
    sonde_buf_finish(&out);
}

static void test_clean(void **state)
{
    (void)state;
    static const char *const known[][2] = {
        { "plain <b> & text", "plain <b> & text" },
        { "a\nb\tc", "a\u21b5b\u21e5c" },
        { "\033[31mred", "<0x1B>[31mred" },
        { "\x7f", "<0x7F>" },
        { "\u202eabc", "<U+202E>abc" }, /* right-to-left override */
        { "\xe2\x81\xa6x\xe2\x81\xa9", "<U+2066>x<U+2069>" },
        { "\xef\xbb\xbf", "<U+FEFF>" },
        { "\xc2\x85", "<U+0085>" },               /* C1 */
        { "\xef\xbf\xbf", "<U+FFFF>" },           /* no character */
        { "\xe2\x82", "<0xE2><0x82>" },           /* half of a euro sign */
        { "\xc0\xaf", "<0xC0><0xAF>" },           /* overlong */
        { "\xed\xa0\x80", "<0xED><0xA0><0x80>" }, /* surrogate */
        { "\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x92\xbb",
          "\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x92\xbb" },
        { "\xd7\xa9\xd7\x9c", "\xd7\xa9\xd7\x9c" },
    };
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        check_clean(known[i][0], strlen(known[i][0]), known[i][1]);
    check_clean("a\0b", 3, "a<0x00>b");
}

static void test_token(void **state)
{
    (void)state;
    struct sonde_buf out = { 0 };
    sonde_display_token(&out, " the cat  ", 10);
    assert_string_equal(out.data, "\xe2\x90\xa3the cat\xe2\x90\xa3\xe2\x90\xa3");
    sonde_buf_clear(&out);
    sonde_display_token(&out, "  ", 2);
    assert_string_equal(out.data, "\xe2\x90\xa3\xe2\x90\xa3");
    sonde_buf_finish(&out);
}

static void test_width(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t width;
    } known[] = {
        { "", 0 },
        { "abc", 3 },
        { "\xe6\xbc\xa2\xe5\xad\x97", 4 }, /* two CJK ideographs */
        { "e\xcc\x81", 1 },                /* e and a combining acute */
        { "\xf0\x9f\x98\x80", 2 },         /* grinning face */
        { "\xe2\x80\xa6", 1 },             /* ellipsis */
        { "\xef\xbc\xa1", 2 },             /* full-width A */
        { "\xd7\xa9\xd6\xb8", 1 },         /* shin with qamats */
        { "\xe0\xb8\x81\xe0\xb8\xb4", 1 }, /* Thai ko kai, sara i */
        { "\xc3\xa9", 1 },                 /* e acute */
    };
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        assert_int_equal(sonde_display_width(known[i].text, strlen(known[i].text)), known[i].width);
}

static void test_fit(void **state)
{
    (void)state;
    const char *text = "a\u6f22e\u0301bcd"; /* widths 1 2 1 1 1 1 = 7 */
    static const char *const cut[] = {
        "",
        "\xe2\x80\xa6",
        "a\xe2\x80\xa6",
        "a\xe2\x80\xa6",
        "a\xe6\xbc\xa2\xe2\x80\xa6",
        "a\u6f22e\u0301\u2026",
        "a\u6f22e\u0301b\u2026",
        "a\u6f22e\u0301bcd",
    };
    static const int64_t used[] = { 0, 1, 2, 2, 4, 5, 6, 7 };
    for (int64_t width = 0; width <= 7; width++) {
        struct sonde_buf out = { 0 };
        int64_t n = sonde_display_fit(&out, text, strlen(text), width);
        assert_string_equal(out.data ? out.data : "", cut[width]);
        assert_int_equal(n, used[width]);
        assert_int_equal(sonde_display_width(out.data ? out.data : "", out.size), n);
        sonde_buf_finish(&out);
    }
}

static void test_number(void **state)
{
    (void)state;
    static const struct {
        double value;
        int digits;
        const char *text;
    } known[] = {
        { 0, 0, "0" },
        { 1, 0, "1" },
        { -2.5, 0, "-2.5" },
        { 0.123456, 0, "0.1235" },
        { 12.3456, 0, "12.35" },
        { 99999.6, 0, "100000" },
        { 1234.5, 0, "1234" },
        { 0.000123456, 0, "0.0001235" },
        { 1e-5, 0, "1e-05" },
        { 1e6, 0, "1e+06" },
        { 1234567, 3, "1.23e+06" },
        { -0.0, 0, "0" },
        { 3.14159265, 6, "3.14159" },
    };
    char text[SONDE_DISPLAY_NUMBER_MAX];
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        sonde_display_number(text, known[i].value, known[i].digits);
        assert_string_equal(text, known[i].text);
    }
    sonde_display_number(text, (double)NAN, 0);
    assert_string_equal(text, "-");
    sonde_display_number(text, -(double)INFINITY, 0);
    assert_string_equal(text, "-inf");
    sonde_display_number(text, 1.7e308, 17);
    assert_true(strlen(text) < SONDE_DISPLAY_NUMBER_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clean), cmocka_unit_test(test_token),  cmocka_unit_test(test_width),
        cmocka_unit_test(test_fit),   cmocka_unit_test(test_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
