#include "tools/studies/lab.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/num.h"

char *sonde_lab_path(const struct sonde_lab *lab, const char *format, ...)
{
    char name[256];
    va_list args;
    va_start(args, format);
    sonde_format_text(name, sizeof(name), format, args);
    va_end(args);
    return sonde_path_join(lab->folder, name);
}

enum sonde_status sonde_lab_open(struct sonde_lab *lab, const struct sonde_cli *cli,
                                 const char *command, const char *folder, struct sonde_error *error)
{
    lab->cli = cli;
    lab->folder = folder;
    lab->began = sonde_cli_seconds();
    char *page = sonde_path_join(folder, "report.html");
    lab->store = sonde_path_join(folder, "study.db");
    lab->summary = sonde_result_create(command);
    enum sonde_status status = SONDE_STATUS_OK;
    if (!page || !lab->store || !lab->summary)
        status = sonde_error_memory(error, "the study");
    else if (sonde_path_exists(lab->store) || sonde_path_exists(page))
        status = sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                                 "%s: holds a study already; give another folder: -o DIR", folder);
    else {
        lab->made = !sonde_path_exists(folder);
        status = sonde_path_make_directory(folder, error);
    }
    /* What is there already is not this study's to take away. */
    if (status) {
        free(lab->store);
        lab->store = NULL;
    }
    free(page);
    return status;
}

void sonde_lab_close(struct sonde_lab *lab)
{
    for (int64_t i = 0; i < lab->n_sections; i++)
        sonde_result_destroy(&lab->section[i]);
    free(lab->section);
    free(lab->store);
    sonde_result_destroy(&lab->summary);
    *lab = (struct sonde_lab){ 0 };
}

void sonde_lab_abandon(struct sonde_lab *lab)
{
    if (lab->store)
        unlink(lab->store);
    if (lab->store && lab->made)
        rmdir(lab->folder);
}

struct sonde_result *sonde_lab_section(struct sonde_lab *lab, const char *title, const char *about)
{
    struct sonde_result *r = sonde_result_create(title);
    if (!r || !sonde_grow((void **)&lab->section, &lab->capacity, lab->n_sections + 1,
                          sizeof(struct sonde_result *), INT32_MAX)) {
        sonde_result_destroy(&r);
        lab->failed = true;
        return lab->summary;
    }
    if (about)
        sonde_result_parameter_text(r, "about", about);
    lab->section[lab->n_sections++] = r;
    return r;
}

void sonde_lab_check(struct sonde_lab *lab, struct sonde_result *section, const char *name, bool ok,
                     double value, const char *limit)
{
    if (section && section != lab->summary)
        sonde_result_check(section, name, ok, value, limit);
    sonde_result_check(lab->summary, name, ok, value, limit);
}

void sonde_lab_check_named(struct sonde_lab *lab, struct sonde_result *section, bool ok,
                           double value, const char *limit, const char *format, ...)
{
    char name[160];
    va_list args;
    va_start(args, format);
    sonde_format_text(name, sizeof(name), format, args);
    va_end(args);
    sonde_lab_check(lab, section, name, ok, value, limit);
}

enum sonde_status sonde_lab_progress(const struct sonde_lab *lab, const char *what, int64_t done,
                                     int64_t total, const char *unit, struct sonde_error *error)
{
    if (sonde_progress_update(&lab->cli->progress, what, done, total, unit))
        return SONDE_STATUS_OK;
    return sonde_error_set(error, SONDE_STATUS_CANCELLED, "stopped");
}

static enum sonde_status keep_sections(struct sonde_lab *lab, struct sonde_error *error)
{
    struct sonde_store *store = NULL;
    enum sonde_status status = sonde_store_open(&store, lab->store, SONDE_STORE_CREATE, error);
    for (int64_t i = 0; !status && i < lab->n_sections; i++) {
        struct sonde_buf archive = { 0 };
        status = sonde_result_archive(lab->section[i], &archive, error);
        if (!status)
            status = sonde_store_add_result(store, NULL, lab->section[i]->command,
                                            lab->cli->command_line, archive.data,
                                            (int64_t)archive.size, error);
        sonde_buf_finish(&archive);
    }
    sonde_store_close(&store);
    return status;
}

static enum sonde_status write_page(struct sonde_lab *lab, const char *title, const char *subtitle,
                                    struct sonde_error *error)
{
    struct sonde_buf html = { .max = (size_t)1 << 32 };
    char *path = sonde_lab_path(lab, "report.html");
    const struct sonde_result **shown =
        calloc((size_t)lab->n_sections + 1, sizeof(struct sonde_result *));
    enum sonde_status status =
        path && shown ? SONDE_STATUS_OK : sonde_error_memory(error, "a page");
    if (!status) {
        shown[0] = lab->summary;
        memcpy(shown + 1, lab->section, (size_t)lab->n_sections * sizeof(struct sonde_result *));
        struct sonde_html_page page = {
            .title = title,
            .subtitle = subtitle,
            .result = shown,
            .n_results = lab->n_sections + 1,
            .provenance = { .command = lab->cli->command_line, .version = SONDE_VERSION },
        };
        status = sonde_render_html(&page, &html, error);
    }
    if (!status)
        status = sonde_file_save(path, html.data, html.size, error);
    sonde_buf_finish(&html);
    free(shown);
    free(path);
    return status;
}

static void copy_table(struct sonde_result *to, const struct sonde_table *from)
{
    const char **column = calloc((size_t)from->n_columns + 1, sizeof(*column));
    for (int64_t c = 0; column && c < from->n_columns; c++)
        column[c] = from->column[c];
    struct sonde_table *t = column ? sonde_result_add_table(to, from->name, column) : NULL;
    for (int64_t r = 0; t && r < from->n_rows; r++) {
        sonde_table_add_row(t);
        for (int64_t c = 0; c < from->n_columns; c++) {
            const struct sonde_cell *cell = &from->cell[r * from->n_columns + c];
            if (cell->kind == SONDE_CELL_TEXT)
                sonde_table_text(t, c, cell->text);
            else if (cell->kind == SONDE_CELL_INTEGER)
                sonde_table_i64(t, c, cell->integer);
            else if (cell->kind == SONDE_CELL_REAL)
                sonde_table_f64(t, c, cell->real);
            else if (cell->kind == SONDE_CELL_BOOL)
                sonde_table_bool(t, c, cell->integer != 0);
        }
    }
    to->failed = to->failed || !t;
    free(column);
}

enum sonde_status sonde_lab_write(struct sonde_lab *lab, const char *title, const char *subtitle,
                                  struct sonde_error *error)
{
    enum sonde_status status =
        lab->failed ? sonde_error_memory(error, "a section") : SONDE_STATUS_OK;
    struct sonde_figure_provenance provenance = { .command = lab->cli->command_line,
                                                  .version = SONDE_VERSION };
    sonde_result_scalar_f64(lab->summary, "seconds", sonde_cli_seconds() - lab->began);
    for (int64_t i = 0; !status && i < lab->n_sections; i++) {
        status = sonde_result_status(lab->section[i], error);
        if (!status)
            status = sonde_result_write_figures(lab->section[i], lab->folder, &provenance, error);
    }
    if (!status)
        status = keep_sections(lab, error);
    if (!status)
        status = write_page(lab, title, subtitle, error);
    /* The page shows them in their sections; who reads the summary finds all in one place. */
    for (int64_t i = 0; !status && i < lab->n_sections; i++)
        for (int64_t t = 0; t < lab->section[i]->n_tables; t++)
            copy_table(lab->summary, lab->section[i]->table[t]);
    return status;
}
