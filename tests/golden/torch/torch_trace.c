#include "tests/golden/torch/torch_trace.h"

#include <stdio.h>

#include "tests/support/check.h"

struct sonde_safetensors *torch_trace_open(const char *name)
{
    struct sonde_safetensors *file = NULL;
    struct sonde_error error = { 0 };
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", SONDE_TORCH_TRACES, name);
    check_ok(sonde_safetensors_open(&file, path, &error), &error);
    return file;
}

static const struct sonde_safetensors_entry *find(const struct sonde_safetensors *file,
                                                  const char *name, const char *suffix)
{
    char whole[160];
    snprintf(whole, sizeof whole, "%s%s", name, suffix);
    const struct sonde_safetensors_entry *entry = sonde_safetensors_find(file, whole);
    if (!entry) {
        fprintf(stderr, "# %s: no tensor %s\n", sonde_safetensors_path(file), whole);
        fail();
    }
    return entry;
}

static float *floats(const struct sonde_safetensors *file, const char *name, const char *suffix,
                     int64_t *n)
{
    const struct sonde_safetensors_entry *entry = find(file, name, suffix);
    struct sonde_error error = { 0 };
    float *out = malloc((size_t)entry->n_elements * sizeof *out);
    assert_non_null(out);
    check_ok(sonde_safetensors_read_f32(file, entry, 0, entry->n_elements, out, &error), &error);
    if (n) {
        *n = entry->n_elements;
    }
    return out;
}

float *torch_trace_floats(const struct sonde_safetensors *file, const char *name, int64_t *n)
{
    return floats(file, name, "", n);
}

int32_t *torch_trace_integers(const struct sonde_safetensors *file, const char *name, int64_t *n)
{
    const struct sonde_safetensors_entry *entry = find(file, name, "");
    struct sonde_error error = { 0 };
    int64_t *wide = malloc((size_t)entry->n_elements * sizeof *wide);
    int32_t *out = malloc((size_t)entry->n_elements * sizeof *out);
    assert_non_null(wide);
    assert_non_null(out);
    check_ok(sonde_safetensors_read_i64(file, entry, 0, entry->n_elements, wide, &error), &error);
    for (int64_t i = 0; i < entry->n_elements; i++) {
        out[i] = (int32_t)wide[i];
    }
    free(wide);
    if (n) {
        *n = entry->n_elements;
    }
    return out;
}

double *torch_trace_doubles(const struct sonde_safetensors *file, const char *name, int64_t *n)
{
    int64_t count = 0;
    float *high = floats(file, name, "", &count), *low = floats(file, name, ".rest", &count);
    double *out = malloc((size_t)count * sizeof *out);
    assert_non_null(out);
    for (int64_t i = 0; i < count; i++) {
        out[i] = (double)high[i] + (double)low[i];
    }
    free(high);
    free(low);
    if (n) {
        *n = count;
    }
    return out;
}

float *torch_trace_distance(const struct sonde_safetensors *file, const char *name)
{
    int64_t n = 0;
    float *distance = floats(file, name, ".distance", &n);
    assert_int_equal(n, TORCH_STEPS);
    for (int64_t i = 1; i < n; i++) {
        distance[i] = distance[i] > distance[i - 1] ? distance[i] : distance[i - 1];
    }
    return distance;
}
