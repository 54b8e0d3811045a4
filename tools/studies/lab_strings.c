#include "tools/studies/lab_strings.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/file.h"

#define FILE_BYTES_MAX ((int64_t)1 << 30)
#define SYMBOLS_MAX ((int64_t)1 << 30)

static enum sonde_status begin_set(struct sonde_lab_strings *s, const char *language,
                                   const char *name, const char *origin, struct sonde_error *error)
{
    *s = (struct sonde_lab_strings){ 0 };
    enum sonde_status status = sonde_formal_create(&s->formal, language, error);
    if (status)
        return status;
    s->name = sonde_strdup(name);
    s->origin = sonde_strdup(origin);
    if (!s->name || !s->origin ||
        !sonde_grow((void **)&s->begin, &s->begin_capacity, 1, sizeof(*s->begin), INT32_MAX))
        return sonde_error_memory(error, "strings");
    s->begin[0] = 0;
    return SONDE_STATUS_OK;
}

static enum sonde_status add(struct sonde_lab_strings *s, const char *text, int64_t n,
                             struct sonde_error *error)
{
    if (n > SYMBOLS_MAX - s->n_symbols)
        return sonde_error_set(error, SONDE_STATUS_LIMIT, "%s: more than %lld symbols", s->origin,
                               (long long)SYMBOLS_MAX);
    if (!sonde_grow((void **)&s->text, &s->text_capacity, s->n_symbols + n + 1, 1,
                    SYMBOLS_MAX + 1) ||
        !sonde_grow((void **)&s->begin, &s->begin_capacity, s->n + 2, sizeof(*s->begin), INT32_MAX))
        return sonde_error_memory(error, "strings");
    memcpy(s->text + s->n_symbols, text, (size_t)n);
    s->n_symbols += n;
    s->begin[++s->n] = s->n_symbols;
    s->shortest = s->n == 1 || n < s->shortest ? n : s->shortest;
    s->longest = n > s->longest ? n : s->longest;
    return SONDE_STATUS_OK;
}

static enum sonde_status check_line(const struct sonde_lab_strings *s,
                                    struct sonde_formal_walk *walk, const char *text, int64_t n,
                                    struct sonde_error *error)
{
    enum sonde_status status = SONDE_STATUS_OK;
    sonde_formal_walk_start(walk, s->formal);
    for (int64_t i = 0; !status && i < n; i++)
        status = sonde_formal_walk_step(walk, text[i], error);
    if (status)
        sonde_error_prepend(error, "%s:%lld", s->origin, (long long)s->n + 1);
    return status;
}

enum sonde_status sonde_lab_strings_read(struct sonde_lab_strings *s, const char *language,
                                         const char *name, const char *path, int64_t limit,
                                         struct sonde_error *error)
{
    struct sonde_buf file = { 0 };
    struct sonde_formal_walk walk = { 0 };
    enum sonde_status status = begin_set(s, language, name, path, error);
    if (!status)
        status = sonde_file_load(path, FILE_BYTES_MAX, &file, error);
    size_t at = 0;
    while (!status && at < file.size && (limit == 0 || s->n < limit)) {
        const char *line = file.data + at, *end = memchr(line, '\n', file.size - at);
        size_t n = end ? (size_t)(end - line) : file.size - at;
        at += n + 1;
        n -= n > 0 && line[n - 1] == '\r';
        if (n == 0)
            continue;
        status = check_line(s, &walk, line, (int64_t)n, error);
        if (!status)
            status = add(s, line, (int64_t)n, error);
    }
    if (!status && s->n == 0)
        status = sonde_error_set(error, SONDE_STATUS_FORMAT, "%s: no strings", path);
    sonde_formal_walk_finish(&walk);
    sonde_buf_finish(&file);
    if (status)
        sonde_lab_strings_finish(s);
    return status;
}

enum sonde_status sonde_lab_strings_generate(struct sonde_lab_strings *s, const char *name,
                                             const char *text, struct sonde_error *error)
{
    struct sonde_formal_spec spec;
    struct sonde_formal_generator *generator = NULL;
    *s = (struct sonde_lab_strings){ 0 };
    enum sonde_status status = sonde_formal_parse_spec(text, &spec, error);
    if (!status)
        status = begin_set(s, spec.name, name, text, error);
    if (!status)
        status = sonde_formal_generator_create(&generator, &spec, error);
    while (!status) {
        const char *string = NULL;
        int64_t n = 0;
        status = sonde_formal_generator_next(generator, &string, &n, error);
        if (!string)
            break;
        if (!status)
            status = add(s, string, n, error);
    }
    sonde_formal_generator_destroy(&generator);
    if (status)
        sonde_lab_strings_finish(s);
    return status;
}

void sonde_lab_strings_finish(struct sonde_lab_strings *s)
{
    sonde_formal_destroy(&s->formal);
    free(s->name);
    free(s->origin);
    free(s->text);
    free(s->begin);
    *s = (struct sonde_lab_strings){ 0 };
}

const char *sonde_lab_string(const struct sonde_lab_strings *s, int64_t i, int64_t *n)
{
    *n = s->begin[i + 1] - s->begin[i];
    return s->text + s->begin[i];
}

/* A string without its set, so that qsort and bsearch can compare. */
struct slice {
    const char *text;
    int64_t n;
};

static int by_content(const void *a, const void *b)
{
    const struct slice *x = a, *y = b;
    if (x->n != y->n)
        return x->n < y->n ? -1 : 1;
    return memcmp(x->text, y->text, (size_t)x->n);
}

/* The strings in order, for is_known; NULL = out of memory. */
static struct slice *sort_strings(const struct sonde_lab_strings *s)
{
    struct slice *known = calloc((size_t)s->n + 1, sizeof(*known));
    if (!known)
        return NULL;
    for (int64_t i = 0; i < s->n; i++)
        known[i].text = sonde_lab_string(s, i, &known[i].n);
    qsort(known, (size_t)s->n, sizeof(*known), by_content);
    return known;
}

static bool is_known(const struct slice *known, int64_t n_known, const char *text, int64_t n)
{
    const struct slice one = { text, n };
    return bsearch(&one, known, (size_t)n_known, sizeof(*known), by_content) != NULL;
}

int64_t sonde_lab_strings_overlap(const struct sonde_lab_strings *a,
                                  const struct sonde_lab_strings *b)
{
    struct slice *known = sort_strings(b);
    if (!known)
        return -1;
    int64_t n = 0;
    for (int64_t i = 0; i < a->n; i++) {
        int64_t length;
        const char *text = sonde_lab_string(a, i, &length);
        n += is_known(known, b->n, text, length);
    }
    free(known);
    return n;
}

/* Among the first n strings. */
static bool is_among(const struct sonde_lab_strings *s, int64_t n, const char *text, int64_t length)
{
    for (int64_t i = 0; i < n; i++)
        if (s->begin[i + 1] - s->begin[i] == length &&
            memcmp(s->text + s->begin[i], text, (size_t)length) == 0)
            return true;
    return false;
}

int64_t sonde_lab_strings_remove(struct sonde_lab_strings *a, const struct sonde_lab_strings *b,
                                 int64_t limit)
{
    struct slice *known = sort_strings(b);
    if (!known)
        return -1;
    int64_t left = 0, at = 0, n_all = a->n;
    a->shortest = a->longest = 0;
    for (int64_t i = 0; i < n_all && left < limit; i++) {
        int64_t length;
        const char *text = sonde_lab_string(a, i, &length);
        if (is_known(known, b->n, text, length) || is_among(a, left, text, length))
            continue;
        memmove(a->text + at, text, (size_t)length);
        a->shortest = left == 0 || length < a->shortest ? length : a->shortest;
        a->longest = length > a->longest ? length : a->longest;
        at += length;
        /* begin[left + 1] is not behind begin[i + 1], whose string is done. */
        a->begin[++left] = at;
    }
    a->n = left;
    a->n_symbols = at;
    free(known);
    return left;
}

static bool is_nested(const char *text, int64_t n, const char *pairs, char *stack)
{
    int64_t depth = 0;
    for (int64_t i = 0; i < n; i++) {
        const char *at = strchr(pairs, text[i]);
        int64_t index = at ? at - pairs : 0;
        if (index % 2 == 0)
            stack[depth++] = text[i];
        else if (depth == 0 || stack[--depth] != pairs[index - 1])
            return false;
    }
    return depth == 0;
}

int64_t sonde_lab_strings_nested(const struct sonde_lab_strings *s)
{
    char *stack = malloc((size_t)s->longest + 1);
    int64_t nested = 0;
    if (!stack)
        return -1;
    for (int64_t i = 0; i < s->n; i++) {
        int64_t n;
        const char *text = sonde_lab_string(s, i, &n);
        nested += is_nested(text, n, sonde_formal_symbols(s->formal), stack);
    }
    free(stack);
    return nested;
}

static enum sonde_status reader_next(void *self, const struct sonde_sequence **out,
                                     struct sonde_error *error)
{
    struct sonde_lab_reader *r = self;
    *out = NULL;
    if (r->next == r->n)
        return SONDE_STATUS_OK;
    int64_t n;
    const char *text = sonde_lab_string(r->strings, r->next, &n);
    int64_t n_tokens = n > r->pad_to ? n : r->pad_to;
    const char *ids = sonde_formal_ids(r->strings->formal);
    if (n_tokens > r->capacity)
        return sonde_error_set(error, SONDE_STATUS_LIMIT, "a string of %lld symbols",
                               (long long)n_tokens);
    memcpy(r->text, text, (size_t)n);
    r->text[n] = '\0';
    for (int64_t t = 0; t < n_tokens; t++) {
        const char *at = t < n ? strchr(ids, text[t]) : ids;
        if (!at)
            return sonde_error_set(error, SONDE_STATUS_FORMAT, "the symbol '%c' has no id",
                                   text[t]);
        r->tokens[t] = (struct sonde_token){
            .id = (int32_t)(at - ids),
            .position = (int32_t)t,
            .begin = t < n ? t : -1,
            .end = t < n ? t + 1 : -1,
            .text = r->symbols[at - ids],
        };
    }
    r->sequence = (struct sonde_sequence){
        .source = r->next, .text = r->text, .n_tokens = n_tokens, .tokens = r->tokens
    };
    r->next++;
    *out = &r->sequence;
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_lab_reader_open(struct sonde_lab_reader *r,
                                        const struct sonde_lab_strings *strings, int64_t n,
                                        int64_t pad_to, struct sonde_error *error)
{
    int64_t longest = strings->longest > pad_to ? strings->longest : pad_to;
    *r = (struct sonde_lab_reader){
        .strings = strings,
        .n = n > 0 && n < strings->n ? n : strings->n,
        .pad_to = pad_to,
        .tokens = calloc((size_t)longest + 1, sizeof(*r->tokens)),
        .text = malloc((size_t)longest + 1),
        .capacity = longest,
    };
    r->reader = (struct sonde_sequence_reader){ r, reader_next };
    const char *ids = sonde_formal_ids(strings->formal);
    for (size_t i = 0; ids[i] && i < SONDE_FORMAL_MAX_SYMBOLS + 2; i++)
        r->symbols[i][0] = ids[i];
    return r->tokens && r->text ? SONDE_STATUS_OK : sonde_error_memory(error, "a string");
}

void sonde_lab_reader_finish(struct sonde_lab_reader *r)
{
    free(r->tokens);
    free(r->text);
    *r = (struct sonde_lab_reader){ 0 };
}
