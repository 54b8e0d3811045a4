/* Byte-pair encoding as its definition says, without any of the library's text code: the
 * independent witness of the tests. Quadratic and slow on purpose. Pieces are C strings. */
#ifndef SONDE_TESTS_UNIT_TEXT_NAIVE_BPE_H
#define SONDE_TESTS_UNIT_TEXT_NAIVE_BPE_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/json.h"

struct naive_merge {
    int left, right, result;
};
struct naive_bpe {
    const char **pieces; /* [n_pieces], NULL for holes; borrowed */
    int n_pieces;
    struct naive_merge *merges;
    int n_merges;
};

static inline int naive_find(const struct naive_bpe *bpe, const char *text, size_t n)
{
    for (int id = 0; id < bpe->n_pieces; id++) {
        if (bpe->pieces[id] && strlen(bpe->pieces[id]) == n &&
            memcmp(bpe->pieces[id], text, n) == 0)
            return id;
    }
    return -1;
}

/* model: the "model" object of a tokenizer.json. */
static inline void naive_init(struct naive_bpe *bpe, const struct sonde_json *model)
{
    const struct sonde_json *vocab = sonde_json_get(model, "vocab");
    const struct sonde_json *merges = sonde_json_get(model, "merges");
    int n = (int)sonde_json_size(vocab);

    bpe->pieces = calloc((size_t)n, sizeof(*bpe->pieces));
    bpe->n_pieces = n;
    for (struct sonde_json_iter i = { 0 }; sonde_json_next(vocab, &i);)
        bpe->pieces[sonde_json_integer(i.value, 0)] = i.key;
    bpe->n_merges = (int)sonde_json_size(merges);
    bpe->merges = calloc((size_t)bpe->n_merges, sizeof(*bpe->merges));
    for (int k = 0; k < bpe->n_merges; k++) {
        const char *text = sonde_json_string(sonde_json_at(merges, k), "");
        char both[512];
        size_t n_left = strcspn(text, " ");
        memcpy(both, text, n_left);
        strcpy(both + n_left, text + n_left + 1);
        bpe->merges[k] = (struct naive_merge){
            .left = naive_find(bpe, text, n_left),
            .right = naive_find(bpe, text + n_left + 1, strlen(text) - n_left - 1),
            .result = naive_find(bpe, both, strlen(both)),
        };
    }
}

static inline void naive_finish(struct naive_bpe *bpe)
{
    free(bpe->pieces);
    free(bpe->merges);
}

/* "Merge the pair that comes first in the list; of equals the leftmost; until there is none." */
static inline int naive_merge_all(const struct naive_bpe *bpe, int *ids, int n)
{
    for (;;) {
        int best = bpe->n_merges, at = -1;
        for (int i = 0; i + 1 < n; i++) {
            for (int k = 0; k < best; k++) {
                if (bpe->merges[k].left == ids[i] && bpe->merges[k].right == ids[i + 1]) {
                    best = k;
                    at = i;
                }
            }
        }
        if (at < 0)
            return n;
        ids[at] = bpe->merges[best].result;
        memmove(&ids[at + 1], &ids[at + 2], (size_t)(n - at - 2) * sizeof(*ids));
        n--;
    }
}

#endif
