/* UTF-8: Unicode's own tables of what is well-formed, the replacement rule, and laws of normal
 * forms. */
#include "tests/support/check.h"

#include <string.h>

#include "core/base/rng.h"
#include "core/text/utf8.h"

static void every_code_point_reads_back(void **state)
{
    (void)state;
    for (int32_t code = 0; code <= 0x10FFFF; code++) {
        char bytes[4];
        int32_t back;
        if (code >= 0xD800 && code <= 0xDFFF)
            continue;
        size_t n = sonde_utf8_put(bytes, code);
        assert_int_equal(sonde_utf8_next(bytes, n, &back), n);
        assert_int_equal(back, code);
        assert_true(sonde_utf8_valid(bytes, n));
        for (size_t cut = 1; cut < n; cut++) { /* a cut character is one subpart of what is left */
            assert_int_equal(sonde_utf8_next(bytes, cut, &back), cut);
            assert_int_equal(back, -1);
        }
    }
}

/* Every two-byte string against a second statement of table 3-7. */
static void pairs_follow_the_table(void **state)
{
    (void)state;
    for (int a = 0; a < 256; a++) {
        for (int b = 0; b < 256; b++) {
            char text[2] = { (char)a, (char)b };
            bool ascii = a < 0x80 && b < 0x80;
            bool two = a >= 0xC2 && a <= 0xDF && b >= 0x80 && b <= 0xBF;
            assert_int_equal(sonde_utf8_valid(text, 2), ascii || two);
        }
    }
}

static void replacement_follows_the_standard(void **state)
{
    (void)state;
    static const struct {
        const char *name, *in, *out;
    } cases[] = {
        { "Unicode 15, table 3-8", "\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41",
          "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"
          "\xEF\xBF\xBD\x41" },
        { "table 3-9, surrogates", "\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41",
          "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"
          "\xEF\xBF\xBD\x41" },
        { "table 3-10, other", "\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42",
          "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\x41\xEF\xBF\xBD\xEF\xBF\xBD"
          "\x42" },
        { "table 3-11, truncated", "\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41",
          "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\x41" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sonde_buf out = { 0 };
        assert_true(sonde_utf8_append_lossy(&out, cases[i].in, strlen(cases[i].in)));
        assert_string_equal(out.data, cases[i].out);
        sonde_buf_finish(&out);
    }
}

static void check_form(const char *in, enum sonde_utf8_form form, const char *expected)
{
    struct sonde_error error = { 0 };
    struct sonde_buf out = { 0 };
    check_ok(sonde_utf8_normalize(&out, in, strlen(in), form, &error), &error);
    assert_string_equal(out.data, expected);
    sonde_buf_finish(&out);
}

static void normal_forms_of_known_strings(void **state)
{
    (void)state;
    check_form("e\xCC\x81", SONDE_UTF8_NFC, "\xC3\xA9");
    check_form("\xC3\xA9", SONDE_UTF8_NFD, "e\xCC\x81");
    /* U+1E9B U+0323, figure 6 of UAX 15 */
    check_form("\xE1\xBA\x9B\xCC\xA3", SONDE_UTF8_NFC, "\xE1\xBA\x9B\xCC\xA3");
    check_form("\xE1\xBA\x9B\xCC\xA3", SONDE_UTF8_NFD, "\xC5\xBF\xCC\xA3\xCC\x87");
    check_form("\xE1\xBA\x9B\xCC\xA3", SONDE_UTF8_NFKC, "\xE1\xB9\xA9");
    check_form("\xE1\xBA\x9B\xCC\xA3", SONDE_UTF8_NFKD, "s\xCC\xA3\xCC\x87");
    /* conjoining jamo: U+1112 U+1161 U+11AB is U+D55C */
    check_form("\xE1\x84\x92\xE1\x85\xA1\xE1\x86\xAB", SONDE_UTF8_NFC, "\xED\x95\x9C");
    check_form("\xEF\xAC\x81", SONDE_UTF8_NFKC, "fi");
}

/* Law: the form of the whole is the concatenation of the forms of its pieces. */
static void pieces_normalise_by_themselves(void **state)
{
    (void)state;
    static const int32_t alphabet[] = { 'a',    'e',    ' ',     0xE9,   0x301,  0x323,  0x307,
                                        0x1E9B, 0x344,  0x1112,  0x1161, 0x11AB, 0xAC00, 0x9C7,
                                        0x9BE,  0x9D7,  0xFB01,  0x2460, 0xFF9E, 0xFF76, 0x314F,
                                        0x3131, 0x4E00, 0x1F600, 0xB47,  0xB3E,  0xF73,  0xF71,
                                        0xF72,  0x1025, 0x102E,  0x212B, 0xA8,   0x345 };
    struct sonde_rng rng = sonde_rng_make(SONDE_SEED_DEFAULT, sonde_rng_stream("pieces"));
    struct sonde_error error = { 0 };
    for (int round = 0; round < 20000; round++) {
        char text[64];
        size_t n = 0;
        int64_t length = 1 + sonde_rng_below(&rng, 12);
        enum sonde_utf8_form form = (enum sonde_utf8_form)sonde_rng_below(&rng, 4);
        struct sonde_buf whole = { 0 }, parts = { 0 };
        for (int64_t k = 0; k < length; k++)
            n += sonde_utf8_put(
                text + n, alphabet[sonde_rng_below(&rng, sizeof(alphabet) / sizeof(alphabet[0]))]);
        check_ok(sonde_utf8_normalize(&whole, text, n, form, &error), &error);
        for (size_t i = 0; i < n;) {
            bool changes;
            size_t piece = sonde_utf8_normal_piece(text + i, n - i, form, &changes);
            assert_in_range(piece, 1, n - i);
            if (changes)
                check_ok(sonde_utf8_normalize(&parts, text + i, piece, form, &error), &error);
            else
                sonde_buf_append(&parts, text + i, piece);
            i += piece;
        }
        assert_int_equal(whole.size, parts.size);
        assert_memory_equal(whole.data, parts.data, whole.size);
        sonde_buf_finish(&whole);
        sonde_buf_finish(&parts);
    }
}

/* A run of a million marks in falling order of class: quadratic sorting would take hours. */
static void many_marks_take_little_time(void **state)
{
    (void)state;
    struct sonde_error error = { 0 };
    struct sonde_buf text = { 0 }, out = { 0 };
    sonde_buf_putc(&text, 'a');
    for (int i = 0; i < 1000000; i++)
        sonde_buf_puts(&text, i % 2 ? "\xCC\xA3" : "\xCC\x81"); /* classes 220 and 230 */
    bool changes;
    assert_int_equal(sonde_utf8_normal_piece(text.data, text.size, SONDE_UTF8_NFD, &changes),
                     text.size);
    check_ok(sonde_utf8_normalize(&out, text.data, text.size, SONDE_UTF8_NFD, &error), &error);
    assert_int_equal(out.size, text.size);
    assert_memory_equal(out.data + 1, "\xCC\xA3\xCC\xA3", 4);
    assert_memory_equal(out.data + out.size - 2, "\xCC\x81", 2);
    sonde_buf_finish(&text);
    sonde_buf_finish(&out);
}

static void classes_of_characters(void **state)
{
    (void)state;
    assert_true(sonde_utf8_is_space(0x3000));
    assert_false(sonde_utf8_is_space(0x180E)); /* left White_Space with Unicode 6.3 */
    assert_false(sonde_utf8_is_space(0x200B));
    assert_true(sonde_utf8_is_numeric(0x2460));
    assert_true(sonde_utf8_is_numeric('7'));
    assert_false(sonde_utf8_is_numeric('x'));
    assert_true(sonde_utf8_is_word('_'));
    assert_false(sonde_utf8_is_word('-'));
    int32_t lower[2];
    assert_int_equal(sonde_utf8_lower(0x130, lower), 2);
    assert_int_equal(lower[1], 0x307);
    assert_int_equal(sonde_utf8_lower(0xC9, lower), 1);
    assert_int_equal(lower[0], 0xE9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_point_reads_back),
        cmocka_unit_test(pairs_follow_the_table),
        cmocka_unit_test(replacement_follows_the_standard),
        cmocka_unit_test(normal_forms_of_known_strings),
        cmocka_unit_test(pieces_normalise_by_themselves),
        cmocka_unit_test(many_marks_take_little_time),
        cmocka_unit_test(classes_of_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
