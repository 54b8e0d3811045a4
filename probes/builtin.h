/*
 * Built-in probes: their descriptors, and what they share. A built-in reaches the source, the model
 * and the result through host->internals; everything else (options, help, the list) is as for a
 * plugin.
 */
#ifndef SONDE_PROBES_BUILTIN_H
#define SONDE_PROBES_BUILTIN_H

#include <stdbool.h>

#include "probes/registry.h"

extern const struct sonde_probe sonde_probe_linear;
extern const struct sonde_probe sonde_probe_ridge;
extern const struct sonde_probe sonde_probe_lda;
extern const struct sonde_probe sonde_probe_mean_difference;
extern const struct sonde_probe sonde_probe_covariance;
extern const struct sonde_probe sonde_probe_correlation;
extern const struct sonde_probe sonde_probe_mlp;
extern const struct sonde_probe sonde_probe_logit_lens;
extern const struct sonde_probe sonde_probe_kv_memory;
extern const struct sonde_probe sonde_probe_attention;

/* A run of a built-in, with what it needs at hand. */
struct sonde_builtin {
    const struct sonde_probe_host *host;
    const struct sonde_probe_run_args *args;
    struct sonde_result *result;
};
/* Runs body with these; its error becomes the run's. */
int32_t sonde_builtin_run(const struct sonde_probe_host *host,
                          enum sonde_status (*body)(const struct sonde_builtin *run,
                                                    struct sonde_error *error));

/* Option values. flag: whether it is given. */
const char *sonde_builtin_text(const struct sonde_builtin *run, const char *name);
bool sonde_builtin_flag(const struct sonde_builtin *run, const char *name);
/* ARGUMENT naming the option where the value is outside [min, max]. */
SONDE_MUST_USE enum sonde_status sonde_builtin_integer(const struct sonde_builtin *run,
                                                       const char *name, int64_t min, int64_t max,
                                                       int64_t *out, struct sonde_error *error);
SONDE_MUST_USE enum sonde_status sonde_builtin_real(const struct sonde_builtin *run,
                                                    const char *name, double min, double max,
                                                    double *out, struct sonde_error *error);
/* The memory budget with its default. */
int64_t sonde_builtin_mem_bytes(const struct sonde_builtin *run);

#endif
