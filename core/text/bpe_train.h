/*
 * Training of a byte-level BPE vocabulary (Sennrich et al., "Neural Machine Translation of Rare
 * Words with Subword Units", ACL 2016, algorithm 1, on the bytes of GPT-2's pre-tokens).
 *
 * Texts are split by GPT-2's pattern into words; each word is a row of bytes. Again and again the
 * pair of neighbouring symbols that is seen most often in all words becomes one new symbol,
 * replaced from the left. Equal counts: the pair with the smaller left id, then the smaller right
 * id. Ids: the special tokens in the order given, the 256 bytes in the order of their characters in
 * GPT-2's alphabet ('!' first), then the new symbols in the order of their making. So the order of
 * the texts never matters, and the merges are those of Hugging Face's BpeTrainer with the initial
 * alphabet of its ByteLevel pre-tokenizer (add_prefix_space false). Overlapping pairs count each:
 * "aaa" has "a a" twice.
 *
 * What is not merged: a pair whose text is that of a special token, and one that would be longer
 * than the reader takes (SONDE_VOCAB_MAX_PIECE_BYTES). Special tokens that stand in the texts are
 * text like any other.
 *
 * One thread at a time.
 */
#ifndef SONDE_CORE_TEXT_BPE_TRAIN_H
#define SONDE_CORE_TEXT_BPE_TRAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/base/progress.h"
#include "core/base/status.h"

#define SONDE_BPE_TRAIN_MAX_VOCAB (INT64_C(1) << 20)
#define SONDE_BPE_TRAIN_MAX_SPECIAL 256
#define SONDE_BPE_TRAIN_MAX_SYMBOLS (INT64_C(1) << 26) /* bytes of all different words */

struct sonde_bpe_trainer; /* opaque */

struct sonde_bpe_train_options {
    int64_t vocab_size;         /* ids in all: 256 + n_special to the maximum; 0 = 2048 */
    int64_t min_frequency;      /* pairs seen less often are not merged; 0 = 2 */
    const char *const *special; /* [n_special] UTF-8, different, at most 512 bytes each */
    int64_t n_special;
    const char *bos; /* the special token that stands before every text; NULL = none */
};

/* What was read and made. */
struct sonde_bpe_train_report {
    int64_t n_texts, n_bytes;
    int64_t n_words, n_different; /* pre-tokens, different ones */
    int64_t vocab_size, n_merges;
    int64_t n_tokens; /* of all texts in the new vocabulary, BOS not counted */
    bool exhausted;   /* no pair was left before vocab_size was reached */
};

/* Strings are copied. ARGUMENT for sizes out of range; a special token that is empty, too long, no
 * UTF-8, given twice or one of the 256 characters of the alphabet; a bos that is not special. */
SONDE_MUST_USE enum sonde_status
sonde_bpe_trainer_create(struct sonde_bpe_trainer **out,
                         const struct sonde_bpe_train_options *options, struct sonde_error *error);
void sonde_bpe_trainer_destroy(struct sonde_bpe_trainer **trainer);

/* Counts the words of one text; any bytes, those that are no character count as U+FFFD (as encode
 * reads them). LIMIT where the different words grow past SONDE_BPE_TRAIN_MAX_SYMBOLS; the trainer
 * is of no more use after a failure. */
SONDE_MUST_USE enum sonde_status sonde_bpe_trainer_add(struct sonde_bpe_trainer *trainer,
                                                       const char *text, size_t n,
                                                       struct sonde_error *error);
/* Learns the merges from what was added; once. ARGUMENT where no text had a word. */
SONDE_MUST_USE enum sonde_status sonde_bpe_trainer_run(struct sonde_bpe_trainer *trainer,
                                                       const struct sonde_progress *progress,
                                                       struct sonde_bpe_train_report *report,
                                                       struct sonde_error *error);
/* Appends the tokenizer.json; after run. */
SONDE_MUST_USE enum sonde_status sonde_bpe_trainer_write(const struct sonde_bpe_trainer *trainer,
                                                         struct sonde_buf *out,
                                                         struct sonde_error *error);

#endif
