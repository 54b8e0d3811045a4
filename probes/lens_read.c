#include "probes/lens_read.h"

#include <math.h>
#include <stdlib.h>

#include "core/model/readout.h"
#include "core/tensor/vector_readout.h"
#include "probes/lens_sums.h"
#include "probes/vocabulary_scan.h"

/* Of recorded logits, so many values of a block are held. */
#define RECORDED_MAX ((int64_t)1 << 22)

int64_t sonde_lens_block_rows(int64_t V, int64_t n_sites, bool with_logits)
{
    int64_t rows = SONDE_SCAN_ROWS / (n_sites > 0 ? n_sites : 1);
    int64_t most = with_logits ? RECORDED_MAX / (V > 0 ? V : 1) : rows;
    rows = rows < most ? rows : most;
    return rows < 1 ? 1 : rows;
}

/* What one slice of the vocabulary says of one row. */
struct part {
    struct sonde_lens_sums sums;
    int64_t n_above; /* logits above the next token's own */
    int64_t n_top;
    float next; /* the next token's logit, where the slice has it */
    bool has_next;
};

/* What one slice says of a block's recorded logits. */
struct off {
    float logits[2]; /* largest |final - logits|, largest |logit| */
};

struct reading {
    const struct sonde_model *model;
    struct sonde_lens_block *block;
    int64_t n_blocks, n_slices, D, V, k;
    int64_t n_rows;    /* of the largest block, all sites: places of part, top and wanted */
    struct part *part; /* [n_blocks, n_slices, n_rows] */
    struct sonde_top_entry *top; /* [n_blocks, n_slices, n_rows, k] */
    struct off *off;             /* [n_blocks, n_slices] */
    float *wanted;               /* [n_blocks, n_rows] logit of the next token */
    struct sonde_arena **arena;  /* [threads] */
    struct sonde_error *error;   /* [n_blocks * n_sites] */
    bool one_tile;
};

/* One site of one block: norm and head, in place. */
static void transform_task(void *ctx, int64_t i, int worker)
{
    const struct reading *r = ctx;
    const struct sonde_lens_block *b = &r->block[i / r->block->n_sites];
    float *x = b->x + i % b->n_sites * b->n_rows * r->D;
    r->error[i].status =
        sonde_model_readout_rows(r->model, r->arena[worker], x, b->n_rows, x, &r->error[i]);
}

/* The next tokens' logits, which the rest is compared with before their tiles come: the block's
 * rows times its next tokens' rows of the unembedding. Of that only the places where position
 * meets position are used, which is a thousandth of the whole work. */
static enum sonde_status want_next(const struct reading *r, const struct sonde_lens_block *b,
                                   struct sonde_arena *scratch, float *wanted,
                                   struct sonde_error *error)
{
    int64_t n = b->n_rows, rows = b->n_sites * n;
    struct sonde_arena_mark mark = sonde_arena_mark(scratch);
    int32_t *id = sonde_arena_alloc(scratch, n, sizeof(*id));
    float *score = sonde_arena_alloc(scratch, rows * n, sizeof(*score));
    enum sonde_status status =
        id && score ? SONDE_STATUS_OK : sonde_error_memory(error, "the next tokens");
    for (int64_t i = 0; i < n && !status; i++)
        id[i] = b->next[i] >= 0 ? b->next[i] : 0;
    if (!status)
        status = sonde_model_unembed_ids(r->model, scratch, b->x, rows, id, n, score, error);
    for (int64_t i = 0; i < rows && !status; i++)
        wanted[i] = score[i * n + i % n];
    sonde_arena_rewind(scratch, mark);
    return status;
}

static void want_task(void *ctx, int64_t b, int worker)
{
    const struct reading *r = ctx;
    r->error[b].status =
        want_next(r, &r->block[b], r->arena[worker], r->wanted + b * r->n_rows, &r->error[b]);
}

/* One row's logits x for one tile; place: of the row in part and top. */
static struct part *take_row(const struct reading *r, const struct sonde_scan_tile *tile,
                             int64_t row, int32_t next, const float *x)
{
    int64_t place = (tile->block * r->n_slices + tile->slice) * r->n_rows + row;
    struct part *p = &r->part[place];
    if (next >= tile->first && next < tile->first + tile->count) {
        p->next = x[next - tile->first];
        p->has_next = true;
    }
    if (next >= 0) {
        float wanted = r->one_tile ? p->next : r->wanted[tile->block * r->n_rows + row];
        p->n_above += sonde_readout_kernels()->count_above(x, wanted, tile->count);
    }
    p->n_top = sonde_top_k_offer_row(r->top + place * r->k, r->k, p->n_top, x, tile->count,
                                     tile->first, tile->index);
    return p;
}

static void take_tile(void *ctx, const struct sonde_scan_tile *tile)
{
    const struct reading *r = ctx;
    const struct sonde_lens_block *b = &r->block[tile->block];
    int64_t n = b->n_rows, last = b->n_sites - 1;
    float *final_weight = tile->spare, *weight = tile->spare + tile->count;
    for (int64_t i = 0; i < n; i++) {
        int64_t row = last * n + i;
        const float *final = tile->scores + row * tile->count;
        struct part *p = take_row(r, tile, row, b->next[i], final);
        double factor = sonde_lens_sums_add(&p->sums, final, tile->count, final_weight);
        if (b->logits) {
            float *off = r->off[tile->block * r->n_slices + tile->slice].logits, largest[2];
            sonde_readout_kernels()->max_difference(final, b->logits + i * r->V + tile->first,
                                                    tile->count, largest);
            off[0] = fmaxf(off[0], largest[0]);
            off[1] = fmaxf(off[1], largest[1]);
        }
        for (int64_t s = 0; s < last; s++) {
            const float *x = tile->scores + (s * n + i) * tile->count;
            p = take_row(r, tile, s * n + i, b->next[i], x);
            sonde_lens_sums_add_beside(&p->sums, x, tile->count, weight, final_weight, factor);
        }
    }
}

/* Where the next token is among the k best its rank is read off them. Elsewhere the count holds,
 * in which the token's own logit may stand above that which was wanted by a rounding. */
static int64_t rank_of(const struct part *p, float wanted, const struct sonde_top_entry *top,
                       int64_t k)
{
    int64_t rank = 1;
    if (p->n_top < k || p->next >= top[k - 1].value) {
        for (int64_t i = 0; i < p->n_top; i++)
            rank += top[i].value > p->next;
        return rank;
    }
    rank += p->n_above - (p->next > wanted);
    return rank > k ? rank : k + 1;
}

/* Joins the slices of a row into the first one's place. */
static struct sonde_lens_factors join_slice(const struct reading *r, int64_t block, int64_t slice,
                                            int64_t row, const struct sonde_lens_factors *final)
{
    int64_t place = block * r->n_slices * r->n_rows + row, later = place + slice * r->n_rows;
    struct part *into = &r->part[place];
    const struct part *part = &r->part[later];
    into->n_above += part->n_above;
    into->next = part->has_next ? part->next : into->next;
    into->n_top = sonde_top_k_join(r->top + place * r->k, r->k, into->n_top, r->top + later * r->k,
                                   part->n_top);
    return sonde_lens_sums_join(&into->sums, &part->sums, final);
}

static void put_reading(const struct reading *r, int64_t block, int64_t i, int64_t s)
{
    const struct sonde_lens_block *b = &r->block[block];
    int64_t n = b->n_rows, row = s * n + i, final_row = (b->n_sites - 1) * n + i;
    int64_t place = block * r->n_slices * r->n_rows;
    const struct part *p = &r->part[place + row], *final = &r->part[place + final_row];
    const struct sonde_top_entry *from = r->top + (place + row) * r->k;
    const struct sonde_top_entry *final_top = r->top + (place + final_row) * r->k;
    struct sonde_top_entry *top = b->top + row * r->k;
    for (int64_t k = 0; k < r->k; k++)
        top[k] = k < p->n_top ? from[k] : (struct sonde_top_entry){ (float)NAN, -1 };
    struct sonde_lens_reading *out = &b->reading[row];
    *out = (struct sonde_lens_reading){
        .log_sum = sonde_lens_sums_log(&p->sums),
        .entropy = sonde_lens_sums_entropy(&p->sums),
        .kl = row == final_row ? 0.0 : sonde_lens_sums_kl(&p->sums, &final->sums),
        .logprob = (double)NAN,
        .agrees = p->n_top > 0 && final->n_top > 0 && from[0].index == final_top[0].index,
    };
    if (b->next[i] >= 0) {
        float wanted = r->one_tile ? p->next : r->wanted[block * r->n_rows + row];
        out->logprob = (double)p->next - out->log_sum;
        out->rank = rank_of(p, wanted, from, r->k);
    }
}

static void join_task(void *ctx, int64_t block, int worker)
{
    const struct reading *r = ctx;
    struct sonde_lens_block *b = &r->block[block];
    int64_t n = b->n_rows, last = b->n_sites - 1;
    (void)worker;
    for (int64_t slice = 0; slice < r->n_slices; slice++) {
        for (int64_t i = 0; i < n && slice > 0; i++) {
            struct sonde_lens_factors f = join_slice(r, block, slice, last * n + i, NULL);
            for (int64_t s = 0; s < last; s++)
                (void)join_slice(r, block, slice, s * n + i, &f);
        }
        const struct off *off = &r->off[block * r->n_slices + slice];
        b->off_logits = fmax(b->off_logits, (double)off->logits[0]);
        b->largest_logit = fmax(b->largest_logit, (double)off->logits[1]);
    }
    for (int64_t i = 0; i < n; i++)
        for (int64_t s = 0; s <= last; s++)
            put_reading(r, block, i, s);
}

/* Runs n tasks that report in r->error. */
static enum sonde_status run_tasks(struct reading *r, struct sonde_pool *pool, int64_t n,
                                   void (*task)(void *ctx, int64_t i, int worker),
                                   struct sonde_error *error)
{
    sonde_pool_run(pool, n, task, r);
    for (int64_t i = 0; i < n; i++)
        if (r->error[i].status)
            return sonde_error_set(error, r->error[i].status, "%s", r->error[i].text);
    return SONDE_STATUS_OK;
}

static enum sonde_status read_blocks(struct reading *r, struct sonde_pool *pool,
                                     struct sonde_error *error)
{
    int64_t n_parts = r->n_blocks * r->n_slices * r->n_rows;
    for (int64_t i = 0; i < n_parts; i++)
        r->part[i] = (struct part){ .sums = sonde_lens_sums_none() };
    const float **y = calloc((size_t)r->n_blocks + 1, sizeof(*y));
    int64_t *n_rows = calloc((size_t)r->n_blocks + 1, sizeof(*n_rows));
    enum sonde_status status =
        y && n_rows ? SONDE_STATUS_OK : sonde_error_memory(error, "the readout");
    for (int64_t b = 0; b < r->n_blocks && !status; b++) {
        y[b] = r->block[b].x;
        n_rows[b] = r->block[b].n_sites * r->block[b].n_rows;
    }
    struct sonde_scan scan = { .model = r->model,
                               .n_blocks = r->n_blocks,
                               .y = y,
                               .n_rows = n_rows,
                               .take = take_tile,
                               .ctx = r };
    if (!status)
        status = run_tasks(r, pool, r->n_blocks * r->block->n_sites, transform_task, error);
    if (!status && !r->one_tile)
        status = run_tasks(r, pool, r->n_blocks, want_task, error);
    if (!status)
        status = sonde_scan_run(&scan, pool, error);
    if (!status)
        status = run_tasks(r, pool, r->n_blocks, join_task, error);
    free(y);
    free(n_rows);
    return status;
}

int64_t sonde_lens_read_bytes(const struct sonde_model *model, int threads, int64_t n_blocks,
                              int64_t n_rows, int64_t k)
{
    int64_t row = (int64_t)sizeof(struct part) + k * (int64_t)sizeof(struct sonde_top_entry);
    return n_blocks * n_rows * (sonde_scan_slices(model) * row + (int64_t)sizeof(float)) +
           threads * sonde_scan_worker_bytes(model, n_rows);
}

enum sonde_status sonde_lens_read(const struct sonde_model *model, struct sonde_pool *pool,
                                  struct sonde_lens_block *block, int64_t n_blocks,
                                  struct sonde_error *error)
{
    if (n_blocks < 1)
        return SONDE_STATUS_OK;
    int threads = sonde_pool_threads(pool);
    struct reading r = {
        .model = model,
        .block = block,
        .n_blocks = n_blocks,
        .n_slices = sonde_scan_slices(model),
        .D = sonde_model_spec(model)->d_model,
        .V = sonde_model_spec(model)->d_vocab,
        .k = block->k,
        .one_tile = sonde_scan_tile_entries(model) >= sonde_model_spec(model)->d_vocab,
    };
    for (int64_t b = 0; b < n_blocks; b++) {
        int64_t rows = block[b].n_sites * block[b].n_rows;
        r.n_rows = rows > r.n_rows ? rows : r.n_rows;
    }
    size_t places = (size_t)(n_blocks * r.n_slices * r.n_rows);
    r.part = malloc((places + 1) * sizeof(*r.part));
    r.top = malloc((places * (size_t)r.k + 1) * sizeof(*r.top));
    r.off = calloc((size_t)(n_blocks * r.n_slices) + 1, sizeof(*r.off));
    r.wanted = malloc((size_t)(n_blocks * r.n_rows + 1) * sizeof(*r.wanted));
    r.arena = calloc((size_t)threads, sizeof(*r.arena));
    r.error = calloc((size_t)(n_blocks * block->n_sites) + 1, sizeof(*r.error));
    bool ok = r.part && r.top && r.off && r.wanted && r.arena && r.error;
    for (int t = 0; t < threads && ok; t++)
        ok = (r.arena[t] = sonde_arena_create(0)) != NULL;
    enum sonde_status status =
        ok ? read_blocks(&r, pool, error) : sonde_error_memory(error, "the readout");
    for (int t = 0; t < threads && r.arena; t++)
        sonde_arena_destroy(&r.arena[t]);
    free(r.part);
    free(r.top);
    free(r.off);
    free(r.wanted);
    free(r.arena);
    free(r.error);
    return status;
}
