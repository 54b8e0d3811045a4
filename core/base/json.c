#include "core/base/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "core/base/file.h"
#include "core/base/num.h"

#define WRITER_DEPTH_MAX 63

/* struct sonde_json is never defined: a value is jansson's json_t under another name. */
static const json_t *inside(const struct sonde_json *value)
{
    return (const json_t *)value;
}

static const struct sonde_json *outside(const json_t *value)
{
    return (const struct sonde_json *)value;
}

/* jansson's iterators take the object without const although they only read it. */
static json_t *inside_mutable(const struct sonde_json *value)
{
    union {
        const struct sonde_json *read_only;
        json_t *any;
    } both = { value };
    return both.any;
}

enum sonde_status sonde_json_parse(struct sonde_json **out, const char *text, size_t n,
                                   struct sonde_error *error)
{
    json_error_t failure;
    json_t *root = json_loadb(text ? text : "", n,
                              JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, &failure);
    if (root) {
        *out = (struct sonde_json *)root;
        return SONDE_STATUS_OK;
    }
    /* Where memory runs out jansson mostly says nothing at all; inside a string it says that the
     * string is invalid, which cannot be told from the truth. */
    if (json_error_code(&failure) == json_error_out_of_memory || !failure.text[0])
        return sonde_error_memory(error, "JSON");
    return sonde_error_set(error, SONDE_STATUS_FORMAT, "line %d, column %d: %s", failure.line,
                           failure.column, failure.text);
}

enum sonde_status sonde_json_load(struct sonde_json **out, const char *path, int64_t max_bytes,
                                  struct sonde_error *error)
{
    struct sonde_buf buf = { 0 };
    enum sonde_status status = sonde_file_load(path, max_bytes, &buf, error);
    if (status != SONDE_STATUS_OK)
        return status;
    status = sonde_json_parse(out, buf.data, buf.size, error);
    if (status != SONDE_STATUS_OK)
        sonde_error_prepend(error, "%s", path);
    sonde_buf_finish(&buf);
    return status;
}

void sonde_json_destroy(struct sonde_json **root)
{
    if (!root || !*root)
        return;
    json_decref((json_t *)*root);
    *root = NULL;
}

enum sonde_json_type sonde_json_type(const struct sonde_json *value)
{
    if (!value)
        return SONDE_JSON_ABSENT;
    switch (json_typeof(inside(value))) {
    case JSON_OBJECT:
        return SONDE_JSON_OBJECT;
    case JSON_ARRAY:
        return SONDE_JSON_ARRAY;
    case JSON_STRING:
        return SONDE_JSON_STRING;
    case JSON_INTEGER:
        return SONDE_JSON_INTEGER;
    case JSON_REAL:
        return SONDE_JSON_REAL;
    case JSON_TRUE:
    case JSON_FALSE:
        return SONDE_JSON_BOOL;
    case JSON_NULL:
        return SONDE_JSON_NULL;
    }
    return SONDE_JSON_ABSENT;
}

const char *sonde_json_type_name(enum sonde_json_type type)
{
    switch (type) {
    case SONDE_JSON_ABSENT:
        return "nothing";
    case SONDE_JSON_NULL:
        return "null";
    case SONDE_JSON_BOOL:
        return "a truth value";
    case SONDE_JSON_INTEGER:
        return "a whole number";
    case SONDE_JSON_REAL:
        return "a real number";
    case SONDE_JSON_STRING:
        return "a string";
    case SONDE_JSON_ARRAY:
        return "an array";
    case SONDE_JSON_OBJECT:
        return "an object";
    }
    return "nothing";
}

const struct sonde_json *sonde_json_get(const struct sonde_json *object, const char *key)
{
    return outside(json_object_get(inside(object), key));
}

int64_t sonde_json_size(const struct sonde_json *value)
{
    const json_t *v = inside(value);
    return (int64_t)(json_is_array(v) ? json_array_size(v) : json_object_size(v));
}

const struct sonde_json *sonde_json_at(const struct sonde_json *array, int64_t index)
{
    return index < 0 ? NULL : outside(json_array_get(inside(array), (size_t)index));
}

bool sonde_json_next(const struct sonde_json *object, struct sonde_json_iter *iter)
{
    json_t *o = inside_mutable(object);
    iter->position =
        iter->position ? json_object_iter_next(o, iter->position) : json_object_iter(o);
    if (!iter->position)
        return false;
    iter->key = json_object_iter_key(iter->position);
    iter->key_size = json_object_iter_key_len(iter->position);
    iter->value = outside(json_object_iter_value(iter->position));
    return true;
}

const char *sonde_json_string(const struct sonde_json *value, const char *fallback)
{
    const char *text = json_string_value(inside(value));
    return text ? text : fallback;
}

size_t sonde_json_string_size(const struct sonde_json *value)
{
    return json_string_length(inside(value));
}

/* A real stands for an integer as long as doubles tell neighbouring integers apart. */
static bool to_integer(const struct sonde_json *value, int64_t *out)
{
    const json_t *v = inside(value);
    if (json_is_integer(v)) {
        *out = json_integer_value(v);
        return true;
    }
    if (!json_is_real(v))
        return false;
    double real = json_real_value(v);
    if (!(fabs(real) <= 0x1p53) || real != floor(real))
        return false;
    *out = (int64_t)real;
    return true;
}

int64_t sonde_json_integer(const struct sonde_json *value, int64_t fallback)
{
    int64_t out = fallback;
    return to_integer(value, &out) ? out : fallback;
}

double sonde_json_real(const struct sonde_json *value, double fallback)
{
    return json_is_number(inside(value)) ? json_number_value(inside(value)) : fallback;
}

bool sonde_json_bool(const struct sonde_json *value, bool fallback)
{
    const json_t *v = inside(value);
    return json_is_boolean(v) ? json_is_true(v) : fallback;
}

bool sonde_json_is_number(const struct sonde_json *value)
{
    return json_is_number(inside(value));
}

/* The member, or NULL for absent and null alike. */
static const struct sonde_json *member(const struct sonde_json *object, const char *key)
{
    const struct sonde_json *value = sonde_json_get(object, key);
    return json_is_null(inside(value)) ? NULL : value;
}

static enum sonde_status wrong_type(struct sonde_error *error, const char *key,
                                    const struct sonde_json *value, const char *expected)
{
    return sonde_error_set(error, SONDE_STATUS_FORMAT, "\"%s\": found %s, expected %s", key,
                           sonde_json_type_name(sonde_json_type(value)), expected);
}

enum sonde_status sonde_json_read_i64(const struct sonde_json *object, const char *key,
                                      int64_t fallback, int64_t min, int64_t max, int64_t *out,
                                      struct sonde_error *error)
{
    const struct sonde_json *value = member(object, key);
    if (!value) {
        *out = fallback;
        return SONDE_STATUS_OK;
    }
    int64_t number;
    if (!to_integer(value, &number))
        return wrong_type(error, key, value, "a whole number");
    if (number < min || number > max)
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "\"%s\": found %lld, expected %lld to %lld", key, (long long)number,
                               (long long)min, (long long)max);
    *out = number;
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_json_read_f64(const struct sonde_json *object, const char *key,
                                      double fallback, double min, double max, double *out,
                                      struct sonde_error *error)
{
    const struct sonde_json *value = member(object, key);
    if (!value) {
        *out = fallback;
        return SONDE_STATUS_OK;
    }
    if (!sonde_json_is_number(value))
        return wrong_type(error, key, value, "a number");
    double number = sonde_json_real(value, 0);
    if (!(number >= min && number <= max))
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "\"%s\": found %.9g, expected %.9g to %.9g", key, number, min, max);
    *out = number;
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_json_read_bool(const struct sonde_json *object, const char *key,
                                       bool fallback, bool *out, struct sonde_error *error)
{
    const struct sonde_json *value = member(object, key);
    if (value && !json_is_boolean(inside(value)))
        return wrong_type(error, key, value, "true or false");
    *out = sonde_json_bool(value, fallback);
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_json_read_string(const struct sonde_json *object, const char *key,
                                         const char *fallback, const char **out,
                                         struct sonde_error *error)
{
    const struct sonde_json *value = member(object, key);
    if (value && !json_is_string(inside(value)))
        return wrong_type(error, key, value, "a string");
    if (value && strlen(sonde_json_string(value, "")) != sonde_json_string_size(value))
        return sonde_error_set(error, SONDE_STATUS_FORMAT, "\"%s\": has a NUL character inside",
                               key);
    *out = sonde_json_string(value, fallback);
    return SONDE_STATUS_OK;
}

static int dump_part(const char *text, size_t n, void *out)
{
    return sonde_buf_append(out, text, n) ? 0 : -1;
}

bool sonde_json_dump(struct sonde_buf *out, const struct sonde_json *value)
{
    if (!value)
        return false;
    if (json_dump_callback(inside(value), dump_part, out, JSON_COMPACT | JSON_ENCODE_ANY) == 0)
        return true;
    out->failed = true;
    return false;
}

static void new_line(struct sonde_json_writer *w)
{
    if (w->indent <= 0)
        return;
    sonde_buf_putc(w->out, '\n');
    for (int i = 0; i < w->indent * w->depth; i++)
        sonde_buf_putc(w->out, ' ');
}

static void put_text(struct sonde_buf *out, const char *value, size_t n)
{
    const unsigned char *text = (const unsigned char *)value;
    sonde_buf_putc(out, '"');
    for (size_t i = 0; i < n;) {
        unsigned char c = text[i];
        size_t length = sonde_str_sequence(value + i, n - i);
        if (length == 0)
            sonde_buf_puts(out, "\xef\xbf\xbd");
        else if (c == '"' || c == '\\')
            sonde_buf_printf(out, "\\%c", c);
        else if (c == '\n')
            sonde_buf_puts(out, "\\n");
        else if (c == '\t')
            sonde_buf_puts(out, "\\t");
        else if (c < 0x20 || c == 0x7f)
            sonde_buf_printf(out, "\\u%04x", c);
        else
            sonde_buf_append(out, text + i, length);
        i += length ? length : 1;
    }
    sonde_buf_putc(out, '"');
}

/* Comma, line break and key: what comes before every value. */
static void begin_value(struct sonde_json_writer *w, const char *key)
{
    uint64_t bit = (uint64_t)1 << w->depth;
    if (w->depth > 0) {
        if (w->has_items & bit)
            sonde_buf_putc(w->out, ',');
        new_line(w);
    }
    w->has_items |= bit;
    if (key) {
        put_text(w->out, key, strlen(key));
        sonde_buf_puts(w->out, w->indent > 0 ? ": " : ":");
    }
}

static void begin_container(struct sonde_json_writer *w, const char *key, char open)
{
    begin_value(w, key);
    sonde_buf_putc(w->out, open);
    if (w->depth >= WRITER_DEPTH_MAX) {
        w->out->failed = true;
        return;
    }
    w->depth++;
    w->has_items &= ~((uint64_t)1 << w->depth);
}

static void end_container(struct sonde_json_writer *w, char close)
{
    bool filled = w->has_items >> w->depth & 1;
    if (w->depth > 0)
        w->depth--;
    if (filled)
        new_line(w);
    sonde_buf_putc(w->out, close);
}

void sonde_json_begin_object(struct sonde_json_writer *w, const char *key)
{
    begin_container(w, key, '{');
}

void sonde_json_end_object(struct sonde_json_writer *w)
{
    end_container(w, '}');
}

void sonde_json_begin_array(struct sonde_json_writer *w, const char *key)
{
    begin_container(w, key, '[');
}

void sonde_json_end_array(struct sonde_json_writer *w)
{
    end_container(w, ']');
}

void sonde_json_put_string(struct sonde_json_writer *w, const char *key, const char *value)
{
    if (value)
        sonde_json_put_string_n(w, key, value, strlen(value));
    else
        sonde_json_put_null(w, key);
}

void sonde_json_put_string_n(struct sonde_json_writer *w, const char *key, const char *value,
                             size_t n)
{
    begin_value(w, key);
    put_text(w->out, value, n);
}

void sonde_json_put_i64(struct sonde_json_writer *w, const char *key, int64_t value)
{
    begin_value(w, key);
    sonde_buf_printf(w->out, "%lld", (long long)value);
}

void sonde_json_put_f64(struct sonde_json_writer *w, const char *key, double value)
{
    begin_value(w, key);
    if (isfinite(value))
        sonde_buf_put_f64(w->out, value);
    else
        sonde_buf_puts(w->out, "null");
}

void sonde_json_put_bool(struct sonde_json_writer *w, const char *key, bool value)
{
    begin_value(w, key);
    sonde_buf_puts(w->out, value ? "true" : "false");
}

void sonde_json_put_null(struct sonde_json_writer *w, const char *key)
{
    begin_value(w, key);
    sonde_buf_puts(w->out, "null");
}

void sonde_json_put_raw(struct sonde_json_writer *w, const char *key, const char *json)
{
    begin_value(w, key);
    sonde_buf_puts(w->out, json);
}
