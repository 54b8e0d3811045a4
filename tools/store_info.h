/* What a store holds, as a result: for `sonde info` and the first section of `sonde report`. */
#ifndef SONDE_TOOLS_STORE_INFO_H
#define SONDE_TOOLS_STORE_INFO_H

#include "analysis/report/result.h"
#include "storage/store.h"

/* The heap result "info" with tables runs, streams, labels and results. */
SONDE_MUST_USE enum sonde_status sonde_store_info(struct sonde_store *store, const char *path,
                                                  struct sonde_result **out,
                                                  struct sonde_error *error);

/* Size of the file; 0 where it cannot be told. */
int64_t sonde_store_file_bytes(const char *path);

#endif
