/* Ids to text: the decoder steps of tokenizer.json over a list of pieces, llama2.c's rules, and the
 * single token's text for tables. */
#include <stdlib.h>
#include <string.h>

#include "core/text/tokenizer_internal.h"

/* Pieces one after the other; piece i ends at ends[i]. */
struct piece_list {
    struct sonde_buf text;
    size_t *ends;
    int64_t n, capacity;
};

/* Where the ids stand: what begins and ends the whole text is decoded differently. */
struct place {
    bool at_start, at_end;
};

static void list_finish(struct piece_list *list)
{
    sonde_buf_finish(&list->text);
    free(list->ends);
}

/* What was appended to the text since the last end is a piece. */
static bool list_end_piece(struct piece_list *list)
{
    void *items = list->ends;

    if (!sonde_grow(&items, &list->capacity, list->n + 1, sizeof(*list->ends), INT64_C(1) << 32))
        return false;
    list->ends = items;
    list->ends[list->n++] = list->text.size;
    return !list->text.failed;
}

int sonde_byte_piece(const char *text, size_t n)
{
    int value = 0;

    if (n != 6 || memcmp(text, "<0x", 3) != 0 || text[5] != '>')
        return -1;
    for (int i = 3; i < 5; i++) {
        char c = text[i];
        if (c >= '0' && c <= '9')
            value = value * 16 + (c - '0');
        else if (c >= 'A' && c <= 'F')
            value = value * 16 + (c - 'A' + 10);
        else if (c >= 'a' && c <= 'f')
            value = value * 16 + (c - 'a' + 10);
        else
            return -1;
    }
    return value;
}

static void put_replaced(struct sonde_buf *out, const struct sonde_decoder *step, const char *text,
                         size_t n)
{
    size_t n_pattern = strlen(step->pattern), i = 0;

    while (i < n) {
        if (n - i >= n_pattern && memcmp(text + i, step->pattern, n_pattern) == 0) {
            sonde_buf_puts(out, step->content);
            i += n_pattern;
        } else {
            sonde_buf_putc(out, text[i++]);
        }
    }
}

static void put_stripped(struct sonde_buf *out, const struct sonde_decoder *step, const char *text,
                         size_t n, struct place place)
{
    size_t n_content = strlen(step->content);
    const char *end = text + n;

    for (int64_t k = 0; place.at_start && k < step->start; k++) {
        if ((size_t)(end - text) < n_content || memcmp(text, step->content, n_content) != 0)
            break;
        text += n_content;
    }
    for (int64_t k = 0; place.at_end && k < step->stop; k++) {
        if ((size_t)(end - text) < n_content ||
            memcmp(end - n_content, step->content, n_content) != 0)
            break;
        end -= n_content;
    }
    sonde_buf_append(out, text, (size_t)(end - text));
}

/* Metaspace: the replacement is a space, and nothing in the first piece of the text. */
static void put_metaspace(struct sonde_buf *out, const struct sonde_decoder *step, const char *text,
                          size_t n, bool first)
{
    struct sonde_decoder replace = { .pattern = step->content };
    char nothing[] = "", space[] = " ";

    replace.content = first && step->scheme != SONDE_PREPEND_NEVER ? nothing : space;
    put_replaced(out, &replace, text, n);
}

static void put_piece(struct sonde_buf *out, const struct sonde_decoder *step, const char *text,
                      size_t n, bool first, struct place place)
{
    switch (step->kind) {
    case SONDE_DECODER_BYTE_LEVEL: {
        size_t before = out->size;
        if (!sonde_byte_level_bytes(out, text, n) && !out->failed) {
            out->size = before; /* a piece outside the alphabet is its own text */
            sonde_buf_append(out, text, n);
        }
        break;
    }
    case SONDE_DECODER_BYTE_FALLBACK: {
        int byte = sonde_byte_piece(text, n);
        if (byte >= 0)
            sonde_buf_putc(out, (char)byte);
        else
            sonde_buf_append(out, text, n);
        break;
    }
    case SONDE_DECODER_FUSE:
        sonde_buf_append(out, text, n);
        break;
    case SONDE_DECODER_STRIP:
        put_stripped(out, step, text, n, place);
        break;
    case SONDE_DECODER_REPLACE:
        put_replaced(out, step, text, n);
        break;
    case SONDE_DECODER_METASPACE:
        put_metaspace(out, step, text, n, first && place.at_start);
        break;
    }
}

static bool run_step(const struct sonde_decoder *step, const struct piece_list *in,
                     struct piece_list *out, bool fused, struct place place)
{
    bool fuses = step->kind == SONDE_DECODER_FUSE || step->kind == SONDE_DECODER_BYTE_LEVEL;
    const char *text = in->text.data ? in->text.data : "";
    struct place inner = place;
    size_t begin = 0;

    if (!fused) /* each piece is a whole of its own to what trims pieces */
        inner.at_start = inner.at_end = true;
    if (step->kind == SONDE_DECODER_METASPACE)
        inner = place;
    for (int64_t i = 0; i < in->n; i++) {
        put_piece(&out->text, step, text + begin, in->ends[i] - begin, i == 0, inner);
        begin = in->ends[i];
        if (!fuses && !list_end_piece(out))
            return false;
    }
    return !fuses || list_end_piece(out);
}

static bool collect(const struct sonde_tokenizer *t, const int32_t *ids, int64_t n,
                    bool skip_special, struct piece_list *list)
{
    for (int64_t i = 0; i < n; i++) {
        const struct sonde_piece *piece = &t->vocab.pieces[ids[i]];
        if (!piece->text || (skip_special && (piece->flags & SONDE_PIECE_SPECIAL)))
            continue;
        sonde_buf_append(&list->text, piece->text, piece->n);
        if (!list_end_piece(list))
            return false;
    }
    return true;
}

static enum sonde_status decode_bpe(const struct sonde_tokenizer *t, const int32_t *ids, int64_t n,
                                    bool skip_special, struct place place, struct sonde_buf *out,
                                    struct sonde_error *error)
{
    struct piece_list list = { 0 };
    bool fused = false;

    bool ok = collect(t, ids, n, skip_special, &list);
    for (int k = 0; k < t->n_decoders && ok && list.n > 0; k++) {
        struct piece_list next = { 0 };
        ok = run_step(&t->decoders[k], &list, &next, fused, place);
        fused = fused || t->decoders[k].kind == SONDE_DECODER_FUSE ||
                t->decoders[k].kind == SONDE_DECODER_BYTE_LEVEL;
        list_finish(&list);
        list = next;
    }
    size_t begin = 0;
    for (int64_t i = 0; ok && i < list.n; i++) {
        if (t->n_decoders == 0 && (i > 0 || !place.at_start))
            sonde_buf_putc(out, ' '); /* without a decoder pieces are joined by spaces */
        if (list.ends[i] > begin)
            sonde_buf_append(out, list.text.data + begin, list.ends[i] - begin);
        begin = list.ends[i];
    }
    list_finish(&list);
    return ok ? sonde_buf_status(out, error) : sonde_error_memory(error, "a decoded text");
}

/* The bytes of an id after `previous`, as llama2.c's decode(). */
static void put_llama2c(const struct sonde_tokenizer *t, bool drop_space, int32_t id,
                        struct sonde_buf *out)
{
    const struct sonde_piece *piece = &t->vocab.pieces[id];
    size_t skip = drop_space && piece->n > 0 && piece->text[0] == ' ' ? 1 : 0;
    int byte = sonde_byte_piece(piece->text + skip, piece->n - skip);

    if (byte >= 0)
        sonde_buf_putc(out, (char)byte);
    else
        sonde_buf_append(out, piece->text + skip, piece->n - skip);
}

/* Bytes that may end in the middle of a character. */
static enum sonde_status decode_raw(const struct sonde_tokenizer *t, const int32_t *ids, int64_t n,
                                    bool skip_special, struct place place, struct sonde_buf *out,
                                    struct sonde_error *error)
{
    bool first = place.at_start;

    if (t->type == SONDE_TOKENIZER_BPE)
        return decode_bpe(t, ids, n, skip_special, place, out, error);
    for (int64_t i = 0; i < n; i++) {
        const struct sonde_piece *piece = &t->vocab.pieces[ids[i]];
        bool special = piece->flags & SONDE_PIECE_SPECIAL;
        if (!piece->text || (skip_special && special))
            continue;
        if (t->type == SONDE_TOKENIZER_LLAMA2C)
            put_llama2c(t, first, ids[i], out);
        else
            sonde_buf_append(out, piece->text, piece->n);
        first = first && ids[i] == t->bos;
    }
    return sonde_buf_status(out, error);
}

static enum sonde_status check_ids(const struct sonde_tokenizer *t, const int32_t *ids, int64_t n,
                                   struct sonde_error *error)
{
    for (int64_t i = 0; i < n; i++) {
        if (ids[i] < 0 || ids[i] >= t->vocab.n)
            return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                                   "token %lld: id %d, expected 0 to %lld", (long long)i, ids[i],
                                   (long long)t->vocab.n - 1);
    }
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_tokenizer_decode(const struct sonde_tokenizer *t, const int32_t *ids,
                                         int64_t n, bool skip_special, struct sonde_buf *out,
                                         struct sonde_error *error)
{
    struct sonde_buf raw = { 0 };
    struct place whole = { .at_start = true, .at_end = true };

    enum sonde_status status = check_ids(t, ids, n, error);
    if (status == SONDE_STATUS_OK)
        status = decode_raw(t, ids, n, skip_special, whole, &raw, error);
    if (status == SONDE_STATUS_OK && raw.size > 0) {
        sonde_utf8_append_lossy(out, raw.data, raw.size);
        status = sonde_buf_status(out, error);
    }
    sonde_buf_finish(&raw);
    return status;
}

enum sonde_status sonde_tokenizer_token_text(const struct sonde_tokenizer *t, int32_t id,
                                             struct sonde_buf *out, struct sonde_error *error)
{
    struct sonde_buf raw = { 0 };
    struct place inside = { .at_start = t->n_decoders == 0 };
    size_t i = 0;

    enum sonde_status status = check_ids(t, &id, 1, error);
    if (status == SONDE_STATUS_OK)
        status = decode_raw(t, &id, 1, false, inside, &raw, error);
    while (status == SONDE_STATUS_OK && i < raw.size) {
        int32_t code;
        size_t length = sonde_utf8_next(raw.data + i, raw.size - i, &code);
        for (size_t k = 0; code < 0 && k < length; k++)
            sonde_buf_printf(out, "<0x%02X>", (unsigned char)raw.data[i + k]);
        if (code >= 0)
            sonde_buf_append(out, raw.data + i, length);
        i += length;
    }
    if (status == SONDE_STATUS_OK)
        status = sonde_buf_status(out, error);
    sonde_buf_finish(&raw);
    return status;
}

enum sonde_status sonde_tokenizer_decode_next(const struct sonde_tokenizer *t, int32_t previous,
                                              int32_t id, struct sonde_buf *out,
                                              struct sonde_error *error)
{
    bool after_bos = previous >= 0 && previous == t->bos;
    struct place place = { .at_start = after_bos };

    if (t->type == SONDE_TOKENIZER_BPE && previous < 0)
        place.at_start = true;
    enum sonde_status status = check_ids(t, &id, 1, error);
    if (status == SONDE_STATUS_OK)
        status = decode_raw(t, &id, 1, false, place, out, error);
    return status;
}
