#include "core/base/arena.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/num.h"

#if defined(__SANITIZE_ADDRESS__)
#define ARENA_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#endif

/* Under AddressSanitizer memory that is not handed out is poisoned, so that a use after a rewind or
 * past the end of an allocation is seen although malloc knows nothing of it. */
#ifdef ARENA_ASAN
#include <sanitizer/asan_interface.h>
#define POISON(p, n) ASAN_POISON_MEMORY_REGION((p), (n))
#define UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION((p), (n))
#else
#define POISON(p, n) ((void)(p), (void)(n))
#define UNPOISON(p, n) ((void)(p), (void)(n))
#endif

/* Blocks grow from the first to the last size; what is larger gets a block of its exact size. */
#define BLOCK_FIRST_BYTES ((size_t)1 << 14)
#define BLOCK_LAST_BYTES ((size_t)1 << 20)

struct block {
    struct block *next;
    unsigned char *data; /* [capacity], aligned */
    size_t capacity;
    size_t used;
    size_t before; /* bytes handed out in the blocks before this one */
};

/* Blocks up to `current` are in use, those after it are kept for reuse. */
struct sonde_arena {
    struct block *first, *current;
    size_t max_bytes;
    size_t peak;
    size_t next_bytes; /* size of the next ordinary block */
};

struct sonde_arena *sonde_arena_create(size_t max_bytes)
{
    struct sonde_arena *arena = calloc(1, sizeof(*arena));
    if (!arena)
        return NULL;
    arena->max_bytes = max_bytes ? max_bytes : SIZE_MAX;
    arena->next_bytes = BLOCK_FIRST_BYTES;
    return arena;
}

static void destroy_block(struct block *block)
{
    UNPOISON(block->data, block->capacity);
    free(block->data);
    free(block);
}

static struct block *create_block(size_t capacity)
{
    struct block *block = calloc(1, sizeof(*block));
    if (!block)
        return NULL;
    block->data = aligned_alloc(SONDE_ARENA_ALIGN, capacity);
    if (!block->data) {
        free(block);
        return NULL;
    }
    block->capacity = capacity;
    POISON(block->data, capacity);
    return block;
}

void sonde_arena_destroy(struct sonde_arena **arena)
{
    if (!arena || !*arena)
        return;
    for (struct block *block = (*arena)->first; block;) {
        struct block *next = block->next;
        destroy_block(block);
        block = next;
    }
    free(*arena);
    *arena = NULL;
}

/* Makes a block with room for n bytes the current one. Kept blocks that are too small are freed on
 * the way: otherwise requests that grow a little with each round would pile up blocks. */
static bool advance(struct sonde_arena *arena, size_t n)
{
    struct block **link = arena->current ? &arena->current->next : &arena->first;
    while (*link && (*link)->capacity < n) {
        struct block *small = *link;
        *link = small->next;
        destroy_block(small);
    }
    if (!*link) {
        bool ordinary = n <= arena->next_bytes;
        *link = create_block(ordinary ? arena->next_bytes : n);
        if (!*link && ordinary)
            *link = create_block(n);
        if (!*link)
            return false;
        if (ordinary && arena->next_bytes < BLOCK_LAST_BYTES)
            arena->next_bytes *= 2;
    }
    struct block *block = *link;
    block->used = 0;
    block->before = sonde_arena_used(arena);
    arena->current = block;
    return true;
}

void *sonde_arena_alloc(struct sonde_arena *arena, int64_t count, size_t size)
{
    size_t bytes, rounded;
    if (count < 0 || !sonde_mul_size((size_t)count, size, &bytes) ||
        !sonde_add_size(bytes ? bytes : 1, SONDE_ARENA_ALIGN - 1, &rounded))
        return NULL;
    rounded -= rounded % SONDE_ARENA_ALIGN;
    /* The limit is on what was asked for: rounding up must not refuse the last bytes. */
    size_t used = sonde_arena_used(arena);
    if (used > arena->max_bytes || bytes > arena->max_bytes - used)
        return NULL;
    struct block *block = arena->current;
    if (!block || block->capacity - block->used < rounded) {
        if (!advance(arena, rounded))
            return NULL;
        block = arena->current;
    }
    unsigned char *data = block->data + block->used;
    block->used += rounded;
    UNPOISON(data, bytes);
    used = sonde_arena_used(arena);
    if (used > arena->peak)
        arena->peak = used;
    return data;
}

void *sonde_arena_zalloc(struct sonde_arena *arena, int64_t count, size_t size)
{
    void *data = sonde_arena_alloc(arena, count, size);
    if (data)
        memset(data, 0, (size_t)count * size);
    return data;
}

char *sonde_arena_strndup(struct sonde_arena *arena, const char *text, size_t n)
{
    if (n >= INT64_MAX)
        return NULL;
    char *copy = sonde_arena_alloc(arena, (int64_t)n + 1, 1);
    if (!copy)
        return NULL;
    if (n)
        memcpy(copy, text, n);
    copy[n] = '\0';
    return copy;
}

struct sonde_arena_mark sonde_arena_mark(const struct sonde_arena *arena)
{
    struct block *block = arena->current;
    return (struct sonde_arena_mark){ .block = block, .used = block ? block->used : 0 };
}

void sonde_arena_rewind(struct sonde_arena *arena, struct sonde_arena_mark mark)
{
    struct block *block = mark.block;
    if (!block) {
        sonde_arena_reset(arena);
        return;
    }
    assert(mark.used <= block->used);
    for (struct block *later = block->next; later; later = later->next)
        POISON(later->data, later->capacity);
    block->used = mark.used;
    POISON(block->data + block->used, block->capacity - block->used);
    arena->current = block;
}

void sonde_arena_reset(struct sonde_arena *arena)
{
    for (struct block *block = arena->first; block; block = block->next)
        POISON(block->data, block->capacity);
    /* NULL and not the first block: that one may be too small for what comes next, and only
     * advance() decides which to keep. */
    arena->current = NULL;
}

size_t sonde_arena_used(const struct sonde_arena *arena)
{
    return arena->current ? arena->current->before + arena->current->used : 0;
}

size_t sonde_arena_peak(const struct sonde_arena *arena)
{
    return arena->peak;
}

void sonde_arena_clear(struct sonde_arena *arena)
{
    while (arena->first) {
        struct block *next = arena->first->next;
        destroy_block(arena->first);
        arena->first = next;
    }
    arena->current = NULL;
    arena->next_bytes = BLOCK_FIRST_BYTES;
}
