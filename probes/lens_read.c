#include "probes/lens_read.h"

#include <math.h>
#include <stdlib.h>

double sonde_lens_log_sum(const float *logits, int64_t V)
{
    float top = -INFINITY;
    for (int64_t v = 0; v < V; v++)
        top = logits[v] > top ? logits[v] : top;
    double sum = 0.0;
    for (int64_t v = 0; v < V; v++)
        sum += (double)expf(logits[v] - top);
    return log(sum) + (double)top;
}

/* One pass: with p of the site and q of the final distribution, entropy = log_sum - sum p x and
 * KL(q || p) = sum q (log q - log p). */
void sonde_lens_measure(const float *logits, const float *final, double final_log_sum, int64_t V,
                        int32_t next, struct sonde_lens_reading *out)
{
    struct sonde_lens_reading r = { .log_sum = sonde_lens_log_sum(logits, V),
                                    .logprob = (double)NAN };
    double expected = 0.0, kl = 0.0;
    int64_t best = 0, final_best = 0, n_above = 0;
    for (int64_t v = 0; v < V; v++) {
        double log_p = (double)logits[v] - r.log_sum;
        expected += (double)expf((float)log_p) * log_p;
        if (final != logits) {
            double log_q = (double) final[v] - final_log_sum;
            kl += (double)expf((float)log_q) * (log_q - log_p);
        }
        best = logits[v] > logits[best] ? v : best;
        final_best = final[v] > final[final_best] ? v : final_best;
        if (next >= 0)
            n_above += logits[v] > logits[next];
    }
    r.entropy = -expected;
    r.kl = kl;
    r.agrees = best == final_best;
    if (next >= 0) {
        r.logprob = (double)logits[next] - r.log_sum;
        r.rank = n_above + 1;
    }
    *out = r;
}

int64_t sonde_lens_block_rows(int64_t V)
{
    int64_t rows = ((int64_t)1 << 22) / (V > 0 ? V : 1);
    return rows < 1 ? 1 : rows > 64 ? 64 : rows;
}

struct reading {
    const struct sonde_model *model;
    struct sonde_lens_block *block;
    int64_t V;
    float **logits;             /* [threads] of [2, rows, V]: the final ones, a site's */
    struct sonde_arena **arena; /* [threads] */
    struct sonde_error *error;  /* [n_blocks] */
};

static enum sonde_status read_block(const struct reading *r, struct sonde_lens_block *b, int worker,
                                    struct sonde_error *error)
{
    int64_t V = r->V, n = b->n_rows;
    float *final = r->logits[worker], *site = final + sonde_lens_block_rows(V) * V;
    const float *last = b->x + (b->n_sites - 1) * n * b->D;
    enum sonde_status status =
        sonde_model_readout(r->model, r->arena[worker], last, n, 0, 0, final, error);
    for (int64_t s = 0; s < b->n_sites && !status; s++) {
        bool is_final = s == b->n_sites - 1;
        const float *logits = is_final ? final : site;
        if (!is_final)
            status = sonde_model_readout(r->model, r->arena[worker], b->x + s * n * b->D, n, 0, 0,
                                         site, error);
        for (int64_t i = 0; i < n && !status; i++) {
            sonde_lens_measure(logits + i * V, final + i * V, sonde_lens_log_sum(final + i * V, V),
                               V, b->next[i], &b->reading[s * n + i]);
            (void)sonde_top_k_largest(logits + i * V, V, b->k, b->top + (s * n + i) * b->k);
        }
    }
    for (int64_t i = 0; i < n * V && b->logits && !status; i++) {
        b->off_logits = fmax(b->off_logits, fabs((double) final[i] - (double)b->logits[i]));
        b->largest_logit = fmax(b->largest_logit, fabs((double)b->logits[i]));
    }
    return status;
}

static void read_task(void *ctx, int64_t i, int worker)
{
    const struct reading *r = ctx;
    r->error[i].status = read_block(r, &r->block[i], worker, &r->error[i]);
}

enum sonde_status sonde_lens_read(const struct sonde_model *model, struct sonde_pool *pool,
                                  struct sonde_lens_block *block, int64_t n_blocks,
                                  struct sonde_error *error)
{
    int threads = sonde_pool_threads(pool);
    int64_t V = sonde_model_spec(model)->d_vocab;
    struct reading r = {
        .model = model,
        .block = block,
        .V = V,
        .logits = calloc((size_t)threads, sizeof(float *)),
        .arena = calloc((size_t)threads, sizeof(struct sonde_arena *)),
        .error = calloc((size_t)n_blocks + 1, sizeof(struct sonde_error)),
    };
    bool ok = r.logits && r.arena && r.error;
    for (int t = 0; t < threads && ok; t++) {
        r.logits[t] = malloc((size_t)(2 * sonde_lens_block_rows(V) * V) * sizeof(float));
        r.arena[t] = sonde_arena_create(0);
        ok = r.logits[t] && r.arena[t];
    }
    enum sonde_status status = ok ? SONDE_STATUS_OK : sonde_error_memory(error, "the readout");
    if (ok)
        sonde_pool_run(pool, n_blocks, read_task, &r);
    for (int64_t i = 0; i < n_blocks && !status; i++)
        if (r.error[i].status)
            status = sonde_error_set(error, r.error[i].status, "%s", r.error[i].text);
    for (int t = 0; t < threads && r.logits && r.arena; t++) {
        free(r.logits[t]);
        sonde_arena_destroy(&r.arena[t]);
    }
    free(r.logits);
    free(r.arena);
    free(r.error);
    return status;
}
