/*
 * Recording: sequences of a model at some sites into runs of a store. What `sonde record` does,
 * without its options and its result; studies record with it too.
 *
 * Open once, then one sonde_recording_run per run (the run itself, then its controls), each with a
 * reader and edits of its own; close.
 */
#ifndef SONDE_TOOLS_RECORDING_H
#define SONDE_TOOLS_RECORDING_H

#include "core/model/edit.h"
#include "core/model/recorder.h"
#include "storage/store.h"
#include "tools/cli.h"
#include "tools/loss_input.h"

#define SONDE_RECORDING_MEM_DEFAULT ((int64_t)1 << 30)

/* Strings are borrowed for as long as the recording is open. */
struct sonde_recording_options {
    const char *store; /* path; made where absent, else runs are added */
    const char *sites; /* patterns of core/trace/site.h, grad: ones too; NULL = resid */
    const char *loss;  /* of gradients (loss_input.h); NULL = next-token */
    const char *bos;   /* name of the policy that the reader follows; kept with the run */
    int64_t max_tokens;
    enum sonde_dtype dtype; /* of what is stored */
    enum sonde_codec codec;
    int64_t mem_bytes; /* --mem: what the whole process may take; 0 = the default */
    bool resume;
};

/* Read-only for callers. */
struct sonde_recording {
    const struct sonde_cli *cli; /* seed, threads, progress, command line */
    const struct sonde_recording_options *options;
    const struct sonde_model *model;
    struct sonde_site_set *sites; /* [2]: values, gradients */
    struct sonde_loss_input loss; /* where there are gradients */
    struct sonde_stream *streams; /* [n_streams] of values, then of gradients */
    int64_t n_streams;
    struct sonde_store *store;  /* NULL before the first run */
    enum sonde_packing packing; /* AUTO before the first run, then what the model allows */
    /* Of the run that was recorded last. */
    int64_t n_done;    /* sequences that an earlier attempt left */
    bool was_complete; /* resume of a run that had nothing left to do */
    struct sonde_recorder_stats stats;
    const char *bounded_by; /* "model", "zlib" or "disk"; NULL: nothing was recorded */
};

/* Zero-initialise first. Finds the sites and their streams; touches no store. cli, model and
 * options must outlive the recording. */
SONDE_MUST_USE enum sonde_status sonde_recording_open(struct sonde_recording *recording,
                                                      const struct sonde_cli *cli,
                                                      const struct sonde_model *model,
                                                      const struct sonde_recording_options *options,
                                                      struct sonde_error *error);
/* Closes the store too. Accepts half-opened recordings. */
void sonde_recording_close(struct sonde_recording *recording);

bool sonde_recording_has_gradients(const struct sonde_recording *recording);

/* name NULL = "run-1", "run-2", ..; input: JSON that identifies the sequences
 * (sonde_input_describe); edits NULL = none. After CANCELLED the store holds what was committed. */
SONDE_MUST_USE enum sonde_status sonde_recording_run(struct sonde_recording *recording,
                                                     const char *name, const char *input,
                                                     const struct sonde_edits *edits,
                                                     const struct sonde_sequence_reader *reader,
                                                     struct sonde_error *error);

/* What a store keeps of a model whose hash is known. Strings belong to the model. */
struct sonde_store_model sonde_recording_describe_model(const struct sonde_model *model,
                                                        const char *hash);

#endif
