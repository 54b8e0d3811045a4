/* Ranges of code points with a width other than one column, ascending. For display.c alone. */
#ifndef SONDE_ANALYSIS_DISPLAY_TABLE_H
#define SONDE_ANALYSIS_DISPLAY_TABLE_H

#include <stdint.h>

struct sonde_display_range {
    uint32_t first, last;
};
extern const struct sonde_display_range sonde_display_zero[]; /* no column */
extern const int sonde_display_zero_count;
extern const struct sonde_display_range sonde_display_wide[]; /* two columns */
extern const int sonde_display_wide_count;

#endif
