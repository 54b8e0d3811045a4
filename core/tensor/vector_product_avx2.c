#include "core/tensor/vector_product.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define TILE_TARGET SONDE_TARGET_FOR_AVX2
#define TILE_NAME sonde_product_avx2

enum { TILE_ROWS = SONDE_PRODUCT_ROWS, TILE_VECTORS = 2, TILE_LANES = 8 };
typedef __m256 tile_lanes;

TILE_TARGET static inline __attribute__((always_inline)) __m256 tile_spread(float x)
{
    return _mm256_set1_ps(x);
}

TILE_TARGET static inline __attribute__((always_inline)) __m256 tile_fuse(__m256 a, __m256 b,
                                                                          __m256 c)
{
    return _mm256_fmadd_ps(a, b, c);
}

#include "core/tensor/vector_tile.h"
#endif
