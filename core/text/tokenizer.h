/*
 * Tokenizer: text to ids and back. Kinds: tokenizer.json BPE (byte-level, or SentencePiece style
 * with byte fallback), GPT-2's vocab.json with merges.txt, llama2.c tokenizer files, one-character
 * vocabularies. What is not known (a pre-tokenizer, a normalizer, a model type) is refused by name,
 * never guessed; no regular expression from a file is ever run.
 *
 * Ids are those of Hugging Face's tokenizers library, with three differences that are meant: never
 * two BOS by the policy; a character that is not in the vocabulary of a tokenizer without an
 * unknown token is an error and not dropped; a byte run that is no text decodes to one U+FFFD for
 * each maximal subpart. The file's "truncation" and "padding" are not applied.
 *
 * Immutable after open; shared by threads.
 */
#ifndef SONDE_CORE_TEXT_TOKENIZER_H
#define SONDE_CORE_TEXT_TOKENIZER_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/base/status.h"

struct sonde_tokenizer; /* opaque */

#define SONDE_TOKENIZER_MAX_TEXT_BYTES (INT64_C(1) << 28) /* of one encode; more is LIMIT */
#define SONDE_TOKENIZER_MAX_FILE_BYTES (INT64_C(1) << 28)

/* path: tokenizer.json, a llama2.c tokenizer .bin (vocab_size then needed), or a folder that holds
 * one. */
SONDE_MUST_USE enum sonde_status sonde_tokenizer_open(struct sonde_tokenizer **out,
                                                      const char *path, int64_t vocab_size,
                                                      struct sonde_error *error);
/* The same from bytes of a tokenizer.json. name: for messages. */
SONDE_MUST_USE enum sonde_status sonde_tokenizer_parse(struct sonde_tokenizer **out,
                                                       const char *json, size_t n, const char *name,
                                                       struct sonde_error *error);
/* A vocabulary of single characters: pieces[i] is the UTF-8 text of id i. unk_id -1: unknown
 * characters are an error of encode. */
SONDE_MUST_USE enum sonde_status sonde_tokenizer_characters(struct sonde_tokenizer **out,
                                                            const char *const *pieces,
                                                            int64_t n_pieces, int32_t unk_id,
                                                            struct sonde_error *error);
void sonde_tokenizer_close(struct sonde_tokenizer **tokenizer);

const char *sonde_tokenizer_kind(const struct sonde_tokenizer *t); /* "BPE, byte-level", ... */
/* Ids are in [0, size); not every one need have a piece. May differ from the model's vocabulary
 * size. */
int64_t sonde_tokenizer_size(const struct sonde_tokenizer *t);
/* -1 where the tokenizer has none. From tokenizer.json's post-processor / tokenizer_config.json,
 * config.json may override: see set_special. */
int32_t sonde_tokenizer_bos(const struct sonde_tokenizer *t);
int32_t sonde_tokenizer_eos(const struct sonde_tokenizer *t);
int32_t sonde_tokenizer_unk(const struct sonde_tokenizer *t);
/* Called once by the model's loader, before sharing: ids from config.json where the tokenizer's own
 * files name none. -1 = leave. */
void sonde_tokenizer_set_special(struct sonde_tokenizer *t, int32_t bos, int32_t eos);
/* Added tokens that the file calls special; ids 0 to 2 of llama2.c. */
bool sonde_tokenizer_is_special(const struct sonde_tokenizer *t, int32_t id);
int32_t sonde_tokenizer_id(const struct sonde_tokenizer *t, const char *piece); /* -1 = none */
/* The raw vocabulary piece ("Ġthe", "▁the"); NULL for an id without one. */
const char *sonde_tokenizer_piece(const struct sonde_tokenizer *t, int32_t id);

struct sonde_encoded_token {
    int32_t id;
    int64_t begin, end; /* bytes [begin, end) of the text; equal for tokens that have no text (BOS);
                           bytes of one character split over tokens share its whole span */
    uint32_t flags;     /* SONDE_TOKEN_* bits, same values as core/trace/stream.h */
};
struct sonde_encoding { /* zero-initialise; finish frees */
    struct sonde_encoded_token *tokens;
    int64_t n, capacity;
};
void sonde_encoding_finish(struct sonde_encoding *encoding);

enum sonde_bos_policy {
    SONDE_BOS_AUTO,   /* as the tokenizer's own files say (post-processor; llama2.c: yes) */
    SONDE_BOS_ALWAYS, /* exactly one; ARGUMENT where the tokenizer has none */
    SONDE_BOS_NEVER,
};
/* Appends to *out. Text is any bytes; invalid UTF-8 is handled as U+FFFD per the replacement rule
 * of Unicode, spans stay those of the original bytes. Never two BOS in a row by the policy: text
 * that itself begins with the BOS piece keeps one. Special tokens written in the text are
 * recognised as such (as Hugging Face does). */
SONDE_MUST_USE enum sonde_status sonde_tokenizer_encode(const struct sonde_tokenizer *t,
                                                        const char *text, size_t n,
                                                        enum sonde_bos_policy bos,
                                                        struct sonde_encoding *out,
                                                        struct sonde_error *error);

/* Appends the text of ids. skip_special leaves special tokens out. Bytes of incomplete characters
 * become U+FFFD only at the end of the whole. */
SONDE_MUST_USE enum sonde_status sonde_tokenizer_decode(const struct sonde_tokenizer *t,
                                                        const int32_t *ids, int64_t n,
                                                        bool skip_special, struct sonde_buf *out,
                                                        struct sonde_error *error);
/* One token's text as it stands within a sequence (leading space kept), for tables and figures;
 * bytes that are no character alone print as <0xE2>. */
SONDE_MUST_USE enum sonde_status sonde_tokenizer_token_text(const struct sonde_tokenizer *t,
                                                            int32_t id, struct sonde_buf *out,
                                                            struct sonde_error *error);
/* llama2.c's streaming decode: the bytes that `id` adds after `previous` (-1 = none), where a space
 * is dropped after BOS. Other kinds: the decode of the token in a running text. */
SONDE_MUST_USE enum sonde_status sonde_tokenizer_decode_next(const struct sonde_tokenizer *t,
                                                             int32_t previous, int32_t id,
                                                             struct sonde_buf *out,
                                                             struct sonde_error *error);

#endif
