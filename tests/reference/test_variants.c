/* The forms in which users' models come: each made at random in odd sizes, and every site held
 * against the double-precision pass. */
#include <string.h>

#include "tests/reference/ref_forward.h"
#include "tests/reference/site_capture.h"
#include "tests/support/check.h"
#include "tests/unit/model/model_maker.h"

enum { T = 13 };

/*
 * Tolerance: one unit in the last place of f32 (6e-8) on each of the about sqrt(n) roundings that
 * stand in line from the embedding to the logits, n = 400 additions a layer with 3 layers: below
 * 6e-8 * 35 * a gain of at most 5 through norms and the softmax = 1e-5 of the largest magnitude.
 */
static void check_recipe(const struct model_recipe *recipe)
{
    char name[SONDE_SITE_NAME_MAX];
    struct ref_model ref;
    struct ref_trace trace = { 0 };
    struct capture c;
    int32_t ids[T];
    char *folder = model_make(recipe);
    struct sonde_model *model = capture_open(folder);
    assert_true(ref_model_load(&ref, folder));
    for (int i = 0; i < T; i++) {
        ids[i] = (i * 7 + 3) % (int)recipe->V;
    }
    capture_run(&c, model, ids, NULL, T, NULL, NULL);
    ref_forward(&ref, ids, NULL, T, &trace);
    assert_int_equal(c.n, sonde_site_set_count(sonde_model_sites(model)));
    for (int i = 0; i < c.n; i++) {
        const struct ref_site *site =
            ref_trace_find(&trace, sonde_site_format(c.item[i].site, name));
        double difference, magnitude;
        if (!site || site->n != c.item[i].n) {
            fprintf(stderr, "# the reference has no %s of this size\n", name);
            fail();
        }
        capture_compare(c.item[i].value, site->value, site->n, &difference, &magnitude);
        if (!(difference <= 1e-5 * fmax(1.0, magnitude))) {
            fprintf(stderr, "# %s: off by %.3g at magnitude %.3g\n", name, difference, magnitude);
            fail();
        }
    }
    assert_int_equal(c.n, trace.n);
    for (int i = 0; i < sonde_model_n_warnings(model); i++) {
        if (!strstr(sonde_model_warning(model, i), "odd")) {
            fprintf(stderr, "# warning: %s\n", sonde_model_warning(model, i));
        }
    }
    capture_free(&c);
    ref_trace_free(&trace);
    ref_model_free(&ref);
    sonde_model_close(&model);
    model_remove(folder);
}

static const struct model_recipe gpt2 = {
    .family = "gpt2", .D = 21, .H = 3, .F = 34, .L = 3, .V = 37, .n_ctx = 19
};
static const struct model_recipe llama = {
    .family = "llama", .D = 20, .H = 6, .G = 2, .E = 6, .F = 23, .L = 3, .V = 41, .n_ctx = 32
};
static const struct model_recipe neox = {
    .family = "gpt_neox", .D = 40, .H = 5, .F = 27, .L = 3, .V = 33, .n_ctx = 24, .untied = true
};
static const struct model_recipe bert = {
    .family = "bert", .D = 18, .H = 3, .F = 29, .L = 2, .V = 31, .n_ctx = 16
};

static void test_gpt2(void **state)
{
    struct model_recipe r = gpt2;
    (void)state;
    check_recipe(&r);
    r.no_prefix = r.mask_buffers = r.n_inner_null = r.tie_absent = true;
    check_recipe(&r);
    r = gpt2;
    r.untied = true;
    r.more_config =
        "\"scale_attn_by_inverse_layer_idx\": true, \"activation_function\": \"relu\", ";
    check_recipe(&r);
    r = gpt2;
    r.only_head = true;
    r.more_config = "\"scale_attn_weights\": false, \"activation_function\": \"gelu\", ";
    check_recipe(&r);
    r.alias = r.untied = true;
    check_recipe(&r);
    r = gpt2;
    r.unaligned = r.shards = true;
    r.dtype = SONDE_DTYPE_F16;
    check_recipe(&r);
}

static void test_llama(void **state)
{
    struct model_recipe r = llama;
    (void)state;
    check_recipe(&r);
    r.untied = r.attention_bias = r.mlp_bias = true;
    check_recipe(&r);
    r = llama;
    r.untied = r.no_prefix = r.tie_absent = r.shards = true;
    r.more_config = "\"rope_parameters\": {\"rope_type\": \"default\", \"rope_theta\": 500.0}, "
                    "\"rms_norm_eps\": 1e-3, ";
    check_recipe(&r);
    r = llama;
    r.only_head = r.alias = true;
    r.G = 1;
    check_recipe(&r);
    r.alias = false;
    r.G = 6;
    check_recipe(&r);
    r.tie_absent = true; /* only the head is stored: taken as tied, with a warning */
    check_recipe(&r);
    r = llama;
    r.tie_absent = true; /* only the embedding is stored: taken as tied, with a warning */
    r.dtype = SONDE_DTYPE_BF16;
    r.unaligned = true;
    check_recipe(&r);
    r = llama;
    r.dtype = SONDE_DTYPE_F16;
    r.more_config = "\"hidden_act\": \"gelu_pytorch_tanh\", \"rope_theta\": 1000000.0, ";
    check_recipe(&r);
}

static void test_gpt_neox(void **state)
{
    struct model_recipe r = neox;
    (void)state;
    check_recipe(&r);
    r.serial = r.mask_buffers = true;
    r.more_config = "\"rotary_pct\": 1.0, \"rotary_emb_base\": 300, ";
    check_recipe(&r);
    r = neox;
    r.dtype = SONDE_DTYPE_BF16;
    r.untied = false;
    r.no_prefix = true;
    r.more_config = "\"rotary_pct\": 0.5, \"hidden_act\": \"gelu_new\", ";
    check_recipe(&r);
}

static void test_bert(void **state)
{
    struct model_recipe r = bert;
    (void)state;
    check_recipe(&r);
    r.old_norm_names = r.shards = true;
    check_recipe(&r);
    r = bert;
    r.no_head = r.no_prefix = true;
    check_recipe(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gpt2),
        cmocka_unit_test(test_llama),
        cmocka_unit_test(test_gpt_neox),
        cmocka_unit_test(test_bert),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
