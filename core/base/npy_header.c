#include "core/base/npy_header.h"

#include <stdbool.h>
#include <string.h>

#include "core/base/num.h"

enum { MAGIC_BYTES = 6 };

/* What is left of the header's Python dictionary. */
struct cursor {
    const char *at, *end;
};

static void skip_blanks(struct cursor *c)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\n' || *c->at == '\t')) {
        c->at++;
    }
}

static bool take(struct cursor *c, char wanted)
{
    skip_blanks(c);
    if (c->at < c->end && *c->at == wanted) {
        c->at++;
        return true;
    }
    return false;
}

/* 'text' or "text" without escapes. */
static bool take_string(struct cursor *c, const char **text, size_t *n)
{
    skip_blanks(c);
    if (c->at >= c->end || (*c->at != '\'' && *c->at != '"')) {
        return false;
    }
    char quote = *c->at++;
    const char *close = memchr(c->at, quote, (size_t)(c->end - c->at));
    if (!close) {
        return false;
    }
    *text = c->at;
    *n = (size_t)(close - c->at);
    c->at = close + 1;
    return true;
}

static bool take_word(struct cursor *c, const char *word)
{
    size_t n = strlen(word);
    skip_blanks(c);
    if ((size_t)(c->end - c->at) < n || memcmp(c->at, word, n) != 0) {
        return false;
    }
    c->at += n;
    return true;
}

static enum sonde_status take_shape(struct cursor *c, struct sonde_npy_header *out,
                                    struct sonde_error *error)
{
    out->rank = 0;
    out->n_elements = 1;
    for (int i = 0; i < SONDE_NPY_RANK_MAX; i++) {
        out->dim[i] = 1;
    }
    if (!take(c, '(')) {
        return sonde_error_set(error, SONDE_STATUS_FORMAT, "npy header: shape is no tuple");
    }
    while (!take(c, ')')) {
        int64_t dim = 0;
        skip_blanks(c);
        const char *begin = c->at;
        while (c->at < c->end && *c->at >= '0' && *c->at <= '9') {
            c->at++;
        }
        if (!sonde_parse_i64(begin, (size_t)(c->at - begin), &dim)) {
            return sonde_error_set(error, SONDE_STATUS_FORMAT,
                                   "npy header: shape holds what is no whole number");
        }
        take_word(c, "L"); /* Python 2 wrote long integers so */
        if (out->rank == SONDE_NPY_RANK_MAX) {
            return sonde_error_set(error, SONDE_STATUS_UNSUPPORTED, "npy array of rank above %d",
                                   SONDE_NPY_RANK_MAX);
        }
        out->dim[out->rank++] = dim;
        if (!sonde_mul_i64(out->n_elements, dim, &out->n_elements)) {
            return sonde_error_set(error, SONDE_STATUS_FORMAT,
                                   "npy header: the product of the shape overflows");
        }
        if (!take(c, ',')) {
            if (!take(c, ')')) {
                return sonde_error_set(error, SONDE_STATUS_FORMAT,
                                       "npy header: shape is not closed");
            }
            break;
        }
    }
    return SONDE_STATUS_OK;
}

static enum sonde_status take_descr(struct cursor *c, struct sonde_npy_header *out,
                                    struct sonde_error *error)
{
    if (!take_string(c, &out->descr, &out->n_descr)) {
        return sonde_error_set(error, SONDE_STATUS_UNSUPPORTED,
                               "npy header: descr is no string (structured arrays are not read)");
    }
    return SONDE_STATUS_OK;
}

static enum sonde_status parse_dictionary(struct cursor c, struct sonde_npy_header *out,
                                          struct sonde_error *error)
{
    bool has_descr = false, has_order = false, has_shape = false;
    enum sonde_status status = SONDE_STATUS_OK;
    bool open = take(&c, '{');
    while (open && !take(&c, '}')) {
        const char *key = NULL;
        size_t n = 0;
        if (!take_string(&c, &key, &n) || !take(&c, ':')) {
            open = false;
        } else if (n == 5 && memcmp(key, "descr", n) == 0 && !has_descr) {
            has_descr = true;
            status = take_descr(&c, out, error);
        } else if (n == 5 && memcmp(key, "shape", n) == 0 && !has_shape) {
            has_shape = true;
            status = take_shape(&c, out, error);
        } else if (n == 13 && memcmp(key, "fortran_order", n) == 0 && !has_order) {
            has_order = true;
            if (take_word(&c, "True")) {
                return sonde_error_set(error, SONDE_STATUS_UNSUPPORTED,
                                       "npy array in Fortran order; save np.ascontiguousarray(x)");
            }
            open = take_word(&c, "False");
        } else {
            open = false;
        }
        if (status != SONDE_STATUS_OK) {
            return status;
        }
        if (open && !take(&c, ',')) {
            open = take(&c, '}');
            break;
        }
    }
    skip_blanks(&c);
    if (!open || c.at != c.end || !has_descr || !has_order || !has_shape) {
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "npy header: expected exactly descr, fortran_order and shape");
    }
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_npy_header_parse(struct sonde_npy_header *out, const uint8_t *bytes,
                                         int64_t n, int64_t file_bytes, struct sonde_error *error)
{
    struct sonde_npy_header header = { 0 };
    if (n < MAGIC_BYTES + 4 || memcmp(bytes, "\x93NUMPY", MAGIC_BYTES) != 0) {
        return sonde_error_set(error, SONDE_STATUS_FORMAT, "not an .npy file");
    }
    int64_t begin = 0, size = 0;
    if (bytes[6] == 1) {
        begin = 10;
        size = bytes[8] | bytes[9] << 8;
    } else if ((bytes[6] == 2 || bytes[6] == 3) && n >= 12) {
        begin = 12;
        size =
            bytes[8] | (int64_t)bytes[9] << 8 | (int64_t)bytes[10] << 16 | (int64_t)bytes[11] << 24;
    } else {
        return sonde_error_set(error, SONDE_STATUS_UNSUPPORTED, "npy format version %d.%d",
                               bytes[6], bytes[7]);
    }
    if (size > SONDE_NPY_HEADER_MAX || size > n - begin) {
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "npy header of %lld bytes in a file of %lld", (long long)size,
                               (long long)file_bytes);
    }
    const char *text = (const char *)bytes + begin;
    enum sonde_status status =
        parse_dictionary((struct cursor){ text, text + size }, &header, error);
    if (status != SONDE_STATUS_OK) {
        return status;
    }
    header.data_at = begin + size;
    *out = header;
    return SONDE_STATUS_OK;
}
