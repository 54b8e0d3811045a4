/* Attention's products on every target: each element is the chain of multiply-adds that the header
 * says, bit for bit, within a derived bound of double precision, wherever it stands. */
#include "core/tensor/vector_product.h"

#include <string.h>

#include "tests/kernels/kernel_check.h"
#include "tests/support/check.h"

struct layout {
    int64_t m, n, k;
    bool transposed, add; /* A is stored [k, m]; C is added to */
};

/* Everything of one product, each array off alignment by an element. */
struct data {
    struct layout l;
    struct guarded a, b, c;
    float *before; /* C at first */
    struct sonde_product p;
};

static struct data data_new(const struct layout *l, uint64_t stream)
{
    struct sonde_rng rng = sonde_rng_make(SONDE_SEED_DEFAULT, stream);
    struct data d = { .l = *l };
    const int64_t b_stride = sonde_product_columns(l->n) + 3, c_stride = l->n + 5;
    d.a = guarded_normal(&rng, (l->m + 2) * (l->k + 2) + 1, 1.0);
    d.b = guarded_normal(&rng, l->k * b_stride + 1, 1.0);
    d.c = guarded_normal(&rng, l->m * c_stride + 1, 1.0);
    d.before = copy_floats(d.c.data, d.c.n);
    d.p = (struct sonde_product){ .n_rows = l->m,
                                  .n_columns = l->n,
                                  .n_inner = l->k,
                                  .a = d.a.data + 1,
                                  .b = d.b.data + 1,
                                  .c = d.c.data + 1,
                                  .a_stride = l->transposed ? 1 : l->k + 2,
                                  .a_step = l->transposed ? l->m + 2 : 1,
                                  .b_stride = b_stride,
                                  .c_stride = c_stride,
                                  .scale = l->add ? 1.0f : 0.3f,
                                  .add = l->add };
    return d;
}

static void data_free(struct data *d)
{
    guarded_free(&d->a);
    guarded_free(&d->b);
    guarded_free(&d->c);
    free(d->before);
}

static bool same_bits(float a, float b)
{
    return memcmp(&a, &b, sizeof(a)) == 0;
}

/* One element against the chain in the order of k, and against double precision: k + 2 roundings
 * of the products and sums, one of the scale; the base target rounds each product too. */
static void check_element(const struct data *d, enum sonde_target target, int64_t i, int64_t j)
{
    const struct sonde_product *p = &d->p;
    const int64_t at = 1 + i * p->c_stride + j;
    float chain = p->add ? d->before[at] : 0.0f;
    double sum = (double)chain, size = fabs(sum);
    for (int64_t k = 0; k < p->n_inner; k++) {
        const float a = p->a[i * p->a_stride + k * p->a_step], b = p->b[k * p->b_stride + j];
        chain = target == SONDE_TARGET_BASE ? a * b + chain : fmaf(a, b, chain);
        sum += (double)a * (double)b;
        size += fabs((double)a * (double)b);
    }
    chain = target == SONDE_TARGET_BASE ? chain * p->scale + 0.0f : fmaf(chain, p->scale, 0.0f);
    const double scale = (double)p->scale;
    assert_true(same_bits(d->c.data[at], chain));
    check_close(d->c.data[at], scale * sum,
                gamma_bound(2.0 * (double)p->n_inner + 2.0) * scale * size);
}

static void check_layout(enum sonde_target target, const struct layout *l, uint64_t stream)
{
    struct data d = data_new(l, stream);
    sonde_product_of(target)(&d.p);
    for (int64_t i = 0; i < l->m; i++) {
        for (int64_t j = 0; j < l->n; j++) {
            check_element(&d, target, i, j);
        }
        for (int64_t j = l->n; j < d.p.c_stride && i + 1 < l->m; j++) {
            const int64_t at = 1 + i * d.p.c_stride + j;
            assert_true(same_bits(d.c.data[at], d.before[at]));
        }
    }
    data_free(&d);
}

static void test_chain_and_bound(void **state)
{
    static const int64_t rows[] = { 0, 1, 2, 3, 4, 5, 6, 7, 11, 12, 13 };
    static const int64_t columns[] = { 0, 1, 8, 15, 16, 17, 31, 33, 48, 50, 64, 65, 130 };
    static const int64_t inner[] = { 0, 1, 2, 7, 64, 131 };
    (void)state;
    for (int t = SONDE_TARGET_BASE; t < SONDE_TARGET_COUNT; t++) {
        if (!sonde_product_of((enum sonde_target)t)) {
            fprintf(stderr, "# SKIP target %d: this machine lacks it\n", t);
            continue;
        }
        for (int i = 0; i < 11 * 13 * 6; i++) {
            const struct layout l = { rows[i % 11], columns[i / 11 % 13], inner[i / 143],
                                      i % 3 == 0, i % 2 == 0 };
            check_layout((enum sonde_target)t, &l, (uint64_t)i);
        }
    }
}

/* NaN in a row of A, a column of B, or the columns that are only read over reaches no other place.
 */
static void test_nan_stays_in_its_place(void **state)
{
    static const struct layout l = { 13, 21, 40, false, false };
    enum { ROW = 7, COLUMN = 18 };
    (void)state;
    for (int t = SONDE_TARGET_BASE; t < SONDE_TARGET_COUNT; t++) {
        sonde_product_function *multiply = sonde_product_of((enum sonde_target)t);
        struct data d = data_new(&l, 1);
        for (int64_t k = 0; k < l.k; k++) {
            for (int64_t j = l.n; j < sonde_product_columns(l.n); j++) {
                d.b.data[1 + k * d.p.b_stride + j] = NAN;
            }
        }
        d.a.data[1 + ROW * d.p.a_stride + 3] = NAN;
        d.b.data[1 + 5 * d.p.b_stride + COLUMN] = INFINITY;
        if (multiply) {
            multiply(&d.p);
        }
        for (int64_t i = 0; i < l.m && multiply; i++) {
            for (int64_t j = 0; j < l.n; j++) {
                assert_int_equal(!isfinite(d.p.c[i * d.p.c_stride + j]), i == ROW || j == COLUMN);
            }
        }
        data_free(&d);
    }
}

/* A chain that underflows to -0 gives what it gives with zeros behind it. */
static void test_zeros_behind_change_nothing(void **state)
{
    (void)state;
    float a[2] = { -0x1p-120f, 0.0f }, b[2][16] = { { 0x1p-120f }, { 1.0f } }, c[1];
    for (int t = SONDE_TARGET_BASE; t < SONDE_TARGET_COUNT; t++) {
        for (int64_t k = 1; k <= 2 && sonde_product_of((enum sonde_target)t); k++) {
            sonde_product_of((enum sonde_target)t)(&(struct sonde_product){
                .n_rows = 1,
                .n_columns = 1,
                .n_inner = k,
                .a = a,
                .b = b[0],
                .c = c,
                .a_stride = 2,
                .a_step = 1,
                .b_stride = 16,
                .c_stride = 1,
                .scale = 1.0f,
            });
            assert_true(same_bits(c[0], 0.0f));
        }
    }
}

/* Dots with the rows of B give the bits of a product with B laid out, for A as wide as B's rows and
 * narrower than their distance; the last row of B ends where its memory ends. A broken row of B
 * reaches its own column. */
static void check_dots(enum sonde_target target, int64_t m, int64_t n, int64_t k, int64_t broken)
{
    const int64_t stride = k + 3, width = sonde_product_columns(n);
    struct sonde_rng rng = sonde_rng_make(SONDE_SEED_DEFAULT, (uint64_t)(m + 20 * n + 2000 * k));
    struct guarded a = guarded_normal(&rng, m * (k + 2), 1.0);
    struct guarded b = guarded_normal(&rng, (n - 1) * stride + k, 1.0);
    struct guarded laid_out = guarded_new(k * width), c = guarded_new(m * (n + 5));
    struct guarded expected = guarded_new(m * (n + 5));
    struct sonde_product p = { .n_rows = m,
                               .n_columns = n,
                               .n_inner = k,
                               .a = a.data,
                               .a_stride = k + 2,
                               .a_step = 1,
                               .b = b.data,
                               .b_stride = stride,
                               .c = c.data,
                               .c_stride = n + 5,
                               .scale = 0.3f };
    for (int64_t e = 0; e < k && broken >= 0; e++) {
        b.data[broken * stride + e] = e % 2 ? NAN : INFINITY;
    }
    for (int64_t i = 0; i < k * width; i++) {
        laid_out.data[i] = i % width < n ? b.data[i % width * stride + i / width] : 0.0f;
    }
    sonde_dots_of(target)(&p);
    p.b = laid_out.data;
    p.b_stride = width;
    p.c = expected.data;
    sonde_product_of(target)(&p);
    for (int64_t i = 0; i < m * (n + 5); i++) {
        const bool is_broken = i % (n + 5) == broken && k > 0;
        assert_true(is_broken || same_bits(c.data[i], expected.data[i]));
        assert_true(!is_broken || !isfinite(c.data[i]));
        assert_int_equal(isnan(c.data[i]) && !is_broken, i % (n + 5) >= n);
    }
    guarded_free(&a);
    guarded_free(&b);
    guarded_free(&laid_out);
    guarded_free(&c);
    guarded_free(&expected);
}

static void test_dots_have_the_bits_of_a_product(void **state)
{
    static const int64_t rows[] = { 1, 2, 3, 4, 5, 8 };
    static const int64_t columns[] = { 1, 3, 4, 7, 8, 9, 15, 16, 17, 40, 65 };
    static const int64_t inner[] = { 1, 3, 4, 6, 16, 31, 64, 130 };
    (void)state;
    for (int t = SONDE_TARGET_BASE; t < SONDE_TARGET_COUNT; t++) {
        assert_int_equal(!sonde_dots_of((enum sonde_target)t),
                         !sonde_product_of((enum sonde_target)t));
        for (int i = 0; i < 6 * 11 * 8 && sonde_dots_of((enum sonde_target)t); i++) {
            const int64_t n = columns[i / 6 % 11];
            check_dots((enum sonde_target)t, rows[i % 6], n, inner[i / 66], -1);
            check_dots((enum sonde_target)t, rows[i % 6], n, inner[i / 66], n - 1);
            check_dots((enum sonde_target)t, rows[i % 6], n, inner[i / 66], n / 2);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chain_and_bound),
        cmocka_unit_test(test_nan_stays_in_its_place),
        cmocka_unit_test(test_zeros_behind_change_nothing),
        cmocka_unit_test(test_dots_have_the_bits_of_a_product),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
