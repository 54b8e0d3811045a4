/*
 * Zip container of a PyTorch checkpoint. Only what torch.save writes: stored members, no comment,
 * no encryption, one disk. Nothing is ever decompressed. Every offset and size of the central
 * directory (zip64 too) is held against the file's size and against the local headers before it is
 * used; members do not overlap and names are there once.
 *
 * Format: PKWARE's APPNOTE.TXT, sections 4.3 and 4.5.3.
 */
#ifndef SONDE_CORE_MODEL_TORCHZIP_H
#define SONDE_CORE_MODEL_TORCHZIP_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/file.h"
#include "core/base/status.h"

enum {
    SONDE_TORCHZIP_NAME_MAX = 511,
    SONDE_TORCHZIP_MEMBERS_MAX = 1000000,
};

struct sonde_torchzip; /* an open container; immutable, may be shared by threads */

struct sonde_torchzip_member {
    const char *name; /* owned by the container */
    int64_t offset;   /* of its bytes, from the start of the file */
    int64_t n_bytes;
};

SONDE_MUST_USE enum sonde_status sonde_torchzip_open(struct sonde_torchzip **out, const char *path,
                                                     struct sonde_error *error);
void sonde_torchzip_close(struct sonde_torchzip **zip);

/* Whether the file begins like a zip file; false for what cannot be read. */
bool sonde_torchzip_probe(const char *path);

int64_t sonde_torchzip_count(const struct sonde_torchzip *zip);
/* In the order of their names. */
const struct sonde_torchzip_member *sonde_torchzip_at(const struct sonde_torchzip *zip, int64_t i);
/* NULL where there is no such member. */
const struct sonde_torchzip_member *sonde_torchzip_find(const struct sonde_torchzip *zip,
                                                        const char *name);
/* Reads every member and holds its CRC-32 against the directory's: a damaged file is FORMAT. */
SONDE_MUST_USE enum sonde_status sonde_torchzip_check(const struct sonde_torchzip *zip,
                                                      struct sonde_error *error);
struct sonde_file *sonde_torchzip_file(const struct sonde_torchzip *zip);

#endif
