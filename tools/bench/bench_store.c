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

enum { STREAMS = 4, WIDTH = 768, TOKENS = 256, SEQUENCES = 80, BATCH = 20 };

struct store_work {
    float *value; /* [TOKENS, WIDTH] */
    struct sonde_token *token;
    char *path, *plain;
    double store_write, store_read, plain_write, plain_read; /* MB/s, of the last round */
};

static enum sonde_status os_error(const char *path, struct sonde_error *error)
{
    return sonde_error_set(error, SONDE_STATUS_IO, "%s: %s", path, strerror(errno));
}

static int64_t all_bytes(void)
{
    return (int64_t)STREAMS * SEQUENCES * TOKENS * WIDTH * (int64_t)sizeof(float);
}

static double megabytes(void)
{
    return (double)all_bytes() / 1e6;
}

static enum sonde_status fill(struct sonde_sink *sink, const struct store_work *w,
                              struct sonde_error *error)
{
    struct sonde_record record[STREAMS];
    for (int s = 0; s < STREAMS; s++)
        record[s] = (struct sonde_record){ w->value, (int64_t)TOKENS * WIDTH };
    enum sonde_status status = SONDE_STATUS_OK;
    for (int64_t i = 0; !status && i < SEQUENCES; i++) {
        struct sonde_sequence sequence = { .source = i, .n_tokens = TOKENS, .tokens = w->token };
        status = sink->put(sink, &sequence, record, error);
        if (!status && (i + 1) % BATCH == 0)
            status = sink->commit(sink, error);
    }
    if (!status)
        return sink->finish(sink, error);
    sink->abandon(sink);
    return status;
}

static enum sonde_status write_store(struct store_work *w, struct sonde_error *error)
{
    struct sonde_stream stream[STREAMS];
    for (int s = 0; s < STREAMS; s++) {
        stream[s] = (struct sonde_stream){ .layer = s,
                                           .space = SONDE_ROWS_TOKEN,
                                           .dtype = SONDE_DTYPE_F32,
                                           .rank = 1,
                                           .dim = { WIDTH, 1 },
                                           .width = WIDTH };
        sonde_site_format((struct sonde_site){ SONDE_SITE_RESID_POST, s }, stream[s].name);
    }
    struct sonde_store_model model = { .path = "",
                                       .family = "bench",
                                       .config_json = "",
                                       .hash = "",
                                       .tokenizer = "",
                                       .n_layers = STREAMS,
                                       .d_model = WIDTH,
                                       .n_heads = 1,
                                       .d_vocab = 1,
                                       .n_ctx = TOKENS };
    struct sonde_run_info info = { .command_line = "sonde bench",
                                   .input = "bench",
                                   .options_json = "{}",
                                   .edits_json = "[]",
                                   .machine = "" };
    struct sonde_store *store = NULL;
    struct sonde_sink *sink = NULL;
    int64_t done = 0;
    unlink(w->path);
    double begin = sonde_cli_seconds();
    enum sonde_status status = sonde_store_open(&store, w->path, SONDE_STORE_CREATE, error);
    if (!status)
        status =
            sonde_store_begin_run(store, &model, &info, stream, STREAMS, 0, &sink, &done, error);
    if (!status)
        status = fill(sink, w, error);
    sonde_store_close(&store);
    w->store_write = megabytes() / (sonde_cli_seconds() - begin);
    return status;
}

static enum sonde_status read_store(struct store_work *w, struct sonde_error *error)
{
    struct sonde_store *store = NULL;
    struct sonde_source *source = NULL;
    enum sonde_status status = sonde_store_open(&store, w->path, SONDE_STORE_READ, error);
    if (!status)
        status = sonde_store_open_source(store, NULL, 0, &source, error);
    double begin = sonde_cli_seconds();
    for (int64_t s = 0; !status && s < STREAMS; s++)
        for (int64_t i = 0; !status && i < SEQUENCES; i++)
            status = source->read_rows(source, s, i * TOKENS, TOKENS, w->value, error);
    w->store_read = megabytes() / (sonde_cli_seconds() - begin);
    if (source)
        source->destroy(&source);
    sonde_store_close(&store);
    return status;
}

/* The same bytes in the same pieces, on disk at the end: a store's commits are durable too. */
static enum sonde_status write_plain(struct store_work *w, struct sonde_error *error)
{
    unlink(w->plain);
    const char *data = (const char *)w->value;
    int64_t left = all_bytes(), size = (int64_t)TOKENS * WIDTH * (int64_t)sizeof(float);
    double begin = sonde_cli_seconds();
    int fd = open(w->plain, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600);
    bool ok = fd >= 0;
    while (ok && left > 0) {
        int64_t n = left < size ? left : size;
        ok = write(fd, data, (size_t)n) == n;
        left -= n;
    }
    ok = ok && fdatasync(fd) == 0;
    w->plain_write = megabytes() / (sonde_cli_seconds() - begin);
    enum sonde_status status = ok ? SONDE_STATUS_OK : os_error(w->plain, error);
    if (fd >= 0)
        close(fd);
    return status;
}

static enum sonde_status read_plain(struct store_work *w, struct sonde_error *error)
{
    int64_t size = (int64_t)TOKENS * WIDTH * (int64_t)sizeof(float);
    double begin = sonde_cli_seconds();
    int fd = open(w->plain, O_RDONLY | O_CLOEXEC);
    bool ok = fd >= 0;
    for (int64_t left = all_bytes(); ok && left > 0; left -= size)
        ok = read(fd, w->value, (size_t)size) == size;
    w->plain_read = megabytes() / (sonde_cli_seconds() - begin);
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
    }
    free(folder);
    if (!w->value || !w->token || !w->path || !w->plain)
        return sonde_error_memory(error, "the measurement");
    struct sonde_rng rng = sonde_rng_make(42, 3);
    for (int64_t i = 0; i < (int64_t)TOKENS * WIDTH; i++)
        w->value[i] = (float)(sonde_rng_u32(&rng) >> 8) / 8388608.0f - 1.0f;
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
        *slash = '\0';
        rmdir(w->path);
    }
    free(w->path);
    free(w->plain);
    free(w->value);
    free(w->token);
}

enum sonde_status sonde_bench_store(struct sonde_bench *bench, struct sonde_error *error)
{
    struct store_work w = { 0 };
    struct sonde_bench_samples plain_write = { { 0 } }, store_write = plain_write,
                               plain_read = plain_write, store_read = plain_write;
    enum sonde_status status = prepare(&w, error);
    for (int r = 0; !status && r < SONDE_BENCH_ROUNDS; r++) {
        status = write_plain(&w, error);
        if (!status)
            status = write_store(&w, error);
        if (!status)
            status = read_plain(&w, error);
        if (!status)
            status = read_store(&w, error);
        plain_write.value[r] = w.plain_write;
        store_write.value[r] = w.store_write;
        plain_read.value[r] = w.plain_read;
        store_read.value[r] = w.store_read;
        if (!status)
            status = sonde_bench_progress(bench, "store", r + 1, error);
    }
    finish(&w);
    if (status)
        return status;
    sonde_bench_add(bench, "store", "write", "MB/s", &plain_write, &store_write);
    sonde_bench_add(bench, "store", "read", "MB/s", &plain_read, &store_read);
    return SONDE_STATUS_OK;
}
