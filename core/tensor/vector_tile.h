/*
 * The body of a product, for the one file of each target that includes it. That file defines
 * TILE_TARGET (a function attribute), TILE_NAME and TILE_DOTS_NAME (the functions), struct-free
 * vector operations `tile_lanes`, tile_spread and tile_fuse, and how many accumulators the
 * registers hold: TILE_ROWS x TILE_VECTORS, of TILE_LANES floats each. For the dots: tile_join(b,
 * stride), the first four values of the rows 0, 4, 8.. behind each other; tile_turn, which
 * transposes each four by four of four such vectors.
 */
#ifndef SONDE_CORE_TENSOR_VECTOR_TILE_H
#define SONDE_CORE_TENSOR_VECTOR_TILE_H

#include <stdint.h>
#include <string.h>

#include "core/tensor/vector_product.h"

#ifdef TILE_TARGET

#define TILE_BODY TILE_TARGET static inline __attribute__((always_inline))

/* One tile: `rows` and `vectors` are constants where this is inlined, n_columns <= vectors *
 * TILE_LANES are written. */
TILE_BODY void tile(const struct sonde_product *p, int64_t row, int64_t column, int rows,
                    int vectors)
{
    const float *a = p->a + row * p->a_stride, *b = p->b + column;
    float *c = p->c + row * p->c_stride + column;
    const int64_t a_stride = p->a_stride, a_step = p->a_step, b_stride = p->b_stride;
    const int64_t n_inner = p->n_inner, n_columns = p->n_columns - column;
    tile_lanes sum[TILE_ROWS][TILE_VECTORS];
    float edge[TILE_VECTORS * TILE_LANES] = { 0 };
    const bool whole = n_columns >= vectors * TILE_LANES;
    const size_t edge_bytes = (size_t)n_columns * sizeof(float);
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++) {
        const float *from = c + i * p->c_stride;
        if (p->add && !whole) {
            memcpy(edge, from, edge_bytes);
            from = edge;
        }
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++) {
            sum[i][v] = (tile_lanes){ 0 };
            if (p->add) {
                memcpy(&sum[i][v], from + v * TILE_LANES, sizeof(sum[i][v]));
            }
        }
    }
    for (int64_t k = 0; k < n_inner; k++) {
        tile_lanes values[TILE_VECTORS];
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++) {
            memcpy(&values[v], b + k * b_stride + v * TILE_LANES, sizeof(values[v]));
        }
#pragma GCC unroll 8
        for (int i = 0; i < rows; i++) {
            const tile_lanes factor = tile_spread(a[i * a_stride + k * a_step]);
#pragma GCC unroll 8
            for (int v = 0; v < vectors; v++) {
                sum[i][v] = tile_fuse(factor, values[v], sum[i][v]);
            }
        }
    }
    const tile_lanes scale = tile_spread(p->scale), zero = { 0 };
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++) {
        float *to = c + i * p->c_stride;
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++) {
            /* + 0: a chain that underflowed to -0 is 0 whatever zeros it goes on with. */
            const tile_lanes value = tile_fuse(sum[i][v], scale, zero);
            memcpy((whole ? to : edge) + v * TILE_LANES, &value, sizeof(value));
        }
        if (!whole) {
            memcpy(to, edge, edge_bytes);
        }
    }
}

/* Tiles of all rows at one column. */
TILE_BODY void tile_column(const struct sonde_product *p, int64_t column, int vectors)
{
    int64_t row = 0;
    for (; row + TILE_ROWS <= p->n_rows; row += TILE_ROWS) {
        tile(p, row, column, TILE_ROWS, vectors);
    }
    for (; TILE_ROWS > 4 && row + 3 <= p->n_rows; row += 3) {
        tile(p, row, column, TILE_ROWS > 4 ? 3 : 1, vectors);
    }
    for (; row < p->n_rows; row++) {
        tile(p, row, column, 1, vectors);
    }
}

TILE_TARGET void TILE_NAME(const struct sonde_product *p)
{
    const int64_t n_columns = sonde_product_columns(p->n_columns);
    int64_t column = 0;
    for (; column + TILE_VECTORS * TILE_LANES <= n_columns; column += TILE_VECTORS * TILE_LANES) {
        tile_column(p, column, TILE_VECTORS);
    }
    const int64_t rest = (n_columns - column) / TILE_LANES;
    if (rest == 3 && TILE_VECTORS > 3) {
        tile_column(p, column, TILE_VECTORS > 3 ? 3 : 1);
    } else if (rest == 2 && TILE_VECTORS > 2) {
        tile_column(p, column, TILE_VECTORS > 2 ? 2 : 1);
    } else if (rest == 1) {
        tile_column(p, column, 1);
    }
}

enum { DOT_ROWS = 4, DOT_AHEAD = 16 /* a line of the cache */ };

/* Dots of `rows` rows of A with TILE_LANES rows of B, a lane each. Rows of B may lie far apart,
 * where the processor does not look ahead by itself. */
TILE_BODY void dots(const struct sonde_product *p, int64_t row, int64_t column, int rows)
{
    const float *a = p->a + row * p->a_stride, *b = p->b + column * p->b_stride;
    const int64_t stride = p->b_stride, n = p->n_columns - column;
    const bool whole = n >= TILE_LANES;
    const int64_t n_ahead = n - TILE_LANES < TILE_LANES ? n - TILE_LANES : TILE_LANES;
    tile_lanes sum[DOT_ROWS] = { { 0 } };
    int64_t k = 0;
    for (int64_t j = TILE_LANES; j < TILE_LANES + n_ahead; j++) {
        for (int64_t i = 0; i < p->n_inner; i += DOT_AHEAD) {
            __builtin_prefetch(b + j * stride + i);
        }
    }
    for (; whole && k + 4 <= p->n_inner; k += 4) {
        tile_lanes values[4];
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) {
            values[j] = tile_join(b + j * stride + k, stride);
        }
        tile_turn(values);
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) {
#pragma GCC unroll 4
            for (int i = 0; i < rows; i++) {
                const tile_lanes factor = tile_spread(a[i * p->a_stride + (k + j) * p->a_step]);
                sum[i] = tile_fuse(factor, values[j], sum[i]);
            }
        }
    }
    for (; k < p->n_inner; k++) {
        float column_values[TILE_LANES] = { 0 };
        tile_lanes values;
        for (int64_t j = 0; j < TILE_LANES && j < n; j++) {
            column_values[j] = b[j * stride + k];
        }
        memcpy(&values, column_values, sizeof(values));
#pragma GCC unroll 4
        for (int i = 0; i < rows; i++) {
            const tile_lanes factor = tile_spread(a[i * p->a_stride + k * p->a_step]);
            sum[i] = tile_fuse(factor, values, sum[i]);
        }
    }
    const tile_lanes scale = tile_spread(p->scale), zero = { 0 };
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++) {
        const tile_lanes value = tile_fuse(sum[i], scale, zero);
        memcpy(p->c + (row + i) * p->c_stride + column, &value,
               whole ? sizeof(value) : (size_t)n * sizeof(float));
    }
}

/* Dots of all rows of A. */
TILE_BODY void dots_column(const struct sonde_product *p, int64_t column)
{
    int64_t row = 0;
    for (; row + DOT_ROWS <= p->n_rows; row += DOT_ROWS) {
        dots(p, row, column, DOT_ROWS);
    }
    const int64_t rest = p->n_rows - row;
    if (rest == 3) {
        dots(p, row, column, 3);
    } else if (rest == 2) {
        dots(p, row, column, 2);
    } else if (rest == 1) {
        dots(p, row, column, 1);
    }
}

/* The last columns are computed with some before them, once more to the same bits. */
TILE_TARGET void TILE_DOTS_NAME(const struct sonde_product *p)
{
    int64_t column = 0;
    for (; column + TILE_LANES <= p->n_columns; column += TILE_LANES) {
        dots_column(p, column);
    }
    if (column < p->n_columns) {
        dots_column(p, p->n_columns < TILE_LANES ? 0 : p->n_columns - TILE_LANES);
    }
}

#endif
#endif
