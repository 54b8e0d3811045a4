/* Text, JSON lines and .npy readers: what they give, and the one line for what is wrong. */
#include <unistd.h>

#include "tests/unit/corpus/corpus_files.h"

struct text_case {
    const char *name;
    enum sonde_corpus_format format;
    const char *field;
    const char *data;
    size_t n;
    const char *items[6]; /* "|" stands for NUL in them */
    const char *message;  /* after the path; NULL: none */
};

#define TEXT(s) s, sizeof(s) - 1
static const struct text_case text_cases[] = {
    { "lines", SONDE_CORPUS_LINES, NULL, TEXT("a\nb c\n"), { "a", "b c" }, NULL },
    { "no newline at the end", SONDE_CORPUS_LINES, NULL, TEXT("a\nb"), { "a", "b" }, NULL },
    { "CRLF and empty lines",
      SONDE_CORPUS_LINES,
      NULL,
      TEXT("\r\na\r\n\r\n\nb\r\n"),
      { "a", "b" },
      NULL },
    { "byte-order mark",
      SONDE_CORPUS_LINES,
      NULL,
      TEXT("\xEF\xBB\xBF"
           "a\n"),
      { "a" },
      NULL },
    { "a mark alone", SONDE_CORPUS_LINES, NULL, TEXT("\xEF\xBB\xBF\n"), { NULL }, NULL },
    { "a carriage return inside", SONDE_CORPUS_LINES, NULL, TEXT("a\rb\n"), { "a\rb" }, NULL },
    { "NUL in a line", SONDE_CORPUS_LINES, NULL, TEXT("a\0b\n"), { "a|b" }, NULL },
    { "nothing", SONDE_CORPUS_LINES, NULL, TEXT(""), { NULL }, NULL },
    { "whole", SONDE_CORPUS_WHOLE, NULL, TEXT("a\nb\n"), { "a\nb\n" }, NULL },
    { "whole, empty", SONDE_CORPUS_WHOLE, NULL, TEXT(""), { NULL }, NULL },
    { "whole, marked", SONDE_CORPUS_WHOLE, NULL, TEXT("\xEF\xBB\xBFx"), { "x" }, NULL },
    { "JSON lines",
      SONDE_CORPUS_JSONL,
      NULL,
      TEXT("{\"text\": \"a\\nb\"}\n\n  \r\n{\"x\": 1, \"text\": \"\"}"),
      { "a\nb", "" },
      NULL },
    { "a field in a field",
      SONDE_CORPUS_JSONL,
      "a.b.c",
      TEXT("{\"a\": {\"b\": {\"c\": \"x\"}}}\n"),
      { "x" },
      NULL },
    { "a field with a dot in its name",
      SONDE_CORPUS_JSONL,
      "a.b",
      TEXT("{\"a.b\": \"x\", \"a\": {\"b\": \"y\"}}\n"),
      { "x" },
      NULL },
    { "a dot in the last name",
      SONDE_CORPUS_JSONL,
      "a.b.c",
      TEXT("{\"a\": {\"b.c\": \"x\"}}\n"),
      { "x" },
      NULL },
    { "no field",
      SONDE_CORPUS_JSONL,
      NULL,
      TEXT("{\"text\": \"a\"}\n{\"t\": 1}\n"),
      { "a" },
      ":2: no field \"text\"" },
    { "a field of another type",
      SONDE_CORPUS_JSONL,
      NULL,
      TEXT("{\"text\": 7}\n"),
      { NULL },
      ":1: field \"text\" is a whole number, expected a string" },
    { "no object",
      SONDE_CORPUS_JSONL,
      NULL,
      TEXT("\n[1]\n"),
      { NULL },
      ":2: an array, expected an object" },
    { "no JSON",
      SONDE_CORPUS_JSONL,
      NULL,
      TEXT("{\"text\": \"a\"\n"),
      { NULL },
      ":1: line 1, column 12: '}' expected near end of file" },
};

static void check_items(struct sonde_corpus *corpus, const struct text_case *c,
                        const struct test_file *file)
{
    struct sonde_error error = { 0 };
    const struct sonde_corpus_item *item = NULL;

    for (int64_t k = 0; c->items[k]; k++) {
        char wanted[64];
        size_t n = strlen(c->items[k]);
        for (size_t i = 0; i <= n; i++)
            wanted[i] = c->items[k][i] == '|' ? '\0' : c->items[k][i];
        check_ok(sonde_corpus_next(corpus, &item, &error), &error);
        assert_non_null(item);
        assert_int_equal(item->ordinal, k);
        assert_int_equal(item->text_bytes, n);
        assert_memory_equal(item->text, wanted, n + 1);
        assert_null(item->ids);
        assert_int_equal(item->n_words, 0);
    }
    enum sonde_status status = sonde_corpus_next(corpus, &item, &error);
    if (c->message) {
        assert_int_equal(status, SONDE_STATUS_FORMAT);
        check_message(file, &error, c->message);
        return;
    }
    check_ok(status, &error);
    assert_null(item);
    check_ok(sonde_corpus_next(corpus, &item, &error), &error); /* the end stays the end */
    assert_null(item);
}

static void texts_and_lines(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(text_cases) / sizeof(text_cases[0]); i++) {
        const struct text_case *c = &text_cases[i];
        struct sonde_corpus *corpus = NULL;
        struct sonde_error error = { 0 };
        struct test_file file;
        int64_t done, total;
        fprintf(stderr, "# %s\n", c->name);
        make_file(&file, c->data, c->n);
        check_ok(sonde_corpus_open(&corpus, file.path, c->format, c->field, &error), &error);
        check_items(corpus, c, &file);
        sonde_corpus_position(corpus, &done, &total);
        assert_int_equal(total, c->n);
        if (!c->message)
            assert_int_equal(done, total);
        sonde_corpus_close(&corpus);
        assert_null(corpus);
        remove_file(&file);
    }
}

static void given_texts(void **state)
{
    (void)state;
    static const char *const texts[] = { "a", "", "b\nc" };
    struct sonde_corpus *corpus = NULL;
    struct sonde_error error = { 0 };
    const struct sonde_corpus_item *item;
    int64_t done = 1, total = 1;
    check_ok(sonde_corpus_from_texts(&corpus, texts, 3, &error), &error);
    for (int k = 0; k < 3; k++) {
        check_ok(sonde_corpus_next(corpus, &item, &error), &error);
        assert_string_equal(item->text, texts[k]);
    }
    check_ok(sonde_corpus_next(corpus, &item, &error), &error);
    assert_null(item);
    sonde_corpus_position(corpus, &done, &total);
    assert_int_equal(done + total, 0);
    sonde_corpus_close(&corpus);
}

static void what_is_no_file(void **state)
{
    (void)state;
    struct sonde_corpus *corpus = NULL;
    struct sonde_error error = { 0 };
    assert_int_equal(sonde_corpus_open(&corpus, "/no/such/file", SONDE_CORPUS_LINES, NULL, &error),
                     SONDE_STATUS_NOT_FOUND);
    assert_string_equal(error.text, "/no/such/file: No such file or directory");
    assert_int_equal(sonde_corpus_open(&corpus, ".", SONDE_CORPUS_LINES, NULL, &error),
                     SONDE_STATUS_IO);
    assert_string_equal(error.text, ".: is a directory, expected a file");
    assert_int_not_equal(sonde_corpus_open(&corpus, "/dev/zero", SONDE_CORPUS_IDS, NULL, &error),
                         SONDE_STATUS_OK);
    assert_null(corpus);
    /* a line without an end */
    check_ok(sonde_corpus_open(&corpus, "/dev/zero", SONDE_CORPUS_LINES, NULL, &error), &error);
    const struct sonde_corpus_item *item = NULL;
    assert_int_equal(sonde_corpus_next(corpus, &item, &error), SONDE_STATUS_LIMIT);
    assert_string_equal(error.text, "/dev/zero:1: a line of more than 268435456 bytes");
    assert_null(item);
    sonde_corpus_close(&corpus);
}

/* A .npy file. version 1 has two length bytes, 2 has four. */
static size_t make_npy(uint8_t *out, int version, const char *header, const void *data, size_t n)
{
    size_t n_header = strlen(header), at = 8;
    memcpy(out, "\x93NUMPY", 6);
    out[6] = (uint8_t)version;
    out[7] = 0;
    for (int k = 0; k < (version == 1 ? 2 : 4); k++)
        out[at++] = (uint8_t)(n_header >> (8 * k));
    memcpy(out + at, header, n_header);
    at += n_header;
    memcpy(out + at, data, n);
    return at + n;
}

#define HEADER(type, order, shape)                                                                 \
    "{'descr': '" type "', 'fortran_order': " order ", 'shape': " shape ", }          \n"

static void ids_by_rows(void **state)
{
    (void)state;
    static const int32_t narrow[] = { 1, 2, -1, 3, 4, 5, -1, 7, 7 };
    static const int64_t wide[] = { 6, 7, INT32_MAX };
    struct sonde_corpus *corpus = NULL;
    struct sonde_error error = { 0 };
    struct test_file file;
    const struct sonde_corpus_item *item;
    uint8_t data[256];
    size_t n = make_npy(data, 1, HEADER("<i4", "False", "(3, 3)"), narrow, sizeof(narrow));
    make_file(&file, data, n);
    check_ok(sonde_corpus_open(&corpus, file.path, SONDE_CORPUS_IDS, NULL, &error), &error);
    static const int64_t lengths[] = { 2, 3, 0 };
    for (int64_t row = 0; row < 3; row++) {
        check_ok(sonde_corpus_next(corpus, &item, &error), &error);
        assert_int_equal(item->n_ids, lengths[row]);
        assert_null(item->text);
        for (int64_t k = 0; k < item->n_ids; k++)
            assert_int_equal(item->ids[k], narrow[row * 3 + k]);
    }
    check_ok(sonde_corpus_next(corpus, &item, &error), &error);
    assert_null(item);
    sonde_corpus_close(&corpus);
    remove_file(&file);
    n = make_npy(data, 2, HEADER("<i8", "False", "(3,)"), wide, sizeof(wide));
    make_file(&file, data, n);
    check_ok(sonde_corpus_open(&corpus, file.path, SONDE_CORPUS_IDS, NULL, &error), &error);
    check_ok(sonde_corpus_next(corpus, &item, &error), &error);
    assert_int_equal(item->n_ids, 3);
    assert_int_equal(item->ids[2], INT32_MAX);
    sonde_corpus_close(&corpus);
    remove_file(&file);
}

static void wrong_npy_files(void **state)
{
    (void)state;
    static const struct {
        const char *header, *message;
        enum sonde_status status;
        int version;
    } cases[] = {
        { HEADER("<f4", "False", "(2,)"), ": dtype '<f4', expected '<i4' or '<i8'",
          SONDE_STATUS_UNSUPPORTED, 1 },
        { HEADER(">i4", "False", "(2,)"), ": dtype '>i4', expected '<i4' or '<i8'",
          SONDE_STATUS_UNSUPPORTED, 1 },
        { HEADER("|O", "False", "(2,)"), ": dtype '|O', expected '<i4' or '<i8'",
          SONDE_STATUS_UNSUPPORTED, 1 },
        { HEADER("<i4", "True", "(1, 2)"),
          ": npy array in Fortran order; save np.ascontiguousarray(x)", SONDE_STATUS_UNSUPPORTED,
          1 },
        { HEADER("<i4", "False", "(2, 1, 1)"), ": an array of rank 3, expected (n,) or (n, T)",
          SONDE_STATUS_FORMAT, 1 },
        { HEADER("<i4", "False", "()"), ": an array of rank 0, expected (n,) or (n, T)",
          SONDE_STATUS_FORMAT, 1 },
        { HEADER("<i4", "False", "(-2,)"), ": npy header: shape holds what is no whole number",
          SONDE_STATUS_FORMAT, 1 },
        { HEADER("<i4", "False", "(3,)"),
          ": [1, 3] of 4 bytes behind a header of 78, but the file has 86 bytes",
          SONDE_STATUS_FORMAT, 1 },
        { HEADER("<i4", "False", "(4611686018427387904, 4)"),
          ": npy header: the product of the shape overflows", SONDE_STATUS_FORMAT, 1 },
        { "{'descr': '<i4'}", ": npy header: expected exactly descr, fortran_order and shape",
          SONDE_STATUS_FORMAT, 1 },
        { HEADER("<i4", "False", "(2,)"), ": npy format version 9.0", SONDE_STATUS_UNSUPPORTED, 9 },
    };
    static const int32_t two[] = { 1, 2 };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sonde_corpus *corpus = NULL;
        struct sonde_error error = { 0 };
        struct test_file file;
        uint8_t data[512];
        size_t n = make_npy(data, cases[i].version, cases[i].header, two, sizeof(two));
        make_file(&file, data, n);
        assert_int_equal(sonde_corpus_open(&corpus, file.path, SONDE_CORPUS_IDS, NULL, &error),
                         cases[i].status);
        check_message(&file, &error, cases[i].message);
        assert_null(corpus);
        remove_file(&file);
    }
}

static void cut_and_large_ids(void **state)
{
    (void)state;
    static const int64_t wide[] = { 1, INT64_C(1) << 31 };
    struct sonde_corpus *corpus = NULL;
    struct sonde_error error = { 0 };
    struct test_file file;
    const struct sonde_corpus_item *item;
    uint8_t data[256];
    size_t n = make_npy(data, 1, HEADER("<i8", "False", "(2,)"), wide, sizeof(wide));
    for (size_t cut = 0; cut < n; cut++) { /* every shorter file is refused */
        make_file(&file, data, cut);
        assert_int_equal(sonde_corpus_open(&corpus, file.path, SONDE_CORPUS_IDS, NULL, &error),
                         SONDE_STATUS_FORMAT);
        remove_file(&file);
    }
    make_file(&file, data, n);
    check_ok(sonde_corpus_open(&corpus, file.path, SONDE_CORPUS_IDS, NULL, &error), &error);
    assert_int_equal(sonde_corpus_next(corpus, &item, &error), SONDE_STATUS_FORMAT);
    check_message(&file, &error, ": row 0, column 1: id 2147483648, at most 2147483647");
    sonde_corpus_close(&corpus);
    remove_file(&file);
    /* a claim of many rows of nothing */
    n = make_npy(data, 1, HEADER("<i4", "False", "(4611686018427387904, 0)"), wide, 0);
    make_file(&file, data, n);
    check_ok(sonde_corpus_open(&corpus, file.path, SONDE_CORPUS_IDS, NULL, &error), &error);
    check_ok(sonde_corpus_next(corpus, &item, &error), &error);
    assert_null(item);
    sonde_corpus_close(&corpus);
    remove_file(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_and_lines), cmocka_unit_test(given_texts),
        cmocka_unit_test(what_is_no_file), cmocka_unit_test(ids_by_rows),
        cmocka_unit_test(wrong_npy_files), cmocka_unit_test(cut_and_large_ids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
