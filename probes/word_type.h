/* The word type that a token row belongs to: what a control task labels. */
#ifndef SONDE_PROBES_WORD_TYPE_H
#define SONDE_PROBES_WORD_TYPE_H

#include <stdint.h>

#include "core/trace/stream.h"

/* A number for the text of the word up to and with the token: the run of letters, digits,
 * apostrophes and non-ASCII characters that the token ends, put together from the tokens before it
 * where it began there. A token that ends in punctuation is a type by itself, one without text is
 * its id. Hewitt and Liang (EMNLP 2019) label word types; the token alone would be an easier task,
 * since a sub-word token is shared by many words. */
int64_t sonde_word_type(struct sonde_source *source, int64_t row);

#endif
