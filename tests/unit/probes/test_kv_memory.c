/* Key-value memory on a model made by hand: what each neuron writes and what drives it is known. */
#include <string.h>

#include "core/base/rng.h"
#include "probes/kv_read.h"
#include "tests/unit/probes/probe_support.h"

/* D = V and the unembedding is the identity, the final norm's gain is 1 + d: neuron i's value 2 e_i
 * scores 2 (1 + i) on token i, and -1 on the token after it scores -(2 + i). */
enum { D = 6, F = 5, V = 6 };

static float weight(void *ctx, const char *name, int64_t row, int64_t column)
{
    (void)ctx;
    if (strcmp(name, "lm_head.weight") == 0)
        return row == column ? 1.0f : 0.0f;
    if (strcmp(name, "model.norm.weight") == 0)
        return 1.0f + (float)row;
    if (strstr(name, "down_proj"))
        return row == column ? 2.0f : row == column + 1 ? -1.0f : 0.0f;
    return strstr(name, "norm") ? 1.0f : 0.1f;
}

static void values_are_read_from_the_weights(void **state)
{
    (void)state;
    struct toy_model recipe = { .L = 2, .D = D, .F = F, .V = V, .weight = weight };
    struct sonde_model *model = toy_model_open(&recipe);
    struct sonde_kv_values values = { 0 };
    struct sonde_error error = { 0 };
    check_ok(sonde_kv_values_read(&values, model, 1, 2, 1 << 26, NULL, &error), &error);
    assert_int_equal(values.F, F);
    for (int i = 0; i < F; i++) {
        assert_int_equal(values.up[2 * i].index, i);
        check_close(values.up[2 * i].value, 2.0 * (1 + i), 0);
        assert_int_equal(values.down[2 * i].index, i + 1);
        check_close(values.down[2 * i].value, 2 + i, 0);
        check_close(values.norm[i], sqrt(5.0), 1e-12);
    }
    sonde_kv_values_finish(&values);
    /* The same through the probe, without a store: values alone. */
    struct toy_args args = { .model = model,
                             .option = (const char *const[]){ "top", "1", "layers", "-1", "neurons",
                                                              "1,3-4", NULL } };
    struct sonde_result *r = toy_probe(toy_builtin("kv-memory"), &args, NULL);
    assert_non_null(r);
    const struct sonde_table *t = toy_table(r, "values"), *down = toy_table(r, "values_down");
    assert_int_equal(t->n_rows, 3);
    const int chosen[] = { 1, 3, 4 };
    for (int i = 0; i < 3; i++) {
        check_close(toy_real(t, i, "layer"), 1, 0);
        check_close(toy_real(t, i, "neuron"), chosen[i], 0);
        check_close(toy_real(t, i, "token_id"), chosen[i], 0);
        check_close(toy_real(t, i, "score"), 2.0 * (1 + chosen[i]), 0);
        check_close(toy_real(down, i, "token_id"), chosen[i] + 1, 0);
        check_close(toy_real(down, i, "score"), -(2.0 + chosen[i]), 0);
    }
    check_close(toy_real(toy_table(r, "summary"), 0, "value_norm"), sqrt(5.0), 1e-12);
    sonde_result_destroy(&r);
    sonde_model_close(&model);
}

/* More neurons than a block and more tokens than a tile, against scores in double: a score is off
 * by at most the roundings of its D products. */
enum { WIDE_D = 8, WIDE_F = 1500, WIDE_V = 3000, WIDE_K = 7 };

static float wide_weight(void *ctx, const char *name, int64_t row, int64_t column)
{
    (void)ctx;
    struct sonde_rng rng = sonde_rng_make(sonde_rng_stream(name), (uint64_t)(row * 4096 + column));
    return (float)((strstr(name, "norm") ? 1 : 0) + 0.5 * sonde_rng_normal(&rng));
}

static double score_of(const struct sonde_model *model, int64_t neuron, int64_t token, double *off)
{
    const struct sonde_weights *w = sonde_model_weights(model);
    const float *u = w->unembed.data, *gain = w->ln_final_gain.data;
    float value[WIDE_D];
    double sum = 0, size = 0;
    sonde_weight_in_column(&w->layer[0].w_down, neuron, value);
    for (int d = 0; d < WIDE_D; d++) {
        double term = (double)value[d] * (double)gain[d] * (double)u[token * WIDE_D + d];
        sum += term;
        size += fabs(term);
    }
    *off = fmax(*off, (WIDE_D + 1) * 0x1p-24 * size);
    return sum;
}

static void all_neurons_against_all_tokens(void **state)
{
    (void)state;
    struct toy_model recipe = {
        .L = 1, .D = WIDE_D, .F = WIDE_F, .V = WIDE_V, .weight = wide_weight
    };
    struct sonde_model *model = toy_model_open(&recipe);
    struct sonde_kv_values values = { 0 }, again = { 0 };
    struct sonde_pool *pool = NULL;
    struct sonde_error error = { 0 };
    check_ok(sonde_pool_create(&pool, 3, &error), &error);
    check_ok(sonde_kv_values_read(&values, model, 0, WIDE_K, 1 << 28, pool, &error), &error);
    for (int64_t f = 0; f < WIDE_F; f += 97) {
        static const double sign[2] = { 1, -1 };
        for (int side = 0; side < 2; side++) {
            const struct sonde_top_entry *top = (side ? values.down : values.up) + f * WIDE_K;
            double off = 0, least = INFINITY;
            for (int k = 0; k < WIDE_K; k++) {
                double score = sign[side] * score_of(model, f, top[k].index, &off);
                check_close(top[k].value, score, off);
                least = fmin(least, score);
            }
            int64_t above = 0;
            for (int64_t v = 0; v < WIDE_V; v++) {
                double score = sign[side] * score_of(model, f, v, &off);
                above += score > least + 2 * off;
            }
            assert_true(above < WIDE_K);
        }
    }
    /* Down to about the least budget that is allowed, one thread alone: the same bits. */
    int64_t refused = 0, enough = 1 << 28;
    while (enough - refused > 1 << 20) {
        int64_t mem = refused + (enough - refused) / 2;
        bool ok =
            sonde_kv_values_read(&again, model, 0, WIDE_K, mem, pool, &error) == SONDE_STATUS_OK;
        *(ok ? &enough : &refused) = mem;
        if (!ok) {
            assert_non_null(strstr(error.text, "over the memory budget of"));
            continue;
        }
        for (int64_t i = 0; i < WIDE_F * WIDE_K; i++) {
            assert_int_equal(values.up[i].index, again.up[i].index);
            assert_memory_equal(&values.up[i].value, &again.up[i].value, sizeof(float));
            assert_memory_equal(&values.down[i].value, &again.down[i].value, sizeof(float));
        }
        sonde_kv_values_finish(&again);
    }
    sonde_kv_values_finish(&values);
    sonde_pool_destroy(&pool);
    sonde_model_close(&model);
}

/* Two texts of 4 tokens: BOS 0, then ids. Neuron i is driven by one row, whose next token is known.
 */
static const int32_t text[2][4] = { { 0, 1, 2, 3 }, { 0, 4, 5, 1 } };
static const float activation[8][F] = {
    { 9, 9, 9, 9, 9 }, /* BOS: not a trigger */
    { 5, -1, 2, -3, 0 }, { 1, -1, 4, -1, 0 }, { 3, -2, 1, 6, 0 }, { 9, 9, 9, 9, 9 },
    { 4, -4, 3, -2, 0 }, { 2, -5, 5, -1, 0 }, { 0, -6, 0, 2, 0 },
};

static int64_t length(void *ctx, int64_t s)
{
    (void)ctx, (void)s;
    return 4;
}

static int32_t id(void *ctx, int64_t s, int64_t t)
{
    (void)ctx;
    return text[s][t];
}

static void fill(void *ctx, int64_t stream, int64_t s, int64_t T, float *out)
{
    (void)ctx, (void)stream;
    memcpy(out, activation[4 * s], (size_t)(T * F) * sizeof(float));
}

static struct sonde_source *open_source(void)
{
    struct toy_run run = { .stream = { toy_stream("blocks.0.mlp.hook_post", 0, F) },
                           .n_streams = 1,
                           .n_sequences = 2,
                           .length = length,
                           .id = id,
                           .fill = fill };
    return toy_source(&run);
}

static void keys_are_the_strongest_rows(void **state)
{
    (void)state;
    struct sonde_source *source = open_source();
    /* Room for all rows at once, and for one. */
    const int64_t mem[2] = { 1 << 20, F * (2 * 16 + 32) + F * 4 };
    for (int k = 0; k < 2; k++) {
        struct sonde_kv_keys keys = { 0 };
        struct sonde_error error = { 0 };
        check_ok(sonde_kv_keys_read(&keys, source, 0, 2, SONDE_TOKEN_BOS, mem[k], NULL, &error),
                 &error);
        assert_int_equal(keys.n_rows, 6);
        const int64_t first[F] = { 1, 1, 6, 3, 1 }, second[F] = { 5, 2, 2, 7, 2 };
        const int64_t active[F] = { 5, 0, 5, 2, 0 };
        for (int i = 0; i < F; i++) {
            assert_int_equal(keys.top[2 * i].index, first[i]);
            assert_int_equal(keys.top[2 * i + 1].index, second[i]);
            assert_int_equal(keys.n_active[i], active[i]);
        }
        check_close(keys.sum[0], 15, 0);
        check_close(keys.low, -6, 0);
        check_close(keys.high, 6, 0);
        int64_t n = 0;
        for (int b = 0; b < SONDE_KV_BINS; b++)
            n += keys.bin[b];
        assert_int_equal(n, 6 * F);
        assert_int_equal(keys.bin[SONDE_KV_BINS - 1], 1);
        sonde_kv_keys_finish(&keys);
    }
    struct sonde_kv_keys keys = { 0 };
    struct sonde_error error = { 0 };
    assert_int_equal(sonde_kv_keys_read(&keys, source, 0, 2, 0, 100, NULL, &error),
                     SONDE_STATUS_LIMIT);
    assert_int_equal(sonde_kv_next_token(source, 1), 2);
    assert_int_equal(sonde_kv_next_token(source, 3), -1);
    assert_int_equal(sonde_kv_next_token(source, 7), -1);
    source->destroy(&source);
}

/* Next tokens of the strongest triggers: neuron 0 -> 2, 1 -> 2, 2 -> 1, 3 -> none, 4 -> 2. */
static void agreement_counts_neurons(void **state)
{
    (void)state;
    struct sonde_source *source = open_source();
    struct sonde_kv_keys keys = { 0 };
    struct sonde_error error = { 0 };
    check_ok(sonde_kv_keys_read(&keys, source, 0, 2, SONDE_TOKEN_BOS, 1 << 20, NULL, &error),
             &error);
    struct sonde_top_entry up[F] = { { 1, 5 }, { 1, 1 }, { 1, 1 }, { 1, 2 }, { 1, 2 } };
    struct sonde_kv_values values = { .F = F, .k = 1, .up = up };
    struct sonde_kv_agreement a;
    sonde_kv_agree(&values, &keys, source, &a);
    assert_int_equal(a.n, 4);            /* neuron 3's strongest trigger ends its text */
    check_close(a.first, 2.0 / 4, 0);    /* neurons 2 and 4 */
    check_close(a.any, 3.0 / 4, 0);      /* neuron 0 by its second trigger, row 5 */
    check_close(a.shuffled, 3.0 / 4, 0); /* 1 by 2's, 3 by 4's, 4 by 0's; 2's neighbour has none */
    sonde_kv_keys_finish(&keys);
    source->destroy(&source);
}

static void tables_hold_what_was_read(void **state)
{
    (void)state;
    struct toy_model recipe = { .L = 1, .D = D, .F = F, .V = V, .weight = weight };
    struct sonde_model *model = toy_model_open(&recipe);
    struct sonde_source *source = open_source();
    struct toy_args args = { .source = source,
                             .model = model,
                             .option = (const char *const[]){ "top", "2", NULL } };
    struct sonde_result *r = toy_probe(toy_builtin("kv-memory"), &args, NULL);
    assert_non_null(r);
    const struct sonde_table *keys = toy_table(r, "keys"), *neurons = toy_table(r, "neurons");
    assert_int_equal(keys->n_rows, 2 * F);
    check_close(toy_real(keys, 0, "activation"), 5, 0);
    check_close(toy_real(keys, 0, "position"), 1, 0);
    assert_string_equal(toy_text(keys, 0, "token"), " t1");
    assert_string_equal(toy_text(keys, 0, "context"), " t0\u00ab t1\u00bb t2 t3");
    check_close(toy_real(keys, 1, "sequence"), 1, 0);
    check_close(toy_real(neurons, 0, "active_share"), 5.0 / 6, 1e-15);
    check_close(toy_real(neurons, 0, "mean"), 2.5, 1e-15);
    check_close(toy_real(neurons, 3, "max"), 6, 0);
    const struct sonde_table *summary = toy_table(r, "summary");
    check_close(toy_real(summary, 0, "agreement_neurons"), 4, 0);
    check_close(toy_real(summary, 0, "dead_share"), 2.0 / 5, 0);
    check_close(toy_real(summary, 0, "active_share"), 12.0 / 30, 1e-15);
    assert_int_equal(toy_table(r, "histogram")->n_rows, SONDE_KV_BINS);
    sonde_result_destroy(&r);
    struct sonde_error error;
    args.option = (const char *const[]){ "neurons", "5", NULL };
    assert_null(toy_probe(toy_builtin("kv-memory"), &args, &error));
    assert_string_equal(error.text,
                        "probe kv-memory: neurons \"5\": out of range, there are neuron 0 to 4");
    source->destroy(&source);
    sonde_model_close(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_read_from_the_weights),
        cmocka_unit_test(all_neurons_against_all_tokens),
        cmocka_unit_test(keys_are_the_strongest_rows),
        cmocka_unit_test(agreement_counts_neurons),
        cmocka_unit_test(tables_hold_what_was_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
