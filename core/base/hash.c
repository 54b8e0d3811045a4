#include "core/base/hash.h"

#include <stdlib.h>

#include <nettle/sha2.h>

struct sonde_sha256 {
    struct sha256_ctx state;
};

struct sonde_sha256 *sonde_sha256_create(void)
{
    struct sonde_sha256 *hash = malloc(sizeof(*hash));
    if (hash)
        sha256_init(&hash->state);
    return hash;
}

void sonde_sha256_update(struct sonde_sha256 *hash, const void *data, size_t n)
{
    if (n)
        sha256_update(&hash->state, n, data);
}

void sonde_sha256_digest(struct sonde_sha256 *hash, uint8_t out[SONDE_SHA256_BYTES])
{
    sha256_digest(&hash->state, SONDE_SHA256_BYTES, out);
}

void sonde_sha256_destroy(struct sonde_sha256 **hash)
{
    if (!hash)
        return;
    free(*hash);
    *hash = NULL;
}

void sonde_sha256_hex(const uint8_t digest[SONDE_SHA256_BYTES], char out[SONDE_SHA256_HEX])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < SONDE_SHA256_BYTES; i++) {
        out[2 * i] = digits[digest[i] >> 4];
        out[2 * i + 1] = digits[digest[i] & 15];
    }
    out[SONDE_SHA256_HEX - 1] = '\0';
}
