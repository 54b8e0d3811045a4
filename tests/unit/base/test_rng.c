#include "core/base/rng.h"

#include <string.h>

#include "tests/support/check.h"

/* The vectors "philox4x32 10" of the authors' Random123 distribution (kat_vectors). */
static void known_answers(void **state)
{
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } cases[] = {
        { { 0, 0, 0, 0 }, { 0, 0 }, { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 } },
        { { 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff },
          { 0xffffffff, 0xffffffff },
          { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd } },
        { { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344 },
          { 0xa4093822, 0x299f31d0 },
          { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 } },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint32_t out[4];
        sonde_philox4x32(cases[i].counter, cases[i].key, out);
        assert_memory_equal(out, cases[i].out, sizeof(out));
    }
}

/* Seed is the key, stream the upper and the block number the lower half of the counter. */
static void words_come_from_blocks(void **state)
{
    (void)state;
    uint64_t seed = 0x123456789abcdef0u, stream = 0xfedcba9876543210u;
    struct sonde_rng rng = sonde_rng_make(seed, stream);
    uint32_t key[2] = { 0x9abcdef0, 0x12345678 };
    for (uint32_t block = 0; block < 3; block++) {
        uint32_t counter[4] = { block, 0, 0x76543210, 0xfedcba98 }, out[4];
        sonde_philox4x32(counter, key, out);
        for (int i = 0; i < 4; i++)
            assert_int_equal(sonde_rng_u32(&rng), out[i]);
    }
    rng.counter = 0xffffffffu; /* the carry into the second word */
    rng.used = 0;
    for (int i = 0; i < 4; i++)
        sonde_rng_u32(&rng);
    uint32_t counter[4] = { 0, 1, 0x76543210, 0xfedcba98 }, out[4];
    sonde_philox4x32(counter, key, out);
    assert_int_equal(sonde_rng_u32(&rng), out[0]);
}

static void streams_differ(void **state)
{
    (void)state;
    struct sonde_rng a = sonde_rng_make(42, 0), b = sonde_rng_make(42, 1),
                     c = sonde_rng_make(43, 0);
    struct sonde_rng again = sonde_rng_make(42, 0);
    for (int i = 0; i < 100; i++) {
        uint64_t x = sonde_rng_u64(&a);
        assert_true(x == sonde_rng_u64(&again));
        assert_true(x != sonde_rng_u64(&b));
        assert_true(x != sonde_rng_u64(&c));
    }
    /* FNV-1a of the empty text, "a" and "foobar", as its authors publish them. */
    assert_true(sonde_rng_stream("") == 0xcbf29ce484222325u);
    assert_true(sonde_rng_stream("a") == 0xaf63dc4c8601ec8cu);
    assert_true(sonde_rng_stream("foobar") == 0x85944171f73967e8u);
}

/* Moments within 5 standard errors of n draws. */
static void moments(void **state)
{
    (void)state;
    enum { N = 200000 };
    struct sonde_rng rng = sonde_rng_make(SONDE_SEED_DEFAULT, 7);
    double sum = 0, squares = 0, least = 1, most = 0;
    for (int i = 0; i < N; i++) {
        double u = sonde_rng_uniform(&rng);
        sum += u;
        squares += u * u;
        least = u < least ? u : least;
        most = u > most ? u : most;
    }
    assert_true(least >= 0 && most < 1);
    assert_true(least < 50.0 / N && most > 1 - 50.0 / N);
    check_close(sum / N, 0.5, 5 * sqrt(1.0 / 12 / N));
    check_close(squares / N, 1.0 / 3, 5 * sqrt(4.0 / 45 / N));
    double s1 = 0, s2 = 0, s3 = 0, s4 = 0;
    for (int i = 0; i < N; i++) {
        double z = sonde_rng_normal(&rng);
        assert_true(isfinite(z));
        s1 += z;
        s2 += z * z;
        s3 += z * z * z;
        s4 += z * z * z * z;
    }
    /* Variances of the powers of a standard normal: 1, 2, 15, 96. */
    check_close(s1 / N, 0, 5 * sqrt(1.0 / N));
    check_close(s2 / N, 1, 5 * sqrt(2.0 / N));
    check_close(s3 / N, 0, 5 * sqrt(15.0 / N));
    check_close(s4 / N, 3, 5 * sqrt(96.0 / N));
}

static void below_is_even(void **state)
{
    (void)state;
    struct sonde_rng rng = sonde_rng_make(3, 3);
    enum { N = 70000, SIDES = 7 };
    int counts[SIDES] = { 0 };
    for (int i = 0; i < N; i++) {
        int64_t x = sonde_rng_below(&rng, SIDES);
        assert_true(x >= 0 && x < SIDES);
        counts[x]++;
    }
    double chi2 = 0, expected = (double)N / SIDES;
    for (int i = 0; i < SIDES; i++)
        chi2 += (counts[i] - expected) * (counts[i] - expected) / expected;
    assert_true(chi2 < 27.9); /* 6 degrees of freedom, 1 in 10,000 */
    assert_int_equal(sonde_rng_below(&rng, 1), 0);
    /* 3 * 2^61 does not divide 2^64: taking the remainder alone would give the lower third twice as
     * often as the rest (1/2 of all draws and not 1/3). */
    int64_t wide = (int64_t)3 << 61;
    int lower = 0;
    for (int i = 0; i < N; i++) {
        int64_t x = sonde_rng_below(&rng, wide);
        assert_true(x >= 0 && x < wide);
        lower += x < (int64_t)1 << 61;
    }
    check_close((double)lower / N, 1.0 / 3, 5 * sqrt(2.0 / 9 / N));
    for (int i = 0; i < 100; i++)
        assert_true(sonde_rng_below(&rng, INT64_MAX) >= 0);
}

static void shuffle_is_an_even_permutation_of_all(void **state)
{
    (void)state;
    struct sonde_rng rng = sonde_rng_make(4, 4);
    enum { N = 24000 };
    int counts[24] = { 0 };
    for (int i = 0; i < N; i++) {
        int64_t items[4] = { 0, 1, 2, 3 };
        sonde_rng_shuffle(&rng, items, 4);
        int seen = 0, rank = 0;
        for (int j = 0; j < 4; j++)
            seen |= 1 << items[j];
        assert_int_equal(seen, 15);
        for (int j = 0; j < 4; j++) {
            int smaller = 0;
            for (int k = j + 1; k < 4; k++)
                smaller += items[k] < items[j];
            rank = rank * (4 - j) + smaller;
        }
        counts[rank]++;
    }
    double chi2 = 0;
    for (int i = 0; i < 24; i++)
        chi2 += (counts[i] - 1000.0) * (counts[i] - 1000.0) / 1000;
    assert_true(chi2 < 56); /* 23 degrees of freedom, 1 in 10,000 */
    int64_t one = 5;
    sonde_rng_shuffle(&rng, &one, 1);
    sonde_rng_shuffle(&rng, NULL, 0);
    assert_int_equal(one, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),  cmocka_unit_test(words_come_from_blocks),
        cmocka_unit_test(streams_differ), cmocka_unit_test(moments),
        cmocka_unit_test(below_is_even),  cmocka_unit_test(shuffle_is_an_even_permutation_of_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
