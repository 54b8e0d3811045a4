/* The store against a plain file of the same bytes. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/rng.h"
#include "storage/store.h"
#include "tools/bench/bench.h"
#include "tools/bench/bench_model.h"

/* STREAMS x SEQUENCES x 786 KB: about what a recording has between a few commits. Compressing is so
 * much slower that a tenth of it will do. */
enum {
    STREAMS = 4,
    WIDTH = 768,
    TOKENS = 256,
    SEQUENCES = 80,
    SEQUENCES_ZLIB = 8,
    BATCH = 20, /* sequences from one commit, or sync of the plain file, to the next */
    LOOKUPS = 2000,
    MANY_SEQUENCES = 3907, /* x TOKENS: a million tokens */
};

struct store_work {
    float *value; /* [TOKENS, WIDTH] */
    struct sonde_token *token;
    char *path, *plain, *many; /* many: the store of a million tokens */
};

/* What a run of the measurement is made of. */
struct shape {
    int n_streams;
    int64_t width, n_sequences;
    enum sonde_codec codec;
};

static const struct shape raw_shape = { STREAMS, WIDTH, SEQUENCES, SONDE_CODEC_NONE };
static const struct shape zlib_shape = { STREAMS, WIDTH, SEQUENCES_ZLIB, SONDE_CODEC_ZLIB };
static const struct shape many_shape = { 1, 1, MANY_SEQUENCES, SONDE_CODEC_NONE };

static enum sonde_status os_error(const char *path, struct sonde_error *error)
{
    return sonde_error_set(error, SONDE_STATUS_IO, "%s: %s", path, strerror(errno));
}

static double megabytes(const struct shape *shape)
{
    return (double)shape->n_streams * (double)shape->n_sequences * TOKENS * (double)shape->width *
           (double)sizeof(float) / 1e6;
}

static enum sonde_status fill(struct sonde_sink *sink, const struct store_work *w,
                              const struct shape *shape, struct sonde_error *error)
{
    struct sonde_record record[STREAMS];
    for (int s = 0; s < shape->n_streams; s++)
        record[s] = (struct sonde_record){ w->value, TOKENS * shape->width };
    enum sonde_status status = SONDE_STATUS_OK;
    for (int64_t i = 0; !status && i < shape->n_sequences; i++) {
        struct sonde_sequence sequence = { .source = i, .n_tokens = TOKENS, .tokens = w->token };
        status = sink->put(sink, &sequence, record, error);
        if (!status && (i + 1) % BATCH == 0 && shape != &many_shape)
            status = sink->commit(sink, error);
    }
    if (!status)
        return sink->finish(sink, error);
    sink->abandon(sink);
    return status;
}

static enum sonde_status write_store(const struct store_work *w, const char *path,
                                     const struct shape *shape, double *rate,
                                     struct sonde_error *error)
{
    struct sonde_stream stream[STREAMS];
    for (int s = 0; s < shape->n_streams; s++) {
        stream[s] = (struct sonde_stream){ .layer = s,
                                           .space = SONDE_ROWS_TOKEN,
                                           .dtype = SONDE_DTYPE_F32,
                                           .rank = 1,
                                           .dim = { shape->width, 1 },
                                           .width = shape->width };
        sonde_site_format((struct sonde_site){ SONDE_SITE_RESID_POST, s }, stream[s].name);
    }
    struct sonde_store_model model = { .family = "bench" };
    struct sonde_run_info info = { .command_line = "sonde bench", .codec = shape->codec };
    struct sonde_store *store = NULL;
    struct sonde_sink *sink = NULL;
    int64_t done = 0;
    unlink(path);
    double begin = sonde_cli_seconds();
    enum sonde_status status = sonde_store_open(&store, path, SONDE_STORE_CREATE, error);
    if (!status)
        status = sonde_store_begin_run(store, &model, &info, stream, shape->n_streams, 0, &sink,
                                       &done, error);
    if (!status)
        status = fill(sink, w, shape, error);
    sonde_store_close(&store);
    *rate = megabytes(shape) / (sonde_cli_seconds() - begin);
    return status;
}

/* Microseconds that one row of one stream takes, anywhere in the store. */
static enum sonde_status look_up(const struct store_work *w, struct sonde_source *source,
                                 double *microseconds, struct sonde_error *error)
{
    struct sonde_rng rng = sonde_rng_make(42, 4);
    enum sonde_status status = SONDE_STATUS_OK;
    double begin = sonde_cli_seconds();
    for (int i = 0; !status && i < LOOKUPS; i++)
        status = source->read_rows(source, i % STREAMS, sonde_rng_below(&rng, source->n_tokens), 1,
                                   w->value, error);
    *microseconds = (sonde_cli_seconds() - begin) * 1e6 / LOOKUPS;
    return status;
}

static enum sonde_status read_store(const struct store_work *w, const struct shape *shape,
                                    double *rate, double *microseconds, struct sonde_error *error)
{
    struct sonde_store *store = NULL;
    struct sonde_source *source = NULL;
    enum sonde_status status = sonde_store_open(&store, w->path, SONDE_STORE_READ, error);
    if (!status)
        status = sonde_store_open_source(store, NULL, 0, &source, error);
    double begin = sonde_cli_seconds();
    for (int64_t s = 0; !status && s < shape->n_streams; s++)
        for (int64_t i = 0; !status && i < shape->n_sequences; i++)
            status = source->read_rows(source, s, i * TOKENS, TOKENS, w->value, error);
    *rate = megabytes(shape) / (sonde_cli_seconds() - begin);
    if (!status && microseconds)
        status = look_up(w, source, microseconds, error);
    if (source)
        source->destroy(&source);
    sonde_store_close(&store);
    return status;
}

static enum sonde_status open_many(const struct store_work *w, double *milliseconds,
                                   struct sonde_error *error)
{
    struct sonde_store *store = NULL;
    struct sonde_source *source = NULL;
    double begin = sonde_cli_seconds();
    enum sonde_status status = sonde_store_open(&store, w->many, SONDE_STORE_READ, error);
    if (!status)
        status = sonde_store_open_source(store, NULL, 0, &source, error);
    *milliseconds = (sonde_cli_seconds() - begin) * 1e3;
    if (source)
        source->destroy(&source);
    sonde_store_close(&store);
    return status;
}

/* The same bytes in the same pieces, synced where the store commits. */
static enum sonde_status write_plain(const struct store_work *w, double *rate,
                                     struct sonde_error *error)
{
    unlink(w->plain);
    int64_t size = (int64_t)TOKENS * WIDTH * (int64_t)sizeof(float);
    double begin = sonde_cli_seconds();
    int fd = open(w->plain, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600);
    bool ok = fd >= 0;
    for (int i = 0; ok && i < SEQUENCES; i++) {
        for (int s = 0; ok && s < STREAMS; s++)
            ok = write(fd, w->value, (size_t)size) == size;
        if (ok && (i + 1) % BATCH == 0)
            ok = fdatasync(fd) == 0;
    }
    ok = ok && fdatasync(fd) == 0;
    *rate = megabytes(&raw_shape) / (sonde_cli_seconds() - begin);
    enum sonde_status status = ok ? SONDE_STATUS_OK : os_error(w->plain, error);
    if (fd >= 0)
        close(fd);
    return status;
}

static enum sonde_status read_plain(const struct store_work *w, double *rate,
                                    struct sonde_error *error)
{
    int64_t size = (int64_t)TOKENS * WIDTH * (int64_t)sizeof(float);
    double begin = sonde_cli_seconds();
    int fd = open(w->plain, O_RDONLY | O_CLOEXEC);
    bool ok = fd >= 0;
    for (int i = 0; ok && i < SEQUENCES * STREAMS; i++)
        ok = read(fd, w->value, (size_t)size) == size;
    *rate = megabytes(&raw_shape) / (sonde_cli_seconds() - begin);
    enum sonde_status status = ok ? SONDE_STATUS_OK : os_error(w->plain, error);
    if (fd >= 0)
        close(fd);
    return status;
}

static enum sonde_status prepare(struct store_work *w, struct sonde_error *error)
{
    w->value = malloc((size_t)TOKENS * WIDTH * sizeof(*w->value));
    w->token = calloc(TOKENS, sizeof(*w->token));
    char *folder = sonde_bench_temporary_template();
    if (folder && !mkdtemp(folder)) {
        enum sonde_status status = os_error(folder, error);
        free(folder);
        return status;
    }
    if (folder) {
        w->path = sonde_path_join(folder, "store.db");
        w->plain = sonde_path_join(folder, "plain");
        w->many = sonde_path_join(folder, "many.db");
    }
    free(folder);
    if (!w->value || !w->token || !w->path || !w->plain || !w->many)
        return sonde_error_memory(error, "the measurement");
    struct sonde_rng rng = sonde_rng_make(42, 3);
    for (int64_t i = 0; i < (int64_t)TOKENS * WIDTH; i++)
        w->value[i] = (float)sonde_rng_normal(&rng); /* as incompressible as activations */
    for (int t = 0; t < TOKENS; t++)
        w->token[t] =
            (struct sonde_token){ .position = t, .begin = -1, .end = -1, .text = "token" };
    return SONDE_STATUS_OK;
}

static void finish(struct store_work *w)
{
    if (w->path) {
        unlink(w->path);
        char *slash = strrchr(w->path, '/');
        if (w->plain)
            unlink(w->plain);
        if (w->many)
            unlink(w->many);
        *slash = '\0';
        rmdir(w->path);
    }
    free(w->path);
    free(w->plain);
    free(w->many);
    free(w->value);
    free(w->token);
}

/* Rates in MB/s and times, of one round. */
struct store_round {
    double plain_write, plain_read, write, read, zlib_write, zlib_read, lookup, open;
};

static enum sonde_status measure(const struct store_work *w, struct store_round *round,
                                 struct sonde_error *error)
{
    enum sonde_status status = write_plain(w, &round->plain_write, error);
    if (!status)
        status = write_store(w, w->path, &raw_shape, &round->write, error);
    if (!status)
        status = read_plain(w, &round->plain_read, error);
    if (!status)
        status = read_store(w, &raw_shape, &round->read, &round->lookup, error);
    if (!status)
        status = write_store(w, w->path, &zlib_shape, &round->zlib_write, error);
    if (!status)
        status = read_store(w, &zlib_shape, &round->zlib_read, NULL, error);
    if (!status)
        status = open_many(w, &round->open, error);
    return status;
}

enum sonde_status sonde_bench_store(struct sonde_bench *bench, struct sonde_error *error)
{
    struct store_work w = { 0 };
    struct sonde_bench_samples plain_write = { { 0 } }, write = plain_write,
                               plain_read = plain_write, read = plain_write,
                               zlib_write = plain_write, zlib_read = plain_write,
                               lookup = plain_write, open = plain_write;
    double rate = 0;
    enum sonde_status status = prepare(&w, error);
    if (!status)
        status = write_store(&w, w.many, &many_shape, &rate, error);
    for (int r = 0; !status && r < SONDE_BENCH_ROUNDS; r++) {
        struct store_round round = { 0 };
        status = measure(&w, &round, error);
        plain_write.value[r] = round.plain_write;
        write.value[r] = round.write;
        plain_read.value[r] = round.plain_read;
        read.value[r] = round.read;
        zlib_write.value[r] = round.zlib_write;
        zlib_read.value[r] = round.zlib_read;
        lookup.value[r] = round.lookup;
        open.value[r] = round.open;
        if (!status)
            status = sonde_bench_progress(bench, "store", r + 1, error);
    }
    finish(&w);
    if (status)
        return status;
    sonde_bench_add(bench, "store", "write", "MB/s", &plain_write, &write);
    sonde_bench_add(bench, "store", "write zlib", "MB/s", &plain_write, &zlib_write);
    sonde_bench_add(bench, "store", "read", "MB/s", &plain_read, &read);
    sonde_bench_add(bench, "store", "read zlib", "MB/s", &plain_read, &zlib_read);
    sonde_bench_add(bench, "store", "one row anywhere", "us", NULL, &lookup);
    sonde_bench_add(bench, "store", "open 1M tokens", "ms", NULL, &open);
    return SONDE_STATUS_OK;
}
