/* For fopencookie. */
#define _GNU_SOURCE /* NOLINT(bugprone-reserved-identifier) */

#include <stdio.h>
#include <string.h>

#include "tests/support/check.h"

/* A stream that collects lines and passes each on to `out`. */
struct lines {
    FILE *out;
    char text[8192];
    size_t used;
};

static void pass_on(struct lines *lines)
{
    unsigned number;
    int length = 0;
    lines->text[lines->used] = '\0';
    /* %n is reached only where all before it matched. */
    bool skipped = sscanf(lines->text, "not ok %u # SKIP%n", &number, &length) == 1 && length > 0;
    fputs(lines->text + (skipped ? strlen("not ") : 0), lines->out);
    fflush(lines->out);
    lines->used = 0;
}

static ssize_t take(void *cookie, const char *data, size_t n)
{
    struct lines *lines = cookie;
    for (size_t i = 0; i < n; i++) {
        lines->text[lines->used++] = data[i];
        if (data[i] == '\n' || lines->used + 1 == sizeof(lines->text))
            pass_on(lines);
    }
    return (ssize_t)n;
}

int check_run_tests(const char *name, const struct CMUnitTest *tests, size_t n,
                    CMFixtureFunction setup, CMFixtureFunction teardown)
{
    /* One a program, as stdout is. Stays open: what a test loads (libstdc++ behind oneDNN) may keep
     * stdout and flush it at the end of the program. */
    static struct lines lines;
    lines = (struct lines){ .out = stdout };
    FILE *stream = fopencookie(&lines, "w", (cookie_io_functions_t){ .write = take });
    if (stream) {
        setvbuf(stream, NULL, _IOLBF, 4096);
        stdout = stream;
    }
    int n_failed = _cmocka_run_group_tests(name, tests, n, setup, teardown);
    if (stream) {
        fflush(stream);
        stdout = lines.out;
        pass_on(&lines);
    }
    return n_failed;
}
