#include "core/tensor/tensor.h"

#include "tests/support/check.h"

static void test_views(void **state)
{
    (void)state;
    float data[24];
    const struct sonde_tensor a = sonde_tensor_1d(data, 24), b = sonde_tensor_2d(data, 4, 6);
    struct sonde_tensor c = sonde_tensor_3d(data, 2, 3, 4);
    assert_int_equal(a.rank, 1);
    assert_int_equal(b.stride[0], 6);
    assert_int_equal(c.stride[0], 12);
    assert_int_equal(c.stride[1], 4);
    assert_int_equal(c.stride[2], 1);
    assert_int_equal(c.dim[3], 1);
    assert_int_equal(sonde_tensor_elements(&a), 24);
    assert_int_equal(sonde_tensor_elements(&b), 24);
    assert_int_equal(sonde_tensor_elements(&c), 24);
    assert_true(sonde_tensor_is_contiguous(&a) && sonde_tensor_is_contiguous(&b) &&
                sonde_tensor_is_contiguous(&c));
    c.stride[0] = 13;
    assert_false(sonde_tensor_is_contiguous(&c));
    c.dim[0] = 1; /* the stride of one row is never walked */
    assert_true(sonde_tensor_is_contiguous(&c));
    const struct sonde_tensor empty = sonde_tensor_2d(NULL, 0, 5);
    assert_int_equal(sonde_tensor_elements(&empty), 0);
}

/* A [3, 2] matrix read as a linear map in both storages: rows and columns mean the same. */
static void test_weight_rows_and_columns(void **state)
{
    (void)state;
    const uint16_t stored[6] = { 0x3c00, 0x4000, 0x4200, 0x4400, 0x4500, 0x4600 }; /* 1..6 */
    const struct sonde_weight plain = {
        .data = stored, .dtype = SONDE_DTYPE_F16, .rows = 3, .columns = 2
    };
    struct sonde_weight conv = plain;
    conv.transposed = true;
    float row[3];
    assert_int_equal(sonde_weight_out(&plain), 3);
    assert_int_equal(sonde_weight_in(&plain), 2);
    assert_int_equal(sonde_weight_out(&conv), 2);
    assert_int_equal(sonde_weight_in(&conv), 3);
    sonde_weight_row(&plain, 1, row);
    assert_true(row[0] == 3.0f && row[1] == 4.0f);
    sonde_weight_out_row(&plain, 2, row);
    assert_true(row[0] == 5.0f && row[1] == 6.0f);
    sonde_weight_in_column(&plain, 1, row);
    assert_true(row[0] == 2.0f && row[1] == 4.0f && row[2] == 6.0f);
    sonde_weight_out_row(&conv, 1, row);
    assert_true(row[0] == 2.0f && row[1] == 4.0f && row[2] == 6.0f);
    sonde_weight_in_column(&conv, 2, row);
    assert_true(row[0] == 5.0f && row[1] == 6.0f);
}

static void test_weight_block(void **state)
{
    (void)state;
    float stored[20], block[6];
    for (int i = 0; i < 20; i++) {
        stored[i] = (float)i;
    }
    const struct sonde_weight w = {
        .data = stored, .dtype = SONDE_DTYPE_F32, .rows = 4, .columns = 5
    };
    sonde_weight_block(&w, 1, 2, 2, 3, block);
    static const float expected[6] = { 7, 8, 9, 12, 13, 14 };
    assert_memory_equal(block, expected, sizeof(block));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_views),
        cmocka_unit_test(test_weight_rows_and_columns),
        cmocka_unit_test(test_weight_block),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
