/*
 * Makes the nth call of an allocator or of a file operation fail.
 *
 * A test executable that links fault_inject.c with fault_link_args (tests/fault/meson.build) has
 * the calls of its own objects and of Sonde's static libraries go through here (the linker's
 * --wrap). Shared libraries are not reached that way: hand them fault_malloc and its kin where they
 * allow it (jansson, SQLite).
 *
 * One operation at a time: the state is the executable's.
 */
#ifndef SONDE_TESTS_FAULT_FAULT_INJECT_H
#define SONDE_TESTS_FAULT_FAULT_INJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"

enum fault_kind {
    FAULT_MEMORY = 1, /* malloc, calloc, realloc, aligned_alloc, posix_memalign, strdup */
    FAULT_READ = 2,   /* open for reading, read, pread, fstat, mmap */
    FAULT_WRITE =
        4, /* open for writing, write, pwrite, fflush, fsync, fclose, fdopen, rename, ... */
    FAULT_THREAD = 8, /* pthread_create */
};

/* Counts calls of the kinds (or-ed) from now on; the nth (1 is the first) fails, and with `lasting`
 * all later ones too. n 0 = none fails. */
void fault_arm(unsigned kinds, int64_t n, bool lasting);
/* Ends that; returns the number of calls counted. */
int64_t fault_disarm(void);

/* Counts a call of the kind; true = it must fail. For callbacks that a library is given. */
bool fault_now(enum fault_kind kind);
void *fault_malloc(size_t size);
void *fault_realloc(void *data, size_t size);
void fault_free(void *data);

/* Blocks allocated through here that are not freed, and open file descriptors. */
int64_t fault_live_blocks(void);
int fault_open_files(void);

struct fault_report {
    int64_t n_calls;     /* calls in a run in which nothing fails */
    int64_t n_tolerated; /* of these, how many may fail and the operation still succeeds */
};

/*
 * Runs the operation once undisturbed (it must succeed), then once for each call with that call
 * failing, alone and lastingly. Fails the test where a failing run leaks memory or a file
 * descriptor, or gives a status without a message. `after` (may be NULL) is called behind every run
 * to check what the run left behind.
 */
struct fault_report fault_each(unsigned kinds,
                               enum sonde_status (*operation)(void *ctx, struct sonde_error *error),
                               void (*after)(void *ctx, enum sonde_status status), void *ctx);

/* The same for operations of very many calls: about at_most of them, spread evenly, and each call's
 * failure either alone or lasting, in turn. */
struct fault_report fault_some(unsigned kinds, int64_t at_most,
                               enum sonde_status (*operation)(void *ctx, struct sonde_error *error),
                               void (*after)(void *ctx, enum sonde_status status), void *ctx);

#endif
