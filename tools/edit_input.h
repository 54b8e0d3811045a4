/*
 * Edits from the command line: the EDIT options that several commands share, made for a model, with
 * the values of recorded runs read from a store.
 */
#ifndef SONDE_TOOLS_EDIT_INPUT_H
#define SONDE_TOOLS_EDIT_INPUT_H

#include "analysis/report/result.h"
#include "core/model/edit.h"
#include "tools/cli.h"

struct sonde_edit_options {
    struct sonde_cli_texts edit;
    const char *store; /* of the runs that mean and patch name */
};

/* Rows of an option table whose struct `type` has a struct sonde_edit_options `member`. */
#define SONDE_EDIT_OPTIONS(type, member)                                                           \
    { "", 0, SONDE_CLI_HEADING, 0, NULL, "edits", NULL, 0, 0 },                                    \
        { "edit",                                                                                  \
          0,                                                                                       \
          SONDE_CLI_TEXTS,                                                                         \
          offsetof(type, member.edit),                                                             \
          "EDIT",                                                                                  \
          "change values while the model runs (repeatable): zero SITE, mean SITE[@RUN], "          \
          "set SITE[NEURON] X, add SITE F.npy [SCALE], project-out|keep|flip SITE F.npy, "         \
          "patch SITE from RUN:SEQUENCE, skip LAYER[.attn|.mlp]; a restriction behind the site: "  \
          "SITE[heads=0,2;neurons=5-9;positions=3-;keys=0]",                                       \
          NULL,                                                                                    \
          0,                                                                                       \
          0 },                                                                                     \
    {                                                                                              \
        "edit-store", 0, SONDE_CLI_TEXT, offsetof(type, member.store), "STORE",                    \
            "the store whose runs mean and patch name", NULL, 0, 0                                 \
    }

/* *out is NULL where no edit is given. default_store (may be NULL) is read where the options name
 * no store; it is opened only if an edit needs it, and closed again. */
SONDE_MUST_USE enum sonde_status sonde_edit_input_open(struct sonde_edits **out,
                                                       const struct sonde_edit_options *options,
                                                       const struct sonde_model *model,
                                                       const char *default_store, int64_t control,
                                                       uint64_t seed, struct sonde_error *error);

/* Refuses --edit-control where there is nothing to draw: no edit, or none with a direction, neurons
 * or heads. */
SONDE_MUST_USE enum sonde_status sonde_edit_input_check_control(const struct sonde_edits *edits,
                                                                struct sonde_error *error);

/* The parameter `edits` of a result, where there are any. */
void sonde_edit_input_parameter(const struct sonde_edit_options *options,
                                struct sonde_result *result);

#endif
