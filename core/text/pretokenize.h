/*
 * Pre-tokenizer patterns: a closed table of the regular expressions that published tokenizers use.
 * No expression from a file is ever compiled. Wraps PCRE2. Internal to core/text.
 */
#ifndef SONDE_CORE_TEXT_PRETOKENIZE_H
#define SONDE_CORE_TEXT_PRETOKENIZE_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"

struct sonde_pattern;         /* compiled, immutable, shared by threads; opaque */
struct sonde_pattern_scratch; /* of one caller; opaque */

/* "gpt2", "cl100k" (also Llama 3), "qwen2": the name of the known pattern with this source text as
 * it stands in tokenizer.json; NULL where it is not known. */
const char *sonde_pattern_name(const char *source);

SONDE_MUST_USE enum sonde_status sonde_pattern_create(struct sonde_pattern **out, const char *name,
                                                      struct sonde_error *error);
void sonde_pattern_destroy(struct sonde_pattern **pattern);

SONDE_MUST_USE enum sonde_status sonde_pattern_scratch_create(struct sonde_pattern_scratch **out,
                                                              struct sonde_error *error);
void sonde_pattern_scratch_destroy(struct sonde_pattern_scratch **scratch);

/* The first match at or after `from` in valid UTF-8 text[0..n): *begin = *end = n where there is
 * none. Matches are never empty. LIMIT where the matcher gives up. */
SONDE_MUST_USE enum sonde_status sonde_pattern_find(const struct sonde_pattern *pattern,
                                                    struct sonde_pattern_scratch *scratch,
                                                    const char *text, size_t n, size_t from,
                                                    size_t *begin, size_t *end,
                                                    struct sonde_error *error);

#endif
