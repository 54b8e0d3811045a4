/* What writing (archive.c) and reading (restore.c) of result archives share. */
#ifndef SONDE_ANALYSIS_REPORT_ARCHIVE_H
#define SONDE_ANALYSIS_REPORT_ARCHIVE_H

#include <stdbool.h>

#include "analysis/figure/figure.h"
#include "core/base/buf.h"

/* "heatmap", "grid", ...: unlike sonde_figure_kind_name different for every kind. */
const char *sonde_archive_kind_name(enum sonde_figure_kind kind);

/* Base64 of RFC 4648 with padding, appended. decode: false where text[0..n) is anything else. */
void sonde_archive_encode(struct sonde_buf *out, const void *data, size_t n);
bool sonde_archive_decode(struct sonde_buf *out, const char *text, size_t n);

#endif
