/* Reading attention patterns row by row: sums over the rows of a head, and its map made smaller on
 * the way, so that long maps need no memory of [T, T]. */
#ifndef SONDE_PROBES_ATTENTION_READ_H
#define SONDE_PROBES_ATTENTION_READ_H

#include <stdint.h>

#include "core/base/status.h"
#include "core/trace/stream.h"

/* Sums over query rows; divide by n_rows (previous: n_previous, the rows that have a previous
 * token). */
struct sonde_attention_sums {
    int64_t n_rows, n_previous;
    double distance; /* sum_j p_ij |i - j|, in tokens */
    double entropy;  /* -sum_j p_ij log p_ij, in nats */
    double first;    /* p_i0 */
    double previous; /* p_i,i-1 */
    double off_one;  /* the largest |sum_j p_ij - 1| */
    int64_t n_nonfinite;
};
/* Adds the rows of queries [first, first + n): p [n, T]. */
void sonde_attention_add(struct sonde_attention_sums *sums, const float *p, int64_t first,
                         int64_t n, int64_t T);

/* A map of at most `cells` cells a side: cell (a, b) is the largest of the values that fall on it.
 */
struct sonde_attention_map {
    int64_t cells; /* min(T, asked) */
    float *value;  /* [cells, cells] */
};
SONDE_MUST_USE enum sonde_status sonde_attention_map_init(struct sonde_attention_map *out,
                                                          int64_t T, int64_t cells_max,
                                                          struct sonde_error *error);
void sonde_attention_map_add(struct sonde_attention_map *map, const float *p, int64_t first,
                             int64_t n, int64_t T);
void sonde_attention_map_finish(struct sonde_attention_map *map);

/* One head of one sequence, in blocks of rows within mem_bytes; map [n_maps] may be empty. */
SONDE_MUST_USE enum sonde_status
sonde_attention_read(struct sonde_source *source, int64_t stream, int64_t sequence, int64_t head,
                     int64_t mem_bytes, struct sonde_attention_sums *sums,
                     struct sonde_attention_map *map, int n_maps, struct sonde_error *error);

#endif
