/*
 * Codec: what is done to a chunk's bytes on their way to the file. zlib: bytes are shuffled (all
 * first bytes of the elements, then all second bytes, ...), which puts the exponents together,
 * then deflated. Private to storage. A coder belongs to one thread at a time.
 */
#ifndef SONDE_STORAGE_CODEC_H
#define SONDE_STORAGE_CODEC_H

#include "storage/store.h"

struct sonde_coder; /* scratch memory and zlib's states, kept between chunks; opaque */

/* Fails never: memory is taken when first needed. NULL when memory is out. */
struct sonde_coder *sonde_coder_create(void);
void sonde_coder_destroy(struct sonde_coder **coder);

uint32_t sonde_codec_crc32(const void *data, int64_t n_bytes);
/* false where the name is unknown. */
bool sonde_codec_from_name(const char *name, enum sonde_codec *out);

/* Encodes n_bytes (a multiple of element) with *codec. What deflate does not make smaller is kept
 * as it is and *codec says so. *out is valid until the next call, and may be raw itself. */
SONDE_MUST_USE enum sonde_status sonde_coder_encode(struct sonde_coder *coder,
                                                    enum sonde_codec *codec, const void *raw,
                                                    int64_t n_bytes, int64_t element,
                                                    const void **out, int64_t *out_bytes,
                                                    struct sonde_error *error);
/* Decodes to exactly raw_bytes. FORMAT where the data is corrupt, ends early, would give more or
 * has bytes left over; memory for more than raw_bytes is never taken. */
SONDE_MUST_USE enum sonde_status sonde_coder_decode(struct sonde_coder *coder,
                                                    enum sonde_codec codec, const void *data,
                                                    int64_t n_bytes, int64_t element, void *raw,
                                                    int64_t raw_bytes, struct sonde_error *error);

#endif
