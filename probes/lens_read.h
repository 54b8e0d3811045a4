/*
 * Reading residual rows as distributions over the vocabulary: the numbers of the logit lens
 * (nostalgebraist, "interpreting GPT: the logit lens", 2020; with the final norm computed on the
 * site itself). All sites of a block of positions are multiplied by one tile of the unembedding
 * after the other (vocabulary_scan.h), and each tile is read once: no row of logits is ever whole.
 */
#ifndef SONDE_PROBES_LENS_READ_H
#define SONDE_PROBES_LENS_READ_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/pool.h"
#include "core/base/status.h"
#include "core/model/model.h"
#include "probes/top_k.h"

/* Of one row at one site. All logarithms are natural; all are NaN or infinite where a logit is. */
struct sonde_lens_reading {
    double log_sum; /* log sum exp of the logits */
    double entropy;
    double kl;      /* KL(final || site): what the site's reading lacks of the final one */
    double logprob; /* of the true next token; NaN where there is none */
    /* Of the true next token: 1 + the logits above its own; 0 where there is none. Beyond the k
     * best, on BLAS kernels whose rows' bits depend on their place, a logit that equals it up to
     * rounding may be counted on either side. */
    int64_t rank;
    bool agrees; /* its best token is the final distribution's best */
};

/* Positions that a block may have: a function of the arguments alone. with_logits: recorded ones
 * are compared. */
int64_t sonde_lens_block_rows(int64_t V, int64_t n_sites, bool with_logits);

/* x [n_sites, n_rows, D]: site after site; the last site is the final one. Overwritten by what the
 * unembedding is applied to. */
struct sonde_lens_block {
    float *x;
    int64_t n_sites, n_rows;
    const int32_t *next; /* [n_rows] true next token, -1 = none */
    const float *logits; /* [n_rows, V] as recorded, or NULL */
    int64_t k;
    struct sonde_lens_reading *reading; /* [n_sites, n_rows] out */
    /* [n_sites, n_rows, k] out: logits; index -1 and NaN where there are fewer than k numbers */
    struct sonde_top_entry *top;
    double off_logits, largest_logit; /* out: largest |final - logits|, largest |logit| */
};
/* Reads n_blocks blocks of the same n_sites and k. */
SONDE_MUST_USE enum sonde_status sonde_lens_read(const struct sonde_model *model,
                                                 struct sonde_pool *pool,
                                                 struct sonde_lens_block *block, int64_t n_blocks,
                                                 struct sonde_error *error);
/* Memory that this takes beside the blocks' own, for blocks of n_sites * n_rows rows. */
int64_t sonde_lens_read_bytes(const struct sonde_model *model, int threads, int64_t n_blocks,
                              int64_t n_rows, int64_t k);

#endif
