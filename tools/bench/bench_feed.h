/* Sequences of random tokens through the recorder, timed. */
#ifndef SONDE_TOOLS_BENCH_BENCH_FEED_H
#define SONDE_TOOLS_BENCH_BENCH_FEED_H

#include "tools/bench/bench.h"

/* n_sequences of lengths that go up from `shortest` to `longest` and round again. */
struct sonde_bench_feed {
    int64_t n_sequences, shortest, longest;
};
int64_t sonde_bench_feed_tokens(const struct sonde_bench_feed *feed);
/* Floating-point operations of the matrix products over the whole feed: projections, MLP, what
 * causal attention sees, and the unembedding where the logits are formed. */
double sonde_bench_feed_flops(const struct sonde_bench_feed *feed, const struct sonde_spec *spec,
                              bool logits);
/* Records the sites into a sink that keeps nothing. *seconds: wall time in which passes ran. */
SONDE_MUST_USE enum sonde_status sonde_bench_feed_run(struct sonde_bench *bench,
                                                      const struct sonde_model *model,
                                                      const struct sonde_bench_feed *feed,
                                                      const char *sites, double *seconds,
                                                      struct sonde_error *error);

#endif
