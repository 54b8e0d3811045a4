#include "tools/delimited.h"

#include <string.h>

#include "core/base/file.h"
#include "core/base/num.h"

#define FILE_BYTES_MAX ((int64_t)1 << 30)

enum sonde_status sonde_delimited_open(struct sonde_delimited *d, const char *path,
                                       struct sonde_error *error)
{
    *d = (struct sonde_delimited){ .path = path, .next_line = 1, .separator = ',' };
    d->content.max = (size_t)FILE_BYTES_MAX;
    enum sonde_status status = sonde_file_load(path, FILE_BYTES_MAX, &d->content, error);
    if (status) {
        sonde_buf_finish(&d->content);
        return status;
    }
    if (d->content.size >= 3 && memcmp(d->content.data, "\xef\xbb\xbf", 3) == 0)
        d->at = 3;
    const char *rest = d->content.data ? d->content.data + d->at : "";
    if (memchr(rest, '\t', strcspn(rest, "\n")))
        d->separator = '\t';
    return SONDE_STATUS_OK;
}

void sonde_delimited_finish(struct sonde_delimited *d)
{
    sonde_buf_finish(&d->content);
}

static enum sonde_status row_error(const struct sonde_delimited *d, struct sonde_error *error,
                                   const char *what)
{
    return sonde_error_set(error, SONDE_STATUS_FORMAT, "%s: line %lld: %s", d->path,
                           (long long)d->line, what);
}

/* A quoted field that begins behind its quote; unescaped in place. *end: behind the closing quote.
 */
static enum sonde_status take_quoted(struct sonde_delimited *d, char *from, char *limit, char **end,
                                     struct sonde_error *error)
{
    char *to = from;
    for (char *c = from; c < limit; c++) {
        if (*c == '\n')
            d->next_line++;
        if (*c != '"') {
            *to++ = *c;
        } else if (c + 1 < limit && c[1] == '"') {
            *to++ = *c++;
        } else {
            *to = '\0';
            *end = c + 1;
            return SONDE_STATUS_OK;
        }
    }
    return row_error(d, error, "a quote is never closed");
}

/* One field; *at moves behind it and its separator. *last: the row ends here. */
static enum sonde_status take_field(struct sonde_delimited *d, char **at, char *limit, bool *last,
                                    struct sonde_error *error)
{
    char *begin = *at, *end = *at;
    if (d->n_fields == SONDE_DELIMITED_FIELDS_MAX)
        return sonde_error_set(error, SONDE_STATUS_LIMIT, "%s: line %lld: more than %d fields",
                               d->path, (long long)d->line, SONDE_DELIMITED_FIELDS_MAX);
    bool quoted = d->separator == ',' && begin < limit && *begin == '"';
    if (quoted) {
        enum sonde_status status = take_quoted(d, ++begin, limit, &end, error);
        if (status)
            return status;
    } else {
        for (end = begin; end < limit && *end != d->separator && *end != '\n';)
            end++;
    }
    char *after = end;
    if (after < limit && *after == '\r' && (after + 1 == limit || after[1] == '\n'))
        after++;
    if (after < limit && *after != d->separator && *after != '\n')
        return row_error(d, error, "text behind a closing quote");
    *last = after >= limit || *after == '\n';
    if (*last)
        d->next_line++;
    *at = after < limit ? after + 1 : limit;
    if (!quoted) {
        if (*last && end > begin && end[-1] == '\r')
            end--;
        *end = '\0';
    }
    d->field[d->n_fields++] = begin;
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_delimited_next(struct sonde_delimited *d, bool *row,
                                       struct sonde_error *error)
{
    char *limit = d->content.data + d->content.size;
    for (;;) {
        if (d->at >= d->content.size) {
            *row = false;
            return SONDE_STATUS_OK;
        }
        char *at = d->content.data + d->at;
        bool last = false;
        d->line = d->next_line;
        d->n_fields = 0;
        size_t length = (size_t)(limit - at);
        const char *end = memchr(at, '\n', length);
        if (memchr(at, '\0', end ? (size_t)(end - at) : length))
            return row_error(d, error, "a NUL byte, which is no text");
        while (!last) {
            enum sonde_status status = take_field(d, &at, limit, &last, error);
            if (status)
                return status;
        }
        d->at = (size_t)(at - d->content.data);
        if (d->n_fields > 1 || d->field[0][0] != '\0') {
            *row = true;
            return SONDE_STATUS_OK;
        }
    }
}

int sonde_delimited_find(const struct sonde_delimited *d, const char *name)
{
    for (int i = 0; i < d->n_fields; i++)
        if (strcmp(d->field[i], name) == 0)
            return i;
    return -1;
}

enum sonde_status sonde_delimited_i64(const struct sonde_delimited *d, int index, const char *what,
                                      int64_t min, int64_t max, int64_t *out,
                                      struct sonde_error *error)
{
    int64_t value;
    const char *text = d->field[index];
    if (!sonde_parse_i64(text, strlen(text), &value) || value < min || value > max)
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "%s: line %lld: %s '%.40s', expected a whole number from %lld to "
                               "%lld",
                               d->path, (long long)d->line, what, text, (long long)min,
                               (long long)max);
    *out = value;
    return SONDE_STATUS_OK;
}
