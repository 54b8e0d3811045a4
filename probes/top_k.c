#include "probes/top_k.h"

#include "core/tensor/vector_readout.h"

/* The threshold rises while values are taken: it is looked at anew after so many. */
enum { CHUNK = 256 };

int64_t sonde_top_k_offer_row(struct sonde_top_entry *entry, int64_t k, int64_t n_entries,
                              const float *value, int64_t n, int64_t first, int32_t *index)
{
    int64_t at = 0;
    for (; at < n && n_entries < k; at++)
        sonde_top_k_offer(entry, k, &n_entries, value[at], first + at);
    while (at < n) {
        int64_t count = n - at < CHUNK ? n - at : CHUNK;
        int64_t found =
            sonde_readout_kernels()->find_above(index, value + at, entry[k - 1].value, count);
        for (int64_t i = 0; i < found; i++)
            sonde_top_k_offer(entry, k, &n_entries, value[at + index[i]], first + at + index[i]);
        at += count;
    }
    return n_entries;
}

int64_t sonde_top_k_join(struct sonde_top_entry *entry, int64_t k, int64_t n_entries,
                         const struct sonde_top_entry *later, int64_t n_later)
{
    for (int64_t i = 0; i < n_later; i++)
        sonde_top_k_offer(entry, k, &n_entries, later[i].value, later[i].index);
    return n_entries;
}
