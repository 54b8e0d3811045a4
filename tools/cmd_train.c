/* sonde train: a small model from a recipe. */
#include <stdio.h>

#include "core/base/rng.h"
#include "tools/commands.h"
#include "tools/train/train_run.h"

#define MEM_DEFAULT ((int64_t)2 << 30)

struct train_options {
    const char *folder;
    bool resume;
    int64_t steps, mem;
};

static const struct sonde_cli_option options[] = {
    { "output", 'o', SONDE_CLI_TEXT, offsetof(struct train_options, folder), "DIR",
      "the folder of the model; made where it is absent", NULL, 0, 0 },
    { "resume", 0, SONDE_CLI_FLAG, offsetof(struct train_options, resume), NULL,
      "go on from the last checkpoint in DIR", NULL, 0, 0 },
    { "steps", 0, SONDE_CLI_INTEGER, offsetof(struct train_options, steps), "N",
      "stop after step N, as if interrupted there: --resume goes on", NULL, 1, INT64_MAX },
    { "mem", 0, SONDE_CLI_BYTES, offsetof(struct train_options, mem), "BYTES",
      "most memory of examples, gradients, states and passes (default 2G)", NULL, 1, INT64_MAX },
    { 0 },
};

static enum sonde_status print_curve(const struct sonde_cli *cli, const struct sonde_train_run *run,
                                     struct sonde_error *error)
{
    struct sonde_buf curve = { 0 };
    if (cli->common.json)
        return SONDE_STATUS_OK;
    sonde_train_run_curve(run, &curve);
    enum sonde_status status = sonde_buf_status(&curve, error);
    if (!status && curve.size > 0)
        (void)fwrite(curve.data, 1, curve.size, stdout); /* main looks at stdout's state */
    sonde_buf_finish(&curve);
    return status;
}

static int run(struct sonde_cli *cli, struct sonde_error *error)
{
    const struct train_options *given = cli->options;
    struct sonde_pool *pool = NULL;
    struct sonde_train_run *training = NULL;
    if (!given->folder) {
        sonde_error_set(error, SONDE_STATUS_ARGUMENT, "where to: give -o DIR");
        return SONDE_EXIT_FAILED;
    }
    struct sonde_result *result = sonde_result_create("train");
    enum sonde_status status =
        result ? sonde_cli_pool(cli, &pool, error) : sonde_error_memory(error, "the result");
    const struct sonde_train_run_options how = { .recipe = cli->arg[0],
                                                 .folder = given->folder,
                                                 .resume = given->resume,
                                                 .last_step = given->steps,
                                                 .max_bytes = given->mem ? given->mem : MEM_DEFAULT,
                                                 .pool = pool,
                                                 .progress = &cli->progress };
    if (!status)
        status = sonde_train_run_open(&training, &how, error);
    if (!status && training->resumed_at == 0)
        sonde_cli_warn(cli, "%s has no checkpoint: training begins anew", given->folder);
    if (!status && cli->common.seed != SONDE_SEED_DEFAULT &&
        (uint64_t)cli->common.seed != training->recipe->options.seed)
        sonde_cli_warn(cli, "--seed plays no part: the recipe's seed, %lld, decides",
                       (long long)training->recipe->options.seed);
    if (!status)
        status = sonde_train_run_go(training, error);
    const char *hash = NULL;
    if (!status) {
        sonde_result_parameter_text(result, "recipe", cli->arg[0]);
        sonde_result_parameter_text(result, "output", given->folder);
        sonde_result_parameter_text(result, "objective",
                                    sonde_objective_name(training->recipe->options.objective));
        sonde_result_parameter_i64(result, "seed", (int64_t)training->recipe->options.seed);
        sonde_result_parameter_i64(result, "threads", sonde_pool_threads(pool));
        sonde_result_parameter_i64(result, "mem", how.max_bytes);
        if (training->resumed_at > 0)
            sonde_result_parameter_i64(result, "resumed_at", training->resumed_at);
        sonde_train_run_report(training, result);
        if (!training->recipe->select_best) /* then the model in memory is another one */
            status = sonde_model_hash(training->model, &hash, error);
    }
    if (!status)
        status = sonde_cli_emit(cli, result, given->folder, hash, error);
    if (!status)
        status = print_curve(cli, training, error);
    sonde_result_destroy(&result);
    sonde_train_run_close(&training);
    sonde_pool_destroy(&pool);
    return status ? SONDE_EXIT_FAILED : SONDE_EXIT_OK;
}

const struct sonde_command sonde_command_train = {
    .name = "train",
    .synopsis = "RECIPE -o DIR [--resume] [--steps N] [--mem BYTES]",
    .summary = "train a small model from a recipe",
    .description =
        "RECIPE is a JSON file that names the model, what it learns from and how. DIR becomes a "
        "folder in Hugging Face layout that every other command takes as MODEL; beside it lie "
        "recipe.json, log.jsonl, result.json, the loss as a figure, and checkpoints/. The recipe's "
        "seed decides: the same recipe gives the same bits, whatever --threads is. A training that "
        "is interrupted or killed goes on with --resume and ends in the same bits.\n"
        "\n"
        "A recipe (this one makes a model that counts brackets, in seconds):\n"
        "\n"
        "  {\n"
        "    \"model\": {\"model_type\": \"sonde\", \"hidden_size\": 32,\n"
        "              \"num_hidden_layers\": 1, \"num_attention_heads\": 1,\n"
        "              \"intermediate_size\": 64, \"norm_place\": \"post\",\n"
        "              \"position\": \"none\", \"hidden_act\": \"relu\", \"head\": \"sigmoid\",\n"
        "              \"head_bias\": true, \"embedding_scale\": \"sqrt\"},\n"
        "    \"init\": {\"kind\": \"torch\"},\n"
        "    \"corpus\": {\"formal\": \"dyck-1:n=10000,len=2..50,seed=1\"},\n"
        "    \"validation\": [{\"name\": \"bin0\", \"formal\": \"dyck-1:n=2000,len=2..50\"}],\n"
        "    \"objective\": \"k-hot-mse\",\n"
        "    \"optimizer\": {\"name\": \"rmsprop\", \"lr\": 0.005},\n"
        "    \"batch\": {\"sequences\": 32}, \"epochs\": 5, \"order\": \"file\", \"seed\": 1729,\n"
        "    \"checkpoint\": {\"every\": 500, \"keep\": 2}\n"
        "  }\n"
        "\n"
        "model: the object of a config.json. corpus: one of formal, file (a text a line), whole, "
        "jsonl with field, conllu, ids; label (of jsonl, for classification), pack N (texts one "
        "behind the other, cut every N tokens), bos, eos, limit, skip-every N, only-every N. "
        "tokenizer: a tokenizer.json. objective: next-token, k-hot-mse, k-hot-bce, masked-token "
        "with mask {rate, token}, classification with label-at last or first. optimizer: sgd, "
        "rmsprop, adam, adamw with PyTorch's names and defaults, and decay all or matrices. "
        "schedule: kind constant, linear, cosine, step; warmup, final, gamma, period. clip: norm, "
        "value. batch: sequences or tokens. epochs or steps. order: shuffle or file. validate: "
        "every (0 = after every epoch). select: last, or best of the first validation. dtype: f32, "
        "f16, bf16. lanes: how many parts of a batch "
        "are summed (8). Paths are relative to the recipe. There is no dropout.\n"
        "\n"
        "  sonde train recipe.json -o counter\n"
        "  sonde record counter --formal dyck-1:n=200 -o counter.db",
    .options = options,
    .options_size = sizeof(struct train_options),
    .args = "RECIPE",
    .run = run,
};
