/* How a model's products are computed: lays its weights out for a plan. */
#include "core/model/model_internal.h"

static enum sonde_status add(struct sonde_model *model, const struct sonde_weight *w,
                             struct sonde_error *error)
{
    enum sonde_status status = sonde_gemm_plan_add(model->plan, w, error);
    if (status == SONDE_STATUS_OK && sonde_weight_present(w)) {
        sonde_model_forget(model, w);
    }
    return status;
}

void sonde_model_forget(struct sonde_model *model, const struct sonde_weight *w)
{
    const int64_t bytes = w->rows * w->columns * (int64_t)sonde_dtype_size(w->dtype);
    if (model->bin) {
        sonde_file_forget(model->bin, w->data, bytes);
    } else if (model->table) {
        sonde_tensor_table_forget(model->table, w->data, bytes);
    }
}

enum sonde_status sonde_model_make_plan(struct sonde_model *model,
                                        const struct sonde_model_options *options,
                                        struct sonde_error *error)
{
    const struct sonde_weights *w = &model->weights;
    if (options->compute == SONDE_COMPUTE_F32 && options->gemm == SONDE_GEMM_OPENBLAS) {
        return SONDE_STATUS_OK;
    }
    enum sonde_status status = sonde_gemm_plan_create(&model->plan, options->compute, error);
    for (int l = 0; l < model->spec.n_layers && status == SONDE_STATUS_OK; l++) {
        const struct sonde_layer_weights *layer = &w->layer[l];
        const struct sonde_weight *const maps[] = { &layer->w_q,   &layer->w_k,  &layer->w_v,
                                                    &layer->w_o,   &layer->w_up, &layer->w_gate,
                                                    &layer->w_down };
        for (size_t i = 0; i < sizeof maps / sizeof *maps && status == SONDE_STATUS_OK; i++) {
            status = add(model, maps[i], error);
        }
    }
    if (status == SONDE_STATUS_OK) {
        status = add(model, &w->head_dense, error);
    }
    if (status == SONDE_STATUS_OK && !model->spec.headless) {
        status = add(model, &w->unembed, error);
    }
    return status;
}

const char *sonde_model_compute_name(const struct sonde_model *model)
{
    return model->plan ? sonde_gemm_plan_name(model->plan) : NULL;
}
