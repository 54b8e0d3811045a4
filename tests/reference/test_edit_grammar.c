/* What edits say of themselves, and every refusal: it names the edit and the word. */
#include <string.h>

#include "core/base/json.h"
#include "tests/reference/edit_bench.h"
#include "tests/support/check.h"

static void test_describe(void **state)
{
    const char *const texts[] = { "zero hook_embed", "add hook_embed %v 2" };
    struct edit_bench x;
    char sha[2][80];
    (void)state;
    edit_bench_begin(&x, &edit_bench_gpt2);
    for (int k = 0; k < 2; k++) {
        struct sonde_error error = { 0 };
        struct sonde_buf json = { 0 };
        struct sonde_json *root = NULL;
        struct sonde_edits *edits = edit_bench_make(
            &x, texts, 2, &(struct sonde_edits_options){ .control = k, .seed = 42 });
        check_ok(sonde_edits_describe(edits, &json, &error), &error);
        check_ok(sonde_json_parse(&root, json.data, json.size, &error), &error);
        assert_int_equal(sonde_json_size(root), 2);
        const struct sonde_json *zero = sonde_json_at(root, 0), *add = sonde_json_at(root, 1);
        assert_string_equal(sonde_json_string(sonde_json_get(zero, "edit"), ""), "zero hook_embed");
        assert_null(sonde_json_get(zero, "sha256"));
        assert_int_equal(sonde_json_integer(sonde_json_get(add, "control"), 0), k);
        snprintf(sha[k], sizeof sha[k], "%s", sonde_json_string(sonde_json_get(add, "sha256"), ""));
        assert_int_equal(strlen(sha[k]), 64);
        assert_true(sonde_edits_have_control(edits));
        assert_int_equal(sonde_edits_bytes(edits), D * sizeof(float));
        sonde_json_destroy(&root);
        sonde_buf_finish(&json);
        sonde_edits_destroy(&edits);
    }
    assert_string_not_equal(sha[0], sha[1]);
    edit_bench_end(&x);
}

static void test_refusals(void **state)
{
    static const struct {
        const char *text, *expected;
    } wrong[] = {
        { "", "'': expected zero" },
        { "zeros hook_embed", "'zeros': expected zero, mean" },
        { "zero", "something is missing: zero SITE" },
        { "zero hook_embed now", "'now' is one word too many: zero SITE" },
        { "zero a b c d e f", "'e' is one word too many" },
        { "zero 'hook_embed", "the quote 'hook_embed is not closed" },
        { "zero hook_embde", "no site is named 'hook_embde'; the nearest are hook_embed" },
        { "zero blocks.2.hook_mlp_out", "no such layer, the model has layers 0 to 1" },
        { "zero hook_embed[", "'hook_embed[': the [ is not closed" },
        { "zero hook_embed[positions=3", "the [ is not closed" },
        { "zero hook_embed[places=3]", "'places': expected heads, neurons, positions or keys" },
        { "zero hook_embed[positions=x]", "'x': expected numbers from 0 and ranges" },
        { "zero hook_embed[positions=]", "'': expected numbers from 0" },
        { "zero hook_embed[positions=5-3]", "'5-3': expected numbers" },
        { "zero hook_embed[positions=-1]", "'-1': expected numbers" },
        { "zero hook_embed[positions=1,,2]", "'1,,2': expected numbers" },
        { "zero hook_embed[1;neurons=2]", "'2': given twice" },
        { "zero hook_embed[1]x", "'hook_embed[1]x' is not understood at 'x'" },
        { "zero hook_embed@run-1", "is not understood at '@run-1'" },
        { "zero hook_embed[neurons=24]", "hook_embed has no neuron 24: they are 0 to 23" },
        { "zero hook_embed[neurons=20-30]", "hook_embed has no neuron 30" },
        { "zero hook_embed[heads=0]", "hook_embed has no heads" },
        { "zero hook_embed[keys=0]", "hook_embed has no keys: only maps have" },
        { "zero blocks.0.attn.hook_z[heads=3]", "has no head 3: they are 0 to 2" },
        { "zero blocks.0.attn.hook_pattern[heads=3]", "has no head 3: they are 0 to 2" },
        { "zero blocks.0.attn.hook_pattern[3]", "has no neurons: use heads" },
        { "add blocks.0.attn.hook_pattern %v", "is a map: only zero, set and patch" },
        { "mean blocks.0.attn.hook_pattern", "is a map: only zero, set and patch" },
        { "set hook_embed one", "'one': expected a number" },
        { "set hook_embed 1e300", "'1e300': expected a number" },
        { "set hook_embed", "something is missing: set SITE[NEURONS] VALUE" },
        { "add hook_embed nothere.npy", "nothere.npy" },
        { "add hook_embed %v x", "'x': expected a number" },
        { "add hook_embed %h", "holds 8 values, a row of hook_embed has 24" },
        { "add blocks.0.mlp.hook_post %v", "holds 24 values, a row of blocks.0.mlp.hook_post has" },
        { "flip blocks.0.attn.hook_result %h", "has 72 (or one head's 24)" },
        { "keep hook_embed %v 2", "'2' is one word too many: keep SITE F.npy" },
        { "mean hook_embed", "needs a recorded run, and there is no store" },
        { "mean hook_embed@", "is not understood at '@'" },
        { "patch hook_embed from run-1:0", "needs a recorded run" },
        { "patch hook_embed of run-1:0", "'of': expected from" },
        { "patch hook_embed from run-1", "'run-1': expected RUN:SEQUENCE, as in run-1:0" },
        { "patch hook_embed from :0", "':0': expected RUN:SEQUENCE" },
        { "patch hook_embed from run:-1", "'run:-1': expected RUN:SEQUENCE" },
        { "skip", "something is missing: skip LAYER" },
        { "skip all", "'all': expected a layer or a half of one" },
        { "skip 0.ffn", "'0.ffn': expected a layer or a half of one" },
        { "skip blocks.", "'blocks.': expected a layer" },
        { "skip 2", "no such layer, the model has layers 0 to 1" },
        { "skip 0[heads=1]", "blocks.0.hook_attn_out has no heads" },
    };
    struct edit_bench x;
    (void)state;
    edit_bench_begin(&x, &edit_bench_gpt2);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct sonde_error error = { 0 };
        struct sonde_edits *edits = NULL;
        char full[700], prefix[64];
        const char *list[] = { "zero hook_embed", full };
        edit_bench_expand(&x, wrong[i].text, full);
        snprintf(prefix, sizeof prefix, "edit '%.40s", full);
        if (sonde_edits_create(&edits, list, 2, x.model, NULL, &error) == SONDE_STATUS_OK ||
            !strstr(error.text, wrong[i].expected) || !strstr(error.text, prefix)) {
            fprintf(stderr, "# %s: %s\n", wrong[i].text, error.text);
            fail();
        }
        assert_null(edits);
    }
    edit_bench_end(&x);
}

/* Vectors that are no directions. */
static void test_bad_vectors(void **state)
{
    struct edit_bench x;
    struct sonde_error error = { 0 };
    struct sonde_edits *edits = NULL;
    char text[700];
    const char *list[] = { text };
    (void)state;
    edit_bench_begin(&x, &edit_bench_gpt2);
    memset(x.v, 0, sizeof x.v);
    edit_bench_write(&x, x.v);
    edit_bench_expand(&x, "flip hook_embed %v", text);
    assert_int_equal(sonde_edits_create(&edits, list, 1, x.model, NULL, &error),
                     SONDE_STATUS_ARGUMENT);
    assert_non_null(strstr(error.text, "is 0 at all places that are edited: no direction"));
    x.v[3] = NAN;
    edit_bench_write(&x, x.v);
    assert_int_equal(sonde_edits_create(&edits, list, 1, x.model, NULL, &error),
                     SONDE_STATUS_NUMERIC);
    assert_non_null(strstr(error.text, "value 3 is not finite"));
    x.v[3] = 1; /* a direction, but not where it is used */
    edit_bench_write(&x, x.v);
    edit_bench_expand(&x, "flip hook_embed[4-] %v", text);
    assert_int_equal(sonde_edits_create(&edits, list, 1, x.model, NULL, &error),
                     SONDE_STATUS_ARGUMENT);
    edit_bench_end(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_describe),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_bad_vectors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
