#include "probes/vocabulary_scan.h"

#include <stdlib.h>

#include "core/model/readout.h"

/* A tile of about TILE_ELEMENTS weights: it stays in the cache when it is widened, and the rows,
 * which every product lays out anew, are laid out rarely. */
enum { TILE_ELEMENTS = 1 << 20, TILE_STEP = 256, TILE_MAX = 1024, TILE_EVEN = 16 };

static int64_t largest_tile(const struct sonde_spec *spec)
{
    int64_t n = TILE_ELEMENTS / (spec->d_model > 0 ? spec->d_model : 1) / TILE_STEP * TILE_STEP;
    return n < TILE_STEP ? TILE_STEP : n > TILE_MAX ? TILE_MAX : n;
}

static int64_t divide_up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* Tiles of one size, so that none is left with a few entries. */
int64_t sonde_scan_tile_entries(const struct sonde_model *model)
{
    const struct sonde_spec *spec = sonde_model_spec(model);
    int64_t n_tiles = divide_up(spec->d_vocab, largest_tile(spec));
    return divide_up(divide_up(spec->d_vocab, n_tiles > 0 ? n_tiles : 1), TILE_EVEN) * TILE_EVEN;
}

static int64_t count_tiles(const struct sonde_model *model)
{
    return divide_up(sonde_model_spec(model)->d_vocab, sonde_scan_tile_entries(model));
}

int64_t sonde_scan_slices(const struct sonde_model *model)
{
    int64_t n_tiles = count_tiles(model);
    return n_tiles < SONDE_SCAN_SLICES_MAX ? n_tiles : SONDE_SCAN_SLICES_MAX;
}

int64_t sonde_scan_wave_blocks(const struct sonde_pool *pool)
{
    int threads = sonde_pool_threads(pool);
    return threads > 1 ? 2 * threads : 1;
}

int64_t sonde_scan_worker_bytes(const struct sonde_model *model, int64_t n_rows)
{
    const struct sonde_spec *spec = sonde_model_spec(model);
    bool half = sonde_model_weights(model)->unembed.dtype != SONDE_DTYPE_F32;
    int64_t entries = sonde_scan_tile_entries(model);
    return entries * (n_rows + 4 + (half ? spec->d_model : 0)) * (int64_t)sizeof(float);
}

struct scan_work {
    const struct sonde_scan *scan;
    int64_t n_slices, n_tiles, entries;
    float **buffer; /* [threads] of scores [rows, entries], then spare [2, entries] */
    int32_t **index;
    struct sonde_arena **arena;
    struct sonde_error *error; /* [n_blocks, n_slices] */
};

static void scan_task(void *ctx, int64_t i, int worker)
{
    const struct scan_work *w = ctx;
    const struct sonde_scan *scan = w->scan;
    int64_t V = sonde_model_spec(scan->model)->d_vocab;
    struct sonde_scan_tile tile = {
        .block = i / w->n_slices,
        .slice = i % w->n_slices,
        .index = w->index[worker],
    };
    tile.n_rows = scan->n_rows[tile.block];
    tile.spare = w->buffer[worker];
    tile.scores = tile.spare + 2 * w->entries;
    int64_t end = w->n_tiles * (tile.slice + 1) / w->n_slices;
    for (int64_t t = w->n_tiles * tile.slice / w->n_slices; t < end && !w->error[i].status; t++) {
        tile.first = t * w->entries;
        tile.count = V - tile.first < w->entries ? V - tile.first : w->entries;
        struct sonde_vocabulary_tile part = { tile.first, tile.count, scan->plain };
        w->error[i].status = sonde_model_unembed(scan->model, w->arena[worker], scan->y[tile.block],
                                                 tile.n_rows, part, tile.scores, &w->error[i]);
        if (!w->error[i].status)
            scan->take(scan->ctx, &tile);
    }
}

enum sonde_status sonde_scan_run(const struct sonde_scan *scan, struct sonde_pool *pool,
                                 struct sonde_error *error)
{
    int threads = sonde_pool_threads(pool);
    int64_t n_tasks = scan->n_blocks * sonde_scan_slices(scan->model), rows = 1;
    for (int64_t b = 0; b < scan->n_blocks; b++)
        rows = scan->n_rows[b] > rows ? scan->n_rows[b] : rows;
    struct scan_work w = {
        .scan = scan,
        .n_slices = sonde_scan_slices(scan->model),
        .n_tiles = count_tiles(scan->model),
        .entries = sonde_scan_tile_entries(scan->model),
        .buffer = calloc((size_t)threads, sizeof(float *)),
        .index = calloc((size_t)threads, sizeof(int32_t *)),
        .arena = calloc((size_t)threads, sizeof(struct sonde_arena *)),
        .error = calloc((size_t)n_tasks + 1, sizeof(struct sonde_error)),
    };
    bool ok = w.buffer && w.index && w.arena && w.error;
    for (int t = 0; t < threads && ok; t++) {
        w.buffer[t] = malloc((size_t)((rows + 2) * w.entries) * sizeof(float));
        w.index[t] = malloc((size_t)w.entries * sizeof(int32_t));
        w.arena[t] = sonde_arena_create(0);
        ok = w.buffer[t] && w.index[t] && w.arena[t];
    }
    enum sonde_status status = ok ? SONDE_STATUS_OK : sonde_error_memory(error, "the readout");
    if (ok)
        sonde_pool_run(pool, n_tasks, scan_task, &w);
    for (int64_t i = 0; i < n_tasks && !status; i++)
        if (w.error[i].status)
            status = sonde_error_set(error, w.error[i].status, "%s", w.error[i].text);
    for (int t = 0; t < threads && w.buffer && w.index && w.arena; t++) {
        free(w.buffer[t]);
        free(w.index[t]);
        sonde_arena_destroy(&w.arena[t]);
    }
    free(w.buffer);
    free(w.index);
    free(w.arena);
    free(w.error);
    return status;
}
