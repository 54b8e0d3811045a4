#include "analysis/report/result.h"

#include <math.h>
#include <string.h>

/* RFC 4180: a field with a comma, quote or line break is quoted, quotes inside are doubled. Leading
 * and trailing blanks are quoted too: some readers trim them, and a token may be one blank. */
static void put_field(struct sonde_buf *out, const char *text)
{
    size_t n = strlen(text);
    bool plain = n > 0 && !strpbrk(text, ",\"\r\n") && text[0] != ' ' && text[n - 1] != ' ';
    if (plain) {
        sonde_buf_append(out, text, n);
        return;
    }
    sonde_buf_putc(out, '"');
    for (const char *c = text; *c; c++) {
        if (*c == '"')
            sonde_buf_putc(out, '"');
        sonde_buf_putc(out, *c);
    }
    sonde_buf_putc(out, '"');
}

/* Nothing at all for null and for what is not a finite number; an empty text is "". */
static void put_cell(struct sonde_buf *out, const struct sonde_cell *cell)
{
    switch (cell->kind) {
    case SONDE_CELL_NULL:
        break;
    case SONDE_CELL_TEXT:
        put_field(out, cell->text);
        break;
    case SONDE_CELL_INTEGER:
        sonde_buf_printf(out, "%lld", (long long)cell->integer);
        break;
    case SONDE_CELL_REAL:
        if (isfinite(cell->real))
            sonde_buf_put_f64(out, cell->real);
        break;
    case SONDE_CELL_BOOL:
        sonde_buf_puts(out, cell->integer ? "true" : "false");
        break;
    }
}

enum sonde_status sonde_render_csv(const struct sonde_table *table, struct sonde_buf *out,
                                   struct sonde_error *error)
{
    for (int64_t c = 0; c < table->n_columns; c++) {
        if (c)
            sonde_buf_putc(out, ',');
        put_field(out, table->column[c]);
    }
    sonde_buf_puts(out, "\r\n");
    for (int64_t r = 0; r < table->n_rows; r++) {
        for (int64_t c = 0; c < table->n_columns; c++) {
            if (c)
                sonde_buf_putc(out, ',');
            put_cell(out, &table->cell[r * table->n_columns + c]);
        }
        sonde_buf_puts(out, "\r\n");
    }
    return sonde_buf_status(out, error);
}
