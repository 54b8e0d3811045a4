/*
 * Examples: what a model learns from. A source gives them by index; struct sonde_examples is a
 * source that holds them in memory.
 */
#ifndef SONDE_CORE_TRAIN_EXAMPLES_H
#define SONDE_CORE_TRAIN_EXAMPLES_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/status.h"

/* One sequence, and what is known of its rows. What the objective does not use may be NULL. */
struct sonde_example {
    const int32_t *ids;         /* [T] */
    int64_t n_tokens;           /* T >= 1 */
    const int32_t *token_types; /* [T]; NULL = zeros */
    /* [T] the output that is right at the row; below 0 = the row does not count. Classification.
     * With next tokens and masked tokens: rows below 0 do not count, others do, whatever the
     * number; NULL = all. */
    const int32_t *targets;
    const uint8_t *hot; /* [T, K] 0 or 1, with the k-hot objectives; K = the model's outputs */
    int64_t n_hot;      /* K; 0 = not said. Another number than the model's is refused */
    const bool *counts; /* [T] with the k-hot objectives: rows that count; NULL = all */
};

/* get: example `index` in [0, n) into *out. What it points to stays valid and unchanged as long as
 * the source lives. Called by several threads at once. */
struct sonde_example_source {
    void *ctx;
    int64_t n;
    enum sonde_status (*get)(void *ctx, int64_t index, struct sonde_example *out,
                             struct sonde_error *error);
};

#define SONDE_EXAMPLES_MAX_TOKENS (INT64_C(1) << 36) /* of a set */

struct sonde_examples; /* opaque */

/* n_outputs: K of the k-hot targets; 0 = the examples have none. */
SONDE_MUST_USE enum sonde_status
sonde_examples_create(struct sonde_examples **out, int64_t n_outputs, struct sonde_error *error);
void sonde_examples_destroy(struct sonde_examples **examples);
/* Copies the example. All examples of a set have the same optional parts as its first (ARGUMENT
 * otherwise). */
SONDE_MUST_USE enum sonde_status sonde_examples_add(struct sonde_examples *examples,
                                                    const struct sonde_example *example,
                                                    struct sonde_error *error);
int64_t sonde_examples_count(const struct sonde_examples *examples);
int64_t sonde_examples_tokens(const struct sonde_examples *examples);
int64_t sonde_examples_longest(const struct sonde_examples *examples); /* tokens */
int64_t sonde_examples_outputs(const struct sonde_examples *examples); /* K; 0 = no targets */
int64_t sonde_examples_bytes(const struct sonde_examples *examples);   /* of memory */
/* Valid until the next add. */
struct sonde_example_source sonde_examples_source(struct sonde_examples *examples);

#endif
