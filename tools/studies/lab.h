/*
 * Lab: what a study works with. A folder DIR with a store (study.db), sections that become one HTML
 * page, checks, and the model's work in between: recording, labels, probes, edits.
 *
 *     struct sonde_lab lab = { 0 };
 *     sonde_lab_open(&lab, cli, "study NAME", folder, error);
 *     struct sonde_result *s = sonde_lab_section(&lab, "accuracy by length");
 *     .. tables, figures and scalars of s with sonde_result_* ..
 *     sonde_lab_check(&lab, s, "dyck-1, bin 0", right == 1999, right, "= 1999");
 *     sonde_lab_write(&lab, "A title", "A subtitle", error);    report.html, figures, tables
 *     sonde_cli_emit(cli, lab.summary, ..);                     scalars and all checks
 *     sonde_lab_close(&lab);
 *
 * Strings of formal languages: lab_strings.h. How many a model gets right: lab_score.h. Training:
 * lab_train.h. Every function is for one thread.
 */
#ifndef SONDE_TOOLS_STUDIES_LAB_H
#define SONDE_TOOLS_STUDIES_LAB_H

#include "core/model/edit.h"
#include "storage/store.h"
#include "tools/cli.h"
#include "tools/studies/lab_strings.h"

struct sonde_lab {
    const struct sonde_cli *cli; /* seed, threads, progress, command line */
    const char *folder;          /* DIR; borrowed */
    const char *weights;         /* --weights; NULL = models are trained here */
    bool quick;                  /* --quick: everything small; what is printed says so */
    char *store;                 /* DIR/study.db */
    struct sonde_result *summary;
    struct sonde_result **section; /* [n_sections] in the order of the page */
    int64_t n_sections, capacity;
    int64_t n_probes; /* results of probes that the store holds */
    double began;
    bool failed; /* a section could not be allocated */
    bool made;   /* the folder, by sonde_lab_open */
};

/* Makes DIR where it is not there. ARGUMENT where it holds a study already. lab: zero, or with
 * weights and quick set. command: of the summary, "study emergent-stack". */
SONDE_MUST_USE enum sonde_status sonde_lab_open(struct sonde_lab *lab, const struct sonde_cli *cli,
                                                const char *command, const char *folder,
                                                struct sonde_error *error);
/* Frees; files stay. Accepts half-opened labs. */
void sonde_lab_close(struct sonde_lab *lab);
/* Takes the store away again, and DIR where the lab made it and nothing else is in it: a study that
 * did not end leaves DIR free for the next attempt. */
void sonde_lab_abandon(struct sonde_lab *lab);

/* A new section, owned by the lab. Always a usable result; out of memory is told by
 * sonde_lab_write. `about`: one or two sentences under its title; may be NULL. */
struct sonde_result *sonde_lab_section(struct sonde_lab *lab, const char *title, const char *about);
/* A check of a section (may be NULL) and of the summary. */
void sonde_lab_check(struct sonde_lab *lab, struct sonde_result *section, const char *name, bool ok,
                     double value, const char *limit);
/* The same with a text made of parts: "%s: share of pads". */
void sonde_lab_check_named(struct sonde_lab *lab, struct sonde_result *section, bool ok,
                           double value, const char *limit, const char *format, ...)
    SONDE_PRINTF(6, 7);

/* Keeps the sections in the store, draws their figures into DIR, writes DIR/report.html, and copies
 * the tables of the sections into the summary. */
SONDE_MUST_USE enum sonde_status sonde_lab_write(struct sonde_lab *lab, const char *title,
                                                 const char *subtitle, struct sonde_error *error);

/* DIR/NAME, of format; NULL = out of memory. Freed with free(). */
char *sonde_lab_path(const struct sonde_lab *lab, const char *format, ...) SONDE_PRINTF(2, 3);
/* Progress, and CANCELLED where the user wants to stop. */
SONDE_MUST_USE enum sonde_status sonde_lab_progress(const struct sonde_lab *lab, const char *what,
                                                    int64_t done, int64_t total, const char *unit,
                                                    struct sonde_error *error);

/* Runs strings [0, n) through the model into run `name` of the store, at the sites matching
 * patterns. pad_to > 0: each string is followed by T (id 0) up to so many tokens. edits may be
 * NULL. */
struct sonde_lab_recording {
    const char *name, *sites;
    int64_t n; /* 0 = all */
    int64_t pad_to;
    const struct sonde_edits *edits;
};
SONDE_MUST_USE enum sonde_status sonde_lab_record(struct sonde_lab *lab,
                                                  const struct sonde_model *model,
                                                  const struct sonde_lab_strings *strings,
                                                  const struct sonde_lab_recording *what,
                                                  struct sonde_error *error);

/* A label set of a run that was recorded from these strings: the inner variable `variable`
 * ("depth", "depth:1", "state", ..) at every symbol; a number may be asked for over the length so
 * far: "depth/length", "depth:1/length" (real). */
enum sonde_lab_pads {
    SONDE_LAB_PADS_MASKED, /* have no label */
    SONDE_LAB_PADS_ZERO,   /* are labelled "0": the published protocol */
};
SONDE_MUST_USE enum sonde_status sonde_lab_label(struct sonde_lab *lab, const char *run,
                                                 const struct sonde_lab_strings *strings,
                                                 const char *variable, bool real,
                                                 enum sonde_lab_pads pads, const char *set,
                                                 struct sonde_error *error);

/* Runs a probe over a run; its result is kept in the store. options: name, value, .., NULL; flags
 * have the value "1". *out is the caller's. */
SONDE_MUST_USE enum sonde_status sonde_lab_probe(struct sonde_lab *lab, const char *run,
                                                 const char *probe, const char *const *options,
                                                 struct sonde_result **out,
                                                 struct sonde_error *error);
/* A number of a result: row 0-based of a table, by the name of its column. NaN where there is no
 * such number. */
double sonde_lab_cell(const struct sonde_result *result, const char *table, int64_t row,
                      const char *column);
/* The text of a cell; "" where there is none. Belongs to the result. */
const char *sonde_lab_cell_text(const struct sonde_result *result, const char *table, int64_t row,
                                const char *column);
/* Rows of a table; 0 where there is none. */
int64_t sonde_lab_rows(const struct sonde_result *result, const char *table);
double sonde_lab_scalar(const struct sonde_result *result, const char *name);

/* Directions at a site. The k-th random one, k >= 1, from the study's seed: out [width]. */
void sonde_lab_random_direction(const struct sonde_lab *lab, int64_t k, int64_t width, float *out);
/* One that a probe wrote; *width values, freed with free(). */
SONDE_MUST_USE enum sonde_status
sonde_lab_read_direction(const char *path, float **out, int64_t *width, struct sonde_error *error);
/* The mean state of a site over all rows of a run; freed with free(). */
SONDE_MUST_USE enum sonde_status sonde_lab_mean(struct sonde_lab *lab, const char *run,
                                                const char *site, float **out, int64_t *width,
                                                struct sonde_error *error);
/* Edits that take direction v [width] out of a site: x - (x.v / v.v) v. With mean [width] only what
 * varies along v goes: x - ((x - mean).v / v.v) v, so that the states keep their mean. */
SONDE_MUST_USE enum sonde_status
sonde_lab_take_out(const struct sonde_lab *lab, const struct sonde_model *model, const char *site,
                   const float *v, const float *mean, int64_t width, struct sonde_edits **out,
                   struct sonde_error *error);

#endif
