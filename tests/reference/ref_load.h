/*
 * The reference's own reading of files: a small JSON value tree and safetensors to doubles. Shares
 * no code with the project, and trusts its input: it is for files that tests bring themselves.
 */
#ifndef SONDE_TESTS_REFERENCE_REF_LOAD_H
#define SONDE_TESTS_REFERENCE_REF_LOAD_H

#include <stdint.h>

struct ref_json { /* an object's or array's members hang below `child`, linked by `next` */
    char type;    /* o a s n t f 0 (null) */
    char *key, *text;
    double number;
    struct ref_json *child, *next;
};
struct ref_json *ref_json_parse(const char *text);
void ref_json_free(struct ref_json *value);
const struct ref_json *ref_json_get(const struct ref_json *object, const char *key);

struct ref_tensor {
    char name[256];
    int rank;
    int64_t dim[8], n;
    double *value; /* [n] */
};
struct ref_tensors {
    struct ref_tensor *item;
    int n;
    struct ref_json *metadata; /* or NULL */
};
/* Adds the tensors of one file to the list; false where it cannot be read. */
int ref_tensors_load(struct ref_tensors *list, const char *path);
void ref_tensors_free(struct ref_tensors *list);
/* NULL where there is none; an alias in __metadata__ is followed. */
const struct ref_tensor *ref_tensors_find(const struct ref_tensors *list, const char *name);

/* The whole file with a NUL after it, or NULL. */
char *ref_read_file(const char *path, int64_t *n);

#endif
