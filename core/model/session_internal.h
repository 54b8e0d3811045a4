/* What the files of the forward pass and session.c share. Not for other layers. */
#ifndef SONDE_CORE_MODEL_SESSION_INTERNAL_H
#define SONDE_CORE_MODEL_SESSION_INTERNAL_H

#include "core/model/model_internal.h"

struct sonde_session {
    const struct sonde_model *model;
    struct sonde_arena *arena;
    struct sonde_pool *pool;
    int64_t max_tokens;
    int64_t n_cached; /* tokens in the cache */
    bool cache;
    struct sonde_layer_cache {
        float *k, *v;                   /* [capacity, G, E] */
        int64_t k_capacity, v_capacity; /* in floats */
    } * layer;                          /* [n_layers] with a cache, NULL without */
    float *cos, *sin;                   /* [n_rotary, rotary_dims / 2] */
    int64_t n_rotary;
    float *position; /* [n_position, D] fixed positions */
    int64_t n_position;
    int64_t n_nonfinite;
};

/* Refuses what no pass of the session can run. */
SONDE_MUST_USE enum sonde_status sonde_session_check(const struct sonde_session *session,
                                                     const struct sonde_forward_args *args,
                                                     const struct sonde_forward_segment *segment,
                                                     struct sonde_error *error);
/* How many of n values are NaN or infinite. */
int64_t sonde_count_nonfinite(const float *values, int64_t n);
/* Counts what is not finite among n values: sonde_session_nonfinite. */
void sonde_session_count(struct sonde_session *session, const float *values, int64_t n);
/* Makes the tables of positions and the cache long enough for n positions. */
SONDE_MUST_USE enum sonde_status sonde_session_reserve(struct sonde_session *session, int64_t n,
                                                       struct sonde_error *error);

#endif
