#include "core/tensor/vector_product.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define TILE_TARGET SONDE_TARGET_FOR_AVX2
#define TILE_NAME sonde_product_avx2
#define TILE_DOTS_NAME sonde_dots_avx2

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

TILE_TARGET static inline __attribute__((always_inline)) __m256 tile_join(const float *b,
                                                                          int64_t stride)
{
    const __m256 one = _mm256_castps128_ps256(_mm_loadu_ps(b));
    return _mm256_insertf128_ps(one, _mm_loadu_ps(b + 4 * stride), 1);
}

TILE_TARGET static inline __attribute__((always_inline)) void tile_turn(__m256 rows[4])
{
    const __m256 a0 = _mm256_unpacklo_ps(rows[0], rows[1]);
    const __m256 a1 = _mm256_unpackhi_ps(rows[0], rows[1]);
    const __m256 b0 = _mm256_unpacklo_ps(rows[2], rows[3]);
    const __m256 b1 = _mm256_unpackhi_ps(rows[2], rows[3]);
    rows[0] = _mm256_shuffle_ps(a0, b0, 0x44);
    rows[1] = _mm256_shuffle_ps(a0, b0, 0xee);
    rows[2] = _mm256_shuffle_ps(a1, b1, 0x44);
    rows[3] = _mm256_shuffle_ps(a1, b1, 0xee);
}

#include "core/tensor/vector_tile.h"
#endif
