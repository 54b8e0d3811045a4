/* Edits against closed forms: what each kind leaves, where it works, and that nothing else moves.
 */
#include <string.h>

#include "tests/reference/edit_bench.h"
#include "tests/support/check.h"

static void run_edits(const struct edit_bench *x, struct sonde_edits *edits, struct capture *out)
{
    struct sonde_edit_pass pass = { .edits = edits };
    struct sonde_hook hook = sonde_edits_hook(&pass);
    capture_run_hooked(out, x->model, x->a, T, &hook, 1);
    sonde_edits_destroy(&edits);
}

static void run_one(const struct edit_bench *x, const char *text, struct capture *out)
{
    run_edits(x, edit_bench_make(x, &text, 1, NULL), out);
}

static const float *at(const struct capture *c, enum sonde_site_kind kind, int layer)
{
    const struct captured *found = capture_find(c, (struct sonde_site){ kind, layer });
    assert_non_null(found);
    return found->value;
}

/* Every site of a, whatever the order in which a pass showed them. */
static void check_same(const struct capture *a, const struct capture *b)
{
    char name[SONDE_SITE_NAME_MAX];
    assert_int_equal(a->n, b->n);
    for (int i = 0; i < a->n; i++) {
        const struct captured *other = capture_find(b, a->item[i].site);
        assert_non_null(other);
        assert_int_equal(a->item[i].n, other->n);
        if (memcmp(a->item[i].value, other->value, (size_t)a->item[i].n * sizeof(float))) {
            fprintf(stderr, "# %s differs\n", sonde_site_format(a->item[i].site, name));
            fail();
        }
    }
}

static void check_bits(const float *a, const float *b, int64_t n)
{
    assert_memory_equal(a, b, (size_t)n * sizeof *a);
}

/* Without attention the stream is the embedding plus the MLPs, added in order. */
static void test_zero(void **state)
{
    const struct model_recipe *const recipes[] = { &edit_bench_gpt2, &edit_bench_llama };
    (void)state;
    for (int r = 0; r < 2; r++) {
        struct edit_bench x;
        struct capture c;
        edit_bench_begin(&x, recipes[r]);
        run_one(&x, "zero blocks.*.hook_attn_out", &c);
        float sum[T * D];
        memcpy(sum, at(&c, SONDE_SITE_RESID_PRE, 0), sizeof sum);
        for (int l = 0; l < L; l++) {
            check_bits(at(&c, SONDE_SITE_RESID_MID, l), sum, T * D);
            for (int i = 0; i < T * D; i++) {
                assert_true(at(&c, SONDE_SITE_ATTN_OUT, l)[i] == 0.0f);
                sum[i] += at(&c, SONDE_SITE_MLP_OUT, l)[i];
            }
            check_bits(at(&c, SONDE_SITE_RESID_POST, l), sum, T * D);
        }
        assert_memory_not_equal(sum, at(&x.plain, SONDE_SITE_RESID_POST, L - 1), sizeof sum);
        capture_free(&c);
        edit_bench_end(&x);
    }
}

static void test_skip(void **state)
{
    const struct model_recipe *const recipes[] = { &edit_bench_gpt2, &edit_bench_neox };
    struct edit_bench x;
    struct capture c;
    (void)state;
    for (int r = 0; r < 2; r++) {
        edit_bench_begin(&x, recipes[r]);
        run_one(&x, "skip 1", &c);
        check_bits(at(&c, SONDE_SITE_RESID_POST, 1), at(&c, SONDE_SITE_RESID_PRE, 1), T * D);
        check_bits(at(&c, SONDE_SITE_RESID_PRE, 1), at(&x.plain, SONDE_SITE_RESID_PRE, 1), T * D);
        capture_free(&c);
        edit_bench_end(&x);
    }
    edit_bench_begin(&x, &edit_bench_gpt2);
    run_one(&x, "skip blocks.0-1.mlp[positions=2-]", &c);
    for (int l = 0; l < L; l++) {
        const float *post = at(&c, SONDE_SITE_RESID_POST, l),
                    *mid = at(&c, SONDE_SITE_RESID_MID, l);
        check_bits(post + 2 * D, mid + 2 * D, (T - 2) * D);
        assert_memory_not_equal(post, mid, D * sizeof *mid);
    }
    capture_free(&c);
    run_one(&x, "skip -1.attn", &c);
    check_bits(at(&c, SONDE_SITE_RESID_MID, 1), at(&c, SONDE_SITE_RESID_PRE, 1), T * D);
    assert_memory_not_equal(at(&c, SONDE_SITE_RESID_MID, 0), at(&c, SONDE_SITE_RESID_PRE, 0),
                            T * D * sizeof(float));
    capture_free(&c);
    edit_bench_end(&x);
}

/* x'.v of a projected row is what the rounding of its elements leaves, half an ulp each; the sums
 * in double add less than 2^-48 of the sum of the products' sizes. */
static void test_project_out_and_keep(void **state)
{
    struct edit_bench x;
    struct capture out, kept;
    (void)state;
    edit_bench_begin(&x, &edit_bench_gpt2);
    run_one(&x, "project-out hook_embed %v", &out);
    run_one(&x, "keep hook_embed '%v'", &kept);
    const float *before = at(&x.plain, SONDE_SITE_EMBED, -1);
    const float *p = at(&out, SONDE_SITE_EMBED, -1), *k = at(&kept, SONDE_SITE_EMBED, -1);
    for (int t = 0; t < T; t++) {
        double dot = 0, dot_before = 0, vv = 0, sizes = 0;
        for (int i = t * D; i < (t + 1) * D; i++) {
            double v = (double)x.v[i % D];
            dot += (double)p[i] * v;
            dot_before += (double)before[i] * v;
            vv += v * v;
            sizes += fabs((double)p[i] * v) * 0x1p-24 + fabs((double)before[i] * v) * 0x1p-48;
        }
        check_close(dot, 0, sizes);
        assert_true(fabs(dot_before) > 100 * sizes);
        for (int i = t * D; i < (t + 1) * D; i++) {
            double along = dot_before / vv * (double)x.v[i % D];
            check_close(k[i], along, fabs(along) * 0x1.1p-24);
            check_close((double)p[i] + (double)k[i], before[i],
                        (fabs((double)p[i]) + fabs((double)k[i])) * 0x1.1p-24);
        }
    }
    capture_free(&out);
    capture_free(&kept);
    edit_bench_end(&x);
}

/* The second reflection starts from rounded values: their errors come back mirrored. */
static void test_flip(void **state)
{
    const char *const twice[] = { "flip hook_embed %v", "flip hook_embed %v" };
    struct edit_bench x;
    struct capture one, two;
    (void)state;
    edit_bench_begin(&x, &edit_bench_gpt2);
    run_one(&x, twice[0], &one);
    run_edits(&x, edit_bench_make(&x, twice, 2, NULL), &two);
    const float *before = at(&x.plain, SONDE_SITE_EMBED, -1);
    const float *once = at(&one, SONDE_SITE_EMBED, -1), *back = at(&two, SONDE_SITE_EMBED, -1);
    for (int t = 0; t < T; t++) {
        double dot = 0, flipped = 0, vv = 0, error = 0, sizes = 0;
        for (int i = t * D; i < (t + 1) * D; i++) {
            double v = (double)x.v[i % D];
            dot += (double)before[i] * v;
            flipped += (double)once[i] * v;
            sizes += fabs((double)before[i] * v);
            error += fabs((double)once[i] * v) * 0x1p-24;
            vv += v * v;
        }
        check_close(flipped, -dot, error + sizes * 0x1p-48);
        for (int i = t * D; i < (t + 1) * D; i++) {
            double rounding = (fabs((double)once[i]) + fabs((double)back[i])) * 0x1.1p-24;
            check_close(back[i], before[i],
                        rounding + 2 * fabs((double)x.v[i % D]) / vv * (error + sizes * 0x1p-48));
        }
    }
    assert_memory_not_equal(once, before, T * D * sizeof *once);
    capture_free(&one);
    capture_free(&two);
    edit_bench_end(&x);
}

/* Only the named heads, neurons and positions change. */
static void test_restrictions(void **state)
{
    struct edit_bench x;
    struct capture c;
    (void)state;
    edit_bench_begin(&x, &edit_bench_gpt2);
    run_one(&x, "set blocks.0.attn.hook_z[heads=0,2; neurons=5-; positions=3-4,19-] 0.25", &c);
    const float *z = at(&c, SONDE_SITE_Z, 0), *was = at(&x.plain, SONDE_SITE_Z, 0);
    for (int i = 0; i < T * H * E; i++) {
        int t = i / (H * E), h = i / E % H, e = i % E;
        bool chosen = h != 1 && e >= 5 && (t == 3 || t == 4 || t >= 19);
        check_bits(&z[i], chosen ? &(float){ 0.25f } : &was[i], 1);
    }
    capture_free(&c);
    run_one(&x, "set blocks.1.mlp.hook_post[12] -2", &c);
    for (int i = 0; i < T * F; i++) {
        const float *old = &at(&c, SONDE_SITE_MLP_PRE, 1)[i];
        assert_non_null(old);
        check_bits(&at(&c, SONDE_SITE_MLP_POST, 1)[i],
                   i % F == 12 ? &(float){ -2.0f } : &at(&x.plain, SONDE_SITE_MLP_POST, 1)[i], 1);
    }
    capture_free(&c);
    /* A head's own direction, in that head only, over some of its places. */
    run_one(&x, "project-out blocks.0.attn.hook_z[heads=1;neurons=0-3] %h", &c);
    z = at(&c, SONDE_SITE_Z, 0);
    for (int t = 0; t < T; t++) {
        double dot = 0, sizes = 0;
        for (int i = t * H * E; i < (t + 1) * H * E; i++) {
            if (i / E % H == 1 && i % E < 4) {
                dot += (double)z[i] * (double)x.v[i % E];
                sizes += fabs((double)z[i] * (double)x.v[i % E]) * 0x1p-24;
                sizes += fabs((double)was[i] * (double)x.v[i % E]) * 0x1p-48;
            } else {
                check_bits(&z[i], &was[i], 1);
            }
        }
        check_close(dot, 0, sizes);
    }
    capture_free(&c);
    edit_bench_end(&x);
}

/* Post-norm blocks: a skipped part adds nothing, and the norm behind it still works; an encoder's
 * queries see keys on both sides, so edits reach them there. */
static void test_encoder(void **state)
{
    struct edit_bench x;
    struct capture c;
    (void)state;
    edit_bench_begin(&x, &edit_bench_bert);
    run_one(&x, "skip 0.attn", &c);
    check_bits(at(&c, SONDE_SITE_RESID_MID, 0), at(&c, SONDE_SITE_RESID_PRE, 0), T * D);
    assert_memory_not_equal(at(&c, SONDE_SITE_NORMALIZED_RESID_MID, 0),
                            at(&c, SONDE_SITE_RESID_MID, 0), T * D * sizeof(float));
    capture_free(&c);
    run_one(&x, "skip 1.mlp", &c);
    check_bits(at(&c, SONDE_SITE_RESID_POST_BEFORE_LN2, 1),
               at(&c, SONDE_SITE_NORMALIZED_RESID_MID, 1), T * D);
    check_bits(at(&c, SONDE_SITE_NORMALIZED_RESID_MID, 1),
               at(&x.plain, SONDE_SITE_NORMALIZED_RESID_MID, 1), T * D);
    capture_free(&c);
    run_one(&x, "zero blocks.0.attn.hook_pattern[heads=1;positions=3;keys=9-]", &c);
    const float *p = at(&c, SONDE_SITE_PATTERN, 0), *was = at(&x.plain, SONDE_SITE_PATTERN, 0);
    const float *z = at(&c, SONDE_SITE_Z, 0), *v = at(&c, SONDE_SITE_V, 0);
    for (int i = 0; i < H * T * T; i++) {
        const bool chosen = i / (T * T) == 1 && i / T % T == 3 && i % T >= 9;
        assert_true(was[i] > 0.0f);
        check_bits(&p[i], chosen ? &(float){ 0.0f } : &was[i], 1);
    }
    for (int e = 0; e < E; e++) {
        double sum = 0.0, sizes = 0.0;
        for (int k = 0; k < 9; k++) {
            const double share = (double)p[(T + 3) * T + k] * (double)v[(k * H + 1) * E + e];
            sum += share;
            sizes += fabs(share);
        }
        check_close(z[(3 * H + 1) * E + e], sum, sizes * 16 * 0x1p-24);
    }
    capture_free(&c);
    edit_bench_end(&x);
}

/* Edits of one site apply in the order given. */
static void test_order(void **state)
{
    const char *const first[] = { "set hook_embed 1", "add hook_embed %v 2" };
    const char *const second[] = { "add hook_embed %v 2", "set hook_embed 1" };
    struct edit_bench x;
    struct capture a, b;
    (void)state;
    edit_bench_begin(&x, &edit_bench_gpt2);
    run_edits(&x, edit_bench_make(&x, first, 2, NULL), &a);
    run_edits(&x, edit_bench_make(&x, second, 2, NULL), &b);
    for (int i = 0; i < T * D; i++) {
        float sum = (float)(1.0 + 2.0 * (double)x.v[i % D]);
        check_bits(&at(&a, SONDE_SITE_EMBED, -1)[i], &sum, 1);
        assert_true(at(&b, SONDE_SITE_EMBED, -1)[i] == 1.0f);
    }
    capture_free(&a);
    capture_free(&b);
    edit_bench_end(&x);
}

/* Values of a run that is held in memory: one sequence. */
static enum sonde_status from_capture(void *ctx, const char *run, int64_t sequence,
                                      struct sonde_site site, int64_t width, int64_t *n_tokens,
                                      float **out, struct sonde_error *error)
{
    const struct captured *c = capture_find(ctx, site);
    (void)error;
    assert_string_equal(run, "other:run");
    assert_int_equal(sequence, 0);
    assert_non_null(c);
    assert_int_equal(c->n % (width * T), 0);
    *n_tokens = T;
    *out = malloc((size_t)c->n * sizeof **out);
    memcpy(*out, c->value, (size_t)c->n * sizeof **out);
    return SONDE_STATUS_OK;
}

static enum sonde_status mean_of_capture(void *ctx, const char *run, struct sonde_site site,
                                         int64_t width, float *out, struct sonde_error *error)
{
    const struct captured *c = capture_find(ctx, site);
    (void)error;
    assert_null(run);
    for (int64_t i = 0; i < width; i++) {
        double sum = 0;
        for (int t = 0; t < T; t++) {
            sum += (double)c->value[t * width + i];
        }
        out[i] = (float)(sum / T);
    }
    return SONDE_STATUS_OK;
}

/* What is patched at the input or everywhere makes the pass that of the other text, to the bit;
 * a text patched into itself changes none. */
static void test_patch(void **state)
{
    const char *const everywhere = "patch *,-logits from other:run:0";
    const char *const input[] = { "patch hook_embed from other:run:0" };
    const char *const half[] = { "patch blocks.1.hook_resid_pre[positions=0-9] from other:run:0" };
    const struct model_recipe *const recipes[] = { &edit_bench_gpt2, &edit_bench_llama,
                                                   &edit_bench_neox, &edit_bench_bert };
    (void)state;
    for (int r = 0; r < 4; r++) {
        struct edit_bench x;
        struct capture b, c;
        edit_bench_begin(&x, recipes[r]);
        capture_run_hooked(&b, x.model, x.b, T, NULL, 0);
        struct sonde_edit_values values = { &b, mean_of_capture, from_capture };
        struct sonde_edits_options options = { .values = &values };
        run_edits(&x, edit_bench_make(&x, &everywhere, 1, &options), &c);
        check_same(&c, &b);
        capture_free(&c);
        run_edits(&x, edit_bench_make(&x, input, 1, &options), &c);
        check_same(&c, &b);
        capture_free(&c);
        run_edits(&x, edit_bench_make(&x, half, 1, &options), &c);
        const float *row = at(&c, SONDE_SITE_RESID_PRE, 1);
        check_bits(row, at(&b, SONDE_SITE_RESID_PRE, 1), 10 * D);
        check_bits(row + 10 * D, at(&x.plain, SONDE_SITE_RESID_PRE, 1) + 10 * D, (T - 10) * D);
        capture_free(&c);
        values.ctx = &x.plain;
        run_edits(&x, edit_bench_make(&x, &everywhere, 1, &options), &c);
        check_same(&c, &x.plain);
        capture_free(&c);
        capture_free(&b);
        edit_bench_end(&x);
    }
}

static void test_mean(void **state)
{
    const char *const text[] = { "mean blocks.0.hook_mlp_out[positions=4-]" };
    struct edit_bench x;
    struct capture c;
    float mean[D];
    (void)state;
    edit_bench_begin(&x, &edit_bench_gpt2);
    struct sonde_edit_values values = { &x.plain, mean_of_capture, from_capture };
    struct sonde_edits_options options = { .values = &values };
    run_edits(&x, edit_bench_make(&x, text, 1, &options), &c);
    assert_int_equal(mean_of_capture(&x.plain, NULL, (struct sonde_site){ SONDE_SITE_MLP_OUT, 0 },
                                     D, mean, NULL),
                     SONDE_STATUS_OK);
    const float *got = at(&c, SONDE_SITE_MLP_OUT, 0);
    check_bits(got, at(&x.plain, SONDE_SITE_MLP_OUT, 0), 4 * D);
    for (int t = 4; t < T; t++) {
        check_bits(got + t * D, mean, D);
    }
    capture_free(&c);
    edit_bench_end(&x);
}

/* Edits that change nothing change no bit of anything. */
static void test_noop(void **state)
{
    static const char *const texts[] = {
        "add blocks.*.hook_resid_post,hook_embed %v 0",
        "zero blocks.*.hook_attn_out[positions=21-]",
        "set *.hook_attn_scores[positions=21-] 3",
        "zero *.hook_pattern[positions=5;keys=6-]", /* what the mask hides is 0 and stays so */
        "set *.hook_pattern[positions=5;keys=6-] 1",
        "set *.hook_attn_scores[positions=5;keys=6-] 1",
        "skip *[positions=99]",
    };
    const struct model_recipe *const recipes[] = { &edit_bench_gpt2, &edit_bench_llama,
                                                   &edit_bench_bert };
    (void)state;
    for (int r = 0; r < 3; r++) {
        struct edit_bench x;
        edit_bench_begin(&x, recipes[r]);
        for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
            struct capture c;
            run_one(&x, texts[i], &c);
            if (r == 2 && strstr(texts[i], "keys=6-")) { /* without a mask there is something */
                assert_memory_not_equal(at(&c, SONDE_SITE_Z, 0), at(&x.plain, SONDE_SITE_Z, 0),
                                        T * D * sizeof(float));
            } else {
                check_same(&c, &x.plain);
            }
            capture_free(&c);
        }
        edit_bench_end(&x);
    }
}

/* One map row: the head's mix is then of the other keys only, as the pattern says. */
static void test_maps(void **state)
{
    struct edit_bench x;
    struct capture c;
    (void)state;
    edit_bench_begin(&x, &edit_bench_gpt2);
    run_one(&x, "zero blocks.0.attn.hook_pattern[heads=1;positions=7;keys=2-4]", &c);
    const float *p = at(&c, SONDE_SITE_PATTERN, 0), *was = at(&x.plain, SONDE_SITE_PATTERN, 0);
    const float *v = at(&c, SONDE_SITE_V, 0), *z = at(&c, SONDE_SITE_Z, 0);
    for (int i = 0; i < H * T * T; i++) {
        int h = i / (T * T), q = i / T % T, k = i % T;
        bool chosen = h == 1 && q == 7 && k >= 2 && k <= 4;
        check_bits(&p[i], chosen ? &(float){ 0.0f } : &was[i], 1);
    }
    for (int e = 0; e < E; e++) {
        double sum = 0, sizes = 0;
        for (int k = 0; k <= 7; k++) {
            double share = (double)p[(T + 7) * T + k] * (double)v[(k * H + 1) * E + e];
            sum += share;
            sizes += fabs(share);
        }
        check_close(z[(7 * H + 1) * E + e], sum, sizes * 8 * 0x1p-23);
    }
    /* A score of 100 more than all others draws the whole weight. */
    capture_free(&c);
    run_one(&x, "set blocks.0.attn.hook_attn_scores[heads=0;positions=9;keys=5] 500", &c);
    check_close(at(&c, SONDE_SITE_PATTERN, 0)[9 * T + 5], 1, 0);
    capture_free(&c);
    edit_bench_end(&x);
}

static enum sonde_status keep_row(void *ctx, struct sonde_site site,
                                  const struct sonde_tensor *value, struct sonde_error *error)
{
    (void)site;
    (void)error;
    memcpy(ctx, value->data, (size_t)sonde_tensor_elements(value) * sizeof(float));
    return SONDE_STATUS_OK;
}

/* With a cache, positions count from the beginning of the text and not of the pass. */
static void test_cache(void **state)
{
    const char *const texts[] = { "set blocks.0.hook_mlp_out[positions=6,8] 0.5",
                                  "zero blocks.1.attn.hook_pattern[positions=8;keys=3-5]" };
    struct sonde_error error = { 0 };
    struct sonde_session *session = NULL;
    struct sonde_site_set watched = { 0 };
    struct edit_bench x;
    struct capture whole;
    float row[T * D], piece[T * D];
    (void)state;
    edit_bench_begin(&x, &edit_bench_llama);
    run_edits(&x, edit_bench_make(&x, texts, 2, NULL), &whole);
    struct sonde_edit_pass pass = { .edits = edit_bench_make(&x, texts, 2, NULL) };
    const struct sonde_site last = { SONDE_SITE_RESID_POST, L - 1 };
    sonde_site_set_add(&watched, last);
    const struct sonde_hook hooks[] = {
        sonde_edits_hook(&pass), { .observe = &watched, .on_value = keep_row, .ctx = piece }
    };
    check_ok(sonde_session_create(&session, x.model,
                                  &(struct sonde_session_options){ .cache = true }, &error),
             &error);
    for (int t = 0; t < T; t += t ? 1 : 5) {
        const struct sonde_forward_args args = {
            .ids = x.a + t, .n_tokens = t ? 1 : 5, .hooks = hooks, .n_hooks = 2, .no_logits = true
        };
        pass.first = sonde_session_cached(session);
        check_ok(sonde_forward(session, &args, &error), &error);
        memcpy(row + t * D, piece, (size_t)args.n_tokens * D * sizeof *row);
    }
    /* One row at a time may sum in another order: some hundred roundings of values of this size. */
    double most = 0, moved = 0;
    const float *expected = at(&whole, SONDE_SITE_RESID_POST, L - 1);
    for (int i = 0; i < T * D; i++) {
        most = fmax(most, fabs((double)expected[i]));
        double change = (double)expected[i] - (double)at(&x.plain, SONDE_SITE_RESID_POST, L - 1)[i];
        moved = fmax(moved, fabs(change));
    }
    for (int i = 0; i < T * D; i++) {
        check_close(row[i], expected[i], most * 256 * 0x1p-24);
    }
    assert_true(moved > most * 4096 * 0x1p-24);
    struct sonde_edits *edits = (struct sonde_edits *)(uintptr_t)pass.edits;
    sonde_edits_destroy(&edits);
    sonde_session_destroy(&session);
    capture_free(&whole);
    edit_bench_end(&x);
}

/* A control's direction has the norm of the one it stands for, and is another one. */
static void test_control(void **state)
{
    const char *const texts[] = { "set hook_embed 0", "add hook_embed[neurons=3-] %v 1" };
    struct edit_bench x;
    struct capture draw[4];
    (void)state;
    edit_bench_begin(&x, &edit_bench_gpt2);
    double norm2 = 0;
    for (int i = 3; i < D; i++) {
        norm2 += (double)x.v[i] * (double)x.v[i];
    }
    for (int k = 0; k < 4; k++) { /* the fourth is the first again */
        struct sonde_edits_options options = { .control = k % 3 + 1, .seed = 42 };
        run_edits(&x, edit_bench_make(&x, texts, 2, &options), &draw[k]);
        const float *row = at(&draw[k], SONDE_SITE_EMBED, -1);
        double seen = 0, dot = 0;
        for (int i = 0; i < D; i++) {
            seen += (double)row[i] * (double)row[i];
            dot += (double)row[i] * (double)x.v[i];
            assert_true(i >= 3 || row[i] == 0.0f);
        }
        check_close(seen, norm2, norm2 * 0x1p-22);
        assert_true(fabs(dot) < 0.9 * norm2);
    }
    check_same(&draw[0], &draw[3]);
    for (int k = 1; k < 3; k++) {
        assert_memory_not_equal(at(&draw[0], SONDE_SITE_EMBED, -1),
                                at(&draw[k], SONDE_SITE_EMBED, -1), D * sizeof(float));
    }
    for (int k = 0; k < 4; k++) {
        capture_free(&draw[k]);
    }
    edit_bench_end(&x);
}

/* A control of an edit without a direction changes as many other neurons, or heads. */
static void test_control_of_places(void **state)
{
    const char *const neurons = "zero blocks.*.mlp.hook_post[neurons=0-4;positions=3-]";
    const char *const heads = "zero blocks.0.attn.hook_z[heads=1;positions=3-]";
    struct edit_bench x;
    struct capture draw[5];
    int n_as_given = 0;
    (void)state;
    edit_bench_begin(&x, &edit_bench_gpt2);
    for (int k = 0; k < 5; k++) { /* the fifth is the first again */
        struct sonde_edits_options options = { .control = k % 4 + 1, .seed = 42 };
        run_edits(&x, edit_bench_make(&x, &neurons, 1, &options), &draw[k]);
        const float *post = at(&draw[k], SONDE_SITE_MLP_POST, 0);
        bool as_given = true;
        int n_zero = 0;
        check_bits(post, at(&x.plain, SONDE_SITE_MLP_POST, 0), 3 * F);
        for (int i = 0; i < F; i++) {
            n_zero += post[3 * F + i] == 0.0f;
            as_given = as_given && (post[3 * F + i] == 0.0f) == (i < 5);
            assert_true((post[3 * F + i] == 0.0f) == (post[9 * F + i] == 0.0f));
        }
        assert_int_equal(n_zero, 5);
        n_as_given += as_given;
    }
    assert_true(n_as_given < 2); /* one of 658008 is the given one */
    check_same(&draw[0], &draw[4]);
    assert_memory_not_equal(at(&draw[0], SONDE_SITE_MLP_POST, 0),
                            at(&draw[1], SONDE_SITE_MLP_POST, 0), T * F * sizeof(float));
    for (int k = 0; k < 5; k++) {
        capture_free(&draw[k]);
    }
    bool seen[H] = { false };
    for (int k = 1; k <= 12; k++) {
        struct sonde_edits_options options = { .control = k, .seed = 42 };
        run_edits(&x, edit_bench_make(&x, &heads, 1, &options), &draw[0]);
        int n_zero = 0;
        for (int h = 0; h < H; h++) {
            const float *z = at(&draw[0], SONDE_SITE_Z, 0) + (5 * H + h) * E;
            n_zero += z[0] == 0.0f && z[E - 1] == 0.0f;
            seen[h] = seen[h] || z[0] == 0.0f;
        }
        assert_int_equal(n_zero, 1);
        capture_free(&draw[0]);
    }
    assert_true(seen[0] && seen[1] && seen[2]);
    edit_bench_end(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_zero),    cmocka_unit_test(test_skip),
        cmocka_unit_test(test_encoder), cmocka_unit_test(test_project_out_and_keep),
        cmocka_unit_test(test_flip),    cmocka_unit_test(test_restrictions),
        cmocka_unit_test(test_order),   cmocka_unit_test(test_patch),
        cmocka_unit_test(test_mean),    cmocka_unit_test(test_noop),
        cmocka_unit_test(test_maps),    cmocka_unit_test(test_cache),
        cmocka_unit_test(test_control), cmocka_unit_test(test_control_of_places),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
