#include "probes/mlp_net.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/num.h"
#include "core/base/rng.h"
#include "core/tensor/gemm.h"
#include "core/tensor/row_product.h"
#include "core/tensor/vector.h"

static int64_t width_at(int64_t n_in, const struct sonde_mlp_hidden *hidden, int64_t n_out, int l)
{
    return l == 0 ? n_in : l <= hidden->n ? hidden->width[l - 1] : n_out;
}

int64_t sonde_mlp_count(int64_t n_in, const struct sonde_mlp_hidden *hidden, int64_t n_out)
{
    int64_t total = 0;
    for (int l = 0; l <= hidden->n; l++) {
        int64_t in = width_at(n_in, hidden, n_out, l), out = width_at(n_in, hidden, n_out, l + 1);
        int64_t n;
        if (!sonde_mul_i64(in + 1, out, &n) || n > INT64_MAX / 64 - total)
            return INT64_MAX;
        total += n;
    }
    return total;
}

int64_t sonde_mlp_space_count(int64_t n_in, const struct sonde_mlp_hidden *hidden, int64_t n_out,
                              int64_t batch)
{
    int64_t sum = 0, widest = 0;
    for (int l = 0; l <= hidden->n + 1; l++) {
        int64_t width = width_at(n_in, hidden, n_out, l);
        sum += width;
        widest = width > widest ? width : widest;
    }
    return batch * (sum + 3 * widest);
}

enum sonde_status sonde_mlp_init(struct sonde_mlp *out, int64_t n_in,
                                 const struct sonde_mlp_hidden *hidden, int64_t n_out,
                                 uint64_t seed, struct sonde_error *error)
{
    struct sonde_mlp net = { .n_layers = hidden->n + 1,
                             .n_parameters = sonde_mlp_count(n_in, hidden, n_out) };
    for (int l = 0; l <= net.n_layers; l++)
        net.width[l] = width_at(n_in, hidden, n_out, l);
    if (net.n_parameters == INT64_MAX)
        return sonde_error_set(error, SONDE_STATUS_LIMIT, "the layers have too many weights");
    net.parameter = malloc((size_t)net.n_parameters * sizeof(float));
    if (!net.parameter)
        return sonde_error_memory(error, "the probe's weights");
    for (int l = 0; l < net.n_layers; l++) {
        struct sonde_rng rng = sonde_rng_make(seed, sonde_rng_stream("mlp weights") + (uint64_t)l);
        double limit = 1.0 / sqrt((double)net.width[l]);
        float *w = sonde_mlp_weight(&net, l);
        for (int64_t i = 0; i < (net.width[l] + 1) * net.width[l + 1]; i++)
            w[i] = (float)(limit * (2.0 * sonde_rng_uniform(&rng) - 1.0));
    }
    *out = net;
    return SONDE_STATUS_OK;
}

void sonde_mlp_finish(struct sonde_mlp *net)
{
    free(net->parameter);
    *net = (struct sonde_mlp){ 0 };
}

float *sonde_mlp_weight(const struct sonde_mlp *net, int l)
{
    float *w = net->parameter;
    for (int i = 0; i < l; i++)
        w += (net->width[i] + 1) * net->width[i + 1];
    return w;
}

enum sonde_status sonde_mlp_space_init(struct sonde_mlp_space *out, const struct sonde_mlp *net,
                                       int64_t batch, struct sonde_error *error)
{
    int64_t sum = 0, widest = 0;
    for (int l = 0; l <= net->n_layers; l++) {
        sum += net->width[l];
        widest = net->width[l] > widest ? net->width[l] : widest;
    }
    struct sonde_mlp_space space = { .batch = batch };
    space.values = malloc((size_t)batch * (size_t)(sum + 3 * widest) * sizeof(float));
    if (!space.values)
        return sonde_error_memory(error, "a minibatch");
    float *at = space.values;
    for (int l = 0; l <= net->n_layers; l++) {
        space.activation[l] = at;
        at += batch * net->width[l];
    }
    space.delta[0] = at;
    space.delta[1] = at + batch * widest;
    space.turned = at + 2 * batch * widest;
    *out = space;
    return SONDE_STATUS_OK;
}

void sonde_mlp_space_finish(struct sonde_mlp_space *space)
{
    free(space->values);
    *space = (struct sonde_mlp_space){ 0 };
}

/*
 * One product of a layer, y[m, n] = op(x)[m, k] W[k, n], cut into parts of its outputs. The kernel
 * forms every value as one sum in the order of k, so that no cut shows in the bits. Where the
 * machine has no fused multiply-add that kernel is slow: there BLAS makes the product as a whole.
 */
struct product {
    int64_t m, n, k;
    const float *x; /* [m, k] */
    const float *w; /* [k, n] or, where turned is set, [n, k] */
    bool turned;
    const float *bias;         /* [n] or NULL */
    float *y;                  /* [m, n] */
    bool relu;                 /* y becomes max(y, 0) */
    const float *gate;         /* [m, n] y becomes 0 where this is not above 0; NULL = not */
    bool by_rows;              /* cut those first */
    int64_t n_columns, n_rows; /* of a part */
    bool blas;
};

/* Columns and rows of a part are a multiple of what the kernel takes at once. A part of less than
 * PART multiply-adds is not worth another thread. */
enum { COLUMNS = 64, ROWS = 6, PART = 250000 };

static int64_t parts_down(const struct product *p)
{
    return (p->m + p->n_rows - 1) / p->n_rows;
}

/* y[n] becomes 0 where gate[n] is not above 0; the two may be one. */
static void close_gate(float *y, const float *gate, int64_t n)
{
    for (int64_t j = 0; j < n; j++)
        y[j] = gate[j] > 0.0f ? y[j] : 0.0f;
}

static void finish_part(const struct product *p, int64_t row, int64_t column, int64_t n_rows,
                        int64_t n_columns)
{
    const float *gate = p->relu ? p->y : p->gate;
    for (int64_t i = row; gate && i < row + n_rows; i++)
        close_gate(p->y + i * p->n + column, gate + i * p->n + column, n_columns);
}

static void product_part(void *ctx, int64_t i)
{
    const struct product *p = ctx;
    const int64_t column = i / parts_down(p) * p->n_columns;
    const int64_t row = i % parts_down(p) * p->n_rows;
    const int64_t n = p->n - column < p->n_columns ? p->n - column : p->n_columns;
    const int64_t m = p->m - row < p->n_rows ? p->m - row : p->n_rows;
    const int64_t ldw = p->turned ? p->k : p->n;
    const float *x = p->x + row * p->k, *w = p->w + column * (p->turned ? p->k : 1);
    float *y = p->y + row * p->n + column;
    if (p->blas) {
        for (int64_t r = 0; p->bias && r < m; r++)
            memcpy(y + r * p->n, p->bias, (size_t)n * sizeof(float));
        sonde_sgemm(false, p->turned, m, n, p->k, 1.0f, x, p->k, w, ldw, p->bias ? 1.0f : 0.0f, y,
                    p->n);
    } else {
        sonde_row_product(m, n, p->k, x, p->k, w, ldw, p->turned, p->bias ? p->bias + column : NULL,
                          y, p->n);
    }
    finish_part(p, row, column, m, n);
}

/* n cut into at most `parts` runs of a multiple of `step`: the length of one. */
static int64_t run_length(int64_t n, int64_t parts, int64_t step)
{
    const int64_t steps = (n + step - 1) / step;
    const int64_t length = (steps + parts - 1) / parts * step;
    return length > 0 ? length : step;
}

/* A part a thread: what a thread has in its cache, its rows of W above all, serves it again in the
 * next step. Columns are cut again by rows only where there are fewer of them than threads: each
 * part lays its columns out anew. */
static void run_product(struct sonde_mlp_team *team, struct product *p)
{
    const double worth = (double)p->m * (double)p->n * (double)p->k / PART;
    const int64_t threads = sonde_mlp_team_threads(team);
    p->blas = sonde_row_product_target() == SONDE_ROW_TARGET_BASE;
    const int64_t parts = p->blas || worth < 2      ? 1
                          : worth < (double)threads ? (int64_t)worth
                                                    : threads;
    p->n_columns = run_length(p->n, p->by_rows ? 1 : parts, COLUMNS);
    const int64_t across = (p->n + p->n_columns - 1) / p->n_columns;
    p->n_rows = run_length(p->m, across < parts ? parts / across : 1, ROWS);
    sonde_mlp_team_run(team, across * parts_down(p), product_part, p);
}

float *sonde_mlp_forward(const struct sonde_mlp *net, struct sonde_mlp_space *space, int64_t n)
{
    for (int l = 0; l < net->n_layers; l++) {
        const float *w = sonde_mlp_weight(net, l);
        struct product p = { .m = n,
                             .n = net->width[l + 1],
                             .k = net->width[l],
                             .x = space->activation[l],
                             .w = w,
                             .turned = true,
                             .bias = w + net->width[l] * net->width[l + 1],
                             .y = space->activation[l + 1],
                             .relu = l + 1 < net->n_layers };
        run_product(space->team, &p);
    }
    return space->activation[net->n_layers];
}

double sonde_mlp_class_loss(float *score, const int32_t *target, int64_t n, int64_t K)
{
    const struct sonde_vector_kernels *kernels = sonde_vector_kernels();
    double loss = 0.0;
    for (int64_t i = 0; i < n; i++) {
        float *row = score + i * K, top = kernels->max(row, K);
        double of_target = (double)(row[target[i]] - top);
        kernels->exp(row, row, top, K);
        double sum = kernels->sum(row, K);
        float scale = (float)(1.0 / (sum * (double)n));
        for (int64_t k = 0; k < K; k++)
            row[k] *= scale;
        row[target[i]] -= (float)(1.0 / (double)n);
        loss += log(sum) - of_target;
    }
    return loss;
}

double sonde_mlp_real_loss(float *score, const float *value, int64_t n)
{
    double loss = 0.0;
    for (int64_t i = 0; i < n; i++) {
        double off = (double)score[i] - (double)value[i];
        loss += off * off;
        score[i] = (float)(2.0 * off / (double)n);
    }
    return loss;
}

/* out[columns, rows] of in[rows, columns], a few rows at a time, which share their cache lines. */
static void transpose(const float *in, int64_t rows, int64_t columns, float *out)
{
    enum { BLOCK = 16 };
    for (int64_t i = 0; i < rows; i += BLOCK) {
        const int64_t end = rows - i < BLOCK ? rows : i + BLOCK;
        for (int64_t j = 0; j < columns; j++)
            for (int64_t r = i; r < end; r++)
                out[j * rows + r] = in[r * columns + j];
    }
}

void sonde_mlp_backward(const struct sonde_mlp *net, struct sonde_mlp_space *space, int64_t n,
                        float *gradient)
{
    const float *delta = space->activation[net->n_layers]; /* [n, out] */
    for (int l = net->n_layers - 1; l >= 0; l--) {
        int64_t in = net->width[l], out = net->width[l + 1];
        const float *w = sonde_mlp_weight(net, l), *x = space->activation[l];
        float *to = gradient + (w - net->parameter), *b = to + in * out;
        transpose(delta, n, out, space->turned);
        struct product weights = {
            .m = out, .n = in, .k = n, .x = space->turned, .w = x, .y = to, .by_rows = true
        };
        run_product(space->team, &weights);
        memcpy(b, delta, (size_t)out * sizeof(float));
        for (int64_t i = 1; i < n; i++)
            for (int64_t k = 0; k < out; k++)
                b[k] += delta[i * out + k];
        if (l == 0)
            break;
        float *below = space->delta[l % 2];
        struct product inputs = {
            .m = n, .n = in, .k = out, .x = delta, .w = w, .y = below, .gate = x
        };
        run_product(space->team, &inputs);
        delta = below;
    }
}
