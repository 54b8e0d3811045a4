/* Added tokens: found in the text before the model sees it, the leftmost first and of those the
 * longest, as Hugging Face's AddedVocabulary does with its Aho-Corasick search. */
#include <stdlib.h>
#include <string.h>

#include "core/text/tokenizer_internal.h"

static int32_t new_node(struct sonde_added_set *set)
{
    void *items = set->found;

    if (!sonde_grow(&items, &set->capacity, set->n_nodes + 1, sizeof(*set->found), INT32_MAX))
        return -1;
    set->found = items;
    set->found[set->n_nodes] = -1;
    return (int32_t)set->n_nodes++;
}

/* The first of equals stays. */
static bool put_added(struct sonde_added_set *set, const struct sonde_added *added, int32_t index)
{
    int32_t node = 0;

    if (set->n_nodes == 0 && new_node(set) < 0)
        return false;
    for (uint32_t i = 0; i < added->n; i++) {
        int32_t byte = (unsigned char)added->text[i];
        const struct sonde_merge_slot *edge = sonde_merges_get(&set->edges, node, byte);
        int32_t child = edge ? edge->id : new_node(set);
        if (child < 0 || (!edge && !sonde_merges_put(&set->edges, node, byte, 0, child)))
            return false;
        node = child;
    }
    if (set->found[node] < 0)
        set->found[node] = index;
    set->first[(unsigned char)added->text[0]] = true;
    return true;
}

/* The search for tokens with normalized = true runs on normalised text, so what is searched for is
 * normalised too. */
static enum sonde_status normalise_added(const struct sonde_tokenizer *t, struct sonde_added *added,
                                         struct sonde_error *error)
{
    struct sonde_mapped work[2] = { 0 };
    struct sonde_view view = { .data = added->text, .n = added->n };

    enum sonde_status status = sonde_normalize_view(t, view, work, &view, error);
    if (status == SONDE_STATUS_OK && view.data != added->text) {
        added->owned = malloc(view.n + 1);
        if (added->owned) {
            memcpy(added->owned, view.data, view.n);
            added->owned[view.n] = '\0';
            added->text = added->owned;
            added->n = (uint32_t)view.n;
        } else {
            status = sonde_error_memory(error, "added tokens");
        }
    }
    sonde_mapped_finish(&work[0]);
    sonde_mapped_finish(&work[1]);
    return status;
}

enum sonde_status sonde_added_build(struct sonde_tokenizer *t, struct sonde_error *error)
{
    /* Of two with the same text the special one wins, then the first: Hugging Face lists specials
     * first and its search takes the first of equals. */
    for (int pass = 0; pass < 2; pass++) {
        for (int64_t i = 0; i < t->n_added; i++) {
            struct sonde_added *added = &t->added[i];
            bool special = t->vocab.pieces[added->id].flags & SONDE_PIECE_SPECIAL;
            if (special != (pass == 0))
                continue;
            if (added->normalized) {
                enum sonde_status status = normalise_added(t, added, error);
                if (status != SONDE_STATUS_OK)
                    return status;
            }
            if (added->n == 0)
                continue;
            if (!put_added(added->normalized ? &t->normal_added : &t->raw_added, added, (int32_t)i))
                return sonde_error_memory(error, "added tokens");
        }
    }
    return SONDE_STATUS_OK;
}

static bool word_before(const char *text, size_t at)
{
    int32_t code;
    size_t i = at;

    if (at == 0)
        return false;
    do
        i--;
    while (i > 0 && ((unsigned char)text[i] & 0xC0) == 0x80);
    sonde_utf8_next(text + i, at - i, &code);
    return sonde_utf8_is_word(code);
}

static bool word_after(const char *text, size_t n, size_t at)
{
    int32_t code;

    if (at == n)
        return false;
    sonde_utf8_next(text + at, n - at, &code);
    return sonde_utf8_is_word(code);
}

static size_t spaces_before(const char *text, size_t low, size_t at)
{
    while (at > low) {
        int32_t code;
        size_t i = at - 1;
        while (i > low && ((unsigned char)text[i] & 0xC0) == 0x80)
            i--;
        sonde_utf8_next(text + i, at - i, &code);
        if (!sonde_utf8_is_space(code))
            break;
        at = i;
    }
    return at;
}

static size_t spaces_after(const char *text, size_t n, size_t at)
{
    while (at < n) {
        int32_t code;
        size_t length = sonde_utf8_next(text + at, n - at, &code);
        if (!sonde_utf8_is_space(code))
            break;
        at += length;
    }
    return at;
}

/* The longest one that begins at text. */
static int64_t match_at(const struct sonde_added_set *set, const char *text, size_t n)
{
    int64_t longest = -1;
    int32_t node = 0;

    for (size_t i = 0; i < n; i++) {
        const struct sonde_merge_slot *edge =
            sonde_merges_get(&set->edges, node, (unsigned char)text[i]);
        if (!edge)
            break;
        node = edge->id;
        if (set->found[node] >= 0)
            longest = set->found[node];
    }
    return longest;
}

struct sonde_added_match sonde_added_find(const struct sonde_tokenizer *t,
                                          const struct sonde_added_set *set, const char *text,
                                          size_t n, size_t resume, size_t low)
{
    size_t i = resume;

    while (set->n_nodes > 0 && i < n) {
        int64_t index = set->first[(unsigned char)text[i]] ? match_at(set, text + i, n - i) : -1;
        if (index < 0) {
            i++;
            continue;
        }
        const struct sonde_added *added = &t->added[index];
        size_t stop = i + added->n;
        if (added->single_word && (word_before(text, i) || word_after(text, n, stop))) {
            i = stop; /* the search goes on behind it, as the original's does */
            continue;
        }
        return (struct sonde_added_match){
            .index = index,
            .begin = added->lstrip && i > low ? spaces_before(text, low, i) : i,
            .end = added->rstrip ? spaces_after(text, n, stop) : stop,
            .resume = stop,
        };
    }
    return (struct sonde_added_match){ .index = -1, .begin = n, .end = n, .resume = n };
}
