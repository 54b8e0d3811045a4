/* Models for measuring: a known shape with random weights, in a folder that is gone once the model
 * is open. */
#ifndef SONDE_TOOLS_BENCH_BENCH_MODEL_H
#define SONDE_TOOLS_BENCH_BENCH_MODEL_H

#include "core/model/model.h"

enum sonde_bench_shape {
    SONDE_BENCH_GPT2,  /* GPT-2 small, 124 million parameters: 12 layers, d 768, 12 heads of 64, MLP
                          3072, vocabulary 50,257, 1,024 positions, unembedding tied */
    SONDE_BENCH_LLAMA, /* 12 layers, d 768, 12 heads of 64 over 4 of keys and values, gated MLP
                          2048, vocabulary 32,000, 1,024 positions, rotary, RMS norms */
    SONDE_BENCH_TINY,  /* a model organism in GPT-2's form: 2 layers, d 64, 2 heads, MLP 256,
                          vocabulary 8, 256 positions */
    SONDE_BENCH_LENS,  /* the same with a vocabulary of 4,096 */
};

/* The same weights for the same shape and seed on every machine. */
SONDE_MUST_USE enum sonde_status sonde_bench_open_model(struct sonde_model **out,
                                                        enum sonde_bench_shape shape, uint64_t seed,
                                                        struct sonde_error *error);
/* Writes config.json and model.safetensors of that model into a folder that is there. */
SONDE_MUST_USE enum sonde_status sonde_bench_write_model(const char *folder,
                                                         enum sonde_bench_shape shape,
                                                         uint64_t seed, struct sonde_error *error);
/* $TMPDIR or /tmp; "sonde-XXXXXX" under it as a heap string for mkdtemp or mkstemp. NULL when
 * memory is out. */
char *sonde_bench_temporary_template(void);

#endif
