#include "core/model/recorder.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/num.h"
#include "core/tensor/gemm.h"

/*
 * The caller's thread reads, copies and hands over; the workers run the passes between. Slots go
 * round a ring: [first, next_run) run or are done, [next_run, end) wait. What a sequence gives
 * depends on itself alone and is handed over in order, so neither threads nor the ring's size show.
 */
enum {
    RING = 128,                 /* sequences in flight at most */
    BATCH_SEQUENCES_MAX = 4096, /* between two commits */
};
#define BATCH_BYTES_DEFAULT (INT64_C(64) << 20)
#define MEM_BYTES_DEFAULT (INT64_C(1) << 30)

/* One sequence in flight: its own copy, and what its sites gave. */
struct slot {
    struct sonde_sequence sequence; /* texts and tokens in the slot's arena */
    struct sonde_arena *arena;
    float *values;                /* all records, one after another */
    struct sonde_record *records; /* [n_streams] */
    int64_t bytes;                /* of the values */
    int64_t first_row;            /* of its tokens in the run */
    bool by_layer;                /* how gradients are formed */
    double loss;
    int64_t n_nonfinite;
    enum sonde_status status;
    struct sonde_error error;
    bool done; /* under the mutex */
};

struct worker {
    struct sonde_session *session;
    struct sonde_gradient *gradient; /* NULL where none are recorded */
    struct sonde_hook *hooks;        /* [n_hooks + 1]: the edits, then the capture */
    struct slot *slot;               /* being filled */
    struct recorder *recorder;
};

struct recorder {
    const struct sonde_model *model;
    const struct sonde_recorder_options *options;
    const struct sonde_sequence_reader *reader;
    struct sonde_sink *sink;
    struct sonde_error *error;
    enum sonde_status status;
    const struct sonde_spec *spec;
    int64_t n_streams;
    struct sonde_site *site; /* [n_streams] values, then gradients */
    int16_t *stream_of;      /* [2, SONDE_SITE_KINDS, layers + 1]; -1 = not recorded */
    bool gradients;          /* any */
    struct slot *slots;      /* [RING] */
    struct worker *workers;  /* [n_workers] */
    int n_workers;
    pthread_mutex_t mutex;
    pthread_cond_t work, done;
    /* Under the mutex. */
    int64_t next_run, end;
    int n_active; /* workers that may take work: fewer than all where memory is short */
    int n_running;
    double running_since;
    bool stop;
    /* Of the caller's thread. */
    int64_t first;    /* the slot that is handed over next */
    int64_t next_row; /* token rows of all sequences that were read */
    int64_t held_bytes,
        scratch_bytes; /* values in flight; the largest pass so far, of one worker */
    int64_t mem_bytes;
    int64_t batch_bytes, batch_sequences; /* since the last commit */
    int64_t batch_max;
    struct sonde_recorder_stats stats;
};

/* Floats that the record of one stream takes for T tokens; false where that overflows. */
static bool record_values(const struct recorder *r, int64_t stream, int64_t T, int64_t *out)
{
    enum sonde_site_kind kind = r->site[stream].kind;
    int64_t n = sonde_spec_site_width(r->spec, kind);
    return sonde_mul_i64(n, T, &n) && (!sonde_site_is_map(kind) || sonde_mul_i64(n, T, &n)) &&
           (*out = n, true);
}

static bool sequence_bytes(const struct recorder *r, int64_t T, int64_t *out)
{
    int64_t sum = 0, n = 0;
    for (int64_t i = 0; i < r->n_streams; i++) {
        if (!record_values(r, i, T, &n) || !sonde_add_i64(sum, n, &sum)) {
            return false;
        }
    }
    return sonde_mul_i64(sum, (int64_t)sizeof(float), out);
}

static int16_t *stream_place(const struct recorder *r, struct sonde_site site, bool gradient)
{
    int64_t kind = (int64_t)site.kind + (gradient ? SONDE_SITE_KINDS : 0);
    return &r->stream_of[kind * (r->spec->n_layers + 1) + site.layer + 1];
}

static enum sonde_status keep_record(struct worker *worker, struct sonde_site site, bool gradient,
                                     const struct sonde_tensor *value, struct sonde_error *error)
{
    int16_t stream = *stream_place(worker->recorder, site, gradient);
    const struct sonde_record *record = &worker->slot->records[stream];
    int64_t n = sonde_tensor_elements(value);
    if (n != record->n_values) {
        char name[SONDE_SITE_NAME_MAX];
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT, "%s gave %lld values, expected %lld",
                               sonde_site_format(site, name), (long long)n,
                               (long long)record->n_values);
    }
    float *to = worker->slot->values + (record->value - worker->slot->values);
    memcpy(to, value->data, (size_t)n * sizeof *to);
    if (gradient || site.kind != SONDE_SITE_ATTN_SCORES) { /* -inf is what masked scores are */
        for (int64_t i = 0; i < n; i++) {
            worker->slot->n_nonfinite += !isfinite(to[i]);
        }
    }
    return SONDE_STATUS_OK;
}

static enum sonde_status capture(void *ctx, struct sonde_site site,
                                 const struct sonde_tensor *value, struct sonde_error *error)
{
    return keep_record(ctx, site, false, value, error);
}

static enum sonde_status capture_gradient(void *ctx, struct sonde_site site,
                                          const struct sonde_tensor *gradient,
                                          struct sonde_error *error)
{
    return keep_record(ctx, site, true, gradient, error);
}

static const char *keep_text(struct sonde_arena *arena, const char *text, bool *ok)
{
    char *copy = text ? sonde_arena_strndup(arena, text, strlen(text)) : NULL;
    *ok = *ok && (!text || copy);
    return copy;
}

/* Copies the sequence, which the reader may overwrite, and makes room for its records. */
static enum sonde_status fill_slot(struct recorder *r, struct slot *slot,
                                   const struct sonde_sequence *from, int64_t bytes,
                                   struct sonde_error *error)
{
    bool ok = true;
    sonde_arena_reset(slot->arena);
    slot->sequence = *from;
    slot->sequence.name = keep_text(slot->arena, from->name, &ok);
    slot->sequence.text = keep_text(slot->arena, from->text, &ok);
    slot->sequence.group = keep_text(slot->arena, from->group, &ok);
    struct sonde_token *tokens = sonde_arena_alloc(slot->arena, from->n_tokens, sizeof *tokens);
    slot->records = sonde_arena_alloc(slot->arena, r->n_streams, sizeof *slot->records);
    slot->done = false;
    slot->values = malloc((size_t)bytes + 1);
    if (!ok || !tokens || !slot->records || !slot->values) {
        return sonde_error_memory(error, "a recorded sequence");
    }
    for (int64_t t = 0; t < from->n_tokens; t++) {
        tokens[t] = from->tokens[t];
        tokens[t].text = keep_text(slot->arena, from->tokens[t].text, &ok);
    }
    slot->sequence.tokens = tokens;
    slot->bytes = bytes;
    slot->n_nonfinite = 0;
    slot->status = SONDE_STATUS_OK;
    float *at = slot->values;
    for (int64_t i = 0; i < r->n_streams; i++) {
        int64_t n = 0;
        (void)record_values(r, i, from->n_tokens, &n); /* fitted when bytes were summed */
        slot->records[i] = (struct sonde_record){ at, n };
        at += n;
    }
    return ok ? SONDE_STATUS_OK : sonde_error_memory(error, "a recorded sequence");
}

static enum sonde_status run_gradient(struct worker *worker, struct slot *slot, const int32_t *ids)
{
    const struct sonde_recorder_options *options = worker->recorder->options;
    struct sonde_gradient_args args = { .ids = ids,
                                        .n_tokens = slot->sequence.n_tokens,
                                        .loss = options->loss,
                                        .hooks = worker->hooks,
                                        .n_hooks = options->n_hooks + 1,
                                        .checkpoints = slot->by_layer,
                                        .sites = options->gradients,
                                        .on_gradient = capture_gradient,
                                        .ctx = worker };
    if (options->loss.kind == SONDE_LOSS_TARGETS) {
        args.loss.targets = options->loss.targets + slot->first_row;
    }
    return sonde_gradient_run(worker->gradient, &args, &slot->loss, &slot->error);
}

static void run_slot(struct worker *worker, struct slot *slot)
{
    struct recorder *r = worker->recorder;
    struct sonde_arena_mark mark = sonde_arena_mark(slot->arena);
    int64_t T = slot->sequence.n_tokens;
    int32_t *ids = sonde_arena_alloc(slot->arena, T, sizeof *ids);
    if (!ids) {
        slot->status = sonde_error_memory(&slot->error, "token ids");
        return;
    }
    for (int64_t t = 0; t < T; t++) {
        ids[t] = slot->sequence.tokens[t].id;
    }
    const struct sonde_forward_args args = { .ids = ids,
                                             .n_tokens = T,
                                             .hooks = worker->hooks,
                                             .n_hooks = r->options->n_hooks + 1,
                                             .no_logits = true };
    worker->slot = slot;
    slot->status = r->gradients ? run_gradient(worker, slot, ids)
                                : sonde_forward(worker->session, &args, &slot->error);
    sonde_arena_rewind(slot->arena, mark);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static enum sonde_status put_slot(struct recorder *r, struct slot *slot, struct sonde_sink *sink,
                                  struct sonde_error *error)
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

/* Takes waiting slots until told to stop. */
static void work(struct recorder *r, int index)
{
    pthread_mutex_lock(&r->mutex);
    for (;;) {
        while (!r->stop && (r->next_run == r->end || index >= r->n_active)) {
            pthread_cond_wait(&r->work, &r->mutex);
        }
        if (r->stop) {
            break;
        }
        struct slot *slot = &r->slots[r->next_run++ % RING];
        if (r->n_running++ == 0) {
            r->running_since = now();
        }
        pthread_mutex_unlock(&r->mutex);
        run_slot(&r->workers[index], slot);
        pthread_mutex_lock(&r->mutex);
        slot->done = true;
        if (--r->n_running == 0) {
            r->stats.seconds_forward += now() - r->running_since;
        }
        pthread_cond_signal(&r->done);
    }
    pthread_mutex_unlock(&r->mutex);
}

static int64_t in_flight(const struct recorder *r)
{
    return r->end - r->first; /* only the caller's thread moves these two */
}

/* Hands the oldest slot over; waits for it where `wait` is set. *handed: it was. */
static enum sonde_status hand_over(struct recorder *r, bool wait, bool *handed)
{
    struct slot *slot = &r->slots[r->first % RING];
    pthread_mutex_lock(&r->mutex);
    while (wait && !slot->done) {
        pthread_cond_wait(&r->done, &r->mutex);
    }
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

static void close_passes(struct worker *w)
{
    sonde_gradient_destroy(&w->gradient);
    sonde_session_destroy(&w->session);
}

static enum sonde_status open_passes(struct worker *w, struct sonde_error *error)
{
    enum sonde_status status = sonde_session_create(&w->session, w->recorder->model, NULL, error);
    if (status == SONDE_STATUS_OK && w->recorder->gradients) {
        status = sonde_gradient_create(&w->gradient, w->session, 0, error);
    }
    return status;
}

static void release_workers(struct recorder *r)
{
    for (int i = 0; r->workers && i < r->n_workers; i++) {
        close_passes(&r->workers[i]);
        free(r->workers[i].hooks);
    }
    free(r->workers);
    r->workers = NULL;
}

static enum sonde_status make_workers(struct recorder *r, int n, struct sonde_error *error)
{
    const int n_hooks = r->options->n_hooks;
    enum sonde_status status = SONDE_STATUS_OK;
    r->workers = calloc((size_t)n, sizeof *r->workers);
    if (!r->workers) {
        return sonde_error_memory(error, "workers");
    }
    r->n_workers = r->n_active = n;
    for (int i = 0; i < n && status == SONDE_STATUS_OK; i++) {
        struct worker *w = &r->workers[i];
        w->recorder = r;
        w->hooks = calloc((size_t)n_hooks + 1, sizeof *w->hooks);
        if (!w->hooks) {
            return sonde_error_memory(error, "hooks");
        }
        for (int h = 0; h < n_hooks; h++) {
            w->hooks[h] = r->options->hooks[h];
        }
        w->hooks[n_hooks] =
            (struct sonde_hook){ .observe = r->options->sites, .on_value = capture, .ctx = w };
        status = open_passes(w, error);
    }
    return status;
}

/* With nothing in flight: goes on with n workers, and gives back what all sessions held. */
static enum sonde_status shrink(struct recorder *r, int n)
{
    enum sonde_status status = SONDE_STATUS_OK;
    pthread_mutex_lock(&r->mutex);
    r->n_active = n;
    for (int i = 0; i < r->n_workers; i++) {
        close_passes(&r->workers[i]);
        if (i < n && status == SONDE_STATUS_OK) {
            status = open_passes(&r->workers[i], r->error);
        }
    }
    pthread_mutex_unlock(&r->mutex);
    r->scratch_bytes = 0;
    return status;
}

static enum sonde_status refuse_budget(const struct recorder *r, int64_t T, int64_t need_bytes,
                                       struct sonde_error *error)
{
    char need[SONDE_FORMAT_F64_MAX], have[SONDE_FORMAT_F64_MAX];
    sonde_format_bytes(need, need_bytes);
    sonde_format_bytes(have, r->mem_bytes);
    return sonde_error_set(
        error, SONDE_STATUS_LIMIT,
        "a sequence of %lld tokens needs %s (%lld bytes), the memory budget is %s", (long long)T,
        need, (long long)need_bytes, have);
}

/* Of one pass: also the values that are formed because they are edited, and the copies by which the
 * pass sees which rows an edit changed. */
struct plan {
    int64_t whole, by_layer; /* the second of gradients only, else the same */
};

static struct plan plan_pass(const struct recorder *r, int64_t T)
{
    const struct sonde_spec *spec = r->spec;
    struct sonde_site_set wanted = *r->options->sites, edited = { 0 };
    int64_t copies = 0;
    for (int i = 0; i < r->options->n_hooks; i++) {
        sonde_site_set_union(&edited, r->options->hooks[i].edit);
    }
    for (int l = 0; l < spec->n_layers; l++) {
        if (sonde_site_set_has(&edited, (struct sonde_site){ SONDE_SITE_ATTN_SCORES, l })) {
            sonde_site_set_add(&wanted, (struct sonde_site){ SONDE_SITE_PATTERN, l });
        }
        if (r->gradients &&
            sonde_site_set_has(&edited, (struct sonde_site){ SONDE_SITE_PATTERN, l })) {
            sonde_site_set_add(&wanted, (struct sonde_site){ SONDE_SITE_ATTN_SCORES, l });
        }
        if (sonde_site_set_has(&edited, (struct sonde_site){ SONDE_SITE_RESULT, l })) {
            copies = spec->n_heads;
        }
    }
    if (!sonde_site_set_is_empty(&edited)) {
        copies += 3; /* a row's own, and gain and bias made wide */
    }
    sonde_site_set_union(&wanted, &edited);
    if (r->gradients) {
        sonde_site_set_union(&wanted, r->options->gradients);
        sonde_site_set_add(&wanted, (struct sonde_site){ SONDE_SITE_LOGITS, -1 });
    }
    const int64_t most = INT64_C(1) << 60;
    int64_t plan = sonde_session_plan_bytes(r->model, T, &wanted);
    double more = (double)copies * (double)(T + 64) * (double)spec->d_model * sizeof(float);
    plan = more < 0x1p50 && plan < most ? plan + (int64_t)more : most;
    struct plan out = { plan, plan };
    if (r->gradients) {
        const struct sonde_site_set *sites = r->options->gradients;
        const int64_t edits = sonde_gradient_plan_edit_bytes(r->model, T, &edited);
        out.whole += edits + sonde_gradient_plan_bytes(r->model, T, 1, sites);
        out.by_layer += edits + sonde_gradient_plan_checkpoint_bytes(r->model, T, 1, sites);
    }
    return out;
}

static int64_t scratch_with(const struct recorder *r, int64_t plan)
{
    return plan > r->scratch_bytes ? plan : r->scratch_bytes;
}

/* Gradients by layer cost one more pass forwards: before that, memory is waited for; before a
 * worker is given up, they go by layer. */
static int64_t choose_plan(const struct recorder *r, const struct plan *plan, int64_t bytes,
                           bool *by_layer)
{
    *by_layer = plan->by_layer < plan->whole &&
                (plan->whole > r->mem_bytes ||
                 bytes + r->n_active * scratch_with(r, plan->whole) > r->mem_bytes);
    return *by_layer ? plan->by_layer : plan->whole;
}

/* Waits until T more tokens fit beside what is in flight. Where they fit beside nothing with all
 * workers, fewer go on. */
static enum sonde_status admit(struct recorder *r, int64_t T, int64_t *bytes, bool *by_layer)
{
    struct plan plans = plan_pass(r, T);
    if (!sequence_bytes(r, T, bytes) || *bytes > INT64_MAX / 4) {
        return sonde_error_set(r->error, SONDE_STATUS_LIMIT,
                               "a sequence of %lld tokens records more than can be counted",
                               (long long)T);
    }
    int64_t plan = choose_plan(r, &plans, *bytes, by_layer);
    if (*bytes + plan > r->mem_bytes) {
        return refuse_budget(r, T, *bytes + plan, r->error);
    }
    enum sonde_status status = SONDE_STATUS_OK;
    while (status == SONDE_STATUS_OK) {
        int64_t scratch = scratch_with(r, plan);
        bool handed = false;
        if (in_flight(r) < RING && r->held_bytes + *bytes + r->n_active * scratch <= r->mem_bytes) {
            r->scratch_bytes = scratch;
            break;
        }
        if (in_flight(r) > 0) {
            status = hand_over(r, true, &handed);
            continue;
        }
        int64_t n = (r->mem_bytes - *bytes) / plan; /* at least 1 */
        status = shrink(r, n < r->n_active ? (int)n : r->n_active);
    }
    return status;
}

static enum sonde_status check_targets(const struct recorder *r, int64_t n_rows, bool end)
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

static enum sonde_status take_next(struct recorder *r, const struct sonde_sequence *next)
{
    int64_t bytes = 0;
    if (next->n_tokens < 1) {
        return sonde_error_set(r->error, SONDE_STATUS_ARGUMENT, "a sequence without tokens");
    }
    struct slot *slot = &r->slots[r->end % RING];
    bool by_layer = false;
    enum sonde_status status = admit(r, next->n_tokens, &bytes, &by_layer);
    if (status == SONDE_STATUS_OK) {
        status = fill_slot(r, slot, next, bytes, r->error);
        slot->by_layer = by_layer;
        slot->first_row = r->next_row - next->n_tokens;
    }
    if (status != SONDE_STATUS_OK) {
        return status;
    }
    r->held_bytes += bytes;
    pthread_mutex_lock(&r->mutex);
    r->end++;
    pthread_cond_broadcast(&r->work);
    pthread_mutex_unlock(&r->mutex);
    bool handed = true;
    while (status == SONDE_STATUS_OK && handed && in_flight(r) > 0) {
        status = hand_over(r, false, &handed);
    }
    return status;
}

/* Reads, copies and hands over until the reader ends. */
static enum sonde_status record_all(struct recorder *r)
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
    while (status == SONDE_STATUS_OK && in_flight(r) > 0) {
        status = hand_over(r, true, &handed);
    }
    return status;
}

/* Task 0 is the caller's thread, the others are the workers; each has a thread of its own. */
static void run_task(void *ctx, int64_t i, int thread)
{
    struct recorder *r = ctx;
    (void)thread;
    if (i > 0) {
        work(r, (int)i - 1);
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

static enum sonde_status prepare(struct recorder *r, struct sonde_error *error)
{
    int64_t n_places = 2 * (int64_t)SONDE_SITE_KINDS * (r->spec->n_layers + 1);
    const struct sonde_site_set *sets[] = { r->options->sites, r->options->gradients };
    struct sonde_site site;
    r->gradients = !sonde_site_set_is_empty(sets[1]);
    r->n_streams = sonde_site_set_count(sets[0]) + sonde_site_set_count(sets[1]);
    r->site = calloc((size_t)r->n_streams + 1, sizeof *r->site);
    r->stream_of = malloc((size_t)n_places * sizeof *r->stream_of);
    r->slots = calloc(RING, sizeof *r->slots);
    if (!r->site || !r->stream_of || !r->slots) {
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
            *stream_place(r, site, gradient) = n;
        }
    }
    if (r->gradients) {
        enum sonde_status status =
            sonde_recorder_check_loss(r->model, &r->options->loss, r->options->n_targets, error);
        if (status != SONDE_STATUS_OK) {
            return status;
        }
    }
    for (int i = 0; i < RING; i++) {
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
    struct recorder r = { .model = model,
                          .options = options,
                          .reader = reader,
                          .sink = sink,
                          .error = error,
                          .spec = sonde_model_spec(model),
                          .mutex = PTHREAD_MUTEX_INITIALIZER,
                          .work = PTHREAD_COND_INITIALIZER,
                          .done = PTHREAD_COND_INITIALIZER,
                          .mem_bytes = options->mem_bytes ? options->mem_bytes : MEM_BYTES_DEFAULT,
                          .batch_max =
                              options->batch_bytes ? options->batch_bytes : BATCH_BYTES_DEFAULT };
    struct sonde_pool *pool = NULL;
    enum sonde_status status = prepare(&r, error);
    if (status == SONDE_STATUS_OK) {
        status = make_pool(&pool, options->n_threads, error);
    }
    if (status == SONDE_STATUS_OK) {
        status = make_workers(&r, sonde_pool_threads(pool) - 1, error);
    }
    if (status == SONDE_STATUS_OK) {
        sonde_pool_run(pool, r.n_workers + 1, run_task, &r);
        status = r.status;
    }
    if (status == SONDE_STATUS_OK && r.batch_sequences > 0) {
        status = sink->commit(sink, error);
    }
    release_workers(&r);
    sonde_pool_destroy(&pool);
    for (int i = 0; r.slots && i < RING; i++) {
        sonde_arena_destroy(&r.slots[i].arena);
        free(r.slots[i].values);
    }
    free(r.slots);
    free(r.site);
    free(r.stream_of);
    if (stats) {
        *stats = r.stats;
    }
    return status;
}
