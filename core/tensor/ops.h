/*
 * Ops: what the forward pass is written in. One code path records, differentiates and trains.
 *
 * Letters: T query positions, S key positions, D d_model, H query heads, G key/value heads,
 * E d_head, F d_mlp, V vocabulary. Shapes are validated once, where weights are bound: here they
 * are asserted. The last dimension of a tensor is contiguous; the others may have any stride in
 * linear, embedding, norm, rotary, attention (not its scores and pattern), head_result, softmax and
 * unembed, so that a part of a fused projection is a view of it. Elementwise ops take contiguous
 * tensors.
 *
 * Determinism: an op's result for given inputs has the same bits whatever ctx->pool is. Work is cut
 * at fixed offsets; observing more (a pattern, a scale) never changes another value's bits, and
 * what stands in one row never changes the bits of a row that does not read it, NaN included.
 *
 * Once ctx->failed is set every op returns at once.
 */
#ifndef SONDE_CORE_TENSOR_OPS_H
#define SONDE_CORE_TENSOR_OPS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/arena.h"
#include "core/base/pool.h"
#include "core/tensor/tensor.h"

struct sonde_tape;      /* records vector-Jacobian products */
struct sonde_gemm_plan; /* gemm_plan.h */

struct sonde_op_context {
    struct sonde_arena *arena; /* scratch; an op gives back what it took. Exhaustion: see failed */
    struct sonde_tape *tape;   /* NULL: nothing is kept for a backward pass; see tape.h */
    struct sonde_pool *pool;   /* NULL: the calling thread alone */
    /* How linear products are computed; NULL: by OpenBLAS in f32. Backward passes always are. */
    const struct sonde_gemm_plan *plan;
    bool single_row; /* a product of one row may be that of a matrix and a vector, which is faster
                        and has bits of its own: for decoding token by token */
    bool failed; /* set by an op whose scratch could not be had; results are then void. The forward
                    pass checks it once at the end */
};

/* y[T, out] = x[T, in] W^T + b; b may be NULL or absent. Half-precision W is widened panel by
 * panel; the result has the bits of the same W in F32. How many rows there are and where a row
 * stands does not change its bits where the BLAS in use allows that (row_product.h). */
void sonde_op_linear(struct sonde_op_context *ctx, struct sonde_tensor y, struct sonde_tensor x,
                     const struct sonde_weight *w, const struct sonde_weight *b);

/* y[T, D] = table[ids[t], :]. */
void sonde_op_embedding(struct sonde_op_context *ctx, struct sonde_tensor y,
                        const struct sonde_weight *table, const int32_t *ids);

enum sonde_norm_kind {
    SONDE_NORM_LAYER, /* (x - mean) / sqrt(var + eps) */
    SONDE_NORM_RMS,   /* x / sqrt(mean(x^2) + eps) */
};
struct sonde_norm_args {
    enum sonde_norm_kind kind;
    double eps;
    const struct sonde_weight *gain; /* [D]; NULL or absent = 1 */
    const struct sonde_weight *bias; /* [D]; NULL or absent = 0 */
    float gain_offset;               /* added to the gain (1 for gemma) */
    struct sonde_tensor scale;       /* [T, 1] out: the denominator; data NULL = not wanted */
    struct sonde_tensor normalized;  /* [T, D] out: before gain and bias; data NULL = not wanted */
};
/* y[T, D] = norm(x[T, D]); moments accumulate in double. The normalized values are rounded to f32,
 * times (gain + gain_offset), plus bias, each rounded. y may be x. */
void sonde_op_norm(struct sonde_op_context *ctx, struct sonde_tensor y, struct sonde_tensor x,
                   const struct sonde_norm_args *args);

enum sonde_rotary_style {
    SONDE_ROTARY_HALF,        /* pairs (i, i + R/2): GPT-NeoX, Hugging Face llama */
    SONDE_ROTARY_INTERLEAVED, /* pairs (2i, 2i + 1): GPT-J, llama2.c */
};
/* cos and sin [n_positions, R/2] of position * theta^(-2i/R), computed in double. */
struct sonde_rotary_table {
    enum sonde_rotary_style style;
    int64_t n_positions, dims; /* R: rotated dims of a head, even, <= E; the rest passes through */
    const float *cos, *sin;
};
/* Fills cos and sin (caller's memory, n_positions * dims / 2 each) for inverse frequencies
 * inv_freq[dims / 2]; both are multiplied by attention_factor (1 in plain rotary). */
void sonde_rotary_fill(float *cos, float *sin, int64_t n_positions, int64_t dims,
                       const double *inv_freq, double attention_factor);
/* y[T, H, E] = x rotated; row t stands at position first + t. y may be x. (Su et al. 2021,
 * RoFormer) */
void sonde_op_rotary(struct sonde_op_context *ctx, struct sonde_tensor y, struct sonde_tensor x,
                     const struct sonde_rotary_table *table, int64_t first_position);

struct sonde_attention_args {
    float scale;    /* multiplies q.k */
    bool causal;    /* query t (absolute first + t) sees keys <= first + t */
    int64_t window; /* > 0 (causal only): and only the last `window` of these, itself included */
    int64_t first;  /* absolute position of query 0 (key-value cache); keys start at 0 */
    float softcap;  /* > 0: scores = cap * tanh(scores / cap), before the mask */
    /* [H, W] or data NULL: + bias[h][key - query + first + T - 1], after the softcap. W = first + T
     * where causal, else first + T + S - 1. Made by sonde_op_alibi or sonde_op_bucket_bias. */
    struct sonde_tensor bias;
    /* [R, E] or NULL: q.k becomes q.(k + relative[r]), r = key - query held within the table:
     * causal -(R - 1)..0, else -(R - 1) / 2..(R - 1) / 2 with R odd, its row r + that bound. Shared
     * by all heads (Shaw et al. 2018, "Self-attention with relative position representations",
     * equation 5, keys only). */
    const struct sonde_weight *relative;
    struct sonde_tensor scores;  /* [H, T, S] out: -inf where masked; data NULL = not wanted */
    struct sonde_tensor pattern; /* [H, T, S] out: softmax of the scores; data NULL = not wanted */
    /* Called for whole [H, T, S] values before they are used further, for edits; NULL = none. If
     * one is given the matching tensor above must be wanted. */
    void (*edit_scores)(void *ctx, struct sonde_tensor scores);
    void (*edit_pattern)(void *ctx, struct sonde_tensor pattern);
    void *edit_ctx;
};
/* z[T, H, E] = softmax(scale q k^T + mask) v; q[T, H, E], k[S, G, E], v[S, G, E], G divides H
 * (grouped heads: query head h reads key/value head h / (H / G)); E of v and z may differ from E of
 * q and k. Softmax denominators in double. Where nothing is wanted or edited no [H, T, S] array is
 * formed (one head's rows at a time). Masked keys weigh exactly 0 and never reach z, NaN included;
 * a row whose scores an edit made all -inf gives zeros. Edits may give weight to masked keys. */
void sonde_op_attention(struct sonde_op_context *ctx, struct sonde_tensor z, struct sonde_tensor q,
                        struct sonde_tensor k, struct sonde_tensor v,
                        const struct sonde_attention_args *args);
/* The floats of scratch that it takes at most with a pool of n_threads, or its vector-Jacobian
 * product, besides what relative positions take. E of q, k and v. */
int64_t sonde_op_attention_scratch(int64_t n_queries, int64_t n_keys, int64_t n_kv_heads,
                                   int64_t d_head, int n_threads, bool backward);

/* Biases of attention by distance, for n_queries in all (those of a cache included) and n_keys: see
 * `bias` above for the shape. Distance d = key - query.
 * alibi: -m_h |d| (Press et al. 2022, "Train short, test long"): m_h = 2^(-8 h / H), h = 1..H, for
 * H a power of two; else the slopes of the power of two below and then every other one of twice
 * that. Not learned: no gradient flows on. */
void sonde_op_alibi(struct sonde_op_context *ctx, struct sonde_tensor bias, int64_t n_queries);
/* bucket_bias: table[bucket(d), h] of table[B, H] (Raffel et al. 2020, T5, as transformers computes
 * it): distances below half of the buckets have one each, further ones share the rest evenly in
 * log distance up to max_distance. Not causal: half of the buckets for keys after the query, half
 * for the others; causal: keys after the query are masked anyhow. */
void sonde_op_bucket_bias(struct sonde_op_context *ctx, struct sonde_tensor bias,
                          const struct sonde_weight *table, int64_t n_queries, bool causal,
                          int64_t max_distance);
/* Rows of positions [first, first + n) of a table that is added to the embedding, table[n, D].
 * sinusoidal: sin(t / base^(2i / D)) in column 2i, the cosine in 2i + 1, computed in double
 * (Vaswani et al. 2017, section 3.5). cosine: cos(t pi) = +-1 in every column (Bhattamishra et al.
 * 2020, "On the ability and limitations of transformers to recognize formal languages", as their
 * code has it). */
void sonde_sinusoidal_fill(float *table, int64_t first, int64_t n, int64_t n_columns, double base);
void sonde_cosine_fill(float *table, int64_t first, int64_t n, int64_t n_columns);

/* result[T, H, D] = z[T, h, :] W_O[:, h]^T, each head's share of attn_out without the bias. */
void sonde_op_head_result(struct sonde_op_context *ctx, struct sonde_tensor result,
                          struct sonde_tensor z, const struct sonde_weight *w_o);

/* Tells the tape that whole[T, D] is the sum of shares[T, H, D] and what reads whole: a share's
 * gradient is the whole's. The shares are for watching; nothing flows on from them. */
void sonde_op_note_shares(struct sonde_op_context *ctx, const struct sonde_tensor *whole,
                          const struct sonde_tensor *shares);

enum sonde_activation {
    SONDE_ACTIVATION_GELU,      /* x Phi(x), erf form */
    SONDE_ACTIVATION_GELU_TANH, /* gelu_new, gelu_pytorch_tanh */
    SONDE_ACTIVATION_SILU,
    SONDE_ACTIVATION_RELU,
    SONDE_ACTIVATION_TANH,
    SONDE_ACTIVATION_SIGMOID,
    SONDE_ACTIVATION_QUICK_GELU, /* x sigmoid(1.702 x) */
    SONDE_ACTIVATION_RELU_SQUARED,
};
/* y = f(x), any shape. y may be x. */
void sonde_op_activation(struct sonde_op_context *ctx, struct sonde_tensor y, struct sonde_tensor x,
                         enum sonde_activation kind);
/* y = f(gate) * up. y may be gate or up. */
void sonde_op_gate(struct sonde_op_context *ctx, struct sonde_tensor y, struct sonde_tensor gate,
                   struct sonde_tensor up, enum sonde_activation kind);
/* y = a + b; y may be either. */
void sonde_op_add(struct sonde_op_context *ctx, struct sonde_tensor y, struct sonde_tensor a,
                  struct sonde_tensor b);
/* y = factor * x; y may be x. */
void sonde_op_scale(struct sonde_op_context *ctx, struct sonde_tensor y, struct sonde_tensor x,
                    float factor);
/* Rows of y[T, V] = softmax(x[T, V]) or log softmax; denominator in double. y may be x. A row with
 * NaN or +inf is NaN; one of nothing but -inf gives softmax 0 and log softmax NaN. */
void sonde_op_softmax(struct sonde_op_context *ctx, struct sonde_tensor y, struct sonde_tensor x);
void sonde_op_log_softmax(struct sonde_op_context *ctx, struct sonde_tensor y,
                          struct sonde_tensor x);
/* logits[T, V] = x[T, D] W_U^T + b_U (b absent = 0), then softcap where > 0. */
void sonde_op_unembed(struct sonde_op_context *ctx, struct sonde_tensor logits,
                      struct sonde_tensor x, const struct sonde_weight *w_u,
                      const struct sonde_weight *b_u, float softcap);

#endif
