/*
 * What the parts of `sonde bench` share. Private to the bench command.
 *
 * A part is one file bench_PART.c with one function and one line in the table of cmd_bench.c. It
 * measures in rounds: in every round the limit and then the work that is held against it, one soon
 * after the other, so that a slow moment of the machine hits both. Values are rates: more is
 * better.
 */
#ifndef SONDE_TOOLS_BENCH_BENCH_H
#define SONDE_TOOLS_BENCH_BENCH_H

#include "core/model/model.h"
#include "tools/bench/bench_model.h"
#include "tools/cli.h"

enum { SONDE_BENCH_ROUNDS = 5 };

/* One value a round. */
struct sonde_bench_samples {
    double value[SONDE_BENCH_ROUNDS];
};

struct sonde_bench {
    const struct sonde_cli *cli;
    const struct sonde_model *model; /* --model or --shape; NULL for parts that want none */
    struct sonde_pool *pool;
    struct sonde_result *result;
    struct sonde_table *table; /* part, measure, unit, limit, achieved, ratio, low, high */
    struct sonde_bench_products *products; /* of sonde_bench_limit; made when first asked for */
};

/* A line of the table: the medians of limit and achieved, the median of the rounds' ratios
 * achieved / limit, and their least and largest. limit NULL: there is none, and no ratio. A line
 * fits into 80 columns where `measure` has at most 20 characters, `unit` at most 8 (in a unit that
 * makes the values neither tiny nor larger than 9,999). */
void sonde_bench_add(struct sonde_bench *bench, const char *part, const char *measure,
                     const char *unit, const struct sonde_bench_samples *limit,
                     const struct sonde_bench_samples *achieved);

/* *rate in FLOP/s: the number of threads times what one thread reaches, alone, in single-precision
 * products 256 x 768 by 768 x 3072. Takes about a third of a second: once a round. */
SONDE_MUST_USE enum sonde_status sonde_bench_limit(struct sonde_bench *bench, double *rate,
                                                   struct sonde_error *error);
/* After every round: shows `n_done` of SONDE_BENCH_ROUNDS; CANCELLED where the user has stopped. */
SONDE_MUST_USE enum sonde_status sonde_bench_progress(struct sonde_bench *bench, const char *part,
                                                      int n_done, struct sonde_error *error);
void sonde_bench_destroy_products(struct sonde_bench_products **products);

SONDE_MUST_USE enum sonde_status sonde_bench_gemm(struct sonde_bench *bench,
                                                  struct sonde_error *error);
/* Of gemm: linear layers by OpenBLAS and, where it is built in, oneDNN in f32 and bf16. */
SONDE_MUST_USE enum sonde_status sonde_bench_linear(struct sonde_bench *bench,
                                                    struct sonde_error *error);
SONDE_MUST_USE enum sonde_status sonde_bench_forward(struct sonde_bench *bench,
                                                     struct sonde_error *error);
SONDE_MUST_USE enum sonde_status sonde_bench_record(struct sonde_bench *bench,
                                                    struct sonde_error *error);
SONDE_MUST_USE enum sonde_status sonde_bench_store(struct sonde_bench *bench,
                                                   struct sonde_error *error);
SONDE_MUST_USE enum sonde_status sonde_bench_probe(struct sonde_bench *bench,
                                                   struct sonde_error *error);
/* The lines of the mlp probe, of the part `probe`. */
SONDE_MUST_USE enum sonde_status sonde_bench_mlp(struct sonde_bench *bench,
                                                 struct sonde_error *error);
SONDE_MUST_USE enum sonde_status sonde_bench_lens(struct sonde_bench *bench,
                                                  struct sonde_error *error);
SONDE_MUST_USE enum sonde_status sonde_bench_kv(struct sonde_bench *bench,
                                                struct sonde_error *error);
SONDE_MUST_USE enum sonde_status sonde_bench_train(struct sonde_bench *bench,
                                                   struct sonde_error *error);
SONDE_MUST_USE enum sonde_status sonde_bench_figure(struct sonde_bench *bench,
                                                    struct sonde_error *error);

#endif
