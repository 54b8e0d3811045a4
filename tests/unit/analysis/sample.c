#include "tests/unit/analysis/sample.h"

#include <math.h>

#include "tests/unit/analysis/gallery.h"

static void add_layers(struct sonde_result *r)
{
    static const char *const columns[] = { "stream",  "layer",       "task",    "metric",
                                           "value",   "ci_low",      "ci_high", "majority",
                                           "control", "selectivity", "n_train", "n_test",
                                           "l2",      "iterations",  NULL };
    static const char *const site[] = { "hook_embed", "blocks.0.hook_resid_post",
                                        "blocks.1.hook_resid_post" };
    struct sonde_table *t = sonde_result_add_table(r, "layers", columns);
    for (int i = 0; i < 3; i++) {
        double value = 0.7512345 + 0.05 * i;
        sonde_table_add_row(t);
        sonde_table_text(t, 0, site[i]);
        sonde_table_i64(t, 1, i - 1);
        sonde_table_text(t, 2, "upos");
        sonde_table_text(t, 3, "accuracy");
        sonde_table_f64(t, 4, value);
        sonde_table_f64(t, 5, value - 0.0123);
        sonde_table_f64(t, 6, value + 0.0119);
        sonde_table_f64(t, 7, 0.1875);
        sonde_table_f64(t, 8, i == 2 ? (double)NAN : 0.41);
        sonde_table_f64(t, 9, i == 2 ? (double)INFINITY : value - 0.41);
        sonde_table_i64(t, 10, 12000);
        sonde_table_i64(t, 11, 3000);
        sonde_table_f64(t, 12, i == 1 ? 1e-5 : 0.1);
        sonde_table_i64(t, 13, 37 + i);
    }
}

static void add_tokens(struct sonde_result *r)
{
    static const char *const columns[] = { "token", "id", "special", "note, with \"quotes\"",
                                           NULL };
    static const char *const token[] = {
        " the",
        "<script>alert(1)</script>",
        "\n",
        "a,b",
        "\"quoted\"",
        "\033[31m",
        "\xff\xfe",
        "\u202ertl",
        "\xd7\xa9\xd7\x9c\xd7\x95\xd7\x9d",
        "\xe6\xbc\xa2\xe5\xad\x97",
        "\xf0\x9f\x98\x80",
        "",
        "|pipe*_`",
        "e\xcc\x81 ",
    };
    struct sonde_table *t = sonde_result_add_table(r, "tokens", columns);
    for (int i = 0; i < (int)(sizeof(token) / sizeof(token[0])); i++) {
        sonde_table_add_row(t);
        sonde_table_text(t, 0, token[i]);
        sonde_table_i64(t, 1, i * 1000003);
        sonde_table_bool(t, 2, i % 3 == 0);
        if (i == 4)
            sonde_table_text(t, 3,
                             "a note that is a good deal longer than the terminal has room for "
                             "beside the other columns of its table");
    }
    sonde_result_add_table(r, "nothing", columns);
}

struct sonde_result *sample_make(void)
{
    struct sonde_result *r = sonde_result_create("probe linear");
    sonde_result_parameter_text(r, "labels", "upos");
    sonde_result_parameter_text(r, "text",
                                "Once upon a time, <b>there</b> was & a \"little\" girl.\n");
    sonde_result_parameter_i64(r, "seed", 42);
    sonde_result_parameter_f64(r, "l2", 0.1);
    sonde_result_parameter_bool(r, "control", true);
    sonde_result_parameter_text(r, "baseline", NULL);
    sonde_result_scalar_i64(r, "tokens", 15000);
    sonde_result_scalar_f64(r, "seconds", 1.23456789012345);
    sonde_result_scalar_f64(r, "whole", 3);
    sonde_result_scalar_f64(r, "undefined", (double)NAN);
    add_layers(r);
    add_tokens(r);
    sonde_result_add_figure(r, gallery_make(8));
    sonde_result_add_figure(r, gallery_make(5));
    sonde_result_add_figure(r, gallery_make(13));
    sonde_result_add_figure(r, gallery_make(3));
    sonde_result_check(r, "rows sum to 1", true, 1.2e-7, "<= 1e-5");
    sonde_result_check(r, "lens = logits", false, 0.25, "<= 1e-5");
    sonde_result_check(r, "no number", true, (double)NAN, NULL);
    sonde_result_warn(r, "%d of %d sequences are in train and test", 3, 600);
    return r;
}
