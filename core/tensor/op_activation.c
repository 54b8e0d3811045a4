/* Elementwise ops. Tensors are contiguous and are treated as one row of values. */
#include <assert.h>

#include "core/tensor/op_common.h"
#include "core/tensor/tape.h"
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

enum { SLOPE_BUFFER = 512 };

/* slope = d/dx x sigmoid(u), u = x (a + c x^2): s + x s (1 - s) (a + 3 c x^2) */
static void gate_slopes(float *slope, const float *x, float a, float c, int64_t n)
{
    float buffer[SLOPE_BUFFER];
    for (int64_t i = 0; i < n; i++) {
        buffer[i] = x[i] * (a + c * x[i] * x[i]);
    }
    sonde_vector_kernels()->sigmoid(slope, buffer, n);
    for (int64_t i = 0; i < n; i++) {
        const float s = slope[i], inner = a + 3.0f * c * x[i] * x[i];
        slope[i] = s + x[i] * s * (1.0f - s) * inner;
    }
}

/* slope = f'(x), n <= SLOPE_BUFFER. */
static void slopes(float *slope, const float *x, enum sonde_activation kind, int64_t n)
{
    const struct sonde_vector_kernels *vector = sonde_vector_kernels();
    float buffer[SLOPE_BUFFER];
    switch (kind) {
    case SONDE_ACTIVATION_GELU:
        vector->gelu_slope(slope, x, n);
        break;
    case SONDE_ACTIVATION_GELU_TANH:
        gate_slopes(slope, x, 1.5957691216057308f, 0.07135481282687983f, n);
        break;
    case SONDE_ACTIVATION_SILU:
        gate_slopes(slope, x, 1.0f, 0.0f, n);
        break;
    case SONDE_ACTIVATION_QUICK_GELU:
        gate_slopes(slope, x, 1.702f, 0.0f, n);
        break;
    case SONDE_ACTIVATION_TANH:
        vector->tanh(buffer, x, 1.0f, n);
        for (int64_t i = 0; i < n; i++) {
            slope[i] = (1.0f - buffer[i]) * (1.0f + buffer[i]);
        }
        break;
    case SONDE_ACTIVATION_SIGMOID:
        vector->sigmoid(buffer, x, n);
        for (int64_t i = 0; i < n; i++) {
            slope[i] = buffer[i] * (1.0f - buffer[i]);
        }
        break;
    case SONDE_ACTIVATION_RELU: /* 0 at 0 */
        for (int64_t i = 0; i < n; i++) {
            slope[i] = x[i] > 0.0f ? 1.0f : 0.0f;
        }
        break;
    case SONDE_ACTIVATION_RELU_SQUARED:
        for (int64_t i = 0; i < n; i++) {
            slope[i] = x[i] > 0.0f ? 2.0f * x[i] : 0.0f;
        }
        break;
    }
}

/* y = f(a) b, or y = f(a), a + b, factor a. */
enum rule { RULE_ACTIVATION, RULE_GATE, RULE_ADD, RULE_SCALE };

struct elements_record {
    enum rule rule;
    int64_t y, a, b, n;
    const float *a_copy, *b_copy; /* [n] where the rule needs them */
    enum sonde_activation kind;
    float factor;
};

struct elements_gradient {
    const struct elements_record *r;
    const float *dy;
    float *da, *db;
};

static void activation_vjp_part(void *arg, int64_t first, int64_t last)
{
    const struct elements_gradient *g = arg;
    const struct elements_record *r = g->r;
    float slope[SLOPE_BUFFER], value[SLOPE_BUFFER];
    for (int64_t i = first; i < last; i += SLOPE_BUFFER) {
        const int64_t n = sonde_min_i64(SLOPE_BUFFER, last - i);
        slopes(slope, r->a_copy + i, r->kind, n);
        if (r->rule == RULE_ACTIVATION) {
            for (int64_t j = 0; j < n; j++) {
                g->da[i + j] += g->dy[i + j] * slope[j];
            }
            continue;
        }
        activate(value, r->a_copy + i, r->kind, n);
        for (int64_t j = 0; j < n; j++) {
            g->da[i + j] += g->dy[i + j] * r->b_copy[i + j] * slope[j];
            g->db[i + j] += g->dy[i + j] * value[j];
        }
    }
}

static void linear_vjp_part(void *arg, int64_t first, int64_t last)
{
    const struct elements_gradient *g = arg;
    for (int64_t i = first; i < last; i++) {
        g->da[i] += g->r->factor * g->dy[i];
    }
    for (int64_t i = first; i < last && g->r->rule == RULE_ADD; i++) {
        g->db[i] += g->dy[i];
    }
}

static void elements_vjp(struct sonde_op_context *ctx, const void *record)
{
    const struct elements_record *r = record;
    const bool two = r->rule == RULE_GATE || r->rule == RULE_ADD;
    const bool curved = r->rule == RULE_ACTIVATION || r->rule == RULE_GATE;
    struct elements_gradient g = { .r = r, .dy = sonde_tape_incoming(ctx, r->y) };
    g.da = sonde_tape_into(ctx, r->a);
    g.db = two ? sonde_tape_into(ctx, r->b) : NULL;
    if (!ctx->failed) {
        sonde_op_split_rows(ctx, r->n, 1, curved ? activation_vjp_part : linear_vjp_part, &g);
    }
}

static void record_elements(struct sonde_op_context *ctx, const struct sonde_tensor *y,
                            const struct sonde_tensor *a, const struct sonde_tensor *b,
                            struct elements_record record)
{
    struct elements_record *r = sonde_op_ready(ctx) ? sonde_tape_alloc(ctx, 1, sizeof(*r)) : NULL;
    if (!r) {
        return;
    }
    *r = record;
    r->n = sonde_tensor_elements(y);
    r->a = sonde_tape_use(ctx, a);
    r->b = b ? sonde_tape_use(ctx, b) : -1;
    if (r->rule == RULE_ACTIVATION || r->rule == RULE_GATE) {
        r->a_copy = sonde_tape_keep(ctx, r->a, a);
        r->b_copy = b ? sonde_tape_keep(ctx, r->b, b) : NULL;
    }
    r->y = sonde_tape_define(ctx, y->data, r->n);
    sonde_tape_push(ctx, r->y, elements_vjp, r);
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
    if (ctx->tape) {
        record_elements(ctx, &y, &x, NULL,
                        (struct elements_record){ .rule = RULE_ACTIVATION, .kind = kind });
    }
    run_elements(ctx, &y, &x, NULL, (struct elements){ .kind = kind }, activation_part);
}

void sonde_op_gate(struct sonde_op_context *ctx, struct sonde_tensor y, struct sonde_tensor gate,
                   struct sonde_tensor up, enum sonde_activation kind)
{
    if (ctx->tape) {
        record_elements(ctx, &y, &gate, &up,
                        (struct elements_record){ .rule = RULE_GATE, .kind = kind });
    }
    run_elements(ctx, &y, &gate, &up, (struct elements){ .kind = kind }, gate_part);
}

void sonde_op_add(struct sonde_op_context *ctx, struct sonde_tensor y, struct sonde_tensor a,
                  struct sonde_tensor b)
{
    if (ctx->tape) {
        record_elements(ctx, &y, &a, &b,
                        (struct elements_record){ .rule = RULE_ADD, .factor = 1.0f });
    }
    run_elements(ctx, &y, &a, &b, (struct elements){ 0 }, add_part);
}

void sonde_op_scale(struct sonde_op_context *ctx, struct sonde_tensor y, struct sonde_tensor x,
                    float factor)
{
    if (ctx->tape) {
        record_elements(ctx, &y, &x, NULL,
                        (struct elements_record){ .rule = RULE_SCALE, .factor = factor });
    }
    run_elements(ctx, &y, &x, NULL, (struct elements){ .factor = factor }, scale_part);
}
