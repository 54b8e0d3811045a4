#include "storage/codec.h"

#include <stdlib.h>
#include <string.h>

#define ZLIB_CONST /* next_in points to const */
#include <zlib.h>

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#endif

/*
 * After the shuffle a chunk is planes of bytes. In the upper ones (exponents, zeros of masked
 * scores) bytes repeat and are unevenly frequent, which run lengths and Huffman codes take in full;
 * longer matches are not there to be found, and looking for them made it four times slower and no
 * smaller. The lower planes of activations are noise: they are stored. (Table: storage/README.md.)
 */
#define DEFLATE_LEVEL 1
#define DEFLATE_STRATEGY Z_RLE
#define SAMPLE_BYTES 4096

struct sonde_coder {
    z_stream deflater, inflater;
    bool has_deflater, has_inflater;
    uint8_t *shuffled, *packed;
    int64_t shuffled_bytes, packed_bytes; /* allocated */
};

const char *sonde_codec_name(enum sonde_codec codec)
{
    return codec == SONDE_CODEC_ZLIB ? "zlib" : "none";
}

bool sonde_codec_from_name(const char *name, enum sonde_codec *out)
{
    if (!name)
        return false;
    for (enum sonde_codec codec = SONDE_CODEC_NONE; codec <= SONDE_CODEC_ZLIB; codec++)
        if (strcmp(name, sonde_codec_name(codec)) == 0) {
            *out = codec;
            return true;
        }
    return false;
}

struct sonde_coder *sonde_coder_create(void)
{
    return calloc(1, sizeof(struct sonde_coder));
}

void sonde_coder_destroy(struct sonde_coder **coder)
{
    if (!coder || !*coder)
        return;
    if ((*coder)->has_deflater)
        deflateEnd(&(*coder)->deflater);
    if ((*coder)->has_inflater)
        inflateEnd(&(*coder)->inflater);
    free((*coder)->shuffled);
    free((*coder)->packed);
    free(*coder);
    *coder = NULL;
}

#if defined(__x86_64__) && defined(__GNUC__)

/*
 * The bulk of a long CRC by carry-less multiplication: Gopal et al., "Fast CRC Computation for
 * Generic Polynomials Using PCLMULQDQ Instruction", Intel 2009, section 3 (folding by four). Each
 * step replaces 64 bytes and the 64 behind them by 64 bytes of the same remainder; the two
 * constants are x^(512+32) and x^(512-32) modulo the polynomial, bits reversed. What is left at
 * the end is a short message again, and zlib's. zlib's own CRC is 1.5 GB/s where this is over
 * 10, and the writer would spend half its time in it.
 */
__attribute__((target("pclmul,sse2"))) static uint32_t crc32_folded(const uint8_t *data, size_t n)
{
    const __m128i k = _mm_set_epi64x(0x01c6e41596, 0x0154442bd4);
    __m128i x[4];
    uint8_t folded[64];
    for (int i = 0; i < 4; i++)
        x[i] = _mm_loadu_si128((const __m128i *)(const void *)(data + 16 * i));
    x[0] = _mm_xor_si128(x[0], _mm_cvtsi32_si128(-1)); /* a CRC begins with all bits set */
    size_t at = 64;
    for (; n - at >= 64; at += 64)
        for (int i = 0; i < 4; i++) {
            __m128i next = _mm_loadu_si128((const __m128i *)(const void *)(data + at + 16 * i));
            __m128i low = _mm_clmulepi64_si128(x[i], k, 0x00);
            __m128i high = _mm_clmulepi64_si128(x[i], k, 0x11);
            x[i] = _mm_xor_si128(_mm_xor_si128(low, high), next);
        }
    for (int i = 0; i < 4; i++)
        _mm_storeu_si128((__m128i *)(void *)(folded + 16 * i), x[i]);
    /* zlib complements the value it is given: this begins with no bit set. */
    uLong crc = crc32_z(0xffffffffu, folded, sizeof(folded));
    return (uint32_t)crc32_z(crc, data + at, n - at);
}

uint32_t sonde_codec_crc32(const void *data, int64_t n_bytes)
{
    if (n_bytes >= 256 && __builtin_cpu_supports("pclmul"))
        return crc32_folded(data, (size_t)n_bytes);
    return (uint32_t)crc32_z(0, data, (size_t)n_bytes);
}

#else

uint32_t sonde_codec_crc32(const void *data, int64_t n_bytes)
{
    return (uint32_t)crc32_z(0, data, (size_t)n_bytes);
}

#endif

static bool reserve(uint8_t **memory, int64_t *have, int64_t need)
{
    if (*have >= need)
        return true;
    uint8_t *grown = realloc(*memory, (size_t)need);
    if (!grown)
        return false;
    *memory = grown;
    *have = need;
    return true;
}

/* Elements of 2 and 4 bytes are written out, for the compiler to make wide moves of. */
static void shuffle(const uint8_t *restrict in, uint8_t *restrict out, int64_t n, int64_t element)
{
    if (element == 4)
        for (int64_t i = 0; i < n; i++) {
            out[i] = in[4 * i];
            out[n + i] = in[4 * i + 1];
            out[2 * n + i] = in[4 * i + 2];
            out[3 * n + i] = in[4 * i + 3];
        }
    else if (element == 2)
        for (int64_t i = 0; i < n; i++) {
            out[i] = in[2 * i];
            out[n + i] = in[2 * i + 1];
        }
    else
        for (int64_t i = 0; i < n * element; i++)
            out[i % element * n + i / element] = in[i];
}

static void unshuffle(const uint8_t *restrict in, uint8_t *restrict out, int64_t n, int64_t element)
{
    if (element == 4)
        for (int64_t i = 0; i < n; i++) {
            out[4 * i] = in[i];
            out[4 * i + 1] = in[n + i];
            out[4 * i + 2] = in[2 * n + i];
            out[4 * i + 3] = in[3 * n + i];
        }
    else if (element == 2)
        for (int64_t i = 0; i < n; i++) {
            out[2 * i] = in[i];
            out[2 * i + 1] = in[n + i];
        }
    else
        for (int64_t i = 0; i < n * element; i++)
            out[i] = in[i % element * n + i / element];
}

/* Whether bytes of a plane are about equally frequent: two of a sample are the same in 1 of 256
 * cases then. A code gains a 50th where it is 1 of 220 or so. */
static bool is_noise(const uint8_t *plane, int64_t n)
{
    int64_t count[256] = { 0 }, pairs = 0, step = n / SAMPLE_BYTES;
    if (step == 0)
        return false;
    step |= 1; /* odd: not in step with the rows */
    int64_t n_sampled = (n + step - 1) / step;
    for (int64_t i = 0; i < n; i += step)
        count[plane[i]]++;
    for (int i = 0; i < 256; i++)
        pairs += count[i] * (count[i] - 1);
    return pairs * 220 < n_sampled * (n_sampled - 1);
}

/* One zlib stream of all planes; false where it does not get smaller than the planes. */
static bool deflate_planes(z_stream *z, const uint8_t *planes, int64_t n, int64_t element,
                           uint8_t *packed)
{
    deflateReset(z);
    z->next_out = packed;
    z->avail_out = (uInt)(n * element - 1);
    for (int64_t p = 0; p < element; p++) {
        bool noise = is_noise(planes + p * n, n);
        if (deflateParams(z, noise ? Z_NO_COMPRESSION : DEFLATE_LEVEL, DEFLATE_STRATEGY) != Z_OK)
            return false;
        z->next_in = planes + p * n;
        z->avail_in = (uInt)n;
        bool last = p == element - 1;
        int code = deflate(z, last ? Z_FINISH : Z_NO_FLUSH);
        if (code != (last ? Z_STREAM_END : Z_OK) || z->avail_in > 0)
            return false;
    }
    return true;
}

enum sonde_status sonde_coder_encode(struct sonde_coder *coder, enum sonde_codec *codec,
                                     const void *raw, int64_t n_bytes, int64_t element,
                                     const void **out, int64_t *out_bytes,
                                     struct sonde_error *error)
{
    if (*codec == SONDE_CODEC_NONE || n_bytes == 0) {
        *codec = SONDE_CODEC_NONE;
        *out = raw;
        *out_bytes = n_bytes;
        return SONDE_STATUS_OK;
    }
    if (!reserve(&coder->shuffled, &coder->shuffled_bytes, n_bytes) ||
        !reserve(&coder->packed, &coder->packed_bytes, n_bytes))
        return sonde_error_memory(error, "a chunk's compression");
    if (!coder->has_deflater) {
        if (deflateInit2(&coder->deflater, DEFLATE_LEVEL, Z_DEFLATED, MAX_WBITS, 8,
                         DEFLATE_STRATEGY) != Z_OK)
            return sonde_error_memory(error, "a chunk's compression");
        coder->has_deflater = true;
    }
    shuffle(raw, coder->shuffled, n_bytes / element, element);
    if (deflate_planes(&coder->deflater, coder->shuffled, n_bytes / element, element,
                       coder->packed)) {
        *out = coder->packed;
        *out_bytes = (int64_t)coder->deflater.total_out;
    } else { /* what does not get smaller is not worth it */
        *codec = SONDE_CODEC_NONE;
        *out = raw;
        *out_bytes = n_bytes;
    }
    return SONDE_STATUS_OK;
}

static enum sonde_status inflate_exactly(struct sonde_coder *coder, const void *data,
                                         int64_t n_bytes, int64_t raw_bytes,
                                         struct sonde_error *error)
{
    z_stream *z = &coder->inflater;
    uint8_t beyond;
    inflateReset(z);
    z->next_in = data;
    z->avail_in = (uInt)n_bytes;
    z->next_out = coder->shuffled;
    z->avail_out = (uInt)raw_bytes;
    int code = inflate(z, Z_FINISH);
    if (z->avail_out == 0 && code != Z_STREAM_END) {
        /* The end mark may still be to come; one byte of room tells it from more data. */
        z->next_out = &beyond;
        z->avail_out = 1;
        code = inflate(z, Z_FINISH);
        if (z->avail_out == 0)
            return sonde_error_set(error, SONDE_STATUS_FORMAT,
                                   "the compressed data gives more than its %lld bytes",
                                   (long long)raw_bytes);
    }
    if (code == Z_MEM_ERROR)
        return sonde_error_memory(error, "a chunk's decompression");
    if (code == Z_DATA_ERROR || code == Z_NEED_DICT)
        return sonde_error_set(error, SONDE_STATUS_FORMAT, "the compressed data is corrupt%s%s",
                               z->msg ? ": " : "", z->msg ? z->msg : "");
    if (code != Z_STREAM_END)
        return sonde_error_set(error, SONDE_STATUS_FORMAT, "the compressed data ends early");
    if ((int64_t)z->total_out != raw_bytes)
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "the compressed data gives %lld bytes, expected %lld",
                               (long long)z->total_out, (long long)raw_bytes);
    if (z->avail_in != 0)
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "%lld bytes are left over behind the compressed data",
                               (long long)z->avail_in);
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_coder_decode(struct sonde_coder *coder, enum sonde_codec codec,
                                     const void *data, int64_t n_bytes, int64_t element, void *raw,
                                     int64_t raw_bytes, struct sonde_error *error)
{
    if (codec == SONDE_CODEC_NONE) {
        if (n_bytes != raw_bytes)
            return sonde_error_set(error, SONDE_STATUS_FORMAT, "%lld bytes, expected %lld",
                                   (long long)n_bytes, (long long)raw_bytes);
        if (n_bytes)
            memmove(raw, data, (size_t)n_bytes);
        return SONDE_STATUS_OK;
    }
    if (n_bytes > raw_bytes)
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "%lld compressed bytes for %lld bytes of data", (long long)n_bytes,
                               (long long)raw_bytes);
    if (!reserve(&coder->shuffled, &coder->shuffled_bytes, raw_bytes))
        return sonde_error_memory(error, "a chunk's decompression");
    if (!coder->has_inflater) {
        if (inflateInit(&coder->inflater) != Z_OK)
            return sonde_error_memory(error, "a chunk's decompression");
        coder->has_inflater = true;
    }
    enum sonde_status status = inflate_exactly(coder, data, n_bytes, raw_bytes, error);
    if (status == SONDE_STATUS_OK)
        unshuffle(coder->shuffled, raw, raw_bytes / element, element);
    return status;
}
