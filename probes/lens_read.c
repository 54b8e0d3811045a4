#include "probes/lens_read.h"

#include <math.h>
#include <stdlib.h>

#include "core/tensor/vector.h"

enum { CHUNK = 1024, BLOCK_ROWS_MAX = 64 };

double sonde_lens_log_sum(const float *logits, int64_t V)
{
    const struct sonde_vector_kernels *kernels = sonde_vector_kernels();
    float top = kernels->max(logits, V), e[CHUNK];
    double sum = 0.0;
    for (int64_t first = 0; first < V; first += CHUNK) {
        int64_t n = V - first < CHUNK ? V - first : CHUNK;
        kernels->exp(e, logits + first, top, n);
        sum += kernels->sum(e, n);
    }
    return log(sum) + (double)top;
}

/* sum softmax(a)_v (log softmax(a)_v - log softmax(b)_v), from the logits' chunk a and b [n]; b
 * NULL = without the second logarithm. */
static double expected_log(const float *a, double a_log_sum, const float *b, double b_log_sum,
                           int64_t n)
{
    float e[CHUNK];
    double sum = 0.0;
    sonde_vector_kernels()->exp(e, a, (float)a_log_sum, n);
    for (int64_t v = 0; v < n; v++) {
        double log_a = (double)a[v] - a_log_sum;
        sum += (double)e[v] * (b ? log_a - ((double)b[v] - b_log_sum) : log_a);
    }
    return sum;
}

static int64_t best_of(const float *x, int64_t V)
{
    int64_t best = 0;
    for (int64_t v = 1; v < V; v++)
        best = x[v] > x[best] ? v : best;
    return best;
}

void sonde_lens_measure(const float *logits, const float *final, double final_log_sum, int64_t V,
                        int32_t next, struct sonde_lens_reading *out)
{
    bool same = final == logits;
    struct sonde_lens_reading r = {
        .log_sum = same ? final_log_sum : sonde_lens_log_sum(logits, V),
        .logprob = (double)NAN,
        .agrees = same || best_of(logits, V) == best_of(final, V),
    };
    for (int64_t first = 0; first < V; first += CHUNK) {
        int64_t n = V - first < CHUNK ? V - first : CHUNK;
        r.entropy -= expected_log(logits + first, r.log_sum, NULL, 0.0, n);
        if (!same)
            r.kl += expected_log(final + first, final_log_sum, logits + first, r.log_sum, n);
    }
    if (next >= 0) {
        r.logprob = (double)logits[next] - r.log_sum;
        r.rank = 1;
        for (int64_t v = 0; v < V; v++)
            r.rank += logits[v] > logits[next];
    }
    *out = r;
}

int64_t sonde_lens_block_rows(int64_t V)
{
    int64_t rows = ((int64_t)1 << 22) / (V > 0 ? V : 1);
    return rows < 1 ? 1 : rows > BLOCK_ROWS_MAX ? BLOCK_ROWS_MAX : rows;
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
    double log_sum[BLOCK_ROWS_MAX];
    for (int64_t i = 0; i < n && !status; i++)
        log_sum[i] = sonde_lens_log_sum(final + i * V, V);
    for (int64_t s = 0; s < b->n_sites && !status; s++) {
        bool is_final = s == b->n_sites - 1;
        const float *logits = is_final ? final : site;
        if (!is_final)
            status = sonde_model_readout(r->model, r->arena[worker], b->x + s * n * b->D, n, 0, 0,
                                         site, error);
        for (int64_t i = 0; i < n && !status; i++) {
            sonde_lens_measure(logits + i * V, final + i * V, log_sum[i], V, b->next[i],
                               &b->reading[s * n + i]);
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
