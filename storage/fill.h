/*
 * Fill: values on their way into chunks. Each stream of a run has one open chunk; values are copied
 * (or narrowed) into it once, straight from where they were computed, and a chunk that is full
 * leaves with its memory. Knows nothing of SQLite. Private to storage; a fill belongs to one thread
 * at a time, which need not be the one that writes the chunks.
 */
#ifndef SONDE_STORAGE_FILL_H
#define SONDE_STORAGE_FILL_H

#include "storage/store.h"

enum sonde_chunk_state { SONDE_CHUNK_RAW, SONDE_CHUNK_BUSY, SONDE_CHUNK_READY };

/* One allocation: the struct, then the memory of the data. */
struct sonde_chunk {
    struct sonde_chunk *next;     /* of whoever holds it */
    struct sonde_chunk *next_raw; /* both of the writer: the chunks that are to be encoded, */
    enum sonde_chunk_state state; /* and how far this one is */
    int64_t capacity;             /* bytes of data */
    int64_t stream, ordinal, n_values;
    int64_t raw_bytes, stored_bytes; /* of the values; in the file, once encoded */
    uint32_t crc32;                  /* of the raw bytes */
    enum sonde_codec codec;          /* asked for; once encoded: in force */
    uint8_t *data;                   /* the raw values */
    uint8_t *packed; /* [stored_bytes] what encoding made smaller; NULL: data are stored */
};

/* In order, first in first out. */
struct sonde_chunk_list {
    struct sonde_chunk *first, *last;
};

struct sonde_fill_stream {
    enum sonde_dtype dtype;
    enum sonde_codec codec;
    int64_t element, chunk_values; /* bytes of a value; values of a chunk */
    struct sonde_chunk *chunk;     /* being filled; NULL where it would be empty */
    int64_t n_full;                /* chunks before it */
    int64_t n_saved;               /* values of it that are in the table tail too */
};

struct sonde_fill {
    int64_t n_streams, chunk_bytes;    /* chunk_bytes: capacity of every chunk */
    struct sonde_fill_stream *streams; /* [n_streams] */
    struct sonde_chunk *spare;
    int64_t n_spare;
};

/* chunk_bytes is set by the caller, and each stream but its chunk. */
SONDE_MUST_USE enum sonde_status sonde_fill_init(struct sonde_fill *fill, int64_t n_streams,
                                                 struct sonde_error *error);
void sonde_fill_finish(struct sonde_fill *fill);

/* Spare chunks that n more values of stream i will take. */
int64_t sonde_fill_chunks(const struct sonde_fill *fill, int64_t i, int64_t n);
/* Makes sure that there are so many spare ones; false where memory is out. */
bool sonde_fill_reserve(struct sonde_fill *fill, int64_t n_chunks);
/* Takes a chunk back among the spare ones, or frees it. */
void sonde_fill_recycle(struct sonde_fill *fill, struct sonde_chunk *chunk);

/* Adds n values to stream i; chunks that get full are put at the end of `full`, with their CRC-32.
 * f32: the values are f32 and are narrowed to the stream's type; otherwise they are of that type.
 * Spare chunks must have been reserved. */
void sonde_fill_values(struct sonde_fill *fill, int64_t i, const void *values, bool f32, int64_t n,
                       struct sonde_chunk_list *full);
/* The open chunk of stream i as it is, or NULL where it is empty. */
struct sonde_chunk *sonde_fill_take(struct sonde_fill *fill, int64_t i);

void sonde_chunk_push(struct sonde_chunk_list *list, struct sonde_chunk *chunk);
void sonde_chunk_free(struct sonde_chunk *list); /* it and all behind it */

#endif
