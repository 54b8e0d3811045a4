/*
 * Rows against the whole vocabulary, tile after tile: what a reader keeps of the scores it keeps
 * from one tile at a time, so that memory is of [rows, tile], never of [rows, V].
 *
 * A tile of the unembedding serves all rows of a block, which is what makes the products run at
 * the machine's rate: blocks of SONDE_SCAN_ROWS rows are best. The vocabulary is cut into slices
 * and these into tiles at places that depend on the model's shape alone; a task is one slice of one
 * block. So with the same blocks the bits depend neither on the threads nor on the memory.
 */
#ifndef SONDE_PROBES_VOCABULARY_SCAN_H
#define SONDE_PROBES_VOCABULARY_SCAN_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/pool.h"
#include "core/base/status.h"
#include "core/model/model.h"

enum { SONDE_SCAN_ROWS = 1024, SONDE_SCAN_SLICES_MAX = 8 };

/* Scores of a block's rows for entries [first, first + count) of the vocabulary, to be read or
 * overwritten until the call returns. Slices of a block are taken at the same time by different
 * workers, the tiles of a slice in ascending order by one. */
struct sonde_scan_tile {
    int64_t block, slice, first, count;
    int64_t n_rows;
    float *scores;  /* [n_rows, count] */
    float *spare;   /* [2, count] of this worker */
    int32_t *index; /* [count] of this worker */
};

struct sonde_scan {
    const struct sonde_model *model;
    bool plain; /* without the unembedding's bias and the softcap */
    int64_t n_blocks;
    const float *const *y; /* [n_blocks] of [n_rows, D]: rows as the unembedding takes them */
    const int64_t *n_rows; /* [n_blocks] */
    void (*take)(void *ctx, const struct sonde_scan_tile *tile);
    void *ctx;
};
/* Takes all tiles of all blocks. */
SONDE_MUST_USE enum sonde_status sonde_scan_run(const struct sonde_scan *scan,
                                                struct sonde_pool *pool, struct sonde_error *error);

/* Slices of the vocabulary, and entries of a tile (the last of a slice may have fewer). */
int64_t sonde_scan_slices(const struct sonde_model *model);
int64_t sonde_scan_tile_entries(const struct sonde_model *model);
/* Blocks to hand over at once: two a thread, so that at the end of a wave threads of unequal speed
 * wait for each other a short time only. */
int64_t sonde_scan_wave_blocks(const struct sonde_pool *pool);
/* Memory of one worker for blocks of at most n_rows rows. */
int64_t sonde_scan_worker_bytes(const struct sonde_model *model, int64_t n_rows);

#endif
