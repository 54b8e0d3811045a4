/* The reader's inside, shared by reader.c (chunks and values), source_keys.c (sequences, tokens)
 * and source_labels.c (label sets). Private to storage. */
#ifndef SONDE_STORAGE_SOURCE_H
#define SONDE_STORAGE_SOURCE_H

#include "core/base/arena.h"
#include "storage/append.h"
#include "storage/codec.h"
#include "storage/db.h"

struct source_chunk {
    int64_t id, n_values, stored_bytes; /* id -1: the tail, which is in memory */
    uint32_t crc32;
    enum sonde_codec codec;
    int32_t slot; /* in the cache, or -1 */
};

struct source_stream {
    struct sonde_stream_row row;
    int64_t element, n_values, n_chunks, stored_bytes;
    struct source_chunk *chunks; /* [n_chunks] */
    uint8_t *tail;               /* the values behind the last full chunk of an open run */
    int64_t next_value;          /* where the last read ended: tells scans from lookups */
};

struct source_slot {
    int64_t stream, chunk; /* stream -1: empty */
    uint64_t used_at;
    uint8_t *data; /* [chunk_bytes] */
};

struct source_label_entry {
    struct source_label_entry *next;
    struct sonde_labels labels;
};

struct source {
    struct sonde_source base;
    struct sonde_store *store;
    struct sonde_arena *arena; /* names, texts, label sets */
    int64_t run, id_base;
    struct sonde_stream *streams; /* [n_streams] */
    struct source_stream *stream; /* [n_streams] */
    struct sonde_source_sequence *sequences;
    int64_t *square; /* [n_sequences + 1] sum of T * T before a sequence */
    int32_t *token_id, *token_position, *token_sequence;
    uint32_t *token_flags;
    const char **token_text; /* [n_tokens] NULL: not read yet */
    const char **text_of_id; /* [n_text_of_id] */
    int64_t n_text_of_id;
    struct source_slot *slots; /* [n_slots] */
    int64_t n_slots, chunk_bytes;
    uint64_t clock;
    uint8_t *stored, *raw; /* [chunk_bytes] each: a blob as stored; values before widening */
    struct sonde_coder *coder;
    struct source_label_entry *labels;
};

/* Sequences and tokens of the run into the source. */
SONDE_MUST_USE enum sonde_status sonde_source_load_keys(struct source *source,
                                                        struct sonde_error *error);
/* sonde_source.token_text; "" too where the store cannot be read. */
const char *sonde_source_token_text(struct sonde_source *base, int64_t row);
/* sonde_source.labels */
enum sonde_status sonde_source_load_labels(struct sonde_source *base, const char *set,
                                           const struct sonde_labels **out,
                                           struct sonde_error *error);
void sonde_source_labels_free(struct sonde_labels *labels); /* its arrays, not itself */
/* The chunk index and the tail of one stream. */
SONDE_MUST_USE enum sonde_status sonde_source_load_index(struct sonde_store *store,
                                                         struct source_stream *stream,
                                                         struct sonde_error *error);
/* Reads and decodes one chunk as a whole. stored has room for stored_bytes, raw for n_values. */
SONDE_MUST_USE enum sonde_status
sonde_source_read_chunk(struct sonde_store *store, struct sonde_coder *coder,
                        const struct source_stream *stream, int64_t chunk, bool verify,
                        uint8_t *stored, uint8_t *raw, struct sonde_error *error);

#endif
