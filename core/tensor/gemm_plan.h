/*
 * How a model's linear products are computed where that is not OpenBLAS in f32: by oneDNN, in f32
 * or with both factors rounded to bfloat16 and their products summed in f32. The weights are laid
 * out once, when the plan is made; attention, norms, softmax and everything else stay in f32.
 */
#ifndef SONDE_CORE_TENSOR_GEMM_PLAN_H
#define SONDE_CORE_TENSOR_GEMM_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/status.h"
#include "core/tensor/ops.h"

enum sonde_compute {
    SONDE_COMPUTE_F32,
    SONDE_COMPUTE_BF16, /* |error| of a product <= about 2^-7 sum |x w| (two roundings of 2^-8) */
};
enum sonde_gemm_backend {
    SONDE_GEMM_OPENBLAS,
    SONDE_GEMM_ONEDNN,
};

struct sonde_gemm_plan; /* immutable once the weights are added; shared by threads */

/* UNSUPPORTED where the build or the machine has no oneDNN. */
SONDE_MUST_USE enum sonde_status sonde_gemm_plan_create(struct sonde_gemm_plan **out,
                                                        enum sonde_compute compute,
                                                        struct sonde_error *error);
void sonde_gemm_plan_destroy(struct sonde_gemm_plan **plan);
/* Lays out a copy of the weight, which is from then on found by its place. Where oneDNN cannot
 * multiply by it on this machine (bf16 without AVX-512) nothing is added: such products, like those
 * with a part of a weight, are OpenBLAS's, of rounded factors where the plan is for bf16. Absent
 * and already added weights are passed over. */
SONDE_MUST_USE enum sonde_status sonde_gemm_plan_add(struct sonde_gemm_plan *plan,
                                                     const struct sonde_weight *w,
                                                     struct sonde_error *error);
bool sonde_gemm_plan_rounds(const struct sonde_gemm_plan *plan); /* to bf16; NULL: false */
/* Whether every weight was laid out, and a row of each product has the same bits wherever it
 * stands in its tile: tried with equal rows when the weight was added. */
bool sonde_gemm_plan_rows_are_free(const struct sonde_gemm_plan *plan);
int64_t sonde_gemm_plan_bytes(const struct sonde_gemm_plan *plan); /* of the laid out weights */
/* Floats of scratch that one op takes at most for each thread. */
int64_t sonde_gemm_plan_scratch(const struct sonde_gemm_plan *plan);
/* "bf16 by oneDNN 2.6.3 brg:avx512_core_bf16". The text belongs to the plan. */
const char *sonde_gemm_plan_name(const struct sonde_gemm_plan *plan);

/* For sonde_op_linear: y = x W^T + bias by the plan, bias [out] or NULL. False where the plan (or
 * NULL) has no such weight; where scratch is out, ctx->failed. */
bool sonde_gemm_plan_multiply(struct sonde_op_context *ctx, const struct sonde_weight *w,
                              const float *bias, struct sonde_tensor y, struct sonde_tensor x);
/* Rounds n values to the nearest bfloat16. */
void sonde_gemm_round_bf16(float *values, int64_t n);

#endif
