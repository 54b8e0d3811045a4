/*
 * A probe to start from. Copy this file, follow the numbered steps, and build it as a shared
 * object:
 *
 *     cc -std=c17 -fPIC -shared -I SONDE_ROOT -o my_probe.so my_probe.c
 *     sonde probe my-probe STORE --plugin ./my_probe.so
 *
 * It needs probes/probe.h and links against nothing of Sonde. This one measures how long the rows
 * of each stream are: mean and largest Euclidean norm, and the token with the largest.
 */
#include "probes/probe.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* 1. Options: what the user may type after the probe's name. Help and checks come from this table.
 */
static const struct sonde_probe_option options[] = {
    { "streams", SONDE_PROBE_TEXT, "*", NULL, "pattern of the streams to measure" },
    { "limit", SONDE_PROBE_INTEGER, "0", NULL, "measure the first N rows only; 0 = all" },
};

/* 2. Failing: write one line and return a code. */
static int32_t fail(struct sonde_probe_error *error, int32_t code, const char *text)
{
    snprintf(error->text, sizeof(error->text), "%s", text);
    return code;
}

struct norms {
    double sum, largest;
    int64_t n, largest_row;
};

/* 3. The measure itself, on n rows x [n, width]. Sums are in double, in the order of the rows. */
static void measure_rows(struct norms *norms, const float *x, int64_t first, int64_t n,
                         int64_t width)
{
    for (int64_t i = 0; i < n; i++) {
        double square = 0.0;
        for (int64_t d = 0; d < width; d++)
            square += (double)x[i * width + d] * (double)x[i * width + d];
        double norm = sqrt(square);
        norms->sum += norm;
        norms->n++;
        if (norm > norms->largest || norms->largest_row < 0) {
            norms->largest = norm;
            norms->largest_row = first + i;
        }
    }
}

/* 4. Reading in blocks, so that memory does not grow with the store. Progress can ask to stop. */
enum { BLOCK_ROWS = 256 };

static int32_t measure_stream(const struct sonde_probe_host *host, int64_t index,
                              const struct sonde_probe_stream *stream, struct norms *norms,
                              struct sonde_probe_error *error)
{
    int64_t limit = host->option_integer(host->ctx, "limit", 0);
    int64_t n_rows = limit > 0 && limit < stream->n_rows ? limit : stream->n_rows;
    if ((uint64_t)stream->width > SIZE_MAX / (BLOCK_ROWS * sizeof(float)))
        return fail(error, SONDE_PROBE_MEMORY, "a row is too wide");
    float *x = malloc((size_t)stream->width * BLOCK_ROWS * sizeof(float)); /* [256, width] */
    if (!x)
        return fail(error, SONDE_PROBE_MEMORY, "out of memory for a block of rows");
    int32_t code = SONDE_PROBE_OK;
    for (int64_t first = 0; first < n_rows && !code; first += BLOCK_ROWS) {
        int64_t n = n_rows - first < BLOCK_ROWS ? n_rows - first : BLOCK_ROWS;
        code = host->read_rows(host->ctx, index, first, n, x, error);
        if (!code)
            measure_rows(norms, x, first, n, stream->width);
        if (!code && host->progress(host->ctx, stream->name, first + n, n_rows))
            code = fail(error, SONDE_PROBE_CANCELLED, "stopped");
    }
    free(x);
    return code;
}

/* 5. The run: go over the streams that match, and give a table, a scalar and a picture back. */
static int32_t run(const struct sonde_probe_host *host, struct sonde_probe_error *error)
{
    static const char *const columns[] = { "stream",   "layer",   "rows",  "mean_norm",
                                           "max_norm", "max_row", "token", NULL };
    const char *pattern = host->option(host->ctx, "streams");
    int64_t n_streams = host->n_streams(host->ctx), n_measured = 0;
    double *mean = calloc((size_t)n_streams + 1, sizeof(double));
    double *at = calloc((size_t)n_streams + 1, sizeof(double));
    int32_t code = mean && at ? SONDE_PROBE_OK
                              : fail(error, SONDE_PROBE_MEMORY, "out of memory for the table");
    int32_t table = host->add_table(host->ctx, "norms", columns);
    for (int64_t i = 0; i < n_streams && !code; i++) {
        struct sonde_probe_stream stream;
        if (host->stream(host->ctx, i, &stream) || stream.space == 4 ||
            !host->stream_matches(host->ctx, i, pattern))
            continue;
        struct norms norms = { .largest_row = -1 };
        code = measure_stream(host, i, &stream, &norms, error);
        if (code || norms.n == 0)
            continue;
        host->add_row(host->ctx, table);
        host->cell_text(host->ctx, table, 0, stream.name);
        host->cell_integer(host->ctx, table, 1, stream.layer);
        host->cell_integer(host->ctx, table, 2, norms.n);
        host->cell_real(host->ctx, table, 3, norms.sum / (double)norms.n);
        host->cell_real(host->ctx, table, 4, norms.largest);
        host->cell_integer(host->ctx, table, 5, norms.largest_row);
        if (stream.space == 0)
            host->cell_text(host->ctx, table, 6, host->token_text(host->ctx, norms.largest_row));
        at[n_measured] = (double)n_measured;
        mean[n_measured++] = norms.sum / (double)norms.n;
    }
    if (!code && n_measured == 0)
        code = fail(error, SONDE_PROBE_ARGUMENT, "no stream of rows matches --streams");
    if (!code) {
        host->scalar(host->ctx, "streams", (double)n_measured);
        host->line(host->ctx, "norms", "Mean norm of each stream", "stream", "Euclidean norm",
                   n_measured, at, mean);
    }
    free(mean);
    free(at);
    return code;
}

/* 6. The descriptor: everything that Sonde knows of the probe. */
static const struct sonde_probe probe = {
    .abi = SONDE_PROBE_ABI,
    .struct_size = sizeof(struct sonde_probe),
    .name = "template",
    .version = "1",
    .summary = "mean and largest norm of the rows of each stream",
    .description = "The Euclidean norm of every row of the chosen streams; a place to start from.",
    .options = options,
    .n_options = sizeof(options) / sizeof(options[0]),
    .needs = SONDE_PROBE_NEEDS_STREAMS,
    .sites = "resid",
    .run = run,
};

/* 7. The one exported symbol. */
SONDE_PROBE_EXPORT const struct sonde_probe *sonde_probe_plugin(uint32_t host_abi, uint32_t index)
{
    return host_abi == SONDE_PROBE_ABI && index == 0 ? &probe : NULL;
}
