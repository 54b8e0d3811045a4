#include "tools/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/num.h"
#include "core/tensor/gemm.h"

void sonde_cli_quote(struct sonde_buf *out, const char *word)
{
    static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                               "@%+=:,./_-";
    if (*word && word[strspn(word, safe)] == '\0') {
        sonde_buf_puts(out, word);
        return;
    }
    /* double quotes read better around single ones, where nothing inside means anything to a shell
     */
    if (strchr(word, '\'') && !strpbrk(word, "\"$`\\!")) {
        sonde_buf_printf(out, "\"%s\"", word);
        return;
    }
    sonde_buf_putc(out, '\'');
    for (; *word; word++) {
        if (*word == '\'')
            sonde_buf_puts(out, "'\\''");
        else
            sonde_buf_putc(out, *word);
    }
    sonde_buf_putc(out, '\'');
}

void sonde_cli_warn(const struct sonde_cli *cli, const char *format, ...)
{
    if (cli->common.quiet)
        return;
    char text[SONDE_ERROR_TEXT_MAX];
    va_list args;
    va_start(args, format);
    sonde_format_text(text, sizeof(text), format, args);
    va_end(args);
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
    if (cli->progress.ctx)
        sonde_cli_progress_erase(cli->progress.ctx);
    fprintf(stderr, "sonde %s: warning: %s\n", cli->command->name, text);
}

static struct sonde_terminal_options terminal_options(const struct sonde_cli *cli)
{
    struct sonde_terminal_options options = { .width = 80 };
    struct winsize size;
    if (isatty(STDOUT_FILENO)) {
        const char *term = getenv("TERM"), *plain = getenv("NO_COLOR");
        options.color = !(plain && *plain) && term && strcmp(term, "dumb") != 0;
        if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 40)
            options.width = size.ws_col;
    }
    if (cli->common.verbose)
        options.max_rows = INT64_MAX;
    return options;
}

/* A table's or figure's name as a file name: what is no letter, digit, '-', '_' or '.' becomes '-'.
 */
static enum sonde_status table_path(const char *directory, const char *name, char **out,
                                    struct sonde_error *error)
{
    struct sonde_buf file = { 0 };
    for (const char *c = name; *c; c++) {
        bool plain = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
                     (*c >= '0' && *c <= '9') || *c == '_' || (*c == '.' && c != name);
        sonde_buf_putc(&file, plain ? *c : '-');
    }
    sonde_buf_puts(&file, ".csv");
    *out = file.failed ? NULL : sonde_path_join(directory, file.data);
    sonde_buf_finish(&file);
    return *out ? SONDE_STATUS_OK : sonde_error_memory(error, "a file name");
}

static enum sonde_status write_tables(const struct sonde_result *result, const char *directory,
                                      struct sonde_error *error)
{
    for (int64_t i = 0; i < result->n_tables; i++) {
        struct sonde_buf csv = { .max = SIZE_MAX / 2 };
        char *path = NULL;
        enum sonde_status status = table_path(directory, result->table[i]->name, &path, error);
        if (!status)
            status = sonde_render_csv(result->table[i], &csv, error);
        if (!status)
            status = sonde_file_save(path, csv.data ? csv.data : "", csv.size, error);
        free(path);
        sonde_buf_finish(&csv);
        if (status)
            return status;
    }
    return SONDE_STATUS_OK;
}

static enum sonde_status write_json(const struct sonde_result *result, const char *directory,
                                    struct sonde_error *error)
{
    struct sonde_buf json = { .max = SIZE_MAX / 2 };
    enum sonde_status status = sonde_render_json(result, &json, error);
    char *path = sonde_path_join(directory, "result.json");
    if (!status && !path)
        status = sonde_error_memory(error, "a file name");
    if (!status)
        status = sonde_file_save(path, json.data, json.size, error);
    free(path);
    sonde_buf_finish(&json);
    return status;
}

static enum sonde_status print_stdout(const struct sonde_buf *text, struct sonde_error *error)
{
    if (text->size && fwrite(text->data, 1, text->size, stdout) != text->size)
        return sonde_error_set(error, SONDE_STATUS_IO, "standard output: %s", strerror(errno));
    if (fflush(stdout) != 0)
        return sonde_error_set(error, SONDE_STATUS_IO, "standard output: %s", strerror(errno));
    return SONDE_STATUS_OK;
}

/* To the command that called this one. */
static enum sonde_status hand_over(const struct sonde_cli *cli, const struct sonde_result *result,
                                   struct sonde_error *error)
{
    struct sonde_buf archive = { .max = SIZE_MAX / 2 };
    enum sonde_status status = sonde_result_archive(result, &archive, error);
    sonde_result_destroy(cli->taken);
    if (!status)
        status = sonde_result_restore(cli->taken, archive.data, archive.size, error);
    sonde_buf_finish(&archive);
    return status;
}

enum sonde_status sonde_cli_emit(const struct sonde_cli *cli, struct sonde_result *result,
                                 const char *directory, const char *model_hash,
                                 struct sonde_error *error)
{
    if (cli->progress.ctx)
        sonde_cli_progress_erase(cli->progress.ctx);
    enum sonde_status status = sonde_result_status(result, error);
    if (!status && directory) {
        struct sonde_figure_provenance provenance = { .command = cli->command_line,
                                                      .model_hash = model_hash,
                                                      .version = SONDE_VERSION };
        status = sonde_path_make_directory(directory, error);
        if (!status)
            status = sonde_result_write_figures(result, directory, &provenance, error);
        if (!status)
            status = write_tables(result, directory, error);
        if (!status)
            status = write_json(result, directory, error);
    }
    if (cli->taken)
        return status ? status : hand_over(cli, result, error);
    struct sonde_buf text = { .max = SIZE_MAX / 2 };
    if (!status && cli->common.json) {
        status = sonde_render_json(result, &text, error);
        if (!status && text.size && text.data[text.size - 1] != '\n')
            sonde_buf_putc(&text, '\n');
    } else if (!status) {
        /* Warnings are no part of what goes to standard output. */
        struct sonde_terminal_options options = terminal_options(cli);
        int64_t n_warnings = result->n_warnings;
        result->n_warnings = 0;
        status = sonde_render_terminal(result, &options, &text, error);
        result->n_warnings = n_warnings;
    }
    if (!status)
        status = sonde_buf_status(&text, error);
    if (!status)
        status = print_stdout(&text, error);
    for (int64_t i = 0; !status && i < result->n_warnings; i++)
        sonde_cli_warn(cli, "%s", result->warning[i]);
    sonde_buf_finish(&text);
    return status;
}

int sonde_cli_finish(const struct sonde_cli *cli, struct sonde_result **result,
                     enum sonde_status status, int exit_code, struct sonde_error *error)
{
    if (!status && !*result)
        status = sonde_error_memory(error, "the result");
    if (!status)
        status = sonde_cli_emit(cli, *result, NULL, NULL, error);
    sonde_result_destroy(result);
    return status ? SONDE_EXIT_FAILED : exit_code;
}

enum sonde_status sonde_cli_pool(const struct sonde_cli *cli, struct sonde_pool **out,
                                 struct sonde_error *error)
{
    int n_threads = (int)cli->common.threads;
    enum sonde_status status = sonde_gemm_check_room(&n_threads, error);
    return status ? status : sonde_pool_create(out, n_threads, error);
}
