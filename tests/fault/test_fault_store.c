/* Allocations and file operations fail, one at a time, while a run is recorded and read back.
 * Whatever fails, the store is one that resuming completes, and that passes the full check then. */
#include "storage/store.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/fault/fault_inject.h"
#include "tests/fault/fault_sqlite.h"
#include "tests/support/check.h"

enum { N_SEQUENCES = 4, N_TOKENS = 5, WIDTH = 3, N_TRIED = 120 };

struct place {
    char root[64], path[96];
    struct sonde_stream stream;
    enum sonde_codec codec;
};

static float value_at(int64_t sequence, int64_t i)
{
    return (float)(100 * sequence + i) + 0.25F;
}

static void remove_store(const struct place *place)
{
    static const char *const endings[] = { "", "-journal", "-wal", "-shm" };
    for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
        char name[128];
        snprintf(name, sizeof(name), "%s%s", place->path, endings[i]);
        unlink(name);
    }
}

static enum sonde_status put_sequence(struct sonde_sink *sink, int64_t sequence,
                                      struct sonde_error *error)
{
    struct sonde_token tokens[N_TOKENS];
    float values[N_TOKENS * WIDTH]; /* [N_TOKENS, WIDTH] */
    for (int i = 0; i < N_TOKENS; i++)
        tokens[i] = (struct sonde_token){
            .id = 10 + i, .position = i, .begin = i, .end = i + 1, .text = "t"
        };
    for (int i = 0; i < N_TOKENS * WIDTH; i++)
        values[i] = value_at(sequence, i);
    struct sonde_sequence fed = {
        .source = sequence, .text = "abcde", .n_tokens = N_TOKENS, .tokens = tokens
    };
    struct sonde_record record = { .value = values, .n_values = N_TOKENS * WIDTH };
    return sink->put(sink, &fed, &record, error);
}

/* Records sequences, with a commit in the middle, from the first one that is not there. */
static enum sonde_status record_run(const struct place *place, bool resume,
                                    struct sonde_error *error)
{
    static const struct sonde_store_model model = { .path = "model",
                                                    .family = "llama",
                                                    .config_json = "{}",
                                                    .hash = "00",
                                                    .tokenizer = "none",
                                                    .n_layers = 1,
                                                    .d_model = WIDTH,
                                                    .n_heads = 1,
                                                    .d_vocab = 20,
                                                    .n_ctx = 16 };
    struct sonde_run_info info = { .name = "run",
                                   .command_line = "record",
                                   .input = "none",
                                   .options_json = "{}",
                                   .edits_json = "[]",
                                   .machine = "any",
                                   .codec = place->codec,
                                   .resume = resume };
    struct sonde_store *store = NULL;
    enum sonde_status status = sonde_store_open(&store, place->path, SONDE_STORE_CREATE, error);
    if (status != SONDE_STATUS_OK)
        return status;
    struct sonde_sink *sink = NULL;
    int64_t n_done = 0;
    status =
        sonde_store_begin_run(store, &model, &info, &place->stream, 1, 0, &sink, &n_done, error);
    for (int64_t i = n_done; status == SONDE_STATUS_OK && sink && i < N_SEQUENCES; i++) {
        status = put_sequence(sink, i, error);
        if (status == SONDE_STATUS_OK && i == N_SEQUENCES / 2)
            status = sink->commit(sink, error);
    }
    if (sink && status == SONDE_STATUS_OK)
        status = sink->finish(sink, error);
    else if (sink)
        sink->abandon(sink);
    sonde_store_close(&store);
    return status;
}

static enum sonde_status record_afresh(void *ctx, struct sonde_error *error)
{
    remove_store(ctx);
    return record_run(ctx, false, error);
}

static void print_problem(void *ctx, const char *text)
{
    (void)ctx;
    fprintf(stderr, "# %s\n", text);
}

static enum sonde_status read_run(void *ctx, struct sonde_error *error)
{
    struct place *place = ctx;
    struct sonde_store *store = NULL;
    struct sonde_source *source = NULL;
    float values[N_SEQUENCES * N_TOKENS * WIDTH] = { 0 };
    enum sonde_status status = sonde_store_open(&store, place->path, SONDE_STORE_READ, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_store_open_source(store, NULL, 0, &source, error);
    if (status == SONDE_STATUS_OK) {
        assert_int_equal(source->n_sequences, N_SEQUENCES);
        assert_int_equal(source->n_tokens, N_SEQUENCES * N_TOKENS);
        status = source->read_rows(source, 0, 0, N_SEQUENCES * N_TOKENS, values, error);
    }
    for (int64_t i = 0; status == SONDE_STATUS_OK && i < N_SEQUENCES * N_TOKENS * WIDTH; i++)
        assert_true(values[i] == value_at(i / (N_TOKENS * WIDTH), i % (N_TOKENS * WIDTH)));
    if (source)
        source->destroy(&source);
    sonde_store_close(&store);
    return status;
}

static void resuming_completes(void *ctx, enum sonde_status status)
{
    struct place *place = ctx;
    struct sonde_error error = { 0 };
    if (status != SONDE_STATUS_OK)
        check_ok(record_run(place, true, &error), &error);
    int64_t n_problems = 0, n_chunks = 0;
    check_ok(sonde_store_check(place->path, true, NULL, print_problem, NULL, &n_problems, &n_chunks,
                               &error),
             &error);
    assert_int_equal(n_problems, 0);
    check_ok(read_run(place, &error), &error);
}

static int setup(void **state)
{
    struct place *place = calloc(1, sizeof(*place));
    snprintf(place->root, sizeof(place->root), "sonde-fault-store-XXXXXX");
    if (!mkdtemp(place->root))
        return -1;
    snprintf(place->path, sizeof(place->path), "%s/store.db", place->root);
    place->stream = (struct sonde_stream){ .name = "blocks.0.hook_resid_post",
                                           .layer = 0,
                                           .space = SONDE_ROWS_TOKEN,
                                           .dtype = SONDE_DTYPE_F32,
                                           .rank = 1,
                                           .dim = { WIDTH, 0 },
                                           .width = WIDTH };
    *state = place;
    return 0;
}

static int teardown(void **state)
{
    struct place *place = *state;
    remove_store(place);
    int failure = rmdir(place->root);
    free(place);
    return failure;
}

static void recording_survives_memory(void **state)
{
    struct fault_report report =
        fault_some(FAULT_MEMORY, N_TRIED, record_afresh, resuming_completes, *state);
    assert_true(report.n_calls > 100);
    assert_true(report.n_tolerated < report.n_calls / 2);
}

static void recording_survives_files(void **state)
{
    struct place *place = *state;
    place->codec = SONDE_CODEC_ZLIB;
    struct fault_report report =
        fault_some(FAULT_READ | FAULT_WRITE, N_TRIED, record_afresh, resuming_completes, place);
    assert_true(report.n_calls > 10);
    assert_true(report.n_tolerated < report.n_calls);
}

static void recording_survives_threads(void **state)
{
    struct fault_report report =
        fault_each(FAULT_THREAD, record_afresh, resuming_completes, *state);
    assert_int_equal(report.n_tolerated, 0);
}

static void reading_survives(void **state)
{
    struct sonde_error error = { 0 };
    check_ok(record_afresh(*state, &error), &error);
    struct fault_report report =
        fault_some(FAULT_MEMORY | FAULT_READ, 2 * N_TRIED, read_run, NULL, *state);
    assert_true(report.n_calls > 50);
    assert_true(report.n_tolerated < report.n_calls / 2);
    check_ok(read_run(*state, &error), &error);
}

int main(void)
{
    fault_sqlite_install();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(recording_survives_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(recording_survives_files, setup, teardown),
        cmocka_unit_test_setup_teardown(recording_survives_threads, setup, teardown),
        cmocka_unit_test_setup_teardown(reading_survives, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
