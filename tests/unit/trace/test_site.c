#include <string.h>

#include "core/trace/site.h"
#include "tests/support/check.h"

/* The sites of a serial decoder with rotary positions and a plain MLP: no gate, no post-norm sites.
 */
static void available_sites(struct sonde_site_set *set, int n_layers)
{
    const enum sonde_site_kind kinds[] = {
        SONDE_SITE_EMBED,
        SONDE_SITE_LN_FINAL_SCALE,
        SONDE_SITE_LN_FINAL_NORMALIZED,
        SONDE_SITE_LN_FINAL_OUT,
        SONDE_SITE_LOGITS,
        SONDE_SITE_RESID_PRE,
        SONDE_SITE_LN1_SCALE,
        SONDE_SITE_LN1_NORMALIZED,
        SONDE_SITE_LN1_OUT,
        SONDE_SITE_Q,
        SONDE_SITE_K,
        SONDE_SITE_V,
        SONDE_SITE_ROT_Q,
        SONDE_SITE_ROT_K,
        SONDE_SITE_ATTN_SCORES,
        SONDE_SITE_PATTERN,
        SONDE_SITE_Z,
        SONDE_SITE_RESULT,
        SONDE_SITE_ATTN_OUT,
        SONDE_SITE_RESID_MID,
        SONDE_SITE_LN2_SCALE,
        SONDE_SITE_LN2_NORMALIZED,
        SONDE_SITE_LN2_OUT,
        SONDE_SITE_MLP_PRE,
        SONDE_SITE_MLP_POST,
        SONDE_SITE_MLP_OUT,
        SONDE_SITE_RESID_POST,
    };
    memset(set, 0, sizeof *set);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        for (int l = 0; l < n_layers; l++) {
            sonde_site_set_add(set, (struct sonde_site){ kinds[i], l });
        }
    }
}

static void test_table(void **state)
{
    (void)state;
    for (int k = 0; k < SONDE_SITE_KINDS; k++) {
        const struct sonde_site_description *d = sonde_site_describe((enum sonde_site_kind)k);
        assert_int_equal(d->kind, k);
        assert_non_null(d->name);
        assert_true(strlen(d->meaning) > 5);
        for (int j = 0; j < k; j++) { /* no spelling stands for two sites */
            const struct sonde_site_description *e = sonde_site_describe((enum sonde_site_kind)j);
            if (d->per_layer != e->per_layer) {
                continue;
            }
            assert_string_not_equal(d->name, e->name);
            if (d->canonical) {
                assert_string_not_equal(d->canonical, e->name);
                assert_string_not_equal(d->canonical, e->canonical ? e->canonical : "");
            }
            if (d->llamacpp) {
                assert_string_not_equal(d->llamacpp, e->llamacpp ? e->llamacpp : "");
            }
        }
    }
}

static void test_parse_and_format(void **state)
{
    static const struct {
        const char *text, *printed;
    } good[] = {
        { "blocks.3.hook_resid_post", "blocks.3.hook_resid_post" },
        { "blocks.3.hook_out", "blocks.3.hook_resid_post" },
        { "blocks.0.hook_in", "blocks.0.hook_resid_pre" },
        { "l_out-3", "blocks.3.hook_resid_post" },
        { "kqv_out-11", "blocks.11.attn.hook_z" },
        { "Qcur-0", "blocks.0.attn.hook_q" },
        { "ffn_out-2", "blocks.2.hook_mlp_out" },
        { "attn_norm-1", "blocks.1.ln1.hook_out" },
        { "result_norm", "ln_final.hook_out" },
        { "result_output", "logits" },
        { "unembed.hook_out", "logits" },
        { "embed.hook_out", "hook_embed" },
        { "pos_embed.hook_out", "hook_pos_embed" },
        { "blocks.2.attn.o.hook_in", "blocks.2.attn.hook_z" },
        { "blocks.2.attn.hook_out", "blocks.2.hook_attn_out" },
        { "blocks.2.mlp.hook_out", "blocks.2.hook_mlp_out" },
        { "blocks.2.mlp.in.hook_out", "blocks.2.mlp.hook_pre" },
        { "blocks.2.mlp.out.hook_in", "blocks.2.mlp.hook_post" },
        { "blocks.2.attn.hook_hidden_states", "blocks.2.attn.hook_result" },
        { "blocks.511.ln2.hook_scale", "blocks.511.ln2.hook_scale" },
        { "ln_final.hook_scale", "ln_final.hook_scale" },
    };
    static const char *const bad[] = {
        "",
        "blocks",
        "blocks.",
        "blocks.1",
        "blocks.1.",
        "blocks..hook_out",
        "blocks.-1.hook_out",
        "blocks.01.hook_out",
        "blocks.512.hook_out",
        "blocks.99999999999.hook_out",
        "blocks.1.hook_embed",
        "hook_resid_post",
        "l_out",
        "l_out-",
        "l_out-x",
        "hook_embed-1",
        "blocks.1.hook_outt",
        "blocks.1x.hook_out",
        "blocks.*.hook_out",
        "result_norm-0",
    };
    struct sonde_site site;
    char name[SONDE_SITE_NAME_MAX];
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(sonde_site_parse(good[i].text, &site));
        assert_string_equal(sonde_site_format(site, name), good[i].printed);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(sonde_site_parse(bad[i], &site));
    }
    for (int k = 0; k < SONDE_SITE_KINDS; k++) { /* what is printed reads back */
        bool per_layer = sonde_site_describe((enum sonde_site_kind)k)->per_layer;
        struct sonde_site from = { (enum sonde_site_kind)k, per_layer ? 17 : -1 };
        assert_true(sonde_site_parse(sonde_site_format(from, name), &site));
        assert_int_equal(site.kind, from.kind);
        assert_int_equal(site.layer, from.layer);
    }
}

/* The names of a set in the order of iteration, joined by spaces. */
static void list(const struct sonde_site_set *set, char *out, size_t max)
{
    struct sonde_site site;
    char name[SONDE_SITE_NAME_MAX];
    out[0] = '\0';
    for (int64_t i = 0; sonde_site_set_next(set, &i, &site);) {
        size_t used = strlen(out);
        snprintf(out + used, max - used, "%s%s", used ? " " : "", sonde_site_format(site, name));
    }
}

static void test_sets(void **state)
{
    static const struct {
        const char *pattern, *expected;
    } cases[] = {
        { "resid", "hook_embed blocks.0.hook_resid_post blocks.1.hook_resid_post "
                   "blocks.2.hook_resid_post" },
        { "attn", "blocks.0.attn.hook_pattern blocks.1.attn.hook_pattern "
                  "blocks.2.attn.hook_pattern" },
        { "mlp,-blocks.1.*", "blocks.0.hook_mlp_out blocks.2.hook_mlp_out" },
        { "ffn", "blocks.0.mlp.hook_post blocks.1.mlp.hook_post blocks.2.mlp.hook_post" },
        { "qkv,-blocks.0-1.attn.hook_*",
          "blocks.2.attn.hook_q blocks.2.attn.hook_k blocks.2.attn.hook_v" },
        { "blocks.1-2.hook_out", "blocks.1.hook_resid_post blocks.2.hook_resid_post" },
        { "blocks.0|2.attn.hook_q", "blocks.0.attn.hook_q blocks.2.attn.hook_q" },
        { "blocks.-1.hook_resid_mid", "blocks.2.hook_resid_mid" },
        { "blocks.-2--1.hook_in", "blocks.1.hook_resid_pre blocks.2.hook_resid_pre" },
        { "blocks.0|1-2.hook_in",
          "blocks.0.hook_resid_pre blocks.1.hook_resid_pre blocks.2.hook_resid_pre" },
        { "*hook_resid_mid", "blocks.0.hook_resid_mid blocks.1.hook_resid_mid "
                             "blocks.2.hook_resid_mid" },
        { "blocks.*.ln1.hook_sc*", "blocks.0.ln1.hook_scale blocks.1.ln1.hook_scale "
                                   "blocks.2.ln1.hook_scale" },
        { "l_out-0|2", "blocks.0.hook_resid_post blocks.2.hook_resid_post" },
        { " logits , hook_embed", "hook_embed logits" },
        { "ln_final.*", "ln_final.hook_scale ln_final.hook_normalized ln_final.hook_out" },
        { "logits,blocks.1.hook_out,hook_embed", "hook_embed blocks.1.hook_resid_post logits" },
        { "-blocks.*", "hook_embed ln_final.hook_scale ln_final.hook_normalized "
                       "ln_final.hook_out logits" },
    };
    struct sonde_site_set available, set;
    struct sonde_error error = { 0 };
    char text[2000];
    (void)state;
    available_sites(&available, 3);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check_ok(sonde_site_set_parse(&set, cases[i].pattern, &available, 3, &error), &error);
        list(&set, text, sizeof text);
        assert_string_equal(text, cases[i].expected);
    }
    check_ok(sonde_site_set_parse(&set, "all", &available, 3, &error), &error);
    assert_memory_equal(&set, &available, sizeof set);
    check_ok(sonde_site_set_parse(&set, "all,-logits,-*hook_result,-*attn_scores", &available, 3,
                                  &error),
             &error);
    assert_int_equal(sonde_site_set_count(&set), sonde_site_set_count(&available) - 1 - 2 * 3);
}

static void test_refusals(void **state)
{
    static const struct {
        const char *pattern;
        enum sonde_status status;
        const char *text;
    } cases[] = {
        { "blocks.0.hook_rsid_post", SONDE_STATUS_NOT_FOUND,
          "no site is named 'blocks.0.hook_rsid_post'; the nearest are blocks.*.hook_resid_post, "
          "blocks.*.hook_resid_pre, blocks.*.hook_resid_mid" },
        { "hook_resid_post", SONDE_STATUS_NOT_FOUND,
          "no site is named 'hook_resid_post'; the nearest are blocks.*.hook_resid_post, "
          "blocks.*.hook_resid_pre, blocks.*.hook_resid_mid" },
        { "embed", SONDE_STATUS_NOT_FOUND,
          "no site is named 'embed'; the nearest are hook_embed, blocks.*.attn.hook_q, "
          "blocks.*.attn.hook_k" },
        { "blocks.3.hook_out", SONDE_STATUS_NOT_FOUND,
          "site 'blocks.3.hook_out': no such layer, the model has layers 0 to 2" },
        { "blocks.-4.hook_out", SONDE_STATUS_NOT_FOUND,
          "site 'blocks.-4.hook_out': no such layer, the model has layers 0 to 2" },
        { "l_out-7", SONDE_STATUS_NOT_FOUND,
          "site 'l_out-7': no such layer, the model has layers 0 to 2" },
        { "hook_pos_embed", SONDE_STATUS_NOT_FOUND, "this model has no site 'hook_pos_embed'" },
        { "resid,blocks.0.mlp.hook_pre_linear", SONDE_STATUS_NOT_FOUND,
          "this model has no site 'blocks.0.mlp.hook_pre_linear'" },
        { "", SONDE_STATUS_ARGUMENT, "an empty site pattern in ''" },
        { "resid,,attn", SONDE_STATUS_ARGUMENT, "an empty site pattern in 'resid,,attn'" },
        { "resid,", SONDE_STATUS_ARGUMENT, "an empty site pattern in 'resid,'" },
        { "resid,-resid", SONDE_STATUS_NOT_FOUND, "'resid,-resid' leaves no site" },
    };
    struct sonde_site_set available, set;
    (void)state;
    available_sites(&available, 3);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sonde_error error = { 0 };
        memset(&set, 0xab, sizeof set);
        struct sonde_site_set before = set;
        assert_int_equal(sonde_site_set_parse(&set, cases[i].pattern, &available, 3, &error),
                         cases[i].status);
        assert_string_equal(error.text, cases[i].text);
        assert_memory_equal(&set, &before, sizeof set);
    }
}

static void test_pattern_matches(void **state)
{
    (void)state;
    assert_true(sonde_site_pattern_matches("blocks.*.hook_resid_post", "blocks.4.hook_out", 5));
    assert_true(sonde_site_pattern_matches("blocks.-1.hook_out", "blocks.4.hook_resid_post", 5));
    assert_false(sonde_site_pattern_matches("blocks.-1.hook_out", "blocks.3.hook_resid_post", 5));
    assert_true(sonde_site_pattern_matches("resid", "hook_embed", 5));
    assert_false(sonde_site_pattern_matches("resid", "blocks.1.hook_resid_mid", 5));
    assert_true(sonde_site_pattern_matches("stack.*", "stack.read_weights", 0));
    assert_false(sonde_site_pattern_matches("stack.*", "stak.read_weights", 0));
    assert_true(sonde_site_pattern_matches("*", "anything at all", 0));
    assert_true(sonde_site_pattern_matches("**a*b**", "xaxbx", 0));
    assert_false(sonde_site_pattern_matches("a*b", "acbc", 0));
}

static void test_gradient_names(void **state)
{
    struct sonde_site_set available = { 0 }, values = { 0 }, gradients = { 0 };
    struct sonde_error error = { 0 };
    const struct sonde_site embed = { SONDE_SITE_EMBED, -1 }, logits = { SONDE_SITE_LOGITS, -1 };
    const struct sonde_site post = { SONDE_SITE_RESID_POST, 1 };
    char name[SONDE_SITE_NAME_MAX];
    (void)state;
    assert_string_equal(sonde_site_format_gradient(post, name), "grad:blocks.1.hook_resid_post");
    assert_string_equal(sonde_site_gradient_of(name), "blocks.1.hook_resid_post");
    assert_null(sonde_site_gradient_of("gradient"));
    assert_false(sonde_site_parse(name, &(struct sonde_site){ 0 }));
    assert_true(sonde_site_pattern_matches("grad:resid", name, 2));
    assert_true(sonde_site_pattern_matches("grad:blocks.-1.hook_out", name, 2));
    assert_true(sonde_site_pattern_matches("grad:*", name, 2));
    assert_false(sonde_site_pattern_matches("*", name, 2));
    assert_false(sonde_site_pattern_matches("resid", name, 2));
    assert_false(sonde_site_pattern_matches("grad:resid", "blocks.1.hook_resid_post", 2));

    sonde_site_set_add(&available, embed);
    sonde_site_set_add(&available, logits);
    sonde_site_set_add(&available, post);
    const struct {
        const char *patterns;
        int64_t n_values, n_gradients;
    } good[] = {
        { "resid", 2, 0 },
        { "grad:resid", 0, 2 },
        { "resid,grad:logits", 2, 1 },
        { "grad:l_out-1", 0, 1 },
        { "grad:all,-grad:resid", 0, 1 },
        { " all, grad:hook_embed", 3, 1 },
        { "-logits,grad:all", 2, 3 },
        { "logits,-grad:logits", 1, 2 },
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        check_ok(
            sonde_site_set_parse_both(&values, &gradients, good[i].patterns, &available, 2, &error),
            &error);
        assert_int_equal(sonde_site_set_count(&values), good[i].n_values);
        assert_int_equal(sonde_site_set_count(&gradients), good[i].n_gradients);
    }
    const char *const bad[] = { "",
                                ",resid",
                                "resid,",
                                "grad:",
                                "grad:resid,,",
                                "-",
                                "-grad:",
                                "grad:nothing.such",
                                "grad:grad:resid",
                                "resid,grad:blocks.7.hook_out" };
    const struct sonde_site_set before = values, gradients_before = gradients;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_not_equal(
            sonde_site_set_parse_both(&values, &gradients, bad[i], &available, 2, &error),
            SONDE_STATUS_OK);
        assert_memory_equal(&values, &before, sizeof values);
        assert_memory_equal(&gradients, &gradients_before, sizeof gradients);
    }
}

static void test_set_basics(void **state)
{
    struct sonde_site_set a = { 0 }, b = { 0 };
    struct sonde_site last = { SONDE_SITE_RESID_POST, SONDE_LAYERS_MAX - 1 }, got;
    int64_t i = 0;
    (void)state;
    assert_true(sonde_site_set_is_empty(&a));
    assert_true(sonde_site_set_is_empty(NULL));
    assert_false(sonde_site_set_has(NULL, last));
    assert_int_equal(sonde_site_set_count(NULL), 0);
    sonde_site_set_add(&a, last);
    sonde_site_set_add(&a, (struct sonde_site){ SONDE_SITE_RESID_POST, SONDE_LAYERS_MAX });
    sonde_site_set_add(&a, (struct sonde_site){ SONDE_SITE_RESID_POST, -1 });
    assert_int_equal(sonde_site_set_count(&a), 1);
    sonde_site_set_add(&b, (struct sonde_site){ SONDE_SITE_LOGITS, -1 });
    sonde_site_set_union(&a, &b);
    sonde_site_set_union(&a, NULL);
    assert_true(sonde_site_set_next(&a, &i, &got));
    assert_int_equal(got.layer, SONDE_LAYERS_MAX - 1);
    assert_true(sonde_site_set_next(&a, &i, &got));
    assert_int_equal(got.kind, SONDE_SITE_LOGITS);
    assert_int_equal(got.layer, -1);
    assert_false(sonde_site_set_next(&a, &i, &got));
    assert_false(sonde_site_set_next(&a, &i, &got));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_parse_and_format),
        cmocka_unit_test(test_sets),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_pattern_matches),
        cmocka_unit_test(test_gradient_names),
        cmocka_unit_test(test_set_basics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
