/*
 * The command line: every option is declared once, in a table that makes parsing, --help, usage
 * errors and shell completion. Options are parsed into the command's own struct by offset; nothing
 * is global.
 */
#ifndef SONDE_TOOLS_CLI_H
#define SONDE_TOOLS_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "analysis/report/result.h"
#include "core/base/arena.h"
#include "core/base/buf.h"
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
    SONDE_CLI_HEADING, /* no option: `help` is a heading of the list in --help */
};
struct sonde_cli_texts {
    const char **item;
    int64_t n;
};
struct sonde_cli_option {
    const char *name; /* "max-tokens"; a heading has "" */
    char letter;      /* 0 = none */
    enum sonde_cli_type type;
    size_t offset;          /* in the command's options struct */
    const char *value_name; /* "N", "FILE"; NULL for flags */
    const char *help;
    const char *const *choices; /* NULL-terminated */
    int64_t minimum, maximum;   /* numbers: both 0 = unchecked */
};

/* Common to all commands. */
struct sonde_cli_common {
    bool json, quiet, verbose, help;
    int64_t seed;    /* 42 */
    int64_t threads; /* 0 = all */
};

/* What a running command has in hand. */
struct sonde_cli {
    struct sonde_cli_common common;
    const struct sonde_command *command;
    const void *options;    /* the command's struct */
    const char *const *arg; /* positional arguments */
    int64_t n_args;
    const char *command_line; /* as typed, quoted for a shell */
    /* Prints to stderr on a terminal; silent otherwise or with -q. */
    struct sonde_progress progress;
    /* Options unknown to the table, for commands with open_options (probe): names and values, "1"
     * for flags; [n_rest] each. */
    const char *const *rest_name;
    const char *const *rest_value;
    int64_t n_rest;
    /* Not NULL: the command was called by another one (cli_call.h), which gets a copy of the result
     * that would be printed. */
    struct sonde_result **taken;
};

struct sonde_command {
    const char *name, *synopsis, *summary;
    /* Paragraphs of --help; lines that begin with a blank stay as they are. */
    const char *description;
    const struct sonde_cli_option *options; /* name NULL ends; NULL = none of its own */
    size_t options_size;
    const void *defaults; /* [options_size] what the struct holds before parsing; NULL = zeros */
    /* Positional arguments: "MODEL [TEXT..]"; "" = none, NULL = the command looks. */
    const char *args;
    /* Unknown --options are collected in rest; also where rest_takes_value is set. */
    bool open_options;
    /* With open_options: whether --name takes a value: 1 yes, 0 it is a flag, -1 not known here
     * (then the next argument is its value unless it begins with '-'). NULL = -1 always. */
    int (*rest_takes_value)(const char *name);
    /* Returns an exit code; on SONDE_EXIT_FAILED error->text is printed as "sonde NAME: text". */
    int (*run)(struct sonde_cli *cli, struct sonde_error *error);
};
extern const struct sonde_command *const sonde_commands[];        /* NULL-terminated; commands.c */
const struct sonde_command *sonde_command_find(const char *name); /* or NULL */

/* Warning to stderr, unless -q: "sonde NAME: warning: text". */
void sonde_cli_warn(const struct sonde_cli *cli, const char *format, ...) SONDE_PRINTF(2, 3);

/* Prints the result on stdout as --json or for the terminal. With figures and a directory (not
 * NULL) draws them there first and also writes result.json and one CSV a table. */
SONDE_MUST_USE enum sonde_status sonde_cli_emit(const struct sonde_cli *cli,
                                                struct sonde_result *result, const char *directory,
                                                const char *model_hash, struct sonde_error *error);

/* The end of most commands: emits the result (unless status says that it failed before) and
 * destroys it; `exit_code` where all went well. */
int sonde_cli_finish(const struct sonde_cli *cli, struct sonde_result **result,
                     enum sonde_status status, int exit_code, struct sonde_error *error);

/* The pool that --threads asks for. */
SONDE_MUST_USE enum sonde_status sonde_cli_pool(const struct sonde_cli *cli,
                                                struct sonde_pool **out, struct sonde_error *error);

/* A word of a shell: as it is where that is safe, else in quotes. */
void sonde_cli_quote(struct sonde_buf *out, const char *word);

/* For main.c and tests from here on. */

/* Parses argv[0..argc) (what follows the command's name) into *out. Everything is allocated in the
 * arena; texts are borrowed from argv. progress and command_line of *out are not touched. ARGUMENT:
 * one line that names the nearest option. Where --help is among the arguments, nothing else is
 * checked. */
SONDE_MUST_USE enum sonde_status sonde_cli_parse(const struct sonde_command *command, int argc,
                                                 char *const *argv, struct sonde_arena *arena,
                                                 struct sonde_cli *out, struct sonde_error *error);
/* The options that every command has; name NULL ends; offsets into struct sonde_cli_common. */
extern const struct sonde_cli_option sonde_cli_common_options[];

/* --help of a command, of the program, and the completion script. Lines of at most 80 columns. */
void sonde_cli_command_help(const struct sonde_command *command, struct sonde_buf *out);
void sonde_cli_program_help(struct sonde_buf *out);
void sonde_cli_bash_completion(struct sonde_buf *out);

/* The nearest of the commands' names, or NULL where none is near. */
const char *sonde_cli_nearest_command(const char *name);

/* Progress on a terminal: rate and time left, at most ten times a second. */
struct sonde_cli_progress {
    bool shown;     /* prints at all */
    bool on_screen; /* a line is there and must be erased */
    bool watching;  /* SIGINT is caught */
    bool interrupted;
    const char *what;      /* of the last update */
    double began, printed; /* monotonic seconds */
    int64_t first;         /* done at the first update: resumed work does not count for the rate */
    int columns;
};
void sonde_cli_progress_init(struct sonde_cli_progress *progress, bool shown);
struct sonde_progress sonde_cli_progress_callback(struct sonde_cli_progress *progress);
/* Takes the line off the screen. */
void sonde_cli_progress_erase(struct sonde_cli_progress *progress);
/* The line itself, for tests: "record 312/600 sequences  52 %  104/s  0:03 left". */
void sonde_cli_progress_line(struct sonde_buf *out, const char *what, int64_t done, int64_t total,
                             const char *unit, int64_t since_first, double seconds);
double sonde_cli_seconds(void); /* monotonic clock */

#endif
