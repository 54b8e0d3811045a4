#include "core/base/hash.h"

#include <string.h>

#include "core/base/rng.h"
#include "tests/support/check.h"

static void digest_of(struct sonde_sha256 *hash, char out[SONDE_SHA256_HEX])
{
    uint8_t digest[SONDE_SHA256_BYTES];
    sonde_sha256_digest(hash, digest);
    sonde_sha256_hex(digest, out);
}

/* The examples of FIPS 180-4 and its validation suite; the object starts anew after each. */
static void known_answers(void **state)
{
    (void)state;
    static const struct {
        const char *text, *hex;
        int repeat;
    } cases[] = {
        { "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", 1 },
        { "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", 1 },
        { "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
          "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1", 1 },
        { "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqr"
          "l"
          "mnopqrsmnopqrstnopqrstu",
          "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1", 1 },
        { "aaaaaaaaaa", "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0",
          100000 },
    };
    struct sonde_sha256 *hash = sonde_sha256_create();
    assert_non_null(hash);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (int j = 0; j < cases[i].repeat; j++)
            sonde_sha256_update(hash, cases[i].text, strlen(cases[i].text));
        char hex[SONDE_SHA256_HEX];
        digest_of(hash, hex);
        assert_string_equal(hex, cases[i].hex);
    }
    sonde_sha256_destroy(&hash);
    assert_null(hash);
    sonde_sha256_destroy(&hash);
}

static void pieces_do_not_matter(void **state)
{
    (void)state;
    uint8_t data[1000];
    struct sonde_rng rng = sonde_rng_make(1, 1);
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)sonde_rng_u32(&rng);
    struct sonde_sha256 *hash = sonde_sha256_create();
    char whole[SONDE_SHA256_HEX], pieces[SONDE_SHA256_HEX];
    sonde_sha256_update(hash, data, sizeof(data));
    digest_of(hash, whole);
    for (int round = 0; round < 50; round++) {
        for (size_t at = 0; at < sizeof(data);) {
            size_t n = (size_t)sonde_rng_below(&rng, 130);
            n = n < sizeof(data) - at ? n : sizeof(data) - at;
            sonde_sha256_update(hash, data + at, n);
            at += n;
        }
        digest_of(hash, pieces);
        assert_string_equal(pieces, whole);
    }
    data[500] ^= 1;
    sonde_sha256_update(hash, data, sizeof(data));
    sonde_sha256_update(hash, NULL, 0);
    digest_of(hash, pieces);
    assert_string_not_equal(pieces, whole);
    sonde_sha256_destroy(&hash);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(pieces_do_not_matter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
