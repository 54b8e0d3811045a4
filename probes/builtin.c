#include "probes/builtin.h"

#include "core/base/num.h"

int32_t sonde_builtin_run(const struct sonde_probe_host *host,
                          enum sonde_status (*body)(const struct sonde_builtin *run,
                                                    struct sonde_error *error))
{
    const struct sonde_probe_internals *internals = host->internals;
    struct sonde_builtin run = {
        .host = host,
        .args = internals->args,
        .result = internals->result,
    };
    switch (body(&run, internals->error)) {
    case SONDE_STATUS_OK:
        return SONDE_PROBE_OK;
    case SONDE_STATUS_ARGUMENT:
        return SONDE_PROBE_ARGUMENT;
    case SONDE_STATUS_CANCELLED:
        return SONDE_PROBE_CANCELLED;
    case SONDE_STATUS_MEMORY:
        return SONDE_PROBE_MEMORY;
    default:
        return SONDE_PROBE_FAILED;
    }
}

const char *sonde_builtin_text(const struct sonde_builtin *run, const char *name)
{
    return run->host->option(run->host->ctx, name);
}

bool sonde_builtin_flag(const struct sonde_builtin *run, const char *name)
{
    return sonde_builtin_text(run, name) != NULL;
}

enum sonde_status sonde_builtin_integer(const struct sonde_builtin *run, const char *name,
                                        int64_t min, int64_t max, int64_t *out,
                                        struct sonde_error *error)
{
    int64_t value = run->host->option_integer(run->host->ctx, name, min);
    if (value < min || value > max)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT, "--%s %lld: expected %lld to %lld",
                               name, (long long)value, (long long)min, (long long)max);
    *out = value;
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_builtin_real(const struct sonde_builtin *run, const char *name, double min,
                                     double max, double *out, struct sonde_error *error)
{
    double value = run->host->option_real(run->host->ctx, name, min);
    if (!(value >= min && value <= max)) {
        char text[3][SONDE_FORMAT_F64_MAX];
        sonde_format_f64(text[0], value);
        sonde_format_f64(text[1], min);
        sonde_format_f64(text[2], max);
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT, "--%s %s: expected %s to %s", name,
                               text[0], text[1], text[2]);
    }
    *out = value;
    return SONDE_STATUS_OK;
}

int64_t sonde_builtin_mem_bytes(const struct sonde_builtin *run)
{
    return run->args->mem_bytes > 0 ? run->args->mem_bytes : (int64_t)1 << 30;
}
