/*
 * Recorder: runs sequences through a model and gives what the chosen sites saw to a sink, in the
 * order of the sequences, whatever the number of threads. A value's bits depend on its own sequence
 * alone: sequences share a pass only where a row's bits depend neither on its place nor on the
 * number of rows. Threads without a sequence of their own help with those of others.
 */
#ifndef SONDE_CORE_MODEL_RECORDER_H
#define SONDE_CORE_MODEL_RECORDER_H

#include "core/model/gradient.h"
#include "core/model/model.h"

/* Where sequences come from. next: *out is valid until the next call; *out = NULL at the end. */
struct sonde_sequence_reader {
    void *self;
    enum sonde_status (*next)(void *self, const struct sonde_sequence **out,
                              struct sonde_error *error);
};

/* Whether short sequences may share a pass, up to 256 rows of them. */
enum sonde_packing {
    SONDE_PACKING_AUTO,   /* where sonde_model_rows_stand_alone */
    SONDE_PACKING_NEVER,  /* a pass for each */
    SONDE_PACKING_ALWAYS, /* the caller has asked sonde_model_rows_stand_alone */
};

struct sonde_recorder_options {
    const struct sonde_site_set *sites;
    /* dL/d(value at the site), of each sequence's own loss; NULL or empty = none. Their records
     * come after those of the values. Memory short: by layer (gradient.h), with the same bits. */
    const struct sonde_site_set *gradients;
    /* kind NEXT_TOKEN, TARGETS or LOGIT. targets: one for every token row of the run in order,
     * those of skipped sequences too. */
    struct sonde_loss loss;
    int64_t n_targets;
    enum sonde_dtype dtype; /* only for the size estimate of batches; the sink narrows */
    int n_threads;          /* 0 = all cores */
    int64_t mem_bytes;      /* budget for weights' scratch, captured values and queues; 0 = 1 GiB */
    int64_t batch_bytes;    /* raw bytes between two commits; 0 = 64 MiB. A resumed run needs the
                               same value to commit at the same places */
    int64_t skip_sequences; /* resume: this many are already stored */
    const struct sonde_hook *hooks; /* edits; called from several threads at once */
    int n_hooks;
    enum sonde_packing packing; /* without gradients; these take a pass for each sequence */
    const struct sonde_progress *progress;
};
struct sonde_recorder_stats {
    int64_t n_sequences, n_tokens, n_rows; /* n_rows: token rows over all token streams + maps */
    int64_t bytes_raw;
    int64_t n_nonfinite;
    double seconds_forward; /* wall time in which at least the forward passes ran */
    double loss_sum;        /* over the sequences, where gradients were recorded */
    int64_t n_packed;       /* sequences that shared a pass */
    int64_t n_by_layer;     /* sequences whose gradients were formed by layer */
};

/* The streams that recording these sites gives, in the order that put() gets their records. streams
 * has room for sonde_site_set_count(sites). */
void sonde_recorder_streams(const struct sonde_model *model, const struct sonde_site_set *sites,
                            enum sonde_dtype dtype, struct sonde_stream *streams);
/* The same of their gradients: streams "grad:NAME". */
void sonde_recorder_gradient_streams(const struct sonde_model *model,
                                     const struct sonde_site_set *sites, enum sonde_dtype dtype,
                                     struct sonde_stream *streams);
/* Refuses what is no loss of this model: one without an unembedding, ids beyond the outputs, the
 * next token where attention sees it or the outputs are not the vocabulary. */
SONDE_MUST_USE enum sonde_status sonde_recorder_check_loss(const struct sonde_model *model,
                                                           const struct sonde_loss *loss,
                                                           int64_t n_targets,
                                                           struct sonde_error *error);

/* Batches end (sink->commit) after a number of sequences that depends on the sequences alone (their
 * tokens and the sites' widths), never on threads or mem_bytes. LIMIT with the least budget that
 * works where mem_bytes is too small for the longest sequence. Does not finish the sink. */
SONDE_MUST_USE enum sonde_status
sonde_recorder_run(const struct sonde_model *model, const struct sonde_sequence_reader *reader,
                   struct sonde_sink *sink, const struct sonde_recorder_options *options,
                   struct sonde_recorder_stats *stats, struct sonde_error *error);

#endif
