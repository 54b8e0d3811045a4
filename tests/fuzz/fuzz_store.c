/* A store file of unknown origin: opened, checked, listed, read, labelled and resumed. Nothing may
 * crash, and nothing may be read that is not there; errors are welcome. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "storage/store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define INPUT_BYTES_MAX (1 << 20)
#define VALUES_MAX (1 << 20)

static void ignore_problem(void *ctx, const char *text)
{
    size_t *n = ctx;
    *n += strlen(text);
}

static enum sonde_status ignore_result(void *ctx, int64_t id, const char *created,
                                       const char *command, const char *command_line,
                                       const char *archive, int64_t archive_bytes,
                                       struct sonde_error *error)
{
    size_t *n = ctx;
    (void)id;
    (void)error;
    *n += strlen(created) + strlen(command) + strlen(command_line);
    for (int64_t i = 0; i < archive_bytes; i++)
        *n += (uint8_t)archive[i];
    return SONDE_STATUS_OK;
}

static void read_streams(struct sonde_source *source, float *out)
{
    for (int64_t s = 0; s < source->n_streams; s++) {
        int64_t n = source->streams[s].n_rows, width = source->streams[s].width;
        for (int64_t i = 0; i < n && i < 200; i++) {
            int64_t T =
                source->sequences && i < source->n_sequences ? source->sequences[i].n_tokens : 0;
            if (source->streams[s].space == SONDE_ROWS_MAP) {
                if (T <= 512 && width * T * T <= VALUES_MAX &&
                    source->read_map(source, s, i, out, NULL) != SONDE_STATUS_OK)
                    break;
            } else if (width <= VALUES_MAX &&
                       source->read_rows(source, s, i, 1, out, NULL) != SONDE_STATUS_OK) {
                break;
            }
        }
    }
    for (int64_t i = 0; i < source->n_tokens; i++)
        if (source->token_sequence[i] < 0 || source->token_sequence[i] >= source->n_sequences ||
            !source->token_text(source, i))
            abort();
}

static void read_labels(struct sonde_store *store, struct sonde_source *source, int64_t run)
{
    struct sonde_store_label_set *sets = NULL;
    const struct sonde_labels *labels = NULL;
    int64_t n = 0;
    if (sonde_store_list_labels(store, run, &sets, &n, NULL) != SONDE_STATUS_OK)
        return;
    for (int64_t i = 0; i < n; i++)
        if (source->labels(source, sets[i].name, &labels, NULL) == SONDE_STATUS_OK &&
            labels->kind == SONDE_LABEL_CLASS)
            for (int64_t r = 0; r < labels->n_rows; r++)
                if (labels->class_of[r] >= labels->n_classes)
                    abort();
    sonde_store_labels_finish(&sets, n);
}

static void read_store(const char *path, float *out)
{
    struct sonde_store *store = NULL;
    struct sonde_store_runs runs = { 0 };
    size_t n = 0;
    if (sonde_store_open(&store, path, SONDE_STORE_READ, NULL) != SONDE_STATUS_OK)
        return;
    if (sonde_store_list_runs(store, &runs, NULL) == SONDE_STATUS_OK)
        for (int64_t r = 0; r < runs.n; r++) {
            struct sonde_source *source = NULL;
            if (sonde_store_open_source(store, runs.run[r].name, 1, &source, NULL) !=
                SONDE_STATUS_OK)
                continue;
            read_streams(source, out);
            read_labels(store, source, runs.run[r].id);
            source->destroy(&source);
        }
    sonde_store_runs_finish(&runs);
    (void)!sonde_store_visit_results(store, ignore_result, &n, NULL);
    sonde_store_close(&store);
}

static void write_store(const char *path)
{
    struct sonde_store *store = NULL;
    struct sonde_sink *sink = NULL;
    int64_t n = 0;
    const struct sonde_store_model model = {
        .hash = "00ff", .family = "llama", .tokenizer = "bpe", .config_json = "{\"a\":1}"
    };
    const struct sonde_run_info info = {
        .input = "text", .options_json = "{}", .machine = "test", .seed = 42, .resume = true
    };
    const struct sonde_stream stream = { .name = "hook_embed",
                                         .layer = -1,
                                         .space = SONDE_ROWS_TOKEN,
                                         .dtype = SONDE_DTYPE_F32,
                                         .rank = 1,
                                         .dim = { 8, 0 },
                                         .width = 8 };
    if (sonde_store_open(&store, path, SONDE_STORE_WRITE, NULL) != SONDE_STATUS_OK)
        return;
    (void)!sonde_store_label_sql(store, NULL, "fuzz", "SELECT token, text AS value FROM tokens",
                                 true, &n, NULL);
    if (sonde_store_begin_run(store, &model, &info, &stream, 1, 0, &sink, &n, NULL) ==
            SONDE_STATUS_OK &&
        sink)
        sink->abandon(sink);
    sonde_store_close(&store);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64], other[80];
    size_t length = 0;
    int64_t n_problems = 0, n_chunks = 0;
    if (size > INPUT_BYTES_MAX)
        return 0;
    snprintf(path, sizeof(path), "%s/sonde-fuzz-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    int fd = mkstemp(path);
    float *out = malloc(VALUES_MAX * sizeof(float));
    if (fd < 0 || !out || write(fd, data, size) != (ssize_t)size)
        abort();
    close(fd);
    (void)!sonde_store_check(path, true, NULL, ignore_problem, &length, &n_problems, &n_chunks,
                             NULL);
    read_store(path, out);
    write_store(path);
    free(out);
    unlink(path);
    snprintf(other, sizeof(other), "%s-journal", path);
    unlink(other);
    snprintf(other, sizeof(other), "%s-wal", path);
    unlink(other);
    snprintf(other, sizeof(other), "%s-shm", path);
    unlink(other);
    return 0;
}
