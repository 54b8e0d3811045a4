/* The rows of the table stream: written by the writer and the import, read by everybody. */
#include <stdlib.h>
#include <string.h>

#include "core/base/num.h"
#include "storage/append.h"
#include "storage/layout.h"

#define STREAMS_MAX 65536

enum sonde_status sonde_append_add_stream(struct sonde_store *store, int64_t run, int64_t ordinal,
                                          const struct sonde_stream *stream, enum sonde_codec codec,
                                          const char *origin, struct sonde_error *error)
{
    static const char sql[] =
        "INSERT INTO stream(run, ordinal, name, layer, space, dtype, rank, dim0, dim1, width,"
        " codec, chunk_values, origin) VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13)";
    sqlite3_stmt *statement = NULL;
    enum sonde_status status = sonde_db_prepare(store, &statement, sql, error);
    if (status != SONDE_STATUS_OK)
        return status;
    sqlite3_bind_int64(statement, 1, run);
    sqlite3_bind_int64(statement, 2, ordinal);
    sonde_db_bind_text(statement, 3, stream->name);
    sqlite3_bind_int(statement, 4, stream->layer);
    sonde_db_bind_text(statement, 5, sonde_row_space_name(stream->space));
    sonde_db_bind_text(statement, 6, sonde_dtype_name(stream->dtype));
    sqlite3_bind_int(statement, 7, stream->rank);
    sqlite3_bind_int64(statement, 8, stream->dim[0]);
    sqlite3_bind_int64(statement, 9, stream->rank > 1 ? stream->dim[1] : 1);
    sqlite3_bind_int64(statement, 10, stream->width);
    sonde_db_bind_text(statement, 11, sonde_codec_name(codec));
    sqlite3_bind_int64(statement, 12, sonde_layout_chunk_values(stream));
    sonde_db_bind_text(statement, 13, origin ? origin : "");
    status = sonde_db_run(store, statement, error);
    sqlite3_finalize(statement);
    return status;
}

static enum sonde_status read_stream(struct sonde_store *store, sqlite3_stmt *row,
                                     struct sonde_stream_row *out, struct sonde_error *error)
{
    struct sonde_stream *stream = &out->stream;
    const char *name = (const char *)sqlite3_column_text(row, 1);
    const char *space = (const char *)sqlite3_column_text(row, 3);
    const char *dtype = (const char *)sqlite3_column_text(row, 4);
    const char *codec = (const char *)sqlite3_column_text(row, 9);
    memset(out, 0, sizeof(*out));
    out->id = sqlite3_column_int64(row, 0);
    if (!name || strlen(name) >= sizeof(stream->name))
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "%s: the name of stream %lld is too long", store->path,
                               (long long)out->id);
    memcpy(stream->name, name, strlen(name) + 1);
    int64_t layer = sqlite3_column_int64(row, 2);
    if (layer < -1 || layer >= SONDE_LAYERS_MAX)
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "%s: stream %s: layer %lld is out of range", store->path, name,
                               (long long)layer);
    stream->layer = (int)layer;
    if (!sonde_row_space_from_name(space, &stream->space))
        return sonde_error_set(error, SONDE_STATUS_FORMAT, "%s: stream %s: unknown row space '%s'",
                               store->path, name, space ? space : "");
    stream->dtype = dtype ? sonde_dtype_from_name(dtype) : SONDE_DTYPE_NONE;
    if (stream->dtype == SONDE_DTYPE_NONE)
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "%s: stream %s: unknown element type '%s'", store->path, name,
                               dtype ? dtype : "");
    int64_t rank = sqlite3_column_int64(row, 5);
    stream->rank = rank >= 0 && rank <= 2 ? (int)rank : -1;
    stream->dim[0] = sqlite3_column_int64(row, 6);
    stream->dim[1] = rank == 2 ? sqlite3_column_int64(row, 7) : 0;
    stream->width = sqlite3_column_int64(row, 8);
    if (!sonde_codec_from_name(codec, &out->codec))
        return sonde_error_set(error, SONDE_STATUS_FORMAT, "%s: stream %s: unknown codec '%s'",
                               store->path, name, codec ? codec : "");
    out->chunk_values = sqlite3_column_int64(row, 10);
    int64_t bytes = 0;
    if (out->chunk_values < 1 ||
        !sonde_mul_i64(out->chunk_values, (int64_t)sonde_dtype_size(stream->dtype), &bytes) ||
        bytes > SONDE_CHUNK_BYTES_MAX)
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "%s: stream %s: chunks of %lld values, expected 1 to 4 MiB of them",
                               store->path, name, (long long)out->chunk_values);
    enum sonde_status status = sonde_layout_check_stream(stream, error);
    if (status != SONDE_STATUS_OK)
        sonde_error_prepend(error, "%s", store->path);
    return status;
}

enum sonde_status sonde_append_read_streams(struct sonde_store *store, int64_t run,
                                            struct sonde_stream_row **out, int64_t *n,
                                            struct sonde_error *error)
{
    sqlite3_stmt *statement = NULL;
    struct sonde_stream_row *rows = NULL;
    int64_t count = 0, capacity = 0;
    enum sonde_status status = sonde_db_prepare(
        store, &statement,
        "SELECT id, name, layer, space, dtype, rank, dim0, dim1, width, codec, chunk_values,"
        " ordinal FROM stream WHERE run = ?1 ORDER BY ordinal",
        error);
    if (status == SONDE_STATUS_OK)
        sqlite3_bind_int64(statement, 1, run);
    bool row = true;
    while (status == SONDE_STATUS_OK) {
        status = sonde_db_step(store, statement, &row, error);
        if (status != SONDE_STATUS_OK || !row)
            break;
        if (!sonde_grow((void **)&rows, &capacity, count + 1, sizeof(*rows), STREAMS_MAX)) {
            status = sonde_error_memory(error, "the list of streams");
            break;
        }
        status = read_stream(store, statement, &rows[count], error);
        if (status == SONDE_STATUS_OK && sqlite3_column_int64(statement, 11) != count)
            status =
                sonde_error_set(error, SONDE_STATUS_FORMAT,
                                "%s: stream %s has place %lld in its run, expected %lld",
                                store->path, rows[count].stream.name,
                                (long long)sqlite3_column_int64(statement, 11), (long long)count);
        count++;
    }
    sqlite3_finalize(statement);
    if (status != SONDE_STATUS_OK) {
        free(rows);
        return status;
    }
    *out = rows;
    *n = count;
    return SONDE_STATUS_OK;
}
