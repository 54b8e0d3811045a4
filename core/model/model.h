/*
 * Model: a frozen transformer, immutable after open and shared by threads. Session: all mutable
 * state of running it; one per thread.
 */
#ifndef SONDE_CORE_MODEL_MODEL_H
#define SONDE_CORE_MODEL_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/arena.h"
#include "core/base/pool.h"
#include "core/base/progress.h"
#include "core/base/status.h"
#include "core/model/spec.h"
#include "core/tensor/gemm_plan.h"
#include "core/text/tokenizer.h"
#include "core/trace/hook.h"
#include "core/trace/stream.h"

struct sonde_model; /* opaque */

struct sonde_model_options {
    const char *tokenizer_path;   /* NULL = beside the weights */
    bool allow_missing_tokenizer; /* a model whose tokenizer is not there, or of a kind that is not
                                     supported (a warning), opens; tokenizer() is NULL */
    bool random_weights; /* same shapes, weights drawn anew: the random-weights baseline. Matrices
                            ~ N(0, 0.02^2) (embeddings too), gains 1, biases 0 */
    uint64_t seed;       /* of random_weights; 0 = 42 */
    /* How linear products are computed (core/tensor/gemm_plan.h): by OpenBLAS in f32, or by oneDNN
     * with a copy of the weights (half of the size with bf16; UNSUPPORTED where there is none). */
    enum sonde_compute compute;
    enum sonde_gemm_backend gemm; /* bf16 is always oneDNN's */
};

/* MODEL: a Hugging Face folder, a llama2.c .bin (tokenizer: tok*.bin or tokenizer.bin beside it), a
 * PyTorch checkpoint .pt or .pth of a causal nn.TransformerEncoder (no tokenizer: by ids). */
SONDE_MUST_USE enum sonde_status sonde_model_open(struct sonde_model **out, const char *path,
                                                  const struct sonde_model_options *options,
                                                  struct sonde_error *error);
void sonde_model_close(struct sonde_model **model);

const struct sonde_spec *sonde_model_spec(const struct sonde_model *model);
const struct sonde_weights *sonde_model_weights(const struct sonde_model *model);
const struct sonde_tokenizer *sonde_model_tokenizer(const struct sonde_model *model); /* or NULL */
const char *sonde_model_path(const struct sonde_model *model);
const char *sonde_model_config_json(const struct sonde_model *model); /* verbatim; "" for .bin */
/* SHA-256 over the weight files' bytes in order of their names, hex; computed at the first call
 * (thread-safe), which may fail. Of the files also where the weights were drawn anew. */
SONDE_MUST_USE enum sonde_status sonde_model_hash(const struct sonde_model *model, const char **hex,
                                                  struct sonde_error *error);
int64_t sonde_model_parameters(const struct sonde_model *model);
int64_t sonde_model_file_bytes(const struct sonde_model *model);
/* Dtype of the weight matrices ("f32", "bf16", "mixed"). */
const char *sonde_model_dtype_name(const struct sonde_model *model);
/* How its linear products are computed, e.g. "bf16 by oneDNN 2.6.3 brg:avx512_core_bf16"; NULL: by
 * OpenBLAS in f32. */
const char *sonde_model_compute_name(const struct sonde_model *model);
/* Lines worth a warning: extra tensors in the files, non-finite weights. */
int sonde_model_n_warnings(const struct sonde_model *model);
const char *sonde_model_warning(const struct sonde_model *model, int i);
const struct sonde_site_set *sonde_model_sites(const struct sonde_model *model);

/* The families that can be loaded, for `sonde models`: an array of n. model_types as config.json
 * writes them, "a, b"; "" and family NULL where there is no config.json. */
struct sonde_family; /* of the loader's own use */
struct sonde_family_info {
    const char *name, *model_types, *summary;
    const struct sonde_family *family;
};
const struct sonde_family_info *sonde_families(int *n);

struct sonde_session; /* opaque */

struct sonde_session_options {
    int64_t max_tokens;      /* longest sequence; 0 = the model's n_ctx */
    bool cache;              /* keep keys and values, for generation */
    size_t max_bytes;        /* most scratch memory; 0 = no limit */
    struct sonde_pool *pool; /* used inside one pass (long sequences); may be NULL */
};
SONDE_MUST_USE enum sonde_status sonde_session_create(struct sonde_session **out,
                                                      const struct sonde_model *model,
                                                      const struct sonde_session_options *options,
                                                      struct sonde_error *error);
void sonde_session_destroy(struct sonde_session **session);
/* Bytes that a pass over n_tokens takes at most with these sites wanted (the plan, not a guess). */
int64_t sonde_session_plan_bytes(const struct sonde_model *model, int64_t n_tokens,
                                 const struct sonde_site_set *observe);
/* The same of a pass over several sequences: n_rows tokens in all, of which `longest` in one. */
int64_t sonde_session_plan_pack_bytes(const struct sonde_model *model, int64_t n_rows,
                                      int64_t longest, const struct sonde_site_set *observe);
/* What each further thread of the session's pool adds. */
int64_t sonde_session_plan_thread_bytes(const struct sonde_model *model, int64_t longest);
/* Gives back the scratch memory that is kept between passes. */
void sonde_session_trim(struct sonde_session *session);

/* A stretch of a pass, for a backward one that keeps only the stream between the blocks. Stages: 0
 * is the embedding, k block k - 1, n_layers + 1 the end (final norm and logits). */
struct sonde_forward_part {
    int first, last; /* stages, both included */
    const float *in; /* [T, D] the stream that enters; not read where first is 0 */
    float *out;      /* [T, D] the stream that leaves, unless last is the end; NULL = not wanted */
    /* Out, with a tape: the numbers of these two values, watched; -1 where there is none. */
    int64_t value_in, value_out;
};

/* One sequence of a pass over several: as the fields of the same name below. */
struct sonde_forward_segment {
    const int32_t *ids;
    int64_t n_tokens;
    const int32_t *token_types;
    const struct sonde_hook *hooks; /* see the values of this sequence alone */
    int n_hooks;
};

struct sonde_forward_args {
    const int32_t *ids;             /* [n_tokens], each in [0, V) (checked) */
    int64_t n_tokens;               /* >= 1 */
    const int32_t *token_types;     /* NULL = zeros; encoders */
    const struct sonde_hook *hooks; /* called in order at every site */
    int n_hooks;
    int stop_after_layer; /* 0 = run all; k = blocks 0..k-1 only, no final norm. */
    bool no_logits;       /* true = the final norm and logits are formed only if observed */
    float *logits_last;   /* [V] or NULL: logits of the last position (generation) */
    /* NULL, or what records the pass for a backward one (core/tensor/tape.h, gradient.h): then no
     * cache, and edits by hooks with on_edit_gradient only, which outlive the tape's use. An
     * observer may ask it for the value at its site. */
    struct sonde_tape *tape;
    struct sonde_forward_part *part; /* NULL = the whole pass; without a cache */
    /* n_segments > 0: this many sequences in one pass instead of the one that ids to n_hooks give;
     * without cache, tape, part and logits_last. Each gets the bits of a pass of its own where
     * sonde_model_rows_stand_alone. An error says nothing of which sequence it is about. */
    const struct sonde_forward_segment *segments;
    int n_segments;
};
/* Whether a row of this model's matrix products has the same bits at any place among any number of
 * rows, with the BLAS in use: found by multiplying, milliseconds for a model of 768. Thread: any.
 */
bool sonde_model_rows_stand_alone(const struct sonde_model *model);
/* One pass. With a cache the tokens continue after those fed before. Non-finite activations are
 * counted, see sonde_session_nonfinite. */
SONDE_MUST_USE enum sonde_status sonde_forward(struct sonde_session *session,
                                               const struct sonde_forward_args *args,
                                               struct sonde_error *error);
/* NaN and infinities met in the residual streams and logits of all passes since creation. */
int64_t sonde_session_nonfinite(const struct sonde_session *session);
/* Most scratch bytes that were in use at once. */
int64_t sonde_session_peak_bytes(const struct sonde_session *session);
/* Forgets the cached keys and values. */
void sonde_session_reset(struct sonde_session *session);
int64_t sonde_session_cached(const struct sonde_session *session);

/* The readout of the lens: final norm computed on x itself, then the unembedding, for n rows:
 * logits[n, V] = unembed(ln_final(x[n, D])). x is untouched. The same kernels as the forward pass:
 * at hook_resid_post of the last layer the result equals the model's logits. scratch may be shared
 * by calls on one thread. Masked-LM encoders apply their head. `vocab_first`, `vocab_count`: only
 * these rows of the unembedding (0, 0 = all), so that no [n, V] array need exist. */
SONDE_MUST_USE enum sonde_status sonde_model_readout(const struct sonde_model *model,
                                                     struct sonde_arena *scratch, const float *x,
                                                     int64_t n, int64_t vocab_first,
                                                     int64_t vocab_count, float *logits,
                                                     struct sonde_error *error);

#endif
