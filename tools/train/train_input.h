/*
 * What a recipe of `sonde train` says of data, opened: tokenizer, the model's config, examples.
 */
#ifndef SONDE_TOOLS_TRAIN_TRAIN_INPUT_H
#define SONDE_TOOLS_TRAIN_TRAIN_INPUT_H

#include "core/base/progress.h"
#include "core/corpus/formal.h"
#include "core/text/tokenizer.h"
#include "core/train/recipe.h"
#include "tools/train/train_classes.h"

/* A file that goes into the output folder beside the weights. */
struct sonde_train_file {
    const char *name; /* "tokenizer.json" */
    struct sonde_buf bytes;
};
enum { SONDE_TRAIN_FILES_MAX = 3 };

struct sonde_train_input {
    const struct sonde_recipe *recipe;
    struct sonde_tokenizer *tokenizer; /* NULL: ids */
    struct sonde_train_file file[SONDE_TRAIN_FILES_MAX];
    int n_files;
    char formal_ids[SONDE_FORMAL_MAX_SYMBOLS + 2]; /* the symbols in the order of ids, or "" */
    int32_t eos, mask_id;                          /* -1 = none */
    struct sonde_train_classes classes;            /* sorted */
    struct sonde_json *config; /* the model's, with what the tokenizer and the classes say */
    struct sonde_examples *train;
    struct sonde_examples **validation; /* [recipe->n_validations] */
    int64_t *validation_bytes;          /* [recipe->n_validations] of their texts; 0 for ids */
};

/* Opens the tokenizer, reads the classes and completes the config; the recipe outlives the input.
 * max_bytes: of the classes' memory; 0 = no limit. */
SONDE_MUST_USE enum sonde_status sonde_train_input_open(struct sonde_train_input **out,
                                                        const struct sonde_recipe *recipe,
                                                        int64_t max_bytes,
                                                        const struct sonde_progress *progress,
                                                        struct sonde_error *error);
/* Reads all examples. spec: of the model that was made from the config. max_bytes: of the examples'
 * memory; 0 = no limit. */
SONDE_MUST_USE enum sonde_status sonde_train_input_read(struct sonde_train_input *input,
                                                        const struct sonde_spec *spec,
                                                        int64_t max_bytes,
                                                        const struct sonde_progress *progress,
                                                        struct sonde_error *error);
void sonde_train_input_close(struct sonde_train_input **input);

/* LIMIT where the examples take more than max_bytes; 0 = no limit. */
SONDE_MUST_USE enum sonde_status sonde_train_check_bytes(const struct sonde_examples *examples,
                                                         int64_t max_bytes,
                                                         struct sonde_error *error);
/* Strings of a formal language as examples with k-hot targets of the next symbol. spec: as
 * sonde_formal_parse_spec takes it; ids: the symbols in the order of ids, NULL = the spec's own. */
SONDE_MUST_USE enum sonde_status sonde_train_formal(struct sonde_examples **out, const char *spec,
                                                    const char *ids, int64_t max_bytes,
                                                    const struct sonde_progress *progress,
                                                    struct sonde_error *error);
/* A tokenizer.json whose tokens are these symbols, one character each. */
SONDE_MUST_USE enum sonde_status
sonde_train_formal_tokenizer(struct sonde_buf *out, const char *ids, struct sonde_error *error);

#endif
