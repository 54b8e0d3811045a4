/* Folders: GPT-2's two files, tokenizer_config.json and special_tokens_map.json, and what they say
 * about beginning and end. */
#include "tests/support/check.h"

#include <string.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/text/tokenizer.h"

struct folder {
    char path[64];
};

static void make_folder(struct folder *folder)
{
    strcpy(folder->path, "sonde-text-XXXXXX");
    assert_non_null(mkdtemp(folder->path));
}

static void put_file(const struct folder *folder, const char *name, const char *text)
{
    struct sonde_error error = { 0 };
    char *path = sonde_path_join(folder->path, name);
    check_ok(sonde_file_save(path, text, strlen(text), &error), &error);
    free(path);
}

static void remove_folder(const struct folder *folder)
{
    static const char *const names[] = { "tokenizer.json", "vocab.json", "merges.txt",
                                         "tokenizer_config.json", "special_tokens_map.json" };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char *path = sonde_path_join(folder->path, names[i]);
        (void)unlink(path);
        free(path);
    }
    assert_int_equal(rmdir(folder->path), 0);
}

/* "id id id" of a text. */
static void check_encoding(const struct sonde_tokenizer *t, const char *text,
                           enum sonde_bos_policy bos, const char *expected)
{
    struct sonde_encoding encoding = { 0 };
    struct sonde_error error = { 0 };
    struct sonde_buf shown = { 0 };
    check_ok(sonde_tokenizer_encode(t, text, strlen(text), bos, &encoding, &error), &error);
    for (int64_t k = 0; k < encoding.n; k++)
        sonde_buf_printf(&shown, k ? " %d" : "%d", encoding.tokens[k].id);
    assert_string_equal(shown.data ? shown.data : "", expected);
    sonde_buf_finish(&shown);
    sonde_encoding_finish(&encoding);
}

#define VOCAB                                                                                      \
    "{\"a\":0,\"b\":1,\"\xC4\xA0\":2,\"ab\":3,\"\xC4\xA0\x61\x62\":4,\"<|endoftext|>\":5,"         \
    "\"\xC4\x8A\":6,\"'\":7,\"s\":8}"
#define MERGES "#version: 0.2\r\na b\r\n\xC4\xA0 ab\r\n\r\n"

static void gpt2_files(void **state)
{
    (void)state;
    struct folder folder;
    struct sonde_tokenizer *t = NULL;
    struct sonde_error error = { 0 };
    make_folder(&folder);
    put_file(&folder, "vocab.json", VOCAB);
    assert_int_equal(sonde_tokenizer_open(&t, folder.path, 0, &error), SONDE_STATUS_NOT_FOUND);
    put_file(&folder, "merges.txt", MERGES);
    check_ok(sonde_tokenizer_open(&t, folder.path, 0, &error), &error);
    assert_string_equal(sonde_tokenizer_kind(t), "BPE, byte-level");
    assert_int_equal(sonde_tokenizer_bos(t), 5);
    assert_int_equal(sonde_tokenizer_eos(t), 5);
    check_encoding(t, "ab ab  a\n", SONDE_BOS_AUTO, "3 4 2 2 0 6");
    check_encoding(t, "ab<|endoftext|>ab's", SONDE_BOS_ALWAYS, "5 3 5 3 7 8");
    check_encoding(t, "<|endoftext|>ab", SONDE_BOS_ALWAYS, "5 3");
    struct sonde_encoding encoding = { 0 };
    check_ok(sonde_tokenizer_encode(t, "<|endoftext|>a<|endoftext|>", 27, SONDE_BOS_NEVER,
                                    &encoding, &error),
             &error);
    assert_int_equal(encoding.tokens[0].flags,
                     1 | 4); /* one id: the first begins, later ones end */
    assert_int_equal(encoding.tokens[1].flags, 0);
    assert_int_equal(encoding.tokens[2].flags, 2 | 4);
    sonde_encoding_finish(&encoding);
    assert_int_equal(sonde_tokenizer_encode(t, "a\nz", 3, SONDE_BOS_NEVER, &encoding, &error),
                     SONDE_STATUS_FORMAT);
    assert_string_equal(error.text,
                        "\"z\" at byte 2 is not in the vocabulary, and the tokenizer has "
                        "no unknown token");
    sonde_tokenizer_close(&t);
    put_file(
        &folder, "tokenizer_config.json",
        "{\"add_prefix_space\": true, \"add_bos_token\": true, \"bos_token\": \"<s>\","
        "\"model_max_length\": 1000000000000000019884624838656, \"x\": [123456789012345678901.5],"
        "\"y\": \"1000000000000000019884624838656 \\\" 1000000000000000019884624838656\","
        "\"added_tokens_decoder\": {\"9\": {\"content\": \"<s>\", \"special\": true}}}");
    check_ok(sonde_tokenizer_open(&t, folder.path, 0, &error), &error);
    assert_int_equal(sonde_tokenizer_bos(t), 9);
    assert_int_equal(sonde_tokenizer_eos(t), 5);
    check_encoding(t, "ab<s>ab", SONDE_BOS_AUTO, "9 4 9 4");
    check_encoding(t, " ab<s>", SONDE_BOS_AUTO, "9 4 9"); /* a blank is there already */
    sonde_encoding_finish(&encoding);
    sonde_tokenizer_close(&t);
    remove_folder(&folder);
}

/* A tokenizer.json with or without a template, and what the files beside it make of it. */
#define TEMPLATE                                                                                   \
    "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":"   \
    "\"<s>\"}},{\"Sequence\":{\"id\":\"A\"}}],\"special_tokens\":{\"<s>\":{\"ids\":[1]}}},"
#define JSON(before)                                                                               \
    "{" before "\"added_tokens\":[{\"id\":1,\"content\":\"<s>\",\"special\":true},{\"id\":2,"      \
    "\"content\":\"</s>\",\"special\":true}],\"model\":{\"vocab\":{\"a\":0},\"merges\":[]}}"

static void what_is_added_around(void **state)
{
    (void)state;
    static const struct {
        const char *json, *config, *map;
        int bos, eos;
        const char *automatic, *always;
    } cases[] = {
        { JSON(""), NULL, NULL, -1, -1, "0", NULL },
        { JSON(TEMPLATE), NULL, NULL, 1, -1, "1 0", "1 0" },
        { JSON(""), "{\"bos_token\":\"<s>\",\"eos_token\":{\"content\":\"</s>\"}}", NULL, 1, 2, "0",
          "1 0" },
        { JSON(""), NULL, "{\"bos_token\":{\"content\":\"<s>\"},\"eos_token\":\"</s>\"}", 1, 2, "0",
          "1 0" },
        { JSON(""), "{\"bos_token\":null,\"eos_token\":\"<none>\"}", NULL, -1, -1, "0", NULL },
        { JSON(""), "{\"bos_token\":\"<s>\",\"add_bos_token\":true}", NULL, 1, -1, "1 0", "1 0" },
        /* a template decides, except for the classes that build theirs from the switches */
        { JSON(TEMPLATE), "{\"bos_token\":\"<s>\",\"add_bos_token\":false}", NULL, 1, -1, "1 0",
          "1 0" },
        { JSON(TEMPLATE),
          "{\"tokenizer_class\":\"LlamaTokenizer\",\"bos_token\":\"<s>\",\"add_bos_token\":false}",
          NULL, 1, -1, "0", "1 0" },
        { JSON(TEMPLATE),
          "{\"tokenizer_class\":\"LlamaTokenizerFast\",\"eos_token\":\"</"
          "s>\",\"add_eos_token\":true}",
          NULL, 1, 2, "1 0 2", "1 0 2" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct folder folder;
        struct sonde_tokenizer *t = NULL;
        struct sonde_error error = { 0 };
        make_folder(&folder);
        put_file(&folder, "tokenizer.json", cases[i].json);
        if (cases[i].config)
            put_file(&folder, "tokenizer_config.json", cases[i].config);
        if (cases[i].map)
            put_file(&folder, "special_tokens_map.json", cases[i].map);
        check_ok(sonde_tokenizer_open(&t, folder.path, 0, &error), &error);
        assert_int_equal(sonde_tokenizer_bos(t), cases[i].bos);
        assert_int_equal(sonde_tokenizer_eos(t), cases[i].eos);
        check_encoding(t, "a", SONDE_BOS_AUTO, cases[i].automatic);
        check_encoding(t, "a", SONDE_BOS_NEVER, "0");
        if (cases[i].always)
            check_encoding(t, "a", SONDE_BOS_ALWAYS, cases[i].always);
        sonde_tokenizer_close(&t);
        remove_folder(&folder);
    }
}

/* llama2.c: of pairs with equal scores the leftmost is merged, whatever their ids. */
static void equal_scores_merge_from_the_left(void **state)
{
    (void)state;
    struct folder folder;
    struct sonde_tokenizer *t = NULL;
    struct sonde_error error = { 0 };
    struct sonde_buf file = { 0 };
    int32_t longest = 8;
    make_folder(&folder);
    sonde_buf_append(&file, &longest, 4);
    for (int id = 0; id < 270; id++) {
        static const char *const named[] = { " ", "a", "b", "c", "bc", "ab", "abc" };
        char piece[16];
        float score = id >= 263 && id <= 264 ? -1.0F : -(float)id;
        snprintf(piece, sizeof(piece), "p%d", id);
        if (id >= 259 && id < 266)
            snprintf(piece, sizeof(piece), "%s", named[id - 259]);
        if (id == 265)
            score = -2e10F; /* below where llama2.c begins to look */
        int32_t length = (int32_t)strlen(piece);
        sonde_buf_append(&file, &score, 4);
        sonde_buf_append(&file, &length, 4);
        sonde_buf_puts(&file, piece);
    }
    char *bin = sonde_path_join(folder.path, "t.bin");
    check_ok(sonde_file_save(bin, file.data, file.size, &error), &error);
    check_ok(sonde_tokenizer_open(&t, bin, 270, &error), &error);
    check_encoding(t, "abc", SONDE_BOS_NEVER,
                   "259 264 262"); /* ab and c, though bc has the lower id */
    check_encoding(t, "bcbc", SONDE_BOS_NEVER, "259 263 263");
    sonde_tokenizer_close(&t);
    assert_int_equal(unlink(bin), 0);
    free(bin);
    sonde_buf_finish(&file);
    remove_folder(&folder);
}

/* The known patterns, on what tells them apart; pieces as the patterns' own text says. */
static void known_patterns_cut(void **state)
{
    (void)state;
#define SPLIT(digits)                                                                              \
    "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{" \
    "L}\\\\p{N}]?\\\\p{L}+|" digits "| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]" \
    "+|\\\\s+(?!\\\\S)|\\\\s+\"},\"behavior\":\"Isolated\",\"invert\":false}"
    static const struct {
        const char *pre_tokenizer, *text;
        int64_t ends[12];
        int64_t n;
    } cases[] = {
        { "{\"type\":\"ByteLevel\",\"add_prefix_space\":false}",
          "I'LL don't  pay 12345\n\n x",
          { 1, 2, 4, 8, 10, 11, 15, 21, 23, 25 },
          10 },
        { SPLIT("\\\\p{N}{1,3}"),
          "I'LL don't  pay 12345\n\n x",
          { 1, 4, 8, 10, 11, 15, 16, 19, 21, 23, 25 },
          11 },
        { SPLIT("\\\\p{N}"), "x's 12!!\n\n", { 1, 3, 4, 5, 6, 10 }, 6 },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sonde_tokenizer *t = NULL;
        struct sonde_error error = { 0 };
        struct sonde_buf json = { 0 };
        struct sonde_encoding encoding = { 0 };
        /* nothing is in the vocabulary and unknowns fuse: a piece is a token */
        sonde_buf_printf(&json,
                         "{\"pre_tokenizer\":%s,\"model\":{\"vocab\":{\"?\":0},\"merges\":[],"
                         "\"unk_token\":\"?\",\"fuse_unk\":true}}",
                         cases[i].pre_tokenizer);
        check_ok(sonde_tokenizer_parse(&t, json.data, json.size, "pattern", &error), &error);
        check_ok(sonde_tokenizer_encode(t, cases[i].text, strlen(cases[i].text), SONDE_BOS_NEVER,
                                        &encoding, &error),
                 &error);
        for (int64_t k = 0; k < encoding.n && k < cases[i].n; k++)
            assert_int_equal(encoding.tokens[k].end, cases[i].ends[k]);
        assert_int_equal(encoding.n, cases[i].n);
        sonde_buf_finish(&json);
        sonde_encoding_finish(&encoding);
        sonde_tokenizer_close(&t);
    }
}

/* Ten megabytes against each pattern: matching must not be quadratic, nor run out of stack. */
static void long_runs_through_a_pattern(void **state)
{
    (void)state;
    struct sonde_error error = { 0 };
    struct sonde_tokenizer *t = NULL;
    const char *json = "{\"pre_tokenizer\":" SPLIT(
        "\\\\p{N}{1,3}") ",\"model\":{\"vocab\":{\"?\":0},"
                         "\"merges\":[],\"unk_token\":\"?\",\"fuse_unk\":true}}";
    size_t n = 10000000;
    char *text = malloc(n);
    check_ok(sonde_tokenizer_parse(&t, json, strlen(json), "pattern", &error), &error);
    for (const char *c = "a !\n"; *c; c++) {
        struct sonde_encoding encoding = { 0 };
        memset(text, *c, n);
        check_ok(sonde_tokenizer_encode(t, text, n, SONDE_BOS_NEVER, &encoding, &error), &error);
        assert_int_equal(encoding.n, 1);
        sonde_encoding_finish(&encoding);
    }
    free(text);
    sonde_tokenizer_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gpt2_files),
        cmocka_unit_test(what_is_added_around),
        cmocka_unit_test(equal_scores_merge_from_the_left),
        cmocka_unit_test(known_patterns_cut),
        cmocka_unit_test(long_runs_through_a_pattern),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
