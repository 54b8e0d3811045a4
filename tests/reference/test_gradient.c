/* Gradients of whole models: weights against differences of the double-precision pass, every site
 * against differences of edited passes, and dL/dW = sum of x^T delta. */
#include <string.h>

#include "core/model/gradient.h"
#include "core/tensor/tape.h"
#include "tests/reference/ref_forward.h"
#include "tests/reference/site_capture.h"
#include "tests/support/check.h"
#include "tests/unit/model/model_maker.h"

enum { T_MAX = 16, WEIGHTS_MAX = 128 };

struct wanted {
    const struct sonde_weight *w;
    float *gradient; /* [rows, columns] */
};
struct subject {
    struct sonde_model *model;
    struct wanted wanted[WEIGHTS_MAX];
    int n_wanted;
    int32_t ids[T_MAX];
    int T;
    struct sonde_loss loss;
    int32_t targets[T_MAX]; /* what every loss here is: the mean over rows with a target */
    struct capture sites;   /* gradients */
    double value;
    bool checkpoints; /* how it is run */
    size_t max_bytes;
    int64_t peak;
};

static void want(struct subject *s, const struct sonde_weight *w)
{
    for (int i = 0; i < s->n_wanted; i++) {
        if (s->wanted[i].w->data == w->data) {
            return; /* tied */
        }
    }
    if (sonde_weight_present(w)) {
        assert_true(s->n_wanted < WEIGHTS_MAX);
        s->wanted[s->n_wanted++] =
            (struct wanted){ w, calloc((size_t)(w->rows * w->columns), sizeof(float)) };
    }
}

static void want_all(struct subject *s)
{
    const struct sonde_weights *w = sonde_model_weights(s->model);
    const struct sonde_weight *const global[] = {
        &w->embed,         &w->pos_embed,     &w->token_type,      &w->embed_ln_gain,
        &w->embed_ln_bias, &w->ln_final_gain, &w->ln_final_bias,   &w->unembed,
        &w->unembed_bias,  &w->head_dense,    &w->head_dense_bias, &w->head_ln_gain,
        &w->head_ln_bias,  &w->relative_bias,
    };
    for (size_t i = 0; i < sizeof global / sizeof *global; i++) {
        want(s, global[i]);
    }
    for (int l = 0; l < sonde_model_spec(s->model)->n_layers; l++) {
        const struct sonde_layer_weights *b = &w->layer[l];
        const struct sonde_weight *const each[] = {
            &b->ln1_gain, &b->ln1_bias, &b->ln2_gain, &b->ln2_bias, &b->w_q,
            &b->w_k,      &b->w_v,      &b->w_o,      &b->b_q,      &b->b_k,
            &b->b_v,      &b->b_o,      &b->w_gate,   &b->w_up,     &b->w_down,
            &b->b_gate,   &b->b_up,     &b->b_down,   &b->relative,
        };
        for (size_t i = 0; i < sizeof each / sizeof *each; i++) {
            want(s, each[i]);
        }
    }
}

static enum sonde_status keep(void *ctx, struct sonde_site site, const struct sonde_tensor *value,
                              struct sonde_error *error)
{
    struct capture *c = ctx;
    const int64_t n = sonde_tensor_elements(value);
    (void)error;
    c->item = realloc(c->item, (size_t)(c->n + 1) * sizeof *c->item);
    assert_non_null(c->item);
    c->item[c->n] = (struct captured){ site, malloc((size_t)n * sizeof(float)), n };
    memcpy(c->item[c->n++].value, value->data, (size_t)n * sizeof(float));
    return SONDE_STATUS_OK;
}

static int64_t plan_of(const struct subject *s, struct sonde_pool *pool, bool by_layer)
{
    const struct sonde_site_set *sites = sonde_model_sites(s->model);
    const int n = sonde_pool_threads(pool);
    return by_layer ? sonde_gradient_plan_checkpoint_bytes(s->model, s->T, n, sites)
                    : sonde_gradient_plan_bytes(s->model, s->T, n, sites);
}

/* Runs the subject's gradients, of all weights and sites, into its wanted buffers and sites. */
static void run_gradient(struct subject *s, struct sonde_pool *pool)
{
    struct sonde_error error = { 0 };
    struct sonde_session *session = NULL;
    struct sonde_gradient *gradient = NULL;
    const struct sonde_session_options options = { .pool = pool };
    const struct sonde_gradient_args args = { .ids = s->ids,
                                              .n_tokens = s->T,
                                              .loss = s->loss,
                                              .sites = sonde_model_sites(s->model),
                                              .on_gradient = keep,
                                              .ctx = &s->sites,
                                              .checkpoints = s->checkpoints };
    check_ok(sonde_session_create(&session, s->model, &options, &error), &error);
    check_ok(sonde_gradient_create(&gradient, session, s->max_bytes, &error), &error);
    for (int i = 0; i < s->n_wanted; i++) {
        const struct sonde_weight *w = s->wanted[i].w;
        memset(s->wanted[i].gradient, 0, (size_t)(w->rows * w->columns) * sizeof(float));
        check_ok(sonde_gradient_want(gradient, w, s->wanted[i].gradient, &error), &error);
    }
    s->sites = (struct capture){ 0 };
    check_ok(sonde_gradient_run(gradient, &args, &s->value, &error), &error);
    assert_int_equal(s->sites.n, sonde_site_set_count(args.sites));
    const bool by_layer = s->checkpoints || s->max_bytes > 0;
    assert_int_equal(sonde_gradient_used_checkpoints(gradient), by_layer);
    const int64_t peak = s->peak = sonde_gradient_peak_bytes(gradient);
    const int64_t plan = plan_of(s, pool, by_layer);
    if (peak > plan || peak <= 0) {
        fprintf(stderr, "# the tape took %lld bytes of %lld planned\n", (long long)peak,
                (long long)plan);
        fail();
    }
    sonde_gradient_destroy(&gradient);
    sonde_session_destroy(&session);
}

static void subject_open(struct subject *s, const char *folder, int n_tokens, bool encoder)
{
    *s = (struct subject){ .model = capture_open(folder), .T = n_tokens };
    const int V = (int)sonde_model_spec(s->model)->d_vocab;
    for (int t = 0; t < s->T; t++) {
        s->ids[t] = (t * 7 + 3) % V;
        if (t > 0 && !encoder) {
            s->targets[t - 1] = s->ids[t];
        }
        if (encoder) {
            s->targets[t] = t % 3 == 1 ? -1 : (t * 5 + 1) % V;
        }
    }
    s->targets[s->T - 1] = encoder ? 2 : -1;
    s->loss.kind = encoder ? SONDE_LOSS_TARGETS : SONDE_LOSS_NEXT_TOKEN;
    s->loss.targets = encoder ? s->targets : NULL;
    want_all(s);
    run_gradient(s, NULL);
}

static void subject_close(struct subject *s)
{
    for (int i = 0; i < s->n_wanted; i++) {
        free(s->wanted[i].gradient);
    }
    capture_free(&s->sites);
    sonde_model_close(&s->model);
}

/* The mean of log sum exp - logit over the rows with a target; logits from double or float. */
static double loss_of(const struct subject *s, const double *wide, const float *narrow)
{
    const int64_t V = sonde_model_spec(s->model)->d_vocab;
    double sum = 0.0;
    int n = 0;
    for (int t = 0; t < s->T; t++) {
        double total = 0.0;
        for (int64_t i = 0; i < V && s->targets[t] >= 0; i++) {
            total += exp(wide ? wide[t * V + i] : (double)narrow[t * V + i]);
        }
        if (s->targets[t] >= 0) {
            const int64_t at = t * V + s->targets[t];
            sum += log(total) - (wide ? wide[at] : (double)narrow[at]);
            n++;
        }
    }
    return sum / n;
}

static double reference_loss(const struct subject *s, const struct ref_model *ref)
{
    struct ref_trace trace = { 0 };
    ref_forward(ref, s->ids, NULL, s->T, &trace);
    const double loss = loss_of(s, ref_trace_find(&trace, "logits")->value, NULL);
    ref_trace_free(&trace);
    return loss;
}

/* The one element of the files that has this value; NULL where there are none or several. */
static double *find_value(struct ref_model *ref, double value)
{
    double *found = NULL;
    for (int i = 0; i < ref->tensors.n; i++) {
        const struct ref_tensor *t = &ref->tensors.item[i];
        for (int64_t j = 0; j < t->n; j++) {
            if (t->value[j] == value && found) {
                return NULL;
            }
            found = t->value[j] == value ? &t->value[j] : found;
        }
    }
    return found;
}

/*
 * Elements of every weight. Which element of the files one is, is found by its value, whatever was
 * split, transposed or tied. Tolerance: the forward pass is within 1e-5 of its largest value
 * (test_variants.c), and the way back has as many roundings again: 2e-5 of the largest entry of
 * the weight's gradient, or of a hundredth of the largest of all where a sum cancels (the keys'
 * bias has the gradient 0). Differences in double with step 1e-5 are off by about 1e-10.
 */
static void check_weights(struct subject *s, const char *folder, int n_each)
{
    struct ref_model ref;
    double top = 0.0;
    assert_true(ref_model_load(&ref, folder));
    check_close(s->value, reference_loss(s, &ref), 1e-5 * fmax(1.0, fabs(s->value)));
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < s->n_wanted; i++) {
            const struct sonde_weight *w = s->wanted[i].w;
            const int64_t n = w->rows * w->columns;
            double largest = 0.0;
            int n_checked = 0;
            for (int64_t j = 0; j < n; j++) {
                largest = fmax(largest, fabs((double)s->wanted[i].gradient[j]));
            }
            top = fmax(top, largest);
            for (int64_t j = 0; j < n && pass == 1 && n_checked < n_each; j += 1 + n / 40) {
                float *row = malloc((size_t)w->columns * sizeof *row);
                sonde_weight_row(w, j / w->columns, row);
                double *at = find_value(&ref, (double)row[j % w->columns]);
                free(row);
                if (!at) {
                    continue;
                }
                const double before = *at, step = 1e-5;
                *at = before + step;
                const double above = reference_loss(s, &ref);
                *at = before - step;
                const double slope = (above - reference_loss(s, &ref)) / (2.0 * step);
                *at = before;
                n_checked++;
                check_close(s->wanted[i].gradient[j], slope,
                            2e-5 * fmax(largest, 0.01 * top) + 1e-9);
            }
            if (pass == 1 && n_checked == 0) {
                fprintf(stderr, "# weight %d: no element could be told by its value\n", i);
                fail();
            }
        }
    }
    ref_model_free(&ref);
}

static const struct captured *site_of(const struct capture *c, enum sonde_site_kind kind, int layer)
{
    const struct captured *site = capture_find(c, (struct sonde_site){ kind, layer });
    assert_non_null(site);
    return site;
}

/* || dW - sum_t x_t^T delta_t || / || dW || <= 1e-5, the sum in double. */
static void check_outer(const struct subject *s, const struct capture *values,
                        const struct sonde_weight *w, enum sonde_site_kind x_kind,
                        enum sonde_site_kind delta_kind, int layer)
{
    const bool global = x_kind == SONDE_SITE_LN_FINAL_OUT;
    const float *x = site_of(values, x_kind, global ? -1 : layer)->value;
    const float *delta = site_of(&s->sites, delta_kind, global ? -1 : layer)->value;
    const int64_t in = sonde_weight_in(w), out = sonde_weight_out(w);
    const float *got = NULL;
    double off = 0.0, all = 0.0;
    for (int i = 0; i < s->n_wanted; i++) {
        got = s->wanted[i].w->data == w->data ? s->wanted[i].gradient : got;
    }
    assert_non_null(got);
    for (int64_t o = 0; o < out; o++) {
        for (int64_t i = 0; i < in; i++) {
            double sum = 0.0;
            for (int t = 0; t < s->T; t++) {
                sum += (double)x[t * in + i] * (double)delta[t * out + o];
            }
            const double g = (double)got[w->transposed ? i * out + o : o * in + i];
            off += (g - sum) * (g - sum);
            all += g * g;
        }
    }
    if (!(sqrt(off) <= 1e-5 * sqrt(all)) || all == 0.0) {
        fprintf(stderr, "# layer %d, site %d: off by %.3g of %.3g\n", layer, (int)delta_kind,
                sqrt(off), sqrt(all));
        fail();
    }
}

static void check_outer_products(const struct subject *s)
{
    const struct sonde_spec *spec = sonde_model_spec(s->model);
    const struct sonde_weights *w = sonde_model_weights(s->model);
    const bool post = spec->norm_place == SONDE_NORM_POST;
    const enum sonde_site_kind first = post ? SONDE_SITE_RESID_PRE : SONDE_SITE_LN1_OUT;
    const enum sonde_site_kind second = post ? SONDE_SITE_NORMALIZED_RESID_MID : SONDE_SITE_LN2_OUT;
    struct capture values;
    capture_run(&values, s->model, s->ids, NULL, s->T, NULL, NULL);
    for (int l = 0; l < spec->n_layers; l++) {
        const struct sonde_layer_weights *b = &w->layer[l];
        check_outer(s, &values, &b->w_q, first, SONDE_SITE_Q, l);
        check_outer(s, &values, &b->w_k, first, SONDE_SITE_K, l);
        check_outer(s, &values, &b->w_v, first, SONDE_SITE_V, l);
        check_outer(s, &values, &b->w_o, SONDE_SITE_Z, SONDE_SITE_ATTN_OUT, l);
        check_outer(s, &values, spec->gated ? &b->w_gate : &b->w_up, second, SONDE_SITE_MLP_PRE, l);
        if (spec->gated) {
            check_outer(s, &values, &b->w_up, second, SONDE_SITE_MLP_PRE_LINEAR, l);
        }
        check_outer(s, &values, &b->w_down, SONDE_SITE_MLP_POST, SONDE_SITE_MLP_OUT, l);
    }
    if (!spec->tied && spec->norm_final) {
        check_outer(s, &values, &w->unembed, SONDE_SITE_LN_FINAL_OUT, SONDE_SITE_LOGITS, -1);
    }
    capture_free(&values);
}

/* A score or a weight of attention that the mask took away. */
static bool is_masked(struct sonde_site site, float value)
{
    return sonde_site_is_map(site.kind) && (!isfinite(value) || value == 0.0f);
}

/* An edit that adds `step` times a fixed pattern of signs to what is not masked. */
struct shift {
    float step;
};

static float sign_of(int64_t i)
{
    return (i * 2654435761u >> 13) % 2 ? 1.0f : -1.0f;
}

static enum sonde_status shift_site(void *ctx, struct sonde_site site, struct sonde_tensor *value,
                                    struct sonde_error *error)
{
    const struct shift *shift = ctx;
    const int64_t n = sonde_tensor_elements(value);
    (void)error;
    for (int64_t i = 0; i < n; i++) {
        if (!is_masked(site, value->data[i])) {
            value->data[i] += shift->step * sign_of(i);
        }
    }
    return SONDE_STATUS_OK;
}

static double shifted_loss(const struct subject *s, struct sonde_site site, float step)
{
    struct sonde_site_set set = { 0 };
    struct shift shift = { .step = step };
    struct capture c;
    sonde_site_set_add(&set, site);
    const struct sonde_hook hook = { .edit = &set, .on_edit = shift_site, .ctx = &shift };
    capture_run_hooked(&c, s->model, s->ids, s->T, &hook, 1);
    const double loss = loss_of(s, NULL, site_of(&c, SONDE_SITE_LOGITS, -1)->value);
    capture_free(&c);
    return loss;
}

/*
 * Every site along a direction of signs, by Richardson's rule from steps h and 2h of the f32 pass:
 * what is left is h^4 of the fifth derivative and the loss's own noise, about 1e-6 / h = 5e-4 with
 * h = 2^-9, beside the rounding of the value itself. AC-18b: within 1e-3 of the gradient's size.
 */
static void check_sites(const struct subject *s)
{
    struct capture values;
    char name[SONDE_SITE_NAME_MAX];
    const float h = 0x1p-9f;
    capture_run(&values, s->model, s->ids, NULL, s->T, NULL, NULL);
    for (int i = 0; i < s->sites.n; i++) {
        const struct captured *g = &s->sites.item[i],
                              *v = site_of(&values, g->site.kind, g->site.layer);
        const double near = shifted_loss(s, g->site, h) - shifted_loss(s, g->site, -h);
        const double far = shifted_loss(s, g->site, 2.0f * h) - shifted_loss(s, g->site, -2.0f * h);
        const double slope = (8.0 * near - far) / (12.0 * (double)h);
        double along = 0.0, size = 0.0;
        assert_int_equal(g->n, v->n);
        for (int64_t j = 0; j < g->n; j++) {
            if (!is_masked(g->site, v->value[j])) {
                along += (double)g->value[j] * (double)sign_of(j);
            } else {
                assert_true(g->value[j] == 0.0f);
            }
            size += fabs((double)g->value[j]);
        }
        if (!(fabs(along - slope) <= 1e-3 * fmax(size, 1.0))) {
            fprintf(stderr, "# %s: along the direction %.6g, by differences %.6g, size %.3g\n",
                    sonde_site_format(g->site, name), along, slope, size);
            fail();
        }
    }
    capture_free(&values);
}

/* Runs again as the subject now says: the same bits of the loss and of every gradient. */
static void check_again(struct subject *s, struct sonde_pool *pool)
{
    float *first[WEIGHTS_MAX];
    struct capture sites = s->sites;
    const double value = s->value;
    for (int i = 0; i < s->n_wanted; i++) {
        const size_t bytes =
            (size_t)(s->wanted[i].w->rows * s->wanted[i].w->columns) * sizeof(float);
        first[i] = malloc(bytes);
        memcpy(first[i], s->wanted[i].gradient, bytes);
    }
    run_gradient(s, pool);
    assert_true(s->value == value);
    for (int i = 0; i < s->n_wanted; i++) {
        const size_t bytes =
            (size_t)(s->wanted[i].w->rows * s->wanted[i].w->columns) * sizeof(float);
        assert_memory_equal(first[i], s->wanted[i].gradient, bytes);
        free(first[i]);
    }
    for (int i = 0; i < sites.n; i++) {
        const struct captured *now = capture_find(&s->sites, sites.item[i].site);
        assert_non_null(now);
        assert_memory_equal(sites.item[i].value, now->value,
                            (size_t)sites.item[i].n * sizeof(float));
    }
    capture_free(&sites);
}

static void check_threads(struct subject *s)
{
    struct sonde_error error = { 0 };
    struct sonde_pool *pool = NULL;
    check_ok(sonde_pool_create(&pool, 3, &error), &error);
    check_again(s, pool);
    s->checkpoints = true;
    check_again(s, pool);
    s->checkpoints = false;
    sonde_pool_destroy(&pool);
}

/* By layer: when told to, and when the budget holds no more; within less memory. */
static void check_checkpoints(struct subject *s)
{
    const int64_t whole = s->peak;
    s->checkpoints = true;
    check_again(s, NULL);
    assert_true(s->peak < whole);
    s->checkpoints = false;
    s->max_bytes = (size_t)plan_of(s, NULL, true);
    assert_true(plan_of(s, NULL, false) > (int64_t)s->max_bytes);
    check_again(s, NULL);
    s->max_bytes = 0;
}

static void check_folder(const char *folder, int n_tokens, bool encoder, int n_each)
{
    struct subject s;
    subject_open(&s, folder, n_tokens, encoder);
    check_weights(&s, folder, n_each);
    check_outer_products(&s);
    check_sites(&s);
    check_checkpoints(&s);
    check_threads(&s);
    subject_close(&s);
}

static void check_recipe(const struct model_recipe *recipe)
{
    char *folder = model_make(recipe);
    check_folder(folder, 7, strcmp(recipe->family, "bert") == 0, 4);
    model_remove(folder);
}

static void test_gpt2(void **state)
{
    struct model_recipe r = {
        .family = "gpt2", .D = 12, .H = 3, .F = 14, .L = 2, .V = 19, .n_ctx = 12
    };
    (void)state;
    check_recipe(&r);
    r.untied = true;
    r.dtype = SONDE_DTYPE_F16;
    r.more_config = "\"scale_attn_by_inverse_layer_idx\": true, ";
    check_recipe(&r);
}

static void test_llama(void **state)
{
    struct model_recipe r = {
        .family = "llama", .D = 12, .H = 4, .G = 2, .E = 4, .F = 11, .L = 2, .V = 17, .n_ctx = 12
    };
    (void)state;
    check_recipe(&r);
    r.untied = r.attention_bias = r.mlp_bias = true;
    check_recipe(&r);
}

static void test_gpt_neox(void **state)
{
    struct model_recipe r = {
        .family = "gpt_neox", .D = 16, .H = 2, .F = 13, .L = 2, .V = 15, .n_ctx = 12, .untied = true
    };
    (void)state;
    check_recipe(&r);
    r.serial = true;
    check_recipe(&r);
}

static void test_bert(void **state)
{
    const struct model_recipe r = {
        .family = "bert", .D = 12, .H = 3, .F = 14, .L = 2, .V = 15, .n_ctx = 12
    };
    (void)state;
    check_recipe(&r);
}

/* Every kind of positions, both places of the norm, both directions. */
static void test_sonde(void **state)
{
    static const struct {
        const char *config;
        bool both_ways;
    } cases[] = {
        { "\"position\": \"none\", \"norm_place\": \"post\", \"embedding_scale\": \"sqrt\", ",
          false },
        { "\"position\": \"learned\", \"final_norm\": false, ", false },
        { "\"position\": \"rotary\", \"gated\": true, \"norm\": \"rmsnorm\", \"bias\": false, ",
          false },
        { "\"position\": \"sinusoidal\", \"norm_place\": \"post\", \"final_norm\": true, ", false },
        { "\"position\": \"cosine\", \"head_bias\": true, ", false },
        { "\"position\": \"relative\", \"relative_attention_max_distance\": 3, ", false },
        { "\"position\": \"relative\", \"causal\": false, \"norm_place\": \"post\", ", true },
        { "\"position\": \"t5\", \"relative_attention_num_buckets\": 4, ", false },
        { "\"position\": \"t5\", \"causal\": false, ", true },
        { "\"position\": \"alibi\", ", false },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct model_recipe r = { .family = "sonde",
                                  .D = 12,
                                  .H = 4,
                                  .G = 2,
                                  .E = 4,
                                  .F = 14,
                                  .L = 2,
                                  .V = 15,
                                  .n_ctx = 12 };
        r.more_config = cases[i].config;
        r.untied = i % 2 == 0;
        r.seed = 30 + i;
        char *folder = model_make(&r);
        check_folder(folder, 7, cases[i].both_ways, 3);
        model_remove(folder);
    }
}

static void check_given(const char *relative)
{
    char path[1024], *end;
    check_shared(path, relative);
    end = strrchr(path, '/');
    *end = '\0';
    check_folder(path, 8, false, 1);
}

static void test_given_gpt2(void **state)
{
    (void)state;
    check_given("reference/gpt2/config.json");
}

static void test_given_llama(void **state)
{
    (void)state;
    check_given("reference/llama/config.json");
}

/* What cannot be had is refused, and a budget that is too small is said to be. */
static void test_refused(void **state)
{
    const struct model_recipe r = {
        .family = "gpt2", .D = 12, .H = 3, .F = 14, .L = 2, .V = 19, .n_ctx = 12
    };
    struct sonde_error error = { 0 };
    struct sonde_session *session = NULL;
    struct sonde_gradient *gradient = NULL;
    const int32_t ids[] = { 1, 2, 3 }, far[] = { 1, 19, 2 };
    struct sonde_gradient_args args = { .ids = ids, .n_tokens = 3 };
    double loss = -1.0;
    char *folder = model_make(&r);
    struct sonde_model *model = capture_open(folder);
    const struct sonde_session_options cached = { .cache = true };
    (void)state;
    check_ok(sonde_session_create(&session, model, &cached, &error), &error);
    check_ok(sonde_gradient_create(&gradient, session, 0, &error), &error);
    assert_int_equal(sonde_gradient_run(gradient, &args, &loss, &error), SONDE_STATUS_UNSUPPORTED);
    sonde_gradient_destroy(&gradient);
    sonde_session_destroy(&session);
    check_ok(sonde_session_create(&session, model, NULL, &error), &error);
    check_ok(sonde_gradient_create(&gradient, session, 4096, &error), &error);
    assert_int_equal(sonde_gradient_run(gradient, &args, &loss, &error), SONDE_STATUS_LIMIT);
    char least[32];
    snprintf(least, sizeof least, "%lld bytes",
             (long long)sonde_gradient_plan_checkpoint_bytes(model, 3, 1, NULL));
    assert_non_null(strstr(error.text, least));
    sonde_gradient_destroy(&gradient);
    struct sonde_tape *tape = NULL;
    struct shift shift = { .step = 0.0f };
    const struct sonde_hook edit = { .edit = sonde_model_sites(model),
                                     .on_edit = shift_site,
                                     .ctx = &shift };
    const struct sonde_forward_args edited = {
        .ids = ids, .n_tokens = 3, .hooks = &edit, .n_hooks = 1, .tape = tape
    };
    check_ok(sonde_forward(session, &edited, &error), &error);
    check_ok(sonde_tape_create(&tape, 0, &error), &error);
    struct sonde_forward_args taped = edited;
    taped.tape = tape;
    assert_int_equal(sonde_forward(session, &taped, &error), SONDE_STATUS_UNSUPPORTED);
    sonde_tape_destroy(&tape);
    check_ok(sonde_gradient_create(&gradient, session, 0, &error), &error);
    args.loss = (struct sonde_loss){ .kind = SONDE_LOSS_LOGIT, .row = 3 };
    assert_int_equal(sonde_gradient_run(gradient, &args, &loss, &error), SONDE_STATUS_ARGUMENT);
    args.loss = (struct sonde_loss){ .kind = SONDE_LOSS_LOGIT, .id = 19 };
    assert_int_equal(sonde_gradient_run(gradient, &args, &loss, &error), SONDE_STATUS_ARGUMENT);
    args.loss = (struct sonde_loss){ .kind = SONDE_LOSS_TARGETS, .targets = far };
    assert_int_equal(sonde_gradient_run(gradient, &args, &loss, &error), SONDE_STATUS_ARGUMENT);
    assert_true(loss == -1.0);
    args.loss = (struct sonde_loss){ .kind = SONDE_LOSS_LOGIT, .row = -1, .id = 4 };
    check_ok(sonde_gradient_run(gradient, &args, &loss, &error), &error);
    struct capture c;
    capture_run(&c, model, ids, NULL, 3, NULL, NULL);
    assert_true(loss == (double)site_of(&c, SONDE_SITE_LOGITS, -1)->value[2 * 19 + 4]);
    capture_free(&c);
    sonde_gradient_destroy(&gradient);
    sonde_session_destroy(&session);
    sonde_model_close(&model);
    model_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gpt2),        cmocka_unit_test(test_llama),
        cmocka_unit_test(test_gpt_neox),    cmocka_unit_test(test_bert),
        cmocka_unit_test(test_sonde),       cmocka_unit_test(test_given_gpt2),
        cmocka_unit_test(test_given_llama), cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
