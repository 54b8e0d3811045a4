/* What writing (archive.c) and reading (restore.c) of result archives share. */
#ifndef SONDE_ANALYSIS_REPORT_ARCHIVE_H
#define SONDE_ANALYSIS_REPORT_ARCHIVE_H

#include "analysis/figure/figure.h"

/* The number behind "sonde_result": of the form that archive.c writes and restore.c reads. */
#define SONDE_ARCHIVE_VERSION 1

/* "heatmap", "grid", ...: unlike sonde_figure_kind_name different for every kind. */
const char *sonde_archive_kind_name(enum sonde_figure_kind kind);

#endif
