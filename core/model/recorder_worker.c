/* The recorder's workers: which sequences a pass takes, and the passes. */
#include <stdlib.h>
#include <time.h>

#include "core/model/recorder_internal.h"

static void close_passes(struct sonde_recorder_worker *w)
{
    sonde_gradient_destroy(&w->gradient);
    sonde_session_destroy(&w->session);
}

static enum sonde_status open_passes(struct sonde_recorder_worker *w, struct sonde_error *error)
{
    const struct sonde_session_options options = { .pool = w->pool };
    enum sonde_status status =
        sonde_session_create(&w->session, w->recorder->model, &options, error);
    if (status == SONDE_STATUS_OK && w->recorder->gradients) {
        status = sonde_gradient_create(&w->gradient, w->session, 0, error);
    }
    return status;
}

void sonde_recorder_release_workers(struct sonde_recorder *r)
{
    for (int i = 0; r->workers && i < r->n_workers; i++) {
        close_passes(&r->workers[i]);
        sonde_pool_destroy(&r->workers[i].pool);
        free(r->workers[i].hooks);
        free(r->workers[i].segment);
        free(r->workers[i].slot);
    }
    free(r->workers);
    r->workers = NULL;
}

static enum sonde_status make_worker(struct sonde_recorder *r, struct sonde_recorder_worker *w,
                                     struct sonde_error *error)
{
    const int n_hooks = r->options->n_hooks;
    const size_t n = SONDE_RECORDER_PACK_ROWS;
    w->recorder = r;
    w->hooks = calloc(n * ((size_t)n_hooks + 1), sizeof *w->hooks);
    w->segment = calloc(n, sizeof *w->segment);
    w->slot = calloc(n, sizeof *w->slot);
    if (!w->hooks || !w->segment || !w->slot) {
        return sonde_error_memory(error, "hooks");
    }
    for (size_t i = 0; i < n; i++) {
        struct sonde_hook *hooks = w->hooks + i * ((size_t)n_hooks + 1);
        for (int h = 0; h < n_hooks; h++) {
            hooks[h] = r->options->hooks[h];
        }
        hooks[n_hooks] =
            (struct sonde_hook){ .observe = r->options->sites, .on_value = sonde_recorder_capture };
        w->segment[i] = (struct sonde_forward_segment){ .hooks = hooks, .n_hooks = n_hooks + 1 };
    }
    enum sonde_status status = sonde_pool_create_open(&w->pool, r->n_workers, error);
    return status == SONDE_STATUS_OK ? open_passes(w, error) : status;
}

enum sonde_status sonde_recorder_make_workers(struct sonde_recorder *r, int n,
                                              struct sonde_error *error)
{
    enum sonde_status status = SONDE_STATUS_OK;
    r->workers = calloc((size_t)n, sizeof *r->workers);
    if (!r->workers) {
        return sonde_error_memory(error, "workers");
    }
    r->n_workers = r->n_active = n;
    for (int i = 0; i < n && status == SONDE_STATUS_OK; i++) {
        status = make_worker(r, &r->workers[i], error);
    }
    return status;
}

enum sonde_status sonde_recorder_shrink(struct sonde_recorder *r, int n)
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

/* The segment of the i-th slot of the pass. */
static void set_segment(struct sonde_recorder_worker *w, int i)
{
    struct sonde_recorder_slot *slot = w->slot[i];
    struct sonde_forward_segment *s = &w->segment[i];
    const int n_hooks = w->recorder->options->n_hooks;
    s->ids = slot->ids;
    s->n_tokens = slot->sequence.n_tokens;
    w->hooks[i * (n_hooks + 1) + n_hooks].ctx = slot;
}

static enum sonde_status run_gradient(struct sonde_recorder_worker *w,
                                      struct sonde_recorder_slot *slot)
{
    const struct sonde_recorder_options *options = w->recorder->options;
    struct sonde_gradient_args args = { .ids = slot->ids,
                                        .n_tokens = slot->sequence.n_tokens,
                                        .loss = options->loss,
                                        .hooks = w->segment[0].hooks,
                                        .n_hooks = w->segment[0].n_hooks,
                                        .checkpoints = slot->by_layer,
                                        .sites = options->gradients,
                                        .on_gradient = sonde_recorder_capture_gradient,
                                        .ctx = slot };
    if (options->loss.kind == SONDE_LOSS_TARGETS) {
        args.loss.targets = options->loss.targets + slot->first_row;
    }
    return sonde_gradient_run(w->gradient, &args, &slot->loss, &slot->error);
}

static void run_alone(struct sonde_recorder_worker *w, int i)
{
    struct sonde_recorder_slot *slot = w->slot[i];
    w->slot[0] = slot;
    set_segment(w, 0);
    const struct sonde_forward_args args = { .ids = slot->ids,
                                             .n_tokens = slot->sequence.n_tokens,
                                             .hooks = w->segment[0].hooks,
                                             .n_hooks = w->segment[0].n_hooks,
                                             .no_logits = true };
    slot->n_nonfinite = 0;
    slot->status = w->recorder->gradients ? run_gradient(w, slot)
                                          : sonde_forward(w->session, &args, &slot->error);
}

static void run_pass(struct sonde_recorder_worker *w, int n)
{
    struct sonde_error error = { 0 };
    enum sonde_status status = SONDE_STATUS_ARGUMENT;
    if (n > 1) {
        for (int i = 0; i < n; i++) {
            set_segment(w, i);
        }
        const struct sonde_forward_args args = { .segments = w->segment,
                                                 .n_segments = n,
                                                 .no_logits = true };
        status = sonde_forward(w->session, &args, &error);
    }
    /* What failed together is run again one by one, which gives each its own error or its bits. */
    struct sonde_recorder_slot *first = w->slot[0];
    for (int i = 0; i < n && status != SONDE_STATUS_OK; i++) {
        run_alone(w, i);
    }
    w->slot[0] = first;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The rows of a pass: full ones while more sequences come, at the end an even share of what is left
 * for every worker without work. */
static int64_t rows_of_pass(const struct sonde_recorder *r)
{
    const int64_t n_idle = r->n_active - r->n_running;
    const int64_t share = (r->waiting_rows + n_idle - 1) / (n_idle > 0 ? n_idle : 1);
    return (r->ended || r->starved) && share < r->pack_rows ? share : r->pack_rows;
}

/* Takes the slots of one pass off the queue; 0: nothing to do, or more is coming to fill it. */
static int take_slots(struct sonde_recorder *r, struct sonde_recorder_worker *w)
{
    const int64_t most = rows_of_pass(r), n_waiting = r->end - r->next_run;
    int64_t rows = 0;
    int n = 0;
    bool full = r->pack_rows == 0;
    while (n < n_waiting && n < SONDE_RECORDER_PACK_ROWS && (n == 0 || !full)) {
        struct sonde_recorder_slot *slot = &r->slots[(r->next_run + n) % SONDE_RECORDER_RING];
        const int64_t T = slot->sequence.n_tokens;
        full = full || rows + T >= most;
        if (n > 0 && rows + T > most) {
            break;
        }
        w->slot[n++] = slot;
        rows += T;
    }
    if (n == 0 || !(full || r->ended || r->starved)) {
        return 0;
    }
    r->next_run += n;
    r->waiting_rows -= rows;
    return n;
}

/* Lends the worker to the busy one with the fewest that help it; false where there is none. */
static bool lend(struct sonde_recorder *r)
{
    struct sonde_recorder_worker *to = NULL;
    for (int i = 0; i < r->n_workers && r->may_lend && (r->ended || r->starved); i++) {
        struct sonde_recorder_worker *w = &r->workers[i];
        if (w->busy && w->n_lent + 1 < r->n_workers && (!to || w->n_lent < to->n_lent)) {
            to = w;
        }
    }
    if (!to) {
        return false;
    }
    const uint64_t period = to->period;
    to->n_lent++;
    pthread_mutex_unlock(&r->mutex);
    (void)sonde_pool_lend(to->pool, period);
    pthread_mutex_lock(&r->mutex);
    return true;
}

static void begin_pass(struct sonde_recorder *r, struct sonde_recorder_worker *w)
{
    w->busy = true;
    w->period = sonde_pool_period(w->pool);
    w->n_lent = 0;
    if (r->n_running++ == 0) {
        r->running_since = now();
    }
    if (r->ended || r->starved) { /* who waits for work may help with this */
        pthread_cond_broadcast(&r->work);
    }
}

static void end_pass(struct sonde_recorder *r, struct sonde_recorder_worker *w, int n)
{
    w->busy = false;
    for (int i = 0; i < n; i++) {
        w->slot[i]->done = true;
    }
    r->stats.n_packed += n > 1 ? n : 0;
    if (--r->n_running == 0) {
        r->stats.seconds_forward += now() - r->running_since;
    }
    pthread_cond_signal(&r->done);
}

void sonde_recorder_work(struct sonde_recorder *r, int index)
{
    struct sonde_recorder_worker *w = &r->workers[index];
    pthread_mutex_lock(&r->mutex);
    while (!r->stop) {
        const int n = index < r->n_active ? take_slots(r, w) : 0;
        if (n == 0) {
            if (!lend(r)) {
                pthread_cond_wait(&r->work, &r->mutex);
            }
            continue;
        }
        begin_pass(r, w);
        pthread_mutex_unlock(&r->mutex);
        run_pass(w, n);
        if (sonde_pool_dismiss(w->pool)) { /* the scratch of others is not kept */
            sonde_session_trim(w->session);
        }
        pthread_mutex_lock(&r->mutex);
        end_pass(r, w, n);
    }
    pthread_mutex_unlock(&r->mutex);
}
