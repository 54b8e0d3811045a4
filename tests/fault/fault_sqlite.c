#include "tests/fault/fault_sqlite.h"

#include <fcntl.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sqlite3.h>

#include "tests/fault/fault_inject.h"
#include "tests/support/check.h"

static void *allocate(int n)
{
    return fault_malloc((size_t)n);
}

static void *reallocate(void *data, int n)
{
    return fault_realloc(data, (size_t)n);
}

static int size_of(void *data)
{
    return (int)malloc_usable_size(data);
}

static int round_up(int n)
{
    return (n + 7) & ~7;
}

static int start(void *data)
{
    (void)data;
    return SQLITE_OK;
}

static void stop(void *data)
{
    (void)data;
}

/* The names that os_unix.c gives to the calls it makes, and ours, which the linker has wrapped. */
static void install_calls(sqlite3_vfs *vfs)
{
    const struct {
        const char *name;
        sqlite3_syscall_ptr call;
    } calls[] = {
        { "open", (sqlite3_syscall_ptr)open },
        { "fstat", (sqlite3_syscall_ptr)fstat },
        { "read", (sqlite3_syscall_ptr)read },
        { "pread", (sqlite3_syscall_ptr)pread },
        { "pread64", (sqlite3_syscall_ptr)pread },
        { "write", (sqlite3_syscall_ptr)write },
        { "pwrite", (sqlite3_syscall_ptr)pwrite },
        { "pwrite64", (sqlite3_syscall_ptr)pwrite },
        { "ftruncate", (sqlite3_syscall_ptr)ftruncate },
    };
    int n_set = 0;
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
        n_set += vfs->xSetSystemCall(vfs, calls[i].name, calls[i].call) == SQLITE_OK;
    assert_true(n_set >= 6);
}

void fault_sqlite_install(void)
{
    const sqlite3_mem_methods methods = { allocate, fault_free, reallocate, size_of,
                                          round_up, start,      stop,       NULL };
    assert_int_equal(sqlite3_config(SQLITE_CONFIG_MALLOC, &methods), SQLITE_OK);
    /* Without its pool of small blocks every allocation is seen. */
    assert_int_equal(sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0), SQLITE_OK);
    assert_int_equal(sqlite3_initialize(), SQLITE_OK);
    install_calls(sqlite3_vfs_find(NULL));
}
