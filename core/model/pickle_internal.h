/* What the files of the pickle reader share. Not for others. */
#ifndef SONDE_CORE_MODEL_PICKLE_INTERNAL_H
#define SONDE_CORE_MODEL_PICKLE_INTERNAL_H

#include "core/model/pickle.h"

struct sonde_pickle_reader {
    struct sonde_arena *arena;
    const uint8_t *data;
    size_t n_bytes, at;
    size_t op_at; /* of the opcode that is being done */
    struct sonde_pickle_value **stack;
    int64_t n_stack, stack_capacity;
    int64_t mark[SONDE_PICKLE_DEPTH_MAX]; /* heights of the stack */
    int n_marks;
    struct sonde_pickle_value **memo;
    int64_t n_memo, memo_capacity;    /* n_memo: slots, some may be empty */
    struct sonde_pickle_value *block; /* values are taken from blocks */
    int64_t block_left, n_values;
    enum sonde_status status;
    struct sonde_error *error;
};

/* Sets the reader's error, "byte N: " before it, unless one is set. Returns NULL. */
void *sonde_pickle_refuse(struct sonde_pickle_reader *r, enum sonde_status status,
                          const char *format, ...) SONDE_PRINTF(3, 4);
void *sonde_pickle_no_memory(struct sonde_pickle_reader *r);
struct sonde_pickle_value *sonde_pickle_make(struct sonde_pickle_reader *r,
                                             enum sonde_pickle_type type);
struct sonde_pickle_value *sonde_pickle_make_text(struct sonde_pickle_reader *r,
                                                  enum sonde_pickle_type type, const void *text,
                                                  size_t n);

/* A GLOBAL of the closed list, or NULL with the refusal. */
struct sonde_pickle_value *sonde_pickle_global(struct sonde_pickle_reader *r, const char *module,
                                               size_t n_module, const char *name, size_t n_name);
/* What calling the global on the tuple gives. */
struct sonde_pickle_value *sonde_pickle_call(struct sonde_pickle_reader *r,
                                             const struct sonde_pickle_value *callee,
                                             struct sonde_pickle_value *args);
/* An object of the class, without calling it. */
struct sonde_pickle_value *sonde_pickle_new(struct sonde_pickle_reader *r,
                                            const struct sonde_pickle_value *class_of,
                                            const struct sonde_pickle_value *args);
/* Gives an object its state. */
void sonde_pickle_build(struct sonde_pickle_reader *r, struct sonde_pickle_value *object,
                        const struct sonde_pickle_value *state);
/* The storage of a persistent id. */
struct sonde_pickle_value *sonde_pickle_persistent(struct sonde_pickle_reader *r,
                                                   const struct sonde_pickle_value *id);

#endif
