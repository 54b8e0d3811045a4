#include "core/base/str.h"

#include <stdlib.h>
#include <string.h>

bool sonde_str_equal(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

bool sonde_str_starts(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool sonde_str_ends(const char *text, const char *suffix)
{
    size_t n = strlen(text);
    size_t m = strlen(suffix);
    return n >= m && memcmp(text + n - m, suffix, m) == 0;
}

char *sonde_strdup(const char *text)
{
    if (!text)
        return NULL;
    size_t n = strlen(text) + 1;
    char *copy = malloc(n);
    if (copy)
        memcpy(copy, text, n);
    return copy;
}

size_t sonde_str_sequence(const char *text, size_t n)
{
    const unsigned char *bytes = (const unsigned char *)text;
    if (n == 0)
        return 0;
    unsigned char c = bytes[0];
    size_t length = c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;
    if (length > n)
        return 0;
    for (size_t i = 1; i < length; i++) {
        unsigned char low = i > 1 ? 0x80 : c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
        unsigned char high = i > 1 ? 0xbf : c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
        if (bytes[i] < low || bytes[i] > high)
            return 0;
    }
    return length;
}

/* Only words are compared: longer strings are at the cap by definition. */
#define DISTANCE_LENGTH_MAX 128

int sonde_str_distance(const char *a, const char *b, int cap)
{
    size_t n = strlen(a);
    size_t m = strlen(b);
    if (n > DISTANCE_LENGTH_MAX || m > DISTANCE_LENGTH_MAX)
        return cap;
    int row[DISTANCE_LENGTH_MAX + 1]; /* [m + 1] distances of a[0..i) to each b[0..j) */
    for (size_t j = 0; j <= m; j++)
        row[j] = (int)j;
    for (size_t i = 1; i <= n; i++) {
        int diagonal = row[0];
        row[0] = (int)i;
        for (size_t j = 1; j <= m; j++) {
            int best = diagonal + (a[i - 1] != b[j - 1]);
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[m] < cap ? row[m] : cap;
}
