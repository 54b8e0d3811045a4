/* What the files of the forward pass share. Not for other layers. */
#ifndef SONDE_CORE_MODEL_FORWARD_INTERNAL_H
#define SONDE_CORE_MODEL_FORWARD_INTERNAL_H

#include "core/model/session_internal.h"

/*
 * One pass over the rows of one sequence or more, one behind the other. Products, norms and
 * activations take all rows at once; what looks along a sequence (positions, attention) and what is
 * shown to hooks goes segment by segment.
 */
struct sonde_pass {
    struct sonde_session *session;
    const struct sonde_spec *spec;
    const struct sonde_weights *weights;
    const struct sonde_forward_args *args;
    const struct sonde_forward_segment *segments; /* [n_segments] */
    int n_segments;
    int64_t *row; /* [n_segments + 1] where a segment's rows begin; the last is T */
    struct sonde_op_context ops;
    enum sonde_status status;
    struct sonde_error *error;
    int64_t T;     /* rows fed now */
    int64_t first; /* tokens in the cache before them; with a cache there is one segment */
    struct sonde_site_set observed, edited; /* by any segment */
    float *resid;                           /* [T, D] the stream */
    float *normed;     /* [T, D] after a norm's gain and bias; other additions to the embedding */
    float *attn_out;   /* [T, D] */
    float *mlp_out;    /* [T, D] */
    float *normalized; /* [T, D] before a norm's gain and bias */
    float *scale;      /* [T, 1] */
};

bool sonde_pass_ok(const struct sonde_pass *p);
bool sonde_pass_is_edited(const struct sonde_pass *p, enum sonde_site_kind kind, int layer);
bool sonde_pass_is_wanted(const struct sonde_pass *p, enum sonde_site_kind kind, int layer);
/* n floats of the session's arena; NULL fails the pass. */
float *sonde_pass_take(struct sonde_pass *p, int64_t n);
/* data as [T, D]. */
struct sonde_tensor sonde_pass_stream(const struct sonde_pass *p, float *data);
/* The rows of one segment of a value whose first axis is T. */
struct sonde_tensor sonde_pass_rows(const struct sonde_pass *p, int segment,
                                    struct sonde_tensor value);

/* Shows a value of all rows to the hooks, each segment's rows to its own. */
void sonde_pass_visit(struct sonde_pass *p, enum sonde_site_kind kind, int layer,
                      struct sonde_tensor value);
/* The same of a value that belongs to one segment: a map. */
void sonde_pass_visit_segment(struct sonde_pass *p, int segment, enum sonde_site_kind kind,
                              int layer, struct sonde_tensor value);
/* Visits and, where the site is edited, calls changed(row) for each of the T rows whose bits are
 * others than before: what was not touched keeps the bits that the op gave it. */
void sonde_pass_visit_rows(struct sonde_pass *p, enum sonde_site_kind kind, int layer, float *data,
                           int64_t width, struct sonde_tensor value,
                           void (*changed)(void *arg, int64_t row, const float *before), void *arg);

/* A norm: what it reads and writes, its weights, its sites. */
struct sonde_norm_step {
    struct sonde_pass *pass;
    float *y, *x; /* [T, D], may be the same */
    const struct sonde_weight *gain, *bias;
    enum sonde_site_kind scale, normalized, out;
    int layer;
    float *wide_gain, *wide_bias; /* [D], only when rows are made again */
};
void sonde_pass_norm(struct sonde_norm_step n);
/* A vector in f32, [columns]; NULL where it is absent. */
float *sonde_pass_widened(struct sonde_pass *p, const struct sonde_weight *w);

/* attn_out = attention over x[T, D]. */
void sonde_pass_attention(struct sonde_pass *p, int layer, float *x);

#endif
