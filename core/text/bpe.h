/*
 * Byte-pair merging (Sennrich et al., "Neural Machine Translation of Rare Words with Subword
 * Units", ACL 2016, algorithm 1): of all neighbouring pairs of a word the one of lowest rank is
 * merged, the leftmost of equals first, until no pair has a rank. O(n log n) in the symbols of a
 * word. Internal to core/text.
 */
#ifndef SONDE_CORE_TEXT_BPE_H
#define SONDE_CORE_TEXT_BPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"
#include "core/text/vocab.h"

#define SONDE_BPE_NO_RANK UINT32_MAX
#define SONDE_BPE_MAX_SYMBOLS (INT64_C(1) << 25) /* of one word */

/* (left id, right id) -> rank and merged id. Zero-initialise. */
struct sonde_merge_slot {
    uint64_t pair; /* left << 32 | right; UINT64_MAX: free */
    uint32_t rank;
    int32_t id;
};
struct sonde_merges {
    struct sonde_merge_slot *slots;
    int64_t n_slots; /* a power of two, or 0 */
    int64_t n_used;
};
void sonde_merges_finish(struct sonde_merges *merges);
/* A pair that is there already gets the new rank. False when memory is out. */
bool sonde_merges_put(struct sonde_merges *merges, int32_t left, int32_t right, uint32_t rank,
                      int32_t id);
/* NULL where the pair has no entry. */
const struct sonde_merge_slot *sonde_merges_get(const struct sonde_merges *merges, int32_t left,
                                                int32_t right);

/* How pairs are ranked: a table of merges, or (merges NULL) scores of the concatenated pieces, as
 * llama2.c has it: score_rank[id], where equal scores share a rank. */
struct sonde_bpe_rule {
    const struct sonde_merges *merges;
    const struct sonde_vocab *vocab;
    const uint32_t *score_rank; /* [vocab n] */
    uint32_t max_piece_bytes;   /* longest piece of vocab */
};

struct sonde_bpe_symbol {
    int32_t id;
    uint32_t begin; /* byte in the word; a symbol ends where the next begins */
    int32_t prev, next;
    uint32_t pair_rank; /* of this and the next, SONDE_BPE_NO_RANK: none */
    int32_t pair_id;
};

/* Scratch of one caller: symbols and the heap. Zero-initialise, finish frees. */
struct sonde_bpe_word {
    struct sonde_bpe_symbol *symbols;
    int64_t n, capacity;
    uint64_t *heap; /* rank << 32 | symbol */
    int64_t n_heap, heap_capacity;
    char *concat;
    int64_t concat_capacity;
};
void sonde_bpe_word_finish(struct sonde_bpe_word *word);
/* Appends one symbol before merging. */
SONDE_MUST_USE enum sonde_status sonde_bpe_push(struct sonde_bpe_word *word, int32_t id,
                                                uint32_t begin, struct sonde_error *error);
/* Merges in place; symbols[0..n) are the tokens afterwards. */
SONDE_MUST_USE enum sonde_status sonde_bpe_merge(struct sonde_bpe_word *word,
                                                 const struct sonde_bpe_rule *rule,
                                                 struct sonde_error *error);

#endif
