/* Labels from a delimited file. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/num.h"
#include "tools/delimited.h"
#include "tools/label/labelling.h"

/* Which field holds what; -1 = the file has no such column. */
struct places {
    int sequence, position, begin, end, value;
};

struct rows {
    struct sonde_labelling *l;
    struct sonde_delimited file;
    struct places places;
    int n_fields;
    enum sonde_label_kind kind;
    unsigned char *seen; /* [token rows or sequences]: a row must not be labelled twice */
    int64_t n_empty;
    int64_t last_sequence; /* found by name: rows of one sequence mostly follow each other */
};

static enum sonde_status find_places(struct rows *r, bool *header, struct sonde_error *error)
{
    const struct sonde_delimited *f = &r->file;
    r->n_fields = f->n_fields;
    r->places = (struct places){ .sequence = sonde_delimited_find(f, "sequence"),
                                 .position = sonde_delimited_find(f, "position"),
                                 .begin = sonde_delimited_find(f, "begin"),
                                 .end = sonde_delimited_find(f, "end"),
                                 .value = sonde_delimited_find(f, "value") };
    *header = r->places.sequence >= 0 && r->places.value >= 0;
    if (*header) {
        if ((r->places.begin >= 0) != (r->places.end >= 0))
            return sonde_error_set(error, SONDE_STATUS_FORMAT,
                                   "%s: a span needs both columns, begin and end", f->path);
        return SONDE_STATUS_OK;
    }
    if (f->n_fields == 2)
        r->places = (struct places){ 0, -1, -1, -1, 1 };
    else if (f->n_fields == 3)
        r->places = (struct places){ 0, 1, -1, -1, 2 };
    else if (f->n_fields == 4)
        r->places = (struct places){ 0, -1, 1, 2, 3 };
    else
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "%s: line %lld: %d fields, expected a header with the columns "
                               "sequence and value, or rows of sequence, value; sequence, "
                               "position, value; or sequence, begin, end, value",
                               f->path, (long long)f->line, f->n_fields);
    return SONDE_STATUS_OK;
}

/* A sequence by its number in the run, else by its name. */
static enum sonde_status find_sequence(struct rows *r, int64_t *out, struct sonde_error *error)
{
    const struct sonde_source *s = r->l->source;
    const char *text = r->file.field[r->places.sequence];
    int64_t index;
    if (sonde_parse_i64(text, strlen(text), &index))
        return sonde_delimited_i64(&r->file, r->places.sequence, "sequence", 0, s->n_sequences - 1,
                                   out, error);
    for (int64_t k = 0; k < s->n_sequences; k++) {
        int64_t i = (r->last_sequence + k) % s->n_sequences;
        if (s->sequences[i].name && strcmp(s->sequences[i].name, text) == 0) {
            *out = r->last_sequence = i;
            return SONDE_STATUS_OK;
        }
    }
    return sonde_error_set(error, SONDE_STATUS_NOT_FOUND,
                           "%s: line %lld: the run has no sequence '%.80s'", r->file.path,
                           (long long)r->file.line, text);
}

static enum sonde_status put_value(struct rows *r, struct sonde_label_writer *w, int64_t row,
                                   int64_t sequence, struct sonde_error *error)
{
    const char *value = r->file.field[r->places.value];
    if (*value == '\0') {
        r->n_empty++;
        return SONDE_STATUS_OK;
    }
    if (r->seen[row])
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "%s: line %lld: labels a place that an earlier line labelled",
                               r->file.path, (long long)r->file.line);
    r->seen[row] = 1;
    if (r->kind == SONDE_LABEL_CLASS)
        return sonde_store_label_class(w, row, value, error);
    if (r->kind == SONDE_LABEL_PAIR) {
        int64_t partner;
        enum sonde_status status =
            sonde_delimited_i64(&r->file, r->places.value, "partner position", 0,
                                r->l->source->sequences[sequence].n_tokens - 1, &partner, error);
        return status ? status : sonde_store_label_pair(w, row, partner, error);
    }
    double real;
    if (!sonde_parse_f64(value, strlen(value), &real))
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "%s: line %lld: value '%.40s', expected a finite number",
                               r->file.path, (long long)r->file.line, value);
    return sonde_store_label_real(w, row, real, error);
}

static enum sonde_status put_row(struct rows *r, struct sonde_label_writer *w,
                                 struct sonde_error *error)
{
    int64_t sequence = 0, begin, end;
    enum sonde_status status = find_sequence(r, &sequence, error);
    if (status)
        return status;
    int64_t n = r->l->source->sequences[sequence].n_tokens;
    if (r->kind == SONDE_LABEL_SPAN) {
        status = sonde_delimited_i64(&r->file, r->places.begin, "begin", 0, n - 1, &begin, error);
        if (!status)
            status = sonde_delimited_i64(&r->file, r->places.end, "end", begin + 1, n, &end, error);
        return status ? status
                      : sonde_store_label_span(w, sequence, begin, end,
                                               r->file.field[r->places.value], error);
    }
    if (r->places.position < 0)
        return put_value(r, w, sequence, sequence, error);
    status = sonde_delimited_i64(&r->file, r->places.position, "position", 0, n - 1, &begin, error);
    if (status)
        return status;
    return put_value(r, w, r->l->source->sequences[sequence].first_row + begin, sequence, error);
}

static enum sonde_status next_row(struct rows *r, bool *row, struct sonde_error *error)
{
    enum sonde_status status = sonde_delimited_next(&r->file, row, error);
    if (status || !*row || r->file.n_fields == r->n_fields)
        return status;
    return sonde_error_set(error, SONDE_STATUS_FORMAT, "%s: line %lld: %d fields, expected %d",
                           r->file.path, (long long)r->file.line, r->file.n_fields, r->n_fields);
}

/* auto: real where every value is a number and one at least is no whole number; whole numbers are
 * as often names of classes. Reads the file once for that and gives the first row again. */
static enum sonde_status guess_kind(const char *path, int value, bool header, bool *real,
                                    struct sonde_error *error)
{
    struct sonde_delimited f = { 0 };
    bool row = true, numbers = true, fraction = false;
    enum sonde_status status = sonde_delimited_open(&f, path, error);
    while (!status && numbers) {
        status = sonde_delimited_next(&f, &row, error);
        if (status || !row)
            break;
        if (header || f.n_fields <= value) {
            header = false;
            continue;
        }
        const char *text = f.field[value];
        double number;
        int64_t whole;
        if (*text == '\0')
            continue;
        numbers = sonde_parse_f64(text, strlen(text), &number);
        fraction = fraction || (numbers && !sonde_parse_i64(text, strlen(text), &whole));
    }
    sonde_delimited_finish(&f);
    *real = numbers && fraction;
    return status;
}

static enum sonde_status choose_kind(struct rows *r, bool header, struct sonde_error *error)
{
    static const char mismatch[] = "rows of sequence, begin, end, value are spans; others are not";
    bool spans = r->places.begin >= 0;
    enum sonde_label_choice choice = r->l->kind;
    if (spans != (choice == SONDE_LABEL_CHOICE_SPAN) && choice != SONDE_LABEL_CHOICE_AUTO)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT, "%s: --kind: %s", r->file.path,
                               mismatch);
    if (choice == SONDE_LABEL_CHOICE_PAIR && r->places.position < 0)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "%s: pairs need rows of sequence, position, value", r->file.path);
    r->kind = spans                               ? SONDE_LABEL_SPAN
              : choice == SONDE_LABEL_CHOICE_REAL ? SONDE_LABEL_REAL
              : choice == SONDE_LABEL_CHOICE_PAIR ? SONDE_LABEL_PAIR
                                                  : SONDE_LABEL_CLASS;
    bool real = false;
    enum sonde_status status = SONDE_STATUS_OK;
    if (choice == SONDE_LABEL_CHOICE_AUTO && !spans && strcmp(r->file.path, "-") != 0)
        status = guess_kind(r->file.path, r->places.value, header, &real, error);
    if (real)
        r->kind = SONDE_LABEL_REAL;
    return status;
}

static enum sonde_status put_all(struct rows *r, struct sonde_error *error)
{
    bool row = true, header = false;
    enum sonde_status status = sonde_delimited_next(&r->file, &row, error);
    if (!status && !row)
        status = sonde_error_set(error, SONDE_STATUS_FORMAT, "%s: holds no rows", r->file.path);
    if (!status)
        status = find_places(r, &header, error);
    if (!status)
        status = choose_kind(r, header, error);
    if (!status && header)
        status = next_row(r, &row, error);
    if (status)
        return status;
    bool by_token = r->places.position >= 0 || r->kind == SONDE_LABEL_SPAN;
    int64_t n = by_token ? r->l->source->n_tokens : r->l->source->n_sequences;
    struct sonde_label_writer *w = NULL;
    struct sonde_buf origin = { 0 };
    r->seen = calloc((size_t)n + 1, 1);
    if (!r->seen)
        return sonde_error_memory(error, r->file.path);
    sonde_buf_printf(&origin, "file %s", r->file.path);
    status = sonde_labelling_begin(r->l, r->kind, by_token ? SONDE_ROWS_TOKEN : SONDE_ROWS_SEQUENCE,
                                   origin.data, &w, error);
    while (!status && row) {
        status = put_row(r, w, error);
        if (!status)
            status = next_row(r, &row, error);
    }
    sonde_buf_finish(&origin);
    return sonde_labelling_end(r->l, &w, status, error);
}

enum sonde_status sonde_label_rows(struct sonde_labelling *l, const char *path,
                                   struct sonde_error *error)
{
    struct rows *r = calloc(1, sizeof(*r));
    if (!r)
        return sonde_error_memory(error, path);
    r->l = l;
    enum sonde_status status = sonde_delimited_open(&r->file, path, error);
    if (!status)
        status = put_all(r, error);
    if (!status && r->n_empty)
        sonde_result_warn(l->result, "%lld rows have no value and label nothing",
                          (long long)r->n_empty);
    sonde_delimited_finish(&r->file);
    free(r->seen);
    free(r);
    return status;
}
