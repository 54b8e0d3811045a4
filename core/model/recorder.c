#include "core/model/recorder.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/num.h"
#include "core/model/recorder_internal.h"
#include "core/tensor/gemm.h"

enum { BATCH_SEQUENCES_MAX = 4096 }; /* between two commits */
#define BATCH_BYTES_DEFAULT (INT64_C(64) << 20)
#define MEM_BYTES_DEFAULT (INT64_C(1) << 30)

/* Packs below this are not worth their plan. */
enum { PACK_ROWS_LEAST = 32 };

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static enum sonde_status put_slot(struct sonde_recorder *r, struct sonde_recorder_slot *slot,
                                  struct sonde_sink *sink, struct sonde_error *error)
{
    if (slot->status != SONDE_STATUS_OK) {
        return sonde_error_set(error, slot->status, "sequence %lld: %s",
                               (long long)(r->stats.n_sequences + r->options->skip_sequences),
                               slot->error.text);
    }
    enum sonde_status status = sink->put(sink, &slot->sequence, slot->records, error);
    int64_t T = slot->sequence.n_tokens;
    r->stats.n_sequences++;
    r->stats.n_tokens += T;
    r->stats.bytes_raw += slot->bytes;
    r->stats.n_nonfinite += slot->n_nonfinite;
    r->stats.loss_sum += r->gradients ? slot->loss : 0.0;
    r->stats.n_by_layer += r->gradients && slot->by_layer;
    for (int64_t i = 0; i < r->n_streams; i++) {
        r->stats.n_rows += sonde_site_is_map(r->site[i].kind) ? 1 : T;
    }
    r->batch_bytes += slot->bytes;
    r->batch_sequences++;
    if (status == SONDE_STATUS_OK &&
        (r->batch_bytes >= r->batch_max || r->batch_sequences >= BATCH_SEQUENCES_MAX)) {
        status = sink->commit(sink, error);
        r->batch_bytes = 0;
        r->batch_sequences = 0;
    }
    return status;
}

static int64_t in_flight(const struct sonde_recorder *r)
{
    return r->end - r->first; /* only the caller's thread moves these two */
}

/* Hands the oldest slot over; waits for it where `wait` is set. *handed: it was. */
static enum sonde_status hand_over(struct sonde_recorder *r, bool wait, bool *handed)
{
    struct sonde_recorder_slot *slot = &r->slots[r->first % SONDE_RECORDER_RING];
    pthread_mutex_lock(&r->mutex);
    if (wait && !slot->done) {
        r->starved = true;
        pthread_cond_broadcast(&r->work);
    }
    while (wait && !slot->done) {
        pthread_cond_wait(&r->done, &r->mutex);
    }
    r->starved = false;
    *handed = slot->done;
    pthread_mutex_unlock(&r->mutex);
    if (!*handed) {
        return SONDE_STATUS_OK;
    }
    enum sonde_status status = put_slot(r, slot, r->sink, r->error);
    free(slot->values);
    slot->values = NULL;
    r->held_bytes -= slot->bytes;
    r->first++;
    if (status == SONDE_STATUS_OK &&
        !sonde_progress_update(r->options->progress, "record", r->stats.n_tokens, 0, "tokens")) {
        status = sonde_error_set(r->error, SONDE_STATUS_CANCELLED, "recording was stopped");
    }
    return status;
}

static enum sonde_status refuse_budget(const struct sonde_recorder *r, int64_t T,
                                       int64_t need_bytes, struct sonde_error *error)
{
    char need[SONDE_FORMAT_F64_MAX], have[SONDE_FORMAT_F64_MAX];
    sonde_format_bytes(need, need_bytes);
    sonde_format_bytes(have, r->mem_bytes);
    return sonde_error_set(
        error, SONDE_STATUS_LIMIT,
        "a sequence of %lld tokens needs %s (%lld bytes), the memory budget is %s", (long long)T,
        need, (long long)need_bytes, have);
}

static int64_t scratch_with(const struct sonde_recorder *r, int64_t plan)
{
    return plan > r->scratch_bytes ? plan : r->scratch_bytes;
}

/* Gradients by layer cost one more pass forwards: before that, memory is waited for; before a
 * worker is given up, they go by layer. */
static int64_t choose_plan(const struct sonde_recorder *r, const struct sonde_recorder_plan *plan,
                           int64_t bytes, bool *by_layer)
{
    *by_layer = plan->by_layer < plan->whole &&
                (plan->whole > r->mem_bytes ||
                 bytes + r->n_active * scratch_with(r, plan->whole) > r->mem_bytes);
    return *by_layer ? plan->by_layer : plan->whole;
}

/* Packs of so many rows from now on. */
static void set_pack_rows(struct sonde_recorder *r, int64_t n_rows)
{
    pthread_mutex_lock(&r->mutex);
    r->pack_rows = n_rows;
    pthread_mutex_unlock(&r->mutex);
    memset(r->pack_plan, 0, SONDE_RECORDER_PACK_ROWS * sizeof *r->pack_plan);
}

/* Asked when a second sequence comes that could share a pass: the answer takes a while. */
static void test_packing(struct sonde_recorder *r, int64_t T)
{
    r->n_short += T < SONDE_RECORDER_PACK_ROWS;
    if (r->packing_tested || r->gradients || r->n_short < 2) {
        return;
    }
    r->packing_tested = true;
    if (r->options->packing == SONDE_PACKING_ALWAYS ||
        (r->options->packing == SONDE_PACKING_AUTO && sonde_model_rows_stand_alone(r->model))) {
        set_pack_rows(r, SONDE_RECORDER_PACK_ROWS);
    }
}

/* Of a sequence of T tokens, in a pack where it may be in one. Packs that would take more than half
 * of the memory become smaller, in the end single sequences. */
static struct sonde_recorder_plan plan_sequence(struct sonde_recorder *r, int64_t T, int64_t bytes)
{
    struct sonde_recorder_plan plan;
    while (T < r->pack_rows) {
        if (r->pack_plan[T] == 0) {
            plan = sonde_recorder_plan_pass(r, r->pack_rows, T);
            r->pack_plan[T] = plan.whole;
            r->thread_bytes = larger(r->thread_bytes, plan.thread);
        }
        const int64_t pack = r->pack_plan[T];
        if (pack < r->mem_bytes && bytes + r->n_active * pack <= r->mem_bytes / 2) {
            return (struct sonde_recorder_plan){ pack, pack, r->thread_bytes };
        }
        set_pack_rows(r, r->pack_rows / 2 < PACK_ROWS_LEAST ? 0 : r->pack_rows / 2);
    }
    plan = sonde_recorder_plan_pass(r, T, T);
    r->thread_bytes = larger(r->thread_bytes, plan.thread);
    return plan;
}

/* Waits until T more tokens fit beside what is in flight. Where they fit beside nothing with all
 * workers, fewer go on. */
static enum sonde_status admit(struct sonde_recorder *r, int64_t T, int64_t *bytes, bool *by_layer)
{
    if (!sonde_recorder_sequence_bytes(r, T, bytes) || *bytes > INT64_MAX / 4) {
        return sonde_error_set(r->error, SONDE_STATUS_LIMIT,
                               "a sequence of %lld tokens records more than can be counted",
                               (long long)T);
    }
    test_packing(r, T);
    struct sonde_recorder_plan plans = plan_sequence(r, T, *bytes);
    int64_t plan = choose_plan(r, &plans, *bytes, by_layer);
    if (*bytes + plan > r->mem_bytes) {
        return refuse_budget(r, T, *bytes + plan, r->error);
    }
    enum sonde_status status = SONDE_STATUS_OK;
    while (status == SONDE_STATUS_OK) {
        int64_t scratch = scratch_with(r, plan);
        int64_t left = r->mem_bytes - r->held_bytes - *bytes - r->n_active * scratch;
        bool handed = false;
        if (in_flight(r) < SONDE_RECORDER_RING && left >= 0) {
            r->scratch_bytes = scratch;
            pthread_mutex_lock(&r->mutex);
            r->may_lend = left / r->n_workers >= r->thread_bytes;
            pthread_mutex_unlock(&r->mutex);
            break;
        }
        if (in_flight(r) > 0) {
            status = hand_over(r, true, &handed);
            continue;
        }
        int64_t n = (r->mem_bytes - *bytes) / plan; /* at least 1 */
        status = sonde_recorder_shrink(r, n < r->n_active ? (int)n : r->n_active);
    }
    return status;
}

static enum sonde_status check_targets(const struct sonde_recorder *r, int64_t n_rows, bool end)
{
    const struct sonde_recorder_options *o = r->options;
    if (!r->gradients || o->loss.kind != SONDE_LOSS_TARGETS ||
        (end ? n_rows == o->n_targets : n_rows <= o->n_targets)) {
        return SONDE_STATUS_OK;
    }
    return sonde_error_set(r->error, SONDE_STATUS_ARGUMENT,
                           "%lld targets for %s%lld tokens of input", (long long)o->n_targets,
                           end ? "" : "at least ", (long long)n_rows);
}

static enum sonde_status take_next(struct sonde_recorder *r, const struct sonde_sequence *next)
{
    int64_t bytes = 0;
    if (next->n_tokens < 1) {
        return sonde_error_set(r->error, SONDE_STATUS_ARGUMENT, "a sequence without tokens");
    }
    struct sonde_recorder_slot *slot = &r->slots[r->end % SONDE_RECORDER_RING];
    bool by_layer = false;
    enum sonde_status status = admit(r, next->n_tokens, &bytes, &by_layer);
    if (status == SONDE_STATUS_OK) {
        status = sonde_recorder_fill_slot(r, slot, next, bytes, r->error);
        slot->by_layer = by_layer;
        slot->first_row = r->next_row - next->n_tokens;
    }
    if (status != SONDE_STATUS_OK) {
        return status;
    }
    r->held_bytes += bytes;
    pthread_mutex_lock(&r->mutex);
    r->end++;
    r->waiting_rows += next->n_tokens;
    if (r->waiting_rows >= r->pack_rows) {
        pthread_cond_broadcast(&r->work);
    }
    pthread_mutex_unlock(&r->mutex);
    bool handed = true;
    while (status == SONDE_STATUS_OK && handed && in_flight(r) > 0) {
        status = hand_over(r, false, &handed);
    }
    return status;
}

/* Reads, copies and hands over until the reader ends. */
static enum sonde_status record_all(struct sonde_recorder *r)
{
    int64_t skip = r->options->skip_sequences;
    enum sonde_status status = SONDE_STATUS_OK;
    bool handed = false;
    for (bool more = true; more && status == SONDE_STATUS_OK;) {
        const struct sonde_sequence *next = NULL;
        status = r->reader->next(r->reader->self, &next, r->error);
        more = status == SONDE_STATUS_OK && next;
        r->next_row += more ? next->n_tokens : 0;
        if (status == SONDE_STATUS_OK) {
            status = check_targets(r, r->next_row, !next);
        }
        if (status == SONDE_STATUS_OK && next && skip-- <= 0) {
            status = take_next(r, next);
        }
    }
    pthread_mutex_lock(&r->mutex);
    r->ended = true;
    pthread_cond_broadcast(&r->work);
    pthread_mutex_unlock(&r->mutex);
    while (status == SONDE_STATUS_OK && in_flight(r) > 0) {
        status = hand_over(r, true, &handed);
    }
    return status;
}

/* Task 0 is the caller's thread, the others are the workers; each has a thread of its own. */
static void run_task(void *ctx, int64_t i, int thread)
{
    struct sonde_recorder *r = ctx;
    (void)thread;
    if (i > 0) {
        sonde_recorder_work(r, (int)i - 1);
        return;
    }
    r->status = record_all(r);
    pthread_mutex_lock(&r->mutex);
    r->stop = true;
    pthread_cond_broadcast(&r->work);
    pthread_mutex_unlock(&r->mutex);
}

/* A pool with one thread more than there are workers. n 0: a worker for each core. */
static enum sonde_status make_pool(struct sonde_pool **pool, int n, struct sonde_error *error)
{
    enum sonde_status status = sonde_gemm_check_room(&n, error);
    if (status == SONDE_STATUS_OK) {
        n = n ? n : sonde_pool_cores();
        status = sonde_pool_create(pool, n + 1, error);
    }
    return status;
}

static enum sonde_status prepare(struct sonde_recorder *r, struct sonde_error *error)
{
    int64_t n_places = 2 * (int64_t)SONDE_SITE_KINDS * (r->spec->n_layers + 1);
    const struct sonde_site_set *sets[] = { r->options->sites, r->options->gradients };
    struct sonde_site site;
    r->gradients = !sonde_site_set_is_empty(sets[1]);
    r->n_streams = sonde_site_set_count(sets[0]) + sonde_site_set_count(sets[1]);
    r->site = calloc((size_t)r->n_streams + 1, sizeof *r->site);
    r->stream_of = malloc((size_t)n_places * sizeof *r->stream_of);
    r->slots = calloc(SONDE_RECORDER_RING, sizeof *r->slots);
    r->pack_plan = calloc(SONDE_RECORDER_PACK_ROWS, sizeof *r->pack_plan);
    if (!r->site || !r->stream_of || !r->slots || !r->pack_plan) {
        return sonde_error_memory(error, "the recorder");
    }
    memset(r->stream_of, -1, (size_t)n_places * sizeof *r->stream_of);
    int16_t n = 0;
    for (int gradient = 0; gradient < 2; gradient++) {
        for (int64_t i = 0; sonde_site_set_next(sets[gradient], &i, &site); n++) {
            char name[SONDE_SITE_NAME_MAX];
            if (!sonde_site_set_has(sonde_model_sites(r->model), site)) {
                return sonde_error_set(error, SONDE_STATUS_NOT_FOUND, "this model has no site '%s'",
                                       sonde_site_format(site, name));
            }
            r->site[n] = site;
            *sonde_recorder_stream_place(r, site, gradient) = n;
        }
    }
    if (r->gradients) {
        enum sonde_status status =
            sonde_recorder_check_loss(r->model, &r->options->loss, r->options->n_targets, error);
        if (status != SONDE_STATUS_OK) {
            return status;
        }
    }
    for (int i = 0; i < SONDE_RECORDER_RING; i++) {
        r->slots[i].arena = sonde_arena_create(0);
        if (!r->slots[i].arena) {
            return sonde_error_memory(error, "the recorder");
        }
    }
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_recorder_run(const struct sonde_model *model,
                                     const struct sonde_sequence_reader *reader,
                                     struct sonde_sink *sink,
                                     const struct sonde_recorder_options *options,
                                     struct sonde_recorder_stats *stats, struct sonde_error *error)
{
    struct sonde_recorder r = {
        .model = model,
        .options = options,
        .reader = reader,
        .sink = sink,
        .error = error,
        .spec = sonde_model_spec(model),
        .mutex = PTHREAD_MUTEX_INITIALIZER,
        .work = PTHREAD_COND_INITIALIZER,
        .done = PTHREAD_COND_INITIALIZER,
        .mem_bytes = options->mem_bytes ? options->mem_bytes : MEM_BYTES_DEFAULT,
        .batch_max = options->batch_bytes ? options->batch_bytes : BATCH_BYTES_DEFAULT
    };
    struct sonde_pool *pool = NULL;
    enum sonde_status status = prepare(&r, error);
    if (status == SONDE_STATUS_OK) {
        status = make_pool(&pool, options->n_threads, error);
    }
    if (status == SONDE_STATUS_OK) {
        status = sonde_recorder_make_workers(&r, sonde_pool_threads(pool) - 1, error);
    }
    if (status == SONDE_STATUS_OK) {
        sonde_pool_run(pool, r.n_workers + 1, run_task, &r);
        status = r.status;
    }
    if (status == SONDE_STATUS_OK && r.batch_sequences > 0) {
        status = sink->commit(sink, error);
    }
    sonde_recorder_release_workers(&r);
    sonde_pool_destroy(&pool);
    for (int i = 0; r.slots && i < SONDE_RECORDER_RING; i++) {
        sonde_arena_destroy(&r.slots[i].arena);
        free(r.slots[i].values);
    }
    free(r.slots);
    free(r.site);
    free(r.stream_of);
    free(r.pack_plan);
    if (stats) {
        *stats = r.stats;
    }
    return status;
}
