/*
 * Helpers of one fit: threads that take parts of its steps. A step of a minibatch is over in less
 * than a millisecond and has several parts, too short to wake threads for: the helpers keep looking
 * for work until the fit ends. Parts are taken by whoever is free; so they must write to places of
 * their own, with bits that do not depend on who takes them.
 */
#ifndef SONDE_PROBES_MLP_TEAM_H
#define SONDE_PROBES_MLP_TEAM_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdint.h>

enum { SONDE_MLP_TEAM_PARTS_MAX = 4096 };

struct sonde_mlp_team {
    /* The round of work, its parts and how many are taken from either end, in one number. */
    alignas(64) atomic_ullong ticket;
    void (*part)(void *ctx, int64_t i);
    void *ctx;
    int n_threads;
    alignas(64) atomic_llong n_done;
    atomic_bool ended;
};

/* n_threads: the leader and the helpers that will come. */
void sonde_mlp_team_init(struct sonde_mlp_team *team, int n_threads);
int sonde_mlp_team_threads(const struct sonde_mlp_team *team); /* 1 for NULL */
/* Of the leader's thread: part(ctx, i) for i in [0, n), and returns when all are done. team NULL:
 * the caller does all of them in order. n at most SONDE_MLP_TEAM_PARTS_MAX. */
void sonde_mlp_team_run(struct sonde_mlp_team *team, int64_t n, void (*part)(void *ctx, int64_t i),
                        void *ctx);
/* Of any other thread: takes parts until the leader ends the work. */
void sonde_mlp_team_help(struct sonde_mlp_team *team);
/* Of the leader's thread, after its last run. */
void sonde_mlp_team_end(struct sonde_mlp_team *team);

#endif
