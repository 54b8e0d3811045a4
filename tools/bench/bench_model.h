/* A model for measuring: the shape of four layers of GPT-2 small, random weights, in a folder that
 * is gone once the model is open. */
#ifndef SONDE_TOOLS_BENCH_BENCH_MODEL_H
#define SONDE_TOOLS_BENCH_BENCH_MODEL_H

#include "core/model/model.h"

SONDE_MUST_USE enum sonde_status sonde_bench_open_model(struct sonde_model **out, uint64_t seed,
                                                        struct sonde_error *error);
/* $TMPDIR or /tmp; "sonde-XXXXXX" under it as a heap string for mkdtemp or mkstemp. NULL when
 * memory is out. */
char *sonde_bench_temporary_template(void);

#endif
