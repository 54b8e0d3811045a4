#include <assert.h>
#include <math.h>
#include <string.h>

#include "core/tensor/op_common.h"

void sonde_rotary_fill(float *cos_table, float *sin_table, int64_t n_positions, int64_t dims,
                       const double *inv_freq, double attention_factor)
{
    const int64_t n_pairs = dims / 2;
    for (int64_t p = 0; p < n_positions; p++) {
        for (int64_t i = 0; i < n_pairs; i++) {
            const double angle = (double)p * inv_freq[i];
            cos_table[p * n_pairs + i] = (float)(cos(angle) * attention_factor);
            sin_table[p * n_pairs + i] = (float)(sin(angle) * attention_factor);
        }
    }
}

struct rotary {
    struct sonde_tensor x, y; /* [T, H, E] */
    const struct sonde_rotary_table *table;
    int64_t first_position;
};

static void rotate_head(float *y, const float *x, int64_t d_head,
                        const struct sonde_rotary_table *table, int64_t position)
{
    const int64_t n_pairs = table->dims / 2;
    const float *cos_row = table->cos + position * n_pairs;
    const float *sin_row = table->sin + position * n_pairs;
    const bool half = table->style == SONDE_ROTARY_HALF;
    for (int64_t i = 0; i < n_pairs; i++) {
        const int64_t a = half ? i : 2 * i;
        const int64_t b = half ? i + n_pairs : 2 * i + 1;
        const float xa = x[a], xb = x[b];
        y[a] = xa * cos_row[i] - xb * sin_row[i];
        y[b] = xb * cos_row[i] + xa * sin_row[i];
    }
    if (y != x) {
        memcpy(y + table->dims, x + table->dims, (size_t)(d_head - table->dims) * sizeof(float));
    }
}

static void rotary_rows(void *arg, int64_t first, int64_t last)
{
    const struct rotary *r = arg;
    for (int64_t t = first; t < last; t++) {
        for (int64_t h = 0; h < r->x.dim[1]; h++) {
            rotate_head(r->y.data + t * r->y.stride[0] + h * r->y.stride[1],
                        r->x.data + t * r->x.stride[0] + h * r->x.stride[1], r->x.dim[2], r->table,
                        r->first_position + t);
        }
    }
}

void sonde_op_rotary(struct sonde_op_context *ctx, struct sonde_tensor y, struct sonde_tensor x,
                     const struct sonde_rotary_table *table, int64_t first_position)
{
    if (!sonde_op_ready(ctx)) {
        return;
    }
    assert(x.rank == 3 && y.rank == 3 && x.stride[2] == 1 && y.stride[2] == 1);
    assert(x.dim[0] == y.dim[0] && x.dim[1] == y.dim[1] && x.dim[2] == y.dim[2]);
    assert(table->dims % 2 == 0 && table->dims <= x.dim[2]);
    assert(first_position >= 0 && first_position + x.dim[0] <= table->n_positions);
    struct rotary rotary = { .x = x, .y = y, .table = table, .first_position = first_position };
    sonde_op_split_rows(ctx, x.dim[0], x.dim[1] * x.dim[2], rotary_rows, &rotary);
}
