/* What the readers of core/corpus share. Not for other layers. */
#ifndef SONDE_CORE_CORPUS_CORPUS_INTERNAL_H
#define SONDE_CORE_CORPUS_CORPUS_INTERNAL_H

#include <stdio.h>

#include "core/base/buf.h"
#include "core/base/file.h"
#include "core/corpus/corpus.h"
#include "core/corpus/formal.h"

/* Lines of a file, one at a time. */
struct sonde_line_reader {
    FILE *file;
    char *path; /* heap */
    char *chunk;
    size_t chunk_size, chunk_at;
    struct sonde_buf line; /* the current line without its end */
    int64_t number;        /* of the current line, from 1 */
    int64_t done, total;   /* bytes */
    bool ended;
};
SONDE_MUST_USE enum sonde_status sonde_lines_open(struct sonde_line_reader *reader,
                                                  const char *path, struct sonde_error *error);
void sonde_lines_close(struct sonde_line_reader *reader);
/* *more is false behind the last line. */
SONDE_MUST_USE enum sonde_status sonde_lines_next(struct sonde_line_reader *reader, bool *more,
                                                  struct sonde_error *error);
/* "path:line: " before the message; gives the status back. */
enum sonde_status sonde_lines_blame(const struct sonde_line_reader *reader,
                                    enum sonde_status status, struct sonde_error *error);

/* A sentence being read. */
struct sonde_sentence_word {
    size_t field[10]; /* offsets in block */
    int64_t line;
    int64_t range_end; /* a multi-word token: its last ID; 0: a word */
    int64_t n_parts;   /* a multi-word token: how many words follow as its parts */
    int64_t begin, end;
};
struct sonde_conllu {
    struct sonde_buf block; /* the columns of all lines, NUL after each */
    struct sonde_buf text, name;
    bool has_text, has_name;
    struct sonde_sentence_word *lines; /* words and multi-word tokens as they stand */
    int64_t n_lines, lines_capacity;
    struct sonde_corpus_word *words;
    int64_t n_words, words_capacity;
    int64_t range_end; /* the last ID of the multi-word token that is open; 0: none */
};
void sonde_conllu_finish(struct sonde_conllu *conllu);
SONDE_MUST_USE enum sonde_status sonde_conllu_next(struct sonde_conllu *conllu,
                                                   struct sonde_line_reader *reader,
                                                   struct sonde_corpus_item *item, bool *more,
                                                   struct sonde_error *error);
/* Spans of the words, and the text where "# text" gives none. */
SONDE_MUST_USE enum sonde_status sonde_conllu_place(struct sonde_conllu *conllu,
                                                    struct sonde_line_reader *reader,
                                                    struct sonde_error *error);
/* The value of NAME in "A=b|NAME=value"; NULL where it is not there. */
const char *sonde_conllu_feature(const char *list, const char *name, size_t n_name, size_t *n);

struct sonde_ids_file {
    struct sonde_file *file;
    int64_t data_at, n_rows, n_columns, row;
    int item_bytes; /* 4 or 8 */
    void *raw;      /* one row as stored */
    int32_t *ids;   /* [n_columns] */
};
SONDE_MUST_USE enum sonde_status sonde_ids_open(struct sonde_ids_file *ids, const char *path,
                                                struct sonde_error *error);
void sonde_ids_close(struct sonde_ids_file *ids);
SONDE_MUST_USE enum sonde_status sonde_ids_next(struct sonde_ids_file *ids,
                                                struct sonde_corpus_item *item, bool *more,
                                                struct sonde_error *error);

struct sonde_formal_corpus {
    struct sonde_formal_generator *generator;
    int32_t *ids; /* [capacity] of the string in hand */
    int64_t capacity;
};
SONDE_MUST_USE enum sonde_status sonde_formal_corpus_open(struct sonde_formal_corpus *formal,
                                                          const char *spec,
                                                          struct sonde_error *error);
void sonde_formal_corpus_close(struct sonde_formal_corpus *formal);
SONDE_MUST_USE enum sonde_status sonde_formal_corpus_next(struct sonde_formal_corpus *formal,
                                                          struct sonde_corpus_item *item,
                                                          bool *more, struct sonde_error *error);

#endif
