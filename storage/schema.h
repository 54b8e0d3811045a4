/* Schema: the tables of a store, their versions, and the proof that a file has exactly them.
 * Private to storage; storage/README.md describes every table. */
#ifndef SONDE_STORAGE_SCHEMA_H
#define SONDE_STORAGE_SCHEMA_H

#include "storage/db.h"

#define SONDE_STORE_APPLICATION_ID 0x536f6e64 /* "Sond" */
#define SONDE_STORE_PAGE_BYTES 65536

/* The schema version that this build writes (PRAGMA user_version). */
int sonde_schema_version(void);
/* Makes the tables in an empty database. */
SONDE_MUST_USE enum sonde_status sonde_schema_create(struct sonde_store *store,
                                                     struct sonde_error *error);
/* FORMAT where the file is no store or its schema is not exactly that of its version; UNSUPPORTED
 * where it is newer. Older versions are brought up to date where the store is opened for writing,
 * and read as they are otherwise; store->version says which. */
SONDE_MUST_USE enum sonde_status sonde_schema_check(struct sonde_store *store,
                                                    struct sonde_error *error);
/* Tables and indexes; each takes a page even when it is empty. For the size estimate. */
#define SONDE_SCHEMA_BTREES 20

#endif
