/*
 * All words lie in one array of symbols, chained within a word. Every pair knows the places where
 * it has stood and how often it is seen now; a heap gives the pair that is seen most often. A merge
 * visits the places of its pair only, so that all merges together cost n log n in the symbols.
 *
 * Neither the places nor the heap are cleaned up when a pair goes away: a place is looked at again
 * before it is used, and an entry of the heap whose count is not the pair's own goes back with the
 * present one.
 */
#include "core/text/bpe_learn.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/text/bpe.h"

#define MAX_PAIRS (INT64_C(1) << 30)
#define MAX_HEAP (INT64_C(1) << 31)
#define UPDATE_SYMBOLS 65536 /* symbols between two looks at the progress */

struct symbol {
    int32_t id; /* -1: merged into the one before */
    int32_t prev, next;
    int32_t word;
};

struct pair {
    int32_t left, right;
    int64_t count;
    int32_t *at; /* places of the left symbol; may hold some where the pair is no more */
    int64_t n_at, capacity;
    bool touched; /* seen more often since the last merge */
    bool banned;  /* never merged */
    bool listed;  /* among the merges */
};

struct candidate {
    int64_t count;
    uint64_t key; /* left << 32 | right */
    int32_t pair;
};

struct learner {
    const struct sonde_counted_word *words;
    struct sonde_vocab *vocab;
    struct symbol *symbols;
    int64_t n_symbols;
    struct pair *pairs;
    int64_t n_pairs, pairs_capacity;
    struct sonde_merges index; /* (left, right) -> the pair's number, as id */
    struct candidate *heap;
    int64_t n_heap, heap_capacity;
    int32_t *touched;
    int64_t n_touched, touched_capacity;
    struct sonde_buf text;
};

static void finish_learner(struct learner *l)
{
    for (int64_t i = 0; i < l->n_pairs; i++)
        free(l->pairs[i].at);
    free(l->pairs);
    free(l->symbols);
    free(l->heap);
    free(l->touched);
    sonde_merges_finish(&l->index);
    sonde_buf_finish(&l->text);
}

static enum sonde_status no_memory(struct sonde_error *error)
{
    return sonde_error_memory(error, "the merges of a vocabulary");
}

static bool comes_first(const struct candidate *a, const struct candidate *b)
{
    return a->count != b->count ? a->count > b->count : a->key < b->key;
}

static bool push_candidate(struct learner *l, int32_t number)
{
    const struct pair *pair = &l->pairs[number];
    void *items = l->heap;

    if (!sonde_grow(&items, &l->heap_capacity, l->n_heap + 1, sizeof(*l->heap), MAX_HEAP))
        return false;
    l->heap = items;
    struct candidate value = { .count = pair->count,
                               .key = (uint64_t)pair->left << 32 | (uint32_t)pair->right,
                               .pair = number };
    int64_t i = l->n_heap++;
    while (i > 0 && comes_first(&value, &l->heap[(i - 1) / 2])) {
        l->heap[i] = l->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    l->heap[i] = value;
    return true;
}

static struct candidate pop_candidate(struct learner *l)
{
    struct candidate top = l->heap[0], value = l->heap[--l->n_heap];
    int64_t i = 0;

    for (;;) {
        int64_t child = 2 * i + 1;
        if (child >= l->n_heap)
            break;
        if (child + 1 < l->n_heap && comes_first(&l->heap[child + 1], &l->heap[child]))
            child++;
        if (!comes_first(&l->heap[child], &value))
            break;
        l->heap[i] = l->heap[child];
        i = child;
    }
    l->heap[i] = value;
    return top;
}

/* One more place of a pair. */
static bool add_place(struct learner *l, int32_t left, int32_t right, int32_t at, int64_t count)
{
    const struct sonde_merge_slot *slot = sonde_merges_get(&l->index, left, right);
    void *items;
    int32_t number;

    if (slot) {
        number = slot->id;
    } else {
        items = l->pairs;
        if (!sonde_grow(&items, &l->pairs_capacity, l->n_pairs + 1, sizeof(*l->pairs), MAX_PAIRS))
            return false;
        l->pairs = items;
        number = (int32_t)l->n_pairs;
        if (!sonde_merges_put(&l->index, left, right, 0, number))
            return false;
        l->pairs[l->n_pairs++] = (struct pair){ .left = left, .right = right };
    }
    struct pair *pair = &l->pairs[number];
    items = pair->at;
    if (!sonde_grow(&items, &pair->capacity, pair->n_at + 1, sizeof(*pair->at), INT32_MAX))
        return false;
    pair->at = items;
    pair->at[pair->n_at++] = at;
    pair->count += count;
    if (pair->touched)
        return true;
    items = l->touched;
    if (!sonde_grow(&items, &l->touched_capacity, l->n_touched + 1, sizeof(*l->touched), MAX_PAIRS))
        return false;
    l->touched = items;
    l->touched[l->n_touched++] = number;
    pair->touched = true;
    return true;
}

static void take_count(struct learner *l, int32_t left, int32_t right, int64_t count)
{
    const struct sonde_merge_slot *slot = sonde_merges_get(&l->index, left, right);

    assert(slot);
    l->pairs[slot->id].count -= count;
    assert(l->pairs[slot->id].count >= 0);
}

static bool queue_touched(struct learner *l)
{
    for (int64_t i = 0; i < l->n_touched; i++) {
        l->pairs[l->touched[i]].touched = false;
        if (l->pairs[l->touched[i]].count > 0 && !push_candidate(l, l->touched[i]))
            return false;
    }
    l->n_touched = 0;
    return true;
}

/* The words as chains of single bytes, and all their pairs. */
static enum sonde_status begin(struct learner *l, const int32_t byte_ids[256], int64_t n_words,
                               int64_t n_symbols, const struct sonde_progress *progress,
                               struct sonde_error *error)
{
    int64_t n = 0;

    l->symbols = malloc((size_t)(n_symbols + 1) * sizeof(*l->symbols));
    if (!l->symbols)
        return no_memory(error);
    l->n_symbols = n_symbols;
    for (int64_t w = 0; w < n_words; w++) {
        for (uint32_t i = 0; i < l->words[w].n; i++, n++)
            l->symbols[n] = (struct symbol){
                .id = byte_ids[(unsigned char)l->words[w].text[i]],
                .prev = i > 0 ? (int32_t)n - 1 : -1,
                .next = i + 1 < l->words[w].n ? (int32_t)n + 1 : -1,
                .word = (int32_t)w,
            };
    }
    for (n = 0; n < n_symbols; n++) {
        const struct symbol *symbol = &l->symbols[n];
        if (n % UPDATE_SYMBOLS == 0 &&
            !sonde_progress_update(progress, "pairs", n, n_symbols, "bytes"))
            return sonde_error_set(error, SONDE_STATUS_CANCELLED, "stopped");
        if (symbol->next >= 0 && !add_place(l, symbol->id, l->symbols[symbol->next].id, (int32_t)n,
                                            l->words[symbol->word].count))
            return no_memory(error);
    }
    return queue_touched(l) ? SONDE_STATUS_OK : no_memory(error);
}

/* The symbol at i and its next become one symbol. */
static bool merge_place(struct learner *l, int32_t i, int32_t id)
{
    struct symbol *left = &l->symbols[i], *right = &l->symbols[left->next];
    int64_t count = l->words[left->word].count;

    take_count(l, left->id, right->id, count);
    if (left->prev >= 0)
        take_count(l, l->symbols[left->prev].id, left->id, count);
    if (right->next >= 0)
        take_count(l, right->id, l->symbols[right->next].id, count);
    left->id = id;
    left->next = right->next;
    right->id = -1;
    if (left->next >= 0)
        l->symbols[left->next].prev = i;
    return (left->prev < 0 || add_place(l, l->symbols[left->prev].id, id, left->prev, count)) &&
           (left->next < 0 || add_place(l, id, l->symbols[left->next].id, i, count));
}

static int compare_places(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

/* Merges a pair wherever it stands. */
static bool merge_everywhere(struct learner *l, int32_t number, int32_t id)
{
    int32_t left = l->pairs[number].left, right = l->pairs[number].right;
    int32_t *at = l->pairs[number].at;
    int64_t n_at = l->pairs[number].n_at;
    bool ok = true;

    l->pairs[number].at = NULL;
    l->pairs[number].n_at = l->pairs[number].capacity = 0;
    /* Only in a run of equal symbols the order counts: from the left. */
    if (left == right)
        qsort(at, (size_t)n_at, sizeof(*at), compare_places);
    for (int64_t k = 0; ok && k < n_at; k++) {
        const struct symbol *symbol = &l->symbols[at[k]];
        if (symbol->id == left && symbol->next >= 0 && l->symbols[symbol->next].id == right)
            ok = merge_place(l, at[k], id);
    }
    free(at);
    return ok && queue_touched(l);
}

/* The id of the new symbol: -1 where the pair must not be merged. Two pairs may make the same text
 * ("a aa", "aa a"): the symbol is then the same. */
static enum sonde_status name_pair(struct learner *l, int32_t number, int32_t *id,
                                   struct sonde_error *error)
{
    const struct sonde_piece *left = &l->vocab->pieces[l->pairs[number].left];
    const struct sonde_piece *right = &l->vocab->pieces[l->pairs[number].right];

    *id = -1;
    if ((int64_t)left->n + right->n > SONDE_VOCAB_MAX_PIECE_BYTES)
        return SONDE_STATUS_OK;
    sonde_buf_clear(&l->text);
    sonde_buf_append(&l->text, left->text, left->n);
    sonde_buf_append(&l->text, right->text, right->n);
    if (l->text.failed)
        return no_memory(error);
    int32_t known = sonde_vocab_find(l->vocab, l->text.data, l->text.size);
    if (known >= 0) {
        if (!(l->vocab->pieces[known].flags & SONDE_PIECE_SPECIAL))
            *id = known;
        return SONDE_STATUS_OK;
    }
    int64_t next = l->vocab->n;
    enum sonde_status status = sonde_vocab_add(l->vocab, l->text.data, l->text.size, next,
                                               SONDE_PIECE_MODEL, false, error);
    if (!status)
        *id = (int32_t)next;
    return status;
}

static enum sonde_status merge_best(struct learner *l, struct sonde_learned_merges *out,
                                    int32_t number, struct sonde_error *error)
{
    int32_t id;
    enum sonde_status status = name_pair(l, number, &id, error);
    if (status)
        return status;
    struct pair *pair = &l->pairs[number];
    if (id < 0) {
        pair->banned = true;
        return SONDE_STATUS_OK;
    }
    if (!pair->listed) {
        void *items = out->merge;
        if (!sonde_grow(&items, &out->capacity, out->n + 1, sizeof(*out->merge), MAX_PAIRS))
            return no_memory(error);
        out->merge = items;
        out->merge[out->n++] =
            (struct sonde_learned_merge){ .left = pair->left, .right = pair->right };
        pair->listed = true;
    }
    return merge_everywhere(l, number, id) ? SONDE_STATUS_OK : no_memory(error);
}

static enum sonde_status merge_all(struct learner *l, struct sonde_learned_merges *out,
                                   int64_t vocab_size, int64_t min_frequency,
                                   const struct sonde_progress *progress, struct sonde_error *error)
{
    int64_t first = l->vocab->n;

    while (l->vocab->n < vocab_size) {
        if (l->n_heap == 0)
            break;
        struct candidate top = pop_candidate(l);
        const struct pair *pair = &l->pairs[top.pair];
        if (pair->banned || pair->count == 0)
            continue;
        if (top.count != pair->count) {
            if (!push_candidate(l, top.pair))
                return no_memory(error);
            continue;
        }
        if (top.count < min_frequency)
            break;
        if (!sonde_progress_update(progress, "merges", l->vocab->n - first, vocab_size - first,
                                   "merges"))
            return sonde_error_set(error, SONDE_STATUS_CANCELLED, "stopped");
        enum sonde_status status = merge_best(l, out, top.pair, error);
        if (status)
            return status;
    }
    out->exhausted = l->vocab->n < vocab_size;
    for (int64_t i = 0; i < l->n_symbols; i++)
        out->n_tokens += l->symbols[i].id >= 0 ? l->words[l->symbols[i].word].count : 0;
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_bpe_learn(struct sonde_learned_merges *out, struct sonde_vocab *vocab,
                                  const int32_t byte_ids[256],
                                  const struct sonde_counted_word *words, int64_t n_words,
                                  int64_t vocab_size, int64_t min_frequency,
                                  const struct sonde_progress *progress, struct sonde_error *error)
{
    struct learner l = { .words = words, .vocab = vocab };
    int64_t n_symbols = 0;

    for (int64_t w = 0; w < n_words; w++)
        n_symbols += words[w].n;
    assert(n_symbols < INT32_MAX);
    enum sonde_status status = begin(&l, byte_ids, n_words, n_symbols, progress, error);
    if (!status)
        status = merge_all(&l, out, vocab_size, min_frequency, progress, error);
    finish_learner(&l);
    return status;
}
