/* The part of stats.h about classes. */
#include "analysis/stats.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "core/base/num.h"

double sonde_stats_accuracy(const int32_t *truth, const int32_t *predicted, int64_t n)
{
    int64_t right = 0, seen = 0;
    for (int64_t i = 0; i < n; i++) {
        if (truth[i] < 0)
            continue;
        seen++;
        right += truth[i] == predicted[i];
    }
    return seen ? (double)right / (double)seen : (double)NAN;
}

void sonde_stats_confusion(const int32_t *truth, const int32_t *predicted, int64_t n,
                           int64_t n_classes, int64_t *count)
{
    for (int64_t i = 0; i < n; i++) {
        int64_t t = truth[i], p = predicted[i];
        if (t >= 0 && t < n_classes && p >= 0 && p < n_classes)
            count[t * n_classes + p]++;
    }
}

double sonde_stats_macro_f1(const int64_t *count, int64_t n_classes)
{
    double sum = 0;
    int64_t seen = 0;
    for (int64_t c = 0; c < n_classes; c++) {
        int64_t row = 0, column = 0;
        for (int64_t k = 0; k < n_classes; k++) {
            row += count[c * n_classes + k];
            column += count[k * n_classes + c];
        }
        /* row + column = 2 tp + fp + fn */
        if (row + column == 0)
            continue;
        sum += 2 * (double)count[c * n_classes + c] / (double)(row + column);
        seen++;
    }
    return seen ? sum / (double)seen : (double)NAN;
}

int32_t sonde_stats_majority(const int32_t *truth, int64_t n, int64_t n_classes)
{
    /* No memory: n_classes passes would be slow, so votes are counted in pieces of 256 classes. */
    int64_t best_count = 0;
    int32_t best = -1;
    for (int64_t base = 0; base < n_classes; base += 256) {
        int64_t count[256] = { 0 };
        for (int64_t i = 0; i < n; i++)
            if (truth[i] >= base && truth[i] < base + 256 && truth[i] < n_classes)
                count[truth[i] - base]++;
        for (int64_t k = 0; k < 256; k++)
            if (count[k] > best_count) {
                best_count = count[k];
                best = (int32_t)(base + k);
            }
    }
    return best;
}

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
