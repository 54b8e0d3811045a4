/* The chunks of one stream: the index, and reading one of them as a whole. */
#include <stdlib.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/num.h"
#include "storage/source.h"

#define CHUNKS_MAX ((int64_t)1 << 31)

static enum sonde_status bad_chunk(const struct sonde_store *store,
                                   const struct source_stream *stream, int64_t chunk,
                                   const char *what, struct sonde_error *error)
{
    return sonde_error_set(error, SONDE_STATUS_FORMAT, "%s: stream %s: chunk %lld: %s", store->path,
                           stream->row.stream.name, (long long)chunk, what);
}

/* Columns: id, ordinal, codec, n_values, crc32, stored_bytes. */
static enum sonde_status read_index_row(const struct sonde_store *store,
                                        struct source_stream *stream, sqlite3_stmt *row,
                                        struct sonde_error *error)
{
    int64_t k = stream->n_chunks, limit = stream->row.chunk_values;
    struct source_chunk chunk = { .id = sqlite3_column_int64(row, 0),
                                  .n_values = sqlite3_column_int64(row, 3),
                                  .crc32 = (uint32_t)sqlite3_column_int64(row, 4),
                                  .stored_bytes = sqlite3_column_int64(row, 5),
                                  .slot = -1 };
    if (sqlite3_column_int64(row, 1) != k)
        return bad_chunk(store, stream, k, "is missing or is there twice", error);
    if (!sonde_codec_from_name((const char *)sqlite3_column_text(row, 2), &chunk.codec))
        return bad_chunk(store, stream, k, "unknown codec", error);
    if (chunk.n_values < 1 || chunk.n_values > limit)
        return bad_chunk(store, stream, k, "its number of values is out of range", error);
    if (k > 0 && stream->chunks[k - 1].n_values != limit)
        return bad_chunk(store, stream, k - 1, "is not full, but is not the last one", error);
    int64_t raw_bytes = chunk.n_values * stream->element;
    if (chunk.stored_bytes < 1 || chunk.stored_bytes > raw_bytes ||
        (chunk.codec == SONDE_CODEC_NONE && chunk.stored_bytes != raw_bytes))
        return bad_chunk(store, stream, k, "its stored size does not fit its number of values",
                         error);
    stream->chunks[stream->n_chunks++] = chunk;
    stream->n_values += chunk.n_values;
    stream->stored_bytes += chunk.stored_bytes;
    return SONDE_STATUS_OK;
}

static enum sonde_status add_tail_part(const struct sonde_store *store,
                                       struct source_stream *stream, sqlite3_stmt *row, int64_t at,
                                       int64_t *n_tail, struct sonde_error *error)
{
    int64_t first = sqlite3_column_int64(row, 0), n = sqlite3_column_int64(row, 1);
    int64_t room = stream->row.chunk_values - *n_tail;
    const void *data = sqlite3_column_blob(row, 3);
    if (first != at + *n_tail || n < 1 || n > room || !data ||
        sqlite3_column_bytes(row, 3) != n * stream->element)
        return bad_chunk(store, stream, stream->n_chunks, "its parts do not fit together", error);
    if (sonde_codec_crc32(data, n * stream->element) != (uint32_t)sqlite3_column_int64(row, 2))
        return bad_chunk(store, stream, stream->n_chunks, "checksum mismatch", error);
    if (!stream->tail)
        stream->tail = malloc((size_t)(stream->row.chunk_values * stream->element));
    if (!stream->tail)
        return sonde_error_memory(error, "a chunk");
    memcpy(stream->tail + *n_tail * stream->element, data, (size_t)(n * stream->element));
    *n_tail += n;
    return SONDE_STATUS_OK;
}

static enum sonde_status load_tail(struct sonde_store *store, struct source_stream *stream,
                                   int64_t *capacity, struct sonde_error *error)
{
    sqlite3_stmt *statement = NULL;
    bool row = true;
    int64_t n_tail = 0, at = stream->n_values;
    enum sonde_status status =
        sonde_db_prepare(store, &statement,
                         "SELECT first_value, n_values, crc32, data FROM tail"
                         " WHERE stream = ?1 ORDER BY first_value",
                         error);
    if (status != SONDE_STATUS_OK)
        return status;
    sqlite3_bind_int64(statement, 1, stream->row.id);
    while (status == SONDE_STATUS_OK) {
        status = sonde_db_step(store, statement, &row, error);
        if (status != SONDE_STATUS_OK || !row)
            break;
        status = add_tail_part(store, stream, statement, at, &n_tail, error);
    }
    sqlite3_finalize(statement);
    if (status != SONDE_STATUS_OK || n_tail == 0)
        return status;
    if (stream->n_chunks > 0 &&
        stream->chunks[stream->n_chunks - 1].n_values != stream->row.chunk_values)
        return bad_chunk(store, stream, stream->n_chunks - 1,
                         "is not full, but is not the last one", error);
    if (!sonde_grow((void **)&stream->chunks, capacity, stream->n_chunks + 1,
                    sizeof(*stream->chunks), CHUNKS_MAX))
        return sonde_error_memory(error, "the list of chunks");
    stream->chunks[stream->n_chunks++] = (struct source_chunk){
        .id = -1, .n_values = n_tail, .stored_bytes = n_tail * stream->element, .slot = -1
    };
    stream->n_values += n_tail;
    stream->stored_bytes += n_tail * stream->element;
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_source_load_index(struct sonde_store *store, struct source_stream *stream,
                                          struct sonde_error *error)
{
    sqlite3_stmt *statement = NULL;
    bool row = true;
    int64_t capacity = 0;
    stream->element = (int64_t)sonde_dtype_size(stream->row.stream.dtype);
    enum sonde_status status =
        sonde_db_prepare(store, &statement,
                         "SELECT id, ordinal, codec, n_values, crc32, stored_bytes FROM chunk"
                         " INDEXED BY chunk_place WHERE stream = ?1 ORDER BY ordinal",
                         error);
    if (status != SONDE_STATUS_OK)
        return status;
    sqlite3_bind_int64(statement, 1, stream->row.id);
    while (status == SONDE_STATUS_OK) {
        status = sonde_db_step(store, statement, &row, error);
        if (status != SONDE_STATUS_OK || !row)
            break;
        if (!sonde_grow((void **)&stream->chunks, &capacity, stream->n_chunks + 1,
                        sizeof(*stream->chunks), CHUNKS_MAX))
            status = sonde_error_memory(error, "the list of chunks");
        else
            status = read_index_row(store, stream, statement, error);
    }
    sqlite3_finalize(statement);
    return status == SONDE_STATUS_OK ? load_tail(store, stream, &capacity, error) : status;
}

enum sonde_status sonde_source_read_chunk(struct sonde_store *store, struct sonde_coder *coder,
                                          const struct source_stream *stream, int64_t chunk,
                                          bool verify, uint8_t *stored, uint8_t *raw,
                                          struct sonde_error *error)
{
    const struct source_chunk *entry = &stream->chunks[chunk];
    int64_t raw_bytes = entry->n_values * stream->element;
    if (entry->id == -1) {
        memcpy(raw, stream->tail, (size_t)raw_bytes);
        return SONDE_STATUS_OK;
    }
    uint8_t *to = entry->codec == SONDE_CODEC_NONE ? raw : stored;
    sqlite3_blob *blob = NULL;
    int code = sqlite3_blob_open(store->db, "main", "chunk", "data", entry->id, 0, &blob);
    enum sonde_status status = SONDE_STATUS_OK;
    if (code == SQLITE_OK && sqlite3_blob_bytes(blob) != entry->stored_bytes)
        status =
            bad_chunk(store, stream, chunk, "its data is not as long as its index says", error);
    else if (code == SQLITE_OK)
        code = sqlite3_blob_read(blob, to, (int)entry->stored_bytes, 0);
    /* A row that is gone or is no blob is an error of ours to SQLite, but damage to us. */
    if (status == SONDE_STATUS_OK && (code & 0xff) == SQLITE_ERROR)
        status = bad_chunk(store, stream, chunk, sqlite3_errmsg(store->db), error);
    else if (status == SONDE_STATUS_OK && code != SQLITE_OK)
        status = sonde_db_error(store, code, error);
    sqlite3_blob_close(blob);
    if (status != SONDE_STATUS_OK)
        return status;
    if (entry->codec != SONDE_CODEC_NONE) {
        status = sonde_coder_decode(coder, entry->codec, stored, entry->stored_bytes,
                                    stream->element, raw, raw_bytes, error);
        if (status != SONDE_STATUS_OK) {
            sonde_error_prepend(error, "%s: stream %s: chunk %lld", store->path,
                                stream->row.stream.name, (long long)chunk);
            return status;
        }
    }
    if (verify && sonde_codec_crc32(raw, raw_bytes) != entry->crc32)
        return bad_chunk(store, stream, chunk, "checksum mismatch", error);
    return SONDE_STATUS_OK;
}
