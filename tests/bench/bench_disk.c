/*
 * Store against plain file: the same bytes written (and synced) and read back, in one process, in
 * the folder given (default "."). Prints one JSON line a measurement; `ratio` is store / plain.
 * bench_disk [FOLDER [MEBIBYTES]]
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/base/rng.h"
#include "storage/store.h"

enum { N_STREAMS = 8, WIDTH = 256, T = 256, BATCH = 16, REPEATS = 3 };

#define SEQUENCE_VALUES ((int64_t)N_STREAMS * T * WIDTH)

struct bench {
    char store[512], plain[512];
    int64_t n_sequences, bytes;
    float *values; /* [N_STREAMS, T, WIDTH] */
    enum sonde_codec codec;
};

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void must(enum sonde_status status, const struct sonde_error *error)
{
    if (status == SONDE_STATUS_OK)
        return;
    fprintf(stderr, "bench_disk: %s\n", error->text);
    exit(2);
}

static void must_io(bool good, const char *what)
{
    if (good)
        return;
    perror(what);
    exit(2);
}

static double write_plain(const struct bench *b)
{
    double start = seconds();
    int fd = open(b->plain, O_CREAT | O_TRUNC | O_WRONLY, 0600);
    must_io(fd >= 0, b->plain);
    for (int64_t i = 0; i < b->n_sequences; i++) {
        ssize_t n = write(fd, b->values, (size_t)SEQUENCE_VALUES * sizeof(float));
        must_io(n == SEQUENCE_VALUES * (ssize_t)sizeof(float), b->plain);
        if ((i + 1) % BATCH == 0)
            must_io(fdatasync(fd) == 0, b->plain);
    }
    must_io(fsync(fd) == 0, b->plain);
    close(fd);
    return seconds() - start;
}

static double read_plain(const struct bench *b, float *out)
{
    double start = seconds();
    int fd = open(b->plain, O_RDONLY);
    must_io(fd >= 0, b->plain);
    for (int64_t i = 0; i < b->n_sequences; i++) {
        ssize_t n = read(fd, out, (size_t)SEQUENCE_VALUES * sizeof(float));
        must_io(n == SEQUENCE_VALUES * (ssize_t)sizeof(float), b->plain);
    }
    close(fd);
    return seconds() - start;
}

static double write_store(const struct bench *b)
{
    struct sonde_error error = { 0 };
    struct sonde_store *store = NULL;
    struct sonde_sink *sink = NULL;
    struct sonde_stream streams[N_STREAMS];
    struct sonde_record records[N_STREAMS];
    struct sonde_token tokens[T];
    int64_t n_done = 0;
    const struct sonde_store_model model = { .family = "bench" };
    const struct sonde_run_info info = { .name = "bench", .codec = b->codec };
    memset(streams, 0, sizeof(streams));
    for (int s = 0; s < N_STREAMS; s++) {
        streams[s] = (struct sonde_stream){ .layer = s,
                                            .space = SONDE_ROWS_TOKEN,
                                            .dtype = SONDE_DTYPE_F32,
                                            .rank = 1,
                                            .dim = { WIDTH, 0 },
                                            .width = WIDTH };
        snprintf(streams[s].name, sizeof(streams[s].name), "blocks.%d.hook_resid_post", s);
        records[s] = (struct sonde_record){ b->values + (int64_t)s * T * WIDTH, T * WIDTH };
    }
    for (int t = 0; t < T; t++)
        tokens[t] = (struct sonde_token){
            .id = t, .position = t, .begin = t, .end = t + 1, .text = "word"
        };
    unlink(b->store);
    double start = seconds();
    must(sonde_store_open(&store, b->store, SONDE_STORE_CREATE, &error), &error);
    must(sonde_store_begin_run(store, &model, &info, streams, N_STREAMS, 0, &sink, &n_done, &error),
         &error);
    for (int64_t i = 0; i < b->n_sequences; i++) {
        const struct sonde_sequence sequence = { .source = i, .n_tokens = T, .tokens = tokens };
        must(sink->put(sink, &sequence, records, &error), &error);
        if ((i + 1) % BATCH == 0)
            must(sink->commit(sink, &error), &error);
    }
    must(sink->finish(sink, &error), &error);
    sonde_store_close(&store);
    return seconds() - start;
}

struct read_times {
    double open, scan, lookups; /* seconds; lookups: of 2000 single rows */
};

static struct read_times read_store(const struct bench *b, float *out)
{
    struct sonde_error error = { 0 };
    struct sonde_store *store = NULL;
    struct sonde_source *source = NULL;
    struct read_times times;
    double start = seconds();
    must(sonde_store_open(&store, b->store, SONDE_STORE_READ, &error), &error);
    must(sonde_store_open_source(store, NULL, 0, &source, &error), &error);
    times.open = seconds() - start;
    start = seconds();
    const int64_t step = SEQUENCE_VALUES / WIDTH;
    for (int64_t s = 0; s < source->n_streams; s++)
        for (int64_t first = 0; first < source->n_tokens; first += step) {
            int64_t n = source->n_tokens - first < step ? source->n_tokens - first : step;
            must(source->read_rows(source, s, first, n, out, &error), &error);
        }
    times.scan = seconds() - start;
    struct sonde_rng rng = sonde_rng_make(1, 1);
    start = seconds();
    for (int i = 0; i < 2000; i++)
        must(source->read_rows(source, i % N_STREAMS, sonde_rng_below(&rng, source->n_tokens), 1,
                               out, &error),
             &error);
    times.lookups = seconds() - start;
    source->destroy(&source);
    sonde_store_close(&store);
    return times;
}

static void print(const char *what, double mebibytes, double store, double plain)
{
    printf("{\"bench\": \"store\", \"part\": \"%s\", \"mib_per_second\": %.0f, \"plain\": %.0f,"
           " \"ratio\": %.2f}\n",
           what, mebibytes / store, mebibytes / plain, plain / store);
}

int main(int argc, char **argv)
{
    struct bench b = { 0 };
    const char *folder = argc > 1 ? argv[1] : ".";
    double mebibytes = argc > 2 ? atof(argv[2]) : 512.0;
    snprintf(b.store, sizeof(b.store), "%s/bench-store.db", folder);
    snprintf(b.plain, sizeof(b.plain), "%s/bench-store.bin", folder);
    b.n_sequences = (int64_t)(mebibytes * 1048576.0 / (double)(SEQUENCE_VALUES * 4));
    b.values = malloc((size_t)SEQUENCE_VALUES * sizeof(float));
    float *out = malloc((size_t)SEQUENCE_VALUES * sizeof(float));
    must_io(b.values && out && b.n_sequences > 0, "memory");
    struct sonde_rng rng = sonde_rng_make(42, 1);
    for (int64_t i = 0; i < SEQUENCE_VALUES; i++)
        b.values[i] = (float)sonde_rng_normal(&rng);
    /* In turn, the best of each: the machine's other work hits both. */
    double plain = 1e30, store = 1e30, plain_read = 1e30;
    struct read_times best = { 1e30, 1e30, 1e30 };
    for (int k = 0; k < REPEATS; k++) {
        double time = write_plain(&b);
        plain = time < plain ? time : plain;
        time = write_store(&b);
        store = time < store ? time : store;
        time = read_plain(&b, out);
        plain_read = time < plain_read ? time : plain_read;
        struct read_times times = read_store(&b, out);
        best.open = times.open < best.open ? times.open : best.open;
        best.scan = times.scan < best.scan ? times.scan : best.scan;
        best.lookups = times.lookups < best.lookups ? times.lookups : best.lookups;
    }
    print("write", mebibytes, store, plain);
    print("read", mebibytes, best.scan, plain_read);
    printf("{\"bench\": \"store\", \"part\": \"lookup\", \"rows_per_second\": %.0f,"
           " \"open_seconds\": %.3f}\n",
           2000.0 / best.lookups, best.open);
    b.codec = SONDE_CODEC_ZLIB;
    store = write_store(&b);
    best = read_store(&b, out);
    print("write zlib", mebibytes, store, plain);
    print("read zlib", mebibytes, best.scan, plain_read);
    unlink(b.store);
    unlink(b.plain);
    free(b.values);
    free(out);
    return 0;
}
