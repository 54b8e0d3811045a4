/* The system tells of a failed write to the disk once. Where it tells the thread that flushes ahead
 * of the commits, no commit may follow: SQLite's own sync would then be told that all is well. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

#include "storage/store.h"
#include "tests/support/check.h"
#include "tests/unit/storage/store_fixture.h"

/* 16 MiB: a flush is asked for with the last chunk, when only the commit is to come. */
enum { N_TOKENS = 1024, WIDTH = 4096 };

/* Lies behind the file's own memory; `own` is what SQLite calls. */
struct watched {
    const sqlite3_io_methods *base;
    sqlite3_io_methods own;
};

/* Fails what only the flushing thread asks for. SQLite syncs the whole of a database file. */
static int fail_flush(sqlite3_file *file, int flags)
{
    const char *own = (const char *)file->pMethods;
    const struct watched *watched = (const void *)(own - offsetof(struct watched, own));
    return flags & SQLITE_SYNC_DATAONLY ? SQLITE_IOERR_FSYNC : watched->base->xSync(file, flags);
}

static int open_watched(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out)
{
    sqlite3_vfs *base = vfs->pAppData;
    int code = base->xOpen(base, name, file, flags, out);
    if (code != SQLITE_OK || !(flags & SQLITE_OPEN_MAIN_DB))
        return code;
    struct watched *watched = (void *)((char *)file + base->szOsFile);
    *watched = (struct watched){ .base = file->pMethods, .own = *file->pMethods };
    watched->own.xSync = fail_flush;
    file->pMethods = &watched->own;
    return SQLITE_OK;
}

static enum sonde_status begin(const struct fixture *f, bool resume, struct sonde_store **store,
                               struct sonde_sink **sink, int64_t *n_done, struct sonde_error *error)
{
    struct sonde_store_model model = fixture_model();
    struct sonde_run_info info = fixture_info(f, "run", resume);
    enum sonde_status status = sonde_store_open(store, f->path, SONDE_STORE_CREATE, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_store_begin_run(*store, &model, &info, f->streams, f->n_streams, 0, sink,
                                       n_done, error);
    return status;
}

static enum sonde_status put_much(struct sonde_sink *sink, struct sonde_error *error)
{
    struct sonde_token *tokens = calloc(N_TOKENS, sizeof(*tokens));
    float *values = calloc((size_t)N_TOKENS * WIDTH, sizeof(*values));
    assert_true(tokens && values);
    for (int i = 0; i < N_TOKENS; i++)
        tokens[i] = (struct sonde_token){ .id = 1, .position = i, .begin = -1, .text = "t" };
    struct sonde_sequence sequence = { .text = "", .n_tokens = N_TOKENS, .tokens = tokens };
    struct sonde_record record = { .value = values, .n_values = (int64_t)N_TOKENS * WIDTH };
    enum sonde_status status = sink->put(sink, &sequence, &record, error);
    free(tokens);
    free(values);
    return status;
}

static void expect_nothing_committed(bool commits)
{
    struct fixture f;
    struct sonde_store *store = NULL;
    struct sonde_sink *sink = NULL;
    struct sonde_error error = { 0 };
    int64_t n_done = 0;
    sqlite3_vfs *base = sqlite3_vfs_find(NULL), vfs = *base;
    vfs.zName = "watched";
    vfs.pAppData = base;
    vfs.szOsFile += (int)sizeof(struct watched);
    vfs.xOpen = open_watched;
    fixture_init(&f);
    fixture_add(&f, "x", SONDE_ROWS_TOKEN, SONDE_DTYPE_F32, WIDTH, 0);
    assert_int_equal(sqlite3_vfs_register(&vfs, 1), SQLITE_OK);
    check_ok(begin(&f, false, &store, &sink, &n_done, &error), &error);
    check_ok(put_much(sink, &error), &error);
    enum sonde_status status = commits ? sink->commit(sink, &error) : SONDE_STATUS_OK;
    if (status == SONDE_STATUS_OK)
        status = sink->finish(sink, &error);
    else
        sink->abandon(sink);
    assert_int_equal(status, SONDE_STATUS_IO);
    assert_non_null(strstr(error.text, "writing to the disk failed"));
    sonde_store_close(&store);
    assert_int_equal(sqlite3_vfs_unregister(&vfs), SQLITE_OK);
    assert_int_equal(sqlite3_vfs_register(base, 1), SQLITE_OK);
    check_ok(begin(&f, true, &store, &sink, &n_done, &error), &error);
    assert_int_equal(n_done, 0);
    sink->abandon(sink);
    sonde_store_close(&store);
    fixture_finish(&f);
}

static void no_commit_follows_a_failed_flush(void **state)
{
    (void)state;
    expect_nothing_committed(true);
    expect_nothing_committed(false);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(no_commit_follows_a_failed_flush) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
