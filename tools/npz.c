#include "tools/npz.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Signatures and layouts: APPNOTE.TXT 6.3, sections 4.3.7, 4.3.12, 4.3.14 to 4.3.16, 4.5.3. */
#define LOCAL_SIGNATURE 0x04034b50u
#define CENTRAL_SIGNATURE 0x02014b50u
#define END_SIGNATURE 0x06054b50u
#define END64_SIGNATURE 0x06064b50u
#define LOCATOR64_SIGNATURE 0x07064b50u
#define LOCAL_BYTES 30
#define LOCAL_EXTRA_BYTES 20 /* the ZIP64 field with both sizes, in every local header */
#define VERSION_ZIP64 45
#define DATE_1980 0x21 /* 1 January 1980: the same bytes whenever it is written */
#define MEMBERS_MAX 65534

static void put16(struct sonde_buf *out, uint32_t value)
{
    sonde_buf_putc(out, (char)(value & 0xff));
    sonde_buf_putc(out, (char)(value >> 8 & 0xff));
}

static void put32(struct sonde_buf *out, uint32_t value)
{
    put16(out, value & 0xffff);
    put16(out, value >> 16);
}

static void put64(struct sonde_buf *out, uint64_t value)
{
    put32(out, (uint32_t)(value & 0xffffffffu));
    put32(out, (uint32_t)(value >> 32));
}

/* CRC-32 of zip, polynomial 0xedb88320 reflected. */
static void make_table(uint32_t table[256])
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int bit = 0; bit < 8; bit++)
            c = c & 1 ? 0xedb88320u ^ c >> 1 : c >> 1;
        table[i] = c;
    }
}

static uint32_t crc_add(const uint32_t table[256], uint32_t crc, const uint8_t *data, int64_t n)
{
    crc = ~crc;
    for (int64_t i = 0; i < n; i++)
        crc = table[(crc ^ data[i]) & 0xff] ^ crc >> 8;
    return ~crc;
}

static enum sonde_status write_error(const struct sonde_npz_writer *w, struct sonde_error *error)
{
    return sonde_error_set(error, SONDE_STATUS_IO, "%s: cannot write: %s", w->file.path,
                           strerror(errno));
}

static enum sonde_status put_bytes(struct sonde_npz_writer *w, const void *data, size_t n,
                                   struct sonde_error *error)
{
    if (n && fwrite(data, 1, n, w->file.stream) != n)
        return write_error(w, error);
    w->at += (int64_t)n;
    return SONDE_STATUS_OK;
}

static enum sonde_status flush_buf(struct sonde_npz_writer *w, struct sonde_buf *buf,
                                   struct sonde_error *error)
{
    enum sonde_status status = sonde_buf_status(buf, error);
    if (!status)
        status = put_bytes(w, buf->data, buf->size, error);
    sonde_buf_finish(buf);
    return status;
}

enum sonde_status sonde_npz_begin(struct sonde_npz_writer *writer, const char *path,
                                  struct sonde_error *error)
{
    if (strcmp(path, "-") == 0)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "an .npz cannot go to standard output: name a file");
    *writer = (struct sonde_npz_writer){ 0 };
    make_table(writer->crc_table);
    return sonde_file_writer_begin(&writer->file, path, error);
}

static void put_local(struct sonde_buf *out, const struct sonde_npz_member *m)
{
    size_t n = strlen(m->name);
    put32(out, LOCAL_SIGNATURE);
    put16(out, VERSION_ZIP64);
    put16(out, 0); /* flags */
    put16(out, 0); /* stored */
    put16(out, 0);
    put16(out, DATE_1980);
    put32(out, m->crc);
    put32(out, 0xffffffffu); /* sizes are in the ZIP64 field */
    put32(out, 0xffffffffu);
    put16(out, (uint32_t)n);
    put16(out, LOCAL_EXTRA_BYTES);
    sonde_buf_append(out, m->name, n);
    put16(out, 1);
    put16(out, 16);
    put64(out, (uint64_t)m->n_bytes);
    put64(out, (uint64_t)m->n_bytes);
}

static void put_central(struct sonde_buf *out, const struct sonde_npz_member *m)
{
    size_t n = strlen(m->name);
    put32(out, CENTRAL_SIGNATURE);
    put16(out, VERSION_ZIP64);
    put16(out, VERSION_ZIP64);
    put16(out, 0);
    put16(out, 0);
    put16(out, 0);
    put16(out, DATE_1980);
    put32(out, m->crc);
    put32(out, 0xffffffffu);
    put32(out, 0xffffffffu);
    put16(out, (uint32_t)n);
    put16(out, 28);
    put16(out, 0); /* comment */
    put16(out, 0); /* disk */
    put16(out, 0); /* attributes */
    put32(out, 0);
    put32(out, 0xffffffffu); /* offset is in the ZIP64 field too */
    sonde_buf_append(out, m->name, n);
    put16(out, 1);
    put16(out, 24);
    put64(out, (uint64_t)m->n_bytes);
    put64(out, (uint64_t)m->n_bytes);
    put64(out, (uint64_t)m->offset);
}

/* Writes the member's header again, now that its size and CRC are known. */
static enum sonde_status close_member(struct sonde_npz_writer *w, struct sonde_error *error)
{
    if (w->n_members == 0)
        return SONDE_STATUS_OK;
    const struct sonde_npz_member *m = &w->member[w->n_members - 1];
    struct sonde_buf header = { 0 };
    put_local(&header, m);
    int64_t end = w->at;
    if (fseeko(w->file.stream, (off_t)m->offset, SEEK_SET) != 0) {
        sonde_buf_finish(&header);
        return write_error(w, error);
    }
    enum sonde_status status = flush_buf(w, &header, error);
    w->at = end;
    if (!status && fseeko(w->file.stream, (off_t)end, SEEK_SET) != 0)
        status = write_error(w, error);
    return status;
}

enum sonde_status sonde_npz_add(struct sonde_npz_writer *w, const char *name,
                                enum sonde_dtype dtype, int rank, const int64_t *dim,
                                struct sonde_error *error)
{
    struct sonde_buf text = { 0 }, header = { 0 }, npy = { 0 };
    enum sonde_status status = close_member(w, error);
    if (status)
        return status;
    if (!sonde_grow((void **)&w->member, &w->capacity, w->n_members + 1, sizeof(*w->member),
                    MEMBERS_MAX))
        return sonde_error_set(error, SONDE_STATUS_LIMIT, "%s: more than %d arrays", w->file.path,
                               MEMBERS_MAX);
    sonde_buf_printf(&text, "%s.npy", name);
    status = sonde_buf_status(&text, error);
    if (!status)
        status = sonde_npy_put_header(&npy, dtype, rank, dim, error);
    if (status) {
        sonde_buf_finish(&text);
        sonde_buf_finish(&npy);
        return status;
    }
    struct sonde_npz_member *m = &w->member[w->n_members++];
    *m = (struct sonde_npz_member){ .name = text.data, .offset = w->at };
    put_local(&header, m);
    status = flush_buf(w, &header, error);
    if (!status)
        status = sonde_npz_append(w, npy.data, (int64_t)npy.size, error);
    sonde_buf_finish(&npy);
    return status;
}

enum sonde_status sonde_npz_append(struct sonde_npz_writer *w, const void *data, int64_t n_bytes,
                                   struct sonde_error *error)
{
    struct sonde_npz_member *m = &w->member[w->n_members - 1];
    m->crc = crc_add(w->crc_table, m->crc, data, n_bytes);
    m->n_bytes += n_bytes;
    return put_bytes(w, data, (size_t)n_bytes, error);
}

static enum sonde_status put_directory(struct sonde_npz_writer *w, struct sonde_error *error)
{
    struct sonde_buf out = { 0 };
    int64_t begin = w->at;
    for (int64_t i = 0; i < w->n_members; i++)
        put_central(&out, &w->member[i]);
    uint64_t size = out.size;
    uint64_t end = (uint64_t)begin + size;
    put32(&out, END64_SIGNATURE);
    put64(&out, 44);
    put16(&out, VERSION_ZIP64);
    put16(&out, VERSION_ZIP64);
    put32(&out, 0);
    put32(&out, 0);
    put64(&out, (uint64_t)w->n_members);
    put64(&out, (uint64_t)w->n_members);
    put64(&out, size);
    put64(&out, (uint64_t)begin);
    put32(&out, LOCATOR64_SIGNATURE);
    put32(&out, 0);
    put64(&out, end);
    put32(&out, 1);
    put32(&out, END_SIGNATURE);
    put16(&out, 0);
    put16(&out, 0);
    put16(&out, (uint32_t)w->n_members);
    put16(&out, (uint32_t)w->n_members);
    put32(&out, size < 0xffffffffu ? (uint32_t)size : 0xffffffffu);
    put32(&out, begin < 0xffffffff ? (uint32_t)begin : 0xffffffffu);
    put16(&out, 0);
    return flush_buf(w, &out, error);
}

enum sonde_status sonde_npz_end(struct sonde_npz_writer *w, bool commit, struct sonde_error *error)
{
    enum sonde_status status = SONDE_STATUS_OK;
    if (commit)
        status = close_member(w, error);
    if (commit && !status)
        status = put_directory(w, error);
    enum sonde_status ended = sonde_file_writer_end(&w->file, commit && !status, error);
    for (int64_t i = 0; i < w->n_members; i++)
        free(w->member[i].name);
    free(w->member);
    w->member = NULL;
    w->n_members = w->capacity = 0;
    return status ? status : ended;
}
