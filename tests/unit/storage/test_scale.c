/*
 * Nothing is quadratic: with twice as many sequences, chunks, labels or runs, SQLite executes about
 * twice as many steps of its programs. Steps are counted, not time, so that the answer does not
 * depend on the machine. And a store of an older schema version is read as it is, and upgraded.
 */
#include <stdlib.h>
#include <string.h>

#include "storage/db.h"
#include "tests/support/check.h"
#include "tests/unit/storage/store_fixture.h"

enum { STEPS_A_CALL = 16, N_SIZES = 3 };

static int count_step(void *ctx)
{
    int64_t *steps = ctx;
    *steps += STEPS_A_CALL;
    return 0;
}

static struct sonde_store *open_counted(const struct fixture *f, enum sonde_store_mode mode,
                                        int64_t *steps)
{
    struct sonde_error error = { 0 };
    struct sonde_store *store = NULL;
    check_ok(sonde_store_open(&store, f->path, mode, &error), &error);
    *steps = 0;
    sqlite3_progress_handler(store->db, STEPS_A_CALL, count_step, steps);
    return store;
}

/* Twice the work may take twice the steps and a little; four times is quadratic. */
static void expect_linear(const char *what, const int64_t steps[N_SIZES])
{
    print_message("# %s: %lld, %lld, %lld steps\n", what, (long long)steps[0], (long long)steps[1],
                  (long long)steps[2]);
    for (int i = 1; i < N_SIZES; i++)
        assert_true(steps[i] < 2 * steps[i - 1] + steps[i - 1] / 3 + 2000);
}

/* n sequences of one token with one value, and a commit for every 50 of them. */
static void record(const struct fixture *f, const char *name, int64_t n, int64_t *steps)
{
    struct sonde_error error = { 0 };
    struct sonde_sink *sink = NULL;
    int64_t n_done = 0;
    struct sonde_store_model model = fixture_model();
    struct sonde_run_info info = fixture_info(f, name, false);
    struct sonde_store *store = open_counted(f, SONDE_STORE_CREATE, steps);
    check_ok(sonde_store_begin_run(store, &model, &info, f->streams, f->n_streams, 0, &sink,
                                   &n_done, &error),
             &error);
    struct sonde_token token = { .id = 7, .begin = 0, .end = 1, .text = "w" };
    float value[64] = { 0 };
    for (int64_t i = 0; i < n; i++) {
        struct sonde_sequence sequence = {
            .source = i, .text = "w", .n_tokens = 1, .tokens = &token
        };
        struct sonde_record record = { value, f->streams[0].width };
        value[0] = (float)i;
        check_ok(sink->put(sink, &sequence, &record, &error), &error);
        if (i % 50 == 49)
            check_ok(sink->commit(sink, &error), &error);
    }
    check_ok(sink->finish(sink, &error), &error);
    sonde_store_close(&store);
}

static void read_all(const struct fixture *f, const char *run, int64_t *steps)
{
    struct sonde_error error = { 0 };
    struct sonde_source *source = NULL;
    float value[64];
    struct sonde_store *store = open_counted(f, SONDE_STORE_READ, steps);
    check_ok(sonde_store_open_source(store, run, 0, &source, &error), &error);
    for (int64_t i = 0; i < source->n_tokens; i++) {
        check_ok(source->read_rows(source, 0, i, 1, value, &error), &error);
        assert_true(value[0] == (float)i);
        assert_string_equal(source->token_text(source, i), "w");
    }
    source->destroy(&source);
    sonde_store_close(&store);
}

static void label_all(const struct fixture *f, const char *set, int64_t n, int64_t *steps)
{
    struct sonde_error error = { 0 };
    struct sonde_source *source = NULL;
    struct sonde_label_writer *w = NULL;
    const struct sonde_labels *labels = NULL;
    int64_t n_labelled = 0;
    char name[32];
    struct sonde_store *store = open_counted(f, SONDE_STORE_WRITE, steps);
    check_ok(sonde_store_label_begin(store, NULL, set, SONDE_LABEL_CLASS, SONDE_ROWS_TOKEN, "",
                                     false, &w, &error),
             &error);
    for (int64_t i = 0; i < n; i++) {
        snprintf(name, sizeof(name), "c%d", (int)(i % 200));
        check_ok(sonde_store_label_class(w, i, name, &error), &error);
    }
    check_ok(sonde_store_label_commit(&w, &n_labelled, &error), &error);
    assert_int_equal(n_labelled, n);
    check_ok(sonde_store_label_sql(store, NULL, "by-sql", "SELECT token, id FROM tokens", false,
                                   &n_labelled, &error),
             &error);
    assert_int_equal(n_labelled, n);
    check_ok(sonde_store_open_source(store, NULL, 0, &source, &error), &error);
    check_ok(source->labels(source, set, &labels, &error), &error);
    source->destroy(&source);
    sonde_store_close(&store);
}

static void list_all(const struct fixture *f, int64_t *steps)
{
    struct sonde_error error = { 0 };
    struct sonde_store_runs runs = { 0 };
    struct sonde_store_label_set *sets = NULL;
    int64_t n = 0;
    struct sonde_store *store = open_counted(f, SONDE_STORE_READ, steps);
    check_ok(sonde_store_list_runs(store, &runs, &error), &error);
    check_ok(sonde_store_list_labels(store, 1, &sets, &n, &error), &error);
    sonde_store_labels_finish(&sets, n);
    sonde_store_runs_finish(&runs);
    sonde_store_close(&store);
}

static void test_sequences(void **state)
{
    (void)state;
    int64_t put[N_SIZES], get[N_SIZES], label[N_SIZES], list[N_SIZES];
    for (int k = 0; k < N_SIZES; k++) {
        struct fixture f;
        int64_t n = 1000 << k;
        fixture_init(&f);
        fixture_add(&f, "hook_embed", SONDE_ROWS_TOKEN, SONDE_DTYPE_F32, 1, 0);
        record(&f, "a", n, &put[k]);
        read_all(&f, "a", &get[k]);
        label_all(&f, "l", n, &label[k]);
        list_all(&f, &list[k]);
        fixture_finish(&f);
    }
    expect_linear("record n sequences", put);
    expect_linear("read n sequences", get);
    expect_linear("label n tokens", label);
    expect_linear("list runs and labels of n", list);
}

/* sonde_store_check opens a connection of its own: every new one gets the handler. */
static int64_t check_steps;

static int count_connection(sqlite3 *db, char **message, const void *api)
{
    (void)message;
    (void)api;
    sqlite3_progress_handler(db, STEPS_A_CALL, count_step, &check_steps);
    return SQLITE_OK;
}

static int64_t count_check(const struct fixture *f)
{
    char text[1024];
    check_steps = 0;
    assert_int_equal(sqlite3_auto_extension((void (*)(void))count_connection), SQLITE_OK);
    assert_int_equal(fixture_check(f->path, true, text), 0);
    sqlite3_reset_auto_extension();
    assert_true(check_steps > 0);
    return check_steps;
}

/* The n-th run costs what the first did; listing and checking all of them is linear. */
static void test_runs(void **state)
{
    (void)state;
    struct fixture f;
    int64_t first = 0, last = 0, steps[N_SIZES], check[N_SIZES];
    char name[32];
    int n = 0;
    fixture_init(&f);
    fixture_add(&f, "hook_embed", SONDE_ROWS_TOKEN, SONDE_DTYPE_F32, 1, 0);
    for (int k = 0; k < N_SIZES; k++) {
        for (; n < 15 << k; n++) {
            snprintf(name, sizeof(name), "run %d", n);
            record(&f, name, 3, n == 1 ? &first : &last);
        }
        list_all(&f, &steps[k]);
        check[k] = count_check(&f);
    }
    expect_linear("list n runs", steps);
    expect_linear("check n runs", check);
    print_message("# run 2: %lld steps, run %d: %lld steps\n", (long long)first, n,
                  (long long)last);
    assert_true(last < first + first / 4 + 100);
    read_all(&f, "run 30", &last);
    fixture_finish(&f);
}

/* Time is found where it went: chunks that nobody compresses keep nobody waiting, and a sink with
 * room for nothing blocks its caller for as long as it works. */
static void test_load(void **state)
{
    (void)state;
    for (int zlib = 0; zlib < 2; zlib++) {
        struct fixture f;
        struct sonde_error error = { 0 };
        struct sonde_store *store = NULL;
        struct sonde_sink *sink = NULL;
        struct sonde_store_load load = { 0 };
        int64_t n_done = 0;
        fixture_init(&f);
        fixture_add(&f, "hook_embed", SONDE_ROWS_TOKEN, SONDE_DTYPE_F32, 3000, 0);
        f.T_max = 60;
        f.codec = zlib ? SONDE_CODEC_ZLIB : SONDE_CODEC_NONE;
        struct sonde_store_model model = fixture_model();
        struct sonde_run_info info = fixture_info(&f, "a", false);
        info.n_threads = 1;
        info.load = &load;
        check_ok(sonde_store_open(&store, f.path, SONDE_STORE_CREATE, &error), &error);
        check_ok(sonde_store_begin_run(store, &model, &info, f.streams, f.n_streams, 1, &sink,
                                       &n_done, &error),
                 &error);
        fixture_put(&f, sink, 0, 20, 100);
        check_ok(sink->finish(sink, &error), &error);
        assert_true(load.blocked > 0 && load.writing > 0);
        assert_true(zlib ? load.compressing > 0 : load.compressing == 0);
        sonde_store_close(&store);
        fixture_finish(&f);
    }
    const struct sonde_store_load idle = { 0.9, 5, 1 }, zlib = { 2, 5, 1 }, disk = { 2, 1, 5 };
    assert_string_equal(sonde_store_load_bound(&idle, 10), "model");
    assert_string_equal(sonde_store_load_bound(&zlib, 10), "zlib");
    assert_string_equal(sonde_store_load_bound(&disk, 10), "disk");
}

static void execute(const struct fixture *f, const char *sql)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open_v2(f->path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void test_version_1(void **state)
{
    (void)state;
    struct fixture f;
    struct sonde_error error = { 0 };
    int64_t version = 0;
    char text[1024];
    struct sonde_store *store = NULL;
    fixture_init(&f);
    fixture_add_mixture(&f);
    fixture_record(&f, "a", 10, 4);
    execute(&f, "DROP TABLE token_pack; DROP INDEX model_hash; PRAGMA user_version = 1");
    fixture_verify(&f, "a", 10);
    assert_int_equal(fixture_check(f.path, true, text), 0);
    check_ok(sonde_store_open(&store, f.path, SONDE_STORE_READ, &error), &error);
    check_ok(sonde_db_read_i64(store, "PRAGMA user_version", 0, &version, &error), &error);
    assert_int_equal(version, 1);
    sonde_store_close(&store);
    fixture_record(&f, "b", 10, 4);
    check_ok(sonde_store_open(&store, f.path, SONDE_STORE_READ, &error), &error);
    check_ok(sonde_db_read_i64(store, "PRAGMA user_version", 0, &version, &error), &error);
    assert_int_equal(version, 2);
    sonde_store_close(&store);
    fixture_verify(&f, "a", 10);
    fixture_verify(&f, "b", 10);
    assert_int_equal(fixture_check(f.path, true, text), 0);
    fixture_finish(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sequences),
        cmocka_unit_test(test_runs),
        cmocka_unit_test(test_load),
        cmocka_unit_test(test_version_1),
    };
    return cmocka_run_group_tests_name("store scale", tests, NULL, NULL);
}
