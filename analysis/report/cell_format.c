#include "analysis/report/cell_format.h"

#include <math.h>
#include <string.h>

#include "analysis/display.h"

#define PLACES 4
#define DECIMALS_MAX 6

struct sonde_column_format sonde_column_format_of(const struct sonde_table *t, int64_t column,
                                                  int64_t n_rows)
{
    struct sonde_column_format format = { .numeric = true, .decimals = -1 };
    double largest = 0, smallest = INFINITY;
    bool whole = true, any = false;
    for (int64_t r = 0; r < t->n_rows; r++) {
        const struct sonde_cell *cell = &t->cell[r * t->n_columns + column];
        if (cell->kind == SONDE_CELL_TEXT || cell->kind == SONDE_CELL_BOOL)
            format.numeric = false;
        else
            any = true; /* a column of nothing but nulls stands with the numbers */
        if (r >= n_rows || cell->kind != SONDE_CELL_REAL || !isfinite(cell->real))
            continue;
        double size = fabs(cell->real);
        whole = whole && size == floor(size);
        largest = size > largest ? size : largest;
        if (size > 0 && size < smallest)
            smallest = size;
    }
    format.numeric = format.numeric && any;
    if (largest >= 1e9 || (smallest < 1e-4 && isfinite(smallest)))
        return format;
    if (whole) {
        format.decimals = largest > 0 || n_rows == 0 ? 0 : 1;
        return format;
    }
    int decimals = PLACES - 1 - (int)floor(log10(largest));
    int needed = 1 - (int)floor(log10(smallest));
    decimals = decimals < 0 ? 0 : decimals;
    decimals = needed > decimals ? needed : decimals;
    if (decimals > PLACES && largest < 1)
        decimals = needed > PLACES ? needed : PLACES;
    format.decimals = decimals <= DECIMALS_MAX ? decimals : -1;
    return format;
}

void sonde_cell_print(struct sonde_buf *out, const struct sonde_cell *cell,
                      const struct sonde_column_format *format)
{
    char number[SONDE_DISPLAY_NUMBER_MAX];
    switch (cell->kind) {
    case SONDE_CELL_NULL:
        sonde_buf_putc(out, '-');
        break;
    case SONDE_CELL_TEXT:
        sonde_display_token(out, cell->text, strlen(cell->text));
        break;
    case SONDE_CELL_INTEGER:
        sonde_buf_printf(out, "%lld", (long long)cell->integer);
        break;
    case SONDE_CELL_REAL:
        if (isfinite(cell->real) && format && format->decimals >= 0) {
            /* no negative zero from rounding */
            double half = 0.5 * pow(10, -format->decimals);
            double value = fabs(cell->real) < half ? 0 : cell->real;
            sonde_buf_printf(out, "%.*f", format->decimals, value);
        } else {
            sonde_display_number(number, cell->real, PLACES);
            sonde_buf_puts(out, number);
        }
        break;
    case SONDE_CELL_BOOL:
        sonde_buf_puts(out, cell->integer ? "yes" : "no");
        break;
    }
}
