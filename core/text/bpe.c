#include "core/text/bpe.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/buf.h"

/* Up to this many symbols a scan for the lowest rank is faster than a heap. */
#define SCAN_SYMBOLS 48

void sonde_merges_finish(struct sonde_merges *merges)
{
    free(merges->slots);
    *merges = (struct sonde_merges){ 0 };
}

static struct sonde_merge_slot *find_slot(const struct sonde_merges *merges, uint64_t pair)
{
    uint64_t mask = (uint64_t)merges->n_slots - 1;
    uint64_t h = pair * UINT64_C(0x9E3779B97F4A7C15);

    for (uint64_t i = (h ^ h >> 32) & mask;; i = (i + 1) & mask) {
        struct sonde_merge_slot *slot = &merges->slots[i];
        if (slot->pair == pair || slot->pair == UINT64_MAX)
            return slot;
    }
}

static bool grow_merges(struct sonde_merges *merges)
{
    struct sonde_merges next = { .n_slots = merges->n_slots ? merges->n_slots * 2 : 256 };

    next.slots = malloc((size_t)next.n_slots * sizeof(*next.slots));
    if (!next.slots)
        return false;
    for (int64_t i = 0; i < next.n_slots; i++)
        next.slots[i] = (struct sonde_merge_slot){ .pair = UINT64_MAX };
    for (int64_t i = 0; i < merges->n_slots; i++) {
        if (merges->slots[i].pair != UINT64_MAX)
            *find_slot(&next, merges->slots[i].pair) = merges->slots[i];
    }
    next.n_used = merges->n_used;
    free(merges->slots);
    *merges = next;
    return true;
}

bool sonde_merges_put(struct sonde_merges *merges, int32_t left, int32_t right, uint32_t rank,
                      int32_t id)
{
    if (merges->n_used * 2 >= merges->n_slots && !grow_merges(merges))
        return false;
    uint64_t pair = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    struct sonde_merge_slot *slot = find_slot(merges, pair);
    if (slot->pair == UINT64_MAX)
        merges->n_used++;
    *slot = (struct sonde_merge_slot){ .pair = pair, .rank = rank, .id = id };
    return true;
}

const struct sonde_merge_slot *sonde_merges_get(const struct sonde_merges *merges, int32_t left,
                                                int32_t right)
{
    if (merges->n_slots == 0)
        return NULL;
    uint64_t pair = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    const struct sonde_merge_slot *slot = find_slot(merges, pair);
    return slot->pair == pair ? slot : NULL;
}

void sonde_bpe_word_finish(struct sonde_bpe_word *word)
{
    free(word->symbols);
    free(word->heap);
    free(word->concat);
    *word = (struct sonde_bpe_word){ 0 };
}

enum sonde_status sonde_bpe_push(struct sonde_bpe_word *word, int32_t id, uint32_t begin,
                                 struct sonde_error *error)
{
    if (word->n == word->capacity) {
        if (word->n >= SONDE_BPE_MAX_SYMBOLS)
            return sonde_error_set(error, SONDE_STATUS_LIMIT,
                                   "a word of more than %lld symbols without a place to split",
                                   (long long)SONDE_BPE_MAX_SYMBOLS);
        void *items = word->symbols;
        if (!sonde_grow(&items, &word->capacity, word->n + 1, sizeof(*word->symbols),
                        SONDE_BPE_MAX_SYMBOLS))
            return sonde_error_memory(error, "the symbols of a word");
        word->symbols = items;
    }
    word->symbols[word->n++] = (struct sonde_bpe_symbol){ .id = id, .begin = begin };
    return SONDE_STATUS_OK;
}

static void rank_by_score(struct sonde_bpe_word *word, const struct sonde_bpe_rule *rule,
                          struct sonde_bpe_symbol *symbol, int32_t right)
{
    const struct sonde_piece *a = &rule->vocab->pieces[symbol->id];
    const struct sonde_piece *b = &rule->vocab->pieces[right];

    if ((uint64_t)a->n + b->n > rule->max_piece_bytes)
        return;
    memcpy(word->concat, a->text, a->n);
    memcpy(word->concat + a->n, b->text, b->n);
    int32_t id = sonde_vocab_find(rule->vocab, word->concat, (size_t)a->n + b->n);
    if (id >= 0) {
        symbol->pair_rank = rule->score_rank[id];
        symbol->pair_id = id;
    }
}

/* Finds the rank of symbol i and its next. */
static void rank_pair(struct sonde_bpe_word *word, const struct sonde_bpe_rule *rule, int32_t i)
{
    struct sonde_bpe_symbol *symbol = &word->symbols[i];

    symbol->pair_rank = SONDE_BPE_NO_RANK;
    if (symbol->next < 0)
        return;
    int32_t right = word->symbols[symbol->next].id;
    if (!rule->merges) {
        rank_by_score(word, rule, symbol, right);
        return;
    }
    const struct sonde_merge_slot *slot = sonde_merges_get(rule->merges, symbol->id, right);
    if (slot) {
        symbol->pair_rank = slot->rank;
        symbol->pair_id = slot->id;
    }
}

/* Merges symbol i with its next. Returns the removed symbol. */
static int32_t merge_at(struct sonde_bpe_word *word, const struct sonde_bpe_rule *rule, int32_t i)
{
    struct sonde_bpe_symbol *symbol = &word->symbols[i];
    int32_t gone = symbol->next;

    symbol->id = symbol->pair_id;
    symbol->next = word->symbols[gone].next;
    if (symbol->next >= 0)
        word->symbols[symbol->next].prev = i;
    word->symbols[gone].pair_rank = SONDE_BPE_NO_RANK;
    word->symbols[gone].id = -1;
    rank_pair(word, rule, i);
    if (symbol->prev >= 0)
        rank_pair(word, rule, symbol->prev);
    return gone;
}

static void merge_by_scan(struct sonde_bpe_word *word, const struct sonde_bpe_rule *rule)
{
    for (;;) {
        uint32_t best = SONDE_BPE_NO_RANK;
        int32_t at = -1;
        for (int32_t i = 0; i >= 0; i = word->symbols[i].next) {
            if (word->symbols[i].pair_rank < best) {
                best = word->symbols[i].pair_rank;
                at = i;
            }
        }
        if (at < 0)
            return;
        merge_at(word, rule, at);
    }
}

static void sift_down(uint64_t *heap, int64_t n, int64_t i)
{
    uint64_t value = heap[i];

    for (;;) {
        int64_t child = 2 * i + 1;
        if (child >= n)
            break;
        if (child + 1 < n && heap[child + 1] < heap[child])
            child++;
        if (heap[child] >= value)
            break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = value;
}

/* The heap holds at most one entry a symbol from the start and two a merge, and each merge takes
 * one symbol away: 3n entries in all. */
static void heap_push(struct sonde_bpe_word *word, int32_t i)
{
    uint32_t rank = word->symbols[i].pair_rank;

    if (rank == SONDE_BPE_NO_RANK)
        return;
    uint64_t value = (uint64_t)rank << 32 | (uint32_t)i;
    int64_t at = word->n_heap++;
    while (at > 0 && word->heap[(at - 1) / 2] > value) {
        word->heap[at] = word->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    word->heap[at] = value;
}

static enum sonde_status merge_by_heap(struct sonde_bpe_word *word,
                                       const struct sonde_bpe_rule *rule, struct sonde_error *error)
{
    void *items = word->heap;
    if (!sonde_grow(&items, &word->heap_capacity, 3 * word->n, sizeof(*word->heap),
                    3 * SONDE_BPE_MAX_SYMBOLS))
        return sonde_error_memory(error, "the merges of a word");
    word->heap = items;
    word->n_heap = 0;
    for (int64_t i = 0; i < word->n; i++) {
        if (word->symbols[i].pair_rank != SONDE_BPE_NO_RANK)
            word->heap[word->n_heap++] = (uint64_t)word->symbols[i].pair_rank << 32 | (uint64_t)i;
    }
    for (int64_t i = word->n_heap / 2 - 1; i >= 0; i--)
        sift_down(word->heap, word->n_heap, i);
    while (word->n_heap > 0) {
        uint64_t top = word->heap[0];
        word->heap[0] = word->heap[--word->n_heap];
        if (word->n_heap > 0)
            sift_down(word->heap, word->n_heap, 0);
        int32_t i = (int32_t)(top & UINT32_MAX);
        if (word->symbols[i].pair_rank != top >> 32)
            continue; /* the pair has changed since it was pushed */
        merge_at(word, rule, i);
        heap_push(word, i);
        if (word->symbols[i].prev >= 0)
            heap_push(word, word->symbols[i].prev);
    }
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_bpe_merge(struct sonde_bpe_word *word, const struct sonde_bpe_rule *rule,
                                  struct sonde_error *error)
{
    if (word->n < 2 || (rule->merges && rule->merges->n_slots == 0))
        return SONDE_STATUS_OK;
    if (!rule->merges) {
        void *items = word->concat;
        if (!sonde_grow(&items, &word->concat_capacity, (int64_t)rule->max_piece_bytes + 1, 1,
                        INT64_C(1) << 32))
            return sonde_error_memory(error, "two pieces");
        word->concat = items;
    }
    for (int32_t i = 0; i < word->n; i++) {
        word->symbols[i].prev = i - 1;
        word->symbols[i].next = i + 1 < word->n ? i + 1 : -1;
    }
    for (int32_t i = 0; i < word->n; i++)
        rank_pair(word, rule, i);
    if (word->n <= SCAN_SYMBOLS) {
        merge_by_scan(word, rule);
    } else {
        enum sonde_status status = merge_by_heap(word, rule, error);
        if (status != SONDE_STATUS_OK)
            return status;
    }
    int64_t n = 0;
    for (int32_t i = 0; i >= 0; i = word->symbols[i].next)
        word->symbols[n++] = word->symbols[i];
    word->n = n;
    return SONDE_STATUS_OK;
}
