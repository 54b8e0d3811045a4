#include "storage/db.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BEGIN_WAIT_MS 2000
#define BUSY_WAIT_MS 30000

enum sonde_status sonde_db_error(const struct sonde_store *store, int code,
                                 struct sonde_error *error)
{
    const char *path = store->path;
    const char *text = store->db ? sqlite3_errmsg(store->db) : sqlite3_errstr(code);
    int system_error = store->db ? sqlite3_system_errno(store->db) : 0;
    switch (code & 0xff) {
    case SQLITE_NOTADB:
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "%s: is not a Sonde store: no SQLite file", path);
    case SQLITE_CORRUPT:
    case SQLITE_FORMAT:
        return sonde_error_set(error, SONDE_STATUS_FORMAT, "%s: the store is damaged: %s", path,
                               text);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return sonde_error_set(error, SONDE_STATUS_IO, "%s: the store is in use by another process",
                               path);
    case SQLITE_FULL:
        return sonde_error_set(error, SONDE_STATUS_IO, "%s: no space left on the disk", path);
    case SQLITE_READONLY:
        return sonde_error_set(error, SONDE_STATUS_IO, "%s: the store is read-only", path);
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        if ((code & 0xff) == SQLITE_IOERR && code == SQLITE_IOERR_NOMEM)
            return sonde_error_memory(error, path);
        return sonde_error_set(error, SONDE_STATUS_IO, "%s: %s%s%s", path, text,
                               system_error ? ": " : "",
                               system_error ? strerror(system_error) : "");
    case SQLITE_NOMEM:
        return sonde_error_memory(error, path);
    case SQLITE_TOOBIG:
        return sonde_error_set(error, SONDE_STATUS_LIMIT, "%s: %s", path, text);
    default:
        return sonde_error_set(error, SONDE_STATUS_FORMAT, "%s: %s", path, text);
    }
}

enum sonde_status sonde_db_exec(struct sonde_store *store, const char *sql,
                                struct sonde_error *error)
{
    int code = sqlite3_exec(store->db, sql, NULL, NULL, NULL);
    return code == SQLITE_OK ? SONDE_STATUS_OK : sonde_db_error(store, code, error);
}

enum sonde_status sonde_db_begin_write(struct sonde_store *store, struct sonde_error *error)
{
    sqlite3_busy_timeout(store->db, BEGIN_WAIT_MS);
    int code = sqlite3_exec(store->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    sqlite3_busy_timeout(store->db, BUSY_WAIT_MS);
    if (code == SQLITE_OK)
        return SONDE_STATUS_OK;
    if ((code & 0xff) == SQLITE_BUSY)
        return sonde_error_set(error, SONDE_STATUS_IO,
                               "%s: the store is being written by another process", store->path);
    return sonde_db_error(store, code, error);
}

void sonde_db_rollback(struct sonde_store *store)
{
    if (store->db && !sqlite3_get_autocommit(store->db))
        sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
}

enum sonde_status sonde_db_prepare(struct sonde_store *store, sqlite3_stmt **out, const char *sql,
                                   struct sonde_error *error)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(store->db, sql, -1, &statement, NULL);
    if (code != SQLITE_OK)
        return sonde_db_error(store, code, error);
    *out = statement;
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_db_step(struct sonde_store *store, sqlite3_stmt *statement, bool *row,
                                struct sonde_error *error)
{
    int code = sqlite3_step(statement);
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        return sonde_db_error(store, code, error);
    *row = code == SQLITE_ROW;
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_db_run(struct sonde_store *store, sqlite3_stmt *statement,
                               struct sonde_error *error)
{
    int code = sqlite3_step(statement);
    enum sonde_status status = SONDE_STATUS_OK;
    if (code != SQLITE_DONE && code != SQLITE_ROW)
        status = sonde_db_error(store, code, error);
    sqlite3_reset(statement);
    return status;
}

int sonde_db_bind_text(sqlite3_stmt *statement, int index, const char *text)
{
    return text ? sqlite3_bind_text(statement, index, text, -1, SQLITE_STATIC)
                : sqlite3_bind_null(statement, index);
}

enum sonde_status sonde_db_copy_text(sqlite3_stmt *statement, int column, char **out,
                                     struct sonde_error *error)
{
    const char *text = (const char *)sqlite3_column_text(statement, column);
    char *copy = sonde_strdup(text ? text : "");
    if (!copy)
        return sonde_error_memory(error, "a text of the store");
    *out = copy;
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_db_read_i64(struct sonde_store *store, const char *sql, int64_t fallback,
                                    int64_t *out, struct sonde_error *error)
{
    sqlite3_stmt *statement = NULL;
    bool row = false;
    enum sonde_status status = sonde_db_prepare(store, &statement, sql, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_db_step(store, statement, &row, error);
    if (status == SONDE_STATUS_OK)
        *out = row ? sqlite3_column_int64(statement, 0) : fallback;
    sqlite3_finalize(statement);
    return status;
}

void sonde_db_list_names(struct sonde_store *store, const char *sql, int64_t parameter, char *out,
                         size_t n)
{
    sqlite3_stmt *statement = NULL;
    size_t used = 0;
    out[0] = '\0';
    if (sqlite3_prepare_v2(store->db, sql, -1, &statement, NULL) != SQLITE_OK)
        return;
    if (sqlite3_bind_parameter_count(statement) > 0)
        sqlite3_bind_int64(statement, 1, parameter);
    while (sqlite3_step(statement) == SQLITE_ROW && used < n) {
        const char *text = (const char *)sqlite3_column_text(statement, 0);
        int written = snprintf(out + used, n - used, "%s%s", used ? ", " : "", text ? text : "");
        if (written < 0 || (size_t)written >= n - used) {
            /* Where the list is long it ends in dots; cutting in mid-name is no loss. */
            if (n > 4)
                memcpy(out + n - 4, "...", 4);
            break;
        }
        used += (size_t)written;
    }
    sqlite3_finalize(statement);
    if (!out[0])
        snprintf(out, n, "none");
}

enum sonde_status sonde_db_find_run(struct sonde_store *store, const char *name, int64_t *id,
                                    struct sonde_error *error)
{
    sqlite3_stmt *statement = NULL;
    const char *sql = name ? "SELECT id FROM run WHERE name = ?1" : "SELECT id FROM run LIMIT 2";
    enum sonde_status status = sonde_db_prepare(store, &statement, sql, error);
    if (status != SONDE_STATUS_OK)
        return status;
    if (name)
        sonde_db_bind_text(statement, 1, name);
    int64_t found = 0, n = 0;
    bool row = true;
    while (status == SONDE_STATUS_OK && row) {
        status = sonde_db_step(store, statement, &row, error);
        if (status == SONDE_STATUS_OK && row && n++ == 0)
            found = sqlite3_column_int64(statement, 0);
    }
    sqlite3_finalize(statement);
    if (status != SONDE_STATUS_OK)
        return status;
    if (n == 1 && found >= 1 && found <= SONDE_STORE_RUNS_MAX) {
        *id = found;
        return SONDE_STATUS_OK;
    }
    if (n == 1)
        return sonde_error_set(error, SONDE_STATUS_FORMAT, "%s: run id %lld is out of range",
                               store->path, (long long)found);
    char names[512];
    sonde_db_list_names(store, "SELECT name FROM run ORDER BY id", 0, names, sizeof(names));
    if (name)
        return sonde_error_set(error, SONDE_STATUS_NOT_FOUND,
                               "%s: no run '%s'; runs of this store: %s", store->path, name, names);
    if (n == 0)
        return sonde_error_set(error, SONDE_STATUS_NOT_FOUND, "%s: the store holds no run",
                               store->path);
    return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                           "%s: the store holds several runs, name one: %s", store->path, names);
}

enum sonde_status sonde_db_check_writable(const struct sonde_store *store,
                                          struct sonde_error *error)
{
    if (store->mode == SONDE_STORE_READ)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "%s: the store was opened for reading only", store->path);
    if (store->in_use)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "%s: this handle is already writing something", store->path);
    return SONDE_STATUS_OK;
}
