/* Run: the rows of the tables model and run. Private to storage. */
#ifndef SONDE_STORAGE_RUN_H
#define SONDE_STORAGE_RUN_H

#include "storage/db.h"

/* Inside a write transaction: finds the run to be resumed, or makes rows for model, run and
 * streams. *complete: there is nothing left to write. */
SONDE_MUST_USE enum sonde_status
sonde_run_prepare(struct sonde_store *store, const struct sonde_store_model *model,
                  const struct sonde_run_info *info, const struct sonde_stream *streams,
                  int64_t n_streams, int64_t *id, bool *complete, struct sonde_error *error);

#endif
