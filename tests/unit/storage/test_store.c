/* Writing and reading runs: round trips, commits, kills and resumes, several handles at once. */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sqlite3.h>

#include "core/base/rng.h"
#include "storage/layout.h"
#include "tests/unit/storage/store_fixture.h"
#include "tests/support/check.h"

static void round_trip(enum sonde_codec codec)
{
    struct fixture f;
    fixture_init(&f);
    fixture_add_mixture(&f);
    f.codec = codec;
    fixture_record(&f, "a", 40, 7);
    fixture_verify(&f, NULL, 40);
    assert_int_equal(fixture_check(f.path, true, NULL), 0);
    fixture_finish(&f);
}

static void test_round_trip(void **state)
{
    (void)state;
    round_trip(SONDE_CODEC_NONE);
}

static void test_round_trip_zlib(void **state)
{
    (void)state;
    round_trip(SONDE_CODEC_ZLIB);
}

/* --- what is in the file --- */

static void test_chunks_are_many_and_whole(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    f.T_max = 200;
    fixture_add(&f, "hook_embed", SONDE_ROWS_TOKEN, SONDE_DTYPE_F32, 300, 0);
    fixture_add(&f, "blocks.0.attn.hook_pattern", SONDE_ROWS_MAP, SONDE_DTYPE_F32, 2, 0);
    fixture_record(&f, "a", 60, 9);
    fixture_verify(&f, "a", 60);
    struct sonde_error error = { 0 };
    struct sonde_store *store = NULL;
    struct sonde_store_runs runs;
    struct sonde_store_stream *streams = NULL;
    int64_t n = 0;
    check_ok(sonde_store_open(&store, f.path, SONDE_STORE_READ, &error), &error);
    check_ok(sonde_store_list_runs(store, &runs, &error), &error);
    assert_int_equal(runs.n, 1);
    assert_string_equal(runs.run[0].name, "a");
    assert_string_equal(runs.run[0].state, "complete");
    assert_string_equal(runs.run[0].model_hash, "00ff");
    assert_int_equal(runs.run[0].n_sequences, 60);
    assert_int_equal(runs.run[0].n_windows, 20);
    assert_int_equal(runs.run[0].n_streams, 2);
    assert_int_equal(runs.run[0].seed, 42);
    check_ok(sonde_store_list_streams(store, runs.run[0].id, &streams, &n, &error), &error);
    assert_int_equal(n, 2);
    int64_t T = runs.run[0].n_tokens;
    assert_int_equal(streams[0].stream.n_rows, T);
    assert_int_equal(streams[0].bytes_raw, T * 300 * 4);
    assert_int_equal(streams[0].bytes_stored, T * 300 * 4);
    int64_t chunk = sonde_layout_chunk_values(&f.streams[0]);
    assert_int_equal(chunk % 300, 0);
    assert_true(chunk * 4 > 265000 && chunk * 4 < 271000);
    assert_int_equal(streams[0].n_chunks, (T * 300 + chunk - 1) / chunk);
    assert_true(streams[0].n_chunks > 3 && streams[1].n_chunks > 1);
    assert_int_equal(runs.run[0].bytes_raw, streams[0].bytes_raw + streams[1].bytes_raw);
    free(streams);
    sonde_store_runs_finish(&runs);
    sonde_store_close(&store);
    fixture_finish(&f);
}

/* Rows in any order, across chunks, through a cache of one chunk and through a large one, raw and
 * widened, must be the same values. */
static void access_randomly(enum sonde_codec codec, enum sonde_dtype dtype, int64_t cache_bytes)
{
    struct fixture f;
    struct sonde_error error = { 0 };
    struct sonde_store *store = NULL;
    struct sonde_source *source = NULL;
    fixture_init(&f);
    f.T_max = 300;
    f.codec = codec;
    fixture_add(&f, "hook_embed", SONDE_ROWS_TOKEN, dtype, 64, 4);
    fixture_add(&f, "blocks.0.attn.hook_pattern", SONDE_ROWS_MAP, dtype, 3, 0);
    fixture_record(&f, "a", 30, 100);
    check_ok(sonde_store_open(&store, f.path, SONDE_STORE_READ, &error), &error);
    check_ok(sonde_store_open_source(store, NULL, cache_bytes, &source, &error), &error);
    int64_t n = source->n_tokens, size = (int64_t)sonde_dtype_size(dtype);
    float *all = malloc((size_t)n * 256 * 4), *some = malloc((size_t)n * 256 * 4);
    void *raw = malloc((size_t)n * 256 * 4);
    check_ok(source->read_rows(source, 0, 0, n, all, &error), &error);
    struct sonde_rng rng = sonde_rng_make(7, 7);
    for (int k = 0; k < 300; k++) {
        int64_t first = sonde_rng_below(&rng, n), most = k % 3 == 0 ? n - first : 3;
        int64_t count = sonde_rng_below(&rng, (most < n - first ? most : n - first) + 1);
        check_ok(source->read_rows(source, 0, first, count, some, &error), &error);
        assert_memory_equal(some, all + first * 256, (size_t)count * 1024);
        check_ok(sonde_store_read_raw(source, 0, first, count, raw, &error), &error);
        sonde_dtype_widen(dtype, raw, some, count * 256);
        assert_memory_equal(some, all + first * 256, (size_t)count * 1024);
        (void)size;
    }
    for (int k = 0; k < 100; k++) {
        int64_t i = sonde_rng_below(&rng, source->n_sequences), T = source->sequences[i].n_tokens;
        check_ok(source->read_map(source, 1, i, all, &error), &error);
        if (T == 0)
            continue;
        int64_t head = sonde_rng_below(&rng, 3), first = sonde_rng_below(&rng, T);
        int64_t count = sonde_rng_below(&rng, T - first + 1);
        check_ok(source->read_map_rows(source, 1, i, head, first, count, some, &error), &error);
        assert_memory_equal(some, all + (head * T + first) * T, (size_t)(count * T) * 4);
    }
    assert_int_equal(source->read_rows(source, 0, n, 1, some, &error), SONDE_STATUS_ARGUMENT);
    assert_int_equal(source->read_rows(source, 0, -1, 1, some, &error), SONDE_STATUS_ARGUMENT);
    assert_int_equal(source->read_rows(source, 0, 1, INT64_MAX, some, &error),
                     SONDE_STATUS_ARGUMENT);
    assert_int_equal(source->read_rows(source, 1, 0, 1, some, &error), SONDE_STATUS_ARGUMENT);
    assert_int_equal(source->read_map(source, 0, 0, some, &error), SONDE_STATUS_ARGUMENT);
    assert_int_equal(source->read_map(source, 1, 30, some, &error), SONDE_STATUS_ARGUMENT);
    assert_int_equal(source->read_map_rows(source, 1, 0, 3, 0, 0, some, &error),
                     SONDE_STATUS_ARGUMENT);
    free(all);
    free(some);
    free(raw);
    source->destroy(&source);
    sonde_store_close(&store);
    fixture_finish(&f);
}

static void test_access_none(void **state)
{
    (void)state;
    access_randomly(SONDE_CODEC_NONE, SONDE_DTYPE_F32, 1);
    access_randomly(SONDE_CODEC_NONE, SONDE_DTYPE_F16, 0);
}

static void test_access_zlib(void **state)
{
    (void)state;
    access_randomly(SONDE_CODEC_ZLIB, SONDE_DTYPE_F32, 0);
    access_randomly(SONDE_CODEC_ZLIB, SONDE_DTYPE_BF16, 1);
}

/* --- kill and resume --- */

static struct sonde_sink *begin(const struct fixture *f, struct sonde_store **store, bool resume,
                                int64_t *n_done)
{
    struct sonde_error error = { 0 };
    struct sonde_sink *sink = NULL;
    struct sonde_store_model model = fixture_model();
    struct sonde_run_info info = fixture_info(f, "a", resume);
    check_ok(sonde_store_open(store, f->path, SONDE_STORE_CREATE, &error), &error);
    check_ok(sonde_store_begin_run(*store, &model, &info, f->streams, f->n_streams, 1 << 20, &sink,
                                   n_done, &error),
             &error);
    return sink;
}

/* A child records and is killed a little after it has put n_puts sequences; SIGKILL leaves nothing
 * to clean up with. */
static void record_and_kill(const struct fixture *f, int64_t n, int64_t every, int64_t n_puts,
                            int delay)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct sonde_store *store = NULL;
        struct sonde_error error = { 0 };
        int64_t n_done = 0;
        close(ends[0]);
        struct sonde_sink *sink = begin(f, &store, true, &n_done);
        for (int64_t i = n_done; sink && i < n; i++) {
            fixture_put(f, sink, i, i + 1, every);
            if (write(ends[1], "x", 1) != 1)
                _exit(4);
        }
        _exit(!sink || sink->finish(sink, &error) == SONDE_STATUS_OK ? 0 : 3);
    }
    close(ends[1]);
    char byte;
    for (int64_t i = 0; i < n_puts && read(ends[0], &byte, 1) == 1; i++)
        continue;
    usleep((useconds_t)delay);
    kill(child, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    close(ends[0]);
    assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
}

static void test_kill_and_resume(void **state)
{
    (void)state;
    struct sonde_rng rng = sonde_rng_make(11, 1);
    char want[65], got[65], text[1024];
    int n_interrupted = 0;
    for (int round = 0; round < 6; round++) {
        struct fixture whole, cut;
        int64_t n = 60 + sonde_rng_below(&rng, 40), every = 1 + sonde_rng_below(&rng, 15);
        fixture_init(&whole);
        whole.T_max = 60;
        whole.codec = round % 2 ? SONDE_CODEC_ZLIB : SONDE_CODEC_NONE;
        fixture_add_mixture(&whole);
        fixture_add(&whole, "blocks.1.hook_resid_post", SONDE_ROWS_TOKEN, SONDE_DTYPE_F32, 700, 0);
        cut = whole;
        fixture_init(&cut);
        memcpy(cut.streams, whole.streams, sizeof(cut.streams));
        cut.n_streams = whole.n_streams;
        cut.T_max = whole.T_max;
        cut.codec = whole.codec;
        fixture_record(&whole, "a", n, every);
        for (int kills = 0; kills < 4; kills++) {
            record_and_kill(&cut, n, every, sonde_rng_below(&rng, n / 3),
                            (int)sonde_rng_below(&rng, 2000));
            if (access(cut.path, F_OK) == 0 && fixture_check(cut.path, true, text) > 0)
                fail_msg("after a kill: %s", text);
        }
        struct sonde_store *store = NULL;
        int64_t n_done = 0;
        struct sonde_sink *sink = begin(&cut, &store, true, &n_done);
        /* Nothing but whole batches is ever seen. */
        assert_true(n_done % every == 0 || n_done == n);
        n_interrupted += n_done > 0 && n_done < n;
        if (sink) {
            struct sonde_error error = { 0 };
            fixture_put(&cut, sink, n_done, n, every);
            check_ok(sink->finish(sink, &error), &error);
        } else {
            assert_int_equal(n_done, n);
        }
        sonde_store_close(&store);
        fixture_verify(&cut, "a", n);
        fixture_digest(whole.path, want);
        fixture_digest(cut.path, got);
        assert_string_equal(got, want);
        fixture_finish(&whole);
        fixture_finish(&cut);
    }
    /* The test is worth something only where kills fell into the middle. */
    print_message("# %d of 6 runs were interrupted between two commits\n", n_interrupted);
    assert_true(n_interrupted > 0);
}

/* The same without chance: the run is abandoned after every possible number of sequences, with
 * other commit points than those of the uninterrupted run. */
static void test_abandon_everywhere(void **state)
{
    (void)state;
    char want[65], got[65];
    struct fixture f;
    fixture_init(&f);
    f.T_max = 100;
    fixture_add_mixture(&f);
    fixture_add(&f, "blocks.1.hook_resid_post", SONDE_ROWS_TOKEN, SONDE_DTYPE_F32, 900, 0);
    fixture_record(&f, "a", 12, 5);
    fixture_digest(f.path, want);
    for (int64_t stop = 0; stop <= 12; stop++) {
        struct sonde_store *store = NULL;
        struct sonde_error error = { 0 };
        int64_t n_done = 0;
        unlink(f.path);
        struct sonde_sink *sink = begin(&f, &store, false, &n_done);
        fixture_put(&f, sink, 0, stop, 3);
        sink->abandon(sink);
        sonde_store_close(&store);
        assert_int_equal(fixture_check(f.path, true, NULL), 0);
        sink = begin(&f, &store, true, &n_done);
        assert_true(n_done <= stop && n_done % 3 == 0);
        fixture_put(&f, sink, n_done, 12, 4);
        check_ok(sink->finish(sink, &error), &error);
        sonde_store_close(&store);
        fixture_digest(f.path, got);
        assert_string_equal(got, want);
    }
    fixture_finish(&f);
}

static void expect_resume(const struct fixture *f, const struct sonde_store_model *model,
                          const struct sonde_run_info *info, const struct sonde_stream *streams,
                          int64_t n_streams, const char *message)
{
    struct sonde_error error = { 0 };
    struct sonde_store *store = NULL;
    struct sonde_sink *sink = NULL;
    int64_t n_done = 0;
    check_ok(sonde_store_open(&store, f->path, SONDE_STORE_WRITE, &error), &error);
    assert_int_equal(
        sonde_store_begin_run(store, model, info, streams, n_streams, 0, &sink, &n_done, &error),
        SONDE_STATUS_ARGUMENT);
    assert_null(sink);
    assert_non_null(strstr(error.text, message));
    sonde_store_close(&store);
}

static void test_resume_identity(void **state)
{
    (void)state;
    struct fixture f;
    struct sonde_error error = { 0 };
    struct sonde_store *store = NULL;
    struct sonde_sink *sink = NULL;
    int64_t n_done = 0;
    fixture_init(&f);
    fixture_add_mixture(&f);
    struct sonde_store_model model = fixture_model(), other = model;
    struct sonde_run_info same = fixture_info(&f, "a", true), info = same;
    sink = begin(&f, &store, false, &n_done);
    fixture_put(&f, sink, 0, 4, 2);
    sink->abandon(sink);
    sonde_store_close(&store);
    info.resume = false;
    expect_resume(&f, &model, &info, f.streams, f.n_streams, "run 'a' exists already (open)");
    info = same;
    info.input = "other";
    expect_resume(&f, &model, &info, f.streams, f.n_streams,
                  "its input is 'text', now it is 'other'");
    info = same;
    info.options_json = "{\"x\":1}";
    expect_resume(&f, &model, &info, f.streams, f.n_streams, "its options is '{}'");
    info = same;
    info.edits_json = "[1]";
    expect_resume(&f, &model, &info, f.streams, f.n_streams, "its edits is '[]'");
    info = same;
    info.machine = "pdp-11";
    expect_resume(&f, &model, &info, f.streams, f.n_streams, "its machine is 'test'");
    info = same;
    info.seed = 7;
    expect_resume(&f, &model, &info, f.streams, f.n_streams, "its seed is 42, now it is 7");
    info = same;
    info.codec = SONDE_CODEC_ZLIB;
    expect_resume(&f, &model, &info, f.streams, f.n_streams, "its codec is 'none'");
    other.hash = "11";
    expect_resume(&f, &other, &same, f.streams, f.n_streams, "its model hash is '00ff'");
    other = model;
    other.config_json = "{}";
    expect_resume(&f, &other, &same, f.streams, f.n_streams, "its model config is");
    expect_resume(&f, &model, &same, f.streams, f.n_streams - 1,
                  "it has 7 streams, now there are 6");
    struct sonde_stream changed[FIXTURE_STREAMS_MAX];
    memcpy(changed, f.streams, sizeof(changed));
    changed[1].dtype = SONDE_DTYPE_F32;
    expect_resume(&f, &model, &same, changed, f.n_streams, "its dtype is 'f16', now it is 'f32'");
    /* A command line and a path that are spelled differently are no obstacle. */
    info = same;
    info.command_line = "sonde record --resume tiny";
    other = model;
    other.path = "./tiny";
    check_ok(sonde_store_open(&store, f.path, SONDE_STORE_WRITE, &error), &error);
    check_ok(sonde_store_begin_run(store, &other, &info, f.streams, f.n_streams, 0, &sink, &n_done,
                                   &error),
             &error);
    assert_int_equal(n_done, 4);
    fixture_put(&f, sink, 4, 6, 2);
    check_ok(sink->finish(sink, &error), &error);
    /* A complete run resumes to nothing. */
    sink = (struct sonde_sink *)&f;
    info.name = NULL;
    check_ok(sonde_store_begin_run(store, &model, &info, f.streams, f.n_streams, 0, &sink, &n_done,
                                   &error),
             &error);
    assert_null(sink);
    assert_int_equal(n_done, 6);
    sonde_store_close(&store);
    fixture_verify(&f, "a", 6);
    fixture_finish(&f);
}

/* --- several runs, several handles --- */

static void test_runs_side_by_side(void **state)
{
    (void)state;
    struct fixture f, g;
    struct sonde_error error = { 0 };
    struct sonde_store *store = NULL;
    struct sonde_source *source = NULL;
    fixture_init(&f);
    fixture_add_mixture(&f);
    fixture_record(&f, "a", 10, 4);
    g = f;
    g.seed = 43;
    fixture_record(&g, "b", 15, 4);
    f.codec = SONDE_CODEC_ZLIB;
    fixture_record(&f, NULL, 12, 4);
    fixture_verify(&f, "a", 10);
    fixture_verify(&g, "b", 15);
    fixture_verify(&f, "run-3", 12);
    check_ok(sonde_store_open(&store, f.path, SONDE_STORE_READ, &error), &error);
    assert_int_equal(sonde_store_open_source(store, NULL, 0, &source, &error),
                     SONDE_STATUS_ARGUMENT);
    assert_non_null(strstr(error.text, "holds several runs, name one: a, b, run-3"));
    assert_int_equal(sonde_store_open_source(store, "c", 0, &source, &error),
                     SONDE_STATUS_NOT_FOUND);
    assert_non_null(strstr(error.text, "no run 'c'; runs of this store: a, b, run-3"));
    sonde_store_close(&store);
    assert_int_equal(fixture_check(f.path, true, NULL), 0);
    fixture_finish(&f);
}

static void test_second_writer_and_reader(void **state)
{
    (void)state;
    struct fixture f;
    struct sonde_error error = { 0 };
    struct sonde_store *store = NULL, *second = NULL;
    struct sonde_sink *sink = NULL, *other = NULL;
    int64_t n_done = 0;
    fixture_init(&f);
    fixture_add_mixture(&f);
    sink = begin(&f, &store, false, &n_done);
    fixture_put(&f, sink, 0, 10, 5);
    /* The second commit returned, so the first is on the disk. */
    struct sonde_store_model model = fixture_model();
    struct sonde_run_info info = fixture_info(&f, "b", false);
    check_ok(sonde_store_open(&second, f.path, SONDE_STORE_WRITE, &error), &error);
    assert_int_equal(sonde_store_begin_run(second, &model, &info, f.streams, f.n_streams, 0, &other,
                                           &n_done, &error),
                     SONDE_STATUS_IO);
    assert_non_null(strstr(error.text, "the store is being written by another process"));
    /* This handle itself is taken, too. */
    assert_int_equal(sonde_store_add_result(store, NULL, "x", "x", "", 0, &error),
                     SONDE_STATUS_ARGUMENT);
    struct sonde_source *source = NULL;
    check_ok(sonde_store_open_source(second, "a", 0, &source, &error), &error);
    assert_true(source->n_sequences == 5 || source->n_sequences == 10);
    int64_t n = source->n_sequences, rows = source->n_tokens;
    float *values = malloc((size_t)rows * 8 * sizeof(float));
    check_ok(source->read_rows(source, 0, 0, rows, values, &error), &error);
    /* The writer goes on, and the reader still sees what it saw. */
    fixture_put(&f, sink, 10, 30, 5);
    check_ok(sink->finish(sink, &error), &error);
    float *again = malloc((size_t)rows * 8 * sizeof(float));
    check_ok(source->read_rows(source, 0, 0, rows, again, &error), &error);
    assert_memory_equal(values, again, (size_t)rows * 32);
    assert_int_equal(source->n_sequences, n);
    source->destroy(&source);
    free(values);
    free(again);
    sonde_store_close(&second);
    sonde_store_close(&store);
    fixture_verify(&f, "a", 30);
    fixture_finish(&f);
}

/* --- arguments of put --- */

static void test_put_refuses(void **state)
{
    (void)state;
    struct fixture f;
    struct sonde_error error = { 0 };
    struct sonde_store *store = NULL;
    int64_t n_done = 0;
    fixture_init(&f);
    fixture_add(&f, "hook_embed", SONDE_ROWS_TOKEN, SONDE_DTYPE_F32, 4, 0);
    struct sonde_sink *sink = begin(&f, &store, false, &n_done);
    struct sonde_token token = { .id = 1 };
    struct sonde_sequence sequence = { .n_tokens = 1, .tokens = &token };
    float values[8] = { 0 };
    struct sonde_record record = { values, 5 };
    assert_int_equal(sink->put(sink, &sequence, &record, &error), SONDE_STATUS_ARGUMENT);
    assert_string_equal(error.text,
                        "stream hook_embed: 5 values for a sequence of 1 tokens, expected 4");
    sequence.n_tokens = -1;
    assert_int_equal(sink->put(sink, &sequence, &record, &error), SONDE_STATUS_ARGUMENT);
    sequence.n_tokens = 1;
    record.n_values = 4;
    check_ok(sink->put(sink, &sequence, &record, &error), &error);
    check_ok(sink->finish(sink, &error), &error);
    sonde_store_close(&store);
    fixture_add(&f, "hook_embed", SONDE_ROWS_TOKEN, SONDE_DTYPE_F32, 4, 0);
    struct sonde_store_model model = fixture_model();
    struct sonde_run_info info = fixture_info(&f, "b", false);
    check_ok(sonde_store_open(&store, f.path, SONDE_STORE_WRITE, &error), &error);
    assert_int_equal(
        sonde_store_begin_run(store, &model, &info, f.streams, 2, 0, &sink, &n_done, &error),
        SONDE_STATUS_ARGUMENT);
    assert_non_null(strstr(error.text, "stream hook_embed is given twice"));
    f.streams[1].space = SONDE_ROWS_WEIGHT;
    assert_int_equal(
        sonde_store_begin_run(store, &model, &info, f.streams + 1, 1, 0, &sink, &n_done, &error),
        SONDE_STATUS_UNSUPPORTED);
    sonde_store_close(&store);
    fixture_finish(&f);
}

/* --- paths --- */

static void open_named(const char *folder, const char *name)
{
    struct sonde_error error = { 0 };
    struct sonde_store *store = NULL;
    char path[400];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    check_ok(sonde_store_open(&store, path, SONDE_STORE_CREATE, &error), &error);
    sonde_store_close(&store);
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    assert_true(info.st_size > 0);
    check_ok(sonde_store_open(&store, path, SONDE_STORE_READ, &error), &error);
    sonde_store_close(&store);
}

static void expect_open(const char *path, enum sonde_store_mode mode, enum sonde_status status,
                        const char *message)
{
    struct sonde_error error = { 0 };
    struct sonde_store *store = NULL;
    assert_int_equal(sonde_store_open(&store, path, mode, &error), status);
    assert_null(store);
    if (!strstr(error.text, message))
        fail_msg("'%s' does not say '%s'", error.text, message);
}

static void test_paths(void **state)
{
    (void)state;
    struct fixture f;
    char path[400], here[400];
    fixture_init(&f);
    static const char *const names[] = { "a?mode=memory", "b#c",      "d%20e",    "with space",
                                         "new\nline",     "quote'\"", "file:x?y", ":memory:" };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        open_named(f.folder, names[i]);
    /* Relative names that SQLite would take for something else. */
    assert_non_null(getcwd(here, sizeof(here)));
    assert_int_equal(chdir(f.folder), 0);
    open_named(".", "x1");
    struct sonde_error error = { 0 };
    struct sonde_store *store = NULL;
    check_ok(sonde_store_open(&store, "file:zz?mode=memory", SONDE_STORE_CREATE, &error), &error);
    sonde_store_close(&store);
    assert_int_equal(access("./file:zz?mode=memory", F_OK), 0);
    check_ok(sonde_store_open(&store, ":memory:", SONDE_STORE_CREATE, &error), &error);
    sonde_store_close(&store);
    assert_int_equal(access("./:memory:", F_OK), 0);
    assert_int_equal(symlink("x1", "link"), 0);
    check_ok(sonde_store_open(&store, "link", SONDE_STORE_READ, &error), &error);
    sonde_store_close(&store);
    assert_int_equal(chdir(here), 0);
    snprintf(path, sizeof(path), "%s/pipe", f.folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    expect_open(path, SONDE_STORE_READ, SONDE_STATUS_ARGUMENT, "is a pipe, expected a store");
    expect_open(f.folder, SONDE_STORE_CREATE, SONDE_STATUS_ARGUMENT, "is a directory");
    expect_open("/dev/zero", SONDE_STORE_READ, SONDE_STATUS_ARGUMENT, "is a device");
    expect_open("", SONDE_STORE_CREATE, SONDE_STATUS_ARGUMENT, "path is empty");
    snprintf(path, sizeof(path), "%s/none", f.folder);
    expect_open(path, SONDE_STORE_READ, SONDE_STATUS_NOT_FOUND, "no such store");
    expect_open(path, SONDE_STORE_WRITE, SONDE_STATUS_NOT_FOUND, "no such store");
    snprintf(path, sizeof(path), "%s/none/x", f.folder);
    expect_open(path, SONDE_STORE_CREATE, SONDE_STATUS_IO, "unable to open database file");
    snprintf(path, sizeof(path), "%s/empty", f.folder);
    close(open(path, O_CREAT | O_WRONLY, 0600));
    expect_open(path, SONDE_STORE_READ, SONDE_STATUS_FORMAT, "the file is empty");
    fixture_finish(&f);
}

/* A killed writer's journal is rolled back also by somebody who only wants to read; what may not be
 * written is read nevertheless. */
static void test_read_only_file(void **state)
{
    (void)state;
    struct fixture f;
    struct sonde_error error = { 0 };
    struct sonde_store *store = NULL;
    fixture_init(&f);
    fixture_add_mixture(&f);
    fixture_record(&f, "a", 5, 2);
    chmod(f.path, 0400);
    fixture_verify(&f, "a", 5);
    check_ok(sonde_store_open(&store, f.path, SONDE_STORE_READ, &error), &error);
    assert_int_equal(sonde_store_add_result(store, NULL, "x", "x", "", 0, &error),
                     SONDE_STATUS_ARGUMENT);
    assert_non_null(strstr(error.text, "opened for reading only"));
    sonde_store_close(&store);
    fixture_finish(&f);
}

/* --- the size estimate --- */

static void estimate(int64_t n_streams, int64_t width, enum sonde_dtype dtype, int64_t heads,
                     int64_t n, int64_t T_max)
{
    struct fixture f;
    struct stat info;
    int64_t n_values[FIXTURE_STREAMS_MAX] = { 0 }, n_tokens = 0, squares = 0, text_bytes = 0;
    fixture_init(&f);
    f.T_max = T_max;
    for (int64_t s = 0; s < n_streams; s++) {
        char name[64];
        snprintf(name, sizeof(name), "blocks.%d.hook_resid_post", (int)s);
        fixture_add(&f, name, SONDE_ROWS_TOKEN, dtype, width, 0);
    }
    if (heads)
        fixture_add(&f, "blocks.0.attn.hook_pattern", SONDE_ROWS_MAP, dtype, heads, 0);
    fixture_record(&f, "a", n, 16);
    for (int64_t i = 0; i < n; i++) {
        int64_t T = fixture_tokens(&f, i);
        n_tokens += T;
        squares += T * T;
        text_bytes += i % 5 == 4 ? 0 : 20;
    }
    for (int64_t s = 0; s < f.n_streams; s++)
        n_values[s] = s < n_streams ? n_tokens * width : squares * heads;
    int64_t guess =
        sonde_store_estimate_bytes(f.streams, n_values, f.n_streams, n, n_tokens, text_bytes);
    assert_int_equal(stat(f.path, &info), 0);
    double ratio = (double)guess / (double)info.st_size;
    print_message(
        "# %lld streams of %lld %s, %lld heads, %lld tokens: %lld bytes, estimate %+.2f %%\n",
        (long long)n_streams, (long long)width, sonde_dtype_name(dtype), (long long)heads,
        (long long)n_tokens, (long long)info.st_size, 100.0 * (ratio - 1.0));
    assert_true(ratio > 0.98 && ratio < 1.02);
    fixture_finish(&f);
}

static void test_estimate(void **state)
{
    (void)state;
    estimate(1, 16, SONDE_DTYPE_F32, 0, 3, 20);
    estimate(3, 64, SONDE_DTYPE_F32, 0, 200, 200);
    estimate(9, 128, SONDE_DTYPE_F16, 0, 60, 200);
    estimate(2, 768, SONDE_DTYPE_F32, 4, 40, 150);
    estimate(1, 30000, SONDE_DTYPE_F32, 0, 4, 60);
    estimate(1, 1, SONDE_DTYPE_F32, 0, 2000, 200);
    estimate(12, 96, SONDE_DTYPE_BF16, 2, 150, 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_round_trip_zlib),
        cmocka_unit_test(test_chunks_are_many_and_whole),
        cmocka_unit_test(test_access_none),
        cmocka_unit_test(test_access_zlib),
        cmocka_unit_test(test_kill_and_resume),
        cmocka_unit_test(test_abandon_everywhere),
        cmocka_unit_test(test_resume_identity),
        cmocka_unit_test(test_runs_side_by_side),
        cmocka_unit_test(test_second_writer_and_reader),
        cmocka_unit_test(test_put_refuses),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_read_only_file),
        cmocka_unit_test(test_estimate),
    };
    return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
