/* Small files for the readers' tests, in a folder of the test's own. */
#ifndef SONDE_TESTS_UNIT_CORPUS_CORPUS_FILES_H
#define SONDE_TESTS_UNIT_CORPUS_CORPUS_FILES_H

#include "tests/support/check.h"

#include <string.h>
#include <unistd.h>

#include "core/corpus/corpus.h"

struct test_file {
    char path[64];
};

static inline void make_file(struct test_file *file, const void *data, size_t n)
{
    strcpy(file->path, "sonde-corpus-XXXXXX");
    int descriptor = mkstemp(file->path);
    assert_true(descriptor >= 0);
    assert_int_equal(write(descriptor, data, n), n);
    assert_int_equal(close(descriptor), 0);
}

static inline void remove_file(struct test_file *file)
{
    assert_int_equal(unlink(file->path), 0);
}

/* The message behind the file's name. */
static inline void check_message(const struct test_file *file, const struct sonde_error *error,
                                 const char *expected)
{
    size_t n = strlen(file->path);
    assert_true(strncmp(error->text, file->path, n) == 0);
    assert_string_equal(error->text + n, expected);
}

#endif
