/* Models that were made here as a folder in Hugging Face layout. */
#include <stdlib.h>
#include <string.h>

#include "core/base/file.h"
#include "core/model/create.h"
#include "core/model/create_internal.h"
#include "core/model/model_internal.h"
#include "core/tensor/safetensors.h"

static int64_t elements(const struct sonde_made_tensor *t)
{
    return t->rows * t->columns;
}

/* The tensor's values as the file orders them: fused from its parts into scratch, or in place. */
static const float *file_values(const struct sonde_creation *c, const struct sonde_made_tensor *t,
                                float *scratch)
{
    for (int p = 0; p < t->n_parts && t->n_parts > 1; p++) {
        float *part = c->parameter[t->first + p].data;
        sonde_bind_split_copy(&t->split, p, (int64_t)sizeof *part, (uint8_t *)scratch,
                              (uint8_t *)part, true);
    }
    return t->n_parts > 1 ? scratch : c->parameter[t->first].data;
}

static enum sonde_status append_tensors(struct sonde_safetensors_writer *writer,
                                        const struct sonde_creation *c, enum sonde_dtype dtype,
                                        struct sonde_error *error)
{
    int64_t most = 1;
    for (int64_t i = 0; i < c->n_tensors; i++) {
        most = elements(&c->tensor[i]) > most ? elements(&c->tensor[i]) : most;
    }
    float *whole = malloc((size_t)most * sizeof *whole);
    void *narrow = malloc((size_t)most * sonde_dtype_size(dtype));
    enum sonde_status status = SONDE_STATUS_OK;
    if (!whole || !narrow) {
        status = sonde_error_memory(error, "saving a model");
    }
    for (int64_t i = 0; i < c->n_tensors && status == SONDE_STATUS_OK; i++) {
        const struct sonde_made_tensor *t = &c->tensor[i];
        sonde_dtype_narrow(dtype, file_values(c, t, whole), narrow, elements(t));
        status = sonde_safetensors_append(writer, narrow,
                                          elements(t) * (int64_t)sonde_dtype_size(dtype), error);
    }
    free(whole);
    free(narrow);
    return status;
}

static enum sonde_status save_weights(const struct sonde_creation *c, const char *path,
                                      enum sonde_dtype dtype, struct sonde_error *error)
{
    /* transformers wants to be told so. */
    static const struct sonde_safetensors_pair metadata[] = { { "format", "pt" } };
    struct sonde_safetensors_writer writer;
    struct sonde_safetensors_item *items = calloc((size_t)c->n_tensors + 1, sizeof *items);
    if (!items) {
        return sonde_error_memory(error, "saving a model");
    }
    for (int64_t i = 0; i < c->n_tensors; i++) {
        const struct sonde_made_tensor *t = &c->tensor[i];
        items[i] =
            (struct sonde_safetensors_item){ .name = t->name, .dtype = dtype, .rank = t->rank };
        items[i].dim[0] = t->rank > 1 ? t->rows : t->columns;
        items[i].dim[1] = t->columns;
    }
    enum sonde_status status =
        sonde_safetensors_begin(&writer, path, items, c->n_tensors, metadata, 1, error);
    free(items);
    if (status != SONDE_STATUS_OK) {
        return status;
    }
    status = append_tensors(&writer, c, dtype, error);
    enum sonde_status ended = sonde_safetensors_end(&writer, status == SONDE_STATUS_OK,
                                                    status == SONDE_STATUS_OK ? error : NULL);
    return status != SONDE_STATUS_OK ? status : ended;
}

enum sonde_status sonde_model_save(const struct sonde_model *model, const char *folder,
                                   enum sonde_dtype dtype, struct sonde_error *error)
{
    if (!model->creation) {
        return sonde_error_set(error, SONDE_STATUS_UNSUPPORTED,
                               "%s: only models that were made here are saved", model->path);
    }
    if (!sonde_dtype_is_weight(dtype)) {
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "%s: weights are saved as f32, f16 or bf16, not as %s", folder,
                               sonde_dtype_name(dtype));
    }
    enum sonde_status status = sonde_path_make_directory(folder, error);
    if (status != SONDE_STATUS_OK) {
        return status;
    }
    char *config = sonde_path_join(folder, "config.json");
    char *weights = sonde_path_join(folder, "model.safetensors");
    if (!config || !weights) {
        status = sonde_error_memory(error, "a path");
    }
    if (status == SONDE_STATUS_OK) {
        status = save_weights(model->creation, weights, dtype, error);
    }
    if (status == SONDE_STATUS_OK) {
        status = sonde_file_save(config, model->config_text, strlen(model->config_text), error);
    }
    free(config);
    free(weights);
    return status;
}
