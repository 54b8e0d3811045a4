/* Codec and layout. */
#include "storage/codec.h"
#include "storage/layout.h"

#include <string.h>

#include "core/base/rng.h"
#include "tests/support/check.h"

static void test_round_trip(void **state)
{
    (void)state;
    struct sonde_coder *coder = sonde_coder_create();
    struct sonde_error error = { 0 };
    struct sonde_rng rng = sonde_rng_make(1, 1);
    static const int64_t elements[] = { 1, 2, 4 };
    for (int e = 0; e < 3; e++)
        for (int64_t n = 0; n < 3000; n = n * 2 + 1)
            for (int kind = 0; kind < 3; kind++) {
                int64_t bytes = n * elements[e], stored = 0;
                uint8_t *raw = malloc((size_t)bytes + 1), *back = malloc((size_t)bytes + 1);
                for (int64_t i = 0; i < bytes; i++)
                    raw[i] = kind == 0   ? 0
                             : kind == 1 ? (uint8_t)(i % elements[e])
                                         : (uint8_t)sonde_rng_u32(&rng);
                enum sonde_codec codec = SONDE_CODEC_ZLIB;
                const void *out = NULL;
                check_ok(sonde_coder_encode(coder, &codec, raw, bytes, elements[e], &out, &stored,
                                            &error),
                         &error);
                assert_true(stored <= bytes);
                /* Noise is kept as it is, anything else gets smaller. */
                if (n > 100)
                    assert_int_equal(codec, kind == 2 ? SONDE_CODEC_NONE : SONDE_CODEC_ZLIB);
                uint8_t *copy = malloc((size_t)stored + 1);
                memcpy(copy, out, (size_t)stored);
                check_ok(sonde_coder_decode(coder, codec, copy, stored, elements[e], back, bytes,
                                            &error),
                         &error);
                assert_memory_equal(raw, back, (size_t)bytes);
                free(copy);
                free(raw);
                free(back);
            }
    sonde_coder_destroy(&coder);
    assert_null(coder);
}

/* Every way to mix planes of noise, zeros and a few values: each change of the plane's kind is a
 * change of zlib's level within one stream. Noise planes are stored, so what remains is known. */
static void test_planes(void **state)
{
    (void)state;
    enum { N = 66000, ELEMENT = 4, KINDS = 3 };
    struct sonde_coder *coder = sonde_coder_create();
    struct sonde_error error = { 0 };
    struct sonde_rng rng = sonde_rng_make(2, 1);
    uint8_t *raw = malloc((size_t)N * ELEMENT), *back = malloc((size_t)N * ELEMENT);
    uint8_t *copy = malloc((size_t)N * ELEMENT);
    for (int mix = 0; mix < KINDS * KINDS * KINDS * KINDS; mix++) {
        int n_noise = 0, kinds = mix;
        for (int p = 0; p < ELEMENT; p++, kinds /= KINDS) {
            int kind = kinds % KINDS;
            n_noise += kind == 0;
            for (int64_t i = 0; i < N; i++) {
                uint32_t x = sonde_rng_u32(&rng);
                raw[i * ELEMENT + p] = kind == 0 ? (uint8_t)x : kind == 1 ? 0 : (uint8_t)(x & 3);
            }
        }
        enum sonde_codec codec = SONDE_CODEC_ZLIB;
        const void *out = NULL;
        int64_t stored = 0;
        check_ok(sonde_coder_encode(coder, &codec, raw, (int64_t)N * ELEMENT, ELEMENT, &out,
                                    &stored, &error),
                 &error);
        assert_int_equal(codec, n_noise == ELEMENT ? SONDE_CODEC_NONE : SONDE_CODEC_ZLIB);
        /* Two bits a byte and a little where four values are equally frequent. */
        assert_true(stored <= (int64_t)N * n_noise + (int64_t)N * (ELEMENT - n_noise) * 30 / 100);
        memcpy(copy, out, (size_t)stored);
        check_ok(sonde_coder_decode(coder, codec, copy, stored, ELEMENT, back, (int64_t)N * ELEMENT,
                                    &error),
                 &error);
        assert_memory_equal(raw, back, (size_t)N * ELEMENT);
    }
    free(raw);
    free(back);
    free(copy);
    sonde_coder_destroy(&coder);
}

static void expect_decode(struct sonde_coder *coder, const uint8_t *data, int64_t n,
                          int64_t raw_bytes, const char *message)
{
    struct sonde_error error = { 0 };
    uint8_t *back = malloc((size_t)raw_bytes + 16);
    memset(back, 0xa5, (size_t)raw_bytes + 16);
    assert_int_equal(
        sonde_coder_decode(coder, SONDE_CODEC_ZLIB, data, n, 4, back, raw_bytes, &error),
        SONDE_STATUS_FORMAT);
    assert_string_equal(error.text, message);
    for (int i = 0; i < 16; i++)
        assert_int_equal(back[raw_bytes + i], 0xa5);
    free(back);
}

static void test_hostile_data(void **state)
{
    (void)state;
    struct sonde_coder *coder = sonde_coder_create();
    struct sonde_error error = { 0 };
    const int64_t bytes = 1 << 20;
    uint8_t *zero = calloc(1, (size_t)bytes);
    enum sonde_codec codec = SONDE_CODEC_ZLIB;
    const void *out = NULL;
    int64_t n = 0;
    check_ok(sonde_coder_encode(coder, &codec, zero, bytes, 4, &out, &n, &error), &error);
    uint8_t *packed = malloc((size_t)n + 8);
    memcpy(packed, out, (size_t)n);
    /* A mebibyte behind a row that speaks of 64 KiB. */
    expect_decode(coder, packed, n, 1 << 16, "the compressed data gives more than its 65536 bytes");
    expect_decode(coder, packed, n, bytes + 4,
                  "the compressed data gives 1048576 bytes, expected "
                  "1048580");
    expect_decode(coder, packed, n - 1, bytes, "the compressed data ends early");
    expect_decode(coder, packed, 0, bytes, "the compressed data ends early");
    memset(packed + n, 0, 8);
    expect_decode(coder, packed, n + 3, bytes, "3 bytes are left over behind the compressed data");
    packed[n - 1] ^= 1;
    expect_decode(coder, packed, n, bytes, "the compressed data is corrupt: incorrect data check");
    packed[0] = 0xff;
    expect_decode(coder, packed, n, bytes,
                  "the compressed data is corrupt: incorrect header check");
    expect_decode(coder, packed, bytes + 1, bytes,
                  "1048577 compressed bytes for 1048576 bytes of data");
    assert_int_equal(sonde_coder_decode(coder, SONDE_CODEC_NONE, zero, 8, 4, packed, 4, &error),
                     SONDE_STATUS_FORMAT);
    free(packed);
    free(zero);
    sonde_coder_destroy(&coder);
}

/* The check value of the CRC-32 that zlib, PNG and gzip share. */
static void test_crc32(void **state)
{
    (void)state;
    assert_int_equal(sonde_codec_crc32("123456789", 9), 0xcbf43926);
    assert_int_equal(sonde_codec_crc32("", 0), 0);
    /* Against the definition, a bit at a time, at every length around the steps of the fast way. */
    uint8_t data[1100];
    struct sonde_rng rng = sonde_rng_make(5, 5);
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)sonde_rng_u32(&rng);
    for (int64_t n = 0; n < 1090; n++) {
        uint32_t want = 0xffffffffu;
        for (int64_t i = 0; i < n; i++) {
            want ^= data[i + n % 9];
            for (int bit = 0; bit < 8; bit++)
                want = want >> 1 ^ (want & 1 ? 0xedb88320u : 0);
        }
        assert_int_equal(sonde_codec_crc32(data + n % 9, n), ~want);
    }
}

static void test_layout(void **state)
{
    (void)state;
    struct sonde_stream s = { .space = SONDE_ROWS_TOKEN, .rank = 1 };
    strcpy(s.name, "x");
    for (int64_t width = 1; width < 3000000; width = width * 3 + 1) {
        s.width = s.dim[0] = width;
        for (enum sonde_dtype d = SONDE_DTYPE_F32; d <= SONDE_DTYPE_BF16; d++) {
            s.dtype = d;
            int64_t values = sonde_layout_chunk_values(&s);
            int64_t bytes = values * (int64_t)sonde_dtype_size(d);
            assert_true(bytes >= 230 << 10 && bytes <= 4 << 20);
            if (width <= 1000)
                assert_int_equal(values % width, 0);
        }
    }
    int64_t n = 0;
    s.width = 12;
    s.space = SONDE_ROWS_MAP;
    assert_true(sonde_layout_sequence_values(&s, 2048, &n));
    assert_int_equal(n, 12LL * 2048 * 2048);
    assert_false(sonde_layout_sequence_values(&s, (int64_t)1 << 40, &n));
    s.space = SONDE_ROWS_SEQUENCE;
    assert_true(sonde_layout_sequence_values(&s, 2048, &n));
    assert_int_equal(n, 12);
    enum sonde_row_space space;
    assert_true(sonde_row_space_from_name("map", &space) && space == SONDE_ROWS_MAP);
    assert_false(sonde_row_space_from_name("Map", &space));
    enum sonde_codec codec;
    assert_true(sonde_codec_from_name("zlib", &codec) && codec == SONDE_CODEC_ZLIB);
    assert_false(sonde_codec_from_name("zstd", &codec));
    assert_false(sonde_codec_from_name(NULL, &codec));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),   cmocka_unit_test(test_planes),
        cmocka_unit_test(test_hostile_data), cmocka_unit_test(test_crc32),
        cmocka_unit_test(test_layout),
    };
    return cmocka_run_group_tests_name("codec", tests, NULL, NULL);
}
