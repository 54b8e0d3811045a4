/*
 * Delimited text: tab- or comma-separated rows. A file whose first line holds a tab is
 * tab-separated, and then a quote is a character like any other; else it is CSV with the quoting of
 * RFC 4180 (fields in double quotes, "" for a quote, line ends inside quotes). A byte order mark,
 * CRLF and empty lines are accepted.
 */
#ifndef SONDE_TOOLS_DELIMITED_H
#define SONDE_TOOLS_DELIMITED_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/base/status.h"

#define SONDE_DELIMITED_FIELDS_MAX 256

struct sonde_delimited {
    const char *path; /* for messages; borrowed */
    struct sonde_buf content;
    size_t at;
    int64_t line; /* of the row in hand, from 1 */
    int64_t next_line;
    char separator;
    char *field[SONDE_DELIMITED_FIELDS_MAX]; /* of the row in hand; valid until the next */
    int n_fields;
};

/* path "-" = standard input. Zero-initialised or finished structs only. */
SONDE_MUST_USE enum sonde_status sonde_delimited_open(struct sonde_delimited *d, const char *path,
                                                      struct sonde_error *error);
void sonde_delimited_finish(struct sonde_delimited *d);
/* *row false at the end. Errors name file and line. */
SONDE_MUST_USE enum sonde_status sonde_delimited_next(struct sonde_delimited *d, bool *row,
                                                      struct sonde_error *error);
/* Index of the field with this text in the row in hand, or -1: for header rows. */
int sonde_delimited_find(const struct sonde_delimited *d, const char *name);
/* FORMAT naming file, line and `what` unless field `index` is a whole number in [min, max]. */
SONDE_MUST_USE enum sonde_status sonde_delimited_i64(const struct sonde_delimited *d, int index,
                                                     const char *what, int64_t min, int64_t max,
                                                     int64_t *out, struct sonde_error *error);

#endif
