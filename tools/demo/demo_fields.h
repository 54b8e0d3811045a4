/*
 * The demo's English sentences with what is known of each, and the rule that picks neurons to show:
 * those whose strongest triggers come from lines of one field.
 */
#ifndef SONDE_TOOLS_DEMO_DEMO_FIELDS_H
#define SONDE_TOOLS_DEMO_DEMO_FIELDS_H

#include "analysis/report/result.h"
#include "core/base/status.h"

#define SONDE_DEMO_FIELDS_MAX 64

/* field: the semantic field of nouns ("animal") and verbs ("verbs of motion"), the part of speech
 * of others. */
struct sonde_demo_lines {
    int64_t n, capacity, noun_capacity, text_capacity;
    int32_t *field; /* [n] index into name */
    bool *is_noun;  /* [n] */
    char **text;    /* [n] */
    char *name[SONDE_DEMO_FIELDS_MAX];
    int64_t count[SONDE_DEMO_FIELDS_MAX]; /* lines */
    int64_t n_fields;
};

/* Reads a file of JSON objects with "text", "pos" and "field", one a line. */
SONDE_MUST_USE enum sonde_status sonde_demo_lines_read(struct sonde_demo_lines *lines,
                                                       const char *path, struct sonde_error *error);
void sonde_demo_lines_finish(struct sonde_demo_lines *lines);
/* Rows of sequence and field of the nouns, for `sonde label --from`. */
SONDE_MUST_USE enum sonde_status sonde_demo_lines_save(const struct sonde_demo_lines *lines,
                                                       const char *path, struct sonde_error *error);

/* Whether a token is a whole word (a blank and three or more letters) that is typical of a field:
 * in two of its lines or more, and at least three times as often as in other lines. */
bool sonde_demo_is_typical(const struct sonde_demo_lines *lines, int32_t field, const char *token);

/* A neuron and the field that most of its triggers come from. */
struct sonde_demo_neuron {
    int64_t layer, neuron;
    int64_t first, n_rows;         /* its rows in table keys */
    int64_t first_value, n_values; /* and in table values */
    int64_t lines;                 /* different lines among its triggers */
    int64_t same;                  /* those of the field */
    int64_t typical;               /* of the tokens that it promotes most: typical of the field */
    int64_t words;                 /* of these tokens: whole words */
    int32_t field;
    double activation; /* the largest */
};
/* Over tables keys and values of a kv-memory result, whose sequences are the lines in order.
 * Neurons count whose triggers lie in eight lines or more, a quarter of them of one field. At
 * most n of them, each of another field, best first: by the share of their
 * lines times one plus the typical tokens, then by activation. Returns how many. */
int64_t sonde_demo_pick_neurons(const struct sonde_demo_lines *lines,
                                const struct sonde_table *keys, const struct sonde_table *values,
                                struct sonde_demo_neuron *out, int64_t n);
/* The largest share of lines of one field among triggers in eight lines or more, over all neurons;
 * and, with fields dealt out to the lines anew, the largest over `draws` of them. */
double sonde_demo_best_share(const struct sonde_demo_lines *lines, const struct sonde_table *keys);
SONDE_MUST_USE enum sonde_status
sonde_demo_best_share_control(const struct sonde_demo_lines *lines, const struct sonde_table *keys,
                              int64_t draws, uint64_t seed, double *out, struct sonde_error *error);

#endif
