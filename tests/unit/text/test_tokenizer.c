/* tokenizer.json of a real model (SentencePiece style) and llama2.c's file: pinned ids, laws on
 * hostile text, and a slow second implementation. */
#include "tests/support/check.h"

#include <string.h>

#include "core/base/file.h"
#include "tests/unit/text/naive_bpe.h"
#include "tests/unit/text/text_laws.h"

#define TINYSTORIES "models/tinystories-656k/tokenizer.json"
#define TOK512 "models/stories260k/tok512.bin"

static struct sonde_tokenizer *open_shared(const char *path, int64_t vocab_size)
{
    struct sonde_tokenizer *t = NULL;
    struct sonde_error error = { 0 };
    check_ok(sonde_tokenizer_open(&t, path, vocab_size, &error), &error);
    return t;
}

static void check_ids(const struct sonde_tokenizer *t, const char *text, size_t n,
                      enum sonde_bos_policy bos, const int32_t *ids, int64_t n_ids)
{
    struct sonde_encoding encoding = { 0 };
    struct sonde_error error = { 0 };
    check_ok(sonde_tokenizer_encode(t, text, n, bos, &encoding, &error), &error);
    assert_int_equal(encoding.n, n_ids);
    for (int64_t k = 0; k < n_ids; k++)
        assert_int_equal(encoding.tokens[k].id, ids[k]);
    sonde_encoding_finish(&encoding);
}

/* Ids printed by Hugging Face's tokenizers 0.23.2 for this file, without what stands around. */
static void ids_of_the_reference(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t n;
        int32_t ids[10];
        int64_t n_ids;
    } cases[] = {
        { "", 0, { 0 }, 0 },
        { "a", 1, { 85 }, 1 },
        { " ", 1, { 80, 80 }, 2 },
        { "  two  blanks ", 14, { 80, 80, 80, 1209, 80, 811, 116, 63, 89 }, 9 },
        { "One day, a girl named Lily.", 27, { 80, 429, 1168, 629, 10 }, 5 },
        { "\xE6\x97\xA5\xE6\x9C\xAC a", 8, { 80, 0, 85 }, 3 },
        { "na\xC3\xAFve\tcaf\xC3\xA9\n", 13, { 80, 557, 0, 1032, 0, 295, 58, 0, 3 }, 9 },
        { "<|start_story|>H\xC3\xA9llo <|end_story|> x", 37, { 1, 33, 0, 113, 67, 2, 80, 76 }, 8 },
        { "a<|end_story|>", 14, { 85, 208, 183, 209, 210 }, 5 },
        { "<unk>", 5, { 0 }, 1 },
        { "\xE2\x96\x81x", 4, { 80, 80, 76 }, 3 },
        { "\0x", 2, { 80, 0, 76 }, 3 },
    };
    char path[4096];
    check_shared(path, TINYSTORIES);
    struct sonde_tokenizer *t = open_shared(path, 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        check_ids(t, cases[i].text, cases[i].n, SONDE_BOS_NEVER, cases[i].ids, cases[i].n_ids);
    sonde_tokenizer_close(&t);
    assert_null(t);
}

static void what_the_files_say(void **state)
{
    (void)state;
    char path[4096];
    check_shared(path, TINYSTORIES);
    *strrchr(path, '/') = '\0';
    struct sonde_tokenizer *t = open_shared(path, 0);
    assert_string_equal(sonde_tokenizer_kind(t), "BPE, byte fallback without byte pieces");
    assert_int_equal(sonde_tokenizer_size(t), 2048);
    assert_int_equal(sonde_tokenizer_bos(t), 1);
    assert_int_equal(sonde_tokenizer_eos(t), 2);
    assert_int_equal(sonde_tokenizer_unk(t), 0);
    assert_true(sonde_tokenizer_is_special(t, 2));
    assert_false(sonde_tokenizer_is_special(t, 3));
    assert_false(sonde_tokenizer_is_special(t, -1));
    assert_false(sonde_tokenizer_is_special(t, 2048));
    assert_int_equal(sonde_tokenizer_id(t, "<|end_story|>"), 2);
    assert_int_equal(sonde_tokenizer_id(t, "no such piece"), -1);
    assert_string_equal(sonde_tokenizer_piece(t, 85), "\xE2\x96\x81\x61");
    assert_null(sonde_tokenizer_piece(t, 2048));
    sonde_tokenizer_set_special(t, -1, 2048); /* nothing to take over */
    assert_int_equal(sonde_tokenizer_bos(t), 1);
    assert_int_equal(sonde_tokenizer_eos(t), 2);
    sonde_tokenizer_close(&t);
}

static void one_beginning_of_sequence(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum sonde_bos_policy bos;
        int64_t n_bos;
    } cases[] = {
        { "a", SONDE_BOS_AUTO, 1 },
        { "a", SONDE_BOS_ALWAYS, 1 },
        { "a", SONDE_BOS_NEVER, 0 },
        { "", SONDE_BOS_AUTO, 1 },
        { "", SONDE_BOS_NEVER, 0 },
        { "<|start_story|>a", SONDE_BOS_AUTO, 1 },
        { "<|start_story|>a", SONDE_BOS_ALWAYS, 1 },
        { "<|start_story|>a", SONDE_BOS_NEVER, 1 },
        { "<|start_story|> <|start_story|>a", SONDE_BOS_AUTO, 2 },
    };
    char path[4096];
    struct sonde_error error = { 0 };
    check_shared(path, TINYSTORIES);
    struct sonde_tokenizer *t = open_shared(path, 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sonde_encoding encoding = { 0 };
        int64_t n_bos = 0;
        check_ok(sonde_tokenizer_encode(t, cases[i].text, strlen(cases[i].text), cases[i].bos,
                                        &encoding, &error),
                 &error);
        for (int64_t k = 0; k < encoding.n; k++) {
            bool is = encoding.tokens[k].id == 1;
            n_bos += is;
            assert_int_equal(encoding.tokens[k].flags & 5U, is ? 5U : 0U);
        }
        assert_int_equal(n_bos, cases[i].n_bos);
        sonde_encoding_finish(&encoding);
    }
    sonde_tokenizer_close(&t);
}

static void unknown_characters_fuse_and_are_flagged(void **state)
{
    (void)state;
    char path[4096];
    struct sonde_error error = { 0 };
    struct sonde_encoding encoding = { 0 };
    const char *text = "a\xE6\x97\xA5\xE6\x9C\xAC\xFF."; /* two characters and a bad byte */
    check_shared(path, TINYSTORIES);
    struct sonde_tokenizer *t = open_shared(path, 0);
    check_ok(sonde_tokenizer_encode(t, text, strlen(text), SONDE_BOS_NEVER, &encoding, &error),
             &error);
    assert_int_equal(encoding.n, 3);
    assert_int_equal(encoding.tokens[1].id, 0);
    assert_int_equal(encoding.tokens[1].begin, 1);
    assert_int_equal(encoding.tokens[1].end, 8);
    assert_true(encoding.tokens[1].flags & 8U);
    sonde_encoding_finish(&encoding);
    sonde_tokenizer_close(&t);
}

static void stories_come_back(void **state)
{
    (void)state;
    char path[4096], stories[4096];
    struct sonde_error error = { 0 };
    struct sonde_buf file = { 0 };
    int n_stories = 0, n_known = 0;
    check_shared(path, TINYSTORIES);
    check_shared(stories, "data/text/tinystories-600.jsonl");
    struct sonde_tokenizer *t = open_shared(path, 0);
    check_ok(sonde_file_load(stories, 1 << 24, &file, &error), &error);
    for (char *line = file.data; *line;) {
        struct sonde_json *root = NULL;
        struct sonde_encoding encoding = { 0 };
        struct sonde_buf back = { 0 }, stream = { 0 };
        bool known = true;
        size_t n_line = strcspn(line, "\n");
        check_ok(sonde_json_parse(&root, line, n_line, &error), &error);
        const char *text = sonde_json_string(sonde_json_get(root, "text"), NULL);
        check_ok(sonde_tokenizer_encode(t, text, strlen(text), SONDE_BOS_AUTO, &encoding, &error),
                 &error);
        check_spans(&encoding, text, strlen(text));
        for (int64_t k = 0; k < encoding.n; k++) {
            known = known && encoding.tokens[k].id != 0;
            if (k > 0)
                check_ok(sonde_tokenizer_decode_next(t, encoding.tokens[k - 1].id,
                                                     encoding.tokens[k].id, &stream, &error),
                         &error);
        }
        decode_all(t, &encoding, true, &back);
        if (known) {
            assert_string_equal(back.data, text);
            assert_string_equal(stream.data, text);
        }
        n_stories++;
        n_known += known;
        sonde_buf_finish(&back);
        sonde_buf_finish(&stream);
        sonde_encoding_finish(&encoding);
        sonde_json_destroy(&root);
        line += n_line + (line[n_line] == '\n');
    }
    assert_int_equal(n_stories, 600);
    assert_true(n_known > 400);
    sonde_buf_finish(&file);
    sonde_tokenizer_close(&t);
}

static void laws_on_hostile_text(void **state)
{
    (void)state;
    char path[4096], text[4096];
    struct sonde_error error = { 0 };
    struct sonde_rng rng = sonde_rng_make(SONDE_SEED_DEFAULT, sonde_rng_stream("hostile"));
    check_shared(path, TINYSTORIES);
    struct sonde_tokenizer *t = open_shared(path, 0);
    for (int round = 0; round < 5000; round++) {
        struct sonde_encoding encoding = { 0 };
        struct sonde_buf back = { 0 };
        size_t n = hostile_text(&rng, text, 30);
        check_ok(sonde_tokenizer_encode(t, text, n, SONDE_BOS_AUTO, &encoding, &error), &error);
        check_spans(&encoding, text, n);
        decode_all(t, &encoding, false, &back);
        assert_true(sonde_utf8_valid(back.data, back.size));
        sonde_buf_finish(&back);
        sonde_encoding_finish(&encoding);
    }
    sonde_tokenizer_close(&t);
}

/* The second implementation: replaces blanks, puts one in front, and merges by the list. */
static int naive_encode(const struct naive_bpe *bpe, const char *text, int *ids)
{
    char marked[1024] = "\xE2\x96\x81";
    size_t at = 3;
    int n = 0;

    for (const char *c = text; *c; c++) {
        if (*c == ' ') {
            memcpy(marked + at, "\xE2\x96\x81", 3);
            at += 3;
        } else {
            marked[at++] = *c;
        }
    }
    marked[at] = '\0';
    for (const char *c = marked; *c;) {
        size_t length = 1;
        while (((unsigned char)c[length] & 0xC0) == 0x80)
            length++;
        int id = naive_find(bpe, c, length);
        if (id >= 0 || n == 0 || ids[n - 1] != 0)
            ids[n++] = id >= 0 ? id : 0;
        c += length;
    }
    return naive_merge_all(bpe, ids, n);
}

static void agrees_with_the_definition(void **state)
{
    (void)state;
    static const char *const parts[] = { "a",    "e",   "t",    "o",        "n",
                                         "d",    "y",   "h",    " ",        " ",
                                         "the",  "and", "was ", ". ",       "She ",
                                         "ing",  "ed ", "\n",   "L",        "ily",
                                         "upon", "\"",  ",",    "\xC3\xA9", "\xE2\x80\x99",
                                         "qz",   "1",   "!" };
    char path[4096];
    struct sonde_error error = { 0 };
    struct sonde_json *root = NULL;
    struct naive_bpe bpe;
    struct sonde_rng rng = sonde_rng_make(SONDE_SEED_DEFAULT, sonde_rng_stream("naive"));
    check_shared(path, TINYSTORIES);
    struct sonde_tokenizer *t = open_shared(path, 0);
    check_ok(sonde_json_load(&root, path, 1 << 24, &error), &error);
    naive_init(&bpe, sonde_json_get(root, "model"));
    for (int round = 0; round < 2000; round++) {
        char text[256] = "";
        int naive[512];
        int32_t ids[512];
        /* short ones mostly; long ones take the heap's way through the merging */
        int64_t n_parts = 1 + sonde_rng_below(&rng, round % 10 == 0 ? 40 : 10);
        for (int64_t k = 0; k < n_parts; k++)
            strcat(text, parts[sonde_rng_below(&rng, 28)]);
        int n = naive_encode(&bpe, text, naive);
        for (int k = 0; k < n; k++)
            ids[k] = naive[k];
        check_ids(t, text, strlen(text), SONDE_BOS_NEVER, ids, n);
    }
    naive_finish(&bpe);
    sonde_json_destroy(&root);
    sonde_tokenizer_close(&t);
}

static void llama2c_bytes_have_their_characters_span(void **state)
{
    (void)state;
    static const int64_t begin[] = { 0, 1, 1, 1, 4, 5 }, end[] = { 1, 4, 4, 4, 5, 6 };
    char path[4096];
    struct sonde_error error = { 0 };
    struct sonde_encoding encoding = { 0 };
    check_shared(path, TOK512);
    struct sonde_tokenizer *t = open_shared(path, 512);
    check_ok(sonde_tokenizer_encode(t, "a\xE6\x97\xA5\xFFz", 6, SONDE_BOS_NEVER, &encoding, &error),
             &error);
    assert_int_equal(encoding.n, 6); /* the dummy prefix is part of " a" */
    for (int k = 0; k < 6; k++) {
        assert_int_equal(encoding.tokens[k].begin, begin[k]);
        assert_int_equal(encoding.tokens[k].end, end[k]);
    }
    sonde_encoding_finish(&encoding);
    sonde_tokenizer_close(&t);
}

static void llama2c_streams_and_comes_back(void **state)
{
    (void)state;
    char path[4096], text[4096];
    struct sonde_error error = { 0 };
    struct sonde_rng rng = sonde_rng_make(SONDE_SEED_DEFAULT, sonde_rng_stream("llama2c"));
    check_shared(path, TOK512);
    struct sonde_tokenizer *t = open_shared(path, 512);
    assert_string_equal(sonde_tokenizer_kind(t), "BPE by scores, llama2.c");
    static const int32_t once[] = { 1, 403, 407, 261, 378 };
    check_ids(t, "Once upon a time", 16, SONDE_BOS_AUTO, once, 5);
    static const int32_t bytes[] = { 410, 233, 154, 168 }; /* byte b is id b + 3 */
    check_ids(t, "\xE6\x97\xA5", 3, SONDE_BOS_NEVER, bytes, 4);
    check_ids(t, "", 0, SONDE_BOS_NEVER, NULL, 0); /* no dummy prefix before nothing */
    for (int round = 0; round < 3000; round++) {
        struct sonde_encoding encoding = { 0 };
        struct sonde_buf back = { 0 }, stream = { 0 }, lossy = { 0 };
        size_t n = hostile_text(&rng, text, 30);
        check_ok(sonde_tokenizer_encode(t, text, n, SONDE_BOS_AUTO, &encoding, &error), &error);
        for (int64_t k = 1; k < encoding.n; k++)
            check_ok(sonde_tokenizer_decode_next(t, encoding.tokens[k - 1].id,
                                                 encoding.tokens[k].id, &stream, &error),
                     &error);
        assert_int_equal(stream.size, n); /* the very bytes */
        if (n > 0)
            assert_memory_equal(stream.data, text, n);
        decode_all(t, &encoding, true, &back);
        sonde_utf8_append_lossy(&lossy, text, n);
        assert_int_equal(back.size, lossy.size);
        if (back.size > 0)
            assert_memory_equal(back.data, lossy.data, lossy.size);
        sonde_buf_finish(&back);
        sonde_buf_finish(&stream);
        sonde_buf_finish(&lossy);
        sonde_encoding_finish(&encoding);
    }
    sonde_tokenizer_close(&t);
}

/* llama2.c's encode() as its text says: each time the best-scored pair of neighbours, the leftmost
 * of equals. Scores are read from the file again. */
static void llama2c_agrees_with_the_definition(void **state)
{
    (void)state;
    static const char *const parts[] = { "a",  "e",  "t",        " ",    "the", "Lily", ". ",
                                         "\n", "qz", "\xC3\xA9", "and ", "x",   "was",  "  " };
    float scores[512];
    char path[4096];
    struct sonde_error error = { 0 };
    struct sonde_buf file = { 0 };
    struct sonde_rng rng = sonde_rng_make(SONDE_SEED_DEFAULT, sonde_rng_stream("scores"));
    check_shared(path, TOK512);
    struct sonde_tokenizer *t = open_shared(path, 512);
    check_ok(sonde_file_load(path, 1 << 20, &file, &error), &error);
    size_t at = 4;
    for (int id = 0; id < 512; id++) {
        int32_t length;
        memcpy(&scores[id], file.data + at, 4);
        memcpy(&length, file.data + at + 4, 4);
        at += 8 + (size_t)length;
    }
    assert_int_equal(at, file.size);
    for (int round = 0; round < 1500; round++) {
        char text[256] = "";
        int32_t ids[512];
        int n = 0;
        int64_t n_parts = 1 + sonde_rng_below(&rng, round % 8 == 0 ? 30 : 8);
        for (int64_t k = 0; k < n_parts; k++)
            strcat(text, parts[sonde_rng_below(&rng, 14)]);
        ids[n++] = sonde_tokenizer_id(t, " ");
        for (const char *c = text; *c;) {
            char one[8] = { 0 };
            size_t length = 0;
            do
                one[length] = c[length];
            while (((unsigned char)c[++length] & 0xC0) == 0x80);
            int32_t id = sonde_tokenizer_id(t, one);
            for (size_t k = 0; id < 0 && k < length; k++)
                ids[n++] = (unsigned char)one[k] + 3;
            if (id >= 0)
                ids[n++] = id;
            c += length;
        }
        for (;;) {
            float best = -1e10F;
            int32_t best_id = -1, best_at = -1;
            for (int i = 0; i + 1 < n; i++) {
                char both[256];
                snprintf(both, sizeof(both), "%s%s", sonde_tokenizer_piece(t, ids[i]),
                         sonde_tokenizer_piece(t, ids[i + 1]));
                int32_t id = sonde_tokenizer_id(t, both);
                if (id >= 0 && scores[id] > best) {
                    best = scores[id];
                    best_id = id;
                    best_at = i;
                }
            }
            if (best_at < 0)
                break;
            ids[best_at] = best_id;
            memmove(&ids[best_at + 1], &ids[best_at + 2], (size_t)(n - best_at - 2) * sizeof(*ids));
            n--;
        }
        check_ids(t, text, strlen(text), SONDE_BOS_NEVER, ids, n);
    }
    sonde_buf_finish(&file);
    sonde_tokenizer_close(&t);
}

static void characters(void **state)
{
    (void)state;
    static const char *const pieces[] = { "A", "\xC3\xA9", NULL, "(" };
    static const char *const bad[] = { "A", "BC" };
    static const char *const twice[] = { "A", "A" };
    struct sonde_error error = { 0 };
    struct sonde_tokenizer *t = NULL;
    struct sonde_encoding encoding = { 0 };
    check_ok(sonde_tokenizer_characters(&t, pieces, 4, -1, &error), &error);
    static const int32_t ids[] = { 0, 1, 3 };
    check_ids(t, "A\xC3\xA9(", 4, SONDE_BOS_AUTO, ids, 3);
    assert_int_equal(sonde_tokenizer_encode(t, "AB", 2, SONDE_BOS_AUTO, &encoding, &error),
                     SONDE_STATUS_FORMAT);
    assert_string_equal(error.text,
                        "\"B\" at byte 1 is not in the vocabulary, and the tokenizer has "
                        "no unknown token");
    assert_int_equal(encoding.n, 0);
    assert_int_equal(sonde_tokenizer_encode(t, "A", 1, SONDE_BOS_ALWAYS, &encoding, &error),
                     SONDE_STATUS_ARGUMENT);
    sonde_encoding_finish(&encoding);
    sonde_tokenizer_close(&t);
    check_ok(sonde_tokenizer_characters(&t, pieces, 4, 3, &error), &error);
    static const int32_t unknown[] = { 0, 3, 3, 3 };
    check_ids(t, "A\xE6\x97\xA5\xFF(", 6, SONDE_BOS_AUTO, unknown, 4);
    sonde_tokenizer_close(&t);
    assert_int_equal(sonde_tokenizer_characters(&t, bad, 2, -1, &error), SONDE_STATUS_FORMAT);
    assert_string_equal(error.text, "id 1: \"BC\" is not one character");
    assert_int_equal(sonde_tokenizer_characters(&t, twice, 2, -1, &error), SONDE_STATUS_FORMAT);
    assert_int_equal(sonde_tokenizer_characters(&t, pieces, 4, 2, &error), SONDE_STATUS_ARGUMENT);
    assert_null(t);
}

/* A text without a place to split: merging must not be quadratic. */
static void ten_megabytes_of_one_word(void **state)
{
    (void)state;
    char path[4096];
    struct sonde_error error = { 0 };
    struct sonde_encoding encoding = { 0 };
    size_t n = 10000000;
    check_shared(path, TINYSTORIES);
    struct sonde_tokenizer *t = open_shared(path, 0);
    char *text = malloc(n);
    for (size_t i = 0; i < n; i++)
        text[i] = i % 2 ? 'h' : 't';
    check_ok(sonde_tokenizer_encode(t, text, n, SONDE_BOS_NEVER, &encoding, &error), &error);
    assert_int_equal(encoding.tokens[encoding.n - 1].end, n);
    sonde_encoding_finish(&encoding);
    assert_int_equal(
        sonde_tokenizer_encode(t, text, (size_t)1 << 30, SONDE_BOS_NEVER, &encoding, &error),
        SONDE_STATUS_LIMIT);
    assert_string_equal(error.text,
                        "a text of 1073741824 bytes, at most 268435456 in one sequence");
    free(text);
    sonde_tokenizer_close(&t);
}

static void ids_out_of_range_are_refused(void **state)
{
    (void)state;
    static const int32_t ids[] = { 5, 2048, -1 };
    char path[4096];
    struct sonde_error error = { 0 };
    struct sonde_buf out = { 0 };
    check_shared(path, TINYSTORIES);
    struct sonde_tokenizer *t = open_shared(path, 0);
    assert_int_equal(sonde_tokenizer_decode(t, ids, 3, false, &out, &error), SONDE_STATUS_ARGUMENT);
    assert_string_equal(error.text, "token 1: id 2048, expected 0 to 2047");
    assert_int_equal(sonde_tokenizer_token_text(t, -1, &out, &error), SONDE_STATUS_ARGUMENT);
    assert_int_equal(out.size, 0);
    check_ok(sonde_tokenizer_token_text(t, 85, &out, &error), &error);
    assert_string_equal(out.data, " a");
    sonde_buf_finish(&out);
    sonde_tokenizer_close(&t);
    check_shared(path, TOK512);
    t = open_shared(path, 512);
    check_ok(sonde_tokenizer_token_text(t, 0xE2 + 3, &out, &error), &error);
    assert_string_equal(out.data, "<0xE2>");
    sonde_buf_finish(&out);
    sonde_tokenizer_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_of_the_reference),
        cmocka_unit_test(what_the_files_say),
        cmocka_unit_test(one_beginning_of_sequence),
        cmocka_unit_test(unknown_characters_fuse_and_are_flagged),
        cmocka_unit_test(stories_come_back),
        cmocka_unit_test(laws_on_hostile_text),
        cmocka_unit_test(agrees_with_the_definition),
        cmocka_unit_test(llama2c_bytes_have_their_characters_span),
        cmocka_unit_test(llama2c_streams_and_comes_back),
        cmocka_unit_test(llama2c_agrees_with_the_definition),
        cmocka_unit_test(characters),
        cmocka_unit_test(ten_megabytes_of_one_word),
        cmocka_unit_test(ids_out_of_range_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
