/* The program: finds the command, parses its options, runs it, prints its one line of error. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/tensor/gemm.h"
#include "tools/cli.h"

/* Weights stay mapped: where another program cuts the file off under us, the kernel sends SIGBUS.
 */
static void on_bus_error(int signal)
{
    static const char line[] = "sonde: a mapped file was truncated while in use\n";
    (void)signal;
    ssize_t written = write(STDERR_FILENO, line, sizeof(line) - 1);
    (void)written;
    _exit(SONDE_EXIT_FAILED);
}

static void set_signals(void)
{
    struct sigaction bus = { .sa_handler = on_bus_error };
    sigemptyset(&bus.sa_mask);
    sigaction(SIGBUS, &bus, NULL);
    /* `sonde .. | head` ends quietly, also where a parent left the signal ignored. */
    struct sigaction pipe = { .sa_handler = SIG_DFL };
    sigemptyset(&pipe.sa_mask);
    sigaction(SIGPIPE, &pipe, NULL);
}

static int print_text(struct sonde_buf *text, FILE *stream, int exit_code)
{
    bool ok =
        text->data && !text->failed && fwrite(text->data, 1, text->size, stream) == text->size;
    sonde_buf_finish(text);
    return ok ? exit_code : SONDE_EXIT_FAILED;
}

static int print_program_help(FILE *stream, int exit_code)
{
    struct sonde_buf text = { 0 };
    sonde_cli_program_help(&text);
    return print_text(&text, stream, exit_code);
}

static int print_command_help(const struct sonde_command *command)
{
    struct sonde_buf text = { 0 };
    sonde_cli_command_help(command, &text);
    return print_text(&text, stdout, SONDE_EXIT_OK);
}

static int unknown_command(const char *name)
{
    const char *nearest = sonde_cli_nearest_command(name);
    struct sonde_error error = { 0 };
    /* Through the error, which takes control characters out. */
    if (name[0] == '-')
        sonde_error_set(&error, SONDE_STATUS_ARGUMENT,
                        "unknown option %s; options follow the command", name);
    else if (nearest)
        sonde_error_set(&error, SONDE_STATUS_ARGUMENT, "unknown command '%s'; the nearest is '%s'",
                        name, nearest);
    else
        sonde_error_set(&error, SONDE_STATUS_ARGUMENT,
                        "unknown command '%s'; 'sonde --help' lists them", name);
    fprintf(stderr, "sonde: %s\n", error.text);
    return SONDE_EXIT_FAILED;
}

static int run_parsed(struct sonde_cli *cli, struct sonde_error *error)
{
    struct sonde_cli_progress progress;
    sonde_cli_progress_init(&progress, !cli->common.quiet && isatty(STDERR_FILENO));
    cli->progress = sonde_cli_progress_callback(&progress);
    int code = cli->command->run(cli, error);
    sonde_cli_progress_erase(&progress);
    if (code == SONDE_EXIT_FAILED && error->status == SONDE_STATUS_CANCELLED && !error->text[0])
        sonde_error_set(error, SONDE_STATUS_CANCELLED, "stopped");
    return code;
}

static int run_command(const struct sonde_command *command, int argc, char *const *argv)
{
    struct sonde_error error = { 0 };
    struct sonde_cli cli = { 0 };
    struct sonde_buf line = { 0 };
    struct sonde_arena *arena = sonde_arena_create(0);
    int code = SONDE_EXIT_FAILED;
    sonde_buf_printf(&line, "sonde %s", command->name);
    for (int i = 0; i < argc; i++) {
        sonde_buf_putc(&line, ' ');
        sonde_cli_quote(&line, argv[i]);
    }
    cli.command_line = line.data;
    if (!arena || line.failed)
        sonde_error_memory(&error, "the command line");
    else if (sonde_cli_parse(command, argc, argv, arena, &cli, &error) == SONDE_STATUS_OK)
        code = cli.common.help ? print_command_help(command) : run_parsed(&cli, &error);
    if (code == SONDE_EXIT_FAILED)
        fprintf(stderr, "sonde %s: %s\n", command->name, error.text[0] ? error.text : "stopped");
    sonde_arena_destroy(&arena);
    sonde_buf_finish(&line);
    return code;
}

static int run(int argc, char *const *argv)
{
    if (argc < 2)
        return print_program_help(stderr, SONDE_EXIT_FAILED);
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        return print_program_help(stdout, SONDE_EXIT_OK);
    if (strcmp(name, "--version") == 0)
        return printf("sonde %s\n", SONDE_VERSION) < 0 ? SONDE_EXIT_FAILED : SONDE_EXIT_OK;
    const struct sonde_command *command = sonde_command_find(name);
    if (command)
        return run_command(command, argc - 2, argv + 2);
    if (strcmp(name, "help") != 0)
        return unknown_command(name);
    if (argc == 2)
        return print_program_help(stdout, SONDE_EXIT_OK);
    command = sonde_command_find(argv[2]);
    return command ? print_command_help(command) : unknown_command(argv[2]);
}

int main(int argc, char **argv)
{
    set_signals();
    sonde_gemm_prepare();
    int code = run(argc, argv);
    /* A full disk shows only here. */
    if (fflush(stdout) != 0 || ferror(stdout)) {
        if (code != SONDE_EXIT_FAILED)
            fprintf(stderr, "sonde: standard output: %s\n", strerror(errno));
        code = SONDE_EXIT_FAILED;
    }
    /* At exit OpenBLAS waits for threads of its own, which may wait for memory for ever. */
    struct rlimit limit;
    if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
        _exit(code);
    return code;
}
