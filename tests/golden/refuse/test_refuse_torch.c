/* PyTorch checkpoints that must be refused, with the exact message, and damage everywhere: cut off
 * at every byte, every byte changed. The first argument is the folder of make_torch.py. */
#define _GNU_SOURCE /* memfd_create: a file without a disk */

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/file.h"
#include "core/model/torch_file.h"
#include "tests/support/check.h"

enum { FILE_MAX = 1 << 20 };

static char *load(const char *folder, const char *name, size_t *n)
{
    struct sonde_buf text = { 0 };
    struct sonde_error error = { 0 };
    char *path = sonde_path_join(folder, name);
    check_ok(sonde_file_load(path, FILE_MAX, &text, &error), &error);
    free(path);
    *n = text.size;
    return text.data;
}

static void check_refused(const char *folder, const char *name, const char *message)
{
    struct sonde_torch_file *file = NULL;
    struct sonde_error error = { 0 };
    char *path = sonde_path_join(folder, name), wanted[2048];
    assert_int_equal(message[0], '@');
    snprintf(wanted, sizeof wanted, "%s%s", path, message + 1);
    enum sonde_status status = sonde_torch_open(&file, path, &error);
    if (status == SONDE_STATUS_OK || status != error.status || file ||
        strcmp(error.text, wanted) != 0) {
        fprintf(stderr, "# %s: \"%s\", expected \"%s\"\n", name, error.text, wanted);
        fail();
    }
    free(path);
}

static void test_refusals(void **state)
{
    size_t n = 0;
    int n_cases = 0;
    char *table = load(*state, "refused.tsv", &n);
    for (char *line = table; *line; n_cases++) {
        char *message = strchr(line, '\t'), *end = strchr(line, '\n');
        *message = *end = '\0';
        check_refused(*state, line, message + 1);
        line = end + 1;
    }
    free(table);
    assert_true(n_cases >= 130);
}

/* Opens what is in memory as a file; true where it opens. A refusal must have words. */
static bool opens(const char *data, size_t n)
{
    struct sonde_torch_file *file = NULL;
    struct sonde_error error = { 0 };
    char path[64];
    int fd = memfd_create("refuse", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, n), n);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    enum sonde_status status = sonde_torch_open(&file, path, &error);
    assert_int_equal(status, error.status);
    assert_true(status == SONDE_STATUS_OK || error.text[0]);
    sonde_torch_close(&file);
    close(fd);
    return status == SONDE_STATUS_OK;
}

static void test_cut_off(void **state)
{
    size_t n = 0;
    char *data = load(*state, "fine.pt", &n);
    assert_true(opens(data, n));
    for (size_t i = 0; i < n; i++) {
        assert_false(opens(data, i));
    }
    free(data);
}

/* A changed byte of a tensor or of a checksum is not seen; all others are refused or mean another
 * file. */
static void test_changed(void **state)
{
    static const unsigned char masks[] = { 0xff, 0x01, 0x80 };
    size_t n = 0;
    int n_opened = 0;
    char *data = load(*state, "fine.pt", &n);
    for (size_t i = 0; i < n; i++) {
        for (size_t m = 0; m < sizeof masks; m++) {
            data[i] = (char)((unsigned char)data[i] ^ masks[m]);
            n_opened += opens(data, n);
            data[i] = (char)((unsigned char)data[i] ^ masks[m]);
        }
    }
    free(data);
    assert_true(n_opened > 0 && n_opened < (int)n);
}

static bool reads(const char *data, size_t n)
{
    const struct sonde_pickle_value *root = NULL;
    struct sonde_error error = { 0 };
    struct sonde_arena *arena = sonde_arena_create(0);
    char *exact = malloc(n + !n); /* its own block: a sanitizer sees a read past the end */
    assert_non_null(arena);
    assert_non_null(exact);
    memcpy(exact, data, n);
    enum sonde_status status = sonde_pickle_read(arena, (const uint8_t *)exact, n, &root, &error);
    assert_true(status == SONDE_STATUS_OK ? root != NULL : error.text[0] && !root);
    free(exact);
    sonde_arena_destroy(&arena);
    return status == SONDE_STATUS_OK;
}

static void test_pickle_cut_off(void **state)
{
    static const char *const names[] = { "plain2.pkl", "plain3.pkl", "plain4.pkl", "plain5.pkl",
                                         "nested.pkl" };
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        size_t n = 0;
        char *data = load(*state, names[k], &n);
        assert_true(reads(data, n));
        for (size_t i = 0; i < n; i++) {
            assert_false(reads(data, i));
        }
        free(data);
    }
}

int main(int argc, char **argv)
{
    void *folder = argc > 1 ? argv[1] : NULL;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_refusals, folder),
        cmocka_unit_test_prestate(test_cut_off, folder),
        cmocka_unit_test_prestate(test_changed, folder),
        cmocka_unit_test_prestate(test_pickle_cut_off, folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
