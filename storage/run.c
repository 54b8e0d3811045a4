#include "storage/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/append.h"
#include "storage/layout.h"

static const char *or_empty(const char *text)
{
    return text ? text : "";
}

static enum sonde_status insert_model(struct sonde_store *store,
                                      const struct sonde_store_model *model, int64_t *id,
                                      struct sonde_error *error)
{
    /* The path may be spelled differently each time; everything else tells models apart. */
    static const char find[] =
        "SELECT id FROM model WHERE hash = ?1 AND family = ?3 AND tokenizer = ?4 AND config = ?5"
        " AND n_layers = ?6 AND d_model = ?7 AND n_heads = ?8 AND d_vocab = ?9 AND n_ctx = ?10"
        " AND path = ?2";
    static const char insert[] =
        "INSERT INTO model(hash, path, family, tokenizer, config, n_layers, d_model, n_heads,"
        " d_vocab, n_ctx) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    for (int attempt = 0; attempt < 2; attempt++) {
        sqlite3_stmt *statement = NULL;
        bool row = false;
        enum sonde_status status =
            sonde_db_prepare(store, &statement, attempt ? insert : find, error);
        if (status != SONDE_STATUS_OK)
            return status;
        const char *text[] = { model->hash, model->path, model->family, model->tokenizer,
                               model->config_json };
        const int64_t number[] = { model->n_layers, model->d_model, model->n_heads, model->d_vocab,
                                   model->n_ctx };
        for (int i = 0; i < 5; i++) {
            sonde_db_bind_text(statement, i + 1, or_empty(text[i]));
            sqlite3_bind_int64(statement, i + 6, number[i]);
        }
        status = sonde_db_step(store, statement, &row, error);
        if (status == SONDE_STATUS_OK && row)
            *id = sqlite3_column_int64(statement, 0);
        sqlite3_finalize(statement);
        if (status != SONDE_STATUS_OK || row)
            return status;
    }
    *id = sqlite3_last_insert_rowid(store->db);
    return SONDE_STATUS_OK;
}

static enum sonde_status insert_run(struct sonde_store *store, int64_t model,
                                    const struct sonde_run_info *info, int64_t *id,
                                    struct sonde_error *error)
{
    static const char insert[] =
        "INSERT INTO run(id, model, name, state, created, version, command_line, input, options,"
        " edits, machine, seed, n_sequences, n_tokens)"
        " VALUES(?1, ?2, ?3, 'open', strftime('%Y-%m-%dT%H:%M:%SZ', 'now'), ?4, ?5, ?6, ?7, ?8, ?9,"
        " ?10, 0, 0)";
    char number[32];
    int64_t run = 0;
    enum sonde_status status =
        sonde_db_read_i64(store, "SELECT coalesce(max(id), 0) + 1 FROM run", 1, &run, error);
    if (status != SONDE_STATUS_OK)
        return status;
    if (run < 1 || run > SONDE_STORE_RUNS_MAX)
        return sonde_error_set(error, SONDE_STATUS_LIMIT, "%s: run id %lld, expected 1 to %lld",
                               store->path, (long long)run, (long long)SONDE_STORE_RUNS_MAX);
    snprintf(number, sizeof(number), "run-%lld", (long long)run);
    sqlite3_stmt *statement = NULL;
    status = sonde_db_prepare(store, &statement, insert, error);
    if (status != SONDE_STATUS_OK)
        return status;
    sqlite3_bind_int64(statement, 1, run);
    sqlite3_bind_int64(statement, 2, model);
    sonde_db_bind_text(statement, 3, info->name ? info->name : number);
    sonde_db_bind_text(statement, 4, SONDE_VERSION);
    sonde_db_bind_text(statement, 5, or_empty(info->command_line));
    sonde_db_bind_text(statement, 6, or_empty(info->input));
    sonde_db_bind_text(statement, 7, or_empty(info->options_json));
    sonde_db_bind_text(statement, 8, info->edits_json ? info->edits_json : "[]");
    sonde_db_bind_text(statement, 9, or_empty(info->machine));
    sqlite3_bind_int64(statement, 10, (sqlite3_int64)info->seed);
    status = sonde_db_run(store, statement, error);
    sqlite3_finalize(statement);
    if (status == SONDE_STATUS_OK)
        *id = run;
    return status;
}

static enum sonde_status mismatch(const struct sonde_store *store, const char *run,
                                  const char *what, const char *there, const char *now,
                                  struct sonde_error *error)
{
    return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                           "%s: run '%s' cannot be resumed: its %s is '%.300s', now it is '%.300s'",
                           store->path, run, what, there, now);
}

static enum sonde_status compare_streams(struct sonde_store *store, int64_t id, const char *run,
                                         const struct sonde_run_info *info,
                                         const struct sonde_stream *streams, int64_t n_streams,
                                         struct sonde_error *error)
{
    struct sonde_stream_row *rows = NULL;
    int64_t n = 0;
    enum sonde_status status = sonde_append_read_streams(store, id, &rows, &n, error);
    if (status != SONDE_STATUS_OK)
        return status;
    if (n != n_streams)
        status = sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                                 "%s: run '%s' cannot be resumed: it has %lld streams, now there "
                                 "are %lld",
                                 store->path, run, (long long)n, (long long)n_streams);
    for (int64_t i = 0; i < n_streams && status == SONDE_STATUS_OK; i++) {
        const struct sonde_stream *a = &rows[i].stream, *b = &streams[i];
        if (strcmp(a->name, b->name) != 0)
            status = mismatch(store, run, "stream", a->name, b->name, error);
        else if (a->dtype != b->dtype)
            status = mismatch(store, run, "dtype", sonde_dtype_name(a->dtype),
                              sonde_dtype_name(b->dtype), error);
        else if (rows[i].codec != info->codec)
            status = mismatch(store, run, "codec", sonde_codec_name(rows[i].codec),
                              sonde_codec_name(info->codec), error);
        else if (a->layer != b->layer || a->space != b->space || a->rank != b->rank ||
                 a->width != b->width || a->dim[0] != b->dim[0] ||
                 (a->rank == 2 && a->dim[1] != b->dim[1]))
            status = sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                                     "%s: run '%s' cannot be resumed: the shape of stream %s has "
                                     "changed",
                                     store->path, run, a->name);
    }
    free(rows);
    return status;
}

/* The run to be resumed: the one of that name, or without a name the last one, an open one first.
 * *id 0 where there is none. */
static enum sonde_status find_resumed(struct sonde_store *store, const char *name,
                                      sqlite3_stmt **out, int64_t *id, struct sonde_error *error)
{
    char sql[400];
    sqlite3_snprintf(sizeof(sql), sql,
                     "SELECT run.id, run.name, run.state, run.input, run.options, run.edits,"
                     " run.machine, run.seed, model.hash, model.family, model.tokenizer,"
                     " model.config FROM run JOIN model ON model.id = run.model %s",
                     name ? "WHERE run.name = ?1"
                          : "WHERE ?1 IS NULL ORDER BY run.state = 'open' DESC, run.id DESC"
                            " LIMIT 1");
    bool row = false;
    enum sonde_status status = sonde_db_prepare(store, out, sql, error);
    if (status != SONDE_STATUS_OK)
        return status;
    sonde_db_bind_text(*out, 1, name);
    status = sonde_db_step(store, *out, &row, error);
    *id = status == SONDE_STATUS_OK && row ? sqlite3_column_int64(*out, 0) : 0;
    return status;
}

static enum sonde_status compare_run(struct sonde_store *store, sqlite3_stmt *row, int64_t id,
                                     const struct sonde_store_model *model,
                                     const struct sonde_run_info *info,
                                     const struct sonde_stream *streams, int64_t n_streams,
                                     struct sonde_error *error)
{
    const struct {
        int column;
        const char *what, *now;
    } field[] = {
        { 3, "input", or_empty(info->input) },
        { 4, "options", or_empty(info->options_json) },
        { 5, "edits", info->edits_json ? info->edits_json : "[]" },
        { 6, "machine", or_empty(info->machine) },
        { 8, "model hash", or_empty(model->hash) },
        { 9, "model family", or_empty(model->family) },
        { 10, "tokenizer", or_empty(model->tokenizer) },
        { 11, "model config", or_empty(model->config_json) },
    };
    const char *name = or_empty((const char *)sqlite3_column_text(row, 1));
    if (id < 1 || id > SONDE_STORE_RUNS_MAX)
        return sonde_error_set(error, SONDE_STATUS_FORMAT, "%s: run id %lld is out of range",
                               store->path, (long long)id);
    for (size_t i = 0; i < sizeof(field) / sizeof(field[0]); i++) {
        const char *there = or_empty((const char *)sqlite3_column_text(row, field[i].column));
        if (strcmp(there, field[i].now) != 0)
            return mismatch(store, name, field[i].what, there, field[i].now, error);
    }
    if ((uint64_t)sqlite3_column_int64(row, 7) != info->seed)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "%s: run '%s' cannot be resumed: its seed is %llu, now it is %llu",
                               store->path, name, (unsigned long long)sqlite3_column_int64(row, 7),
                               (unsigned long long)info->seed);
    return compare_streams(store, id, name, info, streams, n_streams, error);
}

static enum sonde_status check_streams(const struct sonde_store *store,
                                       const struct sonde_stream *streams, int64_t n_streams,
                                       struct sonde_error *error)
{
    for (int64_t i = 0; i < n_streams; i++) {
        enum sonde_status status = sonde_layout_check_stream(&streams[i], error);
        if (status != SONDE_STATUS_OK) {
            sonde_error_prepend(error, "%s", store->path);
            return status == SONDE_STATUS_FORMAT ? SONDE_STATUS_ARGUMENT : status;
        }
        for (int64_t j = 0; j < i; j++)
            if (strcmp(streams[i].name, streams[j].name) == 0)
                return sonde_error_set(error, SONDE_STATUS_ARGUMENT, "%s: stream %s is given twice",
                                       store->path, streams[i].name);
    }
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_run_prepare(struct sonde_store *store,
                                    const struct sonde_store_model *model,
                                    const struct sonde_run_info *info,
                                    const struct sonde_stream *streams, int64_t n_streams,
                                    int64_t *id, bool *complete, struct sonde_error *error)
{
    sqlite3_stmt *row = NULL;
    int64_t found = 0, model_id = 0;
    enum sonde_status status = check_streams(store, streams, n_streams, error);
    if (status == SONDE_STATUS_OK && (info->resume || info->name))
        status = find_resumed(store, info->name, &row, &found, error);
    if (status == SONDE_STATUS_OK && found && info->resume) {
        status = compare_run(store, row, found, model, info, streams, n_streams, error);
        *complete = status == SONDE_STATUS_OK &&
                    strcmp(or_empty((const char *)sqlite3_column_text(row, 2)), "complete") == 0;
        *id = found;
    } else if (status == SONDE_STATUS_OK && found) {
        status = sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                                 "%s: run '%s' exists already (%s); choose another name, or resume "
                                 "it",
                                 store->path, info->name,
                                 or_empty((const char *)sqlite3_column_text(row, 2)));
    } else if (status == SONDE_STATUS_OK) {
        *complete = false;
        status = insert_model(store, model, &model_id, error);
        if (status == SONDE_STATUS_OK)
            status = insert_run(store, model_id, info, id, error);
        for (int64_t i = 0; i < n_streams && status == SONDE_STATUS_OK; i++)
            status = sonde_append_add_stream(store, *id, i, &streams[i], info->codec, "", error);
    }
    sqlite3_finalize(row);
    return status;
}
