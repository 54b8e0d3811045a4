/* Where tokens stand in their texts: wanted by alignment alone, so not among a source's keys. */
#include "storage/source.h"

static enum sonde_status read_text_begin(struct source *source, int64_t id, int64_t *out,
                                         struct sonde_error *error)
{
    sqlite3_stmt *row = NULL;
    bool found = false;
    enum sonde_status status = sonde_db_prepare(
        source->store, &row, "SELECT text_begin FROM sequence WHERE id = ?1", error);
    if (!status) {
        sqlite3_bind_int64(row, 1, id);
        status = sonde_db_step(source->store, row, &found, error);
    }
    if (!status && found)
        *out = sqlite3_column_int64(row, 0);
    sqlite3_finalize(row);
    return status;
}

static int64_t offset_or_none(sqlite3_stmt *row, int column)
{
    return sqlite3_column_type(row, column) == SQLITE_NULL ? -1 : sqlite3_column_int64(row, column);
}

enum sonde_status sonde_store_read_spans(struct sonde_source *base, int64_t sequence,
                                         int64_t *begin, int64_t *end, int64_t *text_begin,
                                         struct sonde_error *error)
{
    struct source *source = base->self;
    if (sequence < 0 || sequence >= base->n_sequences)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT, "sequence %lld, expected 0 to %lld",
                               (long long)sequence, (long long)base->n_sequences - 1);
    const struct sonde_source_sequence *s = &base->sequences[sequence];
    sqlite3_stmt *row = NULL;
    bool found = true;
    enum sonde_status status =
        read_text_begin(source, source->id_base + sequence, text_begin, error);
    if (!status)
        status = sonde_db_prepare(source->store, &row,
                                  "SELECT text_begin, text_end FROM token WHERE id >= ?1"
                                  " AND id < ?2 ORDER BY id",
                                  error);
    if (!status) {
        sqlite3_bind_int64(row, 1, source->id_base + s->first_row);
        sqlite3_bind_int64(row, 2, source->id_base + s->first_row + s->n_tokens);
    }
    int64_t n = 0;
    while (!status && found) {
        status = sonde_db_step(source->store, row, &found, error);
        if (status || !found)
            break;
        begin[n] = offset_or_none(row, 0);
        end[n] = offset_or_none(row, 1);
        if (begin[n] < -1 || end[n] < begin[n] || (begin[n] < 0) != (end[n] < 0))
            status = sonde_error_set(error, SONDE_STATUS_FORMAT,
                                     "%s: token %lld of run '%s': bytes %lld to %lld",
                                     source->store->path, (long long)(s->first_row + n),
                                     base->run_name, (long long)begin[n], (long long)end[n]);
        n++;
    }
    if (!status && n != s->n_tokens)
        status = sonde_error_set(error, SONDE_STATUS_FORMAT,
                                 "%s: sequence %lld of run '%s' has %lld tokens, expected %lld",
                                 source->store->path, (long long)sequence, base->run_name,
                                 (long long)n, (long long)s->n_tokens);
    sqlite3_finalize(row);
    return status;
}
