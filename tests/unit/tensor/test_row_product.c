/* Products of rows that stand alone: against sums in double, and bit for bit against each other. */
#include "core/tensor/row_product.h"

#include <float.h>
#include <string.h>

#include "core/base/rng.h"
#include "core/tensor/gemm.h"
#include "core/tensor/ops.h"
#include "tests/support/check.h"

enum { GUARD = 7 };
static const float guard_value = -12345.0f;

static float *random_floats(struct sonde_rng *rng, int64_t n)
{
    float *values = malloc((size_t)(n + 1) * sizeof *values);
    for (int64_t i = 0; i < n; i++) {
        values[i] = (float)((double)sonde_rng_u32(rng) * 0x1p-31 - 1.0);
    }
    return values;
}

struct shape {
    int64_t m, n, k;
    bool transposed, has_bias;
};

/* K products and K additions in some order, and one addition more of the bias. */
static void check_shape(const struct shape *s, enum sonde_row_target target, float *out)
{
    struct sonde_rng rng = sonde_rng_make(SONDE_SEED_DEFAULT, (uint64_t)(s->n * 1000 + s->k));
    const int64_t ldx = s->k + 3, ldw = (s->transposed ? s->k : s->n) + 5, ldy = s->n + GUARD;
    float *x = random_floats(&rng, s->m * ldx);
    float *w = random_floats(&rng, (s->transposed ? s->n : s->k) * ldw);
    float *bias = random_floats(&rng, s->n);
    float *y = malloc((size_t)(s->m * ldy + 1) * sizeof *y);
    for (int64_t i = 0; i < s->m * ldy; i++) {
        y[i] = guard_value;
    }
    sonde_row_product_on(target, s->m, s->n, s->k, x, ldx, w, ldw, s->transposed,
                         s->has_bias ? bias : NULL, y, ldy);
    const double u = FLT_EPSILON / 2, steps = 2.0 * (double)s->k + 1.0;
    for (int64_t t = 0; t < s->m; t++) {
        for (int64_t j = 0; j < s->n; j++) {
            double want = s->has_bias ? (double)bias[j] : 0.0, size = fabs(want);
            for (int64_t i = 0; i < s->k; i++) {
                const double product =
                    (double)x[t * ldx + i] * (double)w[s->transposed ? j * ldw + i : i * ldw + j];
                want += product;
                size += fabs(product);
            }
            check_close(y[t * ldy + j], want, steps * u / (1 - steps * u) * size);
            out[t * s->n + j] = y[t * ldy + j];
        }
        for (int64_t j = s->n; j < ldy; j++) {
            assert_true(y[t * ldy + j] == guard_value);
        }
    }
    free(x);
    free(w);
    free(bias);
    free(y);
}

static void test_values(void **state)
{
    (void)state;
    const int64_t m[] = { 1, 2, 3, 5, 6, 7, 11, 12, 23 };
    const int64_t n[] = { 1, 7, 15, 16, 17, 33, 63, 64, 65, 130 };
    const int64_t k[] = { 0, 1, 2, 31, 127, 128, 129, 300 };
    float *out = malloc(23 * 130 * sizeof *out), *other = malloc(23 * 130 * sizeof *out);
    for (size_t i = 0; i < sizeof m / sizeof *m * (sizeof n / sizeof *n); i++) {
        for (size_t j = 0; j < sizeof k / sizeof *k; j++) {
            struct shape s = { m[i % 9], n[i / 9], k[j], (i + j) % 2 == 1, j % 3 != 0 };
            for (int target = 0; target <= (int)sonde_row_product_target(); target++) {
                check_shape(&s, (enum sonde_row_target)target, target == 2 ? other : out);
            }
            if (sonde_row_product_target() == SONDE_ROW_TARGET_AVX512) {
                assert_memory_equal(out, other, (size_t)(s.m * s.n) * sizeof *out);
            }
        }
    }
    free(out);
    free(other);
}

/* y[n] of n_rows equal rows is the same at every place, and as `want` where that is set. */
static void check_rows(struct sonde_op_context *ops, const struct sonde_weight *w,
                       const struct sonde_weight *b, const float *row, int64_t n_rows, float *want,
                       bool first)
{
    const int64_t n_in = sonde_weight_in(w), n_out = sonde_weight_out(w);
    float *x = malloc((size_t)(n_rows * n_in) * sizeof *x);
    float *y = malloc((size_t)(n_rows * n_out) * sizeof *y);
    for (int64_t t = 0; t < n_rows; t++) {
        memcpy(x + t * n_in, row, (size_t)n_in * sizeof *x);
    }
    sonde_op_linear(ops, sonde_tensor_2d(y, n_rows, n_out), sonde_tensor_2d(x, n_rows, n_in), w, b);
    assert_false(ops->failed);
    for (int64_t t = 0; t < n_rows; t++) {
        if (first && t == 0) {
            memcpy(want, y, (size_t)n_out * sizeof *y);
        }
        assert_memory_equal(y + t * n_out, want, (size_t)n_out * sizeof *y);
    }
    free(x);
    free(y);
}

/* On every BLAS for small weights, and for the others where its rows are free from some count on.
 * 768 x 768 has panels of 512 and 256 outputs: below 3 and 6 rows BLAS takes another kernel. */
static void test_linear_rows_stand_alone(void **state)
{
    (void)state;
    const int64_t shapes[][2] = { { 32, 32 }, { 64, 256 }, { 7, 130 }, { 768, 768 }, { 300, 301 } };
    const int64_t counts[] = {
        20, 1, 2, 3, 4, 5, 6, 9, 15, 16, 17, 64, 255, 256, 257, 260, 512, 513
    };
    struct sonde_op_context ops = { .arena = sonde_arena_create(0) };
    struct sonde_rng rng = sonde_rng_make(SONDE_SEED_DEFAULT, 7);
    int n_checked = 0;
    for (size_t i = 0; i < 2 * sizeof shapes / sizeof *shapes; i++) {
        const int64_t n_in = shapes[i / 2][0], n_out = shapes[i / 2][1];
        const bool transposed = i % 2 == 1;
        const int64_t free_from = sonde_gemm_free_rows(!transposed, n_out, n_in, true, 256);
        if (!sonde_row_product_fits(n_in, n_out) && (free_from == 0 || free_from > 16)) {
            continue; /* this BLAS does not allow it */
        }
        float *values = random_floats(&rng, n_in * n_out), *bias = random_floats(&rng, n_out);
        float *row = random_floats(&rng, n_in), *want = malloc((size_t)n_out * sizeof *want);
        struct sonde_weight w = { .data = values,
                                  .dtype = SONDE_DTYPE_F32,
                                  .rows = transposed ? n_in : n_out,
                                  .columns = transposed ? n_out : n_in,
                                  .transposed = transposed };
        struct sonde_weight b = {
            .data = bias, .dtype = SONDE_DTYPE_F32, .rows = 1, .columns = n_out
        };
        for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
            check_rows(&ops, &w, &b, row, counts[c], want, c == 0);
        }
        n_checked++;
        free(values);
        free(bias);
        free(row);
        free(want);
    }
    assert_true(n_checked >= 6);
    assert_int_equal(sonde_arena_used(ops.arena), 0);
    sonde_arena_destroy(&ops.arena);
}

/* The fewest rows leave OpenBLAS's small kernels behind: m n k > 10^6. */
static void test_least_rows(void **state)
{
    (void)state;
    assert_true(sonde_row_product_fits(255, 257) && !sonde_row_product_fits(256, 256));
    assert_true(!sonde_row_product_fits(1, 1 << 16));
    for (int64_t k = 1; k < 5000; k += 37) {
        for (int64_t n = 1; n < 5000; n += 41) {
            const int64_t least = sonde_row_product_least(k, n);
            assert_true(least >= 2 && least <= 16);
            assert_true(sonde_row_product_fits(k, n) || least * k * n > 1000000);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_linear_rows_stand_alone),
        cmocka_unit_test(test_least_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
