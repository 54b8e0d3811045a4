#include "probes/attention_read.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/num.h"
#include "core/tensor/vector.h"
#include "core/tensor/vector_readout.h"

/* Of one row: sums of the weights, of weight times distance, and the entropy. */
struct row_sums {
    double total, distance, entropy;
};

/* The row left of the query with the query itself, and what is right of it: in a causal model
 * zeros. False where a weight is not finite. */
static bool sum_row(const float *row, int64_t query, int64_t T, struct row_sums *out)
{
    const struct sonde_readout_kernels *kernels = sonde_readout_kernels();
    double left[3], right[3] = { 0 };
    int64_t seen = query + 1, later = T - seen;
    kernels->sum_places(row, 0, seen, left);
    if (sonde_vector_kernels()->sum_squares(row + seen, 0.0, later) != 0.0)
        kernels->sum_places(row + seen, seen, later, right);
    *out = (struct row_sums){
        .total = left[0] + right[0],
        .distance = ((double)query * left[0] - left[1]) + (right[1] - (double)query * right[0]),
        .entropy = left[2] + right[2],
    };
    return isfinite(left[0]) && isfinite(right[0]);
}

/* The same over the weights that are finite; the others are counted. */
static void sum_broken_row(const float *row, int64_t query, int64_t T, struct row_sums *out,
                           int64_t *n_nonfinite)
{
    *out = (struct row_sums){ 0 };
    for (int64_t j = 0; j < T; j++) {
        double value = (double)row[j];
        if (!isfinite(value)) {
            ++*n_nonfinite;
            continue;
        }
        out->total += value;
        out->distance += value * (double)(query > j ? query - j : j - query);
        if (value > 0)
            out->entropy -= value * log(value);
    }
}

void sonde_attention_add(struct sonde_attention_sums *sums, const float *p, int64_t first,
                         int64_t n, int64_t T)
{
    for (int64_t r = 0; r < n; r++) {
        const float *row = p + r * T;
        int64_t query = first + r;
        struct row_sums of_row;
        if (!sum_row(row, query, T, &of_row))
            sum_broken_row(row, query, T, &of_row, &sums->n_nonfinite);
        sums->n_rows++;
        sums->distance += of_row.distance;
        sums->entropy += of_row.entropy;
        sums->first += (double)row[0];
        if (query > 0) {
            sums->n_previous++;
            sums->previous += (double)row[query - 1];
        }
        sums->off_one = fmax(sums->off_one, fabs(of_row.total - 1.0));
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
    int64_t cells = map->cells;
    for (int64_t r = 0; r < n; r++) {
        const float *row = p + r * T;
        float *cell = map->value + (first + r) * cells / T * cells;
        /* Weight j falls on column j cells / T: column c ends before the first j of the next. */
        for (int64_t c = 0, j = 0; c < cells; c++) {
            int64_t end = cells == T ? c + 1 : ((c + 1) * T + cells - 1) / cells;
            float largest = cell[c];
            for (; j < end; j++)
                largest = row[j] > largest ? row[j] : largest;
            cell[c] = largest;
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
