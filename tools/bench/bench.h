/* What the parts of `sonde bench` share. Private to the bench command. */
#ifndef SONDE_TOOLS_BENCH_BENCH_H
#define SONDE_TOOLS_BENCH_BENCH_H

#include "core/model/model.h"
#include "tools/cli.h"

struct sonde_bench {
    const struct sonde_cli *cli;
    const struct sonde_model *model;
    struct sonde_pool *pool;
    struct sonde_table *table; /* part, measure, value, unit, ratio */
    struct sonde_result *result;
    double gemm_flops; /* a second, all threads; 0 until measured */
};

/* One line of the table; ratio NaN where there is none. */
void sonde_bench_add(struct sonde_bench *bench, const char *part, const char *measure, double value,
                     const char *unit, double ratio);

/* Measures the matrix products; the best of all calls stays in gemm_flops. */
SONDE_MUST_USE enum sonde_status sonde_bench_limit(struct sonde_bench *bench,
                                                   struct sonde_error *error);
SONDE_MUST_USE enum sonde_status sonde_bench_gemm(struct sonde_bench *bench,
                                                  struct sonde_error *error);
SONDE_MUST_USE enum sonde_status sonde_bench_forward(struct sonde_bench *bench,
                                                     struct sonde_error *error);
SONDE_MUST_USE enum sonde_status sonde_bench_store(struct sonde_bench *bench,
                                                   struct sonde_error *error);
SONDE_MUST_USE enum sonde_status sonde_bench_probe(struct sonde_bench *bench,
                                                   struct sonde_error *error);
SONDE_MUST_USE enum sonde_status sonde_bench_train(struct sonde_bench *bench,
                                                   struct sonde_error *error);

#endif
