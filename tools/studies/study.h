/*
 * Study: a published experiment, re-run end to end, with what it claims as checks. One file in this
 * folder and a line in studies.c; what studies have in common is in the lab (lab.h).
 */
#ifndef SONDE_TOOLS_STUDIES_STUDY_H
#define SONDE_TOOLS_STUDIES_STUDY_H

#include "core/base/status.h"

struct sonde_lab;

struct sonde_study {
    const char *name;    /* "emergent-stack" */
    const char *paper;   /* authors, title, year, where */
    const char *summary; /* one line: what it does */
    const char *time;    /* on two cores: "8 min; with --weights 3 min" */
    /* The folder in --weights is one that it can use; NULL = it has no use for --weights. */
    const char *weights;
    /* Fills the lab's sections and checks. Claims that do not hold are failed checks, not errors.
     */
    enum sonde_status (*run)(struct sonde_lab *lab, struct sonde_error *error);
};

extern const struct sonde_study *const sonde_studies[]; /* NULL-terminated */
/* NOT_FOUND names those there are. */
SONDE_MUST_USE enum sonde_status sonde_study_find(const char *name, const struct sonde_study **out,
                                                  struct sonde_error *error);

extern const struct sonde_study sonde_study_emergent_stack;
extern const struct sonde_study sonde_study_formal_languages;

#endif
