/* Arrays to a file whose ending says the format: .npy (one array), .npz, .safetensors; "-" is an
 * .npy on standard output. Written bit by bit, made visible whole. */
#ifndef SONDE_TOOLS_ARRAY_FILE_H
#define SONDE_TOOLS_ARRAY_FILE_H

#include "core/tensor/npy.h"
#include "core/tensor/safetensors.h"
#include "tools/npz.h"

#define SONDE_ARRAY_NAME_MAX 128

struct sonde_array {
    char name[SONDE_ARRAY_NAME_MAX];
    enum sonde_dtype dtype;
    int rank;
    int64_t dim[3];
};
int64_t sonde_array_bytes(const struct sonde_array *array);

enum sonde_array_format {
    SONDE_ARRAY_FORMAT_NPY,
    SONDE_ARRAY_FORMAT_NPZ,
    SONDE_ARRAY_FORMAT_SAFETENSORS,
};
struct sonde_array_file {
    enum sonde_array_format format;
    struct sonde_file_writer npy;
    struct sonde_npz_writer npz;
    struct sonde_safetensors_writer safetensors;
};

/* ARGUMENT where the ending is none of these. arrays: all that will be added, in their order. */
SONDE_MUST_USE enum sonde_status sonde_array_file_begin(struct sonde_array_file *file,
                                                        const char *path,
                                                        const struct sonde_array *arrays, int64_t n,
                                                        struct sonde_error *error);
/* Then append gives the array's bytes, in any pieces. */
SONDE_MUST_USE enum sonde_status sonde_array_file_add(struct sonde_array_file *file,
                                                      const struct sonde_array *array,
                                                      struct sonde_error *error);
SONDE_MUST_USE enum sonde_status sonde_array_file_append(struct sonde_array_file *file,
                                                         const void *data, int64_t n_bytes,
                                                         struct sonde_error *error);
SONDE_MUST_USE enum sonde_status sonde_array_file_end(struct sonde_array_file *file, bool commit,
                                                      struct sonde_error *error);

/* An array of a file read whole: an .npy, or the array `name` of an .npz or .safetensors. F64
 * becomes f32. *data is the caller's (free). */
SONDE_MUST_USE enum sonde_status sonde_array_file_load(const char *path, const char *name,
                                                       struct sonde_array *out, void **data,
                                                       struct sonde_error *error);

#endif
