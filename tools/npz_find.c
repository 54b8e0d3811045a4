/* Reading of .npz archives: everything is held against the file's real size before it is used. */
#include <stdlib.h>
#include <string.h>

#include "core/base/num.h"
#include "tools/npz.h"

#define END_BYTES 22
#define TAIL_BYTES_MAX (END_BYTES + 65535)
#define CENTRAL_BYTES 46
#define LOCAL_BYTES 30
#define DIRECTORY_BYTES_MAX ((int64_t)64 << 20)
#define HEADER_BYTES_MAX 65536

static uint32_t get16(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

static uint32_t get32(const uint8_t *p)
{
    return get16(p) | get16(p + 2) << 16;
}

static uint64_t get64(const uint8_t *p)
{
    return (uint64_t)get32(p) | (uint64_t)get32(p + 4) << 32;
}

static enum sonde_status damaged(const struct sonde_file *file, struct sonde_error *error,
                                 const char *what)
{
    return sonde_error_set(error, SONDE_STATUS_FORMAT, "%s: not a sound .npz archive: %s",
                           sonde_file_path(file), what);
}

struct directory {
    int64_t begin, n_bytes, n_members;
};

static enum sonde_status read_end64(const struct sonde_file *file, int64_t end_at,
                                    struct directory *out, struct sonde_error *error)
{
    uint8_t locator[20], end[56];
    if (end_at < (int64_t)sizeof(locator))
        return damaged(file, error, "its ZIP64 records are missing");
    enum sonde_status status =
        sonde_file_read(file, end_at - (int64_t)sizeof(locator), locator, sizeof(locator), error);
    if (status)
        return status;
    uint64_t at = get64(locator + 8);
    if (get32(locator) != 0x07064b50u || at > (uint64_t)end_at - sizeof(locator))
        return damaged(file, error, "its ZIP64 records are missing");
    status = sonde_file_read(file, (int64_t)at, end, sizeof(end), error);
    if (status)
        return status;
    if (get32(end) != 0x06064b50u)
        return damaged(file, error, "its ZIP64 records are missing");
    uint64_t members = get64(end + 32), size = get64(end + 40), begin = get64(end + 48);
    if (members > INT32_MAX || size > (uint64_t)end_at || begin > (uint64_t)end_at)
        return damaged(file, error, "its directory lies outside the file");
    *out = (struct directory){ (int64_t)begin, (int64_t)size, (int64_t)members };
    return SONDE_STATUS_OK;
}

static enum sonde_status find_directory(const struct sonde_file *file, struct directory *out,
                                        struct sonde_error *error)
{
    int64_t size = sonde_file_size(file);
    int64_t n = size < TAIL_BYTES_MAX ? size : TAIL_BYTES_MAX;
    uint8_t *tail = malloc((size_t)n + 1);
    if (!tail)
        return sonde_error_memory(error, sonde_file_path(file));
    enum sonde_status status = sonde_file_read(file, size - n, tail, n, error);
    int64_t at = n - END_BYTES;
    while (!status && at >= 0 && get32(tail + at) != 0x06054b50u)
        at--;
    if (!status && at < 0)
        status = damaged(file, error, "it has no end record");
    if (!status) {
        const uint8_t *end = tail + at;
        *out = (struct directory){ get32(end + 16), get32(end + 12), get16(end + 10) };
        if (out->begin == 0xffffffff || out->n_bytes == 0xffffffff || out->n_members == 0xffff)
            status = read_end64(file, size - n + at, out, error);
    }
    free(tail);
    if (!status && (out->n_bytes > DIRECTORY_BYTES_MAX || out->begin > size - out->n_bytes))
        status = damaged(file, error, "its directory lies outside the file");
    return status;
}

/* Sizes and offset of a directory entry, from its ZIP64 field where they are all ones. */
static bool take_sizes(const uint8_t *entry, const uint8_t *extra, int64_t n_extra, uint64_t *size,
                       uint64_t *offset)
{
    uint64_t packed = get32(entry + 20);
    *size = get32(entry + 24);
    *offset = get32(entry + 42);
    for (int64_t i = 0; i + 4 <= n_extra;) {
        int64_t length = get16(extra + i + 2);
        if (i + 4 + length > n_extra)
            return false;
        if (get16(extra + i) == 1) {
            const uint8_t *p = extra + i + 4;
            uint64_t *field[] = { size, &packed, offset };
            for (int f = 0; f < 3; f++) {
                if (*field[f] != 0xffffffffu)
                    continue;
                if (p + 8 > extra + i + 4 + length)
                    return false;
                *field[f] = get64(p);
                p += 8;
            }
        }
        i += 4 + length;
    }
    return packed == *size;
}

static enum sonde_status open_member(const struct sonde_file *file, uint64_t offset, uint64_t size,
                                     struct sonde_npy_shape *shape, int64_t *data_offset,
                                     struct sonde_error *error)
{
    uint8_t local[LOCAL_BYTES];
    int64_t file_size = sonde_file_size(file);
    if (offset > (uint64_t)file_size || size > (uint64_t)file_size)
        return damaged(file, error, "a member lies outside the file");
    enum sonde_status status = sonde_file_read(file, (int64_t)offset, local, sizeof(local), error);
    if (status)
        return status;
    int64_t begin = (int64_t)offset + LOCAL_BYTES + get16(local + 26) + get16(local + 28);
    if (get32(local) != 0x04034b50u || begin > file_size - (int64_t)size)
        return damaged(file, error, "a member lies outside the file");
    int64_t n = (int64_t)size < HEADER_BYTES_MAX ? (int64_t)size : HEADER_BYTES_MAX;
    uint8_t *header = malloc((size_t)n + 1);
    if (!header)
        return sonde_error_memory(error, sonde_file_path(file));
    int64_t data = 0;
    status = sonde_file_read(file, begin, header, n, error);
    if (!status) {
        status = sonde_npy_parse(header, n, (int64_t)size, shape, &data, error);
        if (status)
            sonde_error_prepend(error, "%s", sonde_file_path(file));
    }
    free(header);
    if (!status)
        *data_offset = begin + data;
    return status;
}

/* Walks the directory for NAME.npy. */
static enum sonde_status find_member(const struct sonde_file *file, const uint8_t *directory,
                                     const struct directory *d, const char *name,
                                     struct sonde_npy_shape *shape, int64_t *data_offset,
                                     struct sonde_error *error)
{
    struct sonde_buf names = { .max = 512 };
    size_t length = strlen(name);
    int64_t at = 0;
    for (int64_t i = 0; i < d->n_members; i++) {
        const uint8_t *entry = directory + at;
        if (d->n_bytes - at < CENTRAL_BYTES || get32(entry) != 0x02014b50u)
            break;
        int64_t n_name = get16(entry + 28), n_extra = get16(entry + 30);
        int64_t next = at + CENTRAL_BYTES + n_name + n_extra + get16(entry + 32);
        if (next > d->n_bytes)
            break;
        at = next;
        const char *text = (const char *)entry + CENTRAL_BYTES;
        bool npy = n_name > 4 && memcmp(text + n_name - 4, ".npy", 4) == 0;
        if (npy && (size_t)n_name == length + 4 && memcmp(text, name, length) == 0) {
            uint64_t size, offset;
            sonde_buf_finish(&names);
            if (get16(entry + 10) != 0)
                return sonde_error_set(error, SONDE_STATUS_UNSUPPORTED,
                                       "%s: %s is compressed; write it with numpy.savez, not "
                                       "savez_compressed",
                                       sonde_file_path(file), name);
            if (!take_sizes(entry, (const uint8_t *)text + n_name, n_extra, &size, &offset))
                return damaged(file, error, "a member's sizes contradict each other");
            return open_member(file, offset, size, shape, data_offset, error);
        }
        if (npy)
            sonde_buf_printf(&names, "%s%.*s", names.size ? ", " : "", (int)n_name - 4, text);
    }
    enum sonde_status status =
        sonde_error_set(error, SONDE_STATUS_NOT_FOUND, "%s: holds no array '%s'; it holds: %s",
                        sonde_file_path(file), name, names.size ? names.data : "none");
    sonde_buf_finish(&names);
    return status;
}

enum sonde_status sonde_npz_find(const struct sonde_file *file, const char *name,
                                 struct sonde_npy_shape *shape, int64_t *data_offset,
                                 struct sonde_error *error)
{
    struct directory d = { 0 };
    enum sonde_status status = find_directory(file, &d, error);
    if (status)
        return status;
    uint8_t *directory = malloc((size_t)d.n_bytes + 1);
    if (!directory)
        return sonde_error_memory(error, sonde_file_path(file));
    status = sonde_file_read(file, d.begin, directory, d.n_bytes, error);
    if (!status)
        status = find_member(file, directory, &d, name, shape, data_offset, error);
    free(directory);
    return status;
}
