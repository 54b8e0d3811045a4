#include "core/model/tensor_table.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/hash.h"
#include "core/base/json.h"

enum { SHARDS_MAX = 1024, INDEX_BYTES_MAX = 100000000, NAME_SHOWN = 160 };

struct row {
    const char *name;
    struct sonde_tensor_ref ref;
    bool used;
};

struct sonde_tensor_table {
    struct sonde_safetensors *file[SHARDS_MAX]; /* by name */
    int n_files;
    struct sonde_torch_file *torch; /* instead of files */
    struct row *rows;               /* [n] by name */
    int64_t n;
};

void sonde_tensor_table_close(struct sonde_tensor_table **table)
{
    if (!table || !*table) {
        return;
    }
    for (int i = 0; i < (*table)->n_files; i++) {
        sonde_safetensors_close(&(*table)->file[i]);
    }
    sonde_torch_close(&(*table)->torch);
    free((*table)->rows);
    free(*table);
    *table = NULL;
}

static int compare_rows(const void *a, const void *b)
{
    return strcmp(((const struct row *)a)->name, ((const struct row *)b)->name);
}

static struct row *find_row(const struct sonde_tensor_table *table, const char *name)
{
    struct row key = { .name = name };
    return table->n
               ? bsearch(&key, table->rows, (size_t)table->n, sizeof *table->rows, compare_rows)
               : NULL;
}

/* Merges the shards' tensors into one sorted table. */
static enum sonde_status merge(struct sonde_tensor_table *table, struct sonde_error *error)
{
    int64_t n = table->torch ? sonde_torch_count(table->torch) : 0;
    for (int i = 0; i < table->n_files; i++) {
        n += sonde_safetensors_count(table->file[i]);
    }
    table->rows = calloc((size_t)n + 1, sizeof *table->rows);
    if (!table->rows) {
        return sonde_error_memory(error, "the tensor table");
    }
    for (int i = 0; i < table->n_files; i++) {
        for (int64_t j = 0; j < sonde_safetensors_count(table->file[i]); j++) {
            struct row *row = &table->rows[table->n++];
            row->ref.file = table->file[i];
            row->ref.entry = sonde_safetensors_at(table->file[i], j);
            row->name = row->ref.entry->name;
        }
    }
    while (table->n < n) {
        struct row *row = &table->rows[table->n];
        row->ref.torch = table->torch;
        row->ref.torch_entry = sonde_torch_at(table->torch, table->n++);
        row->ref.entry = &row->ref.torch_entry->tensor;
        row->name = row->ref.entry->name;
    }
    qsort(table->rows, (size_t)n, sizeof *table->rows, compare_rows);
    for (int64_t i = 0; i < n; i++) {
        table->rows[i].ref.index = i;
        if (i > 0 && strcmp(table->rows[i - 1].name, table->rows[i].name) == 0) {
            return sonde_error_set(error, SONDE_STATUS_FORMAT, "%s: tensor %.*s is also in %s",
                                   sonde_tensor_ref_path(&table->rows[i].ref), NAME_SHOWN,
                                   table->rows[i].name,
                                   sonde_tensor_ref_path(&table->rows[i - 1].ref));
        }
    }
    return SONDE_STATUS_OK;
}

static bool is_plain_name(const char *name)
{
    return *name && *name != '.' && !strchr(name, '/') && strlen(name) < 256 &&
           sonde_str_ends(name, ".safetensors");
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The names of the shards, sorted and each once; they are borrowed from the map. */
static enum sonde_status shard_names(const struct sonde_json *map, const char *path,
                                     const char **names, int *n, struct sonde_error *error)
{
    int count = 0;
    for (struct sonde_json_iter i = { 0 }; sonde_json_next(map, &i);) {
        const char *name = sonde_json_string(i.value, NULL);
        if (!name || !is_plain_name(name)) {
            return sonde_error_set(error, SONDE_STATUS_FORMAT,
                                   "%s: tensor %.*s is in '%.100s', which is not a plain name of a "
                                   ".safetensors file",
                                   path, NAME_SHOWN, i.key, name ? name : "");
        }
        bool seen = false;
        for (int j = 0; j < count && !seen; j++) {
            seen = strcmp(names[j], name) == 0;
        }
        if (!seen && count == SHARDS_MAX) {
            return sonde_error_set(error, SONDE_STATUS_LIMIT, "%s: more than %d shards", path,
                                   SHARDS_MAX);
        }
        if (!seen) {
            names[count++] = name;
        }
    }
    if (count == 0) {
        return sonde_error_set(error, SONDE_STATUS_FORMAT, "%s: weight_map names no shard", path);
    }
    qsort(names, (size_t)count, sizeof *names, compare_texts);
    *n = count;
    return SONDE_STATUS_OK;
}

/* Every tensor of the index must be in the shard that the index names. */
static enum sonde_status check_index(const struct sonde_tensor_table *table,
                                     const struct sonde_json *map, const char *path,
                                     struct sonde_error *error)
{
    for (struct sonde_json_iter i = { 0 }; sonde_json_next(map, &i);) {
        const struct row *row = find_row(table, i.key);
        const char *shard = sonde_json_string(i.value, "");
        if (!row || strcmp(sonde_path_base(sonde_safetensors_path(row->ref.file)), shard) != 0) {
            return sonde_error_set(error, SONDE_STATUS_FORMAT, "%s: tensor %.*s is not in %.100s",
                                   path, NAME_SHOWN, i.key, shard);
        }
    }
    return SONDE_STATUS_OK;
}

static enum sonde_status open_shards(struct sonde_tensor_table *table, const char *folder,
                                     const struct sonde_json *map, const char *index_path,
                                     struct sonde_error *error)
{
    const char *names[SHARDS_MAX];
    int n = 0;
    enum sonde_status status = shard_names(map, index_path, names, &n, error);
    for (int i = 0; i < n && status == SONDE_STATUS_OK; i++) {
        char *path = sonde_path_join(folder, names[i]);
        status = path ? sonde_safetensors_open(&table->file[i], path, error)
                      : sonde_error_memory(error, "a path");
        table->n_files += status == SONDE_STATUS_OK;
        free(path);
    }
    if (status == SONDE_STATUS_OK) {
        status = merge(table, error);
    }
    return status == SONDE_STATUS_OK ? check_index(table, map, index_path, error) : status;
}

static enum sonde_status open_index(struct sonde_tensor_table *table, const char *folder,
                                    const char *path, struct sonde_error *error)
{
    struct sonde_json *root = NULL;
    enum sonde_status status = sonde_json_load(&root, path, INDEX_BYTES_MAX, error);
    if (status != SONDE_STATUS_OK) {
        return status;
    }
    const struct sonde_json *map = sonde_json_get(root, "weight_map");
    if (sonde_json_type(map) != SONDE_JSON_OBJECT) {
        status =
            sonde_error_set(error, SONDE_STATUS_FORMAT, "%s: weight_map is %s, expected an object",
                            path, sonde_json_type_name(sonde_json_type(map)));
    } else {
        status = open_shards(table, folder, map, path, error);
    }
    sonde_json_destroy(&root);
    return status;
}

/* Says what is there instead of safetensors, where that is a format that people have. */
static enum sonde_status refuse_folder(const char *folder, struct sonde_error *error)
{
    static const char *const pickles[] = { "pytorch_model.bin", "pytorch_model.bin.index.json",
                                           "consolidated.00.pth" };
    for (size_t i = 0; i < sizeof pickles / sizeof *pickles; i++) {
        char *path = sonde_path_join(folder, pickles[i]);
        bool exists = path && sonde_path_exists(path);
        free(path);
        if (exists) {
            return sonde_error_set(
                error, SONDE_STATUS_UNSUPPORTED,
                "%s: %s is a pickle, which can run code and is never read; convert it with "
                "transformers: AutoModelForCausalLM.from_pretrained(DIR).save_pretrained(DIR, "
                "safe_serialization=True)",
                folder, pickles[i]);
        }
    }
    return sonde_error_set(error, SONDE_STATUS_NOT_FOUND,
                           "%s: no model.safetensors and no model.safetensors.index.json", folder);
}

enum sonde_status sonde_tensor_table_open(struct sonde_tensor_table **out, const char *folder,
                                          struct sonde_error *error)
{
    struct sonde_tensor_table *table = calloc(1, sizeof *table);
    char *single = sonde_path_join(folder, "model.safetensors");
    char *index = sonde_path_join(folder, "model.safetensors.index.json");
    enum sonde_status status = SONDE_STATUS_OK;
    if (!table || !single || !index) {
        status = sonde_error_memory(error, "a tensor table");
    } else if (sonde_path_exists(single)) {
        status = sonde_safetensors_open(&table->file[0], single, error);
        table->n_files = status == SONDE_STATUS_OK;
        if (status == SONDE_STATUS_OK) {
            status = merge(table, error);
        }
    } else if (sonde_path_exists(index)) {
        status = open_index(table, folder, index, error);
    } else {
        status = refuse_folder(folder, error);
    }
    free(single);
    free(index);
    if (status != SONDE_STATUS_OK) {
        sonde_tensor_table_close(&table);
        return status;
    }
    *out = table;
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_tensor_table_open_torch(struct sonde_tensor_table **out, const char *path,
                                                struct sonde_error *error)
{
    struct sonde_tensor_table *table = calloc(1, sizeof *table);
    if (!table) {
        return sonde_error_memory(error, "a tensor table");
    }
    enum sonde_status status = sonde_torch_open(&table->torch, path, error);
    if (status == SONDE_STATUS_OK) {
        status = sonde_torch_check(table->torch, error);
    }
    if (status == SONDE_STATUS_OK) {
        status = merge(table, error);
    }
    if (status != SONDE_STATUS_OK) {
        sonde_tensor_table_close(&table);
        return status;
    }
    *out = table;
    return SONDE_STATUS_OK;
}

const char *sonde_tensor_ref_path(const struct sonde_tensor_ref *ref)
{
    return ref->torch ? sonde_torch_path(ref->torch) : sonde_safetensors_path(ref->file);
}

enum sonde_status sonde_tensor_ref_map(const struct sonde_tensor_ref *ref, const uint8_t **data,
                                       struct sonde_error *error)
{
    if (ref->torch && !ref->torch_entry->view->contiguous) {
        *data = NULL;
        return SONDE_STATUS_OK;
    }
    return ref->torch ? sonde_torch_map(ref->torch, ref->torch_entry, data, error)
                      : sonde_safetensors_map(ref->file, ref->entry, data, error);
}

enum sonde_status sonde_tensor_ref_read(const struct sonde_tensor_ref *ref, void *out,
                                        struct sonde_error *error)
{
    const uint8_t *data = NULL;
    if (ref->torch) {
        return sonde_torch_read(ref->torch, ref->torch_entry, out, error);
    }
    enum sonde_status status = sonde_safetensors_map(ref->file, ref->entry, &data, error);
    if (status == SONDE_STATUS_OK && ref->entry->n_bytes > 0) {
        memcpy(out, data, (size_t)ref->entry->n_bytes);
    }
    return status;
}

static struct row *resolve(const struct sonde_tensor_table *table, const char *name)
{
    struct row *row = find_row(table, name);
    for (int i = 0; i < table->n_files && !row; i++) {
        const char *target = sonde_safetensors_metadata(table->file[i], name);
        row = target ? find_row(table, target) : NULL;
    }
    return row;
}

bool sonde_tensor_table_find(struct sonde_tensor_table *table, const char *name,
                             struct sonde_tensor_ref *out)
{
    struct row *row = resolve(table, name);
    if (row) {
        row->used = true;
        *out = row->ref;
    }
    return row != NULL;
}

bool sonde_tensor_table_has(const struct sonde_tensor_table *table, const char *name)
{
    return resolve(table, name) != NULL;
}

bool sonde_tensor_table_has_prefix(const struct sonde_tensor_table *table, const char *prefix)
{
    for (int64_t i = 0; i < table->n; i++) {
        if (sonde_str_starts(table->rows[i].name, prefix)) {
            return true;
        }
    }
    return false;
}

void sonde_tensor_table_forget(struct sonde_tensor_table *table, const void *data, int64_t n)
{
    for (int i = 0; i < table->n_files; i++) {
        sonde_safetensors_forget(table->file[i], data, n);
    }
}

const char *sonde_tensor_table_unused(const struct sonde_tensor_table *table, int64_t i)
{
    for (int64_t j = 0; j < table->n; j++) {
        if (!table->rows[j].used && i-- == 0) {
            return table->rows[j].name;
        }
    }
    return NULL;
}

int64_t sonde_tensor_table_bytes(const struct sonde_tensor_table *table)
{
    int64_t bytes = table->torch ? sonde_torch_file_bytes(table->torch) : 0;
    for (int i = 0; i < table->n_files; i++) {
        bytes += sonde_safetensors_file_bytes(table->file[i]);
    }
    return bytes;
}

int sonde_tensor_table_n_files(const struct sonde_tensor_table *table)
{
    return table->torch ? 1 : table->n_files;
}

const char *sonde_tensor_table_file(const struct sonde_tensor_table *table, int i)
{
    return table->torch ? sonde_torch_path(table->torch) : sonde_safetensors_path(table->file[i]);
}

static enum sonde_status hash_file(struct sonde_sha256 *hash, const char *path, uint8_t *block,
                                   int64_t block_bytes, struct sonde_error *error)
{
    struct sonde_file *file = NULL;
    enum sonde_status status = sonde_file_open(&file, path, error);
    for (int64_t at = 0; status == SONDE_STATUS_OK && at < sonde_file_size(file);) {
        int64_t left = sonde_file_size(file) - at;
        int64_t n = left < block_bytes ? left : block_bytes;
        status = sonde_file_read(file, at, block, n, error);
        if (status == SONDE_STATUS_OK) {
            sonde_sha256_update(hash, block, (size_t)n);
        }
        at += n;
    }
    sonde_file_close(&file);
    return status;
}

enum sonde_status sonde_hash_files(const char *const *paths, int n, char hex[65],
                                   struct sonde_error *error)
{
    enum { BLOCK_BYTES = 1 << 20 };
    uint8_t *block = malloc(BLOCK_BYTES), digest[SONDE_SHA256_BYTES];
    struct sonde_sha256 *hash = sonde_sha256_create();
    enum sonde_status status = SONDE_STATUS_OK;
    if (!block || !hash) {
        status = sonde_error_memory(error, "hashing");
    }
    for (int i = 0; i < n && status == SONDE_STATUS_OK; i++) {
        status = hash_file(hash, paths[i], block, BLOCK_BYTES, error);
    }
    if (status == SONDE_STATUS_OK) {
        sonde_sha256_digest(hash, digest);
        sonde_sha256_hex(digest, hex);
    }
    sonde_sha256_destroy(&hash);
    free(block);
    return status;
}
