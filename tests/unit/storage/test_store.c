/* Writing and reading runs: round trips, commits, kills and resumes, several handles at once. */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sqlite3.h>

#include "core/base/rng.h"
#include "storage/layout.h"
#include "store_fixture.h"
#include "tests/support/check.h"

static void round_trip(enum sonde_codec codec)
{
    struct fixture f;
    fixture_init(&f);
    fixture_add_mixture(&f);
    f.codec = codec;
    fixture_record(&f, "a", 40, 7);
    fixture_verify(&f, NULL, 40);
    assert_int_equal(fixture_check(f.path, true, NULL), 0);
    fixture_finish(&f);
}

static void test_round_trip(void **state)
{
    (void)state;
    round_trip(SONDE_CODEC_NONE);
}

static void test_round_trip_zlib(void **state)
{
    (void)state;
    round_trip(SONDE_CODEC_ZLIB);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_round_trip_zlib),
    };
    return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
