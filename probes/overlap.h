/*
 * Overlap: how much of the test side a probe has already met in training.
 *
 * Two measures, in test samples. A sequence that stands on both sides, word for word (or the very
 * same one, where rows were split): its samples. And a sample whose sequence is the same as a
 * training sample's from the first token to its own: a causal model gives both the same state, so
 * that nothing new is asked, however the sequences go on.
 */
#ifndef SONDE_PROBES_OVERLAP_H
#define SONDE_PROBES_OVERLAP_H

#include <stdint.h>

#include "core/base/status.h"
#include "core/trace/stream.h"
#include "probes/dataset.h"

struct sonde_overlap {
    int64_t n_test;
    int64_t n_sequence; /* test samples of sequences with a training sample */
    int64_t n_prefix;   /* test samples with the tokens so far of a training sample; -1 where a
                           sample is not one row of a token stream */
};

/* By 64-bit hashes of the token ids: two different texts count as one with probability 2^-64 a
 * pair. All zero where the data set has no training side. */
SONDE_MUST_USE enum sonde_status sonde_overlap_count(const struct sonde_dataset *dataset,
                                                     const struct sonde_source *source,
                                                     struct sonde_overlap *out,
                                                     struct sonde_error *error);

#endif
