/* Small additions to cmocka: comparisons in double precision that print both sides, and the way to
 * reach test data outside the repository. */
#ifndef SONDE_TESTS_SUPPORT_CHECK_H
#define SONDE_TESTS_SUPPORT_CHECK_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

/* cmocka prints a skipped test as "not ok 1 # SKIP", which readers of TAP take for a failure. All
 * tests run through here and say "ok 1 # SKIP". */
int check_run_tests(const char *name, const struct CMUnitTest *tests, size_t n,
                    CMFixtureFunction setup, CMFixtureFunction teardown);
#undef cmocka_run_group_tests
#define cmocka_run_group_tests(tests, setup, teardown)                                             \
    check_run_tests(#tests, tests, sizeof(tests) / sizeof((tests)[0]), setup, teardown)

/* |a - b| <= tolerance, NaN never passes. */
#define check_close(a, b, tolerance)                                                               \
    check_close_at((double)(a), (double)(b), (double)(tolerance), __FILE__, __LINE__)
static inline void check_close_at(double a, double b, double tolerance, const char *file, int line)
{
    if (!(fabs(a - b) <= tolerance)) {
        fprintf(stderr, "# %s:%d: %.17g != %.17g (difference %.3g, tolerance %.3g)\n", file, line,
                a, b, fabs(a - b), tolerance);
        _fail(file, line);
    }
}

/* A sonde call that must succeed: prints its error otherwise. */
#define check_ok(call, error)                                                                      \
    do {                                                                                           \
        enum sonde_status check_status_ = (call);                                                  \
        if (check_status_ != SONDE_STATUS_OK) {                                                    \
            fprintf(stderr, "# %s:%d: %s\n", __FILE__, __LINE__, (error)->text);                   \
            _fail(__FILE__, __LINE__);                                                             \
        }                                                                                          \
    } while (0)

/* Path below ../shared in a buffer of the caller; skips the test (and says so) where it is absent.
 */
#define check_shared(buffer, relative)                                                             \
    do {                                                                                           \
        const char *check_root_ = getenv("SONDE_SHARED");                                          \
        snprintf((buffer), sizeof(buffer), "%s/%s", check_root_ ? check_root_ : "../shared",       \
                 (relative));                                                                      \
        FILE *check_file_ = fopen((buffer), "rb");                                                 \
        if (!check_file_) {                                                                        \
            fprintf(stderr, "# SKIP %s is not here\n", (buffer));                                  \
            skip();                                                                                \
        }                                                                                          \
        fclose(check_file_);                                                                       \
    } while (0)

#endif
