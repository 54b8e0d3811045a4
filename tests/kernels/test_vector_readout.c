/* Loops over logits: every target against the plain loop, and all targets with the same bits. */
#include <string.h>

#include "core/base/rng.h"
#include "core/tensor/vector_readout.h"
#include "tests/support/check.h"

enum { MOST = 300, GUARD = 0x5a5a };

/* Values with ties, infinities and, with `broken`, NaN. */
static void fill(float *x, int64_t n, uint64_t seed, bool broken)
{
    struct sonde_rng rng = sonde_rng_make(seed, 11);
    for (int64_t i = 0; i < n; i++) {
        x[i] = (float)((double)sonde_rng_below(&rng, 64) / 8.0 - 4.0);
        const int64_t kind = sonde_rng_below(&rng, 40);
        x[i] = kind == 0 ? INFINITY : kind == 1 ? -INFINITY : x[i];
        x[i] = broken && kind == 2 ? (float)NAN : x[i];
    }
}

static void test_above(void **state)
{
    float x[MOST];
    const float thresholds[] = { -INFINITY, -1.0f, 0.0f, 3.875f, INFINITY, (float)NAN };
    (void)state;
    for (int64_t n = 0; n <= MOST; n = n < 70 ? n + 1 : n + 23) {
        fill(x, n, (uint64_t)n, true);
        for (int c = 0; c < 6; c++) {
            for (int t = 0; t < SONDE_TARGET_COUNT; t++) {
                const struct sonde_readout_kernels *k = sonde_readout_kernels_of(t);
                int32_t index[MOST + 1];
                int64_t want = 0;
                if (!k) {
                    continue;
                }
                index[n] = GUARD;
                const int64_t found = k->find_above(index, x, thresholds[c], n);
                assert_int_equal(index[n], GUARD);
                for (int32_t i = 0; i < n; i++) {
                    if (x[i] > thresholds[c]) {
                        assert_true(want < found);
                        assert_int_equal(index[want++], i);
                    }
                }
                assert_int_equal(found, want);
                assert_int_equal(k->count_above(x, thresholds[c], n), want);
            }
        }
    }
}

/* n double roundings of the sum of the terms' sizes. */
static void test_sum_weighted(void **state)
{
    float w[MOST], x[MOST];
    struct sonde_rng rng = sonde_rng_make(5, 5);
    (void)state;
    for (int64_t n = 0; n <= MOST; n = n < 70 ? n + 1 : n + 23) {
        double want[2] = { 0, 0 }, size[2] = { 0, 0 }, first[2] = { 0, 0 };
        for (int64_t i = 0; i < n; i++) {
            w[i] = (float)sonde_rng_uniform(&rng);
            x[i] = (float)(100 * sonde_rng_normal(&rng));
            want[0] += (double)w[i];
            want[1] += (double)w[i] * (double)x[i];
            size[0] += fabs((double)w[i]);
            size[1] += fabs((double)w[i] * (double)x[i]);
        }
        for (int t = 0; t < SONDE_TARGET_COUNT; t++) {
            const struct sonde_readout_kernels *k = sonde_readout_kernels_of(t);
            double sums[2];
            if (!k) {
                continue;
            }
            k->sum_weighted(w, x, n, sums);
            for (int i = 0; i < 2; i++) {
                check_close(sums[i], want[i], (double)(n + 1) * 0x1p-52 * size[i]);
            }
            if (t == SONDE_TARGET_BASE) {
                memcpy(first, sums, sizeof(first));
            }
            assert_memory_equal(sums, first, sizeof(first));
        }
    }
}

/* The logarithm's own error, then those of n sums of the terms' sizes. */
static void test_sum_places(void **state)
{
    float p[MOST];
    struct sonde_rng rng = sonde_rng_make(6, 6);
    (void)state;
    for (int64_t n = 0; n <= MOST; n = n < 70 ? n + 1 : n + 23) {
        const int64_t first = n * 1000;
        double want[3] = { 0 }, size[3] = { 0 }, base[3] = { 0 };
        for (int64_t i = 0; i < n; i++) {
            const int64_t kind = sonde_rng_below(&rng, 8);
            p[i] = (float)exp(-20 * sonde_rng_uniform(&rng));
            p[i] = kind == 0   ? 0.0f
                   : kind == 1 ? -p[i]
                   : kind == 2 ? 1.0f
                   : kind == 3 ? p[i] * 0x1p-120f /* some of them subnormal */
                               : p[i];
            const double x = (double)p[i], place = (double)(first + i);
            const double entropy = x > 0 ? -x * log(x) : 0.0;
            want[0] += x, want[1] += x * place, want[2] += entropy;
            size[0] += fabs(x), size[1] += fabs(x * place), size[2] += fabs(entropy);
        }
        for (int t = 0; t < SONDE_TARGET_COUNT; t++) {
            const struct sonde_readout_kernels *k = sonde_readout_kernels_of(t);
            double sums[3];
            if (!k) {
                continue;
            }
            k->sum_places(p, first, n, sums);
            check_close(sums[0], want[0], (double)(n + 1) * 0x1p-52 * size[0]);
            check_close(sums[1], want[1], (double)(n + 1) * 0x1p-52 * size[1]);
            /* A subnormal weight is below 2^-126, its logarithm's error below 128. */
            check_close(sums[2], want[2], 0x1p-38 * size[2] + (double)n * 0x1p-119);
            if (t == SONDE_TARGET_BASE) {
                memcpy(base, sums, sizeof(base));
            }
            assert_memory_equal(sums, base, sizeof(base));
            if (n > 0) {
                const float kept = p[n / 2];
                p[n / 2] = (float)NAN;
                k->sum_places(p, first, n, sums);
                assert_false(isfinite(sums[0]));
                p[n / 2] = -INFINITY;
                k->sum_places(p, first, n, sums);
                assert_false(isfinite(sums[0]));
                p[n / 2] = kept;
            }
        }
    }
}

static void test_max_difference(void **state)
{
    float a[MOST], b[MOST];
    (void)state;
    for (int64_t n = 0; n <= MOST; n = n < 70 ? n + 1 : n + 23) {
        fill(a, n, (uint64_t)n, true);
        fill(b, n, (uint64_t)n + 1000, true);
        float off = 0.0f, size = 0.0f;
        for (int64_t i = 0; i < n; i++) {
            off = fmaxf(off, fabsf(a[i] - b[i]));
            size = fmaxf(size, fabsf(b[i]));
        }
        for (int t = 0; t < SONDE_TARGET_COUNT; t++) {
            const struct sonde_readout_kernels *k = sonde_readout_kernels_of(t);
            float largest[2];
            if (!k) {
                continue;
            }
            k->max_difference(a, b, n, largest);
            check_close(largest[0] == off, 1, 0);
            check_close(largest[1] == size, 1, 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_above),
        cmocka_unit_test(test_sum_weighted),
        cmocka_unit_test(test_sum_places),
        cmocka_unit_test(test_max_difference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
