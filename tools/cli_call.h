/*
 * A command called by another one: parsed, run and described as if it had been typed, but its
 * result comes back instead of being printed. So a page can show a command line that is the very
 * one that made what stands beside it.
 */
#ifndef SONDE_TOOLS_CLI_CALL_H
#define SONDE_TOOLS_CLI_CALL_H

#include "tools/cli.h"

/* word[0] is the command's name, NULL ends. Seed, threads and progress are those of `from`, unless
 * the words say otherwise. *line (may be NULL): the command line as it would be typed, the
 * caller's. *out is the caller's; NULL where the command gives no result. A command that answers no
 * (exit status 1) is no failure: *exit_code, which may be NULL. Errors begin with the command's
 * name. */
SONDE_MUST_USE enum sonde_status sonde_cli_call(const struct sonde_cli *from,
                                                const char *const *word, char **line,
                                                struct sonde_result **out, int *exit_code,
                                                struct sonde_error *error);

#endif
