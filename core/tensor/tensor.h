/* Tensor: a by-value view of memory that somebody else owns. */
#ifndef SONDE_CORE_TENSOR_TENSOR_H
#define SONDE_CORE_TENSOR_TENSOR_H

#include <stdbool.h>
#include <stdint.h>

#include "core/tensor/dtype.h"

#define SONDE_RANK_MAX 4

/* Row-major f32 view: element (i, j, ..) is data[i * stride[0] + j * stride[1] + ..]. Strides count
 * elements. Unused dims are 1. data may be NULL in a "not wanted" output. */
struct sonde_tensor {
    float *data;
    int rank;
    int64_t dim[SONDE_RANK_MAX];
    int64_t stride[SONDE_RANK_MAX];
};

/* Contiguous views. */
struct sonde_tensor sonde_tensor_1d(float *data, int64_t n);
struct sonde_tensor sonde_tensor_2d(float *data, int64_t rows, int64_t columns);
struct sonde_tensor sonde_tensor_3d(float *data, int64_t n0, int64_t n1, int64_t n2);
int64_t sonde_tensor_elements(const struct sonde_tensor *t);
bool sonde_tensor_is_contiguous(const struct sonde_tensor *t);

/* A frozen weight as it lies in its (mapped) file: dtype F32, F16 or BF16, [rows, columns] or, for
 * a vector, rows = 1. Never owned. data must be aligned to the element. */
struct sonde_weight {
    const void *data;
    enum sonde_dtype dtype;
    int64_t rows, columns; /* as stored, row-major */
    bool transposed;       /* linear layers: false = stored [out, in] (nn.Linear), true = stored
                              [in, out] (GPT-2's Conv1D) */
};

static inline bool sonde_weight_present(const struct sonde_weight *w)
{
    return w->data != 0;
}
/* in and out of a linear layer, whatever the storage. */
static inline int64_t sonde_weight_out(const struct sonde_weight *w)
{
    return w->transposed ? w->columns : w->rows;
}
static inline int64_t sonde_weight_in(const struct sonde_weight *w)
{
    return w->transposed ? w->rows : w->columns;
}
/* Widens the stored row `row` into dst[columns]. */
void sonde_weight_row(const struct sonde_weight *w, int64_t row, float *dst);
/* Widens the linear map's output row o (the [in] weights of output o) into dst[in]. */
void sonde_weight_out_row(const struct sonde_weight *w, int64_t o, float *dst);
/* Widens the linear map's input column i (the [out] weights of input i) into dst[out]: for a
 * down-projection this is the value vector of neuron i. */
void sonde_weight_in_column(const struct sonde_weight *w, int64_t i, float *dst);
/* Widens the stored block of n_rows x n_columns elements at (row, column) into
 * dst[n_rows, n_columns]. */
void sonde_weight_block(const struct sonde_weight *w, int64_t row, int64_t n_rows, int64_t column,
                        int64_t n_columns, float *dst);

#endif
