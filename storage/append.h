/*
 * Append: the writing end of one run inside an open transaction: sequences, tokens and values in,
 * chunks out. What is in the file after a commit does not depend on where the commits were, except
 * for the table `tail`, which holds the values of chunks that are not full yet and is empty once
 * the run is complete. Private to storage; one thread at a time.
 */
#ifndef SONDE_STORAGE_APPEND_H
#define SONDE_STORAGE_APPEND_H

#include "storage/codec.h"
#include "storage/db.h"

struct sonde_append; /* opaque */

/* Takes up the run where its rows end: the same call for a fresh and for an interrupted run. FORMAT
 * where chunks, tails and sequences disagree. only >= 0: just this stream of the run, which must
 * be empty, for adding it to sequences that are there; it is number 0 in the calls below. */
SONDE_MUST_USE enum sonde_status sonde_append_create(struct sonde_append **out,
                                                     struct sonde_store *store, int64_t run,
                                                     int64_t only, struct sonde_error *error);
void sonde_append_destroy(struct sonde_append **append);
int64_t sonde_append_sequences(const struct sonde_append *append); /* so many are there */

/* Adds a sequence row and its token rows. */
SONDE_MUST_USE enum sonde_status sonde_append_sequence(struct sonde_append *append,
                                                       const struct sonde_sequence *sequence,
                                                       struct sonde_error *error);
/* Adds n values to stream i of the run, narrowed to its dtype. */
SONDE_MUST_USE enum sonde_status sonde_append_values(struct sonde_append *append, int64_t i,
                                                     const float *values, int64_t n,
                                                     struct sonde_error *error);
/* The same with values that are of the stream's dtype already. */
SONDE_MUST_USE enum sonde_status sonde_append_raw(struct sonde_append *append, int64_t i,
                                                  const void *values, int64_t n,
                                                  struct sonde_error *error);
/* Before a commit: what is in memory goes to the file. */
SONDE_MUST_USE enum sonde_status sonde_append_flush(struct sonde_append *append,
                                                    struct sonde_error *error);
/* Before the last commit: the last chunks are written, the run becomes complete. */
SONDE_MUST_USE enum sonde_status sonde_append_complete(struct sonde_append *append,
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
