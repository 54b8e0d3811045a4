/* The lens: closed forms of its numbers, and its identity with the model's own logits. */
#include <string.h>

#include "core/base/rng.h"
#include "probes/lens_read.h"
#include "tests/unit/probes/probe_support.h"

enum { V = 7 };

static void numbers_of_a_uniform_distribution(void **state)
{
    (void)state;
    const float flat[V] = { 3, 3, 3, 3, 3, 3, 3 };
    struct sonde_lens_reading r;
    sonde_lens_measure(flat, flat, sonde_lens_log_sum(flat, V), V, 4, &r);
    check_close(r.log_sum, 3 + log(V), 1e-12);
    check_close(r.entropy, log(V), 1e-6);
    check_close(r.logprob, -log(V), 1e-12);
    assert_int_equal(r.rank, 1);
    check_close(r.kl, 0.0, 0.0);
    assert_true(r.agrees);
}

/* p = softmax, q uniform, against sums in double. */
static void numbers_of_two_distributions(void **state)
{
    (void)state;
    const float x[V] = { 0, 2, -1, 5, 1, 5, -40 }, q[V] = { 1, 1, 1, 1, 1, 1, 2 };
    double sum_x = 0, sum_q = 0, entropy = 0, kl = 0;
    for (int v = 0; v < V; v++)
        sum_x += exp((double)x[v]), sum_q += exp((double)q[v]);
    for (int v = 0; v < V; v++) {
        double p = exp((double)x[v]) / sum_x, r = exp((double)q[v]) / sum_q;
        entropy -= p * log(p);
        kl += r * log(r / p);
    }
    struct sonde_lens_reading r;
    sonde_lens_measure(x, q, sonde_lens_log_sum(q, V), V, 1, &r);
    /* Each exp is rounded to f32, 2^-24, and the logs that it weighs are below 50. */
    check_close(r.entropy, entropy, 50 * 0x1p-23);
    check_close(r.kl, kl, 50 * 0x1p-23);
    check_close(r.logprob, 2 - log(sum_x), 1e-6);
    assert_int_equal(r.rank, 3); /* behind the two fives */
    assert_false(r.agrees);
    sonde_lens_measure(x, q, sonde_lens_log_sum(q, V), V, -1, &r);
    assert_int_equal(r.rank, 0);
    assert_true(isnan(r.logprob));
}

static void block_rows_depend_on_the_vocabulary_alone(void **state)
{
    (void)state;
    assert_int_equal(sonde_lens_block_rows(2048), 64);
    assert_int_equal(sonde_lens_block_rows(128256), 32);
    assert_int_equal(sonde_lens_block_rows((int64_t)1 << 40), 1);
}

static void top_k_keeps_the_largest(void **state)
{
    (void)state;
    const float x[V] = { 1, 5, NAN, 5, -2, 7, 0 };
    struct sonde_top_entry top[V];
    assert_int_equal(sonde_top_k_largest(x, V, 3, top), 3);
    assert_int_equal(top[0].index, 5);
    assert_int_equal(top[1].index, 1); /* the lower index of equals first */
    assert_int_equal(top[2].index, 3);
    assert_int_equal(sonde_top_k_smallest(x, V, V, top), V - 1);
    assert_int_equal(top[0].index, 4);
    check_close(top[0].value, 2, 0);
}

static float random_weight(void *ctx, const char *name, int64_t row, int64_t column)
{
    (void)ctx;
    struct sonde_rng rng = sonde_rng_make(sonde_rng_stream(name), (uint64_t)(row * 1000 + column));
    bool norm = strstr(name, "norm") != NULL;
    return (float)((norm ? 1.0 : 0.0) + (norm ? 0.3 : 0.6) * sonde_rng_normal(&rng));
}

static const int32_t text_a[] = { 3, 1, 4, 1, 5, 9, 2, 6 }, text_b[] = { 8, 9, 7 };
static const int32_t *const texts[] = { text_a, text_b };
static const int64_t lengths[] = { 8, 3 };

static void last_site_is_the_models_own(void **state)
{
    (void)state;
    struct toy_model recipe = { .L = 3, .D = 16, .F = 24, .V = 11, .weight = random_weight };
    struct sonde_model *model = toy_model_open(&recipe);
    static const char *const sites[] = { "hook_embed,blocks.*.hook_resid_*,logits",
                                         "hook_embed,blocks.*.hook_resid_*" };
    double kl[2] = { 0, 0 };
    for (int k = 0; k < 2; k++) {
        struct sonde_source *source = toy_record(model, sites[k], texts, lengths, 2);
        struct toy_args args = { .source = source,
                                 .model = model,
                                 .option =
                                     (const char *const[]){ "sequence", "all", "top", "3", NULL } };
        struct sonde_result *r = toy_probe(toy_builtin("logit-lens"), &args, NULL);
        assert_non_null(r);
        assert_int_equal(r->n_checks, 1);
        assert_true(r->check[0].ok);
        const struct sonde_table *sums = toy_table(r, "sites"), *lens = toy_table(r, "lens");
        const struct sonde_table *next = toy_table(r, "next");
        /* embed, then mid and post of three layers: rotary positions make resid_pre the embedding.
         */
        assert_int_equal(sums->n_rows, 7);
        assert_string_equal(toy_text(sums, 0, "site"), "hook_embed");
        assert_string_equal(toy_text(sums, 5, "site"), "blocks.2.hook_resid_mid");
        assert_string_equal(toy_text(sums, 6, "site"), "blocks.2.hook_resid_post");
        check_close(toy_real(sums, 6, "kl"), 0, 0);
        check_close(toy_real(sums, 6, "agreement"), 1, 0);
        kl[k] = toy_real(sums, 0, "kl");
        assert_true(kl[k] > 0);
        assert_int_equal(lens->n_rows, 11 * 7 * 3);
        assert_int_equal(next->n_rows, 11 * 7);
        double sum = 0;
        for (int64_t i = 0; i < lens->n_rows; i += 3) {
            assert_true(toy_real(lens, i, "logprob") >= toy_real(lens, i + 1, "logprob"));
            sum += toy_real(lens, i, "rank");
        }
        check_close(sum, 77, 0);
        /* The last position of each text has no next token. */
        assert_true(isnan(toy_real(next, 7 * 7, "next_id")));
        assert_false(isnan(toy_real(next, 6 * 7, "next_id")));
        check_close(toy_real(next, 0, "next_id"), text_a[1], 0);
        sonde_result_destroy(&r);
        source->destroy(&source);
    }
    check_close(kl[0], kl[1], 0);
    sonde_model_close(&model);
}

/* Rows of the table again, through the whole [V] logits in double. */
static void table_agrees_with_the_readout(void **state)
{
    (void)state;
    struct toy_model recipe = { .L = 2, .D = 8, .F = 8, .V = 11, .weight = random_weight };
    struct sonde_model *model = toy_model_open(&recipe);
    struct sonde_source *source =
        toy_record(model, "hook_embed,blocks.*.hook_resid_*", texts, lengths, 1);
    struct sonde_pool *pool = NULL;
    struct sonde_error error = { 0 };
    check_ok(sonde_pool_create(&pool, 3, &error), &error);
    struct toy_args args = { .source = source,
                             .model = model,
                             .pool = pool,
                             .option = (const char *const[]){ "first", "2", "last", "-2", "top",
                                                              "11", NULL } };
    struct sonde_result *r = toy_probe(toy_builtin("logit-lens"), &args, NULL);
    assert_non_null(r);
    const struct sonde_table *lens = toy_table(r, "lens");
    assert_int_equal(lens->n_rows, 5 * 5 * 11); /* positions 2 to 6, five sites */
    struct sonde_arena *arena = sonde_arena_create(0);
    for (int64_t i = 0; i < lens->n_rows; i += 11) {
        float x[8], logits[11];
        int64_t stream = sonde_source_find_stream(source, toy_text(lens, i, "site"));
        check_ok(
            source->read_rows(source, stream, (int64_t)toy_real(lens, i, "position"), 1, x, &error),
            &error);
        check_ok(sonde_model_readout(model, arena, x, 1, 0, 0, logits, &error), &error);
        double sum = 0;
        for (int v = 0; v < 11; v++)
            sum += exp((double)logits[v]);
        for (int64_t k = 0; k < 11; k++) {
            int64_t id = (int64_t)toy_real(lens, i + k, "predicted_id");
            check_close(toy_real(lens, i + k, "logprob"), (double)logits[id] - log(sum), 1e-5);
        }
    }
    assert_int_equal(r->n_figures, 1);
    assert_int_equal(r->figure[0]->kind, SONDE_FIGURE_TEXT);
    assert_int_equal(r->figure[0]->rows, 5);
    assert_int_equal(r->figure[0]->columns, 5);
    sonde_arena_destroy(&arena);
    sonde_result_destroy(&r);
    sonde_pool_destroy(&pool);
    source->destroy(&source);
    sonde_model_close(&model);
}

static void check_error(const struct toy_args *args, const char *text)
{
    struct sonde_error error;
    assert_null(toy_probe(toy_builtin("logit-lens"), args, &error));
    assert_string_equal(error.text, text);
}

static void what_cannot_be_read_is_refused(void **state)
{
    (void)state;
    struct toy_model recipe = { .L = 2, .D = 8, .F = 8, .V = 11, .weight = random_weight };
    struct sonde_model *model = toy_model_open(&recipe);
    struct sonde_source *embed = toy_record(model, "hook_embed", texts, lengths, 1);
    struct sonde_source *resid = toy_record(model, "resid", texts, lengths, 1);
    struct toy_args args = { .source = embed, .model = model };
    check_error(&args, "probe logit-lens: blocks.1.hook_resid_post is not recorded: the lens "
                       "compares with it (record --sites resid)");
    args.source = resid;
    args.model = NULL;
    check_error(&args, "probe logit-lens: needs a model");
    args.model = model;
    args.option = (const char *const[]){ "sequence", "1", NULL };
    check_error(&args,
                "probe logit-lens: sequences \"1\": out of range, there are sequence 0 to 0");
    args.option = (const char *const[]){ "sequence", "one", NULL };
    check_error(&args, "probe logit-lens: sequences \"one\": expected numbers and ranges such as "
                       "0,4-7,-1 or all");
    args.option = (const char *const[]){ "first", "8", NULL };
    check_error(&args, "probe logit-lens: no position is left by --first 8 and --last -1");
    args.option = (const char *const[]){ "top", "0", NULL };
    check_error(&args, "probe logit-lens: --top 0: expected 1 to 100");
    embed->destroy(&embed);
    resid->destroy(&resid);
    sonde_model_close(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_of_a_uniform_distribution),
        cmocka_unit_test(numbers_of_two_distributions),
        cmocka_unit_test(block_rows_depend_on_the_vocabulary_alone),
        cmocka_unit_test(top_k_keeps_the_largest),
        cmocka_unit_test(last_site_is_the_models_own),
        cmocka_unit_test(table_agrees_with_the_readout),
        cmocka_unit_test(what_cannot_be_read_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
