#include "storage/layout.h"

#include <string.h>

#include "core/base/num.h"
#include "storage/db.h"
#include "storage/schema.h"

/*
 * SQLite's file format, section 1.6 ("B-tree Pages"), for a page of U = 65536 usable bytes: the
 * cell of a table leaf keeps a payload of P bytes whole where P <= U - 35, otherwise
 * M + (P - M) % (U - 4) bytes of it (M where that is more than U - 35) and the rest in overflow
 * pages of U - 4 bytes each. A payload of exactly M + k (U - 4) bytes fills its overflow pages to
 * the last byte, so chunks are made a little smaller than that.
 */
#define USABLE ((int64_t)SONDE_STORE_PAGE_BYTES)
#define LOCAL_MAX (USABLE - 35)
#define LOCAL_MIN ((USABLE - 12) * 32 / 255 - 23)
#define OVERFLOW (USABLE - 4)
#define CHUNK_HEADER 48 /* record header and the columns before data, at most */
#define DIM_MAX ((int64_t)1 << 31)

/* 264 KiB. Every stream keeps one chunk open while a run is written, and the part of it that is
 * there at a commit is written twice; small chunks make that little. Reading larger ones is not
 * faster. */
#define CHUNK_PAGES 4

int64_t sonde_layout_chunk_values(const struct sonde_stream *stream)
{
    int64_t element = (int64_t)sonde_dtype_size(stream->dtype);
    int64_t values = (LOCAL_MIN + CHUNK_PAGES * OVERFLOW - CHUNK_HEADER) / element;
    /* Whole rows where that costs little; the values of maps and of very long rows just flow. */
    if (stream->space != SONDE_ROWS_MAP && stream->width > 0 && stream->width * 8 <= values)
        values -= values % stream->width;
    return values;
}

bool sonde_layout_sequence_values(const struct sonde_stream *stream, int64_t T, int64_t *out)
{
    int64_t values = stream->width;
    if (stream->space != SONDE_ROWS_SEQUENCE && !sonde_mul_i64(values, T, &values))
        return false;
    if (stream->space == SONDE_ROWS_MAP && !sonde_mul_i64(values, T, &values))
        return false;
    *out = values;
    return true;
}

bool sonde_row_space_from_name(const char *name, enum sonde_row_space *out)
{
    for (enum sonde_row_space space = SONDE_ROWS_TOKEN; space <= SONDE_ROWS_WEIGHT; space++)
        if (name && strcmp(name, sonde_row_space_name(space)) == 0) {
            *out = space;
            return true;
        }
    return false;
}

enum sonde_status sonde_layout_check_stream(const struct sonde_stream *stream,
                                            struct sonde_error *error)
{
    if (!memchr(stream->name, '\0', sizeof(stream->name)) || !stream->name[0])
        return sonde_error_set(error, SONDE_STATUS_FORMAT, "a stream has no name");
    if (stream->space != SONDE_ROWS_TOKEN && stream->space != SONDE_ROWS_SEQUENCE &&
        stream->space != SONDE_ROWS_MAP)
        return sonde_error_set(error, SONDE_STATUS_UNSUPPORTED,
                               "stream %s: rows of space %d, expected token, sequence or map",
                               stream->name, (int)stream->space);
    if (stream->dtype != SONDE_DTYPE_F32 && stream->dtype != SONDE_DTYPE_F16 &&
        stream->dtype != SONDE_DTYPE_BF16)
        return sonde_error_set(error, SONDE_STATUS_UNSUPPORTED,
                               "stream %s: element type %s, expected f32, f16 or bf16",
                               stream->name, sonde_dtype_name(stream->dtype));
    if (stream->rank < 1 || stream->rank > 2)
        return sonde_error_set(error, SONDE_STATUS_FORMAT, "stream %s: rank %d, expected 1 or 2",
                               stream->name, stream->rank);
    int64_t product = 1;
    for (int i = 0; i < stream->rank; i++)
        if (stream->dim[i] < 1 || stream->dim[i] > DIM_MAX ||
            !sonde_mul_i64(product, stream->dim[i], &product))
            return sonde_error_set(error, SONDE_STATUS_FORMAT,
                                   "stream %s: dimension %lld of a row is out of range",
                                   stream->name, (long long)stream->dim[i]);
    if (product != stream->width || product > DIM_MAX)
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "stream %s: width %lld, expected %lld from its dimensions",
                               stream->name, (long long)stream->width, (long long)product);
    return SONDE_STATUS_OK;
}

/* What grows while rows are appended to a table: whole pages, and the room left in the last leaf.
 */
struct leaf_count {
    int64_t leaves, overflow, room;
};

static void add_cell(struct leaf_count *count, int64_t payload, int64_t prefix)
{
    int64_t local = payload;
    if (payload > LOCAL_MAX) {
        local = LOCAL_MIN + (payload - LOCAL_MIN) % OVERFLOW;
        if (local > LOCAL_MAX)
            local = LOCAL_MIN;
        count->overflow += (payload - local + OVERFLOW - 1) / OVERFLOW;
        prefix += 4;
    }
    int64_t cell = local + prefix + 2; /* and its cell pointer */
    if (count->leaves == 0 || cell > count->room) {
        count->leaves++;
        count->room = USABLE - 8;
    }
    count->room -= cell;
}

/* Bytes of an integer in a record (file format, section 2.1). */
static int64_t integer_bytes(int64_t value)
{
    return value == 0 || value == 1 ? 0
           : value < 128            ? 1
           : value < 32768          ? 2
           : value < 8388608        ? 3
           : value < 2147483648     ? 4
                                    : 6;
}

static int64_t varint_bytes(int64_t value)
{
    int64_t n = 1;
    while (value >= 128 && n < 9) {
        value >>= 7;
        n++;
    }
    return n;
}

static int64_t ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* Leaves of n rows of `cell` bytes each, and the interior pages above them. */
static int64_t small_rows_pages(int64_t n, int64_t cell)
{
    if (n == 0)
        return 1;
    int64_t leaf_room = USABLE - 8, per_leaf = leaf_room / cell;
    if (per_leaf == 0)
        return n * ceil_div(cell, USABLE);
    int64_t leaves = ceil_div(n, per_leaf);
    return leaves == 1 ? 1 : leaves + 1 + leaves / 6000;
}

static int64_t chunk_pages(const struct sonde_stream *streams, const int64_t *n_values,
                           int64_t n_streams, int64_t *n_chunks)
{
    struct leaf_count count = { 0 };
    int64_t most = 0;
    *n_chunks = 0;
    for (int64_t i = 0; i < n_streams; i++) {
        int64_t n = ceil_div(n_values[i], sonde_layout_chunk_values(&streams[i]));
        most = n > most ? n : most;
        *n_chunks += n;
    }
    /* Streams fill their chunks in turn; which of them is first hardly matters. */
    for (int64_t k = 0; k < most; k++)
        for (int64_t i = 0; i < n_streams; i++) {
            int64_t chunk = sonde_layout_chunk_values(&streams[i]);
            int64_t left = n_values[i] - k * chunk;
            if (left <= 0)
                continue;
            int64_t bytes =
                (left < chunk ? left : chunk) * (int64_t)sonde_dtype_size(streams[i].dtype);
            add_cell(&count, bytes + 32, 3 + varint_bytes(k * n_streams));
        }
    if (count.leaves <= 1)
        return 1 + count.overflow;
    return count.leaves + count.overflow + 1 + count.leaves / 6000;
}

int64_t sonde_store_estimate_bytes(const struct sonde_stream *streams, const int64_t *n_values,
                                   int64_t n_streams, int64_t n_sequences, int64_t n_tokens,
                                   int64_t text_bytes)
{
    int64_t n_chunks = 0;
    int64_t sequences = n_sequences > 0 ? n_sequences : 1;
    int64_t pages = 2; /* the schema, and the map that lets a file shrink again */
    pages += SONDE_SCHEMA_BTREES - 5;
    pages += chunk_pages(streams, n_values, n_streams, &n_chunks);
    /* The index over the chunks: stream, ordinal, codec, n_values, crc32, stored_bytes, rowid. */
    pages += small_rows_pages(n_chunks, 2 + 2 + 8 + 4 + 2 + 4 + 4 + 5 + 4 + 2);
    pages += 1;                       /* streams: a few rows */
    if (5 * n_tokens > LOCAL_MAX / 4) /* the packs of the tokens, beyond one page */
        pages += ceil_div(5 * n_tokens, OVERFLOW);
    int64_t mean_tokens = ceil_div(n_tokens, sequences), mean_text = text_bytes / sequences;
    /* Token: payload length, rowid, record header of 9, then the columns. */
    int64_t token_text = n_tokens ? ceil_div(text_bytes, n_tokens) : 0;
    token_text = token_text < 3 ? 3 : token_text; /* special tokens, and inputs that are no text */
    int64_t token = 2 + 1 + varint_bytes(n_tokens * 3 / 4) + 9 + integer_bytes(n_sequences / 2) +
                    integer_bytes(mean_tokens / 2) + 2 + token_text +
                    2 * integer_bytes(mean_text / 2);
    pages += small_rows_pages(n_tokens, token);
    int64_t sequence = 2 + 3 + varint_bytes(n_sequences * 3 / 4) + 12 +
                       2 * integer_bytes(n_sequences / 2) + integer_bytes(n_tokens / 2) +
                       integer_bytes(mean_tokens) + mean_text;
    pages += small_rows_pages(n_sequences, sequence);
    pages += pages / (USABLE / 5); /* a map page for every 13107 pages */
    return pages * SONDE_STORE_PAGE_BYTES;
}
