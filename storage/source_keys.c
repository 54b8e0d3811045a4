/* Sequences, tokens and groups of a run, read into memory when a source is opened. */
#include <stdlib.h>
#include <string.h>

#include "core/base/buf.h"
#include "storage/source.h"
#include "storage/token_pack.h"

#define ROWS_MAX ((int64_t)1 << 31)

/* --- groups: names to dense numbers --- */

struct group_entry {
    const char *name; /* NULL: the group of a source item */
    int64_t source, number;
};

/* Open addressing; at most half full. */
struct group_table {
    struct group_entry *entry; /* [n_places], number -1: free */
    int64_t n_places, n_groups;
};

static uint64_t group_hash(const char *name, int64_t source)
{
    uint64_t hash = 1469598103934665603u ^ (name ? 1 : 0);
    if (!name)
        return (hash ^ (uint64_t)source) * 0x9e3779b97f4a7c15u;
    for (; *name; name++)
        hash = (hash ^ (uint8_t)*name) * 1099511628211u;
    return hash;
}

static bool group_find(struct group_table *table, const char *name, int64_t source, int64_t *out)
{
    uint64_t mask = (uint64_t)table->n_places - 1, hash = group_hash(name, source);
    for (uint64_t i = (hash ^ (hash >> 29)) & mask;; i = (i + 1) & mask) {
        struct group_entry *entry = &table->entry[i];
        if (entry->number < 0) {
            *entry = (struct group_entry){ name, source, table->n_groups++ };
            *out = entry->number;
            return true;
        }
        if (name ? entry->name && strcmp(entry->name, name) == 0
                 : !entry->name && entry->source == source) {
            *out = entry->number;
            return true;
        }
    }
}

static bool group_table_init(struct group_table *table, int64_t n_sequences)
{
    table->n_places = 64;
    while (table->n_places < 2 * n_sequences)
        table->n_places *= 2;
    table->entry = malloc((size_t)table->n_places * sizeof(*table->entry));
    for (int64_t i = 0; table->entry && i < table->n_places; i++)
        table->entry[i].number = -1;
    return table->entry != NULL;
}

/* --- sequences --- */

static enum sonde_status bad_row(const struct source *source, const char *table, int64_t id,
                                 struct sonde_error *error)
{
    return sonde_error_set(error, SONDE_STATUS_FORMAT, "%s: %s %lld of run '%s' is out of place",
                           source->store->path, table, (long long)id, source->base.run_name);
}

static enum sonde_status keep_text(struct source *source, sqlite3_stmt *row, int column,
                                   const char **out, struct sonde_error *error)
{
    const char *text = (const char *)sqlite3_column_text(row, column);
    *out = NULL;
    if (!text)
        return SONDE_STATUS_OK;
    *out = sonde_arena_strndup(source->arena, text, strlen(text));
    return *out ? SONDE_STATUS_OK : sonde_error_memory(error, "the texts of a run");
}

/* Columns: id, source, window, name, text, group_name, first_token, n_tokens. */
static enum sonde_status read_sequence(struct source *source, sqlite3_stmt *row, int64_t i,
                                       const char **group, struct sonde_error *error)
{
    struct sonde_source_sequence *sequence = &source->sequences[i];
    int64_t first = sqlite3_column_int64(row, 6), n = sqlite3_column_int64(row, 7);
    if (sqlite3_column_int64(row, 0) != source->id_base + i ||
        first != source->id_base + source->base.n_tokens || n < 0 ||
        n > ROWS_MAX - 1 - source->base.n_tokens)
        return bad_row(source, "sequence", i, error);
    *sequence = (struct sonde_source_sequence){ .first_row = source->base.n_tokens,
                                                .n_tokens = n,
                                                .source = sqlite3_column_int64(row, 1),
                                                .window = sqlite3_column_int64(row, 2) };
    source->base.n_tokens += n;
    source->square[i + 1] = source->square[i] + n * n;
    enum sonde_status status = keep_text(source, row, 3, &sequence->name, error);
    if (status == SONDE_STATUS_OK)
        status = keep_text(source, row, 4, &sequence->text, error);
    if (status == SONDE_STATUS_OK)
        status = keep_text(source, row, 5, group, error);
    return status;
}

static enum sonde_status number_groups(struct source *source, const char *const *groups,
                                       struct sonde_error *error)
{
    struct group_table table = { 0 };
    if (!group_table_init(&table, source->base.n_sequences))
        return sonde_error_memory(error, "the groups of a run");
    for (int64_t i = 0; i < source->base.n_sequences; i++)
        group_find(&table, groups[i], source->sequences[i].source, &source->sequences[i].group);
    free(table.entry);
    return SONDE_STATUS_OK;
}

static enum sonde_status load_sequences(struct source *source, struct sonde_error *error)
{
    sqlite3_stmt *statement = NULL;
    const char **groups = NULL;
    int64_t room = 0, square_room = 0, group_room = 0, n = 0;
    bool row = true;
    enum sonde_status status = sonde_db_prepare(
        source->store, &statement,
        "SELECT id, source, window, name, text, group_name, first_token, n_tokens FROM sequence"
        " WHERE id >= ?1 AND id < ?2 ORDER BY id",
        error);
    if (status != SONDE_STATUS_OK)
        return status;
    sqlite3_bind_int64(statement, 1, source->id_base);
    sqlite3_bind_int64(statement, 2, source->id_base + SONDE_STORE_ID_SPAN);
    for (;;) {
        if (!sonde_grow((void **)&source->sequences, &room, n + 1, sizeof(*source->sequences),
                        ROWS_MAX) ||
            !sonde_grow((void **)&source->square, &square_room, n + 2, sizeof(int64_t), ROWS_MAX) ||
            !sonde_grow((void **)&groups, &group_room, n + 1, sizeof(*groups), ROWS_MAX)) {
            status = sonde_error_memory(error, "the sequences of a run");
            break;
        }
        if (n == 0)
            source->square[0] = 0;
        status = sonde_db_step(source->store, statement, &row, error);
        if (status != SONDE_STATUS_OK || !row)
            break;
        status = read_sequence(source, statement, n, &groups[n], error);
        if (status != SONDE_STATUS_OK)
            break;
        n++;
    }
    sqlite3_finalize(statement);
    source->base.n_sequences = n;
    if (status == SONDE_STATUS_OK)
        status = number_groups(source, groups, error);
    free(groups);
    return status;
}

/* --- tokens --- */

/* Columns: id, sequence, position, vocab, flags. */
static enum sonde_status read_token(struct source *source, sqlite3_stmt *row, int64_t i,
                                    int64_t sequence, struct sonde_error *error)
{
    int64_t vocab = sqlite3_column_int64(row, 3), flags = sqlite3_column_int64(row, 4);
    if (sqlite3_column_int64(row, 0) != source->id_base + i ||
        sqlite3_column_int64(row, 1) != source->id_base + sequence ||
        sqlite3_column_int64(row, 2) != i - source->sequences[sequence].first_row || vocab < 0 ||
        vocab > INT32_MAX || flags < 0 || flags > UINT32_MAX)
        return bad_row(source, "token", i, error);
    source->token_id[i] = (int32_t)vocab;
    source->token_flags[i] = (uint32_t)flags;
    return SONDE_STATUS_OK;
}

/* The sequences say how many tokens there are; before memory is taken for them the table must show
 * that it has them. */
static enum sonde_status check_token_count(struct source *source, struct sonde_error *error)
{
    char sql[160];
    int64_t last = 0, n = source->base.n_tokens;
    sqlite3_snprintf(sizeof(sql), sql, "SELECT count(*) FROM token WHERE id >= %lld AND id < %lld",
                     source->id_base, source->id_base + SONDE_STORE_ID_SPAN);
    enum sonde_status status = sonde_db_read_i64(source->store, sql, 0, &last, error);
    if (status == SONDE_STATUS_OK && last != n)
        return sonde_error_set(
            error, SONDE_STATUS_FORMAT, "%s: run '%s' has %lld tokens, its sequences count %lld",
            source->store->path, source->base.run_name, (long long)last, (long long)n);
    return status;
}

/* Ids and flags from the table, row by row, each in its place. */
static enum sonde_status read_tokens(struct source *source, struct sonde_error *error)
{
    sqlite3_stmt *statement = NULL;
    bool row = true;
    enum sonde_status status = sonde_db_prepare(
        source->store, &statement,
        "SELECT id, sequence, position, vocab, flags FROM token WHERE id >= ?1 AND id < ?2"
        " ORDER BY id",
        error);
    if (status != SONDE_STATUS_OK)
        return status;
    sqlite3_bind_int64(statement, 1, source->id_base);
    sqlite3_bind_int64(statement, 2, source->id_base + SONDE_STORE_ID_SPAN);
    int64_t i = 0, sequence = 0;
    while (status == SONDE_STATUS_OK) {
        status = sonde_db_step(source->store, statement, &row, error);
        if (status != SONDE_STATUS_OK || !row)
            break;
        while (sequence < source->base.n_sequences &&
               i >= source->sequences[sequence].first_row + source->sequences[sequence].n_tokens)
            sequence++;
        if (i >= source->base.n_tokens || sequence >= source->base.n_sequences)
            status = bad_row(source, "token", i, error);
        else
            status = read_token(source, statement, i++, sequence, error);
    }
    sqlite3_finalize(statement);
    if (status == SONDE_STATUS_OK && i != source->base.n_tokens)
        status = bad_row(source, "token", i, error);
    return status;
}

static enum sonde_status load_from_table(struct source *source, struct sonde_error *error)
{
    enum sonde_status status = check_token_count(source, error);
    if (status != SONDE_STATUS_OK)
        return status;
    size_t n = (size_t)source->base.n_tokens;
    source->token_id = malloc((n + 1) * sizeof(int32_t));
    source->token_flags = malloc((n + 1) * sizeof(uint32_t));
    if (!source->token_id || !source->token_flags)
        return sonde_error_memory(error, "the tokens of a run");
    return read_tokens(source, error);
}

/* Sequence and position follow from the sequences' lengths; texts are read when asked for. */
static enum sonde_status place_tokens(struct source *source, struct sonde_error *error)
{
    size_t n = (size_t)source->base.n_tokens;
    source->token_position = malloc((n + 1) * sizeof(int32_t));
    source->token_sequence = malloc((n + 1) * sizeof(int32_t));
    source->token_text = calloc(n + 1, sizeof(char *));
    if (!source->token_position || !source->token_sequence || !source->token_text)
        return sonde_error_memory(error, "the tokens of a run");
    for (int64_t s = 0, i = 0; s < source->base.n_sequences; s++)
        for (int64_t t = 0; t < source->sequences[s].n_tokens; t++, i++) {
            source->token_sequence[i] = (int32_t)s;
            source->token_position[i] = (int32_t)t;
        }
    return SONDE_STATUS_OK;
}

static enum sonde_status load_tokens(struct source *source, struct sonde_error *error)
{
    enum sonde_status status =
        sonde_token_pack_read(source->store, source->run, source->base.n_tokens, &source->token_id,
                              &source->token_flags, error);
    if (status == SONDE_STATUS_OK && !source->token_id)
        status = load_from_table(source, error);
    return status == SONDE_STATUS_OK ? place_tokens(source, error) : status;
}

enum sonde_status sonde_source_load_keys(struct source *source, struct sonde_error *error)
{
    enum sonde_status status = load_sequences(source, error);
    return status == SONDE_STATUS_OK ? load_tokens(source, error) : status;
}
