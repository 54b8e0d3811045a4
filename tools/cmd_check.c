/* sonde check: whether a store is whole. */
#include "storage/store.h"
#include "tools/commands.h"
#include "tools/probe_input.h"

struct check_options {
    bool full;
};

static const struct sonde_cli_option options[] = {
    { "full", 0, SONDE_CLI_FLAG, offsetof(struct check_options, full), NULL,
      "decode every chunk and compare its checksum", NULL, 0, 0 },
    { 0 },
};

static void on_problem(void *ctx, const char *text)
{
    struct sonde_table *table = ctx;
    sonde_table_add_row(table);
    sonde_table_text(table, 0, text);
}

static int run(struct sonde_cli *cli, struct sonde_error *error)
{
    static const char *const columns[] = { "problem", NULL };
    const struct check_options *given = cli->options;
    struct sonde_result *result = sonde_result_create("check");
    int64_t n_problems = 0, n_chunks = 0;
    enum sonde_status status = SONDE_STATUS_OK;
    if (result) {
        struct sonde_table *table = sonde_result_add_table(result, "problems", columns);
        status = sonde_store_check(cli->arg[0], given->full, &cli->progress, on_problem, table,
                                   &n_problems, &n_chunks, error);
        /* Too damaged to be opened is damaged, too; a file of another kind is not. */
        if (status == SONDE_STATUS_FORMAT && sonde_probe_input_is_store(cli->arg[0])) {
            on_problem(table, error->text);
            n_problems++;
            status = SONDE_STATUS_OK;
        }
        sonde_result_parameter_text(result, "store", cli->arg[0]);
        sonde_result_parameter_bool(result, "full", given->full);
        sonde_result_scalar_i64(result, "problems", n_problems);
        sonde_result_scalar_i64(result, "chunks", n_chunks);
        sonde_result_check(result, "store is whole", n_problems == 0, (double)n_problems,
                           "no problems");
    }
    return sonde_cli_finish(cli, &result, status, n_problems ? SONDE_EXIT_NO : SONDE_EXIT_OK,
                            error);
}

const struct sonde_command sonde_command_check = {
    .name = "check",
    .synopsis = "STORE [--full]",
    .summary = "look for damage in a store",
    .description = "Without --full: SQLite's quick check, the schema, row counts, references and "
                   "chunk sizes. With it: SQLite's integrity check, and every chunk decoded and "
                   "its CRC-32 compared. Exit status 1 where anything is wrong.",
    .options = options,
    .options_size = sizeof(struct check_options),
    .args = "STORE",
    .run = run,
};
