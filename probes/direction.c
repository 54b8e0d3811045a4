#include "probes/direction.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/file.h"
#include "core/tensor/npy.h"

struct slope {
    int64_t width;
    const int64_t *sample;
    const double *y;
    double mean;
    double *total;   /* [D] */
    double *partial; /* [n_slots, D] */
};

static void slope_block(void *ctx, int64_t first, int64_t n, float *x, int64_t slot)
{
    const struct slope *s = ctx;
    double *sum = s->partial + slot * s->width;
    memset(sum, 0, (size_t)s->width * sizeof(*sum));
    for (int64_t i = 0; i < n; i++) {
        double off = s->y[s->sample[first + i]] - s->mean;
        for (int64_t d = 0; d < s->width; d++)
            sum[d] += off * (double)x[i * s->width + d];
    }
}

static void slope_fold(void *ctx, int64_t first, int64_t n, int64_t slot)
{
    (void)first, (void)n;
    const struct slope *s = ctx;
    for (int64_t d = 0; d < s->width; d++)
        s->total[d] += s->partial[slot * s->width + d];
}

enum sonde_status sonde_direction_fit(struct sonde_features *features, const int64_t *sample,
                                      int64_t n, const double *y, double *out,
                                      struct sonde_error *error)
{
    struct slope s = { .width = features->width, .sample = sample, .y = y, .total = out };
    s.partial = malloc((size_t)(features->n_slots * s.width + 1) * sizeof(double));
    if (!s.partial)
        return sonde_error_memory(error, "the direction");
    double square = 0.0;
    for (int64_t i = 0; i < n; i++)
        s.mean += y[sample[i]] / (double)n;
    for (int64_t i = 0; i < n; i++)
        square += (y[sample[i]] - s.mean) * (y[sample[i]] - s.mean);
    memset(out, 0, (size_t)s.width * sizeof(*out));
    struct sonde_feature_pass pass = {
        .sample = sample, .n = n, .block = slope_block, .fold = slope_fold, .ctx = &s
    };
    enum sonde_status status = sonde_features_pass(features, &pass, error);
    for (int64_t d = 0; d < s.width; d++)
        out[d] = square > 0 ? out[d] / square : 0.0;
    free(s.partial);
    return status;
}

static bool is_folder(const char *place)
{
    size_t n = strlen(place);
    return n > 0 && place[n - 1] == '/';
}

enum sonde_status sonde_direction_check_place(const char *place, int64_t n_streams,
                                              struct sonde_error *error)
{
    if (!place || n_streams == 1 || is_folder(place))
        return SONDE_STATUS_OK;
    return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                           "--save-direction %s: one file for %lld streams; a name that ends in / "
                           "is a folder with a file for each",
                           place, (long long)n_streams);
}

enum sonde_status sonde_direction_save(const char *place, const struct sonde_stream *stream,
                                       const double *vector, struct sonde_error *error)
{
    struct sonde_buf path = { 0 };
    enum sonde_status status = SONDE_STATUS_OK;
    sonde_buf_puts(&path, place);
    if (is_folder(place)) {
        sonde_buf_printf(&path, "%s.npy", stream->name);
        status = sonde_path_make_directory(place, error);
    }
    if (!status)
        status = sonde_buf_status(&path, error);
    if (!status)
        status = sonde_npy_write(path.data, SONDE_DTYPE_F64, 1, &stream->width, vector, error);
    sonde_buf_finish(&path);
    return status;
}
