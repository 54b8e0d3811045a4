#include "storage/store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/db.h"
#include "storage/schema.h"

/* Limits for files of unknown origin. Our longest rows are chunks (4 MiB) and result archives. */
#define VALUE_BYTES_MAX 1000000000
#define SQL_BYTES_MAX (1 << 20)
#define MMAP_BYTES "2147418112"

static const char *kind_name(mode_t mode)
{
    return S_ISDIR(mode)    ? "a directory"
           : S_ISFIFO(mode) ? "a pipe"
           : S_ISSOCK(mode) ? "a socket"
                            : "a device";
}

/* Whether the path may be opened: decided by stat, never by opening, because closing a file
 * descriptor would drop the locks that other handles of this process hold on the file. */
static enum sonde_status check_path(const char *path, enum sonde_store_mode mode, bool *fresh,
                                    bool *own, struct sonde_error *error)
{
    struct stat info;
    *fresh = false;
    *own = true;
    if (!path || !path[0])
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT, "the store's path is empty");
    if (stat(path, &info) != 0) {
        if (errno != ENOENT)
            return sonde_error_set(error, SONDE_STATUS_IO, "%s: %s", path, strerror(errno));
        if (mode != SONDE_STORE_CREATE)
            return sonde_error_set(error, SONDE_STATUS_NOT_FOUND, "%s: no such store", path);
        *fresh = true;
        return SONDE_STATUS_OK;
    }
    if (!S_ISREG(info.st_mode))
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT, "%s: is %s, expected a store", path,
                               kind_name(info.st_mode));
    *own = info.st_uid == geteuid() && !(info.st_mode & (S_IWGRP | S_IWOTH));
    *fresh = info.st_size == 0;
    if (*fresh && mode != SONDE_STORE_CREATE)
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "%s: is not a Sonde store: the file is empty", path);
    return SONDE_STATUS_OK;
}

/* SQLite takes names that begin with "file:" or ':' as something else than a path. */
static char *plain_path(const char *path)
{
    if (path[0] == '/')
        return sonde_strdup(path);
    size_t n = strlen(path) + 3;
    char *plain = malloc(n);
    if (plain) {
        memcpy(plain, "./", 2);
        memcpy(plain + 2, path, n - 2);
    }
    return plain;
}

static enum sonde_status harden(struct sonde_store *store, struct sonde_error *error)
{
    sqlite3 *db = store->db;
    sqlite3_extended_result_codes(db, 1);
    sqlite3_busy_timeout(db, 30000);
    sqlite3_limit(db, SQLITE_LIMIT_LENGTH, VALUE_BYTES_MAX);
    sqlite3_limit(db, SQLITE_LIMIT_SQL_LENGTH, SQL_BYTES_MAX);
    sqlite3_limit(db, SQLITE_LIMIT_ATTACHED, 0);
    sqlite3_limit(db, SQLITE_LIMIT_TRIGGER_DEPTH, 1);
    sqlite3_limit(db, SQLITE_LIMIT_WORKER_THREADS, 0);
    sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
    return sonde_db_exec(store, "PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY", error);
}

/*
 * synchronous = EXTRA with a rollback journal: the journal, the file and the directory are synced
 * at each commit, so a commit that has returned survives a power loss too. Pages added at the end
 * of the file need no journal, so appending writes everything once. WAL writes everything twice.
 */
static enum sonde_status tune(struct sonde_store *store, bool own, struct sonde_error *error)
{
    enum sonde_status status = SONDE_STATUS_OK;
    if (store->mode == SONDE_STORE_READ)
        status = sonde_db_exec(store, "PRAGMA query_only = ON; PRAGMA cache_size = -8192", error);
    else
        status = sonde_db_exec(store,
                               "PRAGMA journal_mode = DELETE; PRAGMA synchronous = EXTRA;"
                               "PRAGMA secure_delete = OFF; PRAGMA foreign_keys = OFF;"
                               "PRAGMA cache_size = -32768",
                               error);
    /* A mapped file that somebody else cuts short kills the process, so only files that nobody
     * but their owner, us, may write are mapped. */
    if (status == SONDE_STATUS_OK && own && store->mode == SONDE_STORE_READ)
        status = sonde_db_exec(store, "PRAGMA mmap_size = " MMAP_BYTES, error);
    return status;
}

enum sonde_status sonde_store_open(struct sonde_store **out, const char *path,
                                   enum sonde_store_mode mode, struct sonde_error *error)
{
    bool fresh, own;
    enum sonde_status status = check_path(path, mode, &fresh, &own, error);
    if (status != SONDE_STATUS_OK)
        return status;
    struct sonde_store *store = calloc(1, sizeof(*store));
    char *plain = plain_path(path);
    if (store)
        store->path = sonde_strdup(path);
    if (!store || !plain || !store->path) {
        free(plain);
        sonde_store_close(&store);
        return sonde_error_memory(error, path);
    }
    store->mode = mode;
    /* Reading opens for writing too where that is allowed: what a killed writer left behind must
     * be rolled back before anything is read. query_only keeps everything else out. */
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | (fresh ? SQLITE_OPEN_CREATE : 0);
    int code = sqlite3_open_v2(plain, &store->db, flags, NULL);
    free(plain);
    if (code != SQLITE_OK)
        status = sonde_db_error(store, code, error);
    if (status == SONDE_STATUS_OK)
        status = harden(store, error);
    /* A creation that was cut off leaves a file with nothing of anybody's in it. */
    int64_t n_foreign = 1;
    if (status == SONDE_STATUS_OK && !fresh && mode == SONDE_STORE_CREATE)
        status = sonde_db_read_i64(store,
                                   "SELECT (SELECT count(*) FROM sqlite_schema) + (SELECT "
                                   "application_id <> 0 FROM pragma_application_id)",
                                   1, &n_foreign, error);
    if (status == SONDE_STATUS_OK && (fresh || n_foreign == 0))
        status = sonde_schema_create(store, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_schema_check(store, error);
    if (status == SONDE_STATUS_OK)
        status = tune(store, own, error);
    if (status != SONDE_STATUS_OK) {
        sonde_store_close(&store);
        return status;
    }
    *out = store;
    return SONDE_STATUS_OK;
}

void sonde_store_close(struct sonde_store **store)
{
    if (!store || !*store)
        return;
    sqlite3_close((*store)->db);
    free((*store)->path);
    free(*store);
    *store = NULL;
}
