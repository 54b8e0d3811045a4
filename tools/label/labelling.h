/* Labelling: what the ways of `sonde label` share. Private to the label command. */
#ifndef SONDE_TOOLS_LABEL_LABELLING_H
#define SONDE_TOOLS_LABEL_LABELLING_H

#include "core/corpus/corpus.h"
#include "storage/store.h"
#include "tools/cli.h"

enum sonde_label_choice { /* --kind */
                          SONDE_LABEL_CHOICE_AUTO,
                          SONDE_LABEL_CHOICE_CLASS,
                          SONDE_LABEL_CHOICE_REAL,
                          SONDE_LABEL_CHOICE_SPAN,
                          SONDE_LABEL_CHOICE_PAIR,
};

struct sonde_labelling {
    const struct sonde_cli *cli;
    struct sonde_store *store;
    struct sonde_source *source; /* of the run */
    const char *set;
    enum sonde_label_choice kind;
    enum sonde_align align;
    bool replace;
    int64_t n_labelled;
    struct sonde_result *result; /* warnings go here */
};

/* Begins a set of the run; end with sonde_labelling_end in every case. */
SONDE_MUST_USE enum sonde_status
sonde_labelling_begin(const struct sonde_labelling *l, enum sonde_label_kind kind,
                      enum sonde_row_space space, const char *origin,
                      struct sonde_label_writer **out, struct sonde_error *error);
/* Commits where status is OK, else abandons; returns the status. */
SONDE_MUST_USE enum sonde_status sonde_labelling_end(struct sonde_labelling *l,
                                                     struct sonde_label_writer **writer,
                                                     enum sonde_status status,
                                                     struct sonde_error *error);

/* The names of --builtin that need nothing but the store; NULL-terminated. */
extern const char *const sonde_label_builtins[];
SONDE_MUST_USE enum sonde_status sonde_label_builtin(struct sonde_labelling *l, const char *kind,
                                                     struct sonde_error *error);
/* An inner variable of a formal language (core/corpus/formal.h); language NULL: the one that the
 * run was recorded from. */
SONDE_MUST_USE enum sonde_status sonde_label_formal(struct sonde_labelling *l, const char *name,
                                                    const char *language,
                                                    struct sonde_error *error);
/* Rows "sequence, position, value", "sequence, value" or "sequence, begin, end, value"; a header
 * row names the columns. */
SONDE_MUST_USE enum sonde_status sonde_label_rows(struct sonde_labelling *l, const char *path,
                                                  struct sonde_error *error);
/* A column of the CoNLL-U file that the run was recorded from. */
SONDE_MUST_USE enum sonde_status sonde_label_conllu(struct sonde_labelling *l, const char *path,
                                                    const char *column, struct sonde_error *error);

#endif
