#include <assert.h>
#include <math.h>
#include <string.h>

#include "core/tensor/op_common.h"
#include "core/tensor/tape.h"

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

struct rotary_record {
    int64_t x, y, n_rows, n_heads, d_head, dims;
    enum sonde_rotary_style style;
    const float *cos, *sin; /* [T, dims / 2], the rows that were used */
};

struct rotary_gradient {
    const struct rotary_record *r;
    const float *dy;
    float *dx;
};

/* The transposed matrix of each pair. */
static void rotary_vjp_rows(void *arg, int64_t first, int64_t last)
{
    const struct rotary_gradient *a = arg;
    const struct rotary_record *r = a->r;
    const int64_t n_pairs = r->dims / 2;
    const bool half = r->style == SONDE_ROTARY_HALF;
    for (int64_t row = first * r->n_heads; row < last * r->n_heads; row++) {
        const float *cos_row = r->cos + row / r->n_heads * n_pairs;
        const float *sin_row = r->sin + row / r->n_heads * n_pairs;
        const float *dy = a->dy + row * r->d_head;
        float *dx = a->dx + row * r->d_head;
        for (int64_t i = 0; i < n_pairs; i++) {
            const int64_t p = half ? i : 2 * i, q = half ? i + n_pairs : 2 * i + 1;
            dx[p] += dy[p] * cos_row[i] + dy[q] * sin_row[i];
            dx[q] += dy[q] * cos_row[i] - dy[p] * sin_row[i];
        }
        for (int64_t e = r->dims; e < r->d_head; e++) {
            dx[e] += dy[e];
        }
    }
}

static void rotary_vjp(struct sonde_op_context *ctx, const void *record)
{
    const struct rotary_record *r = record;
    struct rotary_gradient a = { r, sonde_tape_incoming(ctx, r->y), sonde_tape_into(ctx, r->x) };
    if (a.dx) {
        sonde_op_split_rows(ctx, r->n_rows, r->n_heads * r->d_head, rotary_vjp_rows, &a);
    }
}

static void record_rotary(struct sonde_op_context *ctx, const struct sonde_tensor *y,
                          const struct sonde_tensor *x, const struct sonde_rotary_table *table,
                          int64_t first_position)
{
    const int64_t n_pairs = table->dims / 2, n = x->dim[0] * n_pairs;
    struct rotary_record *r = sonde_tape_alloc(ctx, 1, sizeof(*r));
    float *cosines = sonde_tape_alloc(ctx, n, sizeof(*cosines));
    float *sines = sonde_tape_alloc(ctx, n, sizeof(*sines));
    if (!r || !cosines || !sines) {
        return;
    }
    memcpy(cosines, table->cos + first_position * n_pairs, (size_t)n * sizeof(*cosines));
    memcpy(sines, table->sin + first_position * n_pairs, (size_t)n * sizeof(*sines));
    *r = (struct rotary_record){ .n_rows = x->dim[0],
                                 .n_heads = x->dim[1],
                                 .d_head = x->dim[2],
                                 .dims = table->dims,
                                 .style = table->style,
                                 .cos = cosines,
                                 .sin = sines };
    r->x = sonde_tape_use(ctx, x);
    r->y = sonde_tape_define(ctx, y->data, sonde_tensor_elements(y));
    sonde_tape_push(ctx, r->y, rotary_vjp, r);
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
    if (ctx->tape) {
        record_rotary(ctx, &y, &x, table, first_position);
    }
    struct rotary rotary = { .x = x, .y = y, .table = table, .first_position = first_position };
    sonde_op_split_rows(ctx, x.dim[0], x.dim[1] * x.dim[2], rotary_rows, &rotary);
}
