#include "probes/word_type.h"

#include <stdbool.h>
#include <string.h>

#define FNV_OFFSET 0xcbf29ce484222325u
#define FNV_PRIME 0x100000001b3u
#define WORD_TOKENS_MAX 64

static const uint32_t special_flags = SONDE_TOKEN_BOS | SONDE_TOKEN_EOS | SONDE_TOKEN_SPECIAL;

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           c == '\'' || (unsigned char)c >= 0x80;
}

static size_t length_without_blanks(const char *text)
{
    size_t n = strlen(text);
    while (n > 0 && is_blank(text[n - 1]))
        n--;
    return n;
}

/* Where the run of word characters that ends at n begins. */
static size_t run_begin(const char *text, size_t n)
{
    while (n > 0 && is_word(text[n - 1]))
        n--;
    return n;
}

static uint64_t fold(uint64_t hash, const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ (unsigned char)text[i]) * FNV_PRIME;
    return hash;
}

/* Never NULL. */
static const char *text_of(struct sonde_source *source, int64_t row)
{
    const char *text = source->token_text(source, row);
    return text ? text : "";
}

/* The first row of the word that ends in `row`, whose own text is all word characters; *skip is
 * what of that row's text belongs to something before the word. */
static int64_t first_row(struct sonde_source *source, int64_t row, size_t *skip)
{
    int64_t sequence = source->token_sequence[row];
    int64_t first = row;
    *skip = 0;
    while (first > 0 && row - first < WORD_TOKENS_MAX && *skip == 0 &&
           source->token_sequence[first - 1] == sequence &&
           !(source->token_flags[first - 1] & special_flags)) {
        const char *before = text_of(source, first - 1);
        size_t n = strlen(before), begin = run_begin(before, n);
        if (begin == n)
            break;
        first--;
        *skip = begin;
    }
    return first;
}

int64_t sonde_word_type(struct sonde_source *source, int64_t row)
{
    const char *text = text_of(source, row);
    size_t n = length_without_blanks(text), begin = run_begin(text, n);
    uint64_t hash = FNV_OFFSET;
    if (n == 0)
        return source->token_id[row];
    if (begin == n) {
        for (begin = 0; is_blank(text[begin]);)
            begin++;
        return (int64_t)fold(hash, text + begin, n - begin);
    }
    if (begin > 0)
        return (int64_t)fold(hash, text + begin, n - begin);
    size_t skip;
    for (int64_t r = first_row(source, row, &skip); r < row; r++, skip = 0) {
        const char *part = text_of(source, r) + skip;
        hash = fold(hash, part, strlen(part));
    }
    return (int64_t)fold(hash, text, n);
}
