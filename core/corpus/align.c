#include <string.h>

#include "core/corpus/corpus.h"

/* The span without the blanks it begins with; false where nothing is left. */
static bool trimmed(const char *text, int64_t *begin, int64_t end)
{
    if (*begin < 0)
        return false;
    while (*begin < end && (text[*begin] == ' ' || (text[*begin] >= 9 && text[*begin] <= 13)))
        (*begin)++;
    return *begin < end;
}

void sonde_corpus_align(const struct sonde_corpus_word *words, int64_t n_words, const char *text,
                        const int64_t *token_begin, const int64_t *token_end, int64_t n_tokens,
                        enum sonde_align align, int32_t *token_word)
{
    int64_t from = 0; /* tokens before it end before the current word */

    for (int64_t t = 0; t < n_tokens; t++)
        token_word[t] = -1;
    for (int64_t w = 0; w < n_words; w++) {
        int64_t best = -1;
        while (from < n_tokens && token_end[from] <= words[w].begin)
            from++;
        for (int64_t t = from; t < n_tokens && token_begin[t] < words[w].end; t++) {
            int64_t begin = token_begin[t];
            if (!trimmed(text, &begin, token_end[t]) || begin >= words[w].end ||
                token_end[t] <= words[w].begin)
                continue;
            if (align == SONDE_ALIGN_ALL)
                token_word[t] = (int32_t)w;
            if (best < 0 || align == SONDE_ALIGN_LAST)
                best = t;
        }
        if (best >= 0 && align == SONDE_ALIGN_LAST)
            token_word[best] = (int32_t)w;
        if (best >= 0 && align == SONDE_ALIGN_FIRST && token_word[best] < 0)
            token_word[best] = (int32_t)w;
    }
}
