/* Trained probes as safetensors files. F64, so that what is read back answers bit for bit the same.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/json.h"
#include "core/tensor/safetensors.h"
#include "probes/linear_model.h"

static bool put_classes(struct sonde_buf *out, const struct sonde_saved_probe *probe)
{
    struct sonde_json_writer w = { .out = out };
    sonde_json_begin_array(&w, NULL);
    for (int64_t i = 0; i < probe->n_classes; i++)
        sonde_json_put_string(&w, NULL, probe->class_name[i]);
    sonde_json_end_array(&w);
    return !out->failed;
}

enum sonde_status sonde_saved_probe_write(const struct sonde_saved_probe *probe, const char *path,
                                          struct sonde_error *error)
{
    struct sonde_safetensors_item *item = calloc((size_t)probe->n_models * 2 + 1, sizeof(*item));
    char(*name)[128] = calloc((size_t)probe->n_models * 2 + 1, sizeof(*name));
    struct sonde_buf classes = { 0 };
    enum sonde_status status = SONDE_STATUS_OK;
    if (!item || !name || !put_classes(&classes, probe))
        status = sonde_error_memory(error, "the saved probe");
    for (int64_t i = 0; i < probe->n_models && !status; i++) {
        const struct sonde_linear_model *model = &probe->model[i];
        snprintf(name[2 * i], sizeof(*name), "%s.weight", probe->stream[i]);
        snprintf(name[2 * i + 1], sizeof(*name), "%s.bias", probe->stream[i]);
        item[2 * i] = (struct sonde_safetensors_item){ .name = name[2 * i],
                                                       .dtype = SONDE_DTYPE_F64,
                                                       .rank = 2,
                                                       .dim = { model->rows, model->width },
                                                       .data = model->weight };
        item[2 * i + 1] = (struct sonde_safetensors_item){ .name = name[2 * i + 1],
                                                           .dtype = SONDE_DTYPE_F64,
                                                           .rank = 1,
                                                           .dim = { model->rows },
                                                           .data = model->bias };
    }
    const struct sonde_safetensors_pair metadata[] = {
        { "format", "sonde linear probe 1" },
        { "probe", probe->probe },
        { "labels", probe->labels },
        { "task", probe->task },
        { "classes", classes.data ? classes.data : "[]" },
    };
    if (!status)
        status = sonde_safetensors_write(path, item, probe->n_models * 2, metadata,
                                         sizeof(metadata) / sizeof(metadata[0]), error);
    sonde_buf_finish(&classes);
    free(item);
    free(name);
    return status;
}

struct sonde_loaded_probe {
    struct sonde_safetensors *file;
    struct sonde_json *classes;
    char task[16];
};

void sonde_loaded_probe_close(struct sonde_loaded_probe **probe)
{
    struct sonde_loaded_probe *p = *probe;
    *probe = NULL;
    if (!p)
        return;
    sonde_json_destroy(&p->classes);
    sonde_safetensors_close(&p->file);
    free(p);
}

static enum sonde_status check_classes(const struct sonde_loaded_probe *p, const char *path,
                                       struct sonde_error *error)
{
    bool real = strcmp(p->task, "real") == 0;
    if (!real && strcmp(p->task, "class") != 0)
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "%s: task \"%s\", expected class or real", path, p->task);
    int64_t n = sonde_json_size(p->classes);
    if (sonde_json_type(p->classes) != SONDE_JSON_ARRAY || (!real && n < 2) || n > INT32_MAX)
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "%s: classes: expected a JSON array of two or more names", path);
    for (int64_t i = 0; i < n; i++)
        if (sonde_json_type(sonde_json_at(p->classes, i)) != SONDE_JSON_STRING)
            return sonde_error_set(error, SONDE_STATUS_FORMAT, "%s: class %lld is no string", path,
                                   (long long)i);
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_loaded_probe_open(struct sonde_loaded_probe **out, const char *path,
                                          struct sonde_error *error)
{
    struct sonde_loaded_probe *p = calloc(1, sizeof(*p));
    if (!p)
        return sonde_error_memory(error, "the saved probe");
    enum sonde_status status = sonde_safetensors_open(&p->file, path, error);
    if (!status) {
        const char *format = sonde_safetensors_metadata(p->file, "format");
        const char *task = sonde_safetensors_metadata(p->file, "task");
        const char *classes = sonde_safetensors_metadata(p->file, "classes");
        if (!format || strcmp(format, "sonde linear probe 1") != 0 || !task || !classes)
            status =
                sonde_error_set(error, SONDE_STATUS_FORMAT, "%s: not a saved linear probe", path);
        else
            status = sonde_json_parse(&p->classes, classes, strlen(classes), error);
        if (!status) {
            snprintf(p->task, sizeof(p->task), "%s", task);
            status = check_classes(p, path, error);
        }
    }
    if (status) {
        sonde_loaded_probe_close(&p);
        return status;
    }
    *out = p;
    return SONDE_STATUS_OK;
}

const char *sonde_loaded_probe_task(const struct sonde_loaded_probe *probe)
{
    return probe->task;
}

int64_t sonde_loaded_probe_n_classes(const struct sonde_loaded_probe *probe)
{
    return sonde_json_size(probe->classes);
}

const char *sonde_loaded_probe_class(const struct sonde_loaded_probe *probe, int64_t i)
{
    return sonde_json_string(sonde_json_at(probe->classes, i), "");
}

static enum sonde_status find_tensor(const struct sonde_loaded_probe *p, const char *stream,
                                     const char *part, int rank, int64_t rows, int64_t width,
                                     const uint8_t **data, struct sonde_error *error)
{
    char name[128];
    snprintf(name, sizeof(name), "%s.%s", stream, part);
    const struct sonde_safetensors_entry *entry = sonde_safetensors_find(p->file, name);
    const char *path = sonde_safetensors_path(p->file);
    if (!entry)
        return sonde_error_set(error, SONDE_STATUS_NOT_FOUND, "%s: no tensor %s", path, name);
    if (entry->dtype != SONDE_DTYPE_F64 || entry->rank != rank || entry->dim[0] != rows ||
        (rank == 2 && entry->dim[1] != width))
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "%s: %s: %s of rank %d and %lld x %lld, expected F64 of rank %d and "
                               "%lld x %lld",
                               path, name, entry->dtype_name, entry->rank,
                               (long long)(entry->rank > 0 ? entry->dim[0] : 0),
                               (long long)(entry->rank > 1 ? entry->dim[1] : 1), rank,
                               (long long)rows, (long long)(rank == 2 ? width : 1));
    return sonde_safetensors_map(p->file, entry, data, error);
}

enum sonde_status sonde_loaded_probe_model(const struct sonde_loaded_probe *probe,
                                           const char *stream, int64_t width,
                                           struct sonde_linear_model *out,
                                           struct sonde_error *error)
{
    int64_t n_classes = sonde_json_size(probe->classes);
    int64_t rows = strcmp(probe->task, "real") == 0 || n_classes <= 2 ? 1 : n_classes;
    const uint8_t *weight, *bias;
    enum sonde_status status = find_tensor(probe, stream, "weight", 2, rows, width, &weight, error);
    if (!status)
        status = find_tensor(probe, stream, "bias", 1, rows, width, &bias, error);
    struct sonde_linear_model model = { 0 };
    if (!status)
        status = sonde_linear_model_init(&model, rows, width, error);
    if (status)
        return status;
    memcpy(model.weight, weight, (size_t)(rows * width) * sizeof(double));
    memcpy(model.bias, bias, (size_t)rows * sizeof(double));
    for (int64_t i = 0; i < rows * (width + 1); i++) {
        if (isfinite(model.weight[i]))
            continue;
        sonde_linear_model_finish(&model);
        return sonde_error_set(error, SONDE_STATUS_NUMERIC, "%s: %s: weights that are not finite",
                               sonde_safetensors_path(probe->file), stream);
    }
    *out = model;
    return SONDE_STATUS_OK;
}
