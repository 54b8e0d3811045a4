#include "probes/mlp_net.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/num.h"
#include "core/base/rng.h"
#include "core/tensor/gemm.h"
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
    return batch * (sum + 2 * widest);
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
    space.values = malloc((size_t)batch * (size_t)(sum + 2 * widest) * sizeof(float));
    if (!space.values)
        return sonde_error_memory(error, "a minibatch");
    float *at = space.values;
    for (int l = 0; l <= net->n_layers; l++) {
        space.activation[l] = at;
        at += batch * net->width[l];
    }
    space.delta[0] = at;
    space.delta[1] = at + batch * widest;
    *out = space;
    return SONDE_STATUS_OK;
}

void sonde_mlp_space_finish(struct sonde_mlp_space *space)
{
    free(space->values);
    *space = (struct sonde_mlp_space){ 0 };
}

float *sonde_mlp_forward(const struct sonde_mlp *net, struct sonde_mlp_space *space, int64_t n)
{
    for (int l = 0; l < net->n_layers; l++) {
        int64_t in = net->width[l], out = net->width[l + 1];
        const float *w = sonde_mlp_weight(net, l), *b = w + in * out;
        float *y = space->activation[l + 1];
        for (int64_t i = 0; i < n; i++)
            memcpy(y + i * out, b, (size_t)out * sizeof(float));
        sonde_sgemm(false, true, n, out, in, 1.0f, space->activation[l], in, w, in, 1.0f, y, out);
        for (int64_t i = 0; l + 1 < net->n_layers && i < n * out; i++)
            y[i] = y[i] > 0.0f ? y[i] : 0.0f;
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

void sonde_mlp_backward(const struct sonde_mlp *net, struct sonde_mlp_space *space, int64_t n,
                        float *gradient)
{
    const float *delta = space->activation[net->n_layers]; /* [n, out] */
    for (int l = net->n_layers - 1; l >= 0; l--) {
        int64_t in = net->width[l], out = net->width[l + 1];
        const float *w = sonde_mlp_weight(net, l), *x = space->activation[l];
        float *to = gradient + (w - net->parameter), *b = to + in * out;
        sonde_sgemm(true, false, out, in, n, 1.0f, delta, out, x, in, 0.0f, to, in);
        memcpy(b, delta, (size_t)out * sizeof(float));
        for (int64_t i = 1; i < n; i++)
            for (int64_t k = 0; k < out; k++)
                b[k] += delta[i * out + k];
        if (l == 0)
            break;
        float *below = space->delta[l % 2];
        sonde_sgemm(false, false, n, in, out, 1.0f, delta, out, w, in, 0.0f, below, in);
        for (int64_t i = 0; i < n * in; i++)
            below[i] = x[i] > 0.0f ? below[i] : 0.0f;
        delta = below;
    }
}
