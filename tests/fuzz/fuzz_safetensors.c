/* Any bytes as a safetensors file: opened, and where it opens, every tensor read. */
#define _GNU_SOURCE /* memfd_create: a file without a disk */

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/tensor/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_all(struct sonde_safetensors *file)
{
    enum { READ_MAX = 64 };
    float values[READ_MAX];
    int64_t whole[READ_MAX];
    for (int64_t i = 0; i < sonde_safetensors_count(file); i++) {
        const struct sonde_safetensors_entry *entry = sonde_safetensors_at(file, i);
        const uint8_t *bytes = NULL;
        struct sonde_error error = { 0 };
        int64_t n = entry->n_elements < READ_MAX ? entry->n_elements : READ_MAX;
        if (sonde_safetensors_find(file, entry->name) != entry) {
            abort();
        }
        enum sonde_status status =
            sonde_safetensors_read_f32(file, entry, entry->n_elements - n, n, values, &error);
        if (status != SONDE_STATUS_OK && entry->dtype != SONDE_DTYPE_NONE) {
            abort();
        }
        status = sonde_safetensors_read_i64(file, entry, 0, n, whole, &error);
        if (sonde_safetensors_map(file, entry, &bytes, &error) != SONDE_STATUS_OK) {
            abort();
        }
        volatile uint8_t sum = 0;
        for (int64_t b = 0; b < entry->n_bytes; b++) {
            sum = (uint8_t)(sum + bytes[b]);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sonde_safetensors *file = NULL;
    struct sonde_error error = { 0 };
    char path[64];
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0) {
        return 0;
    }
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (write(fd, data, size) == (ssize_t)size &&
        sonde_safetensors_open(&file, path, &error) == SONDE_STATUS_OK) {
        read_all(file);
        (void)sonde_safetensors_metadata(file, "format");
    } else if (error.status == SONDE_STATUS_OK || !error.text[0]) {
        abort(); /* a refusal without words */
    }
    sonde_safetensors_close(&file);
    close(fd);
    return 0;
}
