/*
 * .npz archives: a zip of .npy members, stored (not compressed), with CRC-32 and ZIP64 records
 * where sizes ask for them. Written member by member without holding one whole; read only where
 * members are stored.
 */
#ifndef SONDE_TOOLS_NPZ_H
#define SONDE_TOOLS_NPZ_H

#include <stdint.h>

#include "core/base/file.h"
#include "core/tensor/npy.h"

struct sonde_npz_member {
    char *name; /* "blocks.0.hook_resid_post.npy" */
    uint32_t crc;
    int64_t offset, n_bytes; /* of the local header; of the data */
};
struct sonde_npz_writer {
    struct sonde_file_writer file;
    uint32_t crc_table[256];
    struct sonde_npz_member *member;
    int64_t n_members, capacity;
    int64_t at; /* bytes written */
};
/* path must be a file: sizes are patched in afterwards. */
SONDE_MUST_USE enum sonde_status sonde_npz_begin(struct sonde_npz_writer *writer, const char *path,
                                                 struct sonde_error *error);
/* Starts the array `name` (".npy" is appended); data follows through append until the next add or
 * end. */
SONDE_MUST_USE enum sonde_status sonde_npz_add(struct sonde_npz_writer *writer, const char *name,
                                               enum sonde_dtype dtype, int rank, const int64_t *dim,
                                               struct sonde_error *error);
SONDE_MUST_USE enum sonde_status sonde_npz_append(struct sonde_npz_writer *writer, const void *data,
                                                  int64_t n_bytes, struct sonde_error *error);
/* commit false removes what was written. Frees in every case. */
SONDE_MUST_USE enum sonde_status sonde_npz_end(struct sonde_npz_writer *writer, bool commit,
                                               struct sonde_error *error);

/* Finds the array `name` in an archive: its shape and where its data begins in the file. NOT_FOUND
 * names what is there; UNSUPPORTED where the member is compressed. */
SONDE_MUST_USE enum sonde_status sonde_npz_find(const struct sonde_file *file, const char *name,
                                                struct sonde_npy_shape *shape, int64_t *data_offset,
                                                struct sonde_error *error);

#endif
