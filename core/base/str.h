/* Small helpers for strings: they report nothing and include nothing of Sonde. */
#ifndef SONDE_CORE_BASE_STR_H
#define SONDE_CORE_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>

bool sonde_str_equal(const char *a, const char *b); /* NULL equals NULL only */
bool sonde_str_starts(const char *text, const char *prefix);
bool sonde_str_ends(const char *text, const char *suffix);
char *sonde_strdup(const char *text); /* heap copy; NULL when memory is out or text is NULL */

/* Length of the UTF-8 sequence that text[0..n) begins with; 0 where it is invalid or cut off. */
size_t sonde_str_sequence(const char *text, size_t n);

/* Levenshtein distance with a cap: returns cap where it is >= cap. For "did you mean". */
int sonde_str_distance(const char *a, const char *b, int cap);

#endif
