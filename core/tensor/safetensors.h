/*
 * safetensors files: a reader that trusts nothing, and a writer.
 *
 * Format (huggingface/safetensors): u64 little-endian header size N, N bytes of JSON {name: {dtype,
 * shape, data_offsets}} with an optional "__metadata__" of strings, then the data. The reader holds
 * the file to every rule: N within the file and at most 100,000,000; the header begins with '{';
 * names are unique; shapes and offsets are non-negative integers; shape times element size is the
 * tensor's bytes; tensors follow each other without holes or overlaps up to the end of the file.
 */
#ifndef SONDE_CORE_TENSOR_SAFETENSORS_H
#define SONDE_CORE_TENSOR_SAFETENSORS_H

#include <stdint.h>

#include "core/base/file.h"
#include "core/base/status.h"
#include "core/tensor/dtype.h"

#define SONDE_SAFETENSORS_HEADER_MAX 100000000
#define SONDE_SAFETENSORS_RANK_MAX 8

struct sonde_safetensors; /* an open file; immutable, may be shared by threads */

struct sonde_safetensors_entry {
    const char *name;       /* owned by the file */
    const char *dtype_name; /* as written: "F32", "F8_E4M3" */
    enum sonde_dtype dtype; /* NONE for valid types that Sonde does not compute with */
    int rank;
    int64_t dim[SONDE_SAFETENSORS_RANK_MAX];
    int64_t n_elements, n_bytes;
    int64_t offset; /* of the first byte, from the start of the file */
};

SONDE_MUST_USE enum sonde_status
sonde_safetensors_open(struct sonde_safetensors **out, const char *path, struct sonde_error *error);
void sonde_safetensors_close(struct sonde_safetensors **file);

const char *sonde_safetensors_path(const struct sonde_safetensors *file);
int64_t sonde_safetensors_file_bytes(const struct sonde_safetensors *file);
/* Entries in the order of their data. */
int64_t sonde_safetensors_count(const struct sonde_safetensors *file);
const struct sonde_safetensors_entry *sonde_safetensors_at(const struct sonde_safetensors *file,
                                                           int64_t i);
/* NULL where there is no such tensor. */
const struct sonde_safetensors_entry *sonde_safetensors_find(const struct sonde_safetensors *file,
                                                             const char *name);
/* Value of a metadata key, or NULL. */
const char *sonde_safetensors_metadata(const struct sonde_safetensors *file, const char *key);

/* The tensor's bytes in the mapped file, not necessarily aligned to the element. */
SONDE_MUST_USE enum sonde_status sonde_safetensors_map(struct sonde_safetensors *file,
                                                       const struct sonde_safetensors_entry *entry,
                                                       const uint8_t **data,
                                                       struct sonde_error *error);
/* sonde_file_forget of the file. */
void sonde_safetensors_forget(struct sonde_safetensors *file, const void *data, int64_t n);
/* Elements [first, first + n) widened to f32, read with pread. */
SONDE_MUST_USE enum sonde_status
sonde_safetensors_read_f32(const struct sonde_safetensors *file,
                           const struct sonde_safetensors_entry *entry, int64_t first, int64_t n,
                           float *out, struct sonde_error *error);
/* Elements [first, first + n) of an integer tensor (I64, I32, I16, I8, U8, BOOL). */
SONDE_MUST_USE enum sonde_status
sonde_safetensors_read_i64(const struct sonde_safetensors *file,
                           const struct sonde_safetensors_entry *entry, int64_t first, int64_t n,
                           int64_t *out, struct sonde_error *error);

/* What is to be written: dim[rank], and for the one-call writer the data in that dtype. */
struct sonde_safetensors_item {
    const char *name;
    enum sonde_dtype dtype;
    int rank;
    int64_t dim[SONDE_SAFETENSORS_RANK_MAX];
    const void *data;
};
struct sonde_safetensors_pair {
    const char *key, *value;
};

/* Writes the whole file atomically; path "-" = stdout. Larger elements come first, so that every
 * tensor is aligned. */
SONDE_MUST_USE enum sonde_status
sonde_safetensors_write(const char *path, const struct sonde_safetensors_item *items, int64_t n,
                        const struct sonde_safetensors_pair *metadata, int64_t n_metadata,
                        struct sonde_error *error);

/* The same bit by bit: begin writes the header for items in the given order (their data is
 * ignored), append takes the data in that order, end commits where every byte came. After end (or a
 * failed begin) nothing is left to free. */
struct sonde_safetensors_writer {
    struct sonde_file_writer file;
    int64_t expected_bytes, written_bytes;
};
SONDE_MUST_USE enum sonde_status
sonde_safetensors_begin(struct sonde_safetensors_writer *writer, const char *path,
                        const struct sonde_safetensors_item *items, int64_t n,
                        const struct sonde_safetensors_pair *metadata, int64_t n_metadata,
                        struct sonde_error *error);
SONDE_MUST_USE enum sonde_status sonde_safetensors_append(struct sonde_safetensors_writer *writer,
                                                          const void *data, int64_t n_bytes,
                                                          struct sonde_error *error);
SONDE_MUST_USE enum sonde_status sonde_safetensors_end(struct sonde_safetensors_writer *writer,
                                                       bool commit, struct sonde_error *error);

#endif
