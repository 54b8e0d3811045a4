#include "core/tensor/gemm_plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/rng.h"
#include "core/tensor/gemm_onednn.h"
#include "core/tensor/op_common.h"

enum { ROWS = SONDE_ONEDNN_ROWS, WEIGHTS_MAX = 1 << 20, CHUNK = 512 };

struct laid_out {
    struct sonde_weight w;             /* what it was made of */
    struct sonde_onednn_weight *ready; /* NULL: oneDNN cannot */
};

struct sonde_gemm_plan {
    struct sonde_onednn *onednn;
    bool bf16;
    bool rows_are_free;
    struct laid_out *weight; /* [n_weights], by their address */
    int64_t n_weights, capacity;
    int64_t bytes, scratch; /* scratch in floats */
    char name[128];
};

enum sonde_status sonde_gemm_plan_create(struct sonde_gemm_plan **out, enum sonde_compute compute,
                                         struct sonde_error *error)
{
    struct sonde_gemm_plan *plan = calloc(1, sizeof *plan);
    if (!plan) {
        return sonde_error_memory(error, "a plan of products");
    }
    plan->bf16 = compute == SONDE_COMPUTE_BF16;
    plan->rows_are_free = true;
    enum sonde_status status = sonde_onednn_open(&plan->onednn, error);
    if (status != SONDE_STATUS_OK) {
        sonde_gemm_plan_destroy(&plan);
        return status;
    }
    snprintf(plan->name, sizeof plan->name, "%s by OpenBLAS", plan->bf16 ? "bf16" : "f32");
    *out = plan;
    return SONDE_STATUS_OK;
}

void sonde_gemm_plan_destroy(struct sonde_gemm_plan **plan)
{
    if (!plan || !*plan) {
        return;
    }
    for (int64_t i = 0; i < (*plan)->n_weights; i++) {
        sonde_onednn_weight_destroy(&(*plan)->weight[i].ready);
    }
    free((*plan)->weight);
    sonde_onednn_close(&(*plan)->onednn);
    free(*plan);
    *plan = NULL;
}

/* The place of the weight, or where it would stand. */
static int64_t place_of(const struct sonde_gemm_plan *plan, const struct sonde_weight *w)
{
    int64_t low = 0, high = plan->n_weights;
    while (low < high) {
        const int64_t middle = (low + high) / 2;
        if ((uintptr_t)plan->weight[middle].w.data < (uintptr_t)w->data) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static const struct laid_out *find(const struct sonde_gemm_plan *plan, const struct sonde_weight *w)
{
    const int64_t at = place_of(plan, w);
    const struct laid_out *found = at < plan->n_weights ? &plan->weight[at] : NULL;
    return found && found->w.data == w->data && found->w.rows == w->rows &&
                   found->w.columns == w->columns && found->w.dtype == w->dtype &&
                   found->w.transposed == w->transposed
               ? found
               : NULL;
}

/* Floats for what one thread needs: rows of x, in f32 or half of that, rows of y, oneDNN's own. */
static int64_t tile_floats(const struct sonde_onednn_weight *ready, int64_t n_in, int64_t n_out)
{
    const int64_t step = 16; /* 64 bytes */
    const int64_t x = (ROWS * n_in + step - 1) / step * step;
    const int64_t y = (ROWS * n_out + step - 1) / step * step;
    return x + y + (sonde_onednn_scratch_bytes(ready) + 63) / 64 * step;
}

/* A tile of x in the type of the weight: n_rows rows, then zeros. */
static void fill_tile(bool bf16, const float *x, int64_t stride, int64_t n_rows, int64_t n_in,
                      int64_t n_tile, void *tile)
{
    const size_t size = bf16 ? sizeof(uint16_t) : sizeof(float);
    for (int64_t t = 0; t < n_rows; t++) {
        sonde_dtype_narrow(bf16 ? SONDE_DTYPE_BF16 : SONDE_DTYPE_F32, x + t * stride,
                           (char *)tile + (size_t)(t * n_in) * size, n_in);
    }
    memset((char *)tile + (size_t)(n_rows * n_in) * size, 0,
           (size_t)((n_tile - n_rows) * n_in) * size);
}

/* Whether equal rows come out equal. */
static bool rows_agree(const struct sonde_gemm_plan *plan, const struct sonde_onednn_weight *ready,
                       int64_t n_in, int64_t n_out)
{
    struct sonde_rng rng = sonde_rng_make(SONDE_SEED_DEFAULT, sonde_rng_stream("gemm plan"));
    float *row = malloc((size_t)n_in * sizeof *row);
    float *scratch = aligned_alloc(64, (size_t)tile_floats(ready, n_in, n_out) * sizeof *scratch);
    bool agree = row && scratch;
    if (agree) {
        float *y = scratch + (ROWS * n_in + 15) / 16 * 16;
        for (int64_t i = 0; i < n_in; i++) {
            row[i] = (float)((double)sonde_rng_u32(&rng) * 0x1p-31 - 1.0);
        }
        fill_tile(plan->bf16, row, 0, ROWS, n_in, ROWS, scratch);
        agree = sonde_onednn_multiply(ready, ROWS, scratch, y, y + (ROWS * n_out + 15) / 16 * 16);
        for (int64_t t = 1; t < ROWS && agree; t++) {
            agree = memcmp(y, y + t * n_out, (size_t)n_out * sizeof *y) == 0;
        }
    }
    free(row);
    free(scratch);
    return agree;
}

enum sonde_status sonde_gemm_plan_add(struct sonde_gemm_plan *plan, const struct sonde_weight *w,
                                      struct sonde_error *error)
{
    const int64_t n_in = sonde_weight_in(w), n_out = sonde_weight_out(w);
    if (!sonde_weight_present(w) || n_in < 1 || n_out < 1 || find(plan, w)) {
        return SONDE_STATUS_OK;
    }
    if (!sonde_grow((void **)&plan->weight, &plan->capacity, plan->n_weights + 1,
                    sizeof *plan->weight, WEIGHTS_MAX)) {
        return sonde_error_memory(error, "a plan of products");
    }
    struct sonde_onednn_weight *ready = NULL;
    struct sonde_error why = { 0 };
    enum sonde_status status =
        sonde_onednn_weight_create(&ready, plan->onednn, w, plan->bf16, &why);
    if (status == SONDE_STATUS_UNSUPPORTED) {
        plan->rows_are_free = false;
        return SONDE_STATUS_OK;
    }
    if (status != SONDE_STATUS_OK) {
        return sonde_error_set(error, status, "%s", why.text);
    }
    const int64_t at = place_of(plan, w);
    memmove(plan->weight + at + 1, plan->weight + at,
            (size_t)(plan->n_weights - at) * sizeof *plan->weight);
    plan->weight[at] = (struct laid_out){ *w, ready };
    plan->n_weights++;
    plan->bytes += sonde_onednn_weight_bytes(ready);
    plan->scratch = sonde_max_i64(plan->scratch, tile_floats(ready, n_in, n_out));
    plan->rows_are_free = plan->rows_are_free && rows_agree(plan, ready, n_in, n_out);
    snprintf(plan->name, sizeof plan->name, "%s by %s %s", plan->bf16 ? "bf16" : "f32",
             sonde_onednn_name(plan->onednn), sonde_onednn_weight_kernel(ready));
    return SONDE_STATUS_OK;
}

bool sonde_gemm_plan_rounds(const struct sonde_gemm_plan *plan)
{
    return plan && plan->bf16;
}

bool sonde_gemm_plan_rows_are_free(const struct sonde_gemm_plan *plan)
{
    return plan->rows_are_free;
}

int64_t sonde_gemm_plan_bytes(const struct sonde_gemm_plan *plan)
{
    return plan->bytes;
}

int64_t sonde_gemm_plan_scratch(const struct sonde_gemm_plan *plan)
{
    return plan->scratch;
}

const char *sonde_gemm_plan_name(const struct sonde_gemm_plan *plan)
{
    return plan->name;
}

void sonde_gemm_round_bf16(float *values, int64_t n)
{
    uint16_t half[CHUNK];
    for (int64_t i = 0; i < n; i += CHUNK) {
        const int64_t some = sonde_min_i64(CHUNK, n - i);
        sonde_dtype_narrow(SONDE_DTYPE_BF16, values + i, half, some);
        sonde_dtype_widen(SONDE_DTYPE_BF16, half, values + i, some);
    }
}

struct product {
    const struct sonde_gemm_plan *plan;
    const struct sonde_onednn_weight *ready;
    const float *bias;
    struct sonde_tensor y, x;
    int64_t n_tile; /* rows of a tile: ROWS, or 1 */
    float *scratch; /* [threads, n_scratch] */
    int64_t n_scratch;
    bool *failed; /* [tiles] */
};

static void product_task(void *arg, int64_t i, int worker)
{
    const struct product *p = arg;
    const int64_t n_in = p->x.dim[1], n_out = p->y.dim[1], first = i * p->n_tile;
    const int64_t n_rows = sonde_min_i64(p->n_tile, p->x.dim[0] - first);
    float *x = p->scratch + worker * p->n_scratch;
    float *y = x + (ROWS * n_in + 15) / 16 * 16;
    void *own = y + (ROWS * n_out + 15) / 16 * 16;
    float *out = p->y.data + first * p->y.stride[0];
    /* Straight into y where all of the tile's rows lie there. */
    float *into = n_rows == p->n_tile && p->y.stride[0] == n_out ? out : y;
    fill_tile(p->plan->bf16, p->x.data + first * p->x.stride[0], p->x.stride[0], n_rows, n_in,
              p->n_tile, x);
    p->failed[i] = !sonde_onednn_multiply(p->ready, p->n_tile, x, into, own);
    for (int64_t t = 0; t < n_rows; t++) {
        float *row = out + t * p->y.stride[0];
        const float *from = into == out ? row : y + t * n_out;
        if (p->bias) {
            for (int64_t o = 0; o < n_out; o++) {
                row[o] = from[o] + p->bias[o];
            }
        } else if (from != row) {
            memcpy(row, from, (size_t)n_out * sizeof *row);
        }
    }
}

bool sonde_gemm_plan_multiply(struct sonde_op_context *ctx, const struct sonde_weight *w,
                              const float *bias, struct sonde_tensor y, struct sonde_tensor x)
{
    const struct laid_out *found = ctx->plan ? find(ctx->plan, w) : NULL;
    if (!found) {
        return false;
    }
    struct product p = {
        .plan = ctx->plan,
        .ready = found->ready,
        .bias = bias,
        .y = y,
        .x = x,
        .n_tile = ctx->single_row && x.dim[0] == 1 ? 1 : ROWS,
        .n_scratch = ctx->plan->scratch,
    };
    const struct sonde_arena_mark mark = sonde_arena_mark(ctx->arena);
    const int64_t n_tiles = (x.dim[0] + p.n_tile - 1) / p.n_tile;
    p.scratch = sonde_op_scratch(ctx, sonde_pool_threads(ctx->pool) * p.n_scratch);
    p.failed = sonde_arena_zalloc(ctx->arena, n_tiles, sizeof *p.failed);
    ctx->failed = ctx->failed || !p.failed;
    if (!ctx->failed) {
        sonde_pool_run(ctx->pool, n_tiles, product_task, &p);
        for (int64_t i = 0; i < n_tiles; i++) {
            ctx->failed = ctx->failed || p.failed[i];
        }
    }
    sonde_arena_rewind(ctx->arena, mark);
    return true;
}
