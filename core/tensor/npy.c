#include "core/tensor/npy.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/num.h"

enum { HEADER_MAX = 65536, MAGIC_BYTES = 6 };

static const struct {
    const char *descr;
    enum sonde_dtype dtype;
} descriptions[] = {
    { "<f4", SONDE_DTYPE_F32 }, { "<f2", SONDE_DTYPE_F16 }, { "<f8", SONDE_DTYPE_F64 },
    { "<i8", SONDE_DTYPE_I64 }, { "<i4", SONDE_DTYPE_I32 }, { "<i2", SONDE_DTYPE_I16 },
    { "|i1", SONDE_DTYPE_I8 },  { "|u1", SONDE_DTYPE_U8 },  { "|b1", SONDE_DTYPE_BOOL },
};
enum { N_DESCRIPTIONS = sizeof descriptions / sizeof *descriptions };

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

static enum sonde_status take_shape(struct cursor *c, struct sonde_npy_shape *out,
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

static enum sonde_status take_descr(struct cursor *c, struct sonde_npy_shape *out,
                                    struct sonde_error *error)
{
    const char *text = NULL;
    size_t n = 0;
    if (!take_string(c, &text, &n)) {
        return sonde_error_set(error, SONDE_STATUS_UNSUPPORTED,
                               "npy header: descr is no string (structured arrays are not read)");
    }
    for (int i = 0; i < N_DESCRIPTIONS; i++) {
        if (strlen(descriptions[i].descr) == n && memcmp(descriptions[i].descr, text, n) == 0) {
            out->dtype = descriptions[i].dtype;
            return SONDE_STATUS_OK;
        }
    }
    return sonde_error_set(error, SONDE_STATUS_UNSUPPORTED,
                           "npy header: descr '%.*s' is not one of <f4 <f2 <f8 <i8 <i4 <i2 |i1 |u1 "
                           "|b1",
                           (int)(n < 40 ? n : 40), text);
}

static enum sonde_status parse_dictionary(struct cursor c, struct sonde_npy_shape *out,
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

enum sonde_status sonde_npy_parse(const uint8_t *bytes, int64_t n, int64_t file_bytes,
                                  struct sonde_npy_shape *out, int64_t *data_offset,
                                  struct sonde_error *error)
{
    struct sonde_npy_shape shape = { 0 };
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
    if (size > HEADER_MAX || size > n - begin) {
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "npy header of %lld bytes in a file of %lld", (long long)size,
                               (long long)file_bytes);
    }
    const char *text = (const char *)bytes + begin;
    enum sonde_status status =
        parse_dictionary((struct cursor){ text, text + size }, &shape, error);
    if (status != SONDE_STATUS_OK) {
        return status;
    }
    int64_t need = 0, data_bytes = file_bytes - begin - size;
    if (!sonde_mul_i64(shape.n_elements, (int64_t)sonde_dtype_size(shape.dtype), &need) ||
        need != data_bytes) {
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "%lld bytes of data after the npy header, its shape and descr need "
                               "%lld",
                               (long long)data_bytes, (long long)need);
    }
    *out = shape;
    *data_offset = begin + size;
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_npy_put_header(struct sonde_buf *out, enum sonde_dtype dtype, int rank,
                                       const int64_t *dim, struct sonde_error *error)
{
    const char *descr = NULL;
    for (int i = 0; i < N_DESCRIPTIONS; i++) {
        if (descriptions[i].dtype == dtype) {
            descr = descriptions[i].descr;
        }
    }
    if (!descr) {
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT, "npy files cannot hold %s",
                               sonde_dtype_name(dtype));
    }
    struct sonde_buf text = { 0 };
    sonde_buf_printf(&text, "{'descr': '%s', 'fortran_order': False, 'shape': (", descr);
    for (int i = 0; i < rank; i++) {
        sonde_buf_printf(&text, i == 0 ? "%lld," : " %lld,", (long long)dim[i]);
    }
    if (rank > 1 && !text.failed) {
        text.size--; /* NumPy writes (3,) but (3, 4) */
    }
    sonde_buf_puts(&text, "), }");
    while (!text.failed && (10 + text.size + 1) % 64) {
        sonde_buf_putc(&text, ' ');
    }
    sonde_buf_putc(&text, '\n');
    const uint8_t prefix[10] = { 0x93,
                                 'N',
                                 'U',
                                 'M',
                                 'P',
                                 'Y',
                                 1,
                                 0,
                                 (uint8_t)(text.size & 255),
                                 (uint8_t)(text.size >> 8 & 255) };
    enum sonde_status status = sonde_buf_status(&text, error);
    if (status == SONDE_STATUS_OK) {
        sonde_buf_append(out, prefix, sizeof prefix);
        sonde_buf_append(out, text.data, text.size);
        status = sonde_buf_status(out, error);
    }
    sonde_buf_finish(&text);
    return status;
}

struct sonde_npy {
    struct sonde_file *file;
    struct sonde_npy_shape shape;
    int64_t data_offset;
};

void sonde_npy_close(struct sonde_npy **npy)
{
    if (npy && *npy) {
        sonde_file_close(&(*npy)->file);
        free(*npy);
        *npy = NULL;
    }
}

enum sonde_status sonde_npy_open(struct sonde_npy **out, const char *path,
                                 struct sonde_error *error)
{
    struct sonde_npy *npy = calloc(1, sizeof *npy);
    uint8_t *head = malloc(HEADER_MAX + 12);
    enum sonde_status status = SONDE_STATUS_OK;
    if (!npy || !head) {
        status = sonde_error_memory(error, "an npy file");
    } else {
        status = sonde_file_open(&npy->file, path, error);
    }
    if (status == SONDE_STATUS_OK) {
        int64_t size = sonde_file_size(npy->file);
        int64_t n = size < HEADER_MAX + 12 ? size : HEADER_MAX + 12;
        status = sonde_file_read(npy->file, 0, head, n, error);
        if (status == SONDE_STATUS_OK) {
            status = sonde_npy_parse(head, n, size, &npy->shape, &npy->data_offset, error);
            if (status != SONDE_STATUS_OK) {
                sonde_error_prepend(error, "%s", path);
            }
        }
    }
    free(head);
    if (status != SONDE_STATUS_OK) {
        sonde_npy_close(&npy);
        return status;
    }
    *out = npy;
    return SONDE_STATUS_OK;
}

const struct sonde_npy_shape *sonde_npy_get_shape(const struct sonde_npy *npy)
{
    return &npy->shape;
}

enum sonde_status sonde_npy_read(const struct sonde_npy *npy, int64_t first, int64_t n, void *out,
                                 struct sonde_error *error)
{
    int64_t size = (int64_t)sonde_dtype_size(npy->shape.dtype);
    if (first < 0 || n < 0 || n > npy->shape.n_elements - first) {
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT, "%s: elements %lld to %lld of %lld",
                               sonde_file_path(npy->file), (long long)first, (long long)(first + n),
                               (long long)npy->shape.n_elements);
    }
    return sonde_file_read(npy->file, npy->data_offset + first * size, out, n * size, error);
}

enum sonde_status sonde_npy_read_f32(const struct sonde_npy *npy, int64_t first, int64_t n,
                                     float *out, struct sonde_error *error)
{
    enum { BLOCK = 4096 };
    uint8_t block[BLOCK * 8];
    for (int64_t done = 0; done < n;) {
        int64_t m = n - done < BLOCK ? n - done : BLOCK;
        enum sonde_status status = sonde_npy_read(npy, first + done, m, block, error);
        if (status != SONDE_STATUS_OK) {
            return status;
        }
        sonde_dtype_widen(npy->shape.dtype, block, out + done, m);
        done += m;
    }
    return SONDE_STATUS_OK;
}

static int64_t little_integer(const uint8_t *at, int64_t size, bool is_signed)
{
    uint64_t value = is_signed && at[size - 1] >= 128 ? UINT64_MAX : 0;
    int64_t out = 0;
    for (int64_t b = size - 1; b >= 0; b--) {
        value = value << 8 | at[b];
    }
    memcpy(&out, &value, sizeof out);
    return out;
}

enum sonde_status sonde_npy_read_i64(const struct sonde_npy *npy, int64_t first, int64_t n,
                                     int64_t *out, struct sonde_error *error)
{
    enum { BLOCK = 4096 };
    uint8_t block[BLOCK * 8];
    enum sonde_dtype dtype = npy->shape.dtype;
    int64_t size = (int64_t)sonde_dtype_size(dtype);
    if (dtype == SONDE_DTYPE_F32 || dtype == SONDE_DTYPE_F16 || dtype == SONDE_DTYPE_F64) {
        return sonde_error_set(error, SONDE_STATUS_FORMAT, "%s: %s, expected whole numbers",
                               sonde_file_path(npy->file), sonde_dtype_name(dtype));
    }
    for (int64_t done = 0; done < n;) {
        int64_t m = n - done < BLOCK ? n - done : BLOCK;
        enum sonde_status status = sonde_npy_read(npy, first + done, m, block, error);
        if (status != SONDE_STATUS_OK) {
            return status;
        }
        for (int64_t i = 0; i < m; i++) {
            out[done + i] = little_integer(block + i * size, size,
                                           dtype != SONDE_DTYPE_U8 && dtype != SONDE_DTYPE_BOOL);
        }
        done += m;
    }
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_npy_write(const char *path, enum sonde_dtype dtype, int rank,
                                  const int64_t *dim, const void *data, struct sonde_error *error)
{
    struct sonde_buf header = { 0 };
    struct sonde_file_writer writer;
    int64_t bytes = (int64_t)sonde_dtype_size(dtype);
    enum sonde_status status = sonde_npy_put_header(&header, dtype, rank, dim, error);
    for (int i = 0; i < rank && status == SONDE_STATUS_OK; i++) {
        if (dim[i] < 0 || !sonde_mul_i64(bytes, dim[i], &bytes)) {
            status = sonde_error_set(error, SONDE_STATUS_ARGUMENT, "%s: invalid shape", path);
        }
    }
    if (status == SONDE_STATUS_OK) {
        status = sonde_file_writer_begin(&writer, path, error);
    }
    if (status == SONDE_STATUS_OK) {
        bool ok = fwrite(header.data, 1, header.size, writer.stream) == header.size &&
                  (bytes == 0 || fwrite(data, 1, (size_t)bytes, writer.stream) == (size_t)bytes);
        if (!ok) {
            status = sonde_error_set(error, SONDE_STATUS_IO, "%s: cannot write", path);
        }
        enum sonde_status ended = sonde_file_writer_end(&writer, ok, ok ? error : NULL);
        status = status != SONDE_STATUS_OK ? status : ended;
    }
    sonde_buf_finish(&header);
    return status;
}
