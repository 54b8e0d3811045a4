/* Products with few columns against sums in double; tolerances are k 2^-24 sum |a b|. */
#include <string.h>

#include "core/base/rng.h"
#include "core/tensor/gemm.h"
#include "core/tensor/tall.h"
#include "tests/support/check.h"

enum { MAX_ROWS = 70, MAX_WIDTH = 200, MAX_CLASSES = 20, GUARD = 16 };
static const float guard = -12345.0f;

struct arrays {
    float x[MAX_ROWS * MAX_WIDTH], w[MAX_CLASSES * MAX_WIDTH];
    float out[MAX_CLASSES * (MAX_ROWS + 3) + GUARD];
    float sum[MAX_CLASSES * MAX_WIDTH + GUARD], before[MAX_CLASSES * MAX_WIDTH];
};

static void fill(float *to, int64_t n, struct sonde_rng *rng)
{
    for (int64_t i = 0; i < n; i++)
        to[i] = (float)sonde_rng_normal(rng);
}

static void check_scores(const struct sonde_tall_kernels *k, struct arrays *a, int64_t n,
                         int64_t width, int64_t n_classes)
{
    int64_t ld = n + 3;
    for (int64_t i = 0; i < n_classes * ld + GUARD; i++)
        a->out[i] = guard;
    k->scores(a->out, ld, a->x, n, width, a->w, n_classes);
    for (int64_t c = 0; c < n_classes; c++) {
        for (int64_t i = 0; i < n; i++) {
            double sum = 0, size = 0;
            for (int64_t d = 0; d < width; d++) {
                double product = (double)a->x[i * width + d] * (double)a->w[c * width + d];
                sum += product;
                size += fabs(product);
            }
            check_close(a->out[c * ld + i], sum, (double)width * 0x1p-24 * size);
        }
        for (int64_t i = n; i < ld && c + 1 < n_classes; i++)
            assert_true(a->out[c * ld + i] == guard);
    }
    for (int64_t i = 0; i < GUARD; i++)
        assert_true(a->out[n_classes * ld + i] == guard);
}

static void check_gradient(const struct sonde_tall_kernels *k, struct arrays *a, int64_t n,
                           int64_t width, int64_t n_classes)
{
    int64_t ld = n + 3;
    for (int64_t i = 0; i < GUARD; i++)
        a->sum[n_classes * width + i] = guard;
    memcpy(a->sum, a->before, (size_t)(n_classes * width) * sizeof(float));
    k->gradient(a->sum, a->out, ld, a->x, n, width, n_classes, a->x + n * width);
    for (int64_t c = 0; c < n_classes; c++)
        for (int64_t d = 0; d < width; d++) {
            double sum = (double)a->before[c * width + d], size = fabs(sum);
            for (int64_t i = 0; i < n; i++) {
                double product = (double)a->out[c * ld + i] * (double)a->x[i * width + d];
                sum += product;
                size += fabs(product);
            }
            check_close(a->sum[c * width + d], sum, (double)(n + 1) * 0x1p-24 * size);
        }
    for (int64_t i = 0; i < GUARD; i++)
        assert_true(a->sum[n_classes * width + i] == guard);
}

static void agree_with_double(void **state)
{
    (void)state;
    struct sonde_rng rng = sonde_rng_make(3, 1);
    struct arrays *a = calloc(1, sizeof(*a));
    assert_non_null(a);
    fill(a->x, MAX_ROWS * MAX_WIDTH, &rng);
    fill(a->w, MAX_CLASSES * MAX_WIDTH, &rng);
    fill(a->before, MAX_CLASSES * MAX_WIDTH, &rng);
    static const int64_t n_rows[] = { 0, 1, 3, 4, 5, 64, 70 };
    static const int64_t widths[] = { 1, 15, 16, 17, 64, 71, 128, 200 };
    static const int64_t classes[] = { 1, 2, 3, 4, 5, 6, 7, 12, 17, 20 };
    for (int t = 0; t < SONDE_TARGET_COUNT; t++) {
        const struct sonde_tall_kernels *k = sonde_tall_kernels_of((enum sonde_target)t);
        for (size_t i = 0; k && i < sizeof(n_rows) / sizeof(n_rows[0]); i++)
            for (size_t j = 0; j < sizeof(widths) / sizeof(widths[0]); j++)
                for (size_t c = 0; c < sizeof(classes) / sizeof(classes[0]); c++) {
                    check_scores(k, a, n_rows[i], widths[j], classes[c]);
                    check_gradient(k, a, n_rows[i], widths[j], classes[c]);
                }
    }
    free(a);
}

/* With AVX-512 a row's scores have the same bits alone, at any place and with any neighbours, and
 * rows may be added to a gradient in parts. */
static void parts_have_the_same_bits(void **state)
{
    (void)state;
    const struct sonde_tall_kernels *k = sonde_tall_kernels_of(SONDE_TARGET_AVX512);
    enum { N = 37, D = 83, K = 17 };
    if (!k)
        skip();
    struct sonde_rng rng = sonde_rng_make(3, 2);
    struct arrays *a = calloc(1, sizeof(*a));
    assert_non_null(a);
    fill(a->x, N * D, &rng);
    fill(a->w, K * D, &rng);
    k->scores(a->out, N, a->x, N, D, a->w, K);
    k->gradient(a->sum, a->out, N, a->x, N, D, K, NULL);
    for (int64_t i = 0; i < N; i++) {
        float one[K];
        k->scores(one, 1, a->x + i * D, 1, D, a->w, K);
        for (int64_t c = 0; c < K; c++)
            assert_true(one[c] == a->out[c * N + i]);
    }
    memset(a->before, 0, sizeof(a->before));
    for (int64_t first = 0; first < N; first += 10)
        k->gradient(a->before, a->out + first, N, a->x + first * D, N - first < 10 ? N - first : 10,
                    D, K, NULL);
    assert_memory_equal(a->before, a->sum, (size_t)(K * D) * sizeof(float));
    free(a);
}

static void symmetric_product_is_its_sum(void **state)
{
    (void)state;
    enum { N = 45, K = 33, LDC = 50 };
    struct sonde_rng rng = sonde_rng_make(3, 3);
    float a[K * N], c[N * LDC];
    fill(a, K * N, &rng);
    for (int64_t i = 0; i < N * LDC; i++)
        c[i] = guard;
    sonde_ssyrk(N, K, a, N, c, LDC);
    for (int64_t i = 0; i < N; i++)
        for (int64_t j = 0; j < LDC; j++) {
            double sum = 0, size = 0;
            for (int64_t k = 0; k < K && j < N; k++) {
                sum += (double)a[k * N + i] * (double)a[k * N + j];
                size += fabs((double)a[k * N + i] * (double)a[k * N + j]);
            }
            if (j >= i && j < N)
                check_close(c[i * LDC + j], sum, K * 0x1p-24 * size);
            else
                assert_true(c[i * LDC + j] == guard);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agree_with_double),
        cmocka_unit_test(parts_have_the_same_bits),
        cmocka_unit_test(symmetric_product_is_its_sum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
