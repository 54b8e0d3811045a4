#include "probes/feature_gram.h"

#include <stdlib.h>

#include "core/tensor/gemm.h"
#include "core/tensor/vector.h"
#include "probes/feature_rows.h"

enum { TILE = 192 };

/* A thread's: a tile of a product, and for products in double two blocks of columns. */
struct scratch {
    union {
        float narrow[TILE * TILE];
        double wide[TILE * TILE];
    } product;
};
struct wide_scratch {
    struct scratch base;
    double a[SONDE_FEATURES_BLOCK * TILE], b[SONDE_FEATURES_BLOCK * TILE];
};

static int64_t min_i64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t n_stripes(int64_t width)
{
    return (width + TILE - 1) / TILE;
}

enum sonde_status sonde_gram_init(struct sonde_gram *out, int64_t width, bool wide,
                                  struct sonde_pool *pool, struct sonde_error *error)
{
    size_t n_threads = (size_t)sonde_pool_threads(pool);
    struct sonde_gram gram = {
        .width = width,
        .wide = wide,
        .pool = pool,
        .total = calloc((size_t)(width * width), sizeof(double)),
        .scratch = calloc(n_threads, wide ? sizeof(struct wide_scratch) : sizeof(struct scratch)),
    };
    if (!gram.total || !gram.scratch) {
        sonde_gram_finish(&gram);
        return sonde_error_memory(error, "the products of the features");
    }
    *out = gram;
    return SONDE_STATUS_OK;
}

void sonde_gram_finish(struct sonde_gram *gram)
{
    free(gram->total);
    free(gram->scratch);
    *gram = (struct sonde_gram){ 0 };
}

double sonde_gram_bytes(int64_t width, int n_threads)
{
    return 8.0 * (double)width * (double)width + (double)n_threads * sizeof(struct wide_scratch);
}

struct addition {
    struct sonde_gram *gram;
    const float *z;
    int64_t n, n_tiles;
    void (*also)(void *ctx, int64_t i);
    void *ctx;
};

static void widen(double *to, const float *z, int64_t n, int64_t width, int64_t n_columns)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t d = 0; d < n_columns; d++)
            to[i * TILE + d] = (double)z[i * width + d];
}

/* One block's product for a tile, added to the total. */
static void add_block(struct sonde_gram *g, const float *z, int64_t n, int64_t row, int64_t column,
                      int worker)
{
    int64_t n_rows = min_i64(TILE, g->width - row), n_columns = min_i64(TILE, g->width - column);
    double *total = g->total + row * g->width + column;
    if (!g->wide) {
        float *product = ((struct scratch *)g->scratch)[worker].product.narrow;
        bool half = row == column;
        if (half)
            sonde_ssyrk(n_rows, n, z + row, g->width, product, TILE);
        else
            sonde_sgemm(true, false, n_rows, n_columns, n, 1.0f, z + row, g->width, z + column,
                        g->width, 0.0f, product, TILE);
        for (int64_t i = 0; i < n_rows; i++) {
            int64_t from = half ? i : 0;
            sonde_vector_kernels()->accumulate(total + i * g->width + from,
                                               product + i * TILE + from, n_columns - from);
        }
        return;
    }
    struct wide_scratch *wide = (struct wide_scratch *)g->scratch + worker;
    double *product = wide->base.product.wide;
    widen(wide->a, z + row, n, g->width, n_rows);
    widen(wide->b, z + column, n, g->width, n_columns);
    sonde_dgemm(true, false, n_rows, n_columns, n, 1.0, wide->a, TILE, wide->b, TILE, 0.0, product,
                TILE);
    for (int64_t i = 0; i < n_rows; i++)
        for (int64_t j = 0; j < n_columns; j++)
            total[i * g->width + j] += product[i * TILE + j];
}

static void add_tile(void *ctx, int64_t i, int worker)
{
    const struct addition *a = ctx;
    struct sonde_gram *g = a->gram;
    if (i >= a->n_tiles) {
        a->also(a->ctx, i - a->n_tiles);
        return;
    }
    int64_t row = 0, left = n_stripes(g->width);
    for (; i >= left; left--, row++)
        i -= left;
    for (int64_t first = 0; first < a->n; first += SONDE_FEATURES_BLOCK)
        add_block(g, a->z + first * g->width, min_i64(SONDE_FEATURES_BLOCK, a->n - first),
                  row * TILE, (row + i) * TILE, worker);
}

void sonde_gram_add(struct sonde_gram *gram, const float *z, int64_t n, int64_t n_also,
                    void (*also)(void *ctx, int64_t i), void *ctx)
{
    int64_t n_side = n_stripes(gram->width);
    struct addition addition = {
        .gram = gram, .z = z, .n = n, .n_tiles = n_side * (n_side + 1) / 2, .also = also, .ctx = ctx
    };
    sonde_pool_run(gram->pool, addition.n_tiles + (also ? n_also : 0), add_tile, &addition);
}

void sonde_gram_mirror(struct sonde_gram *gram)
{
    int64_t width = gram->width;
    for (int64_t i = 0; i < width; i++)
        for (int64_t j = 0; j < i; j++)
            gram->total[i * width + j] = gram->total[j * width + i];
}
