#include "tests/fault/fault_inject.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/check.h"

#define LIVE_SLOTS ((size_t)1 << 20)

static struct {
    pthread_mutex_t mutex;
    unsigned kinds;
    int64_t n, calls;
    bool lasting;
    void *live[LIVE_SLOTS]; /* open addressing; GONE marks a freed slot */
    int64_t n_live;
} faults = { .mutex = PTHREAD_MUTEX_INITIALIZER };

static char gone_mark;
#define GONE ((void *)&gone_mark)

void fault_arm(unsigned kinds, int64_t n, bool lasting)
{
    pthread_mutex_lock(&faults.mutex);
    faults.kinds = kinds;
    faults.n = n;
    faults.calls = 0;
    faults.lasting = lasting;
    pthread_mutex_unlock(&faults.mutex);
}

int64_t fault_disarm(void)
{
    pthread_mutex_lock(&faults.mutex);
    int64_t calls = faults.calls;
    faults.kinds = 0;
    pthread_mutex_unlock(&faults.mutex);
    return calls;
}

bool fault_now(enum fault_kind kind)
{
    pthread_mutex_lock(&faults.mutex);
    bool fails = false;
    if (faults.kinds & (unsigned)kind) {
        faults.calls++;
        fails =
            faults.n > 0 && (faults.lasting ? faults.calls >= faults.n : faults.calls == faults.n);
    }
    pthread_mutex_unlock(&faults.mutex);
    return fails;
}

/* true = an I/O call fails, with errno set to what a full or broken disk gives. */
static bool fail_io(enum fault_kind kind)
{
    if (!fault_now(kind))
        return false;
    errno = kind == FAULT_WRITE ? ENOSPC : EIO;
    return true;
}

static size_t slot_of(const void *data)
{
    uint64_t hash = (uint64_t)(uintptr_t)data * 0x9E3779B97F4A7C15u;
    return (size_t)(hash >> 44) % LIVE_SLOTS;
}

static void *note(void *data)
{
    if (!data)
        return NULL;
    pthread_mutex_lock(&faults.mutex);
    size_t slot = slot_of(data);
    while (faults.live[slot] && faults.live[slot] != GONE)
        slot = (slot + 1) % LIVE_SLOTS;
    faults.live[slot] = data;
    faults.n_live++;
    pthread_mutex_unlock(&faults.mutex);
    return data;
}

/* Blocks that a library allocated are not known here, and may be freed all the same. */
static void forget(const void *data)
{
    if (!data)
        return;
    pthread_mutex_lock(&faults.mutex);
    for (size_t slot = slot_of(data); faults.live[slot]; slot = (slot + 1) % LIVE_SLOTS) {
        if (faults.live[slot] == data) {
            faults.live[slot] = GONE;
            faults.n_live--;
            break;
        }
    }
    pthread_mutex_unlock(&faults.mutex);
}

int64_t fault_live_blocks(void)
{
    pthread_mutex_lock(&faults.mutex);
    int64_t n = faults.n_live;
    pthread_mutex_unlock(&faults.mutex);
    return n;
}

int fault_open_files(void)
{
    DIR *directory = opendir("/proc/self/fd");
    int n = 0;
    while (directory && readdir(directory))
        n++;
    if (directory)
        closedir(directory);
    return n;
}

/* The linker gives these names: __wrap_x takes the calls of x, __real_x is x. */
#define WRAP(type, name, ...)                                                                      \
    type __real_##name(__VA_ARGS__);                                                               \
    type __wrap_##name(__VA_ARGS__);                                                               \
    type __wrap_##name(__VA_ARGS__)

WRAP(void *, malloc, size_t size)
{
    return fault_now(FAULT_MEMORY) ? NULL : note(__real_malloc(size));
}

WRAP(void *, calloc, size_t count, size_t size)
{
    return fault_now(FAULT_MEMORY) ? NULL : note(__real_calloc(count, size));
}

WRAP(void *, aligned_alloc, size_t alignment, size_t size)
{
    return fault_now(FAULT_MEMORY) ? NULL : note(__real_aligned_alloc(alignment, size));
}

WRAP(int, posix_memalign, void **out, size_t alignment, size_t size)
{
    if (fault_now(FAULT_MEMORY))
        return ENOMEM;
    int code = __real_posix_memalign(out, alignment, size);
    if (code == 0)
        note(*out);
    return code;
}

WRAP(char *, strdup, const char *text)
{
    return fault_now(FAULT_MEMORY) ? NULL : note(__real_strdup(text));
}

WRAP(void *, realloc, void *data, size_t size)
{
    if (fault_now(FAULT_MEMORY))
        return NULL;
    /* Forgotten first: once it is moved another thread may be given the old address. */
    forget(data);
    void *moved = __real_realloc(data, size);
    return note(moved ? moved : data) == moved ? moved : NULL;
}

WRAP(void, free, void *data)
{
    forget(data);
    __real_free(data);
}

void *fault_malloc(size_t size)
{
    return __wrap_malloc(size);
}

void *fault_realloc(void *data, size_t size)
{
    return __wrap_realloc(data, size);
}

void fault_free(void *data)
{
    __wrap_free(data);
}

static enum fault_kind open_kind(int flags)
{
    return (flags & O_ACCMODE) == O_RDONLY ? FAULT_READ : FAULT_WRITE;
}

/* Programs with 64-bit file offsets call the names with 64. */
#define WRAP_OPEN(name)                                                                            \
    WRAP(int, name, const char *path, int flags, int mode)                                         \
    {                                                                                              \
        return fail_io(open_kind(flags)) ? -1 : __real_##name(path, flags, mode);                  \
    }
WRAP_OPEN(open)
WRAP_OPEN(open64)

#define WRAP_TRANSFER(name, kind, pointer)                                                         \
    WRAP(ssize_t, name, int fd, pointer data, size_t n, off_t offset)                              \
    {                                                                                              \
        return fail_io(kind) ? -1 : __real_##name(fd, data, n, offset);                            \
    }
WRAP_TRANSFER(pread, FAULT_READ, void *)
WRAP_TRANSFER(pread64, FAULT_READ, void *)
WRAP_TRANSFER(pwrite, FAULT_WRITE, const void *)
WRAP_TRANSFER(pwrite64, FAULT_WRITE, const void *)

WRAP(ssize_t, read, int fd, void *data, size_t n)
{
    return fail_io(FAULT_READ) ? -1 : __real_read(fd, data, n);
}

WRAP(ssize_t, write, int fd, const void *data, size_t n)
{
    return fail_io(FAULT_WRITE) ? -1 : __real_write(fd, data, n);
}

#define WRAP_MMAP(name)                                                                            \
    WRAP(void *, name, void *at, size_t n, int protection, int flags, int fd, off_t offset)        \
    {                                                                                              \
        return fail_io(FAULT_READ) ? MAP_FAILED                                                    \
                                   : __real_##name(at, n, protection, flags, fd, offset);          \
    }
WRAP_MMAP(mmap)
WRAP_MMAP(mmap64)

#define WRAP_FSTAT(name)                                                                           \
    WRAP(int, name, int fd, struct stat *info)                                                     \
    {                                                                                              \
        return fail_io(FAULT_READ) ? -1 : __real_##name(fd, info);                                 \
    }
WRAP_FSTAT(fstat)
WRAP_FSTAT(fstat64)

WRAP(int, fsync, int fd)
{
    return fail_io(FAULT_WRITE) ? -1 : __real_fsync(fd);
}

WRAP(int, rename, const char *from, const char *to)
{
    return fail_io(FAULT_WRITE) ? -1 : __real_rename(from, to);
}

WRAP(int, mkdir, const char *path, mode_t mode)
{
    return fail_io(FAULT_WRITE) ? -1 : __real_mkdir(path, mode);
}

WRAP(FILE *, fdopen, int fd, const char *mode)
{
    return fail_io(FAULT_WRITE) ? NULL : __real_fdopen(fd, mode);
}

WRAP(int, fflush, FILE *stream)
{
    return fail_io(FAULT_WRITE) ? EOF : __real_fflush(stream);
}

/* A failing fclose has closed the stream. */
WRAP(int, fclose, FILE *stream)
{
    bool fails = fail_io(FAULT_WRITE);
    int code = errno;
    int result = __real_fclose(stream);
    if (!fails)
        return result;
    errno = code;
    return EOF;
}

WRAP(int, pthread_create, pthread_t *thread, const pthread_attr_t *attributes,
     void *(*start)(void *), void *argument)
{
    if (fault_now(FAULT_THREAD))
        return EAGAIN;
    return __real_pthread_create(thread, attributes, start, argument);
}

/* One run with the nth call failing; returns its status. */
static enum sonde_status
run_failing(unsigned kinds, int64_t n, bool lasting,
            enum sonde_status (*operation)(void *ctx, struct sonde_error *error), void *ctx)
{
    int64_t blocks = fault_live_blocks();
    int files = fault_open_files();
    struct sonde_error error = { 0 };
    fault_arm(kinds, n, lasting);
    enum sonde_status status = operation(ctx, &error);
    fault_disarm();
    if (status != SONDE_STATUS_OK && (error.status != status || !error.text[0]))
        fail_msg("call %lld fails with status \"%s\", but the error says \"%s\": \"%s\"",
                 (long long)n, sonde_status_name(status), sonde_status_name(error.status),
                 error.text);
    if (fault_live_blocks() != blocks)
        fail_msg("call %lld fails%s: %lld blocks leak", (long long)n, lasting ? " lastingly" : "",
                 (long long)(fault_live_blocks() - blocks));
    if (fault_open_files() != files)
        fail_msg("call %lld fails%s: a file stays open", (long long)n, lasting ? " lastingly" : "");
    return status;
}

static int64_t count_calls(unsigned kinds,
                           enum sonde_status (*operation)(void *ctx, struct sonde_error *error),
                           void (*after)(void *ctx, enum sonde_status status), void *ctx)
{
    struct sonde_error error = { 0 };
    int64_t n_calls = 0;
    /* The first of the two runs warms up what libraries keep for good. */
    for (int i = 0; i < 2; i++) {
        fault_arm(kinds, 0, false);
        enum sonde_status status = operation(ctx, &error);
        n_calls = fault_disarm();
        check_ok(status, &error);
        if (after)
            after(ctx, status);
    }
    return n_calls;
}

struct fault_report fault_each(unsigned kinds,
                               enum sonde_status (*operation)(void *ctx, struct sonde_error *error),
                               void (*after)(void *ctx, enum sonde_status status), void *ctx)
{
    struct fault_report report = { .n_calls = count_calls(kinds, operation, after, ctx) };
    for (int64_t run = 0; run < 2 * report.n_calls; run++) {
        bool lasting = run % 2;
        enum sonde_status status = run_failing(kinds, run / 2 + 1, lasting, operation, ctx);
        if (status == SONDE_STATUS_OK && !lasting)
            report.n_tolerated++;
        if (after)
            after(ctx, status);
    }
    return report;
}

struct fault_report fault_some(unsigned kinds, int64_t at_most,
                               enum sonde_status (*operation)(void *ctx, struct sonde_error *error),
                               void (*after)(void *ctx, enum sonde_status status), void *ctx)
{
    struct fault_report report = { .n_calls = count_calls(kinds, operation, after, ctx) };
    int64_t step = report.n_calls / at_most + 1;
    for (int64_t n = 1, run = 0; n <= report.n_calls; n += step, run++) {
        enum sonde_status status = run_failing(kinds, n, run % 2, operation, ctx);
        if (status == SONDE_STATUS_OK)
            report.n_tolerated++;
        if (after)
            after(ctx, status);
    }
    return report;
}
