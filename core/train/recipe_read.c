/* The keys of a recipe, one function an object. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/base/arena.h"
#include "core/base/rng.h"
#include "core/train/recipe_internal.h"

#define COUNT_MAX (INT64_C(1) << 40)
#define EPOCHS_MAX (INT64_C(1) << 20)
#define NUMBER_MAX 1e30

static const char *const corpus_keys[] = { "formal", "file",  "whole",      "jsonl",      "conllu",
                                           "ids",    "field", "label",      "pack",       "bos",
                                           "eos",    "limit", "skip-every", "only-every", NULL };
static const char *const validation_keys[] = {
    "name",  "corpus", "formal", "file", "whole", "jsonl",      "conllu",     "ids", "field",
    "label", "pack",   "bos",    "eos",  "limit", "skip-every", "only-every", NULL
};

static void read_corpus(struct sonde_recipe_reader *r, const struct sonde_json *object,
                        const char *where, struct sonde_recipe_corpus *c)
{
    static const char *const kinds[] = { "formal", "file", "whole", "jsonl", "conllu", "ids" };
    static const char *const bos[] = { "auto", "always", "never", NULL };
    const char *source = NULL, *first = NULL;
    for (int i = 0; i < (int)(sizeof kinds / sizeof *kinds); i++) {
        const char *value = sonde_recipe_text(r, object, where, kinds[i]);
        if (value && source) {
            sonde_recipe_fail(r, "%s: \"%s\" and \"%s\": a corpus is one of them", where, first,
                              kinds[i]);
        } else if (value) {
            first = kinds[i];
            source = value;
            c->kind = (enum sonde_recipe_corpus_kind)i;
        }
    }
    if (!source) {
        sonde_recipe_fail(r, "%s: no source: one of formal, file, whole, jsonl, conllu, ids",
                          where);
        return;
    }
    c->source = c->kind == SONDE_RECIPE_CORPUS_FORMAL ? sonde_recipe_keep(r, source)
                                                      : sonde_recipe_path(r, source);
    c->field = sonde_recipe_keep(r, sonde_recipe_text(r, object, where, "field"));
    c->label = sonde_recipe_keep(r, sonde_recipe_text(r, object, where, "label"));
    if (c->kind != SONDE_RECIPE_CORPUS_JSONL && (c->field || c->label)) {
        sonde_recipe_fail(r, "%s: \"%s\" goes with \"jsonl\"", where, c->field ? "field" : "label");
    }
    c->pack = sonde_recipe_i64(r, object, where, "pack", 0, 2, SONDE_SPEC_SIZE_MAX);
    c->bos = (enum sonde_recipe_bos)sonde_recipe_word(r, object, where, "bos", bos,
                                                      SONDE_RECIPE_BOS_AUTO);
    c->eos = sonde_recipe_bool(r, object, where, "eos", c->pack > 0);
    c->limit = sonde_recipe_i64(r, object, where, "limit", 0, 1, COUNT_MAX);
    c->skip_every = sonde_recipe_i64(r, object, where, "skip-every", 0, 2, COUNT_MAX);
    c->only_every = sonde_recipe_i64(r, object, where, "only-every", 0, 1, COUNT_MAX);
    if (c->skip_every > 0 && c->only_every > 0) {
        sonde_recipe_fail(r, "%s: \"skip-every\" and \"only-every\": one of them", where);
    }
    if (c->pack > 0 && c->label) {
        sonde_recipe_fail(r, "%s: \"pack\" joins texts, which have a \"label\" each", where);
    }
}

static void read_validation(struct sonde_recipe_reader *r, const struct sonde_json *root)
{
    const struct sonde_json *list = sonde_json_get(root, "validation");
    const enum sonde_json_type type = sonde_json_type(list);
    const int64_t n = sonde_json_size(list);
    if (type == SONDE_JSON_ABSENT || type == SONDE_JSON_NULL || r->status != SONDE_STATUS_OK) {
        return;
    }
    if (type != SONDE_JSON_ARRAY || n > SONDE_RECIPE_MAX_VALIDATIONS) {
        sonde_recipe_fail(r, "validation is %s of %lld, expected an array of at most %d",
                          sonde_json_type_name(type), (long long)n, SONDE_RECIPE_MAX_VALIDATIONS);
        return;
    }
    struct sonde_recipe_corpus *all =
        sonde_arena_zalloc(r->recipe->arena, n, sizeof *r->recipe->validation);
    if (!all) {
        r->status = sonde_error_memory(r->error, "a recipe");
        return;
    }
    r->recipe->validation = all;
    r->recipe->n_validations = n;
    for (int64_t i = 0; i < n && r->status == SONDE_STATUS_OK; i++) {
        const struct sonde_json *object = sonde_json_at(list, i);
        char where[64];
        (void)snprintf(where, sizeof where, "validation %lld", (long long)i);
        if (sonde_json_type(object) != SONDE_JSON_OBJECT) {
            sonde_recipe_fail(r, "%s is %s, expected an object", where,
                              sonde_json_type_name(sonde_json_type(object)));
            return;
        }
        sonde_recipe_check_keys(r, object, where, validation_keys);
        all[i].name = sonde_recipe_keep(r, sonde_recipe_text(r, object, where, "name"));
        if (!all[i].name) {
            sonde_recipe_fail(r, "%s: name is missing", where);
        }
        for (int64_t k = 0; k < i && all[i].name; k++) {
            if (strcmp(all[k].name, all[i].name) == 0) {
                sonde_recipe_fail(r, "%s: the name \"%.60s\" is taken", where, all[i].name);
            }
        }
        const struct sonde_json *inner = sonde_json_get(object, "corpus");
        if (inner && sonde_json_size(object) != 2) {
            sonde_recipe_fail(r, "%s: other keys beside \"corpus\"", where);
        } else if (inner && sonde_json_type(inner) != SONDE_JSON_OBJECT) {
            sonde_recipe_fail(r, "%s: corpus is %s, expected an object", where,
                              sonde_json_type_name(sonde_json_type(inner)));
        } else if (inner) {
            sonde_recipe_check_keys(r, inner, where, corpus_keys);
        }
        read_corpus(r, inner ? inner : object, where, &all[i]);
    }
}

static void read_init(struct sonde_recipe_reader *r, const struct sonde_json *root)
{
    static const char *const keys[] = { "kind", "std", "seed", NULL };
    static const char *const kinds[] = { "normal", "torch", NULL };
    struct sonde_init *init = &r->recipe->init;
    const struct sonde_json *object = sonde_recipe_object(r, root, "init", keys);
    const int64_t seed = (int64_t)r->recipe->options.seed;
    init->kind = (enum sonde_init_kind)sonde_recipe_word(r, object, "init", "kind", kinds,
                                                         SONDE_INIT_NORMAL);
    init->std = sonde_recipe_f64(r, object, "init", "std", 0.0, 1e-9, 100.0);
    init->seed = (uint64_t)sonde_recipe_i64(r, object, "init", "seed", seed, 0, INT64_MAX);
    if (init->std > 0.0 && init->kind != SONDE_INIT_NORMAL) {
        sonde_recipe_fail(r, "init: \"std\" goes with the kind \"normal\"");
    }
}

/* A learning rate of 0 or a rate of more than all is a slip of the pen. */
static double above_zero(struct sonde_recipe_reader *r, const struct sonde_json *object,
                         const char *where, const char *key, double fallback, double max)
{
    const double value = sonde_recipe_f64(r, object, where, key, fallback, 0.0, max);
    if (r->status == SONDE_STATUS_OK && !(value > 0.0)) {
        sonde_recipe_fail(r, "%s: %s is 0, expected more", where, key);
    }
    return value;
}

static void read_betas(struct sonde_recipe_reader *r, const struct sonde_json *object,
                       struct sonde_update_rule *rule)
{
    const struct sonde_json *betas = sonde_json_get(object, "betas");
    if (!betas) {
        return;
    }
    const struct sonde_json *one = sonde_json_at(betas, 0), *two = sonde_json_at(betas, 1);
    if (sonde_json_type(betas) != SONDE_JSON_ARRAY || sonde_json_size(betas) != 2 ||
        !sonde_json_is_number(one) || !sonde_json_is_number(two)) {
        sonde_recipe_fail(r, "optimizer: betas: expected an array of two numbers");
        return;
    }
    rule->beta1 = sonde_json_real(one, 0.0);
    rule->beta2 = sonde_json_real(two, 0.0);
    if (!(rule->beta1 >= 0.0 && rule->beta1 < 1.0 && rule->beta2 >= 0.0 && rule->beta2 < 1.0)) {
        sonde_recipe_fail(r, "optimizer: betas [%.9g, %.9g], expected numbers from 0 to below 1",
                          rule->beta1, rule->beta2);
    }
}

static void read_optimizer(struct sonde_recipe_reader *r, const struct sonde_json *root)
{
    static const char *const names[] = { "sgd", "rmsprop", "adam", "adamw", NULL };
    static const char *const sgd[] = { "name",     "lr",           "momentum", "dampening",
                                       "nesterov", "weight_decay", "decay",    NULL };
    static const char *const rmsprop[] = { "name",     "lr",           "alpha", "eps", "momentum",
                                           "centered", "weight_decay", "decay", NULL };
    static const char *const adam[] = {
        "name", "lr", "betas", "eps", "weight_decay", "decay", NULL
    };
    static const char *const *const keys[] = { sgd, rmsprop, adam, adam };
    static const char *const decays[] = { "all", "matrices", NULL };
    static const char at[] = "optimizer";
    const struct sonde_json *object = sonde_json_get(root, at);
    struct sonde_update_rule *rule = &r->recipe->options.rule;
    if (sonde_json_type(object) != SONDE_JSON_OBJECT) {
        sonde_recipe_fail(r, "optimizer is %s, expected an object",
                          object ? sonde_json_type_name(sonde_json_type(object)) : "missing");
        return;
    }
    const int kind = sonde_recipe_word(r, object, at, "name", names, -1);
    if (r->status != SONDE_STATUS_OK) {
        return;
    }
    sonde_recipe_check_keys(r, object, at, keys[kind]);
    *rule = sonde_update_defaults((enum sonde_update_kind)kind);
    if (kind == SONDE_UPDATE_SGD && !sonde_json_get(object, "lr")) {
        sonde_recipe_fail(r, "optimizer: lr is missing: sgd has no default");
    }
    rule->lr = above_zero(r, object, at, "lr", rule->lr, NUMBER_MAX);
    if (r->status == SONDE_STATUS_OK && rule->lr < (double)FLT_MIN) {
        sonde_recipe_fail(r, "optimizer: lr is %.9g, below the least normal float", rule->lr);
    }
    rule->weight_decay =
        sonde_recipe_f64(r, object, at, "weight_decay", rule->weight_decay, 0.0, NUMBER_MAX);
    rule->momentum = sonde_recipe_f64(r, object, at, "momentum", 0.0, 0.0, NUMBER_MAX);
    rule->dampening = sonde_recipe_f64(r, object, at, "dampening", 0.0, -NUMBER_MAX, NUMBER_MAX);
    rule->nesterov = sonde_recipe_bool(r, object, at, "nesterov", false);
    rule->alpha = sonde_recipe_f64(r, object, at, "alpha", rule->alpha, 0.0, 1.0);
    rule->centered = sonde_recipe_bool(r, object, at, "centered", false);
    rule->eps = sonde_recipe_f64(r, object, at, "eps", rule->eps, 0.0, 1.0);
    read_betas(r, object, rule);
    if (rule->nesterov && (rule->momentum <= 0.0 || rule->dampening != 0.0)) {
        sonde_recipe_fail(r, "optimizer: nesterov needs a momentum and no dampening");
    }
    r->recipe->options.decay_matrices_only =
        sonde_recipe_word(r, object, at, "decay", decays, 0) == 1;
}

static void read_schedule(struct sonde_recipe_reader *r, const struct sonde_json *root)
{
    static const char *const keys[] = { "kind", "warmup", "final", "gamma", "period", NULL };
    static const char *const kinds[] = { "constant", "linear", "cosine", "step", NULL };
    static const char at[] = "schedule";
    struct sonde_schedule *s = &r->recipe->options.schedule;
    const struct sonde_json *object = sonde_recipe_object(r, root, at, keys);
    s->kind = (enum sonde_schedule_kind)sonde_recipe_word(r, object, at, "kind", kinds,
                                                          SONDE_SCHEDULE_CONSTANT);
    s->warmup = sonde_recipe_i64(r, object, at, "warmup", 0, 0, COUNT_MAX);
    s->final = sonde_recipe_f64(r, object, at, "final", 0.0, 0.0, 1.0);
    s->gamma = sonde_recipe_f64(r, object, at, "gamma", 0.1, 0.0, 1.0);
    s->period = sonde_recipe_i64(r, object, at, "period", 0, 1, COUNT_MAX);
    const bool falls = s->kind == SONDE_SCHEDULE_LINEAR || s->kind == SONDE_SCHEDULE_COSINE;
    const bool steps = s->kind == SONDE_SCHEDULE_STEP;
    if (steps && s->period == 0) {
        sonde_recipe_fail(r, "schedule: period is missing: steps between two falls");
    }
    if (!falls && sonde_json_get(object, "final")) {
        sonde_recipe_fail(r, "schedule: \"final\" goes with linear and cosine");
    }
    if (!steps && (sonde_json_get(object, "gamma") || sonde_json_get(object, "period"))) {
        sonde_recipe_fail(r, "schedule: \"%s\" goes with step",
                          sonde_json_get(object, "gamma") ? "gamma" : "period");
    }
}

/* One of two numbers of an object, or of the root. */
static void read_either(struct sonde_recipe_reader *r, const struct sonde_json *object,
                        const char *where, const char *a, const char *b, int64_t *first,
                        int64_t *second)
{
    *first = sonde_recipe_i64(r, object, where, a, 0, 1, COUNT_MAX);
    *second = sonde_recipe_i64(r, object, where, b, 0, 1, COUNT_MAX);
    if ((*first > 0) == (*second > 0)) {
        sonde_recipe_fail(r, "%s%s\"%s\" and \"%s\": %s, expected one of them", where,
                          *where ? ": " : "", a, b,
                          *first > 0 ? "both are given" : "neither is given");
    }
}

static void read_batch(struct sonde_recipe_reader *r, const struct sonde_json *root)
{
    static const char *const batch_keys[] = { "sequences", "tokens", NULL };
    static const char *const clip_keys[] = { "norm", "value", NULL };
    static const char *const orders[] = { "file", "shuffle", NULL };
    struct sonde_trainer_options *o = &r->recipe->options;
    const struct sonde_json *batch = sonde_recipe_object(r, root, "batch", batch_keys);
    const struct sonde_json *clip = sonde_recipe_object(r, root, "clip", clip_keys);
    read_either(r, batch, "batch", "sequences", "tokens", &o->batch_sequences, &o->batch_tokens);
    o->clip_norm = sonde_recipe_f64(r, clip, "clip", "norm", 0.0, 0.0, NUMBER_MAX);
    o->clip_value = sonde_recipe_f64(r, clip, "clip", "value", 0.0, 0.0, NUMBER_MAX);
    o->shuffle = sonde_recipe_word(r, root, "", "order", orders, 1) == 1;
    o->n_lanes = (int)sonde_recipe_i64(r, root, "", "lanes", SONDE_TRAINER_LANES, 1,
                                       SONDE_TRAINER_LANES_MAX);
    if (sonde_recipe_f64(r, root, "", "dropout", 0.0, -NUMBER_MAX, NUMBER_MAX) != 0.0) {
        sonde_recipe_fail(r, "dropout is not 0: training has no dropout");
    }
}

static void read_objective(struct sonde_recipe_reader *r, const struct sonde_json *root)
{
    static const char *const words[] = { "next-token",   "k-hot-mse",      "k-hot-bce",
                                         "masked-token", "classification", NULL };
    static const char *const mask_keys[] = { "rate", "token", NULL };
    static const char *const ends[] = { "last", "first", NULL };
    struct sonde_trainer_options *o = &r->recipe->options;
    const int objective = sonde_recipe_word(r, root, "", "objective", words, -1);
    const struct sonde_json *mask = sonde_recipe_object(r, root, "mask", mask_keys);
    const struct sonde_json *token = sonde_json_get(mask, "token");
    if (r->status != SONDE_STATUS_OK) {
        return;
    }
    o->objective = (enum sonde_objective)objective;
    o->mask_id = -1;
    o->mask_rate = sonde_recipe_f64(r, mask, "mask", "rate", 0.0, 1e-3, 1.0);
    if (sonde_json_type(token) == SONDE_JSON_STRING) {
        r->recipe->mask_token = sonde_json_string(token, NULL);
    } else {
        o->mask_id =
            (int32_t)sonde_recipe_i64(r, mask, "mask", "token", -1, 0, SONDE_SPEC_SIZE_MAX);
    }
    r->recipe->label_at_first = sonde_recipe_word(r, root, "", "label-at", ends, 0) == 1;
    const struct sonde_recipe_corpus *c = &r->recipe->corpus;
    const bool k_hot =
        objective == SONDE_OBJECTIVE_K_HOT_MSE || objective == SONDE_OBJECTIVE_K_HOT_BCE;
    if (mask && objective != SONDE_OBJECTIVE_MASKED_TOKEN) {
        sonde_recipe_fail(r, "\"mask\" goes with the objective masked-token");
    }
    if (objective == SONDE_OBJECTIVE_MASKED_TOKEN && !token) {
        sonde_recipe_fail(r, "mask: token is missing: what stands for a masked token");
    }
    if (k_hot && c->kind != SONDE_RECIPE_CORPUS_FORMAL) {
        sonde_recipe_fail(r, "objective %s needs a corpus of a formal language", words[objective]);
    }
    if ((objective == SONDE_OBJECTIVE_CLASSIFICATION) != (c->label != NULL)) {
        sonde_recipe_fail(r, "%s",
                          c->label ? "corpus: \"label\" goes with the objective classification"
                                   : "objective classification needs a corpus with a \"label\"");
    }
    for (int64_t i = -1; i < r->recipe->n_validations; i++) {
        const struct sonde_recipe_corpus *v = i < 0 ? c : &r->recipe->validation[i];
        if (k_hot && (v->pack || v->eos || v->limit || v->skip_every || v->only_every)) {
            sonde_recipe_fail(r, "%s: with objective %s a formal language is taken as it is",
                              v->name, words[objective]);
        }
    }
    for (int64_t i = 0; i < r->recipe->n_validations; i++) {
        const struct sonde_recipe_corpus *v = &r->recipe->validation[i];
        if ((v->label != NULL) != (c->label != NULL) ||
            (k_hot && v->kind != SONDE_RECIPE_CORPUS_FORMAL)) {
            sonde_recipe_fail(r, "validation %lld is not of the kind of the corpus", (long long)i);
        }
    }
}

static void read_times(struct sonde_recipe_reader *r, const struct sonde_json *root)
{
    static const char *const checkpoint_keys[] = { "every", "keep", NULL };
    static const char *const validate_keys[] = { "every", NULL };
    static const char *const selects[] = { "last", "best", NULL };
    struct sonde_recipe *recipe = r->recipe;
    const struct sonde_json *checkpoint =
        sonde_recipe_object(r, root, "checkpoint", checkpoint_keys);
    const struct sonde_json *validate = sonde_recipe_object(r, root, "validate", validate_keys);
    read_either(r, root, "", "epochs", "steps", &recipe->n_epochs, &recipe->n_steps);
    if (recipe->n_epochs > EPOCHS_MAX) {
        sonde_recipe_fail(r, "epochs is %lld, expected at most %lld", (long long)recipe->n_epochs,
                          (long long)EPOCHS_MAX);
    }
    recipe->options.schedule.n_steps = recipe->n_steps;
    recipe->options.schedule_epochs = recipe->n_epochs;
    recipe->checkpoint_every =
        sonde_recipe_i64(r, checkpoint, "checkpoint", "every", 0, 0, COUNT_MAX);
    recipe->checkpoint_keep =
        sonde_recipe_i64(r, checkpoint, "checkpoint", "keep", 0, 0, COUNT_MAX);
    recipe->select_best = sonde_recipe_word(r, root, "", "select", selects, 0) == 1;
    if (recipe->select_best && recipe->n_validations == 0) {
        sonde_recipe_fail(r, "select \"best\" needs a validation");
    }
    recipe->validate_every = sonde_recipe_i64(r, validate, "validate", "every", 0, 0, COUNT_MAX);
}

static void read_model(struct sonde_recipe_reader *r, const struct sonde_json *root)
{
    const struct sonde_json *model = sonde_json_get(root, "model");
    if (sonde_json_type(model) != SONDE_JSON_OBJECT) {
        sonde_recipe_fail(r, "model is %s, expected an object",
                          model ? sonde_json_type_name(sonde_json_type(model)) : "missing");
    } else if (sonde_json_type(sonde_json_get(model, "model_type")) != SONDE_JSON_STRING) {
        sonde_recipe_fail(r, "model: model_type is missing: the family, such as \"sonde\"");
    }
    r->recipe->model = model;
}

static void read_tokenizer(struct sonde_recipe_reader *r, const struct sonde_json *root)
{
    const char *text = sonde_recipe_text(r, root, "", "tokenizer");
    struct sonde_recipe *recipe = r->recipe;
    const bool formal = recipe->corpus.kind == SONDE_RECIPE_CORPUS_FORMAL;
    recipe->formal_tokenizer = text ? strcmp(text, "formal") == 0 : formal;
    recipe->tokenizer = recipe->formal_tokenizer ? NULL : sonde_recipe_path(r, text);
    if (recipe->formal_tokenizer && !formal) {
        sonde_recipe_fail(r, "tokenizer \"formal\" needs a corpus of a formal language");
    } else if (!text && !formal && recipe->corpus.kind != SONDE_RECIPE_CORPUS_IDS) {
        sonde_recipe_fail(r, "tokenizer is missing: the path of a tokenizer.json");
    } else if (text && !recipe->formal_tokenizer && formal) {
        sonde_recipe_fail(r, "tokenizer: a corpus of a formal language has the tokenizer "
                             "\"formal\"");
    }
}

void sonde_recipe_read(struct sonde_recipe_reader *r, const struct sonde_json *root)
{
    static const char *const keys[] = {
        "name",      "note",  "model",    "init",      "tokenizer", "corpus",     "validation",
        "objective", "mask",  "label-at", "optimizer", "schedule",  "clip",       "batch",
        "epochs",    "steps", "order",    "seed",      "lanes",     "checkpoint", "validate",
        "select",    "dtype", "dropout",  NULL,
    };
    static const char *const dtypes[] = { "f32", "f16", "bf16", NULL };
    static const enum sonde_dtype dtype_of[] = { SONDE_DTYPE_F32, SONDE_DTYPE_F16,
                                                 SONDE_DTYPE_BF16 };
    struct sonde_recipe *recipe = r->recipe;
    if (sonde_json_type(root) != SONDE_JSON_OBJECT) {
        sonde_recipe_fail(r, "%s, expected an object", sonde_json_type_name(sonde_json_type(root)));
        return;
    }
    sonde_recipe_check_keys(r, root, "", keys);
    recipe->name = sonde_recipe_text(r, root, "", "name");
    recipe->note = sonde_recipe_text(r, root, "", "note");
    recipe->options.seed =
        (uint64_t)sonde_recipe_i64(r, root, "", "seed", SONDE_SEED_DEFAULT, 0, INT64_MAX);
    read_model(r, root);
    read_init(r, root);
    const struct sonde_json *corpus = sonde_recipe_object(r, root, "corpus", corpus_keys);
    if (!corpus) {
        sonde_recipe_fail(r, "corpus is missing");
        return;
    }
    recipe->corpus.name = "train";
    read_corpus(r, corpus, "corpus", &recipe->corpus);
    read_validation(r, root);
    read_tokenizer(r, root);
    read_objective(r, root);
    read_optimizer(r, root);
    read_schedule(r, root);
    read_batch(r, root);
    read_times(r, root);
    recipe->dtype = dtype_of[sonde_recipe_word(r, root, "", "dtype", dtypes, 0)];
}
