#include "core/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* read and write are cut to this at most: Linux refuses nothing below 2 GiB. */
#define TRANSFER_MAX ((size_t)1 << 30)
#define LOAD_STEP ((size_t)1 << 16)

struct sonde_file {
    int fd;
    int64_t size;
    char *path;
    pthread_mutex_t mutex; /* of map */
    void *map;
};

static enum sonde_status error_errno(struct sonde_error *error, const char *path, const char *what,
                                     int code)
{
    enum sonde_status status = code == ENOENT || code == ENOTDIR ? SONDE_STATUS_NOT_FOUND
                               : code == ENOMEM                  ? SONDE_STATUS_MEMORY
                                                                 : SONDE_STATUS_IO;
    return sonde_error_set(error, status, "%s: %s: %s", path, what, strerror(code));
}

static const char *kind_name(mode_t mode)
{
    return S_ISDIR(mode)    ? "a directory"
           : S_ISFIFO(mode) ? "a pipe"
           : S_ISSOCK(mode) ? "a socket"
           : S_ISCHR(mode)  ? "a device"
           : S_ISBLK(mode)  ? "a device"
                            : "something else";
}

enum sonde_status sonde_file_open(struct sonde_file **out, const char *path,
                                  struct sonde_error *error)
{
    /* O_NONBLOCK: opening a pipe that nobody writes to must not hang before it is refused. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return error_errno(error, path, "cannot open", errno);
    struct stat info;
    if (fstat(fd, &info) != 0) {
        int code = errno;
        close(fd);
        return error_errno(error, path, "cannot read its size", code);
    }
    if (!S_ISREG(info.st_mode)) {
        close(fd);
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT, "%s: is %s, expected a regular file",
                               path, kind_name(info.st_mode));
    }
    struct sonde_file *file = calloc(1, sizeof(*file));
    char *copy = sonde_strdup(path);
    if (!file || !copy) {
        free(file);
        free(copy);
        close(fd);
        return sonde_error_memory(error, path);
    }
    file->fd = fd;
    file->size = info.st_size;
    file->path = copy;
    pthread_mutex_init(&file->mutex, NULL);
    *out = file;
    return SONDE_STATUS_OK;
}

void sonde_file_close(struct sonde_file **file)
{
    if (!file || !*file)
        return;
    struct sonde_file *f = *file;
    if (f->map)
        munmap(f->map, (size_t)f->size);
    close(f->fd);
    pthread_mutex_destroy(&f->mutex);
    free(f->path);
    free(f);
    *file = NULL;
}

int64_t sonde_file_size(const struct sonde_file *file)
{
    return file->size;
}

const char *sonde_file_path(const struct sonde_file *file)
{
    return file->path;
}

enum sonde_status sonde_file_read(const struct sonde_file *file, int64_t offset, void *out,
                                  int64_t n, struct sonde_error *error)
{
    if (offset < 0 || n < 0 || offset > file->size || n > file->size - offset)
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "%s: %lld bytes at offset %lld asked for, the file has %lld",
                               file->path, (long long)n, (long long)offset, (long long)file->size);
    char *to = out;
    while (n > 0) {
        size_t step = (uint64_t)n < TRANSFER_MAX ? (size_t)n : TRANSFER_MAX;
        ssize_t got = pread(file->fd, to, step, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_errno(error, file->path, "cannot read", errno);
        if (got == 0)
            return sonde_error_set(error, SONDE_STATUS_FORMAT,
                                   "%s: ends at offset %lld, it had %lld bytes when it was opened",
                                   file->path, (long long)offset, (long long)file->size);
        to += got;
        offset += got;
        n -= got;
    }
    return SONDE_STATUS_OK;
}

void sonde_file_forget(struct sonde_file *file, const void *data, int64_t n)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    pthread_mutex_lock(&file->mutex);
    const uintptr_t map = (uintptr_t)file->map, at = (uintptr_t)data;
    if (map && n > 0 && n <= file->size && at >= map && at - map <= (uintptr_t)(file->size - n)) {
        const uintptr_t skip = (page - (at - map) % page) % page;
        const uintptr_t end = (at - map + (uintptr_t)n) / page * page, begin = at - map + skip;
        if (begin < end) {
            (void)madvise((char *)file->map + begin, end - begin, MADV_DONTNEED);
        }
    }
    pthread_mutex_unlock(&file->mutex);
}

enum sonde_status sonde_file_map(struct sonde_file *file, const uint8_t **data,
                                 struct sonde_error *error)
{
    if (file->size == 0) {
        *data = NULL;
        return SONDE_STATUS_OK;
    }
    pthread_mutex_lock(&file->mutex);
    int code = 0;
    if (!file->map) {
        void *map = mmap(NULL, (size_t)file->size, PROT_READ, MAP_PRIVATE, file->fd, 0);
        if (map == MAP_FAILED)
            code = errno;
        else
            file->map = map;
    }
    pthread_mutex_unlock(&file->mutex);
    if (code)
        return error_errno(error, file->path, "cannot map", code);
    *data = file->map;
    return SONDE_STATUS_OK;
}

static enum sonde_status load_limit(struct sonde_error *error, const char *name, int64_t max_bytes)
{
    return sonde_error_set(error, SONDE_STATUS_LIMIT, "%s: has more than the %lld bytes allowed",
                           name, (long long)max_bytes);
}

/* Reads until the end of fd. One byte more than allowed is asked for, so that a source that never
 * ends (a device, a pipe) is seen to be too long. */
static enum sonde_status load_fd(int fd, const char *name, int64_t max_bytes, struct sonde_buf *buf,
                                 struct sonde_error *error)
{
    for (;;) {
        size_t left = (size_t)max_bytes - buf->size + 1;
        size_t step =
            buf->capacity - buf->size > LOAD_STEP ? buf->capacity - buf->size - 1 : LOAD_STEP;
        step = step < left ? step : left;
        if (!sonde_buf_reserve(buf, step))
            return sonde_error_memory(error, name);
        ssize_t got = read(fd, buf->data + buf->size, step);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_errno(error, name, "cannot read", errno);
        if (got == 0)
            break;
        buf->size += (size_t)got;
        if (buf->size > (size_t)max_bytes)
            return load_limit(error, name, max_bytes);
    }
    buf->data[buf->size] = '\0';
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_file_load(const char *path, int64_t max_bytes, struct sonde_buf *out,
                                  struct sonde_error *error)
{
    bool standard = strcmp(path, "-") == 0;
    const char *name = standard ? "standard input" : path;
    if (max_bytes < 0 || max_bytes > INT64_MAX - 2)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT, "%s: %lld is no maximum", name,
                               (long long)max_bytes);
    int fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return error_errno(error, path, "cannot open", errno);
    struct stat info;
    bool known = fstat(fd, &info) == 0;
    enum sonde_status status = SONDE_STATUS_OK;
    struct sonde_buf buf = { .max = (size_t)max_bytes + 1 };
    if (known && S_ISDIR(info.st_mode))
        status = sonde_error_set(error, SONDE_STATUS_ARGUMENT, "%s: is a directory", name);
    else if (known && S_ISREG(info.st_mode) && info.st_size > max_bytes)
        status = load_limit(error, name, max_bytes);
    else if (known && S_ISREG(info.st_mode) && !sonde_buf_reserve(&buf, (size_t)info.st_size))
        status = sonde_error_memory(error, name);
    if (status == SONDE_STATUS_OK)
        status = load_fd(fd, name, max_bytes, &buf, error);
    if (!standard)
        close(fd);
    if (status != SONDE_STATUS_OK) {
        sonde_buf_finish(&buf);
        return status;
    }
    buf.max = out->max;
    sonde_buf_finish(out);
    *out = buf;
    return SONDE_STATUS_OK;
}

/* A new empty file beside `path`; its name goes to *name (heap). */
static int create_temporary(const char *path, char **name)
{
    size_t n = strlen(path) + 40;
    *name = malloc(n);
    if (!*name) {
        errno = ENOMEM;
        return -1;
    }
    int fd = -1;
    for (int i = 0; i < 1000; i++) {
        (void)snprintf(*name, n, "%s.%ld-%d.tmp", path, (long)getpid(), i);
        fd = open(*name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0 || errno != EEXIST)
            break;
    }
    if (fd < 0) {
        int code = errno;
        free(*name);
        *name = NULL;
        errno = code;
    }
    return fd;
}

static void writer_free(struct sonde_file_writer *writer)
{
    free(writer->path);
    free(writer->temporary);
    *writer = (struct sonde_file_writer){ 0 };
}

/* Where the bytes go: through a symbolic link to its target, so that the link stays. */
static char *resolve_target(const char *path, struct stat *info, bool *exists)
{
    *exists = lstat(path, info) == 0;
    if (!*exists || !S_ISLNK(info->st_mode))
        return sonde_strdup(path);
    char *target = realpath(path, NULL);
    if (target)
        *exists = stat(target, info) == 0;
    return target;
}

enum sonde_status sonde_file_writer_begin(struct sonde_file_writer *writer, const char *path,
                                          struct sonde_error *error)
{
    if (strcmp(path, "-") == 0) {
        *writer = (struct sonde_file_writer){ .stream = stdout };
        return SONDE_STATUS_OK;
    }
    struct stat info;
    bool exists;
    errno = 0;
    struct sonde_file_writer made = { .path = resolve_target(path, &info, &exists) };
    if (!made.path)
        return error_errno(error, path, "cannot write", errno ? errno : ENOMEM);
    if (exists && S_ISDIR(info.st_mode)) {
        writer_free(&made);
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT, "%s: is a directory", path);
    }
    int fd;
    if (exists && !S_ISREG(info.st_mode))
        fd = open(made.path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    else
        fd = create_temporary(made.path, &made.temporary);
    if (fd < 0) {
        int code = errno;
        writer_free(&made);
        return error_errno(error, path, "cannot write", code);
    }
    /* A replaced file keeps its permissions; where that is refused the new ones are as good. */
    if (made.temporary && exists && fchmod(fd, info.st_mode & 0777) != 0)
        errno = 0;
    made.stream = fdopen(fd, "wb");
    if (!made.stream) {
        int code = errno;
        close(fd);
        if (made.temporary)
            unlink(made.temporary);
        writer_free(&made);
        return error_errno(error, path, "cannot write", code);
    }
    *writer = made;
    return SONDE_STATUS_OK;
}

/* After a rename the directory must reach the disk too. Some file systems cannot sync directories;
 * there is nothing better to do on those. */
static void sync_directory(const char *path)
{
    const char *base = sonde_path_base(path);
    size_t n = (size_t)(base - path);
    char *directory = n ? malloc(n + 1) : sonde_strdup(".");
    if (!directory)
        return;
    if (n) {
        memcpy(directory, path, n);
        directory[n] = '\0';
    }
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)fsync(fd);
        close(fd);
    }
    free(directory);
}

enum sonde_status sonde_file_writer_end(struct sonde_file_writer *writer, bool commit,
                                        struct sonde_error *error)
{
    if (!writer->stream)
        return SONDE_STATUS_OK;
    const char *name = writer->path ? writer->path : "standard output";
    errno = 0;
    bool good = !ferror(writer->stream);
    int code = 0;
    if (commit || !writer->temporary)
        good = fflush(writer->stream) == 0 && good;
    if (!good)
        code = errno ? errno : EIO;
    if (!writer->path) {
        writer_free(writer);
        return code && commit ? error_errno(error, name, "cannot write", code) : SONDE_STATUS_OK;
    }
    if (good && commit && writer->temporary && fsync(fileno(writer->stream)) != 0)
        code = errno;
    if (fclose(writer->stream) != 0 && !code)
        code = errno;
    if (!code && commit && writer->temporary) {
        if (rename(writer->temporary, writer->path) != 0)
            code = errno;
        else
            sync_directory(writer->path);
    }
    if (writer->temporary && (code || !commit))
        unlink(writer->temporary);
    enum sonde_status status = SONDE_STATUS_OK;
    if (code && commit)
        status = error_errno(error, name, "cannot write", code);
    writer_free(writer);
    return status;
}

enum sonde_status sonde_file_save(const char *path, const void *data, size_t n,
                                  struct sonde_error *error)
{
    struct sonde_file_writer writer = { 0 };
    enum sonde_status status = sonde_file_writer_begin(&writer, path, error);
    if (status != SONDE_STATUS_OK)
        return status;
    /* A failed fwrite marks the stream, and end reports that. */
    if (n)
        (void)!fwrite(data, 1, n, writer.stream);
    return sonde_file_writer_end(&writer, true, error);
}

bool sonde_path_exists(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0;
}

bool sonde_path_is_directory(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

char *sonde_path_join(const char *a, const char *b)
{
    size_t n = strlen(a);
    size_t m = strlen(b);
    char *path = malloc(n + m + 2);
    if (!path)
        return NULL;
    (void)snprintf(path, n + m + 2, "%s%s%s", a, n && a[n - 1] != '/' ? "/" : "", b);
    return path;
}

const char *sonde_path_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

enum sonde_status sonde_path_make_directory(const char *path, struct sonde_error *error)
{
    char *copy = sonde_strdup(path);
    if (!copy)
        return sonde_error_memory(error, path);
    int code = copy[0] ? 0 : ENOENT;
    for (char *end = copy + 1; !code && end[-1]; end++) {
        if (*end && *end != '/')
            continue;
        char kept = *end;
        *end = '\0';
        if (mkdir(copy, 0777) != 0 && !sonde_path_is_directory(copy))
            code = errno;
        *end = kept;
    }
    free(copy);
    return code ? error_errno(error, path, "cannot make the directory", code) : SONDE_STATUS_OK;
}
