/* tokenizer.json's parts, one by one, on a small vocabulary written here; byte-level encoding
 * against a slow second implementation. */
#include "tests/support/check.h"

#include <string.h>

#include "tests/unit/text/naive_bpe.h"
#include "tests/unit/text/text_laws.h"

/* Vocabulary: some characters, the bytes' pieces of U+65E5, merges "a b", "ab c". */
#define MODEL(extra)                                                                               \
    "\"model\":{\"type\":\"BPE\",\"unk_token\":\"?\"," extra                                       \
    "\"vocab\":{\"?\":0,\"a\":1,\"b\":2,\"c\":3,\"ab\":4,\"abc\":5,\"\xE2\x96\x81\":6,\" \":7,"    \
    "\"1\":8,\"2\":9,\"<0xE6>\":10,\"<0x97>\":11,\"<0xA5>\":12,\"\xC3\xA9\":13,\"e\":14,"          \
    "\"\xCC\x81\":15,\"f\":16,\"i\":17,\"\xE2\x96\x81\x61\":18,\"x\":19,\"bb\":20},"               \
    "\"merges\":[\"a b\",[\"ab\",\"c\"],\"\xE2\x96\x81 a\"]}"
#define ADDED(content, more) "\"added_tokens\":[{\"id\":30,\"content\":\"" content "\"," more "}],"

struct layout {
    const char *name;
    const char *json; /* what stands before the model */
    const char *model;
    const char *text;
    const char *expected; /* piece[begin,end) for each token */
    const char *decoded;
};

#define PREPEND "{\"type\":\"Prepend\",\"prepend\":\"\xE2\x96\x81\"}"
#define TO_MARK "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"\xE2\x96\x81\"}"
#define METASPACE(scheme, split)                                                                   \
    "{\"type\":\"Metaspace\",\"replacement\":\"\xE2\x96\x81\",\"prepend_scheme\":\"" scheme        \
    "\",\"split\":" split "}"
#define FUSE "\"decoder\":{\"type\":\"Fuse\"},"

static const struct layout layouts[] = {
    { "merges by rank", FUSE, MODEL(""), "abcab", "abc[0,3) ab[3,5)", "abcab" },
    { "no decoder: pieces joined by blanks", "", MODEL(""), "abca", "abc[0,3) a[3,4)", "abc a" },
    { "merges wait for their parts", FUSE, MODEL(""), "aabb", "a[0,1) ab[1,3) b[3,4)", "aabb" },
    { "a whole word in spite of merges", FUSE "\"pre_tokenizer\":{\"type\":\"Digits\"},",
      MODEL("\"ignore_merges\":true,"), "bb1bbb", "bb[0,2) 1[2,3) b[3,4) b[4,5) b[5,6)", "bb1bbb" },
    { "unknown, one by one", FUSE, MODEL(""), "a--b", "a[0,1) ?[1,2) ?[2,3) b[3,4)", "a??b" },
    { "unknown, fused", FUSE, MODEL("\"fuse_unk\":true,"), "a--b-", "a[0,1) ?[1,3) b[3,4) ?[4,5)",
      "a?b?" },
    { "byte fallback", "\"decoder\":{\"type\":\"ByteFallback\"},", MODEL("\"byte_fallback\":true,"),
      "a\xE6\x97\xA5", "a[0,1) <0xE6>[1,4) <0x97>[1,4) <0xA5>[1,4)", "a\xE6\x97\xA5" },
    { "bytes between unknowns keep them apart", FUSE,
      MODEL("\"byte_fallback\":true,\"fuse_unk\":true,"), "--\xE6\x97\xA5-",
      "?[0,2) <0xE6>[2,5) <0x97>[2,5) <0xA5>[2,5) ?[5,6)", "?<0xE6><0x97><0xA5>?" },
    { "a piece that no merge leads to", FUSE "\"pre_tokenizer\":{\"type\":\"Digits\"},", MODEL(""),
      "bb1abc", "b[0,1) b[1,2) 1[2,3) abc[3,6)", "bb1abc" },
    { "of equal texts the special token",
      "\"added_tokens\":[{\"id\":30,\"content\":\"XY\",\"normalized\":true},{\"id\":31,\"content\":"
      "\"Xy\",\"special\":true,\"normalized\":true}],\"normalizer\":{\"type\":\"Lowercase\"}," FUSE,
      MODEL(""), "axy", "a[0,1) Xy[1,3)", "a" },
    { "byte fallback, a byte missing", FUSE, MODEL("\"byte_fallback\":true,"), "\xE6\x97\xA6",
      "?[0,3)", "?" },
    { "invalid bytes", FUSE, MODEL(""), "a\xE6\x97z\xFF", "a[0,1) ?[1,3) ?[3,4) ?[4,5)", "a???" },
    { "prepend and replace",
      "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[" PREPEND "," TO_MARK "]}," FUSE,
      MODEL(""), "ba a", "\xE2\x96\x81[0,0) b[0,1) a[1,2) \xE2\x96\x81\x61[2,4)",
      "\xE2\x96\x81"
      "ba\xE2\x96\x81"
      "a" },
    { "strip and replace back",
      "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[" PREPEND "," TO_MARK "]},"
      "\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\",\"pattern\":{"
      "\"String\":\"\xE2\x96\x81\"},\"content\":\" \"},{\"type\":\"Fuse\"},{\"type\":\"Strip\","
      "\"content\":\" \",\"start\":1,\"stop\":0}]},",
      MODEL(""), " b ", "\xE2\x96\x81[0,0) \xE2\x96\x81[0,1) b[1,2) \xE2\x96\x81[2,3)", " b " },
    { "NFC composes, the span is both's", "\"normalizer\":{\"type\":\"NFC\"}," FUSE, MODEL(""),
      "ae\xCC\x81"
      "b",
      "a[0,1) \xC3\xA9[1,4) b[4,5)",
      "a\xC3\xA9"
      "b" },
    { "NFD splits, both have the span", "\"normalizer\":{\"type\":\"NFD\"}," FUSE, MODEL(""),
      "\xC3\xA9"
      "b",
      "e[0,2) \xCC\x81[0,2) b[2,3)",
      "e\xCC\x81"
      "b" },
    { "NFKC", "\"normalizer\":{\"type\":\"NFKC\"}," FUSE, MODEL(""),
      "a\xEF\xAC\x81"
      "b",
      "a[0,1) f[1,4) i[1,4) b[4,5)", "afib" },
    { "lowercase", "\"normalizer\":{\"type\":\"Lowercase\"}," FUSE, MODEL(""), "ABC\xC3\x89",
      "abc[0,3) \xC3\xA9[3,5)", "abc\xC3\xA9" },
    { "metaspace, always",
      "\"pre_tokenizer\":" METASPACE("always", "true") ","
                                                       "\"decoder\":" METASPACE("always",
                                                                                "true") ",",
      MODEL(""), "a b", "\xE2\x96\x81\x61[0,1) \xE2\x96\x81[1,2) b[2,3)", "a b" },
    { "metaspace, a blank is there", "\"pre_tokenizer\":" METASPACE("always", "true") "," FUSE,
      MODEL(""), " a", "\xE2\x96\x81\x61[0,2)",
      "\xE2\x96\x81"
      "a" },
    { "metaspace, never", "\"pre_tokenizer\":" METASPACE("never", "true") "," FUSE, MODEL(""),
      "a a", "a[0,1) \xE2\x96\x81\x61[1,3)",
      "a\xE2\x96\x81"
      "a" },
    { "metaspace, first only",
      ADDED("<x>", "\"special\":true") "\"pre_tokenizer\":" METASPACE("first", "false") "," FUSE,
      MODEL(""), "a<x>a", "\xE2\x96\x81\x61[0,1) <x>[1,4) a[4,5)",
      "\xE2\x96\x81"
      "aa" },
    { "digits, one by one",
      "\"pre_tokenizer\":{\"type\":\"Digits\",\"individual_digits\":true}," FUSE, MODEL(""), "ab12",
      "ab[0,2) 1[2,3) 2[3,4)", "ab12" },
    { "split with previous",
      "\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"String\":\"b\"},"
      "\"behavior\":\"MergedWithPrevious\",\"invert\":false}," FUSE,
      MODEL(""), "abc", "ab[0,2) c[2,3)", "abc" },
    { "split with next",
      "\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"String\":\"b\"},"
      "\"behavior\":\"MergedWithNext\",\"invert\":false}," FUSE,
      MODEL(""), "abc", "a[0,1) b[1,2) c[2,3)", "abc" },
    { "split isolated",
      "\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"String\":\"c\"},"
      "\"behavior\":\"Isolated\"}," FUSE,
      MODEL(""), "abcc", "ab[0,2) c[2,3) c[3,4)", "abcc" },
    { "added token in a word", ADDED("x", "\"special\":false,\"normalized\":false") FUSE,
      "\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[]}", "axa",
      "a[0,1) x[1,2) a[2,3)", "axa" },
    { "added token takes blanks", ADDED("<x>", "\"lstrip\":true,\"rstrip\":true") FUSE, MODEL(""),
      "a  <x> b", "a[0,1) <x>[1,7) b[7,8)", "a<x>b" },
    { "added token as a single word", ADDED("<x>", "\"single_word\":true") FUSE, MODEL(""),
      "a<x> <x>", "a[0,1) ?[1,2) x[2,3) ?[3,4)  [4,5) <x>[5,8)", "a?x? <x>" },
    { "the longest added token",
      "\"added_tokens\":[{\"id\":30,\"content\":\"<x\"},{\"id\":31,\"content\":\"<x>\"}]," FUSE,
      MODEL(""), "<x<x>", "<x[0,2) <x>[2,5)", "<x<x>" },
    { "an added token in normalised text",
      ADDED("AB", "\"normalized\":true") "\"normalizer\":{\"type\":\"Lowercase\"}," FUSE, MODEL(""),
      "aABb", "a[0,1) AB[1,3) b[3,4)", "aABb" },
    { "what stands around",
      ADDED("<s>", "\"special\":true") "\"post_processor\":{\"type\":\"TemplateProcessing\","
                                       "\"single\":[{\"SpecialToken\":{\"id\":"
                                       "\"<s>\",\"type_id\":0}},{\"Sequence\":{\"id\":\"A\",\"type_"
                                       "id\":0}},{\"SpecialToken\":{"
                                       "\"id\":\"<s>\",\"type_id\":0}}],\"special_tokens\":{\"<s>"
                                       "\":{\"id\":\"<s>\",\"ids\":[30],"
                                       "\"tokens\":[\"<s>\"]}}}," FUSE,
      MODEL(""), "ab", "<s>[0,0) ab[0,2) <s>[2,2)", "ab" },
};

static void show_encoding(const struct sonde_tokenizer *t, const struct sonde_encoding *encoding,
                          struct sonde_buf *out)
{
    for (int64_t k = 0; k < encoding->n; k++) {
        const struct sonde_encoded_token *token = &encoding->tokens[k];
        sonde_buf_printf(out, "%s%s[%lld,%lld)", k ? " " : "", sonde_tokenizer_piece(t, token->id),
                         (long long)token->begin, (long long)token->end);
    }
}

static void each_part_of_the_file(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(layouts) / sizeof(layouts[0]); i++) {
        const struct layout *layout = &layouts[i];
        struct sonde_tokenizer *t = NULL;
        struct sonde_error error = { 0 };
        struct sonde_buf json = { 0 }, shown = { 0 }, decoded = { 0 };
        struct sonde_encoding encoding = { 0 };
        sonde_buf_printf(&json, "{%s%s}", layout->json, layout->model);
        check_ok(sonde_tokenizer_parse(&t, json.data, json.size, layout->name, &error), &error);
        check_ok(sonde_tokenizer_encode(t, layout->text, strlen(layout->text), SONDE_BOS_AUTO,
                                        &encoding, &error),
                 &error);
        show_encoding(t, &encoding, &shown);
        decode_all(t, &encoding, true, &decoded);
        if (strcmp(shown.data, layout->expected) != 0 || strcmp(decoded.data, layout->decoded) != 0)
            fprintf(stderr, "# %s\n", layout->name);
        assert_string_equal(shown.data, layout->expected);
        assert_string_equal(decoded.data, layout->decoded);
        sonde_buf_finish(&json);
        sonde_buf_finish(&shown);
        sonde_buf_finish(&decoded);
        sonde_encoding_finish(&encoding);
        sonde_tokenizer_close(&t);
    }
}

/* GPT-2's alphabet as its own program makes it: printable bytes first, the others from U+0100 in
 * order. */
static void byte_alphabet(char out[256][4])
{
    int next = 0;
    for (int b = 0; b < 256; b++) {
        bool plain = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
        size_t n = sonde_utf8_put(out[b], plain ? b : 256 + next++);
        out[b][n] = '\0';
    }
}

static const char training_text[] =
    "the cat sat on the mat, and the other cat's hat sat there. It's 1984 and they'll say that we "
    "can't; the \xC3\xA9t\xC3\xA9 was hot and the na\xC3\xAFve hen ate the 12 other hats  there";

/* A byte-level tokenizer.json whose merges are the most frequent pairs of the training text, in
 * turn. */
static void make_byte_level(struct sonde_buf *json, bool regex)
{
    char alphabet[256][4];
    char pieces[600][64];
    int ids[512], n_ids = 0, n_pieces = 256;
    struct sonde_json_writer w = { .out = json };
    struct sonde_buf merges = { 0 };

    byte_alphabet(alphabet);
    for (int b = 0; b < 256; b++)
        strcpy(pieces[b], alphabet[b]);
    for (const char *c = training_text; *c; c++)
        ids[n_ids++] = (unsigned char)*c;
    for (int round = 0; round < 60; round++) {
        int best = 0, best_at = -1, left, right, n = 0;
        for (int i = 0; i + 1 < n_ids; i++) {
            int count = 0;
            for (int k = 0; k + 1 < n_ids; k++)
                count += ids[k] == ids[i] && ids[k + 1] == ids[i + 1];
            if (count > best) {
                best = count;
                best_at = i;
            }
        }
        if (best < 2)
            break;
        left = ids[best_at];
        right = ids[best_at + 1];
        struct sonde_buf joined = { .max = sizeof(pieces[0]) - 1 };
        sonde_buf_puts(&joined, pieces[left]);
        assert_true(sonde_buf_puts(&joined, pieces[right]));
        strcpy(pieces[n_pieces], joined.data);
        sonde_buf_finish(&joined);
        sonde_buf_printf(&merges, "%s\"%s %s\"", round ? "," : "", pieces[left], pieces[right]);
        int result = 0; /* two pairs may spell the same piece */
        while (strcmp(pieces[result], pieces[n_pieces]) != 0)
            result++;
        for (int i = 0; i < n_ids; i++) {
            bool here = i + 1 < n_ids && ids[i] == left && ids[i + 1] == right;
            ids[n++] = here ? result : ids[i];
            i += here;
        }
        n_ids = n;
        n_pieces += result == n_pieces;
    }
    sonde_json_begin_object(&w, NULL);
    sonde_json_put_raw(&w, "pre_tokenizer",
                       regex ? "{\"type\":\"ByteLevel\",\"add_prefix_space\":false}"
                             : "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,"
                               "\"use_regex\":false}");
    sonde_json_put_raw(&w, "decoder", "{\"type\":\"ByteLevel\"}");
    sonde_json_begin_object(&w, "model");
    sonde_json_begin_object(&w, "vocab");
    for (int id = 0; id < n_pieces; id++)
        sonde_json_put_i64(&w, pieces[id], id);
    sonde_json_end_object(&w);
    sonde_buf_puts(&merges, "]");
    char *list = malloc(merges.size + 2);
    sprintf(list, "[%s", merges.data);
    sonde_json_put_raw(&w, "merges", list);
    sonde_json_end_object(&w);
    sonde_json_end_object(&w);
    free(list);
    sonde_buf_finish(&merges);
}

static void byte_level_text_comes_back(void **state)
{
    (void)state;
    char text[4096];
    struct sonde_rng rng = sonde_rng_make(SONDE_SEED_DEFAULT, sonde_rng_stream("bytes"));
    for (int regex = 0; regex < 2; regex++) {
        struct sonde_tokenizer *t = NULL;
        struct sonde_error error = { 0 };
        struct sonde_buf json = { 0 };
        make_byte_level(&json, regex);
        check_ok(sonde_tokenizer_parse(&t, json.data, json.size, "made", &error), &error);
        assert_string_equal(sonde_tokenizer_kind(t), "BPE, byte-level");
        for (int round = 0; round < 4000; round++) {
            struct sonde_encoding encoding = { 0 };
            struct sonde_buf back = { 0 }, lossy = { 0 }, stream = { 0 };
            size_t n = hostile_text(&rng, text, 40);
            check_ok(sonde_tokenizer_encode(t, text, n, SONDE_BOS_AUTO, &encoding, &error), &error);
            check_spans(&encoding, text, n);
            decode_all(t, &encoding, true, &back);
            for (int64_t k = 0; k < encoding.n; k++)
                check_ok(sonde_tokenizer_decode_next(t, k ? encoding.tokens[k - 1].id : -1,
                                                     encoding.tokens[k].id, &stream, &error),
                         &error);
            sonde_utf8_append_lossy(&lossy, text, n);
            assert_int_equal(back.size, lossy.size);
            assert_int_equal(stream.size, lossy.size);
            if (back.size > 0) {
                assert_memory_equal(back.data, lossy.data, lossy.size);
                assert_memory_equal(stream.data, lossy.data, lossy.size);
            }
            sonde_buf_finish(&back);
            sonde_buf_finish(&lossy);
            sonde_buf_finish(&stream);
            sonde_encoding_finish(&encoding);
        }
        sonde_buf_finish(&json);
        sonde_tokenizer_close(&t);
    }
}

/* GPT-2's pattern for ASCII, written out: the length of the piece at text. */
static size_t ascii_piece(const char *text)
{
    static const char *const contractions[] = { "'s", "'t", "'re", "'ve", "'m", "'ll", "'d" };
    enum { LETTER, DIGIT, BLANK, OTHER } first, kind;
    size_t n = 0, blanks = strspn(text, " \t\n\r\v\f");

    for (size_t i = 0; i < 7; i++) {
        if (strncmp(text, contractions[i], strlen(contractions[i])) == 0)
            return strlen(contractions[i]);
    }
    if (blanks > 0 && text[blanks] == '\0')
        return blanks;
    if (blanks > 1)
        return blanks - 1; /* the last blank belongs to what follows */
    if (blanks == 1 && text[0] != ' ')
        return 1;
    n = blanks;
    for (first = OTHER;; n++) {
        char c = text[n];
        if ((c | 32) >= 'a' && (c | 32) <= 'z')
            kind = LETTER;
        else if (c >= '0' && c <= '9')
            kind = DIGIT;
        else if (c == '\0' || strchr(" \t\n\r\v\f", c))
            kind = BLANK;
        else
            kind = OTHER;
        if (n == blanks)
            first = kind;
        if (kind != first || kind == BLANK)
            return n;
    }
}

static void byte_level_agrees_with_the_definition(void **state)
{
    (void)state;
    static const char *const parts[] = { "the", " ",  " ",  "cat",    "'s",    "'ll",
                                         "12",  "  ", "\n", ".",      "hat",   "at",
                                         "he",  "!?", "\t", " other", "can't", "x" };
    struct sonde_tokenizer *t = NULL;
    struct sonde_error error = { 0 };
    struct sonde_buf json = { 0 };
    struct sonde_json *root = NULL;
    struct naive_bpe bpe;
    struct sonde_rng rng = sonde_rng_make(SONDE_SEED_DEFAULT, sonde_rng_stream("definition"));
    make_byte_level(&json, true);
    check_ok(sonde_tokenizer_parse(&t, json.data, json.size, "made", &error), &error);
    check_ok(sonde_json_parse(&root, json.data, json.size, &error), &error);
    naive_init(&bpe, sonde_json_get(root, "model"));
    for (int round = 0; round < 5000; round++) {
        char text[512] = "";
        int ids[512], n = 0;
        struct sonde_encoding encoding = { 0 };
        int64_t n_parts = 1 + sonde_rng_below(&rng, 20);
        for (int64_t k = 0; k < n_parts; k++)
            strcat(text, parts[sonde_rng_below(&rng, 18)]);
        for (const char *c = text; *c;) {
            size_t length = ascii_piece(c);
            for (size_t k = 0; k < length; k++)
                ids[n + (int)k] = (unsigned char)c[k]; /* ids 0 to 255 are the bytes */
            n += naive_merge_all(&bpe, ids + n, (int)length);
            c += length;
        }
        check_ok(sonde_tokenizer_encode(t, text, strlen(text), SONDE_BOS_AUTO, &encoding, &error),
                 &error);
        assert_int_equal(encoding.n, n);
        for (int k = 0; k < n; k++)
            assert_int_equal(encoding.tokens[k].id, ids[k]);
        sonde_encoding_finish(&encoding);
    }
    naive_finish(&bpe);
    sonde_json_destroy(&root);
    sonde_buf_finish(&json);
    sonde_tokenizer_close(&t);
}

/* A character of two byte tokens decodes alone to nothing readable: tables show its bytes. */
static void parts_of_characters_show_their_bytes(void **state)
{
    (void)state;
    struct sonde_tokenizer *t = NULL;
    struct sonde_error error = { 0 };
    struct sonde_buf json = { 0 }, text = { 0 };
    static const int32_t half[] = { 0xE2 };
    make_byte_level(&json, true);
    check_ok(sonde_tokenizer_parse(&t, json.data, json.size, "made", &error), &error);
    check_ok(sonde_tokenizer_token_text(t, 0xE2, &text, &error), &error);
    assert_string_equal(text.data, "<0xE2>");
    sonde_buf_clear(&text);
    check_ok(sonde_tokenizer_decode(t, half, 1, false, &text, &error), &error);
    assert_string_equal(text.data, "\xEF\xBF\xBD");
    sonde_buf_finish(&json);
    sonde_buf_finish(&text);
    sonde_tokenizer_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_part_of_the_file),
        cmocka_unit_test(byte_level_text_comes_back),
        cmocka_unit_test(byte_level_agrees_with_the_definition),
        cmocka_unit_test(parts_of_characters_show_their_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
