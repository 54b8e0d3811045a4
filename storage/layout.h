/* Layout: how a stream's values are cut into chunks, and what a store takes on disk. A chunk holds
 * chunk_values values of its stream, the last one fewer; chunk k begins at value k * chunk_values.
 * So where a value lies follows from its number alone. Private to storage. */
#ifndef SONDE_STORAGE_LAYOUT_H
#define SONDE_STORAGE_LAYOUT_H

#include "storage/store.h"

/* A function of the stream's shape and type and of nothing else. */
int64_t sonde_layout_chunk_values(const struct sonde_stream *stream);

/* Values that a stream holds for one sequence of T tokens; false where it does not fit. */
bool sonde_layout_sequence_values(const struct sonde_stream *stream, int64_t T, int64_t *out);

/* FORMAT where the description of a stream makes no sense (name, space, dtype, rank, dim, width).
 */
SONDE_MUST_USE enum sonde_status sonde_layout_check_stream(const struct sonde_stream *stream,
                                                           struct sonde_error *error);

bool sonde_row_space_from_name(const char *name, enum sonde_row_space *out);

#endif
