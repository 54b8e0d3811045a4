/* Training against the matrix products: forward, backward and update of models of a million and of
 * sixteen million parameters, and the rate of a model organism. */
#include <stdlib.h>
#include <string.h>

#include "core/base/rng.h"
#include "core/train/trainer.h"
#include "tools/bench/bench.h"
#include "tools/train/train_input.h"

enum {
    N_TOKENS = 256,
    N_SEQUENCES = 16,
};

static const struct work {
    const char *measure, *config;
    int64_t batch; /* sequences of a step */
    int n_steps;   /* of a round */
} works[] = {
    { "d 128, 1M weights",
      "{\"model_type\": \"sonde\", \"hidden_size\": 128, \"num_hidden_layers\": 4, "
      "\"num_attention_heads\": 4, \"intermediate_size\": 512, \"vocab_size\": 1024, "
      "\"max_position_embeddings\": 256, \"position\": \"rotary\", \"hidden_act\": \"gelu\"}",
      N_SEQUENCES, 3 },
    { "d 768, 16M weights",
      "{\"model_type\": \"sonde\", \"hidden_size\": 768, \"num_hidden_layers\": 2, "
      "\"num_attention_heads\": 12, \"intermediate_size\": 3072, \"vocab_size\": 1024, "
      "\"max_position_embeddings\": 256, \"position\": \"rotary\", \"hidden_act\": \"gelu\"}",
      4, 1 },
};
enum { N_WORKS = sizeof(works) / sizeof(works[0]) };

/* The model of Tiwari, Gupta and Hahn (2025): a layer, 32 wide, no positions. */
static const char organism_text[] =
    "{\"model_type\": \"sonde\", \"hidden_size\": 32, \"num_hidden_layers\": 1, "
    "\"num_attention_heads\": 1, \"intermediate_size\": 64, \"vocab_size\": 3, \"n_outputs\": 2, "
    "\"norm_place\": \"post\", \"position\": \"none\", \"hidden_act\": \"relu\", \"head\": "
    "\"sigmoid\", \"head_bias\": true, \"embedding_scale\": \"sqrt\"}";

static enum sonde_status make_model(const char *text, enum sonde_init_kind kind,
                                    struct sonde_model **out, struct sonde_error *error)
{
    struct sonde_json *config = NULL;
    const struct sonde_init init = { .kind = kind, .seed = SONDE_SEED_DEFAULT };
    enum sonde_status status = sonde_json_parse(&config, text, strlen(text), error);
    if (!status)
        status = sonde_model_create(out, config, "the model", &init, error);
    sonde_json_destroy(&config);
    return status;
}

static enum sonde_status random_examples(struct sonde_examples **out, int64_t d_vocab,
                                         uint64_t seed, struct sonde_error *error)
{
    struct sonde_rng rng = sonde_rng_make(seed, 4);
    enum sonde_status status = sonde_examples_create(out, 0, error);
    for (int i = 0; i < N_SEQUENCES && !status; i++) {
        int32_t ids[N_TOKENS];
        for (int t = 0; t < N_TOKENS; t++)
            ids[t] = (int32_t)sonde_rng_below(&rng, d_vocab);
        const struct sonde_example example = { .ids = ids, .n_tokens = N_TOKENS };
        status = sonde_examples_add(*out, &example, error);
    }
    return status;
}

/* Multiply-adds twice, per token: the products of the forward pass, and two of the same size for
 * each of them on the way back (what goes on, and the weight's own). Keys: on average half. */
static double flops_per_token(const struct sonde_spec *s)
{
    double d = (double)s->d_model, e = (double)s->d_head;
    double attention = d * e * (double)(2 * s->n_heads + 2 * s->n_kv_heads);
    double mlp = d * (double)s->d_mlp * (s->gated ? 3 : 2);
    double mixing = 2 * e * (double)s->n_heads * (double)(N_TOKENS + 1) / 2;
    double unembed = d * (double)sonde_spec_outputs(s);
    return 3 * 2 * (s->n_layers * (attention + mlp + mixing) + unembed);
}

static enum sonde_status time_steps(struct sonde_trainer *trainer, int n, double *seconds,
                                    int64_t *n_tokens, struct sonde_error *error)
{
    enum sonde_status status = SONDE_STATUS_OK;
    double begin = sonde_cli_seconds();
    *n_tokens = 0;
    for (int i = 0; i < n && !status; i++) {
        struct sonde_train_step step;
        status = sonde_trainer_step(trainer, &step, error);
        *n_tokens += step.n_tokens;
    }
    *seconds = sonde_cli_seconds() - begin;
    return status;
}

static enum sonde_status bench_steps(struct sonde_bench *bench, const struct work *work,
                                     struct sonde_error *error)
{
    struct sonde_trainer_options options = { .rule = sonde_update_defaults(SONDE_UPDATE_ADAMW),
                                             .batch_sequences = work->batch,
                                             .clip_norm = 1,
                                             .pool = bench->pool };
    struct sonde_model *model = NULL;
    struct sonde_examples *examples = NULL;
    struct sonde_trainer *trainer = NULL;
    struct sonde_bench_samples limit = { { 0 } }, achieved = { { 0 } };
    double seconds = 0;
    int64_t n_tokens = 0;
    enum sonde_status status = make_model(work->config, SONDE_INIT_NORMAL, &model, error);
    if (!status)
        status = random_examples(&examples, sonde_model_spec(model)->d_vocab,
                                 (uint64_t)bench->cli->common.seed, error);
    if (!status) {
        const struct sonde_example_source source = sonde_examples_source(examples);
        status = sonde_trainer_create(&trainer, model, &source, &options, error);
    }
    if (!status) /* memory is asked for at first */
        status = time_steps(trainer, 1, &seconds, &n_tokens, error);
    for (int r = 0; !status && r < SONDE_BENCH_ROUNDS; r++) {
        status = sonde_bench_limit(bench, &limit.value[r], error);
        limit.value[r] /= 1e9;
        if (!status)
            status = time_steps(trainer, work->n_steps, &seconds, &n_tokens, error);
        achieved.value[r] =
            (double)n_tokens / seconds * flops_per_token(sonde_model_spec(model)) / 1e9;
        if (!status)
            status = sonde_bench_progress(bench, "train", r + 1, error);
    }
    if (!status)
        sonde_bench_add(bench, "train", work->measure, "GFLOP/s", &limit, &achieved);
    sonde_trainer_destroy(&trainer);
    sonde_examples_destroy(&examples);
    sonde_model_close(&model);
    return status;
}

static enum sonde_status bench_organism(struct sonde_bench *bench, struct sonde_error *error)
{
    struct sonde_trainer_options options = { .objective = SONDE_OBJECTIVE_K_HOT_MSE,
                                             .rule = sonde_update_defaults(SONDE_UPDATE_RMSPROP),
                                             .batch_sequences = 32,
                                             .pool = bench->pool };
    struct sonde_model *model = NULL;
    struct sonde_examples *examples = NULL;
    struct sonde_trainer *trainer = NULL;
    struct sonde_bench_samples achieved = { { 0 } };
    double seconds = 0;
    int64_t n_tokens = 0;
    enum sonde_status status = make_model(organism_text, SONDE_INIT_TORCH, &model, error);
    if (!status)
        status = sonde_train_formal(&examples, "dyck-1:n=2000,len=2..50", NULL, 0, NULL, error);
    if (!status) {
        const struct sonde_example_source source = sonde_examples_source(examples);
        status = sonde_trainer_create(&trainer, model, &source, &options, error);
    }
    for (int r = 0; !status && r < SONDE_BENCH_ROUNDS; r++) {
        status = time_steps(trainer, 60, &seconds, &n_tokens, error);
        achieved.value[r] = (double)n_tokens / seconds / 1e3;
    }
    if (!status)
        sonde_bench_add(bench, "train", "organism, d 32", "k token/s", NULL, &achieved);
    sonde_trainer_destroy(&trainer);
    sonde_examples_destroy(&examples);
    sonde_model_close(&model);
    return status;
}

enum sonde_status sonde_bench_train(struct sonde_bench *bench, struct sonde_error *error)
{
    enum sonde_status status = SONDE_STATUS_OK;
    for (int i = 0; !status && i < N_WORKS; i++)
        status = bench_steps(bench, &works[i], error);
    return status ? status : bench_organism(bench, error);
}
