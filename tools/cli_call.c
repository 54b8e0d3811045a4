#include "tools/cli_call.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/rng.h"

/* The words, as sonde_cli_parse wants them, in memory of the arena. */
static char **copy_words(const char *const *word, int *n, struct sonde_arena *arena)
{
    int count = 0;
    while (word[count])
        count++;
    char **copy = sonde_arena_zalloc(arena, count + 1, sizeof(*copy));
    for (int i = 0; copy && i < count; i++) {
        copy[i] = sonde_arena_strndup(arena, word[i], strlen(word[i]));
        if (!copy[i])
            return NULL;
    }
    *n = count;
    return copy;
}

static enum sonde_status run(const struct sonde_cli *from, const struct sonde_command *command,
                             char **word, int n, struct sonde_arena *arena, const char *line,
                             struct sonde_result **out, int *exit_code, struct sonde_error *error)
{
    struct sonde_cli cli = { 0 };
    enum sonde_status status = sonde_cli_parse(command, n - 1, word + 1, arena, &cli, error);
    if (status)
        return status;
    if (cli.common.seed == SONDE_SEED_DEFAULT)
        cli.common.seed = from->common.seed;
    if (cli.common.threads == 0)
        cli.common.threads = from->common.threads;
    cli.common.quiet = true;
    cli.progress = from->progress;
    cli.command_line = line;
    cli.taken = out;
    int code = command->run(&cli, error);
    if (exit_code)
        *exit_code = code;
    if (code != SONDE_EXIT_FAILED)
        return SONDE_STATUS_OK;
    return error && error->status ? error->status : SONDE_STATUS_ARGUMENT;
}

enum sonde_status sonde_cli_call(const struct sonde_cli *from, const char *const *word, char **line,
                                 struct sonde_result **out, int *exit_code,
                                 struct sonde_error *error)
{
    const struct sonde_command *command = sonde_command_find(word[0]);
    if (!command)
        return sonde_error_set(error, SONDE_STATUS_NOT_FOUND, "unknown command '%s'", word[0]);
    struct sonde_arena *arena = sonde_arena_create(0);
    struct sonde_buf text = { 0 };
    int n = 0;
    char **copy = arena ? copy_words(word, &n, arena) : NULL;
    sonde_buf_puts(&text, "sonde");
    for (int i = 0; copy && i < n; i++) {
        sonde_buf_putc(&text, ' ');
        sonde_cli_quote(&text, copy[i]);
    }
    enum sonde_status status =
        copy ? sonde_buf_status(&text, error) : sonde_error_memory(error, "a command line");
    if (!status)
        status = run(from, command, copy, n, arena, text.data, out, exit_code, error);
    if (status)
        sonde_error_prepend(error, "%s", word[0]);
    if (!status && line) {
        *line = text.data; /* the buffer's memory moves */
        text = (struct sonde_buf){ 0 };
    }
    sonde_buf_finish(&text);
    sonde_arena_destroy(&arena);
    return status;
}
