#include "storage/schema.h"

#include <stdio.h>
#include <string.h>

/*
 * SQLite keeps the text of these statements in the file. A store is accepted only where every
 * object has the very text below, so a file in which somebody changed a table into a view, or
 * added a trigger, a CHECK or a generated column, is refused before any of it can run.
 */
static const char *const version_1[] = {
    "CREATE TABLE model(id INTEGER PRIMARY KEY, hash TEXT NOT NULL, path TEXT NOT NULL,"
    " family TEXT NOT NULL, tokenizer TEXT NOT NULL, config TEXT NOT NULL,"
    " n_layers INTEGER NOT NULL, d_model INTEGER NOT NULL, n_heads INTEGER NOT NULL,"
    " d_vocab INTEGER NOT NULL, n_ctx INTEGER NOT NULL) STRICT",

    "CREATE TABLE run(id INTEGER PRIMARY KEY, model INTEGER NOT NULL REFERENCES model(id),"
    " name TEXT NOT NULL UNIQUE, state TEXT NOT NULL CHECK(state IN ('open', 'complete')),"
    " created TEXT NOT NULL, version TEXT NOT NULL, command_line TEXT NOT NULL,"
    " input TEXT NOT NULL, options TEXT NOT NULL, edits TEXT NOT NULL, machine TEXT NOT NULL,"
    " seed INTEGER NOT NULL, n_sequences INTEGER NOT NULL, n_tokens INTEGER NOT NULL) STRICT",

    "CREATE TABLE sequence(id INTEGER PRIMARY KEY, run INTEGER NOT NULL REFERENCES run(id),"
    " source INTEGER NOT NULL, window INTEGER NOT NULL, name TEXT, text TEXT,"
    " text_begin INTEGER NOT NULL, group_name TEXT, first_token INTEGER NOT NULL,"
    " n_tokens INTEGER NOT NULL) STRICT",

    "CREATE TABLE token(id INTEGER PRIMARY KEY,"
    " sequence INTEGER NOT NULL REFERENCES sequence(id), position INTEGER NOT NULL,"
    " vocab INTEGER NOT NULL, text TEXT, text_begin INTEGER, text_end INTEGER,"
    " flags INTEGER NOT NULL) STRICT",

    "CREATE TABLE stream(id INTEGER PRIMARY KEY, run INTEGER NOT NULL REFERENCES run(id),"
    " ordinal INTEGER NOT NULL, name TEXT NOT NULL, layer INTEGER NOT NULL, space TEXT NOT NULL,"
    " dtype TEXT NOT NULL, rank INTEGER NOT NULL, dim0 INTEGER NOT NULL, dim1 INTEGER NOT NULL,"
    " width INTEGER NOT NULL, codec TEXT NOT NULL, chunk_values INTEGER NOT NULL,"
    " origin TEXT NOT NULL, UNIQUE(run, name)) STRICT",

    "CREATE TABLE chunk(id INTEGER PRIMARY KEY, stream INTEGER NOT NULL REFERENCES stream(id),"
    " ordinal INTEGER NOT NULL, codec TEXT NOT NULL, n_values INTEGER NOT NULL,"
    " crc32 INTEGER NOT NULL, stored_bytes INTEGER NOT NULL, data BLOB NOT NULL) STRICT",

    /* Covers all that a reader must know before it opens a blob, so that no page of the (large)
     * table is touched to find a chunk. */
    "CREATE INDEX chunk_place ON chunk(stream, ordinal, codec, n_values, crc32, stored_bytes)",

    "CREATE TABLE tail(id INTEGER PRIMARY KEY, stream INTEGER NOT NULL REFERENCES stream(id),"
    " first_value INTEGER NOT NULL, n_values INTEGER NOT NULL, crc32 INTEGER NOT NULL,"
    " data BLOB NOT NULL) STRICT",

    "CREATE INDEX tail_place ON tail(stream, first_value)",

    "CREATE TABLE label_set(id INTEGER PRIMARY KEY, run INTEGER NOT NULL REFERENCES run(id),"
    " name TEXT NOT NULL, kind TEXT NOT NULL, space TEXT NOT NULL, origin TEXT NOT NULL,"
    " UNIQUE(run, name)) STRICT",

    "CREATE TABLE label_class(label_set INTEGER NOT NULL REFERENCES label_set(id),"
    " class INTEGER NOT NULL, name TEXT NOT NULL, PRIMARY KEY(label_set, class))"
    " STRICT, WITHOUT ROWID",

    "CREATE TABLE label(label_set INTEGER NOT NULL REFERENCES label_set(id),"
    " item INTEGER NOT NULL, value ANY NOT NULL, PRIMARY KEY(label_set, item))"
    " STRICT, WITHOUT ROWID",

    "CREATE TABLE label_span(label_set INTEGER NOT NULL REFERENCES label_set(id),"
    " ordinal INTEGER NOT NULL, sequence INTEGER NOT NULL REFERENCES sequence(id),"
    " first INTEGER NOT NULL, past INTEGER NOT NULL, class INTEGER NOT NULL,"
    " PRIMARY KEY(label_set, ordinal)) STRICT, WITHOUT ROWID",

    "CREATE TABLE result(id INTEGER PRIMARY KEY, run INTEGER REFERENCES run(id),"
    " created TEXT NOT NULL, command TEXT NOT NULL, command_line TEXT NOT NULL,"
    " archive BLOB NOT NULL) STRICT",

    "CREATE TABLE artifact(id INTEGER PRIMARY KEY,"
    " result INTEGER NOT NULL REFERENCES result(id), name TEXT NOT NULL, media TEXT NOT NULL,"
    " data BLOB NOT NULL) STRICT",

    "CREATE VIEW runs AS SELECT run.id AS id, run.name AS run, run.state AS state,"
    " run.created AS created, model.path AS model, model.family AS family,"
    " model.hash AS model_hash, run.n_sequences AS n_sequences, run.n_tokens AS n_tokens,"
    " run.command_line AS command_line FROM run JOIN model ON model.id = run.model",

    "CREATE VIEW sequences AS SELECT run.name AS run, sequence.id AS sequence,"
    " sequence.source AS source, sequence.window AS window, sequence.name AS name,"
    " sequence.text AS text, sequence.group_name AS group_name,"
    " sequence.n_tokens AS n_tokens"
    " FROM sequence JOIN run ON run.id = sequence.run",

    "CREATE VIEW tokens AS SELECT run.name AS run, token.id AS token,"
    " token.sequence AS sequence, token.position AS position, token.vocab AS id,"
    " token.text AS text, token.text_begin AS text_begin, token.text_end AS text_end,"
    " token.flags AS flags, token.flags & 1 AS is_bos, sequence.source AS source,"
    " sequence.name AS name, sequence.n_tokens AS n_tokens"
    " FROM token JOIN sequence ON sequence.id = token.sequence"
    " JOIN run ON run.id = sequence.run",

    "CREATE VIEW streams AS SELECT run.name AS run, stream.id AS stream, stream.name AS name,"
    " stream.layer AS layer, stream.space AS space, stream.dtype AS dtype,"
    " stream.width AS width, stream.codec AS codec,"
    " (SELECT count(*) FROM chunk WHERE chunk.stream = stream.id) AS n_chunks,"
    " (SELECT total(stored_bytes) FROM chunk WHERE chunk.stream = stream.id) AS stored_bytes"
    " FROM stream JOIN run ON run.id = stream.run",

    "CREATE VIEW labels AS SELECT run.name AS run, label_set.name AS label_set,"
    " label_set.kind AS kind, label_set.space AS space, label.item AS item,"
    " CASE label_set.kind WHEN 'class' THEN label_class.name ELSE label.value END AS value"
    " FROM label JOIN label_set ON label_set.id = label.label_set"
    " JOIN run ON run.id = label_set.run"
    " LEFT JOIN label_class ON label_class.label_set = label.label_set"
    " AND label_class.class = label.value",
    NULL,
};

/* Ids and flags of a complete run's tokens as arrays, for opening it fast. */
static const char *const version_2[] = {
    "CREATE TABLE token_pack(run INTEGER NOT NULL REFERENCES run(id), ordinal INTEGER NOT NULL,"
    " n_tokens INTEGER NOT NULL, crc32 INTEGER NOT NULL, data BLOB NOT NULL,"
    " PRIMARY KEY(run, ordinal)) STRICT, WITHOUT ROWID",

    /* Each run looks for its model. */
    "CREATE INDEX model_hash ON model(hash)",
    NULL,
};

/* Step i brings a store from version i to version i + 1; an empty file has version 0. */
static const char *const *const migration[] = { version_1, version_2 };

int sonde_schema_version(void)
{
    return (int)(sizeof(migration) / sizeof(migration[0]));
}

static int migrate(sqlite3 *db, int from, int to)
{
    char text[96];
    int code = SQLITE_OK;
    for (int step = from; step < to; step++)
        for (const char *const *sql = migration[step]; *sql && code == SQLITE_OK; sql++)
            code = sqlite3_exec(db, *sql, NULL, NULL, NULL);
    if (code != SQLITE_OK)
        return code;
    snprintf(text, sizeof(text), "PRAGMA application_id = %d; PRAGMA user_version = %d",
             SONDE_STORE_APPLICATION_ID, to);
    return sqlite3_exec(db, text, NULL, NULL, NULL);
}

enum sonde_status sonde_schema_create(struct sonde_store *store, struct sonde_error *error)
{
    /* Both take effect on an empty file only, and not inside a transaction. */
    enum sonde_status status =
        sonde_db_exec(store, "PRAGMA page_size = 65536; PRAGMA auto_vacuum = INCREMENTAL", error);
    if (status == SONDE_STATUS_OK)
        status = sonde_db_begin_write(store, error);
    if (status != SONDE_STATUS_OK)
        return status;
    /* Another process may have made the store while this one waited. */
    int64_t n_objects = 0;
    status = sonde_db_read_i64(store, "SELECT count(*) FROM sqlite_schema", 0, &n_objects, error);
    if (status == SONDE_STATUS_OK && n_objects == 0) {
        int code = migrate(store->db, 0, sonde_schema_version());
        if (code != SQLITE_OK)
            status = sonde_db_error(store, code, error);
    }
    if (status == SONDE_STATUS_OK)
        status = sonde_db_exec(store, "COMMIT", error);
    if (status != SONDE_STATUS_OK)
        sonde_db_rollback(store);
    return status;
}

static const char *column(sqlite3_stmt *statement, int index)
{
    const char *text = (const char *)sqlite3_column_text(statement, index);
    return text ? text : "";
}

/* What ANALYZE leaves is data, and welcome: it cannot run anything. */
static bool is_statistics(sqlite3_stmt *statement)
{
    return strcmp(column(statement, 1), "sqlite_stat1") == 0 &&
           strcmp(column(statement, 3), "CREATE TABLE sqlite_stat1(tbl,idx,stat)") == 0;
}

/* Walks both schemas in the order of their names. */
static enum sonde_status compare(struct sonde_store *store, sqlite3_stmt *mine,
                                 sqlite3_stmt *theirs, struct sonde_error *error)
{
    int code_mine = sqlite3_step(mine), code_theirs = sqlite3_step(theirs);
    for (;;) {
        while (code_theirs == SQLITE_ROW && is_statistics(theirs))
            code_theirs = sqlite3_step(theirs);
        if (code_theirs != SQLITE_ROW && code_theirs != SQLITE_DONE)
            return sonde_db_error(store, code_theirs, error);
        if (code_mine != SQLITE_ROW && code_mine != SQLITE_DONE)
            return sonde_error_memory(error, store->path);
        if (code_mine == SQLITE_DONE && code_theirs == SQLITE_DONE)
            return SONDE_STATUS_OK;
        int order = code_mine == SQLITE_DONE     ? 1
                    : code_theirs == SQLITE_DONE ? -1
                                                 : strcmp(column(mine, 1), column(theirs, 1));
        if (order < 0)
            return sonde_error_set(error, SONDE_STATUS_FORMAT, "%s: the store has no %s '%s'",
                                   store->path, column(mine, 0), column(mine, 1));
        if (order > 0)
            return sonde_error_set(error, SONDE_STATUS_FORMAT,
                                   "%s: %s '%s' does not belong in a Sonde store", store->path,
                                   column(theirs, 0), column(theirs, 1));
        for (int i = 0; i < 4; i++)
            if (strcmp(column(mine, i), column(theirs, i)) != 0)
                return sonde_error_set(error, SONDE_STATUS_FORMAT,
                                       "%s: %s '%s' is not the one of a Sonde store", store->path,
                                       column(theirs, 0), column(theirs, 1));
        code_mine = sqlite3_step(mine);
        code_theirs = sqlite3_step(theirs);
    }
}

static enum sonde_status check_objects(struct sonde_store *store, int version,
                                       struct sonde_error *error)
{
    static const char sql[] = "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name";
    sqlite3 *model = NULL;
    sqlite3_stmt *mine = NULL, *theirs = NULL;
    enum sonde_status status = SONDE_STATUS_OK;
    if (sqlite3_open(":memory:", &model) != SQLITE_OK || migrate(model, 0, version) != SQLITE_OK ||
        sqlite3_prepare_v2(model, sql, -1, &mine, NULL) != SQLITE_OK)
        status = sonde_error_memory(error, store->path);
    if (status == SONDE_STATUS_OK)
        status = sonde_db_prepare(store, &theirs, sql, error);
    if (status == SONDE_STATUS_OK)
        status = compare(store, mine, theirs, error);
    sqlite3_finalize(mine);
    sqlite3_finalize(theirs);
    sqlite3_close(model);
    return status;
}

static enum sonde_status upgrade(struct sonde_store *store, int from, struct sonde_error *error)
{
    enum sonde_status status = sonde_db_begin_write(store, error);
    if (status != SONDE_STATUS_OK)
        return status;
    int code = migrate(store->db, from, sonde_schema_version());
    if (code != SQLITE_OK)
        status = sonde_db_error(store, code, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_db_exec(store, "COMMIT", error);
    if (status != SONDE_STATUS_OK)
        sonde_db_rollback(store);
    return status;
}

enum sonde_status sonde_schema_check(struct sonde_store *store, struct sonde_error *error)
{
    int64_t application = 0, version = 0;
    enum sonde_status status =
        sonde_db_read_i64(store, "PRAGMA application_id", 0, &application, error);
    if (status == SONDE_STATUS_OK && application != SONDE_STORE_APPLICATION_ID)
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "%s: is not a Sonde store: application id 0x%08x, expected 0x%08x",
                               store->path, (unsigned)application,
                               (unsigned)SONDE_STORE_APPLICATION_ID);
    if (status == SONDE_STATUS_OK)
        status = sonde_db_read_i64(store, "PRAGMA user_version", 0, &version, error);
    if (status != SONDE_STATUS_OK)
        return status;
    if (version > sonde_schema_version())
        return sonde_error_set(error, SONDE_STATUS_UNSUPPORTED,
                               "%s: schema version %d was made by a newer Sonde, this one reads "
                               "up to %d",
                               store->path, (int)version, sonde_schema_version());
    if (version < 1)
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "%s: schema version %d, expected 1 to %d", store->path, (int)version,
                               sonde_schema_version());
    status = check_objects(store, (int)version, error);
    store->version = (int)version;
    if (status != SONDE_STATUS_OK || version == sonde_schema_version() ||
        store->mode == SONDE_STORE_READ)
        return status;
    status = upgrade(store, (int)version, error);
    store->version = sonde_schema_version();
    return status;
}
