/* Label sets, queries that make them, results and imports. */
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

#include "tests/unit/storage/store_fixture.h"
#include "tests/support/check.h"

#define N_SEQUENCES 12

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    fixture_init(f);
    fixture_add(f, "hook_embed", SONDE_ROWS_TOKEN, SONDE_DTYPE_F32, 4, 0);
    fixture_record(f, "a", N_SEQUENCES, 5);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture_finish(*state);
    free(*state);
    return 0;
}

static struct sonde_store *open_store(const struct fixture *f, enum sonde_store_mode mode)
{
    struct sonde_error error = { 0 };
    struct sonde_store *store = NULL;
    check_ok(sonde_store_open(&store, f->path, mode, &error), &error);
    return store;
}

static void test_class_labels(void **state)
{
    struct fixture *f = *state;
    struct sonde_error error = { 0 };
    struct sonde_store *store = open_store(f, SONDE_STORE_WRITE);
    struct sonde_label_writer *w = NULL;
    struct sonde_source *source = NULL;
    const struct sonde_labels *labels = NULL, *again = NULL;
    int64_t n = 0;
    check_ok(sonde_store_open_source(store, "a", 0, &source, &error), &error);
    check_ok(sonde_store_label_begin(store, "a", "pos", SONDE_LABEL_CLASS, SONDE_ROWS_TOKEN,
                                     "by hand", false, &w, &error),
             &error);
    char name[32];
    for (int64_t i = 0; i < source->n_tokens; i++) {
        if (i % 3 == 0)
            continue;
        snprintf(name, sizeof(name), "class %d", (int)(i % 100)); /* more than the first table */
        check_ok(sonde_store_label_class(w, i, name, &error), &error);
    }
    assert_int_equal(sonde_store_label_class(w, 1, "x", &error), SONDE_STATUS_ARGUMENT);
    assert_non_null(strstr(error.text, "label set 'pos': token 1 is labelled twice"));
    assert_int_equal(sonde_store_label_class(w, source->n_tokens, "x", &error),
                     SONDE_STATUS_ARGUMENT);
    assert_int_equal(sonde_store_label_class(w, -1, "x", &error), SONDE_STATUS_ARGUMENT);
    assert_int_equal(sonde_store_label_real(w, 0, 1.0, &error), SONDE_STATUS_ARGUMENT);
    assert_non_null(strstr(error.text, "is of kind class, not real"));
    check_ok(sonde_store_label_commit(&w, &n, &error), &error);
    assert_null(w);
    assert_int_equal(n, source->n_tokens - (source->n_tokens + 2) / 3);
    check_ok(source->labels(source, "pos", &labels, &error), &error);
    assert_int_equal(labels->kind, SONDE_LABEL_CLASS);
    assert_int_equal(labels->space, SONDE_ROWS_TOKEN);
    assert_int_equal(labels->n_rows, source->n_tokens);
    for (int64_t i = 0; i < source->n_tokens; i++) {
        if (i % 3 == 0) {
            assert_int_equal(labels->class_of[i], -1);
            continue;
        }
        snprintf(name, sizeof(name), "class %d", (int)(i % 100));
        assert_string_equal(labels->class_name[labels->class_of[i]], name);
    }
    check_ok(source->labels(source, "pos", &again, &error), &error);
    assert_ptr_equal(labels, again);
    assert_int_equal(source->labels(source, "none", &again, &error), SONDE_STATUS_NOT_FOUND);
    assert_non_null(strstr(error.text, "run 'a' has no label set 'none'; it has: pos"));
    source->destroy(&source);
    sonde_store_close(&store);
    assert_int_equal(fixture_check(f->path, true, NULL), 0);
}

static void test_real_pair_span_labels(void **state)
{
    struct fixture *f = *state;
    struct sonde_error error = { 0 };
    struct sonde_store *store = open_store(f, SONDE_STORE_WRITE);
    struct sonde_label_writer *w = NULL;
    struct sonde_source *source = NULL;
    const struct sonde_labels *labels = NULL;
    check_ok(sonde_store_open_source(store, "a", 0, &source, &error), &error);
    int64_t i = 0;
    while (source->sequences[i].n_tokens < 4)
        i++;
    int64_t row = source->sequences[i].first_row, T = source->sequences[i].n_tokens;
    check_ok(sonde_store_label_begin(store, NULL, "depth", SONDE_LABEL_REAL, SONDE_ROWS_SEQUENCE,
                                     NULL, false, &w, &error),
             &error);
    check_ok(sonde_store_label_real(w, 0, -0.5, &error), &error);
    check_ok(sonde_store_label_real(w, 1, (double)NAN, &error), &error);
    check_ok(sonde_store_label_real(w, 2, 3.0, &error), &error);
    check_ok(sonde_store_label_commit(&w, NULL, &error), &error);
    check_ok(source->labels(source, "depth", &labels, &error), &error);
    assert_int_equal(labels->n_rows, N_SEQUENCES);
    assert_true(labels->real[0] == -0.5 && isnan(labels->real[1]) && labels->real[2] == 3.0);

    check_ok(sonde_store_label_begin(store, "a", "head", SONDE_LABEL_PAIR, SONDE_ROWS_TOKEN, "x",
                                     false, &w, &error),
             &error);
    check_ok(sonde_store_label_pair(w, row, T - 1, &error), &error);
    assert_int_equal(sonde_store_label_pair(w, row + 1, T, &error), SONDE_STATUS_ARGUMENT);
    assert_int_equal(sonde_store_label_pair(w, row + 1, -1, &error), SONDE_STATUS_ARGUMENT);
    check_ok(sonde_store_label_commit(&w, NULL, &error), &error);
    check_ok(source->labels(source, "head", &labels, &error), &error);
    assert_int_equal(labels->partner[row], T - 1);
    assert_int_equal(labels->partner[row + 1], -1);

    check_ok(sonde_store_label_begin(store, "a", "entity", SONDE_LABEL_SPAN, SONDE_ROWS_TOKEN, "x",
                                     false, &w, &error),
             &error);
    check_ok(sonde_store_label_span(w, i, 1, 3, "PER", &error), &error);
    check_ok(sonde_store_label_span(w, i, 0, T, "ORG", &error), &error);
    check_ok(sonde_store_label_span(w, i, 2, 4, "PER", &error), &error);
    assert_int_equal(sonde_store_label_span(w, i, 1, T + 1, "X", &error), SONDE_STATUS_ARGUMENT);
    assert_int_equal(sonde_store_label_span(w, i, 2, 2, "X", &error), SONDE_STATUS_ARGUMENT);
    assert_int_equal(sonde_store_label_span(w, N_SEQUENCES, 0, 1, "X", &error),
                     SONDE_STATUS_ARGUMENT);
    check_ok(sonde_store_label_commit(&w, NULL, &error), &error);
    check_ok(source->labels(source, "entity", &labels, &error), &error);
    assert_int_equal(labels->n_spans, 3);
    assert_int_equal(labels->n_classes, 2);
    assert_int_equal(labels->span[1].end, T);
    assert_int_equal(labels->class_of[0], labels->class_of[2]);
    assert_string_equal(labels->class_name[labels->class_of[1]], "ORG");
    source->destroy(&source);
    assert_int_equal(sonde_store_label_begin(store, "a", "p", SONDE_LABEL_PAIR, SONDE_ROWS_SEQUENCE,
                                             "", false, &w, &error),
                     SONDE_STATUS_ARGUMENT);
    struct sonde_store_label_set *sets = NULL;
    int64_t n = 0;
    check_ok(sonde_store_list_labels(store, 1, &sets, &n, &error), &error);
    assert_int_equal(n, 3);
    assert_string_equal(sets[2].name, "entity");
    assert_int_equal(sets[2].kind, SONDE_LABEL_SPAN);
    assert_int_equal(sets[2].n_labelled, 3);
    assert_int_equal(sets[2].n_classes, 2);
    assert_int_equal(sets[0].n_labelled, 2);
    sonde_store_labels_finish(&sets, n);
    assert_null(sets);
    sonde_store_close(&store);
    assert_int_equal(fixture_check(f->path, true, NULL), 0);
}

static void test_replace_and_abandon(void **state)
{
    struct fixture *f = *state;
    struct sonde_error error = { 0 };
    struct sonde_store *store = open_store(f, SONDE_STORE_WRITE);
    struct sonde_label_writer *w = NULL;
    char before[65], after[65];
    check_ok(sonde_store_label_begin(store, "a", "x", SONDE_LABEL_CLASS, SONDE_ROWS_TOKEN, "",
                                     false, &w, &error),
             &error);
    check_ok(sonde_store_label_class(w, 0, "one", &error), &error);
    check_ok(sonde_store_label_commit(&w, NULL, &error), &error);
    fixture_digest(f->path, before);
    struct sonde_label_writer *other = NULL;
    assert_int_equal(sonde_store_label_begin(store, "a", "x", SONDE_LABEL_CLASS, SONDE_ROWS_TOKEN,
                                             "", false, &w, &error),
                     SONDE_STATUS_ARGUMENT);
    assert_non_null(strstr(error.text, "label set 'x' exists already"));
    check_ok(sonde_store_label_begin(store, "a", "x", SONDE_LABEL_REAL, SONDE_ROWS_TOKEN, "", true,
                                     &w, &error),
             &error);
    assert_int_equal(sonde_store_label_begin(store, "a", "y", SONDE_LABEL_REAL, SONDE_ROWS_TOKEN,
                                             "", true, &other, &error),
                     SONDE_STATUS_ARGUMENT);
    check_ok(sonde_store_label_real(w, 0, 2.5, &error), &error);
    sonde_store_label_abandon(&w);
    assert_null(w);
    fixture_digest(f->path, after);
    assert_string_equal(before, after);
    check_ok(sonde_store_label_begin(store, "a", "x", SONDE_LABEL_REAL, SONDE_ROWS_TOKEN, "", true,
                                     &w, &error),
             &error);
    check_ok(sonde_store_label_real(w, 0, 2.5, &error), &error);
    check_ok(sonde_store_label_commit(&w, NULL, &error), &error);
    struct sonde_source *source = NULL;
    const struct sonde_labels *labels = NULL;
    check_ok(sonde_store_open_source(store, "a", 0, &source, &error), &error);
    check_ok(source->labels(source, "x", &labels, &error), &error);
    assert_true(labels->kind == SONDE_LABEL_REAL && labels->real[0] == 2.5);
    source->destroy(&source);
    sonde_store_close(&store);
}

static void test_sql_labels(void **state)
{
    struct fixture *f = *state;
    struct sonde_error error = { 0 };
    struct sonde_source *source = NULL;
    const struct sonde_labels *labels = NULL;
    int64_t n = 0;
    struct fixture second = *f;
    second.seed = 43;
    fixture_record(&second, "b", 7, 3); /* ids of run b are far away from those of run a */
    struct sonde_store *store = open_store(f, SONDE_STORE_WRITE);
    check_ok(sonde_store_label_sql(store, "b", "text",
                                   "SELECT token, text AS value FROM tokens WHERE run = :run",
                                   false, &n, &error),
             &error);
    check_ok(sonde_store_label_sql(store, "b", "pos",
                                   "SELECT value, sequence, position FROM (SELECT sequence,"
                                   " position, position * 0.5 AS value FROM tokens WHERE run = 'b'"
                                   " AND position > 0)",
                                   false, &n, &error),
             &error);
    check_ok(sonde_store_label_sql(store, "b", "length",
                                   "WITH s AS (SELECT * FROM sequences WHERE run = 'b') SELECT"
                                   " sequence, n_tokens > 5 FROM s;  ",
                                   false, &n, &error),
             &error);
    assert_int_equal(n, 7);
    check_ok(sonde_store_label_sql(store, "b", "previous",
                                   "SELECT token, position - 1 AS partner FROM tokens WHERE"
                                   " run = 'b' AND position > 0",
                                   false, &n, &error),
             &error);
    check_ok(sonde_store_open_source(store, "b", 0, &source, &error), &error);
    check_ok(source->labels(source, "text", &labels, &error), &error);
    assert_int_equal(labels->kind, SONDE_LABEL_CLASS);
    for (int64_t i = 0; i < source->n_tokens; i++)
        assert_string_equal(labels->class_name[labels->class_of[i]], source->token_text(source, i));
    check_ok(source->labels(source, "pos", &labels, &error), &error);
    for (int64_t i = 0; i < source->n_tokens; i++)
        if (source->token_position[i] > 0)
            assert_true(labels->real[i] == source->token_position[i] * 0.5);
        else
            assert_true(isnan(labels->real[i]));
    check_ok(source->labels(source, "length", &labels, &error), &error);
    assert_int_equal(labels->space, SONDE_ROWS_SEQUENCE);
    for (int64_t i = 0; i < 7; i++)
        assert_string_equal(labels->class_name[labels->class_of[i]],
                            source->sequences[i].n_tokens > 5 ? "1" : "0");
    check_ok(source->labels(source, "previous", &labels, &error), &error);
    assert_int_equal(labels->kind, SONDE_LABEL_PAIR);
    for (int64_t i = 0; i < source->n_tokens; i++)
        assert_int_equal(labels->partner[i], source->token_position[i] - 1);
    source->destroy(&source);
    sonde_store_close(&store);
    assert_int_equal(fixture_check(f->path, true, NULL), 0);
}

static void test_sql_refuses(void **state)
{
    struct fixture *f = *state;
    struct fixture second = *f;
    fixture_record(&second, "b", 2, 3);
    static const struct {
        const char *sql, *message;
    } cases[] = {
        { "DELETE FROM token", "does something else than reading the store" },
        { "UPDATE run SET name = 'x'", "does something else than reading the store" },
        { "INSERT INTO label VALUES(1, 1, 1)", "does something else than reading the store" },
        { "DROP TABLE token", "does something else than reading the store" },
        { "CREATE TEMP TABLE t(x)", "does something else than reading the store" },
        { "ATTACH 'x.db' AS y", "does something else than reading the store" },
        { "PRAGMA journal_mode = WAL", "does something else than reading the store" },
        { "SELECT name AS value, 1 AS token FROM pragma_table_info('run')",
          "does something else than reading the store" },
        { "SELECT load_extension('x') AS token, 1 AS value",
          "does something else than reading the store" },
        { "VACUUM INTO 'x.db'", "is not a SELECT" },
        { "BEGIN", "does something else than reading the store" },
        { "EXPLAIN SELECT 1", "is not a SELECT" },
        { "", "is not a SELECT" },
        { "-- nothing", "is not a SELECT" },
        { "SELECT 1 AS token, 2 AS value; DELETE FROM run", "has more than one statement" },
        { "SELECT 1 AS x, 2 AS y", "must give the columns token, value" },
        { "SELECT token FROM tokens", "must give the columns token, value" },
        { "SELECT nonsense", "no such column: nonsense" },
        { "SELECT token, x'00' AS value FROM tokens WHERE run = 'a'", "gives a blob as a value" },
        { "SELECT token, text AS value FROM tokens", "which is not of this run; WHERE run = :run" },
        { "SELECT 1 AS token, 'a' AS value UNION ALL SELECT 2, 0.5",
          "gives both texts and numbers as values" },
        { "SELECT 0 AS token, 1 AS value UNION ALL SELECT 0, 2", "token 0 is labelled twice" },
        { "SELECT 99999 AS token, 1 AS value", "label set 'x': token 99999 of" },
        { "SELECT 1 AS token, 'x' AS partner", "gives partners that are no positions" },
        { "WITH RECURSIVE c(token, value) AS (SELECT 1, 1 UNION ALL SELECT token, value + 1 FROM c)"
          " SELECT token, count(*) AS value FROM c",
          "takes too many steps" },
        { "SELECT 1 AS token, hex(zeroblob(900000000)) AS value", "string or blob too big" },
    };
    struct sonde_store *store = open_store(f, SONDE_STORE_WRITE);
    char before[65], after[65];
    fixture_digest(f->path, before);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sonde_error error = { 0 };
        int64_t n = -7;
        enum sonde_status status =
            sonde_store_label_sql(store, "a", "x", cases[i].sql, false, &n, &error);
        if (status == SONDE_STATUS_OK || !strstr(error.text, cases[i].message))
            fail_msg("'%s' gives '%s', expected '%s'", cases[i].sql, error.text, cases[i].message);
        assert_int_equal(n, -7);
    }
    fixture_digest(f->path, after);
    assert_string_equal(before, after);
    /* The guards are off again. */
    struct sonde_error error = { 0 };
    check_ok(sonde_store_add_result(store, "a", "x", "x", "abc", 3, &error), &error);
    sonde_store_close(&store);
}

/* --- results --- */

struct visit {
    int64_t n, stop_at;
    char archive[8][16];
    char command[8][16];
};

static enum sonde_status visit_result(void *ctx, int64_t id, const char *created,
                                      const char *command, const char *command_line,
                                      const char *archive, int64_t archive_bytes,
                                      struct sonde_error *error)
{
    struct visit *visit = ctx;
    assert_int_equal(id, visit->n + 1);
    assert_int_equal(strlen(created), strlen("2026-01-01T00:00:00Z"));
    assert_string_equal(command_line, "sonde probe");
    memcpy(visit->archive[visit->n], archive, (size_t)archive_bytes);
    snprintf(visit->command[visit->n++], 16, "%s", command);
    if (visit->n == visit->stop_at)
        return sonde_error_set(error, SONDE_STATUS_CANCELLED, "enough");
    return SONDE_STATUS_OK;
}

static void test_results(void **state)
{
    struct fixture *f = *state;
    struct sonde_error error = { 0 };
    struct visit visit = { 0 };
    struct sonde_store *store = open_store(f, SONDE_STORE_WRITE);
    check_ok(sonde_store_add_result(store, "a", "probe", "sonde probe", "a\0b", 3, &error), &error);
    check_ok(sonde_store_add_result(store, NULL, "study", "sonde probe", "", 0, &error), &error);
    check_ok(sonde_store_add_result(store, "a", "lens", "sonde probe", "zzz", 3, &error), &error);
    assert_int_equal(sonde_store_add_result(store, "none", "x", "x", "x", 1, &error),
                     SONDE_STATUS_NOT_FOUND);
    sonde_store_close(&store);
    store = open_store(f, SONDE_STORE_READ);
    check_ok(sonde_store_visit_results(store, visit_result, &visit, &error), &error);
    assert_int_equal(visit.n, 3);
    assert_memory_equal(visit.archive[0], "a\0b", 3);
    assert_string_equal(visit.command[1], "study");
    visit = (struct visit){ .stop_at = 2 };
    assert_int_equal(sonde_store_visit_results(store, visit_result, &visit, &error),
                     SONDE_STATUS_CANCELLED);
    assert_int_equal(visit.n, 2);
    sonde_store_close(&store);
}

/* --- imports --- */

static void test_import_into_run(void **state)
{
    struct fixture *f = *state;
    struct sonde_error error = { 0 };
    struct sonde_source *source = NULL;
    struct sonde_store *store = open_store(f, SONDE_STORE_WRITE);
    check_ok(sonde_store_open_source(store, "a", 0, &source, &error), &error);
    int64_t n = source->n_tokens;
    struct sonde_import_row *rows = calloc((size_t)n, sizeof(*rows));
    uint16_t *data = calloc((size_t)n * 3, sizeof(*data));
    /* Row i of the matrix is token n - 1 - i. */
    for (int64_t i = 0; i < n; i++) {
        int64_t row = n - 1 - i;
        rows[i] = (struct sonde_import_row){ .sequence = source->token_sequence[row],
                                             .position = source->token_position[row],
                                             .id = -1 };
        for (int64_t k = 0; k < 3; k++)
            data[i * 3 + k] = (uint16_t)(row * 3 + k);
    }
    source->destroy(&source);
    struct sonde_import import = { .run = "a",
                                   .stream = "blocks.1.hook_out", /* another spelling */
                                   .dtype = SONDE_DTYPE_F16,
                                   .data = data,
                                   .n_rows = n,
                                   .width = 3,
                                   .row = rows,
                                   .codec = SONDE_CODEC_ZLIB,
                                   .origin = "x.npy" };
    struct sonde_import bad = import;
    bad.n_rows = n - 1;
    assert_int_equal(sonde_store_import(store, &bad, &error), SONDE_STATUS_ARGUMENT);
    assert_non_null(strstr(error.text, "rows to import, the run has"));
    rows[0].position = rows[1].position;
    rows[0].sequence = rows[1].sequence;
    assert_int_equal(sonde_store_import(store, &import, &error), SONDE_STATUS_ARGUMENT);
    assert_non_null(strstr(error.text, "rows 0 and 1 are both of sequence"));
    rows[0].position = 10000;
    assert_int_equal(sonde_store_import(store, &import, &error), SONDE_STATUS_ARGUMENT);
    assert_non_null(strstr(error.text, "row 0: the run has no token at sequence"));
    check_ok(sonde_store_open_source(store, "a", 0, &source, &error), &error);
    rows[0].sequence = source->token_sequence[n - 1];
    rows[0].position = source->token_position[n - 1];
    source->destroy(&source);
    bad = import;
    bad.stream = "hook_embed";
    assert_int_equal(sonde_store_import(store, &bad, &error), SONDE_STATUS_ARGUMENT);
    assert_non_null(strstr(error.text, "has a stream hook_embed already"));
    bad = import;
    bad.dtype = SONDE_DTYPE_I8;
    assert_int_equal(sonde_store_import(store, &bad, &error), SONDE_STATUS_UNSUPPORTED);
    check_ok(sonde_store_import(store, &import, &error), &error);
    check_ok(sonde_store_open_source(store, "a", 0, &source, &error), &error);
    int64_t s = sonde_source_find_stream(source, "blocks.1.hook_resid_post");
    assert_int_equal(s, 1);
    assert_int_equal(source->streams[s].layer, 1);
    uint16_t *back = calloc((size_t)n * 3, sizeof(*back));
    check_ok(sonde_store_read_raw(source, s, 0, n, back, &error), &error);
    for (int64_t i = 0; i < n * 3; i++)
        assert_int_equal(back[i], i);
    source->destroy(&source);
    sonde_store_close(&store);
    assert_int_equal(fixture_check(f->path, true, NULL), 0);
    free(rows);
    free(data);
    free(back);
}

static void test_import_new_run(void **state)
{
    struct fixture *f = *state;
    struct sonde_error error = { 0 };
    struct sonde_store *store = NULL;
    struct sonde_source *source = NULL;
    unlink(f->path);
    const struct sonde_import_row rows[] = {
        { 1, 0, 7, "a" }, { 0, 1, 8, "b" }, { 0, 0, 9, NULL }, { 1, 1, 7, "a" }, { 1, 2, 5, "<c>" }
    };
    const float data[] = { 10, 1, 0, 11, 12 };
    struct sonde_import import = { .run = "made",
                                   .stream = "elsewhere",
                                   .dtype = SONDE_DTYPE_F32,
                                   .data = data,
                                   .n_rows = 5,
                                   .width = 1,
                                   .row = rows,
                                   .origin = "x.npy" };
    check_ok(sonde_store_open(&store, f->path, SONDE_STORE_CREATE, &error), &error);
    check_ok(sonde_store_import(store, &import, &error), &error);
    check_ok(sonde_store_open_source(store, "made", 0, &source, &error), &error);
    assert_int_equal(source->n_sequences, 2);
    assert_int_equal(source->n_tokens, 5);
    float out[5];
    check_ok(source->read_rows(source, 0, 0, 5, out, &error), &error);
    const float want[] = { 0, 1, 10, 11, 12 };
    const int32_t ids[] = { 9, 8, 7, 7, 5 };
    assert_memory_equal(out, want, sizeof(want));
    assert_memory_equal(source->token_id, ids, sizeof(ids));
    assert_string_equal(source->token_text(source, 4), "<c>");
    source->destroy(&source);
    struct sonde_import_row gap[] = { { 0, 0, 1, "" }, { 2, 0, 1, "" } };
    import.run = "gap";
    import.row = gap;
    import.n_rows = 2;
    assert_int_equal(sonde_store_import(store, &import, &error), SONDE_STATUS_ARGUMENT);
    assert_non_null(strstr(error.text, "numbered from 0 without a gap"));
    gap[0].id = gap[1].id = -1;
    assert_int_equal(sonde_store_import(store, &import, &error), SONDE_STATUS_NOT_FOUND);
    assert_non_null(strstr(error.text, "no run 'gap'; runs of this store: made"));
    sonde_store_close(&store);
    assert_int_equal(fixture_check(f->path, true, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_class_labels, setup, teardown),
        cmocka_unit_test_setup_teardown(test_real_pair_span_labels, setup, teardown),
        cmocka_unit_test_setup_teardown(test_replace_and_abandon, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sql_labels, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sql_refuses, setup, teardown),
        cmocka_unit_test_setup_teardown(test_results, setup, teardown),
        cmocka_unit_test_setup_teardown(test_import_into_run, setup, teardown),
        cmocka_unit_test_setup_teardown(test_import_new_run, setup, teardown),
    };
    return cmocka_run_group_tests_name("labels", tests, NULL, NULL);
}
