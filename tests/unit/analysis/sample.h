/* A result with every kind of cell, hostile texts and figures: for the renderers and the archive.
 */
#ifndef SONDE_TESTS_UNIT_ANALYSIS_SAMPLE_H
#define SONDE_TESTS_UNIT_ANALYSIS_SAMPLE_H

#include "analysis/report/result.h"

/* NULL when memory is out. */
struct sonde_result *sample_make(void);

#endif
