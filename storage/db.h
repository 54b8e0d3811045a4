/* SQLite with Sonde's statuses and messages: what the files of this layer share. Private to it. */
#ifndef SONDE_STORAGE_DB_H
#define SONDE_STORAGE_DB_H

#include <sqlite3.h>

#include "storage/store.h"

struct sonde_store {
    sqlite3 *db;
    char *path; /* as given, for messages */
    enum sonde_store_mode mode;
    int version; /* of the file's schema; below the newest only where mode is READ */
    bool in_use; /* by a sink or a label writer */
};

/* Ids are a function of the run and the place in it, so that they do not depend on what else the
 * store holds: sequence and token ids are (run - 1) * 2^40 + ordinal. */
#define SONDE_STORE_ID_SPAN ((int64_t)1 << 40)
#define SONDE_STORE_RUNS_MAX ((int64_t)1 << 22)

/* The largest blob that a chunk's stored form may have; raw chunks are at most 4 MiB. */
#define SONDE_CHUNK_BYTES_MAX ((int64_t)4 << 20)

/* The status and the message of an SQLite result code, the store's path first. */
enum sonde_status sonde_db_error(const struct sonde_store *store, int code,
                                 struct sonde_error *error);
SONDE_MUST_USE enum sonde_status sonde_db_exec(struct sonde_store *store, const char *sql,
                                               struct sonde_error *error);
/* Waits for other writers only shortly; says that the store is being written. */
SONDE_MUST_USE enum sonde_status sonde_db_begin_write(struct sonde_store *store,
                                                      struct sonde_error *error);
void sonde_db_rollback(struct sonde_store *store); /* where a transaction is open */
SONDE_MUST_USE enum sonde_status sonde_db_prepare(struct sonde_store *store, sqlite3_stmt **out,
                                                  const char *sql, struct sonde_error *error);
/* *row: a row is there (true) or the statement is done (false). */
SONDE_MUST_USE enum sonde_status sonde_db_step(struct sonde_store *store, sqlite3_stmt *statement,
                                               bool *row, struct sonde_error *error);
/* Steps a statement that gives no rows, and resets it. */
SONDE_MUST_USE enum sonde_status sonde_db_run(struct sonde_store *store, sqlite3_stmt *statement,
                                              struct sonde_error *error);
/* NULL is bound as NULL. Text is not copied: it must live until the statement is run. */
int sonde_db_bind_text(sqlite3_stmt *statement, int index, const char *text);
/* Heap copy of a text column, "" for NULL. */
SONDE_MUST_USE enum sonde_status sonde_db_copy_text(sqlite3_stmt *statement, int column, char **out,
                                                    struct sonde_error *error);
/* The first column of the first row; fallback where there is no row. */
SONDE_MUST_USE enum sonde_status sonde_db_read_i64(struct sonde_store *store, const char *sql,
                                                   int64_t fallback, int64_t *out,
                                                   struct sonde_error *error);

/* The row of a run. name NULL: the only run, or ARGUMENT naming those there are. */
SONDE_MUST_USE enum sonde_status sonde_db_find_run(struct sonde_store *store, const char *name,
                                                   int64_t *id, struct sonde_error *error);
/* "a, b, c" of the first column of a query with one integer parameter, for messages. */
void sonde_db_list_names(struct sonde_store *store, const char *sql, int64_t parameter, char *out,
                         size_t n);
/* ARGUMENT unless the store may be written and nothing else is writing through this handle. */
SONDE_MUST_USE enum sonde_status sonde_db_check_writable(const struct sonde_store *store,
                                                         struct sonde_error *error);

#endif
