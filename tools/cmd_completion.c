/* sonde completion: shell completion made from the same tables as the help. */
#include <stdio.h>
#include <string.h>

#include "tools/commands.h"

static int run(struct sonde_cli *cli, struct sonde_error *error)
{
    if (strcmp(cli->arg[0], "bash") != 0) {
        sonde_error_set(error, SONDE_STATUS_ARGUMENT, "unknown shell '%s'; expected bash",
                        cli->arg[0]);
        return SONDE_EXIT_FAILED;
    }
    struct sonde_buf text = { 0 };
    sonde_cli_bash_completion(&text);
    enum sonde_status status = sonde_buf_status(&text, error);
    if (!status)
        fwrite(text.data, 1, text.size, stdout);
    sonde_buf_finish(&text);
    return status ? SONDE_EXIT_FAILED : SONDE_EXIT_OK;
}

const struct sonde_command sonde_command_completion = {
    .name = "completion",
    .synopsis = "bash",
    .summary = "print a completion script for the shell",
    .description = "Put this into ~/.bashrc:\n"
                   "\n"
                   "  source <(sonde completion bash)",
    .args = "SHELL",
    .run = run,
};
