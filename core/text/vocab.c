#include "core/text/vocab.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/text/utf8.h"

/* Multiply-and-fold over eight bytes at a time; only used inside one process. */
static uint64_t hash_bytes(const char *key, size_t n)
{
    uint64_t h = UINT64_C(0x9E3779B97F4A7C15) ^ n;

    while (n > 0) {
        uint64_t word = 0;
        size_t take = n < sizeof(word) ? n : sizeof(word);
        if (take == sizeof(word)) {
            memcpy(&word, key, sizeof(word));
        } else {
            for (size_t i = 0; i < take; i++)
                word |= (uint64_t)(unsigned char)key[i] << (8 * i);
        }
        h = (h ^ word) * UINT64_C(0xBF58476D1CE4E5B9);
        h ^= h >> 29;
        key += take;
        n -= take;
    }
    h *= UINT64_C(0x94D049BB133111EB);
    return h ^ h >> 32;
}

void sonde_bytes_map_finish(struct sonde_bytes_map *map)
{
    free(map->slots);
    *map = (struct sonde_bytes_map){ 0 };
}

static struct sonde_bytes_slot *find_slot(const struct sonde_bytes_map *map, const char *key,
                                          size_t n)
{
    uint64_t mask = (uint64_t)map->n_slots - 1;

    for (uint64_t i = hash_bytes(key, n) & mask;; i = (i + 1) & mask) {
        struct sonde_bytes_slot *slot = &map->slots[i];
        if (!slot->key || (slot->n == n && memcmp(slot->key, key, n) == 0))
            return slot;
    }
}

int32_t sonde_bytes_map_get(const struct sonde_bytes_map *map, const char *key, size_t n)
{
    if (map->n_slots == 0)
        return -1;
    const struct sonde_bytes_slot *slot = find_slot(map, key, n);
    return slot->key ? slot->value : -1;
}

static bool grow_map(struct sonde_bytes_map *map)
{
    struct sonde_bytes_map next = { .n_slots = map->n_slots ? map->n_slots * 2 : 256 };

    next.slots = calloc((size_t)next.n_slots, sizeof(*next.slots));
    if (!next.slots)
        return false;
    for (int64_t i = 0; i < map->n_slots; i++) {
        if (map->slots[i].key)
            *find_slot(&next, map->slots[i].key, map->slots[i].n) = map->slots[i];
    }
    next.n_used = map->n_used;
    free(map->slots);
    *map = next;
    return true;
}

bool sonde_bytes_map_put(struct sonde_bytes_map *map, const char *key, size_t n, int32_t value)
{
    if (n > UINT32_MAX || (map->n_used * 2 >= map->n_slots && !grow_map(map)))
        return false;
    struct sonde_bytes_slot *slot = find_slot(map, key, n);
    if (!slot->key) {
        *slot = (struct sonde_bytes_slot){ .key = key, .n = (uint32_t)n, .value = value };
        map->n_used++;
    }
    return true;
}

enum sonde_status sonde_vocab_init(struct sonde_vocab *vocab, struct sonde_error *error)
{
    *vocab = (struct sonde_vocab){ .arena = sonde_arena_create(0) };
    return vocab->arena ? SONDE_STATUS_OK : sonde_error_memory(error, "a vocabulary");
}

void sonde_vocab_finish(struct sonde_vocab *vocab)
{
    sonde_bytes_map_finish(&vocab->map);
    free(vocab->pieces);
    sonde_arena_destroy(&vocab->arena);
    *vocab = (struct sonde_vocab){ 0 };
}

int32_t sonde_vocab_find(const struct sonde_vocab *vocab, const char *text, size_t n)
{
    return sonde_bytes_map_get(&vocab->map, text, n);
}

static enum sonde_status check_piece(const struct sonde_vocab *vocab, const char *text, size_t n,
                                     int64_t id, bool repeat_ok, struct sonde_error *error)
{
    char show[SONDE_SHOW_BYTES], other[SONDE_SHOW_BYTES];

    if (n > SONDE_VOCAB_MAX_PIECE_BYTES)
        return sonde_error_set(error, SONDE_STATUS_LIMIT,
                               "id %lld: a piece of %zu bytes, at most %d", (long long)id, n,
                               SONDE_VOCAB_MAX_PIECE_BYTES);
    if (id < 0 || id >= SONDE_VOCAB_MAX_IDS)
        return sonde_error_set(error, SONDE_STATUS_FORMAT, "id %lld of \"%s\", expected 0 to %d",
                               (long long)id, sonde_text_show(show, text, n),
                               SONDE_VOCAB_MAX_IDS - 1);
    if (memchr(text, 0, n))
        return sonde_error_set(error, SONDE_STATUS_FORMAT, "id %lld: a NUL in the piece",
                               (long long)id);
    if (id < vocab->n && vocab->pieces[id].text)
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "id %lld is given twice, to \"%s\" and \"%s\"", (long long)id,
                               sonde_text_show(other, vocab->pieces[id].text, vocab->pieces[id].n),
                               sonde_text_show(show, text, n));
    int32_t first = sonde_vocab_find(vocab, text, n);
    if (first >= 0 && !repeat_ok)
        return sonde_error_set(error, SONDE_STATUS_FORMAT, "\"%s\" has two ids, %d and %lld",
                               sonde_text_show(show, text, n), first, (long long)id);
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_vocab_add(struct sonde_vocab *vocab, const char *text, size_t n, int64_t id,
                                  uint32_t flags, bool repeat_ok, struct sonde_error *error)
{
    enum sonde_status status = check_piece(vocab, text, n, id, repeat_ok, error);
    if (status != SONDE_STATUS_OK)
        return status;

    void *items = vocab->pieces;
    if (!sonde_grow(&items, &vocab->capacity, id + 1, sizeof(*vocab->pieces), SONDE_VOCAB_MAX_IDS))
        return sonde_error_memory(error, "a vocabulary");
    vocab->pieces = items;
    char *copy = sonde_arena_strndup(vocab->arena, text, n);
    if (!copy || !sonde_bytes_map_put(&vocab->map, copy, n, (int32_t)id))
        return sonde_error_memory(error, "a vocabulary");
    for (; vocab->n <= id; vocab->n++)
        vocab->pieces[vocab->n] = (struct sonde_piece){ 0 };
    vocab->pieces[id] = (struct sonde_piece){ .text = copy, .n = (uint32_t)n, .flags = flags };
    return SONDE_STATUS_OK;
}

const char *sonde_text_show(char out[SONDE_SHOW_BYTES], const char *text, size_t n)
{
    size_t used = 0, i = 0;

    while (i < n) {
        int32_t code;
        size_t length = sonde_utf8_next(text + i, n - i, &code);
        bool plain = code >= 0x20 && (code < 0x7F || code >= 0xA0);
        if (used + (plain ? length : 1) + 4 > SONDE_SHOW_BYTES) {
            memcpy(out + used, "...", 3);
            used += 3;
            break;
        }
        if (plain)
            memcpy(out + used, text + i, length);
        else
            out[used] = '?';
        used += plain ? length : 1;
        i += length;
    }
    out[used] = '\0';
    return out;
}
