#include "core/base/base64.h"

#include <string.h>

#include "tests/support/check.h"

static void test_base64(void **state)
{
    (void)state;
    /* the examples of RFC 4648 */
    static const char *const known[][2] = {
        { "", "" },        { "f", "Zg==" },        { "fo", "Zm8=" },
        { "foo", "Zm9v" }, { "foob", "Zm9vYg==" }, { "foobar", "Zm9vYmFy" }
    };
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        struct sonde_buf out = { 0 }, back = { 0 };
        sonde_base64_encode(&out, known[i][0], strlen(known[i][0]));
        assert_string_equal(out.data ? out.data : "", known[i][1]);
        assert_true(sonde_base64_decode(&back, known[i][1], strlen(known[i][1])));
        assert_string_equal(back.data ? back.data : "", known[i][0]);
        sonde_buf_finish(&out);
        sonde_buf_finish(&back);
    }
    static const char *const bad[] = { "Zg", "Zg=", "Z===", "Zh==", "Zg==Zg==", "Zm9 ", "=Zg=" };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct sonde_buf back = { 0 };
        assert_false(sonde_base64_decode(&back, bad[i], strlen(bad[i])));
        sonde_buf_finish(&back);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_base64) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
