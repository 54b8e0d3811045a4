#include "probes/top_k.h"

int64_t sonde_top_k_largest(const float *value, int64_t n, int64_t k, struct sonde_top_entry *entry)
{
    int64_t n_entries = 0;
    for (int64_t i = 0; i < n; i++)
        sonde_top_k_offer(entry, k, &n_entries, value[i], i);
    return n_entries;
}

int64_t sonde_top_k_smallest(const float *value, int64_t n, int64_t k,
                             struct sonde_top_entry *entry)
{
    int64_t n_entries = 0;
    for (int64_t i = 0; i < n; i++)
        sonde_top_k_offer(entry, k, &n_entries, -value[i], i);
    return n_entries;
}
