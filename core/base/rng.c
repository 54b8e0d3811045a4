#include "core/base/rng.h"

#include <math.h>

#define PHILOX_ROUNDS 10

void sonde_philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t x[4] = { counter[0], counter[1], counter[2], counter[3] };
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < PHILOX_ROUNDS; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * x[0];
        uint64_t p1 = (uint64_t)0xCD9E8D57u * x[2];
        uint32_t y0 = (uint32_t)(p1 >> 32) ^ x[1] ^ k0;
        uint32_t y2 = (uint32_t)(p0 >> 32) ^ x[3] ^ k1;
        x[0] = y0;
        x[1] = (uint32_t)p1;
        x[2] = y2;
        x[3] = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    for (int i = 0; i < 4; i++)
        out[i] = x[i];
}

struct sonde_rng sonde_rng_make(uint64_t seed, uint64_t stream)
{
    return (struct sonde_rng){ .seed = seed, .stream = stream };
}

uint32_t sonde_rng_u32(struct sonde_rng *rng)
{
    if (rng->used == 0 || rng->used == 4) {
        uint32_t counter[4] = { (uint32_t)rng->counter, (uint32_t)(rng->counter >> 32),
                                (uint32_t)rng->stream, (uint32_t)(rng->stream >> 32) };
        uint32_t key[2] = { (uint32_t)rng->seed, (uint32_t)(rng->seed >> 32) };
        sonde_philox4x32(counter, key, rng->block);
        rng->counter++;
        rng->used = 0;
    }
    return rng->block[rng->used++];
}

uint64_t sonde_rng_u64(struct sonde_rng *rng)
{
    uint64_t low = sonde_rng_u32(rng);
    uint64_t high = sonde_rng_u32(rng);
    return high << 32 | low;
}

double sonde_rng_uniform(struct sonde_rng *rng)
{
    return (double)(sonde_rng_u64(rng) >> 11) * 0x1p-53;
}

double sonde_rng_normal(struct sonde_rng *rng)
{
    /* Box and Muller, the cosine half only: a kept second value would be state that a copy of the
     * counter does not show. 1 - u is in (0, 1], so the logarithm is finite. */
    double radius = sqrt(-2 * log(1 - sonde_rng_uniform(rng)));
    return radius * cos(0x1.921fb54442d18p+2 * sonde_rng_uniform(rng));
}

int64_t sonde_rng_below(struct sonde_rng *rng, int64_t n)
{
    if (n <= 1)
        return 0;
    uint64_t bound = (uint64_t)n;
    /* The largest multiple of n that fits: what lies at or above it would favour small values. */
    uint64_t limit = UINT64_MAX - UINT64_MAX % bound;
    uint64_t value;
    do
        value = sonde_rng_u64(rng);
    while (value >= limit);
    return (int64_t)(value % bound);
}

void sonde_rng_shuffle(struct sonde_rng *rng, int64_t *items, int64_t n)
{
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t j = sonde_rng_below(rng, i + 1);
        int64_t item = items[i];
        items[i] = items[j];
        items[j] = item;
    }
}

uint64_t sonde_rng_stream(const char *name)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (const unsigned char *c = (const unsigned char *)name; *c; c++)
        hash = (hash ^ *c) * 0x100000001b3u;
    return hash;
}
