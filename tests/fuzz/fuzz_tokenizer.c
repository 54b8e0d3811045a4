/* A tokenizer.json, a NUL, and a text: what opens must encode the text by its laws or refuse it.
 * Without a NUL the input is a text for three tokenizers that are always there, where more must
 * hold. */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/text/tokenizer.h"
#include "core/text/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static void check_spans(const struct sonde_encoding *encoding, size_t n)
{
    for (int64_t k = 0; k < encoding->n; k++) {
        const struct sonde_encoded_token *token = &encoding->tokens[k];
        REQUIRE(token->begin >= 0 && token->begin <= token->end && token->end <= (int64_t)n);
    }
}

static void check_text(const struct sonde_tokenizer *t, const char *text, size_t n, bool comes_back)
{
    struct sonde_encoding encoding = { 0 };
    struct sonde_error error = { 0 };
    struct sonde_buf back = { 0 }, lossy = { 0 };

    enum sonde_status status =
        sonde_tokenizer_encode(t, text, n, SONDE_BOS_AUTO, &encoding, &error);
    REQUIRE(status == SONDE_STATUS_OK || (error.text[0] && encoding.n == 0));
    REQUIRE(status == SONDE_STATUS_OK || !comes_back);
    check_spans(&encoding, n);
    int32_t *ids = calloc((size_t)encoding.n + 1, sizeof(*ids));
    REQUIRE(ids);
    for (int64_t k = 0; k < encoding.n; k++) {
        struct sonde_buf one = { 0 };
        ids[k] = encoding.tokens[k].id;
        REQUIRE(ids[k] >= 0 && ids[k] < sonde_tokenizer_size(t));
        REQUIRE(sonde_tokenizer_token_text(t, ids[k], &one, &error) == SONDE_STATUS_OK);
        REQUIRE(!one.data || sonde_utf8_valid(one.data, one.size));
        sonde_buf_finish(&one);
    }
    REQUIRE(sonde_tokenizer_decode(t, ids, encoding.n, false, &back, &error) == SONDE_STATUS_OK);
    REQUIRE(!back.data || sonde_utf8_valid(back.data, back.size));
    if (comes_back) {
        sonde_utf8_append_lossy(&lossy, text, n);
        REQUIRE(back.size == lossy.size);
        REQUIRE(back.size == 0 || memcmp(back.data, lossy.data, back.size) == 0);
    }
    free(ids);
    sonde_buf_finish(&back);
    sonde_buf_finish(&lossy);
    sonde_encoding_finish(&encoding);
}

/* Bytes only, cut by a known pattern. */
static void make_byte_level(struct sonde_buf *json, const char *pre_tokenizer)
{
    int next = 0;

    sonde_buf_printf(json, "{\"pre_tokenizer\":%s,\"decoder\":{\"type\":\"ByteLevel\"},",
                     pre_tokenizer);
    sonde_buf_puts(json, "\"model\":{\"type\":\"BPE\",\"vocab\":{");
    for (int b = 0; b < 256; b++) {
        bool plain = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
        char piece[4];
        size_t length = sonde_utf8_put(piece, plain ? b : 256 + next++);
        sonde_buf_puts(json, b ? ",\"" : "\"");
        if (b == '"' || b == '\\')
            sonde_buf_putc(json, '\\');
        sonde_buf_append(json, piece, length);
        sonde_buf_printf(json, "\":%d", b);
    }
    sonde_buf_puts(json, ",\"th\":256,\"the\":257,\"\xC4\xA0the\":258,\"aa\":259},"
                         "\"merges\":[\"t h\",\"th e\",\"\xC4\xA0 the\"]}}");
}

static void check_fixed(const char *text, size_t n)
{
    static const char *const steps[] = {
        "{\"type\":\"ByteLevel\",\"add_prefix_space\":false}",
        "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":"
        "\"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}{1,3}| "
        "?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+\"},"
        "\"behavior\":\"Isolated\",\"invert\":false},{\"type\":\"ByteLevel\",\"add_prefix_space\":"
        "false,\"use_regex\":false}]}",
        "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Digits\",\"individual_digits\":true}"
        ","
        "{\"type\":\"ByteLevel\",\"add_prefix_space\":false}]}",
    };

    static struct sonde_tokenizer *kept[3]; /* reading them anew would be most of the time */
    int which = n ? (unsigned char)text[0] % 3 : 0;

    if (!kept[which]) {
        struct sonde_buf json = { 0 };
        struct sonde_error error = { 0 };
        make_byte_level(&json, steps[which]);
        enum sonde_status status =
            sonde_tokenizer_parse(&kept[which], json.data, json.size, "fixed", &error);
        if (status != SONDE_STATUS_OK)
            fprintf(stderr, "%s\n", error.text);
        REQUIRE(status == SONDE_STATUS_OK);
        sonde_buf_finish(&json);
    }
    check_text(kept[which], text, n, true);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const char *text = (const char *)data;
    const char *nul = n ? memchr(text, 0, n) : NULL;
    struct sonde_tokenizer *t = NULL;
    struct sonde_error error = { 0 };

    if (!nul) {
        check_fixed(text, n);
        return 0;
    }
    enum sonde_status status =
        sonde_tokenizer_parse(&t, text, (size_t)(nul - text), "fuzz", &error);
    REQUIRE((status == SONDE_STATUS_OK) == (t != NULL));
    REQUIRE(status == SONDE_STATUS_OK || error.text[0]);
    if (t) {
        check_text(t, nul + 1, n - (size_t)(nul - text) - 1, false);
        sonde_tokenizer_close(&t);
    }
    return 0;
}
