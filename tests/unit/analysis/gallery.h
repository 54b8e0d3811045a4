/* Figures as the probes make them, with made-up data: for tests and for looking at. */
#ifndef SONDE_TESTS_UNIT_ANALYSIS_GALLERY_H
#define SONDE_TESTS_UNIT_ANALYSIS_GALLERY_H

#include "analysis/figure/figure.h"

#define GALLERY_SIZE 16
/* Figure k of GALLERY_SIZE; NULL when memory is out. */
struct sonde_figure *gallery_make(int k);

#endif
