/* The portable product, and the choice. */
#include "core/tensor/vector_product.h"

#include <stddef.h>
#include <string.h>

#define TILE_TARGET
#define TILE_NAME sonde_product_base
#define TILE_DOTS_NAME sonde_dots_base

enum { TILE_ROWS = 2, TILE_VECTORS = 4, TILE_LANES = 4 };
typedef float tile_lanes __attribute__((vector_size(16)));

static inline tile_lanes tile_spread(float x)
{
    return (tile_lanes){ x, x, x, x };
}

static inline tile_lanes tile_fuse(tile_lanes a, tile_lanes b, tile_lanes c)
{
    return a * b + c;
}

static inline tile_lanes tile_join(const float *b, int64_t stride)
{
    tile_lanes row;
    (void)stride;
    memcpy(&row, b, sizeof(row));
    return row;
}

static inline void tile_turn(tile_lanes rows[4])
{
    const tile_lanes a0 = __builtin_shufflevector(rows[0], rows[1], 0, 4, 1, 5);
    const tile_lanes a1 = __builtin_shufflevector(rows[0], rows[1], 2, 6, 3, 7);
    const tile_lanes b0 = __builtin_shufflevector(rows[2], rows[3], 0, 4, 1, 5);
    const tile_lanes b1 = __builtin_shufflevector(rows[2], rows[3], 2, 6, 3, 7);
    rows[0] = __builtin_shufflevector(a0, b0, 0, 1, 4, 5);
    rows[1] = __builtin_shufflevector(a0, b0, 2, 3, 6, 7);
    rows[2] = __builtin_shufflevector(a1, b1, 0, 1, 4, 5);
    rows[3] = __builtin_shufflevector(a1, b1, 2, 3, 6, 7);
}

#include "core/tensor/vector_tile.h"

sonde_product_function *sonde_product_of(enum sonde_target target)
{
#if defined(__x86_64__)
    static sonde_product_function *const functions[SONDE_TARGET_COUNT] = {
        [SONDE_TARGET_BASE] = sonde_product_base,
        [SONDE_TARGET_AVX2] = sonde_product_avx2,
        [SONDE_TARGET_AVX512] = sonde_product_avx512,
    };
    return target <= sonde_target_here() ? functions[target] : NULL;
#else
    return target == SONDE_TARGET_BASE ? sonde_product_base : NULL;
#endif
}

sonde_product_function *sonde_product_here(void)
{
    return sonde_product_of(sonde_target_here());
}

sonde_product_function *sonde_dots_of(enum sonde_target target)
{
#if defined(__x86_64__)
    static sonde_product_function *const functions[SONDE_TARGET_COUNT] = {
        [SONDE_TARGET_BASE] = sonde_dots_base,
        [SONDE_TARGET_AVX2] = sonde_dots_avx2,
        [SONDE_TARGET_AVX512] = sonde_dots_avx512,
    };
    return target <= sonde_target_here() ? functions[target] : NULL;
#else
    return target == SONDE_TARGET_BASE ? sonde_dots_base : NULL;
#endif
}

sonde_product_function *sonde_dots_here(void)
{
    return sonde_dots_of(sonde_target_here());
}
