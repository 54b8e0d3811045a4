/*
 * Input: the INPUT options that several commands share, and the sequences that they give: texts or
 * ids from a corpus, tokenized, cut into windows where they are longer than the context.
 *
 * Windows: the tokens that the BOS policy put in front (and, for encoders, behind) of an item stand
 * in every one of its windows; the rest is cut at fixed multiples of (context - those tokens) from
 * the item's start, so a window's content depends on the item alone. The byte spans of a window's
 * tokens refer to the part of the text that the window covers.
 */
#ifndef SONDE_TOOLS_INPUT_H
#define SONDE_TOOLS_INPUT_H

#include "core/corpus/corpus.h"
#include "core/model/recorder.h"
#include "tools/cli.h"

struct sonde_input_options {
    struct sonde_cli_texts text;
    const char *file, *jsonl, *field, *conllu, *formal, *ids;
    bool whole;
    int bos;            /* enum sonde_bos_policy */
    int64_t max_tokens; /* in all; the sequence that would pass it is cut there; 0 = no limit */
};

extern const char *const sonde_input_bos_names[]; /* in the order of enum sonde_bos_policy */

/* Rows of an option table whose struct `type` has a struct sonde_input_options `member`. */
#define SONDE_INPUT_OPTIONS(type, member)                                                          \
    { "", 0, SONDE_CLI_HEADING, 0, NULL, "input", NULL, 0, 0 },                                    \
        { "text",                                                                                  \
          0,                                                                                       \
          SONDE_CLI_TEXTS,                                                                         \
          offsetof(type, member.text),                                                             \
          "TEXT",                                                                                  \
          "this text is a sequence (repeatable)",                                                  \
          NULL,                                                                                    \
          0,                                                                                       \
          0 },                                                                                     \
        { "file",                                                                                  \
          0,                                                                                       \
          SONDE_CLI_TEXT,                                                                          \
          offsetof(type, member.file),                                                             \
          "FILE",                                                                                  \
          "one sequence a line",                                                                   \
          NULL,                                                                                    \
          0,                                                                                       \
          0 },                                                                                     \
        { "whole",                                                                                 \
          0,                                                                                       \
          SONDE_CLI_FLAG,                                                                          \
          offsetof(type, member.whole),                                                            \
          NULL,                                                                                    \
          "the whole of --file is one sequence",                                                   \
          NULL,                                                                                    \
          0,                                                                                       \
          0 },                                                                                     \
        { "jsonl",                                                                                 \
          0,                                                                                       \
          SONDE_CLI_TEXT,                                                                          \
          offsetof(type, member.jsonl),                                                            \
          "FILE",                                                                                  \
          "a JSON object a line; --field holds the text",                                          \
          NULL,                                                                                    \
          0,                                                                                       \
          0 },                                                                                     \
        { "field",                                                                                 \
          0,                                                                                       \
          SONDE_CLI_TEXT,                                                                          \
          offsetof(type, member.field),                                                            \
          "NAME",                                                                                  \
          "field of --jsonl (default text)",                                                       \
          NULL,                                                                                    \
          0,                                                                                       \
          0 },                                                                                     \
        { "conllu",                                                                                \
          0,                                                                                       \
          SONDE_CLI_TEXT,                                                                          \
          offsetof(type, member.conllu),                                                           \
          "FILE",                                                                                  \
          "sentences of a CoNLL-U file",                                                           \
          NULL,                                                                                    \
          0,                                                                                       \
          0 },                                                                                     \
        { "formal",                                                                                \
          0,                                                                                       \
          SONDE_CLI_TEXT,                                                                          \
          offsetof(type, member.formal),                                                           \
          "SPEC",                                                                                  \
          "strings of a formal language, a token a symbol: dyck-1:n=1000,len=2..50; also seed=N, " \
          "generator=grammar|walk, repeats=yes|no, ids=T() for a model without a tokenizer",       \
          NULL,                                                                                    \
          0,                                                                                       \
          0 },                                                                                     \
        { "ids",                                                                                   \
          0,                                                                                       \
          SONDE_CLI_TEXT,                                                                          \
          offsetof(type, member.ids),                                                              \
          "FILE.npy",                                                                              \
          "token ids [n] or [sequences, n]; a negative id ends a row",                             \
          NULL,                                                                                    \
          0,                                                                                       \
          0 },                                                                                     \
        { "bos",                                                                                   \
          0,                                                                                       \
          SONDE_CLI_CHOICE,                                                                        \
          offsetof(type, member.bos),                                                              \
          NULL,                                                                                    \
          "token at the beginning (default auto: as the tokenizer's files say)",                   \
          sonde_input_bos_names,                                                                   \
          0,                                                                                       \
          0 },                                                                                     \
    {                                                                                              \
        "max-tokens", 0, SONDE_CLI_INTEGER, offsetof(type, member.max_tokens), "N",                \
            "stop after N tokens in all; the last sequence is cut there", NULL, 1, INT64_MAX       \
    }

bool sonde_input_is_given(const struct sonde_input_options *options);

/* ARGUMENT unless exactly one kind of input is given, with options that belong to it. */
SONDE_MUST_USE enum sonde_status sonde_input_check(const struct sonde_input_options *options,
                                                   struct sonde_error *error);

struct sonde_input; /* opaque */

/* Checks the options too. The options and the model must outlive the
 * input. */
SONDE_MUST_USE enum sonde_status sonde_input_open(struct sonde_input **out,
                                                  const struct sonde_input_options *options,
                                                  const struct sonde_model *model,
                                                  struct sonde_error *error);
void sonde_input_close(struct sonde_input **input);
/* Belongs to the input; one pass. */
const struct sonde_sequence_reader *sonde_input_reader(struct sonde_input *input);

struct sonde_input_counts {
    int64_t items, sequences, tokens;
    int64_t text_bytes; /* of the sequences' texts */
    int64_t cut_items;  /* items longer than the context, cut into windows */
    int64_t windows;    /* sequences beyond the first of such items */
    int64_t empty;      /* items without a token, left out */
    int64_t unknown;    /* tokens that are the tokenizer's unknown token */
    bool stopped;       /* --max-tokens was reached */
};
/* Of what the reader has given up to now. */
const struct sonde_input_counts *sonde_input_get_counts(const struct sonde_input *input);
/* Bytes of the corpus read and in all, for progress. */
void sonde_input_position(const struct sonde_input *input, int64_t *done, int64_t *total);
/* Adds a line for cut, left out and unknown things to a result's warnings. */
void sonde_input_warn(const struct sonde_input *input, struct sonde_result *result);

/* What identifies the input, as JSON: {"kind", "path" or "spec", "field", "sha256"}; sha256 over
 * the file's bytes, or over each text followed by a NUL. Reads the file, or makes the strings,
 * once. */
SONDE_MUST_USE enum sonde_status sonde_input_describe(const struct sonde_input_options *options,
                                                      struct sonde_buf *out,
                                                      struct sonde_error *error);
/* SHA-256 of a file, hex. */
SONDE_MUST_USE enum sonde_status sonde_input_hash_file(const char *path, char *hex /* [65] */,
                                                       struct sonde_error *error);

#endif
