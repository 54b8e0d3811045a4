/*
 * How many strings a model gets right: k-hot next symbols, whole strings (Bhattamishra et al. 2020;
 * Tiwari et al. 2025, code). A string counts only if every output at every position is on its side
 * of one half: sigmoid(logit) > .5 against the target.
 *
 * The published evaluation takes batches of min(32, N - 1 - i) strings from i on, so the last
 * string of a file is never scored, and gives the mean over the batches' accuracies, of which the
 * last is smaller. Both counts are reported.
 */
#ifndef SONDE_TOOLS_STUDIES_LAB_SCORE_H
#define SONDE_TOOLS_STUDIES_LAB_SCORE_H

#include "tools/studies/lab.h"

enum sonde_lab_target {
    SONDE_LAB_TARGET_NEXT,     /* one output a symbol: whether it can follow (sonde_formal_next) */
    SONDE_LAB_TARGET_ACCEPTED, /* the published bits of the language (sonde_formal_target) */
};
/* Outputs of a position; 0 where the published target is no bits. */
int64_t sonde_lab_target_size(const struct sonde_formal *formal, enum sonde_lab_target target);
/* The target of a prefix as bits. */
void sonde_lab_target_bits(const struct sonde_formal_walk *walk, enum sonde_lab_target target,
                           bool *out /* [SONDE_FORMAL_MAX_SYMBOLS] */);

#define SONDE_LAB_BATCH 32

struct sonde_lab_score {
    int64_t n, n_right;             /* strings */
    int64_t scored, scored_right;   /* without the last one */
    double batch_mean;              /* of the scored ones, as published */
    int64_t symbols, symbols_right; /* positions of all strings */
};

/* Strings [0, n) (0 = all) without pads; edits may be NULL. ARGUMENT where the model has another
 * number of outputs than the target. */
SONDE_MUST_USE enum sonde_status
sonde_lab_score(struct sonde_lab *lab, const struct sonde_model *model,
                const struct sonde_lab_strings *strings, int64_t n, enum sonde_lab_target target,
                const struct sonde_edits *edits, struct sonde_lab_score *out,
                struct sonde_error *error);

#endif
