/* Integrity: what SQLite knows, and what only we can know. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/num.h"
#include "storage/layout.h"
#include "storage/source.h"

#define PROBLEMS_MAX 100 /* of SQLite's list */

struct check {
    struct sonde_store *store;
    bool full;
    const struct sonde_progress *progress;
    void (*problem)(void *ctx, const char *text);
    void *ctx;
    int64_t n_problems, n_chunks, n_chunks_total;
    struct sonde_coder *coder;
    uint8_t *stored, *raw; /* [SONDE_CHUNK_BYTES_MAX] */
};

static void report(struct check *check, const char *format, ...) SONDE_PRINTF(2, 3);

static void report(struct check *check, const char *format, ...)
{
    char text[SONDE_ERROR_TEXT_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    check->n_problems++;
    if (check->problem)
        check->problem(check->ctx, text);
}

/* Damage is a problem to be listed; what keeps the check from running is an error. */
static enum sonde_status absorb(struct check *check, enum sonde_status status,
                                struct sonde_error *error)
{
    if (status != SONDE_STATUS_FORMAT)
        return status;
    report(check, "%s", error->text);
    return SONDE_STATUS_OK;
}

/* SQLite's own list: one text a row, "ok" where all is well. */
static enum sonde_status check_sqlite(struct check *check, struct sonde_error *error)
{
    char sql[64];
    sqlite3_stmt *statement = NULL;
    bool row = true;
    snprintf(sql, sizeof(sql), "PRAGMA %s(%d)", check->full ? "integrity_check" : "quick_check",
             PROBLEMS_MAX);
    enum sonde_status status = sonde_db_prepare(check->store, &statement, sql, error);
    while (status == SONDE_STATUS_OK) {
        status = sonde_db_step(check->store, statement, &row, error);
        if (status != SONDE_STATUS_OK || !row)
            break;
        const char *text = (const char *)sqlite3_column_text(statement, 0);
        if (text && strcmp(text, "ok") != 0)
            report(check, "%s: SQLite: %s", check->store->path, text);
    }
    sqlite3_finalize(statement);
    return status;
}

/* Queries that give a row for each thing that refers to nothing or counts wrong. */
static enum sonde_status check_references(struct check *check, struct sonde_error *error)
{
    static const struct {
        const char *sql, *what;
    } rule[] = {
        { "SELECT \"table\", rowid, parent, fkid FROM pragma_foreign_key_check LIMIT 20",
          "refers to a row that is not there, in table" },
        { "SELECT name FROM run WHERE state NOT IN ('open', 'complete')", "run of unknown state" },
        { "SELECT id FROM sequence WHERE run <> 1 + (id >> 40)",
          "run that is not its own in sequence" },
        { "SELECT name FROM run WHERE n_sequences <> (SELECT count(*) FROM sequence"
          " WHERE id >= (run.id - 1 << 40) AND id < (run.id << 40))",
          "wrong number of sequences in run" },
        { "SELECT name FROM run WHERE n_tokens <> (SELECT coalesce(sum(n_tokens), 0) FROM sequence"
          " WHERE id >= (run.id - 1 << 40) AND id < (run.id << 40))",
          "wrong number of tokens in run" },
        { "SELECT name FROM run WHERE state = 'complete' AND id IN (SELECT stream.run FROM tail"
          " JOIN stream ON stream.id = tail.stream)",
          "unfinished chunks in the complete run" },
        { "SELECT label_set.name FROM label_set WHERE kind = 'class' AND EXISTS (SELECT 1 FROM "
          "label"
          " WHERE label_set = label_set.id AND NOT EXISTS (SELECT 1 FROM label_class AS c"
          " WHERE c.label_set = label.label_set AND c.class = label.value))",
          "a class without a name in label set" },
    };
    enum sonde_status status = SONDE_STATUS_OK;
    for (size_t i = 0; i < sizeof(rule) / sizeof(rule[0]) && status == SONDE_STATUS_OK; i++) {
        sqlite3_stmt *statement = NULL;
        bool row = true;
        status = sonde_db_prepare(check->store, &statement, rule[i].sql, error);
        while (status == SONDE_STATUS_OK) {
            status = sonde_db_step(check->store, statement, &row, error);
            if (status != SONDE_STATUS_OK || !row)
                break;
            const char *name = (const char *)sqlite3_column_text(statement, 0);
            report(check, "%s: %s '%s'", check->store->path, rule[i].what, name ? name : "");
        }
        sqlite3_finalize(statement);
        status = absorb(check, status, error);
    }
    return status;
}

/* Decoded in full; or, quickly, only the length of every blob against its row. */
static enum sonde_status check_chunk(struct check *check, const struct source_stream *stream,
                                     int64_t k, struct sonde_error *error)
{
    struct sonde_store *store = check->store;
    if (check->full)
        return sonde_source_read_chunk(store, check->coder, stream, k, true, check->stored,
                                       check->raw, error);
    sqlite3_blob *blob = NULL;
    if (stream->chunks[k].id == -1)
        return SONDE_STATUS_OK;
    int code =
        sqlite3_blob_open(store->db, "main", "chunk", "data", stream->chunks[k].id, 0, &blob);
    int64_t bytes = code == SQLITE_OK ? sqlite3_blob_bytes(blob) : 0;
    sqlite3_blob_close(blob);
    if (code != SQLITE_OK && (code & 0xff) != SQLITE_ERROR)
        return sonde_db_error(store, code, error);
    if (bytes != stream->chunks[k].stored_bytes)
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "%s: stream %s: chunk %lld: %lld bytes, its index says %lld",
                               store->path, stream->row.stream.name, (long long)k, (long long)bytes,
                               (long long)stream->chunks[k].stored_bytes);
    return SONDE_STATUS_OK;
}

static enum sonde_status check_stream(struct check *check, const struct sonde_stream_row *row,
                                      int64_t expected, struct sonde_error *error)
{
    struct source_stream stream = { .row = *row };
    enum sonde_status status = sonde_source_load_index(check->store, &stream, error);
    bool loaded = status == SONDE_STATUS_OK;
    status = absorb(check, status, error);
    if (loaded && stream.n_values != expected)
        report(check, "%s: stream %s: %lld values stored, expected %lld", check->store->path,
               row->stream.name, (long long)stream.n_values, (long long)expected);
    for (int64_t k = 0; loaded && k < stream.n_chunks && status == SONDE_STATUS_OK; k++) {
        if (!sonde_progress_update(check->progress, "check", check->n_chunks, check->n_chunks_total,
                                   "chunks"))
            status = sonde_error_set(error, SONDE_STATUS_CANCELLED, "%s: the check was stopped",
                                     check->store->path);
        else
            status = absorb(check, check_chunk(check, &stream, k, error), error);
        check->n_chunks++;
    }
    free(stream.chunks);
    free(stream.tail);
    return status;
}

/* The packs of a run's tokens against the rows that they are made from. */
static enum sonde_status check_tokens(struct check *check, const struct sonde_source *source,
                                      int64_t run, const char *name, struct sonde_error *error)
{
    sqlite3_stmt *row = NULL;
    bool found = true;
    int64_t base = (run - 1) * SONDE_STORE_ID_SPAN, i = 0;
    enum sonde_status status =
        sonde_db_prepare(check->store, &row,
                         "SELECT id, sequence, position, vocab, flags FROM token"
                         " WHERE id >= ?1 AND id < ?2 ORDER BY id",
                         error);
    if (status == SONDE_STATUS_OK) {
        sqlite3_bind_int64(row, 1, base);
        sqlite3_bind_int64(row, 2, base + SONDE_STORE_ID_SPAN);
    }
    for (; status == SONDE_STATUS_OK; i++) {
        status = sonde_db_step(check->store, row, &found, error);
        if (status != SONDE_STATUS_OK || !found)
            break;
        if (i >= source->n_tokens || sqlite3_column_int64(row, 0) != base + i ||
            sqlite3_column_int64(row, 1) != base + source->token_sequence[i] ||
            sqlite3_column_int64(row, 2) != source->token_position[i] ||
            sqlite3_column_int64(row, 3) != source->token_id[i] ||
            sqlite3_column_int64(row, 4) != source->token_flags[i])
            break;
    }
    sqlite3_finalize(row);
    if (status == SONDE_STATUS_OK && (found || i != source->n_tokens))
        report(check, "%s: token %lld of run '%s' is not as its pack has it", check->store->path,
               (long long)i, name);
    return absorb(check, status, error);
}

/* One run: its keys as a reader would load them, then every stream. */
static enum sonde_status check_run(struct check *check, int64_t run, const char *name,
                                   struct sonde_error *error)
{
    struct sonde_source *source = NULL;
    struct sonde_stream_row *rows = NULL;
    int64_t n = 0;
    int64_t n_tokens = 0, n_squares = 0, n_sequences = 0;
    /* Opening a source checks the order and the sums of sequences and tokens, and every index. */
    enum sonde_status status = sonde_store_open_source(check->store, name, 0, &source, error);
    if (status != SONDE_STATUS_OK)
        return absorb(check, status, error);
    n_sequences = source->n_sequences;
    for (int64_t i = 0; i < n_sequences; i++) {
        n_tokens += source->sequences[i].n_tokens;
        n_squares += source->sequences[i].n_tokens * source->sequences[i].n_tokens;
    }
    status = check_tokens(check, source, run, name, error);
    source->destroy(&source);
    if (status == SONDE_STATUS_OK)
        status = sonde_append_read_streams(check->store, run, &rows, &n, error);
    for (int64_t i = 0; i < n && status == SONDE_STATUS_OK; i++) {
        int64_t count = rows[i].stream.space == SONDE_ROWS_MAP        ? n_squares
                        : rows[i].stream.space == SONDE_ROWS_SEQUENCE ? n_sequences
                                                                      : n_tokens;
        int64_t expected = 0;
        if (sonde_mul_i64(count, rows[i].stream.width, &expected))
            status = check_stream(check, &rows[i], expected, error);
    }
    free(rows);
    return absorb(check, status, error);
}

static enum sonde_status check_runs(struct check *check, struct sonde_error *error)
{
    sqlite3_stmt *statement = NULL;
    bool row = true;
    enum sonde_status status = sonde_db_read_i64(check->store, "SELECT count(*) FROM chunk", 0,
                                                 &check->n_chunks_total, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_db_prepare(check->store, &statement, "SELECT id, name FROM run ORDER BY id",
                                  error);
    while (status == SONDE_STATUS_OK) {
        status = sonde_db_step(check->store, statement, &row, error);
        if (status != SONDE_STATUS_OK || !row)
            break;
        const char *name = (const char *)sqlite3_column_text(statement, 1);
        status = check_run(check, sqlite3_column_int64(statement, 0), name ? name : "", error);
    }
    sqlite3_finalize(statement);
    return absorb(check, status, error);
}

enum sonde_status sonde_store_check(const char *path, bool full,
                                    const struct sonde_progress *progress,
                                    void (*problem)(void *ctx, const char *text), void *ctx,
                                    int64_t *n_problems, int64_t *n_chunks,
                                    struct sonde_error *error)
{
    struct check check = { .full = full, .progress = progress, .problem = problem, .ctx = ctx };
    struct sonde_error local = { 0 };
    struct sonde_error *e = error ? error : &local; /* absorb() needs its text */
    enum sonde_status status = sonde_store_open(&check.store, path, SONDE_STORE_READ, e);
    if (status != SONDE_STATUS_OK)
        return status;
    check.coder = sonde_coder_create();
    check.stored = malloc((size_t)SONDE_CHUNK_BYTES_MAX);
    check.raw = malloc((size_t)SONDE_CHUNK_BYTES_MAX);
    if (!check.coder || !check.stored || !check.raw)
        status = sonde_error_memory(e, "a check");
    /* The file is not trusted: no mapping. One transaction, so that a writer beside does not look
     * like damage. */
    if (status == SONDE_STATUS_OK)
        status = sonde_db_exec(check.store, "PRAGMA mmap_size = 0; BEGIN", e);
    if (status == SONDE_STATUS_OK)
        status = absorb(&check, check_sqlite(&check, e), e);
    if (status == SONDE_STATUS_OK)
        status = check_references(&check, e);
    if (status == SONDE_STATUS_OK)
        status = check_runs(&check, e);
    sonde_coder_destroy(&check.coder);
    free(check.stored);
    free(check.raw);
    sonde_store_close(&check.store);
    if (status != SONDE_STATUS_OK)
        return status;
    *n_problems = check.n_problems;
    if (n_chunks)
        *n_chunks = check.n_chunks;
    return SONDE_STATUS_OK;
}
