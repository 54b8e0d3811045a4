#include "core/model/torch_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/arena.h"
#include "core/model/torchzip.h"

/* Names beyond those of the dtypes in core/tensor: as safetensors writes them. */
static const char *const dtype_names[] = {
    [SONDE_DTYPE_F32] = "F32",   [SONDE_DTYPE_F16] = "F16", [SONDE_DTYPE_BF16] = "BF16",
    [SONDE_DTYPE_F64] = "F64",   [SONDE_DTYPE_I64] = "I64", [SONDE_DTYPE_I32] = "I32",
    [SONDE_DTYPE_I16] = "I16",   [SONDE_DTYPE_I8] = "I8",   [SONDE_DTYPE_U8] = "U8",
    [SONDE_DTYPE_BOOL] = "BOOL",
};

#define ARENA_BYTES_MAX ((size_t)1 << 29)

struct sonde_torch_file {
    struct sonde_torchzip *zip;
    struct sonde_arena *arena;
    const struct sonde_pickle_value *root;
    char *path;
    char folder[SONDE_TORCHZIP_NAME_MAX + 1]; /* "model_19/": before every member's name */
    struct sonde_torch_entry *entries;        /* [n] */
    int64_t n;
};

void sonde_torch_close(struct sonde_torch_file **file)
{
    if (!file || !*file) {
        return;
    }
    sonde_torchzip_close(&(*file)->zip);
    sonde_arena_destroy(&(*file)->arena);
    free((*file)->path);
    free(*file);
    *file = NULL;
}

static const struct sonde_torchzip_member *find_member(const struct sonde_torch_file *file,
                                                       const char *name)
{
    char full[SONDE_TORCHZIP_NAME_MAX + SONDE_PICKLE_NAME_MAX + 16];
    snprintf(full, sizeof full, "%s%s", file->folder, name);
    return sonde_torchzip_find(file->zip, full);
}

/* All members lie in one folder, which torch.save names after the file. */
static enum sonde_status find_folder(struct sonde_torch_file *file, struct sonde_error *error)
{
    const struct sonde_torchzip_member *first = sonde_torchzip_at(file->zip, 0);
    const char *slash = first ? strchr(first->name, '/') : NULL;
    size_t n = slash ? (size_t)(slash - first->name) + 1 : 0;
    if (first) {
        memcpy(file->folder, first->name, n);
    }
    if (n == 0 || !find_member(file, "data.pkl")) {
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "a zip file without FOLDER/data.pkl, no checkpoint");
    }
    for (int64_t i = 1; i < sonde_torchzip_count(file->zip); i++) {
        const char *name = sonde_torchzip_at(file->zip, i)->name;
        if (strncmp(name, file->folder, n) != 0) {
            return sonde_error_set(error, SONDE_STATUS_FORMAT,
                                   "member %.160s does not lie in folder %.160s", name,
                                   file->folder);
        }
    }
    if (find_member(file, "constants.pkl")) {
        return sonde_error_set(error, SONDE_STATUS_UNSUPPORTED,
                               "a TorchScript program, which is code; save its state_dict()");
    }
    return SONDE_STATUS_OK;
}

static enum sonde_status check_byteorder(const struct sonde_torch_file *file,
                                         struct sonde_error *error)
{
    char text[8] = "";
    const struct sonde_torchzip_member *member = find_member(file, "byteorder");
    if (!member) {
        return SONDE_STATUS_OK; /* before 2.1 */
    }
    enum sonde_status status = SONDE_STATUS_OK;
    if (member->n_bytes < (int64_t)sizeof text) {
        status = sonde_file_read(sonde_torchzip_file(file->zip), member->offset, text,
                                 member->n_bytes, error);
    }
    if (status == SONDE_STATUS_OK && strcmp(text, "little") != 0) {
        status = sonde_error_set(error, SONDE_STATUS_UNSUPPORTED,
                                 "byte order '%s', only 'little' is supported", text);
    }
    return status;
}

static enum sonde_status read_pickle(struct sonde_torch_file *file, struct sonde_error *error)
{
    const struct sonde_torchzip_member *member = find_member(file, "data.pkl");
    if (member->n_bytes > SONDE_PICKLE_BYTES_MAX) {
        return sonde_error_set(error, SONDE_STATUS_LIMIT,
                               "data.pkl: %lld bytes, at most %d are allowed",
                               (long long)member->n_bytes, SONDE_PICKLE_BYTES_MAX);
    }
    uint8_t *data = malloc((size_t)member->n_bytes + 1);
    if (!data) {
        return sonde_error_memory(error, "data.pkl");
    }
    enum sonde_status status = sonde_file_read(sonde_torchzip_file(file->zip), member->offset, data,
                                               member->n_bytes, error);
    if (status == SONDE_STATUS_OK) {
        status = sonde_pickle_read(file->arena, data, (size_t)member->n_bytes, &file->root, error);
        if (status != SONDE_STATUS_OK) {
            sonde_error_prepend(error, "data.pkl");
        }
    }
    free(data);
    return status;
}

static int64_t count_tensors(const struct sonde_pickle_value *dict)
{
    int64_t n = 0;
    for (int64_t i = 0; dict && dict->type == SONDE_PICKLE_DICT && i < dict->n; i += 2) {
        n += dict->item[i + 1]->type == SONDE_PICKLE_TENSOR;
    }
    return n;
}

static const struct sonde_pickle_value *find_state_dict(const struct sonde_pickle_value *root)
{
    static const char *const keys[] = { "model_state_dict", "state_dict", "model" };
    if (count_tensors(root) > 0) {
        return root;
    }
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const struct sonde_pickle_value *found = sonde_pickle_get(root, keys[i]);
        if (count_tensors(found) > 0) {
            return found;
        }
    }
    return NULL;
}

static enum sonde_status read_entry(const struct sonde_torch_file *file,
                                    const struct sonde_pickle_value *key,
                                    const struct sonde_pickle_value *value,
                                    struct sonde_torch_entry *entry, struct sonde_error *error)
{
    const struct sonde_pickle_tensor *view = value->tensor;
    struct sonde_safetensors_entry *tensor = &entry->tensor;
    char name[SONDE_PICKLE_NAME_MAX + 8];
    if (key->type != SONDE_PICKLE_TEXT || key->n < 1 || key->n > SONDE_TORCH_NAME_MAX ||
        strlen(key->text) != (size_t)key->n) {
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "a tensor's name is no text of 1 to %d bytes", SONDE_TORCH_NAME_MAX);
    }
    int64_t size = (int64_t)sonde_dtype_size(view->storage.dtype);
    snprintf(name, sizeof name, "data/%s", view->storage.key);
    const struct sonde_torchzip_member *member = find_member(file, name);
    if (!member) {
        return sonde_error_set(error, SONDE_STATUS_FORMAT, "tensor %.160s: no member %.160s",
                               key->text, name);
    }
    if (view->storage.n_elements > member->n_bytes / size ||
        view->storage.n_elements * size != member->n_bytes) {
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "tensor %.160s: member %.160s has %lld bytes, expected %lld "
                               "elements of %lld",
                               key->text, name, (long long)member->n_bytes,
                               (long long)view->storage.n_elements, (long long)size);
    }
    entry->view = view;
    tensor->name = key->text;
    tensor->dtype = view->storage.dtype;
    tensor->dtype_name = dtype_names[tensor->dtype];
    tensor->rank = view->rank;
    memcpy(tensor->dim, view->dim, sizeof tensor->dim);
    tensor->n_elements = view->n_elements;
    tensor->n_bytes = view->n_elements * size;
    tensor->offset = member->offset + view->first * size;
    return SONDE_STATUS_OK;
}

static enum sonde_status read_entries(struct sonde_torch_file *file, struct sonde_error *error)
{
    const struct sonde_pickle_value *dict = find_state_dict(file->root);
    enum sonde_status status = SONDE_STATUS_OK;
    if (!dict) {
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "holds %s and no state dict (a dict from names to tensors, at the "
                               "root or as model_state_dict, state_dict or model)",
                               sonde_pickle_type_name(file->root->type));
    }
    file->entries = sonde_arena_zalloc(file->arena, count_tensors(dict), sizeof *file->entries);
    if (!file->entries) {
        return sonde_error_memory(error, "the tensor table");
    }
    for (int64_t i = 0; i < dict->n && status == SONDE_STATUS_OK; i += 2) {
        if (dict->item[i + 1]->type == SONDE_PICKLE_TENSOR) {
            status = read_entry(file, dict->item[i], dict->item[i + 1], &file->entries[file->n++],
                                error);
        }
    }
    return status;
}

static enum sonde_status read_all(struct sonde_torch_file *file, struct sonde_error *error)
{
    enum sonde_status status = find_folder(file, error);
    if (status == SONDE_STATUS_OK) {
        status = check_byteorder(file, error);
    }
    if (status == SONDE_STATUS_OK) {
        status = read_pickle(file, error);
    }
    return status == SONDE_STATUS_OK ? read_entries(file, error) : status;
}

enum sonde_status sonde_torch_open(struct sonde_torch_file **out, const char *path,
                                   struct sonde_error *error)
{
    struct sonde_torch_file *file = calloc(1, sizeof *file);
    if (!file) {
        return sonde_error_memory(error, "a checkpoint");
    }
    file->arena = sonde_arena_create(ARENA_BYTES_MAX);
    file->path = sonde_strdup(path);
    enum sonde_status status = file->arena && file->path
                                   ? sonde_torchzip_open(&file->zip, path, error)
                                   : sonde_error_memory(error, "a checkpoint");
    if (status == SONDE_STATUS_OK) {
        status = read_all(file, error);
        if (status != SONDE_STATUS_OK) {
            sonde_error_prepend(error, "%s", path);
        }
    }
    if (status != SONDE_STATUS_OK) {
        sonde_torch_close(&file);
        return status;
    }
    *out = file;
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_torch_check(const struct sonde_torch_file *file, struct sonde_error *error)
{
    return sonde_torchzip_check(file->zip, error);
}

const char *sonde_torch_path(const struct sonde_torch_file *file)
{
    return file->path;
}

int64_t sonde_torch_file_bytes(const struct sonde_torch_file *file)
{
    return sonde_file_size(sonde_torchzip_file(file->zip));
}

int64_t sonde_torch_count(const struct sonde_torch_file *file)
{
    return file->n;
}

const struct sonde_torch_entry *sonde_torch_at(const struct sonde_torch_file *file, int64_t i)
{
    return i >= 0 && i < file->n ? &file->entries[i] : NULL;
}

const struct sonde_pickle_value *sonde_torch_root(const struct sonde_torch_file *file)
{
    return file->root;
}

/* The mapped bytes of the view's first element. An empty tensor at the end of the file too. */
static enum sonde_status map_first(struct sonde_torch_file *file,
                                   const struct sonde_torch_entry *entry, const uint8_t **data,
                                   struct sonde_error *error)
{
    const uint8_t *all = NULL;
    enum sonde_status status = sonde_file_map(sonde_torchzip_file(file->zip), &all, error);
    if (status == SONDE_STATUS_OK) {
        *data = all + entry->tensor.offset;
    }
    return status;
}

enum sonde_status sonde_torch_map(struct sonde_torch_file *file,
                                  const struct sonde_torch_entry *entry, const uint8_t **data,
                                  struct sonde_error *error)
{
    if (!entry->view->contiguous) {
        return sonde_error_set(error, SONDE_STATUS_UNSUPPORTED,
                               "%s: tensor %.160s is not contiguous and cannot be mapped",
                               file->path, entry->tensor.name);
    }
    return map_first(file, entry, data, error);
}

enum sonde_status sonde_torch_read(struct sonde_torch_file *file,
                                   const struct sonde_torch_entry *entry, void *out,
                                   struct sonde_error *error)
{
    const struct sonde_pickle_tensor *view = entry->view;
    size_t size = sonde_dtype_size(entry->tensor.dtype);
    int64_t index[SONDE_PICKLE_RANK_MAX] = { 0 }, at = 0;
    const uint8_t *data = NULL;
    enum sonde_status status = map_first(file, entry, &data, error);
    if (status != SONDE_STATUS_OK) {
        return status;
    }
    if (view->contiguous) {
        memcpy(out, data, (size_t)entry->tensor.n_bytes);
        return SONDE_STATUS_OK;
    }
    uint8_t *to = out;
    for (int64_t n = 0; n < view->n_elements; n++, to += size) {
        memcpy(to, data + (size_t)at * size, size);
        for (int i = view->rank - 1; i >= 0; i--) { /* the next index, like an odometer */
            at += view->stride[i];
            if (++index[i] < view->dim[i]) {
                break;
            }
            at -= view->stride[i] * view->dim[i];
            index[i] = 0;
        }
    }
    return SONDE_STATUS_OK;
}
