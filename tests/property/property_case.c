#include "tests/property/property_case.h"

#include <string.h>

#include "core/base/num.h"
#include "core/model/edit_tape.h"
#include "tests/support/check.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SLOW 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SLOW 1
#endif
#ifndef SLOW
#define SLOW 0
#endif

/* Values that a case records at most; larger ones record the residual streams alone. */
#define VALUES_MAX (INT64_C(1) << (SLOW ? 20 : 22))

static int64_t read_number(const char *name, int64_t fallback)
{
    const char *text = getenv(name);
    int64_t value = fallback;
    if (text && !sonde_parse_i64(text, strlen(text), &value)) {
        fail_msg("%s=%s is no number", name, text);
    }
    return value;
}

struct property_rounds property_rounds_read(int64_t n)
{
    const int64_t slow = n / 10 ? n / 10 : 1;
    return (struct property_rounds){
        .seed = (uint64_t)read_number("SONDE_PROPERTY_SEED", SONDE_SEED_DEFAULT),
        .first = read_number("SONDE_PROPERTY_FIRST", 0),
        .n = read_number("SONDE_PROPERTY_ROUNDS", SLOW ? slow : n),
    };
}

void property_say(const struct property_rounds *rounds, int64_t round, const char *what)
{
    fprintf(stderr,
            "# again: SONDE_PROPERTY_SEED=%llu SONDE_PROPERTY_FIRST=%lld SONDE_PROPERTY_ROUNDS=1 "
            "%s\n",
            (unsigned long long)rounds->seed, (long long)round, what);
}

struct sonde_rng property_rng(const struct property_rounds *rounds, int64_t round,
                              const char *property)
{
    return sonde_rng_make(rounds->seed, sonde_rng_stream(property) + (uint64_t)round);
}

int64_t property_between(struct sonde_rng *rng, int64_t low, int64_t high)
{
    return low + sonde_rng_below(rng, high - low + 1);
}

bool property_chance(struct sonde_rng *rng, double p)
{
    return sonde_rng_uniform(rng) < p;
}

const char *property_pick(struct sonde_rng *rng, const char *const *words)
{
    int64_t n = 0;
    while (words[n]) {
        n++;
    }
    return words[sonde_rng_below(rng, n)];
}

static int64_t draw_length(struct sonde_rng *rng, int64_t longest)
{
    const int64_t most[] = { 1, 8, 32, longest };
    const int64_t high = most[sonde_rng_below(rng, 4)];
    return property_between(rng, 1, high < longest ? high : longest);
}

void property_corpus_draw(struct property_corpus *out, struct sonde_rng *rng, int64_t n,
                          int64_t longest, int64_t d_vocab)
{
    const int64_t at = sonde_rng_below(rng, n), most = n > 100 ? 6 : 150;
    const int64_t usual = longest < most ? longest : most;
    *out = (struct property_corpus){ .n = n };
    out->n_tokens = calloc((size_t)n, sizeof *out->n_tokens);
    out->ids = calloc((size_t)n, sizeof *out->ids);
    assert_non_null(out->n_tokens);
    assert_non_null(out->ids);
    for (int64_t i = 0; i < n; i++) {
        const int64_t copy = i > 0 && property_chance(rng, 0.15) ? sonde_rng_below(rng, i) : -1;
        const int64_t T = i == at     ? longest
                          : copy >= 0 ? out->n_tokens[copy]
                                      : draw_length(rng, usual);
        out->n_tokens[i] = T;
        out->ids[i] = calloc((size_t)T, sizeof **out->ids);
        assert_non_null(out->ids[i]);
        for (int64_t t = 0; t < T; t++) {
            out->ids[i][t] =
                i != at && copy >= 0 ? out->ids[copy][t] : (int32_t)sonde_rng_below(rng, d_vocab);
        }
    }
}

void property_corpus_free(struct property_corpus *corpus)
{
    for (int64_t i = 0; i < corpus->n; i++) {
        free(corpus->ids[i]);
    }
    free(corpus->ids);
    free(corpus->n_tokens);
    *corpus = (struct property_corpus){ 0 };
}

static void draw_sonde(struct property_model *m, struct sonde_rng *rng)
{
    static const char *const positions[] = { "none",       "learned", "rotary",
                                             "sinusoidal", "cosine",  "relative",
                                             "t5",         "alibi",   NULL };
    static const char *const acts[] = { "relu", "gelu", "gelu_new", "silu", NULL };
    static const char *const places[] = { "pre", "post", NULL };
    static const char *const norms[] = { "layernorm", "rmsnorm", NULL };
    static const char *const truths[] = { "true", "false", NULL };
    const bool sigmoid = property_chance(rng, 0.2);
    char outputs[64] = "";
    if (sigmoid) {
        m->recipe.untied = true;
        snprintf(outputs, sizeof outputs, "\"n_outputs\": %d, \"head\": \"sigmoid\", ",
                 (int)property_between(rng, 1, 9));
    }
    snprintf(m->more, sizeof m->more,
             "\"position\": \"%s\", \"hidden_act\": \"%s\", \"norm_place\": \"%s\", \"norm\": "
             "\"%s\", \"gated\": %s, \"bias\": %s, \"final_norm\": %s, \"causal\": %s, %s",
             property_pick(rng, positions), property_pick(rng, acts), property_pick(rng, places),
             property_pick(rng, norms), property_pick(rng, truths), property_pick(rng, truths),
             property_pick(rng, truths), property_chance(rng, 0.8) ? "true" : "false", outputs);
}

static void draw_traits(struct property_model *m, struct sonde_rng *rng)
{
    struct model_recipe *r = &m->recipe;
    if (strcmp(r->family, "gpt2") == 0) {
        r->n_inner_null = property_chance(rng, 0.3);
        snprintf(m->more, sizeof m->more, "\"scale_attn_by_inverse_layer_idx\": %s, ",
                 property_chance(rng, 0.3) ? "true" : "false");
    } else if (strcmp(r->family, "gpt_neox") == 0) {
        r->serial = property_chance(rng, 0.4);
        r->untied = true;
        snprintf(m->more, sizeof m->more, "\"rotary_pct\": %s, ",
                 property_chance(rng, 0.5) ? "0.25" : "1.0");
    } else if (strcmp(r->family, "llama") == 0) {
        r->attention_bias = property_chance(rng, 0.3);
        r->mlp_bias = property_chance(rng, 0.3);
    } else if (strcmp(r->family, "bert") == 0) {
        r->no_head = property_chance(rng, 0.3);
        r->untied = false;
    } else {
        draw_sonde(m, rng);
    }
}

void property_model_draw(struct property_model *out, struct sonde_rng *rng, bool wide)
{
    static const char *const families[] = { "gpt2",  "llama", "gpt_neox", "bert",
                                            "sonde", "sonde", "sonde",    NULL };
    static const enum sonde_dtype dtypes[] = { SONDE_DTYPE_F32, SONDE_DTYPE_F16, SONDE_DTYPE_BF16 };
    struct sonde_error error = { 0 };
    *out = (struct property_model){ 0 };
    struct model_recipe *r = &out->recipe;
    r->family = property_pick(rng, families);
    r->dtype = dtypes[sonde_rng_below(rng, 3)];
    r->seed = sonde_rng_u64(rng) | 1;
    r->untied = property_chance(rng, 0.5);
    r->unaligned = property_chance(rng, 0.2);
    const bool grouped = strcmp(r->family, "llama") == 0 || strcmp(r->family, "sonde") == 0;
    r->G = wide ? property_between(rng, 2, 4) : property_between(rng, 1, 3);
    r->H = r->G * (grouped ? property_between(rng, 1, 3) : 1);
    if (!grouped) {
        r->G = 0;
    }
    r->E = wide ? 64 : 8 * property_between(rng, 1, 4); /* a quarter of it is even */
    if (grouped && property_chance(rng, 0.3)) {
        r->E = wide ? 48 : 2 * property_between(rng, 1, 9);
    }
    r->D = r->H * r->E;
    if (grouped && property_chance(rng, 0.4)) {
        r->D = property_between(rng, wide ? 200 : 3, wide ? 800 : 90);
    }
    r->F = property_between(rng, wide ? 300 : 1, wide ? 1200 : 150);
    r->V = property_between(rng, 2, wide ? 1000 : 200);
    r->L = property_between(rng, 1, wide ? 2 : 3);
    r->n_ctx =
        property_chance(rng, 0.4) ? property_between(rng, 260, 600) : property_between(rng, 1, 140);
    draw_traits(out, rng);
    r->more_config = out->more;
    out->folder = model_make(r);
    const struct sonde_model_options options = { .allow_missing_tokenizer = true };
    check_ok(sonde_model_open(&out->model, out->folder, &options, &error), &error);
}

void property_model_free(struct property_model *model)
{
    sonde_model_close(&model->model);
    if (model->folder) {
        model_remove(model->folder);
    }
    model->folder = NULL;
}

static int64_t count_values(const struct property_case *c, const struct sonde_site_set *set)
{
    struct sonde_site site;
    int64_t n = 0;
    for (int64_t i = 0; sonde_site_set_next(set, &i, &site);) {
        const int64_t width = sonde_spec_site_width(sonde_model_spec(c->model.model), site.kind);
        for (int64_t s = 0; s < c->corpus.n; s++) {
            const int64_t T = c->corpus.n_tokens[s];
            n += width * T * (sonde_site_is_map(site.kind) ? T : 1);
        }
    }
    return n;
}

/* A list that this model has: shorthands, or any of its sites. */
static void draw_sites(struct property_case *c, struct sonde_rng *rng, struct sonde_site_set *out)
{
    static const char *const lists[] = { "resid", "resid,attn", "mlp",  "ffn", "qkv",
                                         "all",   "all,-attn",  "some", "one", NULL };
    const struct sonde_site_set *all = sonde_model_sites(c->model.model);
    const int n_layers = sonde_model_spec(c->model.model)->n_layers;
    const char *list = property_pick(rng, lists);
    const bool some = strcmp(list, "some") == 0, one = strcmp(list, "one") == 0;
    struct sonde_error error = { 0 };
    struct sonde_site_set none = { 0 };
    struct sonde_site site;
    const size_t used = strlen(c->sites_text);
    snprintf(c->sites_text + used, sizeof c->sites_text - used, " %s", list);
    *out = none;
    if (!some && !one) {
        check_ok(sonde_site_set_parse(out, list, all, n_layers, &error), &error);
    }
    const int64_t chosen = sonde_rng_below(rng, sonde_site_set_count(all));
    int64_t n = 0;
    for (int64_t i = 0; (some || one) && sonde_site_set_next(all, &i, &site); n++) {
        if (n == chosen || (some && property_chance(rng, 0.25))) {
            sonde_site_set_add(out, site);
        }
    }
    if (count_values(c, out) > VALUES_MAX) {
        snprintf(c->sites_text + used, sizeof c->sites_text - used, " resid");
        check_ok(sonde_site_set_parse(out, "resid", all, n_layers, &error), &error);
    }
}

static void draw_loss(struct property_case *c, struct sonde_rng *rng)
{
    const struct sonde_spec *spec = sonde_model_spec(c->model.model);
    const int64_t outputs = sonde_spec_outputs(spec);
    struct sonde_error error = { 0 };
    if (spec->headless || !property_chance(rng, 0.5)) {
        return;
    }
    const int kind = (int)sonde_rng_below(rng, 3);
    c->loss = kind == 0 ? (struct sonde_loss){ .kind = SONDE_LOSS_NEXT_TOKEN }
                        : (struct sonde_loss){ .kind = SONDE_LOSS_LOGIT,
                                               .row = -1,
                                               .id = sonde_rng_below(rng, outputs) };
    if (kind == 0 && sonde_recorder_check_loss(c->model.model, &c->loss, 0, &error)) {
        return;
    }
    c->has_targets = kind == 2;
    if (c->has_targets) {
        c->loss = (struct sonde_loss){ .kind = SONDE_LOSS_TARGETS };
        c->targets = calloc((size_t)c->corpus.n, sizeof *c->targets);
        assert_non_null(c->targets);
    }
    for (int64_t s = 0; c->has_targets && s < c->corpus.n; s++) {
        c->targets[s] = calloc((size_t)c->corpus.n_tokens[s], sizeof **c->targets);
        assert_non_null(c->targets[s]);
        for (int64_t t = 0; t < c->corpus.n_tokens[s]; t++) {
            c->targets[s][t] = (int32_t)sonde_rng_below(rng, outputs + 1) - 1;
        }
    }
    const size_t used = strlen(c->sites_text);
    snprintf(c->sites_text + used, sizeof c->sites_text - used, " grad:");
    draw_sites(c, rng, &c->gradients);
}

static void draw_edits(struct property_case *c, struct sonde_rng *rng)
{
    static const char *const edits[] = {
        "zero blocks.0.hook_mlp_out",
        "zero blocks.0.attn.hook_z[heads=0;positions=1-]",
        "set blocks.*.mlp.hook_post[0] 1.5",
        "zero blocks.*.hook_resid_post[positions=2-5;neurons=0]",
        "zero blocks.0.attn.hook_pattern[heads=0;keys=0]",
        "skip 0.attn",
        "skip -1.mlp",
        NULL,
    };
    const char *text[2];
    struct sonde_error error = { 0 };
    if (!property_chance(rng, 0.35)) {
        return;
    }
    c->n_edits = (int)property_between(rng, 1, 2);
    for (int i = 0; i < c->n_edits; i++) {
        snprintf(c->edit_text[i], sizeof c->edit_text[i], "%s", property_pick(rng, edits));
        text[i] = c->edit_text[i];
    }
    check_ok(sonde_edits_create(&c->edits, text, c->n_edits, c->model.model, NULL, &error), &error);
    c->pass.edits = c->edits;
    c->hook = sonde_edits_hook(&c->pass);
    /* No gradient passes an edited pattern where positions are part of the scores. */
    const struct sonde_spec *spec = sonde_model_spec(c->model.model);
    const bool refused = spec->position >= SONDE_POSITION_RELATIVE &&
                         sonde_site_set_has(sonde_edits_sites(c->edits),
                                            (struct sonde_site){ SONDE_SITE_PATTERN, 0 });
    if (!sonde_site_set_is_empty(&c->gradients) &&
        (refused || sonde_edit_tape_check(&c->hook, 1, &error))) {
        sonde_edits_destroy(&c->edits);
        c->n_edits = 0;
    }
}

void property_case_draw(struct property_case *out, struct sonde_rng *rng, bool wide)
{
    *out = (struct property_case){ 0 };
    property_model_draw(&out->model, rng, wide);
    const struct model_recipe *r = &out->model.recipe;
    const bool many = !wide && property_chance(rng, 0.15); /* more than are in flight at once */
    property_corpus_draw(&out->corpus, rng,
                         many && !SLOW ? property_between(rng, 140, 300)
                                       : property_between(rng, 1, SLOW ? 12 : 40),
                         wide && r->n_ctx > 300 ? 300 : r->n_ctx, r->V);
    draw_sites(out, rng, &out->sites);
    draw_loss(out, rng);
    draw_edits(out, rng);
}

void property_case_free(struct property_case *c)
{
    for (int64_t s = 0; c->targets && s < c->corpus.n; s++) {
        free(c->targets[s]);
    }
    free(c->targets);
    sonde_edits_destroy(&c->edits);
    property_corpus_free(&c->corpus);
    property_model_free(&c->model);
}

void property_case_say(const struct property_case *c)
{
    const struct model_recipe *r = &c->model.recipe;
    fprintf(stderr,
            "# model: %s %s D %lld H %lld G %lld E %lld F %lld L %lld V %lld n_ctx %lld %s%s%s\n",
            r->family, sonde_dtype_name(r->dtype), (long long)r->D, (long long)r->H,
            (long long)r->G, (long long)r->E, (long long)r->F, (long long)r->L, (long long)r->V,
            (long long)r->n_ctx, r->more_config, r->untied ? "untied " : "",
            r->serial ? "serial" : "");
    fprintf(stderr, "# sites:%s; loss %d; edits: %s; %s\n", c->sites_text, (int)c->loss.kind,
            c->n_edits > 0 ? c->edit_text[0] : "none", c->n_edits > 1 ? c->edit_text[1] : "");
    fprintf(stderr, "# tokens of %lld sequences:", (long long)c->corpus.n);
    for (int64_t i = 0; i < c->corpus.n && i < 60; i++) {
        fprintf(stderr, " %lld", (long long)c->corpus.n_tokens[i]);
    }
    fprintf(stderr, "\n");
}
