/* sonde bench: limits of this machine and how close the program comes. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/tensor/gemm.h"
#include "tools/bench/bench.h"
#include "tools/bundled.h"
#include "tools/commands.h"

struct bench_options {
    const char *model;
    int shape; /* enum sonde_bench_shape */
};

static const char *const shape_names[] = { "gpt2", "llama", "tiny", NULL };

static const struct sonde_cli_option options[] = {
    { "model", 0, SONDE_CLI_TEXT, offsetof(struct bench_options, model), "MODEL",
      "measure with this model instead of one made for it", NULL, 0, 0 },
    { "shape", 0, SONDE_CLI_CHOICE, offsetof(struct bench_options, shape), "SHAPE",
      "the model that is made, with random weights: gpt2 (124 million parameters, the default), "
      "llama (of the same width, gated, with grouped heads) or tiny (a formal-language organism)",
      shape_names, 0, 0 },
    { 0 },
};

/* name, whether it wants the model, what --help says: " NAME: text", lines of at most 80 columns */
/* clang-format off */
#define PARTS(PART)                                                                                \
    PART(gemm, false,                                                                              \
         "  gemm: matrix products on all threads at once")                                         \
    PART(forward, true,                                                                            \
         "  forward: the forward pass, of the matrix products' rate")                              \
    PART(record, true,                                                                             \
         "  record: tokens a second with sites recorded, of those with nothing recorded")          \
    PART(store, false,                                                                             \
         "  store: writing and reading, of a plain file's rate in $TMPDIR")                        \
    PART(probe, false,                                                                             \
         "  probe: a multinomial fit, of the matrix products' rate")                               \
    PART(lens, true,                                                                               \
         "  lens: the logit lens over all layers, of the matrix products' rate")                   \
    PART(kv, true,                                                                                 \
         "  kv: what a layer's neurons write, of the matrix products' rate")                       \
    PART(train, false,                                                                             \
         "  train: forward, backward and update, of the matrix products' rate")                    \
    PART(figure, false,                                                                            \
         "  figure: maps of 2,048 x 2,048 as PNG files in $TMPDIR")
/* clang-format on */

#define ENTRY(NAME, WANTS_MODEL, HELP) { #NAME, sonde_bench_##NAME, WANTS_MODEL },
#define SYNOPSIS(NAME, WANTS_MODEL, HELP) #NAME "|"
#define DESCRIPTION(NAME, WANTS_MODEL, HELP) HELP "\n"

static const struct part {
    const char *name;
    enum sonde_status (*run)(struct sonde_bench *bench, struct sonde_error *error);
    bool wants_model;
} parts[] = { PARTS(ENTRY) };
enum { N_PARTS = sizeof(parts) / sizeof(parts[0]) };

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static struct sonde_bench_samples sorted(struct sonde_bench_samples samples)
{
    qsort(samples.value, SONDE_BENCH_ROUNDS, sizeof(samples.value[0]), compare);
    return samples;
}

void sonde_bench_add(struct sonde_bench *bench, const char *part, const char *measure,
                     const char *unit, const struct sonde_bench_samples *limit,
                     const struct sonde_bench_samples *achieved)
{
    enum { MIDDLE = SONDE_BENCH_ROUNDS / 2, LAST = SONDE_BENCH_ROUNDS - 1 };
    struct sonde_table *t = bench->table;
    sonde_table_add_row(t);
    sonde_table_text(t, 0, part);
    sonde_table_text(t, 1, measure);
    sonde_table_text(t, 2, unit);
    sonde_table_f64(t, 4, sorted(*achieved).value[MIDDLE]);
    if (!limit)
        return;
    struct sonde_bench_samples ratio;
    for (int r = 0; r < SONDE_BENCH_ROUNDS; r++)
        ratio.value[r] = achieved->value[r] / limit->value[r];
    ratio = sorted(ratio);
    sonde_table_f64(t, 3, sorted(*limit).value[MIDDLE]);
    sonde_table_f64(t, 5, ratio.value[MIDDLE]);
    sonde_table_f64(t, 6, ratio.value[0]);
    sonde_table_f64(t, 7, ratio.value[LAST]);
}

enum sonde_status sonde_bench_progress(struct sonde_bench *bench, const char *part, int n_done,
                                       struct sonde_error *error)
{
    if (sonde_progress_update(&bench->cli->progress, part, n_done, SONDE_BENCH_ROUNDS, "rounds"))
        return SONDE_STATUS_OK;
    return sonde_error_set(error, SONDE_STATUS_CANCELLED, "stopped");
}

static enum sonde_status unknown_part(const char *name, struct sonde_error *error)
{
    struct sonde_buf list = { 0 };
    for (int i = 0; i < N_PARTS; i++)
        sonde_buf_printf(&list, "%s%s", i ? ", " : "", parts[i].name);
    enum sonde_status status = sonde_buf_status(&list, error);
    if (!status)
        status = sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                                 "unknown part '%s'; expected %s or all", name, list.data);
    sonde_buf_finish(&list);
    return status;
}

static enum sonde_status check_part(const char *name, struct sonde_error *error)
{
    for (int i = 0; i < N_PARTS; i++)
        if (strcmp(parts[i].name, name) == 0)
            return SONDE_STATUS_OK;
    return strcmp(name, "all") == 0 ? SONDE_STATUS_OK : unknown_part(name, error);
}

static bool wanted(const struct sonde_cli *cli, const struct part *part)
{
    return cli->n_args == 0 || strcmp(cli->arg[0], "all") == 0 ||
           strcmp(cli->arg[0], part->name) == 0;
}

static enum sonde_status measure(struct sonde_bench *bench, struct sonde_error *error)
{
    const struct bench_options *o = bench->cli->options;
    struct sonde_model *model = NULL;
    struct sonde_model_options model_options = { .allow_missing_tokenizer = true };
    enum sonde_status status = SONDE_STATUS_OK;
    bool wants_model = false;
    for (int i = 0; i < N_PARTS; i++)
        wants_model = wants_model || (wanted(bench->cli, &parts[i]) && parts[i].wants_model);
    if (wants_model && o->model)
        status = sonde_bundled_open(&model, o->model, &model_options, error);
    else if (wants_model)
        status = sonde_bench_open_model(&model, (enum sonde_bench_shape)o->shape,
                                        (uint64_t)bench->cli->common.seed, error);
    bench->model = model;
    for (int i = 0; !status && i < N_PARTS; i++)
        if (wanted(bench->cli, &parts[i]))
            status = parts[i].run(bench, error);
    sonde_model_close(&model);
    return status;
}

static int run(struct sonde_cli *cli, struct sonde_error *error)
{
    static const char *const columns[] = { "part",  "measure", "unit", "limit", "achieved",
                                           "ratio", "low",     "high", NULL };
    const struct bench_options *o = cli->options;
    struct sonde_bench bench = { .cli = cli };
    enum sonde_status status = SONDE_STATUS_OK;
    if (cli->n_args)
        status = check_part(cli->arg[0], error);
    if (!status)
        status = sonde_cli_pool(cli, &bench.pool, error);
    if (!status && (bench.result = sonde_result_create("bench")) != NULL) {
        sonde_gemm_prepare();
        sonde_result_parameter_text(bench.result, "model",
                                    o->model ? o->model : shape_names[o->shape]);
        sonde_result_parameter_text(bench.result, "blas", sonde_gemm_library());
        sonde_result_parameter_i64(bench.result, "threads", sonde_pool_threads(bench.pool));
        sonde_result_parameter_i64(bench.result, "rounds", SONDE_BENCH_ROUNDS);
        bench.table = sonde_result_add_table(bench.result, "bench", columns);
        status = measure(&bench, error);
    }
    sonde_bench_destroy_products(&bench.products);
    sonde_pool_destroy(&bench.pool);
    return sonde_cli_finish(cli, &bench.result, status, SONDE_EXIT_OK, error);
}

const struct sonde_command sonde_command_bench = {
    .name = "bench",
    .synopsis = "[" PARTS(SYNOPSIS) "all] [--model MODEL | --shape SHAPE]",
    .summary = "measure this machine's limits and how close Sonde comes",
    .description =
        "Every part is measured in five rounds, in each of them the limit and then the work that "
        "is held against it, so that a slow moment of the machine hits both. limit and achieved "
        "are medians; ratio is the median of achieved / limit over the rounds, low and high are "
        "the least and the largest. The limit of matrix products is the number of threads times "
        "what one thread reaches, alone, in products of 256 x 768 by 768 x 3072.\n"
        "\n" PARTS(DESCRIPTION),
    .options = options,
    .options_size = sizeof(struct bench_options),
    .args = "[PART]",
    .run = run,
};
