/* Positions: biases of attention by distance, and fixed tables that are added to the embedding. */
#include <assert.h>
#include <math.h>

#include "core/tensor/op_common.h"
#include "core/tensor/tape.h"

void sonde_sinusoidal_fill(float *table, int64_t first, int64_t n, int64_t n_columns, double base)
{
    for (int64_t c = 0; c < n_columns; c += 2) {
        const double frequency = pow(base, -(double)c / (double)n_columns);
        for (int64_t t = 0; t < n; t++) {
            const double angle = (double)(first + t) * frequency;
            table[t * n_columns + c] = (float)sin(angle);
            if (c + 1 < n_columns) {
                table[t * n_columns + c + 1] = (float)cos(angle);
            }
        }
    }
}

void sonde_cosine_fill(float *table, int64_t first, int64_t n, int64_t n_columns)
{
    for (int64_t t = 0; t < n; t++) {
        for (int64_t c = 0; c < n_columns; c++) {
            table[t * n_columns + c] = (first + t) % 2 ? -1.0f : 1.0f;
        }
    }
}

/* The slope of head h of n heads. */
static double alibi_slope(int64_t h, int64_t n)
{
    int64_t power = 1;
    while (2 * power <= n) {
        power *= 2;
    }
    return h < power ? exp2(-8.0 * (double)(h + 1) / (double)power)
                     : exp2(-8.0 * (double)(2 * (h - power) + 1) / (double)(2 * power));
}

void sonde_op_alibi(struct sonde_op_context *ctx, struct sonde_tensor bias, int64_t n_queries)
{
    if (!sonde_op_ready(ctx)) {
        return;
    }
    assert(bias.rank == 2 && sonde_tensor_is_contiguous(&bias));
    for (int64_t h = 0; h < bias.dim[0]; h++) {
        const double slope = alibi_slope(h, bias.dim[0]);
        for (int64_t i = 0; i < bias.dim[1]; i++) {
            const int64_t distance = i - (n_queries - 1);
            bias.data[h * bias.dim[1] + i] =
                (float)(-slope * (double)(distance < 0 ? -distance : distance));
        }
    }
    if (ctx->tape) { /* what stood there before is gone */
        (void)sonde_tape_define(ctx, bias.data, sonde_tensor_elements(&bias));
    }
}

struct buckets {
    int64_t bias_value, n_queries, n_columns, max_distance;
    bool causal;
    struct sonde_weight table; /* [B, H] */
};

/* Below this, a quotient of logarithms counts as the whole number that it is but for rounding. */
static const double whole = 1e-9;

static int64_t bucket_of(const struct buckets *b, int64_t column)
{
    int64_t n = b->table.rows, first = 0, distance = b->n_queries - 1 - column; /* query - key */
    if (!b->causal) {
        n /= 2;
        first = distance < 0 ? n : 0;
        distance = distance < 0 ? -distance : distance;
    }
    const int64_t exact = n / 2;
    if (distance < sonde_max_i64(exact, 1)) {
        return first + sonde_min_i64(sonde_max_i64(distance, 0), n - 1);
    }
    if (exact == 0 || b->max_distance <= exact) {
        return first + n - 1;
    }
    const double share = log((double)distance / (double)exact) /
                         log((double)b->max_distance / (double)exact) * (double)(n - exact);
    return first + sonde_min_i64(exact + (int64_t)(share + whole), n - 1);
}

static void bucket_vjp(struct sonde_op_context *ctx, const void *record)
{
    const struct buckets *b = record;
    const float *d_bias = sonde_tape_incoming(ctx, b->bias_value);
    float *d_table = sonde_tape_into_weight(ctx, &b->table);
    const int64_t H = b->table.columns;
    for (int64_t i = 0; i < b->n_columns && d_table; i++) {
        const int64_t bucket = bucket_of(b, i);
        for (int64_t h = 0; h < H; h++) {
            d_table[bucket * H + h] += d_bias[h * b->n_columns + i];
        }
    }
}

void sonde_op_bucket_bias(struct sonde_op_context *ctx, struct sonde_tensor bias,
                          const struct sonde_weight *table, int64_t n_queries, bool causal,
                          int64_t max_distance)
{
    if (!sonde_op_ready(ctx)) {
        return;
    }
    assert(bias.rank == 2 && sonde_tensor_is_contiguous(&bias));
    assert(table->columns == bias.dim[0] && !table->transposed);
    struct buckets b = { -1, n_queries, bias.dim[1], max_distance, causal, *table };
    struct buckets *record = ctx->tape ? sonde_tape_alloc(ctx, 1, sizeof(*record)) : NULL;
    if (record) {
        b.bias_value = sonde_tape_define(ctx, bias.data, sonde_tensor_elements(&bias));
        *record = b;
        sonde_tape_push(ctx, b.bias_value, bucket_vjp, record);
    }
    const struct sonde_arena_mark mark = sonde_arena_mark(ctx->arena);
    const float *wide = sonde_op_vector(ctx, table, table->rows * table->columns);
    for (int64_t i = 0; i < bias.dim[1] && wide; i++) {
        const int64_t bucket = bucket_of(&b, i);
        for (int64_t h = 0; h < bias.dim[0]; h++) {
            bias.data[h * bias.dim[1] + i] = wide[bucket * bias.dim[0] + h];
        }
    }
    sonde_arena_rewind(ctx->arena, mark);
}
