#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/num.h"
#include "tools/bundled.h"
#include "tools/cli_call.h"
#include "tools/demo/demo.h"

#define WORDS_MAX 48

struct sonde_demo_section *sonde_demo_begin(struct sonde_demo *demo, const char *id,
                                            const char *title)
{
    assert(demo->n_sections < SONDE_DEMO_SECTIONS);
    struct sonde_demo_section *section = &demo->section[demo->n_sections++];
    section->id = id;
    section->title = title;
    return section;
}

/* A folder of the user's that is called like a bundled model must not stand in its place. */
static enum sonde_status name_models(struct sonde_demo *demo, const char **word,
                                     struct sonde_error *error)
{
    enum sonde_status status = SONDE_STATUS_OK;
    for (; *word && !status; word++) {
        char *folder = NULL;
        if (!sonde_bundled_is_hidden(*word))
            continue;
        status = sonde_bundled_folder(*word, &folder, error);
        if (!status)
            *word = sonde_demo_print(demo, "%s", folder);
        free(folder);
    }
    return status;
}

enum sonde_status sonde_demo_run(struct sonde_demo *demo, struct sonde_demo_section *section,
                                 struct sonde_result **out, struct sonde_error *error,
                                 const char *word, ...)
{
    const char *words[WORDS_MAX + 1] = { word };
    struct sonde_result *result = NULL;
    char *line = NULL;
    va_list args;
    va_start(args, word);
    for (int n = 1; n < WORDS_MAX && words[n - 1]; n++)
        words[n] = va_arg(args, const char *);
    va_end(args);
    demo->n_run++;
    enum sonde_status status = name_models(demo, words, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_cli_call(demo->cli, words, &line, &result, NULL, error);
    if (status == SONDE_STATUS_OK && section->n_commands < SONDE_DEMO_COMMANDS)
        section->command[section->n_commands++] = sonde_demo_print(demo, "%s", line);
    if (status == SONDE_STATUS_OK) {
        sonde_table_add_row(demo->commands);
        sonde_table_text(demo->commands, 0, section->id);
        sonde_table_text(demo->commands, 1, line);
    }
    if (out)
        *out = result;
    else
        sonde_result_destroy(&result);
    free(line);
    return status;
}

const char *sonde_demo_print(struct sonde_demo *demo, const char *format, ...)
{
    char text[SONDE_DEMO_TEXT_MAX];
    va_list args;
    va_start(args, format);
    sonde_format_text(text, sizeof(text), format, args);
    va_end(args);
    const char *copy = sonde_arena_strndup(demo->arena, text, strlen(text));
    if (!copy)
        demo->result->failed = true;
    return copy ? copy : "";
}

const char *sonde_demo_path(struct sonde_demo *demo, const char *name)
{
    char *path = sonde_path_join(demo->folder, name);
    const char *copy = sonde_demo_print(demo, "%s", path ? path : "");
    free(path);
    return copy;
}

static const struct sonde_table *find_table(const struct sonde_result *result, const char *name)
{
    for (int64_t i = 0; result && i < result->n_tables; i++) {
        if (strcmp(result->table[i]->name, name) == 0)
            return result->table[i];
    }
    return NULL;
}

static const struct sonde_cell *find_cell(const struct sonde_result *result, const char *table,
                                          int64_t row, const char *column)
{
    const struct sonde_table *t = find_table(result, table);
    for (int64_t c = 0; t && row < t->n_rows && c < t->n_columns; c++) {
        if (strcmp(t->column[c], column) == 0)
            return &t->cell[row * t->n_columns + c];
    }
    return NULL;
}

int64_t sonde_demo_rows(const struct sonde_result *result, const char *table)
{
    const struct sonde_table *t = find_table(result, table);
    return t ? t->n_rows : 0;
}

static double cell_number(const struct sonde_cell *cell)
{
    if (cell && cell->kind == SONDE_CELL_REAL)
        return cell->real;
    return cell && cell->kind == SONDE_CELL_INTEGER ? (double)cell->integer : (double)NAN;
}

double sonde_demo_cell(const struct sonde_result *result, const char *table, int64_t row,
                       const char *column)
{
    return cell_number(find_cell(result, table, row, column));
}

const char *sonde_demo_text(const struct sonde_result *result, const char *table, int64_t row,
                            const char *column)
{
    const struct sonde_cell *cell = find_cell(result, table, row, column);
    return cell && cell->kind == SONDE_CELL_TEXT ? cell->text : "";
}

double sonde_demo_scalar(const struct sonde_result *result, const char *name)
{
    for (int64_t i = 0; result && i < result->n_scalars; i++) {
        if (strcmp(result->scalar[i].name, name) == 0)
            return cell_number(&result->scalar[i].value);
    }
    return (double)NAN;
}

void sonde_demo_add_figure(struct sonde_demo *demo, struct sonde_demo_section *section,
                           struct sonde_figure *figure)
{
    sonde_result_add_figure(demo->result, figure);
    if (!demo->result->failed && section->n_figures < SONDE_DEMO_FIGURES)
        section->figure[section->n_figures++] = figure;
}

static void rename_figure(struct sonde_figure *figure, const char *name, const char *title)
{
    char *new_name = sonde_strdup(name), *new_title = sonde_strdup(title);
    if (!new_name || !new_title) {
        figure->failed = true;
        free(new_name);
        free(new_title);
        return;
    }
    free(figure->name);
    free(figure->title);
    figure->name = new_name;
    figure->title = new_title;
}

void sonde_demo_take_figure(struct sonde_demo *demo, struct sonde_demo_section *section,
                            struct sonde_result *from, const char *name, const char *new_name,
                            const char *new_title)
{
    for (int64_t i = 0; from && i < from->n_figures; i++) {
        struct sonde_figure *figure = from->figure[i];
        if (strcmp(figure->name, name) != 0)
            continue;
        free(from->figure_files[i]);
        from->n_figures--;
        for (int64_t k = i; k < from->n_figures; k++) {
            from->figure[k] = from->figure[k + 1];
            from->figure_files[k] = from->figure_files[k + 1];
        }
        rename_figure(figure, new_name, new_title);
        sonde_demo_add_figure(demo, section, figure);
        return;
    }
}

void sonde_demo_number(struct sonde_demo *demo, const char *value, const char *what)
{
    if (demo->n_numbers < SONDE_DEMO_NUMBERS)
        demo->number[demo->n_numbers++] = (struct sonde_article_number){ value, what };
}

static void add_line(struct sonde_demo *demo, struct sonde_demo_section *s, const char *line)
{
    s->command[s->n_commands++] = line;
    sonde_table_add_row(demo->commands);
    sonde_table_text(demo->commands, 0, s->id);
    sonde_table_text(demo->commands, 1, line);
}

void sonde_demo_next(struct sonde_demo *demo)
{
    struct sonde_demo_section *s = sonde_demo_begin(demo, "next", "What to try next");
    struct sonde_buf report = { 0 };
    s->command_title = "Commands to begin with";
    s->text[0] = "Everything above lies in two stores, plain SQLite files: look through them, let "
                 "the model write, or take one of your own instead of `english`, a folder in "
                 "Hugging Face layout. `sonde probes` lists the probes, `sonde train --help` says "
                 "how to make a model, and `sonde study emergent-stack -o study` re-runs the paper "
                 "that this page shortens, in some minutes. A build leaves the program in "
                 "`build/tools/sonde`.";
    sonde_buf_puts(&report, "sonde report ");
    sonde_cli_quote(&report, sonde_demo_path(demo, "counter.db"));
    sonde_buf_puts(&report, " -o ");
    sonde_cli_quote(&report, sonde_demo_path(demo, "counter.html"));
    add_line(demo, s, sonde_demo_print(demo, "%s", report.data ? report.data : ""));
    add_line(demo, s, "sonde generate english --prompt 'a violin is'");
    add_line(demo, s, "sonde info english");
    add_line(demo, s, "sonde models");
    sonde_buf_finish(&report);
}

enum sonde_status sonde_demo_write(struct sonde_demo *demo, struct sonde_error *error)
{
    static const char *const lead[] = {
        "Two small transformers come with Sonde, both trained by recipes that lie beside them. "
        "`counter` reads brackets of two kinds and says which may come next; what it has to know "
        "for that is known exactly. `english` continues short definitions of English words. This "
        "page looks into both.",
        NULL
    };
    struct sonde_article_section section[SONDE_DEMO_SECTIONS];
    for (int64_t i = 0; i < demo->n_sections; i++) {
        const struct sonde_demo_section *s = &demo->section[i];
        section[i] = (struct sonde_article_section){
            .id = s->id,
            .title = s->title,
            .text = s->text,
            .seen = s->seen,
            .opposite = s->opposite,
            .figure = s->figure,
            .n_figures = s->n_figures,
            .card = s->card,
            .n_cards = s->n_cards,
            .table = s->table,
            .n_tables = s->n_tables,
            .command_title = s->command_title,
            .command = s->command,
        };
    }
    const struct sonde_article article = {
        .title = "What two small transformers know, and where",
        .subtitle = "A tour of Sonde, a probing workbench for transformer language models",
        .lead = lead,
        .number = demo->number,
        .n_numbers = demo->n_numbers,
        .section = section,
        .n_sections = demo->n_sections,
        .checks = demo->result,
        .provenance = { .command = demo->cli->command_line, .version = SONDE_VERSION },
    };
    struct sonde_buf html = { 0 };
    enum sonde_status status = sonde_result_status(demo->result, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_render_article(&article, &html, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_file_save(sonde_demo_path(demo, "report.html"), html.data, html.size, error);
    sonde_buf_finish(&html);
    return status;
}
