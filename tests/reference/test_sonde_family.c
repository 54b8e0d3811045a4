/*
 * The family sonde: every position, norm, place of norm, direction and head, each site against the
 * double-precision pass; and generation from a cache, which must give what the whole pass gives.
 */
#include <string.h>

#include "tests/reference/ref_forward.h"
#include "tests/reference/site_capture.h"
#include "tests/support/check.h"
#include "tests/unit/model/model_maker.h"

enum { T = 13 };

static const struct model_recipe base = {
    .family = "sonde", .D = 18, .H = 6, .G = 2, .E = 4, .F = 23, .L = 2, .V = 37, .n_ctx = 16
};

static const char *const positions[] = {
    "\"position\": \"none\", ",
    "\"position\": \"learned\", ",
    "\"position\": \"rotary\", \"rope_theta\": 500, ",
    "\"position\": \"sinusoidal\", ",
    "\"position\": \"sinusoidal\", \"rope_theta\": 200, \"embedding_scale\": \"sqrt\", ",
    "\"position\": \"cosine\", \"embedding_scale\": 0.5, ",
    "\"position\": \"relative\", \"relative_attention_max_distance\": 3, ",
    "\"position\": \"relative\", ",
    "\"position\": \"t5\", ",
    "\"position\": \"t5\", \"relative_attention_num_buckets\": 6, "
    "\"relative_attention_max_distance\": 9, ",
    "\"position\": \"alibi\", ",
};
enum { N_POSITIONS = sizeof positions / sizeof *positions };

static const struct {
    const char *config;
    bool untied;
} blocks[] = {
    { "", false },
    { "\"norm_place\": \"post\", \"hidden_act\": \"relu\", ", true },
    { "\"norm_place\": \"post\", \"final_norm\": true, \"norm\": \"rmsnorm\", ", false },
    { "\"causal\": false, \"gated\": true, \"hidden_act\": \"silu\", \"norm\": \"rmsnorm\", "
      "\"bias\": false, ",
      true },
    { "\"causal\": false, \"norm_place\": \"post\", \"final_norm\": false, ", false },
    { "\"final_norm\": false, \"n_outputs\": 5, \"head\": \"sigmoid\", \"head_bias\": true, "
      "\"norm_eps\": 1e-3, ",
      true },
};
enum { N_BLOCKS = sizeof blocks / sizeof *blocks };

/* The tolerance is that of test_variants.c, where it is derived. */
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
    assert_int_equal(sonde_model_n_warnings(model), 0);
    for (int i = 0; i < T; i++) {
        ids[i] = (i * 7 + 3) % (int)recipe->V;
    }
    capture_run(&c, model, ids, NULL, T, NULL, NULL);
    ref_forward(&ref, ids, NULL, T, &trace);
    for (int i = 0; i < c.n; i++) {
        const struct ref_site *site =
            ref_trace_find(&trace, sonde_site_format(c.item[i].site, name));
        double difference = INFINITY, magnitude = 0;
        if (site && site->n == c.item[i].n) {
            capture_compare(c.item[i].value, site->value, site->n, &difference, &magnitude);
        }
        if (!(difference <= 1e-5 * fmax(1.0, magnitude))) {
            fail_msg("%s: %s off by %.3g at magnitude %.3g", recipe->more_config, name, difference,
                     magnitude);
        }
    }
    assert_int_equal(c.n, trace.n);
    capture_free(&c);
    ref_trace_free(&trace);
    ref_model_free(&ref);
    sonde_model_close(&model);
    model_remove(folder);
}

static void test_sites(void **state)
{
    (void)state;
    for (int i = 0; i < N_POSITIONS; i++) {
        for (int j = 0; j < N_BLOCKS; j++) {
            char config[512];
            struct model_recipe r = base;
            snprintf(config, sizeof config, "%s%s", positions[i], blocks[j].config);
            r.more_config = config;
            r.untied = blocks[j].untied;
            r.dtype = j == 1 ? SONDE_DTYPE_BF16 : SONDE_DTYPE_NONE;
            r.seed = (uint64_t)(1 + i * N_BLOCKS + j);
            check_recipe(&r);
        }
    }
}

/* Bits: a sequence's values do not depend on how many tokens follow, nor on the pool; and a cache
 * continued in steps gives the whole pass within the rounding of products of other shapes. */
static void test_cache(void **state)
{
    (void)state;
    for (int i = 0; i < N_POSITIONS; i++) {
        struct model_recipe r = base;
        struct sonde_error error = { 0 };
        struct sonde_session *session = NULL;
        struct capture whole;
        int32_t ids[T];
        float last[64];
        r.more_config = positions[i];
        char *folder = model_make(&r);
        struct sonde_model *model = capture_open(folder);
        for (int t = 0; t < T; t++) {
            ids[t] = (t * 11 + 2) % (int)r.V;
        }
        capture_run(&whole, model, ids, NULL, T, NULL, NULL);
        const struct captured *logits =
            capture_find(&whole, (struct sonde_site){ SONDE_SITE_LOGITS, -1 });
        const struct sonde_session_options options = { .cache = true };
        check_ok(sonde_session_create(&session, model, &options, &error), &error);
        for (int at = 0; at < T;) {
            int n = at == 0 ? 4 : at == 4 ? 3 : 1;
            const struct sonde_forward_args args = {
                .ids = ids + at, .n_tokens = n, .no_logits = true, .logits_last = last
            };
            check_ok(sonde_forward(session, &args, &error), &error);
            at += n;
            for (int64_t v = 0; v < r.V; v++) {
                check_close(last[v], logits->value[(at - 1) * r.V + v], 2e-5);
            }
        }
        sonde_session_destroy(&session);
        capture_free(&whole);
        sonde_model_close(&model);
        model_remove(folder);
    }
}

int main(void)
{
    const struct CMUnitTest family_tests[] = {
        cmocka_unit_test(test_sites),
        cmocka_unit_test(test_cache),
    };
    return cmocka_run_group_tests(family_tests, NULL, NULL);
}
