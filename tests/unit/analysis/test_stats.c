#include <math.h>
#include <string.h>

#include "analysis/stats.h"
#include "core/base/rng.h"
#include "tests/support/check.h"

#define EPS 2.220446049250313e-16

static void test_moments(void **state)
{
    (void)state;
    /* 1..n: mean (n + 1) / 2, variance n (n + 1) / 12 */
    double x[100];
    for (int i = 0; i < 100; i++)
        x[i] = i + 1;
    check_close(sonde_stats_mean(x, 100), 50.5, 0);
    check_close(sonde_stats_variance(x, 100), 100.0 * 101 / 12, 1e-10);
    /* a large offset must not destroy the variance: two passes lose about eps * n * spread */
    for (int i = 0; i < 100; i++)
        x[i] += 1e9;
    check_close(sonde_stats_variance(x, 100), 100.0 * 101 / 12, 1e-5);
    assert_true(isnan(sonde_stats_mean(x, 0)));
    assert_true(isnan(sonde_stats_variance(x, 1)));
    x[3] = (double)NAN;
    assert_true(isnan(sonde_stats_mean(x, 100)));
}

static void test_pearson(void **state)
{
    (void)state;
    double x[] = { 1, 2, 3, 4 }, up[] = { 3, 5, 7, 9 }, down[] = { 4, 3, 2, 1 };
    double y[] = { 1, 3, 2, 4 }, flat[] = { 0.1, 0.1, 0.1, 0.1 };
    check_close(sonde_stats_pearson(x, up, 4), 1, 4 * EPS);
    check_close(sonde_stats_pearson(x, down, 4), -1, 4 * EPS);
    /* sum of products of deviations 4, both sums of squares 5 */
    check_close(sonde_stats_pearson(x, y, 4), 0.8, 4 * EPS);
    assert_true(isnan(sonde_stats_pearson(x, flat, 4)));
    assert_true(isnan(sonde_stats_pearson(x, y, 1)));
}

static void test_r2(void **state)
{
    (void)state;
    double truth[] = { 1, 2, 3, 4 }, mean[] = { 2.5, 2.5, 2.5, 2.5 };
    double off[] = { 2, 2, 3, 3 }, far[] = { 4, 3, 2, 1 };
    check_close(sonde_stats_r2(truth, truth, 4), 1, 0);
    check_close(sonde_stats_r2(truth, mean, 4), 0, EPS);
    check_close(sonde_stats_r2(truth, off, 4), 1 - 2.0 / 5, 2 * EPS);
    check_close(sonde_stats_r2(truth, far, 4), -3, 8 * EPS);
    assert_true(isnan(sonde_stats_r2(mean, truth, 4)));
}

static void test_ranks_share_ties(void **state)
{
    (void)state;
    struct sonde_error error = { 0 };
    double x[] = { 30, 10, 20, 20, (double)INFINITY, 10, 10 };
    double expected[] = { 6, 2, 4.5, 4.5, 7, 2, 2 }, rank[7];
    check_ok(sonde_stats_ranks(x, 7, rank, &error), &error);
    for (int i = 0; i < 7; i++)
        check_close(rank[i], expected[i], 0);
    check_ok(sonde_stats_ranks(x, 0, rank, &error), &error);
}

static void test_spearman(void **state)
{
    (void)state;
    struct sonde_error error = { 0 };
    double r, x[] = { 1, 2, 3, 4, 5 }, curved[] = { 1, 8, 27, 64, 125 };
    check_ok(sonde_stats_spearman(x, curved, 5, &r, &error), &error);
    check_close(r, 1, 4 * EPS);
    /* no ties: 1 - 6 sum d^2 / (n (n^2 - 1)), d = 0 1 1 1 1 in some order */
    double swapped[] = { 1, 3, 2, 5, 4 };
    check_ok(sonde_stats_spearman(x, swapped, 5, &r, &error), &error);
    check_close(r, 1 - 6.0 * 4 / (5 * 24), 4 * EPS);
    /* ties: ranks 1.5 1.5 3 against 1 2 3: covariance 1.5, squares 1.5 and 2 */
    double tied[] = { 7, 7, 9 };
    check_ok(sonde_stats_spearman(tied, x, 3, &r, &error), &error);
    check_close(r, 1.5 / sqrt(1.5 * 2), 4 * EPS);
    double missing[] = { 1, (double)NAN, 3 };
    check_ok(sonde_stats_spearman(missing, x, 3, &r, &error), &error);
    assert_true(isnan(r));
}

static void test_quantiles(void **state)
{
    (void)state;
    struct sonde_error error = { 0 };
    double x[] = { 40, 10, 30, 20 }, q;
    const struct {
        double q, expected;
    } known[] = { { 0, 10 }, { 1, 40 }, { 0.5, 25 }, { 0.25, 17.5 }, { 1.0 / 3, 20 } };
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        check_ok(sonde_stats_quantile(x, 4, known[i].q, &q, &error), &error);
        check_close(q, known[i].expected, 1e-13);
    }
    assert_true(x[0] == 40); /* the input stays as it was */
    check_ok(sonde_stats_quantile(x, 0, 0.5, &q, &error), &error);
    assert_true(isnan(q));
    check_ok(sonde_stats_quantile(x, 4, 1.5, &q, &error), &error);
    assert_true(isnan(q));
    double tail[] = { 1, 2, (double)INFINITY };
    check_close(sonde_stats_quantile_sorted(tail, 3, 0.5), 2, 0);
}

/* The area by counting every pair. */
static double pairs(const int32_t *truth, const double *score, int64_t n)
{
    double won = 0, all = 0;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++)
            if (truth[i] == 1 && truth[j] == 0) {
                won += score[i] > score[j] ? 1 : score[i] == score[j] ? 0.5 : 0;
                all += 1;
            }
    return won / all;
}

static void test_auroc(void **state)
{
    (void)state;
    struct sonde_error error = { 0 };
    struct sonde_rng rng = sonde_rng_make(1, 1);
    int32_t truth[300];
    double score[300], area;
    for (int i = 0; i < 300; i++) {
        truth[i] = (int32_t)sonde_rng_below(&rng, 3) - 1; /* a third is masked */
        score[i] = (double)sonde_rng_below(&rng, 20) + (truth[i] == 1 ? 6 : 0); /* many ties */
    }
    check_ok(sonde_stats_auroc(truth, score, 300, &area, &error), &error);
    check_close(area, pairs(truth, score, 300), 1e-12);
    /* 6 of 20 steps apart: 0.755, with a standard error of 0.035 */
    check_close(area, 0.755, 4 * 0.035);
    int32_t two[] = { 0, 1 }, one[] = { 1, 1 };
    double equal[] = { 5, 5 }, right[] = { 1, 2 }, bad[] = { 1, (double)NAN };
    check_ok(sonde_stats_auroc(two, equal, 2, &area, &error), &error);
    check_close(area, 0.5, 0);
    check_ok(sonde_stats_auroc(two, right, 2, &area, &error), &error);
    check_close(area, 1, 0);
    check_ok(sonde_stats_auroc(one, right, 2, &area, &error), &error);
    assert_true(isnan(area));
    check_ok(sonde_stats_auroc(two, bad, 2, &area, &error), &error);
    assert_true(isnan(area));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_moments),  cmocka_unit_test(test_pearson),
        cmocka_unit_test(test_r2),       cmocka_unit_test(test_ranks_share_ties),
        cmocka_unit_test(test_spearman), cmocka_unit_test(test_quantiles),
        cmocka_unit_test(test_auroc),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
