#include "core/model/recorder.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/num.h"

enum {
    WINDOW_SEQUENCES_MAX = 256, /* sequences that are worked on together */
    BATCH_SEQUENCES_MAX = 4096, /* between two commits */
};
#define BATCH_BYTES_DEFAULT (INT64_C(64) << 20)
#define MEM_BYTES_DEFAULT (INT64_C(1) << 30)

/* One sequence of the window: its own copy, and what its sites gave. */
struct slot {
    struct sonde_sequence sequence; /* texts and tokens in the slot's arena */
    struct sonde_arena *arena;
    float *values;                /* all records, one after another */
    struct sonde_record *records; /* [n_streams] */
    int64_t bytes;                /* of the values */
    int64_t n_nonfinite;
    enum sonde_status status;
    struct sonde_error error;
};

struct worker {
    struct sonde_session *session;
    struct sonde_hook *hooks; /* [n_hooks + 1]: the edits, then the capture */
    struct slot *slot;        /* being filled */
    struct recorder *recorder;
};

struct recorder {
    const struct sonde_model *model;
    const struct sonde_recorder_options *options;
    const struct sonde_spec *spec;
    int64_t n_streams;
    struct sonde_site *site; /* [n_streams] */
    int16_t *stream_of;      /* [SONDE_SITE_KINDS, layers + 1]; -1 = not recorded */
    struct slot *slots;      /* [WINDOW_SEQUENCES_MAX] */
    int n_slots;             /* filled */
    struct worker *workers;  /* [n_workers] */
    int n_workers;
    struct sonde_pool *pool;
    int64_t mem_bytes;
    int64_t batch_bytes, batch_sequences; /* since the last commit */
    int64_t batch_max;
    struct sonde_recorder_stats stats;
};

void sonde_recorder_streams(const struct sonde_model *model, const struct sonde_site_set *sites,
                            enum sonde_dtype dtype, struct sonde_stream *streams)
{
    struct sonde_site site;
    int64_t n = 0;
    for (int64_t i = 0; sonde_site_set_next(sites, &i, &site); n++) {
        struct sonde_stream *s = &streams[n];
        *s = (struct sonde_stream){ .layer = site.layer, .dtype = dtype };
        sonde_site_format(site, s->name);
        s->space = sonde_site_is_map(site.kind) ? SONDE_ROWS_MAP : SONDE_ROWS_TOKEN;
        s->rank = sonde_spec_site_shape(sonde_model_spec(model), site.kind, s->dim);
        s->width = s->dim[0] * s->dim[1];
    }
}

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

static int16_t *stream_place(const struct recorder *r, struct sonde_site site)
{
    return &r->stream_of[(int64_t)site.kind * (r->spec->n_layers + 1) + site.layer + 1];
}

static enum sonde_status capture(void *ctx, struct sonde_site site,
                                 const struct sonde_tensor *value, struct sonde_error *error)
{
    struct worker *worker = ctx;
    int16_t stream = *stream_place(worker->recorder, site);
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
    if (site.kind != SONDE_SITE_ATTN_SCORES) { /* -inf is what masked scores are */
        for (int64_t i = 0; i < n; i++) {
            worker->slot->n_nonfinite += !isfinite(to[i]);
        }
    }
    return SONDE_STATUS_OK;
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
    free(slot->values);
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

static void run_slot(void *ctx, int64_t i, int index)
{
    struct recorder *r = ctx;
    struct worker *worker = &r->workers[index];
    struct slot *slot = &r->slots[i];
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
    slot->status = sonde_forward(worker->session, &args, &slot->error);
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

/* Runs the window on all workers and hands the results over in order. */
static enum sonde_status flush(struct recorder *r, struct sonde_sink *sink,
                               struct sonde_error *error)
{
    enum sonde_status status = SONDE_STATUS_OK;
    double begin = now();
    sonde_pool_run(r->pool, r->n_slots, run_slot, r);
    r->stats.seconds_forward += now() - begin;
    for (int i = 0; i < r->n_slots && status == SONDE_STATUS_OK; i++) {
        status = put_slot(r, &r->slots[i], sink, error);
    }
    r->n_slots = 0;
    if (status == SONDE_STATUS_OK &&
        !sonde_progress_update(r->options->progress, "record", r->stats.n_tokens, 0, "tokens")) {
        status = sonde_error_set(error, SONDE_STATUS_CANCELLED, "recording was stopped");
    }
    return status;
}

static void release_workers(struct recorder *r)
{
    for (int i = 0; i < r->n_workers; i++) {
        sonde_session_destroy(&r->workers[i].session);
        free(r->workers[i].hooks);
    }
    free(r->workers);
    r->workers = NULL;
    r->n_workers = 0;
    sonde_pool_destroy(&r->pool);
}

static enum sonde_status make_workers(struct recorder *r, int n, struct sonde_error *error)
{
    const int n_hooks = r->options->n_hooks;
    enum sonde_status status = sonde_pool_create(&r->pool, n, error);
    if (status != SONDE_STATUS_OK) {
        return status;
    }
    n = sonde_pool_threads(r->pool);
    r->workers = calloc((size_t)n, sizeof *r->workers);
    for (int i = 0; i < n && r->workers && status == SONDE_STATUS_OK; i++) {
        struct worker *w = &r->workers[i];
        r->n_workers = i + 1;
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
        status = sonde_session_create(&w->session, r->model, NULL, error);
    }
    return r->workers ? status : sonde_error_memory(error, "workers");
}

/* What may be held: the captured window, and the scratch that every worker's session keeps from the
 * longest pass so far. */
struct budget {
    int64_t window_bytes;
    int64_t scratch_bytes; /* of one worker */
};

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

/* Whether the sequence fits beside the window. An empty window always takes it: with fewer
 * workers where all of them would not fit. */
static enum sonde_status admit(struct recorder *r, struct budget *b, int64_t T, int64_t *bytes,
                               bool *fits, struct sonde_error *error)
{
    int64_t plan = sonde_session_plan_bytes(r->model, T, r->options->sites);
    if (!sequence_bytes(r, T, bytes)) {
        return sonde_error_set(error, SONDE_STATUS_LIMIT,
                               "a sequence of %lld tokens records more than can be counted",
                               (long long)T);
    }
    if (*bytes + plan > r->mem_bytes) {
        return refuse_budget(r, T, *bytes + plan, error);
    }
    int64_t scratch = plan > b->scratch_bytes ? plan : b->scratch_bytes;
    *fits = b->window_bytes + *bytes + r->n_workers * scratch <= r->mem_bytes &&
            r->n_slots < WINDOW_SEQUENCES_MAX;
    if (!*fits && r->n_slots > 0) {
        return SONDE_STATUS_OK;
    }
    if (!*fits) {
        int n = (int)((r->mem_bytes - *bytes) / scratch);
        release_workers(r);
        scratch = n < 1 ? plan : scratch;
        *fits = true;
        enum sonde_status status = make_workers(r, n < 1 ? 1 : n, error);
        if (status != SONDE_STATUS_OK) {
            return status;
        }
    }
    b->window_bytes += *bytes;
    b->scratch_bytes = scratch;
    return SONDE_STATUS_OK;
}

/* Reads, runs and hands over until the reader ends. */
static enum sonde_status record_all(struct recorder *r, const struct sonde_sequence_reader *reader,
                                    struct sonde_sink *sink, struct sonde_error *error)
{
    struct budget budget = { 0 };
    int64_t skip = r->options->skip_sequences;
    for (;;) {
        const struct sonde_sequence *next = NULL;
        int64_t bytes = 0;
        bool fits = false;
        enum sonde_status status = reader->next(reader->self, &next, error);
        if (status == SONDE_STATUS_OK && !next) {
            return flush(r, sink, error);
        }
        if (status == SONDE_STATUS_OK && skip > 0) {
            skip--;
            continue;
        }
        if (status == SONDE_STATUS_OK && next->n_tokens < 1) {
            status = sonde_error_set(error, SONDE_STATUS_ARGUMENT, "a sequence without tokens");
        }
        while (status == SONDE_STATUS_OK && !fits) {
            status = admit(r, &budget, next->n_tokens, &bytes, &fits, error);
            if (status == SONDE_STATUS_OK && !fits) {
                status = flush(r, sink, error);
                budget.window_bytes = 0;
            }
        }
        if (status == SONDE_STATUS_OK) {
            status = fill_slot(r, &r->slots[r->n_slots], next, bytes, error);
        }
        if (status != SONDE_STATUS_OK) {
            return status;
        }
        r->n_slots++;
    }
}

static enum sonde_status prepare(struct recorder *r, struct sonde_error *error)
{
    int64_t n_places = (int64_t)SONDE_SITE_KINDS * (r->spec->n_layers + 1);
    struct sonde_site site;
    r->n_streams = sonde_site_set_count(r->options->sites);
    r->site = calloc((size_t)r->n_streams + 1, sizeof *r->site);
    r->stream_of = malloc((size_t)n_places * sizeof *r->stream_of);
    r->slots = calloc(WINDOW_SEQUENCES_MAX, sizeof *r->slots);
    if (!r->site || !r->stream_of || !r->slots) {
        return sonde_error_memory(error, "the recorder");
    }
    memset(r->stream_of, -1, (size_t)n_places * sizeof *r->stream_of);
    int16_t n = 0;
    for (int64_t i = 0; sonde_site_set_next(r->options->sites, &i, &site); n++) {
        char name[SONDE_SITE_NAME_MAX];
        if (!sonde_site_set_has(sonde_model_sites(r->model), site)) {
            return sonde_error_set(error, SONDE_STATUS_NOT_FOUND, "this model has no site '%s'",
                                   sonde_site_format(site, name));
        }
        r->site[n] = site;
        *stream_place(r, site) = n;
    }
    for (int i = 0; i < WINDOW_SEQUENCES_MAX; i++) {
        r->slots[i].arena = sonde_arena_create(0);
        if (!r->slots[i].arena) {
            return sonde_error_memory(error, "the recorder");
        }
    }
    return make_workers(r, r->options->n_threads, error);
}

enum sonde_status sonde_recorder_run(const struct sonde_model *model,
                                     const struct sonde_sequence_reader *reader,
                                     struct sonde_sink *sink,
                                     const struct sonde_recorder_options *options,
                                     struct sonde_recorder_stats *stats, struct sonde_error *error)
{
    struct recorder r = { .model = model,
                          .options = options,
                          .spec = sonde_model_spec(model),
                          .mem_bytes = options->mem_bytes ? options->mem_bytes : MEM_BYTES_DEFAULT,
                          .batch_max =
                              options->batch_bytes ? options->batch_bytes : BATCH_BYTES_DEFAULT };
    enum sonde_status status = prepare(&r, error);
    if (status == SONDE_STATUS_OK) {
        status = record_all(&r, reader, sink, error);
    }
    if (status == SONDE_STATUS_OK && r.batch_sequences > 0) {
        status = sink->commit(sink, error);
    }
    release_workers(&r);
    for (int i = 0; r.slots && i < WINDOW_SEQUENCES_MAX; i++) {
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
