/*
 * Token packs: the ids and flags of a complete run's tokens once more, as plain arrays. A reader
 * needs them all before anything else, and a million rows of the table `token` take SQLite four
 * times as long as a source may take to open. The table stays what counts: `sonde check` compares,
 * and a run without packs (an open one, or one of an older store) is read from the table. Private
 * to storage.
 */
#ifndef SONDE_STORAGE_TOKEN_PACK_H
#define SONDE_STORAGE_TOKEN_PACK_H

#include "storage/db.h"

/* Inside a write transaction: makes the packs of a run of n_tokens tokens. A run in which a token
 * does not fit (flags beyond 8 bits) gets none. */
SONDE_MUST_USE enum sonde_status sonde_token_pack_write(struct sonde_store *store, int64_t run,
                                                        int64_t n_tokens,
                                                        struct sonde_error *error);
/* Reads them: *id, *flags [n_tokens], on the heap; NULL both where the run has no packs. FORMAT
 * where they are damaged or are not of so many tokens. No memory is taken beyond what is stored. */
SONDE_MUST_USE enum sonde_status sonde_token_pack_read(struct sonde_store *store, int64_t run,
                                                       int64_t n_tokens, int32_t **id,
                                                       uint32_t **flags, struct sonde_error *error);

#endif
