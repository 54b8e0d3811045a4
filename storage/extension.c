/*
 * A loadable SQLite extension, so that any SQLite client can compute on a store:
 *
 *   sonde_dot(a, b), sonde_norm(a), sonde_cosine(a, b)   on blobs of little-endian f32
 *   sonde_rows(stream [, run])                           a table: item, value
 *
 * stream is a stream's id or its name; item is the id of a token or a sequence as in the views,
 * value its row widened to f32 (for a map the whole [heads, T, T] array).
 *
 *   .load ./sonde_sqlite
 *   SELECT t.text, sonde_norm(r.value) FROM sonde_rows('hook_embed') AS r
 *     JOIN tokens AS t ON t.token = r.item;
 *
 * The client brings its own SQLite, which is reached through the table of functions that it hands
 * over. A function that SQLite calls cannot ask for that table without having it, so it is kept in
 * a variable of this module, set once when the module is loaded; that is SQLite's own convention.
 */
#include <sqlite3ext.h>
SQLITE_EXTENSION_INIT1

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/num.h"
#include "storage/codec.h"
#include "storage/layout.h"

#define ID_SPAN ((int64_t)1 << 40)
#define CHUNK_MAX ((int64_t)4 << 20)
#define VALUE_MAX ((int64_t)1 << 28) /* values of one row; SQLite's blobs end before that */

/* --- functions on vectors --- */

/* A blob of whole f32 values; false, with the error set, where it is none. */
static bool read_vector(sqlite3_context *context, sqlite3_value *argument, const uint8_t **data,
                        int64_t *n)
{
    int bytes = sqlite3_value_bytes(argument);
    if (sqlite3_value_type(argument) != SQLITE_BLOB || bytes % 4 != 0) {
        sqlite3_result_error(context, "expected a blob of f32 values", -1);
        return false;
    }
    *data = sqlite3_value_blob(argument);
    *n = bytes / 4;
    return true;
}

static double value_at(const uint8_t *data, int64_t i)
{
    float value;
    memcpy(&value, data + 4 * i, sizeof(value));
    return (double)value;
}

static double dot(const uint8_t *a, const uint8_t *b, int64_t n)
{
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++)
        sum += value_at(a, i) * value_at(b, i);
    return sum;
}

/* Two vectors of one length; false where the result is set already (NULL in, NULL out). */
static bool read_pair(sqlite3_context *context, sqlite3_value **argv, const uint8_t **a,
                      const uint8_t **b, int64_t *n)
{
    int64_t m = 0;
    if (sqlite3_value_type(argv[0]) == SQLITE_NULL || sqlite3_value_type(argv[1]) == SQLITE_NULL ||
        !read_vector(context, argv[0], a, n) || !read_vector(context, argv[1], b, &m))
        return false;
    if (m == *n)
        return true;
    sqlite3_result_error(context, "the vectors differ in length", -1);
    return false;
}

static void function_dot(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    const uint8_t *a = NULL, *b = NULL;
    int64_t n = 0;
    (void)argc;
    if (read_pair(context, argv, &a, &b, &n))
        sqlite3_result_double(context, dot(a, b, n));
}

static void function_norm(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    const uint8_t *a = NULL;
    int64_t n = 0;
    (void)argc;
    if (sqlite3_value_type(argv[0]) != SQLITE_NULL && read_vector(context, argv[0], &a, &n))
        sqlite3_result_double(context, sqrt(dot(a, a, n)));
}

/* a.b / (|a| |b|); NULL where a length is zero. */
static void function_cosine(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    const uint8_t *a = NULL, *b = NULL;
    int64_t n = 0;
    (void)argc;
    if (!read_pair(context, argv, &a, &b, &n))
        return;
    double lengths = sqrt(dot(a, a, n)) * sqrt(dot(b, b, n));
    if (lengths != 0.0)
        sqlite3_result_double(context, dot(a, b, n) / lengths);
}

/* --- sonde_rows --- */

enum { COLUMN_ITEM, COLUMN_VALUE, COLUMN_STREAM, COLUMN_RUN };
enum { PLAN_STREAM = 1, PLAN_RUN = 2, PLAN_ITEM = 4 };

struct rows_table {
    sqlite3_vtab base;
    sqlite3 *db;
};

struct rows_cursor {
    sqlite3_vtab_cursor base;
    sqlite3_stmt *chunk, *tail, *length; /* prepared when a stream is chosen */
    struct sonde_coder *coder;
    struct sonde_stream stream;
    int64_t id, first_item, n_items, chunk_values;
    int64_t row, past;        /* rows [row, past) are still to come */
    int64_t map_first;        /* maps: number of the first value of this row */
    int64_t loaded, n_loaded; /* the chunk in values, -1 none; how many it has */
    uint8_t *values;          /* [chunk_values] as stored */
    float *out;               /* [out_room] */
    int64_t out_room;
};

static int fail(struct rows_table *table, const char *format, const char *what)
{
    sqlite3_free(table->base.zErrMsg);
    table->base.zErrMsg = sqlite3_mprintf(format, what);
    return SQLITE_ERROR;
}

static int rows_connect(sqlite3 *db, void *aux, int argc, const char *const *argv,
                        sqlite3_vtab **out, char **message)
{
    (void)aux;
    (void)argc;
    (void)argv;
    (void)message;
    int code = sqlite3_declare_vtab(db, "CREATE TABLE x(item INTEGER, value BLOB, stream HIDDEN,"
                                        " run HIDDEN)");
    if (code != SQLITE_OK)
        return code;
    struct rows_table *table = calloc(1, sizeof(*table));
    if (!table)
        return SQLITE_NOMEM;
    sqlite3_vtab_config(db, SQLITE_VTAB_DIRECTONLY);
    table->db = db;
    *out = &table->base;
    return SQLITE_OK;
}

static int rows_disconnect(sqlite3_vtab *base)
{
    free(base);
    return SQLITE_OK;
}

/* The stream must be given; an item may be. Arguments come in the order stream, run, item. */
static int rows_best_index(sqlite3_vtab *base, sqlite3_index_info *info)
{
    static const int column[] = { COLUMN_STREAM, COLUMN_RUN, COLUMN_ITEM };
    int plan = 0, n = 0;
    (void)base;
    for (int k = 0; k < 3; k++)
        for (int i = 0; i < info->nConstraint; i++) {
            if (info->aConstraint[i].iColumn != column[k] ||
                info->aConstraint[i].op != SQLITE_INDEX_CONSTRAINT_EQ)
                continue;
            if (!info->aConstraint[i].usable) {
                /* An argument that is not known yet: another order of the join must be taken. */
                if (column[k] != COLUMN_ITEM)
                    return SQLITE_CONSTRAINT;
                continue;
            }
            if (plan & 1 << k)
                continue;
            plan |= 1 << k;
            info->aConstraintUsage[i].argvIndex = ++n;
            info->aConstraintUsage[i].omit = column[k] != COLUMN_ITEM;
        }
    info->idxNum = plan;
    info->estimatedCost = plan & PLAN_ITEM ? 10.0 : 1e6;
    info->estimatedRows = plan & PLAN_ITEM ? 1 : 100000;
    return SQLITE_OK;
}

static int rows_open(sqlite3_vtab *base, sqlite3_vtab_cursor **out)
{
    (void)base;
    struct rows_cursor *cursor = calloc(1, sizeof(*cursor));
    if (!cursor)
        return SQLITE_NOMEM;
    *out = &cursor->base;
    return SQLITE_OK;
}

static void reset_cursor(struct rows_cursor *cursor)
{
    sqlite3_finalize(cursor->chunk);
    sqlite3_finalize(cursor->tail);
    sqlite3_finalize(cursor->length);
    sonde_coder_destroy(&cursor->coder);
    free(cursor->values);
    free(cursor->out);
    sqlite3_vtab_cursor base = cursor->base;
    memset(cursor, 0, sizeof(*cursor));
    cursor->base = base;
    cursor->loaded = -1;
}

static int rows_close(sqlite3_vtab_cursor *base)
{
    reset_cursor((struct rows_cursor *)base);
    free(base);
    return SQLITE_OK;
}

/* Columns: id, run, space, dtype, width, chunk_values, n_sequences, n_tokens. */
static int read_stream(struct rows_table *table, struct rows_cursor *cursor, sqlite3_stmt *row)
{
    const char *space = (const char *)sqlite3_column_text(row, 2);
    const char *dtype = (const char *)sqlite3_column_text(row, 3);
    struct sonde_stream *stream = &cursor->stream;
    int64_t run = sqlite3_column_int64(row, 1), bytes = 0;
    cursor->id = sqlite3_column_int64(row, 0);
    cursor->chunk_values = sqlite3_column_int64(row, 5);
    stream->width = sqlite3_column_int64(row, 4);
    stream->dtype = dtype ? sonde_dtype_from_name(dtype) : SONDE_DTYPE_NONE;
    if (!sonde_row_space_from_name(space, &stream->space) ||
        !sonde_dtype_is_weight(stream->dtype) || stream->width < 1 || stream->width > VALUE_MAX ||
        run < 1 || run >= (int64_t)1 << 22 || cursor->chunk_values < 1 ||
        !sonde_mul_i64(cursor->chunk_values, (int64_t)sonde_dtype_size(stream->dtype), &bytes) ||
        bytes > CHUNK_MAX)
        return fail(table, "sonde_rows: the stream is damaged%s", "");
    cursor->first_item = (run - 1) * ID_SPAN;
    cursor->n_items = sqlite3_column_int64(row, stream->space == SONDE_ROWS_TOKEN ? 7 : 6);
    cursor->values = malloc((size_t)bytes);
    cursor->coder = sonde_coder_create();
    return cursor->values && cursor->coder ? SQLITE_OK : SQLITE_NOMEM;
}

static int find_stream(struct rows_table *table, struct rows_cursor *cursor, sqlite3_value *name,
                       sqlite3_value *run)
{
    static const char sql[] =
        "SELECT stream.id, stream.run, stream.space, stream.dtype, stream.width,"
        " stream.chunk_values, run.n_sequences, run.n_tokens FROM stream"
        " JOIN run ON run.id = stream.run WHERE (stream.id = ?1 OR stream.name = ?1)"
        " AND (?2 IS NULL OR run.name = ?2) LIMIT 2";
    sqlite3_stmt *statement = NULL;
    const char *text = (const char *)sqlite3_value_text(name);
    int code = sqlite3_prepare_v2(table->db, sql, -1, &statement, NULL);
    if (code != SQLITE_OK)
        return fail(table, "sonde_rows: %s", sqlite3_errmsg(table->db));
    sqlite3_bind_value(statement, 1, name);
    if (run)
        sqlite3_bind_value(statement, 2, run);
    code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        code = read_stream(table, cursor, statement);
    else if (code == SQLITE_DONE)
        code = fail(table, "sonde_rows: no stream '%s'", text ? text : "NULL");
    if (code == SQLITE_OK && sqlite3_step(statement) == SQLITE_ROW)
        code = fail(table, "sonde_rows: several runs have a stream '%s'; name the run, too", text);
    sqlite3_finalize(statement);
    return code;
}

static int prepare_reads(struct rows_table *table, struct rows_cursor *cursor)
{
    static const char *const sql[] = {
        "SELECT codec, n_values, data FROM chunk WHERE stream = ?1 AND ordinal = ?2",
        "SELECT first_value, n_values, data FROM tail WHERE stream = ?1 ORDER BY first_value",
        "SELECT n_tokens FROM sequence WHERE id = ?1"
    };
    sqlite3_stmt **const statement[] = { &cursor->chunk, &cursor->tail, &cursor->length };
    for (int i = 0; i < 3; i++)
        if (sqlite3_prepare_v2(table->db, sql[i], -1, statement[i], NULL) != SQLITE_OK)
            return fail(table, "sonde_rows: %s", sqlite3_errmsg(table->db));
    return SQLITE_OK;
}

static int64_t row_length(struct rows_cursor *cursor, int64_t row)
{
    sqlite3_bind_int64(cursor->length, 1, cursor->first_item + row);
    int64_t T =
        sqlite3_step(cursor->length) == SQLITE_ROW ? sqlite3_column_int64(cursor->length, 0) : 0;
    sqlite3_reset(cursor->length);
    return T < 0 || T > INT32_MAX ? 0 : T;
}

static int64_t row_values(struct rows_cursor *cursor, int64_t row)
{
    if (cursor->stream.space != SONDE_ROWS_MAP)
        return cursor->stream.width;
    int64_t T = row_length(cursor, row), n = 0;
    return sonde_mul_i64(T * T, cursor->stream.width, &n) ? n : 0;
}

static int rows_filter(sqlite3_vtab_cursor *base, int plan, const char *text, int argc,
                       sqlite3_value **argv)
{
    struct rows_table *table = (struct rows_table *)base->pVtab;
    struct rows_cursor *cursor = (struct rows_cursor *)base;
    (void)text;
    (void)argc;
    reset_cursor(cursor);
    if (!(plan & PLAN_STREAM))
        return fail(table, "sonde_rows: name a stream: sonde_rows('hook_embed')%s", "");
    int next = 1;
    sqlite3_value *run = plan & PLAN_RUN ? argv[next++] : NULL;
    int code = find_stream(table, cursor, argv[0], run);
    if (code == SQLITE_OK)
        code = prepare_reads(table, cursor);
    if (code != SQLITE_OK)
        return code;
    cursor->past = cursor->n_items;
    if (plan & PLAN_ITEM) {
        int64_t row = sqlite3_value_int64(argv[next]) - cursor->first_item;
        bool inside = row >= 0 && row < cursor->n_items;
        /* Where a map begins is the sum of those before it. */
        for (int64_t i = 0; inside && cursor->stream.space == SONDE_ROWS_MAP && i < row; i++)
            cursor->map_first += row_values(cursor, i);
        cursor->row = inside ? row : 0;
        cursor->past = inside ? row + 1 : 0;
    }
    return SQLITE_OK;
}

static int rows_next(sqlite3_vtab_cursor *base)
{
    struct rows_cursor *cursor = (struct rows_cursor *)base;
    if (cursor->stream.space == SONDE_ROWS_MAP)
        cursor->map_first += row_values(cursor, cursor->row);
    cursor->row++;
    return SQLITE_OK;
}

static int rows_eof(sqlite3_vtab_cursor *base)
{
    const struct rows_cursor *cursor = (const struct rows_cursor *)base;
    return cursor->row >= cursor->past;
}

static int rows_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *out)
{
    *out = ((const struct rows_cursor *)base)->row;
    return SQLITE_OK;
}

/* The values of an unfinished run's last chunk, put together from its parts. */
static bool load_tail(struct rows_cursor *cursor, int64_t chunk)
{
    int64_t at = chunk * cursor->chunk_values, n = 0;
    int64_t element = (int64_t)sonde_dtype_size(cursor->stream.dtype);
    bool good = true;
    sqlite3_bind_int64(cursor->tail, 1, cursor->id);
    while (good && sqlite3_step(cursor->tail) == SQLITE_ROW) {
        int64_t part = sqlite3_column_int64(cursor->tail, 1);
        const void *data = sqlite3_column_blob(cursor->tail, 2);
        good = sqlite3_column_int64(cursor->tail, 0) == at + n && part > 0 &&
               part <= cursor->chunk_values - n && data &&
               sqlite3_column_bytes(cursor->tail, 2) == part * element;
        if (good)
            memcpy(cursor->values + n * element, data, (size_t)(part * element));
        n += part;
    }
    sqlite3_reset(cursor->tail);
    cursor->n_loaded = n;
    return good && n > 0;
}

static bool load_chunk(struct rows_cursor *cursor, int64_t chunk)
{
    int64_t element = (int64_t)sonde_dtype_size(cursor->stream.dtype);
    enum sonde_codec codec;
    if (cursor->loaded == chunk)
        return true;
    cursor->loaded = -1;
    sqlite3_bind_int64(cursor->chunk, 1, cursor->id);
    sqlite3_bind_int64(cursor->chunk, 2, chunk);
    bool good = false;
    if (sqlite3_step(cursor->chunk) == SQLITE_ROW) {
        int64_t n = sqlite3_column_int64(cursor->chunk, 1);
        const void *data = sqlite3_column_blob(cursor->chunk, 2);
        good =
            sonde_codec_from_name((const char *)sqlite3_column_text(cursor->chunk, 0), &codec) &&
            n > 0 && n <= cursor->chunk_values && data &&
            sonde_coder_decode(cursor->coder, codec, data, sqlite3_column_bytes(cursor->chunk, 2),
                               element, cursor->values, n * element, NULL) == SONDE_STATUS_OK;
        cursor->n_loaded = n;
        sqlite3_reset(cursor->chunk);
    } else {
        sqlite3_reset(cursor->chunk);
        good = load_tail(cursor, chunk);
    }
    if (good)
        cursor->loaded = chunk;
    return good;
}

/* Values [first, first + n) into out, widened. */
static bool gather(struct rows_cursor *cursor, int64_t first, int64_t n, float *out)
{
    int64_t element = (int64_t)sonde_dtype_size(cursor->stream.dtype);
    while (n > 0) {
        int64_t chunk = first / cursor->chunk_values, offset = first % cursor->chunk_values;
        if (!load_chunk(cursor, chunk) || offset >= cursor->n_loaded)
            return false;
        int64_t part = cursor->n_loaded - offset < n ? cursor->n_loaded - offset : n;
        sonde_dtype_widen(cursor->stream.dtype, cursor->values + offset * element, out, part);
        first += part;
        out += part;
        n -= part;
    }
    return true;
}

static int rows_value(struct rows_table *table, struct rows_cursor *cursor,
                      sqlite3_context *context)
{
    int64_t n = row_values(cursor, cursor->row);
    int64_t first = cursor->stream.space == SONDE_ROWS_MAP ? cursor->map_first
                                                           : cursor->row * cursor->stream.width;
    if (n > VALUE_MAX)
        return SQLITE_TOOBIG;
    if (n + 1 > cursor->out_room) {
        float *grown = realloc(cursor->out, (size_t)(n + 1) * sizeof(float));
        if (!grown)
            return SQLITE_NOMEM;
        cursor->out = grown;
        cursor->out_room = n + 1;
    }
    if (!gather(cursor, first, n, cursor->out))
        return fail(table, "sonde_rows: a chunk of the stream is missing or damaged%s", "");
    sqlite3_result_blob64(context, cursor->out, (sqlite3_uint64)n * sizeof(float),
                          SQLITE_TRANSIENT);
    return SQLITE_OK;
}

static int rows_column(sqlite3_vtab_cursor *base, sqlite3_context *context, int column)
{
    struct rows_table *table = (struct rows_table *)base->pVtab;
    struct rows_cursor *cursor = (struct rows_cursor *)base;
    if (column == COLUMN_ITEM)
        sqlite3_result_int64(context, cursor->first_item + cursor->row);
    else if (column == COLUMN_STREAM)
        sqlite3_result_int64(context, cursor->id);
    else if (column == COLUMN_VALUE)
        return rows_value(table, cursor, context);
    return SQLITE_OK;
}

static const sqlite3_module rows_module = { .xConnect = rows_connect,
                                            .xBestIndex = rows_best_index,
                                            .xDisconnect = rows_disconnect,
                                            .xOpen = rows_open,
                                            .xClose = rows_close,
                                            .xFilter = rows_filter,
                                            .xNext = rows_next,
                                            .xEof = rows_eof,
                                            .xColumn = rows_column,
                                            .xRowid = rows_rowid };

/* --- registration --- */

__attribute__((visibility("default"))) int
sqlite3_extension_init(sqlite3 *db, char **message, const struct sqlite3_api_routines *api);

int sqlite3_extension_init(sqlite3 *db, char **message, const struct sqlite3_api_routines *api)
{
    const int flags = SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS;
    (void)message;
    SQLITE_EXTENSION_INIT2(api);
    int code = sqlite3_create_function(db, "sonde_dot", 2, flags, NULL, function_dot, NULL, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_create_function(db, "sonde_norm", 1, flags, NULL, function_norm, NULL, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_create_function(db, "sonde_cosine", 2, flags, NULL, function_cosine, NULL,
                                       NULL);
    if (code == SQLITE_OK)
        code = sqlite3_create_module_v2(db, "sonde_rows", &rows_module, NULL, NULL);
    return code;
}
