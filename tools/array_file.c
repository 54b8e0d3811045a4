#include "tools/array_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/num.h"

int64_t sonde_array_bytes(const struct sonde_array *array)
{
    int64_t n = (int64_t)sonde_dtype_size(array->dtype);
    for (int d = 0; d < array->rank; d++)
        n *= array->dim[d];
    return n;
}

static enum sonde_status find_format(const char *path, enum sonde_array_format *out,
                                     struct sonde_error *error)
{
    if (strcmp(path, "-") == 0 || sonde_str_ends(path, ".npy"))
        *out = SONDE_ARRAY_FORMAT_NPY;
    else if (sonde_str_ends(path, ".npz"))
        *out = SONDE_ARRAY_FORMAT_NPZ;
    else if (sonde_str_ends(path, ".safetensors"))
        *out = SONDE_ARRAY_FORMAT_SAFETENSORS;
    else
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "%s: the ending says the format: .npy, .npz or .safetensors", path);
    return SONDE_STATUS_OK;
}

static enum sonde_status begin_safetensors(struct sonde_array_file *file, const char *path,
                                           const struct sonde_array *arrays, int64_t n,
                                           struct sonde_error *error)
{
    struct sonde_safetensors_item *item = calloc((size_t)n + 1, sizeof(*item));
    if (!item)
        return sonde_error_memory(error, path);
    for (int64_t i = 0; i < n; i++) {
        item[i] = (struct sonde_safetensors_item){ .name = arrays[i].name,
                                                   .dtype = arrays[i].dtype,
                                                   .rank = arrays[i].rank };
        memcpy(item[i].dim, arrays[i].dim, sizeof(arrays[i].dim));
    }
    static const struct sonde_safetensors_pair metadata[] = { { "format", "sonde" } };
    enum sonde_status status =
        sonde_safetensors_begin(&file->safetensors, path, item, n, metadata, 1, error);
    free(item);
    return status;
}

enum sonde_status sonde_array_file_begin(struct sonde_array_file *file, const char *path,
                                         const struct sonde_array *arrays, int64_t n,
                                         struct sonde_error *error)
{
    enum sonde_status status = find_format(path, &file->format, error);
    if (status)
        return status;
    if (file->format == SONDE_ARRAY_FORMAT_NPZ)
        return sonde_npz_begin(&file->npz, path, error);
    if (file->format == SONDE_ARRAY_FORMAT_SAFETENSORS)
        return begin_safetensors(file, path, arrays, n, error);
    if (n != 1)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "%s: an .npy holds one array, not %lld: write an .npz or "
                               ".safetensors",
                               path, (long long)n);
    return sonde_file_writer_begin(&file->npy, path, error);
}

enum sonde_status sonde_array_file_add(struct sonde_array_file *file,
                                       const struct sonde_array *array, struct sonde_error *error)
{
    if (file->format == SONDE_ARRAY_FORMAT_NPZ)
        return sonde_npz_add(&file->npz, array->name, array->dtype, array->rank, array->dim, error);
    if (file->format == SONDE_ARRAY_FORMAT_SAFETENSORS)
        return SONDE_STATUS_OK;
    struct sonde_buf header = { 0 };
    enum sonde_status status =
        sonde_npy_put_header(&header, array->dtype, array->rank, array->dim, error);
    if (!status)
        status = sonde_array_file_append(file, header.data, (int64_t)header.size, error);
    sonde_buf_finish(&header);
    return status;
}

enum sonde_status sonde_array_file_append(struct sonde_array_file *file, const void *data,
                                          int64_t n_bytes, struct sonde_error *error)
{
    if (file->format == SONDE_ARRAY_FORMAT_NPZ)
        return sonde_npz_append(&file->npz, data, n_bytes, error);
    if (file->format == SONDE_ARRAY_FORMAT_SAFETENSORS)
        return sonde_safetensors_append(&file->safetensors, data, n_bytes, error);
    if (fwrite(data, 1, (size_t)n_bytes, file->npy.stream) != (size_t)n_bytes)
        return sonde_error_set(error, SONDE_STATUS_IO, "%s: cannot write: %s", file->npy.path,
                               strerror(errno));
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_array_file_end(struct sonde_array_file *file, bool commit,
                                       struct sonde_error *error)
{
    if (file->format == SONDE_ARRAY_FORMAT_NPZ)
        return sonde_npz_end(&file->npz, commit, error);
    if (file->format == SONDE_ARRAY_FORMAT_SAFETENSORS)
        return sonde_safetensors_end(&file->safetensors, commit, error);
    return sonde_file_writer_end(&file->npy, commit, error);
}

/* Where the array lies in its file, whatever the container. */
struct place {
    enum sonde_dtype dtype;
    int rank;
    const int64_t *dim;
    int64_t offset, n_elements;
};

static enum sonde_status find_tensor(const char *path, const char *name,
                                     struct sonde_safetensors **file, struct place *out,
                                     struct sonde_error *error)
{
    enum sonde_status status = sonde_safetensors_open(file, path, error);
    if (status)
        return status;
    const struct sonde_safetensors_entry *e = sonde_safetensors_find(*file, name);
    if (!e) {
        struct sonde_buf names = { .max = 512 };
        for (int64_t i = 0; i < sonde_safetensors_count(*file); i++)
            sonde_buf_printf(&names, "%s%s", i ? ", " : "", sonde_safetensors_at(*file, i)->name);
        status =
            sonde_error_set(error, SONDE_STATUS_NOT_FOUND, "%s: holds no tensor '%s'; it holds: %s",
                            path, name, names.size ? names.data : "none");
        sonde_buf_finish(&names);
        return status;
    }
    *out = (struct place){ e->dtype, e->rank, e->dim, e->offset, e->n_elements };
    return SONDE_STATUS_OK;
}

/* Matrices only: the first axis is rows, the others one row. */
static enum sonde_status load_place(const struct sonde_file *file, const struct place *p,
                                    struct sonde_array *out, void **data, struct sonde_error *error)
{
    const char *path = sonde_file_path(file);
    bool wide = p->dtype == SONDE_DTYPE_F64;
    if (p->rank < 2 || !(sonde_dtype_is_weight(p->dtype) || wide))
        return sonde_error_set(error, SONDE_STATUS_UNSUPPORTED,
                               "%s: rank %d of %s, expected a matrix of f32, f16, bf16 or f64",
                               path, p->rank, sonde_dtype_name(p->dtype));
    int64_t element = (int64_t)sonde_dtype_size(p->dtype), n_bytes = 0;
    if (!sonde_mul_i64(p->n_elements, element, &n_bytes))
        return sonde_error_memory(error, path);
    uint8_t *raw = malloc((size_t)n_bytes + 1);
    if (!raw)
        return sonde_error_memory(error, path);
    enum sonde_status status = sonde_file_read(file, p->offset, raw, n_bytes, error);
    if (!status && wide) {
        float *narrow = malloc((size_t)p->n_elements * sizeof(*narrow) + 1);
        if (narrow)
            sonde_dtype_widen(p->dtype, raw, narrow, p->n_elements);
        else
            status = sonde_error_memory(error, path);
        free(raw);
        raw = (uint8_t *)narrow;
    }
    if (status) {
        free(raw);
        return status;
    }
    *out = (struct sonde_array){ .dtype = wide ? SONDE_DTYPE_F32 : p->dtype,
                                 .rank = 2,
                                 .dim = { p->dim[0], p->dim[0] ? p->n_elements / p->dim[0] : 0 } };
    *data = raw;
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_array_file_load(const char *path, const char *name, struct sonde_array *out,
                                        void **data, struct sonde_error *error)
{
    enum sonde_array_format format = SONDE_ARRAY_FORMAT_NPY;
    struct sonde_safetensors *tensors = NULL;
    struct sonde_file *file = NULL;
    struct sonde_npy_shape shape = { 0 };
    struct place place = { 0 };
    enum sonde_status status = find_format(path, &format, error);
    if (!status)
        status = sonde_file_open(&file, path, error);
    if (!status && format == SONDE_ARRAY_FORMAT_SAFETENSORS) {
        status = find_tensor(path, name, &tensors, &place, error);
    } else if (!status) {
        int64_t offset = 0;
        if (format == SONDE_ARRAY_FORMAT_NPZ) {
            status = sonde_npz_find(file, name, &shape, &offset, error);
        } else {
            uint8_t head[65536];
            int64_t size = sonde_file_size(file);
            int64_t n = size < (int64_t)sizeof(head) ? size : (int64_t)sizeof(head);
            status = sonde_file_read(file, 0, head, n, error);
            if (!status) {
                status = sonde_npy_parse(head, n, size, &shape, &offset, error);
                if (status)
                    sonde_error_prepend(error, "%s", path);
            }
        }
        place = (struct place){ shape.dtype, shape.rank, shape.dim, offset, shape.n_elements };
    }
    if (!status)
        status = load_place(file, &place, out, data, error);
    sonde_safetensors_close(&tensors);
    sonde_file_close(&file);
    return status;
}
