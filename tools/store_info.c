#include "tools/store_info.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/num.h"

int64_t sonde_store_file_bytes(const char *path)
{
    struct sonde_file *file = NULL;
    int64_t size = 0;
    if (sonde_file_open(&file, path, NULL) == SONDE_STATUS_OK)
        size = sonde_file_size(file);
    sonde_file_close(&file);
    return size;
}

static void text_bytes(struct sonde_table *table, int64_t column, int64_t bytes)
{
    char text[SONDE_FORMAT_F64_MAX];
    sonde_format_bytes(text, bytes);
    sonde_table_text(table, column, text);
}

static void add_origin(struct sonde_table *t, const char *run, const char *property,
                       const char *value)
{
    sonde_table_add_row(t);
    sonde_table_text(t, 0, run);
    sonde_table_text(t, 1, property);
    sonde_table_text(t, 2, value);
}

static void add_runs(struct sonde_result *r, const struct sonde_store_runs *runs)
{
    static const char *const columns[] = { "run",    "state",   "family", "model", "sequences",
                                           "tokens", "windows", "stored", NULL };
    static const char *const origin[] = { "run", "property", "value", NULL };
    struct sonde_table *t = sonde_result_add_table(r, "runs", columns);
    for (int64_t i = 0; i < runs->n; i++) {
        const struct sonde_store_run *run = &runs->run[i];
        sonde_table_add_row(t);
        sonde_table_text(t, 0, run->name);
        sonde_table_text(t, 1, run->state);
        sonde_table_text(t, 2, run->family);
        sonde_table_text(t, 3, sonde_path_base(run->model_path));
        sonde_table_i64(t, 4, run->n_sequences);
        sonde_table_i64(t, 5, run->n_tokens);
        sonde_table_i64(t, 6, run->n_windows);
        text_bytes(t, 7, run->bytes_stored);
    }
    t = sonde_result_add_table(r, "origins", origin);
    for (int64_t i = 0; i < runs->n; i++) {
        const struct sonde_store_run *run = &runs->run[i];
        char seed[24];
        snprintf(seed, sizeof(seed), "%llu", (unsigned long long)run->seed);
        add_origin(t, run->name, "created", run->created);
        add_origin(t, run->name, "version", run->version);
        add_origin(t, run->name, "seed", seed);
        add_origin(t, run->name, "model", run->model_path);
        add_origin(t, run->name, "weights", run->model_hash);
        add_origin(t, run->name, "tokenizer", run->tokenizer);
        add_origin(t, run->name, "input", run->input);
        add_origin(t, run->name, "options", run->options_json);
        if (!sonde_str_equal(run->edits_json, "[]"))
            add_origin(t, run->name, "edits", run->edits_json);
        add_origin(t, run->name, "machine", run->machine);
        add_origin(t, run->name, "command", run->command_line);
    }
}

static enum sonde_status add_streams(struct sonde_store *store, const struct sonde_store_runs *runs,
                                     struct sonde_result *r, struct sonde_error *error)
{
    static const char *const columns[] = { "stream", "run",  "space",  "dtype",
                                           "width",  "rows", "stored", NULL };
    static const char *const chunks[] = { "stream",    "run",          "codec", "chunks",
                                          "bytes_raw", "bytes_stored", NULL };
    struct sonde_table *t = sonde_result_add_table(r, "streams", columns);
    struct sonde_table *c = sonde_result_add_table(r, "chunks", chunks);
    for (int64_t i = 0; i < runs->n; i++) {
        struct sonde_store_stream *streams = NULL;
        int64_t n = 0;
        enum sonde_status status =
            sonde_store_list_streams(store, runs->run[i].id, &streams, &n, error);
        if (status)
            return status;
        for (int64_t s = 0; s < n; s++) {
            sonde_table_add_row(t);
            sonde_table_text(t, 0, streams[s].stream.name);
            sonde_table_text(t, 1, runs->run[i].name);
            sonde_table_text(t, 2, sonde_row_space_name(streams[s].stream.space));
            sonde_table_text(t, 3, sonde_dtype_name(streams[s].stream.dtype));
            sonde_table_i64(t, 4, streams[s].stream.width);
            sonde_table_i64(t, 5, streams[s].stream.n_rows);
            text_bytes(t, 6, streams[s].bytes_stored);
            sonde_table_add_row(c);
            sonde_table_text(c, 0, streams[s].stream.name);
            sonde_table_text(c, 1, runs->run[i].name);
            sonde_table_text(c, 2, sonde_codec_name(streams[s].codec));
            sonde_table_i64(c, 3, streams[s].n_chunks);
            sonde_table_i64(c, 4, streams[s].bytes_raw);
            sonde_table_i64(c, 5, streams[s].bytes_stored);
        }
        free(streams);
    }
    return SONDE_STATUS_OK;
}

static enum sonde_status add_labels(struct sonde_store *store, const struct sonde_store_runs *runs,
                                    struct sonde_result *r, struct sonde_error *error)
{
    static const char *const columns[] = { "set",     "run",      "kind",   "space",
                                           "classes", "labelled", "origin", NULL };
    struct sonde_table *t = sonde_result_add_table(r, "labels", columns);
    for (int64_t i = 0; i < runs->n; i++) {
        struct sonde_store_label_set *sets = NULL;
        int64_t n = 0;
        enum sonde_status status =
            sonde_store_list_labels(store, runs->run[i].id, &sets, &n, error);
        if (status)
            return status;
        for (int64_t s = 0; s < n; s++) {
            sonde_table_add_row(t);
            sonde_table_text(t, 0, sets[s].name);
            sonde_table_text(t, 1, runs->run[i].name);
            sonde_table_text(t, 2, sonde_label_kind_name(sets[s].kind));
            sonde_table_text(t, 3, sonde_row_space_name(sets[s].space));
            if (sets[s].kind != SONDE_LABEL_REAL && sets[s].kind != SONDE_LABEL_PAIR)
                sonde_table_i64(t, 4, sets[s].n_classes);
            sonde_table_i64(t, 5, sets[s].n_labelled);
            sonde_table_text(t, 6, sets[s].origin);
        }
        sonde_store_labels_finish(&sets, n);
    }
    return SONDE_STATUS_OK;
}

static enum sonde_status add_result(void *ctx, int64_t id, const char *created, const char *command,
                                    const char *command_line, const char *archive,
                                    int64_t archive_bytes, struct sonde_error *error)
{
    struct sonde_table *t = ctx;
    (void)archive;
    (void)error;
    sonde_table_add_row(t);
    sonde_table_i64(t, 0, id);
    sonde_table_text(t, 1, created);
    sonde_table_text(t, 2, command);
    text_bytes(t, 3, archive_bytes);
    sonde_table_text(t, 4, command_line);
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_store_info(struct sonde_store *store, const char *path,
                                   struct sonde_result **out, struct sonde_error *error)
{
    static const char *const columns[] = { "id", "created", "command", "size", "as typed", NULL };
    struct sonde_store_runs runs = { 0 };
    struct sonde_result *r = sonde_result_create("info");
    if (!r)
        return sonde_error_memory(error, "the result");
    enum sonde_status status = sonde_store_list_runs(store, &runs, error);
    if (!status) {
        sonde_result_parameter_text(r, "store", path);
        sonde_result_scalar_i64(r, "runs", runs.n);
        sonde_result_scalar_i64(r, "bytes_file", sonde_store_file_bytes(path));
        add_runs(r, &runs);
        status = add_streams(store, &runs, r, error);
    }
    if (!status)
        status = add_labels(store, &runs, r, error);
    if (!status) {
        struct sonde_table *t = sonde_result_add_table(r, "results", columns);
        status = sonde_store_visit_results(store, add_result, t, error);
    }
    sonde_store_runs_finish(&runs);
    if (!status)
        status = sonde_result_status(r, error);
    if (status)
        sonde_result_destroy(&r);
    else
        *out = r;
    return status;
}
