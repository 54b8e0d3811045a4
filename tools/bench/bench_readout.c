#include "tools/bench/bench_readout.h"

#include <string.h>

static const struct sonde_probe *find_probe(const char *name)
{
    const struct sonde_probe *probe = NULL;
    for (int64_t i = 0; (probe = sonde_probe_builtin(i)) && strcmp(probe->name, name) != 0;)
        i++;
    return probe;
}

enum sonde_status sonde_bench_readout(struct sonde_bench *bench,
                                      const struct sonde_bench_readout *readout,
                                      struct sonde_error *error)
{
    const struct sonde_probe *probe = find_probe(readout->probe);
    struct sonde_bench_samples limit = { { 0 } }, achieved = { { 0 } };
    struct sonde_probe_run_args args = readout->args;
    args.model = bench->model;
    args.pool = bench->pool;
    args.seed = (uint64_t)bench->cli->common.seed;
    enum sonde_status status = SONDE_STATUS_OK;
    if (!probe)
        status = sonde_error_set(error, SONDE_STATUS_NOT_FOUND, "the probe %s is not built in",
                                 readout->probe);
    for (int r = 0; !status && r < SONDE_BENCH_ROUNDS; r++) {
        struct sonde_result *result = NULL;
        status = sonde_bench_limit(bench, &limit.value[r], error);
        limit.value[r] /= 1e9;
        double begin = sonde_cli_seconds();
        if (!status)
            status = sonde_probe_run(probe, &args, &result, error);
        achieved.value[r] = readout->flops / (sonde_cli_seconds() - begin) / 1e9;
        sonde_result_destroy(&result);
        if (!status)
            status = sonde_bench_progress(bench, readout->part, r + 1, error);
    }
    if (!status)
        sonde_bench_add(bench, readout->part, readout->measure, "GFLOP/s", &limit, &achieved);
    return status;
}
