/* Elementwise ops. Tensors are contiguous and are treated as one row of values. */
#include <assert.h>

#include "core/tensor/op_common.h"
#include "core/tensor/vector.h"

struct elements {
    float *y;
    const float *a, *b;
    enum sonde_activation kind;
    float factor;
};

static void activate(float *y, const float *x, enum sonde_activation kind, int64_t n)
{
    const struct sonde_vector_kernels *vector = sonde_vector_kernels();
    switch (kind) {
    case SONDE_ACTIVATION_GELU:
        vector->gelu(y, x, n);
        break;
    case SONDE_ACTIVATION_GELU_TANH:
        /* (1 + tanh u) / 2 = 1 / (1 + exp(-2u)), u = sqrt(2 / pi) (x + 0.044715 x^3) */
        vector->cubic_gate(y, x, 1.5957691216057308f, 0.07135481282687983f, n);
        break;
    case SONDE_ACTIVATION_SILU:
        vector->sigmoid_gate(y, x, 1.0f, n);
        break;
    case SONDE_ACTIVATION_QUICK_GELU:
        vector->sigmoid_gate(y, x, 1.702f, n);
        break;
    case SONDE_ACTIVATION_TANH:
        vector->tanh(y, x, 1.0f, n);
        break;
    case SONDE_ACTIVATION_SIGMOID:
        vector->sigmoid(y, x, n);
        break;
    case SONDE_ACTIVATION_RELU:
    case SONDE_ACTIVATION_RELU_SQUARED:
        for (int64_t i = 0; i < n; i++) {
            y[i] = x[i] < 0.0f ? 0.0f : x[i];
        }
        break;
    }
    for (int64_t i = 0; i < n && kind == SONDE_ACTIVATION_RELU_SQUARED; i++) {
        y[i] *= y[i];
    }
}

static void activation_part(void *arg, int64_t first, int64_t last)
{
    const struct elements *e = arg;
    activate(e->y + first, e->a + first, e->kind, last - first);
}

/* y may be `up`, so the activated gate goes through a small buffer. */
static void gate_part(void *arg, int64_t first, int64_t last)
{
    enum { BUFFER = 512 };
    float buffer[BUFFER];
    const struct elements *e = arg;
    for (int64_t i = first; i < last; i += BUFFER) {
        const int64_t n = sonde_min_i64(BUFFER, last - i);
        activate(buffer, e->a + i, e->kind, n);
        for (int64_t j = 0; j < n; j++) {
            e->y[i + j] = buffer[j] * e->b[i + j];
        }
    }
}

static void add_part(void *arg, int64_t first, int64_t last)
{
    const struct elements *e = arg;
    for (int64_t i = first; i < last; i++) {
        e->y[i] = e->a[i] + e->b[i];
    }
}

static void scale_part(void *arg, int64_t first, int64_t last)
{
    const struct elements *e = arg;
    for (int64_t i = first; i < last; i++) {
        e->y[i] = e->factor * e->a[i];
    }
}

static void run_elements(struct sonde_op_context *ctx, const struct sonde_tensor *y,
                         const struct sonde_tensor *a, const struct sonde_tensor *b,
                         struct elements elements,
                         void (*run)(void *arg, int64_t first, int64_t last))
{
    if (!sonde_op_ready(ctx)) {
        return;
    }
    const int64_t n = sonde_tensor_elements(y);
    assert(sonde_tensor_is_contiguous(y));
    assert(sonde_tensor_is_contiguous(a) && sonde_tensor_elements(a) == n);
    assert(!b || (sonde_tensor_is_contiguous(b) && sonde_tensor_elements(b) == n));
    elements.y = y->data;
    elements.a = a->data;
    elements.b = b ? b->data : NULL;
    sonde_op_split_rows(ctx, n, 1, run, &elements);
}

void sonde_op_activation(struct sonde_op_context *ctx, struct sonde_tensor y, struct sonde_tensor x,
                         enum sonde_activation kind)
{
    run_elements(ctx, &y, &x, NULL, (struct elements){ .kind = kind }, activation_part);
}

void sonde_op_gate(struct sonde_op_context *ctx, struct sonde_tensor y, struct sonde_tensor gate,
                   struct sonde_tensor up, enum sonde_activation kind)
{
    run_elements(ctx, &y, &gate, &up, (struct elements){ .kind = kind }, gate_part);
}

void sonde_op_add(struct sonde_op_context *ctx, struct sonde_tensor y, struct sonde_tensor a,
                  struct sonde_tensor b)
{
    run_elements(ctx, &y, &a, &b, (struct elements){ 0 }, add_part);
}

void sonde_op_scale(struct sonde_op_context *ctx, struct sonde_tensor y, struct sonde_tensor x,
                    float factor)
{
    run_elements(ctx, &y, &x, NULL, (struct elements){ .factor = factor }, scale_part);
}
