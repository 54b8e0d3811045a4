#include "probes/overlap.h"

#include <stdbool.h>
#include <stdlib.h>

static const uint64_t fnv_begin = 14695981039346656037u, fnv_prime = 1099511628211u;

static uint64_t add_id(uint64_t hash, int32_t id)
{
    for (int b = 0; b < 4; b++)
        hash = (hash ^ (((uint32_t)id >> (8 * b)) & 0xff)) * fnv_prime;
    return hash;
}

/* Keys of all samples: of the tokens up to `last` rows of their sequences. Samples of a sequence
 * stand together, in ascending rows, so that a sequence is walked once. */
static void fill_keys(const struct sonde_dataset *d, const struct sonde_source *source, bool whole,
                      uint64_t *key)
{
    uint64_t hash = fnv_begin;
    int64_t done = 0; /* rows of the sequence that are in hash */
    for (int64_t i = 0; i < d->n; i++) {
        const struct sonde_source_sequence *s = &source->sequences[d->sequence[i]];
        int64_t end = whole ? s->n_tokens : d->first[i] - s->first_row + 1;
        if (i == 0 || d->sequence[i] != d->sequence[i - 1] || end < done) {
            hash = fnv_begin;
            done = 0;
        }
        for (; done < end; done++)
            hash = add_id(hash, source->token_id[s->first_row + done]);
        key[i] = hash;
    }
}

static int compare_keys(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static int64_t count_met(const struct sonde_dataset *d, const uint64_t *key, uint64_t *known)
{
    for (int64_t i = 0; i < d->n_train; i++)
        known[i] = key[d->train[i]];
    qsort(known, (size_t)d->n_train, sizeof(*known), compare_keys);
    int64_t n = 0;
    for (int64_t i = 0; i < d->n_test; i++)
        n += bsearch(&key[d->test[i]], known, (size_t)d->n_train, sizeof(*known), compare_keys) !=
             NULL;
    return n;
}

enum sonde_status sonde_overlap_count(const struct sonde_dataset *d,
                                      const struct sonde_source *source, struct sonde_overlap *out,
                                      struct sonde_error *error)
{
    bool rows = d->space == SONDE_ROWS_TOKEN;
    for (int64_t i = 0; i < d->n && rows; i++)
        rows = d->count[i] == 1;
    *out = (struct sonde_overlap){ .n_test = d->n_test, .n_prefix = rows ? 0 : -1 };
    if (d->n_train == 0)
        return SONDE_STATUS_OK;
    uint64_t *key = malloc((size_t)(d->n + d->n_train) * sizeof(*key));
    if (!key)
        return sonde_error_memory(error, "the overlap of training and test");
    fill_keys(d, source, true, key);
    out->n_sequence = count_met(d, key, key + d->n);
    if (rows) {
        fill_keys(d, source, false, key);
        out->n_prefix = count_met(d, key, key + d->n);
    }
    free(key);
    return SONDE_STATUS_OK;
}
