#include "probes/attention_read.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/num.h"

void sonde_attention_add(struct sonde_attention_sums *sums, const float *p, int64_t first,
                         int64_t n, int64_t T)
{
    for (int64_t r = 0; r < n; r++) {
        const float *row = p + r * T;
        int64_t query = first + r;
        double distance = 0.0, entropy = 0.0, total = 0.0;
        for (int64_t j = 0; j < T; j++) {
            double value = (double)row[j];
            if (!isfinite(value)) {
                sums->n_nonfinite++;
                continue;
            }
            total += value;
            distance += value * (double)(query > j ? query - j : j - query);
            if (value > 0)
                entropy -= value * log(value);
        }
        sums->n_rows++;
        sums->distance += distance;
        sums->entropy += entropy;
        sums->first += (double)row[0];
        if (query > 0) {
            sums->n_previous++;
            sums->previous += (double)row[query - 1];
        }
        sums->off_one = fmax(sums->off_one, fabs(total - 1.0));
    }
}

enum sonde_status sonde_attention_map_init(struct sonde_attention_map *out, int64_t T,
                                           int64_t cells_max, struct sonde_error *error)
{
    int64_t cells = T < cells_max ? T : cells_max;
    float *value = calloc((size_t)(cells * cells) + 1, sizeof(float));
    if (!value)
        return sonde_error_memory(error, "an attention map");
    *out = (struct sonde_attention_map){ .cells = cells, .value = value };
    return SONDE_STATUS_OK;
}

void sonde_attention_map_add(struct sonde_attention_map *map, const float *p, int64_t first,
                             int64_t n, int64_t T)
{
    for (int64_t r = 0; r < n; r++) {
        float *cell = map->value + (first + r) * map->cells / T * map->cells;
        for (int64_t j = 0; j < T; j++) {
            int64_t column = j * map->cells / T;
            if (p[r * T + j] > cell[column])
                cell[column] = p[r * T + j];
        }
    }
}

void sonde_attention_map_finish(struct sonde_attention_map *map)
{
    free(map->value);
    *map = (struct sonde_attention_map){ 0 };
}

enum sonde_status sonde_attention_read(struct sonde_source *source, int64_t stream,
                                       int64_t sequence, int64_t head, int64_t mem_bytes,
                                       struct sonde_attention_sums *sums,
                                       struct sonde_attention_map *map, int n_maps,
                                       struct sonde_error *error)
{
    int64_t T = source->sequences[sequence].n_tokens;
    if (T < 1)
        return SONDE_STATUS_OK;
    int64_t row_bytes = T * (int64_t)sizeof(float);
    int64_t rows = (mem_bytes < (int64_t)1 << 22 ? mem_bytes : (int64_t)1 << 22) / row_bytes;
    if (rows < 1)
        return sonde_error_set(error, SONDE_STATUS_LIMIT,
                               "sequence %lld: a row of %lld weights is over the memory budget",
                               (long long)sequence, (long long)T);
    rows = rows < T ? rows : T;
    float *p = malloc((size_t)(rows * row_bytes)); /* [rows, T] */
    if (!p)
        return sonde_error_memory(error, "rows of an attention map");
    enum sonde_status status = SONDE_STATUS_OK;
    for (int64_t first = 0; first < T && !status; first += rows) {
        int64_t n = T - first < rows ? T - first : rows;
        status = source->read_map_rows(source, stream, sequence, head, first, n, p, error);
        if (status)
            break;
        sonde_attention_add(sums, p, first, n, T);
        for (int m = 0; m < n_maps; m++)
            sonde_attention_map_add(&map[m], p, first, n, T);
    }
    free(p);
    return status;
}
