/* What must hold of any forward pass, whatever the weights: causality, sums, edits, threads. */
#include <string.h>

#include "core/model/readout.h"
#include "tests/reference/site_capture.h"
#include "tests/support/check.h"
#include "tests/unit/model/model_maker.h"

enum { T = 150 }; /* more than two blocks of 64 query rows */

static const struct model_recipe recipes[] = {
    { .family = "llama", .D = 24, .H = 6, .G = 2, .F = 30, .L = 2, .V = 50, .n_ctx = 200 },
    { .family = "gpt2",
      .D = 24,
      .H = 3,
      .F = 40,
      .L = 2,
      .V = 50,
      .n_ctx = 200,
      .dtype = SONDE_DTYPE_F16 },
    { .family = "gpt_neox",
      .D = 48,
      .H = 3,
      .F = 40,
      .L = 2,
      .V = 50,
      .n_ctx = 200,
      .untied = true },
    { .family = "sonde",
      .D = 24,
      .H = 6,
      .G = 2,
      .F = 30,
      .L = 2,
      .V = 50,
      .n_ctx = 200,
      .more_config = "\"position\": \"sinusoidal\", \"norm_place\": \"post\", " },
    { .family = "sonde",
      .D = 24,
      .H = 6,
      .G = 2,
      .F = 30,
      .L = 2,
      .V = 50,
      .n_ctx = 200,
      .more_config = "\"position\": \"cosine\", \"final_norm\": false, " },
    { .family = "sonde",
      .D = 24,
      .H = 6,
      .G = 2,
      .F = 30,
      .L = 2,
      .V = 50,
      .n_ctx = 200,
      .more_config = "\"position\": \"relative\", \"norm\": \"rmsnorm\", " },
    { .family = "sonde",
      .D = 24,
      .H = 6,
      .G = 2,
      .F = 30,
      .L = 2,
      .V = 50,
      .n_ctx = 200,
      .more_config = "\"position\": \"t5\", \"norm_place\": \"post\", \"final_norm\": true, " },
    { .family = "sonde",
      .D = 24,
      .H = 6,
      .G = 2,
      .F = 30,
      .L = 2,
      .V = 50,
      .n_ctx = 200,
      .more_config = "\"position\": \"alibi\", \"gated\": true, " },
};
enum { N_RECIPES = sizeof recipes / sizeof *recipes };

static void fill_ids(int32_t *ids, int n)
{
    for (int i = 0; i < n; i++) {
        ids[i] = (i * 17 + i / 7 + 3) % 50;
    }
}

/* Rows of a site that belong to positions before `end`, compared bit by bit. For maps: the
 * [end, end] corner of every head. */
static void check_earlier_rows(const struct captured *a, const struct captured *b, int64_t n_tokens,
                               int64_t end)
{
    char name[SONDE_SITE_NAME_MAX];
    assert_int_equal(a->n, b->n);
    if (!sonde_site_describe(a->site.kind)->per_layer ||
        sonde_site_describe(a->site.kind)->axes != SONDE_AXES_HTT) {
        size_t bytes = (size_t)(a->n / n_tokens * end) * sizeof(float);
        if (memcmp(a->value, b->value, bytes) != 0) {
            fprintf(stderr, "# %s differs before the edited token\n",
                    sonde_site_format(a->site, name));
            fail();
        }
        return;
    }
    for (int64_t row = 0; row < a->n / n_tokens; row++) {
        if (row % n_tokens < end) {
            assert_memory_equal(a->value + row * n_tokens, b->value + row * n_tokens,
                                (size_t)n_tokens * sizeof(float));
        }
    }
}

static void test_causality(void **state)
{
    (void)state;
    for (int r = 0; r < N_RECIPES; r++) {
        int32_t ids[T], edited[T];
        struct capture a, b;
        char *folder = model_make(&recipes[r]);
        struct sonde_model *model = capture_open(folder);
        const int places[] = { 1, 63, 64, 100, T - 1 };
        fill_ids(ids, T);
        capture_run(&a, model, ids, NULL, T, NULL, NULL);
        for (size_t p = 0; p < sizeof places / sizeof *places; p++) {
            memcpy(edited, ids, sizeof ids);
            edited[places[p]] = (ids[places[p]] + 1) % 50;
            capture_run(&b, model, edited, NULL, T, NULL, NULL);
            for (int i = 0; i < a.n; i++) {
                check_earlier_rows(&a.item[i], &b.item[i], T, places[p]);
            }
            /* and the edit is seen: otherwise the check above could not fail */
            const struct captured *logits_a = &a.item[a.n - 1], *logits_b = &b.item[b.n - 1];
            assert_int_equal(logits_a->site.kind, SONDE_SITE_LOGITS);
            assert_memory_not_equal(logits_a->value + places[p] * 50,
                                    logits_b->value + places[p] * 50, 50 * sizeof(float));
            capture_free(&b);
        }
        capture_free(&a);
        sonde_model_close(&model);
        model_remove(folder);
    }
}

/* Each output is one rounding of a sum of two. */
static void check_sum(const float *sum, const float *a, const float *b, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        assert_true(sum[i] == a[i] + b[i]);
    }
}

static void test_sums(void **state)
{
    (void)state;
    for (int r = 0; r < 2; r++) {
        int32_t ids[T];
        struct capture c;
        char *folder = model_make(&recipes[r]);
        struct sonde_model *model = capture_open(folder);
        fill_ids(ids, T);
        capture_run(&c, model, ids, NULL, T, NULL, NULL);
        for (int l = 0; l < 2; l++) {
            const struct captured *pattern =
                capture_find(&c, (struct sonde_site){ SONDE_SITE_PATTERN, l });
            for (int64_t row = 0; row < pattern->n / T; row++) {
                double sum = 0.0;
                for (int64_t j = 0; j < T; j++) {
                    sum += (double)pattern->value[row * T + j];
                }
                /* each of T values is rounded once, to at most 2^-24 of its size */
                check_close(sum, 1.0, 6e-8 + 1e-12);
            }
            const struct captured *pre =
                capture_find(&c, (struct sonde_site){ SONDE_SITE_RESID_PRE, l });
            const struct captured *mid =
                capture_find(&c, (struct sonde_site){ SONDE_SITE_RESID_MID, l });
            const struct captured *post =
                capture_find(&c, (struct sonde_site){ SONDE_SITE_RESID_POST, l });
            const struct captured *attn =
                capture_find(&c, (struct sonde_site){ SONDE_SITE_ATTN_OUT, l });
            const struct captured *mlp =
                capture_find(&c, (struct sonde_site){ SONDE_SITE_MLP_OUT, l });
            check_sum(mid->value, pre->value, attn->value, mid->n);
            check_sum(post->value, mid->value, mlp->value, post->n);
        }
        capture_free(&c);
        sonde_model_close(&model);
        model_remove(folder);
    }
}

/* Seeing one site alone, all of them, or all with a pool gives the same bits. */
static void test_observing_changes_nothing(void **state)
{
    (void)state;
    for (int r = 0; r < N_RECIPES; r++) {
        int32_t ids[T];
        struct capture all, one, pooled;
        struct sonde_pool *pool = NULL;
        struct sonde_error error = { 0 };
        char *folder = model_make(&recipes[r]);
        struct sonde_model *model = capture_open(folder);
        fill_ids(ids, T);
        check_ok(sonde_pool_create(&pool, 3, &error), &error);
        capture_run(&all, model, ids, NULL, T, NULL, NULL);
        capture_run(&pooled, model, ids, NULL, T, NULL, pool);
        assert_int_equal(all.n, pooled.n);
        for (int i = 0; i < all.n; i++) {
            struct sonde_site_set set = { 0 };
            sonde_site_set_add(&set, all.item[i].site);
            capture_run(&one, model, ids, NULL, T, &set, NULL);
            assert_int_equal(one.n, 1);
            assert_int_equal(one.item[0].n, all.item[i].n);
            size_t bytes = (size_t)all.item[i].n * sizeof(float);
            assert_memory_equal(one.item[0].value, all.item[i].value, bytes);
            assert_memory_equal(pooled.item[i].value, all.item[i].value, bytes);
            capture_free(&one);
        }
        capture_free(&all);
        capture_free(&pooled);
        sonde_pool_destroy(&pool);
        sonde_model_close(&model);
        model_remove(folder);
    }
}

static enum sonde_status edit_nothing(void *ctx, struct sonde_site site, struct sonde_tensor *value,
                                      struct sonde_error *error)
{
    (void)site, (void)error;
    *(int *)ctx += value->data != NULL;
    return SONDE_STATUS_OK;
}

static void test_noop_edit(void **state)
{
    (void)state;
    for (int r = 0; r < N_RECIPES; r++) {
        int32_t ids[T];
        int n_calls = 0;
        struct capture plain, edited;
        char *folder = model_make(&recipes[r]);
        struct sonde_model *model = capture_open(folder);
        fill_ids(ids, T);
        capture_run(&plain, model, ids, NULL, T, NULL, NULL);
        const struct sonde_hook hook = { .edit = sonde_model_sites(model),
                                         .on_edit = edit_nothing,
                                         .ctx = &n_calls };
        capture_run_hooked(&edited, model, ids, T, &hook, 1);
        assert_int_equal(n_calls, plain.n);
        assert_int_equal(plain.n, edited.n);
        for (int i = 0; i < plain.n; i++) {
            assert_memory_equal(plain.item[i].value, edited.item[i].value,
                                (size_t)plain.item[i].n * sizeof(float));
        }
        capture_free(&plain);
        capture_free(&edited);
        sonde_model_close(&model);
        model_remove(folder);
    }
}

static enum sonde_status zero(void *ctx, struct sonde_site site, struct sonde_tensor *value,
                              struct sonde_error *error)
{
    (void)ctx, (void)site, (void)error;
    memset(value->data, 0, (size_t)sonde_tensor_elements(value) * sizeof(float));
    return SONDE_STATUS_OK;
}

/* Zeroing a site changes exactly what depends on it: here what follows from the definitions. */
static void test_edits_are_used(void **state)
{
    int32_t ids[T];
    struct capture plain, edited;
    char *folder = model_make(&recipes[0]);
    struct sonde_model *model = capture_open(folder);
    struct sonde_site_set set = { 0 };
    const struct sonde_hook hook = { .edit = &set, .on_edit = zero };
    (void)state;
    fill_ids(ids, T);
    capture_run(&plain, model, ids, NULL, T, NULL, NULL);

    /* attn_out 0: resid_mid is resid_pre, bit by bit. */
    sonde_site_set_add(&set, (struct sonde_site){ SONDE_SITE_ATTN_OUT, 0 });
    capture_run_hooked(&edited, model, ids, T, &hook, 1);
    const struct captured *pre =
        capture_find(&plain, (struct sonde_site){ SONDE_SITE_RESID_PRE, 0 });
    const struct captured *mid =
        capture_find(&edited, (struct sonde_site){ SONDE_SITE_RESID_MID, 0 });
    assert_memory_equal(pre->value, mid->value, (size_t)pre->n * sizeof(float));
    capture_free(&edited);

    /* The heads' shares 0, and there is no bias: attn_out 0. The pattern 0: z 0. */
    set = (struct sonde_site_set){ 0 };
    sonde_site_set_add(&set, (struct sonde_site){ SONDE_SITE_RESULT, 0 });
    sonde_site_set_add(&set, (struct sonde_site){ SONDE_SITE_PATTERN, 1 });
    sonde_site_set_add(&set, (struct sonde_site){ SONDE_SITE_LN2_NORMALIZED, 1 });
    capture_run_hooked(&edited, model, ids, T, &hook, 1);
    const struct sonde_site zeroed[] = { { SONDE_SITE_ATTN_OUT, 0 },
                                         { SONDE_SITE_Z, 1 },
                                         { SONDE_SITE_ATTN_OUT, 1 },
                                         { SONDE_SITE_LN2_OUT, 1 },
                                         { SONDE_SITE_MLP_OUT, 1 } };
    for (size_t i = 0; i < sizeof zeroed / sizeof *zeroed; i++) {
        const struct captured *c = capture_find(&edited, zeroed[i]);
        for (int64_t j = 0; j < c->n; j++) {
            assert_true(c->value[j] == 0.0f);
        }
    }
    capture_free(&edited);
    capture_free(&plain);
    sonde_model_close(&model);
    model_remove(folder);
}

static enum sonde_status double_it(void *ctx, struct sonde_site site, struct sonde_tensor *value,
                                   struct sonde_error *error)
{
    (void)ctx, (void)site, (void)error;
    for (int64_t i = 0; i < sonde_tensor_elements(value); i++) {
        value->data[i] *= 2.0f;
    }
    return SONDE_STATUS_OK;
}

/* Twice the scale is half the normalised value (a power of two: exactly), and the gain follows. */
static void test_scale_edit(void **state)
{
    int32_t ids[T];
    struct capture plain, edited;
    char *folder = model_make(&recipes[0]);
    struct sonde_model *model = capture_open(folder);
    struct sonde_site_set set = { 0 };
    const struct sonde_hook hook = { .edit = &set, .on_edit = double_it };
    (void)state;
    fill_ids(ids, T);
    sonde_site_set_add(&set, (struct sonde_site){ SONDE_SITE_LN1_SCALE, 1 });
    capture_run(&plain, model, ids, NULL, T, NULL, NULL);
    capture_run_hooked(&edited, model, ids, T, &hook, 1);
    const enum sonde_site_kind kinds[] = { SONDE_SITE_LN1_NORMALIZED, SONDE_SITE_LN1_OUT };
    for (size_t k = 0; k < 2; k++) {
        const struct captured *a = capture_find(&plain, (struct sonde_site){ kinds[k], 1 });
        const struct captured *b = capture_find(&edited, (struct sonde_site){ kinds[k], 1 });
        for (int64_t i = 0; i < a->n; i++) {
            assert_true(b->value[i] == 0.5f * a->value[i]);
        }
    }
    capture_free(&plain);
    capture_free(&edited);
    sonde_model_close(&model);
    model_remove(folder);
}

static enum sonde_status refuse(void *ctx, struct sonde_site site, const struct sonde_tensor *value,
                                struct sonde_error *error)
{
    (void)ctx, (void)site, (void)value;
    return sonde_error_set(error, SONDE_STATUS_CANCELLED, "enough");
}

static void test_hook_failure_stops(void **state)
{
    int32_t ids[3] = { 1, 2, 3 };
    struct sonde_error error = { 0 };
    struct sonde_session *session = NULL;
    char *folder = model_make(&recipes[0]);
    struct sonde_model *model = capture_open(folder);
    const struct sonde_hook hook = { .observe = sonde_model_sites(model), .on_value = refuse };
    (void)state;
    check_ok(sonde_session_create(&session, model, NULL, &error), &error);
    const struct sonde_forward_args args = {
        .ids = ids, .n_tokens = 3, .hooks = &hook, .n_hooks = 1
    };
    assert_int_equal(sonde_forward(session, &args, &error), SONDE_STATUS_CANCELLED);
    assert_string_equal(error.text, "enough");
    sonde_session_destroy(&session);
    sonde_model_close(&model);
    model_remove(folder);
}

/* Rows once, then tile after tile, or entries one by one: the same logits up to the roundings of
 * products of other sizes. */
static void check_tiles(const struct sonde_model *model, const float *x, const float *logits)
{
    struct sonde_arena *scratch = sonde_arena_create(0);
    struct sonde_error error = { 0 };
    const int64_t D = sonde_model_spec(model)->d_model;
    float *y = malloc(sizeof(float) * (size_t)(T * D)), *part = malloc(sizeof(float) * T * 50);
    const int32_t id[3] = { 49, 0, 21 }, outside = 50;
    check_ok(sonde_model_readout_rows(model, scratch, x, T, y, &error), &error);
    for (int first = 0; first < 50; first += 17) {
        const struct sonde_vocabulary_tile tile = { first, first + 17 < 50 ? 17 : 50 - first,
                                                    false };
        check_ok(sonde_model_unembed(model, scratch, y, T, tile, part, &error), &error);
        for (int i = 0; i < T * (int)tile.count; i++) {
            const int at = i / (int)tile.count * 50 + first + i % (int)tile.count;
            check_close(part[i], logits[at], 1e-5);
        }
    }
    check_ok(sonde_model_unembed_ids(model, scratch, y, T, id, 3, part, &error), &error);
    for (int i = 0; i < T * 3; i++) {
        check_close(part[i], logits[i / 3 * 50 + id[i % 3]], 1e-5);
    }
    assert_int_equal(sonde_model_unembed_ids(model, scratch, y, T, &outside, 1, part, &error),
                     SONDE_STATUS_ARGUMENT);
    assert_string_equal(error.text, "vocabulary entry 50 of 50");
    free(y);
    free(part);
    sonde_arena_destroy(&scratch);
}

/* The lens at the last layer is the model's logits, bit by bit, and so is any part of it. */
static void test_readout(void **state)
{
    struct model_recipe with_bert[N_RECIPES + 1];
    (void)state;
    memcpy(with_bert, recipes, sizeof recipes);
    with_bert[N_RECIPES] = (struct model_recipe){
        .family = "bert", .D = 18, .H = 3, .F = 29, .L = 2, .V = 50, .n_ctx = 200
    };
    for (int r = 0; r <= N_RECIPES; r++) {
        int32_t ids[T];
        struct sonde_error error = { 0 };
        struct capture c;
        char *folder = model_make(&with_bert[r]);
        struct sonde_model *model = capture_open(folder);
        struct sonde_arena *scratch = sonde_arena_create(0);
        float *logits = malloc(sizeof(float) * T * 50);
        fill_ids(ids, T);
        capture_run(&c, model, ids, NULL, T, NULL, NULL);
        const struct captured *last =
            capture_find(&c, (struct sonde_site){ SONDE_SITE_RESID_POST, 1 });
        const struct captured *whole =
            capture_find(&c, (struct sonde_site){ SONDE_SITE_LOGITS, -1 });
        check_ok(sonde_model_readout(model, scratch, last->value, T, 0, 0, logits, &error), &error);
        assert_memory_equal(logits, whole->value, sizeof(float) * T * 50);
        check_ok(sonde_model_readout(model, scratch, last->value, T, 13, 20, logits, &error),
                 &error);
        for (int t = 0; t < T; t++) {
            for (int v = 0; v < 20; v++) {
                check_close(logits[t * 20 + v], whole->value[t * 50 + 13 + v], 1e-5);
            }
        }
        assert_int_equal(
            sonde_model_readout(model, scratch, last->value, T, 40, 20, logits, &error),
            SONDE_STATUS_ARGUMENT);
        check_tiles(model, last->value, whole->value);
        free(logits);
        sonde_arena_destroy(&scratch);
        capture_free(&c);
        sonde_model_close(&model);
        model_remove(folder);
    }
}

/* Stopping after k blocks gives the same values for these, and no more. */
static void test_stop(void **state)
{
    int32_t ids[5] = { 1, 2, 3, 4, 5 };
    struct sonde_error error = { 0 };
    struct sonde_session *session = NULL;
    char *folder = model_make(&recipes[0]);
    struct sonde_model *model = capture_open(folder);
    int n_calls = 0;
    const struct sonde_hook hook = { .edit = sonde_model_sites(model),
                                     .on_edit = edit_nothing,
                                     .ctx = &n_calls };
    (void)state;
    check_ok(sonde_session_create(&session, model, NULL, &error), &error);
    struct sonde_forward_args args = {
        .ids = ids, .n_tokens = 5, .hooks = &hook, .n_hooks = 1, .stop_after_layer = 1
    };
    check_ok(sonde_forward(session, &args, &error), &error);
    int in_block = 0;
    struct sonde_site site;
    for (int64_t i = 0; sonde_site_set_next(sonde_model_sites(model), &i, &site);) {
        in_block += site.layer == 0;
    }
    assert_int_equal(n_calls, 1 + in_block);
    /* What a pass cannot take is refused before anything runs. */
    args.n_tokens = 0;
    assert_int_equal(sonde_forward(session, &args, &error), SONDE_STATUS_ARGUMENT);
    ids[2] = 50;
    args.n_tokens = 5;
    assert_int_equal(sonde_forward(session, &args, &error), SONDE_STATUS_ARGUMENT);
    assert_string_equal(error.text, "token 2 has id 50, the vocabulary has 50");
    ids[2] = -1;
    assert_int_equal(sonde_forward(session, &args, &error), SONDE_STATUS_ARGUMENT);
    sonde_session_destroy(&session);
    sonde_model_close(&model);
    model_remove(folder);
}

/* The plan is an upper bound of what a pass takes, and close enough to be of use. */
static void test_plan(void **state)
{
    (void)state;
    for (int r = 0; r < N_RECIPES; r++) {
        int32_t ids[T];
        struct sonde_error error = { 0 };
        char *folder = model_make(&recipes[r]);
        struct sonde_model *model = capture_open(folder);
        const struct sonde_site_set none = { 0 };
        const struct sonde_site_set *const sets[] = { &none, sonde_model_sites(model) };
        fill_ids(ids, T);
        for (int s = 0; s < 2; s++) {
            struct sonde_session *session = NULL;
            int n_calls = 0;
            const struct sonde_hook hook = { .observe = sets[s], .ctx = &n_calls };
            int64_t plan = sonde_session_plan_bytes(model, T, sets[s]);
            check_ok(sonde_session_create(
                         &session, model,
                         &(struct sonde_session_options){ .max_bytes = (size_t)plan }, &error),
                     &error);
            const struct sonde_forward_args args = {
                .ids = ids, .n_tokens = T, .hooks = &hook, .n_hooks = 1, .no_logits = true
            };
            check_ok(sonde_forward(session, &args, &error), &error);
            assert_true(sonde_session_peak_bytes(session) <= plan);
            assert_true(plan <= 4 * sonde_session_peak_bytes(session) + (4 << 20));
            sonde_session_destroy(&session);
            /* and far too little memory is an error, not a crash */
            check_ok(sonde_session_create(&session, model,
                                          &(struct sonde_session_options){ .max_bytes = 20000 },
                                          &error),
                     &error);
            assert_int_equal(sonde_forward(session, &args, &error), SONDE_STATUS_LIMIT);
            sonde_session_destroy(&session);
        }
        sonde_model_close(&model);
        model_remove(folder);
    }
}

/* The same where the values of a long sequence, and not the ops' own scratch, are what counts. */
static void test_plan_long(void **state)
{
    enum { LONG = 3000 };
    const struct model_recipe recipe = {
        .family = "llama", .D = 64, .H = 4, .F = 10, .L = 1, .V = 50, .n_ctx = LONG
    };
    const struct sonde_site_set none = { 0 };
    static int32_t ids[LONG];
    struct sonde_error error = { 0 };
    struct sonde_session *session = NULL;
    char *folder = model_make(&recipe);
    struct sonde_model *model = capture_open(folder);
    (void)state;
    fill_ids(ids, LONG);
    int64_t plan = sonde_session_plan_bytes(model, LONG, &none);
    check_ok(sonde_session_create(&session, model, NULL, &error), &error);
    const struct sonde_forward_args args = { .ids = ids, .n_tokens = LONG, .no_logits = true };
    check_ok(sonde_forward(session, &args, &error), &error);
    assert_true(sonde_session_peak_bytes(session) <= plan);
    assert_true(plan <= 2 * sonde_session_peak_bytes(session));
    sonde_session_destroy(&session);
    sonde_model_close(&model);
    model_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_causality),
        cmocka_unit_test(test_sums),
        cmocka_unit_test(test_observing_changes_nothing),
        cmocka_unit_test(test_noop_edit),
        cmocka_unit_test(test_edits_are_used),
        cmocka_unit_test(test_scale_edit),
        cmocka_unit_test(test_hook_failure_stops),
        cmocka_unit_test(test_readout),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_plan),
        cmocka_unit_test(test_plan_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
