/*
 * The feed-forward layer as key-value memory (Geva et al., "Transformer Feed-Forward Layers Are
 * Key-Value Memories", EMNLP 2021): values from the weights, keys from recorded activations.
 * One layer at a time; blocks of neurons against one tile of the vocabulary after the other, of
 * which the top k are kept (vocabulary_scan.h).
 */
#ifndef SONDE_PROBES_KV_READ_H
#define SONDE_PROBES_KV_READ_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/pool.h"
#include "core/base/progress.h"
#include "core/base/status.h"
#include "core/model/model.h"
#include "core/trace/stream.h"
#include "probes/top_k.h"

/* Values: neuron i's column of the down projection, times the final norm's gain, against the
 * unembedding. F neurons. Where fewer than k scores are numbers the rest is index -1 and NaN. */
struct sonde_kv_values {
    int64_t F, k;
    struct sonde_top_entry *up;   /* [F, k] tokens that it raises most: score */
    struct sonde_top_entry *down; /* [F, k] that it lowers most: minus the score */
    double *norm;                 /* [F] length of the value vector */
};
/* mem_bytes: LIMIT where one thread needs more beside the result. */
SONDE_MUST_USE enum sonde_status sonde_kv_values_read(struct sonde_kv_values *out,
                                                      const struct sonde_model *model, int layer,
                                                      int64_t k, int64_t mem_bytes,
                                                      struct sonde_pool *pool,
                                                      struct sonde_error *error);
void sonde_kv_values_finish(struct sonde_kv_values *values);

enum { SONDE_KV_BINS = 60 };
/* Keys: what mlp.hook_post was on every token. Active = above zero. */
struct sonde_kv_keys {
    int64_t F, k, n_rows;        /* token rows that were looked at */
    struct sonde_top_entry *top; /* [F, k] activation and token row */
    int64_t *n_top;              /* [F] */
    int64_t *n_active;           /* [F] */
    double *sum;                 /* [F] */
    float *largest;              /* [F] */
    float low, high;             /* of all activations of the layer */
    int64_t bin[SONDE_KV_BINS];  /* counts over [low, high] */
    int64_t n_nonfinite;         /* left out everywhere */
};
/* skip_flags: tokens with one of these flags are left out. mem_bytes bounds the rows held at once.
 */
SONDE_MUST_USE enum sonde_status
sonde_kv_keys_read(struct sonde_kv_keys *out, struct sonde_source *source, int64_t stream,
                   int64_t k, uint32_t skip_flags, int64_t mem_bytes,
                   const struct sonde_progress *progress, struct sonde_error *error);
void sonde_kv_keys_finish(struct sonde_kv_keys *keys);

/* The token after a row in its sequence; -1 at the end. */
int32_t sonde_kv_next_token(const struct sonde_source *source, int64_t row);

/* Agreement of keys and values over the neurons whose strongest trigger has a next token. */
struct sonde_kv_agreement {
    int64_t n;
    double first;    /* share whose top value token is the next token of the strongest trigger */
    double any;      /* ... of any of its top triggers */
    double shuffled; /* as first, with the trigger of the next neuron: chance */
};
void sonde_kv_agree(const struct sonde_kv_values *values, const struct sonde_kv_keys *keys,
                    const struct sonde_source *source, struct sonde_kv_agreement *out);

#endif
