/* Allocations and file operations fail while a finished store is labelled, added to and checked:
 * the store has all of a change or nothing of it. And a disk that is full in the middle of a run.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/unit/storage/store_fixture.h"
#include "tests/fault/fault_inject.h"
#include "tests/fault/fault_sqlite.h"
#include "tests/support/check.h"

enum { N_SEQUENCES = 6, N_TRIED = 150 };

struct place {
    struct fixture fixture;
    char before[65], after[65]; /* digests without and with the change */
    enum sonde_status (*change)(struct place *place, struct sonde_store *store,
                                struct sonde_error *error);
    char undo[400]; /* shell command that brings the store of `before` back */
};

static enum sonde_status add_labels(struct place *place, struct sonde_store *store,
                                    struct sonde_error *error)
{
    struct sonde_label_writer *w = NULL;
    char name[32];
    (void)place;
    enum sonde_status status = sonde_store_label_begin(store, "a", "set", SONDE_LABEL_CLASS,
                                                       SONDE_ROWS_TOKEN, "x", true, &w, error);
    for (int i = 0; i < 40 && status == SONDE_STATUS_OK; i++) {
        snprintf(name, sizeof(name), "class %d", i);
        status = sonde_store_label_class(w, i, name, error);
    }
    if (status == SONDE_STATUS_OK)
        return sonde_store_label_commit(&w, NULL, error);
    sonde_store_label_abandon(&w);
    return status;
}

static enum sonde_status add_sql(struct place *place, struct sonde_store *store,
                                 struct sonde_error *error)
{
    int64_t n = 0;
    (void)place;
    return sonde_store_label_sql(store, "a", "set", "SELECT token, text AS value FROM tokens", true,
                                 &n, error);
}

static enum sonde_status add_import(struct place *place, struct sonde_store *store,
                                    struct sonde_error *error)
{
    struct sonde_import_row rows[N_SEQUENCES * 24];
    float data[N_SEQUENCES * 24] = { 0 };
    int64_t n = 0;
    for (int64_t i = 0; i < N_SEQUENCES; i++)
        for (int64_t t = 0; t < fixture_tokens(&place->fixture, i); t++)
            rows[n++] = (struct sonde_import_row){ .sequence = i, .position = t, .id = -1 };
    const struct sonde_import import = { .run = "a",
                                         .stream = "elsewhere",
                                         .dtype = SONDE_DTYPE_F32,
                                         .data = data,
                                         .n_rows = n,
                                         .width = 1,
                                         .row = rows,
                                         .codec = SONDE_CODEC_ZLIB,
                                         .origin = "x" };
    return sonde_store_import(store, &import, error);
}

static enum sonde_status change_store(void *ctx, struct sonde_error *error)
{
    struct place *place = ctx;
    struct sonde_store *store = NULL;
    enum sonde_status status =
        sonde_store_open(&store, place->fixture.path, SONDE_STORE_WRITE, error);
    if (status == SONDE_STATUS_OK)
        status = place->change(place, store, error);
    sonde_store_close(&store);
    return status;
}

static void all_or_nothing(void *ctx, enum sonde_status status)
{
    struct place *place = ctx;
    char digest[65];
    fixture_digest(place->fixture.path, digest);
    /* A commit that could not say that it was done may have been done. */
    if (status == SONDE_STATUS_OK || strcmp(digest, place->before) != 0)
        assert_string_equal(digest, place->after);
    assert_int_equal(fixture_check(place->fixture.path, true, NULL), 0);
    assert_int_equal(system(place->undo), 0);
}

static enum sonde_status check_store(void *ctx, struct sonde_error *error)
{
    struct place *place = ctx;
    struct sonde_store *store = NULL;
    struct sonde_store_runs runs = { 0 };
    struct sonde_store_label_set *sets = NULL;
    int64_t n_problems = 0, n_chunks = 0, n_sets = 0;
    enum sonde_status status = sonde_store_check(place->fixture.path, true, NULL, NULL, NULL,
                                                 &n_problems, &n_chunks, error);
    if (status == SONDE_STATUS_OK && n_problems > 0)
        status = sonde_error_set(error, SONDE_STATUS_FORMAT, "damage where there is none");
    if (status == SONDE_STATUS_OK)
        status = sonde_store_open(&store, place->fixture.path, SONDE_STORE_READ, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_store_list_runs(store, &runs, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_store_list_labels(store, 1, &sets, &n_sets, error);
    sonde_store_labels_finish(&sets, n_sets);
    sonde_store_runs_finish(&runs);
    sonde_store_close(&store);
    return status;
}

static int setup(void **state)
{
    struct place *place = calloc(1, sizeof(*place));
    struct fixture *f = &place->fixture;
    fixture_init(f);
    fixture_add(f, "hook_embed", SONDE_ROWS_TOKEN, SONDE_DTYPE_F32, 4, 0);
    fixture_add(f, "blocks.0.attn.hook_pattern", SONDE_ROWS_MAP, SONDE_DTYPE_F16, 1, 0);
    fixture_record(f, "a", N_SEQUENCES, 2);
    fixture_digest(f->path, place->before);
    snprintf(place->undo, sizeof(place->undo), "cd '%s' && rm -f x.db-journal && cp safe.db x.db",
             f->folder);
    char command[400];
    snprintf(command, sizeof(command), "cd '%s' && cp x.db safe.db", f->folder);
    *state = place;
    return system(command);
}

static int teardown(void **state)
{
    struct place *place = *state;
    fixture_finish(&place->fixture);
    free(place);
    return 0;
}

static void try_change(struct place *place,
                       enum sonde_status (*change)(struct place *, struct sonde_store *,
                                                   struct sonde_error *))
{
    struct sonde_error error = { 0 };
    place->change = change;
    check_ok(change_store(place, &error), &error);
    fixture_digest(place->fixture.path, place->after);
    assert_string_not_equal(place->before, place->after);
    assert_int_equal(system(place->undo), 0);
    struct fault_report report =
        fault_some(FAULT_MEMORY, N_TRIED, change_store, all_or_nothing, place);
    assert_true(report.n_calls > 50 && report.n_tolerated < report.n_calls / 2);
    report = fault_some(FAULT_READ | FAULT_WRITE, N_TRIED, change_store, all_or_nothing, place);
    assert_true(report.n_calls > 10 && report.n_tolerated < report.n_calls);
}

static void labelling_is_whole(void **state)
{
    try_change(*state, add_labels);
}

static void sql_is_whole(void **state)
{
    try_change(*state, add_sql);
}

static void importing_is_whole(void **state)
{
    try_change(*state, add_import);
}

static void checking_survives(void **state)
{
    struct fault_report report = fault_some(FAULT_MEMORY, N_TRIED, check_store, NULL, *state);
    assert_true(report.n_calls > 50 && report.n_tolerated < report.n_calls / 2);
}

/* The file may not grow over a limit that moves: every step of a run meets the full disk once. */
static void full_disk(void **state)
{
    struct place *place = *state;
    struct fixture *f = &place->fixture;
    struct rlimit before, limit;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    fixture_add(f, "blocks.1.hook_resid_post", SONDE_ROWS_TOKEN, SONDE_DTYPE_F32, 5000, 0);
    for (int64_t pages = 15; pages < 60; pages += 4) {
        struct sonde_error error = { 0 };
        struct sonde_store *store = NULL;
        struct sonde_sink *sink = NULL;
        struct sonde_store_model model = fixture_model();
        struct sonde_run_info info = fixture_info(f, "a", true);
        int64_t n_done = 0;
        unlink(f->path);
        limit = before;
        limit.rlim_cur = (rlim_t)pages * 65536;
        setrlimit(RLIMIT_FSIZE, &limit);
        enum sonde_status status = sonde_store_open(&store, f->path, SONDE_STORE_CREATE, &error);
        if (status == SONDE_STATUS_OK)
            status = sonde_store_begin_run(store, &model, &info, f->streams, f->n_streams, 0, &sink,
                                           &n_done, &error);
        for (int64_t i = 0; i < 10 && status == SONDE_STATUS_OK; i++) {
            status = fixture_put_one(f, sink, i, &error);
            if (status == SONDE_STATUS_OK && i % 2)
                status = sink->commit(sink, &error);
        }
        if (sink && status == SONDE_STATUS_OK)
            status = sink->finish(sink, &error);
        else if (sink)
            sink->abandon(sink);
        sonde_store_close(&store);
        setrlimit(RLIMIT_FSIZE, &before);
        if (status != SONDE_STATUS_OK) {
            assert_int_equal(status, SONDE_STATUS_IO);
            assert_non_null(strstr(error.text, f->path));
        }
        /* There is room again: the run goes on from its last commit. */
        check_ok(sonde_store_open(&store, f->path, SONDE_STORE_CREATE, &error), &error);
        check_ok(sonde_store_begin_run(store, &model, &info, f->streams, f->n_streams, 0, &sink,
                                       &n_done, &error),
                 &error);
        if (sink) {
            fixture_put(f, sink, n_done, 10, 2);
            check_ok(sink->finish(sink, &error), &error);
        }
        sonde_store_close(&store);
        fixture_verify(f, "a", 10);
    }
    signal(SIGXFSZ, SIG_DFL);
}

int main(void)
{
    fault_sqlite_install();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(labelling_is_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(sql_is_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(importing_is_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(checking_survives, setup, teardown),
        cmocka_unit_test_setup_teardown(full_disk, setup, teardown),
    };
    return cmocka_run_group_tests_name("fault labels", tests, NULL, NULL);
}
