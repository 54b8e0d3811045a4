/* Choosing streams, layers and sequences by what the user typed, and showing tokens. */
#ifndef SONDE_PROBES_SELECT_H
#define SONDE_PROBES_SELECT_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/model/model.h"
#include "core/trace/stream.h"

/* Layers that a source's streams speak of: the highest + 1. */
int sonde_select_n_layers(const struct sonde_source *source);

/* "PATTERN,PATTERN,..": true where a pattern matches and no later "-PATTERN" takes it away; a list
 * that begins with "-" takes away from all. */
bool sonde_select_matches(const char *patterns, const char *name, int n_layers);

/* The streams that match, in the source's order, into *index [*n] (caller frees). NOT_FOUND names
 * some of what there is. */
SONDE_MUST_USE enum sonde_status sonde_select_streams(const struct sonde_source *source,
                                                      const char *patterns, int64_t **index,
                                                      int64_t *n, struct sonde_error *error);

/* "all", "3", "0,4-7,-1" (negative counts from the end) over 0 .. n - 1 into chosen [n]. NULL =
 * all. what: "layer", for messages. ARGUMENT where the text is none of that or a number is out of
 * range. */
SONDE_MUST_USE enum sonde_status sonde_select_numbers(const char *text, const char *what, int64_t n,
                                                      bool *chosen, struct sonde_error *error);

/* The pattern "blocks.LAYERS.NAME" for a list of layers as above ("0,4-7" -> "0|4-7"); false where
 * it does not fit into out[n] or holds what no list has. */
bool sonde_select_layer_sites(const char *layers, const char *name, char *out, size_t n);

/* Text of a vocabulary entry as the tokenizer shows it, "<id>" where there is no tokenizer;
 * appended. false where the id is outside the vocabulary or memory is out. */
bool sonde_select_vocabulary_text(const struct sonde_model *model, int64_t id,
                                  struct sonde_buf *out);
/* A token's text for a figure: a leading space shows as "·", line breaks and tabs as their signs.
 * Appended. */
void sonde_select_show_token(const char *text, struct sonde_buf *out);

/* Refuses to read one model's activations with another's weights: both hashes known and different.
 */
SONDE_MUST_USE enum sonde_status sonde_select_same_model(const struct sonde_model *model,
                                                         const struct sonde_source *source,
                                                         struct sonde_error *error);

#endif
