/* The different labels of a corpus, found in a time that does not grow with their number. */
#ifndef SONDE_TOOLS_TRAIN_TRAIN_CLASSES_H
#define SONDE_TOOLS_TRAIN_TRAIN_CLASSES_H

#include <stdint.h>

#include "core/base/status.h"

#define SONDE_TRAIN_CLASSES_MAX ((int64_t)1 << 20)

/* Zeros: no class. */
struct sonde_train_classes {
    char **name; /* [n] */
    int64_t n, name_capacity;
    int64_t *slot; /* [n_slots] 1 + the class, 0 = free; n_slots a power of two */
    int64_t n_slots;
    int64_t bytes; /* of memory */
};

/* Adds the text unless it is there. LIMIT beyond SONDE_TRAIN_CLASSES_MAX. */
SONDE_MUST_USE enum sonde_status sonde_train_classes_add(struct sonde_train_classes *classes,
                                                         const char *text,
                                                         struct sonde_error *error);
/* Puts the names in the order of bytes; nothing may be added after it. */
void sonde_train_classes_sort(struct sonde_train_classes *classes);
/* The class of this name after the sort, -1 where there is none. */
int64_t sonde_train_classes_find(const struct sonde_train_classes *classes, const char *text);
void sonde_train_classes_finish(struct sonde_train_classes *classes);

#endif
