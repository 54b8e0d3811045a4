/* Directions at a site, and taking them out. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/rng.h"
#include "core/tensor/npy.h"
#include "tools/studies/lab.h"

#define BLOCK_ROWS 1024

void sonde_lab_random_direction(const struct sonde_lab *lab, int64_t k, int64_t width, float *out)
{
    struct sonde_rng rng = sonde_rng_make((uint64_t)lab->cli->common.seed + (uint64_t)k,
                                          sonde_rng_stream("direction"));
    for (int64_t i = 0; i < width; i++)
        out[i] = (float)sonde_rng_normal(&rng);
}

enum sonde_status sonde_lab_read_direction(const char *path, float **out, int64_t *width,
                                           struct sonde_error *error)
{
    struct sonde_npy *file = NULL;
    float *v = NULL;
    enum sonde_status status = sonde_npy_open(&file, path, error);
    int64_t n = status ? 0 : sonde_npy_get_shape(file)->n_elements;
    if (!status && !(v = calloc((size_t)n + 1, sizeof(*v))))
        status = sonde_error_memory(error, path);
    if (!status)
        status = sonde_npy_read_f32(file, 0, n, v, error);
    sonde_npy_close(&file);
    if (status) {
        free(v);
        return status;
    }
    *out = v;
    *width = n;
    return SONDE_STATUS_OK;
}

static enum sonde_status add_rows(struct sonde_source *source, int64_t stream, double *sum,
                                  struct sonde_error *error)
{
    int64_t width = source->streams[stream].width;
    float *block = calloc(BLOCK_ROWS, (size_t)width * sizeof(*block));
    enum sonde_status status = block ? SONDE_STATUS_OK : sonde_error_memory(error, "a mean");
    for (int64_t row = 0; !status && row < source->n_tokens; row += BLOCK_ROWS) {
        int64_t n = source->n_tokens - row < BLOCK_ROWS ? source->n_tokens - row : BLOCK_ROWS;
        status = source->read_rows(source, stream, row, n, block, error);
        for (int64_t i = 0; !status && i < n * width; i++)
            sum[i % width] += (double)block[i];
    }
    free(block);
    return status;
}

static enum sonde_status form_mean(struct sonde_source *source, const char *site, float **out,
                                   int64_t *width, struct sonde_error *error)
{
    int64_t stream = sonde_source_find_stream(source, site);
    if (stream < 0 || source->n_tokens == 0)
        return sonde_error_set(error, SONDE_STATUS_NOT_FOUND, "run '%s' has no states of %s",
                               source->run_name, site);
    *width = source->streams[stream].width;
    double *sum = calloc((size_t)*width, sizeof(*sum));
    float *mean = calloc((size_t)*width, sizeof(*mean));
    enum sonde_status status =
        sum && mean ? add_rows(source, stream, sum, error) : sonde_error_memory(error, "a mean");
    for (int64_t i = 0; !status && i < *width; i++)
        mean[i] = (float)(sum[i] / (double)source->n_tokens);
    free(sum);
    if (status)
        free(mean);
    else
        *out = mean;
    return status;
}

enum sonde_status sonde_lab_mean(struct sonde_lab *lab, const char *run, const char *site,
                                 float **out, int64_t *width, struct sonde_error *error)
{
    struct sonde_store *store = NULL;
    struct sonde_source *source = NULL;
    enum sonde_status status = sonde_store_open(&store, lab->store, SONDE_STORE_READ, error);
    if (!status)
        status = sonde_store_open_source(store, run, 0, &source, error);
    if (!status)
        status = form_mean(source, site, out, width, error);
    if (source)
        source->destroy(&source);
    sonde_store_close(&store);
    return status;
}

static enum sonde_status write_vector(const char *path, const float *v, int64_t width,
                                      struct sonde_error *error)
{
    return sonde_npy_write(path, SONDE_DTYPE_F32, 1, &width, v, error);
}

/* The part of the mean along v, which the projection takes and which is put back. */
static void along(const float *v, const float *mean, int64_t width, float *out)
{
    double dot = 0, square = 0;
    for (int64_t i = 0; i < width; i++) {
        dot += (double)v[i] * (double)mean[i];
        square += (double)v[i] * (double)v[i];
    }
    for (int64_t i = 0; i < width; i++)
        out[i] = square > 0 ? (float)(dot / square * (double)v[i]) : 0;
}

/* Edits are read from text that names files; these exist while it is read. */
static enum sonde_status create_edits(const struct sonde_model *model, const char *site,
                                      const char *taken, const char *kept, bool with_mean,
                                      struct sonde_edits **out, struct sonde_error *error)
{
    const struct sonde_edits_options options = { 0 };
    struct sonde_buf first = { 0 }, second = { 0 };
    /* The grammar has two kinds of quotes: a path with both cannot be written down. */
    char quote = strchr(taken, '"') ? '\'' : '"';
    sonde_buf_printf(&first, "project-out %s %c%s%c", site, quote, taken, quote);
    sonde_buf_printf(&second, "add %s %c%s%c", site, quote, kept, quote);
    enum sonde_status status = sonde_buf_status(&first, error);
    if (!status)
        status = sonde_buf_status(&second, error);
    const char *text[2] = { first.data, second.data };
    if (!status)
        status = sonde_edits_create(out, text, with_mean ? 2 : 1, model, &options, error);
    sonde_buf_finish(&first);
    sonde_buf_finish(&second);
    return status;
}

enum sonde_status sonde_lab_take_out(const struct sonde_lab *lab, const struct sonde_model *model,
                                     const char *site, const float *v, const float *mean,
                                     int64_t width, struct sonde_edits **out,
                                     struct sonde_error *error)
{
    char *taken = sonde_lab_path(lab, "taken.npy"), *kept = sonde_lab_path(lab, "kept.npy");
    float *part = calloc((size_t)width + 1, sizeof(*part));
    *out = NULL;
    enum sonde_status status = taken && kept && part ? write_vector(taken, v, width, error)
                                                     : sonde_error_memory(error, "a direction");
    if (!status && mean) {
        along(v, mean, width, part);
        status = write_vector(kept, part, width, error);
    }
    if (!status)
        status = create_edits(model, site, taken, kept, mean != NULL, out, error);
    if (taken)
        unlink(taken);
    if (kept)
        unlink(kept);
    free(taken);
    free(kept);
    free(part);
    return status;
}
