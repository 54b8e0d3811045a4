#include "core/text/utf8.h"

#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

/* The first byte fixes the length and the range of the second byte (Unicode 15, table 3-7); all
 * later bytes are 80..BF. */
static size_t lead(unsigned char byte, unsigned char *low, unsigned char *high)
{
    *low = 0x80;
    *high = 0xBF;
    if (byte < 0x80)
        return 1;
    if (byte < 0xC2 || byte > 0xF4)
        return 0;
    if (byte < 0xE0)
        return 2;
    if (byte < 0xF0) {
        if (byte == 0xE0)
            *low = 0xA0;
        else if (byte == 0xED)
            *high = 0x9F;
        return 3;
    }
    if (byte == 0xF0)
        *low = 0x90;
    else if (byte == 0xF4)
        *high = 0x8F;
    return 4;
}

size_t sonde_utf8_next(const char *text, size_t n, int32_t *code)
{
    const unsigned char *s = (const unsigned char *)text;
    unsigned char low, high;
    size_t length = lead(s[0], &low, &high);

    if (length == 1) {
        *code = s[0];
        return 1;
    }
    *code = -1;
    if (length == 0)
        return 1;
    int32_t value = s[0] & (0xFF >> (length + 1));
    for (size_t i = 1; i < length; i++) {
        if (i >= n || s[i] < low || s[i] > high)
            return i;
        value = value << 6 | (s[i] & 0x3F);
        low = 0x80;
        high = 0xBF;
    }
    *code = value;
    return length;
}

bool sonde_utf8_valid(const char *text, size_t n)
{
    size_t i = 0;

    while (i < n) {
        uint64_t eight;
        if (n - i >= sizeof(eight)) {
            memcpy(&eight, text + i, sizeof(eight));
            if (!(eight & UINT64_C(0x8080808080808080))) {
                i += sizeof(eight);
                continue;
            }
        }
        int32_t code;
        i += sonde_utf8_next(text + i, n - i, &code);
        if (code < 0)
            return false;
    }
    return true;
}

size_t sonde_utf8_put(char out[4], int32_t code)
{
    if (code < 0 || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF))
        code = SONDE_UTF8_REPLACEMENT;
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xC0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3F));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xE0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 0x3F));
        out[2] = (char)(0x80 | (code & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | code >> 18);
    out[1] = (char)(0x80 | (code >> 12 & 0x3F));
    out[2] = (char)(0x80 | (code >> 6 & 0x3F));
    out[3] = (char)(0x80 | (code & 0x3F));
    return 4;
}

bool sonde_utf8_append_lossy(struct sonde_buf *out, const char *text, size_t n)
{
    size_t from = 0, i = 0;

    while (i < n) {
        int32_t code;
        size_t length = sonde_utf8_next(text + i, n - i, &code);
        if (code < 0) {
            sonde_buf_append(out, text + from, i - from);
            sonde_buf_append(out, "\xEF\xBF\xBD", 3);
            from = i + length;
        }
        i += length;
    }
    return sonde_buf_append(out, text + from, n - from);
}

static int options_of(enum sonde_utf8_form form)
{
    bool compat = form == SONDE_UTF8_NFKC || form == SONDE_UTF8_NFKD;

    return UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | (compat ? UTF8PROC_COMPAT : 0);
}

static int combining_class(int32_t code)
{
    return utf8proc_get_property(code)->combining_class;
}

/* Stable sort of marks by their class. Counting, because utf8proc's own insertion sort is quadratic
 * in a run of marks, and a text may hold millions of them in a row. */
static void sort_marks(int32_t *codes, int32_t *scratch, int64_t n)
{
    int64_t start[257] = { 0 };

    for (int64_t i = 0; i < n; i++)
        start[combining_class(codes[i]) + 1]++;
    for (int c = 0; c < 256; c++)
        start[c + 1] += start[c];
    for (int64_t i = 0; i < n; i++)
        scratch[start[combining_class(codes[i])]++] = codes[i];
    memcpy(codes, scratch, (size_t)n * sizeof(*codes));
}

/* Canonical ordering of n codes (Unicode 15, 3.11, D109). */
static void reorder(int32_t *codes, int32_t *scratch, int64_t n)
{
    for (int64_t i = 0; i < n;) {
        int64_t j = i;
        while (j < n && combining_class(codes[j]) != 0)
            j++;
        if (j - i > 1)
            sort_marks(codes + i, scratch, j - i);
        i = j > i ? j : i + 1;
    }
}

/* The codes of the decomposed text in *codes (heap). */
static enum sonde_status decompose(int32_t **codes, int64_t *n_codes, const char *text, size_t n,
                                   enum sonde_utf8_form form, struct sonde_error *error)
{
    int64_t capacity = 0, count = 0;
    size_t i = 0;
    void *items = NULL;

    if (!sonde_grow(&items, &capacity, (int64_t)n + 64, sizeof(**codes), INT32_MAX))
        return sonde_error_memory(error, "a normal form");
    *codes = items;
    while (i < n) {
        int32_t code;
        int boundary = 0;
        i += sonde_utf8_next(text + i, n - i, &code);
        utf8proc_ssize_t wrote = 0;
        for (int attempt = 0; attempt < 2; attempt++) {
            int64_t room = capacity - count;
            wrote = utf8proc_decompose_char(code, *codes + count, room,
                                            (utf8proc_option_t)options_of(form), &boundary);
            if (wrote < 0)
                return sonde_error_set(error, SONDE_STATUS_FORMAT, "normal form: %s",
                                       utf8proc_errmsg(wrote));
            if (wrote <= room)
                break;
            if (!sonde_grow(&items, &capacity, count + wrote + 64, sizeof(**codes), INT32_MAX))
                return sonde_error_memory(error, "a normal form");
            *codes = items;
        }
        count += wrote;
    }
    *n_codes = count;
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_utf8_normalize(struct sonde_buf *out, const char *text, size_t n,
                                       enum sonde_utf8_form form, struct sonde_error *error)
{
    int32_t *codes = NULL, *scratch = NULL;
    int64_t n_codes = 0;

    if (n == 0)
        return SONDE_STATUS_OK;
    enum sonde_status status = decompose(&codes, &n_codes, text, n, form, error);
    if (status != SONDE_STATUS_OK)
        goto out;
    scratch = malloc((size_t)n_codes * sizeof(*scratch) + 1);
    if (!scratch) {
        status = sonde_error_memory(error, "a normal form");
        goto out;
    }
    reorder(codes, scratch, n_codes);
    if (form == SONDE_UTF8_NFC || form == SONDE_UTF8_NFKC)
        n_codes = utf8proc_normalize_utf32(codes, n_codes, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    for (int64_t i = 0; i < n_codes; i++) {
        char bytes[4];
        sonde_buf_append(out, bytes, sonde_utf8_put(bytes, codes[i]));
    }
    status = sonde_buf_status(out, error);
out:
    free(codes);
    free(scratch);
    return status;
}

/* The first code of the full decomposition: it decides whether a character can reach back. */
static int32_t first_code(int32_t code, enum sonde_utf8_form form)
{
    utf8proc_int32_t codes[64];
    int boundary = 0;
    utf8proc_ssize_t n =
        utf8proc_decompose_char(code, codes, 64, (utf8proc_option_t)options_of(form), &boundary);
    return n < 1 || n > 64 ? code : codes[0];
}

/* A starter may still compose with what stands before it (Hangul vowels, some Indic vowels): try.
 */
static bool composes(const char *text, size_t before, size_t length, enum sonde_utf8_form form)
{
    struct sonde_buf whole = { 0 }, parts = { 0 };

    bool ok = sonde_utf8_normalize(&whole, text, before + length, form, NULL) == SONDE_STATUS_OK &&
              sonde_utf8_normalize(&parts, text, before, form, NULL) == SONDE_STATUS_OK &&
              sonde_utf8_normalize(&parts, text + before, length, form, NULL) == SONDE_STATUS_OK;
    bool same = ok && whole.size > 0 && whole.size == parts.size &&
                memcmp(whole.data, parts.data, whole.size) == 0;
    sonde_buf_finish(&whole);
    sonde_buf_finish(&parts);
    return !same;
}

/* May a piece end before the character of `length` bytes at text[before]? Marks reorder and compose
 * with what stands before them; of the starters only dependent vowel signs and conjoining jamo can.
 */
static bool begins_piece(const char *text, size_t before, size_t length, int32_t code,
                         enum sonde_utf8_form form)
{
    int32_t first = first_code(code, form);

    if (utf8proc_get_property(first)->combining_class != 0)
        return false;
    utf8proc_category_t category = utf8proc_category(first);
    if (category == UTF8PROC_CATEGORY_MN || category == UTF8PROC_CATEGORY_MC ||
        (first >= 0x1160 && first <= 0x11FF))
        return !composes(text, before, length, form);
    return true;
}

size_t sonde_utf8_normal_piece(const char *text, size_t n, enum sonde_utf8_form form, bool *changes)
{
    /* Below this nothing changes and nothing composes with what stands before it. */
    const int32_t plain = form == SONDE_UTF8_NFC ? 0x300 : 0x80;
    int32_t code;
    size_t i = 0;

    while (i < n) { /* a run of plain characters; its last one may be a base for what follows */
        size_t length = sonde_utf8_next(text + i, n - i, &code);
        if (code >= plain)
            break;
        i += length;
    }
    *changes = false;
    if (i == n)
        return n;
    if (i > 0) {
        size_t last = i - 1;
        while (last > 0 && ((unsigned char)text[last] & 0xC0) == 0x80)
            last--;
        size_t length = sonde_utf8_next(text + i, n - i, &code);
        if (begins_piece(text + last, i - last, length, code, form))
            return i;
        if (last > 0) /* without its last character, which begins the next piece */
            return last;
    }
    *changes = true;
    i = sonde_utf8_next(text, n, &code);
    while (i < n) {
        size_t length = sonde_utf8_next(text + i, n - i, &code);
        if (code < plain || begins_piece(text, i, length, code, form))
            break;
        i += length;
    }
    return i;
}

int sonde_utf8_lower(int32_t code, int32_t out[2])
{
    if (code == 0x130) { /* the one character whose lowercase is two: i and a dot above */
        out[0] = 'i';
        out[1] = 0x307;
        return 2;
    }
    out[0] = utf8proc_tolower(code);
    return 1;
}

bool sonde_utf8_is_space(int32_t code)
{
    return (code >= 9 && code <= 13) || code == ' ' || code == 0x85 || code == 0xA0 ||
           code == 0x1680 || (code >= 0x2000 && code <= 0x200A) || code == 0x2028 ||
           code == 0x2029 || code == 0x202F || code == 0x205F || code == 0x3000;
}

bool sonde_utf8_is_numeric(int32_t code)
{
    utf8proc_category_t category = utf8proc_category(code);

    return category == UTF8PROC_CATEGORY_ND || category == UTF8PROC_CATEGORY_NL ||
           category == UTF8PROC_CATEGORY_NO;
}

bool sonde_utf8_is_word(int32_t code)
{
    switch (utf8proc_category(code)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
        return true;
    default:
        return code == 0x200C || code == 0x200D || (code >= 0x24B6 && code <= 0x24E9);
    }
}
