#include "core/tensor/tensor.h"

#include <assert.h>

static struct sonde_tensor contiguous(float *data, int rank, int64_t n0, int64_t n1, int64_t n2)
{
    assert(n0 >= 0 && n1 >= 0 && n2 >= 0);
    struct sonde_tensor t = { .data = data, .rank = rank, .dim = { n0, n1, n2, 1 } };
    t.stride[3] = 1;
    for (int i = SONDE_RANK_MAX - 2; i >= 0; i--) {
        t.stride[i] = t.stride[i + 1] * t.dim[i + 1];
    }
    return t;
}

struct sonde_tensor sonde_tensor_1d(float *data, int64_t n)
{
    return contiguous(data, 1, n, 1, 1);
}

struct sonde_tensor sonde_tensor_2d(float *data, int64_t rows, int64_t columns)
{
    return contiguous(data, 2, rows, columns, 1);
}

struct sonde_tensor sonde_tensor_3d(float *data, int64_t n0, int64_t n1, int64_t n2)
{
    return contiguous(data, 3, n0, n1, n2);
}

int64_t sonde_tensor_elements(const struct sonde_tensor *t)
{
    int64_t n = 1;
    for (int i = 0; i < t->rank; i++) {
        n *= t->dim[i];
    }
    return n;
}

bool sonde_tensor_is_contiguous(const struct sonde_tensor *t)
{
    int64_t expected = 1;
    for (int i = t->rank - 1; i >= 0; i--) {
        if (t->dim[i] > 1 && t->stride[i] != expected) {
            return false;
        }
        expected *= t->dim[i];
    }
    return true;
}

static const unsigned char *element_at(const struct sonde_weight *w, int64_t row, int64_t column)
{
    const size_t bytes = sonde_dtype_size(w->dtype);
    return (const unsigned char *)w->data + (size_t)(row * w->columns + column) * bytes;
}

void sonde_weight_row(const struct sonde_weight *w, int64_t row, float *dst)
{
    assert(row >= 0 && row < w->rows);
    sonde_dtype_widen(w->dtype, element_at(w, row, 0), dst, w->columns);
}

static void widen_column(const struct sonde_weight *w, int64_t column, float *dst)
{
    assert(column >= 0 && column < w->columns);
    for (int64_t row = 0; row < w->rows; row++) {
        sonde_dtype_widen(w->dtype, element_at(w, row, column), dst + row, 1);
    }
}

void sonde_weight_out_row(const struct sonde_weight *w, int64_t o, float *dst)
{
    if (w->transposed) {
        widen_column(w, o, dst);
    } else {
        sonde_weight_row(w, o, dst);
    }
}

void sonde_weight_in_column(const struct sonde_weight *w, int64_t i, float *dst)
{
    if (w->transposed) {
        sonde_weight_row(w, i, dst);
    } else {
        widen_column(w, i, dst);
    }
}

void sonde_weight_block(const struct sonde_weight *w, int64_t row, int64_t n_rows, int64_t column,
                        int64_t n_columns, float *dst)
{
    assert(row >= 0 && n_rows >= 0 && row + n_rows <= w->rows);
    assert(column >= 0 && n_columns >= 0 && column + n_columns <= w->columns);
    for (int64_t r = 0; r < n_rows; r++) {
        sonde_dtype_widen(w->dtype, element_at(w, row + r, column), dst + r * n_columns, n_columns);
    }
}
