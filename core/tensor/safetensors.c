#include "core/tensor/safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/arena.h"
#include "core/base/json.h"
#include "core/base/num.h"

enum { PREFIX_BYTES = 8, TENSORS_MAX = 1000000, NAME_SHOWN = 160 };

struct sonde_safetensors {
    struct sonde_file *file;
    struct sonde_arena *arena;
    struct sonde_safetensors_entry *entries;        /* [n] by offset */
    const struct sonde_safetensors_entry **by_name; /* [n] */
    int64_t n;
    struct sonde_safetensors_pair *metadata; /* [n_metadata] */
    int64_t n_metadata;
    int64_t data_begin, data_bytes;
};

static const struct element {
    const char *name;
    enum sonde_dtype dtype;
    int64_t bytes;
} elements[] = {
    { "F32", SONDE_DTYPE_F32, 4 },   { "F16", SONDE_DTYPE_F16, 2 },
    { "BF16", SONDE_DTYPE_BF16, 2 }, { "F64", SONDE_DTYPE_F64, 8 },
    { "I64", SONDE_DTYPE_I64, 8 },   { "I32", SONDE_DTYPE_I32, 4 },
    { "I16", SONDE_DTYPE_I16, 2 },   { "I8", SONDE_DTYPE_I8, 1 },
    { "U8", SONDE_DTYPE_U8, 1 },     { "BOOL", SONDE_DTYPE_BOOL, 1 },
    { "U16", SONDE_DTYPE_NONE, 2 },  { "U32", SONDE_DTYPE_NONE, 4 },
    { "U64", SONDE_DTYPE_NONE, 8 },  { "F8_E4M3", SONDE_DTYPE_NONE, 1 },
    { "C64", SONDE_DTYPE_NONE, 8 },  { "F8_E5M2", SONDE_DTYPE_NONE, 1 },
};

static const struct element *find_element(const char *name)
{
    for (size_t i = 0; name && i < sizeof elements / sizeof *elements; i++) {
        if (strcmp(elements[i].name, name) == 0) {
            return &elements[i];
        }
    }
    return NULL;
}

void sonde_safetensors_close(struct sonde_safetensors **file)
{
    if (!file || !*file) {
        return;
    }
    sonde_file_close(&(*file)->file);
    sonde_arena_destroy(&(*file)->arena);
    free(*file);
    *file = NULL;
}

/* "tensor NAME: reason"; the file's name is put before it by open. */
SONDE_PRINTF(3, 4)
static enum sonde_status refuse(struct sonde_error *error, const char *name, const char *format,
                                ...)
{
    char reason[256];
    va_list args;
    va_start(args, format);
    vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    return sonde_error_set(error, SONDE_STATUS_FORMAT, "tensor %.*s: %s", NAME_SHOWN, name, reason);
}

static enum sonde_status read_shape(const struct sonde_json *shape, const struct element *element,
                                    struct sonde_safetensors_entry *entry,
                                    struct sonde_error *error)
{
    int64_t rank = sonde_json_size(shape);
    if (sonde_json_type(shape) != SONDE_JSON_ARRAY) {
        return refuse(error, entry->name, "shape is %s, expected an array",
                      sonde_json_type_name(sonde_json_type(shape)));
    }
    if (rank > SONDE_SAFETENSORS_RANK_MAX) {
        return refuse(error, entry->name, "rank %lld, at most %d", (long long)rank,
                      SONDE_SAFETENSORS_RANK_MAX);
    }
    entry->rank = (int)rank;
    entry->n_elements = 1;
    for (int i = 0; i < entry->rank; i++) {
        const struct sonde_json *dim = sonde_json_at(shape, i);
        int64_t value = sonde_json_integer(dim, -1);
        if (sonde_json_type(dim) != SONDE_JSON_INTEGER || value < 0) {
            return refuse(error, entry->name, "shape[%d] is no whole number >= 0", i);
        }
        entry->dim[i] = value;
        if (!sonde_mul_i64(entry->n_elements, value, &entry->n_elements)) {
            return refuse(error, entry->name, "the product of its shape overflows");
        }
    }
    if (!sonde_mul_i64(entry->n_elements, element->bytes, &entry->n_bytes)) {
        return refuse(error, entry->name, "its size in bytes overflows");
    }
    return SONDE_STATUS_OK;
}

static enum sonde_status read_entry(const struct sonde_json *info, int64_t data_bytes,
                                    struct sonde_safetensors_entry *entry,
                                    struct sonde_error *error)
{
    if (sonde_json_type(info) != SONDE_JSON_OBJECT) {
        return refuse(error, entry->name, "is %s, expected an object",
                      sonde_json_type_name(sonde_json_type(info)));
    }
    const char *dtype = sonde_json_string(sonde_json_get(info, "dtype"), NULL);
    const struct element *element = find_element(dtype);
    if (!dtype) {
        return refuse(error, entry->name, "has no dtype");
    }
    if (!element) {
        return refuse(error, entry->name, "unknown dtype '%.40s'", dtype);
    }
    entry->dtype = element->dtype;
    entry->dtype_name = element->name;
    enum sonde_status status = read_shape(sonde_json_get(info, "shape"), element, entry, error);
    if (status != SONDE_STATUS_OK) {
        return status;
    }
    const struct sonde_json *offsets = sonde_json_get(info, "data_offsets");
    const struct sonde_json *first = sonde_json_at(offsets, 0), *last = sonde_json_at(offsets, 1);
    int64_t begin = sonde_json_integer(first, -1), end = sonde_json_integer(last, -1);
    if (sonde_json_type(offsets) != SONDE_JSON_ARRAY || sonde_json_size(offsets) != 2 ||
        sonde_json_type(first) != SONDE_JSON_INTEGER ||
        sonde_json_type(last) != SONDE_JSON_INTEGER || begin < 0 || end < 0) {
        return refuse(error, entry->name, "data_offsets is not two whole numbers >= 0");
    }
    if (end < begin || end > data_bytes) {
        return refuse(error, entry->name,
                      "data_offsets [%lld, %lld] in a file with %lld bytes of data",
                      (long long)begin, (long long)end, (long long)data_bytes);
    }
    if (end - begin != entry->n_bytes) {
        return refuse(error, entry->name, "%lld bytes of data, its shape and dtype need %lld",
                      (long long)(end - begin), (long long)entry->n_bytes);
    }
    entry->offset = begin;
    return SONDE_STATUS_OK;
}

static enum sonde_status read_metadata(struct sonde_safetensors *file,
                                       const struct sonde_json *object, struct sonde_error *error)
{
    if (sonde_json_type(object) != SONDE_JSON_OBJECT) {
        return sonde_error_set(error, SONDE_STATUS_FORMAT, "__metadata__ is %s, expected an object",
                               sonde_json_type_name(sonde_json_type(object)));
    }
    file->metadata =
        sonde_arena_alloc(file->arena, sonde_json_size(object), sizeof *file->metadata);
    if (!file->metadata) {
        return sonde_error_memory(error, "__metadata__");
    }
    for (struct sonde_json_iter i = { 0 }; sonde_json_next(object, &i);) {
        const char *text = sonde_json_string(i.value, NULL);
        if (!text) {
            return sonde_error_set(error, SONDE_STATUS_FORMAT,
                                   "__metadata__ %.*s is %s, expected a string", NAME_SHOWN, i.key,
                                   sonde_json_type_name(sonde_json_type(i.value)));
        }
        struct sonde_safetensors_pair *pair = &file->metadata[file->n_metadata];
        pair->key = sonde_arena_strndup(file->arena, i.key, i.key_size);
        pair->value = sonde_arena_strndup(file->arena, text, strlen(text));
        if (!pair->key || !pair->value) {
            return sonde_error_memory(error, "__metadata__");
        }
        file->n_metadata++;
    }
    return SONDE_STATUS_OK;
}

static int compare_offsets(const void *a, const void *b)
{
    const struct sonde_safetensors_entry *x = a, *y = b;
    if (x->offset != y->offset) {
        return x->offset < y->offset ? -1 : 1;
    }
    if (x->n_bytes != y->n_bytes) {
        return x->n_bytes < y->n_bytes ? -1 : 1;
    }
    return strcmp(x->name, y->name);
}

static int compare_names(const void *a, const void *b)
{
    const struct sonde_safetensors_entry *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

/* Tensors must tile the data: what nobody names could hide anything, and overlaps alias. */
static enum sonde_status check_tiling(struct sonde_safetensors *file, struct sonde_error *error)
{
    int64_t at = 0;
    qsort(file->entries, (size_t)file->n, sizeof *file->entries, compare_offsets);
    for (int64_t i = 0; i < file->n; i++) {
        struct sonde_safetensors_entry *entry = &file->entries[i];
        if (entry->offset != at) {
            return refuse(error, entry->name, "begins at byte %lld of the data, expected %lld (%s)",
                          (long long)entry->offset, (long long)at,
                          entry->offset < at ? "overlap" : "hole");
        }
        at += entry->n_bytes;
        entry->offset += file->data_begin;
        file->by_name[i] = entry;
    }
    if (at != file->data_bytes) {
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "%lld bytes of data, the tensors cover %lld",
                               (long long)file->data_bytes, (long long)at);
    }
    qsort(file->by_name, (size_t)file->n, sizeof *file->by_name, compare_names);
    return SONDE_STATUS_OK;
}

static enum sonde_status read_entries(struct sonde_safetensors *file, const struct sonde_json *root,
                                      struct sonde_error *error)
{
    int64_t n = sonde_json_size(root);
    enum sonde_status status = SONDE_STATUS_OK;
    if (n > TENSORS_MAX) {
        return sonde_error_set(error, SONDE_STATUS_LIMIT, "%lld tensors, at most %d", (long long)n,
                               TENSORS_MAX);
    }
    file->entries = sonde_arena_zalloc(file->arena, n, sizeof *file->entries);
    file->by_name = sonde_arena_alloc(file->arena, n, sizeof *file->by_name);
    if (!file->entries || !file->by_name) {
        return sonde_error_memory(error, "the tensor table");
    }
    for (struct sonde_json_iter i = { 0 }; sonde_json_next(root, &i);) {
        if (strcmp(i.key, "__metadata__") == 0) {
            status = read_metadata(file, i.value, error);
        } else {
            struct sonde_safetensors_entry *entry = &file->entries[file->n];
            entry->name = sonde_arena_strndup(file->arena, i.key, i.key_size);
            if (!entry->name) {
                return sonde_error_memory(error, "the tensor table");
            }
            status = read_entry(i.value, file->data_bytes, entry, error);
            file->n++;
        }
        if (status != SONDE_STATUS_OK) {
            return status;
        }
    }
    return check_tiling(file, error);
}

static enum sonde_status read_header_size(struct sonde_safetensors *file, int64_t *out,
                                          struct sonde_error *error)
{
    uint8_t prefix[PREFIX_BYTES];
    int64_t file_bytes = sonde_file_size(file->file);
    if (file_bytes < PREFIX_BYTES) {
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "%lld bytes, too short for a safetensors file",
                               (long long)file_bytes);
    }
    enum sonde_status status = sonde_file_read(file->file, 0, prefix, PREFIX_BYTES, error);
    if (status != SONDE_STATUS_OK) {
        return status;
    }
    uint64_t n = 0;
    for (int i = PREFIX_BYTES - 1; i >= 0; i--) {
        n = n << 8 | prefix[i];
    }
    if (n > SONDE_SAFETENSORS_HEADER_MAX) {
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "header of %llu bytes, at most %d are allowed",
                               (unsigned long long)n, SONDE_SAFETENSORS_HEADER_MAX);
    }
    if ((int64_t)n > file_bytes - PREFIX_BYTES) {
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "header of %llu bytes in a file of %lld bytes",
                               (unsigned long long)n, (long long)file_bytes);
    }
    *out = (int64_t)n;
    return SONDE_STATUS_OK;
}

static enum sonde_status read_header(struct sonde_safetensors *file, struct sonde_error *error)
{
    int64_t n = 0;
    enum sonde_status status = read_header_size(file, &n, error);
    if (status != SONDE_STATUS_OK) {
        return status;
    }
    char *text = malloc((size_t)n + 1);
    if (!text) {
        return sonde_error_memory(error, "the header");
    }
    struct sonde_json *root = NULL;
    status = sonde_file_read(file->file, PREFIX_BYTES, text, n, error);
    if (status == SONDE_STATUS_OK && (n == 0 || text[0] != '{')) {
        status = sonde_error_set(error, SONDE_STATUS_FORMAT, "the header does not begin with '{'");
    }
    if (status == SONDE_STATUS_OK) {
        status = sonde_json_parse(&root, text, (size_t)n, error);
        if (status != SONDE_STATUS_OK) {
            sonde_error_prepend(error, "header");
        }
    }
    free(text);
    if (status == SONDE_STATUS_OK) {
        file->data_begin = PREFIX_BYTES + n;
        file->data_bytes = sonde_file_size(file->file) - file->data_begin;
        status = read_entries(file, root, error);
    }
    sonde_json_destroy(&root);
    return status;
}

enum sonde_status sonde_safetensors_open(struct sonde_safetensors **out, const char *path,
                                         struct sonde_error *error)
{
    struct sonde_safetensors *file = calloc(1, sizeof *file);
    if (!file || !(file->arena = sonde_arena_create(0))) {
        free(file);
        return sonde_error_memory(error, "a safetensors file");
    }
    enum sonde_status status = sonde_file_open(&file->file, path, error);
    if (status == SONDE_STATUS_OK) {
        status = read_header(file, error);
        if (status != SONDE_STATUS_OK) {
            sonde_error_prepend(error, "%s", path);
        }
    }
    if (status != SONDE_STATUS_OK) {
        sonde_safetensors_close(&file);
        return status;
    }
    *out = file;
    return SONDE_STATUS_OK;
}

const char *sonde_safetensors_path(const struct sonde_safetensors *file)
{
    return sonde_file_path(file->file);
}

int64_t sonde_safetensors_file_bytes(const struct sonde_safetensors *file)
{
    return sonde_file_size(file->file);
}

int64_t sonde_safetensors_count(const struct sonde_safetensors *file)
{
    return file->n;
}

const struct sonde_safetensors_entry *sonde_safetensors_at(const struct sonde_safetensors *file,
                                                           int64_t i)
{
    return i >= 0 && i < file->n ? &file->entries[i] : NULL;
}

const struct sonde_safetensors_entry *sonde_safetensors_find(const struct sonde_safetensors *file,
                                                             const char *name)
{
    int64_t low = 0, high = file->n;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        int order = strcmp(name, file->by_name[middle]->name);
        if (order == 0) {
            return file->by_name[middle];
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return NULL;
}

const char *sonde_safetensors_metadata(const struct sonde_safetensors *file, const char *key)
{
    for (int64_t i = 0; i < file->n_metadata; i++) {
        if (strcmp(file->metadata[i].key, key) == 0) {
            return file->metadata[i].value;
        }
    }
    return NULL;
}

enum sonde_status sonde_safetensors_map(struct sonde_safetensors *file,
                                        const struct sonde_safetensors_entry *entry,
                                        const uint8_t **data, struct sonde_error *error)
{
    const uint8_t *bytes = NULL;
    enum sonde_status status = sonde_file_map(file->file, &bytes, error);
    if (status == SONDE_STATUS_OK) {
        *data = bytes + entry->offset;
    }
    return status;
}

void sonde_safetensors_forget(struct sonde_safetensors *file, const void *data, int64_t n)
{
    sonde_file_forget(file->file, data, n);
}

/* Reads elements in blocks and hands each block to one of the two converters. */
static enum sonde_status read_blocks(const struct sonde_safetensors *file,
                                     const struct sonde_safetensors_entry *entry, int64_t first,
                                     int64_t n, float *as_f32, int64_t *as_i64,
                                     struct sonde_error *error)
{
    enum { BLOCK_BYTES = 32768 };
    uint8_t block[BLOCK_BYTES];
    int64_t size = (int64_t)sonde_dtype_size(entry->dtype);
    if (size == 0 || first < 0 || n < 0 || n > entry->n_elements - first) {
        return sonde_error_set(
            error, SONDE_STATUS_ARGUMENT, "%s: tensor %.*s (%s): elements %lld to %lld of %lld",
            sonde_file_path(file->file), NAME_SHOWN, entry->name, entry->dtype_name,
            (long long)first, (long long)(first + n), (long long)entry->n_elements);
    }
    int64_t most = BLOCK_BYTES / size;
    for (int64_t done = 0; done < n;) {
        int64_t m = n - done < most ? n - done : most;
        enum sonde_status status = sonde_file_read(
            file->file, entry->offset + (first + done) * size, block, m * size, error);
        if (status != SONDE_STATUS_OK) {
            return status;
        }
        if (as_f32) {
            sonde_dtype_widen(entry->dtype, block, as_f32 + done, m);
        }
        for (int64_t i = 0; as_i64 && i < m; i++) {
            const uint8_t *at = block + i * size;
            bool is_signed = entry->dtype != SONDE_DTYPE_U8 && entry->dtype != SONDE_DTYPE_BOOL;
            uint64_t value = is_signed && at[size - 1] >= 128 ? UINT64_MAX : 0;
            for (int64_t b = size - 1; b >= 0; b--) {
                value = value << 8 | at[b];
            }
            memcpy(&as_i64[done + i], &value, sizeof value);
        }
        done += m;
    }
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_safetensors_read_f32(const struct sonde_safetensors *file,
                                             const struct sonde_safetensors_entry *entry,
                                             int64_t first, int64_t n, float *out,
                                             struct sonde_error *error)
{
    return read_blocks(file, entry, first, n, out, NULL, error);
}

enum sonde_status sonde_safetensors_read_i64(const struct sonde_safetensors *file,
                                             const struct sonde_safetensors_entry *entry,
                                             int64_t first, int64_t n, int64_t *out,
                                             struct sonde_error *error)
{
    switch (entry->dtype) {
    case SONDE_DTYPE_I64:
    case SONDE_DTYPE_I32:
    case SONDE_DTYPE_I16:
    case SONDE_DTYPE_I8:
    case SONDE_DTYPE_U8:
    case SONDE_DTYPE_BOOL:
        return read_blocks(file, entry, first, n, NULL, out, error);
    case SONDE_DTYPE_NONE:
    case SONDE_DTYPE_F32:
    case SONDE_DTYPE_F16:
    case SONDE_DTYPE_BF16:
    case SONDE_DTYPE_F64:
        break;
    }
    return sonde_error_set(error, SONDE_STATUS_FORMAT,
                           "%s: tensor %.*s is %s, expected whole numbers",
                           sonde_file_path(file->file), NAME_SHOWN, entry->name, entry->dtype_name);
}
