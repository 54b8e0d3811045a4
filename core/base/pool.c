/* For sched_getaffinity: the cores that this process may use, not all that the machine has. */
#define _GNU_SOURCE /* NOLINT(bugprone-reserved-identifier) */

#include "core/base/pool.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/thread.h"

#define THREADS_MAX 1024

struct worker {
    struct sonde_pool *pool;
    pthread_t thread;
    int index;
};

struct sonde_pool {
    int n_threads;          /* an open pool: those that take part at present, the owner included */
    int n_started;          /* threads that run: workers[1..n_started] */
    struct worker *workers; /* [n_threads]; 0 is the calling thread */
    pthread_mutex_t mutex;
    pthread_cond_t start, done;
    /* Under the mutex. */
    uint64_t round; /* counts calls of run */
    int n_busy;
    bool stop;
    int64_t n;
    void (*task)(void *ctx, int64_t i, int worker);
    void *ctx;
    /* Of an open pool; under the mutex but for next. */
    int n_places;             /* 0: the pool is not open */
    int n_lent;               /* threads in sonde_pool_lend: their places are 1..n_lent */
    uint64_t period;          /* counts dismissals */
    atomic_int_fast64_t next; /* the task that is taken next */
};

/* Every n_threads-th task: neighbours often cost alike, so this evens out better than ranges. */
static void run_share(const struct sonde_pool *pool, int64_t n,
                      void (*task)(void *ctx, int64_t i, int worker), void *ctx, int worker)
{
    for (int64_t i = worker; i < n; i += pool->n_threads)
        task(ctx, i, worker);
}

static void *worker_main(void *argument)
{
    struct worker *worker = argument;
    struct sonde_pool *pool = worker->pool;
    uint64_t seen = 0;
    pthread_mutex_lock(&pool->mutex);
    for (;;) {
        while (!pool->stop && pool->round == seen)
            pthread_cond_wait(&pool->start, &pool->mutex);
        if (pool->stop)
            break;
        seen = pool->round;
        int64_t n = pool->n;
        void (*task)(void *, int64_t, int) = pool->task;
        void *ctx = pool->ctx;
        pthread_mutex_unlock(&pool->mutex);
        run_share(pool, n, task, ctx, worker->index);
        pthread_mutex_lock(&pool->mutex);
        if (--pool->n_busy == 0)
            pthread_cond_signal(&pool->done);
    }
    pthread_mutex_unlock(&pool->mutex);
    return NULL;
}

/* Whoever is free takes the next task: lent threads come late, and other programs take their cores
 * away. */
static void run_next(struct sonde_pool *pool, int64_t n,
                     void (*task)(void *ctx, int64_t i, int worker), void *ctx, int worker)
{
    for (int64_t i; (i = atomic_fetch_add(&pool->next, 1)) < n;)
        task(ctx, i, worker);
}

enum sonde_status sonde_pool_create_open(struct sonde_pool **out, int n_places,
                                         struct sonde_error *error)
{
    if (n_places < 1 || n_places > THREADS_MAX)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "a pool of %d places, expected 1 to %d", n_places, THREADS_MAX);
    struct sonde_pool *pool = calloc(1, sizeof(*pool));
    if (!pool)
        return sonde_error_memory(error, "a thread pool");
    pool->n_threads = 1;
    pool->n_places = n_places;
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->start, NULL);
    pthread_cond_init(&pool->done, NULL);
    *out = pool;
    return SONDE_STATUS_OK;
}

uint64_t sonde_pool_period(struct sonde_pool *pool)
{
    pthread_mutex_lock(&pool->mutex);
    uint64_t period = pool->period;
    pthread_mutex_unlock(&pool->mutex);
    return period;
}

bool sonde_pool_lend(struct sonde_pool *pool, uint64_t period)
{
    pthread_mutex_lock(&pool->mutex);
    if (pool->period != period || pool->n_lent + 1 >= pool->n_places) {
        pthread_mutex_unlock(&pool->mutex);
        return false;
    }
    int place = ++pool->n_lent;
    uint64_t seen = pool->round;
    while (pool->period == period) {
        if (pool->round == seen || place >= pool->n_threads) {
            seen = pool->round;
            pthread_cond_wait(&pool->start, &pool->mutex);
            continue;
        }
        seen = pool->round;
        int64_t n = pool->n;
        void (*task)(void *, int64_t, int) = pool->task;
        void *ctx = pool->ctx;
        if (n == 0) /* over before this thread woke */
            continue;
        pool->n_busy++;
        pthread_mutex_unlock(&pool->mutex);
        run_next(pool, n, task, ctx, place);
        pthread_mutex_lock(&pool->mutex);
        if (--pool->n_busy == 0)
            pthread_cond_signal(&pool->done);
    }
    pthread_mutex_unlock(&pool->mutex);
    return true;
}

void sonde_pool_gather(struct sonde_pool *pool)
{
    if (!pool || pool->n_places == 0)
        return;
    pthread_mutex_lock(&pool->mutex);
    pool->n_threads = 1 + pool->n_lent;
    pthread_mutex_unlock(&pool->mutex);
}

bool sonde_pool_dismiss(struct sonde_pool *pool)
{
    pthread_mutex_lock(&pool->mutex);
    bool helped = pool->n_threads > 1;
    pool->n_threads = 1;
    pool->n_lent = 0;
    pool->period++;
    pthread_cond_broadcast(&pool->start);
    pthread_mutex_unlock(&pool->mutex);
    return helped;
}

/* The owner's side of a run of an open pool. */
static void run_open(struct sonde_pool *pool, int64_t n,
                     void (*task)(void *ctx, int64_t i, int worker), void *ctx)
{
    pthread_mutex_lock(&pool->mutex);
    pool->n = n;
    pool->task = task;
    pool->ctx = ctx;
    atomic_store(&pool->next, 0);
    pool->round++;
    pthread_cond_broadcast(&pool->start);
    pthread_mutex_unlock(&pool->mutex);
    run_next(pool, n, task, ctx, 0);
    pthread_mutex_lock(&pool->mutex);
    pool->n = 0;
    while (pool->n_busy > 0)
        pthread_cond_wait(&pool->done, &pool->mutex);
    pthread_mutex_unlock(&pool->mutex);
}

int sonde_pool_cores(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) == 0)
        return CPU_COUNT(&set);
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n > THREADS_MAX ? THREADS_MAX : (int)n;
}

static int start_threads(struct sonde_pool *pool)
{
    int failure = 0;
    for (int i = 1; i < pool->n_threads && !failure; i++) {
        struct worker *worker = &pool->workers[i];
        worker->pool = pool;
        worker->index = i;
        failure = sonde_thread_start(&worker->thread, worker_main, worker);
        if (!failure)
            pool->n_started = i;
    }
    return failure;
}

enum sonde_status sonde_pool_create(struct sonde_pool **out, int n_threads,
                                    struct sonde_error *error)
{
    if (n_threads < 0 || n_threads > THREADS_MAX)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "%d threads asked for, expected 0 (all cores) to %d", n_threads,
                               THREADS_MAX);
    if (n_threads == 0) {
        n_threads = sonde_pool_cores();
        n_threads = n_threads > THREADS_MAX ? THREADS_MAX : n_threads;
    }
    struct sonde_pool *pool = calloc(1, sizeof(*pool));
    struct worker *workers = calloc((size_t)n_threads, sizeof(*workers));
    if (!pool || !workers) {
        free(pool);
        free(workers);
        return sonde_error_memory(error, "a thread pool");
    }
    pool->n_threads = n_threads;
    pool->workers = workers;
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->start, NULL);
    pthread_cond_init(&pool->done, NULL);
    int failure = start_threads(pool);
    if (failure) {
        int n_started = pool->n_started;
        sonde_pool_destroy(&pool);
        return sonde_error_set(error, SONDE_STATUS_IO, "cannot start thread %d of %d: %s",
                               n_started + 2, n_threads, strerror(failure));
    }
    *out = pool;
    return SONDE_STATUS_OK;
}

void sonde_pool_destroy(struct sonde_pool **pool)
{
    if (!pool || !*pool)
        return;
    struct sonde_pool *p = *pool;
    pthread_mutex_lock(&p->mutex);
    p->stop = true;
    pthread_cond_broadcast(&p->start);
    pthread_mutex_unlock(&p->mutex);
    for (int i = 1; i <= p->n_started; i++)
        pthread_join(p->workers[i].thread, NULL);
    pthread_cond_destroy(&p->start);
    pthread_cond_destroy(&p->done);
    pthread_mutex_destroy(&p->mutex);
    free(p->workers);
    free(p);
    *pool = NULL;
}

int sonde_pool_threads(const struct sonde_pool *pool)
{
    return pool ? pool->n_threads : 1;
}

void sonde_pool_run(struct sonde_pool *pool, int64_t n,
                    void (*task)(void *ctx, int64_t i, int worker), void *ctx)
{
    if (!pool || pool->n_threads == 1 || n <= 1) {
        for (int64_t i = 0; i < n; i++)
            task(ctx, i, 0);
        return;
    }
    if (pool->n_places > 0) {
        run_open(pool, n, task, ctx);
        return;
    }
    pthread_mutex_lock(&pool->mutex);
    pool->n = n;
    pool->task = task;
    pool->ctx = ctx;
    pool->n_busy = pool->n_started;
    pool->round++;
    pthread_cond_broadcast(&pool->start);
    pthread_mutex_unlock(&pool->mutex);
    run_share(pool, n, task, ctx, 0);
    pthread_mutex_lock(&pool->mutex);
    while (pool->n_busy > 0)
        pthread_cond_wait(&pool->done, &pool->mutex);
    pthread_mutex_unlock(&pool->mutex);
}

void sonde_reduce_f64(double *out, const double *partial, int64_t n_parts, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        double sum = 0;
        for (int64_t part = 0; part < n_parts; part++)
            sum += partial[part * n + i];
        out[i] = sum;
    }
}
