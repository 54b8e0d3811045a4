/*
 * Tensor table: the tensors of one model over all its safetensors shards, by name. Opens
 * model.safetensors, or the shards that model.safetensors.index.json names (plain file names inside
 * the folder; every tensor exactly once). A "__metadata__" entry whose key is no tensor and whose
 * value is one is an alias. Or the state dict of one PyTorch checkpoint (torch_file.h), its
 * checksums checked.
 */
#ifndef SONDE_CORE_MODEL_TENSOR_TABLE_H
#define SONDE_CORE_MODEL_TENSOR_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/status.h"
#include "core/model/torch_file.h"
#include "core/tensor/safetensors.h"

struct sonde_tensor_table; /* immutable after open but for the marks of what was used */

SONDE_MUST_USE enum sonde_status sonde_tensor_table_open(struct sonde_tensor_table **out,
                                                         const char *folder,
                                                         struct sonde_error *error);
SONDE_MUST_USE enum sonde_status sonde_tensor_table_open_torch(struct sonde_tensor_table **out,
                                                               const char *path,
                                                               struct sonde_error *error);
void sonde_tensor_table_close(struct sonde_tensor_table **table);

struct sonde_tensor_ref {
    struct sonde_safetensors *file;              /* or NULL: */
    struct sonde_torch_file *torch;              /* and in it: */
    const struct sonde_torch_entry *torch_entry; /* whose tensor is entry */
    const struct sonde_safetensors_entry *entry;
    int64_t index; /* in the table */
};
const char *sonde_tensor_ref_path(const struct sonde_tensor_ref *ref);
/* The tensor's bytes in the mapped file, not necessarily aligned; *data NULL for a view that is not
 * contiguous, which must be read. */
SONDE_MUST_USE enum sonde_status sonde_tensor_ref_map(const struct sonde_tensor_ref *ref,
                                                      const uint8_t **data,
                                                      struct sonde_error *error);
/* The tensor's elements, row-major, into out[entry->n_bytes]. */
SONDE_MUST_USE enum sonde_status sonde_tensor_ref_read(const struct sonde_tensor_ref *ref,
                                                       void *out, struct sonde_error *error);
/* sonde_file_forget of the safetensors file that the bytes are of, if any. */
void sonde_tensor_table_forget(struct sonde_tensor_table *table, const void *data, int64_t n);
/* By name or alias; marks the tensor as used. False where there is none. */
bool sonde_tensor_table_find(struct sonde_tensor_table *table, const char *name,
                             struct sonde_tensor_ref *out);
/* The same without the mark. */
bool sonde_tensor_table_has(const struct sonde_tensor_table *table, const char *name);
/* Whether any name begins with the prefix. */
bool sonde_tensor_table_has_prefix(const struct sonde_tensor_table *table, const char *prefix);
/* The i-th tensor that was never found by name, or NULL at the end of them. */
const char *sonde_tensor_table_unused(const struct sonde_tensor_table *table, int64_t i);
int64_t sonde_tensor_table_bytes(const struct sonde_tensor_table *table); /* of all files */
/* Paths of the files in the order of their names. */
int sonde_tensor_table_n_files(const struct sonde_tensor_table *table);
const char *sonde_tensor_table_file(const struct sonde_tensor_table *table, int i);

/* SHA-256 (hex) over the bytes of the files, one after the other. */
SONDE_MUST_USE enum sonde_status sonde_hash_files(const char *const *paths, int n, char hex[65],
                                                  struct sonde_error *error);

#endif
