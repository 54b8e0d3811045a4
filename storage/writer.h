/*
 * Writer: the inside of the sink, shared by writer.c (the caller's side) and writer_thread.c (its
 * threads). The caller fills chunks and queues them; encoding threads compress them, several at a
 * time, where the codec asks for it; the writing thread takes items off the head of the queue, in
 * order, and is the only one that touches the store; a flushing thread gets what it wrote to the
 * disk while it writes on, so that a commit's own sync finds little left. Private to storage.
 */
#ifndef SONDE_STORAGE_WRITER_H
#define SONDE_STORAGE_WRITER_H

#include <pthread.h>

#include "storage/append.h"

enum writer_item_kind { ITEM_SEQUENCE, ITEM_COMMIT, ITEM_FINISH, ITEM_END };

struct writer_item {
    struct writer_item *next;
    enum writer_item_kind kind;
    int64_t bytes;                  /* that count against the queue's limit */
    struct sonde_sequence sequence; /* SEQUENCE: with its tokens and texts behind the struct */
    struct sonde_chunk_list chunks; /* SEQUENCE, FINISH: that it made full; the last ones */
    int64_t n_tails;                /* COMMIT */
    struct sonde_tail *tails;       /* [n_tails], behind the struct */
};

struct writer {
    struct sonde_sink sink;
    struct sonde_store *store;
    struct sonde_append *append;
    struct sonde_fill *fill;      /* the caller's; of append */
    struct sonde_stream *streams; /* [n_streams] */
    int64_t n_streams, queue_limit;
    struct writer_item *mark; /* ends the writing thread */
    pthread_t thread;
    pthread_t flusher;
    bool has_flusher;
    int n_encoders;                    /* that were started */
    pthread_t *encoders;               /* [n_encoders] */
    struct sonde_store_load *load_out; /* of the caller; may be NULL */
    sqlite3_file *file;                /* of the store */
    int64_t unflushed;     /* of the writing thread: bytes written since a flush was asked for */
    pthread_mutex_t mutex; /* guards everything below */
    pthread_cond_t changed;
    struct writer_item *first, *last;
    struct sonde_chunk *first_raw, *last_raw; /* chunks that wait for an encoder, by next_raw */
    struct sonde_chunk *spare;                /* written, for the caller to fill again */
    int64_t queued_bytes, spare_bytes;
    int64_t n_commits; /* that are still to be done */
    bool flush;        /* is asked for */
    bool flushing;     /* is under way */
    bool closing;      /* the threads end when they have nothing to do */
    struct sonde_store_load load;
    enum sonde_status status;
    struct sonde_error error;
};

/* Starts the writing and the flushing thread and n_encoders encoding ones. */
SONDE_MUST_USE enum sonde_status sonde_writer_start(struct writer *writer, int n_encoders,
                                                    struct sonde_error *error);
/* Puts an item at the end of the queue, its raw chunks before the encoders. The mutex is held. */
void sonde_writer_push(struct writer *writer, struct writer_item *item);
/* Chunks of an item go before the encoders, or are ready where there are none. */
void sonde_writer_offer(struct writer *writer, const struct writer_item *item);
double sonde_writer_now(void); /* seconds of a clock that only goes forward */
/* Queues the mark as `kind`, with what it holds, and waits for all threads to end. */
void sonde_writer_end(struct writer *writer, enum writer_item_kind kind);

#endif
