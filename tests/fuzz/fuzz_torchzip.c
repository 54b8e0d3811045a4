/* Any bytes as a PyTorch checkpoint, and (where they begin like one) as a bare pickle. Where it
 * opens, every tensor is read and the whole tree walked. */
#define _GNU_SOURCE /* memfd_create: a file without a disk */

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/model/torch_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { READ_MAX = 1 << 16, WALK_MAX = 1 << 16 };

static void read_all(struct sonde_torch_file *file)
{
    for (int64_t i = 0; i < sonde_torch_count(file); i++) {
        const struct sonde_torch_entry *entry = sonde_torch_at(file, i);
        struct sonde_error error = { 0 };
        if (entry->tensor.n_bytes > sonde_torch_file_bytes(file)) {
            abort();
        }
        if (entry->tensor.n_bytes > READ_MAX) {
            continue;
        }
        void *out = malloc((size_t)entry->tensor.n_bytes + 1);
        if (out && sonde_torch_read(file, entry, out, &error) != SONDE_STATUS_OK) {
            abort();
        }
        free(out);
    }
}

/* The number of values met; a tree that shares much is cut off. */
static int walk(const struct sonde_pickle_value *value, int depth, int n)
{
    if (depth > SONDE_PICKLE_DEPTH_MAX) {
        abort();
    }
    bool container = value->type == SONDE_PICKLE_LIST || value->type == SONDE_PICKLE_TUPLE ||
                     value->type == SONDE_PICKLE_DICT || value->type == SONDE_PICKLE_RECORD;
    for (int64_t i = 0; container && i < value->n && n < WALK_MAX; i++) {
        n = walk(value->item[i], depth + 1, n + 1);
    }
    (void)sonde_pickle_get(value, "model");
    return n;
}

static void read_pickle(const uint8_t *data, size_t size)
{
    const struct sonde_pickle_value *root = NULL;
    struct sonde_error error = { 0 };
    struct sonde_arena *arena = sonde_arena_create((size_t)1 << 28);
    if (arena && sonde_pickle_read(arena, data, size, &root, &error) == SONDE_STATUS_OK) {
        walk(root, 0, 0);
    } else if (arena && !error.text[0]) {
        abort();
    }
    sonde_arena_destroy(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sonde_torch_file *file = NULL;
    struct sonde_error error = { 0 };
    char path[64];
    if (size > 0 && data[0] == 0x80) {
        read_pickle(data, size);
        return 0;
    }
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0) {
        return 0;
    }
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (write(fd, data, size) == (ssize_t)size &&
        sonde_torch_open(&file, path, &error) == SONDE_STATUS_OK) {
        read_all(file);
        walk(sonde_torch_root(file), 0, 0);
    } else if (error.status == SONDE_STATUS_OK || !error.text[0]) {
        abort(); /* a refusal without words */
    }
    sonde_torch_close(&file);
    close(fd);
    return 0;
}
