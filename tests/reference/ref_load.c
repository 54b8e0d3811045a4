#include "tests/reference/ref_load.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *ref_read_file(const char *path, int64_t *n)
{
    FILE *file = fopen(path, "rb");
    if (!file) {
        return NULL;
    }
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    rewind(file);
    char *data = calloc((size_t)size + 1, 1);
    if (data && fread(data, 1, (size_t)size, file) != (size_t)size) {
        free(data);
        data = NULL;
    }
    fclose(file);
    if (n) {
        *n = size;
    }
    return data;
}

static const char *skip(const char *at)
{
    return at + strspn(at, " \t\r\n");
}

/* Escapes other than \" and \\ and \/ are kept as they are: no name that tests look up has one. */
static const char *parse_string(const char *at, char **out)
{
    const char *end = ++at;
    while (*end && *end != '"') {
        end += *end == '\\' && end[1] ? 2 : 1;
    }
    char *text = calloc((size_t)(end - at) + 1, 1);
    char *to = text;
    for (; text && at < end; at++) {
        if (*at == '\\' && (at[1] == '"' || at[1] == '\\' || at[1] == '/')) {
            at++;
        }
        *to++ = *at;
    }
    *out = text;
    return *end ? end + 1 : end;
}

static const char *parse_value(const char *at, struct ref_json *value);

static const char *parse_members(const char *at, struct ref_json *value, char close)
{
    struct ref_json **link = &value->child;
    at = skip(at + 1);
    while (*at && *at != close) {
        struct ref_json *member = calloc(1, sizeof *member);
        *link = member;
        link = &member->next;
        if (close == '}') {
            at = skip(parse_string(at, &member->key));
            at = skip(at + 1); /* the colon */
        }
        at = skip(parse_value(at, member));
        if (*at == ',') {
            at = skip(at + 1);
        }
    }
    return *at ? at + 1 : at;
}

static const char *parse_value(const char *at, struct ref_json *value)
{
    char *end = NULL;
    switch (*at) {
    case '{':
        value->type = 'o';
        return parse_members(at, value, '}');
    case '[':
        value->type = 'a';
        return parse_members(at, value, ']');
    case '"':
        value->type = 's';
        return parse_string(at, &value->text);
    case 't':
        value->type = 't';
        return at + 4;
    case 'f':
        value->type = 'f';
        return at + 5;
    case 'n':
        value->type = '0';
        return at + 4;
    default:
        value->type = 'n';
        value->number = strtod(at, &end);
        return end > at ? end : at + strlen(at);
    }
}

struct ref_json *ref_json_parse(const char *text)
{
    struct ref_json *root = calloc(1, sizeof *root);
    if (root) {
        parse_value(skip(text), root);
    }
    return root;
}

void ref_json_free(struct ref_json *value)
{
    while (value) {
        struct ref_json *next = value->next;
        ref_json_free(value->child);
        free(value->key);
        free(value->text);
        free(value);
        value = next;
    }
}

const struct ref_json *ref_json_get(const struct ref_json *object, const char *key)
{
    const struct ref_json *member = object ? object->child : NULL;
    while (member && (!member->key || strcmp(member->key, key) != 0)) {
        member = member->next;
    }
    return member && member->type != '0' ? member : NULL;
}

/* One element as a double. Halves are taken apart by hand: sign, exponent, fraction. */
static double element(const char *dtype, const unsigned char *at)
{
    if (strcmp(dtype, "F32") == 0) {
        float value;
        memcpy(&value, at, sizeof value);
        return (double)value;
    }
    if (strcmp(dtype, "I64") == 0) {
        int64_t value;
        memcpy(&value, at, sizeof value);
        return (double)value;
    }
    unsigned bits = at[0] | (unsigned)at[1] << 8;
    double sign = bits >> 15 ? -1.0 : 1.0;
    if (strcmp(dtype, "BF16") == 0) {
        int exponent = bits >> 7 & 255;
        double fraction = (double)(bits & 127) / 128.0;
        return exponent ? sign * ldexp(1.0 + fraction, exponent - 127)
                        : sign * ldexp(fraction, -126);
    }
    int exponent = bits >> 10 & 31;
    double fraction = (double)(bits & 1023) / 1024.0;
    return exponent ? sign * ldexp(1.0 + fraction, exponent - 15) : sign * ldexp(fraction, -14);
}

static int64_t element_bytes(const char *dtype)
{
    const char *const names[] = { "F32", "I64", "BF16", "F16" };
    const int64_t bytes[] = { 4, 8, 2, 2 };
    for (int i = 0; i < 4; i++) {
        if (strcmp(dtype, names[i]) == 0) {
            return bytes[i];
        }
    }
    return 0; /* a type that the reference has no use for */
}

static void load_tensor(struct ref_tensors *list, const struct ref_json *info,
                        const unsigned char *data)
{
    struct ref_tensor *t = &list->item[list->n];
    const struct ref_json *type = ref_json_get(info, "dtype"), *shape = ref_json_get(info, "shape");
    const struct ref_json *offsets = ref_json_get(info, "data_offsets");
    int64_t size = type && type->text ? element_bytes(type->text) : 0;
    if (size == 0 || !shape || !offsets || !offsets->child) {
        return;
    }
    *t = (struct ref_tensor){ .n = 1 };
    snprintf(t->name, sizeof t->name, "%s", info->key);
    for (const struct ref_json *d = shape->child; d; d = d->next) {
        t->dim[t->rank++] = (int64_t)d->number;
        t->n *= (int64_t)d->number;
    }
    const unsigned char *from = data + (int64_t)offsets->child->number;
    t->value = calloc((size_t)t->n + 1, sizeof *t->value);
    for (int64_t i = 0; t->value && i < t->n; i++) {
        t->value[i] = element(type->text, from + i * size);
    }
    list->n++;
}

int ref_tensors_load(struct ref_tensors *list, const char *path)
{
    int64_t size = 0;
    uint64_t n = 0;
    char *file = ref_read_file(path, &size);
    if (!file || size < 8) {
        free(file);
        return 0;
    }
    memcpy(&n, file, 8);
    char saved = file[8 + n];
    file[8 + n] = '\0';
    struct ref_json *header = ref_json_parse(file + 8);
    file[8 + n] = saved;
    int count = 0;
    if (!header) {
        free(file);
        return 0;
    }
    for (struct ref_json *i = header->child; i; i = i->next) {
        count++;
    }
    list->item = realloc(list->item, (size_t)(list->n + count) * sizeof *list->item);
    for (struct ref_json *i = header->child; list->item && i; i = i->next) {
        if (strcmp(i->key, "__metadata__") != 0) {
            load_tensor(list, i, (const unsigned char *)file + 8 + n);
        }
    }
    ref_json_free(list->metadata);
    list->metadata = header;
    free(file);
    return 1;
}

void ref_tensors_free(struct ref_tensors *list)
{
    for (int i = 0; i < list->n; i++) {
        free(list->item[i].value);
    }
    free(list->item);
    ref_json_free(list->metadata);
    *list = (struct ref_tensors){ 0 };
}

const struct ref_tensor *ref_tensors_find(const struct ref_tensors *list, const char *name)
{
    for (int i = 0; i < list->n; i++) {
        if (strcmp(list->item[i].name, name) == 0) {
            return &list->item[i];
        }
    }
    const struct ref_json *alias = ref_json_get(ref_json_get(list->metadata, "__metadata__"), name);
    for (int i = 0; alias && alias->text && i < list->n; i++) {
        if (strcmp(list->item[i].name, alias->text) == 0) {
            return &list->item[i];
        }
    }
    return NULL;
}
