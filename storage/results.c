/* Results of probes and studies: archives that this layer does not look into. */
#include <stdlib.h>
#include <string.h>

#include "storage/db.h"

enum sonde_status sonde_store_add_result(struct sonde_store *store, const char *run,
                                         const char *command, const char *command_line,
                                         const char *archive, int64_t archive_bytes,
                                         struct sonde_error *error)
{
    sqlite3_stmt *insert = NULL;
    int64_t run_id = 0;
    enum sonde_status status = sonde_db_check_writable(store, error);
    if (status == SONDE_STATUS_OK && (archive_bytes < 0 || (archive_bytes > 0 && !archive)))
        status = sonde_error_set(error, SONDE_STATUS_ARGUMENT, "%s: a result without an archive",
                                 store->path);
    if (status == SONDE_STATUS_OK)
        status = sonde_db_begin_write(store, error);
    if (status != SONDE_STATUS_OK)
        return status;
    if (run)
        status = sonde_db_find_run(store, run, &run_id, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_db_prepare(store, &insert,
                                  "INSERT INTO result(run, created, command, command_line, archive)"
                                  " VALUES(?1, strftime('%Y-%m-%dT%H:%M:%SZ', 'now'), ?2, ?3, ?4)",
                                  error);
    if (status == SONDE_STATUS_OK) {
        if (run)
            sqlite3_bind_int64(insert, 1, run_id);
        sonde_db_bind_text(insert, 2, command ? command : "");
        sonde_db_bind_text(insert, 3, command_line ? command_line : "");
        int code = sqlite3_bind_blob64(insert, 4, archive_bytes ? archive : "",
                                       (sqlite3_uint64)archive_bytes, SQLITE_STATIC);
        status = code == SQLITE_OK ? sonde_db_run(store, insert, error)
                                   : sonde_db_error(store, code, error);
    }
    sqlite3_finalize(insert);
    if (status == SONDE_STATUS_OK)
        status = sonde_db_exec(store, "COMMIT", error);
    if (status != SONDE_STATUS_OK)
        sonde_db_rollback(store);
    return status;
}

enum sonde_status sonde_store_visit_results(
    struct sonde_store *store,
    enum sonde_status (*visit)(void *ctx, int64_t id, const char *created, const char *command,
                               const char *command_line, const char *archive, int64_t archive_bytes,
                               struct sonde_error *error),
    void *ctx, struct sonde_error *error)
{
    sqlite3_stmt *statement = NULL;
    bool row = true;
    enum sonde_status status = sonde_db_prepare(
        store, &statement,
        "SELECT id, created, command, command_line, archive FROM result ORDER BY id", error);
    while (status == SONDE_STATUS_OK) {
        status = sonde_db_step(store, statement, &row, error);
        if (status != SONDE_STATUS_OK || !row)
            break;
        const char *created = (const char *)sqlite3_column_text(statement, 1);
        const char *command = (const char *)sqlite3_column_text(statement, 2);
        const char *command_line = (const char *)sqlite3_column_text(statement, 3);
        const char *archive = sqlite3_column_blob(statement, 4);
        int64_t bytes = sqlite3_column_bytes(statement, 4);
        if (!created || !command || !command_line || (bytes > 0 && !archive))
            status = sonde_error_memory(error, "a result");
        else
            status = visit(ctx, sqlite3_column_int64(statement, 0), created, command, command_line,
                           archive ? archive : "", bytes, error);
    }
    sqlite3_finalize(statement);
    return status;
}
