#include <math.h>
#include <string.h>

#include "analysis/figure/colormap.h"
#include "tests/support/check.h"

#define STEPS SONDE_COLORMAP_STEPS
#define HALF (SONDE_COLORMAP_STEPS / 2)

/* A colour of 8 bits a channel is off by half a unit: in OKLab up to about 0.003 in the dark. */
#define ROUNDING 0.004

static void test_lab_of_known_colors(void **state)
{
    (void)state;
    struct sonde_color white = { 255, 255, 255 }, black = { 0, 0, 0 }, red = { 255, 0, 0 };
    check_close(sonde_color_lightness(white), 1, 1e-6);
    check_close(sonde_color_lightness(black), 0, 1e-12);
    /* published in the definition: sRGB red has L 0.628, a 0.225, b 0.126 */
    check_close(sonde_color_lightness(red), 0.62796, 1e-4);
    check_close(sonde_color_distance(red, black),
                sqrt(0.62796 * 0.62796 + 0.22486 * 0.22486 + 0.12585 * 0.12585), 1e-4);
    check_close(sonde_color_contrast(white, black), 21, 1e-9);
    check_close(sonde_color_contrast(red, red), 1, 0);
}

static void test_sequential(void **state)
{
    (void)state;
    struct sonde_colormap_table t;
    sonde_colormap_init(&t, SONDE_COLORMAP_SEQUENTIAL);
    double length = 0, most = 0;
    for (int i = 0; i < STEPS; i++)
        length += sonde_color_distance(t.color[i], t.color[i + 1]);
    for (int i = 0; i + 8 <= STEPS; i += 8) {
        /* lightness rises with every step that a screen can show */
        assert_true(sonde_color_lightness(t.color[i + 8]) >
                    sonde_color_lightness(t.color[i]) + 0.01);
        double step = sonde_color_distance(t.color[i], t.color[i + 8]);
        most = fmax(most, fabs(step - length * 8 / STEPS));
    }
    /* uniform: eight steps are the same distance everywhere, up to rounding at both ends */
    assert_true(most < 2 * ROUNDING);
    assert_true(sonde_color_lightness(t.color[0]) < 0.3);
    assert_true(sonde_color_lightness(t.color[STEPS]) > 0.9);
}

static void test_diverging(void **state)
{
    (void)state;
    struct sonde_colormap_table t;
    sonde_colormap_init(&t, SONDE_COLORMAP_DIVERGING);
    for (int i = 0; i <= HALF; i++) {
        /* both signs are as light, and as far from the middle */
        check_close(sonde_color_lightness(t.color[HALF - i]),
                    sonde_color_lightness(t.color[HALF + i]), 2 * ROUNDING);
        check_close(sonde_color_distance(t.color[HALF], t.color[HALF - i]),
                    sonde_color_distance(t.color[HALF], t.color[HALF + i]), 2 * ROUNDING);
    }
    for (int i = 0; i + 8 <= HALF; i += 8)
        assert_true(sonde_color_lightness(t.color[HALF + i + 8]) <
                    sonde_color_lightness(t.color[HALF + i]));
    assert_true(sonde_color_lightness(t.color[HALF]) > 0.95);
    assert_true(t.color[0].b > t.color[0].r && t.color[STEPS].r > t.color[STEPS].b);
}

static void test_ink_is_readable(void **state)
{
    (void)state;
    for (int map = 0; map < 2; map++) {
        struct sonde_colormap_table t;
        sonde_colormap_init(&t, (enum sonde_colormap)map);
        for (int i = 0; i <= STEPS; i++)
            assert_true(sonde_color_contrast(sonde_color_ink_on(t.color[i]), t.color[i]) >= 3.6);
    }
}

static void test_special_colors_stand_out(void **state)
{
    (void)state;
    const struct sonde_color special[] = { sonde_color_nan, sonde_color_plus_inf,
                                           sonde_color_minus_inf };
    for (int map = 0; map < 2; map++) {
        struct sonde_colormap_table t;
        sonde_colormap_init(&t, (enum sonde_colormap)map);
        for (int k = 0; k < 3; k++)
            for (int i = 0; i <= STEPS; i++)
                /* ten times what can just be told apart side by side (about 0.004) */
                assert_true(sonde_color_distance(special[k], t.color[i]) > 0.04);
    }
}

static void test_scale(void **state)
{
    (void)state;
    float value[] = { -2, 6, NAN, INFINITY, -INFINITY, 2 };
    struct sonde_figure *f = sonde_figure_create(SONDE_FIGURE_HEATMAP, "f", "f");
    sonde_figure_set_matrix(f, 2, 3, value);
    struct sonde_scale s;
    sonde_scale_init(&s, f);
    check_close(s.low, -2, 0);
    check_close(s.high, 6, 0);
    assert_true(s.n_finite == 3 && s.n_nan == 1 && s.n_plus_inf == 1 && s.n_minus_inf == 1);
    assert_false(s.below || s.above || s.constant);
    struct sonde_color low = sonde_scale_color(&s, -2), high = sonde_scale_color(&s, 6);
    struct sonde_color middle = sonde_scale_color(&s, 2), none = sonde_scale_color(&s, NAN);
    assert_memory_equal(&low, &s.table.color[0], 3);
    assert_memory_equal(&high, &s.table.color[STEPS], 3);
    assert_memory_equal(&middle, &s.table.color[HALF], 3);
    assert_memory_equal(&none, &sonde_color_nan, 3);
    sonde_figure_set_scale(f, SONDE_COLORMAP_DIVERGING, NULL, true, -1, 4);
    sonde_scale_init(&s, f);
    check_close(s.low, -4, 0); /* symmetric about zero */
    check_close(s.high, 4, 0);
    assert_true(s.above && !s.below);
    struct sonde_color zero = sonde_scale_color(&s, 0), beyond = sonde_scale_color(&s, 100);
    assert_memory_equal(&zero, &s.table.color[HALF], 3);
    assert_memory_equal(&beyond, &s.table.color[STEPS], 3);
    sonde_figure_destroy(&f);
}

static void test_scale_at_the_edges(void **state)
{
    (void)state;
    float flat[] = { 0.25f, 0.25f }, wide[] = { -3e38f, 3e38f }, none[] = { NAN, NAN };
    float *const data[] = { flat, wide, none };
    for (int k = 0; k < 3; k++) {
        struct sonde_figure *f = sonde_figure_create(SONDE_FIGURE_HEATMAP, "f", "f");
        sonde_figure_set_matrix(f, 1, 2, data[k]);
        struct sonde_scale s;
        sonde_scale_init(&s, f);
        struct sonde_color color = sonde_scale_color(&s, data[k][1]);
        const struct sonde_color *expected = k == 0   ? &s.table.color[HALF]
                                             : k == 1 ? &s.table.color[STEPS]
                                                      : &sonde_color_nan;
        assert_memory_equal(&color, expected, 3);
        assert_true(s.constant == (k != 1));
        sonde_figure_destroy(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lab_of_known_colors),
        cmocka_unit_test(test_sequential),
        cmocka_unit_test(test_diverging),
        cmocka_unit_test(test_ink_is_readable),
        cmocka_unit_test(test_special_colors_stand_out),
        cmocka_unit_test(test_scale),
        cmocka_unit_test(test_scale_at_the_edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
