/*
 * safetensors files that must be refused, each made here, with the exact message. Run with a
 * folder's name as argument it writes the cases there instead (seeds for the fuzzer).
 */
#include <string.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/file.h"
#include "core/tensor/safetensors.h"
#include "tests/support/check.h"

struct refusal {
    const char *name;
    const char *header; /* the JSON text; NULL: raw bytes only */
    int64_t n_data;     /* bytes of data after it */
    uint64_t claimed;   /* header size to claim; 0 = the true one */
    enum sonde_status status;
    const char *message; /* after "PATH: "; ends with * = only the beginning counts */
};

#define ONE(dtype, shape, offsets)                                                                 \
    "{\"w\":{\"dtype\":" dtype ",\"shape\":" shape ",\"data_offsets\":" offsets "}}"
#define BAD SONDE_STATUS_FORMAT

static const struct refusal cases[] = {
    { "empty_file", NULL, 0, 0, BAD, "0 bytes, too short for a safetensors file" },
    { "seven_bytes", NULL, 7, 0, BAD, "7 bytes, too short for a safetensors file" },
    { "header_past_end", "{}", 0, 3, BAD, "header of 3 bytes in a file of 10 bytes" },
    { "header_over_cap", "{}", 0, 100000001, BAD,
      "header of 100000001 bytes, at most 100000000 are allowed" },
    { "header_all_ones", "{}", 0, UINT64_MAX, BAD,
      "header of 18446744073709551615 bytes, at most 100000000 are allowed" },
    { "header_empty", "", 0, 0, BAD, "the header does not begin with '{'" },
    { "header_leading_blank", " {}", 0, 0, BAD, "the header does not begin with '{'" },
    { "header_array", "[]", 0, 0, BAD, "the header does not begin with '{'" },
    { "header_truncated", "{\"w\":", 0, 0, BAD, "header: *" },
    { "header_not_utf8", "{\"\xff\":1}", 0, 0, BAD, "header: *" },
    { "header_trailing", "{}{}", 0, 0, BAD, "header: *" },
    { "name_with_nul", "{\"a\\u0000b\":1}", 0, 0, BAD, "header: *" },
    { "duplicate_names",
      "{\"w\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
      "\"w\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
      4, 0, BAD, "header: *" },
    { "entry_not_object", "{\"w\":3}", 0, 0, BAD,
      "tensor w: is a whole number, expected an object" },
    { "no_dtype", "{\"w\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4, 0, BAD,
      "tensor w: has no dtype" },
    { "dtype_number", ONE("3", "[1]", "[0,4]"), 4, 0, BAD, "tensor w: has no dtype" },
    { "dtype_unknown", ONE("\"F33\"", "[1]", "[0,4]"), 4, 0, BAD, "tensor w: unknown dtype 'F33'" },
    { "dtype_sub_byte", ONE("\"F4\"", "[8]", "[0,4]"), 4, 0, BAD, "tensor w: unknown dtype 'F4'" },
    { "shape_missing", "{\"w\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, 0, BAD,
      "tensor w: shape is *" },
    { "shape_negative", ONE("\"F32\"", "[-1]", "[0,4]"), 4, 0, BAD,
      "tensor w: shape[0] is no whole number >= 0" },
    { "shape_float", ONE("\"F32\"", "[1.0]", "[0,4]"), 4, 0, BAD,
      "tensor w: shape[0] is no whole number >= 0" },
    { "shape_exponent", ONE("\"F32\"", "[1e0]", "[0,4]"), 4, 0, BAD,
      "tensor w: shape[0] is no whole number >= 0" },
    { "shape_text", ONE("\"F32\"", "[\"1\"]", "[0,4]"), 4, 0, BAD,
      "tensor w: shape[0] is no whole number >= 0" },
    { "shape_over_int64", ONE("\"F32\"", "[9223372036854775808]", "[0,4]"), 4, 0, BAD, "*" },
    { "shape_product", ONE("\"F32\"", "[4294967296,4294967296]", "[0,4]"), 4, 0, BAD,
      "tensor w: the product of its shape overflows" },
    { "shape_bytes", ONE("\"F64\"", "[4611686018427387904]", "[0,4]"), 4, 0, BAD,
      "tensor w: its size in bytes overflows" },
    { "shape_wraps_to_small", ONE("\"F32\"", "[4611686018427387905]", "[0,4]"), 4, 0, BAD,
      "tensor w: its size in bytes overflows" },
    { "rank_nine", ONE("\"F32\"", "[1,1,1,1,1,1,1,1,1]", "[0,4]"), 4, 0, BAD,
      "tensor w: rank 9, at most 8" },
    { "offsets_missing", "{\"w\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, 0, BAD,
      "tensor w: data_offsets is not two whole numbers >= 0" },
    { "offsets_one", ONE("\"F32\"", "[1]", "[0]"), 4, 0, BAD,
      "tensor w: data_offsets is not two whole numbers >= 0" },
    { "offsets_three", ONE("\"F32\"", "[1]", "[0,4,8]"), 4, 0, BAD,
      "tensor w: data_offsets is not two whole numbers >= 0" },
    { "offsets_negative", ONE("\"F32\"", "[1]", "[-4,0]"), 4, 0, BAD,
      "tensor w: data_offsets is not two whole numbers >= 0" },
    { "offsets_float", ONE("\"F32\"", "[1]", "[0,4.0]"), 4, 0, BAD,
      "tensor w: data_offsets is not two whole numbers >= 0" },
    { "offsets_object", ONE("\"F32\"", "[1]", "{\"0\":0}"), 4, 0, BAD,
      "tensor w: data_offsets is not two whole numbers >= 0" },
    { "offsets_swapped", ONE("\"F32\"", "[1]", "[4,0]"), 4, 0, BAD,
      "tensor w: data_offsets [4, 0] in a file with 4 bytes of data" },
    { "offsets_past_end", ONE("\"F32\"", "[2]", "[0,8]"), 4, 0, BAD,
      "tensor w: data_offsets [0, 8] in a file with 4 bytes of data" },
    { "offsets_huge", ONE("\"F32\"", "[1]", "[9223372036854775803,9223372036854775807]"), 4, 0, BAD,
      "tensor w: data_offsets [9223372036854775803, 9223372036854775807] in a file with 4 bytes "
      "of data" },
    { "bytes_too_few", ONE("\"F32\"", "[2]", "[0,4]"), 4, 0, BAD,
      "tensor w: 4 bytes of data, its shape and dtype need 8" },
    { "bytes_too_many", ONE("\"F16\"", "[1]", "[0,4]"), 4, 0, BAD,
      "tensor w: 4 bytes of data, its shape and dtype need 2" },
    { "scalar_too_big", ONE("\"F32\"", "[]", "[0,8]"), 8, 0, BAD,
      "tensor w: 8 bytes of data, its shape and dtype need 4" },
    { "zero_dim_with_data", ONE("\"F32\"", "[0,4]", "[0,4]"), 4, 0, BAD,
      "tensor w: 4 bytes of data, its shape and dtype need 0" },
    { "hole_at_start", ONE("\"F32\"", "[1]", "[4,8]"), 8, 0, BAD,
      "tensor w: begins at byte 4 of the data, expected 0 (hole)" },
    { "hole_between",
      "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
      "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[8,12]}}",
      12, 0, BAD, "tensor b: begins at byte 8 of the data, expected 4 (hole)" },
    { "overlap",
      "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
      "\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}",
      12, 0, BAD, "tensor b: begins at byte 4 of the data, expected 8 (overlap)" },
    { "same_bytes_twice",
      "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
      "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
      4, 0, BAD, "tensor b: begins at byte 0 of the data, expected 4 (overlap)" },
    { "trailing_bytes", ONE("\"F32\"", "[1]", "[0,4]"), 5, 0, BAD,
      "5 bytes of data, the tensors cover 4" },
    { "no_tensors_but_data", "{}", 1, 0, BAD, "1 bytes of data, the tensors cover 0" },
    { "metadata_not_object", "{\"__metadata__\":[]}", 0, 0, BAD,
      "__metadata__ is an array, expected an object" },
    { "metadata_number", "{\"__metadata__\":{\"a\":1}}", 0, 0, BAD, "__metadata__ a is *" },
};
enum { N_CASES = sizeof cases / sizeof *cases };

/* A header whose nesting or size makes it a case of its own. */
static char *deep_header(int depth)
{
    char *text = calloc((size_t)depth + 6, 1);
    assert_non_null(text);
    memcpy(text, "{\"w\":", 5);
    memset(text + 5, '[', (size_t)depth);
    return text;
}

static void write_case(const struct refusal *c, const char *header, const char *path)
{
    struct sonde_error error = { 0 };
    struct sonde_buf bytes = { 0 };
    if (header) {
        uint64_t n = c->claimed ? c->claimed : strlen(header);
        for (int i = 0; i < 8; i++) {
            sonde_buf_putc(&bytes, (char)(n >> (8 * i) & 255));
        }
        sonde_buf_puts(&bytes, header);
    }
    for (int64_t i = 0; i < c->n_data; i++) {
        sonde_buf_putc(&bytes, '\0');
    }
    check_ok(sonde_file_save(path, bytes.data ? bytes.data : "", bytes.size, &error), &error);
    sonde_buf_finish(&bytes);
}

static void check_case(const struct refusal *c, const char *header, const char *path)
{
    struct sonde_error error = { 0 };
    struct sonde_safetensors *file = NULL;
    write_case(c, header, path);
    enum sonde_status status = sonde_safetensors_open(&file, path, &error);
    const char *text = error.text + (sonde_str_starts(error.text, path) ? strlen(path) + 2 : 0);
    size_t n = strlen(c->message);
    bool same = n && c->message[n - 1] == '*' ? strncmp(text, c->message, n - 1) == 0
                                              : strcmp(text, c->message) == 0;
    if (status != c->status || !same || text == error.text || file) {
        fprintf(stderr, "# %s: \"%s\", expected \"%s\"\n", c->name, error.text, c->message);
        fail();
    }
}

static void temporary(char path[256])
{
    const char *base = getenv("TMPDIR");
    snprintf(path, 256, "%s/sonde-refuse-%ld.safetensors", base ? base : "/tmp", (long)getpid());
}

static void test_refusals(void **state)
{
    char path[256];
    (void)state;
    temporary(path);
    for (int i = 0; i < N_CASES; i++) {
        check_case(&cases[i], cases[i].header, path);
    }
    unlink(path);
}

static void test_deep_and_wide(void **state)
{
    char path[256];
    struct refusal c = { "deep", "", 0, 0, BAD, "header: *" };
    struct sonde_buf wide = { 0 };
    (void)state;
    temporary(path);
    char *deep = deep_header(10000);
    check_case(&c, deep, path);
    free(deep);
    sonde_buf_puts(&wide, "{");
    for (int i = 0; i < 100000; i++) {
        sonde_buf_printf(&wide, "%s\"t%d\":0", i ? "," : "", i);
    }
    sonde_buf_puts(&wide, "}");
    c.message = "tensor t0: is a whole number, expected an object";
    check_case(&c, wide.data, path);
    sonde_buf_clear(&wide);
    sonde_buf_puts(&wide, "{\"");
    for (int i = 0; i < 1000000; i++) { /* a name of 1 MB is cut in the message */
        sonde_buf_putc(&wide, 'n');
    }
    sonde_buf_puts(&wide, "\":0}");
    c.message = "tensor nnnnnnnnnn*";
    check_case(&c, wide.data, path);
    sonde_buf_finish(&wide);
    unlink(path);
}

/* What is no regular file is refused before it is read. */
static void test_not_a_file(void **state)
{
    struct sonde_error error = { 0 };
    struct sonde_safetensors *file = NULL;
    (void)state;
    assert_int_not_equal(sonde_safetensors_open(&file, "/dev/zero", &error), SONDE_STATUS_OK);
    assert_string_equal(error.text, "/dev/zero: is a device, expected a regular file");
    assert_int_not_equal(sonde_safetensors_open(&file, "/tmp", &error), SONDE_STATUS_OK);
    assert_string_equal(error.text, "/tmp: is a directory, expected a regular file");
    assert_int_equal(sonde_safetensors_open(&file, "/nonexistent/x", &error),
                     SONDE_STATUS_NOT_FOUND);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_deep_and_wide),
        cmocka_unit_test(test_not_a_file),
    };
    for (int i = 0; argc == 2 && i < N_CASES; i++) {
        char path[512];
        snprintf(path, sizeof path, "%s/%s", argv[1], cases[i].name);
        write_case(&cases[i], cases[i].header, path);
    }
    return argc == 2 ? 0 : cmocka_run_group_tests(tests, NULL, NULL);
}
