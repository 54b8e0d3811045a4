/* Activations made elsewhere: a matrix and the keys of its rows become a stream of a run. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/num.h"
#include "storage/append.h"
#include "storage/layout.h"
#include "storage/run.h"

struct import_job {
    struct sonde_store *store;
    const struct sonde_import *import;
    struct sonde_stream stream;
    int64_t *first;  /* [n_sequences + 1] row of a sequence's first token */
    int64_t *row_at; /* [n_rows] which row of the matrix belongs to a token; -1 not yet known */
    int64_t n_sequences, n_tokens;
};

static enum sonde_status describe(struct import_job *job, struct sonde_error *error)
{
    const struct sonde_import *import = job->import;
    struct sonde_site site;
    char printed[SONDE_SITE_NAME_MAX];
    bool known = import->stream && sonde_site_parse(import->stream, &site);
    const char *name = known ? sonde_site_format(site, printed) : import->stream;
    if (!name || !name[0] || strlen(name) >= SONDE_SITE_NAME_MAX)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "%s: an imported stream needs a name of 1 to %d bytes",
                               job->store->path, SONDE_SITE_NAME_MAX - 1);
    job->stream = (struct sonde_stream){ .layer = known ? site.layer : -1,
                                         .space = SONDE_ROWS_TOKEN,
                                         .dtype = import->dtype,
                                         .rank = 1,
                                         .dim = { import->width, 0 },
                                         .width = import->width };
    memcpy(job->stream.name, name, strlen(name) + 1);
    if (import->n_rows < 1 || import->n_rows > INT32_MAX)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT, "%s: stream %s: %lld rows to import",
                               job->store->path, name, (long long)import->n_rows);
    enum sonde_status status = sonde_layout_check_stream(&job->stream, error);
    if (status != SONDE_STATUS_OK)
        sonde_error_prepend(error, "%s", job->store->path);
    return status == SONDE_STATUS_FORMAT ? SONDE_STATUS_ARGUMENT : status;
}

static enum sonde_status make_places(struct import_job *job, int64_t n_sequences,
                                     struct sonde_error *error)
{
    job->n_sequences = n_sequences;
    job->first = calloc((size_t)n_sequences + 1, sizeof(*job->first));
    job->row_at = malloc((size_t)job->import->n_rows * sizeof(*job->row_at));
    if (!job->first || !job->row_at)
        return sonde_error_memory(error, "an import");
    for (int64_t i = 0; i < job->import->n_rows; i++)
        job->row_at[i] = -1;
    return SONDE_STATUS_OK;
}

/* Lengths of the run's sequences, from the store. */
static enum sonde_status read_lengths(struct import_job *job, int64_t run,
                                      struct sonde_error *error)
{
    sqlite3_stmt *statement = NULL;
    bool row = true;
    char sql[200];
    int64_t n = 0, past = 0, base = (run - 1) * SONDE_STORE_ID_SPAN;
    sqlite3_snprintf(sizeof(sql), sql,
                     "SELECT count(*) FROM sequence WHERE id >= %lld AND id < %lld", base,
                     base + SONDE_STORE_ID_SPAN);
    enum sonde_status status = sonde_db_read_i64(job->store, sql, 0, &n, error);
    if (status == SONDE_STATUS_OK)
        status = make_places(job, n, error);
    sqlite3_snprintf(sizeof(sql), sql,
                     "SELECT n_tokens FROM sequence WHERE id >= %lld AND id < %lld ORDER BY id",
                     base, base + SONDE_STORE_ID_SPAN);
    if (status == SONDE_STATUS_OK)
        status = sonde_db_prepare(job->store, &statement, sql, error);
    for (int64_t i = 0; i < n && status == SONDE_STATUS_OK; i++) {
        status = sonde_db_step(job->store, statement, &row, error);
        int64_t T = row ? sqlite3_column_int64(statement, 0) : -1;
        if (status == SONDE_STATUS_OK && (T < 0 || !sonde_add_i64(job->first[i], T, &past)))
            status =
                sonde_error_set(error, SONDE_STATUS_FORMAT, "%s: sequence %lld has %lld tokens",
                                job->store->path, (long long)i, (long long)T);
        job->first[i + 1] = past;
    }
    sqlite3_finalize(statement);
    if (status == SONDE_STATUS_OK)
        job->n_tokens = job->first[n];
    return status;
}

/* Lengths as the keys have them: sequences are numbered from 0 without a gap. */
static enum sonde_status count_lengths(struct import_job *job, struct sonde_error *error)
{
    const struct sonde_import *import = job->import;
    int64_t n = 0;
    for (int64_t i = 0; i < import->n_rows; i++) {
        int64_t sequence = import->row[i].sequence;
        if (sequence < 0 || sequence >= import->n_rows)
            return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                                   "%s: row %lld is of sequence %lld; sequences are numbered from "
                                   "0 without a gap",
                                   job->store->path, (long long)i, (long long)sequence);
        if (import->row[i].id < 0)
            return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                                   "%s: row %lld has no token id, which a new run needs",
                                   job->store->path, (long long)i);
        n = sequence + 1 > n ? sequence + 1 : n;
    }
    enum sonde_status status = make_places(job, n, error);
    if (status != SONDE_STATUS_OK)
        return status;
    for (int64_t i = 0; i < import->n_rows; i++)
        job->first[import->row[i].sequence + 1]++;
    for (int64_t i = 0; i < n; i++) {
        if (job->first[i + 1] == 0)
            return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                                   "%s: no row is of sequence %lld; sequences are numbered from 0 "
                                   "without a gap",
                                   job->store->path, (long long)i);
        job->first[i + 1] += job->first[i];
    }
    job->n_tokens = import->n_rows;
    return SONDE_STATUS_OK;
}

/* Every token of the run gets the one row of the matrix that names it. */
static enum sonde_status place_rows(struct import_job *job, struct sonde_error *error)
{
    const struct sonde_import *import = job->import;
    if (import->n_rows != job->n_tokens)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "%s: %lld rows to import, the run has %lld tokens", job->store->path,
                               (long long)import->n_rows, (long long)job->n_tokens);
    for (int64_t i = 0; i < import->n_rows; i++) {
        int64_t sequence = import->row[i].sequence, position = import->row[i].position;
        bool inside = sequence >= 0 && sequence < job->n_sequences && position >= 0 &&
                      position < job->first[sequence + 1] - job->first[sequence];
        if (!inside)
            return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                                   "%s: row %lld: the run has no token at sequence %lld, position "
                                   "%lld",
                                   job->store->path, (long long)i, (long long)sequence,
                                   (long long)position);
        int64_t *place = &job->row_at[job->first[sequence] + position];
        if (*place >= 0)
            return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                                   "%s: rows %lld and %lld are both of sequence %lld, position "
                                   "%lld",
                                   job->store->path, (long long)*place, (long long)i,
                                   (long long)sequence, (long long)position);
        *place = i;
    }
    return SONDE_STATUS_OK;
}

static enum sonde_status append_sequences(struct import_job *job, struct sonde_append *append,
                                          struct sonde_error *error)
{
    enum sonde_status status = SONDE_STATUS_OK;
    struct sonde_token *tokens = calloc((size_t)job->n_tokens, sizeof(*tokens));
    if (!tokens)
        return sonde_error_memory(error, "an import");
    for (int64_t i = 0; i < job->n_tokens; i++) {
        const struct sonde_import_row *row = &job->import->row[job->row_at[i]];
        tokens[i] = (struct sonde_token){ .id = row->id,
                                          .position = (int32_t)row->position,
                                          .begin = -1,
                                          .end = -1,
                                          .text = row->token };
    }
    for (int64_t i = 0; i < job->n_sequences && status == SONDE_STATUS_OK; i++) {
        struct sonde_sequence sequence = { .source = i,
                                           .n_tokens = job->first[i + 1] - job->first[i],
                                           .tokens = tokens + job->first[i] };
        status = sonde_append_sequence(append, &sequence, error);
    }
    free(tokens);
    return status;
}

static enum sonde_status append_rows(struct import_job *job, struct sonde_append *append,
                                     struct sonde_error *error)
{
    enum sonde_status status = SONDE_STATUS_OK;
    const uint8_t *data = job->import->data;
    int64_t row_bytes = job->stream.width * (int64_t)sonde_dtype_size(job->stream.dtype);
    for (int64_t i = 0; i < job->n_tokens && status == SONDE_STATUS_OK; i++)
        status = sonde_append_raw(append, 0, data + job->row_at[i] * row_bytes, job->stream.width,
                                  error);
    return status == SONDE_STATUS_OK ? sonde_append_end(append, error) : status;
}

static enum sonde_status import_new_run(struct import_job *job, struct sonde_error *error)
{
    const struct sonde_import *import = job->import;
    const struct sonde_store_model model = { .family = "imported" };
    const struct sonde_run_info info = {
        .name = import->run, .input = import->origin, .options_json = "{}", .codec = import->codec
    };
    struct sonde_append *append = NULL;
    int64_t run = 0;
    bool complete = false;
    enum sonde_status status = count_lengths(job, error);
    if (status == SONDE_STATUS_OK)
        status = place_rows(job, error);
    if (status == SONDE_STATUS_OK)
        status =
            sonde_run_prepare(job->store, &model, &info, &job->stream, 1, &run, &complete, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_append_create(&append, job->store, run, 0, error);
    if (status == SONDE_STATUS_OK)
        status = append_sequences(job, append, error);
    if (status == SONDE_STATUS_OK)
        status = append_rows(job, append, error);
    sonde_append_destroy(&append);
    return status;
}

static enum sonde_status import_into_run(struct import_job *job, int64_t run,
                                         struct sonde_error *error)
{
    const struct sonde_import *import = job->import;
    struct sonde_append *append = NULL;
    struct sonde_stream_row *rows = NULL;
    char sql[96];
    int64_t n = 0, complete = 0;
    sqlite3_snprintf(sizeof(sql), sql, "SELECT state = 'complete' FROM run WHERE id = %lld", run);
    enum sonde_status status = sonde_db_read_i64(job->store, sql, 0, &complete, error);
    if (status == SONDE_STATUS_OK && !complete)
        status = sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                                 "%s: the run is not complete; resume it first", job->store->path);
    if (status == SONDE_STATUS_OK)
        status = sonde_append_read_streams(job->store, run, &rows, &n, error);
    for (int64_t i = 0; i < n && status == SONDE_STATUS_OK; i++)
        if (strcmp(rows[i].stream.name, job->stream.name) == 0)
            status =
                sonde_error_set(error, SONDE_STATUS_ARGUMENT, "%s: the run has a stream %s already",
                                job->store->path, job->stream.name);
    free(rows);
    if (status == SONDE_STATUS_OK)
        status = read_lengths(job, run, error);
    if (status == SONDE_STATUS_OK)
        status = place_rows(job, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_append_add_stream(job->store, run, n, &job->stream, import->codec,
                                         import->origin, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_append_create(&append, job->store, run, n, error);
    if (status == SONDE_STATUS_OK)
        status = append_rows(job, append, error);
    sonde_append_destroy(&append);
    return status;
}

enum sonde_status sonde_store_import(struct sonde_store *store, const struct sonde_import *import,
                                     struct sonde_error *error)
{
    struct import_job job = { .store = store, .import = import };
    int64_t run = 0, n_runs = 0;
    enum sonde_status status = sonde_db_check_writable(store, error);
    if (status == SONDE_STATUS_OK)
        status = describe(&job, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_db_begin_write(store, error);
    if (status != SONDE_STATUS_OK)
        return status;
    status = sonde_db_read_i64(store, "SELECT count(*) FROM run", 0, &n_runs, error);
    if (status == SONDE_STATUS_OK && (n_runs > 0 || import->row[0].id < 0))
        status = sonde_db_find_run(store, import->run, &run, error);
    /* A name that is not there yet makes a run, where the rows say which tokens it has. */
    if (status == SONDE_STATUS_NOT_FOUND && import->run && import->row[0].id >= 0) {
        status = SONDE_STATUS_OK;
        if (error)
            *error = (struct sonde_error){ 0 };
    }
    if (status == SONDE_STATUS_OK)
        status = run ? import_into_run(&job, run, error) : import_new_run(&job, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_db_exec(store, "COMMIT", error);
    if (status != SONDE_STATUS_OK)
        sonde_db_rollback(store);
    free(job.first);
    free(job.row_at);
    return status;
}
