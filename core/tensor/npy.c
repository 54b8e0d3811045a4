#include "core/tensor/npy.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/num.h"

static const struct {
    const char *descr;
    enum sonde_dtype dtype;
} descriptions[] = {
    { "<f4", SONDE_DTYPE_F32 }, { "<f2", SONDE_DTYPE_F16 }, { "<f8", SONDE_DTYPE_F64 },
    { "<i8", SONDE_DTYPE_I64 }, { "<i4", SONDE_DTYPE_I32 }, { "<i2", SONDE_DTYPE_I16 },
    { "|i1", SONDE_DTYPE_I8 },  { "|u1", SONDE_DTYPE_U8 },  { "|b1", SONDE_DTYPE_BOOL },
};
enum { N_DESCRIPTIONS = sizeof descriptions / sizeof *descriptions };

static enum sonde_status find_dtype(const struct sonde_npy_header *header, enum sonde_dtype *out,
                                    struct sonde_error *error)
{
    size_t n = header->n_descr;
    for (int i = 0; i < N_DESCRIPTIONS; i++) {
        const char *descr = descriptions[i].descr;
        if (strlen(descr) == n && memcmp(descr, header->descr, n) == 0) {
            *out = descriptions[i].dtype;
            return SONDE_STATUS_OK;
        }
    }
    return sonde_error_set(error, SONDE_STATUS_UNSUPPORTED,
                           "npy header: descr '%.*s' is not one of <f4 <f2 <f8 <i8 <i4 <i2 |i1 |u1 "
                           "|b1",
                           (int)(n < 40 ? n : 40), header->descr);
}

enum sonde_status sonde_npy_parse(const uint8_t *bytes, int64_t n, int64_t file_bytes,
                                  struct sonde_npy_shape *out, int64_t *data_offset,
                                  struct sonde_error *error)
{
    struct sonde_npy_header header;
    struct sonde_npy_shape shape = { 0 };
    enum sonde_status status = sonde_npy_header_parse(&header, bytes, n, file_bytes, error);
    if (status == SONDE_STATUS_OK) {
        status = find_dtype(&header, &shape.dtype, error);
    }
    if (status != SONDE_STATUS_OK) {
        return status;
    }
    shape.rank = header.rank;
    memcpy(shape.dim, header.dim, sizeof shape.dim);
    shape.n_elements = header.n_elements;
    int64_t need = 0, data_bytes = file_bytes - header.data_at;
    if (!sonde_mul_i64(shape.n_elements, (int64_t)sonde_dtype_size(shape.dtype), &need) ||
        need != data_bytes) {
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "%lld bytes of data after the npy header, its shape and descr need "
                               "%lld",
                               (long long)data_bytes, (long long)need);
    }
    *out = shape;
    *data_offset = header.data_at;
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
    uint8_t *head = malloc(SONDE_NPY_START_MAX);
    enum sonde_status status = SONDE_STATUS_OK;
    if (!npy || !head) {
        status = sonde_error_memory(error, "an npy file");
    } else {
        status = sonde_file_open(&npy->file, path, error);
    }
    if (status == SONDE_STATUS_OK) {
        int64_t size = sonde_file_size(npy->file);
        int64_t n = size < SONDE_NPY_START_MAX ? size : SONDE_NPY_START_MAX;
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
