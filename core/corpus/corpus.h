/*
 * Corpus: texts (or ids) with what is known about their words. Readers for text files, JSON lines,
 * CoNLL-U and .npy ids. Items stream: a corpus is never held whole.
 */
#ifndef SONDE_CORE_CORPUS_CORPUS_H
#define SONDE_CORE_CORPUS_CORPUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"

#define SONDE_CORPUS_MAX_ITEM_BYTES                                                                \
    (INT64_C(1) << 28)                            /* of a line, a sentence, a row; more is LIMIT */
#define SONDE_CORPUS_MAX_WORDS (INT64_C(1) << 20) /* of a sentence */

/* A syntactic word of an item; borrowed like the item. */
struct sonde_corpus_word {
    /* Bytes [begin, end) of the item's text. Words of a multi-word token ("What's" = "What" + "'s")
     * have their own parts where their forms, one after the other, are its form; else all have its
     * span. Empty nodes (ID 3.1) are left out. */
    int64_t begin, end;
    const char *field[10]; /* CoNLL-U columns ID..MISC as written */
};
struct sonde_corpus_item {
    int64_t ordinal;  /* 0-based in the corpus */
    const char *name; /* sent_id, or NULL */
    const char *text; /* UTF-8 as read (may be invalid); NULL for ids */
    int64_t text_bytes;
    const int32_t *ids; /* NULL for text; formal strings have both, an id for each byte */
    int64_t n_ids;
    const struct sonde_corpus_word *words; /* CoNLL-U only */
    int64_t n_words;
};

struct sonde_corpus; /* opaque */

/* Text files: UTF-8 with or without a byte-order mark, lines end in LF or CRLF, the last newline
 * may be missing. */
enum sonde_corpus_format {
    SONDE_CORPUS_LINES,  /* one item a line (empty lines are skipped) */
    SONDE_CORPUS_WHOLE,  /* the file is one item; an empty file none */
    SONDE_CORPUS_JSONL,  /* `field` of each line's object; blank lines are skipped. "a.b" is the
                            member  named so, else b of a. NULL: "text" */
    SONDE_CORPUS_CONLLU, /* a sentence an item; text from "# text =", else FORMs joined per
                            SpaceAfter. IDs count from 1; HEAD is kept as written, whatever it
                            points at */
    SONDE_CORPUS_IDS,    /* .npy: [n] (one item) or [n, T] of int32/int64 little-endian in C order;
                            a negative id ends a row (ragged), so a row may be empty */
    SONDE_CORPUS_FORMAL, /* the path is a specification, see sonde_formal_parse_spec; a string an
                            item, its ids in the order of the specification */
};
SONDE_MUST_USE enum sonde_status sonde_corpus_open(struct sonde_corpus **out, const char *path,
                                                   enum sonde_corpus_format format,
                                                   const char *field, struct sonde_error *error);
/* Items given on the spot (--text). Strings are borrowed. */
SONDE_MUST_USE enum sonde_status sonde_corpus_from_texts(struct sonde_corpus **out,
                                                         const char *const *texts, int64_t n,
                                                         struct sonde_error *error);
void sonde_corpus_close(struct sonde_corpus **corpus);
/* *out is valid until the next call; NULL at the end. Errors name file and line. */
SONDE_MUST_USE enum sonde_status sonde_corpus_next(struct sonde_corpus *corpus,
                                                   const struct sonde_corpus_item **out,
                                                   struct sonde_error *error);
/* Bytes read and in all, for progress (0, 0 where unknown). */
void sonde_corpus_position(const struct sonde_corpus *corpus, int64_t *done, int64_t *total);

/* The column of a CoNLL-U word by name: id, form, lemma, upos, xpos, feats, head, deprel, deps,
 * misc, feats.NAME, misc.NAME. The value is copied to out[n]; *present is false where it is "_" or
 * not there (out is then empty). ARGUMENT for an unknown column, LIMIT for a value longer than out.
 */
SONDE_MUST_USE enum sonde_status sonde_corpus_word_column(const struct sonde_corpus_word *word,
                                                          const char *column, char *out, size_t n,
                                                          bool *present, struct sonde_error *error);

enum sonde_align {
    SONDE_ALIGN_LAST, /* a word's label sits on its last token */
    SONDE_ALIGN_FIRST,
    SONDE_ALIGN_ALL,
};
/* Words to tokens by byte spans: token_word[n_tokens] gets the word index or -1. begin/end: the
 * tokens' byte spans in the same text, begins in order (leading blanks in a span are ignored;
 * tokens without text have begin = end, or -1). Where a token would carry several words' labels it
 * goes to the last of them (LAST, ALL) or the first (FIRST); the others then have no token. O(words
 * + tokens). */
void sonde_corpus_align(const struct sonde_corpus_word *words, int64_t n_words, const char *text,
                        const int64_t *token_begin, const int64_t *token_end, int64_t n_tokens,
                        enum sonde_align align, int32_t *token_word);

#endif
