/*
 * The command line: every option is declared once, in a table that makes parsing, --help, usage errors and shell
 * completion. Options are parsed into the command's own struct by offset; nothing is global.
 */
#ifndef SONDE_TOOLS_CLI_H
#define SONDE_TOOLS_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "analysis/report/result.h"
#include "core/base/pool.h"
#include "core/base/progress.h"
#include "core/base/status.h"

enum {
    SONDE_EXIT_OK = 0,
    SONDE_EXIT_NO = 1,     /* it ran and the answer is no */
    SONDE_EXIT_FAILED = 2, /* it could not run */
};

enum sonde_cli_type {
    SONDE_CLI_FLAG,    /* bool */
    SONDE_CLI_TEXT,    /* const char * */
    SONDE_CLI_TEXTS,   /* struct sonde_cli_texts, repeatable */
    SONDE_CLI_INTEGER, /* int64_t */
    SONDE_CLI_REAL,    /* double */
    SONDE_CLI_BYTES,   /* int64_t, with K/M/G suffix */
    SONDE_CLI_CHOICE,  /* int: index into choices */
};
struct sonde_cli_texts {
    const char **item;
    int64_t n;
};
struct sonde_cli_option {
    const char *name;        /* "max-tokens" */
    char letter;             /* 0 = none */
    enum sonde_cli_type type;
    size_t offset;           /* in the command's options struct */
    const char *value_name;  /* "N", "FILE"; NULL for flags */
    const char *help;
    const char *const *choices; /* NULL-terminated */
    int64_t minimum, maximum;   /* INTEGER and BYTES: both 0 = unchecked */
};

/* Common to all commands; parsed before the command's own. */
struct sonde_cli_common {
    bool json, quiet, verbose, help;
    int64_t seed;    /* 42 */
    int64_t threads; /* 0 = all */
};

/* What a running command has in hand. */
struct sonde_cli {
    struct sonde_cli_common common;
    const void *options;                /* the command's struct */
    const char *const *arg;             /* positional arguments */
    int64_t n_args;
    const char *command_line;           /* as typed, quoted for a shell */
    struct sonde_progress progress;     /* prints to stderr on a terminal, silent otherwise or with -q */
    const char *const *rest_name, *const *rest_value; /* options unknown to the table, for commands
                                           with open_options (probe): names and values ("1" for flags) */
    int64_t n_rest;
};

struct sonde_command {
    const char *name, *synopsis, *summary;
    const char *description; /* paragraphs of --help; examples */
    const struct sonde_cli_option *options; /* name NULL ends */
    size_t options_size;
    bool open_options;       /* unknown --options are collected in rest */
    /* Returns an exit code; on SONDE_EXIT_FAILED error->text is printed as "sonde NAME: text". */
    int (*run)(struct sonde_cli *cli, struct sonde_error *error);
};
extern const struct sonde_command *const sonde_commands[]; /* NULL-terminated; main.c */

/* Warning to stderr, unless -q: "sonde NAME: warning: text". */
void sonde_cli_warn(const struct sonde_cli *cli, const char *format, ...) SONDE_PRINTF(2, 3);

/* Prints the result on stdout as --json or for the terminal. With figures and a directory (not NULL) draws
 * them there first and also writes result.json and one CSV a table. */
SONDE_MUST_USE enum sonde_status sonde_cli_emit(const struct sonde_cli *cli,
                                                struct sonde_result *result, const char *directory,
                                                const char *model_hash, struct sonde_error *error);

#endif
