#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/thread.h"
#include "storage/writer.h"

double sonde_writer_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* --- encoding --- */

/* The first failure stays. The mutex is held. */
static void keep_failure(struct writer *writer, enum sonde_status status,
                         const struct sonde_error *error)
{
    if (status == SONDE_STATUS_OK || writer->status != SONDE_STATUS_OK)
        return;
    writer->status = status;
    writer->error = *error;
}

static void *encode_chunks(void *ctx)
{
    struct writer *writer = ctx;
    struct sonde_coder *coder = sonde_coder_create();
    struct sonde_error error = { 0 };
    pthread_mutex_lock(&writer->mutex);
    if (!coder)
        keep_failure(writer, sonde_error_memory(&error, "a chunk's compression"), &error);
    for (;;) {
        while (!writer->first_raw && !writer->closing)
            pthread_cond_wait(&writer->changed, &writer->mutex);
        struct sonde_chunk *chunk = writer->first_raw;
        if (!chunk)
            break;
        writer->first_raw = chunk->next_raw;
        chunk->state = SONDE_CHUNK_BUSY;
        bool failed = writer->status != SONDE_STATUS_OK;
        pthread_mutex_unlock(&writer->mutex);
        enum sonde_status status =
            failed ? SONDE_STATUS_OK : sonde_append_encode(coder, chunk, &error);
        pthread_mutex_lock(&writer->mutex);
        keep_failure(writer, status, &error);
        chunk->state = SONDE_CHUNK_READY;
        pthread_cond_broadcast(&writer->changed);
    }
    pthread_mutex_unlock(&writer->mutex);
    sonde_coder_destroy(&coder);
    return NULL;
}

void sonde_writer_offer(struct writer *writer, const struct writer_item *item)
{
    for (struct sonde_chunk *chunk = item->chunks.first; chunk; chunk = chunk->next) {
        if (chunk->state != SONDE_CHUNK_RAW)
            continue;
        if (writer->n_encoders == 0) {
            chunk->state = SONDE_CHUNK_READY;
            continue;
        }
        chunk->next_raw = NULL;
        if (writer->first_raw)
            writer->last_raw->next_raw = chunk;
        else
            writer->first_raw = chunk;
        writer->last_raw = chunk;
    }
}

void sonde_writer_push(struct writer *writer, struct writer_item *item)
{
    item->next = NULL;
    if (writer->last)
        writer->last->next = item;
    else
        writer->first = item;
    writer->last = item;
    writer->queued_bytes += item->bytes;
    sonde_writer_offer(writer, item);
    pthread_cond_broadcast(&writer->changed);
}

/* --- flushing --- */

#define FLUSH_BYTES ((int64_t)16 << 20)

/*
 * xSync of the file's own methods asks the system to put on the disk what the file holds, and
 * touches nothing of the connection's. The durability of commits does not rest on it: SQLite syncs
 * as ever. But an error that the system has told once it does not tell again, so it must fail the
 * run here.
 */
static void *flush_file(void *ctx)
{
    struct writer *writer = ctx;
    sqlite3_file *file = writer->file;
    struct sonde_error error = { 0 };
    pthread_mutex_lock(&writer->mutex);
    for (;;) {
        while (!writer->flush && !writer->closing)
            pthread_cond_wait(&writer->changed, &writer->mutex);
        if (writer->closing)
            break;
        writer->flush = false;
        writer->flushing = true;
        pthread_mutex_unlock(&writer->mutex);
        int code = file && file->pMethods
                       ? file->pMethods->xSync(file, SQLITE_SYNC_NORMAL | SQLITE_SYNC_DATAONLY)
                       : SQLITE_OK;
        enum sonde_status status =
            code == SQLITE_OK
                ? SONDE_STATUS_OK
                : sonde_error_set(&error, SONDE_STATUS_IO, "%s: writing to the disk failed: %s",
                                  writer->store->path, sqlite3_errstr(code));
        pthread_mutex_lock(&writer->mutex);
        keep_failure(writer, status, &error);
        writer->flushing = false;
        pthread_cond_broadcast(&writer->changed);
    }
    pthread_mutex_unlock(&writer->mutex);
    return NULL;
}

/* Waits until no flush is asked for or under way; its failure is the commit's: SQLite's own sync
 * would not be told of it. */
static enum sonde_status await_flush(struct writer *writer, struct sonde_error *error)
{
    pthread_mutex_lock(&writer->mutex);
    while (writer->flush || writer->flushing)
        pthread_cond_wait(&writer->changed, &writer->mutex);
    enum sonde_status status = writer->status;
    if (status != SONDE_STATUS_OK)
        *error = writer->error;
    pthread_mutex_unlock(&writer->mutex);
    return status;
}

static void count_written(struct writer *writer, int64_t bytes)
{
    writer->unflushed += bytes;
    if (writer->unflushed < FLUSH_BYTES)
        return;
    writer->unflushed = 0;
    pthread_mutex_lock(&writer->mutex);
    writer->flush = true;
    pthread_cond_broadcast(&writer->changed);
    pthread_mutex_unlock(&writer->mutex);
}

/* --- writing --- */

/* Waits until the chunk is encoded, or something has failed. */
static enum sonde_status wait_ready(struct writer *writer, const struct sonde_chunk *chunk,
                                    struct sonde_error *error)
{
    pthread_mutex_lock(&writer->mutex);
    if (chunk->state != SONDE_CHUNK_READY) {
        double begin = sonde_writer_now();
        while (chunk->state != SONDE_CHUNK_READY)
            pthread_cond_wait(&writer->changed, &writer->mutex);
        writer->load.compressing += sonde_writer_now() - begin;
    }
    enum sonde_status status = writer->status;
    if (status != SONDE_STATUS_OK)
        *error = writer->error;
    pthread_mutex_unlock(&writer->mutex);
    return status;
}

static enum sonde_status write_chunks(struct writer *writer, const struct writer_item *item,
                                      struct sonde_error *error)
{
    enum sonde_status status = SONDE_STATUS_OK;
    for (const struct sonde_chunk *chunk = item->chunks.first; chunk && status == SONDE_STATUS_OK;
         chunk = chunk->next) {
        status = wait_ready(writer, chunk, error);
        if (status == SONDE_STATUS_OK)
            status = sonde_append_chunk(writer->append, chunk, error);
        if (status == SONDE_STATUS_OK)
            count_written(writer, chunk->stored_bytes);
    }
    return status;
}

static enum sonde_status write_sequence(struct writer *writer, const struct writer_item *item,
                                        struct sonde_error *error)
{
    enum sonde_status status = sonde_append_sequence(writer->append, &item->sequence, error);
    return status == SONDE_STATUS_OK ? write_chunks(writer, item, error) : status;
}

static enum sonde_status write_commit(struct writer *writer, const struct writer_item *item,
                                      struct sonde_error *error)
{
    enum sonde_status status = SONDE_STATUS_OK;
    for (int64_t i = 0; i < item->n_tails && status == SONDE_STATUS_OK; i++)
        status = sonde_append_tail(writer->append, &item->tails[i], error);
    if (status == SONDE_STATUS_OK)
        status = sonde_append_flush(writer->append, error);
    if (status == SONDE_STATUS_OK)
        status = await_flush(writer, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_db_exec(writer->store, "COMMIT", error);
    if (status == SONDE_STATUS_OK)
        status = sonde_db_begin_write(writer->store, error);
    return status;
}

static enum sonde_status write_finish(struct writer *writer, const struct writer_item *item,
                                      struct sonde_error *error)
{
    enum sonde_status status = sonde_append_drop_tails(writer->append, error);
    if (status == SONDE_STATUS_OK)
        status = write_chunks(writer, item, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_append_complete(writer->append, error);
    if (status == SONDE_STATUS_OK)
        status = await_flush(writer, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_db_exec(writer->store, "COMMIT", error);
    if (status != SONDE_STATUS_OK)
        return status;
    /* The run is safe now; giving back free pages may fail for reasons that do not matter to it. */
    int64_t n_free = 0;
    if (sonde_db_read_i64(writer->store, "PRAGMA freelist_count", 0, &n_free, NULL) ==
            SONDE_STATUS_OK &&
        n_free > 0)
        sqlite3_exec(writer->store->db, "PRAGMA incremental_vacuum", NULL, NULL, NULL);
    return SONDE_STATUS_OK;
}

static enum sonde_status write_item(struct writer *writer, const struct writer_item *item,
                                    struct sonde_error *error)
{
    switch (item->kind) {
    case ITEM_SEQUENCE:
        return write_sequence(writer, item, error);
    case ITEM_COMMIT:
        return write_commit(writer, item, error);
    case ITEM_FINISH:
        return write_finish(writer, item, error);
    case ITEM_END:
        break;
    }
    return SONDE_STATUS_OK;
}

static struct writer_item *take_item(struct writer *writer)
{
    pthread_mutex_lock(&writer->mutex);
    while (!writer->first)
        pthread_cond_wait(&writer->changed, &writer->mutex);
    struct writer_item *item = writer->first;
    pthread_mutex_unlock(&writer->mutex);
    return item;
}

/* Chunks are kept for the next values within the queue's limit: memory fresh from the system costs
 * a page fault every 4 KiB. The mutex is held. */
static struct sonde_chunk *keep_chunks(struct writer *writer, struct writer_item *item)
{
    struct sonde_chunk *surplus = NULL;
    for (struct sonde_chunk *chunk = item->chunks.first, *next; chunk; chunk = next) {
        next = chunk->next;
        bool keep =
            writer->queued_bytes + writer->spare_bytes + chunk->capacity <= writer->queue_limit;
        struct sonde_chunk **list = keep ? &writer->spare : &surplus;
        writer->spare_bytes += keep ? chunk->capacity : 0;
        free(chunk->packed);
        chunk->packed = NULL;
        chunk->next = *list;
        *list = chunk;
    }
    return surplus;
}

/* The item leaves the queue only when it is done, so that the queue's limit covers it. */
static void drop_item(struct writer *writer, struct writer_item *item, double seconds,
                      enum sonde_status status, const struct sonde_error *error)
{
    pthread_mutex_lock(&writer->mutex);
    writer->load.writing += seconds;
    keep_failure(writer, status, error);
    /* A failed item may have left some of its chunks to the encoders. */
    for (const struct sonde_chunk *chunk = item->chunks.first; chunk; chunk = chunk->next)
        while (chunk->state != SONDE_CHUNK_READY)
            pthread_cond_wait(&writer->changed, &writer->mutex);
    writer->first = item->next;
    if (!writer->first)
        writer->last = NULL;
    writer->queued_bytes -= item->bytes;
    if (item->kind == ITEM_COMMIT)
        writer->n_commits--;
    struct sonde_chunk *surplus = keep_chunks(writer, item);
    pthread_cond_broadcast(&writer->changed);
    pthread_mutex_unlock(&writer->mutex);
    sonde_chunk_free(surplus);
    free(item);
}

static void *write_items(void *ctx)
{
    struct writer *writer = ctx;
    struct sonde_error error = { 0 };
    enum sonde_status status = SONDE_STATUS_OK;
    for (bool go_on = true; go_on;) {
        struct writer_item *item = take_item(writer);
        go_on = item->kind == ITEM_SEQUENCE || item->kind == ITEM_COMMIT;
        double begin = sonde_writer_now();
        if (status == SONDE_STATUS_OK)
            status = write_item(writer, item, &error);
        /* What was begun is given up at once: nobody should wait for the lock of a failed run. */
        if (status != SONDE_STATUS_OK)
            sonde_db_rollback(writer->store);
        drop_item(writer, item, sonde_writer_now() - begin, status, &error);
    }
    sonde_db_rollback(writer->store);
    return NULL;
}

/* --- beginning and end --- */

static void end_helpers(struct writer *writer)
{
    pthread_mutex_lock(&writer->mutex);
    writer->closing = true;
    pthread_cond_broadcast(&writer->changed);
    pthread_mutex_unlock(&writer->mutex);
    for (int i = 0; i < writer->n_encoders; i++)
        pthread_join(writer->encoders[i], NULL);
    if (writer->has_flusher)
        pthread_join(writer->flusher, NULL);
}

enum sonde_status sonde_writer_start(struct writer *writer, int n_encoders,
                                     struct sonde_error *error)
{
    int code = 0;
    sqlite3_file_control(writer->store->db, "main", SQLITE_FCNTL_FILE_POINTER, &writer->file);
    writer->encoders = calloc((size_t)n_encoders + 1, sizeof(*writer->encoders));
    if (!writer->encoders)
        return sonde_error_memory(error, "a run's writer");
    while (code == 0 && writer->n_encoders < n_encoders) {
        code = sonde_thread_start(&writer->encoders[writer->n_encoders], encode_chunks, writer);
        writer->n_encoders += code == 0;
    }
    if (code == 0)
        code = sonde_thread_start(&writer->flusher, flush_file, writer);
    writer->has_flusher = code == 0;
    if (code == 0)
        code = sonde_thread_start(&writer->thread, write_items, writer);
    if (code == 0)
        return SONDE_STATUS_OK;
    end_helpers(writer);
    return sonde_error_set(error, SONDE_STATUS_MEMORY, "%s: cannot start a thread: %s",
                           writer->store->path, strerror(code));
}

void sonde_writer_end(struct writer *writer, enum writer_item_kind kind)
{
    struct writer_item *mark = writer->mark;
    writer->mark = NULL;
    mark->kind = kind;
    pthread_mutex_lock(&writer->mutex);
    sonde_writer_push(writer, mark);
    pthread_mutex_unlock(&writer->mutex);
    pthread_join(writer->thread, NULL);
    end_helpers(writer);
}
