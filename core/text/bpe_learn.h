/* The merges of a list of counted words; see bpe_train.h for the rule. Internal to core/text. */
#ifndef SONDE_CORE_TEXT_BPE_LEARN_H
#define SONDE_CORE_TEXT_BPE_LEARN_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/progress.h"
#include "core/base/status.h"
#include "core/text/vocab.h"

struct sonde_counted_word {
    const char *text; /* bytes, not a string */
    uint32_t n;
    int64_t count;
};

struct sonde_learned_merge {
    int32_t left, right;
};
struct sonde_learned_merges {
    struct sonde_learned_merge *merge;
    int64_t n, capacity;
    int64_t n_tokens; /* of all words together in the end */
    bool exhausted;
};

/* vocab: holds the special tokens (flagged so) and then the 256 bytes, byte_ids[byte] their ids;
 * grows to vocab_size ids. out: zero-initialised; its merge is the caller's to free, also after a
 * failure. */
SONDE_MUST_USE enum sonde_status
sonde_bpe_learn(struct sonde_learned_merges *out, struct sonde_vocab *vocab,
                const int32_t byte_ids[256], const struct sonde_counted_word *words,
                int64_t n_words, int64_t vocab_size, int64_t min_frequency,
                const struct sonde_progress *progress, struct sonde_error *error);

#endif
