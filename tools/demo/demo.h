/*
 * Demo: a tour of the bundled models as one page. What stands on the page comes from commands that
 * are run as if they had been typed (cli_call.h); the page shows them, so a reader can type them
 * too. demo_counter.c and demo_english.c fill the sections, demo_page.c keeps and draws them.
 */
#ifndef SONDE_TOOLS_DEMO_DEMO_H
#define SONDE_TOOLS_DEMO_DEMO_H

#include "analysis/report/article.h"
#include "core/base/arena.h"
#include "tools/cli.h"

#define SONDE_DEMO_SECTIONS 8
#define SONDE_DEMO_FIGURES 4   /* of a section */
#define SONDE_DEMO_COMMANDS 12 /* of a section */
#define SONDE_DEMO_CARDS 3
#define SONDE_DEMO_NUMBERS 4
#define SONDE_DEMO_TEXT_MAX 2000 /* bytes of a text that is printed */

/* Texts live in the demo's arena, figures and tables in its result. */
struct sonde_demo_section {
    const char *id, *title;
    const char *text[4]; /* NULL ends */
    const char *seen, *opposite;
    const struct sonde_figure *figure[SONDE_DEMO_FIGURES];
    int64_t n_figures;
    struct sonde_article_card card[SONDE_DEMO_CARDS];
    int64_t n_cards;
    struct sonde_article_table table[2];
    int64_t n_tables;
    const char *command_title;
    const char *command[SONDE_DEMO_COMMANDS + 1];
    int64_t n_commands;
};

struct sonde_demo {
    const struct sonde_cli *cli;
    const char *folder; /* DIR */
    struct sonde_arena *arena;
    struct sonde_result *result; /* "demo" */
    struct sonde_table *commands;
    struct sonde_demo_section section[SONDE_DEMO_SECTIONS];
    int64_t n_sections;
    struct sonde_article_number number[SONDE_DEMO_NUMBERS];
    int64_t n_numbers;
    int64_t n_run; /* commands, for progress */
};

/* The next section; never NULL. */
struct sonde_demo_section *sonde_demo_begin(struct sonde_demo *demo, const char *id,
                                            const char *title);

/* Runs `sonde WORD..` (a list of const char *, NULL ends) and notes the line under the section.
 * *out (may be NULL) is the caller's. */
SONDE_MUST_USE enum sonde_status sonde_demo_run(struct sonde_demo *demo,
                                                struct sonde_demo_section *section,
                                                struct sonde_result **out,
                                                struct sonde_error *error, const char *word, ...);

/* Text in the arena; "" where memory is out, which sonde_demo_status tells. */
const char *sonde_demo_print(struct sonde_demo *demo, const char *format, ...) SONDE_PRINTF(2, 3);
/* DIR/NAME */
const char *sonde_demo_path(struct sonde_demo *demo, const char *name);

/* Cells of a step's result by names; NaN and "" where there is none. */
int64_t sonde_demo_rows(const struct sonde_result *result, const char *table);
double sonde_demo_cell(const struct sonde_result *result, const char *table, int64_t row,
                       const char *column);
const char *sonde_demo_text(const struct sonde_result *result, const char *table, int64_t row,
                            const char *column);
double sonde_demo_scalar(const struct sonde_result *result, const char *name);

/* Puts a figure into the demo's result and the section. NULL = out of memory, told later. */
void sonde_demo_add_figure(struct sonde_demo *demo, struct sonde_demo_section *section,
                           struct sonde_figure *figure);
/* The figure of that name out of a step's result, under a new name and title. */
void sonde_demo_take_figure(struct sonde_demo *demo, struct sonde_demo_section *section,
                            struct sonde_result *from, const char *name, const char *new_name,
                            const char *new_title);
/* One of the large numbers at the top. */
void sonde_demo_number(struct sonde_demo *demo, const char *value, const char *what);

/* The sections; demo_counter.c and demo_english.c. */
SONDE_MUST_USE enum sonde_status sonde_demo_counter(struct sonde_demo *demo,
                                                    struct sonde_error *error);
SONDE_MUST_USE enum sonde_status sonde_demo_english(struct sonde_demo *demo,
                                                    struct sonde_error *error);

/* The last section: what to try next. */
void sonde_demo_next(struct sonde_demo *demo);

/* DIR/report.html. */
SONDE_MUST_USE enum sonde_status sonde_demo_write(struct sonde_demo *demo,
                                                  struct sonde_error *error);

#endif
