/*
 * Append: the writing end of one run inside an open transaction: sequences, tokens and chunks into
 * rows. What is in the file after a commit does not depend on where the commits were, except
 * for the table `tail`, which holds the values of chunks that are not full yet and is empty once
 * the run is complete. Private to storage; one thread at a time.
 */
#ifndef SONDE_STORAGE_APPEND_H
#define SONDE_STORAGE_APPEND_H

#include "storage/codec.h"
#include "storage/db.h"
#include "storage/fill.h"

struct sonde_append; /* opaque */

/* Takes up the run where its rows end: the same call for a fresh and for an interrupted run. FORMAT
 * where chunks, tails and sequences disagree. only >= 0: just this stream of the run, which must
 * be empty, for adding it to sequences that are there; it is number 0 in the calls below. */
SONDE_MUST_USE enum sonde_status sonde_append_create(struct sonde_append **out,
                                                     struct sonde_store *store, int64_t run,
                                                     int64_t only, struct sonde_error *error);
void sonde_append_destroy(struct sonde_append **append);
int64_t sonde_append_sequences(const struct sonde_append *append); /* so many are there */
/* What fills the chunks of the run; taken up where its values end. It may be used on another thread
 * than the functions below. */
struct sonde_fill *sonde_append_fill(struct sonde_append *append);

/* Adds a sequence row and its token rows. */
SONDE_MUST_USE enum sonde_status sonde_append_sequence(struct sonde_append *append,
                                                       const struct sonde_sequence *sequence,
                                                       struct sonde_error *error);
/* A chunk of its stream, encoded. */
SONDE_MUST_USE enum sonde_status sonde_append_chunk(struct sonde_append *append,
                                                    const struct sonde_chunk *chunk,
                                                    struct sonde_error *error);
/* Encodes a chunk; its data stay. Any thread, with a coder of its own. */
SONDE_MUST_USE enum sonde_status sonde_append_encode(struct sonde_coder *coder,
                                                     struct sonde_chunk *chunk,
                                                     struct sonde_error *error);
/* Before a commit: values of a chunk that is not full, behind those that were saved before. */
struct sonde_tail {
    int64_t stream, first_value, n_values, n_bytes;
    const void *data;
};
SONDE_MUST_USE enum sonde_status sonde_append_tail(struct sonde_append *append,
                                                   const struct sonde_tail *tail,
                                                   struct sonde_error *error);
/* The last step before a commit. */
SONDE_MUST_USE enum sonde_status sonde_append_flush(struct sonde_append *append,
                                                    struct sonde_error *error);
/* Before the last commit, in this order: all tails go (the last chunks then find room in the
 * file's free pages), the last chunks are added, the run becomes complete. */
SONDE_MUST_USE enum sonde_status sonde_append_drop_tails(struct sonde_append *append,
                                                         struct sonde_error *error);
SONDE_MUST_USE enum sonde_status sonde_append_complete(struct sonde_append *append,
                                                       struct sonde_error *error);

/* For writing on the caller's thread: fills, encodes and adds; values are of the stream's dtype. */
SONDE_MUST_USE enum sonde_status sonde_append_raw(struct sonde_append *append, int64_t i,
                                                  const void *values, int64_t n,
                                                  struct sonde_error *error);
/* The three steps before the last commit. */
SONDE_MUST_USE enum sonde_status sonde_append_end(struct sonde_append *append,
                                                  struct sonde_error *error);

/* Inserts the row of a stream, the one at `ordinal` of the run. */
SONDE_MUST_USE enum sonde_status sonde_append_add_stream(struct sonde_store *store, int64_t run,
                                                         int64_t ordinal,
                                                         const struct sonde_stream *stream,
                                                         enum sonde_codec codec, const char *origin,
                                                         struct sonde_error *error);

/* A stream as the file has it, validated. */
struct sonde_stream_row {
    int64_t id;
    struct sonde_stream stream; /* n_rows is left 0 */
    enum sonde_codec codec;
    int64_t chunk_values;
};
/* The streams of a run in their order; *out is freed with free(). */
SONDE_MUST_USE enum sonde_status sonde_append_read_streams(struct sonde_store *store, int64_t run,
                                                           struct sonde_stream_row **out,
                                                           int64_t *n, struct sonde_error *error);

#endif
