#include "core/tensor/row_product.h"

#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* OpenBLAS's limit of its small kernels. From SMALL values on, 16 rows are above it. */
#define BLAS_SMALL_PRODUCT 1000000
enum { SMALL = 1 << 16 };

/* A panel of the weight, [DEPTH, WIDTH] with zeros behind the last output, fits the first-level
 * cache beside the rows; TILE rows of it are summed in registers. */
enum { WIDTH = 64, DEPTH = 128, TILE = 6, LANES = 16 };

bool sonde_row_product_fits(int64_t n_in, int64_t n_out)
{
    return n_in < SMALL && n_out < SMALL && n_in * n_out < SMALL;
}

int64_t sonde_row_product_least(int64_t n_in, int64_t n_out)
{
    const int64_t size = n_in * n_out;
    const int64_t least = size > 0 ? BLAS_SMALL_PRODUCT / size + 1 : 2;
    return least < 2 ? 2 : least > 16 ? 16 : least;
}

/* Rows of x by a panel into y, which holds the sums so far where `more` is set. */
struct panel {
    const float *w; /* [depth, stride], of which width are outputs; WIDTH can be read */
    int64_t depth, width, stride;
    const float *bias; /* [width], added at the end of the sums; NULL = not now */
    bool more;
};

#if defined(__x86_64__)

#define FOR_AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl")))
#define FOR_FMA __attribute__((target("avx2,fma")))
#define BODY static inline __attribute__((always_inline))

BODY FOR_AVX512 void tile_512(const struct panel *p, const int n_rows, const int n_vectors,
                              const float *x, int64_t ldx, float *y, int64_t ldy)
{
    __m512 sum[TILE][4];
    __mmask16 mask[4];
    for (int v = 0; v < n_vectors; v++) {
        const int64_t left = p->width - (int64_t)v * LANES;
        mask[v] = (__mmask16)(left >= LANES ? 0xffff : left <= 0 ? 0 : (1 << left) - 1);
        for (int r = 0; r < n_rows; r++) {
            sum[r][v] = p->more ? _mm512_maskz_loadu_ps(mask[v], y + r * ldy + v * LANES)
                                : _mm512_setzero_ps();
        }
    }
    const float *w = p->w;
    for (int64_t k = 0; k < p->depth; k++, w += p->stride) {
        __m512 wide[4];
        for (int v = 0; v < n_vectors; v++) {
            wide[v] = _mm512_loadu_ps(w + v * LANES);
        }
        for (int r = 0; r < n_rows; r++) {
            const __m512 value = _mm512_set1_ps(x[r * ldx + k]);
            for (int v = 0; v < n_vectors; v++) {
                sum[r][v] = _mm512_fmadd_ps(value, wide[v], sum[r][v]);
            }
        }
    }
    for (int v = 0; v < n_vectors; v++) {
        for (int r = 0; r < n_rows; r++) {
            __m512 out = sum[r][v];
            if (p->bias) {
                out = _mm512_add_ps(out, _mm512_maskz_loadu_ps(mask[v], p->bias + v * LANES));
            }
            _mm512_mask_storeu_ps(y + r * ldy + v * LANES, mask[v], out);
        }
    }
}

BODY FOR_AVX512 void rows_512(const struct panel *p, const int n_vectors, int64_t m, const float *x,
                              int64_t ldx, float *y, int64_t ldy)
{
    int64_t t = 0;
    for (; t + TILE <= m; t += TILE) {
        tile_512(p, TILE, n_vectors, x + t * ldx, ldx, y + t * ldy, ldy);
    }
    if (t + 4 <= m) {
        tile_512(p, 4, n_vectors, x + t * ldx, ldx, y + t * ldy, ldy);
        t += 4;
    }
    if (t + 2 <= m) {
        tile_512(p, 2, n_vectors, x + t * ldx, ldx, y + t * ldy, ldy);
        t += 2;
    }
    if (t < m) {
        tile_512(p, 1, n_vectors, x + t * ldx, ldx, y + t * ldy, ldy);
    }
}

FOR_AVX512 static void panel_512(const struct panel *p, int64_t m, const float *x, int64_t ldx,
                                 float *y, int64_t ldy)
{
    if (p->width > 2 * LANES) {
        rows_512(p, 4, m, x, ldx, y, ldy);
    } else if (p->width > LANES) {
        rows_512(p, 2, m, x, ldx, y, ldy);
    } else {
        rows_512(p, 1, m, x, ldx, y, ldy);
    }
}

/* Two vectors of 8 from `column` on; outputs go by way of a buffer, as the last may be short. */
BODY FOR_FMA void tile_fma(const struct panel *p, const int n_rows, int64_t column, const float *x,
                           int64_t ldx, float *y, int64_t ldy)
{
    __m256 sum[TILE][2];
    float row[LANES] = { 0 }, bias[LANES] = { 0 };
    const int64_t left = p->width - column;
    const size_t bytes = sizeof(float) * (size_t)(left < LANES ? left : LANES);
    for (int r = 0; r < n_rows; r++) {
        if (p->more) {
            memcpy(row, y + r * ldy + column, bytes);
        }
        sum[r][0] = _mm256_loadu_ps(row);
        sum[r][1] = _mm256_loadu_ps(row + 8);
    }
    const float *w = p->w + column;
    for (int64_t k = 0; k < p->depth; k++, w += p->stride) {
        const __m256 low = _mm256_loadu_ps(w), high = _mm256_loadu_ps(w + 8);
        for (int r = 0; r < n_rows; r++) {
            const __m256 value = _mm256_set1_ps(x[r * ldx + k]);
            sum[r][0] = _mm256_fmadd_ps(value, low, sum[r][0]);
            sum[r][1] = _mm256_fmadd_ps(value, high, sum[r][1]);
        }
    }
    if (p->bias) {
        memcpy(bias, p->bias + column, bytes);
    }
    for (int r = 0; r < n_rows; r++) {
        if (p->bias) {
            sum[r][0] = _mm256_add_ps(sum[r][0], _mm256_loadu_ps(bias));
            sum[r][1] = _mm256_add_ps(sum[r][1], _mm256_loadu_ps(bias + 8));
        }
        _mm256_storeu_ps(row, sum[r][0]);
        _mm256_storeu_ps(row + 8, sum[r][1]);
        memcpy(y + r * ldy + column, row, bytes);
    }
}

FOR_FMA static void panel_fma(const struct panel *p, int64_t m, const float *x, int64_t ldx,
                              float *y, int64_t ldy)
{
    for (int64_t column = 0; column < p->width; column += LANES) {
        int64_t t = 0;
        for (; t + TILE <= m; t += TILE) {
            tile_fma(p, TILE, column, x + t * ldx, ldx, y + t * ldy, ldy);
        }
        for (; t < m; t++) {
            tile_fma(p, 1, column, x + t * ldx, ldx, y + t * ldy, ldy);
        }
    }
}

#endif

static void panel_portable(const struct panel *p, int64_t m, const float *x, int64_t ldx, float *y,
                           int64_t ldy)
{
    for (int64_t t = 0; t < m; t++) {
        float sum[WIDTH] = { 0 };
        float *row = y + t * ldy;
        if (p->more) {
            memcpy(sum, row, (size_t)p->width * sizeof(float));
        }
        for (int64_t k = 0; k < p->depth; k++) {
            for (int j = 0; j < WIDTH; j++) {
                sum[j] += x[t * ldx + k] * p->w[k * p->stride + j];
            }
        }
        for (int64_t j = 0; j < p->width; j++) {
            row[j] = p->bias ? sum[j] + p->bias[j] : sum[j];
        }
    }
}

enum sonde_row_target sonde_row_product_target(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
        return SONDE_ROW_TARGET_AVX512;
    }
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        return SONDE_ROW_TARGET_FMA;
    }
#endif
    return SONDE_ROW_TARGET_BASE;
}

static void multiply_panel(enum sonde_row_target target, const struct panel *p, int64_t m,
                           const float *x, int64_t ldx, float *y, int64_t ldy)
{
#if defined(__x86_64__)
    if (target == SONDE_ROW_TARGET_AVX512) {
        panel_512(p, m, x, ldx, y, ldy);
        return;
    }
    if (target == SONDE_ROW_TARGET_FMA) {
        panel_fma(p, m, x, ldx, y, ldy);
        return;
    }
#endif
    (void)target;
    panel_portable(p, m, x, ldx, y, ldy);
}

/* panel[depth, WIDTH] of W[first.., column..]. */
static void lay_out(float *panel, const float *w, int64_t ldw, bool transposed, int64_t depth,
                    int64_t width)
{
    if (!transposed) {
        for (int64_t k = 0; k < depth; k++) {
            memcpy(panel + k * WIDTH, w + k * ldw, (size_t)width * sizeof(float));
            memset(panel + k * WIDTH + width, 0, (size_t)(WIDTH - width) * sizeof(float));
        }
        return;
    }
    if (width < WIDTH) {
        memset(panel, 0, (size_t)(depth * WIDTH) * sizeof(float));
    }
    for (int64_t j = 0; j < width; j += 8) {
        const int64_t n = width - j < 8 ? width - j : 8;
        for (int64_t k = 0; k < depth; k++) {
            for (int64_t i = 0; i < n; i++) {
                panel[k * WIDTH + j + i] = w[(j + i) * ldw + k];
            }
        }
    }
}

void sonde_row_product_on(enum sonde_row_target target, int64_t m, int64_t n, int64_t k,
                          const float *x, int64_t ldx, const float *w, int64_t ldw, bool transposed,
                          const float *bias, float *y, int64_t ldy)
{
    float laid_out[DEPTH * WIDTH];
    for (int64_t column = 0; column < n; column += WIDTH) {
        struct panel p = { .width = n - column < WIDTH ? n - column : WIDTH };
        for (int64_t first = 0; first < k || first == 0; first += DEPTH) {
            const float *part = transposed ? w + column * ldw + first : w + first * ldw + column;
            const bool as_it_is = !transposed && p.width == WIDTH;
            p.w = as_it_is ? part : laid_out;
            p.stride = as_it_is ? ldw : WIDTH;
            p.depth = k - first < DEPTH ? k - first : DEPTH;
            p.more = first > 0;
            p.bias = bias && first + p.depth == k ? bias + column : NULL;
            if (!as_it_is) {
                lay_out(laid_out, part, ldw, transposed, p.depth, p.width);
            }
            multiply_panel(target, &p, m, x + first, ldx, y + column, ldy);
        }
    }
}

void sonde_row_product(int64_t m, int64_t n, int64_t k, const float *x, int64_t ldx, const float *w,
                       int64_t ldw, bool transposed, const float *bias, float *y, int64_t ldy)
{
    sonde_row_product_on(sonde_row_product_target(), m, n, k, x, ldx, w, ldw, transposed, bias, y,
                         ldy);
}
