#include "analysis/split.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "analysis/groups.h"
#include "core/base/num.h"
#include "core/base/rng.h"

/* A random order of the groups 0 .. n - 1, of their ascending numbers. NULL when memory is out. */
static int64_t *shuffled_groups(int64_t n, uint64_t seed, const char *stream)
{
    size_t bytes;
    if (!sonde_mul_size((size_t)n, sizeof(int64_t), &bytes))
        return NULL;
    int64_t *order = malloc(bytes ? bytes : 1);
    if (!order)
        return NULL;
    for (int64_t i = 0; i < n; i++)
        order[i] = i;
    struct sonde_rng rng = sonde_rng_make(seed, sonde_rng_stream(stream));
    sonde_rng_shuffle(&rng, order, n);
    return order;
}

enum sonde_status sonde_split_test(const int64_t *group, int64_t n, double test_share,
                                   uint64_t seed, uint8_t *side, struct sonde_error *error)
{
    if (!(test_share > 0 && test_share < 1))
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "test share %g, expected between 0 and 1", test_share);
    struct sonde_groups g;
    enum sonde_status status = sonde_groups_init(&g, group, n, error);
    if (status != SONDE_STATUS_OK)
        return status;
    if (g.n < 2) {
        status = sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                                 "%lld sequences, expected at least 2 to split into train and test",
                                 (long long)g.n);
        sonde_groups_finish(&g);
        return status;
    }
    int64_t *order = shuffled_groups(g.n, seed, "split");
    if (!order) {
        sonde_groups_finish(&g);
        return sonde_error_memory(error, "the split");
    }
    int64_t test = (int64_t)llround(test_share * (double)g.n);
    test = test < 1 ? 1 : test > g.n - 1 ? g.n - 1 : test;
    for (int64_t k = 0; k < g.n; k++)
        for (int64_t i = g.begin[order[k]]; i < g.begin[order[k] + 1]; i++)
            side[g.row[i]] = k < test;
    free(order);
    sonde_groups_finish(&g);
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_split_folds(const int64_t *group, int64_t n, int n_folds, uint64_t seed,
                                    int32_t *fold, struct sonde_error *error)
{
    if (n_folds < 2)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT, "%d folds, expected at least 2",
                               n_folds);
    struct sonde_groups g;
    enum sonde_status status = sonde_groups_init(&g, group, n, error);
    if (status != SONDE_STATUS_OK)
        return status;
    if (g.n < n_folds) {
        status = sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                                 "%lld sequences, expected at least %d for %d folds",
                                 (long long)g.n, n_folds, n_folds);
        sonde_groups_finish(&g);
        return status;
    }
    int64_t *order = shuffled_groups(g.n, seed, "folds");
    if (!order) {
        sonde_groups_finish(&g);
        return sonde_error_memory(error, "the folds");
    }
    for (int64_t k = 0; k < g.n; k++)
        for (int64_t i = g.begin[order[k]]; i < g.begin[order[k] + 1]; i++)
            fold[g.row[i]] = (int32_t)(k % n_folds);
    free(order);
    sonde_groups_finish(&g);
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_split_count_groups(const int64_t *group, int64_t n, int64_t *n_groups,
                                           struct sonde_error *error)
{
    struct sonde_groups g;
    enum sonde_status status = sonde_groups_init(&g, group, n, error);
    if (status != SONDE_STATUS_OK)
        return status;
    *n_groups = g.n;
    sonde_groups_finish(&g);
    return SONDE_STATUS_OK;
}

static int compare_key(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

enum sonde_status sonde_split_count_duplicates(const int64_t *group, const uint64_t *key,
                                               const uint8_t *side, int64_t n,
                                               int64_t *n_duplicates, struct sonde_error *error)
{
    struct sonde_groups g;
    enum sonde_status status = sonde_groups_init(&g, group, n, error);
    if (status != SONDE_STATUS_OK)
        return status;
    uint64_t *train = malloc(((size_t)g.n + 1) * sizeof(*train));
    if (!train) {
        sonde_groups_finish(&g);
        return sonde_error_memory(error, "duplicates");
    }
    int64_t n_train = 0, found = 0;
    for (int64_t k = 0; k < g.n; k++)
        if (!side[g.row[g.begin[k]]])
            train[n_train++] = key[g.row[g.begin[k]]];
    qsort(train, (size_t)n_train, sizeof(*train), compare_key);
    for (int64_t k = 0; k < g.n; k++) {
        int64_t row = g.row[g.begin[k]];
        if (side[row] && n_train > 0 &&
            bsearch(&key[row], train, (size_t)n_train, sizeof(*train), compare_key))
            found++;
    }
    free(train);
    sonde_groups_finish(&g);
    *n_duplicates = found;
    return SONDE_STATUS_OK;
}
