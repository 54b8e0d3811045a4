#include "tests/reference/gradient_bench.h"

#include <string.h>

#include "tests/support/check.h"

static void want(struct gradient_bench *s, const struct sonde_weight *w)
{
    for (int i = 0; i < s->n_wanted; i++) {
        if (s->wanted[i].w->data == w->data) {
            return; /* tied */
        }
    }
    if (sonde_weight_present(w)) {
        assert_true(s->n_wanted < GRADIENT_BENCH_WEIGHTS);
        s->wanted[s->n_wanted++] =
            (struct gradient_wanted){ w, calloc((size_t)(w->rows * w->columns), sizeof(float)) };
    }
}

void gradient_bench_want(struct gradient_bench *s)
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

static int64_t plan_of(const struct gradient_bench *s, struct sonde_pool *pool, bool by_layer)
{
    const struct sonde_site_set *sites = sonde_model_sites(s->model);
    const int n = sonde_pool_threads(pool);
    struct sonde_site_set edited = { 0 };
    for (int i = 0; i < s->n_hooks; i++) {
        sonde_site_set_union(&edited, s->hooks[i].edit);
    }
    return sonde_gradient_plan_edit_bytes(s->model, s->T, &edited) +
           (by_layer ? sonde_gradient_plan_checkpoint_bytes(s->model, s->T, n, sites)
                     : sonde_gradient_plan_bytes(s->model, s->T, n, sites));
}

/* Runs the subject's gradients, of all weights and sites, into its wanted buffers and sites. */
void gradient_bench_run(struct gradient_bench *s, struct sonde_pool *pool)
{
    struct sonde_error error = { 0 };
    struct sonde_session *session = NULL;
    struct sonde_gradient *gradient = NULL;
    const struct sonde_session_options options = { .pool = pool };
    const struct sonde_gradient_args args = { .ids = s->ids,
                                              .n_tokens = s->T,
                                              .loss = s->loss,
                                              .hooks = s->hooks,
                                              .n_hooks = s->n_hooks,
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

void gradient_bench_close(struct gradient_bench *s)
{
    for (int i = 0; i < s->n_wanted; i++) {
        free(s->wanted[i].gradient);
    }
    capture_free(&s->sites);
    sonde_model_close(&s->model);
}

static double term_of(const struct gradient_bench *s, const double *x, int t, int64_t V)
{
    double total = 0.0;
    if (s->loss.kind == SONDE_LOSS_SIGMOID_MSE) {
        for (int64_t i = 0; i < V; i++) {
            total += pow(1.0 / (1.0 + exp(-x[i])) - (double)s->loss.hot[t * V + i], 2.0);
        }
        return total / (double)V;
    }
    for (int64_t i = 0; i < V; i++) {
        total += exp(x[i]);
    }
    return log(total) - x[s->targets[t]];
}

double gradient_bench_loss(const struct gradient_bench *s, const double *wide, const float *narrow)
{
    const int64_t V = sonde_spec_outputs(sonde_model_spec(s->model));
    double sum = 0.0, row[GRADIENT_BENCH_OUTPUTS];
    int n = 0;
    assert_true(V <= GRADIENT_BENCH_OUTPUTS);
    for (int t = 0; t < s->T; t++) {
        for (int64_t i = 0; i < V; i++) {
            row[i] = wide ? wide[t * V + i] : (double)narrow[t * V + i];
        }
        if (s->loss.kind == SONDE_LOSS_LOGIT) {
            sum = row[s->loss.id]; /* of the last row */
            n = 1;
        } else if (s->loss.kind == SONDE_LOSS_SIGMOID_MSE || s->targets[t] >= 0) {
            sum += term_of(s, row, t, V);
            n++;
        }
    }
    return sum / n;
}

const struct captured *gradient_bench_site(const struct capture *c, enum sonde_site_kind kind,
                                           int layer)
{
    const struct captured *site = capture_find(c, (struct sonde_site){ kind, layer });
    assert_non_null(site);
    return site;
}

/* || dW - sum_t x_t^T delta_t || / || dW || <= 1e-5, the sum in double. */
static void check_outer(const struct gradient_bench *s, const struct capture *values,
                        const struct sonde_weight *w, enum sonde_site_kind x_kind,
                        enum sonde_site_kind delta_kind, int layer)
{
    const int last = sonde_model_spec(s->model)->n_layers - 1;
    const int x_layer = x_kind == SONDE_SITE_RESID_POST ? last : layer;
    const float *x = gradient_bench_site(values, x_kind, x_layer)->value;
    const float *delta = gradient_bench_site(&s->sites, delta_kind, layer)->value;
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

void gradient_bench_check_outer(const struct gradient_bench *s)
{
    const struct sonde_spec *spec = sonde_model_spec(s->model);
    const struct sonde_weights *w = sonde_model_weights(s->model);
    const bool post = spec->norm_place == SONDE_NORM_POST;
    const enum sonde_site_kind first = post ? SONDE_SITE_RESID_PRE : SONDE_SITE_LN1_OUT;
    const enum sonde_site_kind second = post ? SONDE_SITE_NORMALIZED_RESID_MID : SONDE_SITE_LN2_OUT;
    struct capture values;
    capture_run_hooked(&values, s->model, s->ids, s->T, s->hooks, s->n_hooks);
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
    } else if (!spec->tied && !spec->mlm_head) {
        check_outer(s, &values, &w->unembed, SONDE_SITE_RESID_POST, SONDE_SITE_LOGITS, -1);
    }
    capture_free(&values);
}

/* A score or a weight of attention that the mask took away: by its value, or where an edit may have
 * put that there, by its place. */
static bool is_masked(const struct gradient_bench *s, struct sonde_site site, int64_t i,
                      float value)
{
    bool edited = false;
    for (int h = 0; h < s->n_hooks; h++) {
        edited = edited || sonde_site_set_has(s->hooks[h].edit, site);
    }
    if (!sonde_site_is_map(site.kind)) {
        return false;
    }
    return edited ? sonde_model_spec(s->model)->causal && i % s->T > i / s->T % s->T
                  : !isfinite(value) || value == 0.0f;
}

/* An edit that adds `step` times a fixed pattern of signs to what is not masked. */
struct shift {
    const struct gradient_bench *s;
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
        if (!is_masked(shift->s, site, i, value->data[i])) {
            value->data[i] += shift->step * sign_of(i);
        }
    }
    return SONDE_STATUS_OK;
}

static double shifted_loss(const struct gradient_bench *s, struct sonde_site site, float step)
{
    struct sonde_site_set set = { 0 };
    struct shift shift = { .s = s, .step = step };
    struct capture c;
    sonde_site_set_add(&set, site);
    struct sonde_hook hooks[3] = { { 0 } };
    assert_true(s->n_hooks < 3);
    for (int i = 0; i < s->n_hooks; i++) {
        hooks[i] = s->hooks[i];
    }
    hooks[s->n_hooks] = (struct sonde_hook){ .edit = &set, .on_edit = shift_site, .ctx = &shift };
    capture_run_hooked(&c, s->model, s->ids, s->T, hooks, s->n_hooks + 1);
    const double loss =
        gradient_bench_loss(s, NULL, gradient_bench_site(&c, SONDE_SITE_LOGITS, -1)->value);
    capture_free(&c);
    return loss;
}

/*
 * Every site along a direction of signs, by Richardson's rule from steps h and 2h of the f32 pass:
 * what is left is h^4 of the fifth derivative and the loss's own noise, about 1e-6 / h = 5e-4 with
 * h = 2^-9, beside the rounding of the value itself. AC-18b: within 1e-3 of the gradient's size.
 */
void gradient_bench_check_sites(const struct gradient_bench *s)
{
    struct capture values;
    char name[SONDE_SITE_NAME_MAX];
    const float h = 0x1p-9f;
    capture_run_hooked(&values, s->model, s->ids, s->T, s->hooks, s->n_hooks);
    for (int i = 0; i < s->sites.n; i++) {
        const struct captured *g = &s->sites.item[i],
                              *v = gradient_bench_site(&values, g->site.kind, g->site.layer);
        const double near = shifted_loss(s, g->site, h) - shifted_loss(s, g->site, -h);
        const double far = shifted_loss(s, g->site, 2.0f * h) - shifted_loss(s, g->site, -2.0f * h);
        const double slope = (8.0 * near - far) / (12.0 * (double)h);
        double along = 0.0, size = 0.0;
        assert_int_equal(g->n, v->n);
        for (int64_t j = 0; j < g->n; j++) {
            if (!is_masked(s, g->site, j, v->value[j])) {
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
static void check_again(struct gradient_bench *s, struct sonde_pool *pool)
{
    float *first[GRADIENT_BENCH_WEIGHTS];
    struct capture sites = s->sites;
    const double value = s->value;
    for (int i = 0; i < s->n_wanted; i++) {
        const size_t bytes =
            (size_t)(s->wanted[i].w->rows * s->wanted[i].w->columns) * sizeof(float);
        first[i] = malloc(bytes);
        memcpy(first[i], s->wanted[i].gradient, bytes);
    }
    gradient_bench_run(s, pool);
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

static void check_threads(struct gradient_bench *s)
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

/* By layer: when told to, and when the budget holds no more; within less memory, unless the model
 * is too small for the stream between its blocks to be less than what they keep. */
static void check_checkpoints(struct gradient_bench *s)
{
    const int64_t whole = s->peak;
    s->checkpoints = true;
    check_again(s, NULL);
    s->checkpoints = false;
    if (sonde_model_spec(s->model)->n_layers == 1) {
        return;
    }
    assert_true(s->peak < whole);
    s->max_bytes = (size_t)plan_of(s, NULL, true);
    assert_true(plan_of(s, NULL, false) > (int64_t)s->max_bytes);
    check_again(s, NULL);
    s->max_bytes = 0;
}

void gradient_bench_check_bits(struct gradient_bench *s)
{
    check_checkpoints(s);
    check_threads(s);
}
