#include "analysis/report/result.h"

#include <string.h>

#include "analysis/display.h"
#include "analysis/report/cell_format.h"

static bool is_word(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Characters with a meaning in GitHub's Markdown get a backslash ('_' inside a word has none); '<'
 * and '&' become entities, so that a token is never a tag. */
static void put_escaped(struct sonde_buf *out, const char *clean)
{
    for (const char *c = clean; *c; c++) {
        bool inside = *c == '_' && c > clean && is_word(c[-1]) && is_word(c[1]);
        if (*c == '<')
            sonde_buf_puts(out, "&lt;");
        else if (*c == '&')
            sonde_buf_puts(out, "&amp;");
        else if (strchr("\\`*_[]|#~$", *c) && !inside)
            sonde_buf_printf(out, "\\%c", *c);
        else
            sonde_buf_putc(out, *c);
    }
}

static void put_text(struct sonde_buf *out, const char *text)
{
    struct sonde_buf clean = { 0 };
    sonde_display_clean(&clean, text, strlen(text));
    put_escaped(out, clean.data ? clean.data : "");
    out->failed = out->failed || clean.failed;
    sonde_buf_finish(&clean);
}

static void put_cell(struct sonde_buf *out, const struct sonde_cell *cell,
                     const struct sonde_column_format *format)
{
    struct sonde_buf text = { 0 };
    sonde_cell_print(&text, cell, format);
    put_escaped(out, text.data ? text.data : "");
    out->failed = out->failed || text.failed;
    sonde_buf_finish(&text);
}

static void put_parameters(struct sonde_buf *out, const char *title,
                           const struct sonde_result_parameter *parameter, int64_t n)
{
    if (n == 0)
        return;
    sonde_buf_printf(out, "\n## %s\n\n| name | value |\n| --- | ---: |\n", title);
    for (int64_t i = 0; i < n; i++) {
        sonde_buf_puts(out, "| ");
        put_text(out, parameter[i].name);
        sonde_buf_puts(out, " | ");
        put_cell(out, &parameter[i].value, NULL);
        sonde_buf_puts(out, " |\n");
    }
}

static void put_table(struct sonde_buf *out, const struct sonde_table *t)
{
    sonde_buf_puts(out, "\n## ");
    put_text(out, t->name);
    sonde_buf_puts(out, "\n\n|");
    for (int64_t c = 0; c < t->n_columns; c++) {
        sonde_buf_putc(out, ' ');
        put_text(out, t->column[c]);
        sonde_buf_puts(out, " |");
    }
    sonde_buf_puts(out, "\n|");
    for (int64_t c = 0; c < t->n_columns; c++)
        sonde_buf_puts(out, sonde_column_format_of(t, c, t->n_rows).numeric ? " ---: |" : " --- |");
    sonde_buf_putc(out, '\n');
    for (int64_t r = 0; r < t->n_rows; r++) {
        sonde_buf_putc(out, '|');
        for (int64_t c = 0; c < t->n_columns; c++) {
            sonde_buf_putc(out, ' ');
            put_cell(out, &t->cell[r * t->n_columns + c], NULL);
            sonde_buf_puts(out, " |");
        }
        sonde_buf_putc(out, '\n');
    }
}

static void put_figures(struct sonde_buf *out, const struct sonde_result *r)
{
    for (int64_t i = 0; i < r->n_figures; i++) {
        const char *file = r->figure_files[i];
        if (!file || !*file)
            continue;
        size_t n = strcspn(file, "\n");
        sonde_buf_puts(out, "\n![");
        put_text(out, r->figure[i]->title ? r->figure[i]->title : r->figure[i]->name);
        sonde_buf_puts(out, "](<");
        for (size_t k = 0; k < n; k++)
            if (!strchr("<>\\", file[k]))
                sonde_buf_putc(out, file[k]);
        sonde_buf_puts(out, ">)\n");
    }
}

enum sonde_status sonde_render_markdown(const struct sonde_result *r, struct sonde_buf *out,
                                        struct sonde_error *error)
{
    sonde_buf_puts(out, "# ");
    put_text(out, r->command);
    sonde_buf_putc(out, '\n');
    put_parameters(out, "Parameters", r->parameter, r->n_parameters);
    put_parameters(out, "Scalars", r->scalar, r->n_scalars);
    for (int64_t i = 0; i < r->n_tables; i++)
        put_table(out, r->table[i]);
    put_figures(out, r);
    if (r->n_checks)
        sonde_buf_puts(out, "\n## Checks\n\n| check | ok | value | limit |\n| --- | --- | ---: | "
                            "--- |\n");
    for (int64_t i = 0; i < r->n_checks; i++) {
        const struct sonde_result_check *check = &r->check[i];
        char number[SONDE_DISPLAY_NUMBER_MAX];
        sonde_display_number(number, check->value, 4);
        sonde_buf_puts(out, "| ");
        put_text(out, check->name);
        sonde_buf_printf(out, " | %s | %s | ", check->ok ? "yes" : "**no**", number);
        put_text(out, check->limit ? check->limit : "");
        sonde_buf_puts(out, " |\n");
    }
    if (r->n_warnings)
        sonde_buf_puts(out, "\n## Warnings\n\n");
    for (int64_t i = 0; i < r->n_warnings; i++) {
        sonde_buf_puts(out, "- ");
        put_text(out, r->warning[i]);
        sonde_buf_putc(out, '\n');
    }
    return sonde_buf_status(out, error);
}
