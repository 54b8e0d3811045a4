/*
 * Pickle: reads the value tree of a PyTorch checkpoint and executes nothing. A closed list of
 * opcodes and globals is known; every other one is refused by name. What a global stands for is
 * built here (a dict, a tensor's description, a number), never called.
 *
 * Format: the pickle protocols 2 to 5 (Python's pickletools describes each opcode).
 */
#ifndef SONDE_CORE_MODEL_PICKLE_H
#define SONDE_CORE_MODEL_PICKLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/arena.h"
#include "core/base/status.h"
#include "core/tensor/dtype.h"

enum {
    SONDE_PICKLE_BYTES_MAX = 1 << 26,  /* of the whole pickle */
    SONDE_PICKLE_VALUES_MAX = 1 << 20, /* values built, entries of the memo */
    SONDE_PICKLE_DEPTH_MAX = 64,       /* of marks, and of containers in containers */
    SONDE_PICKLE_RANK_MAX = 8,
    SONDE_PICKLE_NAME_MAX = 255, /* bytes of a global's name, a storage's key */
};

enum sonde_pickle_type {
    SONDE_PICKLE_NONE,
    SONDE_PICKLE_BOOL,  /* integer: 0 or 1 */
    SONDE_PICKLE_INT,   /* integer */
    SONDE_PICKLE_FLOAT, /* real */
    SONDE_PICKLE_TEXT,  /* UTF-8, may hold NUL */
    SONDE_PICKLE_BYTES,
    SONDE_PICKLE_LIST,
    SONDE_PICKLE_TUPLE,
    SONDE_PICKLE_DICT,    /* item: key, value, key, value, ... in the order of the file */
    SONDE_PICKLE_RECORD,  /* an object of a known class; text: its name, item as of a dict */
    SONDE_PICKLE_STORAGE, /* storage */
    SONDE_PICKLE_TENSOR,  /* tensor */
    SONDE_PICKLE_GLOBAL,  /* text: "module.name" */
    SONDE_PICKLE_NUMBER,  /* a numpy dtype; text: its code ("f8") */
};

/* The storage that a persistent id names: ('storage', TYPE, KEY, LOCATION, n). */
struct sonde_pickle_storage {
    const char *key; /* the member data/KEY; plain: letters, digits, '_', '-', '.' */
    enum sonde_dtype dtype;
    int64_t n_elements;
};

/* A view of a storage. Every element lies inside of the storage (checked). */
struct sonde_pickle_tensor {
    struct sonde_pickle_storage storage;
    int64_t first; /* element of the storage */
    int rank;
    int64_t dim[SONDE_PICKLE_RANK_MAX];
    int64_t stride[SONDE_PICKLE_RANK_MAX]; /* in elements, >= 0 */
    int64_t n_elements;
    bool contiguous; /* row-major without gaps */
};

struct sonde_pickle_value {
    enum sonde_pickle_type type;
    int64_t n; /* bytes of text; items (of a dict: 2 for each pair) */
    union {
        int64_t integer;
        double real;
        const char *text; /* NUL-terminated copy */
        struct sonde_pickle_value **item;
        const struct sonde_pickle_storage *storage;
        const struct sonde_pickle_tensor *tensor;
    };
    const char *record; /* name of a RECORD's class */
    int64_t capacity;   /* of item */
    int height;         /* of the tree below; the reader's own */
};

/* Reads data[n_bytes] whole. The tree lives in the arena. No container of it holds itself, so that
 * it may be walked; what is reached on several ways is one value. Messages begin with the place
 * ("byte 12: ..."). */
SONDE_MUST_USE enum sonde_status sonde_pickle_read(struct sonde_arena *arena, const uint8_t *data,
                                                   size_t n_bytes,
                                                   const struct sonde_pickle_value **out,
                                                   struct sonde_error *error);

/* The value under a text key of a DICT or RECORD; NULL where there is none, or no dict. The last
 * of several. */
const struct sonde_pickle_value *sonde_pickle_get(const struct sonde_pickle_value *dict,
                                                  const char *key);
/* An INT, BOOL or FLOAT as a real; false for everything else. */
bool sonde_pickle_real(const struct sonde_pickle_value *value, double *out);
/* "a dict", "a whole number": for messages. */
const char *sonde_pickle_type_name(enum sonde_pickle_type type);

#endif
