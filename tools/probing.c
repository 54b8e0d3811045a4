#include "tools/probing.h"

#include "core/base/num.h"

enum sonde_status sonde_probing_run(struct sonde_probe_input *input,
                                    const struct sonde_probe *probe,
                                    const struct sonde_probe_values *values,
                                    struct sonde_result **out, struct sonde_error *error)
{
    const struct sonde_cli *cli = input->cli;
    struct sonde_pool *pool = NULL;
    enum sonde_status status = sonde_cli_pool(cli, &pool, error);
    struct sonde_probe_run_args args = {
        .values = *values,
        .source = input->source,
        .model = input->model,
        .pool = pool,
        .mem_bytes = sonde_probe_input_left_bytes(input),
        .seed = (uint64_t)cli->common.seed,
        .progress = &cli->progress,
        .open_baseline = sonde_probe_input_baseline,
        .baseline_ctx = input,
        .hooks = &input->hook,
        .n_hooks = input->edits != NULL,
    };
    if (status == SONDE_STATUS_OK && input->store && input->source)
        status = sonde_probe_input_is_edited(input, &args.edited, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_probe_run(probe, &args, out, error);
    if (status == SONDE_STATUS_LIMIT) {
        char budget[SONDE_FORMAT_F64_MAX];
        sonde_format_bytes(budget, input->mem_bytes);
        sonde_error_prepend(error, "--mem %s, shared with the program and what it has open",
                            budget);
    }
    sonde_pool_destroy(&pool);
    return status;
}

enum sonde_status sonde_probing_keep(const struct sonde_probe_input *input,
                                     const struct sonde_result *result, struct sonde_error *error)
{
    struct sonde_buf archive = { 0 };
    const char *run = input->source ? input->source->run_name : NULL;
    enum sonde_status status = sonde_result_archive(result, &archive, error);
    if (status == SONDE_STATUS_OK)
        status =
            sonde_store_add_result(input->store, run, result->command, input->cli->command_line,
                                   archive.data, (int64_t)archive.size, error);
    sonde_buf_finish(&archive);
    return status;
}

bool sonde_probing_checks_hold(const struct sonde_result *result)
{
    for (int64_t i = 0; i < result->n_checks; i++) {
        if (!result->check[i].ok)
            return false;
    }
    return true;
}

enum sonde_status sonde_probing_store(const struct sonde_cli *cli, const struct sonde_probing *what,
                                      struct sonde_result **out, struct sonde_error *error)
{
    struct sonde_probe_input input = {
        .cli = cli,
        .mem_bytes = what->mem_bytes ? what->mem_bytes : SONDE_PROBING_MEM_DEFAULT,
    };
    struct sonde_probe_registry *registry = NULL;
    const struct sonde_probe *probe = NULL;
    *out = NULL;
    enum sonde_status status = sonde_probe_registry_create(&registry, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_probe_registry_find(registry, what->probe, &probe, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_store_open(&input.store, what->store,
                                  what->keep ? SONDE_STORE_WRITE : SONDE_STORE_READ, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_store_open_source(
            input.store, what->run, sonde_probe_input_cache_bytes(&input), &input.source, error);
    if (status == SONDE_STATUS_OK &&
        (probe->needs & (SONDE_PROBE_NEEDS_MODEL | SONDE_PROBE_USES_MODEL)) != 0)
        status = sonde_probe_input_open_model(&input, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_probing_run(&input, probe, &what->values, out, error);
    if (status == SONDE_STATUS_OK && what->keep)
        status = sonde_probing_keep(&input, *out, error);
    if (status != SONDE_STATUS_OK) {
        sonde_error_prepend(error, "probe %s", what->probe);
        sonde_result_destroy(out);
    }
    sonde_probe_input_finish(&input);
    sonde_probe_registry_destroy(&registry);
    return status;
}
