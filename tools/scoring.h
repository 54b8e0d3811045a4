/*
 * Scoring: how good a model is on sequences. Next token (cross entropy) for models with a softmax;
 * for models with a sigmoid an output, the k-hot next symbols of a formal language, where a string
 * counts only if every output at every position is on its side of one half (Bhattamishra et al.
 * 2020).
 */
#ifndef SONDE_TOOLS_SCORING_H
#define SONDE_TOOLS_SCORING_H

#include "core/corpus/formal.h"
#include "core/model/edit.h"
#include "core/model/recorder.h"

struct sonde_score {
    int64_t sequences, sequences_right; /* right: at every position that counts */
    int64_t positions, positions_right; /* positions that count; next token: the likeliest one */
    double nats;                        /* next token: sum of -log p */
    int64_t bytes;                      /* next token: of the tokens that count */
};

struct sonde_scoring {
    const struct sonde_formal *formal; /* k-hot next symbols of it; NULL = next token */
    const struct sonde_edits *edits;   /* may be NULL */
    int n_threads;                     /* 0 = all cores */
    const struct sonde_progress *progress;
};

/* ARGUMENT where the model's outputs do not fit the task, FORMAT where a string is none of the
 * language. */
SONDE_MUST_USE enum sonde_status sonde_scoring_run(const struct sonde_model *model,
                                                   const struct sonde_sequence_reader *reader,
                                                   const struct sonde_scoring *what,
                                                   struct sonde_score *out,
                                                   struct sonde_error *error);

#endif
