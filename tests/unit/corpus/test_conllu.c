/* CoNLL-U: sentences, spans and columns; alignment of words with tokens, on made and on real data.
 */
#include <unistd.h>

#include "core/text/tokenizer.h"
#include "tests/unit/corpus/corpus_files.h"

#define REST "\t_\t_\t_\t_\t_\t_\t_\t_\n"
#define ROW(id, form) id "\t" form REST
#define ROW_MISC(id, form, misc) id "\t" form "\t_\t_\t_\t_\t_\t_\t_\t" misc "\n"

struct sentence_case {
    const char *name, *data;
    const char *text;  /* of the first sentence; NULL: refused */
    const char *words; /* form[begin,end) of each */
    const char *message;
};

static const struct sentence_case sentence_cases[] = {
    { "text is given", "# text = Ho  ho!\n" ROW("1", "Ho") ROW("2", "ho") ROW("3", "!"), "Ho  ho!",
      "Ho[0,2) ho[4,6) ![6,7)", NULL },
    { "forms are joined", ROW("1", "Ho") ROW_MISC("2", "ho", "A=b|SpaceAfter=No") ROW("3", "!"),
      "Ho ho!", "Ho[0,2) ho[3,5) ![5,6)", NULL },
    { "parts of a multi-word token",
      "# text = What's it\n" ROW("1-2", "What's") ROW("1", "What") ROW("2", "'s") ROW("3", "it"),
      "What's it", "What[0,4) 's[4,6) it[7,9)", NULL },
    { "words that are not its parts",
      "# text = au lait\n" ROW("1-2", "au") ROW("1", "\xC3\xA0") ROW("2", "le") ROW("3", "lait"),
      "au lait", "\xC3\xA0[0,2) le[0,2) lait[3,7)", NULL },
    { "a multi-word token is joined once",
      ROW_MISC("1-2", "dont", "SpaceAfter=No") ROW("1", "do") ROW("2", "nt") ROW("3", "."), "dont.",
      "do[0,2) nt[2,4) .[4,5)", NULL },
    { "empty nodes are left out", ROW("0.1", "E") ROW("1", "a") ROW("1.1", "E") ROW("2", "b"),
      "a b", "a[0,1) b[2,3)", NULL },
    { "a blank in a form", "# text = 1 000 m\n" ROW("1", "1 000") ROW("2", "m"), "1 000 m",
      "1 000[0,5) m[6,7)", NULL },
    { "CRLF, a mark, no newline at the end",
      "\xEF\xBB\xBF# text = a\r\n1\ta\t_\t_\t_\t_\t9\t_\t_\t_\r\n", "a", "a[0,1)", NULL },
    { "comments alone are no sentence", "# text = x\n\n\n# x\n" ROW("1", "a"), "a", "a[0,1)",
      NULL },
    { "too few columns", "# c\n1\ta\t_\t_\t_\t_\t_\t_\t_\n", NULL, NULL,
      ":2: 9 columns, expected 10" },
    { "too many columns",
      "1\ta"
      "\t_\t_\t_\t_\t_\t_\t_\t_\t_\n",
      NULL, NULL, ":1: 11 columns, expected 10" },
    { "blanks for tabs", "1 a _ _ _ _ _ _ _ _\n", NULL, NULL, ":1: 1 columns, expected 10" },
    { "IDs out of order", ROW("1", "a") ROW("3", "b"), NULL, NULL, ":2: ID 3, expected 2" },
    { "no ID", ROW("x", "a"), NULL, NULL,
      ":1: ID \"x\", expected a number, a range or an empty node's number" },
    { "a negative ID", ROW("-1", "a"), NULL, NULL,
      ":1: ID \"-1\", expected a number, a range or an empty node's number" },
    { "an ID that is too large", ROW("99999999999999999999", "a"), NULL, NULL,
      ":1: ID \"99999999999999999999\", expected a number, a range or an empty node's number" },
    { "a range backwards", ROW("2-1", "a"), NULL, NULL,
      ":1: ID \"2-1\", expected a number, a range or an empty node's number" },
    { "a range in a range", ROW("1-3", "a") ROW("1-2", "a"), NULL, NULL, ":2: ID 1-2, expected 1" },
    { "a range without its words", ROW("1-9223372036854775807", "a") ROW("1", "a"), NULL, NULL,
      ":2: the sentence ends at ID 1 inside a multi-word token to 9223372036854775807" },
    { "an empty form", ROW("1", ""), NULL, NULL, ":1: an empty FORM" },
    { "a form that is not in the text", "# text = a b\n" ROW("1", "a") ROW("2", "c"), NULL, NULL,
      ":3: FORM \"c\" is not what \"# text\" has at byte 2" },
    { "a form behind the text", "# text = a\n" ROW("1", "a") ROW("2", "b"), NULL, NULL,
      ":3: FORM \"b\" is not what \"# text\" has at byte 1" },
};

static void sentences(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(sentence_cases) / sizeof(sentence_cases[0]); i++) {
        const struct sentence_case *c = &sentence_cases[i];
        struct sonde_corpus *corpus = NULL;
        struct sonde_error error = { 0 };
        struct test_file file;
        const struct sonde_corpus_item *item = NULL;
        char shown[512] = "";
        fprintf(stderr, "# %s\n", c->name);
        make_file(&file, c->data, strlen(c->data));
        check_ok(sonde_corpus_open(&corpus, file.path, SONDE_CORPUS_CONLLU, NULL, &error), &error);
        enum sonde_status status = sonde_corpus_next(corpus, &item, &error);
        if (!c->text) {
            assert_int_equal(status, SONDE_STATUS_FORMAT);
            check_message(&file, &error, c->message);
        } else {
            check_ok(status, &error);
            assert_string_equal(item->text, c->text);
            for (int64_t w = 0; w < item->n_words; w++)
                snprintf(shown + strlen(shown), sizeof(shown) - strlen(shown), "%s%s[%d,%d)",
                         w ? " " : "", item->words[w].field[1], (int)item->words[w].begin,
                         (int)item->words[w].end);
            assert_string_equal(shown, c->words);
            check_ok(sonde_corpus_next(corpus, &item, &error), &error);
            assert_null(item);
        }
        sonde_corpus_close(&corpus);
        remove_file(&file);
    }
}

static void columns_of_a_word(void **state)
{
    (void)state;
    static const struct sonde_corpus_word word = { .field = { "3", "_", "_", "PRON", "_",
                                                              "Case=Nom|Number=Sing|NumberX=", "99",
                                                              "nsubj", "_", "SpaceAfter=No" } };
    static const struct {
        const char *column, *value; /* NULL: not there */
    } cases[] = {
        { "id", "3" },
        { "form", "_" },
        { "lemma", "_" },
        { "upos", "PRON" },
        { "xpos", NULL },
        { "feats", "Case=Nom|Number=Sing|NumberX=" },
        { "head", "99" },
        { "deprel", "nsubj" },
        { "deps", NULL },
        { "feats.Number", "Sing" },
        { "feats.Numbe", NULL },
        { "feats.NumberX", NULL },
        { "feats.Person", NULL },
        { "misc.SpaceAfter", "No" },
    };
    static const char *const unknown[] = { "", "UPOS", "feats.", "upos.x", "nothing", "feats.a.b" };
    struct sonde_error error = { 0 };
    char out[64], small[4];
    bool present;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        check_ok(
            sonde_corpus_word_column(&word, cases[i].column, out, sizeof(out), &present, &error),
            &error);
        assert_int_equal(present, cases[i].value != NULL);
        assert_string_equal(out, cases[i].value ? cases[i].value : "");
    }
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(
            sonde_corpus_word_column(&word, unknown[i], out, sizeof(out), &present, &error),
            SONDE_STATUS_ARGUMENT);
    check_ok(sonde_corpus_word_column(&word, unknown[5], out, sizeof(out), &present, &error),
             &error);
    assert_false(present);
    assert_int_equal(
        sonde_corpus_word_column(&word, "upos", small, sizeof(small), &present, &error),
        SONDE_STATUS_LIMIT);
    assert_string_equal(error.text, "column upos of \"_\" has 4 bytes, at most 3");
}

static void words_to_tokens(void **state)
{
    (void)state;
    /* "ab cd ef": ab | " c" "d" | " ef" is one token with what stands before it */
    static const struct sonde_corpus_word words[] = { { .begin = 0, .end = 2 },
                                                      { .begin = 3, .end = 5 },
                                                      { .begin = 6, .end = 8 } };
    const char *text = "ab cd ef";
    /* BOS, "a", "b c", "d e", "f", " " (blanks only), EOS */
    static const int64_t begin[] = { 0, 0, 1, 4, 7, 5, 8 }, end[] = { 0, 1, 4, 7, 8, 6, 8 };
    static const struct {
        enum sonde_align align;
        int32_t expected[7];
    } cases[] = {
        /* "b c" is the last of word 0 and, with "d e", of word 1; word 2 ends in "f" */
        { SONDE_ALIGN_LAST, { -1, -1, 0, 1, 2, -1, -1 } },
        { SONDE_ALIGN_FIRST, { -1, 0, 1, 2, -1, -1, -1 } },
        { SONDE_ALIGN_ALL, { -1, 0, 1, 2, 2, -1, -1 } },
    };
    for (size_t i = 0; i < 3; i++) {
        int32_t got[7];
        sonde_corpus_align(words, 3, text, begin, end, 7, cases[i].align, got);
        for (int k = 0; k < 7; k++)
            assert_int_equal(got[k], cases[i].expected[k]);
    }
    /* one token over all words */
    static const int64_t all_begin[] = { 0 }, all_end[] = { 8 };
    int32_t got[1];
    sonde_corpus_align(words, 3, text, all_begin, all_end, 1, SONDE_ALIGN_LAST, got);
    assert_int_equal(got[0], 2);
    sonde_corpus_align(words, 3, text, all_begin, all_end, 1, SONDE_ALIGN_FIRST, got);
    assert_int_equal(got[0], 0);
    sonde_corpus_align(words, 0, text, all_begin, all_end, 1, SONDE_ALIGN_ALL, got);
    assert_int_equal(got[0], -1);
}

/* The plain statement of LAST: for each word the last token that shares a byte with it that is no
 * blank before the token's text; of several words on a token the last. Quadratic. */
static void naive_last(const struct sonde_corpus_item *item, const int64_t *begin,
                       const int64_t *end, int64_t n_tokens, int32_t *out)
{
    for (int64_t t = 0; t < n_tokens; t++)
        out[t] = -1;
    for (int64_t w = 0; w < item->n_words; w++) {
        int64_t last = -1;
        for (int64_t t = 0; t < n_tokens; t++) {
            int64_t b = begin[t];
            while (b < end[t] && item->text[b] == ' ')
                b++;
            if (b < end[t] && b < item->words[w].end && end[t] > item->words[w].begin)
                last = t;
        }
        if (last >= 0)
            out[last] = (int32_t)w;
    }
}

struct tally {
    int64_t sentences, words, labelled;
};

static void align_file(const struct sonde_tokenizer *t, const char *path, struct tally *tally)
{
    struct sonde_corpus *corpus = NULL;
    struct sonde_error error = { 0 };
    const struct sonde_corpus_item *item;

    check_ok(sonde_corpus_open(&corpus, path, SONDE_CORPUS_CONLLU, NULL, &error), &error);
    for (;;) {
        struct sonde_encoding encoding = { 0 };
        check_ok(sonde_corpus_next(corpus, &item, &error), &error);
        if (!item)
            break;
        check_ok(sonde_tokenizer_encode(t, item->text, (size_t)item->text_bytes, SONDE_BOS_AUTO,
                                        &encoding, &error),
                 &error);
        int64_t *begin = calloc((size_t)encoding.n, sizeof(*begin));
        int64_t *end = calloc((size_t)encoding.n, sizeof(*end));
        int32_t *got = calloc((size_t)encoding.n, sizeof(*got));
        int32_t *wanted = calloc((size_t)encoding.n, sizeof(*wanted));
        for (int64_t k = 0; k < encoding.n; k++) {
            begin[k] = encoding.tokens[k].begin;
            end[k] = encoding.tokens[k].end;
        }
        sonde_corpus_align(item->words, item->n_words, item->text, begin, end, encoding.n,
                           SONDE_ALIGN_LAST, got);
        naive_last(item, begin, end, encoding.n, wanted);
        for (int64_t k = 0; k < encoding.n; k++) {
            assert_int_equal(got[k], wanted[k]);
            tally->labelled += got[k] >= 0;
        }
        for (int64_t w = 0; w < item->n_words; w++) { /* the span spells the form */
            const struct sonde_corpus_word *word = &item->words[w];
            assert_true(word->begin < word->end && word->end <= item->text_bytes);
            if ((size_t)(word->end - word->begin) == strlen(word->field[1]))
                assert_memory_equal(item->text + word->begin, word->field[1],
                                    (size_t)(word->end - word->begin));
        }
        tally->sentences++;
        tally->words += item->n_words;
        free(begin);
        free(end);
        free(got);
        free(wanted);
        sonde_encoding_finish(&encoding);
    }
    sonde_corpus_close(&corpus);
}

/* Sentences and words of each file as `grep -c "^# sent_id"` and `grep -cP "^\d+\t"` count them. */
static void real_sentences_align(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        int64_t sentences, words;
    } files[] = {
        { "data/ud/Eve_Brown_eud_gold.conllu", 2207, 11370 },
        { "data/ud/Lily_Providence_eud_gold.conllu", 1499, 8228 },
        { "data/ud/Violet_Providence_eud_gold.conllu", 721, 2740 },
        { "data/ud/en_ewt-ud-dev.conllu", 2001, 25147 },
    };
    char path[4096];
    struct sonde_tokenizer *t = NULL;
    struct sonde_error error = { 0 };
    check_shared(path, "models/tinystories-656k/tokenizer.json");
    check_ok(sonde_tokenizer_open(&t, path, 0, &error), &error);
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        struct tally tally = { 0 };
        check_shared(path, files[i].path);
        align_file(t, path, &tally);
        assert_int_equal(tally.sentences, files[i].sentences);
        assert_int_equal(tally.words, files[i].words);
        /* this vocabulary has pieces over word borders ("e of a"): most words keep a token */
        assert_true(tally.labelled * 10 > tally.words * 8);
    }
    sonde_tokenizer_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sentences),
        cmocka_unit_test(columns_of_a_word),
        cmocka_unit_test(words_to_tokens),
        cmocka_unit_test(real_sentences_align),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
