#include "probes/feature_rows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/base/num.h"
#include "core/tensor/vector.h"

enum { BUFFER_ROWS = 1024, WAVE_WORTH_THREADS = 2048, ROW_ALIGNMENT = 64, PART_ROWS = 32 };
enum { HUGE_PAGE = 1 << 21 };

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
    bool by_worker; /* a block's rows are gone once it is done: a place a thread is enough */
    bool *broken;   /* [n_slots] a value is not finite */
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

static bool is_prepared(const struct sonde_features *f, const struct sonde_feature_pass *pass)
{
    return f->prepared && pass->only_reads && !pass->wave && pass->sample == f->prepared_sample &&
           pass->scaler == f->prepared_scaler;
}

static void run_block(void *ctx, int64_t i, int worker)
{
    const struct wave *wave = ctx;
    struct sonde_features *f = wave->features;
    const struct sonde_feature_pass *pass = wave->pass;
    int64_t first = (wave->first_block + i) * SONDE_FEATURES_BLOCK;
    int64_t n = min_i64(SONDE_FEATURES_BLOCK, pass->n - first);
    int64_t part = pass->part_rows ? pass->part_rows : n;
    if (is_prepared(f, pass)) {
        for (int64_t done = 0; done < n; done += part)
            pass->block(pass->ctx, first + done, min_i64(part, n - done),
                        f->prepared + (first + done) * f->width, i);
        return;
    }
    float *x = f->slot + (wave->by_worker ? worker : i) * SONDE_FEATURES_BLOCK * f->width;
    if (f->unchecked)
        wave->broken[i] = !sonde_vector_kernels()->is_finite(x, n * f->width);
    for (int64_t done = 0; done < n; done += part) {
        int64_t take = min_i64(part, n - done);
        float *rows = x + (wave->by_worker ? 0 : done * f->width);
        load_block(f, pass, first + done, take, rows);
        if (pass->block)
            pass->block(pass->ctx, first + done, take, rows, i);
    }
}

static enum sonde_status check_finite(struct sonde_features *f, struct sonde_error *error);

static enum sonde_status run_wave(struct wave *wave, int64_t n_wave, struct sonde_error *error)
{
    struct sonde_features *f = wave->features;
    const struct sonde_feature_pass *pass = wave->pass;
    int64_t first = wave->first_block * SONDE_FEATURES_BLOCK;
    int64_t n = min_i64(n_wave * SONDE_FEATURES_BLOCK, pass->n - first);
    enum sonde_status status = SONDE_STATUS_OK;
    if (!f->cached)
        status = read_source(f, pass->sample + first, n, f->slot, error);
    if (status)
        return status;
    /* Waking threads costs more than a small wave of blocks takes. */
    bool small = n_wave * f->width <= WAVE_WORTH_THREADS;
    sonde_pool_run(small ? NULL : f->pool, n_wave, run_block, wave);
    for (int64_t i = 0; i < n_wave && f->unchecked; i++)
        if (wave->broken[i])
            return check_finite(f, error);
    if (pass->wave)
        pass->wave(pass->ctx, first, n, f->slot);
    for (int64_t i = 0; i < n_wave && pass->fold; i++)
        pass->fold(pass->ctx, first + i * SONDE_FEATURES_BLOCK,
                   min_i64(SONDE_FEATURES_BLOCK, n - i * SONDE_FEATURES_BLOCK), i);
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_features_pass(struct sonde_features *f,
                                      const struct sonde_feature_pass *pass,
                                      struct sonde_error *error)
{
    int64_t n_blocks = (pass->n + SONDE_FEATURES_BLOCK - 1) / SONDE_FEATURES_BLOCK;
    struct wave wave = { .features = f,
                         .pass = pass,
                         .by_worker =
                             f->cached && !pass->wave && sonde_pool_threads(f->pool) <= f->n_places,
                         .broken = calloc((size_t)f->n_slots, sizeof(bool)) };
    if (!wave.broken)
        return sonde_error_memory(error, "a pass over the samples");
    int64_t n_wave = wave.by_worker ? f->n_slots : f->n_places;
    enum sonde_status status = SONDE_STATUS_OK;
    for (; wave.first_block < n_blocks && !status; wave.first_block += n_wave)
        status = run_wave(&wave, min_i64(n_wave, n_blocks - wave.first_block), error);
    free(wave.broken);
    return status;
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
    if (sonde_vector_kernels()->is_finite(x, n * count->width))
        return;
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
    bool unchecked = f->unchecked;
    f->unchecked = false;
    enum sonde_status status = sonde_features_pass(f, &pass, error);
    f->unchecked = unchecked;
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
    f->n_places = f->n_slots;
    left -= f->n_places * slot_bytes;
    *cache = !f->rows.once && all_bytes <= left;
    /* Rows in memory need a place a thread, so that more blocks can be under way and threads wait
     * for each other less often. */
    if (*cache && f->n_places >= threads)
        f->n_slots = min_i64(16 * threads, n_slots_max);
    f->spare_bytes = left - (*cache ? all_bytes : 0);
    return SONDE_STATUS_OK;
}

/* Touching 15,000 small pages for 60 MB costs as much as a pass over them. */
static float *new_rows(int64_t n, int64_t width)
{
    size_t bytes = (size_t)n * (size_t)width * sizeof(float);
    size_t alignment = bytes >= 4 * HUGE_PAGE ? HUGE_PAGE : ROW_ALIGNMENT;
    bytes = bytes + alignment - bytes % alignment;
    float *rows = aligned_alloc(alignment, bytes);
    if (rows && alignment == HUGE_PAGE)
        (void)madvise(rows, bytes, MADV_HUGEPAGE);
    return rows;
}

enum sonde_status sonde_features_open(struct sonde_features *out, struct sonde_source *source,
                                      int64_t stream, const struct sonde_feature_rows *rows,
                                      int64_t mem_bytes, int64_t n_slots_max,
                                      struct sonde_pool *pool, struct sonde_error *error)
{
    struct sonde_features f;
    enum sonde_status status =
        sonde_features_open_lazy(&f, source, stream, rows, mem_bytes, n_slots_max, pool, error);
    if (!status && f.unchecked) {
        f.unchecked = false;
        status = check_finite(&f, error);
        if (status)
            sonde_features_close(&f);
    }
    if (status)
        return status;
    *out = f;
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_features_open_lazy(struct sonde_features *out, struct sonde_source *source,
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
    f.slot = new_rows(f.n_places * SONDE_FEATURES_BLOCK, f.width);
    f.buffer = new_rows(f.buffer_rows, f.width);
    float *cached = cache ? new_rows(rows->n, f.width) : NULL;
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
    f.unchecked = !cached;
    if (!status && cached)
        status = check_finite(&f, error);
    if (status) {
        sonde_features_close(&f);
        return status;
    }
    *out = f;
    return SONDE_STATUS_OK;
}

static void prepare_block(void *ctx, int64_t first, int64_t n, float *x, int64_t slot)
{
    (void)slot;
    const struct sonde_features *f = ctx;
    memcpy(f->prepared + first * f->width, x, (size_t)(n * f->width) * sizeof(*x));
}

void sonde_features_prepare(struct sonde_features *f, const int64_t *sample, int64_t n,
                            const struct sonde_scaler *scaler)
{
    int64_t bytes;
    if (!f->cached || !sonde_mul_i64(n, f->width * (int64_t)sizeof(float), &bytes) ||
        bytes > f->spare_bytes || !(f->prepared = new_rows(n, f->width)))
        return;
    struct sonde_feature_pass pass = { .sample = sample,
                                       .n = n,
                                       .scaler = scaler,
                                       .part_rows = PART_ROWS,
                                       .block = prepare_block,
                                       .ctx = f };
    struct sonde_error error = { 0 };
    if (sonde_features_pass(f, &pass, &error))
        sonde_features_unprepare(f);
    f->prepared_sample = sample;
    f->prepared_scaler = scaler;
}

void sonde_features_unprepare(struct sonde_features *f)
{
    free(f->prepared);
    f->prepared = NULL;
}

void sonde_features_close(struct sonde_features *features)
{
    free(features->prepared);
    free(features->cached);
    free(features->slot);
    free(features->buffer);
    *features = (struct sonde_features){ 0 };
}

/* Sums of x - shift and of their squares, with a value of the feature itself as the shift: then the
 * variance loses no digits to the mean, in one pass. */
struct spread {
    int64_t width;
    const float *shift; /* [D] */
    double *total;      /* [2, D] */
    double *partial;    /* [n_slots, 2, D] */
};

static void spread_block(void *ctx, int64_t first, int64_t n, float *x, int64_t slot)
{
    struct spread *s = ctx;
    int64_t width = s->width;
    double *sum = s->partial + slot * 2 * width, *square = sum + width;
    if (first % SONDE_FEATURES_BLOCK == 0)
        memset(sum, 0, (size_t)width * 2 * sizeof(*sum));
    for (int64_t i = 0; i < n; i++) {
        const float *row = x + i * width;
        for (int64_t d = 0; d < width; d++) {
            double off = (double)row[d] - (double)s->shift[d];
            sum[d] += off;
            square[d] += off * off;
        }
    }
}

static void spread_fold(void *ctx, int64_t first, int64_t n, int64_t slot)
{
    (void)first, (void)n;
    struct spread *s = ctx;
    for (int64_t d = 0; d < 2 * s->width; d++)
        s->total[d] += s->partial[slot * 2 * s->width + d];
}

bool sonde_scaler_varies(double mean, double deviation)
{
    /* 2^-23: one step of f32 at the mean. */
    return deviation > fabs(mean) * 0x1p-23 && deviation > 0 && isfinite((float)(1.0 / deviation));
}

enum sonde_status sonde_scaler_fit(struct sonde_scaler *out, struct sonde_features *f,
                                   const int64_t *sample, int64_t n, struct sonde_error *error)
{
    size_t width = (size_t)f->width;
    double *total = calloc(width * 2 * (size_t)(f->n_slots + 1), sizeof(double));
    float *scale = malloc(width * 3 * sizeof(float));
    if (!total || !scale) {
        free(total);
        free(scale);
        return sonde_error_memory(error, "the standardisation");
    }
    float *shift = scale + 2 * width;
    struct spread s = {
        .width = f->width, .shift = shift, .total = total, .partial = total + 2 * width
    };
    struct sonde_feature_pass pass = { .sample = sample,
                                       .n = n,
                                       .part_rows = PART_ROWS,
                                       .block = spread_block,
                                       .fold = spread_fold,
                                       .ctx = &s };
    enum sonde_status status = sonde_features_read(f, sample, 1, shift, error);
    if (!status)
        status = sonde_features_pass(f, &pass, error);
    for (size_t d = 0; d < width && !status; d++) {
        double off = total[d] / (double)n;
        double mean = (double)shift[d] + off;
        double deviation = sqrt(fmax(total[width + d] / (double)n - off * off, 0.0));
        scale[d] = (float)mean;
        scale[width + d] = sonde_scaler_varies(mean, deviation) ? (float)(1.0 / deviation) : 1.0f;
    }
    free(total);
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
