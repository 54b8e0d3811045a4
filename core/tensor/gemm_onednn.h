/*
 * Products by oneDNN (https://github.com/oneapi-src/oneDNN, Debian: libdnnl-dev), which multiplies
 * numbers of 16 bits at twice the rate where the machine has AVX512_BF16: the one wrapper of
 * dnnl.h. An option of the build (meson -Donednn). The library is loaded when it is first asked
 * for, so a program that does not ask does not need it.
 *
 * Every product is single-threaded and of a fixed number of rows (SONDE_ONEDNN_ROWS, or one), so
 * its bits depend on the weight and the rows alone; parallelism is ours, over these tiles.
 */
#ifndef SONDE_CORE_TENSOR_GEMM_ONEDNN_H
#define SONDE_CORE_TENSOR_GEMM_ONEDNN_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/status.h"
#include "core/tensor/tensor.h"

enum { SONDE_ONEDNN_ROWS = 32 }; /* of a tile: oneDNN is as fast with these as with hundreds */

struct sonde_onednn; /* the library; immutable, may be shared by threads */

/* UNSUPPORTED where the build or the machine has no oneDNN. */
SONDE_MUST_USE enum sonde_status sonde_onednn_open(struct sonde_onednn **out,
                                                   struct sonde_error *error);
void sonde_onednn_close(struct sonde_onednn **onednn);
const char *sonde_onednn_name(const struct sonde_onednn *onednn); /* "oneDNN 2.6.3" */

/* A weight laid out as oneDNN likes it: a copy, of f32 or rounded to bf16. Immutable, may be shared
 * by threads; outlives neither the library nor needs the weight. */
struct sonde_onednn_weight;

/* UNSUPPORTED where oneDNN cannot multiply this on this machine (bf16 needs AVX-512). */
SONDE_MUST_USE enum sonde_status sonde_onednn_weight_create(struct sonde_onednn_weight **out,
                                                            const struct sonde_onednn *onednn,
                                                            const struct sonde_weight *w, bool bf16,
                                                            struct sonde_error *error);
void sonde_onednn_weight_destroy(struct sonde_onednn_weight **weight);
int64_t sonde_onednn_weight_bytes(const struct sonde_onednn_weight *weight);
/* Name of the kernel, "brg:avx512_core_bf16". */
const char *sonde_onednn_weight_kernel(const struct sonde_onednn_weight *weight);
/* Scratch of one product, to be aligned to 64. */
int64_t sonde_onednn_scratch_bytes(const struct sonde_onednn_weight *weight);

/* y[n, out] = x[n, in] W^T with n = SONDE_ONEDNN_ROWS, or 1 (with bits of its own). x holds f32 or
 * bf16 as the weight does, y f32; rows are contiguous. Thread: any. False where oneDNN failed,
 * which it does where memory is out. */
bool sonde_onednn_multiply(const struct sonde_onednn_weight *weight, int64_t n_rows, const void *x,
                           float *y, void *scratch);

#endif
