/*
 * The header of a .npy file (NumPy enhancement proposal 1), formats 1.0 to 3.0: a Python dictionary
 * with exactly descr, fortran_order and shape. C order and rank <= 4; nothing is ever unpickled.
 */
#ifndef SONDE_CORE_BASE_NPY_HEADER_H
#define SONDE_CORE_BASE_NPY_HEADER_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"

enum {
    SONDE_NPY_RANK_MAX = 4,
    SONDE_NPY_HEADER_MAX = 65536,                    /* bytes of the dictionary */
    SONDE_NPY_START_MAX = SONDE_NPY_HEADER_MAX + 12, /* with what stands before it */
};

struct sonde_npy_header {
    const char *descr; /* [n_descr], not NUL-terminated, within the bytes that were parsed */
    size_t n_descr;
    int rank;
    int64_t dim[SONDE_NPY_RANK_MAX]; /* unused ones are 1 */
    int64_t n_elements;
    int64_t data_at; /* byte where the data begins */
};

/* Parses bytes[0..n), the start of a file of file_bytes. That the data fills the file is left to
 * who knows the size of an element. Messages do not name the file. */
SONDE_MUST_USE enum sonde_status sonde_npy_header_parse(struct sonde_npy_header *out,
                                                        const uint8_t *bytes, int64_t n,
                                                        int64_t file_bytes,
                                                        struct sonde_error *error);

#endif
