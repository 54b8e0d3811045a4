#include "probes/feature_rows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/num.h"

enum { BUFFER_ROWS = 1024, WAVE_WORTH_THREADS = 2048 };

static int64_t min_i64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static bool skipped(const struct sonde_features *f, int64_t row)
{
    return f->rows.skip_flags != 0 && row < f->source->n_tokens &&
           (f->source->token_flags[row] & f->rows.skip_flags) != 0;
}

/* Mean of a sample's rows; every row where all are to be skipped. */
static enum sonde_status read_average(struct sonde_features *f, int64_t sample, float *out,
                                      struct sonde_error *error)
{
    int64_t first = f->rows.first[sample], end = first + f->rows.count[sample], n = 0;
    bool any = false;
    for (int64_t row = first; row < end && !any; row++)
        any = !skipped(f, row);
    double *sum = calloc((size_t)f->width, sizeof(*sum));
    if (!sum)
        return sonde_error_memory(error, "the mean of a sequence");
    enum sonde_status status = SONDE_STATUS_OK;
    for (int64_t at = first; at < end && !status; at += f->buffer_rows) {
        int64_t take = min_i64(f->buffer_rows, end - at);
        status = f->source->read_rows(f->source, f->stream, at, take, f->buffer, error);
        for (int64_t i = 0; i < take && !status; i++) {
            if (any && skipped(f, at + i))
                continue;
            for (int64_t d = 0; d < f->width; d++)
                sum[d] += (double)f->buffer[i * f->width + d];
            n++;
        }
    }
    for (int64_t d = 0; d < f->width && !status; d++)
        out[d] = (float)(sum[d] / (double)n);
    free(sum);
    return status;
}

static enum sonde_status read_source(struct sonde_features *f, const int64_t *sample, int64_t n,
                                     float *out, struct sonde_error *error)
{
    const int64_t *first = f->rows.first, *count = f->rows.count;
    for (int64_t i = 0; i < n;) {
        enum sonde_status status;
        if (count[sample[i]] > 1) {
            status = read_average(f, sample[i], out + i * f->width, error);
            if (status)
                return status;
            i++;
            continue;
        }
        /* Neighbouring samples are read together, gaps included: a chunk is decoded once. */
        int64_t begin = first[sample[i]], end = begin + 1, j = i + 1;
        for (; j < n && count[sample[j]] == 1; j++) {
            int64_t row = first[sample[j]];
            if (row < end || row - begin >= f->buffer_rows)
                break;
            end = row + 1;
        }
        status = f->source->read_rows(f->source, f->stream, begin, end - begin, f->buffer, error);
        if (status)
            return status;
        for (; i < j; i++)
            memcpy(out + i * f->width, f->buffer + (first[sample[i]] - begin) * f->width,
                   (size_t)f->width * sizeof(float));
    }
    return SONDE_STATUS_OK;
}

static void copy_cached(const struct sonde_features *f, const int64_t *sample, int64_t n,
                        float *out)
{
    for (int64_t i = 0; i < n; i++)
        memcpy(out + i * f->width, f->cached + sample[i] * f->width,
               (size_t)f->width * sizeof(float));
}

enum sonde_status sonde_features_read(struct sonde_features *f, const int64_t *sample, int64_t n,
                                      float *out, struct sonde_error *error)
{
    if (!f->cached)
        return read_source(f, sample, n, out, error);
    copy_cached(f, sample, n, out);
    return SONDE_STATUS_OK;
}

struct wave {
    struct sonde_features *features;
    const struct sonde_feature_pass *pass;
    int64_t first_block;
};

/* The block's rows into x, standardised where the pass asks for it. Rows from the source are there
 * already. */
static void load_block(const struct sonde_features *f, const struct sonde_feature_pass *pass,
                       int64_t first, int64_t n, float *x)
{
    const struct sonde_scaler *scaler = pass->scaler && pass->scaler->mean ? pass->scaler : NULL;
    const int64_t *sample = pass->sample + first;
    if (!f->cached && scaler)
        sonde_scaler_apply(scaler, x, x, n, f->width);
    else if (f->cached && !scaler)
        copy_cached(f, sample, n, x);
    for (int64_t i = 0; f->cached && scaler && i < n; i++)
        sonde_scaler_apply(scaler, f->cached + sample[i] * f->width, x + i * f->width, 1, f->width);
}

static void run_block(void *ctx, int64_t i, int worker)
{
    (void)worker;
    const struct wave *wave = ctx;
    struct sonde_features *f = wave->features;
    const struct sonde_feature_pass *pass = wave->pass;
    int64_t first = (wave->first_block + i) * SONDE_FEATURES_BLOCK;
    int64_t n = min_i64(SONDE_FEATURES_BLOCK, pass->n - first);
    float *x = f->slot + i * SONDE_FEATURES_BLOCK * f->width;
    load_block(f, pass, first, n, x);
    pass->block(pass->ctx, first, n, x, i);
}

enum sonde_status sonde_features_pass(struct sonde_features *f,
                                      const struct sonde_feature_pass *pass,
                                      struct sonde_error *error)
{
    int64_t n_blocks = (pass->n + SONDE_FEATURES_BLOCK - 1) / SONDE_FEATURES_BLOCK;
    for (int64_t b = 0; b < n_blocks; b += f->n_slots) {
        int64_t n_wave = min_i64(f->n_slots, n_blocks - b);
        if (!f->cached) {
            int64_t first = b * SONDE_FEATURES_BLOCK;
            int64_t n = min_i64(n_wave * SONDE_FEATURES_BLOCK, pass->n - first);
            enum sonde_status status = read_source(f, pass->sample + first, n, f->slot, error);
            if (status)
                return status;
        }
        struct wave wave = { .features = f, .pass = pass, .first_block = b };
        /* Waking threads costs more than a small wave of blocks takes. */
        bool small = n_wave * f->width <= WAVE_WORTH_THREADS;
        sonde_pool_run(small ? NULL : f->pool, n_wave, run_block, &wave);
        for (int64_t i = 0; i < n_wave && pass->fold; i++) {
            int64_t first = (b + i) * SONDE_FEATURES_BLOCK;
            pass->fold(pass->ctx, first, min_i64(SONDE_FEATURES_BLOCK, pass->n - first), i);
        }
    }
    return SONDE_STATUS_OK;
}

/* A value that is not finite would turn every number of a fit into NaN: it is found here, with its
 * sample, instead of there. */
struct finite_count {
    int64_t width, n_bad, first_bad;
    int64_t *slot_bad, *slot_first;
};

static void count_block(void *ctx, int64_t first, int64_t n, float *x, int64_t slot)
{
    struct finite_count *count = ctx;
    count->slot_bad[slot] = 0;
    count->slot_first[slot] = -1;
    for (int64_t i = 0; i < n * count->width; i++) {
        if (isfinite(x[i]))
            continue;
        if (count->slot_bad[slot]++ == 0)
            count->slot_first[slot] = first + i / count->width;
    }
}

static void count_fold(void *ctx, int64_t first, int64_t n, int64_t slot)
{
    (void)first, (void)n;
    struct finite_count *count = ctx;
    if (count->n_bad == 0 && count->slot_bad[slot] > 0)
        count->first_bad = count->slot_first[slot];
    count->n_bad += count->slot_bad[slot];
}

static enum sonde_status check_finite(struct sonde_features *f, struct sonde_error *error)
{
    int64_t *all = malloc((size_t)(f->rows.n + 2 * f->n_slots + 1) * sizeof(*all));
    if (!all)
        return sonde_error_memory(error, "the list of samples");
    for (int64_t i = 0; i < f->rows.n; i++)
        all[i] = i;
    struct finite_count count = {
        .width = f->width,
        .slot_bad = all + f->rows.n,
        .slot_first = all + f->rows.n + f->n_slots,
    };
    struct sonde_feature_pass pass = {
        .sample = all, .n = f->rows.n, .block = count_block, .fold = count_fold, .ctx = &count
    };
    enum sonde_status status = sonde_features_pass(f, &pass, error);
    f->n_nonfinite = count.n_bad;
    if (!status && count.n_bad > 0)
        status = sonde_error_set(error, SONDE_STATUS_NUMERIC,
                                 "%s: %lld values are not finite (first in row %lld)",
                                 f->source->streams[f->stream].name, (long long)count.n_bad,
                                 (long long)f->rows.first[count.first_bad]);
    free(all);
    return status;
}

/* Divides the budget: slots and the read buffer first, then the cache if all of it fits. */
static enum sonde_status plan(struct sonde_features *f, int64_t mem_bytes, int64_t n_slots_max,
                              bool *cache, struct sonde_error *error)
{
    int64_t row_bytes, slot_bytes, buffer_bytes, all_bytes;
    if (!sonde_mul_i64(f->width, sizeof(float), &row_bytes) ||
        !sonde_mul_i64(row_bytes, SONDE_FEATURES_BLOCK, &slot_bytes) ||
        !sonde_mul_i64(row_bytes, BUFFER_ROWS, &buffer_bytes) ||
        !sonde_mul_i64(row_bytes, f->rows.n, &all_bytes))
        return sonde_error_set(error, SONDE_STATUS_LIMIT, "%s: a row of %lld values is too wide",
                               f->source->streams[f->stream].name, (long long)f->width);
    f->buffer_rows = BUFFER_ROWS;
    while (f->buffer_rows > 64 && buffer_bytes > mem_bytes / 4) {
        f->buffer_rows /= 2;
        buffer_bytes /= 2;
    }
    int64_t left = mem_bytes - buffer_bytes;
    if (left < slot_bytes) {
        char need[SONDE_FORMAT_F64_MAX], have[SONDE_FORMAT_F64_MAX];
        sonde_format_bytes(need, row_bytes * 64 + slot_bytes);
        sonde_format_bytes(have, mem_bytes);
        return sonde_error_set(error, SONDE_STATUS_LIMIT,
                               "%s: a memory budget of %s for the rows, expected at least %s",
                               f->source->streams[f->stream].name, have, need);
    }
    int64_t threads = sonde_pool_threads(f->pool);
    f->n_slots = min_i64(min_i64(4 * threads, n_slots_max), left / slot_bytes);
    if (f->n_slots < 1)
        f->n_slots = 1;
    left -= f->n_slots * slot_bytes;
    *cache = all_bytes <= left;
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_features_open(struct sonde_features *out, struct sonde_source *source,
                                      int64_t stream, const struct sonde_feature_rows *rows,
                                      int64_t mem_bytes, int64_t n_slots_max,
                                      struct sonde_pool *pool, struct sonde_error *error)
{
    struct sonde_features f = {
        .source = source,
        .stream = stream,
        .width = source->streams[stream].width,
        .rows = *rows,
        .pool = pool,
    };
    bool cache = false;
    enum sonde_status status = plan(&f, mem_bytes, n_slots_max, &cache, error);
    if (status)
        return status;
    f.slot = malloc((size_t)f.n_slots * SONDE_FEATURES_BLOCK * (size_t)f.width * sizeof(float));
    f.buffer = malloc((size_t)f.buffer_rows * (size_t)f.width * sizeof(float));
    float *cached = cache ? malloc((size_t)rows->n * (size_t)f.width * sizeof(float) + 1) : NULL;
    if (!f.slot || !f.buffer || (cache && !cached))
        status = sonde_error_memory(error, "the samples' features");
    for (int64_t i = 0; cached && i < rows->n && !status; i++) {
        int64_t index[SONDE_FEATURES_BLOCK];
        int64_t n = min_i64(SONDE_FEATURES_BLOCK, rows->n - i);
        for (int64_t k = 0; k < n; k++)
            index[k] = i + k;
        status = read_source(&f, index, n, cached + i * f.width, error);
        i += n - 1;
    }
    f.cached = cached;
    if (!status)
        status = check_finite(&f, error);
    if (status) {
        sonde_features_close(&f);
        return status;
    }
    *out = f;
    return SONDE_STATUS_OK;
}

void sonde_features_close(struct sonde_features *features)
{
    free(features->cached);
    free(features->slot);
    free(features->buffer);
    *features = (struct sonde_features){ 0 };
}

struct moments {
    int64_t width;
    double *total;      /* [D] */
    const double *mean; /* [D] or NULL: sums of squares about it */
    double *partial;    /* [n_slots, D] */
};

static void moments_block(void *ctx, int64_t first, int64_t n, float *x, int64_t slot)
{
    (void)first;
    struct moments *m = ctx;
    double *sum = m->partial + slot * m->width;
    memset(sum, 0, (size_t)m->width * sizeof(*sum));
    for (int64_t i = 0; i < n; i++) {
        const float *row = x + i * m->width;
        for (int64_t d = 0; d < m->width; d++) {
            double value = (double)row[d];
            sum[d] += m->mean ? (value - m->mean[d]) * (value - m->mean[d]) : value;
        }
    }
}

static void moments_fold(void *ctx, int64_t first, int64_t n, int64_t slot)
{
    (void)first, (void)n;
    struct moments *m = ctx;
    for (int64_t d = 0; d < m->width; d++)
        m->total[d] += m->partial[slot * m->width + d];
}

enum sonde_status sonde_scaler_fit(struct sonde_scaler *out, struct sonde_features *f,
                                   const int64_t *sample, int64_t n, struct sonde_error *error)
{
    size_t width = (size_t)f->width;
    double *mean = calloc(width * (size_t)(f->n_slots + 2), sizeof(double));
    float *scale = malloc(width * 2 * sizeof(float));
    if (!mean || !scale) {
        free(mean);
        free(scale);
        return sonde_error_memory(error, "the standardisation");
    }
    double *square = mean + width;
    struct moments m = { .width = f->width, .total = mean, .partial = mean + 2 * width };
    struct sonde_feature_pass pass = {
        .sample = sample, .n = n, .block = moments_block, .fold = moments_fold, .ctx = &m
    };
    enum sonde_status status = sonde_features_pass(f, &pass, error);
    for (size_t d = 0; d < width; d++)
        mean[d] /= (double)n;
    m.total = square;
    m.mean = mean;
    if (!status)
        status = sonde_features_pass(f, &pass, error);
    for (size_t d = 0; d < width && !status; d++) {
        double deviation = sqrt(square[d] / (double)n);
        scale[d] = (float)mean[d];
        /* 2^-23: one step of f32 at the mean. */
        scale[width + d] =
            deviation > fabs(mean[d]) * 0x1p-23 && deviation > 0 ? (float)(1.0 / deviation) : 1.0f;
        if (!isfinite(scale[width + d]))
            scale[width + d] = 1.0f;
    }
    free(mean);
    if (status) {
        free(scale);
        return status;
    }
    *out = (struct sonde_scaler){ .mean = scale, .inverse = scale + width };
    return SONDE_STATUS_OK;
}

void sonde_scaler_finish(struct sonde_scaler *scaler)
{
    free(scaler->mean);
    *scaler = (struct sonde_scaler){ 0 };
}

void sonde_scaler_apply(const struct sonde_scaler *scaler, const float *x, float *z, int64_t n,
                        int64_t width)
{
    for (int64_t i = 0; i < n; i++) {
        const float *from = x + i * width;
        float *to = z + i * width;
        for (int64_t d = 0; d < width; d++)
            to[d] = (from[d] - scaler->mean[d]) * scaler->inverse[d];
    }
}
