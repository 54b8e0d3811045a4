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

/* Offers value [n], the entries first, first + 1, ..; index [n] is scratch. k is at least 1.
 * Returns how many entries there are now. */
int64_t sonde_top_k_offer_row(struct sonde_top_entry *entry, int64_t k, int64_t n_entries,
                              const float *value, int64_t n, int64_t first, int32_t *index);
/* Offers the entries of a later part of the stream. */
int64_t sonde_top_k_join(struct sonde_top_entry *entry, int64_t k, int64_t n_entries,
                         const struct sonde_top_entry *later, int64_t n_later);

#endif
