/*
 * Strings of a formal language, held in memory: read from a file or made by a generator, fed to a
 * model as ids (padded or not), and counted.
 */
#ifndef SONDE_TOOLS_STUDIES_LAB_STRINGS_H
#define SONDE_TOOLS_STUDIES_LAB_STRINGS_H

#include "core/corpus/formal.h"
#include "core/model/recorder.h"

struct sonde_lab_strings {
    struct sonde_formal *formal;
    char *name;     /* "train", "bin 0" */
    char *origin;   /* the file, or the generator's specification */
    char *text;     /* all strings, one behind the other */
    int64_t *begin; /* [n + 1] string i is text[begin[i], begin[i + 1]) */
    int64_t n;
    int64_t shortest, longest; /* symbols */
    int64_t n_symbols;         /* of all */
    int64_t text_capacity, begin_capacity;
};

/* One string a line (LF; the last may lack it). FORMAT where a line is no prefix of a string of the
 * language, naming the line. limit > 0: only so many. */
SONDE_MUST_USE enum sonde_status sonde_lab_strings_read(struct sonde_lab_strings *out,
                                                        const char *language, const char *name,
                                                        const char *path, int64_t limit,
                                                        struct sonde_error *error);
/* spec as in sonde_formal_parse_spec. */
SONDE_MUST_USE enum sonde_status sonde_lab_strings_generate(struct sonde_lab_strings *out,
                                                            const char *name, const char *spec,
                                                            struct sonde_error *error);
void sonde_lab_strings_finish(struct sonde_lab_strings *strings);

/* String i and its length. Not NUL-terminated. */
const char *sonde_lab_string(const struct sonde_lab_strings *strings, int64_t i, int64_t *n);

/* Strings of a that are also in b. O((na + nb) log). -1 = out of memory. */
int64_t sonde_lab_strings_overlap(const struct sonde_lab_strings *a,
                                  const struct sonde_lab_strings *b);
/* Drops the strings of a that are also in b or stood in a before, and all behind the first `limit`
 * that are left. The number left, or -1 = out of memory. O(na (log nb + limit)). */
int64_t sonde_lab_strings_remove(struct sonde_lab_strings *a, const struct sonde_lab_strings *b,
                                 int64_t limit);
/* Strings whose brackets are well nested, whatever their types' counters say. */
int64_t sonde_lab_strings_nested(const struct sonde_lab_strings *strings);

/* Feeds strings [0, n) as ids in the order of sonde_formal_ids, each with pads up to pad_to tokens
 * (0 = none; a longer string is fed whole). */
struct sonde_lab_reader {
    const struct sonde_lab_strings *strings;
    int64_t n, pad_to;
    int64_t next;
    struct sonde_token *tokens; /* [capacity] */
    char *text;                 /* NUL-terminated copy of the string */
    char symbols[SONDE_FORMAL_MAX_SYMBOLS + 2][2];
    int64_t capacity;
    struct sonde_sequence sequence;
    struct sonde_sequence_reader reader; /* of the recorder */
};
SONDE_MUST_USE enum sonde_status sonde_lab_reader_open(struct sonde_lab_reader *reader,
                                                       const struct sonde_lab_strings *strings,
                                                       int64_t n, int64_t pad_to,
                                                       struct sonde_error *error);
void sonde_lab_reader_finish(struct sonde_lab_reader *reader);

#endif
