#include "core/text/bpe_train.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/arena.h"
#include "core/base/json.h"
#include "core/text/bpe_learn.h"
#include "core/text/tokenizer_internal.h"

#define DEFAULT_VOCAB 2048
#define DEFAULT_FREQUENCY 2
#define BLOCK_BYTES 65536 /* words are copied into blocks of this size */

struct sonde_bpe_trainer {
    int64_t vocab_size, min_frequency;
    int32_t bos; /* -1: none */
    struct sonde_vocab vocab;
    int32_t byte_ids[256];
    struct sonde_arena *arena; /* the words' bytes */
    char *block;
    size_t block_left;
    struct sonde_bytes_map map; /* a word's bytes -> its number */
    struct sonde_counted_word *words;
    int64_t n_different, capacity;
    struct sonde_pattern *pattern;
    struct sonde_pattern_scratch *scratch;
    struct sonde_buf clean;
    int64_t n_texts, n_bytes, n_words, n_symbols;
    struct sonde_learned_merges merges;
};

static enum sonde_status add_special(struct sonde_vocab *vocab, const char *text,
                                     struct sonde_error *error)
{
    char show[SONDE_SHOW_BYTES];
    size_t n = strlen(text);
    int32_t code;

    if (n == 0 || n > SONDE_TOKENIZER_MAX_ADDED_BYTES || !sonde_utf8_valid(text, n))
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "special token \"%s\": expected UTF-8 text of 1 to %d bytes",
                               sonde_text_show(show, text, n), SONDE_TOKENIZER_MAX_ADDED_BYTES);
    if (sonde_utf8_next(text, n, &code) == n && sonde_byte_level_byte(code) >= 0)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "special token \"%s\" is a character of the byte-level alphabet",
                               sonde_text_show(show, text, n));
    if (sonde_vocab_find(vocab, text, n) >= 0)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT, "special token \"%s\" is given twice",
                               sonde_text_show(show, text, n));
    return sonde_vocab_add(vocab, text, n, vocab->n, SONDE_PIECE_SPECIAL, false, error);
}

static enum sonde_status add_alphabet(struct sonde_bpe_trainer *trainer, struct sonde_error *error)
{
    /* The last of the alphabet's characters is U+0143. */
    for (int32_t code = 0; code <= 0x143; code++) {
        char text[4];
        int byte = sonde_byte_level_byte(code);
        if (byte < 0)
            continue;
        trainer->byte_ids[byte] = (int32_t)trainer->vocab.n;
        enum sonde_status status =
            sonde_vocab_add(&trainer->vocab, text, sonde_utf8_put(text, code), trainer->vocab.n,
                            SONDE_PIECE_MODEL, false, error);
        if (status)
            return status;
    }
    return SONDE_STATUS_OK;
}

static enum sonde_status check_options(const struct sonde_bpe_train_options *options,
                                       int64_t vocab_size, int64_t min_frequency,
                                       struct sonde_error *error)
{
    if (options->n_special < 0 || options->n_special > SONDE_BPE_TRAIN_MAX_SPECIAL)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "%lld special tokens, expected at most %d",
                               (long long)options->n_special, SONDE_BPE_TRAIN_MAX_SPECIAL);
    if (vocab_size < 256 + options->n_special || vocab_size > SONDE_BPE_TRAIN_MAX_VOCAB)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "a vocabulary of %lld, expected %lld (256 bytes and %lld special "
                               "tokens) to %lld",
                               (long long)vocab_size, (long long)(256 + options->n_special),
                               (long long)options->n_special, (long long)SONDE_BPE_TRAIN_MAX_VOCAB);
    if (min_frequency < 1)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "a least frequency of %lld, expected 1 or more",
                               (long long)min_frequency);
    return SONDE_STATUS_OK;
}

static enum sonde_status fill_trainer(struct sonde_bpe_trainer *trainer,
                                      const struct sonde_bpe_train_options *options,
                                      struct sonde_error *error)
{
    char show[SONDE_SHOW_BYTES];
    enum sonde_status status = sonde_vocab_init(&trainer->vocab, error);

    for (int64_t i = 0; !status && i < options->n_special; i++)
        status = add_special(&trainer->vocab, options->special[i], error);
    if (status)
        return status;
    trainer->bos = -1;
    if (options->bos) {
        trainer->bos = sonde_vocab_find(&trainer->vocab, options->bos, strlen(options->bos));
        if (trainer->bos < 0)
            return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                                   "\"%s\" is to stand before every text and is no special token",
                                   sonde_text_show(show, options->bos, strlen(options->bos)));
    }
    status = add_alphabet(trainer, error);
    if (!status)
        status = sonde_pattern_create(&trainer->pattern, "gpt2", error);
    if (!status)
        status = sonde_pattern_scratch_create(&trainer->scratch, error);
    if (!status) {
        trainer->arena = sonde_arena_create(0);
        status = trainer->arena ? SONDE_STATUS_OK : sonde_error_memory(error, "a trainer");
    }
    return status;
}

enum sonde_status sonde_bpe_trainer_create(struct sonde_bpe_trainer **out,
                                           const struct sonde_bpe_train_options *options,
                                           struct sonde_error *error)
{
    static const struct sonde_bpe_train_options none = { 0 };

    if (!options)
        options = &none;
    int64_t vocab_size = options->vocab_size ? options->vocab_size : DEFAULT_VOCAB;
    int64_t min_frequency = options->min_frequency ? options->min_frequency : DEFAULT_FREQUENCY;
    enum sonde_status status = check_options(options, vocab_size, min_frequency, error);
    if (status)
        return status;
    struct sonde_bpe_trainer *trainer = calloc(1, sizeof(*trainer));
    if (!trainer)
        return sonde_error_memory(error, "a trainer");
    trainer->vocab_size = vocab_size;
    trainer->min_frequency = min_frequency;
    status = fill_trainer(trainer, options, error);
    if (status)
        sonde_bpe_trainer_destroy(&trainer);
    else
        *out = trainer;
    return status;
}

void sonde_bpe_trainer_destroy(struct sonde_bpe_trainer **trainer)
{
    struct sonde_bpe_trainer *t = *trainer;

    if (!t)
        return;
    sonde_vocab_finish(&t->vocab);
    sonde_bytes_map_finish(&t->map);
    free(t->words);
    sonde_pattern_scratch_destroy(&t->scratch);
    sonde_pattern_destroy(&t->pattern);
    sonde_buf_finish(&t->clean);
    free(t->merges.merge);
    sonde_arena_destroy(&t->arena);
    free(t);
    *trainer = NULL;
}

/* A copy that lives as long as the trainer. Small ones share blocks: most words have few bytes. */
static char *keep(struct sonde_bpe_trainer *trainer, const char *text, size_t n)
{
    if (n > trainer->block_left) {
        size_t size = n > BLOCK_BYTES / 4 ? n : BLOCK_BYTES;
        char *block = sonde_arena_alloc(trainer->arena, (int64_t)size, 1);
        if (!block)
            return NULL;
        if (size == n) {
            memcpy(block, text, n);
            return block;
        }
        trainer->block = block;
        trainer->block_left = size;
    }
    char *copy = trainer->block;
    memcpy(copy, text, n);
    trainer->block += n;
    trainer->block_left -= n;
    return copy;
}

static enum sonde_status add_word(struct sonde_bpe_trainer *trainer, const char *text, size_t n,
                                  struct sonde_error *error)
{
    int32_t known = sonde_bytes_map_get(&trainer->map, text, n);

    trainer->n_words++;
    if (known >= 0) {
        trainer->words[known].count++;
        return SONDE_STATUS_OK;
    }
    if ((int64_t)n > SONDE_BPE_TRAIN_MAX_SYMBOLS - trainer->n_symbols)
        return sonde_error_set(error, SONDE_STATUS_LIMIT,
                               "the different words have more than %lld bytes together",
                               (long long)SONDE_BPE_TRAIN_MAX_SYMBOLS);
    void *items = trainer->words;
    if (!sonde_grow(&items, &trainer->capacity, trainer->n_different + 1, sizeof(*trainer->words),
                    SONDE_BPE_TRAIN_MAX_SYMBOLS))
        return sonde_error_memory(error, "the words of the texts");
    trainer->words = items;
    char *copy = keep(trainer, text, n);
    if (!copy || !sonde_bytes_map_put(&trainer->map, copy, n, (int32_t)trainer->n_different))
        return sonde_error_memory(error, "the words of the texts");
    trainer->words[trainer->n_different++] =
        (struct sonde_counted_word){ .text = copy, .n = (uint32_t)n, .count = 1 };
    trainer->n_symbols += (int64_t)n;
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_bpe_trainer_add(struct sonde_bpe_trainer *trainer, const char *text,
                                        size_t n, struct sonde_error *error)
{
    enum sonde_status status = SONDE_STATUS_OK;
    size_t from = 0;

    trainer->n_texts++;
    trainer->n_bytes += (int64_t)n;
    if (!sonde_utf8_valid(text, n)) {
        sonde_buf_clear(&trainer->clean);
        if (!sonde_utf8_append_lossy(&trainer->clean, text, n))
            return sonde_buf_status(&trainer->clean, error);
        text = trainer->clean.data;
        n = trainer->clean.size;
    }
    while (!status && from < n) {
        size_t begin, end;
        status = sonde_pattern_find(trainer->pattern, trainer->scratch, text, n, from, &begin, &end,
                                    error);
        /* What lies between two matches is a word, too, as in encode. */
        if (!status && begin > from)
            status = add_word(trainer, text + from, begin - from, error);
        if (!status && end > begin)
            status = add_word(trainer, text + begin, end - begin, error);
        from = end;
    }
    return status;
}

enum sonde_status sonde_bpe_trainer_run(struct sonde_bpe_trainer *trainer,
                                        const struct sonde_progress *progress,
                                        struct sonde_bpe_train_report *report,
                                        struct sonde_error *error)
{
    if (trainer->n_words == 0)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "no text to learn from: %lld texts without a word",
                               (long long)trainer->n_texts);
    enum sonde_status status = sonde_bpe_learn(
        &trainer->merges, &trainer->vocab, trainer->byte_ids, trainer->words, trainer->n_different,
        trainer->vocab_size, trainer->min_frequency, progress, error);
    if (status || !report)
        return status;
    *report = (struct sonde_bpe_train_report){
        .n_texts = trainer->n_texts,
        .n_bytes = trainer->n_bytes,
        .n_words = trainer->n_words,
        .n_different = trainer->n_different,
        .vocab_size = trainer->vocab.n,
        .n_merges = trainer->merges.n,
        .n_tokens = trainer->merges.n_tokens,
        .exhausted = trainer->merges.exhausted,
    };
    return SONDE_STATUS_OK;
}

static void write_added_tokens(const struct sonde_vocab *vocab, struct sonde_json_writer *w)
{
    sonde_json_begin_array(w, "added_tokens");
    for (int64_t id = 0; id < vocab->n && vocab->pieces[id].flags & SONDE_PIECE_SPECIAL; id++) {
        sonde_json_begin_object(w, NULL);
        sonde_json_put_i64(w, "id", id);
        sonde_json_put_string_n(w, "content", vocab->pieces[id].text, vocab->pieces[id].n);
        sonde_json_put_bool(w, "single_word", false);
        sonde_json_put_bool(w, "lstrip", false);
        sonde_json_put_bool(w, "rstrip", false);
        sonde_json_put_bool(w, "normalized", false);
        sonde_json_put_bool(w, "special", true);
        sonde_json_end_object(w);
    }
    sonde_json_end_array(w);
}

static void write_byte_level(struct sonde_json_writer *w, const char *key)
{
    sonde_json_begin_object(w, key);
    sonde_json_put_string(w, "type", "ByteLevel");
    sonde_json_put_bool(w, "add_prefix_space", false);
    sonde_json_put_bool(w, "trim_offsets", true);
    sonde_json_put_bool(w, "use_regex", true);
    sonde_json_end_object(w);
}

/* One item of a template: {"SpecialToken": {"id": .., "type_id": 0}}. */
static void write_template_item(struct sonde_json_writer *w, const char *kind, const char *name)
{
    sonde_json_begin_object(w, NULL);
    sonde_json_begin_object(w, kind);
    sonde_json_put_string(w, "id", name);
    sonde_json_put_i64(w, "type_id", 0);
    sonde_json_end_object(w);
    sonde_json_end_object(w);
}

/* BOS before every text, and before the second of two. */
static void write_template(const struct sonde_bpe_trainer *trainer, struct sonde_json_writer *w)
{
    const char *bos = trainer->vocab.pieces[trainer->bos].text;

    sonde_json_begin_object(w, "post_processor");
    sonde_json_put_string(w, "type", "TemplateProcessing");
    sonde_json_begin_array(w, "single");
    write_template_item(w, "SpecialToken", bos);
    write_template_item(w, "Sequence", "A");
    sonde_json_end_array(w);
    sonde_json_begin_array(w, "pair");
    write_template_item(w, "SpecialToken", bos);
    write_template_item(w, "Sequence", "A");
    write_template_item(w, "SpecialToken", bos);
    write_template_item(w, "Sequence", "B");
    sonde_json_end_array(w);
    sonde_json_begin_object(w, "special_tokens");
    sonde_json_begin_object(w, bos);
    sonde_json_put_string(w, "id", bos);
    sonde_json_begin_array(w, "ids");
    sonde_json_put_i64(w, NULL, trainer->bos);
    sonde_json_end_array(w);
    sonde_json_begin_array(w, "tokens");
    sonde_json_put_string(w, NULL, bos);
    sonde_json_end_array(w);
    sonde_json_end_object(w);
    sonde_json_end_object(w);
    sonde_json_end_object(w);
}

/* text: scratch; it fails where a merge could not be written. */
static void write_model(const struct sonde_bpe_trainer *trainer, struct sonde_json_writer *w,
                        struct sonde_buf *text)
{
    const struct sonde_vocab *vocab = &trainer->vocab;

    sonde_json_begin_object(w, "model");
    sonde_json_put_string(w, "type", "BPE");
    sonde_json_put_null(w, "dropout");
    sonde_json_put_null(w, "unk_token");
    sonde_json_put_null(w, "continuing_subword_prefix");
    sonde_json_put_null(w, "end_of_word_suffix");
    sonde_json_put_bool(w, "fuse_unk", false);
    sonde_json_put_bool(w, "byte_fallback", false);
    sonde_json_put_bool(w, "ignore_merges", false);
    sonde_json_begin_object(w, "vocab");
    for (int64_t id = 0; id < vocab->n; id++)
        sonde_json_put_i64(w, vocab->pieces[id].text, id);
    sonde_json_end_object(w);
    sonde_json_begin_array(w, "merges");
    for (int64_t i = 0; !text->failed && i < trainer->merges.n; i++) {
        sonde_buf_clear(text);
        sonde_buf_puts(text, vocab->pieces[trainer->merges.merge[i].left].text);
        sonde_buf_putc(text, ' ');
        sonde_buf_puts(text, vocab->pieces[trainer->merges.merge[i].right].text);
        if (!text->failed)
            sonde_json_put_string_n(w, NULL, text->data, text->size);
    }
    sonde_json_end_array(w);
    sonde_json_end_object(w);
}

enum sonde_status sonde_bpe_trainer_write(const struct sonde_bpe_trainer *trainer,
                                          struct sonde_buf *out, struct sonde_error *error)
{
    struct sonde_json_writer w = { .out = out, .indent = 1 };
    struct sonde_buf text = { 0 };

    sonde_json_begin_object(&w, NULL);
    sonde_json_put_string(&w, "version", "1.0");
    sonde_json_put_null(&w, "truncation");
    sonde_json_put_null(&w, "padding");
    write_added_tokens(&trainer->vocab, &w);
    sonde_json_put_null(&w, "normalizer");
    write_byte_level(&w, "pre_tokenizer");
    if (trainer->bos >= 0)
        write_template(trainer, &w);
    else
        sonde_json_put_null(&w, "post_processor");
    write_byte_level(&w, "decoder");
    write_model(trainer, &w, &text);
    sonde_json_end_object(&w);
    sonde_buf_putc(out, '\n');
    enum sonde_status status =
        text.failed ? sonde_buf_status(&text, error) : sonde_buf_status(out, error);
    sonde_buf_finish(&text);
    return status;
}
