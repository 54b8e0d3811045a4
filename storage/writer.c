/*
 * The sink that writes a run, on the caller's side. put() copies a sequence's values straight into
 * the chunks they will lie in and queues those that got full; threads of the sink's own compress
 * and write. One transaction from commit to commit.
 *
 * The write lock is taken again right after each commit, so the run keeps other writers out from
 * its beginning to its end, while readers come and go.
 */
#include "storage/writer.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/num.h"
#include "core/base/pool.h"
#include "storage/layout.h"
#include "storage/run.h"

#define QUEUE_BYTES_DEFAULT ((int64_t)64 << 20)
#define ENCODERS_MAX 64

/* Returns the first failure of the threads. The mutex is held. */
static enum sonde_status earlier_failure(const struct writer *writer, struct sonde_error *error)
{
    if (writer->status != SONDE_STATUS_OK && error)
        *error = writer->error;
    return writer->status;
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

static const char *copy_text(char **at, const char *text)
{
    if (!text)
        return NULL;
    size_t n = strlen(text) + 1;
    char *copy = memcpy(*at, text, n);
    *at += n;
    return copy;
}

static struct writer_item *make_item(const struct sonde_sequence *sequence)
{
    int64_t bytes = (int64_t)sizeof(struct writer_item);
    bytes += text_bytes(sequence->name) + text_bytes(sequence->text) + text_bytes(sequence->group);
    bytes += sequence->n_tokens * (int64_t)sizeof(struct sonde_token);
    for (int64_t i = 0; i < sequence->n_tokens; i++)
        bytes += text_bytes(sequence->tokens[i].text);
    struct writer_item *item = malloc((size_t)bytes);
    if (!item)
        return NULL;
    struct sonde_token *tokens = (struct sonde_token *)(item + 1);
    char *at = (char *)(tokens + sequence->n_tokens);
    *item = (struct writer_item){ .kind = ITEM_SEQUENCE, .bytes = bytes, .sequence = *sequence };
    item->sequence.tokens = tokens;
    item->sequence.name = copy_text(&at, sequence->name);
    item->sequence.text = copy_text(&at, sequence->text);
    item->sequence.group = copy_text(&at, sequence->group);
    for (int64_t i = 0; i < sequence->n_tokens; i++) {
        tokens[i] = sequence->tokens[i];
        tokens[i].text = copy_text(&at, sequence->tokens[i].text);
    }
    return item;
}

/* Waits until the queue has room for so many bytes more; takes back the chunks that were written.
 */
static enum sonde_status wait_room(struct writer *writer, int64_t bytes, struct sonde_error *error)
{
    double begin = sonde_writer_now();
    pthread_mutex_lock(&writer->mutex);
    while (writer->status == SONDE_STATUS_OK && writer->first &&
           writer->queued_bytes + bytes > writer->queue_limit)
        pthread_cond_wait(&writer->changed, &writer->mutex);
    writer->load.blocked += sonde_writer_now() - begin;
    enum sonde_status status = earlier_failure(writer, error);
    struct sonde_chunk *spare = writer->spare;
    writer->spare = NULL;
    writer->spare_bytes = 0;
    pthread_mutex_unlock(&writer->mutex);
    for (struct sonde_chunk *next; spare; spare = next) {
        next = spare->next;
        sonde_fill_recycle(writer->fill, spare);
    }
    return status;
}

/* Nothing of a sequence is taken in before there is memory for all of it. */
static enum sonde_status writer_put(struct sonde_sink *sink, const struct sonde_sequence *sequence,
                                    const struct sonde_record *records, struct sonde_error *error)
{
    struct writer *writer = (struct writer *)sink;
    struct sonde_fill *fill = writer->fill;
    int64_t n_chunks = 0;
    enum sonde_status status = check_sequence(writer, sequence, records, error);
    if (status != SONDE_STATUS_OK)
        return status;
    for (int64_t i = 0; i < writer->n_streams; i++)
        n_chunks += sonde_fill_chunks(fill, i, records[i].n_values);
    status = wait_room(writer, n_chunks * fill->chunk_bytes, error);
    if (status != SONDE_STATUS_OK)
        return status;
    struct writer_item *item = sonde_fill_reserve(fill, n_chunks) ? make_item(sequence) : NULL;
    if (!item)
        return sonde_error_memory(error, "a sequence's values");
    for (int64_t i = 0; i < writer->n_streams; i++)
        sonde_fill_values(fill, i, records[i].value, true, records[i].n_values, &item->chunks);
    for (struct sonde_chunk *chunk = item->chunks.first; chunk; chunk = chunk->next)
        item->bytes += chunk->capacity;
    pthread_mutex_lock(&writer->mutex);
    sonde_writer_push(writer, item);
    pthread_mutex_unlock(&writer->mutex);
    return SONDE_STATUS_OK;
}

/* A commit's tails point into the open chunks: a chunk is written, and its memory used again, only
 * behind the commit, and until then values are but added behind the tail's. */
static struct writer_item *make_commit(const struct writer *writer)
{
    size_t bytes =
        sizeof(struct writer_item) + (size_t)writer->n_streams * sizeof(struct sonde_tail);
    struct writer_item *item = malloc(bytes);
    if (!item)
        return NULL;
    *item = (struct writer_item){ .kind = ITEM_COMMIT };
    item->tails = (struct sonde_tail *)(item + 1);
    for (int64_t i = 0; i < writer->n_streams; i++) {
        struct sonde_fill_stream *stream = &writer->fill->streams[i];
        int64_t n = stream->chunk ? stream->chunk->n_values - stream->n_saved : 0;
        if (n == 0)
            continue;
        item->tails[item->n_tails++] = (struct sonde_tail){
            .stream = i,
            .first_value = stream->n_full * stream->chunk_values + stream->n_saved,
            .n_values = n,
            .n_bytes = n * stream->element,
            .data = stream->chunk->data + stream->n_saved * stream->element,
        };
    }
    return item;
}

/* Waits until the commit before this one is on the disk, so that a crash loses at most the batch
 * that is being written and the one that is being computed. */
static enum sonde_status writer_commit(struct sonde_sink *sink, struct sonde_error *error)
{
    struct writer *writer = (struct writer *)sink;
    struct writer_item *item = make_commit(writer);
    if (!item)
        return sonde_error_memory(error, "a commit");
    double begin = sonde_writer_now();
    pthread_mutex_lock(&writer->mutex);
    while (writer->status == SONDE_STATUS_OK && writer->n_commits > 0)
        pthread_cond_wait(&writer->changed, &writer->mutex);
    writer->load.blocked += sonde_writer_now() - begin;
    enum sonde_status status = earlier_failure(writer, error);
    if (status == SONDE_STATUS_OK) {
        writer->n_commits++;
        for (int64_t i = 0; i < item->n_tails; i++) {
            struct sonde_fill_stream *stream = &writer->fill->streams[item->tails[i].stream];
            stream->n_saved += item->tails[i].n_values;
        }
        sonde_writer_push(writer, item);
        item = NULL;
    }
    pthread_mutex_unlock(&writer->mutex);
    free(item);
    return status;
}

static void free_items(struct writer_item *item)
{
    for (struct writer_item *next; item; item = next) {
        next = item->next;
        sonde_chunk_free(item->chunks.first);
        free(item);
    }
}

/*
 * While a run is written the journal file stays between the commits: making and removing it costs
 * two syncs of the folder each time. Durable all the same: a commit is done when the journal's
 * header is overwritten, and that is synced. Back in its usual mode, the journal is removed; where
 * that fails it lies there without a header, and means nothing.
 *
 * Chunks are written once and never looked at again: SQLite's cache is kept small enough to stay
 * in the processor's, and pages go to the file (and on to the disk) as they are made.
 */
static void set_mode(struct sonde_store *store, bool writing)
{
    sqlite3_exec(store->db,
                 writing ? "PRAGMA journal_mode = PERSIST; PRAGMA cache_size = -4096"
                         : "PRAGMA journal_mode = DELETE; PRAGMA cache_size = -32768",
                 NULL, NULL, NULL);
}

static void destroy(struct writer *writer)
{
    free_items(writer->first);
    sonde_chunk_free(writer->spare);
    free(writer->mark);
    free(writer->encoders);
    sonde_append_destroy(&writer->append);
    sonde_db_rollback(writer->store);
    set_mode(writer->store, false);
    writer->store->in_use = false;
    pthread_mutex_destroy(&writer->mutex);
    pthread_cond_destroy(&writer->changed);
    free(writer->streams);
    free(writer);
}

static enum sonde_status writer_finish(struct sonde_sink *sink, struct sonde_error *error)
{
    struct writer *writer = (struct writer *)sink;
    for (int64_t i = 0; i < writer->n_streams; i++) {
        struct sonde_chunk *chunk = sonde_fill_take(writer->fill, i);
        if (chunk)
            sonde_chunk_push(&writer->mark->chunks, chunk);
    }
    double begin = sonde_writer_now();
    sonde_writer_end(writer, ITEM_FINISH);
    writer->load.blocked += sonde_writer_now() - begin;
    writer->load.writing -= writer->load.compressing; /* was counted in it */
    if (writer->load_out)
        *writer->load_out = writer->load;
    enum sonde_status status = earlier_failure(writer, error);
    destroy(writer);
    return status;
}

/* Sequences behind the last commit are dropped unwritten. The item at the head of the queue is in
 * the thread's hands and stays. Gives back what was cut off. The mutex is held. */
static struct writer_item *cut_queue(struct writer *writer)
{
    struct writer_item *keep = writer->first;
    if (!keep)
        return NULL;
    for (struct writer_item *item = keep->next; item; item = item->next)
        if (item->kind == ITEM_COMMIT)
            keep = item;
    struct writer_item *cut = keep->next;
    keep->next = NULL;
    writer->last = keep;
    /* Only what stays goes on being encoded. */
    writer->first_raw = writer->last_raw = NULL;
    for (const struct writer_item *item = writer->first; item; item = item->next)
        sonde_writer_offer(writer, item);
    for (const struct writer_item *item = cut; item; item = item->next) {
        writer->queued_bytes -= item->bytes;
        for (const struct sonde_chunk *chunk = item->chunks.first; chunk; chunk = chunk->next)
            while (chunk->state == SONDE_CHUNK_BUSY)
                pthread_cond_wait(&writer->changed, &writer->mutex);
    }
    return cut;
}

static void writer_abandon(struct sonde_sink *sink)
{
    struct writer *writer = (struct writer *)sink;
    pthread_mutex_lock(&writer->mutex);
    struct writer_item *cut = cut_queue(writer);
    pthread_mutex_unlock(&writer->mutex);
    sonde_writer_end(writer, ITEM_END);
    free_items(cut); /* only now: a commit that was still to be written has its tails in them */
    destroy(writer);
}

static int count_encoders(const struct sonde_run_info *info)
{
    if (info->codec == SONDE_CODEC_NONE)
        return 0;
    int n = info->n_threads > 0 ? info->n_threads : sonde_pool_cores();
    return n < ENCODERS_MAX ? n : ENCODERS_MAX;
}

static enum sonde_status create_sink(struct sonde_store *store, int64_t run,
                                     const struct sonde_run_info *info,
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
    writer->load_out = info->load;
    writer->n_streams = n_streams;
    writer->queue_limit = queue_bytes > 0 ? queue_bytes : QUEUE_BYTES_DEFAULT;
    writer->streams = malloc(((size_t)n_streams + 1) * sizeof(*streams));
    writer->mark = calloc(1, sizeof(*writer->mark));
    enum sonde_status status = SONDE_STATUS_OK;
    if (!writer->streams || !writer->mark)
        status = sonde_error_memory(error, "a run's writer");
    else if (n_streams > 0)
        memcpy(writer->streams, streams, (size_t)n_streams * sizeof(*streams));
    if (status == SONDE_STATUS_OK)
        status = sonde_append_create(&writer->append, store, run, -1, error);
    int64_t done = status == SONDE_STATUS_OK ? sonde_append_sequences(writer->append) : 0;
    store->in_use = true;
    if (status == SONDE_STATUS_OK) {
        writer->fill = sonde_append_fill(writer->append);
        status = sonde_writer_start(writer, count_encoders(info), error);
    }
    if (status != SONDE_STATUS_OK) {
        destroy(writer);
        return status;
    }
    *out = &writer->sink;
    *n_done = done;
    return SONDE_STATUS_OK;
}

const char *sonde_store_load_bound(const struct sonde_store_load *load, double seconds)
{
    if (load->blocked < 0.1 * seconds)
        return "model";
    return load->compressing > load->writing ? "zlib" : "disk";
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
    if (status != SONDE_STATUS_OK)
        return status;
    set_mode(store, true);
    status = sonde_db_begin_write(store, error);
    if (status != SONDE_STATUS_OK) {
        set_mode(store, false);
        return status;
    }
    status = sonde_run_prepare(store, model, info, streams, n_streams, &run, &complete, error);
    if (status == SONDE_STATUS_OK && complete)
        status = count_done(store, run, &done, error);
    else if (status == SONDE_STATUS_OK)
        status =
            create_sink(store, run, info, streams, n_streams, queue_bytes, &sink, &done, error);
    if (status != SONDE_STATUS_OK || complete) {
        sonde_db_rollback(store);
        set_mode(store, false);
    }
    if (status != SONDE_STATUS_OK)
        return status;
    *out = sink;
    *n_done = done;
    return SONDE_STATUS_OK;
}
