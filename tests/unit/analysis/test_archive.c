#include <math.h>
#include <string.h>

#include "analysis/report/archive.h"
#include "core/base/rng.h"
#include "tests/support/check.h"
#include "tests/unit/analysis/sample.h"

static void equal_text(const char *a, const char *b)
{
    assert_true(sonde_str_equal(a, b));
}

static void equal_bits(double a, double b)
{
    if (!isnan(a) || !isnan(b))
        assert_memory_equal(&a, &b, sizeof(a));
}

static void equal_cell(const struct sonde_cell *a, const struct sonde_cell *b)
{
    assert_int_equal(a->kind, b->kind);
    assert_int_equal(a->integer, b->integer);
    equal_bits(a->real, b->real);
    equal_text(a->text, b->text);
}

static void equal_parameters(const struct sonde_result_parameter *a,
                             const struct sonde_result_parameter *b, int64_t n, int64_t m)
{
    assert_int_equal(n, m);
    for (int64_t i = 0; i < n; i++) {
        equal_text(a[i].name, b[i].name);
        equal_cell(&a[i].value, &b[i].value);
    }
}

static void equal_axis(const struct sonde_axis *a, const struct sonde_axis *b)
{
    equal_text(a->title, b->title);
    assert_int_equal(a->n_ticks, b->n_ticks);
    assert_int_equal(a->tick == NULL, b->tick == NULL);
    for (int64_t i = 0; i < a->n_ticks; i++)
        equal_text(a->tick[i], b->tick[i]);
}

static void equal_numbers(const void *a, const void *b, size_t bytes)
{
    assert_int_equal(a == NULL, b == NULL);
    if (a && bytes)
        assert_memory_equal(a, b, bytes);
}

static void equal_figure(const struct sonde_figure *a, const struct sonde_figure *b)
{
    assert_int_equal(a->kind, b->kind);
    equal_text(a->name, b->name);
    equal_text(a->title, b->title);
    equal_text(a->caption, b->caption);
    equal_text(a->scale_title, b->scale_title);
    equal_text(a->reference_name, b->reference_name);
    equal_axis(&a->x, &b->x);
    equal_axis(&a->y, &b->y);
    assert_true(a->colormap == b->colormap && a->has_limits == b->has_limits &&
                a->y_from_top == b->y_from_top && a->panel_columns == b->panel_columns);
    equal_bits(a->low, b->low);
    equal_bits(a->high, b->high);
    equal_bits(a->reference, b->reference);
    assert_true(a->rows == b->rows && a->columns == b->columns);
    equal_numbers(a->value, b->value, (size_t)(a->rows * a->columns) * sizeof(float));
    assert_int_equal(a->cell_text == NULL, b->cell_text == NULL);
    for (int64_t i = 0; a->cell_text && i < a->rows * a->columns; i++)
        equal_text(a->cell_text[i], b->cell_text[i]);
    assert_int_equal(a->n_series, b->n_series);
    for (int64_t i = 0; i < a->n_series; i++) {
        const struct sonde_series *s = &a->series[i], *t = &b->series[i];
        size_t bytes = (size_t)s->n * sizeof(double);
        equal_text(s->name, t->name);
        assert_int_equal(s->n, t->n);
        equal_numbers(s->x, t->x, bytes);
        equal_numbers(s->y, t->y, bytes);
        equal_numbers(s->low, t->low, bytes);
        equal_numbers(s->high, t->high, bytes);
    }
    assert_int_equal(a->n_panels, b->n_panels);
    for (int64_t i = 0; i < a->n_panels; i++) {
        const struct sonde_panel *p = &a->panel[i], *q = &b->panel[i];
        equal_text(p->title, q->title);
        assert_true(p->rows == q->rows && p->columns == q->columns);
        equal_numbers(p->value, q->value, (size_t)(p->rows * p->columns) * sizeof(float));
    }
}

static void equal_result(const struct sonde_result *a, const struct sonde_result *b)
{
    equal_text(a->command, b->command);
    equal_parameters(a->parameter, b->parameter, a->n_parameters, b->n_parameters);
    equal_parameters(a->scalar, b->scalar, a->n_scalars, b->n_scalars);
    assert_int_equal(a->n_tables, b->n_tables);
    for (int64_t i = 0; i < a->n_tables; i++) {
        const struct sonde_table *s = a->table[i], *t = b->table[i];
        equal_text(s->name, t->name);
        assert_true(s->n_rows == t->n_rows && s->n_columns == t->n_columns);
        for (int64_t c = 0; c < s->n_columns; c++)
            equal_text(s->column[c], t->column[c]);
        for (int64_t k = 0; k < s->n_rows * s->n_columns; k++)
            equal_cell(&s->cell[k], &t->cell[k]);
    }
    assert_int_equal(a->n_figures, b->n_figures);
    for (int64_t i = 0; i < a->n_figures; i++) {
        equal_figure(a->figure[i], b->figure[i]);
        equal_text(a->figure_files[i], b->figure_files[i]);
    }
    assert_int_equal(a->n_checks, b->n_checks);
    for (int64_t i = 0; i < a->n_checks; i++) {
        equal_text(a->check[i].name, b->check[i].name);
        equal_text(a->check[i].limit, b->check[i].limit);
        assert_true(a->check[i].ok == b->check[i].ok);
        equal_bits(a->check[i].value, b->check[i].value);
    }
    assert_int_equal(a->n_warnings, b->n_warnings);
    for (int64_t i = 0; i < a->n_warnings; i++)
        equal_text(a->warning[i], b->warning[i]);
}

static void test_round_trip(void **state)
{
    (void)state;
    struct sonde_error error = { 0 };
    struct sonde_result *r = sample_make(), *back = NULL;
    check_ok(sonde_result_status(r, &error), &error);
    r->figure_files[1] = sonde_strdup("out/lens.png\nout/lens.svg");
    struct sonde_buf archive = { 0 }, again = { 0 };
    check_ok(sonde_result_archive(r, &archive, &error), &error);
    check_ok(sonde_result_restore(&back, archive.data, archive.size, &error), &error);
    equal_result(r, back);
    check_ok(sonde_result_archive(back, &again, &error), &error);
    assert_int_equal(archive.size, again.size);
    assert_memory_equal(archive.data, again.data, archive.size);
    sonde_buf_finish(&archive);
    sonde_buf_finish(&again);
    sonde_result_destroy(&r);
    sonde_result_destroy(&back);
}

static void test_empty_result(void **state)
{
    (void)state;
    struct sonde_error error = { 0 };
    struct sonde_result *r = sonde_result_create(NULL), *back = NULL;
    struct sonde_buf archive = { 0 };
    check_ok(sonde_result_archive(r, &archive, &error), &error);
    assert_string_equal(archive.data, "{\"sonde_result\":1,\"command\":\"\",\"parameters\":[],"
                                      "\"scalars\":[],\"tables\":[],\"figures\":[],\"checks\":[],"
                                      "\"warnings\":[]}");
    check_ok(sonde_result_restore(&back, archive.data, archive.size, &error), &error);
    equal_result(r, back);
    sonde_buf_finish(&archive);
    sonde_result_destroy(&r);
    sonde_result_destroy(&back);
}

#define HEAD "{\"sonde_result\":1,\"command\":\"c\",\"parameters\":[],\"scalars\":[],"
#define TAIL "\"checks\":[],\"warnings\":[]}"
#define FIGURE(body)                                                                               \
    HEAD "\"tables\":[],\"figures\":[{\"kind\":\"heatmap\",\"name\":\"f\",\"low\":0,\"high\":0,"   \
         "\"reference\":0," body "}]," TAIL

static void test_refuses(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } bad[] = {
        { "", "stored result: line 1, column 0: '[' or '{' expected near end of file" },
        { "[]", "stored result: the archive: found an array, expected an object" },
        { "{}", "stored result: version 0, expected 1" },
        { "{\"sonde_result\":2}", "stored result: version 2, expected 1" },
        { "{\"sonde_result\":\"1\"}",
          "stored result: \"sonde_result\": found a string, expected a whole number" },
        { "{\"sonde_result\":1}", "stored result: command: found nothing, expected a text" },
        { "{\"sonde_result\":1,\"command\":\"c\"}",
          "stored result: parameters: found nothing, expected an array" },
        { "{\"sonde_result\":1,\"command\":\"c\",\"parameters\":[[1,2]]}",
          "stored result: parameters: found a whole number, expected a text" },
        { "{\"sonde_result\":1,\"command\":\"c\",\"parameters\":[[\"a\",[]]]}",
          "stored result: parameters: found an array, expected a cell" },
        { "{\"sonde_result\":1,\"command\":\"c\",\"parameters\":[],\"scalars\":[[\"a\",\"b\"]]}",
          "stored result: scalars: found a string, expected a number" },
        { "{\"sonde_result\":1,\"command\":{\"bytes\":\"A\"}}",
          "stored result: command: is no base64" },
        { "{\"sonde_result\":1,\"command\":{\"bytes\":\"AGE=\"}}",
          "stored result: command: has a NUL character inside" },
        { HEAD "\"tables\":[{\"name\":\"t\",\"columns\":[\"a\",\"b\"],\"n_rows\":2,"
               "\"cells\":[1,2,3]}],\"figures\":[]," TAIL,
          "stored result: tables 1: 3 cells, expected 2 rows of 2 columns" },
        { HEAD "\"tables\":[{\"name\":\"t\",\"columns\":[],\"n_rows\":4294967296,"
               "\"cells\":[]}],\"figures\":[]," TAIL,
          "stored result: tables 1: 4294967296 rows without columns" },
        { HEAD "\"tables\":[{\"name\":\"t\",\"columns\":[\"a\"],\"n_rows\":-1,"
               "\"cells\":[]}],\"figures\":[]," TAIL,
          "stored result: tables 1: \"n_rows\": found -1, expected 0 to 4294967296" },
        { HEAD "\"tables\":[],\"figures\":[{\"kind\":\"pie\"}]," TAIL,
          "stored result: figures 1: kind: unknown: \"pie\"" },
        { FIGURE("\"matrix\":{\"rows\":3,\"columns\":5,\"f32\":\"AAAAAA==\"}"),
          "stored result: figures 1: \"f\": f32: 4 bytes, expected 15 values of 4" },
        { FIGURE("\"matrix\":{\"rows\":2147483648,\"columns\":2147483648,\"f32\":\"\"}"),
          "stored result: figures 1: \"f\": f32: 0 bytes, expected 4611686018427387904 values of "
          "4" },
        { FIGURE("\"matrix\":{\"rows\":1,\"columns\":1,\"f32\":\"AAA*AA==\"}"),
          "stored result: figures 1: \"f\": f32: is no base64" },
        { FIGURE("\"matrix\":{\"rows\":1,\"columns\":1,\"f32\":\"AAAAAB==\"}"),
          "stored result: figures 1: \"f\": f32: is no base64" },
        { FIGURE("\"matrix\":{\"rows\":1,\"columns\":1,\"f32\":\"AAAAAA==\"},\"cell_text\":[]"),
          "stored result: figures 1: \"f\": cell_text: 0 texts, expected 1 x 1" },
        { FIGURE("\"series\":[{\"n\":2,\"x\":\"AAAAAAAAAAA=\"}]"),
          "stored result: figures 1: \"f\": x: 8 bytes, expected 2 values of 8" },
        { FIGURE("\"series\":[],\"panels\":[{\"rows\":1}]"),
          "stored result: figures 1: \"f\": f32: found nothing, expected numbers as base64" },
        { FIGURE("\"series\":[],\"x\":{\"ticks\":[1]}"),
          "stored result: figures 1: \"f\": ticks: found a whole number, expected a text" },
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct sonde_error error = { 0 };
        struct sonde_result *out = NULL;
        assert_true(sonde_result_restore(&out, bad[i].text, strlen(bad[i].text), &error) !=
                    SONDE_STATUS_OK);
        assert_null(out);
        if (i > 0) /* the first message is the JSON library's */
            assert_string_equal(error.text, bad[i].message);
    }
}

/* Whatever one byte of an archive becomes, reading ends in a result or an error, and what it reads
 * can be drawn and written again. */
static void test_damaged_bytes(void **state)
{
    (void)state;
    struct sonde_error error = { 0 };
    struct sonde_result *r = sonde_result_create("c");
    sonde_result_parameter_text(r, "a", "\xff");
    static const char *const columns[] = { "x", "y", NULL };
    struct sonde_table *t = sonde_result_add_table(r, "t", columns);
    sonde_table_add_row(t);
    sonde_table_f64(t, 0, 0.5);
    float value[] = { 1, 2, 3, 4 };
    double x[] = { 0, 1 }, y[] = { 1, 2 };
    struct sonde_figure *f = sonde_figure_create(SONDE_FIGURE_TEXT, "f", "t");
    sonde_figure_set_matrix(f, 2, 2, value);
    sonde_figure_set_cell_text(f, 1, 1, "z");
    sonde_figure_set_ticks(f, &f->x, columns, 2);
    sonde_result_add_figure(r, f);
    f = sonde_figure_create(SONDE_FIGURE_LINE, "g", "t");
    sonde_figure_add_series(f, "s", 2, x, y, x, y);
    sonde_result_add_figure(r, f);
    struct sonde_buf archive = { 0 };
    check_ok(sonde_result_archive(r, &archive, &error), &error);
    sonde_result_destroy(&r);
    struct sonde_rng rng = sonde_rng_make(42, 1);
    int restored = 0;
    for (int trial = 0; trial < 6000; trial++) {
        size_t place = (size_t)sonde_rng_below(&rng, (int64_t)archive.size);
        char kept = archive.data[place];
        archive.data[place] = trial % 2 ? (char)sonde_rng_below(&rng, 256)
                                        : "0123456789-e.\"{}[],"[sonde_rng_below(&rng, 19)];
        struct sonde_result *back = NULL;
        if (sonde_result_restore(&back, archive.data, archive.size, &error) == SONDE_STATUS_OK) {
            restored++;
            struct sonde_buf out = { 0 };
            check_ok(sonde_render_json(back, &out, &error), &error);
            if (restored % 20 == 0) {
                for (int64_t i = 0; i < back->n_figures; i++)
                    check_ok(sonde_figure_svg(back->figure[i], NULL, &out, &error), &error);
            }
            sonde_buf_finish(&out);
        } else {
            assert_true(sonde_str_starts(error.text, "stored result: "));
        }
        sonde_result_destroy(&back);
        archive.data[place] = kept;
    }
    printf("# %d of 6000 damaged archives could still be read\n", restored);
    assert_true(restored > 100 && restored < 5900);
    for (size_t n = 0; n < archive.size; n++) {
        struct sonde_result *back = NULL;
        assert_true(sonde_result_restore(&back, archive.data, n, &error) != SONDE_STATUS_OK);
    }
    sonde_buf_finish(&archive);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_round_trip),
                                        cmocka_unit_test(test_empty_result),
                                        cmocka_unit_test(test_refuses),
                                        cmocka_unit_test(test_damaged_bytes) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
