#include "core/tensor/vector_product.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define TILE_TARGET SONDE_TARGET_FOR_AVX512
#define TILE_NAME sonde_product_avx512
#define TILE_DOTS_NAME sonde_dots_avx512

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

TILE_TARGET static inline __attribute__((always_inline)) __m512 tile_join(const float *b,
                                                                          int64_t stride)
{
    const __m512 one = _mm512_castps128_ps512(_mm_loadu_ps(b));
    const __m512 two = _mm512_insertf32x4(one, _mm_loadu_ps(b + 4 * stride), 1);
    const __m512 three = _mm512_insertf32x4(two, _mm_loadu_ps(b + 8 * stride), 2);
    return _mm512_insertf32x4(three, _mm_loadu_ps(b + 12 * stride), 3);
}

TILE_TARGET static inline __attribute__((always_inline)) void tile_turn(__m512 rows[4])
{
    const __m512 a0 = _mm512_unpacklo_ps(rows[0], rows[1]);
    const __m512 a1 = _mm512_unpackhi_ps(rows[0], rows[1]);
    const __m512 b0 = _mm512_unpacklo_ps(rows[2], rows[3]);
    const __m512 b1 = _mm512_unpackhi_ps(rows[2], rows[3]);
    rows[0] = _mm512_shuffle_ps(a0, b0, 0x44);
    rows[1] = _mm512_shuffle_ps(a0, b0, 0xee);
    rows[2] = _mm512_shuffle_ps(a1, b1, 0x44);
    rows[3] = _mm512_shuffle_ps(a1, b1, 0xee);
}

#include "core/tensor/vector_tile.h"
#endif
