/* What the files of core/text share about a tokenizer. Not for other layers. */
#ifndef SONDE_CORE_TEXT_TOKENIZER_INTERNAL_H
#define SONDE_CORE_TEXT_TOKENIZER_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/json.h"
#include "core/text/bpe.h"
#include "core/text/pretokenize.h"
#include "core/text/tokenizer.h"
#include "core/text/utf8.h"
#include "core/text/vocab.h"

#define SONDE_TOKENIZER_MAX_STEPS 16
#define SONDE_TOKENIZER_MAX_TEMPLATE 16
#define SONDE_TOKENIZER_MAX_ADDED_BYTES 512

/* The same values as SONDE_TOKEN_* of core/trace/stream.h, which this layer may not include. */
enum {
    SONDE_TEXT_FLAG_BOS = 1,
    SONDE_TEXT_FLAG_EOS = 2,
    SONDE_TEXT_FLAG_SPECIAL = 4,
    SONDE_TEXT_FLAG_UNKNOWN = 8,
};

enum sonde_tokenizer_type {
    SONDE_TOKENIZER_BPE,
    SONDE_TOKENIZER_LLAMA2C,
    SONDE_TOKENIZER_CHARACTERS,
};

enum sonde_normalizer_kind {
    SONDE_NORMALIZER_PREPEND, /* content */
    SONDE_NORMALIZER_REPLACE, /* pattern, content */
    SONDE_NORMALIZER_FORM,    /* form */
    SONDE_NORMALIZER_LOWERCASE,
};
struct sonde_normalizer {
    enum sonde_normalizer_kind kind;
    enum sonde_utf8_form form;
    char *pattern, *content; /* heap */
};

enum sonde_splitter_kind {
    SONDE_SPLITTER_PATTERN, /* a known regex; matches and what lies between them are pieces */
    SONDE_SPLITTER_PREFIX,  /* a space before a piece that has none (byte-level add_prefix_space) */
    SONDE_SPLITTER_METASPACE,
    SONDE_SPLITTER_DIGITS,
    SONDE_SPLITTER_STRING,
};
enum sonde_split_behavior {
    SONDE_SPLIT_ISOLATED,
    SONDE_SPLIT_WITH_PREVIOUS,
    SONDE_SPLIT_WITH_NEXT,
};
enum sonde_prepend_scheme {
    SONDE_PREPEND_ALWAYS,
    SONDE_PREPEND_FIRST,
    SONDE_PREPEND_NEVER,
};
struct sonde_splitter {
    enum sonde_splitter_kind kind;
    struct sonde_pattern *pattern;      /* owned */
    char *content;                      /* STRING: what splits; METASPACE: the replacement; heap */
    enum sonde_split_behavior behavior; /* STRING */
    enum sonde_prepend_scheme scheme;   /* METASPACE */
    bool split;                         /* METASPACE: at the replacement; DIGITS: one by one */
};

enum sonde_decoder_kind {
    SONDE_DECODER_BYTE_LEVEL,
    SONDE_DECODER_BYTE_FALLBACK,
    SONDE_DECODER_FUSE,
    SONDE_DECODER_STRIP,   /* content, start, stop */
    SONDE_DECODER_REPLACE, /* pattern, content */
    SONDE_DECODER_METASPACE,
};
struct sonde_decoder {
    enum sonde_decoder_kind kind;
    char *pattern, *content; /* heap */
    int64_t start, stop;
    enum sonde_prepend_scheme scheme;
};

/* An added token as a search finds it in a text. */
struct sonde_added {
    const char *text; /* the vocabulary's, or an owned normalised copy (owned) */
    char *owned;
    uint32_t n;
    int32_t id;
    bool lstrip, rstrip, single_word, normalized;
};
/* Leftmost-longest search for a set of added tokens: a trie over bytes. */
struct sonde_added_set {
    struct sonde_merges edges; /* (node, byte) -> id: the child; node 0 is the root */
    int32_t *found;            /* [n_nodes]: index in added[] of what ends here, or -1 */
    int64_t n_nodes, capacity;
    bool first[256]; /* bytes that one of them begins with */
};

struct sonde_tokenizer {
    enum sonde_tokenizer_type type;
    char kind[64];
    struct sonde_vocab vocab;
    int32_t bos, eos, unk;

    /* What AUTO puts before and after the text. */
    int32_t prefix[SONDE_TOKENIZER_MAX_TEMPLATE], suffix[SONDE_TOKENIZER_MAX_TEMPLATE];
    int n_prefix, n_suffix;

    /* BPE */
    struct sonde_merges merges;
    struct sonde_bytes_map words; /* a word's bytes -> the one token it becomes */
    bool byte_level, byte_fallback, fuse_unk, ignore_merges, has_unk;
    int32_t byte_ids[256]; /* byte-level: the id of a byte; fallback: of "<0xXX>"; -1: none */
    struct sonde_normalizer normalizers[SONDE_TOKENIZER_MAX_STEPS];
    int n_normalizers;
    struct sonde_splitter splitters[SONDE_TOKENIZER_MAX_STEPS];
    int n_splitters;
    struct sonde_decoder decoders[SONDE_TOKENIZER_MAX_STEPS];
    int n_decoders;
    struct sonde_added *added;
    int64_t n_added, added_capacity;
    struct sonde_added_set raw_added, normal_added; /* normalized false, true */

    /* llama2.c */
    uint32_t *score_rank; /* [vocab.n] */
    uint32_t max_piece_bytes;
    int32_t space_id; /* the dummy prefix; -1: none */
};

/* Text on its way through normalisation. Byte i of data came from [from[i].begin, from[i].end) of
 * the original; from == NULL: from byte base + i itself. */
struct sonde_origin {
    uint32_t begin, end;
};
struct sonde_view {
    const char *data;
    size_t n;
    const struct sonde_origin *from;
    uint32_t base;
};
/* A view with memory of its own. Zero-initialise, finish frees. */
struct sonde_mapped {
    struct sonde_buf text;
    struct sonde_origin *from;
    int64_t capacity;
};
void sonde_mapped_finish(struct sonde_mapped *mapped);
void sonde_mapped_clear(struct sonde_mapped *mapped);
/* Appends bytes that all came from [begin, end). False when memory is out. */
bool sonde_mapped_append(struct sonde_mapped *mapped, const char *text, size_t n, uint32_t begin,
                         uint32_t end);
struct sonde_view sonde_mapped_view(const struct sonde_mapped *mapped);
struct sonde_view sonde_view_slice(struct sonde_view view, size_t begin, size_t end);
/* Where byte i of the view came from (for identity: the whole character that it is part of). */
struct sonde_origin sonde_view_origin(const struct sonde_view *view, size_t i);
uint32_t sonde_view_begin(const struct sonde_view *view); /* original offset of its first byte */

/* Runs the normalizers. work: two scratch texts; the result may point into them or into `in`. */
SONDE_MUST_USE enum sonde_status sonde_normalize_view(const struct sonde_tokenizer *t,
                                                      struct sonde_view in,
                                                      struct sonde_mapped work[2],
                                                      struct sonde_view *out,
                                                      struct sonde_error *error);
/* The original with invalid bytes replaced. */
SONDE_MUST_USE enum sonde_status sonde_sanitize_view(const char *text, size_t n,
                                                     struct sonde_mapped *work,
                                                     struct sonde_view *out,
                                                     struct sonde_error *error);

/* A splitter at work on one view: init, then next until it returns false in *more. */
struct sonde_split_state {
    struct sonde_view view;
    size_t at;
    size_t pending; /* PATTERN: begin and end of a match found behind an unmatched part */
    size_t pending_end;
    struct sonde_mapped work;
};
SONDE_MUST_USE enum sonde_status sonde_split_init(const struct sonde_splitter *splitter,
                                                  struct sonde_split_state *state,
                                                  struct sonde_view view,
                                                  struct sonde_error *error);
SONDE_MUST_USE enum sonde_status sonde_split_next(const struct sonde_splitter *splitter,
                                                  struct sonde_split_state *state,
                                                  struct sonde_pattern_scratch *scratch,
                                                  struct sonde_view *piece, bool *more,
                                                  struct sonde_error *error);

/* Byte-level alphabet of GPT-2: each byte has a printable character. */
int32_t sonde_byte_level_code(unsigned char byte);
int sonde_byte_level_byte(int32_t code); /* -1: not of the alphabet */
/* The bytes that a piece stands for, appended; false where it holds another character. */
bool sonde_byte_level_bytes(struct sonde_buf *out, const char *piece, size_t n);

/* Added tokens. */
SONDE_MUST_USE enum sonde_status sonde_added_build(struct sonde_tokenizer *t,
                                                   struct sonde_error *error);
/* Where an added token stands. With rstrip the blanks behind it are its own, yet the search goes on
 * right behind the token itself: the next one may begin in those blanks, as in Hugging Face's. */
struct sonde_added_match {
    int64_t index;     /* in added[]; -1: none */
    size_t begin, end; /* with the blanks that lstrip and rstrip take */
    size_t resume;     /* where the next search begins */
};
/* The next added token of the set. resume: of the last match, or 0; low: where the text that is not
 * yet encoded begins. Where there is none begin = end = resume = n. */
struct sonde_added_match sonde_added_find(const struct sonde_tokenizer *t,
                                          const struct sonde_added_set *set, const char *text,
                                          size_t n, size_t resume, size_t low);

/* The map of words that become one token whatever stands around them. */
SONDE_MUST_USE enum sonde_status sonde_tokenizer_prepare_words(struct sonde_tokenizer *t,
                                                               struct sonde_error *error);

/* Parts of opening. Each leaves what it added in *t for close to free. */
struct sonde_tokenizer *sonde_tokenizer_new(enum sonde_tokenizer_type type);
SONDE_MUST_USE enum sonde_status sonde_tokenizer_read_steps(struct sonde_tokenizer *t,
                                                            const struct sonde_json *root,
                                                            struct sonde_error *error);
SONDE_MUST_USE enum sonde_status sonde_tokenizer_read_template(struct sonde_tokenizer *t,
                                                               const struct sonde_json *root,
                                                               struct sonde_error *error);
SONDE_MUST_USE enum sonde_status sonde_tokenizer_read_model(struct sonde_tokenizer *t,
                                                            const struct sonde_json *root,
                                                            struct sonde_error *error);
SONDE_MUST_USE enum sonde_status sonde_tokenizer_read_vocab(struct sonde_tokenizer *t,
                                                            const struct sonde_json *vocab,
                                                            struct sonde_error *error);
SONDE_MUST_USE enum sonde_status sonde_tokenizer_add_merge(struct sonde_tokenizer *t, int64_t rank,
                                                           const char *left, size_t n_left,
                                                           const char *right, size_t n_right,
                                                           struct sonde_error *error);
SONDE_MUST_USE enum sonde_status sonde_tokenizer_add_added(struct sonde_tokenizer *t,
                                                           const struct sonde_json *token,
                                                           int64_t id, struct sonde_error *error);
/* Byte ids, whole words, added-token search: once everything is read. */
SONDE_MUST_USE enum sonde_status sonde_tokenizer_complete(struct sonde_tokenizer *t,
                                                          struct sonde_error *error);
/* vocab.json and merges.txt of GPT-2's own format. */
SONDE_MUST_USE enum sonde_status sonde_tokenizer_open_gpt2(struct sonde_tokenizer **out,
                                                           const char *folder,
                                                           struct sonde_error *error);
/* tokenizer_config.json, special_tokens_map.json beside the tokenizer, where they are. */
SONDE_MUST_USE enum sonde_status sonde_tokenizer_read_config(struct sonde_tokenizer *t,
                                                             const char *folder,
                                                             struct sonde_error *error);
SONDE_MUST_USE enum sonde_status sonde_tokenizer_open_llama2c(struct sonde_tokenizer **out,
                                                              const char *path, int64_t vocab_size,
                                                              struct sonde_error *error);

/* Appends one token. */
SONDE_MUST_USE enum sonde_status sonde_encoding_push(const struct sonde_tokenizer *t,
                                                     struct sonde_encoding *out, int32_t id,
                                                     int64_t begin, int64_t end,
                                                     struct sonde_error *error);
/* The text without what stands around it, by the tokenizer's type. */
SONDE_MUST_USE enum sonde_status sonde_encode_bpe(const struct sonde_tokenizer *t, const char *text,
                                                  size_t n, struct sonde_encoding *out,
                                                  struct sonde_error *error);
SONDE_MUST_USE enum sonde_status sonde_encode_llama2c(const struct sonde_tokenizer *t,
                                                      const char *text, size_t n,
                                                      struct sonde_encoding *out,
                                                      struct sonde_error *error);
SONDE_MUST_USE enum sonde_status sonde_encode_characters(const struct sonde_tokenizer *t,
                                                         const char *text, size_t n,
                                                         struct sonde_encoding *out,
                                                         struct sonde_error *error);
/* "<0xXX>" with two hexadecimal digits: the byte; -1 for anything else. */
int sonde_byte_piece(const char *text, size_t n);

#endif
