/* Label sets as a source gives them: read on the first request, then kept. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/buf.h"
#include "storage/labels.h"
#include "storage/source.h"

void sonde_source_labels_free(struct sonde_labels *labels)
{
    free((void *)(uintptr_t)labels->class_of);
    free((void *)(uintptr_t)labels->real);
    free((void *)(uintptr_t)labels->partner);
    free((void *)(uintptr_t)labels->class_name);
    free((void *)(uintptr_t)labels->span);
    *labels = (struct sonde_labels){ 0 };
}

static enum sonde_status bad_labels(const struct source *source, const char *set, const char *what,
                                    struct sonde_error *error)
{
    return sonde_error_set(error, SONDE_STATUS_FORMAT, "%s: label set '%s': %s",
                           source->store->path, set, what);
}

/* The names of the classes; class i is row i. */
static enum sonde_status load_classes(struct source *source, int64_t id, const char *set,
                                      struct sonde_labels *labels, struct sonde_error *error)
{
    sqlite3_stmt *statement = NULL;
    const char **names = NULL;
    int64_t n = 0, capacity = 0;
    bool row = true;
    enum sonde_status status = sonde_db_prepare(
        source->store, &statement,
        "SELECT class, name FROM label_class WHERE label_set = ?1 ORDER BY class", error);
    if (status == SONDE_STATUS_OK)
        sqlite3_bind_int64(statement, 1, id);
    while (status == SONDE_STATUS_OK) {
        status = sonde_db_step(source->store, statement, &row, error);
        if (status != SONDE_STATUS_OK || !row)
            break;
        const char *text = (const char *)sqlite3_column_text(statement, 1);
        if (sqlite3_column_int64(statement, 0) != n || !text)
            status = bad_labels(source, set, "its classes are not numbered from 0", error);
        else if (!sonde_grow((void **)&names, &capacity, n + 1, sizeof(*names), INT32_MAX) ||
                 !(names[n] = sonde_arena_strndup(source->arena, text, strlen(text))))
            status = sonde_error_memory(error, "a label set");
        n++;
    }
    sqlite3_finalize(statement);
    labels->class_name = names;
    labels->n_classes = n;
    return status;
}

/* Puts one row's value in its place; false where it is out of range. */
static bool put_value(const struct source *source, struct sonde_labels *labels, int64_t item,
                      sqlite3_stmt *row, int32_t *integers, double *reals)
{
    int type = sqlite3_column_type(row, 1);
    if (item < 0 || item >= labels->n_rows)
        return false;
    if (labels->kind == SONDE_LABEL_REAL) {
        reals[item] = sqlite3_column_double(row, 1);
        return type == SQLITE_FLOAT || type == SQLITE_INTEGER;
    }
    int64_t value = sqlite3_column_int64(row, 1), limit = labels->n_classes;
    if (labels->kind == SONDE_LABEL_PAIR)
        limit = source->sequences[source->token_sequence[item]].n_tokens;
    if (type != SQLITE_INTEGER || value < 0 || value >= limit)
        return false;
    integers[item] = (int32_t)value;
    return true;
}

static enum sonde_status load_values(struct source *source, int64_t id, const char *set,
                                     struct sonde_labels *labels, struct sonde_error *error)
{
    size_t n = (size_t)labels->n_rows;
    bool real = labels->kind == SONDE_LABEL_REAL;
    int32_t *integers = real ? NULL : malloc((n + 1) * sizeof(int32_t));
    double *reals = real ? malloc((n + 1) * sizeof(double)) : NULL;
    labels->class_of = labels->kind == SONDE_LABEL_CLASS ? integers : NULL;
    labels->partner = labels->kind == SONDE_LABEL_PAIR ? integers : NULL;
    labels->real = reals;
    if (!integers && !reals)
        return sonde_error_memory(error, "a label set");
    for (size_t i = 0; i < n; i++) {
        if (real)
            reals[i] = (double)NAN;
        else
            integers[i] = -1;
    }
    sqlite3_stmt *statement = NULL;
    bool row = true;
    enum sonde_status status = sonde_db_prepare(
        source->store, &statement, "SELECT item, value FROM label WHERE label_set = ?1", error);
    if (status == SONDE_STATUS_OK)
        sqlite3_bind_int64(statement, 1, id);
    while (status == SONDE_STATUS_OK) {
        status = sonde_db_step(source->store, statement, &row, error);
        if (status != SONDE_STATUS_OK || !row)
            break;
        int64_t item = sqlite3_column_int64(statement, 0) - source->id_base;
        if (!put_value(source, labels, item, statement, integers, reals))
            status = bad_labels(source, set, "an item or a value is out of range", error);
    }
    sqlite3_finalize(statement);
    return status;
}

static enum sonde_status load_spans(struct source *source, int64_t id, const char *set,
                                    struct sonde_labels *labels, struct sonde_error *error)
{
    sqlite3_stmt *statement = NULL;
    struct sonde_span *spans = NULL;
    int32_t *classes = NULL;
    int64_t n = 0, room = 0, class_room = 0;
    bool row = true;
    enum sonde_status status =
        sonde_db_prepare(source->store, &statement,
                         "SELECT sequence, first, past, class FROM label_span"
                         " WHERE label_set = ?1 ORDER BY ordinal",
                         error);
    if (status == SONDE_STATUS_OK)
        sqlite3_bind_int64(statement, 1, id);
    while (status == SONDE_STATUS_OK) {
        status = sonde_db_step(source->store, statement, &row, error);
        if (status != SONDE_STATUS_OK || !row)
            break;
        if (!sonde_grow((void **)&spans, &room, n + 1, sizeof(*spans), INT32_MAX) ||
            !sonde_grow((void **)&classes, &class_room, n + 1, sizeof(*classes), INT32_MAX)) {
            status = sonde_error_memory(error, "a label set");
            break;
        }
        struct sonde_span span = { sqlite3_column_int64(statement, 0) - source->id_base,
                                   sqlite3_column_int64(statement, 1),
                                   sqlite3_column_int64(statement, 2) };
        int64_t class = sqlite3_column_int64(statement, 3);
        if (span.sequence < 0 || span.sequence >= source->base.n_sequences || span.begin < 0 ||
            span.begin >= span.end || span.end > source->sequences[span.sequence].n_tokens ||
            class < 0 || class >= labels->n_classes) {
            status = bad_labels(source, set, "a span is out of range", error);
            break;
        }
        spans[n] = span;
        classes[n++] = (int32_t) class;
    }
    sqlite3_finalize(statement);
    labels->span = spans;
    labels->class_of = classes;
    labels->n_spans = n;
    return status;
}

static enum sonde_status find_set(struct source *source, const char *set, int64_t *id,
                                  struct sonde_labels *labels, struct sonde_error *error)
{
    sqlite3_stmt *statement = NULL;
    bool row = false;
    enum sonde_status status = sonde_db_prepare(
        source->store, &statement,
        "SELECT id, kind, space FROM label_set WHERE run = ?1 AND name = ?2", error);
    if (status != SONDE_STATUS_OK)
        return status;
    sqlite3_bind_int64(statement, 1, source->run);
    sonde_db_bind_text(statement, 2, set);
    status = sonde_db_step(source->store, statement, &row, error);
    if (status == SONDE_STATUS_OK && row) {
        *id = sqlite3_column_int64(statement, 0);
        if (!sonde_label_kind_from_name((const char *)sqlite3_column_text(statement, 1),
                                        &labels->kind) ||
            !sonde_label_space_from_name((const char *)sqlite3_column_text(statement, 2),
                                         &labels->space))
            status = bad_labels(source, set, "unknown kind or row space", error);
        else if (labels->kind == SONDE_LABEL_PAIR && labels->space != SONDE_ROWS_TOKEN)
            status = bad_labels(source, set, "pairs are of tokens only", error);
    }
    sqlite3_finalize(statement);
    if (status != SONDE_STATUS_OK || row)
        return status;
    char names[512];
    sonde_db_list_names(source->store, "SELECT name FROM label_set WHERE run = ?1 ORDER BY name",
                        source->run, names, sizeof(names));
    return sonde_error_set(error, SONDE_STATUS_NOT_FOUND,
                           "%s: run '%s' has no label set '%s'; it has: %s", source->store->path,
                           source->base.run_name, set, names);
}

enum sonde_status sonde_source_load_labels(struct sonde_source *base, const char *set,
                                           const struct sonde_labels **out,
                                           struct sonde_error *error)
{
    struct source *source = base->self;
    for (struct source_label_entry *entry = source->labels; entry; entry = entry->next)
        if (strcmp(entry->labels.name, set) == 0) {
            *out = &entry->labels;
            return SONDE_STATUS_OK;
        }
    struct source_label_entry *entry = calloc(1, sizeof(*entry));
    if (!entry)
        return sonde_error_memory(error, "a label set");
    struct sonde_labels *labels = &entry->labels;
    int64_t id = 0;
    enum sonde_status status = find_set(source, set, &id, labels, error);
    labels->n_rows =
        labels->space == SONDE_ROWS_TOKEN ? source->base.n_tokens : source->base.n_sequences;
    if (status == SONDE_STATUS_OK) {
        labels->name = sonde_arena_strndup(source->arena, set, strlen(set));
        if (!labels->name)
            status = sonde_error_memory(error, "a label set");
    }
    if (status == SONDE_STATUS_OK)
        status = load_classes(source, id, set, labels, error);
    if (status == SONDE_STATUS_OK)
        status = labels->kind == SONDE_LABEL_SPAN ? load_spans(source, id, set, labels, error)
                                                  : load_values(source, id, set, labels, error);
    if (status != SONDE_STATUS_OK) {
        sonde_source_labels_free(labels);
        free(entry);
        return status;
    }
    entry->next = source->labels;
    source->labels = entry;
    *out = labels;
    return SONDE_STATUS_OK;
}
