/* Lists for people: the runs of a store and the streams of a run. */
#include <stdlib.h>
#include <string.h>

#include "core/base/buf.h"
#include "storage/layout.h"
#include "storage/source.h"

#define RUNS_MAX 1000000

static enum sonde_status read_run(sqlite3_stmt *row, struct sonde_store_run *run,
                                  struct sonde_error *error)
{
    char **const text[] = { &run->name,        &run->state,        &run->command_line,
                            &run->input,       &run->options_json, &run->edits_json,
                            &run->created,     &run->version,      &run->machine,
                            &run->family,      &run->model_path,   &run->model_hash,
                            &run->config_json, &run->tokenizer };
    enum sonde_status status = SONDE_STATUS_OK;
    for (int i = 0; i < 14 && status == SONDE_STATUS_OK; i++)
        status = sonde_db_copy_text(row, i, text[i], error);
    run->id = sqlite3_column_int64(row, 14);
    run->n_sequences = sqlite3_column_int64(row, 15);
    run->n_tokens = sqlite3_column_int64(row, 16);
    run->seed = (uint64_t)sqlite3_column_int64(row, 17);
    return status;
}

/* Counts that the tables know: windows of the sequences, bytes of the chunks. */
static enum sonde_status count_run(struct sonde_store *store, struct sonde_store_run *run,
                                   struct sonde_error *error)
{
    struct sonde_store_stream *streams = NULL;
    char sql[160];
    int64_t base = (run->id - 1) * SONDE_STORE_ID_SPAN;
    sqlite3_snprintf(sizeof(sql), sql,
                     "SELECT count(*) FROM sequence WHERE id >= %lld AND id < %lld AND window > 0",
                     base, base + SONDE_STORE_ID_SPAN);
    enum sonde_status status = sonde_db_read_i64(store, sql, 0, &run->n_windows, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_store_list_streams(store, run->id, &streams, &run->n_streams, error);
    for (int64_t i = 0; i < run->n_streams && status == SONDE_STATUS_OK; i++) {
        run->bytes_raw += streams[i].bytes_raw;
        run->bytes_stored += streams[i].bytes_stored;
    }
    free(streams);
    return status;
}

enum sonde_status sonde_store_list_runs(struct sonde_store *store, struct sonde_store_runs *out,
                                        struct sonde_error *error)
{
    static const char sql[] =
        "SELECT run.name, run.state, run.command_line, run.input, run.options, run.edits,"
        " run.created, run.version, run.machine, model.family, model.path, model.hash,"
        " model.config, model.tokenizer, run.id, run.n_sequences, run.n_tokens, run.seed"
        " FROM run LEFT JOIN model ON model.id = run.model ORDER BY run.id";
    struct sonde_store_runs runs = { 0 };
    sqlite3_stmt *statement = NULL;
    int64_t capacity = 0;
    bool row = true;
    enum sonde_status status = sonde_db_prepare(store, &statement, sql, error);
    while (status == SONDE_STATUS_OK) {
        status = sonde_db_step(store, statement, &row, error);
        if (status != SONDE_STATUS_OK || !row)
            break;
        if (!sonde_grow((void **)&runs.run, &capacity, runs.n + 1, sizeof(*runs.run), RUNS_MAX)) {
            status = sonde_error_memory(error, "the list of runs");
            break;
        }
        memset(&runs.run[runs.n], 0, sizeof(*runs.run));
        status = read_run(statement, &runs.run[runs.n++], error);
        struct sonde_store_run *run = &runs.run[runs.n - 1];
        if (status == SONDE_STATUS_OK && (run->id < 1 || run->id > SONDE_STORE_RUNS_MAX))
            status = sonde_error_set(error, SONDE_STATUS_FORMAT, "%s: run id %lld is out of range",
                                     store->path, (long long)run->id);
    }
    sqlite3_finalize(statement);
    for (int64_t i = 0; i < runs.n && status == SONDE_STATUS_OK; i++)
        status = count_run(store, &runs.run[i], error);
    if (status != SONDE_STATUS_OK) {
        sonde_store_runs_finish(&runs);
        return status;
    }
    *out = runs;
    return SONDE_STATUS_OK;
}

void sonde_store_runs_finish(struct sonde_store_runs *runs)
{
    if (!runs)
        return;
    for (int64_t i = 0; i < runs->n; i++) {
        struct sonde_store_run *run = &runs->run[i];
        free(run->name);
        free(run->state);
        free(run->command_line);
        free(run->input);
        free(run->options_json);
        free(run->edits_json);
        free(run->created);
        free(run->version);
        free(run->machine);
        free(run->family);
        free(run->model_path);
        free(run->model_hash);
        free(run->config_json);
        free(run->tokenizer);
    }
    free(runs->run);
    *runs = (struct sonde_store_runs){ 0 };
}

/* Rows of a run's token and sequence spaces, counted from its table of sequences. */
static enum sonde_status count_rows(struct sonde_store *store, int64_t run, int64_t *n_sequences,
                                    int64_t *n_tokens, struct sonde_error *error)
{
    char sql[160];
    int64_t base = (run - 1) * SONDE_STORE_ID_SPAN;
    sqlite3_snprintf(sizeof(sql), sql,
                     "SELECT count(*) FROM sequence WHERE id >= %lld AND id < %lld", base,
                     base + SONDE_STORE_ID_SPAN);
    enum sonde_status status = sonde_db_read_i64(store, sql, 0, n_sequences, error);
    if (status != SONDE_STATUS_OK)
        return status;
    sqlite3_snprintf(sizeof(sql), sql, "SELECT n_tokens FROM run WHERE id = %lld", run);
    return sonde_db_read_i64(store, sql, 0, n_tokens, error);
}

enum sonde_status sonde_store_list_streams(struct sonde_store *store, int64_t run_id,
                                           struct sonde_store_stream **out, int64_t *n,
                                           struct sonde_error *error)
{
    struct sonde_stream_row *rows = NULL;
    struct sonde_store_stream *list = NULL;
    int64_t count = 0, n_sequences = 0, n_tokens = 0;
    if (run_id < 1 || run_id > SONDE_STORE_RUNS_MAX)
        return sonde_error_set(error, SONDE_STATUS_NOT_FOUND, "%s: no run with id %lld",
                               store->path, (long long)run_id);
    enum sonde_status status = count_rows(store, run_id, &n_sequences, &n_tokens, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_append_read_streams(store, run_id, &rows, &count, error);
    if (status != SONDE_STATUS_OK)
        return status;
    list = calloc((size_t)count + 1, sizeof(*list));
    if (!list)
        status = sonde_error_memory(error, "the list of streams");
    for (int64_t i = 0; i < count && status == SONDE_STATUS_OK; i++) {
        struct source_stream stream = { .row = rows[i] };
        status = sonde_source_load_index(store, &stream, error);
        list[i].stream = rows[i].stream;
        list[i].stream.n_rows = rows[i].stream.space == SONDE_ROWS_TOKEN ? n_tokens : n_sequences;
        list[i].codec = rows[i].codec;
        list[i].n_chunks = stream.n_chunks;
        list[i].bytes_raw = stream.n_values * stream.element;
        list[i].bytes_stored = stream.stored_bytes;
        free(stream.chunks);
        free(stream.tail);
    }
    free(rows);
    if (status != SONDE_STATUS_OK) {
        free(list);
        return status;
    }
    *out = list;
    *n = count;
    return SONDE_STATUS_OK;
}
