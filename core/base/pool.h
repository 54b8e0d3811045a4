/*
 * Thread pool with a static split: task i of n always does the same work, whatever thread runs it,
 * so results do not depend on the number of threads as long as tasks write to places of their own
 * and reductions are made afterwards in the order of the tasks.
 */
#ifndef SONDE_CORE_BASE_POOL_H
#define SONDE_CORE_BASE_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/status.h"

struct sonde_pool; /* opaque */

/* n_threads 0 = the cores this process may use; at most 1024. The calling thread is one of them. */
SONDE_MUST_USE enum sonde_status sonde_pool_create(struct sonde_pool **out, int n_threads,
                                                   struct sonde_error *error);
void sonde_pool_destroy(struct sonde_pool **pool);
int sonde_pool_cores(void); /* that this process may use */
/* 1 for NULL; an open pool: those that take part until its owner gathers again. */
int sonde_pool_threads(const struct sonde_pool *pool);

/* Runs task(ctx, i, worker) for i in [0, n) and returns when all are done. worker is in
 * [0, threads). pool NULL runs them in order on the caller. Not reentrant: a task must not use the
 * same pool. */
void sonde_pool_run(struct sonde_pool *pool, int64_t n,
                    void (*task)(void *ctx, int64_t i, int worker), void *ctx);

/*
 * An open pool has no threads of its own: it belongs to the thread that runs tasks on it, its
 * owner, and others lend themselves to it while they have nothing to do. Who is free takes the next
 * task. n_places: the most threads, the owner included. Destroyed when nobody is lent to it.
 */
SONDE_MUST_USE enum sonde_status sonde_pool_create_open(struct sonde_pool **out, int n_places,
                                                        struct sonde_error *error);
/* The number of the present period, which ends when the owner dismisses. Thread: any. */
uint64_t sonde_pool_period(struct sonde_pool *pool);
/* Lends the calling thread until the period ends. False at once where it has ended already or no
 * place is free. */
bool sonde_pool_lend(struct sonde_pool *pool, uint64_t period);
/* The owner, between runs: who has been lent by now takes part from now on. Does nothing for a pool
 * that is not open, or NULL. */
void sonde_pool_gather(struct sonde_pool *pool);
/* The owner: sends all back. Whether any took part. */
bool sonde_pool_dismiss(struct sonde_pool *pool);

/* Sums partial[0..n_parts)[0..n) into out[0..n) in a fixed order (ordered reduction). */
void sonde_reduce_f64(double *out, const double *partial, int64_t n_parts, int64_t n);

#endif
