/* The SQLite extension, loaded into a plain SQLite connection as another program would. */
#include <string.h>

#include <sqlite3.h>

#include "tests/unit/storage/store_fixture.h"
#include "tests/support/check.h"

static sqlite3 *open_plain(const char *path)
{
    sqlite3 *db = NULL;
    char *message = NULL;
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 1, NULL);
    if (sqlite3_load_extension(db, getenv("SONDE_SQLITE_MODULE"), "sqlite3_extension_init",
                               &message) != SQLITE_OK)
        fail_msg("%s", message);
    return db;
}

static sqlite3_stmt *prepare(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    return statement;
}

static void expect_error(sqlite3 *db, const char *sql, const char *message)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_step(statement);
    assert_int_not_equal(code, SQLITE_ROW);
    assert_int_not_equal(code, SQLITE_DONE);
    sqlite3_finalize(statement);
    if (!strstr(sqlite3_errmsg(db), message))
        fail_msg("%s: '%s' does not say '%s'", sql, sqlite3_errmsg(db), message);
}

static double number(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *statement = prepare(db, sql);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    double value = sqlite3_column_double(statement, 0);
    sqlite3_finalize(statement);
    return value;
}

/* 3, 4 and 4, -3: lengths 5, product 0; exact in double. */
static void test_vectors(void **state)
{
    (void)state;
    sqlite3 *db = open_plain(":memory:");
    assert_true(number(db, "SELECT sonde_norm(x'0000404000008040')") == 5.0);
    assert_true(number(db, "SELECT sonde_dot(x'0000404000008040', x'00008040000040c0')") == 0.0);
    assert_true(number(db, "SELECT sonde_dot(x'0000404000008040', x'0000404000008040')") == 25.0);
    assert_true(number(db, "SELECT sonde_cosine(x'0000404000008040', x'000040c0000080c0')") ==
                -1.0);
    assert_true(number(db, "SELECT sonde_norm(NULL) IS NULL") == 1.0);
    assert_true(number(db, "SELECT sonde_dot(NULL, x'00000000') IS NULL") == 1.0);
    assert_true(number(db, "SELECT sonde_cosine(x'00000000', x'00000000') IS NULL") == 1.0);
    assert_true(number(db, "SELECT sonde_norm(x'')") == 0.0);
    expect_error(db, "SELECT sonde_norm(x'000000')", "expected a blob of f32 values");
    expect_error(db, "SELECT sonde_norm('text')", "expected a blob of f32 values");
    expect_error(db, "SELECT sonde_dot(x'00000000', x'0000000000000000')", "differ in length");
    expect_error(db, "SELECT * FROM sonde_rows('x')", "no such table: ");
    sqlite3_close(db);
}

static void check_rows(const struct fixture *f, sqlite3 *db, const char *run,
                       struct sonde_source *source)
{
    struct sonde_error error = { 0 };
    for (int64_t s = 0; s < source->n_streams; s++) {
        const struct sonde_stream *stream = &source->streams[s];
        char sql[300];
        snprintf(sql, sizeof(sql), "SELECT item, value FROM sonde_rows('%s', '%s') ORDER BY item",
                 stream->name, run);
        sqlite3_stmt *rows = prepare(db, sql);
        int64_t base = -1;
        for (int64_t i = 0; i < stream->n_rows; i++) {
            int64_t T = stream->space == SONDE_ROWS_MAP ? source->sequences[i].n_tokens : 1;
            int64_t n = stream->width * T * T;
            float *want = malloc((size_t)(n + 1) * sizeof(float));
            check_ok(stream->space == SONDE_ROWS_MAP
                         ? source->read_map(source, s, i, want, &error)
                         : source->read_rows(source, s, i, 1, want, &error),
                     &error);
            assert_int_equal(sqlite3_step(rows), SQLITE_ROW);
            base = i == 0 ? sqlite3_column_int64(rows, 0) : base;
            assert_int_equal(sqlite3_column_int64(rows, 0), base + i);
            assert_int_equal(sqlite3_column_bytes(rows, 1), n * 4);
            if (n)
                assert_memory_equal(sqlite3_column_blob(rows, 1), want, (size_t)n * 4);
            /* And the same row by its number alone. */
            snprintf(sql, sizeof(sql), "SELECT value FROM sonde_rows('%s', '%s') WHERE item = %lld",
                     stream->name, run, (long long)(base + i));
            sqlite3_stmt *one = prepare(db, sql);
            assert_int_equal(sqlite3_step(one), SQLITE_ROW);
            assert_int_equal(sqlite3_column_bytes(one, 0), n * 4);
            if (n)
                assert_memory_equal(sqlite3_column_blob(one, 0), want, (size_t)n * 4);
            assert_int_equal(sqlite3_step(one), SQLITE_DONE);
            sqlite3_finalize(one);
            free(want);
        }
        assert_int_equal(sqlite3_step(rows), SQLITE_DONE);
        sqlite3_finalize(rows);
    }
    (void)f;
}

static void test_rows(void **state)
{
    (void)state;
    struct fixture f;
    struct sonde_error error = { 0 };
    struct sonde_store *store = NULL;
    fixture_init(&f);
    fixture_add_mixture(&f);
    fixture_record(&f, "a", 9, 4);
    f.codec = SONDE_CODEC_ZLIB;
    fixture_record(&f, "b", 7, 4);
    /* An unfinished run, whose values are still in the table tail. */
    struct sonde_sink *sink = NULL;
    struct sonde_store_model model = fixture_model();
    struct sonde_run_info info = fixture_info(&f, "c", false);
    int64_t n_done = 0;
    check_ok(sonde_store_open(&store, f.path, SONDE_STORE_WRITE, &error), &error);
    check_ok(sonde_store_begin_run(store, &model, &info, f.streams, f.n_streams, 0, &sink, &n_done,
                                   &error),
             &error);
    fixture_put(&f, sink, 0, 6, 2);
    sink->abandon(sink);
    sqlite3 *db = open_plain(f.path);
    static const char *const runs[] = { "a", "b", "c" };
    for (int r = 0; r < 3; r++) {
        struct sonde_source *source = NULL;
        check_ok(sonde_store_open_source(store, runs[r], 0, &source, &error), &error);
        assert_true(source->n_tokens > 0);
        check_rows(&f, db, runs[r], source);
        source->destroy(&source);
    }
    /* Joined with a view, by the stream's id. */
    assert_true(number(db, "SELECT count(*) = (SELECT count(*) FROM tokens WHERE run = 'a')"
                           " FROM sonde_rows(1) AS r JOIN tokens AS t ON t.token = r.item") == 1.0);
    assert_true(number(db, "SELECT count(*) FROM sonde_rows('hook_embed', 'a') WHERE item = -1") ==
                0.0);
    expect_error(db, "SELECT * FROM sonde_rows('none')", "sonde_rows: no stream 'none'");
    expect_error(db, "SELECT * FROM sonde_rows('hook_embed')", "name the run, too");
    expect_error(db, "SELECT * FROM sonde_rows", "sonde_rows: name a stream");
    sqlite3_close(db);
    sonde_store_close(&store);
    fixture_finish(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_rows),
    };
    return cmocka_run_group_tests_name("extension", tests, NULL, NULL);
}
