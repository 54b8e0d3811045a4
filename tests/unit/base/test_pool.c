#include "core/base/pool.h"

#include <string.h>

#include "core/base/progress.h"
#include "core/base/rng.h"
#include "tests/support/check.h"

enum { N_TASKS = 257, WIDTH = 33 };

struct work {
    double *partial; /* [N_TASKS, WIDTH] */
    int *visits;     /* [N_TASKS] */
    int n_threads;
    int bad_worker;
    int per_worker[8]; /* written by its own worker only */
};

static void do_task(void *ctx, int64_t i, int worker)
{
    struct work *work = ctx;
    if (worker < 0 || worker >= work->n_threads) {
        work->bad_worker = 1;
        return;
    }
    work->visits[i]++;
    work->per_worker[worker]++;
    struct sonde_rng rng = sonde_rng_make(9, (uint64_t)i);
    for (int j = 0; j < WIDTH; j++)
        work->partial[i * WIDTH + j] = sonde_rng_normal(&rng) * pow(10, (double)(i % 17));
}

static void run_work(struct sonde_pool *pool, double out[WIDTH])
{
    static const int64_t sizes[] = { N_TASKS, 0, 1, 2, 3, N_TASKS };
    struct work work = { .n_threads = sonde_pool_threads(pool) };
    work.partial = calloc((size_t)N_TASKS * WIDTH, sizeof(*work.partial));
    work.visits = calloc(N_TASKS, sizeof(*work.visits));
    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
        memset(work.visits, 0, N_TASKS * sizeof(*work.visits));
        sonde_pool_run(pool, sizes[s], do_task, &work);
        for (int64_t i = 0; i < N_TASKS; i++)
            assert_int_equal(work.visits[i], i < sizes[s]);
    }
    assert_false(work.bad_worker);
    sonde_reduce_f64(out, work.partial, N_TASKS, WIDTH);
    free(work.partial);
    free(work.visits);
}

static void results_do_not_depend_on_threads(void **state)
{
    (void)state;
    double expected[WIDTH], out[WIDTH];
    run_work(NULL, expected);
    for (int n = 1; n <= 4; n++) {
        struct sonde_error error = { 0 };
        struct sonde_pool *pool = NULL;
        check_ok(sonde_pool_create(&pool, n, &error), &error);
        assert_int_equal(sonde_pool_threads(pool), n);
        run_work(pool, out);
        assert_memory_equal(out, expected, sizeof(out));
        sonde_pool_destroy(&pool);
        assert_null(pool);
    }
}

static void count_task(void *ctx, int64_t i, int worker)
{
    (void)i;
    ((struct work *)ctx)->per_worker[worker]++;
}

/* The split is static: worker w gets every n-th task, round after round. */
static void shares_are_even_round_after_round(void **state)
{
    (void)state;
    struct sonde_error error = { 0 };
    struct sonde_pool *pool = NULL;
    check_ok(sonde_pool_create(&pool, 4, &error), &error);
    struct work work = { .n_threads = 4 };
    for (int round = 1; round <= 2000; round++)
        sonde_pool_run(pool, 10, count_task, &work);
    static const int expected[4] = { 6000, 6000, 4000, 4000 };
    assert_memory_equal(work.per_worker, expected, sizeof(expected));
    sonde_pool_destroy(&pool);
}

static void bad_numbers_of_threads(void **state)
{
    (void)state;
    static const int cases[] = { -1, 1025, INT32_MAX, INT32_MIN };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sonde_error error = { 0 };
        struct sonde_pool *pool = NULL;
        assert_int_equal(sonde_pool_create(&pool, cases[i], &error), SONDE_STATUS_ARGUMENT);
        assert_null(pool);
        assert_non_null(strstr(error.text, "1024"));
    }
    struct sonde_error error = { 0 };
    struct sonde_pool *pool = NULL;
    check_ok(sonde_pool_create(&pool, 0, &error), &error);
    assert_true(sonde_pool_threads(pool) >= 1);
    sonde_pool_destroy(&pool);
    sonde_pool_destroy(&pool);
    assert_int_equal(sonde_pool_threads(NULL), 1);
}

static void reduction_is_ordered(void **state)
{
    (void)state;
    /* 1 is lost beside 1e17 but not after it is gone: only the stated order gives these sums. */
    const double partial[] = { 1e17, 1, /**/ 1, 1e17, /**/ -1e17, -1e17 }; /* [3, 2] */
    double out[2];
    sonde_reduce_f64(out, partial, 3, 2);
    assert_true(out[0] == (1e17 + 1) - 1e17);
    assert_true(out[1] == (1 + 1e17) - 1e17);
    sonde_reduce_f64(out, partial, 0, 2);
    assert_true(out[0] == 0 && out[1] == 0);
}

static bool stop_at_three(void *ctx, const char *what, int64_t done, int64_t total,
                          const char *unit)
{
    assert_string_equal(what, "fit");
    assert_string_equal(unit, "row");
    assert_int_equal(total, 9);
    *(int64_t *)ctx = done;
    return done < 3;
}

static void progress_passes_through(void **state)
{
    (void)state;
    int64_t seen = 0;
    struct sonde_progress progress = { &seen, stop_at_three };
    assert_true(sonde_progress_update(&progress, "fit", 2, 9, "row"));
    assert_int_equal(seen, 2);
    assert_false(sonde_progress_update(&progress, "fit", 3, 9, "row"));
    assert_true(sonde_progress_update(NULL, "fit", 3, 9, "row"));
    struct sonde_progress none = { 0 };
    assert_true(sonde_progress_update(&none, "fit", 3, 9, "row"));
}

/* Threads 1 and 2 lend themselves to the pool that thread 0 owns, for several periods. */
struct lending {
    struct sonde_pool *open;
    double got[WIDTH], alone[WIDTH];
    bool refused;
};

enum { PERIODS = 20 };

static void lend_or_own(void *ctx, int64_t i, int worker)
{
    struct lending *l = ctx;
    (void)worker;
    for (int period = 0; period < PERIODS; period++) {
        while (i > 0 && sonde_pool_period(l->open) == (uint64_t)period)
            (void)sonde_pool_lend(l->open, (uint64_t)period);
        if (i > 0)
            continue;
        assert_int_equal(sonde_pool_threads(l->open), 1);
        while (sonde_pool_threads(l->open) < 3) {
            run_work(l->open, l->got); /* while they come */
            sonde_pool_gather(l->open);
        }
        run_work(l->open, l->got);
        l->refused = !sonde_pool_lend(l->open, (uint64_t)period); /* no place is left */
        assert_true(sonde_pool_dismiss(l->open));
        assert_memory_equal(l->got, l->alone, sizeof(l->got));
    }
}

static void others_lend_themselves(void **state)
{
    (void)state;
    struct lending l = { 0 };
    struct sonde_error error = { 0 };
    struct sonde_pool *three = NULL;
    run_work(NULL, l.alone);
    check_ok(sonde_pool_create(&three, 3, &error), &error);
    check_ok(sonde_pool_create_open(&l.open, 3, &error), &error);
    sonde_pool_run(three, 3, lend_or_own, &l);
    assert_true(l.refused);
    assert_false(sonde_pool_lend(l.open, PERIODS - 1)); /* that period is over */
    assert_false(sonde_pool_dismiss(l.open));
    run_work(l.open, l.got);
    assert_memory_equal(l.got, l.alone, sizeof(l.got));
    sonde_pool_gather(three); /* not open: nothing happens */
    assert_int_equal(sonde_pool_threads(three), 3);
    sonde_pool_destroy(&l.open);
    sonde_pool_destroy(&three);
    assert_int_equal(sonde_pool_create_open(&l.open, 0, &error), SONDE_STATUS_ARGUMENT);
    assert_null(l.open);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(results_do_not_depend_on_threads),
        cmocka_unit_test(others_lend_themselves),
        cmocka_unit_test(shares_are_even_round_after_round),
        cmocka_unit_test(bad_numbers_of_threads),
        cmocka_unit_test(reduction_is_ordered),
        cmocka_unit_test(progress_passes_through),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
