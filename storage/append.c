#include "storage/append.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/num.h"
#include "storage/layout.h"

struct append_stream {
    struct sonde_stream_row row;
    int64_t element;
    uint8_t *chunk;  /* [chunk_values] elements; the chunk that is being filled */
    int64_t n_full;  /* chunks that are in the file */
    int64_t n_fill;  /* values in chunk */
    int64_t n_saved; /* so many of them are in the table tail too */
    bool stale;      /* the table tail still holds values of chunks that are in the file by now */
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

static enum sonde_status load_tail(struct sonde_append *append, struct append_stream *stream,
                                   struct sonde_error *error)
{
    sqlite3_stmt *statement = NULL;
    bool row = true;
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
        if (first != stream->n_full * stream->row.chunk_values + stream->n_fill || n < 1 ||
            n > stream->row.chunk_values - stream->n_fill || !data ||
            sqlite3_column_bytes(statement, 3) != n * stream->element ||
            sonde_codec_crc32(data, n * stream->element) !=
                (uint32_t)sqlite3_column_int64(statement, 2)) {
            status = damaged(append, stream, error);
            break;
        }
        memcpy(stream->chunk + stream->n_fill * stream->element, data,
               (size_t)(n * stream->element));
        stream->n_fill += n;
    }
    sqlite3_finalize(statement);
    stream->n_saved = stream->n_fill;
    return status;
}

static enum sonde_status load_stream(struct sonde_append *append, struct append_stream *stream,
                                     const struct extent *extent, struct sonde_error *error)
{
    sqlite3_stmt *statement = NULL;
    bool row = false;
    stream->element = (int64_t)sonde_dtype_size(stream->row.stream.dtype);
    stream->chunk = malloc((size_t)(stream->row.chunk_values * stream->element));
    if (!stream->chunk)
        return sonde_error_memory(error, "a chunk");
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
    status = load_tail(append, stream, error);
    if (status != SONDE_STATUS_OK)
        return status;
    int64_t count = stream->row.stream.space == SONDE_ROWS_SEQUENCE ? extent->n_sequences
                    : stream->row.stream.space == SONDE_ROWS_MAP    ? extent->n_squares
                                                                    : extent->n_tokens;
    if (!sonde_mul_i64(count, stream->row.stream.width, &expected) ||
        n_values + stream->n_fill != expected)
        return damaged(append, stream, error);
    return SONDE_STATUS_OK;
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
    for (int64_t i = 0; i < append->n_streams && status == SONDE_STATUS_OK; i++) {
        append->streams[i].row = rows[only >= 0 ? only : i];
        status = load_stream(append, &append->streams[i], only >= 0 ? &nothing : &extent, error);
    }
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
    for (int64_t i = 0; (*append)->streams && i < (*append)->n_streams; i++)
        free((*append)->streams[i].chunk);
    free((*append)->streams);
    sonde_coder_destroy(&(*append)->coder);
    free(*append);
    *append = NULL;
}

int64_t sonde_append_sequences(const struct sonde_append *append)
{
    return append->n_sequences;
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
    return sonde_db_run(append->store, append->sql[DELETE_TAIL], error);
}

/* What the tail holds of this chunk stays until the commit: pages that were freed before would be
 * taken again for new chunks, and SQLite would have to save what is in them first. */
static enum sonde_status write_chunk(struct sonde_append *append, struct append_stream *stream,
                                     struct sonde_error *error)
{
    enum sonde_codec codec = stream->row.codec;
    const void *data = NULL;
    int64_t bytes = stream->n_fill * stream->element, stored = 0;
    uint32_t crc = sonde_codec_crc32(stream->chunk, bytes);
    enum sonde_status status = sonde_coder_encode(append->coder, &codec, stream->chunk, bytes,
                                                  stream->element, &data, &stored, error);
    if (status != SONDE_STATUS_OK)
        return status;
    sqlite3_stmt *insert = append->sql[INSERT_CHUNK];
    sqlite3_bind_int64(insert, 1, stream->row.id);
    sqlite3_bind_int64(insert, 2, stream->n_full);
    sonde_db_bind_text(insert, 3, sonde_codec_name(codec));
    sqlite3_bind_int64(insert, 4, stream->n_fill);
    sqlite3_bind_int64(insert, 5, crc);
    sqlite3_bind_int64(insert, 6, stored);
    sqlite3_bind_blob64(insert, 7, data, (sqlite3_uint64)stored, SQLITE_STATIC);
    status = sonde_db_run(append->store, insert, error);
    sqlite3_clear_bindings(insert);
    stream->stale |= stream->n_saved > 0;
    stream->n_full++;
    stream->n_fill = 0;
    stream->n_saved = 0;
    return status;
}

static enum sonde_status append_some(struct sonde_append *append, struct append_stream *stream,
                                     const void *values, bool narrow, int64_t n,
                                     struct sonde_error *error)
{
    const uint8_t *in = values;
    int64_t element = narrow ? (int64_t)sizeof(float) : stream->element;
    enum sonde_status status = SONDE_STATUS_OK;
    while (n > 0 && status == SONDE_STATUS_OK) {
        int64_t room = stream->row.chunk_values - stream->n_fill, part = n < room ? n : room;
        uint8_t *to = stream->chunk + stream->n_fill * stream->element;
        if (narrow)
            sonde_dtype_narrow(stream->row.stream.dtype, (const float *)(const void *)in, to, part);
        else
            memcpy(to, in, (size_t)(part * element));
        stream->n_fill += part;
        in += part * element;
        n -= part;
        if (stream->n_fill == stream->row.chunk_values)
            status = write_chunk(append, stream, error);
    }
    return status;
}

enum sonde_status sonde_append_values(struct sonde_append *append, int64_t i, const float *values,
                                      int64_t n, struct sonde_error *error)
{
    struct append_stream *stream = &append->streams[i];
    return append_some(append, stream, values, stream->row.stream.dtype != SONDE_DTYPE_F32, n,
                       error);
}

enum sonde_status sonde_append_raw(struct sonde_append *append, int64_t i, const void *values,
                                   int64_t n, struct sonde_error *error)
{
    return append_some(append, &append->streams[i], values, false, n, error);
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
    sqlite3_stmt *insert = append->sql[INSERT_TAIL];
    enum sonde_status status = SONDE_STATUS_OK;
    for (int64_t i = 0; i < append->n_streams && status == SONDE_STATUS_OK; i++) {
        struct append_stream *stream = &append->streams[i];
        int64_t n = stream->n_fill - stream->n_saved;
        if (n == 0)
            continue;
        const uint8_t *data = stream->chunk + stream->n_saved * stream->element;
        sqlite3_bind_int64(insert, 1, stream->row.id);
        sqlite3_bind_int64(insert, 2, stream->n_full * stream->row.chunk_values + stream->n_saved);
        sqlite3_bind_int64(insert, 3, n);
        sqlite3_bind_int64(insert, 4, sonde_codec_crc32(data, n * stream->element));
        sqlite3_bind_blob64(insert, 5, data, (sqlite3_uint64)(n * stream->element), SQLITE_STATIC);
        status = sonde_db_run(append->store, insert, error);
        sqlite3_clear_bindings(insert);
        stream->n_saved = stream->n_fill;
    }
    for (int64_t i = 0; i < append->n_streams && status == SONDE_STATUS_OK; i++) {
        struct append_stream *stream = &append->streams[i];
        if (stream->stale)
            status = delete_tail(append, stream, stream->n_full * stream->row.chunk_values, error);
    }
    return status == SONDE_STATUS_OK ? update_run(append, "open", error) : status;
}

enum sonde_status sonde_append_complete(struct sonde_append *append, struct sonde_error *error)
{
    enum sonde_status status = SONDE_STATUS_OK;
    /* All tails first: the last chunks then find room in the file's free pages. */
    for (int64_t i = 0; i < append->n_streams && status == SONDE_STATUS_OK; i++)
        if (append->streams[i].stale || append->streams[i].n_saved > 0)
            status = delete_tail(append, &append->streams[i], INT64_MAX, error);
    for (int64_t i = 0; i < append->n_streams && status == SONDE_STATUS_OK; i++)
        if (append->streams[i].n_fill > 0)
            status = write_chunk(append, &append->streams[i], error);
    return status == SONDE_STATUS_OK ? update_run(append, "complete", error) : status;
}
