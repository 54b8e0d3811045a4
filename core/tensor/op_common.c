#include "core/tensor/op_common.h"

#include <assert.h>

/* A block is small enough for the first-level cache and large enough to hide the call; below
 * SPREAD_ELEMENTS waking the other threads costs more than it brings. */
enum { BLOCK_ELEMENTS = 8192, SPREAD_ELEMENTS = 65536 };

bool sonde_op_ready(const struct sonde_op_context *ctx)
{
    assert(ctx->arena);
    return !ctx->failed;
}

float *sonde_op_scratch(struct sonde_op_context *ctx, int64_t n_floats)
{
    float *scratch = sonde_arena_alloc(ctx->arena, n_floats, sizeof(float));
    if (!scratch) {
        ctx->failed = true;
    }
    return scratch;
}

struct split {
    int64_t n_rows, block;
    void (*run)(void *arg, int64_t first, int64_t last);
    void *arg;
};

static void run_block(void *arg, int64_t i, int worker)
{
    (void)worker;
    const struct split *split = arg;
    const int64_t first = i * split->block;
    split->run(split->arg, first, sonde_min_i64(first + split->block, split->n_rows));
}

void sonde_op_split_rows(struct sonde_op_context *ctx, int64_t n_rows, int64_t n_columns,
                         void (*run)(void *arg, int64_t first, int64_t last), void *arg)
{
    if (n_rows <= 0) {
        return;
    }
    struct split split = { .n_rows = n_rows, .run = run, .arg = arg };
    split.block = sonde_max_i64(1, BLOCK_ELEMENTS / sonde_max_i64(n_columns, 1));
    const int64_t n_blocks = (n_rows + split.block - 1) / split.block;
    struct sonde_pool *pool = n_rows * n_columns >= SPREAD_ELEMENTS ? ctx->pool : NULL;
    sonde_pool_run(pool, n_blocks, run_block, &split);
}

const float *sonde_op_vector(struct sonde_op_context *ctx, const struct sonde_weight *w, int64_t n)
{
    if (!w || !sonde_weight_present(w)) {
        return NULL;
    }
    assert(w->rows * w->columns == n);
    if (w->dtype == SONDE_DTYPE_F32) {
        return w->data;
    }
    float *wide = sonde_op_scratch(ctx, n);
    if (wide) {
        sonde_dtype_widen(w->dtype, w->data, wide, n);
    }
    return wide;
}
