/* The lens: closed forms of its numbers, and its identity with the model's own logits. */
#include <string.h>

#include "core/base/rng.h"
#include "core/model/readout.h"
#include "probes/lens_read.h"
#include "probes/lens_sums.h"
#include "probes/vocabulary_scan.h"
#include "tests/unit/probes/probe_support.h"

enum { V = 7 };

/* An exponential is off by two units in the last place. */
#define EXP_ERROR 0x1p-22

/* Sums of x [n] and of f [n] beside it, in parts of `step`. */
static void sum_in_steps(const float *x, const float *f, int64_t n, int64_t step,
                         struct sonde_lens_sums *sums, struct sonde_lens_sums *final)
{
    float weight[64], final_weight[64];
    *sums = *final = sonde_lens_sums_none();
    for (int64_t i = 0; i < n; i += step) {
        int64_t count = n - i < step ? n - i : step;
        double factor = sonde_lens_sums_add(final, f + i, count, final_weight);
        sonde_lens_sums_add_beside(sums, x + i, count, weight, final_weight, factor);
    }
}

static void numbers_of_a_uniform_distribution(void **state)
{
    (void)state;
    const float flat[V] = { 3, 3, 3, 3, 3, 3, 3 };
    struct sonde_lens_sums sums, final;
    sum_in_steps(flat, flat, V, 2, &sums, &final);
    check_close(sonde_lens_sums_log(&sums), 3 + log(V), 1e-12);
    check_close(sonde_lens_sums_entropy(&sums), log(V), 1e-12);
    check_close(sonde_lens_sums_kl(&sums, &final), 0.0, 1e-12);
}

/* Softmax of x and f, against sums in double: in any number of parts, with a shift that stays, that
 * rises at every part, and that rises by more than an exponential can hold. */
static void numbers_do_not_depend_on_the_parts(void **state)
{
    (void)state;
    enum { N = 61 };
    struct sonde_rng rng = sonde_rng_make(7, 7);
    for (int kind = 0; kind < 4; kind++) {
        float x[N], f[N];
        const double slope[] = { 0, 0.3, -0.3, 9 };
        for (int v = 0; v < N; v++) {
            x[v] = (float)(sonde_rng_normal(&rng) + slope[kind] * v);
            f[v] = (float)(2 * sonde_rng_normal(&rng) + slope[kind] * (N - v) / 2);
        }
        double top_x = -INFINITY, top_f = -INFINITY, sum_x = 0, sum_f = 0;
        for (int v = 0; v < N; v++)
            top_x = fmax(top_x, (double)x[v]), top_f = fmax(top_f, (double)f[v]);
        for (int v = 0; v < N; v++)
            sum_x += exp((double)x[v] - top_x), sum_f += exp((double)f[v] - top_f);
        double log_x = top_x + log(sum_x), log_f = top_f + log(sum_f), entropy = 0, kl = 0;
        for (int v = 0; v < N; v++) {
            double log_p = (double)x[v] - log_x, log_q = (double)f[v] - log_f;
            entropy -= exp(log_p) * log_p;
            kl += exp(log_q) * (log_q - log_p);
        }
        /* The errors of the exponentials are weighed by what they stand at: at most kl + entropy's
         * own size and the logits' spread. */
        double spread = fmax(1, fabs(slope[kind]) * N + 10);
        for (int64_t step = 1; step <= N; step = step < 4 ? step + 1 : 2 * step + 1) {
            struct sonde_lens_sums sums, final;
            sum_in_steps(x, f, N, step, &sums, &final);
            check_close(sonde_lens_sums_log(&sums), log_x, EXP_ERROR + 1e-12);
            check_close(sonde_lens_sums_entropy(&sums), entropy, EXP_ERROR * (spread + 1));
            check_close(sonde_lens_sums_kl(&sums, &final), kl, EXP_ERROR * (2 * spread + 2));
        }
        /* Two halves, joined. */
        struct sonde_lens_sums sums, final, late, late_final;
        sum_in_steps(x, f, 30, 10, &sums, &final);
        sum_in_steps(x + 30, f + 30, N - 30, 10, &late, &late_final);
        struct sonde_lens_factors factors = sonde_lens_sums_join(&final, &late_final, NULL);
        (void)sonde_lens_sums_join(&sums, &late, &factors);
        check_close(sonde_lens_sums_log(&sums), log_x, EXP_ERROR + 1e-12);
        check_close(sonde_lens_sums_entropy(&sums), entropy, EXP_ERROR * (spread + 1));
        check_close(sonde_lens_sums_kl(&sums, &final), kl, EXP_ERROR * (2 * spread + 2));
    }
}

static void what_is_not_finite_shows(void **state)
{
    (void)state;
    const float bad[2] = { NAN, INFINITY };
    for (int kind = 0; kind < 2; kind++) {
        for (int at = 0; at < V; at++) {
            float x[V] = { 0, 1, 2, 3, 4, 5, 6 };
            const float f[V] = { 0, 1, 2, 3, 4, 5, 6 };
            struct sonde_lens_sums sums, final;
            x[at] = bad[kind];
            sum_in_steps(x, f, V, 3, &sums, &final);
            assert_false(isfinite(sonde_lens_sums_log(&sums)));
            assert_true(isfinite(sonde_lens_sums_log(&final)));
        }
    }
}

static void block_rows_depend_on_the_shape_alone(void **state)
{
    (void)state;
    assert_int_equal(sonde_lens_block_rows(50257, 13, false), 78);
    assert_int_equal(sonde_lens_block_rows(50257, 13, true), 78);
    assert_int_equal(sonde_lens_block_rows(128256, 13, true), 32);
    assert_int_equal(sonde_lens_block_rows(50257, 5000, false), 1);
    assert_int_equal(sonde_lens_block_rows((int64_t)1 << 40, 1, true), 1);
}

static void top_k_keeps_the_largest(void **state)
{
    (void)state;
    const float x[V] = { 1, 5, NAN, 5, -2, 7, 0 };
    struct sonde_top_entry top[V];
    int32_t index[V];
    assert_int_equal(sonde_top_k_offer_row(top, 3, 0, x, V, 0, index), 3);
    assert_int_equal(top[0].index, 5);
    assert_int_equal(top[1].index, 1); /* the lower index of equals first */
    assert_int_equal(top[2].index, 3);
    assert_int_equal(sonde_top_k_offer_row(top, V, 0, x, V, 100, index), V - 1);
    assert_int_equal(top[0].index, 105);
    assert_int_equal(top[V - 2].index, 104);
}

static int descending(const void *a, const void *b)
{
    const struct sonde_top_entry *x = a, *y = b;
    if (x->value != y->value)
        return x->value < y->value ? 1 : -1;
    return (x->index > y->index) - (x->index < y->index);
}

/* In parts and joined, against sorting; many values are equal. */
static void top_k_is_the_head_of_the_sorted_list(void **state)
{
    (void)state;
    enum { N = 3000, K = 100 };
    float x[N];
    struct sonde_top_entry sorted[N], top[K], late[K];
    int32_t index[N];
    struct sonde_rng rng = sonde_rng_make(9, 9);
    for (int values = 2; values <= 2048; values *= 32) {
        for (int i = 0; i < N; i++) {
            x[i] = (float)sonde_rng_below(&rng, (uint32_t)values);
            sorted[i] = (struct sonde_top_entry){ x[i], i };
        }
        qsort(sorted, N, sizeof(*sorted), descending);
        const int64_t ks[] = { 1, 5, K };
        for (int c = 0; c < 3; c++) {
            int64_t k = ks[c], n = 0, n_late = 0;
            for (int64_t i = 0; i < 2000; i += 333)
                n = sonde_top_k_offer_row(top, k, n, x + i, 2000 - i < 333 ? 2000 - i : 333, i,
                                          index);
            n_late = sonde_top_k_offer_row(late, k, 0, x + 2000, N - 2000, 2000, index);
            assert_int_equal(sonde_top_k_join(top, k, n, late, n_late), k);
            for (int64_t i = 0; i < k; i++)
                assert_int_equal(top[i].index, sorted[i].index);
        }
    }
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

/* A vocabulary of several tiles and slices: every number against logits in double, within what f32
 * products (D roundings of the terms' sizes) and exponentials may be off. */
enum { WIDE_D = 8, WIDE_V = 12000, WIDE_SITES = 3, WIDE_ROWS = 4, WIDE_K = 6 };

static void reference_logits(const struct sonde_model *model, const float *y, double *out,
                             double *bound)
{
    const float *w = sonde_model_weights(model)->unembed.data;
    for (int v = 0; v < WIDE_V; v++) {
        double size = 0;
        out[v] = 0;
        for (int d = 0; d < WIDE_D; d++) {
            double term = (double)y[d] * (double)w[v * WIDE_D + d];
            out[v] += term;
            size += fabs(term);
        }
        *bound = fmax(*bound, WIDE_D * 0x1p-24 * size);
    }
}

static double log_sum_of(const double *x)
{
    double top = -INFINITY, sum = 0;
    for (int v = 0; v < WIDE_V; v++)
        top = fmax(top, x[v]);
    for (int v = 0; v < WIDE_V; v++)
        sum += exp(x[v] - top);
    return top + log(sum);
}

static void check_row(const struct sonde_lens_reading *r, const struct sonde_top_entry *top,
                      const double *x, const double *f, int32_t next, double bound)
{
    double log_x = log_sum_of(x), log_f = log_sum_of(f), entropy = 0, kl = 0, spread = 0, apart = 0;
    for (int v = 0; v < WIDE_V; v++) {
        double log_p = x[v] - log_x, log_q = f[v] - log_f;
        entropy -= exp(log_p) * log_p;
        kl += exp(log_q) * (log_q - log_p);
    }
    for (int v = 0; v < WIDE_V; v++) {
        double log_p = x[v] - log_x, log_q = f[v] - log_f;
        spread += exp(log_p) * fabs(log_p + entropy);
        apart += exp(log_q) * fabs(log_q - log_p - kl);
    }
    double each = bound + EXP_ERROR;
    check_close(r->log_sum, log_x, each);
    check_close(r->entropy, entropy, 2 * each * spread + 1e-12);
    check_close(r->kl, kl, 2 * each + 2 * each * apart);
    check_close(r->logprob, x[next] - log_x, bound + each);
    int64_t fewest = 1, most = 1, best = 0, best_final = 0;
    for (int v = 0; v < WIDE_V; v++) {
        fewest += x[v] > x[next] + 2 * bound;
        most += v != next && x[v] >= x[next] - 2 * bound;
        best = x[v] > x[best] ? v : best;
        best_final = f[v] > f[best_final] ? v : best_final;
    }
    assert_in_range(r->rank, fewest, most);
    assert_int_equal(r->agrees, best == best_final);
    assert_int_equal(top[0].index, best);
    for (int k = 0; k < WIDE_K; k++) {
        check_close(top[k].value, x[top[k].index], bound);
        int64_t above = 0;
        for (int v = 0; v < WIDE_V; v++)
            above += x[v] > x[top[k].index] + 2 * bound;
        assert_true(above <= k);
    }
}

static void tiles_say_what_the_whole_row_says(void **state)
{
    (void)state;
    struct toy_model recipe = { .L = 1, .D = WIDE_D, .F = 8, .V = WIDE_V, .weight = random_weight };
    struct sonde_model *model = toy_model_open(&recipe);
    struct sonde_arena *arena = sonde_arena_create(0);
    struct sonde_error error = { 0 };
    assert_int_equal(sonde_scan_slices(model), SONDE_SCAN_SLICES_MAX);
    float x[WIDE_SITES * WIDE_ROWS * WIDE_D], y[WIDE_SITES * WIDE_ROWS * WIDE_D];
    struct sonde_rng rng = sonde_rng_make(3, 3);
    for (int i = 0; i < WIDE_SITES * WIDE_ROWS * WIDE_D; i++)
        x[i] = (float)sonde_rng_normal(&rng);
    /* One position whose sites all say the same, next tokens in the first and last slice. */
    for (int s = 0; s < WIDE_SITES; s++)
        memcpy(x + (s * WIDE_ROWS + 2) * WIDE_D, x + 2 * WIDE_D, WIDE_D * sizeof(float));
    int32_t next[WIDE_ROWS] = { 17, WIDE_V - 1, 2500, 0 };
    check_ok(sonde_model_readout_rows(model, arena, x, WIDE_SITES * WIDE_ROWS, y, &error), &error);
    struct sonde_lens_reading reading[WIDE_SITES * WIDE_ROWS];
    struct sonde_top_entry top[WIDE_SITES * WIDE_ROWS * WIDE_K];
    struct sonde_lens_block block = { .x = x,
                                      .n_sites = WIDE_SITES,
                                      .n_rows = WIDE_ROWS,
                                      .next = next,
                                      .k = WIDE_K,
                                      .reading = reading,
                                      .top = top };
    check_ok(sonde_lens_read(model, NULL, &block, 1, &error), &error);
    double *logits = malloc(2 * WIDE_V * sizeof(*logits)), *final = logits + WIDE_V;
    for (int i = 0; i < WIDE_ROWS; i++) {
        double bound = 0;
        reference_logits(model, y + ((WIDE_SITES - 1) * WIDE_ROWS + i) * WIDE_D, final, &bound);
        for (int s = 0; s < WIDE_SITES; s++) {
            int row = s * WIDE_ROWS + i;
            reference_logits(model, y + row * WIDE_D, logits, &bound);
            check_row(&reading[row], top + row * WIDE_K, logits, final, next[i], bound);
        }
    }
    check_close(reading[2].kl, 0, 1e-6);
    free(logits);
    sonde_arena_destroy(&arena);
    sonde_model_close(&model);
}

/* The token of the k-th place as the true next one: the rank is k, for places that the list holds
 * and for all others. */
static void ranks_are_places(void **state)
{
    (void)state;
    enum { K = 100 };
    struct toy_model recipe = { .L = 1, .D = WIDE_D, .F = 8, .V = WIDE_V, .weight = random_weight };
    struct sonde_model *model = toy_model_open(&recipe);
    struct sonde_error error = { 0 };
    float x[WIDE_D];
    int32_t next = -1;
    struct sonde_lens_reading reading;
    struct sonde_top_entry order[K], top[3];
    struct sonde_lens_block block = {
        .x = x, .n_sites = 1, .n_rows = 1, .next = &next, .k = K, .reading = &reading, .top = order
    };
    for (int k = -1; k < K; k++) {
        for (int d = 0; d < WIDE_D; d++)
            x[d] = (float)(d * d - 20);
        if (k >= 0) {
            next = (int32_t)order[k].index;
            block.k = 3;
            block.top = top;
        }
        check_ok(sonde_lens_read(model, NULL, &block, 1, &error), &error);
        assert_int_equal(reading.rank, k + 1);
    }
    sonde_model_close(&model);
}

static void check_same_tables(const struct sonde_result *a, const struct sonde_result *b)
{
    assert_int_equal(a->n_tables, b->n_tables);
    for (int64_t t = 0; t < a->n_tables; t++) {
        const struct sonde_table *x = a->table[t], *y = b->table[t];
        assert_int_equal(x->n_rows, y->n_rows);
        for (int64_t i = 0; i < x->n_rows * x->n_columns; i++) {
            assert_int_equal(x->cell[i].kind, y->cell[i].kind);
            if (x->cell[i].kind == SONDE_CELL_REAL)
                assert_memory_equal(&x->cell[i].real, &y->cell[i].real, sizeof(double));
            if (x->cell[i].kind == SONDE_CELL_INTEGER)
                assert_int_equal(x->cell[i].integer, y->cell[i].integer);
        }
    }
}

/* Threads, and the least budget that is allowed, change no bit; one byte less is refused. */
static void threads_and_budget_change_nothing(void **state)
{
    (void)state;
    struct toy_model recipe = { .L = 2, .D = 8, .F = 8, .V = WIDE_V, .weight = random_weight };
    struct sonde_model *model = toy_model_open(&recipe);
    struct sonde_source *source =
        toy_record(model, "hook_embed,blocks.*.hook_resid_*", texts, lengths, 2);
    struct sonde_pool *pool = NULL;
    struct sonde_error error = { 0 };
    check_ok(sonde_pool_create(&pool, 3, &error), &error);
    struct toy_args args = { .source = source,
                             .model = model,
                             .option = (const char *const[]){ "sequence", "all", NULL } };
    struct sonde_result *alone = toy_probe(toy_builtin("logit-lens"), &args, NULL);
    assert_non_null(alone);
    args.pool = pool;
    struct sonde_result *spread = toy_probe(toy_builtin("logit-lens"), &args, NULL);
    assert_non_null(spread);
    check_same_tables(alone, spread);
    sonde_result_destroy(&spread);
    int64_t least = 1 << 20, most = 1 << 26; /* refused, enough */
    while (most - least > 1) {
        args.mem_bytes = least + (most - least) / 2;
        struct sonde_result *tight = toy_probe(toy_builtin("logit-lens"), &args, &error);
        *(tight ? &most : &least) = args.mem_bytes;
        if (tight)
            check_same_tables(alone, tight);
        else
            assert_non_null(strstr(error.text, "over the memory budget"));
        sonde_result_destroy(&tight);
    }
    sonde_result_destroy(&alone);
    sonde_pool_destroy(&pool);
    source->destroy(&source);
    sonde_model_close(&model);
}

static int64_t broken_length(void *ctx, int64_t s)
{
    (void)ctx;
    return 3 + s;
}

static int32_t broken_id(void *ctx, int64_t s, int64_t t)
{
    (void)ctx;
    return (int32_t)(1 + s + t);
}

/* Position 1 of the first sequence is NaN at the embedding. */
static void broken_fill(void *ctx, int64_t stream, int64_t s, int64_t n, float *out)
{
    (void)ctx;
    for (int64_t i = 0; i < n * 8; i++)
        out[i] = stream == 0 && s == 0 && i / 8 == 1 ? (float)NAN : (float)((i * 7 + stream) % 5);
}

static void readings_that_are_not_finite_are_left_out(void **state)
{
    (void)state;
    struct toy_model recipe = { .L = 1, .D = 8, .F = 8, .V = 11, .weight = random_weight };
    struct sonde_model *model = toy_model_open(&recipe);
    struct toy_run run = { .stream = { toy_stream("hook_embed", -1, 8),
                                       toy_stream("blocks.0.hook_resid_post", 0, 8) },
                           .n_streams = 2,
                           .n_sequences = 2,
                           .length = broken_length,
                           .id = broken_id,
                           .fill = broken_fill };
    struct sonde_source *source = toy_source(&run);
    struct toy_args args = { .source = source,
                             .model = model,
                             .option = (const char *const[]){ "sequence", "all", NULL } };
    struct sonde_result *r = toy_probe(toy_builtin("logit-lens"), &args, NULL);
    assert_non_null(r);
    assert_true(toy_warned(r, "1 readings are not finite"));
    const struct sonde_table *sums = toy_table(r, "sites");
    check_close(toy_real(sums, 0, "positions"), 6, 0);
    check_close(toy_real(sums, 1, "positions"), 7, 0);
    assert_true(isfinite(toy_real(sums, 0, "kl")));
    sonde_result_destroy(&r);
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
        cmocka_unit_test(numbers_do_not_depend_on_the_parts),
        cmocka_unit_test(what_is_not_finite_shows),
        cmocka_unit_test(block_rows_depend_on_the_shape_alone),
        cmocka_unit_test(top_k_keeps_the_largest),
        cmocka_unit_test(top_k_is_the_head_of_the_sorted_list),
        cmocka_unit_test(tiles_say_what_the_whole_row_says),
        cmocka_unit_test(ranks_are_places),
        cmocka_unit_test(threads_and_budget_change_nothing),
        cmocka_unit_test(readings_that_are_not_finite_are_left_out),
        cmocka_unit_test(last_site_is_the_models_own),
        cmocka_unit_test(table_agrees_with_the_readout),
        cmocka_unit_test(what_cannot_be_read_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
