#include "analysis/report/result.h"

#include <stdlib.h>
#include <string.h>

#include "analysis/display.h"
#include "analysis/report/cell_format.h"
#include "core/base/num.h"

#define GAP 2             /* blanks between columns */
#define TEXT_WIDTH_MIN 12 /* a text column is shortened no further to keep a table in one piece */
#define TEXT_WIDTH_MAX 48 /* and never wider than this beside other columns */
#define REPEATED_MAX 32   /* the first column comes again in every piece where it is no wider */

enum paint {
    PAINT_BOLD,
    PAINT_DIM,
    PAINT_GOOD,
    PAINT_BAD,
    PAINT_WARN,
};

struct page {
    struct sonde_buf *out;
    int64_t width;
    bool color;
    int64_t max_rows;
};

static void paint(struct page *p, enum paint paint, const char *text)
{
    static const char *const code[] = { "\033[1m", "\033[2m", "\033[32m", "\033[1;31m",
                                        "\033[33m" };
    if (p->color)
        sonde_buf_puts(p->out, code[paint]);
    sonde_buf_puts(p->out, text);
    if (p->color)
        sonde_buf_puts(p->out, "\033[0m");
}

static void put_blanks(struct sonde_buf *out, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        sonde_buf_putc(out, ' ');
}

/* text, made clean and cut to the width, and padded on one side. */
static void put_padded(struct sonde_buf *out, const char *clean, int64_t width, bool right,
                       bool last)
{
    size_t n = strlen(clean);
    int64_t used = sonde_display_width(clean, n);
    if (right && used < width)
        put_blanks(out, width - used);
    used = sonde_display_fit(out, clean, n, width);
    if (!right && !last)
        put_blanks(out, width - used);
}

/* What printing a table needs: formats and widths [n_columns], and a buffer for one cell. */
struct layout {
    struct sonde_column_format *format;
    int64_t *width;
    int64_t n_rows; /* that are shown */
    struct sonde_buf cell;
    bool failed; /* memory ran out for a cell */
};

static const char *cell_text(struct layout *l, const struct sonde_table *t, int64_t row, int64_t c)
{
    sonde_buf_clear(&l->cell);
    if (row < 0)
        sonde_display_clean(&l->cell, t->column[c], strlen(t->column[c]));
    else
        sonde_cell_print(&l->cell, &t->cell[row * t->n_columns + c], &l->format[c]);
    l->failed = l->failed || l->cell.failed;
    return l->cell.data ? l->cell.data : "";
}

static void measure(struct layout *l, const struct sonde_table *t)
{
    for (int64_t c = 0; c < t->n_columns; c++) {
        l->format[c] = sonde_column_format_of(t, c, l->n_rows);
        l->width[c] = 1;
        for (int64_t r = -1; r < l->n_rows; r++) {
            const char *text = cell_text(l, t, r, c);
            int64_t width = sonde_display_width(text, strlen(text));
            l->width[c] = width > l->width[c] ? width : l->width[c];
        }
    }
}

static int64_t total_width(const struct layout *l, int64_t n)
{
    int64_t total = 0;
    for (int64_t c = 0; c < n; c++)
        total += l->width[c] + (c ? GAP : 0);
    return total;
}

/* The first column names the row and is kept; other texts may lose what is over the minimum. */
static bool may_shrink(const struct layout *l, int64_t c)
{
    return !l->format[c].numeric && l->width[c] > TEXT_WIDTH_MIN &&
           (c > 0 || l->width[c] > REPEATED_MAX);
}

/* Takes width away from the widest text columns where that makes the table fit; else nothing. */
static void shrink(struct layout *l, const struct sonde_table *t, int64_t width)
{
    int64_t total = total_width(l, t->n_columns), spare = 0;
    for (int64_t c = 0; c < t->n_columns; c++)
        if (may_shrink(l, c))
            spare += l->width[c] - (c > 0 ? TEXT_WIDTH_MIN : REPEATED_MAX);
    if (total - spare > width)
        return;
    while (total > width) {
        int64_t widest = -1;
        for (int64_t c = 0; c < t->n_columns; c++)
            if (may_shrink(l, c) && (widest < 0 || l->width[c] > l->width[widest]))
                widest = c;
        if (widest < 0)
            return;
        l->width[widest]--;
        total--;
    }
}

static void put_line(struct page *p, struct layout *l, const struct sonde_table *t,
                     const int64_t *column, int64_t n, int64_t row)
{
    if (row < 0 && p->color)
        sonde_buf_puts(p->out, "\033[1m");
    put_blanks(p->out, 2);
    for (int64_t i = 0; i < n; i++) {
        int64_t c = column[i];
        if (i)
            put_blanks(p->out, GAP);
        put_padded(p->out, cell_text(l, t, row, c), l->width[c], l->format[c].numeric, i == n - 1);
    }
    if (row < 0 && p->color)
        sonde_buf_puts(p->out, "\033[0m");
    sonde_buf_putc(p->out, '\n');
}

static void put_rule(struct page *p, const struct layout *l, const int64_t *column, int64_t n)
{
    put_blanks(p->out, 2);
    for (int64_t i = 0; i < n; i++) {
        if (i)
            put_blanks(p->out, GAP);
        for (int64_t k = 0; k < l->width[column[i]]; k++)
            sonde_buf_puts(p->out, "\xe2\x94\x80");
    }
    sonde_buf_putc(p->out, '\n');
}

/* The columns of the piece that starts at `first`: as many as fit, at least one. */
static int64_t choose_columns(const struct layout *l, const struct sonde_table *t, int64_t first,
                              int64_t width, int64_t *column)
{
    int64_t n = 0, used = 0;
    if (first > 0 && l->width[0] <= REPEATED_MAX) {
        column[n++] = 0;
        used = l->width[0] + GAP;
    }
    int64_t fresh = 0;
    for (int64_t c = first; c < t->n_columns; c++, fresh++) {
        if (fresh > 0 && used + l->width[c] > width)
            break;
        column[n++] = c;
        used += l->width[c] + GAP;
    }
    return n;
}

static void put_pieces(struct page *p, struct layout *l, const struct sonde_table *t,
                       int64_t *column)
{
    int64_t inner = p->width - 2;
    shrink(l, t, inner);
    bool whole = total_width(l, t->n_columns) <= inner;
    for (int64_t c = 0; c < t->n_columns && !whole; c++) {
        int64_t most = t->n_columns == 1 || inner < TEXT_WIDTH_MAX ? inner : TEXT_WIDTH_MAX;
        l->width[c] = l->width[c] > most ? most : l->width[c];
    }
    for (int64_t first = 0; first < t->n_columns;) {
        int64_t n = choose_columns(l, t, first, inner, column);
        if (first)
            sonde_buf_putc(p->out, '\n');
        put_line(p, l, t, column, n, -1);
        put_rule(p, l, column, n);
        for (int64_t r = 0; r < l->n_rows; r++)
            put_line(p, l, t, column, n, r);
        first = column[n - 1] + 1;
    }
}

static bool put_table(struct page *p, const struct sonde_table *t)
{
    struct layout l = { .n_rows = t->n_rows < p->max_rows ? t->n_rows : p->max_rows };
    size_t n = t->n_columns ? (size_t)t->n_columns : 1;
    l.format = calloc(n, sizeof(*l.format));
    l.width = calloc(n, sizeof(*l.width));
    int64_t *column = calloc(n + 1, sizeof(*column));
    bool ok = l.format && l.width && column;
    if (ok) {
        sonde_buf_putc(p->out, '\n');
        paint(p, PAINT_BOLD, t->name);
        sonde_buf_putc(p->out, '\n');
        measure(&l, t);
        put_pieces(p, &l, t, column);
        if (t->n_rows == 0)
            sonde_buf_puts(p->out, "  (no rows)\n");
        if (l.n_rows < t->n_rows)
            sonde_buf_printf(p->out, "  \xe2\x80\xa6 and %lld more rows (%lld in all)\n",
                             (long long)(t->n_rows - l.n_rows), (long long)t->n_rows);
        ok = !l.failed;
    }
    free(l.format);
    free(l.width);
    free(column);
    sonde_buf_finish(&l.cell);
    return ok;
}

/* "  name   value" lines; reals keep six places here, where nothing stands beside them. */
static bool put_parameters(struct page *p, const char *title,
                           const struct sonde_result_parameter *parameter, int64_t n)
{
    if (n == 0)
        return true;
    sonde_buf_putc(p->out, '\n');
    paint(p, PAINT_BOLD, title);
    sonde_buf_putc(p->out, '\n');
    int64_t widest = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t width = sonde_display_width(parameter[i].name, strlen(parameter[i].name));
        widest = width > widest ? width : widest;
    }
    widest = widest > p->width / 2 ? p->width / 2 : widest;
    struct sonde_buf cell = { 0 };
    bool ok = true;
    for (int64_t i = 0; i < n; i++) {
        sonde_buf_clear(&cell);
        char number[SONDE_DISPLAY_NUMBER_MAX];
        if (parameter[i].value.kind == SONDE_CELL_REAL) {
            sonde_display_number(number, parameter[i].value.real, 6);
            sonde_buf_puts(&cell, number);
        } else {
            sonde_cell_print(&cell, &parameter[i].value, NULL);
        }
        ok = ok && !cell.failed;
        put_blanks(p->out, 2);
        put_padded(p->out, parameter[i].name, widest, false, false);
        put_blanks(p->out, GAP);
        int64_t room = p->width - 2 - widest - GAP;
        sonde_display_fit(p->out, cell.data ? cell.data : "", cell.size, room);
        sonde_buf_putc(p->out, '\n');
    }
    sonde_buf_finish(&cell);
    return ok;
}

static void put_figures(struct page *p, const struct sonde_result *r)
{
    bool any = false;
    for (int64_t i = 0; i < r->n_figures; i++)
        any = any || r->figure_files[i];
    if (!any)
        return;
    sonde_buf_putc(p->out, '\n');
    paint(p, PAINT_BOLD, "figures");
    sonde_buf_putc(p->out, '\n');
    for (int64_t i = 0; i < r->n_figures; i++) {
        const char *file = r->figure_files[i];
        while (file && *file) {
            size_t n = strcspn(file, "\n");
            sonde_buf_puts(p->out, "  ");
            sonde_display_clean(p->out, file, n);
            sonde_buf_putc(p->out, '\n');
            file += file[n] ? n + 1 : n;
        }
    }
}

static void put_checks(struct page *p, const struct sonde_result *r)
{
    if (r->n_checks == 0)
        return;
    sonde_buf_putc(p->out, '\n');
    paint(p, PAINT_BOLD, "checks");
    sonde_buf_putc(p->out, '\n');
    for (int64_t i = 0; i < r->n_checks; i++) {
        const struct sonde_result_check *check = &r->check[i];
        char number[SONDE_DISPLAY_NUMBER_MAX];
        sonde_display_number(number, check->value, 4);
        sonde_buf_puts(p->out, "  ");
        paint(p, check->ok ? PAINT_GOOD : PAINT_BAD, check->ok ? "ok    " : "FAILED");
        sonde_buf_puts(p->out, "  ");
        sonde_display_clean(p->out, check->name, strlen(check->name));
        sonde_buf_printf(p->out, ": %s", number);
        if (check->limit) {
            sonde_buf_puts(p->out, " (");
            sonde_display_clean(p->out, check->limit, strlen(check->limit));
            sonde_buf_putc(p->out, ')');
        }
        sonde_buf_putc(p->out, '\n');
    }
}

static void put_warnings(struct page *p, const struct sonde_result *r)
{
    if (r->n_warnings)
        sonde_buf_putc(p->out, '\n');
    for (int64_t i = 0; i < r->n_warnings; i++) {
        paint(p, PAINT_WARN, "warning:");
        sonde_buf_putc(p->out, ' ');
        sonde_display_clean(p->out, r->warning[i], strlen(r->warning[i]));
        sonde_buf_putc(p->out, '\n');
    }
}

enum sonde_status sonde_render_terminal(const struct sonde_result *r,
                                        const struct sonde_terminal_options *options,
                                        struct sonde_buf *out, struct sonde_error *error)
{
    struct page p = { .out = out, .width = 80, .max_rows = 40 };
    if (options) {
        p.color = options->color;
        p.width = options->width > 0 ? options->width : p.width;
        p.max_rows = options->max_rows > 0 ? options->max_rows : p.max_rows;
    }
    p.width = p.width < 20 ? 20 : p.width;
    paint(&p, PAINT_BOLD, r->command);
    sonde_buf_putc(out, '\n');
    bool ok = put_parameters(&p, "parameters", r->parameter, r->n_parameters) &&
              put_parameters(&p, "scalars", r->scalar, r->n_scalars);
    for (int64_t i = 0; ok && i < r->n_tables; i++)
        ok = put_table(&p, r->table[i]);
    put_figures(&p, r);
    put_checks(&p, r);
    put_warnings(&p, r);
    return ok ? sonde_buf_status(out, error) : sonde_error_memory(error, "the terminal text");
}
