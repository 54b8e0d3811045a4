/* A vocabulary: ids to pieces and back. Internal to core/text. */
#ifndef SONDE_CORE_TEXT_VOCAB_H
#define SONDE_CORE_TEXT_VOCAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/arena.h"
#include "core/base/status.h"

#define SONDE_VOCAB_MAX_IDS (INT32_C(1) << 22) /* ids are in [0, this) */
#define SONDE_VOCAB_MAX_PIECE_BYTES 65536

/* Bytes to a number; keys are borrowed and must outlive the map. Zero-initialise. */
struct sonde_bytes_slot {
    const char *key; /* NULL: free */
    uint32_t n;
    int32_t value;
};
struct sonde_bytes_map {
    struct sonde_bytes_slot *slots;
    int64_t n_slots; /* a power of two, or 0 */
    int64_t n_used;
};
void sonde_bytes_map_finish(struct sonde_bytes_map *map);
int32_t sonde_bytes_map_get(const struct sonde_bytes_map *map, const char *key, size_t n); /* -1 */
/* An existing key keeps its value. False when memory is out. */
bool sonde_bytes_map_put(struct sonde_bytes_map *map, const char *key, size_t n, int32_t value);

enum {
    SONDE_PIECE_MODEL = 1,   /* in the model's vocabulary */
    SONDE_PIECE_ADDED = 2,   /* an added token: found in the text before the model sees it */
    SONDE_PIECE_SPECIAL = 4, /* no text: left out by decode where asked */
};

struct sonde_piece {
    const char *text; /* NULL: the id has no piece */
    uint32_t n;
    uint32_t flags; /* SONDE_PIECE_* */
};

struct sonde_vocab {
    struct sonde_arena *arena; /* the pieces' bytes */
    struct sonde_piece *pieces;
    int64_t n, capacity; /* ids are in [0, n) */
    struct sonde_bytes_map map;
};
SONDE_MUST_USE enum sonde_status sonde_vocab_init(struct sonde_vocab *vocab,
                                                  struct sonde_error *error);
void sonde_vocab_finish(struct sonde_vocab *vocab);
/* Adds id = text[0..n). FORMAT for an id out of range, an id or (unless repeat_ok) a piece that is
 * there already, a piece that is too long or holds a NUL. */
SONDE_MUST_USE enum sonde_status sonde_vocab_add(struct sonde_vocab *vocab, const char *text,
                                                 size_t n, int64_t id, uint32_t flags,
                                                 bool repeat_ok, struct sonde_error *error);
int32_t sonde_vocab_find(const struct sonde_vocab *vocab, const char *text, size_t n); /* -1 */

/* Text from a file for a message: control characters and bytes that are no character become '?',
 * the length is cut. Returns out. */
#define SONDE_SHOW_BYTES 64
const char *sonde_text_show(char out[SONDE_SHOW_BYTES], const char *text, size_t n);

#endif
