/*
 * Directions: vectors in the space of a stream that stand for a label, to be given to an edit
 * (`project-out SITE F.npy`).
 */
#ifndef SONDE_PROBES_DIRECTION_H
#define SONDE_PROBES_DIRECTION_H

#include <stdint.h>

#include "core/base/status.h"
#include "core/trace/stream.h"
#include "probes/feature_rows.h"

/* out [D] = Cov(x, y) / Var(y) over sample[n], y indexed by sample number: how far the state moves
 * for one unit of the label. With y = 0, 1 for two classes this is the difference of their means.
 * Zero where y does not vary. Sums in double, in the order of the blocks. */
SONDE_MUST_USE enum sonde_status sonde_direction_fit(struct sonde_features *features,
                                                     const int64_t *sample, int64_t n,
                                                     const double *y, double *out,
                                                     struct sonde_error *error);

/* Writes vector [D] of a stream as an F64 .npy file. place: the file; where it ends in '/', a
 * folder that is made if need be, in which the file is the stream's name and ".npy". */
SONDE_MUST_USE enum sonde_status sonde_direction_save(const char *place,
                                                      const struct sonde_stream *stream,
                                                      const double *vector,
                                                      struct sonde_error *error);
/* ARGUMENT where place is one file for several streams. */
SONDE_MUST_USE enum sonde_status sonde_direction_check_place(const char *place, int64_t n_streams,
                                                             struct sonde_error *error);

#endif
