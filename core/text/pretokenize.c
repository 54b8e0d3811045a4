#include "core/text/pretokenize.h"

#include <stdlib.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#define JIT_STACK_MIN ((size_t)32 * 1024)
#define JIT_STACK_MAX ((size_t)8 * 1024 * 1024)

/* White_Space as the tokenizers' regex engine has it. PCRE2's own \s also takes U+180E, which left
 * that class with Unicode 6.3. */
#define S "\\t\\n\\x0B\\f\\r\\x{85}\\p{Z}"

struct known_pattern {
    const char *name;
    const char *source;   /* as written in tokenizer.json */
    const char *compiled; /* the same language for PCRE2 */
};

static const struct known_pattern known_patterns[] = {
    { "gpt2", "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
      "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^" S "\\p{L}\\p{N}]+|[" S "]+(?![^" S "])|[" S
      "]+" },
    { "cl100k",
      "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|"
      " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
      "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|"
      " ?[^" S "\\p{L}\\p{N}]+[\\r\\n]*|[" S "]*[\\r\\n]+|[" S "]+(?![^" S "])|[" S "]+" },
    { "qwen2",
      "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|"
      " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
      "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|"
      " ?[^" S "\\p{L}\\p{N}]+[\\r\\n]*|[" S "]*[\\r\\n]+|[" S "]+(?![^" S "])|[" S "]+" },
};
#define N_KNOWN ((int)(sizeof(known_patterns) / sizeof(known_patterns[0])))

struct sonde_pattern {
    pcre2_code *code;
};
struct sonde_pattern_scratch {
    pcre2_match_data *match;
    pcre2_match_context *context;
    pcre2_jit_stack *stack;
};

const char *sonde_pattern_name(const char *source)
{
    for (int i = 0; i < N_KNOWN; i++) {
        if (strcmp(known_patterns[i].source, source) == 0)
            return known_patterns[i].name;
    }
    return NULL;
}

enum sonde_status sonde_pattern_create(struct sonde_pattern **out, const char *name,
                                       struct sonde_error *error)
{
    const char *compiled = NULL;

    for (int i = 0; i < N_KNOWN; i++) {
        if (strcmp(known_patterns[i].name, name) == 0)
            compiled = known_patterns[i].compiled;
    }
    if (!compiled)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT, "no pattern is called \"%s\"", name);
    struct sonde_pattern *pattern = calloc(1, sizeof(*pattern));
    if (!pattern)
        return sonde_error_memory(error, "a pre-tokenizer pattern");
    int code = 0;
    PCRE2_SIZE offset = 0;
    pattern->code = pcre2_compile((PCRE2_SPTR)compiled, PCRE2_ZERO_TERMINATED,
                                  PCRE2_UTF | PCRE2_UCP | PCRE2_NO_UTF_CHECK, &code, &offset, NULL);
    if (!pattern->code) {
        sonde_pattern_destroy(&pattern);
        return sonde_error_set(error, SONDE_STATUS_UNSUPPORTED,
                               "PCRE2 error %d in pattern \"%s\" at %zu", code, name, offset);
    }
    /* Without a compiler for this machine PCRE2 interprets: slower, the same matches. */
    (void)pcre2_jit_compile(pattern->code, PCRE2_JIT_COMPLETE);
    *out = pattern;
    return SONDE_STATUS_OK;
}

void sonde_pattern_destroy(struct sonde_pattern **pattern)
{
    if (!*pattern)
        return;
    pcre2_code_free((*pattern)->code);
    free(*pattern);
    *pattern = NULL;
}

enum sonde_status sonde_pattern_scratch_create(struct sonde_pattern_scratch **out,
                                               struct sonde_error *error)
{
    struct sonde_pattern_scratch *scratch = calloc(1, sizeof(*scratch));

    if (scratch) {
        scratch->match = pcre2_match_data_create(1, NULL);
        scratch->context = pcre2_match_context_create(NULL);
    }
    if (!scratch || !scratch->match || !scratch->context) {
        sonde_pattern_scratch_destroy(&scratch);
        return sonde_error_memory(error, "a pre-tokenizer");
    }
    *out = scratch;
    return SONDE_STATUS_OK;
}

void sonde_pattern_scratch_destroy(struct sonde_pattern_scratch **scratch)
{
    if (!*scratch)
        return;
    pcre2_match_data_free((*scratch)->match);
    pcre2_match_context_free((*scratch)->context);
    pcre2_jit_stack_free((*scratch)->stack);
    free(*scratch);
    *scratch = NULL;
}

/* The matches' work is linear in the text they look at, so a limit of a few steps a byte is never
 * reached by what these patterns do; it is there against what we did not foresee. */
static uint32_t match_limit(size_t n)
{
    return n < (UINT32_MAX - 1000000) / 8 ? (uint32_t)(1000000 + 8 * n) : UINT32_MAX;
}

enum sonde_status sonde_pattern_find(const struct sonde_pattern *pattern,
                                     struct sonde_pattern_scratch *scratch, const char *text,
                                     size_t n, size_t from, size_t *begin, size_t *end,
                                     struct sonde_error *error)
{
    (void)pcre2_set_match_limit(scratch->context, match_limit(n));
    int found = pcre2_match(pattern->code, (PCRE2_SPTR)text, n, from, PCRE2_NO_UTF_CHECK,
                            scratch->match, scratch->context);
    if (found == PCRE2_ERROR_JIT_STACKLIMIT && !scratch->stack) {
        scratch->stack = pcre2_jit_stack_create(JIT_STACK_MIN, JIT_STACK_MAX, NULL);
        if (!scratch->stack)
            return sonde_error_memory(error, "a pre-tokenizer");
        pcre2_jit_stack_assign(scratch->context, NULL, scratch->stack);
        found = pcre2_match(pattern->code, (PCRE2_SPTR)text, n, from, PCRE2_NO_UTF_CHECK,
                            scratch->match, scratch->context);
    }
    if (found == PCRE2_ERROR_NOMATCH) {
        *begin = *end = n;
        return SONDE_STATUS_OK;
    }
    if (found == PCRE2_ERROR_NOMEMORY)
        return sonde_error_memory(error, "a pre-tokenizer");
    if (found < 0)
        return sonde_error_set(error, SONDE_STATUS_LIMIT,
                               "the pre-tokenizer gave up at byte %zu (PCRE2 error %d)", from,
                               found);
    const PCRE2_SIZE *where = pcre2_get_ovector_pointer(scratch->match);
    *begin = where[0];
    *end = where[1];
    return SONDE_STATUS_OK;
}
