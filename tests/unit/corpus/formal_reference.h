/* The formal languages once more, by other means (rewriting, regular expressions, recursion), for
 * short strings. */
#ifndef SONDE_TESTS_UNIT_CORPUS_FORMAL_REFERENCE_H
#define SONDE_TESTS_UNIT_CORPUS_FORMAL_REFERENCE_H

#include "tests/support/check.h"

#include <regex.h>
#include <string.h>

#define REFERENCE_BRACKETS "()[]{}<>+-abxo"

/* Takes "()" and the like out until none is left. */
static inline void reduce(char *s)
{
    for (size_t i = 0; s[i] && s[i + 1];) {
        const char *open = strchr(REFERENCE_BRACKETS, s[i]);
        size_t at = open ? (size_t)(open - REFERENCE_BRACKETS) : 1;
        if (at % 2 == 0 && REFERENCE_BRACKETS[at + 1] == s[i + 1]) {
            memmove(s + i, s + i + 2, strlen(s + i + 2) + 1);
            i = i ? i - 1 : 0;
        } else {
            i++;
        }
    }
}

static inline bool reduces(const char *s, const char *to)
{
    char copy[4096];
    snprintf(copy, sizeof(copy), "%s", s);
    reduce(copy);
    return strspn(copy, to) == strlen(copy);
}

static inline bool is_shuffled(const char *s, int types)
{
    char part[4096];
    for (int t = 0; t < types; t++) {
        size_t n = 0;
        for (const char *c = s; *c; c++)
            if (*c == REFERENCE_BRACKETS[2 * t] || *c == REFERENCE_BRACKETS[2 * t + 1])
                part[n++] = *c;
        part[n] = '\0';
        if (!reduces(part, ""))
            return false;
    }
    return true;
}

/* Behind one expression; NULL where there is none. */
static inline const char *parse_expression(const char *s)
{
    const char *operators = "~+>*^";
    if (*s == '0' || *s == '1')
        return s + 1;
    const char *o = *s ? strchr(operators, *s) : NULL;
    if (!o)
        return NULL;
    s++;
    for (int64_t operands = o - operators + 1; s && operands > 0; operands--)
        s = parse_expression(s);
    return s;
}

/* Behind (a D_{n-1} b)*, as far as it goes. */
static inline const char *parse_d(const char *s, int n)
{
    while (n > 0 && *s == 'a') {
        const char *inner = parse_d(s + 1, n - 1);
        if (*inner != 'b')
            return s;
        s = inner + 1;
    }
    return s;
}

static inline bool is_counter(const char *s, int letters)
{
    size_t n = strlen(s), each = n / (size_t)letters;
    bool ok = n > 0 && n % (size_t)letters == 0;
    for (size_t i = 0; ok && i < n; i++)
        ok = s[i] == (char)('a' + i / each);
    return ok;
}

static inline int64_t count_symbol(const char *s, char symbol)
{
    int64_t n = 0;
    for (; *s; s++)
        n += *s == symbol;
    return n;
}

/* No odd run of 0s right behind an odd run of 1s. */
static inline bool is_tomita_3(const char *s)
{
    while (*s) {
        size_t zeros = strspn(s, "0");
        s += zeros;
        size_t ones = strspn(s, "1");
        s += ones;
        if (ones % 2 && strspn(s, "0") % 2)
            return false;
    }
    return true;
}

static inline bool matches(const char *expression, const char *s)
{
    regex_t compiled;
    assert_int_equal(regcomp(&compiled, expression, REG_EXTENDED | REG_NOSUB), 0);
    bool ok = regexec(&compiled, s, 0, NULL, 0) == 0;
    regfree(&compiled);
    return ok;
}

static inline bool is_in(const char *name, const char *s)
{
    static const char *const expressions[][2] = {
        { "aa-star", "^(aa)*$" },      { "abab-star", "^(abab)*$" },
        { "aabb-3", "^aa*bb*cc*$" },   { "aabb-5", "^aa*bb*cc*dd*ee*$" },
        { "concat", "^[ab]*d[bc]*$" }, { "cab", "^c(a|b)*abd(a|b|d)*$" },
        { "tomita-1", "^1*$" },        { "tomita-2", "^(10)*$" },
        { "tomita-7", "^0*1*0*1*$" },
    };
    const char *dash = strrchr(name, '-');
    int size = dash ? atoi(dash + 1) : 0;
    const char *reset = strchr(s, '1');
    int64_t zeros = count_symbol(s, '0'), ones = count_symbol(s, '1');
    for (size_t i = 0; i < sizeof(expressions) / sizeof(expressions[0]); i++)
        if (strcmp(name, expressions[i][0]) == 0)
            return matches(expressions[i][1], s);
    if (strncmp(name, "dyck-", 5) == 0)
        return reduces(s, "");
    if (strncmp(name, "shuffle-", 8) == 0)
        return is_shuffled(s, size);
    if (strncmp(name, "boolean-", 8) == 0) {
        const char *end = parse_expression(s);
        return end && *end == '\0';
    }
    if (strncmp(name, "counter-", 8) == 0)
        return is_counter(s, size);
    if (strncmp(name, "d-", 2) == 0)
        return *parse_d(s, size) == '\0';
    if (strcmp(name, "reset-dyck") == 0) {
        char front[4096];
        if (!reset || strchr(reset + 1, '1'))
            return false;
        snprintf(front, sizeof(front), "%.*s", (int)(reset - s), s);
        return reduces(front, "(") && reduces(reset + 1, "");
    }
    if (strcmp(name, "parity") == 0)
        return ones % 2 == 0;
    if (strcmp(name, "tomita-3") == 0)
        return is_tomita_3(s);
    if (strcmp(name, "tomita-4") == 0)
        return !strstr(s, "000");
    if (strcmp(name, "tomita-5") == 0)
        return zeros % 2 == 0 && ones % 2 == 0;
    if (strcmp(name, "tomita-6") == 0)
        return (zeros - ones) % 3 == 0;
    fail_msg("no reference for %s", name);
    return false;
}

#endif
