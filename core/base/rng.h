/*
 * Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as
 * 1, 2, 3", SC 2011). The value is a function of (seed, stream, counter) alone, so any part of a
 * computation can draw its numbers without the others. Tested against the paper's known answers.
 */
#ifndef SONDE_CORE_BASE_RNG_H
#define SONDE_CORE_BASE_RNG_H

#include <stdint.h>

#define SONDE_SEED_DEFAULT 42

struct sonde_rng {
    uint64_t seed, stream, counter;
    uint32_t block[4]; /* the current Philox block */
    uint32_t used;     /* words of it that are used; 0 before the first */
};

/* Independent sequences for different (seed, stream). */
struct sonde_rng sonde_rng_make(uint64_t seed, uint64_t stream);
uint32_t sonde_rng_u32(struct sonde_rng *rng);
uint64_t sonde_rng_u64(struct sonde_rng *rng);
double sonde_rng_uniform(struct sonde_rng *rng);           /* [0, 1), 53 bits */
double sonde_rng_normal(struct sonde_rng *rng);            /* mean 0, variance 1 */
int64_t sonde_rng_below(struct sonde_rng *rng, int64_t n); /* [0, n), unbiased; n >= 1 */
void sonde_rng_shuffle(struct sonde_rng *rng, int64_t *items, int64_t n);
/* A stream number from text (FNV-1a), for named sub-streams. */
uint64_t sonde_rng_stream(const char *name);
/* The raw block function, for tests. */
void sonde_philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

#endif
