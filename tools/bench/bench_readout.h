/* A built-in probe that multiplies by the unembedding, held against the matrix products. */
#ifndef SONDE_TOOLS_BENCH_BENCH_READOUT_H
#define SONDE_TOOLS_BENCH_BENCH_READOUT_H

#include "probes/registry.h"
#include "tools/bench/bench.h"

struct sonde_bench_readout {
    const char *part, *measure;
    const char *probe;                /* its name */
    struct sonde_probe_run_args args; /* without model, pool, seed and progress */
    double flops;                     /* of one run */
};
/* Measures the rounds and adds the line. */
SONDE_MUST_USE enum sonde_status sonde_bench_readout(struct sonde_bench *bench,
                                                     const struct sonde_bench_readout *readout,
                                                     struct sonde_error *error);

#endif
