/*
 * JSON: strict reading (jansson behind; duplicate keys and bad UTF-8 refused, depth limited, the
 * error names line and column) and a small writer.
 *
 * Reading: values are borrowed from the document. Getters never fail on NULL: a NULL value reads as
 * absent, so chains like sonde_json_get(sonde_json_get(root, "model"), "vocab") are safe.
 */
#ifndef SONDE_CORE_BASE_JSON_H
#define SONDE_CORE_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/base/status.h"

struct sonde_json; /* a value; the root owns the document */

enum sonde_json_type {
    SONDE_JSON_ABSENT = 0, /* the type of NULL */
    SONDE_JSON_NULL,
    SONDE_JSON_BOOL,
    SONDE_JSON_INTEGER, /* fits int64 */
    SONDE_JSON_REAL,
    SONDE_JSON_STRING,
    SONDE_JSON_ARRAY,
    SONDE_JSON_OBJECT,
};

/* Any JSON value is allowed at the root. */
SONDE_MUST_USE enum sonde_status sonde_json_parse(struct sonde_json **out, const char *text,
                                                  size_t n, struct sonde_error *error);
SONDE_MUST_USE enum sonde_status sonde_json_load(struct sonde_json **out, const char *path,
                                                 int64_t max_bytes, struct sonde_error *error);
void sonde_json_destroy(struct sonde_json **root);

enum sonde_json_type sonde_json_type(const struct sonde_json *value);
const char *sonde_json_type_name(enum sonde_json_type type); /* "a string", "an array", ... */

/* Object member or NULL. */
const struct sonde_json *sonde_json_get(const struct sonde_json *object, const char *key);
/* Elements of an array or members of an object; 0 for everything else. */
int64_t sonde_json_size(const struct sonde_json *value);
const struct sonde_json *sonde_json_at(const struct sonde_json *array, int64_t index);

/* Members in the file's order: for (struct sonde_json_iter i = {0}; sonde_json_next(obj, &i);) */
struct sonde_json_iter {
    void *position;
    const char *key;
    size_t key_size; /* keys with NUL inside are refused by parse */
    const struct sonde_json *value;
};
bool sonde_json_next(const struct sonde_json *object, struct sonde_json_iter *iter);

/* Plain accessors: the value, or the fallback where the type differs. integer takes an integral
 * real within 2^53 too; real takes integers. */
const char *sonde_json_string(const struct sonde_json *value, const char *fallback);
size_t sonde_json_string_size(const struct sonde_json *value);
int64_t sonde_json_integer(const struct sonde_json *value, int64_t fallback);
double sonde_json_real(const struct sonde_json *value, double fallback);
bool sonde_json_bool(const struct sonde_json *value, bool fallback);
bool sonde_json_is_number(const struct sonde_json *value);

/* Checked member getters: absent or null gives the fallback; a wrong type or a number outside
 * [min, max] is SONDE_STATUS_FORMAT, naming key, found and expected. */
SONDE_MUST_USE enum sonde_status sonde_json_read_i64(const struct sonde_json *object,
                                                     const char *key, int64_t fallback, int64_t min,
                                                     int64_t max, int64_t *out,
                                                     struct sonde_error *error);
SONDE_MUST_USE enum sonde_status sonde_json_read_f64(const struct sonde_json *object,
                                                     const char *key, double fallback, double min,
                                                     double max, double *out,
                                                     struct sonde_error *error);
SONDE_MUST_USE enum sonde_status sonde_json_read_bool(const struct sonde_json *object,
                                                      const char *key, bool fallback, bool *out,
                                                      struct sonde_error *error);
SONDE_MUST_USE enum sonde_status sonde_json_read_string(const struct sonde_json *object,
                                                        const char *key, const char *fallback,
                                                        const char **out,
                                                        struct sonde_error *error);

/* The value as compact JSON text. */
bool sonde_json_dump(struct sonde_buf *out, const struct sonde_json *value);

/* Writer: text goes to a buffer; commas, nesting and escapes are handled. Numbers print with
 * sonde_format_f64, non-finite ones as null. Invalid UTF-8 in strings becomes U+FFFD. indent 0 =
 * compact. key == NULL inside arrays and at the root. */
struct sonde_json_writer {
    struct sonde_buf *out;
    int indent;
    int depth;
    uint64_t has_items; /* one bit a depth; depth is at most 63 */
};
void sonde_json_begin_object(struct sonde_json_writer *w, const char *key);
void sonde_json_end_object(struct sonde_json_writer *w);
void sonde_json_begin_array(struct sonde_json_writer *w, const char *key);
void sonde_json_end_array(struct sonde_json_writer *w);
void sonde_json_put_string(struct sonde_json_writer *w, const char *key, const char *value);
void sonde_json_put_string_n(struct sonde_json_writer *w, const char *key, const char *value,
                             size_t n);
void sonde_json_put_i64(struct sonde_json_writer *w, const char *key, int64_t value);
void sonde_json_put_f64(struct sonde_json_writer *w, const char *key, double value);
void sonde_json_put_bool(struct sonde_json_writer *w, const char *key, bool value);
void sonde_json_put_null(struct sonde_json_writer *w, const char *key);
/* An already serialised value, verbatim. */
void sonde_json_put_raw(struct sonde_json_writer *w, const char *key, const char *json);

#endif
