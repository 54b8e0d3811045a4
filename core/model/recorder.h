/*
 * Recorder: runs sequences through a model and gives what the chosen sites saw to a sink, in the
 * order of the sequences, whatever the number of threads. The unit of work is one sequence on one
 * worker's session, so a value's bits depend on its own sequence alone.
 */
#ifndef SONDE_CORE_MODEL_RECORDER_H
#define SONDE_CORE_MODEL_RECORDER_H

#include "core/model/model.h"

/* Where sequences come from. next: *out is valid until the next call; *out = NULL at the end. */
struct sonde_sequence_reader {
    void *self;
    enum sonde_status (*next)(void *self, const struct sonde_sequence **out,
                              struct sonde_error *error);
};

struct sonde_recorder_options {
    const struct sonde_site_set *sites;
    enum sonde_dtype dtype; /* only for the size estimate of batches; the sink narrows */
    int n_threads;          /* 0 = all cores */
    int64_t mem_bytes;      /* budget for weights' scratch, captured values and queues; 0 = 1 GiB */
    int64_t batch_bytes;    /* raw bytes between two commits; 0 = 64 MiB. A resumed run needs the
                               same value to commit at the same places */
    int64_t skip_sequences; /* resume: this many are already stored */
    const struct sonde_hook *hooks; /* edits; called from several threads at once */
    int n_hooks;
    const struct sonde_progress *progress;
};
struct sonde_recorder_stats {
    int64_t n_sequences, n_tokens, n_rows; /* n_rows: token rows over all token streams + maps */
    int64_t bytes_raw;
    int64_t n_nonfinite;
    double seconds_forward; /* wall time in which at least the forward passes ran */
};

/* The streams that recording these sites gives, in the order that put() gets their records. streams
 * has room for sonde_site_set_count(sites). */
void sonde_recorder_streams(const struct sonde_model *model, const struct sonde_site_set *sites,
                            enum sonde_dtype dtype, struct sonde_stream *streams);

/* Batches end (sink->commit) after a number of sequences that depends on the sequences alone (their
 * tokens and the sites' widths), never on threads or mem_bytes. LIMIT with the least budget that
 * works where mem_bytes is too small for the longest sequence. Does not finish the sink. */
SONDE_MUST_USE enum sonde_status
sonde_recorder_run(const struct sonde_model *model, const struct sonde_sequence_reader *reader,
                   struct sonde_sink *sink, const struct sonde_recorder_options *options,
                   struct sonde_recorder_stats *stats, struct sonde_error *error);

#endif
