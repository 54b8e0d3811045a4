/*
 * PyTorch checkpoint (torch.save since 1.6): the tensors of its state dict by name, and the tree of
 * everything else that it holds. Reads, executes nothing: torchzip.h and pickle.h say what is
 * accepted.
 *
 * The state dict is the root, where tensors lie in it, or else the value under the first of
 * "model_state_dict", "state_dict", "model" in which tensors lie.
 */
#ifndef SONDE_CORE_MODEL_TORCH_FILE_H
#define SONDE_CORE_MODEL_TORCH_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/status.h"
#include "core/model/pickle.h"
#include "core/tensor/safetensors.h"

enum { SONDE_TORCH_NAME_MAX = 511 }; /* bytes of a tensor's name */

struct sonde_torch_file; /* an open checkpoint; immutable, may be shared by threads */

struct sonde_torch_entry {
    struct sonde_safetensors_entry tensor; /* of a view that is not contiguous: offset of its
                                              first element */
    const struct sonde_pickle_tensor *view;
};

SONDE_MUST_USE enum sonde_status sonde_torch_open(struct sonde_torch_file **out, const char *path,
                                                  struct sonde_error *error);
/* Holds the checksum of every member of the container against its bytes. */
SONDE_MUST_USE enum sonde_status sonde_torch_check(const struct sonde_torch_file *file,
                                                   struct sonde_error *error);
void sonde_torch_close(struct sonde_torch_file **file);

const char *sonde_torch_path(const struct sonde_torch_file *file);
int64_t sonde_torch_file_bytes(const struct sonde_torch_file *file);
/* Tensors of the state dict in its order. */
int64_t sonde_torch_count(const struct sonde_torch_file *file);
const struct sonde_torch_entry *sonde_torch_at(const struct sonde_torch_file *file, int64_t i);
/* What the file holds: epochs, losses, vocabularies, states of optimisers. */
const struct sonde_pickle_value *sonde_torch_root(const struct sonde_torch_file *file);

/* A contiguous tensor's bytes in the mapped file, not necessarily aligned to the element. */
SONDE_MUST_USE enum sonde_status sonde_torch_map(struct sonde_torch_file *file,
                                                 const struct sonde_torch_entry *entry,
                                                 const uint8_t **data, struct sonde_error *error);
/* Any tensor's elements, row-major, into out[n_bytes]. */
SONDE_MUST_USE enum sonde_status sonde_torch_read(struct sonde_torch_file *file,
                                                  const struct sonde_torch_entry *entry, void *out,
                                                  struct sonde_error *error);

#endif
