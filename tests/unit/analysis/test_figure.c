/* Drawing, seen by its pixels (through the canvas) and its bytes. */
#include <math.h>
#include <string.h>
#include <time.h>

#include "analysis/figure/canvas.h"
#include "analysis/figure/draw.h"
#include "analysis/figure/png_encode.h"
#include "core/base/file.h"
#include "tests/support/check.h"
#include "tests/unit/analysis/gallery.h"

struct picture {
    struct sonde_canvas *canvas;
    const uint32_t *pixel;
    int64_t width, height, stride;
};

/* Draws a heatmap figure and finds the map: the first place of `color` in a scan of rows. */
static void draw(struct picture *p, const struct sonde_figure *f)
{
    struct sonde_error error = { 0 };
    check_ok(sonde_canvas_create(&p->canvas, SONDE_CANVAS_IMAGE, &error), &error);
    enum sonde_status status =
        f->kind == SONDE_FIGURE_GRID      ? sonde_draw_grid(p->canvas, f, &error)
        : f->kind == SONDE_FIGURE_TEXT    ? sonde_draw_text_map(p->canvas, f, &error)
        : f->kind == SONDE_FIGURE_HEATMAP ? sonde_draw_heatmap(p->canvas, f, &error)
                                          : sonde_draw_chart(p->canvas, f, &error);
    check_ok(status, &error);
    check_ok(sonde_canvas_pixels(p->canvas, &p->pixel, &p->width, &p->height, &p->stride, &error),
             &error);
}

static uint32_t word(struct sonde_color c)
{
    return (uint32_t)c.r << 16 | (uint32_t)c.g << 8 | c.b;
}

static uint32_t at(const struct picture *p, int64_t x, int64_t y)
{
    assert_true(x >= 0 && y >= 0 && x < p->width && y < p->height);
    return p->pixel[y * p->stride + x] & 0xffffff;
}

static int64_t count(const struct picture *p, struct sonde_color c)
{
    int64_t n = 0;
    for (int64_t y = 0; y < p->height; y++)
        for (int64_t x = 0; x < p->width; x++)
            n += at(p, x, y) == word(c);
    return n;
}

/* The box of all pixels of this colour. */
static bool find_box(const struct picture *p, struct sonde_color c, int64_t box[4])
{
    box[0] = box[1] = INT64_MAX;
    box[2] = box[3] = -1;
    for (int64_t y = 0; y < p->height; y++)
        for (int64_t x = 0; x < p->width; x++) {
            if (at(p, x, y) != word(c))
                continue;
            box[0] = x < box[0] ? x : box[0];
            box[1] = y < box[1] ? y : box[1];
            box[2] = x > box[2] ? x : box[2];
            box[3] = y > box[3] ? y : box[3];
        }
    return box[2] >= 0;
}

/* A 2 x 3 map of six colours that no text has: their places show orientation and cell sizes. */
static void test_cells_are_where_they_belong(void **state)
{
    (void)state;
    for (int from_top = 0; from_top < 2; from_top++) {
        float value[6] = { NAN, INFINITY, -INFINITY, 0, 0, 0 };
        struct sonde_figure *f = sonde_figure_create(SONDE_FIGURE_HEATMAP, "f", "Title");
        sonde_figure_set_matrix(f, 2, 3, value);
        f->y_from_top = from_top;
        struct picture p = { 0 };
        draw(&p, f);
        int64_t nan[4];
        struct sonde_scale s;
        sonde_scale_init(&s, f);
        /* legends hold the same colours: count the cells by area, 52 points at two pixels */
        int64_t cell = 104 * 104;
        assert_true(count(&p, sonde_color_nan) > cell - 500);
        assert_true(count(&p, sonde_color_nan) < cell + 1500);
        assert_true(count(&p, sonde_color_plus_inf) > cell - 500);
        assert_true(find_box(&p, sonde_color_nan, nan));
        /* the NaN is in row 0: above the row of zeros, or below it */
        int64_t x = nan[0] + 50, top = 0;
        while (at(&p, x, top) != word(sonde_color_nan))
            top++;
        int64_t other = from_top ? top + 104 : top - 104;
        assert_int_equal(at(&p, x, top + 103), word(sonde_color_nan));
        assert_int_equal(at(&p, x + 104, top), word(sonde_color_plus_inf));
        assert_int_equal(at(&p, x + 208, top + 103), word(sonde_color_minus_inf));
        for (int64_t k = 0; k < 3; k++)
            assert_int_equal(at(&p, x + 104 * k - 45, other), word(sonde_scale_color(&s, 0)));
        sonde_canvas_destroy(&p.canvas);
        sonde_figure_destroy(&f);
    }
}

static void test_reduction_keeps_the_largest(void **state)
{
    (void)state;
    const int64_t n = 5000;
    float *value = calloc((size_t)n * 3, sizeof(*value));
    assert_non_null(value);
    for (int64_t i = 0; i < n * 3; i++)
        value[i] = (float)(i % 7) * 0.01f;
    value[3 * 1234 + 1] = -9;
    value[3 * 4321] = NAN;
    struct sonde_figure *f = sonde_figure_create(SONDE_FIGURE_HEATMAP, "f", "Title");
    sonde_figure_set_matrix(f, n, 3, value);
    sonde_figure_set_scale(f, SONDE_COLORMAP_DIVERGING, NULL, false, 0, 0);
    struct sonde_scale s;
    sonde_scale_init(&s, f);
    struct sonde_error error = { 0 };
    struct sonde_cells cells;
    check_ok(sonde_cells_make(&cells, f->value, n, 3, 2048, true, &s, &error), &error);
    assert_int_equal(cells.block_rows, 3);
    assert_int_equal(cells.rows, 1667);
    assert_int_equal(cells.columns, 3);
    int64_t extreme = 0, none = 0;
    for (int64_t i = 0; i < cells.rows * 3; i++) {
        extreme += memcmp(&cells.color[i], &s.table.color[0], 3) == 0;
        none += memcmp(&cells.color[i], &sonde_color_nan, 3) == 0;
    }
    assert_int_equal(extreme, 1);
    assert_int_equal(none, 0); /* its block has numbers */
    struct sonde_color expected = s.table.color[0];
    assert_memory_equal(&cells.color[1234 / 3 * 3 + 1], &expected, 3);
    free(cells.color);
    struct picture p = { 0 };
    draw(&p, f);
    assert_true(p.height < 2600);
    sonde_canvas_destroy(&p.canvas);
    sonde_figure_destroy(&f);
    free(value);
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Shapes from a cell to more rows than pixels; every one is a picture of bounded size. */
static void test_shapes(void **state)
{
    (void)state;
    static const int64_t shape[][2] = { { 1, 1 },      { 1, 1000 },   { 1000, 1 },   { 100000, 1 },
                                        { 1, 100000 }, { 3000, 700 }, { 2048, 2048 } };
    for (size_t k = 0; k < sizeof(shape) / sizeof(shape[0]); k++) {
        int64_t n = shape[k][0] * shape[k][1];
        float *value = calloc((size_t)n, sizeof(*value));
        assert_non_null(value);
        for (int64_t i = 0; i < n; i++)
            value[i] = (float)(i % 1013);
        struct sonde_figure *f = sonde_figure_create(SONDE_FIGURE_HEATMAP, "f", "Title");
        sonde_figure_set_matrix(f, shape[k][0], shape[k][1], value);
        struct sonde_error error = { 0 };
        struct sonde_buf png = { 0 }, svg = { 0 };
        double start = seconds();
        check_ok(sonde_figure_png(f, NULL, &png, &error), &error);
        double took = seconds() - start;
        check_ok(sonde_figure_svg(f, NULL, &svg, &error), &error);
        printf("# %lld x %lld: PNG %zu bytes in %.3f s, SVG %zu bytes\n", (long long)shape[k][0],
               (long long)shape[k][1], png.size, took, svg.size);
        assert_true(png.size > 1000 && png.size < 20000000);
        assert_true(svg.size > 1000 && svg.size < 30000000);
        sonde_buf_finish(&png);
        sonde_buf_finish(&svg);
        sonde_figure_destroy(&f);
        free(value);
    }
}

static void test_empty_figures_say_so(void **state)
{
    (void)state;
    for (int kind = 0; kind <= (int)SONDE_FIGURE_GRID; kind++) {
        struct sonde_error error = { 0 };
        struct sonde_figure *f = sonde_figure_create((enum sonde_figure_kind)kind, "f", NULL);
        struct sonde_buf svg = { 0 };
        check_ok(sonde_figure_svg(f, NULL, &svg, &error), &error);
        assert_non_null(strstr(svg.data, ">no "));
        sonde_buf_finish(&svg);
        double x[] = { 0, 1 }, y[] = { (double)NAN, (double)INFINITY };
        sonde_figure_add_series(f, NULL, 2, x, y, y, y);
        check_ok(sonde_figure_svg(f, NULL, &svg, &error), &error);
        sonde_buf_finish(&svg);
        sonde_figure_destroy(&f);
    }
}

/* Numbers whose differences overflow, single points, constant series, many categories. */
static void test_charts_of_odd_numbers(void **state)
{
    (void)state;
    double x[] = { 0, 1, 2 }, huge[] = { -1.7e308, 0, 1.7e308 }, flat[] = { 5, 5, 5 };
    double tiny[] = { 0, 5e-324, 1e-300 }, zero[] = { 0, 0, 0 };
    const double *const sets[] = { huge, flat, tiny, zero };
    for (int kind = SONDE_FIGURE_LINE; kind <= SONDE_FIGURE_SCATTER; kind++)
        for (int k = 0; k < 4; k++)
            for (int n = 1; n <= 3; n++) {
                struct sonde_error error = { 0 };
                struct sonde_figure *f =
                    sonde_figure_create((enum sonde_figure_kind)kind, "f", "Title");
                sonde_figure_add_series(f, "s", n, x, sets[k], sets[k], sets[k]);
                sonde_figure_set_reference(f, k == 0 ? (double)INFINITY : 3, NULL);
                struct sonde_buf png = { 0 }, svg = { 0 };
                check_ok(sonde_figure_png(f, NULL, &png, &error), &error);
                check_ok(sonde_figure_svg(f, NULL, &svg, &error), &error);
                /* no coordinate is anything but a number */
                for (const char *c = svg.data; (c = strstr(c, "inf")) != NULL; c++)
                    assert_memory_equal(c, "infinite", 8);
                assert_null(strstr(svg.data, "nan"));
                sonde_buf_finish(&png);
                sonde_buf_finish(&svg);
                sonde_figure_destroy(&f);
            }
}

/* The dashed reference line and the band's and line's colours are there, in the right order. */
static void test_chart_pixels(void **state)
{
    (void)state;
    double x[] = { 0, 10 }, y[] = { 1, 1 }, low[] = { 0, 0 }, high[] = { 2, 2 };
    struct sonde_figure *f = sonde_figure_create(SONDE_FIGURE_LINE, "f", NULL);
    sonde_figure_add_series(f, "s", 2, x, y, low, high);
    struct picture p = { 0 };
    draw(&p, f);
    struct sonde_color line = { 0x00, 0x72, 0xb2 };
    int64_t box[4];
    assert_true(find_box(&p, line, box));
    int64_t middle = (box[1] + box[3]) / 2, column = (box[0] + box[2]) / 2;
    assert_int_equal(at(&p, column, middle), word(line));
    assert_true(box[2] - box[0] > 1000); /* over the plot's 600 points, two pixels each */
    /* above and below the line is the band: blue, but light */
    uint32_t above = at(&p, column, middle - 60), below = at(&p, column, middle + 60);
    assert_int_equal(above, below);
    assert_true((above & 0xff) > (above >> 16) + 20 && (above >> 16) > 150);
    assert_int_equal(at(&p, column, 2), 0xffffff);
    sonde_canvas_destroy(&p.canvas);
    sonde_figure_destroy(&f);
}

/* Tokens of every kind are labels without harm; the SVG has no control character and no tag. */
static void test_hostile_labels(void **state)
{
    (void)state;
    static const char *const label[] = { "<script>alert(1)</script>",
                                         "\033[31m\a",
                                         "\xff\xfe",
                                         "\u202eevil",
                                         "a\"b'c&d",
                                         "",
                                         " ",
                                         "\n\n" };
    float value[64] = { 0 };
    struct sonde_figure *f = sonde_figure_create(SONDE_FIGURE_TEXT, "../../x", label[0]);
    sonde_figure_set_matrix(f, 8, 8, value);
    sonde_figure_set_ticks(f, &f->x, label, 8);
    sonde_figure_set_ticks(f, &f->y, label, 8);
    sonde_figure_set_axes(f, label[1], label[2]);
    sonde_figure_set_caption(f, label[3]);
    for (int64_t i = 0; i < 64; i++)
        sonde_figure_set_cell_text(f, i / 8, i % 8, label[i % 8]);
    char *long_text = malloc(3000001);
    assert_non_null(long_text);
    memset(long_text, 'w', 3000000);
    long_text[3000000] = '\0';
    sonde_figure_set_cell_text(f, 0, 0, long_text);
    free(long_text);
    struct sonde_error error = { 0 };
    const struct sonde_figure_provenance hostile = { "sonde --text '<b>]]>\033'", "\xff", "\n" };
    struct sonde_buf svg = { 0 }, png = { 0 };
    check_ok(sonde_figure_svg(f, &hostile, &svg, &error), &error);
    check_ok(sonde_figure_png(f, &hostile, &png, &error), &error);
    assert_null(strstr(svg.data, "<script"));
    assert_null(strstr(svg.data, "<b>"));
    for (size_t i = 0; i < svg.size; i++)
        assert_true((unsigned char)svg.data[i] >= 0x20 || svg.data[i] == '\n');
    assert_true(svg.size < 200000);
    sonde_buf_finish(&svg);
    sonde_buf_finish(&png);
    sonde_figure_destroy(&f);
}

static void test_round_ticks(void **state)
{
    (void)state;
    double tick[SONDE_TICKS_MAX];
    char text[SONDE_TICK_TEXT_MAX];
    assert_int_equal(sonde_round_ticks(0, 1, 5, tick), 6);
    check_close(tick[3], 0.6, 1e-15);
    assert_int_equal(sonde_round_ticks(-7, 7, 4, tick), 3);
    check_close(tick[0], -5, 0);
    assert_int_equal(sonde_round_ticks(1, 1, 5, tick), 0);
    assert_int_equal(sonde_round_ticks(-1.7e308, 1.7e308, 5, tick), 0);
    assert_int_equal(sonde_round_ticks(0, 1e300, 1000, tick), SONDE_TICKS_MAX);
    sonde_tick_text(text, -0.25, 0.05);
    assert_string_equal(text, "\u22120.25");
    sonde_tick_text(text, 200, 100);
    assert_string_equal(text, "200");
    sonde_tick_text(text, 0.61234567, 0);
    assert_string_equal(text, "0.6123");
}

static void test_text_is_cut_to_its_place(void **state)
{
    (void)state;
    struct sonde_error error = { 0 };
    struct sonde_canvas *c = NULL;
    check_ok(sonde_canvas_create(&c, SONDE_CANVAS_IMAGE, &error), &error);
    struct sonde_text_style style = { .size = 11 };
    double whole, cut, narrow;
    sonde_canvas_measure(c, "unbelievably long token", &style, &whole, NULL);
    style.max_width = whole / 2;
    sonde_canvas_measure(c, "unbelievably long token", &style, &cut, NULL);
    assert_true(cut <= whole / 2 && cut > whole / 2 - 20);
    style.max_width = 1;
    sonde_canvas_measure(c, "unbelievably long token", &style, &narrow, NULL);
    assert_true(narrow > 0 && narrow < 20); /* the ellipsis alone */
    sonde_canvas_destroy(&c);
}

static void test_canvas_refuses_too_much(void **state)
{
    (void)state;
    struct sonde_error error = { 0 };
    struct sonde_canvas *c = NULL;
    check_ok(sonde_canvas_create(&c, SONDE_CANVAS_IMAGE, &error), &error);
    assert_int_equal(sonde_canvas_begin(c, 1e9, 10, 1, &error), SONDE_STATUS_LIMIT);
    assert_int_equal(sonde_canvas_begin(c, (double)NAN, 10, 1, &error), SONDE_STATUS_LIMIT);
    assert_int_equal(sonde_canvas_begin(c, 8000, 8000, 1, &error), SONDE_STATUS_LIMIT);
    sonde_canvas_destroy(&c);
    struct sonde_buf out = { 0 };
    struct sonde_png_image image = { .width = 0, .height = 1 };
    assert_int_equal(sonde_png_encode(&image, &out, &error), SONDE_STATUS_LIMIT);
    image.width = (int64_t)1 << 40;
    assert_int_equal(sonde_png_encode(&image, &out, &error), SONDE_STATUS_LIMIT);
    assert_int_equal(out.size, 0);
}

/* A text chunk is Latin-1 by the standard: what is not ASCII goes into iTXt. */
static void test_png_text(void **state)
{
    (void)state;
    struct sonde_error error = { 0 };
    const struct sonde_color cell[2] = { { 1, 2, 3 }, { 4, 5, 6 } };
    const struct sonde_png_text text[] = { { "Title", "plain" },
                                           { "Command", "caf\u00e9 \u6f22\u5b57" },
                                           { "Comment", NULL } };
    struct sonde_png_image image = {
        .width = 2, .height = 1, .cell = cell, .text = text, .n_texts = 3
    };
    struct sonde_buf png = { 0 };
    check_ok(sonde_png_encode(&image, &png, &error), &error);
    static const char latin[] = "tEXtTitle\0plain", unicode[] = "iTXtCommand\0\0\0\0\0caf\u00e9";
    bool found_latin = false, found_unicode = false;
    for (size_t i = 0; i + sizeof(unicode) < png.size; i++) {
        found_latin = found_latin || memcmp(png.data + i, latin, sizeof(latin) - 1) == 0;
        found_unicode = found_unicode || memcmp(png.data + i, unicode, sizeof(unicode) - 1) == 0;
        assert_true(memcmp(png.data + i, "Comment", 7) != 0);
    }
    assert_true(found_latin && found_unicode);
    sonde_buf_finish(&png);
}

/* The whole gallery draws on both backends, twice the same bytes. */
static void test_gallery(void **state)
{
    (void)state;
    for (int k = 0; k < GALLERY_SIZE; k++) {
        if (k == 1)
            continue; /* the largest: test_shapes has one */
        struct sonde_error error = { 0 };
        struct sonde_figure *f = gallery_make(k);
        assert_non_null(f);
        struct sonde_buf png[2] = { { 0 }, { 0 } }, svg[2] = { { 0 }, { 0 } };
        for (int i = 0; i < 2; i++) {
            check_ok(sonde_figure_png(f, NULL, &png[i], &error), &error);
            check_ok(sonde_figure_svg(f, NULL, &svg[i], &error), &error);
        }
        assert_true(png[0].size == png[1].size && svg[0].size == svg[1].size);
        assert_memory_equal(png[0].data, png[1].data, png[0].size);
        assert_memory_equal(svg[0].data, svg[1].data, svg[0].size);
        for (int i = 0; i < 2; i++) {
            sonde_buf_finish(&png[i]);
            sonde_buf_finish(&svg[i]);
        }
        sonde_figure_destroy(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cells_are_where_they_belong),
        cmocka_unit_test(test_reduction_keeps_the_largest),
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_empty_figures_say_so),
        cmocka_unit_test(test_charts_of_odd_numbers),
        cmocka_unit_test(test_chart_pixels),
        cmocka_unit_test(test_hostile_labels),
        cmocka_unit_test(test_round_ticks),
        cmocka_unit_test(test_text_is_cut_to_its_place),
        cmocka_unit_test(test_canvas_refuses_too_much),
        cmocka_unit_test(test_png_text),
        cmocka_unit_test(test_gallery),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
