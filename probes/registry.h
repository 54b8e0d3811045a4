/* Registry: the built-in probes, plugins, and running one of them. */
#ifndef SONDE_PROBES_REGISTRY_H
#define SONDE_PROBES_REGISTRY_H

#include <stdint.h>

#include "analysis/report/result.h"
#include "core/base/pool.h"
#include "core/base/progress.h"
#include "core/base/status.h"
#include "core/model/model.h"
#include "core/trace/stream.h"
#include "probes/probe.h"

/* Built-in probes in the order of the list; NULL past the last. */
const struct sonde_probe *sonde_probe_builtin(int64_t index);

struct sonde_probe_registry; /* built-ins and loaded plugins; opaque */
SONDE_MUST_USE enum sonde_status sonde_probe_registry_create(struct sonde_probe_registry **out,
                                                             struct sonde_error *error);
/* After every use of its probes: unloads the plugins. */
void sonde_probe_registry_destroy(struct sonde_probe_registry **registry);
/* dlopen of exactly this file (RTLD_NOW | RTLD_LOCAL); a name without '/' is refused, so nothing is
 * ever looked up in the working directory or the library path. Checks symbol, ABI, struct_size,
 * names, callbacks, duplicate names; each failure is one clear line. */
SONDE_MUST_USE enum sonde_status sonde_probe_registry_load(struct sonde_probe_registry *registry,
                                                           const char *path,
                                                           struct sonde_error *error);
int64_t sonde_probe_registry_count(const struct sonde_probe_registry *registry);
const struct sonde_probe *sonde_probe_registry_at(const struct sonde_probe_registry *registry,
                                                  int64_t index);
/* NOT_FOUND names the nearest and those that exist. */
SONDE_MUST_USE enum sonde_status
sonde_probe_registry_find(const struct sonde_probe_registry *registry, const char *name,
                          const struct sonde_probe **out, struct sonde_error *error);

/* Option values by name, as text; unset options take the descriptor's default. */
struct sonde_probe_values {
    const char *const *name;
    const char *const *value;
    int64_t n;
};

/* Everything a run may use. The program fills it; NULL where absent. */
struct sonde_probe_run_args {
    struct sonde_probe_values values;
    struct sonde_source *source;
    const struct sonde_model *model;
    struct sonde_pool *pool;
    int64_t mem_bytes; /* budget of the probe's own arrays; 0 = 1 GiB */
    uint64_t seed;
    /* The edits under which the source's text was run on the spot: a probe that runs the model once
     * more uses them too. */
    const struct sonde_hook *hooks;
    int n_hooks;
    bool edited; /* the source is a run that was recorded with edits */
    const struct sonde_progress *progress;
    /* The same sequences through a model of the same shape with random weights (kind
     * "random-weights"), recorded at the sites matching patterns; the caller destroys the source.
     * *mem_bytes is mem_bytes; it is lowered by what the baseline takes of it. May be NULL. */
    enum sonde_status (*open_baseline)(void *ctx, const char *kind, const char *patterns,
                                       struct sonde_source **out, int64_t *mem_bytes,
                                       struct sonde_error *error);
    void *baseline_ctx;
};

/* What built-in probes reach through host->internals. */
struct sonde_probe_internals {
    const struct sonde_probe_run_args *args;
    struct sonde_result *result;
    struct sonde_error *error; /* a built-in may write its full error here and return FAILED */
};

/* Validates option names, types and ranges against the descriptor, checks needs, runs, counts NaN
 * cells and scalars from plugins into a warning, and fails where a plugin's answer breaks the
 * rules. *out is the caller's. */
SONDE_MUST_USE enum sonde_status sonde_probe_run(const struct sonde_probe *probe,
                                                 const struct sonde_probe_run_args *args,
                                                 struct sonde_result **out,
                                                 struct sonde_error *error);
/* The site pattern to record for these option values where the input is text (select_sites or
 * sites). NULL sites: "". */
SONDE_MUST_USE enum sonde_status sonde_probe_sites(const struct sonde_probe *probe,
                                                   const struct sonde_probe_values *values,
                                                   struct sonde_buf *out,
                                                   struct sonde_error *error);

#endif
