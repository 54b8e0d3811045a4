#include "core/tensor/tall.h"

#include <stddef.h>
#include <string.h>

#include "core/tensor/gemm.h"

static void scores_base(float *out, int64_t ld, const float *x, int64_t n, int64_t width,
                        const float *w, int64_t n_classes)
{
    sonde_sgemm(false, true, n_classes, n, width, 1.0f, w, width, x, width, 0.0f, out, ld);
}

static void gradient_base(float *sum, const float *slope, int64_t ld, const float *x, int64_t n,
                          int64_t width, int64_t n_classes, const float *soon)
{
    (void)soon;
    sonde_sgemm(false, false, n_classes, width, n, 1.0f, slope, ld, x, width, 1.0f, sum, width);
}

#if defined(__x86_64__)
#include <immintrin.h>

enum { LANES = 16, LINE = 64 };

/* Rows, classes and vectors of a tile: 24 sums, and what is multiplied, fit the 32 registers. */
#define ROWS 4
#define CLASSES 6
#define VECTORS 4
#define WIDE_BODY SONDE_TARGET_FOR_AVX512 static inline __attribute__((always_inline))

typedef __m512 lanes;
typedef float eight __attribute__((vector_size(32)));
typedef float four __attribute__((vector_size(16)));

WIDE_BODY void load(lanes *to, const float *from)
{
    memcpy(to, from, sizeof(*to));
}

/* The n < LANES values that are left of a row; what is beyond them counts as zero. */
WIDE_BODY void load_rest(lanes *to, const float *from, int64_t n)
{
    float value[LANES] = { 0 };
    memcpy(value, from, (size_t)n * sizeof(*from));
    memcpy(to, value, sizeof(*to));
}

/* Lanes are joined by halves: 8 and 8, 4 and 4, 2 and 2, 1 and 1. */
WIDE_BODY four join_to_four(const lanes *sum)
{
    eight a = __builtin_shufflevector(*sum, *sum, 0, 1, 2, 3, 4, 5, 6, 7);
    eight b = __builtin_shufflevector(*sum, *sum, 8, 9, 10, 11, 12, 13, 14, 15);
    eight c = a + b;
    return __builtin_shufflevector(c, c, 0, 1, 2, 3) + __builtin_shufflevector(c, c, 4, 5, 6, 7);
}

WIDE_BODY void store_sums(float *out, const lanes *sum, int n_rows)
{
    four s[ROWS] = { 0 };
    for (int r = 0; r < n_rows; r++)
        s[r] = join_to_four(&sum[r]);
    four low = __builtin_shufflevector(s[0], s[1], 0, 4, 1, 5) +
               __builtin_shufflevector(s[0], s[1], 2, 6, 3, 7);
    four high = __builtin_shufflevector(s[2], s[3], 0, 4, 1, 5) +
                __builtin_shufflevector(s[2], s[3], 2, 6, 3, 7);
    four all = __builtin_shufflevector(low, high, 0, 1, 4, 5) +
               __builtin_shufflevector(low, high, 2, 3, 6, 7);
    memcpy(out, &all, (size_t)n_rows * sizeof(*out));
}

WIDE_BODY void add_products(lanes *sum, const lanes *row, const lanes *weight, int n_rows,
                            int n_classes)
{
    for (int c = 0; c < n_classes; c++)
        for (int r = 0; r < n_rows; r++)
            sum[c * ROWS + r] = _mm512_fmadd_ps(row[r], weight[c], sum[c * ROWS + r]);
}

/* The scores of n_rows rows with n_classes classes: both are constants where this is inlined. */
WIDE_BODY void score_tile(float *out, int64_t ld, const float *x, int64_t width, const float *w,
                          int n_rows, int n_classes)
{
    lanes sum[CLASSES * ROWS], row[ROWS], weight[CLASSES];
    for (int i = 0; i < CLASSES * ROWS; i++)
        sum[i] = _mm512_setzero_ps();
    int64_t d = 0;
    for (; d + LANES <= width; d += LANES) {
        for (int r = 0; r < n_rows; r++)
            load(&row[r], x + r * width + d);
        for (int c = 0; c < n_classes; c++)
            load(&weight[c], w + c * width + d);
        add_products(sum, row, weight, n_rows, n_classes);
    }
    if (d < width) {
        for (int r = 0; r < n_rows; r++)
            load_rest(&row[r], x + r * width + d, width - d);
        for (int c = 0; c < n_classes; c++)
            load_rest(&weight[c], w + c * width + d, width - d);
        add_products(sum, row, weight, n_rows, n_classes);
    }
    for (int c = 0; c < n_classes; c++)
        store_sums(out + c * ld, &sum[c * ROWS], n_rows);
}

WIDE_BODY void score_rows(float *out, int64_t ld, const float *x, int64_t n, int64_t width,
                          const float *w, int n_classes)
{
    int64_t i = 0;
    for (; i + ROWS <= n; i += ROWS)
        score_tile(out + i, ld, x + i * width, width, w, ROWS, n_classes);
    for (; i < n; i++)
        score_tile(out + i, ld, x + i * width, width, w, 1, n_classes);
}

/* Class by class group: a group's weights stay in the first cache while the rows pass by. */
WIDE_BODY void wide_scores(float *out, int64_t ld, const float *x, int64_t n, int64_t width,
                           const float *w, int64_t n_classes)
{
    for (int64_t k = 0; k < n_classes; k += CLASSES) {
        float *to = out + k * ld;
        const float *from = w + k * width;
        int64_t left = n_classes - k;
        if (left >= CLASSES)
            score_rows(to, ld, x, n, width, from, CLASSES);
        else if (left == 5)
            score_rows(to, ld, x, n, width, from, 5);
        else if (left == 4)
            score_rows(to, ld, x, n, width, from, 4);
        else if (left == 3)
            score_rows(to, ld, x, n, width, from, 3);
        else if (left == 2)
            score_rows(to, ld, x, n, width, from, 2);
        else
            score_rows(to, ld, x, n, width, from, 1);
    }
}

/* Lines of the next rows, some with every step of the work on these. */
struct fetch {
    const char *at, *end;
    int64_t lines; /* a step */
};

WIDE_BODY void fetch_lines(struct fetch *fetch)
{
    for (int64_t i = 0; i < fetch->lines && fetch->at < fetch->end; i++, fetch->at += LINE)
        __builtin_prefetch(fetch->at, 0, 2);
}

/* n_vectors * LANES columns of n_classes rows of the sum. */
WIDE_BODY void gradient_tile(float *sum, const float *slope, int64_t ld, const float *x, int64_t n,
                             int64_t width, int n_vectors, int n_classes, struct fetch *fetch)
{
    lanes tile[CLASSES * VECTORS];
    for (int c = 0; c < n_classes; c++)
        for (int v = 0; v < n_vectors; v++)
            load(&tile[c * VECTORS + v], sum + c * width + v * LANES);
    for (int64_t i = 0; i < n; i++) {
        fetch_lines(fetch);
        lanes row[VECTORS];
        for (int v = 0; v < n_vectors; v++)
            load(&row[v], x + i * width + v * LANES);
        for (int c = 0; c < n_classes; c++) {
            lanes factor = _mm512_set1_ps(slope[c * ld + i]);
            for (int v = 0; v < n_vectors; v++)
                tile[c * VECTORS + v] = _mm512_fmadd_ps(row[v], factor, tile[c * VECTORS + v]);
        }
    }
    for (int c = 0; c < n_classes; c++)
        for (int v = 0; v < n_vectors; v++)
            memcpy(sum + c * width + v * LANES, &tile[c * VECTORS + v], sizeof(lanes));
}

/* Columns that fill no vector. */
WIDE_BODY void gradient_rest(float *sum, const float *slope, int64_t ld, const float *x, int64_t n,
                             int64_t width, int64_t n_columns, int n_classes)
{
    for (int c = 0; c < n_classes; c++) {
        lanes tile;
        load_rest(&tile, sum + c * width, n_columns);
        for (int64_t i = 0; i < n; i++) {
            lanes row;
            load_rest(&row, x + i * width, n_columns);
            tile = _mm512_fmadd_ps(row, _mm512_set1_ps(slope[c * ld + i]), tile);
        }
        memcpy(sum + c * width, &tile, (size_t)n_columns * sizeof(*sum));
    }
}

WIDE_BODY void gradient_group(float *sum, const float *slope, int64_t ld, const float *x, int64_t n,
                              int64_t width, int n_classes, struct fetch *fetch)
{
    int64_t d = 0;
    for (; d + VECTORS * LANES <= width; d += VECTORS * LANES)
        gradient_tile(sum + d, slope, ld, x + d, n, width, VECTORS, n_classes, fetch);
    for (; d + LANES <= width; d += LANES)
        gradient_tile(sum + d, slope, ld, x + d, n, width, 1, n_classes, fetch);
    if (d < width)
        gradient_rest(sum + d, slope, ld, x + d, n, width, width - d, n_classes);
}

WIDE_BODY void wide_gradient(float *sum, const float *slope, int64_t ld, const float *x, int64_t n,
                             int64_t width, int64_t n_classes, const float *soon)
{
    /* Half of the steps that there are, so that all has come before the end. */
    int64_t n_lines = n * width * (int64_t)sizeof(float) / LINE;
    int64_t n_steps = n * (width / (VECTORS * LANES)) * ((n_classes + CLASSES - 1) / CLASSES);
    struct fetch fetch = { 0 };
    if (soon && n_steps > 0)
        fetch = (struct fetch){ (const char *)soon, (const char *)soon + n_lines * LINE,
                                2 * n_lines / n_steps + 1 };
    for (int64_t k = 0; k < n_classes; k += CLASSES) {
        float *to = sum + k * width;
        const float *from = slope + k * ld;
        int64_t left = n_classes - k;
        if (left >= CLASSES)
            gradient_group(to, from, ld, x, n, width, CLASSES, &fetch);
        else if (left == 5)
            gradient_group(to, from, ld, x, n, width, 5, &fetch);
        else if (left == 4)
            gradient_group(to, from, ld, x, n, width, 4, &fetch);
        else if (left == 3)
            gradient_group(to, from, ld, x, n, width, 3, &fetch);
        else if (left == 2)
            gradient_group(to, from, ld, x, n, width, 2, &fetch);
        else
            gradient_group(to, from, ld, x, n, width, 1, &fetch);
    }
}

SONDE_TARGET_FOR_AVX512 static void scores_avx512(float *out, int64_t ld, const float *x, int64_t n,
                                                  int64_t width, const float *w, int64_t n_classes)
{
    wide_scores(out, ld, x, n, width, w, n_classes);
}

SONDE_TARGET_FOR_AVX512 static void gradient_avx512(float *sum, const float *slope, int64_t ld,
                                                    const float *x, int64_t n, int64_t width,
                                                    int64_t n_classes, const float *soon)
{
    wide_gradient(sum, slope, ld, x, n, width, n_classes, soon);
}
#endif

const struct sonde_tall_kernels *sonde_tall_kernels_of(enum sonde_target target)
{
    static const struct sonde_tall_kernels base = { scores_base, gradient_base };
    if (target == SONDE_TARGET_BASE)
        return &base;
#if defined(__x86_64__)
    static const struct sonde_tall_kernels avx512 = { scores_avx512, gradient_avx512 };
    if (target == SONDE_TARGET_AVX512 && sonde_target_here() >= SONDE_TARGET_AVX512)
        return &avx512;
#endif
    return NULL;
}

const struct sonde_tall_kernels *sonde_tall_kernels(void)
{
    const struct sonde_tall_kernels *wide = sonde_tall_kernels_of(SONDE_TARGET_AVX512);
    return wide ? wide : sonde_tall_kernels_of(SONDE_TARGET_BASE);
}
