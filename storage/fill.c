#include "storage/fill.h"

#include <stdlib.h>
#include <string.h>

#include "storage/codec.h"

enum { DATA_ALIGN = 64 }; /* a cache line, for the narrowing kernels */

void sonde_chunk_push(struct sonde_chunk_list *list, struct sonde_chunk *chunk)
{
    chunk->next = NULL;
    if (list->last)
        list->last->next = chunk;
    else
        list->first = chunk;
    list->last = chunk;
}

void sonde_chunk_free(struct sonde_chunk *list)
{
    for (struct sonde_chunk *next; list; list = next) {
        next = list->next;
        free(list->packed);
        free(list);
    }
}

enum sonde_status sonde_fill_init(struct sonde_fill *fill, int64_t n_streams,
                                  struct sonde_error *error)
{
    *fill = (struct sonde_fill){ .n_streams = n_streams };
    fill->streams = calloc((size_t)n_streams + 1, sizeof(*fill->streams));
    return fill->streams ? SONDE_STATUS_OK : sonde_error_memory(error, "a run's writer");
}

void sonde_fill_finish(struct sonde_fill *fill)
{
    for (int64_t i = 0; fill->streams && i < fill->n_streams; i++)
        sonde_chunk_free(fill->streams[i].chunk);
    free(fill->streams);
    sonde_chunk_free(fill->spare);
    *fill = (struct sonde_fill){ 0 };
}

static int64_t open_values(const struct sonde_fill_stream *stream)
{
    return stream->chunk ? stream->chunk->n_values : 0;
}

int64_t sonde_fill_chunks(const struct sonde_fill *fill, int64_t i, int64_t n)
{
    const struct sonde_fill_stream *stream = &fill->streams[i];
    int64_t past = open_values(stream) + n;
    return (past + stream->chunk_values - 1) / stream->chunk_values - (stream->chunk != NULL);
}

bool sonde_fill_reserve(struct sonde_fill *fill, int64_t n_chunks)
{
    size_t head = sizeof(struct sonde_chunk) + DATA_ALIGN;
    while (fill->n_spare < n_chunks) {
        struct sonde_chunk *chunk = malloc(head + (size_t)fill->chunk_bytes);
        if (!chunk)
            return false;
        uint8_t *after = (uint8_t *)(chunk + 1);
        *chunk = (struct sonde_chunk){ .capacity = fill->chunk_bytes };
        chunk->data = after + (DATA_ALIGN - (uintptr_t)after % DATA_ALIGN) % DATA_ALIGN;
        sonde_fill_recycle(fill, chunk);
    }
    return true;
}

void sonde_fill_recycle(struct sonde_fill *fill, struct sonde_chunk *chunk)
{
    free(chunk->packed);
    chunk->packed = NULL;
    chunk->next = fill->spare;
    fill->spare = chunk;
    fill->n_spare++;
}

static void open_chunk(struct sonde_fill *fill, int64_t i)
{
    struct sonde_fill_stream *stream = &fill->streams[i];
    struct sonde_chunk *chunk = fill->spare;
    fill->spare = chunk->next;
    fill->n_spare--;
    chunk->next = NULL;
    chunk->stream = i;
    chunk->ordinal = stream->n_full;
    chunk->n_values = 0;
    chunk->state = SONDE_CHUNK_RAW;
    chunk->codec = stream->codec;
    stream->chunk = chunk;
}

/* Ends the open chunk, which there must be. */
static struct sonde_chunk *close_chunk(struct sonde_fill_stream *stream, struct sonde_chunk *chunk)
{
    chunk->raw_bytes = chunk->stored_bytes = chunk->n_values * stream->element;
    /* Here and not later: its bytes are still in the processor's cache. */
    chunk->crc32 = sonde_codec_crc32(chunk->data, chunk->raw_bytes);
    stream->chunk = NULL;
    stream->n_saved = 0;
    stream->n_full++;
    return chunk;
}

struct sonde_chunk *sonde_fill_take(struct sonde_fill *fill, int64_t i)
{
    struct sonde_fill_stream *stream = &fill->streams[i];
    return stream->chunk ? close_chunk(stream, stream->chunk) : NULL;
}

void sonde_fill_values(struct sonde_fill *fill, int64_t i, const void *values, bool f32, int64_t n,
                       struct sonde_chunk_list *full)
{
    struct sonde_fill_stream *stream = &fill->streams[i];
    const uint8_t *in = values;
    bool narrow = f32 && stream->dtype != SONDE_DTYPE_F32;
    int64_t element = f32 ? (int64_t)sizeof(float) : stream->element;
    while (n > 0) {
        if (!stream->chunk)
            open_chunk(fill, i);
        struct sonde_chunk *chunk = stream->chunk;
        int64_t room = stream->chunk_values - chunk->n_values, part = n < room ? n : room;
        uint8_t *to = chunk->data + chunk->n_values * stream->element;
        if (narrow)
            sonde_dtype_narrow(stream->dtype, (const float *)(const void *)in, to, part);
        else
            memcpy(to, in, (size_t)(part * element));
        chunk->n_values += part;
        in += part * element;
        n -= part;
        if (chunk->n_values == stream->chunk_values)
            sonde_chunk_push(full, close_chunk(stream, chunk));
    }
}
