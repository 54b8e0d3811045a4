/* Delimited text, npz archives and array files. */
#include <string.h>
#include <unistd.h>

#include "core/base/file.h"
#include "tests/support/check.h"
#include "tools/array_file.h"
#include "tools/delimited.h"

static int make_folder(void **state)
{
    char *folder = malloc(64);
    const char *base = getenv("TMPDIR");
    snprintf(folder, 64, "%.40s/sonde-files-XXXXXX", base && *base ? base : "/tmp");
    assert_non_null(mkdtemp(folder));
    *state = folder;
    return 0;
}

static int remove_folder(void **state)
{
    char *folder = *state;
    static const char *const names[] = { "a.csv", "a.npy", "a.npz", "a.safetensors" };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char *path = sonde_path_join(folder, names[i]);
        unlink(path);
        free(path);
    }
    rmdir(folder);
    free(folder);
    return 0;
}

static void path_in(void **state, const char *name, char out[128])
{
    snprintf(out, 128, "%s/%s", (const char *)*state, name);
}

/* Rows as one text: fields joined by '|', rows by ';'; or the error's text behind the path. */
static void read_rows(void **state, const char *content, size_t n, struct sonde_buf *out)
{
    char path[128];
    struct sonde_error error = { 0 };
    struct sonde_delimited *d = calloc(1, sizeof(*d));
    path_in(state, "a.csv", path);
    check_ok(sonde_file_save(path, content, n, &error), &error);
    enum sonde_status status = sonde_delimited_open(d, path, &error);
    bool row = true;
    while (status == SONDE_STATUS_OK) {
        status = sonde_delimited_next(d, &row, &error);
        if (status != SONDE_STATUS_OK || !row)
            break;
        for (int i = 0; i < d->n_fields; i++)
            sonde_buf_printf(out, "%s%s", i ? "|" : "", d->field[i]);
        sonde_buf_printf(out, "@%d;", (int)d->line);
    }
    if (status != SONDE_STATUS_OK)
        sonde_buf_puts(out, error.text + strlen(path));
    sonde_buf_puts(out, "");
    sonde_delimited_finish(d);
    free(d);
}

static void test_delimited(void **state)
{
    static const struct {
        const char *content, *rows;
    } cases[] = {
        { "", "" },
        { "\n\n", "" },
        { "a,b\nc,d\n", "a|b@1;c|d@2;" },
        { "a,b\nc,d", "a|b@1;c|d@2;" },
        { "a,b\r\nc,d\r\n", "a|b@1;c|d@2;" },
        { "\xef\xbb\xbf"
          "a,b\n",
          "a|b@1;" },
        { "a,,\n", "a||@1;" },
        { ",\n", "|@1;" },
        { "a\n\n\nb\n", "a@1;b@4;" },
        { "\"a,b\",c\n", "a,b|c@1;" },
        { "\"a\"\"b\"\n", "a\"b@1;" },
        { "\"a\nb\",c\nd\n", "a\nb|c@1;d@3;" },
        { "\"a\r\nb\"\r\nc", "a\r\nb@1;c@3;" },
        { "\"\",x\n", "|x@1;" },
        { "a\tb,c\n", "a|b,c@1;" },
        { "a\t\"b\n", "a|\"b@1;" },
        { "x\ny", "x@1;y@2;" },
        { "a,\"b", ": line 1: a quote is never closed" },
        { "a\n\"b\"c\n", "a@1;: line 2: text behind a closing quote" },
        { "a\"b,c\n", "a\"b|c@1;" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sonde_buf rows = { 0 };
        read_rows(state, cases[i].content, strlen(cases[i].content), &rows);
        assert_string_equal(rows.data ? rows.data : "", cases[i].rows);
        sonde_buf_finish(&rows);
    }
}

static void test_delimited_limits(void **state)
{
    struct sonde_buf rows = { 0 }, wide = { 0 };
    read_rows(state, "a,b\0c\n", 6, &rows);
    assert_string_equal(rows.data, ": line 1: a NUL byte, which is no text");
    sonde_buf_clear(&rows);
    for (int i = 0; i < SONDE_DELIMITED_FIELDS_MAX; i++)
        sonde_buf_puts(&wide, "x,");
    read_rows(state, wide.data, wide.size, &rows);
    assert_string_equal(rows.data, ": line 1: more than 256 fields");
    sonde_buf_finish(&rows);
    sonde_buf_finish(&wide);
}

/* What was written comes back, and every file that is cut off or has one bit of its directory
 * flipped is an error or the same array, never a crash. */
static void check_round_trip(const char *path)
{
    struct sonde_array arrays[] = { { "first", SONDE_DTYPE_F32, 2, { 3, 2, 0 } },
                                    { "second", SONDE_DTYPE_F16, 2, { 2, 2, 0 } } };
    const float first[] = { 1, 2, 3, -4, 5.5f, 6 };
    const uint16_t second[] = { 0x3c00, 0x4000, 0xc000, 0x7bff };
    struct sonde_array_file file = { 0 };
    struct sonde_error error = { 0 };
    int n = sonde_str_ends(path, ".npy") ? 1 : 2;
    check_ok(sonde_array_file_begin(&file, path, arrays, n, &error), &error);
    check_ok(sonde_array_file_add(&file, &arrays[0], &error), &error);
    check_ok(sonde_array_file_append(&file, first, 8, &error), &error);
    check_ok(sonde_array_file_append(&file, first + 2, 16, &error), &error);
    if (n == 2) {
        check_ok(sonde_array_file_add(&file, &arrays[1], &error), &error);
        check_ok(sonde_array_file_append(&file, second, 8, &error), &error);
    }
    check_ok(sonde_array_file_end(&file, true, &error), &error);
    struct sonde_array array;
    void *data = NULL;
    check_ok(sonde_array_file_load(path, "first", &array, &data, &error), &error);
    assert_int_equal(array.dtype, SONDE_DTYPE_F32);
    assert_int_equal(array.dim[0], 3);
    assert_int_equal(array.dim[1], 2);
    assert_memory_equal(data, first, sizeof(first));
    free(data);
    if (n == 2) {
        check_ok(sonde_array_file_load(path, "second", &array, &data, &error), &error);
        assert_int_equal(array.dtype, SONDE_DTYPE_F16);
        assert_memory_equal(data, second, sizeof(second));
        free(data);
        assert_int_equal(sonde_array_file_load(path, "third", &array, &data, &error),
                         SONDE_STATUS_NOT_FOUND);
    }
}

/* In place: rewriting a whole file makes some file systems flush it, thousands of times here. */
static void put_byte(const char *path, size_t at, char byte)
{
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, (long)at, SEEK_SET), 0);
    assert_int_not_equal(fputc((unsigned char)byte, file), EOF);
    assert_int_equal(fclose(file), 0);
}

static void check_damage(const char *path)
{
    struct sonde_buf whole = { 0 };
    struct sonde_error error = { 0 };
    struct sonde_array array;
    check_ok(sonde_file_load(path, 1 << 20, &whole, &error), &error);
    for (size_t bit = 0; bit < whole.size * 8; bit += 3) {
        void *data = NULL;
        put_byte(path, bit / 8, (char)(whole.data[bit / 8] ^ (1 << bit % 8)));
        if (sonde_array_file_load(path, "first", &array, &data, &error) == SONDE_STATUS_OK)
            free(data);
        put_byte(path, bit / 8, whole.data[bit / 8]);
    }
    for (size_t n = whole.size; n-- > 0;) {
        void *data = NULL;
        assert_int_equal(truncate(path, (off_t)n), 0);
        assert_int_not_equal(sonde_array_file_load(path, "first", &array, &data, &error),
                             SONDE_STATUS_OK);
        assert_null(data);
    }
    sonde_buf_finish(&whole);
}

static void test_npy(void **state)
{
    char path[128];
    path_in(state, "a.npy", path);
    check_round_trip(path);
    check_damage(path);
}

static void test_npz(void **state)
{
    char path[128];
    path_in(state, "a.npz", path);
    check_round_trip(path);
    check_damage(path);
}

static void test_safetensors(void **state)
{
    char path[128];
    path_in(state, "a.safetensors", path);
    check_round_trip(path);
    check_damage(path);
}

/* The CRC of the zip directory entry against the known one: CRC-32("123456789") is 0xcbf43926. The
 * npy header before it takes part, so the check is on a member whose bytes are known as a whole. */
static void test_npz_crc(void **state)
{
    char path[128];
    struct sonde_error error = { 0 };
    struct sonde_npz_writer writer;
    path_in(state, "a.npz", path);
    unlink(path);
    check_ok(sonde_npz_begin(&writer, path, &error), &error);
    int64_t dim[] = { 9 };
    check_ok(sonde_npz_add(&writer, "x", SONDE_DTYPE_U8, 1, dim, &error), &error);
    /* Begin the member's CRC anew: only the nine digits then count. */
    writer.member[0].crc = 0;
    check_ok(sonde_npz_append(&writer, "1234", 4, &error), &error);
    check_ok(sonde_npz_append(&writer, "56789", 5, &error), &error);
    assert_int_equal(writer.member[0].crc, 0xcbf43926u);
    check_ok(sonde_npz_end(&writer, false, &error), &error);
    assert_false(sonde_path_exists(path));
}

static void test_unknown_ending(void **state)
{
    (void)state;
    struct sonde_array array = { "x", SONDE_DTYPE_F32, 2, { 1, 1, 0 } };
    struct sonde_array_file file = { 0 };
    struct sonde_error error = { 0 };
    assert_int_equal(sonde_array_file_begin(&file, "x.pickle", &array, 1, &error),
                     SONDE_STATUS_ARGUMENT);
    assert_int_equal(sonde_array_file_begin(&file, "x.npy", &array, 2, &error),
                     SONDE_STATUS_ARGUMENT);
    assert_int_equal(sonde_npz_begin(&file.npz, "-", &error), SONDE_STATUS_ARGUMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_delimited),
        cmocka_unit_test(test_delimited_limits),
        cmocka_unit_test(test_npy),
        cmocka_unit_test(test_npz),
        cmocka_unit_test(test_safetensors),
        cmocka_unit_test(test_npz_crc),
        cmocka_unit_test(test_unknown_ending),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
