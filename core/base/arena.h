/*
 * Arena: many allocations, one lifetime (process, model, session, run, batch, call).
 * Not thread-safe; one arena belongs to one thread at a time.
 */
#ifndef SONDE_CORE_BASE_ARENA_H
#define SONDE_CORE_BASE_ARENA_H

#include <stddef.h>
#include <stdint.h>

struct sonde_arena; /* opaque */

/* Where an arena stood, for rewinding. Valid until a rewind to an earlier mark or a reset. */
struct sonde_arena_mark {
    void *block;
    size_t used;
};

#define SONDE_ARENA_ALIGN 64

/* max_bytes: the most it may ever hold; 0 = no limit. Returns NULL when memory is out. */
struct sonde_arena *sonde_arena_create(size_t max_bytes);
void sonde_arena_destroy(struct sonde_arena **arena);

/* 64-byte aligned, uninitialised (alloc) or zeroed (zalloc) memory for count * size bytes. NULL
 * where the product overflows, the maximum would be passed or memory is out. count == 0 gives a
 * valid unique pointer. */
void *sonde_arena_alloc(struct sonde_arena *arena, int64_t count, size_t size);
void *sonde_arena_zalloc(struct sonde_arena *arena, int64_t count, size_t size);

/* Copies n bytes of text and adds a NUL. NULL when memory is out. */
char *sonde_arena_strndup(struct sonde_arena *arena, const char *text, size_t n);

struct sonde_arena_mark sonde_arena_mark(const struct sonde_arena *arena);
/* Gives back everything allocated since the mark. Blocks are kept for reuse. */
void sonde_arena_rewind(struct sonde_arena *arena, struct sonde_arena_mark mark);
void sonde_arena_reset(struct sonde_arena *arena);
/* The same, and the blocks go back to the system. */
void sonde_arena_clear(struct sonde_arena *arena);

/* Bytes handed out now, and the most that were ever handed out at once. */
size_t sonde_arena_used(const struct sonde_arena *arena);
size_t sonde_arena_peak(const struct sonde_arena *arena);

#endif
