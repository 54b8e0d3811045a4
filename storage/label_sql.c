/*
 * Label sets from a query. The query is the user's own, but it may have come with a recipe from
 * somewhere: it can read the store and nothing else, and it cannot run for ever.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "storage/db.h"

#define STEPS_BETWEEN 100000            /* virtual machine steps between looks at the limit */
#define STEPS_MIN ((int64_t)200000000)  /* some seconds */
#define STEPS_PER_TOKEN ((int64_t)1000) /* and so many more for each token of the store */
#define VALUE_BYTES_MAX (64 << 20)
#define ROWS_MAX ((int64_t)1 << 31)

struct sql_row {
    int64_t row;      /* in the run, of the label's space */
    int64_t integer;  /* pair */
    double real;      /* real */
    const char *text; /* class: the name */
};

struct sql_labels {
    struct sonde_store *store;
    const char *set;
    int64_t run, base;
    int column_token, column_sequence, column_position, column_value, column_partner;
    bool has_real, has_text, has_integer;
    struct sonde_arena *arena;
    struct sql_row *rows;
    int64_t n, capacity, steps_left;
};

/* Reading, functions and recursion; nothing that writes, attaches, configures or loads code. */
static int authorize(void *ctx, int action, const char *a, const char *b, const char *c,
                     const char *d)
{
    (void)ctx;
    (void)a;
    (void)c;
    (void)d;
    switch (action) {
    case SQLITE_SELECT:
    case SQLITE_READ:
    case SQLITE_RECURSIVE:
        return SQLITE_OK;
    case SQLITE_FUNCTION:
        return b && sqlite3_stricmp(b, "load_extension") == 0 ? SQLITE_DENY : SQLITE_OK;
    default:
        return SQLITE_DENY;
    }
}

static int count_steps(void *ctx)
{
    struct sql_labels *labels = ctx;
    labels->steps_left -= STEPS_BETWEEN;
    return labels->steps_left < 0;
}

static enum sonde_status refuse(const struct sql_labels *labels, const char *what,
                                struct sonde_error *error)
{
    return sonde_error_set(error, SONDE_STATUS_ARGUMENT, "%s: the query for label set '%s' %s",
                           labels->store->path, labels->set, what);
}

static enum sonde_status query_error(const struct sql_labels *labels, int code,
                                     struct sonde_error *error)
{
    /* Denials inside table-valued functions come back as plain errors. */
    bool denied = strncmp(sqlite3_errmsg(labels->store->db), "not authorized", 14) == 0;
    if ((code & 0xff) == SQLITE_AUTH || ((code & 0xff) == SQLITE_ERROR && denied))
        return refuse(labels, "does something else than reading the store", error);
    if ((code & 0xff) == SQLITE_INTERRUPT)
        return sonde_error_set(error, SONDE_STATUS_LIMIT,
                               "%s: the query for label set '%s' takes too many steps",
                               labels->store->path, labels->set);
    if ((code & 0xff) == SQLITE_ERROR || (code & 0xff) == SQLITE_MISUSE)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT, "%s: the query for label set '%s': %s",
                               labels->store->path, labels->set, sqlite3_errmsg(labels->store->db));
    return sonde_db_error(labels->store, code, error);
}

static enum sonde_status find_columns(struct sql_labels *labels, sqlite3_stmt *query,
                                      struct sonde_error *error)
{
    int n = sqlite3_column_count(query);
    const struct {
        const char *name;
        int *column;
    } known[] = { { "token", &labels->column_token },
                  { "sequence", &labels->column_sequence },
                  { "position", &labels->column_position },
                  { "value", &labels->column_value },
                  { "partner", &labels->column_partner } };
    for (size_t k = 0; k < sizeof(known) / sizeof(known[0]); k++) {
        *known[k].column = -1;
        for (int i = 0; i < n; i++) {
            const char *name = sqlite3_column_name(query, i);
            if (name && strcasecmp(name, known[k].name) == 0)
                *known[k].column = i;
        }
    }
    /* Two columns without the names are taken in their order: SELECT token, upper(text) ... */
    if (n == 2 && labels->column_value < 0 && labels->column_partner < 0 &&
        (labels->column_token == 0 || labels->column_sequence == 0))
        labels->column_value = 1;
    if ((labels->column_value < 0 && labels->column_partner < 0) ||
        (labels->column_token < 0 && labels->column_sequence < 0))
        return refuse(labels,
                      "must give the columns token, value (or partner); sequence, position, value; "
                      "or sequence, value",
                      error);
    return SONDE_STATUS_OK;
}

/* The row that an id of the views stands for; -1 where it is of another run. */
static int64_t row_of(const struct sql_labels *labels, int64_t id)
{
    int64_t row = id - labels->base;
    return id >= labels->base && row < SONDE_STORE_ID_SPAN ? row : -1;
}

/* The token row at a position of a sequence; -1 where there is none. */
static enum sonde_status find_token(struct sql_labels *labels, sqlite3_stmt *find, int64_t sequence,
                                    int64_t position, int64_t *out, struct sonde_error *error)
{
    bool row = false;
    sqlite3_bind_int64(find, 1, sequence);
    sqlite3_bind_int64(find, 2, position);
    enum sonde_status status = sonde_db_step(labels->store, find, &row, error);
    *out = row ? row_of(labels, sqlite3_column_int64(find, 0)) : -1;
    sqlite3_reset(find);
    return status;
}

static enum sonde_status add_value(struct sql_labels *labels, sqlite3_stmt *query, int column,
                                   int64_t row, struct sonde_error *error)
{
    int type = sqlite3_column_type(query, column);
    if (type == SQLITE_NULL)
        return SONDE_STATUS_OK; /* no label */
    if (type == SQLITE_BLOB)
        return refuse(labels, "gives a blob as a value", error);
    if (!sonde_grow((void **)&labels->rows, &labels->capacity, labels->n + 1, sizeof(*labels->rows),
                    ROWS_MAX))
        return sonde_error_memory(error, "a label set");
    struct sql_row *entry = &labels->rows[labels->n];
    *entry = (struct sql_row){ .row = row,
                               .integer = sqlite3_column_int64(query, column),
                               .real = sqlite3_column_double(query, column) };
    labels->has_real |= type == SQLITE_FLOAT;
    labels->has_text |= type == SQLITE_TEXT;
    labels->has_integer |= type == SQLITE_INTEGER;
    const char *text = (const char *)sqlite3_column_text(query, column);
    entry->text = text ? sonde_arena_strndup(labels->arena, text, strlen(text)) : NULL;
    if (!entry->text)
        return sonde_error_memory(error, "a label set");
    labels->n++;
    return SONDE_STATUS_OK;
}

static enum sonde_status read_row(struct sql_labels *labels, sqlite3_stmt *query,
                                  sqlite3_stmt *find, struct sonde_error *error)
{
    int64_t row = -1, id;
    enum sonde_status status = SONDE_STATUS_OK;
    if (labels->column_token >= 0) {
        id = sqlite3_column_int64(query, labels->column_token);
        row = row_of(labels, id);
    } else {
        id = sqlite3_column_int64(query, labels->column_sequence);
        row = row_of(labels, id);
        if (row >= 0 && labels->column_position >= 0)
            status = find_token(labels, find, id,
                                sqlite3_column_int64(query, labels->column_position), &row, error);
    }
    if (status != SONDE_STATUS_OK)
        return status;
    if (row < 0)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "%s: the query for label set '%s' gives %s %lld, which is not of "
                               "this run; WHERE run = :run leaves the others out",
                               labels->store->path, labels->set,
                               labels->column_token >= 0 ? "token" : "sequence", (long long)id);
    int column = labels->column_partner >= 0 ? labels->column_partner : labels->column_value;
    return add_value(labels, query, column, row, error);
}

/* Prepared and run with the guards on; the guards are off again afterwards. */
static enum sonde_status run_query(struct sql_labels *labels, const char *sql, const char *run_name,
                                   struct sonde_error *error)
{
    sqlite3 *db = labels->store->db;
    sqlite3_stmt *query = NULL, *find = NULL;
    const char *rest = "";
    enum sonde_status status =
        sonde_db_prepare(labels->store, &find,
                         "SELECT id FROM token WHERE id = (SELECT first_token + ?2 FROM sequence"
                         " WHERE id = ?1 AND ?2 >= 0 AND ?2 < n_tokens)",
                         error);
    if (status != SONDE_STATUS_OK)
        return status;
    int limit = sqlite3_limit(db, SQLITE_LIMIT_LENGTH, VALUE_BYTES_MAX);
    sqlite3_set_authorizer(db, authorize, NULL);
    sqlite3_progress_handler(db, STEPS_BETWEEN, count_steps, labels);
    int code = sqlite3_prepare_v2(db, sql, -1, &query, &rest);
    if (code != SQLITE_OK)
        status = query_error(labels, code, error);
    else if (!query || !sqlite3_stmt_readonly(query) || sqlite3_stmt_isexplain(query) ||
             sqlite3_column_count(query) == 0)
        status = refuse(labels, "is not a SELECT", error);
    else if (rest[strspn(rest, " \t\r\n;")])
        status = refuse(labels, "has more than one statement", error);
    else
        status = find_columns(labels, query, error);
    if (status == SONDE_STATUS_OK) {
        int parameter = sqlite3_bind_parameter_index(query, ":run");
        if (parameter > 0)
            sonde_db_bind_text(query, parameter, run_name);
    }
    while (status == SONDE_STATUS_OK) {
        code = sqlite3_step(query);
        if (code == SQLITE_DONE)
            break;
        status = code == SQLITE_ROW ? read_row(labels, query, find, error)
                                    : query_error(labels, code, error);
    }
    sqlite3_finalize(query);
    sqlite3_progress_handler(db, 0, NULL, NULL);
    sqlite3_set_authorizer(db, NULL, NULL);
    sqlite3_limit(db, SQLITE_LIMIT_LENGTH, limit);
    sqlite3_finalize(find);
    return status;
}

/* Text makes classes, reals make numbers, integers alone make classes; a column `partner` pairs. */
static enum sonde_status choose_kind(const struct sql_labels *labels, enum sonde_label_kind *out,
                                     struct sonde_error *error)
{
    if (labels->column_partner >= 0 && (labels->has_text || labels->has_real))
        return refuse(labels, "gives partners that are no positions", error);
    if (labels->has_text && labels->has_real)
        return refuse(labels, "gives both texts and numbers as values; cast them to one type",
                      error);
    *out = labels->column_partner >= 0 ? SONDE_LABEL_PAIR
           : labels->has_real          ? SONDE_LABEL_REAL
                                       : SONDE_LABEL_CLASS;
    return SONDE_STATUS_OK;
}

static enum sonde_status write_rows(struct sql_labels *labels, const char *run, const char *sql,
                                    bool replace, int64_t *n_labelled, struct sonde_error *error)
{
    struct sonde_label_writer *writer = NULL;
    enum sonde_label_kind kind = SONDE_LABEL_CLASS;
    enum sonde_row_space space = labels->column_token >= 0 || labels->column_position >= 0
                                     ? SONDE_ROWS_TOKEN
                                     : SONDE_ROWS_SEQUENCE;
    enum sonde_status status = choose_kind(labels, &kind, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_store_label_begin(labels->store, run, labels->set, kind, space, sql, replace,
                                         &writer, error);
    for (int64_t i = 0; i < labels->n && status == SONDE_STATUS_OK; i++) {
        const struct sql_row *row = &labels->rows[i];
        status = kind == SONDE_LABEL_PAIR
                     ? sonde_store_label_pair(writer, row->row, row->integer, error)
                 : kind == SONDE_LABEL_REAL
                     ? sonde_store_label_real(writer, row->row, row->real, error)
                     : sonde_store_label_class(writer, row->row, row->text, error);
    }
    if (status != SONDE_STATUS_OK) {
        sonde_store_label_abandon(&writer);
        return status;
    }
    return sonde_store_label_commit(&writer, n_labelled, error);
}

enum sonde_status sonde_store_label_sql(struct sonde_store *store, const char *run, const char *set,
                                        const char *sql, bool replace, int64_t *n_labelled,
                                        struct sonde_error *error)
{
    struct sql_labels labels = { .store = store, .set = set };
    int64_t n_tokens = 0;
    sqlite3_stmt *name = NULL;
    bool row = false;
    enum sonde_status status = sonde_db_check_writable(store, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_db_find_run(store, run, &labels.run, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_db_read_i64(store, "SELECT total(n_tokens) FROM run", 0, &n_tokens, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_db_prepare(store, &name, "SELECT name FROM run WHERE id = ?1", error);
    if (status == SONDE_STATUS_OK) {
        sqlite3_bind_int64(name, 1, labels.run);
        status = sonde_db_step(store, name, &row, error);
    }
    labels.base = (labels.run - 1) * SONDE_STORE_ID_SPAN;
    if (n_tokens < 0 || n_tokens > ROWS_MAX)
        n_tokens = ROWS_MAX;
    labels.steps_left = STEPS_MIN + n_tokens * STEPS_PER_TOKEN;
    labels.arena = sonde_arena_create(0);
    if (status == SONDE_STATUS_OK && !labels.arena)
        status = sonde_error_memory(error, "a label set");
    if (status == SONDE_STATUS_OK)
        status =
            run_query(&labels, sql, row ? (const char *)sqlite3_column_text(name, 0) : "", error);
    sqlite3_finalize(name);
    if (status == SONDE_STATUS_OK)
        status = write_rows(&labels, run, sql, replace, n_labelled, error);
    sonde_arena_destroy(&labels.arena);
    free(labels.rows);
    return status;
}
