/* Writing and listing label sets. label_sql.c makes them from a query. */
#include "storage/labels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "storage/db.h"
#include "storage/layout.h"

#define CLASSES_MAX 10000000
#define SETS_MAX 1000000

bool sonde_label_kind_from_name(const char *name, enum sonde_label_kind *out)
{
    for (enum sonde_label_kind kind = SONDE_LABEL_CLASS; kind <= SONDE_LABEL_PAIR; kind++)
        if (name && strcmp(name, sonde_label_kind_name(kind)) == 0) {
            *out = kind;
            return true;
        }
    return false;
}

bool sonde_label_space_from_name(const char *name, enum sonde_row_space *out)
{
    return sonde_row_space_from_name(name, out) &&
           (*out == SONDE_ROWS_TOKEN || *out == SONDE_ROWS_SEQUENCE);
}

enum { INSERT_LABEL, INSERT_CLASS, INSERT_SPAN, TOKEN_LENGTH, SEQUENCE_LENGTH, N_SQL };

static const char *const statement_sql[N_SQL] = {
    "INSERT INTO label(label_set, item, value) VALUES(?1, ?2, ?3)",
    "INSERT INTO label_class(label_set, class, name) VALUES(?1, ?2, ?3)",
    "INSERT INTO label_span(label_set, ordinal, sequence, first, past, class)"
    " VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
    "SELECT sequence.n_tokens FROM token JOIN sequence ON sequence.id = token.sequence"
    " WHERE token.id = ?1",
    "SELECT n_tokens FROM sequence WHERE id = ?1",
};

struct sonde_label_writer {
    struct sonde_store *store;
    sqlite3_stmt *sql[N_SQL];
    struct sonde_arena *arena; /* class names */
    char *set;
    int64_t id, base, n_rows, n_labelled;
    enum sonde_label_kind kind;
    enum sonde_row_space space;
    /* Class numbers by name: open addressing, at most half full. */
    const char **class_name; /* [n_places] */
    int32_t *class_number;   /* [n_places] */
    int64_t n_places, n_classes;
};

void sonde_store_label_abandon(struct sonde_label_writer **w)
{
    if (!w || !*w)
        return;
    struct sonde_label_writer *writer = *w;
    for (int i = 0; i < N_SQL; i++)
        sqlite3_finalize(writer->sql[i]);
    sonde_db_rollback(writer->store);
    writer->store->in_use = false;
    sonde_arena_destroy(&writer->arena);
    free(writer->class_name);
    free(writer->class_number);
    free(writer->set);
    free(writer);
    *w = NULL;
}

/* Deletes a set of that name, or says that it is there. */
static enum sonde_status clear_set(struct sonde_label_writer *writer, int64_t run, bool replace,
                                   struct sonde_error *error)
{
    static const char *const sql[] = { "DELETE FROM label WHERE label_set = ?1",
                                       "DELETE FROM label_class WHERE label_set = ?1",
                                       "DELETE FROM label_span WHERE label_set = ?1",
                                       "DELETE FROM label_set WHERE id = ?1" };
    struct sonde_store *store = writer->store;
    sqlite3_stmt *statement = NULL;
    bool row = false;
    enum sonde_status status = sonde_db_prepare(
        store, &statement, "SELECT id FROM label_set WHERE run = ?1 AND name = ?2", error);
    if (status != SONDE_STATUS_OK)
        return status;
    sqlite3_bind_int64(statement, 1, run);
    sonde_db_bind_text(statement, 2, writer->set);
    status = sonde_db_step(store, statement, &row, error);
    int64_t id = row ? sqlite3_column_int64(statement, 0) : 0;
    sqlite3_finalize(statement);
    if (status != SONDE_STATUS_OK || !row)
        return status;
    if (!replace)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "%s: label set '%s' exists already; replace it, or choose another "
                               "name",
                               store->path, writer->set);
    for (int i = 0; i < 4 && status == SONDE_STATUS_OK; i++) {
        status = sonde_db_prepare(store, &statement, sql[i], error);
        if (status != SONDE_STATUS_OK)
            break;
        sqlite3_bind_int64(statement, 1, id);
        status = sonde_db_run(store, statement, error);
        sqlite3_finalize(statement);
    }
    return status;
}

static enum sonde_status insert_set(struct sonde_label_writer *writer, int64_t run,
                                    const char *origin, struct sonde_error *error)
{
    struct sonde_store *store = writer->store;
    sqlite3_stmt *statement = NULL;
    char sql[160];
    enum sonde_status status = sonde_db_prepare(
        store, &statement,
        "INSERT INTO label_set(run, name, kind, space, origin) VALUES(?1, ?2, ?3, ?4, ?5)", error);
    if (status != SONDE_STATUS_OK)
        return status;
    sqlite3_bind_int64(statement, 1, run);
    sonde_db_bind_text(statement, 2, writer->set);
    sonde_db_bind_text(statement, 3, sonde_label_kind_name(writer->kind));
    sonde_db_bind_text(statement, 4, sonde_row_space_name(writer->space));
    sonde_db_bind_text(statement, 5, origin ? origin : "");
    status = sonde_db_run(store, statement, error);
    sqlite3_finalize(statement);
    if (status != SONDE_STATUS_OK)
        return status;
    writer->id = sqlite3_last_insert_rowid(store->db);
    sqlite3_snprintf(sizeof(sql), sql, "SELECT %s FROM run WHERE id = %lld",
                     writer->space == SONDE_ROWS_TOKEN ? "n_tokens" : "n_sequences", run);
    return sonde_db_read_i64(store, sql, 0, &writer->n_rows, error);
}

enum sonde_status sonde_store_label_begin(struct sonde_store *store, const char *run,
                                          const char *set, enum sonde_label_kind kind,
                                          enum sonde_row_space space, const char *origin,
                                          bool replace, struct sonde_label_writer **out,
                                          struct sonde_error *error)
{
    int64_t run_id = 0;
    enum sonde_status status = sonde_db_check_writable(store, error);
    if (status == SONDE_STATUS_OK && (!set || !set[0]))
        status = sonde_error_set(error, SONDE_STATUS_ARGUMENT, "%s: a label set needs a name",
                                 store->path);
    if (status == SONDE_STATUS_OK && space != SONDE_ROWS_TOKEN &&
        (space != SONDE_ROWS_SEQUENCE || kind == SONDE_LABEL_PAIR))
        status =
            sonde_error_set(error, SONDE_STATUS_ARGUMENT, "%s: labels of kind %s per %s",
                            store->path, sonde_label_kind_name(kind), sonde_row_space_name(space));
    if (status == SONDE_STATUS_OK)
        status = sonde_db_begin_write(store, error);
    if (status != SONDE_STATUS_OK)
        return status;
    struct sonde_label_writer *writer = calloc(1, sizeof(*writer));
    if (!writer) {
        sonde_db_rollback(store);
        return sonde_error_memory(error, "a label set");
    }
    store->in_use = true;
    writer->store = store;
    writer->kind = kind;
    writer->space = space;
    writer->arena = sonde_arena_create(0);
    writer->set = sonde_strdup(set);
    writer->n_places = 64;
    writer->class_name = calloc((size_t)writer->n_places, sizeof(*writer->class_name));
    writer->class_number = calloc((size_t)writer->n_places, sizeof(*writer->class_number));
    if (!writer->arena || !writer->set || !writer->class_name || !writer->class_number)
        status = sonde_error_memory(error, "a label set");
    if (status == SONDE_STATUS_OK)
        status = sonde_db_find_run(store, run, &run_id, error);
    writer->base = (run_id - 1) * SONDE_STORE_ID_SPAN;
    if (status == SONDE_STATUS_OK)
        status = clear_set(writer, run_id, replace, error);
    if (status == SONDE_STATUS_OK)
        status = insert_set(writer, run_id, origin, error);
    for (int i = 0; i < N_SQL && status == SONDE_STATUS_OK; i++)
        status = sonde_db_prepare(store, &writer->sql[i], statement_sql[i], error);
    if (status != SONDE_STATUS_OK) {
        sonde_store_label_abandon(&writer);
        return status;
    }
    *out = writer;
    return SONDE_STATUS_OK;
}

static int64_t place_of(const struct sonde_label_writer *writer, const char *name)
{
    uint64_t hash = 1469598103934665603u, mask = (uint64_t)writer->n_places - 1;
    for (const char *c = name; *c; c++)
        hash = (hash ^ (uint8_t)*c) * 1099511628211u;
    uint64_t i = (hash ^ (hash >> 29)) & mask;
    while (writer->class_name[i] && strcmp(writer->class_name[i], name) != 0)
        i = (i + 1) & mask;
    return (int64_t)i;
}

static bool grow_classes(struct sonde_label_writer *writer)
{
    struct sonde_label_writer grown = *writer;
    grown.n_places *= 2;
    grown.class_name = calloc((size_t)grown.n_places, sizeof(*grown.class_name));
    grown.class_number = calloc((size_t)grown.n_places, sizeof(*grown.class_number));
    if (!grown.class_name || !grown.class_number) {
        free(grown.class_name);
        free(grown.class_number);
        return false;
    }
    for (int64_t i = 0; i < writer->n_places; i++)
        if (writer->class_name[i]) {
            int64_t place = place_of(&grown, writer->class_name[i]);
            grown.class_name[place] = writer->class_name[i];
            grown.class_number[place] = writer->class_number[i];
        }
    free(writer->class_name);
    free(writer->class_number);
    *writer = grown;
    return true;
}

/* The number of a class; a new name is written. */
static enum sonde_status intern(struct sonde_label_writer *writer, const char *name, int32_t *out,
                                struct sonde_error *error)
{
    int64_t place = place_of(writer, name);
    if (writer->class_name[place]) {
        *out = writer->class_number[place];
        return SONDE_STATUS_OK;
    }
    if (writer->n_classes >= CLASSES_MAX)
        return sonde_error_set(error, SONDE_STATUS_LIMIT, "%s: label set '%s': over %d classes",
                               writer->store->path, writer->set, CLASSES_MAX);
    if (writer->n_classes * 2 >= writer->n_places) {
        if (!grow_classes(writer))
            return sonde_error_memory(error, "a label set");
        place = place_of(writer, name);
    }
    const char *copy = sonde_arena_strndup(writer->arena, name, strlen(name));
    if (!copy)
        return sonde_error_memory(error, "a label set");
    sqlite3_stmt *insert = writer->sql[INSERT_CLASS];
    sqlite3_bind_int64(insert, 1, writer->id);
    sqlite3_bind_int64(insert, 2, writer->n_classes);
    sonde_db_bind_text(insert, 3, copy);
    enum sonde_status status = sonde_db_run(writer->store, insert, error);
    if (status != SONDE_STATUS_OK)
        return status;
    writer->class_name[place] = copy;
    writer->class_number[place] = (int32_t)writer->n_classes++;
    *out = writer->class_number[place];
    return SONDE_STATUS_OK;
}

static enum sonde_status check_kind(const struct sonde_label_writer *writer,
                                    enum sonde_label_kind kind, struct sonde_error *error)
{
    if (writer->kind == kind)
        return SONDE_STATUS_OK;
    return sonde_error_set(error, SONDE_STATUS_ARGUMENT, "%s: label set '%s' is of kind %s, not %s",
                           writer->store->path, writer->set, sonde_label_kind_name(writer->kind),
                           sonde_label_kind_name(kind));
}

/* Inserts the label whose value is bound as parameter 3. */
static enum sonde_status insert_label(struct sonde_label_writer *writer, int64_t row,
                                      struct sonde_error *error)
{
    sqlite3_stmt *insert = writer->sql[INSERT_LABEL];
    if (row < 0 || row >= writer->n_rows)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT, "%s: label set '%s': %s %lld of %lld",
                               writer->store->path, writer->set,
                               sonde_row_space_name(writer->space), (long long)row,
                               (long long)writer->n_rows);
    sqlite3_bind_int64(insert, 1, writer->id);
    sqlite3_bind_int64(insert, 2, writer->base + row);
    int code = sqlite3_step(insert);
    enum sonde_status status = SONDE_STATUS_OK;
    if ((code & 0xff) == SQLITE_CONSTRAINT)
        status = sonde_error_set(
            error, SONDE_STATUS_ARGUMENT, "%s: label set '%s': %s %lld is labelled twice",
            writer->store->path, writer->set, sonde_row_space_name(writer->space), (long long)row);
    else if (code != SQLITE_DONE)
        status = sonde_db_error(writer->store, code, error);
    sqlite3_reset(insert);
    if (status == SONDE_STATUS_OK)
        writer->n_labelled++;
    return status;
}

enum sonde_status sonde_store_label_class(struct sonde_label_writer *w, int64_t row,
                                          const char *value, struct sonde_error *error)
{
    int32_t number = 0;
    enum sonde_status status = check_kind(w, SONDE_LABEL_CLASS, error);
    if (status == SONDE_STATUS_OK)
        status = intern(w, value, &number, error);
    if (status != SONDE_STATUS_OK)
        return status;
    sqlite3_bind_int64(w->sql[INSERT_LABEL], 3, number);
    return insert_label(w, row, error);
}

enum sonde_status sonde_store_label_real(struct sonde_label_writer *w, int64_t row, double value,
                                         struct sonde_error *error)
{
    enum sonde_status status = check_kind(w, SONDE_LABEL_REAL, error);
    if (status != SONDE_STATUS_OK || isnan(value))
        return status;
    sqlite3_bind_double(w->sql[INSERT_LABEL], 3, value);
    return insert_label(w, row, error);
}

/* Tokens of a sequence (or of a token's sequence); -1 where there is no such row. */
static enum sonde_status read_length(struct sonde_label_writer *writer, int which, int64_t id,
                                     int64_t *out, struct sonde_error *error)
{
    bool row = false;
    sqlite3_bind_int64(writer->sql[which], 1, id);
    enum sonde_status status = sonde_db_step(writer->store, writer->sql[which], &row, error);
    *out = row ? sqlite3_column_int64(writer->sql[which], 0) : -1;
    sqlite3_reset(writer->sql[which]);
    return status;
}

enum sonde_status sonde_store_label_pair(struct sonde_label_writer *w, int64_t row,
                                         int64_t partner_position, struct sonde_error *error)
{
    int64_t T = 0;
    enum sonde_status status = check_kind(w, SONDE_LABEL_PAIR, error);
    if (status == SONDE_STATUS_OK && row >= 0 && row < w->n_rows)
        status = read_length(w, TOKEN_LENGTH, w->base + row, &T, error);
    if (status != SONDE_STATUS_OK)
        return status;
    if (row >= 0 && row < w->n_rows && (partner_position < 0 || partner_position >= T))
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "%s: label set '%s': token %lld has its partner at position %lld of "
                               "a sequence of %lld tokens",
                               w->store->path, w->set, (long long)row, (long long)partner_position,
                               (long long)T);
    sqlite3_bind_int64(w->sql[INSERT_LABEL], 3, partner_position);
    return insert_label(w, row, error);
}

enum sonde_status sonde_store_label_span(struct sonde_label_writer *w, int64_t sequence,
                                         int64_t begin, int64_t end, const char *value,
                                         struct sonde_error *error)
{
    int64_t T = -1;
    int32_t number = 0;
    enum sonde_status status = check_kind(w, SONDE_LABEL_SPAN, error);
    if (status == SONDE_STATUS_OK && sequence >= 0 && sequence < SONDE_STORE_ID_SPAN)
        status = read_length(w, SEQUENCE_LENGTH, w->base + sequence, &T, error);
    if (status != SONDE_STATUS_OK)
        return status;
    if (begin < 0 || begin >= end || end > T)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "%s: label set '%s': span [%lld, %lld) of sequence %lld, which has "
                               "%lld tokens",
                               w->store->path, w->set, (long long)begin, (long long)end,
                               (long long)sequence, (long long)(T < 0 ? 0 : T));
    status = intern(w, value, &number, error);
    if (status != SONDE_STATUS_OK)
        return status;
    sqlite3_stmt *insert = w->sql[INSERT_SPAN];
    sqlite3_bind_int64(insert, 1, w->id);
    sqlite3_bind_int64(insert, 2, w->n_labelled);
    sqlite3_bind_int64(insert, 3, w->base + sequence);
    sqlite3_bind_int64(insert, 4, begin);
    sqlite3_bind_int64(insert, 5, end);
    sqlite3_bind_int64(insert, 6, number);
    status = sonde_db_run(w->store, insert, error);
    if (status == SONDE_STATUS_OK)
        w->n_labelled++;
    return status;
}

enum sonde_status sonde_store_label_commit(struct sonde_label_writer **w, int64_t *n_labelled,
                                           struct sonde_error *error)
{
    int64_t n = (*w)->n_labelled;
    for (int i = 0; i < N_SQL; i++)
        sqlite3_reset((*w)->sql[i]);
    enum sonde_status status = sonde_db_exec((*w)->store, "COMMIT", error);
    sonde_store_label_abandon(w);
    if (status == SONDE_STATUS_OK && n_labelled)
        *n_labelled = n;
    return status;
}

enum sonde_status sonde_store_list_labels(struct sonde_store *store, int64_t run_id,
                                          struct sonde_store_label_set **out, int64_t *n,
                                          struct sonde_error *error)
{
    static const char sql[] = "SELECT name, origin, kind, space,"
                              " (SELECT count(*) FROM label WHERE label_set = label_set.id) +"
                              " (SELECT count(*) FROM label_span WHERE label_set = label_set.id),"
                              " (SELECT count(*) FROM label_class WHERE label_set = label_set.id)"
                              " FROM label_set WHERE run = ?1 ORDER BY id";
    struct sonde_store_label_set *sets = NULL;
    sqlite3_stmt *statement = NULL;
    int64_t count = 0, capacity = 0;
    bool row = true;
    enum sonde_status status = sonde_db_prepare(store, &statement, sql, error);
    if (status == SONDE_STATUS_OK)
        sqlite3_bind_int64(statement, 1, run_id);
    while (status == SONDE_STATUS_OK) {
        status = sonde_db_step(store, statement, &row, error);
        if (status != SONDE_STATUS_OK || !row)
            break;
        if (!sonde_grow((void **)&sets, &capacity, count + 1, sizeof(*sets), SETS_MAX)) {
            status = sonde_error_memory(error, "the list of label sets");
            break;
        }
        struct sonde_store_label_set *set = &sets[count++];
        memset(set, 0, sizeof(*set));
        status = sonde_db_copy_text(statement, 0, &set->name, error);
        if (status == SONDE_STATUS_OK)
            status = sonde_db_copy_text(statement, 1, &set->origin, error);
        set->n_labelled = sqlite3_column_int64(statement, 4);
        set->n_classes = sqlite3_column_int64(statement, 5);
        if (status == SONDE_STATUS_OK &&
            (!sonde_label_kind_from_name((const char *)sqlite3_column_text(statement, 2),
                                         &set->kind) ||
             !sonde_label_space_from_name((const char *)sqlite3_column_text(statement, 3),
                                          &set->space)))
            status = sonde_error_set(error, SONDE_STATUS_FORMAT,
                                     "%s: label set '%s': unknown kind or row space", store->path,
                                     set->name);
    }
    sqlite3_finalize(statement);
    if (status != SONDE_STATUS_OK) {
        sonde_store_labels_finish(&sets, count);
        return status;
    }
    *out = sets;
    *n = count;
    return SONDE_STATUS_OK;
}

void sonde_store_labels_finish(struct sonde_store_label_set **sets, int64_t n)
{
    if (!sets || !*sets)
        return;
    for (int64_t i = 0; i < n; i++) {
        free((*sets)[i].name);
        free((*sets)[i].origin);
    }
    free(*sets);
    *sets = NULL;
}
