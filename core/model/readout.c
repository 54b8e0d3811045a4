#include "core/model/readout.h"

#include <string.h>

#include "core/model/model_internal.h"
#include "core/tensor/gemm.h"
#include "core/tensor/vector.h"

/* Rows [first, first + count) of the unembedding (count 0: all), with their biases. */
struct vocab_part {
    struct sonde_weight rows, bias;
};

static enum sonde_status take_part(const struct sonde_model *model, int64_t first, int64_t count,
                                   struct vocab_part *out, struct sonde_error *error)
{
    const struct sonde_spec *spec = &model->spec;
    const struct sonde_weight *u = &model->weights.unembed, *b = &model->weights.unembed_bias;
    if (spec->headless) {
        return sonde_error_set(error, SONDE_STATUS_UNSUPPORTED,
                               "this model has no unembedding, so no logits");
    }
    enum sonde_status status = sonde_spec_check_vocabulary(spec, error);
    if (status != SONDE_STATUS_OK) {
        return status;
    }
    if (count == 0 && first == 0) {
        count = spec->d_vocab;
    }
    if (first < 0 || count < 1 || first >= spec->d_vocab || count > spec->d_vocab - first) {
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "vocabulary entries %lld to %lld of %lld", (long long)first,
                               (long long)(first + count), (long long)spec->d_vocab);
    }
    *out = (struct vocab_part){ *u, *b };
    out->rows.data =
        (const char *)u->data + (size_t)(first * u->columns) * sonde_dtype_size(u->dtype);
    out->rows.rows = count;
    if (sonde_weight_present(b)) {
        out->bias.data = (const char *)b->data + (size_t)first * sonde_dtype_size(b->dtype);
        out->bias.columns = count;
    }
    return SONDE_STATUS_OK;
}

static enum sonde_status end(const struct sonde_op_context *ops, int64_t n,
                             struct sonde_error *error)
{
    return ops->failed ? sonde_error_set(error, SONDE_STATUS_LIMIT,
                                         "no memory for a readout of %lld rows", (long long)n)
                       : SONDE_STATUS_OK;
}

/* Final norm and masked-LM head, in place. */
static void transform_rows(const struct sonde_model *model, struct sonde_op_context *ops,
                           float *data, int64_t n)
{
    const struct sonde_spec *spec = &model->spec;
    const struct sonde_weights *w = &model->weights;
    const int64_t D = spec->d_model;
    float *dense_data =
        spec->mlm_head ? sonde_arena_alloc(ops->arena, n * D, sizeof *dense_data) : NULL;
    ops->failed = ops->failed || (spec->mlm_head && !dense_data);
    if (ops->failed) {
        return;
    }
    struct sonde_tensor rows = sonde_tensor_2d(data, n, D);
    struct sonde_norm_args args = { .kind = spec->norm, .eps = spec->norm_eps };
    if (spec->norm_final) {
        args.gain = &w->ln_final_gain;
        args.bias = &w->ln_final_bias;
        sonde_op_norm(ops, rows, rows, &args);
    }
    if (spec->mlm_head) {
        struct sonde_tensor dense = sonde_tensor_2d(dense_data, n, D);
        args.gain = &w->head_ln_gain;
        args.bias = &w->head_ln_bias;
        sonde_op_linear(ops, dense, rows, &w->head_dense, &w->head_dense_bias);
        sonde_op_activation(ops, dense, dense, spec->activation);
        sonde_op_norm(ops, rows, dense, &args);
    }
}

enum sonde_status sonde_model_readout(const struct sonde_model *model, struct sonde_arena *scratch,
                                      const float *x, int64_t n, int64_t vocab_first,
                                      int64_t vocab_count, float *logits, struct sonde_error *error)
{
    const struct sonde_spec *spec = &model->spec;
    struct vocab_part part;
    enum sonde_status status = take_part(model, vocab_first, vocab_count, &part, error);
    if (status != SONDE_STATUS_OK || n < 1) {
        return status;
    }
    sonde_gemm_prepare();
    struct sonde_op_context ops = { .arena = scratch, .plan = model->plan };
    struct sonde_arena_mark mark = sonde_arena_mark(scratch);
    const int64_t D = spec->d_model;
    float *copy = sonde_arena_alloc(scratch, n * D, sizeof *copy);
    ops.failed = !copy;
    if (copy) {
        memcpy(copy, x, (size_t)(n * D) * sizeof *copy);
        transform_rows(model, &ops, copy, n);
    }
    if (!ops.failed) {
        sonde_op_unembed(&ops, sonde_tensor_2d(logits, n, part.rows.rows),
                         sonde_tensor_2d(copy, n, D), &part.rows, &part.bias, spec->logit_softcap);
    }
    sonde_arena_rewind(scratch, mark);
    return end(&ops, n, error);
}

enum sonde_status sonde_model_readout_rows(const struct sonde_model *model,
                                           struct sonde_arena *scratch, const float *x, int64_t n,
                                           float *y, struct sonde_error *error)
{
    struct vocab_part part;
    enum sonde_status status = take_part(model, 0, 0, &part, error);
    if (status != SONDE_STATUS_OK || n < 1) {
        return status;
    }
    sonde_gemm_prepare();
    struct sonde_op_context ops = { .arena = scratch, .plan = model->plan };
    struct sonde_arena_mark mark = sonde_arena_mark(scratch);
    if (y != x) {
        memcpy(y, x, (size_t)(n * model->spec.d_model) * sizeof *y);
    }
    transform_rows(model, &ops, y, n);
    sonde_arena_rewind(scratch, mark);
    return end(&ops, n, error);
}

enum sonde_status sonde_model_fold_gain(const struct sonde_model *model,
                                        struct sonde_arena *scratch, float *y, int64_t n,
                                        struct sonde_error *error)
{
    const struct sonde_weight *gain = &model->weights.ln_final_gain;
    const int64_t D = model->spec.d_model;
    if (!sonde_weight_present(gain)) {
        return SONDE_STATUS_OK;
    }
    struct sonde_op_context ops = { .arena = scratch };
    struct sonde_arena_mark mark = sonde_arena_mark(scratch);
    float *wide = sonde_arena_alloc(scratch, D, sizeof *wide);
    ops.failed = !wide;
    if (wide) {
        sonde_weight_row(gain, 0, wide);
        for (int64_t i = 0; i < n; i++) {
            for (int64_t d = 0; d < D; d++) {
                y[i * D + d] *= wide[d];
            }
        }
    }
    sonde_arena_rewind(scratch, mark);
    return end(&ops, n, error);
}

/* scores[n, count] = y W^T + bias, capped; block [count, D] and bias [count] (NULL = 0) are f32. */
static void score_block(const struct sonde_model *model, const float *y, int64_t n,
                        const float *block, const float *bias, int64_t count, bool plain,
                        float *scores)
{
    const int64_t D = model->spec.d_model;
    const float cap = model->spec.logit_softcap;
    for (int64_t i = 0; i < n && bias; i++) {
        memcpy(scores + i * count, bias, (size_t)count * sizeof *scores);
    }
    sonde_sgemm(false, true, n, count, D, 1.0f, y, D, block, D, bias ? 1.0f : 0.0f, scores, count);
    if (cap > 0.0f && !plain) {
        sonde_vector_kernels()->tanh(scores, scores, cap, n * count);
    }
}

enum sonde_status sonde_model_unembed(const struct sonde_model *model, struct sonde_arena *scratch,
                                      const float *y, int64_t n, struct sonde_vocabulary_tile tile,
                                      float *scores, struct sonde_error *error)
{
    struct vocab_part part;
    enum sonde_status status = take_part(model, tile.first, tile.count, &part, error);
    if (status != SONDE_STATUS_OK || n < 1) {
        return status;
    }
    const int64_t D = model->spec.d_model, count = part.rows.rows;
    const bool half = part.rows.dtype != SONDE_DTYPE_F32;
    const bool has_bias = !tile.plain && sonde_weight_present(&part.bias);
    struct sonde_op_context ops = { .arena = scratch };
    struct sonde_arena_mark mark = sonde_arena_mark(scratch);
    float *wide = half ? sonde_arena_alloc(scratch, count * D, sizeof *wide) : NULL;
    float *bias = has_bias ? sonde_arena_alloc(scratch, count, sizeof *bias) : NULL;
    ops.failed = (half && !wide) || (has_bias && !bias);
    if (!ops.failed) {
        if (half) {
            sonde_weight_block(&part.rows, 0, count, 0, D, wide);
        }
        if (has_bias) {
            sonde_weight_row(&part.bias, 0, bias);
        }
        score_block(model, y, n, half ? wide : part.rows.data, bias, count, tile.plain, scores);
    }
    sonde_arena_rewind(scratch, mark);
    return end(&ops, n, error);
}

enum sonde_status sonde_model_unembed_ids(const struct sonde_model *model,
                                          struct sonde_arena *scratch, const float *y, int64_t n,
                                          const int32_t *id, int64_t n_ids, float *scores,
                                          struct sonde_error *error)
{
    struct vocab_part part;
    enum sonde_status status = take_part(model, 0, 0, &part, error);
    for (int64_t i = 0; i < n_ids && !status; i++) {
        if (id[i] < 0 || id[i] >= part.rows.rows) {
            status = sonde_error_set(error, SONDE_STATUS_ARGUMENT, "vocabulary entry %lld of %lld",
                                     (long long)id[i], (long long)part.rows.rows);
        }
    }
    if (status != SONDE_STATUS_OK || n < 1 || n_ids < 1) {
        return status;
    }
    const int64_t D = model->spec.d_model;
    struct sonde_op_context ops = { .arena = scratch };
    struct sonde_arena_mark mark = sonde_arena_mark(scratch);
    const bool has_bias = sonde_weight_present(&part.bias);
    float *block = sonde_arena_alloc(scratch, n_ids * D, sizeof *block);
    float *bias = has_bias ? sonde_arena_alloc(scratch, n_ids, sizeof *bias) : NULL;
    ops.failed = !block || (has_bias && !bias);
    if (!ops.failed) {
        for (int64_t i = 0; i < n_ids; i++) {
            sonde_weight_row(&part.rows, id[i], block + i * D);
            if (has_bias) {
                sonde_weight_block(&part.bias, 0, 1, id[i], 1, bias + i);
            }
        }
        score_block(model, y, n, block, bias, n_ids, false, scores);
    }
    sonde_arena_rewind(scratch, mark);
    return end(&ops, n, error);
}
