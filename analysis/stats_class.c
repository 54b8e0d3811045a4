/* The part of stats.h about classes. */
#include "analysis/stats.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "core/base/num.h"

struct scored {
    double score;
    int32_t truth;
};

static int compare_scored(const void *a, const void *b)
{
    double x = ((const struct scored *)a)->score, y = ((const struct scored *)b)->score;
    return (x > y) - (x < y);
}

enum sonde_status sonde_stats_auroc(const int32_t *truth, const double *score, int64_t n,
                                    double *out, struct sonde_error *error)
{
    size_t bytes;
    struct scored *item = NULL;
    if (n >= 0 && sonde_mul_size((size_t)n, sizeof(*item), &bytes))
        item = malloc(bytes ? bytes : 1);
    if (!item)
        return sonde_error_memory(error, "the ROC curve");
    int64_t m = 0, positives = 0;
    bool defined = true;
    for (int64_t i = 0; i < n; i++) {
        if (truth[i] != 0 && truth[i] != 1)
            continue;
        defined = defined && !isnan(score[i]);
        positives += truth[i];
        item[m++] = (struct scored){ .score = score[i], .truth = truth[i] };
    }
    int64_t negatives = m - positives;
    if (!defined || positives == 0 || negatives == 0) {
        free(item);
        *out = (double)NAN;
        return SONDE_STATUS_OK;
    }
    qsort(item, (size_t)m, sizeof(*item), compare_scored);
    /* U = for each positive the negatives below it, and half of those that tie with it */
    double u = 0;
    int64_t below = 0;
    for (int64_t begin = 0; begin < m;) {
        int64_t end = begin, up = 0;
        while (end < m && item[end].score == item[begin].score)
            up += item[end++].truth;
        int64_t down = end - begin - up;
        u += (double)up * ((double)below + 0.5 * (double)down);
        below += down;
        begin = end;
    }
    free(item);
    *out = u / (double)positives / (double)negatives;
    return SONDE_STATUS_OK;
}
