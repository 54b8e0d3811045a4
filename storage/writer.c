/*
 * The sink that writes a run. put() copies a sequence into a queue; a thread of the sink's own
 * narrows, compresses and writes. One transaction from commit to commit.
 *
 * The write lock is taken again right after each commit, so the run keeps other writers out from
 * its beginning to its end, while readers come and go.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/num.h"
#include "core/base/thread.h"
#include "storage/append.h"
#include "storage/layout.h"
#include "storage/run.h"

#define QUEUE_BYTES_DEFAULT ((int64_t)64 << 20)
#define ITEM_ROUND_BYTES ((int64_t)1 << 16) /* so that items fit others of about their size */

enum item_kind { ITEM_SEQUENCE, ITEM_COMMIT, ITEM_FINISH, ITEM_END };

/* One allocation: the struct, then tokens, records, values and texts. */
struct item {
    struct item *next;
    enum item_kind kind;
    int64_t capacity, bytes; /* of the allocation; in use */
    struct sonde_sequence sequence;
    const struct sonde_record *records; /* [n_streams] */
};

struct writer {
    struct sonde_sink sink;
    struct sonde_store *store;
    struct sonde_append *append;
    struct sonde_stream *streams; /* [n_streams] */
    int64_t n_streams, queue_limit;
    struct item *mark; /* ends the thread */
    pthread_t thread;
    pthread_mutex_t mutex; /* guards everything below */
    pthread_cond_t changed;
    struct item *first, *last, *spare;
    int64_t queued_bytes, spare_bytes;
    int64_t n_commits; /* that are still to be done */
    enum sonde_status status;
    struct sonde_error error;
};

/* --- the writing thread --- */

static enum sonde_status write_sequence(struct writer *writer, const struct item *item,
                                        struct sonde_error *error)
{
    enum sonde_status status = sonde_append_sequence(writer->append, &item->sequence, error);
    for (int64_t i = 0; i < writer->n_streams && status == SONDE_STATUS_OK; i++)
        status = sonde_append_values(writer->append, i, item->records[i].value,
                                     item->records[i].n_values, error);
    return status;
}

static enum sonde_status write_commit(struct writer *writer, struct sonde_error *error)
{
    enum sonde_status status = sonde_append_flush(writer->append, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_db_exec(writer->store, "COMMIT", error);
    if (status == SONDE_STATUS_OK)
        status = sonde_db_begin_write(writer->store, error);
    return status;
}

static enum sonde_status write_finish(struct writer *writer, struct sonde_error *error)
{
    enum sonde_status status = sonde_append_complete(writer->append, error);
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

static struct item *take_item(struct writer *writer)
{
    pthread_mutex_lock(&writer->mutex);
    while (!writer->first)
        pthread_cond_wait(&writer->changed, &writer->mutex);
    struct item *item = writer->first;
    pthread_mutex_unlock(&writer->mutex);
    return item;
}

/* The item leaves the queue only when it is done, so that the queue's limit covers it. */
static void drop_item(struct writer *writer, struct item *item, enum sonde_status status,
                      const struct sonde_error *error)
{
    bool keep;
    pthread_mutex_lock(&writer->mutex);
    writer->first = item->next;
    if (!writer->first)
        writer->last = NULL;
    writer->queued_bytes -= item->bytes;
    if (item->kind == ITEM_COMMIT)
        writer->n_commits--;
    if (status != SONDE_STATUS_OK && writer->status == SONDE_STATUS_OK) {
        writer->status = status;
        writer->error = *error;
    }
    /* Items are kept for the next sequences within the queue's limit: memory fresh from the system
     * costs a page fault every 4 KiB. */
    keep = item->kind == ITEM_SEQUENCE &&
           writer->queued_bytes + writer->spare_bytes + item->capacity <= writer->queue_limit;
    if (keep) {
        item->next = writer->spare;
        writer->spare = item;
        writer->spare_bytes += item->capacity;
    }
    pthread_cond_broadcast(&writer->changed);
    pthread_mutex_unlock(&writer->mutex);
    if (!keep)
        free(item);
}

static void *write_items(void *ctx)
{
    struct writer *writer = ctx;
    struct sonde_error error = { 0 };
    enum sonde_status status = SONDE_STATUS_OK;
    for (bool go_on = true; go_on;) {
        struct item *item = take_item(writer);
        enum item_kind kind = item->kind;
        if (status == SONDE_STATUS_OK)
            status = kind == ITEM_SEQUENCE ? write_sequence(writer, item, &error)
                     : kind == ITEM_COMMIT ? write_commit(writer, &error)
                     : kind == ITEM_FINISH ? write_finish(writer, &error)
                                           : SONDE_STATUS_OK;
        /* What was begun is given up at once: nobody should wait for the lock of a failed run. */
        if (status != SONDE_STATUS_OK)
            sonde_db_rollback(writer->store);
        go_on = kind == ITEM_SEQUENCE || kind == ITEM_COMMIT;
        drop_item(writer, item, status, &error);
    }
    sonde_db_rollback(writer->store);
    return NULL;
}

/* --- the caller's side --- */

/* Returns the first failure of the writing thread. The mutex is held. */
static enum sonde_status earlier_failure(const struct writer *writer, struct sonde_error *error)
{
    if (writer->status != SONDE_STATUS_OK && error)
        *error = writer->error;
    return writer->status;
}

static void push(struct writer *writer, struct item *item)
{
    item->next = NULL;
    if (writer->last)
        writer->last->next = item;
    else
        writer->first = item;
    writer->last = item;
    writer->queued_bytes += item->bytes;
    pthread_cond_broadcast(&writer->changed);
}

static enum sonde_status check_sequence(const struct writer *writer,
                                        const struct sonde_sequence *sequence,
                                        const struct sonde_record *records,
                                        struct sonde_error *error)
{
    if (sequence->n_tokens < 0 || sequence->n_tokens > INT32_MAX)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT, "a sequence of %lld tokens",
                               (long long)sequence->n_tokens);
    for (int64_t i = 0; i < writer->n_streams; i++) {
        int64_t expected = 0;
        if (!sonde_layout_sequence_values(&writer->streams[i], sequence->n_tokens, &expected) ||
            records[i].n_values != expected)
            return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                                   "stream %s: %lld values for a sequence of %lld tokens, expected "
                                   "%lld",
                                   writer->streams[i].name, (long long)records[i].n_values,
                                   (long long)sequence->n_tokens, (long long)expected);
    }
    return SONDE_STATUS_OK;
}

static int64_t text_bytes(const char *text)
{
    return text ? (int64_t)strlen(text) + 1 : 0;
}

static bool item_bytes(const struct writer *writer, const struct sonde_sequence *sequence,
                       const struct sonde_record *records, int64_t *out)
{
    int64_t total = (int64_t)sizeof(struct item) + 64, part = 0;
    total += text_bytes(sequence->name) + text_bytes(sequence->text) + text_bytes(sequence->group);
    total += sequence->n_tokens * (int64_t)sizeof(struct sonde_token);
    total += writer->n_streams * (int64_t)sizeof(struct sonde_record);
    for (int64_t i = 0; i < sequence->n_tokens; i++)
        total += text_bytes(sequence->tokens[i].text);
    for (int64_t i = 0; i < writer->n_streams; i++)
        if (!sonde_mul_i64(records[i].n_values, (int64_t)sizeof(float), &part) ||
            !sonde_add_i64(total, part, &total))
            return false;
    *out = total;
    return true;
}

static const char *copy_text(char **at, const char *text)
{
    if (!text)
        return NULL;
    size_t n = strlen(text) + 1;
    char *copy = memcpy(*at, text, n);
    *at += n;
    return copy;
}

static void fill_item(const struct writer *writer, struct item *item,
                      const struct sonde_sequence *sequence, const struct sonde_record *records)
{
    struct sonde_token *tokens = (struct sonde_token *)(item + 1);
    struct sonde_record *copies = (struct sonde_record *)(tokens + sequence->n_tokens);
    float *values = (float *)(copies + writer->n_streams);
    item->kind = ITEM_SEQUENCE;
    item->records = copies;
    item->sequence = *sequence;
    item->sequence.tokens = tokens;
    for (int64_t i = 0; i < writer->n_streams; i++) {
        copies[i].value = values;
        copies[i].n_values = records[i].n_values;
        if (records[i].n_values)
            memcpy(values, records[i].value, (size_t)records[i].n_values * sizeof(float));
        values += records[i].n_values;
    }
    char *at = (char *)values;
    item->sequence.name = copy_text(&at, sequence->name);
    item->sequence.text = copy_text(&at, sequence->text);
    item->sequence.group = copy_text(&at, sequence->group);
    for (int64_t i = 0; i < sequence->n_tokens; i++) {
        tokens[i] = sequence->tokens[i];
        tokens[i].text = copy_text(&at, sequence->tokens[i].text);
    }
}

/* Memory for an item, from an earlier one where that is large enough. The mutex is not held. */
static struct item *make_item(struct writer *writer, int64_t bytes)
{
    pthread_mutex_lock(&writer->mutex);
    struct item *item = writer->spare;
    if (item) {
        writer->spare = item->next;
        writer->spare_bytes -= item->capacity;
    }
    pthread_mutex_unlock(&writer->mutex);
    if (item && item->capacity < bytes) {
        free(item);
        item = NULL;
    }
    if (!item) {
        int64_t capacity = bytes + ITEM_ROUND_BYTES - bytes % ITEM_ROUND_BYTES;
        item = malloc((size_t)capacity);
        if (!item)
            return NULL;
        item->capacity = capacity;
    }
    item->bytes = bytes;
    return item;
}

static enum sonde_status writer_put(struct sonde_sink *sink, const struct sonde_sequence *sequence,
                                    const struct sonde_record *records, struct sonde_error *error)
{
    struct writer *writer = (struct writer *)sink;
    int64_t bytes = 0;
    enum sonde_status status = check_sequence(writer, sequence, records, error);
    if (status != SONDE_STATUS_OK)
        return status;
    if (!item_bytes(writer, sequence, records, &bytes))
        return sonde_error_memory(error, "a sequence's values");
    pthread_mutex_lock(&writer->mutex);
    while (writer->status == SONDE_STATUS_OK && writer->first &&
           writer->queued_bytes + bytes > writer->queue_limit)
        pthread_cond_wait(&writer->changed, &writer->mutex);
    status = earlier_failure(writer, error);
    pthread_mutex_unlock(&writer->mutex);
    if (status != SONDE_STATUS_OK)
        return status;
    struct item *item = make_item(writer, bytes);
    if (!item)
        return sonde_error_memory(error, "a sequence's values");
    fill_item(writer, item, sequence, records);
    pthread_mutex_lock(&writer->mutex);
    push(writer, item);
    pthread_mutex_unlock(&writer->mutex);
    return SONDE_STATUS_OK;
}

static struct item *make_mark(enum item_kind kind)
{
    struct item *item = calloc(1, sizeof(*item));
    if (item)
        item->kind = kind;
    return item;
}

/* Waits until the commit before this one is on the disk, so that a crash loses at most the batch
 * that is being written and the one that is being computed. */
static enum sonde_status writer_commit(struct sonde_sink *sink, struct sonde_error *error)
{
    struct writer *writer = (struct writer *)sink;
    struct item *item = make_mark(ITEM_COMMIT);
    if (!item)
        return sonde_error_memory(error, "a commit");
    pthread_mutex_lock(&writer->mutex);
    while (writer->status == SONDE_STATUS_OK && writer->n_commits > 0)
        pthread_cond_wait(&writer->changed, &writer->mutex);
    enum sonde_status status = earlier_failure(writer, error);
    if (status == SONDE_STATUS_OK) {
        writer->n_commits++;
        push(writer, item);
        item = NULL;
    }
    pthread_mutex_unlock(&writer->mutex);
    free(item);
    return status;
}

static void destroy(struct writer *writer)
{
    for (struct item *item = writer->spare, *next; item; item = next) {
        next = item->next;
        free(item);
    }
    for (struct item *item = writer->first, *next; item; item = next) {
        next = item->next;
        free(item);
    }
    free(writer->mark);
    sonde_append_destroy(&writer->append);
    writer->store->in_use = false;
    pthread_mutex_destroy(&writer->mutex);
    pthread_cond_destroy(&writer->changed);
    free(writer->streams);
    free(writer);
}

/* The mark was allocated at the beginning, so that ending needs no memory. */
static void end_thread(struct writer *writer, enum item_kind kind)
{
    struct item *mark = writer->mark;
    writer->mark = NULL;
    mark->kind = kind;
    pthread_mutex_lock(&writer->mutex);
    push(writer, mark);
    pthread_mutex_unlock(&writer->mutex);
    pthread_join(writer->thread, NULL);
}

static enum sonde_status writer_finish(struct sonde_sink *sink, struct sonde_error *error)
{
    struct writer *writer = (struct writer *)sink;
    end_thread(writer, ITEM_FINISH);
    enum sonde_status status = earlier_failure(writer, error);
    destroy(writer);
    return status;
}

/* Sequences behind the last commit are dropped unwritten. The sequence at the head of the queue is
 * in the thread's hands and stays. The mutex is held. */
static struct item *cut_queue(struct writer *writer)
{
    struct item *keep = writer->first;
    if (!keep)
        return NULL;
    for (struct item *item = keep->next; item; item = item->next)
        if (item->kind == ITEM_COMMIT)
            keep = item;
    struct item *cut = keep->next;
    keep->next = NULL;
    writer->last = keep;
    return cut;
}

static void writer_abandon(struct sonde_sink *sink)
{
    struct writer *writer = (struct writer *)sink;
    pthread_mutex_lock(&writer->mutex);
    struct item *cut = cut_queue(writer);
    while (cut) {
        struct item *next = cut->next;
        writer->queued_bytes -= cut->bytes;
        free(cut);
        cut = next;
    }
    pthread_mutex_unlock(&writer->mutex);
    end_thread(writer, ITEM_END);
    destroy(writer);
}

static enum sonde_status start_thread(struct writer *writer, struct sonde_error *error)
{
    int code = sonde_thread_start(&writer->thread, write_items, writer);
    if (code != 0)
        return sonde_error_set(error, SONDE_STATUS_MEMORY, "%s: cannot start a thread: %s",
                               writer->store->path, strerror(code));
    return SONDE_STATUS_OK;
}

static enum sonde_status create_sink(struct sonde_store *store, int64_t run,
                                     const struct sonde_stream *streams, int64_t n_streams,
                                     int64_t queue_bytes, struct sonde_sink **out, int64_t *n_done,
                                     struct sonde_error *error)
{
    struct writer *writer = calloc(1, sizeof(*writer));
    if (!writer)
        return sonde_error_memory(error, "a run's writer");
    pthread_mutex_init(&writer->mutex, NULL);
    pthread_cond_init(&writer->changed, NULL);
    writer->sink = (struct sonde_sink){ .put = writer_put,
                                        .commit = writer_commit,
                                        .finish = writer_finish,
                                        .abandon = writer_abandon };
    writer->store = store;
    writer->n_streams = n_streams;
    writer->queue_limit = queue_bytes > 0 ? queue_bytes : QUEUE_BYTES_DEFAULT;
    writer->streams = malloc(((size_t)n_streams + 1) * sizeof(*streams));
    writer->mark = make_mark(ITEM_END);
    enum sonde_status status = SONDE_STATUS_OK;
    if (!writer->streams || !writer->mark)
        status = sonde_error_memory(error, "a run's writer");
    else if (n_streams > 0)
        memcpy(writer->streams, streams, (size_t)n_streams * sizeof(*streams));
    if (status == SONDE_STATUS_OK)
        status = sonde_append_create(&writer->append, store, run, -1, error);
    int64_t done = status == SONDE_STATUS_OK ? sonde_append_sequences(writer->append) : 0;
    store->in_use = true;
    if (status == SONDE_STATUS_OK)
        status = start_thread(writer, error);
    if (status != SONDE_STATUS_OK) {
        destroy(writer);
        return status;
    }
    *out = &writer->sink;
    *n_done = done;
    return SONDE_STATUS_OK;
}

/* Sequences of a run that is complete. */
static enum sonde_status count_done(struct sonde_store *store, int64_t run, int64_t *n_done,
                                    struct sonde_error *error)
{
    char sql[80];
    sqlite3_snprintf(sizeof(sql), sql, "SELECT n_sequences FROM run WHERE id = %lld", run);
    return sonde_db_read_i64(store, sql, 0, n_done, error);
}

enum sonde_status sonde_store_begin_run(struct sonde_store *store,
                                        const struct sonde_store_model *model,
                                        const struct sonde_run_info *info,
                                        const struct sonde_stream *streams, int64_t n_streams,
                                        int64_t queue_bytes, struct sonde_sink **out,
                                        int64_t *n_done, struct sonde_error *error)
{
    int64_t run = 0, done = 0;
    bool complete = false;
    struct sonde_sink *sink = NULL;
    enum sonde_status status = sonde_db_check_writable(store, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_db_begin_write(store, error);
    if (status != SONDE_STATUS_OK)
        return status;
    status = sonde_run_prepare(store, model, info, streams, n_streams, &run, &complete, error);
    if (status == SONDE_STATUS_OK && complete)
        status = count_done(store, run, &done, error);
    else if (status == SONDE_STATUS_OK)
        status = create_sink(store, run, streams, n_streams, queue_bytes, &sink, &done, error);
    if (status != SONDE_STATUS_OK || complete)
        sonde_db_rollback(store);
    if (status != SONDE_STATUS_OK)
        return status;
    *out = sink;
    *n_done = done;
    return SONDE_STATUS_OK;
}
