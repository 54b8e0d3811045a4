#include "storage/append.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/num.h"
#include "storage/layout.h"
#include "storage/token_pack.h"

struct append_stream {
    struct sonde_stream_row row;
    int64_t n_full; /* chunks that are in the file */
    bool has_tail;  /* the table tail holds values of the chunk behind them */
    bool stale;     /* the table tail still holds values of chunks that are in the file by now */
};

enum { INSERT_SEQUENCE, INSERT_TOKEN, INSERT_CHUNK, INSERT_TAIL, DELETE_TAIL, UPDATE_RUN, N_SQL };

static const char *const statement_sql[N_SQL] = {
    "INSERT INTO sequence(id, run, source, window, name, text, text_begin, group_name,"
    " first_token, n_tokens) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    "INSERT INTO token(id, sequence, position, vocab, text, text_begin, text_end, flags)"
    " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    "INSERT INTO chunk(stream, ordinal, codec, n_values, crc32, stored_bytes, data)"
    " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    "INSERT INTO tail(stream, first_value, n_values, crc32, data) VALUES(?1, ?2, ?3, ?4, ?5)",
    "DELETE FROM tail WHERE stream = ?1 AND first_value < ?2",
    "UPDATE run SET n_sequences = ?2, n_tokens = ?3, state = ?4 WHERE id = ?1",
};

struct sonde_append {
    struct sonde_store *store;
    struct sonde_coder *coder;
    struct sonde_fill fill;
    sqlite3_stmt *sql[N_SQL];
    int64_t run, base; /* base: the id of the run's first sequence and token */
    int64_t n_streams, n_sequences, n_tokens;
    struct append_stream *streams; /* [n_streams] */
};

/* Counts over the run's sequences, from which every stream's length follows. */
struct extent {
    int64_t n_sequences, n_tokens, n_squares; /* squares: the sum of T * T */
};

static enum sonde_status read_extent(struct sonde_append *append, struct extent *out,
                                     struct sonde_error *error)
{
    sqlite3_stmt *statement = NULL;
    bool row = false;
    enum sonde_status status =
        sonde_db_prepare(append->store, &statement,
                         "SELECT count(*), sum(n_tokens), sum(n_tokens * n_tokens) FROM sequence"
                         " WHERE id >= ?1 AND id < ?2 AND run = ?3",
                         error);
    if (status == SONDE_STATUS_OK) {
        sqlite3_bind_int64(statement, 1, append->base);
        sqlite3_bind_int64(statement, 2, append->base + SONDE_STORE_ID_SPAN);
        sqlite3_bind_int64(statement, 3, append->run);
        status = sonde_db_step(append->store, statement, &row, error);
    }
    if (status == SONDE_STATUS_OK && row) {
        out->n_sequences = sqlite3_column_int64(statement, 0);
        out->n_tokens = sqlite3_column_int64(statement, 1);
        out->n_squares = sqlite3_column_int64(statement, 2);
    }
    sqlite3_finalize(statement);
    return status;
}

static enum sonde_status damaged(const struct sonde_append *append,
                                 const struct append_stream *stream, struct sonde_error *error)
{
    return sonde_error_set(error, SONDE_STATUS_FORMAT,
                           "%s: stream %s: its chunks and the run's sequences disagree",
                           append->store->path, stream->row.stream.name);
}

/* The values of the open chunk, into the fill. */
static enum sonde_status load_tail(struct sonde_append *append, int64_t i,
                                   struct sonde_error *error)
{
    struct append_stream *stream = &append->streams[i];
    struct sonde_fill_stream *fill = &append->fill.streams[i];
    struct sonde_chunk_list full = { 0 };
    sqlite3_stmt *statement = NULL;
    bool row = true;
    int64_t n_fill = 0;
    enum sonde_status status =
        sonde_db_prepare(append->store, &statement,
                         "SELECT first_value, n_values, crc32, data FROM tail"
                         " WHERE stream = ?1 ORDER BY first_value",
                         error);
    if (status != SONDE_STATUS_OK)
        return status;
    sqlite3_bind_int64(statement, 1, stream->row.id);
    while ((status = sonde_db_step(append->store, statement, &row, error)) == SONDE_STATUS_OK &&
           row) {
        int64_t first = sqlite3_column_int64(statement, 0);
        int64_t n = sqlite3_column_int64(statement, 1);
        const void *data = sqlite3_column_blob(statement, 3);
        /* A tail that filled its chunk would be a chunk. */
        if (first != stream->n_full * stream->row.chunk_values + n_fill || n < 1 ||
            n >= stream->row.chunk_values - n_fill || !data ||
            sqlite3_column_bytes(statement, 3) != n * fill->element ||
            sonde_codec_crc32(data, n * fill->element) !=
                (uint32_t)sqlite3_column_int64(statement, 2)) {
            status = damaged(append, stream, error);
            break;
        }
        if (!sonde_fill_reserve(&append->fill, sonde_fill_chunks(&append->fill, i, n))) {
            status = sonde_error_memory(error, "a chunk");
            break;
        }
        sonde_fill_values(&append->fill, i, data, false, n, &full);
        n_fill += n;
    }
    sqlite3_finalize(statement);
    fill->n_saved = n_fill;
    stream->has_tail = n_fill > 0;
    return status;
}

static enum sonde_status load_stream(struct sonde_append *append, int64_t i,
                                     const struct extent *extent, struct sonde_error *error)
{
    struct append_stream *stream = &append->streams[i];
    struct sonde_fill_stream *fill = &append->fill.streams[i];
    sqlite3_stmt *statement = NULL;
    bool row = false;
    enum sonde_status status =
        sonde_db_prepare(append->store, &statement,
                         "SELECT count(*), sum(n_values) FROM chunk WHERE stream = ?1", error);
    if (status != SONDE_STATUS_OK)
        return status;
    sqlite3_bind_int64(statement, 1, stream->row.id);
    status = sonde_db_step(append->store, statement, &row, error);
    int64_t n_values = 0, expected = 0, full = 0;
    if (status == SONDE_STATUS_OK && row) {
        stream->n_full = sqlite3_column_int64(statement, 0);
        n_values = sqlite3_column_int64(statement, 1);
    }
    sqlite3_finalize(statement);
    if (status != SONDE_STATUS_OK)
        return status;
    if (!sonde_mul_i64(stream->n_full, stream->row.chunk_values, &full) || full != n_values)
        return damaged(append, stream, error);
    fill->n_full = stream->n_full;
    status = load_tail(append, i, error);
    if (status != SONDE_STATUS_OK)
        return status;
    int64_t count = stream->row.stream.space == SONDE_ROWS_SEQUENCE ? extent->n_sequences
                    : stream->row.stream.space == SONDE_ROWS_MAP    ? extent->n_squares
                                                                    : extent->n_tokens;
    if (!sonde_mul_i64(count, stream->row.stream.width, &expected) ||
        n_values + fill->n_saved != expected)
        return damaged(append, stream, error);
    return SONDE_STATUS_OK;
}

static void place_stream(struct sonde_append *append, int64_t i, const struct sonde_stream_row *row)
{
    struct sonde_fill_stream *fill = &append->fill.streams[i];
    append->streams[i].row = *row;
    fill->dtype = row->stream.dtype;
    fill->codec = row->codec;
    fill->element = (int64_t)sonde_dtype_size(row->stream.dtype);
    fill->chunk_values = row->chunk_values;
    int64_t bytes = fill->chunk_values * fill->element;
    if (bytes > append->fill.chunk_bytes)
        append->fill.chunk_bytes = bytes;
}

static enum sonde_status load_streams(struct sonde_append *append, int64_t only,
                                      struct sonde_error *error)
{
    struct sonde_stream_row *rows = NULL;
    struct extent extent = { 0 }, nothing = { 0 };
    int64_t n = 0;
    enum sonde_status status = read_extent(append, &extent, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_append_read_streams(append->store, append->run, &rows, &n, error);
    if (status != SONDE_STATUS_OK)
        return status;
    append->n_sequences = extent.n_sequences;
    append->n_tokens = extent.n_tokens;
    append->n_streams = only >= 0 ? 1 : n;
    append->streams = calloc((size_t)append->n_streams + 1, sizeof(*append->streams));
    if (!append->streams)
        status = sonde_error_memory(error, "a run's writer");
    if (status == SONDE_STATUS_OK)
        status = sonde_fill_init(&append->fill, append->n_streams, error);
    for (int64_t i = 0; i < append->n_streams && status == SONDE_STATUS_OK; i++)
        place_stream(append, i, &rows[only >= 0 ? only : i]);
    for (int64_t i = 0; i < append->n_streams && status == SONDE_STATUS_OK; i++)
        status = load_stream(append, i, only >= 0 ? &nothing : &extent, error);
    free(rows);
    return status;
}

enum sonde_status sonde_append_create(struct sonde_append **out, struct sonde_store *store,
                                      int64_t run, int64_t only, struct sonde_error *error)
{
    struct sonde_append *append = calloc(1, sizeof(*append));
    enum sonde_status status = SONDE_STATUS_OK;
    if (!append)
        return sonde_error_memory(error, "a run's writer");
    append->store = store;
    append->run = run;
    append->base = (run - 1) * SONDE_STORE_ID_SPAN;
    append->coder = sonde_coder_create();
    if (!append->coder)
        status = sonde_error_memory(error, "a run's writer");
    for (int i = 0; i < N_SQL && status == SONDE_STATUS_OK; i++)
        status = sonde_db_prepare(store, &append->sql[i], statement_sql[i], error);
    if (status == SONDE_STATUS_OK)
        status = load_streams(append, only, error);
    if (status != SONDE_STATUS_OK) {
        sonde_append_destroy(&append);
        return status;
    }
    *out = append;
    return SONDE_STATUS_OK;
}

void sonde_append_destroy(struct sonde_append **append)
{
    if (!append || !*append)
        return;
    for (int i = 0; i < N_SQL; i++)
        sqlite3_finalize((*append)->sql[i]);
    free((*append)->streams);
    sonde_fill_finish(&(*append)->fill);
    sonde_coder_destroy(&(*append)->coder);
    free(*append);
    *append = NULL;
}

int64_t sonde_append_sequences(const struct sonde_append *append)
{
    return append->n_sequences;
}

struct sonde_fill *sonde_append_fill(struct sonde_append *append)
{
    return &append->fill;
}

enum sonde_status sonde_append_sequence(struct sonde_append *append,
                                        const struct sonde_sequence *sequence,
                                        struct sonde_error *error)
{
    sqlite3_stmt *insert = append->sql[INSERT_SEQUENCE];
    int64_t id = append->base + append->n_sequences;
    if (append->n_tokens > SONDE_STORE_ID_SPAN - 1 - sequence->n_tokens)
        return sonde_error_set(error, SONDE_STATUS_LIMIT, "%s: a run holds at most 2^40 tokens",
                               append->store->path);
    sqlite3_bind_int64(insert, 1, id);
    sqlite3_bind_int64(insert, 2, append->run);
    sqlite3_bind_int64(insert, 3, sequence->source);
    sqlite3_bind_int64(insert, 4, sequence->window);
    sonde_db_bind_text(insert, 5, sequence->name);
    sonde_db_bind_text(insert, 6, sequence->text);
    sqlite3_bind_int64(insert, 7, sequence->text_begin);
    sonde_db_bind_text(insert, 8, sequence->group);
    sqlite3_bind_int64(insert, 9, append->base + append->n_tokens);
    sqlite3_bind_int64(insert, 10, sequence->n_tokens);
    enum sonde_status status = sonde_db_run(append->store, insert, error);
    insert = append->sql[INSERT_TOKEN];
    for (int64_t i = 0; i < sequence->n_tokens && status == SONDE_STATUS_OK; i++) {
        const struct sonde_token *token = &sequence->tokens[i];
        sqlite3_bind_int64(insert, 1, append->base + append->n_tokens + i);
        sqlite3_bind_int64(insert, 2, id);
        sqlite3_bind_int64(insert, 3, i);
        sqlite3_bind_int64(insert, 4, token->id);
        sonde_db_bind_text(insert, 5, token->text);
        if (token->begin < 0) {
            sqlite3_bind_null(insert, 6);
            sqlite3_bind_null(insert, 7);
        } else {
            sqlite3_bind_int64(insert, 6, token->begin);
            sqlite3_bind_int64(insert, 7, token->end);
        }
        sqlite3_bind_int64(insert, 8, token->flags);
        status = sonde_db_run(append->store, insert, error);
    }
    if (status == SONDE_STATUS_OK) {
        append->n_sequences++;
        append->n_tokens += sequence->n_tokens;
    }
    return status;
}

/* Deletes the parts of the tail that begin before a value. */
static enum sonde_status delete_tail(struct sonde_append *append, struct append_stream *stream,
                                     int64_t before, struct sonde_error *error)
{
    sqlite3_bind_int64(append->sql[DELETE_TAIL], 1, stream->row.id);
    sqlite3_bind_int64(append->sql[DELETE_TAIL], 2, before);
    stream->stale = false;
    stream->has_tail &= before != INT64_MAX;
    return sonde_db_run(append->store, append->sql[DELETE_TAIL], error);
}

enum sonde_status sonde_append_encode(struct sonde_coder *coder, struct sonde_chunk *chunk,
                                      struct sonde_error *error)
{
    const void *stored = NULL;
    enum sonde_status status = sonde_coder_encode(
        coder, &chunk->codec, chunk->data, chunk->raw_bytes, chunk->raw_bytes / chunk->n_values,
        &stored, &chunk->stored_bytes, error);
    if (status != SONDE_STATUS_OK || stored == chunk->data)
        return status;
    /* Not in place: the data may be the tail of a commit that is still to be written. */
    chunk->packed = malloc((size_t)chunk->stored_bytes);
    if (!chunk->packed)
        return sonde_error_memory(error, "a chunk's compression");
    memcpy(chunk->packed, stored, (size_t)chunk->stored_bytes);
    return SONDE_STATUS_OK;
}

/* What the tail holds of this chunk stays until the commit: pages that were freed before would be
 * taken again for new chunks, and SQLite would have to save what is in them first. */
enum sonde_status sonde_append_chunk(struct sonde_append *append, const struct sonde_chunk *chunk,
                                     struct sonde_error *error)
{
    struct append_stream *stream = &append->streams[chunk->stream];
    sqlite3_stmt *insert = append->sql[INSERT_CHUNK];
    sqlite3_bind_int64(insert, 1, stream->row.id);
    sqlite3_bind_int64(insert, 2, chunk->ordinal);
    sonde_db_bind_text(insert, 3, sonde_codec_name(chunk->codec));
    sqlite3_bind_int64(insert, 4, chunk->n_values);
    sqlite3_bind_int64(insert, 5, chunk->crc32);
    sqlite3_bind_int64(insert, 6, chunk->stored_bytes);
    sqlite3_bind_blob64(insert, 7, chunk->packed ? chunk->packed : chunk->data,
                        (sqlite3_uint64)chunk->stored_bytes, SQLITE_STATIC);
    enum sonde_status status = sonde_db_run(append->store, insert, error);
    sqlite3_clear_bindings(insert);
    stream->n_full = chunk->ordinal + 1;
    stream->stale |= stream->has_tail;
    stream->has_tail = false;
    return status;
}

enum sonde_status sonde_append_tail(struct sonde_append *append, const struct sonde_tail *tail,
                                    struct sonde_error *error)
{
    struct append_stream *stream = &append->streams[tail->stream];
    sqlite3_stmt *insert = append->sql[INSERT_TAIL];
    sqlite3_bind_int64(insert, 1, stream->row.id);
    sqlite3_bind_int64(insert, 2, tail->first_value);
    sqlite3_bind_int64(insert, 3, tail->n_values);
    sqlite3_bind_int64(insert, 4, sonde_codec_crc32(tail->data, tail->n_bytes));
    sqlite3_bind_blob64(insert, 5, tail->data, (sqlite3_uint64)tail->n_bytes, SQLITE_STATIC);
    enum sonde_status status = sonde_db_run(append->store, insert, error);
    sqlite3_clear_bindings(insert);
    stream->has_tail = true;
    return status;
}

enum sonde_status sonde_append_raw(struct sonde_append *append, int64_t i, const void *values,
                                   int64_t n, struct sonde_error *error)
{
    struct sonde_chunk_list full = { 0 };
    enum sonde_status status = SONDE_STATUS_OK;
    if (!sonde_fill_reserve(&append->fill, sonde_fill_chunks(&append->fill, i, n)))
        return sonde_error_memory(error, "a chunk");
    sonde_fill_values(&append->fill, i, values, false, n, &full);
    for (struct sonde_chunk *chunk = full.first, *next; chunk; chunk = next) {
        next = chunk->next;
        if (status == SONDE_STATUS_OK)
            status = sonde_append_encode(append->coder, chunk, error);
        if (status == SONDE_STATUS_OK)
            status = sonde_append_chunk(append, chunk, error);
        sonde_fill_recycle(&append->fill, chunk);
    }
    return status;
}

static enum sonde_status update_run(struct sonde_append *append, const char *state,
                                    struct sonde_error *error)
{
    sqlite3_stmt *update = append->sql[UPDATE_RUN];
    sqlite3_bind_int64(update, 1, append->run);
    sqlite3_bind_int64(update, 2, append->n_sequences);
    sqlite3_bind_int64(update, 3, append->n_tokens);
    sonde_db_bind_text(update, 4, state);
    return sonde_db_run(append->store, update, error);
}

enum sonde_status sonde_append_flush(struct sonde_append *append, struct sonde_error *error)
{
    enum sonde_status status = SONDE_STATUS_OK;
    for (int64_t i = 0; i < append->n_streams && status == SONDE_STATUS_OK; i++) {
        struct append_stream *stream = &append->streams[i];
        if (stream->stale)
            status = delete_tail(append, stream, stream->n_full * stream->row.chunk_values, error);
    }
    return status == SONDE_STATUS_OK ? update_run(append, "open", error) : status;
}

enum sonde_status sonde_append_drop_tails(struct sonde_append *append, struct sonde_error *error)
{
    enum sonde_status status = SONDE_STATUS_OK;
    for (int64_t i = 0; i < append->n_streams && status == SONDE_STATUS_OK; i++)
        if (append->streams[i].stale || append->streams[i].has_tail)
            status = delete_tail(append, &append->streams[i], INT64_MAX, error);
    return status;
}

enum sonde_status sonde_append_complete(struct sonde_append *append, struct sonde_error *error)
{
    enum sonde_status status =
        sonde_token_pack_write(append->store, append->run, append->n_tokens, error);
    return status == SONDE_STATUS_OK ? update_run(append, "complete", error) : status;
}

enum sonde_status sonde_append_end(struct sonde_append *append, struct sonde_error *error)
{
    enum sonde_status status = sonde_append_drop_tails(append, error);
    for (int64_t i = 0; i < append->n_streams && status == SONDE_STATUS_OK; i++) {
        struct sonde_chunk *chunk = sonde_fill_take(&append->fill, i);
        if (!chunk)
            continue;
        status = sonde_append_encode(append->coder, chunk, error);
        if (status == SONDE_STATUS_OK)
            status = sonde_append_chunk(append, chunk, error);
        sonde_fill_recycle(&append->fill, chunk);
    }
    return status == SONDE_STATUS_OK ? sonde_append_complete(append, error) : status;
}
