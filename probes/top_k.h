/* The k largest of a stream of values, in memory of k. */
#ifndef SONDE_PROBES_TOP_K_H
#define SONDE_PROBES_TOP_K_H

#include <stdint.h>

struct sonde_top_entry {
    float value;
    int64_t index;
};

/* Offers values in ascending order of index; entry [k], the first *n in descending order of value
 * (equal values: the lower index first). NaN is never taken. */
static inline void sonde_top_k_offer(struct sonde_top_entry *entry, int64_t k, int64_t *n,
                                     float value, int64_t index)
{
    if (!(value == value) || (*n == k && !(value > entry[k - 1].value)))
        return;
    int64_t at = *n < k ? (*n)++ : k - 1;
    for (; at > 0 && value > entry[at - 1].value; at--)
        entry[at] = entry[at - 1];
    entry[at] = (struct sonde_top_entry){ .value = value, .index = index };
}

/* The k largest of value [n], and the k smallest (their values negated). Returns how many there
 * are. */
int64_t sonde_top_k_largest(const float *value, int64_t n, int64_t k,
                            struct sonde_top_entry *entry);
int64_t sonde_top_k_smallest(const float *value, int64_t n, int64_t k,
                             struct sonde_top_entry *entry);

#endif
