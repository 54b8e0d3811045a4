/* Formal languages: published targets against those of core/corpus/formal. Private to the study. */
#ifndef SONDE_TOOLS_STUDIES_FORMAL_TARGETS_H
#define SONDE_TOOLS_STUDIES_FORMAL_TARGETS_H

#include "tools/studies/lab.h"

/* Every *_src*.txt of the folders of DIR/../data (DIR = lab->weights) whose language is known:
 * regenerates the targets and counts the lines that equal those of *_tgt*.txt. NOT_FOUND where
 * there is no such folder. */
SONDE_MUST_USE enum sonde_status sonde_formal_targets_compare(struct sonde_lab *lab,
                                                              struct sonde_error *error);

#endif
