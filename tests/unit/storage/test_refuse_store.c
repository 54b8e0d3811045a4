/*
 * Stores that must be refused, each made from a good one by the statement or the bytes beside it,
 * with the exact message. And stores damaged at random, which must never do worse than an error.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sqlite3.h>

#include "core/base/rng.h"
#include "tests/unit/storage/store_fixture.h"
#include "tests/support/check.h"

#define N_SEQUENCES 40

/* What has to refuse it: opening, opening a run, reading a stream or only the full check. */
enum refuser { BY_OPEN, BY_SOURCE, BY_READ, BY_CHECK, BY_FULL_CHECK };

struct refuse_case {
    enum refuser by;
    const char *sql;
    const char *message; /* behind the path */
};

/* Changing the schema's text makes a file as an attacker would. */
#define SCHEMA(text) "PRAGMA writable_schema = ON; " text "; PRAGMA writable_schema = RESET"

static const struct refuse_case cases[] = {
    { BY_OPEN, "PRAGMA application_id = 7",
      ": is not a Sonde store: application id 0x00000007, expected 0x536f6e64" },
    { BY_OPEN, "PRAGMA user_version = 99",
      ": schema version 99 was made by a newer Sonde, this one reads up to 2" },
    { BY_OPEN, "PRAGMA user_version = 0", ": schema version 0, expected 1 to 2" },
    { BY_OPEN, "PRAGMA user_version = -3", ": schema version -3, expected 1 to 2" },
    { BY_OPEN, "CREATE TRIGGER evil AFTER INSERT ON run BEGIN DELETE FROM token; END",
      ": trigger 'evil' does not belong in a Sonde store" },
    { BY_OPEN, "CREATE VIEW evil AS SELECT load_extension('x')",
      ": view 'evil' does not belong in a Sonde store" },
    { BY_OPEN, "CREATE TABLE evil(x)", ": table 'evil' does not belong in a Sonde store" },
    { BY_OPEN, "CREATE VIRTUAL TABLE evil USING fts5(x)",
      ": table 'evil' does not belong in a Sonde store" },
    { BY_OPEN, "CREATE INDEX evil ON token(abs(vocab))",
      ": index 'evil' does not belong in a Sonde store" },
    { BY_OPEN, "DROP TABLE artifact", ": the store has no table 'artifact'" },
    { BY_OPEN, "DROP VIEW labels", ": the store has no view 'labels'" },
    { BY_OPEN, "DROP INDEX chunk_place", ": the store has no index 'chunk_place'" },
    { BY_OPEN, "DROP TABLE token; CREATE VIEW token AS SELECT 1 AS id",
      ": view 'token' is not the one of a Sonde store" },
    { BY_OPEN, "ALTER TABLE token ADD COLUMN evil INTEGER GENERATED ALWAYS AS (vocab + 1)",
      ": table 'token' is not the one of a Sonde store" },
    { BY_OPEN, "DROP TABLE result; CREATE TABLE result(id INTEGER PRIMARY KEY CHECK(id > 1))",
      ": table 'result' is not the one of a Sonde store" },
    { BY_OPEN, SCHEMA("UPDATE sqlite_schema SET sql = sql || ' ' WHERE name = 'model'"),
      ": table 'model' is not the one of a Sonde store" },
    { BY_OPEN, SCHEMA("UPDATE sqlite_schema SET sql = 'CREATE TABLE run(' WHERE name = 'run'"),
      ": the store is damaged: malformed database schema (run) - incomplete input" },
    { BY_SOURCE, "DELETE FROM run", ": the store holds no run" },
    { BY_SOURCE, "UPDATE run SET id = 99999999", ": run id 99999999 is out of range" },
    { BY_SOURCE, "UPDATE stream SET dtype = 'f33' WHERE ordinal = 0",
      ": stream hook_embed: unknown element type 'f33'" },
    { BY_SOURCE, "UPDATE stream SET dtype = 'i64' WHERE ordinal = 0",
      ": stream hook_embed: element type i64, expected f32, f16 or bf16" },
    { BY_SOURCE, "UPDATE stream SET space = 'cube' WHERE ordinal = 0",
      ": stream hook_embed: unknown row space 'cube'" },
    { BY_SOURCE, "UPDATE stream SET codec = 'rar' WHERE ordinal = 0",
      ": stream hook_embed: unknown codec 'rar'" },
    { BY_SOURCE, "UPDATE stream SET width = 9 WHERE ordinal = 0",
      ": stream hook_embed: width 9, expected 400 from its dimensions" },
    { BY_SOURCE, "UPDATE stream SET width = 401, dim0 = 401 WHERE ordinal = 0",
      ": stream hook_embed: 180400 values stored, expected 180851" },
    { BY_SOURCE, "UPDATE stream SET dim0 = -8 WHERE ordinal = 0",
      ": stream hook_embed: dimension -8 of a row is out of range" },
    { BY_SOURCE, "UPDATE stream SET rank = 3 WHERE ordinal = 0",
      ": stream hook_embed: rank -1, expected 1 or 2" },
    { BY_SOURCE, "UPDATE stream SET layer = 5000 WHERE ordinal = 0",
      ": stream hook_embed: layer 5000 is out of range" },
    { BY_SOURCE, "UPDATE stream SET ordinal = 9 WHERE ordinal = 2",
      ": stream blocks.0.attn.hook_pattern has place 9 in its run, expected 2" },
    { BY_SOURCE, "UPDATE stream SET chunk_values = 0 WHERE ordinal = 0",
      ": stream hook_embed: chunks of 0 values, expected 1 to 4 MiB of them" },
    { BY_SOURCE, "UPDATE stream SET chunk_values = 4611686018427387904 WHERE ordinal = 0",
      ": stream hook_embed: chunks of 4611686018427387904 values, expected 1 to 4 MiB of them" },
    { BY_SOURCE, "UPDATE stream SET name = printf('%200s', 'x') WHERE ordinal = 0",
      ": the name of stream 1 is too long" },
    { BY_SOURCE, "DELETE FROM chunk WHERE stream = 1",
      ": stream hook_embed: 0 values stored, "
      "expected 180400" },
    { BY_SOURCE, "UPDATE chunk SET ordinal = 7 WHERE stream = 1",
      ": stream hook_embed: chunk 0: is missing or is there twice" },
    { BY_SOURCE, "UPDATE chunk SET codec = 'rar' WHERE stream = 1",
      ": stream hook_embed: chunk 0: unknown codec" },
    { BY_SOURCE, "UPDATE chunk SET n_values = -1 WHERE stream = 1",
      ": stream hook_embed: chunk 0: its number of values is out of range" },
    { BY_SOURCE, "UPDATE chunk SET n_values = 9223372036854775807 WHERE stream = 1",
      ": stream hook_embed: chunk 0: its number of values is out of range" },
    { BY_SOURCE, "UPDATE chunk SET stored_bytes = 3 WHERE stream = 1",
      ": stream hook_embed: chunk 0: its stored size does not fit its number of values" },
    { BY_SOURCE, "UPDATE sequence SET n_tokens = n_tokens + 1 WHERE id = 3",
      ": sequence 4 of run 'a' is out of place" },
    { BY_SOURCE, "UPDATE sequence SET n_tokens = 9223372036854775807 WHERE id = 39",
      ": sequence 39 of run 'a' is out of place" },
    { BY_SOURCE, "DELETE FROM token_pack; UPDATE sequence SET n_tokens = 2000000000 WHERE id = 39",
      ": run 'a' has 451 tokens, its sequences count 2000000436" },
    { BY_SOURCE, "UPDATE sequence SET id = 1000 WHERE id = 5",
      ": sequence 5 of run 'a' is out of place" },
    { BY_SOURCE, "DELETE FROM token_pack; DELETE FROM token WHERE id = 100",
      ": run 'a' has 450 tokens, its sequences count 451" },
    { BY_SOURCE, "DELETE FROM token_pack; UPDATE token SET position = 77 WHERE id = 100",
      ": token 100 of run 'a' is out of place" },
    { BY_SOURCE, "DELETE FROM token_pack; UPDATE token SET vocab = 4294967296 WHERE id = 100",
      ": token 100 of run 'a' is out of place" },
    { BY_SOURCE, "DELETE FROM token_pack; UPDATE token SET flags = -1 WHERE id = 100",
      ": token 100 of run 'a' is out of place" },
    { BY_READ, "UPDATE chunk SET data = substr(data, 1, 100) WHERE stream = 1",
      ": stream hook_embed: chunk 0: its data is not as long as its index says" },
    /* Compressed data: stream 2 of the base is zlib. */
    { BY_READ, "UPDATE chunk SET data = zeroblob(stored_bytes) WHERE stream = 2",
      ": stream blocks.0.hook_resid_post: chunk 0: the compressed data is corrupt: "
      "unknown compression method" },
    { BY_READ,
      "UPDATE chunk SET data = substr(data, 1, 1000), stored_bytes = 1000 WHERE stream = 2",
      ": stream blocks.0.hook_resid_post: chunk 0: the compressed data ends early" },
    { BY_READ,
      "UPDATE chunk SET data = CAST(data || x'00' AS BLOB), stored_bytes = stored_bytes + 1"
      " WHERE stream = 2",
      ": stream blocks.0.hook_resid_post: chunk 0: 1 bytes are left over behind the compressed "
      "data" },
    { BY_READ, "UPDATE chunk SET crc32 = crc32 + 1 WHERE stream = 2",
      ": stream blocks.0.hook_resid_post: chunk 0: checksum mismatch" },
    { BY_SOURCE, "UPDATE sequence SET n_tokens = 2000000000 WHERE id = 39",
      ": the packs of a run's tokens: they are not of as many tokens as the run has" },
    { BY_SOURCE, "UPDATE token_pack SET n_tokens = n_tokens - 1",
      ": the packs of a run's tokens: they are not of as many tokens as the run has" },
    { BY_SOURCE, "UPDATE token_pack SET data = zeroblob(length(data))",
      ": the packs of a run's tokens: checksum mismatch" },
    { BY_SOURCE, "UPDATE token_pack SET ordinal = 1",
      ": the packs of a run's tokens: one is out of place" },
    { BY_CHECK, "DELETE FROM token WHERE id = 100",
      ": token 100 of run 'a' is not as its pack has it" },
    { BY_CHECK, "UPDATE token SET vocab = vocab + 1 WHERE id = 101",
      ": token 101 of run 'a' is not as its pack has it" },
    { BY_CHECK, "UPDATE token SET flags = 64 WHERE id = 450",
      ": token 450 of run 'a' is not as its pack has it" },
    { BY_CHECK, "UPDATE run SET n_tokens = 7", ": wrong number of tokens in run 'a'" },
    { BY_CHECK, "UPDATE run SET n_sequences = 7", ": wrong number of sequences in run 'a'" },
    { BY_CHECK, "UPDATE run SET model = 7", ": refers to a row that is not there, in table 'run'" },
    { BY_CHECK,
      "INSERT INTO label_set VALUES(1, 1, 'x', 'class', 'token', ''); INSERT INTO label VALUES(1,"
      " 0, 3)",
      ": a class without a name in label set 'x'" },
    { BY_FULL_CHECK,
      "UPDATE chunk SET data = CAST(x'ffffffff' || substr(data, 5) AS BLOB) WHERE stream = 1",
      ": stream hook_embed: chunk 0: checksum mismatch" },
};

static void make_base(struct fixture *f)
{
    fixture_init(f);
    fixture_add(f, "hook_embed", SONDE_ROWS_TOKEN, SONDE_DTYPE_F32, 400, 0);
    fixture_add(f, "blocks.0.hook_resid_post", SONDE_ROWS_TOKEN, SONDE_DTYPE_F32, 400, 0);
    fixture_add(f, "blocks.0.attn.hook_pattern", SONDE_ROWS_MAP, SONDE_DTYPE_F16, 2, 0);
    f->codec = SONDE_CODEC_ZLIB;
    fixture_record(f, "a", N_SEQUENCES, 7);
}

static void change(const char *path, const char *sql)
{
    sqlite3 *db = NULL;
    char *message = NULL;
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    sqlite3_exec(db, "PRAGMA ignore_check_constraints = ON", NULL, NULL, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 0, NULL);
    if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK && !strstr(sql, "RESET"))
        fail_msg("%s: %s", sql, message);
    sqlite3_free(message);
    sqlite3_close(db);
}

static void copy_file(const char *from, const char *to)
{
    char command[800];
    snprintf(command, sizeof(command), "cp '%s' '%s'", from, to);
    assert_int_equal(system(command), 0);
}

/* Everything a program would do with a store. Returns the first error, its text in error. */
static enum sonde_status use_store(const char *path, struct sonde_error *error)
{
    struct sonde_store *store = NULL;
    struct sonde_source *source = NULL;
    struct sonde_store_runs runs = { 0 };
    enum sonde_status status = sonde_store_open(&store, path, SONDE_STORE_READ, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_store_list_runs(store, &runs, error);
    sonde_store_runs_finish(&runs);
    /* The source is what the cases are about; listing must only survive. */
    if (store)
        status = sonde_store_open_source(store, NULL, 0, &source, error);
    for (int64_t s = 0; source && s < source->n_streams && status == SONDE_STATUS_OK; s++) {
        int64_t n = source->streams[s].n_rows;
        for (int64_t i = 0; i < n && status == SONDE_STATUS_OK; i += 100) {
            bool map = source->streams[s].space == SONDE_ROWS_MAP;
            int64_t part = n - i < 100 ? n - i : 100, T = 1 << 10;
            float *out = malloc(
                (size_t)(map ? source->streams[s].width * T * T : part * source->streams[s].width) *
                sizeof(float));
            if (!map)
                status = source->read_rows(source, s, i, part, out, error);
            else if (source->sequences[i].n_tokens <= T)
                status = source->read_map(source, s, i, out, error);
            free(out);
        }
    }
    if (source)
        source->destroy(&source);
    sonde_store_close(&store);
    return status;
}

static void run_case(const struct fixture *f, const struct refuse_case *c)
{
    char path[400], text[1024] = "";
    snprintf(path, sizeof(path), "%s/refuse.db", f->folder);
    copy_file(f->path, path);
    change(path, c->sql);
    struct sonde_error error = { 0 };
    if (c->by == BY_OPEN || c->by == BY_SOURCE || c->by == BY_READ) {
        if (use_store(path, &error) == SONDE_STATUS_OK)
            fail_msg("%s: nobody minds", c->sql);
        snprintf(text, sizeof(text), "%s", error.text);
    } else {
        int64_t quick = fixture_check(path, false, text);
        if (c->by == BY_FULL_CHECK)
            assert_int_equal(quick, 0);
        assert_true(fixture_check(path, true, text) > 0);
    }
    if (strncmp(text, path, strlen(path)) != 0 || strcmp(text + strlen(path), c->message) != 0)
        fail_msg("%s\n  gives    '%s'\n  expected '%s'", c->sql, text, c->message);
    /* Whatever a reader refuses, the full check finds, too. */
    assert_int_not_equal(fixture_check(path, true, NULL), 0);
    unlink(path);
}

static void test_refused(void **state)
{
    (void)state;
    struct fixture f;
    make_base(&f);
    /* The first stream uncompressed, as another codec would have stored it. */
    struct fixture plain = f;
    fixture_init(&plain);
    memcpy(plain.streams, f.streams, sizeof(f.streams));
    plain.n_streams = f.n_streams;
    fixture_record(&plain, "a", N_SEQUENCES, 7);
    char sql[800];
    snprintf(sql, sizeof(sql),
             "ATTACH '%s' AS plain; DELETE FROM chunk WHERE stream = 1;"
             "INSERT INTO chunk SELECT * FROM plain.chunk WHERE stream = 1",
             plain.path);
    change(f.path, sql);
    assert_int_equal(fixture_check(f.path, true, NULL), 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        run_case(&f, &cases[i]);
    fixture_finish(&plain);
    fixture_finish(&f);
}

/* --- damage --- */

static void write_at(const char *path, int64_t offset, const void *data, size_t n)
{
    int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, data, n, offset), n);
    close(fd);
}

static void test_not_a_database(void **state)
{
    (void)state;
    struct fixture f;
    struct sonde_error error = { 0 };
    char want[600];
    make_base(&f);
    char path[400];
    snprintf(path, sizeof(path), "%s/noise.db", f.folder);
    FILE *file = fopen(path, "wb");
    for (int i = 0; i < 5000; i++)
        fputc(i * 37 & 0xff, file);
    fclose(file);
    assert_int_equal(use_store(path, &error), SONDE_STATUS_FORMAT);
    snprintf(want, sizeof(want), "%s: is not a Sonde store: no SQLite file", path);
    assert_string_equal(error.text, want);
    /* An SQLite file of somebody else, and one in WAL mode without its log. */
    sqlite3 *db = NULL;
    unlink(path);
    sqlite3_open(path, &db);
    sqlite3_exec(db, "CREATE TABLE t(x)", NULL, NULL, NULL);
    sqlite3_close(db);
    assert_int_equal(use_store(path, &error), SONDE_STATUS_FORMAT);
    assert_non_null(strstr(error.text, "application id 0x00000000"));
    write_at(f.path, 18, "\2\2", 2);
    check_ok(use_store(f.path, &error), &error);
    /* A page count of 2^31. */
    write_at(f.path, 28, "\x80\0\0\0", 4);
    assert_int_not_equal(use_store(f.path, &error), SONDE_STATUS_OK);
    fixture_finish(&f);
}

static void test_truncated(void **state)
{
    (void)state;
    struct fixture f;
    struct stat info;
    char path[400];
    make_base(&f);
    assert_int_equal(stat(f.path, &info), 0);
    snprintf(path, sizeof(path), "%s/cut.db", f.folder);
    for (int64_t bytes = 1; bytes < info.st_size; bytes += 65536) {
        for (int shift = -1; shift <= 0; shift++) {
            struct sonde_error error = { 0 };
            copy_file(f.path, path);
            assert_int_equal(truncate(path, bytes + shift > 0 ? bytes + shift : 1), 0);
            assert_int_not_equal(use_store(path, &error), SONDE_STATUS_OK);
            assert_int_not_equal(fixture_check(path, true, NULL), 0);
        }
    }
    fixture_finish(&f);
}

/* Bytes are flipped in every page: what is read must be right, or somebody must say so. */
static void test_flipped_bytes(void **state)
{
    (void)state;
    struct fixture f;
    struct stat info;
    char path[400];
    int64_t n_found = 0, n_all = 0;
    make_base(&f);
    assert_int_equal(stat(f.path, &info), 0);
    snprintf(path, sizeof(path), "%s/flip.db", f.folder);
    struct sonde_rng rng = sonde_rng_make(3, 3);
    for (int64_t page = 0; page < info.st_size / 65536; page++)
        for (int k = 0; k < 3; k++) {
            struct sonde_error error = { 0 };
            /* The head of the page, its tail (where cells are), anywhere. */
            int64_t at = k == 0   ? sonde_rng_below(&rng, 16)
                         : k == 1 ? 65535 - sonde_rng_below(&rng, 200)
                                  : sonde_rng_below(&rng, 65536);
            uint8_t byte = (uint8_t)sonde_rng_below(&rng, 256);
            copy_file(f.path, path);
            write_at(path, page * 65536 + at, &byte, 1);
            enum sonde_status status = use_store(path, &error);
            int64_t problems = fixture_check(path, true, NULL);
            assert_true(status != SONDE_STATUS_MEMORY);
            n_found += problems != 0;
            n_all++;
        }
    print_message("# %d of %d changed bytes were found; the others lie in free space\n",
                  (int)n_found, (int)n_all);
    assert_true(n_found > 0);
    fixture_finish(&f);
}

/* NaNs of every kind are values like others. */
static void test_nan_is_kept(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    fixture_add(&f, "hook_embed", SONDE_ROWS_TOKEN, SONDE_DTYPE_F32, 4, 0);
    fixture_record(&f, "a", 20, 7);
    change(f.path, "UPDATE chunk SET data = randomblob(length(data))");
    struct sonde_error error = { 0 };
    check_ok(use_store(f.path, &error), &error);
    assert_int_equal(fixture_check(f.path, true, NULL), 1);
    fixture_finish(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),     cmocka_unit_test(test_not_a_database),
        cmocka_unit_test(test_truncated),   cmocka_unit_test(test_flipped_bytes),
        cmocka_unit_test(test_nan_is_kept),
    };
    return cmocka_run_group_tests_name("refuse store", tests, NULL, NULL);
}
