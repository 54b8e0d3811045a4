#include "core/tensor/safetensors.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/json.h"
#include "core/base/num.h"

static enum sonde_status item_bytes(const struct sonde_safetensors_item *item, int64_t *out,
                                    struct sonde_error *error)
{
    int64_t bytes = (int64_t)sonde_dtype_size(item->dtype);
    bool ok = bytes > 0 && item->rank >= 0 && item->rank <= SONDE_SAFETENSORS_RANK_MAX;
    for (int i = 0; ok && i < item->rank; i++) {
        ok = item->dim[i] >= 0 && sonde_mul_i64(bytes, item->dim[i], &bytes);
    }
    if (!ok) {
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "tensor %.160s: invalid shape or dtype", item->name);
    }
    *out = bytes;
    return SONDE_STATUS_OK;
}

/* The dtype as the format spells it: our names in capitals. */
static void put_dtype(struct sonde_json_writer *w, enum sonde_dtype dtype)
{
    char upper[16] = { 0 };
    const char *name = sonde_dtype_name(dtype);
    for (size_t i = 0; name[i] && i + 1 < sizeof upper; i++) {
        upper[i] = name[i] >= 'a' && name[i] <= 'z' ? (char)(name[i] - 'a' + 'A') : name[i];
    }
    sonde_json_put_string(w, "dtype", upper);
}

static enum sonde_status make_header(struct sonde_buf *out,
                                     const struct sonde_safetensors_item *items, int64_t n,
                                     const struct sonde_safetensors_pair *metadata,
                                     int64_t n_metadata, int64_t *total, struct sonde_error *error)
{
    struct sonde_json_writer w = { .out = out };
    *total = 0;
    sonde_json_begin_object(&w, NULL);
    if (n_metadata > 0) {
        sonde_json_begin_object(&w, "__metadata__");
        for (int64_t i = 0; i < n_metadata; i++) {
            sonde_json_put_string(&w, metadata[i].key, metadata[i].value);
        }
        sonde_json_end_object(&w);
    }
    for (int64_t i = 0; i < n; i++) {
        int64_t bytes = 0, end = 0;
        enum sonde_status status = item_bytes(&items[i], &bytes, error);
        if (status != SONDE_STATUS_OK) {
            return status;
        }
        if (!sonde_add_i64(*total, bytes, &end)) {
            return sonde_error_set(error, SONDE_STATUS_LIMIT, "the tensors' sizes overflow");
        }
        sonde_json_begin_object(&w, items[i].name);
        put_dtype(&w, items[i].dtype);
        sonde_json_begin_array(&w, "shape");
        for (int j = 0; j < items[i].rank; j++) {
            sonde_json_put_i64(&w, NULL, items[i].dim[j]);
        }
        sonde_json_end_array(&w);
        sonde_json_begin_array(&w, "data_offsets");
        sonde_json_put_i64(&w, NULL, *total);
        sonde_json_put_i64(&w, NULL, end);
        sonde_json_end_array(&w);
        sonde_json_end_object(&w);
        *total = end;
    }
    sonde_json_end_object(&w);
    while (!out->failed && out->size % 8) {
        sonde_buf_putc(out, ' ');
    }
    return sonde_buf_status(out, error);
}

enum sonde_status sonde_safetensors_begin(struct sonde_safetensors_writer *writer, const char *path,
                                          const struct sonde_safetensors_item *items, int64_t n,
                                          const struct sonde_safetensors_pair *metadata,
                                          int64_t n_metadata, struct sonde_error *error)
{
    struct sonde_buf header = { .max = SONDE_SAFETENSORS_HEADER_MAX };
    uint8_t prefix[8];
    int64_t total = 0;
    struct sonde_file_writer file;
    enum sonde_status status = make_header(&header, items, n, metadata, n_metadata, &total, error);
    if (status == SONDE_STATUS_OK) {
        status = sonde_file_writer_begin(&file, path, error);
    }
    if (status != SONDE_STATUS_OK) {
        sonde_buf_finish(&header);
        return status;
    }
    for (size_t i = 0; i < sizeof prefix; i++) {
        prefix[i] = (uint8_t)((uint64_t)header.size >> (8 * i));
    }
    bool ok = fwrite(prefix, 1, sizeof prefix, file.stream) == sizeof prefix &&
              fwrite(header.data, 1, header.size, file.stream) == header.size;
    sonde_buf_finish(&header);
    if (!ok) {
        enum sonde_status ignored = sonde_file_writer_end(&file, false, NULL);
        (void)ignored;
        return sonde_error_set(error, SONDE_STATUS_IO, "%s: cannot write the header", path);
    }
    writer->file = file;
    writer->expected_bytes = total;
    writer->written_bytes = 0;
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_safetensors_append(struct sonde_safetensors_writer *writer,
                                           const void *data, int64_t n_bytes,
                                           struct sonde_error *error)
{
    if (n_bytes < 0 || n_bytes > writer->expected_bytes - writer->written_bytes) {
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "%s: more data than the header announced", writer->file.path);
    }
    if (n_bytes > 0 && fwrite(data, 1, (size_t)n_bytes, writer->file.stream) != (size_t)n_bytes) {
        return sonde_error_set(error, SONDE_STATUS_IO, "%s: cannot write", writer->file.path);
    }
    writer->written_bytes += n_bytes;
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_safetensors_end(struct sonde_safetensors_writer *writer, bool commit,
                                        struct sonde_error *error)
{
    bool whole = writer->written_bytes == writer->expected_bytes;
    if (commit && !whole) {
        enum sonde_status status = sonde_error_set(
            error, SONDE_STATUS_ARGUMENT, "%s: %lld bytes of data, announced %lld",
            writer->file.path, (long long)writer->written_bytes, (long long)writer->expected_bytes);
        enum sonde_status ignored = sonde_file_writer_end(&writer->file, false, NULL);
        (void)ignored;
        return status;
    }
    return sonde_file_writer_end(&writer->file, commit, error);
}

static void order_by_alignment(struct sonde_safetensors_item *items, int64_t n)
{
    for (int64_t i = 1; i < n; i++) { /* insertion keeps the order of equals */
        struct sonde_safetensors_item item = items[i];
        int64_t j = i;
        for (; j > 0 && sonde_dtype_size(items[j - 1].dtype) < sonde_dtype_size(item.dtype); j--) {
            items[j] = items[j - 1];
        }
        items[j] = item;
    }
}

enum sonde_status sonde_safetensors_write(const char *path,
                                          const struct sonde_safetensors_item *items, int64_t n,
                                          const struct sonde_safetensors_pair *metadata,
                                          int64_t n_metadata, struct sonde_error *error)
{
    struct sonde_safetensors_item *ordered = calloc((size_t)n + 1, sizeof *ordered);
    struct sonde_safetensors_writer writer;
    if (!ordered) {
        return sonde_error_memory(error, "the tensor list");
    }
    if (n > 0) {
        memcpy(ordered, items, (size_t)n * sizeof *ordered);
    }
    order_by_alignment(ordered, n);
    enum sonde_status status =
        sonde_safetensors_begin(&writer, path, ordered, n, metadata, n_metadata, error);
    if (status != SONDE_STATUS_OK) {
        free(ordered);
        return status;
    }
    for (int64_t i = 0; i < n && status == SONDE_STATUS_OK; i++) {
        int64_t bytes = 0;
        status = item_bytes(&ordered[i], &bytes, error);
        if (status == SONDE_STATUS_OK) {
            status = sonde_safetensors_append(&writer, ordered[i].data, bytes, error);
        }
    }
    free(ordered);
    enum sonde_status ended =
        sonde_safetensors_end(&writer, status == SONDE_STATUS_OK, status ? NULL : error);
    return status != SONDE_STATUS_OK ? status : ended;
}
