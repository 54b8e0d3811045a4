/*
 * Splits by group: all rows of a group (a sequence) fall on the same side, so that nothing of a
 * test sequence is seen in training. A function of (groups, seed) alone: neither the order of the
 * rows nor their number in a group changes where a group goes.
 */
#ifndef SONDE_ANALYSIS_SPLIT_H
#define SONDE_ANALYSIS_SPLIT_H

#include <stdint.h>

#include "core/base/status.h"

/*
 * side [n] becomes 1 (test) or 0 (train). round(test_share * groups) groups are test, at least one
 * on either side. group [n]: any numbers; test_share in (0, 1). ARGUMENT where there are fewer than
 * 2 groups.
 */
SONDE_MUST_USE enum sonde_status sonde_split_test(const int64_t *group, int64_t n,
                                                  double test_share, uint64_t seed, uint8_t *side,
                                                  struct sonde_error *error);

/* fold [n] becomes 0 .. n_folds - 1; folds differ by at most one group in size. ARGUMENT where
 * there are fewer groups than folds or n_folds < 2. */
SONDE_MUST_USE enum sonde_status sonde_split_folds(const int64_t *group, int64_t n, int n_folds,
                                                   uint64_t seed, int32_t *fold,
                                                   struct sonde_error *error);

/* The number of different groups. */
SONDE_MUST_USE enum sonde_status sonde_split_count_groups(const int64_t *group, int64_t n,
                                                          int64_t *n_groups,
                                                          struct sonde_error *error);

/*
 * Groups that are the same text on both sides of a split: key [n] is a hash of each row's content
 * (for one: token ids of the whole sequence on each of its rows), side [n] as above. Counts the
 * test groups whose key also occurs in training.
 */
SONDE_MUST_USE enum sonde_status
sonde_split_count_duplicates(const int64_t *group, const uint64_t *key, const uint8_t *side,
                             int64_t n, int64_t *n_duplicates, struct sonde_error *error);

#endif
