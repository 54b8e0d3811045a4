/*
 * Probing: one run of a probe as a result. What `sonde probe` does, without its options and its
 * output; studies probe with it too.
 */
#ifndef SONDE_TOOLS_PROBING_H
#define SONDE_TOOLS_PROBING_H

#include "tools/probe_input.h"

#define SONDE_PROBING_MEM_DEFAULT ((int64_t)1 << 30)

/* Runs the probe over what the input has open, with the seed, threads and progress of input->cli.
 * *out is the caller's. */
SONDE_MUST_USE enum sonde_status sonde_probing_run(struct sonde_probe_input *input,
                                                   const struct sonde_probe *probe,
                                                   const struct sonde_probe_values *values,
                                                   struct sonde_result **out,
                                                   struct sonde_error *error);

/* Keeps a result in input->store, which is open for writing, with the run that it was made of. */
SONDE_MUST_USE enum sonde_status sonde_probing_keep(const struct sonde_probe_input *input,
                                                    const struct sonde_result *result,
                                                    struct sonde_error *error);

/* Whether no check of the result failed. */
bool sonde_probing_checks_hold(const struct sonde_result *result);

/* A built-in probe over a run of a store that is not open. */
struct sonde_probing {
    const char *store;
    const char *run;   /* NULL = the only one */
    const char *probe; /* name */
    struct sonde_probe_values values;
    int64_t mem_bytes; /* 0 = the default */
    bool keep;         /* the result in the store */
};
SONDE_MUST_USE enum sonde_status sonde_probing_store(const struct sonde_cli *cli,
                                                     const struct sonde_probing *what,
                                                     struct sonde_result **out,
                                                     struct sonde_error *error);

#endif
