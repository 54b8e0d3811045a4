/* Large maps as PNG files. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "analysis/figure/figure.h"
#include "core/base/rng.h"
#include "tools/bench/bench.h"

enum { SIDE = 2048 };

/* Noise is the worst for the compression; an attention pattern decays along its rows. */
static void fill(float *value, bool noise)
{
    struct sonde_rng rng = sonde_rng_make(42, sonde_rng_stream("bench figure"));
    for (int64_t q = 0; q < SIDE; q++)
        for (int64_t k = 0; k < SIDE; k++) {
            double random = sonde_rng_uniform(&rng);
            double decay = k <= q ? exp(-(double)(q - k) / 200) * random : 0;
            value[q * SIDE + k] = (float)(noise ? random : decay);
        }
}

static enum sonde_status make_map(struct sonde_figure **out, bool noise, struct sonde_error *error)
{
    struct sonde_figure *f =
        sonde_figure_create(SONDE_FIGURE_HEATMAP, "map", "A map of 2,048 x 2,048 values");
    float *value = malloc((size_t)SIDE * SIDE * sizeof(*value));
    if (!f || !value) {
        sonde_figure_destroy(&f);
        free(value);
        return sonde_error_memory(error, "the map");
    }
    fill(value, noise);
    sonde_figure_set_axes(f, "key", "query");
    sonde_figure_set_matrix(f, SIDE, SIDE, value);
    sonde_figure_set_scale(f, SONDE_COLORMAP_SEQUENTIAL, "value", false, 0, 0);
    free(value);
    *out = f;
    return SONDE_STATUS_OK;
}

static enum sonde_status measure(struct sonde_bench *bench, const char *path, bool noise,
                                 struct sonde_error *error)
{
    struct sonde_bench_samples achieved = { { 0 } };
    struct sonde_figure *map = NULL;
    enum sonde_status status = make_map(&map, noise, error);
    for (int r = 0; !status && r < SONDE_BENCH_ROUNDS; r++) {
        double begin = sonde_cli_seconds();
        status = sonde_figure_write_png(map, path, NULL, error);
        achieved.value[r] = 1 / (sonde_cli_seconds() - begin);
        if (!status)
            status = sonde_bench_progress(bench, "figure", r + 1, error);
    }
    if (!status)
        sonde_bench_add(bench, "figure", noise ? "2,048^2 noise" : "2,048^2 pattern", "PNG/s", NULL,
                        &achieved);
    sonde_figure_destroy(&map);
    return status;
}

enum sonde_status sonde_bench_figure(struct sonde_bench *bench, struct sonde_error *error)
{
    char *path = sonde_bench_temporary_template();
    int fd = path ? mkstemp(path) : -1;
    if (fd < 0) {
        enum sonde_status status =
            path ? sonde_error_set(error, SONDE_STATUS_IO, "%s: cannot create: %s", path,
                                   strerror(errno))
                 : sonde_error_memory(error, "a temporary file");
        free(path);
        return status;
    }
    close(fd);
    enum sonde_status status = measure(bench, path, true, error);
    if (!status)
        status = measure(bench, path, false, error);
    unlink(path);
    free(path);
    /* Of the whole process: said only where it has done nothing else. */
    struct rusage usage;
    if (!status && bench->cli->n_args && strcmp(bench->cli->arg[0], "figure") == 0 &&
        getrusage(RUSAGE_SELF, &usage) == 0)
        sonde_result_scalar_i64(bench->result, "peak_rss_bytes", (int64_t)usage.ru_maxrss * 1024);
    return status;
}
