#include "core/tensor/vector_product.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define TILE_TARGET SONDE_TARGET_FOR_AVX512
#define TILE_NAME sonde_product_avx512

enum { TILE_ROWS = SONDE_PRODUCT_ROWS, TILE_VECTORS = 4, TILE_LANES = 16 };
typedef __m512 tile_lanes;

TILE_TARGET static inline __attribute__((always_inline)) __m512 tile_spread(float x)
{
    return _mm512_set1_ps(x);
}

TILE_TARGET static inline __attribute__((always_inline)) __m512 tile_fuse(__m512 a, __m512 b,
                                                                          __m512 c)
{
    return _mm512_fmadd_ps(a, b, c);
}

#include "core/tensor/vector_tile.h"
#endif
