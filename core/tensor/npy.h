/*
 * .npy files (NumPy formats 1.0 to 3.0): little-endian, C order, rank <= 4. Fortran order,
 * big-endian, structured and object arrays are refused by name; nothing is ever unpickled.
 */
#ifndef SONDE_CORE_TENSOR_NPY_H
#define SONDE_CORE_TENSOR_NPY_H

#include <stdint.h>

#include "core/base/buf.h"
#include "core/base/file.h"
#include "core/base/npy_header.h"
#include "core/base/status.h"
#include "core/tensor/dtype.h"

struct sonde_npy_shape {
    enum sonde_dtype dtype; /* F32, F16, F64, I64, I32, I16, I8, U8, BOOL */
    int rank;
    int64_t dim[SONDE_NPY_RANK_MAX]; /* unused ones are 1 */
    int64_t n_elements;
};

/* Parses the header at the start of bytes[0..n); *data_offset is where the data begins. n may hold
 * less than the whole file: file_bytes says how large that is, and the data must fill it exactly.
 * Messages do not name the file. */
SONDE_MUST_USE enum sonde_status sonde_npy_parse(const uint8_t *bytes, int64_t n,
                                                 int64_t file_bytes, struct sonde_npy_shape *out,
                                                 int64_t *data_offset, struct sonde_error *error);
/* Appends the header (format 1.0) for the shape; the data is to follow. ARGUMENT for BF16, which
 * NumPy does not have. */
SONDE_MUST_USE enum sonde_status sonde_npy_put_header(struct sonde_buf *out, enum sonde_dtype dtype,
                                                      int rank, const int64_t *dim,
                                                      struct sonde_error *error);

struct sonde_npy; /* an open file */
SONDE_MUST_USE enum sonde_status sonde_npy_open(struct sonde_npy **out, const char *path,
                                                struct sonde_error *error);
void sonde_npy_close(struct sonde_npy **npy);
const struct sonde_npy_shape *sonde_npy_get_shape(const struct sonde_npy *npy);
/* Elements [first, first + n) in the file's own dtype, or widened to f32. ARGUMENT where the file
 * has fewer. */
SONDE_MUST_USE enum sonde_status sonde_npy_read(const struct sonde_npy *npy, int64_t first,
                                                int64_t n, void *out, struct sonde_error *error);
SONDE_MUST_USE enum sonde_status sonde_npy_read_f32(const struct sonde_npy *npy, int64_t first,
                                                    int64_t n, float *out,
                                                    struct sonde_error *error);
/* Writes a whole array atomically; path "-" = stdout. */
SONDE_MUST_USE enum sonde_status sonde_npy_write(const char *path, enum sonde_dtype dtype, int rank,
                                                 const int64_t *dim, const void *data,
                                                 struct sonde_error *error);

#endif
