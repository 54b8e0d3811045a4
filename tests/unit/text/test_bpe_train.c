/* Training of a vocabulary: against a slow second implementation that counts all pairs anew for
 * each merge, against Hugging Face's own example, and by what the reader makes of the result. */
#include "tests/support/check.h"

#include <string.h>

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/text/bpe_train.h"
#include "tests/unit/text/text_laws.h"

#define END "<|endoftext|>"

static const char *const end_only[] = { END };

/* The tokenizer.json of some texts; the report where it is asked for. */
static void train(const struct sonde_bpe_train_options *options, const char *const *texts,
                  int64_t n_texts, struct sonde_bpe_train_report *report, struct sonde_buf *json)
{
    struct sonde_bpe_trainer *trainer = NULL;
    struct sonde_error error = { 0 };

    check_ok(sonde_bpe_trainer_create(&trainer, options, &error), &error);
    for (int64_t i = 0; i < n_texts; i++)
        check_ok(sonde_bpe_trainer_add(trainer, texts[i], strlen(texts[i]), &error), &error);
    check_ok(sonde_bpe_trainer_run(trainer, NULL, report, &error), &error);
    check_ok(sonde_bpe_trainer_write(trainer, json, &error), &error);
    sonde_bpe_trainer_destroy(&trainer);
    assert_null(trainer);
}

static struct sonde_tokenizer *read_back(const struct sonde_buf *json)
{
    struct sonde_tokenizer *t = NULL;
    struct sonde_error error = { 0 };

    check_ok(sonde_tokenizer_parse(&t, json->data, json->size, "trained", &error), &error);
    return t;
}

static struct sonde_json *parse(const struct sonde_buf *json)
{
    struct sonde_json *root = NULL;
    struct sonde_error error = { 0 };

    check_ok(sonde_json_parse(&root, json->data, json->size, &error), &error);
    return root;
}

static const struct sonde_json *merges_of(const struct sonde_json *root)
{
    return sonde_json_get(sonde_json_get(root, "model"), "merges");
}

/* What the unit test of Hugging Face's BpeTrainer expects of these words: "re", "are", "is". */
static void published_example(void **state)
{
    (void)state;
    static const char *const words[] = { "roses", "are", "are", "red", "voilets", "blue", "BERT",
                                         "is",    "is",  "big", "and", "so",      "GPT-2" };
    static const char *const merges[] = { "r e", "a re", "i s" };
    struct sonde_bpe_train_options options = { .vocab_size = 30000, .min_frequency = 2 };
    struct sonde_bpe_train_report report;
    struct sonde_buf text = { 0 };

    train(&options, words, sizeof(words) / sizeof(words[0]), &report, &text);
    struct sonde_json *root = parse(&text);
    assert_int_equal(sonde_json_size(merges_of(root)), 3);
    for (int64_t i = 0; i < 3; i++)
        assert_string_equal(sonde_json_string(sonde_json_at(merges_of(root), i), ""), merges[i]);
    assert_true(report.exhausted);
    assert_int_equal(report.vocab_size, 259);
    assert_int_equal(report.n_texts, 13);
    /* "GPT-2" is GPT, -, 2 to the pre-tokenizer. */
    assert_int_equal(report.n_words, 15);
    assert_int_equal(report.n_different, 13);
    sonde_json_destroy(&root);
    sonde_buf_finish(&text);
}

/* The slow implementation: words as rows of ids, all pairs counted for each merge. */
#define SLOW_IDS 420
#define SLOW_WORDS 4096
#define SLOW_LENGTH 48
struct slow {
    char piece[SLOW_IDS][2 * SLOW_LENGTH];
    int n_ids;
    int word[SLOW_WORDS][SLOW_LENGTH], length[SLOW_WORDS], n_words;
    int64_t pairs[SLOW_IDS][SLOW_IDS];
    char merges[SLOW_IDS][4 * SLOW_LENGTH];
    int n_merges;
};

static bool prints_as_itself(int byte)
{
    return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
}

static void slow_add_byte(struct slow *s, int code)
{
    if (code < 128)
        snprintf(s->piece[s->n_ids++], 8, "%c", code);
    else
        snprintf(s->piece[s->n_ids++], 8, "%c%c", 0xC0 | code >> 6, 0x80 | (code & 63));
}

/* Bytes that print as themselves come first, then the others as U+0100 up. */
static void slow_begin(struct slow *s)
{
    memset(s, 0, sizeof(*s));
    snprintf(s->piece[s->n_ids++], sizeof(s->piece[0]), "%s", END);
    for (int byte = 0; byte < 256; byte++)
        if (prints_as_itself(byte))
            slow_add_byte(s, byte);
    for (int byte = 0, code = 256; byte < 256; byte++)
        if (!prints_as_itself(byte))
            slow_add_byte(s, code++);
    assert_int_equal(s->n_ids, 257);
}

static int slow_find(const struct slow *s, const char *text)
{
    for (int id = 0; id < s->n_ids; id++)
        if (strcmp(s->piece[id], text) == 0)
            return id;
    return -1;
}

/* Text of letters and single blanks that stand before a letter: a blank begins a word. */
static void slow_add(struct slow *s, const char *text)
{
    for (const char *c = text; *c; c++) {
        char letter[2] = { *c, 0 };
        if (c == text || *c == ' ')
            s->n_words++;
        assert_true(s->n_words <= SLOW_WORDS && s->length[s->n_words - 1] < SLOW_LENGTH);
        s->word[s->n_words - 1][s->length[s->n_words - 1]++] =
            slow_find(s, *c == ' ' ? "\xC4\xA0" : letter);
    }
}

static bool slow_step(struct slow *s, int64_t min_frequency)
{
    int best_left = -1, best_right = -1;
    int64_t best = min_frequency - 1;
    char joined[4 * SLOW_LENGTH];

    memset(s->pairs, 0, sizeof(s->pairs));
    for (int w = 0; w < s->n_words; w++)
        for (int i = 0; i + 1 < s->length[w]; i++)
            s->pairs[s->word[w][i]][s->word[w][i + 1]]++;
    for (int left = 0; left < s->n_ids; left++)
        for (int right = 0; right < s->n_ids; right++)
            if (s->pairs[left][right] > best) {
                best = s->pairs[left][right];
                best_left = left;
                best_right = right;
            }
    if (best_left < 0)
        return false;
    snprintf(joined, sizeof(joined), "%s %s", s->piece[best_left], s->piece[best_right]);
    bool listed = false;
    for (int i = 0; i < s->n_merges; i++)
        listed = listed || strcmp(s->merges[i], joined) == 0;
    if (!listed)
        strcpy(s->merges[s->n_merges++], joined);
    snprintf(joined, sizeof(joined), "%s%s", s->piece[best_left], s->piece[best_right]);
    int id = slow_find(s, joined);
    if (id < 0) {
        id = s->n_ids++;
        assert_true(strlen(joined) < sizeof(s->piece[id]));
        strcpy(s->piece[id], joined);
    }
    for (int w = 0; w < s->n_words; w++) {
        int n = 0;
        for (int i = 0; i < s->length[w]; i++) {
            bool here = i + 1 < s->length[w] && s->word[w][i] == best_left &&
                        s->word[w][i + 1] == best_right;
            s->word[w][n++] = here ? id : s->word[w][i];
            i += here;
        }
        s->length[w] = n;
    }
    return true;
}

/* Few letters make runs ("aaaa") and many equal counts; many letters make long words' pieces. */
static void random_text(struct sonde_rng *rng, int64_t n_letters, char *out, int64_t n_words)
{
    size_t n = 0;

    for (int64_t w = 0; w < n_words; w++) {
        int64_t length = 1 + sonde_rng_below(rng, sonde_rng_below(rng, 8) ? 6 : 30);
        if (w > 0)
            out[n++] = ' ';
        for (int64_t i = 0; i < length; i++)
            out[n++] = (char)('a' + sonde_rng_below(rng, n_letters));
    }
    out[n] = '\0';
}

static void as_the_slow_implementation(void **state)
{
    (void)state;
    static const int64_t n_letters[] = { 1, 2, 3, 5, 26 }, frequency[] = { 1, 2, 7 };
    struct slow *slow = malloc(sizeof(*slow));
    char *text = malloc(40000);
    const char *texts[8];

    for (uint64_t seed = 0; seed < 15; seed++) {
        struct sonde_rng rng = sonde_rng_make(7, seed);
        struct sonde_bpe_train_options options = {
            .vocab_size = seed < 10 ? 257 + 16 + (int64_t)seed : 340,
            .min_frequency = frequency[seed % 3],
            .special = end_only,
            .n_special = 1,
        };
        struct sonde_bpe_train_report report;
        struct sonde_buf json = { 0 };
        slow_begin(slow);
        for (int64_t i = 0; i < 8; i++) {
            random_text(&rng, n_letters[seed % 5], text + i * 5000, 60);
            texts[i] = text + i * 5000;
            slow_add(slow, texts[i]);
        }
        train(&options, texts, 8, &report, &json);
        struct sonde_json *root = parse(&json);
        while (slow->n_ids < options.vocab_size && slow_step(slow, options.min_frequency))
            ;
        assert_int_equal(sonde_json_size(merges_of(root)), slow->n_merges);
        for (int i = 0; i < slow->n_merges; i++)
            assert_string_equal(sonde_json_string(sonde_json_at(merges_of(root), i), ""),
                                slow->merges[i]);
        assert_int_equal(report.vocab_size, slow->n_ids);
        assert_true(report.exhausted == (slow->n_ids < options.vocab_size));
        const struct sonde_json *vocab = sonde_json_get(sonde_json_get(root, "model"), "vocab");
        assert_int_equal(sonde_json_size(vocab), slow->n_ids);
        for (int id = 0; id < slow->n_ids; id++)
            assert_int_equal(sonde_json_integer(sonde_json_get(vocab, slow->piece[id]), -1), id);
        int64_t n_tokens = 0;
        for (int w = 0; w < slow->n_words; w++)
            n_tokens += slow->length[w];
        assert_int_equal(report.n_tokens, n_tokens);
        sonde_json_destroy(&root);
        sonde_buf_finish(&json);
    }
    free(text);
    free(slow);
}

static void order_of_texts_is_no_matter(void **state)
{
    (void)state;
    static const char *const there[] = { "one fish two fish", "red fish", "a fish is red", "two" };
    static const char *const back[] = { "two", "a fish is red", "red fish", "one fish two fish" };
    struct sonde_bpe_train_options options = { .vocab_size = 275, .min_frequency = 1 };
    struct sonde_buf a = { 0 }, b = { 0 };

    train(&options, there, 4, NULL, &a);
    train(&options, back, 4, NULL, &b);
    assert_int_equal(a.size, b.size);
    assert_memory_equal(a.data, b.data, a.size);
    sonde_buf_finish(&a);
    sonde_buf_finish(&b);
}

static int64_t count_tokens(const struct sonde_tokenizer *t, const char *text, size_t n,
                            bool *used /* [size], or NULL */)
{
    struct sonde_encoding encoding = { 0 };
    struct sonde_error error = { 0 };

    check_ok(sonde_tokenizer_encode(t, text, n, SONDE_BOS_NEVER, &encoding, &error), &error);
    int64_t count = encoding.n;
    for (int64_t k = 0; used && k < encoding.n; k++)
        used[encoding.tokens[k].id] = true;
    sonde_encoding_finish(&encoding);
    return count;
}

/* The reader cuts the texts into as many tokens as the trainer left, and each new piece's own bytes
 * give the piece. */
static void the_reader_uses_every_merge(void **state)
{
    (void)state;
    struct sonde_rng rng = sonde_rng_make(11, 0);
    struct sonde_bpe_train_options options = {
        .vocab_size = 600, .min_frequency = 2, .special = end_only, .n_special = 1, .bos = END
    };
    struct sonde_bpe_train_report report;
    struct sonde_error error = { 0 };
    struct sonde_buf json = { 0 }, text = { 0 };
    char(*texts)[5000] = malloc(40 * sizeof(*texts));
    const char *list[40];

    for (int64_t i = 0; i < 40; i++) {
        random_text(&rng, 9, texts[i], 100);
        list[i] = texts[i];
    }
    train(&options, list, 40, &report, &json);
    struct sonde_tokenizer *t = read_back(&json);
    assert_int_equal(sonde_tokenizer_size(t), 600);
    assert_int_equal(sonde_tokenizer_bos(t), 0);
    assert_true(sonde_tokenizer_is_special(t, 0));
    assert_false(report.exhausted);
    assert_int_equal(report.n_merges, 600 - 257);
    int64_t n_tokens = 0;
    for (int64_t i = 0; i < 40; i++)
        n_tokens += count_tokens(t, texts[i], strlen(texts[i]), NULL);
    assert_int_equal(n_tokens, report.n_tokens);
    for (int32_t id = 257; id < 600; id++) {
        sonde_buf_clear(&text);
        bool used[600] = { false };
        check_ok(sonde_tokenizer_decode(t, &id, 1, false, &text, &error), &error);
        assert_int_equal(count_tokens(t, text.data, text.size, used), 1);
        assert_true(used[id]);
    }
    sonde_buf_finish(&text);
    sonde_buf_finish(&json);
    sonde_tokenizer_close(&t);
    free(texts);
}

/* Anything can be encoded and comes back, also what was never seen in training; texts are any
 * bytes. */
static void hostile_texts_come_back(void **state)
{
    (void)state;
    struct sonde_bpe_train_options options = {
        .vocab_size = 700, .min_frequency = 2, .special = end_only, .n_special = 1, .bos = END
    };
    struct sonde_rng rng = sonde_rng_make(13, 0);
    struct sonde_bpe_trainer *trainer = NULL;
    struct sonde_error error = { 0 };
    struct sonde_buf json = { 0 }, decoded = { 0 }, wanted = { 0 };
    char text[40 * 60];

    check_ok(sonde_bpe_trainer_create(&trainer, &options, &error), &error);
    for (int i = 0; i < 300; i++) {
        size_t n = hostile_text(&rng, text, 60);
        check_ok(sonde_bpe_trainer_add(trainer, text, n, &error), &error);
    }
    check_ok(sonde_bpe_trainer_run(trainer, NULL, NULL, &error), &error);
    check_ok(sonde_bpe_trainer_write(trainer, &json, &error), &error);
    sonde_bpe_trainer_destroy(&trainer);
    struct sonde_tokenizer *t = read_back(&json);
    for (int i = 0; i < 400; i++) {
        struct sonde_encoding encoding = { 0 };
        size_t n = hostile_text(&rng, text, 60);
        check_ok(sonde_tokenizer_encode(t, text, n, SONDE_BOS_AUTO, &encoding, &error), &error);
        assert_int_equal(encoding.tokens[0].id, 0);
        check_spans(&encoding, text, n);
        sonde_buf_clear(&decoded);
        sonde_buf_clear(&wanted);
        decode_all(t, &encoding, true, &decoded);
        assert_true(sonde_utf8_append_lossy(&wanted, text, n));
        assert_int_equal(decoded.size, wanted.size);
        if (wanted.size)
            assert_memory_equal(decoded.data, wanted.data, wanted.size);
        sonde_encoding_finish(&encoding);
    }
    sonde_buf_finish(&json);
    sonde_buf_finish(&decoded);
    sonde_buf_finish(&wanted);
    sonde_tokenizer_close(&t);
}

/* Every text of a real corpus comes back, and every merge is used somewhere. */
static void a_real_text(void **state)
{
    (void)state;
    char path[4096];
    check_shared(path, "data/text/tinyshakespeare.txt");
    struct sonde_bpe_train_options options = { .vocab_size = 2048, .min_frequency = 2 };
    struct sonde_bpe_train_report report;
    struct sonde_bpe_trainer *trainer = NULL;
    struct sonde_error error = { 0 };
    struct sonde_buf json = { 0 }, text = { 0 };
    bool *used = calloc(2048, sizeof(*used));

    check_ok(sonde_file_load(path, 1 << 24, &text, &error), &error);
    check_ok(sonde_bpe_trainer_create(&trainer, &options, &error), &error);
    check_ok(sonde_bpe_trainer_add(trainer, text.data, text.size, &error), &error);
    check_ok(sonde_bpe_trainer_run(trainer, NULL, &report, &error), &error);
    check_ok(sonde_bpe_trainer_write(trainer, &json, &error), &error);
    sonde_bpe_trainer_destroy(&trainer);
    struct sonde_tokenizer *t = read_back(&json);
    assert_int_equal(count_tokens(t, text.data, text.size, used), report.n_tokens);
    assert_int_equal(report.n_bytes, text.size);
    int64_t n_unused = 0;
    for (int32_t id = 256; id < 2048; id++) {
        struct sonde_buf piece = { 0 };
        check_ok(sonde_tokenizer_decode(t, &id, 1, false, &piece, &error), &error);
        assert_int_equal(count_tokens(t, piece.data, piece.size, used), 1);
        n_unused += !used[id];
        sonde_buf_finish(&piece);
    }
    assert_int_equal(n_unused, 0);
    free(used);
    sonde_buf_finish(&json);
    sonde_buf_finish(&text);
    sonde_tokenizer_close(&t);
}

/* A special token is never made by merging: its id has no text where special tokens are left out.
 */
static void special_tokens_are_not_merged(void **state)
{
    (void)state;
    static const char *const texts[] = { "aba aba aba aba", "ab ab" };
    static const char *const special[] = { "ab", "\xC4\xA0\x61" };
    struct sonde_bpe_train_options options = {
        .vocab_size = 262, .min_frequency = 1, .special = special, .n_special = 2
    };
    struct sonde_buf json = { 0 };

    train(&options, texts, 2, NULL, &json);
    struct sonde_json *root = parse(&json);
    static const char *const merges[] = { "b a", "a ba", "\xC4\xA0 aba" };
    assert_int_equal(sonde_json_size(merges_of(root)), 3);
    for (int64_t i = 0; i < 3; i++)
        assert_string_equal(sonde_json_string(sonde_json_at(merges_of(root), i), ""), merges[i]);
    struct sonde_tokenizer *t = read_back(&json);
    assert_int_equal(sonde_tokenizer_size(t), 261);
    assert_int_equal(sonde_tokenizer_id(t, "ab"), 0);
    sonde_tokenizer_close(&t);
    sonde_json_destroy(&root);
    sonde_buf_finish(&json);
}

/* A run of one letter: symbols double up to the longest piece that the reader takes. */
static void long_words_stop_at_the_longest_piece(void **state)
{
    (void)state;
    size_t n = 300000;
    char *text = malloc(n + 1);
    const char *texts[] = { text };
    struct sonde_bpe_train_options options = { .vocab_size = 400, .min_frequency = 2 };
    struct sonde_bpe_train_report report;
    struct sonde_buf json = { 0 };

    memset(text, 'a', n);
    text[n] = '\0';
    train(&options, texts, 1, &report, &json);
    struct sonde_tokenizer *t = read_back(&json);
    /* 2, 4, .. 65536 letters: 300000 = 4 x 65536 + 37856. */
    assert_int_equal(report.n_merges, 16);
    assert_true(report.exhausted);
    assert_int_equal(report.n_tokens, count_tokens(t, text, n, NULL));
    sonde_tokenizer_close(&t);
    sonde_buf_finish(&json);
    free(text);
}

struct refusal {
    struct sonde_bpe_train_options options;
    const char *message;
};

static void what_is_refused(void **state)
{
    (void)state;
    static const char *const empty[] = { "" }, *const twice[] = { "<a>", "<a>" };
    static const char *const letter[] = { "\xC4\xA0" }, *const bytes[] = { "<\xFF>" };
    static const struct refusal refusals[] = {
        { { .vocab_size = 255 },
          "a vocabulary of 255, expected 256 (256 bytes and 0 special tokens) to 1048576" },
        { { .vocab_size = 256, .special = end_only, .n_special = 1 },
          "a vocabulary of 256, expected 257 (256 bytes and 1 special tokens) to 1048576" },
        { { .vocab_size = 1048577 },
          "a vocabulary of 1048577, expected 256 (256 bytes and 0 special tokens) to 1048576" },
        { { .min_frequency = -1 }, "a least frequency of -1, expected 1 or more" },
        { { .special = end_only, .n_special = 257 }, "257 special tokens, expected at most 256" },
        { { .special = empty, .n_special = 1 },
          "special token \"\": expected UTF-8 text of 1 to 512 bytes" },
        { { .special = bytes, .n_special = 1 },
          "special token \"<?>\": expected UTF-8 text of 1 to 512 bytes" },
        { { .special = twice, .n_special = 2 }, "special token \"<a>\" is given twice" },
        { { .special = letter, .n_special = 1 },
          "special token \"\xC4\xA0\" is a character of the byte-level alphabet" },
        { { .bos = END }, "\"" END "\" is to stand before every text and is no special token" },
    };

    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        struct sonde_bpe_trainer *trainer = NULL;
        struct sonde_error error = { 0 };
        assert_int_equal(sonde_bpe_trainer_create(&trainer, &refusals[i].options, &error),
                         SONDE_STATUS_ARGUMENT);
        assert_null(trainer);
        assert_string_equal(error.text, refusals[i].message);
    }
}

static bool stop(void *ctx, const char *what, int64_t done, int64_t total, const char *unit)
{
    (void)total, (void)unit;
    return strcmp(what, ctx) != 0 || done < (strcmp(what, "merges") == 0 ? 5 : 0);
}

static void nothing_to_learn_and_interrupted(void **state)
{
    (void)state;
    static char pairs[] = "pairs", merges[] = "merges";
    const char *text = "so many words that are so alike that they are merged and merged again";
    char *const when[] = { NULL, pairs, merges };

    for (int i = 0; i < 3; i++) {
        struct sonde_progress progress = { .ctx = when[i], .update = when[i] ? stop : NULL };
        struct sonde_bpe_trainer *trainer = NULL;
        struct sonde_error error = { 0 };
        struct sonde_bpe_train_report report = { .n_texts = -1 };
        check_ok(sonde_bpe_trainer_create(&trainer, NULL, &error), &error);
        check_ok(sonde_bpe_trainer_add(trainer, text, when[i] ? strlen(text) : 0, &error), &error);
        enum sonde_status status = sonde_bpe_trainer_run(trainer, &progress, &report, &error);
        assert_int_equal(status, when[i] ? SONDE_STATUS_CANCELLED : SONDE_STATUS_ARGUMENT);
        assert_string_equal(error.text,
                            when[i] ? "stopped" : "no text to learn from: 1 texts without a word");
        assert_int_equal(report.n_texts, -1);
        sonde_bpe_trainer_destroy(&trainer);
    }
    struct sonde_bpe_trainer *none = NULL;
    sonde_bpe_trainer_destroy(&none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_example),
        cmocka_unit_test(as_the_slow_implementation),
        cmocka_unit_test(order_of_texts_is_no_matter),
        cmocka_unit_test(the_reader_uses_every_merge),
        cmocka_unit_test(hostile_texts_come_back),
        cmocka_unit_test(a_real_text),
        cmocka_unit_test(special_tokens_are_not_merged),
        cmocka_unit_test(long_words_stop_at_the_longest_piece),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(nothing_to_learn_and_interrupted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
