/* X^T X of features, block by block. Internal to the linear probes. */
#ifndef SONDE_PROBES_FEATURE_GRAM_H
#define SONDE_PROBES_FEATURE_GRAM_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/pool.h"
#include "core/base/status.h"

/*
 * total [D, D] += Z^T Z. A block of 256 rows is multiplied in f32 and added in double (or all in
 * double): tiles of 192 columns are the tasks, each of which takes the blocks in order, so the
 * bits depend neither on the threads nor on how many rows come at a time. In f32 entry (i, j) is
 * off by at most 257 * 2^-24 sum |z_i z_j|, typically 2^-24 of it.
 */
struct sonde_gram {
    int64_t width;
    bool wide;     /* products in double */
    double *total; /* [D, D]: on and over the diagonal, until mirrored */
    struct sonde_pool *pool;
    void *scratch; /* of the threads */
};

SONDE_MUST_USE enum sonde_status sonde_gram_init(struct sonde_gram *out, int64_t width, bool wide,
                                                 struct sonde_pool *pool,
                                                 struct sonde_error *error);
void sonde_gram_finish(struct sonde_gram *gram);
/* Bytes of an object. */
double sonde_gram_bytes(int64_t width, int n_threads);
/* Adds rows z [n, D], n a multiple of the block except in the end. also(ctx, i) for i in
 * [0, n_also) are tasks of the caller's that run beside, in any order; NULL = none. */
void sonde_gram_add(struct sonde_gram *gram, const float *z, int64_t n, int64_t n_also,
                    void (*also)(void *ctx, int64_t i), void *ctx);
/* Fills what is under the diagonal. */
void sonde_gram_mirror(struct sonde_gram *gram);

#endif
