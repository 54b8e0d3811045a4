#include "tools/train/train_classes.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/str.h"

enum { SLOTS_MIN = 64 };

/* FNV-1a, 64 bits. */
static uint64_t hash_of(const char *text)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * UINT64_C(1099511628211);
    return hash ^ hash >> 32;
}

/* The slot that holds the text, or the free one where it belongs. */
static int64_t *slot_of(const struct sonde_train_classes *c, const char *text)
{
    const uint64_t mask = (uint64_t)c->n_slots - 1;
    uint64_t at = hash_of(text) & mask;
    while (c->slot[at] && strcmp(c->name[c->slot[at] - 1], text) != 0)
        at = (at + 1) & mask;
    return &c->slot[at];
}

/* At most half of the slots are taken, so that a search ends soon. */
static enum sonde_status make_room(struct sonde_train_classes *c, struct sonde_error *error)
{
    if (2 * (c->n + 1) <= c->n_slots)
        return SONDE_STATUS_OK;
    const int64_t n_slots = c->n_slots ? 2 * c->n_slots : SLOTS_MIN;
    int64_t *slot = calloc((size_t)n_slots, sizeof(*slot));
    if (!slot)
        return sonde_error_memory(error, "the classes");
    free(c->slot);
    c->slot = slot;
    c->bytes += (n_slots - c->n_slots) * (int64_t)sizeof(*slot);
    c->n_slots = n_slots;
    for (int64_t i = 0; i < c->n; i++)
        *slot_of(c, c->name[i]) = i + 1;
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_train_classes_add(struct sonde_train_classes *c, const char *text,
                                          struct sonde_error *error)
{
    enum sonde_status status = make_room(c, error);
    if (status)
        return status;
    int64_t *slot = slot_of(c, text);
    if (*slot)
        return SONDE_STATUS_OK;
    if (c->n == SONDE_TRAIN_CLASSES_MAX)
        return sonde_error_set(error, SONDE_STATUS_LIMIT, "more than %lld different values",
                               (long long)SONDE_TRAIN_CLASSES_MAX);
    const int64_t before = c->name_capacity;
    if (!sonde_grow((void **)&c->name, &c->name_capacity, c->n + 1, sizeof(*c->name),
                    SONDE_TRAIN_CLASSES_MAX) ||
        !(c->name[c->n] = sonde_strdup(text)))
        return sonde_error_memory(error, "the classes");
    c->bytes += (c->name_capacity - before) * (int64_t)sizeof(*c->name);
    c->bytes += (int64_t)strlen(text) + 1;
    *slot = ++c->n;
    return SONDE_STATUS_OK;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void sonde_train_classes_sort(struct sonde_train_classes *c)
{
    if (c->n > 0)
        qsort(c->name, (size_t)c->n, sizeof(*c->name), compare_names);
    c->bytes -= c->n_slots * (int64_t)sizeof(*c->slot);
    free(c->slot);
    c->slot = NULL;
    c->n_slots = 0;
}

int64_t sonde_train_classes_find(const struct sonde_train_classes *c, const char *text)
{
    char *const *found =
        c->n > 0 ? bsearch(&text, c->name, (size_t)c->n, sizeof(*c->name), compare_names) : NULL;
    return found ? found - c->name : -1;
}

void sonde_train_classes_finish(struct sonde_train_classes *c)
{
    for (int64_t i = 0; i < c->n; i++)
        free(c->name[i]);
    free(c->name);
    free(c->slot);
    *c = (struct sonde_train_classes){ 0 };
}
