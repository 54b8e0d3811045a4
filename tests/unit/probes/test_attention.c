/* Attention: measures of patterns made by hand, and long maps in bounded memory. */
#include <string.h>

#include "core/base/rng.h"
#include "probes/attention_read.h"
#include "tests/unit/probes/probe_support.h"

enum { T = 12, H = 4 };

/* Head 0: all seen keys alike; 1: itself; 2: the previous token (row 0: itself); 3: the first. */
static void pattern_row(int64_t head, int64_t query, int64_t n, float *row)
{
    memset(row, 0, (size_t)n * sizeof(float));
    for (int64_t j = 0; j <= query && head == 0; j++)
        row[j] = 1.0f / (float)(query + 1);
    if (head == 1)
        row[query] = 1.0f;
    if (head == 2)
        row[query > 0 ? query - 1 : 0] = 1.0f;
    if (head == 3)
        row[0] = 1.0f;
}

static int64_t length(void *ctx, int64_t s)
{
    (void)ctx;
    return T - s;
}

static int32_t id(void *ctx, int64_t s, int64_t t)
{
    (void)ctx;
    return (int32_t)(s + t + 1);
}

static void fill(void *ctx, int64_t stream, int64_t s, int64_t n, float *out)
{
    (void)stream, (void)s;
    const float *scale = ctx;
    for (int64_t h = 0; h < H; h++)
        for (int64_t i = 0; i < n; i++) {
            float *row = out + (h * n + i) * n;
            pattern_row(h, i, n, row);
            for (int64_t j = 0; j < n; j++)
                row[j] *= *scale;
        }
}

static struct sonde_source *open_source(float *scale)
{
    struct toy_run run = { .stream = { toy_map("blocks.0.attn.hook_pattern", 0, H),
                                       toy_map("blocks.1.attn.hook_pattern", 1, H) },
                           .n_streams = 2,
                           .n_sequences = 2,
                           .length = length,
                           .id = id,
                           .fill = fill,
                           .ctx = scale };
    return toy_source(&run);
}

static void heads_are_measured(void **state)
{
    (void)state;
    float scale = 1.0f;
    struct sonde_source *source = open_source(&scale);
    struct toy_args args = { .source = source };
    struct sonde_result *r = toy_probe(toy_builtin("attention"), &args, NULL);
    assert_non_null(r);
    const struct sonde_table *t = toy_table(r, "heads");
    assert_int_equal(t->n_rows, 2 * H);
    double distance = 0, entropy = 0, first = 0, previous = 0;
    for (int i = 0; i < T; i++) {
        distance += 0.5 * i / T;
        entropy += log(i + 1.0) / T;
        first += 1.0 / (i + 1) / T;
        previous += i > 0 ? 1.0 / (i + 1) / (T - 1) : 0.0;
    }
    const double expected[H][4] = { { distance, entropy, first, previous },
                                    { 0, 0, 1.0 / T, 0 },
                                    { (T - 1.0) / T, 0, 2.0 / T, 1 },
                                    { (T - 1) / 2.0, 0, 1, 1.0 / (T - 1) } };
    for (int64_t i = 0; i < 2 * H; i++) {
        const double *e = expected[i % H];
        check_close(toy_real(t, i, "layer"), (double)(i / H), 0);
        check_close(toy_real(t, i, "head"), (double)(i % H), 0);
        /* The weights are f32: 2^-24 of a row's sum times the largest distance or logarithm. */
        check_close(toy_real(t, i, "mean_distance"), e[0], T * 0x1p-23);
        check_close(toy_real(t, i, "entropy"), e[1], 4 * 0x1p-23);
        check_close(toy_real(t, i, "first_token"), e[2], 0x1p-23);
        check_close(toy_real(t, i, "previous_token"), e[3], 0x1p-23);
        check_close(toy_real(t, i, "rows"), T, 0);
    }
    assert_true(r->check[0].ok);
    /* A model's grid, a grid a layer, and four measures. */
    assert_int_equal(r->n_figures, 1 + 2 + 4);
    assert_int_equal(r->figure[0]->n_panels, 2 * H);
    assert_int_equal(r->figure[0]->panel_columns, H);
    sonde_result_destroy(&r);
    source->destroy(&source);
}

static void one_head_is_drawn_with_its_tokens(void **state)
{
    (void)state;
    float scale = 1.0f;
    struct sonde_source *source = open_source(&scale);
    struct toy_args args = { .source = source,
                             .option = (const char *const[]){ "layers", "1", "heads", "2",
                                                              "sequence", "1", NULL } };
    struct sonde_result *r = toy_probe(toy_builtin("attention"), &args, NULL);
    assert_non_null(r);
    assert_int_equal(r->n_figures, 1);
    const struct sonde_figure *f = r->figure[0];
    assert_string_equal(f->name, "layer-1-head-2");
    assert_int_equal(f->rows, T - 1);
    assert_true(f->y_from_top);
    assert_int_equal(f->x.n_ticks, T - 1);
    assert_string_equal(f->x.tick[0], "\u00b7t2");
    for (int i = 1; i < T - 1; i++)
        check_close(f->value[i * (T - 1) + i - 1], 1, 0);
    sonde_result_destroy(&r);
    /* Over both sequences the sums are over all rows. */
    args.option = (const char *const[]){ "heads", "1", "sequence", "all", "grid", "none", NULL };
    r = toy_probe(toy_builtin("attention"), &args, NULL);
    assert_non_null(r);
    check_close(toy_real(toy_table(r, "heads"), 0, "rows"), 2 * T - 1, 0);
    check_close(toy_real(toy_table(r, "heads"), 0, "first_token"), 2.0 / (2 * T - 1), 0x1p-23);
    assert_int_equal(r->n_figures, 0);
    sonde_result_destroy(&r);
    source->destroy(&source);
}

static void rows_that_do_not_sum_to_one_fail_the_check(void **state)
{
    (void)state;
    float scale = 0.999f;
    struct sonde_source *source = open_source(&scale);
    struct toy_args args = { .source = source };
    struct sonde_result *r = toy_probe(toy_builtin("attention"), &args, NULL);
    assert_non_null(r);
    assert_int_equal(r->n_checks, 1);
    assert_false(r->check[0].ok);
    check_close(r->check[0].value, 0.001, 1e-6);
    sonde_result_destroy(&r);
    source->destroy(&source);
}

static void what_is_not_there_is_refused(void **state)
{
    (void)state;
    float scale = 1.0f;
    struct sonde_source *source = open_source(&scale);
    struct toy_args args = { .source = source,
                             .option = (const char *const[]){ "layers", "2", NULL } };
    struct sonde_error error;
    assert_null(toy_probe(toy_builtin("attention"), &args, &error));
    assert_string_equal(error.text,
                        "probe attention: layers \"2\": out of range, there are layer 0 to 1");
    args.option = (const char *const[]){ "heads", "0-", NULL };
    assert_null(toy_probe(toy_builtin("attention"), &args, &error));
    assert_string_equal(error.text, "probe attention: heads \"0-\": expected numbers and ranges "
                                    "such as 0,4-7,-1 or all");
    source->destroy(&source);
}

/* A source of one long map that counts what is asked of it at once. */
enum { LONG = 2048 };
struct long_map {
    struct sonde_source source;
    struct sonde_source_sequence sequence;
    int64_t most_values;
};

static enum sonde_status long_rows(struct sonde_source *source, int64_t stream, int64_t sequence,
                                   int64_t head, int64_t first, int64_t n, float *out,
                                   struct sonde_error *error)
{
    (void)stream, (void)sequence, (void)error;
    struct long_map *map = source->self;
    map->most_values = n * LONG > map->most_values ? n * LONG : map->most_values;
    for (int64_t i = 0; i < n; i++)
        pattern_row(head, first + i, LONG, out + i * LONG);
    return SONDE_STATUS_OK;
}

static void long_maps_are_made_smaller_on_the_way(void **state)
{
    (void)state;
    struct long_map map = { .sequence = { .n_tokens = LONG } };
    map.source = (struct sonde_source){
        .self = &map, .n_sequences = 1, .sequences = &map.sequence, .read_map_rows = long_rows
    };
    struct sonde_attention_map small = { 0 };
    struct sonde_attention_sums sums = { 0 };
    struct sonde_error error = { 0 };
    check_ok(sonde_attention_map_init(&small, LONG, 1000, &error), &error);
    assert_int_equal(small.cells, 1000);
    check_ok(sonde_attention_read(&map.source, 0, 0, 2, 1 << 20, &sums, &small, 1, &error), &error);
    assert_true(map.most_values * (int64_t)sizeof(float) <= 1 << 20);
    assert_int_equal(sums.n_rows, LONG);
    check_close(sums.previous, LONG - 1, 0);
    /* Nothing is lost: every previous-token weight shows in its cell, and no cell else is set. */
    int64_t n_set = 0, n_expected = 0;
    char *seen = calloc(1000 * 1000, 1);
    assert_non_null(seen);
    for (int64_t i = 0; i < LONG; i++) {
        int64_t cell = i * 1000 / LONG * 1000 + (i > 0 ? i - 1 : 0) * 1000 / LONG;
        n_expected += !seen[cell];
        seen[cell] = 1;
        check_close(small.value[cell], 1, 0);
    }
    for (int64_t c = 0; c < 1000 * 1000; c++)
        n_set += small.value[c] != 0.0f;
    assert_int_equal(n_set, n_expected);
    free(seen);
    sonde_attention_map_finish(&small);
    assert_int_equal(sonde_attention_read(&map.source, 0, 0, 2, 100, &sums, NULL, 0, &error),
                     SONDE_STATUS_LIMIT);
}

/* Dense rows, as an encoder's or an edited pattern's: weights on both sides, zeros, negative ones
 * and ones that are not finite, against sums one by one. */
static void any_rows_are_summed(void **state)
{
    (void)state;
    enum { N = 37 };
    float p[N * N];
    struct sonde_rng rng = sonde_rng_make(8, 8);
    double distance = 0, entropy = 0, off_one = 0;
    int64_t n_nonfinite = 0;
    for (int i = 0; i < N; i++) {
        double total = 0;
        for (int j = 0; j < N; j++) {
            const int64_t kind = sonde_rng_below(&rng, 200);
            float x = (float)(sonde_rng_uniform(&rng) / N);
            x = kind < 40 ? 0.0f : kind < 50 ? -x : kind == 50 ? (float)NAN : x;
            x = kind == 51 ? INFINITY : kind == 52 ? -INFINITY : x;
            p[i * N + j] = x;
            if (!isfinite(x)) {
                n_nonfinite++;
                continue;
            }
            total += (double)x;
            distance += (double)x * abs(i - j);
            entropy -= x > 0 ? (double)x * log((double)x) : 0;
        }
        off_one = fmax(off_one, fabs(total - 1));
    }
    assert_true(n_nonfinite > 0);
    struct sonde_attention_sums sums = { 0 };
    sonde_attention_add(&sums, p, 0, 20, N);
    sonde_attention_add(&sums, p + 20 * N, 20, N - 20, N);
    assert_int_equal(sums.n_rows, N);
    assert_int_equal(sums.n_nonfinite, n_nonfinite);
    check_close(sums.distance, distance, 1e-12 * N * N);
    check_close(sums.entropy, entropy, 0x1p-38 * N * log(N) + 1e-12 * N);
    check_close(sums.off_one, off_one, 1e-12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads_are_measured),
        cmocka_unit_test(one_head_is_drawn_with_its_tokens),
        cmocka_unit_test(rows_that_do_not_sum_to_one_fail_the_check),
        cmocka_unit_test(what_is_not_there_is_refused),
        cmocka_unit_test(any_rows_are_summed),
        cmocka_unit_test(long_maps_are_made_smaller_on_the_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
