/* Splits and bootstrap intervals: what draws whole groups. */
#include <math.h>
#include <string.h>

#include "analysis/groups.h"
#include "analysis/split.h"
#include "analysis/stats.h"
#include "core/base/rng.h"
#include "tests/support/check.h"

#define ROWS 5000

static void fill_groups(int64_t *group, int64_t n, int64_t n_groups, uint64_t seed)
{
    struct sonde_rng rng = sonde_rng_make(seed, 9);
    for (int64_t i = 0; i < n; i++)
        group[i] = 17 * sonde_rng_below(&rng, n_groups) - 400;
}

static void test_groups(void **state)
{
    (void)state;
    struct sonde_error error = { 0 };
    int64_t group[] = { 9, -5, 9, 9, -5, 100 }, row[] = { 1, 4, 0, 2, 3, 5 };
    struct sonde_groups g;
    check_ok(sonde_groups_init(&g, group, 6, &error), &error);
    assert_int_equal(g.n, 3);
    assert_memory_equal(g.row, row, sizeof(row));
    assert_int_equal(g.begin[1], 2);
    assert_int_equal(g.begin[3], 6);
    sonde_groups_finish(&g);
    check_ok(sonde_groups_init(&g, group, 0, &error), &error);
    assert_int_equal(g.n, 0);
    sonde_groups_finish(&g);
}

static void test_no_group_straddles(void **state)
{
    (void)state;
    struct sonde_error error = { 0 };
    static int64_t group[ROWS];
    static uint8_t side[ROWS];
    static int32_t fold[ROWS];
    fill_groups(group, ROWS, 101, 4);
    check_ok(sonde_split_test(group, ROWS, 0.2, 42, side, &error), &error);
    check_ok(sonde_split_folds(group, ROWS, 5, 42, fold, &error), &error);
    int of_group[101], fold_of[101], test_groups = 0, size[5] = { 0 };
    memset(of_group, -1, sizeof(of_group));
    for (int i = 0; i < ROWS; i++) {
        int64_t g = (group[i] + 400) / 17;
        assert_true(of_group[g] == -1 || (of_group[g] == side[i] && fold_of[g] == fold[i]));
        if (of_group[g] == -1) {
            test_groups += side[i];
            size[fold[i]]++;
        }
        of_group[g] = side[i];
        fold_of[g] = fold[i];
    }
    assert_int_equal(test_groups, 20);
    for (int k = 0; k < 5; k++)
        assert_true(size[k] == 20 || size[k] == 21);
}

static void test_split_depends_on_groups_and_seed_alone(void **state)
{
    (void)state;
    struct sonde_error error = { 0 };
    static int64_t group[ROWS], reversed[ROWS];
    static uint8_t side[ROWS], back[ROWS], other[ROWS];
    fill_groups(group, ROWS, 50, 5);
    for (int i = 0; i < ROWS; i++)
        reversed[ROWS - 1 - i] = group[i];
    check_ok(sonde_split_test(group, ROWS, 0.3, 7, side, &error), &error);
    check_ok(sonde_split_test(reversed, ROWS, 0.3, 7, back, &error), &error);
    for (int i = 0; i < ROWS; i++)
        assert_int_equal(side[i], back[ROWS - 1 - i]);
    check_ok(sonde_split_test(group, ROWS, 0.3, 8, other, &error), &error);
    assert_true(memcmp(side, other, ROWS) != 0);
}

static void test_split_refuses(void **state)
{
    (void)state;
    struct sonde_error error = { 0 };
    int64_t one[] = { 3, 3, 3 }, two[] = { 3, 4, 3 };
    uint8_t side[3] = { 9, 9, 9 };
    int32_t fold[3];
    assert_int_equal(sonde_split_test(one, 3, 0.5, 1, side, &error), SONDE_STATUS_ARGUMENT);
    assert_string_equal(error.text,
                        "1 sequences, expected at least 2 to split into train and test");
    assert_int_equal(side[0], 9);
    assert_int_equal(sonde_split_test(two, 3, 1, 1, side, &error), SONDE_STATUS_ARGUMENT);
    assert_int_equal(sonde_split_test(two, 3, (double)NAN, 1, side, &error), SONDE_STATUS_ARGUMENT);
    assert_int_equal(sonde_split_folds(two, 3, 3, 1, fold, &error), SONDE_STATUS_ARGUMENT);
    assert_string_equal(error.text, "2 sequences, expected at least 3 for 3 folds");
    assert_int_equal(sonde_split_folds(two, 3, 1, 1, fold, &error), SONDE_STATUS_ARGUMENT);
    /* the smallest split has one group on either side, whatever the share */
    check_ok(sonde_split_test(two, 3, 0.001, 1, side, &error), &error);
    assert_true(side[0] == side[2] && side[0] != side[1]);
}

static void test_duplicates(void **state)
{
    (void)state;
    struct sonde_error error = { 0 };
    int64_t group[] = { 0, 0, 1, 2, 3, 4 }, n;
    uint64_t key[] = { 11, 11, 22, 11, 33, 22 };
    uint8_t side[] = { 0, 0, 0, 1, 1, 1 };
    check_ok(sonde_split_count_duplicates(group, key, side, 6, &n, &error), &error);
    assert_int_equal(n, 2);
    check_ok(sonde_split_count_groups(group, 6, &n, &error), &error);
    assert_int_equal(n, 5);
    uint8_t all[] = { 1, 1, 1, 1, 1, 1 };
    check_ok(sonde_split_count_duplicates(group, key, all, 6, &n, &error), &error);
    assert_int_equal(n, 0);
}

static double mean_of(void *ctx, const int64_t *row, int64_t n)
{
    const double *value = ctx;
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += value[row[i]];
    return sum / (double)n;
}

static void test_bootstrap_of_a_mean(void **state)
{
    (void)state;
    struct sonde_error error = { 0 };
    static double value[4000];
    static int64_t group[4000];
    struct sonde_rng rng = sonde_rng_make(3, 3);
    for (int i = 0; i < 4000; i++) {
        value[i] = sonde_rng_normal(&rng);
        group[i] = i / 10; /* 400 groups of ten independent rows */
    }
    struct sonde_bootstrap_options options = { .n_samples = 2000, .seed = 42 };
    double low, high, low2, high2;
    check_ok(sonde_stats_bootstrap_mean(value, group, 4000, &options, &low, &high, &error), &error);
    check_ok(sonde_stats_bootstrap(mean_of, value, group, 4000, &options, &low2, &high2, &error),
             &error);
    /* both draw the same groups; sums in another order */
    check_close(low, low2, 1e-12);
    check_close(high, high2, 1e-12);
    /* half the width of the normal interval is 1.96 / sqrt(4000) = 0.031; the spread of 400 groups
     * and of 2000 samples' percentiles is a twentieth each */
    check_close((high - low) / 2, 1.959964 / sqrt(4000), 0.2 * 0.031);
    double mean = sonde_stats_mean(value, 4000);
    assert_true(low < mean && mean < high);
}

/* Rows that repeat each other carry no more than one of them: the interval must not get narrower.
 */
static void test_bootstrap_draws_groups(void **state)
{
    (void)state;
    struct sonde_error error = { 0 };
    static double value[2000];
    static int64_t group[2000];
    struct sonde_rng rng = sonde_rng_make(4, 3);
    for (int g = 0; g < 100; g++) {
        double v = sonde_rng_normal(&rng);
        for (int k = 0; k < 20; k++) {
            value[20 * g + k] = v;
            group[20 * g + k] = g;
        }
    }
    struct sonde_bootstrap_options options = { .seed = 42 };
    double low, high;
    check_ok(sonde_stats_bootstrap_mean(value, group, 2000, &options, &low, &high, &error), &error);
    check_close((high - low) / 2, 1.959964 / sqrt(100), 0.25 * 0.196);
    int64_t one[3] = { 1, 1, 1 };
    check_ok(sonde_stats_bootstrap_mean(value, one, 3, &options, &low, &high, &error), &error);
    assert_true(isnan(low) && isnan(high));
    options.level = 1.5;
    assert_int_equal(sonde_stats_bootstrap_mean(value, group, 2000, &options, &low, &high, &error),
                     SONDE_STATUS_ARGUMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_no_group_straddles),
        cmocka_unit_test(test_split_depends_on_groups_and_seed_alone),
        cmocka_unit_test(test_split_refuses),
        cmocka_unit_test(test_duplicates),
        cmocka_unit_test(test_bootstrap_of_a_mean),
        cmocka_unit_test(test_bootstrap_draws_groups),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
