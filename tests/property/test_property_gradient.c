/* Gradients of the weights and trained weights have the same bits on any number of threads, with
 * checkpoints and without, and where training was saved and resumed. */
#include <string.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/train/trainer.h"
#include "tests/property/property_case.h"
#include "tests/support/check.h"

enum { GRADIENT_ROUNDS = 20, TRAIN_ROUNDS = 12, WEIGHTS_MAX = 128, STEPS = 5 };

/* The model's weights, each once. */
struct weights {
    const struct sonde_weight *w[WEIGHTS_MAX];
    int n;
};

static void add_weights(struct weights *out, const struct sonde_weight *w, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        bool known = !sonde_weight_present(&w[i]);
        for (int k = 0; k < out->n && !known; k++) {
            known = out->w[k]->data == w[i].data;
        }
        if (!known) {
            assert_true(out->n < WEIGHTS_MAX);
            out->w[out->n++] = &w[i];
        }
    }
}

static struct weights list_weights(const struct sonde_model *model)
{
    const struct sonde_weights *all = sonde_model_weights(model);
    struct weights out = { .n = 0 };
    const struct sonde_weight *const single[] = {
        &all->embed,         &all->pos_embed,     &all->relative_bias, &all->token_type,
        &all->embed_ln_gain, &all->embed_ln_bias, &all->ln_final_gain, &all->ln_final_bias,
        &all->unembed,       &all->unembed_bias,  &all->head_dense,    &all->head_dense_bias,
        &all->head_ln_gain,  &all->head_ln_bias,
    };
    for (size_t i = 0; i < sizeof single / sizeof *single; i++) {
        add_weights(&out, single[i], 1);
    }
    for (int l = 0; l < sonde_model_spec(model)->n_layers; l++) {
        const struct sonde_layer_weights *w = &all->layer[l];
        const struct sonde_weight *const of_layer[] = {
            &w->ln1_gain, &w->ln1_bias, &w->ln2_gain, &w->ln2_bias, &w->w_q,
            &w->w_k,      &w->w_v,      &w->w_o,      &w->b_q,      &w->b_k,
            &w->b_v,      &w->b_o,      &w->relative, &w->w_gate,   &w->w_up,
            &w->w_down,   &w->b_gate,   &w->b_up,     &w->b_down,
        };
        for (size_t i = 0; i < sizeof of_layer / sizeof *of_layer; i++) {
            add_weights(&out, of_layer[i], 1);
        }
    }
    return out;
}

static int64_t count(const struct sonde_weight *w)
{
    return w->rows * w->columns;
}

/* Sums of the gradients over the case's sequences, in `into`, which is one array after another. */
static void sum_gradients(const struct property_case *c, const struct weights *weights,
                          int n_threads, bool checkpoints, float *into, double *losses)
{
    struct sonde_error error = { 0 };
    struct sonde_pool *pool = NULL;
    struct sonde_session *session = NULL;
    struct sonde_gradient *gradient = NULL;
    check_ok(sonde_pool_create(&pool, n_threads, &error), &error);
    const struct sonde_session_options options = { .pool = pool };
    check_ok(sonde_session_create(&session, c->model.model, &options, &error), &error);
    check_ok(sonde_gradient_create(&gradient, session, 0, &error), &error);
    float *at = into;
    for (int i = 0; i < weights->n; i++) {
        check_ok(sonde_gradient_want(gradient, weights->w[i], at, &error), &error);
        at += count(weights->w[i]);
    }
    memset(into, 0, (size_t)(at - into) * sizeof *into);
    for (int64_t s = 0; s < c->corpus.n; s++) {
        struct sonde_gradient_args args = { .ids = c->corpus.ids[s],
                                            .n_tokens = c->corpus.n_tokens[s],
                                            .loss = c->loss,
                                            .hooks = &c->hook,
                                            .n_hooks = c->edits != NULL,
                                            .checkpoints = checkpoints };
        if (c->has_targets) {
            args.loss.targets = c->targets[s];
        }
        check_ok(sonde_gradient_run(gradient, &args, &losses[s], &error), &error);
    }
    sonde_gradient_destroy(&gradient);
    sonde_session_destroy(&session);
    sonde_pool_destroy(&pool);
}

static const char *compare_gradients(const struct property_case *c, struct sonde_rng *rng,
                                     char text[256])
{
    const struct weights weights = list_weights(c->model.model);
    const char *why = NULL;
    size_t n = 0;
    for (int i = 0; i < weights.n; i++) {
        n += (size_t)count(weights.w[i]);
    }
    float *first = calloc(n, sizeof *first), *other = calloc(n, sizeof *other);
    double *losses[2] = { calloc((size_t)c->corpus.n, sizeof(double)),
                          calloc((size_t)c->corpus.n, sizeof(double)) };
    assert_true(first && other && losses[0] && losses[1]);
    sum_gradients(c, &weights, 1, false, first, losses[0]);
    for (int i = 0; i < 3 && !why; i++) {
        const int n_threads = (int)property_between(rng, 1, 4);
        const bool checkpoints = property_chance(rng, 0.5);
        sum_gradients(c, &weights, n_threads, checkpoints, other, losses[1]);
        size_t at = 0;
        for (int k = 0; k < weights.n && !why; k++) {
            const int64_t size = count(weights.w[k]);
            if (memcmp(first + at, other + at, (size_t)size * sizeof *first) != 0) {
                snprintf(text, 256, "weight %d of [%lld, %lld], %d threads, checkpoints %d", k,
                         (long long)weights.w[k]->rows, (long long)weights.w[k]->columns, n_threads,
                         checkpoints);
                why = text;
            }
            at += (size_t)size;
        }
        if (memcmp(losses[0], losses[1], (size_t)c->corpus.n * sizeof(double)) != 0) {
            why = "the losses";
        }
    }
    free(first);
    free(other);
    free(losses[0]);
    free(losses[1]);
    return why;
}

static void test_gradients_of_weights(void **state)
{
    const struct property_rounds rounds = property_rounds_read(GRADIENT_ROUNDS);
    (void)state;
    for (int64_t i = 0; i < rounds.n; i++) {
        struct sonde_rng rng = property_rng(&rounds, rounds.first + i, "gradient");
        struct property_case *c = malloc(sizeof *c);
        char text[256];
        assert_non_null(c);
        property_case_draw(c, &rng, (rounds.first + i) % 10 == 9);
        const bool has_loss = !sonde_site_set_is_empty(&c->gradients);
        const char *why = has_loss ? compare_gradients(c, &rng, text) : NULL;
        if (why) {
            fprintf(stderr, "# round %lld: %s\n", (long long)(rounds.first + i), why);
            property_case_say(c);
            property_say(&rounds, rounds.first + i, "test_property_gradient");
        }
        property_case_free(c);
        free(c);
        if (why) {
            fail();
        }
    }
}

/* How one training is run. */
struct training {
    const struct property_model *model;
    uint64_t seed;
    struct sonde_examples *examples;
    struct sonde_trainer_options options;
};

static struct sonde_model *make_model(const struct training *t)
{
    struct sonde_error error = { 0 };
    struct sonde_json *config = NULL;
    struct sonde_model *model = NULL;
    const struct sonde_init init = { .seed = t->seed };
    char *path = sonde_path_join(t->model->folder, "config.json");
    check_ok(sonde_json_load(&config, path, 100000, &error), &error);
    check_ok(sonde_model_create(&model, config, path, &init, &error), &error);
    sonde_json_destroy(&config);
    free(path);
    return model;
}

/* STEPS steps on n_threads, with a break after `stop` of them (0 = none); the saved file. */
static struct sonde_buf train(const struct training *t, int n_threads, int stop)
{
    const struct sonde_example_source source = sonde_examples_source(t->examples);
    struct sonde_trainer_options options = t->options;
    struct sonde_error error = { 0 };
    struct sonde_model *model = make_model(t);
    struct sonde_trainer *trainer = NULL;
    struct sonde_buf file = { 0 };
    char *path = sonde_path_join(t->model->folder, "state.safetensors");
    check_ok(sonde_pool_create(&options.pool, n_threads, &error), &error);
    check_ok(sonde_trainer_create(&trainer, model, &source, &options, &error), &error);
    for (int step = 0; step < STEPS; step++) {
        if (stop > 0 && step == stop) {
            check_ok(sonde_trainer_save(trainer, path, "note", &error), &error);
            sonde_trainer_destroy(&trainer);
            sonde_model_close(&model);
            model = make_model(t);
            check_ok(sonde_trainer_create(&trainer, model, &source, &options, &error), &error);
            check_ok(sonde_trainer_load(trainer, path, "note", &error), &error);
        }
        check_ok(sonde_trainer_step(trainer, NULL, &error), &error);
    }
    check_ok(sonde_trainer_save(trainer, path, "note", &error), &error);
    FILE *in = fopen(path, "rb");
    assert_non_null(in);
    char block[4096];
    for (size_t n; (n = fread(block, 1, sizeof block, in)) > 0;) {
        sonde_buf_append(&file, block, n);
    }
    fclose(in);
    assert_int_equal(sonde_buf_status(&file, &error), SONDE_STATUS_OK);
    sonde_trainer_destroy(&trainer);
    sonde_pool_destroy(&options.pool);
    sonde_model_close(&model);
    free(path);
    return file;
}

static void draw_examples(struct training *t, struct sonde_rng *rng, int64_t outputs)
{
    const struct model_recipe *r = &t->model->recipe;
    struct property_corpus corpus;
    struct sonde_error error = { 0 };
    property_corpus_draw(&corpus, rng, property_between(rng, 3, 30),
                         r->n_ctx < 100 ? r->n_ctx : 100, r->V);
    check_ok(sonde_examples_create(&t->examples, 0, &error), &error);
    for (int64_t s = 0; s < corpus.n; s++) {
        int32_t *targets = calloc((size_t)corpus.n_tokens[s], sizeof *targets);
        assert_non_null(targets);
        for (int64_t i = 0; i < corpus.n_tokens[s]; i++) {
            targets[i] = (int32_t)sonde_rng_below(rng, outputs);
        }
        const struct sonde_example example = {
            .ids = corpus.ids[s],
            .n_tokens = corpus.n_tokens[s],
            .targets = t->options.objective == SONDE_OBJECTIVE_CLASSIFICATION ? targets : NULL,
        };
        check_ok(sonde_examples_add(t->examples, &example, &error), &error);
        free(targets);
    }
    property_corpus_free(&corpus);
}

static void draw_training(struct training *t, struct sonde_rng *rng)
{
    const struct sonde_spec *spec = sonde_model_spec(t->model->model);
    const bool tokens = sonde_spec_outputs(spec) == spec->d_vocab;
    static const enum sonde_update_kind kinds[] = { SONDE_UPDATE_SGD, SONDE_UPDATE_RMSPROP,
                                                    SONDE_UPDATE_ADAM, SONDE_UPDATE_ADAMW };
    t->seed = sonde_rng_u64(rng);
    t->options = (struct sonde_trainer_options){
        .objective =
            tokens && spec->causal && t->model->recipe.n_ctx > 4 && property_chance(rng, 0.5)
                ? SONDE_OBJECTIVE_NEXT_TOKEN
                : SONDE_OBJECTIVE_CLASSIFICATION,
        .rule = sonde_update_defaults(kinds[sonde_rng_below(rng, 4)]),
        .batch_sequences = property_between(rng, 1, 12),
        .shuffle = property_chance(rng, 0.5),
        .clip_norm = property_chance(rng, 0.5) ? 1.0 : 0.0,
        .seed = t->seed,
        .n_lanes = property_chance(rng, 0.5) ? 0 : (int)property_between(rng, 1, 10),
    };
    if (property_chance(rng, 0.3)) {
        t->options.batch_sequences = 0;
        t->options.batch_tokens = property_between(rng, 50, 300);
    }
    draw_examples(t, rng, sonde_spec_outputs(spec));
}

static void test_trained_weights(void **state)
{
    const struct property_rounds rounds = property_rounds_read(TRAIN_ROUNDS);
    (void)state;
    for (int64_t i = 0; i < rounds.n; i++) {
        struct sonde_rng rng = property_rng(&rounds, rounds.first + i, "train");
        struct property_model model;
        struct training t = { .model = &model };
        bool same = true;
        property_model_draw(&model, &rng, (rounds.first + i) % 12 == 11);
        if (!sonde_model_spec(model.model)->headless) {
            draw_training(&t, &rng);
            struct sonde_buf first = train(&t, 1, 0);
            for (int k = 0; k < 2 && same; k++) {
                const int n_threads = (int)property_between(&rng, 1, 4);
                const int stop = (int)property_between(&rng, 0, STEPS - 1);
                struct sonde_buf other = train(&t, n_threads, stop);
                same = first.size == other.size && memcmp(first.data, other.data, first.size) == 0;
                if (!same) {
                    fprintf(stderr, "# round %lld: other weights with %d threads, break at %d\n",
                            (long long)(rounds.first + i), n_threads, stop);
                }
                sonde_buf_finish(&other);
            }
            sonde_buf_finish(&first);
            sonde_examples_destroy(&t.examples);
        }
        if (!same) {
            const struct property_case c = { .model = model };
            property_case_say(&c);
            property_say(&rounds, rounds.first + i, "test_property_gradient");
        }
        property_model_free(&model);
        assert_true(same);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradients_of_weights),
        cmocka_unit_test(test_trained_weights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
