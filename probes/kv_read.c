#include "probes/kv_read.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/num.h"
#include "core/model/readout.h"
#include "core/tensor/vector.h"
#include "probes/vocabulary_scan.h"

struct value_reading {
    const struct sonde_model *model;
    const struct sonde_weight *w_down;
    struct sonde_kv_values *values;
    int64_t D, n_slices, first; /* first neuron of the wave */
    int64_t wave_blocks, n_blocks;
    float *x;                          /* [wave_blocks, SONDE_SCAN_ROWS, D] */
    struct sonde_top_entry *up, *down; /* [wave_blocks, n_slices, SONDE_SCAN_ROWS, k] */
    int64_t *n_up, *n_down;            /* [wave_blocks, n_slices, SONDE_SCAN_ROWS] */
    struct sonde_arena **arena;        /* [threads] */
    struct sonde_error *error;         /* [wave_blocks] */
};

static int64_t block_rows(const struct value_reading *r, int64_t block)
{
    int64_t left = r->values->F - r->first - block * SONDE_SCAN_ROWS;
    return left < SONDE_SCAN_ROWS ? left : SONDE_SCAN_ROWS;
}

/* The value vectors of a block, their lengths, and the gain. */
static void gather_task(void *ctx, int64_t b, int worker)
{
    const struct value_reading *r = ctx;
    float *x = r->x + b * SONDE_SCAN_ROWS * r->D;
    int64_t n = block_rows(r, b), neuron = r->first + b * SONDE_SCAN_ROWS;
    for (int64_t i = 0; i < n; i++) {
        sonde_weight_in_column(r->w_down, neuron + i, x + i * r->D);
        r->values->norm[neuron + i] =
            sqrt(sonde_vector_kernels()->sum_squares(x + i * r->D, 0.0, r->D));
    }
    r->error[b].status = sonde_model_fold_gain(r->model, r->arena[worker], x, n, &r->error[b]);
}

static void take_values(void *ctx, const struct sonde_scan_tile *tile)
{
    const struct value_reading *r = ctx;
    int64_t place = (tile->block * r->n_slices + tile->slice) * SONDE_SCAN_ROWS, k = r->values->k;
    for (int64_t i = 0; i < tile->n_rows; i++) {
        float *score = tile->scores + i * tile->count;
        struct sonde_top_entry *up = r->up + (place + i) * k, *down = r->down + (place + i) * k;
        int64_t *n_up = &r->n_up[place + i], *n_down = &r->n_down[place + i];
        *n_up = sonde_top_k_offer_row(up, k, *n_up, score, tile->count, tile->first, tile->index);
        for (int64_t j = 0; j < tile->count; j++)
            score[j] = -score[j];
        *n_down =
            sonde_top_k_offer_row(down, k, *n_down, score, tile->count, tile->first, tile->index);
    }
}

/* Fewer than k scores are numbers. */
static void fill_rest(struct sonde_top_entry *entry, int64_t k, int64_t n)
{
    for (; n < k; n++)
        entry[n] = (struct sonde_top_entry){ (float)NAN, -1 };
}

static void join_values(void *ctx, int64_t b, int worker)
{
    const struct value_reading *r = ctx;
    int64_t k = r->values->k, n = block_rows(r, b), neuron = r->first + b * SONDE_SCAN_ROWS;
    (void)worker;
    for (int64_t i = 0; i < n; i++) {
        int64_t n_up = 0, n_down = 0;
        for (int64_t slice = 0; slice < r->n_slices; slice++) {
            int64_t place = (b * r->n_slices + slice) * SONDE_SCAN_ROWS + i;
            n_up = sonde_top_k_join(r->values->up + (neuron + i) * k, k, n_up, r->up + place * k,
                                    r->n_up[place]);
            n_down = sonde_top_k_join(r->values->down + (neuron + i) * k, k, n_down,
                                      r->down + place * k, r->n_down[place]);
        }
        fill_rest(r->values->up + (neuron + i) * k, k, n_up);
        fill_rest(r->values->down + (neuron + i) * k, k, n_down);
    }
}

static enum sonde_status read_wave(struct value_reading *r, int64_t n_blocks,
                                   struct sonde_pool *pool, struct sonde_error *error)
{
    const float **y = calloc((size_t)n_blocks + 1, sizeof(*y));
    int64_t *n_rows = calloc((size_t)n_blocks + 1, sizeof(*n_rows));
    enum sonde_status status =
        y && n_rows ? SONDE_STATUS_OK : sonde_error_memory(error, "the values");
    for (int64_t b = 0; b < n_blocks && !status; b++) {
        y[b] = r->x + b * SONDE_SCAN_ROWS * r->D;
        n_rows[b] = block_rows(r, b);
    }
    if (!status) {
        size_t counts = (size_t)(n_blocks * r->n_slices * SONDE_SCAN_ROWS) * sizeof(int64_t);
        memset(r->n_up, 0, counts);
        memset(r->n_down, 0, counts);
        sonde_pool_run(pool, n_blocks, gather_task, r);
    }
    for (int64_t b = 0; b < n_blocks && !status; b++)
        if (r->error[b].status)
            status = sonde_error_set(error, r->error[b].status, "%s", r->error[b].text);
    struct sonde_scan scan = { .model = r->model,
                               .plain = true,
                               .n_blocks = n_blocks,
                               .y = y,
                               .n_rows = n_rows,
                               .take = take_values,
                               .ctx = r };
    if (!status)
        status = sonde_scan_run(&scan, pool, error);
    if (!status)
        sonde_pool_run(pool, n_blocks, join_values, r);
    free(y);
    free(n_rows);
    return status;
}

static int64_t wave_bytes(const struct value_reading *r, const struct sonde_pool *pool)
{
    int64_t entry = 2 * (r->values->k * (int64_t)sizeof(struct sonde_top_entry) + 8);
    int64_t block = SONDE_SCAN_ROWS * (r->D * (int64_t)sizeof(float) + r->n_slices * entry);
    return r->wave_blocks * block +
           sonde_pool_threads(pool) * sonde_scan_worker_bytes(r->model, SONDE_SCAN_ROWS);
}

static enum sonde_status read_values(struct value_reading *r, struct sonde_pool *pool,
                                     struct sonde_error *error)
{
    int threads = sonde_pool_threads(pool);
    size_t rows = (size_t)(r->wave_blocks * SONDE_SCAN_ROWS), places = rows * (size_t)r->n_slices;
    size_t k = (size_t)r->values->k;
    r->x = malloc(rows * (size_t)r->D * sizeof(*r->x));
    r->up = malloc(places * k * sizeof(*r->up));
    r->down = malloc(places * k * sizeof(*r->down));
    r->n_up = malloc(places * sizeof(*r->n_up));
    r->n_down = malloc(places * sizeof(*r->n_down));
    r->arena = calloc((size_t)threads, sizeof(*r->arena));
    r->error = calloc((size_t)r->wave_blocks, sizeof(*r->error));
    bool ok = r->x && r->up && r->down && r->n_up && r->n_down && r->arena && r->error;
    for (int t = 0; t < threads && ok; t++)
        ok = (r->arena[t] = sonde_arena_create(0)) != NULL;
    enum sonde_status status = ok ? SONDE_STATUS_OK : sonde_error_memory(error, "the values");
    int64_t n_blocks = (r->values->F + SONDE_SCAN_ROWS - 1) / SONDE_SCAN_ROWS;
    for (int64_t b = 0; b < n_blocks && !status; b += r->wave_blocks) {
        int64_t n = n_blocks - b < r->wave_blocks ? n_blocks - b : r->wave_blocks;
        r->first = b * SONDE_SCAN_ROWS;
        status = read_wave(r, n, pool, error);
    }
    for (int t = 0; t < threads && r->arena; t++)
        sonde_arena_destroy(&r->arena[t]);
    free(r->x);
    free(r->up);
    free(r->down);
    free(r->n_up);
    free(r->n_down);
    free(r->arena);
    free(r->error);
    return status;
}

/* One thread alone where the budget is too small for all. */
static enum sonde_status plan_wave(struct value_reading *r, int64_t mem_bytes,
                                   struct sonde_pool **pool, struct sonde_error *error)
{
    int64_t n_blocks = (r->values->F + SONDE_SCAN_ROWS - 1) / SONDE_SCAN_ROWS;
    r->wave_blocks = sonde_scan_wave_blocks(*pool);
    r->wave_blocks = r->wave_blocks < n_blocks ? r->wave_blocks : n_blocks;
    if (wave_bytes(r, *pool) > mem_bytes) {
        *pool = NULL;
        r->wave_blocks = 1;
    }
    int64_t bytes = wave_bytes(r, *pool);
    if (bytes <= mem_bytes)
        return SONDE_STATUS_OK;
    char need[SONDE_FORMAT_F64_MAX], have[SONDE_FORMAT_F64_MAX];
    sonde_format_bytes(need, bytes);
    sonde_format_bytes(have, mem_bytes);
    return sonde_error_set(error, SONDE_STATUS_LIMIT,
                           "the values take %s, over the memory budget of %s", need, have);
}

enum sonde_status sonde_kv_values_read(struct sonde_kv_values *out, const struct sonde_model *model,
                                       int layer, int64_t k, int64_t mem_bytes,
                                       struct sonde_pool *pool, struct sonde_error *error)
{
    const struct sonde_spec *spec = sonde_model_spec(model);
    const struct sonde_weight *w_down = &sonde_model_weights(model)->layer[layer].w_down;
    size_t F = (size_t)spec->d_mlp;
    if (!sonde_weight_present(w_down))
        return sonde_error_set(error, SONDE_STATUS_UNSUPPORTED,
                               "%s: layer %d has no feed-forward layer", sonde_model_path(model),
                               layer);
    struct sonde_kv_values values = {
        .F = spec->d_mlp,
        .k = k,
        .up = calloc(F * (size_t)k + 1, sizeof(struct sonde_top_entry)),
        .down = calloc(F * (size_t)k + 1, sizeof(struct sonde_top_entry)),
        .norm = calloc(F + 1, sizeof(double)),
    };
    struct value_reading reading = {
        .model = model,
        .w_down = w_down,
        .values = &values,
        .D = spec->d_model,
        .n_slices = sonde_scan_slices(model),
    };
    enum sonde_status status = SONDE_STATUS_OK;
    if (!values.up || !values.down || !values.norm)
        status = sonde_error_memory(error, "the values");
    if (!status)
        status = plan_wave(&reading, mem_bytes, &pool, error);
    if (!status)
        status = read_values(&reading, pool, error);
    if (status) {
        sonde_kv_values_finish(&values);
        return status;
    }
    *out = values;
    return SONDE_STATUS_OK;
}

void sonde_kv_values_finish(struct sonde_kv_values *values)
{
    free(values->up);
    free(values->down);
    free(values->norm);
    *values = (struct sonde_kv_values){ 0 };
}

/* Calls take(keys, row, x) for every row that counts, in order, reading chunks of chunk_rows. */
static enum sonde_status walk_rows(struct sonde_kv_keys *keys, struct sonde_source *source,
                                   int64_t stream, uint32_t skip_flags, int64_t chunk_rows,
                                   void (*take)(struct sonde_kv_keys *keys, int64_t row,
                                                const float *x),
                                   const struct sonde_progress *progress, struct sonde_error *error)
{
    int64_t n_rows = source->n_tokens;
    float *x = malloc((size_t)(chunk_rows * keys->F) * sizeof(float)); /* [chunk_rows, F] */
    if (!x)
        return sonde_error_memory(error, "activations");
    enum sonde_status status = SONDE_STATUS_OK;
    for (int64_t first = 0; first < n_rows && !status; first += chunk_rows) {
        int64_t n = n_rows - first < chunk_rows ? n_rows - first : chunk_rows;
        status = source->read_rows(source, stream, first, n, x, error);
        for (int64_t i = 0; i < n && !status; i++)
            if (!(source->token_flags[first + i] & skip_flags))
                take(keys, first + i, x + i * keys->F);
        if (!status && !sonde_progress_update(progress, "keys", first + n, n_rows, "rows"))
            status = sonde_error_set(error, SONDE_STATUS_CANCELLED, "stopped");
    }
    free(x);
    return status;
}

static void take_top(struct sonde_kv_keys *keys, int64_t row, const float *x)
{
    keys->n_rows++;
    for (int64_t f = 0; f < keys->F; f++) {
        if (!isfinite(x[f])) {
            keys->n_nonfinite++;
            continue;
        }
        keys->sum[f] += (double)x[f];
        keys->n_active[f] += x[f] > 0;
        keys->low = x[f] < keys->low ? x[f] : keys->low;
        keys->high = x[f] > keys->high ? x[f] : keys->high;
        keys->largest[f] = x[f] > keys->largest[f] ? x[f] : keys->largest[f];
        sonde_top_k_offer(keys->top + f * keys->k, keys->k, &keys->n_top[f], x[f], row);
    }
}

static void take_bin(struct sonde_kv_keys *keys, int64_t row, const float *x)
{
    (void)row;
    double low = (double)keys->low, width = (double)keys->high - low;
    for (int64_t f = 0; f < keys->F; f++) {
        if (!isfinite(x[f]))
            continue;
        double place = width > 0 ? ((double)x[f] - low) / width * SONDE_KV_BINS : 0.0;
        int64_t bin = (int64_t)place;
        keys->bin[bin < 0 ? 0 : bin >= SONDE_KV_BINS ? SONDE_KV_BINS - 1 : bin]++;
    }
}

enum sonde_status sonde_kv_keys_read(struct sonde_kv_keys *out, struct sonde_source *source,
                                     int64_t stream, int64_t k, uint32_t skip_flags,
                                     int64_t mem_bytes, const struct sonde_progress *progress,
                                     struct sonde_error *error)
{
    size_t F = (size_t)source->streams[stream].width;
    int64_t row_bytes = (int64_t)(F * sizeof(float));
    int64_t fixed = (int64_t)(F * ((size_t)k * sizeof(struct sonde_top_entry) + 32));
    int64_t chunk_rows = (mem_bytes - fixed) / row_bytes;
    if (chunk_rows < 1)
        return sonde_error_set(error, SONDE_STATUS_LIMIT,
                               "%s: --top %lld takes more than the memory budget",
                               source->streams[stream].name, (long long)k);
    chunk_rows = chunk_rows > 1024 ? 1024 : chunk_rows;
    struct sonde_kv_keys keys = {
        .F = (int64_t)F,
        .k = k,
        .top = calloc(F * (size_t)k + 1, sizeof(struct sonde_top_entry)),
        .n_top = calloc(F + 1, sizeof(int64_t)),
        .n_active = calloc(F + 1, sizeof(int64_t)),
        .sum = calloc(F + 1, sizeof(double)),
        .largest = calloc(F + 1, sizeof(float)),
        .low = INFINITY,
        .high = -INFINITY,
    };
    enum sonde_status status = SONDE_STATUS_OK;
    if (!keys.top || !keys.n_top || !keys.n_active || !keys.sum || !keys.largest)
        status = sonde_error_memory(error, "the keys");
    for (size_t f = 0; f < F && !status; f++)
        keys.largest[f] = -INFINITY;
    if (!status)
        status =
            walk_rows(&keys, source, stream, skip_flags, chunk_rows, take_top, progress, error);
    /* The bins need the limits, hence a second reading. */
    if (!status)
        status =
            walk_rows(&keys, source, stream, skip_flags, chunk_rows, take_bin, progress, error);
    if (!status && keys.n_rows == 0)
        status = sonde_error_set(error, SONDE_STATUS_ARGUMENT, "%s: no token to read",
                                 source->streams[stream].name);
    if (status) {
        sonde_kv_keys_finish(&keys);
        return status;
    }
    *out = keys;
    return SONDE_STATUS_OK;
}

void sonde_kv_keys_finish(struct sonde_kv_keys *keys)
{
    free(keys->top);
    free(keys->n_top);
    free(keys->n_active);
    free(keys->sum);
    free(keys->largest);
    *keys = (struct sonde_kv_keys){ 0 };
}

int32_t sonde_kv_next_token(const struct sonde_source *source, int64_t row)
{
    int64_t next = row + 1;
    if (next >= source->n_tokens || source->token_sequence[next] != source->token_sequence[row])
        return -1;
    return source->token_id[next];
}

/* Next token of the strongest trigger; -1 where the neuron was never seen or the sequence ends. */
static int32_t strongest_next(const struct sonde_kv_keys *keys, const struct sonde_source *source,
                              int64_t f)
{
    return keys->n_top[f] > 0 ? sonde_kv_next_token(source, keys->top[f * keys->k].index) : -1;
}

void sonde_kv_agree(const struct sonde_kv_values *values, const struct sonde_kv_keys *keys,
                    const struct sonde_source *source, struct sonde_kv_agreement *out)
{
    int64_t n = 0, n_first = 0, n_any = 0, n_shuffled = 0, n_pairs = 0;
    for (int64_t f = 0; f < keys->F; f++) {
        int64_t value = values->up[f * values->k].index;
        int32_t other = strongest_next(keys, source, (f + 1) % keys->F);
        if (other >= 0) {
            n_pairs++;
            n_shuffled += other == value;
        }
        int32_t next = strongest_next(keys, source, f);
        if (next < 0)
            continue;
        n++;
        n_first += next == value;
        bool any = false;
        for (int64_t i = 0; i < keys->n_top[f] && !any; i++)
            any = sonde_kv_next_token(source, keys->top[f * keys->k + i].index) == value;
        n_any += any;
    }
    *out = (struct sonde_kv_agreement){
        .n = n,
        .first = (double)n_first / (double)n,
        .any = (double)n_any / (double)n,
        .shuffled = (double)n_shuffled / (double)n_pairs,
    };
}
