/*
 * Features: the rows of one stream that are samples of a supervised probe, in memory where the
 * budget allows, else read again from the source in every pass.
 *
 * Passes cut the samples into blocks at fixed offsets and fold the blocks' shares in their order,
 * so that a fit's bits depend neither on the threads nor on the memory budget.
 */
#ifndef SONDE_PROBES_FEATURE_ROWS_H
#define SONDE_PROBES_FEATURE_ROWS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/pool.h"
#include "core/base/status.h"
#include "core/trace/stream.h"

enum { SONDE_FEATURES_BLOCK = 256 }; /* samples of a block */

/* Where sample i's features lie: rows [first[i], first[i] + count[i]) of the stream, averaged where
 * count is more than 1. Borrowed. */
struct sonde_feature_rows {
    int64_t n;
    const int64_t *first, *count; /* [n] each */
    /* Rows whose token has one of these flags are left out of an average; 0 = none. */
    uint32_t skip_flags;
    bool once; /* few passes are to come: rows are read in each, whatever the budget */
};

struct sonde_features {
    struct sonde_source *source;
    int64_t stream, width; /* D */
    struct sonde_feature_rows rows;
    struct sonde_pool *pool;
    float *cached;             /* [n, D] or NULL */
    float *slot;               /* [n_places, BLOCK, D] */
    float *buffer;             /* [buffer_rows, D], source rows as read */
    int64_t n_slots, n_places; /* blocks under way in a pass, and rows of theirs that are held */
    int64_t buffer_rows;
    int64_t n_nonfinite; /* values that are NaN or Inf among the samples' */
    bool unchecked;      /* every pass looks for them */
    int64_t spare_bytes; /* of the budget */
    /* The rows of one list as one scaler makes them [n, D], for passes that only read. */
    float *prepared;
    const int64_t *prepared_sample;
    const struct sonde_scaler *prepared_scaler;
};

/* mem_bytes: for the arrays of this object. LIMIT naming the least budget where it is too small,
 * NUMERIC where a value is not finite. n_slots_max: blocks in flight that the caller has room for.
 */
SONDE_MUST_USE enum sonde_status
sonde_features_open(struct sonde_features *out, struct sonde_source *source, int64_t stream,
                    const struct sonde_feature_rows *rows, int64_t mem_bytes, int64_t n_slots_max,
                    struct sonde_pool *pool, struct sonde_error *error);
/* The same, but rows that are read again in every pass are checked in each pass, not here too: a
 * pass gives NUMERIC with the same message, sonde_features_read checks nothing. */
SONDE_MUST_USE enum sonde_status
sonde_features_open_lazy(struct sonde_features *out, struct sonde_source *source, int64_t stream,
                         const struct sonde_feature_rows *rows, int64_t mem_bytes,
                         int64_t n_slots_max, struct sonde_pool *pool, struct sonde_error *error);
void sonde_features_close(struct sonde_features *features);

/* Features of samples sample[n] into out[n, D]. */
SONDE_MUST_USE enum sonde_status sonde_features_read(struct sonde_features *features,
                                                     const int64_t *sample, int64_t n, float *out,
                                                     struct sonde_error *error);

/* Standardisation: z = (x - mean) * inverse, in f32. Mean and deviation (population) of the samples
 * given; a feature that does not vary beyond f32 rounding gets inverse 1. */
struct sonde_scaler {
    float *mean, *inverse; /* [D]; NULL = as it is */
};

/* One pass over sample[n]. block runs on any thread, with x [n_block, D] of the samples
 * [first, first + n_block) of the list (its own copy, to change at will) and slot, the number of a
 * working place that no other block has meanwhile. fold runs on the caller's thread, for every
 * block in order, before its slot is used again. wave, in place of these, runs on the caller's
 * thread with x [n_wave, D] of several blocks at once, in order, and may use the pool; how many
 * they are depends on the memory, first is always at a block's begin. */
struct sonde_feature_pass {
    const int64_t *sample;
    int64_t n;
    const struct sonde_scaler *scaler; /* applied to x first; NULL = as it is */
    /* A block comes in parts of so many rows, one after the other, each still in the cache; 0 = in
     * one. */
    int64_t part_rows;
    bool only_reads; /* block leaves x as it is */
    void (*wave)(void *ctx, int64_t first, int64_t n, const float *x);
    void (*block)(void *ctx, int64_t first, int64_t n, float *x, int64_t slot);
    void (*fold)(void *ctx, int64_t first, int64_t n, int64_t slot);
    void *ctx;
};
SONDE_MUST_USE enum sonde_status sonde_features_pass(struct sonde_features *features,
                                                     const struct sonde_feature_pass *pass,
                                                     struct sonde_error *error);

SONDE_MUST_USE enum sonde_status sonde_scaler_fit(struct sonde_scaler *out,
                                                  struct sonde_features *features,
                                                  const int64_t *sample, int64_t n,
                                                  struct sonde_error *error);
/* For many passes over the same list with the same scaler that only read: keeps the standardised
 * rows where they are in memory already and the budget has room for them twice; else does nothing.
 * No pass gives other bits. Both are borrowed until unprepare. */
void sonde_features_prepare(struct sonde_features *features, const int64_t *sample, int64_t n,
                            const struct sonde_scaler *scaler);
void sonde_features_unprepare(struct sonde_features *features);

/* Whether a feature varies beyond f32 rounding. */
bool sonde_scaler_varies(double mean, double deviation);
void sonde_scaler_finish(struct sonde_scaler *scaler);
/* z [n, width] of x; z may be x. */
void sonde_scaler_apply(const struct sonde_scaler *scaler, const float *x, float *z, int64_t n,
                        int64_t width);

#endif
