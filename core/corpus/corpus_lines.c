#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/corpus/corpus_internal.h"

#define CHUNK_BYTES 65536

enum sonde_status sonde_lines_open(struct sonde_line_reader *reader, const char *path,
                                   struct sonde_error *error)
{
    struct stat info;

    *reader = (struct sonde_line_reader){ .line = { .max = (size_t)SONDE_CORPUS_MAX_ITEM_BYTES } };
    reader->path = sonde_strdup(path);
    reader->chunk = malloc(CHUNK_BYTES);
    if (!reader->path || !reader->chunk)
        return sonde_error_memory(error, "a corpus");
    reader->file = fopen(path, "rb");
    if (!reader->file)
        return sonde_error_set(error, errno == ENOENT ? SONDE_STATUS_NOT_FOUND : SONDE_STATUS_IO,
                               "%s: %s", path, strerror(errno));
    if (fstat(fileno(reader->file), &info) != 0)
        return sonde_error_set(error, SONDE_STATUS_IO, "%s: %s", path, strerror(errno));
    if (S_ISDIR(info.st_mode))
        return sonde_error_set(error, SONDE_STATUS_IO, "%s: is a directory, expected a file", path);
    reader->total = S_ISREG(info.st_mode) ? (int64_t)info.st_size : 0;
    return SONDE_STATUS_OK;
}

void sonde_lines_close(struct sonde_line_reader *reader)
{
    if (reader->file)
        (void)fclose(reader->file);
    free(reader->path);
    free(reader->chunk);
    sonde_buf_finish(&reader->line);
    *reader = (struct sonde_line_reader){ 0 };
}

enum sonde_status sonde_lines_blame(const struct sonde_line_reader *reader,
                                    enum sonde_status status, struct sonde_error *error)
{
    sonde_error_prepend(error, "%s:%lld", reader->path, (long long)reader->number);
    return status;
}

/* False at the end of the file. */
static bool fill(struct sonde_line_reader *reader)
{
    if (reader->chunk_at < reader->chunk_size)
        return true;
    reader->chunk_at = 0;
    reader->chunk_size = fread(reader->chunk, 1, CHUNK_BYTES, reader->file);
    return reader->chunk_size > 0;
}

enum sonde_status sonde_lines_next(struct sonde_line_reader *reader, bool *more,
                                   struct sonde_error *error)
{
    bool any = false, complete = false;

    *more = false;
    sonde_buf_clear(&reader->line);
    while (!complete && fill(reader)) {
        const char *from = reader->chunk + reader->chunk_at;
        size_t left = reader->chunk_size - reader->chunk_at;
        const char *newline = memchr(from, '\n', left);
        size_t n = newline ? (size_t)(newline - from) : left;
        any = true;
        complete = newline != NULL;
        reader->chunk_at += n + (complete ? 1 : 0);
        reader->done += (int64_t)(n + (complete ? 1 : 0));
        if (!sonde_buf_append(&reader->line, from, n))
            break;
    }
    if (ferror(reader->file))
        return sonde_error_set(error, SONDE_STATUS_IO, "%s: %s", reader->path, strerror(errno));
    if (!any)
        return SONDE_STATUS_OK;
    reader->number++;
    if (reader->line.failed) {
        enum sonde_status status = sonde_buf_status(&reader->line, error);
        if (status == SONDE_STATUS_LIMIT)
            (void)sonde_error_set(error, status, "a line of more than %lld bytes",
                                  (long long)SONDE_CORPUS_MAX_ITEM_BYTES);
        return sonde_lines_blame(reader, status, error);
    }
    if (reader->number == 1 && reader->line.size >= 3 &&
        memcmp(reader->line.data, "\xEF\xBB\xBF", 3) == 0) {
        memmove(reader->line.data, reader->line.data + 3, reader->line.size - 2);
        reader->line.size -= 3;
    }
    if (complete && reader->line.size > 0 && reader->line.data[reader->line.size - 1] == '\r')
        reader->line.data[--reader->line.size] = '\0';
    *more = true;
    return SONDE_STATUS_OK;
}
