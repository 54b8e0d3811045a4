#include "core/base/num.h"

#include <float.h>
#include <inttypes.h>
#include <locale.h>
#include <pthread.h>
#include <string.h>

#include "core/base/rng.h"
#include "tests/support/check.h"

static void sums_and_products_are_checked(void **state)
{
    (void)state;
    static const struct {
        int64_t a, b;
        bool sum_fits, product_fits;
    } cases[] = {
        { 0, 0, true, true },
        { INT64_MAX, 0, true, true },
        { INT64_MAX, 1, false, true },
        { INT64_MIN, -1, false, false },
        { INT64_MAX, -1, true, true },
        { INT64_MIN, 1, true, true },
        { (int64_t)1 << 32, (int64_t)1 << 31, true, false },
        { (int64_t)1 << 31, (int64_t)1 << 31, true, true },
        { INT64_MIN, INT64_MIN, false, false },
        { 3037000500, 3037000500, true, false },
        { 3037000499, 3037000499, true, true },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t out = 77;
        assert_int_equal(sonde_add_i64(cases[i].a, cases[i].b, &out), cases[i].sum_fits);
        if (cases[i].sum_fits)
            assert_true(out - cases[i].b == cases[i].a);
        else
            assert_true(out == 77);
        out = 77;
        assert_int_equal(sonde_mul_i64(cases[i].a, cases[i].b, &out), cases[i].product_fits);
        if (!cases[i].product_fits)
            assert_true(out == 77);
        else if (cases[i].b)
            assert_true(out / cases[i].b == cases[i].a);
    }
    size_t out = 77;
    assert_false(sonde_add_size(SIZE_MAX, 1, &out));
    assert_false(sonde_mul_size(SIZE_MAX / 2 + 1, 2, &out));
    assert_true(out == 77);
    assert_true(sonde_add_size(SIZE_MAX - 1, 1, &out) && out == SIZE_MAX);
    assert_true(sonde_mul_size(SIZE_MAX / 2, 2, &out) && out == SIZE_MAX - 1);
}

static void whole_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool good;
        int64_t value;
    } cases[] = {
        { "0", true, 0 },
        { "-0", true, 0 },
        { "00012", true, 12 },
        { "-15", true, -15 },
        { "9223372036854775807", true, INT64_MAX },
        { "-9223372036854775808", true, INT64_MIN },
        { "9223372036854775808", false, 0 },
        { "-9223372036854775809", false, 0 },
        { "99999999999999999999999", false, 0 },
        { "", false, 0 },
        { "-", false, 0 },
        { "+1", false, 0 },
        { " 1", false, 0 },
        { "1 ", false, 0 },
        { "1.0", false, 0 },
        { "0x10", false, 0 },
        { "1e3", false, 0 },
        { "--1", false, 0 },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t out = 77;
        bool good = sonde_parse_i64(cases[i].text, strlen(cases[i].text), &out);
        assert_int_equal(good, cases[i].good);
        assert_true(out == (good ? cases[i].value : 77));
    }
    int64_t out = 0;
    assert_true(sonde_parse_i64("12345", 2, &out) && out == 12);
    assert_false(sonde_parse_i64("1\0002", 3, &out));
}

static void real_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool good;
        double value;
    } cases[] = {
        { "0", true, 0 },
        { "1.5", true, 1.5 },
        { "-2.5e-3", true, -2.5e-3 },
        { ".5", true, 0.5 },
        { "5.", true, 5 },
        { "1E+2", true, 100 },
        { "1.7976931348623157e308", true, DBL_MAX },
        { "1.7976931348623159e308", false, 0 },
        { "1e309", false, 0 },
        { "-1e99999", false, 0 },
        { "1e-99999", true, 0 },
        { "4.9406564584124654e-324", true, 0x1p-1074 },
        { "2.2250738585072011e-308", true, 0x1.ffffffffffffep-1023 },
        { "9007199254740993", true, 9007199254740992.0 },
        { "", false, 0 },
        { ".", false, 0 },
        { "-", false, 0 },
        { "-.", false, 0 },
        { "1,5", false, 0 },
        { "+1", false, 0 },
        { " 1", false, 0 },
        { "1 ", false, 0 },
        { "1e", false, 0 },
        { "1e+", false, 0 },
        { "1.2.3", false, 0 },
        { "inf", false, 0 },
        { "nan", false, 0 },
        { "infinity", false, 0 },
        { "0x1p3", false, 0 },
        { "1f", false, 0 },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        double out = 77;
        bool good = sonde_parse_f64(cases[i].text, strlen(cases[i].text), &out);
        if (good != cases[i].good || out != (good ? cases[i].value : 77))
            fail_msg("\"%s\": %d %.17g", cases[i].text, good, out);
    }
    double out = 77;
    assert_true(sonde_parse_f64("1.55", 3, &out) && out == 1.5);
    assert_false(sonde_parse_f64("1\0", 2, &out));
    char longest[5000];
    memset(longest, '1', sizeof(longest));
    assert_false(sonde_parse_f64(longest, sizeof(longest), &out));
    assert_true(sonde_parse_f64(longest, 300, &out));
    check_close(out, 1e299 / 0.9, 1e285);
}

static void byte_sizes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool good;
        int64_t value;
    } cases[] = {
        { "0", true, 0 },
        { "4096", true, 4096 },
        { "1K", true, 1024 },
        { "512M", true, (int64_t)512 << 20 },
        { "1G", true, (int64_t)1 << 30 },
        { "1.5G", true, (int64_t)3 << 29 },
        { "0.0001K", true, 0 },
        { "2T", true, (int64_t)2 << 40 },
        { "8388607T", true, (int64_t)8388607 << 40 },
        { "8388608T", false, 0 },
        { "8388608.0T", false, 0 },
        { "9007199254740993K", false, 0 },
        { "9007199254740991K", true, (int64_t)9007199254740991 << 10 },
        { "-1", false, 0 },
        { "-1K", false, 0 },
        { "-0.0K", false, 0 },
        { "K", false, 0 },
        { "", false, 0 },
        { "1.5", false, 0 },
        { "1KB", false, 0 },
        { "1k", false, 0 },
        { "nanG", false, 0 },
        { "1 G", false, 0 },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t out = 77;
        bool good = sonde_parse_bytes(cases[i].text, strlen(cases[i].text), &out);
        if (good != cases[i].good || out != (good ? cases[i].value : 77))
            fail_msg("\"%s\": %d %" PRId64, cases[i].text, good, out);
    }
}

static void formats(void **state)
{
    (void)state;
    static const struct {
        double value;
        const char *nine, *exact;
    } cases[] = {
        { 0, "0", "0" },
        { -0.0, "-0", "-0" },
        { 0.1, "0.1", "0.10000000000000001" },
        { 1.0 / 3, "0.333333333", "0.33333333333333331" },
        { 1e300, "1e+300", "1.0000000000000001e+300" },
        { -123456789.5, "-123456790", "-123456789.5" },
        { (double)NAN, "nan", "nan" },
        { -(double)NAN, "nan", "nan" },
        { (double)INFINITY, "inf", "inf" },
        { -(double)INFINITY, "-inf", "-inf" },
        { -DBL_MAX, "-1.79769313e+308", "-1.7976931348623157e+308" },
        { -0x1.ffffffffffffep-1023, "-2.22507386e-308", "-2.2250738585072009e-308" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[SONDE_FORMAT_F64_MAX];
        assert_int_equal(sonde_format_f64(text, cases[i].value), strlen(cases[i].nine));
        assert_string_equal(text, cases[i].nine);
        assert_int_equal(sonde_format_f64_exact(text, cases[i].value), strlen(cases[i].exact));
        assert_string_equal(text, cases[i].exact);
    }
}

static void byte_sizes_for_people(void **state)
{
    (void)state;
    static const struct {
        int64_t bytes;
        const char *text;
    } cases[] = {
        { 0, "0 B" },
        { 512, "512 B" },
        { 1023, "1023 B" },
        { 1024, "1 KiB" },
        { 12 * 1024, "12 KiB" },
        { 1536, "1.5 KiB" },
        { (int64_t)3 << 29, "1.5 GiB" },
        { 1048575, "1 MiB" },
        { -2048, "-2 KiB" },
        { INT64_MAX, "8 EiB" },
        { INT64_MIN, "-8 EiB" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[SONDE_FORMAT_F64_MAX];
        assert_int_equal(sonde_format_bytes(text, cases[i].bytes), strlen(cases[i].text));
        assert_string_equal(text, cases[i].text);
    }
}

/* Random bit patterns, so every exponent occurs: text and back must give the same bits. */
static void check_round_trip(uint64_t stream, int n)
{
    struct sonde_rng rng = sonde_rng_make(SONDE_SEED_DEFAULT, stream);
    for (int i = 0; i < n; i++) {
        uint64_t bits = sonde_rng_u64(&rng);
        double value, back = 0;
        memcpy(&value, &bits, sizeof(value));
        if (!isfinite(value))
            continue;
        char text[SONDE_FORMAT_F64_MAX];
        int length = sonde_format_f64_exact(text, value);
        if (!sonde_parse_f64(text, (size_t)length, &back) || memcmp(&back, &value, sizeof(back)))
            fail_msg("%a prints as %s and reads as %a", value, text, back);
    }
}

static void exact_text_reads_back(void **state)
{
    (void)state;
    check_round_trip(1, 100000);
}

static void *round_trip_thread(void *failed)
{
    struct sonde_rng rng = sonde_rng_make(SONDE_SEED_DEFAULT, 2);
    for (int i = 0; i < 20000; i++) {
        double value = sonde_rng_normal(&rng), back = 0;
        char text[SONDE_FORMAT_F64_MAX];
        int length = sonde_format_f64_exact(text, value);
        if (!sonde_parse_f64(text, (size_t)length, &back) || back != value)
            *(bool *)failed = true;
    }
    return NULL;
}

/* The locale with a decimal comma is compiled for the tests where its sources are installed. */
static void enter_comma_locale(void)
{
    static const char *const names[] = { "de_DE.UTF-8", "de_DE.utf8", "de_DE", "fr_FR.UTF-8" };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (setlocale(LC_ALL, names[i]) && strcmp(localeconv()->decimal_point, ",") == 0)
            return;
    }
    setlocale(LC_ALL, "C");
    fprintf(stderr, "# SKIP no locale with a decimal comma is here\n");
    skip();
}

static void a_comma_locale_changes_nothing(void **state)
{
    (void)state;
    enter_comma_locale();
    char text[SONDE_FORMAT_F64_MAX];
    snprintf(text, sizeof(text), "%.1f", 1.5);
    assert_string_equal(text, "1,5"); /* the locale is really on */
    formats(NULL);
    real_numbers(NULL);
    byte_sizes(NULL);
    byte_sizes_for_people(NULL);
    check_round_trip(3, 1000);
    bool failed[4] = { false };
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, round_trip_thread, &failed[i]), 0);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_false(failed[i]);
    }
    snprintf(text, sizeof(text), "%.1f", 1.5);
    assert_string_equal(text, "1,5"); /* and was given back */
    setlocale(LC_ALL, "C");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_and_products_are_checked),
        cmocka_unit_test(whole_numbers),
        cmocka_unit_test(real_numbers),
        cmocka_unit_test(byte_sizes),
        cmocka_unit_test(formats),
        cmocka_unit_test(byte_sizes_for_people),
        cmocka_unit_test(exact_text_reads_back),
        cmocka_unit_test(a_comma_locale_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
