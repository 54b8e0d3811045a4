#include "core/tensor/dtype.h"

#include <string.h>

#include "core/base/rng.h"
#include "tests/support/check.h"

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

/* The value of a small float from its fields, by ldexp: sign, exponent bits, mantissa bits. */
static double build_value(unsigned bits, int n_exponent, int n_mantissa)
{
    const int exponent = (int)(bits >> n_mantissa) & ((1 << n_exponent) - 1);
    const int mantissa = (int)bits & ((1 << n_mantissa) - 1);
    const int bias = (1 << (n_exponent - 1)) - 1;
    const double sign = bits >> (n_exponent + n_mantissa) ? -1.0 : 1.0;
    if (exponent == (1 << n_exponent) - 1) {
        return mantissa ? (double)NAN : sign * HUGE_VAL;
    }
    if (exponent == 0) {
        return sign * ldexp(mantissa, 1 - bias - n_mantissa);
    }
    return sign * ldexp((1 << n_mantissa) + mantissa, exponent - bias - n_mantissa);
}

static void test_every_half_widens(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 65536; i++) {
        const uint16_t half = (uint16_t)i;
        const double f16 = build_value(i, 5, 10), bf16 = build_value(i, 8, 7);
        const float a = sonde_f16_to_f32(half), b = sonde_bf16_to_f32(half);
        if (isnan(f16)) {
            /* Quiet, sign and payload kept. */
            assert_int_equal(bits_of(a), (i & 0x8000u) << 16 | 0x7fc00000u | (i & 0x3ffu) << 13);
        } else {
            assert_int_equal(bits_of(a), bits_of((float)f16));
        }
        if (isnan(bf16)) {
            assert_true(isnan(b));
        } else {
            assert_int_equal(bits_of(b), bits_of((float)bf16));
        }
    }
}

static void test_every_half_survives(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 65536; i++) {
        const uint16_t half = (uint16_t)i;
        const uint16_t f16 = sonde_f32_to_f16(sonde_f16_to_f32(half));
        const uint16_t bf16 = sonde_f32_to_bf16(sonde_bf16_to_f32(half));
        /* NaN becomes quiet; its sign and the rest of its payload are kept. */
        assert_int_equal(f16, isnan(build_value(i, 5, 10)) ? i | 0x200u : i);
        assert_int_equal(bf16, isnan(build_value(i, 8, 7)) ? i | 0x40u : i);
    }
}

/* Rounds to nearest even by doubles: between neighbours `low` and `low + 1` (magnitudes as bits).
 */
static unsigned nearest(double value, unsigned low, int n_exponent, int n_mantissa)
{
    const unsigned infinity = ((1u << n_exponent) - 1) << n_mantissa;
    const double below = build_value(low, n_exponent, n_mantissa);
    /* Beyond the largest the next step stands where the range would go on. */
    const double above = low + 1 < infinity
                             ? build_value(low + 1, n_exponent, n_mantissa)
                             : 2.0 * below - build_value(low - 1, n_exponent, n_mantissa);
    const double to_below = value - below, to_above = above - value;
    if (to_below != to_above) {
        return to_below < to_above ? low : low + 1;
    }
    return low % 2 ? low + 1 : low;
}

static void check_narrowing(float value, unsigned low)
{
    const unsigned f16 = nearest((double)value, low, 5, 10);
    assert_int_equal(sonde_f32_to_f16(value), f16);
    assert_int_equal(sonde_f32_to_f16(-value), f16 | 0x8000u);
}

/* The midpoint above every finite half, its two neighbours, and random points in the step. */
static void test_f16_rounds_to_nearest_even(void **state)
{
    (void)state;
    struct sonde_rng rng = sonde_rng_make(SONDE_SEED_DEFAULT, 1);
    for (unsigned low = 0; low < 0x7c00; low++) {
        const float below = sonde_f16_to_f32((uint16_t)low);
        const float step = low < 0x400 ? 0x1p-24f : ldexpf(1.0f, (int)(low >> 10) - 25);
        const float middle = below + step / 2.0f; /* exact */
        check_narrowing(middle, low);
        check_narrowing(nextafterf(middle, 0.0f), low);
        check_narrowing(nextafterf(middle, INFINITY), low);
        for (int i = 0; i < 4; i++) {
            check_narrowing(below + step * (float)(sonde_rng_u32(&rng) >> 12) * 0x1p-20f, low);
        }
    }
    assert_int_equal(sonde_f32_to_f16(1e30f), 0x7c00);
    assert_int_equal(sonde_f32_to_f16(-INFINITY), 0xfc00);
    assert_int_equal(sonde_f32_to_f16(1e-30f), 0);
    assert_int_equal(sonde_f32_to_f16(-0.0f), 0x8000);
}

static void test_bf16_rounds_to_nearest_even(void **state)
{
    (void)state;
    struct sonde_rng rng = sonde_rng_make(SONDE_SEED_DEFAULT, 2);
    for (unsigned low = 1; low < 0x7f80; low++) {
        for (int i = 0; i < 8; i++) {
            static const uint32_t tails[] = { 0x8000, 0x7fff, 0x8001, 0, 0xffff };
            const uint32_t tail = i < 5 ? tails[i] : sonde_rng_u32(&rng) & 0xffff;
            const uint32_t bits = low << 16 | tail;
            float value;
            memcpy(&value, &bits, sizeof(value));
            const unsigned expected = nearest((double)value, low, 8, 7);
            assert_int_equal(sonde_f32_to_bf16(value), expected);
            assert_int_equal(sonde_f32_to_bf16(-value), expected | 0x8000u);
        }
    }
    assert_int_equal(sonde_f32_to_bf16(INFINITY), 0x7f80);
    assert_int_equal(sonde_f32_to_bf16(-0.0f), 0x8000);
}

static void test_nan_stays_nan(void **state)
{
    (void)state;
    static const uint32_t patterns[] = { 0x7f800001, 0x7fc00000, 0xffffffff, 0xff800001,
                                         0x7fbfffff };
    for (int i = 0; i < 5; i++) {
        float value;
        memcpy(&value, &patterns[i], sizeof(value));
        const uint16_t f16 = sonde_f32_to_f16(value), bf16 = sonde_f32_to_bf16(value);
        assert_int_equal(f16 & 0x7e00, 0x7e00);
        assert_int_equal(bf16 & 0x7fc0, 0x7fc0);
        assert_int_equal(f16 >> 15, patterns[i] >> 31);
        assert_int_equal(bf16 >> 15, patterns[i] >> 31);
    }
}

/* Arrays agree with the single functions at every length and every alignment, and touch no
 * neighbour. */
static void test_arrays(void **state)
{
    (void)state;
    enum { MAX = 67 };
    struct sonde_rng rng = sonde_rng_make(SONDE_SEED_DEFAULT, 3);
    static const enum sonde_dtype dtypes[] = { SONDE_DTYPE_F32, SONDE_DTYPE_F16, SONDE_DTYPE_BF16 };
    for (int n = 0; n <= MAX; n++) {
        for (int d = 0; d < 3; d++) {
            unsigned char bytes[4 * MAX + 8];
            float wide[MAX + 1], values[MAX];
            const size_t size = sonde_dtype_size(dtypes[d]);
            for (int i = 0; i < n; i++) {
                values[i] = (float)(sonde_rng_normal(&rng) * 100.0);
            }
            memset(bytes, 0xa5, sizeof(bytes));
            wide[n] = 12345.0f;
            sonde_dtype_narrow(dtypes[d], values, bytes + 1, n);
            sonde_dtype_widen(dtypes[d], bytes + 1, wide, n);
            assert_int_equal(bytes[0], 0xa5);
            assert_int_equal(bytes[1 + (size_t)n * size], 0xa5);
            assert_true(wide[n] == 12345.0f);
            for (int i = 0; i < n; i++) {
                const float expected =
                    d == 0 ? values[i]
                           : (d == 1 ? sonde_f16_to_f32(sonde_f32_to_f16(values[i]))
                                     : sonde_bf16_to_f32(sonde_f32_to_bf16(values[i])));
                assert_true(wide[i] == expected);
            }
        }
    }
}

static void test_widen_numbers(void **state)
{
    (void)state;
    unsigned char bytes[40];
    float wide[2];
    const double f64[2] = { 0.1, -1e300 };
    memcpy(bytes + 3, f64, sizeof(f64));
    sonde_dtype_widen(SONDE_DTYPE_F64, bytes + 3, wide, 2);
    assert_true(wide[0] == 0.1f && wide[1] == -INFINITY);
    const int64_t i64[2] = { 16777217, INT64_MIN };
    memcpy(bytes + 1, i64, sizeof(i64));
    sonde_dtype_widen(SONDE_DTYPE_I64, bytes + 1, wide, 2);
    assert_true(wide[0] == 16777216.0f && wide[1] == -0x1p63f);
    const int32_t i32[2] = { -7, INT32_MAX };
    memcpy(bytes + 1, i32, sizeof(i32));
    sonde_dtype_widen(SONDE_DTYPE_I32, bytes + 1, wide, 2);
    assert_true(wide[0] == -7.0f && wide[1] == 0x1p31f);
    const int16_t i16[2] = { -32768, 32767 };
    memcpy(bytes + 1, i16, sizeof(i16));
    sonde_dtype_widen(SONDE_DTYPE_I16, bytes + 1, wide, 2);
    assert_true(wide[0] == -32768.0f && wide[1] == 32767.0f);
    const unsigned char small[2] = { 0xff, 2 };
    sonde_dtype_widen(SONDE_DTYPE_I8, small, wide, 2);
    assert_true(wide[0] == -1.0f && wide[1] == 2.0f);
    sonde_dtype_widen(SONDE_DTYPE_U8, small, wide, 2);
    assert_true(wide[0] == 255.0f && wide[1] == 2.0f);
    sonde_dtype_widen(SONDE_DTYPE_BOOL, small, wide, 2);
    assert_true(wide[0] == 1.0f && wide[1] == 1.0f);
}

static void test_names(void **state)
{
    (void)state;
    static const size_t sizes[] = { 0, 4, 2, 2, 8, 8, 4, 2, 1, 1, 1 };
    for (int i = SONDE_DTYPE_NONE; i <= SONDE_DTYPE_BOOL; i++) {
        const enum sonde_dtype dtype = (enum sonde_dtype)i;
        assert_int_equal(sonde_dtype_size(dtype), sizes[i]);
        assert_int_equal(sonde_dtype_from_name(sonde_dtype_name(dtype)),
                         i == SONDE_DTYPE_NONE ? SONDE_DTYPE_NONE : dtype);
        assert_int_equal(sonde_dtype_is_weight(dtype),
                         i >= SONDE_DTYPE_F32 && i <= SONDE_DTYPE_BF16);
    }
    assert_int_equal(sonde_dtype_from_name("BF16"), SONDE_DTYPE_BF16);
    assert_int_equal(sonde_dtype_from_name("f8"), SONDE_DTYPE_NONE);
    assert_int_equal(sonde_dtype_from_name(""), SONDE_DTYPE_NONE);
    assert_string_equal(sonde_dtype_name(SONDE_DTYPE_F16), "f16");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_half_widens),
        cmocka_unit_test(test_every_half_survives),
        cmocka_unit_test(test_f16_rounds_to_nearest_even),
        cmocka_unit_test(test_bf16_rounds_to_nearest_even),
        cmocka_unit_test(test_nan_stays_nan),
        cmocka_unit_test(test_arrays),
        cmocka_unit_test(test_widen_numbers),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
