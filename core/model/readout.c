/* The readout of the lens: final norm and unembedding of any rows of the residual stream. */
#include <string.h>

#include "core/model/model_internal.h"
#include "core/tensor/gemm.h"

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

enum sonde_status sonde_model_readout(const struct sonde_model *model, struct sonde_arena *scratch,
                                      const float *x, int64_t n, int64_t vocab_first,
                                      int64_t vocab_count, float *logits, struct sonde_error *error)
{
    const struct sonde_spec *spec = &model->spec;
    const struct sonde_weights *w = &model->weights;
    struct vocab_part part;
    enum sonde_status status = take_part(model, vocab_first, vocab_count, &part, error);
    if (status != SONDE_STATUS_OK || n < 1) {
        return status;
    }
    sonde_gemm_prepare();
    struct sonde_op_context ops = { .arena = scratch };
    struct sonde_arena_mark mark = sonde_arena_mark(scratch);
    int64_t D = spec->d_model;
    float *copy = sonde_arena_alloc(scratch, n * D, sizeof *copy);
    float *dense_data = spec->mlm_head ? sonde_arena_alloc(scratch, n * D, sizeof *copy) : NULL;
    ops.failed = !copy || (spec->mlm_head && !dense_data);
    if (!ops.failed) {
        struct sonde_tensor rows = sonde_tensor_2d(copy, n, D);
        memcpy(copy, x, (size_t)(n * D) * sizeof *copy);
        struct sonde_norm_args args = { .kind = spec->norm, .eps = spec->norm_eps };
        if (spec->norm_final) {
            args.gain = &w->ln_final_gain;
            args.bias = &w->ln_final_bias;
            sonde_op_norm(&ops, rows, rows, &args);
        }
        if (spec->mlm_head) {
            struct sonde_tensor dense = sonde_tensor_2d(dense_data, n, D);
            args.gain = &w->head_ln_gain;
            args.bias = &w->head_ln_bias;
            sonde_op_linear(&ops, dense, rows, &w->head_dense, &w->head_dense_bias);
            sonde_op_activation(&ops, dense, dense, spec->activation);
            sonde_op_norm(&ops, rows, dense, &args);
        }
        sonde_op_unembed(&ops, sonde_tensor_2d(logits, n, part.rows.rows), rows, &part.rows,
                         &part.bias, spec->logit_softcap);
    }
    sonde_arena_rewind(scratch, mark);
    return end(&ops, n, error);
}

enum sonde_status sonde_model_unembed(const struct sonde_model *model, struct sonde_arena *scratch,
                                      const float *x, int64_t n, bool fold_gain,
                                      int64_t vocab_first, int64_t vocab_count, float *scores,
                                      struct sonde_error *error)
{
    const struct sonde_weight *gain = &model->weights.ln_final_gain;
    struct vocab_part part;
    enum sonde_status status = take_part(model, vocab_first, vocab_count, &part, error);
    if (status != SONDE_STATUS_OK || n < 1) {
        return status;
    }
    sonde_gemm_prepare();
    struct sonde_op_context ops = { .arena = scratch };
    struct sonde_arena_mark mark = sonde_arena_mark(scratch);
    int64_t D = model->spec.d_model;
    float *rows = sonde_arena_alloc(scratch, n * D, sizeof *rows);
    float *wide = sonde_arena_alloc(scratch, D, sizeof *wide);
    ops.failed = !rows || !wide;
    if (!ops.failed) {
        memcpy(rows, x, (size_t)(n * D) * sizeof *rows);
        if (fold_gain && sonde_weight_present(gain)) {
            sonde_weight_row(gain, 0, wide);
            for (int64_t i = 0; i < n * D; i++) {
                rows[i] *= wide[i % D];
            }
        }
        sonde_op_linear(&ops, sonde_tensor_2d(scores, n, part.rows.rows),
                        sonde_tensor_2d(rows, n, D), &part.rows, NULL);
    }
    sonde_arena_rewind(scratch, mark);
    return end(&ops, n, error);
}
