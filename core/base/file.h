/* Files: read-only mapping, whole reads with a limit, atomic whole writes. */
#ifndef SONDE_CORE_BASE_FILE_H
#define SONDE_CORE_BASE_FILE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "core/base/buf.h"
#include "core/base/status.h"

struct sonde_file; /* a regular file opened for reading; opaque, may be shared by threads */

/* Refuses what is not a regular file (directory, FIFO, device) by name. */
SONDE_MUST_USE enum sonde_status sonde_file_open(struct sonde_file **out, const char *path,
                                                 struct sonde_error *error);
void sonde_file_close(struct sonde_file **file);
int64_t sonde_file_size(const struct sonde_file *file); /* at open time */
const char *sonde_file_path(const struct sonde_file *file);

/* pread: exactly n bytes at offset, or SONDE_STATUS_FORMAT when the file is shorter. Parsers use
 * this for headers, so that a file that shrinks under us is an error and no signal. */
SONDE_MUST_USE enum sonde_status sonde_file_read(const struct sonde_file *file, int64_t offset,
                                                 void *out, int64_t n, struct sonde_error *error);

/* The whole file mapped read-only; mapped once, unmapped by close. NULL data for an empty file. */
SONDE_MUST_USE enum sonde_status sonde_file_map(struct sonde_file *file, const uint8_t **data,
                                                struct sonde_error *error);

/* What the n bytes at `data` were mapped to is not needed for a while: their whole pages leave this
 * process's memory, and come back from the file when they are read. Bytes that are not of this
 * file's mapping are left alone. */
void sonde_file_forget(struct sonde_file *file, const void *data, int64_t n);

/* Reads the whole of `path` (also a FIFO or "-" for stdin) into buf; more than max_bytes is
 * SONDE_STATUS_LIMIT. */
SONDE_MUST_USE enum sonde_status sonde_file_load(const char *path, int64_t max_bytes,
                                                 struct sonde_buf *out, struct sonde_error *error);

/* Writes a temporary file beside `path`, syncs it and renames it into place. path "-" = stdout. */
SONDE_MUST_USE enum sonde_status sonde_file_save(const char *path, const void *data, size_t n,
                                                 struct sonde_error *error);

/* The same for output written bit by bit: begin gives a stream, end (commit = true) syncs and
 * renames, or (commit = false) removes. After end the stream is gone in every case. */
struct sonde_file_writer {
    FILE *stream;
    char *path, *temporary;
};
SONDE_MUST_USE enum sonde_status sonde_file_writer_begin(struct sonde_file_writer *writer,
                                                         const char *path,
                                                         struct sonde_error *error);
SONDE_MUST_USE enum sonde_status sonde_file_writer_end(struct sonde_file_writer *writer,
                                                       bool commit, struct sonde_error *error);

bool sonde_path_exists(const char *path);
bool sonde_path_is_directory(const char *path);
/* Heap string "a/b" ("b" alone where a is empty). NULL when memory is out. Free with free(). */
char *sonde_path_join(const char *a, const char *b);
/* The part after the last '/'; points into path. */
const char *sonde_path_base(const char *path);
SONDE_MUST_USE enum sonde_status sonde_path_make_directory(const char *path, /* and its parents */
                                                           struct sonde_error *error);

#endif
