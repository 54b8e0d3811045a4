#include "core/model/torchzip.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/arena.h"

enum {
    LOCAL_BYTES = 30,
    CENTRAL_BYTES = 46,
    END_BYTES = 22,
    END64_BYTES = 56,
    LOCATOR_BYTES = 20,
    EXTRA_HEAD_BYTES = 4,
    EXTRA_ZIP64 = 1,
    FLAG_ENCRYPTED = 1,
    FLAGS_KNOWN = 1 << 3 | 1 << 11, /* sizes follow the data; the name is UTF-8 */
    DIRECTORY_BYTES_MAX = 1 << 28,
};
#define SIGN_LOCAL 0x04034b50u
#define SIGN_CENTRAL 0x02014b50u
#define SIGN_END 0x06054b50u
#define SIGN_END64 0x06064b50u
#define SIGN_LOCATOR 0x07064b50u

struct entry {
    struct sonde_torchzip_member member; /* first: sorted and searched as one */
    int64_t header;                      /* offset of the local header */
    uint32_t crc;
    int n_name;
};

struct sonde_torchzip {
    struct sonde_file *file;
    struct sonde_arena *arena;
    struct entry *entries; /* [n] by name */
    int64_t n;
};

/* The directory's place, from the records at the end of the file. */
struct directory {
    uint64_t n, bytes, offset;
};

static uint64_t number(const uint8_t *data, int n_bytes)
{
    uint64_t value = 0;
    for (int i = n_bytes - 1; i >= 0; i--) {
        value = value << 8 | data[i];
    }
    return value;
}

void sonde_torchzip_close(struct sonde_torchzip **zip)
{
    if (!zip || !*zip) {
        return;
    }
    sonde_file_close(&(*zip)->file);
    sonde_arena_destroy(&(*zip)->arena);
    free(*zip);
    *zip = NULL;
}

bool sonde_torchzip_probe(const char *path)
{
    struct sonde_file *file = NULL;
    uint8_t sign[4];
    bool zip = sonde_file_open(&file, path, NULL) == SONDE_STATUS_OK && sonde_file_size(file) > 4 &&
               sonde_file_read(file, 0, sign, 4, NULL) == SONDE_STATUS_OK &&
               number(sign, 4) == SIGN_LOCAL;
    sonde_file_close(&file);
    return zip;
}

static enum sonde_status refuse(struct sonde_error *error, const char *reason)
{
    return sonde_error_set(error, SONDE_STATUS_FORMAT, "%s", reason);
}

/* The zip64 record that lies right before its locator at `at`; both must say what `end` says,
 * where that says anything. */
static enum sonde_status read_end64(const struct sonde_file *file, int64_t at,
                                    const struct directory *end, struct directory *out,
                                    struct sonde_error *error)
{
    uint8_t data[END64_BYTES + LOCATOR_BYTES];
    int64_t record = at - END64_BYTES;
    if (record < 0) {
        return refuse(error, "the zip64 end record is cut off");
    }
    enum sonde_status status = sonde_file_read(file, record, data, sizeof data, error);
    if (status != SONDE_STATUS_OK) {
        return status;
    }
    const uint8_t *locator = data + END64_BYTES;
    if (number(data, 4) != SIGN_END64 || number(data + 4, 8) != END64_BYTES - 12 ||
        number(locator + 8, 8) != (uint64_t)record) {
        return refuse(error, "the zip64 end record does not lie before its locator");
    }
    if (number(locator + 4, 4) != 0 || number(locator + 16, 4) > 1 || number(data + 16, 4) != 0 ||
        number(data + 20, 4) != 0 || number(data + 24, 8) != number(data + 32, 8)) {
        return refuse(error, "the zip file is spread over several disks");
    }
    *out = (struct directory){ number(data + 32, 8), number(data + 40, 8), number(data + 48, 8) };
    if ((end->n != 0xffff && end->n != out->n) ||
        (end->bytes != 0xffffffff && end->bytes != out->bytes) ||
        (end->offset != 0xffffffff && end->offset != out->offset)) {
        return refuse(error, "the two end records of the zip file differ");
    }
    return SONDE_STATUS_OK;
}

/* Finds the directory: *out, checked to end where the end records begin. */
static enum sonde_status read_end(const struct sonde_file *file, struct directory *out,
                                  struct sonde_error *error)
{
    uint8_t sign[4], data[LOCATOR_BYTES + END_BYTES];
    const uint8_t *end = data + LOCATOR_BYTES;
    int64_t size = sonde_file_size(file), stop = size - END_BYTES;
    if (size < END_BYTES + LOCATOR_BYTES) {
        return sonde_error_set(error, SONDE_STATUS_FORMAT, "%lld bytes, too short for a checkpoint",
                               (long long)size);
    }
    enum sonde_status status = sonde_file_read(file, 0, sign, sizeof sign, error);
    if (status == SONDE_STATUS_OK) {
        status = sonde_file_read(file, stop - LOCATOR_BYTES, data, sizeof data, error);
    }
    if (status != SONDE_STATUS_OK) {
        return status;
    }
    if (number(sign, 4) != SIGN_LOCAL) {
        return sonde_error_set(error, SONDE_STATUS_UNSUPPORTED,
                               "is no zip file (PyTorch before 1.6 wrote others: load it there and "
                               "save it anew)");
    }
    if (number(end, 4) != SIGN_END || number(end + 20, 2) != 0) {
        return refuse(error, "does not end with a zip file's end record (cut off?)");
    }
    if (number(end + 4, 4) != 0 || number(end + 8, 2) != number(end + 10, 2)) {
        return refuse(error, "the zip file is spread over several disks");
    }
    *out = (struct directory){ number(end + 10, 2), number(end + 12, 4), number(end + 16, 4) };
    if (number(data, 4) == SIGN_LOCATOR) {
        const struct directory plain = *out;
        stop -= LOCATOR_BYTES;
        status = read_end64(file, stop, &plain, out, error);
        stop -= END64_BYTES;
    }
    if (status == SONDE_STATUS_OK &&
        (out->offset > (uint64_t)stop || out->bytes != (uint64_t)stop - out->offset)) {
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "a zip directory of %llu bytes at offset %llu in a file of %lld "
                               "bytes",
                               (unsigned long long)out->bytes, (unsigned long long)out->offset,
                               (long long)size);
    }
    if (status == SONDE_STATUS_OK &&
        (out->n > SONDE_TORCHZIP_MEMBERS_MAX || out->n > out->bytes / CENTRAL_BYTES ||
         out->bytes > DIRECTORY_BYTES_MAX)) {
        return sonde_error_set(error, SONDE_STATUS_LIMIT,
                               "%llu members in a zip directory of %llu bytes",
                               (unsigned long long)out->n, (unsigned long long)out->bytes);
    }
    return status;
}

/* The 64-bit values of an extra field: those of sizes and offset that are all ones. */
static bool read_extra(const uint8_t *extra, int64_t n, uint64_t *value[3], int n_values)
{
    while (n >= EXTRA_HEAD_BYTES && n_values > 0) {
        int64_t size = (int64_t)number(extra + 2, 2);
        if (size > n - EXTRA_HEAD_BYTES) {
            return false;
        }
        if (number(extra, 2) == EXTRA_ZIP64) {
            for (int i = 0; i < n_values; i++) {
                if (8 * (i + 1) > size) {
                    return false;
                }
                *value[i] = number(extra + EXTRA_HEAD_BYTES + (ptrdiff_t)8 * i, 8);
            }
            return true;
        }
        extra += EXTRA_HEAD_BYTES + size;
        n -= EXTRA_HEAD_BYTES + size;
    }
    return n_values == 0;
}

static bool is_plain_name(const char *name, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f) {
            return false;
        }
    }
    return n > 0 && n <= SONDE_TORCHZIP_NAME_MAX;
}

/* One record of the directory at `data`, `left` bytes of which are there. */
static enum sonde_status read_central(struct sonde_torchzip *zip, const uint8_t *data, int64_t left,
                                      struct entry *entry, int64_t *used, struct sonde_error *error)
{
    if (left < CENTRAL_BYTES || number(data, 4) != SIGN_CENTRAL) {
        return refuse(error, "the zip directory has fewer members than it says");
    }
    int64_t n_name = (int64_t)number(data + 28, 2), n_extra = (int64_t)number(data + 30, 2);
    *used = CENTRAL_BYTES + n_name + n_extra + (int64_t)number(data + 32, 2);
    if (*used > left) {
        return refuse(error, "the zip directory is cut off");
    }
    const char *name = (const char *)data + CENTRAL_BYTES;
    if (!is_plain_name(name, n_name)) {
        return refuse(error, "a member of the zip file has no plain name");
    }
    entry->member.name = sonde_arena_strndup(zip->arena, name, (size_t)n_name);
    if (!entry->member.name) {
        return sonde_error_memory(error, "a zip directory");
    }
    entry->n_name = (int)n_name;
    entry->crc = (uint32_t)number(data + 16, 4);
    unsigned flags = (unsigned)number(data + 8, 2), method = (unsigned)number(data + 10, 2);
    uint64_t packed = number(data + 20, 4), size = number(data + 24, 4);
    uint64_t header = number(data + 42, 4), *wide[3];
    int n_wide = 0;
    if (size == 0xffffffff) {
        wide[n_wide++] = &size;
    }
    if (packed == 0xffffffff) {
        wide[n_wide++] = &packed;
    }
    if (header == 0xffffffff) {
        wide[n_wide++] = &header;
    }
    name = entry->member.name;
    if (flags & FLAG_ENCRYPTED || flags & ~(unsigned)FLAGS_KNOWN) {
        return sonde_error_set(error, SONDE_STATUS_UNSUPPORTED,
                               "member %.160s: zip flags 0x%x are not supported%s", name, flags,
                               flags & FLAG_ENCRYPTED ? " (encrypted)" : "");
    }
    if (method != 0) {
        return sonde_error_set(error, SONDE_STATUS_UNSUPPORTED,
                               "member %.160s: is compressed (method %u); torch.save stores its "
                               "members as they are",
                               name, method);
    }
    if (!read_extra(data + CENTRAL_BYTES + n_name, n_extra, wide, n_wide)) {
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "member %.160s: its zip64 sizes are cut "
                               "off",
                               name);
    }
    if (packed != size) {
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "member %.160s: %llu bytes stored for %llu", name,
                               (unsigned long long)packed, (unsigned long long)size);
    }
    if (size > (uint64_t)sonde_file_size(zip->file) ||
        header > (uint64_t)sonde_file_size(zip->file)) {
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "member %.160s: %llu bytes at offset %llu in a file of %lld bytes",
                               name, (unsigned long long)size, (unsigned long long)header,
                               (long long)sonde_file_size(zip->file));
    }
    entry->member.n_bytes = (int64_t)size;
    entry->header = (int64_t)header;
    return SONDE_STATUS_OK;
}

/* The local header must say what the directory says; the data must end before the directory. */
static enum sonde_status read_local(const struct sonde_torchzip *zip, int64_t directory,
                                    struct entry *entry, struct sonde_error *error)
{
    uint8_t data[LOCAL_BYTES + SONDE_TORCHZIP_NAME_MAX];
    const char *name = entry->member.name;
    int64_t n = LOCAL_BYTES + entry->n_name;
    enum sonde_status status = SONDE_STATUS_OK;
    if (entry->header > directory - n) {
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "member %.160s: its header at offset %lld lies past the members",
                               name, (long long)entry->header);
    }
    status = sonde_file_read(zip->file, entry->header, data, n, error);
    if (status != SONDE_STATUS_OK) {
        return status;
    }
    uint64_t packed = number(data + 18, 4), size = number(data + 22, 4);
    bool later = number(data + 6, 2) & 1 << 3; /* the sizes follow the data */
    bool sizes = (later && packed == 0 && size == 0) ||
                 (packed == (uint64_t)entry->member.n_bytes && size == packed) ||
                 (packed == 0xffffffff && size == 0xffffffff);
    if (number(data, 4) != SIGN_LOCAL || number(data + 8, 2) != 0 ||
        number(data + 26, 2) != (uint64_t)entry->n_name ||
        memcmp(data + LOCAL_BYTES, name, (size_t)entry->n_name) != 0 ||
        number(data + 6, 2) & ~(unsigned)FLAGS_KNOWN || !sizes) {
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "member %.160s: its header at offset %lld is not what the zip "
                               "directory says",
                               name, (long long)entry->header);
    }
    entry->member.offset = entry->header + n + (int64_t)number(data + 28, 2);
    if (entry->member.offset > directory ||
        entry->member.n_bytes > directory - entry->member.offset) {
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "member %.160s: %lld bytes at offset %lld, the members end at %lld",
                               name, (long long)entry->member.n_bytes,
                               (long long)entry->member.offset, (long long)directory);
    }
    return SONDE_STATUS_OK;
}

static int compare_headers(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    return x->header < y->header ? -1 : x->header > y->header;
}

static int compare_names(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    return strcmp(x->member.name, y->member.name);
}

/* No member within another, no name twice. Leaves the entries sorted by name. */
static enum sonde_status check_entries(struct sonde_torchzip *zip, struct sonde_error *error)
{
    qsort(zip->entries, (size_t)zip->n, sizeof *zip->entries, compare_headers);
    for (int64_t i = 1; i < zip->n; i++) {
        const struct entry *last = &zip->entries[i - 1], *next = &zip->entries[i];
        if (next->header < last->member.offset + last->member.n_bytes) {
            return sonde_error_set(error, SONDE_STATUS_FORMAT,
                                   "members %.160s and %.160s lie on the same bytes",
                                   last->member.name, next->member.name);
        }
    }
    qsort(zip->entries, (size_t)zip->n, sizeof *zip->entries, compare_names);
    for (int64_t i = 1; i < zip->n; i++) {
        if (compare_names(&zip->entries[i - 1], &zip->entries[i]) == 0) {
            return sonde_error_set(error, SONDE_STATUS_FORMAT, "member %.160s is there twice",
                                   zip->entries[i].member.name);
        }
    }
    return SONDE_STATUS_OK;
}

static enum sonde_status read_directory(struct sonde_torchzip *zip, struct sonde_error *error)
{
    struct directory place = { 0 };
    enum sonde_status status = read_end(zip->file, &place, error);
    if (status != SONDE_STATUS_OK) {
        return status;
    }
    uint8_t *data = malloc((size_t)place.bytes + 1);
    zip->entries = sonde_arena_zalloc(zip->arena, (int64_t)place.n, sizeof *zip->entries);
    if (!data || !zip->entries) {
        free(data);
        return sonde_error_memory(error, "a zip directory");
    }
    int64_t at = 0, bytes = (int64_t)place.bytes, offset = (int64_t)place.offset;
    status = sonde_file_read(zip->file, offset, data, bytes, error);
    for (uint64_t i = 0; i < place.n && status == SONDE_STATUS_OK; i++) {
        int64_t used = 0;
        struct entry *entry = &zip->entries[i];
        status = read_central(zip, data + at, bytes - at, entry, &used, error);
        if (status == SONDE_STATUS_OK) {
            status = read_local(zip, offset, entry, error);
        }
        at += used;
        zip->n++;
    }
    free(data);
    if (status == SONDE_STATUS_OK && at != bytes) {
        return refuse(error, "the zip directory has more members than it says");
    }
    return status == SONDE_STATUS_OK ? check_entries(zip, error) : status;
}

enum sonde_status sonde_torchzip_open(struct sonde_torchzip **out, const char *path,
                                      struct sonde_error *error)
{
    struct sonde_torchzip *zip = calloc(1, sizeof *zip);
    if (!zip || !(zip->arena = sonde_arena_create(0))) {
        free(zip);
        return sonde_error_memory(error, "a checkpoint");
    }
    enum sonde_status status = sonde_file_open(&zip->file, path, error);
    if (status == SONDE_STATUS_OK) {
        status = read_directory(zip, error);
        if (status != SONDE_STATUS_OK) {
            sonde_error_prepend(error, "%s", path);
        }
    }
    if (status != SONDE_STATUS_OK) {
        sonde_torchzip_close(&zip);
        return status;
    }
    *out = zip;
    return SONDE_STATUS_OK;
}

int64_t sonde_torchzip_count(const struct sonde_torchzip *zip)
{
    return zip->n;
}

const struct sonde_torchzip_member *sonde_torchzip_at(const struct sonde_torchzip *zip, int64_t i)
{
    return i >= 0 && i < zip->n ? &zip->entries[i].member : NULL;
}

const struct sonde_torchzip_member *sonde_torchzip_find(const struct sonde_torchzip *zip,
                                                        const char *name)
{
    struct entry key = { .member.name = name };
    const struct entry *found =
        bsearch(&key, zip->entries, (size_t)zip->n, sizeof key, compare_names);
    return found ? &found->member : NULL;
}

/* CRC-32 of ISO 3309 (APPNOTE 4.4.7), a byte at a time by a table. */
static uint32_t add_crc(uint32_t crc, const uint32_t table[256], const uint8_t *data, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        crc = table[(crc ^ data[i]) & 255] ^ crc >> 8;
    }
    return crc;
}

static void fill_crc_table(uint32_t table[256])
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
        }
        table[i] = crc;
    }
}

enum sonde_status sonde_torchzip_check(const struct sonde_torchzip *zip, struct sonde_error *error)
{
    enum { BLOCK_BYTES = 1 << 18 };
    uint32_t table[256];
    uint8_t *block = malloc(BLOCK_BYTES);
    enum sonde_status status = block ? SONDE_STATUS_OK : sonde_error_memory(error, "a checkpoint");
    fill_crc_table(table);
    for (int64_t i = 0; i < zip->n && status == SONDE_STATUS_OK; i++) {
        const struct entry *entry = &zip->entries[i];
        uint32_t crc = 0xffffffffu;
        for (int64_t at = 0; at < entry->member.n_bytes && status == SONDE_STATUS_OK;) {
            int64_t left = entry->member.n_bytes - at, n = left < BLOCK_BYTES ? left : BLOCK_BYTES;
            status = sonde_file_read(zip->file, entry->member.offset + at, block, n, error);
            crc = status == SONDE_STATUS_OK ? add_crc(crc, table, block, n) : crc;
            at += n;
        }
        crc ^= 0xffffffffu;
        if (status == SONDE_STATUS_OK && crc != entry->crc) {
            status =
                sonde_error_set(error, SONDE_STATUS_FORMAT,
                                "%s: member %.160s: the CRC-32 of its bytes is %08x, the zip "
                                "directory says %08x",
                                sonde_file_path(zip->file), entry->member.name, crc, entry->crc);
        }
    }
    free(block);
    return status;
}

struct sonde_file *sonde_torchzip_file(const struct sonde_torchzip *zip)
{
    return zip->file;
}
