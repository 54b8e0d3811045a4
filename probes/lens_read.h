/*
 * Reading residual rows as distributions over the vocabulary: the numbers of the logit lens
 * (nostalgebraist, "interpreting GPT: the logit lens", 2020; with the final norm computed on the
 * site itself). A block of rows at a time: memory is of [rows, V], never of [T, L, V].
 */
#ifndef SONDE_PROBES_LENS_READ_H
#define SONDE_PROBES_LENS_READ_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/pool.h"
#include "core/base/status.h"
#include "core/model/model.h"
#include "probes/top_k.h"

/* Of one row at one site. All logarithms are natural. */
struct sonde_lens_reading {
    double log_sum; /* log sum exp of the logits */
    double entropy;
    double kl;      /* KL(final || site): what the site's reading lacks of the final one */
    double logprob; /* of the true next token; NaN where there is none */
    int64_t rank;   /* of the true next token, 1 = best; 0 where there is none */
    bool agrees;    /* its best token is the final distribution's best */
};

/* Numbers of logits [V] against the final logits [V] whose log_sum is known; next -1 = none. */
void sonde_lens_measure(const float *logits, const float *final, double final_log_sum, int64_t V,
                        int32_t next, struct sonde_lens_reading *out);
double sonde_lens_log_sum(const float *logits, int64_t V);

/* Rows that are read out at once for a vocabulary of V: a function of V alone. */
int64_t sonde_lens_block_rows(int64_t V);

/* x [n_sites, n_rows, D]: site after site; the last site is the final one. n_rows at most the
 * block's. */
struct sonde_lens_block {
    const float *x;
    int64_t n_sites, n_rows, D;
    const int32_t *next; /* [n_rows] true next token, -1 = none */
    const float *logits; /* [n_rows, V] as recorded, or NULL */
    int64_t k;
    struct sonde_lens_reading *reading; /* [n_sites, n_rows] out */
    struct sonde_top_entry *top;        /* [n_sites, n_rows, k] out: logits */
    double off_logits, largest_logit;   /* out: largest |final - logits|, largest |logit| */
};
/* Reads n_blocks blocks, each on a worker of the pool. */
SONDE_MUST_USE enum sonde_status sonde_lens_read(const struct sonde_model *model,
                                                 struct sonde_pool *pool,
                                                 struct sonde_lens_block *block, int64_t n_blocks,
                                                 struct sonde_error *error);

#endif
