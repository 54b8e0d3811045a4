/* The key-value memories' values, all neurons of a layer against the whole vocabulary. */
#include "tools/bench/bench.h"
#include "tools/bench/bench_readout.h"

enum sonde_status sonde_bench_kv(struct sonde_bench *bench, struct sonde_error *error)
{
    static const char *const name[] = { "layers" };
    static const char *const value[] = { "0" };
    const struct sonde_spec *spec = sonde_model_spec(bench->model);
    struct sonde_bench_readout readout = {
        .part = "kv",
        .measure = "one layer, top 10",
        .probe = "kv-memory",
        .args = { .values = { name, value, 1 } },
        .flops = 2.0 * (double)spec->d_mlp * (double)spec->d_model * (double)spec->d_vocab,
    };
    return sonde_bench_readout(bench, &readout, error);
}
