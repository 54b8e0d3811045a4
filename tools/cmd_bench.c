/* sonde bench: limits of this machine and how close the program comes. */
#include <stdlib.h>
#include <string.h>

#include "core/tensor/gemm.h"
#include "tools/bench/bench.h"
#include "tools/bench/bench_model.h"
#include "tools/bundled.h"
#include "tools/commands.h"

struct bench_options {
    const char *model;
};

static const struct sonde_cli_option options[] = {
    { "model", 0, SONDE_CLI_TEXT, offsetof(struct bench_options, model), "MODEL",
      "measure the forward pass of this model (default: four layers of GPT-2 small's shape with "
      "random weights)",
      NULL, 0, 0 },
    { 0 },
};

static const struct part {
    const char *name;
    enum sonde_status (*run)(struct sonde_bench *bench, struct sonde_error *error);
} parts[] = {
    { "gemm", sonde_bench_gemm },   { "forward", sonde_bench_forward },
    { "store", sonde_bench_store }, { "probe", sonde_bench_probe },
    { "train", sonde_bench_train },
};
enum { N_PARTS = sizeof(parts) / sizeof(parts[0]) };

void sonde_bench_add(struct sonde_bench *bench, const char *part, const char *measure, double value,
                     const char *unit, double ratio)
{
    sonde_table_add_row(bench->table);
    sonde_table_text(bench->table, 0, part);
    sonde_table_text(bench->table, 1, measure);
    sonde_table_f64(bench->table, 2, value);
    sonde_table_text(bench->table, 3, unit);
    sonde_table_f64(bench->table, 4, ratio);
}

static enum sonde_status check_part(const char *name, struct sonde_error *error)
{
    for (int i = 0; i < N_PARTS; i++)
        if (strcmp(parts[i].name, name) == 0)
            return SONDE_STATUS_OK;
    return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                           "unknown part '%s'; expected gemm, forward, store, probe or train",
                           name);
}

static bool wanted(const struct sonde_cli *cli, const char *name)
{
    return cli->n_args == 0 || strcmp(cli->arg[0], name) == 0;
}

static enum sonde_status measure(struct sonde_bench *bench, struct sonde_error *error)
{
    const struct bench_options *o = bench->cli->options;
    struct sonde_model *model = NULL;
    struct sonde_model_options model_options = { .allow_missing_tokenizer = true };
    enum sonde_status status = SONDE_STATUS_OK;
    if (wanted(bench->cli, "forward"))
        status = o->model
                     ? sonde_bundled_open(&model, o->model, &model_options, error)
                     : sonde_bench_open_model(&model, (uint64_t)bench->cli->common.seed, error);
    bench->model = model;
    /* The limit is measured with every part that is held against it. */
    bool needs_limit =
        wanted(bench->cli, "forward") || wanted(bench->cli, "probe") || wanted(bench->cli, "train");
    for (int i = 0; !status && i < N_PARTS; i++) {
        if (!wanted(bench->cli, parts[i].name) && !(i == 0 && needs_limit))
            continue;
        status = parts[i].run(bench, error);
    }
    if (bench->gemm_flops > 0)
        sonde_result_scalar_f64(bench->result, "gemm_gflops", bench->gemm_flops / 1e9);
    sonde_model_close(&model);
    return status;
}

static int run(struct sonde_cli *cli, struct sonde_error *error)
{
    static const char *const columns[] = { "part", "measure", "value", "unit", "ratio", NULL };
    const struct bench_options *o = cli->options;
    struct sonde_bench bench = { .cli = cli };
    enum sonde_status status = SONDE_STATUS_OK;
    if (cli->n_args)
        status = check_part(cli->arg[0], error);
    if (!status)
        status = sonde_cli_pool(cli, &bench.pool, error);
    if (!status && (bench.result = sonde_result_create("bench")) != NULL) {
        sonde_gemm_prepare();
        sonde_result_parameter_text(bench.result, "model", o->model ? o->model : "built for this");
        sonde_result_parameter_text(bench.result, "blas", sonde_gemm_library());
        sonde_result_parameter_i64(bench.result, "threads", sonde_pool_threads(bench.pool));
        bench.table = sonde_result_add_table(bench.result, "bench", columns);
        status = measure(&bench, error);
    }
    sonde_pool_destroy(&bench.pool);
    return sonde_cli_finish(cli, &bench.result, status, SONDE_EXIT_OK, error);
}

const struct sonde_command sonde_command_bench = {
    .name = "bench",
    .synopsis = "[gemm|forward|store|probe|train] [--model MODEL]",
    .summary = "measure this machine's limits and how close Sonde comes",
    .description =
        "gemm: the rate of matrix products. forward: the forward pass against it, with and "
        "without recording. store: writing and reading against a plain file of the same bytes in "
        "the temporary folder ($TMPDIR). probe: a multinomial fit against the matrix products. "
        "train: forward, "
        "backward and update of a model of about a million parameters against them. "
        "The column `ratio` is the share of the limit; each is measured in the same process, a "
        "few times in turn, and the best counts.",
    .options = options,
    .options_size = sizeof(struct bench_options),
    .args = "[PART]",
    .run = run,
};
