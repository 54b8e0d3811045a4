/* The portable product, and the choice. */
#include "core/tensor/vector_product.h"

#include <stddef.h>

#define TILE_TARGET
#define TILE_NAME sonde_product_base

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
