/* Round trips of the safetensors and npy files that core/tensor writes. What must be refused:
 * tests/golden/refuse. */
#include <string.h>
#include <unistd.h>

#include "core/tensor/npy.h"
#include "core/tensor/safetensors.h"
#include "tests/support/check.h"

static void temporary(char path[256], const char *ending)
{
    const char *base = getenv("TMPDIR");
    snprintf(path, 256, "%s/sonde-%ld%s", base ? base : "/tmp", (long)getpid(), ending);
}

static void test_round_trip(void **state)
{
    char path[256];
    const float f32[6] = { 1.0f, -2.5f, 1e-40f, INFINITY, 3e38f, 0.0f };
    const int64_t i64[3] = { INT64_MIN, -1, INT64_MAX };
    const uint16_t f16[2] = { 0x3c00, 0xc000 };
    const int8_t i8[2] = { -128, 127 };
    const uint8_t u8[2] = { 255, 0 };
    const struct sonde_safetensors_item items[] = {
        { .name = "bytes \"quoted\" \xc3\xa9",
          .dtype = SONDE_DTYPE_I8,
          .rank = 1,
          .dim = { 2 },
          .data = i8 },
        { .name = "a", .dtype = SONDE_DTYPE_F32, .rank = 2, .dim = { 2, 3 }, .data = f32 },
        { .name = "ids", .dtype = SONDE_DTYPE_I64, .rank = 1, .dim = { 3 }, .data = i64 },
        { .name = "half", .dtype = SONDE_DTYPE_F16, .rank = 1, .dim = { 2 }, .data = f16 },
        { .name = "scalar", .dtype = SONDE_DTYPE_F32, .rank = 0, .data = f32 },
        { .name = "none", .dtype = SONDE_DTYPE_F32, .rank = 2, .dim = { 0, 7 }, .data = f32 },
        { .name = "u", .dtype = SONDE_DTYPE_U8, .rank = 1, .dim = { 2 }, .data = u8 },
    };
    const struct sonde_safetensors_pair metadata[] = { { "format", "pt" }, { "note", "x\ny" } };
    struct sonde_error error = { 0 };
    struct sonde_safetensors *file = NULL;
    float wide[6];
    int64_t whole[3];
    (void)state;
    temporary(path, ".safetensors");
    check_ok(sonde_safetensors_write(path, items, 7, metadata, 2, &error), &error);
    check_ok(sonde_safetensors_open(&file, path, &error), &error);
    assert_int_equal(sonde_safetensors_count(file), 7);
    assert_string_equal(sonde_safetensors_metadata(file, "note"), "x\ny");
    assert_null(sonde_safetensors_metadata(file, "nothing"));
    assert_null(sonde_safetensors_find(file, "b"));
    for (int i = 0; i < 7; i++) {
        const struct sonde_safetensors_entry *e = sonde_safetensors_find(file, items[i].name);
        const uint8_t *data = NULL;
        assert_non_null(e);
        assert_int_equal(e->dtype, items[i].dtype);
        assert_int_equal(e->rank, items[i].rank);
        check_ok(sonde_safetensors_map(file, e, &data, &error), &error);
        assert_memory_equal(data, items[i].data, (size_t)e->n_bytes);
        assert_int_equal(e->offset % (int64_t)sonde_dtype_size(e->dtype), 0);
    }
    const struct sonde_safetensors_entry *a = sonde_safetensors_find(file, "a");
    check_ok(sonde_safetensors_read_f32(file, a, 1, 4, wide, &error), &error);
    assert_memory_equal(wide, f32 + 1, 16);
    assert_int_equal(sonde_safetensors_read_f32(file, a, 3, 4, wide, &error),
                     SONDE_STATUS_ARGUMENT);
    assert_int_equal(sonde_safetensors_read_i64(file, a, 0, 1, whole, &error), SONDE_STATUS_FORMAT);
    check_ok(
        sonde_safetensors_read_i64(file, sonde_safetensors_find(file, "ids"), 0, 3, whole, &error),
        &error);
    assert_memory_equal(whole, i64, sizeof whole);
    check_ok(sonde_safetensors_read_i64(file, sonde_safetensors_find(file, items[0].name), 0, 2,
                                        whole, &error),
             &error);
    assert_true(whole[0] == -128 && whole[1] == 127);
    check_ok(
        sonde_safetensors_read_i64(file, sonde_safetensors_find(file, "u"), 0, 2, whole, &error),
        &error);
    assert_true(whole[0] == 255 && whole[1] == 0);
    check_ok(
        sonde_safetensors_read_f32(file, sonde_safetensors_find(file, "half"), 0, 2, wide, &error),
        &error);
    assert_true(wide[0] == 1.0f && wide[1] == -2.0f);
    sonde_safetensors_close(&file);
    unlink(path);
}

static void test_writer_refuses(void **state)
{
    char path[256];
    struct sonde_error error = { 0 };
    struct sonde_safetensors_writer writer;
    const float x = 1.0f;
    struct sonde_safetensors_item item = {
        .name = "x", .dtype = SONDE_DTYPE_F32, .rank = 1, .dim = { 1 }
    };
    (void)state;
    temporary(path, "-w.safetensors");
    check_ok(sonde_safetensors_begin(&writer, path, &item, 1, NULL, 0, &error), &error);
    assert_int_equal(sonde_safetensors_append(&writer, &x, 8, &error), SONDE_STATUS_ARGUMENT);
    assert_int_equal(sonde_safetensors_end(&writer, true, &error), SONDE_STATUS_ARGUMENT);
    assert_int_not_equal(access(path, F_OK), 0);
    check_ok(sonde_safetensors_begin(&writer, path, &item, 1, NULL, 0, &error), &error);
    check_ok(sonde_safetensors_append(&writer, &x, 4, &error), &error);
    check_ok(sonde_safetensors_end(&writer, false, &error), &error);
    assert_int_not_equal(access(path, F_OK), 0);
    item.dim[0] = -1;
    assert_int_equal(sonde_safetensors_begin(&writer, path, &item, 1, NULL, 0, &error),
                     SONDE_STATUS_ARGUMENT);
    item.dim[0] = INT64_MAX / 2;
    assert_int_equal(sonde_safetensors_begin(&writer, path, &item, 1, NULL, 0, &error),
                     SONDE_STATUS_ARGUMENT);
}

static void test_npy_round_trip(void **state)
{
    static const struct {
        enum sonde_dtype dtype;
        int rank;
        int64_t dim[4];
        const char *header;
    } cases[] = {
        { SONDE_DTYPE_F32,
          2,
          { 3, 2 },
          "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }" },
        { SONDE_DTYPE_F16, 1, { 6 }, "{'descr': '<f2', 'fortran_order': False, 'shape': (6,), }" },
        { SONDE_DTYPE_I64, 1, { 4 }, "{'descr': '<i8', 'fortran_order': False, 'shape': (4,), }" },
        { SONDE_DTYPE_I32,
          3,
          { 1, 2, 3 },
          "{'descr': '<i4', 'fortran_order': False, 'shape': (1, 2, 3), }" },
        { SONDE_DTYPE_F64, 0, { 1 }, "{'descr': '<f8', 'fortran_order': False, 'shape': (), }" },
        { SONDE_DTYPE_U8, 1, { 0 }, "{'descr': '|u1', 'fortran_order': False, 'shape': (0,), }" },
    };
    char path[256];
    uint8_t data[64], back[64];
    struct sonde_error error = { 0 };
    (void)state;
    temporary(path, ".npy");
    for (int i = 0; i < 64; i++) {
        data[i] = (uint8_t)(i * 37);
    }
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sonde_npy *npy = NULL;
        struct sonde_buf bytes = { 0 };
        check_ok(sonde_npy_write(path, cases[i].dtype, cases[i].rank, cases[i].dim, data, &error),
                 &error);
        check_ok(sonde_file_load(path, 1000, &bytes, &error), &error);
        assert_memory_equal(bytes.data + 10, cases[i].header, strlen(cases[i].header));
        assert_memory_equal(bytes.data, "\x93NUMPY\x01\x00", 8);
        sonde_buf_finish(&bytes);
        check_ok(sonde_npy_open(&npy, path, &error), &error);
        const struct sonde_npy_shape *shape = sonde_npy_get_shape(npy);
        assert_int_equal(shape->dtype, cases[i].dtype);
        assert_int_equal(shape->rank, cases[i].rank);
        check_ok(sonde_npy_read(npy, 0, shape->n_elements, back, &error), &error);
        assert_memory_equal(back, data, (size_t)shape->n_elements * sonde_dtype_size(shape->dtype));
        assert_int_equal(sonde_npy_read(npy, 1, shape->n_elements, back, &error),
                         SONDE_STATUS_ARGUMENT);
        sonde_npy_close(&npy);
    }
    assert_int_equal(sonde_npy_write(path, SONDE_DTYPE_BF16, 1, cases[1].dim, data, &error),
                     SONDE_STATUS_ARGUMENT);
    unlink(path);
}

/* A header of format 1.0 around the dictionary, then n_data bytes. */
static enum sonde_status parse(const char *dictionary, int64_t n_data, struct sonde_npy_shape *out,
                               struct sonde_error *error)
{
    uint8_t bytes[1024] = { 0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0 };
    int64_t size = (int64_t)strlen(dictionary), offset = 0;
    bytes[8] = (uint8_t)size;
    bytes[9] = (uint8_t)(size >> 8);
    memcpy(bytes + 10, dictionary, (size_t)size);
    enum sonde_status status =
        sonde_npy_parse(bytes, 10 + size, 10 + size + n_data, out, &offset, error);
    if (status == SONDE_STATUS_OK) {
        assert_int_equal(offset, 10 + size);
    }
    return status;
}

static void test_npy_parse(void **state)
{
    static const struct {
        const char *dictionary;
        int64_t n_data;
        const char *message; /* NULL: taken */
    } cases[] = {
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }  \n", 24, NULL },
        { "{\"shape\":(6,),\"descr\":\"<f4\",\"fortran_order\":False}", 24, NULL },
        { "{'shape': (6L,), 'descr': '<f4', 'fortran_order': False}", 24, NULL },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': ()}", 4, NULL },
        { "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }", 24,
          "npy array in Fortran order; save np.ascontiguousarray(x)" },
        { "{'descr': '>f4', 'fortran_order': False, 'shape': (6,), }", 24,
          "npy header: descr '>f4' is not one of <f4 <f2 <f8 <i8 <i4 <i2 |i1 |u1 |b1" },
        { "{'descr': '|O', 'fortran_order': False, 'shape': (6,), }", 24,
          "npy header: descr '|O' is not one of <f4 <f2 <f8 <i8 <i4 <i2 |i1 |u1 |b1" },
        { "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (6,), }", 24,
          "npy header: descr is no string (structured arrays are not read)" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (6,), }", 20,
          "20 bytes of data after the npy header, its shape and descr need 24" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (-6,), }", 24,
          "npy header: shape holds what is no whole number" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296), }", 24,
          "npy header: the product of the shape overflows" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,6), }", 24,
          "npy array of rank above 4" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (6,", 24,
          "npy header: shape holds what is no whole number" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': [6], }", 24,
          "npy header: shape is no tuple" },
        { "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (6,), }", 24,
          "npy header: expected exactly descr, fortran_order and shape" },
        { "{'descr': '<f4', 'shape': (6,), }", 24,
          "npy header: expected exactly descr, fortran_order and shape" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (6,), } x", 24,
          "npy header: expected exactly descr, fortran_order and shape" },
        { "{'descr': '<f4", 24, "npy header: descr is no string (structured arrays are not read)" },
        { "", 0, "npy header: expected exactly descr, fortran_order and shape" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sonde_error error = { 0 };
        struct sonde_npy_shape shape;
        enum sonde_status status = parse(cases[i].dictionary, cases[i].n_data, &shape, &error);
        assert_string_equal(error.text, cases[i].message ? cases[i].message : "");
        assert_int_equal(status == SONDE_STATUS_OK, cases[i].message == NULL);
    }
    struct sonde_npy_shape shape;
    struct sonde_error error = { 0 };
    int64_t offset = 0;
    const uint8_t version9[12] = { 0x93, 'N', 'U', 'M', 'P', 'Y', 9, 0 };
    const uint8_t long_header[12] = { 0x93, 'N', 'U', 'M', 'P', 'Y', 2, 0, 255, 255, 255, 255 };
    assert_int_equal(sonde_npy_parse(version9, 12, 12, &shape, &offset, &error),
                     SONDE_STATUS_UNSUPPORTED);
    assert_int_equal(sonde_npy_parse(long_header, 12, 12, &shape, &offset, &error),
                     SONDE_STATUS_FORMAT);
    assert_int_equal(sonde_npy_parse((const uint8_t *)"PK\3\4", 4, 4, &shape, &offset, &error),
                     SONDE_STATUS_FORMAT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_writer_refuses),
        cmocka_unit_test(test_npy_round_trip),
        cmocka_unit_test(test_npy_parse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
