/* An edited result beside those of its controls. */
#include <string.h>

#include "tests/support/check.h"
#include "tools/edit_control.h"

static struct sonde_result *result_of(double scalar, double number, const char *changing)
{
    static const char *const columns[] = { "what", "x", NULL };
    struct sonde_result *r = sonde_result_create("probe");
    assert_non_null(r);
    sonde_result_scalar_f64(r, "s", scalar);
    sonde_result_scalar_f64(r, "same", 7.0);
    struct sonde_table *t = sonde_result_add_table(r, "stays", columns);
    sonde_table_add_row(t);
    sonde_table_text(t, 0, "row");
    sonde_table_f64(t, 1, number);
    t = sonde_result_add_table(r, "moves", columns);
    sonde_table_add_row(t);
    sonde_table_text(t, 0, changing);
    sonde_table_f64(t, 1, number);
    return r;
}

static void check_row(const struct sonde_table *t, const char *name, const char *const *columns,
                      const double *numbers)
{
    assert_string_equal(t->name, name);
    assert_int_equal(t->n_columns, 5);
    assert_int_equal(t->n_rows, 1);
    for (int i = 0; i < 5; i++) {
        assert_string_equal(t->column[i], columns[i]);
    }
    for (int i = 0; i < 4; i++) {
        check_close(t->cell[i + 1].real, numbers[i], 0);
    }
}

static void test_names_and_numbers(void **state)
{
    static const char *const in_table[] = { "what", "x", "x.control.mean", "x.control.low",
                                            "x.control.high" };
    static const char *const in_scalars[] = { "scalar", "edited", "control.mean", "control.low",
                                              "control.high" };
    struct sonde_result *edited = result_of(1.0, 10.0, "a");
    struct sonde_result *control[] = { result_of(2.0, 30.0, "a"), result_of(5.0, 20.0, "b") };
    (void)state;
    sonde_edit_control_compare(edited, control, 2);
    assert_false(edited->failed);
    assert_int_equal(edited->n_tables, 4);
    check_row(edited->table[2], "stays.edit_control", in_table, (double[]){ 10, 25, 20, 30 });
    check_row(edited->table[3], "scalars.edit_control", in_scalars, (double[]){ 1, 3.5, 2, 5 });
    assert_string_equal(edited->table[3]->cell[0].text, "s");
    assert_int_equal(edited->n_warnings, 1);
    assert_non_null(strstr(edited->warning[0], " for moves: "));
    for (int i = 0; i < 2; i++) {
        sonde_result_destroy(&control[i]);
    }
    sonde_result_destroy(&edited);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_and_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
