#include "probes/linear_model.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/num.h"
#include "core/tensor/gemm.h"

enum sonde_status sonde_linear_model_init(struct sonde_linear_model *out, int64_t rows,
                                          int64_t width, struct sonde_error *error)
{
    int64_t n;
    if (!sonde_mul_i64(rows, width + 1, &n) || !sonde_mul_i64(n, sizeof(double), &n))
        return sonde_error_set(error, SONDE_STATUS_LIMIT, "%lld x %lld weights are too many",
                               (long long)rows, (long long)width);
    double *values = calloc(1, (size_t)n + 1);
    if (!values)
        return sonde_error_memory(error, "the probe's weights");
    *out = (struct sonde_linear_model){
        .rows = rows, .width = width, .weight = values, .bias = values + rows * width
    };
    return SONDE_STATUS_OK;
}

void sonde_linear_model_finish(struct sonde_linear_model *model)
{
    free(model->weight);
    *model = (struct sonde_linear_model){ 0 };
}

void sonde_linear_model_unscale(struct sonde_linear_model *model, const struct sonde_scaler *scaler)
{
    if (!scaler->mean)
        return;
    for (int64_t r = 0; r < model->rows; r++) {
        double *w = model->weight + r * model->width, shift = 0.0;
        for (int64_t d = 0; d < model->width; d++) {
            w[d] *= (double)scaler->inverse[d];
            shift += w[d] * (double)scaler->mean[d];
        }
        model->bias[r] -= shift;
    }
}

struct score_pass {
    const struct sonde_linear_model *model;
    double *scores; /* [n, R] */
    double *wide;   /* [n_slots, PART, D] */
};

static void score_block(void *ctx, int64_t first, int64_t n, float *x, int64_t slot)
{
    const struct score_pass *pass = ctx;
    int64_t width = pass->model->width, rows = pass->model->rows;
    double *wide = pass->wide + slot * SONDE_LINEAR_MODEL_PART * width;
    double *scores = pass->scores + first * rows;
    for (int64_t i = 0; i < n * width; i++)
        wide[i] = (double)x[i];
    sonde_dgemm(false, true, n, rows, width, 1.0, wide, width, pass->model->weight, width, 0.0,
                scores, rows);
    for (int64_t i = 0; i < n; i++)
        for (int64_t r = 0; r < rows; r++)
            scores[i * rows + r] += pass->model->bias[r];
}

enum sonde_status sonde_linear_model_scores(const struct sonde_linear_model *model,
                                            struct sonde_features *features, const int64_t *sample,
                                            int64_t n, double *scores, struct sonde_error *error)
{
    size_t block = (size_t)SONDE_LINEAR_MODEL_PART * (size_t)model->width;
    struct score_pass scoring = {
        .model = model,
        .scores = scores,
        .wide = malloc((size_t)features->n_slots * block * sizeof(double)),
    };
    if (!scoring.wide)
        return sonde_error_memory(error, "scores");
    struct sonde_feature_pass pass = { .sample = sample,
                                       .n = n,
                                       .part_rows = SONDE_LINEAR_MODEL_PART,
                                       .block = score_block,
                                       .ctx = &scoring };
    enum sonde_status status = sonde_features_pass(features, &pass, error);
    free(scoring.wide);
    return status;
}

int64_t sonde_linear_model_chunk(int64_t n_rows)
{
    int64_t n_blocks = ((int64_t)1 << 16) / (n_rows * SONDE_FEATURES_BLOCK);
    return (n_blocks > 0 ? n_blocks : 1) * SONDE_FEATURES_BLOCK;
}

int32_t sonde_linear_model_class(const double *scores, int64_t n_rows)
{
    if (n_rows == 1)
        return scores[0] > 0.0;
    int32_t best = 0;
    for (int64_t r = 1; r < n_rows; r++)
        if (scores[r] > scores[best])
            best = (int32_t)r;
    return best;
}
