#include "probes/mlp_team.h"

#include <assert.h>
#include <sched.h>
#include <stdbool.h>
#include <time.h>

/* Looks at the ticket in a row before a helper gives its core to others, and so many of these
 * before it sleeps: nothing is to do for long only where the leader is held up. */
enum { LOOKS = 4000, YIELDS = 400, NAP_NANOSECONDS = 50000 };

/* [round][parts][taken from the first on][taken from the last back], 16 bits each. A round's number
 * may come again: what is taken is a part of the work at hand in any case. */
enum { BITS = 16 };

static int64_t field(unsigned long long ticket, int from_right)
{
    return (int64_t)(ticket >> (BITS * from_right) & 0xffff);
}

static void look_away(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

void sonde_mlp_team_init(struct sonde_mlp_team *team, int n_threads)
{
    team->n_threads = n_threads;
    team->part = NULL;
    team->ctx = NULL;
    atomic_init(&team->ticket, 0);
    atomic_init(&team->n_done, 0);
    atomic_init(&team->ended, false);
}

int sonde_mlp_team_threads(const struct sonde_mlp_team *team)
{
    return team ? team->n_threads : 1;
}

/* One part of the work at hand; false where all are taken. The work cannot change between the
 * taking and the doing: the leader waits for every part that was taken. */
static bool take_part(struct sonde_mlp_team *team, bool leader)
{
    const unsigned long long one = leader ? 1ULL << BITS : 1;
    unsigned long long ticket = atomic_load_explicit(&team->ticket, memory_order_acquire);
    do {
        if (field(ticket, 1) + field(ticket, 0) == field(ticket, 2))
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&team->ticket, &ticket, ticket + one,
                                                    memory_order_acq_rel, memory_order_acquire));
    team->part(team->ctx, leader ? field(ticket, 1) : field(ticket, 2) - 1 - field(ticket, 0));
    atomic_fetch_add_explicit(&team->n_done, 1, memory_order_release);
    return true;
}

void sonde_mlp_team_run(struct sonde_mlp_team *team, int64_t n, void (*part)(void *ctx, int64_t i),
                        void *ctx)
{
    assert(n >= 0 && n <= SONDE_MLP_TEAM_PARTS_MAX);
    if (!team || n <= 1) {
        for (int64_t i = 0; i < n; i++)
            part(ctx, i);
        return;
    }
    const unsigned long long last = atomic_load_explicit(&team->ticket, memory_order_relaxed);
    const unsigned long long round = (last >> (3 * BITS)) + 1;
    team->part = part;
    team->ctx = ctx;
    atomic_store_explicit(&team->n_done, 0, memory_order_relaxed);
    atomic_store_explicit(&team->ticket, round << (3 * BITS) | (unsigned long long)n << (2 * BITS),
                          memory_order_release);
    while (take_part(team, true))
        ;
    for (int looks = 0; atomic_load_explicit(&team->n_done, memory_order_acquire) < n; looks++) {
        look_away();
        if (looks >= LOOKS)
            sched_yield();
    }
}

void sonde_mlp_team_help(struct sonde_mlp_team *team)
{
    for (int idle = 0; !atomic_load_explicit(&team->ended, memory_order_acquire);) {
        if (take_part(team, false)) {
            idle = 0;
            continue;
        }
        look_away();
        if (++idle < LOOKS)
            continue;
        if (idle < LOOKS + YIELDS) {
            sched_yield();
            continue;
        }
        const struct timespec nap = { .tv_nsec = NAP_NANOSECONDS };
        nanosleep(&nap, NULL);
    }
}

void sonde_mlp_team_end(struct sonde_mlp_team *team)
{
    atomic_store_explicit(&team->ended, true, memory_order_release);
}
