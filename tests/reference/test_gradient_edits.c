/* Gradients through edits: every site before, at and behind an edit against differences of passes
 * that are edited there too, exact zeros where an edit lets nothing through, and refusals. */
#include <string.h>

#include "tests/reference/edit_bench.h"
#include "tests/reference/gradient_bench.h"
#include "tests/support/check.h"

enum { TOKENS = 11 };

struct through {
    struct edit_bench x;
    struct gradient_bench s;
    struct sonde_edits *edits;
    struct sonde_edit_pass pass;
    struct sonde_hook hook;
};

static enum sonde_status fixed_sequence(void *ctx, const char *run, int64_t sequence,
                                        struct sonde_site site, int64_t width, int64_t *n_tokens,
                                        float **out, struct sonde_error *error)
{
    const struct captured *c = capture_find(ctx, site);
    (void)run, (void)sequence, (void)error;
    *n_tokens = 5; /* shorter than the text: what lies behind stays as it is */
    const int64_t n = *n_tokens * width * (sonde_site_is_map(site.kind) ? *n_tokens : 1);
    *out = malloc((size_t)n * sizeof **out);
    for (int64_t i = 0; i < n; i++) {
        (*out)[i] = isfinite(c->value[i]) ? c->value[i] : 0.25f;
    }
    return SONDE_STATUS_OK;
}

static enum sonde_status fixed_mean(void *ctx, const char *run, struct sonde_site site,
                                    int64_t width, float *out, struct sonde_error *error)
{
    const struct captured *c = capture_find(ctx, site);
    (void)run, (void)error;
    memcpy(out, c->value, (size_t)width * sizeof *out);
    return SONDE_STATUS_OK;
}

static void through_begin(struct through *t, const struct model_recipe *recipe,
                          const char *const *text, int n)
{
    memset(t, 0, sizeof *t);
    edit_bench_begin(&t->x, recipe);
    const struct sonde_edit_values values = { &t->x.plain, fixed_mean, fixed_sequence };
    const struct sonde_edits_options options = { .values = &values };
    const bool encoder = strcmp(recipe->family, "bert") == 0;
    t->edits = edit_bench_make(&t->x, text, n, &options);
    t->pass = (struct sonde_edit_pass){ .edits = t->edits };
    t->hook = sonde_edits_hook(&t->pass);
    struct gradient_bench *s = &t->s;
    s->model = t->x.model;
    s->T = TOKENS;
    s->hooks = &t->hook;
    s->n_hooks = 1;
    for (int i = 0; i < s->T; i++) {
        s->ids[i] = t->x.a[i];
        s->targets[i] = encoder ? (i % 3 ? t->x.b[i] : -1) : i + 1 < s->T ? t->x.a[i + 1] : -1;
    }
    s->loss.kind = encoder ? SONDE_LOSS_TARGETS : SONDE_LOSS_NEXT_TOKEN;
    s->loss.targets = s->targets;
    gradient_bench_want(s);
    gradient_bench_run(s, NULL);
}

static void through_end(struct through *t)
{
    t->x.model = NULL; /* the bench below closes it */
    gradient_bench_close(&t->s);
    sonde_edits_destroy(&t->edits);
    edit_bench_end(&t->x);
}

static const float *at(const struct through *t, enum sonde_site_kind kind, int layer)
{
    return gradient_bench_site(&t->s.sites, kind, layer)->value;
}

struct list {
    const char *text[3];
    int n;
};

static void check_lists(const struct model_recipe *recipe, const struct list *lists, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct through t;
        through_begin(&t, recipe, lists[i].text, lists[i].n);
        gradient_bench_check_sites(&t.s);
        gradient_bench_check_bits(&t.s);
        through_end(&t);
    }
}

static const struct list common[] = {
    { { "zero blocks.0.mlp.hook_post[neurons=3-17;positions=2-]" }, 1 },
    { { "mean blocks.1.hook_attn_out[positions=1,4-6]", "set hook_embed[2,5] 0.5" }, 2 },
    { { "add blocks.0.hook_resid_post %v 1.5", "flip blocks.0.hook_resid_post[positions=3-] %v" },
      2 },
    { { "project-out blocks.1.hook_resid_pre %v", "keep blocks.0.hook_mlp_out[neurons=0-15] %v" },
      2 },
    { { "project-out blocks.0.attn.hook_z[heads=1] %h", "flip blocks.1.attn.hook_q[heads=0,2] %h",
        "keep blocks.1.attn.hook_v %h" },
      3 },
    { { "patch blocks.0.hook_resid_post from other:0", "patch blocks.1.attn.hook_k from other:0" },
      2 },
    { { "zero blocks.0.attn.hook_result[heads=1;positions=2-]",
        "project-out blocks.1.attn.hook_result[heads=0,2] %v" },
      2 },
    { { "zero blocks.0.attn.hook_pattern[heads=1;positions=2-;keys=0-3]",
        "set blocks.1.attn.hook_attn_scores[heads=0,2;keys=1] 0.5" },
      2 },
    { { "patch blocks.0.attn.hook_attn_scores[positions=1-8] from other:0",
        "patch blocks.0.attn.hook_pattern[heads=0] from other:0",
        "zero blocks.1.attn.hook_pattern[keys=0]" },
      3 },
    { { "skip 0.attn", "skip 1.mlp[positions=5-]", "zero logits[positions=2]" }, 3 },
};

static void test_gpt2(void **state)
{
    const struct list own[] = { { { "zero hook_pos_embed[positions=1-3]",
                                    "zero ln_final.hook_out[7]",
                                    "project-out blocks.1.ln1.hook_out %v" },
                                  3 } };
    (void)state;
    check_lists(&edit_bench_gpt2, common, sizeof common / sizeof *common);
    check_lists(&edit_bench_gpt2, own, 1);
}

static void test_llama(void **state)
{
    const struct list own[] = { { { "flip blocks.0.attn.hook_rot_q[heads=1] %h",
                                    "zero blocks.1.mlp.hook_pre_linear[positions=4-]",
                                    "flip blocks.0.attn.hook_rot_k[positions=0-4] %h" },
                                  3 } };
    (void)state;
    check_lists(&edit_bench_llama, common, sizeof common / sizeof *common);
    check_lists(&edit_bench_llama, own, 1);
}

static void test_gpt_neox(void **state)
{
    (void)state;
    check_lists(&edit_bench_neox, common, sizeof common / sizeof *common);
}

static void test_bert(void **state)
{
    const struct list own[] = { { { "project-out hook_full_embed %v",
                                    "zero blocks.0.hook_normalized_resid_mid[positions=3]",
                                    "flip blocks.1.hook_resid_post_before_ln2 %v" },
                                  3 } };
    (void)state;
    check_lists(&edit_bench_bert, common, sizeof common / sizeof *common);
    check_lists(&edit_bench_bert, own, 1);
}

/* Where an edit puts a value in the place of another, nothing passes; where it takes a direction
 * away, nothing passes along that; elsewhere everything does. */
static void test_what_passes(void **state)
{
    const char *const text[] = { "set blocks.0.mlp.hook_post[neurons=4;positions=2] 1",
                                 "project-out blocks.1.hook_resid_pre[positions=3-] %v" };
    struct through t;
    (void)state;
    through_begin(&t, &edit_bench_gpt2, text, 2);
    const float *pre = at(&t, SONDE_SITE_MLP_PRE, 0), *post = at(&t, SONDE_SITE_MLP_POST, 0);
    assert_true(pre[2 * F + 4] == 0.0f && post[2 * F + 4] != 0.0f);
    assert_true(pre[2 * F + 5] != 0.0f && pre[1 * F + 4] != 0.0f);
    const float *before = at(&t, SONDE_SITE_RESID_POST, 0),
                *behind = at(&t, SONDE_SITE_RESID_PRE, 1);
    for (int i = 0; i < TOKENS; i++) {
        double along = 0.0, rounding = 0.0;
        for (int d = 0; d < D; d++) {
            along += (double)before[i * D + d] * (double)t.x.v[d];
            rounding += fabs((double)behind[i * D + d] * (double)t.x.v[d]) * 0x1p-22;
        }
        assert_true(i < 3 ? fabs(along) > 100.0 * rounding : fabs(along) <= rounding);
        if (i < 3) {
            assert_memory_equal(before + i * D, behind + i * D, D * sizeof(float));
        }
    }
    through_end(&t);
}

/* A weight's gradient through edited shares: what a zeroed head would have written teaches its
 * columns of W_O nothing, and the bias what it taught before. */
static void test_weights_of_shares(void **state)
{
    const char *const text[] = { "zero blocks.0.attn.hook_result[heads=1]" };
    const char *const same[] = { "zero blocks.0.attn.hook_z[heads=1]" };
    struct through t, other;
    (void)state;
    through_begin(&t, &edit_bench_gpt2, text, 1);
    through_begin(&other, &edit_bench_gpt2, same, 1);
    check_close(t.s.value, other.s.value, 1e-5);
    for (int i = 0; i < t.s.n_wanted; i++) {
        const struct gradient_wanted *a = &t.s.wanted[i], *b = &other.s.wanted[i];
        const int64_t n = a->w->rows * a->w->columns;
        double most = 0.0;
        for (int64_t j = 0; j < n; j++) {
            most = fmax(most, fabs((double)b->gradient[j]));
        }
        for (int64_t j = 0; j < n; j++) { /* the same function twice, some roundings apart */
            check_close(a->gradient[j], b->gradient[j], 1e-5 * fmax(most, 0.1));
        }
    }
    through_end(&t);
    through_end(&other);
}

static enum sonde_status nothing(void *ctx, struct sonde_site site, struct sonde_tensor *value,
                                 struct sonde_error *error)
{
    (void)ctx, (void)site, (void)value, (void)error;
    return SONDE_STATUS_OK;
}

static void test_refused(void **state)
{
    const char *const texts[] = { "set blocks.1.ln1.hook_scale 1",
                                  "zero ln_final.hook_normalized" };
    const char *const names[] = { "blocks.1.ln1.hook_scale", "ln_final.hook_normalized" };
    struct edit_bench x;
    struct sonde_error error = { 0 };
    struct sonde_session *session = NULL;
    struct sonde_gradient *gradient = NULL;
    (void)state;
    edit_bench_begin(&x, &edit_bench_gpt2);
    check_ok(sonde_session_create(&session, x.model, NULL, &error), &error);
    check_ok(sonde_gradient_create(&gradient, session, 0, &error), &error);
    struct sonde_gradient_args args = { .ids = x.a, .n_tokens = TOKENS, .n_hooks = 1 };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct sonde_edits *edits = edit_bench_make(&x, &texts[i], 1, NULL);
        struct sonde_edit_pass pass = { .edits = edits };
        const struct sonde_hook hook = sonde_edits_hook(&pass);
        args.hooks = &hook;
        for (int layer = 0; layer < 2; layer++) {
            args.checkpoints = layer;
            assert_int_equal(sonde_gradient_run(gradient, &args, NULL, &error),
                             SONDE_STATUS_UNSUPPORTED);
            assert_non_null(strstr(error.text, names[i]));
        }
        sonde_edits_destroy(&edits);
    }
    struct sonde_site_set embed = { 0 };
    sonde_site_set_add(&embed, (struct sonde_site){ SONDE_SITE_EMBED, -1 });
    const struct sonde_hook silent = { .edit = &embed, .on_edit = nothing };
    args.hooks = &silent;
    assert_int_equal(sonde_gradient_run(gradient, &args, NULL, &error), SONDE_STATUS_UNSUPPORTED);
    assert_string_equal(error.text, "gradients do not pass through an edit of hook_embed");
    sonde_gradient_destroy(&gradient);
    sonde_session_destroy(&session);
    edit_bench_end(&x);
}

/* Scores that hold more than q.k are not taken apart. */
static void test_refused_positions(void **state)
{
    static const char *const positions[] = { "alibi", "relative", "t5" };
    (void)state;
    for (int i = 0; i < 3; i++) {
        char config[80];
        snprintf(config, sizeof config, "\"position\": \"%s\", ", positions[i]);
        const struct model_recipe recipe = { .family = "sonde",
                                             .D = D,
                                             .H = H,
                                             .F = F,
                                             .L = L,
                                             .V = 50,
                                             .n_ctx = 64,
                                             .more_config = config };
        const char *const text = "zero blocks.1.attn.hook_pattern[keys=0]";
        struct edit_bench x;
        struct sonde_error error = { 0 };
        struct sonde_session *session = NULL;
        struct sonde_gradient *gradient = NULL;
        edit_bench_begin(&x, &recipe);
        struct sonde_edits *edits = edit_bench_make(&x, &text, 1, NULL);
        struct sonde_edit_pass pass = { .edits = edits };
        const struct sonde_hook hook = sonde_edits_hook(&pass);
        struct sonde_gradient_args args = {
            .ids = x.a, .n_tokens = TOKENS, .hooks = &hook, .n_hooks = 1
        };
        check_ok(sonde_session_create(&session, x.model, NULL, &error), &error);
        check_ok(sonde_gradient_create(&gradient, session, 0, &error), &error);
        for (int layer = 0; layer < 2; layer++) {
            args.checkpoints = layer;
            assert_int_equal(sonde_gradient_run(gradient, &args, NULL, &error),
                             SONDE_STATUS_UNSUPPORTED);
        }
        sonde_gradient_destroy(&gradient);
        sonde_session_destroy(&session);
        sonde_edits_destroy(&edits);
        edit_bench_end(&x);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gpt2),        cmocka_unit_test(test_llama),
        cmocka_unit_test(test_gpt_neox),    cmocka_unit_test(test_bert),
        cmocka_unit_test(test_what_passes), cmocka_unit_test(test_weights_of_shares),
        cmocka_unit_test(test_refused),     cmocka_unit_test(test_refused_positions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
