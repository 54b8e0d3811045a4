/* Names of label kinds and spaces as the tables spell them. Private to storage. */
#ifndef SONDE_STORAGE_LABELS_H
#define SONDE_STORAGE_LABELS_H

#include "storage/store.h"

bool sonde_label_kind_from_name(const char *name, enum sonde_label_kind *out);
/* Labels are of tokens or of sequences. */
bool sonde_label_space_from_name(const char *name, enum sonde_row_space *out);

#endif
