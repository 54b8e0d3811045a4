/*
 * What a probe run needs from the rest of the program: the probe itself, the model, and a source
 * of activations, be it a store, a text run on the spot, or the random-weights baseline.
 *
 * Activations that are made on the spot go through a temporary store, so that they take the same
 * way, and no more memory, than recorded ones.
 */
#ifndef SONDE_TOOLS_PROBE_INPUT_H
#define SONDE_TOOLS_PROBE_INPUT_H

#include "core/model/edit.h"
#include "core/model/recorder.h"
#include "probes/registry.h"
#include "storage/store.h"
#include "tools/cli.h"

#define SONDE_PROBE_TEMPORARY_MAX 4

struct sonde_probe_input {
    const struct sonde_cli *cli;
    struct sonde_model *model;   /* NULL where none was given or needed */
    struct sonde_store *store;   /* the user's; NULL where activations are made on the spot */
    struct sonde_source *source; /* NULL where the probe reads no activations */
    struct sonde_edits *edits;   /* of the text that is run on the spot; NULL = none */
    struct sonde_edit_pass pass; /* that hook runs */
    struct sonde_hook hook;
    int64_t mem_bytes; /* --mem: what the whole run may hold in memory */
    /* Temporary stores of sources that this run made; closed by finish. */
    struct sonde_store *temporary[SONDE_PROBE_TEMPORARY_MAX];
    int n_temporary;
};

/* Zero-initialise first. Frees everything; accepts half-built inputs. Sources handed out by
 * sonde_probe_input_baseline must have been destroyed. */
void sonde_probe_input_finish(struct sonde_probe_input *input);

/* How --mem is shared out. A source gets an eighth for decoded chunks and maps as much of its file
 * (mapped pages count as memory of the process); the probe's own arrays get what the program does
 * not hold yet, or a quarter where that is more. */
int64_t sonde_probe_input_cache_bytes(const struct sonde_probe_input *input);
int64_t sonde_probe_input_left_bytes(const struct sonde_probe_input *input);

/* Whether path is an SQLite file (by its first bytes). */
bool sonde_probe_input_is_store(const char *path);

/* The model of input->source: the one that was given, else from where the store says it was. Its
 * weights must be the recorded ones. */
SONDE_MUST_USE enum sonde_status sonde_probe_input_open_model(struct sonde_probe_input *input,
                                                              struct sonde_error *error);

/* Whether input->source is a run that was recorded with edits. */
SONDE_MUST_USE enum sonde_status sonde_probe_input_is_edited(const struct sonde_probe_input *input,
                                                             bool *out, struct sonde_error *error);

/* Takes the edits over. */
void sonde_probe_input_set_edits(struct sonde_probe_input *input, struct sonde_edits *edits);

/* Records the reader's sequences at the sites matching patterns into a temporary store and opens a
 * source over it. The edits hold for input->model alone: a baseline's own random values have
 * nothing to do with directions and means of the model's. */
SONDE_MUST_USE enum sonde_status
sonde_probe_input_record(struct sonde_probe_input *input, const struct sonde_model *model,
                         const struct sonde_sequence_reader *reader, const char *patterns,
                         struct sonde_source **out, struct sonde_error *error);

/* The open_baseline of struct sonde_probe_run_args; ctx is a struct sonde_probe_input *. Feeds the
 * token ids of input->source to the same model with random weights; *mem_bytes becomes what is left
 * for the probe's arrays beside it, where that is less. */
SONDE_MUST_USE enum sonde_status sonde_probe_input_baseline(void *ctx, const char *kind,
                                                            const char *patterns,
                                                            struct sonde_source **out,
                                                            int64_t *mem_bytes,
                                                            struct sonde_error *error);

#endif
