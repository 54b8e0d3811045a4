/*
 * Random cases for the tests of bit-identity: a model, a corpus, sites and edits, all drawn from
 * (seed, round). SONDE_PROPERTY_SEED (42), SONDE_PROPERTY_FIRST (0) and SONDE_PROPERTY_ROUNDS say
 * which rounds are run; a failure prints the three that bring it back.
 */
#ifndef SONDE_TESTS_PROPERTY_PROPERTY_CASE_H
#define SONDE_TESTS_PROPERTY_PROPERTY_CASE_H

#include "core/base/pool.h"
#include "core/base/rng.h"
#include "core/model/edit.h"
#include "core/model/recorder.h"
#include "tests/unit/model/model_maker.h"

struct property_rounds {
    uint64_t seed;
    int64_t first, n;
};
/* n: the rounds where the environment says nothing; a tenth of them under a sanitizer. */
struct property_rounds property_rounds_read(int64_t n);
/* Prints how to run this round alone: `what` is the test program. */
void property_say(const struct property_rounds *rounds, int64_t round, const char *what);
/* Every property draws from a stream of its own. */
struct sonde_rng property_rng(const struct property_rounds *rounds, int64_t round,
                              const char *property);
/* In [low, high]. */
int64_t property_between(struct sonde_rng *rng, int64_t low, int64_t high);
bool property_chance(struct sonde_rng *rng, double p);
const char *property_pick(struct sonde_rng *rng, const char *const *words); /* NULL-terminated */

/* Sequences of ids. */
struct property_corpus {
    int64_t n, *n_tokens;
    int32_t **ids;
};
/* What a corpus is drawn like: n sequences, most of them short, single tokens and copies among
 * them, and one of `longest` tokens. */
void property_corpus_draw(struct property_corpus *out, struct sonde_rng *rng, int64_t n,
                          int64_t longest, int64_t d_vocab);
void property_corpus_free(struct property_corpus *corpus);

struct property_model {
    struct model_recipe recipe;
    char more[512];
    char *folder;
    struct sonde_model *model;
};
/* Any family, dtype and trait; wide: also widths that matrix products cut into blocks. */
void property_model_draw(struct property_model *out, struct sonde_rng *rng, bool wide);
void property_model_free(struct property_model *model);

struct property_case {
    struct property_model model;
    struct property_corpus corpus;
    char sites_text[128];
    struct sonde_site_set sites, gradients; /* gradients may be empty */
    struct sonde_loss loss;                 /* targets: none yet, see has_targets */
    bool has_targets;
    int32_t **targets; /* [n][n_tokens], kind TARGETS */
    char edit_text[2][128];
    int n_edits;
    struct sonde_edits *edits; /* NULL = none */
    struct sonde_edit_pass pass;
    struct sonde_hook hook;
};
void property_case_draw(struct property_case *out, struct sonde_rng *rng, bool wide);
void property_case_free(struct property_case *c);
/* The case in a few lines, as TAP comments on standard error. */
void property_case_say(const struct property_case *c);

#endif
