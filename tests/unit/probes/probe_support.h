/* What the tests of probes share: sources in memory, small models by hand, running a probe. */
#ifndef SONDE_TESTS_UNIT_PROBES_PROBE_SUPPORT_H
#define SONDE_TESTS_UNIT_PROBES_PROBE_SUPPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "probes/registry.h"
#include "tests/support/check.h"

/* A run of n_sequences sequences; sequence s has length(s) tokens. Ids come from id (0 is flagged
 * as BOS), values from fill: out[T, width], or for maps [heads, T, T]. A token's text is " t<id>".
 */
struct toy_run {
    struct sonde_stream stream[8];
    int64_t n_streams, n_sequences;
    int64_t (*length)(void *ctx, int64_t sequence);
    int32_t (*id)(void *ctx, int64_t sequence, int64_t position);
    void (*fill)(void *ctx, int64_t stream, int64_t sequence, int64_t T, float *out);
    const char *(*group)(void *ctx, int64_t sequence); /* NULL = each its own */
    void *ctx;
};
struct sonde_stream toy_stream(const char *name, int layer, int64_t width);
struct sonde_stream toy_map(const char *name, int layer, int64_t heads);
struct sonde_source *toy_source(const struct toy_run *run);
void toy_labels(struct sonde_source *source, const char *name, enum sonde_row_space space,
                const int32_t *class_of, const char *const *class_name, int64_t n_classes);
void toy_real_labels(struct sonde_source *source, const char *name, enum sonde_row_space space,
                     const double *real);

/* Runs a probe with options "name", "value", .., NULL; NULL result: *error says why. */
struct toy_args {
    struct sonde_source *source;
    const struct sonde_model *model;
    struct sonde_pool *pool;
    int64_t mem_bytes;
    const char *const *option;
    enum sonde_status (*open_baseline)(void *ctx, const char *kind, const char *patterns,
                                       struct sonde_source **out, int64_t *mem_bytes,
                                       struct sonde_error *error);
    void *baseline_ctx;
};
struct sonde_result *toy_probe(const struct sonde_probe *probe, const struct toy_args *args,
                               struct sonde_error *error);

/* A built-in by name. */
const struct sonde_probe *toy_builtin(const char *name);

/* Cells by the column's name; the test fails where there is none. NaN for null. */
const struct sonde_table *toy_table(const struct sonde_result *result, const char *name);
double toy_real(const struct sonde_table *table, int64_t row, const char *column);
const char *toy_text(const struct sonde_table *table, int64_t row, const char *column);
double toy_scalar(const struct sonde_result *result, const char *name);
bool toy_warned(const struct sonde_result *result, const char *part);

/* A temporary file name, freed by the caller. */
char *toy_path(const char *name);

/* A Llama model of L layers, one head and the given sizes, in a folder that is made for it. weight
 * gives the value of tensor `name` at (row, column). */
struct toy_model {
    int64_t L, D, F, V;
    float (*weight)(void *ctx, const char *name, int64_t row, int64_t column);
    void *ctx;
};
struct sonde_model *toy_model_open(const struct toy_model *model);
/* Runs sequences of ids through a model into memory. */
struct sonde_source *toy_record(const struct sonde_model *model, const char *sites,
                                const int32_t *const *ids, const int64_t *n_ids, int64_t n);

#endif
