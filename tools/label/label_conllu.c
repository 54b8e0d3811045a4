/* Labels from the columns of a CoNLL-U file, put on tokens by the words' places in the text. */
#include <stdlib.h>
#include <string.h>

#include "core/base/num.h"
#include "tools/label/labelling.h"

#define VALUE_MAX 4096

/* The tokens of one sentence, over all its windows. */
struct sentence {
    int64_t *begin, *end; /* [n] bytes in the sentence's text; -1 without text */
    int64_t *row;         /* [n] token row */
    int64_t *sequence;    /* [n] */
    int32_t *word;        /* [n] or -1 */
    int64_t n, capacity;
};

struct aligner {
    struct sonde_labelling *l;
    const char *path, *column;
    enum sonde_label_kind kind;
    struct sentence s;
    int64_t next_sequence;     /* of the run */
    int64_t n_unaligned_words; /* that no token stands for */
    int64_t n_far_heads;       /* partners that lie in another window */
};

static enum sonde_status grow(struct sentence *s, int64_t need, struct sonde_error *error)
{
    if (need <= s->capacity)
        return SONDE_STATUS_OK;
    int64_t **arrays[] = { &s->begin, &s->end, &s->row, &s->sequence };
    int64_t capacity = 0;
    for (size_t i = 0; i < sizeof(arrays) / sizeof(arrays[0]); i++) {
        capacity = s->capacity;
        if (!sonde_grow((void **)arrays[i], &capacity, need, sizeof(int64_t), INT32_MAX))
            return sonde_error_memory(error, "a sentence");
    }
    int64_t words = s->capacity;
    if (!sonde_grow((void **)&s->word, &words, need, sizeof(*s->word), INT32_MAX))
        return sonde_error_memory(error, "a sentence");
    s->capacity = words < capacity ? words : capacity;
    return SONDE_STATUS_OK;
}

static enum sonde_status mismatch(const struct aligner *a, const struct sonde_corpus_item *item,
                                  const struct sonde_source_sequence *recorded,
                                  struct sonde_error *error)
{
    return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                           "%s: sentence %lld (%.60s) is \"%.60s\", but sequence %lld of run '%s' "
                           "was recorded from (%.60s) \"%.60s\"",
                           a->path, (long long)item->ordinal + 1, item->name ? item->name : "",
                           item->text, (long long)a->next_sequence, a->l->source->run_name,
                           recorded->name ? recorded->name : "",
                           recorded->text ? recorded->text : "");
}

/* Whether the sequence was cut from this sentence: same name, and its text stands at its place. */
static bool belongs(const struct sonde_corpus_item *item, const struct sonde_source_sequence *s,
                    int64_t text_begin)
{
    if (item->name && s->name && strcmp(item->name, s->name) != 0)
        return false;
    if (!s->text || text_begin < 0 || text_begin > item->text_bytes)
        return false;
    size_t n = strlen(s->text);
    return n <= (size_t)(item->text_bytes - text_begin) &&
           memcmp(item->text + text_begin, s->text, n) == 0;
}

/* Adds the tokens of the run's next sequence, a window of the sentence. */
static enum sonde_status add_window(struct aligner *a, const struct sonde_corpus_item *item,
                                    struct sonde_error *error)
{
    struct sonde_source *source = a->l->source;
    const struct sonde_source_sequence *from = &source->sequences[a->next_sequence];
    struct sentence *s = &a->s;
    int64_t text_begin = 0;
    enum sonde_status status = grow(s, s->n + from->n_tokens, error);
    if (!status)
        status = sonde_store_read_spans(source, a->next_sequence, s->begin + s->n, s->end + s->n,
                                        &text_begin, error);
    if (status)
        return status;
    if (!belongs(item, from, text_begin))
        return mismatch(a, item, from, error);
    for (int64_t t = 0; t < from->n_tokens; t++, s->n++) {
        s->row[s->n] = from->first_row + t;
        s->sequence[s->n] = a->next_sequence;
        if (s->begin[s->n] >= 0) {
            s->begin[s->n] += text_begin;
            s->end[s->n] += text_begin;
        }
        if (s->end[s->n] > item->text_bytes)
            return mismatch(a, item, from, error);
    }
    a->next_sequence++;
    return SONDE_STATUS_OK;
}

/* The position of the token that stands for the word with this ID, in the sequence; -1 = none
 * there. */
static int64_t find_partner(const struct aligner *a, const struct sonde_corpus_item *item,
                            const char *id, int64_t sequence)
{
    const struct sentence *s = &a->s;
    int64_t word = 0, found = -1;
    while (word < item->n_words && strcmp(item->words[word].field[0], id) != 0)
        word++;
    for (int64_t t = 0; word < item->n_words && t < s->n; t++) {
        if (s->word[t] != word || s->sequence[t] != sequence)
            continue;
        if (found < 0 || a->l->align != SONDE_ALIGN_FIRST)
            found = s->row[t] - a->l->source->sequences[sequence].first_row;
    }
    return found;
}

static enum sonde_status put_token(struct aligner *a, struct sonde_label_writer *w,
                                   const struct sonde_corpus_item *item, int64_t t,
                                   struct sonde_error *error)
{
    const struct sentence *s = &a->s;
    char value[VALUE_MAX];
    bool present = false;
    enum sonde_status status = sonde_corpus_word_column(&item->words[s->word[t]], a->column, value,
                                                        sizeof(value), &present, error);
    if (status || !present)
        return status;
    if (a->kind == SONDE_LABEL_CLASS)
        return sonde_store_label_class(w, s->row[t], value, error);
    if (a->kind == SONDE_LABEL_REAL) {
        double number;
        if (!sonde_parse_f64(value, strlen(value), &number))
            return sonde_error_set(error, SONDE_STATUS_FORMAT,
                                   "%s: sentence %lld: %s '%.40s', expected a number", a->path,
                                   (long long)item->ordinal + 1, a->column, value);
        return sonde_store_label_real(w, s->row[t], number, error);
    }
    int64_t partner = find_partner(a, item, value, s->sequence[t]);
    if (partner >= 0)
        return sonde_store_label_pair(w, s->row[t], partner, error);
    /* The root's head is 0, which is no word. */
    a->n_far_heads += strcmp(value, "0") != 0;
    return SONDE_STATUS_OK;
}

static void count_unaligned(struct aligner *a, const struct sonde_corpus_item *item)
{
    const struct sentence *s = &a->s;
    int64_t t = 0;
    for (int64_t word = 0; word < item->n_words; word++) {
        bool found = false;
        for (t = 0; t < s->n && !found; t++)
            found = s->word[t] == word;
        a->n_unaligned_words += !found;
    }
}

static enum sonde_status label_sentence(struct aligner *a, struct sonde_label_writer *w,
                                        const struct sonde_corpus_item *item,
                                        struct sonde_error *error)
{
    const struct sonde_source *source = a->l->source;
    struct sentence *s = &a->s;
    s->n = 0;
    while (a->next_sequence < source->n_sequences &&
           source->sequences[a->next_sequence].source == item->ordinal) {
        enum sonde_status status = add_window(a, item, error);
        if (status)
            return status;
    }
    if (s->n == 0)
        return SONDE_STATUS_OK;
    sonde_corpus_align(item->words, item->n_words, item->text, s->begin, s->end, s->n, a->l->align,
                       s->word);
    for (int64_t t = 0; t < s->n; t++) {
        enum sonde_status status =
            s->word[t] >= 0 ? put_token(a, w, item, t, error) : SONDE_STATUS_OK;
        if (status)
            return status;
    }
    count_unaligned(a, item);
    return SONDE_STATUS_OK;
}

static enum sonde_status label_all(struct aligner *a, struct sonde_corpus *corpus,
                                   struct sonde_label_writer *w, struct sonde_error *error)
{
    const struct sonde_source *source = a->l->source;
    int64_t n_items = 0;
    while (a->next_sequence < source->n_sequences) {
        const struct sonde_corpus_item *item = NULL;
        enum sonde_status status = sonde_corpus_next(corpus, &item, error);
        if (status)
            return status;
        if (!item)
            return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                                   "%s: holds %lld sentences, but sequence %lld of run '%s' was "
                                   "recorded from sentence %lld",
                                   a->path, (long long)n_items, (long long)a->next_sequence,
                                   source->run_name,
                                   (long long)source->sequences[a->next_sequence].source + 1);
        n_items++;
        status = label_sentence(a, w, item, error);
        if (status)
            return status;
        if (!sonde_progress_update(&a->l->cli->progress, "label", a->next_sequence,
                                   source->n_sequences, "sequences"))
            return sonde_error_set(error, SONDE_STATUS_CANCELLED, "stopped");
    }
    return SONDE_STATUS_OK;
}

static void warn(const struct aligner *a)
{
    if (a->n_unaligned_words)
        sonde_result_warn(a->l->result,
                          "%lld words share their token with another word or were cut off, and "
                          "label nothing",
                          (long long)a->n_unaligned_words);
    if (a->n_far_heads)
        sonde_result_warn(a->l->result,
                          "%lld tokens have their head in another window or on a shared token, and "
                          "are masked",
                          (long long)a->n_far_heads);
}

enum sonde_status sonde_label_conllu(struct sonde_labelling *l, const char *path,
                                     const char *column, struct sonde_error *error)
{
    static const char *const align_names[] = { "last", "first", "all" };
    struct aligner a = { .l = l, .path = path, .column = column };
    bool head = strcmp(column, "head") == 0;
    if (l->kind == SONDE_LABEL_CHOICE_SPAN || (l->kind == SONDE_LABEL_CHOICE_PAIR && !head))
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "--kind: a CoNLL-U column is class or real; head is a pair");
    a.kind = l->kind == SONDE_LABEL_CHOICE_CLASS  ? SONDE_LABEL_CLASS
             : l->kind == SONDE_LABEL_CHOICE_REAL ? SONDE_LABEL_REAL
             : head                               ? SONDE_LABEL_PAIR
                                                  : SONDE_LABEL_CLASS;
    struct sonde_corpus *corpus = NULL;
    struct sonde_label_writer *w = NULL;
    struct sonde_buf origin = { 0 };
    /* The name is checked on a word of nothing, before the first sentence. */
    struct sonde_corpus_word word = { 0 };
    char value[8];
    bool present = false;
    for (int i = 0; i < 10; i++)
        word.field[i] = "_";
    enum sonde_status status =
        sonde_corpus_word_column(&word, column, value, sizeof(value), &present, error);
    if (!status)
        status = sonde_corpus_open(&corpus, path, SONDE_CORPUS_CONLLU, NULL, error);
    sonde_buf_printf(&origin, "conllu %s, column %s, align %s", path, column,
                     align_names[l->align]);
    if (!status)
        status = sonde_buf_status(&origin, error);
    if (!status)
        status = sonde_labelling_begin(l, a.kind, SONDE_ROWS_TOKEN, origin.data, &w, error);
    if (!status)
        status = label_all(&a, corpus, w, error);
    status = sonde_labelling_end(l, &w, status, error);
    if (!status)
        warn(&a);
    sonde_corpus_close(&corpus);
    sonde_buf_finish(&origin);
    free(a.s.begin);
    free(a.s.end);
    free(a.s.row);
    free(a.s.sequence);
    free(a.s.word);
    return status;
}
