/*
 * The source over a run. What a read needs to know was loaded by open, so a read is arithmetic, at
 * most one blob and a copy. No statement stays open between calls: the reader holds no lock on the
 * file while nobody reads, and a writer beside it can commit.
 */
#include <stdlib.h>
#include <string.h>

#include "core/base/num.h"
#include "storage/layout.h"
#include "storage/source.h"

#define CACHE_BYTES_DEFAULT ((int64_t)64 << 20)
#define SLOTS_MAX 4096
#define DIRECT_BYTES 32768

/* --- the cache of decoded chunks --- */

/* The place for a chunk. A scan of plain chunks goes on in the place of the one before it, which
 * is still in the processor's cache, instead of going round all of them. */
static struct source_slot *free_slot(struct source *source, const struct source_stream *s,
                                     int64_t chunk, bool scanning)
{
    int32_t before = chunk > 0 ? s->chunks[chunk - 1].slot : -1;
    if (scanning && before >= 0 && s->chunks[chunk - 1].codec == SONDE_CODEC_NONE)
        return &source->slots[before];
    struct source_slot *best = &source->slots[0];
    for (int64_t i = 1; i < source->n_slots; i++)
        if (source->slots[i].used_at < best->used_at)
            best = &source->slots[i];
    return best;
}

/* The chunk's values, decoded; valid until the next call. */
static enum sonde_status cached_chunk(struct source *source, int64_t stream, int64_t chunk,
                                      bool scanning, const uint8_t **out, struct sonde_error *error)
{
    struct source_stream *s = &source->stream[stream];
    struct source_chunk *entry = &s->chunks[chunk];
    if (entry->id == -1) {
        *out = s->tail;
        return SONDE_STATUS_OK;
    }
    if (entry->slot < 0) {
        struct source_slot *slot = free_slot(source, s, chunk, scanning);
        if (!slot->data)
            slot->data = malloc((size_t)source->chunk_bytes);
        if (!slot->data)
            return sonde_error_memory(error, "the chunk cache");
        if (slot->stream >= 0)
            source->stream[slot->stream].chunks[slot->chunk].slot = -1;
        slot->stream = -1;
        slot->used_at = 0;
        enum sonde_status status = sonde_source_read_chunk(source->store, source->coder, s, chunk,
                                                           entry->codec != SONDE_CODEC_NONE,
                                                           source->stored, slot->data, error);
        if (status != SONDE_STATUS_OK)
            return status;
        slot->stream = stream;
        slot->chunk = chunk;
        entry->slot = (int32_t)(slot - source->slots);
    }
    source->slots[entry->slot].used_at = ++source->clock;
    *out = source->slots[entry->slot].data;
    return SONDE_STATUS_OK;
}

/* --- values --- */

/* A part of an uncompressed chunk straight from the file. *blob is kept open from one to the next:
 * opening takes and gives back SQLite's lock. */
static enum sonde_status read_part(struct source *source, const struct source_stream *s,
                                   int64_t chunk, int64_t offset, int64_t n, sqlite3_blob **blob,
                                   void *out, struct sonde_error *error)
{
    const struct source_chunk *entry = &s->chunks[chunk];
    sqlite3 *db = source->store->db;
    enum sonde_status status = SONDE_STATUS_OK;
    int code = *blob ? sqlite3_blob_reopen(*blob, entry->id)
                     : sqlite3_blob_open(db, "main", "chunk", "data", entry->id, 0, blob);
    if (code == SQLITE_OK && sqlite3_blob_bytes(*blob) == entry->stored_bytes)
        code = sqlite3_blob_read(*blob, out, (int)(n * s->element), (int)(offset * s->element));
    else if (code == SQLITE_OK || (code & 0xff) == SQLITE_ERROR)
        status = sonde_error_set(error, SONDE_STATUS_FORMAT,
                                 "%s: stream %s: chunk %lld: its data is not as long as its index "
                                 "says",
                                 source->store->path, s->row.stream.name, (long long)chunk);
    if (status == SONDE_STATUS_OK && code != SQLITE_OK)
        status = sonde_db_error(source->store, code, error);
    return status;
}

/* Whether a part of a chunk is better read from the file than cached. Caching costs one copy more,
 * which is much where much is wanted, and reads a thousand values for one that is looked up. */
static bool is_direct(const struct source_chunk *entry, int64_t element, int64_t part,
                      bool scanning)
{
    if (entry->id == -1 || entry->codec != SONDE_CODEC_NONE || entry->slot >= 0)
        return false;
    return part == entry->n_values || part * element >= DIRECT_BYTES ||
           (!scanning && part * 8 < entry->n_values);
}

/* Values [first, first + n) as stored. */
static enum sonde_status read_values(struct source *source, int64_t stream, int64_t first,
                                     int64_t n, uint8_t *out, struct sonde_error *error)
{
    struct source_stream *s = &source->stream[stream];
    sqlite3_blob *blob = NULL;
    bool scanning = first == s->next_value;
    enum sonde_status status = SONDE_STATUS_OK;
    while (n > 0 && status == SONDE_STATUS_OK) {
        int64_t chunk = first / s->row.chunk_values, offset = first % s->row.chunk_values;
        const struct source_chunk *entry = &s->chunks[chunk];
        int64_t left = entry->n_values - offset, part = n < left ? n : left;
        if (is_direct(entry, s->element, part, scanning)) {
            status = read_part(source, s, chunk, offset, part, &blob, out, error);
        } else {
            const uint8_t *data = NULL;
            status = cached_chunk(source, stream, chunk, scanning, &data, error);
            if (status == SONDE_STATUS_OK)
                memcpy(out, data + offset * s->element, (size_t)(part * s->element));
        }
        first += part;
        n -= part;
        out += part * s->element;
    }
    sqlite3_blob_close(blob);
    s->next_value = first;
    return status;
}

/* The same, widened to f32, a piece at a time. */
static enum sonde_status read_wide(struct source *source, int64_t stream, int64_t first, int64_t n,
                                   float *out, struct sonde_error *error)
{
    const struct source_stream *s = &source->stream[stream];
    enum sonde_status status = SONDE_STATUS_OK;
    if (s->row.stream.dtype == SONDE_DTYPE_F32)
        return read_values(source, stream, first, n, (uint8_t *)out, error);
    int64_t piece = source->chunk_bytes / s->element;
    while (n > 0 && status == SONDE_STATUS_OK) {
        int64_t part = n < piece ? n : piece;
        status = read_values(source, stream, first, part, source->raw, error);
        if (status == SONDE_STATUS_OK)
            sonde_dtype_widen(s->row.stream.dtype, source->raw, out, part);
        first += part;
        out += part;
        n -= part;
    }
    return status;
}

static enum sonde_status check_stream(const struct source *source, int64_t stream, bool map,
                                      struct sonde_error *error)
{
    if (stream < 0 || stream >= source->base.n_streams)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT, "%s: stream number %lld of %lld",
                               source->store->path, (long long)stream,
                               (long long)source->base.n_streams);
    if ((source->streams[stream].space == SONDE_ROWS_MAP) != map)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT, "%s: stream %s: its row space is %s",
                               source->store->path, source->streams[stream].name,
                               sonde_row_space_name(source->streams[stream].space));
    return SONDE_STATUS_OK;
}

static enum sonde_status check_rows(const struct source *source, int64_t stream, int64_t first,
                                    int64_t n, struct sonde_error *error)
{
    enum sonde_status status = check_stream(source, stream, false, error);
    if (status != SONDE_STATUS_OK)
        return status;
    int64_t n_rows = source->streams[stream].n_rows;
    if (first < 0 || n < 0 || first > n_rows || n > n_rows - first)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "%s: stream %s: rows %lld and %lld more of %lld rows",
                               source->store->path, source->streams[stream].name, (long long)first,
                               (long long)n, (long long)n_rows);
    return SONDE_STATUS_OK;
}

static enum sonde_status source_read_rows(struct sonde_source *base, int64_t stream, int64_t first,
                                          int64_t n, float *out, struct sonde_error *error)
{
    struct source *source = base->self;
    enum sonde_status status = check_rows(source, stream, first, n, error);
    if (status != SONDE_STATUS_OK)
        return status;
    int64_t width = source->streams[stream].width;
    return read_wide(source, stream, first * width, n * width, out, error);
}

enum sonde_status sonde_store_read_raw(struct sonde_source *base, int64_t stream, int64_t first,
                                       int64_t n, void *out, struct sonde_error *error)
{
    struct source *source = base->self;
    bool map =
        stream >= 0 && stream < base->n_streams && source->streams[stream].space == SONDE_ROWS_MAP;
    if (map) {
        if (first < 0 || n < 0 || first > base->n_sequences || n > base->n_sequences - first)
            return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                                   "%s: stream %s: maps %lld and %lld more of %lld sequences",
                                   source->store->path, source->streams[stream].name,
                                   (long long)first, (long long)n, (long long)base->n_sequences);
        int64_t heads = source->streams[stream].width, from = source->square[first];
        return read_values(source, stream, heads * from, heads * (source->square[first + n] - from),
                           out, error);
    }
    enum sonde_status status = check_rows(source, stream, first, n, error);
    if (status != SONDE_STATUS_OK)
        return status;
    int64_t width = source->streams[stream].width;
    return read_values(source, stream, first * width, n * width, out, error);
}

static enum sonde_status check_map(const struct source *source, int64_t stream, int64_t sequence,
                                   struct sonde_error *error)
{
    enum sonde_status status = check_stream(source, stream, true, error);
    if (status != SONDE_STATUS_OK)
        return status;
    if (sequence < 0 || sequence >= source->base.n_sequences)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT, "%s: sequence %lld of %lld",
                               source->store->path, (long long)sequence,
                               (long long)source->base.n_sequences);
    return SONDE_STATUS_OK;
}

static enum sonde_status source_read_map(struct sonde_source *base, int64_t stream,
                                         int64_t sequence, float *out, struct sonde_error *error)
{
    struct source *source = base->self;
    enum sonde_status status = check_map(source, stream, sequence, error);
    if (status != SONDE_STATUS_OK)
        return status;
    int64_t heads = source->streams[stream].width, T = source->sequences[sequence].n_tokens;
    return read_wide(source, stream, heads * source->square[sequence], heads * T * T, out, error);
}

static enum sonde_status source_read_map_rows(struct sonde_source *base, int64_t stream,
                                              int64_t sequence, int64_t head, int64_t first,
                                              int64_t n, float *out, struct sonde_error *error)
{
    struct source *source = base->self;
    enum sonde_status status = check_map(source, stream, sequence, error);
    if (status != SONDE_STATUS_OK)
        return status;
    int64_t heads = source->streams[stream].width, T = source->sequences[sequence].n_tokens;
    if (head < 0 || head >= heads || first < 0 || n < 0 || first > T || n > T - first)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "%s: stream %s: head %lld of %lld, rows %lld and %lld more of %lld",
                               source->store->path, source->streams[stream].name, (long long)head,
                               (long long)heads, (long long)first, (long long)n, (long long)T);
    return read_wide(source, stream, heads * source->square[sequence] + (head * T + first) * T,
                     n * T, out, error);
}

/* --- opening --- */

static void source_destroy(struct sonde_source **base)
{
    if (!base || !*base)
        return;
    struct source *source = (*base)->self;
    for (int64_t i = 0; source->stream && i < source->base.n_streams; i++) {
        free(source->stream[i].chunks);
        free(source->stream[i].tail);
    }
    for (int64_t i = 0; i < source->n_slots; i++)
        free(source->slots[i].data);
    free(source->stream);
    free(source->streams);
    free(source->slots);
    free(source->stored);
    free(source->raw);
    free(source->sequences);
    free(source->square);
    free(source->token_id);
    free(source->token_position);
    free(source->token_sequence);
    free(source->token_flags);
    free(source->token_text);
    free(source->text_of_id);
    sonde_coder_destroy(&source->coder);
    for (struct source_label_entry *entry = source->labels, *next; entry; entry = next) {
        next = entry->next;
        sonde_source_labels_free(&entry->labels);
        free(entry);
    }
    sonde_arena_destroy(&source->arena);
    free(source);
    *base = NULL;
}

static enum sonde_status load_run(struct source *source, struct sonde_error *error)
{
    char sql[160];
    sqlite3_stmt *statement = NULL;
    bool row = false;
    sqlite3_snprintf(sizeof(sql), sql,
                     "SELECT run.name, model.hash FROM run LEFT JOIN model ON model.id = run.model"
                     " WHERE run.id = %lld",
                     source->run);
    enum sonde_status status = sonde_db_prepare(source->store, &statement, sql, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_db_step(source->store, statement, &row, error);
    for (int i = 0; i < 2 && status == SONDE_STATUS_OK; i++) {
        const char *text = row ? (const char *)sqlite3_column_text(statement, i) : NULL;
        const char *copy =
            sonde_arena_strndup(source->arena, text ? text : "", text ? strlen(text) : 0);
        if (!copy)
            status = sonde_error_memory(error, "a run");
        else if (i == 0)
            source->base.run_name = copy;
        else
            source->base.model_hash = copy;
    }
    sqlite3_finalize(statement);
    return status;
}

/* A stream must have as many values as the run's sequences ask for. */
static enum sonde_status check_extent(const struct source *source, struct source_stream *s,
                                      struct sonde_error *error)
{
    struct sonde_stream *stream = &s->row.stream;
    int64_t n_sequences = source->base.n_sequences, expected = 0;
    int64_t count = stream->space == SONDE_ROWS_MAP        ? source->square[n_sequences]
                    : stream->space == SONDE_ROWS_SEQUENCE ? n_sequences
                                                           : source->base.n_tokens;
    stream->n_rows = stream->space == SONDE_ROWS_TOKEN ? source->base.n_tokens : n_sequences;
    if (!sonde_mul_i64(count, stream->width, &expected) || expected != s->n_values)
        return sonde_error_set(
            error, SONDE_STATUS_FORMAT, "%s: stream %s: %lld values stored, expected %lld",
            source->store->path, stream->name, (long long)s->n_values, (long long)expected);
    return SONDE_STATUS_OK;
}

static enum sonde_status load_streams(struct source *source, struct sonde_error *error)
{
    struct sonde_stream_row *rows = NULL;
    int64_t n = 0;
    enum sonde_status status =
        sonde_append_read_streams(source->store, source->run, &rows, &n, error);
    if (status != SONDE_STATUS_OK)
        return status;
    source->stream = calloc((size_t)n + 1, sizeof(*source->stream));
    source->streams = calloc((size_t)n + 1, sizeof(*source->streams));
    if (!source->stream || !source->streams)
        status = sonde_error_memory(error, "the streams of a run");
    for (int64_t i = 0; i < n && status == SONDE_STATUS_OK; i++) {
        source->stream[i].row = rows[i];
        source->base.n_streams = i + 1;
        status = sonde_source_load_index(source->store, &source->stream[i], error);
        if (status == SONDE_STATUS_OK)
            status = check_extent(source, &source->stream[i], error);
        source->streams[i] = source->stream[i].row.stream;
        int64_t bytes = rows[i].chunk_values * source->stream[i].element;
        source->chunk_bytes = bytes > source->chunk_bytes ? bytes : source->chunk_bytes;
    }
    free(rows);
    return status;
}

static enum sonde_status make_cache(struct source *source, int64_t cache_bytes,
                                    struct sonde_error *error)
{
    int64_t chunk = source->chunk_bytes > 0 ? source->chunk_bytes : 1;
    int64_t n = (cache_bytes > 0 ? cache_bytes : CACHE_BYTES_DEFAULT) / chunk;
    source->n_slots = n < 1 ? 1 : n > SLOTS_MAX ? SLOTS_MAX : n;
    source->slots = calloc((size_t)source->n_slots, sizeof(*source->slots));
    source->stored = malloc((size_t)chunk);
    source->raw = malloc((size_t)chunk);
    source->coder = sonde_coder_create();
    if (!source->slots || !source->stored || !source->raw || !source->coder) {
        source->n_slots = source->slots ? source->n_slots : 0;
        return sonde_error_memory(error, "the chunk cache");
    }
    for (int64_t i = 0; i < source->n_slots; i++)
        source->slots[i].stream = -1;
    return SONDE_STATUS_OK;
}

/* Mapped pages count as memory of the process, so a caller with a budget gets a mapping of no more
 * than that; the rest of the file is read. */
static enum sonde_status limit_mapping(struct sonde_store *store, int64_t cache_bytes,
                                       struct sonde_error *error)
{
    char sql[64];
    int64_t mapped = 0;
    if (cache_bytes <= 0)
        return SONDE_STATUS_OK;
    enum sonde_status status = sonde_db_read_i64(store, "PRAGMA mmap_size", 0, &mapped, error);
    if (status != SONDE_STATUS_OK || mapped <= cache_bytes)
        return status;
    sqlite3_snprintf(sizeof(sql), sql, "PRAGMA mmap_size = %lld", cache_bytes);
    return sonde_db_exec(store, sql, error);
}

static void fill_base(struct source *source)
{
    struct sonde_source *base = &source->base;
    base->streams = source->streams;
    base->sequences = source->sequences;
    base->token_id = source->token_id;
    base->token_position = source->token_position;
    base->token_sequence = source->token_sequence;
    base->token_flags = source->token_flags;
    base->token_text = sonde_source_token_text;
    base->read_rows = source_read_rows;
    base->read_map = source_read_map;
    base->read_map_rows = source_read_map_rows;
    base->labels = sonde_source_load_labels;
    base->destroy = source_destroy;
}

enum sonde_status sonde_store_open_source(struct sonde_store *store, const char *run,
                                          int64_t cache_bytes, struct sonde_source **out,
                                          struct sonde_error *error)
{
    struct source *source = calloc(1, sizeof(*source));
    if (!source)
        return sonde_error_memory(error, "a source");
    struct sonde_source *base = &source->base;
    base->self = source;
    source->store = store;
    source->arena = sonde_arena_create(0);
    enum sonde_status status = SONDE_STATUS_OK;
    if (!source->arena)
        status = sonde_error_memory(error, "a source");
    if (status == SONDE_STATUS_OK)
        status = limit_mapping(store, cache_bytes, error);
    /* One read transaction: everything loaded is of one commit, whatever a writer does. */
    bool began = status == SONDE_STATUS_OK && sqlite3_get_autocommit(store->db);
    if (began)
        status = sonde_db_exec(store, "BEGIN", error);
    if (status == SONDE_STATUS_OK)
        status = sonde_db_find_run(store, run, &source->run, error);
    source->id_base = (source->run - 1) * SONDE_STORE_ID_SPAN;
    if (status == SONDE_STATUS_OK)
        status = load_run(source, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_source_load_keys(source, error);
    if (status == SONDE_STATUS_OK)
        status = load_streams(source, error);
    if (status == SONDE_STATUS_OK)
        status = make_cache(source, cache_bytes, error);
    if (began)
        sonde_db_rollback(store);
    if (status != SONDE_STATUS_OK) {
        source_destroy(&base);
        return status;
    }
    fill_base(source);
    *out = base;
    return SONDE_STATUS_OK;
}
