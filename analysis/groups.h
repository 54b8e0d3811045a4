/* Rows sorted by group: what splits and bootstraps share. */
#ifndef SONDE_ANALYSIS_GROUPS_H
#define SONDE_ANALYSIS_GROUPS_H

#include <stdint.h>

#include "core/base/status.h"

struct sonde_groups {
    int64_t n;      /* different groups */
    int64_t *row;   /* [rows] row indices, ordered by (group, row) */
    int64_t *begin; /* [n + 1] where each group starts in row */
};

/* group [rows]: any numbers. Groups are in ascending order of their number. */
SONDE_MUST_USE enum sonde_status sonde_groups_init(struct sonde_groups *g, const int64_t *group,
                                                   int64_t rows, struct sonde_error *error);
void sonde_groups_finish(struct sonde_groups *g);

#endif
