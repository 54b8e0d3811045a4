/* SHA-256 (nettle). */
#ifndef SONDE_CORE_BASE_HASH_H
#define SONDE_CORE_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#define SONDE_SHA256_BYTES 32
#define SONDE_SHA256_HEX 65 /* with NUL */

struct sonde_sha256; /* opaque */

/* NULL when memory is out. */
struct sonde_sha256 *sonde_sha256_create(void);
void sonde_sha256_update(struct sonde_sha256 *hash, const void *data, size_t n);
/* The digest of all updates; the hash begins anew. */
void sonde_sha256_digest(struct sonde_sha256 *hash, uint8_t out[SONDE_SHA256_BYTES]);
void sonde_sha256_destroy(struct sonde_sha256 **hash);
void sonde_sha256_hex(const uint8_t digest[SONDE_SHA256_BYTES], char out[SONDE_SHA256_HEX]);

#endif
