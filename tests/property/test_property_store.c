/* A store that was killed or stopped at any points and resumed has the rows of one that was written
 * without a break, and they are the bits that the model gives. */
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/property/property_bits.h"
#include "tests/support/check.h"
#include "tests/unit/storage/store_fixture.h"

enum { ROUNDS = 16, BREAKS_MAX = 3 };

/* Ends the recording after so many updates: by asking to stop, or by SIGKILL. */
struct end {
    int64_t left;
    bool kill;
};

static bool count_down(void *ctx, const char *what, int64_t done, int64_t total, const char *unit)
{
    struct end *end = ctx;
    (void)what, (void)done, (void)total, (void)unit;
    if (end->left-- > 0) {
        return true;
    }
    if (end->kill) {
        raise(SIGKILL);
    }
    return false;
}

/* Streams as they are stored. */
struct target {
    const struct property_case *c;
    struct fixture *fixture;
    struct sonde_stream *streams;
    int64_t n_streams;
};

/* Begins or resumes the run and records what is missing of it. *done: the run is complete. */
static enum sonde_status write_on(const struct target *t, struct property_way way, bool resume,
                                  const struct sonde_progress *progress, int64_t queue, bool *done,
                                  struct sonde_error *error)
{
    struct sonde_store *store = NULL;
    struct sonde_sink *sink = NULL;
    const struct sonde_store_model model = fixture_model();
    const struct sonde_run_info info = fixture_info(t->fixture, "run", resume);
    enum sonde_status status =
        sonde_store_open(&store, t->fixture->path, SONDE_STORE_CREATE, error);
    if (!status) {
        status = sonde_store_begin_run(store, &model, &info, t->streams, t->n_streams, queue, &sink,
                                       &way.skip, error);
    }
    *done = !status && !sink;
    if (sink) {
        status = property_record(t->c, &way, progress, sink, error);
        if (status) {
            sink->abandon(sink);
        } else {
            status = sink->finish(sink, error);
            *done = !status;
        }
    }
    sonde_store_close(&store);
    return status;
}

/* The same in a process that is killed. */
static void write_and_die(const struct target *t, const struct property_way *way, bool resume,
                          int64_t updates, int64_t queue)
{
    fflush(NULL);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct end end = { .left = updates, .kill = true };
        const struct sonde_progress progress = { .update = count_down, .ctx = &end };
        struct sonde_error error = { 0 };
        bool done = false;
        const enum sonde_status status = write_on(t, *way, resume, &progress, queue, &done, &error);
        if (status) {
            fprintf(stderr, "# in the process: %s\n", error.text);
        }
        _exit(status ? 1 : 0);
    }
    int how = 0;
    assert_int_equal(waitpid(child, &how, 0), child);
    /* Killed, or through before it came to that. */
    if (!(WIFSIGNALED(how) && WTERMSIG(how) == SIGKILL) &&
        !(WIFEXITED(how) && WEXITSTATUS(how) == 0)) {
        fail_msg("the process ended otherwise: %d", how);
    }
}

static void draw_resources(const struct property_case *c, struct sonde_rng *rng,
                           struct property_way *way)
{
    way->n_threads = (int)property_between(rng, 1, 4);
    way->mem_bytes = 0;
    if (property_chance(rng, 0.5)) {
        const int64_t least = property_least_bytes(c, way);
        way->mem_bytes = least + sonde_rng_below(rng, 2 * least);
    }
}

/* Records with breaks into the fixture's store. */
static void write_with_breaks(const struct target *t, struct sonde_rng *rng,
                              struct property_way way)
{
    struct sonde_error error = { 0 };
    bool done = false;
    const int n_breaks = (int)property_between(rng, 1, BREAKS_MAX);
    for (int i = 0; i < n_breaks; i++) {
        const int64_t updates = sonde_rng_below(rng, way.n_order);
        const int64_t queue = property_chance(rng, 0.5) ? 0 : property_between(rng, 1, 1 << 20);
        draw_resources(t->c, rng, &way);
        if (property_chance(rng, 0.4)) {
            write_and_die(t, &way, true, updates, queue);
            continue;
        }
        struct end end = { .left = updates };
        const struct sonde_progress progress = { .update = count_down, .ctx = &end };
        const enum sonde_status status = write_on(t, way, true, &progress, queue, &done, &error);
        if (status != SONDE_STATUS_OK && status != SONDE_STATUS_CANCELLED) {
            fail_msg("%s", error.text);
        }
    }
    draw_resources(t->c, rng, &way);
    check_ok(write_on(t, way, true, NULL, 0, &done, &error), &error);
    assert_true(done);
}

/* What the store gives back, against the bits as the stream's dtype keeps them. */
static const char *check_source(const struct property_bits *bits, const struct target *t,
                                int64_t cache_bytes, char text[256])
{
    struct sonde_error error = { 0 };
    struct sonde_store *store = NULL;
    struct sonde_source *source = NULL;
    const char *why = NULL;
    check_ok(sonde_store_open(&store, t->fixture->path, SONDE_STORE_READ, &error), &error);
    check_ok(sonde_store_open_source(store, "run", cache_bytes, &source, &error), &error);
    assert_int_equal(source->n_sequences, bits->c->corpus.n);
    for (int64_t s = 0; s < source->n_sequences && !why; s++) {
        const struct sonde_source_sequence *sequence = &source->sequences[s];
        for (int64_t i = 0; i < t->n_streams && !why; i++) {
            const struct sonde_record *record = &bits->records[s][i];
            const size_t n = (size_t)record->n_values;
            float *stored = malloc(n * sizeof *stored + 1), *own = malloc(n * sizeof *own + 1);
            void *narrow = malloc(n * sizeof *own + 1);
            sonde_dtype_narrow(t->streams[i].dtype, record->value, narrow, record->n_values);
            sonde_dtype_widen(t->streams[i].dtype, narrow, own, record->n_values);
            if (t->streams[i].space == SONDE_ROWS_MAP) {
                check_ok(source->read_map(source, i, s, stored, &error), &error);
            } else {
                check_ok(source->read_rows(source, i, sequence->first_row, sequence->n_tokens,
                                           stored, &error),
                         &error);
            }
            if (memcmp(own, stored, n * sizeof *own) != 0) {
                snprintf(text, 256, "sequence %lld, %s: not what was recorded", (long long)s,
                         t->streams[i].name);
                why = text;
            }
            free(stored);
            free(own);
            free(narrow);
        }
    }
    source->destroy(&source);
    sonde_store_close(&store);
    return why;
}

static void narrow_streams(struct sonde_rng *rng, const struct property_bits *bits,
                           struct target *t)
{
    static const enum sonde_dtype dtypes[] = { SONDE_DTYPE_F32, SONDE_DTYPE_F16, SONDE_DTYPE_BF16 };
    t->n_streams = bits->n_streams;
    t->streams = calloc((size_t)t->n_streams + 1, sizeof *t->streams);
    assert_non_null(t->streams);
    const bool same = property_chance(rng, 0.5);
    for (int64_t i = 0; i < t->n_streams; i++) {
        t->streams[i] = bits->streams[i];
        t->streams[i].dtype = same ? SONDE_DTYPE_F32 : dtypes[sonde_rng_below(rng, 3)];
    }
}

static void run_round(const struct property_rounds *rounds, int64_t round)
{
    static const int64_t batches[] = { 1, 5000, 100000, 0 };
    struct sonde_rng rng = property_rng(rounds, round, "store");
    struct property_case *c = malloc(sizeof *c);
    struct property_bits bits;
    struct fixture whole, broken;
    char digest[2][65], text[256];
    bool done = false;
    struct sonde_error error = { 0 };
    assert_non_null(c);
    property_case_draw(c, &rng, round % 12 == 11);
    property_bits_make(&bits, c);
    fixture_init(&whole);
    fixture_init(&broken);
    whole.codec = broken.codec = property_chance(&rng, 0.5) ? SONDE_CODEC_ZLIB : SONDE_CODEC_NONE;
    int64_t *order = calloc((size_t)c->corpus.n, sizeof *order);
    assert_non_null(order);
    for (int64_t i = 0; i < c->corpus.n; i++) {
        order[i] = i;
    }
    struct property_way way = { .order = order, .n_order = c->corpus.n, .n_threads = 2 };
    struct target t = { .c = c, .fixture = &whole };
    narrow_streams(&rng, &bits, &t);
    check_ok(write_on(&t, way, false, NULL, 0, &done, &error), &error);
    fixture_digest(whole.path, digest[0]);
    t.fixture = &broken;
    way.batch_bytes = batches[sonde_rng_below(&rng, 4)];
    write_with_breaks(&t, &rng, way);
    fixture_digest(broken.path, digest[1]);
    const char *why = strcmp(digest[0], digest[1]) == 0
                          ? check_source(&bits, &t, property_chance(&rng, 0.5) ? 1 : 0, text)
                          : "the rows differ from those of a run without a break";
    if (why) {
        fprintf(stderr, "# round %lld: %s (batch %lld, %s)\n", (long long)round, why,
                (long long)way.batch_bytes, sonde_codec_name(whole.codec));
        property_case_say(c);
        property_say(rounds, round, "test_property_store");
    }
    fixture_finish(&whole);
    fixture_finish(&broken);
    property_bits_free(&bits);
    property_case_free(c);
    free(t.streams);
    free(order);
    free(c);
    if (why) {
        fail();
    }
}

static void test_resumed_stores(void **state)
{
    const struct property_rounds rounds = property_rounds_read(ROUNDS);
    (void)state;
    for (int64_t i = 0; i < rounds.n; i++) {
        run_round(&rounds, rounds.first + i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_resumed_stores) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
