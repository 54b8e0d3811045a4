/*
 * The loss of `--loss`: what recorded gradients are gradients of.
 *
 *     next-token          mean over the tokens but the last of -log p(the next token)
 *     logit:ID[@ROW]      the logit ID of the last token, or of that at ROW (from 0)
 *     targets:FILE.npy    mean over the tokens with a target of -log p(target): integers, one for
 *                         each token of the run in order, below 0 where a token has none
 *
 * Each sequence has a loss of its own, in nats.
 */
#ifndef SONDE_TOOLS_LOSS_INPUT_H
#define SONDE_TOOLS_LOSS_INPUT_H

#include "core/base/hash.h"
#include "core/model/gradient.h"

/* Zero-initialise first; finish frees. */
struct sonde_loss_input {
    struct sonde_loss loss;
    int32_t *targets; /* [n_targets], owned; also loss.targets */
    int64_t n_targets;
    char sha256[SONDE_SHA256_HEX]; /* of the targets; "" where there are none */
};

/* text NULL = next-token. Targets are read now. */
SONDE_MUST_USE enum sonde_status sonde_loss_input_open(struct sonde_loss_input *out,
                                                       const char *text, struct sonde_error *error);
void sonde_loss_input_finish(struct sonde_loss_input *input);

#endif
