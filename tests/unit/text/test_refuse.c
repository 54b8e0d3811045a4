/* Every file of the must-refuse corpus gives its one line and nothing else. The first argument is
 * the corpus, made by tests/golden/refuse/make_tokenizer.py. */
#include "tests/support/check.h"

#include <string.h>

#include "core/base/file.h"
#include "core/text/tokenizer.h"

static void check_refused(const char *folder, const char *name, int64_t vocab_size,
                          const char *message)
{
    struct sonde_tokenizer *t = NULL;
    struct sonde_error error = { 0 };
    char wanted[2048] = "";
    size_t n = 0;

    char *path = sonde_path_join(folder, name);
    for (const char *c = message; *c; c++) {
        if (*c == '@')
            n += (size_t)snprintf(wanted + n, sizeof(wanted) - n, "%s", folder);
        else
            wanted[n++] = *c;
    }
    wanted[n] = '\0';
    enum sonde_status status = sonde_tokenizer_open(&t, path, vocab_size, &error);
    assert_int_not_equal(status, SONDE_STATUS_OK);
    assert_int_equal(status, error.status);
    assert_null(t);
    assert_string_equal(error.text, wanted);
    free(path);
}

static void each_file_has_its_message(void **state)
{
    const char *folder = *state;
    struct sonde_buf table = { 0 };
    struct sonde_error error = { 0 };
    int n_cases = 0;

    char *path = sonde_path_join(folder, "expected.tsv");
    check_ok(sonde_file_load(path, 1 << 20, &table, &error), &error);
    for (char *line = table.data; *line; n_cases++) {
        char *size = strchr(line, '\t'), *message = strchr(size + 1, '\t');
        char *end = strchr(message, '\n');
        *size = *message = *end = '\0';
        check_refused(folder, line, strtol(size + 1, NULL, 10), message + 1);
        line = end + 1;
    }
    assert_true(n_cases > 80);
    sonde_buf_finish(&table);
    free(path);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(each_file_has_its_message, argc > 1 ? argv[1] : NULL),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
