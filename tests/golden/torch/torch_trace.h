/* Reads the traces that make_traces.py makes. A tensor that is absent fails the test. */
#ifndef SONDE_TESTS_GOLDEN_TORCH_TORCH_TRACE_H
#define SONDE_TESTS_GOLDEN_TORCH_TORCH_TRACE_H

#include <stdint.h>

#include "core/tensor/safetensors.h"

enum { TORCH_STEPS = 10 };

struct sonde_safetensors *torch_trace_open(const char *name);
/* Elements of the caller's, *n of them (n may be NULL). */
float *torch_trace_floats(const struct sonde_safetensors *file, const char *name, int64_t *n);
int32_t *torch_trace_integers(const struct sonde_safetensors *file, const char *name, int64_t *n);
/* NAME + NAME.rest: f64. */
double *torch_trace_doubles(const struct sonde_safetensors *file, const char *name, int64_t *n);
/* NAME.distance: by how much PyTorch's f32 was off, the largest of the steps so far. */
float *torch_trace_distance(const struct sonde_safetensors *file, const char *name);

#endif
