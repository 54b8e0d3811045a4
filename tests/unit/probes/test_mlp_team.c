/* Threads that help with one fit: every part of the work is done once, and no bit shows who did it.
 */
#include <pthread.h>
#include <string.h>

#include "core/base/rng.h"
#include "core/base/thread.h"
#include "probes/mlp_fit.h"
#include "tests/support/check.h"

static void *help(void *team)
{
    sonde_mlp_team_help(team);
    return NULL;
}

/* The weights of a fit, with n_threads - 1 helpers (0 = without a team). */
static void fit_with(const struct sonde_mlp_data *data, int n_threads, struct sonde_mlp_fit *out)
{
    struct sonde_error error = { 0 };
    struct sonde_mlp_team team;
    pthread_t thread[4];
    const struct sonde_mlp_options options = { .hidden = { 2, { 130, 70 } },
                                               .rule = sonde_update_defaults(SONDE_UPDATE_ADAM),
                                               .batch = 100,
                                               .epochs = 3,
                                               .patience = -1,
                                               .last = true,
                                               .seed = 9,
                                               .team = n_threads ? &team : NULL };
    sonde_mlp_team_init(&team, n_threads);
    for (int i = 1; i < n_threads; i++)
        assert_int_equal(sonde_thread_start(&thread[i], help, &team), 0);
    check_ok(sonde_mlp_train(data, &options, out, &error), &error);
    sonde_mlp_team_end(&team);
    for (int i = 1; i < n_threads; i++)
        pthread_join(thread[i], NULL);
}

/* Products, updates and rows of these sizes are cut into as many parts as there are threads. */
static void helpers_change_no_bit(void **state)
{
    (void)state;
    enum { N = 730, D = 97, K = 5 };
    struct sonde_rng rng = sonde_rng_make(11, 0);
    float *x = malloc(sizeof(float) * N * D);
    int64_t sample[N];
    int32_t target[N];
    assert_non_null(x);
    for (int64_t i = 0; i < N * D; i++)
        x[i] = (float)sonde_rng_normal(&rng);
    for (int i = 0; i < N; i++) {
        sample[i] = i;
        target[i] = (int32_t)sonde_rng_below(&rng, K);
    }
    const struct sonde_mlp_data data = { .x = x,
                                         .width = D,
                                         .train = sample,
                                         .n_train = 520,
                                         .validation = sample + 520,
                                         .n_validation = 110,
                                         .test = sample + 630,
                                         .n_test = 100,
                                         .target = target,
                                         .n_targets = K };
    struct sonde_mlp_fit alone;
    fit_with(&data, 0, &alone);
    for (int n_threads = 1; n_threads <= 4; n_threads++) {
        struct sonde_mlp_fit fit;
        fit_with(&data, n_threads, &fit);
        assert_memory_equal(fit.net.parameter, alone.net.parameter,
                            (size_t)alone.net.n_parameters * sizeof(float));
        assert_memory_equal(fit.epoch, alone.epoch, 3 * sizeof(*alone.epoch));
        assert_memory_equal(fit.predicted, alone.predicted, 100 * sizeof(*alone.predicted));
        sonde_mlp_fit_finish(&fit);
    }
    sonde_mlp_fit_finish(&alone);
    free(x);
}

static void count_part(void *ctx, int64_t i)
{
    int *counts = ctx;
    counts[i]++;
}

/* Every part is done once, whatever their number, in each of many rounds. */
static void teams_do_every_part_once(void **state)
{
    (void)state;
    enum { ROUNDS = 20000 };
    static const int64_t sizes[] = { 0, 1, 2, 3, 7, 64 };
    struct sonde_mlp_team team;
    pthread_t thread[3];
    sonde_mlp_team_init(&team, 4);
    assert_int_equal(sonde_mlp_team_threads(&team), 4);
    assert_int_equal(sonde_mlp_team_threads(NULL), 1);
    for (int i = 0; i < 3; i++)
        assert_int_equal(sonde_thread_start(&thread[i], help, &team), 0);
    for (int round = 0; round < ROUNDS; round++) {
        int counts[65] = { 0 };
        const int64_t n = sizes[round % 6];
        sonde_mlp_team_run(&team, n, count_part, counts);
        for (int64_t i = 0; i < 65; i++)
            assert_int_equal(counts[i], i < n);
    }
    sonde_mlp_team_end(&team);
    for (int i = 0; i < 3; i++)
        pthread_join(thread[i], NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(teams_do_every_part_once),
        cmocka_unit_test(helpers_change_no_bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
