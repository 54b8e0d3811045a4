/*
 * What attention's forward and backward passes share: blocks of query rows, the keys and values
 * laid out for products, scores and softmax of a block. Private to op_attention*.c.
 */
#ifndef SONDE_CORE_TENSOR_OP_ATTENTION_H
#define SONDE_CORE_TENSOR_OP_ATTENTION_H

#include <stdbool.h>
#include <stdint.h>

#include "core/tensor/op_common.h"
#include "core/tensor/vector_product.h"

enum {
    SONDE_ATTENTION_ROWS = 48,  /* query rows of a block: a task */
    SONDE_ATTENTION_GROUP = 12, /* of these, what one product takes: little is masked in it */
    SONDE_ATTENTION_PANEL = 64, /* keys of a panel */
};

struct sonde_attention {
    const struct sonde_attention_args *args;
    struct sonde_tensor q, k, v, z; /* [T, H, E], [S, G, E], [S, G, E], [T, H, E] */
    int64_t n_blocks;               /* query blocks of a head */
    int64_t n_rows;                 /* of the largest block */
    int64_t group;                  /* query heads that share a key/value head */
    int64_t n_panels;               /* panels of all keys */
    int64_t value_stride;           /* E of v, rounded up for products */
    float *keys;    /* [G, n_panels, E, PANEL] or NULL: a task lays out a panel when it needs it */
    float *values;  /* [G, n_panels, PANEL, value_stride] or NULL, likewise */
    bool *broken;   /* [G, n_panels, PANEL] or NULL: the row of v holds a NaN or infinity */
    float *panel;   /* [threads, PANEL, max(E, value_stride)] or NULL: there is keys */
    float *scratch; /* [threads, n_rows, scratch_stride] or NULL: the pattern is wanted */
    int64_t scratch_stride;
    const float *relative;     /* [R, E] or NULL */
    int64_t n_relative, reach; /* R, and the row of distance 0 */
    float *products;           /* [threads, n_rows, R]: q . relative, times the scale */
    bool score_stage, softmax_stage, mix_stage; /* what a task does */
};

/* Query rows [first, last) of one head, and the keys [low, high) that any of them sees. */
struct sonde_attention_block {
    int64_t head, first, last, low, high;
    float *pattern;  /* [n_rows, S] */
    float *scores;   /* the same block of the wanted scores, or where the pattern will be */
    float *products; /* [n_rows, R] */
    float *panel;    /* the worker's, see above */
    int64_t pattern_stride, scores_stride;
};

static inline int64_t sonde_attention_end(const struct sonde_attention *a, int64_t t)
{
    return a->args->causal ? a->args->first + t + 1 : a->k.dim[0];
}

static inline int64_t sonde_attention_begin(const struct sonde_attention *a, int64_t t)
{
    const int64_t window = a->args->window;
    return window > 0 ? sonde_max_i64(0, sonde_attention_end(a, t) - window) : 0;
}

/* The bias of key 0 for query t. */
static inline int64_t sonde_attention_bias(const struct sonde_attention *a, int64_t head, int64_t t)
{
    return head * a->args->bias.stride[0] + a->q.dim[0] - 1 - t;
}

/* A head's i-th block. */
struct sonde_attention_block sonde_attention_block(const struct sonde_attention *a, int64_t head,
                                                   int64_t i, int worker);
/* Sets what does not depend on a block, takes scratch for the pool's threads and lays out the keys,
 * and the values where they are wanted, if several blocks will read them. */
void sonde_attention_prepare(struct sonde_op_context *ctx, struct sonde_attention *a,
                             struct sonde_pool *pool, bool with_values);
/* Scores of a block, -infinity where masked if they are wanted; then the pattern, 0 in what its
 * block does not see (if it is wanted: in all of the row). */
void sonde_attention_score(const struct sonde_attention *a, const struct sonde_attention_block *b);
void sonde_attention_softmax(const struct sonde_attention *a,
                             const struct sonde_attention_block *b);
/* The row of the relative table for the first key of [low, high) of query t whose row is not the
 * first, and the first key whose row is the last: in between the rows follow each other. */
void sonde_attention_relative_range(const struct sonde_attention *a, int64_t t, int64_t low,
                                    int64_t high, int64_t *middle, int64_t *end);
/* Notes the op on the tape. */
void sonde_attention_record(struct sonde_op_context *ctx, const struct sonde_attention *a);

static inline void sonde_attention_fill(float *row, int64_t first, int64_t last, float value)
{
    for (int64_t s = first; s < last; s++) {
        row[s] = value;
    }
}

#endif
